//! Twilio's REST API as far as calls need it: what to ask, and what the answer means. No HTTP client.

mod date;
pub mod numbers;
mod place;

use std::fmt;

use serde::Deserialize;

use super::manner::{self, Manner};
use crate::config::CarrierProfile;

pub use place::{Listed, NewCall, cancel, create_call, created, fetch_call, list_calls, listed, one_call};

/// A request: form-encoded (`GET`: as a query), with HTTP Basic `account_sid:auth_token`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestRequest {
    /// Which of the carrier's hosts is asked.
    pub host: Host,
    /// HTTP method.
    pub method: &'static str,
    /// Path under the API's base URL, beginning with a slash.
    pub path: String,
    /// Form fields.
    pub form: Vec<(&'static str, String)>,
}

/// One of the carrier's hosts. Their paths do not collide: a stand-in serves all of them from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Calls, numbers, addresses.
    Api,
    /// Regulatory papers.
    Numbers,
    /// Prices.
    Pricing,
}

/// Ends the call `call_sid` (`CA…`) of `account` (`AC…`).
pub fn hang_up(account: &str, call_sid: &str) -> RestRequest {
    update(account, call_sid, "Status", "completed".to_owned())
}

/// Takes the call away from its stream and runs `twiml` (at most 4000 characters) instead; see [`super::twiml::dial`].
pub fn transfer(account: &str, call_sid: &str, twiml: String) -> RestRequest {
    update(account, call_sid, "Twiml", twiml)
}

/// The same for a carrier that takes no document, but the URL of one.
pub fn transfer_by_url(account: &str, call_sid: &str, url: String) -> RestRequest {
    let mut request = update(account, call_sid, "Url", url);
    request.form.push(("Method", "POST".to_owned()));
    request
}

/// What an answer to one of these requests means. A call that is already over is what a hang-up wants, and leaves a
/// transfer nothing to do: both count as done.
pub fn outcome(status: u16, body: &[u8]) -> Result<(), RestError> {
    outcome_of(manner::of(CarrierProfile::Twilio), status, body)
}

/// The same of a carrier that has codes of its own.
///
/// # Errors
/// It was not done.
pub fn outcome_of(manner: &Manner, status: u16, body: &[u8]) -> Result<(), RestError> {
    if (200..300).contains(&status) {
        return Ok(());
    }
    let error = complaint(status, body);
    let over = |code| matches!(code, NOT_FOUND | NOT_IN_PROGRESS) || manner.call_over == Some(code);
    if status == 404 || error.code.is_some_and(over) {
        return Ok(());
    }
    Err(error)
}

fn complaint(status: u16, body: &[u8]) -> RestError {
    let Complaint { code, message, detail } = serde_json::from_slice(body).unwrap_or_default();
    // Newer services say it as RFC 9457 does.
    let message = if message.is_empty() { detail } else { message };
    let kind = match status {
        401 | 403 => RestErrorKind::Credentials,
        429 => RestErrorKind::Busy,
        500.. => RestErrorKind::Carrier,
        _ => RestErrorKind::Refused,
    };
    RestError { kind, status, code, message: message.chars().take(200).collect() }
}

/// Why the carrier did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestError {
    /// What kind of trouble it is.
    pub kind: RestErrorKind,
    /// HTTP status.
    pub status: u16,
    /// Twilio's error code, when the body has one.
    pub code: Option<u32>,
    /// Twilio's words, at most 200 characters; may be empty.
    pub message: String,
}

/// Kinds of [`RestError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestErrorKind {
    /// Account or token is wrong.
    Credentials,
    /// Too many requests: trying again later can help.
    Busy,
    /// The carrier failed: trying again can help.
    Carrier,
    /// The request itself is not accepted.
    Refused,
}

impl RestError {
    /// The same without Twilio's words, which may quote a phone number: for logs.
    pub fn brief(&self) -> String {
        RestError { message: String::new(), ..self.clone() }.to_string()
    }

    /// Whether the same request can succeed later.
    pub fn retry(&self) -> bool {
        matches!(self.kind, RestErrorKind::Busy | RestErrorKind::Carrier)
    }
}

impl fmt::Display for RestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            RestErrorKind::Credentials => "the carrier refuses twilio.account_sid and twilio.auth_token",
            RestErrorKind::Busy => "the carrier asks for fewer requests",
            RestErrorKind::Carrier => "the carrier failed",
            RestErrorKind::Refused => "the carrier refuses the request",
        };
        write!(f, "{what} (HTTP {}", self.status)?;
        if let Some(code) = self.code {
            write!(f, ", code {code}")?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for RestError {}

/// Twilio's code for "no such resource".
const NOT_FOUND: u32 = 20404;
/// Twilio's code for "call is not in-progress".
const NOT_IN_PROGRESS: u32 = 21220;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Complaint {
    code: Option<u32>,
    message: String,
    detail: String,
}

fn update(account: &str, call_sid: &str, field: &'static str, value: String) -> RestRequest {
    let path = format!("/2010-04-01/Accounts/{}/Calls/{}.json", segment(account), segment(call_sid));
    RestRequest { host: Host::Api, method: "POST", path, form: vec![(field, value)] }
}

/// An id as a path segment. Ids have only letters and digits; anything else stays inside its segment.
fn segment(id: &str) -> String {
    let mut out = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hang_up_completes_the_call() {
        let request = hang_up("AC1", "CA/../x");
        assert_eq!(request.path, "/2010-04-01/Accounts/AC1/Calls/CA%2F%2E%2E%2Fx.json");
        assert_eq!((request.method, request.form), ("POST", vec![("Status", "completed".to_owned())]));
    }

    #[test]
    fn a_call_that_is_over_already_is_done() {
        assert_eq!(outcome(200, b"{}"), Ok(()));
        assert_eq!(outcome(404, br#"{"code":20404,"message":"gone","status":404}"#), Ok(()));
        assert_eq!(outcome(404, b"not json"), Ok(()));
        assert_eq!(outcome(400, br#"{"code":21220,"message":"not in-progress","status":400}"#), Ok(()));
    }

    #[test]
    fn a_carrier_may_say_in_its_own_code_that_a_call_is_over_and_take_a_url_only() {
        let over = br#"{"code":10000,"message":"finished","status":400}"#;
        assert_eq!(outcome_of(manner::of(CarrierProfile::SignalWire), 400, over), Ok(()));
        assert!(outcome(400, over).is_err(), "at Twilio it is no such thing");
        let request = transfer_by_url("p", "c", "https://h.example/twilio/document".to_owned());
        let asked = [("Url", "https://h.example/twilio/document".to_owned()), ("Method", "POST".to_owned())];
        assert_eq!((request.method, request.form), ("POST", asked.to_vec()));
    }

    #[test]
    fn other_answers_are_errors_that_say_whether_to_try_again() {
        let error = outcome(401, br#"{"code":20003,"message":"Authenticate","status":401}"#).unwrap_err();
        assert_eq!((error.kind, error.code, error.retry()), (RestErrorKind::Credentials, Some(20003), false));
        assert!(error.to_string().contains("twilio.auth_token"), "{error}");
        assert!(outcome(429, b"").unwrap_err().retry());
        assert!(outcome(503, b"<html>").unwrap_err().retry());
        assert_eq!(outcome(400, br#"{"code":21218}"#).unwrap_err().kind, RestErrorKind::Refused);
    }
}
