//! Numbers: for sale, owned, given back; and what they have cost.

use std::collections::{BTreeMap, BTreeSet};

use super::Exchange;

/// A type of number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Of a place.
    Local,
    /// Of no place.
    Mobile,
    /// Free for who calls.
    TollFree,
}

/// A number for sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForSale {
    /// E.164.
    pub number: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// Its type.
    pub kind: Kind,
    /// Town or area.
    pub locality: String,
    /// Whether it takes calls.
    pub voice: bool,
    /// `none`, `any`, `local`, `foreign`.
    pub address: &'static str,
}

/// A number that an account has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// `PN…`.
    pub sid: String,
    /// Whose it is.
    pub account: String,
    /// As it was for sale.
    pub number: ForSale,
    /// `FriendlyName`.
    pub tag: String,
    /// Its configuration, by the names of parameters.
    pub set: BTreeMap<String, String>,
    /// Seconds since 1970, by the carrier's clock.
    pub bought_s: u64,
    /// Whether lists leave it out, as right after a purchase.
    pub unlisted: bool,
}

impl Owned {
    /// What a parameter was set to; empty: nothing.
    pub fn get(&self, name: &str) -> &str {
        self.set.get(name).map_or("", String::as_str)
    }
}

#[derive(Debug, Default)]
pub(super) struct Market {
    pub(super) for_sale: BTreeMap<String, ForSale>,
    pub(super) owned: Vec<Owned>,
    /// Given back, and not to be had.
    pub(super) released: BTreeSet<String>,
    /// Types that countries have, also when none is for sale.
    pub(super) types: BTreeSet<(String, Kind)>,
    /// Each month that somebody was charged for, by account and number.
    pub(super) ledger: Vec<(String, String)>,
    /// Months' prices; without, 1.15.
    pub(super) prices: BTreeMap<(String, Kind), String>,
    /// The next search is the last that finds the number that it finds first: somebody else buys it.
    pub(super) sniped: bool,
    pub(super) listed_late: bool,
    pub(super) sids: u64,
    /// Ids are UUIDs.
    pub(super) uuids: bool,
}

impl Kind {
    pub(super) const ALL: [Kind; 3] = [Kind::Local, Kind::Mobile, Kind::TollFree];

    /// As a segment of a path.
    pub(super) fn segment(self) -> &'static str {
        match self {
            Kind::Local => "Local",
            Kind::Mobile => "Mobile",
            Kind::TollFree => "TollFree",
        }
    }

    pub(super) fn key(self) -> &'static str {
        match self {
            Kind::Local => "local",
            Kind::Mobile => "mobile",
            Kind::TollFree => "toll_free",
        }
    }

    pub(super) fn priced(self) -> &'static str {
        match self {
            Kind::Local => "local",
            Kind::Mobile => "mobile",
            Kind::TollFree => "toll free",
        }
    }

    pub(super) fn owned(self) -> &'static str {
        match self {
            Kind::Local => "local",
            Kind::Mobile => "mobile",
            Kind::TollFree => "toll-free",
        }
    }
}

impl Exchange {
    /// What there is in the five countries, some of each, as of 2026: Switzerland's mobile numbers take no calls, Britain's need a
    /// bundle and no address, Germany's both.
    pub fn stock(&self) {
        let all: [(&str, Kind, &str, &str, bool, &'static str, u32); 11] = [
            ("US", Kind::Local, "+1415555", "San Francisco", true, "none", 6),
            ("US", Kind::Local, "+1212555", "New York", true, "none", 4),
            ("US", Kind::TollFree, "+1800555", "", true, "none", 2),
            ("GB", Kind::Local, "+44207946", "London", true, "any", 3),
            ("GB", Kind::Mobile, "+44770090", "", true, "none", 3),
            ("DE", Kind::Local, "+4930555", "Berlin", true, "local", 3),
            ("DE", Kind::Local, "+4989555", "München", true, "local", 2),
            ("IT", Kind::Local, "+3906555", "Roma", true, "local", 2),
            ("IT", Kind::Mobile, "+39312555", "", false, "any", 2),
            ("CH", Kind::Local, "+4144555", "Zürich", true, "none", 3),
            ("CH", Kind::Mobile, "+4179555", "", false, "any", 3),
        ];
        for (country, kind, prefix, locality, voice, address, count) in all {
            for n in 0..count {
                let number = ForSale {
                    number: format!("{prefix}{:04}", 100 + n),
                    country: country.to_owned(),
                    kind,
                    locality: locality.to_owned(),
                    voice,
                    address,
                };
                self.put_up(number);
            }
        }
    }

    /// Puts a number up for sale.
    pub fn put_up(&self, number: ForSale) {
        let market = &mut self.shop().market;
        market.types.insert((number.country.clone(), number.kind));
        market.for_sale.insert(number.number.clone(), number);
    }

    /// Somebody else buys it.
    pub fn sell_to_others(&self, number: &str) {
        self.shop().market.for_sale.remove(number);
    }

    /// Somebody else buys what the next search finds first, right after it is found.
    pub fn snipe(&self) {
        self.shop().market.sniped = true;
    }

    /// Numbers that are bought from now on are in no list until this is called with `false`.
    pub fn list_late(&self, late: bool) {
        let market = &mut self.shop().market;
        market.listed_late = late;
        if !late {
            market.owned.iter_mut().for_each(|owned| owned.unlisted = false);
        }
    }

    /// What a number's types cost a month.
    pub fn set_price(&self, country: &str, kind: Kind, price: &str) {
        self.shop().market.prices.insert((country.to_owned(), kind), price.to_owned());
    }

    /// What the account has, in the order of buying.
    pub fn owned(&self, account: &str) -> Vec<Owned> {
        self.shop().market.owned.iter().filter(|owned| owned.account == account).cloned().collect()
    }

    /// How often a month of a number was charged for.
    pub fn charges(&self, number: &str) -> usize {
        self.shop().market.ledger.iter().filter(|(_, charged)| charged == number).count()
    }

    /// Buys a number in the carrier's console.
    pub fn buy_in_console(&self, account: &str, number: ForSale) -> String {
        let mut shop = self.shop();
        let bought_s = shop.now_s();
        shop.market.types.insert((number.country.clone(), number.kind));
        shop.market.own(account, number, bought_s)
    }

    /// Changes a number's configuration in the console.
    pub fn change_in_console(&self, number: &str, name: &str, value: &str) {
        let mut shop = self.shop();
        if let Some(owned) = shop.market.owned.iter_mut().find(|owned| owned.number.number == number) {
            owned.set.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Takes a number away, as a carrier does with idle ones.
    pub fn reclaim(&self, number: &str) {
        let mut shop = self.shop();
        shop.market.owned.retain(|owned| owned.number.number != number);
        shop.market.released.insert(number.to_owned());
    }

    /// When a number was bought, seen from now on.
    pub fn age(&self, number: &str, bought_s: u64) {
        let mut shop = self.shop();
        if let Some(owned) = shop.market.owned.iter_mut().find(|owned| owned.number.number == number) {
            owned.bought_s = bought_s;
        }
    }
}

impl Market {
    /// It is the account's from now on, and a month is charged at once.
    pub(super) fn own(&mut self, account: &str, number: ForSale, bought_s: u64) -> String {
        self.sids += 1;
        let hex = format!("{:032x}", self.sids);
        let sid = if self.uuids { crate::stage::phone::stamps::uuid(&hex) } else { format!("PN{hex}") };
        self.for_sale.remove(&number.number);
        self.ledger.push((account.to_owned(), number.number.clone()));
        // Without a URL the carrier plays a demonstration.
        let set = BTreeMap::from([("VoiceUrl".to_owned(), "https://demo.twilio.com/welcome/voice/".to_owned())]);
        let tag = number.number.clone();
        let (account, unlisted) = (account.to_owned(), self.listed_late);
        self.owned.push(Owned { sid: sid.clone(), account, number, tag, set, bought_s, unlisted });
        sid
    }

    pub(super) fn of(&mut self, account: &str, sid: &str) -> Option<&mut Owned> {
        self.owned.iter_mut().find(|owned| owned.account == account && owned.sid == sid)
    }
}
