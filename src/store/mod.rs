//! The store: one row per call with its report, the outbox of webhooks, requests to dial out, jobs, and revisions of
//! documents; in SQLite at `offhook.db` in the data directory, or in PostgreSQL, which several servers share.
//!
//! A call's folder stays the truth of what happened in it; the store is what lists, filters, adds up and passes on. **A call
//! is let in by it** (`admit`), and never waits for it after that: what is to be kept is handed over a bounded queue to one
//! writer, and what could not be written, because the disk is full or the process was killed, is made up for from the
//! folders (`reconcile`).
//!
//! **Rows have owners.** Running calls, their places, events on their way, jobs and placed calls belong to a server's process,
//! and are another's to settle or to take up once that one is gone (`lease`).
//!
//! - `schema` has the tables and their versions, `entity` their types, `sql` all that differs between the two databases,
//!   `lock` keeps a second server away from a data directory.
//! - `endpoints` has who is told, and switches off whom nothing reaches; `deliveries` logs attempts and sends again, `changes`
//!   tells of documents, `seal` keeps secrets that are in rows.
//! - `admit` lets calls in, `share` says what they may cost; `writer` takes what calls hand over, `calls` and `outbox`
//!   write it.
//! - `chores` are jobs that the store does itself, by `reconcile` and `retention`.
//! - `lists` has a narrow row for each call, by which lists are made; `usage` sums by the hour, and what is left of budgets.
//! - `knowledge` has what agents look things up in, and finds it.
//! - `persons` has callers who are known, and erases people, on every server.
//! - `outbox`, `dials`, `jobs`, `numbers` and `revisions` are also the ways in for who sends webhooks, dials, works, buys phone
//!   numbers, and keeps documents.
//! - `locks` has what locks agents, `commands` what one server asks of another, `notices` tells all of them what is new.
//! - [`people`] has who may do what: users, sessions, keys, and the log of what they did.

mod admit;
mod calls;
mod changes;
mod chores;
mod commands;
mod counters;
mod deliveries;
mod dials;
mod endpoints;
mod entity;
mod event;
mod history;
mod id;
mod jobs;
mod kept;
mod knowledge;
mod lease;
mod lists;
mod lock;
mod locks;
mod moment;
mod near;
mod notices;
mod numbers;
mod outbox;
pub mod people;
mod persons;
mod reconcile;
mod requests;
mod retention;
mod revisions;
mod schema;
mod seal;
mod share;
mod sql;
#[cfg(test)]
mod tests;
mod usage;
mod whose;
mod writer;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sea_orm::{DatabaseConnection, DbErr};
use serde_json::Value;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::config::{EventType, KeepDays, Secret, StoreSettings, Webhook};
use crate::house::Refusal;

pub use admit::{Denied, LONGEST as LONGEST_ADMISSION, Wish};
pub use calls::{CallFilter, EndedCall, NewCall, Spender};
pub use commands::{Asked, Reply};
pub use counters::Counters;
pub use deliveries::{
    ANSWER_BYTES, Attempt, Delivery, DeliveryFilter, KEPT_DAYS as DELIVERIES_DAYS, Outcome, Replayed, Sample,
};
pub use dials::{Dial, DialChange, DialInserted};
pub use endpoints::{Endpoint, EndpointRow, EndpointState, NOTICE_DAYS, NewEndpoint, OFF_DAYS, ROTATION_MS};
pub use entity::calls::{Direction, Model as CallRow, State as CallState};
pub use entity::outbox::{Model as OutboxRow, State as OutboxState};
pub use event::VERSION as EVENT_VERSION;
pub use history::Version;
pub use id::{Kind as IdKind, folder as folder_name, new as new_id};
pub use jobs::{FreshJobs, Job, KNOWLEDGE, NewJob, PICTURES};
pub use knowledge::{
    Document as KnowledgeRow, Fetched, Hit, Knowledge, MAX_HITS, NewDocument as NewKnowledge, State as KnowledgeState,
    Taken as KnowledgeTaken,
};
pub use lists::{ListFilter, ListPage, ListPlace, Listed, MAX_PAGE, listed_as, listed_of};
pub use moment::{now_ms, read, written};
pub use notices::{Listener, Topic};
pub use numbers::{
    Difference, DifferenceKind, Entered, Found, MOST_NUMBERS, NewNumber, NumberChange, NumberOrigin, NumberRow,
    NumberState, Sweep,
};
pub use persons::callers::{Caller, Callers, Known as KnownCaller};
pub use persons::erase::{Erasure, Found as FoundOfPerson};
pub use requests::{KEPT_MS as KEYS_KEPT_MS, KeyTaken};
pub use revisions::{Document, Locked, NewDocument, Revisions};
pub use share::{Limits, minute_micros};
pub use usage::{MAX_USAGE_ROWS, Spent, Usage, UsageBy, UsageFilter};

use lease::Me;
use moment::{ms_of, time_of};
use sql::{Mode, Place};
use writer::{Work, Writer};

/// The database's name in the data directory.
pub const FILE: &str = "offhook.db";

/// What may wait for the writer: seconds of the busiest server, and less than 100 MB of reports.
const QUEUE_JOBS: usize = 1_024;
/// How long a question may take; whoever asks is on a call's way.
const PATIENCE: Duration = Duration::from_secs(2);
/// Connections for the outbox and for questions, beside the one for transactions.
const CONNECTIONS: u32 = 4;
/// How long a statement may take that nobody waits for: a way to the database that was cut tells nobody so.
const LONGEST: Duration = Duration::from_secs(15);
/// How long the end of a server waits for what was handed over.
const STOP: Duration = Duration::from_secs(5);

/// The store of a running server. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    core: Arc<Core>,
    wishes: mpsc::Sender<admit::Waiting>,
    stopping: Arc<watch::Sender<bool>>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// What its parts share.
struct Core {
    db: DatabaseConnection,
    place: Place,
    data: PathBuf,
    /// This process, as rows name it.
    me: Me,
    /// To the writer.
    queue: mpsc::Sender<Work>,
    counters: Arc<Counters>,
    settings: watch::Sender<Settings>,
    /// Endpoints of the store, and how all fare, as last read.
    known: watch::Sender<endpoints::Known>,
    /// Who is told, by both.
    hooks: watch::Sender<Arc<[Arc<Webhook>]>>,
    /// Whose turn it is to write, with the connection for transactions. SQLite lets who finds it busy sleep and try again,
    /// which is nobody's turn; this is in the order of asking.
    turn: tokio::sync::Mutex<DatabaseConnection>,
    /// The same for who lets calls in, where there can be several writers.
    door: tokio::sync::Mutex<DatabaseConnection>,
    /// The tables are there, and what former processes left is settled.
    ready: AtomicBool,
    /// It was tried once to make it so.
    tried: watch::Sender<bool>,
    /// Why calls are not let in, when that was last tried.
    ill: Mutex<Option<String>>,
    /// What is new, by this process and others.
    hub: notices::Hub,
    /// Jobs may be new, or their calls over.
    work: watch::Sender<()>,
    /// Somebody is to be erased.
    erase: Notify,
    /// What this process has claimed.
    in_hand: Claims,
    /// The outbox may have something new.
    fresh: Notify,
    /// Something could not be written: the folders have it.
    missing: Notify,
    /// States of placed calls that wait to be written.
    unwritten: dials::Unwritten,
    /// Where passwords are looked at.
    hasher: people::Hasher,
    /// When trouble was last said.
    said: Mutex<Option<Instant>>,
    /// When this server began, in milliseconds since 1970.
    since_ms: i64,
}

/// Rows that a process has claimed, of each table that has any.
#[derive(Debug, Default)]
struct Claims {
    jobs: jobs::InHand,
    events: jobs::InHand,
    /// Idempotency keys of requests that are being carried out.
    keys: Mutex<HashSet<String>>,
}

impl Claims {
    fn keys(&self) -> MutexGuard<'_, HashSet<String>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a store is started with.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The data directory; made if there is none.
    pub data: PathBuf,
    /// PostgreSQL's URL; `None`: SQLite in the data directory.
    pub url: Option<Secret>,
    /// Where this server listens, for people who look at who has what.
    pub address: String,
    /// How long this server may say nothing before others take it for gone.
    pub lease: Duration,
}

/// What the store runs by; a change applies at once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is kept.
    pub store: StoreSettings,
    /// Agents whose calls are kept for another time, by name.
    pub keep: BTreeMap<String, KeepDays>,
    /// Who is told, by `offhook.toml`.
    pub webhooks: Vec<Arc<Webhook>>,
    /// Whether endpoints that were made by the API may be on private networks.
    pub allow_private: bool,
}

/// Why the store does not do what it should.
#[derive(Debug)]
pub enum StoreError {
    /// Another server keeps its calls in the directory.
    Taken {
        /// The directory.
        data: PathBuf,
        /// The other's process, if it says so.
        holder: String,
    },
    /// The database was written by a newer program.
    Newer {
        /// Its version.
        found: i64,
        /// What this program knows.
        known: u32,
    },
    /// The database was written by an older program, and only a server may change it.
    Older {
        /// Its version.
        found: u32,
        /// What this program knows.
        known: u32,
    },
    /// There is no database.
    Absent(PathBuf),
    /// A file or directory is not usable.
    Io(String),
    /// PostgreSQL is one that cannot be used.
    Unsuitable(String),
    /// PostgreSQL takes no writes.
    ReadOnly,
    /// The tables are not there yet.
    Unready,
    /// What is asked for is not one that can be kept.
    Refused(String),
    /// What was asked for rests on something that has changed since.
    Stale,
    /// The database refuses.
    Db(DbErr),
    /// It took too long.
    Slow,
    /// A row is gone that was there a moment ago.
    Gone,
    /// A rule of the house forbids it, by what there is.
    Rule(Refusal),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Taken { data, holder } => {
                let who = if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
                let data = data.display();
                write!(
                    f,
                    "another server{who} keeps its calls in {data}: end it, or choose another `data_dir` in offhook.toml, or --data"
                )
            }
            StoreError::Newer { found, known } => write!(
                f,
                "the database has version {found}, and this program knows versions up to {known}: it was written by a newer offhook; start that one, or choose another `data_dir` or [store] url"
            ),
            StoreError::Older { found, known } => write!(
                f,
                "the database has version {found}, and this program needs {known}: start the server of this version once, which brings it up to date"
            ),
            StoreError::Absent(path) => {
                write!(f, "{}: there is no database; a server makes it when it starts", path.display())
            }
            StoreError::Io(why) | StoreError::Unsuitable(why) | StoreError::Refused(why) => f.write_str(why),
            StoreError::ReadOnly => f.write_str(
                "PostgreSQL at [store] url takes no writes (a standby, or default_transaction_read_only): name the primary",
            ),
            StoreError::Unready => f.write_str("the database has not been reached yet"),
            StoreError::Db(error) => write!(f, "the database: {error}"),
            StoreError::Slow => f.write_str("the database does not answer in time"),
            StoreError::Gone => f.write_str("the database: a row is gone"),
            StoreError::Rule(refusal) => refusal.fmt(f),
            StoreError::Stale => f.write_str("something has changed meanwhile: read it again"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        StoreError::Rule(refusal)
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        StoreError::Db(error)
    }
}

impl Store {
    /// Opens the store of a data directory, which is made if there is none, and starts its writer. A database that cannot be
    /// reached, opened or written now is tried again later, and until then the store keeps what its queue holds and lets no
    /// call in.
    ///
    /// # Errors
    /// Another server has the directory, a newer program wrote the database, or PostgreSQL is too old.
    pub async fn start(
        options: StoreOptions,
        settings: Settings,
        counters: Arc<Counters>,
    ) -> Result<Store, StoreError> {
        let StoreOptions { data, url, address, lease } = options;
        let lock = match lock::Lock::take(&data) {
            Ok(lock) => Some(lock),
            Err(taken @ StoreError::Taken { .. }) => return Err(taken),
            // Nothing can be written there, by nobody: the writer says so, and tries again.
            Err(_) => None,
        };
        let place = Place::new(&data, url.as_ref());
        let me = Me {
            id: id::new_at_any_rate(id::Kind::Server),
            home: lock::home(&data),
            name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            address,
            lease,
        };
        let (queue, handed_over) = mpsc::channel(QUEUE_JOBS);
        let core = Arc::new(Core {
            db: place.connect(Mode::Server, CONNECTIONS).await?,
            turn: tokio::sync::Mutex::new(place.connect(Mode::Server, 1).await?),
            door: tokio::sync::Mutex::new(place.connect(Mode::Server, 1).await?),
            place,
            data,
            me,
            queue,
            hasher: people::Hasher::new(Arc::clone(&counters)),
            counters,
            settings: watch::Sender::new(settings),
            known: watch::Sender::default(),
            hooks: watch::Sender::new(Arc::default()),
            ready: AtomicBool::new(false),
            tried: watch::Sender::new(false),
            ill: Mutex::new(None),
            hub: notices::Hub::new(),
            work: watch::Sender::new(()),
            erase: Notify::new(),
            in_hand: Claims::default(),
            fresh: Notify::new(),
            missing: Notify::new(),
            unwritten: dials::Unwritten::default(),
            said: Mutex::new(None),
            since_ms: now_ms(),
        });
        core.join_hooks();
        if lock.is_some() {
            match core.in_time(schema::fits(&core.db)).await {
                Err(never @ (StoreError::Newer { .. } | StoreError::Unsuitable(_))) => return Err(never),
                done => core.feels(done.as_ref().err()),
            }
        }
        let (wishes, wanted) = mpsc::channel(admit::QUEUE);
        let stopping = watch::Sender::new(false);
        let writer = Writer::new(Arc::clone(&core), handed_over, stopping.subscribe(), lock);
        let store = Store { core, wishes, stopping: Arc::new(stopping), tasks: Arc::default() };
        store.spawn(writer.run());
        store.spawn(admit::run(Arc::clone(&store.core), wanted, store.stopping.subscribe()));
        store.spawn(dials::write_later(Arc::clone(&store.core), store.stopping.subscribe()));
        if !store.core.place.is_own() {
            store.spawn(notices::hear(Arc::clone(&store.core), store.stopping.subscribe()));
        }
        store.spawn(endpoints::keep(Arc::clone(&store.core), store.stopping.subscribe()));
        // The first caller finds it ready, unless it cannot be.
        let _ = tokio::time::timeout(PATIENCE, store.core.tried.subscribe().wait_for(|tried| *tried)).await;
        Ok(store)
    }

    /// Opens the store of a data directory, or of PostgreSQL's URL, for a command, beside its servers or without one.
    ///
    /// # Errors
    /// There is no database, it is of another version, or it cannot be read.
    pub async fn open(data: &Path, url: Option<&Secret>) -> Result<Desk, StoreError> {
        if url.is_none() && !data.join(FILE).exists() {
            return Err(StoreError::Absent(data.join(FILE)));
        }
        let db = Place::new(data, url).connect(Mode::Command, CONNECTIONS).await?;
        schema::check(&db).await?;
        Ok(Desk { db })
    }

    /// This process, as rows name it.
    pub fn server(&self) -> &str {
        &self.core.me.id
    }

    /// Why no call is let in now, if that is so.
    pub fn ill(&self) -> Option<String> {
        if !self.core.is_ready() {
            let ill = self.core.ill.lock().unwrap_or_else(PoisonError::into_inner).clone();
            return Some(ill.unwrap_or_else(|| StoreError::Unready.to_string()));
        }
        self.core.ill.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the store runs by from now on.
    pub fn set(&self, settings: Settings) {
        self.core.settings.send_replace(settings);
        self.core.join_hooks();
    }

    /// A call has begun: its row, and `call.started`. Never waits.
    pub fn begin_call(&self, call: NewCall) {
        self.core.hand_over(Work::Begin(Box::new(call)));
    }

    /// A call is over and its report is written: its row and the events of its end, in one transaction. Never waits.
    pub fn end_call(&self, call: EndedCall) {
        self.core.hand_over(Work::End(Box::new(call)));
    }

    /// Something happened in a call. `data` becomes the event's `data`. Never waits.
    pub fn event(&self, call: &str, kind: EventType, data: Value) {
        self.core.hand_over(Work::Event { call: call.to_owned(), kind, data: Box::new(data) });
    }

    /// What the analysis of a call found, with `analysis.ready`, in one transaction. Never waits.
    pub fn set_analysis(&self, call: &str, analysis: Value) {
        self.core.hand_over(Work::Analysis { call: call.to_owned(), analysis: Box::new(analysis) });
    }

    /// A call's line is over: it counts for no cap any more. Never waits.
    pub fn hang_up(&self, call: &str) {
        self.core.hand_over(Work::HangUp(call.to_owned()));
    }

    /// A call that was let in comes to nothing, and leaves no row. Never waits.
    pub fn release(&self, call: &str) {
        self.core.hand_over(Work::Release(call.to_owned()));
    }

    /// A report that was missing is there: its call may have no row. Never waits.
    pub fn look_again(&self) {
        if self.core.counters.dropped.load(Ordering::Relaxed) > 0 {
            self.core.missing.notify_one();
        }
    }

    /// Waits until what was handed over is written, but not for ever.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let flushed = async {
            self.core.queue.send(Work::Flush(done)).await.ok()?;
            written.await.ok()
        };
        // What is left is said when the store is stopped.
        let _ = tokio::time::timeout(PATIENCE, flushed).await;
    }

    /// Writes what was handed over, but not for ever, and lets go of the directory.
    pub async fn stop(&self) {
        self.stopping.send_replace(true);
        let tasks: Vec<_> = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        for mut task in tasks {
            if tokio::time::timeout(STOP, &mut task).await.is_err() {
                tracing::error!(
                    "the store does not take what is left: calls' rows are made from their folders at the next start"
                );
                task.abort();
            }
        }
        // Nothing depends on it: a database that is left open is as good.
        for held in [&self.core.turn, &self.core.door] {
            // Whoever has it may wait for a database that stands still.
            let close = async { held.lock().await.close_by_ref().await };
            let _ = tokio::time::timeout(STOP, close).await;
        }
        let _ = tokio::time::timeout(STOP, self.core.db.close_by_ref()).await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(tokio::spawn(task));
    }

    fn db(&self) -> &DatabaseConnection {
        &self.core.db
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.core.in_time(work).await
    }
}

/// The store as a command sees it.
#[derive(Debug)]
pub struct Desk {
    db: DatabaseConnection,
}

impl Core {
    /// The answer to a question, if it comes in time.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.within(PATIENCE, work).await
    }

    /// The same for who may take longer.
    async fn within<T>(
        &self,
        longest: Duration,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        tokio::time::timeout(longest, work).await.unwrap_or(Err(StoreError::Slow))
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Whether what was last tried of the database was in vain.
    fn feels(&self, error: Option<&StoreError>) {
        *self.ill.lock().unwrap_or_else(PoisonError::into_inner) = error.map(StoreError::to_string);
    }

    fn hand_over(&self, work: Work) {
        if self.queue.try_send(work).is_err() {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
            self.missing.notify_one();
        }
    }

    /// Calls that were written and of which the caller has heard the refusal.
    fn take_back(&self, calls: Vec<NewCall>) {
        if !calls.is_empty() {
            self.hand_over(Work::TakeBack(calls));
        }
    }

    /// A transaction has failed: its connection is not used again, since nobody knows what it is in the middle of.
    async fn renew(&self, turn: &mut DatabaseConnection) {
        // It opens no connection yet, so it does not fail.
        let Ok(new) = self.place.connect(Mode::Server, 1).await else { return };
        let old = std::mem::replace(turn, new);
        // One that does not let go is left behind, and nobody waits for it.
        tokio::spawn(async move { tokio::time::timeout(PATIENCE, old.close()).await.is_ok() });
    }

    /// Counts trouble, and says it now and then.
    fn trouble(&self, what: &str, error: &StoreError) {
        self.counters.failed.fetch_add(1, Ordering::Relaxed);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|at| at.elapsed() >= SELDOM) {
            *said = Some(Instant::now());
            tracing::error!(%error, "the store {what}; calls go on, and what is missing is made up for later");
        }
    }
}

/// How often trouble is said.
const SELDOM: Duration = Duration::from_secs(60);
