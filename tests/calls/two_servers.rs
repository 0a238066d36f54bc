//! Two servers with one PostgreSQL: what they share, and what becomes of one's calls when it is killed.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use offhook::stage::phone::{EndedBy, Step};

use crate::cluster::Cluster;
use crate::house::{NUMBER, Plan, Site, TOKEN, place};
use crate::survival::signal;

/// How long a killed server's calls stay up, in seconds.
const LEASE_S: u64 = 2;

/// A server's process.
struct Process {
    child: Child,
    url: String,
    site: Site,
}

impl Process {
    async fn start(database: &str, events: Option<&str>) -> Process {
        let hook = events.map_or(String::new(), |url| {
            format!("[[webhooks]]\nname = \"crm\"\nurl = \"{url}\"\nsecret = {{ env = \"TOKEN_OF_EVENTS\" }}\nretry_first_ms = 100\n")
        });
        let twilio = format!("[store]\nurl = {{ env = \"DATABASE_URL\" }}\nlease_s = {LEASE_S}\n{hook}");
        let site = Site::build(&Plan { twilio, ..Plan::default() }).await;
        let (child, url) = spawn(&site, database);
        Process { child, url, site }
    }

    /// Another process with the same documents and folder.
    fn again(&mut self, database: &str) {
        (self.child, self.url) = spawn(&self.site, database);
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("{}{path}", self.url)).await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    /// A voice webhook: the TwiML.
    async fn ring(&self, call: &str) -> String {
        let url = format!("{}/twilio/voice", self.url);
        let fields = [("CallSid", call), ("To", NUMBER), ("From", "+15550100001")];
        let params: Vec<_> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let signature = offhook::link::twilio::signature::sign(&offhook::config::Secret::new(TOKEN), &url, &params);
        let request = reqwest::Client::new().post(url).header("x-twilio-signature", signature).form(&fields);
        request.send().await.expect("an answer").text().await.expect("TwiML")
    }

    /// What it has logged.
    fn log(&self) -> String {
        std::fs::read_to_string(log(&self.site)).expect("a log")
    }

    fn end(&mut self, how: &str) {
        signal(&self.child, how);
        self.child.wait().expect("an end");
    }

    /// What `offhook calls` prints.
    fn calls(&self, database: &str) -> String {
        let mut calls = Command::new(env!("CARGO_BIN_EXE_offhook"));
        calls.args(["calls", "--json", "--config"]).arg(self.site.config());
        let said = calls.env("DATABASE_URL", database).env("TOKEN", TOKEN).output().expect("the binary");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8_lossy(&said.stdout).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a site's servers log.
fn log(site: &Site) -> std::path::PathBuf {
    site.dir.path().join("log")
}

pub(crate) fn spawn(site: &Site, database: &str) -> (Child, String) {
    use std::io::BufRead as _;
    let log = std::fs::File::options().create(true).append(true).open(log(site)).expect("a log");
    let mut child = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .args(["serve", "--config"])
        .arg(site.config())
        .arg("--data")
        .arg(site.data())
        .env("TOKEN", TOKEN)
        .env("TOKEN_OF_EVENTS", "a secret of some length")
        .env("DATABASE_URL", database)
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .expect("the binary");
    let mut first = String::new();
    std::io::BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a banner");
    let url = first.trim().rsplit(' ').next().expect("an address").to_owned();
    (child, url)
}

pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} is not so after 20 s");
}

pub(crate) async fn cluster() -> Option<Cluster> {
    tokio::task::spawn_blocking(Cluster::start).await.expect("a thread")
}

/// Takes events, and keeps their calls and types.
async fn receiver() -> (String, std::sync::Arc<std::sync::Mutex<Vec<(String, String)>>>) {
    let taken: std::sync::Arc<std::sync::Mutex<Vec<(String, String)>>> = std::sync::Arc::default();
    let kept = std::sync::Arc::clone(&taken);
    let take = move |axum::Json(event): axum::Json<serde_json::Value>| async move {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        kept.lock().expect("a list").push((text(&event["call"]["carrier_call"]), text(&event["type"])));
    };
    let router = axum::Router::new().route("/", axum::routing::post(take));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, taken)
}

#[tokio::test]
async fn sca_03_what_a_killed_server_leaves_is_settled_by_the_other_after_its_lease_and_told_once() {
    let Some(cluster) = cluster().await else { return };
    let name = cluster.database(None);
    let database = cluster.url(&name);
    let (events, taken) = receiver().await;
    let (first, second) =
        tokio::join!(Process::start(&database, Some(&events)), Process::start(&database, Some(&events)));
    let mut first = first;
    for server in [&first, &second] {
        until("both are ready", async || server.get("/readyz").await.0 == 200).await;
    }
    assert_eq!(cluster.sql(&name, "SELECT count(*) FROM servers"), "2");
    assert!(first.ring("CA-killed").await.contains("<Stream"));
    let other = tokio::spawn(place(second.site.caller(second.url.clone(), vec![Step::Silence(9_000), Step::HangUp])));
    until("both are up", async || cluster.sql(&name, "SELECT count(*) FROM calls WHERE state = 'running'") == "2")
        .await;
    first.end("KILL");
    assert_eq!(cluster.sql(&name, "SELECT count(*) FROM calls WHERE state = 'running'"), "2", "its lease is not over");
    let state = "SELECT state || ' ' || end_kind FROM calls WHERE carrier_call = 'CA-killed'";
    until("it is settled", async || cluster.sql(&name, state) == "lost server_lost").await;
    assert_eq!(cluster.sql(&name, "SELECT count(*) FROM servers"), "1");
    assert_eq!(other.await.expect("a call").ended_by, EndedBy::Caller, "the other's goes on");
    // An outbox with nothing in it is one, too, before the end of the other call is written.
    let has_ended = || taken.lock().expect("a list").iter().any(|(_, kind)| kind == "call.ended");
    until("all is told", async || has_ended() && cluster.sql(&name, "SELECT count(*) FROM outbox") == "0").await;
    let of = |carrier_call: &str| {
        let taken = taken.lock().expect("a list");
        taken.iter().filter(|(call, _)| call == carrier_call).map(|(_, kind)| kind.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("CA-killed"), ["call.started", "call.failed"], "in order, and once");
    assert_eq!(taken.lock().expect("a list").iter().filter(|(_, kind)| kind == "call.ended").count(), 1);
    let listed = second.calls(&database);
    assert!(listed.contains("\"CA-killed\"") && listed.contains("\"server_lost\""), "{listed}");
    // Another process of the same folder needs no lease to be over.
    first.again(&database);
    until("it is back", async || first.get("/readyz").await.0 == 200).await;
}

#[tokio::test]
async fn while_postgresql_is_gone_calls_that_are_up_go_on_and_new_ones_hear_the_refusal() {
    let Some(mut cluster) = cluster().await else { return };
    let name = cluster.database(None);
    let database = cluster.url(&name);
    let mut server = Process::start(&database, None).await;
    until("it is ready", async || server.get("/readyz").await.0 == 200).await;
    let up = tokio::spawn(place(server.site.caller(server.url.clone(), vec![Step::Silence(6_000), Step::HangUp])));
    let page = async || server.get("/metrics").await.1;
    until("it talks", async || page().await.contains("offhook_calls{phase=\"talking\"} 1\n")).await;
    cluster.stop();
    let began = std::time::Instant::now();
    let refused = server.ring("CA-refused").await;
    assert!(refused.contains("<Say>") && !refused.contains("<Stream"), "{refused}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let (status, why) = server.get("/readyz").await;
    assert!(status == 503 && why.starts_with("the store lets no call in: "), "{status} {why}");
    assert!(page().await.contains("offhook_store_not_admitted_total 1\n"));
    assert!(page().await.contains("offhook_calls_refused_total{reason=\"store\"} 1\n"));
    let heard = up.await.expect("a call");
    assert_eq!((heard.ended_by, heard.frames_dropped), (EndedBy::Caller, 0), "it goes on, and waits for nothing");
    cluster.resume();
    until("it is ready again", async || server.get("/readyz").await.0 == 200).await;
    let ended = "SELECT count(*) FROM calls WHERE state = 'ended' AND report IS NOT NULL";
    until("its end is kept", async || cluster.sql(&name, ended) == "1").await;
    assert_eq!(cluster.sql(&name, "SELECT count(*) FROM calls"), "1", "who was refused leaves nothing");
    assert!(server.ring("CA-again").await.contains("<Stream"));
    says_it_once(&server.log());
    server.end("TERM");
    assert_eq!(cluster.sql(&name, "SELECT count(*) FROM servers"), "0");
}

/// Of a database that is away the log has our own message, now and then, and no word of the driver's.
fn says_it_once(log: &str) {
    let said =
        log.lines().filter(|line| line.contains("calls go on, and what is missing is made up for later")).count();
    assert!((1..=2).contains(&said), "{said} times:\n{log}");
    assert!(!log.contains("sqlx"), "{log}");
}

#[tokio::test]
async fn while_postgresql_is_frozen_calls_that_are_up_go_on_and_nothing_is_lost_when_it_goes_on() {
    let Some(cluster) = cluster().await else { return };
    let name = cluster.database(None);
    let database = cluster.url(&name);
    let (events, taken) = receiver().await;
    let mut server = Process::start(&database, Some(&events)).await;
    until("it is ready", async || server.get("/readyz").await.0 == 200).await;
    let up = tokio::spawn(place(server.site.caller(server.url.clone(), vec![Step::Silence(9_000), Step::HangUp])));
    let page = async || server.get("/metrics").await.1;
    until("it talks", async || page().await.contains("offhook_calls{phase=\"talking\"} 1\n")).await;
    cluster.freeze();
    for call in ["CA-refused", "CA-refused-too"] {
        let began = std::time::Instant::now();
        let refused = server.ring(call).await;
        assert!(refused.contains("<Say>") && !refused.contains("<Stream"), "{refused}");
        // After 500 ms, and what a machine with other work adds.
        assert!((400..1_500).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    }
    let (status, why) = server.get("/readyz").await;
    assert_eq!((status, why.trim_end()), (503, "the store lets no call in: the database does not answer in time"));
    // It ends while nothing can be written.
    let heard = up.await.expect("a call");
    assert_eq!((heard.ended_by, heard.frames_dropped), (EndedBy::Caller, 0), "it goes on, and waits for nothing");
    cluster.thaw();
    until("it is ready again", async || server.get("/readyz").await.0 == 200).await;
    let ended = "SELECT count(*) FROM calls WHERE state = 'ended' AND report IS NOT NULL";
    until("its end is kept", async || cluster.sql(&name, ended) == "1").await;
    until("all is told", async || cluster.sql(&name, "SELECT count(*) FROM outbox") == "0").await;
    let kinds = || taken.lock().expect("a list").iter().map(|(_, kind)| kind.clone()).collect::<Vec<_>>();
    assert_eq!(kinds(), ["call.started", "call.ended", "recording.ready"], "once, and nothing of who was refused");
    assert_eq!(cluster.sql(&name, "SELECT count(*) FROM calls"), "1", "who was refused leaves nothing");
    assert_eq!(cluster.sql(&name, "SELECT count(*) FROM holds"), "0");
    assert!(server.ring("CA-again").await.contains("<Stream"));
    says_it_once(&server.log());
    server.end("TERM");
    assert_eq!(cluster.sql(&name, "SELECT count(*) FROM servers"), "0");
}
