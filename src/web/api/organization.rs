//! `org`: what the organization has chosen about its people.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::store::people::OrgSettings;
use crate::web::extract::{Json, Nothing, Query};
use crate::web::problem::Problem;
use crate::web::{Api, Who};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(show, change))
}

/// What the organization has chosen.
#[derive(Serialize, ToSchema)]
struct OrgItem {
    /// Every member needs a second factor. Who has none can do nothing but set one up.
    second_factor: bool,
}

/// What it is to choose; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OrgChange {
    /// Every member needs a second factor.
    second_factor: Option<bool>,
}

/// The organization's settings
#[utoipa::path(
    get,
    path = "/api/v1/org",
    tag = "Organization",
    responses((status = 200, description = "The settings", body = OrgItem))
)]
async fn show(State(api): State<Api>, _: Query<Nothing>) -> Result<Json<OrgItem>, Problem> {
    let settings = api.handle.store().people().settings().await?;
    Ok(Json(OrgItem { second_factor: settings.second_factor }))
}

/// Changes the organization's settings
#[utoipa::path(
    patch,
    path = "/api/v1/org",
    tag = "Organization",
    request_body = OrgChange,
    responses((status = 200, description = "The settings from now on", body = OrgItem))
)]
async fn change(State(api): State<Api>, who: Who, Json(body): Json<OrgChange>) -> Result<Json<OrgItem>, Problem> {
    let people = api.handle.store().people();
    let before = people.settings().await?;
    let after = OrgSettings { second_factor: body.second_factor.unwrap_or(before.second_factor) };
    if after != before {
        people.set_settings(&who.0.name(), after).await?;
    }
    Ok(Json(OrgItem { second_factor: after.second_factor }))
}
