//! `numbers`: phone numbers of the organization, searched for, bought, assigned, given back, and where the carrier's list differs
//! (NUM-01 to NUM-14).
//!
//! [`market`] is what can be bought, [`differences`] where the two lists are not one, [`shapes`] a number as it is shown.

mod differences;
mod market;
mod shapes;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::{By, DocId};
use crate::house::numbers::used;
use crate::serve::numbers::{Change, NumberError};
use crate::web::documents::refused;
use crate::web::extract::{Json, Path, Query};
use crate::web::page::{Page, Wanted};
use crate::web::problem::Problem;
use crate::web::{Api, Who};

use shapes::{NumberItem, given, item, set, title};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list, market::buy))
        .routes(routes!(enter))
        .routes(routes!(market::available))
        .routes(routes!(market::papers))
        .routes(routes!(differences::differences, differences::look))
        .routes(routes!(differences::take_over))
        .routes(routes!(differences::repair))
        .routes(routes!(show, change, remove))
        .routes(routes!(assign))
        .routes(routes!(unassign))
        .routes(routes!(release))
}

impl From<NumberError> for Problem {
    fn from(error: NumberError) -> Self {
        match error {
            NumberError::Refused(refusal) => refusal.into(),
            NumberError::Store(error) => error.into(),
            NumberError::Edit(deployment, error) => refused(error, &DocId::Deployment(deployment.into())),
        }
    }
}

/// Numbers, with how many of them count.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct NumberPage {
    items: Vec<NumberItem>,
    /// The cursor of the next page; `null`: this is the last.
    next: Option<String>,
    /// How many count for the quota: bought and taken over, assigned or not, and on their way.
    used: u32,
    /// How many there may be; `null`: as many as you like.
    limit: Option<u32>,
    /// Both, as the picker shows them.
    quota: String,
}

/// The numbers
///
/// The newest first; those at the end are named by deployments' documents only.
#[utoipa::path(
    get,
    path = "/api/v1/numbers",
    tag = "Numbers",
    params(Wanted),
    responses((status = 200, description = "Numbers that are held, or on their way", body = NumberPage))
)]
async fn list(State(api): State<Api>, Query(wanted): Query<Wanted>) -> Result<Json<NumberPage>, Problem> {
    let numbers = api.handle.numbers();
    let (all, count) = numbers.list().await?;
    let (plan, urls) = (api.handle.config().server.plan, numbers.urls().ok());
    let page = Page::of(all, &wanted, |listed| listed.row.id.clone(), |listed| item(listed, urls.as_ref()))?;
    let (items, next) = (page.items, page.next);
    Ok(Json(NumberPage { items, next, used: count, limit: plan.numbers, quota: used(count, &plan) }))
}

/// A number that is had already.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NumberByHand {
    /// + with its country and 7 to 15 digits.
    number: String,
    /// What people are to call it.
    title: Option<String>,
}

/// Enter a number by hand
///
/// One of another carrier, or one that was bought before. It has no quota, and cannot be released here; its `webhook` is to be copied
/// to its carrier.
#[utoipa::path(
    post,
    path = "/api/v1/numbers/by-hand",
    tag = "Numbers",
    request_body = NumberByHand,
    responses(
        (status = 201, description = "It is in the list", body = NumberItem),
        (status = 409, description = "`number_known`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`number_form`, `title`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn enter(State(api): State<Api>, who: Who, Json(by_hand): Json<NumberByHand>) -> Result<Response, Problem> {
    let numbers = api.handle.numbers();
    let listed = numbers.enter(&by_hand.number, title(by_hand.title)?).await?;
    api.audit(&who, "number.enter", &listed.row.number, None).await;
    let location = format!("/api/v1/numbers/{}", listed.row.id);
    let urls = numbers.urls().ok();
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(item(listed, urls.as_ref()))).into_response())
}

/// A number
#[utoipa::path(
    get,
    path = "/api/v1/numbers/{id}",
    tag = "Numbers",
    params(("id" = String, Path, description = "The number's id")),
    responses(
        (status = 200, description = "It", body = NumberItem),
        (status = 404, description = "`no_number`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn show(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<NumberItem>, Problem> {
    let numbers = api.handle.numbers();
    let listed = numbers.one(&id).await?;
    Ok(Json(item(listed, numbers.urls().ok().as_ref())))
}

/// What is to be otherwise; what is left out stays.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NumberPatch {
    /// What people call it; `null`: nothing.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    title: Option<Option<String>>,
    /// Countries from which calls are taken, ISO 3166-1 alpha-2; `null`: as by default.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    calls_from: Option<Option<Vec<String>>>,
    /// Countries to which calls may go, likewise. Premium numbers are never called.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    calls_to: Option<Option<Vec<String>>>,
}

/// Change a number
#[utoipa::path(
    patch,
    path = "/api/v1/numbers/{id}",
    tag = "Numbers",
    params(("id" = String, Path, description = "The number's id")),
    request_body = NumberPatch,
    responses(
        (status = 200, description = "It, as it is now", body = NumberItem),
        (status = 404, description = "`no_number`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`title`, `country`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn change(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Json(patch): Json<NumberPatch>,
) -> Result<Json<NumberItem>, Problem> {
    let title = patch.title.map(title).transpose()?;
    let change =
        Change { title, calls_from: set("calls_from", patch.calls_from)?, calls_to: set("calls_to", patch.calls_to)? };
    let told = json!({ "title": change.title, "calls_from": change.calls_from, "calls_to": change.calls_to });
    let numbers = api.handle.numbers();
    let listed = numbers.change(&id, change).await?;
    api.audit(&who, "number.change", &listed.row.number, Some(told)).await;
    Ok(Json(item(listed, numbers.urls().ok().as_ref())))
}

/// Take a number off the list
///
/// One that was entered by hand; its carrier is not asked.
#[utoipa::path(
    delete,
    path = "/api/v1/numbers/{id}",
    tag = "Numbers",
    params(("id" = String, Path, description = "The number's id")),
    responses(
        (status = 204, description = "It is off"),
        (status = 404, description = "`no_number`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`number_in_use`, `not_by_hand`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn remove(State(api): State<Api>, who: Who, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let row = api.handle.numbers().remove(&id).await?;
    api.audit(&who, "number.remove", &row.number, None).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Who is to have it.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NumberAssignment {
    /// The name of a phone deployment.
    deployment: String,
}

/// Assign a number
///
/// Sets its webhooks to this server, then writes the deployment's document. Where the carrier refuses, nothing is assigned.
#[utoipa::path(
    post,
    path = "/api/v1/numbers/{id}/assign",
    tag = "Numbers",
    params(("id" = String, Path, description = "The number's id")),
    request_body = NumberAssignment,
    responses(
        (status = 200, description = "The deployment has it", body = NumberItem),
        (status = 404, description = "`no_number`, `no_deployment`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`number_assigned`, `has_number`, `locked`, `no_carrier`, `carrier_refused`, `public_url`", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "The document was changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`channel`", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "`carrier_silent`, `carrier_credentials`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`carrier_busy`, `carrier_unreachable`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn assign(
    State(api): State<Api>,
    who: Who,
    Path(id): Path<String>,
    Json(assign): Json<NumberAssignment>,
) -> Result<Json<NumberItem>, Problem> {
    let numbers = api.handle.numbers();
    let listed = numbers.assign(&id, &assign.deployment, &who.0.name(), By::Api).await?;
    let told = Some(json!({ "deployment": assign.deployment }));
    api.audit(&who, "number.assign", &listed.row.number, told).await;
    Ok(Json(item(listed, numbers.urls().ok().as_ref())))
}

/// A number that is back in the pool.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct UnassignedNumber {
    number: NumberItem,
    /// What the carrier said, when its webhook could not be cleared; whoever calls it hears that it is not in service.
    warning: Option<String>,
}

/// Unassign a number
///
/// It is back in the pool, and its webhook is cleared. Calls that run go on.
#[utoipa::path(
    post,
    path = "/api/v1/numbers/{id}/unassign",
    tag = "Numbers",
    params(("id" = String, Path, description = "The number's id")),
    responses(
        (status = 200, description = "It is in the pool", body = UnassignedNumber),
        (status = 404, description = "`no_number`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`locked`, or the document cannot be changed", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "The document was changed meanwhile", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn unassign(State(api): State<Api>, who: Who, Path(id): Path<String>) -> Result<Json<UnassignedNumber>, Problem> {
    let numbers = api.handle.numbers();
    let (listed, warning) = numbers.unassign(&id, &who.0.name(), By::Api).await?;
    api.audit(&who, "number.unassign", &listed.row.number, None).await;
    Ok(Json(UnassignedNumber { number: item(listed, numbers.urls().ok().as_ref()), warning }))
}

/// Release a number
///
/// Gives it back to the carrier, for good: when it is unassigned, and not before 30 days after it was bought.
#[utoipa::path(
    post,
    path = "/api/v1/numbers/{id}/release",
    tag = "Numbers",
    params(("id" = String, Path, description = "The number's id")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "`no_number`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`number_in_use`, `too_early`, `by_hand`, `no_carrier`, `carrier_refused`", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "`carrier_silent`, `carrier_credentials`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`carrier_busy`, `carrier_unreachable`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn release(State(api): State<Api>, who: Who, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let numbers = api.handle.numbers();
    let number = numbers.one(&id).await?.row.number;
    let released = numbers.release(&id).await;
    let told = released.as_ref().err().map(|error| json!({ "refused": error.to_string() }));
    api.audit(&who, "number.release", &number, told).await;
    released?;
    Ok(StatusCode::NO_CONTENT)
}
