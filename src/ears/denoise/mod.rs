//! Noise reduction of the caller's audio: RNNoise on a line of 8 to 48 kHz, in place, with a delay that is stated.
//!
//! [RNNoise] (J.-M. Valin, "A Hybrid DSP/Deep Learning Approach to Real-Time Full-Band Speech Enhancement", 2018) works
//! on frames of 10 ms at 48 kHz. A line is slower, so each frame goes up by a whole factor, through the network, and
//! back down:
//!
//! ```text
//! line frame ── idle? ── yes ─────────────────────────────────────────────────────────▶ zeros
//!                 │ no
//!                 ├─▶ [rate::Up] ─▶ RNNoise ─▶ [rate::Down] ─▶ (1 - floor) ─┐
//!                 │                    └─ speech probability ─┐             + ─▶ [gain::Gain] ─▶ line frame
//!                 └─▶ delayed to match ───────────────────────│───▶ floor ──┘        ▲   (far field)
//!                                                             └──────────────────────┘
//! ```
//!
//! [RNNoise]: https://jmvalin.ca/papers/rnnoise_mmsp2018.pdf

mod gain;
mod rate;
mod suppressor;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::base::time::Samples;
use crate::config::NoiseReduction;

use suppressor::Suppressor;

/// Takes noise out of one caller's audio.
///
/// How the audio is cut into pieces does not matter, and nothing is allocated after [`Denoiser::new`] but by the first
/// frame on each thread (the FFT's plan and scratch, kept per thread).
#[derive(Clone)]
pub enum Denoiser {
    /// Changes and delays nothing.
    Off,
    /// Suppresses noise.
    On(Box<Suppressor>),
}

impl fmt::Debug for Denoiser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Denoiser::Off) { "Off" } else { "On" })
    }
}

impl Denoiser {
    /// For a line at `rate_hz`: 8 000, 16 000, 24 000 or 48 000. At any other rate nothing is reduced
    /// ([`Denoiser::Off`]), since only whole factors are cheap.
    pub fn new(reduction: NoiseReduction, rate_hz: u32) -> Self {
        let far = match reduction {
            NoiseReduction::None => return Denoiser::Off,
            NoiseReduction::NearField => false,
            NoiseReduction::FarField => true,
        };
        Suppressor::new(rate_hz, far).map_or(Denoiser::Off, |suppressor| Denoiser::On(Box::new(suppressor)))
    }

    /// Replaces `samples` by what was heard [`Denoiser::delay`] earlier, without its noise. The call begins with that
    /// much silence.
    pub fn process(&mut self, samples: &mut [i16]) {
        match self {
            Denoiser::Off => {}
            Denoiser::On(suppressor) => suppressor.process(samples),
        }
    }

    /// By how much audio comes out later than it went in: constant, 0 when off.
    pub fn delay(&self) -> Samples {
        match self {
            Denoiser::Off => Samples::ZERO,
            Denoiser::On(suppressor) => Samples(suppressor.delay() as u64),
        }
    }

    /// RNNoise's own estimate, 0..=1, that there was speech in the latest whole 10 ms that went **in**, so it is ahead
    /// of the audio that comes out. 0 in digital silence, `None` when off or before the first 10 ms.
    ///
    /// Too coarse to decide by alone (frame-level F1 of 0.81 on phone recordings where Silero's network has 0.96), but its
    /// mistakes are others: a fifth of it, in log-odds, makes that network better both in noise and without.
    pub fn speech_probability(&self) -> Option<f32> {
        match self {
            Denoiser::Off => None,
            Denoiser::On(suppressor) => suppressor.speech_probability(),
        }
    }
}
