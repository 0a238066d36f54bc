//! `models`: what there is to choose from, filtered for a channel and the organization's data residency (MOD-02 to MOD-05).

use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::{Billing, ModelCard, ModelKind, Tier};
use crate::house::rates::{Rate, rate};
use crate::house::{deployments, models, residency};
use crate::store::minute_micros;
use crate::web::Api;
use crate::web::extract::{Json, Query};
use crate::web::page::{Page, Wanted, link, with_link};
use crate::web::problem::{Problem, Wrong};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list))
}

/// Which models are wanted.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// `phone`, `website` or `internal`: only models that fit the channel and the organization's data residency.
    channel: Option<String>,
    /// Part of the name or of the vendor's, in any case.
    search: Option<String>,
    /// Models on a page: 1 to 100; 25 if it is left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
}

/// A model, as far as it is declared.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ModelItem {
    /// Its name in `models.toml`, which documents name.
    name: String,
    /// `voice` talks to callers, `text` reads and writes.
    kind: &'static str,
    /// Who runs it.
    vendor: Option<String>,
    /// The vendor's country, ISO 3166-1 alpha-2.
    vendor_country: Option<String>,
    /// Where it is hosted, likewise.
    hosting_country: Option<String>,
    /// Whether the vendor trains on what it is sent.
    trains_on_data: Option<bool>,
    /// Voices that it has; empty: not declared.
    voices: Vec<String>,
    /// Options that it has; `null`: not declared.
    options: Option<Vec<String>>,
    /// Whether it fits the organization's data residency.
    complies: bool,
    /// What it costs, about: an estimate. `null`: not known.
    #[schema(value_type = Option<Object>)]
    about: Option<Rate>,
}

/// Models to choose from.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ModelPage {
    items: Vec<ModelItem>,
    /// The cursor of the next page; `null`: this is the last.
    next: Option<String>,
    /// Why there is none, though the catalogue has some for the channel.
    empty: Option<Why>,
    /// The currency of the rates.
    currency: Option<String>,
}

/// Why a list is empty.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Why {
    /// Stable, in snake case.
    code: &'static str,
    /// In words.
    message: String,
}

/// The catalogue of models
///
/// With `channel`, only what a deployment of that channel may choose.
#[utoipa::path(
    get,
    path = "/api/v1/models",
    tag = "Models",
    params(Filter),
    responses((status = 200, description = "Models in the catalogue's order", body = ModelPage))
)]
async fn list(State(api): State<Api>, uri: Uri, Query(filter): Query<Filter>) -> Result<Response, Problem> {
    let config = api.handle.config();
    let (tier, billing) = (config.server.residency.tier, &config.server.billing);
    let cards = config.models.values().map(AsRef::as_ref);
    let (cards, empty) = match &filter.channel {
        None => (cards.collect(), None),
        Some(name) => {
            let channel = deployments::channel(name)
                .map_err(|no| Problem::wrong(vec![Wrong::parameter("channel", no.code, no.message)]))?;
            let offer = models::offer(channel, tier, cards);
            (offer.models, offer.empty)
        }
    };
    let search = filter.search.as_deref().unwrap_or_default().to_lowercase();
    let found = |card: &&ModelCard| {
        let vendor = card.facts.vendor.as_deref().unwrap_or_default();
        card.name.to_lowercase().contains(&search) || vendor.to_lowercase().contains(&search)
    };
    let wanted = Wanted { limit: filter.limit, cursor: filter.cursor };
    let cards = cards.into_iter().filter(found);
    let page = Page::of(cards, &wanted, |card| card.name.clone(), |card| item(card, tier, billing))?;
    let next = page.next.clone();
    let page = ModelPage {
        items: page.items,
        next: page.next,
        empty: empty.map(|flag| Why { code: flag.code, message: flag.message }),
        currency: billing.currency.clone(),
    };
    let link = next.as_deref().map(|next| link(&uri, next));
    Ok(with_link(Json(page).into_response(), link))
}

fn item(card: &ModelCard, tier: Tier, billing: &Billing) -> ModelItem {
    let facts = card.facts.clone();
    ModelItem {
        name: card.name.clone(),
        kind: match card.kind {
            ModelKind::Voice => "voice",
            ModelKind::Text => "text",
        },
        vendor: facts.vendor,
        vendor_country: facts.vendor_country,
        hosting_country: facts.hosting_country,
        trains_on_data: facts.trains_on_data,
        voices: facts.voices,
        options: facts.options,
        complies: residency::fits(tier, &card.facts),
        about: rate(card, billing, card.price.as_ref().map_or(0, minute_micros)),
    }
}
