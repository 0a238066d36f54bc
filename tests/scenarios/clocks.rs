//! Calls on lines whose clock runs apart from ours, in virtual time: where the two tracks of the recording lie beside each
//! other, what counts as heard, and what the report says.

use std::borrow::Cow;

use offhook::base::time::{CallTime, Samples};
use offhook::config::JournalKeep;
use offhook::engine::{
    Action, CallEngine, CallEvent, CallerCommand, CallerEvent, Control, EndReason, Input, ModelEvent, Record,
    ResponseStatus, Usage,
};
use offhook::lab::journal::Journal;
use offhook::lab::replay::Replay;
use offhook::lab::sim::{Means, Sim, scenario};

const START: CallTime = CallTime::from_ms(200);

/// What was seen of a call.
#[derive(Debug, Default)]
struct Seen {
    /// Of each answer, in ms: where the line's clock was when its first audio was sent, and where it is recorded.
    answers: Vec<(i64, i64)>,
    events: Vec<CallEvent>,
}

/// A call of so many seconds whose agent says `answer_ms` every `every_s`, on a line with this skew.
fn call(skew_ppm: i64, seconds: u64, every_s: u64, answer_ms: u64, keep: JournalKeep) -> (Sim, Seen) {
    let mut settings = scenario::settings();
    settings.limits.max_duration_s = 0;
    let means = Means { own_ears: false, lists: false, journal: keep };
    let mut sim = Sim::with(std::sync::Arc::new(settings), 40, means, |_, _, _| {});
    sim.line_clock(skew_ppm);
    let mut seen = Seen::default();
    let mut awaited: Option<i64> = None;
    let far_ms = |at: CallTime| (at.since(START).as_micros() as i64 * (1_000_000 + skew_ppm) / 1_000_000) / 1_000;
    let mut see = |seen: &mut Seen, fresh: &mut bool, at: CallTime, action: &Action<'_>| match action {
        Action::SendCaller(CallerCommand::Audio(_)) if std::mem::take(fresh) => awaited = Some(far_ms(at)),
        Action::Record(Record::Agent { at, .. }) => {
            if let Some(sent) = awaited.take() {
                seen.answers.push((sent, at.as_ms(8_000) as i64));
            }
        }
        Action::Emit(event) => seen.events.push(event.clone()),
        _ => {}
    };
    let mut fresh = false;
    sim.input(Input::Model(ModelEvent::Ready { session: "s".into(), turns: None }));
    sim.pass_to(START);
    sim.input(Input::Caller(CallerEvent::Started));
    sim.caller_audio(true);
    let mut next = CallTime::from_ms(2_000);
    let end = CallTime::from_ms(seconds * 1_000);
    while sim.now() < end {
        match sim.next_at().filter(|at| *at <= next.min(end)) {
            Some(_) => sim.step(|_, at, action| see(&mut seen, &mut fresh, at, action)),
            None => {
                sim.pass_to(next.min(end));
                if sim.now() < next {
                    break;
                }
                fresh = true;
                let number = next.as_ms();
                let name = |what: &str| Cow::Owned(format!("{what}{number}"));
                let audio = vec![0x55; answer_ms as usize * 8];
                let usage = Usage::default();
                for event in [
                    ModelEvent::ResponseStarted { response: name("r") },
                    ModelEvent::Audio { response: name("r"), item: name("i"), payload: &audio },
                    ModelEvent::ResponseDone {
                        response: name("r"),
                        status: ResponseStatus::Completed,
                        detail: None,
                        usage,
                        fatal: false,
                        retry_after_ms: None,
                    },
                ] {
                    sim.input_seen(Input::Model(event), |_, at, action| see(&mut seen, &mut fresh, at, action));
                }
                next = next.plus_ms(every_s * 1_000);
            }
        }
    }
    (sim, seen)
}

/// The most that the tracks lie apart otherwise than where the call began, in ms.
fn shift_ms(answers: &[(i64, i64)]) -> i64 {
    let off: Vec<i64> = answers.iter().map(|(sent, recorded)| recorded - sent).collect();
    off.iter().map(|one| (one - off[0]).abs()).max().unwrap()
}

#[test]
fn tracks_stay_together_for_ten_minutes_at_half_a_percent() {
    for skew_ppm in [-20_000, -5_000, -1_000, 0, 1_000, 5_000, 20_000] {
        let (sim, seen) = call(skew_ppm, 600, 10, 3_000, JournalKeep::Off);
        let most = if skew_ppm.abs() > 5_000 { 50 } else { 20 };
        assert!(seen.answers.len() > 58 && shift_ms(&seen.answers) <= most, "{skew_ppm}: {:?}", seen.answers);
        assert!(shift_ms(&seen.answers[1..]) <= 20, "{skew_ppm}: {:?}", seen.answers);
        let report = sim.engine().report();
        assert!(report.line_clock_ppm.is_some_and(|ppm| (ppm - skew_ppm).abs() <= 20), "{:?}", report.line_clock_ppm);
        let line_ms = 599_800 * (1_000_000 + skew_ppm) / 1_000_000;
        assert!((report.media_ms.unwrap() as i64 - line_ms).abs() <= 20, "{skew_ppm}: {:?}", report.media_ms);
        assert!(report.gaps.is_empty() && report.interruptions.is_empty(), "{:?}", report.gaps);
        assert_eq!(report.counters.get("underruns"), None, "{skew_ppm}");
        assert!(!seen.events.iter().any(|event| matches!(event, CallEvent::MediaClockReset { .. })));
        // What was heard of each answer is all of it.
        assert!(report.lines.iter().take(58).all(|line| line.heard_ms == 3_000));
    }
}

#[test]
fn tracks_stay_together_for_eight_hours_at_fifty_ppm() {
    for skew_ppm in [-50, 50] {
        let (sim, seen) = call(skew_ppm, 8 * 3_600, 60, 2_000, JournalKeep::Off);
        assert!(seen.answers.len() > 470 && shift_ms(&seen.answers) <= 20, "{skew_ppm}: {}", shift_ms(&seen.answers));
        assert_eq!(sim.engine().report().line_clock_ppm, Some(skew_ppm));
    }
}

/// An agent who speaks for an hour without a pause.
#[test]
fn a_line_that_plays_faster_or_slower_neither_runs_dry_nor_piles_up() {
    for (skew_ppm, of_both) in [(-5_000, true), (5_000, true), (-5_000, false), (5_000, false), (100, false)] {
        let mut settings = scenario::settings();
        settings.limits.max_duration_s = 0;
        let means = Means { own_ears: false, lists: false, journal: JournalKeep::Off };
        let mut sim = Sim::with(std::sync::Arc::new(settings), 40, means, |_, _, _| {});
        if of_both {
            sim.line_clock(skew_ppm);
        } else {
            // It plays by another clock than it stamps the caller's audio by.
            sim.line().set_clock(skew_ppm);
        }
        sim.input(Input::Model(ModelEvent::Ready { session: "s".into(), turns: None }));
        sim.pass_to(START);
        sim.input(Input::Caller(CallerEvent::Started));
        sim.caller_audio(true);
        sim.input(Input::Model(ModelEvent::ResponseStarted { response: "r".into() }));
        let audio = vec![0x55; 80_000];
        let (mut given_ms, mut most_ms, mut least_ms) = (0, 0, u64::MAX);
        for second in 1..3_600u64 {
            // The model is some seconds ahead.
            while given_ms < second * 1_000 + 20_000 {
                let event = ModelEvent::Audio { response: "r".into(), item: "i".into(), payload: &audio };
                sim.input(Input::Model(event));
                given_ms += 10_000;
            }
            sim.run_until(CallTime::from_ms(second * 1_000));
            let now = sim.now();
            let waits = Samples(sim.seen.sent).saturating_sub(sim.line_now().played(now)).as_ms(8_000);
            if second > 5 {
                (most_ms, least_ms) = (most_ms.max(waits), least_ms.min(waits));
            }
        }
        let counters = sim.engine().report().counters;
        assert_eq!(counters.get("underruns"), None, "{skew_ppm} {of_both}: {counters:?}");
        assert!(most_ms <= 320 && least_ms >= 40, "{skew_ppm} {of_both}: {least_ms} to {most_ms} ms wait at the line");
    }
}

#[test]
fn a_clock_of_any_epoch_loses_nothing() {
    for first in [0, 90_000, 4_294_967_000, 1_790_000_000_000] {
        let mut sim = Sim::new(scenario::settings(), 30);
        sim.input(Input::Model(ModelEvent::Ready { session: "s".into(), turns: None }));
        sim.pass_to(START);
        sim.input(Input::Caller(CallerEvent::Started));
        sim.first_stamp(first);
        sim.caller_audio(true);
        sim.run_until(CallTime::from_ms(3_000));
        // And begins anew, twice.
        for (at_ms, stamp) in [(3_000, 0), (3_500, first / 2)] {
            sim.caller_audio(false);
            sim.run_until(CallTime::from_ms(at_ms));
            sim.first_stamp(stamp);
            sim.caller_audio(true);
            sim.run_until(CallTime::from_ms(at_ms + 500));
        }
        let report = sim.engine().report();
        assert_eq!(report.counters.get("caller_late_ms"), None, "{first}");
        assert_eq!(report.counters.get("caller_gap_ms"), None, "{first}: {:?}", report.gaps);
        assert_eq!(sim.seen.appended, report.counters["caller_frames"] * 160, "{first}");
    }
}

#[test]
fn a_call_on_a_skewed_line_replays_from_its_journal() {
    let (mut sim, _) = call(5_000, 60, 10, 3_000, JournalKeep::Decisions);
    sim.input(Input::Caller(CallerEvent::HungUp));
    assert_eq!(sim.seen.end, Some(EndReason::CallerHungUp));
    let report = sim.engine().report();
    let journal = Journal::parse(&sim.journal.take().unwrap().take()).unwrap();
    let replay = Replay::new(&journal);
    assert!(replay.difference.is_none(), "{:?}", replay.difference);
    assert_eq!(replay.report.lines, report.lines);
    assert_eq!(replay.report.media_ms, report.media_ms);
}

/// The connection stalls around the stream's beginning, and again after a break; messages are lost now and then.
#[test]
fn a_beginning_that_comes_late_with_what_was_said_since_leaves_the_stamps_believed() {
    let mut settings = scenario::settings();
    settings.limits.line_back_s = 4;
    let mut engine = CallEngine::new(std::sync::Arc::new(settings));
    let mut handle = |at_ms: u64, input: Input<'_>| {
        engine.handle(CallTime::from_ms(at_ms), input);
        while engine.poll_action().is_some() {}
        engine.report()
    };
    handle(100, Input::Model(ModelEvent::Ready { session: "s".into(), turns: None }));
    let late_ms = 2_400;
    for start_ms in [3_000, 26_000] {
        handle(start_ms, Input::Caller(CallerEvent::Started));
        for n in 0..1_000 {
            let (at_ms, end_ms) = (n * 20, start_ms - late_ms + (n + 1) * 20);
            if n % 100 < 97 {
                handle(end_ms.max(start_ms), Input::Caller(CallerEvent::Audio { at_ms, payload: &[0xFF; 160] }));
            }
        }
        let over_ms = start_ms - late_ms + 20_000;
        let report = handle(over_ms, Input::Tick);
        assert_eq!(report.counters.get("line_stamps_ignored"), None, "{start_ms}");
        if start_ms == 3_000 {
            assert!(
                report.media_start_at_ms.is_some_and(|ms| ms.abs_diff(600) <= 20),
                "{:?}",
                report.media_start_at_ms
            );
            assert!(report.media_ms.is_some_and(|ms| ms.abs_diff(20_000) <= 20), "{:?}", report.media_ms);
        }
        handle(over_ms + 100, Input::Caller(CallerEvent::Lost));
        handle(over_ms + 200, Input::Control(Control::LineReturns));
    }
}
