//! Chat completions of the built-in model: every field of a request is checked, and the answer is what the script says, or
//! JSON that fits the schema that was asked for.

mod answer;
mod embeddings;
mod request;
mod schema;
pub(super) mod script;
pub(super) mod serve;

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::outbox::ApiError;
use script::Completion;

/// An answer that is a refusal.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) body: String,
    /// A page for people, not JSON.
    pub(super) page: bool,
    pub(super) retry_after: Option<String>,
}

impl Refusal {
    /// Of a request that is wrong.
    pub(super) fn of(error: &ApiError) -> Refusal {
        let status = match error.code {
            "invalid_api_key" => 401,
            "model_not_found" => 404,
            _ => 400,
        };
        let body = json!({ "error": {
            "message": error.message, "type": "invalid_request_error", "param": error.param, "code": error.code
        } });
        Refusal { status, body: body.to_string(), page: false, retry_after: None }
    }

    /// A failure on purpose, if `completion` is one.
    pub(super) fn on_purpose(completion: &Completion, now: SystemTime) -> Option<Refusal> {
        let status = completion.status?;
        let kind = match status {
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        let body = match completion.page {
            true => format!("<html><head><title>{status} on purpose</title></head><body>Try again.</body></html>"),
            false => failure_body(completion, kind).to_string(),
        };
        let retry_after = completion.retry_after_s.map(|seconds| match completion.retry_after_is_date {
            true => httpdate::fmt_http_date(now + Duration::from_secs(seconds)),
            false => seconds.to_string(),
        });
        Some(Refusal { status, body, page: completion.page, retry_after })
    }
}

/// The error that `completion` tells of.
fn failure_body(completion: &Completion, kind: &str) -> Value {
    let message = completion.message.as_deref().unwrap_or("A failure on purpose.");
    let code = completion.code.as_deref().unwrap_or("failed_on_purpose");
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
}

#[cfg(test)]
mod tests;
