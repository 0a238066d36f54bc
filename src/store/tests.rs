//! What is kept, told, made up for and deleted.

use std::fs;
use std::sync::atomic::Ordering::Relaxed;

use sea_orm::{ConnectionTrait as _, EntityTrait as _, TransactionTrait as _};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::*;
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

mod hooks;
mod lists;
mod owners;
mod people;

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
    EndedCall { report: Box::new(report), ended: SystemTime::now() }
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

on_both! {
    a_call_is_kept_and_told_from_its_start_to_its_analysis,
    a_call_that_nobody_answered_is_told_to_have_ended_and_not_to_have_started,
    a_failed_call_is_told_as_such_and_nobody_is_told_what_he_did_not_ask_for,
    of_each_call_only_the_first_that_waits_is_due,
    what_a_killed_server_left_is_ended_by_its_report_or_lost,
    calls_from_before_there_was_a_database_get_rows_and_are_nobodys_news,
    what_is_old_goes_with_its_folder_and_what_was_begun_is_finished,
    no_word_or_number_of_a_call_outlives_it_in_an_event_that_waits_or_was_given_up,
    a_key_is_taken_once,
    costs_are_summed_by_deployment_and_by_the_persons_number,
    calls_are_listed_by_what_is_asked_and_found_by_a_part_of_their_id,
    carrier_calls_of_former_servers_are_known_however_they_came_to_their_end,
}

async fn a_call_is_kept_and_told_from_its_start_to_its_analysis(place: Place) {
    let store = place.store().await;
    let mut over = report("20260102T030405-aa", EndReason::CallerHungUp);
    over.cost_micros = 1_250;
    over.recording = Some(Recording { frames: 8_000, missing_from_ms: None, error: None });
    store.begin_call(call(&over.call));
    store.flush().await;
    let running = row(&store, &over.call).await.unwrap();
    assert_eq!(
        (running.state, running.ended_ms, running.from_number.as_deref()),
        (CallState::Running, None, Some("+15550100001"))
    );
    store.end_call(ended(over.clone()));
    store.end_call(ended(over.clone()));
    store.set_analysis(&over.call, json!({ "mood": "good" }));
    store.flush().await;
    let kept = row(&store, &over.call).await.unwrap();
    assert_eq!(
        (kept.state, kept.end_kind.as_deref(), kept.recording),
        (CallState::Ended, Some("caller_hung_up"), true)
    );
    assert_eq!((kept.duration_ms, kept.cost_micros), (Some(1_500), 1_250));
    assert_eq!(serde_json::from_str::<Report>(&kept.report.unwrap()).unwrap(), over);
    assert_eq!(kept.analysis.as_deref(), Some("{\"mood\":\"good\"}"));
    let all = ["call.started", "call.ended", "recording.ready", "analysis.ready"];
    assert_eq!(told(&store).await, pairs(&over.call, &all), "an end is told once, though it was handed over twice");
    let event: Value = serde_json::from_str(&outbox(&store).await[1].body).unwrap();
    assert_eq!(event["call"]["to"], "+15550100100");
    assert_eq!(
        (&event["data"]["end"]["kind"], &event["data"]["cost_micros"]),
        (&json!("caller_hung_up"), &json!(1_250))
    );
    assert_eq!(event["data"]["report"]["call"], over.call);
    store.stop().await;
}

async fn a_call_that_nobody_answered_is_told_to_have_ended_and_not_to_have_started(place: Place) {
    let store = place.store().await;
    for (id, how, kind) in [("a", NotAnswered::Busy, "call.ended"), ("b", NotAnswered::Failed, "call.failed")] {
        let over = report(id, EndReason::NotAnswered { how, why: String::new() });
        store.begin_call(NewCall { direction: Direction::Outbound, answered: false, ..call(id) });
        store.end_call(ended(over));
        store.flush().await;
        let kept = row(&store, id).await.unwrap();
        assert_eq!((kept.direction, kept.end_kind.as_deref()), (Direction::Outbound, Some("not_answered")));
        assert_eq!(
            told(&store).await.into_iter().filter(|(call, _)| call == id).collect::<Vec<_>>(),
            pairs(id, &[kind])
        );
    }
    store.stop().await;
}

async fn a_failed_call_is_told_as_such_and_nobody_is_told_what_he_did_not_ask_for(place: Place) {
    let store = place.store().await;
    for (call, end) in [
        ("a", EndReason::ModelSilent),
        ("b", EndReason::Internal { why: "x".to_owned() }),
        ("c", EndReason::DurationCap),
    ] {
        store.end_call(ended(report(call, end)));
    }
    store.flush().await;
    let over: Vec<_> = told(&store).await.into_iter().filter(|(_, kind)| kind != "call.started").collect();
    let expected = [("a", "call.failed"), ("b", "call.failed"), ("c", "call.ended")];
    assert_eq!(over, expected.map(|(call, kind)| (call.to_owned(), kind.to_owned())));
    let mut settings = store.core.settings.borrow().clone();
    let hook = Webhook { events: vec![EventType::AnalysisReady], ..(*settings.webhooks[0]).clone() };
    settings.webhooks = vec![Arc::new(hook)];
    store.set(settings);
    store.begin_call(call("d"));
    store.flush().await;
    assert!(told(&store).await.iter().all(|(call, _)| call != "d"));
    store.stop().await;
}

async fn of_each_call_only_the_first_that_waits_is_due(place: Place) {
    let store = place.store().await;
    for id in ["a", "b"] {
        store.begin_call(call(id));
        store.end_call(ended(report(id, EndReason::CallerHungUp)));
    }
    store.flush().await;
    let due = async |limit| {
        let rows = store.claim(HOOK, limit).await.unwrap();
        rows.into_iter().map(|row| (row.call, row.kind)).collect::<Vec<_>>()
    };
    assert!(store.next_due_ms(HOOK).await.unwrap().is_some_and(|ms| ms <= 0));
    assert_eq!(due(1).await, pairs("a", &["call.started"]));
    assert_eq!(due(9).await, pairs("b", &["call.started"]), "what is on its way still holds up its call");
    assert_eq!(store.next_due_ms(HOOK).await.unwrap(), None);
    let rows = outbox(&store).await;
    // One waits for its next attempt: its call waits with it, the other goes on.
    let of = |call: &str| rows.iter().find(|row| row.call == call).unwrap();
    store.failed(of("a"), &refused("500"), Some(60_000)).await.unwrap();
    assert!(store.next_due_ms(HOOK).await.unwrap().is_some_and(|ms| (50_000..=60_000).contains(&ms)));
    store.delivered(of("b"), &Attempt::default()).await.unwrap();
    assert_eq!(due(9).await, pairs("b", &["call.ended"]));
    // A clock that has jumped back since puts nothing off for ever.
    place.sql("UPDATE outbox SET next_at_ms = next_at_ms + 86400000 WHERE attempts > 0").await;
    assert_eq!(due(9).await, pairs("a", &["call.started"]));
    // One that was given up holds up nothing.
    let again = OutboxRow { attempts: 1, ..of("a").clone() };
    store.failed(&again, &refused("500"), None).await.unwrap();
    assert_eq!(due(9).await, pairs("a", &["call.ended"]));
    let desk = place.desk().await.unwrap();
    let dead = desk.dead(10).await.unwrap();
    assert_eq!((dead.len(), dead[0].attempts, dead[0].last_error.as_deref()), (1, 2, Some("500")));
    assert_eq!(desk.resend(Some("evt_other")).await.unwrap(), 0);
    assert_eq!(desk.resend(Some(&dead[0].id)).await.unwrap(), 1);
    assert_eq!(outbox(&store).await[0].attempts, 0);
    assert_eq!(store.give_up(HOOK, "gone").await.unwrap(), 3);
    assert_eq!(store.waiting().await.unwrap(), []);
    store.stop().await;
}

#[tokio::test]
async fn one_server_has_a_directory_and_commands_read_beside_it() {
    let place = Place::sqlite();
    assert!(matches!(place.desk().await, Err(StoreError::Absent(_))));
    let store = place.store().await;
    let second = place.store_that(0).await.err().unwrap();
    let said = second.to_string();
    assert!(said.contains("another server") && said.contains("data_dir"), "{said}");
    assert!(place.desk().await.is_ok());
    store.stop().await;
    place.store().await.stop().await;
}

#[tokio::test]
async fn a_database_of_another_version_is_left_alone() {
    let place = Place::sqlite();
    place.store().await.stop().await;
    place.sql("PRAGMA user_version = 99").await;
    let said = place.store_that(0).await.err().unwrap().to_string();
    assert!(said.contains("version 99") && said.contains("newer"), "{said}");
    assert!(matches!(place.desk().await, Err(StoreError::Newer { found: 99, .. })));
    place.sql("PRAGMA user_version = 0").await;
    let said = place.desk().await.err().unwrap().to_string();
    assert!(said.contains("start the server"), "{said}");
}

async fn what_a_killed_server_left_is_ended_by_its_report_or_lost(place: Place) {
    let store = place.store().await;
    let (with, without, unwritten) = (old_id(0, "0a"), old_id(0, "0b"), old_id(0, "0c"));
    store.begin_call(call(&with));
    store.begin_call(call(&without));
    store.flush().await;
    store.stop().await;
    // Between the report and the row: once with a row that says that it runs, once without any.
    place.keep(&report(&with, EndReason::CallerHungUp));
    let mut late = report(&unwritten, EndReason::CallerHungUp);
    late.duration_ms = 0;
    place.keep(&late);
    fs::create_dir_all(place.folder(&without)).unwrap();
    // Past the second in which they began, so that they are another server's.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let store = place.store().await;
    until_row(&store, &with, Some(CallState::Ended)).await;
    until_row(&store, &without, Some(CallState::Lost)).await;
    until_row(&store, &unwritten, Some(CallState::Ended)).await;
    let all = told(&store).await;
    let of = |call: &str| all.iter().filter(|(c, _)| c == call).cloned().collect::<Vec<_>>();
    assert_eq!(of(&with), pairs(&with, &["call.started", "call.ended"]));
    assert_eq!(of(&without), pairs(&without, &["call.started", "call.failed"]));
    assert_eq!(of(&unwritten), pairs(&unwritten, &["call.started", "call.ended"]));
    let counters = Arc::clone(&store.core.counters);
    let counted = || (counters.repaired.load(Relaxed), counters.lost.load(Relaxed));
    for _ in 0..500 {
        if counted() == (2, 1) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(counted(), (2, 1));
    store.stop().await;
    // Another start finds nothing to do.
    let store = place.store().await;
    store.flush().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(told(&store).await, all);
    store.stop().await;
}

async fn calls_from_before_there_was_a_database_get_rows_and_are_nobodys_news(place: Place) {
    let (old, killed) = (old_id(9, "0a"), old_id(9, "0b"));
    let mut report = report(&old, EndReason::CallerHungUp);
    report.started = written(now_ms() - 9 * 86_400_000);
    place.keep(&report);
    fs::create_dir_all(place.folder(&killed)).unwrap();
    fs::create_dir_all(place.folder("not-a-call")).unwrap();
    let store = place.store().await;
    until_row(&store, &old, Some(CallState::Ended)).await;
    until_row(&store, &killed, Some(CallState::Lost)).await;
    assert_eq!(row(&store, &old).await.unwrap().started_ms, read(&report.started).unwrap());
    assert_eq!(told(&store).await, []);
    store.stop().await;
}

async fn what_is_old_goes_with_its_folder_and_what_was_begun_is_finished(place: Place) {
    let store = place.store().await;
    let (old, young) = (old_id(40, "0a"), old_id(1, "0b"));
    for call in [&old, &young] {
        let mut over = report(call, EndReason::CallerHungUp);
        over.started = written(id::began(call).map(|(ms, _)| ms).unwrap());
        store.end_call(EndedCall { ended: time_of(id::began(call).map(|(ms, _)| ms).unwrap()), ..ended(over.clone()) });
        store.flush().await;
        place.keep(&over);
    }
    let long = old_id(50, "0c");
    store.begin_call(NewCall { started: time_of(id::began(&long).map(|(ms, _)| ms).unwrap()), ..call(&long) });
    store.flush().await;
    // Another call's deletion was interrupted between its two halves.
    let half = old_id(60, "0d");
    let mut over = report(&half, EndReason::CallerHungUp);
    over.started = written(id::began(&half).map(|(ms, _)| ms).unwrap());
    store.end_call(ended(over));
    store.flush().await;
    let aside = place.data().join("calls").join(format!(".deleted-{half}"));
    fs::create_dir_all(&aside).unwrap();
    let mut settings = store.core.settings.borrow().clone();
    settings.store.keep_days = 30;
    store.set(settings);
    retention::sweep(&store.core).await.unwrap();
    assert_eq!((row(&store, &old).await, row(&store, &half).await), (None, None));
    assert!(!place.folder(&old).exists() && !aside.exists());
    assert_eq!(row(&store, &young).await.unwrap().state, CallState::Ended);
    assert!(place.folder(&young).join("report.json").exists());
    assert_eq!(row(&store, &long).await.unwrap().state, CallState::Running, "a call that is up is never deleted");
    let kept = told(&store).await;
    assert!(kept.iter().all(|(call, _)| call != &old && call != &half), "nothing of them is left: {kept:?}");
    assert!(kept.contains(&(young.clone(), "call.ended".to_owned())), "what others have to tell stays: {kept:?}");
    assert_eq!(store.core.counters.deleted.load(Relaxed), 1);
    store.stop().await;
}

async fn no_word_or_number_of_a_call_outlives_it_in_an_event_that_waits_or_was_given_up(place: Place) {
    let store = place.store().await;
    let (old, young) = (old_id(31, "0a"), old_id(1, "0b"));
    for call_id in [&old, &young] {
        let began = time_of(id::began(call_id).map(|(ms, _)| ms).unwrap());
        store.begin_call(NewCall { started: began, from: Some(format!("+1555{call_id}")), ..call(call_id) });
        let mut over = report(call_id, EndReason::AgentHungUp { why: format!("the words of {call_id}") });
        over.started = written(ms_of(began));
        store.end_call(EndedCall { ended: began, ..ended(over) });
        store.set_analysis(call_id, json!({ "found": format!("a matter of {call_id}") }));
    }
    // One of a call whose row is gone already, by an earlier version.
    let orphan = old_id(45, "0c");
    store.event(&orphan, EventType::CallTransferred, json!({ "end": { "to": format!("+1555{orphan}") } }));
    store.flush().await;
    let events = outbox(&store).await;
    let of = |call: &str| events.iter().filter(|event| event.call == call).collect::<Vec<_>>();
    assert_eq!((of(&old).len(), of(&orphan).len()), (3, 1));
    // Given up after the call's end, as the last of its events are.
    store.failed(of(&old)[2], &refused("HTTP 500"), None).await.unwrap();
    let aged = now_ms() - 45 * 86_400_000;
    store.insert_dial("k", "hash", "failed").await.unwrap();
    let error = format!("the number +1555{old} is not valid");
    store.note_dial("k", DialChange { error: Some(error), ..DialChange::default() }).await.unwrap();
    place.sql(&format!("UPDATE dials SET created_ms = {aged}")).await;
    place.sql(&format!("UPDATE outbox SET created_ms = {aged} WHERE call = '{orphan}'")).await;
    let mut settings = store.core.settings.borrow().clone();
    settings.store.keep_days = 30;
    store.set(settings);
    retention::sweep(&store.core).await.unwrap();
    let left = outbox(&store).await;
    assert!(left.iter().all(|event| event.call == young) && left.len() == 3, "{left:?}");
    assert_eq!(store.core.counters.events_deleted.load(Relaxed), 4);
    store.stop().await;
    for file in fs::read_dir(place.data()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let bytes = fs::read(&file).unwrap();
        for word in [&old, &orphan] {
            let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!found, "{} has {word}", file.display());
        }
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_costs_no_call_and_is_taken_up_once_it_can() {
    let place = Place::sqlite();
    fs::write(place.data().join(FILE), "this is no database, but long enough to be taken for one".repeat(20)).unwrap();
    let store = place.store().await;
    let began = Instant::now();
    store.begin_call(call("a"));
    for n in 0..QUEUE_JOBS {
        store.event("a", EventType::CallTransferred, json!({ "n": n }));
    }
    assert!(began.elapsed() < Duration::from_secs(1), "nobody waits for it");
    let counters = Arc::clone(&store.core.counters);
    assert_eq!(counters.dropped.load(Relaxed), 1, "what finds no room is dropped, and counted");
    assert!(matches!(
        store.spent_micros_since(&Spender::Deployment("desk".to_owned()), 0).await,
        Err(StoreError::Db(_))
    ));
    for _ in 0..500 {
        if counters.failed.load(Relaxed) > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(counters.failed.load(Relaxed) > 0, "what fails is counted");
    fs::remove_file(place.data().join(FILE)).unwrap();
    until_row(&store, "a", Some(CallState::Running)).await;
    store.stop().await;
}

async fn a_key_is_taken_once(place: Place) {
    let store = place.store().await;
    let DialInserted::New(dial) = store.insert_dial("k", "hash", "asked").await.unwrap() else { panic!("it is new") };
    assert_eq!((dial.state.as_str(), dial.carrier_call), ("asked", None));
    let change =
        DialChange { state: Some("ringing".to_owned()), carrier_call: Some("CA1".to_owned()), ..DialChange::default() };
    assert!(store.update_dial("k", change).await.unwrap());
    let DialInserted::Known(dial) = store.insert_dial("k", "other", "asked").await.unwrap() else {
        panic!("it is taken")
    };
    assert_eq!((dial.request_hash.as_str(), dial.state.as_str()), ("hash", "ringing"));
    assert_eq!(store.dial_of_carrier_call("CA1").await.unwrap(), Some(dial));
    assert!(
        !store.update_dial("none", DialChange { state: Some("x".to_owned()), ..DialChange::default() }).await.unwrap()
    );
    assert_eq!(store.dial("none").await.unwrap(), None);
    store.stop().await;
}

async fn costs_are_summed_by_deployment_and_by_the_persons_number(place: Place) {
    let store = place.store().await;
    let add = |id: &str, direction, from: &str, to: &str, cost_micros| {
        let (from, to) = (Some(from.to_owned()), Some(to.to_owned()));
        store.begin_call(NewCall { direction, from, to, ..call(id) });
        store.end_call(ended(Report { cost_micros, ..report(id, EndReason::CallerHungUp) }));
    };
    add("a", Direction::Inbound, "+15550100001", "+15550100100", 5);
    add("b", Direction::Outbound, "+15550100100", "+15550100001", 7);
    add("c", Direction::Inbound, "+15550100002", "+15550100100", 11);
    store.flush().await;
    let spent = async |of: Spender, since| store.spent_micros_since(&of, since).await.unwrap();
    assert_eq!(spent(Spender::Deployment("desk".to_owned()), 0).await, 23);
    assert_eq!(spent(Spender::Number("+15550100001".to_owned()), 0).await, 12);
    assert_eq!(spent(Spender::Number("+15550100100".to_owned()), 0).await, 0, "our own number is nobody's");
    assert_eq!(spent(Spender::Deployment("desk".to_owned()), now_ms() + 1_000).await, 0);
    store.stop().await;
}

async fn calls_are_listed_by_what_is_asked_and_found_by_a_part_of_their_id(place: Place) {
    let store = place.store().await;
    for (id, end) in
        [("20260102T030405-aa01", EndReason::CallerHungUp), ("20260102T030406-aa02", EndReason::ModelSilent)]
    {
        store.begin_call(call(id));
        store.end_call(ended(report(id, end)));
    }
    store.begin_call(call("20260103T030405-bb01"));
    store.flush().await;
    let desk = place.desk().await.unwrap();
    let list = async |filter: CallFilter| {
        let limit = if filter.limit == 0 { 10 } else { filter.limit };
        let rows = desk.calls(&CallFilter { limit, ..filter }).await.unwrap();
        assert!(rows.iter().all(|row| row.report.is_none()), "reports are not listed");
        rows.into_iter().map(|row| row.id[16..].to_owned()).collect::<Vec<_>>()
    };
    let all = CallFilter::default();
    assert_eq!(list(CallFilter { limit: 1, ..all.clone() }).await, ["bb01"]);
    assert_eq!(list(CallFilter { end: Some("model_silent".to_owned()), ..all.clone() }).await, ["aa02"]);
    assert_eq!(list(CallFilter { state: Some(CallState::Running), ..all.clone() }).await, ["bb01"]);
    assert_eq!(list(CallFilter { number: Some("+15550100001".to_owned()), ..all.clone() }).await.len(), 3);
    assert_eq!(list(CallFilter { number: Some("+1".to_owned()), ..all.clone() }).await.len(), 0);
    assert_eq!(list(CallFilter { deployment: Some("desk".to_owned()), ..all.clone() }).await.len(), 3);
    assert_eq!(list(CallFilter { since_ms: Some(now_ms() + 1_000), ..all.clone() }).await.len(), 0);
    assert_eq!(list(CallFilter { until_ms: Some(now_ms() + 1_000), ..all }).await.len(), 3);
    for (part, found) in
        [("20260102T030405-aa01", 1), ("20260102", 2), ("aa02", 1), ("2026", 3), ("%", 0), ("", 0), ("zz", 0)]
    {
        assert_eq!(desk.find(part, 10).await.unwrap().len(), found, "{part}");
    }
    store.stop().await;
}

/// A transaction that finds no room, in a connection of its own: the others know of no limit.
async fn fail_for_want_of_room(db: &DatabaseConnection) {
    let txn = db.begin_with_options(sql::immediate()).await.unwrap();
    txn.execute_unprepared("PRAGMA max_page_count = 1").await.unwrap();
    let full = txn.execute_unprepared(
        "INSERT INTO dials VALUES (hex(zeroblob(500000)), '', 9000000000000, '', NULL, NULL, NULL, NULL)",
    );
    let why = full.await.unwrap_err().to_string();
    assert!(why.contains("full"), "{why}");
}

#[tokio::test]
async fn a_connection_whose_transaction_found_the_disk_full_is_not_used_again() {
    let place = Place::sqlite();
    let store = place.store().await;
    store.begin_call(call("20261120T231455-1f00ca"));
    store.flush().await;
    for n in 0..2 * CONNECTIONS {
        fail_for_want_of_room(store.db()).await;
        let txn = store.db().begin_with_options(sql::immediate()).await.expect("a transaction");
        txn.execute_unprepared(&format!(
            "INSERT INTO dials VALUES ('{n}', '', 9000000000000, '', NULL, NULL, NULL, NULL)"
        ))
        .await
        .unwrap();
        txn.commit().await.expect("room for a row");
    }
    // Written, and not only by a transaction within one that is open for ever; and nobody is locked out.
    place
        .sql("BEGIN IMMEDIATE; INSERT INTO dials VALUES ('x', '', 9000000000000, '', NULL, NULL, NULL, NULL); COMMIT")
        .await;
    let db = place.connect().await;
    let row =
        db.query_one_raw(sea_orm::Statement::from_string(db.get_database_backend(), "SELECT count(*) FROM dials"));
    assert_eq!(row.await.unwrap().unwrap().try_get_by_index::<i64>(0).unwrap(), i64::from(2 * CONNECTIONS + 1));
    store.stop().await;
}

#[tokio::test]
async fn calls_are_kept_and_told_again_as_soon_as_there_is_room() {
    let place = Place::sqlite();
    let store = place.store().await;
    store.begin_call(call("20261120T231455-1f00ca"));
    store.flush().await;
    // Known to this connection alone: it never finds room again, as if it were stuck in what has failed.
    store.core.turn.lock().await.execute_unprepared("PRAGMA max_page_count = 1").await.unwrap();
    let long = EndReason::AgentHungUp { why: "at length ".repeat(20_000) };
    store.end_call(ended(report("20261120T231455-1f00ca", long)));
    store.begin_call(call("20261120T231500-2f00ca"));
    until_row(&store, "20261120T231455-1f00ca", Some(CallState::Ended)).await;
    until_row(&store, "20261120T231500-2f00ca", Some(CallState::Running)).await;
    assert!(store.core.counters.failed.load(Relaxed) > 0, "it had failed");
    let told = told(&store).await;
    assert_eq!(told.iter().filter(|(_, kind)| kind == "call.ended").count(), 1, "told, and once: {told:?}");
    assert_eq!(told.iter().filter(|(_, kind)| kind == "call.started").count(), 2);
    place.sql("BEGIN IMMEDIATE; ROLLBACK").await;
    store.stop().await;
}

#[tokio::test]
async fn the_state_of_a_placed_call_is_written_once_it_can_and_the_newest_wins() {
    let place = Place::sqlite();
    let store = place.store().await;
    store.insert_dial("k", "hash", "queued").await.unwrap();
    let state = |name: &str| DialChange { state: Some(name.to_owned()), ..DialChange::default() };
    // Another program holds the database for longer than anybody waits for it.
    let other = place.connect().await;
    let txn = other.begin_with_options(sql::immediate()).await.unwrap();
    let ringing = DialChange { carrier_call: Some("CA1".to_owned()), ..state("ringing") };
    assert!(store.note_dial("k", ringing).await.is_err());
    assert!(store.note_dial("k", state("answered")).await.is_err());
    assert_eq!(store.dial("k").await.unwrap().unwrap().state, "queued");
    txn.commit().await.unwrap();
    for _ in 0..2_000 {
        if store.dial("k").await.unwrap().unwrap().state == "answered" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let dial = store.dial("k").await.unwrap().unwrap();
    assert_eq!((dial.state.as_str(), dial.carrier_call.as_deref()), ("answered", Some("CA1")));
    store.note_dial("k", state("completed")).await.unwrap();
    assert_eq!(store.dial("k").await.unwrap().unwrap().state, "completed");
    store.stop().await;
}

async fn carrier_calls_of_former_servers_are_known_however_they_came_to_their_end(place: Place) {
    let store = place.store().await;
    let ago = |s: u64| SystemTime::now() - Duration::from_secs(s);
    for (id, began) in [("over", ago(2)), ("up", ago(600)), ("young", ago(5))] {
        store.begin_call(NewCall { started: began, ..call(id) });
    }
    store.end_call(ended(report("over", EndReason::CallerHungUp)));
    store.flush().await;
    let before_ms = ms_of(ago(15));
    let known = async |store: &Store, limit| store.former_carrier_calls(before_ms, limit).await.unwrap();
    // Whether their server was lost is noted by the next one, and makes no difference.
    assert_eq!(known(&store, 9).await, ["CA-up", "CA-over"]);
    store.stop().await;
    let store = place.store().await;
    until_row(&store, "up", Some(CallState::Lost)).await;
    until_row(&store, "young", Some(CallState::Lost)).await;
    assert_eq!(known(&store, 9).await, ["CA-up", "CA-over"], "the carrier may still ask what to do with the young one");
    assert_eq!(known(&store, 1).await, ["CA-over"]);
    store.stop().await;
}

#[tokio::test]
async fn an_event_that_is_deleted_for_its_age_is_not_left_in_the_log_of_writes() {
    let place = Place::sqlite();
    let store = place.store().await;
    let orphan = old_id(45, "0d");
    store.event(&orphan, EventType::CallTransferred, json!({ "end": { "to": format!("+1555{orphan}") } }));
    store.flush().await;
    let aged = now_ms() - 45 * 86_400_000;
    place.sql(&format!("UPDATE outbox SET created_ms = {aged}")).await;
    let mut settings = store.core.settings.borrow().clone();
    settings.store.keep_days = 30;
    store.set(settings);
    // No call is deleted with it.
    retention::sweep(&store.core).await.unwrap();
    assert!(outbox(&store).await.is_empty());
    for file in fs::read_dir(place.data()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let found = fs::read(&file).unwrap().windows(orphan.len()).any(|window| window == orphan.as_bytes());
        assert!(!found, "{} has it", file.display());
    }
    store.stop().await;
}
