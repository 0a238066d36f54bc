//! What a step of the speech detector costs: 32 ms of audio of one call.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use offhook::ears::vad::silero::{Branch, Silero};

/// One call, whose weights stay in the nearest cache, and as many as take turns on a core.
const CALLS: [usize; 2] = [1, 200];

pub(crate) fn silero(c: &mut Criterion) {
    let audio: Vec<i16> = (0..16_000).map(|n| ((n * 7_919) % 20_011 - 10_005) as i16).collect();
    for branch in [Branch::Khz8, Branch::Khz16] {
        for calls in CALLS {
            let mut states = vec![Silero::new(branch); calls];
            let mut turn = 0;
            c.bench_with_input(BenchmarkId::new(format!("silero/{branch:?}"), calls), &calls, |b, _| {
                b.iter(|| {
                    turn += 1;
                    let at = turn * 160 % (audio.len() - branch.step());
                    states[turn % calls].step(black_box(&audio[at..at + branch.step()]))
                });
            });
        }
    }
}
