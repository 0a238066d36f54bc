//! What is to be done once.

use sea_orm::ColumnTrait as _;

use super::*;

on_both! {
    a_job_is_done_once_after_its_call_and_by_whoever_comes_to_it,
    a_job_that_fails_waits_longer_each_time_and_is_given_up_with_its_reason,
    pictures_are_put_in_with_a_calls_end_and_are_whoevers_that_has_its_folder,
    what_was_claimed_without_our_hearing_of_it_is_claimed_again_and_what_we_have_is_not,
    chores_are_jobs_that_come_again_and_are_begun_anew_at_each_start,
}

async fn a_job_is_done_once_after_its_call_and_by_whoever_comes_to_it(place: Place) {
    let store = place.store().await;
    store.admit(wish("a")).await.unwrap();
    let job = |key: &str| NewJob { kind: "k".into(), key: key.into(), payload: "{}".into(), ..NewJob::default() };
    let of_call = NewJob { call: Some("a".into()), priority: 5, revision: Some("r1".into()), ..job("call") };
    assert!(store.add_job(of_call.clone()).await.unwrap() && store.add_job(job("plain")).await.unwrap());
    assert!(store.add_job(NewJob { delay: Duration::from_secs(60), ..job("later") }).await.unwrap());
    assert!(!store.add_job(of_call.clone()).await.unwrap(), "it is there");
    let keys = async |limit| {
        let jobs = store.claim_jobs("k", limit).await.unwrap();
        jobs.into_iter().map(|job| (job.key, job.seq)).collect::<Vec<_>>()
    };
    let plain = keys(9).await;
    assert_eq!(plain.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["plain"], "the call goes on");
    store.end_call(ended(report("a", EndReason::CallerHungUp)));
    store.flush().await;
    let mut begun = keys(9).await;
    assert_eq!((begun.len(), begun[0].0.as_str()), (1, "call"));
    store.snooze_job(begun[0].1, "later", Duration::from_millis(1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    begun = keys(9).await;
    assert_eq!(begun.len(), 1, "put off, and due again");
    store.job_done(begun[0].1).await.unwrap();
    store.job_dead(plain[0].1, "no use").await.unwrap();
    assert!(!store.add_job(of_call).await.unwrap(), "it was done");
    assert_eq!(keys(9).await, []);
    assert_eq!(store.waiting_jobs("k").await.unwrap(), 1);
    // One that ends whoever begins it is given up at last.
    store.add_job(job("deadly")).await.unwrap();
    for _ in 0..5 {
        assert_eq!(keys(9).await.len(), 1);
        place.sql("UPDATE jobs SET owner = 'srv_gone' WHERE owner IS NOT NULL").await;
    }
    assert_eq!(keys(9).await, []);
    let dead = entity::jobs::Column::Key.eq("deadly");
    let dead = sea_orm::QueryFilter::filter(entity::jobs::Entity::find(), dead).one(store.db()).await.unwrap().unwrap();
    assert!(dead.last_error.unwrap().contains("5 times"));
    store.stop().await;
}

async fn a_job_that_fails_waits_longer_each_time_and_is_given_up_with_its_reason(place: Place) {
    let store = place.store().await;
    let new = NewJob { kind: "k".into(), key: "1".into(), payload: "{}".into(), ..NewJob::default() };
    store.add_job(new).await.unwrap();
    let mut pauses = Vec::new();
    loop {
        let claimed = store.claim_jobs("k", 9).await.unwrap();
        assert_eq!(claimed.len(), 1);
        let clock = sql::clock_ms(store.db()).await.unwrap();
        let again = store.job_failed(&claimed[0], "no room").await.unwrap();
        let kept = job(&store, "k", "1").await.unwrap();
        assert_eq!((kept.last_error.as_deref(), kept.owner), (Some("no room"), None));
        if !again {
            assert_eq!((kept.state, kept.payload.as_str()), (entity::jobs::State::Dead, ""));
            break;
        }
        pauses.push((kept.due_ms - clock + 500) / 1_000);
        assert!(store.claim_jobs("k", 9).await.unwrap().is_empty(), "it waits");
        place.sql("UPDATE jobs SET due_ms = 0 WHERE kind = 'k'").await;
    }
    assert_eq!(pauses, [10, 60, 360, 2_160]);
    assert!(store.claim_jobs("k", 9).await.unwrap().is_empty());
    store.stop().await;
}

async fn pictures_are_put_in_with_a_calls_end_and_are_whoevers_that_has_its_folder(place: Place) {
    let store = place.store().await;
    let drawn = |id: &str| EndedCall { pictures: true, ..ended(report(id, EndReason::CallerHungUp)) };
    store.begin_call(call("a"));
    store.end_call(drawn("a"));
    store.end_call(ended(report("b", EndReason::CallerHungUp)));
    let busy = EndReason::NotAnswered { how: NotAnswered::Busy, why: String::new() };
    store.end_call(EndedCall { pictures: true, ..ended(report("c", busy)) });
    store.flush().await;
    if place.url.is_some() {
        let other = place.beside().store().await;
        assert!(other.claim_jobs(PICTURES, 9).await.unwrap().is_empty(), "it has no such folder");
        assert_eq!(other.waiting_jobs(PICTURES).await.unwrap(), 0);
        other.stop().await;
    }
    let claimed = store.claim_jobs(PICTURES, 9).await.unwrap();
    let keys: Vec<_> = claimed.iter().map(|job| (job.key.as_str(), job.payload.as_str(), job.attempts)).collect();
    assert_eq!(keys, [("a", "{\"deployment\":null}", 0)]);
    kill(store).await;
    // Between its report and its row: what its deployment says is not known here.
    let unwritten = old_id(0, "0c");
    place.keep(&Report { duration_ms: 0, ..report(&unwritten, EndReason::CallerHungUp) });
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let store = place.store().await;
    until_row(&store, &unwritten, Some(CallState::Ended)).await;
    let mut claimed = store.claim_jobs(PICTURES, 9).await.unwrap();
    claimed.sort_by_key(|job| job.seq);
    let keys: Vec<_> = claimed.iter().map(|job| (job.key.as_str(), job.payload.as_str(), job.attempts)).collect();
    assert_eq!(keys, [("a", "{\"deployment\":null}", 1), (unwritten.as_str(), "{\"deployment\":\"desk\"}", 0)]);
    for job in claimed {
        store.job_done(job.seq).await.unwrap();
    }
    // An end that is handed over once more draws nothing once more.
    store.end_call(drawn("a"));
    store.flush().await;
    assert!(store.claim_jobs(PICTURES, 9).await.unwrap().is_empty());
    store.stop().await;
}

async fn what_was_claimed_without_our_hearing_of_it_is_claimed_again_and_what_we_have_is_not(place: Place) {
    let store = place.store().await;
    let new = |key: &str| NewJob { kind: "k".into(), key: key.into(), ..NewJob::default() };
    store.add_job(new("1")).await.unwrap();
    store.begin_call(call("a"));
    store.flush().await;
    assert_eq!((store.claim_jobs("k", 9).await.unwrap().len(), store.claim(HOOK, 9).await.unwrap().len()), (1, 1));
    // Claims whose answers were lost.
    store.add_job(new("2")).await.unwrap();
    store.begin_call(call("b"));
    store.flush().await;
    for table in ["jobs", "outbox"] {
        place.sql(&format!("UPDATE {table} SET owner = '{}' WHERE owner IS NULL", store.server())).await;
    }
    let jobs = store.claim_jobs("k", 9).await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.key.as_str()).collect::<Vec<_>>(), ["2"]);
    let events = store.claim(HOOK, 9).await.unwrap();
    assert_eq!(events.iter().map(|event| event.call.as_str()).collect::<Vec<_>>(), ["b"]);
    assert!(store.claim_jobs("k", 9).await.unwrap().is_empty() && store.claim(HOOK, 9).await.unwrap().is_empty());
    store.stop().await;
}

async fn chores_are_jobs_that_come_again_and_are_begun_anew_at_each_start(place: Place) {
    let store = place.store().await;
    let home = store.core.me.home.clone();
    let chores = [("reconciliation", home.as_str()), ("retention", home.as_str()), ("retention", "rows")];
    for (kind, key) in chores {
        until_done(&store, kind, key).await;
    }
    let first = job(&store, "reconciliation", &home).await.unwrap();
    assert_eq!((first.attempts, first.last_error, first.home.as_deref()), (0, None, Some(home.as_str())));
    // Killed in the middle of one.
    kill(store).await;
    let begun = "UPDATE jobs SET owner = 'srv_gone', attempts = 9 WHERE kind = 'reconciliation'";
    place.sql(begun).await;
    let store = place.store().await;
    until_done(&store, "reconciliation", &home).await;
    let again = job(&store, "reconciliation", &home).await.unwrap();
    assert!(again.seq == first.seq && again.due_ms > first.due_ms && again.attempts == 0);
    store.stop().await;
}

#[tokio::test]
async fn of_servers_with_one_database_one_does_a_chore_and_another_once_that_is_gone() {
    let Some(place) = Place::postgres().await else { return };
    let store = place.store_with(0, Duration::from_secs(1)).await.unwrap();
    until_ready(&store).await;
    until_done(&store, "retention", "rows").await;
    // Another server, whose process stands still in the middle of it, and the chores of its directory.
    place
        .sql(
            "INSERT INTO servers VALUES ('srv_other', 'n', 'a', 'home_other', 0, 0, 5, 4000); \
             UPDATE jobs SET due_ms = 0, owner = 'srv_other', attempts = 1 WHERE key = 'rows'; \
             INSERT INTO jobs (kind, key, payload, priority, created_ms, due_ms, attempts, state, home) \
             SELECT 'retention', 'home_other', '', 0, created_ms, created_ms, 0, 'waiting', 'home_other' \
             FROM jobs WHERE key = 'rows'",
        )
        .await;
    let began = Instant::now();
    until_done(&store, "retention", "rows").await;
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}: the other had it", began.elapsed());
    let theirs = job(&store, "retention", "home_other").await.unwrap();
    assert_eq!((theirs.due_ms, theirs.owner), (theirs.created_ms, None), "what is in its directory is its own");
    // One that nobody has any more is not waited for without end.
    place.sql("UPDATE jobs SET due_ms = 0 WHERE key = 'home_other'").await;
    crate::store::jobs::forget(&store.core).await.unwrap();
    assert_eq!(job(&store, "retention", "home_other").await, None);
    assert!(job(&store, "retention", "rows").await.is_some());
    store.stop().await;
}
