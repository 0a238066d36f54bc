//! Who is let in, and what they take.

use super::*;

fn capped(id: &str, most: u64) -> Wish {
    Wish { agent_max: Some(most), ..wish(id) }
}

/// One that we place, and nobody has answered.
fn placed(id: &str) -> Wish {
    let call = NewCall { answered: false, direction: Direction::Outbound, carrier_call: String::new(), ..call(id) };
    Wish { call, ..wish(id) }
}

/// A day of 150, at 60 a minute.
fn dear(id: &str) -> Wish {
    let limits = Limits { day_micros: Some(150), minute_micros: 60, ..Limits::default() };
    Wish { limits, ..wish(id) }
}

/// How many of them are let in, asked all at once.
async fn let_in(wishes: impl IntoIterator<Item = (Store, Wish)>) -> Vec<String> {
    let asked = wishes.into_iter().map(|(store, wish)| {
        let id = wish.call.id.clone();
        tokio::spawn(async move { store.admit(wish).await.map(|_| id) })
    });
    let mut found = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        match asked.await.unwrap() {
            Ok(id) => found.push(id),
            Err(Denied::AgentFull | Denied::DayBudget) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    found
}

on_both! {
    what_is_let_in_is_there_before_its_caller_is_answered,
    a_cap_never_takes_more_and_ringing_calls_count,
    however_many_call_at_once_the_day_is_never_spent_twice,
    cost_03_a_month_is_shared_by_all_calls_and_told_of_once_at_four_fifths,
    cost_03_a_day_is_told_of_by_its_deployment_and_a_persons_by_nobody,
    a_call_that_is_over_is_not_let_in_again,
    a_call_that_was_let_in_too_late_leaves_nothing_or_is_told_to_be_over,
    who_would_wait_for_too_long_hears_the_refusal_and_leaves_nothing,
    admissions_are_counted_by_the_second,
    a_placed_call_is_listed_before_it_is_answered_and_lost_with_its_server,
}

async fn what_is_let_in_is_there_before_its_caller_is_answered(place: Place) {
    let store = place.store().await;
    assert_eq!(store.admit(wish("a")).await.unwrap(), None);
    let kept = row(&store, "a").await.unwrap();
    assert_eq!((kept.state, kept.owner.as_deref()), (CallState::Running, Some(store.server())));
    assert_eq!(told(&store).await, pairs("a", &["call.started"]));
    assert!(outbox(&store).await[0].id.starts_with("evt_"));
    assert_eq!(holds(&store).await.len(), 1);
    // One that nobody has answered yet has its row and its place, and is nobody's news.
    store.admit(placed("b")).await.unwrap();
    assert_eq!((row(&store, "b").await.unwrap().state, holds(&store).await.len()), (CallState::Running, 2));
    store.release("b");
    store.flush().await;
    assert_eq!((row(&store, "b").await, holds(&store).await.len()), (None, 1), "it comes to nothing");
    store.admit(placed("c")).await.unwrap();
    store.core.take_back(vec![placed("c").call]);
    store.end_call(ended(report("a", EndReason::CallerHungUp)));
    store.flush().await;
    assert_eq!(row(&store, "c").await, None, "let in too late");
    assert_eq!(holds(&store).await, []);
    assert_eq!(row(&store, "a").await.unwrap().owner, None);
    assert_eq!(told(&store).await, pairs("a", &["call.started", "call.ended"]));
    store.stop().await;
}

async fn a_cap_never_takes_more_and_ringing_calls_count(place: Place) {
    let store = place.store().await;
    let beside = place.beside();
    // Of SQLite there is one server.
    let other = if place.url.is_some() { beside.store().await } else { store.clone() };
    let wishes = (0..20).map(|n| {
        let (store, wish) = (if n % 2 == 0 { &store } else { &other }, capped(&format!("a{n}"), 1));
        let answered = n % 3 == 0;
        (store.clone(), Wish { call: NewCall { answered, ..wish.call }, ..wish })
    });
    let first = let_in(wishes).await;
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(matches!(store.admit(capped("b", 1)).await, Err(Denied::AgentFull)));
    assert!(store.admit(capped("c", 2)).await.is_ok());
    // A call whose line is over leaves its place, before its report is there.
    for call in [&first[0], "c"] {
        store.hang_up(call);
    }
    store.flush().await;
    assert!(other.admit(capped("d", 1)).await.is_ok());
    if place.url.is_some() {
        other.stop().await;
    }
    store.stop().await;
}

async fn however_many_call_at_once_the_day_is_never_spent_twice(place: Place) {
    let store = place.store().await;
    let found = let_in((0..12).map(|n| (store.clone(), dear(&format!("a{n:02}"))))).await;
    let reserved = holds(&store).await.iter().map(|hold| hold.reserved_micros).sum::<i64>();
    assert_eq!((found.len(), reserved), (2, 150), "two minutes for one, what is left for the other");
    // The first one ends cheaply: what it gives back another call may have, or the one that goes on.
    let limits = dear("").limits;
    store.end_call(ended(Report { cost_micros: 20, ..report(&found[0], EndReason::CallerHungUp) }));
    store.flush().await;
    let more = store.raise(&found[1], 25, &limits).await.unwrap().unwrap();
    let held = holds(&store).await.iter().map(|hold| hold.reserved_micros).sum::<i64>();
    assert_eq!((more.micros as i64, more.of.as_str()), (held, "day"));
    assert!(held <= 130, "{held}");
    assert_eq!(store.raise("none", 25, &limits).await.unwrap(), None);
    // Killed now, the call has cost what it said.
    kill(store).await;
    let store = place.store().await;
    until_row(&store, &found[1], Some(CallState::Lost)).await;
    assert_eq!(row(&store, &found[1]).await.unwrap().cost_micros, 25);
    until_free(&store).await;
    assert_eq!(store.admit(dear("z")).await.unwrap().unwrap().micros, 105, "150 less 20 and 25");
    store.stop().await;
}

/// A call of this deployment, in a month of 300 at 60 a minute.
fn of_month(id: &str, deployment: &str) -> Wish {
    let limits = Limits { month_micros: Some(300), minute_micros: 60, ..Limits::default() };
    Wish { call: NewCall { deployment: deployment.to_owned(), ..call(id) }, limits, ..wish(id) }
}

/// What alerts were told, with what they are about.
async fn alerts(store: &Store) -> Vec<(String, Value)> {
    let told = outbox(store).await.into_iter().filter(|row| row.kind == "alert.fired");
    told.map(|row| (row.call, serde_json::from_str::<Value>(&row.body).unwrap()["data"].take())).collect()
}

async fn cost_03_a_month_is_shared_by_all_calls_and_told_of_once_at_four_fifths(place: Place) {
    let store = place.store().await;
    let beside = place.beside();
    // Of SQLite there is one server.
    let other = if place.url.is_some() { beside.store().await } else { store.clone() };
    let given = async |store: &Store, wish: Wish| store.admit(wish).await.map(|budget| budget.unwrap());
    let first = given(&store, of_month("a", "desk")).await.unwrap();
    assert_eq!((first.micros, first.of.as_str()), (120, "month"));
    assert_eq!(alerts(&store).await, [], "two fifths");
    assert_eq!(given(&other, of_month("b", "shop")).await.unwrap().micros, 120, "of the other deployment's, too");
    let told = alerts(&store).await;
    let [(about, data)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((about.as_str(), &data["alert"], &data["budget"]), ("budget/month", &json!("budget"), &json!("month")));
    assert_eq!(
        (&data["limit_micros"], &data["used_micros"], &data["used_percent"], &data["deployment"]),
        (&json!(300), &json!(240), &json!(80), &Value::Null)
    );
    assert_eq!(given(&store, of_month("c", "desk")).await.unwrap().micros, 60, "what is left");
    assert!(matches!(other.admit(of_month("d", "shop")).await, Err(Denied::MonthBudget)));
    assert_eq!(alerts(&store).await.len(), 1, "once in a month");
    // What a call has cost stays spent when nothing is left of it.
    store.end_call(ended(Report { cost_micros: 20, ..report("a", EndReason::CallerHungUp) }));
    store.flush().await;
    entity::calls::Entity::delete_by_id("a").exec(store.db()).await.unwrap();
    let (spent, month) = store.spent_this_month().await.unwrap();
    assert_eq!(spent, Spent { spent_micros: 20, reserved_micros: 180 });
    assert!(month.begin_ms <= now_ms() && now_ms() < month.until_ms);
    // The one that goes on is given more of it.
    let limits = of_month("", "").limits;
    let more = other.raise("b", 100, &limits).await.unwrap().unwrap();
    assert_eq!((more.micros, more.of.as_str()), (220, "month"));
    assert!(matches!(store.admit(of_month("e", "desk")).await, Err(Denied::MonthBudget)));
    if place.url.is_some() {
        other.stop().await;
    }
    store.stop().await;
}

async fn cost_03_a_day_is_told_of_by_its_deployment_and_a_persons_by_nobody(place: Place) {
    let store = place.store().await;
    let limits =
        Limits { number_day_micros: Some(1_000), day_micros: Some(1_000), minute_micros: 60, ..Limits::default() };
    let of_day = |id: &str| Wish { limits: limits.clone(), ..wish(id) };
    store.admit(of_day("a")).await.unwrap();
    assert_eq!(alerts(&store).await, []);
    // A call that goes on uses it up as well as new ones do.
    store.raise("a", 700, &limits).await.unwrap();
    let told = alerts(&store).await;
    let [(about, data)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((about.as_str(), &data["deployment"]), ("budget/day/desk", &json!("desk")));
    assert_eq!((&data["used_micros"], &data["used_percent"]), (&json!(820), &json!(82)));
    store.raise("a", 900, &limits).await.unwrap();
    assert_eq!(alerts(&store).await.len(), 1, "once in a day");
    store.stop().await;
}

async fn a_call_that_is_over_is_not_let_in_again(place: Place) {
    let store = place.store().await;
    store.admit(wish("a")).await.unwrap();
    store.end_call(ended(report("a", EndReason::CallerHungUp)));
    store.flush().await;
    let again = NewCall { carrier_call: "CA-a".to_owned(), ..call("b") };
    assert!(matches!(store.admit(Wish { call: again, ..wish("b") }).await, Err(Denied::Over)));
    assert_eq!(row(&store, "b").await, None);
    store.stop().await;
}

async fn a_call_that_was_let_in_too_late_leaves_nothing_or_is_told_to_be_over(place: Place) {
    let store = place.store().await;
    store.admit(wish("a")).await.unwrap();
    store.core.take_back(vec![call("a")]);
    store.flush().await;
    assert_eq!((row(&store, "a").await, told(&store).await, holds(&store).await), (None, vec![], vec![]));
    store.admit(wish("b")).await.unwrap();
    assert_eq!(store.claim(HOOK, 9).await.unwrap().len(), 1, "its start is on its way");
    store.core.take_back(vec![call("b")]);
    store.flush().await;
    let kept = row(&store, "b").await.unwrap();
    assert_eq!((kept.state, kept.end_kind.as_deref()), (CallState::Ended, Some("not_admitted")));
    assert_eq!(told(&store).await, pairs("b", &["call.started", "call.failed"]));
    store.stop().await;
}

async fn who_would_wait_for_too_long_hears_the_refusal_and_leaves_nothing(place: Place) {
    let store = place.store().await;
    // Somebody else has what an admission needs, and does not let go of it.
    let other = place.connect().await;
    let txn = other.begin_with_options(sql::immediate()).await.unwrap();
    sql::admits_alone(&txn).await.unwrap();
    let began = Instant::now();
    let asked = (0..3).map(|n| store.admit(wish(&format!("a{n}"))));
    for denied in futures_util::future::join_all(asked).await {
        assert!(matches!(denied, Err(Denied::Store(_))));
    }
    assert!(began.elapsed() < 2 * admit::LONGEST, "{:?}", began.elapsed());
    for _ in 0..200 {
        if store.ill().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(store.ill().is_some());
    txn.rollback().await.unwrap();
    let began = Instant::now();
    while store.admit(wish("b")).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", store.ill());
    }
    assert_eq!(store.ill(), None);
    store.flush().await;
    assert_eq!(told(&store).await, pairs("b", &["call.started"]));
    let held: Vec<_> = holds(&store).await.into_iter().map(|hold| hold.call).collect();
    assert_eq!((held, row(&store, "a0").await), (vec!["b".to_owned()], None));
    other.close().await.unwrap();
    store.stop().await;
}

/// Prints how many a second; machines differ, so nothing is asserted but that all are let in.
#[allow(clippy::print_stdout)] // that is what it is for
async fn admissions_are_counted_by_the_second(place: Place) {
    const CALLS: usize = 600;
    let store = place.store().await;
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    // 300 of them a second.
    let mut asked = Vec::new();
    for n in 0..CALLS {
        tokio::time::sleep(Duration::from_millis(n as u64 * 1_000 / 300).saturating_sub(began.elapsed())).await;
        let (store, wish) = (store.clone(), capped(&format!("a{n:04}"), 10_000));
        asked.push(tokio::spawn(async move {
            let began = Instant::now();
            store.admit(wish).await.map(|_| began.elapsed())
        }));
    }
    for asked in asked {
        longest = longest.max(asked.await.unwrap().unwrap());
    }
    let rate = CALLS as f64 / began.elapsed().as_secs_f64();
    println!("{rate:.0} calls a second let in, the slowest after {} ms", longest.as_millis());
    assert_eq!(holds(&store).await.len(), CALLS);
    store.stop().await;
}

async fn a_placed_call_is_listed_before_it_is_answered_and_lost_with_its_server(place: Place) {
    let store = place.store().await;
    store.admit(placed("a")).await.unwrap();
    kill(store).await;
    let store = place.store().await;
    until_row(&store, "a", Some(CallState::Lost)).await;
    until_free(&store).await;
    let kept = row(&store, "a").await.unwrap();
    assert_eq!((kept.direction, kept.end_kind.as_deref()), (Direction::Outbound, Some("server_lost")));
    assert_eq!(told(&store).await, pairs("a", &["call.failed"]));
    // Whoever asks for it once more has it looked up at the carrier: it rings, and somebody picks up. Its end is told.
    store.admit(placed("a")).await.unwrap();
    let begun = |id: &str| NewCall { answered: true, carrier_call: format!("CA-{id}"), ..placed(id).call };
    store.begin_call(begun("a"));
    store.flush().await;
    assert_eq!((row(&store, "a").await.unwrap().state, holds(&store).await.len()), (CallState::Lost, 1));
    let over = |id: &str, end| ended(Report { direction: Some("outbound".to_owned()), ..report(id, end) });
    store.end_call(over("a", EndReason::CallerHungUp));
    // One that is answered is told once, also where that is written once more.
    store.admit(placed("d")).await.unwrap();
    (0..2).for_each(|_| store.begin_call(begun("d")));
    store.flush().await;
    assert_eq!(row(&store, "d").await.unwrap().carrier_call, "CA-d");
    store.end_call(over("d", EndReason::CallerHungUp));
    // One whose answer could not be written is told of with its end; one that nobody answered never started.
    store.admit(placed("b")).await.unwrap();
    store.end_call(over("b", EndReason::CallerHungUp));
    store.admit(placed("c")).await.unwrap();
    store.begin_call(placed("c").call);
    store.end_call(over("c", EndReason::NotAnswered { how: NotAnswered::Busy, why: String::new() }));
    store.flush().await;
    let all = told(&store).await;
    let of = |call: &str| all.iter().filter(|(of, _)| of == call).cloned().collect::<Vec<_>>();
    assert_eq!((of("a"), row(&store, "a").await.unwrap().state), (pairs("a", &["call.failed"]), CallState::Ended));
    assert_eq!(of("d"), pairs("d", &["call.started", "call.ended"]));
    assert_eq!(of("b"), pairs("b", &["call.started", "call.ended"]));
    assert_eq!(of("c"), pairs("c", &["call.ended"]));
    store.stop().await;
}
