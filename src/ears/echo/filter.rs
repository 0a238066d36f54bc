//! The echo path as an adaptive filter: what the caller's track holds of the agent.
//!
//! A partitioned frequency-domain Kalman filter (Enzner and Vary, "Frequency-domain adaptive Kalman filter for acoustic
//! echo control in hands-free telephones", 2006; partitioned as by Kuech, Mabande and Enzner, 2014). It keeps, for each
//! bin, how uncertain it is of the path. From that follows how far to believe a block: double talk slows it down without
//! a detector, and the echo that is left is known with the estimate.

use realfft::num_complex::Complex32;

use super::fft::Fft;

/// An adaptive filter of [`PARTITIONS`] blocks.
pub(super) struct Filter {
    block: usize,
    bins: usize,
    fft: Fft,
    /// Spectra of the agent's last blocks, newest at `newest`.
    far: Vec<Complex32>,
    newest: usize,
    heard: [bool; PARTITIONS],
    far_bands: [Bands; PARTITIONS],
    /// Which half of the partitions is freed of the transform's wrap this time: each costs two transforms.
    turn: usize,
    /// The path; partition `p` answers to the agent's block `p` blocks ago.
    path: Vec<Complex32>,
    /// Variance of what is not known of `path`.
    doubt: Vec<f32>,
    /// Power of what the filter does not explain, smoothed.
    unexplained: Vec<f32>,
    /// Power of the echo that is likely left, from `doubt`.
    left: Vec<f32>,
    /// How far a bin of the block is believed.
    trust: Vec<f32>,
    error: Vec<Complex32>,
    work: Vec<f32>,
    spectrum: Vec<Complex32>,
}

impl Filter {
    /// For blocks of `block` samples.
    pub(super) fn new(block: usize) -> Filter {
        let bins = block + 1;
        let zero = Complex32::default();
        Filter {
            block,
            bins,
            fft: Fft::new(2 * block),
            far: vec![zero; PARTITIONS * bins],
            newest: 0,
            heard: [false; PARTITIONS],
            far_bands: [[0.0; BANDS]; PARTITIONS],
            turn: 0,
            path: vec![zero; PARTITIONS * bins],
            doubt: vec![0.0; PARTITIONS * bins],
            unexplained: vec![0.0; bins],
            left: vec![0.0; bins],
            trust: vec![0.0; bins],
            error: vec![zero; bins],
            work: vec![0.0; 2 * block],
            spectrum: vec![zero; bins],
        }
    }

    /// Forgets the path; the echo may be as loud as `gain` times (in power) the agent.
    pub(super) fn restart(&mut self, gain: f32) {
        self.path.fill(Complex32::default());
        self.doubt_again(gain);
        self.unexplained.fill(0.0);
        self.left.fill(0.0);
    }

    /// Keeps the path, but believes it less.
    pub(super) fn doubt_again(&mut self, gain: f32) {
        for (p, doubt) in self.doubt.chunks_exact_mut(self.bins).enumerate() {
            // Handsets and rooms decay: later partitions hold less.
            doubt.fill(gain * 0.5f32.powi(p as i32 + 1));
        }
    }

    /// Takes the agent's audio that the next block answers to: `read(back, out)` fills `out` with two blocks, the later
    /// of which is `back` blocks before the newest. With `anew` all partitions are read, otherwise the newest.
    pub(super) fn listen(&mut self, anew: bool, read: impl Fn(usize, &mut [f32])) {
        self.newest = (self.newest + PARTITIONS - 1) % PARTITIONS;
        for back in 0..if anew { PARTITIONS } else { 1 } {
            let slot = (self.newest + back) % PARTITIONS;
            let at = slot * self.bins;
            read(back, &mut self.work);
            self.heard[slot] = self.work.iter().any(|&sample| sample != 0.0);
            if self.heard[slot] {
                let far = &mut self.far[at..at + self.bins];
                self.fft.forward(&mut self.work, far);
                self.far_bands[slot] = bands(far.iter().map(Complex32::norm_sqr), self.bins);
            } else {
                self.far[at..at + self.bins].fill(Complex32::default());
                self.far_bands[slot] = [0.0; BANDS];
            }
        }
    }

    /// Whether the agent said anything that can be in the next block.
    pub(super) fn hears_agent(&self) -> bool {
        self.heard.contains(&true)
    }

    /// The echo that the next block holds, as far as the path is known.
    pub(super) fn predict(&mut self, echo: &mut [f32]) {
        if !self.hears_agent() {
            return echo.fill(0.0);
        }
        self.spectrum.fill(Complex32::default());
        for p in 0..PARTITIONS {
            let at = (self.newest + p) % PARTITIONS * self.bins;
            let far = &self.far[at..at + self.bins];
            let path = &self.path[p * self.bins..][..self.bins];
            for ((sum, &far), &path) in self.spectrum.iter_mut().zip(far).zip(path) {
                *sum += far * path;
            }
        }
        self.fft.inverse(&mut self.spectrum, &mut self.work);
        let scale = 1.0 / (2 * self.block) as f32;
        echo.iter_mut().zip(&self.work[self.block..]).for_each(|(to, &sample)| *to = sample * scale);
    }

    /// Looks at what `predict` left of the block, and with `adapt` learns from it.
    pub(super) fn learn(&mut self, residual: &[f32], adapt: bool) {
        self.work[..self.block].fill(0.0);
        self.work[self.block..].copy_from_slice(residual);
        self.fft.forward(&mut self.work, &mut self.error);
        self.left.fill(0.0);
        for p in 0..PARTITIONS {
            let at = (self.newest + p) % PARTITIONS * self.bins;
            let far = &self.far[at..at + self.bins];
            let doubt = &self.doubt[p * self.bins..][..self.bins];
            for ((left, far), doubt) in self.left.iter_mut().zip(far).zip(doubt) {
                *left += HALF * far.norm_sqr() * doubt;
            }
        }
        for (unexplained, error) in self.unexplained.iter_mut().zip(&self.error) {
            let power = error.norm_sqr();
            // Up at once, so that a caller who begins to speak does not bend the path; down slowly.
            *unexplained = power.max(UNEXPLAINED_KEPT * *unexplained + (1.0 - UNEXPLAINED_KEPT) * power);
        }
        if adapt {
            self.adapt();
        }
    }

    fn adapt(&mut self) {
        for ((trust, left), unexplained) in self.trust.iter_mut().zip(&self.left).zip(&self.unexplained) {
            *trust = 1.0 / (left + unexplained + QUIET);
        }
        let scale = 1.0 / (2 * self.block) as f32;
        for p in 0..PARTITIONS {
            let slot = (self.newest + p) % PARTITIONS;
            if !self.heard[slot] {
                continue;
            }
            let far = &self.far[slot * self.bins..][..self.bins];
            let doubt = &mut self.doubt[p * self.bins..][..self.bins];
            let path = &mut self.path[p * self.bins..][..self.bins];
            let bins = far.iter().zip(&self.error).zip(&self.trust).zip(doubt).zip(path.iter_mut());
            for ((((far, error), trust), doubt), path) in bins {
                let step = *doubt * trust;
                *doubt = KEPT * (1.0 - HALF * step * far.norm_sqr()) * *doubt + (1.0 - KEPT) * path.norm_sqr();
                *path += far.conj() * error * step;
            }
            if p % 2 != self.turn {
                continue;
            }
            // Only the first half of a partition's response is real; the second is the transform's wrap.
            self.spectrum.copy_from_slice(path);
            self.fft.inverse(&mut self.spectrum, &mut self.work);
            self.work[self.block..].fill(0.0);
            self.work[..self.block].iter_mut().for_each(|sample| *sample *= scale);
            self.fft.forward(&mut self.work, path);
        }
        self.turn = 1 - self.turn;
    }

    /// Power in each band of the residual last learnt from, of the echo likely left in it, and of the agent
    /// behind it.
    pub(super) fn residual_bands(&self) -> (Bands, Bands, Bands) {
        let mut far = [0.0; BANDS];
        for slot in &self.far_bands {
            far.iter_mut().zip(slot).for_each(|(sum, power)| *sum += power);
        }
        (bands(self.error.iter().map(Complex32::norm_sqr), self.bins), bands(self.left.iter().copied(), self.bins), far)
    }

    /// Power in each band of the `echo` predicted for that residual, and of the two together: what was heard.
    pub(super) fn echo_bands(&mut self, echo: &[f32]) -> (Bands, Bands) {
        self.work[..self.block].fill(0.0);
        self.work[self.block..].copy_from_slice(echo);
        self.fft.forward(&mut self.work, &mut self.spectrum);
        let heard = self.spectrum.iter().zip(&self.error).map(|(echo, error)| (echo + error).norm_sqr());
        (bands(self.spectrum.iter().map(Complex32::norm_sqr), self.bins), bands(heard, self.bins))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let complex = self.far.len() + self.path.len() + self.error.len() + self.spectrum.len();
        let real = self.doubt.len() + self.unexplained.len() + self.left.len() + self.trust.len() + self.work.len();
        complex * size_of::<Complex32>() + real * size_of::<f32>() + self.fft.heap_bytes()
    }
}

/// A value for each band, lowest first; all bands are equally wide.
pub(super) type Bands = [f32; BANDS];

/// Bands in which echo and caller are compared: 250 Hz each at 8 kHz.
pub(super) const BANDS: usize = 16;

fn bands(mut power: impl Iterator<Item = f32>, bins: usize) -> Bands {
    let width = (bins - 1) / BANDS;
    let mut bands: Bands = std::array::from_fn(|_| power.by_ref().take(width).sum());
    // The last bin is half of one.
    bands[BANDS - 1] += power.sum::<f32>();
    bands
}

/// Blocks that the path is long: 64 ms.
pub(super) const PARTITIONS: usize = 4;

/// Half of a transform is the block, the other half is zero.
const HALF: f32 = 0.5;

/// How much of the path is the same a block later.
const KEPT: f32 = 0.998;

const UNEXPLAINED_KEPT: f32 = 0.8;

/// Power per bin that is nothing: keeps quotients finite.
const QUIET: f32 = 1e3;
