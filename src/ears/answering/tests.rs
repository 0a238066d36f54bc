//! Synthetic lines: what is a beep and what only sounds like one.

use std::path::Path;

use super::*;
use crate::base::audio::g711::{decode_ulaw, encode_ulaw};
use crate::base::time::Samples;
use crate::ears::vad::Probability;

const PEAK: f32 = 8_000.0;

/// A piece of a line: `(Hz, amplitude)` each for so many ms.
type Part<'a> = (&'a [(f32, f32)], u64);

fn tones(parts: &[Part<'_>], rate_hz: u32) -> Vec<i16> {
    let mut out = Vec::new();
    for (tones, ms) in parts {
        for n in 0..ms * u64::from(rate_hz) / 1_000 {
            let t = n as f32 / rate_hz as f32;
            let sum: f32 = tones.iter().map(|(hz, amp)| amp * (std::f32::consts::TAU * hz * t).sin()).sum();
            out.push((PEAK * sum) as i16);
        }
    }
    out
}

/// As a phone brings it, with white noise `snr_db` under a full tone.
fn phone(mut samples: Vec<i16>, snr_db: Option<f32>, seed: u64) -> Vec<i16> {
    if let Some(snr_db) = snr_db {
        // Even noise has a peak of √3 times its RMS.
        let peak = PEAK / 2f32.sqrt() * 10f32.powf(-snr_db / 20.0) * 3f32.sqrt();
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        for sample in &mut samples {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let even = (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1u64 << 24) as f32;
            *sample = (f32::from(*sample) + (2.0 * even - 1.0) * peak) as i16;
        }
    }
    let (mut codes, mut back) = (Vec::new(), Vec::new());
    encode_ulaw(&samples, &mut codes);
    decode_ulaw(&codes, &mut back);
    back
}

/// Where beeps end, in ms, however the audio is cut.
fn beeps(samples: &[i16], rate_hz: u32) -> Vec<u64> {
    let find = |piece: usize| {
        let mut detector = Detector::new(4_500, true, rate_hz);
        let (mut at, mut taken) = (Vec::new(), 0);
        for piece in samples.chunks(piece) {
            taken += piece.len() as u64;
            detector.take(piece, |finding| {
                assert_eq!(finding, Finding::Beep);
                at.push(taken * 1_000 / u64::from(rate_hz));
            });
        }
        at
    };
    let found = find(rate_hz as usize / 50);
    assert_eq!(find(77).len(), found.len(), "cut otherwise");
    found
}

#[test]
fn a_beep_is_found_at_its_end_at_any_pitch_length_and_rate() {
    for (n, &hz) in [360.0f32, 387.3, 500.0, 771.0, 1_000.0, 1_412.5, 2_000.0, 2_590.0].iter().enumerate() {
        for ms in [120u64, 200, 350, 500, 1_000, 1_450] {
            for rate_hz in [8_000, 16_000, 24_000] {
                let line = tones(&[(&[], 500), (&[(hz, 1.0)], ms), (&[], 1_000)], rate_hz);
                let line = if rate_hz == 8_000 { phone(line, Some(15.0), n as u64 + ms) } else { line };
                let found = beeps(&line, rate_hz);
                let end = 500 + ms;
                assert!(
                    matches!(found[..], [at] if (end..=end + 100).contains(&at)),
                    "{hz} Hz for {ms} ms at {rate_hz}: {found:?}"
                );
            }
        }
    }
    // Single call progress tones are at this pitch: it is known a little later.
    let line = phone(tones(&[(&[], 300), (&[(440.0, 1.0)], 400), (&[], 1_500)], 8_000), Some(15.0), 7);
    let found = beeps(&line, 8_000);
    assert!(matches!(found[..], [at] if (1_350..=1_550).contains(&at)), "{found:?}");
}

#[test]
fn quiet_beeps_are_heard_and_quieter_ones_are_not() {
    for (amp, heard) in [(0.1, true), (0.005, false)] {
        let line = phone(tones(&[(&[], 300), (&[(1_000.0, amp)], 400), (&[], 600)], 8_000), None, 1);
        assert_eq!(beeps(&line, 8_000).len(), usize::from(heard), "{amp}");
    }
}

#[test]
fn what_only_sounds_like_a_beep_is_none() {
    let on = |tones: &'static [(f32, f32)], on_ms: u64, off_ms: u64| vec![(tones, on_ms), (&[][..], off_ms)];
    let dtmf: Vec<_> = [(697.0f32, 1_209.0f32), (770.0, 1_336.0), (852.0, 1_477.0), (941.0, 1_633.0)]
        .iter()
        .flat_map(|&(low, high)| [(low, high, 1.0f32), (low, high, 0.45)])
        .collect();
    for (low, high, twist) in dtmf {
        for ms in [60, 150, 400] {
            let pair = [(low, 0.5), (high, 0.5 * twist)];
            let line = phone(tones(&[(&[], 200), (&pair, ms), (&[], 800)], 8_000), Some(25.0), 3);
            assert_eq!(beeps(&line, 8_000), [0u64; 0], "{low} and {high} Hz, {twist}, {ms} ms");
        }
    }
    let named: Vec<(&str, Vec<Part<'_>>)> = vec![
        ("dial tone", on(&[(350.0, 0.5), (440.0, 0.5)], 3_000, 500)),
        ("a short dial tone", on(&[(350.0, 0.5), (440.0, 0.5)], 400, 500)),
        ("stutter dial tone", on(&[(350.0, 0.5), (440.0, 0.5)], 100, 100).repeat(10)),
        ("American busy", on(&[(480.0, 0.5), (620.0, 0.5)], 500, 500).repeat(5)),
        ("American ringback", on(&[(440.0, 0.5), (480.0, 0.5)], 2_000, 4_000).repeat(2)),
        ("British ringback", on(&[(400.0, 0.5), (450.0, 0.5)], 400, 200).repeat(6)),
        ("European ringback", on(&[(425.0, 1.0)], 1_000, 4_000).repeat(2)),
        ("European busy", on(&[(425.0, 1.0)], 480, 480).repeat(6)),
        ("European congestion", on(&[(425.0, 1.0)], 240, 240).repeat(10)),
        ("a long tone", on(&[(1_000.0, 1.0)], 3_000, 500)),
        ("a fax", on(&[(1_100.0, 1.0)], 1_900, 500)),
        (
            "special information",
            vec![(&[(950.0, 1.0)], 330), (&[(1_400.0, 1.0)], 330), (&[(1_800.0, 1.0)], 330), (&[], 1_000)],
        ),
        ("a vowel", on(&[(220.0, 0.5), (440.0, 0.4), (660.0, 0.25), (880.0, 0.15)], 400, 500)),
        (
            "a melody",
            [523.3f32, 659.3, 784.0, 1_046.5, 784.0, 659.3]
                .iter()
                .flat_map(|hz| vec![(&*Box::leak(Box::new([(*hz, 0.8f32), (hz * 2.0, 0.35)])) as &[(f32, f32)], 250)])
                .chain([(&[][..], 500)])
                .collect(),
        ),
    ];
    for (name, parts) in named {
        for snr_db in [None, Some(25.0)] {
            assert_eq!(beeps(&phone(tones(&parts, 8_000), snr_db, 5), 8_000), [0u64; 0], "{name}");
        }
    }
    let glide: Vec<i16> =
        (0..4_000).map(|n| (PEAK * (0.6 * n as f32 + n as f32 * n as f32 * 2e-5).sin()) as i16).collect();
    let line = [vec![0; 2_000], glide, vec![0; 6_000]].concat();
    assert_eq!(beeps(&phone(line, None, 1), 8_000), [0u64; 0], "a whistle that rises");
    assert_eq!(beeps(&phone(vec![0; 80_000], Some(0.0), 9), 8_000), [0u64; 0], "noise");
}

#[test]
fn there_is_no_beep_in_recorded_speech_and_noise() {
    let root = Path::new("/work/shared/audio");
    let (mut seconds, mut found) = (0, Vec::new());
    for folder in ["wav8k", "noise", "calls", "mix", "wav"] {
        let Ok(files) = std::fs::read_dir(root.join(folder)) else { continue };
        for path in files.flatten().map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "wav"))
        {
            let Ok(wav) =
                std::fs::read(&path).map_err(|_| ()).and_then(|b| crate::base::audio::wav::read(&b).map_err(|_| ()))
            else {
                continue;
            };
            let samples = crate::base::audio::resample::convert(&wav.samples, wav.rate_hz, 8_000);
            seconds += samples.len() / 8_000;
            found.extend(beeps(&phone(samples, None, 1), 8_000).into_iter().map(|at| (path.clone(), at)));
        }
    }
    if seconds == 0 {
        eprintln!("skipped: there are no recordings in {}", root.display());
        return;
    }
    eprintln!("{} false beeps in {seconds} s of recordings", found.len());
    assert!(found.is_empty(), "{found:#?}");
}

/// What is found of who speaks for so many ms (true) and is silent for so many.
fn opening(said: &[(bool, u64)]) -> Vec<(u64, Finding)> {
    let mut detector = Detector::new(4_500, true, 8_000);
    let (mut found, mut at) = (Vec::new(), 0);
    for (speaks, ms) in said {
        for _ in 0..ms / 32 {
            at += 32;
            let probability = Probability::from_per_mille(if *speaks { 900 } else { 20 });
            let step = Step { end: Samples::from_ms(at, 8_000), probability, level_db: -30 };
            found.extend(detector.step(step, 32).map(|finding| (at, finding)));
        }
    }
    found
}

fn names(found: &[(u64, Finding)]) -> Vec<&'static str> {
    found.iter().map(|(_, finding)| finding.name()).collect()
}

#[test]
fn who_says_a_word_and_waits_is_human() {
    let found = opening(&[(false, 1_000), (true, 600), (false, 3_000)]);
    assert_eq!(names(&found), ["speaks", "human"]);
    assert!((2_350..2_500).contains(&found[1].0), "{found:?}");
    let longer = opening(&[(true, 1_500), (false, 500), (true, 1_500), (false, 3_000)]);
    assert_eq!(names(&longer), ["speaks", "human"]);
    assert!((4_900..5_100).contains(&longer[1].0), "who said more waits longer: {longer:?}");
    assert_eq!(opening(&[(false, 500), (true, 64), (false, 5_000)]), [], "a click");
    assert_eq!(opening(&[(false, 30_000)]), [], "nobody");
}

#[test]
fn who_talks_on_is_a_machine_and_then_quiet() {
    let greeting = [(true, 2_200), (false, 700), (true, 2_500), (false, 300), (true, 1_000), (false, 4_000)];
    let found = opening(&greeting);
    assert_eq!(names(&found), ["speaks", "machine", "quiet"]);
    assert!((4_450..4_600).contains(&found[1].0), "{found:?}");
    assert!((9_100..9_300).contains(&found[2].0), "{found:?}");
}

#[test]
fn without_steps_levels_tell() {
    let mut detector = Detector::new(3_000, false, 8_000);
    let speech = |ms: u64| -> Vec<i16> {
        // Syllables: loud and less loud in turns.
        (0..ms * 8)
            .map(|n| {
                let loud = if (n / 1_200) % 2 == 0 { 1.0 } else { 0.3 };
                (loud * 6_000.0 * (n as f32 * 0.2).sin() * (n as f32 * 0.031).sin()) as i16
            })
            .collect()
    };
    let mut found = Vec::new();
    for part in [vec![0; 8_000], speech(700), vec![0; 16_000]] {
        detector.take(&part, |finding| found.push(finding));
    }
    assert_eq!(found, [Finding::Speaks, Finding::Human]);
}
