//! Phone numbers over the API, with a carrier that refuses, loses answers and is changed behind our back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use offhook::config::Secret;
use offhook::stage::carrier::{Exchange, ForSale, Kind, Rung, Trouble, What};
use offhook::stage::phone::{CallOptions, EndedBy, Outcome, Step};
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{ACCOUNT, House, NUMBER, Plan, Site, TOKEN, place, until, write};
use crate::survival::{serve_at, signal};

const API_TOKEN: &str = "not-to-be-guessed-0123456789";
const SAN_FRANCISCO: &str = "+14155550100";
const NEXT: &str = "+14155550101";

/// A house that has one number of its own, and a carrier with some for sale.
async fn site(server: &str) -> Site {
    let plan = Plan {
        server: server.to_owned(),
        twilio: "rest_timeout_ms = 1500\nfallback_url = \"https://handler.example/down\"\n\
                 [api]\ntoken = { file = \"api-token\" }\n"
            .to_owned(),
        ..Plan::default()
    };
    let site = Site::build(&plan).await;
    write(&site.config().join("api-token"), API_TOKEN);
    write(&site.config().join("deployments/spare.toml"), "# The spare desk.\nagent = \"mia\"\n");
    write(&site.config().join("deployments/other.toml"), "agent = \"mia\"\n");
    exchange(&site).stock();
    site
}

fn exchange(site: &Site) -> Exchange {
    site.carrier.as_ref().expect("a carrier").numbers().clone()
}

struct Desk {
    house: House,
    carrier: Exchange,
}

/// Status and body.
type Said = (u16, Value);

async fn ask(url: &str, method: Method, path: &str, key: Option<&str>, body: Option<Value>) -> Said {
    let mut request =
        reqwest::Client::new().request(method, format!("{url}/api/v1/numbers{path}")).bearer_auth(API_TOKEN);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or_default())
}

impl Desk {
    async fn open(server: &str) -> Desk {
        let site = site(server).await;
        let carrier = exchange(&site);
        Desk { house: House::open(site, None).await, carrier }
    }

    async fn get(&self, path: &str) -> Said {
        ask(&self.house.url(""), Method::GET, path, None, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Said {
        ask(&self.house.url(""), Method::POST, path, None, Some(body)).await
    }

    async fn buy(&self, key: &str, number: &str) -> Said {
        let body = json!({ "country": "US", "type": "local", "number": number });
        ask(&self.house.url(""), Method::POST, "", Some(key), Some(body)).await
    }

    /// Buys one that must be had, and answers with its id.
    async fn bought(&self, number: &str) -> String {
        let (status, body) = self.buy(number, number).await;
        assert_eq!(status, 201, "{body}");
        body["id"].as_str().expect("an id").to_owned()
    }

    async fn act(&self, id: &str, what: &str, body: Value) -> Said {
        self.post(&format!("/{id}/{what}"), body).await
    }

    /// What the carrier sends calls of a number to.
    fn hook(&self, number: &str, name: &str) -> String {
        let all = self.carrier.owned(ACCOUNT);
        all.iter()
            .find(|owned| owned.number.number == number)
            .map(|owned| owned.get(name).to_owned())
            .unwrap_or_default()
    }

    fn document(&self, deployment: &str) -> String {
        let path = self.house.site.config().join(format!("deployments/{deployment}.toml"));
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// The number as it is listed; null: it is not.
    async fn listed(&self, number: &str) -> Value {
        let (_, page) = self.get("?limit=100").await;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        items.into_iter().find(|item| item["number"] == number).unwrap_or_default()
    }

    async fn is_so(&self, what: &str, so: impl AsyncFn() -> bool) {
        for _ in 0..600 {
            if so().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{what}: never");
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs()
}

fn for_sale(number: &str) -> ForSale {
    ForSale {
        number: number.to_owned(),
        country: "US".to_owned(),
        kind: Kind::Local,
        locality: String::new(),
        voice: true,
        address: "none",
    }
}

#[tokio::test]
async fn num_02_num_03_num_04_a_search_finds_what_can_be_called_and_says_why_nothing() {
    let desk = Desk::open("").await;
    let search = async |query: &str| desk.get(&format!("/available?{query}")).await;
    let (status, france) = search("country=FR&type=local").await;
    assert_eq!(
        (status, &france["code"], &france["errors"][0]["pointer"]),
        (422, &json!("country"), &json!("?country"))
    );
    assert!(france["detail"].as_str().expect("words").contains("Switzerland (CH)"));
    let (_, mobile) = search("country=GB&type=mobile").await;
    assert_eq!(mobile["items"].as_array().map(Vec::len), Some(3), "{mobile}");
    assert_eq!(mobile["price"], json!({ "micros": 1_150_000, "currency": "USD" }));
    let (_, swiss) = search("country=CH&type=mobile").await;
    assert_eq!(swiss["items"], json!([]));
    assert_eq!(swiss["empty"]["message"], "No mobile numbers in Switzerland right now.");
    assert_eq!(swiss["empty"]["code"], "none_with_voice");
    let (_, american) = search("country=US&type=mobile").await;
    assert_eq!(american["empty"]["code"], "not_offered");
    assert_eq!(american["empty"]["message"], "No mobile numbers in United States right now.");
    let (_, york) = search("country=US&type=local&area_code=212").await;
    let york = york["items"].as_array().cloned().expect("numbers");
    assert!(york.len() == 4 && york.iter().all(|item| item["number"].as_str().expect("a number").starts_with("+1212")));
    let (_, none) = search("country=US&type=local&area_code=999").await;
    assert_eq!(none["empty"]["code"], "none_matches");
    assert_eq!(search("country=DE&type=local&area_code=415").await.0, 422);
    assert_eq!(search("country=US&type=local&pattern=55").await.0, 422);
    let (_, berlin) = search("country=DE&type=local&pattern=030").await;
    let berlin = berlin["items"].as_array().cloned().expect("numbers");
    assert!(
        berlin.len() == 3 && berlin.iter().all(|item| item["number"].as_str().expect("a number").starts_with("+4930"))
    );
    assert_eq!(search("country=DE&type=local&unknown=1").await.0, 422);
    // What the carrier cannot say is no empty list.
    for _ in 0..2 {
        let what = What::Refused { status: 503, code: 20_503 };
        desk.carrier.trouble(Trouble { method: "GET", path: "/AvailablePhoneNumbers/IT", what });
    }
    let (status, silent) = search("country=IT&type=local").await;
    assert_eq!((status, &silent["code"]), (502, &json!("carrier_silent")), "{silent}");
}

#[tokio::test]
async fn num_01_num_05_num_14_numbers_are_bought_into_a_pool_and_only_those_count() {
    let desk = Desk::open("[plan]\nnumbers = 1\n").await;
    let (status, no_key) = desk.post("", json!({ "country": "US", "type": "local", "number": SAN_FRANCISCO })).await;
    assert_eq!((status, &no_key["code"]), (400, &json!("key")));
    let id = desk.bought(SAN_FRANCISCO).await;
    let voice_url = desk.house.url("/twilio/voice");
    assert_eq!(desk.hook(SAN_FRANCISCO, "VoiceUrl"), voice_url, "no caller hears the carrier's demonstration");
    let Rung::Asked { twiml, .. } = desk.carrier.ring(SAN_FRANCISCO, "+14155559999").await else {
        panic!("nobody was asked")
    };
    assert!(twiml.contains("not in service"), "{twiml}");
    let (status, hand) = desk.post("/by-hand", json!({ "number": "+41 44 555 01 00", "title": "Front" })).await;
    assert_eq!((status, &hand["number"], &hand["counts"]), (201, &json!("+41445550100"), &json!(false)));
    assert_eq!(hand["webhook"]["voice_url"], voice_url.as_str());
    let (_, page) = desk.get("").await;
    assert_eq!((&page["used"], &page["limit"], &page["quota"]), (&json!(1), &json!(1), &json!("1 / 1")));
    let numbers: Vec<_> = page["items"].as_array().expect("numbers").iter().map(|item| &item["number"]).collect();
    assert!(numbers.contains(&&json!(SAN_FRANCISCO)) && numbers.contains(&&json!("+41445550100")), "{page}");
    assert!(numbers.contains(&&json!(NUMBER)), "a document's too: {page}");
    let (status, full) = desk.buy("second", NEXT).await;
    assert_eq!((status, &full["code"]), (409, &json!("number_quota")));
    assert_eq!(full["detail"], "Phone number quota exhausted… (1 / 1) Contact support to increase your limit.");
    assert_eq!((desk.carrier.charges(SAN_FRANCISCO), desk.carrier.charges(NEXT)), (1, 0));
    // The same request again, and its key for another.
    let (status, again) = desk.buy(SAN_FRANCISCO, SAN_FRANCISCO).await;
    assert_eq!((status, &again["id"]), (201, &json!(id)));
    let (status, reused) = desk.buy(SAN_FRANCISCO, NEXT).await;
    assert_eq!((status, &reused["code"]), (409, &json!("key_reused")));
    assert_eq!(desk.carrier.charges(SAN_FRANCISCO), 1);
    let hand = hand["id"].as_str().expect("an id");
    let delete = |id: &str| ask_owned(desk.house.url(""), Method::DELETE, format!("/{id}"));
    assert_eq!((delete(hand).await.0, delete(hand).await.0), (204, 404));
    assert_eq!(delete(&id).await.1["code"], "not_by_hand");
}

async fn ask_owned(url: String, method: Method, path: String) -> Said {
    ask(&url, method, &path, None, None).await
}

#[tokio::test]
async fn num_06_a_lost_answer_buys_one_number_and_is_charged_once() {
    let desk = Desk::open("[plan]\nnumbers = 3\n").await;
    desk.carrier.trouble(Trouble::buying(What::Unanswered));
    let (status, lost) = desk.buy("key-1", SAN_FRANCISCO).await;
    assert_eq!((status, &lost["code"]), (502, &json!("carrier_silent")), "{lost}");
    assert_eq!(lost["detail"], "The carrier did not answer; the number will appear if it was bought.");
    // Whoever asks again meanwhile finds it under way.
    let (status, _) = desk.buy("key-1", SAN_FRANCISCO).await;
    assert!(matches!(status, 201 | 202), "{status}");
    desk.is_so("it is ours", async || desk.listed(SAN_FRANCISCO).await["state"] == "held").await;
    assert_eq!((desk.carrier.charges(SAN_FRANCISCO), desk.carrier.owned(ACCOUNT).len()), (1, 1));
    let (status, done) = desk.buy("key-1", SAN_FRANCISCO).await;
    assert_eq!((status, &done["state"]), (201, &json!("held")));
    // 5xx after it was done, and an answer that is cut, are the same.
    for (key, number, what) in [("key-2", NEXT, What::DoneAnd { status: 500 }), ("key-3", "+14155550102", What::Cut)] {
        desk.carrier.trouble(Trouble::buying(what));
        let (status, lost) = desk.buy(key, number).await;
        assert_eq!((status, &lost["code"]), (502, &json!("carrier_silent")), "{lost}");
        desk.is_so("it is ours", async || desk.listed(number).await["state"] == "held").await;
        assert_eq!(desk.carrier.charges(number), 1);
    }
    assert_eq!(desk.buy("key-4", "+14155550103").await.1["code"], "number_quota");
    assert_eq!(desk.carrier.owned(ACCOUNT).len(), 3);
}

#[tokio::test]
async fn num_06_a_server_that_is_killed_while_it_buys_finds_its_number_again() {
    let site = site("[plan]\nnumbers = 1\n").await;
    let carrier = exchange(&site);
    let (mut server, url) = serve_at(&site, "127.0.0.1:0");
    // Carried out at once; the answer takes longer than the server lives.
    carrier.trouble(Trouble {
        method: "POST",
        path: "/IncomingPhoneNumbers.json",
        what: What::SlowAnswer { ms: 20_000 },
    });
    let body = json!({ "country": "US", "type": "local", "number": SAN_FRANCISCO });
    let (asked, wanted) = (url.clone(), body.clone());
    let asking = tokio::spawn(async move {
        let request = reqwest::Client::new().post(format!("{asked}/api/v1/numbers")).bearer_auth(API_TOKEN);
        request
            .header("idempotency-key", "key-1")
            .header("content-type", "application/json")
            .body(wanted.to_string())
            .send()
            .await
            .is_ok()
    });
    until("the carrier has sold it", || carrier.charges(SAN_FRANCISCO) == 1).await;
    signal(&server, "KILL");
    server.wait().expect("an end");
    assert!(!asking.await.expect("a request"), "nobody was answered");
    let (mut server, url) = serve_at(&site, "127.0.0.1:0");
    let mut held = Value::Null;
    for _ in 0..600 {
        held = ask(&url, Method::GET, "", None, None).await.1;
        if held["items"]
            .as_array()
            .is_some_and(|all| all.iter().any(|item| item["number"] == SAN_FRANCISCO && item["state"] == "held"))
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        (&held["used"], carrier.charges(SAN_FRANCISCO), carrier.owned(ACCOUNT).len()),
        (&json!(1), 1, 1),
        "{held}"
    );
    let (status, again) = ask(&url, Method::POST, "", Some("key-1"), Some(body)).await;
    assert_eq!((status, &again["state"]), (201, &json!("held")), "{again}");
    assert_eq!(carrier.charges(SAN_FRANCISCO), 1);
    signal(&server, "TERM");
    server.wait().expect("an end");
}

#[tokio::test]
async fn num_06_refusals_of_the_carrier_buy_nothing_and_free_the_quota() {
    let desk = Desk::open("[plan]\nnumbers = 1\n").await;
    for (what, status, code) in [
        (What::Refused { status: 400, code: 21_422 }, 409, "number_gone"),
        (What::Refused { status: 400, code: 21_649 }, 409, "papers_refused"),
        (What::Refused { status: 400, code: 21_404 }, 409, "account_limit"),
        (What::Refused { status: 401, code: 20_003 }, 502, "carrier_credentials"),
    ] {
        desk.carrier.trouble(Trouble::buying(what));
        let (said, body) = desk.buy("key", SAN_FRANCISCO).await;
        assert_eq!((said, &body["code"]), (status, &json!(code)), "{body}");
        assert_eq!(desk.get("").await.1["used"], 0);
    }
    // Too many at once was certainly not carried out: it is asked once more.
    desk.carrier.trouble(Trouble::buying(What::Refused { status: 429, code: 20_429 }));
    let (status, body) = desk.buy("key", SAN_FRANCISCO).await;
    assert_eq!((status, &body["state"]), (201, &json!("held")), "{body}");
    assert_eq!(desk.carrier.charges(SAN_FRANCISCO), 1);
}

#[tokio::test]
async fn num_06_what_the_account_has_or_others_have_bought_is_not_bought() {
    let desk = Desk::open("").await;
    desk.carrier.sell_to_others(SAN_FRANCISCO);
    assert_eq!(desk.buy("a", SAN_FRANCISCO).await.1["code"], "number_gone");
    // Bought in the console between the search and the purchase: to buy it again would rewire it.
    desk.carrier.buy_in_console(ACCOUNT, for_sale(NEXT));
    desk.carrier.put_up(for_sale(NEXT));
    assert_eq!(desk.buy("b", NEXT).await.1["code"], "in_account");
    assert_eq!(desk.hook(NEXT, "VoiceUrl"), "https://demo.twilio.com/welcome/voice/", "as it was");
    assert_eq!(desk.carrier.charges(NEXT), 1);
    let (status, dear) = ask(
        &desk.house.url(""),
        Method::POST,
        "",
        Some("c"),
        Some(json!({ "country": "US", "type": "local", "number": "+14155550103", "max_price_micros": 1_000_000 })),
    )
    .await;
    assert_eq!((status, &dear["code"]), (409, &json!("price_changed")));
}

#[tokio::test]
async fn num_07_num_08_num_09_a_number_is_assigned_and_comes_back() {
    let desk = Desk::open("").await;
    let (first, second) = (desk.bought(SAN_FRANCISCO).await, desk.bought(NEXT).await);
    // The carrier refuses: nothing is assigned, and its words are shown.
    let refused = What::Refused { status: 400, code: 21_402 };
    desk.carrier.trouble(Trouble { method: "POST", path: "/IncomingPhoneNumbers/PN", what: refused });
    let (status, no) = desk.act(&first, "assign", json!({ "deployment": "spare" })).await;
    assert_eq!((status, &no["code"]), (409, &json!("carrier_refused")), "{no}");
    assert!(no["detail"].as_str().expect("words").contains("Url is not valid"), "{no}");
    assert!(!desk.document("spare").contains("number"));

    let (status, has) = desk.act(&first, "assign", json!({ "deployment": "spare" })).await;
    assert_eq!((status, &has["deployment"]), (200, &json!("spare")), "{has}");
    assert_eq!(desk.hook(SAN_FRANCISCO, "VoiceUrl"), desk.house.url("/twilio/voice"));
    assert_eq!(desk.hook(SAN_FRANCISCO, "StatusCallback"), desk.house.url("/twilio/call-status"));
    assert_eq!(desk.hook(SAN_FRANCISCO, "VoiceFallbackUrl"), "https://handler.example/down", "BEYOND-08");
    let document = desk.document("spare");
    assert!(
        document.starts_with("# The spare desk.\n") && document.contains(&format!("number = \"{SAN_FRANCISCO}\"")),
        "{document}"
    );
    let Rung::Asked { twiml, .. } = desk.carrier.ring(SAN_FRANCISCO, "+14155559999").await else {
        panic!("nobody was asked")
    };
    assert!(twiml.contains("<Stream"), "{twiml}");

    let (status, taken) = desk.act(&first, "assign", json!({ "deployment": "other" })).await;
    assert_eq!((status, &taken["detail"]), (409, &json!("This number is already assigned to spare.")));
    let (status, full) = desk.act(&second, "assign", json!({ "deployment": "spare" })).await;
    assert_eq!((status, &full["detail"]), (409, &json!("This deployment already has a number.")));
    assert_eq!(desk.act(&second, "assign", json!({ "deployment": "nobody" })).await.0, 404);
    let (status, held) = desk.act(&first, "release", json!({})).await;
    assert_eq!((status, &held["detail"]), (409, &json!("Unassign the number first.")));

    let (status, back) = desk.act(&first, "unassign", json!({})).await;
    assert_eq!((status, &back["number"]["deployment"], &back["warning"]), (200, &Value::Null, &Value::Null), "{back}");
    for name in ["VoiceUrl", "VoiceFallbackUrl", "StatusCallback"] {
        assert_eq!(desk.hook(SAN_FRANCISCO, name), "", "{name}");
    }
    assert!(!desk.document("spare").contains("number ="));
    assert_eq!(desk.carrier.ring(SAN_FRANCISCO, "+14155559999").await, Rung::Nowhere);
    assert_eq!(desk.act(&first, "assign", json!({ "deployment": "other" })).await.0, 200, "it is free for another");
}

#[tokio::test]
async fn num_09_a_call_goes_on_while_its_number_is_unassigned_and_the_next_finds_nobody() {
    let desk = Desk::open("").await;
    let id = desk.bought(SAN_FRANCISCO).await;
    assert_eq!(desk.act(&id, "assign", json!({ "deployment": "spare" })).await.0, 200);
    let call = CallOptions {
        to: SAN_FRANCISCO.to_owned(),
        from: "+14155559999".to_owned(),
        ..desk.house.caller(vec![
            Step::WaitAgentSpeaking { after_ms: 100, max_ms: 10_000 },
            Step::Silence(1_500),
            Step::HangUp,
        ])
    };
    let talking = tokio::spawn(place(call));
    until("it is up", || !desk.house.running.calls().is_empty()).await;
    let (status, back) = desk.act(&id, "unassign", json!({})).await;
    assert_eq!((status, &back["number"]["deployment"]), (200, &Value::Null), "{back}");
    assert_eq!(desk.hook(SAN_FRANCISCO, "VoiceUrl"), "", "its webhook is cleared");
    let (status, held) = desk.act(&id, "release", json!({})).await;
    assert_eq!((status, &held["detail"]), (409, &json!("A call on this number goes on.")));
    assert_eq!(desk.carrier.ring(SAN_FRANCISCO, "+14155559998").await, Rung::Nowhere);
    let heard = talking.await.expect("a call");
    assert_eq!((heard.outcome, heard.ended_by), (Outcome::Connected, EndedBy::Caller));
}

#[tokio::test]
async fn beyond_08_the_carriers_own_fallback_is_set_with_the_number_repaired_and_cleared() {
    const FALLBACK: &str = "https://handler.example/down";
    let desk = Desk::open("").await;
    let id = desk.bought(SAN_FRANCISCO).await;
    assert_eq!(desk.act(&id, "assign", json!({ "deployment": "spare" })).await.0, 200);
    assert_eq!(desk.hook(SAN_FRANCISCO, "VoiceFallbackUrl"), FALLBACK);
    // Somebody takes it away in the console: that is a difference, and is set right.
    desk.carrier.change_in_console(SAN_FRANCISCO, "VoiceFallbackUrl", "");
    let (_, found) = ask(&desk.house.url(""), Method::POST, "/differences", None, None).await;
    assert_eq!(found["items"][0]["detail"], "its calls go, when that fails, to nobody", "{found}");
    let repair = format!("/differences/{SAN_FRANCISCO}/repair");
    assert_eq!(ask(&desk.house.url(""), Method::POST, &repair, None, None).await.0, 204);
    assert_eq!(desk.hook(SAN_FRANCISCO, "VoiceFallbackUrl"), FALLBACK);
    // It stands at the carrier: that this server is down changes nothing of it.
    assert_eq!(desk.act(&id, "unassign", json!({})).await.0, 200);
    assert_eq!(desk.hook(SAN_FRANCISCO, "VoiceFallbackUrl"), "");
    assert_eq!(desk.act(&id, "assign", json!({ "deployment": "other" })).await.0, 200);
    desk.house.running.shutdown().await;
    assert_eq!(desk.hook(SAN_FRANCISCO, "VoiceFallbackUrl"), FALLBACK);
}

#[tokio::test]
async fn num_12_x_09_each_number_says_from_when_it_can_be_released_in_the_organizations_zone() {
    let desk = Desk::open("[organization]\ntimezone = \"Europe/Zurich\"\n").await;
    // 2027-01-15T12:00:00Z: in winter, while 30 days later it is winter still.
    let bought_s = 1_800_014_400;
    desk.carrier.buy_in_console(ACCOUNT, for_sale("+14155550190"));
    desk.carrier.age("+14155550190", bought_s);
    assert_eq!(desk.post("/differences/+14155550190/take-over", json!({})).await.0, 201);
    let listed = desk.listed("+14155550190").await;
    assert_eq!(listed["releasable_from"], "2027-02-14T12:00:00.000Z", "{listed}");
    assert_eq!(listed["releasable_shown"], "2027-02-14 13:00 Europe/Zurich", "{listed}");
    let id = listed["id"].as_str().expect("an id").to_owned();
    let (status, early) = desk.act(&id, "release", json!({})).await;
    let words = "This number can be released from 2027-02-14 13:00 Europe/Zurich.";
    assert_eq!((status, &early["detail"]), (409, &json!(words)));
    let by_hand = desk.post("/by-hand", json!({ "number": "+41445550100" })).await.1;
    assert_eq!((&by_hand["releasable_from"], &by_hand["releasable_shown"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn num_10_a_deployment_that_is_deleted_gives_its_number_to_the_pool() {
    let desk = Desk::open("").await;
    let id = desk.bought(SAN_FRANCISCO).await;
    assert_eq!(desk.act(&id, "assign", json!({ "deployment": "spare" })).await.0, 200);
    std::fs::remove_file(desk.house.site.config().join("deployments/spare.toml")).expect("a file");
    desk.house.running.look().await;
    desk.is_so("its webhook is cleared", async || desk.hook(SAN_FRANCISCO, "VoiceUrl").is_empty()).await;
    let pooled = desk.listed(SAN_FRANCISCO).await;
    assert_eq!((&pooled["deployment"], &pooled["state"]), (&Value::Null, &json!("held")));
    assert_eq!(desk.carrier.owned(ACCOUNT).len(), 1, "not released");
    // And a document that names it by hand has it.
    write(
        &desk.house.site.config().join("deployments/other.toml"),
        &format!("agent = \"mia\"\nnumber = \"{SAN_FRANCISCO}\"\n"),
    );
    desk.house.running.look().await;
    desk.is_so("its calls come here", async || desk.hook(SAN_FRANCISCO, "VoiceUrl").ends_with("/twilio/voice")).await;
    assert_eq!(desk.listed(SAN_FRANCISCO).await["deployment"], "other");
}

#[tokio::test]
async fn num_11_num_12_a_number_is_released_after_thirty_days_and_not_before() {
    const DAY_S: u64 = 86_400;
    let desk = Desk::open("").await;
    for (number, age_s) in [("+14155550190", 30 * DAY_S + 5), ("+14155550191", 29 * DAY_S)] {
        desk.carrier.buy_in_console(ACCOUNT, for_sale(number));
        desk.carrier.age(number, now_s() - age_s);
        let (status, over) = desk.post(&format!("/differences/{number}/take-over"), json!({})).await;
        assert_eq!(status, 201, "{over}");
    }
    let (old, young) = (desk.listed("+14155550190").await, desk.listed("+14155550191").await);
    assert!(old["releasable_from"].is_string() && young["releasable_from"].is_string());
    let (old, young) = (old["id"].as_str().expect("an id"), young["id"].as_str().expect("an id"));
    let (status, early) = desk.act(young, "release", json!({})).await;
    assert_eq!((status, &early["code"]), (409, &json!("too_early")));
    let words = early["detail"].as_str().expect("words");
    assert!(words.starts_with("This number can be released from 20") && words.ends_with(" UTC."), "{words}");
    // The carrier's own hold is shown in its words.
    let hold = What::Refused { status: 400, code: 22_121 };
    desk.carrier.trouble(Trouble { method: "DELETE", path: "/IncomingPhoneNumbers/", what: hold });
    assert_eq!(desk.act(old, "release", json!({})).await.1["code"], "carrier_refused");
    assert_eq!(desk.listed("+14155550190").await["state"], "held");
    // Its answer is lost: it is asked again, and to give back what is gone is to give it back.
    desk.carrier.trouble(Trouble { method: "DELETE", path: "/IncomingPhoneNumbers/", what: What::Unanswered });
    assert_eq!(desk.act(old, "release", json!({})).await.0, 502);
    desk.is_so("it is gone", async || desk.listed("+14155550190").await.is_null()).await;
    assert_eq!(desk.carrier.owned(ACCOUNT).len(), 1);
    assert_eq!(desk.act(old, "release", json!({})).await.0, 404);
}

#[tokio::test]
async fn num_13_what_was_changed_at_the_carrier_is_shown_taken_over_and_repaired() {
    let desk = Desk::open("").await;
    let id = desk.bought(SAN_FRANCISCO).await;
    assert_eq!(desk.act(&id, "assign", json!({ "deployment": "spare" })).await.0, 200);
    desk.carrier.change_in_console(SAN_FRANCISCO, "VoiceUrl", "https://elsewhere.example/");
    desk.carrier.buy_in_console(ACCOUNT, for_sale("+14155550190"));
    desk.carrier.buy_in_console(ACCOUNT, for_sale("+14155550191"));
    assert_eq!(desk.post("/differences/+14155550191/take-over", json!({ "title": "Old" })).await.0, 201);
    desk.carrier.reclaim("+14155550191");
    let (status, found) = ask(&desk.house.url(""), Method::POST, "/differences", None, None).await;
    assert_eq!(status, 200, "{found}");
    let all: Vec<(&str, &str)> = found["items"]
        .as_array()
        .expect("differences")
        .iter()
        .map(|item| (item["number"].as_str().expect("a number"), item["kind"].as_str().expect("a kind")))
        .collect();
    assert_eq!(all, [(SAN_FRANCISCO, "elsewhere"), ("+14155550190", "unknown"), ("+14155550191", "gone")]);
    assert_eq!(found["items"][0]["detail"], "its calls go to https://elsewhere.example/");
    // Wrong credentials are the operator's error: nothing is gone because of them.
    desk.carrier.rotate(ACCOUNT, Secret::new("another"));
    assert_eq!(
        ask(&desk.house.url(""), Method::POST, "/differences", None, None).await.1["code"],
        "carrier_credentials"
    );
    desk.carrier.rotate(ACCOUNT, Secret::new(TOKEN));
    let (_, kept) = desk.get("/differences").await;
    assert_eq!(kept["items"], found["items"]);
    assert!(kept["error"].as_str().is_some_and(|why| why.contains("twilio.auth_token")), "{kept}");

    let repair = async |number: &str| {
        ask(&desk.house.url(""), Method::POST, &format!("/differences/{number}/repair"), None, None).await
    };
    assert_eq!(repair("+14155550190").await.1["code"], "unknown_number");
    assert_eq!(repair(SAN_FRANCISCO).await.0, 204);
    assert_eq!(desk.hook(SAN_FRANCISCO, "VoiceUrl"), desk.house.url("/twilio/voice"));
    assert_eq!(repair("+14155550191").await.0, 204);
    assert!(desk.listed("+14155550191").await.is_null());
    assert_eq!(repair(SAN_FRANCISCO).await.1["code"], "no_difference");
    // Several pages, each row twice.
    for n in 0..140 {
        desk.carrier.buy_in_console(ACCOUNT, for_sale(&format!("+1415556{n:04}")));
    }
    desk.carrier.trouble(Trouble { method: "GET", path: "/IncomingPhoneNumbers.json", what: What::Twice });
    let (_, found) = ask(&desk.house.url(""), Method::POST, "/differences", None, None).await;
    assert_eq!(found["items"].as_array().map(Vec::len), Some(141), "none is lost, and each is there once");
}

#[tokio::test]
async fn beyond_30_papers_are_told_before_and_go_along() {
    let desk = Desk::open("").await;
    desk.carrier.regulate("DE", Kind::Local);
    let bundle = desk.carrier.add_bundle(ACCOUNT, "DE", Kind::Local, "in-review");
    let address = desk.carrier.add_address(ACCOUNT, "Ann GmbH", "Berlin", "DE");
    let (_, papers) = desk.get("/papers?country=DE&type=local").await;
    assert_eq!((&papers["address"], &papers["bundle"]), (&json!("local"), &json!(true)));
    let words =
        "To buy local numbers in Germany the carrier wants an address in Germany and an approved regulatory bundle.";
    assert_eq!(papers["words"], words);
    assert_eq!((&papers["bundles"][0]["state"], &papers["addresses"][0]["fits"]), (&json!("in_review"), &json!(true)));
    assert_eq!(papers["requirements"], json!(["Business", "Proof of Address"]));
    let buy = async |key: &str, more: Value| {
        let mut body = json!({ "country": "DE", "type": "local", "number": "+49305550100" });
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        ask(&desk.house.url(""), Method::POST, "", Some(key), Some(body)).await
    };
    let (status, missing) = buy("a", json!({})).await;
    assert_eq!((status, &missing["code"], &missing["detail"]), (422, &json!("papers_missing"), &json!(words)));
    let both = json!({ "bundle": bundle, "address": address });
    assert_eq!(buy("b", both.clone()).await.1["detail"], "The bundle is not approved: its state is in_review.");
    assert_eq!(desk.carrier.charges("+49305550100"), 0);
    desk.carrier.review(&bundle, "twilio-approved", Some(now_s() + 10 * 86_400));
    let (status, bought) = buy("c", both).await;
    assert_eq!((status, &bought["country"]), (201, &json!("DE")), "{bought}");
    let owned = desk.carrier.owned(ACCOUNT).remove(0);
    assert_eq!((owned.get("BundleSid"), owned.get("AddressSid")), (bundle.as_str(), address.as_str()));
    let (_, papers) = desk.get("/papers?country=DE&type=local").await;
    assert!(papers["bundles"][0]["warning"].is_string(), "{papers}");
    assert_eq!(desk.get("/papers?country=US&type=local").await.1["words"], Value::Null);
}

#[tokio::test]
async fn beyond_31_a_number_of_the_pool_talks_with_its_own_country_and_those_that_are_opened() {
    let desk = Desk::open("").await;
    let id = desk.bought(SAN_FRANCISCO).await;
    assert_eq!(desk.act(&id, "assign", json!({ "deployment": "spare" })).await.0, 200);
    let call = async |to: &str| {
        let body = json!({ "deployment": "spare", "to": to }).to_string();
        let request = reqwest::Client::new().post(desk.house.url("/v1/calls")).bearer_auth(API_TOKEN);
        let answer = request.header("idempotency-key", to).body(body).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON")["error"]["code"].clone())
    };
    desk.is_so("the pool is known", async || call("+33155550100").await == (422, json!("country_closed"))).await;
    assert_eq!(call("+19005550100").await, (422, json!("premium_number")));
    let foreign = async || match desk.carrier.ring(SAN_FRANCISCO, "+33155550100").await {
        Rung::Asked { twiml, .. } => twiml,
        other => panic!("{other:?}"),
    };
    assert!(!foreign().await.contains("<Stream"));
    let open = json!({ "calls_from": ["fr", "US"], "calls_to": ["FR"] });
    let (status, opened) = ask(&desk.house.url(""), Method::PATCH, &format!("/{id}"), None, Some(open)).await;
    assert_eq!((status, &opened["calls_from"]), (200, &json!(["FR", "US"])), "{opened}");
    assert!(foreign().await.contains("<Stream"));
    assert_ne!(call("+33155550101").await.1, "country_closed");
    let wrong = json!({ "calls_to": ["ZZ"] });
    assert_eq!(ask(&desk.house.url(""), Method::PATCH, &format!("/{id}"), None, Some(wrong)).await.0, 422);
}
