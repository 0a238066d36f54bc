//! A number as it is shown, and what is asked of its title and countries.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::house::numbers::Origin;
use crate::house::numbers::reach::countries;
use crate::serve::numbers::{Listed, Urls};
use crate::store::{NumberOrigin, NumberRow, NumberState, written};
use crate::web::problem::{Problem, Wrong};

/// A phone number.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct NumberItem {
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
    /// The same as people read it: not before that minute, in the organization's time zone, which is named.
    releasable_shown: Option<String>,
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
pub(super) struct NumberPrice {
    /// In millionths of the currency.
    pub(super) micros: u64,
    /// ISO 4217.
    pub(super) currency: String,
}

/// Where calls go.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct NumberWebhook {
    /// Asked (POST) what to do with a call.
    voice_url: String,
    /// Told (POST) when a call is over.
    status_callback: String,
    /// Asked when `voice_url` fails.
    fallback_url: Option<String>,
}

pub(super) fn item(listed: Listed, urls: Option<&Urls>) -> NumberItem {
    let Listed { row, in_document_only, deployment, releasable, releasable_shown } = listed;
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
        releasable_shown,
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

pub(super) fn state(state: NumberState) -> &'static str {
    match state {
        NumberState::Buying => "buying",
        NumberState::Held => "held",
        NumberState::Releasing => "releasing",
        NumberState::Failed => "failed",
    }
}

pub(super) fn moment(at: Timestamp) -> String {
    written(at.as_millisecond())
}

pub(super) fn title(text: Option<String>) -> Result<Option<String>, Problem> {
    let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    match text {
        Some(text) if text.chars().count() > MAX_TITLE || text.chars().any(char::is_control) => {
            let message = format!("A title has at most {MAX_TITLE} characters, on one line.");
            Err(Problem::wrong(vec![Wrong::field("title", "title", message)]))
        }
        text => Ok(text),
    }
}

pub(super) fn set(
    field: &str,
    codes: Option<Option<Vec<String>>>,
) -> Result<Option<Option<BTreeSet<String>>>, Problem> {
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
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

const MAX_TITLE: usize = 80;
