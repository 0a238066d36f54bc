//! Members as callers: whose number it is, and how often somebody may guess at a PIN.

use super::*;
use crate::config::Role;
use crate::house::callers::Pin;
use crate::house::principal::Principal;

const ANN: &str = "ann@example.test";
const BOB: &str = "bob@example.test";
const ANNS: &str = "+15550107001";
const BOBS: &str = "+15550107002";

on_both! {
    acc_06_a_member_is_known_by_their_number_as_long_as_they_are_one,
    acc_06_however_many_guess_at_once_three_are_looked_at_and_nobody_else_waits,
    acc_06_what_is_refused_of_numbers_and_pins_changes_nothing,
}

async fn members(store: &Store) {
    for (email, role, number) in [(ANN, Role::Member, ANNS), (BOB, Role::Admin, BOBS)] {
        store.people().add_user(&Principal::Operator, email, role, None).await.unwrap();
        store.callers().add("terminal", email, number).await.unwrap();
        store.callers().set_pin("terminal", email, Secret::new("739104")).await.unwrap();
    }
}

async fn acc_06_a_member_is_known_by_their_number_as_long_as_they_are_one(place: Place) {
    let store = place.store().await;
    members(&store).await;
    let callers = store.callers();
    let known = callers.known(ANNS).await.unwrap().unwrap();
    assert_eq!((known.member.email.as_str(), known.member.role, known.pin), (ANN, Role::Member, Pin::Unasked));
    assert_eq!(callers.known("+15550107999").await.unwrap(), None);
    assert_eq!(callers.known("anonymous").await.unwrap(), None);
    // Another role counts from the next call on.
    store.people().set_role(&Principal::Operator, &known.id, Role::Builder).await.unwrap();
    assert_eq!(callers.known(ANNS).await.unwrap().unwrap().member.role, Role::Builder);
    let right = |digits: &'static str| callers.try_pin(&known.id, Secret::new(digits), 1);
    assert_eq!(right("739104").await.unwrap(), Pin::Right);
    assert_eq!(right("739105").await.unwrap(), Pin::Wrong(1));
    callers.drop_pin("terminal", &known.id).await.unwrap();
    assert_eq!(callers.known(ANNS).await.unwrap().unwrap().pin, Pin::Missing);
    assert_eq!(right("739104").await.unwrap(), Pin::Missing);
    let all = callers.list(None, 10).await.unwrap();
    let shown: Vec<_> = all.iter().map(|c| (c.email.as_str(), c.numbers.join(" "), c.has_pin)).collect();
    assert_eq!(shown, [(ANN, ANNS.to_owned(), false), (BOB, BOBS.to_owned(), true)]);
    assert_eq!(callers.list(Some(ANN), 10).await.unwrap().len(), 1);
    store.people().remove_user(&Principal::Operator, &known.id).await.unwrap();
    assert_eq!(callers.known(ANNS).await.unwrap(), None, "acc_05");
    // The number is free, and whoever comes back is nobody again.
    callers.add("terminal", BOB, ANNS).await.unwrap();
    store.people().add_user(&Principal::Operator, ANN, Role::Member, None).await.unwrap();
    assert_eq!(callers.known(ANNS).await.unwrap().unwrap().member.email, BOB);
    store.stop().await;
}

async fn acc_06_however_many_guess_at_once_three_are_looked_at_and_nobody_else_waits(place: Place) {
    let store = place.store().await;
    members(&store).await;
    let id = async |number| store.callers().known(number).await.unwrap().unwrap().id;
    let (ann, bob) = (id(ANNS).await, id(BOBS).await);
    let guesses = (0..12).map(|n| {
        let (callers, ann) = (store.callers(), ann.clone());
        tokio::spawn(async move { callers.try_pin(&ann, Secret::new(format!("4071{n:02}")), 1).await.unwrap() })
    });
    let mut looked_at = 0;
    for guess in guesses.collect::<Vec<_>>() {
        match guess.await.unwrap() {
            Pin::Wrong(1) => looked_at += 1,
            other => assert_eq!(other, Pin::Paused),
        }
    }
    assert!((1..=3).contains(&looked_at), "{looked_at}");
    while store.callers().try_pin(&ann, Secret::new("407199"), 1).await.unwrap() != Pin::Paused {
        looked_at += 1;
        assert!(looked_at <= 3, "{looked_at}");
    }
    assert_eq!(
        store.callers().try_pin(&ann, Secret::new("739104"), 1).await.unwrap(),
        Pin::Paused,
        "not even the right one"
    );
    assert_eq!(store.callers().known(ANNS).await.unwrap().unwrap().pin, Pin::Paused);
    assert_eq!(store.callers().try_pin(&bob, Secret::new("739104"), 1).await.unwrap(), Pin::Right);
    // A quarter of an hour later the right one gets in, and all is forgotten.
    let listed = store.callers().list(None, 1).await.unwrap().remove(0);
    let wait = listed.paused_until_ms.unwrap() - now_ms();
    assert!((800_000..=900_000).contains(&wait), "{wait}");
    place.sql("UPDATE caller_pins SET free_ms = free_ms - 900000").await;
    assert_eq!(store.callers().try_pin(&ann, Secret::new("739104"), 1).await.unwrap(), Pin::Right);
    for _ in 0..2 {
        assert_eq!(store.callers().try_pin(&ann, Secret::new("739105"), 2).await.unwrap(), Pin::Wrong(2));
    }
    // What has no PIN's shape is no guess.
    for keyed in ["", "12", "123456789", "abcdef"] {
        assert_eq!(store.callers().try_pin(&ann, Secret::new(keyed), 3).await.unwrap(), Pin::Wrong(3));
    }
    assert_eq!(store.callers().try_pin(&ann, Secret::new("739104"), 3).await.unwrap(), Pin::Right);
    store.stop().await;
}

async fn acc_06_what_is_refused_of_numbers_and_pins_changes_nothing(place: Place) {
    let store = place.store().await;
    members(&store).await;
    let callers = store.callers();
    let code = |done: Result<(), StoreError>| match done {
        Err(StoreError::Rule(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(callers.add("x", "eve@example.test", "+15550107003").await), "not_found");
    assert_eq!(code(callers.add("x", ANN, BOBS).await), "number_taken");
    assert_eq!(code(callers.add("x", ANN, "5550107003").await), "number_shape");
    callers.add("x", ANN, ANNS).await.unwrap();
    for n in 1..10 {
        callers.add("x", ANN, &format!("+155501071{n:02}")).await.unwrap();
    }
    assert_eq!(code(callers.add("x", ANN, "+15550107199").await), "number_limit");
    assert_eq!(code(callers.set_pin("x", ANN, Secret::new("1234")).await), "pin_easy");
    assert_eq!(code(callers.set_pin("x", ANN, Secret::new("0107001")).await), "pin_easy");
    assert_eq!(code(callers.set_pin("x", "eve@example.test", Secret::new("739104")).await), "not_found");
    assert_eq!(code(callers.remove("x", Some(ANN), BOBS).await), "not_found");
    assert_eq!(code(callers.remove("x", None, "+15550107999").await), "not_found");
    let known = callers.known(ANNS).await.unwrap().unwrap();
    assert_eq!(callers.try_pin(&known.id, Secret::new("739104"), 1).await.unwrap(), Pin::Right);
    callers.remove("x", Some(ANN), ANNS).await.unwrap();
    assert_eq!(callers.known(ANNS).await.unwrap(), None);
    store.stop().await;
}
