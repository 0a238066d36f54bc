//! More callers than there is room for.

use offhook::phone::{CallOptions, EndedBy, Outcome, Step};
use tokio::task::JoinSet;

use crate::house::place;
use crate::street::{Number, Street, empty, sound_named};

#[tokio::test]
async fn of_a_hundred_callers_at_a_cap_of_fifty_half_are_answered_and_half_are_told_so() {
    let number = Number {
        name: "popular",
        agent: "greeting = { play = \"GREETING\" }\n",
        // Fifty calls on one thread may be late by more than the usual lead.
        deployment: "[playout]\nlead_ms = 1000\n[keep]\nrecording = false\njournal = \"off\"\n",
        ..Number::default()
    };
    let street = Street::build("max_calls = 50\n", None, vec![number]).await;
    let caller = || CallOptions { token: street.house.caller(vec![]).token, ..street.caller("popular", stay()) };
    let mut crowd = JoinSet::new();
    (0..100).for_each(|_| drop(crowd.spawn(place(caller()))));
    let calls = crowd.join_all().await;
    let (answered, refused): (Vec<_>, Vec<_>) = calls.iter().partition(|call| call.outcome == Outcome::Connected);
    assert_eq!((answered.len(), refused.len()), (50, 50));
    let greeting = sound_named("greeting");
    for call in answered {
        assert_eq!((call.ended_by, call.violations.len(), call.frames_dropped), (EndedBy::Caller, 0, 0));
        let [span] = call.heard[..] else { panic!("{:?}", call.heard) };
        assert_eq!(span.to_ms() - span.from_ms(), 400, "each hears all of it");
        assert!(call.audio[span.from.0 as usize..span.to.0 as usize] == greeting, "to the byte");
    }
    for call in refused {
        let Outcome::Refused { said } = &call.outcome else { panic!("{:?}", call.outcome) };
        assert!(said.starts_with("All of our lines are busy"), "{said}");
        assert!(call.heard.is_empty());
    }
    assert_eq!(street.house.metric("offhook_calls_refused_total{reason=\"full\"}"), 50);
    for n in 0..50 {
        assert_eq!(street.house.report(n).await.0.end.kind(), "caller_hung_up");
    }
    // All slots are free again, and no other call noticed: there was none that could.
    empty(&street.house).await;
    let again = place(caller()).await;
    assert_eq!((again.outcome, again.heard.len()), (Outcome::Connected, 1));
}

fn stay() -> Vec<Step> {
    vec![Step::Silence(2_500), Step::HangUp]
}
