//! What is made up for from the folders.

use super::*;

on_both! {
    what_a_killed_server_left_is_ended_by_its_report_or_lost,
    calls_from_before_there_was_a_database_get_rows_and_are_nobodys_news,
}

async fn what_a_killed_server_left_is_ended_by_its_report_or_lost(place: Place) {
    let store = place.store().await;
    let (with, without, unwritten) = (old_id(0, "0a"), old_id(0, "0b"), old_id(0, "0c"));
    store.begin_call(call(&with));
    store.begin_call(call(&without));
    store.flush().await;
    store.stop().await;
    // Between the report and the row: once with a row that says that it runs, once without any.
    place.keep(&report(&with, EndReason::CallerHungUp));
    let mut late = report(&unwritten, EndReason::CallerHungUp);
    late.duration_ms = 0;
    place.keep(&late);
    fs::create_dir_all(place.folder(&without)).unwrap();
    // Past the second in which they began, so that they are another server's.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let store = place.store().await;
    until_row(&store, &with, Some(CallState::Ended)).await;
    until_row(&store, &without, Some(CallState::Lost)).await;
    until_row(&store, &unwritten, Some(CallState::Ended)).await;
    let all = told(&store).await;
    let of = |call: &str| all.iter().filter(|(c, _)| c == call).cloned().collect::<Vec<_>>();
    assert_eq!(of(&with), pairs(&with, &["call.started", "call.ended"]));
    assert_eq!(of(&without), pairs(&without, &["call.started", "call.failed"]));
    assert_eq!(of(&unwritten), pairs(&unwritten, &["call.started", "call.ended"]));
    let counters = Arc::clone(&store.core.counters);
    let counted = || (counters.repaired.load(Relaxed), counters.lost.load(Relaxed));
    for _ in 0..500 {
        if counted() == (2, 1) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(counted(), (2, 1));
    store.stop().await;
    // Another start finds nothing to do.
    let store = place.store().await;
    store.flush().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(told(&store).await, all);
    store.stop().await;
}

async fn calls_from_before_there_was_a_database_get_rows_and_are_nobodys_news(place: Place) {
    let (old, killed) = (old_id(9, "0a"), old_id(9, "0b"));
    let mut report = report(&old, EndReason::CallerHungUp);
    report.started = written(now_ms() - 9 * 86_400_000);
    place.keep(&report);
    fs::create_dir_all(place.folder(&killed)).unwrap();
    fs::create_dir_all(place.folder("not-a-call")).unwrap();
    let store = place.store().await;
    until_row(&store, &old, Some(CallState::Ended)).await;
    until_row(&store, &killed, Some(CallState::Lost)).await;
    assert_eq!(row(&store, &old).await.unwrap().started_ms, read(&report.started).unwrap());
    assert_eq!(told(&store).await, []);
    store.stop().await;
}
