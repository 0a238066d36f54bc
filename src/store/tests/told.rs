//! What calls tell: their rows and events, in order.

use super::*;

on_both! {
    a_call_is_kept_and_told_from_its_start_to_its_analysis,
    a_call_that_nobody_answered_is_told_to_have_ended_and_not_to_have_started,
    a_failed_call_is_told_as_such_and_nobody_is_told_what_he_did_not_ask_for,
    of_each_call_only_the_first_that_waits_is_due,
}

async fn a_call_is_kept_and_told_from_its_start_to_its_analysis(place: Place) {
    let store = place.store().await;
    let mut over = report("20260102T030405-aa", EndReason::CallerHungUp);
    over.cost_micros = 1_250;
    over.recording = Some(Recording { frames: 8_000, missing_from_ms: None, error: None });
    store.begin_call(call(&over.call));
    store.flush().await;
    let running = row(&store, &over.call).await.unwrap();
    assert_eq!(
        (running.state, running.ended_ms, running.from_number.as_deref()),
        (CallState::Running, None, Some("+15550100001"))
    );
    store.end_call(ended(over.clone()));
    store.end_call(ended(over.clone()));
    store.set_analysis(&over.call, json!({ "mood": "good" }));
    store.flush().await;
    let kept = row(&store, &over.call).await.unwrap();
    assert_eq!(
        (kept.state, kept.end_kind.as_deref(), kept.recording),
        (CallState::Ended, Some("caller_hung_up"), true)
    );
    assert_eq!((kept.duration_ms, kept.cost_micros), (Some(1_500), 1_250));
    assert_eq!(serde_json::from_str::<Report>(&kept.report.unwrap()).unwrap(), over);
    assert_eq!(kept.analysis.as_deref(), Some("{\"mood\":\"good\"}"));
    let all = ["call.started", "call.ended", "recording.ready", "analysis.ready"];
    assert_eq!(told(&store).await, pairs(&over.call, &all), "an end is told once, though it was handed over twice");
    let event: Value = serde_json::from_str(&outbox(&store).await[1].body).unwrap();
    assert_eq!(event["call"]["to"], "+15550100100");
    assert_eq!(
        (&event["data"]["end"]["kind"], &event["data"]["cost_micros"]),
        (&json!("caller_hung_up"), &json!(1_250))
    );
    assert_eq!(event["data"]["report"]["call"], over.call);
    store.stop().await;
}

async fn a_call_that_nobody_answered_is_told_to_have_ended_and_not_to_have_started(place: Place) {
    let store = place.store().await;
    for (id, how, kind) in [("a", NotAnswered::Busy, "call.ended"), ("b", NotAnswered::Failed, "call.failed")] {
        let over = report(id, EndReason::NotAnswered { how, why: String::new() });
        store.begin_call(NewCall { direction: Direction::Outbound, answered: false, ..call(id) });
        store.end_call(ended(over));
        store.flush().await;
        let kept = row(&store, id).await.unwrap();
        assert_eq!((kept.direction, kept.end_kind.as_deref()), (Direction::Outbound, Some("not_answered")));
        assert_eq!(
            told(&store).await.into_iter().filter(|(call, _)| call == id).collect::<Vec<_>>(),
            pairs(id, &[kind])
        );
    }
    store.stop().await;
}

async fn a_failed_call_is_told_as_such_and_nobody_is_told_what_he_did_not_ask_for(place: Place) {
    let store = place.store().await;
    for (call, end) in [
        ("a", EndReason::ModelSilent),
        ("b", EndReason::Internal { why: "x".to_owned() }),
        ("c", EndReason::DurationCap),
    ] {
        store.end_call(ended(report(call, end)));
    }
    store.flush().await;
    let over: Vec<_> = told(&store).await.into_iter().filter(|(_, kind)| kind != "call.started").collect();
    let expected = [("a", "call.failed"), ("b", "call.failed"), ("c", "call.ended")];
    assert_eq!(over, expected.map(|(call, kind)| (call.to_owned(), kind.to_owned())));
    let mut settings = store.core.settings.borrow().clone();
    let hook = Webhook { events: vec![EventType::AnalysisReady], ..(*settings.webhooks[0]).clone() };
    settings.webhooks = vec![Arc::new(hook)];
    store.set(settings);
    store.begin_call(call("d"));
    store.flush().await;
    assert!(told(&store).await.iter().all(|(call, _)| call != "d"));
    store.stop().await;
}

async fn of_each_call_only_the_first_that_waits_is_due(place: Place) {
    let store = place.store().await;
    for id in ["a", "b"] {
        store.begin_call(call(id));
        store.end_call(ended(report(id, EndReason::CallerHungUp)));
    }
    store.flush().await;
    let due = async |limit| {
        let rows = store.claim(HOOK, limit).await.unwrap();
        rows.into_iter().map(|row| (row.call, row.kind)).collect::<Vec<_>>()
    };
    assert!(store.next_due_ms(HOOK).await.unwrap().is_some_and(|ms| ms <= 0));
    assert_eq!(due(1).await, pairs("a", &["call.started"]));
    assert_eq!(due(9).await, pairs("b", &["call.started"]), "what is on its way still holds up its call");
    assert_eq!(store.next_due_ms(HOOK).await.unwrap(), None);
    let rows = outbox(&store).await;
    // One waits for its next attempt: its call waits with it, the other goes on.
    let of = |call: &str| rows.iter().find(|row| row.call == call).unwrap();
    store.failed(of("a"), &refused("500"), Some(60_000)).await.unwrap();
    assert!(store.next_due_ms(HOOK).await.unwrap().is_some_and(|ms| (50_000..=60_000).contains(&ms)));
    store.delivered(of("b"), &Attempt::default()).await.unwrap();
    assert_eq!(due(9).await, pairs("b", &["call.ended"]));
    // A clock that has jumped back since puts nothing off for ever.
    place.sql("UPDATE outbox SET next_at_ms = next_at_ms + 86400000 WHERE attempts > 0").await;
    assert_eq!(due(9).await, pairs("a", &["call.started"]));
    // One that was given up holds up nothing.
    let again = OutboxRow { attempts: 1, ..of("a").clone() };
    store.failed(&again, &refused("500"), None).await.unwrap();
    assert_eq!(due(9).await, pairs("a", &["call.ended"]));
    let desk = place.desk().await.unwrap();
    let dead = desk.dead(10).await.unwrap();
    assert_eq!((dead.len(), dead[0].attempts, dead[0].last_error.as_deref()), (1, 2, Some("500")));
    assert_eq!(desk.resend(Some("evt_other")).await.unwrap(), 0);
    assert_eq!(desk.resend(Some(&dead[0].id)).await.unwrap(), 1);
    assert_eq!(outbox(&store).await[0].attempts, 0);
    assert_eq!(store.give_up(HOOK, "gone").await.unwrap(), 3);
    assert_eq!(store.waiting().await.unwrap(), []);
    store.stop().await;
}
