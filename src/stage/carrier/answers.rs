//! What is answered, and in which shape.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};

/// An answer before it is sent.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) sent: Sent,
}

#[derive(Clone, Debug)]
pub(super) enum Sent {
    Json(Value),
    Nothing,
    /// The connection breaks before a byte of the body.
    Dropped,
    /// In its middle.
    Cut(String),
    Page,
}

impl Said {
    pub(super) fn json(status: u16, body: Value) -> Said {
        Said { status, sent: Sent::Json(body) }
    }

    pub(super) fn error(status: u16, code: u32) -> Said {
        Said::json(status, error(status, code))
    }

    /// With words of its own.
    pub(super) fn told(status: u16, code: u32, message: &str) -> Said {
        let mut body = error(status, code);
        body["message"] = message.into();
        Said::json(status, body)
    }

    pub(super) fn nothing() -> Said {
        Said { status: 0, sent: Sent::Dropped }
    }

    pub(super) fn empty() -> Said {
        Said { status: 204, sent: Sent::Nothing }
    }

    pub(super) fn page(status: u16) -> Said {
        Said { status, sent: Sent::Page }
    }

    pub(super) fn text(&self) -> String {
        match &self.sent {
            Sent::Json(body) => body.to_string(),
            _ => String::new(),
        }
    }

    pub(super) fn changed(mut self, change: impl Fn(&mut Value)) -> Said {
        if let Sent::Json(body) = &mut self.sent {
            change(body);
        }
        self
    }

    pub(super) fn into_response(self) -> Response {
        match self.sent {
            Sent::Json(body) => json(self.status, &body),
            Sent::Nothing => super::empty(self.status),
            // A status that has no body could not break off in one.
            Sent::Dropped => broken(if matches!(self.status, 0 | 204) { 200 } else { self.status }, String::new()),
            Sent::Cut(text) => {
                let half = text.chars().take(text.chars().count() / 2).collect();
                broken(self.status, half)
            }
            Sent::Page => {
                (status(self.status), [(header::CONTENT_TYPE, "text/html")], "<html>Bad Gateway</html>").into_response()
            }
        }
    }
}

pub(super) fn json(code: u16, body: &Value) -> Response {
    (status(code), Json(body)).into_response()
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The head, some of the body, and the end of the connection.
fn broken(code: u16, begun: String) -> Response {
    let begun = stream::iter([Ok(Bytes::from(begun)), Err(std::io::Error::other("broken on purpose"))]);
    let mut response = (status(code), Body::from_stream(begun)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) fn error(status: u16, code: u32) -> Value {
    json!({
        "code": code, "message": words(code), "status": status,
        "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
    })
}

fn words(code: u32) -> &'static str {
    match code {
        20_001 => "Invalid parameter",
        20_003 => "Authenticate",
        20_004 => "Method not allowed",
        20_007 => "Page size is too large",
        20_404 => "The requested resource was not found",
        20_429 => "Too Many Requests",
        20_500 => "An internal server error has occurred",
        20_503 => "Service unavailable",
        21_402 => "Url is not valid",
        21_403 => "Method is not valid",
        21_404 => "Trial accounts are allowed only one Twilio number.",
        21_405 => "A VoiceFallbackUrl needs a VoiceUrl",
        21_421 => "PhoneNumber is not a valid phone number",
        21_422 => "This phone number is not available.",
        21_458 => "The phone number is not of this type",
        21_481 => "The PageToken is not valid",
        21_613 => "PhoneNumber requires a valid Identity and Address",
        21_615 => "The Address does not fit the phone number's locality",
        21_631 => "Phone Number Requires an Address but the 'AddressSid' parameter was empty.",
        21_649 => "Phone Number Requires an approved Bundle; its country and type have a Regulation.",
        _ => "Error",
    }
}

/// A page of a list of the API of 2010: one key beside those of paging.
pub(super) fn page(name: &str, all: &[Value], base: &str, form: &[(String, String)]) -> Result<Said, Said> {
    let part = part(all, form)?;
    let uri = |page: usize| format!("{base}?PageSize={}&Page={page}&PageToken={}", part.size, token(page));
    let next = (part.end < all.len()).then(|| uri(part.page + 1));
    Ok(Said::json(
        200,
        json!({
            name: all[part.start..part.end], "page": part.page, "page_size": part.size, "start": part.start,
            "end": part.end.saturating_sub(1), "uri": uri(part.page), "first_page_uri": uri(0), "next_page_uri": next,
            "previous_page_uri": part.page.checked_sub(1).map(uri),
        }),
    ))
}

/// The same of newer hosts: absolute, under `meta`.
pub(super) fn meta_page(name: &str, all: &[Value], base: &str, form: &[(String, String)]) -> Result<Said, Said> {
    let part = part(all, form)?;
    let url = |page: usize| format!("{base}?PageSize={}&Page={page}&PageToken={}", part.size, token(page));
    let next = (part.end < all.len()).then(|| url(part.page + 1));
    Ok(Said::json(
        200,
        json!({
            name: all[part.start..part.end],
            "meta": {
                "key": name, "page": part.page, "page_size": part.size, "first_page_url": url(0), "url": url(part.page),
                "previous_page_url": part.page.checked_sub(1).map(url), "next_page_url": next,
            },
        }),
    ))
}

struct Part {
    page: usize,
    size: usize,
    start: usize,
    end: usize,
}

fn part(all: &[Value], form: &[(String, String)]) -> Result<Part, Said> {
    let get = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let size = match get("PageSize").map(str::parse::<usize>) {
        None => 50,
        Some(Ok(size)) if (1..=1_000).contains(&size) => size,
        Some(_) => return Err(Said::error(400, 20_007)),
    };
    let page = get("Page").map_or(Ok(0), str::parse::<usize>).map_err(|_| Said::error(400, 20_001))?;
    if page > 0 && get("PageToken") != Some(token(page).as_str()) {
        return Err(Said::error(400, 21_481));
    }
    let start = (page * size).min(all.len());
    Ok(Part { page, size, start, end: (start + size).min(all.len()) })
}

/// Fails when it is altered.
fn token(page: usize) -> String {
    format!("PA{:032x}", (page as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835))
}
