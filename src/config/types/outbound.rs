//! Calls that are placed.

use serde::{Deserialize, Serialize};

use super::Sound;

/// How calls are placed, and what is done when no person picks up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outbound {
    /// Seconds that the phone rings, 5–600.
    pub ring_s: u64,
    /// Who finds out who picked up.
    pub detect: Detect,
    /// Whether the agent is silent until it is known that a person is there, or nobody can tell.
    pub wait_for_human: bool,
    /// Milliseconds of silence after which nobody can tell, 500–30000.
    pub decide_within_ms: u64,
    /// Milliseconds of speech that are more than people say when they pick up, 2000–15000.
    pub monologue_ms: u32,
    /// What is done when a machine picks up.
    pub on_machine: OnMachine,
    /// Milliseconds to wait for the end of a machine's greeting, 1000–120000; then the message is said all the same.
    pub beep_timeout_ms: u64,
}

impl Default for Outbound {
    fn default() -> Self {
        Outbound {
            ring_s: 40,
            detect: Detect::Own,
            wait_for_human: true,
            decide_within_ms: 4_000,
            monologue_ms: 4_500,
            on_machine: OnMachine::HangUp,
            beep_timeout_ms: 40_000,
        }
    }
}

/// Who finds out who picked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detect {
    /// Nobody: whoever picks up is a person.
    Off,
    /// Our own ears: short utterances, monologues, beeps.
    Own,
    /// The carrier, which charges for it.
    Carrier,
    /// Both: whoever knows first.
    Both,
}

impl Detect {
    /// As in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Detect::Off => "off",
            Detect::Own => "own",
            Detect::Carrier => "carrier",
            Detect::Both => "both",
        }
    }

    /// Whether our own ears listen.
    pub const fn own(self) -> bool {
        matches!(self, Detect::Own | Detect::Both)
    }

    /// Whether the carrier is asked.
    pub const fn carrier(self) -> bool {
        matches!(self, Detect::Carrier | Detect::Both)
    }
}

/// What is done when a machine picks up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMachine {
    /// The call ends.
    HangUp,
    /// As if it were a person.
    Continue,
    /// After its greeting the model says this, and the call ends.
    Say(String),
    /// After its greeting this is played, and the call ends.
    Play(Sound),
}
