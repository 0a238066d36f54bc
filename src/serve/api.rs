//! The control API, `/v1`: who holds the token places calls, looks at them and ends them.
//!
//! | request | what it does |
//! |---|---|
//! | `POST /v1/calls` | places a call; `Idempotency-Key` makes a repetition find the first one |
//! | `GET /v1/calls` | calls that are up |
//! | `GET /v1/calls/{id}` | how one is |
//! | `POST /v1/calls/{id}/cancel` | takes one back that nobody has answered |
//! | `POST /v1/calls/{id}/commit`, `/end` | ends the caller's turn; ends the call |
//!
//! `docs/dial.md` has bodies and answers. Without `[api]` in `offhook.toml` there is no such thing: 404.

mod rate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State as Axum};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use ring::{digest, hmac};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::hex::hex;
use crate::config::{Config, Secret, is_e164};
use crate::engine::{Control, EndReason};

use super::dial::{self, Inserted, Placed, Record, Refused, State, View, Wanted};
use super::public::{Public, bearer};
use super::registry::Command;
use super::wall;
use super::{Shared, budget, force};
use crate::store::Denied;

use rate::MAX_PER_SECOND;
pub(super) use rate::Rate;

/// The largest request.
const MAX_BODY_BYTES: usize = 64 << 10;
/// Variables of a call, and characters of a name and a value.
const MAX_VARIABLES: usize = 32;
const MAX_NAME: usize = 64;
const MAX_VALUE: usize = 1_000;
/// Characters of an idempotency key.
const MAX_KEY: usize = 200;
/// Since when there is another way (RFC 9745): 1 December 2026.
const DEPRECATED: &str = "@1796083200";
/// How long a request waits for the carrier's word; after that it is answered with what is known.
const CARRIER: Duration = Duration::from_secs(8);

/// The routes.
pub(super) fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/calls", post(place).get(list))
        .route("/v1/calls/{call}", get(show))
        .route("/v1/calls/{call}/cancel", post(cancel))
        .route("/v1/calls/{call}/commit", post(commit))
        .route("/v1/calls/{call}/end", post(end))
        .layer(axum::middleware::map_response_with_state(Arc::clone(shared), count))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

/// What a request for a call says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct Body {
    pub(in crate::serve) deployment: String,
    pub(in crate::serve) to: String,
    #[serde(default)]
    pub(in crate::serve) variables: BTreeMap<String, String>,
}

async fn place(Axum(shared): Axum<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
    let config = allowed(&shared, &headers).await?;
    let key = key(&headers)?;
    let body: Body = serde_json::from_slice(&body).map_err(|error| {
        let wanted = "a JSON object with \"deployment\", \"to\" and, if need be, \"variables\"";
        Problem::new(StatusCode::BAD_REQUEST, "body", format!("the body is not {wanted}: {error}"))
    })?;
    let known = place_once(&shared, &config, &headers, key, body).await?;
    Ok(answer(StatusCode::CREATED, known))
}

/// Whether a request for a call is as it must be, as far as that can be said before the call is placed.
pub(in crate::serve) fn check(config: &Config, headers: &HeaderMap, body: &Body) -> Result<(), Problem> {
    wanted(config, headers, body.clone()).map(drop)
}

/// Places a call, once for each key: what is known of it then.
pub(in crate::serve) async fn place_once(
    shared: &Arc<Shared>,
    config: &Arc<Config>,
    headers: &HeaderMap,
    key: &str,
    body: Body,
) -> Result<Value, Problem> {
    let hash = hash(&body);
    let wanted = wanted(config, headers, body)?;
    if let Err(closed) = shared.numbers.pool().may_call(&wanted.from, &wanted.to) {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, closed.code, closed.message));
    }
    let placing = shared.dials.placing.lock().await;
    let inserted = shared.ledger.insert(key, &hash).await.map_err(no_ledger)?;
    let (record, known) = match inserted {
        Inserted::New(record) => (record, false),
        Inserted::Known(record) => (record, true),
    };
    if record.request_hash != hash {
        let message = "this Idempotency-Key was used for another request; a new call needs a new key";
        return Err(Problem::new(StatusCode::CONFLICT, "key_reused", message.to_owned()));
    }
    let call = match &record.call {
        Some(call) => call.clone(),
        None => {
            let (calls, is_up) = (shared.data.join("calls"), |id: &str| shared.registry.contains(id));
            let call = wall::new_id(SystemTime::now(), &shared.random, &calls, is_up).await;
            let call = call.map_err(|_| unavailable(Refused::NoRandomness))?;
            // Before the carrier is asked: whoever finds the key finds the call.
            shared.ledger.name(key, &wanted.new_call(&call, &config.revision)).await.map_err(no_ledger)?;
            call
        }
    };
    // Known, named, and not here: this server was gone in between, and what the carrier knows has to be looked up.
    let asked = known && record.call.is_some();
    let placed = match shared.dials.get(&call) {
        Some(placed) => placed,
        None if asked && is_settled(&record) => return Ok(of_record(&record)),
        None => {
            let look = asked && record.state != State::NotPlaced.name();
            let new = wanted.new_call(&call, &config.revision);
            let admitted = shared.store.admit(budget::wish(config, &wanted.deployment, new.clone())).await;
            let budget = match admitted {
                Ok(budget) => budget,
                // One that was asked for already is only looked up, and keeps the limits that it began with.
                Err(_) if look => budget::again(shared, &wanted.deployment, new).await,
                Err(denied) => {
                    shared.metrics.refused.add(budget::name(&denied), 1);
                    return Err(not_admitted(denied));
                }
            };
            let wanted = Wanted { budget, ..wanted };
            dial::place(shared, config, wanted, &record, &call, look).map_err(|refused| {
                shared.store.release(&call);
                shared.metrics.refused.add("dial", 1);
                unavailable(refused)
            })?
        }
    };
    drop(placing);
    let mut view = placed.view.clone();
    let said = |view: &View| view.carrier_call.is_some() || view.state.is_final();
    // Whatever the carrier says or does not say in time, the answer is what is known then.
    let _ = tokio::time::timeout(CARRIER, view.wait_for(said)).await;
    let view = view.borrow().clone();
    if view.state == State::NotPlaced {
        let why = view.why.clone().unwrap_or_default();
        let message = format!("the call was not placed: {why}; trying again with the same Idempotency-Key is safe");
        return Err(Problem::new(StatusCode::BAD_GATEWAY, "not_placed", message).with_call(&call));
    }
    Ok(of_view(&call, &placed, &view))
}

async fn list(Axum(shared): Axum<Arc<Shared>>, headers: HeaderMap) -> Result<Response, Problem> {
    allowed(&shared, &headers).await?;
    let calls = shared.registry.calls();
    let calls: Vec<_> = calls.iter().filter_map(|call| running(&shared, call)).collect();
    Ok(answer(StatusCode::OK, json!({ "calls": calls })))
}

async fn show(
    Axum(shared): Axum<Arc<Shared>>,
    Path(call): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    allowed(&shared, &headers).await?;
    if let Some(known) = running(&shared, &call) {
        return Ok(answer(StatusCode::OK, known));
    }
    let record = shared.ledger.of_call(&call).await.map_err(no_ledger)?.ok_or_else(|| no_call(&call))?;
    Ok(answer(StatusCode::OK, of_record(&record)))
}

async fn cancel(
    Axum(shared): Axum<Arc<Shared>>,
    Path(call): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    allowed(&shared, &headers).await?;
    cancel_known(&shared, &call).await?;
    Ok(answer(StatusCode::ACCEPTED, json!({ "call": call })))
}

/// Takes a call back that nobody has answered.
pub(in crate::serve) async fn cancel_known(shared: &Arc<Shared>, call: &str) -> Result<(), Problem> {
    let Some(placed) = shared.dials.get(call) else { return cancel_unseen(shared, call).await };
    if !matches!(placed.view.borrow().state, State::Queued | State::Ringing | State::Unknown | State::Canceling) {
        return Err(answered(call));
    }
    command(shared, call, Control::End(EndReason::Operator))
}

/// Keeps the wish for a call that this server has lost sight of, and has the carrier cancel it where it is known which one it
/// is there. Otherwise it is canceled once it is looked up; until then whoever picks up is hung up on.
async fn cancel_unseen(shared: &Arc<Shared>, call: &str) -> Result<(), Problem> {
    let placing = shared.dials.placing.lock().await;
    let record = shared.ledger.of_call(call).await.map_err(no_ledger)?.ok_or_else(|| no_call(call))?;
    if record.state == State::Answered.name() {
        return Err(answered(call));
    }
    if is_settled(&record) || record.state == State::NotPlaced.name() {
        return Err(no_call(call));
    }
    let view = View { state: State::Canceling, carrier_call: record.carrier_call.clone(), why: None };
    shared.ledger.note(&record.key, &view).await.map_err(no_ledger)?;
    drop(placing);
    dial::unseen::take_back(shared, record).await;
    Ok(())
}

fn answered(call: &str) -> Problem {
    let message = format!("it was answered; end it by POST /v1/calls/{call}/end");
    Problem::new(StatusCode::CONFLICT, "answered", message)
}

async fn commit(
    Axum(shared): Axum<Arc<Shared>>,
    Path(call): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    allowed(&shared, &headers).await?;
    order(&shared, &call, Control::CommitTurn)
}

async fn end(
    Axum(shared): Axum<Arc<Shared>>,
    Path(call): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    allowed(&shared, &headers).await?;
    order(&shared, &call, Control::End(EndReason::Operator))
}

fn order(shared: &Shared, call: &str, control: Control) -> Result<Response, Problem> {
    command(shared, call, control)?;
    Ok(answer(StatusCode::ACCEPTED, json!({ "call": call })))
}

/// Asks something of a call that is up.
pub(in crate::serve) fn command(shared: &Shared, call: &str, control: Control) -> Result<(), Problem> {
    if !shared.registry.contains(call) {
        return Err(no_call(call));
    }
    if shared.registry.command(call, Command::Control(control)) {
        return Ok(());
    }
    let message = "the call has too many orders waiting; try again".to_owned();
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message))
}

/// The configuration, for who may use the API.
async fn allowed(shared: &Arc<Shared>, headers: &HeaderMap) -> Result<Arc<Config>, Problem> {
    let config = shared.config();
    let Some(api) = &config.server.api else {
        let message = "there is no API here: set [api] token in offhook.toml".to_owned();
        return Err(Problem::new(StatusCode::NOT_FOUND, "no_api", message));
    };
    if !headers.get(header::AUTHORIZATION).and_then(bearer).is_some_and(|given| same(&api.token, given)) {
        if shared.strangers.due() {
            tracing::warn!("a request to the API was refused: wrong token");
        }
        let message = "wrong token: send Authorization: Bearer and the token of [api] in offhook.toml".to_owned();
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "token", message));
    }
    // Of users only: strangers must not be able to shut them out.
    if !shared.api_rate.take(Instant::now()) {
        let message = format!("more than {MAX_PER_SECOND} requests in a second; try again in a second");
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate", message));
    }
    Ok(config)
}

/// Compares in a time that tells nothing of the token.
fn same(token: &Secret, given: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.expose().as_bytes());
    hmac::verify(&key, given.as_bytes(), hmac::sign(&key, token.expose().as_bytes()).as_ref()).is_ok()
}

fn key(headers: &HeaderMap) -> Result<&str, Problem> {
    let key = headers.get("idempotency-key").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(|b| b.is_ascii_graphic()) {
        let message = format!(
            "the header Idempotency-Key must be 1 to {MAX_KEY} visible characters, new for each call that is wanted: \
             repeated with the same body it never rings twice"
        );
        return Err(Problem::new(StatusCode::BAD_REQUEST, "key", message));
    }
    Ok(key)
}

fn wanted(config: &Config, headers: &HeaderMap, body: Body) -> Result<Wanted, Problem> {
    let wrong = |code, message| Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, message));
    let Body { deployment: name, to, variables } = body;
    let Some(deployment) = config.deployments.get(&name) else {
        let names: Vec<_> = config.deployments.keys().map(String::as_str).take(20).collect();
        return wrong("deployment", format!("there is no deployment {name:?}; there are: {}", names.join(", ")));
    };
    if let Err(because) = force::places(config, deployment, jiff::Timestamp::now()) {
        return wrong("deployment", format!("deployment {name} places no calls: {}", because.words()));
    }
    let Some(from) = deployment.number.clone() else {
        return wrong("deployment", format!("deployment {name} has no number that calls could be placed from"));
    };
    if !is_e164(&to) {
        return wrong("to", "\"to\" must be E.164: + and 7 to 15 digits, such as \"+15550100200\"".to_owned());
    }
    if variables.len() > MAX_VARIABLES {
        return wrong("variables", format!("there are {} variables; allowed: {MAX_VARIABLES}", variables.len()));
    }
    for (name, value) in &variables {
        let is_name = name.len() <= MAX_NAME
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !is_name {
            let allowed = format!("lower-case letters, digits and _, at most {MAX_NAME}, a letter first");
            return wrong("variables", format!("{name:?} is no name of a variable; allowed: {allowed}"));
        }
        let declared = &deployment.agent.variables;
        if !declared.contains_key(&format!("call.{name}")) {
            let known: Vec<_> = declared.keys().filter_map(|known| known.strip_prefix("call.")).collect();
            let (agent, known) = (&deployment.agent.name, known.join(", "));
            let message = format!("agent {agent} declares no variable {name:?} in [variables.call]; allowed: {known}");
            return wrong("variables", message);
        }
        if value.chars().count() > MAX_VALUE {
            return wrong("variables", format!("variable {name} is longer than {MAX_VALUE} characters"));
        }
    }
    let twilio = &config.server.twilio;
    if twilio.account_sid.is_none() || twilio.auth_token.is_none() {
        let message = "twilio.account_sid and twilio.auth_token in offhook.toml are needed to place calls".to_owned();
        return wrong("account", message);
    }
    let rehearsal =
        ["http://127.0.0.1", "http://localhost", "http://[::1]"].iter().any(|own| twilio.rest_url.starts_with(own));
    if config.server.public_url.is_none() && !rehearsal {
        let message = "public_url in offhook.toml is needed: the carrier asks there what to do when somebody picks up";
        return wrong("public_url", message.to_owned());
    }
    let public = Public::of(&config.server, headers).into_base();
    Ok(Wanted { deployment: Arc::clone(deployment), from, to, variables, budget: None, public })
}

/// What a request is, however its JSON is written.
fn hash(body: &Body) -> String {
    let text = json!([body.deployment, body.to, body.variables]).to_string();
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// Whether the carrier's word on it is known, and it is over or was lost from sight.
fn is_settled(record: &Record) -> bool {
    let open = [State::Queued, State::Ringing, State::Unknown, State::Canceling, State::NotPlaced].map(State::name);
    !open.contains(&record.state.as_str())
}

/// A call that is up; `None`: there is none.
fn running(shared: &Shared, call: &str) -> Option<Value> {
    if let Some(placed) = shared.dials.get(call) {
        let view = placed.view.borrow().clone();
        return Some(of_view(call, &placed, &view));
    }
    shared.registry.contains(call).then(|| json!({ "call": call, "direction": "inbound", "state": "answered" }))
}

fn of_view(call: &str, placed: &Placed, view: &View) -> Value {
    json!({
        "call": call,
        "direction": "outbound",
        "deployment": placed.deployment,
        "to": placed.to,
        "carrier_call": view.carrier_call,
        "state": view.state.name(),
        "why": view.why,
    })
}

/// A call that is not up here any more.
fn of_record(record: &Record) -> Value {
    let (state, why) = match record.state.as_str() {
        state if state == State::Answered.name() => (State::Completed.name(), Some("server_lost")),
        state if state == State::Queued.name() || state == State::Ringing.name() => {
            (State::Unknown.name(), Some("the server was away; the same request with the same key looks it up"))
        }
        state if state == State::Canceling.name() && record.carrier_call.is_some() => {
            (state, Some("the carrier has not confirmed it yet; it is asked again"))
        }
        state if state == State::Canceling.name() => {
            (state, Some("the carrier was not reached; the same request with the same key looks it up and cancels it"))
        }
        state => (state, record.error.as_deref().filter(|why| !why.is_empty())),
    };
    json!({
        "call": record.call,
        "direction": "outbound",
        "carrier_call": record.carrier_call,
        "state": state,
        "why": why,
    })
}

fn answer(status: StatusCode, body: Value) -> Response {
    (status, Json(body)).into_response()
}

fn no_call(call: &str) -> Problem {
    let message = format!("there is no call {call:.64}; GET /v1/calls lists those that are up");
    Problem::new(StatusCode::NOT_FOUND, "no_call", message)
}

fn no_ledger(error: crate::store::StoreError) -> Problem {
    tracing::error!(%error, "no call is placed: its key cannot be kept");
    let message = "the server cannot keep the key, so nothing was dialled; try again with the same one".to_owned();
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store", message)
}

fn not_admitted(denied: Denied) -> Problem {
    let why = budget::name(&denied);
    let spent = "today's budget is used up, or held by calls that are up (max_cost_per_day, \
                 max_cost_per_number_and_day of the deployment)";
    let (status, message) = match denied {
        Denied::DayBudget | Denied::NumberBudget => (StatusCode::TOO_MANY_REQUESTS, spent.to_owned()),
        Denied::MonthBudget => (
            StatusCode::TOO_MANY_REQUESTS,
            "this month's budget is used up, or held by calls that are up ([budget] max_cost_per_month in offhook.toml)"
                .to_owned(),
        ),
        Denied::AgentFull => (
            StatusCode::TOO_MANY_REQUESTS,
            "the agent has as many calls as it may; try again with the same key".to_owned(),
        ),
        Denied::Over => (StatusCode::CONFLICT, "the call is over".to_owned()),
        Denied::Store(error) => return no_ledger(error),
    };
    Problem::new(status, why, message)
}

fn unavailable(refused: Refused) -> Problem {
    let (code, message) = match refused {
        Refused::Full => ("full", "the server has as many calls as it may; try again with the same key"),
        Refused::Draining => ("draining", "the server is being shut down; try again with the same key"),
        Refused::NoRandomness => ("internal", "the system gives no random numbers; try again with the same key"),
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, message.to_owned())
}

/// Why not, and what to do about it.
#[derive(Debug)]
pub(in crate::serve) struct Problem {
    pub(in crate::serve) status: StatusCode,
    pub(in crate::serve) code: &'static str,
    pub(in crate::serve) message: String,
    pub(in crate::serve) call: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, message: String) -> Problem {
        Problem { status, code, message, call: None }
    }

    fn with_call(self, call: &str) -> Problem {
        Problem { call: Some(call.to_owned()), ..self }
    }
}

impl axum::response::IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({ "error": { "code": self.code, "message": self.message } });
        if let Some(call) = self.call {
            body["call"] = call.into();
        }
        answer(self.status, body)
    }
}

/// Counts what requests are answered.
async fn count(Axum(shared): Axum<Arc<Shared>>, mut response: Response) -> Response {
    let answer = match response.status().as_u16() {
        401 => "token",
        404 => "not_found",
        429 => "too_many",
        200..300 => "ok",
        500.. => "failed",
        _ => "refused",
    };
    shared.metrics.api.add(answer, 1);
    // `/api/v1` has all of it and more.
    let headers = response.headers_mut();
    headers.insert("deprecation", HeaderValue::from_static(DEPRECATED));
    headers.insert(header::LINK, HeaderValue::from_static("</docs/api>; rel=\"deprecation\""));
    response
}
