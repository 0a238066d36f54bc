//! What is to be done once.

use sea_orm::ColumnTrait as _;

use super::*;

on_both! {
    a_job_is_done_once_after_its_call_and_by_whoever_comes_to_it,
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
