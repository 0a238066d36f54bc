//! A carrier that speaks as Twilio does, with differences: whole calls of SignalWire's, and its numbers.

use offhook::config::Secret;
use offhook::link::twilio::signature;
use offhook::stage::phone::{Callee, EndedBy, Outcome, Step, Then};
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, NUMBER, PROJECT, Plan, SIGNING_KEY, Site, TOKEN, place, until, write};
use crate::talk::speech;
use crate::tools::one_turn;

const API_TOKEN: &str = "not-to-be-guessed-0123456789";
const DESK: &str = "+15550100222";
const SAN_FRANCISCO: &str = "+14155550100";

fn plan() -> Plan {
    Plan {
        signalwire: true,
        twilio: "[api]\ntoken = { file = \"api-token\" }\n".to_owned(),
        agent: format!(
            "greeting = {{ say = \"Greet.\" }}\ntools = [\"transfer\", \"hang_up\"]\n\
             [[destination]]\nname = \"desk\"\nnumber = \"{DESK}\"\nring_s = 5\n"
        ),
        ..Plan::default()
    }
}

async fn house(plan: Plan) -> House {
    let site = Site::build(&plan).await;
    write(&site.config().join("api-token"), API_TOKEN);
    write(&site.config().join("deployments/spare.toml"), "agent = \"mia\"\n");
    site.carrier.as_ref().expect("a carrier").numbers().stock();
    House::open(site, None).await
}

async fn ask(house: &House, method: Method, path: &str, key: &str, body: Option<Value>) -> (u16, Value) {
    let request = reqwest::Client::new().request(method, house.url(path)).bearer_auth(API_TOKEN);
    let request = request.header("idempotency-key", key);
    let request = match body {
        Some(body) => request.header("content-type", "application/json").body(body.to_string()),
        None => request,
    };
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or_default())
}

#[tokio::test]
async fn its_webhooks_are_signed_in_its_header_with_its_key_and_its_streams_show_the_calls_token() {
    let house = house(plan()).await;
    let url = house.url("/twilio/voice");
    let fields = [("CallSid", "11111111-0000-4000-8000-000000000001"), ("To", NUMBER), ("From", "+15550100001")];
    let params = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let ring = async |header: Option<&str>, key: &str| {
        let mut request = reqwest::Client::new().post(&url).form(&fields);
        if let Some(header) = header {
            request = request.header(header, signature::sign(&Secret::new(key), &url, &params));
        }
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    };
    assert_eq!(ring(None, "").await.0, 403);
    assert_eq!(ring(Some("x-signalwire-signature"), TOKEN).await.0, 403, "the API's token signs nothing");
    assert_eq!(ring(Some("x-twilio-signature"), TOKEN).await.0, 403);
    let (status, document) = ring(Some("x-signalwire-signature"), SIGNING_KEY).await;
    assert!(status == 200 && document.contains("<Stream authBearerToken=\""), "{document}");
    assert_eq!(ring(Some("x-twilio-signature"), SIGNING_KEY).await, (200, document.clone()), "it uses either");
    let token = document.split("authBearerToken=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a token");
    assert!(document.contains(&format!("<Parameter name=\"token\" value=\"{token}\"/>")));

    let upgrade = async |bearer: Option<&str>| {
        let request = reqwest::Client::new()
            .get(house.url("/twilio/media"))
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let request = match bearer {
            Some(bearer) => request.header("authorization", bearer),
            None => request,
        };
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(upgrade(None).await, 403);
    assert_eq!(upgrade(Some("Bearer guessed")).await, 403);
    assert_eq!(upgrade(Some(token)).await, 403, "not as a bearer");
    assert_eq!(upgrade(Some(&format!("Bearer {token}"))).await, 101);
    assert_eq!(house.metric("offhook_media_rejected_total{reason=\"signature\"}"), 3);
}

#[tokio::test]
async fn its_calls_are_heard_put_through_by_a_url_and_hung_up() {
    let transfer = "say = \"I will put you through.\"\n\
        tools = [{ name = \"transfer\", arguments = { destination = \"desk\" } }]";
    let script = |turn: &str| {
        format!(
            "think_ms = 100\n[greeting]\nsay = \"Hello.\"\n[[turn]]\nhears = \"Please.\"\n{turn}\n[otherwise]\nsay = \"Yes.\"\n"
        )
    };
    let through = house(Plan { script: script(transfer), ..plan() }).await;
    let heard = place(through.caller(one_turn(vec![Step::WaitEnd { max_ms: 30_000 }]))).await;
    assert_eq!((heard.outcome, heard.ended_by), (Outcome::Connected, EndedBy::Transferred));
    assert_eq!((heard.transferred_to.as_deref(), heard.violations.len()), (Some(DESK), 0), "{:?}", heard.violations);
    assert_eq!(heard.call_sid.len(), 36, "a UUID");
    let (report, _) = through.report(0).await;
    assert_eq!(report.end.to_string(), "transferred (desk)");
    let asked = through.site.carrier.as_ref().expect("a carrier").requests();
    let update = &asked.last().expect("a request").form;
    let document = through.url("/twilio/document");
    assert_eq!(update, &[("Url".to_owned(), document), ("Method".to_owned(), "POST".to_owned())]);
    assert_eq!(through.metric("offhook_carrier_reports_total{event=\"document\"}"), 1);
    // Whoever asks for a document that no call has is told to hang up, and strangers nothing.
    let url = through.url("/twilio/document");
    let params = [("CallSid".to_owned(), "none".to_owned())];
    let signed = signature::sign(&Secret::new(SIGNING_KEY), &url, &params);
    let request = reqwest::Client::new().post(&url).form(&params).header("x-signalwire-signature", signed);
    let none = request.send().await.expect("an answer").text().await.expect("a body");
    assert!(none.ends_with("<Response><Hangup/></Response>"), "{none}");
    let stranger = reqwest::Client::new().post(&url).form(&params).send().await.expect("an answer");
    assert_eq!(stranger.status(), 403);

    let hang_up = "say = \"Goodbye.\"\ntools = [{ name = \"hang_up\" }]";
    let over = house(Plan { script: script(hang_up), ..plan() }).await;
    let heard = place(over.caller(one_turn(vec![Step::WaitEnd { max_ms: 30_000 }]))).await;
    assert_eq!((heard.ended_by, heard.violations.len()), (EndedBy::Rest, 0));
    let (report, _) = over.report(0).await;
    assert!(!report.lines.is_empty(), "it was heard: {report:#?}");
}

#[tokio::test]
async fn calls_are_placed_over_it() {
    let house = house(plan()).await;
    let carrier = house.site.carrier.clone().expect("a carrier");
    let steps = vec![speech(600), Step::WaitAgentSpeaking { after_ms: 100, max_ms: 10_000 }, Step::HangUp];
    carrier.expect("+15550100900", Callee { ring_ms: 100, then: Then::Answer(steps), answered_by: None });
    let body = json!({ "deployment": "desk", "to": "+15550100900" });
    let (status, call) = ask(&house, Method::POST, "/v1/calls", "one", Some(body)).await;
    assert_eq!(status, 201, "{call}");
    until("it is over", || carrier.dialled().first().is_some_and(|call| call.report.is_some())).await;
    let dialled = carrier.dialled().remove(0);
    let report = dialled.report.expect("a report");
    assert_eq!((report.outcome, dialled.sid.len(), dialled.failed_callbacks), (Outcome::Connected, 36, 0));
}

#[tokio::test]
async fn its_numbers_are_bought_and_what_it_has_not_is_said_and_refused() {
    let house = house(plan()).await;
    let exchange = house.site.carrier.as_ref().expect("a carrier").numbers().clone();
    let get = async |path: &str| ask(&house, Method::GET, &format!("/api/v1/numbers{path}"), "", None).await;
    for (query, words) in [
        (
            "country=DE&type=local",
            "SignalWire has no numbers in Germany. One of another carrier can be entered by hand.",
        ),
        ("country=US&type=mobile", "SignalWire sells no mobile numbers over its API."),
        (
            "country=GB&type=local",
            "SignalWire sells numbers in United Kingdom on request only: order one there, and take it over once the \
             carrier lists it.",
        ),
    ] {
        for path in [format!("/available?{query}"), format!("/papers?{query}")] {
            let (status, no) = get(&path).await;
            assert_eq!((status, &no["code"], &no["detail"]), (409, &json!("not_by_carrier"), &json!(words)), "{path}");
        }
    }
    let (status, found) = get("/available?country=US&type=local&area_code=415").await;
    assert_eq!((status, found["items"].as_array().map(Vec::len)), (200, Some(6)), "{found}");
    assert_eq!((&found["price"], &found["papers"]), (&Value::Null, &Value::Null), "it tells neither");
    let (_, papers) = get("/papers?country=US&type=toll-free").await;
    assert_eq!((&papers["bundle"], &papers["address"]), (&json!(false), &json!("none")), "{papers}");

    let buy = async |key: &str, more: Value| {
        let mut body = json!({ "country": "US", "type": "local", "number": SAN_FRANCISCO });
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        ask(&house, Method::POST, "/api/v1/numbers", key, Some(body)).await
    };
    let (status, papers) = buy("a", json!({ "bundle": "BU1" })).await;
    assert_eq!((status, &papers["code"]), (422, &json!("papers_unfit")), "{papers}");
    let (status, bought) = buy("b", json!({})).await;
    assert_eq!((status, &bought["state"]), (201, &json!("held")), "{bought}");
    let id = bought["id"].as_str().expect("an id").to_owned();
    let owned = exchange.owned(PROJECT).remove(0);
    assert_eq!((owned.sid.len(), owned.get("VoiceUrl")), (36, house.url("/twilio/voice").as_str()));
    let assign = json!({ "deployment": "spare" });
    let (status, has) = ask(&house, Method::POST, &format!("/api/v1/numbers/{id}/assign"), "c", Some(assign)).await;
    assert_eq!((status, &has["deployment"]), (200, &json!("spare")), "{has}");
    match exchange.ring(SAN_FRANCISCO, "+14155559999").await {
        offhook::stage::carrier::Rung::Asked { twiml, .. } => assert!(twiml.contains("authBearerToken"), "{twiml}"),
        other => panic!("{other:?}"),
    }
    let (_, panel) = ask(&house, Method::GET, "/api/v1/deployments/spare/assessment", "", None).await;
    assert!(panel["rows"].to_string().contains("Phone provider"), "{panel}");
    // More than a page: what comes next is behind its prefix.
    for n in 0..120 {
        let for_sale = offhook::stage::carrier::ForSale {
            number: format!("+1415556{n:04}"),
            country: "US".to_owned(),
            kind: offhook::stage::carrier::Kind::Local,
            locality: String::new(),
            voice: true,
            address: "none",
        };
        exchange.buy_in_console(PROJECT, for_sale);
    }
    let (status, found) = ask(&house, Method::POST, "/api/v1/numbers/differences", "d", None).await;
    assert_eq!((status, found["items"].as_array().map(Vec::len)), (200, Some(120)), "{}", found["error"]);
    let asked = exchange.requests();
    let there = |asked: &offhook::stage::carrier::Asked| asked.path.starts_with("/2010-04-01/") && asked.status < 300;
    assert!(asked.iter().all(there), "what it has not is not asked for: {asked:?}");
}
