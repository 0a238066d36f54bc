//! The tables' versions: each is a step from the one before, applied once, in one transaction.

mod deliveries;
mod jobs;
mod knowledge;
mod lists;
mod numbers;
mod people;
mod persons;
mod requests;
mod servers;

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, TransactionTrait as _};

use super::{StoreError, now_ms, sql};

/// The steps, never changed once they were shipped. What is in braces is put by `sql::dialect`.
pub(super) const STEPS: [&[&str]; 4] = [
    &["
CREATE TABLE about (born_ms {int} NOT NULL) {strict};
INSERT INTO about (born_ms) VALUES ({now});
CREATE TABLE calls (
    id TEXT PRIMARY KEY NOT NULL,
    carrier_call TEXT NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    deployment TEXT NOT NULL,
    agent TEXT NOT NULL,
    revision TEXT NOT NULL,
    from_number TEXT,
    to_number TEXT,
    started_ms {int} NOT NULL,
    ended_ms {int},
    state TEXT NOT NULL CHECK (state IN ('running', 'ended', 'lost')),
    end_kind TEXT,
    duration_ms {int},
    turns {int},
    interruptions {int},
    cost_micros {int} NOT NULL DEFAULT 0,
    report TEXT,
    analysis TEXT,
    recording {bool} NOT NULL DEFAULT {no}
) {strict};
CREATE INDEX calls_started ON calls (started_ms);
CREATE INDEX calls_deployment ON calls (deployment, started_ms);
CREATE INDEX calls_from ON calls (from_number, started_ms);
CREATE INDEX calls_to ON calls (to_number, started_ms);
CREATE INDEX calls_running ON calls (state) WHERE state = 'running';
CREATE TABLE outbox (
    seq {serial},
    id TEXT NOT NULL,
    call TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    type TEXT NOT NULL,
    body TEXT NOT NULL,
    created_ms {int} NOT NULL,
    attempts {int} NOT NULL DEFAULT 0,
    next_at_ms {int} NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'dead')),
    last_error TEXT,
    UNIQUE (id, endpoint)
) {strict};
CREATE INDEX outbox_due ON outbox (state, endpoint, next_at_ms);
CREATE INDEX outbox_order ON outbox (endpoint, call, seq) WHERE state = 'waiting';
CREATE TABLE dials (
    key TEXT PRIMARY KEY NOT NULL,
    request_hash TEXT NOT NULL,
    created_ms {int} NOT NULL,
    state TEXT NOT NULL,
    carrier_call TEXT,
    call TEXT,
    error TEXT
) {strict};
CREATE INDEX dials_carrier_call ON dials (carrier_call);
CREATE INDEX dials_created ON dials (created_ms);
"],
    &["
CREATE TABLE servers (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    home TEXT NOT NULL,
    started_ms {int} NOT NULL,
    seen_ms {int} NOT NULL,
    beat {int} NOT NULL,
    lease_ms {int} NOT NULL
) {strict};
ALTER TABLE calls ADD COLUMN owner TEXT;
ALTER TABLE calls ADD COLUMN home TEXT;
ALTER TABLE outbox ADD COLUMN owner TEXT;
ALTER TABLE dials ADD COLUMN owner TEXT;
CREATE INDEX calls_carrier_call ON calls (carrier_call);
CREATE TABLE holds (
    call TEXT PRIMARY KEY NOT NULL,
    owner TEXT NOT NULL,
    deployment TEXT NOT NULL,
    agent TEXT NOT NULL,
    number TEXT,
    since_ms {int} NOT NULL,
    counts {int} NOT NULL,
    reserved_micros {int} NOT NULL,
    spent_micros {int} NOT NULL
) {strict};
CREATE INDEX holds_agent ON holds (agent);
CREATE INDEX holds_deployment ON holds (deployment);
CREATE INDEX holds_number ON holds (number);
CREATE TABLE jobs (
    seq {serial},
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    call TEXT,
    revision TEXT,
    payload TEXT NOT NULL,
    priority {int} NOT NULL,
    created_ms {int} NOT NULL,
    due_ms {int} NOT NULL,
    attempts {int} NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'done', 'dead')),
    owner TEXT,
    last_error TEXT,
    UNIQUE (kind, key)
) {strict};
CREATE INDEX jobs_due ON jobs (kind, priority, due_ms) WHERE state = 'waiting';
CREATE INDEX jobs_call ON jobs (call);
CREATE TABLE documents (
    seq {serial},
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    revision TEXT NOT NULL,
    text TEXT,
    applied_by TEXT NOT NULL,
    way TEXT NOT NULL,
    applied_ms {int} NOT NULL
) {strict};
CREATE INDEX documents_name ON documents (kind, name, seq);
CREATE INDEX documents_revision ON documents (revision);
"],
    &[
        people::TABLES,
        numbers::TABLES,
        deliveries::TABLES,
        persons::TABLES,
        lists::TABLES,
        requests::TABLES,
        jobs::TABLES,
    ],
    &[servers::TABLES, knowledge::TABLES],
];

/// What this program knows.
pub(super) const VERSION: u32 = STEPS.len() as u32;
/// How long the steps may take: some go through every call that is kept, on whatever disk.
pub(super) const LONGEST: Duration = Duration::from_secs(1_800);

/// Whether the database is one that this program can bring up to [`VERSION`], in a moment and without touching it.
///
/// # Errors
/// It is of a newer program, does not suit, or cannot be read.
pub(super) async fn fits(db: &DatabaseConnection) -> Result<(), StoreError> {
    sql::suits(db).await?;
    version(db).await.map(drop)
}

/// Brings the tables up to [`VERSION`]. Of several programs that do so at once, one is first and the others find it done.
///
/// # Errors
/// The database is of a newer program, does not suit, or cannot be written.
pub(super) async fn migrate(db: &DatabaseConnection) -> Result<(), StoreError> {
    sql::suits(db).await?;
    let found = version(db).await?;
    if found == VERSION {
        return Ok(());
    }
    if found > 0 {
        tracing::info!(from = found, to = VERSION, "the database is brought up to date, which may take minutes");
    }
    let txn = db.begin_with_options(sql::immediate()).await?;
    sql::migrates_alone(&txn).await?;
    sql::takes_its_time(&txn).await?;
    // Asked again: another program may have been first.
    let found = version(&txn).await?;
    for step in STEPS.iter().skip(found as usize) {
        for tables in *step {
            txn.execute_unprepared(&sql::dialect(&txn, tables, now_ms())).await?;
        }
    }
    // Part of the transaction, so tables and version go together.
    sql::set_version(&txn, VERSION).await?;
    txn.commit().await?;
    Ok(())
}

/// Holds the tables against [`VERSION`] without touching them.
///
/// # Errors
/// They are of another version.
pub(super) async fn check(db: &DatabaseConnection) -> Result<(), StoreError> {
    match version(db).await? {
        VERSION => Ok(()),
        found => Err(StoreError::Older { found, known: VERSION }),
    }
}

/// When the database was made, in milliseconds since 1970.
pub(super) async fn born_ms<C: ConnectionTrait>(db: &C) -> Result<i64, DbErr> {
    let row = db.query_one_raw(sql::statement(db, "SELECT born_ms FROM about")).await?;
    row.map_or(Ok(0), |row| row.try_get_by_index(0))
}

async fn version<C: ConnectionTrait>(db: &C) -> Result<u32, StoreError> {
    let found = sql::version(db).await?;
    match u32::try_from(found) {
        Ok(known) if known <= VERSION => Ok(known),
        _ => Err(StoreError::Newer { found, known: VERSION }),
    }
}
