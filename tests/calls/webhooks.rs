//! What other systems hear of calls, whatever fails in between; and what the store lists of them.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use offhook::config::Secret;
use offhook::serve::webhooks::signature;
use offhook::stage::phone::Step;
use sea_orm::{ConnectionTrait as _, Database};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::house::{House, NUMBER, Plan, Site, TOKEN, place, until, until_within, write};
use crate::talk::speech;

const SECRET: &str = "whsec_b2ZmaG9vayB0ZXN0IHNlY3JldCAwMTIzNDU2Nzg5";

/// An event that came, and what was answered.
#[derive(Clone, Debug)]
struct Came {
    id: String,
    event: Value,
    status: u16,
}

impl Came {
    fn kind(&self) -> &str {
        self.event["type"].as_str().expect("a type")
    }

    fn call(&self) -> &str {
        self.event["call"]["id"].as_str().expect("a call")
    }
}

type Answer = Box<dyn Fn(&Came, usize) -> u16 + Send + Sync>;

/// Another system.
#[derive(Clone)]
struct Receiver {
    addr: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
    /// From an event and the number of those before it to a status.
    answer: Arc<Mutex<Answer>>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Receiver {
    /// On a port of its own; it is down.
    fn new() -> Receiver {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = socket.local_addr().expect("an address");
        Receiver {
            addr,
            came: Arc::default(),
            answer: Arc::new(Mutex::new(Box::new(|_: &Came, _: usize| 200))),
            task: Arc::default(),
        }
    }

    async fn up(&self) {
        let listener = tokio::net::TcpListener::bind(self.addr).await.expect("its port");
        let app = Router::new().fallback(receive).with_state(self.clone());
        let served = tokio::spawn(async move { axum::serve(listener, app).await.expect("a receiver") });
        *self.task.lock().expect("a task") = Some(served);
    }

    fn answers(&self, answer: impl Fn(&Came, usize) -> u16 + Send + Sync + 'static) {
        *self.answer.lock().expect("an answer") = Box::new(answer);
    }

    fn came(&self) -> Vec<Came> {
        self.came.lock().expect("events").clone()
    }

    /// What it took, in order.
    fn took(&self) -> Vec<Came> {
        self.came().into_iter().filter(|came| came.status == 200).collect()
    }

    fn kinds(&self) -> Vec<String> {
        self.took().iter().map(|came| came.kind().to_owned()).collect()
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers[name].to_str().expect("a header");
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let id = header(signature::ID).to_owned();
    let (timestamp, signed) = (header(signature::TIMESTAMP), header(signature::SIGNATURE));
    signature::verify(&Secret::new(SECRET), &id, timestamp, &body, signed, now_s).expect("a good signature");
    let event: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!((event["version"].as_u64(), event["id"].as_str()), (Some(1), Some(id.as_str())));
    let mut came = Came { id, event, status: 0 };
    let mut all = receiver.came.lock().expect("events");
    came.status = (receiver.answer.lock().expect("an answer"))(&came, all.len());
    let status = came.status;
    all.push(came);
    StatusCode::from_u16(status).expect("a status")
}

/// A site whose server tells `addr` of everything.
async fn site(addr: SocketAddr, more: &str) -> Site {
    let hook =
        format!("[[webhooks]]\nname = \"crm\"\nurl = \"http://{addr}/hook\"\nsecret = {{ file = \"hook\" }}\n{more}");
    let site = Site::build(&Plan { server: hook, ..Plan::default() }).await;
    write(&site.config().join("hook"), SECRET);
    site
}

fn short_call() -> Vec<Step> {
    vec![Step::WaitAgentSpeaking { after_ms: 100, max_ms: 10_000 }, speech(300), Step::HangUp]
}

/// The binary, asked something about a site.
pub(crate) async fn ask(site: &Site, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offhook"));
    command.args(args).arg("--config").arg(site.config()).arg("--data").arg(site.data()).env("TOKEN", TOKEN);
    tokio::task::spawn_blocking(move || command.output().expect("the binary")).await.expect("a thread")
}

pub(crate) async fn told(site: &Site, args: &[&str]) -> String {
    let output = ask(site, args).await;
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Asks until the answer has `what` in it.
pub(crate) async fn until_told(site: &Site, args: &[&str], what: &str) -> String {
    let mut answer = String::new();
    for _ in 0..200 {
        answer = told(site, args).await;
        if answer.contains(what) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{args:?}: no {what} in {answer}");
}

#[tokio::test]
async fn an_endpoint_that_was_down_gets_everything_once_and_in_order() {
    let receiver = Receiver::new();
    let house = House::open(site(receiver.addr, "retry_first_ms = 200\n").await, None).await;
    place(house.caller(short_call())).await;
    until("it was tried", || house.metric("offhook_webhooks_failed_total") > 0).await;
    receiver.up().await;
    until("all has come", || receiver.took().len() >= 3).await;
    until("nothing waits", || house.metric("offhook_webhooks_waiting") == 0).await;
    assert_eq!(receiver.kinds(), ["call.started", "call.ended", "recording.ready"]);
    let came = receiver.took();
    let (report, _) = house.report(0).await;
    let call = &came[0].event["call"];
    assert_eq!(
        (call["id"].as_str(), call["carrier_call"].as_str()),
        (Some(report.call.as_str()), Some(report.carrier_call.as_str()))
    );
    assert_eq!((call["direction"].as_str(), call["to"].as_str()), (Some("inbound"), Some(NUMBER)));
    assert!(call["from"].as_str().is_some_and(|from| from.starts_with('+')), "{call}");
    assert_eq!(call["started"].as_str(), Some(report.started.as_str()));
    assert_eq!(came[1].event["data"]["report"], serde_json::to_value(&report).expect("JSON"));
    assert_eq!(came[2].event["data"]["frames"].as_u64(), report.recording.map(|r| r.frames));
    assert_eq!(house.metric("offhook_webhooks_delivered_total"), 3);
}

#[tokio::test]
async fn last_words_are_awaited_without_a_slot_and_reach_whoever_is_told_of_the_call() {
    let receiver = Receiver::new();
    receiver.up().await;
    let server = format!(
        "max_calls = 1\n[[webhooks]]\nname = \"crm\"\nurl = \"http://{}/hook\"\nsecret = {{ file = \"hook\" }}\n",
        receiver.addr
    );
    let agent = "greeting = { say = \"Greet.\" }\n\
        [analysis]\nmodel = \"writer\"\nprompt = \"Sum up: {{result.transcript}}\"\n\
        schema = { type = \"object\", additionalProperties = false }\n";
    let script = "think_ms = 100\ntranscript_ms = 1500\n[greeting]\nsay = \"Hello.\"\n\
        [otherwise]\nhears = \"My number is 555 0199.\"\nsay = \"Thank you.\"\n";
    let plan = Plan { server, agent: agent.to_owned(), script: script.to_owned(), ..Plan::default() };
    let site = Site::build(&plan).await;
    write(&site.config().join("hook"), SECRET);
    let house = House::open(site, None).await;

    // The caller hangs up in the middle of a word.
    let call = tokio::spawn(place(house.caller(short_call())));
    until("words are awaited", || house.metric("offhook_calls{phase=\"closing\"}") == 1).await;
    assert_eq!(house.metric("offhook_calls_ended_total{reason=\"caller_hung_up\"}"), 0, "there is no report yet");
    let (status, twiml) = house.ring("CA00000000000000000000000000000077", NUMBER, TOKEN).await;
    assert!(status == 200 && twiml.contains("<Connect>"), "the only slot is free: {twiml}");

    call.await.expect("a call");
    let (report, _) = house.report(0).await;
    let last = report.lines.iter().rfind(|line| line.who == offhook::engine::Role::Caller).expect("a turn");
    assert_eq!((last.text.as_str(), report.end.kind()), ("My number is 555 0199.", "caller_hung_up"));
    assert!(report.model_ms + 1_000 > report.duration_ms, "the session was open for longer than the line: {report:#?}");
    until("it is analysed", || receiver.kinds().iter().any(|kind| kind == "analysis.ready")).await;
    let of_call = |came: &Came| came.call() == report.call;
    let kinds: Vec<String> =
        receiver.took().iter().filter(|came| of_call(came)).map(|came| came.kind().to_owned()).collect();
    assert_eq!(kinds, ["call.started", "call.ended", "recording.ready", "analysis.ready"]);
    let ended = receiver.took().into_iter().find(|came| of_call(came) && came.kind() == "call.ended").expect("an end");
    assert_eq!(ended.event["data"]["report"], serde_json::to_value(&report).expect("JSON"));
    assert!(
        house.reports.analyses()[0]["errors"].as_object().expect("errors").is_empty(),
        "there was something to say"
    );
    assert_eq!(house.metric("offhook_calls{phase=\"closing\"}"), 0);
}

#[tokio::test]
async fn hook_05_what_was_pending_when_the_server_was_killed_comes_with_the_same_ids() {
    let receiver = Receiver::new();
    receiver.answers(|_, _| 500);
    receiver.up().await;
    let site = site(receiver.addr, "retry_first_ms = 100\n").await;
    let (mut server, url) = serve(&site);
    place(site.caller(url, short_call())).await;
    // Its end is in the outbox, behind its beginning, which is not taken.
    until_told(&site, &["calls", "--state", "ended"], "caller_hung_up").await;
    until("it was tried twice", || receiver.came().len() >= 2).await;
    server.kill();
    let before = receiver.came();
    assert!(before.iter().all(|came| came.kind() == "call.started" && came.id == before[0].id), "{before:?}");
    let pending = outbox(&site).await;
    receiver.answers(|_, _| 200);
    let (mut server, url) = serve(&site);
    until("all has come", || receiver.took().len() >= 3).await;
    let page = async || reqwest::get(format!("{url}/metrics")).await.expect("an answer").text().await.expect("a page");
    for _ in 0..200 {
        if page().await.contains("offhook_webhooks_waiting 0\n") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took: Vec<String> = receiver.took().into_iter().map(|came| came.id).collect();
    assert_eq!(took, pending, "exactly these, in this order, once each");
    assert_eq!(receiver.kinds(), ["call.started", "call.ended", "recording.ready"]);
    assert_eq!(outbox(&site).await, Vec::<String>::new());
    server.kill();
}

#[tokio::test]
async fn a_call_that_dies_with_its_server_is_told_as_failed_by_the_next() {
    let receiver = Receiver::new();
    receiver.up().await;
    let site = site(receiver.addr, "").await;
    let (mut server, url) = serve(&site);
    let call = tokio::spawn(place(site.caller(url, vec![speech(2_000), Step::WaitEnd { max_ms: 30_000 }])));
    until("its beginning was told", || receiver.took().len() == 1).await;
    // The recording and the journal have begun.
    until("there is a folder", || std::fs::read_dir(site.data().join("calls")).is_ok_and(|mut d| d.next().is_some()))
        .await;
    server.kill();
    call.await.expect("a call");
    let (mut server, _) = serve(&site);
    until("its end was told", || receiver.took().len() == 2).await;
    let last = &receiver.took()[1];
    assert_eq!((last.kind(), last.event["data"]["end"]["kind"].as_str()), ("call.failed", Some("server_lost")));
    assert_eq!(last.event["call"], receiver.took()[0].event["call"]);
    assert!(told(&site, &["calls", "--state", "lost"]).await.contains("server_lost"));
    server.kill();
}

#[tokio::test]
async fn a_call_whose_event_is_not_taken_holds_up_itself_and_no_other() {
    let receiver = Receiver::new();
    let house = House::open(site(receiver.addr, "retry_first_ms = 100\n").await, None).await;
    // The first call's beginning is refused until told otherwise; of the rest the first attempt of each event fails.
    let tried = Mutex::new(HashSet::new());
    receiver.answers(move |came, _| match came.event["call"]["carrier_call"].as_str() {
        Some("CAstuck") => 503,
        _ if tried.lock().expect("ids").insert(came.id.clone()) => 500,
        _ => 200,
    });
    receiver.up().await;
    assert_eq!(house.ring("CAstuck", NUMBER, TOKEN).await.0, 200);
    until("the first was tried", || receiver.came().iter().any(|came| came.status == 503)).await;
    // At once: each attempt that fails doubles the wait for the next one of the first call.
    tokio::join!(place(house.caller(short_call())), place(house.caller(short_call())));
    until_within(Duration::from_secs(60), "both others are told", || receiver.took().len() >= 6).await;
    let mut by_call: HashMap<String, Vec<String>> = HashMap::new();
    for came in receiver.took() {
        by_call.entry(came.call().to_owned()).or_default().push(came.kind().to_owned());
    }
    assert_eq!(by_call.len(), 2);
    assert!(by_call.values().all(|kinds| *kinds == ["call.started", "call.ended", "recording.ready"]), "{by_call:?}");
    // Its end comes to be known, and waits behind its beginning.
    let id = house.running.calls().remove(0);
    house.running.control(&id, offhook::engine::Control::EndNow(offhook::engine::EndReason::Operator));
    house.report(2).await;
    let stuck = || {
        receiver.came().into_iter().filter(|came| came.event["call"]["carrier_call"] == "CAstuck").collect::<Vec<_>>()
    };
    receiver.answers(|_, _| 200);
    // Pauses grow threefold: how long the next one is depends on how long the other calls took.
    let taken = || stuck().iter().filter(|came| came.status == 200).count();
    until_within(Duration::from_secs(60), "all of it has come", || taken() >= 2).await;
    let mut kinds: Vec<_> = stuck().into_iter().map(|came| (came.kind().to_owned(), came.status)).collect();
    kinds.dedup();
    let told = |kind: &str, status| (kind.to_owned(), status);
    assert_eq!(kinds, [told("call.started", 503), told("call.started", 200), told("call.ended", 200)]);
}

#[tokio::test]
async fn what_was_given_up_is_listed_and_sent_again_while_the_server_runs() {
    let receiver = Receiver::new();
    receiver.answers(|_, _| 410);
    receiver.up().await;
    let house = House::open(site(receiver.addr, "events = [\"call.ended\"]\n").await, None).await;
    assert!(told(&house.site, &["webhooks", "dead"]).await.contains("no event was given up"));
    place(house.caller(short_call())).await;
    until("it was given up", || house.metric("offhook_webhooks_dead_total") == 1).await;
    let id = receiver.came().remove(0).id;
    let dead = until_told(&house.site, &["webhooks", "dead"], &id).await;
    assert!(dead.contains("call.ended") && dead.contains("410 Gone"), "{dead}");
    let wrong = ask(&house.site, &["webhooks", "resend", "evt_none"]).await;
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("evt_none"));
    receiver.answers(|_, _| 200);
    assert!(told(&house.site, &["webhooks", "resend", &id]).await.starts_with("1 event put back"));
    until("it has come", || receiver.took().len() == 1).await;
    assert_eq!(receiver.took()[0].id, id);
    assert_eq!(receiver.came().len(), 2);
}

#[tokio::test]
async fn hook_02_the_command_that_receives_verifies_and_knows_what_it_had() {
    let (mut command, addr) = listen(&["--secret", SECRET, "--fail-first", "1"]);
    let lines = BufReader::new(command.0.stdout.take().expect("a pipe")).lines();
    let house = House::open(site(addr, "retry_first_ms = 100\n").await, None).await;
    place(house.caller(short_call())).await;
    until("all was told", || house.metric("offhook_webhooks_delivered_total") == 3).await;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let post = async |id: &str, at: u64, by: &str| {
        let signed = signature::sign(&Secret::new(by), id, at, b"{}").expect("a signature");
        let request = reqwest::Client::new().post(format!("http://{addr}/")).body("{}");
        let request =
            request.header(signature::ID, id).header(signature::TIMESTAMP, at).header(signature::SIGNATURE, signed);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!((post("evt_1", now_s, SECRET).await, post("evt_1", now_s, SECRET).await), (200, 200));
    assert_eq!(post("evt_2", now_s - 301, SECRET).await, 401);
    assert_eq!(post("evt_3", now_s, "another secret of theirs").await, 401);
    command.kill();
    let lines: Vec<String> = lines.map(|line| line.expect("a line")).collect();
    let word = |line: &String| line.get(10..18).expect("a word").trim().to_owned();
    let words: Vec<String> = lines.iter().map(word).collect();
    assert_eq!(words, ["failed", "ok", "ok", "ok", "ok", "again", "BAD TIME", "BAD SIGN"], "{lines:#?}");
    assert!(lines[2].contains("call.ended") && lines[2].ends_with("caller_hung_up"), "{lines:#?}");
    let column = |line: &String, what: &str| line.find(what).expect("an id");
    assert_eq!(column(&lines[0], "evt_"), column(&lines[3], "evt_"), "in columns: {lines:#?}");
}

#[tokio::test]
async fn calls_are_listed_and_shown_while_the_server_runs() {
    let house = House::build(Plan::default()).await;
    let empty = tempfile::tempdir().expect("a directory");
    let none = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .args(["calls", "--data"])
        .arg(empty.path())
        .output()
        .expect("the binary");
    assert!(!none.status.success() && String::from_utf8_lossy(&none.stderr).contains("there is no database"));
    assert_eq!(told(&house.site, &["calls"]).await, "no calls\n");
    let speaks = Step::WaitAgentSpeaking { after_ms: 100, max_ms: 10_000 };
    let call = tokio::spawn(place(house.caller(vec![speaks, Step::Silence(3_000), Step::HangUp])));
    let listed = until_told(&house.site, &["calls"], "(running)").await;
    assert!(listed.lines().count() == 2 && listed.contains(NUMBER), "{listed}");
    let id = house.running.calls().remove(0);
    call.await.expect("a call");
    let (report, folder) = house.report(0).await;
    let listed = async |args: &[&str]| {
        let text = told(&house.site, &[&["calls", "--json"], args].concat()).await;
        serde_json::from_str::<Vec<Value>>(&text).expect("a list")
    };
    until_told(&house.site, &["calls", "--state", "ended"], &id).await;
    let all = listed(&["--end", "caller_hung_up", "--since", "1h", "--deployment", "desk"]).await;
    assert_eq!((all.len(), all[0]["id"].as_str(), all[0]["to"].as_str()), (1, Some(id.as_str()), Some(NUMBER)));
    assert!(listed(&["--end", "duration_cap"]).await.is_empty() && listed(&["--until", "1h"]).await.is_empty());
    let random = id.rsplit('-').next().expect("an end");
    let shown = told(&house.site, &["calls", "show", random]).await;
    assert!(shown.contains(&id) && shown.contains("mia of desk") && shown.contains(": caller_hung_up"), "{shown}");
    assert!(shown.contains("agent") && shown.contains("Greet."), "{shown}");
    let json = told(&house.site, &["calls", "show", &id, "--json"]).await;
    assert_eq!(serde_json::from_str::<offhook::report::Report>(&json).expect("a report"), report);
    let before = told(&house.site, &["calls", "show", "--json", &id]).await;
    assert_eq!(before, json, "wherever the flag stands");
    let paths = told(&house.site, &["calls", "open", random]).await;
    assert_eq!(paths.lines().next(), folder.join("recording.wav").to_str(), "{paths}");
    assert!(!ask(&house.site, &["calls", "show", "nothing"]).await.status.success());
}

#[tokio::test]
async fn a_database_that_is_locked_for_long_harms_no_call_and_has_it_afterwards() {
    let house = House::build(Plan::default()).await;
    let url = format!("sqlite:{}", house.site.data().join("offhook.db").display());
    let other = Database::connect(&url).await.expect("the database");
    let call = tokio::spawn(place(house.caller([vec![Step::Silence(2_000)], short_call()].concat())));
    until("it is up", || house.metric("offhook_calls{phase=\"talking\"}") == 1).await;
    other.execute_unprepared("BEGIN IMMEDIATE").await.expect("a lock");
    let (status, refused) = house.ring("CA-refused", NUMBER, TOKEN).await;
    assert!(status == 200 && !refused.contains("<Stream"), "nobody is let in without a trace: {refused}");
    assert_eq!(house.get("/readyz").await.0, 503);
    let heard = call.await.expect("a call");
    assert!(heard.first_audio_ms.is_some());
    let (report, folder) = house.report(0).await;
    assert_eq!(report.end.kind(), "caller_hung_up");
    assert!(folder.join("report.json").exists(), "the folder does not wait for the store");
    assert!(told(&house.site, &["calls"]).await.contains("(running)"));
    until("the writer gave up once", || house.metric("offhook_store_failed_total") > 0).await;
    other.execute_unprepared("COMMIT").await.expect("an end");
    until_told(&house.site, &["calls", "--state", "ended"], &report.call).await;
}

#[tokio::test]
async fn a_second_server_on_one_directory_says_whose_it_is() {
    let site = Site::build(&Plan::default()).await;
    let (mut server, _) = serve(&site);
    let second = ask(&site, &["serve"]).await;
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && said.contains(&format!("process {}", server.0.id())), "{said}");
    server.kill();
    let (mut third, _) = serve(&site);
    third.kill();
}

/// Ids of what is in the outbox, in order.
async fn outbox(site: &Site) -> Vec<String> {
    let url = format!("sqlite:{}", site.data().join("offhook.db").display());
    let db = Database::connect(&url).await.expect("the database");
    let sql = sea_orm::Statement::from_string(db.get_database_backend(), "SELECT id FROM outbox ORDER BY seq");
    let rows = db.query_all_raw(sql).await.expect("rows");
    rows.into_iter().map(|row| row.try_get_by_index(0).expect("an id")).collect()
}

/// The server of a site, and where it listens.
fn serve(site: &Site) -> (Process, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offhook"));
    command.args(["serve", "--config"]).arg(site.config()).arg("--data").arg(site.data()).env("TOKEN", TOKEN);
    let mut server = command.stdout(Stdio::piped()).spawn().expect("the binary");
    let mut first = String::new();
    BufReader::new(server.stdout.take().expect("a pipe")).read_line(&mut first).expect("a banner");
    let url = first.trim().rsplit(' ').next().expect("an address").to_owned();
    (Process(server), url)
}

/// The command that receives, and where; its output goes on.
fn listen(args: &[&str]) -> (Process, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offhook"));
    command.args(["webhooks", "listen", "--port", "0"]).args(args);
    let mut command = command.stdout(Stdio::piped()).spawn().expect("the binary");
    let mut first = Vec::new();
    let pipe = command.stdout.as_mut().expect("a pipe");
    let mut byte = [0];
    // No more than the line: what follows belongs to whoever reads on.
    while std::io::Read::read(pipe, &mut byte).expect("output") == 1 && byte[0] != b'\n' {
        first.push(byte[0]);
    }
    let first = String::from_utf8(first).expect("text");
    let addr = first.rsplit("http://").next().expect("an address").trim_end_matches('/').parse().expect("an address");
    (Process(command), addr)
}

/// The binary at work, killed at the latest when its test is over.
struct Process(Child);

impl Process {
    fn kill(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        self.0.wait().expect("an end");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
