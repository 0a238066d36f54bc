//! The outbox: what is to be sent, what has failed, what was given up.

use std::sync::Arc;

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, ExprTrait as _, PaginatorTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};
use serde_json::Value;

use crate::config::{EventType, Webhook};

use super::entity::{calls, outbox};
use super::event::Event;
use super::{Desk, Store, StoreError, now_ms};
use outbox::{ActiveModel, Column, Entity, Model, State};

/// Events that may wait for one endpoint; a further one is given up at once.
const MAX_WAITING: u64 = 100_000;
/// Events that were given up and are kept; the oldest go first.
pub(super) const MAX_DEAD: u64 = 100_000;

/// Puts an event in for every endpoint that wants it.
pub(super) async fn add<C: ConnectionTrait>(
    db: &C,
    hooks: &[Arc<Webhook>],
    call: &calls::Model,
    kind: EventType,
    data: &Value,
) -> Result<(), DbErr> {
    let wanted: Vec<String> =
        hooks.iter().filter(|hook| hook.events.contains(&kind)).map(|hook| hook.name.clone()).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let now_ms = now_ms();
    let event = Event::new(call, kind, data, now_ms);
    for endpoint in wanted {
        let full = waiting_for(db, &endpoint).await? >= MAX_WAITING;
        let row = ActiveModel {
            seq: NotSet,
            id: Set(event.id.clone()),
            call: Set(call.id.clone()),
            endpoint: Set(endpoint),
            kind: Set(event.kind.name().to_owned()),
            body: Set(event.body.clone()),
            created_ms: Set(now_ms),
            attempts: Set(0),
            next_at_ms: Set(now_ms),
            state: Set(if full { State::Dead } else { State::Waiting }),
            last_error: Set(full.then(|| format!("more than {MAX_WAITING} events wait for this endpoint"))),
        };
        Entity::insert(row).exec_without_returning(db).await?;
    }
    Ok(())
}

async fn waiting_for<C: ConnectionTrait>(db: &C, endpoint: &str) -> Result<u64, DbErr> {
    let waiting = Column::Endpoint.eq(endpoint).and(Column::State.eq(State::Waiting));
    Entity::find().filter(waiting).count(db).await
}

/// Nothing that happened in the same call waits before it.
const FIRST: &str = "NOT EXISTS (SELECT 1 FROM outbox AS earlier WHERE earlier.endpoint = outbox.endpoint \
    AND earlier.call = outbox.call AND earlier.state = 'waiting' AND earlier.seq < outbox.seq)";

impl Store {
    /// Waits until the outbox may have something new.
    pub async fn outbox_is_fresh(&self) {
        self.core.fresh.notified().await;
    }

    /// Events for `endpoint` that are due at `now_ms`, the oldest first: for each call only the first that waits, since the
    /// next must not overtake it. `except`: those that are on their way.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn due(&self, endpoint: &str, now_ms: i64, except: &[i64], limit: u64) -> Result<Vec<Model>, StoreError> {
        let due = Entity::find()
            .filter(Column::State.eq(State::Waiting))
            .filter(Column::Endpoint.eq(endpoint))
            .filter(Column::NextAtMs.lte(now_ms))
            .filter(Column::Seq.is_not_in(except.iter().copied()))
            .filter(Expr::cust(FIRST))
            .order_by_asc(Column::NextAtMs)
            .order_by_asc(Column::Seq)
            .limit(limit);
        Ok(due.all(self.db()).await?)
    }

    /// Who is told of calls, as configured now.
    pub fn webhooks(&self) -> Vec<Arc<Webhook>> {
        self.core.settings.borrow().webhooks.clone()
    }

    /// The next moment at which something is due for `endpoint`, but for those that are on their way.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn next_due(&self, endpoint: &str, except: &[i64]) -> Result<Option<i64>, StoreError> {
        let next = Entity::find()
            .select_only()
            .expr(Expr::cust("min(next_at_ms)"))
            .filter(Column::State.eq(State::Waiting))
            .filter(Column::Endpoint.eq(endpoint))
            .filter(Column::Seq.is_not_in(except.iter().copied()))
            .filter(Expr::cust(FIRST))
            .into_tuple::<Option<i64>>();
        Ok(next.one(self.db()).await?.flatten())
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
        let rows = waiting.all(self.db()).await?;
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
        let _turn = self.core.turn.lock().await;
        Ok(change.exec(self.db()).await?.rows_affected)
    }

    /// An event was delivered.
    ///
    /// # Errors
    /// The store cannot be written: the event is not to be sent again before it can.
    pub async fn delivered(&self, seq: i64) -> Result<(), StoreError> {
        let _turn = self.core.turn.lock().await;
        Entity::delete_by_id(seq).exec(self.db()).await?;
        Ok(())
    }

    /// An attempt has failed. `next_at_ms`: when to try again; `None`: it is given up.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn failed(&self, seq: i64, why: &str, next_at_ms: Option<i64>) -> Result<(), StoreError> {
        let change = Entity::update_many()
            .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
            .col_expr(Column::LastError, Expr::value(why))
            .filter(Column::Seq.eq(seq));
        let change = match next_at_ms {
            Some(at) => change.col_expr(Column::NextAtMs, Expr::value(at)),
            None => change.col_expr(Column::State, Expr::value(State::Dead)),
        };
        let _turn = self.core.turn.lock().await;
        change.exec(self.db()).await?;
        Ok(())
    }
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
            .col_expr(Column::NextAtMs, Expr::value(now_ms()))
            .filter(Column::State.eq(State::Dead));
        if let Some(id) = id {
            again = again.filter(Column::Id.eq(id));
        }
        Ok(again.exec(&self.db).await?.rows_affected)
    }
}
