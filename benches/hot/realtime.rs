//! The Realtime link's work: reading an audio delta, writing an append.

#![allow(clippy::expect_used)] // a benchmark without its configuration measures nothing

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput};
use offhook::base::audio::AudioFormat;
use offhook::config;
use offhook::engine::ModelCommand;
use offhook::link::openai::Session;

pub(crate) fn realtime(c: &mut Criterion) {
    let config =
        config::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config")).expect("the shipped configuration");
    let agent = config.agents.values().next().expect("the shipped agent");
    let mut session = Session::new(agent, &agent.instructions, AudioFormat::PHONE);
    let audio: Vec<u8> = (0..1_600).map(|i| (i * 7) as u8).collect();
    let delta = format!(
        r#"{{"type":"response.output_audio.delta","event_id":"event_1","response_id":"resp_1","item_id":"item_1","output_index":0,"content_index":0,"delta":"{}"}}"#,
        base64_simd::STANDARD.encode_to_string(&audio)
    );
    let mut out = String::new();
    let mut group = c.benchmark_group("realtime");
    group.throughput(Throughput::Bytes(1_600));
    group.bench_function("parse_delta_200ms", |b| {
        b.iter(|| {
            black_box(session.decode(black_box(&delta)));
        });
    });
    group.throughput(Throughput::Bytes(160));
    group.bench_function("encode_append_20ms", |b| {
        b.iter(|| session.encode(black_box(&ModelCommand::AppendAudio(&audio[..160])), &mut out));
    });
    group.finish();
}
