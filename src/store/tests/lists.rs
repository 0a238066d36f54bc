//! Lists of calls, what is counted of them, and what they use up.

use super::*;
use crate::house::calls::{CallResult, Status};
use crate::report::Cost;

on_both! {
    hist_01_calls_are_listed_page_by_page_by_whatever_is_asked,
    stat_01_every_call_is_counted_once_from_the_carrier_to_its_end,
    cost_01_what_calls_use_up_is_summed_once_by_the_hour,
    a_list_of_an_earlier_version_is_made_of_its_calls,
    a_deleted_call_is_in_no_list,
}

fn placed(id: &str) -> NewCall {
    NewCall { direction: Direction::Outbound, answered: false, ..call(id) }
}

/// Of a call with a model that has no price.
fn with_model(id: &str, end: EndReason) -> Report {
    Report { model_ms: 1, ..report(id, end) }
}

/// All ids, by pages of two.
async fn ids(store: &Store, filter: &ListFilter) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(filter, after.as_ref(), 2).await.unwrap();
        assert!(page.items.len() <= 2);
        ids.extend(page.items.into_iter().map(|item| item.id));
        match page.next {
            Some(next) => after = Some(next),
            None => return ids,
        }
    }
}

async fn counts(store: &Store) -> Vec<(Status, u64)> {
    let counted = store.count_statuses(&ListFilter::default()).await.unwrap();
    counted.into_iter().filter(|(_, n)| *n > 0).collect()
}

async fn hist_01_calls_are_listed_page_by_page_by_whatever_is_asked(place: Place) {
    let store = place.store().await;
    let now = SystemTime::now();
    for (n, id) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        // Two that began in the same millisecond have an order too.
        let started = now + Duration::from_millis([0, 10, 10, 20, 30][n]);
        let agent = if n % 2 == 0 { "mia" } else { "tom" };
        let from = Some(format!("+1555010000{n}"));
        store.begin_call(NewCall { started, agent: agent.to_owned(), from, ..call(id) });
    }
    let mut long = report("b", EndReason::ModelSilent);
    (long.duration_ms, long.agent) = (90_000, "tom".to_owned());
    (long.cost_micros, long.cost) = (5_000, Some(Cost { time_micros: 5_000, ..Cost::default() }));
    store.end_call(ended(long));
    store.end_call(ended(with_model("c", EndReason::CallerHungUp)));
    store.set_analysis("c", json!({ "result": { "status": "success" } }));
    store.flush().await;
    let all = ListFilter::default;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let since = Some(ms_of(now) + 10);
    for (filter, expected) in [
        (all(), "edcba"),
        (ListFilter { since_ms: since, ..all() }, "edcb"),
        (ListFilter { until_ms: since, ..all() }, "a"),
        (ListFilter { number: Some("+15550100002".to_owned()), ..all() }, "c"),
        (ListFilter { number: Some("+15550100100".to_owned()), ..all() }, "edcba"),
        (ListFilter { agents: words(&["mia"]), ..all() }, "eca"),
        (ListFilter { agents: words(&["mia", "tom"]), ..all() }, "edcba"),
        (ListFilter { only_agents: Some(words(&["tom"])), ..all() }, "db"),
        (ListFilter { only_agents: Some(words(&["tom"])), agents: words(&["mia"]), ..all() }, ""),
        (ListFilter { only_agents: Some(Vec::new()), ..all() }, ""),
        (ListFilter { deployments: words(&["desk"]), ..all() }, "edcba"),
        (ListFilter { direction: Some(Direction::Outbound), ..all() }, ""),
        (ListFilter { statuses: vec![Status::InProgress], ..all() }, "eda"),
        (ListFilter { statuses: vec![Status::Failed, Status::Completed], ..all() }, "cb"),
        (ListFilter { ends: words(&["model_silent"]), ..all() }, "b"),
        (ListFilter { results: vec![CallResult::Success], ..all() }, "c"),
        (ListFilter { results: vec![CallResult::Unknown], ..all() }, "edba"),
        (ListFilter { min_duration_ms: Some(1_501), ..all() }, "b"),
        (ListFilter { max_duration_ms: Some(1_500), ..all() }, "c"),
        (ListFilter { min_cost_micros: Some(1), max_cost_micros: Some(5_000), ..all() }, "b"),
        (ListFilter { min_cost_micros: Some(5_001), ..all() }, ""),
    ] {
        assert_eq!(ids(&store, &filter).await.concat(), expected, "{filter:?}");
    }
    // What nobody knows the price of is not said to cost nothing.
    let c = store.listed("c").await.unwrap().unwrap();
    assert_eq!((c.cost_micros, c.result.as_str(), c.end_kind.as_deref()), (None, "success", Some("caller_hung_up")));
    assert_eq!(store.listed("x").await.unwrap(), None);
    store.stop().await;
}

async fn stat_01_every_call_is_counted_once_from_the_carrier_to_its_end(place: Place) {
    let store = place.store().await;
    let note = async |key: &str, state: &str| {
        let change = DialChange { state: Some(state.to_owned()), ..DialChange::default() };
        store.note_dial(key, change).await.unwrap();
    };
    for key in ["k1", "k2", "k3", "k4", "k5"] {
        store.insert_dial(key, "hash", "queued").await.unwrap();
        store.name_dial(key, &placed(&format!("call-{key}"))).await.unwrap();
        note(key, "ringing").await;
    }
    assert_eq!(counts(&store).await, [(Status::Dialing, 5)]);
    // Answered, and over.
    note("k1", "answered").await;
    assert_eq!(counts(&store).await, [(Status::Dialing, 4), (Status::InProgress, 1)]);
    store.begin_call(NewCall { answered: true, ..placed("call-k1") });
    store.flush().await;
    assert_eq!(counts(&store).await, [(Status::Dialing, 4), (Status::InProgress, 1)]);
    store.end_call(ended(report("call-k1", EndReason::CallerHungUp)));
    store.flush().await;
    note("k1", "completed").await;
    // Nobody picked up; the words of the end and of the request come in either order.
    note("k2", "busy").await;
    store.begin_call(placed("call-k2"));
    store.end_call(ended(report("call-k2", EndReason::NotAnswered { how: NotAnswered::Busy, why: String::new() })));
    store.flush().await;
    note("k2", "ringing").await;
    // The carrier does not have it, then it does after all.
    note("k3", "not_placed").await;
    note("k4", "unknown").await;
    note("k4", "canceling").await;
    note("k5", "canceled").await;
    let counted = counts(&store).await;
    let expected =
        [(Status::Dialing, 1), (Status::Completed, 1), (Status::Busy, 1), (Status::Failed, 1), (Status::Canceled, 1)];
    assert_eq!(counted, expected);
    assert_eq!(ids(&store, &ListFilter::default()).await.len(), 5, "each call is one row");
    note("k3", "ringing").await;
    assert_eq!(counts(&store).await[0], (Status::Dialing, 2));
    store.begin_call(call("in"));
    store.flush().await;
    store.stop().await;
    // The next server of this place knows that the one before is gone.
    let store = place.store().await;
    let counted = counts(&store).await;
    assert_eq!(counted.iter().find(|(status, _)| *status == Status::Failed), Some(&(Status::Failed, 2)), "{counted:?}");
    assert_eq!(store.listed("in").await.unwrap().unwrap().end_kind.as_deref(), Some("server_lost"));
    assert_eq!(store.listed("call-k3").await.unwrap().unwrap().end_kind.as_deref(), Some("unknown"));
    store.stop().await;
}

async fn cost_01_what_calls_use_up_is_summed_once_by_the_hour(place: Place) {
    let store = place.store().await;
    for (id, model, micros) in [("a", "fast", Some(700)), ("b", "fast", None), ("c", "good", Some(300))] {
        let mut over = report(id, EndReason::CallerHungUp);
        (over.model, over.model_ms) = (Some(model.to_owned()), 1_000);
        (over.usage.input_tokens, over.usage.cached_tokens) = (100, 40);
        over.cost = micros.map(|micros| Cost { output_micros: micros, ..Cost::default() });
        over.cost_micros = micros.unwrap_or(0);
        store.begin_call(call(id));
        store.end_call(ended(over.clone()));
        // Handed over twice, as after a failure.
        store.end_call(ended(over));
    }
    store.flush().await;
    let all = UsageFilter::default;
    let sum = store.usage(&all(), UsageBy::All).await.unwrap().remove(0);
    assert_eq!((sum.calls, sum.cost_micros, sum.unpriced, sum.input_tokens), (3, 1_000, 1, 300));
    assert_eq!((sum.duration_ms, sum.model_ms, sum.cached_tokens), (4_500, 3_000, 120));
    let by_model = store.usage(&all(), UsageBy::Model).await.unwrap();
    let by_model: Vec<_> = by_model.iter().map(|sum| (sum.key.as_str(), sum.calls, sum.cost_micros)).collect();
    assert_eq!(by_model, [("fast", 2, 700), ("good", 1, 300)]);
    for (by, width_ms) in [(UsageBy::Hour, 3_600_000), (UsageBy::Day, 86_400_000)] {
        for sum in store.usage(&all(), by).await.unwrap() {
            assert_eq!(sum.key.parse::<i64>().unwrap() % width_ms, 0, "{by:?}");
        }
    }
    let nobody = UsageFilter { only_agents: Some(vec!["tom".to_owned()]), ..all() };
    assert_eq!(store.usage(&nobody, UsageBy::Agent).await.unwrap(), []);
    assert_eq!(store.usage(&nobody, UsageBy::All).await.unwrap(), [Usage::default()]);
    // A call that is up holds its share of the day.
    let limits = Limits { day_micros: Some(5_000), minute_micros: 60, ..Limits::default() };
    store.admit(Wish { call: call("d"), agent_max: None, limits }).await.unwrap();
    let spent = store.spent_today(&["desk".to_owned(), "other".to_owned()]).await.unwrap();
    assert_eq!(spent["desk"], Spent { spent_micros: 1_000, reserved_micros: 120 });
    assert_eq!(spent["other"], Spent::default());
    // A lost call that turns out to have ended is one call.
    store.stop().await;
    let store = place.store().await;
    assert_eq!(store.usage(&all(), UsageBy::All).await.unwrap()[0].calls, 4);
    store.end_call(ended(report("d", EndReason::CallerHungUp)));
    store.flush().await;
    let sum = store.usage(&all(), UsageBy::All).await.unwrap().remove(0);
    assert_eq!((sum.calls, sum.failed, sum.duration_ms), (4, 0, 6_000));
    store.stop().await;
}

async fn a_list_of_an_earlier_version_is_made_of_its_calls(place: Place) {
    let store = place.store().await;
    for (id, end) in [
        ("a", EndReason::CallerHungUp),
        ("b", EndReason::NotAnswered { how: NotAnswered::NoAnswer, why: String::new() }),
        ("c", EndReason::ModelSilent),
    ] {
        store.begin_call(call(id));
        store.end_call(ended(with_model(id, end)));
    }
    store.begin_call(call("d"));
    store.flush().await;
    let before = store.list(&ListFilter::default(), None, 100).await.unwrap();
    let text = schema::STEPS[2].iter().find(|text| text.contains("CREATE TABLE listed")).unwrap();
    let from = text.find("INSERT INTO listed").unwrap();
    let fill = &text[from..from + text[from..].find(';').unwrap()];
    place.sql(&format!("DELETE FROM listed; {fill}")).await;
    assert_eq!(store.list(&ListFilter::default(), None, 100).await.unwrap(), before);
    store.stop().await;
}

async fn a_deleted_call_is_in_no_list(place: Place) {
    let store = place.store_that(1).await.unwrap();
    let old = old_id(3, "aa");
    let mut over = report(&old, EndReason::CallerHungUp);
    over.started = written(now_ms() - 3 * 86_400_000);
    place.keep(&over);
    store.insert_dial("k", "hash", "queued").await.unwrap();
    let started = SystemTime::now() - Duration::from_secs(3 * 86_400);
    store.name_dial("k", &NewCall { started, ..placed("never") }).await.unwrap();
    store.stop().await;
    // A start makes the row of the folder, and deletes what is old.
    let store = place.store_that(1).await.unwrap();
    for _ in 0..500 {
        if ids(&store, &ListFilter::default()).await.is_empty() && !place.folder(&old).exists() {
            return store.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", ids(&store, &ListFilter::default()).await);
}
