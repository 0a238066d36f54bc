//! Placing calls (OUT-01, OUT-02, OUT-06): the same as `POST /v1/calls`, with `agent` allowed instead of `deployment`.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::config::Config;
use crate::house::calls::{Status, no_way_out, not_yet, way_out};
use crate::house::principal::Principal;
use crate::house::{Refusal, force};
use crate::serve::Placing;
use crate::web::extract::{Json, Query};
use crate::web::once;
use crate::web::problem::{Problem, Wrong};
use crate::web::{Api, Who};

use super::order::problem;

/// A call that is wanted.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCall {
    /// From the number of this deployment. It or `agent` must be there.
    #[serde(default)]
    deployment: Option<String>,
    /// From the first deployment of this agent, by name, that places calls now.
    #[serde(default)]
    agent: Option<String>,
    /// Whom to call, E.164.
    to: String,
    /// What the variables of the agent's `[variables.call]` stand for.
    #[serde(default)]
    variables: BTreeMap<String, String>,
    /// Not there yet: refused unless it is null.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    not_before: Option<Value>,
    /// Not there yet: refused unless it is null.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    deadline: Option<Value>,
    /// Not there yet: refused unless it is null.
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    priority: Option<Value>,
}

/// Whether it is meant.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Dry {
    /// `true`: all rules are checked, and nothing is dialled.
    dry_run: Option<bool>,
}

/// A call that was placed.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Placed {
    /// Its id.
    id: String,
    /// How it is by now.
    status: &'static str,
    agent: String,
    deployment: String,
    to: String,
    /// The carrier's id, once it gave one.
    carrier_call: Option<String>,
    /// Its state in the words of `/v1/calls`, which tell more apart.
    state: String,
    /// More about it.
    why: Option<String>,
}

/// What would be placed.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct WouldPlace {
    dry_run: bool,
    agent: String,
    deployment: String,
    /// The number that would call.
    from: Option<String>,
    to: String,
}

/// Place a call
///
/// The header `Idempotency-Key` is required, new for each call that is wanted: repeated with the same body it never rings twice,
/// and answers with how the call is by then. Waits up to 8 s for the carrier's word.
#[utoipa::path(
    post,
    path = "/api/v1/calls",
    tag = "Calls",
    params(
        Dry,
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 200 visible characters; needed unless it is a dry run")
    ),
    request_body = NewCall,
    responses(
        (status = 200, description = "A dry run: what would be placed", body = WouldPlace),
        (status = 201, description = "It is placed, or was", body = Placed),
        (status = 409, description = "The key was used for another request", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests, or a budget or a cap is reached: `day_budget`, `number_budget`, `month_budget`, `agent_full`", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The carrier certainly did not place it: the same key may try again", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn place(
    State(api): State<Api>,
    Who(who): Who,
    headers: HeaderMap,
    Query(dry): Query<Dry>,
    Json(body): Json<NewCall>,
) -> Result<Response, Problem> {
    let dry = dry.dry_run.unwrap_or(false);
    let key = once::key(&headers)?;
    if key.is_none() && !dry {
        let detail = "Send the header Idempotency-Key, 1 to 200 visible characters, new for each call that is wanted: repeated \
                      with the same body it never rings twice.";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "key", detail));
    }
    let config = api.handle.config();
    let placing = placing(&config, &who, body)?;
    api.handle.check_placing(&headers, &placing).map_err(problem)?;
    let deployment = config.deployments.get(&placing.deployment);
    let agent = deployment.map(|deployment| deployment.agent.name.clone()).unwrap_or_default();
    let Some(key) = key.filter(|_| !dry) else {
        let from = deployment.and_then(|deployment| deployment.number.clone());
        let Placing { deployment, to, .. } = placing;
        return Ok(Json(WouldPlace { dry_run: true, agent, deployment, from, to }).into_response());
    };
    let known = api.handle.place(&headers, &scoped(&who, key), &placing).await.map_err(problem)?;
    let text = |name: &str| known.get(name).and_then(Value::as_str).map(str::to_owned);
    let state = text("state").unwrap_or_default();
    let id = text("call").unwrap_or_default();
    let status = match Status::of_dial(&state) {
        Some(status) => status,
        // It is over: the list knows how.
        None => {
            let listed = api.handle.store().listed(&id).await?;
            listed.and_then(|listed| Status::from_name(&listed.status)).unwrap_or(Status::Completed)
        }
    };
    // A repetition places nothing.
    let detail = Some(json!({ "deployment": placing.deployment }));
    if let Err(error) = api.handle.store().people().audit_once(&who.name(), "call.place", &id, detail).await {
        tracing::error!(%error, call = id, "that a call was placed is not in the audit log");
    }
    let placed = Placed {
        status: status.name(),
        agent,
        deployment: placing.deployment,
        to: placing.to,
        carrier_call: text("carrier_call"),
        why: text("why"),
        state,
        id: id.clone(),
    };
    let mut response = (StatusCode::CREATED, Json(placed)).into_response();
    if let Ok(location) = HeaderValue::try_from(format!("/api/v1/calls/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// What is wanted, with the deployment that it is placed from; all that is wrong at once.
fn placing(config: &Config, who: &Principal, body: NewCall) -> Result<Placing, Problem> {
    let mut wrong: Vec<Refusal> = Vec::new();
    for (field, value) in [("not_before", &body.not_before), ("deadline", &body.deadline), ("priority", &body.priority)]
    {
        if value.as_ref().is_some_and(|value| !value.is_null()) {
            wrong.push(not_yet(field));
        }
    }
    let deployment = match (&body.deployment, &body.agent) {
        (Some(deployment), agent) => deployment_of(config, who, deployment, agent.as_deref()),
        (None, Some(agent)) => of_agent(config, who, agent),
        (None, None) => Err(refusal("missing", "deployment", "Name a deployment or an agent to call from.")),
    };
    let deployment = deployment.map_err(|no| wrong.push(no)).unwrap_or_default();
    if !wrong.is_empty() {
        let field = |no: Refusal| Wrong::field(no.field.unwrap_or_default(), no.code, no.message);
        return Err(Problem::wrong(wrong.into_iter().map(field).collect()));
    }
    Ok(Placing { deployment, to: body.to, variables: body.variables })
}

/// A deployment by its name. Of agents that whoever asks is not bound to none is there.
fn deployment_of(config: &Config, who: &Principal, name: &str, agent: Option<&str>) -> Result<String, Refusal> {
    let known = config.deployments.get(name).filter(|deployment| who.sees(&deployment.standing.agent));
    let Some(deployment) = known else {
        let seen = config.deployments.values().filter(|deployment| who.sees(&deployment.standing.agent));
        let names: Vec<_> = seen.map(|deployment| deployment.name.as_str()).take(20).collect();
        let message = format!("There is no such deployment on a phone; there are: {}.", names.join(", "));
        return Err(refusal("deployment", "deployment", &message));
    };
    if agent.is_some_and(|agent| agent != deployment.standing.agent) {
        return Err(refusal("agent", "agent", "The deployment is another agent's. Name one of the two."));
    }
    match deployment.number {
        Some(_) => Ok(name.to_owned()),
        None => Err(Refusal { field: Some("deployment"), ..no_way_out() }),
    }
}

fn of_agent(config: &Config, who: &Principal, agent: &str) -> Result<String, Refusal> {
    let Some(persona) = config.personas.get(agent).filter(|_| who.sees(agent)) else {
        return Err(refusal("agent", "agent", "There is no such agent."));
    };
    let now = jiff::Timestamp::now();
    let own = config.deployments.values().filter(|d| d.standing.agent == agent && d.number.is_some());
    let candidates = own.map(|deployment| {
        let may = force::places(&persona.standing, &deployment.standing, now);
        let no = |because: force::Because| {
            let message = format!("Deployment {} places no calls: {}.", deployment.name, because.words());
            refusal("deployment", "agent", &message)
        };
        (deployment.name.as_str(), may.map_err(no))
    });
    way_out(candidates).map(str::to_owned)
}

fn refusal(code: &'static str, field: &'static str, message: &str) -> Refusal {
    Refusal { code, status: 422, field: Some(field), message: message.to_owned() }
}

/// A key is its credential's own: nobody finds another's call by it. The token of `[api]` shares its keys with `/v1`.
fn scoped(who: &Principal, key: &str) -> String {
    match who {
        Principal::Key { id, .. } if id == "api" => key.to_owned(),
        Principal::Key { id, .. } | Principal::User { id, .. } => format!("{id} {key}"),
        _ => format!("- {key}"),
    }
}
