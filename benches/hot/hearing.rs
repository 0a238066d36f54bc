//! What the ears of a call take per frame: the default detection, the echo guard beside it, the noise reduction.

use std::hint::black_box;

use criterion::Criterion;
use offhook::base::audio::{AudioFormat, g711};
use offhook::base::time::Samples;
use offhook::config::{NoiseReduction, VadEngine};
use offhook::ears::denoise::Denoiser;
use offhook::ears::hearing::{Hearing, HearingSettings};

use crate::call::speech;

/// 20 ms, and RNNoise's own frame of 10 ms, at 8 kHz.
const FRAME: usize = 160;
const NOISE_FRAME: usize = 80;

pub(crate) fn hearing(c: &mut Criterion) {
    let speech = speech::speech();
    let mut codes = Vec::new();
    g711::encode_ulaw(&speech, &mut codes);
    let frames: Vec<&[u8]> = codes.chunks_exact(FRAME).collect();

    let mut group = c.benchmark_group("hearing");
    for (name, echo_guard) in [("frame_default", false), ("frame_echo_guard", true)] {
        let settings =
            HearingSettings { engine: Some(VadEngine::default()), echo_guard, noise_reduction: NoiseReduction::None };
        let mut hearing = Hearing::new(settings, AudioFormat::PHONE);
        let mut n = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                let at = Samples((n * FRAME) as u64);
                if echo_guard {
                    // The agent says the same half a track later: no echo that could be found, and all the search for it.
                    hearing.played(at + Samples(FRAME as u64), frames[(n + frames.len() / 2) % frames.len()]);
                }
                hearing.take(at, black_box(frames[n % frames.len()]));
                n += 1;
                while let Some(step) = hearing.poll() {
                    black_box(step);
                }
            });
        });
    }
    group.finish();

    let mut denoiser = Denoiser::new(NoiseReduction::NearField, AudioFormat::PHONE.rate_hz);
    let frames: Vec<&[i16]> = speech.chunks_exact(NOISE_FRAME).collect();
    let (mut frame, mut n) = ([0; NOISE_FRAME], 0);
    c.bench_function("denoise/rnnoise_frame_10ms", |b| {
        b.iter(|| {
            frame.copy_from_slice(frames[n % frames.len()]);
            n += 1;
            denoiser.process(black_box(&mut frame));
        });
    });
}
