//! Deployments, models and residency over the API, asked over real sockets.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::web::{Answer, Web};

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
    assert_eq!(
        effective().await,
        json!({"live": true, "because": null, "words": null, "until": null, "until_shown": null})
    );
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
            "until": "2090-01-01T00:00:00Z", "until_shown": "2090-01-01 00:00 UTC"
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
