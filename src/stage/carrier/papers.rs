//! Addresses, bundles, and what purchases need of them. Who looks at bundles is a control, never the API.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::answers::Said;
use super::market::{ForSale, Kind};
use super::resources::Asked;
use super::{Exchange, Shop};

/// An address on file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `AD…`.
    pub sid: String,
    /// Whose it is.
    pub account: String,
    /// `CustomerName`.
    pub name: String,
    /// Compared with a number's town by its letters.
    pub city: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
}

/// A bundle on file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// `BU…`.
    pub sid: String,
    /// Whose it is.
    pub account: String,
    /// For numbers of this country.
    pub country: String,
    /// And type.
    pub kind: Kind,
    /// Twilio's state.
    pub status: String,
    /// Seconds since 1970 until which it counts.
    pub valid_until_s: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct File {
    regulated: BTreeSet<(String, Kind)>,
    addresses: Vec<Address>,
    bundles: Vec<Bundle>,
}

impl Exchange {
    /// Numbers of this country and type need a bundle from now on.
    pub fn regulate(&self, country: &str, kind: Kind) {
        self.shop().papers.regulated.insert((country.to_owned(), kind));
    }

    /// An address that the account has: its id.
    pub fn add_address(&self, account: &str, name: &str, city: &str, country: &str) -> String {
        self.shop().papers.add_address(account, name, city, country)
    }

    /// A bundle that the account has, in this state: its id.
    pub fn add_bundle(&self, account: &str, country: &str, kind: Kind, status: &str) -> String {
        let mut shop = self.shop();
        let sid = format!("BU{:032x}", shop.papers.bundles.len() + 1);
        shop.papers.bundles.push(Bundle {
            sid: sid.clone(),
            account: account.to_owned(),
            country: country.to_owned(),
            kind,
            status: status.to_owned(),
            valid_until_s: None,
        });
        sid
    }

    /// People have looked at a bundle.
    pub fn review(&self, sid: &str, status: &str, valid_until_s: Option<u64>) {
        if let Some(bundle) = self.shop().papers.bundles.iter_mut().find(|bundle| bundle.sid == sid) {
            status.clone_into(&mut bundle.status);
            bundle.valid_until_s = valid_until_s;
        }
    }
}

impl File {
    fn add_address(&mut self, account: &str, name: &str, city: &str, country: &str) -> String {
        let sid = format!("AD{:032x}", self.addresses.len() + 1);
        self.addresses.push(Address {
            sid: sid.clone(),
            account: account.to_owned(),
            name: name.to_owned(),
            city: city.to_owned(),
            country: country.to_owned(),
        });
        sid
    }

    pub(super) fn addresses_of(&self, account: &str) -> Vec<Value> {
        self.addresses.iter().filter(|address| address.account == account).map(address_json).collect()
    }

    pub(super) fn regulations(&self) -> Vec<Value> {
        let one = |(n, (country, kind)): (usize, &(String, Kind))| {
            json!({
                "sid": format!("RN{:032x}", n + 1), "friendly_name": format!("{country}: {} - Business", kind.owned()),
                "iso_country": country, "number_type": kind.owned(), "end_user_type": "business",
                "requirements": {
                    "end_user": [{ "name": "Business", "type": "business", "requirement_name": "business_info", "fields": [] }],
                    "supporting_document": [[{
                        "name": "Proof of Address", "requirement_name": "business_address_proof", "accepted_documents": [],
                    }]],
                },
                "url": "",
            })
        };
        self.regulated.iter().enumerate().map(one).collect()
    }

    pub(super) fn bundles_of(&self, account: &str, now_s: u64) -> Vec<Value> {
        let own = self.bundles.iter().filter(|bundle| bundle.account == account);
        own.map(|bundle| {
            let until = bundle.valid_until_s.map(|s| crate::base::time::date::rfc3339(UNIX_EPOCH + Duration::from_secs(s)));
            json!({
                "sid": bundle.sid, "account_sid": bundle.account, "regulation_sid": null, "friendly_name": bundle.sid,
                "status": bundle.state(now_s), "valid_until": until, "email": "ann@example.com", "status_callback": null,
                "iso_country": bundle.country, "number_type": bundle.kind.owned(), "end_user_type": "business",
                "date_created": "2026-01-01T00:00:00Z", "date_updated": "2026-01-01T00:00:00Z", "url": "", "links": {},
            })
        })
        .collect()
    }
}

impl Bundle {
    /// What was approved until then is rejected after.
    fn state(&self, now_s: u64) -> &str {
        if self.valid_until_s.is_some_and(|until| until <= now_s) { "twilio-rejected" } else { &self.status }
    }
}

/// The order of refusals: no address, one in the wrong place, no bundle.
pub(super) fn suffice(shop: &Shop, who: &str, number: &ForSale, asked: &Asked<'_>) -> Result<(), Said> {
    let file = &shop.papers;
    if number.address != "none" {
        let given = asked.some("AddressSid").ok_or_else(|| Said::error(400, 21_631))?;
        let address = file.addresses.iter().find(|address| address.sid == given && address.account == who);
        let address = address.ok_or_else(|| Said::error(400, 21_631))?;
        let local =
            address.country == number.country && (number.locality.is_empty() || address.city == number.locality);
        let fits = match number.address {
            "local" => local,
            "foreign" => address.country != number.country,
            _ => true,
        };
        if !fits {
            let message = format!("Address not in {}: allowed localities: {}", number.country, number.locality);
            return Err(Said::told(400, 21_615, &message));
        }
    }
    if file.regulated.contains(&(number.country.clone(), number.kind)) {
        let words = format!("Bundle required for {} {}", number.country, number.kind.owned());
        let refused = || Said::told(400, 21_649, &words);
        let given = asked.some("BundleSid").ok_or_else(refused)?;
        let bundle = file.bundles.iter().find(|bundle| bundle.sid == given && bundle.account == who);
        let bundle = bundle.ok_or_else(refused)?;
        let fits = bundle.country == number.country && bundle.kind == number.kind;
        if !fits || bundle.state(shop.now_s()) != "twilio-approved" {
            return Err(refused());
        }
    }
    Ok(())
}

pub(super) fn create_address(shop: &mut Shop, who: &str, asked: &Asked<'_>) -> Result<Said, Said> {
    let need = |name: &str| asked.some(name).ok_or_else(|| Said::error(400, 20_001));
    let (name, city, country) = (need("CustomerName")?, need("City")?, need("IsoCountry")?);
    for name in ["Street", "Region", "PostalCode"] {
        need(name)?;
    }
    if name.contains(['&', '@', '#']) {
        return Err(Said::error(400, 21_628));
    }
    let sid = shop.papers.add_address(who, name, city, country);
    let address = shop.papers.addresses.iter().find(|address| address.sid == sid).map(address_json);
    Ok(Said::json(201, address.unwrap_or_default()))
}

fn address_json(address: &Address) -> Value {
    json!({
        "sid": address.sid, "account_sid": address.account, "customer_name": address.name, "friendly_name": address.name,
        "street": "1 Main Street", "street_secondary": null, "city": address.city, "region": address.city,
        "postal_code": "10115", "iso_country": address.country, "validated": true, "verified": false,
        "emergency_enabled": false, "date_created": "Thu, 01 Jan 2026 00:00:00 +0000",
        "date_updated": "Thu, 01 Jan 2026 00:00:00 +0000", "uri": "",
    })
}
