//! What the hot path costs: one benchmark per stage, the whole path of a message, and the references that the guard divides
//! by. One binary, for linking takes longer than measuring.
//!
//! `./dev bench NAME` runs those whose name begins so; `./dev guard` compares all with `benches/baseline.toml`.

mod audio;
mod call;
mod engine;
mod hearing;
mod keeping;
mod path;
mod realtime;
mod twilio;
mod vad;

use criterion::{criterion_group, criterion_main};

// The references in the midst of what is divided by them.
criterion_group!(
    hot,
    twilio::media,
    realtime::realtime,
    engine::engine,
    path::references,
    path::path,
    keeping::journal,
    keeping::recording,
    hearing::hearing,
    vad::silero,
    audio::frames,
);
criterion_main!(hot);
