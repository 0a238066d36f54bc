//! Finding how late the agent's voice comes back.
//!
//! Cross-correlation of whitened spectra (the generalised cross-correlation of Knapp and Carter, 1976, with a partial
//! phase transform) over every admissible delay. An echo of speech through a short path is one sharp peak; chance is
//! noise around it, and the quotient of the two says how sure the find is.

use std::cell::RefCell;

use realfft::num_complex::Complex32;

use super::fft::Fft;

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    /// Delay of the strongest peak, in samples at the search's rate.
    pub(super) lag: i64,
    /// The peak over the root mean square of the correlation.
    pub(super) clarity: f32,
}

/// What searches remember.
pub(super) struct Search {
    /// The correlation by lag, from the latest; past searches fade.
    correlation: Vec<i16>,
}

/// Buffers of the search that runs, written before they are read: calls of a thread search one after the other, and 50 kB
/// for each call would be most of what the guard holds.
struct Buffers {
    fft: Fft,
    near: Vec<Complex32>,
    far: Vec<Complex32>,
    work: Vec<f32>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers {
        fft: Fft::new(2 * WINDOW),
        near: vec![Complex32::default(); WINDOW + 1],
        far: vec![Complex32::default(); WINDOW + 1],
        work: vec![0.0; 2 * WINDOW],
    });
}

impl Search {
    /// For up to `lags` delays.
    pub(super) fn new(lags: usize) -> Search {
        Search { correlation: vec![0; lags] }
    }

    /// The delay, in `lags`, that best explains a window of caller audio by the agent's. `near` fills the first
    /// [`WINDOW`] samples of its buffer, `far(lag, out)` reads the agent's audio `lag` samples before that window.
    pub(super) fn find(
        &mut self,
        lags: std::ops::Range<i64>,
        near: impl FnOnce(&mut [f32]),
        far: impl Fn(i64, &mut [f32]),
    ) -> Option<Found> {
        BUFFERS.with_borrow_mut(|buffers| buffers.find(&mut self.correlation, lags, near, far))
    }

    /// What was heard so far says nothing of what comes.
    pub(super) fn forget(&mut self) {
        self.correlation.fill(0);
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.correlation.len() * size_of::<i16>()
    }
}

impl Buffers {
    fn find(
        &mut self,
        correlation: &mut [i16],
        lags: std::ops::Range<i64>,
        near: impl FnOnce(&mut [f32]),
        far: impl Fn(i64, &mut [f32]),
    ) -> Option<Found> {
        self.work.fill(0.0);
        near(&mut self.work[..WINDOW]);
        emphasise(&mut self.work[..WINDOW]);
        self.fft.forward(&mut self.work, &mut self.near);
        whiten(&mut self.near);
        let mut best: Option<Found> = None;
        let mut top = lags.end;
        while top > lags.start {
            // One span of the agent's audio answers for WINDOW delays, from `top` down.
            far(top, &mut self.work);
            emphasise(&mut self.work);
            self.fft.forward(&mut self.work, &mut self.far);
            whiten(&mut self.far);
            self.far.iter_mut().zip(&self.near).for_each(|(far, near)| *far *= near.conj());
            self.fft.inverse(&mut self.far, &mut self.work);
            let here = (lags.end - top) as usize..((lags.end - top) as usize + WINDOW).min(correlation.len());
            let here = &mut correlation[here];
            // Each span by its own noise: the agent may be silent in the others.
            let scale = UNIT / rms(self.work[..here.len()].iter().copied());
            if !scale.is_finite() {
                top -= WINDOW as i64;
                continue;
            }
            here.iter_mut().zip(&self.work).for_each(|(sum, &value)| {
                // To the nearest, without a call for each: the cast cuts off and saturates.
                let value = FADE * f32::from(*sum) + value * scale;
                *sum = (value + 0.5f32.copysign(value)) as i16;
            });
            let scale = 1.0 / rms(here.iter().map(|&value| f32::from(value))).max(1.0);
            for (i, &value) in here.iter().enumerate() {
                let clarity = f32::from(value).abs() * scale;
                if clarity > best.map_or(0.0, |best| best.clarity) {
                    best = Some(Found { lag: top - i as i64, clarity });
                }
            }
            top -= WINDOW as i64;
        }
        best
    }
}

/// Samples of caller audio compared: 128 ms at the search's 8 kHz.
pub(super) const WINDOW: usize = 1_024;

/// The search's rate; lines of a multiple of it are decimated.
pub(super) const SEARCH_HZ: u32 = 8_000;

/// What a search keeps of those before it.
const FADE: f32 = 0.7;

/// The root mean square of a correlation as kept: 30 times that is the most that a window of a thousand can reach.
const UNIT: f32 = 256.0;

fn rms(values: impl ExactSizeIterator<Item = f32>) -> f32 {
    let count = values.len().max(1) as f32;
    (values.map(|value| value * value).sum::<f32>() / count).sqrt()
}

/// Lifts the high frequencies of speech, which tell delays apart.
fn emphasise(samples: &mut [f32]) {
    let mut before = 0.0;
    for sample in samples {
        let here = *sample;
        *sample = here - 0.9 * before;
        before = here;
    }
}

/// Takes most of the magnitude away, so that pitch and formants of speech do not blur the peak.
fn whiten(spectrum: &mut [Complex32]) {
    let mean = spectrum.iter().map(Complex32::norm_sqr).sum::<f32>() / spectrum.len() as f32;
    let floor = 1e-4 * mean + 1e-3;
    for bin in spectrum {
        // |x|^-0.75 of the power's root: x^(-3/8) of the power, as three square roots.
        let power = bin.norm_sqr() + floor;
        let root = power.sqrt().sqrt();
        *bin *= 1.0 / (root * root.sqrt());
    }
}
