//! Calls over `/api/v1`: placed, listed, watched, listened to, commanded and counted.

use std::time::Duration;

use offhook::config::Role;
use offhook::house::people::KeyWish;
use offhook::house::principal::{Principal, Scopes};
use offhook::stage::phone::{Callee, Step, Then};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::house::{House, NUMBER, Plan, Site, place, until, write};
use crate::talk::speech;

const ANN: &str = "+15550100900";
const DESK: &str = "+15550100222";
const API_TOKEN: &str = "not-to-be-guessed-0123456789";
const STATUSES: [&str; 10] =
    ["Scheduled", "Queued", "Dialing", "InProgress", "Completed", "NoAnswer", "Busy", "Failed", "Canceled", "Expired"];

async fn house() -> House {
    let plan = Plan {
        twilio: "rest_timeout_ms = 2000\n[api]\ntoken = { file = \"api-token\" }\n[billing]\ncredit = 0.01\ncurrency = \"USD\"\n"
            .to_owned(),
        deployment: "[limits]\nmax_cost_per_day = 0.5\n[keep]\nrecording = true\njournal = \"audio\"\n[outbound]\n".to_owned(),
        agent: format!(
            "{}[[destination]]\nname = \"desk\"\nnumber = \"{DESK}\"\nring_s = 5\n[variables.call]\nname = \"\"\n",
            Plan::default().agent
        ),
        ..Plan::default()
    };
    let site = Site::build(&plan).await;
    write(&site.config().join("api-token"), API_TOKEN);
    House::open(site, None).await
}

async fn send(
    house: &House,
    method: Method,
    path: &str,
    token: &str,
    more: &[(&str, &str)],
    body: Option<&Value>,
) -> Response {
    let mut request = reqwest::Client::new().request(method, house.url(path)).bearer_auth(token);
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    request.send().await.expect("an answer")
}

async fn get(house: &House, path: &str) -> (u16, Value) {
    read(send(house, Method::GET, path, API_TOKEN, &[], None).await).await
}

async fn post(house: &House, path: &str, key: Option<&str>, body: &Value) -> (u16, Value) {
    let key: Vec<_> = key.iter().map(|key| ("idempotency-key", *key)).collect();
    read(send(house, Method::POST, path, API_TOKEN, &key, Some(body)).await).await
}

async fn read(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default())
}

/// A key for calls that is bound to this agent.
async fn key_of(house: &House, agent: &str) -> String {
    let wish = KeyWish {
        name: format!("only {agent}"),
        role: Role::Builder,
        scopes: Scopes::parse(&["calls:write", "analytics:read"]).expect("scopes"),
        agents: Some(vec![agent.to_owned()]),
        expires_ms: None,
    };
    let added = house.running.handle().store().people().add_key(&Principal::Operator, wish).await;
    added.expect("a key").1.expose().to_owned()
}

/// Server-sent events, one after the other.
struct Events(Response, String);

impl Events {
    async fn of(house: &House, path: &str, last: Option<&str>) -> Events {
        let last: Vec<_> = last.iter().map(|last| ("last-event-id", *last)).collect();
        let answer = send(house, Method::GET, path, API_TOKEN, &last, None).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Events(answer, String::new())
    }

    /// The next: its number, its name and its data. `None`: the stream is over.
    async fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            if let Some(end) = self.1.find("\n\n") {
                let text: String = self.1.drain(..end + 2).collect();
                let field = |name: &str| {
                    let found = text.lines().find_map(|line| line.strip_prefix(name));
                    found.unwrap_or_default().trim_start_matches([':', ' ']).to_owned()
                };
                let name = field("event");
                if !name.is_empty() {
                    return Some((field("id"), name, serde_json::from_str(&field("data")).expect("JSON")));
                }
                continue;
            }
            let piece = tokio::time::timeout(Duration::from_secs(20), self.0.chunk()).await.expect("in time");
            self.1.push_str(&String::from_utf8_lossy(&piece.expect("a stream")?));
        }
    }

    /// The next of this name, and the names of those before it.
    async fn until(&mut self, wanted: &str) -> (String, Value, Vec<String>) {
        let mut before = Vec::new();
        while let Some((id, name, data)) = self.next().await {
            if name == wanted {
                return (id, data, before);
            }
            before.push(name);
        }
        panic!("no {wanted}: {before:?}");
    }
}

/// A call that was placed is followed from the carrier to its end, by every way there is.
#[tokio::test]
async fn api_10_out_01_a_call_is_placed_watched_commanded_and_kept() {
    let house = house().await;
    let carrier = house.site.carrier.clone().expect("a carrier");
    let script = vec![Step::Silence(400), speech(600), Step::WaitEnd { max_ms: 40_000 }];
    carrier.expect(ANN, Callee { ring_ms: 300, then: Then::Answer(script), answered_by: None });
    let mut all = Events::of(&house, "/api/v1/events?types=call.*", None).await;
    let body = json!({ "agent": "mia", "to": ANN, "variables": { "name": "Ann" } });
    let (status, placed) = post(&house, "/api/v1/calls", Some("key-1"), &body).await;
    assert_eq!(
        (status, &placed["status"], &placed["deployment"]),
        (201, &json!("Dialing"), &json!("desk")),
        "{placed}"
    );
    let id = placed["id"].as_str().expect("an id").to_owned();
    // OUT-06: the same again is the same call, another is refused.
    let (status, again) = post(&house, "/api/v1/calls", Some("key-1"), &body).await;
    assert_eq!((status, &again["id"]), (201, &json!(id)));
    let other = post(&house, "/api/v1/calls", Some("key-1"), &json!({ "agent": "mia", "to": DESK })).await;
    assert_eq!(code(&other), (409, "key_reused"));

    let (first, data, _) = all.until("call.dialing").await;
    assert_eq!((&data["call"]["id"], &data["call"]["status"]), (&json!(id), &json!("Dialing")));
    let (_, data, _) = all.until("call.started").await;
    assert_eq!((&data["call"]["to"], &data["call"]["direction"]), (&json!(ANN), &json!("outbound")));
    let path = |rest: &str| format!("/api/v1/calls/{id}{rest}");
    let mut own = Events::of(&house, &path("/events"), None).await;
    let (number, name, now) = own.next().await.expect("the call");
    assert_eq!((number.as_str(), name.as_str(), &now["status"]), ("", "call", &json!("InProgress")));
    let (_, said, _) = all.until("call.said").await;
    assert_eq!(said["who"], "agent", "{said}");
    let words = said["text"].clone();
    // LIVE-01: who, since when, and what was said last.
    let (_, live) = get(&house, "/api/v1/calls/live").await;
    assert_eq!((&live["items"][0]["id"], &live["items"][0]["last_words"]["text"]), (&json!(id), &words));
    let (_, counts) = get(&house, "/api/v1/calls/statistics/statuses").await;
    assert_eq!((&counts["statusCounts"]["InProgress"], &counts["totalCount"]), (&json!(1), &json!(1)));
    // Orders, and what is none.
    let passed = post(&house, &path("/say"), None, &json!({ "text": "We close soon." })).await;
    assert_eq!(passed, (202, json!({ "call": id })));
    // The scripted model says what it is asked to.
    while !own.until("call.said").await.1["text"].as_str().is_some_and(|text| text.contains("We close soon.")) {}
    for (rest, body, expected) in [
        ("/say", json!({ "text": " " }), (422, "text")),
        ("/say", json!({ "words": "Hello" }), (422, "body")),
        ("/transfer", json!({ "to": "nowhere" }), (422, "destination")),
        ("/cancel", json!({}), (409, "answered")),
    ] {
        assert_eq!(code(&post(&house, &path(rest), None, &body).await), expected, "{rest} {body}");
    }
    // A key that is bound to another agent finds nothing of it, by any way.
    let stranger = key_of(&house, "other").await;
    for rest in ["", "/transcript", "/recording", "/peaks", "/analysis", "/events"] {
        let answer = send(&house, Method::GET, &path(rest), &stranger, &[], None).await;
        assert_eq!(answer.status(), 404, "{rest}");
    }
    for rest in ["/end", "/cancel", "/commit"] {
        let answer = send(&house, Method::POST, &path(rest), &stranger, &[], None).await;
        assert_eq!(answer.status(), 404, "{rest}");
    }
    let mine = key_of(&house, "mia").await;
    assert_eq!(send(&house, Method::GET, &path(""), &mine, &[], None).await.status(), 200);
    let listed = read(send(&house, Method::GET, "/api/v1/calls", &stranger, &[], None).await).await;
    assert_eq!(listed, (200, json!({ "items": [], "next": null })));

    let (status, _) = post(&house, &path("/end"), None, &json!({})).await;
    assert_eq!(status, 202);
    let (last, over, _) = own.until("call.ended").await;
    assert_eq!((&over["call"]["end"], &over["call"]["status"]), (&json!("operator"), &json!("Completed")));
    assert_eq!(own.next().await, None, "its stream is over with it");
    house.report(0).await;
    until("it is over", || house.running.handle().feed().live(&id).is_none()).await;
    house.running.handle().store().flush().await;

    // Whoever comes again goes on behind what was seen, and is told when that is not known.
    let mut again = Events::of(&house, "/api/v1/events?types=call.started,call.ended", Some(&first)).await;
    assert_eq!(again.next().await.expect("an event").1, "call.started");
    let (number, name, _) = again.next().await.expect("an event");
    assert_eq!((number, name.as_str()), (last, "call.ended"));
    for unknown in ["1", "18446744073709551615", "nonsense"] {
        let mut lost = Events::of(&house, "/api/v1/events", Some(unknown)).await;
        assert_eq!(lost.next().await.expect("an event").1, "reset", "{unknown}");
    }

    // COST-02: by part, and what nobody knows is null.
    let (status, call) = get(&house, &path("")).await;
    assert_eq!((status, &call["status"], &call["end"]), (200, &json!("Completed"), &json!("operator")), "{call}");
    assert_eq!((&call["result"]["status"], &call["model"]), (&json!("unknown"), &json!("scripted")));
    let cost = &call["cost"];
    let part = |name: &str| cost[name].as_u64().unwrap_or_else(|| panic!("{name}: {cost}"));
    let parts = ["model_input_micros", "model_cached_micros", "model_output_micros", "model_time_micros"];
    assert_eq!(parts.iter().map(|name| part(name)).sum::<u64>(), part("total_micros"));
    assert!(part("total_micros") > 0 && call["credits"].as_f64().is_some_and(|credits| credits > 0.0), "{call}");
    assert_eq!((&cost["carrier_micros"], &cost["transcription_micros"]), (&Value::Null, &Value::Null));
    assert!(call["report"]["counters"].is_object() && call["report"]["lines"].is_null(), "{call}");
    let (_, transcript) = get(&house, &path("/transcript")).await;
    assert_eq!((&transcript["complete"], &transcript["lines"][0]["text"]), (&json!(true), &words));
    assert_eq!(code(&get(&house, &path("/analysis")).await), (404, "no_analysis"));
    for rest in ["/end", "/commit", "/cancel"] {
        assert_eq!(code(&post(&house, &path(rest), None, &json!({})).await), (409, "over"), "{rest}");
    }
    recording(&house, &id).await;
    // COST-01, COST-03.
    let (_, used) = get(&house, "/api/v1/usage?by=agent").await;
    assert_eq!((&used["items"][0]["key"], &used["items"][0]["calls"]), (&json!("mia"), &json!(1)), "{used}");
    assert_eq!(used["items"][0]["cost_micros"], cost["total_micros"]);
    let (_, budgets) = get(&house, "/api/v1/budgets").await;
    let desk =
        budgets["items"].as_array().and_then(|all| all.iter().find(|b| b["deployment"] == "desk")).expect("desk");
    assert_eq!((&desk["per_day_micros"], &desk["spent_today_micros"]), (&json!(500_000), &cost["total_micros"]));
    assert_eq!(desk["reserved_micros"], 0);
    let (_, audit) = get(&house, &format!("/api/v1/audit?object={id}")).await;
    let did: Vec<_> = audit["items"].as_array().expect("a list").iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(did, ["call.end", "call.say", "call.place"], "{audit}");
    // C-23: the old way stays, and says that there is another.
    let old = send(&house, Method::GET, &format!("/v1/calls/{id}"), API_TOKEN, &[], None).await;
    assert!(old.headers().contains_key("deprecation"));
    assert_eq!(read(old).await.1["state"], "completed");
}

async fn recording(house: &House, id: &str) {
    let path = format!("/api/v1/calls/{id}/recording");
    let get = async |range: Option<&str>| {
        let more: Vec<_> = range.iter().map(|range| ("range", *range)).collect();
        send(house, Method::GET, &path, API_TOKEN, &more, None).await
    };
    let whole = get(None).await;
    assert_eq!((whole.status().as_u16(), &whole.headers()["accept-ranges"]), (200, &"bytes".parse().unwrap()));
    assert!(whole.headers()["cache-control"].to_str().unwrap().starts_with("private"));
    assert!(whole.headers()["content-disposition"].to_str().unwrap().contains(id));
    let whole = whole.bytes().await.unwrap();
    assert_eq!(&whole[..4], b"RIFF");
    for (range, from, to) in
        [("bytes=0-99", 0, 100), ("bytes=1000-", 1_000, whole.len()), ("bytes=-7", whole.len() - 7, whole.len())]
    {
        let part = get(Some(range)).await;
        assert_eq!(part.status(), 206, "{range}");
        let said = format!("bytes {from}-{}/{}", to - 1, whole.len());
        assert_eq!(part.headers()["content-range"].to_str().unwrap(), said);
        assert_eq!(part.bytes().await.unwrap(), whole[from..to], "{range}");
    }
    let beyond = get(Some("bytes=999999999-")).await;
    assert_eq!(
        (beyond.status().as_u16(), beyond.headers()["content-range"].clone()),
        (416, format!("bytes */{}", whole.len()).parse().unwrap())
    );
    let peaks = send(house, Method::GET, &format!("/api/v1/calls/{id}/peaks?px=100"), API_TOKEN, &[], None).await;
    let peaks = peaks.bytes().await.unwrap();
    assert_eq!(peaks.len(), 400);
    assert!(peaks.iter().any(|peak| *peak != 0), "somebody spoke");
    // Somebody deleted it.
    std::fs::remove_file(house.running.handle().folder(id).join("recording.wav")).unwrap();
    for rest in ["recording", "peaks"] {
        let gone =
            read(send(house, Method::GET, &format!("/api/v1/calls/{id}/{rest}"), API_TOKEN, &[], None).await).await;
        assert_eq!(code(&gone), (404, "recording_missing"), "{gone:?}");
    }
}

/// A caller is put through by an operator; and lists, counts and bad input.
#[tokio::test]
async fn hist_01_stat_01_calls_are_found_by_what_is_asked_and_bad_requests_change_nothing() {
    let house = house().await;
    let caller = house.caller(vec![Step::WaitEnd { max_ms: 30_000 }]);
    let mut events = Events::of(&house, "/api/v1/events", None).await;
    let calling = tokio::spawn(place(caller));
    let (_, data, _) = events.until("call.said").await;
    let id = data["call"].as_str().expect("an id").to_owned();
    let passed = post(&house, &format!("/api/v1/calls/{id}/transfer"), None, &json!({ "to": "desk" })).await;
    assert_eq!(passed.0, 202, "{passed:?}");
    let (_, data, _) = events.until("call.transferring").await;
    assert_eq!(data["to"], "desk");
    let heard = calling.await.expect("a call");
    assert_eq!(heard.transferred_to.as_deref(), Some(DESK));
    let (_, data, _) = events.until("call.ended").await;
    assert_eq!(data["call"]["end"], "transferred");
    house.report(0).await;
    house.running.handle().store().flush().await;
    let (_, page) = get(&house, "/api/v1/calls?end=transferred").await;
    assert_eq!((&page["items"][0]["id"], &page["next"]), (&json!(id), &Value::Null), "{page}");

    // One that nobody answers is in the same list.
    let carrier = house.site.carrier.clone().expect("a carrier");
    carrier.expect(ANN, Callee { ring_ms: 100, then: Then::Busy, answered_by: None });
    let (status, placed) =
        post(&house, "/api/v1/calls", Some("busy"), &json!({ "deployment": "desk", "to": ANN })).await;
    assert_eq!(status, 201, "{placed}");
    house.report(1).await;
    house.running.handle().store().flush().await;
    for (query, found) in [
        ("", 2),
        ("status=Busy", 1),
        ("status=Busy,Completed", 2),
        ("status=Busy&status=Completed", 2),
        ("direction=inbound", 1),
        ("number=%2B15550100900", 1),
        ("agent=mia&deployment=desk", 2),
        ("agent=nobody", 0),
        ("since=-1h", 2),
        ("until=2020-01-01", 0),
        ("result=success", 0),
        ("result=unknown", 2),
        ("min_duration_ms=100000000", 0),
        ("max_cost_micros=0", 1),
    ] {
        let (status, page) = get(&house, &format!("/api/v1/calls?{query}")).await;
        assert_eq!((status, page["items"].as_array().map(Vec::len)), (200, Some(found)), "{query}: {page}");
    }
    // API-04: page by page, each call once.
    let (_, first) = get(&house, "/api/v1/calls?limit=1").await;
    let next = first["next"].as_str().expect("a cursor");
    let (_, second) = get(&house, &format!("/api/v1/calls?limit=1&cursor={next}")).await;
    assert_eq!(
        (&first["items"][0]["id"], &second["items"][0]["id"], &second["next"]),
        (&placed["id"], &json!(id), &Value::Null)
    );
    // STAT-01, STAT-02.
    let (_, counts) = get(&house, "/api/v1/calls/statistics/statuses?agentId=mia").await;
    let named: Vec<_> = counts["statusCounts"].as_object().expect("counts").iter().collect();
    assert!(STATUSES.iter().all(|status| counts["statusCounts"][status].is_u64()) && named.len() == 10, "{counts}");
    let sum: u64 = named.iter().map(|(_, n)| n.as_u64().expect("a number")).sum();
    assert_eq!((&counts["totalCount"], sum), (&json!(2), 2));
    assert_eq!((&counts["statusCounts"]["Completed"], &counts["statusCounts"]["Busy"]), (&json!(1), &json!(1)));
    assert_eq!(get(&house, "/api/v1/calls/statistics/statuses?agentId=nobody").await.0, 404);

    for path in [
        "/api/v1/calls?limit=101",
        "/api/v1/calls?limit=0",
        "/api/v1/calls?foo=1",
        "/api/v1/calls?status=busy",
        "/api/v1/calls?direction=up",
        "/api/v1/calls?since=yesterday",
        "/api/v1/calls?number=5",
        "/api/v1/calls?cursor=%F0",
        "/api/v1/calls?cursor=bm9uZQ",
        "/api/v1/calls?min_duration_ms=-1",
        "/api/v1/calls?min_duration_ms=2&max_duration_ms=1",
        "/api/v1/calls/statistics/statuses?since=x",
        "/api/v1/usage?by=week",
        "/api/v1/usage?by=hour&since=-30d",
        "/api/v1/budgets?foo=1",
        "/api/v1/events?types=mail.*",
        &format!("/api/v1/calls/{id}?foo=1"),
        &format!("/api/v1/calls/{id}/peaks?px=0"),
        &format!("/api/v1/calls/{id}/peaks?px=99999"),
    ] {
        let (status, problem) = get(&house, path).await;
        assert_eq!(status, 422, "{path}: {problem}");
        assert!(problem["errors"][0]["pointer"].as_str().is_some_and(|at| at.starts_with('?')), "{path}: {problem}");
    }
    for path in [
        "/api/v1/calls/nobody",
        "/api/v1/calls/..%2F..%2Fetc",
        "/api/v1/calls/call_1/recording",
        "/api/v1/calls/call_1/events",
    ] {
        assert_eq!(get(&house, path).await.0, 404, "{path}");
    }
    // OUT-02: what is not acted on is refused, and all of it is said at once; nobody is called.
    let rang = carrier.rang(ANN);
    for (key, body, expected, fields) in [
        (Some("a"), json!({ "to": ANN }), (422, "missing"), vec!["/deployment"]),
        (Some("a"), json!({ "deployment": "desk" }), (422, "missing"), vec!["/to"]),
        (Some("a"), json!({ "deployment": "nowhere", "to": ANN }), (422, "deployment"), vec!["/deployment"]),
        (Some("a"), json!({ "agent": "nobody", "to": ANN }), (422, "agent"), vec!["/agent"]),
        (Some("a"), json!({ "deployment": "desk", "to": "12" }), (422, "to"), vec!["/to"]),
        (
            Some("a"),
            json!({ "deployment": "desk", "to": ANN, "variables": { "x": "1" } }),
            (422, "variables"),
            vec!["/variables"],
        ),
        (
            Some("a"),
            json!({ "deployment": "desk", "to": ANN, "not_before": "2026-12-24T09:00:00Z", "priority": 3, "deadline": null }),
            (422, "invalid"),
            vec!["/not_before", "/priority"],
        ),
        (None, json!({ "deployment": "desk", "to": ANN }), (400, "key"), vec![]),
        (Some("a b"), json!({ "deployment": "desk", "to": ANN }), (400, "key"), vec![]),
    ] {
        let answer = post(&house, "/api/v1/calls", key, &body).await;
        assert_eq!(code(&answer), expected, "{body}: {answer:?}");
        let said = answer.1["errors"].as_array().cloned().unwrap_or_default();
        assert_eq!(said.iter().map(|error| error["pointer"].as_str().unwrap_or_default()).collect::<Vec<_>>(), fields);
    }
    let dry = post(&house, "/api/v1/calls?dry_run=true", None, &json!({ "agent": "mia", "to": ANN })).await;
    assert_eq!((dry.0, &dry.1["from"], &dry.1["dry_run"]), (200, &json!(NUMBER), &json!(true)), "{dry:?}");
    assert_eq!(carrier.rang(ANN), rang, "nobody was called");
}
