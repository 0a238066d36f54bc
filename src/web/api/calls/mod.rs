//! `calls`: placed, listed, looked at, listened to and commanded (API-10, OUT-01, OUT-02, OUT-06, HIST-01, LIVE-01).
//!
//! Whoever is bound to agents sees the calls of those; others' are not there.

mod item;
mod order;
mod place;
mod sound;

use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::house::calls::{CallResult, Status};
use crate::house::caps;
use crate::house::principal::Principal;
use crate::report::Report;
use crate::store::{Direction, ListFilter, ListPlace, Listed};
use crate::web::extract::{Json, Nothing, Path, Query, Several};
use crate::web::page::{self, Page};
use crate::web::problem::{Problem, Wrong};
use crate::web::{Api, Who};

use super::when::When;
pub(super) use item::CallItem;
use item::{CallDetail, LineItem};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list, place::place))
        .routes(routes!(live))
        .routes(routes!(get))
        .routes(routes!(transcript))
        .routes(routes!(analysis))
        .routes(routes!(sound::recording))
        .routes(routes!(sound::peaks))
        .routes(routes!(order::end))
        .routes(routes!(order::cancel))
        .routes(routes!(order::commit))
        .routes(routes!(order::say))
        .routes(routes!(order::transfer))
}

/// Which calls are wanted. A parameter that stands there several times, or with commas, means any of its values.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Calls on a page: 1 to 100; 25 if it is left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
    /// Began at this moment or later: RFC 3339, a day, or so long ago, such as `-2d`, `-12h`, `-30m`.
    since: Option<String>,
    /// Began before this moment.
    until: Option<String>,
    /// From or to this number, E.164.
    number: Option<String>,
    /// Of this agent.
    #[param(value_type = Option<String>)]
    agent: Option<Several>,
    /// Of this deployment.
    #[param(value_type = Option<String>)]
    deployment: Option<Several>,
    /// `inbound` or `outbound`.
    direction: Option<String>,
    /// One of the ten statuses.
    #[param(value_type = Option<String>)]
    status: Option<Several>,
    /// The kind of its end, such as `caller_hung_up`.
    #[param(value_type = Option<String>)]
    end: Option<Several>,
    /// `success`, `failure` or `unknown`.
    #[param(value_type = Option<String>)]
    result: Option<Several>,
    /// At least so long, in milliseconds.
    #[param(minimum = 0)]
    min_duration_ms: Option<u64>,
    /// At most so long.
    #[param(minimum = 0)]
    max_duration_ms: Option<u64>,
    /// Known to have cost at least so much, in millionths of the currency.
    #[param(minimum = 0)]
    min_cost_micros: Option<u64>,
    /// Known to have cost at most so much.
    #[param(minimum = 0)]
    max_cost_micros: Option<u64>,
}

impl Filter {
    /// As the store is asked, for whoever asks; all that is wrong at once.
    fn read(&self, who: &Principal, when: &When) -> Result<ListFilter, Problem> {
        let mut wrong = Vec::new();
        let mut moment = |name: &str, text: &Option<String>| {
            let read = text.as_deref().map(|text| when.moment(name, text));
            read.transpose().unwrap_or_else(|found| {
                wrong.push(found);
                None
            })
        };
        let (since_ms, until_ms) = (moment("since", &self.since), moment("until", &self.until));
        let direction = match self.direction.as_deref() {
            None => None,
            Some("inbound") => Some(Direction::Inbound),
            Some("outbound") => Some(Direction::Outbound),
            Some(_) => {
                wrong.push(Wrong::parameter("direction", "direction", "A direction is inbound or outbound."));
                None
            }
        };
        let several = |values: &Option<Several>| values.clone().unwrap_or_default().0;
        let mut statuses = Vec::new();
        for name in several(&self.status) {
            match Status::from_name(&name) {
                Some(status) if statuses.contains(&status) => {}
                Some(status) => statuses.push(status),
                None => {
                    wrong.push(Wrong::parameter("status", "status", unknown("status", &Status::ALL.map(Status::name))))
                }
            }
        }
        let mut results = Vec::new();
        for name in several(&self.result) {
            let known = CallResult::ALL.map(CallResult::name);
            match CallResult::from_name(&name) {
                Some(result) => results.push(result),
                None => wrong.push(Wrong::parameter("result", "result", unknown("result", &known))),
            }
        }
        let number = self.number.as_deref().map(str::trim);
        if number.is_some_and(|number| !crate::config::is_e164(number)) {
            wrong.push(Wrong::parameter("number", "number", "A number is E.164: + and 7 to 15 digits."));
        }
        let range = |low: Option<u64>, high: Option<u64>| low.zip(high).is_some_and(|(low, high)| low > high);
        if range(self.min_duration_ms, self.max_duration_ms) {
            wrong.push(Wrong::parameter("max_duration_ms", "range", "The longest is shorter than the shortest."));
        }
        if range(self.min_cost_micros, self.max_cost_micros) {
            wrong.push(Wrong::parameter("max_cost_micros", "range", "The most is less than the least."));
        }
        if !wrong.is_empty() {
            return Err(Problem::wrong(wrong));
        }
        let signed = |n: Option<u64>| n.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        Ok(ListFilter {
            since_ms,
            until_ms,
            number: number.map(str::to_owned),
            only_agents: only_agents(who),
            agents: several(&self.agent),
            deployments: several(&self.deployment),
            direction,
            statuses,
            ends: several(&self.end),
            results,
            min_duration_ms: signed(self.min_duration_ms),
            max_duration_ms: signed(self.max_duration_ms),
            min_cost_micros: signed(self.min_cost_micros),
            max_cost_micros: signed(self.max_cost_micros),
        })
    }
}

fn unknown(what: &str, known: &[&str]) -> String {
    format!("A {what} is one of {}.", known.join(", "))
}

/// The agents that whoever asks is bound to; `None`: to none.
pub(super) fn only_agents(who: &Principal) -> Option<Vec<String>> {
    match who {
        Principal::User { .. } | Principal::Operator | Principal::Key { agents: None, .. } => None,
        Principal::Key { agents: Some(agents), .. } => Some(agents.clone()),
        Principal::Access { agent, .. } => Some(vec![agent.clone()]),
        Principal::Embed { .. } | Principal::Nobody => Some(Vec::new()),
    }
}

/// A call that is there for whoever asks.
///
/// # Errors
/// 404: it is not there, or not theirs.
pub(super) async fn seen(api: &Api, who: &Principal, id: &str) -> Result<Listed, Problem> {
    if id.is_empty() || id.len() > 80 || !id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
        return Err(Problem::absent("call", id));
    }
    // What has just happened to a call that is up here may not be in the store yet.
    let listed = match api.handle.feed().live(id) {
        None => api.handle.store().listed(id).await?,
        listed => listed,
    };
    listed.filter(|listed| who.sees(&listed.agent)).ok_or_else(|| Problem::absent("call", id))
}

/// Calls, the newest first
///
/// Those that wait, ring or are up are among them, and those that nobody answered.
#[utoipa::path(
    get,
    path = "/api/v1/calls",
    tag = "Calls",
    params(Filter),
    responses((status = 200, description = "A page of calls", body = Page<CallItem>))
)]
async fn list(
    State(api): State<Api>,
    Who(who): Who,
    uri: Uri,
    Query(filter): Query<Filter>,
) -> Result<Response, Problem> {
    let limit = page::limit(filter.limit)?;
    let after = place_of(filter.cursor.as_deref())?;
    let wanted = filter.read(&who, &When::of(&api))?;
    let found = api.handle.store().list(&wanted, after.as_ref(), limit.into()).await?;
    Ok(paged(&api, found, false).answer(&uri))
}

fn paged(api: &Api, found: crate::store::ListPage, with_words: bool) -> Page<CallItem> {
    let config = api.handle.config();
    let billing = &config.server.billing;
    let item = |listed: Listed| {
        let words = if with_words { api.handle.feed().last_words(&listed.id) } else { None };
        let mut item = CallItem::new(listed, billing);
        item.last_words = words.map(LineItem::from);
        item
    };
    let next = found.next.map(|next| page::cursor(&format!("{} {}", next.began_ms, next.id)));
    Page { items: found.items.into_iter().map(item).collect(), next }
}

fn place_of(cursor: Option<&str>) -> Result<Option<ListPlace>, Problem> {
    let Some(place) = page::place(cursor)? else { return Ok(None) };
    let (began_ms, id) = place.split_once(' ').ok_or_else(page::no_cursor)?;
    let began_ms = began_ms.parse().map_err(|_| page::no_cursor())?;
    Ok(Some(ListPlace { began_ms, id: id.to_owned() }))
}

/// How much of the list of calls that are up is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LiveFilter {
    /// Calls on a page: 1 to 100; 25 if it is left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
    /// Of this agent.
    agent: Option<String>,
}

/// Calls that wait, ring or are up
///
/// With what was said last, of those that are up on this server. `GET /api/v1/events` tells how they go on.
#[utoipa::path(
    get,
    path = "/api/v1/calls/live",
    tag = "Calls",
    params(LiveFilter),
    responses((status = 200, description = "A page of calls, and how many there are", body = LivePage))
)]
async fn live(
    State(api): State<Api>,
    Who(who): Who,
    uri: Uri,
    Query(filter): Query<LiveFilter>,
) -> Result<Response, Problem> {
    let limit = page::limit(filter.limit)?;
    let after = place_of(filter.cursor.as_deref())?;
    let wanted = ListFilter {
        statuses: Status::ALL.into_iter().filter(|status| status.is_live()).collect(),
        agents: filter.agent.into_iter().collect(),
        only_agents: only_agents(&who),
        ..ListFilter::default()
    };
    let store = api.handle.store();
    let found = store.list(&wanted, after.as_ref(), limit.into()).await?;
    let page = paged(&api, found, true);
    let config = api.handle.config();
    let mut counts = LivePage { items: page.items, next: page.next, up: 0, queued: 0, slots: Vec::new() };
    for (agent, status, n) in store.count_live(&wanted).await? {
        if !matches!(status, Status::Dialing | Status::InProgress) {
            counts.queued += n;
            continue;
        }
        counts.up += n;
        match counts.slots.last_mut().filter(|slots| slots.agent == agent) {
            Some(slots) => slots.used += n,
            None => {
                let own = config.personas.get(&agent).and_then(|persona| persona.standing.max_calls);
                let most = caps::of_agent(own, config.server.plan.calls_per_agent).map(caps::Cap::number);
                counts.slots.push(SlotsItem { agent, used: n, most });
            }
        }
    }
    let link = counts.next.as_deref().map(|next| page::link(&uri, next));
    Ok(page::with_link(Json(counts).into_response(), link))
}

/// A page of calls that wait, ring or are up, and how many there are (CON-05).
#[derive(Clone, Debug, Serialize, ToSchema)]
struct LivePage {
    /// Calls.
    items: Vec<CallItem>,
    /// The cursor of the next page; `null`: this is the last.
    next: Option<String>,
    /// Calls that ring or are up, on all pages.
    up: u64,
    /// Calls that wait to be placed.
    queued: u64,
    /// What of their agents' slots they take.
    slots: Vec<SlotsItem>,
}

/// The slots of an agent.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct SlotsItem {
    /// The agent's name.
    agent: String,
    /// Calls that ring or are up.
    used: u64,
    /// How many there may be; `null`: as many as the server lets there be.
    most: Option<u32>,
}

/// A call
///
/// While it is up, what is known by then; afterwards with what its report says, all but the words, which are the transcript's.
#[utoipa::path(
    get,
    path = "/api/v1/calls/{id}",
    tag = "Calls",
    params(("id" = String, Path, description = "The call's id")),
    responses((status = 200, description = "The call", body = CallDetail))
)]
async fn get(
    State(api): State<Api>,
    Who(who): Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
) -> Result<Response, Problem> {
    let listed = seen(&api, &who, &id).await?;
    let row = api.handle.store().call(&id).await?;
    let (config, words) = (api.handle.config(), api.handle.feed().last_words(&id));
    written(move || CallDetail::new(listed, row, &config.server.billing, words)).await
}

/// What is read out of a report and written as JSON, off the async threads: that of a long call takes milliseconds, which
/// calls would feel.
async fn written<T: Serialize>(work: impl FnOnce() -> T + Send + 'static) -> Result<Response, Problem> {
    let written = tokio::task::spawn_blocking(move || serde_json::to_vec(&work())).await;
    let bytes = written.map_err(|error| Problem::internal(&error))?.map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

/// What was said in a call.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Transcript {
    /// The call.
    call: String,
    /// Whether the call is over, and nothing is added any more.
    complete: bool,
    /// What was said and heard, in the order in which it was begun.
    lines: Vec<LineItem>,
}

/// What was said in a call, and what of it was heard
///
/// While the call is up, its latest 200 lines.
#[utoipa::path(
    get,
    path = "/api/v1/calls/{id}/transcript",
    tag = "Calls",
    params(("id" = String, Path, description = "The call's id")),
    responses((status = 200, description = "The lines", body = Transcript))
)]
async fn transcript(
    State(api): State<Api>,
    Who(who): Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
) -> Result<Response, Problem> {
    let listed = seen(&api, &who, &id).await?;
    let row = api.handle.store().call(&id).await?;
    let complete = !Status::from_name(&listed.status).is_some_and(Status::is_live);
    let said = api.handle.feed().lines(&id).unwrap_or_default();
    let transcript = move || {
        let report: Option<Report> = row.and_then(|row| serde_json::from_str(&row.report?).ok());
        let lines = match report {
            Some(report) => report.lines.into_iter().map(LineItem::from).collect(),
            None => said.into_iter().map(LineItem::from).collect(),
        };
        Transcript { call: id, complete, lines }
    };
    written(transcript).await
}

/// What was found out about a call.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Found {
    /// The call.
    call: String,
    /// The content of its `analysis.json`: answers of the analysis and of quality control, errors, and what they used up.
    #[schema(value_type = Object)]
    found: Value,
}

/// What was found out about a call once it was over
#[utoipa::path(
    get,
    path = "/api/v1/calls/{id}/analysis",
    tag = "Calls",
    params(("id" = String, Path, description = "The call's id")),
    responses((status = 200, description = "The answers", body = Found))
)]
async fn analysis(
    State(api): State<Api>,
    Who(who): Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
) -> Result<Json<Found>, Problem> {
    seen(&api, &who, &id).await?;
    let row = api.handle.store().call(&id).await?;
    let found = row.and_then(|row| serde_json::from_str(&row.analysis?).ok());
    let none = || {
        let detail = "Nothing was found out about this call: its agent asks for no analysis, or it is not done yet.";
        Problem::new(axum::http::StatusCode::NOT_FOUND, "no_analysis", detail)
    };
    Ok(Json(Found { call: id, found: found.ok_or_else(none)? }))
}
