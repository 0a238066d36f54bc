//! Calls that the server places: `POST …/Calls.json` at the [`Carrier`], which rings, and lives the call as its callee.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use crate::config::CarrierProfile;
use crate::stage::phone::caller::place;
use crate::stage::phone::carrier::{Carrier, error_json};
use crate::stage::phone::options::CallOptions;
use crate::stage::phone::report::PhoneReport;
use crate::stage::phone::script::Step;
use crate::stage::phone::stamps::{new_id, rfc_2822};
use crate::stage::phone::webhook::Server;

/// Most calls that are remembered.
const MAX_DIALS: usize = 1_000;
/// Time for a status callback.
const CALLBACK: Duration = Duration::from_secs(5);

/// Who is at a number, and what becomes of a call there.
#[derive(Clone, Debug)]
pub struct Callee {
    /// Milliseconds that it rings before that.
    pub ring_ms: u64,
    /// What then happens.
    pub then: Then,
    /// What the carrier's own detection says of who picked up, and how many milliseconds after they did. Only told where
    /// it was asked for.
    pub answered_by: Option<(u64, &'static str)>,
}

/// What becomes of a call.
#[derive(Clone, Debug)]
pub enum Then {
    /// Somebody, or something, picks up and does this.
    Answer(Vec<Step>),
    /// The line is busy.
    Busy,
    /// It rings for as long as it may.
    Ring,
    /// The carrier cannot reach the number.
    Fail,
}

/// A call that the server placed.
#[derive(Clone, Debug)]
pub struct Dialled {
    /// `CA…`.
    pub sid: String,
    /// As it was asked for.
    pub form: Vec<(String, String)>,
    /// Twilio's word for how it is.
    pub status: &'static str,
    /// What the callee saw; `None`: nobody picked up, or the call goes on.
    pub report: Option<PhoneReport>,
    /// Status callbacks that were not answered 2xx.
    pub failed_callbacks: usize,
    created: SystemTime,
}

impl Dialled {
    /// A parameter of the request, if it was there.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        !matches!(self.status, "queued" | "ringing" | "in-progress")
    }
}

/// What the carrier knows of them.
#[derive(Debug, Default)]
pub(super) struct Dials {
    callees: BTreeMap<String, Callee>,
    calls: Vec<Dialled>,
    ringing: BTreeMap<String, oneshot::Sender<()>>,
    lose_answers: u32,
}

impl Dials {
    /// Takes a call back that rings. `false`: there is none.
    pub(super) fn cancel(&mut self, sid: &str) -> bool {
        self.ringing.remove(sid).is_some_and(|cancel| cancel.send(()).is_ok())
    }

    pub(super) fn is_ringing(&self, sid: &str) -> bool {
        self.ringing.contains_key(sid)
    }

    /// Whether there was ever such a call.
    pub(super) fn knows(&self, sid: &str) -> bool {
        self.calls.iter().any(|call| call.sid == sid)
    }
}

impl Carrier {
    /// Who is at a number from now on. Numbers at which nobody is are failures.
    pub fn expect(&self, number: impl Into<String>, callee: Callee) {
        self.state().dials.callees.insert(number.into(), callee);
    }

    /// The next so many requests for a call are carried out, and the answer is lost on its way.
    pub fn lose_answers(&self, n: u32) {
        self.state().dials.lose_answers = n;
    }

    /// The latest 1,000 calls that the server placed, the oldest first.
    pub fn dialled(&self) -> Vec<Dialled> {
        self.state().dials.calls.clone()
    }

    /// How often a number rang or was tried.
    pub fn rang(&self, number: &str) -> usize {
        self.state().dials.calls.iter().filter(|call| call.get("To") == Some(number)).count()
    }

    fn set_status(&self, sid: &str, status: &'static str) {
        if let Some(call) = self.state().dials.calls.iter_mut().find(|call| call.sid == sid) {
            call.status = status;
        }
    }
}

/// `POST …/Calls.json`.
pub(super) async fn create_call(
    State(carrier): State<Carrier>,
    Path(account): Path<String>,
    headers: HeaderMap,
    Form(form): Form<Vec<(String, String)>>,
) -> Response {
    if let Some(refusal) = carrier.meet(&account, &headers).await {
        return refusal;
    }
    if let Err(code) = check(&form) {
        return error(400, code);
    }
    let call = Dialled {
        sid: new_id(carrier.profile(), "CA"),
        form,
        status: "queued",
        report: None,
        failed_callbacks: 0,
        created: SystemTime::now(),
    };
    let (cancel, canceled) = oneshot::channel();
    let (callee, lost) = {
        let mut state = carrier.state();
        let dials = &mut state.dials;
        if dials.calls.len() >= MAX_DIALS {
            return error(429, 20_429);
        }
        dials.calls.push(call.clone());
        dials.ringing.insert(call.sid.clone(), cancel);
        let lost = dials.lose_answers > 0;
        dials.lose_answers -= u32::from(lost);
        (dials.callees.get(call.get("To").unwrap_or_default()).cloned(), lost)
    };
    let body = call_json(&account, &call);
    let status = match carrier.profile() {
        CarrierProfile::Twilio => StatusCode::CREATED,
        CarrierProfile::SignalWire => StatusCode::OK,
    };
    let nobody = Callee { ring_ms: 0, then: Then::Fail, answered_by: None };
    tokio::spawn(ring(carrier, call, callee.unwrap_or(nobody), canceled));
    if lost {
        let broken = stream::once(async { Err::<Bytes, _>(std::io::Error::other("lost on purpose")) });
        return (status, Body::from_stream(broken)).into_response();
    }
    (status, Json(body)).into_response()
}

/// `GET …/Calls.json`.
pub(super) async fn list_calls(
    State(carrier): State<Carrier>,
    Path(account): Path<String>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    if let Some(refusal) = carrier.meet(&account, &headers).await {
        return refusal;
    }
    let wanted = |call: &&Dialled| {
        query.iter().filter(|(name, _)| matches!(name.as_str(), "To" | "From")).all(|(n, v)| call.get(n) == Some(v))
    };
    let calls: Vec<_> = carrier
        .state()
        .dials
        .calls
        .iter()
        .rev()
        .filter(wanted)
        .take(50)
        .map(|call| call_json(&account, call))
        .collect();
    Json(json!({ "calls": calls, "page": 0, "page_size": 50 })).into_response()
}

/// `GET …/Calls/{CA}.json`.
pub(super) async fn fetch_call(
    State(carrier): State<Carrier>,
    Path((account, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = carrier.meet(&account, &headers).await {
        return refusal;
    }
    let sid = file.strip_suffix(".json").unwrap_or(&file);
    let found = carrier.state().dials.calls.iter().find(|call| call.sid == sid).cloned();
    match found {
        Some(call) => Json(call_json(&account, &call)).into_response(),
        None => error(404, 20_404),
    }
}

/// What Twilio does not take, as its code.
fn check(form: &[(String, String)]) -> Result<(), u32> {
    let all = |name: &str| form.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>();
    let one = |name: &str| if let [value] = all(name)[..] { Some(value) } else { None };
    let number =
        |text: &str| text.len() > 8 && text.strip_prefix('+').is_some_and(|d| d.bytes().all(|b| b.is_ascii_digit()));
    let url = |text: &str| text.starts_with("http://") || text.starts_with("https://");
    let known = [
        "To",
        "From",
        "Url",
        "Method",
        "StatusCallback",
        "StatusCallbackMethod",
        "StatusCallbackEvent",
        "Timeout",
        "TimeLimit",
        "MachineDetection",
        "AsyncAmd",
        "AsyncAmdStatusCallback",
        "AsyncAmdStatusCallbackMethod",
    ];
    if form.iter().any(|(name, _)| !known.contains(&name.as_str())) {
        return Err(20_001);
    }
    if !one("To").is_some_and(number) {
        return Err(21_211);
    }
    if !one("From").is_some_and(number) {
        return Err(21_212);
    }
    let Some(target) = one("Url").filter(|text| url(text)) else { return Err(21_205) };
    // Twilio sorts the parameters of a query, and signs them as they were.
    let query: Vec<_> = target.split_once('?').map_or("", |(_, query)| query).split('&').collect();
    let callbacks = ["StatusCallback", "AsyncAmdStatusCallback"].iter().flat_map(|name| all(name));
    let events = ["initiated", "ringing", "answered", "completed"];
    let limit = |name: &str, range: std::ops::RangeInclusive<u64>| {
        all(name).iter().all(|text| text.parse().is_ok_and(|n: u64| range.contains(&n)))
    };
    let right = query.is_sorted()
        && callbacks.into_iter().all(url)
        && all("StatusCallbackEvent").iter().all(|event| events.contains(event))
        && all("Method").iter().chain(&all("StatusCallbackMethod")).all(|method| *method == "POST")
        && limit("Timeout", 1..=600)
        && limit("TimeLimit", 1..=86_400)
        && all("MachineDetection").iter().all(|mode| matches!(*mode, "Enable" | "DetectMessageEnd"))
        && all("AsyncAmd").iter().all(|on| *on == "true")
        // A result that nobody is told would be a mistake.
        && all("AsyncAmd").len() == all("AsyncAmdStatusCallback").len();
    if right { Ok(()) } else { Err(20_001) }
}

/// The call from the callee's end.
async fn ring(carrier: Carrier, call: Dialled, callee: Callee, canceled: oneshot::Receiver<()>) {
    let get = |name: &str| call.get(name).unwrap_or_default().to_owned();
    let url = get("Url");
    // Where the server is reached, which the world knows by the same name.
    let base = url.match_indices('/').nth(2).map_or(url.as_str(), |(at, _)| &url[..at]).to_owned();
    let Ok(server) = Server::new(&base, None, Some(carrier.signing()), None) else { return };
    let server = server.signing_as(carrier.profile());
    let mut told = Told { carrier: carrier.clone(), server, call: call.clone(), sequence: 0 };
    told.event("initiated", "initiated", None).await;
    let rings = !matches!(callee.then, Then::Fail);
    if rings {
        carrier.set_status(&call.sid, "ringing");
        told.event("ringing", "ringing", None).await;
    }
    let timeout_ms = get("Timeout").parse::<u64>().unwrap_or(60) * 1_000;
    let ring_ms = if matches!(callee.then, Then::Ring) { timeout_ms } else { callee.ring_ms.min(timeout_ms) };
    let outcome = tokio::select! {
        _ = canceled => Some("canceled"),
        () = tokio::time::sleep(Duration::from_millis(ring_ms)) => match &callee.then {
            Then::Answer(_) => None,
            Then::Busy => Some("busy"),
            Then::Ring => Some("no-answer"),
            Then::Fail => Some("failed"),
        },
    };
    carrier.state().dials.ringing.remove(&call.sid);
    if let Some(status) = outcome {
        carrier.set_status(&call.sid, status);
        told.event("completed", status, (status == "failed").then_some("404")).await;
        return;
    }
    carrier.set_status(&call.sid, "in-progress");
    let Then::Answer(script) = callee.then else { return };
    let over = std::sync::Arc::new(Notify::new());
    let mut aside = JoinSet::new();
    if let (Some((after_ms, by)), Some(callback)) = (callee.answered_by, call.get("AsyncAmdStatusCallback")) {
        let (server, sid, callback) = (told.server.clone(), call.sid.clone(), callback.to_owned());
        let account = carrier.account_sid().to_owned();
        let over = std::sync::Arc::clone(&over);
        aside.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(after_ms)) => {}
                // Nobody wants to know any more.
                () = over.notified() => return,
            }
            let form = [
                ("CallSid", sid.as_str()),
                ("AccountSid", &account),
                ("AnsweredBy", by),
                ("MachineDetectionDuration", &after_ms.to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
            let _ = tokio::time::timeout(CALLBACK, server.post(&callback, &form)).await;
        });
    }
    let options = CallOptions {
        voice_url: url.clone(),
        status_callback: call.get("StatusCallback").map(str::to_owned),
        account_sid: carrier.account_sid().to_owned(),
        call_sid: Some(call.sid.clone()),
        profile: carrier.profile(),
        token: Some(carrier.signing()),
        from: get("From"),
        to: get("To"),
        carrier: Some(carrier.clone()),
        max_ms: 120_000,
        placed: true,
        ..CallOptions::new(base, get("To"), script)
    };
    told.event("answered", "in-progress", None).await;
    let report = place(options).await;
    over.notify_waiters();
    aside.abort_all();
    carrier.set_status(&call.sid, "completed");
    if let Some(known) = carrier.state().dials.calls.iter_mut().find(|known| known.sid == call.sid) {
        known.report = Some(report);
    }
}

/// Status callbacks.
struct Told {
    carrier: Carrier,
    server: Server,
    call: Dialled,
    sequence: u32,
}

impl Told {
    async fn event(&mut self, event: &str, status: &str, sip: Option<&str>) {
        let sequence = self.sequence.to_string();
        self.sequence += 1;
        let wanted = self.call.form.iter().any(|(name, value)| name == "StatusCallbackEvent" && value == event);
        let Some(callback) = self.call.get("StatusCallback").filter(|_| wanted) else { return };
        let (from, to) = (self.call.get("From").unwrap_or_default(), self.call.get("To").unwrap_or_default());
        let mut form: Vec<(String, String)> = [
            ("CallSid", self.call.sid.as_str()),
            ("AccountSid", self.carrier.account_sid()),
            ("From", from),
            ("To", to),
            ("Caller", from),
            ("Called", to),
            ("CallStatus", status),
            ("ApiVersion", "2010-04-01"),
            ("Direction", "outbound-api"),
            ("Timestamp", &rfc_2822(SystemTime::now())),
            ("SequenceNumber", &sequence),
            ("CallbackSource", "call-progress-events"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        form.extend(sip.map(|code| ("SipResponseCode".to_owned(), code.to_owned())));
        let answer = tokio::time::timeout(CALLBACK, self.server.post(callback, &form)).await;
        if !matches!(answer, Ok(Ok(answer)) if (200..300).contains(&answer.status))
            && let Some(known) = self.carrier.state().dials.calls.iter_mut().find(|known| known.sid == self.call.sid)
        {
            known.failed_callbacks += 1;
        }
    }
}

fn call_json(account: &str, call: &Dialled) -> Value {
    json!({
        "sid": call.sid, "account_sid": account, "api_version": "2010-04-01", "status": call.status,
        "direction": "outbound-api", "from": call.get("From"), "to": call.get("To"), "date_created": rfc_2822(call.created),
        "duration": null, "start_time": null, "end_time": null, "answered_by": null, "parent_call_sid": null,
        "price": null, "price_unit": "USD", "queue_time": "0",
        "uri": format!("/2010-04-01/Accounts/{account}/Calls/{}.json", call.sid),
    })
}

pub(super) fn error(status: u16, code: u32) -> Response {
    (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(error_json(status, code)))
        .into_response()
}
