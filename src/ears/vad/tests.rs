use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::base::audio::resample;
use crate::lab::tune::corpus::{Corpus, LabelledClip};

const ENGINES: [VadEngine; 3] = [VadEngine::Silero, VadEngine::Earshot, VadEngine::Energy];

fn fixture(name: &str) -> LabelledClip {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audio").join(name);
    let labels = std::fs::read_to_string(path.with_extension("toml")).unwrap();
    let bytes = std::fs::read(path.with_extension("wav")).unwrap();
    let labels = crate::lab::tune::corpus::parse_toml(&labels).unwrap();
    crate::lab::tune::corpus::clip_from_bytes(&path.with_extension("wav"), &bytes, &labels, 8_000).unwrap().0
}

fn steps(engine: VadEngine, rate_hz: u32, samples: &[i16]) -> Vec<Step> {
    let mut steps = Vec::new();
    Vad::new(engine, rate_hz).process(samples, |s| steps.push(s));
    steps
}

/// How many steps there are within speech and within silence (100 ms away from speech), and how many of either say speech.
fn heard(clip: &LabelledClip, steps: &[Step], step_ms: u64) -> [(usize, usize); 2] {
    let mut counts = [(0, 0); 2];
    for step in steps {
        let end = step.end.as_ms(8_000);
        let begin = end.saturating_sub(step_ms);
        let inside = clip.speech.iter().any(|s| s.span.start_ms + 100 <= begin && end <= s.span.end_ms);
        let near = clip.speech.iter().any(|s| begin < s.span.end_ms + 200 && s.span.start_ms < end + 100);
        if inside || !near {
            let count = &mut counts[usize::from(!inside)];
            *count = (count.0 + 1, count.1 + usize::from(step.probability.per_mille() >= 500));
        }
    }
    counts
}

#[test]
fn every_engine_finds_the_speech_of_a_clip() {
    for name in ["anna-book", "ben-hours"] {
        let clip = fixture(name);
        for engine in ENGINES {
            let vad = Vad::new(engine, 8_000);
            let [(inside, found), (outside, wrong)] = heard(&clip, &steps(engine, 8_000, &clip.samples), vad.step_ms());
            assert!(inside > 20 && found * 10 >= inside * 8, "{name}, {engine:?}: {found} of {inside} steps of speech");
            assert!(wrong * 10 <= outside, "{name}, {engine:?}: {wrong} of {outside} steps of silence");
        }
    }
}

#[test]
fn the_default_engine_ignores_a_cough_and_its_likes() {
    let corpus = Corpus::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audio"), 8_000);
    let mut distractors = 0;
    for clip in &corpus.clips {
        for d in &clip.distractors {
            distractors += 1;
            // From a little before it: the whole clip takes long without optimisation.
            let from = d.start_ms.saturating_sub(1_200);
            let stretch = &clip.samples[from as usize * 8..clip.samples.len().min((d.end_ms as usize + 200) * 8)];
            let steps = steps(VadEngine::Silero, 8_000, stretch);
            let during = |s: &&Step| (d.start_ms..d.end_ms + 100).contains(&(from + s.end.as_ms(8_000)));
            let most = steps.iter().filter(during).map(|s| s.probability).max().unwrap();
            assert!(most.per_mille() < 500, "{}: {d:?} at {most:?}", clip.name);
        }
    }
    assert!(distractors >= 3);
}

#[test]
fn silence_and_a_bare_offset_are_no_speech() {
    for rate_hz in [8_000, 16_000, 24_000, 48_000] {
        for value in [0i16, 700] {
            for engine in ENGINES {
                let steps = steps(engine, rate_hz, &vec![value; rate_hz as usize]);
                assert!(steps.len() > 29);
                // An offset begins with a jump, which may be heard.
                for s in &steps[16..] {
                    assert!(s.probability.per_mille() < 300 && s.level_db < -80, "{engine:?} at {rate_hz}: {s:?}");
                }
            }
        }
    }
    assert_eq!(steps(VadEngine::Silero, 8_000, &[0; 256])[0].level_db, i8::MIN);
    assert_eq!(steps(VadEngine::Silero, 8_000, &[]), []);
}

#[test]
fn steps_follow_each_other_without_gaps_and_account_for_the_resampler() {
    for (engine, rate_hz, first, step) in [
        (VadEngine::Silero, 8_000, 256, 256),
        (VadEngine::Earshot, 8_000, 128, 128),
        (VadEngine::Energy, 8_000, 128, 128),
        (VadEngine::Silero, 16_000, 512, 512),
        (VadEngine::Energy, 24_000, 384, 384),
        // 36 samples of delay.
        (VadEngine::Silero, 24_000, 768 - 36, 768),
        (VadEngine::Earshot, 24_000, 384 - 36, 384),
        // 72.
        (VadEngine::Silero, 48_000, 1_536 - 72, 1_536),
    ] {
        let ends: Vec<u64> = steps(engine, rate_hz, &vec![0; 20_000]).iter().map(|s| s.end.0).collect();
        let wanted: Vec<u64> = (0..20_000 / step).map(|n| first + n * step).collect();
        assert_eq!(ends, wanted, "{engine:?} at {rate_hz}");
    }
}

#[test]
fn a_click_shows_at_its_place_at_every_rate() {
    for rate_hz in [8_000u32, 16_000, 24_000, 48_000] {
        for engine in ENGINES {
            let mut audio = vec![0i16; rate_hz as usize];
            let at = rate_hz as usize * 500 / 1_000;
            audio[at..at + rate_hz as usize / 1_000].fill(20_000);
            let loudest = steps(engine, rate_hz, &audio).into_iter().max_by_key(|s| s.level_db).unwrap();
            let step = Vad::new(engine, rate_hz).step_ms() * u64::from(rate_hz) / 1_000;
            let span = loudest.end.0 - step..loudest.end.0;
            assert!(
                span.contains(&(at as u64)) || span.contains(&(at as u64 + 4)),
                "{engine:?} at {rate_hz}: {span:?}"
            );
        }
    }
}

#[test]
fn speech_is_heard_alike_at_every_rate() {
    let clip = fixture("ben-thanks");
    for engine in ENGINES {
        let at_8 = steps(engine, 8_000, &clip.samples);
        for rate_hz in [16_000, 48_000] {
            let other = steps(engine, rate_hz, &resample::convert(&clip.samples, 8_000, rate_hz));
            let says = |s: &Step| s.probability.per_mille() >= 500;
            let alike = at_8.iter().zip(&other).filter(|(a, b)| says(a) == says(b)).count();
            assert!(alike * 100 >= at_8.len() * 90, "{engine:?} at {rate_hz}: {alike} of {}", at_8.len());
        }
    }
}

#[test]
fn odd_input_is_heard_without_complaint() {
    let extremes: Vec<i16> = (0..8_000).map(|n| if n % 7 < 3 { i16::MIN } else { i16::MAX }).collect();
    for engine in ENGINES {
        for rate_hz in [8_000, 11_025, 44_100] {
            assert!(steps(engine, rate_hz, &extremes).iter().all(|s| s.level_db > -3), "{engine:?}");
        }
        assert_eq!(steps(engine, 8_000, &[1]), []);
        assert_eq!(steps(engine, 0, &[]), []);
    }
}

#[test]
fn a_probability_is_thousandths_and_nothing_else() {
    let from = |p: f32| Probability::from_f32(p).per_mille();
    assert_eq!(
        [from(0.0), from(0.4996), from(1.0), from(-3.0), from(7.0), from(f32::NAN)],
        [0, 500, 1_000, 0, 1_000, 0]
    );
    for n in 0..=1_000 {
        assert_eq!(Probability::from_f32(Probability::from_per_mille(n).as_f32()).per_mille(), n);
    }
    let json = serde_json::to_string(&steps(VadEngine::Energy, 8_000, &[0; 128])[0]).unwrap();
    assert_eq!(json, r#"{"end":128,"probability":1,"level_db":-128}"#);
    assert!(serde_json::from_str::<Probability>("1001").unwrap_err().to_string().contains("at most 1000"));
    assert_eq!(serde_json::to_string(&VadEngine::Earshot).unwrap(), r#""earshot""#);
}

#[test]
fn doubling_keeps_a_tone_in_its_place() {
    let tone = |hz: f64, rate: f64, n: usize| -> Vec<i16> {
        (0..n).map(|i| (9_000.0 * (std::f64::consts::TAU * hz * i as f64 / rate).sin()) as i16).collect()
    };
    let input = tone(1_000.0, 8_000.0, 800);
    let mut out = vec![0; 1_600];
    doubler::Doubler::default().process(&input, &mut out);
    let wanted = tone(1_000.0, 16_000.0, 1_600);
    let error: Vec<i16> = (100..1_500).map(|i| out[i] - wanted[i - 2 * doubler::DELAY]).collect();
    assert!(crate::base::audio::level::rms(&error) < 150.0, "{}", crate::base::audio::level::rms(&error));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn the_pieces_do_not_matter(
        cuts in prop::collection::vec(0usize..900, 1..40),
        engine in prop::sample::select(&ENGINES[..]),
        rate_hz in prop::sample::select(&[8_000u32, 16_000, 24_000, 48_000][..]),
        seed in any::<u64>(),
    ) {
        let mut state = seed | 1;
        let audio: Vec<i16> = (0..12_000u64)
            .map(|n| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let loud = if n / 3_000 % 2 == 0 { 4 } else { 60 };
                ((state >> 48) as i16) / loud
            })
            .collect();
        let whole = steps(engine, rate_hz, &audio);
        let mut vad = Vad::new(engine, rate_hz);
        let (mut pieces, mut rest) = (Vec::new(), &audio[..]);
        for cut in cuts.iter().cycle().take(100) {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            vad.process(piece, |s| pieces.push(s));
            rest = after;
        }
        vad.process(rest, |s| pieces.push(s));
        prop_assert_eq!(whole, pieces);
    }
}

#[test]
fn digital_silence_teaches_nothing_of_what_the_line_is_like() {
    let level = |db: f32| Level { rms: FULL_SCALE * 10f32.powf(db / 20.0) };
    let digital = Level { rms: 0.0 };
    // A line that sends nothing while nobody speaks, and one that goes on.
    let (mut paused, mut plain) = (gate::Gate::default(), gate::Gate::default());
    for gate in [&mut paused, &mut plain] {
        for _ in 0..300 {
            gate.apply(-5.0, level(-50.0));
            gate.apply(5.0, level(-25.0));
        }
    }
    for _ in 0..300 {
        assert!(paused.apply(0.0, digital) < -1.0, "it is doubted that there is speech");
    }
    for db in [-50.0, -47.0, -45.0, -30.0] {
        assert_eq!(paused.apply(0.0, level(db)), plain.apply(0.0, level(db)), "{db} dB, as on the other line");
    }
    // A line that begins so is like any other.
    let (mut paused, mut plain) = (gate::Gate::default(), gate::Gate::default());
    for _ in 0..100 {
        paused.apply(-5.0, digital);
    }
    assert_eq!(paused.apply(0.0, level(-60.0)), plain.apply(0.0, level(-60.0)));
}
