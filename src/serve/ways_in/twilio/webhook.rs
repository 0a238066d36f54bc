//! The carrier's webhooks: a call comes in, a stream or call has ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::{mpsc, oneshot};

use crate::base::audio::AudioFormat;
use crate::config::{CallSettings, Config, Deployment};
use crate::ears::answering::AnsweredBy;
use crate::engine::Control;
use crate::house::callers;
use crate::link::twilio::twiml;
use crate::output::words;
use crate::serve::about::About;
use crate::serve::dial::{self, Told};
use crate::serve::knowledge::lookup;
use crate::serve::lines::twilio::{self, Twiml, Way};
use crate::serve::lines::{Answer, Carrier, Entry};
use crate::serve::public::Public;
use crate::serve::registry::{Admission, Command, Known};
use crate::serve::task::{self, Setup};
use crate::serve::{Shared, budget, force, wall};
use crate::store::Direction;

use super::gate;
use super::trust::{MAX_FIELD, Signed};

/// Commands that may wait for one call.
const QUEUE_COMMANDS: usize = 16;

/// `POST` or `GET /twilio/voice`: a call comes in.
pub(in crate::serve) async fn voice(State(shared): State<Arc<Shared>>, webhook: Signed) -> Response {
    if let Some(call) = placed(&webhook.uri) {
        let expires = webhook.at + Duration::from_secs(webhook.config.server.twilio.token_ttl_s);
        return picked_up(&shared, call, webhook.form.get("CallSid"), webhook.at, expires);
    }
    come_in(&shared, webhook, None).await
}

/// `POST /twilio/access`: a caller has keyed in a PIN, or nothing. All is asked anew: what was so when the phone rang may be
/// otherwise by now.
pub(in crate::serve) async fn access(State(shared): State<Arc<Shared>>, webhook: Signed) -> Response {
    let Some(tried) = gate::tried(&webhook.uri) else {
        shared.metrics.rejected.add("fields", 1);
        return (StatusCode::BAD_REQUEST, "try is needed\n").into_response();
    };
    come_in(&shared, webhook, Some(tried)).await
}

/// Somebody calls; `tried`: how often they were asked for a PIN.
async fn come_in(shared: &Arc<Shared>, webhook: Signed, tried: Option<u32>) -> Response {
    let Signed { form, config, headers, at: began, .. } = webhook;
    let (Some(to), Some(carrier_call)) = (form.get("To"), form.get("CallSid")) else {
        shared.metrics.rejected.add("fields", 1);
        return (StatusCode::BAD_REQUEST, "To and CallSid are needed\n").into_response();
    };
    let twilio = &config.server.twilio;
    let Some(deployment) = config.deployment_for(to) else {
        return refuse(shared, "unknown_number", &twilio.refuse_inactive);
    };
    let met = force::meets(&config, deployment, None, jiff::Timestamp::now());
    if let callers::Answer::Refuse(because) = met
        && !callers::is_about_who_calls(met)
    {
        return refuse(shared, force::reason(because), force::line(because, deployment, twilio));
    }
    if !shared.numbers.pool().takes(to, form.get("From").unwrap_or_default()) {
        return refuse(shared, "country", &twilio.refuse_inactive);
    }
    match shared.registry.known(carrier_call) {
        Known::Up(answer) => return again(answer),
        Known::Over => return over(shared),
        Known::New => {}
    }
    let public = Public::of(&config.server, &headers);
    if met != callers::Answer::LetIn
        && let Err(told) = gate::pass(shared, &config, deployment, &form, &public, tried).await
    {
        return told;
    }
    let about = About {
        direction: Direction::Inbound,
        from: form.get("From").map(str::to_owned),
        to: Some(to.to_owned()),
        variables: BTreeMap::new(),
        budget: None,
    };
    match answer(shared, &config, deployment, &public, carrier_call, about, began).await {
        Ok(answer) => again(answer),
        Err("call_over") => over(shared),
        Err(why) => refuse(shared, why, &twilio.refuse_full),
    }
}

/// Somebody picked up a call that was placed.
fn picked_up(shared: &Shared, call: &str, carrier_call: Option<&str>, at: Instant, expires: Instant) -> Response {
    let placed = shared.dials.get(call);
    let answer = placed.zip(carrier_call).and_then(|(placed, sid)| {
        let answer = placed.answer(sid, at)?;
        // Now: the media stream may be here before the call's task has had its turn.
        shared.registry.name(call, sid, expires);
        Some(answer)
    });
    answer.map(again).unwrap_or_else(|| {
        // Taken back, or this server was gone meanwhile: to whoever picked up there is nothing to say.
        shared.metrics.refused.add("not_placed", 1);
        tracing::warn!("a call was answered that is not placed any more; it is hung up");
        xml(twiml::hang_up())
    })
}

/// `POST /twilio/amd`: the carrier knows who picked up.
pub(in crate::serve) async fn answered_by(State(shared): State<Arc<Shared>>, webhook: Signed) -> Response {
    let Signed { form, uri, .. } = webhook;
    let by = AnsweredBy::from_name(form.get("AnsweredBy").unwrap_or("unknown"));
    shared.metrics.answered_by.add(by.name(), 1);
    let command = Command::Control(Control::AnsweredBy(by));
    let known = placed(&uri).is_some_and(|call| shared.registry.command(call, command));
    // A call that is over has no use for it.
    (if known { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }).into_response()
}

/// The call of ours that a webhook's URL names.
fn placed(uri: &Uri) -> Option<&str> {
    let call = uri.query()?.split('&').find_map(|pair| pair.strip_prefix("call="))?;
    (!call.is_empty() && call.len() <= MAX_FIELD).then_some(call)
}

/// `POST /twilio/stream-status`: a stream began, ended or failed.
pub(in crate::serve) async fn stream_status(State(shared): State<Arc<Shared>>, webhook: Signed) -> Response {
    let Signed { form, .. } = webhook;
    let event = match form.get("StreamEvent") {
        Some("stream-started") => "stream_started",
        Some("stream-stopped") => "stream_stopped",
        Some("stream-error") => "stream_error",
        _ => "stream_other",
    };
    shared.metrics.carrier_reports.add(event, 1);
    if event == "stream_error" {
        // Whole, since the carrier says it nowhere else; what is of the call is struck out.
        let error = words::said(form.text("StreamError").unwrap_or(""));
        tracing::warn!(error, "the carrier reports a failed media stream");
    }
    StatusCode::NO_CONTENT.into_response()
}

/// `POST /twilio/call-status`: a call reached a state. One that is over here ends there.
pub(in crate::serve) async fn call_status(State(shared): State<Arc<Shared>>, webhook: Signed) -> Response {
    let Signed { form, uri, .. } = webhook;
    let over = matches!(form.get("CallStatus"), Some("completed" | "busy" | "failed" | "no-answer" | "canceled"));
    shared.metrics.carrier_reports.add(if over { "call_over" } else { "call_other" }, 1);
    if let Some(call) = placed(&uri).and_then(|call| shared.dials.get(call))
        && let (Some(sid), Some(status)) = (form.get("CallSid"), form.get("CallStatus"))
    {
        let sip = form.get("SipResponseCode").filter(|_| status == "failed");
        let error = form.get("ErrorCode").map(|code| format!("the carrier's error {code}"));
        let detail = error.or(sip.map(|code| format!("SIP {code}"))).unwrap_or_default();
        if !call.tell(Told::Status { sid: sid.to_owned(), status: status.to_owned(), detail }) {
            shared.metrics.carrier_reports.add("lost", 1);
        }
    } else if let (Some(call), Some(sid)) = (placed(&uri), form.get("CallSid")) {
        dial::unseen::told(&shared, call, sid).await;
    }
    if over && let Some(carrier_call) = form.get("CallSid") {
        // Usually the stream's own stop was first and there is no such call any more.
        shared.registry.command_carrier_call(carrier_call, Command::HungUp);
    }
    StatusCode::NO_CONTENT.into_response()
}

/// Admits the call, here and in the store, and starts its task: the answer for the carrier, or why not. What the store has of
/// it is there before the carrier is answered: a process that is killed after that leaves a trace.
async fn answer(
    shared: &Arc<Shared>,
    config: &Arc<Config>,
    deployment: &Arc<Deployment>,
    public: &Public,
    carrier_call: &str,
    mut about: About,
    began: Instant,
) -> Result<Answer, &'static str> {
    let started = SystemTime::now();
    let (token, seed) = wall::lot(&shared.random).map_err(|_| "no_randomness")?;
    let is_up = |id: &str| shared.registry.contains(id);
    let id = wall::new_id(started, &shared.random, &shared.data.join("calls"), is_up).await;
    let id = id.map_err(|_| "no_randomness")?;
    let way = Way::new(public.clone(), id.clone(), &deployment.limits, config.server.twilio.profile);
    let answer = Answer::Twilio(way.connect(&token));
    let (line, claimed) = oneshot::channel();
    let (commands, commanded) = mpsc::channel(QUEUE_COMMANDS);
    let entry = Entry {
        carrier_call: carrier_call.to_owned(),
        token,
        expires: began + Duration::from_secs(config.server.twilio.token_ttl_s),
        answer: answer.clone(),
        back: None,
        asked: 0,
        line: Some(line),
        commands,
    };
    // A call that is known gets its answer again all the same.
    let busy = shared.pressure.is_high(Duration::from_millis(config.server.max_lag_ms));
    let max_calls = if busy { 0 } else { config.server.max_calls };
    let slot = match shared.registry.admit(&id, max_calls, entry) {
        Admission::New(slot) => slot,
        Admission::Again(answer) => return Ok(answer),
        Admission::Full if busy => {
            if shared.crowded.due() {
                let late_ms = shared.pressure.worst().as_millis();
                tracing::warn!(late_ms, "too much to do: new calls are refused (`max_lag_ms` in offhook.toml)");
            }
            return Err("overloaded");
        }
        Admission::Full => return Err("full"),
        Admission::Draining => return Err("draining"),
        Admission::Over => return Err("call_over"),
        Admission::Taken => return Err("no_randomness"),
    };
    let new = about.new_call(&id, carrier_call, deployment, &config.revision, started);
    about.budget =
        shared.store.admit(budget::wish(config, deployment, new)).await.map_err(|denied| budget::name(&denied))?;
    let mut settings = CallSettings::new(deployment, &config.revision, AudioFormat::PHONE, seed);
    about.prepare(&mut settings, &id, deployment, started);
    lookup::give(&shared.known, &mut settings);
    let settings = Arc::new(settings);
    let (client, twilio) = (shared.client.clone(), config.server.twilio.clone());
    let carrier = twilio::Carrier::new(way, client, twilio, carrier_call.to_owned(), Arc::clone(&shared.documents));
    tokio::spawn(task::answer(Setup {
        shared: Arc::clone(shared),
        slot,
        id,
        carrier_call: carrier_call.to_owned(),
        about,
        began,
        started,
        data: shared.data.clone(),
        deployment: Arc::clone(deployment),
        settings,
        carrier: Carrier::Twilio(Box::new(carrier)),
        claimed,
        commanded,
    }));
    Ok(answer)
}

/// Repeats what a call that is over was told last: nobody is there to hear more.
fn over(shared: &Shared) -> Response {
    shared.metrics.refused.add("call_over", 1);
    if shared.strangers.due() {
        tracing::warn!("a webhook tells of a call that is over; it is hung up");
    }
    xml(twiml::hang_up())
}

pub(super) fn refuse(shared: &Shared, why: &'static str, text: &str) -> Response {
    shared.metrics.refused.add(why, 1);
    tracing::info!(why, "call refused");
    xml(twiml::refuse(text, None))
}

/// What was said before, or is for the first time.
pub(in crate::serve) fn again(answer: Answer) -> Response {
    let Answer::Twilio(Twiml(twiml)) = answer;
    xml(twiml)
}

pub(in crate::serve) fn xml(twiml: String) -> Response {
    ([(header::CONTENT_TYPE, twiml::CONTENT_TYPE)], twiml).into_response()
}
