//! What is for sale, which papers it needs, and buying it (NUM-02 to NUM-06, BEYOND-30).

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use crate::house::numbers::market::{Country, Search, Type};
use crate::serve::numbers::{Bought, Papers, Wanted as Purchase};
use crate::web::extract::{Json, Query};
use crate::web::once::required_key;
use crate::web::problem::{Problem, Wrong};
use crate::web::{Api, Who};

use super::shapes::{NumberItem, NumberPrice, item, moment, state, title};

/// What to look for.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NumberSearch {
    /// `US`, `GB`, `DE`, `IT`, `CH`.
    country: String,
    /// `local`, `mobile`, `toll-free`.
    #[serde(rename = "type")]
    #[param(rename = "type")]
    kind: String,
    /// Three digits; in the United States only.
    area_code: Option<String>,
    /// Digits anywhere; with + or 0 before them, at the beginning; not in the United States.
    pattern: Option<String>,
}

/// Numbers for sale.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct AvailableNumbers {
    items: Vec<AvailableNumber>,
    /// What each costs a month; `null`: the carrier does not say.
    price: Option<NumberPrice>,
    /// What a purchase needs beside money, in words; `null`: nothing.
    papers: Option<String>,
    /// Why there is none.
    empty: Option<NoNumbers>,
}

/// A number for sale.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct AvailableNumber {
    /// E.164.
    number: String,
    /// As people of the country write it.
    friendly: String,
    /// Town or area; empty: the carrier does not say.
    locality: String,
    /// State or canton; empty: the carrier does not say.
    region: String,
    /// Which address it asks for: `none`, `any`, `local`, `foreign`.
    address: &'static str,
}

/// Why there is none.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct NoNumbers {
    /// `not_offered`, `none_with_voice`, `none_matches`.
    code: &'static str,
    /// What to say.
    message: String,
    /// And why.
    why: String,
}

/// Numbers for sale
///
/// Only such as can be called. Nothing is kept for who looks.
#[utoipa::path(
    get,
    path = "/api/v1/numbers/available",
    tag = "Numbers",
    params(NumberSearch),
    responses(
        (status = 200, description = "Numbers for sale at this moment, at most 30", body = AvailableNumbers),
        (status = 409, description = "`no_carrier`, `not_by_carrier`, `carrier_refused`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`country`, `type`, `area_code`, `pattern`", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "`carrier_silent`, `carrier_credentials`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`carrier_busy`, `carrier_unreachable`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn available(
    State(api): State<Api>,
    Query(filter): Query<NumberSearch>,
) -> Result<Json<AvailableNumbers>, Problem> {
    let NumberSearch { country, kind, area_code, pattern } = filter;
    let search = Search::of(&country, &kind, area_code.as_deref(), pattern.as_deref()).map_err(parameter)?;
    let found = api.handle.numbers().search(&search).await?;
    let offers = found.offers.into_iter().map(|offer| AvailableNumber {
        number: offer.number,
        friendly: offer.friendly,
        locality: offer.locality,
        region: offer.region,
        address: offer.address,
    });
    Ok(Json(AvailableNumbers {
        items: offers.collect(),
        price: found.price.map(|price| NumberPrice { micros: price.micros, currency: price.currency }),
        papers: found.papers,
        empty: found.nothing.map(|none| NoNumbers { code: none.code, message: none.message, why: none.why }),
    }))
}

/// Which papers are asked about.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NumberPapersOf {
    /// `US`, `GB`, `DE`, `IT`, `CH`.
    country: String,
    /// `local`, `mobile`, `toll-free`.
    #[serde(rename = "type")]
    #[param(rename = "type")]
    kind: String,
}

/// What a purchase needs, and what is on file.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct NumberPapers {
    /// Which address: `none`, `any`, `local`, `foreign`.
    address: &'static str,
    /// Whether an approved regulatory bundle is needed.
    bundle: bool,
    /// In words; `null`: nothing is needed.
    words: Option<String>,
    /// What the carrier wants to see for a bundle.
    requirements: Vec<String>,
    /// Bundles on file.
    bundles: Vec<NumberBundle>,
    /// Addresses on file.
    addresses: Vec<NumberAddress>,
}

/// A bundle on file.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct NumberBundle {
    /// The carrier's id.
    id: String,
    /// What people call it.
    name: String,
    /// `draft`, `in_review`, `approved`, `rejected`.
    state: &'static str,
    /// RFC 3339; `null`: without an end.
    valid_until: Option<String>,
    /// That it ends soon.
    warning: Option<String>,
}

/// An address on file.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct NumberAddress {
    /// The carrier's id.
    id: String,
    /// Whose it is.
    name: String,
    /// Town.
    city: String,
    /// ISO 3166-1 alpha-2.
    country: String,
    /// Whether its country does for these numbers.
    fits: bool,
}

/// Papers
///
/// What numbers of a country and type need beside money, and what of it is on file.
#[utoipa::path(
    get,
    path = "/api/v1/numbers/papers",
    tag = "Numbers",
    params(NumberPapersOf),
    responses(
        (status = 200, description = "What is needed, and what there is", body = NumberPapers),
        (status = 409, description = "`no_carrier`, `not_by_carrier`, `carrier_refused`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`country`, `type`", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "`carrier_silent`, `carrier_credentials`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`carrier_busy`, `carrier_unreachable`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn papers(
    State(api): State<Api>,
    Query(of): Query<NumberPapersOf>,
) -> Result<Json<NumberPapers>, Problem> {
    let country = Country::of(&of.country).map_err(parameter)?;
    let kind = Type::of(&of.kind).map_err(parameter)?;
    let Papers { address, bundle, words, requirements, bundles, addresses } =
        api.handle.numbers().papers(country, kind).await?;
    let bundles = bundles.into_iter().map(|bundle| NumberBundle {
        id: bundle.id,
        name: bundle.name,
        state: bundle.state,
        valid_until: bundle.valid_until.map(moment),
        warning: bundle.warning,
    });
    let addresses = addresses.into_iter().map(|address| NumberAddress {
        id: address.id,
        name: address.name,
        city: address.city,
        country: address.country,
        fits: address.fits,
    });
    let (bundles, addresses) = (bundles.collect(), addresses.collect());
    Ok(Json(NumberPapers { address, bundle, words, requirements, bundles, addresses }))
}

/// What to buy.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NumberPurchase {
    /// `US`, `GB`, `DE`, `IT`, `CH`.
    country: String,
    /// `local`, `mobile`, `toll-free`.
    #[serde(rename = "type")]
    kind: String,
    /// E.164, as the search found it.
    number: String,
    /// What people are to call it.
    title: Option<String>,
    /// The carrier's id of an approved bundle.
    bundle: Option<String>,
    /// The carrier's id of an address.
    address: Option<String>,
    /// The most that it may cost a month, in millionths of the currency that the search has named.
    max_price_micros: Option<u64>,
}

/// Buy a number
///
/// It costs a month at once. The same `Idempotency-Key` again never buys a second one. 502 `carrier_silent` says that nobody knows
/// yet: it is looked up, and appears in the list if it was bought.
#[utoipa::path(
    post,
    path = "/api/v1/numbers",
    tag = "Numbers",
    request_body = NumberPurchase,
    params(("Idempotency-Key" = String, Header, description = "New for each number that is meant")),
    responses(
        (status = 201, description = "It is yours", body = NumberItem),
        (status = 202, description = "The carrier takes its time", body = NumberItem),
        (status = 409, description = "`number_quota`, `number_known`, `number_gone`, `papers_refused`, `account_limit`, `carrier_refused`, `price_changed`, `key_reused`, `no_carrier`, `not_by_carrier`, `public_url`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`country`, `type`, `number_form`, `papers_missing`, `papers_unfit`", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "`carrier_silent`, `carrier_credentials`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`carrier_busy`, `carrier_unreachable`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn buy(
    State(api): State<Api>,
    who: Who,
    headers: HeaderMap,
    Json(buy): Json<NumberPurchase>,
) -> Result<Response, Problem> {
    let key = required_key(&headers)?;
    let search = Search::of(&buy.country, &buy.kind, None, None)?;
    let number = crate::house::numbers::entered(&buy.number)?;
    let purchase = Purchase {
        key: format!("{}\n{key}", who.0.name()),
        search,
        number: number.clone(),
        title: title(buy.title)?,
        bundle: paper("bundle", buy.bundle)?,
        address: paper("address", buy.address)?,
        most_micros: buy.max_price_micros,
    };
    let numbers = api.handle.numbers();
    let bought = numbers.buy(purchase).await;
    let told = match &bought {
        Ok(Bought::Held(row) | Bought::Buying(row)) => json!({ "number": number, "state": state(row.state) }),
        Err(error) => json!({ "number": number, "refused": error.to_string() }),
    };
    api.audit(&who, "number.buy", &number, Some(told)).await;
    let (status, row) = match bought? {
        Bought::Held(row) => (StatusCode::CREATED, row),
        Bought::Buying(row) => (StatusCode::ACCEPTED, row),
    };
    let listed = numbers.one(&row.id).await?;
    let location = format!("/api/v1/numbers/{}", row.id);
    Ok((status, [(header::LOCATION, location)], Json(item(listed, None))).into_response())
}

/// A refusal of what stands behind `?`.
fn parameter(refusal: crate::house::Refusal) -> Problem {
    let name = refusal.field.unwrap_or_default();
    Problem::wrong(vec![Wrong::parameter(name, refusal.code, refusal.message)])
}

/// An id of the carrier's.
fn paper(field: &str, id: Option<String>) -> Result<Option<String>, Problem> {
    let Some(id) = id.filter(|id| !id.is_empty()) else { return Ok(None) };
    if id.len() <= MAX_ID && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Ok(Some(id));
    }
    Err(Problem::wrong(vec![Wrong::field(field, "papers_unfit", "This is no id of the carrier's.")]))
}

const MAX_ID: usize = 64;
