//! What is deleted for its age.

use super::*;

async fn sweep(store: &Store) {
    crate::store::retention::folders(&store.core).await.unwrap();
    crate::store::retention::rows(&store.core).await.unwrap();
}

on_both! {
    what_is_old_goes_with_its_folder_and_what_was_begun_is_finished,
    no_word_or_number_of_a_call_outlives_it_in_an_event_that_waits_or_was_given_up,
    what_is_old_goes_in_turns_and_calls_are_let_in_in_between,
}

async fn what_is_old_goes_with_its_folder_and_what_was_begun_is_finished(place: Place) {
    let store = place.store().await;
    until_quiet(&store).await;
    let (old, young) = (old_id(40, "0a"), old_id(1, "0b"));
    for call in [&old, &young] {
        let mut over = report(call, EndReason::CallerHungUp);
        over.started = written(id::began(call).map(|(ms, _)| ms).unwrap());
        store.end_call(EndedCall { ended: time_of(id::began(call).map(|(ms, _)| ms).unwrap()), ..ended(over.clone()) });
        store.flush().await;
        place.keep(&over);
    }
    let long = old_id(50, "0c");
    store.begin_call(NewCall { started: time_of(id::began(&long).map(|(ms, _)| ms).unwrap()), ..call(&long) });
    store.flush().await;
    // Another call's deletion was interrupted between its two halves.
    let half = old_id(60, "0d");
    let mut over = report(&half, EndReason::CallerHungUp);
    over.started = written(id::began(&half).map(|(ms, _)| ms).unwrap());
    store.end_call(ended(over));
    store.flush().await;
    let aside = place.data().join("calls").join(format!(".deleted-{half}"));
    fs::create_dir_all(&aside).unwrap();
    let mut settings = store.core.settings.borrow().clone();
    settings.store.keep_days = 30;
    store.set(settings);
    sweep(&store).await;
    assert_eq!((row(&store, &old).await, row(&store, &half).await), (None, None));
    assert!(!place.folder(&old).exists() && !aside.exists());
    assert_eq!(row(&store, &young).await.unwrap().state, CallState::Ended);
    assert!(place.folder(&young).join("report.json").exists());
    assert_eq!(row(&store, &long).await.unwrap().state, CallState::Running, "a call that is up is never deleted");
    let kept = told(&store).await;
    assert!(kept.iter().all(|(call, _)| call != &old && call != &half), "nothing of them is left: {kept:?}");
    assert!(kept.contains(&(young.clone(), "call.ended".to_owned())), "what others have to tell stays: {kept:?}");
    assert_eq!(store.core.counters.deleted.load(Relaxed), 1);
    store.stop().await;
}

async fn no_word_or_number_of_a_call_outlives_it_in_an_event_that_waits_or_was_given_up(place: Place) {
    let store = place.store().await;
    until_quiet(&store).await;
    let (old, young) = (old_id(31, "0a"), old_id(1, "0b"));
    for call_id in [&old, &young] {
        let began = time_of(id::began(call_id).map(|(ms, _)| ms).unwrap());
        store.begin_call(NewCall { started: began, from: Some(format!("+1555{call_id}")), ..call(call_id) });
        let mut over = report(call_id, EndReason::AgentHungUp { why: format!("the words of {call_id}") });
        over.started = written(ms_of(began));
        store.end_call(EndedCall { ended: began, ..ended(over) });
        store.set_analysis(call_id, json!({ "found": format!("a matter of {call_id}") }));
    }
    // One of a call whose row is gone already, by an earlier version.
    let orphan = old_id(45, "0c");
    store.event(&orphan, EventType::CallTransferred, json!({ "end": { "to": format!("+1555{orphan}") } }));
    store.flush().await;
    let events = outbox(&store).await;
    let of = |call: &str| events.iter().filter(|event| event.call == call).collect::<Vec<_>>();
    assert_eq!((of(&old).len(), of(&orphan).len()), (3, 1));
    // Given up after the call's end, as the last of its events are.
    store.failed(of(&old)[2], &refused("HTTP 500"), None).await.unwrap();
    let aged = now_ms() - 45 * 86_400_000;
    store.insert_dial("k", "hash", "failed").await.unwrap();
    let error = format!("the number +1555{old} is not valid");
    store.note_dial("k", DialChange { error: Some(error), ..DialChange::default() }).await.unwrap();
    place.sql(&format!("UPDATE dials SET created_ms = {aged}")).await;
    place.sql(&format!("UPDATE outbox SET created_ms = {aged} WHERE call = '{orphan}'")).await;
    let mut settings = store.core.settings.borrow().clone();
    settings.store.keep_days = 30;
    store.set(settings);
    sweep(&store).await;
    let left = outbox(&store).await;
    assert!(left.iter().all(|event| event.call == young) && left.len() == 3, "{left:?}");
    assert_eq!(store.core.counters.events_deleted.load(Relaxed), 4);
    store.stop().await;
    for file in fs::read_dir(place.data()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let bytes = fs::read(&file).unwrap();
        for word in [&old, &orphan] {
            let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!found, "{} has {word}", file.display());
        }
    }
}

async fn what_is_old_goes_in_turns_and_calls_are_let_in_in_between(place: Place) {
    let store = place.store().await;
    until_quiet(&store).await;
    let many = |insert: &str| {
        format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) {insert} FROM n")
    };
    for insert in [
        "INSERT INTO deliveries (event, endpoint, type, call, at_ms, attempt, outcome, took_ms, answer, test) \
         SELECT 'e' || i, 'crm', 'call.ended', 'c' || i, 1, 1, 'delivered', 1, '', 1 = 0",
        "INSERT INTO bodies (event, seq, call, type, created_ms, bytes, body) \
         SELECT 'e' || i, i, 'c' || i, 'call.ended', 1, 1, 'x'",
        "INSERT INTO requests (id, hash, created_ms) SELECT 'r' || i, 'x', 1",
    ] {
        place.sql(&many(insert)).await;
    }
    let count = async || {
        use sea_orm::PaginatorTrait as _;
        let attempts = entity::deliveries::Entity::find().count(store.db()).await.unwrap();
        attempts + entity::bodies::Entity::find().count(store.db()).await.unwrap()
    };
    // Whoever lets calls in asks for the turn like this.
    let others = async {
        let mut left = vec![2_000];
        while left.last() != Some(&0) {
            let _turn = store.core.turn.lock().await;
            left.push(count().await);
        }
        left.dedup();
        left
    };
    let (gone, left) = tokio::join!(crate::store::deliveries::prune(&store.core), others);
    assert_eq!((gone.unwrap(), count().await), (2_000, 0));
    assert!(left.len() >= 10 && left.is_sorted_by(|a, b| a > b), "a few at a time: {left:?}");
    assert_eq!(crate::store::requests::forget(&store.core).await.unwrap(), 1_000);
    store.stop().await;
}

#[tokio::test]
async fn an_event_that_is_deleted_for_its_age_is_not_left_in_the_log_of_writes() {
    let place = Place::sqlite();
    let store = place.store().await;
    until_quiet(&store).await;
    let orphan = old_id(45, "0d");
    store.event(&orphan, EventType::CallTransferred, json!({ "end": { "to": format!("+1555{orphan}") } }));
    store.flush().await;
    let aged = now_ms() - 45 * 86_400_000;
    place.sql(&format!("UPDATE outbox SET created_ms = {aged}")).await;
    let mut settings = store.core.settings.borrow().clone();
    settings.store.keep_days = 30;
    store.set(settings);
    // No call is deleted with it.
    sweep(&store).await;
    assert!(outbox(&store).await.is_empty());
    for file in fs::read_dir(place.data()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let found = fs::read(&file).unwrap().windows(orphan.len()).any(|window| window == orphan.as_bytes());
        assert!(!found, "{} has it", file.display());
    }
    store.stop().await;
}
