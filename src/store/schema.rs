//! The tables' versions: each is a step from the one before, applied once, in one transaction.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement, TransactionTrait};

use super::{StoreError, immediate, now_ms};

/// The steps, never changed once they were shipped. `{now}` is the moment in milliseconds since 1970.
const STEPS: [&str; 1] = ["
CREATE TABLE about (born_ms INTEGER NOT NULL) STRICT;
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
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    state TEXT NOT NULL CHECK (state IN ('running', 'ended', 'lost')),
    end_kind TEXT,
    duration_ms INTEGER,
    turns INTEGER,
    interruptions INTEGER,
    cost_micros INTEGER NOT NULL DEFAULT 0,
    report TEXT,
    analysis TEXT,
    recording INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX calls_started ON calls (started_ms);
CREATE INDEX calls_deployment ON calls (deployment, started_ms);
CREATE INDEX calls_from ON calls (from_number, started_ms);
CREATE INDEX calls_to ON calls (to_number, started_ms);
CREATE INDEX calls_running ON calls (state) WHERE state = 'running';
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    call TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    type TEXT NOT NULL,
    body TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at_ms INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'dead')),
    last_error TEXT,
    UNIQUE (id, endpoint)
) STRICT;
CREATE INDEX outbox_due ON outbox (state, endpoint, next_at_ms);
CREATE INDEX outbox_order ON outbox (endpoint, call, seq) WHERE state = 'waiting';
CREATE TABLE dials (
    key TEXT PRIMARY KEY NOT NULL,
    request_hash TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    state TEXT NOT NULL,
    carrier_call TEXT,
    call TEXT,
    error TEXT
) STRICT;
CREATE INDEX dials_carrier_call ON dials (carrier_call);
CREATE INDEX dials_created ON dials (created_ms);
"];

/// What this program knows.
pub(super) const VERSION: u32 = STEPS.len() as u32;

/// Brings the tables up to [`VERSION`].
///
/// # Errors
/// The database is of a newer program, or cannot be written.
pub(super) async fn migrate(db: &DatabaseConnection) -> Result<(), StoreError> {
    let found = version(db).await?;
    if found == VERSION {
        return Ok(());
    }
    let txn = db.begin_with_options(immediate()).await?;
    // Asked again: another program may have been first.
    let found = version(&txn).await?;
    for step in STEPS.iter().skip(found as usize) {
        txn.execute_unprepared(&step.replace("{now}", &now_ms().to_string())).await?;
    }
    // Part of the transaction, so tables and version go together.
    txn.execute_unprepared(&format!("PRAGMA user_version = {VERSION}")).await?;
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
    let row = db.query_one_raw(sql(db, "SELECT born_ms FROM about")).await?;
    row.map_or(Ok(0), |row| row.try_get_by_index(0))
}

async fn version<C: ConnectionTrait>(db: &C) -> Result<u32, StoreError> {
    let row = db.query_one_raw(sql(db, "PRAGMA user_version")).await?;
    let found: i32 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    match u32::try_from(found) {
        Ok(found) if found <= VERSION => Ok(found),
        _ => Err(StoreError::Newer { found: i64::from(found), known: VERSION }),
    }
}

fn sql<C: ConnectionTrait>(db: &C, text: &str) -> Statement {
    Statement::from_string(db.get_database_backend(), text)
}
