//! The log of attempts, and events that are sent again.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{absent, found};
use crate::house::webhooks as rules;
use crate::store::{Delivery, DeliveryFilter, OutboxRow, Outcome, written};
use crate::web::api::when::When;
use crate::web::extract::{Json, Nothing, Path, Query};
use crate::web::page::{self, Page, Wanted};
use crate::web::problem::{Problem, Wrong};
use crate::web::{Api, Who};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(again))
        .routes(routes!(dead))
        .routes(routes!(window))
}

/// Which attempts are wanted.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Of events of this type.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Of this call.
    call: Option<String>,
    /// Of this event.
    event: Option<String>,
    /// `delivered`; `failed`: not taken, whether it was tried again or not; `given_up`: not taken, for the last time.
    outcome: Option<String>,
    /// Made then or later: RFC 3339, a day, or so long ago, such as `-2d`.
    since: Option<String>,
    /// Made before then, likewise.
    until: Option<String>,
    /// Attempts on a page: 1 to 100; 25 if it is left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
}

/// An attempt to deliver an event.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct DeliveryItem {
    id: String,
    /// The event's id, the same at every attempt.
    event: String,
    /// Its type.
    #[serde(rename = "type")]
    kind: String,
    /// Its call; `null`: it is about none.
    call: Option<String>,
    /// When it was made.
    time: String,
    /// The first is 1; of an event that is sent again, too.
    attempt: i64,
    /// `delivered`; `failed`, and tried again; `given_up`.
    outcome: &'static str,
    /// The answer's status; `null`: there was none.
    status: Option<i64>,
    /// From the connection to the end of the answer.
    took_ms: i64,
    /// The first 2 kB of the answer.
    answer: String,
    /// Why it was not taken, in words.
    error: Option<String>,
    /// Whether it was a sample.
    test: bool,
}

/// An attempt, with what was sent.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct WholeDelivery {
    /// The attempt.
    #[serde(flatten)]
    delivery: DeliveryItem,
    /// The bytes that were sent; `null`: they are not kept any more.
    body: Option<String>,
}

impl DeliveryItem {
    fn of(row: Delivery) -> DeliveryItem {
        DeliveryItem {
            id: row.seq.to_string(),
            event: row.event,
            kind: row.kind,
            call: call(row.call),
            time: written(row.at_ms),
            attempt: row.attempt,
            outcome: row.outcome.name(),
            status: row.status,
            took_ms: row.took_ms,
            answer: row.answer,
            error: row.error,
            test: row.test,
        }
    }
}

/// What is about something else is named by its kind, too.
fn call(about: String) -> Option<String> {
    Some(about).filter(|about| !about.is_empty() && !about.contains('/'))
}

/// Attempts to deliver a webhook's events
///
/// The newest first, of the last 30 days, 100,000 at most.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/{id}/deliveries",
    tag = "Webhooks",
    params(("id" = String, Path, description = "The webhook's id; of one in offhook.toml its name"), Filter),
    responses((status = 200, description = "Attempts", body = Page<DeliveryItem>))
)]
async fn list(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(wanted): Query<Filter>,
    uri: Uri,
) -> Result<Response, Problem> {
    found(&api, &id).await?;
    let limit = page::limit(wanted.limit)?;
    let (delivered, outcome) = match wanted.outcome.as_deref() {
        None => (None, None),
        Some("delivered") => (Some(true), None),
        Some("failed") => (Some(false), None),
        Some("given_up") => (Some(false), Some(Outcome::GivenUp)),
        Some(_) => return Err(parameter("outcome", "delivered, failed or given_up.")),
    };
    if let Some(kind) = &wanted.kind {
        let known = rules::events(std::slice::from_ref(kind));
        known.map_err(|no| Problem::wrong(vec![Wrong::parameter("type", no.code, no.message)]))?;
    }
    let when = When::of(&api);
    let filter = DeliveryFilter {
        endpoint: Some(id),
        kind: wanted.kind,
        call: wanted.call,
        event: wanted.event,
        delivered,
        outcome,
        since_ms: when.perhaps("since", wanted.since.as_deref())?,
        until_ms: when.perhaps("until", wanted.until.as_deref())?,
        before: before(wanted.cursor.as_deref())?,
        limit: u64::from(limit) + 1,
    };
    let rows = api.handle.store().deliveries(&filter).await?;
    Ok(paged(rows, limit, |row| row.seq, DeliveryItem::of).answer(&uri))
}

/// An attempt to deliver an event
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/{id}/deliveries/{delivery}",
    tag = "Webhooks",
    params(
        ("id" = String, Path, description = "The webhook's id"),
        ("delivery" = String, Path, description = "The attempt's id")
    ),
    responses((status = 200, description = "The attempt, and what was sent", body = WholeDelivery))
)]
async fn get(
    State(api): State<Api>,
    Path((id, delivery)): Path<(String, String)>,
    _: Query<Nothing>,
) -> Result<Json<WholeDelivery>, Problem> {
    let (row, body) = one(&api, &id, &delivery).await?;
    Ok(Json(WholeDelivery { delivery: DeliveryItem::of(row), body }))
}

/// Send an event again
///
/// Whatever became of it before: the same bytes under the same id, with a new signature.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/deliveries/{delivery}/replay",
    tag = "Webhooks",
    params(
        ("id" = String, Path, description = "The webhook's id"),
        ("delivery" = String, Path, description = "The id of one of the attempts")
    ),
    responses((status = 202, description = "It waits to be sent", body = Again))
)]
async fn again(
    State(api): State<Api>,
    who: Who,
    Path((id, delivery)): Path<(String, String)>,
    _: Query<Nothing>,
) -> Result<(StatusCode, Json<Again>), Problem> {
    let endpoint = found(&api, &id).await?;
    rules::may_replay(endpoint.hook.off.is_none())?;
    let (row, _) = one(&api, &id, &delivery).await?;
    if !api.handle.store().replay(&id, &row.event).await? {
        return Err(rules::forgotten().into());
    }
    api.audit(&who, "webhook.replay", &id, None).await;
    Ok((StatusCode::ACCEPTED, Json(Again { events: 1, more_from: None })))
}

/// An event that was given up.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct DeadItem {
    /// The event's id.
    event: String,
    /// Its type.
    #[serde(rename = "type")]
    kind: String,
    /// Its call; `null`: it is about none.
    call: Option<String>,
    /// When it happened.
    time: String,
    /// How often it was tried.
    attempts: i64,
    /// Why it was given up.
    error: Option<String>,
}

/// Events that were given up
///
/// The newest first, of the last 30 days.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/{id}/dead",
    tag = "Webhooks",
    params(("id" = String, Path, description = "The webhook's id; of one in offhook.toml its name"), Wanted),
    responses((status = 200, description = "Events that can be sent again", body = Page<DeadItem>))
)]
async fn dead(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
    uri: Uri,
) -> Result<Response, Problem> {
    found(&api, &id).await?;
    let limit = page::limit(wanted.limit)?;
    let before = before(wanted.cursor.as_deref())?;
    let rows = api.handle.store().dead(Some(&id), before, u64::from(limit) + 1).await?;
    let item = |row: OutboxRow| DeadItem {
        event: row.id,
        kind: row.kind,
        call: call(row.call),
        time: written(row.created_ms),
        attempts: row.attempts,
        error: row.last_error,
    };
    Ok(paged(rows, limit, |row| row.seq, item).answer(&uri))
}

/// Which events are to be sent again.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Window {
    /// Those that happened then or later: RFC 3339, a day, or so long ago, such as `-3h`.
    since: String,
    /// Those that happened before then, likewise; left out: until now.
    #[serde(default)]
    until: Option<String>,
    /// `all`, or `dead`: only those that were given up; `all` if it is left out.
    #[serde(default)]
    which: Option<String>,
}

/// What is sent again.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Again {
    /// How many events wait to be sent.
    events: u64,
    /// There are more: ask once more, from this moment on. `null`: these are all.
    more_from: Option<String>,
}

/// Send the events of a window of time again
///
/// In their order, the same bytes under the same ids. About 1,000 with one request.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/replay",
    tag = "Webhooks",
    params(("id" = String, Path, description = "The webhook's id; of one in offhook.toml its name")),
    request_body = Window,
    responses((status = 202, description = "They wait to be sent", body = Again))
)]
async fn window(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
    Json(window): Json<Window>,
) -> Result<(StatusCode, Json<Again>), Problem> {
    let endpoint = found(&api, &id).await?;
    let when = When::of(&api);
    let since_ms = when.field("since", &window.since)?;
    let until_ms = window.until.as_deref().map_or(Ok(i64::MAX), |until| when.field("until", until))?;
    let only_dead = match window.which.as_deref() {
        None | Some("all") => false,
        Some("dead") => true,
        Some(_) => return Err(Problem::wrong(vec![Wrong::field("which", "which", "all or dead.")])),
    };
    rules::may_replay(endpoint.hook.off.is_none())?;
    let done = api.handle.store().replay_window(&id, since_ms, until_ms, only_dead).await?;
    api.audit(&who, "webhook.replay", &id, None).await;
    Ok((StatusCode::ACCEPTED, Json(Again { events: done.events, more_from: done.more_from_ms.map(written) })))
}

/// The attempt of an id, of this webhook.
async fn one(api: &Api, id: &str, delivery: &str) -> Result<(Delivery, Option<String>), Problem> {
    let none = || Problem::absent("delivery", delivery);
    let seq = delivery.parse::<i64>().map_err(|_| none())?;
    let found = api.handle.store().delivery(seq).await?.filter(|(row, _)| row.endpoint == id);
    match found {
        Some(found) => Ok(found),
        None => {
            super::found(api, id).await.map_err(|_| absent(id))?;
            Err(none())
        }
    }
}

/// Rows, one more than are wanted, as a page.
fn paged<R, T>(mut rows: Vec<R>, limit: u32, seq: impl Fn(&R) -> i64, item: impl Fn(R) -> T) -> Page<T> {
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| page::cursor(&seq(row).to_string()));
    Page { items: rows.into_iter().map(item).collect(), next }
}

fn before(cursor: Option<&str>) -> Result<Option<i64>, Problem> {
    let place = page::place(cursor)?;
    place.map(|place| place.parse().map_err(|_| page::no_cursor())).transpose()
}

fn parameter(name: &str, message: &str) -> Problem {
    Problem::wrong(vec![Wrong::parameter(name, name, message)])
}
