//! What calls use up, and what is left of budgets (COST-01 to COST-03).

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::Billing;
use crate::house::{budgets as rules, rates};
use crate::store::{self, Usage, UsageBy, UsageFilter, written};
use crate::web::extract::{Json, Query};
use crate::web::page::{Page, Wanted};
use crate::web::problem::{Problem, Wrong};
use crate::web::{Api, Who};

use super::calls;
use super::when::When;

/// By the hour, as much at once.
const MOST_BY_HOUR_MS: i64 = 14 * 86_400_000;
const HOUR_MS: i64 = 3_600_000;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(usage)).routes(routes!(budgets))
}

/// What is added up.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Added {
    /// How the sum is taken apart: `agent`, `deployment`, `model`, `month`, `day` or `hour`; not at all if it is left out.
    by: Option<String>,
    /// From the hour of this moment on: RFC 3339, a day, or so long ago, such as `-30d`. Days are those of the organization's time
    /// zone; by day and by month, of UTC, by whose days sums are kept.
    since: Option<String>,
    /// Up to this moment.
    until: Option<String>,
    /// Of this agent.
    agent: Option<String>,
    /// Of this deployment.
    deployment: Option<String>,
}

/// What calls used up that have ended.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct UsageItem {
    /// The agent, the deployment, the model, or the beginning of the month, the day or the hour; `null` for the whole, and for a
    /// model that is not known.
    key: Option<String>,
    calls: i64,
    /// Of those, the ones that failed.
    failed: i64,
    duration_ms: i64,
    /// How long sessions with models were open.
    model_ms: i64,
    turns: i64,
    interruptions: i64,
    /// Calls that were put through.
    transfers: i64,
    /// How long callers waited for an answer, on average; `null`: not known.
    average_wait_ms: Option<i64>,
    input_tokens: i64,
    /// Of the input, those that were cached.
    cached_tokens: i64,
    output_tokens: i64,
    /// What models cost, in millionths of the currency; `null`: of no call is it known.
    cost_micros: Option<i64>,
    /// The same in credits; `null`: not known, or nobody says what a credit costs.
    credits: Option<f64>,
    /// Calls whose model has no price: what they cost is in no sum.
    unpriced_calls: i64,
}

/// What calls used up.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Used {
    /// At most 1,000: the dearest first, or the newest.
    items: Vec<UsageItem>,
    currency: Option<String>,
}

/// What calls used up
///
/// Of calls that have ended, by the hour in which they did (UTC). What it costs is the models' price; transcription, voice,
/// carrier and analysis are in no sum.
#[utoipa::path(
    get,
    path = "/api/v1/usage",
    tag = "Usage",
    params(Added),
    responses((status = 200, description = "The sums", body = Used))
)]
async fn usage(State(api): State<Api>, Who(who): Who, Query(added): Query<Added>) -> Result<Json<Used>, Problem> {
    // Days and months are kept as they are in UTC.
    let when = if matches!(added.by.as_deref(), Some("day" | "month")) { When::utc() } else { When::of(&api) };
    let now = when.now_ms();
    let mut wrong = Vec::new();
    let mut moment = |name: &str, text: &Option<String>| {
        let read = text.as_deref().map(|text| when.moment(name, text)).transpose();
        read.unwrap_or_else(|found| {
            wrong.push(found);
            None
        })
    };
    let (mut since_ms, until_ms) = (moment("since", &added.since), moment("until", &added.until));
    let months = added.by.as_deref() == Some("month");
    let by = match added.by.as_deref() {
        None => UsageBy::All,
        Some("agent") => UsageBy::Agent,
        Some("deployment") => UsageBy::Deployment,
        Some("model") => UsageBy::Model,
        Some("day" | "month") => UsageBy::Day,
        Some("hour") => UsageBy::Hour,
        Some(_) => {
            wrong.push(Wrong::parameter(
                "by",
                "by",
                "A sum is taken apart by agent, deployment, model, month, day or hour.",
            ));
            UsageBy::All
        }
    };
    if by == UsageBy::Hour {
        let until = until_ms.unwrap_or(now);
        let since = *since_ms.get_or_insert(until - MOST_BY_HOUR_MS);
        if until.saturating_sub(since) > MOST_BY_HOUR_MS + HOUR_MS {
            wrong.push(Wrong::parameter("since", "range", "By the hour, sums go over 14 days at most."));
        }
    }
    if !wrong.is_empty() {
        return Err(Problem::wrong(wrong));
    }
    let filter = UsageFilter {
        since_ms,
        until_ms,
        only_agents: calls::only_agents(&who),
        agent: added.agent,
        deployment: added.deployment,
    };
    let sums = api.handle.store().usage(&filter, by).await?;
    let config = api.handle.config();
    let billing = &config.server.billing;
    let sums = if months { by_month(sums) } else { sums };
    let items = sums.into_iter().map(|sum| item(sum, by, billing)).collect();
    Ok(Json(Used { items, currency: billing.currency.clone() }))
}

/// Days, the newest first, as months.
fn by_month(days: Vec<Usage>) -> Vec<Usage> {
    let mut months: Vec<Usage> = Vec::new();
    for day in days {
        // `2026-12`: the day's moment begins with it.
        let name = day.key.parse().map(written).unwrap_or_default().chars().take(7).collect::<String>();
        let begin = store::read(&format!("{name}-01")).unwrap_or_default().to_string();
        match months.last_mut().filter(|month| month.key == begin) {
            Some(month) => month.add(&day),
            None => months.push(Usage { key: begin, ..day }),
        }
    }
    months
}

fn item(sum: Usage, by: UsageBy, billing: &Billing) -> UsageItem {
    let cost_micros = (sum.unpriced < sum.calls || sum.calls == 0).then_some(sum.cost_micros);
    let micros = cost_micros.and_then(|micros| u64::try_from(micros).ok());
    UsageItem {
        key: match by {
            UsageBy::Hour | UsageBy::Day => sum.key.parse().ok().map(written),
            _ => Some(sum.key).filter(|key| !key.is_empty()),
        },
        calls: sum.calls,
        failed: sum.failed,
        duration_ms: sum.duration_ms,
        model_ms: sum.model_ms,
        turns: sum.turns,
        interruptions: sum.interruptions,
        transfers: sum.transfers,
        average_wait_ms: sum.waited_ms.checked_div(sum.waits),
        input_tokens: sum.input_tokens,
        cached_tokens: sum.cached_tokens,
        output_tokens: sum.output_tokens,
        cost_micros,
        credits: micros.and_then(|micros| rates::credits(micros, billing)),
        unpriced_calls: sum.unpriced,
    }
}

/// A deployment's budgets, in millionths of the currency.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct BudgetItem {
    deployment: String,
    agent: String,
    /// What one call may cost; `null`: there is no limit.
    per_call_micros: Option<u64>,
    /// What calls with one person's number may cost in a day.
    per_number_and_day_micros: Option<u64>,
    /// What all its calls may cost in a day (UTC).
    per_day_micros: Option<u64>,
    /// What those that are over have cost today.
    spent_today_micros: u64,
    /// What those that are up may cost, taken from the day.
    reserved_micros: u64,
    /// What is left of the day; `null`: there is no limit.
    left_today_micros: Option<u64>,
    /// How much of the day is spent or reserved, in percent.
    used_percent: Option<u64>,
    /// 80 % or more is spent or reserved.
    warning: bool,
    /// Whether its model has a price. Without one nothing is counted, and no budget is ever used up.
    counted: bool,
}

/// The organization's budget, in millionths of the currency.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct MonthItem {
    /// What all calls together may cost in a month (UTC); `null`: there is no limit.
    per_month_micros: Option<u64>,
    /// What those that are over have cost this month.
    spent_this_month_micros: u64,
    /// What those that are up may cost, as far as it is held for them.
    reserved_micros: u64,
    /// What is left of the month; `null`: there is no limit.
    left_this_month_micros: Option<u64>,
    /// How much of the month is spent or reserved, in percent.
    used_percent: Option<u64>,
    /// 80 % or more is spent or reserved.
    warning: bool,
    /// When the next month begins.
    #[schema(format = DateTime)]
    until: String,
}

/// A page of deployments' budgets.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct BudgetsPage {
    /// Deployments.
    items: Vec<BudgetItem>,
    /// The cursor of the next page; `null`: this is the last.
    next: Option<String>,
    /// All calls together; `null` for keys that are bound to agents.
    organization: Option<MonthItem>,
}

/// What is left of budgets
///
/// Of each deployment on a phone, in the order of their names, and of the organization.
#[utoipa::path(
    get,
    path = "/api/v1/budgets",
    tag = "Usage",
    params(Wanted),
    responses((status = 200, description = "A page of deployments' budgets", body = BudgetsPage))
)]
async fn budgets(
    State(api): State<Api>,
    Who(who): Who,
    Query(wanted): Query<Wanted>,
) -> Result<Json<BudgetsPage>, Problem> {
    let config = api.handle.config();
    let own = config.deployments.values().filter(|deployment| who.sees(&deployment.standing.agent));
    let page = Page::of(own, &wanted, |deployment| deployment.name.clone(), |deployment| deployment)?;
    let names: Vec<String> = page.items.iter().map(|deployment| deployment.name.clone()).collect();
    let spent = api.handle.store().spent_today(&names).await?;
    let items = page.items.into_iter().map(|deployment| {
        let spent = spent.get(&deployment.name).copied().unwrap_or_default();
        let budgets = &deployment.budgets;
        let used = spent.spent_micros.saturating_add(spent.reserved_micros);
        BudgetItem {
            deployment: deployment.name.clone(),
            agent: deployment.agent.name.clone(),
            per_call_micros: budgets.call_micros,
            per_number_and_day_micros: budgets.number_day_micros,
            per_day_micros: budgets.day_micros,
            spent_today_micros: spent.spent_micros,
            reserved_micros: spent.reserved_micros,
            left_today_micros: budgets.day_micros.map(|limit| limit.saturating_sub(used)),
            used_percent: budgets.day_micros.map(|limit| rules::used_percent(used, limit)),
            warning: budgets.day_micros.is_some_and(|limit| rules::is_near(used, limit)),
            counted: deployment.agent.model.price.is_some(),
        }
    });
    let items = items.collect();
    // What all agents' calls cost is nothing for a key that is bound to some.
    let organization = match who.sees_all() {
        true => Some(organization(&api, config.server.budget.month_micros).await?),
        false => None,
    };
    Ok(Json(BudgetsPage { items, next: page.next, organization }))
}

async fn organization(api: &Api, limit: Option<u64>) -> Result<MonthItem, Problem> {
    let (spent, month) = api.handle.store().spent_this_month().await?;
    let used = spent.spent_micros.saturating_add(spent.reserved_micros);
    Ok(MonthItem {
        per_month_micros: limit,
        spent_this_month_micros: spent.spent_micros,
        reserved_micros: spent.reserved_micros,
        left_this_month_micros: limit.map(|limit| limit.saturating_sub(used)),
        used_percent: limit.map(|limit| rules::used_percent(used, limit)),
        warning: limit.is_some_and(|limit| rules::is_near(used, limit)),
        until: written(month.until_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_01_days_are_added_up_by_month() {
        let day = |text: &str, calls| {
            let key = store::read(text).unwrap().to_string();
            Usage { key, calls, cost_micros: 10 * calls, ..Usage::default() }
        };
        let days = vec![day("2026-12-02", 1), day("2026-12-01", 2), day("2026-11-30", 4), day("2026-01-01", 8)];
        let months = by_month(days);
        let months: Vec<_> =
            months.into_iter().map(|m| (written(m.key.parse().unwrap()), m.calls, m.cost_micros)).collect();
        let begins = |text: &str| written(store::read(text).unwrap());
        assert_eq!(
            months,
            [(begins("2026-12-01"), 3, 30), (begins("2026-11-01"), 4, 40), (begins("2026-01-01"), 8, 80)]
        );
    }
}
