//! What a purchase needs beside money (BEYOND-30): an address, an approved bundle. Shown before a number is chosen, all at once.

use jiff::{SignedDuration, Timestamp};

use super::super::refusal::{Flag, Refusal};
use super::market::{Country, Type};

/// Which address a number asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// None.
    #[default]
    None,
    /// One, wherever it is.
    Any,
    /// One in the country; for some numbers in their very town.
    Local,
    /// One outside the country.
    Foreign,
}

/// What numbers of a country and type ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// An address.
    pub address: Address,
    /// A bundle that was approved.
    pub bundle: bool,
}

/// How far a bundle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleState {
    /// Not handed in yet.
    Draft,
    /// People look at it.
    InReview,
    /// It can be used.
    Approved,
    /// It cannot.
    Rejected,
}

/// A bundle on file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle<'a> {
    /// The carrier's id.
    pub id: &'a str,
    /// The carrier's state.
    pub state: BundleState,
    /// For which country (ISO 3166-1 alpha-2) and type it was made; `None`: the carrier does not say.
    pub country: Option<&'a str>,
    /// See `country`.
    pub kind: Option<Type>,
    /// Until when it counts.
    pub valid_until: Option<Timestamp>,
}

/// An address on file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The carrier's id.
    pub id: &'a str,
    /// ISO 3166-1 alpha-2.
    pub country: &'a str,
}

impl Address {
    /// As carriers name it; what is not known asks for nothing that could be named.
    pub fn of(name: &str) -> Address {
        match name {
            "any" => Address::Any,
            "local" => Address::Local,
            "foreign" => Address::Foreign,
            _ => Address::None,
        }
    }

    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Address::None => "none",
            Address::Any => "any",
            Address::Local => "local",
            Address::Foreign => "foreign",
        }
    }
}

impl BundleState {
    /// As Twilio names it.
    pub fn of(name: &str) -> BundleState {
        match name {
            "twilio-approved" | "provisionally-approved" => BundleState::Approved,
            "twilio-rejected" => BundleState::Rejected,
            "pending-review" | "in-review" => BundleState::InReview,
            _ => BundleState::Draft,
        }
    }

    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            BundleState::Draft => "draft",
            BundleState::InReview => "in_review",
            BundleState::Approved => "approved",
            BundleState::Rejected => "rejected",
        }
    }
}

/// What the picker says of what is needed; `None`: nothing is.
pub fn words(needs: Needs, country: Country, kind: Type) -> Option<String> {
    let place = match needs.address {
        Address::None => None,
        Address::Any => Some("an address".to_owned()),
        Address::Local => Some(format!("an address in {}", country.name())),
        Address::Foreign => Some(format!("an address outside {}", country.name())),
    };
    let bundle = needs.bundle.then(|| "an approved regulatory bundle".to_owned());
    let all: Vec<String> = place.into_iter().chain(bundle).collect();
    let (kind, name) = (kind.name(), country.name());
    (!all.is_empty()).then(|| format!("To buy {kind} numbers in {name} the carrier wants {}.", all.join(" and ")))
}

/// Whether a purchase has the papers that it needs. All that is missing is told at once.
///
/// # Errors
/// `papers_missing`; `papers_unfit` when what is given does not do.
pub fn suffice(
    needs: Needs,
    (country, kind): (Country, Type),
    bundle: Option<&Bundle<'_>>,
    address: Option<&Place<'_>>,
    now: Timestamp,
) -> Result<Option<Flag>, Refusal> {
    let missing = Needs {
        address: if address.is_some() { Address::None } else { needs.address },
        bundle: needs.bundle && bundle.is_none(),
    };
    if let Some(words) = words(missing, country, kind) {
        let field = if missing.bundle { "bundle" } else { "address" };
        return Err(Refusal::wrong("papers_missing", field, words));
    }
    let unfit = |field, message: String| Err(Refusal::wrong("papers_unfit", field, message));
    if let Some(address) = address {
        let inside = address.country.eq_ignore_ascii_case(country.code());
        match needs.address {
            Address::Local if !inside => {
                return unfit("address", format!("The address must be in {}.", country.name()));
            }
            Address::Foreign if inside => {
                return unfit("address", format!("The address must be outside {}.", country.name()));
            }
            _ => {}
        }
    }
    let Some(bundle) = bundle else { return Ok(None) };
    if bundle.state != BundleState::Approved {
        return unfit("bundle", format!("The bundle is not approved: its state is {}.", bundle.state.name()));
    }
    let other = bundle.country.is_some_and(|code| !code.eq_ignore_ascii_case(country.code()))
        || bundle.kind.is_some_and(|of| of != kind);
    if other {
        let (kind, name) = (kind.name(), country.name());
        return unfit("bundle", format!("The bundle is not for {kind} numbers in {name}."));
    }
    if bundle.valid_until.is_some_and(|until| until <= now) {
        return unfit("bundle", "The bundle is not valid any more.".to_owned());
    }
    Ok(ends_soon(bundle, now))
}

/// A paper is named that is not on file. `field`: `bundle` or `address`.
pub fn unknown(field: &'static str, words: &str) -> Refusal {
    Refusal::wrong("papers_unfit", field, words)
}

/// A bundle that counts for less than thirty days more: the numbers that were bought with it are at risk then.
pub fn ends_soon(bundle: &Bundle<'_>, now: Timestamp) -> Option<Flag> {
    let until = bundle.valid_until.filter(|_| bundle.state == BundleState::Approved)?;
    let soon = now.checked_add(WARNED).is_ok_and(|soon| until < soon);
    let message = format!("The bundle {} is valid until {} only.", bundle.id, until.strftime("%Y-%m-%d"));
    soon.then(|| Flag::new("bundle_ends", Some("bundle"), message))
}

const WARNED: SignedDuration = SignedDuration::from_hours(30 * 24);
