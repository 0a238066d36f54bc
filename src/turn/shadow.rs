//! Candidate settings tried silently beside the live ones.

use crate::turn::{TurnDetector, TurnEvent};
use crate::vad::Step;

/// One candidate.
#[derive(Clone, Debug)]
pub struct Shadow {
    detector: TurnDetector,
}

impl Shadow {
    /// By these settings, for audio at `rate_hz`.
    pub fn new(settings: &crate::config::Shadow, rate_hz: u32) -> Self {
        Shadow { detector: TurnDetector::new(&settings.turn, rate_hz) }
    }

    /// Takes one step and what the live settings made of it.
    pub fn step(&mut self, step: Step, _live: Option<TurnEvent>, _agent_audible: bool) {
        self.detector.step(step);
    }
}
