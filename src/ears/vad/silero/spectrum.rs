//! Magnitudes of four overlapping frames at once: a real FFT whose every number is four, one of each frame.
//!
//! The model holds its transform as a convolution with a windowed DFT (Hann, periodic), at half a window's hop: an FFT
//! gives the same numbers for a twentieth of the multiplications.

use std::f64::consts::TAU;

/// One number of each of the four frames.
pub(super) type Lanes = [f32; FRAMES];

/// Frames per step.
pub(super) const FRAMES: usize = 4;

/// Half of the longest window: the points of the complex transform.
const MAX_POINTS: usize = 128;

/// The tables of one window length.
pub(super) struct Spectrum {
    /// In the order of samples; scaled for 16-bit input.
    window: Vec<f32>,
    /// Where the nth complex input goes.
    reversed: Vec<u8>,
    /// `exp(-2 pi i k / window)`, k up to half the window, as (re, im).
    turns: Vec<(f32, f32)>,
}

impl Spectrum {
    /// `window`: a power of two from 8 to 256.
    pub(super) fn new(window: usize) -> Self {
        let points = window / 2;
        let bits = points.ilog2();
        let angle = |n: usize| TAU * n as f64 / window as f64;
        Self {
            window: (0..window).map(|n| ((0.5 - 0.5 * angle(n).cos()) / 32_768.0) as f32).collect(),
            reversed: (0..points).map(|n| ((n as u32).reverse_bits() >> (32 - bits)) as u8).collect(),
            turns: (0..points).map(|k| (angle(k).cos() as f32, -angle(k).sin() as f32)).collect(),
        }
    }

    /// Magnitudes from 0 Hz to half the rate, `window / 2 + 1` of them, of frames that start half a window apart.
    ///
    /// `samples` are those of all four frames: 2.5 windows.
    #[inline(always)]
    pub(super) fn magnitudes(&self, samples: &[f32], out: &mut [Lanes]) {
        let points = self.reversed.len();
        let (mut re, mut im) = ([[0.0; FRAMES]; MAX_POINTS], [[0.0; FRAMES]; MAX_POINTS]);
        for (n, &to) in self.reversed.iter().enumerate() {
            let (a, b) = (self.window[2 * n], self.window[2 * n + 1]);
            for frame in 0..FRAMES {
                let at = frame * points + 2 * n;
                re[to as usize][frame] = samples[at] * a;
                im[to as usize][frame] = samples[at + 1] * b;
            }
        }
        let (re, im) = (&mut re[..points], &mut im[..points]);
        self.transform(re, im);
        self.split(re, im, out);
    }

    /// Decimation in time, input in bit-reversed order.
    #[inline(always)]
    fn transform(&self, re: &mut [Lanes], im: &mut [Lanes]) {
        let points = re.len();
        let mut half = 1;
        while half < points {
            // The table is of the window's circle, twice as fine as that of the points.
            let stride = points / half;
            for start in (0..points).step_by(2 * half) {
                let (low_re, high_re) = re[start..start + 2 * half].split_at_mut(half);
                let (low_im, high_im) = im[start..start + 2 * half].split_at_mut(half);
                for k in 0..half {
                    let (c, s) = self.turns[k * stride];
                    for lane in 0..FRAMES {
                        let r = high_re[k][lane] * c - high_im[k][lane] * s;
                        let i = high_re[k][lane] * s + high_im[k][lane] * c;
                        high_re[k][lane] = low_re[k][lane] - r;
                        high_im[k][lane] = low_im[k][lane] - i;
                        low_re[k][lane] += r;
                        low_im[k][lane] += i;
                    }
                }
            }
            half *= 2;
        }
    }

    /// From the transform of even and odd samples as one complex signal to that of the real one.
    #[inline(always)]
    fn split(&self, re: &[Lanes], im: &[Lanes], out: &mut [Lanes]) {
        let points = re.len();
        for lane in 0..FRAMES {
            out[0][lane] = (re[0][lane] + im[0][lane]).abs();
            out[points][lane] = (re[0][lane] - im[0][lane]).abs();
        }
        for k in 1..points {
            let (c, s) = self.turns[k];
            let mirror = points - k;
            for lane in 0..FRAMES {
                let (even_re, even_im) = (re[k][lane] + re[mirror][lane], im[k][lane] - im[mirror][lane]);
                let (odd_re, odd_im) = (im[k][lane] + im[mirror][lane], re[mirror][lane] - re[k][lane]);
                let r = even_re + odd_re * c - odd_im * s;
                let i = even_im + odd_re * s + odd_im * c;
                out[k][lane] = 0.5 * (r * r + i * i).sqrt();
            }
        }
    }
}
