//! On, off, and by itself at a time (VIS-05 to VIS-07): of agents and of deployments alike.

use jiff::Timestamp;

use super::refusal::{Flag, Refusal};
use crate::config::Schedule;

/// What somebody does with the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Live at once, whatever was scheduled.
    On,
    /// Off at once. Running calls go on.
    Off,
    /// Off at once, and live again at that time (VIS-05).
    OffUntil(Timestamp),
    /// Off at once, and running calls are ended politely (VIS-06). Nothing stands in its way, no lock either.
    Emergency,
}

/// How things stand after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switched {
    /// `active` from now on.
    pub active: bool,
    /// The schedule from now on: without what the switch has made void.
    pub schedule: Schedule,
    /// Whether running calls are ended, too.
    pub ends_calls: bool,
}

impl Switch {
    /// What becomes of a schedule when the switch is moved at `now`.
    ///
    /// # Errors
    /// `schedule_past`: until a time that is over (VIS-07).
    pub fn apply(self, schedule: &Schedule, now: Timestamp) -> Result<Switched, Refusal> {
        // What is left of the schedule must not undo what somebody has just done.
        let later = |than: Timestamp| schedule.deactivate_at.filter(|at| *at > than);
        let off = Switched { active: false, schedule: Schedule::default(), ends_calls: false };
        Ok(match self {
            Switch::On => {
                let schedule = Schedule { activate_at: None, deactivate_at: later(now) };
                Switched { active: true, schedule, ends_calls: false }
            }
            Switch::Off => off,
            Switch::OffUntil(at) if at <= now => return Err(past("schedule.activate_at")),
            Switch::OffUntil(at) => {
                let schedule = Schedule { activate_at: Some(at), deactivate_at: later(at) };
                Switched { active: true, schedule, ends_calls: false }
            }
            Switch::Emergency => Switched { ends_calls: true, ..off },
        })
    }
}

/// Whether a schedule may be set (VIS-07). Only times that are new are held against the clock: one that came due while the
/// server was down stays as it is, and has its effect. `now` is when it is asked for; where that is not known, as of files,
/// a moment at which it was not there yet.
///
/// # Errors
/// `schedule_past`, `schedule_order`.
pub fn set(before: &Schedule, after: &Schedule, now: Timestamp) -> Result<(), Refusal> {
    let is_past =
        |before: Option<Timestamp>, after: Option<Timestamp>| after != before && after.is_some_and(|at| at <= now);
    if is_past(before.activate_at, after.activate_at) {
        return Err(past("schedule.activate_at"));
    }
    if is_past(before.deactivate_at, after.deactivate_at) {
        return Err(past("schedule.deactivate_at"));
    }
    match (after.activate_at, after.deactivate_at) {
        (Some(on), Some(off)) if off <= on => {
            let message = "It must be switched off later than it is switched on.";
            Err(Refusal::wrong("schedule_order", "schedule.deactivate_at", message))
        }
        _ => Ok(()),
    }
}

/// Whether a schedule lets it be on at `now`.
pub fn is_on(schedule: &Schedule, now: Timestamp) -> bool {
    schedule.activate_at.is_none_or(|at| at <= now) && !is_over(schedule, now)
}

/// Whether a schedule has switched it off for good.
pub fn is_over(schedule: &Schedule, now: Timestamp) -> bool {
    schedule.deactivate_at.is_some_and(|at| at <= now)
}

/// When a schedule changes something next; `None`: never again.
pub fn next_change(schedule: &Schedule, now: Timestamp) -> Option<Timestamp> {
    if is_over(schedule, now) {
        return None;
    }
    [schedule.activate_at, schedule.deactivate_at].into_iter().flatten().filter(|at| *at > now).min()
}

/// A schedule that waits for nothing: what is switched off is not switched on by it.
pub fn idle(active: bool, schedule: &Schedule, now: Timestamp) -> Option<Flag> {
    let waits = !active && schedule.activate_at.is_some_and(|at| at > now);
    let message = "It is inactive, and stays so at that time. Set active = true: until then the schedule keeps it off.";
    waits.then(|| Flag::new("schedule_idle", Some("schedule.activate_at"), message))
}

fn past(field: &'static str) -> Refusal {
    Refusal::wrong("schedule_past", field, "That time is past.")
}
