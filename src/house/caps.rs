//! May one more call begin (CON-01, CON-02, CON-04)? The decision; counting without a race is the store's.

use std::time::Duration;

use super::refusal::{Flag, Refusal};
use crate::config::Limits;

/// Calls that are there: running ones and those that ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of this agent, on all servers.
    pub agent: u32,
    /// On this server, of all agents.
    pub server: u32,
}

/// How many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The agent's own `max_calls`; `None`: as many as the plan lets it have.
    pub agent: Option<u32>,
    /// `[plan] calls_per_agent`; `None`: no limit but the server's.
    pub plan: Option<u32>,
    /// The server's `max_calls`.
    pub server: u32,
    /// The server does not keep up (`max_lag_ms`): it takes none at all.
    pub late: bool,
}

/// Which cap it is, with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// Set for the agent.
    Agent(u32),
    /// Of the plan, for each agent.
    Plan(u32),
    /// The server's.
    Server(u32),
    /// The server does not keep up.
    Lag,
}

/// Whether one more may begin.
///
/// # Errors
/// The smallest of the caps that are reached; of equal ones the narrowest: agent, plan, server.
pub fn admit(caps: &Caps, counts: &Counts) -> Result<(), Cap> {
    if caps.late {
        return Err(Cap::Lag);
    }
    let reached = of_agent(caps.agent, caps.plan).filter(|cap| counts.agent >= cap.number());
    let server = Some(Cap::Server(caps.server)).filter(|cap| counts.server >= cap.number());
    // The first of equal ones is taken.
    match reached.into_iter().chain(server).min_by_key(|cap| cap.number()) {
        Some(cap) => Err(cap),
        None => Ok(()),
    }
}

/// The cap of an agent: the smaller of its own and the plan's (CON-01); `None`: only the server's.
pub fn of_agent(agent: Option<u32>, plan: Option<u32>) -> Option<Cap> {
    let own = agent.map(Cap::Agent);
    own.into_iter().chain(plan.map(Cap::Plan)).min_by_key(|cap| cap.number())
}

/// An agent's cap that has no effect, since the plan's is smaller (CON-01).
pub fn over_plan(agent: Option<u32>, plan: Option<u32>) -> Option<Flag> {
    let (agent, plan) = (agent?, plan?);
    let message = format!("The plan allows {plan} calls at once per agent; {agent} has no effect.");
    (agent > plan).then(|| Flag::new("calls_over_plan", Some("max_calls"), message))
}

/// Where a call comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Somebody calls.
    In,
    /// We place it.
    Placed,
}

/// What becomes of a call over the cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// It hears the line `refuse_full`, since nobody can wait unheard (C-16, CON-04).
    Refused,
    /// It begins when a slot is free (CON-03).
    Waits,
}

/// What becomes of a call over the cap.
pub fn over(way: Way) -> Over {
    match way {
        Way::In => Over::Refused,
        Way::Placed => Over::Waits,
    }
}

/// How long a slot is kept for a call of which nothing is heard (CON-02): the longest that it may ring, begin, last and end.
/// `ring_s` of a call that is placed; 0 of one that comes in.
pub fn longest(limits: &Limits, ring_s: u64) -> Duration {
    let talks_s = if limits.max_duration_s == 0 { CARRIER_MAX_S } else { limits.max_duration_s.min(CARRIER_MAX_S) };
    let ends_s = limits.farewell_s + limits.transcript_wait_ms.div_ceil(1_000) + HANG_UP_S;
    Duration::from_secs(ring_s + limits.media_start_s + talks_s + ends_s)
}

impl Cap {
    /// In one word, for programs, labels and logs.
    pub fn name(self) -> &'static str {
        match self {
            Cap::Agent(_) => "agent",
            Cap::Plan(_) => "plan",
            Cap::Server(_) => "server",
            Cap::Lag => "lag",
        }
    }

    /// How many it lets be; none at all while the server does not keep up.
    pub fn number(self) -> u32 {
        match self {
            Cap::Agent(n) | Cap::Plan(n) | Cap::Server(n) => n,
            Cap::Lag => 0,
        }
    }

    /// What a program is told that wants a call now; it may ask again.
    pub fn refusal(self) -> Refusal {
        let message = match self {
            Cap::Agent(n) => format!("This agent may have {n} calls at once."),
            Cap::Plan(n) => format!("Your plan allows {n} calls at once per agent."),
            Cap::Server(n) => format!("This server takes {n} calls at once."),
            Cap::Lag => "This server is busy.".to_owned(),
        };
        Refusal { status: 503, ..Refusal::state("full", message) }
    }
}

/// A carrier ends every call after a day.
const CARRIER_MAX_S: u64 = 86_400;
/// For the carrier to be told, and for its word of the end to come.
const HANG_UP_S: u64 = 60;
