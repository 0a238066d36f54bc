//! Where data may go (RES): tiers, countries, and what a change of the tier would mean.

use super::refusal::{Flag, Refusal};
use crate::config::{ModelCard, ModelFacts, Role, Tier};

/// All tiers with what people call them, the strictest first, the default last.
pub const TIERS: [(Tier, &str); 5] = [
    (Tier::SwissSwiss, "Swiss / Swiss"),
    (Tier::SwissAny, "Swiss / any"),
    (Tier::EuropeEurope, "Europe / Europe"),
    (Tier::EuropeAny, "Europe / any"),
    (Tier::Global, "Global"),
];

/// What people call a tier.
pub fn label(tier: Tier) -> &'static str {
    TIERS.iter().find(|(known, _)| *known == tier).map_or("Global", |(_, label)| label)
}

/// Whether a country (ISO 3166-1 alpha-2, upper case) is one of the 27 member states of the EU (RES-02). Neither
/// Switzerland nor the other states of the EEA are.
pub fn is_eu(country: &str) -> bool {
    EU.binary_search(&country).is_ok()
}

/// Whether a country is European in the sense of the tiers: Switzerland or of the EU (RES-02).
pub fn is_european(country: &str) -> bool {
    is_swiss(country) || is_eu(country)
}

/// Whether a model may be used under a tier. Of what is not declared nothing is assumed: without the countries that a
/// tier asks for, a model fits [`Tier::Global`] only (RES-06).
pub fn fits(tier: Tier, facts: &ModelFacts) -> bool {
    let hosted = |within: fn(&str) -> bool| facts.hosting_country.as_deref().is_some_and(within);
    let operated = |within: fn(&str) -> bool| facts.vendor_country.as_deref().is_some_and(within);
    match tier {
        Tier::SwissSwiss => hosted(is_swiss) && operated(is_swiss),
        Tier::SwissAny => hosted(is_swiss),
        Tier::EuropeEurope => hosted(is_european) && operated(is_european),
        Tier::EuropeAny => hosted(is_european),
        Tier::Global => true,
    }
}

/// Whether a model may be chosen under a tier, for whatever `field` (RES-03, RES-10). `was` is the model that is in
/// `field` already: it is not checked again, goes on and is flagged (RES-04, MOD-07).
///
/// # Errors
/// `residency`: it is new there, and does not fit.
pub fn choose(tier: Tier, field: &'static str, was: Option<&str>, card: &ModelCard) -> Result<Option<Flag>, Refusal> {
    if fits(tier, &card.facts) {
        return Ok(None);
    }
    match was == Some(card.name.as_str()) {
        true => Ok(Some(flag(tier, field, card))),
        false => Err(Refusal::wrong(CODE, field, NOT_ALLOWED)),
    }
}

/// What will be flagged once the tier is `tier`: shown before that is saved (RES-05). `uses` are models with where they are
/// used; a change of the tier alters none of them.
pub fn flagged_under<'a, U>(tier: Tier, uses: impl IntoIterator<Item = (U, &'a ModelCard)>) -> Vec<(U, &'a ModelCard)> {
    uses.into_iter().filter(|(_, card)| !fits(tier, &card.facts)).collect()
}

/// Whether somebody of this role may change the tier (RES-01).
///
/// # Errors
/// `role`.
pub fn may_change(role: Role) -> Result<(), Refusal> {
    match role {
        Role::Owner | Role::Admin => Ok(()),
        Role::Builder | Role::Member => Err(Refusal::forbidden("role", "This needs the role Admin or Owner.")),
    }
}

fn is_swiss(country: &str) -> bool {
    country == "CH"
}

fn flag(tier: Tier, field: &'static str, card: &ModelCard) -> Flag {
    let message = format!(
        "The model {} does not meet your data-residency setting ({}) any more. It goes on until another is chosen.",
        card.name,
        label(tier)
    );
    Flag::new(CODE, Some(field), message)
}

const CODE: &str = "residency";
const NOT_ALLOWED: &str = "Selected model is not allowed by your organization's data-residency setting";

/// In the order of the alphabet.
const EU: [&str; 27] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];
