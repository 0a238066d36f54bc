//! Calls that are taken back while nobody here knows whether the carrier has placed them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Form, Json, Router};
use offhook::serve::client::Client;
use serde_json::{Value, json};

use crate::house::{ACCOUNT, House, Plan, TOKEN, until};

const ANN: &str = "+15550100900";
const SID: &str = "CA00000000000000000000000000004711";
const API_TOKEN: &str = "not-to-be-guessed-0123456789";

/// A carrier that places every call, says that it failed, and tells nobody of it.
#[derive(Clone, Default)]
struct Mute(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Whether its list of calls can be read.
    lists: AtomicBool,
    /// How many requests to change the call are answered by an error first.
    busy: Mutex<u32>,
    placed: Mutex<u32>,
    /// What it was asked to make of the call.
    asked: Mutex<Vec<String>>,
}

impl Mute {
    async fn listen(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let router = Router::new()
            .route("/2010-04-01/Accounts/{account}/Calls.json", post(create).get(list))
            .route("/2010-04-01/Accounts/{account}/Calls/{call}", post(change))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{at}")
    }

    fn asked(&self) -> Vec<String> {
        self.0.asked.lock().expect("requests").clone()
    }
}

async fn create(State(mute): State<Mute>) -> StatusCode {
    *mute.0.placed.lock().expect("calls") += 1;
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn list(State(mute): State<Mute>) -> Response {
    if !mute.0.lists.load(Ordering::Relaxed) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    Json(json!({ "calls": [{ "sid": SID, "status": "ringing", "direction": "outbound-api" }] })).into_response()
}

async fn change(
    State(mute): State<Mute>,
    Path((_, call)): Path<(String, String)>,
    Form(form): Form<Vec<(String, String)>>,
) -> Response {
    assert_eq!(call, format!("{SID}.json"));
    let status = form.iter().find(|(name, _)| name == "Status").map(|(_, value)| value.clone()).expect("a status");
    let mut busy = mute.0.busy.lock().expect("a number");
    if *busy > 0 {
        *busy -= 1;
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    mute.0.asked.lock().expect("requests").push(status.clone());
    Json(json!({ "sid": SID, "status": status })).into_response()
}

/// A house that has asked this carrier for a call, which it has taken back since. The call's id.
async fn taken_back(mute: &Mute) -> (House, Client, String) {
    let rest = mute.listen().await;
    let plan = Plan {
        carrier: false,
        twilio: format!(
            "account_sid = \"{ACCOUNT}\"\nrest_url = \"{rest}\"\nrest_timeout_ms = 2000\n[api]\ntoken = {{ file = \"api-token\" }}\n"
        ),
        ..Plan::default()
    };
    let site = crate::house::Site::build(&plan).await;
    crate::house::write(&site.config().join("api-token"), API_TOKEN);
    let house = House::open(site, None).await;
    let (url, body) = (house.url(""), json!({ "deployment": "desk", "to": ANN }));
    let asking = Client::new(&url, API_TOKEN).expect("a client");
    tokio::spawn(async move { asking.post("/v1/calls", Some("key-1"), &body).await });
    let api = Client::new(&url, API_TOKEN).expect("a client");
    let mut call = String::new();
    while call.is_empty() {
        let calls = api.get("/v1/calls").await.expect("an answer").body;
        if calls["calls"][0]["state"] == "unknown" {
            call = calls["calls"][0]["call"].as_str().expect("an id").to_owned();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let cancel = api.post(&format!("/v1/calls/{call}/cancel"), None, &Value::Null).await.expect("an answer");
    assert_eq!(cancel.status, 202, "{cancel:?}");
    reaches(&api, &call, "canceling").await;
    (house, api, call)
}

async fn reaches(api: &Client, call: &str, state: &str) {
    let mut now = Value::Null;
    for _ in 0..800 {
        now = api.get(&format!("/v1/calls/{call}")).await.expect("an answer").body;
        if now["state"] == state {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never {state}: {now}");
}

#[tokio::test]
async fn it_is_canceled_once_it_is_found_though_the_carrier_fails_at_first() {
    let mute = Mute::default();
    let (house, api, call) = taken_back(&mute).await;
    assert!(mute.asked().is_empty());
    *mute.0.busy.lock().expect("a number") = 1;
    mute.0.lists.store(true, Ordering::Relaxed);
    reaches(&api, &call, "canceled").await;
    assert_eq!(mute.asked(), ["canceled"]);
    until("its slot is free", || house.running.calls().is_empty()).await;
    // The same wish again is the same call, which nobody wants any more.
    let again = api.post("/v1/calls", Some("key-1"), &json!({ "deployment": "desk", "to": ANN })).await;
    let again = again.expect("an answer");
    assert_eq!((again.status, &again.body["state"]), (201, &json!("canceled")), "{again:?}");
    assert_eq!(*mute.0.placed.lock().expect("calls"), 1);
}

#[tokio::test]
async fn whoever_picks_up_before_is_hung_up_on() {
    let mute = Mute::default();
    let (house, api, call) = taken_back(&mute).await;
    let fields = [("CallSid", SID), ("To", ANN), ("From", crate::house::NUMBER)];
    let (status, twiml) = house.post(&format!("/twilio/voice?call={call}"), &fields, TOKEN).await;
    assert_eq!((status, twiml.contains("<Stream"), twiml.contains("<Hangup/>")), (200, false, true), "{twiml}");
    reaches(&api, &call, "canceled").await;
    assert_eq!(mute.asked().first().map(String::as_str), Some("canceled"));
}

/// The next server in the same place, to whom the call is still one that is to be taken back.
async fn started_anew(house: House, call: &str) -> (House, Client) {
    let data = house.site.data();
    let House { site, running, .. } = house;
    running.hurry();
    running.shutdown().await;
    drop(running);
    let house = House::open(site, Some(data)).await;
    let api = Client::new(&house.url(""), API_TOKEN).expect("a client");
    reaches(&api, call, "canceling").await;
    (house, api)
}

#[tokio::test]
async fn a_server_that_is_started_anew_remembers_the_wish() {
    let mute = Mute::default();
    let (house, _, call) = taken_back(&mute).await;
    let (_house, api) = started_anew(house, &call).await;
    mute.0.lists.store(true, Ordering::Relaxed);
    let again = api.post("/v1/calls", Some("key-1"), &json!({ "deployment": "desk", "to": ANN })).await;
    assert_eq!(again.expect("an answer").body["call"], call.as_str());
    reaches(&api, &call, "canceled").await;
    assert_eq!(mute.asked(), ["canceled"]);
    assert_eq!(*mute.0.placed.lock().expect("calls"), 1, "it never rang twice");
}

#[tokio::test]
async fn the_carriers_word_on_a_call_that_nobody_knows_any_more_is_enough_to_cancel_it() {
    let mute = Mute::default();
    let (house, _, call) = taken_back(&mute).await;
    let (house, api) = started_anew(house, &call).await;
    let fields = [("CallSid", SID), ("CallStatus", "ringing")];
    let (status, _) = house.post(&format!("/twilio/call-status?call={call}"), &fields, TOKEN).await;
    assert_eq!(status, 204);
    reaches(&api, &call, "canceled").await;
    assert_eq!(mute.asked(), ["canceled"]);
}
