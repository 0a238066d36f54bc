//! Calls that are listed, added up and remembered.

use super::*;

on_both! {
    costs_are_summed_by_deployment_and_by_the_persons_number,
    calls_are_listed_by_what_is_asked_and_found_by_a_part_of_their_id,
    carrier_calls_of_former_servers_are_known_however_they_came_to_their_end,
}

async fn costs_are_summed_by_deployment_and_by_the_persons_number(place: Place) {
    let store = place.store().await;
    let add = |id: &str, direction, from: &str, to: &str, cost_micros| {
        let (from, to) = (Some(from.to_owned()), Some(to.to_owned()));
        store.begin_call(NewCall { direction, from, to, ..call(id) });
        store.end_call(ended(Report { cost_micros, ..report(id, EndReason::CallerHungUp) }));
    };
    add("a", Direction::Inbound, "+15550100001", "+15550100100", 5);
    add("b", Direction::Outbound, "+15550100100", "+15550100001", 7);
    add("c", Direction::Inbound, "+15550100002", "+15550100100", 11);
    store.flush().await;
    let spent = async |of: Spender, since| store.spent_micros_since(&of, since).await.unwrap();
    assert_eq!(spent(Spender::Deployment("desk".to_owned()), 0).await, 23);
    assert_eq!(spent(Spender::Number("+15550100001".to_owned()), 0).await, 12);
    assert_eq!(spent(Spender::Number("+15550100100".to_owned()), 0).await, 0, "our own number is nobody's");
    assert_eq!(spent(Spender::Deployment("desk".to_owned()), now_ms() + 1_000).await, 0);
    store.stop().await;
}

async fn calls_are_listed_by_what_is_asked_and_found_by_a_part_of_their_id(place: Place) {
    let store = place.store().await;
    for (id, end) in
        [("20260102T030405-aa01", EndReason::CallerHungUp), ("20260102T030406-aa02", EndReason::ModelSilent)]
    {
        store.begin_call(call(id));
        store.end_call(ended(report(id, end)));
    }
    store.begin_call(call("20260103T030405-bb01"));
    store.flush().await;
    let desk = place.desk().await.unwrap();
    let list = async |filter: CallFilter| {
        let limit = if filter.limit == 0 { 10 } else { filter.limit };
        let rows = desk.calls(&CallFilter { limit, ..filter }).await.unwrap();
        assert!(rows.iter().all(|row| row.report.is_none()), "reports are not listed");
        rows.into_iter().map(|row| row.id[16..].to_owned()).collect::<Vec<_>>()
    };
    let all = CallFilter::default();
    assert_eq!(list(CallFilter { limit: 1, ..all.clone() }).await, ["bb01"]);
    assert_eq!(list(CallFilter { end: Some("model_silent".to_owned()), ..all.clone() }).await, ["aa02"]);
    assert_eq!(list(CallFilter { state: Some(CallState::Running), ..all.clone() }).await, ["bb01"]);
    assert_eq!(list(CallFilter { number: Some("+15550100001".to_owned()), ..all.clone() }).await.len(), 3);
    assert_eq!(list(CallFilter { number: Some("+1".to_owned()), ..all.clone() }).await.len(), 0);
    assert_eq!(list(CallFilter { deployment: Some("desk".to_owned()), ..all.clone() }).await.len(), 3);
    assert_eq!(list(CallFilter { since_ms: Some(now_ms() + 1_000), ..all.clone() }).await.len(), 0);
    assert_eq!(list(CallFilter { until_ms: Some(now_ms() + 1_000), ..all }).await.len(), 3);
    for (part, found) in
        [("20260102T030405-aa01", 1), ("20260102", 2), ("aa02", 1), ("2026", 3), ("%", 0), ("", 0), ("zz", 0)]
    {
        assert_eq!(desk.find(part, 10).await.unwrap().len(), found, "{part}");
    }
    store.stop().await;
}

async fn carrier_calls_of_former_servers_are_known_however_they_came_to_their_end(place: Place) {
    let store = place.store().await;
    let ago = |s: u64| SystemTime::now() - Duration::from_secs(s);
    for (id, began) in [("over", ago(2)), ("up", ago(600)), ("young", ago(5))] {
        store.begin_call(NewCall { started: began, ..call(id) });
    }
    store.end_call(ended(report("over", EndReason::CallerHungUp)));
    store.flush().await;
    let before_ms = ms_of(ago(15));
    let known = async |store: &Store, limit| store.former_carrier_calls(before_ms, limit).await.unwrap();
    // Whether their server was lost is noted by the next one, and makes no difference.
    assert_eq!(known(&store, 9).await, ["CA-up", "CA-over"]);
    store.stop().await;
    let store = place.store().await;
    until_row(&store, "up", Some(CallState::Lost)).await;
    until_row(&store, "young", Some(CallState::Lost)).await;
    assert_eq!(known(&store, 9).await, ["CA-up", "CA-over"], "the carrier may still ask what to do with the young one");
    assert_eq!(known(&store, 1).await, ["CA-over"]);
    store.stop().await;
}
