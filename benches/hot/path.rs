//! The whole pure path of a message, text in to text out, and what the least possible bridge takes for it.

use std::hint::black_box;

use criterion::Criterion;

use crate::call::frames::{Frames, STREAM};
use crate::call::{self, Call};
use offhook::stage::load::floor;

/// Large enough that the loop around the copy is nothing beside it, small enough for the nearest cache, twice.
const COPIED_BYTES: usize = 8 * 1024;
const PAGE_BYTES: usize = 4 * 1024;

/// Frames after which a turn has begun, and every buffer has its size.
const WARM: usize = 200;

/// What the guard's ratios are to.
pub(crate) fn references(c: &mut Criterion) {
    let mut group = c.benchmark_group("reference");
    // At fixed places in their pages: a copy is half as fast again or not by where it happens to lie.
    let mut memory = vec![7u8; 2 * COPIED_BYTES + 2 * PAGE_BYTES];
    let start = memory.as_ptr().align_offset(PAGE_BYTES);
    let (from, to) = memory[start..].split_at_mut(COPIED_BYTES);
    let to = &mut to[PAGE_BYTES / 2..][..COPIED_BYTES];
    group.bench_function("memcpy_frame", |b| {
        b.iter(|| {
            to.copy_from_slice(black_box(from));
            black_box(&mut *to);
        });
    });
    let mut frames = Frames::new();
    group.bench_function("floor_frame", |b| b.iter(|| black_box(floor::to_model(black_box(frames.next())))));
    let delta = call::delta();
    group.bench_function("floor_delta", |b| b.iter(|| black_box(floor::to_line(black_box(&delta), STREAM))));
    group.finish();
}

pub(crate) fn path(c: &mut Criterion) {
    let mut group = c.benchmark_group("path");
    for (name, mut call) in [("caller_frame", Call::provider()), ("caller_frame_local", Call::local())] {
        (0..WARM).for_each(|_| call.frame());
        assert!(call.sent().to_model > 0, "{name}: nothing comes of the caller's audio");
        group.bench_function(name, |b| b.iter(|| call.frame()));
    }
    let mut call = Call::provider().speaking();
    assert!(call.sent().to_line > 0, "nothing comes of the agent's audio");
    group.bench_function("model_delta", |b| b.iter(|| call.delta_to_mark()));
    for (name, call) in [("agent_second", Call::provider()), ("agent_second_local", Call::local())] {
        let mut call = call.speaking();
        assert!(call.sent().to_line > 0, "{name}: the agent is silent");
        group.bench_function(name, |b| b.iter(|| call.second()));
    }
    group.finish();
}
