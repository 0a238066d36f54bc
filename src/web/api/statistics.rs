//! Calls by status (STAT-01, STAT-02).

use axum::extract::State;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::house::calls::Status;
use crate::store::ListFilter;
use crate::web::extract::{Json, Query};
use crate::web::problem::{Problem, Wrong};
use crate::web::{Api, Who};

use super::calls;
use super::when::When;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(statuses))
}

/// Which calls are counted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Counted {
    /// Of this agent; all if it is left out.
    #[serde(rename = "agentId")]
    #[param(rename = "agentId")]
    agent_id: Option<String>,
    /// Of this deployment.
    deployment: Option<String>,
    /// Began at this moment or later: RFC 3339, a day, or so long ago, such as `-2d`. All calls that are kept if it is left out.
    since: Option<String>,
    /// Began before this moment.
    until: Option<String>,
}

/// How many calls there are.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Statuses {
    /// In each of the ten statuses, 0 included.
    #[serde(rename = "statusCounts", serialize_with = "in_order")]
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    status_counts: [(Status, u64); 10],
    /// All of them: what the counts add up to.
    #[serde(rename = "totalCount")]
    total_count: u64,
}

/// Calls by status
#[utoipa::path(
    get,
    path = "/api/v1/calls/statistics/statuses",
    tag = "Calls",
    params(Counted),
    responses(
        (status = 200, description = "The counts", body = Statuses),
        (status = 404, description = "There is no such agent", body = Problem, content_type = "application/problem+json")
    )
)]
async fn statuses(
    State(api): State<Api>,
    Who(who): Who,
    Query(counted): Query<Counted>,
) -> Result<Json<Statuses>, Problem> {
    let when = When::of(&api);
    let moment = |name: &str, text: &Option<String>| text.as_deref().map(|text| when.moment(name, text)).transpose();
    let (since_ms, until_ms) = match (moment("since", &counted.since), moment("until", &counted.until)) {
        (Ok(since), Ok(until)) => (since, until),
        (since, until) => {
            let wrong: Vec<Wrong> = [since.err(), until.err()].into_iter().flatten().collect();
            return Err(Problem::wrong(wrong));
        }
    };
    let known = |agent: &str| api.handle.config().personas.contains_key(agent);
    if let Some(agent) = counted.agent_id.as_deref().filter(|agent| !who.sees(agent)) {
        return Err(Problem::absent("agent", agent));
    }
    let filter = ListFilter {
        since_ms,
        until_ms,
        only_agents: calls::only_agents(&who),
        agents: counted.agent_id.iter().cloned().collect(),
        deployments: counted.deployment.into_iter().collect(),
        ..ListFilter::default()
    };
    let status_counts = api.handle.store().count_statuses(&filter).await?;
    let total_count = status_counts.iter().map(|(_, n)| n).sum();
    // One that is deleted has its calls for as long as they are kept.
    if let Some(agent) = counted.agent_id.filter(|agent| total_count == 0 && !known(agent)) {
        let all = ListFilter { agents: vec![agent.clone()], ..ListFilter::default() };
        if api.handle.store().list(&all, None, 1).await?.items.is_empty() {
            return Err(Problem::absent("agent", &agent));
        }
    }
    Ok(Json(Statuses { status_counts, total_count }))
}

fn in_order<S: Serializer>(counts: &[(Status, u64); 10], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counts.iter().map(|(status, n)| (status.name(), n)))
}
