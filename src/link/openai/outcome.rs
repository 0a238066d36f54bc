//! How a connection that was refused or has ended is told to the engine, and which complaints end a session for good.

use std::borrow::Cow;

use serde::Deserialize;

use crate::engine::ModelEvent;

/// The connection has ended, with the WebSocket close code (`None`: without a close message) and reason.
///
/// Worth another try: an unexpected end, the codes on which the vendor's own clients try again (1001, 1005, 1006, 1011,
/// 1012, 1013, 1015), and 1000, since we never end a session that the call still needs.
pub fn closed(code: Option<u16>, reason: &str) -> ModelEvent<'static> {
    let retry =
        matches!(code, None | Some(1000 | 1001 | 1005 | 1006 | 1011 | 1012 | 1013 | 1015)) && !names_fatal(reason);
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
        408 | 425 | 429 => !names_fatal(body),
        500..=599 => true,
        _ => false,
    };
    let mut text = format!("HTTP {http_status}");
    let error = serde_json::from_str::<Body>(body).ok().and_then(|body| body.error);
    if let Some(error) = error {
        append(&mut text, error.code.or(error.kind).as_deref().unwrap_or(""));
        // Vendors put parts of the key into the words of these two.
        if !matches!(http_status, 401 | 403) {
            append(&mut text, error.message.as_deref().unwrap_or(""));
        }
    }
    ModelEvent::Closed { reason: Cow::Owned(text), retry }
}

/// Codes about quota, key, account and billing: no further session can work until a person has acted.
pub(super) const FATAL_CODES: [&str; 9] = [
    "insufficient_quota",
    "invalid_api_key",
    "account_deactivated",
    "billing_hard_limit_reached",
    "billing_not_active",
    "organization_deactivated",
    "access_terminated",
    "authentication_error",
    "permission_denied",
];

/// Error bodies as the API writes them: `{"error":{"code":…,"message":…,"type":…}}`.
#[derive(Deserialize)]
struct Body {
    error: Option<BodyError>,
}

#[derive(Deserialize)]
struct BodyError {
    code: Option<String>,
    message: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

fn names_fatal(text: &str) -> bool {
    FATAL_CODES.iter().any(|code| text.contains(code))
}

/// Adds `: detail`, shortened to what fits a line of the report.
fn append(text: &mut String, detail: &str) {
    const MAX_CHARS: usize = 200;
    if !detail.is_empty() {
        text.push_str(": ");
        text.extend(detail.chars().take(MAX_CHARS));
    }
}
