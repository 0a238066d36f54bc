//! The store: one row per call with its report, the outbox of webhooks, and requests to dial out, in SQLite at
//! `offhook.db` in the data directory.
//!
//! A call's folder stays the truth of what happened in it; the store is what lists, filters, adds up and passes on. A
//! call never waits for it: what is to be kept is handed over a bounded queue to one writer, and what could not be
//! written, because the disk is full or the process was killed, is made up for from the folders (`reconcile`).
//!
//! - `schema` has the tables and their versions, `entity` their types, `lock` keeps a second server away.
//! - `writer` takes what calls hand over, `calls` and `outbox` write it; `chores` makes up for what is missing and
//!   deletes what is old.
//! - `outbox` and `dials` are also the ways in for who sends webhooks and who dials.

mod calls;
mod chores;
mod dials;
mod entity;
mod event;
mod lock;
mod outbox;
mod reconcile;
mod retention;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sea_orm::sqlx::sqlite::{SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{self, Connection as _};
use sea_orm::{ConnectOptions, Database, DatabaseConnection, DbErr, SqliteTransactionMode, TransactionOptions};
use serde_json::Value;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::base::time::date;
use crate::config::{EventType, StoreSettings, Webhook};

pub use calls::{CallFilter, EndedCall, NewCall, Spender};
pub use dials::{Dial, DialChange, DialInserted};
pub use entity::calls::{Direction, Model as CallRow, State as CallState};
pub use entity::outbox::{Model as OutboxRow, State as OutboxState};
pub use event::VERSION as EVENT_VERSION;

use writer::{Job, Writer};

/// The database's name in the data directory.
pub const FILE: &str = "offhook.db";

/// What may wait for the writer: seconds of the busiest server, and less than 100 MB of reports.
const QUEUE_JOBS: usize = 1_024;
/// How long a question may take; whoever asks is on a call's way.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long one writer waits for another before it fails.
const BUSY: Duration = Duration::from_secs(5);
/// Connections for the outbox and for questions, beside the one for transactions.
const CONNECTIONS: u32 = 4;
/// How long the end of a server waits for what was handed over.
const STOP: Duration = Duration::from_secs(5);

/// The store of a running server. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    core: Arc<Core>,
    jobs: mpsc::Sender<Job>,
    stopping: Arc<watch::Sender<bool>>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// What its parts share.
struct Core {
    db: DatabaseConnection,
    data: PathBuf,
    counters: Arc<Counters>,
    settings: watch::Sender<Settings>,
    /// Whose turn it is to write, with the connection for transactions. SQLite lets who finds it busy sleep and try again,
    /// which is nobody's turn; this is in the order of asking.
    turn: tokio::sync::Mutex<DatabaseConnection>,
    /// The outbox may have something new.
    fresh: Notify,
    /// Something could not be written: the folders have it.
    missing: Notify,
    /// States of placed calls that wait to be written.
    unwritten: dials::Unwritten,
    /// When trouble was last said.
    said: Mutex<Option<Instant>>,
    /// When this server began, in milliseconds since 1970.
    since_ms: i64,
}

/// What the store runs by; a change applies at once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is kept.
    pub store: StoreSettings,
    /// Who is told.
    pub webhooks: Vec<Arc<Webhook>>,
}

/// What the store counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// What was handed over and is not written yet, when the writer last looked.
    pub waiting: AtomicU64,
    /// What was handed over and found no room.
    pub dropped: AtomicU64,
    /// Attempts to write that failed.
    pub failed: AtomicU64,
    /// Calls whose rows were made from their folders.
    pub repaired: AtomicU64,
    /// Calls whose server was gone before they ended.
    pub lost: AtomicU64,
    /// Calls that were deleted for their age.
    pub deleted: AtomicU64,
    /// Events that were deleted with them, or for their own age, before anybody took them.
    pub events_deleted: AtomicU64,
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
    /// The database refuses.
    Db(DbErr),
    /// It took too long.
    Slow,
    /// A row is gone that was there a moment ago.
    Gone,
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
                "{FILE} has version {found}, and this program knows versions up to {known}: it was written by a newer offhook; start that one, or choose another `data_dir`"
            ),
            StoreError::Older { found, known } => write!(
                f,
                "{FILE} has version {found}, and this program needs {known}: start the server of this version once, which brings it up to date"
            ),
            StoreError::Absent(path) => {
                write!(f, "{}: there is no database; a server makes it when it starts", path.display())
            }
            StoreError::Io(why) => f.write_str(why),
            StoreError::Db(error) => write!(f, "{FILE}: {error}"),
            StoreError::Slow => write!(f, "{FILE}: no answer within {} s", PATIENCE.as_secs()),
            StoreError::Gone => write!(f, "{FILE}: a row is gone"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        StoreError::Db(error)
    }
}

impl Store {
    /// Opens the store in the directory `data`, which is made if there is none, and starts its writer. A database that
    /// cannot be opened or written now is tried again later, and until then the store keeps what its queue holds.
    ///
    /// # Errors
    /// Another server has the directory, or a newer program wrote the database.
    pub async fn start(data: &Path, settings: Settings, counters: Arc<Counters>) -> Result<Store, StoreError> {
        let lock = match lock::Lock::take(data) {
            Ok(lock) => Some(lock),
            Err(taken @ StoreError::Taken { .. }) => return Err(taken),
            // Nothing can be written there, by nobody: the writer says so, and tries again.
            Err(_) => None,
        };
        let core = Arc::new(Core {
            db: connect(data, Mode::Server, CONNECTIONS).await?,
            data: data.to_owned(),
            counters,
            settings: watch::Sender::new(settings),
            turn: tokio::sync::Mutex::new(connect(data, Mode::Server, 1).await?),
            fresh: Notify::new(),
            missing: Notify::new(),
            unwritten: dials::Unwritten::default(),
            said: Mutex::new(None),
            since_ms: now_ms(),
        });
        if lock.is_some()
            && let Err(newer @ StoreError::Newer { .. }) = schema::migrate(&core.db).await
        {
            return Err(newer);
        }
        let (jobs, handed_over) = mpsc::channel(QUEUE_JOBS);
        let stopping = watch::Sender::new(false);
        let writer = Writer::new(Arc::clone(&core), handed_over, stopping.subscribe(), lock);
        let store = Store { core, jobs, stopping: Arc::new(stopping), tasks: Arc::default() };
        store.spawn(writer.run());
        store.spawn(dials::write_later(Arc::clone(&store.core), store.stopping.subscribe()));
        Ok(store)
    }

    /// Opens the store of a data directory for a command, beside its server or without one.
    ///
    /// # Errors
    /// There is no database, it is of another version, or it cannot be read.
    pub async fn open(data: &Path) -> Result<Desk, StoreError> {
        if !data.join(FILE).exists() {
            return Err(StoreError::Absent(data.join(FILE)));
        }
        let db = connect(data, Mode::Command, CONNECTIONS).await?;
        schema::check(&db).await?;
        Ok(Desk { db })
    }

    /// What the store runs by from now on.
    pub fn set(&self, settings: Settings) {
        self.core.settings.send_replace(settings);
    }

    /// A call has begun: its row, and `call.started`. Never waits.
    pub fn begin_call(&self, call: NewCall) {
        self.hand_over(Job::Begin(Box::new(call)));
    }

    /// A call is over and its report is written: its row and the events of its end, in one transaction. Never waits.
    pub fn end_call(&self, call: EndedCall) {
        self.hand_over(Job::End(Box::new(call)));
    }

    /// Something happened in a call. `data` becomes the event's `data`. Never waits.
    pub fn event(&self, call: &str, kind: EventType, data: Value) {
        self.hand_over(Job::Event { call: call.to_owned(), kind, data: Box::new(data) });
    }

    /// What the analysis of a call found, with `analysis.ready`, in one transaction. Never waits.
    pub fn set_analysis(&self, call: &str, analysis: Value) {
        self.hand_over(Job::Analysis { call: call.to_owned(), analysis: Box::new(analysis) });
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
            self.jobs.send(Job::Flush(done)).await.ok()?;
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
        let _ = self.core.turn.lock().await.close_by_ref().await;
        let _ = self.core.db.close_by_ref().await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(tokio::spawn(task));
    }

    fn hand_over(&self, job: Job) {
        if self.jobs.try_send(job).is_err() {
            self.core.counters.dropped.fetch_add(1, Ordering::Relaxed);
            self.core.missing.notify_one();
        }
    }

    fn db(&self) -> &DatabaseConnection {
        &self.core.db
    }

    /// The answer to a question, if it comes in time.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(StoreError::Slow))
    }
}

/// The store as a command sees it.
#[derive(Debug)]
pub struct Desk {
    db: DatabaseConnection,
}

impl Core {
    /// A transaction has failed: its connection is not used again, since nobody knows what it is in the middle of.
    async fn renew(&self, turn: &mut DatabaseConnection) {
        // It opens no connection yet, so it does not fail.
        let Ok(new) = connect(&self.data, Mode::Server, 1).await else { return };
        let old = std::mem::replace(turn, new);
        // One that does not let go is left behind.
        let _ = tokio::time::timeout(PATIENCE, old.close()).await;
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

enum Mode {
    Server,
    Command,
}

/// A pool of so many connections at most, which opens its first when it is used.
async fn connect(data: &Path, mode: Mode, most: u32) -> Result<DatabaseConnection, StoreError> {
    let path = data.join(FILE);
    let create = matches!(mode, Mode::Server);
    let mut options = ConnectOptions::new("sqlite:offhook.db");
    options.max_connections(most).min_connections(0).connect_lazy(true).sqlx_logging(false);
    options.acquire_timeout(BUSY + Duration::from_secs(1)).record_stmt_in_spans(false).test_before_acquire(false);
    options.map_sqlx_sqlite_opts(move |sqlite| {
        let sqlite = sqlite.filename(&path).create_if_missing(create);
        let sqlite = if create { sqlite.journal_mode(SqliteJournalMode::Wal) } else { sqlite };
        // What is deleted is written over: it may be somebody's words.
        let sqlite = sqlite.pragma("secure_delete", "ON");
        sqlite.synchronous(SqliteSynchronous::Full).busy_timeout(BUSY).foreign_keys(true)
    });
    options.map_sqlx_sqlite_pool_opts(|pool| pool.after_release(|connection, _| Box::pin(is_free(connection))));
    Ok(Database::connect(options).await?)
}

/// Whether a connection is in no transaction any more: SQLite takes some back by itself when the disk is full, its driver
/// goes on counting them, and never begins another. One that cannot be taken back would keep its lock for ever.
async fn is_free(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // What is dropped is taken back by the connection's thread, in the order of asking.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

/// Takes the right to write at once: a transaction that reads first and then writes could otherwise fail in between.
fn immediate() -> TransactionOptions {
    TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    }
}

/// A moment of the store, which counts milliseconds since 1970, as RFC 3339 in UTC.
pub fn written(ms: i64) -> String {
    date::rfc3339(time_of(ms))
}

/// Such a moment, from a date or RFC 3339 in UTC.
pub fn read(text: &str) -> Option<i64> {
    date::parse(text).map(ms_of)
}

/// Milliseconds since 1970.
fn now_ms() -> i64 {
    ms_of(SystemTime::now())
}

fn ms_of(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

fn time_of(ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms.max(0) as u64)
}
