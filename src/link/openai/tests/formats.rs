//! Lines and models of different formats.

use super::*;

#[test]
fn formats_name_their_rate_only_when_linear() {
    let pcma = AudioFormat { codec: Codec::Pcma, rate_hz: 8_000 };
    assert_eq!(update_of(&agent(pcma))["audio"]["input"]["format"], json!({ "type": "audio/pcma" }));
}

/// Samples of a 440 Hz tone.
fn tone(rate_hz: u32, ms: u32) -> Vec<i16> {
    let step = std::f32::consts::TAU * 440.0 / rate_hz as f32;
    (0..rate_hz * ms / 1_000).map(|n| ((n as f32 * step).sin() * 8_000.0) as i16).collect()
}

#[test]
fn phone_line_talks_to_a_model_that_takes_linear_audio_only() {
    use crate::base::audio::g711;
    let mut session = ready(AudioFormat::PHONE, AudioFormat::PCM_24K);
    // Out: 20 ms frames of μ-law become 20 ms of linear audio at 24 kHz, from the first on.
    let line: Vec<u8> = tone(8_000, 400).iter().map(|&s| g711::linear_to_ulaw(s)).collect();
    let mut sent = Vec::new();
    for frame in line.chunks(160) {
        let event = encoded(&mut session, ModelCommand::AppendAudio(frame));
        let bytes = base64_simd::STANDARD.decode_to_vec(event["audio"].as_str().unwrap()).unwrap();
        assert_eq!(bytes.len(), 960);
        sent.extend(bytes);
    }
    // Back, in pieces that cut samples: the same tone as μ-law, as long as what came.
    let mut heard = Vec::new();
    for piece in sent.chunks(1_001) {
        let message = audio_delta("r", "i", piece);
        let Some(ModelEvent::Audio { payload, .. }) = session.decode(&message) else { panic!() };
        heard.extend(payload.iter().map(|&code| g711::ulaw_to_linear(code)));
    }
    assert_eq!(heard.len(), 3_200);
    // 3 ms of delay each way, then the tone within the noise of μ-law.
    let delay = 48;
    let wanted = tone(8_000, 400);
    let error: f64 = (400..3_000).map(|n| f64::from(heard[n + delay] - wanted[n]).powi(2)).sum();
    let power: f64 = (400..3_000).map(|n| f64::from(wanted[n]).powi(2)).sum();
    assert!(10.0 * (power / error).log10() > 30.0, "{} dB", 10.0 * (power / error).log10());
}

#[test]
fn a_new_item_begins_without_the_end_of_the_last() {
    let mut session = ready(AudioFormat::PHONE, AudioFormat::PCM_24K);
    let loud = audio_delta("r", "a", &[0x10, 0x70].repeat(481));
    let quiet = audio_delta("r", "b", &[0, 0].repeat(480));
    session.decode(&announced("r", "a"));
    assert!(session.decode(&loud).is_some());
    session.decode(&announced("r", "b"));
    let Some(ModelEvent::Audio { payload, .. }) = session.decode(&quiet) else { panic!() };
    assert_eq!(payload, [0xFF; 160]);
}

#[test]
fn codecs_of_one_rate_are_converted_without_delay() {
    let pcma = AudioFormat { codec: Codec::Pcma, rate_hz: 8_000 };
    let mut session = ready(AudioFormat::PHONE, pcma);
    let event = encoded(&mut session, ModelCommand::AppendAudio(&[0xFF; 3]));
    assert_eq!(event["audio"], "1dXV", "silence is 0xD5 in A-law");
}
