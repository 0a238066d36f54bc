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
    call: Call<'a>,
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

impl Event {
    /// What happened to `call` at `now_ms`. `id`: one that was made for it already.
    pub(super) fn new(id: Option<&str>, call: &calls::Model, kind: EventType, data: &Value, now_ms: i64) -> Event {
        let id = id.map_or_else(|| id::new_at_any_rate(id::Kind::Event), str::to_owned);
        let body = Body {
            version: VERSION,
            id: &id,
            kind: kind.name(),
            time: rfc3339(time_of(now_ms)),
            call: Call {
                id: &call.id,
                carrier_call: &call.carrier_call,
                direction: call.direction.name(),
                deployment: &call.deployment,
                agent: &call.agent,
                from: call.from_number.as_deref(),
                to: call.to_number.as_deref(),
                started: rfc3339(time_of(call.started_ms)),
            },
            data,
        };
        // Strings and numbers only: it cannot fail.
        let body = serde_json::to_string(&body).unwrap_or_default();
        Event { id, kind, body }
    }
}

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
    events.push((
        over,
        json!({
            "end": report.end,
            "duration_ms": report.duration_ms,
            "turns": report.turns.len(),
            "interruptions": report.interruptions.len(),
            "cost_micros": call.cost_micros,
            "recording": call.recording,
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

/// What is told of a call whose server was gone before it ended.
pub(super) fn of_loss() -> (EventType, Value) {
    let none = Value::Null;
    let data = json!({
        "end": { "kind": LOST }, "duration_ms": none, "turns": none, "interruptions": none, "cost_micros": 0,
        "recording": false, "report": none,
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
