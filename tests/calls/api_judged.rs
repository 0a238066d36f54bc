//! The `schemathesis` package as judge of the API: what it is asked and answers is what its document says.
//!
//! The package lives in a Python environment at `target/judges`. Without it the test says so and passes, unless
//! `OFFHOOK_JUDGES=1` demands it.

#![allow(clippy::print_stderr)] // a skipped test says so

use std::path::{Path, PathBuf};
use std::process::Command;

use offhook::config::Role;
use offhook::house::principal::Principal;
use offhook::house::routes::{ROUTES, Route};
use offhook::stage::phone::{EndedBy, Step};
use serde_json::{Value, json};

use crate::house::{House, Plan, Site, place, write};
use crate::web::KEY;

/// A number by which a member is known.
const CALLER: &str = "+15550107001";

/// Streams do not end, and whoever waits for that waits for ever.
const STREAMS: &str = "/events$";

/// What is asked once more before the judge asks, to see that it is there; and what of the rest is not, and why.
const ABSENT: [&str; 4] = [
    // Nothing was found out about the call.
    "/api/v1/calls/{id}/analysis",
    // A key asks, and sessions are people's.
    "/api/v1/session/all",
    // These are asked by country.
    "/api/v1/numbers/available",
    "/api/v1/numbers/papers",
];

/// Things that are there, by what stands in paths: so that more is asked for than what is not.
struct There {
    call: String,
    member: String,
    gone_member: String,
    invitation: String,
    welcome: String,
    key: String,
    gone_key: String,
    access: String,
    number: String,
    gone_number: String,
    webhook: String,
    gone_webhook: String,
    delivery: String,
    erasure: String,
    document: String,
    gone_document: String,
}

impl There {
    async fn make(house: &House) -> There {
        let caller = house.caller(vec![Step::Silence(300), Step::HangUp]);
        assert_eq!(place(caller).await.ended_by, EndedBy::Caller);
        let call = house.report(0).await.0.call;
        house.running.store().flush().await;
        let make = async |path: &str, body: Value| -> Value {
            let request = reqwest::Client::new().post(house.url(&format!("/api/v1{path}"))).bearer_auth(KEY);
            let answer = request.header("content-type", "application/json").body(body.to_string()).send().await;
            let answer = answer.expect("an answer");
            let (status, text) = (answer.status(), answer.text().await.expect("a body"));
            assert!(status.is_success(), "{path} {status}: {text}");
            serde_json::from_str(&text).unwrap_or_default()
        };
        let id = |made: &Value, at: &str| made.pointer(at).and_then(Value::as_str).expect("an id").to_owned();
        let people = house.running.store().people();
        let member = async |email: &str| {
            people.add_user(&Principal::Operator, email, Role::Builder, None).await.expect("a user").id
        };
        let known = member("ann@example.com").await;
        make(&format!("/callers/{known}/numbers"), json!({ "number": CALLER })).await;
        make(&format!("/callers/{known}/numbers"), json!({ "number": "+15550107009" })).await;
        let invited = make("/invitations", json!({ "email": "eve@example.com", "role": "builder" })).await;
        let asked = make("/invitations", json!({ "email": "joe@example.com", "role": "builder" })).await;
        let link = id(&asked, "/link");
        let known_text = async |title: &str| -> String {
            let address = house.url(&format!("/api/v1/agents/mia/knowledge?title={title}"));
            let request = reqwest::Client::new().post(address).bearer_auth(KEY).header("content-type", "text/plain");
            let answer = request.body("We are open from nine to five.").send().await.expect("an answer");
            let (status, text) = (answer.status(), answer.text().await.expect("a body"));
            assert!(status.is_success(), "{status}: {text}");
            id(&serde_json::from_str(&text).expect("JSON"), "/id")
        };
        let key = |name: &str| json!({ "name": name, "role": "builder" });
        let webhook = |name: &str| json!({ "name": name, "url": "http://127.0.0.1:9/hook" });
        let hook = id(&make("/webhooks", webhook("One")).await, "/id");
        make(&format!("/webhooks/{hook}/test"), json!({ "types": ["call.ended"] })).await;
        let log =
            reqwest::Client::new().get(house.url(&format!("/api/v1/webhooks/{hook}/deliveries"))).bearer_auth(KEY);
        let log = log.send().await.expect("an answer").text().await.expect("a body");
        let log: Value = serde_json::from_str(&log).expect("JSON");
        There {
            call,
            member: known,
            gone_member: member("ben@example.com").await,
            invitation: id(&invited, "/id"),
            welcome: link.rsplit('/').next().expect("a token").to_owned(),
            key: id(&make("/tokens", key("one")).await, "/id"),
            gone_key: id(&make("/tokens", key("two")).await, "/id"),
            access: id(&make("/agents/mia/access-tokens", json!({ "name": "door" })).await, "/id"),
            number: id(&make("/numbers/by-hand", json!({ "number": "+15550100300" })).await, "/id"),
            gone_number: id(&make("/numbers/by-hand", json!({ "number": "+15550100301" })).await, "/id"),
            delivery: id(&log, "/items/0/id"),
            document: known_text("Hours").await,
            gone_document: known_text("Moods").await,
            webhook: hook,
            gone_webhook: id(&make("/webhooks", webhook("Two")).await, "/id"),
            erasure: id(&make("/erasures", json!({ "number": "+15550107008" })).await, "/id"),
        }
    }

    /// What stands in a route's path. What is deleted, or switched, is there for that.
    fn parts(&self, route: &Route) -> Vec<(&'static str, &str)> {
        let deletes = route.method == "DELETE";
        let one = |gone: bool, that, this| if gone { that } else { this };
        let switches = route.path.ends_with("/switch") || route.path.ends_with("-off");
        let of = route.path.trim_start_matches("/api/v1/").split('/').next().unwrap_or_default();
        let id = match of {
            "agents" if deletes && route.path.ends_with("{id}") => "spare",
            "agents" if switches => "switched",
            "agents" => "mia",
            "deployments" => one(deletes, "closed", "desk"),
            "revisions" => "1",
            "calls" => &self.call,
            "members" => one(deletes, &self.gone_member, &self.member),
            "invitations" => &self.invitation,
            "tokens" => one(deletes, &self.gone_key, &self.key),
            "numbers" => one(deletes || route.path.ends_with("/release"), &self.gone_number, &self.number),
            "webhooks" => one(deletes || route.path.ends_with("able"), &self.gone_webhook, &self.webhook),
            "erasures" => &self.erasure,
            _ => "none",
        };
        let number = one(of == "callers", "+15550107009", "+15550100300");
        let token = one(of == "agents", &self.access, &self.welcome);
        let all = [
            ("id", id),
            ("member", &self.member),
            ("number", number),
            ("token", token),
            ("delivery", self.delivery.as_str()),
            ("document", one(deletes, &self.gone_document, &self.document)),
        ];
        all.into_iter().filter(|(name, _)| route.path.contains(&format!("{{{name}}}"))).collect()
    }

    /// As the judge's configuration says it: of each request, what stands in its path.
    fn config(&self) -> String {
        let mut text = String::new();
        for route in ROUTES {
            let parts = self.parts(route);
            if !parts.is_empty() {
                let parts: Vec<_> =
                    parts.iter().map(|(name, value)| format!("\"path.{name}\" = \"{value}\"")).collect();
                text += &format!(
                    "[[operations]]\ninclude-name = \"{} {}\"\nparameters = {{ {} }}\n",
                    route.method,
                    route.path,
                    parts.join(", ")
                );
            }
        }
        text
    }

    /// Whether what can be read is there.
    async fn check(&self, house: &House) {
        for route in ROUTES.iter().filter(|route| route.method == "GET" && !ABSENT.contains(&route.path)) {
            let path = self.parts(route).iter().fold(route.path.to_owned(), |path, (name, value)| {
                path.replace(&format!("{{{name}}}"), &value.replace('+', "%2B"))
            });
            let asked = if path.ends_with("/search") { "?query=open" } else { "" };
            let request = reqwest::Client::new().get(house.url(&format!("{path}{asked}"))).bearer_auth(KEY);
            // A stream is over when nobody listens.
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status().as_u16(), 200, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_01_a_judge_finds_no_failure_and_no_answer_that_is_not_in_the_document() {
    let Some(judge) = judge() else { return };
    let plan = Plan {
        server: "[store]\nseal_key = { file = \"seal\" }\n".to_owned(),
        twilio: "[api]\ntoken = { file = \"api-token\" }\n".to_owned(),
        deployment: "[keep]\nrecording = true\n[outbound]\n".to_owned(),
        ..Plan::default()
    };
    let site = Site::build(&plan).await;
    for name in ["spare", "switched"] {
        write(
            &site.config().join(format!("agents/{name}.toml")),
            "model = \"scripted\"\ninstructions = \"Be spare.\"\n",
        );
    }
    write(&site.config().join("api-token"), KEY);
    write(&site.config().join("seal"), "0123456789abcdef0123456789abcdef");
    let config = site.dir.path().join("schemathesis.toml");
    let house = House::ruled(site).await;
    let there = There::make(&house).await;
    there.check(&house).await;
    write(&config, &there.config());
    let document = house.url("/api/v1/openapi.json");
    let folder = house.site.dir.path().to_owned();
    let asked = tokio::task::spawn_blocking(move || {
        let checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
            response_headers_conformance,unsupported_method";
        Command::new(judge)
            // It writes down what it found where it is started.
            .current_dir(folder)
            .arg(format!("--config-file={}", config.display()))
            .args(["run", &document, "--header", &format!("Authorization: Bearer {KEY}")])
            .args(["--checks", checks, "--exclude-path-regex", STREAMS, "--phases", "coverage,fuzzing"])
            .args(["--max-examples", "8", "--seed", "1", "--generation-database", "none"])
            .args(["--rate-limit", "auto", "--continue-on-failure", "--no-color", "--warnings", "off"])
            .output()
    });
    let judged = asked.await.expect("a thread").expect("schemathesis");
    let said = String::from_utf8_lossy(&judged.stdout);
    assert!(judged.status.success(), "{said}\n{}", String::from_utf8_lossy(&judged.stderr));
}

/// The program; `None`: it is not installed, and nobody demands it.
fn judge() -> Option<PathBuf> {
    let judge = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/judges/bin/schemathesis");
    if judge.exists() {
        return Some(judge);
    }
    assert!(
        std::env::var("OFFHOOK_JUDGES").as_deref() != Ok("1"),
        "OFFHOOK_JUDGES=1, but target/judges has no schemathesis: target/judges/bin/pip install -r tests/judges.txt"
    );
    eprintln!("SKIPPED: schemathesis is not installed in target/judges");
    None
}
