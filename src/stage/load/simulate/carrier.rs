//! The carrier: what becomes of a hang-up or a transfer that is asked for.

use super::fault::{Fault, Faults};
use crate::base::time::CallTime;
use crate::engine::{EffectId, EffectResult};
use crate::stage::load::random::Random;

/// One call's carrier.
#[derive(Debug)]
pub(super) struct Carrier {
    random: Random,
    /// What comes back, and when. One effect runs at a time.
    answer: Option<(CallTime, Answer)>,
    pub(super) faults: Faults,
}

/// What comes of an effect.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// Its result.
    Result(EffectId, EffectResult),
    /// The line ends before the result is there.
    LineEnds,
}

impl Carrier {
    pub(super) fn new(random: Random) -> Self {
        Carrier { random, answer: None, faults: Faults::default() }
    }

    /// An effect is asked for.
    pub(super) fn run(&mut self, now: CallTime, id: EffectId) {
        let at = now.plus_ms(self.random.skewed(60, 1_500));
        self.answer = match self.random.range(0, 99) {
            0..=3 => {
                self.faults.met(Fault::EffectUnanswered);
                None
            }
            4..=8 => {
                self.faults.met(Fault::EffectFails);
                Some((at, Answer::Result(id, EffectResult::Failed("HTTP 500".to_owned()))))
            }
            9..=49 => Some((at, Answer::LineEnds)),
            _ => Some((at, Answer::Result(id, EffectResult::Done))),
        };
    }

    /// When something comes back.
    pub(super) fn next(&self) -> Option<CallTime> {
        self.answer.as_ref().map(|(at, _)| *at)
    }

    /// What has come back by `now`.
    pub(super) fn poll(&mut self, now: CallTime) -> Option<Answer> {
        self.answer.take_if(|(at, _)| *at <= now).map(|(_, answer)| answer)
    }
}
