//! `numbers`: phone numbers of the organization, searched for, bought, assigned, given back, and where the carrier's list differs
//! (NUM-01 to NUM-14).

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::{By, DocId};
use crate::house::numbers::market::{Country, Search, Type};
use crate::house::numbers::reach::countries;
use crate::house::numbers::{Origin, used};
use crate::serve::numbers::{Bought, Change, Differences, Listed, NumberError, Papers, Urls, Wanted as Purchase};
use crate::store::{DifferenceKind, NumberOrigin, NumberRow, NumberState, written};
use crate::web::documents::refused;
use crate::web::extract::{Json, Maybe, Path, Query};
use crate::web::once::required_key;
use crate::web::page::{Page, Wanted};
use crate::web::problem::{Problem, Wrong};
use crate::web::{Api, Who};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list, buy))
        .routes(routes!(enter))
        .routes(routes!(available))
        .routes(routes!(papers))
        .routes(routes!(differences, look))
        .routes(routes!(take_over))
        .routes(routes!(repair))
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

/// A phone number.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct NumberItem {
    id: String,
    /// E.164.
    number: String,
    /// `bought`, `taken_over`, `by_hand`; `document`: only a deployment's document has it.
    origin: &'static str,
    /// `held`; `buying`: the carrier was asked, and nobody knows yet; `releasing`; `failed`: it was not bought.
    state: &'static str,
    /// ISO 3166-1 alpha-2.
    country: Option<String>,
    /// `local`, `mobile`, `toll-free`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// What people call it.
    title: Option<String>,
    /// The deployment that has it; `null`: it is in the pool.
    deployment: Option<String>,
    /// Whether it counts for the quota.
    counts: bool,
    /// When it was bought at the carrier, RFC 3339.
    bought_at: Option<String>,
    /// From when it can be released, RFC 3339; `null`: it cannot be released here.
    releasable_from: Option<String>,
    /// What it cost a month when it was bought.
    price: Option<NumberPrice>,
    /// Countries from which calls are taken, ISO 3166-1 alpha-2; `null`: its own and those of the other numbers.
    calls_from: Option<Vec<String>>,
    /// Countries to which calls may go, likewise.
    calls_to: Option<Vec<String>>,
    /// Why it was not bought.
    error: Option<String>,
    /// Where its carrier is to send calls, to be copied there; `null`: it is set by this server.
    webhook: Option<NumberWebhook>,
}

/// An amount a month.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct NumberPrice {
    /// In millionths of the currency.
    micros: u64,
    /// ISO 4217.
    currency: String,
}

/// Where calls go.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct NumberWebhook {
    /// Asked (POST) what to do with a call.
    voice_url: String,
    /// Told (POST) when a call is over.
    status_callback: String,
    /// Asked when `voice_url` fails.
    fallback_url: Option<String>,
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

/// What to buy.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NumberPurchase {
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
        (status = 409, description = "`number_quota`, `number_known`, `number_gone`, `papers_refused`, `account_limit`, `carrier_refused`, `price_changed`, `key_reused`, `no_carrier`, `public_url`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`country`, `type`, `number_form`, `papers_missing`, `papers_unfit`", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "`carrier_silent`, `carrier_credentials`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`carrier_busy`, `carrier_unreachable`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn buy(
    State(api): State<Api>,
    who: Who,
    headers: HeaderMap,
    Json(buy): Json<NumberPurchase>,
) -> Result<Response, Problem> {
    let key = required_key(&headers)?;
    let search = Search::of(&buy.country, &buy.kind, None, None)?;
    let number = crate::house::numbers::entered(&buy.number)?;
    let who = who.0.name();
    let purchase = Purchase {
        key: format!("{who}\n{key}"),
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
    audit(&api, &who, "number.buy", &number, Some(told)).await;
    let (status, row) = match bought? {
        Bought::Held(row) => (StatusCode::CREATED, row),
        Bought::Buying(row) => (StatusCode::ACCEPTED, row),
    };
    let listed = numbers.one(&row.id).await?;
    let location = format!("/api/v1/numbers/{}", row.id);
    Ok((status, [(header::LOCATION, location)], Json(item(listed, None))).into_response())
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
    audit(&api, &who.0.name(), "number.enter", &listed.row.number, None).await;
    let location = format!("/api/v1/numbers/{}", listed.row.id);
    let urls = numbers.urls().ok();
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(item(listed, urls.as_ref()))).into_response())
}

/// What to look for.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct NumberSearch {
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
struct AvailableNumbers {
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
struct AvailableNumber {
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
struct NoNumbers {
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
        (status = 409, description = "`no_carrier`, `carrier_refused`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`country`, `type`, `area_code`, `pattern`", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "`carrier_silent`, `carrier_credentials`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`carrier_busy`, `carrier_unreachable`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn available(
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
struct NumberPapersOf {
    /// `US`, `GB`, `DE`, `IT`, `CH`.
    country: String,
    /// `local`, `mobile`, `toll-free`.
    #[serde(rename = "type")]
    #[param(rename = "type")]
    kind: String,
}

/// What a purchase needs, and what is on file.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct NumberPapers {
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
struct NumberBundle {
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
struct NumberAddress {
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
        (status = 409, description = "`no_carrier`, `carrier_refused`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`country`, `type`", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "`carrier_silent`, `carrier_credentials`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`carrier_busy`, `carrier_unreachable`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn papers(State(api): State<Api>, Query(of): Query<NumberPapersOf>) -> Result<Json<NumberPapers>, Problem> {
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

/// Where the carrier's list and ours differ.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct NumberDifferences {
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
struct NumberDifference {
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
async fn differences(State(api): State<Api>) -> Result<Json<NumberDifferences>, Problem> {
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
async fn look(State(api): State<Api>) -> Result<Json<NumberDifferences>, Problem> {
    Ok(Json(page_of(api.handle.numbers().sweep().await?)))
}

/// What it is to be called.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NumberTitle {
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
async fn take_over(
    State(api): State<Api>,
    who: Who,
    Path(number): Path<String>,
    Maybe(titled): Maybe<NumberTitle>,
) -> Result<Response, Problem> {
    let number = crate::house::numbers::entered(&number).map_err(|_| absent(&number))?;
    let numbers = api.handle.numbers();
    let row = numbers.take_over(&number, title(titled.unwrap_or_default().title)?).await?;
    audit(&api, &who.0.name(), "number.take_over", &number, None).await;
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
async fn repair(State(api): State<Api>, who: Who, Path(number): Path<String>) -> Result<StatusCode, Problem> {
    let number = crate::house::numbers::entered(&number).map_err(|_| absent(&number))?;
    let who = who.0.name();
    api.handle.numbers().repair(&number, &who, By::Api).await?;
    audit(&api, &who, "number.repair", &number, None).await;
    Ok(StatusCode::NO_CONTENT)
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
    audit(&api, &who.0.name(), "number.change", &listed.row.number, Some(told)).await;
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
    audit(&api, &who.0.name(), "number.remove", &row.number, None).await;
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
    let (numbers, who) = (api.handle.numbers(), who.0.name());
    let listed = numbers.assign(&id, &assign.deployment, &who, By::Api).await?;
    let told = Some(json!({ "deployment": assign.deployment }));
    audit(&api, &who, "number.assign", &listed.row.number, told).await;
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
    let (numbers, who) = (api.handle.numbers(), who.0.name());
    let (listed, warning) = numbers.unassign(&id, &who, By::Api).await?;
    audit(&api, &who, "number.unassign", &listed.row.number, None).await;
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
    audit(&api, &who.0.name(), "number.release", &number, told).await;
    released?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is done is done, also when it cannot be noted.
async fn audit(api: &Api, who: &str, action: &str, object: &str, detail: Option<serde_json::Value>) {
    if let Err(error) = api.handle.store().audit(who, action, object, detail).await {
        tracing::error!(%error, action, "what somebody did is not in the audit log");
    }
}

fn item(listed: Listed, urls: Option<&Urls>) -> NumberItem {
    let Listed { row, in_document_only, deployment, releasable } = listed;
    let NumberRow { id, number, country, kind, title, error, .. } = row;
    let by_hand = row.origin == NumberOrigin::ByHand;
    let split = |text: Option<String>| {
        text.map(|text| text.split(',').filter(|code| !code.is_empty()).map(str::to_owned).collect::<Vec<_>>())
    };
    NumberItem {
        id,
        number,
        origin: match row.origin {
            _ if in_document_only => "document",
            NumberOrigin::Bought => "bought",
            NumberOrigin::TakenOver => "taken_over",
            NumberOrigin::ByHand => "by_hand",
        },
        state: state(row.state),
        country,
        kind,
        title,
        deployment,
        counts: crate::house::numbers::counts(if by_hand { Origin::ByHand } else { Origin::Bought }),
        bought_at: row.bought_ms.map(written),
        releasable_from: releasable.map(moment),
        price: row
            .price_micros
            .zip(row.currency)
            .and_then(|(micros, currency)| Some(NumberPrice { micros: u64::try_from(micros).ok()?, currency })),
        calls_from: split(row.calls_from),
        calls_to: split(row.calls_to),
        error,
        webhook: urls.filter(|_| by_hand).map(|urls| NumberWebhook {
            voice_url: urls.voice_url.clone(),
            status_callback: urls.status_callback.clone(),
            fallback_url: urls.fallback_url.clone(),
        }),
    }
}

fn state(state: NumberState) -> &'static str {
    match state {
        NumberState::Buying => "buying",
        NumberState::Held => "held",
        NumberState::Releasing => "releasing",
        NumberState::Failed => "failed",
    }
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

fn moment(at: Timestamp) -> String {
    written(at.as_millisecond())
}

/// A refusal of what stands behind `?`.
fn parameter(refusal: crate::house::Refusal) -> Problem {
    let name = refusal.field.unwrap_or_default();
    Problem::wrong(vec![Wrong::parameter(name, refusal.code, refusal.message)])
}

fn absent(number: &str) -> Problem {
    Problem::absent("number", number)
}

fn title(text: Option<String>) -> Result<Option<String>, Problem> {
    let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    match text {
        Some(text) if text.chars().count() > MAX_TITLE || text.chars().any(char::is_control) => {
            let message = format!("A title has at most {MAX_TITLE} characters, on one line.");
            Err(Problem::wrong(vec![Wrong::field("title", "title", message)]))
        }
        text => Ok(text),
    }
}

/// An id of the carrier's.
fn paper(field: &str, id: Option<String>) -> Result<Option<String>, Problem> {
    let Some(id) = id.filter(|id| !id.is_empty()) else { return Ok(None) };
    if id.len() <= MAX_ID && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Ok(Some(id));
    }
    Err(Problem::wrong(vec![Wrong::field(field, "papers_unfit", "This is no id of the carrier's.")]))
}

fn set(field: &str, codes: Option<Option<Vec<String>>>) -> Result<Option<Option<BTreeSet<String>>>, Problem> {
    let Some(Some(codes)) = codes else { return Ok(codes.map(|_| None)) };
    let codes: BTreeSet<String> = codes.into_iter().map(|code| code.trim().to_ascii_uppercase()).collect();
    let known: BTreeSet<&str> = countries().collect();
    match codes.iter().find(|code| !known.contains(code.as_str())) {
        Some(code) => {
            let code: String = code.chars().take(20).collect();
            let message = format!("{code:?} is no country: ISO 3166-1 alpha-2, such as \"CH\".");
            Err(Problem::wrong(vec![Wrong::field(field, "country", message)]))
        }
        None => Ok(Some(Some(codes))),
    }
}

/// Tells `null` from what is left out.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

const MAX_TITLE: usize = 80;
const MAX_ID: usize = 64;
