//! Phone numbers (NUM): which may be bought, who has them, and when they may be given back.
//!
//! A number belongs to the organization. Whose it is among the deployments their documents say, by their `number`; a number
//! that none names is in the pool. [`market`] is what can be searched for, [`papers`] what a purchase needs beside money, [`reach`]
//! with which countries a number talks.

pub mod market;
pub mod papers;
pub mod reach;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::deployments;
use super::refusal::Refusal;
use super::zone::shown;
use crate::config::{Channel, Plan, Role, is_e164};
use market::Country;

/// How long a number is kept at least after it was bought at the carrier (NUM-11, Q-18).
pub const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How a number came to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Bought here.
    Bought,
    /// The carrier's list had it, and somebody took it over (NUM-13).
    TakenOver,
    /// Entered by hand: another carrier's, or bought before (NUM-14).
    ByHand,
}

/// A number that is held, as the rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// How it came here.
    pub origin: Origin,
    /// When it was bought at the carrier; `None`: nobody knows.
    pub bought: Option<Timestamp>,
    /// The name of the deployment that has it; `None`: it is in the pool.
    pub deployment: Option<&'a str>,
    /// Calls on it that go on.
    pub calls: usize,
}

/// Whether somebody of this role may buy, enter, assign or release numbers (ROLE-04).
///
/// # Errors
/// `role`.
pub fn may_change(role: Role) -> Result<(), Refusal> {
    deployments::may_change(role)
}

/// Whether a number counts for the quota (NUM-05, NUM-14).
pub fn counts(origin: Origin) -> bool {
    origin != Origin::ByHand
}

/// Whether one more may be bought. `used`: all that count, assigned, pooled, and on their way (NUM-05, NUM-06).
///
/// # Errors
/// `number_quota`.
pub fn may_buy(used: u32, plan: &Plan) -> Result<(), Refusal> {
    match plan.numbers {
        Some(limit) if used >= limit => {
            let message =
                format!("Phone number quota exhausted… ({used} / {limit}) Contact support to increase your limit.");
            Err(Refusal::state("number_quota", message))
        }
        _ => Ok(()),
    }
}

/// What the picker shows (NUM-05): `1 / 3`; without a limit how many there are.
pub fn used(used: u32, plan: &Plan) -> String {
    plan.numbers.map_or_else(|| used.to_string(), |limit| format!("{used} / {limit}"))
}

/// A number as it may be entered by hand (NUM-14): blanks and what else groups its digits is left out.
///
/// # Errors
/// `number_form`.
pub fn entered(text: &str) -> Result<String, Refusal> {
    let number: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '/' | '(' | ')' | '\u{a0}')).collect();
    if is_e164(&number) {
        return Ok(number);
    }
    let message = "A number is + with its country and 7 to 15 digits, such as +41445550100.";
    Err(Refusal::wrong("number_form", NUMBER, message))
}

/// The number is there already: held, being bought, or named by a document.
pub fn known() -> Refusal {
    Refusal::state("number_known", "This number is in the list already.")
}

/// There is no such number.
pub fn absent() -> Refusal {
    Refusal { status: 404, ..Refusal::state("no_number", "There is no such number.") }
}

/// Whether a deployment of this channel, which has `its` number, may be given one that `holder` has (NUM-08).
///
/// # Errors
/// `number_assigned`, `has_number`, and `channel` for all but phones.
pub fn may_assign(holder: Option<&str>, channel: Channel, its: Option<&str>) -> Result<(), Refusal> {
    if channel != Channel::Phone {
        return Err(Refusal::wrong("channel", "deployment", "Only phone deployments have a number."));
    }
    if let Some(name) = holder {
        return Err(Refusal::state("number_assigned", format!("This number is already assigned to {name}.")));
    }
    match its {
        Some(_) => Err(Refusal::state("has_number", "This deployment already has a number.")),
        None => Ok(()),
    }
}

/// From when a number may be given back (NUM-12, Q-18); `None`: not here, or nobody knows when it was bought.
pub fn releasable(held: &Held<'_>) -> Option<Timestamp> {
    if held.origin == Origin::ByHand {
        return None;
    }
    held.bought?.checked_add(KEPT).ok()
}

/// Whether a number may be given back to its carrier `now` (NUM-11). `zone`: in which people read the date.
///
/// # Errors
/// `by_hand`, `number_in_use` while it is assigned or a call goes on, `too_early` with the date.
pub fn may_release(held: &Held<'_>, now: Timestamp, zone: &TimeZone) -> Result<(), Refusal> {
    if held.deployment.is_some() {
        return Err(Refusal::state("number_in_use", "Unassign the number first."));
    }
    if held.origin == Origin::ByHand {
        let message = "This number was entered by hand: give it back at its carrier, and remove it here.";
        return Err(Refusal::state("by_hand", message));
    }
    if held.calls > 0 {
        return Err(Refusal::state("number_in_use", "A call on this number goes on."));
    }
    match releasable(held) {
        Some(from) if now < from => {
            let date = shown(from, zone);
            Err(Refusal::state("too_early", format!("This number can be released from {date}.")))
        }
        _ => Ok(()),
    }
}

/// Whether a number may be taken off the list without asking a carrier (NUM-14).
///
/// # Errors
/// `number_in_use`, `not_by_hand`.
pub fn may_remove(held: &Held<'_>) -> Result<(), Refusal> {
    if held.deployment.is_some() {
        return Err(Refusal::state("number_in_use", "Unassign the number first."));
    }
    match held.origin {
        Origin::ByHand => Ok(()),
        Origin::Bought | Origin::TakenOver => {
            Err(Refusal::state("not_by_hand", "This number is the carrier's: release it instead."))
        }
    }
}

/// What a purchase is told whose answer was lost (NUM-06).
pub fn unanswered() -> Refusal {
    let message = "The carrier did not answer; the number will appear if it was bought.";
    Refusal { status: 502, ..Refusal::state("carrier_silent", message) }
}

/// What a release is told whose answer was lost.
pub fn unreleased() -> Refusal {
    let message = "The carrier did not answer; the number will disappear if it was given back.";
    Refusal { status: 502, ..Refusal::state("carrier_silent", message) }
}

/// The number is not for sale any more, or never was one that can be called.
pub fn gone() -> Refusal {
    Refusal::state("number_gone", "This number is not for sale any more. Choose another.")
}

/// The number is not of the country that was named.
pub fn elsewhere(country: Country) -> Refusal {
    let message = format!("Numbers in {} begin with {}.", country.name(), country.prefix());
    Refusal::wrong("number_form", NUMBER, message)
}

/// The carrier's account has it, and it is not in the list.
pub fn in_account() -> Refusal {
    Refusal::state("in_account", "The carrier's account has this number already: take it over instead.")
}

/// It was looked for and not found.
pub fn not_bought() -> Refusal {
    Refusal::state("not_bought", "The carrier did not answer, and has not sold the number.")
}

/// It costs more than whoever buys has said.
pub fn dearer() -> Refusal {
    Refusal::state("price_changed", "The number costs more by now. Search again.")
}

/// The key stands for another purchase.
pub fn key_reused() -> Refusal {
    let message = "This Idempotency-Key was used for another request; a new request needs a new key.";
    Refusal::state("key_reused", message)
}

/// There is no such deployment.
pub fn no_deployment() -> Refusal {
    Refusal { status: 404, ..Refusal::state("no_deployment", "There is no such deployment.") }
}

/// Nothing differs, as far as is known.
pub fn no_difference() -> Refusal {
    Refusal::state("no_difference", "Nothing differs any more. Look at the carrier's list again.")
}

/// What the carrier lists and we do not cannot be repaired.
pub fn take_over_instead() -> Refusal {
    Refusal::state("unknown_number", "This number is not in the list: take it over.")
}

/// What the carrier says no to, in its words (NUM-07). `status`: 409 where it refuses what is asked, 502 where it fails, 503 where it
/// wants to be asked later.
pub fn refused(code: &'static str, status: u16, words: impl Into<String>) -> Refusal {
    Refusal { status, ..Refusal::state(code, words) }
}

const NUMBER: &str = "number";
