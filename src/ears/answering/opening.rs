//! The first words of a call: how long they are, and whether silence follows.

use super::Finding;
use crate::ears::vad::Step;

/// Steps at least this likely are speech.
const SPEECH: f32 = 0.5;
/// Less speech than this is a click or a breath.
const UTTERANCE_MIN_MS: u64 = 100;
/// People who pick up say no more than this ...
const SHORT_MS: u64 = 2_000;
/// ... and then wait for this long.
const WAITS_MS: u64 = 800;
/// Who said more than that, but no monologue, has to wait longer: machines pause between sentences.
const WAITS_LONG_MS: u64 = 1_500;
/// Of a monologue at least this share is speech, in percent.
const MONOLOGUE_SPEECH: u64 = 50;
/// A machine that was silent for this long has come to its end.
const QUIET_MS: u64 = 2_500;

/// Whether a step is speech.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Something,
    Nothing,
}

impl Said {
    pub(super) fn of(step: Step) -> Said {
        if step.probability.as_f32() >= SPEECH { Said::Something } else { Said::Nothing }
    }
}

/// What was said so far, in ms.
#[derive(Debug)]
pub(super) struct Opening {
    monologue_ms: u64,
    /// Speech of this utterance.
    voiced: u64,
    /// From its first speech to now.
    since: u64,
    /// Since its last speech.
    silent: u64,
    found: Option<Finding>,
    speaks: bool,
    quiet: bool,
}

impl Opening {
    pub(super) fn new(monologue_ms: u32) -> Self {
        let monologue_ms = u64::from(monologue_ms);
        Opening { monologue_ms, voiced: 0, since: 0, silent: 0, found: None, speaks: false, quiet: false }
    }

    /// One step of `ms` more.
    pub(super) fn step(&mut self, said: Said, ms: u64) -> Option<Finding> {
        match said {
            Said::Something => {
                self.silent = 0;
                self.quiet = false;
                self.voiced += ms;
                self.since += ms;
            }
            Said::Nothing if self.voiced == 0 => return None,
            Said::Nothing => {
                self.silent += ms;
                self.since += ms;
            }
        }
        match self.found {
            None if self.voiced >= UTTERANCE_MIN_MS && !self.speaks => {
                self.speaks = true;
                Some(Finding::Speaks)
            }
            None => self.judge(),
            Some(Finding::Machine) if self.silent >= QUIET_MS && !self.quiet => {
                self.quiet = true;
                Some(Finding::Quiet)
            }
            Some(_) => None,
        }
    }

    fn judge(&mut self) -> Option<Finding> {
        let utterance = self.since - self.silent;
        let waits = if utterance < SHORT_MS { WAITS_MS } else { WAITS_LONG_MS };
        if self.silent >= waits {
            if self.voiced < UTTERANCE_MIN_MS {
                (self.voiced, self.since, self.silent) = (0, 0, 0);
                return None;
            }
            self.found = Some(Finding::Human);
        } else if self.silent == 0
            && utterance >= self.monologue_ms
            && self.voiced * 100 >= utterance * MONOLOGUE_SPEECH
        {
            self.found = Some(Finding::Machine);
        }
        self.found
    }
}
