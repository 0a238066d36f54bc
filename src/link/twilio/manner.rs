//! What the carriers that speak as Twilio does have otherwise than Twilio: all of it, in one table.

use crate::config::CarrierProfile;

/// One carrier's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Headers that carry a webhook's signature, in lower case; the first that is there counts.
    pub signature_headers: &'static [&'static str],
    /// Whether the media upgrade is signed. Where it is not, it shows the bearer token that `<Stream>` names.
    pub signs_upgrades: bool,
    /// Whether a call that is up takes a document; else only the URL of one.
    pub takes_documents: bool,
    /// The code, beside those of all, by which it says that a call is over.
    pub call_over: Option<u32>,
    /// Whether digits that a search is for may be behind a `+`, which means at the beginning.
    pub anchors_digits: bool,
    /// Whether it has papers, prices, and lists of a country's types. Where it has not, they are not asked for.
    pub tells_of_countries: bool,
    /// The code by which it says that a number was bought too short a time ago to be given back.
    pub too_early: Option<u32>,
    /// The code by which it says that the account has no money left.
    pub no_money: Option<u32>,
}

/// The way of `profile`.
pub fn of(profile: CarrierProfile) -> &'static Manner {
    match profile {
        CarrierProfile::Twilio => &TWILIO,
        CarrierProfile::SignalWire => &SIGNALWIRE,
    }
}

const TWILIO: Manner = Manner {
    signature_headers: &[super::signature::HEADER],
    signs_upgrades: true,
    takes_documents: true,
    call_over: None,
    anchors_digits: true,
    tells_of_countries: true,
    too_early: None,
    no_money: None,
};

/// Its ids are UUIDs, which are looked into nowhere; it answers 200 where Twilio answers 201, which is a success here too.
const SIGNALWIRE: Manner = Manner {
    signature_headers: &["x-signalwire-signature", super::signature::HEADER],
    signs_upgrades: false,
    takes_documents: false,
    call_over: Some(10_000),
    anchors_digits: false,
    tells_of_countries: false,
    too_early: Some(22_121),
    no_money: Some(4_001),
};
