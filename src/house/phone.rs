//! What a phone deployment begins with that is made without a form (DEP-12).

use jiff::civil::Date;

use super::deployments::{default_title, unique_title};
use super::refusal::Refusal;
use super::{access, models, settings};
use crate::config::{Access, Channel, ModelCard, Tier};

/// A phone deployment as it is made. All of it stands in its document, for people to see and to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPhone<'a> {
    /// `Phone {date}`, and not taken (DEP-10).
    pub title: String,
    /// Its model.
    pub model: &'a ModelCard,
    /// Its voice (C-26); `None`: the model's own.
    pub voice: Option<&'a str>,
    /// Anyone may call (ACC-02).
    pub access: Option<Access>,
    /// Minutes that a call lasts at most (C-04).
    pub max_minutes: u32,
    /// Nothing is recorded until somebody says so (PHN-08).
    pub recording: bool,
}

/// A new phone deployment, made on `today` in the organization's time zone. Whether one may be made is
/// [`may_create`](super::deployments::may_create)'s to say.
///
/// # Errors
/// Those of [`models::for_new_phone`]; nothing is made then.
pub fn new<'a>(
    tier: Tier,
    selected: Option<&'a ModelCard>,
    cards: impl IntoIterator<Item = &'a ModelCard>,
    today: Date,
    is_taken: impl Fn(&str) -> bool,
) -> Result<NewPhone<'a>, Refusal> {
    let model = models::for_new_phone(tier, selected, cards)?;
    Ok(NewPhone {
        title: unique_title(&default_title(Channel::Phone, today), is_taken),
        model,
        voice: models::voice_for_new_phone(&model.facts),
        access: access::default_mode(Channel::Phone),
        max_minutes: settings::MAX_MINUTES,
        recording: false,
    })
}
