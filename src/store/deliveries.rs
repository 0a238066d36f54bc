//! The log of attempts to deliver events, what the events said, and sending them again.
//!
//! An attempt is noted in the transaction that notes what became of its event. What an event said is in the outbox until it
//! is delivered, and for [`KEPT_DAYS`] after that in `bodies`, once for all endpoints. What is beyond the bounds goes every
//! hour, the oldest first.

mod desk;

use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, EntityTrait as _,
    ExprTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Statement,
    TransactionTrait as _, Value,
};

pub use super::entity::deliveries::{Model as Delivery, Outcome};
use super::entity::outbox::{self, State};
use super::entity::{bodies, deliveries};
use super::outbox::{MAX_WAITING, waiting_for};
use super::retention::clear;
use super::{Core, LONGEST, OutboxRow, Store, StoreError, now_ms, sql};
use deliveries::{Column, Entity};

/// Days for which attempts and bodies are kept.
pub const KEPT_DAYS: i64 = 30;
/// Attempts of one endpoint that are kept.
const MAX_ATTEMPTS: u64 = 100_000;
/// Bodies that are kept, and their bytes together.
const MAX_BODIES: u64 = 200_000;
const MAX_BODY_BYTES: i64 = 4 << 30;
/// Bytes of an answer that are kept.
pub const ANSWER_BYTES: usize = 2_048;
/// Events that one request sends again.
const MAX_REPLAY: u64 = 1_000;
const DAY_MS: i64 = 86_400_000;

/// An attempt that is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// The answer's status; `None`: there was none.
    pub status: Option<u16>,
    /// From the connection to the end of the answer.
    pub took_ms: u64,
    /// The first [`ANSWER_BYTES`] of the answer's body.
    pub answer: String,
    /// Why it failed, in words; `None`: it did not.
    pub error: Option<String>,
}

/// Which attempts are asked for. The default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// To this endpoint, by its id.
    pub endpoint: Option<String>,
    /// Of an event of this type.
    pub kind: Option<String>,
    /// Of this call.
    pub call: Option<String>,
    /// Of this event.
    pub event: Option<String>,
    /// That the endpoint took, or did not take.
    pub delivered: Option<bool>,
    /// That came to this.
    pub outcome: Option<Outcome>,
    /// Made at this moment or later, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Made before this moment.
    pub until_ms: Option<i64>,
    /// Before this one: [`seq`](Delivery::seq).
    pub before: Option<i64>,
    /// No more than so many, the newest.
    pub limit: u64,
}

/// What was put in to be sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// How many events.
    pub events: u64,
    /// There are more: those from this moment on, in milliseconds since 1970.
    pub more_from_ms: Option<i64>,
}

/// Keeps what an event says, of which the outbox will know nothing any more.
pub(super) async fn keep_body(db: &DatabaseTransaction, row: &OutboxRow) -> Result<(), DbErr> {
    let keep = "INSERT INTO bodies (event, seq, call, type, created_ms, bytes, body) \
        SELECT id, seq, call, type, created_ms, $2, body FROM outbox WHERE seq = $1 ON CONFLICT (event) DO NOTHING";
    run(db, keep, [row.seq.into(), (row.body.len() as i64).into()]).await.map(drop)
}

/// Notes an attempt at an event of the outbox.
pub(super) async fn log(
    db: &DatabaseTransaction,
    row: &OutboxRow,
    attempt: &Attempt,
    outcome: Outcome,
) -> Result<(), DbErr> {
    let about = [&row.id, &row.endpoint, &row.kind, &row.call];
    insert(db, about, row.attempts + 1, attempt, outcome, false).await
}

async fn insert<C: ConnectionTrait>(
    db: &C,
    [event, endpoint, kind, call]: [&String; 4],
    number: i64,
    attempt: &Attempt,
    outcome: Outcome,
    test: bool,
) -> Result<(), DbErr> {
    let took_ms = i64::try_from(attempt.took_ms).unwrap_or(i64::MAX);
    let columns = [
        Column::Event,
        Column::Endpoint,
        Column::Kind,
        Column::Call,
        Column::AtMs,
        Column::Attempt,
        Column::Outcome,
        Column::Status,
        Column::TookMs,
        Column::Answer,
        Column::Error,
        Column::Test,
    ];
    let sound = |text: &str| text.replace('\0', "");
    let values: [Expr; 12] = [
        Expr::value(event.as_str()),
        Expr::value(endpoint.as_str()),
        Expr::value(kind.as_str()),
        Expr::value(call.as_str()),
        sql::clock(db).sub(took_ms),
        Expr::value(number),
        Expr::value(outcome.name()),
        Expr::value(attempt.status.map(i64::from)),
        Expr::value(took_ms),
        Expr::value(sound(&attempt.answer)),
        Expr::value(attempt.error.as_deref().map(sound)),
        Expr::value(test),
    ];
    let mut new = Query::insert();
    new.into_table(Entity).columns(columns);
    // As many values as columns: it is taken.
    if let Err(error) = new.values(values) {
        return Err(DbErr::Custom(error.to_string()));
    }
    db.execute(&new).await.map(drop)
}

impl Store {
    /// Notes that a sample was sent, with what it said.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn log_test(&self, endpoint: &str, sample: &Sample, attempt: &Attempt) -> Result<(), StoreError> {
        let outcome = if attempt.error.is_none() { Outcome::Delivered } else { Outcome::GivenUp };
        let (event, kind, nothing) = (&sample.id, sample.kind.name().to_owned(), String::new());
        self.in_time(async {
            let turn = self.core.turn.lock().await;
            let body = "INSERT INTO bodies (event, seq, call, type, created_ms, bytes, body) \
                VALUES ($1, 0, '', $2, $3, $4, $5) ON CONFLICT (event) DO NOTHING";
            let values: [Value; 5] = [
                event.as_str().into(),
                kind.as_str().into(),
                now_ms().into(),
                (sample.body.len() as i64).into(),
                sample.body.as_str().into(),
            ];
            run(&*turn, body, values).await?;
            insert(&*turn, [event, &endpoint.to_owned(), &kind, &nothing], 1, attempt, outcome, true).await?;
            Ok(())
        })
        .await
    }

    /// Attempts, the newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn deliveries(&self, filter: &DeliveryFilter) -> Result<Vec<Delivery>, StoreError> {
        self.in_time(async { Ok(filter.find(self.db()).await?) }).await
    }

    /// An attempt, and what its event said, if that is still kept.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn delivery(&self, seq: i64) -> Result<Option<(Delivery, Option<String>)>, StoreError> {
        self.in_time(async {
            let Some(row) = Entity::find_by_id(seq).one(self.db()).await? else { return Ok(None) };
            let kept = bodies::Entity::find_by_id(row.event.clone()).one(self.db()).await?;
            let body = match kept {
                Some(kept) => Some(kept.body),
                None => {
                    let there = outbox::Column::Id.eq(row.event.as_str());
                    outbox::Entity::find().filter(there).one(self.db()).await?.map(|event| event.body)
                }
            };
            Ok(Some((row, body)))
        })
        .await
    }

    /// Events that were given up, the newest first: of one endpoint, or of all; before `before`, a
    /// [`seq`](OutboxRow::seq).
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn dead(
        &self,
        endpoint: Option<&str>,
        before: Option<i64>,
        limit: u64,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        use outbox::Column;
        let dead = Condition::all()
            .add(Column::State.eq(State::Dead))
            .add_option(endpoint.map(|endpoint| Column::Endpoint.eq(endpoint)))
            .add_option(before.map(|before| Column::Seq.lt(before)));
        let rows = outbox::Entity::find().filter(dead).order_by_desc(Column::Seq).limit(limit);
        self.in_time(async { Ok(rows.all(self.db()).await?) }).await
    }

    /// Has an event sent to an endpoint again, whatever became of it before, under the same id. `false`: nobody knows any
    /// more what it said.
    ///
    /// # Errors
    /// The store cannot be written, or too much waits for the endpoint.
    pub async fn replay(&self, endpoint: &str, event: &str) -> Result<bool, StoreError> {
        self.again(async |txn| replay(txn, endpoint, event).await).await
    }

    /// Has the events of a window of time sent to an endpoint again, in their order: all that it was sent or not sent, or
    /// only those that were given up. The window is of when they happened, from `since_ms` until before `until_ms`.
    ///
    /// # Errors
    /// The store cannot be written, or too much waits for the endpoint.
    pub async fn replay_window(
        &self,
        endpoint: &str,
        since_ms: i64,
        until_ms: i64,
        only_dead: bool,
    ) -> Result<Replayed, StoreError> {
        let window = Window { since_ms, until_ms, only_dead };
        self.again(async |txn| replay_window(txn, endpoint, window).await).await
    }

    async fn again<T>(
        &self,
        work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let done = self
            .in_time(async {
                let mut turn = self.core.turn.lock().await;
                let done = async {
                    let txn = turn.begin_with_options(sql::immediate()).await?;
                    let done = work(&txn).await?;
                    txn.commit().await?;
                    Ok(done)
                };
                let done = done.await;
                if matches!(done, Err(StoreError::Db(_))) {
                    self.core.renew(&mut turn).await;
                }
                done
            })
            .await?;
        self.core.fresh.notify_one();
        Ok(done)
    }
}

/// The events of a window of time: of when they happened, from its beginning until before its end.
#[derive(Clone, Copy, Debug)]
struct Window {
    since_ms: i64,
    until_ms: i64,
    /// Only those that were given up.
    only_dead: bool,
}

async fn replay(txn: &DatabaseTransaction, endpoint: &str, event: &str) -> Result<bool, StoreError> {
    use outbox::Column;
    room(txn, endpoint, 1).await?;
    let this = Column::Id.eq(event).and(Column::Endpoint.eq(endpoint));
    if revive(txn, Condition::all().add(this.clone())).await? > 0 {
        return Ok(true);
    }
    if outbox::Entity::find().filter(this).count(txn).await? > 0 {
        // It waits.
        return Ok(true);
    }
    let kept = format!("{INTO_OUTBOX} FROM bodies WHERE event = $2 {UNLESS_THERE}");
    if run(txn, &kept, [endpoint.into(), event.into()]).await? > 0 {
        return Ok(true);
    }
    // Of what no endpoint took, another may still have it.
    let other = format!("{FROM_ANOTHER} FROM outbox WHERE id = $2 ORDER BY seq LIMIT 1 {UNLESS_THERE}");
    Ok(run(txn, &other, [endpoint.into(), event.into()]).await? > 0)
}

async fn replay_window(txn: &DatabaseTransaction, endpoint: &str, window: Window) -> Result<Replayed, StoreError> {
    use outbox::Column;
    let Window { since_ms, until_ms, only_dead } = window;
    let dead = |until: i64| {
        Condition::all()
            .add(Column::Endpoint.eq(endpoint))
            .add(Column::State.eq(State::Dead))
            .add(Column::CreatedMs.gte(since_ms))
            .add(Column::CreatedMs.lt(until))
    };
    let first_beyond = outbox::Entity::find()
        .select_only()
        .column(Column::CreatedMs)
        .filter(dead(until_ms))
        .order_by_asc(Column::CreatedMs)
        .offset(MAX_REPLAY)
        .limit(1)
        .into_tuple::<i64>();
    let mut beyond = first_beyond.one(txn).await?;
    let values = |until: i64| -> [Value; 3] { [endpoint.into(), since_ms.into(), until.into()] };
    if !only_dead {
        let asked = format!("SELECT created_ms {TOOK} ORDER BY created_ms LIMIT 1 OFFSET {MAX_REPLAY}");
        let asked = Statement::from_sql_and_values(txn.get_database_backend(), asked, values(until_ms));
        let found = txn.query_one_raw(asked).await?.map(|row| row.try_get_by_index(0)).transpose()?;
        beyond = [beyond, found].into_iter().flatten().min();
    }
    let until = beyond.unwrap_or(until_ms);
    room(txn, endpoint, if only_dead { MAX_REPLAY } else { 2 * MAX_REPLAY }).await?;
    let mut events = revive(txn, dead(until)).await?;
    if !only_dead {
        let again = format!("{INTO_OUTBOX} {TOOK} ORDER BY seq {UNLESS_THERE}");
        events += run(txn, &again, values(until)).await?;
    }
    Ok(Replayed { events, more_from_ms: beyond })
}

impl DeliveryFilter {
    async fn find<C: ConnectionTrait>(&self, db: &C) -> Result<Vec<Delivery>, DbErr> {
        let mut all = Condition::all();
        let same = [
            (Column::Endpoint, &self.endpoint),
            (Column::Kind, &self.kind),
            (Column::Call, &self.call),
            (Column::Event, &self.event),
        ];
        for (column, value) in same {
            all = all.add_option(value.as_ref().map(|value| column.eq(value.as_str())));
        }
        // As the index says it, so that it is used.
        all = all.add_option(self.delivered.map(|delivered| match delivered {
            true => Column::Outcome.eq(Outcome::Delivered),
            false => Expr::cust("outcome <> 'delivered'"),
        }));
        all = all.add_option(self.outcome.map(|outcome| Column::Outcome.eq(outcome)));
        all = all.add_option(self.since_ms.map(|since| Column::AtMs.gte(since)));
        all = all.add_option(self.until_ms.map(|until| Column::AtMs.lt(until)));
        all = all.add_option(self.before.map(|before| Column::Seq.lt(before)));
        Entity::find().filter(all).order_by_desc(Column::Seq).limit(self.limit).all(db).await
    }
}

/// A sample of an event, which nothing has happened for.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: crate::config::EventType,
    /// What it says, marked `test`.
    pub body: String,
}

impl Sample {
    /// A sample of a type.
    pub fn new(kind: crate::config::EventType) -> Sample {
        let event = super::event::Event::sample(kind, now_ms());
        Sample { id: event.id, kind, body: event.body }
    }
}

/// What was delivered goes into the outbox again.
const INTO_OUTBOX: &str = "INSERT INTO outbox (id, call, endpoint, type, body, created_ms, attempts, next_at_ms, state) \
    SELECT event, call, $1, type, body, created_ms, 0, 0, 'waiting'";
const FROM_ANOTHER: &str = "INSERT INTO outbox (id, call, endpoint, type, body, created_ms, attempts, next_at_ms, state) \
    SELECT id, call, $1, type, body, created_ms, 0, 0, 'waiting'";
const UNLESS_THERE: &str = "ON CONFLICT (id, endpoint) DO NOTHING";
/// What an endpoint took in a window of time.
const TOOK: &str = "FROM bodies WHERE created_ms >= $2 AND created_ms < $3 AND EXISTS (SELECT 1 FROM deliveries \
    WHERE deliveries.event = bodies.event AND deliveries.endpoint = $1 AND NOT deliveries.test)";

/// Lets events that were given up wait again. Answers how many.
async fn revive(db: &DatabaseTransaction, which: Condition) -> Result<u64, DbErr> {
    use outbox::Column;
    let again = outbox::Entity::update_many()
        .col_expr(Column::State, Expr::value(State::Waiting))
        .col_expr(Column::Attempts, Expr::value(0))
        .col_expr(Column::NextAtMs, Expr::value(0))
        .col_expr(Column::Owner, Expr::value(None::<String>))
        .filter(which)
        .filter(Column::State.eq(State::Dead));
    Ok(again.exec(db).await?.rows_affected)
}

async fn room(db: &DatabaseTransaction, endpoint: &str, more: u64) -> Result<(), StoreError> {
    if waiting_for(db, endpoint).await? + more <= MAX_WAITING {
        return Ok(());
    }
    Err(StoreError::Refused(format!("{MAX_WAITING} events may wait for one webhook, and about as many do.")))
}

async fn run<C: ConnectionTrait, const N: usize>(db: &C, text: &str, values: [Value; N]) -> Result<u64, DbErr> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), text, values);
    Ok(db.execute_raw(statement).await?.rows_affected())
}

/// Forgets what was told of a call, and what was answered. Answers how many attempts that were.
pub(super) async fn forget_call<C: ConnectionTrait>(db: &C, call: &str) -> Result<u64, DbErr> {
    bodies::Entity::delete_many().filter(bodies::Column::Call.eq(call)).exec(db).await?;
    Ok(Entity::delete_many().filter(Column::Call.eq(call)).exec(db).await?.rows_affected)
}

/// Deletes what is too old, and the oldest of what is too much. Answers how many rows that were.
pub(super) async fn prune(core: &Core) -> Result<u64, StoreError> {
    let days = match core.settings.borrow().store.keep_days {
        0 => KEPT_DAYS,
        days => i64::try_from(days).map_or(KEPT_DAYS, |days| Ord::min(days, KEPT_DAYS)),
    };
    // No number of a running server's clock is held against the database's.
    let before = core.within(LONGEST, async { Ok(sql::clock_ms(&core.db).await?) }).await? - days * DAY_MS;
    let old = Condition::all().add(Column::AtMs.lt(before));
    let mut gone = clear::<Entity>(core, Column::Seq, old).await?;
    let old = Condition::all().add(bodies::Column::CreatedMs.lt(before));
    gone += clear::<bodies::Entity>(core, bodies::Column::Event, old).await?;
    for beyond in core.within(LONGEST, async { Ok(attempts_beyond(&core.db).await?) }).await? {
        gone += clear::<Entity>(core, Column::Seq, beyond).await?;
    }
    if let Some(first_kept) = core.within(LONGEST, async { Ok(body_bound(&core.db).await?) }).await? {
        let oldest = Condition::all().add(bodies::Column::CreatedMs.lt(first_kept));
        gone += clear::<bodies::Entity>(core, bodies::Column::Event, oldest).await?;
    }
    Ok(gone)
}

/// Of each endpoint the attempts that are too many.
async fn attempts_beyond(db: &DatabaseConnection) -> Result<Vec<Condition>, DbErr> {
    let endpoints: Vec<String> =
        Entity::find().select_only().column(Column::Endpoint).distinct().into_tuple().all(db).await?;
    let mut all = Vec::new();
    for endpoint in endpoints {
        let of = Condition::all().add(Column::Endpoint.eq(endpoint));
        let beyond = Entity::find()
            .select_only()
            .column(Column::Seq)
            .filter(of.clone())
            .order_by_desc(Column::Seq)
            .offset(MAX_ATTEMPTS)
            .limit(1)
            .into_tuple::<i64>();
        all.extend(beyond.one(db).await?.map(|seq| of.add(Column::Seq.lte(seq))));
    }
    Ok(all)
}

/// Before which moment bodies are too many, or too much; `None`: they are not.
async fn body_bound<C: ConnectionTrait>(db: &C) -> Result<Option<i64>, DbErr> {
    let beyond = bodies::Entity::find()
        .select_only()
        .column(bodies::Column::CreatedMs)
        .order_by_desc(bodies::Column::CreatedMs)
        .offset(MAX_BODIES)
        .limit(1)
        .into_tuple::<i64>();
    let too_many = beyond.one(db).await?.map(|ms| ms + 1);
    let summed = format!(
        "SELECT max(created_ms) + 1 FROM (SELECT created_ms, \
         sum(bytes) OVER (ORDER BY created_ms DESC ROWS UNBOUNDED PRECEDING) AS so_far FROM bodies) AS newest \
         WHERE so_far > {MAX_BODY_BYTES}"
    );
    let row = db.query_one_raw(sql::statement(db, &summed)).await?;
    let too_much: Option<i64> = row.map_or(Ok(None), |row| row.try_get_by_index(0))?;
    Ok(Ord::max(too_many, too_much))
}
