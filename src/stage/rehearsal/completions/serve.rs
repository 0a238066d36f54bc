//! Chat completions over HTTP.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};

use super::super::leg::Cut;
use super::super::outbox::ApiError;
use super::super::server::{Host, keep};
use super::answer::{Answer, Step};
use super::{Refusal, embeddings, request};

/// `POST /v1/chat/completions`.
pub(in super::super) async fn complete(
    State(host): State<Arc<Host>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let script = &host.shared.script;
    let number = host.asked.fetch_add(1, Ordering::Relaxed) + 1;
    let body = match understood(&host, &headers, &body) {
        Ok(body) => body,
        Err(error) => return refuse(&Refusal::of(&error), number),
    };
    keep(&host.completions, body.clone());
    let request = match request::read(&body, &script.chat) {
        Ok(request) => request,
        Err(error) => return refuse(&Refusal::of(&error), number),
    };
    let next = {
        let mut given = host.given.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let next = given.next(&script.completions, &request.model);
        next.map(|(index, one)| (one.name(index), one.clone()))
    };
    let (name, scripted) = next.unwrap_or_else(|| ("otherwise".to_owned(), Default::default()));
    // Who goes away meanwhile is no longer answered.
    let waiting = Unanswered(Some(Arc::clone(&host)));
    tokio::time::sleep(Duration::from_millis(scripted.think_ms)).await;
    if scripted.fault.never {
        std::future::pending::<Infallible>().await;
    }
    waiting.answered();
    if scripted.fault.reset {
        cut.reset();
    }
    let now = SystemTime::now();
    if let Some(refusal) = Refusal::on_purpose(&scripted, now) {
        return refuse(&refusal, number);
    }
    let created = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let answer = Answer::new(&request, (name, &scripted), &script.chat, number, created);
    let request_id = [("x-request-id", format!("req_{number}"))];
    if !request.stream {
        return (request_id, axum::Json(answer.whole())).into_response();
    }
    let head = [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (request_id, head, Body::from_stream(play(answer.stream(), host.clone()))).into_response()
}

/// `GET /v1/models`.
pub(in super::super) async fn models(State(host): State<Arc<Host>>, headers: HeaderMap) -> Response {
    if host.is_stranger(&headers) {
        return refuse(&Refusal::of(&wrong_key()), 0);
    }
    let named = &host.shared.script.chat.models;
    let all: Vec<Value> = match named.is_empty() {
        true => vec![model("rehearsal")],
        false => named.iter().map(|name| model(name)).collect(),
    };
    axum::Json(json!({ "object": "list", "data": all })).into_response()
}

/// `GET /v1/models/{model}`.
pub(in super::super) async fn one_model(
    State(host): State<Arc<Host>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    if host.is_stranger(&headers) {
        return refuse(&Refusal::of(&wrong_key()), 0);
    }
    match request::known(&name, &host.shared.script.chat) {
        Ok(()) => axum::Json(model(&name)).into_response(),
        Err(error) => refuse(&Refusal::of(&error), 0),
    }
}

/// `POST /v1/embeddings`.
pub(in super::super) async fn embed(State(host): State<Arc<Host>>, headers: HeaderMap, body: Bytes) -> Response {
    let body = understood(&host, &headers, &body);
    match body.and_then(|body| embeddings::answer(&body, &host.shared.script.chat)) {
        Ok(answer) => axum::Json(answer).into_response(),
        Err(error) => refuse(&Refusal::of(&error), 0),
    }
}

/// The body of a request, as JSON.
fn understood(host: &Host, headers: &HeaderMap, body: &[u8]) -> Result<Value, ApiError> {
    if host.is_stranger(headers) {
        return Err(wrong_key());
    }
    let words = "We could not parse the JSON body of your request.";
    serde_json::from_slice(body).map_err(|_| ApiError::new("invalid_json", words))
}

fn wrong_key() -> ApiError {
    ApiError::new("invalid_api_key", "Incorrect API key provided.")
}

fn model(name: &str) -> Value {
    json!({ "id": name, "object": "model", "created": 1_795_000_000, "owned_by": "offhook", "shutdown_date": null })
}

fn refuse(refusal: &Refusal, number: u64) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    let kind = if refusal.page { "text/html" } else { "application/json" };
    let head = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::HeaderName::from_static("x-request-id"), format!("req_{number}")),
    ];
    let mut answer = (status, head, refusal.body.clone()).into_response();
    if let Some(after) = refusal.retry_after.as_ref().and_then(|after| after.parse().ok()) {
        answer.headers_mut().insert(header::RETRY_AFTER, after);
    }
    answer
}

/// The steps of a stream, one after the other.
fn play(steps: Vec<Step>, host: Arc<Host>) -> impl stream::Stream<Item = io::Result<String>> {
    let waiting = Unanswered(Some(host));
    stream::unfold((steps.into_iter(), waiting), |(mut steps, waiting)| async move {
        loop {
            match steps.next() {
                None => {
                    waiting.answered();
                    return None;
                }
                Some(Step::Wait(time)) => tokio::time::sleep(time).await,
                Some(Step::Send(text)) => return Some((Ok(text), (steps, waiting))),
                Some(Step::Stall) => std::future::pending::<()>().await,
                Some(Step::Cut) => {
                    waiting.answered();
                    // What was sent is written before the connection goes: the connection writes when nothing is ready.
                    tokio::task::yield_now().await;
                    return Some((Err(io::ErrorKind::ConnectionAborted.into()), (steps, Unanswered(None))));
                }
            }
        }
    })
}

/// Counts an answer that was not waited for.
struct Unanswered(Option<Arc<Host>>);

impl Unanswered {
    fn answered(mut self) {
        self.0.take();
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(host) = &self.0 {
            host.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}
