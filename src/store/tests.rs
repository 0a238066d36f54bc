//! What is kept, told, made up for and deleted.

use std::fs;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use sea_orm::{ConnectionTrait as _, EntityTrait as _, TransactionTrait as _};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::*;
use crate::base::time::date;
use crate::engine::{EndReason, NotAnswered};
use crate::report::{Recording, Report};

/// Tests that hold on both databases; their names say which.
macro_rules! on_both {
    ($($name:ident,)*) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::store::tests::Place::sqlite()).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                if let Some(place) = crate::store::tests::Place::postgres().await {
                    super::$name(place).await;
                }
            })*
        }
    };
}

#[path = "../../tests/postgres/cluster.rs"]
mod cluster;

mod admission;
mod callers;
mod dials;
mod documents;
mod erase;
mod found;
mod hooks;
mod jobs;
mod kept;
mod knowledge;
mod lists;
mod numbers;
mod opening;
mod owners;
mod people;
mod repair;
mod requests;
mod retention;
mod servers;
mod told;
mod trouble;

use cluster::Cluster;

const HOOK: &str = "crm";
const SEAL_KEY: &str = "0123456789abcdef0123456789abcdef";

/// A data directory with servers, one after the other, and the database that they use.
struct Place {
    data: TempDir,
    url: Option<Secret>,
}

/// The tests' PostgreSQL, and the name of a database with the tables, of which each test has a copy.
static CLUSTER: OnceCell<Option<(Cluster, String)>> = OnceCell::const_new();

impl Place {
    fn sqlite() -> Place {
        Place { data: tempfile::tempdir().unwrap(), url: None }
    }

    /// `None`: it is not installed.
    async fn postgres() -> Option<Place> {
        let cluster = CLUSTER.get_or_init(async || {
            let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap()?;
            let template = cluster.database(None);
            let db = sql::Place::Postgres(Secret::new(cluster.url(&template)));
            let db = db.connect(Mode::Server, 1).await.unwrap();
            schema::migrate(&db).await.unwrap();
            db.close().await.unwrap();
            Some((cluster, template))
        });
        let (cluster, template) = cluster.await.as_ref()?;
        Some(Place::at(cluster.url(&cluster.database(Some(template)))))
    }

    fn at(url: String) -> Place {
        Place { data: tempfile::tempdir().unwrap(), url: Some(Secret::new(url)) }
    }

    /// Another server's, with the same database.
    fn beside(&self) -> Place {
        Place { data: tempfile::tempdir().unwrap(), url: self.url.clone() }
    }

    fn data(&self) -> &Path {
        self.data.path()
    }

    async fn store(&self) -> Store {
        let store = self.store_that(0).await.unwrap();
        for _ in 0..500 {
            if store.core.is_ready() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        store
    }

    async fn store_that(&self, keep_days: u64) -> Result<Store, StoreError> {
        self.store_with(keep_days, Duration::from_secs(15)).await
    }

    async fn store_with(&self, keep_days: u64, lease: Duration) -> Result<Store, StoreError> {
        let hook = Webhook::new(HOOK, "", Secret::new(""));
        let settings = Settings {
            store: StoreSettings { keep_days, seal_key: Some(Secret::new(SEAL_KEY)), ..StoreSettings::default() },
            keep: BTreeMap::new(),
            webhooks: vec![Arc::new(hook)],
            allow_private: false,
        };
        let (data, url) = (self.data().to_owned(), self.url.clone());
        Store::start(StoreOptions { data, url, address: String::new(), lease }, settings, Arc::default()).await
    }

    async fn desk(&self) -> Result<Desk, StoreError> {
        Store::open(self.data(), self.url.as_ref()).await
    }

    fn folder(&self, call: &str) -> PathBuf {
        self.data().join("calls").join(super::folder_name(call))
    }

    /// What a call leaves in its folder.
    fn keep(&self, report: &Report) {
        fs::create_dir_all(self.folder(&report.call)).unwrap();
        fs::write(self.folder(&report.call).join("report.json"), serde_json::to_vec(report).unwrap()).unwrap();
    }

    async fn connect(&self) -> DatabaseConnection {
        sql::Place::new(self.data(), self.url.as_ref()).connect(Mode::Command, CONNECTIONS).await.unwrap()
    }

    async fn sql(&self, text: &str) {
        let db = self.connect().await;
        db.execute_unprepared(text).await.unwrap();
        db.close().await.unwrap();
    }
}

fn call(id: &str) -> NewCall {
    NewCall {
        id: id.to_owned(),
        carrier_call: format!("CA-{id}"),
        direction: Direction::Inbound,
        deployment: "desk".to_owned(),
        agent: "mia".to_owned(),
        revision: "r1".to_owned(),
        from: Some("+15550100001".to_owned()),
        to: Some("+15550100100".to_owned()),
        started: SystemTime::now(),
        answered: true,
    }
}

fn report(id: &str, end: EndReason) -> Report {
    let report = serde_json::from_value(json!({
        "schema": 1, "call": id, "carrier_call": format!("CA-{id}"), "started": written(now_ms()), "deployment": "desk",
        "agent": "mia", "revision": "r1", "rate_hz": 8000, "duration_ms": 1_500, "media_start_at_ms": 500,
        "model_ready_at_ms": null, "end": end, "lines": [], "turns": [], "interruptions": [], "notes": [], "keys": [],
        "tools": [], "gaps": [], "counters": {}, "usage": crate::engine::Usage::default(), "recording": null,
    }));
    report.unwrap()
}

fn ended(report: Report) -> EndedCall {
    EndedCall { report: Box::new(report), ended: SystemTime::now(), pictures: false }
}

/// An id of a call that began so many days ago, as earlier versions made them.
fn old_id(days_ago: i64, random: &str) -> String {
    format!("{}-{random}", date::compact(time_of(now_ms() - days_ago * 86_400_000)))
}

async fn row(store: &Store, id: &str) -> Option<CallRow> {
    // There may be no tables yet.
    entity::calls::Entity::find_by_id(id.to_owned()).one(store.db()).await.ok().flatten()
}

async fn outbox(store: &Store) -> Vec<OutboxRow> {
    let mut rows = entity::outbox::Entity::find().all(store.db()).await.unwrap();
    rows.sort_by_key(|row| row.seq);
    rows
}

/// An attempt that failed.
fn refused(why: &str) -> Attempt {
    Attempt { status: Some(500), took_ms: 7, answer: "no".to_owned(), error: Some(why.to_owned()) }
}

async fn told(store: &Store) -> Vec<(String, String)> {
    outbox(store).await.into_iter().map(|row| (row.call, row.kind)).collect()
}

fn pairs(call: &str, kinds: &[&str]) -> Vec<(String, String)> {
    kinds.iter().map(|kind| (call.to_owned(), (*kind).to_owned())).collect()
}

/// Waits until the chores of a start are done with `call`.
async fn until_row(store: &Store, call: &str, state: Option<CallState>) {
    for _ in 0..500 {
        if row(store, call).await.map(|row| row.state) == state {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{call} is not {state:?} after 5 s: {:?}", row(store, call).await);
}

async fn holds(store: &Store) -> Vec<entity::holds::Model> {
    entity::holds::Entity::find().all(store.db()).await.unwrap()
}

fn wish(id: &str) -> Wish {
    Wish { call: call(id), agent_max: None, limits: Limits::default() }
}

/// Ends a store as SIGKILL does: nothing is written any more, nothing let go of.
async fn kill(store: Store) {
    let tasks: Vec<_> = store.tasks.lock().unwrap().drain(..).collect();
    for task in tasks {
        task.abort();
        let _ = task.await;
    }
}

async fn until_ready(store: &Store) {
    for _ in 0..1_000 {
        if store.core.is_ready() && store.ill().is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not ready after 10 s: {:?}", store.ill());
}

/// Waits until nobody holds anything.
async fn until_free(store: &Store) {
    for _ in 0..500 {
        if holds(store).await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("held after 5 s: {:?}", holds(store).await);
}

async fn job(store: &Store, kind: &str, key: &str) -> Option<Job> {
    let all = entity::jobs::Entity::find().all(store.db()).await.unwrap();
    all.into_iter().find(|job| job.kind == kind && job.key == key)
}

/// Waits until a chore has been done, and is due in the future.
async fn until_done(store: &Store, kind: &str, key: &str) {
    for _ in 0..1_500 {
        let clock = sql::clock_ms(store.db()).await.unwrap();
        if job(store, kind, key).await.is_some_and(|job| job.owner.is_none() && job.due_ms > clock + 3_000_000) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{kind} {key} is not done: {:?}", job(store, kind, key).await);
}

/// Waits until the deletions of a start are over, which would otherwise come in between.
async fn until_quiet(store: &Store) {
    for key in [store.core.me.home.as_str(), "rows"] {
        until_done(store, "retention", key).await;
    }
}
