//! A database that cannot be opened, is full, or is gone.

use super::*;

#[tokio::test]
async fn a_database_that_cannot_be_opened_costs_no_call_and_is_taken_up_once_it_can() {
    let place = Place::sqlite();
    fs::write(place.data().join(FILE), "this is no database, but long enough to be taken for one".repeat(20)).unwrap();
    let store = place.store().await;
    let began = Instant::now();
    store.begin_call(call("a"));
    for n in 0..QUEUE_JOBS {
        store.event("a", EventType::CallTransferred, json!({ "n": n }));
    }
    assert!(began.elapsed() < Duration::from_secs(1), "nobody waits for it");
    let counters = Arc::clone(&store.core.counters);
    assert_eq!(counters.dropped.load(Relaxed), 1, "what finds no room is dropped, and counted");
    assert!(matches!(
        store.spent_micros_since(&Spender::Deployment("desk".to_owned()), 0).await,
        Err(StoreError::Db(_))
    ));
    for _ in 0..500 {
        if counters.failed.load(Relaxed) > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(counters.failed.load(Relaxed) > 0, "what fails is counted");
    fs::remove_file(place.data().join(FILE)).unwrap();
    until_row(&store, "a", Some(CallState::Running)).await;
    store.stop().await;
}

/// A transaction that finds no room, in a connection of its own: the others know of no limit.
async fn fail_for_want_of_room(db: &DatabaseConnection) {
    let txn = db.begin_with_options(sql::immediate()).await.unwrap();
    txn.execute_unprepared("PRAGMA max_page_count = 1").await.unwrap();
    let full = txn.execute_unprepared(
        "INSERT INTO dials VALUES (hex(zeroblob(500000)), '', 9000000000000, '', NULL, NULL, NULL, NULL)",
    );
    let why = full.await.unwrap_err().to_string();
    assert!(why.contains("full"), "{why}");
}

#[tokio::test]
async fn a_connection_whose_transaction_found_the_disk_full_is_not_used_again() {
    let place = Place::sqlite();
    let store = place.store().await;
    store.begin_call(call("20261120T231455-1f00ca"));
    store.flush().await;
    for n in 0..2 * CONNECTIONS {
        fail_for_want_of_room(store.db()).await;
        let txn = store.db().begin_with_options(sql::immediate()).await.expect("a transaction");
        txn.execute_unprepared(&format!(
            "INSERT INTO dials VALUES ('{n}', '', 9000000000000, '', NULL, NULL, NULL, NULL)"
        ))
        .await
        .unwrap();
        txn.commit().await.expect("room for a row");
    }
    // Written, and not only by a transaction within one that is open for ever; and nobody is locked out.
    place
        .sql("BEGIN IMMEDIATE; INSERT INTO dials VALUES ('x', '', 9000000000000, '', NULL, NULL, NULL, NULL); COMMIT")
        .await;
    let db = place.connect().await;
    let row =
        db.query_one_raw(sea_orm::Statement::from_string(db.get_database_backend(), "SELECT count(*) FROM dials"));
    assert_eq!(row.await.unwrap().unwrap().try_get_by_index::<i64>(0).unwrap(), i64::from(2 * CONNECTIONS + 1));
    store.stop().await;
}

#[tokio::test]
async fn calls_are_kept_and_told_again_as_soon_as_there_is_room() {
    let place = Place::sqlite();
    let store = place.store().await;
    store.begin_call(call("20261120T231455-1f00ca"));
    store.flush().await;
    // Known to this connection alone: it never finds room again, as if it were stuck in what has failed.
    store.core.turn.lock().await.execute_unprepared("PRAGMA max_page_count = 1").await.unwrap();
    let long = EndReason::AgentHungUp { why: "at length ".repeat(20_000) };
    store.end_call(ended(report("20261120T231455-1f00ca", long)));
    store.begin_call(call("20261120T231500-2f00ca"));
    until_row(&store, "20261120T231455-1f00ca", Some(CallState::Ended)).await;
    until_row(&store, "20261120T231500-2f00ca", Some(CallState::Running)).await;
    assert!(store.core.counters.failed.load(Relaxed) > 0, "it had failed");
    let told = told(&store).await;
    assert_eq!(told.iter().filter(|(_, kind)| kind == "call.ended").count(), 1, "told, and once: {told:?}");
    assert_eq!(told.iter().filter(|(_, kind)| kind == "call.started").count(), 2);
    place.sql("BEGIN IMMEDIATE; ROLLBACK").await;
    store.stop().await;
}

#[tokio::test]
async fn on_a_full_disk_nobody_is_let_in_until_there_is_room() {
    let place = Place::sqlite();
    let store = place.store().await;
    // Known to this connection alone, which is not used again once it has failed.
    store.core.turn.lock().await.execute_unprepared("PRAGMA max_page_count = 1").await.unwrap();
    let long = NewCall { from: Some("5".repeat(200_000)), ..call("a") };
    assert!(matches!(store.admit(Wish { call: long, ..wish("a") }).await, Err(Denied::Store(_))));
    let why = store.ill().unwrap();
    assert!(why.contains("full"), "{why}");
    store.admit(wish("b")).await.unwrap();
    assert_eq!((store.ill(), row(&store, "a").await), (None, None));
    assert_eq!(told(&store).await, pairs("b", &["call.started"]));
    store.stop().await;
}

#[tokio::test]
async fn while_postgresql_is_gone_nobody_is_let_in_and_nothing_is_lost() {
    let Some(mut cluster) = tokio::task::spawn_blocking(Cluster::start).await.unwrap() else { return };
    let place = Place::at(cluster.url(&cluster.database(None)));
    cluster.stop();
    // Gone at the start: the server is there, and says why it lets nobody in.
    let store = place.store_with(0, Duration::from_secs(2)).await.unwrap();
    let refused = async |id: &str| {
        let began = Instant::now();
        assert!(matches!(store.admit(wish(id)).await, Err(Denied::Store(_))));
        assert!(began.elapsed() < 2 * admit::LONGEST, "{:?}", began.elapsed());
    };
    refused("a").await;
    assert!(store.ill().is_some());
    cluster.resume();
    until_ready(&store).await;
    store.admit(wish("b")).await.unwrap();
    // Gone in between.
    cluster.stop();
    refused("c").await;
    assert!(store.ill().is_some());
    let began = Instant::now();
    store.end_call(ended(report("b", EndReason::CallerHungUp)));
    store.set_analysis("b", json!({ "mood": "good" }));
    assert!(began.elapsed() < Duration::from_millis(100), "a call that is up waits for nothing");
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.resume();
    until_row(&store, "b", Some(CallState::Ended)).await;
    until_ready(&store).await;
    store.flush().await;
    assert_eq!(told(&store).await, pairs("b", &["call.started", "call.ended", "analysis.ready"]));
    assert_eq!((row(&store, "a").await, row(&store, "c").await), (None, None));
    store.admit(wish("d")).await.unwrap();
    assert!(store.core.counters.not_admitted.load(Relaxed) >= 2);
    store.stop().await;
}

#[tokio::test]
async fn while_postgresql_is_frozen_nobody_is_let_in_and_nothing_is_lost_when_it_goes_on() {
    let Some(cluster) = tokio::task::spawn_blocking(Cluster::start).await.unwrap() else { return };
    let place = Place::at(cluster.url(&cluster.database(None)));
    let store = place.store_with(0, Duration::from_secs(2)).await.unwrap();
    until_ready(&store).await;
    store.admit(wish("a")).await.unwrap();
    store.add_job(NewJob { kind: "k".into(), key: "1".into(), ..NewJob::default() }).await.unwrap();
    cluster.freeze();
    for id in ["b", "c", "d"] {
        let began = Instant::now();
        assert!(matches!(store.admit(wish(id)).await, Err(Denied::Store(_))));
        assert!(began.elapsed() < 2 * admit::LONGEST, "{:?}", began.elapsed());
    }
    assert!(store.ill().is_some());
    let began = Instant::now();
    store.end_call(ended(report("a", EndReason::CallerHungUp)));
    store.set_analysis("a", json!({ "mood": "good" }));
    assert!(began.elapsed() < Duration::from_millis(100), "a call that is up waits for nothing");
    // What is claimed meanwhile may be written later, and nobody has heard of it. All waits are longer than a lease, and than
    // what a statement may take.
    for _ in 0..2 {
        assert!(store.claim_jobs("k", 9).await.is_err() && store.claim(HOOK, 9).await.is_err());
    }
    assert!(store.note_dial("key", DialChange { state: Some("x".to_owned()), ..DialChange::default() }).await.is_err());
    cluster.thaw();
    for _ in 0..3_000 {
        if row(&store, "a").await.is_some_and(|row| row.state == CallState::Ended && row.analysis.is_some()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    until_ready(&store).await;
    store.flush().await;
    assert_eq!(told(&store).await, pairs("a", &["call.started", "call.ended", "analysis.ready"]));
    for id in ["b", "c", "d"] {
        assert_eq!(row(&store, id).await, None, "{id} was refused");
    }
    until_free(&store).await;
    assert_eq!(store.claim_jobs("k", 9).await.unwrap().len(), 1);
    assert_eq!(store.claim(HOOK, 9).await.unwrap().len(), 1);
    store.admit(wish("e")).await.unwrap();
    assert_eq!(store.core.counters.lapsed.load(Relaxed), 0);
    // A server that is to end does not wait for it.
    cluster.freeze();
    assert!(store.note_dial("key", DialChange { state: Some("y".to_owned()), ..DialChange::default() }).await.is_err());
    tokio::time::timeout(Duration::from_secs(50), store.stop()).await.unwrap();
    cluster.thaw();
}
