//! No heap allocation per audio frame: in the engine, in both links, in the sample arithmetic, in noise reduction, in the
//! recording.

use std::path::Path;

use allocation_counter::measure;
use offhook::base::audio::{AudioFormat, Resampler, g711, level};
use offhook::base::time::{CallTime, Samples};
use offhook::config;
use offhook::config::{NoiseReduction, Outbound, TurnDetection, TurnSettings, VadEngine};
use offhook::ears::denoise::Denoiser;
use offhook::engine::{Action, CallEngine, CallerCommand, CallerEvent, Input, MarkId, ModelCommand, ModelEvent};
use offhook::lab::sim::scenario;
use offhook::link::openai::Session;
use offhook::link::twilio::{Decoded, Stream};
use offhook::serve::recording::RecordingFile;

/// Frames of warm-up: buffers grow to what a call needs.
const WARM: u64 = 200;
/// Frames measured: 20 s of a call.
const FRAMES: u64 = 1_000;

#[test]
fn an_idle_and_a_speaking_call_allocate_nothing_per_frame() {
    let mut settings = scenario::settings();
    settings.playout.max_queue_s = 600;
    let mut engine = CallEngine::new(settings.into());
    let mut input = |at_ms, input: Input<'_>| {
        engine.handle(CallTime::from_ms(at_ms), input);
        let mut sent = 0;
        while let Some(action) = engine.poll_action() {
            if let Action::SendCaller(CallerCommand::Audio(_)) | Action::SendModel(ModelCommand::AppendAudio(_)) =
                action
            {
                sent += 1;
            }
        }
        sent
    };
    input(10, Input::Model(ModelEvent::Ready { session: "s".into(), turns: None }));
    input(10, Input::Caller(CallerEvent::Started));
    let frame = [0x31; 160];
    let mut one = |n: u64| {
        let at_ms = 30 + n * 20;
        input(at_ms, Input::Caller(CallerEvent::Audio { at_ms: n * 20, payload: &frame }))
    };
    (0..WARM).for_each(|n| assert_eq!(one(n), 1));
    let idle = measure(|| (WARM..WARM + FRAMES).for_each(|n| assert_eq!(one(n), 1)));
    assert_eq!(idle.count_total, 0, "an idle call allocates");

    // The agent speaks: a delta every 200 ms, a message and a mark every 100 ms.
    let begin = WARM + FRAMES;
    input(30 + begin * 20, Input::Model(ModelEvent::ResponseStarted { response: "r".into() }));
    let delta = [0x55; 1_600];
    let mut seq = 0;
    let mut sent = 0;
    let mut one = |n: u64| {
        let at_ms = 30 + n * 20;
        if n.is_multiple_of(10) {
            let event = ModelEvent::Audio { response: "r".into(), item: "a".into(), payload: &delta };
            sent += input(at_ms, Input::Model(event));
        }
        if n % 5 == 4 {
            sent += input(at_ms, Input::Caller(CallerEvent::MarkPlayed(MarkId { generation: 0, seq })));
            seq += 1;
        }
        sent += input(at_ms, Input::Caller(CallerEvent::Audio { at_ms: n * 20, payload: &frame }));
    };
    (begin..begin + WARM).for_each(&mut one);
    let speaking = measure(|| (begin + WARM..begin + WARM + FRAMES).for_each(&mut one));
    assert!(sent > FRAMES, "the agent was silent");
    assert_eq!(speaking.count_total, 0, "a call in which the agent speaks allocates");
}

#[test]
fn a_call_that_is_heard_here_allocates_nothing_per_frame() {
    for (engine, noise) in [(VadEngine::Energy, NoiseReduction::None), (VadEngine::Silero, NoiseReduction::FarField)] {
        // A sound that comes and goes, too softly for a turn; and the agent, who is heard and not interrupted.
        for agent_speaks in [false, true] {
            let mut settings = scenario::settings();
            settings.turn_detection =
                TurnDetection::Local(TurnSettings { engine, min_speech_ms: 1_000, ..TurnSettings::default() });
            settings.noise_reduction = noise;
            // A machine's beep is listened for too.
            let soon = Outbound { decide_within_ms: 500, monologue_ms: 2_000, ..Outbound::default() };
            settings.outbound = Some(Outbound { wait_for_human: false, ..soon });
            settings.playout.max_queue_s = 600;
            let mut call = CallEngine::new(settings.into());
            let mut heard = 0;
            let mut input = |at_ms, input: Input<'_>| {
                call.handle(CallTime::from_ms(at_ms), input);
                while let Some(action) = call.poll_action() {
                    heard += u64::from(matches!(action, Action::Heard(_)));
                    assert!(!matches!(action, Action::SendCaller(CallerCommand::Clear)), "the agent was interrupted");
                }
            };
            input(10, Input::Model(ModelEvent::Ready { session: "s".into(), turns: None }));
            input(10, Input::Caller(CallerEvent::Started));
            if agent_speaks {
                input(10, Input::Model(ModelEvent::ResponseStarted { response: "r".into() }));
            }
            let agent: [u8; 1_600] = std::array::from_fn(|i| (i * 37 % 200) as u8);
            let mut seq = 0;
            let mut one = |n: u64| {
                let at_ms = 30 + n * 20;
                if agent_speaks && n.is_multiple_of(10) {
                    let event = ModelEvent::Audio { response: "r".into(), item: "a".into(), payload: &agent };
                    input(at_ms, Input::Model(event));
                }
                if agent_speaks && n % 5 == 4 {
                    input(at_ms, Input::Caller(CallerEvent::MarkPlayed(MarkId { generation: 0, seq })));
                    seq += 1;
                }
                // µ-law of a few units, and now and then more.
                let frame: [u8; 160] = std::array::from_fn(|i| if n % 40 < 3 { 0x60 } else { 0x7E } + (i % 2) as u8);
                input(at_ms, Input::Caller(CallerEvent::Audio { at_ms: n * 20, payload: &frame }));
            };
            // The rings that keep what may become a turn are full by then.
            (0..2 * WARM).for_each(&mut one);
            let info = measure(|| (2 * WARM..3 * WARM).for_each(&mut one));
            assert!(heard > WARM, "nothing was heard");
            assert_eq!(info.count_total, 0, "{engine:?}, {noise:?}, the agent speaks: {agent_speaks}");
        }
    }
}

#[test]
fn the_twilio_link_allocates_nothing_per_frame() {
    let mut stream = Stream::new();
    let start = r#"{"event":"start","sequenceNumber":"1","streamSid":"MZ1","start":{"streamSid":"MZ1","accountSid":"AC1","callSid":"CA1"}}"#;
    assert!(matches!(stream.decode(start), Decoded::Start(_)));
    let payload = base64_simd::STANDARD.encode_to_string([0x31; 160]);
    let mut message = String::with_capacity(1_024);
    let mut out = String::new();
    let mut one = |n: u64| {
        use std::fmt::Write as _;
        message.clear();
        write!(
            message,
            r#"{{"event":"media","sequenceNumber":"{}","streamSid":"MZ1","media":{{"track":"inbound","chunk":"{n}","timestamp":"{}","payload":"{payload}"}}}}"#,
            n + 2, n * 20
        ).unwrap();
        assert!(matches!(stream.decode(&message), Decoded::Event(CallerEvent::Audio { .. })));
        stream.encode(&CallerCommand::Audio(&[0x55; 800]), &mut out);
        stream.encode(&CallerCommand::Mark(MarkId { generation: 1, seq: n as u32 }), &mut out);
    };
    (0..WARM).for_each(&mut one);
    assert_eq!(measure(|| (WARM..WARM + FRAMES).for_each(&mut one)).count_total, 0);
}

#[test]
fn the_realtime_link_allocates_nothing_per_audio_event() {
    let config = config::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config")).unwrap();
    let mut session = Session::new(config.agents.values().next().unwrap(), "", AudioFormat::PHONE);
    let delta = format!(
        r#"{{"type":"response.output_audio.delta","event_id":"e","response_id":"r","item_id":"i","output_index":0,"content_index":0,"delta":"{}"}}"#,
        base64_simd::STANDARD.encode_to_string([0x31; 1_600])
    );
    let mut out = String::new();
    let mut one = |_: u64| {
        assert!(matches!(session.decode(&delta), Some(ModelEvent::Audio { .. })));
        session.encode(&ModelCommand::AppendAudio(&[0x31; 160]), &mut out);
    };
    (0..WARM).for_each(&mut one);
    assert_eq!(measure(|| (WARM..WARM + FRAMES).for_each(&mut one)).count_total, 0);
}

#[test]
fn sample_arithmetic_allocates_nothing_per_frame() {
    let codes: Vec<u8> = (0..160).map(|n| (n * 7) as u8).collect();
    let mut linear = Vec::with_capacity(160);
    let mut back = Vec::with_capacity(160);
    for (from, to) in [(8_000, 24_000), (24_000, 8_000), (8_000, 16_000), (24_000, 16_000), (8_000, 48_000)] {
        let mut resampler = Resampler::new(from, to);
        let mut out = Vec::with_capacity(2_000);
        let input: Vec<i16> = vec![1_000; from as usize / 50];
        let mut frame = || {
            linear.clear();
            back.clear();
            out.clear();
            g711::decode_ulaw(&codes, &mut linear);
            g711::encode_alaw(&linear, &mut back);
            resampler.process(&input, &mut out);
            std::hint::black_box(level::rms(&linear));
        };
        (0..5).for_each(|_| frame());
        assert_eq!(measure(|| (0..500).for_each(|_| frame())).count_total, 0, "{from} to {to} Hz");
    }
}

#[test]
fn recording_allocates_nothing_per_frame() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = RecordingFile::create(&folder.path().join("r.wav"), AudioFormat::PHONE).unwrap();
    let mut at = 0;
    let mut frame = || {
        file.write_caller(Samples(at), &[0x55; 160]).unwrap();
        if at >= 1_600 {
            file.write_agent(Samples(at - 1_600), &[0x66; 160]).unwrap();
        }
        at += 160;
        if at % 8_000 == 0 {
            file.flush().unwrap();
        }
    };
    (0..500).for_each(|_| frame());
    assert_eq!(measure(|| (0..1_000).for_each(|_| frame())).count_total, 0);
}

#[test]
fn noise_reduction_allocates_nothing_per_frame() {
    for rate_hz in [8_000, 24_000] {
        let mut denoiser = Denoiser::new(NoiseReduction::FarField, rate_hz);
        let mut one = |n: u64| {
            // Sound, and now and then silence long enough to sleep in.
            let loud = n % 100 < 70;
            let mut frame: [i16; 160] =
                std::array::from_fn(|i| if loud { (i as i16).wrapping_mul(7_919) >> 2 } else { 0 });
            denoiser.process(&mut frame);
        };
        (0..WARM).for_each(&mut one);
        let info = measure(|| (WARM..WARM + FRAMES).for_each(&mut one));
        assert_eq!(info.count_total, 0, "{rate_hz}");
    }
}
