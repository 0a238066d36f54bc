//! Members who are known when they call, and people who are to be forgotten, over the API.

use offhook::config::Role;
use offhook::house::people::KeyWish;
use offhook::house::principal::{Principal, Scopes};
use offhook::stage::phone::{EndedBy, Step};
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, Plan, Site, place, until, write};

const TOKEN: &str = "not-to-be-guessed-0123456789";
const THEIRS: &str = "+15550107001";
const OTHERS: &str = "+15550107002";

/// A house whose webhook is its own page of health, which takes nothing that is posted.
async fn house() -> House {
    let twilio = "[api]\ntoken = { file = \"api\" }\n[[webhooks]]\nname = \"crm\"\nurl = \"http://127.0.0.1:9/hook\"\n\
        secret = { env = \"SECRET\" }\nretry_first_ms = 100\n"
        .to_owned();
    let site = Site::build(&Plan { twilio, ..Plan::default() }).await;
    write(&site.config().join("api"), TOKEN);
    House::open(site, None).await
}

struct Said {
    status: u16,
    location: String,
    body: Value,
}

impl Said {
    fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }

    fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().map(|wrong| wrong["pointer"].as_str().unwrap_or_default()).collect()
    }
}

async fn ask_as(house: &House, token: &str, method: Method, path: &str, body: Value) -> Said {
    let mut request = reqwest::Client::new().request(method, house.url(&format!("/api/v1{path}"))).bearer_auth(token);
    if !body.is_null() {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let location =
        answer.headers().get("location").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let text = answer.text().await.expect("a body");
    Said { status, location, body: serde_json::from_str(&text).unwrap_or_default() }
}

async fn ask(house: &House, method: Method, path: &str, body: Value) -> Said {
    ask_as(house, TOKEN, method, path, body).await
}

async fn get(house: &House, path: &str) -> Said {
    ask(house, Method::GET, path, Value::Null).await
}

async fn key(house: &House, role: Role, agents: Option<Vec<String>>) -> String {
    let name = format!("{} {}", role.name(), agents.is_some());
    let wish = KeyWish { name, role, scopes: Scopes::all(), agents, expires_ms: None };
    let added = house.running.store().people().add_key(&Principal::Operator, wish).await;
    added.expect("a key").1.expose().to_owned()
}

#[tokio::test]
async fn acc_06_members_are_known_by_numbers_and_a_pin_that_admins_give_them() {
    let house = house().await;
    let people = house.running.store().people();
    let ann = people.add_user(&Principal::Operator, "ann@example.com", Role::Member, None).await.expect("a user").id;
    let ben = people.add_user(&Principal::Operator, "ben@example.com", Role::Builder, None).await.expect("a user").id;
    let (numbers, pin) = (format!("/callers/{ann}/numbers"), format!("/callers/{ann}/pin"));
    let number = |number: &str| json!({ "number": number });
    // Whoever may not.
    let builder = key(&house, Role::Builder, None).await;
    let bound = key(&house, Role::Admin, Some(vec!["mia".to_owned()])).await;
    for (method, path, body) in [
        (Method::GET, "/callers", Value::Null),
        (Method::POST, numbers.as_str(), number(THEIRS)),
        (Method::DELETE, "/callers/x/numbers/+15550107001", Value::Null),
        (Method::PUT, pin.as_str(), json!({ "pin": "739104" })),
        (Method::DELETE, pin.as_str(), Value::Null),
    ] {
        let answer = ask_as(&house, "", method.clone(), path, body.clone()).await;
        assert_eq!(answer.code(), (401, "unauthenticated"), "{method} {path}");
        assert_eq!(ask_as(&house, &builder, method.clone(), path, body.clone()).await.code(), (403, "role"));
        assert_eq!(ask_as(&house, &bound, method.clone(), path, body).await.code(), (403, "scope"), "{method} {path}");
    }
    // What is no number, and no PIN.
    for (body, pointer) in [
        (json!({}), "/number"),
        (json!({ "number": 15_550_107_001_u64 }), "/number"),
        (number("5550107001"), "/number"),
        (number("+1 555 0107001"), "/number"),
        (json!({ "number": THEIRS, "name": "Ann" }), "/name"),
    ] {
        let wrong = ask(&house, Method::POST, &numbers, body.clone()).await;
        assert_eq!((wrong.status, wrong.pointers()), (422, vec![pointer]), "{body}: {}", wrong.body);
    }
    for (body, pointer) in [
        (json!({}), "/pin"),
        (json!({ "pin": "123" }), "/pin"),
        (json!({ "pin": "12345678901" }), "/pin"),
        (json!({ "pin": "12a4" }), "/pin"),
        (json!({ "pin": 7_391 }), "/pin"),
    ] {
        let wrong = ask(&house, Method::PUT, &pin, body.clone()).await;
        assert_eq!((wrong.status, wrong.pointers()), (422, vec![pointer]), "{body}: {}", wrong.body);
    }
    assert_eq!(get(&house, "/callers").await.body["items"], json!([]), "nothing came of any of it");
    // Whoever is nobody's.
    for (method, path, body) in [
        (Method::POST, "/callers/usr_none/numbers", number(THEIRS)),
        (Method::PUT, "/callers/usr_none/pin", json!({ "pin": "739104" })),
        (Method::DELETE, pin.as_str(), Value::Null),
    ] {
        assert_eq!(ask(&house, method.clone(), path, body).await.status, 404, "{method} {path}");
    }
    assert_eq!(ask(&house, Method::POST, &numbers, number(THEIRS)).await.status, 204);
    assert_eq!(ask(&house, Method::PUT, &pin, json!({ "pin": "739104" })).await.status, 204);
    let taken = ask(&house, Method::POST, &format!("/callers/{ben}/numbers"), number(THEIRS)).await;
    assert_eq!(taken.status, 409, "{}", taken.body);
    let listed = get(&house, "/callers").await.body["items"].take();
    assert_eq!((&listed[0]["email"], &listed[0]["numbers"]), (&json!("ann@example.com"), &json!([THEIRS])));
    assert_eq!((&listed[0]["has_pin"], &listed[1]), (&json!(true), &Value::Null));
    assert!(!listed.to_string().contains("739104"), "nobody is shown it");
    let theirs = format!("{numbers}/{THEIRS}");
    assert_eq!(ask(&house, Method::DELETE, &theirs, Value::Null).await.status, 204);
    assert_eq!(ask(&house, Method::DELETE, &theirs, Value::Null).await.status, 404);
    assert_eq!(ask(&house, Method::DELETE, &pin, Value::Null).await.status, 204);
    assert_eq!(get(&house, "/callers").await.body["items"], json!([]));
}

#[tokio::test]
async fn sec_06_an_admin_has_a_person_erased_everywhere_and_gets_a_receipt() {
    let house = house().await;
    for from in [THEIRS, OTHERS] {
        let mut caller = house.caller(vec![Step::Silence(300), Step::HangUp]);
        caller.from = from.to_owned();
        assert_eq!(place(caller).await.ended_by, EndedBy::Caller);
    }
    let (theirs, others) = (house.report(0).await, house.report(1).await);
    let call = theirs.0.call.clone();
    house.running.store().flush().await;
    let body = json!({ "number": THEIRS });
    let log = format!("/webhooks/crm/deliveries?call={call}");
    for _ in 0..400 {
        if get(&house, &log).await.body["items"].as_array().is_some_and(|tried| !tried.is_empty()) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    // Whoever may not, and whoever says nobody.
    let builder = key(&house, Role::Builder, None).await;
    let bound = key(&house, Role::Owner, Some(vec!["mia".to_owned()])).await;
    for (token, expected) in [("", (401, "unauthenticated")), (&builder, (403, "role")), (&bound, (403, "scope"))] {
        for (method, path) in [
            (Method::POST, "/erasures"),
            (Method::POST, "/erasures?dry_run=true"),
            (Method::GET, "/erasures"),
            (Method::GET, "/erasures/none"),
        ] {
            let body = if method == Method::POST { body.clone() } else { Value::Null };
            assert_eq!(ask_as(&house, token, method.clone(), path, body).await.code(), expected, "{method} {path}");
        }
    }
    for (wrong, pointer) in [
        (json!({}), "/number"),
        (json!({ "number": "Ann" }), "/number"),
        (json!({ "number": null }), "/number"),
        (json!({ "number": THEIRS, "all": true }), "/all"),
    ] {
        let refused = ask(&house, Method::POST, "/erasures", wrong.clone()).await;
        assert_eq!((refused.status, refused.pointers()), (422, vec![pointer]), "{wrong}: {}", refused.body);
    }
    let unknown = ask(&house, Method::POST, "/erasures?now=1", body.clone()).await;
    assert_eq!((unknown.status, unknown.pointers()), (422, vec!["?now"]));
    assert_eq!(get(&house, "/erasures").await.body["items"], json!([]), "nothing was begun");
    // What there is; then it goes.
    let there_is = ask(&house, Method::POST, "/erasures?dry_run=true", body.clone()).await;
    assert_eq!(
        (there_is.status, &there_is.body["calls"], &there_is.body["recordings"]),
        (200, &json!(1), &json!(1)),
        "{}",
        there_is.body
    );
    assert!(theirs.1.join("recording.wav").exists());
    let begun = ask(&house, Method::POST, "/erasures", body).await;
    let id = begun.body["id"].as_str().expect("an id").to_owned();
    assert_eq!((begun.status, begun.location), (202, format!("/api/v1/erasures/{id}")));
    until("its folder is gone", || !theirs.1.exists()).await;
    let mut receipt = Value::Null;
    for _ in 0..400 {
        receipt = get(&house, &format!("/erasures/{id}")).await.body;
        if receipt["done"].is_string() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    let erased = &receipt["erased"];
    assert_eq!(
        (&erased["calls"], &erased["recordings"], &erased["folders"]),
        (&json!(1), &json!(1), &json!(1)),
        "{receipt}"
    );
    assert!(erased["events"].as_i64() > Some(0) && erased["attempts"].as_i64() > Some(0), "{receipt}");
    assert!(receipt["done"].is_string() && receipt["left"] == json!({ "calls": 0, "folders": 0 }), "{receipt}");
    assert!(!receipt.to_string().contains(THEIRS), "it does not say who it was");
    // By no way is there anything of them, and all of others.
    for part in ["", "/transcript", "/recording", "/peaks"] {
        assert_eq!(get(&house, &format!("/calls/{call}{part}")).await.status, 404, "{part}");
    }
    for path in [log.as_str(), "/calls?number=%2B15550107001"] {
        assert_eq!(get(&house, path).await.body["items"], json!([]), "{path}");
    }
    assert!(others.1.join("recording.wav").exists());
    assert_eq!(get(&house, &format!("/calls/{}", others.0.call)).await.status, 200);
    let listed = get(&house, "/erasures").await.body["items"].take();
    assert_eq!((&listed[0]["id"], &listed[1]), (&json!(id), &Value::Null));
    let audit = get(&house, "/audit?limit=100").await.body;
    assert!(audit.to_string().contains("erase") && !audit.to_string().contains(THEIRS), "{audit}");
    assert_eq!(get(&house, "/erasures/none").await.code(), (404, "not_found"));
}
