//! What people and programs are shown over HTTP beside calls: the API at `/api/v1`, its document and its reference page.
//!
//! ```text
//!   request ─► gate: route in a table ─► guesses ─► who asks ─► a bucket ─► may they? ─► once? ─► handler ─► answer
//!               │                         │            │           │            │          │
//!              404                       429          401         429          403        409      all of them a Problem
//! ```
//!
//! Handlers are short: extract, ask, answer. Rules are the [`house`](crate::house)'s, rows the [`store`](crate::store)'s, documents
//! the [`config`](crate::config)'s; what runs is reached by a [`Handle`]. Nobody uses this room but who starts servers.
//!
//! - `gate` stands before every route; `who` knows credentials, `guesses` bounds those that nobody knows,
//!   `limit` has buckets, `once` keys of repetitions and ETags.
//! - `problem` is how everything is refused, `extract` reads requests so, `page` cuts lists.
//! - `standing` looks whether who has a stream open may still have it.
//! - `documents` changes documents; `api` has a file for each kind of thing.
//! - `openapi` makes the API's document, `reference` a page of it.

mod api;
mod documents;
mod extract;
mod gate;
mod guesses;
mod limit;
mod once;
mod openapi;
mod page;
mod problem;
mod reference;
mod standing;
#[cfg(test)]
mod tests;
mod who;

use std::collections::HashSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts};
use axum::http::request::Parts;
use axum::middleware;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;

use crate::house::principal::Principal;
use crate::serve::{Handle, Web};
use limit::Limits;
use problem::Problem;

/// The largest body of a request, unless its route says otherwise (API-08).
pub(crate) const MAX_BODY_BYTES: usize = 64 << 10;

/// The largest body of a request that adds a document of an agent's knowledge.
pub(crate) const MAX_DOCUMENT_BYTES: usize = crate::house::knowledge::MAX_BYTES as usize;
/// Documents that are taken in at once: each is in memory while it is.
const UPLOADS: usize = 4;

/// The largest body of a request to this route.
pub(crate) fn most_bytes(path: &str) -> usize {
    if path == "/api/v1/agents/{id}/knowledge" { MAX_DOCUMENT_BYTES } else { MAX_BODY_BYTES }
}

/// What handlers have at hand.
#[derive(Clone)]
pub(crate) struct Api {
    /// The running server.
    pub(crate) handle: Handle,
    /// How often each may ask.
    pub(crate) limits: Arc<Limits>,
    /// Credentials that nobody knows.
    guesses: Arc<guesses::Guesses>,
    /// Passwords that were tried.
    pub(crate) attempts: who::Attempts,
    /// Refusals that were noted.
    refusals: Arc<who::Noted>,
    /// Room for documents of agents' knowledge.
    pub(crate) uploads: Arc<Semaphore>,
    /// The API's document, as JSON.
    document: Arc<str>,
    /// Its page.
    reference: Arc<str>,
    /// Requests that have no parameters.
    bare: Arc<HashSet<(&'static str, &'static str)>>,
}

impl Api {
    /// Notes in the audit log what was done (X-10).
    pub(crate) async fn audit(&self, who: &Who, action: &str, object: &str, detail: Option<serde_json::Value>) {
        if let Err(error) = self.handle.store().audit(&who.0.name(), action, object, detail).await {
            tracing::warn!(%error, action, object, "what was done is not in the audit log");
        }
    }
}

/// The routes, for [`ServeOptions::web`](crate::serve::ServeOptions::web).
pub fn routes() -> Web {
    Box::new(router)
}

fn router(handle: Handle) -> Router {
    let (router, document) = all().split_for_parts();
    let document = openapi::completed(document);
    let api = Api {
        handle,
        limits: Arc::default(),
        guesses: Arc::default(),
        attempts: Arc::default(),
        refusals: Arc::default(),
        uploads: Arc::new(Semaphore::new(UPLOADS)),
        reference: reference::page(&document).into(),
        bare: Arc::new(openapi::bare(&document)),
        document: serde_json::to_string(&document).unwrap_or_default().into(),
    };
    router
        .method_not_allowed_fallback(gate::no_method)
        .fallback(gate::nothing)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(api.clone(), once::once))
        .layer(middleware::from_fn_with_state(api.clone(), gate::gate))
        .with_state(api)
}

/// Everything there is, with its description.
fn all() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(openapi::begun())
        .merge(api::router())
        .routes(utoipa_axum::routes!(openapi::document))
        .routes(utoipa_axum::routes!(reference::reference))
        .routes(utoipa_axum::routes!(reference::style))
}

/// Who asks, for handlers: the gate has let them through.
#[derive(Clone, Debug)]
pub(crate) struct Who(pub(crate) Arc<Principal>);

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Who>().cloned().ok_or_else(|| Problem::internal(&"a route without a gate"))
    }
}
