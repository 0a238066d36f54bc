//! Errors of vendors, in whatever shape, as [`ModelError`]s.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use serde_json::value::RawValue;

use super::super::complaint::{self, Complaint, fit_to};
use super::super::lenient::{Text, or_empty, read};
use crate::talk::model::{ModelError, Said, WORDS_MAX};

/// What the headers of an answer say, as they stand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told<'a> {
    /// `Retry-After`: seconds, or a date.
    pub retry_after: Option<&'a str>,
    /// `retry-after-ms`.
    pub retry_after_ms: Option<&'a str>,
    /// `Date`, by which a date in `Retry-After` is meant.
    pub date: Option<&'a str>,
}

/// The error of an answer with another status than 2xx. `body`: what was read of its body. `now`: by the clock of who
/// asks, for answers without a `Date`.
pub fn refused(status: u16, told: &Told<'_>, body: &str, now: SystemTime) -> ModelError {
    let complaint = of_body(body);
    let wait_ms = retry_after_ms(told, now).or_else(|| complaint.retry_after_ms());
    let retry_after_s = wait_ms.map(|ms| ms.min(LONGEST_WAIT_MS).div_ceil(1_000));
    let mut said = said(&complaint);
    if said.message.is_empty() {
        said.message = fit_to(&title(body), WORDS_MAX);
    }
    ModelError::Status { code: status, said, retry_after_s }
}

/// An error within a stream: the value of its `error`, or the whole event.
pub(super) fn in_stream(raw: &str) -> ModelError {
    ModelError::InStream { said: said(&of_body(raw)) }
}

/// Whether an event that is no chunk is an error: `{"object":"error","message":…}`, as some write it.
pub(super) fn is_error(data: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        object: Option<Text<'a>>,
        #[serde(borrow)]
        message: Option<&'a RawValue>,
        #[serde(borrow)]
        detail: Option<&'a RawValue>,
        #[serde(borrow)]
        error_message: Option<&'a RawValue>,
    }
    let Some(event) = read::<Event<'_>>(data) else { return false };
    let told = [event.message, event.detail, event.error_message].into_iter().flatten();
    or_empty(event.object) == "error" || told.into_iter().any(|raw| raw.get().len() > 2 && raw.get() != "null")
}

fn said(complaint: &Complaint<'_>) -> Said {
    let text = |text: &Cow<'_, str>| Some(fit_to(text, WORDS_MAX)).filter(|text| !text.is_empty());
    Said {
        code: text(&complaint.code),
        kind: text(&complaint.kind),
        param: text(&complaint.param),
        message: fit_to(&complaint.message, WORDS_MAX),
    }
}

/// The error in a body, in whatever shape; of a list of errors the first.
fn of_body(body: &str) -> Complaint<'_> {
    let first = Some(body.trim()).filter(|body| body.starts_with('[')).and_then(read::<Vec<&RawValue>>);
    match first.as_ref().and_then(|list| list.first()) {
        Some(raw) => complaint::of_body(raw.get()),
        None => complaint::of_body(body),
    }
}

/// What a page for people is called.
fn title(body: &str) -> String {
    let lower = body.to_ascii_lowercase();
    let Some(from) = lower.find("<title").and_then(|at| Some(at + lower[at..].find('>')? + 1)) else {
        return String::new();
    };
    let to = lower[from..].find('<').map_or(body.len(), |length| from + length);
    body[from..to].trim().to_owned()
}

/// When to try again, by the headers.
fn retry_after_ms(told: &Told<'_>, now: SystemTime) -> Option<u64> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    if let Some(ms) = told.retry_after_ms.and_then(number).filter(|ms| *ms >= 0.0) {
        return Some(ms as u64);
    }
    let after = told.retry_after?;
    if let Some(seconds) = number(after) {
        return (seconds >= 0.0).then_some((seconds * 1_000.0) as u64);
    }
    let at = httpdate::parse_http_date(after.trim()).ok()?;
    let now = told.date.and_then(|date| httpdate::parse_http_date(date.trim()).ok()).unwrap_or(now);
    // A date that has passed says: at once.
    Some(at.duration_since(now).unwrap_or(Duration::ZERO).as_millis() as u64)
}

/// The longest wait that is believed, in ms: a day.
const LONGEST_WAIT_MS: u64 = 86_400_000;
