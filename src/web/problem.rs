//! *No*, as the API says it: `application/problem+json` (RFC 9457), one shape for everything that is refused.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::house::Refusal;
use crate::store::StoreError;

/// Media type of a [`Problem`].
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was refused, and what to do about it (RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Where it is explained: an address on this server.
    #[serde(rename = "type")]
    kind: String,
    /// What kind of refusal it is, in a few words; the same every time.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// Stable, in snake case: what programs go by.
    pub(crate) code: String,
    /// What is wrong this time, and what is allowed.
    pub(crate) detail: String,
    /// All fields that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(crate) errors: Vec<Wrong>,
    #[serde(skip)]
    headers: Vec<(HeaderName, String)>,
}

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Wrong {
    /// Where it is in the body, as a JSON pointer (RFC 6901); of a parameter of the address, `?` and its name.
    pub(crate) pointer: String,
    /// The same with dots, as documents name it; empty when it is the whole.
    pub(crate) field: String,
    /// Stable, in snake case.
    pub(crate) code: String,
    /// What is wrong, and what is allowed.
    pub(crate) message: String,
}

impl Wrong {
    /// Of a field by its dotted path, such as `schedule.activate_at`.
    pub(crate) fn field(field: &str, code: &str, message: impl Into<String>) -> Wrong {
        Wrong { pointer: pointer(field), field: field.to_owned(), code: code.to_owned(), message: message.into() }
    }

    /// Of a parameter of the address.
    pub(crate) fn parameter(name: &str, code: &str, message: impl Into<String>) -> Wrong {
        Wrong { pointer: format!("?{name}"), field: name.to_owned(), code: code.to_owned(), message: message.into() }
    }
}

/// A dotted path as a JSON pointer.
pub(crate) fn pointer(field: &str) -> String {
    let parts = field.split('.').filter(|part| !part.is_empty());
    parts.map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect()
}

impl Problem {
    /// Of a status, with a code and what is said this time.
    pub(crate) fn new(status: StatusCode, code: impl Into<String>, detail: impl Into<String>) -> Problem {
        let code = code.into();
        Problem {
            kind: format!("/docs/api#problem-{code}"),
            title: title(status),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            errors: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// Fields are wrong: all of them at once. One is told as the problem itself, several by `invalid`.
    pub(crate) fn wrong(errors: Vec<Wrong>) -> Problem {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let problem = match errors.as_slice() {
            [one] => Problem::new(status, one.code.as_str(), one.message.as_str()),
            [] => Problem::new(status, "invalid", "The request is wrong."),
            many => Problem::new(status, "invalid", format!("{} fields are wrong: see errors.", many.len())),
        };
        Problem { errors, ..problem }
    }

    /// What is asked for is not there, or not yours. `what`: `agent`, `call`, …
    pub(crate) fn absent(what: &str, id: &str) -> Problem {
        let id: String = id.chars().take(80).collect();
        Problem::new(StatusCode::NOT_FOUND, "not_found", format!("There is no {what} {id:?}."))
    }

    /// Not now; worth another try.
    pub(crate) fn unavailable(code: &str, detail: impl Into<String>, retry_after_s: u64) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
            .header(header::RETRY_AFTER, retry_after_s.max(1).to_string())
    }

    /// Our fault. `why` goes to the log, not to whoever asks.
    pub(crate) fn internal(why: &dyn std::fmt::Display) -> Problem {
        tracing::error!(error = %why, "a request failed");
        let detail = "Something went wrong on our side. The log says what.";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// The same, with the fields that are wrong.
    #[must_use]
    pub(crate) fn with(mut self, errors: Vec<Wrong>) -> Problem {
        self.errors = errors;
        self
    }

    /// The same, with a header.
    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Problem {
        self.headers.push((name, value.into()));
        self
    }

    /// Its HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Sets a header of an answer.
pub(crate) fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

/// One for each status.
fn title(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "The request cannot be read",
        401 => "Who asks is not known",
        402 | 403 => "Not allowed",
        404 => "Not there",
        405 => "No such method here",
        408 => "The request took too long",
        409 => "The state of things forbids it",
        412 => "It was changed meanwhile",
        413 => "Too large",
        415 => "Not a type of content that is read here",
        422 => "A field is wrong",
        428 => "Which version is meant has to be said",
        429 => "Too many requests",
        502 => "Another server refused",
        503 => "Not now",
        504 => "Another server did not answer",
        _ => "A failure of the server",
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut problem = Problem::new(status, refusal.code, refusal.message.as_str());
        if matches!(refusal.status, 429 | 503) {
            problem = problem.header(header::RETRY_AFTER, "1");
        }
        if refusal.status == 401 {
            problem = problem.header(header::WWW_AUTHENTICATE, "Bearer");
        }
        let field = refusal.field.map(|field| Wrong::field(field, refusal.code, refusal.message));
        Problem { errors: field.into_iter().collect(), ..problem }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(why) => Problem::new(StatusCode::CONFLICT, "refused", why),
            StoreError::Rule(refusal) => refusal.into(),
            StoreError::Gone => Problem::new(StatusCode::CONFLICT, "gone", "It is gone meanwhile."),
            error => {
                tracing::error!(%error, "a request failed: the store");
                Problem::unavailable("store", "The store cannot be used right now. Try again in a moment.", 1)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, headers) = (self.status(), self.headers.clone());
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}
