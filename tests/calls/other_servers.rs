//! Several servers with one PostgreSQL: what is asked of a call that another has, and what locks agents for all of them.

use std::process::Command;
use std::time::{Duration, Instant};

use offhook::engine::{EndReason, NotAnswered};
use offhook::house::locks::Lock;
use offhook::stage::phone::{Callee, Step, Then};
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, NUMBER, Plan, Site, TOKEN, place, until, write};
use crate::survival::signal;
use crate::two_servers::{cluster, spawn};

const API_TOKEN: &str = "not-to-be-guessed-0123456789";
const ANN: &str = "+15550100900";
/// How long a killed server's rows stay its own, in seconds.
const LEASE_S: u64 = 6;
const LOCKED: &str = "This bot is used by running campaigns: Spring. Stop them first.";

/// What a server is built of whose rows are in this database; its documents are its own.
async fn site(database: &str) -> Site {
    let twilio = format!(
        "rest_timeout_ms = 2000\n[api]\ntoken = {{ file = \"api-token\" }}\n[store]\nurl = {{ file = \"database-url\" }}\n\
         lease_s = {LEASE_S}\n"
    );
    let site = Site::build(&Plan { twilio, deployment: "[outbound]\n".to_owned(), ..Plan::default() }).await;
    write(&site.config().join("api-token"), API_TOKEN);
    write(&site.config().join("database-url"), database);
    site
}

async fn ready(url: &str) {
    for _ in 0..1_000 {
        if reqwest::get(format!("{url}/readyz")).await.is_ok_and(|answer| answer.status() == 200) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{url} is not ready after 20 s");
}

async fn house(database: &str) -> House {
    let house = House::open(site(database).await, None).await;
    ready(&house.url("")).await;
    house
}

async fn ask(url: &str, method: Method, path: &str, more: &[(&str, &str)], body: Option<Value>) -> (u16, Value) {
    let mut request = reqwest::Client::new().request(method, format!("{url}/api/v1/{path}")).bearer_auth(API_TOKEN);
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.expect("an answer");
    let (status, text) = (answer.status().as_u16(), answer.text().await.expect("a body"));
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn post(url: &str, path: &str, body: Value) -> (u16, Value) {
    ask(url, Method::POST, path, &[], Some(body)).await
}

async fn get(url: &str, path: &str) -> Value {
    ask(url, Method::GET, path, &[], None).await.1
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn api_10_vis_06_what_is_asked_of_a_call_on_another_server_is_done_there() {
    let Some(cluster) = cluster().await else { return };
    let database = cluster.url(&cluster.database(None));
    let (first, second) = tokio::join!(house(&database), house(&database));
    let asked = first.url("");
    let wait = || vec![Step::WaitEnd { max_ms: 30_000 }];
    let call = tokio::spawn(place(second.caller(wait())));
    until("the stream is up", || second.metric("offhook_calls{phase=\"talking\"}") == 1).await;
    let id = second.running.calls()[0].clone();
    let path = |rest: &str| format!("calls/{id}{rest}");
    assert_eq!(post(&asked, &path("/say"), json!({ "text": "We close soon." })).await, (202, json!({ "call": id })));
    let mut said = Value::Null;
    for _ in 0..500 {
        said = get(&second.url(""), &path("/transcript")).await;
        if said.to_string().contains("We close soon.") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(said.to_string().contains("We close soon."), "{said}");
    assert_eq!(post(&asked, &path("/commit"), json!({})).await.0, 202);
    assert_eq!(code(&post(&asked, &path("/cancel"), json!({})).await), (409, "answered"));
    assert_eq!(post(&asked, &path("/end"), json!({})).await.0, 202);
    call.await.expect("a call");
    assert_eq!(second.report(0).await.0.end, EndReason::Operator);
    second.running.store().flush().await;
    assert_eq!(code(&post(&asked, &path("/end"), json!({})).await), (409, "over"));
    let audit = get(&asked, &format!("audit?object={id}")).await;
    let did: Vec<_> = audit["items"].as_array().expect("a list").iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(did, ["call.end", "call.commit", "call.say"], "{audit}");

    // One that rings there is taken back there.
    let carrier = second.site.carrier.clone().expect("a carrier");
    carrier.expect(ANN, Callee { ring_ms: 20_000, then: Then::Answer(wait()), answered_by: None });
    let wanted = json!({ "deployment": "desk", "to": ANN });
    let placed = ask(&second.url(""), Method::POST, "calls", &[("idempotency-key", "k1")], Some(wanted)).await;
    assert_eq!(placed.0, 201, "{placed:?}");
    let ringing = placed.1["id"].as_str().expect("an id").to_owned();
    let say = post(&asked, &format!("calls/{ringing}/say"), json!({ "text": "Hello." })).await;
    assert_eq!(code(&say), (409, "ringing"), "{say:?}");
    assert_eq!(post(&asked, &format!("calls/{ringing}/end"), json!({})).await.0, 202);
    let end = second.report(1).await.0.end;
    assert!(matches!(end, EndReason::NotAnswered { how: NotAnswered::Canceled, .. }), "{end}");

    // VIS-06: on all servers, and on those with files of their own the agent is off, too.
    let calls = [first.caller(wait()), second.caller(wait())].map(|options| tokio::spawn(place(options)));
    for house in [&first, &second] {
        until("the stream is up", || house.metric("offhook_calls{phase=\"talking\"}") == 1).await;
    }
    let off = post(&asked, "agents/mia/emergency-off", json!({})).await;
    assert_eq!(off, (200, json!({ "calls": 2, "silent": [] })));
    for call in calls {
        call.await.expect("a call");
    }
    assert_eq!([first.report(0).await.0.end, second.report(2).await.0.end], [EndReason::Operator, EndReason::Operator]);
    for house in [&first, &second] {
        let file = std::fs::read_to_string(house.site.config().join("agents/mia.toml")).expect("a file");
        assert!(file.contains("active = false"), "{file}");
        let refused = house.ring("CA-after", NUMBER, TOKEN).await.1;
        assert!(!refused.contains("<Stream"), "{refused}");
    }
    assert_eq!(cluster.sql(&database_name(&database), "SELECT count(*) FROM commands"), "0", "nothing is left behind");
}

fn database_name(url: &str) -> String {
    url.split(['/', '?']).find(|part| part.starts_with('t') && part.len() < 5).expect("a name").to_owned()
}

#[tokio::test]
async fn api_10_who_asks_for_a_call_of_a_server_that_is_gone_is_told_so() {
    let Some(cluster) = cluster().await else { return };
    let database = cluster.url(&cluster.database(None));
    let other = site(&database).await;
    let (mut child, url) = spawn(&other, &database);
    let here = house(&database).await;
    ready(&url).await;
    let call = tokio::spawn(offhook::stage::phone::place(other.caller(url, vec![Step::WaitEnd { max_ms: 9_000 }])));
    let mut id = String::new();
    for _ in 0..500 {
        let live = get(&here.url(""), "calls/live").await;
        if let Some(found) = live["items"][0]["id"].as_str().filter(|_| live["items"][0]["status"] == "InProgress") {
            id = found.to_owned();
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!id.is_empty(), "the call is listed by all servers");
    signal(&child, "KILL");
    child.wait().expect("an end");
    let began = Instant::now();
    let silent = post(&here.url(""), &format!("calls/{id}/end"), json!({})).await;
    assert_eq!(code(&silent), (503, "server_silent"), "{silent:?}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let off = post(&here.url(""), "agents/mia/emergency-off", json!({})).await;
    assert_eq!(
        (off.0, off.1["silent"].as_array().map(Vec::len)),
        (200, Some(1)),
        "it is not said that all is well: {off:?}"
    );
    // Once its lease is over, its call is.
    let mut ended = (0, Value::Null);
    for _ in 0..500 {
        ended = post(&here.url(""), &format!("calls/{id}/end"), json!({})).await;
        if ended.0 == 409 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(matches!(code(&ended), (409, "over" | "server_gone")), "{ended:?}");
    drop(call.await);
}

/// A server that is a process, with files of its own.
struct Process {
    child: std::process::Child,
    url: String,
}

impl Process {
    async fn start(site: &Site, database: &str) -> Process {
        let (child, url) = spawn(site, database);
        ready(&url).await;
        Process { child, url }
    }

    fn end(&mut self) {
        signal(&self.child, "KILL");
        self.child.wait().expect("an end");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn lock_02_lock_03_what_is_locked_on_one_server_is_locked_on_all_and_its_files_wait() {
    let Some(cluster) = cluster().await else { return };
    let database = cluster.url(&cluster.database(None));
    let site = site(&database).await;
    let own = site.config().join("offhook.toml");
    let said = std::fs::read_to_string(&own).expect("a document");
    // For `offhook check`, which has no flag for it.
    write(&own, &format!("data_dir = {:?}\n{said}", site.data()));
    let agent = site.config().join("agents/mia.toml");
    let text = std::fs::read_to_string(&agent).expect("a document");
    let mut server = Process::start(&site, &database).await;
    let here = house(&database).await;
    let lock = Lock { by: "Spring".to_owned(), agent: "mia".to_owned(), deployment: Some("desk".to_owned()) };
    here.running.handle().lock("camp_1", &lock).await.expect("a lock");

    let upon = [("if-match", "*")];
    let patch = async |url: &str, path: &str, body: Value| ask(url, Method::PATCH, path, &upon, Some(body)).await;
    for (path, body) in [("agents/mia", json!({ "language": "de" })), ("deployments/desk", json!({ "title": "New" }))] {
        let refused = patch(&server.url, path, body).await;
        assert_eq!((code(&refused), &refused.1["detail"]), ((409, "locked"), &json!(LOCKED)), "{path}");
    }
    let refused = ask(&server.url, Method::DELETE, "agents/mia", &upon, None).await;
    assert_eq!(code(&refused), (409, "locked"));
    // LOCK-03: another deployment is free: its switch, and its settings.
    assert_eq!(post(&server.url, "deployments/closed/switch", json!({ "active": true })).await.0, 200);
    assert_eq!(patch(&server.url, "deployments/closed", json!({ "title": "Shut" })).await.0, 200);
    // An earlier version may not come back either, by no way.
    let mut revisions = Value::Null;
    for _ in 0..500 {
        revisions = get(&server.url, "revisions?document=agents/mia.toml").await;
        if revisions["items"][0]["revision"].is_string() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (seq, revision) =
        (&revisions["items"][0]["id"], revisions["items"][0]["revision"].as_str().expect("a revision"));
    let restored = post(&server.url, &format!("revisions/{seq}/restore"), json!({})).await;
    assert_eq!(code(&restored), (409, "locked"), "{restored:?}");
    let offhook = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_offhook"));
        let ran = command.args(args).env("TOKEN", TOKEN).env("DATABASE_URL", &database).output().expect("the binary");
        let said = [ran.stdout, ran.stderr].concat();
        (ran.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let config = site.config().display().to_string();
    let (done, said) = offhook(&["restore", "agents/mia", revision, "--config", &config]);
    assert!(!done && said.contains(LOCKED), "{said}");

    // A changed file waits: the log, the API and `check` say so.
    write(&agent, &format!("language = \"de\"\n{text}"));
    let in_force = async |url: &str| get(url, "agents/mia").await;
    let mut now = Value::Null;
    for _ in 0..500 {
        now = in_force(&server.url).await;
        if now["in_force"] == "last_good" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let waits = format!("{LOCKED} Until then this change waits.");
    assert_eq!((&now["in_force"], &now["why"]), (&json!("last_good"), &json!(waits)), "{now}");
    assert_eq!(now["locked_by"], json!(["Spring"]));
    let log = std::fs::read_to_string(site.dir.path().join("log")).expect("a log");
    assert!(log.contains(&waits), "{log}");
    let (done, said) = offhook(&["check", &config]);
    assert!(done && said.contains(&waits) && said.contains("last good, "), "{said}");
    // It goes on waiting when the server is killed and starts again; and what is changed while none runs waits too.
    server.end();
    write(&agent, &format!("language = \"fr\"\n{text}"));
    let mut server = Process::start(&site, &database).await;
    assert_eq!(in_force(&server.url).await["why"], json!(waits));
    // The lock ends where it began, and the file is applied everywhere.
    here.running.handle().unlock("camp_1").await.expect("room");
    for _ in 0..500 {
        now = in_force(&server.url).await;
        if now["in_force"] == "as_written" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((&now["in_force"], &now["document"]["language"]), (&json!("as_written"), &json!("fr")), "{now}");
    assert_eq!(patch(&server.url, "agents/mia", json!({ "language": "it" })).await.0, 200);
    let (done, said) = offhook(&["check", &config]);
    assert!(done && !said.contains("campaigns"), "{said}");
    server.end();
}
