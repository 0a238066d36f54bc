//! A short day, in which everything happens.

use super::*;

fn args(hours: f64, peak: u32, threads: u16) -> SimulateArgs {
    SimulateArgs { hours, peak, seed: 3, threads: Some(threads), only: None, json: None }
}

#[test]
fn in_a_short_day_everything_happens_and_every_promise_is_kept() {
    let outcome = simulate(&args(0.5, 120, 2), true);
    assert!(outcome.violations.is_empty(), "{}", outcome.text());
    for (fault, times) in &outcome.faults {
        assert!(*times > 0, "{fault} was never met:\n{}", outcome.text());
    }
    let kinds = [
        "agent_hung_up",
        "caller_gone",
        "caller_hung_up",
        "caller_silent",
        "duration_cap",
        "model_silent",
        "model_unavailable",
        "never_connected",
        "operator",
        "shutdown",
    ];
    for kind in kinds {
        assert!(outcome.ended.contains_key(kind), "no call ended by {kind}:\n{}", outcome.text());
    }
    assert_eq!(outcome.ended.len(), kinds.len(), "{:?}", outcome.ended);
    assert!(outcome.barge_ins > 50 && outcome.truncations > 20 && outcome.again > 5, "{}", outcome.text());
    assert!(outcome.heard_s > 1_000.0 && outcome.calls == outcome.ended.values().sum::<u64>());
}

#[test]
fn threads_decide_nothing() {
    let (one, three) = (simulate(&args(0.1, 60, 1), true), simulate(&args(0.1, 60, 3), true));
    let counts = |o: &Outcome| {
        (o.calls, o.inputs, o.actions, o.barge_ins, o.truncations, o.again, o.ended.clone(), o.faults.clone())
    };
    assert_eq!(counts(&one), counts(&three));
    assert!((one.calls_s, one.heard_s) == (three.calls_s, three.heard_s) && one.calls > 50);
}

#[test]
fn one_call_alone_shows_its_trace_and_goes_the_same_way_again() {
    let of = |only| SimulateArgs { only: Some(only), ..args(1.0, 1, 1) };
    for call in 1..40 {
        let (outcome, again) = (only(&of(call), call), only(&of(call), call));
        assert!(outcome.trace == again.trace && outcome.violations.is_empty(), "{}", outcome.text());
        assert!(outcome.trace.last().is_some_and(|line| line.contains(" End ")), "{}", outcome.text());
    }
}

#[test]
fn the_outcome_is_written_as_json_and_told_in_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outcome.json");
    let outcome = run(&SimulateArgs { only: Some(7), json: Some(path.clone()), ..args(1.0, 1, 1) }).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!((json["calls"].as_u64(), json["inputs"].as_u64()), (Some(1), Some(outcome.inputs)));
    assert!(
        outcome.is_sound() && outcome.text().ends_with("every promise was kept in 1 calls\n"),
        "{}",
        outcome.text()
    );
}

#[test]
fn a_broken_promise_names_the_call_and_how_to_see_it() {
    let mut tally = Tally::default();
    for call in 0..20 {
        tally.breaks(Violation { seed: 3, call, at_ms: 61_500, what: "it does not end".to_owned() });
    }
    let took = Took { stopped: true, ..Took::default() };
    let outcome = Outcome::new((3, 1.0, 1, 1), tally, Memory::new(0, Vec::new()), took);
    let text = outcome.text();
    assert!(!outcome.is_sound() && outcome.violations.len() == VIOLATIONS_MAX);
    assert!(text.contains("call 4 at 01:01.500: it does not end\n    again: --seed 3 --only 4\n"), "{text}");
}
