//! A stand-in for Twilio's REST API, as far as calls need it: `POST …/Calls/{CA}.json`, and placing calls
//! ([`dialled`]). It knows the calls that are placed through it, so that completing one really ends the
//! caller's stream.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Form, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64_simd::STANDARD;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::dialled::{self, Dials};
use crate::config::{CarrierProfile, Secret};
use crate::stage::carrier::Exchange;

/// Most calls that are remembered after their end.
const MAX_OVER: usize = 10_000;
/// Most requests that are remembered.
const MAX_REQUESTS: usize = 10_000;
/// Orders that may wait for a call.
const MAX_ORDERS: usize = 8;
/// Twilio's limit of a `Twiml` parameter.
const MAX_TWIML: usize = 4_000;

/// The stand-in; clones share their calls.
#[derive(Clone, Debug)]
pub struct Carrier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    profile: CarrierProfile,
    account_sid: String,
    token: Secret,
    /// What webhooks are signed with.
    signing: Secret,
    numbers: Exchange,
    state: Mutex<CarrierState>,
}

#[derive(Debug, Default)]
pub(super) struct CarrierState {
    live: BTreeMap<String, mpsc::Sender<Order>>,
    over: VecDeque<String>,
    faults: VecDeque<Fault>,
    requests: VecDeque<Request>,
    pub(super) dials: Dials,
}

/// What the server wants of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// End it.
    Complete,
    /// End its stream and run this TwiML.
    Update(String),
    /// End its stream and run what that URL answers with.
    Goto(String),
}

/// A request that goes wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Milliseconds before the answer.
    pub delay_ms: u64,
    /// HTTP status and Twilio's code of the answer; `None`: the request is carried out, only late.
    pub answer: Option<(u16, u32)>,
}

/// A request as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The call that it names.
    pub call_sid: String,
    /// Its form.
    pub form: Vec<(String, String)>,
    /// The status it was answered with.
    pub status: u16,
}

impl Carrier {
    /// An account (`AC…`) without calls.
    pub fn new(account_sid: impl Into<String>, token: Secret) -> Self {
        let signing = token.clone();
        Carrier::of(CarrierProfile::Twilio, account_sid.into(), token, signing)
    }

    /// The same of SignalWire: a project by its id, a token for the API and a key that webhooks are signed with. The API is
    /// below `/api/laml`.
    pub fn signalwire(project: impl Into<String>, token: Secret, signing: Secret) -> Self {
        Carrier::of(CarrierProfile::SignalWire, project.into(), token, signing)
    }

    fn of(profile: CarrierProfile, account_sid: String, token: Secret, signing: Secret) -> Self {
        let numbers = Exchange::of(profile, account_sid.clone(), token.clone(), signing.clone());
        let state = Mutex::new(CarrierState::default());
        Carrier(Arc::new(Inner { profile, account_sid, token, signing, numbers, state }))
    }

    /// Listens on a free loopback port, for as long as the runtime lives. Where: `http://` and this address is the base URL.
    pub async fn listen(&self) -> io::Result<SocketAddr> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let router = self.router();
        tokio::spawn(async move {
            // It only returns when the listener breaks; requests then fail, which the caller's report shows.
            let _ = axum::serve(listener, router).await;
        });
        Ok(address)
    }

    /// The API, to be served by the caller of this.
    pub fn router(&self) -> Router {
        let router = Router::new()
            .route("/2010-04-01/Accounts/{account}/Calls.json", post(dialled::create_call).get(dialled::list_calls))
            .route("/2010-04-01/Accounts/{account}/Calls/{call}", post(update_call).get(dialled::fetch_call))
            .layer(DefaultBodyLimit::max(64 * 1024))
            .with_state(self.clone())
            .fallback_service(self.0.numbers.router());
        match self.0.profile {
            CarrierProfile::Twilio => router,
            CarrierProfile::SignalWire => Router::new().nest_service("/api/laml", router),
        }
    }

    /// What it has of phone numbers, for sale and sold.
    pub fn numbers(&self) -> &Exchange {
        &self.0.numbers
    }

    /// Lets one of the next requests go wrong; the first fault meets the next request.
    pub fn fail_next(&self, fault: Fault) {
        self.state().faults.push_back(fault);
    }

    /// The latest 10,000 requests.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.iter().cloned().collect()
    }

    /// Calls that are up.
    pub fn live_calls(&self) -> usize {
        self.state().live.len()
    }

    /// A call begins. It is over when the registration is dropped.
    pub(crate) fn register(&self, call_sid: &str) -> (Registration, mpsc::Receiver<Order>) {
        let (sender, receiver) = mpsc::channel(MAX_ORDERS);
        self.state().live.insert(call_sid.to_owned(), sender);
        (Registration { carrier: self.clone(), call_sid: call_sid.to_owned() }, receiver)
    }

    pub(super) fn account_sid(&self) -> &str {
        &self.0.account_sid
    }

    /// Which carrier it stands in for.
    pub fn profile(&self) -> CarrierProfile {
        self.0.profile
    }

    /// What webhooks are signed with.
    pub(super) fn signing(&self) -> Secret {
        self.0.signing.clone()
    }

    /// What stands in a request's way: a fault that was ordered, a wrong token, another account.
    pub(super) async fn meet(&self, account: &str, headers: &HeaderMap) -> Option<Response> {
        let fault = self.state().faults.pop_front();
        if let Some(fault) = fault {
            tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
            if let Some((status, code)) = fault.answer {
                return Some(dialled::error(status, code));
            }
        }
        if !self.is_authorized(headers) {
            return Some(dialled::error(401, 20_003));
        }
        (account != self.0.account_sid).then(|| dialled::error(404, 20_404))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, CarrierState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let basic = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = basic.and_then(|value| value.strip_prefix("Basic ")).map(|value| STANDARD.decode_to_vec(value));
        let expected = format!("{}:{}", self.0.account_sid, self.0.token.expose());
        matches!(given, Some(Ok(given)) if given == expected.as_bytes())
    }

    fn is_ringing(&self, call_sid: &str) -> bool {
        self.state().dials.is_ringing(call_sid)
    }

    /// Carries a request out: HTTP status, and Twilio's code or the call's new status.
    fn carry_out(&self, call_sid: &str, form: &[(String, String)]) -> Result<&'static str, (u16, u32)> {
        let get = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        if get("Status") == Some("canceled") || (get("Status") == Some("completed") && self.is_ringing(call_sid)) {
            let mut state = self.state();
            return match state.dials.cancel(call_sid) {
                true => Ok("canceled"),
                false if state.live.contains_key(call_sid) || state.dials.knows(call_sid) => Err((400, 21_220)),
                false => Err((404, 20_404)),
            };
        }
        let twilio = self.0.profile == CarrierProfile::Twilio;
        let order = match (get("Status"), get("Twiml"), get("Url")) {
            (Some("completed"), None, None) => Order::Complete,
            (None, Some(twiml), None) if twilio && !twiml.is_empty() && twiml.len() <= MAX_TWIML => {
                Order::Update(twiml.to_owned())
            }
            (None, None, Some(url)) if url.starts_with("http") && get("Method") == Some("POST") => {
                Order::Goto(url.to_owned())
            }
            _ => return Err((400, 20_001)),
        };
        let over = if twilio { 21_220 } else { 10_000 };
        let status = if order == Order::Complete { "completed" } else { "in-progress" };
        let mut state = self.state();
        match state.live.get(call_sid) {
            Some(orders) => match orders.try_send(order) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(_)) => return Err((429, 20_429)),
                Err(mpsc::error::TrySendError::Closed(_)) => return Err((400, over)),
            },
            None if state.over.iter().any(|sid| sid == call_sid) || state.dials.knows(call_sid) => {
                return Err((400, over));
            }
            None => return Err((404, 20_404)),
        }
        if status == "completed" {
            state.finish(call_sid);
        }
        Ok(status)
    }
}

impl CarrierState {
    fn finish(&mut self, call_sid: &str) {
        if self.live.remove(call_sid).is_some() {
            self.over.push_back(call_sid.to_owned());
            if self.over.len() > MAX_OVER {
                self.over.pop_front();
            }
        }
    }
}

/// Keeps a call alive at the carrier.
#[derive(Debug)]
pub(crate) struct Registration {
    carrier: Carrier,
    call_sid: String,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.carrier.state().finish(&self.call_sid);
    }
}

async fn update_call(
    State(carrier): State<Carrier>,
    Path((account, file)): Path<(String, String)>,
    headers: HeaderMap,
    Form(form): Form<Vec<(String, String)>>,
) -> Response {
    let call_sid = file.strip_suffix(".json").unwrap_or(&file).to_owned();
    let fault = carrier.state().faults.pop_front();
    if let Some(fault) = fault {
        tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
    }
    let result = match fault.and_then(|fault| fault.answer) {
        Some(answer) => Err(answer),
        None if !carrier.is_authorized(&headers) => Err((401, 20_003)),
        None if account != carrier.0.account_sid || !file.ends_with(".json") => Err((404, 20_404)),
        None => carrier.carry_out(&call_sid, &form),
    };
    let (status, body) = match result {
        Ok(status) => (200, call_json(&account, &call_sid, status)),
        Err((status, code)) => (status, error_json(status, code)),
    };
    let mut state = carrier.state();
    if state.requests.len() >= MAX_REQUESTS {
        state.requests.pop_front();
    }
    state.requests.push_back(Request { call_sid, form, status });
    drop(state);
    (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(body)).into_response()
}

fn call_json(account: &str, call_sid: &str, status: &str) -> Value {
    json!({
        "sid": call_sid, "account_sid": account, "api_version": "2010-04-01", "status": status, "direction": "inbound",
        "duration": null, "start_time": null, "end_time": null, "answered_by": null, "parent_call_sid": null,
        "price": null, "price_unit": "USD", "queue_time": "0",
        "uri": format!("/2010-04-01/Accounts/{account}/Calls/{call_sid}.json"),
    })
}

pub(super) fn error_json(status: u16, code: u32) -> Value {
    let message = match code {
        20_001 => "Invalid parameter",
        20_003 => "Authenticate",
        21_205 => "Url parameter is not valid",
        21_211 => "Invalid 'To' Phone Number",
        21_212 => "Invalid From Number (caller ID)",
        20_404 => "The requested resource was not found",
        20_429 => "Too Many Requests",
        21_220 => "Call is not in-progress. Cannot redirect.",
        _ => "Error",
    };
    json!({"code": code, "message": message, "more_info": format!("https://www.twilio.com/docs/errors/{code}"), "status": status})
}
