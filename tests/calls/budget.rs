//! What all calls together may cost in a month: told, then said goodbye to, then refused (COST-03).

use std::time::Duration;

use offhook::engine::EndReason;
use offhook::stage::phone::{Outcome, Step};
use serde_json::{Value, json};

use crate::house::{House, Plan, Site, place, write};

const KEY: &str = "not-to-be-guessed-0123456789";

async fn ask(house: &House, path: &str, body: Option<Value>) -> (u16, String, Value) {
    let url = house.url(&format!("/api/v1{path}"));
    let client = reqwest::Client::new();
    let request = match &body {
        None => client.get(url),
        Some(body) => client
            .post(url)
            .header("content-type", "application/json")
            .header("idempotency-key", "one")
            .body(body.to_string()),
    };
    let answer = request.bearer_auth(KEY).send().await.expect("an answer");
    let after =
        answer.headers().get("retry-after").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (status, text) = (answer.status().as_u16(), answer.text().await.expect("a body"));
    (status, after, serde_json::from_str(&text).unwrap_or_default())
}

#[tokio::test]
async fn cost_03_a_month_that_is_used_up_ends_calls_politely_and_lets_none_begin() {
    let plan = Plan {
        server: "[budget]\nmax_cost_per_month = 0.00001\n".to_owned(),
        twilio:
            "[api]\ntoken = { file = \"api-token\" }\n[[webhooks]]\nname = \"crm\"\nurl = \"http://127.0.0.1:9/\"\n\
            secret = { env = \"SECRET\" }\nretry_first_ms = 100\n"
                .to_owned(),
        deployment: "[outbound]\n".to_owned(),
        agent: "greeting = { say = \"Greet.\" }\nfarewell = { say = \"Say goodbye.\" }\n".to_owned(),
        ..Plan::default()
    };
    let site = Site::build(&plan).await;
    write(&site.config().join("api-token"), KEY);
    let house = House::open(site, None).await;
    let (_, _, before) = ask(&house, "/budgets", None).await;
    let month = &before["organization"];
    assert_eq!((&month["per_month_micros"], &month["warning"]), (&json!(10), &json!(false)), "{before}");
    // A greeting is dearer than that.
    place(house.caller(vec![Step::WaitEnd { max_ms: 30_000 }])).await;
    let (report, _) = house.report(0).await;
    assert_eq!(report.end, EndReason::CostCap { of: "month".to_owned() });
    assert!(report.lines.len() >= 2, "it said goodbye: {:?}", report.lines);
    house.running.store().flush().await;
    let (_, _, after) = ask(&house, "/budgets", None).await;
    let month = &after["organization"];
    assert_eq!((&month["left_this_month_micros"], &month["warning"]), (&json!(0), &json!(true)), "{after}");
    assert_eq!(month["spent_this_month_micros"].as_u64(), Some(report.cost_micros));
    // Who calls is refused, and so is who wants to be called.
    let heard = place(house.caller(vec![Step::WaitEnd { max_ms: 10_000 }])).await;
    assert!(matches!(heard.outcome, Outcome::Refused { .. }), "{:?}", heard.outcome);
    assert_eq!(house.metric("offhook_calls_refused_total{reason=\"month_budget\"}"), 1);
    let wish = json!({ "deployment": "desk", "to": "+15550100900" });
    let (status, wait, refused) = ask(&house, "/calls", Some(wish)).await;
    assert_eq!((status, &refused["code"], wait.as_str()), (429, &json!("month_budget"), "60"), "{refused}");
    assert_eq!(house.site.carrier.as_ref().expect("a carrier").rang("+15550100900"), 0);
    // Others were told, once.
    let path = "/webhooks/crm/deliveries?type=alert.fired";
    let mut told = Value::Null;
    for _ in 0..400 {
        told = ask(&house, path, None).await.2;
        if told["items"][0].is_object() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let events: std::collections::BTreeSet<_> =
        told["items"].as_array().into_iter().flatten().map(|one| one["event"].to_string()).collect();
    assert_eq!(events.len(), 1, "{told}");
    let one = told["items"][0]["id"].as_str().expect("an id");
    let (_, _, whole) = ask(&house, &format!("/webhooks/crm/deliveries/{one}"), None).await;
    let body: Value = serde_json::from_str(whole["body"].as_str().expect("a body")).expect("JSON");
    assert_eq!((&body["data"]["alert"], &body["data"]["budget"]), (&json!("budget"), &json!("month")), "{body}");
}
