//! From a line's rate to 48 kHz and back, one frame of 10 ms at a time.
//!
//! [`crate::base::audio::Resampler`] takes any pair of rates and keeps the band flat to 90 %; here the factor is whole, the frame
//! fixed and RNNoise's bands coarse, so a shorter filter whose inner loop runs over neighbouring samples costs a
//! fraction of it.

use crate::base::audio::resample::bessel_i0;
use std::f64::consts::PI;

/// Samples of the line before and after the middle of the filter, which is also its delay. The transition is 0.2 of the
/// line's Nyquist frequency wide on either side of it (3.2–4.8 kHz at 8 kHz), images lie 60 dB down.
pub(super) const HALF: usize = 16;

/// Coefficients per phase. A phase would have one more, but this filter is zero there.
const TAPS: usize = 2 * HALF;

/// Kaiser window: stop band of about −60 dB.
const BETA: f64 = 5.6;

/// Outputs computed side by side, so that they stay in vector registers.
const BLOCK: usize = 16;

/// From the line's rate to `factor` times as much.
#[derive(Clone)]
pub(super) struct Up {
    /// `factor` filters of `TAPS` coefficients, oldest sample first.
    phases: Vec<[f32; TAPS]>,
    /// The last `TAPS - 1` samples, then the frame.
    window: Vec<f32>,
}

impl Up {
    /// For frames of `frame` samples, a multiple of [`BLOCK`].
    ///
    /// `images`, 0..=1, is how much of the line's spectrum appears again above it, mirrored, in amplitude. 1 is what
    /// plain zeros between the samples give; that is the signal itself on one phase, so a part of it costs nothing.
    pub(super) fn new(factor: usize, frame: usize, images: f32) -> Self {
        let filter = design(factor, factor as f64);
        let phases = (0..factor)
            .map(|phase| {
                let weight = (1.0 - images) + if phase == 0 { images * factor as f32 } else { 0.0 };
                std::array::from_fn(|tap| weight * filter[phase + factor * (TAPS - 1 - tap)])
            })
            .collect();
        Up { phases, window: vec![0.0; TAPS - 1 + frame] }
    }

    /// Fills `out`, `factor` times as long as `frame`.
    pub(super) fn process(&mut self, frame: &[f32], out: &mut [f32]) {
        let factor = self.phases.len();
        if factor == 1 {
            out.copy_from_slice(frame);
            return;
        }
        self.window[TAPS - 1..].copy_from_slice(frame);
        for (phase, filter) in self.phases.iter().enumerate() {
            for first in (0..frame.len()).step_by(BLOCK) {
                let mut sums = [0.0; BLOCK];
                convolve(filter, &self.window[first..], &mut sums);
                for (i, sum) in sums.iter().enumerate() {
                    out[(first + i) * factor + phase] = *sum;
                }
            }
        }
        self.window.copy_within(frame.len().., 0);
    }
}

/// From `factor` times the line's rate back to it.
#[derive(Clone)]
pub(super) struct Down {
    /// As of [`Up`], for the samples that lie `phase` after one that is kept.
    phases: Vec<[f32; TAPS]>,
    /// Per phase: the last `TAPS` samples, then the frame's.
    windows: Vec<Vec<f32>>,
}

impl Down {
    /// Into frames of `frame` samples, a multiple of [`BLOCK`].
    pub(super) fn new(factor: usize, frame: usize) -> Self {
        let filter = design(factor, 1.0);
        // The sample `phase` after a kept one is `factor - phase` before the next: it weighs on that one first.
        let phases = (0..factor)
            .map(|phase| std::array::from_fn(|tap| filter[(factor - phase) % factor + factor * (TAPS - 1 - tap)]))
            .collect();
        Down { phases, windows: vec![vec![0.0; TAPS + frame]; factor] }
    }

    /// Fills `out`; `frame` is `factor` times as long.
    pub(super) fn process(&mut self, frame: &[f32], out: &mut [f32]) {
        let factor = self.phases.len();
        if factor == 1 {
            out.copy_from_slice(frame);
            return;
        }
        for (phase, window) in self.windows.iter_mut().enumerate() {
            for (to, from) in window[TAPS..].iter_mut().zip(frame[phase..].iter().step_by(factor)) {
                *to = *from;
            }
        }
        for (block, out) in out.chunks_exact_mut(BLOCK).enumerate() {
            let mut sums = [0.0; BLOCK];
            for (phase, (filter, window)) in self.phases.iter().zip(&self.windows).enumerate() {
                let first = block * BLOCK + usize::from(phase == 0);
                convolve(filter, &window[first..], &mut sums);
            }
            out.copy_from_slice(&sums);
        }
        for window in &mut self.windows {
            let frame = window.len() - TAPS;
            window.copy_within(frame.., 0);
        }
    }

    /// Forgets what was heard.
    pub(super) fn reset(&mut self) {
        self.windows.iter_mut().for_each(|window| window.fill(0.0));
    }
}

/// Adds the filter's answer at `BLOCK` neighbouring places.
fn convolve(filter: &[f32; TAPS], window: &[f32], sums: &mut [f32; BLOCK]) {
    let window = &window[..TAPS + BLOCK - 1];
    for (tap, c) in filter.iter().enumerate() {
        for (sum, x) in sums.iter_mut().zip(&window[tap..tap + BLOCK]) {
            *sum += c * x;
        }
    }
}

/// A windowed sinc of `2 × HALF × factor` coefficients whose −6 dB point is the line's Nyquist frequency: with that, the
/// coefficients a whole number of line samples from the middle are zero. `gain` is its gain at 0 Hz.
fn design(factor: usize, gain: f64) -> Vec<f32> {
    let middle = (HALF * factor) as f64;
    let filter: Vec<f64> = (0..TAPS * factor)
        .map(|i| {
            let t = i as f64 - middle;
            let x = PI * t / factor as f64;
            let sinc = if t == 0.0 { 1.0 } else { x.sin() / x };
            sinc * bessel_i0(BETA * (1.0 - (t / middle).powi(2)).sqrt())
        })
        .collect();
    let sum: f64 = filter.iter().sum();
    filter.iter().map(|c| (c * gain / sum) as f32).collect()
}
