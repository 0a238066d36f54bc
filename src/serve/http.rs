//! The HTTP face: routes, limits, and the pages for operations.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::lines::twilio::documents;
use super::ways_in::twilio::{back, gate, media, webhook};
use super::{Shared, api, doors};

/// The largest webhook; the carrier's own are a few kilobytes.
const MAX_BODY_BYTES: usize = 64 << 10;
/// Time for one request with its body. A media stream is no longer a request once it is upgraded.
const REQUEST: Duration = Duration::from_secs(10);
/// The same of one that adds a document to what an agent knows.
const DOCUMENT: Duration = Duration::from_secs(60);

/// The routes of each address that is listened on.
pub(super) struct Faces {
    /// What the world may ask: the carrier's webhooks and media, and whether the server is well; where there is one address,
    /// everything.
    pub(super) public: Router,
    /// API, console and operations, where they have an address of their own.
    pub(super) people: Option<Router>,
}

/// All routes; `web`: those that are not the server's own. `apart`: people come by an address of their own, and find nothing of
/// theirs at the other.
pub(super) fn faces(shared: &Arc<Shared>, web: Option<Router>, apart: bool) -> Faces {
    let carrier = Router::new()
        .route("/twilio/voice", post(webhook::voice).get(webhook::voice))
        .route(gate::PATH, post(webhook::access))
        .route("/twilio/media", get(media::upgrade))
        .route("/twilio/stream-status", post(webhook::stream_status))
        .route("/twilio/call-status", post(webhook::call_status))
        .route("/twilio/stream-over", post(back::stream_over))
        .route("/twilio/transfer", post(back::transfer))
        .route(documents::PATH, post(back::document))
        .route("/twilio/transfer-answered", post(back::answered))
        .route("/twilio/amd", post(webhook::answered_by))
        .with_state(Arc::clone(shared));
    let people = Router::new()
        .merge(api::router(shared))
        .route("/metrics", get(metrics))
        .with_state(Arc::clone(shared))
        .merge(web.unwrap_or_default());
    match apart {
        false => Faces { public: bounded(shared, carrier.merge(people)), people: None },
        true => Faces { public: bounded(shared, carrier), people: Some(bounded(shared, people)) },
    }
}

/// With what every address has: whether the server is well, and bounds.
fn bounded(shared: &Arc<Shared>, routes: Router) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(Arc::clone(shared))
        .merge(routes)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(Arc::clone(shared), in_time))
        .layer(middleware::from_fn(doors::attend))
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shared.metrics.render(&shared.pressure))
}

/// Whether new calls are wanted here.
async fn ready(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    if shared.registry.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned())
    } else if let Some(why) = shared.store.ill() {
        // Calls that are up go on; new ones hear the refusal.
        (StatusCode::SERVICE_UNAVAILABLE, format!("the store lets no call in: {why}\n"))
    } else {
        (StatusCode::OK, "ready\n".to_owned())
    }
}

/// Bounds a request's time, so that a body that never ends holds nothing.
async fn in_time(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    // Documents of 10 MB come from people's desks, too.
    let is_document = request.method() == Method::POST && request.uri().path().ends_with("/knowledge");
    let patience = if is_document { DOCUMENT } else { REQUEST };
    match tokio::time::timeout(patience, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            shared.metrics.rejected.add("timeout", 1);
            StatusCode::REQUEST_TIMEOUT.into_response()
        }
    }
}
