//! What sample arithmetic costs per 20 ms frame.

use std::hint::black_box;

use criterion::Criterion;
use offhook::base::audio::{Resampler, g711, level};

pub(crate) fn frames(c: &mut Criterion) {
    let speech: Vec<i16> = (0..960).map(|n| ((n * 7_919) % 20_011 - 10_005) as i16).collect();
    let mut codes = Vec::with_capacity(160);
    c.bench_function("g711/encode_ulaw_20ms", |b| {
        b.iter(|| {
            codes.clear();
            g711::encode_ulaw(black_box(&speech[..160]), &mut codes);
        });
    });
    let mut linear = Vec::with_capacity(160);
    c.bench_function("g711/decode_ulaw_20ms", |b| {
        b.iter(|| {
            linear.clear();
            g711::decode_ulaw(black_box(&codes), &mut linear);
        });
    });
    for (from, to) in [(8_000, 16_000), (8_000, 24_000), (24_000, 8_000), (24_000, 16_000), (8_000, 48_000)] {
        let mut resampler = Resampler::new(from, to);
        let mut out = Vec::with_capacity(to as usize / 50 + 8);
        c.bench_function(&format!("resample/{from}_to_{to}_20ms"), |b| {
            b.iter(|| {
                out.clear();
                resampler.process(black_box(&speech[..from as usize / 50]), &mut out);
            });
        });
    }
    c.bench_function("level/rms_20ms", |b| b.iter(|| level::rms(black_box(&speech[..160]))));
}
