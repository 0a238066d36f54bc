//! Whose rows are whose, who is let in, and what becomes of it all when a server or its database is gone.

use sea_orm::ColumnTrait as _;

use super::*;

/// Ends a store as SIGKILL does: nothing is written any more, nothing let go of.
async fn kill(store: Store) {
    let tasks: Vec<_> = store.tasks.lock().unwrap().drain(..).collect();
    for task in tasks {
        task.abort();
        let _ = task.await;
    }
}

fn wish(id: &str) -> Wish {
    Wish { call: call(id), agent_max: None, limits: Limits::default() }
}

fn capped(id: &str, most: u64) -> Wish {
    Wish { agent_max: Some(most), ..wish(id) }
}

/// A day of 150, at 60 a minute.
fn dear(id: &str) -> Wish {
    let limits = Limits { day_micros: Some(150), minute_micros: 60, ..Limits::default() };
    Wish { limits, ..wish(id) }
}

async fn holds(store: &Store) -> Vec<entity::holds::Model> {
    entity::holds::Entity::find().all(store.db()).await.unwrap()
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
    a_call_that_is_over_is_not_let_in_again,
    a_call_that_was_let_in_too_late_leaves_nothing_or_is_told_to_be_over,
    what_a_killed_server_had_is_free_for_the_next,
    a_job_is_done_once_after_its_call_and_by_whoever_comes_to_it,
    revisions_are_kept_and_read,
    documents_are_applied_all_or_none,
    who_would_wait_for_too_long_hears_the_refusal_and_leaves_nothing,
    admissions_are_counted_by_the_second,
}

async fn what_is_let_in_is_there_before_its_caller_is_answered(place: Place) {
    let store = place.store().await;
    assert_eq!(store.admit(wish("a")).await.unwrap(), None);
    let kept = row(&store, "a").await.unwrap();
    assert_eq!((kept.state, kept.owner.as_deref()), (CallState::Running, Some(store.server())));
    assert_eq!(told(&store).await, pairs("a", &["call.started"]));
    assert!(outbox(&store).await[0].id.starts_with("evt_"));
    assert_eq!(holds(&store).await.len(), 1);
    // One that nobody has answered yet has its place, and is nobody's news.
    store.admit(Wish { call: NewCall { answered: false, ..call("b") }, ..wish("b") }).await.unwrap();
    assert_eq!((row(&store, "b").await, holds(&store).await.len()), (None, 2));
    store.release("b");
    store.end_call(ended(report("a", EndReason::CallerHungUp)));
    store.flush().await;
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

/// Waits until nobody holds anything.
async fn until_free(store: &Store) {
    for _ in 0..500 {
        if holds(store).await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("held after 5 s: {:?}", holds(store).await);
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

async fn what_a_killed_server_had_is_free_for_the_next(place: Place) {
    let store = place.store().await;
    store.admit(wish("a")).await.unwrap();
    let sent = store.claim(HOOK, 9).await.unwrap();
    store.add_job(NewJob { kind: "k".into(), key: "1".into(), ..NewJob::default() }).await.unwrap();
    assert_eq!(store.claim_jobs("k", 9).await.unwrap().len(), 1);
    store.insert_dial("key", "hash", "canceling").await.unwrap();
    kill(store).await;
    // The lock of the directory proves that it is gone: nobody waits for its lease.
    let store = place.store().await;
    until_row(&store, "a", Some(CallState::Lost)).await;
    until_free(&store).await;
    let again = store.claim(HOOK, 9).await.unwrap();
    assert_eq!(again.iter().map(|row| &row.id).collect::<Vec<_>>(), sent.iter().map(|row| &row.id).collect::<Vec<_>>());
    assert_eq!(store.claim(HOOK, 9).await.unwrap(), [], "its end waits for its start");
    store.delivered(&again[0], &Attempt::default()).await.unwrap();
    assert_eq!(store.claim(HOOK, 9).await.unwrap()[0].kind, "call.failed");
    let jobs = store.claim_jobs("k", 9).await.unwrap();
    assert_eq!((jobs.len(), jobs[0].attempts), (1, 1), "begun once before");
    assert_eq!(store.claim_dials("canceling", 9).await.unwrap().len(), 1);
    store.stop().await;
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

async fn revisions_are_kept_and_read(place: Place) {
    let store = place.store().await;
    let revisions = store.revisions();
    let mut near = revisions.listen();
    let far = if place.url.is_some() { Some(place.beside().store().await) } else { None };
    let mut told = far.as_ref().map(|far| far.revisions().listen());
    if let Some(told) = &mut told {
        // Listened to: what was before is to be read once.
        assert_eq!(told.recv().await.unwrap(), "");
        assert_eq!(near.recv().await.unwrap(), "");
    }
    let new = |revision: &str, text: Option<&str>| NewDocument {
        kind: "agent".into(),
        name: "mia".into(),
        revision: revision.into(),
        text: text.map(str::to_owned),
        applied_by: "ann".into(),
        way: "api".into(),
    };
    assert!(revisions.add(new("aa11", Some("one")), Some(None)).await.unwrap());
    assert!(!revisions.add(new("aa11", Some("one")), None).await.unwrap(), "it says just that");
    let stale = revisions.add(new("bb22", Some("two")), Some(None)).await.unwrap_err().to_string();
    assert!(stale.contains("agent mia was changed meanwhile, by ann"), "{stale}");
    assert!(revisions.add(new("bb22", Some("two")), Some(Some("aa11"))).await.unwrap());
    assert!(revisions.add(new("", None), None).await.unwrap(), "taken away");
    assert_eq!(revisions.in_force().await.unwrap(), []);
    assert_eq!(revisions.read("agent", "mia", "bb").await.unwrap().text.as_deref(), Some("two"));
    let none = revisions.read("agent", "mia", "cc").await.unwrap_err().to_string();
    assert!(none.contains("agent mia has no revision \"cc\""), "{none}");
    let ben = NewDocument { applied_by: "ben".into(), way: "restore".into(), ..new("aa11", Some("one")) };
    assert!(revisions.add(ben, None).await.unwrap(), "an old one anew");
    let all = revisions.list("agent", "mia", 9).await.unwrap();
    let said: Vec<_> =
        all.iter().map(|one| (one.revision.as_str(), one.applied_by.as_str(), one.way.as_str())).collect();
    assert_eq!(said, [("aa11", "ben", "restore"), ("", "ann", "api"), ("bb22", "ann", "api"), ("aa11", "ann", "api")]);
    assert_eq!(revisions.in_force().await.unwrap()[0].text.as_deref(), Some("one"));
    for told in [Some(&mut near), told.as_mut()].into_iter().flatten() {
        for _ in 0..4 {
            let what = tokio::time::timeout(Duration::from_secs(5), told.recv()).await.unwrap();
            assert_eq!(what.as_deref(), Some("agent/mia"));
        }
    }
    if let Some(far) = far {
        far.stop().await;
    }
    store.stop().await;
}

async fn documents_are_applied_all_or_none(place: Place) {
    let store = place.store().await;
    let revisions = store.revisions();
    let mut told = revisions.listen();
    if place.url.is_some() {
        assert_eq!(told.recv().await.unwrap(), "");
    }
    let new = |kind: &str, name: &str, revision: &str, text: Option<&str>| NewDocument {
        kind: kind.into(),
        name: name.into(),
        revision: revision.into(),
        text: text.map(str::to_owned),
        applied_by: "ann".into(),
        way: "push".into(),
    };
    // By a command, beside the server.
    let desk = place.desk().await.unwrap().documents();
    assert_eq!(desk.newest().await.unwrap(), 0);
    let many = (0..250).map(|n| (new("agent", &format!("a{n:03}"), "r1", Some("one")), None));
    let all = many.chain([(new("file", "sounds/a.wav", "f1", Some("AAAA")), None)]).collect();
    assert_eq!(desk.apply_all(all).await.unwrap(), [true; 251]);
    let first = revisions.newest().await.unwrap();
    assert_eq!(revisions.since(0, 1_000).await.unwrap().len(), 251);
    // One that somebody else has changed: none is applied.
    assert!(revisions.add(new("agent", "a007", "r2", Some("two")), Some(Some("r1"))).await.unwrap());
    let stale = |name: &str| (new("agent", name, "r3", Some("three")), Some("r1".to_owned()));
    let lost = desk.apply_all(vec![stale("a006"), stale("a007"), stale("a008")]).await.unwrap_err().to_string();
    assert!(lost.contains("agent a007 was changed meanwhile, by ann"), "{lost}");
    let since = async |seq: i64| -> Vec<(String, Option<String>)> {
        revisions.since(seq, 9).await.unwrap().into_iter().map(|one| (one.name, one.text)).collect()
    };
    assert_eq!(since(first).await, [("a007".to_owned(), Some("two".to_owned()))]);
    // Upon all that there is: whatever has changed, none is applied.
    let newest = revisions.newest().await.unwrap();
    let upon = [new("agent", "a009", "r4", Some("four")), new("agent", "new", "r4", Some("four"))];
    assert!(matches!(revisions.apply_upon(first, &upon).await, Err(StoreError::Stale)));
    assert_eq!(revisions.newest().await.unwrap(), newest);
    assert_eq!(revisions.apply_upon(newest, &upon).await.unwrap(), [true; 2]);
    assert_eq!(since(newest).await.len(), 2);
    // So long a file may be, and no longer; a document never.
    let long = "A".repeat(1 << 20 | 1);
    for (kind, text, fits) in
        [("agent", long.clone(), false), ("file", long.clone(), true), ("file", long.repeat(8), false)]
    {
        let done = desk.apply_all(vec![(new(kind, "long", "l1", Some(&text)), None)]).await;
        assert_eq!(done.is_ok(), fits, "{kind}");
    }
    // What is taken away is told, and what says just that already is no change.
    let before = revisions.newest().await.unwrap();
    let gone = (new("agent", "a006", "", None), Some("r1".to_owned()));
    let same = (new("agent", "a007", "r2", Some("two")), Some("r2".to_owned()));
    assert_eq!(desk.apply_all(vec![gone, same]).await.unwrap(), [true, false]);
    assert_eq!(since(before).await, [("a006".to_owned(), None)]);
    assert_eq!(revisions.since(0, 1_000).await.unwrap().len(), 253);
    assert_eq!(revisions.hears_others(), place.url.is_some());
    // Of what the command did PostgreSQL tells, of SQLite's only what this process did.
    let what = tokio::time::timeout(Duration::from_secs(5), told.recv()).await.unwrap().unwrap();
    assert_eq!(what, if place.url.is_some() { "agent/a000" } else { "agent/a007" });
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

#[tokio::test]
async fn on_a_full_disk_nobody_is_let_in_until_there_is_room() {
    let place = Place::sqlite();
    let store = place.store().await;
    // Known to this connection alone, which is not used again once it has failed.
    store.core.turn.lock().await.execute_unprepared("PRAGMA max_page_count = 1").await.unwrap();
    let long = NewCall { from: Some("5".repeat(200_000)), ..call("a") };
    assert!(matches!(store.admit(Wish { call: long, ..wish("a") }).await, Err(Denied::Store(_))));
    let why = store.ill().unwrap();
    assert!(why.contains("full"), "{why}");
    store.admit(wish("b")).await.unwrap();
    assert_eq!((store.ill(), row(&store, "a").await), (None, None));
    assert_eq!(told(&store).await, pairs("b", &["call.started"]));
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

#[tokio::test]
async fn what_a_server_had_is_anothers_once_its_lease_is_over_and_not_before() {
    let Some(place) = Place::postgres().await else { return };
    let lease = Duration::from_secs(2);
    let first = place.store_with(0, lease).await.unwrap();
    until_ready(&first).await;
    let other = place.beside();
    let second = other.store_with(0, lease).await.unwrap();
    until_ready(&second).await;
    first.admit(wish("a")).await.unwrap();
    second.admit(wish("b")).await.unwrap();
    let sent = first.claim(HOOK, 1).await.unwrap();
    // For longer than its lease: it renews it.
    tokio::time::sleep(2 * lease).await;
    assert_eq!(row(&second, "a").await.unwrap().state, CallState::Running);
    kill(first).await;
    until_row(&second, "a", Some(CallState::Lost)).await;
    assert_eq!(row(&second, "b").await.unwrap().state, CallState::Running);
    assert_eq!(second.core.counters.lost.load(Relaxed), 1);
    let mut claimed = second.claim(HOOK, 9).await.unwrap();
    claimed.sort_by_key(|row| row.seq);
    assert_eq!((claimed[0].id.as_str(), claimed[0].call.as_str()), (sent[0].id.as_str(), sent[0].call.as_str()));
    let mut all = told(&second).await;
    all.sort();
    let mut expected = [pairs("a", &["call.started", "call.failed"]), pairs("b", &["call.started"])].concat();
    expected.sort();
    assert_eq!(all, expected, "told once");
    // It was away and not gone: its calls go on, and what their reports say counts.
    let third = place.store_with(0, lease).await.unwrap();
    until_ready(&third).await;
    third.end_call(ended(report("a", EndReason::CallerHungUp)));
    third.flush().await;
    assert_eq!(row(&third, "a").await.unwrap().end_kind.as_deref(), Some("caller_hung_up"));
    // One that stops lets go of all at once.
    third.admit(wish("c")).await.unwrap();
    third.stop().await;
    until_row(&second, "c", Some(CallState::Lost)).await;
    second.stop().await;
}

async fn until_ready(store: &Store) {
    for _ in 0..1_000 {
        if store.core.is_ready() && store.ill().is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not ready after 10 s: {:?}", store.ill());
}

#[tokio::test]
async fn while_postgresql_is_gone_nobody_is_let_in_and_nothing_is_lost() {
    let Some(mut cluster) = tokio::task::spawn_blocking(Cluster::start).await.unwrap() else { return };
    let place = Place::at(cluster.url(&cluster.database(None)));
    cluster.stop();
    // Gone at the start: the server is there, and says why it lets nobody in.
    let store = place.store_with(0, Duration::from_secs(2)).await.unwrap();
    let refused = async |id: &str| {
        let began = Instant::now();
        assert!(matches!(store.admit(wish(id)).await, Err(Denied::Store(_))));
        assert!(began.elapsed() < 2 * admit::LONGEST, "{:?}", began.elapsed());
    };
    refused("a").await;
    assert!(store.ill().is_some());
    cluster.resume();
    until_ready(&store).await;
    store.admit(wish("b")).await.unwrap();
    // Gone in between.
    cluster.stop();
    refused("c").await;
    assert!(store.ill().is_some());
    let began = Instant::now();
    store.end_call(ended(report("b", EndReason::CallerHungUp)));
    store.set_analysis("b", json!({ "mood": "good" }));
    assert!(began.elapsed() < Duration::from_millis(100), "a call that is up waits for nothing");
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.resume();
    until_row(&store, "b", Some(CallState::Ended)).await;
    until_ready(&store).await;
    store.flush().await;
    assert_eq!(told(&store).await, pairs("b", &["call.started", "call.ended", "analysis.ready"]));
    assert_eq!((row(&store, "a").await, row(&store, "c").await), (None, None));
    store.admit(wish("d")).await.unwrap();
    assert!(store.core.counters.not_admitted.load(Relaxed) >= 2);
    store.stop().await;
}

#[tokio::test]
async fn servers_that_start_at_once_make_the_tables_once_and_unfit_databases_are_named() {
    let Some(cluster) = tokio::task::spawn_blocking(Cluster::start).await.unwrap() else { return };
    let (name, lease) = (cluster.database(None), Duration::from_secs(15));
    let place = Place::at(cluster.url(&name));
    let places: Vec<Place> = (0..4).map(|_| place.beside()).collect();
    let starts = places.iter().map(|place| place.store_with(0, lease));
    for store in futures_util::future::join_all(starts).await {
        let store = store.unwrap();
        until_ready(&store).await;
        store.stop().await;
    }
    assert_eq!(cluster.sql(&name, "SELECT count(*) FROM about"), "1");
    assert_eq!(cluster.sql(&name, "SELECT count(*) FROM servers"), "0", "all have resigned");
    cluster.sql(&name, &format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    let store = place.store_with(0, lease).await.unwrap();
    assert!(matches!(store.admit(wish("a")).await, Err(Denied::Store(_))));
    let ill = store.ill().unwrap();
    assert!(ill.contains("takes no writes") && ill.contains("[store] url"), "{ill}");
    store.stop().await;
    cluster.sql("postgres", &format!("ALTER DATABASE {name} SET default_transaction_read_only = off"));
    cluster.sql(&name, "UPDATE schema_version SET version = 99");
    let said = place.store_with(0, lease).await.err().unwrap().to_string();
    assert!(said.contains("version 99") && said.contains("newer"), "{said}");
    assert!(matches!(place.desk().await, Err(StoreError::Newer { found: 99, .. })));
}

#[tokio::test]
async fn a_database_of_the_first_version_goes_on_with_its_data() {
    let place = Place::sqlite();
    let db = sql::Place::new(place.data(), None).connect(Mode::Server, 1).await.unwrap();
    db.execute_unprepared(&sql::dialect(&db, schema::STEPS[0][0], now_ms())).await.unwrap();
    let (over, up) = (old_id(3, "0a"), old_id(2, "0b"));
    for (call, state) in [(&over, "ended"), (&up, "running")] {
        db.execute_unprepared(&format!(
            "INSERT INTO calls (id, carrier_call, direction, deployment, agent, revision, started_ms, state, cost_micros) \
             VALUES ('{call}', 'CA', 'inbound', 'desk', 'mia', 'r1', 5, '{state}', 7); \
             INSERT INTO outbox (id, call, endpoint, type, body, created_ms, next_at_ms, state) \
             VALUES ('evt_{call}', '{call}', '{HOOK}', 'call.started', '{{}}', 5, 5, 'waiting')"
        ))
        .await
        .unwrap();
    }
    db.execute_unprepared("INSERT INTO dials VALUES ('k', 'hash', 9000000000000, 'answered', NULL, NULL, NULL)")
        .await
        .unwrap();
    db.execute_unprepared("PRAGMA user_version = 1").await.unwrap();
    db.close().await.unwrap();
    let said = place.desk().await.err().unwrap().to_string();
    assert!(said.contains("version 1") && said.contains("start the server"), "{said}");
    let store = place.store().await;
    until_row(&store, &up, Some(CallState::Lost)).await;
    let kept = row(&store, &over).await.unwrap();
    assert_eq!((kept.cost_micros, kept.state, kept.owner, kept.home), (7, CallState::Ended, None, None));
    assert_eq!(store.dial("k").await.unwrap().unwrap().state, "answered");
    assert_eq!(store.claim(HOOK, 9).await.unwrap().len(), 2);
    assert_eq!(place.desk().await.unwrap().find(&over, 9).await.unwrap().len(), 1);
    store.stop().await;
}
