//! Budgets of which four fifths are used: told once in their time, by whichever server sees it first (COST-03).

use std::sync::Arc;

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait as _, ExprTrait as _};
use serde_json::json;

use crate::base::time::date::rfc3339;
use crate::config::{EventType, Webhook};
use crate::house::budgets;

use super::entity::told::{ActiveModel, Column, Entity};
use super::event::About;
use super::share::Pot;
use super::{outbox, time_of};

/// What the alert is about.
const BUDGET: &str = "budget";

/// Tells whoever wants to know of alerts, if so much of a budget is used and nobody was told in its time. `whose`: the deployment,
/// of a day's. Of a person's nobody is told: it would say who called how often.
pub(super) async fn tell<C: ConnectionTrait>(
    db: &C,
    hooks: &[Arc<Webhook>],
    pot: &Pot,
    whose: &str,
    now_ms: i64,
) -> Result<(), DbErr> {
    let (period, deployment) = match pot.of {
        "month" => (budgets::month(now_ms), None),
        "day" => (budgets::day(now_ms), Some(whose)),
        _ => return Ok(()),
    };
    if !budgets::is_near(pot.used(), pot.limit) {
        return Ok(());
    }
    let what = match deployment {
        Some(deployment) => format!("{BUDGET}/{}/{deployment}", pot.of),
        None => format!("{BUDGET}/{}", pot.of),
    };
    let row = ActiveModel { what: Set(what.clone()), seq: Set(period.begin_ms) };
    let later = Expr::col((Entity, Column::Seq)).lt(period.begin_ms);
    let there = OnConflict::column(Column::What).update_column(Column::Seq).action_and_where(later).to_owned();
    if Entity::insert(row).on_conflict(there).exec_without_returning(db).await? == 0 {
        return Ok(());
    }
    let used_percent = budgets::used_percent(pot.used(), pot.limit);
    tracing::warn!(budget = pot.of, deployment, used_percent, "a budget is nearly used up");
    let at = |ms: i64| rfc3339(time_of(ms));
    let data = json!({
        "alert": BUDGET, "problem": "nearly_used", "budget": pot.of, "deployment": deployment,
        "limit_micros": pot.limit, "used_micros": pot.used(), "used_percent": used_percent,
        "since": at(period.begin_ms), "until": at(period.until_ms),
    });
    let about = About::Other { what: &what, agent: None };
    outbox::tell(db, hooks, std::iter::once((about, EventType::AlertFired, &data, None))).await
}
