//! The Twilio line's work per audio frame: reading one `media` message and writing one.

use std::hint::black_box;

use criterion::Criterion;
use offhook::engine::CallerCommand;
use offhook::link::twilio::Stream;

pub(crate) fn media(c: &mut Criterion) {
    let mut stream = Stream::new();
    stream.decode(
        r#"{"event":"start","sequenceNumber":"1","streamSid":"MZ0123456789abcdef0123456789abcdef","start":{"streamSid":"MZ0123456789abcdef0123456789abcdef","accountSid":"AC1","callSid":"CA1"}}"#,
    );
    let audio: Vec<u8> = (0..160).map(|i| (i * 7) as u8).collect();
    let mut out = String::new();
    stream.encode(&CallerCommand::Audio(&audio), &mut out);
    let incoming = out
        .replace(r#""event":"media","#, r#""event":"media","sequenceNumber":"2","#)
        .replace(r#"{"payload""#, r#"{"track":"inbound","chunk":"1","timestamp":"20","payload""#);

    let mut group = c.benchmark_group("twilio");
    group.bench_function("parse_media_20ms", |b| {
        b.iter(|| {
            black_box(stream.decode(black_box(&incoming)));
        });
    });
    group.bench_function("encode_media_20ms", |b| {
        b.iter(|| stream.encode(black_box(&CallerCommand::Audio(&audio)), &mut out));
    });
    group.finish();
}
