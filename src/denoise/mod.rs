//! Noise reduction.

use crate::config::NoiseReduction;
use crate::time::Samples;

/// One call's noise reduction.
#[derive(Debug)]
pub enum Denoiser {
    /// Audio stays as it came.
    Off,
}

impl Denoiser {
    /// For audio at `rate_hz`.
    pub fn new(_kind: NoiseReduction, _rate_hz: u32) -> Self {
        Denoiser::Off
    }

    /// Reduces noise in place; what comes out is later by [`delay`](Self::delay).
    pub fn process(&mut self, _samples: &mut [i16]) {}

    /// How much later sound comes out.
    pub fn delay(&self) -> Samples {
        Samples::ZERO
    }

    /// 0–1: speech in the latest frame, as the noise reduction itself sees it.
    pub fn speech_probability(&self) -> Option<f32> {
        None
    }
}
