//! Voice activity: is the caller speaking?
//!
//! [`Vad`] takes the caller's audio in pieces of any size and gives one [`Step`] per 16 or 32 ms of it: how probable it is
//! that there is speech, and how loud it is. The steps do not depend on how the audio was cut. They are all that a turn
//! detector is told, and what a journal keeps.
//!
//! `cargo run --release --example hearing` measures the engines on labelled audio.

pub mod doubler;
pub mod silero;

mod earshot;
mod energy;
mod frames;
mod gate;
mod pair;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::audio::Resampler;
use crate::base::audio::level::{FULL_SCALE, dbfs};
use crate::base::time::Samples;
pub use crate::config::VadEngine;
use frames::Frames;

/// A probability in thousandths, 0 to 1 000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Probability(u16);

impl Probability {
    /// Impossible.
    pub const ZERO: Probability = Probability(0);

    /// The nearest of a probability 0–1; what lies outside is brought inside, and what is no number is 0.
    pub fn from_f32(p: f32) -> Self {
        Probability((p.clamp(0.0, 1.0) * 1_000.0).round() as u16)
    }

    /// Thousandths, 0 to 1 000; more is 1 000.
    pub const fn from_per_mille(per_mille: u16) -> Self {
        Probability(if per_mille > 1_000 { 1_000 } else { per_mille })
    }

    /// From 0 to 1.
    pub fn as_f32(self) -> f32 {
        f32::from(self.0) / 1_000.0
    }

    /// Thousandths, 0 to 1 000.
    pub const fn per_mille(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for Probability {
    type Error = OutOfRange;

    fn try_from(per_mille: u16) -> Result<Self, OutOfRange> {
        if per_mille > 1_000 { Err(OutOfRange) } else { Ok(Probability(per_mille)) }
    }
}

impl From<Probability> for u16 {
    fn from(p: Probability) -> u16 {
        p.0
    }
}

/// A number that is no probability in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange;

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a probability in thousandths is at most 1000")
    }
}

impl std::error::Error for OutOfRange {}

/// The [level](Step::level_db) of a step without any sound, or of one value: what a line without transmission, or a gate that
/// is shut, leaves.
pub const DIGITAL_SILENCE_DB: i8 = i8::MIN;

/// What was heard in one step of the caller's audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The media position of the first sample after it, at the line's rate: the newest audio that it knows.
    pub end: Samples,
    /// How probable it is that the caller speaks.
    pub probability: Probability,
    /// Its level without any constant offset, in dB relative to full scale; −128 is digital silence.
    pub level_db: i8,
}

/// The detector of one call. Takes no memory per frame; all of it is under 5 KiB at 8 kHz, and 12 KiB with earshot.
pub struct Vad {
    front: Front,
    engine: Engine,
    /// Steps given so far.
    steps: u64,
    rate_hz: u32,
}

enum Engine {
    Silero(Box<pair::Pair>),
    Earshot(Box<earshot::Earshot>),
    Energy(energy::Energy),
}

impl Vad {
    /// For audio of `rate_hz`, 8 000, 16 000, 24 000 or 48 000; others are resampled too. At 8 kHz nothing is resampled
    /// but for the network that knows 16 kHz only.
    ///
    /// The first Silero of a process unpacks the network: see [`silero::load`].
    pub fn new(engine: VadEngine, rate_hz: u32) -> Self {
        let base_hz = base_hz(engine, rate_hz);
        let step_ms = step_ms(engine);
        let frame = Samples::from_ms(step_ms, base_hz).0.max(1) as usize;
        let engine = match engine {
            VadEngine::Silero => Engine::Silero(Box::new(pair::Pair::new(base_hz))),
            VadEngine::Earshot => Engine::Earshot(Box::new(earshot::Earshot::new(base_hz))),
            VadEngine::Energy => Engine::Energy(energy::Energy::new()),
        };
        Vad { front: Front::new(rate_hz, base_hz, frame), engine, steps: 0, rate_hz }
    }

    /// Takes the next piece of audio, of any size, and gives the steps that it completes.
    pub fn process(&mut self, samples: &[i16], mut on: impl FnMut(Step)) {
        let Vad { front, engine, steps, rate_hz } = self;
        let (frame, base_hz, delay) = (front.frames.size() as u64, front.base_hz, front.delay);
        front.process(samples, |frame_samples| {
            let level = Level::of(frame_samples);
            let probability = match engine {
                Engine::Silero(pair) => pair.step(frame_samples, level),
                Engine::Earshot(earshot) => earshot.step(frame_samples),
                Engine::Energy(energy) => energy.step(level),
            };
            *steps += 1;
            // In two factors of at most 48 bits: a call is not that long.
            let heard = *steps * frame * u64::from(*rate_hz) / u64::from(base_hz);
            on(Step {
                end: Samples(heard.saturating_sub(delay)),
                probability: Probability::from_f32(probability),
                level_db: level.rounded(),
            });
        });
    }

    /// The length of a step in milliseconds.
    pub fn step_ms(&self) -> u64 {
        step_ms(match self.engine {
            Engine::Silero(_) => VadEngine::Silero,
            Engine::Earshot(_) => VadEngine::Earshot,
            Engine::Energy(_) => VadEngine::Energy,
        })
    }
}

/// The length of an engine's step in milliseconds.
pub const fn step_ms(engine: VadEngine) -> u64 {
    match engine {
        VadEngine::Silero => 32,
        VadEngine::Earshot | VadEngine::Energy => 16,
    }
}

/// The same in samples at `rate_hz`.
pub const fn step_samples(engine: VadEngine, rate_hz: u32) -> Samples {
    Samples::from_ms(step_ms(engine), rate_hz)
}

/// By how much an engine's steps end before the audio that completed them, at `rate_hz`: what resampling holds back.
pub fn delay_samples(engine: VadEngine, rate_hz: u32) -> Samples {
    let base_hz = base_hz(engine, rate_hz);
    if base_hz == rate_hz {
        return Samples::ZERO;
    }
    let delay = Resampler::new(rate_hz, base_hz).delay_samples() as u64;
    Samples(delay * u64::from(rate_hz) / u64::from(base_hz))
}

/// The rate that an engine is run at.
const fn base_hz(engine: VadEngine, rate_hz: u32) -> u32 {
    match engine {
        VadEngine::Energy => rate_hz,
        _ if rate_hz == 8_000 => 8_000,
        _ => 16_000,
    }
}

impl fmt::Debug for Vad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engine = match self.engine {
            Engine::Silero(_) => VadEngine::Silero,
            Engine::Earshot(_) => VadEngine::Earshot,
            Engine::Energy(_) => VadEngine::Energy,
        };
        f.debug_struct("Vad")
            .field("engine", &engine)
            .field("rate_hz", &self.rate_hz)
            .field("steps", &self.steps)
            .finish()
    }
}

/// Probabilities are taken to be this far from 0 and 1 at least, so that no one opinion can overrule the others.
const NEVER_SURER: f32 = 1e-4;

/// The logarithm of the odds of a probability 0–1; at most some 9 either way.
pub(crate) fn log_odds(p: f32) -> f32 {
    let p = p.clamp(NEVER_SURER, 1.0 - NEVER_SURER);
    (p / (1.0 - p)).ln()
}

/// The probability of which these are the log-odds.
pub(crate) fn from_log_odds(odds: f32) -> f32 {
    1.0 / (1.0 + (-odds).exp())
}

/// From the line's audio to an engine's frames.
struct Front {
    /// None where the line has the engine's rate.
    resampler: Option<Resampler>,
    /// Resampled audio of one piece.
    resampled: Vec<i16>,
    /// Line samples per piece that is resampled at once: bounds `resampled`.
    piece: usize,
    /// Line samples by which resampling delays.
    delay: u64,
    base_hz: u32,
    frames: Frames,
}

impl Front {
    fn new(rate_hz: u32, base_hz: u32, frame: usize) -> Self {
        let resampler = (rate_hz != base_hz).then(|| Resampler::new(rate_hz, base_hz));
        let delay =
            resampler.as_ref().map_or(0, |r| r.delay_samples() as u64 * u64::from(rate_hz) / u64::from(base_hz));
        let resampled = if resampler.is_some() { Vec::with_capacity(base_hz as usize / 50 + 8) } else { Vec::new() };
        let piece = (rate_hz as usize / 50).max(1);
        Front { resampler, resampled, piece, delay, base_hz, frames: Frames::new(frame) }
    }

    fn process(&mut self, samples: &[i16], mut on: impl FnMut(&[i16])) {
        let Some(resampler) = &mut self.resampler else { return self.frames.push(samples, on) };
        for piece in samples.chunks(self.piece) {
            self.resampled.clear();
            resampler.process(piece, &mut self.resampled);
            self.frames.push(&self.resampled, &mut on);
        }
    }
}

/// How loud a frame is without its mean: an offset is no sound.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Level {
    /// Root mean square, 0 to 32 768.
    rms: f32,
}

impl Level {
    fn of(frame: &[i16]) -> Self {
        // A frame has some thousand samples at most: the sum keeps within 32 bits.
        let sum: i32 = frame.iter().map(|&s| i32::from(s)).sum();
        let squares: u64 = frame.iter().map(|&s| u64::from((i32::from(s) * i32::from(s)) as u32)).sum();
        let n = frame.len().max(1) as f64;
        let mean = f64::from(sum) / n;
        Level { rms: (squares as f64 / n - mean * mean).max(0.0).sqrt() as f32 }
    }

    /// dB relative to full scale, not below −96: one part of the smallest step of a sample.
    fn db(self) -> f32 {
        dbfs(self.rms.max(FULL_SCALE * 1.6e-5))
    }

    fn rounded(self) -> i8 {
        if self.rms == 0.0 { DIGITAL_SILENCE_DB } else { dbfs(self.rms).round().clamp(-128.0, 0.0) as i8 }
    }
}
