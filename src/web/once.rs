//! Twice is once: keys of repetitions (API-05), and changes that name the version they were made upon (API-06).

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hmac};
use serde::{Deserialize, Serialize};

use super::extract::too_large;
use super::problem::Problem;
use super::{Api, MAX_BODY_BYTES, most_bytes};
use crate::base::hex::hex;
use crate::store::KeyTaken;

/// Characters of a key.
const MAX_KEY: usize = 200;
/// The largest answer that is kept; a repetition of one that is larger is carried out again.
const MAX_ANSWER: usize = 256 << 10;
/// The largest answer that is read at all; none of ours comes near.
const LARGEST_ANSWER: usize = 64 << 20;
/// The pauses before an answer is noted again that could not be.
const AGAIN: [Duration; 6] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(8),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];
/// Routes that keep their keys themselves, beside what they do: more than a day, or over a server that is killed meanwhile.
const OWN: &[&str] = &["/api/v1/calls", "/api/v1/numbers"];
/// What of an answer's headers is kept.
const KEPT: [HeaderName; 3] = [header::CONTENT_TYPE, header::LOCATION, header::ETAG];

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Carries a POST out once for each `Idempotency-Key` of each credential, for a day (draft-ietf-httpapi-idempotency-key-header).
pub(super) async fn once(State(api): State<Api>, request: Request, next: Next) -> Response {
    let own = request.extensions().get::<MatchedPath>().is_some_and(|path| OWN.contains(&path.as_str()));
    let dry = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "dry_run=true"));
    let wanted = request.method() == Method::POST && request.headers().contains_key(KEY) && !own && !dry;
    // Who is not known is carried out again: without a credential, nobody's key is anybody's.
    if !wanted || request.extensions().get::<super::Who>().is_none() {
        return next.run(request).await;
    }
    match keyed(&api, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn keyed(api: &Api, request: Request, next: Next) -> Result<Response, Problem> {
    let key = key(request.headers())?.unwrap_or_default().to_owned();
    let Some(credential) = credential(request.headers()) else { return Ok(next.run(request).await) };
    let seal = Seal::new(credential, &key);
    let (parts, body) = request.into_parts();
    let most = parts.extensions.get::<MatchedPath>().map_or(MAX_BODY_BYTES, |path| most_bytes(path.as_str()));
    let body = to_bytes(body, most).await.map_err(|_| too_large())?;
    let hash = hash(&[parts.method.as_str().as_bytes(), parts.uri.to_string().as_bytes(), &body]);
    let store = api.handle.store();
    match store.take_key(&seal.id, &hash).await? {
        KeyTaken::New => {}
        KeyTaken::Other => {
            let detail = "This Idempotency-Key was used for another request; a new request needs a new key.";
            return Err(Problem::new(StatusCode::CONFLICT, "key_reused", detail));
        }
        KeyTaken::Running => {
            let detail = "The request with this Idempotency-Key is still being carried out. Try again in a moment.";
            return Err(Problem::new(StatusCode::CONFLICT, "key_busy", detail).header(header::RETRY_AFTER, "1"));
        }
        KeyTaken::Answered(sealed) => {
            return seal.open(&sealed).map(again).ok_or_else(|| Problem::internal(&"a kept answer cannot be opened"));
        }
    }
    // Carried out to its end, whether whoever asked stays for the answer or not.
    let (api, request) = (api.clone(), Request::from_parts(parts, Body::from(body)));
    let done = tokio::spawn(async move {
        // One that fails in the middle leaves no answer, and its key is free again.
        let (response, kept) = match tokio::spawn(next.run(request)).await {
            Ok(response) => kept(response).await,
            Err(error) => (Problem::internal(&error).into_response(), None),
        };
        let sealed = kept.and_then(|kept| seal.close(&kept));
        if let Err(error) = api.handle.store().answer_key(&seal.id, sealed.clone()).await {
            tracing::warn!(%error, "an answer is not kept for its Idempotency-Key yet");
            tokio::spawn(note(api, seal.id, sealed));
        }
        response
    });
    done.await.map_err(|error| Problem::internal(&error))
}

/// Notes an answer while the store has trouble: until it is noted, its key is in use.
async fn note(api: Api, id: String, sealed: Option<String>) {
    for pause in AGAIN {
        tokio::time::sleep(pause).await;
        if api.handle.store().answer_key(&id, sealed.clone()).await.is_ok() {
            return;
        }
    }
    tracing::error!("an answer is not kept for its Idempotency-Key, which stays in use for a day");
}

/// An answer, and what is kept of it: nothing of one that came to nothing by no fault of the request.
async fn kept(response: Response) -> (Response, Option<Kept>) {
    let status = response.status();
    let passing = status.is_server_error() || matches!(status.as_u16(), 401 | 403 | 408 | 409 | 412 | 428 | 429);
    if passing {
        return (response, None);
    }
    let (parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_ANSWER).await else {
        return (Problem::internal(&"an answer is too large").into_response(), None);
    };
    if body.len() > MAX_ANSWER {
        return (Response::from_parts(parts, Body::from(body)), None);
    }
    let header = |name: &HeaderName| Some((name.to_string(), parts.headers.get(name)?.to_str().ok()?.to_owned()));
    let kept = Kept {
        status: parts.status.as_u16(),
        headers: KEPT.iter().filter_map(header).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    (Response::from_parts(parts, Body::from(body)), Some(kept))
}

fn again(kept: Kept) -> Response {
    let mut response = Response::new(Body::from(kept.body));
    *response.status_mut() = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    for (name, value) in kept.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// The key of a request, if it has one.
///
/// # Errors
/// It is none.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(key) = headers.get(KEY) else { return Ok(None) };
    let key = key.to_str().unwrap_or_default().trim_matches('"');
    if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(|b| b.is_ascii_graphic()) {
        let detail = format!("The header Idempotency-Key must be 1 to {MAX_KEY} visible characters.");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "key", detail));
    }
    Ok(Some(key))
}

/// The key of a request that costs money or rings somebody: there must be one.
///
/// # Errors
/// There is none.
pub(crate) fn required_key(headers: &HeaderMap) -> Result<&str, Problem> {
    key(headers)?.ok_or_else(|| {
        let detail = format!(
            "The header Idempotency-Key must be 1 to {MAX_KEY} visible characters, new for each request that is meant: \
             repeated with the same body it is carried out once."
        );
        Problem::new(StatusCode::BAD_REQUEST, "key", detail)
    })
}

/// What a request shows of who asks.
fn credential(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(header::AUTHORIZATION).or_else(|| headers.get(header::COOKIE)).map(HeaderValue::as_bytes)
}

fn hash(parts: &[&[u8]]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    hex(context.finish().as_ref())
}

/// Answers may hold secrets that are shown once, so they are kept sealed: only who shows the same credential with the same
/// key can have them opened, and not who reads the store.
struct Seal {
    id: String,
    key: [u8; 32],
}

impl Seal {
    fn new(credential: &[u8], key: &str) -> Seal {
        let base = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, credential), key.as_bytes());
        let base = hmac::Key::new(hmac::HMAC_SHA256, base.as_ref());
        let mut sealing = [0; 32];
        sealing.copy_from_slice(hmac::sign(&base, b"seal").as_ref());
        Seal { id: hex(hmac::sign(&base, b"id").as_ref()), key: sealing }
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, &self.key).ok().map(LessSafeKey::new)
    }

    fn close(&self, kept: &Kept) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut sealed = serde_json::to_vec(kept).ok()?;
        let of = Nonce::assume_unique_for_key(nonce);
        self.cipher()?.seal_in_place_append_tag(of, Aad::from(self.id.as_bytes()), &mut sealed).ok()?;
        let all: Vec<u8> = nonce.iter().copied().chain(sealed).collect();
        Some(base64_simd::STANDARD.encode_to_string(all))
    }

    fn open(&self, sealed: &str) -> Option<Kept> {
        let mut all = base64_simd::STANDARD.decode_to_vec(sealed).ok()?;
        let mut rest = all.split_off(NONCE_LEN.min(all.len()));
        let nonce = Nonce::try_assume_unique_for_key(&all).ok()?;
        let open = self.cipher()?.open_in_place(nonce, Aad::from(self.id.as_bytes()), &mut rest).ok()?.to_vec();
        serde_json::from_slice(&open).ok()
    }
}

/// A strong ETag of a revision.
pub(crate) fn etag(revision: impl std::fmt::Display) -> (HeaderName, String) {
    (header::ETAG, format!("\"{revision}\""))
}

/// Which version a change is made upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Upon {
    /// `If-Match: "…"`: this revision, or one of several.
    Versions(Vec<String>),
    /// `If-Match: *`: whichever there is.
    Any,
    /// `If-None-Match: *`: there must be none.
    None,
}

impl Upon {
    /// What a change says of it.
    ///
    /// # Errors
    /// 428: nothing (API-06); 400: something else than ETags.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Upon, Problem> {
        let said = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        if said(header::IF_NONE_MATCH) == Some("*") {
            return Ok(Upon::None);
        }
        match said(header::IF_MATCH) {
            None => {
                let detail =
                    "Say which version the change is made upon: If-Match with the ETag that GET gave, or * for any.";
                Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "if_match", detail))
            }
            Some("*") => Ok(Upon::Any),
            Some(tags) => {
                let tags: Option<Vec<String>> = tags.split(',').map(|tag| Some(unquoted(tag)?.to_owned())).collect();
                tags.map(Upon::Versions).ok_or_else(|| {
                    Problem::new(StatusCode::BAD_REQUEST, "if_match", "If-Match holds ETags in quotes, or *.")
                })
            }
        }
    }

    /// Whether it is `current`, the revision there is.
    ///
    /// # Errors
    /// 412 `stale`, with the current ETag.
    pub(crate) fn check(&self, current: Option<&str>) -> Result<(), Problem> {
        let fits = match (self, current) {
            (Upon::None, None) => true,
            (Upon::Any, Some(_)) => true,
            (Upon::Versions(versions), Some(current)) => versions.iter().any(|version| version == current),
            _ => false,
        };
        if fits { Ok(()) } else { Err(stale(current)) }
    }
}

/// Somebody else was faster.
pub(crate) fn stale(current: Option<&str>) -> Problem {
    let detail = match current {
        Some(_) => "It was changed meanwhile: read it again, and see what is different.",
        None => "It is not there any more.",
    };
    let problem = Problem::new(StatusCode::PRECONDITION_FAILED, "stale", detail);
    current.map_or(problem.clone(), |current| {
        let (name, value) = etag(current);
        problem.header(name, value)
    })
}

/// Whether the client has this version already, so that it need not be sent (`If-None-Match`).
pub(crate) fn is_known(headers: &HeaderMap, revision: &str) -> bool {
    let said = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(',').any(|tag| unquoted(tag) == Some(revision))
}

fn unquoted(tag: &str) -> Option<&str> {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    tag.strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn api_05_an_answer_that_is_too_large_to_be_kept_is_given_all_the_same() {
        for (bytes, is_kept) in [(MAX_ANSWER, true), (MAX_ANSWER + 1, false)] {
            let (response, kept) = kept(Response::new(Body::from(vec![b'x'; bytes]))).await;
            assert_eq!((response.status(), kept.is_some()), (StatusCode::OK, is_kept));
            assert_eq!(to_bytes(response.into_body(), usize::MAX).await.unwrap().len(), bytes);
        }
    }
}
