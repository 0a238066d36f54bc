//! Planted violations.

use super::*;
use crate::base::audio::AudioFormat;
use crate::engine::{EndReason, MarkId};
use crate::lab::sim::scenario;

/// The promise that a sequence of actions breaks, as it would be told.
fn broken(items: &[(u32, u64)], actions: &[Action<'_>]) -> String {
    let mut watch = Watch::new(&scenario::settings());
    for (number, bytes) in items {
        watch.receives(*number, *bytes, false);
    }
    let mut line = Line::new(AudioFormat::PHONE, 20);
    for (n, action) in actions.iter().enumerate() {
        let at = CallTime::from_ms(20 * n as u64);
        watch.action(&line, at, action);
        if let Action::SendCaller(command) = action {
            line.take(at, command);
        }
    }
    watch.broken.or(watch.doubt).map(|broken| broken.what).unwrap_or_default()
}

fn event(event: CallEvent) -> Action<'static> {
    Action::Emit(event)
}

fn stop() -> Action<'static> {
    event(CallEvent::BargeIn { rule: "on".to_owned(), heard_ms: 0, unheard_ms: 0 })
}

#[test]
fn planted_violations_are_caught() {
    let audio = [Watch::byte_of(1); 160];
    let say = || Action::SendCaller(CallerCommand::Audio(&audio));
    let mark = |generation| Action::SendCaller(CallerCommand::Mark(MarkId { generation, seq: 0 }));
    let clear = || Action::SendCaller(CallerCommand::Clear);
    let end = || Action::End(EndReason::CallerHungUp);
    let record = |at| Action::Record(Record::Agent { at: Samples(at), payload: &[0; 160] });
    let held = event(CallEvent::AgentHeld { rule: "on".to_owned(), heard_ms: 0, unheard_ms: 0 });
    let truncate = |item, audio_end_ms| Action::SendModel(ModelCommand::Truncate { item, audio_end_ms });
    let cases: [(&str, Vec<Action<'_>>); 10] = [
        ("", vec![say(), mark(0), clear(), stop(), end()]),
        ("after the end", vec![end(), end()]),
        ("after the end", vec![end(), say()]),
        ("after it was stopped", vec![say(), stop(), clear(), say()]),
        ("generation 0 after 1 clears", vec![say(), clear(), mark(0)]),
        ("while he is held", vec![say(), held, say()]),
        ("1120 samples are sent", vec![say(), say(), say(), say(), say(), say(), say()]),
        ("is recorded at 0", vec![record(0), record(0)]),
        ("of no item", vec![Action::SendCaller(CallerCommand::Audio(&[99; 160]))]),
        ("the line has played", vec![say(), stop(), truncate("item_1", 20), truncate("item_1", 900)]),
    ];
    for (expected, actions) in cases {
        let told = broken(&[(1, 1_000)], &actions);
        assert_eq!(told.is_empty(), expected.is_empty(), "{expected}: {told}");
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

#[test]
fn an_item_that_comes_after_a_stop_may_be_heard() {
    let (one, two) = ([Watch::byte_of(1); 160], [Watch::byte_of(2); 160]);
    let mut watch = Watch::new(&scenario::settings());
    let line = Line::new(AudioFormat::PHONE, 20);
    watch.receives(1, 160, false);
    watch.action(&line, CallTime::ZERO, &Action::SendCaller(CallerCommand::Audio(&one)));
    watch.action(&line, CallTime::ZERO, &stop());
    watch.receives(2, 160, false);
    watch.action(&line, CallTime::ZERO, &Action::SendCaller(CallerCommand::Audio(&two)));
    assert_eq!(watch.broken, None);
}
