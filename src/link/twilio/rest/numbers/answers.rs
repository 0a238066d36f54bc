//! What the carrier answers. Nulls, empty texts and what is not there mean the same to it, and so they do here.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::super::date::seconds;
use super::super::{RestError, complaint};
use super::Kind;

/// A number for sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// E.164.
    pub number: String,
    /// As people of the country write it, or E.164.
    pub friendly: String,
    /// Town or area; empty: the carrier does not say.
    pub locality: String,
    /// State or canton; empty: the carrier does not say.
    pub region: String,
    /// `none`, `any`, `local` or `foreign`.
    pub address: String,
    /// Whether it can be called.
    pub voice: bool,
}

/// A number that the account has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owned {
    /// `PN…`.
    pub sid: String,
    /// E.164.
    pub number: String,
    /// What it is called there.
    pub tag: String,
    /// Its type, where it is one of ours.
    pub kind: Option<Kind>,
    /// Where its calls go; all are empty when nothing is set.
    pub voice_url: String,
    /// See `voice_url`.
    pub fallback_url: String,
    /// See `voice_url`.
    pub status_callback: String,
    /// An application or a trunk that goes before `voice_url`.
    pub diverted: String,
    /// Seconds since 1970; `None`: the carrier does not say.
    pub created_s: Option<u64>,
}

/// Part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What it has.
    pub items: Vec<T>,
    /// Where the next part is; `None`: this is the last.
    pub next: Option<String>,
}

/// What numbers of a country and type need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regulation {
    /// What people call it.
    pub name: String,
    /// `individual` or `business`.
    pub end_user: String,
    /// What is wanted, by name.
    pub requirements: Vec<String>,
}

/// A bundle on file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleOnFile {
    /// `BU…`.
    pub sid: String,
    /// What people call it.
    pub name: String,
    /// The carrier's state.
    pub status: String,
    /// ISO 8601; empty: without an end.
    pub valid_until: String,
    /// ISO 3166-1 alpha-2; empty: the carrier does not say.
    pub country: String,
    /// Its type, where it is one of ours.
    pub kind: Option<Kind>,
}

/// An address on file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressOnFile {
    /// `AD…`.
    pub sid: String,
    /// Whose it is.
    pub name: String,
    /// Town.
    pub city: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
}

/// What numbers of a type cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// A month, in millionths of `currency`.
    pub micros: u64,
    /// ISO 4217.
    pub currency: String,
}

/// The answer to [`of_country`](super::of_country).
///
/// # Errors
/// There is no such country, or the carrier does not say.
pub fn types(status: u16, body: &[u8]) -> Result<Vec<Kind>, RestError> {
    #[derive(Deserialize)]
    struct Country {
        #[serde(default)]
        subresource_uris: BTreeMap<String, Value>,
    }
    let country: Country = read(status, body)?;
    let there = |kind: &Kind| country.subresource_uris.get(kind.key()).is_some_and(Value::is_string);
    Ok(Kind::ALL.into_iter().filter(there).collect())
}

/// The answer to [`search`](super::search).
///
/// # Errors
/// There is no such type (404, 20404), or the carrier does not say.
pub fn offers(status: u16, body: &[u8]) -> Result<Vec<Offer>, RestError> {
    #[derive(Deserialize)]
    struct Answer {
        available_phone_numbers: Vec<Available>,
    }
    #[derive(Deserialize)]
    struct Available {
        phone_number: String,
        #[serde(default, deserialize_with = "text")]
        friendly_name: String,
        #[serde(default, deserialize_with = "text")]
        locality: String,
        #[serde(default, deserialize_with = "text")]
        region: String,
        #[serde(default, deserialize_with = "text")]
        address_requirements: String,
        #[serde(default)]
        capabilities: BTreeMap<String, Option<bool>>,
    }
    let answer: Answer = read(status, body)?;
    let offer = |found: Available| {
        // Live and documented answers differ in case.
        let can = |(name, can): (&String, &Option<bool>)| name.eq_ignore_ascii_case("voice") && *can == Some(true);
        Offer {
            voice: found.capabilities.iter().any(can),
            number: found.phone_number,
            friendly: found.friendly_name,
            locality: found.locality,
            region: found.region,
            address: found.address_requirements,
        }
    };
    Ok(answer.available_phone_numbers.into_iter().map(offer).collect())
}

/// The answer to [`buy`](super::buy), [`set_hooks`](super::set_hooks) and [`fetch`](super::fetch).
///
/// # Errors
/// The carrier refuses, or (5xx, also for a success that cannot be read) nobody knows what it did.
pub fn owned(status: u16, body: &[u8]) -> Result<Owned, RestError> {
    let found: Incoming = read(status, body)?;
    if found.sid.is_empty() || found.phone_number.is_empty() {
        return Err(complaint(502, b""));
    }
    Ok(found.into())
}

/// The answer to [`list`](super::list), without what is in it twice.
///
/// # Errors
/// The carrier does not say.
pub fn page_of_owned(status: u16, body: &[u8]) -> Result<Page<Owned>, RestError> {
    #[derive(Deserialize)]
    struct Answer {
        incoming_phone_numbers: Vec<Incoming>,
        #[serde(default, deserialize_with = "text")]
        next_page_uri: String,
    }
    let answer: Answer = read(status, body)?;
    let items = answer.incoming_phone_numbers.into_iter().map(Owned::from).collect();
    Ok(Page { items, next: some(answer.next_page_uri) })
}

/// The answer to [`release`](super::release). One that is gone is what is wanted.
///
/// # Errors
/// The carrier refuses, or nobody knows what it did.
pub fn released(status: u16, body: &[u8]) -> Result<(), RestError> {
    if (200..300).contains(&status) {
        return Ok(());
    }
    let error = complaint(status, body);
    if status == 404 || error.code == Some(super::super::NOT_FOUND) { Ok(()) } else { Err(error) }
}

/// The answer to [`ask_regulations`](super::ask_regulations).
///
/// # Errors
/// The carrier does not say.
pub fn regulations(status: u16, body: &[u8]) -> Result<Vec<Regulation>, RestError> {
    #[derive(Deserialize)]
    struct Answer {
        results: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default, deserialize_with = "text")]
        friendly_name: String,
        #[serde(default, deserialize_with = "text")]
        end_user_type: String,
        #[serde(default)]
        requirements: Value,
    }
    let answer: Answer = read(status, body)?;
    let named = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let regulation = |one: One| {
        let empty = Vec::new();
        let users = one.requirements["end_user"].as_array().unwrap_or(&empty);
        let users = users.iter().filter_map(|user| named(user, "name").or_else(|| named(user, "requirement_name")));
        let documents = one.requirements["supporting_document"].as_array().unwrap_or(&empty).iter();
        let documents = documents.flat_map(|group| group.as_array().into_iter().flatten());
        let documents = documents.filter_map(|one| named(one, "name").or_else(|| named(one, "requirement_name")));
        Regulation {
            requirements: users.chain(documents).collect(),
            name: one.friendly_name,
            end_user: one.end_user_type,
        }
    };
    Ok(answer.results.into_iter().map(regulation).collect())
}

/// The answer to [`ask_bundles`](super::ask_bundles).
///
/// # Errors
/// The carrier does not say.
pub fn bundles(status: u16, body: &[u8]) -> Result<Page<BundleOnFile>, RestError> {
    #[derive(Deserialize)]
    struct Answer {
        results: Vec<One>,
        #[serde(default)]
        meta: Meta,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Meta {
        #[serde(deserialize_with = "text")]
        next_page_url: String,
    }
    #[derive(Deserialize)]
    struct One {
        sid: String,
        #[serde(default, deserialize_with = "text")]
        friendly_name: String,
        #[serde(default, deserialize_with = "text")]
        status: String,
        #[serde(default, deserialize_with = "text")]
        valid_until: String,
        #[serde(default, deserialize_with = "text")]
        iso_country: String,
        #[serde(default, deserialize_with = "text")]
        number_type: String,
    }
    let answer: Answer = read(status, body)?;
    let bundle = |one: One| BundleOnFile {
        kind: Kind::of_regulated(&one.number_type),
        sid: one.sid,
        name: one.friendly_name,
        status: one.status,
        valid_until: one.valid_until,
        country: one.iso_country,
    };
    Ok(Page { items: answer.results.into_iter().map(bundle).collect(), next: some(answer.meta.next_page_url) })
}

/// The answer to [`ask_addresses`](super::ask_addresses).
///
/// # Errors
/// The carrier does not say.
pub fn addresses(status: u16, body: &[u8]) -> Result<Page<AddressOnFile>, RestError> {
    #[derive(Deserialize)]
    struct Answer {
        addresses: Vec<One>,
        #[serde(default, deserialize_with = "text")]
        next_page_uri: String,
    }
    #[derive(Deserialize)]
    struct One {
        sid: String,
        #[serde(default, deserialize_with = "text")]
        customer_name: String,
        #[serde(default, deserialize_with = "text")]
        city: String,
        #[serde(default, deserialize_with = "text")]
        iso_country: String,
    }
    let answer: Answer = read(status, body)?;
    let address =
        |one: One| AddressOnFile { sid: one.sid, name: one.customer_name, city: one.city, country: one.iso_country };
    Ok(Page { items: answer.addresses.into_iter().map(address).collect(), next: some(answer.next_page_uri) })
}

/// The answer to [`ask_price`](super::ask_price), of one type; `None`: it has no price there.
///
/// # Errors
/// The carrier does not say.
pub fn price(status: u16, body: &[u8], kind: Kind) -> Result<Option<Price>, RestError> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default, deserialize_with = "text")]
        price_unit: String,
        #[serde(default)]
        phone_number_prices: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        number_type: String,
        #[serde(default, deserialize_with = "text")]
        base_price: String,
        #[serde(default, deserialize_with = "text")]
        current_price: String,
    }
    let answer: Answer = read(status, body)?;
    let found = answer.phone_number_prices.into_iter().find(|one| one.number_type == kind.priced());
    Ok(found.and_then(|one| {
        let price = if one.current_price.is_empty() { one.base_price } else { one.current_price };
        Some(Price { micros: micros(&price)?, currency: answer.price_unit.to_ascii_uppercase() })
    }))
}

#[derive(Deserialize)]
struct Incoming {
    sid: String,
    phone_number: String,
    #[serde(default, deserialize_with = "text")]
    friendly_name: String,
    #[serde(default, rename = "type", deserialize_with = "text")]
    kind: String,
    #[serde(default, deserialize_with = "text")]
    voice_url: String,
    #[serde(default, deserialize_with = "text")]
    voice_fallback_url: String,
    #[serde(default, deserialize_with = "text")]
    status_callback: String,
    #[serde(default, deserialize_with = "text")]
    voice_application_sid: String,
    #[serde(default, deserialize_with = "text")]
    trunk_sid: String,
    #[serde(default, deserialize_with = "text")]
    date_created: String,
}

impl From<Incoming> for Owned {
    fn from(found: Incoming) -> Self {
        let diverted = if found.trunk_sid.is_empty() { found.voice_application_sid } else { found.trunk_sid };
        Owned {
            sid: found.sid,
            number: found.phone_number,
            tag: found.friendly_name,
            kind: Kind::of_regulated(&found.kind),
            voice_url: found.voice_url,
            fallback_url: found.voice_fallback_url,
            status_callback: found.status_callback,
            diverted,
            created_s: seconds(&found.date_created),
        }
    }
}

/// A success that cannot be read is a failure of the carrier's: what it did is not known.
fn read<T: DeserializeOwned>(status: u16, body: &[u8]) -> Result<T, RestError> {
    match serde_json::from_slice(body) {
        Ok(read) if (200..300).contains(&status) => Ok(read),
        _ => Err(complaint(if (200..300).contains(&status) { 502 } else { status }, body)),
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// `1.15` in millionths, to the last digit.
fn micros(price: &str) -> Option<u64> {
    let (whole, part) = price.split_once('.').unwrap_or((price, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 9 || !digits(whole) || !digits(part) || part.len() > 12 {
        return None;
    }
    let part: String = part.chars().chain("000000".chars()).take(6).collect();
    Some(whole.parse::<u64>().ok()? * 1_000_000 + part.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::super::super::RestErrorKind;
    use super::*;

    #[test]
    fn num_03_voice_is_read_in_either_case_and_nulls_are_nothing() {
        let body = br#"{"available_phone_numbers":[
            {"phone_number":"+41781","friendly_name":null,"locality":null,"address_requirements":"any","capabilities":{"voice":false,"SMS":true}},
            {"phone_number":"+41441","capabilities":{"Voice":true,"mms":null},"new":1},
            {"phone_number":"+41442"}],"uri":"x"}"#;
        let found = offers(200, body).unwrap();
        assert_eq!(found.iter().map(|offer| offer.voice).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!((found[0].friendly.as_str(), found[0].address.as_str()), ("", "any"));
        let gone = offers(404, br#"{"code":20404,"message":"none","status":404}"#).unwrap_err();
        assert_eq!((gone.status, gone.code), (404, Some(20_404)));
    }

    #[test]
    fn num_06_a_success_that_cannot_be_read_is_no_refusal() {
        for body in [&b"{\"sid\":\"PN1\",\"phone_num"[..], b"<html>", b"{}", br#"{"sid":"","phone_number":""}"#] {
            assert_eq!(owned(201, body).unwrap_err().kind, RestErrorKind::Carrier);
        }
        assert_eq!(owned(400, br#"{"code":21422}"#).unwrap_err().kind, RestErrorKind::Refused);
        assert_eq!(owned(429, b"").unwrap_err().kind, RestErrorKind::Busy);
        let found = owned(
            201,
            br#"{"sid":"PN1","phone_number":"+1","voice_url":null,"trunk_sid":"TK1","voice_application_sid":"",
            "date_created":"Thu, 01 Jan 1970 00:01:00 +0000","type":"local"}"#,
        )
        .unwrap();
        assert_eq!((found.diverted.as_str(), found.created_s, found.kind), ("TK1", Some(60), Some(Kind::Local)));
    }

    #[test]
    fn num_11_to_give_back_what_is_gone_is_to_give_it_back() {
        assert!(released(204, b"").is_ok() && released(404, b"<html>").is_ok());
        assert_eq!(released(500, b"").unwrap_err().kind, RestErrorKind::Carrier);
        assert_eq!(released(400, br#"{"code":22121,"message":"too recent"}"#).unwrap_err().message, "too recent");
    }

    #[test]
    fn prices_are_exact_and_newer_services_complain_otherwise() {
        for (text, wanted) in
            [("1.15", Some(1_150_000)), ("27", Some(27_000_000)), ("0.0000019", Some(1)), ("", None), ("-1", None)]
        {
            assert_eq!(micros(text), wanted, "{text}");
        }
        let body = br#"{"price_unit":"usd","phone_number_prices":[{"number_type":"toll free","base_price":"2.15","current_price":null}]}"#;
        let wanted = Price { micros: 2_150_000, currency: "USD".to_owned() };
        assert_eq!(price(200, body, Kind::TollFree), Ok(Some(wanted)));
        assert_eq!(price(200, body, Kind::Local), Ok(None));
        let error =
            bundles(400, br#"{"type":"x","title":"Bad","status":400,"code":20001,"detail":"PageSize"}"#).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (Some(20_001), "PageSize"));
    }
}
