//! What servers of one store know of each other: what locks agents, what one asks of another, and who may still do what.

use super::*;
use crate::config::Role;
use crate::house::locks::Lock;
use crate::house::people::KeyWish;
use crate::house::principal::{Principal, Scopes};
use crate::store::people::OrgSettings;

on_both! {
    lock_02_what_is_locked_is_locked_for_all_servers_and_outlives_them,
    an_order_is_carried_out_once_or_not_at_all,
    acc_05_whoever_has_something_open_is_seen_as_they_are_now,
}

fn lock(by: &str) -> Lock {
    Lock { by: by.to_owned(), agent: "mia".to_owned(), deployment: Some("desk".to_owned()) }
}

fn document(kind: &str, name: &str, text: &str) -> NewDocument {
    let revision = format!("r{}", text.len());
    let (kind, name, text) = (kind.to_owned(), name.to_owned(), Some(text.to_owned()));
    NewDocument { kind, name, revision, text, applied_by: "ann".to_owned(), way: "api".to_owned() }
}

async fn lock_02_what_is_locked_is_locked_for_all_servers_and_outlives_them(place: Place) {
    let store = place.store().await;
    let other = if place.url.is_some() { Some(place.beside().store().await) } else { None };
    let mut told = other.as_ref().unwrap_or(&store).listen(Topic::Locks);
    if other.is_some() {
        assert_eq!(told.next().await.as_deref(), Some(""), "what was before is to be read once");
    }
    store.lock("camp_1", &lock("Spring")).await.unwrap();
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), told.next()).await.unwrap().as_deref(), Some(""));
    store.lock("camp_2", &lock("Summer")).await.unwrap();
    store.lock("camp_1", &lock("Early spring")).await.unwrap();
    let names =
        async |store: &Store| -> Vec<String> { store.locks().await.unwrap().into_iter().map(|lock| lock.by).collect() };
    assert_eq!(names(other.as_ref().unwrap_or(&store)).await, ["Early spring", "Summer"]);
    // Nobody writes a document that is locked, whoever asks where: all of what is asked for or none.
    let revisions = other.as_ref().unwrap_or(&store).revisions();
    let desk = place.desk().await.unwrap();
    assert_eq!(desk.locks().await.unwrap().len(), 2);
    let both = || vec![(document("agent", "ben", "one"), None), (document("agent", "mia", "one"), None)];
    for refused in [
        revisions.apply_all(both()).await,
        desk.documents().apply_all(both()).await,
        revisions.apply_upon(0, &[document("deployment", "desk", "one")], Locked::Refused).await,
    ] {
        let Err(StoreError::Rule(refusal)) = refused else { panic!("{refused:?}") };
        assert_eq!((refusal.code, refusal.status), ("locked", 409));
        let said = "This bot is used by running campaigns: Early spring, Summer. Stop them first.";
        assert_eq!(refusal.message, said);
    }
    assert_eq!(revisions.newest().await.unwrap(), 0);
    // LOCK-03: the rest is free; an emergency asks nobody; what is in force already is only noted.
    assert_eq!(
        revisions.apply_upon(0, &[document("deployment", "shop", "one")], Locked::Refused).await.unwrap(),
        [true]
    );
    let newest = revisions.newest().await.unwrap();
    assert_eq!(revisions.apply_upon(newest, &[document("agent", "mia", "off")], Locked::Passed).await.unwrap(), [true]);
    assert!(revisions.add(document("agent", "mia", "in force"), None).await.unwrap());
    assert!(
        revisions.apply_all(vec![(document("agent", "mia", "in force"), Some("r8".to_owned()))]).await.is_ok(),
        "the same"
    );
    // The server that wrote it goes, and the lock stays.
    kill(store).await;
    if let Some(other) = &other {
        assert_eq!(names(other).await.len(), 2);
        other.stop().await;
    }
    let store = place.store().await;
    store.unlock("camp_1").await.unwrap();
    assert_eq!(names(&store).await, ["Summer"]);
    store.unlock("camp_2").await.unwrap();
    assert_eq!(
        store.revisions().apply_all(vec![(document("agent", "mia", "later"), Some("r8".to_owned()))]).await.unwrap(),
        [true]
    );
    store.stop().await;
}

async fn an_order_is_carried_out_once_or_not_at_all(place: Place) {
    const SOON: Duration = Duration::from_millis(600);
    let store = place.store().await;
    // With SQLite there is no other, and an order for oneself is as good for this.
    let other = if place.url.is_some() { place.beside().store().await } else { store.clone() };
    if place.url.is_some() {
        assert_eq!(store.other_servers().await.unwrap(), [other.server()]);
    } else {
        assert_eq!(store.other_servers().await.unwrap(), [""; 0]);
    }
    let server = other.server().to_owned();
    // It is answered as soon as it is carried out.
    let (asks, to) = (store.clone(), server.clone());
    let asking = tokio::spawn(async move { asks.ask(&to, "end", Duration::from_secs(10)).await });
    let asked = loop {
        if let Some(asked) = other.asked().await.unwrap().pop() {
            break asked;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(asked.order, "end");
    assert_eq!(other.asked().await.unwrap(), [], "it is claimed once");
    other.answer(&asked.id, "done").await.unwrap();
    let began = Instant::now();
    assert_eq!(asking.await.unwrap().unwrap(), Reply::Answer("done".to_owned()));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    // Nobody takes it: it is taken back, and never comes later.
    assert_eq!(store.ask(&server, "late", SOON).await.unwrap(), Reply::Untaken);
    assert_eq!(other.asked().await.unwrap(), []);
    // It is taken, and not answered in time: nobody knows.
    let (asks, to) = (store.clone(), server.clone());
    let asking = tokio::spawn(async move { asks.ask(&to, "slow", SOON).await });
    while other.asked().await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(asking.await.unwrap().unwrap(), Reply::Unknown);
    assert_eq!(store.ask("srv_gone", "end", SOON).await.unwrap(), Reply::Gone);
    // What is too much waits for nobody, and what is left goes after a minute.
    let row = |n: i64| format!("('cmd_{n:03}', '{server}', 'x', {})", now_ms() + 60_000 * n);
    let rows: Vec<_> = (1..=256).map(row).collect();
    place.sql(&format!("INSERT INTO commands (id, server, command, due_ms) VALUES {}", rows.join(", "))).await;
    assert!(matches!(store.ask(&server, "end", SOON).await, Err(StoreError::Refused(_))));
    place.sql("UPDATE commands SET due_ms = 1").await;
    assert_eq!(other.asked().await.unwrap(), []);
    assert_eq!(store.ask(&server, "end", Duration::from_millis(1)).await.unwrap(), Reply::Untaken);
    if place.url.is_some() {
        other.stop().await;
        assert_eq!(store.ask(&server, "end", SOON).await.unwrap(), Reply::Gone);
    }
    store.stop().await;
}

async fn acc_05_whoever_has_something_open_is_seen_as_they_are_now(place: Place) {
    let store = place.store().await;
    let (people, owner) = (store.people(), Principal::Operator);
    let user = people.add_user(&owner, "ann@example.com", Role::Builder, None).await.unwrap();
    let session = people.log_in(&user.id, "", "").await.unwrap().session;
    let was = |role| Principal::User {
        id: user.id.clone(),
        email: user.email.clone(),
        role,
        session: session.id.clone(),
        lacks_factor: false,
    };
    let mut told = store.listen(Topic::People);
    let mut told = async || {
        tokio::time::timeout(Duration::from_secs(5), told.next()).await.unwrap().unwrap();
    };
    assert_eq!(people.again(&was(Role::Builder)).await.unwrap(), Some(was(Role::Builder)));
    // A second factor that is demanded from now on.
    people.set_settings("ann", OrgSettings { second_factor: true }).await.unwrap();
    told().await;
    let lacking = people.again(&was(Role::Builder)).await.unwrap().unwrap();
    assert!(matches!(lacking, Principal::User { lacks_factor: true, .. }));
    people.set_role(&owner, &user.id, Role::Member).await.unwrap();
    told().await;
    assert_eq!(people.again(&was(Role::Builder)).await.unwrap(), None, "another role logs in again");
    let wish =
        KeyWish { name: "ci".into(), role: Role::Builder, scopes: Scopes::all(), agents: None, expires_ms: None };
    let (key, _) = people.add_key(&owner, wish).await.unwrap();
    let key = key.principal();
    assert_eq!(people.again(&key).await.unwrap().as_ref(), Some(&key));
    let Principal::Key { id, .. } = &key else { panic!("no key") };
    people.remove_key(&owner, id).await.unwrap();
    told().await;
    assert_eq!(people.again(&key).await.unwrap(), None);
    assert_eq!(people.again(&Principal::Nobody).await.unwrap(), None);
    store.stop().await;
}
