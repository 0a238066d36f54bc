//! The outbox: what is to be sent, what has failed, what was given up.

use std::collections::BTreeMap;
use std::sync::Arc;

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, EntityTrait as _,
    ExprTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, TransactionTrait as _,
};
use serde_json::Value;

use crate::config::{EventType, Webhook};

use super::deliveries::{self, Attempt, Outcome};
use super::endpoints;
use super::entity::{calls, outbox};
use super::event::{About, Event};
use super::{Core, Desk, Store, StoreError, now_ms, sql};
use outbox::{ActiveModel, Column, Entity, Model, State};

/// Events that may wait for one endpoint; a further one is given up at once.
pub(super) const MAX_WAITING: u64 = 100_000;
/// Events that were given up and are kept; the oldest go first.
pub(super) const MAX_DEAD: u64 = 100_000;

/// Puts an event in for every endpoint that wants it. `id`: one that was made for it already; what is there with it stays.
pub(super) async fn add<C: ConnectionTrait>(
    db: &C,
    hooks: &[Arc<Webhook>],
    call: &calls::Model,
    kind: EventType,
    data: &Value,
    id: Option<&str>,
) -> Result<(), DbErr> {
    add_all(db, hooks, std::iter::once((call, kind, data, id))).await
}

/// The same of several, in their order.
pub(super) async fn add_all<'a, C: ConnectionTrait>(
    db: &C,
    hooks: &[Arc<Webhook>],
    events: impl Iterator<Item = (&'a calls::Model, EventType, &'a Value, Option<&'a str>)>,
) -> Result<(), DbErr> {
    tell(db, hooks, events.map(|(call, kind, data, id)| (About::Call(call), kind, data, id))).await
}

/// The same of whatever there is.
pub(super) async fn tell<'a, C: ConnectionTrait>(
    db: &C,
    hooks: &[Arc<Webhook>],
    events: impl Iterator<Item = (About<'a>, EventType, &'a Value, Option<&'a str>)>,
) -> Result<(), DbErr> {
    let mut waiting: BTreeMap<&str, u64> = BTreeMap::new();
    let mut rows = Vec::new();
    let now_ms = now_ms();
    for (about, kind, data, id) in events {
        let wanted: Vec<&Webhook> =
            hooks.iter().filter(|hook| hook.wants(kind, about.agent())).map(Arc::as_ref).collect();
        if wanted.is_empty() {
            continue;
        }
        let event = Event::new(id, about, kind, data, now_ms);
        for hook in wanted {
            let endpoint = hook.id.as_str();
            if let Some(why) = &hook.off {
                rows.push(row(&event, about.key(), endpoint, Some(why.clone()), now_ms));
                continue;
            }
            let before = match waiting.get(endpoint) {
                Some(before) => *before,
                None => waiting_for(db, endpoint).await?,
            };
            waiting.insert(endpoint, before + 1);
            let full =
                (before >= MAX_WAITING).then(|| format!("more than {MAX_WAITING} events wait for this endpoint"));
            rows.push(row(&event, about.key(), endpoint, full, now_ms));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let there = OnConflict::columns([Column::Id, Column::Endpoint]).do_nothing().to_owned();
    Entity::insert_many(rows).on_conflict(there).exec_without_returning(db).await.map(drop)
}

/// `dead`: why it is given up at once.
fn row(event: &Event, about: &str, endpoint: &str, dead: Option<String>, now_ms: i64) -> ActiveModel {
    ActiveModel {
        seq: NotSet,
        id: Set(event.id.clone()),
        call: Set(about.to_owned()),
        endpoint: Set(endpoint.to_owned()),
        kind: Set(event.kind.name().to_owned()),
        body: Set(event.body.clone()),
        created_ms: Set(now_ms),
        attempts: Set(0),
        // At once, whatever the clock does meanwhile.
        next_at_ms: Set(0),
        state: Set(if dead.is_some() { State::Dead } else { State::Waiting }),
        last_error: Set(dead),
        owner: Set(None),
    }
}

pub(super) async fn waiting_for<C: ConnectionTrait>(db: &C, endpoint: &str) -> Result<u64, DbErr> {
    let waiting = Column::Endpoint.eq(endpoint).and(Column::State.eq(State::Waiting));
    Entity::find().filter(waiting).count(db).await
}

/// Longer than any pause between two attempts.
const LONGEST_PAUSE_MS: i64 = 12 * 3_600 * 1_000;

/// Nothing that happened in the same call waits before it.
const FIRST: &str = "NOT EXISTS (SELECT 1 FROM outbox AS earlier WHERE earlier.endpoint = outbox.endpoint \
    AND earlier.call = outbox.call AND earlier.state = 'waiting' AND earlier.seq < outbox.seq)";

impl Store {
    /// Waits until the outbox may have something new.
    pub async fn outbox_is_fresh(&self) {
        self.core.fresh.notified().await;
    }

    /// Events for `endpoint` that are due, the oldest first, which are this server's from now on until it notes what became of
    /// them, or is gone: for each call only the first that waits, since the next must not overtake it, whoever sends that.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn claim(&self, endpoint: &str, limit: u64) -> Result<Vec<Model>, StoreError> {
        let core = &self.core;
        self.in_time(async {
            let mut turn = core.turn.lock().await;
            let claimed = claim(core, &turn, endpoint, limit).await;
            match &claimed {
                Ok(events) => core.in_hand.events.take(events.iter().map(|event| event.seq)),
                Err(_) => core.renew(&mut turn).await,
            }
            claimed
        })
        .await
    }

    /// Who is told of calls now: the endpoints of `offhook.toml`, then those that were made by the API.
    pub fn webhooks(&self) -> Arc<[Arc<Webhook>]> {
        self.core.hooks()
    }

    /// In how many milliseconds something will be due for `endpoint` that nobody has yet; `None`: there is nothing.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn next_due_ms(&self, endpoint: &str) -> Result<Option<i64>, StoreError> {
        let next = Entity::find()
            .select_only()
            .expr(Expr::cust(format!("min(next_at_ms) - {}", sql::clock_text(self.db()))))
            .filter(waiting(&self.core, endpoint))
            .into_tuple::<Option<i64>>();
        self.in_time(async { Ok(next.one(self.db()).await?.flatten()) }).await
    }

    /// Names of the endpoints that something waits for, and how much.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn waiting(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let waiting = Entity::find()
            .select_only()
            .column(Column::Endpoint)
            .expr(Expr::cust("count(*)"))
            .filter(Column::State.eq(State::Waiting))
            .group_by(Column::Endpoint)
            .into_tuple::<(String, i64)>();
        let rows = self.in_time(async { Ok(waiting.all(self.db()).await?) }).await?;
        Ok(rows.into_iter().map(|(name, count)| (name, u64::try_from(count).unwrap_or(0))).collect())
    }

    /// Gives up all that waits for `endpoint`. Returns how much that was.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn give_up(&self, endpoint: &str, why: &str) -> Result<u64, StoreError> {
        let change = Entity::update_many()
            .col_expr(Column::State, Expr::value(State::Dead))
            .col_expr(Column::LastError, Expr::value(why))
            .filter(Column::Endpoint.eq(endpoint))
            .filter(Column::State.eq(State::Waiting));
        self.in_time(async {
            let _turn = self.core.turn.lock().await;
            Ok(change.exec(self.db()).await?.rows_affected)
        })
        .await
    }

    /// An event was delivered, by `attempt`.
    ///
    /// # Errors
    /// The store cannot be written: the event is not to be sent again before it can.
    pub async fn delivered(&self, row: &Model, attempt: &Attempt) -> Result<(), StoreError> {
        self.note(async |txn| {
            deliveries::keep_body(txn, row).await?;
            if Entity::delete_by_id(row.seq).exec(txn).await?.rows_affected > 0 {
                deliveries::log(txn, row, attempt, Outcome::Delivered).await?;
                endpoints::took(txn, &self.core.hooks(), &row.endpoint).await?;
            }
            Ok(())
        })
        .await?;
        self.core.in_hand.events.let_go(row.seq);
        Ok(())
    }

    /// An attempt has failed, and the event is nobody's again. `pause_ms`: how long it waits; `None`: it is given up.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn failed(&self, row: &Model, attempt: &Attempt, pause_ms: Option<i64>) -> Result<(), StoreError> {
        let why = attempt.error.as_deref().unwrap_or_default().replace('\0', "");
        let change = Entity::update_many()
            .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
            .col_expr(Column::LastError, Expr::value(why.as_str()))
            .col_expr(Column::Owner, Expr::value(None::<String>))
            // What was noted, and of which the answer was lost, is not noted again.
            .filter(Column::Seq.eq(row.seq).and(Column::Attempts.eq(row.attempts)));
        let (change, outcome) = match pause_ms {
            Some(ms) => (change.col_expr(Column::NextAtMs, sql::clock(self.db()).add(ms)), Outcome::Failed),
            None => (change.col_expr(Column::State, Expr::value(State::Dead)), Outcome::GivenUp),
        };
        self.note(async |txn| {
            if change.clone().exec(txn).await?.rows_affected > 0 {
                deliveries::log(txn, row, attempt, outcome).await?;
                endpoints::refused(txn, &self.core.hooks(), &row.endpoint, &why, outcome).await?;
            }
            Ok(())
        })
        .await?;
        self.core.in_hand.events.let_go(row.seq);
        Ok(())
    }

    /// Writes in one transaction what came of an attempt.
    async fn note(&self, work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<(), DbErr>) -> Result<(), StoreError> {
        self.in_time(async {
            let mut turn = self.core.turn.lock().await;
            let noted = async {
                let txn = turn.begin_with_options(sql::immediate()).await?;
                work(&txn).await?;
                Ok(txn.commit().await?)
            };
            let noted = noted.await;
            if noted.is_err() {
                self.core.renew(&mut turn).await;
            }
            noted
        })
        .await
    }
}

/// What waits for an endpoint, is nobody's, and is the first of its call.
fn waiting(core: &Core, endpoint: &str) -> Condition {
    Condition::all()
        .add(Column::State.eq(State::Waiting))
        .add(Column::Endpoint.eq(endpoint))
        .add(core.in_hand.events.free(core, Column::Owner, Column::Seq))
        .add(Expr::cust(FIRST))
}

async fn claim(core: &Core, db: &DatabaseConnection, endpoint: &str, limit: u64) -> Result<Vec<Model>, StoreError> {
    let txn = db.begin_with_options(sql::immediate()).await?;
    let clock = sql::clock_text(&txn);
    // What waits for longer than any pause was put off by a clock that has jumped since.
    let due = Condition::any()
        .add(Expr::cust(format!("next_at_ms <= {clock}")))
        .add(Expr::cust(format!("next_at_ms > {clock} + {LONGEST_PAUSE_MS}")));
    let due = Entity::find()
        .filter(waiting(core, endpoint))
        .filter(due)
        .order_by_asc(Column::NextAtMs)
        .order_by_asc(Column::Seq)
        .limit(limit);
    let rows = sql::untaken(&txn, due).all(&txn).await?;
    if rows.is_empty() {
        txn.rollback().await?;
        return Ok(rows);
    }
    Entity::update_many()
        .col_expr(Column::Owner, Expr::value(core.me.id.as_str()))
        .filter(Column::Seq.is_in(rows.iter().map(|row| row.seq)))
        .exec(&txn)
        .await?;
    txn.commit().await?;
    Ok(rows)
}

impl Desk {
    /// Events that were given up, the newest last.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn dead(&self, limit: u64) -> Result<Vec<Model>, StoreError> {
        let dead = Entity::find().filter(Column::State.eq(State::Dead)).order_by_desc(Column::Seq).limit(limit);
        let mut rows = dead.all(&self.db).await?;
        rows.reverse();
        Ok(rows)
    }

    /// Lets a dead event be tried again, or all of them; a running server notices within seconds. Returns how many.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn resend(&self, id: Option<&str>) -> Result<u64, StoreError> {
        let mut again = Entity::update_many()
            .col_expr(Column::State, Expr::value(State::Waiting))
            .col_expr(Column::Attempts, Expr::value(0))
            .col_expr(Column::NextAtMs, Expr::value(0))
            .col_expr(Column::Owner, Expr::value(None::<String>))
            .filter(Column::State.eq(State::Dead));
        if let Some(id) = id {
            again = again.filter(Column::Id.eq(id));
        }
        Ok(again.exec(&self.db).await?.rows_affected)
    }
}
