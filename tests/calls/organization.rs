//! What rests on the organization: its numbers, its members, its time zone.

use offhook::config::Role;
use offhook::house::principal::Principal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, NUMBER, Plan, Site, write};

const API_TOKEN: &str = "not-to-be-guessed-0123456789";

async fn house(server: &str) -> House {
    let plan = Plan {
        server: server.to_owned(),
        twilio: "[api]\ntoken = { file = \"api-token\" }\n".to_owned(),
        ..Plan::default()
    };
    let site = Site::build(&plan).await;
    write(&site.config().join("api-token"), API_TOKEN);
    write(
        &site.config().join("agents/ida.toml"),
        "model = \"scripted\"\ntext_model = \"writer\"\ninstructions = \"x\"\n",
    );
    let secret = "model = \"scripted\"\ninstructions = \"x\"\nvisibility = \"internal\"\n";
    write(&site.config().join("agents/secret.toml"), secret);
    for (at, (name, agent, access)) in [
        ("team", "mia", "\"organization\""),
        ("builders", "mia", "{ role = \"builder\" }"),
        ("bobs", "mia", "{ members = [\"bob@example.test\"] }"),
        ("secret", "secret", "\"public\""),
    ]
    .into_iter()
    .enumerate()
    {
        let number = format!("+1555010712{at}");
        let text = format!("agent = \"{agent}\"\nnumber = \"{number}\"\naccess = {access}\n");
        write(&site.config().join(format!("deployments/{name}.toml")), &text);
    }
    House::ruled(site).await
}

async fn ask(house: &House, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    loop {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = reqwest::Client::new().request(method, house.url(&format!("/api/v1{path}")));
        request = request.bearer_auth(API_TOKEN);
        if let Some(body) = &body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let said: Value = serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or_default();
        if status != 429 {
            return (status, said);
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
}

#[tokio::test]
async fn dep_07_a_phone_needs_quota_or_a_spare_number_of_the_pool() {
    let house = house("[plan]\nnumbers = 0\n").await;
    let phone = json!({ "agent": "mia", "channel": "phone" });
    let (status, no) = ask(&house, "POST", "/deployments?dry_run=true", Some(phone.clone())).await;
    assert_eq!((status, &no["code"]), (409, &json!("no_number_quota")), "{no}");
    let clone = "/deployments/desk/clone?dry_run=true";
    assert_eq!(ask(&house, "POST", clone, None).await.1["code"], "no_number_quota");
    // One that a deployment has is not spare; one in the pool is, whether it counts or not.
    let (status, taken) = ask(&house, "POST", "/numbers/by-hand", Some(json!({ "number": NUMBER }))).await;
    assert!(status == 201 || status == 409, "{taken}");
    let (_, no) = ask(&house, "POST", "/deployments?dry_run=true", Some(phone.clone())).await;
    assert_eq!(no["code"], "no_number_quota", "{no}");
    let (status, spare) = ask(&house, "POST", "/numbers/by-hand", Some(json!({ "number": "+41445550100" }))).await;
    assert_eq!(status, 201, "{spare}");
    let (status, made) = ask(&house, "POST", "/deployments?dry_run=true", Some(phone)).await;
    assert_eq!(status, 200, "{made}");
    assert_eq!(ask(&house, "POST", clone, None).await.0, 200);
}

#[tokio::test]
async fn vis_08_whether_anybody_is_answered_rests_on_the_members_there_are() {
    let house = house("").await;
    let people = house.running.store().people();
    let says = async || {
        let mut all = Vec::new();
        for name in ["team", "builders", "bobs", "secret"] {
            let (_, deployment) = ask(&house, "GET", &format!("/deployments/{name}"), None).await;
            let because = deployment["effective"]["because"].as_str().unwrap_or("live").to_owned();
            assert_eq!(deployment["effective"]["live"], json!(because == "live"), "{deployment}");
            all.push(because);
        }
        let (_, listed) = ask(&house, "GET", "/deployments?state=live&limit=100", None).await;
        let live = listed["items"].as_array().expect("items").iter().filter(|item| item["id"] != "desk").count();
        assert_eq!(live, all.iter().filter(|because| *because == "live").count(), "{listed}");
        all.join(" ")
    };
    let add =
        async |email: &str, role| people.add_user(&Principal::Operator, email, role, None).await.expect("a user").id;
    assert_eq!(says().await, "access access access visibility", "there is nobody");
    let ann = add("ann@example.test", Role::Member).await;
    assert_eq!(says().await, "live access access live");
    let bob = add("bob@example.test", Role::Builder).await;
    assert_eq!(says().await, "live live live live");
    people.set_role(&Principal::Operator, &bob, Role::Member).await.expect("a role");
    assert_eq!(says().await, "live access live live");
    people.remove_user(&Principal::Operator, &bob).await.expect("no user");
    people.remove_user(&Principal::Operator, &ann).await.expect("no user");
    let (token, _) = people.add_access(&Principal::Operator, "secret", "kiosk", None).await.expect("a token");
    assert_eq!(says().await, "access access access live", "who has a token is let in to an internal agent");
    people.remove_access(&Principal::Operator, "secret", &token.id).await.expect("no token");
    assert_eq!(says().await, "access access access visibility");
}

#[tokio::test]
async fn res_07_res_08_a_card_shows_the_countries_of_its_panel() {
    let house = house("[residency]\ninfrastructure = \"CH\"\nphone_provider = \"US\"\n").await;
    let (_, card) = ask(&house, "GET", "/deployments/desk", None).await;
    let (_, panel) = ask(&house, "GET", "/deployments/desk/assessment", None).await;
    assert_eq!(card["countries"], panel["countries"]);
    assert_eq!(card["countries"], json!(["US", "CH"]));
    let provider = panel["rows"].as_array().expect("rows").iter().find(|row| row["label"] == "Phone provider");
    assert_eq!(provider.map(|row| &row["text"]), Some(&json!("US (Twilio)")), "{panel}");
}

#[tokio::test]
async fn x_09_dep_10_the_organizations_zone_names_the_day_and_is_changed_over_the_api() {
    let house = house("").await;
    let (status, org) = ask(&house, "GET", "/org", None).await;
    assert_eq!((status, &org["timezone"]), (200, &json!("UTC")), "{org}");
    let (status, no) = ask(&house, "PATCH", "/org", Some(json!({ "timezone": "Europe/Zuerich" }))).await;
    assert_eq!((status, &no["code"], &no["errors"][0]["field"]), (422, &json!("timezone"), &json!("timezone")), "{no}");
    assert!(no["detail"].as_str().is_some_and(|words| words.contains("Europe/Zurich")), "{no}");
    // Of these two one has another date than UTC, whenever this runs.
    let now = jiff::Timestamp::now();
    let date = |zone: &str| now.in_tz(zone).expect("a zone").date();
    let zones = ["Pacific/Kiritimati", "Etc/GMT+12"];
    let zone = zones.into_iter().find(|zone| date(zone) != date("UTC")).expect("another date");
    let (status, org) = ask(&house, "PATCH", "/org", Some(json!({ "timezone": zone }))).await;
    assert_eq!((status, &org["timezone"]), (200, &json!(zone)), "{org}");
    assert_eq!(ask(&house, "GET", "/org", None).await.1["timezone"], zone);
    let document = std::fs::read_to_string(house.site.config().join("offhook.toml")).expect("a document");
    assert!(document.contains(&format!("[organization]\ntimezone = \"{zone}\"")), "{document}");
    let (_, log) = ask(&house, "GET", "/audit?action=org.timezone&since=-30m", None).await;
    assert_eq!(log["items"].as_array().map(Vec::len), Some(1), "{log}");
    for (channel, title) in [("phone", "Phone"), ("website", "Website")] {
        let body = json!({ "agent": "ida", "channel": channel, "id": channel });
        let (status, made) = ask(&house, "POST", "/deployments", Some(body)).await;
        assert_eq!(status, 201, "{made}");
        let (_, read) = ask(&house, "GET", &format!("/deployments/{channel}"), None).await;
        assert_eq!(read["title"], format!("{title} {}", date(zone)), "{read}");
    }
    // What is scheduled is kept in UTC, and shown with the zone.
    let schedule = json!({ "schedule": { "activate_at": "2099-07-01T09:00:00Z" } });
    let request = reqwest::Client::new().patch(house.url("/api/v1/deployments/website")).bearer_auth(API_TOKEN);
    let request = request.header("if-match", "*").header("content-type", "application/json");
    assert_eq!(request.body(schedule.to_string()).send().await.expect("an answer").status(), 200);
    let (_, read) = ask(&house, "GET", "/deployments/website", None).await;
    let shown = if zone == zones[0] { "2099-07-01 23:00" } else { "2099-06-30 21:00" };
    assert_eq!(read["effective"]["until"], "2099-07-01T09:00:00Z", "{read}");
    assert_eq!(read["effective"]["until_shown"], format!("{shown} {zone}"), "{read}");
    // A day in a filter is the zone's; moments and lengths are what they are.
    for (query, status) in
        [("since=2026-12-01", 200), ("since=-3h", 200), ("since=2026-12-01T00:00:00%2B01:00", 200), ("since=-2w", 422)]
    {
        for path in ["/calls", "/calls/statistics/statuses", "/usage", "/audit"] {
            let (said, body) = ask(&house, "GET", &format!("{path}?{query}"), None).await;
            assert_eq!(said, status, "{path} {query}: {body}");
        }
    }
}
