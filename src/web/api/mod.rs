//! The resources, a file for each kind of thing.
//!
//! A resource is a file here with `fn router() -> OpenApiRouter<Api>`, merged below; a row for each of its requests in
//! [`ROUTES`](crate::house::routes::ROUTES), by which the gate finds who may ask, and without which nothing is there; and rules in
//! the house. Handlers take [`Who`](super::Who), [`Json`](super::extract::Json), [`Query`](super::extract::Query) and
//! [`Path`](super::extract::Path), answer `Result<…, Problem>`, and describe by `#[utoipa::path]` what they answer when it goes
//! well, with what is refused for reasons of their own; what every request may be answered is added to the document. Whoever
//! changes something says so in the audit log. A POST with an `Idempotency-Key` is carried out once without their doing.

mod agents;
mod audit;
mod calls;
mod deployments;
mod events;
mod members;
mod models;
mod numbers;
mod organization;
mod persons;
mod residency;
mod revisions;
mod session;
mod statistics;
mod tokens;
mod usage;
mod webhooks;
mod when;

use utoipa_axum::router::OpenApiRouter;

use super::Api;

/// All of them.
pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .merge(agents::router())
        .merge(audit::router())
        .merge(calls::router())
        .merge(deployments::router())
        .merge(events::router())
        .merge(members::router())
        .merge(models::router())
        .merge(numbers::router())
        .merge(organization::router())
        .merge(persons::router())
        .merge(residency::router())
        .merge(revisions::router())
        .merge(session::router())
        .merge(statistics::router())
        .merge(tokens::router())
        .merge(usage::router())
        .merge(webhooks::router())
}
