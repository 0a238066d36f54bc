//! `org/residency`: where the organization's data may go (RES-01), and what a change of that would flag (RES-05).

use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::{DocId, Residency, Tier};
use crate::house::residency::{TIERS, label};
use crate::house::review::{Facts, Verdict, of_tier};
use crate::web::documents::{Change, Dry, Flagged};
use crate::web::extract::{Json, Nothing, Query};
use crate::web::problem::{Problem, Wrong};
use crate::web::{Api, Who};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(get, change))
}

/// Where data may go.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ResidencyView {
    /// `swiss_swiss`, `swiss_any`, `europe_europe`, `europe_any` or `global`.
    tier: Value,
    /// What people call it, such as `Europe / any`.
    label: &'static str,
    /// All tiers, the strictest first.
    tiers: Vec<TierItem>,
    /// Where this server stands, as declared: ISO 3166-1 alpha-2.
    infrastructure: Option<String>,
    /// Where knowledge is kept.
    knowledge: Option<String>,
    /// Where chats are kept.
    chats: Option<String>,
    /// The carrier's country.
    phone_provider: Option<String>,
}

/// A tier.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct TierItem {
    /// As documents say it.
    tier: Value,
    /// As people do.
    label: &'static str,
}

/// Where data may go from now on.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTier {
    /// `swiss_swiss`, `swiss_any`, `europe_europe`, `europe_any` or `global`.
    tier: String,
}

/// What a change of the tier has flagged, or would flag.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct TierChange {
    /// The tier that is, or would be.
    tier: Value,
    /// What people call it.
    label: &'static str,
    /// What goes on and is flagged, until somebody chooses another model. No deployment is changed.
    flagged: Vec<FlaggedDocument>,
    /// Nothing was changed: it was only asked what would be.
    dry_run: bool,
}

/// A document with a model that does not comply.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct FlaggedDocument {
    /// Such as `deployments/main.toml`.
    document: String,
    flag: Flagged,
}

/// Where data may go
#[utoipa::path(
    get,
    path = "/api/v1/org/residency",
    tag = "Organization",
    responses((status = 200, description = "The tier, and what is declared", body = ResidencyView))
)]
async fn get(State(api): State<Api>, _: Query<Nothing>) -> Json<ResidencyView> {
    let config = api.handle.config();
    let Residency { tier, infrastructure, knowledge, chats, phone_provider } = config.server.residency.clone();
    let tiers = TIERS.iter().map(|(tier, label)| TierItem { tier: json!(tier), label });
    let (label, tiers, tier) = (label(tier), tiers.collect(), json!(tier));
    Json(ResidencyView { tier, label, tiers, infrastructure, knowledge, chats, phone_provider })
}

/// Where data may go, changed
///
/// The answer lists what is flagged by it; with `dry_run` what would be, to be shown before it is saved.
#[utoipa::path(
    patch,
    path = "/api/v1/org/residency",
    tag = "Organization",
    params(Dry),
    request_body = NewTier,
    responses((status = 200, description = "What is flagged", body = TierChange))
)]
async fn change(
    State(api): State<Api>,
    who: Who,
    Query(dry): Query<Dry>,
    headers: HeaderMap,
    Json(new): Json<NewTier>,
) -> Result<Json<TierChange>, Problem> {
    let tier: Tier = serde_json::from_value(new.tier.into()).map_err(|_| {
        let known = TIERS.map(|(tier, _)| json!(tier).as_str().unwrap_or_default().to_owned()).join(", ");
        Problem::wrong(vec![Wrong::field("tier", "tier", format!("There is no such tier. There are {known}."))])
    })?;
    let config = api.handle.config();
    let findings = of_tier(&Facts::of(&config), tier, jiff::Timestamp::now());
    let flagged = findings.into_iter().filter_map(|finding| match finding.verdict {
        Verdict::Flagged(flag) => Some(FlaggedDocument {
            document: DocId::from(&finding.document).to_string(),
            flag: Flagged { code: flag.code, field: finding.field_path.to_owned(), message: flag.message },
        }),
        Verdict::Refused(_) => None,
    });
    let flagged = flagged.collect();
    let mut keys = Map::new();
    keys.insert("residency".to_owned(), json!({ "tier": tier }));
    let change = Change { api: &api, who: &who, doc: DocId::Server, dry, action: "org.residency" };
    change.keys(&headers, keys).await?;
    Ok(Json(TierChange { tier: json!(tier), label: label(tier), flagged, dry_run: dry.is() }))
}
