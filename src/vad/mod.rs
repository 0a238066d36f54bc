//! Voice activity detection: how likely each short step of the caller's audio is speech.

use crate::config::VadEngine;
use crate::time::Samples;

/// A speech probability in per mille, 0–1000. Quantised where it is made, so that whoever is told it later decides on the
/// same number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probability(u16);

impl Probability {
    /// From per mille; more than 1000 counts as 1000.
    pub const fn from_per_mille(per_mille: u16) -> Self {
        Probability(if per_mille > 1_000 { 1_000 } else { per_mille })
    }

    /// From 0–1, rounded; what is not a number counts as 0.
    pub fn from_f32(p: f32) -> Self {
        Probability((p.clamp(0.0, 1.0) * 1_000.0).round() as u16)
    }

    /// 0–1000.
    pub const fn per_mille(self) -> u16 {
        self.0
    }

    /// 0–1.
    pub fn as_f32(self) -> f32 {
        f32::from(self.0) / 1_000.0
    }
}

/// What was heard in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Position of the first sample after it, counted in what was heard so far.
    pub end: Samples,
    /// How likely the caller speaks.
    pub probability: Probability,
    /// Its level (RMS) in dBFS, −128–0.
    pub level_db: i8,
}

/// One call's detector.
#[derive(Debug)]
pub struct Vad {
    rate_hz: u32,
    step: usize,
    held: Vec<i16>,
    taken: u64,
}

impl Vad {
    /// For audio at `rate_hz`.
    pub fn new(engine: VadEngine, rate_hz: u32) -> Self {
        let step = step_samples(engine, rate_hz).0 as usize;
        Vad { rate_hz, step, held: Vec::with_capacity(step), taken: 0 }
    }

    /// Takes any amount of audio; `on` gets each step that is complete with it, in order. The same audio in other pieces
    /// gives the same steps.
    pub fn process(&mut self, samples: &[i16], mut on: impl FnMut(Step)) {
        for &sample in samples {
            self.held.push(sample);
            self.taken += 1;
            if self.held.len() == self.step {
                let level = crate::audio::level::dbfs(crate::audio::level::rms(&self.held));
                self.held.clear();
                let p = ((level + 50.0) / 20.0).clamp(0.0, 1.0);
                let level_db = level.clamp(-128.0, 0.0) as i8;
                on(Step { end: Samples(self.taken), probability: Probability::from_f32(p as f32), level_db });
            }
        }
        let _ = self.rate_hz;
    }
}

/// The length of a step, in samples at `rate_hz`.
pub fn step_samples(_engine: VadEngine, rate_hz: u32) -> Samples {
    Samples::from_ms(16, rate_hz)
}
