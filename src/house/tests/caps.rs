use std::time::Duration;

use proptest::prelude::*;

use crate::config::Limits;
use crate::house::caps::*;

fn caps(agent: Option<u32>, plan: Option<u32>, server: u32) -> Caps {
    Caps { agent, plan, server, late: false }
}

#[test]
fn con_01_the_smallest_cap_wins_and_is_named() {
    for (agent, plan, server, running, all, expected) in [
        (Some(2), Some(10), 100, 1, 1, Ok(())),
        (Some(2), Some(10), 100, 2, 2, Err(Cap::Agent(2))),
        (Some(20), Some(10), 100, 10, 10, Err(Cap::Plan(10))),
        (None, Some(2), 100, 2, 2, Err(Cap::Plan(2))),
        (Some(2), Some(2), 100, 2, 2, Err(Cap::Agent(2))),
        (None, None, 100, 99, 99, Ok(())),
        (None, None, 100, 1, 100, Err(Cap::Server(100))),
        // Both are reached.
        (Some(5), Some(10), 3, 5, 9, Err(Cap::Server(3))),
        (Some(2), None, 3, 2, 3, Err(Cap::Agent(2))),
        // Only the larger one is reached.
        (Some(2), None, 3, 1, 3, Err(Cap::Server(3))),
        (Some(0), None, 3, 0, 0, Err(Cap::Agent(0))),
    ] {
        let counts = Counts { agent: running, server: all };
        assert_eq!(admit(&caps(agent, plan, server), &counts), expected, "{agent:?} {plan:?} {server} {counts:?}");
    }
}

#[test]
fn con_01_a_server_that_does_not_keep_up_takes_none() {
    let late = Caps { late: true, ..caps(None, None, 100) };
    assert_eq!(admit(&late, &Counts::default()), Err(Cap::Lag));
}

#[test]
fn con_01_an_agent_may_be_given_less_than_the_plan_and_not_more() {
    assert_eq!(over_plan(Some(1), Some(2)), None);
    assert_eq!(over_plan(Some(3), None), None);
    let flag = over_plan(Some(3), Some(2)).unwrap();
    assert_eq!(flag.message, "The plan allows 2 calls at once per agent; 3 has no effect.");
    assert_eq!(of_agent(Some(3), Some(2)), Some(Cap::Plan(2)));
    assert_eq!(of_agent(None, None), None);
}

#[test]
fn con_02_a_slot_is_freed_after_the_longest_possible_time() {
    let limits = |max_duration_s| Limits {
        max_duration_s,
        max_model_s: 0,
        warn_before_s: 30,
        farewell_s: 10,
        caller_silence_s: 120,
        caller_gone_s: 30,
        line_back_s: 4,
        model_silence_ms: 6_000,
        model_recovery_s: 15,
        transcript_wait_ms: 2_500,
        media_start_s: 30,
        early_audio_ms: 15_000,
    };
    // Ringing, the stream's beginning, the call, farewell, last words, and the end itself.
    for (max_duration_s, ring_s, longest_s) in [
        (600, 0, 30 + 600 + 10 + 3 + 60),
        (600, 45, 45 + 30 + 600 + 10 + 3 + 60),
        (86_400, 0, 30 + 86_400 + 10 + 3 + 60),
        (0, 0, 30 + 86_400 + 10 + 3 + 60),
    ] {
        assert_eq!(longest(&limits(max_duration_s), ring_s), Duration::from_secs(longest_s));
    }
}

#[test]
fn con_04_who_calls_in_is_refused_and_what_is_placed_waits() {
    assert_eq!(over(Way::In), Over::Refused);
    assert_eq!(over(Way::Placed), Over::Waits);
    for (cap, name) in [(Cap::Agent(1), "agent"), (Cap::Plan(1), "plan"), (Cap::Server(1), "server"), (Cap::Lag, "lag")]
    {
        let refusal = cap.refusal();
        assert_eq!((refusal.code, refusal.status, cap.name()), ("full", 503, name));
    }
}

proptest! {
    /// Admitting one after the other never takes more than any cap lets be, and takes as many as all of them let be.
    #[test]
    fn con_02_as_many_as_the_caps_let_be_and_no_more(
        agent in proptest::option::of(0_u32..6),
        plan in proptest::option::of(0_u32..6),
        server in 0_u32..6,
    ) {
        let caps = caps(agent, plan, server);
        let mut counts = Counts::default();
        for _ in 0..10 {
            if admit(&caps, &counts).is_ok() {
                counts = Counts { agent: counts.agent + 1, server: counts.server + 1 };
            }
        }
        let least = agent.into_iter().chain(plan).chain([server]).min().unwrap();
        prop_assert_eq!(counts.agent, least);
        prop_assert_eq!(admit(&caps, &counts).unwrap_err().number(), least);
    }
}
