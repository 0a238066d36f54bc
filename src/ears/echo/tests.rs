//! The guard on calls mixed from the fixtures, and on what no call should send.

use proptest::prelude::*;

#[path = "../../../examples/echo/detect.rs"]
mod detect;
#[path = "../../../examples/echo/mixes.rs"]
mod mixes;

use super::{EchoGuard, discount};
use crate::base::audio::{g711, wav};
use crate::base::time::Samples;
use detect::{Hearing, Loudness};
use mixes::{Case, Clip, Mix, RATE_HZ};

#[test]
fn an_echo_alone_starts_nothing() {
    for (level_db, delay_ms) in [(-6, 600), (-20, 60)] {
        let call = call(Some(level_db), delay_ms, None, 0);
        assert!(Loudness { guarded: false }.starts(&call, false).len() > 2, "the test needs an echo that would");
        let starts = Loudness { guarded: true }.starts(&call, false);
        assert_eq!(starts, [0; 0], "{level_db} dB, {delay_ms} ms");
    }
}

#[test]
fn a_known_echo_is_taken_out() {
    let call = call(Some(-12), 150, None, 0);
    let (cleaned, _) = detect::guard(&call);
    let second_utterance = 7 * RATE_HZ..10 * RATE_HZ;
    let (before, behind) = (power(&call.near[second_utterance.clone()]), power(&cleaned[second_utterance]));
    assert!(behind < 0.05 * before, "{before} became {behind}");
}

#[test]
fn a_caller_over_the_echo_is_heard() {
    for (level_db, caller_db) in [(-6, 0), (-20, 0)] {
        let call = call(Some(level_db), 150, Some(caller_db), 0);
        let starts = Loudness { guarded: true }.starts(&call, false);
        for caller in &call.callers {
            let latest = caller.start + 6 * RATE_HZ / 10;
            assert!(starts.iter().any(|s| (caller.start..latest).contains(s)), "{level_db} dB: {caller:?}: {starts:?}");
        }
    }
}

#[test]
fn a_line_without_echo_is_left_as_it_is() {
    let call = call(None, 20, Some(6), 0);
    let (cleaned, _) = detect::guard(&call);
    assert_eq!(cleaned, call.near);
    // By its second utterance the agent has been heard without an echo.
    let starts = |guarded| {
        let starts = Loudness { guarded }.starts(&call, false);
        starts.into_iter().find(|&start| start > call.callers[1].start).unwrap()
    };
    assert!(starts(true) <= starts(false) + detect::STEP, "{} for {}", starts(true), starts(false));
}

#[test]
fn a_caller_on_a_line_without_echo_is_never_withheld_once_the_agent_was_heard() {
    // The caller begins at each of these in the agent's second utterance.
    for begin_ms in (6_500..9_500).step_by(300) {
        let case = Case { level_db: None, noise_dbfs: -55, ..case(None, 20, Some(0), 0) };
        let call =
            mixes::mix_at(case, &fixture("track-carla"), &fixture("track-ben"), [2_100, begin_ms], begin_ms as u64);
        let starts = |guarded| {
            let starts = Loudness { guarded }.starts(&call, false);
            starts.into_iter().find(|&start| start > call.callers[1].start).unwrap()
        };
        assert!(starts(true) <= starts(false) + detect::STEP, "begun at {begin_ms} ms");
    }
}

#[test]
fn a_sound_that_began_before_the_agent_is_the_callers() {
    // The agent is heard from 500 ms on, and may be 100 ms before.
    let case = Case { level_db: None, ..case(None, 20, Some(0), 0) };
    let call = mixes::mix_at(case, &fixture("track-carla"), &fixture("track-ben"), [340, 7_100], 3);
    let first = |guarded| Loudness { guarded }.starts(&call, false)[0];
    assert_eq!(first(true), first(false));
}

#[test]
fn a_line_without_echo_costs_little_memory() {
    let call = call(None, 20, Some(6), 0);
    let mut guard = EchoGuard::new(8_000);
    tell_all(&mut guard, &call);
    assert!((30_000..45_000).contains(&guard.bytes()), "{}", guard.bytes());
}

#[test]
fn a_corrected_reckoning_starts_nothing() {
    for jump_ms in [-90, 60] {
        let starts = Loudness { guarded: true }.starts(&call(Some(-12), 150, None, jump_ms), false);
        assert_eq!(starts, [0; 0], "{jump_ms} ms");
    }
}

#[test]
fn while_the_agent_is_silent_nothing_changes_and_nothing_is_held() {
    let call = call(Some(-12), 150, Some(0), 0);
    let mut guard = EchoGuard::new(8_000);
    guard.played(Samples(0), &[0; 8_000]);
    let mut near = call.near.clone();
    guard.process(Samples(0), &mut near);
    assert_eq!(near, call.near);
    assert_eq!(guard.echo_share(), 0.0);
    assert!(guard.bytes() < 1_000, "{}", guard.bytes());
}

#[test]
fn a_second_after_the_agent_all_passes_again() {
    let call = call(Some(-12), 150, None, 0);
    let mut guard = EchoGuard::new(8_000);
    tell_all(&mut guard, &call);
    let from = call.far.last().map_or(0, |told| told.at + told.samples.len()) as u64 + 8_000 + 128;
    let mut near = call.near.clone();
    guard.process(Samples(from), &mut near);
    assert_eq!(near, call.near);
    assert_eq!(guard.echo_share(), 0.0);
}

#[test]
fn a_call_that_begins_with_the_agent_is_guarded() {
    let call = call(Some(-12), 60, None, 0);
    let mut guard = EchoGuard::new(8_000);
    // From position 0, with the first piece audible.
    guard.played(Samples(0), &call.far[40].samples);
    assert!(guard.bytes() > 30_000, "{}", guard.bytes());
}

#[test]
fn what_was_cleared_is_not_looked_for() {
    let call = call(Some(-12), 150, None, 0);
    let mut guard = EchoGuard::new(8_000);
    guard.played(Samples(8_000), &call.far[40].samples);
    guard.cleared(Samples(0));
    let mut near = call.near.clone();
    guard.process(Samples(20_000), &mut near);
    assert_eq!(near, call.near);
}

#[test]
fn a_frame_allocates_nothing_but_a_filter_for_a_new_path() {
    let call = call(Some(-6), 60, Some(0), 60);
    // The buffers of searches are made once for a thread.
    detect::guard(&call);
    let mut guard = EchoGuard::new(8_000);
    let mut near = call.near.clone();
    let mut told = call.far.iter().peekable();
    let mut made = 0;
    for (i, frame) in near.chunks_mut(160).enumerate() {
        let before = guard.bytes();
        let info = allocation_counter::measure(|| {
            while let Some(told) = told.next_if(|told| told.when <= i * 160) {
                guard.played(Samples(told.at as u64), &told.samples);
            }
            guard.process(Samples(i as u64 * 160), frame);
            guard.echo_share();
        });
        made += usize::from(info.count_total > 0 && before > 1_000);
    }
    // A filter is made for each delay that is tried: at most where a search finds one.
    assert!(made <= 4, "made anew {made} times");
    assert!((1_000..65_000).contains(&guard.bytes()), "{}", guard.bytes());
}

#[test]
fn nothing_from_outside_does_harm() {
    let loud: Vec<i16> = (0..5_000).map(|i| if i / 7 % 2 == 0 { i16::MIN } else { i16::MAX }).collect();
    for rate_hz in [0, 8_000, 11_025, 24_000, u32::MAX] {
        let mut guard = EchoGuard::new(rate_hz);
        for at in [900, 0, u64::MAX, 5_000, 4_900, u64::MAX - 3, 1 << 62, 90_000, 100, 0] {
            guard.played(Samples(at), &loud);
            guard.played(Samples(at), &[]);
            guard.cleared(Samples(at / 2));
            guard.played(Samples(at), &loud[..2_000]);
            for at in [at, at.saturating_add(5_000), 0, u64::MAX - 100] {
                guard.process(Samples(at), &mut loud.clone());
                guard.process(Samples(at), &mut []);
                assert!((0.0..=1.0).contains(&guard.echo_share()));
            }
        }
        assert!(guard.bytes() < 600_000, "{rate_hz} Hz: {}", guard.bytes());
    }
}

#[test]
fn a_line_of_24_khz_is_guarded_too() {
    let (call, mut guard) = (call(Some(-12), 150, None, 0), EchoGuard::new(24_000));
    // Samples three times over: all that matters here is the arithmetic of positions.
    let wide = |samples: &[i16]| samples.iter().flat_map(|&s| [s; 3]).collect::<Vec<_>>();
    let mut near = wide(&call.near);
    let mut told = call.far.iter().peekable();
    for (i, frame) in near.chunks_mut(480).enumerate() {
        while let Some(told) = told.next_if(|told| told.when <= i * 160) {
            guard.played(Samples(3 * told.at as u64), &wide(&told.samples));
        }
        guard.process(Samples(i as u64 * 480), frame);
    }
    let second_utterance = 21 * RATE_HZ..30 * RATE_HZ;
    let before = power(&wide(&call.near)[second_utterance.clone()]);
    assert!(power(&near[second_utterance]) < 0.1 * before);
}

#[test]
fn only_what_the_echo_explains_is_discounted() {
    assert_eq!(discount(0.9, 0.0), 0.9);
    assert_eq!(discount(0.9, 0.5), 0.9);
    assert_eq!(discount(0.9, 1.0), 0.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2))]
    #[test]
    fn chunks_do_not_matter(sizes in prop::collection::vec(1usize..700, 40)) {
        let call = call(Some(-12), 60, Some(0), 0);
        let length = 5 * RATE_HZ / 2;
        let mut whole = call.near[..length].to_vec();
        let mut parts = whole.clone();
        let (mut one, mut other) = (EchoGuard::new(8_000), EchoGuard::new(8_000));
        // Told at the same positions of the caller's track; cut at will between them.
        let (mut at, mut sizes) = (0, sizes.iter().cycle());
        for second in 0..length / 4_000 {
            for guard in [&mut one, &mut other] {
                for told in call.far.iter().filter(|told| told.when / 4_000 == second) {
                    guard.played(Samples(told.at as u64), &told.samples);
                }
            }
            let end = (second + 1) * 4_000;
            one.process(Samples(at as u64), &mut whole[at..end]);
            while at < end {
                let size = sizes.next().map_or(1, |&size| size).min(end - at);
                other.process(Samples(at as u64), &mut parts[at..at + size]);
                at += size;
            }
            prop_assert_eq!(one.echo_share(), other.echo_share());
        }
        prop_assert_eq!(&whole, &parts);
        prop_assert!(whole != call.near[..length], "the test needs an echo that is taken out");
    }
}

fn call(level_db: Option<i32>, delay_ms: usize, caller_db: Option<i32>, jump_ms: i64) -> Mix {
    mixes::mix(case(level_db, delay_ms, caller_db, jump_ms), &fixture("track-carla"), &fixture("track-ben"), 7)
}

fn case(level_db: Option<i32>, delay_ms: usize, caller_db: Option<i32>, jump_ms: i64) -> Case {
    Case { level_db, delay_ms, caller_db, tail_ms: 4, noise_dbfs: -60, jump_ms, early: false }
}

fn fixture(name: &str) -> Clip {
    let path = format!("{}/fixtures/audio/{name}.wav", env!("CARGO_MANIFEST_DIR"));
    let wav = wav::read(&std::fs::read(path).unwrap()).unwrap();
    Clip { samples: wav.samples }
}

fn tell_all(guard: &mut EchoGuard, call: &Mix) {
    for told in &call.far {
        // One frame before: a guard that knows the present drops what is too far ahead of it.
        guard.process(Samples(told.at as u64 - 160), &mut [0; 160]);
        guard.played(Samples(told.at as u64), &told.samples);
    }
}

fn power(samples: &[i16]) -> f32 {
    samples.iter().map(|&s| f32::from(s) * f32::from(s)).sum::<f32>() / samples.len() as f32
}
