//! Calls that are placed: asking for one, finding it again, taking it back.

use serde::Deserialize;

use super::date::seconds;
use super::{Host, RestError, RestRequest, complaint, segment, update};

/// A call to be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCall {
    /// The number to ring (E.164).
    pub to: String,
    /// A number of ours (E.164).
    pub from: String,
    /// Asked for TwiML when somebody picks up. Of a query, parameters stand in alphabetical order.
    pub url: String,
    /// Told of `initiated`, `ringing`, `answered` and `completed`.
    pub status_callback: String,
    /// Seconds that it rings.
    pub ring_s: u64,
    /// Seconds after which the carrier ends it, whatever happens here; `None`: the carrier's own limit.
    pub time_limit_s: Option<u64>,
    /// Told who picked up; `None`: nobody asks. The call goes on meanwhile.
    pub answered_by_callback: Option<String>,
}

/// Rings a number.
pub fn create_call(account: &str, call: &NewCall) -> RestRequest {
    let mut form = vec![
        ("To", call.to.clone()),
        ("From", call.from.clone()),
        ("Url", call.url.clone()),
        ("Method", "POST".to_owned()),
        ("StatusCallback", call.status_callback.clone()),
        ("StatusCallbackMethod", "POST".to_owned()),
    ];
    for event in ["initiated", "ringing", "answered", "completed"] {
        form.push(("StatusCallbackEvent", event.to_owned()));
    }
    form.push(("Timeout", call.ring_s.to_string()));
    if let Some(time_limit_s) = call.time_limit_s {
        form.push(("TimeLimit", time_limit_s.to_string()));
    }
    if let Some(callback) = &call.answered_by_callback {
        // The end of a machine's greeting is wanted; without AsyncAmd the carrier would hold the call until then.
        form.push(("MachineDetection", "DetectMessageEnd".to_owned()));
        form.push(("AsyncAmd", "true".to_owned()));
        form.push(("AsyncAmdStatusCallback", callback.clone()));
        form.push(("AsyncAmdStatusCallbackMethod", "POST".to_owned()));
    }
    RestRequest {
        host: Host::Api,
        method: "POST",
        path: format!("/2010-04-01/Accounts/{}/Calls.json", segment(account)),
        form,
    }
}

/// The latest calls from one number to another. Not by their beginning: a call that waits to be placed has none yet.
pub fn list_calls(account: &str, to: &str, from: &str) -> RestRequest {
    let form = vec![("To", to.to_owned()), ("From", from.to_owned()), ("PageSize", "50".to_owned())];
    RestRequest {
        host: Host::Api,
        method: "GET",
        path: format!("/2010-04-01/Accounts/{}/Calls.json", segment(account)),
        form,
    }
}

/// How a call is.
pub fn fetch_call(account: &str, call_sid: &str) -> RestRequest {
    let path = format!("/2010-04-01/Accounts/{}/Calls/{}.json", segment(account), segment(call_sid));
    RestRequest { host: Host::Api, method: "GET", path, form: Vec::new() }
}

/// Takes a call back that nobody has answered. One that was answered is refused (21220, see [`super::outcome`]).
pub fn cancel(account: &str, call_sid: &str) -> RestRequest {
    update(account, call_sid, "Status", "canceled".to_owned())
}

/// A call as the carrier lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// `CA…`.
    pub sid: String,
    /// `queued`, `ringing`, `in-progress`, `completed`, `busy`, `failed`, `no-answer` or `canceled`.
    pub status: String,
    /// Seconds since 1970; `None`: the carrier does not say.
    pub created_s: Option<u64>,
    /// `inbound`, `outbound-api` or `outbound-dial`.
    pub direction: String,
}

/// The answer to [`create_call`].
///
/// # Errors
/// The call was refused, or (5xx) nobody knows whether it was placed.
pub fn created(status: u16, body: &[u8]) -> Result<Listed, RestError> {
    one_call(status, body)
}

/// The answer to [`fetch_call`].
///
/// # Errors
/// There is no such call, or the carrier does not say.
pub fn one_call(status: u16, body: &[u8]) -> Result<Listed, RestError> {
    match serde_json::from_slice::<Call>(body) {
        Ok(call) if (200..300).contains(&status) && !call.sid.is_empty() => Ok(call.into()),
        // A success that names no call is a failure of the carrier's: what it did is not known.
        _ => Err(complaint(if (200..300).contains(&status) { 502 } else { status }, body)),
    }
}

/// The answer to [`list_calls`].
///
/// # Errors
/// The carrier does not say.
pub fn listed(status: u16, body: &[u8]) -> Result<Vec<Listed>, RestError> {
    match serde_json::from_slice::<Page>(body) {
        Ok(page) if (200..300).contains(&status) => Ok(page.calls.into_iter().map(Listed::from).collect()),
        _ => Err(complaint(if (200..300).contains(&status) { 502 } else { status }, body)),
    }
}

#[derive(Deserialize)]
struct Page {
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    sid: String,
    #[serde(default)]
    status: String,
    date_created: Option<String>,
    #[serde(default)]
    direction: String,
}

impl From<Call> for Listed {
    fn from(call: Call) -> Self {
        let created_s = call.date_created.as_deref().and_then(seconds);
        Listed { sid: call.sid, status: call.status, created_s, direction: call.direction }
    }
}

#[cfg(test)]
mod tests {
    use super::super::RestErrorKind;
    use super::*;

    fn call() -> NewCall {
        NewCall {
            to: "+15550100200".to_owned(),
            from: "+15550100100".to_owned(),
            url: "https://h.example/twilio/voice?call=c1".to_owned(),
            status_callback: "https://h.example/twilio/call-status?call=c1".to_owned(),
            ring_s: 40,
            time_limit_s: Some(700),
            answered_by_callback: None,
        }
    }

    #[test]
    fn a_call_is_asked_for_with_what_tells_of_it() {
        let request = create_call("AC1", &call());
        assert_eq!((request.method, request.path.as_str()), ("POST", "/2010-04-01/Accounts/AC1/Calls.json"));
        let all =
            |name: &str| request.form.iter().filter(|(n, _)| *n == name).map(|(_, v)| v.as_str()).collect::<Vec<_>>();
        assert_eq!(all("StatusCallbackEvent"), ["initiated", "ringing", "answered", "completed"]);
        assert_eq!((all("Timeout"), all("TimeLimit")), (vec!["40"], vec!["700"]));
        assert!(all("MachineDetection").is_empty() && all("AsyncAmd").is_empty());
        let amd = Some("https://h.example/twilio/amd?call=c1".to_owned());
        let request = create_call("AC1", &NewCall { answered_by_callback: amd, time_limit_s: None, ..call() });
        let get = |name: &str| request.form.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str());
        assert_eq!((get("MachineDetection"), get("AsyncAmd")), (Some("DetectMessageEnd"), Some("true")));
        assert_eq!(get("TimeLimit"), None);
    }

    #[test]
    fn answers_name_the_call_or_say_why_there_is_none() {
        let body = br#"{"sid":"CA1","status":"queued","date_created":"Fri, 20 Nov 2026 23:18:10 +0000","direction":"outbound-api","price":null}"#;
        let call = created(201, body).unwrap();
        assert_eq!((call.sid.as_str(), call.status.as_str(), call.created_s), ("CA1", "queued", Some(1_795_216_690)));
        let error = created(400, br#"{"code":21211,"message":"Invalid 'To' Phone Number","status":400}"#).unwrap_err();
        assert_eq!((error.kind, error.code), (RestErrorKind::Refused, Some(21_211)));
        assert_eq!(created(404, b"{}").unwrap_err().kind, RestErrorKind::Refused, "no such account is no success");
        assert_eq!(created(201, b"<html>").unwrap_err().kind, RestErrorKind::Carrier);
        let page = br#"{"calls":[{"sid":"CA2","status":"ringing","date_created":null}],"page":0}"#;
        assert_eq!(listed(200, page).unwrap()[0].created_s, None);
        assert!(listed(200, b"[]").is_err() && listed(503, b"").unwrap_err().retry());
    }
}
