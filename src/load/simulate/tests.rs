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
