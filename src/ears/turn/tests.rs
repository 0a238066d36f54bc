//! Traces, probabilities in and events out, and what holds for any.

use proptest::prelude::*;

use super::*;
use crate::ears::vad::Probability;

const RATE_HZ: u32 = 8_000;

fn settings() -> TurnSettings {
    TurnSettings { silence_duration_ms: 200, min_speech_ms: 32, ..TurnSettings::default() }
}

/// `COUNTxP/LEVEL`, a step each, `P` in per mille; without a level, one that tells nothing.
fn steps(script: &str, step_ms: u64) -> Vec<Step> {
    let mut steps = Vec::new();
    for word in script.split_whitespace() {
        let (count, what) = word.split_once('x').unwrap_or(("1", word));
        let (p, level) = what.split_once('/').unwrap_or((what, "-30"));
        for _ in 0..count.parse().unwrap() {
            let end = Samples::from_ms((steps.len() as u64 + 1) * step_ms, RATE_HZ);
            let probability = Probability::from_per_mille(p.parse().unwrap());
            steps.push(Step { end, probability, level_db: level.parse().unwrap() });
        }
    }
    steps
}

fn detector(settings: &TurnSettings, step_ms: u64) -> TurnDetector {
    TurnDetector::with_step(settings, Samples::from_ms(step_ms, RATE_HZ), RATE_HZ)
}

fn events(settings: &TurnSettings, step_ms: u64, steps: &[Step]) -> Vec<(Samples, TurnEvent)> {
    let mut detector = detector(settings, step_ms);
    steps.iter().filter_map(|step| detector.step(*step, false).map(|event| (step.end, event))).collect()
}

/// `decided: what where`, in milliseconds.
fn text(events: &[(Samples, TurnEvent)]) -> String {
    let ms = |at: Samples| at.as_ms(RATE_HZ);
    let lines: Vec<String> = events
        .iter()
        .map(|(decided, event)| {
            let what = match event {
                TurnEvent::Started { at } => format!("start {}", ms(*at)),
                TurnEvent::Paused { at } => format!("pause {}", ms(*at)),
                TurnEvent::Resumed { at } => format!("resume {}", ms(*at)),
                TurnEvent::Ended { at, rule: EndRule::Silence } => format!("end {}", ms(*at)),
                TurnEvent::Ended { at, rule: EndRule::MaxTurn } => format!("max {}", ms(*at)),
            };
            format!("{}: {what}", ms(*decided))
        })
        .collect();
    lines.join(", ")
}

#[track_caller]
fn check(settings: &TurnSettings, step_ms: u64, script: &str, expected: &str) {
    assert_eq!(text(&events(settings, step_ms, &steps(script, step_ms))), expected, "{script}");
}

#[test]
fn a_turn_with_a_pause() {
    let script = "10x10 20x900 6x10 10x900 20x10";
    check(&settings(), 16, script, "192: start 160, 496: pause 480, 592: resume 576, 752: pause 736, 928: end 736");
}

#[test]
fn steps_of_32_ms_end_a_turn_as_near_to_the_silence_asked_for_as_they_can() {
    check(&settings(), 32, "5x10 10x900 20x10", "192: start 160, 512: pause 480, 672: end 480");
    let longer = TurnSettings { silence_duration_ms: 500, ..settings() };
    check(&longer, 32, "5x10 10x900 20x10", "192: start 160, 512: pause 480, 992: end 480");
}

#[test]
fn speech_shorter_than_the_minimum_starts_nothing() {
    let longer = TurnSettings { min_speech_ms: 64, ..settings() };
    check(&longer, 16, "10x10 3x900 20x10", "");
    check(&longer, 16, "10x10 4x900 20x10", "224: start 160, 240: pause 224, 416: end 224");
}

#[test]
fn a_short_doubt_does_not_undo_a_start_and_silence_does() {
    let longer = TurnSettings { min_speech_ms: 64, ..settings() };
    check(&longer, 16, "10x10 3x900 2x400 900 30x10", "256: start 160, 272: pause 256, 448: end 256");
    check(&longer, 16, "10x10 3x900 3x400 900 30x10", "");
    check(&longer, 16, "10x10 3x900 340 900 30x10", "");
}

#[test]
fn doubt_between_the_thresholds_keeps_a_turn_but_starts_none() {
    check(&settings(), 16, "40x400", "");
    check(&settings(), 16, "2x900 40x400", "32: start 0");
    check(&settings(), 16, "2x900 4x100 4x400 20x100", "32: start 0, 48: pause 32, 224: end 32");
}

#[test]
fn the_end_lies_where_the_sound_ended_and_silence_counts_from_there() {
    // The network goes on for 112 ms.
    let script = "20x10/-60 20x900/-20 7x900/-60 20x10/-60";
    check(&settings(), 16, script, "352: start 320, 768: pause 640, 832: end 640");
    // On a line where nothing stands out, it is believed.
    check(&settings(), 16, "20x10 20x900 7x900 20x10", "352: start 320, 768: pause 752, 944: end 752");
}

#[test]
fn silence_that_has_passed_before_the_network_notices_ends_at_once() {
    let short = TurnSettings { silence_duration_ms: 50, ..settings() };
    check(&short, 16, "20x10/-60 20x900/-20 7x900/-60 20x10/-60", "352: start 320, 768: end 640");
    check(&short, 32, "20x10/-60 20x900/-20 20x10/-60", "672: start 640, 1312: pause 1280, 1344: end 1280");
}

#[test]
fn the_lag_is_believed_for_so_long_only() {
    // Nothing that stands out for half a second, and still like speech: the caller has gone far from the phone.
    let far = "20x10/-60 20x900/-20 31x900/-60 20x10/-60";
    check(&settings(), 16, far, "352: start 320, 1152: end 896");
    // Mere doubt is no speech by then, or a hum would hold the turn for ever.
    let hum = "20x10/-60 20x900/-20 60x400/-60";
    check(&settings(), 16, hum, "352: start 320, 912: end 656");
}

#[test]
fn a_last_consonant_unlike_speech_belongs_to_the_word_and_noise_after_it_does_not() {
    check(&settings(), 16, "20x10/-60 20x900/-20 4x100/-40 30x10/-60", "352: start 320, 720: pause 704, 896: end 704");
    let noise = "20x10/-60 20x900/-20 40x100/-40";
    check(&settings(), 16, noise, "352: start 320, 752: pause 736, 928: end 736");
}

#[test]
fn a_start_lies_where_the_sound_began() {
    // A soft consonant before the network is sure.
    check(&settings(), 16, "20x10/-60 4x300/-40 4x900/-20", "416: start 320");
    // What went on before for long is something else.
    check(&settings(), 16, "20x10/-60 30x300/-40 4x900/-20", "832: start 640");
}

#[test]
fn a_turn_begins_no_earlier_than_the_one_before_ended() {
    let short = TurnSettings { silence_duration_ms: 50, ..settings() };
    let script = "20x10/-60 20x900/-20 7x900/-60 2x900/-20";
    check(&short, 16, script, "352: start 320");
    let script = "20x10/-60 20x900/-20 6x100/-20 10x10/-60 4x300/-30 4x900/-20";
    check(&short, 16, script, "352: start 320, 752: pause 736, 784: end 736, 992: start 896");
}

#[test]
fn what_follows_a_louder_bang_softly_is_held_back() {
    // 240 ms of noise, then 240 ms like speech that fades: a cough.
    let cough = "20x10/-60 15x20/-22 15x950/-32 20x10/-60";
    check(&settings(), 16, cough, "");
    // As long, but the voice is as loud: somebody speaks with noise before it.
    check(&settings(), 16, "20x10/-60 15x20/-22 15x950/-24", "592: start 400");
    // It lasts: a caller who coughs and speaks at once.
    check(&settings(), 16, "20x10/-60 15x20/-22 40x950/-32", "896: start 400");
    // It grows loud: the same.
    check(&settings(), 16, "20x10/-60 15x20/-22 6x950/-32 5x950/-20", "672: start 400");
    // A consonant is shorter, and grows into its vowel.
    check(&settings(), 16, "20x10/-60 8x20/-22 15x950/-32", "480: start 320");
    check(&settings(), 16, "20x10/-60 15x20/-22 400/-25 15x950/-32", "608: start 416");
}

#[test]
fn no_turn_ends_while_the_probability_rises() {
    let rising = "10x900 10x10 60 110 160 210 900 20x10";
    check(&settings(), 16, rising, "32: start 0, 176: pause 160, 400: resume 384, 416: pause 400, 592: end 400");
    // It is waited for so long only.
    let for_ever = "10x900 10x10 60 110 160 210 260 310 350 380 410 440 470 499 5x499";
    check(&settings(), 16, for_ever, "32: start 0, 176: pause 160, 464: end 160");
}

#[test]
fn a_turn_may_last_so_long() {
    let shortest = TurnSettings { max_turn_s: 5, ..settings() };
    let speech = events(&shortest, 16, &steps("700x900", 16));
    assert_eq!(text(&speech), "32: start 0, 5008: max 5008");
    // The next turn begins after a silence.
    let after = events(&shortest, 16, &steps("400x900 11x10 20x900 13x10 20x900", 16));
    assert_eq!(text(&after).split(", ").nth(2), Some("7136: start 7104"));
    let pausing = TurnSettings { silence_duration_ms: 2_000, ..shortest };
    check(&pausing, 16, "250x900 80x10", "32: start 0, 4016: pause 4000, 5008: max 4000");
    let never = TurnSettings { max_turn_s: 0, ..settings() };
    check(&never, 16, "20000x900", "32: start 0");
}

/// What is decided by these steps, each `a` in `floor` being steps in which the agent has the floor: `COUNTa` or `COUNTs`.
fn beside_agent(settings: &TurnSettings, step_ms: u64, script: &str, floor: &str) -> String {
    let mut detector = detector(settings, step_ms);
    let agent = floor.split_whitespace().flat_map(|word| {
        let (count, who) = word.split_at(word.len() - 1);
        std::iter::repeat_n(who == "a", count.parse().unwrap())
    });
    let all = steps(script, step_ms);
    let decided = all.iter().zip(agent.chain(std::iter::repeat(false)));
    let found: Vec<_> = decided.filter_map(|(step, agent)| Some((step.end, detector.step(*step, agent)?))).collect();
    text(&found)
}

/// A caller of -20 dBFS, who is done after 1.6 s.
const CALLER: &str = "20x10/-60 30x900/-20 20x10/-60";
const CALLER_TEXT: &str = "672: start 640, 1632: pause 1600, 1792: end 1600";

#[track_caller]
fn check_over_agent(margin: u32, over_agent: &str, expected: &str) {
    let settings = TurnSettings { level_margin_db: margin, ..settings() };
    let all = beside_agent(&settings, 32, &format!("{CALLER} {over_agent}"), "60s 500a");
    let expected = [CALLER_TEXT, expected].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(", ");
    assert_eq!(all, expected, "{over_agent}");
}

#[test]
fn far_speech_stops_no_agent_and_near_speech_does_at_once() {
    check_over_agent(12, "200x900/-36", "");
    check_over_agent(0, "20x900/-36 20x10/-60", "2272: start 2240, 2912: pause 2880, 3072: end 2880");
    // The caller over the television, a little softer than before; what sounds just before may be the beginning.
    let over = "40x900/-36 20x900/-24 100x900/-36";
    check_over_agent(12, over, "3552: start 3360, 4448: pause 4416, 4608: end 4416");
    check_over_agent(12, "20x10/-60 20x900/-24 20x10/-60", "2912: start 2880, 3552: pause 3520, 3712: end 3520");
    // A step that only just reaches far enough is none, more are.
    check_over_agent(12, "900/-31 100x900/-36", "");
    check_over_agent(12, "3x900/-31 20x10/-60", "2304: start 2240, 2368: pause 2336, 2528: end 2336");
    // Where a far voice goes on, its louder syllables are no caller's, and the caller's are.
    check_over_agent(12, "20x900/-33 3x900/-29 20x900/-33 3x900/-29 20x900/-33", "");
    check_over_agent(12, "20x900/-33 3x900/-24 20x10/-60", "2912: start 2720, 3008: pause 2976, 3168: end 2976");
    // A bang lends its level to nobody.
    check_over_agent(12, "10x20/-5 100x900/-36", "");
}

#[test]
fn a_weak_syllable_over_the_agent_is_the_callers() {
    let weak = "10x900/-20 4x900/-36 10x900/-20 20x10/-60";
    check_over_agent(12, weak, "2272: start 2240, 3040: pause 3008, 3200: end 3008");
}

#[test]
fn who_is_far_is_heard_when_the_agent_is_silent() {
    let settings = TurnSettings { level_margin_db: 12, ..settings() };
    let far = format!("{CALLER} 30x900/-40 20x10/-60");
    let all = beside_agent(&settings, 32, &far, "200s");
    assert_eq!(all, format!("{CALLER_TEXT}, 2272: start 2240, 3232: pause 3200, 3392: end 3200"));
    // To the end, though an answer is asked for meanwhile.
    assert_eq!(beside_agent(&settings, 32, &far, "80s 300a"), all);
}

#[test]
fn whoever_has_moved_away_is_the_caller_after_three_turns() {
    let settings = TurnSettings { level_margin_db: 12, ..settings() };
    let turn = "30x900/-40 20x10/-60";
    let starts = |turns: usize| {
        let script = format!("{CALLER} {} {turn}", vec![turn; turns].join(" "));
        // The last over the agent.
        let all = beside_agent(&settings, 32, &script, &format!("{}s 50a", 70 + 50 * turns));
        all.matches("start").count()
    };
    assert_eq!([0, 1, 2, 3, 4].map(starts), [1, 2, 3, 5, 6]);
    // Not when the caller speaks in between.
    let script = format!("{CALLER} {turn} {turn} {CALLER} {turn} {turn}");
    let all = beside_agent(&settings, 32, &script, "290s 50a");
    assert_eq!(all.matches("start").count(), 5);
}

#[test]
fn the_first_voice_may_have_been_the_televisions() {
    let settings = TurnSettings { level_margin_db: 12, ..settings() };
    let script = format!("20x10/-60 30x900/-36 20x10/-60 {CALLER} 30x900/-36 20x10/-60");
    assert_eq!(beside_agent(&settings, 32, &script, "140s 200a").matches("start").count(), 2);
}

#[test]
fn a_faint_caller_is_as_near_as_any() {
    let settings = TurnSettings { level_margin_db: 12, ..settings() };
    let faint = "20x10/-70 30x900/-45 20x10/-70 30x900/-47 20x10/-70";
    let all = beside_agent(&settings, 32, faint, "60s 200a");
    assert_eq!(all.matches("start").count(), 2, "{all}");
}

#[test]
fn one_shout_does_not_make_the_caller_far() {
    let settings = TurnSettings { level_margin_db: 12, ..settings() };
    // Taken for a turn, 18 dB above the caller's.
    let script = format!("{CALLER} {CALLER} 20x10/-60 20x900/-2 20x10/-60 30x900/-22 20x10/-60");
    assert_eq!(beside_agent(&settings, 32, &script, "200s 200a").matches("start").count(), 4);
}

#[test]
fn what_nobody_answers_tells_nothing_of_the_caller() {
    // A shout over the agent, who was not stopped: the caller is as near as before.
    let script = format!("{CALLER} 30x900/-2 20x10/-60 30x900/-30 20x10/-60");
    let settings = TurnSettings { level_margin_db: 12, ..settings() };
    assert_eq!(beside_agent(&settings, 32, &script, "60s 200a").matches("start").count(), 3);
}

#[test]
fn digital_silence_teaches_nothing_of_the_background() {
    // Noise of -50 dBFS goes on for 200 ms after the speech, then the line is gated, or is not.
    for silence in ["-128", "-50"] {
        let script = format!(
            "20x10/{silence} 4x900/-20 3x900/-46 4x900/-20 3x900/-46 6x900/-20 4x900/-50 3x10/-50 20x10/{silence}"
        );
        let all = beside_agent(&settings(), 32, &format!("{script} {script}"), "");
        let ends: Vec<_> = all.split(", ").filter(|event| event.contains("end")).collect();
        assert_eq!(ends, ["1472: end 1280", "3616: end 3424"], "{silence}");
    }
}

#[test]
fn after_a_turn_of_full_length_a_louder_voice_starts_another_at_once() {
    let shortest = TurnSettings { max_turn_s: 5, ..settings() };
    // A radio that goes on for 10 s, and a caller 12 dB above it.
    let over = "20x10/-60 300x900/-40 20x900/-28 100x900/-40";
    let all = beside_agent(&shortest, 32, over, "1s");
    assert!(all.contains("5664: max 5664, 10272: start 10080"), "{all}");
    // As loud as the radio: not to be told from it.
    let same = "20x10/-60 400x900/-40";
    assert_eq!(beside_agent(&shortest, 32, same, ""), "672: start 640, 5664: max 5664");
    // The radio is answered: what comes after the answer is new.
    let answered = beside_agent(&shortest, 32, same, "178s 60a 200s");
    assert_eq!(answered, "672: start 640, 5664: max 5664, 7680: start 7488, 12672: max 12672");
    // Long silences at a turn's end do not make it deaf for as long.
    let patient = TurnSettings { silence_duration_ms: 2_000, ..shortest };
    let goes_on = beside_agent(&patient, 32, "20x10/-60 200x900/-40 20x10/-60 10x900/-40", "");
    assert!(goes_on.contains("7712: start 7680"), "{goes_on}");
}

#[test]
fn thresholds_at_their_ends() {
    let any = TurnSettings { threshold: 0.0, ..settings() };
    check(&any, 16, "100x0", "32: start 0");
    let sure = TurnSettings { threshold: 1.0, ..settings() };
    check(&sure, 16, "10x999 10x1000 10x900 20x800", "192: start 160, 496: pause 480, 672: end 480");
    let all_hysteresis = TurnSettings { threshold: 0.3, hysteresis: 0.5, ..settings() };
    check(&all_hysteresis, 16, "10x900 20x5", "32: start 0, 176: pause 160, 352: end 160");
    let at_once = TurnSettings { min_speech_ms: 0, ..settings() };
    check(&at_once, 16, "10x10 900 20x10", "176: start 160, 192: pause 176, 368: end 176");
}

#[test]
fn positions_that_jump_back_neither_end_a_turn_nor_keep_it() {
    let mut detector = detector(&settings(), 16);
    let mut ends = 0;
    for (n, mut step) in steps("40x10/-60 20x900/-20 20x10/-60", 16).into_iter().enumerate() {
        if n >= 45 {
            step.end = step.end.saturating_sub(Samples::from_ms(400, RATE_HZ));
        }
        match detector.step(step, false) {
            Some(TurnEvent::Started { at }) => assert_eq!(at.as_ms(RATE_HZ), 640),
            Some(TurnEvent::Paused { at }) => assert_eq!(at.as_ms(RATE_HZ), 560),
            Some(TurnEvent::Ended { at, .. }) => {
                assert_eq!((n, at.as_ms(RATE_HZ)), (71, 560), "200 ms after the last sound, whatever the position");
                ends += 1;
            }
            _ => {}
        }
    }
    assert_eq!(ends, 1);
    assert_eq!(detector.voiced().as_ms(RATE_HZ), 320);
}

#[test]
fn the_detector_is_small() {
    assert!(size_of::<TurnDetector>() <= 384, "{}", size_of::<TurnDetector>());
}

/// Probabilities that stay for a while, as real ones do, and levels that go with them or do not.
fn any_steps(step_ms: u64) -> impl Strategy<Value = Vec<Step>> {
    let stretch = (1usize..30, 0u16..=1_000, -90i8..=0, 0i8..12);
    proptest::collection::vec(stretch, 1..40).prop_map(move |stretches| {
        let mut steps = Vec::new();
        for (count, p, level, wave) in stretches {
            for n in 0..count {
                let end = Samples::from_ms((steps.len() as u64 + 1) * step_ms, RATE_HZ);
                let level_db = level.saturating_sub(if n % 3 == 0 { wave } else { 0 });
                steps.push(Step { end, probability: Probability::from_per_mille(p), level_db });
            }
        }
        steps
    })
}

fn any_settings() -> impl Strategy<Value = TurnSettings> {
    let margin = prop_oneof![Just(0u32), 6u32..=40];
    (0u8..=20, 0u8..=10, 50u32..=2_000, 0u32..=300, prop_oneof![Just(0u32), 5u32..=10], margin).prop_map(
        |(threshold, hysteresis, silence_duration_ms, min_speech_ms, max_turn_s, level_margin_db)| TurnSettings {
            threshold: f32::from(threshold) / 20.0,
            hysteresis: f32::from(hysteresis) / 20.0,
            silence_duration_ms,
            min_speech_ms,
            max_turn_s,
            level_margin_db,
            ..TurnSettings::default()
        },
    )
}

proptest! {
    #[test]
    fn events_alternate_and_lie_in_the_past_in_order(
        settings in any_settings(), step_ms in prop_oneof![Just(16u64), Just(32)], stretches in any_steps(16),
        floor in any::<u64>(),
    ) {
        let steps: Vec<Step> = stretches
            .iter()
            .enumerate()
            .map(|(n, step)| Step { end: Samples::from_ms((n as u64 + 1) * step_ms, RATE_HZ), ..*step })
            .collect();
        let (mut turn, mut pausing, mut started, mut last) = (false, false, 0, 0);
        // The agent comes and goes.
        let mut detector = detector(&settings, step_ms);
        let mut decide = |(n, step): (usize, &Step)| detector.step(*step, floor >> (n / 20 % 64) & 1 == 1);
        let all = steps.iter().enumerate().filter_map(|(n, step)| Some((step.end, decide((n, step))?)));
        for (decided, event) in all {
            let at = match event {
                TurnEvent::Started { at } => {
                    prop_assert!(!turn);
                    (turn, pausing, started) = (true, false, decided.0);
                    at
                }
                TurnEvent::Paused { at } => {
                    prop_assert!(turn && !pausing);
                    pausing = true;
                    at
                }
                TurnEvent::Resumed { at } => {
                    prop_assert!(turn && pausing);
                    pausing = false;
                    at
                }
                TurnEvent::Ended { at, rule } => {
                    prop_assert!(turn);
                    turn = false;
                    prop_assert_eq!(rule == EndRule::MaxTurn && settings.max_turn_s == 0, false);
                    if rule == EndRule::Silence {
                        let silence = Samples::from_ms(u64::from(settings.silence_duration_ms), RATE_HZ);
                        let least = silence.saturating_sub(Samples::from_ms(step_ms / 2, RATE_HZ));
                        prop_assert!(decided.0 >= at.0 + least.0, "{:?} decided at {:?}", event, decided);
                        prop_assert!(decided.0 > started);
                    }
                    at
                }
            };
            prop_assert!(at <= decided, "{:?} decided at {:?}", event, decided);
            prop_assert!(at.0 >= last, "{:?} after {}", event, last);
            last = at.0;
        }
    }

    /// Where levels tell nothing, surer steps never start a turn later.
    #[test]
    fn more_like_speech_starts_no_later(
        settings in any_settings(), steps in any_steps(16), more in 0u16..500, where_from in 0usize..200, length in 0usize..200,
    ) {
        let level = |step: &Step| Step { level_db: -30, ..*step };
        let base: Vec<Step> = steps.iter().map(level).collect();
        let mut surer = base.clone();
        for step in surer.iter_mut().skip(where_from).take(length) {
            step.probability = Probability::from_per_mille(step.probability.per_mille() + more);
        }
        let start = |steps: &[Step]| events(&settings, 16, steps).first().map(|first| first.0);
        if let Some(first) = start(&base) {
            prop_assert!(start(&surer).is_some_and(|surer| surer <= first));
        }
    }

    /// The margin matters to nobody but an agent who has the floor, and never makes one of two starts.
    #[test]
    fn a_margin_only_holds_back(
        settings in any_settings(), steps in any_steps(32), floor in proptest::collection::vec((1usize..60, any::<bool>()), 1..20),
    ) {
        let run = |margin: u32, agent: bool| {
            let mut detector = detector(&TurnSettings { level_margin_db: margin, ..settings.clone() }, 32);
            let floor = floor.iter().flat_map(|&(n, has)| std::iter::repeat_n(has && agent, n)).chain(std::iter::repeat(false));
            let first = steps.iter().zip(floor).filter_map(|(step, has)| Some((step.end, detector.step(*step, has)?)));
            let all: Vec<_> = first.collect();
            (all, detector.far())
        };
        let silent_agent = run(12, false);
        prop_assert_eq!(&silent_agent, &run(0, false));
        prop_assert_eq!(silent_agent.1, Samples::ZERO);
        let (without, none) = run(0, true);
        prop_assert_eq!(none, Samples::ZERO);
        let (with, far) = run(12, true);
        if far == Samples::ZERO {
            prop_assert_eq!(with, without);
        }
    }

    /// A longer silence ends no turn earlier.
    #[test]
    fn more_silence_ends_no_earlier(settings in any_settings(), steps in any_steps(16), more_ms in 0u32..1_000) {
        let longer =
            TurnSettings { silence_duration_ms: settings.silence_duration_ms + more_ms, ..settings.clone() };
        let end = |settings: &TurnSettings| {
            let all = events(settings, 16, &steps);
            all.iter().find(|(_, event)| matches!(event, TurnEvent::Ended { .. })).map_or(Samples(u64::MAX), |e| e.0)
        };
        prop_assert!(end(&longer) >= end(&settings));
    }
}
