use proptest::prelude::*;

use super::*;
use crate::base::audio::{g711, level, resample, wav};
use crate::ears::denoise::gain::{CEILING, MAX_GAIN_DB};

const MODES: [NoiseReduction; 2] = [NoiseReduction::NearField, NoiseReduction::FarField];

/// 3.9 s of a voice on a quiet line, 8 kHz.
fn voice() -> Vec<i16> {
    let bytes = include_bytes!("../../../fixtures/audio/anna-book.wav");
    wav::read(bytes).unwrap().samples
}

/// White noise of `rms`, a different one for each seed.
fn white(samples: usize, rms: f32, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    // The sum of three is near enough to normal; its variance is 1/4.
    (0..samples).map(|_| 2.0 * rms * (uniform() + uniform() + uniform())).collect()
}

/// Noise that falls by 3 dB per octave: white noise through three poles and zeros (P. Kellet's economy filter).
fn pink(samples: usize, rms: f32, seed: u32) -> Vec<f32> {
    let mut b = [0.0f32; 3];
    let noise: Vec<f32> = white(samples, 1.0, seed)
        .into_iter()
        .map(|x| {
            b[0] = 0.997_65 * b[0] + x * 0.099_046;
            b[1] = 0.963 * b[1] + x * 0.296_516_4;
            b[2] = 0.57 * b[2] + x * 1.052_691_3;
            b[0] + b[1] + b[2] + x * 0.1848
        })
        .collect();
    let scale = rms / (noise.iter().map(|x| x * x).sum::<f32>() / samples as f32).sqrt();
    noise.into_iter().map(|x| x * scale).collect()
}

fn to_i16(x: impl IntoIterator<Item = f32>) -> Vec<i16> {
    x.into_iter().map(|x| x.round() as i16).collect()
}

fn at_level(samples: &[i16], db: f32) -> Vec<i16> {
    let gain = 10f32.powf(db / 20.0);
    to_i16(samples.iter().map(|&s| f32::from(s) * gain))
}

fn suppressor(rate_hz: u32, far: bool) -> Denoiser {
    let reduction = if far { NoiseReduction::FarField } else { NoiseReduction::NearField };
    Denoiser::new(reduction, rate_hz)
}

fn inner(denoiser: &mut Denoiser) -> &mut Suppressor {
    match denoiser {
        Denoiser::On(suppressor) => suppressor,
        Denoiser::Off => panic!("off"),
    }
}

/// What comes out, moved back to where it went in.
fn run(denoiser: &mut Denoiser, samples: &[i16]) -> Vec<i16> {
    let delay = denoiser.delay().0 as usize;
    let mut out = samples.to_vec();
    out.extend(vec![0; delay]);
    out.chunks_mut(77).for_each(|piece| denoiser.process(piece));
    out.drain(..delay);
    out
}

fn db(a: &[i16], b: &[i16]) -> f32 {
    level::dbfs(level::rms(a)) - level::dbfs(level::rms(b))
}

#[test]
fn off_changes_and_delays_nothing() {
    for (reduction, rate_hz) in [(NoiseReduction::None, 8_000), (NoiseReduction::NearField, 44_100)] {
        let mut denoiser = Denoiser::new(reduction, rate_hz);
        let mut samples = voice();
        denoiser.process(&mut samples);
        assert_eq!(samples, voice());
        assert_eq!(denoiser.delay(), Samples::ZERO);
        assert_eq!(denoiser.speech_probability(), None);
    }
}

#[test]
fn the_delay_is_as_stated() {
    for (rate_hz, stated) in [(8_000, 192), (16_000, 352), (24_000, 512), (48_000, 960)] {
        let speech = resample::convert(&voice()[1_000..7_000], 8_000, rate_hz);
        for reduction in MODES {
            let mut denoiser = Denoiser::new(reduction, rate_hz);
            assert_eq!(denoiser.delay().0, stated);
            assert!(denoiser.delay().as_us(rate_hz) <= 30_000);
            let mut out = speech.clone();
            denoiser.process(&mut out);
            // Silence first, but for what linear phase lets ring ahead of the beginning.
            assert!(out[..rate_hz as usize / 100].iter().all(|&s| s == 0));
            assert!(level::peak(&out[..stated as usize]) <= 16);
            let likeness = |lag: usize| -> f64 {
                speech.iter().zip(&out[lag..]).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
            };
            let lags = stated as usize - rate_hz as usize / 1_000..stated as usize + rate_hz as usize / 1_000;
            let found = lags.max_by(|&a, &b| likeness(a).total_cmp(&likeness(b))).unwrap();
            // Within 63 us: RNNoise's high-pass filter turns the phase of low voices a little.
            let off_us = (found as i64 - stated as i64).unsigned_abs() * 1_000_000 / u64::from(rate_hz);
            assert!(off_us <= 63, "{rate_hz} Hz, {reduction:?}: {found} instead of {stated}");
        }
    }
}

#[test]
fn the_original_is_mixed_in_at_its_place() {
    // With nothing but the original left, it is the original.
    for rate_hz in [8_000, 16_000, 24_000, 48_000] {
        let speech = resample::convert(&voice(), 8_000, rate_hz);
        let mut denoiser = Denoiser::On(Box::new(Suppressor::with_floor(rate_hz, false, 1.0).unwrap()));
        let out = run(&mut denoiser, &speech);
        let differ = speech.iter().zip(&out).filter(|(a, b)| a.abs_diff(**b) > 8).count();
        assert_eq!(differ, 0, "{rate_hz}");
    }
}

#[test]
fn silence_is_skipped_and_stays_silent() {
    for idle in [0i16, 8, -8] {
        let mut denoiser = suppressor(8_000, false);
        let mut silence = vec![idle; 8_000];
        denoiser.process(&mut silence);
        assert!(silence.iter().all(|&s| s == 0));
        assert_eq!(inner(&mut denoiser).computed, 0);
        assert_eq!(denoiser.speech_probability(), Some(0.0));
    }
}

#[test]
fn sleeping_through_a_pause_is_not_heard() {
    for far in [false, true] {
        let (mut asleep, mut awake) = (suppressor(8_000, far), suppressor(8_000, far));
        inner(&mut awake).awake = true;
        let speech = &voice()[2_000..14_000];
        let mut call = speech.to_vec();
        call.extend(g711_idle(8_000));
        call.extend(speech);
        let (a, b) = (run(&mut asleep, &call), run(&mut awake, &call));
        // The speech's own frames, the tail of the first and what RNNoise's high-pass filter needs to ring out.
        let (slept, whole) = (inner(&mut asleep).computed, inner(&mut awake).computed);
        assert!(slept < 2 * 150 + 2 * 25, "{slept} frames computed of {whole}");
        assert!(whole >= 400);
        // The window of 10 ms and the filters begin before the sound does.
        let pause = 12_000 + 8_000 / 5..20_000 - 160;
        assert!(a[pause.clone()].iter().all(|&s| s == 0), "zeros in, zeros out");
        // No click where it falls asleep or wakes.
        for at in 12_000..20_400 {
            assert!(a[at].abs_diff(b[at]) <= 2, "{at}: {} instead of {}", a[at], b[at]);
        }
        // Nor is the rest of the call any different.
        assert!(db(&a[20_000..], &b[20_000..]).abs() < 0.1);
    }
}

fn g711_idle(samples: usize) -> Vec<i16> {
    let mut idle = Vec::new();
    g711::decode_ulaw(&vec![0xFF; samples], &mut idle);
    idle
}

#[test]
fn a_clean_voice_keeps_its_level() {
    for rate_hz in [8_000, 24_000] {
        let speech = resample::convert(&voice(), 8_000, rate_hz);
        let out = run(&mut suppressor(rate_hz, false), &speech);
        // Whole, and in each loud stretch of 20 ms by itself after the network has settled.
        let frame = rate_hz as usize / 50;
        let loud = level::rms(&speech);
        let mut changes: Vec<f32> = speech
            .chunks_exact(frame)
            .zip(out.chunks_exact(frame))
            .skip(25)
            .filter(|(x, _)| level::rms(x) > loud)
            .map(|(x, y)| db(y, x))
            .collect();
        changes.sort_by(f32::total_cmp);
        assert!(db(&out, &speech).abs() < 1.0, "{rate_hz}: {}", db(&out, &speech));
        assert!(changes.len() > 30);
        assert!(changes[changes.len() / 10] > -1.0, "{rate_hz}: {changes:?}");
        assert!(changes[changes.len() * 9 / 10] < 1.0, "{rate_hz}: {changes:?}");
    }
}

#[test]
fn noise_goes_and_the_voice_in_it_stays() {
    for rate_hz in [8_000u32, 24_000] {
        let second = rate_hz as usize;
        let clean = resample::convert(&voice()[8_000..24_000], 8_000, rate_hz);
        let clean = at_level(&clean, level::dbfs(0.08 * level::FULL_SCALE) - level::dbfs(level::rms(&clean)));
        let mut padded = vec![0; 2 * second];
        padded.extend(&clean);
        for (name, noise) in [("pink", pink(padded.len(), 1.0, 7)), ("white", white(padded.len(), 1.0, 7))] {
            let noise_rms = level::rms(&clean) * 10f32.powf(-10.0 / 20.0);
            let noisy = to_i16(padded.iter().zip(&noise).map(|(&s, n)| f32::from(s) + noise_rms * n));
            let out = run(&mut suppressor(rate_hz, false), &noisy);
            let alone = second..2 * second;
            let fall = -db(&out[alone.clone()], &noisy[alone]);
            let least = if rate_hz == 8_000 { 12.0 } else { 10.0 };
            assert!((least..15.0).contains(&fall), "{rate_hz} Hz, {name}: noise alone falls by {fall} dB");
            let loud: Vec<(i16, i16)> = noisy
                .chunks_exact(second / 50)
                .zip(out.chunks_exact(second / 50))
                .skip(100)
                .filter(|(x, _)| level::rms(x) > 1.5 * level::rms(&clean))
                .flat_map(|(x, y)| x.iter().copied().zip(y.iter().copied()))
                .collect();
            let (before, after): (Vec<i16>, Vec<i16>) = loud.into_iter().unzip();
            assert!(before.len() > second / 4);
            assert!(db(&after, &before) > -2.0, "{rate_hz} Hz, {name}: voice {}", db(&after, &before));
        }
    }
}

#[test]
fn a_far_voice_is_raised_and_noise_is_not() {
    let quiet = at_level(&voice(), -24.0);
    let (mut near, mut far) = (suppressor(8_000, false), suppressor(8_000, true));
    let mut raised = 0.0;
    for _ in 0..3 {
        let (a, b) = (run(&mut near, &quiet), run(&mut far, &quiet));
        let now = db(&b, &a);
        assert!(now >= raised - 0.5 && now <= MAX_GAIN_DB + 0.5, "{now} after {raised}");
        raised = now;
    }
    assert!(raised > 8.0, "{raised}");

    let second = 8_000;
    for noise in [pink(8 * second, level::from_dbfs(-45.0), 3), white(8 * second, level::from_dbfs(-30.0), 3)] {
        let noise = to_i16(noise);
        let out = run(&mut suppressor(8_000, true), &noise);
        let end = 6 * second..8 * second;
        assert!(db(&out[end.clone()], &noise[end.clone()]) < -14.0, "{}", db(&out[end.clone()], &noise[end]));
    }
}

#[test]
fn a_shout_after_a_whisper_does_not_clip() {
    let mut denoiser = suppressor(8_000, true);
    let voice = voice();
    for _ in 0..3 {
        run(&mut denoiser, &at_level(&voice, -26.0));
    }
    let loudest = 20.0 * (30_000.0 / f32::from(level::peak(&voice))).log10();
    let shout = at_level(&voice, loudest);
    let out = run(&mut denoiser, &shout);
    assert!(f32::from(level::peak(&out)) <= CEILING + 1.0);
    // Held by a gain that moves, not by cutting off the peaks.
    let cut = out.iter().filter(|s| f32::from(s.unsigned_abs()) >= CEILING - 1.0).count();
    assert!(cut < out.len() / 1_000, "{cut} samples at the ceiling");
}

#[test]
fn the_worst_input_is_survived() {
    for far in [false, true] {
        for rate_hz in [8_000, 24_000] {
            let mut denoiser = suppressor(rate_hz, far);
            for period in [1, 2, 37, 4_000] {
                let mut square: Vec<i16> =
                    (0..16_000).map(|n| if n / period % 2 == 0 { i16::MIN } else { i16::MAX }).collect();
                denoiser.process(&mut square);
            }
            denoiser.process(&mut []);
            let p = denoiser.speech_probability().unwrap();
            assert!((0.0..=1.0).contains(&p));
            // And it hears as before once that is over.
            let speech = resample::convert(&voice(), 8_000, rate_hz);
            run(&mut denoiser, &vec![0; rate_hz as usize]);
            let out = run(&mut denoiser, &speech);
            assert!(db(&out, &speech).abs() < 3.0, "{}", db(&out, &speech));
        }
    }
}

#[test]
fn speech_is_told_from_noise() {
    let mut denoiser = suppressor(8_000, false);
    let mean = |denoiser: &mut Denoiser, samples: &[i16]| {
        let mut sum = 0.0;
        for frame in samples.chunks_exact(80) {
            denoiser.process(&mut frame.to_vec());
            sum += denoiser.speech_probability().unwrap();
        }
        sum / (samples.len() / 80) as f32
    };
    assert_eq!(denoiser.speech_probability(), None);
    let noise = mean(&mut denoiser, &to_i16(pink(16_000, 300.0, 5)));
    let speech = mean(&mut denoiser, &voice()[7_000..29_000]);
    assert!(noise < 0.3 && speech > 0.6, "noise {noise}, speech {speech}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_pieces_do_not_matter(
        from in 0usize..20_000,
        pauses in prop::collection::vec((0usize..4_000, 1usize..1_500), 0..4),
        cuts in prop::collection::vec(prop_oneof![Just(1usize), 1usize..700], 1..20),
        far in any::<bool>(),
        rate_hz in prop::sample::select(&[8_000u32, 16_000, 24_000, 48_000][..]),
    ) {
        let mut input = voice()[from..from + 4_000].to_vec();
        for (at, len) in pauses {
            let end = (at + len).min(input.len());
            input[at..end].fill(0);
        }
        let mut whole = input.clone();
        suppressor(rate_hz, far).process(&mut whole);

        let mut pieces = input;
        let mut denoiser = suppressor(rate_hz, far);
        let mut rest = &mut pieces[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at_mut((*cut).min(rest.len()));
            denoiser.process(piece);
            rest = after;
        }
        prop_assert_eq!(whole, pieces);
    }
}
