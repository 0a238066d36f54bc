//! Erasing a person: all that calls with a number have left, on every server, with a receipt that does not say who it was.
//!
//! To ask for it lists the calls, in one transaction; the number itself is kept nowhere. A list outlives whoever works on it:
//! what a killed process has begun the next one finishes, and each data directory's folders are its own server's to delete.
//! Calls that are up, or about which somebody finds something out right now, are left until that is over.
//!
//! What was erased stays listed by its id, so that a folder which turns up again, out of a backup, makes no row again.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait as _,
    ExprTrait as _, FromQueryResult, PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    Statement, TransactionTrait as _,
};
use serde_json::json;
use tokio::time::sleep;

use super::rows::erasures::Model as Receipt;
use super::rows::{erased, erasures};
use crate::base::hex::hex;
use crate::house::callers;
use crate::store::entity::{calls, dials, holds, jobs, outbox};
use crate::store::people::add_audit;
use crate::store::{Core, Desk, LONGEST, Store, StoreError, deliveries, id, lease, lists, lock, retention, sql};

/// How often a server looks whether there is something to erase.
const EVERY: Duration = Duration::from_secs(5);
/// Calls in one look.
const CHUNK: u64 = 200;
/// For so long it is remembered which calls were erased.
const REMEMBERED_DAYS: i64 = 400;
const DAY_MS: i64 = 86_400_000;

/// What there is of a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Calls with them.
    pub calls: u64,
    /// Those of them that are up.
    pub running: u64,
    /// Those that have a recording.
    pub recordings: u64,
    /// Events that wait for webhooks, or were given up.
    pub events: u64,
}

/// An erasure, done or under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// What was erased so far.
    pub receipt: Receipt,
    /// Calls that are left: they go on, or nobody has come to them yet.
    pub calls_left: u64,
    /// Folders that are left, in data directories whose servers are away or have not come to them yet.
    pub folders_left: u64,
}

impl Store {
    /// What there is of the person with this number (E.164).
    ///
    /// # Errors
    /// It is no number, or the store cannot be read.
    pub async fn found(&self, number: &str) -> Result<Found, StoreError> {
        self.in_time(found(self.db(), number)).await
    }

    /// Has all of the person with this number (E.164) erased; it begins at once. `who` asks, as in the audit log.
    ///
    /// # Errors
    /// It is no number, or the store cannot be written: nothing was begun.
    pub async fn erase(&self, number: &str, who: &str) -> Result<Erasure, StoreError> {
        let core = &self.core;
        let begun = self.in_time(async {
            let mut turn = core.turn.lock().await;
            let begun = begin(&turn, number, who).await;
            if begun.is_err() {
                core.renew(&mut turn).await;
            }
            begun
        });
        let begun = begun.await?;
        core.erase.notify_one();
        Ok(begun)
    }

    /// An erasure by its id.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn erasure(&self, id: &str) -> Result<Option<Erasure>, StoreError> {
        self.in_time(erasure(self.db(), id)).await
    }

    /// Erasures, the newest first, no more than `limit`: those before the one called `before`, if that is given.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn erasures(&self, before: Option<&str>, limit: u64) -> Result<Vec<Erasure>, StoreError> {
        self.in_time(erasures(self.db(), before, limit)).await
    }
}

impl Desk {
    /// See [`Store::found`].
    ///
    /// # Errors
    /// It is no number, or the database cannot be read.
    pub async fn found(&self, number: &str) -> Result<Found, StoreError> {
        found(&self.db, number).await
    }

    /// See [`Store::erase`]. Rows, and the folders in `data`, are erased before this answers; the rest is for the servers.
    ///
    /// # Errors
    /// It is no number, or the database cannot be written. What was begun goes on by the next server that runs.
    pub async fn erase(&self, data: &Path, number: &str, who: &str) -> Result<Erasure, StoreError> {
        let begun = begin(&self.db, number, who).await?;
        let home = lock::home(data);
        Hand { db: &self.db, data, home: &home, core: None }.pass().await?;
        Ok(erasure(&self.db, &begun.receipt.id).await?.unwrap_or(begun))
    }

    /// See [`Store::erasure`].
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn erasure(&self, id: &str) -> Result<Option<Erasure>, StoreError> {
        erasure(&self.db, id).await
    }

    /// See [`Store::erasures`].
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn erasures(&self, limit: u64) -> Result<Vec<Erasure>, StoreError> {
        erasures(&self.db, None, limit).await
    }
}

/// Calls with somebody: who called us, or whom we called. Our own numbers are nobody.
fn with(number: &str) -> Condition {
    use calls::{Column, Direction};
    Condition::any()
        .add(Column::Direction.eq(Direction::Inbound).and(Column::FromNumber.eq(number)))
        .add(Column::Direction.eq(Direction::Outbound).and(Column::ToNumber.eq(number)))
}

async fn found(db: &DatabaseConnection, number: &str) -> Result<Found, StoreError> {
    use calls::{Column, Entity, State};
    callers::number(number)?;
    let count = |more: Expr| Entity::find().filter(with(number)).filter(more).count(db);
    let of_them = Entity::find().select_only().column(Column::Id).filter(with(number));
    let events = outbox::Entity::find()
        .filter(outbox::Column::Call.in_subquery(sea_orm::QueryTrait::into_query(of_them)))
        .count(db);
    Ok(Found {
        calls: Entity::find().filter(with(number)).count(db).await?,
        running: count(Column::State.eq(State::Running)).await?,
        recordings: count(Column::Recording.eq(true)).await?,
        events: events.await?,
    })
}

/// Lists what is to go.
async fn begin(db: &DatabaseConnection, number: &str, who: &str) -> Result<Erasure, StoreError> {
    callers::number(number)?;
    let txn = db.begin_with_options(sql::immediate()).await?;
    let receipt = Receipt {
        id: id::new_at_any_rate(id::Kind::Erasure),
        subject: subject(&txn, number).await?,
        asked_by: who.to_owned(),
        asked_ms: sql::clock_ms(&txn).await?,
        done_ms: None,
        calls: 0,
        recordings: 0,
        folders: 0,
        events: 0,
        attempts: 0,
        jobs: 0,
        dials: 0,
    };
    let row = sea_orm::IntoActiveModel::into_active_model(receipt.clone()).reset_all();
    erasures::Entity::insert(row).exec_without_returning(&txn).await?;
    for listed in LISTED {
        let values = [receipt.id.as_str().into(), number.into()];
        txn.execute_raw(Statement::from_sql_and_values(txn.get_database_backend(), listed, values)).await?;
    }
    add_audit(&txn, who, "person.erase", &receipt.id, Some(json!({ "subject": receipt.subject }))).await?;
    let begun = erasure(&txn, &receipt.id).await?;
    txn.commit().await?;
    begun.ok_or(StoreError::Gone)
}

/// Calls with a person, those that ring at theirs and have no row yet, and those that were placed and never got one. One that an earlier erasure has listed is this
/// one's from now on, so that this one is not done before it.
const LISTED: [&str; 3] = [
    "INSERT INTO erased (call, erasure, home, state) SELECT id, $1, home, 'listed' FROM calls \
     WHERE (direction = 'inbound' AND from_number = $2) OR (direction = 'outbound' AND to_number = $2) \
     ON CONFLICT (call) DO UPDATE SET erasure = excluded.erasure, \
     state = CASE erased.state WHEN 'gone' THEN 'listed' ELSE erased.state END",
    "INSERT INTO erased (call, erasure, home, state) \
     SELECT call, $1, (SELECT home FROM servers WHERE servers.id = holds.owner), 'listed' FROM holds WHERE number = $2 \
     ON CONFLICT (call) DO NOTHING",
    "INSERT INTO erased (call, erasure, home, state) SELECT id, $1, NULL, 'listed' FROM listed \
     WHERE (direction = 'inbound' AND from_number = $2) OR (direction = 'outbound' AND to_number = $2) \
     ON CONFLICT (call) DO NOTHING",
];

/// A keyed hash of a number, by the store's own key.
async fn subject<C: ConnectionTrait>(db: &C, number: &str) -> Result<String, StoreError> {
    let mut new = [0u8; 32];
    let no_randomness = |_| StoreError::Io("the system has no randomness".to_owned());
    SystemRandom::new().fill(&mut new).map_err(no_randomness)?;
    let values = [hex(&new).into()];
    let insert = "INSERT INTO erasure_keys (id, key) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";
    db.execute_raw(Statement::from_sql_and_values(db.get_database_backend(), insert, values)).await?;
    let row = db.query_one_raw(sql::statement(db, "SELECT key FROM erasure_keys")).await?;
    let key: String = row.ok_or(StoreError::Gone)?.try_get_by_index(0)?;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), number.as_bytes());
    Ok(format!("hmac-sha256:{}", hex(&tag.as_ref()[..16])))
}

async fn erasure<C: ConnectionTrait>(db: &C, id: &str) -> Result<Option<Erasure>, StoreError> {
    let Some(receipt) = erasures::Entity::find_by_id(id.to_owned()).one(db).await? else { return Ok(None) };
    Ok(Some(with_left(db, receipt).await?))
}

async fn erasures(db: &DatabaseConnection, before: Option<&str>, limit: u64) -> Result<Vec<Erasure>, StoreError> {
    use erasures::{Column, Entity};
    let mut all = Entity::find().order_by_desc(Column::Id).limit(limit);
    if let Some(before) = before {
        all = all.filter(Column::Id.lt(before));
    }
    let mut found = Vec::new();
    for receipt in all.all(db).await? {
        found.push(with_left(db, receipt).await?);
    }
    Ok(found)
}

async fn with_left<C: ConnectionTrait>(db: &C, receipt: Receipt) -> Result<Erasure, StoreError> {
    use erased::{Column, Entity, State};
    if receipt.done_ms.is_some() {
        return Ok(Erasure { receipt, calls_left: 0, folders_left: 0 });
    }
    let left = |state: State| {
        let ours = Column::Erasure.eq(receipt.id.as_str()).and(Column::State.eq(state));
        Entity::find().filter(ours).count(db)
    };
    let (calls_left, folders_left) = (left(State::Listed).await?, left(State::Folder).await?);
    Ok(Erasure { receipt, calls_left, folders_left })
}

/// For as long as the server runs: erases what is listed.
pub(in crate::store) async fn keep(core: Arc<Core>) {
    loop {
        let hand = Hand { db: &core.db, data: &core.data, home: &core.me.home, core: Some(&core) };
        if let Err(error) = hand.pass().await {
            core.trouble("does not erase what it should", &error);
        }
        tokio::select! {
            () = sleep(EVERY) => {}
            () = core.erase.notified() => {}
        }
    }
}

/// Now and then: what has turned up again of calls that were erased is listed anew, and after a long time forgotten.
pub(in crate::store) async fn tidy(core: &Core) -> Result<u64, StoreError> {
    use erased::{Column, Entity, State};
    let _turn = core.turn.lock().await;
    // Whoever was in the middle of something may have written of a call after that was gone.
    let again = "UPDATE erased SET state = 'listed' WHERE state = 'gone' AND (EXISTS (SELECT 1 FROM calls WHERE \
                 calls.id = erased.call) OR EXISTS (SELECT 1 FROM listed WHERE listed.id = erased.call) \
                 OR EXISTS (SELECT 1 FROM deliveries WHERE deliveries.call = erased.call) \
                 OR EXISTS (SELECT 1 FROM bodies WHERE bodies.call = erased.call) \
                 OR call IN (SELECT call FROM outbox))";
    core.within(LONGEST, async { Ok(core.db.execute_unprepared(again).await?) }).await?;
    let old = sql::clock(&core.db).sub(REMEMBERED_DAYS * DAY_MS);
    let old = erasures::Entity::find()
        .select_only()
        .column(erasures::Column::Id)
        .filter(Expr::col(erasures::Column::DoneMs).lt(old));
    let old = Column::Erasure.in_subquery(sea_orm::QueryTrait::into_query(old));
    let old = Entity::delete_many().filter(Column::State.eq(State::Gone).and(old));
    core.within(LONGEST, async { Ok(old.exec(&core.db).await?.rows_affected) }).await
}

/// Those of some calls that were erased, or are to be: no row is made of their folders. The folders of those that were are
/// to go, too.
pub(in crate::store) async fn refuse(core: &Core, calls: &[String]) -> Result<Vec<String>, StoreError> {
    use erased::{Column, Entity, State};
    let listed = Column::Call.is_in(calls.iter().map(String::as_str));
    let found = Entity::find().filter(listed).all(&core.db).await?;
    let again: Vec<&str> = found.iter().filter(|row| row.state == State::Gone).map(|row| row.call.as_str()).collect();
    if !again.is_empty() {
        let _turn = core.turn.lock().await;
        Entity::update_many()
            .col_expr(Column::State, Expr::value(State::Listed))
            .col_expr(Column::Home, Expr::value(core.me.home.as_str()))
            .filter(Column::Call.is_in(again).and(Column::State.eq(State::Gone)))
            .exec(&core.db)
            .await?;
        core.erase.notify_one();
    }
    Ok(found.into_iter().map(|row| row.call).collect())
}

/// Who erases, and where.
struct Hand<'a> {
    db: &'a DatabaseConnection,
    data: &'a Path,
    home: &'a str,
    /// Of a server, whose writers have turns.
    core: Option<&'a Core>,
}

impl Hand<'_> {
    /// Erases what can be now. What cannot be must not keep the rest.
    async fn pass(&self) -> Result<(), StoreError> {
        use erased::{Column, Entity, State};
        let here = Column::Home.is_null().or(Column::Home.eq(self.home));
        let ours = Condition::any().add(Column::State.eq(State::Listed)).add(Column::State.eq(State::Folder).and(here));
        let (mut trouble, mut some, mut after) = (Ok(()), false, String::new());
        loop {
            let next = Entity::find().filter(Column::Call.gt(after.as_str())).filter(Column::State.ne(State::Gone));
            let next = next.filter(ours.clone()).order_by_asc(Column::Call).limit(CHUNK).all(self.db).await?;
            let Some(last) = next.last() else { break };
            after.clone_from(&last.call);
            for call in next {
                match self.one(call).await {
                    Ok(done) => some |= done,
                    Err(error) => trouble = trouble.and(Err(error)),
                }
            }
        }
        self.write(finish(self.db)).await?;
        if some {
            sql::forget(self.db).await?;
        }
        trouble
    }

    /// Whether something of the call is gone now.
    async fn one(&self, call: erased::Model) -> Result<bool, StoreError> {
        let listed = call.state == erased::State::Listed;
        if listed {
            let gone = match self.core {
                Some(core) => {
                    let mut turn = core.turn.lock().await;
                    let gone = core.in_time(rows(&turn, &call)).await;
                    if gone.is_err() {
                        core.renew(&mut turn).await;
                    }
                    gone?
                }
                None => rows(self.db, &call).await?,
            };
            if !gone {
                return Ok(false);
            }
        }
        // Where the folder of one is that has no row by now is known to its row alone: it was read with it.
        if call.home.as_deref().is_some_and(|home| home != self.home) {
            return Ok(listed);
        }
        let (data, name) = (self.data.to_owned(), call.call.clone());
        let removed = tokio::task::spawn_blocking(move || remove(&data, &name)).await;
        let was_there = removed.map_err(|error| StoreError::Io(error.to_string()))??;
        self.write(gone(self.db, &call, was_there)).await?;
        Ok(true)
    }

    /// Writes in turn.
    async fn write<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        match self.core {
            Some(core) => {
                let _turn = core.turn.lock().await;
                core.in_time(work).await
            }
            None => work.await,
        }
    }
}

/// Deletes all rows of a call. `false`: it is not time yet, or somebody else has done it.
async fn rows(db: &DatabaseConnection, call: &erased::Model) -> Result<bool, StoreError> {
    let txn = db.begin_with_options(sql::immediate()).await?;
    match delete_rows(&txn, call).await {
        Ok(true) => {
            txn.commit().await?;
            Ok(true)
        }
        other => {
            txn.rollback().await?;
            Ok(other?)
        }
    }
}

async fn delete_rows<C: ConnectionTrait>(db: &C, call: &erased::Model) -> Result<bool, DbErr> {
    use erased::{Column, Entity, State};
    let name = call.call.as_str();
    let listed = Column::Call.eq(name).and(Column::State.eq(State::Listed));
    let ours = Entity::update_many().col_expr(Column::State, Expr::value(State::Folder)).filter(listed);
    if ours.exec(db).await?.rows_affected == 0 {
        return Ok(false);
    }
    let row = Now::find_by_statement(Statement::from_sql_and_values(
        db.get_database_backend(),
        "SELECT state, recording FROM calls WHERE id = $1",
        [name.into()],
    ));
    let row = row.one(db).await?;
    let is_up = row.as_ref().is_some_and(|row| row.state == calls::State::Running.name());
    // One that rings has no row, but a place.
    if is_up || holds::Entity::find_by_id(name).one(db).await?.is_some() {
        return Ok(false);
    }
    let jobs_of = jobs::Column::Call.eq(name);
    let free = jobs::Entity::delete_many().filter(jobs_of.clone()).filter(lease::is_free(jobs::Column::Owner));
    let jobs_gone = free.exec(db).await?.rows_affected;
    if jobs::Entity::find().filter(jobs_of).count(db).await? > 0 {
        // Somebody is finding out something about it, and would write that down.
        return Ok(false);
    }
    let events = outbox::Entity::delete_many().filter(outbox::Column::Call.eq(name)).exec(db).await?.rows_affected;
    let attempts = deliveries::forget_call(db, name).await?;
    // A key that was used stays used: the request must not ring again.
    let request = dials::ActiveModel {
        key: NotSet,
        request_hash: Set(String::new()),
        created_ms: NotSet,
        state: NotSet,
        carrier_call: Set(None),
        call: NotSet,
        error: Set(None),
        owner: NotSet,
    };
    let placed = dials::Entity::update_many().set(request).filter(dials::Column::Call.eq(name));
    let placed = placed.exec(db).await?.rows_affected;
    let gone = calls::Entity::delete_by_id(name).exec(db).await?.rows_affected;
    lists::gone(db, name).await?;
    let recordings = u64::from(row.is_some_and(|row| row.recording));
    use erasures::Column as Count;
    let counts = [
        (Count::Calls, gone),
        (Count::Recordings, recordings),
        (Count::Events, events),
        (Count::Attempts, attempts),
        (Count::Jobs, jobs_gone),
        (Count::Dials, placed),
    ];
    let counted = counts.into_iter().fold(erasures::Entity::update_many(), |update, (column, more)| {
        update.col_expr(column, Expr::col(column).add(more as i64))
    });
    counted.filter(Count::Id.eq(call.erasure.as_str())).exec(db).await?;
    Ok(true)
}

/// What is asked of a call's row.
#[derive(Debug, FromQueryResult)]
struct Now {
    state: String,
    recording: bool,
}

/// Deletes a call's folder, and what waits beside it. Tells whether there was one.
fn remove(data: &Path, call: &str) -> Result<bool, StoreError> {
    let there_is_none = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let failed =
        |path: &Path, error: io::Error| StoreError::Io(format!("{}: cannot be deleted: {error}", path.display()));
    let calls = data.join("calls");
    let (folder, aside) = (calls.join(id::folder(call)), calls.join(format!("{}{call}", retention::ASIDE)));
    // What was begun and not finished is there by its other name.
    let was_there = folder.exists() || aside.exists();
    match fs::rename(&folder, &aside) {
        Err(error) if !there_is_none(&error) => return Err(failed(&folder, error)),
        _ => {}
    }
    match fs::remove_dir_all(&aside) {
        Err(error) if !there_is_none(&error) => return Err(failed(&aside, error)),
        _ => {}
    }
    for name in [format!("{call}.json"), format!("{call}.json.tmp")] {
        let path = data.join("after").join(name);
        match fs::remove_file(&path) {
            Err(error) if !there_is_none(&error) => return Err(failed(&path, error)),
            _ => {}
        }
    }
    Ok(was_there)
}

/// Notes that a call's folder is gone.
async fn gone(db: &DatabaseConnection, call: &erased::Model, was_there: bool) -> Result<(), StoreError> {
    use erased::{Column, Entity, State};
    let txn = db.begin_with_options(sql::immediate()).await?;
    let folder = Column::Call.eq(call.call.as_str()).and(Column::State.eq(State::Folder));
    let noted = Entity::update_many().col_expr(Column::State, Expr::value(State::Gone)).filter(folder);
    if noted.exec(&txn).await?.rows_affected > 0 && was_there {
        use erasures::Column as Count;
        let counted = erasures::Entity::update_many().col_expr(Count::Folders, Expr::col(Count::Folders).add(1));
        counted.filter(Count::Id.eq(call.erasure.as_str())).exec(&txn).await?;
    }
    Ok(txn.commit().await?)
}

/// Notes which erasures are done.
async fn finish(db: &DatabaseConnection) -> Result<(), StoreError> {
    use erasures::{Column, Entity};
    let left = "NOT EXISTS (SELECT 1 FROM erased WHERE erased.erasure = erasures.id AND erased.state <> 'gone')";
    let done = Entity::update_many().col_expr(Column::DoneMs, sql::clock(db));
    done.filter(Column::DoneMs.is_null()).filter(Expr::cust(left)).exec(db).await?;
    Ok(())
}
