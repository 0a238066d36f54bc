//! What the sheet asks of agents and deployments over the API beside their documents.

use std::time::Duration;

use offhook::config::Role;
use offhook::engine::EndReason;
use offhook::house::people::KeyWish;
use offhook::house::principal::{Principal, Scopes};
use offhook::house::routes::{ROUTES, Resource};
use offhook::stage::phone::{EndedBy, Outcome, Step};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::house::{NUMBER, place, until};
use crate::web::{KEY, Web, until_listed};

/// A key of this role for everything, and what it is called.
async fn key(web: &Web, name: &str, role: Role, agents: Option<Vec<String>>) -> String {
    let wish = KeyWish { name: name.to_owned(), role, scopes: Scopes::all(), agents, expires_ms: None };
    let added = web.house.running.store().people().add_key(&Principal::Operator, wish).await;
    format!("Bearer {}", added.expect("a key").1.expose())
}

#[tokio::test]
async fn agt_08_what_is_out_of_range_is_refused_with_the_range() {
    let web = Web::build("").await;
    let refused = web.patch("/agents/mia", json!({ "interruptions": { "min_words": 21 } })).await;
    let wrong = &refused.body["errors"][0];
    assert_eq!((refused.status, &wrong["pointer"]), (422, &json!("/interruptions/min_words")), "{}", refused.text);
    assert!(wrong["message"].as_str().is_some_and(|said| said.contains("1-20")), "{}", refused.text);
    assert_eq!(web.patch("/agents/mia", json!({ "interruptions": { "min_words": 20 } })).await.status, 200);
}

#[tokio::test]
async fn edit_05_who_saves_second_is_told_by_whom_and_what_and_may_still_choose() {
    let web = Web::build("").await;
    until_listed(&web, "/revisions?document=agents/mia.toml", 1).await;
    let first = web.get("/agents/mia").await.header("etag").to_owned();
    let ann = key(&web, "ann's editor", Role::Builder, None).await;
    let save = |who: String, etag: String, words: &str| {
        let (web, body) = (&web, json!({ "instructions": words }).to_string());
        async move {
            let headers = [("authorization", who.as_str()), ("if-match", etag.as_str())];
            web.send(Method::PATCH, "/api/v1/agents/mia", &headers, Some(body)).await
        }
    };
    assert_eq!(save(ann, first.clone(), "Be kind, and brief.").await.status, 200);
    until_listed(&web, "/revisions?document=agents/mia.toml", 2).await;
    let mine = format!("Bearer {KEY}");
    let second = save(mine.clone(), first, "Be curt.").await;
    let said = second.body["detail"].as_str().unwrap_or_default().to_owned();
    assert!(second.code() == (412, "stale") && said.contains("by key ann's editor at 20"), "{}", second.text);
    let path = said.split_whitespace().find(|word| word.starts_with("/api/v1/revisions/")).expect("where it is");
    let diff = web.send(Method::GET, path, &[], None).await;
    let diff = diff.body["diff"].as_str().unwrap_or_default().to_owned();
    assert!(diff.contains("-instructions = \"Be kind.\"") && diff.contains("+instructions = \"Be kind, and brief.\""));
    // Having seen it, whoever wants to can.
    let chosen = save(mine, second.header("etag").to_owned(), "Be curt.").await;
    assert_eq!((chosen.status, &chosen.body["document"]["instructions"]), (200, &json!("Be curt.")), "{}", chosen.text);
}

#[tokio::test]
async fn clone_02_clone_03_a_copy_has_the_settings_and_no_history() {
    let web = Web::build("").await;
    let heard = place(web.house.caller(vec![Step::Silence(300), Step::HangUp])).await;
    assert_eq!(heard.ended_by, EndedBy::Caller);
    web.house.report(0).await;
    web.house.running.store().flush().await;
    let copy = web.post("/agents/mia/clone", json!({})).await;
    let (id, document) = (copy.body["id"].as_str().unwrap_or_default(), &copy.body["document"]);
    assert_eq!((copy.status, &document["title"], &document["active"]), (201, &json!("mia (copy)"), &json!(false)));
    let original = web.get("/agents/mia").await.body["document"].take();
    for (name, value) in original.as_object().expect("keys") {
        assert!(document[name] == *value || name == "title", "{name}: {}", copy.text);
    }
    for path in
        [format!("/calls?agent={id}"), format!("/agents/{id}/deployments"), format!("/agents/{id}/access-tokens")]
    {
        assert_eq!(web.get(&path).await.body["items"], json!([]), "{path}");
    }
    assert_eq!(web.get("/calls?agent=mia").await.body["items"].as_array().map(Vec::len), Some(1));
    let again = web.post("/agents/mia/clone", json!({})).await;
    assert_eq!(again.body["document"]["title"], "mia (copy) (2)", "counted on");
}

#[tokio::test]
async fn del_01_del_02_dep_05_what_goes_along_is_told_and_running_calls_finish() {
    let web = Web::build("").await;
    let site = json!({ "id": "site", "agent": "mia", "channel": "website", "model": "writer" });
    assert_eq!(web.post("/deployments", site).await.status, 201);
    let embed = web.get("/deployments/site").await.body["key"].as_str().expect("a key").to_owned();
    let known = |key: &str| web.house.running.config().chat_for(key).is_some();
    assert!(known(&embed));
    let call = tokio::spawn(place(web.house.caller(vec![Step::Silence(3_000), Step::HangUp])));
    until("the stream is up", || web.house.metric("offhook_calls{phase=\"talking\"}") == 1).await;
    // CON-05, as far as calls go: how many slots are taken, and of whom.
    let live = web.get("/calls/live").await;
    let slots = json!([{ "agent": "mia", "used": 1, "most": null }]);
    assert_eq!((&live.body["up"], &live.body["queued"], &live.body["slots"]), (&json!(1), &json!(0), &slots));
    let told = web.delete("/agents/mia?dry_run=true").await;
    assert_eq!(
        (told.status, &told.body["documents"]),
        (200, &json!(["agents/mia.toml", "deployments/closed.toml", "deployments/desk.toml", "deployments/site.toml"]))
    );
    assert_eq!(told.body["numbers"], json!(["+15550100199", NUMBER]));
    assert_eq!((&told.body["widgets"], &told.body["calls"]), (&json!(["site"]), &json!(1)), "{}", told.text);
    assert_eq!(web.get("/agents/mia").await.status, 200, "nothing was deleted");
    // DEP-05: one of them, then all.
    assert_eq!(web.delete("/deployments/site").await.status, StatusCode::NO_CONTENT);
    assert!(!known(&embed), "its key is dead");
    assert_eq!(web.delete("/agents/mia").await.status, StatusCode::NO_CONTENT);
    assert_eq!(web.get("/agents/mia").await.code(), (404, "not_found"));
    let heard = call.await.expect("a call");
    assert_eq!(heard.ended_by, EndedBy::Caller, "nobody is cut off");
    assert_eq!(web.house.report(0).await.0.end, EndReason::CallerHungUp);
    let refused = place(web.house.caller(vec![Step::WaitEnd { max_ms: 10_000 }])).await;
    assert!(matches!(refused.outcome, Outcome::Refused { .. }), "{:?}", refused.outcome);
    // What was said stays, under the agent's last name (C-30).
    web.house.running.store().flush().await;
    assert_eq!(web.get("/calls?agent=mia").await.body["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn dep_03_a_card_has_what_its_channel_has() {
    let web = Web::build("").await;
    for body in [
        json!({ "id": "bare", "agent": "mia", "channel": "phone" }),
        json!({ "id": "site", "agent": "mia", "channel": "website", "model": "writer" }),
        json!({ "id": "staff", "agent": "mia", "channel": "internal", "model": "writer" }),
    ] {
        assert_eq!(web.post("/deployments", body).await.status, 201);
    }
    let listed = web.get("/agents/mia/deployments").await;
    let card = |id: &str| {
        let all = listed.body["items"].as_array().expect("cards");
        all.iter().find(|card| card["id"] == id).cloned().unwrap_or_default()
    };
    for (id, channel, model, number, access) in [
        ("desk", "phone", "scripted", json!(NUMBER), json!("public")),
        ("bare", "phone", "scripted", Value::Null, json!("public")),
        ("site", "website", "writer", Value::Null, Value::Null),
        ("staff", "internal", "writer", Value::Null, json!("organization")),
    ] {
        let card = card(id);
        assert_eq!((&card["channel"], &card["model"]), (&json!(channel), &json!(model)), "{card}");
        assert_eq!((&card["number"], &card["access"], &card["active"]), (&number, &access, &json!(true)), "{card}");
        assert!(card["title"].is_string() && card["countries"].is_array() && card["effective"]["live"].is_boolean());
    }
    assert_eq!(card("bare")["cannot_work"][0]["message"], "No number");
}

#[tokio::test]
async fn vis_02_what_speaks_against_a_public_agent_is_told_and_stops_nothing() {
    let web = Web::build("").await;
    assert_eq!(web.patch("/agents/mia", json!({ "visibility": "internal" })).await.body["notes"], json!([]));
    let fetch = json!({
        "variables": { "crm": { "name": "" } }, "fetch": { "url": "http://127.0.0.1:9/who", "allow_private": true },
    });
    let with_fetch = web.patch("/agents/mia", fetch).await;
    assert_eq!((with_fetch.status, &with_fetch.body["notes"]), (200, &json!([])), "{}", with_fetch.text);
    for dry in ["?dry_run=true", ""] {
        let answer = web.patch(&format!("/agents/mia{dry}"), json!({ "visibility": "public" })).await;
        let notes = &answer.body["notes"];
        assert_eq!((answer.status, &notes[0]["code"], &notes[1]), (200, &json!("public_fetch"), &Value::Null), "{dry}");
    }
    assert_eq!(web.get("/agents/mia").await.body["visibility"], "public");
}

#[tokio::test]
async fn sec_04_an_internal_agent_is_out_of_reach_without_a_credential() {
    let web = Web::build("").await;
    let caller = || web.house.caller(vec![Step::Silence(300), Step::HangUp]);
    assert_eq!(place(caller()).await.ended_by, EndedBy::Caller);
    let id = web.house.report(0).await.0.call;
    web.house.running.store().flush().await;
    assert_eq!(web.patch("/agents/mia", json!({ "visibility": "internal" })).await.status, 200);
    // The phone: a refusal, and no model is asked.
    let before = web.house.site.model.sessions_ever();
    let refused = place(caller()).await;
    assert!(matches!(refused.outcome, Outcome::Refused { .. }), "{:?}", refused.outcome);
    assert_eq!(web.house.site.model.sessions_ever(), before);
    // What it said before, and what it is: by no link, and by no credential but one that reaches it.
    let other = key(&web, "other", Role::Admin, Some(vec!["other".to_owned()])).await;
    let member = key(&web, "member", Role::Member, None).await;
    let parts = ["", "/recording", "/peaks", "/transcript", "/analysis", "/events"];
    let mut paths: Vec<_> = parts.iter().map(|part| format!("/api/v1/calls/{id}{part}")).collect();
    paths.extend(
        ["/api/v1/agents/mia", "/api/v1/agents/mia/integration", "/api/v1/calls", "/api/v1/events"].map(str::to_owned),
    );
    for path in &paths {
        for (credential, expected) in [("", 401), ("Bearer oh_key_none", 401), (member.as_str(), 403)] {
            let answer = web.send(Method::GET, path, &[("authorization", credential)], None).await;
            assert_eq!(answer.status, expected, "{path} {credential}");
        }
        let of_call = path.contains(&id);
        if of_call || path.contains("mia") {
            let answer = web.send(Method::GET, path, &[("authorization", &other)], None).await;
            assert_eq!(answer.status, if of_call { 404 } else { 403 }, "{path}");
        }
    }
}

#[tokio::test]
async fn sec_07_answers_say_what_browsers_may_do_and_other_sites_may_ask_for_nothing() {
    let web = Web::build("").await;
    let page = web.send(Method::GET, "/docs/api", &[("authorization", "")], None).await;
    let policy = page.header("content-security-policy");
    for part in
        ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !page.text.contains("<script") && !page.text.contains(" style=\""));
    for (path, status) in [("/docs/api", 200), ("/api/v1/agents", 200), ("/api/v1/nothing", 404)] {
        let answer = web.send(Method::GET, path, &[], None).await;
        assert_eq!((answer.status, answer.header("x-content-type-options")), (status, "nosniff"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
    // A browser that is logged in is made to ask by another site.
    let people = web.house.running.store().people();
    let ann = people.add_user(&Principal::Operator, "ann@example.com", Role::Owner, None).await.expect("a user");
    let session = people.log_in(&ann.id, "", "").await.expect("a session");
    let cookie = format!("offhook_session={}", session.secret.expose());
    let body = json!({ "id": "ben", "model": "scripted", "instructions": "x" }).to_string();
    for (name, value, expected) in [
        ("sec-fetch-site", "cross-site", (403, "forged")),
        ("sec-fetch-site", "same-site", (403, "forged")),
        ("origin", "https://evil.example", (403, "forged")),
        ("sec-fetch-site", "same-origin", (201, "")),
    ] {
        let headers = [("authorization", ""), ("cookie", cookie.as_str()), (name, value)];
        let answer = web.send(Method::POST, "/api/v1/agents", &headers, Some(body.clone())).await;
        assert_eq!(answer.code(), expected, "{name}: {value}: {}", answer.text);
    }
    // What it is made to fetch is not here, and not among the neighbours.
    for url in ["http://127.0.0.1:9/", "http://169.254.169.254/latest/meta-data/", "http://[::1]/"] {
        let answer = web.patch("/agents/mia", json!({ "fetch": { "url": url } })).await;
        assert_eq!(answer.status, 422, "{url}: {}", answer.text);
    }
}

#[tokio::test]
async fn role_06_a_member_has_a_session_and_nothing_of_the_organizations() {
    let web = Web::build("").await;
    let people = web.house.running.store().people();
    let member = people.add_user(&Principal::Operator, "mo@example.com", Role::Member, None).await.expect("a user");
    let session = people.log_in(&member.id, "", "").await.expect("a session");
    let cookie = format!("offhook_session={}", session.secret.expose());
    let headers = [("authorization", ""), ("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
    let me = web.send(Method::GET, "/api/v1/session", &headers, None).await;
    assert_eq!((me.status, &me.body["role"]), (200, &json!("member")), "{}", me.text);
    let mut asked = 0;
    for route in ROUTES.iter().filter(|route| route.least.is_some() && route.resource != Resource::Session) {
        let path = route.path.replace("{id}", "mia").replace(['{', '}'], "");
        let method = Method::from_bytes(route.method.as_bytes()).expect("a method");
        let mut answer = web.send(method.clone(), &path, &headers, None).await;
        while answer.code() == (429, "rate") {
            tokio::time::sleep(Duration::from_secs(1)).await;
            answer = web.send(method.clone(), &path, &headers, None).await;
        }
        assert_eq!(answer.code(), (403, "role"), "{} {path}: {}", route.method, answer.text);
        asked += 1;
    }
    assert!(asked > 80, "{asked}");
}
