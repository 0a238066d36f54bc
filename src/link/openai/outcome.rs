//! How a connection that was refused or has ended is told to the engine, and which complaints end a session for good.

use std::borrow::Cow;

use crate::engine::ModelEvent;

use crate::link::complaint::{self, fit, says_fatal};

/// The connection has ended, with the WebSocket close code (`None`: without a close message) and reason.
///
/// Worth another try: an unexpected end, the codes on which the vendor's own clients try again (1001, 1005, 1006, 1011,
/// 1012, 1013, 1015), and 1000, since we never end a session that the call still needs.
pub fn closed(code: Option<u16>, reason: &str) -> ModelEvent<'static> {
    let retry =
        matches!(code, None | Some(1000 | 1001 | 1005 | 1006 | 1011 | 1012 | 1013 | 1015)) && !says_fatal(reason);
    let mut text = match code {
        Some(code) => format!("closed with {code}"),
        None => "connection lost".to_owned(),
    };
    append(&mut text, reason);
    ModelEvent::Closed { reason: Cow::Owned(text), retry }
}

/// The upgrade was answered with an HTTP status instead of a session.
///
/// Worth another try: 408, 425, 429 unless it is about quota or billing, and every 5xx.
pub fn refused(http_status: u16, body: &str) -> ModelEvent<'static> {
    let retry = match http_status {
        408 | 425 | 429 => !says_fatal(body),
        500..=599 => true,
        _ => false,
    };
    let mut text = format!("HTTP {http_status}");
    append(&mut text, &complaint::of_body(body).words());
    ModelEvent::Closed { reason: Cow::Owned(text), retry }
}

/// Adds `: detail`, fit for a line of the report.
fn append(text: &mut String, detail: &str) {
    if !detail.is_empty() {
        text.push_str(": ");
        text.push_str(&fit(detail));
    }
}
