//! How endpoints fare: told to the others when one takes nothing, and switched off when it took nothing for days.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sea_orm::sea_query::{Expr, OnConflict, Query};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, ExprTrait as _,
    QueryFilter as _, TransactionTrait as _,
};
use serde_json::json;

use crate::config::{EventType, Webhook};

use super::super::deliveries::Outcome;
use super::super::entity::endpoint_states::{Column as StateColumn, Entity as States, Model as State};
use super::super::entity::outbox;
use super::super::event::{self, About};
use super::super::{Core, StoreError, sql, written};
use super::{DAY_MS, NOTICE_DAYS, OFF_DAYS, refresh};

/// Tells of those that fail for long, and switches them off.
pub(super) async fn watch_over(core: &Core) -> Result<(), StoreError> {
    let known = core.known.borrow().clone();
    for state in known.states.values().filter(|state| state.disabled_ms.is_none()) {
        let days = state.failed_days();
        if days >= OFF_DAYS {
            switch_off(core, &state.endpoint).await?;
        } else if days >= NOTICE_DAYS && state.noticed_ms.is_none() {
            notice(core, &state.endpoint).await?;
        }
    }
    Ok(())
}

async fn notice(core: &Core, id: &str) -> Result<(), StoreError> {
    let turn = core.turn.lock().await;
    let txn = turn.begin_with_options(sql::immediate()).await?;
    // Of several servers one says so.
    let first = StateColumn::Endpoint.eq(id).and(StateColumn::NoticedMs.is_null());
    let first = first.and(StateColumn::FailingSinceMs.is_not_null());
    let noted = States::update_many().col_expr(StateColumn::NoticedMs, sql::clock(&txn)).filter(first);
    if noted.exec(&txn).await?.rows_affected > 0
        && let Some(state) = States::find_by_id(id.to_owned()).one(&txn).await?
    {
        tell(&txn, &core.hooks(), EventType::AlertFired, &state, Some("failing")).await?;
        let why = state.last_error.unwrap_or_default();
        tracing::error!(
            endpoint = id,
            why,
            days = NOTICE_DAYS,
            off_after_days = OFF_DAYS,
            "webhook takes nothing for days: it will be switched off"
        );
    }
    txn.commit().await?;
    core.fresh.notify_one();
    Ok(())
}

async fn switch_off(core: &Core, id: &str) -> Result<(), StoreError> {
    let turn = core.turn.lock().await;
    let txn = turn.begin_with_options(sql::immediate()).await?;
    let reason = format!("it took nothing for {OFF_DAYS} days");
    let on = StateColumn::Endpoint.eq(id).and(StateColumn::DisabledMs.is_null());
    let off = States::update_many()
        .col_expr(StateColumn::DisabledMs, sql::clock(&txn))
        .col_expr(StateColumn::NoticedMs, Expr::cust("coalesce(noticed_ms, 0)"))
        .col_expr(StateColumn::DisabledBy, Expr::value("offhook"))
        .col_expr(StateColumn::Reason, Expr::value(reason.as_str()))
        .filter(on.and(StateColumn::FailingSinceMs.is_not_null()));
    if off.exec(&txn).await?.rows_affected > 0
        && let Some(state) = States::find_by_id(id.to_owned()).one(&txn).await?
    {
        let given_up = give_up(&txn, id, &reason).await?;
        tell(&txn, &core.hooks(), EventType::AlertFired, &state, Some("switched_off")).await?;
        core.counters.endpoints_off.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            endpoint = id,
            reason,
            given_up,
            "webhook switched off; what it missed is kept and can be sent again"
        );
    }
    txn.commit().await?;
    drop(turn);
    core.fresh.notify_one();
    core.in_time(refresh(core)).await
}

/// An endpoint took an event: it fails no more.
pub(in crate::store) async fn took(txn: &DatabaseTransaction, hooks: &[Arc<Webhook>], id: &str) -> Result<(), DbErr> {
    // Mostly there is no row.
    let Some(was) = States::find_by_id(id.to_owned()).one(txn).await? else { return Ok(()) };
    if was.failing_since_ms.is_none() && !was.is_alarming() {
        return Ok(());
    }
    if was.disabled_ms.is_none() {
        States::delete_by_id(id.to_owned()).exec(txn).await?;
    }
    if was.is_alarming() && was.disabled_ms.is_none() {
        tell(txn, hooks, EventType::AlertResolved, &was, None).await?;
    }
    Ok(())
}

/// An endpoint did not take an event.
pub(in crate::store) async fn refused(
    txn: &DatabaseTransaction,
    hooks: &[Arc<Webhook>],
    id: &str,
    why: &str,
    outcome: Outcome,
) -> Result<(), DbErr> {
    // One that was deleted meanwhile fares no way, and would be remembered for ever.
    if !hooks.iter().any(|hook| hook.id == id) {
        return Ok(());
    }
    let columns =
        [StateColumn::Endpoint, StateColumn::FailingSinceMs, StateColumn::LastFailedMs, StateColumn::LastError];
    let mut new = Query::insert();
    let values = [Expr::value(id), sql::clock(txn), sql::clock(txn), Expr::value(why)];
    if let Err(error) = new.into_table(States).columns(columns).values(values) {
        return Err(DbErr::Custom(error.to_string()));
    }
    let mut there = OnConflict::column(StateColumn::Endpoint);
    there.update_columns([StateColumn::LastFailedMs, StateColumn::LastError]);
    there.value(
        StateColumn::FailingSinceMs,
        Expr::cust("coalesce(endpoint_states.failing_since_ms, excluded.failing_since_ms)"),
    );
    txn.execute(new.on_conflict(there)).await?;
    if outcome != Outcome::GivenUp {
        return Ok(());
    }
    // The first that is given up is told; the others are counted.
    let first = States::update_many()
        .col_expr(StateColumn::GaveUpMs, sql::clock(txn))
        .filter(StateColumn::Endpoint.eq(id).and(StateColumn::GaveUpMs.is_null()));
    if first.exec(txn).await?.rows_affected > 0
        && let Some(state) = States::find_by_id(id.to_owned()).one(txn).await?
    {
        tell(txn, hooks, EventType::AlertFired, &state, Some("given_up")).await?;
    }
    Ok(())
}

/// Gives up what waits for an endpoint.
pub(super) async fn give_up(txn: &DatabaseTransaction, id: &str, why: &str) -> Result<u64, DbErr> {
    use outbox::Column;
    let change = outbox::Entity::update_many()
        .col_expr(Column::State, Expr::value(outbox::State::Dead))
        .col_expr(Column::LastError, Expr::value(why))
        .filter(Column::Endpoint.eq(id).and(Column::State.eq(outbox::State::Waiting)));
    Ok(change.exec(txn).await?.rows_affected)
}

/// Tells the other endpoints how this one fares.
pub(super) async fn tell(
    txn: &DatabaseTransaction,
    hooks: &[Arc<Webhook>],
    kind: EventType,
    state: &State,
    problem: Option<&str>,
) -> Result<(), DbErr> {
    let id = state.endpoint.as_str();
    let name = hooks.iter().find(|hook| hook.id == id).map_or(id, |hook| hook.name.as_str());
    let others: Vec<_> = hooks.iter().filter(|hook| hook.id != id).cloned().collect();
    let at = |ms: i64| written(ms);
    let off_at = state.disabled_ms.or(state.failing_since_ms.map(|since| since + OFF_DAYS * DAY_MS));
    let data = json!({
        "alert": event::WEBHOOK,
        "problem": problem,
        "endpoint": { "id": id, "name": name },
        "since": state.failing_since_ms.map(at),
        "why": state.last_error,
        "off_at": off_at.filter(|_| kind == EventType::AlertFired).map(at),
    });
    let what = format!("webhook/{id}");
    let about = About::Other { what: &what, agent: None };
    super::super::outbox::tell(txn, &others, std::iter::once((about, kind, &data, None))).await
}

impl State {
    pub(super) fn off(id: &str, now_ms: i64, why: &str) -> State {
        State {
            endpoint: id.to_owned(),
            failing_since_ms: None,
            last_failed_ms: None,
            last_error: None,
            gave_up_ms: None,
            noticed_ms: None,
            disabled_ms: Some(now_ms),
            disabled_by: None,
            reason: Some(why.to_owned()),
        }
    }

    /// Whether others were told of it.
    pub(super) fn is_alarming(&self) -> bool {
        self.gave_up_ms.is_some() || self.noticed_ms.is_some()
    }

    /// For how many days it has failed, as far as it was tried.
    fn failed_days(&self) -> i64 {
        match (self.failing_since_ms, self.last_failed_ms) {
            (Some(since), Some(last)) => (last - since) / DAY_MS,
            _ => 0,
        }
    }
}
