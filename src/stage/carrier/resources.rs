//! The requests, as Twilio takes and refuses them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::Method;
use serde_json::{Value, json};

use super::answers::{Said, meta_page, page};
use super::market::{ForSale, Kind, Owned};
use super::{Shop, papers};
use crate::config::CarrierProfile;

/// A request with who makes it.
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) form: &'a [(String, String)],
    /// `None`: nobody who is known.
    pub(super) who: &'a Option<String>,
    pub(super) host: &'a str,
}

impl Asked<'_> {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A field that is there and is not empty.
    pub(super) fn some(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }
}

impl Shop {
    /// Seconds since 1970 by its clock.
    pub(super) fn now_s(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        now.saturating_add_signed(self.ahead_s)
    }

    fn is_signalwire(&self) -> bool {
        self.profile == CarrierProfile::SignalWire
    }

    /// A path as the carrier names it in its answers.
    fn uri(&self, path: &str) -> String {
        if self.is_signalwire() { format!("/api/laml{path}") } else { path.to_owned() }
    }
}

pub(super) fn answer(shop: &mut Shop, asked: &Asked<'_>) -> Said {
    let Some(who) = asked.who else { return Said::error(401, 20_003) };
    let done = match asked.path.strip_prefix("/2010-04-01/Accounts/") {
        Some(rest) => match rest.split_once('/') {
            Some((account, rest)) if account == who => of_2010(shop, who, rest, asked),
            _ => Err(Said::error(404, 20_404)),
        },
        // It has no other hosts.
        None if shop.is_signalwire() => Err(Said::error(404, 20_404)),
        None => newer(shop, who, asked),
    };
    done.unwrap_or_else(|refused| refused)
}

fn of_2010(shop: &mut Shop, who: &str, rest: &str, asked: &Asked<'_>) -> Result<Said, Said> {
    let rest = rest.strip_suffix(".json").ok_or_else(|| Said::error(404, 20_404))?;
    let parts: Vec<&str> = rest.split('/').collect();
    if shop.is_signalwire() && matches!(parts.as_slice(), ["Addresses", ..] | ["AvailablePhoneNumbers", _]) {
        return Err(Said::error(404, 20_404));
    }
    match (asked.method.as_str(), parts.as_slice()) {
        ("GET", ["AvailablePhoneNumbers", country]) => types(shop, who, country),
        ("GET", ["AvailablePhoneNumbers", country, kind]) => search(shop, country, kind, asked),
        ("GET", ["IncomingPhoneNumbers"]) => list(shop, who, asked),
        ("POST", ["IncomingPhoneNumbers"]) => buy(shop, who, None, asked),
        ("POST", ["IncomingPhoneNumbers", kind]) if kind_of(kind).is_some() => buy(shop, who, kind_of(kind), asked),
        ("GET", ["IncomingPhoneNumbers", sid]) => {
            let owned = shop.market.of(who, sid).ok_or_else(|| Said::error(404, 20_404))?;
            Ok(Said::json(200, owned_json(owned)))
        }
        ("POST", ["IncomingPhoneNumbers", sid]) => update(shop, who, sid, asked),
        ("DELETE", ["IncomingPhoneNumbers", sid]) => release(shop, who, sid),
        ("GET", ["Addresses"]) => page("addresses", &shop.papers.addresses_of(who), asked.path, asked.form),
        ("POST", ["Addresses"]) => papers::create_address(shop, who, asked),
        (_, ["AvailablePhoneNumbers", ..] | ["IncomingPhoneNumbers", ..] | ["Addresses"]) => {
            Err(Said::error(405, 20_004))
        }
        _ => Err(Said::error(404, 20_404)),
    }
}

fn newer(shop: &mut Shop, who: &str, asked: &Asked<'_>) -> Result<Said, Said> {
    if asked.method != Method::GET {
        return Err(Said::error(405, 20_004));
    }
    let base = format!("http://{}{}", asked.host, asked.path);
    let here = |name: &str, wanted: Option<&str>, row: &Value| wanted.is_none_or(|wanted| row[name] == wanted);
    match asked.path {
        "/v2/RegulatoryCompliance/Regulations" => {
            let all = shop.papers.regulations();
            let fits = |row: &Value| {
                here("iso_country", asked.get("IsoCountry"), row) && here("number_type", asked.get("NumberType"), row)
            };
            let all: Vec<Value> = all.into_iter().filter(fits).collect();
            meta_page("results", &all, &base, asked.form)
        }
        "/v2/RegulatoryCompliance/Bundles" => {
            let now_s = shop.now_s();
            let fits = |row: &Value| {
                here("iso_country", asked.get("IsoCountry"), row)
                    && here("number_type", asked.get("NumberType"), row)
                    && here("status", asked.get("Status"), row)
            };
            let all: Vec<Value> = shop.papers.bundles_of(who, now_s).into_iter().filter(fits).collect();
            meta_page("results", &all, &base, asked.form)
        }
        path => match path.strip_prefix("/v1/PhoneNumbers/Countries/") {
            Some(country) => prices(shop, country, asked),
            None => Err(Said::error(404, 20_404)),
        },
    }
}

fn kind_of(segment: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.segment() == segment)
}

fn types(shop: &Shop, who: &str, country: &str) -> Result<Said, Said> {
    let there: Vec<Kind> =
        Kind::ALL.into_iter().filter(|kind| shop.market.types.contains(&(country.to_owned(), *kind))).collect();
    if there.is_empty() {
        return Err(Said::error(404, 20_404));
    }
    let uri =
        |kind: &Kind| format!("/2010-04-01/Accounts/{who}/AvailablePhoneNumbers/{country}/{}.json", kind.segment());
    let uris: serde_json::Map<String, Value> =
        there.iter().map(|kind| (kind.key().to_owned(), uri(kind).into())).collect();
    Ok(Said::json(
        200,
        json!({
            "country_code": country, "country": country, "beta": false, "subresource_uris": uris,
            "uri": format!("/2010-04-01/Accounts/{who}/AvailablePhoneNumbers/{country}.json"),
        }),
    ))
}

fn search(shop: &mut Shop, country: &str, segment: &str, asked: &Asked<'_>) -> Result<Said, Said> {
    let laml = shop.is_signalwire();
    let kind = kind_of(segment).filter(|kind| shop.market.types.contains(&(country.to_owned(), *kind)));
    let kind = kind.filter(|kind| !laml || *kind != Kind::Mobile);
    let kind = kind.ok_or_else(|| Said::error(404, 20_404))?;
    let bad = || Said::error(400, 20_001);
    let limit = match asked.get("PageSize").map(str::parse::<usize>) {
        None => 50,
        Some(Ok(size)) if (1..=1_000).contains(&size) => size,
        Some(_) => return Err(Said::error(400, 20_007)),
    };
    let area = match asked.some("AreaCode") {
        None => None,
        Some(code) if matches!(country, "US" | "CA") && code.parse::<u16>().is_ok() => Some(format!("+1{code}")),
        Some(_) => return Err(bad()),
    };
    if laml && asked.some("Contains").is_some_and(|pattern| !pattern.bytes().all(|b| b.is_ascii_alphanumeric())) {
        return Err(bad());
    }
    let contains = asked.some("Contains").map(|pattern| Pattern::of(pattern).ok_or_else(bad)).transpose()?;
    // It is accepted there, and without effect.
    let yes = |name: &str| !laml && asked.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let fits = |number: &&ForSale| {
        number.country == country
            && number.kind == kind
            && (number.voice || !yes("VoiceEnabled"))
            && area.as_ref().is_none_or(|area| number.number.starts_with(area))
            && contains.as_ref().is_none_or(|pattern| pattern.fits(&number.number))
    };
    let mut found: Vec<ForSale> = shop.market.for_sale.values().filter(fits).cloned().collect();
    // No order is promised.
    shop.market.sids += 1;
    let turn = shop.market.sids as usize % found.len().max(1);
    found.rotate_left(turn);
    found.truncate(limit);
    if std::mem::take(&mut shop.market.sniped)
        && let Some(first) = found.first()
    {
        shop.market.for_sale.remove(&first.number);
    }
    let mut rows: Vec<Value> = found.iter().map(offer_json).collect();
    if laml {
        rows.iter_mut().for_each(|row| row["address_requirements"] = "none".into());
    }
    Ok(Said::json(200, json!({ "available_phone_numbers": rows, "uri": shop.uri(asked.path) })))
}

/// What `Contains` may be.
struct Pattern {
    digits: String,
    begins: bool,
    ends: bool,
}

impl Pattern {
    fn of(text: &str) -> Option<Pattern> {
        if !(2..=16).contains(&text.len()) {
            return None;
        }
        let (begins, rest) = text.strip_prefix('+').map_or((false, text), |rest| (true, rest));
        let (ends, rest) = rest.strip_suffix('$').map_or((false, rest), |rest| (true, rest));
        let digits = rest.trim_matches(['*', '%']);
        let right =
            digits.len() >= 2 && digits.bytes().all(|b| b.is_ascii_alphanumeric()) && rest.len() <= digits.len() + 2;
        right.then(|| Pattern { digits: digits.to_owned(), begins, ends })
    }

    fn fits(&self, number: &str) -> bool {
        let number = number.trim_start_matches('+');
        match (self.begins, self.ends) {
            (true, _) => number.starts_with(&self.digits),
            (false, true) => number.ends_with(&self.digits),
            (false, false) => number.contains(&self.digits),
        }
    }
}

fn offer_json(number: &ForSale) -> Value {
    let friendly = match number.number.strip_prefix("+1") {
        Some(rest) if rest.len() == 10 => format!("({}) {}-{}", &rest[..3], &rest[3..6], &rest[6..]),
        _ => number.number.clone(),
    };
    json!({
        "phone_number": number.number, "friendly_name": friendly, "locality": number.locality, "region": null,
        "postal_code": null, "iso_country": number.country, "lata": null, "rate_center": null, "latitude": null,
        "longitude": null, "address_requirements": number.address, "beta": false,
        "capabilities": { "voice": number.voice, "SMS": true, "MMS": false },
    })
}

fn prices(shop: &Shop, country: &str, asked: &Asked<'_>) -> Result<Said, Said> {
    let there = Kind::ALL.into_iter().filter(|kind| shop.market.types.contains(&(country.to_owned(), *kind)));
    let prices: Vec<Value> = there
        .map(|kind| {
            let price = shop.market.prices.get(&(country.to_owned(), kind)).map_or("1.15", String::as_str);
            json!({ "number_type": kind.priced(), "base_price": price, "current_price": price })
        })
        .collect();
    if prices.is_empty() {
        return Err(Said::error(404, 20_404));
    }
    Ok(Said::json(
        200,
        json!({
            "country": country, "iso_country": country, "price_unit": "USD", "phone_number_prices": prices,
            "url": format!("http://{}{}", asked.host, asked.path),
        }),
    ))
}

fn list(shop: &Shop, who: &str, asked: &Asked<'_>) -> Result<Said, Said> {
    let pattern = asked.some("PhoneNumber").map(|text| text.trim_matches('*').to_owned());
    let named = asked.some("FriendlyName");
    let fits = |owned: &&Owned| {
        owned.account == who
            && !owned.unlisted
            && pattern.as_ref().is_none_or(|part| owned.number.number.contains(part))
            && named.is_none_or(|name| owned.tag == name)
    };
    // The newest first.
    let rows: Vec<Value> = shop.market.owned.iter().rev().filter(fits).map(owned_json).collect();
    page("incoming_phone_numbers", &rows, &shop.uri(asked.path), asked.form)
}

fn buy(shop: &mut Shop, who: &str, kind: Option<Kind>, asked: &Asked<'_>) -> Result<Said, Said> {
    let number = match (asked.some("PhoneNumber"), asked.some("AreaCode")) {
        (Some(number), _) => number.to_owned(),
        // Some number: never what anybody wants.
        (None, Some(code)) if kind.is_none() => {
            let prefix = format!("+1{code}");
            let any = shop.market.for_sale.keys().find(|number| number.starts_with(&prefix)).cloned();
            any.ok_or_else(|| Said::error(400, 21_452))?
        }
        (None, Some(_)) => return Err(Said::error(400, 21_457)),
        (None, None) => return Err(Said::error(400, 21_421)),
    };
    let digits = number.strip_prefix('+').unwrap_or_default();
    if !(7..=15).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Said::error(400, 21_421));
    }
    let own = shop.market.owned.iter().find(|owned| owned.number.number == number).map(|owned| owned.account.clone());
    match own {
        // One of its own: an update.
        Some(account) if account == who => {
            let sid =
                shop.market.owned.iter().find(|owned| owned.number.number == number).map(|owned| owned.sid.clone());
            let said = update(shop, who, &sid.unwrap_or_default(), asked)?;
            return Ok(Said { status: 201, ..said });
        }
        Some(_) => return Err(Said::told(400, 21_422, &format!("{number} is not available."))),
        None => {}
    }
    let Some(for_sale) = shop.market.for_sale.get(&number).cloned() else {
        return Err(Said::told(400, 21_422, &format!("{number} is not available.")));
    };
    if kind.is_some_and(|kind| kind != for_sale.kind) {
        return Err(Said::error(400, 21_458));
    }
    let set = settings(&[], asked)?;
    if !shop.is_signalwire() {
        papers::suffice(shop, who, &for_sale, asked)?;
    }
    let now_s = shop.now_s();
    let sid = shop.market.own(who, for_sale, now_s);
    let owned = shop.market.of(who, &sid).ok_or_else(|| Said::error(500, 20_500))?;
    apply(owned, set, asked);
    Ok(Said::json(201, owned_json(owned)))
}

fn update(shop: &mut Shop, who: &str, sid: &str, asked: &Asked<'_>) -> Result<Said, Said> {
    let owned = shop.market.of(who, sid).ok_or_else(|| Said::error(404, 20_404))?;
    let known: Vec<(String, String)> = owned.set.clone().into_iter().collect();
    // Refused as a whole, or done as a whole.
    let set = settings(&known, asked)?;
    apply(owned, set, asked);
    Ok(Said::json(200, owned_json(owned)))
}

fn apply(owned: &mut Owned, set: Vec<(String, String)>, asked: &Asked<'_>) {
    owned.set.extend(set);
    if let Some(tag) = asked.some("FriendlyName") {
        owned.tag = tag.to_owned();
    }
}

const URLS: [(&str, &str); 3] = [
    ("VoiceUrl", "VoiceMethod"),
    ("VoiceFallbackUrl", "VoiceFallbackMethod"),
    ("StatusCallback", "StatusCallbackMethod"),
];

/// What a request sets, if all of it is right.
fn settings(known: &[(String, String)], asked: &Asked<'_>) -> Result<Vec<(String, String)>, Said> {
    let mut set = Vec::new();
    if asked.get("FriendlyName").is_some_and(|name| name.chars().count() > 64) {
        return Err(Said::error(400, 20_002));
    }
    for (url, method) in URLS {
        if let Some(value) = asked.get(url) {
            if !value.is_empty() && !is_url(value) {
                return Err(Said::error(400, 21_402));
            }
            set.push((url.to_owned(), value.to_owned()));
        }
        if let Some(value) = asked.some(method) {
            if !matches!(value, "GET" | "POST") {
                return Err(Said::error(400, 21_403));
            }
            set.push((method.to_owned(), value.to_owned()));
        }
    }
    for name in ["VoiceApplicationSid", "TrunkSid", "AddressSid", "BundleSid"] {
        set.extend(asked.get(name).map(|value| (name.to_owned(), value.to_owned())));
    }
    let after = |name: &str| {
        let new = set.iter().find(|(n, _)| n == name);
        new.or_else(|| known.iter().find(|(n, _)| n == name)).is_some_and(|(_, value)| !value.is_empty())
    };
    if after("VoiceFallbackUrl") && !after("VoiceUrl") {
        return Err(Said::error(400, 21_405));
    }
    Ok(set)
}

fn is_url(text: &str) -> bool {
    let parsed = reqwest::Url::parse(text);
    parsed.is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.contains('_'))
    })
}

fn release(shop: &mut Shop, who: &str, sid: &str) -> Result<Said, Said> {
    let (laml, now_s) = (shop.is_signalwire(), shop.now_s());
    let owned = shop.market.of(who, sid).ok_or_else(|| Said::error(404, 20_404))?;
    if laml && now_s < owned.bought_s + HELD_S {
        return Err(Said::told(400, 22_121, "This number cannot be released within 14 days of its purchase."));
    }
    let number = owned.number.number.clone();
    shop.market.owned.retain(|owned| owned.sid != sid);
    // Neither found nor to be bought: only its console brings it back.
    shop.market.released.insert(number);
    Ok(Said::empty())
}

/// For so long SignalWire takes none back.
const HELD_S: u64 = 14 * 86_400;

fn owned_json(owned: &Owned) -> Value {
    // Empty values are mixed, as they are there.
    let or_null = |name: &str| Some(owned.get(name)).filter(|value| !value.is_empty());
    let at = UNIX_EPOCH + Duration::from_secs(owned.bought_s);
    let date = crate::stage::phone::stamps::rfc_2822(at);
    json!({
        "sid": owned.sid, "account_sid": owned.account, "friendly_name": owned.tag, "phone_number": owned.number.number,
        "type": owned.number.kind.owned(), "status": "in-use", "origin": "twilio", "beta": false,
        "capabilities": { "voice": owned.number.voice, "sms": true, "mms": false, "fax": false },
        "address_requirements": owned.number.address, "address_sid": or_null("AddressSid"), "bundle_sid": or_null("BundleSid"),
        "identity_sid": null, "emergency_status": "Inactive", "emergency_address_sid": null,
        "emergency_address_status": "unregistered", "voice_url": or_null("VoiceUrl"), "voice_method": "POST",
        "voice_fallback_url": or_null("VoiceFallbackUrl"), "voice_fallback_method": "POST",
        "voice_application_sid": owned.get("VoiceApplicationSid"), "voice_caller_id_lookup": false,
        "voice_receive_mode": "voice", "trunk_sid": or_null("TrunkSid"), "status_callback": owned.get("StatusCallback"),
        "status_callback_method": "POST", "sms_url": "", "sms_method": "POST", "sms_fallback_url": "",
        "sms_fallback_method": "POST", "sms_application_sid": "", "api_version": "2010-04-01", "date_created": date,
        "date_updated": date,
        "uri": format!("/2010-04-01/Accounts/{}/IncomingPhoneNumbers/{}.json", owned.account, owned.sid),
    })
}
