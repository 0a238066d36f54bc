//! Documents, models and residency over the API, and its conventions, asked over real sockets.

use std::fs;

use offhook::engine::EndReason;
use offhook::house::locks::Lock;
use offhook::stage::phone::Step;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::house::{House, Plan, Site, place, until, write};

/// The token of `[api]`.
pub(crate) const KEY: &str = "a-token-of-at-least-16-characters";

/// More models: where they are, and what is declared of them.
const MODELS: &str = "
[alpine]
kind = \"text\"
base_url = \"http://127.0.0.1:9/v1\"
model = \"a\"
vendor = \"Alpine AI\"
vendor_country = \"CH\"
hosting_country = \"CH\"
trains_on_data = false
price = { text_in = 0.5, text_out = 1.5 }
[valley]
kind = \"text\"
base_url = \"http://127.0.0.1:9/v1\"
model = \"v\"
vendor = \"Alpine AI\"
vendor_country = \"CH\"
hosting_country = \"CH\"
[coast]
kind = \"text\"
base_url = \"http://127.0.0.1:9/v1\"
model = \"c\"
vendor = \"Coast\"
vendor_country = \"US\"
hosting_country = \"US\"
";

struct Web {
    house: House,
    client: reqwest::Client,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }

    fn fields(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().map(|wrong| wrong["field"].as_str().unwrap_or_default()).collect()
    }

    fn said(&self, code: (u16, &str), detail: &str) {
        assert_eq!((self.code(), self.body["detail"].as_str()), (code, Some(detail)), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
    }
}

impl Web {
    async fn build(server: &str) -> Web {
        let site = Site::build(&Plan {
            server: server.to_owned(),
            twilio: "[api]\ntoken = { file = \"api-token\" }\n".to_owned(),
            agent: "greeting = { say = \"Greet.\" } # in a word\n".to_owned(),
            ..Plan::default()
        })
        .await;
        write(&site.config().join("api-token"), KEY);
        let models = site.config().join("models.toml");
        let text = fs::read_to_string(&models).expect("models");
        write(&models, &format!("{text}{MODELS}"));
        Web { house: House::ruled(site).await, client: reqwest::Client::new() }
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<String>) -> Answer {
        let mut request = self.client.request(method, self.house.url(path));
        let mut all = HeaderMap::new();
        all.insert("authorization", HeaderValue::from_str(&format!("Bearer {KEY}")).unwrap());
        if body.is_some() {
            all.insert("content-type", HeaderValue::from_static("application/json"));
        }
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).unwrap();
            if value.is_empty() {
                all.remove(name);
            } else {
                all.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        request = request.headers(all);
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.expect("a body");
        Answer { status, headers, body: serde_json::from_str(&text).unwrap_or_default(), text }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, &format!("/api/v1{path}"), &[], None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, &format!("/api/v1{path}"), &[], Some(body.to_string())).await
    }

    async fn patch(&self, path: &str, body: Value) -> Answer {
        let path = format!("/api/v1{path}");
        self.send(Method::PATCH, &path, &[("if-match", "*")], Some(body.to_string())).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, &format!("/api/v1{path}"), &[], None).await
    }

    fn file(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.house.site.config().join(path)).ok()
    }
}

#[tokio::test]
async fn api_04_api_07_api_08_what_is_wrong_with_a_request_is_said_as_a_problem() {
    let web = Web::build("").await;
    for (path, pointer) in [("/agents?limit=101", "?limit"), ("/agents?limit=0", "?limit"), ("/agents?foo=1", "?foo")] {
        let answer = web.get(path).await;
        assert_eq!((answer.status, answer.body["errors"][0]["pointer"].as_str()), (422, Some(pointer)), "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    // A page at a time, and the same as all at once.
    let mut seen = Vec::new();
    let mut path = "/deployments?limit=1".to_owned();
    loop {
        let page = web.get(&path).await;
        assert_eq!(page.status, 200, "{}", page.text);
        seen.extend(page.body["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some(next) = page.body["next"].as_str() else { break };
        path = format!("/deployments?limit=1&cursor={next}");
        assert_eq!(page.header("link"), format!("</api/v1{path}>; rel=\"next\""));
    }
    assert_eq!(seen, ["closed", "desk"]);
    assert_eq!(web.get("/deployments?cursor=%21").await.code(), (422, "cursor"));

    let send =
        |method: Method, path: &'static str, headers: Vec<(&'static str, &'static str)>, body: Option<String>| {
            let web = &web;
            async move { web.send(method, path, &headers, body).await }
        };
    let (none, agents) = (Vec::new(), "/api/v1/agents");
    let big = format!("{{\"instructions\":\"{}\"}}", "x".repeat(65 << 10));
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    for (method, path, headers, body, status, code) in [
        (Method::GET, agents, vec![("authorization", "")], None, 401, "unauthenticated"),
        (Method::GET, agents, vec![("authorization", "Bearer wrong")], None, 401, "unauthenticated"),
        (Method::GET, "/api/v1/nothing", none.clone(), None, 404, "not_found"),
        (Method::GET, "/api/v1/agents/nobody", none.clone(), None, 404, "not_found"),
        (Method::GET, "/api/v1/agents/..%2Foffhook", none.clone(), None, 404, "not_found"),
        (Method::GET, "/api/v1/deployments/..%2F..%2Fetc%2Fx", none.clone(), None, 404, "not_found"),
        (Method::DELETE, agents, none.clone(), None, 405, "method"),
        (Method::POST, agents, none.clone(), Some(big.clone()), 413, "too_large"),
        (Method::POST, agents, vec![("idempotency-key", "big")], Some(big), 413, "too_large"),
        (Method::POST, agents, none.clone(), Some("{".to_owned()), 400, "json"),
        (Method::POST, agents, none.clone(), Some(deep), 400, "json"),
        (Method::POST, agents, none.clone(), Some("[]".to_owned()), 422, "body"),
        (Method::POST, agents, vec![("content-type", "text/plain")], Some("{}".to_owned()), 415, "content_type"),
        (
            Method::POST,
            "/api/v1/validate",
            none.clone(),
            Some("{\"document\":\"agents/a.toml\",\"x\":1}".to_owned()),
            422,
            "body",
        ),
    ] {
        let what = format!("{method} {path} {headers:?}");
        let answer = send(method, path, headers, body).await;
        assert_eq!(answer.code(), (status, code), "{what}: {}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
        assert_eq!(answer.header("cache-control"), "no-store", "{what}");
    }
    let answer = send(Method::OPTIONS, agents, none, None).await;
    assert_eq!((answer.status, answer.header("allow")), (204, "GET, HEAD, POST, OPTIONS"));
    // The reference needs no log-in, and no script.
    let page = send(Method::GET, "/docs/api", vec![("authorization", "")], None).await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"), "{:?}", page.headers);
    assert!(page.text.contains("/api/v1/agents/{id}") && !page.text.contains("<script"));
    let document = send(Method::GET, "/api/v1/openapi.json", vec![("authorization", "")], None).await;
    assert!(document.body["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document.body["openapi"]);
}

#[tokio::test]
async fn api_05_twice_is_once_and_api_09_a_dry_run_changes_nothing() {
    let web = Web::build("").await;
    let body = json!({"id": "ben", "model": "scripted", "instructions": "Be brief."});
    let dry = web.post("/agents?dry_run=true", body.clone()).await;
    assert_eq!(
        (dry.status, &dry.body["dry_run"], &dry.body["document"]["model"]),
        (200, &json!(true), &json!("scripted"))
    );
    assert_eq!((web.file("agents/ben.toml"), web.get("/agents/ben").await.status), (None, 404));
    let wrong = web.post("/agents?dry_run=true", json!({"id": "ben", "model": "nothing"})).await;
    assert!(wrong.status == 422 && wrong.fields().contains(&"instructions"), "{}", wrong.text);

    let send = |key: &'static str, body: Value| {
        let web = &web;
        async move { web.send(Method::POST, "/api/v1/agents", &[("idempotency-key", key)], Some(body.to_string())).await }
    };
    let first = send("one", body.clone()).await;
    assert_eq!((first.status, first.header("location")), (201, "/api/v1/agents/ben"), "{}", first.text);
    assert_eq!(first.header("idempotency-replayed"), "");
    let again = send("one", body.clone()).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
    assert_eq!(
        (&again.body, again.header("etag"), again.header("location")),
        (&first.body, first.header("etag"), "/api/v1/agents/ben")
    );
    assert_eq!(
        send("one", json!({"id": "ida", "model": "scripted", "instructions": "x"})).await.code(),
        (409, "key_reused")
    );
    assert_eq!(send("two", body.clone()).await.code(), (409, "id_taken"));
    assert_eq!(send("a b", body).await.code(), (400, "key"));
    // Two at the same moment: one is made, and the other is told so or to wait.
    let body = json!({"id": "cleo", "model": "scripted", "instructions": "Be brief."});
    let (a, b) = tokio::join!(send("three", body.clone()), send("three", body));
    let made = [&a, &b].iter().filter(|answer| answer.status == 201).count();
    assert!(made >= 1, "{} {}", a.text, b.text);
    for answer in [a, b].iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.code(), (409, "key_busy"));
    }
}

#[tokio::test]
async fn api_06_edit_05_x_06_of_two_admins_the_second_is_told_and_comments_stay() {
    let web = Web::build("").await;
    let before = web.file("agents/mia.toml").unwrap();
    // What was there when the server began is kept by now.
    until_listed(&web, "/revisions?document=agents/mia.toml", 1).await;
    let read = web.get("/agents/mia").await;
    let etag = read.header("etag").to_owned();
    assert_eq!((read.status, read.body["document"]["instructions"].as_str()), (200, Some("Be kind.")), "{}", read.text);
    assert_eq!(etag, format!("\"{}\"", read.body["revision"].as_str().unwrap()));
    let change = |etag: &str, body: Value| {
        let (web, headers) = (&web, if etag.is_empty() { vec![] } else { vec![("if-match", etag.to_owned())] });
        async move {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            web.send(Method::PATCH, "/api/v1/agents/mia", &headers, Some(body.to_string())).await
        }
    };
    assert_eq!(change("", json!({"language": "de"})).await.code(), (428, "if_match"));
    let first = change(&etag, json!({"instructions": "Be very kind."})).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let second = change(&etag, json!({"instructions": "Be curt."})).await;
    assert_eq!((second.code(), second.header("etag")), ((412, "stale"), first.header("etag")));
    let after = web.file("agents/mia.toml").unwrap();
    let differ = before.lines().zip(after.lines()).filter(|(a, b)| a != b).count();
    assert_eq!((differ, before.lines().count()), (1, after.lines().count()), "{after}");
    assert!(after.contains("# in a word") && after.contains("Be very kind."), "{after}");
    // Whoever knows the version is sent nothing; one that is there is not made again.
    let known = web.send(Method::GET, "/api/v1/agents/mia", &[("if-none-match", first.header("etag"))], None).await;
    assert_eq!((known.status, known.text.as_str()), (304, ""));
    let put = json!({"model": "scripted", "instructions": "Anew."});
    let none = web.send(Method::PUT, "/api/v1/agents/mia", &[("if-none-match", "*")], Some(put.to_string())).await;
    assert_eq!(none.code(), (412, "stale"));
    let made = web.send(Method::PUT, "/api/v1/agents/zoe", &[("if-none-match", "*")], Some(put.to_string())).await;
    assert_eq!(made.status, 201, "{}", made.text);
    // All wrong fields at once, each with its pointer.
    let wrong = change("*", json!({"speed": 9, "voice": 7, "colour": "red", "limits": {"max_minutes": -1}})).await;
    let mut fields = wrong.fields();
    fields.sort_unstable();
    assert_eq!((wrong.status, fields), (422, vec!["colour", "limits.max_minutes", "speed", "voice"]), "{}", wrong.text);
    // Its history, and back.
    let revisions = until_listed(&web, "/revisions?document=agents/mia.toml", 2).await;
    let [now, first] = [0, 1].map(|at| revisions[at]["id"].as_i64().unwrap());
    assert_eq!((revisions[0]["by"].as_str(), revisions[0]["way"].as_str()), (Some("key api"), Some("api")));
    let diff = web.get(&format!("/revisions/{now}/diff")).await;
    assert!(diff.body["diff"].as_str().unwrap().contains("+instructions = \"Be very kind.\""), "{}", diff.text);
    let restored = web.post(&format!("/revisions/{first}/restore"), json!({})).await;
    assert_eq!((restored.status, web.file("agents/mia.toml")), (200, Some(before)), "{}", restored.text);
    assert_eq!(web.get("/revisions/999999").await.code(), (404, "not_found"));
    let verdict = web.post("/validate", json!({"document": "agents/mia.toml", "text": "model = 1\n"})).await;
    assert_eq!((verdict.status, &verdict.body["ok"]), (200, &json!(false)), "{}", verdict.text);
    let problems = verdict.body["problems"].as_array().expect("problems");
    assert!(problems.iter().any(|problem| problem["pointer"] == "/model"), "{}", verdict.text);
}

async fn until_listed(web: &Web, path: &str, n: usize) -> Value {
    for _ in 0..200 {
        let items = web.get(path).await.body["items"].take();
        if items.as_array().is_some_and(|items| items.len() >= n) {
            return items;
        }
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
    panic!("{path}: there are not {n}");
}

#[tokio::test]
async fn dep_01_to_dep_14_deployments_are_made_with_the_channels_defaults() {
    let web = Web::build("").await;
    // all that is missing at once.
    let empty = web.post("/deployments", json!({})).await;
    assert_eq!((empty.status, empty.fields()), (422, vec!["agent", "channel", "model"]), "{}", empty.text);
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let mut keys = Vec::new();
    for (body, title, id) in [
        (json!({"agent": "mia", "channel": "phone"}), format!("Phone {today}"), "mia-phone"),
        (json!({"agent": "mia", "channel": "phone"}), format!("Phone {today} (2)"), "mia-phone-2"),
        (json!({"agent": "mia", "channel": "website", "model": "writer"}), format!("Website {today}"), "mia-website"),
        (json!({"agent": "mia", "channel": "internal", "model": "writer"}), "Chat Internal".to_owned(), "mia-internal"),
    ] {
        let made = web.post("/deployments", body).await;
        assert_eq!((made.status, made.body["id"].as_str()), (201, Some(id)), "{}", made.text);
        let document = &made.body["document"];
        assert_eq!(document["title"], title.as_str());
        keys.push(document["key"].as_str().unwrap().to_owned());
        if id == "mia-phone" {
            // DEP-12, PHN-09.
            assert_eq!((&document["model"], &document["access"]), (&json!("scripted"), &json!("public")));
            assert_eq!(document["limits"]["max_minutes"], 10);
        }
        let view = web.get(&format!("/deployments/{id}")).await;
        assert_eq!((view.status, view.body["title"].as_str()), (200, Some(title.as_str())), "{}", view.text);
        assert_eq!(view.body["key"].as_str(), keys.last().map(String::as_str));
    }
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 4, "each has its own");
    let listed = web.get("/agents/mia/deployments").await;
    assert_eq!(listed.body["items"].as_array().map(Vec::len), Some(6), "{}", listed.text);
    assert!(listed.body["items"].as_array().unwrap().iter().all(|item| item["agent"] == "mia"));
    let phone = web.get("/deployments/mia-phone").await;
    assert_eq!(phone.body["cannot_work"][0]["message"], "No number", "DEP-15: {}", phone.text);
    // That a new one names the agent's model takes it from none of the others.
    let desk = web.get("/deployments/desk").await;
    assert_eq!((&desk.body["flags"], &desk.body["model_from"]), (&json!([]), &json!("agent")), "{}", desk.text);

    for (body, code, message) in [
        (
            json!({"agent": "mia", "channel": "internal", "model": "writer"}),
            (409, "already_configured"),
            "This agent already has an internal chat.",
        ),
        (
            json!({"agent": "mia", "channel": "Telegram"}),
            (422, "channel_not_available"),
            "Telegram is not available yet.",
        ),
        (json!({"agent": "mia", "channel": "website"}), (422, "model_required"), "Choose a model."),
        (
            json!({"agent": "mia", "channel": "phone", "model": "writer"}),
            (422, "model_not_voice"),
            "Phone deployments require a voice model",
        ),
        (
            json!({"agent": "mia", "channel": "website", "model": "scripted"}),
            (422, "model_not_text"),
            "Voice models can only be used for phone deployments",
        ),
        (
            json!({"agent": "mia", "channel": "phone", "backup_model": "writer"}),
            (422, "backup_on_phone"),
            "Phone deployments cannot have a backup model.",
        ),
        (
            json!({"agent": "mia", "channel": "website", "model": "writer", "backup_model": "writer"}),
            (422, "backup_same"),
            "The backup must be a different model.",
        ),
        (
            json!({"agent": "mia", "channel": "website", "model": "writer", "title": "x".repeat(81)}),
            (422, "title_length"),
            "A name has 1 to 80 characters.",
        ),
        (
            json!({"agent": "mia", "channel": "website", "model": "writer", "access": "public"}),
            (422, "access_on_website"),
            "Website deployments have no access mode.",
        ),
        (
            json!({"agent": "mia", "channel": "phone", "number": "+15550100100"}),
            (409, "number_taken"),
            "The deployment desk answers this number.",
        ),
        (json!({"agent": "eve", "channel": "phone"}), (422, "agent_unknown"), "There is no agent eve."),
    ] {
        let answer = web.post("/deployments", body.clone()).await;
        assert_eq!(answer.code(), code, "{body}: {}", answer.text);
        if !message.is_empty() {
            answer.said(code, message);
        }
    }
    // DEP-10: unique for the agent; the internal chat's is fixed.
    let taken = web.patch("/deployments/mia-phone-2", json!({"title": format!("Phone {today}")})).await;
    assert_eq!(taken.code(), (422, "title_taken"), "{}", taken.text);
    assert_eq!(web.patch("/deployments/mia-internal", json!({"title": "Staff"})).await.code(), (422, "title_fixed"));
    // KEY-03.
    let old = web.get("/deployments/mia-website").await.body["key"].take();
    let rotated = web.post("/deployments/mia-website/key/rotate", json!({})).await;
    assert_ne!((rotated.status, &rotated.body["key"]), (200, &old));
    assert_eq!(web.get("/deployments/mia-website").await.body["key"], rotated.body["key"]);
    let audit = web.house.running.handle().store().people().audited(&Default::default(), None, 10).await.unwrap();
    assert!(audit.iter().any(|row| row.action == "deployment.key.rotate" && row.who == "key api"), "X-10");
    // A copy is inactive, with a key of its own, and without the number.
    let copy = web.post("/deployments/desk/clone", json!({})).await;
    assert_eq!((copy.status, copy.body["id"].as_str()), (201, Some("desk-copy")), "{}", copy.text);
    let document = &copy.body["document"];
    assert_eq!(
        (&document["active"], &document["number"], &document["title"]),
        (&json!(false), &Value::Null, &json!("desk (copy)"))
    );
    // DEP-05.
    assert_eq!(web.delete("/deployments/desk-copy").await.status, StatusCode::NO_CONTENT);
    assert_eq!((web.get("/deployments/desk-copy").await.status, web.file("deployments/desk-copy.toml")), (404, None));
}

#[tokio::test]
async fn dep_04_vis_05_vis_07_vis_08_what_says_no_is_named_and_dep_09_the_plans_limit_holds() {
    let web = Web::build("plan = { deployments = 2 }\n").await;
    let third = web.post("/deployments", json!({"agent": "mia", "channel": "phone"})).await;
    third
        .said((409, "deployment_limit"), "You have reached the limit of 2 deployments. Upgrade your plan to add more.");
    let effective = || async { web.get("/deployments/desk").await.body["effective"].take() };
    assert_eq!(effective().await, json!({"live": true, "because": null, "words": null, "until": null}));
    let set = |path: &'static str, body: Value| {
        let web = &web;
        async move {
            let answer = web.patch(path, body).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
    };
    for (path, off, on, because) in [
        ("/agents/mia", json!({"active": false}), json!({"active": true}), "agent"),
        ("/deployments/desk", json!({"active": false}), json!({"active": true}), "deployment"),
        (
            "/deployments/desk",
            json!({"schedule": {"activate_at": "2090-01-01T00:00:00Z"}}),
            json!({"schedule": null}),
            "schedule",
        ),
        ("/deployments/desk", json!({"hours": {"outside": "refuse"}}), json!({"hours": null}), "hours"),
    ] {
        set(path, off).await;
        assert_eq!(effective().await["because"], because);
        set(path, on).await;
        assert_eq!(effective().await["live"], true, "{because}");
    }
    let past = web.patch("/deployments/desk", json!({"schedule": {"activate_at": "2020-01-01T00:00:00Z"}})).await;
    past.said((422, "schedule_past"), "That time is past.");
    assert_eq!(past.body["errors"][0]["pointer"], "/schedule/activate_at");
    let overlap = web.patch("/deployments/desk", json!({"hours": {"mon": ["09:00-12:00", "11:00-13:00"]}})).await;
    assert_eq!(overlap.status, 422, "HRS-01: {}", overlap.text);
    // The switch: off until a moment, and on again.
    let flip = |path: &'static str, body: Value| web.post(path, body);
    let off = flip("/agents/mia/switch", json!({"active": false, "until": "2090-01-01T00:00:00Z"})).await;
    assert_eq!(off.status, 200, "{}", off.text);
    assert_eq!(
        effective().await,
        json!({
            "live": false, "because": "schedule", "words": "The agent's schedule keeps it off until later.",
            "until": "2090-01-01T00:00:00Z"
        })
    );
    let past = flip("/agents/mia/switch", json!({"active": false, "until": "2020-01-01T00:00:00Z"})).await;
    past.said((422, "schedule_past"), "That time is past.");
    assert_eq!(flip("/agents/mia/switch", json!({"active": true})).await.status, 200);
    assert_eq!(effective().await["live"], true);
    assert_eq!(flip("/deployments/desk/switch", json!({"active": false})).await.status, 200);
    assert_eq!(effective().await["because"], "deployment");
    assert!(web.file("deployments/desk.toml").unwrap().contains("active = false"));
    assert_eq!(web.patch("/agents/mia", json!({"visibility": "internal"})).await.status, 200, "VIS-01");
    assert_eq!(web.get("/agents?state=active").await.body["items"][0]["visibility"], "internal");
}

#[tokio::test]
async fn mod_02_to_mod_07_res_03_to_res_09_models_fit_the_channel_and_the_tier() {
    let web = Web::build("").await;
    let names = |answer: &Answer| -> Vec<String> {
        let items = answer.body["items"].as_array().unwrap();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    let all = web.get("/models?channel=website").await;
    assert_eq!(names(&all), ["alpine", "coast", "valley", "writer"], "{}", all.text);
    assert_eq!(names(&web.get("/models?channel=phone").await), ["scripted"]);
    assert_eq!(names(&web.get("/models?search=ALPINE").await), ["alpine", "valley"]);
    let alpine = &all.body["items"][0];
    assert_eq!((&alpine["hosting_country"], &alpine["trains_on_data"]), (&json!("CH"), &json!(false)));
    // 1,000 words are about 1,333 tokens.
    assert_eq!((&alpine["about"]["per"], &alpine["about"]["read"]["micros"]), (&json!("thousand_words"), &json!(667)));
    assert_eq!(web.get("/models?channel=fax").await.code(), (422, "channel_unknown"));

    let made = json!({"id": "site", "agent": "mia", "channel": "website", "model": "coast", "backup_model": "alpine"});
    assert_eq!(web.post("/deployments", made).await.status, 201);
    // RES-05: told first, and nothing is changed.
    let tier = |dry: &str, tier: &str| {
        let (web, path, body) = (&web, format!("/org/residency{dry}"), json!({ "tier": tier }));
        async move { web.patch(&path, body).await }
    };
    let told = tier("?dry_run=true", "swiss_swiss").await;
    let flagged: Vec<_> =
        told.body["flagged"].as_array().unwrap().iter().map(|one| one["document"].as_str().unwrap()).collect();
    assert!(flagged.contains(&"deployments/site.toml") && flagged.contains(&"agents/mia.toml"), "{}", told.text);
    assert_eq!(web.get("/org/residency").await.body["tier"], "global");
    assert_eq!(tier("", "swiss_swiss").await.status, 200);
    assert_eq!(
        (&web.get("/org/residency").await.body["label"], tier("", "moon").await.status),
        (&json!("Swiss / Swiss"), 422)
    );
    // MOD-05, MOD-07, RES-03, RES-04.
    let none = web.get("/models?channel=phone").await;
    assert_eq!(none.body["empty"]["message"], "No model fits your data-residency setting (Swiss / Swiss).");
    assert_eq!(
        (names(&none).len(), names(&web.get("/models?channel=website").await)),
        (0, vec!["alpine".to_owned(), "valley".to_owned()])
    );
    let site = web.get("/deployments/site").await;
    assert!(site.body["flags"].as_array().unwrap().iter().any(|flag| flag["code"] == "residency"), "{}", site.text);
    assert_eq!(site.body["effective"]["live"], true, "it goes on");
    assert_eq!(web.patch("/deployments/site", json!({"title": "Shop"})).await.status, 200);
    let refused = "Selected model is not allowed by your organization's data-residency setting";
    web.patch("/deployments/site", json!({"backup_model": "writer"})).await.said((422, "residency"), refused);
    let new = json!({"agent": "mia", "channel": "website", "model": "writer"});
    web.post("/deployments", new).await.said((422, "residency"), refused);
    // RES-07 to RES-09.
    let panel = web.get("/deployments/site/assessment").await;
    let rows = panel.body["rows"].as_array().unwrap();
    let labels: Vec<_> = rows.iter().map(|row| row["label"].as_str().unwrap()).collect();
    assert_eq!(
        labels,
        [
            "Model hosting",
            "Hosting company",
            "Backup hosting",
            "Backup company",
            "Infrastructure",
            "Chat storage",
            "Training"
        ]
    );
    assert_eq!(
        (&rows[1]["text"], &rows[4]["text"], &rows[4]["declared"]),
        (&json!("US (Coast)"), &json!("Not declared"), &json!(false))
    );
    assert_eq!(panel.body["countries"], json!(["US", "CH"]));
    let phone = web.get("/deployments/desk/assessment").await;
    assert!(phone.body["rows"].as_array().unwrap().iter().any(|row| row["label"] == "Phone provider"));
}

#[tokio::test]
async fn lock_02_vis_06_clone_02_del_01_agents_are_locked_switched_off_copied_and_deleted() {
    let web = Web::build("").await;
    // CLONE-02, CLONE-03.
    for (id, title) in [("mia-copy", "mia (copy)"), ("mia-copy-2", "mia (copy) (2)")] {
        let copy = web.post("/agents/mia/clone", json!({})).await;
        assert_eq!((copy.status, copy.body["id"].as_str()), (201, Some(id)), "{}", copy.text);
        assert_eq!((&copy.body["document"]["title"], &copy.body["document"]["active"]), (&json!(title), &json!(false)));
        assert!(web.file(&format!("agents/{id}.toml")).unwrap().contains("# in a word"), "comments go along");
    }
    let handle = web.house.running.handle();
    let lock = Lock { by: "Spring".to_owned(), agent: "mia".to_owned(), deployment: Some("desk".to_owned()) };
    handle.lock("campaign", lock);
    let locked = "This bot is used by running campaigns: Spring. Stop them first.";
    web.patch("/agents/mia", json!({"language": "de"})).await.said((409, "locked"), locked);
    web.patch("/deployments/desk", json!({"active": false})).await.said((409, "locked"), locked);
    web.delete("/agents/mia").await.said((409, "locked"), locked);
    assert_eq!(web.get("/agents/mia").await.body["locked_by"], json!(["Spring"]));
    assert_eq!(web.patch("/deployments/closed", json!({"title": "Shut"})).await.status, 200, "LOCK-03");
    // VIS-06: no lock stands in its way, and the call ends with its farewell.
    let call = tokio::spawn(place(web.house.caller(vec![Step::WaitEnd { max_ms: 30_000 }])));
    until("the stream is up", || web.house.metric("offhook_calls{phase=\"talking\"}") == 1).await;
    let off = web.post("/agents/mia/emergency-off", json!({})).await;
    assert_eq!((off.status, &off.body["calls"]), (200, &json!(1)), "{}", off.text);
    call.await.expect("a call");
    assert_eq!(web.house.report(0).await.0.end, EndReason::Operator);
    assert_eq!(web.get("/agents/mia").await.body["active"], false);
    handle.unlock("campaign");
    // DEL-01: told first what goes along.
    let told = web.delete("/agents/mia?dry_run=true").await;
    assert_eq!(told.body["documents"], json!(["agents/mia.toml", "deployments/closed.toml", "deployments/desk.toml"]));
    assert_eq!(told.body["numbers"], json!(["+15550100199", "+15550100100"]));
    assert_eq!(web.delete("/agents/mia").await.status, StatusCode::NO_CONTENT);
    assert_eq!((web.file("agents/mia.toml"), web.file("deployments/desk.toml")), (None, None));
    assert_eq!(web.get("/deployments").await.body["items"], json!([]));
}

#[tokio::test]
async fn rate_01_rate_03_who_asks_too_often_is_told_when_to_come_again() {
    let web = Web::build("").await;
    let ask = || web.patch("/agents/mia?dry_run=true", json!({"language": "de"}));
    let first = ask().await;
    assert_eq!(
        (first.header("ratelimit-policy"), first.header("ratelimit")),
        ("\"agents\";q=10;w=1", "\"agents\";r=9;t=1")
    );
    let answers = futures_util::future::join_all((0..30).map(|_| ask())).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(!refused.is_empty(), "31 at once are more than 10 a second");
    for answer in refused {
        assert_eq!((answer.code(), answer.header("retry-after")), ((429, "rate"), "1"));
    }
    // Another class has its own bucket, and it is counted.
    assert_eq!(web.get("/agents").await.status, 200);
    assert!(web.house.metric("offhook_api_limited_total{of=\"agents api\"}") > 0);
}
