//! Which model a deployment may have (MOD), and which backup (FAIL-01 to FAIL-03).

use super::refusal::{Flag, Refusal};
use super::residency;
use crate::config::{Channel, ModelCard, ModelFacts, ModelKind, Tier};

/// What a channel's model must be: phones talk, all others read and write (MOD-04).
pub fn kind(channel: Channel) -> ModelKind {
    match channel {
        Channel::Phone => ModelKind::Voice,
        Channel::Website | Channel::Internal => ModelKind::Text,
    }
}

/// Every deployment has one primary model (MOD-01).
///
/// # Errors
/// `model_required`.
pub fn required<T>(model: Option<T>) -> Result<T, Refusal> {
    model.ok_or_else(|| Refusal::wrong("model_required", "model", "Choose a model."))
}

/// Whether a model can serve a channel (MOD-04).
///
/// # Errors
/// `model_not_voice` on phones, `model_not_text` elsewhere.
pub fn fits(channel: Channel, card: &ModelCard) -> Result<(), Refusal> {
    match (kind(channel), card.kind) {
        (ModelKind::Voice, ModelKind::Text) => {
            Err(Refusal::wrong("model_not_voice", "model", "Phone deployments require a voice model"))
        }
        (ModelKind::Text, ModelKind::Voice) => {
            Err(Refusal::wrong("model_not_text", "model", "Voice models can only be used for phone deployments"))
        }
        _ => Ok(()),
    }
}

/// Whether a model may be chosen as the primary one. `was` is the one that the deployment has already: it is not checked
/// again, goes on and is flagged (RES-04, MOD-07).
///
/// # Errors
/// Those of [`fits`] and of [`residency::choose`].
pub fn choose(channel: Channel, tier: Tier, was: Option<&str>, card: &ModelCard) -> Result<Vec<Flag>, Refusal> {
    let mut flags = Vec::new();
    match fits(channel, card) {
        Err(refusal) if was == Some(card.name.as_str()) => flags.push(still(refusal)),
        fitting => fitting?,
    }
    flags.extend(residency::choose(tier, "model", was, card)?);
    Ok(flags)
}

/// The primary and the backup model that a deployment has already, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The primary.
    pub model: Option<&'a str>,
    /// The backup.
    pub backup: Option<&'a str>,
}

/// Whether a model may be chosen as the backup of `primary`; `None` is always right (FAIL-01). As the primary it is
/// checked only when it changes; that both are the same is checked when either does.
///
/// # Errors
/// `backup_on_phone` (FAIL-01), `backup_same`, `backup_not_text`, `residency` (FAIL-02).
pub fn choose_backup(
    channel: Channel,
    tier: Tier,
    was: Pair<'_>,
    primary: &ModelCard,
    backup: Option<&ModelCard>,
) -> Result<Vec<Flag>, Refusal> {
    let Some(backup) = backup else { return Ok(Vec::new()) };
    let wrong = |code, message: &str| Refusal::wrong(code, "backup_model", message);
    if channel == Channel::Phone {
        return Err(wrong("backup_on_phone", "Phone deployments cannot have a backup model."));
    }
    let is_old = was.backup == Some(backup.name.as_str());
    let mut flags = Vec::new();
    if backup.name == primary.name {
        let same = wrong("backup_same", "The backup must be a different model.");
        match is_old && was.model == Some(primary.name.as_str()) {
            true => flags.push(still(same)),
            false => return Err(same),
        }
    }
    if backup.kind != ModelKind::Text {
        let talks = wrong("backup_not_text", "The backup must be a text model.");
        match is_old {
            true => flags.push(still(talks)),
            false => return Err(talks),
        }
    }
    flags.extend(residency::choose(tier, "backup_model", was.backup, backup)?);
    flags.extend(same_vendor(primary, backup));
    Ok(flags)
}

/// What a picker offers for a channel: what fits it and the tier, in the catalogue's order (MOD-03).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer<'a> {
    /// The models.
    pub models: Vec<&'a ModelCard>,
    /// Why there is none, though the catalogue has some for the channel (MOD-05).
    pub empty: Option<Flag>,
}

/// What a picker offers.
pub fn offer<'a>(channel: Channel, tier: Tier, cards: impl IntoIterator<Item = &'a ModelCard>) -> Offer<'a> {
    let of_kind: Vec<_> = cards.into_iter().filter(|card| card.kind == kind(channel)).collect();
    let any = !of_kind.is_empty();
    let models: Vec<_> = of_kind.into_iter().filter(|card| residency::fits(tier, &card.facts)).collect();
    let empty = (any && models.is_empty()).then(|| Flag::new(NONE_FITS, Some("model"), none_fits(tier)));
    Offer { models, empty }
}

/// The model of a phone deployment that is made without a form: the one that is selected, if it talks, else the first
/// that does and fits the tier (DEP-12).
///
/// # Errors
/// `no_voice_model`: the catalogue has none; `no_model_fits`: none fits the tier (MOD-05); `residency`: the selected one
/// talks and does not fit. Never is another taken in its place then.
pub fn for_new_phone<'a>(
    tier: Tier,
    selected: Option<&'a ModelCard>,
    cards: impl IntoIterator<Item = &'a ModelCard>,
) -> Result<&'a ModelCard, Refusal> {
    if let Some(card) = selected.filter(|card| card.kind == ModelKind::Voice) {
        residency::choose(tier, "model", None, card)?;
        return Ok(card);
    }
    let offer = offer(Channel::Phone, tier, cards);
    match (offer.models.first(), offer.empty) {
        (Some(card), _) => Ok(card),
        (None, Some(_)) => Err(Refusal::state(NONE_FITS, none_fits(tier))),
        (None, None) => Err(Refusal::state("no_voice_model", "No voice model is available.")),
    }
}

/// The voice that a new phone deployment is given: `alloy`, when its model is declared to have it, else none, which is
/// the model's own (C-26).
pub fn voice_for_new_phone(facts: &ModelFacts) -> Option<&str> {
    facts.first_voice()
}

/// Whether a model has a voice (PHN-02). Where no voices are declared, any may be asked for; custom voices (`voice_…`) are
/// the vendor's to know.
///
/// # Errors
/// `voice_unknown`, with those it has.
pub fn has_voice(card: &ModelCard, voice: &str) -> Result<(), Refusal> {
    if card.facts.has_voice(voice) {
        return Ok(());
    }
    let voices = card.facts.voices.join(", ");
    let message = format!("The model {} has no voice {voice}. It has {voices}.", card.name);
    Err(Refusal::wrong("voice_unknown", "voice", message))
}

/// What is said of a model that the catalogue does not have: never is another taken in its place (MOD-07).
pub(super) fn unknown(field: &'static str, name: &str) -> Refusal {
    Refusal::wrong("model_unknown", field, format!("There is no model {name}."))
}

/// What is flagged of a model that the catalogue had once (DEP-15).
pub(super) fn gone(field: &'static str, name: &str) -> Flag {
    Flag::new("model_gone", Some(field), format!("The model {name} is not there any more."))
}

/// The amber of a backup that goes down with its primary (FAIL-03).
fn same_vendor(primary: &ModelCard, backup: &ModelCard) -> Option<Flag> {
    let vendor = primary.facts.vendor.as_deref()?;
    if !backup.facts.vendor.as_deref()?.eq_ignore_ascii_case(vendor) {
        return None;
    }
    let message = format!("Same provider as the primary: if {vendor} is down, both are.");
    Some(Flag::new("backup_same_vendor", Some("backup_model"), message))
}

/// What would be refused today and was there before: it stays, and is flagged (MOD-07).
pub(super) fn still(refusal: Refusal) -> Flag {
    Flag { code: refusal.code, field: refusal.field, message: refusal.message }
}

fn none_fits(tier: Tier) -> String {
    format!("No model fits your data-residency setting ({}).", residency::label(tier))
}

const NONE_FITS: &str = "no_model_fits";
