//! What a purchase needs beside money, and what of it is on file (BEYOND-30).

use jiff::Timestamp;

use crate::house::Flag;
use crate::house::numbers::market::{self, Country, Type};
use crate::house::numbers::papers::{self, Bundle, BundleState, Needs, Place};
use crate::link::twilio::rest::numbers::{AddressOnFile, BundleOnFile, Offer};

use super::carrier::Carrier;
use super::{NumberError, Numbers, kind, type_of};

/// What numbers of a country and type need, and what there is.
#[derive(Clone, Debug, PartialEq)]
pub struct Papers {
    /// Which address: `none`, `any`, `local`, `foreign`.
    pub address: &'static str,
    /// Whether a bundle is needed.
    pub bundle: bool,
    /// In words; `None`: nothing is needed.
    pub words: Option<String>,
    /// What the carrier wants to see for a bundle, by name.
    pub requirements: Vec<String>,
    /// Bundles on file.
    pub bundles: Vec<BundleItem>,
    /// Addresses on file.
    pub addresses: Vec<AddressItem>,
}

/// A bundle on file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleItem {
    /// The carrier's id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// `draft`, `in_review`, `approved`, `rejected`.
    pub state: &'static str,
    /// Until when it counts; `None`: without an end.
    pub valid_until: Option<Timestamp>,
    /// It ends soon, in words.
    pub warning: Option<String>,
}

/// An address on file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressItem {
    /// The carrier's id.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// Town.
    pub city: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// Whether it does for these numbers, as far as its country tells.
    pub fits: bool,
}

impl Numbers {
    /// What numbers of a country and type need, and what there is.
    ///
    /// # Errors
    /// The carrier does not say.
    pub async fn papers(&self, country: Country, of: Type) -> Result<Papers, NumberError> {
        let carrier = self.carrier()?;
        market::sold(carrier.profile(), country, of)?;
        // What a number asks for stands with the numbers for sale.
        let offers = carrier.offers(country.code(), kind(of), None, true).await?.unwrap_or_default();
        let needs = self.needs(&carrier, country, of, &offers).await?;
        let regulations = self.regulations(&carrier, country.code(), kind(of)).await?;
        let bundles = if needs.bundle { carrier.bundles(country.code(), kind(of)).await? } else { Vec::new() };
        let addresses = match needs.address {
            papers::Address::None => Vec::new(),
            _ => carrier.addresses().await?,
        };
        let now = Timestamp::now();
        let mut requirements: Vec<String> = regulations.into_iter().flat_map(|one| one.requirements).collect();
        requirements.sort();
        requirements.dedup();
        Ok(Papers {
            address: needs.address.name(),
            bundle: needs.bundle,
            words: papers::words(needs, country, of),
            requirements,
            bundles: bundles.iter().map(|bundle| item(bundle, now)).collect(),
            addresses: addresses.into_iter().map(|address| place(address, needs, country)).collect(),
        })
    }

    /// Whether a purchase has what it needs (BEYOND-30).
    pub(super) async fn suffice(
        &self,
        carrier: &Carrier,
        what: (Country, Type),
        offer: &Offer,
        (bundle, address): (Option<&str>, Option<&str>),
    ) -> Result<Option<Flag>, NumberError> {
        let needs = self.needs(carrier, what.0, what.1, std::slice::from_ref(offer)).await?;
        let unknown = |field, words: &str| papers::unknown(field, words);
        let bundles = if bundle.is_some() { carrier.bundles(what.0.code(), kind(what.1)).await? } else { Vec::new() };
        let bundle = match bundle {
            None => None,
            Some(id) => Some(bundles.iter().find(|bundle| bundle.sid == id).ok_or_else(|| {
                unknown("bundle", "The carrier has no such bundle for numbers of this country and type.")
            })?),
        };
        let addresses = if address.is_some() { carrier.addresses().await? } else { Vec::new() };
        let address = match address {
            None => None,
            Some(id) => Some(
                addresses
                    .iter()
                    .find(|address| address.sid == id)
                    .ok_or_else(|| unknown("address", "The carrier has no such address."))?,
            ),
        };
        let address = address.map(|address| Place { id: &address.sid, country: &address.country });
        let bundle = bundle.map(rule);
        Ok(papers::suffice(needs, what, bundle.as_ref(), address.as_ref(), Timestamp::now())?)
    }
}

/// A bundle as the rules see it.
fn rule(bundle: &BundleOnFile) -> Bundle<'_> {
    Bundle {
        id: &bundle.sid,
        state: BundleState::of(&bundle.status),
        country: Some(bundle.country.as_str()).filter(|country| !country.is_empty()),
        kind: bundle.kind.map(type_of),
        valid_until: bundle.valid_until.parse().ok(),
    }
}

fn item(bundle: &BundleOnFile, now: Timestamp) -> BundleItem {
    let seen = rule(bundle);
    BundleItem {
        warning: papers::ends_soon(&seen, now).map(|flag| flag.message),
        state: seen.state.name(),
        valid_until: seen.valid_until,
        id: bundle.sid.clone(),
        name: bundle.name.clone(),
    }
}

fn place(address: AddressOnFile, needs: Needs, country: Country) -> AddressItem {
    let inside = address.country.eq_ignore_ascii_case(country.code());
    let fits = match needs.address {
        papers::Address::Local => inside,
        papers::Address::Foreign => !inside,
        papers::Address::Any | papers::Address::None => true,
    };
    AddressItem { id: address.sid, name: address.name, city: address.city, country: address.country, fits }
}
