//! What strangers do to the API: many at once, with what is broken, and with what is not theirs to name.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use offhook::engine::EndReason;
use offhook::stage::phone::Step;
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{place, until, write};
use crate::web::Web;

#[tokio::test]
async fn dep_10_api_06_many_at_once_come_to_what_each_of_them_asked_for() {
    let web = Web::build("").await;
    // Who leaves the name to the server is not told that somebody else took it.
    let new = json!({ "agent": "mia", "channel": "phone" });
    let made = join_all((0..12).map(|_| web.post("/deployments", new.clone()))).await;
    let ids: BTreeSet<_> = made.iter().map(|made| (made.status, made.body["id"].to_string())).collect();
    assert!(ids.len() == 12 && ids.iter().all(|(status, _)| *status == 201), "{ids:?}");
    let copies = join_all((0..6).map(|_| web.post("/deployments/desk/clone", json!({})))).await;
    assert!(
        copies.iter().all(|copy| copy.status == 201),
        "{}",
        copies.iter().map(|copy| &*copy.text).collect::<String>()
    );
    // Who chose it is.
    let chosen = json!({ "agent": "mia", "channel": "phone", "id": "mine", "title": "Mine" });
    let mut codes: Vec<_> = join_all((0..4).map(|_| web.post("/deployments", chosen.clone())))
        .await
        .iter()
        .map(|made| made.status)
        .collect();
    codes.sort_unstable();
    assert_eq!(codes[0], 201);
    assert!(codes[1..].iter().all(|status| matches!(status, 409 | 422)), "{codes:?}");
    // Whatever there is, is whatever there is by then; so is what a switch is thrown in.
    let whatever = join_all((0..12).map(|n| {
        let (web, patch) = (&web, json!({ "timezone": if n % 2 == 0 { "Europe/Zurich" } else { "UTC" } }));
        async move {
            match n % 3 {
                0 => web.post("/deployments/desk/switch", json!({ "active": n % 2 == 0 })).await,
                1 => web.post("/deployments/desk/key/rotate", Value::Null).await,
                _ => web.patch("/deployments/desk", patch).await,
            }
        }
    }))
    .await;
    assert!(
        whatever.iter().all(|done| done.status == 200),
        "{}",
        whatever.iter().map(|done| &*done.text).collect::<String>()
    );
    // But where a version is named it counts.
    for path in ["/deployments/desk/switch", "/deployments/desk/key/rotate", "/agents/mia/switch"] {
        let body = json!({ "active": true }).to_string();
        let address = api(path);
        let send = async |tag: &str| web.send(Method::POST, &address, &[("if-match", tag)], Some(body.clone())).await;
        assert_eq!(send("\"000000000000\"").await.code(), (412, "stale"), "{path}");
        assert_eq!(send("nonsense").await.code(), (400, "if_match"), "{path}");
        assert_eq!(send("*").await.status, 200, "{path}");
    }
}

fn api(path: &str) -> String {
    format!("/api/v1{path}")
}

#[tokio::test]
async fn api_04_a_list_never_ends_by_an_empty_cursor_and_x_10_a_thing_is_found_by_its_id() {
    let web = Web::build("").await;
    for list in
        ["agents", "deployments", "models", "tokens", "members", "webhooks", "numbers", "agents/mia/deployments"]
    {
        let answer = web.get(&format!("/{list}?cursor=")).await;
        assert_eq!(answer.code(), (422, "cursor"), "{list}: {}", answer.text);
    }
    let models = web.get("/models?limit=1").await;
    let next = models.body["next"].as_str().expect("more models");
    assert_eq!(models.header("link"), format!("</api/v1/models?limit=1&cursor={next}>; rel=\"next\""));
    assert_eq!(web.post("/deployments/desk/key/rotate", Value::Null).await.status, 200);
    for object in ["desk", "deployments/desk.toml"] {
        let found = web.get(&format!("/audit?object={object}")).await;
        let rows = found.body["items"].as_array().expect("entries");
        assert!(rows.len() == 1 && rows[0]["action"] == "deployment.key.rotate", "{object}: {}", found.text);
    }
    assert_eq!(web.get("/audit?object=des").await.body["items"], json!([]));
    // Names of schemes have no case; a body is not packed.
    let key = format!("bearer {}", crate::web::KEY);
    for path in ["/api/v1/agents", "/v1/calls"] {
        let answer = web.send(Method::GET, path, &[("authorization", &key)], None).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    let packed = [("content-encoding", "gzip")];
    let packed = web.send(Method::POST, "/api/v1/deployments", &packed, Some("{}".to_owned())).await;
    assert_eq!(packed.code(), (415, "content_encoding"), "{}", packed.text);
}

#[tokio::test]
async fn x_06_what_is_broken_on_the_disk_is_said_and_mended_and_vis_06_never_keeps_a_call_up() {
    let web = Web::build("").await;
    let call = tokio::spawn(place(web.house.caller(vec![Step::WaitEnd { max_ms: 30_000 }])));
    until("the stream is up", || web.house.metric("offhook_calls{phase=\"talking\"}") == 1).await;
    let agent = web.house.site.config().join("agents/mia.toml");
    write(&agent, "instructions = = 1\n");
    let off = web.post("/agents/mia/emergency-off", json!({})).await;
    assert_eq!((off.status, &off.body), (200, &json!({ "calls": 1, "silent": [] })), "{}", off.text);
    call.await.expect("a call");
    assert_eq!(web.house.report(0).await.0.end, EndReason::Operator);
    // What lies in the way of its file is no fault of the request, nor of the program.
    let (good, beside) =
        (web.file("agents/mia.toml"), agent.with_file_name(format!(".mia.toml.{}.tmp", std::process::id())));
    std::fs::create_dir(&beside).expect("a folder");
    let full = web.patch("/agents/mia", json!({ "language": "de" })).await;
    assert_eq!((full.code(), full.header("retry-after")), ((503, "unwritable"), "10"), "{}", full.text);
    assert!(!full.text.contains("agents/"), "{}", full.text);
    assert_eq!(web.file("agents/mia.toml"), good);
    std::fs::remove_dir(&beside).expect("no folder");
    assert_eq!(web.patch("/agents/mia", json!({ "language": "de" })).await.status, 200);
    // It is no text at all, and there all the same.
    std::fs::write(&agent, [0xff, 0xfe, 0]).expect("written");
    assert_eq!(web.get("/agents/mia").await.code(), (409, "unreadable"));
    assert_eq!(web.patch("/agents/mia", json!({ "language": "de" })).await.code(), (422, "patch"));
    let whole = json!({ "model": "scripted", "instructions": "Anew." }).to_string();
    let put = web.send(Method::PUT, &api("/agents/mia"), &[("if-match", "*")], Some(whole)).await;
    assert_eq!(put.status, 200, "{}", put.text);
    assert_eq!(web.file("agents/mia.toml").as_deref(), Some("instructions = \"Anew.\"\nmodel = \"scripted\"\n"));
}

#[tokio::test]
async fn sec_01_sec_04_nobody_reads_the_server_through_a_document() {
    let web = Web::build("").await;
    let tool = |kept: Value| {
        let http = json!({ "url": "https://example.com", "headers": { "X-A": kept } });
        json!({ "tool": [{ "name": "a", "description": "b", "http": http }] })
    };
    for kept in [json!({ "env": "PATH" }), json!({ "env": "NOT_SET" }), json!({ "file": "/etc/hostname" })] {
        let refused = web.patch("/agents/mia", tool(kept.clone())).await;
        assert_eq!(
            (refused.status, refused.fields()),
            (422, vec!["tool.http.headers.X-A"]),
            "{kept}: {}",
            refused.text
        );
        assert!(refused.text.contains("is a secret of the server itself"), "{}", refused.text);
    }
    let other = web.house.site.data().join("calls/call_x/recording.wav");
    for path in [other.to_str().unwrap(), "../data/calls/call_x/recording.wav", "/etc/passwd"] {
        let refused = web.patch("/agents/mia", json!({ "hold_sound": path })).await;
        assert_eq!((refused.status, refused.fields()), (422, vec!["hold_sound"]), "{path}: {}", refused.text);
        assert!(refused.text.contains("is not in the directory of the documents"), "{}", refused.text);
    }
}
