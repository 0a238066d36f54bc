//! Events for the outside: what their bodies say.

use serde::Serialize;
use serde_json::{Value, json};

use crate::base::time::date::rfc3339;
use crate::config::EventType;
use crate::engine::{EndReason, NotAnswered};
use crate::report::Report;

use super::entity::calls;
use super::{id, time_of};

/// The version of the bodies.
pub const VERSION: u32 = 1;

/// Longest report that goes into a body; a longer one stays in the call's folder.
const MAX_REPORT_BYTES: usize = 256 << 10;

/// An event with its body.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) kind: EventType,
    pub(super) body: String,
}

#[derive(Serialize)]
struct Body<'a> {
    version: u32,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    time: String,
    /// It is a sample that somebody had sent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    test: bool,
    /// None of what is about no call.
    call: Option<Call<'a>>,
    data: &'a Value,
}

/// The call that an event is about.
#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    carrier_call: &'a str,
    direction: &'a str,
    deployment: &'a str,
    agent: &'a str,
    from: Option<&'a str>,
    to: Option<&'a str>,
    started: String,
}

/// What an event is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum About<'a> {
    Call(&'a calls::Model),
    /// `kind/name` of something else; those of one thing are told in order, like those of a call.
    Other {
        what: &'a str,
        agent: Option<&'a str>,
    },
}

impl<'a> About<'a> {
    /// As the outbox names it.
    pub(super) fn key(self) -> &'a str {
        match self {
            About::Call(call) => &call.id,
            About::Other { what, .. } => what,
        }
    }

    /// Whose it is, as far as that is known.
    pub(super) fn agent(self) -> Option<&'a str> {
        match self {
            About::Call(call) => Some(call.agent.as_str()).filter(|agent| !agent.is_empty()),
            About::Other { agent, .. } => agent,
        }
    }
}

impl Event {
    /// What happened to `about` at `now_ms`. `id`: one that was made for it already.
    pub(super) fn new(id: Option<&str>, about: About<'_>, kind: EventType, data: &Value, now_ms: i64) -> Event {
        let id = id.map_or_else(|| id::new_at_any_rate(id::Kind::Event), str::to_owned);
        let call = match about {
            About::Call(call) => Some(Call::of(call)),
            About::Other { .. } => None,
        };
        Event { body: body(&id, kind, call, data, now_ms, false), id, kind }
    }

    /// A sample of a type, as it would be sent at `now_ms`, marked `test`.
    pub(super) fn sample(kind: EventType, now_ms: i64) -> Event {
        let id = id::new_at_any_rate(id::Kind::Event);
        let call = calls::Model {
            carrier_call: "CA00000000000000000000000000000000".to_owned(),
            deployment: "main-number".to_owned(),
            agent: "reception".to_owned(),
            from_number: Some("+15550100001".to_owned()),
            to_number: Some("+15550100100".to_owned()),
            started_ms: now_ms - 42_500,
            ..super::calls::unknown("call_20260101T120000000-0000000000000000")
        };
        let call = kind.is_of_call().then(|| Call::of(&call));
        Event { body: body(&id, kind, call, &sample_data(kind, now_ms), now_ms, true), id, kind }
    }
}

fn body(id: &str, kind: EventType, call: Option<Call<'_>>, data: &Value, now_ms: i64, test: bool) -> String {
    let time = rfc3339(time_of(now_ms));
    let body = Body { version: VERSION, id, kind: kind.name(), time, test, call, data };
    // Strings and numbers only: it cannot fail.
    serde_json::to_string(&body).unwrap_or_default()
}

impl<'a> Call<'a> {
    fn of(call: &'a calls::Model) -> Call<'a> {
        Call {
            id: &call.id,
            carrier_call: &call.carrier_call,
            direction: call.direction.name(),
            deployment: &call.deployment,
            agent: &call.agent,
            from: call.from_number.as_deref(),
            to: call.to_number.as_deref(),
            started: rfc3339(time_of(call.started_ms)),
        }
    }
}

/// What a sample says, with every key of the real one.
fn sample_data(kind: EventType, now_ms: i64) -> Value {
    let none = Value::Null;
    let over = |end: Value| {
        json!({
            "end": end, "ended": rfc3339(time_of(now_ms)), "result": { "status": UNKNOWN }, "duration_ms": 42_500,
            "duration_s": 42.5, "turns": 1, "interruptions": 0, "cost_micros": 21_000, "recording": true,
            "transcript": [
                { "who": "agent", "at_ms": 900, "text": "Good morning, how can I help you?" },
                { "who": "caller", "at_ms": 3_100, "text": "This is a test." },
            ],
            "analysis": none, "report": none,
        })
    };
    match kind {
        EventType::CallStarted => json!({}),
        EventType::CallTransferred => json!({ "end": { "kind": "transferred", "to": "+15550100199" } }),
        EventType::CallEnded => over(json!({ "kind": "caller_hung_up" })),
        EventType::CallFailed => over(json!({ "kind": "model_unavailable", "why": "a test" })),
        EventType::RecordingReady => json!({
            "path": "calls/20260101T120000000-0000000000000000/recording.wav", "frames": 340_000, "rate_hz": 8_000,
            "missing_from_ms": none,
        }),
        EventType::AnalysisReady => json!({ "result": { "status": UNKNOWN }, "analysis": { "summary": "A test." } }),
        EventType::DeploymentChanged => {
            let (revision, before) = ("0000000000000002", "0000000000000001");
            json!({
                "deployment": "main-number", "agent": "reception", "change": "changed", "revision": revision,
                "previous_revision": before, "by": "ann@example.com", "way": "api",
            })
        }
        EventType::AlertFired | EventType::AlertResolved => {
            let endpoint = json!({ "id": "crm", "name": "crm" });
            json!({ "alert": WEBHOOK, "problem": "failing", "endpoint": endpoint, "since": rfc3339(time_of(now_ms)),
                "why": "500 Internal Server Error", "off_at": none })
        }
    }
}

/// The alert about an endpoint.
pub(super) const WEBHOOK: &str = "webhook";

/// The result of a call of which nobody has said whether it served.
const UNKNOWN: &str = "unknown";

/// What is told when a call is over, in order.
pub(super) fn of_end(call: &calls::Model, report: &Report) -> Vec<(EventType, Value)> {
    let kind = report.end.kind();
    let mut events = Vec::new();
    if kind == "transferred" {
        events.push((EventType::CallTransferred, json!({ "end": report.end })));
    }
    let failed = matches!(kind, "internal" | "model_unavailable" | "model_silent" | "never_connected");
    let failed = failed || matches!(report.end, EndReason::NotAnswered { how: NotAnswered::Failed, .. });
    let over = if failed { EventType::CallFailed } else { EventType::CallEnded };
    let text = call.report.as_deref().unwrap_or_default();
    let whole: Value =
        if text.len() <= MAX_REPORT_BYTES { serde_json::from_str(text).unwrap_or_default() } else { Value::Null };
    // Long conversations are in the call's folder, like long reports.
    let transcript = (text.len() <= MAX_REPORT_BYTES).then(|| transcript(report));
    let analysis: Option<Value> = call.analysis.as_deref().and_then(|text| serde_json::from_str(text).ok());
    events.push((
        over,
        json!({
            "end": report.end,
            "ended": call.ended_ms.map(|ms| rfc3339(time_of(ms))),
            "result": { "status": status(analysis.as_ref()) },
            "duration_ms": report.duration_ms,
            "duration_s": report.duration_ms as f64 / 1_000.0,
            "turns": report.turns.len(),
            "interruptions": report.interruptions.len(),
            "cost_micros": call.cost_micros,
            "recording": call.recording,
            "transcript": transcript,
            "analysis": analysis,
            "report": whole,
        }),
    ));
    if let Some(recording) = report.recording.as_ref().filter(|_| call.recording) {
        events.push((
            EventType::RecordingReady,
            json!({
                "path": format!("calls/{}/recording.wav", call.id),
                "frames": recording.frames,
                "rate_hz": report.rate_hz,
                "missing_from_ms": recording.missing_from_ms,
            }),
        ));
    }
    events
}

/// What is told when more was found out about a call.
pub(super) fn of_analysis(found: &Value) -> Value {
    json!({ "result": { "status": status(Some(found)) }, "analysis": found })
}

/// Whether a call served, by what was found out about it (C-20).
fn status(found: Option<&Value>) -> &str {
    found.and_then(|found| found["result"]["status"].as_str()).unwrap_or(UNKNOWN)
}

/// Who said what, without what the caller did not hear.
fn transcript(report: &Report) -> Value {
    let said = report.lines.iter().filter(|line| !line.text.is_empty());
    said.map(|line| json!({ "who": line.who, "at_ms": line.at_ms, "text": line.text })).collect()
}

/// What is told of a call whose server was gone before it ended.
pub(super) fn of_loss() -> (EventType, Value) {
    let none = Value::Null;
    let data = json!({
        "end": { "kind": LOST }, "ended": none, "result": { "status": UNKNOWN }, "duration_ms": none, "duration_s": none,
        "turns": none, "interruptions": none, "cost_micros": 0, "recording": false, "transcript": none, "analysis": none,
        "report": none,
    });
    (EventType::CallFailed, data)
}

/// The `end_kind` of a lost call.
pub(super) const LOST: &str = "server_lost";

/// The `end_kind` of a call that was let in too late: its caller has heard the refusal.
pub(super) const NOT_ADMITTED: &str = "not_admitted";

/// What is told of such a call, if its start was told.
pub(super) fn of_refusal() -> (EventType, Value) {
    let (kind, mut data) = of_loss();
    data["end"]["kind"] = NOT_ADMITTED.into();
    (kind, data)
}
