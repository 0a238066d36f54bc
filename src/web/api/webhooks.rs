//! `webhooks`: who is told of calls, what came of it, and telling it again (HOOK, BEYOND-46, BEYOND-47).
//!
//! Those of `offhook.toml` are shown, tested, switched and sent again like the others, and changed in the file only.

mod deliveries;
mod shapes;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::{Config, EventType, Secret};
use crate::house::webhooks::{self as rules, Facts, Wish};
use crate::serve::webhooks::signature;
use crate::store::{Endpoint, NewEndpoint};
use crate::web::extract::{Json, Maybe, Nothing, Path, Query};
use crate::web::once::{self, Upon};
use crate::web::page::{Page, Wanted};
use crate::web::problem::{Problem, Wrong};
use crate::web::{Api, Who};
use shapes::{Change, Made, NewSecret, NewWebhook, Off, Rotated, TestWish, Tested, WebhookItem, WebhookPage};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list, create))
        .routes(routes!(get, change, delete))
        .routes(routes!(rotate))
        .routes(routes!(test))
        .routes(routes!(enable))
        .routes(routes!(disable))
        .merge(deliveries::router())
}

/// Whether only the rules are asked.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Dry {
    /// `true`: everything is checked, and nothing changed.
    dry_run: Option<bool>,
}

/// Webhooks
///
/// Those of `offhook.toml` first, then those that were made here in the order in which they were.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks",
    tag = "Webhooks",
    params(Wanted),
    responses((status = 200, description = "Endpoints, and from where they are asked", body = WebhookPage))
)]
async fn list(State(api): State<Api>, Query(wanted): Query<Wanted>) -> Result<Json<WebhookPage>, Problem> {
    let all = api.handle.store().endpoints().await?;
    let page = Page::of(all, &wanted, |endpoint| endpoint.hook.id.clone(), |endpoint| WebhookItem::of(&endpoint))?;
    let addresses = api.handle.config().server.deliveries.addresses.iter().map(ToString::to_string).collect();
    let types = EventType::ALL.map(EventType::name).to_vec();
    Ok(Json(WebhookPage { items: page.items, next: page.next, addresses, types }))
}

/// Make a webhook
///
/// Its secret is told once. With `dry_run` all rules are asked and nothing is made.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks",
    tag = "Webhooks",
    params(Dry),
    request_body = NewWebhook,
    responses(
        (status = 201, description = "It is told of what happens from now on", body = Made),
        (status = 204, description = "With dry_run: it may be made")
    )
)]
async fn create(
    State(api): State<Api>,
    who: Who,
    Query(dry): Query<Dry>,
    Json(new): Json<NewWebhook>,
) -> Result<Response, Problem> {
    let (config, store) = (api.handle.config(), api.handle.store());
    let all = store.endpoints().await?;
    rules::may_add(all.len())?;
    rules::may_seal(config.server.store.seal_key.is_some())?;
    let (secret, given) = match new.secret.clone() {
        Some(secret) => (secret, true),
        None => (signature::new_secret().ok_or_else(|| Problem::internal(&"no randomness for a secret"))?, false),
    };
    let wish = new.into_wish();
    let mut wrong = checked(&wish, None, &all, None, &config).err().unwrap_or_default();
    wrong.extend(rules::secret(&secret).err().filter(|_| given));
    if !wrong.is_empty() {
        return Err(refused(wrong));
    }
    if dry.dry_run == Some(true) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let id = store.add_endpoint(&written(&wish)?, &Secret::new(secret.as_str()), &who.0.name()).await?;
    api.audit(&who, "webhook.add", &id, None).await;
    let webhook = WebhookItem::of(&found(&api, &id).await?);
    let location = [(header::LOCATION, format!("/api/v1/webhooks/{id}")), once::etag(webhook.version())];
    Ok((StatusCode::CREATED, location, Json(Made { webhook, secret })).into_response())
}

/// A webhook
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/{id}",
    tag = "Webhooks",
    params(("id" = String, Path, description = "Its id; of one in offhook.toml its name")),
    responses((status = 200, description = "The endpoint, and how it fares", body = WebhookItem))
)]
async fn get(State(api): State<Api>, Path(id): Path<String>, _: Query<Nothing>) -> Result<Response, Problem> {
    let webhook = WebhookItem::of(&found(&api, &id).await?);
    Ok(([once::etag(webhook.version())], Json(webhook)).into_response())
}

/// Change a webhook
///
/// A merge patch (RFC 7396): what is left out stays; `events` or `agents` of `null` mean all.
#[utoipa::path(
    patch,
    path = "/api/v1/webhooks/{id}",
    tag = "Webhooks",
    params(("id" = String, Path, description = "Its id"), Dry),
    request_body = Change,
    responses(
        (status = 200, description = "What it is now", body = WebhookItem),
        (status = 204, description = "With dry_run: it may be changed so"),
        (status = 409, description = "It stands in offhook.toml, or its new name is another's", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "If-Match is missing", body = Problem, content_type = "application/problem+json")
    )
)]
async fn change(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Query(dry): Query<Dry>,
    headers: HeaderMap,
    Json(change): Json<Change>,
) -> Result<Response, Problem> {
    let config = api.handle.config();
    let all = api.handle.store().endpoints().await?;
    let before = of_api(all.iter().find(|endpoint| endpoint.hook.id == id).ok_or_else(|| absent(&id))?)?;
    let version = before.row.as_ref().map_or(0, |row| row.version);
    let upon = Upon::of(&headers)?;
    upon.check(Some(&version.to_string()))?;
    let was = shapes::wish(before);
    let wish = change.over(was.clone());
    checked(&wish, Some(&was), &all, Some(&id), &config).map_err(refused)?;
    if dry.dry_run == Some(true) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let version = Some(version).filter(|_| upon != Upon::Any);
    api.handle.store().change_endpoint(&id, &written(&wish)?, version, &who.0.name()).await?;
    api.audit(&who, "webhook.change", &id, None).await;
    let webhook = WebhookItem::of(&found(&api, &id).await?);
    Ok(([once::etag(webhook.version())], Json(webhook)).into_response())
}

/// Delete a webhook
///
/// What waits for it is given up. The log of its attempts stays for its 30 days.
#[utoipa::path(
    delete,
    path = "/api/v1/webhooks/{id}",
    tag = "Webhooks",
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 409, description = "It stands in offhook.toml", body = Problem, content_type = "application/problem+json")
    )
)]
async fn delete(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
) -> Result<StatusCode, Problem> {
    of_api(&found(&api, &id).await?)?;
    if !api.handle.store().delete_endpoint(&id).await? {
        return Err(absent(&id));
    }
    api.audit(&who, "webhook.delete", &id, None).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Change a webhook's secret
///
/// The new one is told once. For a day events carry the former one's signature too, so that receivers can change theirs
/// at any time of it.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/rotate",
    tag = "Webhooks",
    params(("id" = String, Path, description = "Its id")),
    request_body(content = Option<NewSecret>, description = "Left out: a secret is made"),
    responses((status = 200, description = "The new secret, and until when the former one counts", body = Rotated))
)]
async fn rotate(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
    Maybe(new): Maybe<NewSecret>,
) -> Result<Json<Rotated>, Problem> {
    of_api(&found(&api, &id).await?)?;
    rules::may_seal(api.handle.config().server.store.seal_key.is_some())?;
    let secret = match new.and_then(|new| new.secret) {
        Some(secret) => {
            rules::secret(&secret)?;
            secret
        }
        None => signature::new_secret().ok_or_else(|| Problem::internal(&"no randomness for a secret"))?,
    };
    let until = api.handle.store().rotate_secret(&id, &Secret::new(secret.as_str()), &who.0.name()).await?;
    api.audit(&who, "webhook.rotate", &id, None).await;
    Ok(Json(Rotated { secret, previous_until: crate::store::written(until) }))
}

/// Send samples to a webhook
///
/// One of each type that it is told, or of those named, signed like any event and marked `"test": true`, once and whether it
/// is on or off. They are in the log of attempts too.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/test",
    tag = "Webhooks",
    params(("id" = String, Path, description = "Its id; of one in offhook.toml its name")),
    request_body(content = Option<TestWish>, description = "Left out: all types that it is told"),
    responses((status = 200, description = "What was answered to each", body = Tested))
)]
async fn test(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
    Maybe(wish): Maybe<TestWish>,
) -> Result<Json<Tested>, Problem> {
    let endpoint = found(&api, &id).await?;
    let kinds = match wish.and_then(|wish| wish.types) {
        Some(names) => {
            rules::events(&names).map_err(|no| Problem::wrong(vec![Wrong::field("types", no.code, no.message)]))?
        }
        None => endpoint.hook.events.clone(),
    };
    let tried = api.handle.test_webhook(&endpoint.hook, &kinds).await?;
    api.audit(&who, "webhook.test", &id, None).await;
    Ok(Json(Tested::of(tried)))
}

/// Switch a webhook on
///
/// It is told of what happens from now on; what it missed can be sent again.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/enable",
    tag = "Webhooks",
    params(("id" = String, Path, description = "Its id; of one in offhook.toml its name")),
    responses((status = 200, description = "The endpoint", body = WebhookItem))
)]
async fn enable(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
) -> Result<Json<WebhookItem>, Problem> {
    found(&api, &id).await?;
    api.handle.store().switch_endpoint(&id, None, &who.0.name()).await?;
    api.audit(&who, "webhook.enable", &id, None).await;
    Ok(Json(WebhookItem::of(&found(&api, &id).await?)))
}

/// Switch a webhook off
///
/// What waits for it, and what happens meanwhile, is kept for 30 days and can be sent again.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/disable",
    tag = "Webhooks",
    params(("id" = String, Path, description = "Its id; of one in offhook.toml its name")),
    request_body(content = Option<Off>, description = "Why, for others"),
    responses((status = 200, description = "The endpoint", body = WebhookItem))
)]
async fn disable(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
    Maybe(off): Maybe<Off>,
) -> Result<Json<WebhookItem>, Problem> {
    found(&api, &id).await?;
    let name = who.0.name();
    let reason = off.and_then(|off| off.reason).map(|reason| rules::reason(&reason)).transpose()?;
    let reason = reason.unwrap_or_else(|| format!("switched off by {name}"));
    api.handle.store().switch_endpoint(&id, Some(&reason), &name).await?;
    api.audit(&who, "webhook.disable", &id, None).await;
    Ok(Json(WebhookItem::of(&found(&api, &id).await?)))
}

/// The endpoint of an id.
async fn found(api: &Api, id: &str) -> Result<Endpoint, Problem> {
    let all = api.handle.store().endpoints().await?;
    all.into_iter().find(|endpoint| endpoint.hook.id == id).ok_or_else(|| absent(id))
}

fn absent(id: &str) -> Problem {
    Problem::absent("webhook", id)
}

/// One that may be changed here.
fn of_api(endpoint: &Endpoint) -> Result<&Endpoint, Problem> {
    rules::may_change(endpoint.row.is_some())?;
    Ok(endpoint)
}

fn checked(
    wish: &Wish,
    was: Option<&Wish>,
    all: &[Endpoint],
    own: Option<&str>,
    config: &Config,
) -> Result<(), Vec<crate::house::Refusal>> {
    let others = all.iter().filter(|other| Some(other.hook.id.as_str()) != own);
    let facts = Facts {
        others: others.map(|other| other.hook.name.as_str()).collect(),
        agents: config.agents.keys().map(|name| &**name).collect(),
        allow_private: config.server.deliveries.allow_private,
    };
    rules::endpoint(wish, was, &facts)
}

/// Several refusals as one answer: what the state of things forbids only where every field is right.
fn refused(wrong: Vec<crate::house::Refusal>) -> Problem {
    let (fields, mut state): (Vec<_>, Vec<_>) = wrong.into_iter().partition(|refusal| refusal.field.is_some());
    match state.pop() {
        Some(refusal) if fields.is_empty() => refusal.into(),
        _ => {
            let wrong = |no: crate::house::Refusal| Wrong::field(no.field.unwrap_or_default(), no.code, no.message);
            Problem::wrong(fields.into_iter().map(wrong).collect())
        }
    }
}

fn written(wish: &Wish) -> Result<NewEndpoint, Problem> {
    Ok(NewEndpoint {
        name: wish.name.clone(),
        url: wish.url.clone(),
        events: wish.events.as_ref().map(|names| rules::events(names)).transpose()?,
        agents: wish.agents.clone(),
        plain_signature: wish.plain_signature,
        per_second: wish.per_second,
        timeout_ms: wish.timeout_ms,
        retry_first_ms: wish.retry_first_ms,
    })
}
