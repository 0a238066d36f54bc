//! Where the carrier's list and ours differ, and what is done about it (NUM-13).

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::By;
use crate::serve::numbers::Differences;
use crate::store::{DifferenceKind, written};
use crate::web::extract::{Json, Maybe, Path};
use crate::web::problem::Problem;
use crate::web::{Api, Who};

use super::shapes::{NumberItem, item, title};

/// Where the carrier's list and ours differ.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct NumberDifferences {
    items: Vec<NumberDifference>,
    /// When the carrier's whole list was last read, RFC 3339; `null`: never.
    looked_at: Option<String>,
    /// When that was last tried.
    tried_at: Option<String>,
    /// Why the last attempt has failed; what was known before is what is shown.
    error: Option<String>,
}

/// A difference.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct NumberDifference {
    /// E.164.
    number: String,
    /// `unknown`: the carrier lists it, and we do not; `gone`: the other way round; `elsewhere`: its webhooks are others.
    kind: &'static str,
    /// In words.
    detail: String,
    /// When it was first seen, RFC 3339.
    found_at: String,
    /// What can be done: `take_over` or `repair`.
    action: &'static str,
}

/// Differences
///
/// What the last look at the carrier's list has found; it is looked at every hour.
#[utoipa::path(
    get,
    path = "/api/v1/numbers/differences",
    tag = "Numbers",
    responses((status = 200, description = "All of them", body = NumberDifferences))
)]
pub(super) async fn differences(State(api): State<Api>) -> Result<Json<NumberDifferences>, Problem> {
    Ok(Json(page_of(api.handle.numbers().differences().await?)))
}

/// Look at the carrier's list now
#[utoipa::path(
    post,
    path = "/api/v1/numbers/differences",
    tag = "Numbers",
    responses(
        (status = 200, description = "What differs at this moment", body = NumberDifferences),
        (status = 409, description = "`no_carrier`, `carrier_refused`", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "`carrier_silent`, `carrier_credentials`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`carrier_busy`, `carrier_unreachable`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn look(State(api): State<Api>) -> Result<Json<NumberDifferences>, Problem> {
    Ok(Json(page_of(api.handle.numbers().sweep().await?)))
}

/// What it is to be called.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NumberTitle {
    /// What people are to call it.
    title: Option<String>,
}

/// Take a number over
///
/// One that the carrier lists and we do not: it is in the list from now on, and counts for the quota.
#[utoipa::path(
    post,
    path = "/api/v1/numbers/differences/{number}/take-over",
    tag = "Numbers",
    params(("number" = String, Path, description = "E.164")),
    request_body(content = Option<NumberTitle>),
    responses(
        (status = 201, description = "It is in the list", body = NumberItem),
        (status = 404, description = "`no_number`: the carrier does not list it", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`number_known`, `number_quota`, `no_carrier`, `carrier_refused`", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "`carrier_silent`, `carrier_credentials`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`carrier_busy`, `carrier_unreachable`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn take_over(
    State(api): State<Api>,
    who: Who,
    Path(number): Path<String>,
    Maybe(titled): Maybe<NumberTitle>,
) -> Result<Response, Problem> {
    let number = crate::house::numbers::entered(&number).map_err(|_| absent(&number))?;
    let numbers = api.handle.numbers();
    let row = numbers.take_over(&number, title(titled.unwrap_or_default().title)?).await?;
    api.audit(&who, "number.take_over", &number, None).await;
    let listed = numbers.one(&row.id).await?;
    let location = format!("/api/v1/numbers/{}", row.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(item(listed, None))).into_response())
}

/// Repair a difference
///
/// Sets webhooks as they should be; what the carrier has no more is taken off the list, and from its deployment.
#[utoipa::path(
    post,
    path = "/api/v1/numbers/differences/{number}/repair",
    tag = "Numbers",
    params(("number" = String, Path, description = "E.164")),
    responses(
        (status = 204, description = "It differs no more"),
        (status = 404, description = "`no_number`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`no_difference`, `unknown_number`, `no_carrier`, `carrier_refused`, `public_url`", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "`carrier_silent`, `carrier_credentials`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`carrier_busy`, `carrier_unreachable`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn repair(
    State(api): State<Api>,
    who: Who,
    Path(number): Path<String>,
) -> Result<StatusCode, Problem> {
    let number = crate::house::numbers::entered(&number).map_err(|_| absent(&number))?;
    api.handle.numbers().repair(&number, &who.0.name(), By::Api).await?;
    api.audit(&who, "number.repair", &number, None).await;
    Ok(StatusCode::NO_CONTENT)
}

fn page_of(differences: Differences) -> NumberDifferences {
    let item = |found: crate::store::Difference| NumberDifference {
        kind: match found.kind {
            DifferenceKind::Unknown => "unknown",
            DifferenceKind::Gone => "gone",
            DifferenceKind::Elsewhere => "elsewhere",
        },
        action: if found.kind == DifferenceKind::Unknown { "take_over" } else { "repair" },
        number: found.number,
        detail: found.detail,
        found_at: written(found.found_ms),
    };
    NumberDifferences {
        items: differences.items.into_iter().map(item).collect(),
        looked_at: differences.sweep.at_ms.map(written),
        tried_at: differences.sweep.tried_ms.map(written),
        error: differences.sweep.error,
    }
}

fn absent(number: &str) -> Problem {
    Problem::absent("number", number)
}
