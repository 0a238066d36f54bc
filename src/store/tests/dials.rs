//! Placed calls: their keys and states.

use super::*;

on_both! {
    a_key_is_taken_once,
}

async fn a_key_is_taken_once(place: Place) {
    let store = place.store().await;
    let DialInserted::New(dial) = store.insert_dial("k", "hash", "asked").await.unwrap() else { panic!("it is new") };
    assert_eq!((dial.state.as_str(), dial.carrier_call), ("asked", None));
    let change =
        DialChange { state: Some("ringing".to_owned()), carrier_call: Some("CA1".to_owned()), ..DialChange::default() };
    assert!(store.update_dial("k", change).await.unwrap());
    let DialInserted::Known(dial) = store.insert_dial("k", "other", "asked").await.unwrap() else {
        panic!("it is taken")
    };
    assert_eq!((dial.request_hash.as_str(), dial.state.as_str()), ("hash", "ringing"));
    assert_eq!(store.dial_of_carrier_call("CA1").await.unwrap(), Some(dial));
    assert!(
        !store.update_dial("none", DialChange { state: Some("x".to_owned()), ..DialChange::default() }).await.unwrap()
    );
    assert_eq!(store.dial("none").await.unwrap(), None);
    store.stop().await;
}

#[tokio::test]
async fn a_request_and_its_call_in_lists_change_together_or_not_at_all() {
    let place = Place::sqlite();
    let store = place.store().await;
    let state = |name: &str| DialChange { state: Some(name.to_owned()), ..DialChange::default() };
    store.insert_dial("k", "hash", "queued").await.unwrap();
    // What comes second fails, as for a server that is killed before it.
    place.sql("CREATE TRIGGER no_new BEFORE INSERT ON listed BEGIN SELECT RAISE(ABORT, 'no'); END").await;
    let placed = NewCall { direction: Direction::Outbound, answered: false, ..call("a") };
    assert!(store.name_dial("k", &placed).await.is_err());
    assert_eq!(store.dial("k").await.unwrap().unwrap().call, None);
    place
        .sql("DROP TRIGGER no_new; CREATE TRIGGER no BEFORE UPDATE ON listed BEGIN SELECT RAISE(ABORT, 'no'); END")
        .await;
    store.name_dial("k", &placed).await.unwrap();
    assert!(store.update_dial("k", state("busy")).await.is_err());
    assert_eq!(
        store.dial("k").await.unwrap().unwrap().state,
        "queued",
        "else the list would say for ever that it rings"
    );
    place.sql("DROP TRIGGER no").await;
    store.update_dial("k", state("busy")).await.unwrap();
    assert_eq!(store.listed("a").await.unwrap().unwrap().status, "Busy");
    store.stop().await;
}

#[tokio::test]
async fn the_state_of_a_placed_call_is_written_once_it_can_and_the_newest_wins() {
    let place = Place::sqlite();
    let store = place.store().await;
    store.insert_dial("k", "hash", "queued").await.unwrap();
    let state = |name: &str| DialChange { state: Some(name.to_owned()), ..DialChange::default() };
    // Another program holds the database for longer than anybody waits for it.
    let other = place.connect().await;
    let txn = other.begin_with_options(sql::immediate()).await.unwrap();
    let ringing = DialChange { carrier_call: Some("CA1".to_owned()), ..state("ringing") };
    assert!(store.note_dial("k", ringing).await.is_err());
    assert!(store.note_dial("k", state("answered")).await.is_err());
    assert_eq!(store.dial("k").await.unwrap().unwrap().state, "queued");
    txn.commit().await.unwrap();
    for _ in 0..2_000 {
        if store.dial("k").await.unwrap().unwrap().state == "answered" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let dial = store.dial("k").await.unwrap().unwrap();
    assert_eq!((dial.state.as_str(), dial.carrier_call.as_deref()), ("answered", Some("CA1")));
    store.note_dial("k", state("completed")).await.unwrap();
    assert_eq!(store.dial("k").await.unwrap().unwrap().state, "completed");
    store.stop().await;
}
