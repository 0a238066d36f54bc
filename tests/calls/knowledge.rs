//! What agents know: added over the API, read in a process of its own, and looked up in a call.

use std::time::Duration;

use offhook::stage::phone::EndedBy;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::house::{House, Plan, Site, place, until, write};
use crate::tools::{answered, one_turn, outputs};

const API_TOKEN: &str = "not-to-be-guessed-0123456789";
const RULES: &str =
    "# House rules\n\n## Pets\n\nDogs may come for ten francs a night.\n\n## Fire\n\nLeave by the stairs.\n";

async fn house(script: &str) -> House {
    let plan = Plan {
        twilio: "[api]\ntoken = { file = \"api-token\" }\n".to_owned(),
        script: script.to_owned(),
        ..Plan::default()
    };
    let site = Site::build(&plan).await;
    write(&site.config().join("api-token"), API_TOKEN);
    House::open(site, None).await
}

async fn send(house: &House, method: Method, path: &str, kind: &str, body: Vec<u8>) -> (u16, Value) {
    let request =
        reqwest::Client::new().request(method, house.url(&format!("/api/v1/agents/{path}"))).bearer_auth(API_TOKEN);
    read(request.header("content-type", kind).body(body).send().await.expect("an answer")).await
}

async fn get(house: &House, path: &str) -> (u16, Value) {
    let request = reqwest::Client::new().get(house.url(&format!("/api/v1/agents/{path}"))).bearer_auth(API_TOKEN);
    read(request.send().await.expect("an answer")).await
}

async fn read(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// The document once nothing waits of it.
async fn settled(house: &House, agent: &str, id: &str) -> Value {
    for _ in 0..600 {
        let (_, document) = get(house, &format!("{agent}/knowledge/{id}")).await;
        if !matches!(document["state"].as_str(), Some("waiting" | "reading")) {
            return document;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{id} is not read");
}

async fn add(house: &House, title: &str, kind: &str, body: &[u8]) -> Value {
    let (status, added) = send(house, Method::POST, &format!("mia/knowledge?title={title}"), kind, body.to_vec()).await;
    assert_eq!(status, 201, "{added}");
    settled(house, "mia", added["id"].as_str().expect("an id")).await
}

#[tokio::test]
async fn agt_04_a_call_looks_things_up_and_is_given_the_source() {
    let script = "think_ms = 100\n[greeting]\nsay = \"Hello.\"\n[[turn]]\nhears = \"May my dog come?\"\n\
                  tools = [{ name = \"knowledge\", arguments = { question = \"Are dogs allowed?\" } }]\n\
                  then_say = \"By the house rules, yes.\"\n[otherwise]\nsay = \"Yes.\"\n";
    let house = house(script).await;
    let document = add(&house, "House%20rules", "text/markdown", RULES.as_bytes()).await;
    assert_eq!(
        (document["state"].as_str(), document["kind"].as_str()),
        (Some("ready"), Some("markdown")),
        "{document}"
    );
    until("agents with documents are known", || house.running.handle().knows("mia")).await;
    let heard = place(house.caller(one_turn(answered()))).await;
    assert_eq!(heard.ended_by, EndedBy::Caller, "{heard:?}");
    let (report, folder) = house.report(0).await;
    let output: Value = serde_json::from_str(outputs(&report)["knowledge"]).expect("JSON");
    assert_eq!(output["sources"], json!(["House rules"]));
    assert_eq!(output["passages"][0]["source"], "House rules, House rules > Pets");
    assert_eq!(output["passages"][0]["text"], "Dogs may come for ten francs a night.");
    assert!(report.lines.iter().any(|line| line.text.contains("By the house rules")), "{:#?}", report.lines);
    assert_eq!(house.metric("offhook_tools_total{outcome=\"done\"}"), 1);
    assert!(std::fs::read_to_string(folder.join("journal")).expect("a journal").contains("House rules"));
    // Without a document there is no such tool.
    let id = document["id"].as_str().expect("an id");
    let (status, _) = send(&house, Method::DELETE, &format!("mia/knowledge/{id}"), "text/plain", Vec::new()).await;
    assert_eq!(status, 204);
    until("nobody has documents", || !house.running.handle().knows("mia")).await;
    place(house.caller(one_turn(answered()))).await;
    let (report, _) = house.report(1).await;
    assert!(
        outputs(&report).get("knowledge").is_none_or(|output| output.contains("there is no tool")),
        "{:?}",
        report.tools
    );
}

#[tokio::test]
async fn agt_04_sec_07_documents_are_added_listed_tried_and_removed_over_the_api() {
    let house = house(&Plan::default().script).await;
    let (status, list) = get(&house, "mia/knowledge").await;
    assert_eq!((status, &list["items"]), (200, &json!([])));
    let bounds = json!({ "documents": 0, "max_documents": 200, "bytes": 0, "max_bytes": 100_000_000u64,
        "max_document_bytes": 10_000_000u64, "max_page_bytes": 2_000_000u64 });
    assert_eq!(list["bounds"], bounds);
    assert_eq!(get(&house, "nobody/knowledge").await.0, 404);
    let html = "<!doctype html><title>Opening &amp; closing</title><h1>Times</h1><p>We open at seven.";
    let (status, added) = send(&house, Method::POST, "mia/knowledge", "text/plain", html.into()).await;
    assert_eq!((status, added["state"].as_str()), (201, Some("waiting")), "{added}");
    let id = added["id"].as_str().expect("an id").to_owned();
    let read = settled(&house, "mia", &id).await;
    let said = (read["title"].as_str(), read["kind"].as_str(), read["state"].as_str());
    assert_eq!(said, (Some("Opening & closing"), Some("html"), Some("ready")), "what it is its content says: {read}");
    let (_, found) = get(&house, "mia/knowledge/search?query=When%20do%20you%20open%3F").await;
    assert_eq!(found["items"][0]["source"], "Opening & closing, Times");
    let (status, again) =
        send(&house, Method::POST, &format!("mia/knowledge/{id}/read"), "text/plain", Vec::new()).await;
    assert_eq!((status, again["state"].as_str()), (202, Some("waiting")));
    assert_eq!(settled(&house, "mia", &id).await["state"], "ready");
    // What cannot be read says why, and the next is read all the same.
    for (body, words) in [
        (&b"\x89PNG\r\n"[..], "It is a picture: what is read is text, Markdown, HTML and PDF."),
        (b"%PDF-1.7\n1 0 obj\n[[[[[[", "The PDF is damaged, or of a kind that is not read."),
    ] {
        let failed = add(&house, "Odd", "application/pdf", body).await;
        assert_eq!((failed["state"].as_str(), failed["words"].as_str()), (Some("failed"), Some(words)));
    }
    // No page on this machine is fetched.
    let page = json!({ "url": house.url("/healthz"), "title": "Health" }).to_string();
    let (status, page) = send(&house, Method::POST, "mia/knowledge", "application/json", page.into()).await;
    assert_eq!(status, 201, "{page}");
    let page = settled(&house, "mia", page["id"].as_str().expect("an id")).await;
    let words =
        "The page was not fetched: its address is not public: pages on this machine or its network are not fetched.";
    assert_eq!(page["words"], words);
    for (kind, body, status, code) in [
        ("text/plain", vec![], 422, "document_empty"),
        ("text/plain", vec![b'x'; 10_000_001], 422, "document_size"),
        ("application/json", b"{\"url\":\"file:///etc/passwd\"}".to_vec(), 422, "page_url"),
        ("application/json", b"{}".to_vec(), 422, "missing"),
    ] {
        let answer = send(&house, Method::POST, "mia/knowledge", kind, body).await;
        assert_eq!((answer.0, answer.1["code"].as_str()), (status, Some(code)), "{}", answer.1);
    }
    let (status, _) = send(&house, Method::DELETE, &format!("mia/knowledge/{id}"), "text/plain", Vec::new()).await;
    assert_eq!((status, get(&house, &format!("mia/knowledge/{id}")).await.0), (204, 404));
    let (_, found) = get(&house, "mia/knowledge/search?query=open").await;
    assert_eq!(found["items"], json!([]));
}

#[tokio::test]
async fn agt_04_a_document_that_wants_too_much_is_ended_and_the_server_goes_on() {
    let house = house(&Plan::default().script).await;
    // Nine million letters that all begin something: more tokens than memory, or more time than there is.
    let evil = format!("%PDF-1.4\n1 0 obj\n<</Length 9000000>>\nstream\n{}", "[(a)<61>/A<<".repeat(750_000));
    let failed = add(&house, "Evil", "application/pdf", evil.as_bytes()).await;
    assert_eq!(failed["state"], "failed", "{failed}");
    let read = add(&house, "Good", "text/plain", b"Soup of the day.").await;
    assert_eq!(read["state"], "ready", "{read}");
    assert_eq!(house.get("/readyz").await.0, 200);
}
