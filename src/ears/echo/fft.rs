//! Real Fourier transforms; one plan per length is shared by all calls.

use std::sync::{Arc, LazyLock};

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

/// A pair of transforms of one length and the space they work in.
pub(super) struct Fft {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    scratch: Vec<Complex32>,
}

impl Fft {
    /// For `len` real samples, an even number.
    pub(super) fn new(len: usize) -> Fft {
        // Planning takes longer than a block may: it is done once per length and process, for the rates that lines have.
        static PLANS: LazyLock<Vec<(usize, Plan)>> = LazyLock::new(|| {
            let mut planner = RealFftPlanner::new();
            PLANNED.map(|len| (len, (planner.plan_fft_forward(len), planner.plan_fft_inverse(len)))).into()
        });
        let (forward, inverse) = match PLANS.iter().find(|(planned, _)| *planned == len) {
            Some((_, plan)) => plan.clone(),
            None => {
                let mut planner = RealFftPlanner::new();
                (planner.plan_fft_forward(len), planner.plan_fft_inverse(len))
            }
        };
        let scratch = vec![Complex32::default(); forward.get_scratch_len().max(inverse.get_scratch_len())];
        Fft { forward, inverse, scratch }
    }

    /// The spectrum of `samples`, which are used up: half the length plus one bins.
    pub(super) fn forward(&mut self, samples: &mut [f32], spectrum: &mut [Complex32]) {
        let done = self.forward.process_with_scratch(samples, spectrum, &mut self.scratch);
        debug_assert!(done.is_ok(), "the buffers were made for this length");
    }

    /// The samples of `spectrum`, which is used up, times the length.
    pub(super) fn inverse(&mut self, spectrum: &mut [Complex32], samples: &mut [f32]) {
        // A real signal has no phase at either end; rounding may have left some, which the transform refuses.
        for end in [0, spectrum.len() - 1] {
            spectrum[end].im = 0.0;
        }
        let done = self.inverse.process_with_scratch(spectrum, samples, &mut self.scratch);
        debug_assert!(done.is_ok(), "the buffers were made for this length");
    }

    /// Bytes on the heap, without the shared plan.
    pub(super) fn heap_bytes(&self) -> usize {
        self.scratch.capacity() * size_of::<Complex32>()
    }
}

type Plan = (Arc<dyn RealToComplex<f32>>, Arc<dyn ComplexToReal<f32>>);

/// Filter and search at 8 kHz, filters at 16 and 24 kHz.
const PLANNED: [usize; 4] = [256, 2_048, 512, 768];
