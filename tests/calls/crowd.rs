//! More callers than there is room for.

use std::time::Duration;

use offhook::stage::phone::{CallOptions, EndedBy, Outcome, Step, What};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::house::{TOKEN, place};
use crate::street::{Number, ROOM, Street, empty, room, sound_named};

#[tokio::test]
async fn of_a_hundred_callers_at_a_cap_of_fifty_half_are_answered_and_half_are_told_so() {
    let number = Number {
        name: "popular",
        agent: "greeting = { play = \"GREETING\" }\n",
        deployment: "[keep]\nrecording = false\njournal = \"off\"\n",
        ..Number::default()
    };
    let street = Street::build_in(room(ROOM).await, "max_calls = 50\n", None, vec![number]).await;
    let (events, mut happens) = mpsc::channel(1_024);
    let sid = |n: u32| format!("CA{n:032}");
    let caller = |n| CallOptions {
        call_sid: Some(sid(n)),
        events: Some(events.clone()),
        ..street.caller("popular", vec![Step::WaitEnd { max_ms: 40_000 }])
    };
    let mut crowd = JoinSet::new();
    (0..100).for_each(|n| drop(crowd.spawn(place(caller(n)))));
    // Nobody leaves before everybody was answered or told off.
    let (mut greeted, mut told) = (0, 0);
    let all = async {
        while (greeted, told) != (50, 50) {
            match happens.recv().await.expect("more to happen").what {
                What::AgentSilent => greeted += 1,
                What::CarrierSays(_) => told += 1,
                _ => {}
            }
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(30), all).await;
    assert!(done.is_ok(), "{greeted} were greeted and {told} told that there is no room");
    assert_eq!(street.house.metric("offhook_calls{phase=\"talking\"}"), 50);
    for n in 0..100 {
        street.house.post("/twilio/call-status", &[("CallSid", &sid(n)), ("CallStatus", "completed")], TOKEN).await;
    }
    let calls = crowd.join_all().await;
    let (answered, refused): (Vec<_>, Vec<_>) = calls.iter().partition(|call| call.outcome == Outcome::Connected);
    assert_eq!((answered.len(), refused.len()), (50, 50));
    let greeting = sound_named("greeting");
    for call in answered {
        assert_eq!((call.ended_by, call.violations.len()), (EndedBy::Server { code: Some(1000) }, 0));
        let [span] = call.heard[..] else { panic!("{:?}", call.heard) };
        assert_eq!(span.to_ms() - span.from_ms(), 400, "each hears all of it");
        assert!(call.audio[span.from.0 as usize..span.to.0 as usize] == greeting, "to the byte");
    }
    for call in refused {
        let Outcome::Refused { said } = &call.outcome else { panic!("{:?}", call.outcome) };
        assert!(said.starts_with("All of our lines are busy") && call.heard.is_empty(), "{said}");
    }
    assert_eq!(street.house.metric("offhook_calls_refused_total{reason=\"full\"}"), 50);
    for n in 0..50 {
        assert_eq!(street.house.report(n).await.0.end.kind(), "caller_hung_up");
    }
    empty(&street.house).await;
    assert_eq!(street.house.ring(&sid(100), &crate::street::number(0), TOKEN).await.1.matches("<Stream").count(), 1);
}
