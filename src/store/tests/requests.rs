//! Requests that came with an idempotency key.

use super::*;

on_both! {
    api_05_a_key_is_one_requests_until_it_is_answered_or_comes_to_nothing,
    api_05_a_key_that_was_taken_without_anybody_hearing_of_it_is_taken_again,
}

async fn api_05_a_key_is_one_requests_until_it_is_answered_or_comes_to_nothing(place: Place) {
    let store = place.store().await;
    assert_eq!(store.take_key("a", "x").await.unwrap(), KeyTaken::New);
    assert_eq!(store.take_key("a", "x").await.unwrap(), KeyTaken::Running);
    assert_eq!(store.take_key("a", "y").await.unwrap(), KeyTaken::Other);
    store.answer_key("a", None).await.unwrap();
    assert_eq!(store.take_key("a", "y").await.unwrap(), KeyTaken::New, "it came to nothing");
    store.answer_key("a", Some("sealed".to_owned())).await.unwrap();
    assert_eq!(store.take_key("a", "y").await.unwrap(), KeyTaken::Answered("sealed".to_owned()));
    // What a process that is gone had begun is begun anew.
    assert_eq!(store.take_key("b", "x").await.unwrap(), KeyTaken::New);
    store.stop().await;
    let store = place.store().await;
    assert_eq!(store.take_key("b", "x").await.unwrap(), KeyTaken::New);
    assert_eq!(store.take_key("a", "y").await.unwrap(), KeyTaken::Answered("sealed".to_owned()));
    // A day later it is anybody's.
    place.sql(&format!("UPDATE requests SET created_ms = created_ms - {KEYS_KEPT_MS} - 1000")).await;
    assert_eq!(crate::store::requests::forget(&store.core).await.unwrap(), 2);
    store.stop().await;
}

async fn api_05_a_key_that_was_taken_without_anybody_hearing_of_it_is_taken_again(place: Place) {
    let store = place.store().await;
    let (clock, me) = (now_ms(), store.server());
    place.sql(&format!("INSERT INTO requests (id, hash, created_ms, owner) VALUES ('a', 'x', {clock}, '{me}')")).await;
    assert_eq!(store.take_key("a", "x").await.unwrap(), KeyTaken::New, "the database was slow to say that it is ours");
    assert_eq!(store.take_key("a", "x").await.unwrap(), KeyTaken::Running);
    store.stop().await;
}
