//! What can be searched for: countries, types, and digits (NUM-02, NUM-03, NUM-04).

use super::super::refusal::Refusal;
use crate::config::CarrierProfile;

/// Where numbers can be bought (NUM-02), in the order of the picker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Country {
    /// United States.
    Us,
    /// United Kingdom.
    Gb,
    /// Germany.
    De,
    /// Italy.
    It,
    /// Switzerland.
    Ch,
}

/// What kind of number it is (NUM-03).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// Of a place.
    Local,
    /// Of no place.
    Mobile,
    /// Free for who calls it.
    TollFree,
}

/// Numbers that are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Where.
    pub country: Country,
    /// Of which type.
    pub kind: Type,
    /// By which digits; `None`: any.
    pub digits: Option<Digits>,
}

/// Digits that a number is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Digits {
    /// Three digits behind +1 (NUM-04).
    AreaCode(u16),
    /// Anywhere in it.
    Anywhere(String),
    /// At its beginning, from `+` on.
    Beginning(String),
}

/// Why a search finds nothing (NUM-03).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// The carrier has no such type in the country.
    NotOffered,
    /// It has some, but none that can be called.
    NoneWithVoice,
    /// None with these digits.
    NoneMatches,
}

impl Country {
    /// All, with what people call them.
    pub const ALL: [(Country, &'static str); 5] = [
        (Country::Us, "United States"),
        (Country::Gb, "United Kingdom"),
        (Country::De, "Germany"),
        (Country::It, "Italy"),
        (Country::Ch, "Switzerland"),
    ];

    /// The country of this code, in whatever case.
    ///
    /// # Errors
    /// `country` with the list (NUM-02).
    pub fn of(code: &str) -> Result<Country, Refusal> {
        let known = |country: &&(Country, &str)| country.0.code().eq_ignore_ascii_case(code);
        if let Some((country, _)) = Country::ALL.iter().find(known) {
            return Ok(*country);
        }
        let all = Country::ALL.map(|(country, name)| format!("{name} ({})", country.code()));
        let message = format!("Numbers are to be had in these countries: {}.", all.join(", "));
        Err(Refusal::wrong("country", "country", message))
    }

    /// ISO 3166-1 alpha-2.
    pub fn code(self) -> &'static str {
        match self {
            Country::Us => "US",
            Country::Gb => "GB",
            Country::De => "DE",
            Country::It => "IT",
            Country::Ch => "CH",
        }
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        Country::ALL.iter().find(|(known, _)| *known == self).map_or("", |(_, name)| name)
    }

    /// What its numbers begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Country::Us => "+1",
            Country::Gb => "+44",
            Country::De => "+49",
            Country::It => "+39",
            Country::Ch => "+41",
        }
    }

    /// Whether a number that is dialled within the country loses its leading zero abroad.
    fn drops_zero(self) -> bool {
        self != Country::It
    }
}

impl Type {
    /// All.
    pub const ALL: [Type; 3] = [Type::Local, Type::Mobile, Type::TollFree];

    /// The type of this name.
    ///
    /// # Errors
    /// `type` with the list.
    pub fn of(name: &str) -> Result<Type, Refusal> {
        let plain = |text: &str| text.replace(['_', ' '], "-").to_ascii_lowercase();
        let found = Type::ALL.into_iter().find(|kind| kind.name() == plain(name));
        found.ok_or_else(|| {
            let all = Type::ALL.map(Type::name).join(", ");
            Refusal::wrong("type", "type", format!("Numbers are of one of these types: {all}."))
        })
    }

    /// What people and programs call it.
    pub fn name(self) -> &'static str {
        match self {
            Type::Local => "local",
            Type::Mobile => "mobile",
            Type::TollFree => "toll-free",
        }
    }
}

/// Whether the carrier sells such numbers over its API.
///
/// # Errors
/// `not_by_carrier`, with what can be done instead.
pub fn sold(by: CarrierProfile, country: Country, kind: Type) -> Result<(), Refusal> {
    let no = |message: String| Err(Refusal::state("not_by_carrier", message));
    let (carrier, place) = (by.title(), country.name());
    match (by, country, kind) {
        (CarrierProfile::Twilio, ..) | (CarrierProfile::SignalWire, Country::Us, Type::Local | Type::TollFree) => {
            Ok(())
        }
        (CarrierProfile::SignalWire, _, Type::Mobile) => no(format!("{carrier} sells no mobile numbers over its API.")),
        (CarrierProfile::SignalWire, Country::Gb, _) => no(format!(
            "{carrier} sells numbers in {place} on request only: order one there, and take it over once the carrier lists it."
        )),
        (CarrierProfile::SignalWire, ..) => {
            no(format!("{carrier} has no numbers in {place}. One of another carrier can be entered by hand."))
        }
    }
}

impl Search {
    /// A search as it is asked for. In the United States by an area code, elsewhere by a pattern of digits (NUM-04).
    ///
    /// # Errors
    /// `country`, `type`, `area_code`, `pattern`.
    pub fn of(country: &str, kind: &str, area_code: Option<&str>, pattern: Option<&str>) -> Result<Search, Refusal> {
        let (country, kind) = (Country::of(country)?, Type::of(kind)?);
        let given = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let (area_code, pattern) = (given(area_code), given(pattern));
        let digits = match (country, area_code, pattern) {
            (_, None, None) => None,
            (Country::Us, Some(code), None) => Some(area(&code)?),
            (Country::Us, _, Some(_)) => {
                return Err(Refusal::wrong("pattern", "pattern", "In the United States search by the area code."));
            }
            (_, Some(_), _) => {
                let message = "Only numbers of the United States have an area code: search by a pattern of digits.";
                return Err(Refusal::wrong("area_code", "area_code", message));
            }
            (country, None, Some(pattern)) => Some(of_pattern(country, &pattern)?),
        };
        Ok(Search { country, kind, digits })
    }

    /// What the picker says when it finds nothing (NUM-03).
    pub fn none(&self) -> String {
        format!("No {} numbers in {} right now.", self.kind.name(), self.country.name())
    }
}

impl Empty {
    /// Why a search has found nothing. `offered`: whether the carrier has the type there; `with_voice`, `without`: whether there are
    /// some whatever their digits, with voice and at all.
    pub fn of(offered: bool, with_voice: bool, without: bool) -> Empty {
        match (offered, with_voice, without) {
            (false, ..) => Empty::NotOffered,
            (true, false, true) => Empty::NoneWithVoice,
            (true, ..) => Empty::NoneMatches,
        }
    }

    /// For programs.
    pub fn code(self) -> &'static str {
        match self {
            Empty::NotOffered => "not_offered",
            Empty::NoneWithVoice => "none_with_voice",
            Empty::NoneMatches => "none_matches",
        }
    }

    /// For people, beside [`Search::none`].
    pub fn why(self, search: &Search) -> String {
        let (kind, country) = (search.kind.name(), search.country.name());
        match (self, &search.digits) {
            (Empty::NotOffered, _) => format!("The carrier has no {kind} numbers in {country}."),
            (Empty::NoneWithVoice, _) => format!("None of the {kind} numbers in {country} takes calls."),
            (Empty::NoneMatches, Some(_)) => "None has these digits.".to_owned(),
            (Empty::NoneMatches, None) => "All are taken.".to_owned(),
        }
    }
}

fn area(code: &str) -> Result<Digits, Refusal> {
    let right = code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit());
    let number = code.parse().ok().filter(|n| right && (200..=999).contains(n));
    let message = "An area code has three digits, the first of which is 2 to 9.";
    number.map(Digits::AreaCode).ok_or_else(|| Refusal::wrong("area_code", "area_code", message))
}

/// Digits as somebody of the country writes them: `+49 30` and `030` begin a number of Berlin, `30` is anywhere in one.
fn of_pattern(country: Country, text: &str) -> Result<Digits, Refusal> {
    let wrong = |message: String| Err(Refusal::wrong("pattern", "pattern", message));
    let plain: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '/' | '(' | ')')).collect();
    let (abroad, digits) = match plain.strip_prefix('+').or_else(|| plain.strip_prefix("00")) {
        Some(digits) => (true, digits),
        None => (false, plain.as_str()),
    };
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return wrong(format!(
            "A pattern has {MIN_DIGITS} to {MAX_DIGITS} digits, with + or 0 before them at the beginning."
        ));
    }
    let prefix = country.prefix();
    if abroad {
        let beginning = format!("+{digits}");
        if !beginning.starts_with(prefix) {
            return wrong(format!("Numbers in {} begin with {prefix}.", country.name()));
        }
        return Ok(Digits::Beginning(beginning));
    }
    match digits.strip_prefix('0') {
        Some(rest) if country.drops_zero() => Ok(Digits::Beginning(format!("{prefix}{rest}"))),
        Some(_) => Ok(Digits::Beginning(format!("{prefix}{digits}"))),
        None if digits.len() < MIN_DIGITS => wrong(format!("A pattern has at least {MIN_DIGITS} digits.")),
        None => Ok(Digits::Anywhere(digits.to_owned())),
    }
}

/// What carriers take: at least two, and sixteen characters with what is put before them.
const MIN_DIGITS: usize = 2;
const MAX_DIGITS: usize = 12;
