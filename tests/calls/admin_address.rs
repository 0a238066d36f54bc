//! People and programs come by an address of their own, and the carrier by the public one.

use std::fs;

use offhook::config::Secret;
use offhook::link::twilio::signature;
use offhook::stage::phone::{Callee, Step, Then};
use serde_json::{Value, json};

use crate::house::{House, NUMBER, Plan, Site, TOKEN, write};

const KEY: &str = "not-to-be-guessed-0123456789";
const ANN: &str = "+15550100900";

/// A house whose carrier calls it where it listens, and whose people come elsewhere.
async fn house() -> House {
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("an address");
    let plan = Plan {
        server: format!("public_url = \"http://{free}\"\nlisten_admin = \"127.0.0.1:0\"\n"),
        twilio: "[api]\ntoken = { file = \"api-token\" }\n".to_owned(),
        deployment: "[outbound]\n".to_owned(),
        ..Plan::default()
    };
    let site = Site::build(&plan).await;
    write(&site.config().join("api-token"), KEY);
    let path = site.config().join("offhook.toml");
    let text = fs::read_to_string(&path).expect("a document");
    write(&path, &text.replacen("listen = \"127.0.0.1:0\"", &format!("listen = \"{free}\""), 1));
    House::open(site, None).await
}

async fn status(url: &str) -> u16 {
    let answer = reqwest::Client::new().get(url).bearer_auth(KEY).send().await.expect("an answer");
    answer.status().as_u16()
}

#[tokio::test]
async fn each_address_answers_what_is_its_own_and_calls_go_by_both() {
    let house = house().await;
    let (public, people) = (house.url(""), format!("http://{}", house.running.admin_addr().expect("an address")));
    assert_ne!(public, people);
    for (path, at_public, at_people) in [
        ("/healthz", 200, 200),
        ("/readyz", 200, 200),
        ("/metrics", 404, 200),
        ("/api/v1/agents", 404, 200),
        ("/api/v1/openapi.json", 404, 200),
        ("/api/v1/nothing", 404, 404),
        ("/docs/api", 404, 200),
        ("/v1/calls/none", 404, 404),
        ("/v1/calls", 404, 200),
        ("/twilio/stream-status", 405, 404),
    ] {
        let got = (status(&format!("{public}{path}")).await, status(&format!("{people}{path}")).await);
        assert_eq!(got, (at_public, at_people), "{path}");
    }
    // What the carrier signs is good at its own address alone.
    let fields = [("CallSid", "CA1"), ("To", NUMBER), ("From", "+15550100001")];
    let params: Vec<_> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let signed = signature::sign(&Secret::new(TOKEN), &format!("{public}/twilio/voice"), &params);
    for (base, expected) in [(&people, 404), (&public, 200)] {
        let request = reqwest::Client::new().post(format!("{base}/twilio/voice")).form(&fields);
        let answer = request.header("x-twilio-signature", &signed).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), expected, "{base}");
    }
    // A call that is placed at one address has its audio at the other.
    let carrier = house.site.carrier.clone().expect("a carrier");
    let says = vec![Step::Silence(300), Step::HangUp];
    carrier.expect(ANN, Callee { ring_ms: 50, then: Then::Answer(says), answered_by: None });
    let body = json!({ "deployment": "desk", "to": ANN }).to_string();
    let request = reqwest::Client::new().post(format!("{people}/api/v1/calls")).bearer_auth(KEY).body(body);
    let request = request.header("content-type", "application/json").header("idempotency-key", "one");
    let placed = request.send().await.expect("an answer");
    assert_eq!(placed.status().as_u16(), 201);
    let report = house.report(0).await.0;
    assert_eq!(report.end.kind(), "caller_hung_up");
    let shown = reqwest::Client::new().get(format!("{people}/api/v1/agents/mia/integration")).bearer_auth(KEY);
    let shown = shown.send().await.expect("an answer").text().await.expect("a body");
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["endpoint"], format!("{people}/api/v1/calls"));
    house.running.shutdown().await;
    assert!(reqwest::get(format!("{people}/healthz")).await.is_err(), "both are closed");
}
