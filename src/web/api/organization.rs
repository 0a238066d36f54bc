//! `org`: what the organization has chosen about its people.

use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::DocId;
use crate::house::{people as rules, zone};
use crate::store::people::OrgSettings;
use crate::web::documents::{Change, Dry};
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
    /// Whose days and hours people read: an IANA name, such as `Europe/Zurich`. What the API answers is UTC all the same.
    timezone: String,
}

/// What it is to choose; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OrgChange {
    /// Every member needs a second factor.
    second_factor: Option<bool>,
    /// An IANA name, such as `Europe/Zurich`, `America/New_York` or `UTC`.
    timezone: Option<String>,
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
    let timezone = api.handle.config().server.organization.timezone.clone();
    Ok(Json(OrgItem { second_factor: settings.second_factor, timezone }))
}

/// Changes the organization's settings
#[utoipa::path(
    patch,
    path = "/api/v1/org",
    tag = "Organization",
    request_body = OrgChange,
    responses(
        (status = 200, description = "The settings from now on", body = OrgItem),
        (status = 409, description = "`no_seal_key`: without a key nobody could set a second factor up"),
        (status = 422, description = "`timezone`: there is no such time zone")
    )
)]
async fn change(
    State(api): State<Api>,
    who: Who,
    headers: HeaderMap,
    Json(body): Json<OrgChange>,
) -> Result<Json<OrgItem>, Problem> {
    let people = api.handle.store().people();
    let before = people.settings().await?;
    let after = OrgSettings { second_factor: body.second_factor.unwrap_or(before.second_factor) };
    if after.second_factor && !before.second_factor {
        // Whoever has none could set none up, and do nothing else either.
        rules::may_seal_factor(api.handle.config().server.store.seal_key.is_some())?;
    }
    if let Some(timezone) = &body.timezone {
        zone::zone(timezone)?;
        let keys = Map::from_iter([("organization".to_owned(), json!({ "timezone": timezone }))]);
        let change = Change { api: &api, who: &who, doc: DocId::Server, dry: Dry::default(), action: "org.timezone" };
        change.keys(&headers, keys).await?;
    }
    if after != before {
        people.set_settings(&who.0.name(), after).await?;
    }
    let timezone = api.handle.config().server.organization.timezone.clone();
    Ok(Json(OrgItem { second_factor: after.second_factor, timezone }))
}
