//! Who picked up: a person, who says a word and waits, or a machine, which talks on and beeps.
//!
//! ```text
//!  steps of the detection, or levels of its own ─► opening ─► Speaks, Human, Machine, Quiet
//!  caller audio ─► 8 kHz ─► spectrum each 20 ms ─► beep ────► Beep
//! ```
//!
//! What is found does not depend on how the audio was cut. It goes to the journal as it is found, so that a replay needs
//! no audio.

mod beep;
mod opening;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::audio::Resampler;
use crate::config::VadEngine;
use crate::ears::vad::{Step, Vad};
use beep::Beeps;
use opening::{Opening, Said};

/// Something that tells who picked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Somebody begins to speak.
    Speaks,
    /// A short utterance and then silence: somebody waits for an answer.
    Human,
    /// Speech that goes on for longer than people talk when they pick up.
    Machine,
    /// A tone such as machines end their greeting with; it is just over.
    Beep,
    /// The machine has been silent for a while, without a beep.
    Quiet,
}

impl Finding {
    /// A short stable name, as in the journal.
    pub const fn name(self) -> &'static str {
        match self {
            Finding::Speaks => "speaks",
            Finding::Human => "human",
            Finding::Machine => "machine",
            Finding::Beep => "beep",
            Finding::Quiet => "quiet",
        }
    }
}

/// What the carrier says of who picked up (Twilio's `AnsweredBy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    /// A person.
    Human,
    /// A machine, which still talks.
    MachineStart,
    /// A machine that has beeped.
    MachineEndBeep,
    /// A machine that has fallen silent without a beep.
    MachineEndSilence,
    /// A machine that has come to its end in another way.
    MachineEndOther,
    /// A fax.
    Fax,
    /// The carrier does not know.
    Unknown,
}

impl AnsweredBy {
    /// Twilio's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            AnsweredBy::Human => "human",
            AnsweredBy::MachineStart => "machine_start",
            AnsweredBy::MachineEndBeep => "machine_end_beep",
            AnsweredBy::MachineEndSilence => "machine_end_silence",
            AnsweredBy::MachineEndOther => "machine_end_other",
            AnsweredBy::Fax => "fax",
            AnsweredBy::Unknown => "unknown",
        }
    }

    /// From Twilio's word; a word that is new to us is [`AnsweredBy::Unknown`].
    pub fn from_name(name: &str) -> Self {
        let all = [
            AnsweredBy::Human,
            AnsweredBy::MachineStart,
            AnsweredBy::MachineEndBeep,
            AnsweredBy::MachineEndSilence,
            AnsweredBy::MachineEndOther,
            AnsweredBy::Fax,
        ];
        all.into_iter().find(|by| by.name() == name).unwrap_or(AnsweredBy::Unknown)
    }
}

/// Finds out who picked up. Takes no memory per frame.
pub struct Detector {
    opening: Opening,
    beeps: Beeps,
    /// Tells speech by its level where nobody else does.
    activity: Option<Vad>,
    /// `None` where the line has 8 kHz.
    resampler: Option<Resampler>,
    resampled: Vec<i16>,
}

impl Detector {
    /// For a line of `rate_hz`. `monologue_ms`: speech longer than this is a machine's. `told`: whether
    /// [steps](Self::step) are told; else speech is told from silence by its level.
    pub fn new(monologue_ms: u32, told: bool, rate_hz: u32) -> Self {
        Detector {
            opening: Opening::new(monologue_ms),
            beeps: Beeps::new(),
            activity: (!told).then(|| Vad::new(VadEngine::Energy, rate_hz)),
            resampler: (rate_hz != beep::RATE_HZ).then(|| Resampler::new(rate_hz, beep::RATE_HZ)),
            resampled: Vec::new(),
        }
    }

    /// Takes the caller's audio, of any length.
    pub fn take(&mut self, samples: &[i16], mut on: impl FnMut(Finding)) {
        if let Some(vad) = &mut self.activity {
            let (opening, ms) = (&mut self.opening, vad.step_ms());
            vad.process(samples, |step| {
                if let Some(finding) = opening.step(Said::of(step), ms) {
                    on(finding);
                }
            });
        }
        let samples = match &mut self.resampler {
            Some(resampler) => {
                self.resampled.clear();
                resampler.process(samples, &mut self.resampled);
                &self.resampled
            }
            None => samples,
        };
        self.beeps.take(samples, || on(Finding::Beep));
    }

    /// Takes what the call's own ears heard in a step of `ms`.
    pub fn step(&mut self, step: Step, ms: u64) -> Option<Finding> {
        self.opening.step(Said::of(step), ms)
    }
}

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detector").field("opening", &self.opening).finish_non_exhaustive()
    }
}
