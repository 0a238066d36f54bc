//! What keeps the caller's silence from counting, as far as no input brings it about by itself.

use super::*;
use crate::config::Idle;
use crate::sim::{Sim, scenario};

fn call() -> Sim {
    let lines = vec![IdleLine::Say("Are you there?".to_owned())];
    let idle = Some(Idle { after_ms: 3_000, lines, times: 1, end: true });
    let mut settings = CallSettings { idle, ..scenario::settings() };
    settings.limits.caller_silence_s = 20;
    let mut sim = Sim::new(settings, 30);
    sim.input(Input::Model(ModelEvent::Ready { session: "s".into() }));
    sim.input(Input::Caller(CallerEvent::Started));
    sim.caller_audio(true);
    sim
}

fn idle_at_ms(sim: &Sim) -> Vec<u64> {
    let events = sim.seen.events.iter();
    events.filter(|(_, event)| matches!(event, CallEvent::CallerIdle { .. })).map(|(at, _)| at.as_ms()).collect()
}

#[test]
fn a_caller_who_waits_for_a_tool_is_not_silent() {
    let mut sim = call();
    sim.run_until(CallTime::from_ms(2_000));
    sim.engine_mut().set_tools_running(true);
    sim.input(Input::Tick);
    // Longer than the hard limit, too.
    sim.run_until(CallTime::from_ms(30_000));
    assert_eq!((idle_at_ms(&sim), sim.engine().phase()), (vec![], "talking"));
    sim.engine_mut().set_tools_running(false);
    sim.input(Input::Tick);
    sim.run_until(CallTime::from_ms(33_500));
    assert_eq!(idle_at_ms(&sim), [33_000]);
}

#[test]
fn a_caller_who_was_asked_to_wait_is_left_alone() {
    let mut sim = call();
    sim.engine_mut().pause_idle(true);
    sim.input(Input::Tick);
    sim.run_until(CallTime::from_ms(9_000));
    sim.engine_mut().pause_idle(false);
    sim.input(Input::Tick);
    sim.run_until(CallTime::from_ms(12_500));
    assert_eq!(idle_at_ms(&sim), [12_000]);
}
