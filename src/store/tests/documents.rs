//! Revisions of documents.

use super::*;

on_both! {
    revisions_are_kept_and_read,
    documents_are_applied_all_or_none,
    old_revisions_go_unless_they_are_among_the_newest_or_somebody_needs_them,
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
    assert!(matches!(revisions.apply_upon(first, &upon, Locked::Refused).await, Err(StoreError::Stale)));
    assert_eq!(revisions.newest().await.unwrap(), newest);
    assert_eq!(revisions.apply_upon(newest, &upon, Locked::Refused).await.unwrap(), [true; 2]);
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

async fn old_revisions_go_unless_they_are_among_the_newest_or_somebody_needs_them(place: Place) {
    let store = place.store().await;
    until_quiet(&store).await;
    let day_ms = 86_400_000;
    let now_ms = sql::clock_ms(store.db()).await.unwrap();
    // A revision a day, the first of them so many days ago.
    let add = async |kind: &str, name: &str, first: i64, count: i64| {
        let row = |n: i64| {
            let applied_ms = now_ms - (first - n) * day_ms;
            format!("('{kind}', '{name}', '{name}{n}', 'text', 'ann', 'push', {applied_ms})")
        };
        let rows = (0..count).map(row).collect::<Vec<_>>().join(", ");
        let columns = "kind, name, revision, text, applied_by, way, applied_ms";
        place.sql(&format!("INSERT INTO documents ({columns}) VALUES {rows}")).await;
    };
    add("file", "a.wav", 300, 130).await;
    add("agent", "old", 400, 100).await;
    add("agent", "young", 150, 130).await;
    // A call that is kept, and a job that waits: they began by the revisions of then.
    let at = |first: i64, n: i64| now_ms - (first - n) * day_ms + day_ms / 2;
    store.begin_call(NewCall { started: time_of(at(300, 5)), ..call("a") });
    store.flush().await;
    let job = NewJob { kind: "k".into(), key: "1".into(), revision: Some("r".into()), ..NewJob::default() };
    store.add_job(job).await.unwrap();
    place.sql(&format!("UPDATE jobs SET created_ms = {} WHERE kind = 'k'", at(300, 10))).await;
    assert_eq!(revisions::prune(&store.core).await.unwrap(), 27 + 30);
    let revisions = store.revisions();
    let left = async |kind: &str, name: &str| -> Vec<String> {
        let all = revisions.list(kind, name, 1_000).await.unwrap();
        all.into_iter().rev().map(|one| one.revision).collect()
    };
    let files = left("file", "a.wav").await;
    let pinned = ["a.wav5", "a.wav9", "a.wav10", "a.wav30"];
    assert_eq!((&files[..4], files.len()), (&pinned.map(str::to_owned)[..], 103));
    assert_eq!(left("agent", "old").await.len(), 100, "the newest");
    let young = left("agent", "young").await;
    assert_eq!((young[0].as_str(), young.len()), ("young30", 100));
    assert_eq!(revisions.in_force().await.unwrap().len(), 3);
    assert_eq!(revisions::prune(&store.core).await.unwrap(), 0);
    store.stop().await;
}
