//! What a request says, read so that everything wrong is a [`Problem`] with a pointer: axum's own answers are text.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::problem::{Problem, Wrong};

/// A body of JSON, both ways. What is read must have no unknown fields: derive with `deny_unknown_fields`.
#[derive(Clone, Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        is_json(&request)?;
        let body = Bytes::from_request(request, state).await.map_err(unread)?;
        read(&body).map(Json)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// A body of JSON that may be left out.
#[derive(Clone, Debug)]
pub(crate) struct Maybe<T>(pub(crate) Option<T>);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Maybe<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let typed = is_json(&request);
        let body = Bytes::from_request(request, state).await.map_err(unread)?;
        if body.is_empty() {
            return Ok(Maybe(None));
        }
        typed?;
        read(&body).map(|value| Maybe(Some(value)))
    }
}

/// The parameters behind `?`. Unknown ones are refused (API-04): derive with `deny_unknown_fields`, and nothing flattened.
#[derive(Clone, Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let uri = joined(&parts.uri)?.unwrap_or_else(|| parts.uri.clone());
        match axum::extract::Query::<T>::try_from_uri(&uri) {
            Ok(axum::extract::Query(value)) => Ok(Query(value)),
            Err(rejection) => {
                let said = rejection.body_text();
                let said = said.strip_prefix("Failed to deserialize query string: ").unwrap_or(&said);
                let (name, message) = named(said);
                Err(Problem::wrong(vec![Wrong::parameter(&name, "parameter", message)]))
            }
        }
    }
}

/// No parameters at all: whatever stands behind `?` is refused.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// The parts of the path. One that cannot be what it stands for is not there.
#[derive(Clone, Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let is_text = !parts.uri.path().contains("%00");
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) if is_text => Ok(Path(value)),
            _ => Err(Problem::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at this address.")),
        }
    }
}

/// Reads a value of JSON and says where it is wrong.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if has_nul(body) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "json", NUL));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        match inner.classify() {
            serde_json::error::Category::Data => {
                let (name, message) = named(&inner.to_string());
                let path = if path == "." { name } else { path };
                let code = if message.starts_with("missing field") { "missing" } else { "body" };
                Problem::wrong(vec![Wrong::field(&path.replace('[', ".").replace(']', ""), code, message)])
            }
            _ => malformed(&inner),
        }
    })?;
    reader.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

/// What nothing that is kept can hold: databases take no such text.
const NUL: &str = "No text here has the character U+0000.";

/// Whether a text of some JSON has U+0000, which is always written as an escape.
fn has_nul(mut body: &[u8]) -> bool {
    while let Some(at) = body.iter().position(|byte| *byte == b'\\') {
        body = &body[at + 1..];
        if body.starts_with(b"u0000") {
            return true;
        }
        // An escaped backslash escapes nothing.
        body = body.get(1..).unwrap_or_default();
    }
    false
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "json", format!("The body is not JSON: {error}."))
}

/// The field that serde's words name, as far as they do, and the words without the place in the text.
fn named(said: &str) -> (String, String) {
    let said = said.split(" at line ").next().unwrap_or(said);
    let field = ["unknown field `", "missing field `", "duplicate field `"].iter().find_map(|begin| {
        let rest = said.split(begin).nth(1)?;
        rest.split('`').next()
    });
    // `limit: invalid digit found in string`, as paths are told.
    let path = || said.split_once(": ").map(|(name, _)| name).filter(|name| !name.contains(' '));
    let field = field.or_else(path).unwrap_or_default();
    (field.to_owned(), said.to_owned())
}

/// A parameter that stands there several times means any of its values: they are read as one with commas, see [`Several`].
///
/// # Errors
/// One has U+0000 in it.
fn joined(uri: &Uri) -> Result<Option<Uri>, Problem> {
    let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
    let Ok(axum::extract::Query(pairs)) = pairs else { return Ok(None) };
    if let Some((name, _)) = pairs.iter().find(|(name, value)| name.contains('\0') || value.contains('\0')) {
        return Err(Problem::wrong(vec![Wrong::parameter(&name.replace('\0', ""), "parameter", NUL)]));
    }
    let mut merged: Vec<(String, String)> = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        match merged.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => *values = format!("{values},{value}"),
            None => merged.push((name, value)),
        }
    }
    let url = reqwest::Url::parse_with_params("http://here/", &merged).ok();
    Ok(url.and_then(|url| format!("/?{}", url.query().unwrap_or_default()).parse().ok()))
}

/// Values of a parameter that may have several: with commas between them, or the parameter several times.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(from = "String")]
pub(crate) struct Several(pub(crate) Vec<String>);

impl From<String> for Several {
    fn from(text: String) -> Self {
        Several(text.split(',').map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned).collect())
    }
}

fn is_json(request: &Request) -> Result<(), Problem> {
    let encoding = request.headers().get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let detail = "A body is sent as it is: without Content-Encoding.";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_encoding", detail));
    }
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is = kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"));
    if is {
        return Ok(());
    }
    let detail = "A body is JSON: send Content-Type: application/json.";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", detail))
}

/// A body that was too large, or broke off.
fn unread(rejection: BytesRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        status => Problem::new(status, "body", "The body could not be read to its end."),
    }
}

pub(crate) fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The body is larger than this request may be (64 KiB).")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_has_the_character_that_databases_do_not_take() {
        let read = |body: &str| read::<serde_json::Value>(body.as_bytes()).map_err(|no| no.status().as_u16());
        for bad in [r#"{"name":"a\u0000b"}"#, r#"{"a\u0000":1}"#, r#"["\\\u0000"]"#] {
            assert_eq!(read(bad), Err(400), "{bad}");
        }
        for good in [r#"{"name":"a\\u0000"}"#, r#"["\u0001"]"#, r#"["u0000"]"#] {
            assert!(read(good).is_ok(), "{good}");
        }
        let joined = |uri: &str| joined(&uri.parse().unwrap()).map_err(|no| no.status().as_u16());
        assert_eq!(joined("/x?who=a%00").err(), Some(422));
        assert_eq!(joined("/x?%00=a").err(), Some(422));
        assert_eq!(joined("/x?a=1&a=2").unwrap().unwrap(), "/?a=1%2C2");
    }
}
