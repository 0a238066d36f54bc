//! Phone numbers: written down before they are bought, counted, claimed, and where they differ from the carrier's list.

use super::*;
use crate::config::Plan;

on_both! {
    num_06_a_purchase_is_written_down_first_and_counts_from_then_on,
    num_05_of_many_purchases_at_once_no_more_than_the_quota_is_let_through,
    num_06_a_purchase_of_a_killed_server_is_the_next_ones_to_look_up,
    num_14_what_is_entered_by_hand_has_no_quota_and_each_number_is_there_once,
    num_13_differences_are_replaced_and_keep_the_day_on_which_they_were_found,
}

fn new(number: &str) -> NewNumber {
    NewNumber { number: number.to_owned(), country: Some("US".to_owned()), ..NewNumber::default() }
}

impl Entered {
    fn row(self) -> NumberRow {
        match self {
            Entered::New(row) => row,
            other => panic!("{other:?}"),
        }
    }

    fn no(self) -> crate::house::Refusal {
        match self {
            Entered::No(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }
}

fn plan(numbers: u32) -> Plan {
    Plan { numbers: Some(numbers), ..Plan::default() }
}

fn change(state: NumberState) -> NumberChange {
    NumberChange { state: Some(state), ..NumberChange::default() }
}

async fn num_06_a_purchase_is_written_down_first_and_counts_from_then_on(place: Place) {
    let store = place.store().await;
    let row = store.reserve_number(new("+14155550100"), &plan(1)).await.unwrap().row();
    assert_eq!((row.state, row.origin), (NumberState::Buying, NumberOrigin::Bought));
    let tag = row.tag.clone().unwrap();
    assert!(tag.starts_with("oh:") && tag.len() == 19, "{tag}");
    assert_eq!(store.numbers_used().await.unwrap(), 1);
    let again = store.reserve_number(new("+14155550100"), &plan(9)).await.unwrap().no();
    assert_eq!(again.code, "number_known");
    let keyed = |number: &str| NewNumber { request: Some("key".to_owned()), ..new(number) };
    let first = store.reserve_number(keyed("+14155550109"), &plan(2)).await.unwrap().row();
    for number in ["+14155550109", "+14155550108"] {
        let same = store.reserve_number(keyed(number), &plan(2)).await.unwrap();
        assert_eq!(same, Entered::Same(first.clone()), "one request is one purchase");
    }
    assert!(store.remove_number(&first.id, &[NumberState::Buying]).await.unwrap());
    let full = store.reserve_number(new("+14155550101"), &plan(1)).await.unwrap().no();
    assert_eq!(full.message, "Phone number quota exhausted… (1 / 1) Contact support to increase your limit.");
    // It was not bought: the slot is free, and were it bought after all, it has the same name at the carrier.
    let failed = NumberChange { error: Some(Some("taken".to_owned())), ..change(NumberState::Failed) };
    assert!(store.change_number(&row.id, &[NumberState::Held], failed.clone()).await.unwrap().is_none());
    let failed = store.change_number(&row.id, &[NumberState::Buying], failed).await.unwrap().unwrap();
    assert_eq!((failed.state, failed.owner), (NumberState::Failed, None));
    assert_eq!((store.numbers_used().await.unwrap(), store.numbers().await.unwrap().len()), (0, 0));
    let again = store.reserve_number(new("+14155550100"), &plan(1)).await.unwrap().row();
    assert_eq!((again.id.as_str(), again.tag, again.error), (row.id.as_str(), Some(tag), None));
    let held = NumberChange { carrier_id: Some("PN1".to_owned()), bought_ms: Some(7), ..change(NumberState::Held) };
    let held = store.change_number(&row.id, &[NumberState::Buying], held).await.unwrap().unwrap();
    assert_eq!((held.carrier_id.as_deref(), held.bought_ms, held.owner.as_deref()), (Some("PN1"), Some(7), None));
    assert_eq!(store.number_called("+14155550100").await.unwrap().unwrap(), held);
    assert!(!store.remove_number(&held.id, &[NumberState::Releasing]).await.unwrap());
    assert!(store.remove_number(&held.id, &[NumberState::Held]).await.unwrap());
    assert_eq!(store.numbers_used().await.unwrap(), 0);
    store.stop().await;
}

async fn num_05_of_many_purchases_at_once_no_more_than_the_quota_is_let_through(place: Place) {
    let stores = match place.url {
        Some(_) => [place.store().await, place.beside().store().await],
        None => {
            let store = place.store().await;
            [store.clone(), store]
        }
    };
    let asked = (0..8).map(|n| {
        let store = stores[n % 2].clone();
        tokio::spawn(async move { store.reserve_number(new(&format!("+1415555010{n}")), &plan(3)).await.unwrap() })
    });
    let mut let_through = 0;
    for asked in asked.collect::<Vec<_>>() {
        match asked.await.unwrap() {
            Entered::New(_) => let_through += 1,
            other => assert_eq!(other.no().code, "number_quota"),
        }
    }
    assert_eq!((let_through, stores[0].numbers_used().await.unwrap()), (3, 3));
    for store in stores {
        store.stop().await;
    }
}

async fn num_06_a_purchase_of_a_killed_server_is_the_next_ones_to_look_up(place: Place) {
    let first = place.store().await;
    let row = first.reserve_number(new("+14155550100"), &plan(1)).await.unwrap().row();
    assert_eq!(first.claim_numbers(std::slice::from_ref(&row.id), 9).await.unwrap(), [], "it is being bought");
    kill(first).await;
    let next = place.store().await;
    let claimed = next.claim_numbers(&[], 9).await.unwrap();
    assert_eq!(claimed.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), [row.id.as_str()]);
    assert_eq!(next.claim_numbers(std::slice::from_ref(&row.id), 9).await.unwrap(), []);
    assert_eq!(next.claim_numbers(&[], 9).await.unwrap().len(), 1, "nobody here is at it");
    next.stop().await;
}

async fn num_14_what_is_entered_by_hand_has_no_quota_and_each_number_is_there_once(place: Place) {
    let store = place.store().await;
    let by_hand = store.add_number(new("+41445550100"), NumberOrigin::ByHand, &plan(0)).await.unwrap().row();
    assert_eq!((by_hand.state, by_hand.tag, store.numbers_used().await.unwrap()), (NumberState::Held, None, 0));
    let again = store.add_number(new("+41445550100"), NumberOrigin::ByHand, &plan(9)).await.unwrap().no();
    assert_eq!(again.code, "number_known");
    let over = store.add_number(new("+41445550101"), NumberOrigin::TakenOver, &plan(0)).await.unwrap().no();
    assert_eq!(over.code, "number_quota");
    store.add_number(new("+41445550101"), NumberOrigin::TakenOver, &plan(1)).await.unwrap().row();
    assert_eq!((store.numbers().await.unwrap().len(), store.numbers_used().await.unwrap()), (2, 1));
    let reach = NumberChange { calls_to: Some(Some("CH,DE".to_owned())), ..NumberChange::default() };
    let changed = store.change_number(&by_hand.id, &[NumberState::Held], reach).await.unwrap().unwrap();
    assert_eq!((changed.calls_to.as_deref(), changed.calls_from), (Some("CH,DE"), None));
    store.stop().await;
}

async fn num_13_differences_are_replaced_and_keep_the_day_on_which_they_were_found(place: Place) {
    let store = place.store().await;
    let found =
        |number: &str, kind| Found { number: number.to_owned(), kind, carrier_id: None, detail: "…".to_owned() };
    let sweep = store.differences("AC1").await.unwrap();
    assert_eq!(sweep, (Vec::new(), Sweep::default()));
    store.sweep_failed("AC1", "401").await.unwrap();
    let (_, sweep) = store.differences("AC1").await.unwrap();
    assert_eq!((sweep.at_ms, sweep.error.as_deref()), (None, Some("401")));
    let both = vec![found("+1", DifferenceKind::Unknown), found("+2", DifferenceKind::Elsewhere)];
    store.set_differences("AC1", both).await.unwrap();
    let (first, sweep) = store.differences("AC1").await.unwrap();
    assert_eq!((first.len(), sweep.at_ms.is_some(), sweep.error), (2, true, None));
    store.sweep_failed("AC1", "503").await.unwrap();
    let (kept, sweep) = store.differences("AC1").await.unwrap();
    assert_eq!(
        (kept.len(), sweep.at_ms.is_some(), sweep.error.as_deref()),
        (2, true, Some("503")),
        "what is known stays"
    );
    tokio::time::sleep(Duration::from_millis(2)).await;
    let other = vec![found("+2", DifferenceKind::Elsewhere), found("+1", DifferenceKind::Gone)];
    store.set_differences("AC1", other).await.unwrap();
    let (second, _) = store.differences("AC1").await.unwrap();
    assert_eq!(second[1], first[1], "seen since then");
    assert!(second[0].found_ms > first[0].found_ms, "another difference");
    store.difference_settled("+1").await.unwrap();
    assert_eq!(store.differences("AC1").await.unwrap().0.len(), 1);
    store.stop().await;
}
