//! Twice the sample rate, cheaply: every second sample is kept, those between are interpolated.

use crate::base::audio::resample::bessel_i0;
use std::f64::consts::PI;
use std::sync::LazyLock;

/// Input samples on either side of an interpolated one.
const HALF: usize = 4;

/// Input samples by which [`Doubler`] delays.
pub const DELAY: usize = HALF;

/// Shape of the Kaiser window. The filter is short and soft on purpose: measured on labelled calls, Silero hears best with
/// what it leaves of the image between 3.6 and 4.4 kHz, and worse the steeper the filter.
const BETA: f64 = 3.0;

/// Samples that are taken at once.
const PIECE: usize = 64;

/// From 8 to 16 kHz for a voice activity detector: a half-band filter of 2 × 4 coefficients, 0.5 ms of delay.
#[derive(Clone, Debug, Default)]
pub struct Doubler {
    /// The newest samples of the pieces before.
    history: [f32; HISTORY],
}

/// Samples before the newest that the filter reaches back to.
const HISTORY: usize = 2 * HALF - 1;

impl Doubler {
    /// Writes two samples for each of `samples` to the front of `out`, which must have room for them. Together the calls
    /// write the same whatever the pieces.
    ///
    /// # Panics
    ///
    /// When `out` is shorter than twice `samples`.
    pub fn process(&mut self, samples: &[i16], out: &mut [i16]) {
        let out = &mut out[..2 * samples.len()];
        let mut window = [0.0f32; HISTORY + PIECE];
        for (piece, out) in samples.chunks(PIECE).zip(out.chunks_mut(2 * PIECE)) {
            window[..HISTORY].copy_from_slice(&self.history);
            for (slot, &sample) in window[HISTORY..].iter_mut().zip(piece) {
                *slot = f32::from(sample);
            }
            // Coefficient by coefficient over the whole piece, so that the compiler may use vector registers.
            let mut between = [0.0f32; PIECE];
            for (k, c) in FILTER.iter().enumerate() {
                for (sum, x) in between.iter_mut().zip(&window[k..]) {
                    *sum += c * x;
                }
            }
            for ((pair, kept), between) in out.chunks_exact_mut(2).zip(&window[HALF - 1..]).zip(between) {
                pair[0] = *kept as i16;
                // Away from zero at halves; a sample cannot be far beyond full scale, and `as` stops there.
                pair[1] = (between + 0.5f32.copysign(between)) as i16;
            }
            self.history.copy_from_slice(&window[piece.len()..piece.len() + HISTORY]);
        }
    }
}

/// A sinc halfway between two samples under a Kaiser window, summing to 1.
static FILTER: LazyLock<[f32; 2 * HALF]> = LazyLock::new(|| {
    let mut filter = [0.0f64; 2 * HALF];
    for (n, c) in filter.iter_mut().enumerate() {
        let t = n as f64 - HALF as f64 + 0.5;
        let x = t / (HALF as f64 - 0.5);
        *c = (PI * t).sin() / (PI * t) * bessel_i0(BETA * (1.0 - x * x).max(0.0).sqrt());
    }
    let sum: f64 = filter.iter().sum();
    filter.map(|c| (c / sum) as f32)
});
