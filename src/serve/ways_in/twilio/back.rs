//! What the carrier asks and tells of a line that left its stream: lent, or broken off.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use crate::engine::{Control, EndReason, TransferOutcome};
use crate::link::twilio::twiml;
use crate::serve::Shared;
use crate::serve::registry::{Command, Next};

use super::trust::Signed;
use super::webhook;

/// `POST /twilio/stream-over`: a call's stream is over, one way or another. What is to be done with the caller?
pub(in crate::serve) async fn stream_over(State(shared): State<Arc<Shared>>, webhook: Signed) -> Response {
    let Signed { form, config, at, .. } = webhook;
    let Some(carrier_call) = form.get("CallSid") else {
        shared.metrics.rejected.add("fields", 1);
        return (StatusCode::BAD_REQUEST, "CallSid is needed\n").into_response();
    };
    shared.metrics.carrier_reports.add("stream_over", 1);
    if matches!(form.get("CallStatus"), Some("completed" | "busy" | "failed" | "no-answer" | "canceled")) {
        shared.registry.command_carrier_call(carrier_call, Command::HungUp);
        return webhook::xml(twiml::hang_up());
    }
    let expires = at + Duration::from_secs(config.server.twilio.token_ttl_s);
    match shared.registry.ask_again(carrier_call, expires) {
        Next::Connect(back) => {
            shared.registry.command_carrier_call(carrier_call, Command::Control(Control::LineReturns));
            webhook::again(back)
        }
        next => {
            if next == Next::NeverConnected {
                // It is hung up on, and need not be waited for.
                let end = Control::EndNow(EndReason::NeverConnected);
                shared.registry.command_carrier_call(carrier_call, Command::Control(end));
            }
            webhook::xml(twiml::hang_up())
        }
    }
}

/// `POST /twilio/transfer`: putting the caller through is over, one way or another. What is to be done with the caller?
pub(in crate::serve) async fn transfer(State(shared): State<Arc<Shared>>, webhook: Signed) -> Response {
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
        Some(back) if !caller_left && outcome != TransferOutcome::Answered => webhook::again(back),
        _ => webhook::xml(twiml::hang_up()),
    }
}

/// `POST /twilio/document`: what is a call to do next, of which the carrier was told no more than where it is said?
pub(in crate::serve) async fn document(State(shared): State<Arc<Shared>>, webhook: Signed) -> Response {
    let Some(carrier_call) = webhook.form.get("CallSid") else {
        shared.metrics.rejected.add("fields", 1);
        return (StatusCode::BAD_REQUEST, "CallSid is needed\n").into_response();
    };
    shared.metrics.carrier_reports.add("document", 1);
    // One that nobody knows any more, as after a start anew, has nobody to talk to either.
    webhook::xml(shared.documents.get(carrier_call, webhook.at).unwrap_or_else(twiml::hang_up))
}

/// `POST /twilio/transfer-answered`: somebody is talking to the caller. It names the other leg; ours is its parent.
pub(in crate::serve) async fn answered(State(shared): State<Arc<Shared>>, webhook: Signed) -> Response {
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
