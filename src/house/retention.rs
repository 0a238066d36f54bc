//! How long calls are kept (SEC-06): as the organization says, an agent's shorter or longer within its bound, recordings never
//! longer than their calls.

use super::refusal::Flag;
use crate::config::{KeepDays, StoreSettings};

/// For how many days from their end; `None`: for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// Calls with all that there is of them.
    pub calls: Option<u64>,
    /// What has their sound, recordings and journals with audio, where that is shorter; else as calls.
    pub recordings: Option<u64>,
}

/// What goes for the calls of an agent that says this of itself.
pub fn in_force(organization: &StoreSettings, agent: KeepDays) -> Kept {
    let calls = agent.calls.unwrap_or(organization.keep_days);
    let calls = shorter(days(calls), days(organization.max_keep_days));
    let recordings = agent.recordings.unwrap_or(organization.keep_recordings_days);
    Kept { calls, recordings: shorter(days(recordings), calls) }
}

/// What an agent says to no effect.
pub fn over_bound(organization: &StoreSettings, agent: KeepDays) -> Option<Flag> {
    let bound = days(organization.max_keep_days)?;
    let wanted = agent.calls.filter(|wanted| days(*wanted).is_none_or(|wanted| wanted > bound))?;
    let wanted = days(wanted).map_or("for ever".to_owned(), |days| format!("for {days} days"));
    let message =
        format!("Calls of this agent would be kept {wanted}; your organization keeps none for more than {bound}.");
    Some(Flag::new("keep_over_bound", Some("keep_days"), message))
}

/// 0 is for ever.
fn days(said: u64) -> Option<u64> {
    (said > 0).then_some(said)
}

fn shorter(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}
