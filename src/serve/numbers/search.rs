//! What is for sale (NUM-02 to NUM-04).

use std::collections::HashSet;

use crate::house::numbers::market::{self, Digits as Wished, Empty, Search};
use crate::house::numbers::papers::{self, Address, Needs};
use crate::link::twilio::rest::numbers::{Digits, Offer};

use super::carrier::{Carrier, Failed};
use super::{NumberError, Numbers, kind};

/// What a search has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Numbers that can be called and are for sale at this moment; nothing is kept for who looks.
    pub offers: Vec<OfferItem>,
    /// What each costs a month; `None`: the carrier does not say.
    pub price: Option<PriceItem>,
    /// What a purchase needs beside money, in words; `None`: nothing.
    pub papers: Option<String>,
    /// Why nothing was found.
    pub nothing: Option<Nothing>,
}

/// A number for sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferItem {
    /// E.164.
    pub number: String,
    /// As people of the country write it.
    pub friendly: String,
    /// Town or area; empty: the carrier does not say.
    pub locality: String,
    /// State or canton; empty: the carrier does not say.
    pub region: String,
    /// Which address it asks for: `none`, `any`, `local`, `foreign`.
    pub address: &'static str,
}

/// What something costs a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceItem {
    /// In millionths of the currency.
    pub micros: u64,
    /// ISO 4217.
    pub currency: String,
}

/// Why a search has found nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nothing {
    /// `not_offered`, `none_with_voice`, `none_matches`.
    pub code: &'static str,
    /// What the picker says.
    pub message: String,
    /// And why.
    pub why: String,
}

impl Numbers {
    /// Looks for numbers that can be called.
    ///
    /// # Errors
    /// The carrier does not say.
    pub async fn search(&self, search: &Search) -> Result<Found, NumberError> {
        let carrier = self.carrier()?;
        market::sold(carrier.profile(), search.country, search.kind)?;
        let (country, kind) = (search.country.code(), kind(search.kind));
        let offered = match self.types(&carrier, country).await {
            Ok(types) => types.contains(&kind),
            Err(failed) if failed.absent => false,
            Err(failed) => return Err(failed.into()),
        };
        let nothing = |empty: Empty| Found {
            offers: Vec::new(),
            price: None,
            papers: None,
            nothing: Some(Nothing { code: empty.code(), message: search.none(), why: empty.why(search) }),
        };
        if !offered {
            return Ok(nothing(Empty::NotOffered));
        }
        let Some(offers) = carrier.offers(country, kind, digits(search), true).await? else {
            return Ok(nothing(Empty::NotOffered));
        };
        let held: HashSet<String> = self.0.store.numbers().await?.into_iter().map(|row| row.number).collect();
        // Not every carrier heeds what it was asked for.
        let fits = |offer: &Offer| offer.voice && !held.contains(&offer.number) && fits(search, &offer.number);
        let offers: Vec<Offer> = offers.into_iter().filter(fits).collect();
        if offers.is_empty() {
            let any =
                async |voice| Ok::<_, Failed>(carrier.offers(country, kind, None, voice).await?.unwrap_or_default());
            let with_voice = any(true).await?.iter().any(|offer| offer.voice);
            let without = with_voice || !any(false).await?.is_empty();
            return Ok(nothing(Empty::of(true, with_voice, without)));
        }
        let needs = self.needs(&carrier, search.country, search.kind, &offers).await?;
        Ok(Found {
            papers: papers::words(needs, search.country, search.kind),
            price: self.price(&carrier, search.country, search.kind).await,
            nothing: None,
            offers: offers.into_iter().map(item).collect(),
        })
    }

    /// What numbers like these need.
    pub(super) async fn needs(
        &self,
        carrier: &Carrier,
        country: crate::house::numbers::market::Country,
        of: crate::house::numbers::market::Type,
        offers: &[Offer],
    ) -> Result<Needs, Failed> {
        let regulations = self.regulations(carrier, country.code(), kind(of)).await?;
        let address = offers.iter().map(|offer| Address::of(&offer.address)).max().unwrap_or_default();
        Ok(Needs { address, bundle: !regulations.is_empty() })
    }

    /// What numbers cost; `None`: the carrier does not say, which stops nobody.
    pub(super) async fn price(
        &self,
        carrier: &Carrier,
        country: crate::house::numbers::market::Country,
        of: crate::house::numbers::market::Type,
    ) -> Option<PriceItem> {
        let (country, of) = (country.code(), kind(of));
        let price = match self.0.numbers.price(country, of) {
            Some(known) => known,
            None => {
                let price = carrier.price(country, of).await.ok()?;
                self.0.numbers.set_price(country, of, price.clone());
                price
            }
        };
        price.map(|price| PriceItem { micros: price.micros, currency: price.currency })
    }

    async fn types(
        &self,
        carrier: &Carrier,
        country: &'static str,
    ) -> Result<Vec<crate::link::twilio::rest::numbers::Kind>, Failed> {
        if let Some(known) = self.0.numbers.types(country) {
            return Ok(known);
        }
        let types = carrier.types(country).await?;
        self.0.numbers.set_types(country, types.clone());
        Ok(types)
    }

    pub(super) async fn regulations(
        &self,
        carrier: &Carrier,
        country: &'static str,
        of: crate::link::twilio::rest::numbers::Kind,
    ) -> Result<Vec<crate::link::twilio::rest::numbers::Regulation>, Failed> {
        if let Some(known) = self.0.numbers.regulations(country, of) {
            return Ok(known);
        }
        let all = carrier.regulations(country, of).await?;
        self.0.numbers.set_regulations(country, of, all.clone());
        Ok(all)
    }
}

fn digits(search: &Search) -> Option<Digits<'_>> {
    search.digits.as_ref().map(|digits| match digits {
        Wished::AreaCode(code) => Digits::AreaCode(*code),
        Wished::Anywhere(digits) | Wished::Beginning(digits) => Digits::Contains(digits),
    })
}

fn fits(search: &Search, number: &str) -> bool {
    match &search.digits {
        None => true,
        Some(Wished::AreaCode(code)) => number.starts_with(&format!("+1{code}")),
        Some(Wished::Anywhere(digits)) => number.contains(digits.as_str()),
        Some(Wished::Beginning(digits)) => number.starts_with(digits.as_str()),
    }
}

fn item(offer: Offer) -> OfferItem {
    let friendly = if offer.friendly.is_empty() { offer.number.clone() } else { offer.friendly };
    OfferItem {
        number: offer.number,
        friendly,
        locality: offer.locality,
        region: offer.region,
        address: Address::of(&offer.address).name(),
    }
}
