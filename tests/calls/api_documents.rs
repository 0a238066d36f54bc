//! Documents over the API, and its conventions, asked over real sockets.

use offhook::engine::EndReason;
use offhook::house::locks::Lock;
use offhook::stage::phone::Step;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::house::{place, until, write};
use crate::web::{Web, until_listed};

#[tokio::test]
async fn x_02_x_03_api_04_api_07_api_08_what_is_wrong_with_a_request_is_said_as_a_problem() {
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
    handle.lock("campaign", &lock).await.unwrap();
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
    handle.unlock("campaign").await.unwrap();
    // Whatever is wrong with its file: what was in force takes its place, off.
    assert_eq!(web.patch("/agents/mia", json!({"active": true})).await.status, 200);
    write(&web.house.site.config().join("agents/mia.toml"), "model = 3\n");
    let off = web.post("/agents/mia/emergency-off", json!({})).await;
    assert_eq!((off.status, &off.body), (200, &json!({"calls": 0, "silent": []})), "{}", off.text);
    let file = web.file("agents/mia.toml").unwrap();
    assert!(file.contains("active = false") && file.contains("# in a word"), "{file}");
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
