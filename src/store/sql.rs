//! Where SQLite and PostgreSQL differ: how they are opened, their types, clocks, locks and errors. Nothing else of the store
//! asks which of the two it is.

use std::path::PathBuf;
use std::time::Duration;

use sea_orm::sea_query::{Expr, LockBehavior, LockType, SimpleExpr};
use sea_orm::sqlx::postgres::PgListener;
use sea_orm::sqlx::sqlite::{SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{self, Connection as _};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, EntityTrait, QuerySelect as _,
    RuntimeErr, Select, SqliteTransactionMode, Statement, TransactionOptions, Value,
};

use crate::config::Secret;
use crate::knowledge::words::Question;

use super::{FILE, StoreError};

/// How long one writer waits for another before it fails.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// PostgreSQL gives a statement up after this, and a transaction whose program says nothing more.
const STATEMENT_MS: &str = "5000";
const IDLE_MS: &str = "10000";
/// The oldest PostgreSQL that is used, as `server_version_num` says it, and as people do.
const OLDEST: (i32, &str) = (130_000, "13");
/// Advisory locks of ours, numbers that nobody else is likely to take: for who migrates, who admits calls, who applies
/// documents, who changes members, who buys phone numbers, and who adds documents that agents know.
const MIGRATES: i64 = 0x6f66_6668_6f6f_6b01;
const ADMITS: i64 = 0x6f66_6668_6f6f_6b02;
const APPLIES: i64 = 0x6f66_6668_6f6f_6b03;
const PEOPLE: i64 = 0x6f66_6668_6f6f_6b04;
const NUMBERS: i64 = 0x6f66_6668_6f6f_6b05;
const KNOWLEDGE: i64 = 0x6f66_6668_6f6f_6b06;
/// The channel on which changes of documents are told.
const CHANNEL: &str = "offhook_documents";
/// The pause before PostgreSQL is listened to again.
const AGAIN: Duration = Duration::from_secs(2);

/// Where rows are kept.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In a file of the data directory.
    Sqlite(PathBuf),
    /// In a database of a PostgreSQL server, by its URL, which may have a password in it.
    Postgres(Secret),
}

#[derive(Clone, Copy)]
pub(super) enum Mode {
    Server,
    Command,
}

impl Place {
    pub(super) fn new(data: &std::path::Path, url: Option<&Secret>) -> Place {
        url.map_or_else(|| Place::Sqlite(data.join(FILE)), |url| Place::Postgres(url.clone()))
    }

    /// Whether whoever has the data directory's lock is alone with the rows.
    pub(super) fn is_own(&self) -> bool {
        matches!(self, Place::Sqlite(_))
    }

    /// A pool of so many connections at most, which opens its first when it is used.
    pub(super) async fn connect(&self, mode: Mode, most: u32) -> Result<DatabaseConnection, StoreError> {
        let mut options = match self {
            Place::Sqlite(path) => sqlite(path.clone(), mode),
            Place::Postgres(url) => postgres(url),
        };
        options.max_connections(most).min_connections(0).connect_lazy(true).sqlx_logging(false);
        options.acquire_timeout(BUSY + Duration::from_secs(1)).record_stmt_in_spans(false);
        Ok(Database::connect(options).await?)
    }
}

fn sqlite(path: PathBuf, mode: Mode) -> ConnectOptions {
    let create = matches!(mode, Mode::Server);
    let mut options = ConnectOptions::new("sqlite:offhook.db");
    options.test_before_acquire(false);
    options.map_sqlx_sqlite_opts(move |sqlite| {
        let sqlite = sqlite.filename(&path).create_if_missing(create);
        let sqlite = if create { sqlite.journal_mode(SqliteJournalMode::Wal) } else { sqlite };
        // What is deleted is written over: it may be somebody's words.
        let sqlite = sqlite.pragma("secure_delete", "ON");
        sqlite.synchronous(SqliteSynchronous::Full).busy_timeout(BUSY).foreign_keys(true)
    });
    options.map_sqlx_sqlite_pool_opts(|pool| pool.after_release(|connection, _| Box::pin(is_free(connection))));
    options
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

fn postgres(url: &Secret) -> ConnectOptions {
    let mut options = ConnectOptions::new(url.expose());
    // A server that was restarted has closed what we keep open: found out before, not by whoever asks.
    options.test_before_acquire(true);
    options.map_sqlx_postgres_opts(|postgres| {
        postgres.application_name("offhook").options([
            ("statement_timeout", STATEMENT_MS),
            ("lock_timeout", STATEMENT_MS),
            ("idle_in_transaction_session_timeout", IDLE_MS),
        ])
    });
    options
}

/// Takes the right to write at once: a transaction that reads first and then writes could otherwise fail in between.
pub(super) fn immediate() -> TransactionOptions {
    TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    }
}

fn is_postgres<C: ConnectionTrait>(db: &C) -> bool {
    db.get_database_backend() == DbBackend::Postgres
}

/// A step of the schema in the words of this database. `{int}`, `{bool}` and `{no}`, `{bytes}`, `{serial}`, `{strict}`,
/// `{clustered}` (a table that lies in the order of its key, where there is such a thing), `{words}` (the column of a passage's
/// words) and `{index_of_words}`, and `{now}` stand for what differs.
pub(super) fn dialect<C: ConnectionTrait>(db: &C, step: &str, now_ms: i64) -> String {
    let words = if is_postgres(db) {
        [
            "BIGINT",
            "BOOLEAN",
            "FALSE",
            "BYTEA",
            "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
            "",
            "",
            "words tsvector NOT NULL,",
            "CREATE INDEX passages_words ON passages USING GIN (words);",
        ]
    } else {
        [
            "INTEGER",
            "INTEGER",
            "0",
            "BLOB",
            "INTEGER PRIMARY KEY AUTOINCREMENT",
            "STRICT",
            "STRICT, WITHOUT ROWID",
            "",
            FTS,
        ]
    };
    let names =
        ["{int}", "{bool}", "{no}", "{bytes}", "{serial}", "{strict}", "{clustered}", "{words}", "{index_of_words}"];
    let step = names.iter().zip(words).fold(step.to_owned(), |step, (name, word)| step.replace(name, word));
    step.replace("{now}", &now_ms.to_string())
}

/// SQLite's index of passages' words: what is deleted is taken out of it at once, since it may be somebody's words.
const FTS: &str = "
CREATE VIRTUAL TABLE passage_words USING fts5(heading, body, tokenize = 'unicode61');
INSERT INTO passage_words (passage_words, rank) VALUES ('secure-delete', 1);
CREATE TRIGGER passages_gone AFTER DELETE ON passages BEGIN DELETE FROM passage_words WHERE rowid = OLD.seq; END;
";

/// Keeps a passage: document ($1), its reading ($2), place ($3), agent ($4), heading ($5), page ($6), text ($7), and the folded
/// words of heading ($8) and text ($9).
pub(super) async fn keep_passage<C: ConnectionTrait>(db: &C, values: [Value; 9]) -> Result<(), DbErr> {
    let backend = db.get_database_backend();
    if is_postgres(db) {
        let insert = "INSERT INTO passages (document, reading, place, agent, heading, page, text, words) VALUES ($1, $2, $3, \
                      $4, $5, $6, $7, setweight(to_tsvector('simple', $8), 'A') || to_tsvector('simple', $9))";
        return db.execute_raw(Statement::from_sql_and_values(backend, insert, values)).await.map(drop);
    }
    let mut values = Vec::from(values);
    let words = values.split_off(7);
    let insert = "INSERT INTO passages (document, reading, place, agent, heading, page, text) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    db.execute_raw(Statement::from_sql_and_values(backend, insert, values)).await?;
    let insert = "INSERT INTO passage_words (rowid, heading, body) VALUES (last_insert_rowid(), $1, $2)";
    db.execute_raw(Statement::from_sql_and_values(backend, insert, words)).await.map(drop)
}

/// Passages of an agent that have words of a question, the likeliest first: seq, document, title, heading, page, text.
pub(super) fn find_passages<C: ConnectionTrait>(db: &C, agent: &str, question: &Question, limit: u64) -> Statement {
    let select = "SELECT p.seq AS seq, p.document AS document, k.title AS title, p.heading AS heading, p.page AS page, \
                  p.text AS text FROM";
    let join = "JOIN knowledge k ON k.id = p.document AND k.reading = p.reading WHERE p.agent = $2 AND";
    let (text, asked) = if is_postgres(db) {
        let query = "to_tsquery('simple', $1)";
        let order = format!("ORDER BY ts_rank(p.words, {query}) DESC, p.seq LIMIT $3");
        (format!("{select} passages p {join} p.words @@ {query} {order}"), question.for_postgres())
    } else {
        let from = "passage_words JOIN passages p ON p.seq = passage_words.rowid";
        let order = "ORDER BY bm25(passage_words, 3.0, 1.0), p.seq LIMIT $3";
        (format!("{select} {from} {join} passage_words MATCH $1 {order}"), question.for_sqlite())
    };
    let values = [asked.into(), agent.into(), i64::try_from(limit).unwrap_or(i64::MAX).into()];
    Statement::from_sql_and_values(db.get_database_backend(), text, values)
}

/// The version of the tables; 0: there are none.
pub(super) async fn version<C: ConnectionTrait>(db: &C) -> Result<i64, DbErr> {
    if !is_postgres(db) {
        let row = db.query_one_raw(statement(db, "PRAGMA user_version")).await?;
        return row.map_or(Ok(0), |row| row.try_get_by_index::<i32>(0).map(i64::from));
    }
    let there = db.query_one_raw(statement(db, "SELECT to_regclass('schema_version') IS NOT NULL")).await?;
    if !there.map_or(Ok(false), |row| row.try_get_by_index::<bool>(0))? {
        return Ok(0);
    }
    let row = db.query_one_raw(statement(db, "SELECT version FROM schema_version")).await?;
    row.map_or(Ok(0), |row| row.try_get_by_index(0))
}

/// Notes the version, in the transaction that makes the tables.
pub(super) async fn set_version<C: ConnectionTrait>(db: &C, version: u32) -> Result<(), DbErr> {
    let text = if is_postgres(db) {
        format!(
            "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL); DELETE FROM schema_version; \
             INSERT INTO schema_version (version) VALUES ({version})"
        )
    } else {
        format!("PRAGMA user_version = {version}")
    };
    db.execute_unprepared(&text).await.map(drop)
}

/// Within a transaction: of several programs, one migrates at a time.
pub(super) async fn migrates_alone<C: ConnectionTrait>(db: &C) -> Result<(), DbErr> {
    alone(db, MIGRATES).await
}

/// Within a transaction: none of its statements is given up for how long it takes.
pub(super) async fn takes_its_time<C: ConnectionTrait>(db: &C) -> Result<(), DbErr> {
    if is_postgres(db) {
        db.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
    }
    Ok(())
}

/// Within a transaction: of several servers, one admits calls at a time, so that what it counts stays true until it is done.
pub(super) async fn admits_alone<C: ConnectionTrait>(db: &C) -> Result<(), DbErr> {
    alone(db, ADMITS).await
}

/// Within a transaction: documents come into force one after the other.
pub(super) async fn applies_alone<C: ConnectionTrait>(db: &C) -> Result<(), DbErr> {
    alone(db, APPLIES).await
}

/// Within a transaction: phone numbers are counted and taken by one at a time.
pub(super) async fn numbers_alone<C: ConnectionTrait>(db: &C) -> Result<(), DbErr> {
    alone(db, NUMBERS).await
}

/// Within a transaction: what agents know is counted and added to by one at a time.
pub(super) async fn knowledge_alone<C: ConnectionTrait>(db: &C) -> Result<(), DbErr> {
    alone(db, KNOWLEDGE).await
}

/// Within a transaction: members change one after the other, so that two owners do not unmake each other.
pub(super) async fn changes_people_alone<C: ConnectionTrait>(db: &C) -> Result<(), DbErr> {
    alone(db, PEOPLE).await
}

/// SQLite has one writer at a time by itself.
async fn alone<C: ConnectionTrait>(db: &C, lock: i64) -> Result<(), DbErr> {
    if is_postgres(db) {
        db.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({lock})")).await?;
    }
    Ok(())
}

/// Whether this database is one that can be used, in words if not.
pub(super) async fn suits<C: ConnectionTrait>(db: &C) -> Result<(), StoreError> {
    if !is_postgres(db) {
        return Ok(());
    }
    let asked = "SELECT CAST(current_setting('server_version_num') AS INTEGER), current_setting('server_version'), \
                 current_setting('transaction_read_only') = 'on'";
    let Some(row) = db.query_one_raw(statement(db, asked)).await? else { return Ok(()) };
    let (number, name): (i32, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
    if number < OLDEST.0 {
        let oldest = OLDEST.1;
        return Err(StoreError::Unsuitable(format!(
            "PostgreSQL {name} at [store] url is too old: {oldest} or later is needed"
        )));
    }
    if row.try_get_by_index(2)? {
        return Err(StoreError::ReadOnly);
    }
    Ok(())
}

/// The database's clock, in milliseconds since 1970: servers' own are never held against each other.
pub(super) fn clock<C: ConnectionTrait>(db: &C) -> SimpleExpr {
    Expr::cust(clock_text(db))
}

pub(super) fn clock_text<C: ConnectionTrait>(db: &C) -> &'static str {
    if is_postgres(db) {
        "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
    } else {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    }
}

/// What it says now.
pub(super) async fn clock_ms<C: ConnectionTrait>(db: &C) -> Result<i64, DbErr> {
    let row = db.query_one_raw(statement(db, &format!("SELECT {}", clock_text(db)))).await?;
    row.map_or(Ok(0), |row| row.try_get_by_index(0))
}

/// Rows that nobody else is taking at this moment, for who takes them in the same transaction.
pub(super) fn untaken<C: ConnectionTrait, E: EntityTrait>(db: &C, select: Select<E>) -> Select<E> {
    if is_postgres(db) { select.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked) } else { select }
}

/// Tells all servers that something has changed, once the transaction is through.
pub(super) async fn notify<C: ConnectionTrait>(db: &C, what: &str) -> Result<(), DbErr> {
    if !is_postgres(db) {
        return Ok(());
    }
    let tell = "SELECT pg_notify($1, $2)";
    let tell = Statement::from_sql_and_values(db.get_database_backend(), tell, [CHANNEL.into(), what.into()]);
    db.execute_raw(tell).await.map(drop)
}

/// What other servers tell.
pub(super) struct Notices {
    place: Place,
    listener: Option<PgListener>,
}

impl Notices {
    pub(super) fn new(place: &Place) -> Notices {
        Notices { place: place.clone(), listener: None }
    }

    /// The next notice; empty when some may have been missed. Of SQLite there is none.
    pub(super) async fn next(&mut self) -> String {
        let Place::Postgres(url) = &self.place else { return std::future::pending().await };
        loop {
            if let Some(listener) = &mut self.listener {
                match listener.try_recv().await {
                    Ok(Some(notice)) => return notice.payload().to_owned(),
                    // It is connected again by itself; meanwhile something may have been told.
                    Ok(None) => return String::new(),
                    Err(_) => self.listener = None,
                }
            }
            match listen(url).await {
                Ok(listener) => {
                    self.listener = Some(listener);
                    return String::new();
                }
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }
}

async fn listen(url: &Secret) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect(url.expose()).await?;
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// What was deleted is in SQLite's log of writes until that is written over. Who reads at this moment keeps it: then it is for
/// the next time.
pub(super) async fn forget<C: ConnectionTrait>(db: &C) -> Result<(), DbErr> {
    if is_postgres(db) {
        return Ok(());
    }
    db.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await.map(drop)
}

/// Whether what was to be written is wrong, rather than the disk, the file or the way there: then it would fail for ever.
pub(super) fn is_ours(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error else {
        return false;
    };
    let sqlx::Error::Database(error) = &**error else { return false };
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        // Data, constraints, statements; not what the server lacks or is told to stop.
        return ["22", "23", "42"].iter().any(|class| code.starts_with(class)) && code != "42501";
    }
    // SQLITE_ERROR, TOOBIG, CONSTRAINT, MISMATCH, MISUSE, RANGE; the lower byte is the primary code.
    let code = code.parse::<u32>().unwrap_or_default();
    matches!(code & 0xff, 1 | 18 | 19 | 20 | 21 | 25)
}

pub(super) fn statement<C: ConnectionTrait>(db: &C, text: &str) -> Statement {
    Statement::from_string(db.get_database_backend(), text)
}
