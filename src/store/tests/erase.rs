//! Who was erased is gone, everywhere, whatever came in between.

use std::collections::BTreeSet;

use super::*;
use crate::store::DeliveryFilter;
use crate::store::persons::erase::Erasure;

const THEIRS: &str = "+15550100001";
const OTHERS: &str = "+15550100002";
const OURS: &str = "+15550100100";

on_both! {
    sec_06_all_of_a_person_is_gone_and_nothing_of_others_is,
    sec_06_a_call_that_is_up_is_erased_when_it_is_over,
    sec_06_what_a_killed_server_had_begun_is_finished_by_the_next,
    sec_06_a_folder_that_turns_up_again_makes_no_row_and_goes,
    sec_06_a_command_erases_with_and_without_a_server,
}

#[tokio::test]
async fn sec_06_each_server_deletes_its_own_folders() {
    let Some(place) = Place::postgres().await else { return };
    let other = place.beside();
    let (here, there) = (place.store().await, other.store().await);
    over(&here, &place, "call_20261120T231455123-00000000000000aa", inbound(THEIRS)).await;
    over(&there, &other, "call_20261120T231455123-00000000000000bb", inbound(THEIRS)).await;
    let folder = other.folder("call_20261120T231455123-00000000000000bb");
    there.stop().await;
    let begun = here.erase(THEIRS, "user ann@example.test").await.unwrap();
    let left = until(&here, &begun, |now| now.calls_left == 0 && now.folders_left == 1).await;
    assert_eq!((left.receipt.calls, left.receipt.folders, left.receipt.done_ms), (2, 1, None));
    assert!(folder.exists(), "its server is away");
    let there = other.store().await;
    let done = until(&here, &begun, |now| now.receipt.done_ms.is_some()).await;
    assert_eq!((done.receipt.calls, done.receipt.folders), (2, 2));
    assert!(!folder.exists());
    here.stop().await;
    there.stop().await;
}

type Parties = (Direction, &'static str, &'static str);

fn inbound(from: &'static str) -> Parties {
    (Direction::Inbound, from, OURS)
}

/// A call that is over, with all that one leaves.
async fn over(store: &Store, place: &Place, id: &str, (direction, from, to): Parties) {
    let parties = NewCall { direction, from: Some(from.to_owned()), to: Some(to.to_owned()), ..call(id) };
    store.begin_call(parties);
    let mut report = report(id, EndReason::AgentHungUp { why: format!("words of {id}") });
    report.recording = Some(Recording { frames: 8_000, missing_from_ms: None, error: None });
    place.keep(&report);
    fs::write(place.folder(id).join("recording.wav"), "RIFF").unwrap();
    store.end_call(ended(report));
    store.set_analysis(id, json!({ "found": "a matter" }));
    store.flush().await;
    until_row(store, id, Some(CallState::Ended)).await;
    let job = NewJob { kind: "after".to_owned(), key: id.to_owned(), call: Some(id.to_owned()), ..NewJob::default() };
    store.add_job(NewJob { payload: format!("{{\"from\":\"{from}\"}}"), ..job }).await.unwrap();
}

/// The erasure, once it is so.
async fn until(store: &Store, begun: &Erasure, so: impl Fn(&Erasure) -> bool) -> Erasure {
    for _ in 0..1_500 {
        let now = store.erasure(&begun.receipt.id).await.unwrap().unwrap();
        if so(&now) {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not so after 15 s: {:?}", store.erasure(&begun.receipt.id).await);
}

async fn sec_06_all_of_a_person_is_gone_and_nothing_of_others_is(place: Place) {
    let store = place.store().await;
    let id = |n: u8| format!("call_20261120T231455123-00000000000000{n:02x}");
    let outbound = |to| (Direction::Outbound, OURS, to);
    over(&store, &place, &id(1), inbound(THEIRS)).await;
    over(&store, &place, &id(2), outbound(THEIRS)).await;
    over(&store, &place, &id(3), inbound(OTHERS)).await;
    over(&store, &place, &id(4), outbound(OTHERS)).await;
    store.insert_dial("key-2", "hash-2", "answered").await.unwrap();
    let said = |text: &str| Some(text.to_owned());
    let change = DialChange { call: Some(id(2)), carrier_call: said("CA2"), error: said("to +1555"), state: None };
    store.update_dial("key-2", change).await.unwrap();
    fs::create_dir_all(place.data().join("after")).unwrap();
    fs::write(place.data().join(format!("after/{}.json", id(1))), THEIRS).unwrap();

    for event in store.claim(HOOK, 9).await.unwrap() {
        store.failed(&event, &refused("500"), Some(60_000)).await.unwrap();
    }

    let found = store.found(THEIRS).await.unwrap();
    assert_eq!((found.calls, found.running, found.recordings, found.events), (2, 0, 2, 8));
    assert_eq!(store.found(OURS).await.unwrap().calls, 0, "our own number is nobody");
    assert!(store.found("anonymous").await.is_err() && store.erase("5550100", "x").await.is_err());
    assert_eq!(row(&store, &id(1)).await.unwrap().state, CallState::Ended, "to look changes nothing");

    let begun = store.erase(THEIRS, "user ann@example.test").await.unwrap();
    let done = until(&store, &begun, |now| now.receipt.done_ms.is_some()).await.receipt;
    assert_eq!((done.calls, done.recordings, done.folders, done.events), (2, 2, 2, 8));
    assert_eq!((done.jobs, done.dials, done.asked_by.as_str()), (2, 1, "user ann@example.test"));
    assert!(!done.subject.contains("5550100001"), "{}", done.subject);
    for n in [1, 2] {
        assert_eq!((row(&store, &id(n)).await, place.folder(&id(n)).exists()), (None, false));
    }
    for n in [3, 4] {
        assert!(row(&store, &id(n)).await.is_some() && place.folder(&id(n)).join("recording.wav").exists());
    }
    assert_eq!(told(&store).await.len(), 8, "others' events");
    let log = store.deliveries(&DeliveryFilter { limit: 9, ..DeliveryFilter::default() }).await.unwrap();
    let log = log.into_iter().map(|attempt| attempt.call).collect::<BTreeSet<_>>();
    assert_eq!((done.attempts, log), (2, BTreeSet::from([id(3), id(4)])), "others' attempts");
    assert_eq!(store.waiting_jobs("after").await.unwrap(), 2);
    let dial = store.dial("key-2").await.unwrap().unwrap();
    assert_eq!((dial.carrier_call, dial.error, dial.request_hash.as_str()), (None, None, ""), "it rings nobody again");
    assert!(!place.data().join(format!("after/{}.json", id(1))).exists());

    // Once more finds nothing, and says so of the same somebody.
    let again = store.erase(THEIRS, "terminal").await.unwrap();
    let again = until(&store, &again, |now| now.receipt.done_ms.is_some()).await.receipt;
    assert_eq!((again.calls, again.folders, &again.subject), (0, 0, &done.subject));
    let other = store.erase(OTHERS, "terminal").await.unwrap();
    let other = until(&store, &other, |now| now.receipt.done_ms.is_some()).await.receipt;
    assert!(other.calls == 2 && other.subject != done.subject);
    let all = store.erasures(None, 2).await.unwrap();
    assert_eq!(all.iter().map(|e| &e.receipt.id).collect::<Vec<_>>(), [&other.id, &again.id], "the newest first");
    let rest = store.erasures(Some(&again.id), 9).await.unwrap();
    assert_eq!(rest.iter().map(|e| &e.receipt).collect::<Vec<_>>(), [&done]);
    store.stop().await;
}

async fn sec_06_a_call_that_is_up_is_erased_when_it_is_over(place: Place) {
    let store = place.store().await;
    let id = |n: u8| format!("call_20261120T231455123-00000000000000{n:02x}");
    store.begin_call(call(&id(1)));
    // One rings at theirs.
    let rings =
        NewCall { direction: Direction::Outbound, answered: false, to: Some(THEIRS.to_owned()), ..call(&id(2)) };
    store.admit(Wish { call: rings.clone(), agent_max: None, limits: Limits::default() }).await.unwrap();
    until_row(&store, &id(1), Some(CallState::Running)).await;
    assert_eq!(store.found(THEIRS).await.unwrap().running, 2);
    let begun = store.erase(THEIRS, "terminal").await.unwrap();
    assert_eq!(begun.calls_left, 2);
    crate::store::persons::erase::tidy(&store.core).await.unwrap();
    assert_eq!(row(&store, &id(1)).await.unwrap().state, CallState::Running, "a call that is up is let be");
    // A later call with them is not meant.
    store.begin_call(call(&id(3)));
    for n in [1, 2, 3] {
        if n == 2 {
            store.begin_call(rings.clone());
        }
        let over = report(&id(n), EndReason::CallerHungUp);
        place.keep(&over);
        store.end_call(ended(over));
    }
    store.flush().await;
    let done = until(&store, &begun, |now| now.receipt.done_ms.is_some()).await.receipt;
    assert_eq!((done.calls, done.folders), (2, 2));
    assert_eq!((row(&store, &id(1)).await, row(&store, &id(2)).await), (None, None));
    assert!(row(&store, &id(3)).await.is_some() && place.folder(&id(3)).exists());
    store.stop().await;
}

async fn sec_06_what_a_killed_server_had_begun_is_finished_by_the_next(place: Place) {
    let store = place.store().await;
    let ids: Vec<_> = (0..4).map(|n| format!("call_20261120T231455123-00000000000000{n:02x}")).collect();
    for id in &ids {
        over(&store, &place, id, inbound(THEIRS)).await;
    }
    let home = crate::store::lock::home(place.data());
    store.stop().await;
    // As somebody leaves it who is killed after each step of one: listed, rows gone, folder aside, folder gone.
    place.sql("INSERT INTO erasures VALUES ('era_1', 'x', 'terminal', 1, NULL, 0, 0, 0, 0, 0, 0, 0)").await;
    for (at, id) in ids.iter().enumerate() {
        let state = if at == 0 { "listed" } else { "folder" };
        place.sql(&format!("INSERT INTO erased VALUES ('{id}', 'era_1', '{home}', '{state}')")).await;
        if at == 0 {
            continue;
        }
        place.sql(&format!("DELETE FROM calls WHERE id = '{id}'")).await;
        for table in ["outbox", "jobs"] {
            place.sql(&format!("DELETE FROM {table} WHERE call = '{id}'")).await;
        }
    }
    fs::rename(place.folder(&ids[2]), place.data().join(format!("calls/.deleted-{}", ids[2]))).unwrap();
    fs::remove_dir_all(place.folder(&ids[3])).unwrap();
    let next = place.store().await;
    let begun = next.erasure("era_1").await.unwrap().unwrap();
    let done = until(&next, &begun, |now| now.receipt.done_ms.is_some()).await.receipt;
    assert_eq!(done.calls, 1, "what was counted is not counted again");
    let left: Vec<_> = fs::read_dir(place.data().join("calls")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
    for id in &ids {
        assert_eq!(row(&next, id).await, None, "its folder made no row");
    }
    assert_eq!(told(&next).await, []);
    next.stop().await;
}

async fn sec_06_a_folder_that_turns_up_again_makes_no_row_and_goes(place: Place) {
    let store = place.store().await;
    let id = "call_20261120T231455123-00000000000000aa";
    over(&store, &place, id, inbound(THEIRS)).await;
    let begun = store.erase(THEIRS, "terminal").await.unwrap();
    until(&store, &begun, |now| now.receipt.done_ms.is_some()).await;
    // Out of a backup; and an event that somebody was in the middle of writing.
    place.keep(&report(id, EndReason::CallerHungUp));
    store.event(id, EventType::CallTransferred, json!({ "to": THEIRS }));
    store.flush().await;
    crate::store::reconcile::folders(&store.core).await.unwrap();
    for _ in 0..500 {
        if !place.folder(id).exists() && told(&store).await.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((place.folder(id).exists(), row(&store, id).await, told(&store).await), (false, None, Vec::new()));
    store.stop().await;
}

async fn sec_06_a_command_erases_with_and_without_a_server(place: Place) {
    let store = place.store().await;
    let id = |n: u8| format!("call_20261120T231455123-00000000000000{n:02x}");
    over(&store, &place, &id(1), inbound(THEIRS)).await;
    over(&store, &place, &id(2), inbound(OTHERS)).await;
    store.begin_call(call(&id(3)));
    until_row(&store, &id(3), Some(CallState::Running)).await;
    let desk = place.desk().await.unwrap();
    assert_eq!(desk.found(THEIRS).await.unwrap().calls, 2);
    let begun = desk.erase(place.data(), THEIRS, "terminal").await.unwrap();
    assert_eq!((begun.receipt.done_ms, begun.calls_left), (None, 1), "one is up");
    store.end_call(ended(report(&id(3), EndReason::CallerHungUp)));
    let done = until(&store, &begun, |now| now.receipt.done_ms.is_some()).await;
    assert_eq!((done.receipt.calls, done.receipt.asked_by.as_str()), (2, "terminal"));
    store.stop().await;
    let done = desk.erase(place.data(), OTHERS, "terminal").await.unwrap();
    assert!(done.receipt.done_ms.is_some() && done.receipt.calls == 1 && !place.folder(&id(2)).exists());
    assert_eq!(desk.erasures(10).await.unwrap().len(), 2);
}
