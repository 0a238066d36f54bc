use super::*;
use crate::base::audio::{Codec, g711};
use crate::ears::vad::Probability;

const PHONE: AudioFormat = AudioFormat::PHONE;

fn settings(engine: VadEngine, noise_reduction: NoiseReduction) -> HearingSettings {
    HearingSettings { engine: Some(engine), echo_guard: true, noise_reduction }
}

/// A second and a half of a voice-like buzz with pauses, over noise.
fn audio() -> Vec<u8> {
    let mut random = 1u32;
    let sample = |i: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (random >> 16) as f32 / 65_536.0 - 0.5;
        let voiced = i % 4_000 > 1_200;
        let buzz: f32 = (1..12).map(|h| (i as f32 * 0.094 * h as f32).sin() / h as f32).sum();
        (noise * 200.0 + if voiced { buzz * 4_000.0 } else { 0.0 }) as i16
    };
    let linear: Vec<i16> = (0..12_000).map(sample).collect();
    let mut payload = Vec::new();
    g711::encode_ulaw(&linear, &mut payload);
    payload
}

fn heard(hearing: &mut Hearing, audio: &[u8], sizes: &[usize]) -> (Vec<Step>, Vec<u8>) {
    let (mut steps, mut cleaned, mut from) = (Vec::new(), Vec::new(), 0);
    for size in sizes.iter().cycle() {
        if from == audio.len() {
            break;
        }
        let to = (from + size).min(audio.len());
        hearing.take(Samples(from as u64), &audio[from..to]);
        cleaned.extend_from_slice(hearing.cleaned().unwrap_or(&audio[from..to]));
        steps.extend(std::iter::from_fn(|| hearing.poll()));
        from = to;
    }
    (steps, cleaned)
}

#[test]
fn the_same_audio_in_any_pieces_is_heard_alike() {
    let audio = audio();
    for engine in [VadEngine::Silero, VadEngine::Energy] {
        for noise in [NoiseReduction::None, NoiseReduction::NearField, NoiseReduction::FarField] {
            let whole = heard(&mut Hearing::new(settings(engine, noise), PHONE), &audio, &[audio.len()]);
            assert!(whole.0.len() > 40 && whole.1.len() == audio.len());
            for sizes in [&[160][..], &[1, 7, 300], &[81], &[1_000, 3]] {
                let pieces = heard(&mut Hearing::new(settings(engine, noise), PHONE), &audio, sizes);
                assert!(pieces == whole, "{engine:?} {noise:?} {sizes:?}");
            }
        }
    }
}

#[test]
fn without_noise_reduction_the_model_gets_what_came() {
    let audio = audio();
    let (_, cleaned) =
        heard(&mut Hearing::new(settings(VadEngine::Energy, NoiseReduction::None), PHONE), &audio, &[160]);
    assert!(cleaned == audio);
}

#[test]
fn nobody_who_asks_gets_no_steps() {
    let none = HearingSettings { engine: None, echo_guard: true, noise_reduction: NoiseReduction::None };
    let (steps, cleaned) = heard(&mut Hearing::new(none, PHONE), &audio(), &[160]);
    assert!(steps.is_empty() && cleaned == audio());
}

#[test]
fn ears_that_are_told_give_the_same_steps() {
    for rate_hz in [8_000, 24_000] {
        let format = AudioFormat { codec: Codec::Pcmu, rate_hz };
        let settings = settings(VadEngine::Silero, NoiseReduction::None);
        let (mut own, mut told) = (Hearing::new(settings, format), Hearing::told(settings, format));
        for (n, payload) in audio().chunks(rate_hz as usize / 50).enumerate() {
            own.take(Samples(n as u64 * 160), payload);
            let steps: Vec<Step> = std::iter::from_fn(|| own.poll()).collect();
            steps.iter().for_each(|step| told.tell(step.probability, step.level_db));
            // What is told is heard, not the sound.
            told.take(Samples(n as u64 * 160), &vec![0xFF; payload.len()]);
            assert_eq!(std::iter::from_fn(|| told.poll()).collect::<Vec<_>>(), steps);
        }
    }
}

#[test]
fn what_is_told_from_now_on_comes_with_every_step() {
    let mut told = Hearing::told(settings(VadEngine::Earshot, NoiseReduction::None), PHONE);
    told.take(Samples::ZERO, &[0xFF; 160]);
    assert_eq!(told.poll(), None, "nothing was told");
    let mut told = Hearing::told(settings(VadEngine::Earshot, NoiseReduction::None), PHONE);
    let p = Probability::from_per_mille(900);
    told.tell_from_now_on(p, -20);
    told.take(Samples::ZERO, &[0xFF; 160]);
    assert_eq!(told.poll(), Some(Step { end: Samples(128), probability: p, level_db: -20 }));
    assert_eq!(told.poll(), None);
}
