//! Webhooks over the API: made, tested, changed, looked at and sent again, as receivers and operators see it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use offhook::config::Secret;
use offhook::serve::webhooks::signature;
use offhook::stage::phone::Step;
use reqwest::Method;
use sea_orm::{ConnectionTrait as _, Database};
use serde_json::{Value, json};

use crate::house::{House, Plan, Site, place, until, until_within, write};
use crate::talk::speech;

const TOKEN: &str = "not-to-be-guessed-0123456789";
const SECRET: &str = "whsec_b2ZmaG9vayB0ZXN0IHNlY3JldCAwMTIzNDU2Nzg5";

/// What came to a receiver.
#[derive(Clone)]
struct Came {
    at: Instant,
    headers: HeaderMap,
    body: Bytes,
}

impl Came {
    fn event(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn kind(&self) -> String {
        self.event()["type"].as_str().expect("a type").to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    fn is_signed_by(&self, secret: &str) -> bool {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
        let [id, stamp, signed] =
            [signature::ID, signature::TIMESTAMP, signature::SIGNATURE].map(|name| self.header(name));
        signature::verify(&Secret::new(secret), id, stamp, &self.body, signed, now_s).is_ok()
    }
}

/// Another system, which answers `status` and thanks.
#[derive(Clone)]
struct Receiver {
    addr: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
    status: Arc<Mutex<u16>>,
}

impl Receiver {
    async fn up() -> Receiver {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let receiver = Receiver { addr, came: Arc::default(), status: Arc::new(Mutex::new(200)) };
        let app = Router::new().fallback(receive).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.expect("a receiver") });
        receiver
    }

    fn came(&self) -> Vec<Came> {
        self.came.lock().expect("events").clone()
    }

    fn of(&self, kind: &str) -> Vec<Came> {
        self.came().into_iter().filter(|came| came.kind() == kind).collect()
    }

    fn answers(&self, status: u16) {
        *self.status.lock().expect("a status") = status;
    }

    fn url(&self) -> String {
        format!("http://{}/hook?key=hush", self.addr)
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> (StatusCode, &'static str) {
    receiver.came.lock().expect("events").push(Came { at: Instant::now(), headers, body });
    let status = *receiver.status.lock().expect("a status");
    (StatusCode::from_u16(status).expect("a status"), "thanks")
}

/// A server with the API and a key to seal with, whose file names one webhook.
async fn house(file: &Receiver) -> House {
    let server = format!(
        "[api]\ntoken = {{ file = \"api\" }}\n[store]\nseal_key = {{ file = \"seal\" }}\n\
         [deliveries]\naddresses = [\"203.0.113.7\", \"2001:db8::/32\"]\n\
         [[webhooks]]\nname = \"file\"\nurl = \"{}\"\nsecret = {{ file = \"hook\" }}\nretry_first_ms = 100\n\
         events = [\"call.ended\", \"alert.fired\", \"alert.resolved\", \"deployment.changed\"]\n",
        file.url()
    );
    let site = Site::build(&Plan { server, ..Plan::default() }).await;
    for (name, text) in [("api", TOKEN), ("seal", "0123456789abcdef0123456789abcdef"), ("hook", SECRET)] {
        write(&site.config().join(name), text);
    }
    House::open(site, None).await
}

/// A request to the API, with a body if there is one.
async fn ask(house: &House, method: Method, path: &str, body: Value) -> (u16, Value) {
    let request =
        reqwest::Client::new().request(method.clone(), house.url(&format!("/api/v1/{path}"))).bearer_auth(TOKEN);
    // Whichever version there is.
    let request = if method == Method::PATCH { request.header("if-match", "*") } else { request };
    let request = match body {
        Value::Null => request,
        body => request.header("content-type", "application/json").body(body.to_string()),
    };
    let answer = request.send().await.expect("an answer");
    let (status, text) = (answer.status().as_u16(), answer.text().await.expect("a body"));
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

async fn get(house: &House, path: &str) -> Value {
    let (status, answer) = ask(house, Method::GET, path, Value::Null).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

async fn make(house: &House, more: Value) -> Value {
    let mut new = json!({ "name": "CRM", "retry_first_ms": 100 });
    new.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let (status, made) = ask(house, Method::POST, "webhooks", new).await;
    assert_eq!(status, 201, "{made}");
    made
}

fn short_call() -> Vec<Step> {
    vec![Step::WaitAgentSpeaking { after_ms: 100, max_ms: 10_000 }, speech(300), Step::HangUp]
}

async fn sql(house: &House, text: &str) {
    let url = format!("sqlite:{}", house.site.data().join("offhook.db").display());
    let db = Database::connect(&url).await.expect("the database");
    db.execute_unprepared(text).await.expect("a change");
}

#[tokio::test]
async fn hook_01_hook_03_what_may_be_no_webhook_is_refused_in_words_and_nothing_is_made() {
    let file = Receiver::up().await;
    let house = house(&file).await;
    let good = json!({ "name": "CRM", "url": "https://crm.example.com/" });
    for (field, value, code, words) in [
        ("url", json!("http://crm.example.com/"), "needs_https", "Webhooks need https."),
        ("url", json!("https://10.0.0.1/"), "private_address", "allow_private"),
        ("events", json!(["call.endet"]), "event_type", "alert.resolved"),
        ("agents", json!(["nobody"]), "agent_unknown", "nobody"),
        ("per_second", json!(1_001), "out_of_range", "1000"),
        ("secret", json!("short"), "secret", "16 bytes"),
        ("color", json!("red"), "body", "unknown field"),
    ] {
        let mut new = good.clone();
        new[field] = value;
        let (status, no) = ask(&house, Method::POST, "webhooks", new).await;
        assert_eq!((status, no["code"].as_str()), (422, Some(code)), "{no}");
        assert!(no["detail"].as_str().expect("words").contains(words), "{no}");
        assert_eq!(no["errors"][0]["pointer"].as_str(), Some(format!("/{field}").as_str()), "{no}");
    }
    let mut taken = good.clone();
    taken["name"] = "file".into();
    let (status, no) = ask(&house, Method::POST, "webhooks", taken).await;
    assert_eq!((status, no["code"].as_str()), (409, Some("name_taken")));
    assert_eq!(ask(&house, Method::POST, "webhooks?dry_run=true", good).await.0, 204);
    for (method, path) in
        [(Method::PATCH, "webhooks/file"), (Method::DELETE, "webhooks/file"), (Method::POST, "webhooks/file/rotate")]
    {
        let body = if method == Method::PATCH { json!({ "per_second": 1 }) } else { Value::Null };
        let (status, no) = ask(&house, method, path, body).await;
        assert_eq!((status, no["code"].as_str()), (409, Some("in_file")), "{path}: {no}");
    }
    assert_eq!(ask(&house, Method::GET, "webhooks/hook_none", Value::Null).await.0, 404);
    // HOOK-09: from where events come.
    let list = get(&house, "webhooks").await;
    assert_eq!(list["addresses"], json!(["203.0.113.7", "2001:db8::/32"]));
    let items = list["items"].as_array().expect("a list");
    assert_eq!((items.len(), items[0]["id"].as_str(), items[0]["source"].as_str()), (1, Some("file"), Some("file")));
}

#[tokio::test]
async fn hook_08_a_test_sends_a_signed_sample_of_each_type_and_shows_the_answers() {
    let (file, crm) = (Receiver::up().await, Receiver::up().await);
    let house = house(&file).await;
    let made = make(&house, json!({ "url": crm.url(), "plain_signature": true })).await;
    let (id, secret) = (made["id"].as_str().expect("an id"), made["secret"].as_str().expect("a secret"));
    let (status, tested) = ask(&house, Method::POST, &format!("webhooks/{id}/test"), Value::Null).await;
    let results = tested["results"].as_array().expect("results");
    assert_eq!((status, results.len()), (200, 9), "{tested}");
    assert!(results.iter().all(|one| one["ok"] == true && one["status"] == 200 && one["answer"] == "thanks"));
    let came = crm.came();
    assert_eq!(came.len(), 9);
    for one in &came {
        assert!(one.is_signed_by(secret) && one.event()["test"] == true, "{}", one.kind());
        // C-19: the plain header too.
        let plain = signature::plain(&Secret::new(secret), &one.body).expect("a signature");
        assert_eq!(one.header(signature::PLAIN), plain);
    }
    crm.answers(500);
    let named = json!({ "types": ["call.ended"] });
    let (_, tested) = ask(&house, Method::POST, &format!("webhooks/{id}/test"), named).await;
    assert_eq!(tested["results"][0]["error"], "500 Internal Server Error", "{tested}");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let change = json!({ "url": format!("http://{nobody}/") });
    // API-06: it names the version that it was made upon.
    let path = format!("webhooks/{id}");
    let patch = async |tag: Option<&str>| {
        let request =
            reqwest::Client::new().patch(house.url(&format!("/api/v1/{path}"))).bearer_auth(TOKEN).json(&change);
        let request = if let Some(tag) = tag { request.header("if-match", tag) } else { request };
        let answer = request.send().await.expect("an answer");
        let tag = answer.headers().get("etag").map(|tag| tag.to_str().expect("text").to_owned());
        (answer.status().as_u16(), tag)
    };
    assert_eq!(patch(None).await.0, 428);
    let (status, tag) = patch(Some("\"999\"")).await;
    let tag = tag.expect("the current version");
    assert_eq!(status, 412);
    assert_eq!(patch(Some(&tag)).await.0, 200);
    assert_eq!(patch(Some(&tag)).await.0, 412, "it was changed meanwhile");
    let named = json!({ "types": ["call.ended"] });
    let (_, tested) = ask(&house, Method::POST, &format!("webhooks/{id}/test"), named).await;
    let words = tested["results"][0]["error"].as_str().expect("words");
    assert!(words.contains("refused") && !words.contains("hush"), "{words}");
    // One that takes what is sent and says nothing, for longer than a request may take.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let change = json!({ "url": format!("http://{}/", mute.local_addr().expect("an address")), "timeout_ms": 60_000 });
    assert_eq!(ask(&house, Method::PATCH, &format!("webhooks/{id}"), change).await.0, 200);
    let (status, tested) = ask(&house, Method::POST, &format!("webhooks/{id}/test"), Value::Null).await;
    let results = tested["results"].as_array().expect("results");
    assert_eq!((status, results.len()), (200, 9), "{tested}");
    assert!(results.iter().all(|one| one["error"] == "no answer in time"), "{tested}");
    let log = get(&house, &format!("webhooks/{id}/deliveries?outcome=failed")).await;
    assert_eq!(log["items"].as_array().map(Vec::len), Some(11), "{log}");
    assert!(log["items"][0]["test"] == true && get(&house, "webhooks/file").await["failing_since"].is_null());
}

#[tokio::test]
async fn hook_04_hook_07_an_end_says_all_and_every_attempt_is_logged_and_can_be_repeated() {
    let (file, crm) = (Receiver::up().await, Receiver::up().await);
    let house = house(&file).await;
    let made = make(&house, json!({ "url": crm.url(), "events": ["call.ended"], "agents": ["mia"] })).await;
    let (id, before) = (made["id"].as_str().expect("an id"), made["secret"].as_str().expect("a secret"));
    // BEYOND-47: for a day both secrets count.
    let (_, rotated) = ask(&house, Method::POST, &format!("webhooks/{id}/rotate"), json!({ "secret": SECRET })).await;
    assert!(rotated["secret"] == SECRET && rotated["previous_until"].is_string(), "{rotated}");
    crm.answers(500);
    place(house.caller(short_call())).await;
    until("it was tried", || !crm.came().is_empty()).await;
    crm.answers(200);
    until("it was told", || house.metric("offhook_webhooks_delivered_total") == 2).await;
    let came = crm.came();
    assert!(came.iter().all(|one| one.is_signed_by(SECRET) && one.is_signed_by(before)));
    let (report, _) = house.report(0).await;
    let event = came[0].event();
    let (call, data) = (&event["call"], &event["data"]);
    assert_eq!((call["id"].as_str(), call["agent"].as_str()), (Some(report.call.as_str()), Some("mia")));
    assert_eq!(
        (data["result"]["status"].as_str(), data["duration_ms"].as_u64()),
        (Some("unknown"), Some(report.duration_ms))
    );
    assert_eq!(data["duration_s"].as_f64(), Some(report.duration_ms as f64 / 1_000.0));
    assert_eq!((data["end"]["kind"].as_str(), data["analysis"].is_null()), (Some("caller_hung_up"), true));
    assert!(data["cost_micros"].is_u64() && data["ended"].is_string(), "{data}");
    let heard = report.lines.iter().filter(|line| !line.text.is_empty());
    let heard: Vec<_> = heard.map(|line| json!({ "who": line.who, "at_ms": line.at_ms, "text": line.text })).collect();
    assert_eq!(data["transcript"], Value::Array(heard));
    let log = get(&house, &format!("webhooks/{id}/deliveries?call={}&type=call.ended", report.call)).await;
    let items = log["items"].as_array().expect("a list");
    assert_eq!(items.len(), came.len(), "{log}");
    let one = |n: usize| (items[n]["outcome"].as_str(), items[n]["status"].as_u64(), items[n]["answer"].as_str());
    assert_eq!(one(0), (Some("delivered"), Some(200), Some("thanks")));
    assert_eq!(one(items.len() - 1), (Some("failed"), Some(500), Some("thanks")));
    let page = get(&house, &format!("webhooks/{id}/deliveries?limit=1")).await;
    let next = page["next"].as_str().expect("a cursor");
    let second = get(&house, &format!("webhooks/{id}/deliveries?limit=1&cursor={next}")).await;
    assert_eq!(second["items"][0], items[1]);
    for (wrong, status) in
        [("outcome=odd", 422), ("type=call.endet", 422), ("since=soon", 422), ("cursor=x", 422), ("odd=1", 422)]
    {
        assert_eq!(
            ask(&house, Method::GET, &format!("webhooks/{id}/deliveries?{wrong}"), Value::Null).await.0,
            status,
            "{wrong}"
        );
    }
    // What was sent can be read, and be sent again, one by one or by time.
    let delivery = format!("webhooks/{id}/deliveries/{}", items[0]["id"].as_str().expect("an id"));
    assert_eq!(get(&house, &delivery).await["body"].as_str().map(str::as_bytes), Some(&came[0].body[..]));
    let count = came.len();
    assert_eq!(
        ask(&house, Method::POST, &format!("{delivery}/replay"), Value::Null).await,
        (202, json!({ "events": 1, "more_from": null }))
    );
    until("it came again", || crm.came().len() == count + 1).await;
    let since = json!({ "since": report.started });
    let window = async || ask(&house, Method::POST, &format!("webhooks/{id}/replay"), since.clone()).await;
    until("it is noted", || house.metric("offhook_webhooks_delivered_total") == 3).await;
    assert_eq!(window().await.1["events"], 1);
    until("it came once more", || crm.came().len() == count + 2).await;
    assert!(
        crm.came()
            .iter()
            .all(|one| one.body == came[0].body && one.header(signature::ID) == came[0].header(signature::ID))
    );
    // Switched off, it is told nothing, and what it missed is kept.
    let (_, off) = ask(&house, Method::POST, &format!("webhooks/{id}/disable"), json!({ "reason": "moving" })).await;
    assert_eq!((off["enabled"].as_bool(), off["disabled_reason"].as_str()), (Some(false), Some("moving")));
    place(house.caller(short_call())).await;
    until("the other was told", || file.of("call.ended").len() == 2).await;
    let dead = get(&house, &format!("webhooks/{id}/dead")).await;
    assert_eq!((dead["items"].as_array().map(Vec::len), dead["items"][0]["error"].as_str()), (Some(1), Some("moving")));
    assert_eq!(window().await.0, 409);
    assert_eq!(ask(&house, Method::POST, &format!("webhooks/{id}/enable"), Value::Null).await.1["enabled"], true);
    let dead = json!({ "since": report.started, "which": "dead" });
    assert_eq!(ask(&house, Method::POST, &format!("webhooks/{id}/replay"), dead).await.1["events"], 1);
    until("what it missed has come", || crm.came().len() == count + 3).await;
    assert_eq!(ask(&house, Method::DELETE, &format!("webhooks/{id}"), Value::Null).await.0, 204);
    assert_eq!(ask(&house, Method::GET, &format!("webhooks/{id}"), Value::Null).await.0, 404);
}

#[tokio::test]
async fn hook_06_ten_a_second_are_sent_in_order_per_call() {
    let (file, crm) = (Receiver::up().await, Receiver::up().await);
    let house = house(&file).await;
    let made = make(&house, json!({ "url": crm.url(), "per_second": 10 })).await;
    let id = made["id"].as_str().expect("an id");
    let rows: Vec<String> = (0..40)
        .map(|n| {
            let body = json!({ "type": "call.ended", "call": { "id": format!("c{}", n % 3) }, "n": n });
            format!("('evt_{n}', 'c{}', '{id}', 'call.ended', '{body}', 0, 0, 'waiting')", n % 3)
        })
        .collect();
    let insert = "INSERT INTO outbox (id, call, endpoint, type, body, created_ms, next_at_ms, state) VALUES";
    sql(&house, &format!("{insert} {}", rows.join(", "))).await;
    until_within(Duration::from_secs(30), "all have come", || crm.came().len() == 40).await;
    let came = crm.came();
    for pair in came.windows(12) {
        let took = pair[11].at - pair[0].at;
        assert!(took > Duration::from_millis(950), "eleven more within {took:?}");
    }
    let mut by_call: HashMap<String, Vec<u64>> = HashMap::new();
    for event in came.iter().map(Came::event) {
        let call = event["call"]["id"].as_str().expect("a call").to_owned();
        by_call.entry(call).or_default().push(event["n"].as_u64().expect("a number"));
    }
    assert!(by_call.len() == 3 && by_call.values().all(|numbers| numbers.is_sorted()), "{by_call:?}");
}

#[tokio::test]
async fn beyond_46_who_takes_nothing_for_five_days_is_switched_off_and_others_hear_of_it() {
    let (file, crm) = (Receiver::up().await, Receiver::up().await);
    let house = house(&file).await;
    let made = make(&house, json!({ "url": crm.url(), "events": ["call.started"] })).await;
    let id = made["id"].as_str().expect("an id");
    crm.answers(500);
    place(house.caller(short_call())).await;
    until("it fails", || house.metric("offhook_webhooks_failed_total") > 0).await;
    let problems = || -> Vec<String> {
        let alerts = file.came().into_iter().filter(|came| came.kind().starts_with("alert."));
        alerts.map(|came| came.event()["data"]["problem"].as_str().unwrap_or("none").to_owned()).collect()
    };
    for (days, problem) in [(3, "failing"), (5, "switched_off")] {
        sql(
            &house,
            &format!("UPDATE endpoint_states SET failing_since_ms = last_failed_ms - {}", days * 86_400_000_i64),
        )
        .await;
        until(problem, || problems().last().is_some_and(|last| last == problem)).await;
    }
    let shown = get(&house, &format!("webhooks/{id}")).await;
    assert_eq!((shown["enabled"].as_bool(), shown["disabled_by"].as_str()), (Some(false), Some("offhook")), "{shown}");
    assert_eq!((shown["dead"].as_u64(), shown["waiting"].as_u64()), (Some(1), Some(0)), "{shown}");
    assert_eq!(house.metric("offhook_webhooks_switched_off_total"), 1);
    crm.answers(200);
    assert_eq!(ask(&house, Method::POST, &format!("webhooks/{id}/enable"), Value::Null).await.0, 200);
    until("it is over", || problems().last().is_some_and(|last| last == "none")).await;
}

#[tokio::test]
async fn hook_03_a_deployment_whose_document_changes_is_told() {
    let file = Receiver::up().await;
    let house = house(&file).await;
    // What was there when the server began is no news.
    place(house.caller(short_call())).await;
    until("the call is told", || file.of("call.ended").len() == 1).await;
    let path = house.site.config().join("deployments/desk.toml");
    let text = std::fs::read_to_string(&path).expect("a document");
    write(&path, &format!("# changed\n{text}"));
    until("it is told", || !file.of("deployment.changed").is_empty()).await;
    let told = file.of("deployment.changed");
    let (event, one) = (told[0].event(), told.len());
    let data = &event["data"];
    assert_eq!((one, data["deployment"].as_str(), data["agent"].as_str()), (1, Some("desk"), Some("mia")));
    assert_eq!((data["change"].as_str(), data["way"].as_str()), (Some("changed"), Some("folder")), "{data}");
    assert!(event["call"].is_null() && data["revision"] != data["previous_revision"], "{event}");
    assert!(told[0].is_signed_by(SECRET));
}

/// What a command says, and whether it went well.
fn offhook(house: &House, args: &[&str]) -> (bool, String) {
    let data = house.site.data();
    let mut command = Command::new(env!("CARGO_BIN_EXE_offhook"));
    let ran = command.args(args).arg("--data").arg(data).output().expect("the program");
    let said = if ran.status.success() { ran.stdout } else { ran.stderr };
    (ran.status.success(), String::from_utf8(said).expect("text"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_46_the_terminal_shows_the_log_and_sends_again_beside_the_server() {
    let (file, crm) = (Receiver::up().await, Receiver::up().await);
    let house = house(&file).await;
    let made = make(&house, json!({ "name": "The CRM", "url": crm.url(), "events": ["call.ended"] })).await;
    let id = made["id"].as_str().expect("an id").to_owned();
    crm.answers(500);
    place(house.caller(short_call())).await;
    let log = |more: &[&str]| {
        let args = [&["webhooks", "log"], more, &["--json"]].concat();
        let (good, said) = offhook(&house, &args);
        assert!(good, "{args:?}: {said}");
        serde_json::from_str::<Vec<Value>>(&said).expect("JSON")
    };
    until("it was tried in vain", || !log(&["The CRM", "--outcome", "failed"]).is_empty()).await;
    let failed = log(&[&id, "--outcome", "failed", "--type", "call.ended"]).remove(0);
    assert_eq!((&failed["status"], &failed["answer"], &failed["webhook"]), (&json!(500), &json!("thanks"), &json!(id)));
    let event = failed["event"].as_str().expect("an id").to_owned();
    // As the API has it.
    let of_api = get(&house, &format!("webhooks/{id}/deliveries?outcome=failed")).await;
    assert!(of_api["items"].as_array().is_some_and(|all| all.iter().any(|one| one["id"] == failed["id"])), "{of_api}");
    crm.answers(200);
    let delivered = |n: usize| log(&["The CRM", "--outcome", "delivered"]).len() == n;
    until_within(Duration::from_secs(30), "it was taken", || delivered(1)).await;
    assert!(offhook(&house, &["webhooks", "log", "The CRM"]).1.contains(&event), "and as a table");
    assert_eq!(log(&["The CRM", "--until", "2020-01-01"]), Vec::<Value>::new());
    // One by its id, then all of a window.
    let put_back = "1 event put back; a running server sends it within seconds\n".to_owned();
    assert_eq!(offhook(&house, &["webhooks", "replay", "The CRM", "--event", &event]), (true, put_back));
    until_within(Duration::from_secs(30), "it came again", || delivered(2)).await;
    let (good, said) = offhook(&house, &["webhooks", "replay", &id, "--since", "2020-01-01"]);
    assert!(good && said.starts_with("1 event put back"), "{said}");
    until_within(Duration::from_secs(30), "it came once more", || delivered(3)).await;
    let bodies: std::collections::HashSet<_> = crm.came().into_iter().map(|came| came.body).collect();
    assert_eq!(bodies.len(), 1, "the same bytes each time");
    let (good, said) = offhook(&house, &["webhooks", "replay", &id, "--since", "2020-01-01", "--dead"]);
    assert!(good && said.starts_with("0 events"), "{said}");
    for (args, why) in [
        (&["replay", "The CRM", "--event", "evt_none"][..], "is not kept any more"),
        (&["replay", "The CRM"], "--event"),
        (&["replay", "The CRM", "--since", "soon"], "a time is RFC 3339"),
        (&["log", "--type", "call.endet"], "call.ended"),
        (&["log", "--outcome", "odd"], "given_up"),
    ] {
        let (good, said) = offhook(&house, &[&["webhooks"], args].concat());
        assert!(!good && said.contains(why), "{args:?}: {said}");
    }
    assert_eq!(ask(&house, Method::POST, &format!("webhooks/{id}/disable"), Value::Null).await.0, 200);
    let (good, said) = offhook(&house, &["webhooks", "replay", &id, "--event", &event]);
    assert!(!good && said.contains("This webhook is switched off. Please switch it on first."), "{said}");
    let audit = get(&house, &format!("audit?object={id}&action=webhook.replay")).await;
    assert_eq!(audit["items"].as_array().map(Vec::len), Some(3), "{audit}");
    assert_eq!(audit["items"][0]["who"], "terminal");
}
