//! Pictures of calls are jobs: however a server is killed between a call's end and its picture, the next one draws it.

use std::path::{Path, PathBuf};
use std::process::Command;

use offhook::stage::phone::Step;
use sea_orm::ConnectionTrait as _;

use crate::house::{Plan, Site, place};
use crate::survival::{serve_at, signal};
use crate::two_servers::until;

/// The database of a site, beside its server.
async fn database(site: &Site) -> sea_orm::DatabaseConnection {
    let mut options = sea_orm::ConnectOptions::new(format!("sqlite:{}", site.data().join("offhook.db").display()));
    options.max_connections(1).sqlx_logging(false);
    sea_orm::Database::connect(options).await.expect("a database")
}

/// What a question answers, as text; nothing while nobody can be asked.
async fn ask(site: &Site, question: &str) -> String {
    let db = database(site).await;
    let asked = sea_orm::Statement::from_string(db.get_database_backend(), question);
    let row = db.query_one_raw(asked).await.ok().flatten();
    let said = row.and_then(|row| row.try_get_by_index::<Option<String>>(0).ok().flatten()).unwrap_or_default();
    db.close().await.expect("an end");
    said
}

/// The newest call's folder, once there is one.
async fn folder(site: &Site, calls: usize) -> PathBuf {
    let path = site.data().join("calls");
    let all = || {
        let entries = std::fs::read_dir(&path).into_iter().flatten().filter_map(Result::ok);
        let mut all: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.join("journal").exists()).collect();
        all.sort();
        all
    };
    until("the call has a folder", async || all().len() == calls).await;
    all().pop().expect("a folder")
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
}

#[tokio::test]
async fn pictures_that_a_killed_server_had_to_draw_are_drawn_by_the_next_one() {
    let deployment = "[keep]\nrecording = true\njournal = \"audio\"\npictures = true\n".to_owned();
    let site = Site::build(&Plan { deployment, ..Plan::default() }).await;
    let (mut server, url) = serve_at(&site, "127.0.0.1:0");
    let script = || vec![Step::Silence(2_500), Step::HangUp];
    let call = tokio::spawn(place(site.caller(url, script())));
    let first = folder(&site, 1).await;
    // Whoever opens a pipe to write waits for who reads: the drawing stands still in the middle.
    pipe(&first.join("call.new"));
    call.await.expect("a call");
    let begun = "SELECT state || ' ' || attempts || ' ' || (owner IS NOT NULL) FROM jobs WHERE kind = 'pictures'";
    until("it is being drawn", async || ask(&site, begun).await == "waiting 1 1").await;
    signal(&server, "KILL");
    server.wait().expect("an end");
    assert!(!first.join("call.html").exists());
    std::fs::remove_file(first.join("call.new")).expect("a pipe");
    let (mut server, url) = serve_at(&site, "127.0.0.1:0");
    until("it is done", async || ask(&site, begun).await == "done 2 0").await;
    assert!(first.join("call.svg").exists() && first.join("call.html").exists());

    // The next is killed when its report is written, and its row is not.
    let call = tokio::spawn(place(site.caller(url, script())));
    let second = folder(&site, 2).await;
    let other = database(&site).await;
    other.execute_unprepared("BEGIN IMMEDIATE").await.expect("the right to write");
    call.await.expect("a call");
    until("its report is written", async || second.join("report.json").exists()).await;
    signal(&server, "KILL");
    server.wait().expect("an end");
    other.execute_unprepared("ROLLBACK").await.expect("an end");
    other.close().await.expect("an end");
    assert_eq!(ask(&site, "SELECT CAST(count(*) AS TEXT) FROM jobs WHERE kind = 'pictures'").await, "1");
    let (mut server, _) = serve_at(&site, "127.0.0.1:0");
    until("it is drawn", async || second.join("call.html").exists()).await;
    signal(&server, "TERM");
    assert!(server.wait().expect("an end").success());
    let all = "SELECT CAST(count(*) AS TEXT) FROM jobs WHERE kind = 'pictures' AND state = 'done' AND payload = ''";
    assert_eq!(ask(&site, all).await, "2");
}
