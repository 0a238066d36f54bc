//! A line that is lent to the carrier: how it finds back to its call, and what the carrier tells meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::oneshot;

use crate::engine::{Control, Effect, TransferOutcome};
use crate::link::twilio::twiml;

use super::Shared;
use super::media::Claim;
use super::registry::Command;
use super::trust::{Public, Signed};
use super::webhook::{self, TOKEN};

/// Beyond the time that the line may be away, for the carrier to open the stream again.
const RETURN: Duration = Duration::from_secs(60);

/// What a call's stream is connected by.
#[derive(Clone, Debug)]
pub(super) struct Way {
    public: Public,
    call: String,
}

impl Way {
    pub(super) fn new(public: Public, call: String) -> Self {
        Way { public, call }
    }

    /// TwiML that connects the stream which presents `token`.
    pub(super) fn connect(&self, token: &str) -> String {
        let (media, status) = self.urls();
        twiml::connect_stream(&media, &self.call, Some(&status), &[(TOKEN, token)])
    }

    /// TwiML that puts the caller through and asks `/twilio/transfer` when that is over.
    pub(super) fn dial(&self, number: &str, ring_s: u64) -> String {
        let action = self.public.url("/twilio/transfer");
        twiml::dial_or_ask(number, ring_s, &action, &self.public.url("/twilio/transfer-answered"))
    }

    /// TwiML that presses keys and connects the stream which presents `token`.
    pub(super) fn press(&self, digits: &str, token: &str) -> String {
        let (media, status) = self.urls();
        twiml::press_and_connect(digits, &media, &self.call, Some(&status), &[(TOKEN, token)])
    }

    fn urls(&self) -> (String, String) {
        (self.public.media(&Uri::from_static("/twilio/media")), self.public.url("/twilio/stream-status"))
    }
}

/// An effect for which the line leaves its stream: the TwiML that it takes, and where the line comes back.
pub(super) struct Lent {
    pub(super) twiml: String,
    pub(super) back: oneshot::Receiver<Claim>,
}

/// Prepares the line's return; `None` for an effect after which it does not come back.
pub(super) fn lend(shared: &Shared, way: &Way, effect: &Effect) -> Option<Lent> {
    let away_s = match effect {
        Effect::Transfer { back_after_s: Some(ring_s), .. } => *ring_s,
        Effect::SendDtmf(_) => 0,
        _ => return None,
    };
    let token = super::wall::token(&shared.random).ok()?;
    let (line, back) = oneshot::channel();
    let expires = Instant::now() + Duration::from_secs(away_s) + RETURN;
    if !shared.registry.renew(&way.call, &token, expires, way.connect(&token), line) {
        return None;
    }
    let twiml = match effect {
        Effect::Transfer { to, .. } => way.dial(to, away_s),
        Effect::SendDtmf(digits) => way.press(digits, &token),
        _ => return None,
    };
    Some(Lent { twiml, back })
}

/// `POST /twilio/transfer`: putting the caller through is over, one way or another. What is to be done with the caller?
pub(super) async fn transfer(State(shared): State<Arc<Shared>>, webhook: Signed) -> Response {
    let form = webhook.form;
    let Some(carrier_call) = form.get("CallSid") else {
        shared.metrics.rejected.add("fields", 1);
        return (StatusCode::BAD_REQUEST, "CallSid is needed\n").into_response();
    };
    // A caller who hung up while it rang needs no agent.
    let caller_left = form.get("CallStatus").is_some_and(|status| status != "in-progress");
    let outcome = match form.get("DialCallStatus") {
        Some("completed" | "answered") => TransferOutcome::Answered,
        Some("busy") => TransferOutcome::Busy,
        Some("no-answer") => TransferOutcome::NoAnswer,
        _ => TransferOutcome::Failed,
    };
    let command = if caller_left { Command::HungUp } else { Command::Control(Control::Transfer(outcome)) };
    shared.metrics.carrier_reports.add("transfer_over", 1);
    let back = shared.registry.way_back(carrier_call);
    shared.registry.command_carrier_call(carrier_call, command);
    match back {
        Some(back) if !caller_left && outcome != TransferOutcome::Answered => webhook::xml(back),
        _ => webhook::xml(twiml::hang_up()),
    }
}

/// `POST /twilio/transfer-answered`: somebody is talking to the caller. It names the other leg; ours is its parent.
pub(super) async fn answered(State(shared): State<Arc<Shared>>, webhook: Signed) -> Response {
    let form = webhook.form;
    shared.metrics.carrier_reports.add("transfer_answered", 1);
    if form.get("CallStatus") == Some("in-progress")
        && let Some(carrier_call) = form.get("ParentCallSid")
    {
        let command = Command::Control(Control::Transfer(TransferOutcome::Answered));
        shared.registry.command_carrier_call(carrier_call, command);
    }
    StatusCode::NO_CONTENT.into_response()
}
