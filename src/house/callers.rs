//! Who is known on the phone (ACC-06): by a number that the carrier vouches for, or by number and PIN on the keypad; decided
//! before any model is dialled (ACC-07).

use std::time::Duration;

use jiff::Timestamp;

use super::access::Member;
use super::force::{Because, Visitor, in_force};
use super::refusal::Refusal;
use crate::config::{AgentStanding, Standing, is_e164};

/// How often a caller may try in one call.
pub const TRIES: u32 = 3;
/// Asks for the PIN.
pub const ASK: &str = "Please enter your PIN, then press the pound key.";
/// Asks for it once more.
pub const AGAIN: &str = "That was not right. Please enter your PIN again, then press the pound key.";
/// Digits of a PIN.
pub const PIN_DIGITS: [usize; 2] = [4, 8];
/// Numbers of one member.
pub const MAX_NUMBERS: u64 = 10;

/// Who calls, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller<'a> {
    /// The member whose number it says it is.
    pub member: &'a Member,
    /// Whether the carrier vouches fully for the number (STIR/SHAKEN attestation A).
    pub attested: bool,
    /// Where they are with their PIN.
    pub pin: Pin,
}

/// Where a caller is with the PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The member has none.
    Missing,
    /// It was not asked for yet.
    Unasked,
    /// It was keyed in.
    Right,
    /// So many were keyed in that are not it, or nothing was.
    Wrong(u32),
    /// There were too many wrong ones of late: none is looked at.
    Paused,
}

/// What a caller meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The agent.
    LetIn,
    /// The question for the PIN, in these words.
    AskPin(&'static str),
    /// The line for this reason, and the end.
    Refuse(Because),
}

/// What a caller of `deployment` meets at `now`. `caller`: `None` while nobody has looked, or the number is no member's.
///
/// A PIN is asked for only where it would open the door: who is off the list, or below the least role, is refused at once.
pub fn answer(agent: &AgentStanding, deployment: &Standing, caller: Option<Caller<'_>>, now: Timestamp) -> Answer {
    let closed = match in_force(agent, deployment, Visitor::Unknown, now).because {
        None => return Answer::LetIn,
        Some(closed @ (Because::Visibility | Because::Access)) => closed,
        Some(off) => return Answer::Refuse(off),
    };
    let Some(caller) = caller else { return Answer::Refuse(closed) };
    if let Some(closed) = in_force(agent, deployment, Visitor::Member(caller.member), now).because {
        return Answer::Refuse(closed);
    }
    match caller.pin {
        _ if caller.attested => Answer::LetIn,
        Pin::Right => Answer::LetIn,
        Pin::Unasked => Answer::AskPin(ASK),
        Pin::Wrong(tries) if tries < TRIES => Answer::AskPin(AGAIN),
        Pin::Wrong(_) | Pin::Missing | Pin::Paused => Answer::Refuse(closed),
    }
}

/// Whether somebody who is known could get further than this.
pub fn is_about_who_calls(answer: Answer) -> bool {
    matches!(answer, Answer::Refuse(Because::Visibility | Because::Access))
}

/// How long no PIN of a member is looked at after so many wrong ones since the last right one; zero: the next may be tried.
///
/// Three may be tried in a row. The pause after them is a quarter of an hour and doubles up to a week, which leaves whoever
/// shows the member's number without right some 185 tries in the first year and 156 in each further one. The member gets in
/// meanwhile by calling with a number that the carrier vouches for.
pub fn pause_after(wrong: u32) -> Duration {
    if wrong == 0 || !wrong.is_multiple_of(TRIES) {
        return Duration::ZERO;
    }
    let doubled = FIRST_PAUSE.saturating_mul(1 << (wrong / TRIES - 1).min(16));
    doubled.min(LONGEST_PAUSE)
}

const FIRST_PAUSE: Duration = Duration::from_secs(15 * 60);
const LONGEST_PAUSE: Duration = Duration::from_secs(7 * 86_400);

/// Whether what was keyed in has the shape of a PIN.
pub fn is_pin(digits: &str) -> bool {
    (PIN_DIGITS[0]..=PIN_DIGITS[1]).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())
}

/// Whether this may be somebody's PIN. `numbers` are the member's own.
///
/// # Errors
/// `pin_shape`, `pin_easy`.
pub fn check_pin<'a>(pin: &str, numbers: impl IntoIterator<Item = &'a str>) -> Result<(), Refusal> {
    if !is_pin(pin) {
        return Err(Refusal::wrong("pin_shape", "pin", "A PIN has 4 to 8 digits."));
    }
    let steps = pin.as_bytes().windows(2).map(|pair| i16::from(pair[1]) - i16::from(pair[0]));
    let runs = |step: i16| steps.clone().all(|taken| taken == step);
    if [-1, 0, 1].into_iter().any(runs) || numbers.into_iter().any(|number| number.contains(pin)) {
        let easy = "That PIN is too easy to guess: no rows such as 1111 or 1234, and no part of the member's number.";
        return Err(Refusal::wrong("pin_easy", "pin", easy));
    }
    Ok(())
}

/// Whether something is a number.
///
/// # Errors
/// `number_shape`.
pub fn number(text: &str) -> Result<(), Refusal> {
    let shape = "A number is + and 7 to 15 digits, such as +15550100100.";
    if is_e164(text) { Ok(()) } else { Err(Refusal::wrong("number_shape", "number", shape)) }
}

/// Whether `member` may have this number, beside `has` others. `holder`: whose it is already.
///
/// # Errors
/// `number_shape`, `number_taken`, `number_limit`.
pub fn check_number(text: &str, member: &str, holder: Option<&str>, has: u64) -> Result<(), Refusal> {
    number(text)?;
    match holder {
        Some(holder) if holder != member => {
            Err(Refusal::state("number_taken", "Another member has this number. Each needs their own."))
        }
        None if has >= MAX_NUMBERS => {
            Err(Refusal::state("number_limit", format!("A member has {MAX_NUMBERS} numbers at most.")))
        }
        _ => Ok(()),
    }
}
