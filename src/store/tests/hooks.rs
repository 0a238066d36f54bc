//! Endpoints, the log of attempts, and events that are sent again.

use sea_orm::ColumnTrait as _;

use super::*;

const DAY_MS: i64 = 86_400_000;

on_both! {
    hook_07_every_attempt_is_logged_with_its_answer_and_filtered,
    beyond_46_what_was_delivered_or_given_up_is_sent_again_under_its_id,
    beyond_46_a_window_of_time_is_sent_again_in_order,
    beyond_46_an_endpoint_that_fails_for_days_is_announced_and_switched_off,
    endpoints_of_the_api_are_sealed_told_and_changed,
    an_endpoint_that_was_deleted_while_it_failed_leaves_nothing,
    hook_03_a_deployment_that_changed_is_told_once,
    attempts_and_bodies_go_with_their_call_and_by_age,
}

fn new(name: &str) -> NewEndpoint {
    NewEndpoint {
        name: name.to_owned(),
        url: "https://other.example.com/".to_owned(),
        events: None,
        agents: Vec::new(),
        plain_signature: true,
        per_second: 10,
        timeout_ms: 10_000,
        retry_first_ms: 5_000,
    }
}

async fn add(store: &Store, name: &str) -> String {
    store.add_endpoint(&new(name), &Secret::new("whsec_hush"), "ann").await.unwrap()
}

fn took() -> Attempt {
    Attempt { status: Some(200), took_ms: 12, answer: "thanks\0".to_owned(), error: None }
}

/// Claims what is due for an endpoint and has it delivered, until nothing is.
async fn deliver(store: &Store, endpoint: &str) -> Vec<OutboxRow> {
    let mut all = Vec::new();
    loop {
        let rows = store.claim(endpoint, 99).await.unwrap();
        if rows.is_empty() {
            return all;
        }
        for row in rows {
            store.delivered(&row, &took()).await.unwrap();
            all.push(row);
        }
    }
}

async fn hook_07_every_attempt_is_logged_with_its_answer_and_filtered(place: Place) {
    let store = place.store().await;
    for id in ["a", "b"] {
        store.begin_call(call(id));
    }
    store.flush().await;
    let rows = store.claim(HOOK, 9).await.unwrap();
    store.failed(&rows[0], &refused("500 Internal Server Error"), Some(0)).await.unwrap();
    // An answer that was lost, and is noted again, is one attempt.
    store.failed(&rows[0], &refused("500 Internal Server Error"), Some(0)).await.unwrap();
    store.delivered(&rows[1], &took()).await.unwrap();
    store.delivered(&rows[1], &took()).await.unwrap();
    let again = store.claim(HOOK, 9).await.unwrap();
    store.failed(&again[0], &refused("410 Gone"), None).await.unwrap();
    let list = async |filter: DeliveryFilter| {
        let rows = store.deliveries(&DeliveryFilter { limit: 9, ..filter }).await.unwrap();
        rows.iter().map(|row| (row.call.clone(), row.attempt, row.outcome)).collect::<Vec<_>>()
    };
    let entry = |call: &str, attempt: i64, outcome| (call.to_owned(), attempt, outcome);
    let all = [entry("a", 2, Outcome::GivenUp), entry("b", 1, Outcome::Delivered), entry("a", 1, Outcome::Failed)];
    assert_eq!(list(DeliveryFilter::default()).await, all);
    let wrong = DeliveryFilter { endpoint: Some(HOOK.to_owned()), delivered: Some(false), ..DeliveryFilter::default() };
    assert_eq!(list(wrong).await, [all[0].clone(), all[2].clone()]);
    assert_eq!(list(DeliveryFilter { call: Some("b".to_owned()), ..DeliveryFilter::default() }).await, all[1..2]);
    let none = DeliveryFilter { kind: Some("call.ended".to_owned()), ..DeliveryFilter::default() };
    assert_eq!(list(none).await, []);
    let rows = store.deliveries(&DeliveryFilter { limit: 9, ..DeliveryFilter::default() }).await.unwrap();
    assert_eq!(list(DeliveryFilter { before: Some(rows[0].seq), ..DeliveryFilter::default() }).await, all[1..]);
    assert_eq!((rows[0].status, rows[0].answer.as_str(), rows[0].took_ms), (Some(500), "no", 7));
    assert_eq!((rows[1].answer.as_str(), rows[1].error.as_deref()), ("thanks", None));
    assert!((now_ms() - rows[0].at_ms).abs() < 60_000, "{}", rows[0].at_ms);
    // What was delivered is known as long as what was not.
    for row in &rows {
        let (_, body) = store.delivery(row.seq).await.unwrap().unwrap();
        let body: Value = serde_json::from_str(&body.unwrap()).unwrap();
        assert_eq!(
            (body["id"].as_str(), body["call"]["id"].as_str()),
            (Some(row.event.as_str()), Some(row.call.as_str()))
        );
    }
    assert!(store.delivery(0).await.unwrap().is_none());
    store.stop().await;
}

async fn beyond_46_what_was_delivered_or_given_up_is_sent_again_under_its_id(place: Place) {
    let store = place.store().await;
    store.begin_call(call("a"));
    store.flush().await;
    let first = deliver(&store, HOOK).await;
    assert!(store.replay(HOOK, &first[0].id).await.unwrap() && store.replay(HOOK, &first[0].id).await.unwrap());
    let again = store.claim(HOOK, 9).await.unwrap();
    assert_eq!((again.len(), &again[0].id, &again[0].body), (1, &first[0].id, &first[0].body));
    store.failed(&again[0], &refused("410"), None).await.unwrap();
    assert_eq!(store.dead(Some(HOOK), None, 9).await.unwrap().len(), 1);
    assert!(store.replay(HOOK, &first[0].id).await.unwrap());
    assert_eq!(store.dead(None, None, 9).await.unwrap(), []);
    assert_eq!(deliver(&store, HOOK).await.len(), 1);
    assert!(!store.replay(HOOK, "evt_other").await.unwrap());
    store.stop().await;
}

async fn beyond_46_a_window_of_time_is_sent_again_in_order(place: Place) {
    let store = place.store().await;
    for id in ["a", "b"] {
        store.begin_call(call(id));
        store.end_call(ended(report(id, EndReason::CallerHungUp)));
    }
    store.flush().await;
    let sent = deliver(&store, HOOK).await;
    assert_eq!(sent.len(), 4);
    // One more is given up, and one is of long ago.
    store.begin_call(call("c"));
    store.flush().await;
    let row = store.claim(HOOK, 9).await.unwrap().remove(0);
    store.failed(&row, &refused("410"), None).await.unwrap();
    let old = &sent[0].id;
    place.sql(&format!("UPDATE bodies SET created_ms = created_ms - {DAY_MS} WHERE event = '{old}'")).await;
    let (since, until) = (now_ms() - 3_600_000, now_ms() + 3_600_000);
    assert_eq!(store.replay_window("another", since, until, false).await.unwrap(), Replayed::default());
    let only = store.replay_window(HOOK, since, until, true).await.unwrap();
    assert_eq!(only, Replayed { events: 1, more_from_ms: None });
    assert_eq!(deliver(&store, HOOK).await[0].call, "c");
    let all = store.replay_window(HOOK, since, until, false).await.unwrap();
    assert_eq!(all.events, 4, "without the one of yesterday");
    let mut again = Vec::new();
    while let Some(row) = store.claim(HOOK, 1).await.unwrap().pop() {
        store.delivered(&row, &took()).await.unwrap();
        again.push(row);
    }
    let kinds = |rows: &[OutboxRow], call: &str| {
        let of = rows.iter().filter(|row| row.call == call && row.id != *old);
        of.map(|row| (row.kind.clone(), row.id.clone())).collect::<Vec<_>>()
    };
    for call in ["a", "b"] {
        assert_eq!(kinds(&again, call), kinds(&sent, call));
    }
    store.stop().await;
}

async fn beyond_46_an_endpoint_that_fails_for_days_is_announced_and_switched_off(place: Place) {
    let store = place.store().await;
    let other = add(&store, "Other").await;
    store.begin_call(call("a"));
    store.flush().await;
    let row = store.claim(HOOK, 9).await.unwrap().remove(0);
    store.failed(&row, &refused("500"), Some(0)).await.unwrap();
    let alerts = async |store: &Store| {
        let rows = outbox(store).await.into_iter().filter(|row| row.kind.starts_with("alert."));
        let bodies = rows.map(|row| (row.endpoint, serde_json::from_str::<Value>(&row.body).unwrap()));
        let told = |(endpoint, body): (String, Value)| {
            assert_eq!((&body["call"], body["data"]["endpoint"]["id"].as_str()), (&Value::Null, Some(HOOK)));
            (endpoint, body["type"].as_str().unwrap().to_owned(), body["data"]["problem"].as_str().map(str::to_owned))
        };
        bodies.map(told).collect::<Vec<_>>()
    };
    let fired = |problem: &str| (other.clone(), "alert.fired".to_owned(), Some(problem.to_owned()));
    let until = async |count: usize| {
        for _ in 0..500 {
            let found = alerts(&store).await;
            if found.len() >= count {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{:?}", alerts(&store).await);
    };
    let aged = async |days: i64| {
        let text = format!("UPDATE endpoint_states SET failing_since_ms = last_failed_ms - {}", days * DAY_MS);
        place.sql(&text).await;
    };
    // Days without an attempt are none in which it failed.
    assert_eq!(alerts(&store).await, []);
    aged(3).await;
    assert_eq!(until(1).await, [fired("failing")]);
    aged(5).await;
    assert_eq!(until(2).await, [fired("failing"), fired("switched_off")]);
    store.look_at_endpoints().await.unwrap();
    let hook = store.webhooks().iter().find(|hook| hook.id == HOOK).unwrap().clone();
    assert!(hook.off.as_ref().is_some_and(|why| why.contains("5 days")), "{hook:?}");
    assert_eq!(store.core.counters.endpoints_off.load(Relaxed), 1);
    // What waits, and what happens meanwhile, is kept as given up.
    store.begin_call(call("b"));
    store.flush().await;
    let dead = store.dead(Some(HOOK), None, 9).await.unwrap();
    assert_eq!(dead.iter().map(|row| row.call.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    store.switch_endpoint(HOOK, None, "ann").await.unwrap();
    assert_eq!(alerts(&store).await.last().unwrap(), &(other.clone(), "alert.resolved".to_owned(), None));
    assert_eq!(store.endpoints().await.unwrap()[0].state, None);
    let again = store.replay_window(HOOK, 0, i64::MAX, true).await.unwrap();
    assert_eq!((again.events, store.claim(HOOK, 9).await.unwrap().len()), (2, 2));
    store.stop().await;
}

async fn endpoints_of_the_api_are_sealed_told_and_changed(place: Place) {
    let store = place.store().await;
    let id = add(&store, "Other").await;
    let named = store.add_endpoint(&new("Other"), &Secret::new("x"), "ann").await.unwrap_err().to_string();
    let in_file = store.add_endpoint(&new(HOOK), &Secret::new("x"), "ann").await.unwrap_err().to_string();
    assert!(named.contains("this name") && named == in_file, "{named}");
    let rows = entity::endpoints::Entity::find().all(store.db()).await.unwrap();
    assert!(!format!("{rows:?}").contains("hush"), "{rows:?}");
    store.begin_call(call("a"));
    store.flush().await;
    let one = |store: &Store, id: &str| store.webhooks().iter().find(|hook| hook.id == id).cloned();
    assert_eq!(one(&store, &id).unwrap().secret, Secret::new("whsec_hush"));
    assert_eq!(deliver(&store, &id).await.len(), 1);
    // Of another agent's calls it is told no more.
    let changed =
        NewEndpoint { agents: vec!["max".to_owned()], events: Some(vec![EventType::CallStarted]), ..new("Else") };
    assert!(matches!(store.change_endpoint("hook_none", &changed, None, "bob").await, Err(StoreError::Gone)));
    let stale = store.change_endpoint(&id, &changed, Some(9), "bob").await.unwrap_err().to_string();
    assert!(stale.contains("by ann"), "{stale}");
    store.change_endpoint(&id, &changed, Some(1), "bob").await.unwrap();
    store.begin_call(call("b"));
    store.flush().await;
    assert_eq!(deliver(&store, &id).await, []);
    let until = store.rotate_secret(&id, &Secret::new("whsec_new"), "bob").await.unwrap();
    let hook = one(&store, &id).unwrap();
    assert_eq!((hook.secret.expose(), hook.previous_at(until - 1)), ("whsec_new", Some(&Secret::new("whsec_hush"))));
    assert_eq!(hook.previous_at(until), None);
    let listed = store.endpoints().await.unwrap();
    let row = listed[1].row.as_ref().unwrap();
    assert_eq!((listed.len(), row.version, row.changed_by.as_str(), row.all_events), (2, 3, "bob", false));
    assert!(listed[0].row.is_none() && listed[0].waiting == 2, "{listed:?}");
    // Another key opens nothing: what happens is kept, and nothing goes out that is signed with nothing.
    let mut settings = store.core.settings.borrow().clone();
    settings.store.seal_key = Some(Secret::new("another key, of thirty-two bytes"));
    store.set(settings.clone());
    assert!(one(&store, &id).unwrap().off.as_ref().unwrap().contains("seal_key"));
    settings.store.seal_key = None;
    store.set(settings);
    let refused = store.add_endpoint(&new("Third"), &Secret::new("x"), "ann").await.unwrap_err().to_string();
    assert!(refused.contains("seal_key"), "{refused}");
    assert!(store.delete_endpoint(&id).await.unwrap() && !store.delete_endpoint(&id).await.unwrap());
    assert!(one(&store, &id).is_none());
    store.stop().await;
}

#[tokio::test]
async fn an_endpoint_made_by_one_server_is_told_by_all_within_two_seconds() {
    let Some(place) = Place::postgres().await else { return };
    let (store, other) = (place.store().await, place.beside().store().await);
    let began = Instant::now();
    let id = add(&store, "Other").await;
    while !other.webhooks().iter().any(|hook| hook.id == id) {
        assert!(began.elapsed() < Duration::from_secs(10), "it is not there yet");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!((store.endpoints().await.unwrap().len(), other.servers()), (2, 2));
    other.stop().await;
    store.stop().await;
}

async fn an_endpoint_that_was_deleted_while_it_failed_leaves_nothing(place: Place) {
    let store = place.store().await;
    let id = add(&store, "Other").await;
    store.begin_call(call("a"));
    store.flush().await;
    let row = store.claim(&id, 9).await.unwrap().remove(0);
    assert!(store.delete_endpoint(&id).await.unwrap());
    store.failed(&row, &refused("500"), Some(0)).await.unwrap();
    let fares = entity::endpoint_states::Entity::find_by_id(id).one(store.db()).await.unwrap();
    assert_eq!(fares, None);
    store.stop().await;
}

async fn hook_03_a_deployment_that_changed_is_told_once(place: Place) {
    let store = place.store().await;
    let document = |name: &str, revision: &str, text: Option<&str>| NewDocument {
        kind: "deployment".to_owned(),
        name: name.to_owned(),
        revision: revision.to_owned(),
        text: text.map(str::to_owned),
        applied_by: "ann".to_owned(),
        way: "api".to_owned(),
    };
    let add = async |new: NewDocument| store.revisions().add(new, None).await.unwrap();
    // What is there when the first server of all looks is no news.
    add(document("desk", "r1", Some("agent = \"mia\""))).await;
    store.tell_changes().await.unwrap();
    add(document("desk", "r2", Some("agent = \"mia\" # more"))).await;
    add(document("shop", "r1", Some("agent = \"max\""))).await;
    add(NewDocument { kind: "agent".to_owned(), ..document("mia", "r1", Some("")) }).await;
    add(document("desk", "", None)).await;
    changes::tell(&store.core).await.unwrap();
    changes::tell(&store.core).await.unwrap();
    store.tell_changes().await.unwrap();
    let told: Vec<_> =
        outbox(&store).await.iter().map(|row| serde_json::from_str::<Value>(&row.body).unwrap()).collect();
    let of = |body: &Value| {
        let data = &body["data"];
        ["deployment", "agent", "change", "revision", "previous_revision"]
            .map(|key| data[key].as_str().unwrap_or("-").to_owned())
    };
    let expected = [
        ["desk", "mia", "changed", "r2", "r1"],
        ["shop", "max", "created", "r1", "-"],
        ["desk", "mia", "deleted", "-", "r2"],
    ];
    assert_eq!(told.iter().map(of).collect::<Vec<_>>(), expected);
    assert!(told.iter().all(|body| body["type"] == "deployment.changed" && body["call"].is_null()), "{told:?}");
    store.stop().await;
}

async fn attempts_and_bodies_go_with_their_call_and_by_age(place: Place) {
    let store = place.store().await;
    until_quiet(&store).await;
    for id in ["a", "b", "c"] {
        store.begin_call(call(id));
    }
    store.flush().await;
    deliver(&store, HOOK).await;
    let left = async || {
        let said = entity::bodies::Entity::find().all(store.db()).await.unwrap();
        let tried = entity::deliveries::Entity::find();
        let tried = tried.filter(entity::deliveries::Column::Test.eq(false)).all(store.db()).await.unwrap();
        (
            said.into_iter().map(|row| row.call).collect::<Vec<_>>(),
            tried.into_iter().map(|row| row.call).collect::<Vec<_>>(),
        )
    };
    let both = |calls: &[&str]| {
        let calls: Vec<String> = calls.iter().map(|call| (*call).to_owned()).collect();
        (calls.clone(), calls)
    };
    use sea_orm::QueryFilter as _;
    assert_eq!(left().await, both(&["a", "b", "c"]));
    assert_eq!(deliveries::forget_call(store.db(), "a").await.unwrap(), 1, "its attempts");
    place.sql(&format!("UPDATE bodies SET created_ms = created_ms - {} WHERE call = 'b'", 31 * DAY_MS)).await;
    place.sql(&format!("UPDATE deliveries SET at_ms = at_ms - {} WHERE call = 'b'", 31 * DAY_MS)).await;
    assert_eq!(deliveries::prune(&store.core).await.unwrap(), 2);
    assert_eq!(left().await, both(&["c"]));
    // Where calls are kept for less time, so is what was told of them.
    place.sql(&format!("UPDATE bodies SET created_ms = created_ms - {}", 8 * DAY_MS)).await;
    place.sql(&format!("UPDATE deliveries SET at_ms = at_ms - {}", 8 * DAY_MS)).await;
    assert_eq!(deliveries::prune(&store.core).await.unwrap(), 0);
    let mut settings = store.core.settings.borrow().clone();
    settings.store.keep_days = 7;
    store.set(settings);
    assert_eq!(deliveries::prune(&store.core).await.unwrap(), 2);
    store.stop().await;
}
