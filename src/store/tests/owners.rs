//! Whose rows are whose, and what becomes of them when a server is gone.

use super::*;

on_both! {
    what_a_killed_server_had_is_free_for_the_next,
}

async fn what_a_killed_server_had_is_free_for_the_next(place: Place) {
    let store = place.store().await;
    store.admit(wish("a")).await.unwrap();
    let sent = store.claim(HOOK, 9).await.unwrap();
    store.add_job(NewJob { kind: "k".into(), key: "1".into(), ..NewJob::default() }).await.unwrap();
    assert_eq!(store.claim_jobs("k", 9).await.unwrap().len(), 1);
    store.insert_dial("key", "hash", "canceling").await.unwrap();
    kill(store).await;
    // The lock of the directory proves that it is gone: nobody waits for its lease.
    let store = place.store().await;
    until_row(&store, "a", Some(CallState::Lost)).await;
    until_free(&store).await;
    let again = store.claim(HOOK, 9).await.unwrap();
    assert_eq!(again.iter().map(|row| &row.id).collect::<Vec<_>>(), sent.iter().map(|row| &row.id).collect::<Vec<_>>());
    assert_eq!(store.claim(HOOK, 9).await.unwrap(), [], "its end waits for its start");
    store.delivered(&again[0], &Attempt::default()).await.unwrap();
    assert_eq!(store.claim(HOOK, 9).await.unwrap()[0].kind, "call.failed");
    let jobs = store.claim_jobs("k", 9).await.unwrap();
    assert_eq!((jobs.len(), jobs[0].attempts), (1, 1), "begun once before");
    assert_eq!(store.claim_dials("canceling", 9).await.unwrap().len(), 1);
    store.stop().await;
}

#[tokio::test]
async fn what_a_server_had_is_anothers_once_its_lease_is_over_and_not_before() {
    let Some(place) = Place::postgres().await else { return };
    let lease = Duration::from_secs(2);
    let first = place.store_with(0, lease).await.unwrap();
    until_ready(&first).await;
    let other = place.beside();
    let second = other.store_with(0, lease).await.unwrap();
    until_ready(&second).await;
    first.admit(wish("a")).await.unwrap();
    second.admit(wish("b")).await.unwrap();
    let sent = first.claim(HOOK, 1).await.unwrap();
    // For longer than its lease: it renews it.
    tokio::time::sleep(2 * lease).await;
    assert_eq!(row(&second, "a").await.unwrap().state, CallState::Running);
    kill(first).await;
    until_row(&second, "a", Some(CallState::Lost)).await;
    assert_eq!(row(&second, "b").await.unwrap().state, CallState::Running);
    assert_eq!(second.core.counters.lost.load(Relaxed), 1);
    let mut claimed = second.claim(HOOK, 9).await.unwrap();
    claimed.sort_by_key(|row| row.seq);
    assert_eq!((claimed[0].id.as_str(), claimed[0].call.as_str()), (sent[0].id.as_str(), sent[0].call.as_str()));
    let mut all = told(&second).await;
    all.sort();
    let mut expected = [pairs("a", &["call.started", "call.failed"]), pairs("b", &["call.started"])].concat();
    expected.sort();
    assert_eq!(all, expected, "told once");
    // It was away and not gone: its calls go on, and what their reports say counts.
    let third = place.store_with(0, lease).await.unwrap();
    until_ready(&third).await;
    third.end_call(ended(report("a", EndReason::CallerHungUp)));
    third.flush().await;
    assert_eq!(row(&third, "a").await.unwrap().end_kind.as_deref(), Some("caller_hung_up"));
    // One that stops lets go of all at once.
    third.admit(wish("c")).await.unwrap();
    third.stop().await;
    until_row(&second, "c", Some(CallState::Lost)).await;
    second.stop().await;
}
