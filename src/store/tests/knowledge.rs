//! What agents look things up in: added within bounds, read once, found by words, and gone when it is removed.

use super::*;
use crate::house::knowledge::{MAX_BYTES, MAX_DOCUMENTS};
use crate::knowledge;

on_both! {
    agt_04_a_document_is_read_by_a_job_and_found_by_its_words_until_it_is_removed,
    agt_04_both_databases_find_the_same_in_the_same_order,
    agt_04_no_more_is_added_than_the_bounds_say,
    agt_04_what_was_read_is_found_until_the_next_reading_is_whole,
    agt_04_a_reading_of_a_killed_server_is_begun_again_and_leaves_nothing,
    agt_04_pages_are_due_after_a_day,
    agt_04_what_a_question_is_made_of_cannot_break_a_search,
}

fn text(title: &str, text: &str) -> NewKnowledge {
    let (title, bytes) = (Some(title.to_owned()), text.as_bytes().to_vec());
    NewKnowledge { title, declared: "text/markdown".to_owned(), bytes, by: "ann".to_owned(), ..NewKnowledge::default() }
}

impl KnowledgeTaken {
    fn row(self) -> KnowledgeRow {
        match self {
            KnowledgeTaken::New(row) => *row,
            KnowledgeTaken::No(no) => panic!("{no}"),
        }
    }

    fn no(self) -> crate::house::Refusal {
        match self {
            KnowledgeTaken::New(row) => panic!("{row:?}"),
            KnowledgeTaken::No(no) => no,
        }
    }
}

/// Does the jobs that wait; tells how many.
async fn read_all(store: &Store) -> usize {
    let jobs = store.claim_jobs(KNOWLEDGE, 1_000).await.unwrap();
    for job in &jobs {
        let (id, reading) = job.reading().unwrap();
        if let Some((document, bytes)) = store.knowledge().begin(id, reading).await.unwrap() {
            match knowledge::read(&bytes, &document.declared) {
                Ok(reading) => store.knowledge().finish(&document, &reading).await.unwrap(),
                Err(error) => store.knowledge().failed(&document, &error.0).await.unwrap(),
            }
        }
        store.job_done(job.seq).await.unwrap();
    }
    jobs.len()
}

async fn found(store: &Store, question: &str) -> Vec<String> {
    let hits = store.knowledge().search("mia", question, 5).await.unwrap();
    hits.into_iter().map(|hit| format!("{}: {}", hit.title, hit.heading)).collect()
}

async fn count(place: &Place, table: &str) -> i64 {
    let db = place.connect().await;
    let row = db.query_one_raw(sql::statement(&db, &format!("SELECT count(*) FROM {table}"))).await.unwrap().unwrap();
    db.close().await.unwrap();
    row.try_get_by_index(0).unwrap()
}

async fn agt_04_a_document_is_read_by_a_job_and_found_by_its_words_until_it_is_removed(place: Place) {
    let store = place.store().await;
    let known = store.knowledge();
    let rules = "# House\n\n## Pets\n\nDogs may come for ten francs.\n\n## Fire\n\nLeave by the stairs.";
    let row = known.add("mia", text("House rules", rules)).await.unwrap().row();
    assert!(row.id.starts_with("doc_"), "{}", row.id);
    assert_eq!((row.state, row.size, row.read_ms), (KnowledgeState::Waiting, rules.len() as i64, None));
    assert!(known.agents().await.unwrap().is_empty() && known.has_any("mia").await.unwrap());
    assert_eq!(found(&store, "dogs").await, Vec::<String>::new());
    assert_eq!(read_all(&store).await, 1);
    let read = known.get("mia", &row.id).await.unwrap().unwrap();
    assert_eq!((read.state, read.kind.as_deref(), read.passages), (KnowledgeState::Ready, Some("markdown"), 2));
    assert!(read.read_ms.is_some() && read.words.is_none());
    assert_eq!(found(&store, "May my dog come with me?").await, ["House rules: House > Pets"]);
    assert_eq!(known.agents().await.unwrap().into_iter().collect::<Vec<_>>(), ["mia"]);
    // Others' are others'.
    assert_eq!(known.search("ben", "dogs", 5).await.unwrap(), []);
    assert_eq!(known.get("ben", &row.id).await.unwrap(), None);
    assert!(!known.remove("ben", &row.id).await.unwrap());
    let broken =
        known.add("mia", NewKnowledge { bytes: b"\x89PNG".to_vec(), ..text("Picture", "") }).await.unwrap().row();
    read_all(&store).await;
    let broken = known.get("mia", &broken.id).await.unwrap().unwrap();
    assert_eq!(broken.state, KnowledgeState::Failed);
    assert!(broken.words.unwrap().starts_with("It is a picture"));
    assert!(known.remove("mia", &row.id).await.unwrap() && !known.remove("mia", &row.id).await.unwrap());
    assert_eq!(found(&store, "dogs").await, Vec::<String>::new());
    assert_eq!(known.remove_all("mia").await.unwrap(), 1);
    known.sweep().await.unwrap();
    store.stop().await;
    assert_eq!(
        (count(&place, "passages").await, count(&place, "knowledge_bytes").await),
        (0, 0),
        "nothing is left of it"
    );
    if place.url.is_none() {
        assert_eq!(count(&place, "passage_words").await, 0);
    }
}

async fn agt_04_both_databases_find_the_same_in_the_same_order(place: Place) {
    let store = place.store().await;
    let documents = [
        (
            "Preise",
            "# Preise\n\nEine Übernachtung im Einzelzimmer kostet neunzig Franken.\n\n# Stornierung\n\nDie Stornierung ist bis \
                    zum Vortag kostenlos. Die Stornogebühr beträgt danach fünfzig Franken.",
        ),
        (
            "Hausordnung",
            "# Öffnungszeiten\n\nDie Rezeption ist von sieben bis zweiundzwanzig Uhr offen. Gäste aus der Müllerstraße melden \
                         sich beim Café.\n\n# Hunde\n\nHunde sind willkommen.",
        ),
        (
            "Prices",
            "# Prices\n\nA night in a single room is ninety francs. Refunds are paid within thirty days.\n\n# Rooms\n\nEach room \
                    has a shower. Rooms have no kitchen.",
        ),
    ];
    for (title, words) in documents {
        store.knowledge().add("mia", text(title, words)).await.unwrap().row();
    }
    assert_eq!(read_all(&store).await, 3);
    for (question, expected) in [
        ("Wann ist die Rezeption offen?", &["Hausordnung: Öffnungszeiten"][..]),
        ("offnungszeit", &["Hausordnung: Öffnungszeiten"]),
        ("Oeffnungszeiten", &["Hausordnung: Öffnungszeiten"]),
        ("muellerstrasse cafe", &["Hausordnung: Öffnungszeiten"]),
        ("Was kostet es, zu stornieren?", &["Preise: Stornierung", "Preise: Preise"]),
        ("Gebühr", &[]), // within a compound: only beginnings are found
        ("Storno", &["Preise: Stornierung"]),
        ("Can I have a refund?", &["Prices: Prices"]),
        ("rooms", &["Prices: Rooms", "Prices: Prices"]),
        ("Hund", &["Hausordnung: Hunde"]),
        ("swimming pool", &[]),
    ] {
        assert_eq!(found(&store, question).await, expected, "{question}");
    }
    store.stop().await;
}

async fn agt_04_no_more_is_added_than_the_bounds_say(place: Place) {
    let store = place.store().await;
    let known = store.knowledge();
    let of = |bytes: u64| NewKnowledge { bytes: vec![b'x'; bytes as usize], ..text("Long", "") };
    assert_eq!(known.add("mia", of(MAX_BYTES + 1)).await.unwrap().no().code, "document_size");
    assert_eq!(known.add("mia", of(0)).await.unwrap().no().code, "document_empty");
    known.add("mia", of(1)).await.unwrap().row();
    place.sql("UPDATE knowledge SET size = 99000000").await;
    assert_eq!(known.add("mia", of(1_000_001)).await.unwrap().no().code, "documents_size");
    let page = NewKnowledge { url: Some("https://a.example".to_owned()), bytes: Vec::new(), ..text("Page", "") };
    assert_eq!(known.add("mia", page.clone()).await.unwrap().no().code, "documents_size", "a page may have 2 MB");
    known.add("ben", page).await.unwrap().row();
    place.sql("UPDATE knowledge SET size = 1").await;
    for _ in 1..MAX_DOCUMENTS {
        known.add("mia", of(1)).await.unwrap().row();
    }
    let full = known.add("mia", of(1)).await.unwrap().no();
    assert_eq!(full.message, "An agent has at most 200 documents (200 / 200).");
    assert_eq!(known.list("mia").await.unwrap().len() as u64, MAX_DOCUMENTS);
    store.stop().await;
}

async fn agt_04_what_was_read_is_found_until_the_next_reading_is_whole(place: Place) {
    let store = place.store().await;
    let known = store.knowledge();
    let row = known.add("mia", text("Menu", "Soup of the day.")).await.unwrap().row();
    read_all(&store).await;
    let again = known.read_again("mia", &row.id).await.unwrap().unwrap();
    assert_eq!((again.state, again.asked), (KnowledgeState::Waiting, 2));
    assert_eq!(found(&store, "soup").await, ["Menu: "]);
    // Asked for once more meanwhile: the job before has nothing to do.
    known.read_again("mia", &row.id).await.unwrap().unwrap();
    assert_eq!(known.begin(&row.id, 2).await.unwrap(), None);
    let (document, _) = known.begin(&row.id, 3).await.unwrap().unwrap();
    known.failed(&document, "It is gone.").await.unwrap();
    known.sweep().await.unwrap();
    assert_eq!(found(&store, "soup").await, ["Menu: "], "what failed takes nothing away");
    let new = Fetched { bytes: b"Salad of the day.".to_vec(), declared: "text/plain".to_owned(), ..Fetched::default() };
    known.fetched(&row.id, &new).await.unwrap();
    known.read_again("mia", &row.id).await.unwrap().unwrap();
    read_all(&store).await;
    assert_eq!((found(&store, "soup").await, found(&store, "salad").await), (vec![], vec!["Menu: ".to_owned()]));
    assert_eq!(count(&place, "passages").await, 1);
    assert_eq!(known.read_again("mia", "doc_none").await.unwrap(), None);
    store.stop().await;
}

async fn agt_04_a_reading_of_a_killed_server_is_begun_again_and_leaves_nothing(place: Place) {
    let store = place.store().await;
    let long: String = (0..400).map(|n| format!("## Part {n}\n\nSoup number {n}.\n\n")).collect();
    let row = store.knowledge().add("mia", text("Menu", &long)).await.unwrap().row();
    let job = store.claim_jobs(KNOWLEDGE, 1).await.unwrap().remove(0);
    let (document, bytes) = store.knowledge().begin(&row.id, 1).await.unwrap().unwrap();
    let reading = knowledge::read(&bytes, "text/markdown").unwrap();
    store.knowledge().keep(&document, 0, &reading.passages[..100]).await.unwrap();
    assert_eq!(found(&store, "soup").await, Vec::<String>::new(), "it is not whole");
    kill(store).await;
    let next = place.store().await;
    next.knowledge().sweep().await.unwrap();
    let reads = next.knowledge().get("mia", &row.id).await.unwrap().unwrap();
    assert_eq!(reads.state, KnowledgeState::Reading, "its job is there");
    assert_eq!(read_all(&next).await, 1);
    assert_eq!((count(&place, "passages").await, found(&next, "soup").await.len()), (400, 5));
    // A job that was given up leaves nobody waiting.
    next.knowledge().read_again("mia", &row.id).await.unwrap();
    place.sql("UPDATE jobs SET state = 'dead' WHERE state = 'waiting' AND kind = 'knowledge'").await;
    next.knowledge().sweep().await.unwrap();
    let given_up = next.knowledge().get("mia", &row.id).await.unwrap().unwrap();
    assert_eq!(given_up.state, KnowledgeState::Failed);
    assert_eq!(found(&next, "soup").await.len(), 5);
    drop(job);
    next.stop().await;
}

async fn agt_04_pages_are_due_after_a_day(place: Place) {
    let store = place.store().await;
    let known = store.knowledge();
    let page = NewKnowledge { url: Some("https://a.example".to_owned()), bytes: Vec::new(), ..text("Page", "") };
    let row = known.add("mia", page).await.unwrap().row();
    known.add("mia", text("Sent", "Soup.")).await.unwrap().row();
    let (document, bytes) = known.begin(&row.id, 1).await.unwrap().unwrap();
    assert_eq!(bytes, b"");
    let fetched = Fetched { bytes: b"Soup.".to_vec(), etag: Some("1".to_owned()), ..Fetched::default() };
    known.fetched(&row.id, &fetched).await.unwrap();
    known.finish(&document, &knowledge::read(b"Soup.", "text/plain").unwrap()).await.unwrap();
    assert_eq!(known.ask_for_old_pages().await.unwrap(), 0);
    place.sql("UPDATE knowledge SET tried_ms = tried_ms - 86400001").await;
    assert_eq!(known.ask_for_old_pages().await.unwrap(), 1);
    let due = known.get("mia", &row.id).await.unwrap().unwrap();
    assert_eq!((due.state, due.asked, due.etag.as_deref()), (KnowledgeState::Waiting, 2, Some("1")));
    let (document, _) = known.begin(&row.id, 2).await.unwrap().unwrap();
    known.unchanged(&document).await.unwrap();
    assert_eq!(known.ask_for_old_pages().await.unwrap(), 0);
    assert_eq!(known.search("mia", "soup", 5).await.unwrap().len(), 1);
    store.stop().await;
}

async fn agt_04_what_a_question_is_made_of_cannot_break_a_search(place: Place) {
    let store = place.store().await;
    store
        .knowledge()
        .add("mia", text("Menu", "Soup: \"of the day\" * NEAR (heading) 100% a-b 'c'."))
        .await
        .unwrap()
        .row();
    read_all(&store).await;
    for question in [
        "\"",
        "soup\" OR \"x",
        "heading:soup",
        "NEAR(soup day, 2)",
        "soup*",
        "' & !soup | (",
        "a\0b",
        "-soup",
        "\\",
        ":*",
        "%",
    ] {
        store.knowledge().search("mia", question, 5).await.unwrap_or_else(|error| panic!("{question}: {error}"));
    }
    assert_eq!(found(&store, "soup').!&|<->:*").await.len(), 1);
    store.stop().await;
}

/// Said in figures by hand, since machines differ: `cargo test --release -- --ignored ten_thousand`.
#[tokio::test]
#[ignore = "a measurement"]
async fn ten_thousand_passages_on_both() {
    for place in [Some(Place::sqlite()), Place::postgres().await].into_iter().flatten() {
        let store = place.store().await;
        let words = ["room", "price", "night", "dog", "breakfast", "parking", "refund", "window", "garden", "key"];
        for document in 0..10 {
            let part = |n: usize| {
                let word = |k: usize| format!("{} number {} ", words[(n * 7 + k * 3) % 10], (n * 31 + k) % 977);
                format!("## Part {n}\n\n{}\n\n", (0..60).map(word).collect::<String>())
            };
            let long: String = (0..1_000).map(|n| part(document * 1_000 + n)).collect();
            store.knowledge().add("mia", text(&format!("Book {document}"), &long)).await.unwrap().row();
        }
        let began = Instant::now();
        read_all(&store).await;
        let took = began.elapsed();
        println!("{:?}: {} passages written in {took:?}", place.url.is_some(), count(&place, "passages").await);
        for question in
            ["refund 976", "What is the price of a room with a dog?", "breakfast parking garden window key night"]
        {
            let mut all = Vec::new();
            for _ in 0..20 {
                let began = Instant::now();
                assert_eq!(store.knowledge().search("mia", question, 5).await.unwrap().len(), 5);
                all.push(began.elapsed());
            }
            all.sort();
            println!("{question}: median {:?}, worst {:?}", all[10], all[19]);
        }
        store.stop().await;
    }
}
