//! Who may do what, asked over real sockets.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use offhook::config::{Role, Secret};
use offhook::house::people::KeyWish;
use offhook::house::principal::{Principal, Scopes};
use offhook::house::routes::{ROUTES, Route, may};
use offhook::store::people::{People, User};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::house::{House, Plan, SECRET, Site, TOKEN};
use crate::survival::signal;

const PASSWORD: &str = "correct horse battery";
const SAME: (&str, &str) = ("sec-fetch-site", "same-origin");

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }

    /// The cookie that it sets, as a browser sends it back.
    fn cookie(&self) -> String {
        let set = self.headers.get("set-cookie").and_then(|value| value.to_str().ok()).expect("a cookie");
        set.split(';').next().expect("a pair").to_owned()
    }
}

/// Asks; waits where it came too soon.
async fn ask(url: &str, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
    let client = reqwest::Client::new();
    loop {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = client.request(method, format!("{url}{path}"));
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            request = request.header(name, HeaderValue::from_str(value).expect("a value"));
        }
        if let Some(body) = &body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
        // A stream of events has no end.
        let text = if kind.contains("json") { answer.text().await.expect("a body") } else { String::new() };
        let body = serde_json::from_str(&text).unwrap_or_default();
        let answer = Answer { status, headers, body };
        if answer.code() != (429, "rate") {
            return answer;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn log_in(url: &str, email: &str, password: &str, from: &str) -> Answer {
    let body = json!({ "email": email, "password": password });
    ask(url, "POST", "/api/v1/log-in", &[("x-forwarded-for", from)], Some(body)).await
}

async fn house() -> (House, People) {
    let twilio = "[api]\ntoken = { env = \"SECRET\" }\n[store]\nseal_key = { env = \"SEAL_KEY\" }\n".to_owned();
    let house = House::build(Plan { twilio, ..Plan::default() }).await;
    let people = house.running.store().people();
    (house, people)
}

async fn users(people: &People) -> BTreeMap<Role, User> {
    let hash = people.hasher().hash(Secret::new(PASSWORD)).await.expect("a hash");
    let mut users = BTreeMap::new();
    for (name, role) in Role::ALL {
        let email = format!("{name}@example.com");
        let user = people.add_user(&Principal::Operator, &email, role, Some(hash.clone())).await.expect("a user");
        users.insert(role, user);
    }
    users
}

#[tokio::test]
async fn role_07_the_link_that_is_printed_makes_the_first_owner_once_and_no_secret_is_logged() {
    let twilio = "[log]\nfilter = \"trace\"\n[api]\ntoken = { env = \"SECRET\" }\n".to_owned();
    let site = Site::build(&Plan { twilio, ..Plan::default() }).await;
    let log = site.dir.path().join("log");
    let start = || {
        let mut server = Command::new(env!("CARGO_BIN_EXE_offhook"))
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(site.config())
            .arg("--data")
            .arg(site.data())
            .env("TOKEN", TOKEN)
            .env("SECRET", SECRET)
            .stdout(Stdio::piped())
            .stderr(std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log"))
            .spawn()
            .expect("the binary");
        let mut banner = Vec::new();
        for line in BufReader::new(server.stdout.take().expect("a pipe")).lines() {
            banner.push(line.expect("a line"));
            if banner.last().is_some_and(|line| line.contains("calls kept in")) {
                break;
            }
        }
        (server, banner)
    };
    let (mut server, banner) = start();
    let url = banner[0].rsplit(' ').next().expect("an address").to_owned();
    let line = banner.iter().find(|line| line.contains("first owner")).expect("a link");
    let link = line.split_whitespace().find(|word| word.starts_with("http")).expect("a link").to_owned();
    let path = &link[link.find("/welcome/").expect("a path")..];
    let good = ask(&url, "GET", path, &[], None).await;
    assert_eq!((good.status, good.body["kind"].as_str()), (200, Some("first")));
    let short = json!({ "email": "ann@example.com", "password": "short" });
    assert_eq!(ask(&url, "POST", path, &[], Some(short)).await.code(), (422, "password"));
    let ann = json!({ "email": "Ann@Example.com", "password": PASSWORD });
    let made = ask(&url, "POST", path, &[], Some(ann.clone())).await;
    assert_eq!((made.status, made.body["user"]["role"].as_str()), (201, Some("owner")));
    assert_eq!(ask(&url, "POST", path, &[], Some(ann)).await.code(), (410, "link_over"));
    assert_eq!(ask(&url, "GET", &format!("/api/v1{path}"), &[], None).await.status, 410);
    // What she gets then is in no log either.
    let cookie = made.cookie();
    let session = log_in(&url, "ann@example.com", PASSWORD, "203.0.113.9").await;
    assert_eq!(session.status, 200);
    let wish = json!({ "name": "ci", "role": "builder" });
    let key = ask(&url, "POST", "/api/v1/tokens", &[("cookie", &cookie), SAME], Some(wish)).await;
    let key = key.body["key"].as_str().expect("a key").to_owned();
    let bearer = format!("Bearer {key}");
    assert_eq!(ask(&url, "GET", "/api/v1/session", &[("authorization", &bearer)], None).await.body["name"], "ci");
    // The terminal, beside the server: another owner, and a list.
    let offhook = |args: &[&str]| {
        let ran = Command::new(env!("CARGO_BIN_EXE_offhook"))
            .args(args)
            .args(["--data", &site.data().display().to_string(), "--config", &site.config().display().to_string()])
            .output()
            .expect("the binary");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).expect("text")
    };
    let printed = offhook(&["users", "add", "ben@example.com", "--role", "admin"]);
    let printed = printed[printed.find("/welcome/").expect("a link")..].trim().to_owned();
    let ben = json!({ "password": PASSWORD });
    assert_eq!(ask(&url, "POST", &printed, &[], Some(ben)).await.body["user"]["email"], "ben@example.com");
    assert!(offhook(&["users", "list"]).contains("ben@example.com"));
    let own = offhook(&["tokens", "create", "laptop", "--role", "owner", "--scope", "*:read"]);
    let bearer = format!("Bearer {}", own.trim());
    let keys = ask(&url, "GET", "/api/v1/tokens", &[("authorization", &bearer)], None).await;
    let id = keys.body["items"][0]["id"].as_str().expect("an id").to_owned();
    offhook(&["tokens", "revoke", &id]);
    assert_eq!(ask(&url, "GET", "/api/v1/tokens", &[("authorization", &bearer)], None).await.status, 401);
    signal(&server, "TERM");
    server.wait().expect("an end");
    let (mut server, banner) = start();
    signal(&server, "TERM");
    server.wait().expect("an end");
    assert!(!banner.iter().any(|line| line.contains("first owner")), "there is one");
    let log = std::fs::read_to_string(log).expect("a log");
    let token = path.rsplit('/').next().expect("a token");
    let said = cookie.split('=').nth(1).expect("a value");
    for secret in [token, PASSWORD, said, &key, own.trim(), SECRET, printed.rsplit('/').next().expect("a token")] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn role_07_a_log_in_begins_a_session_of_its_own_and_other_sites_cannot_use_it() {
    let (house, people) = house().await;
    let (url, users) = (house.url(""), users(&people).await);
    let ann = &users[&Role::Admin];
    // What a browser had before, planted or not, is not taken up.
    let planted = people.log_in(&users[&Role::Member].id, "", "").await.expect("a session");
    let planted = format!("offhook_session={}", planted.secret.expose());
    let body = json!({ "email": ann.email, "password": PASSWORD });
    let headers = [("cookie", planted.as_str()), SAME];
    let answer = ask(&url, "POST", "/api/v1/log-in", &headers, Some(body.clone())).await;
    let cookie = answer.cookie();
    assert!(answer.status == 200 && cookie != planted);
    let set = answer.headers["set-cookie"].to_str().expect("text");
    assert!(set.contains("HttpOnly; SameSite=Lax; Path=/"), "{set}");
    let me = ask(&url, "GET", "/api/v1/session", &[("cookie", &cookie)], None).await;
    assert_eq!((me.body["name"].as_str(), me.body["role"].as_str()), (Some("admin@example.com"), Some("admin")));
    // By another name of this server the cookie needs TLS.
    let answer = ask(&url, "POST", "/api/v1/log-in", &[("host", "calls.example.com")], Some(body)).await;
    let set = answer.headers["set-cookie"].to_str().expect("text");
    assert!(set.starts_with("__Host-offhook=oh_ses_") && set.contains("; Secure;"), "{set}");
    // Changes that another site makes a browser ask for, or that nobody says where they come from.
    let host = url.trim_start_matches("http://");
    let own = format!("http://{host}");
    for (headers, status) in [
        (vec![], 403),
        (vec![("sec-fetch-site", "cross-site")], 403),
        (vec![("sec-fetch-site", "same-site"), ("origin", own.as_str())], 403),
        (vec![("origin", "https://evil.example")], 403),
        (vec![("origin", "null")], 403),
        (vec![("origin", own.as_str())], 200),
        (vec![SAME], 200),
    ] {
        let headers = [&[("cookie", cookie.as_str())], headers.as_slice()].concat();
        let answer = ask(&url, "PATCH", "/api/v1/org", &headers, Some(json!({}))).await;
        assert_eq!(answer.status, status, "{headers:?} {}", answer.body);
    }
    let forged = [("origin", "https://evil.example")];
    let body = json!({ "email": ann.email, "password": PASSWORD });
    assert_eq!(ask(&url, "POST", "/api/v1/log-in", &forged, Some(body)).await.code(), (403, "forged"));
    // A new password ends all sessions but the one that comes with the answer; log-out ends that.
    let change = json!({ "password": PASSWORD, "new_password": "another good one" });
    let headers = [("cookie", cookie.as_str()), SAME];
    let changed = ask(&url, "POST", "/api/v1/session/password", &headers, Some(change)).await;
    assert_eq!(
        ask(&url, "GET", "/api/v1/session", &[("cookie", &cookie)], None).await.code(),
        (401, "unauthenticated")
    );
    let cookie = changed.cookie();
    let headers = [("cookie", cookie.as_str()), SAME];
    assert_eq!(ask(&url, "GET", "/api/v1/session/all", &headers, None).await.body["items"][0]["current"], true);
    assert_eq!(ask(&url, "POST", "/api/v1/log-out", &headers, None).await.status, 204);
    assert_eq!(ask(&url, "GET", "/api/v1/session", &headers, None).await.status, 401);
}

#[tokio::test]
async fn role_07_a_second_factor_is_asked_for_where_the_organization_wants_it() {
    let (house, people) = house().await;
    let (url, users) = (house.url(""), users(&people).await);
    let owner = format!("Bearer {SECRET}");
    let owner = [("authorization", owner.as_str())];
    let demand = ask(&url, "PATCH", "/api/v1/org", &owner, Some(json!({ "second_factor": true }))).await;
    assert_eq!(demand.body["second_factor"], true);
    let email = &users[&Role::Builder].email;
    let answer = log_in(&url, email, PASSWORD, "192.0.2.1").await;
    assert_eq!((answer.status, &answer.body["lacks_second_factor"]), (200, &json!(true)));
    let cookie = answer.cookie();
    let headers = [("cookie", cookie.as_str()), SAME];
    assert_eq!(ask(&url, "GET", "/api/v1/models", &headers, None).await.code(), (403, "second_factor"));
    let proof = json!({ "password": PASSWORD });
    let factor = ask(&url, "POST", "/api/v1/session/factor", &headers, Some(proof.clone())).await;
    let secret = Secret::new(factor.body["secret"].as_str().expect("a secret"));
    let now_s = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs();
    let code = |later_s| offhook::store::people::factor_code(&secret, now_s() + later_s).expect("a code");
    let confirm = json!({ "code": code(0) });
    let recovery = ask(&url, "POST", "/api/v1/session/factor/confirm", &headers, Some(confirm)).await;
    let recovery = recovery.body["recovery_codes"][0].as_str().expect("a code").to_owned();
    assert_eq!(ask(&url, "GET", "/api/v1/models", &headers, None).await.status, 200);
    assert_eq!(ask(&url, "POST", "/api/v1/session/factor/drop", &headers, Some(proof)).await.status, 409);
    // From now on the password is half of it.
    assert_eq!(log_in(&url, email, PASSWORD, "192.0.2.1").await.code(), (401, "second_factor_needed"));
    let with = async |code: String| {
        let body = json!({ "email": email, "password": PASSWORD, "code": code });
        ask(&url, "POST", "/api/v1/log-in", &[("x-forwarded-for", "192.0.2.1")], Some(body)).await
    };
    assert_eq!(with("000000".into()).await.code(), (401, "second_factor_wrong"));
    let next = code(30);
    assert_eq!(with(next.clone()).await.status, 200);
    assert_eq!(with(next).await.code(), (401, "second_factor_wrong"), "used");
    assert_eq!(with(recovery.clone()).await.status, 200);
    assert_eq!(with(recovery).await.code(), (401, "second_factor_wrong"), "used");
}

#[tokio::test]
async fn role_01_owners_who_unmake_each_other_at_once_leave_one() {
    let (house, people) = house().await;
    let (url, users) = (house.url(""), users(&people).await);
    let ann = &users[&Role::Owner];
    let owner = format!("Bearer {SECRET}");
    let owner = [("authorization", owner.as_str())];
    let path = format!("/api/v1/members/{}", ann.id);
    let last = ask(&url, "PATCH", &path, &owner, Some(json!({ "role": "admin" }))).await;
    assert_eq!((last.code(), &last.body["detail"]), ((409, "last_owner"), &json!("An organization needs an owner.")));
    assert_eq!(ask(&url, "DELETE", &path, &owner, None).await.code(), (409, "last_owner"));
    let ben = &users[&Role::Admin];
    let admin = people.log_in(&ben.id, "", "").await.expect("a session");
    let admin = format!("offhook_session={}", admin.secret.expose());
    let body = json!({ "role": "owner" });
    let own = format!("/api/v1/members/{}", ben.id);
    let refused = ask(&url, "PATCH", &own, &[("cookie", &admin), SAME], Some(body.clone())).await;
    assert_eq!(refused.body["detail"], "This needs the role Owner.");
    assert_eq!(ask(&url, "PATCH", &own, &owner, Some(body)).await.status, 200);
    let mut sessions = Vec::new();
    for user in [ann, ben] {
        let new = people.log_in(&user.id, "", "").await.expect("a session");
        sessions.push(format!("offhook_session={}", new.secret.expose()));
    }
    let demote = async |cookie: &str, path: &str| {
        ask(&url, "PATCH", path, &[("cookie", cookie), SAME], Some(json!({ "role": "member" }))).await.status
    };
    let (a, b) = tokio::join!(demote(&sessions[0], &own), demote(&sessions[1], &path));
    assert!((a == 200) != (b == 200), "{a} {b}");
    let members = ask(&url, "GET", "/api/v1/members?limit=100", &owner, None).await;
    let owners = members.body["items"].as_array().expect("items").iter().filter(|one| one["role"] == "owner").count();
    assert_eq!(owners, 1);
    let who = ask(&url, "GET", "/api/v1/audit?action=user.role", &owner, None).await;
    assert_eq!(who.body["items"].as_array().map(Vec::len), Some(2), "{}", who.body);
}

#[tokio::test]
async fn role_07_guesses_are_refused_and_lock_nobody_else_out() {
    let (house, people) = house().await;
    let (url, users) = (house.url(""), users(&people).await);
    let (ann, ben) = (&users[&Role::Admin].email, &users[&Role::Builder].email);
    let client = reqwest::Client::new();
    let guess = async |n: usize| {
        let body = json!({ "email": ann, "password": format!("guess number {n}") }).to_string();
        let request = client.post(format!("{url}/api/v1/log-in")).header("content-type", "application/json");
        let answer = request.header("x-forwarded-for", "203.0.113.1").body(body).send().await.expect("an answer");
        let waits = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        (answer.status().as_u16(), waits)
    };
    let (mut heard, mut refused) = (0, 0);
    for n in 0..500 {
        match guess(n).await {
            (401, _) => heard += 1,
            (429, Some(wait)) if wait >= 1 => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(heard <= 10 && heard + refused == 500, "{heard} heard");
    // The right password from there is refused like the rest; from elsewhere, and for others from there, it is not.
    assert_eq!(log_in(&url, ann, PASSWORD, "203.0.113.1").await.code(), (429, "attempts"));
    assert_eq!(log_in(&url, ann, PASSWORD, "198.51.100.7").await.status, 200);
    assert_eq!(log_in(&url, ben, PASSWORD, "203.0.113.1").await.status, 200);
    // Who is not known is told the same as who is.
    let (known, unknown) = (
        log_in(&url, ben, "wrong password", "198.51.100.8").await,
        log_in(&url, "nobody@example.com", "wrong password", "198.51.100.8").await,
    );
    assert_eq!((known.status, &known.body), (unknown.status, &unknown.body));
    // What is longer than any address is remembered as one, and not by its length.
    let mut last = 0;
    for n in 0..11 {
        last = log_in(&url, &format!("{}{n}", "x".repeat(50_000)), "wrong password", "198.51.100.9").await.status;
    }
    assert_eq!(last, 429);
}

#[tokio::test]
async fn api_02_api_03_a_key_reads_is_told_the_scope_it_lacks_and_is_dead_once_deleted() {
    let (house, _) = house().await;
    let url = house.url("");
    let owner = format!("Bearer {SECRET}");
    let owner = [("authorization", owner.as_str())];
    let wish = json!({ "name": "reader", "role": "admin", "scopes": ["*:read"], "agents": null });
    let made = ask(&url, "POST", "/api/v1/tokens", &owner, Some(wish)).await;
    let id = made.body["id"].as_str().expect("an id").to_owned();
    let key = format!("Bearer {}", made.body["key"].as_str().expect("a key"));
    let key = [("authorization", key.as_str())];
    assert_eq!((made.status, made.body["key"].as_str().map(str::len)), (201, Some(54)));
    assert_eq!(ask(&url, "GET", "/api/v1/tokens", &key, None).await.status, 200);
    let refused = ask(&url, "POST", "/api/v1/tokens", &key, Some(json!({ "name": "x", "role": "member" }))).await;
    assert_eq!(refused.code(), (403, "scope"));
    assert_eq!(refused.body["detail"], "This key needs the scope tokens:write.");
    let shown = ask(&url, "GET", &format!("/api/v1/tokens/{id}"), &key, None).await;
    assert_eq!((shown.body["key"].as_str(), shown.body["rotate"].as_str()), (None, None));
    for (wish, code) in [
        (json!({ "name": "", "role": "member" }), "name"),
        (json!({ "name": "x", "role": "member", "scopes": ["all"] }), "scopes"),
        (json!({ "name": "x", "role": "member", "agents": ["nobody"] }), "agents"),
        (json!({ "name": "x", "role": "member", "expires": "2001-01-01" }), "expires"),
        (json!({ "name": "x", "role": "member", "scope": [] }), "body"),
    ] {
        assert_eq!(ask(&url, "POST", "/api/v1/tokens", &owner, Some(wish)).await.code(), (422, code));
    }
    // Bound to an agent, it reaches that one's tokens: no, since it could make itself others.
    let bound = json!({ "name": "bound", "role": "owner", "agents": ["mia"] });
    let bound = ask(&url, "POST", "/api/v1/tokens", &owner, Some(bound)).await;
    let bound = format!("Bearer {}", bound.body["key"].as_str().expect("a key"));
    let bound = [("authorization", bound.as_str())];
    assert_eq!(ask(&url, "GET", "/api/v1/tokens", &bound, None).await.code(), (403, "scope"));
    assert_eq!(ask(&url, "GET", "/api/v1/agents/mia/access-tokens", &bound, None).await.code(), (403, "scope"));
    assert_eq!(ask(&url, "DELETE", &format!("/api/v1/tokens/{id}"), &owner, None).await.status, 204);
    assert_eq!(ask(&url, "GET", "/api/v1/tokens", &key, None).await.code(), (401, "unauthenticated"));
    // An agent's access token and password.
    let token = ask(&url, "POST", "/api/v1/agents/mia/access-tokens", &owner, Some(json!({ "name": "partner" }))).await;
    assert!(token.body["token"].as_str().is_some_and(|token| token.starts_with("oh_tok_")), "{}", token.body);
    assert_eq!(ask(&url, "GET", "/api/v1/agents/nobody/access-tokens", &owner, None).await.status, 404);
    let listed = ask(&url, "GET", "/api/v1/agents/mia/access-tokens", &owner, None).await;
    assert_eq!(listed.body["items"][0]["token"], Value::Null);
    let password = json!({ "password": "open sesame please" });
    assert_eq!(ask(&url, "PUT", "/api/v1/agents/mia/password", &owner, Some(password)).await.status, 204);
    assert_eq!(ask(&url, "GET", "/api/v1/agents/mia/password", &owner, None).await.body["set"], true);
    let done = ask(&url, "GET", &format!("/api/v1/audit?object={id}"), &owner, None).await;
    let done: Vec<_> = done.body["items"].as_array().expect("items").iter().map(|one| one["action"].clone()).collect();
    assert_eq!(done, ["key.remove", "key.add"]);
    let refused = ask(&url, "GET", "/api/v1/audit?action=access.refused", &owner, None).await;
    assert!(refused.body["items"].as_array().is_some_and(|items| !items.is_empty()));
}

/// A principal and what it shows.
type Shown = (Principal, Vec<(&'static str, String)>);

async fn shown(people: &People, users: &BTreeMap<Role, User>) -> Vec<Shown> {
    let mut all = vec![(Principal::Nobody, vec![])];
    for (role, user) in users {
        let new = people.log_in(&user.id, "", "").await.expect("a session");
        let (id, email, session) = (user.id.clone(), user.email.clone(), new.session.id);
        let cookie = format!("offhook_session={}", new.secret.expose());
        let headers = vec![("cookie", cookie), (SAME.0, SAME.1.to_owned())];
        all.push((Principal::User { id, email, role: *role, session, lacks_factor: false }, headers));
    }
    all
}

#[tokio::test]
async fn role_08_every_route_answers_every_kind_of_principal_as_the_table_says() {
    let (house, people) = house().await;
    let (url, users) = (house.url(""), users(&people).await);
    let bearer = |secret: &str| vec![("authorization", format!("Bearer {secret}"))];
    let key = async |scopes: &[&str], agents: Option<Vec<String>>| {
        let scopes = Scopes::parse(scopes).expect("scopes");
        let wish = KeyWish { name: "walk".into(), role: Role::Owner, scopes, agents, expires_ms: None };
        let (key, secret) = people.add_key(&Principal::Operator, wish).await.expect("a key");
        (key.principal(), bearer(secret.expose()))
    };
    let (token, secret) = people.add_access(&Principal::Operator, "mia", "walk", None).await.expect("a token");
    let fixed = vec![
        key(&["*:read"], None).await,
        key(&["calls:write"], None).await,
        key(&["*:write"], Some(vec!["mia".to_owned()])).await,
        (Principal::Access { id: token.id, agent: token.agent }, bearer(secret.expose())),
    ];
    let mut wrong = Vec::new();
    for route in ROUTES {
        // Anew for each: some requests end sessions.
        let all = shown(&people, &users).await.into_iter().chain(fixed.clone());
        for (who, headers) in all {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = ask(&url, route.method, &filled(route), &headers, Some(json!({}))).await;
            let told = answer.code();
            let fits = match may(&who, route) {
                Err(no) => told == (no.status, no.code),
                // Whatever else is wrong with it. A rule about the thing itself may say the same of a role.
                Ok(()) => {
                    let bound = matches!(&who, Principal::Key { agents: Some(_), .. });
                    bound || !matches!(told, (401, "unauthenticated") | (403, "scope" | "role"))
                }
            };
            if !fits {
                wrong.push(format!("{} {} for {who:?}: {told:?}", route.method, route.path));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test]
async fn api_04_a_parameter_that_a_request_does_not_have_is_refused_and_nothing_is_done() {
    let (house, people) = house().await;
    let (url, users) = (house.url(""), users(&people).await);
    let owner = log_in(&url, "owner@example.com", PASSWORD, "192.0.2.1").await.cookie();
    let owner = [("cookie", owner.as_str()), SAME];
    let mut wrong = Vec::new();
    for route in ROUTES {
        let path = format!("{}?nonsense=1", filled(route));
        let told = ask(&url, route.method, &path, &owner, Some(json!({}))).await;
        if told.code() != (422, "parameter") {
            wrong.push(format!("{} {}: {:?}", route.method, route.path, told.code()));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    // To be asked what would be is not to do it.
    let member = format!("/api/v1/members/{}?dry_run=true", users[&Role::Member].id);
    assert_eq!(ask(&url, "DELETE", &member, &owner, None).await.code(), (422, "parameter"));
    assert!(people.user(&users[&Role::Member].id).await.is_ok());
}

#[tokio::test]
async fn dep_05_access_tokens_and_the_password_of_an_agent_are_dead_once_it_is_deleted() {
    let (house, people) = house().await;
    let (_, secret) = people.add_access(&Principal::Operator, "mia", "partner", None).await.expect("a token");
    let hash = people.hasher().hash(Secret::new(PASSWORD)).await.expect("a hash");
    people.set_agent_password(&Principal::Operator, "mia", Some(hash)).await.expect("a password");
    let known = async || {
        let token = people.access_of(secret.expose()).await.expect("the store");
        (token.is_some(), people.agent_password("mia").await.expect("the store").is_some())
    };
    let api = [("authorization", format!("Bearer {SECRET}"))];
    let api: Vec<_> = api.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let told = ask(&house.url(""), "DELETE", "/api/v1/agents/mia?dry_run=true", &api, None).await;
    assert_eq!((told.status, known().await), (200, (true, true)));
    let gone = ask(&house.url(""), "DELETE", "/api/v1/agents/mia", &api, None).await;
    assert_eq!((gone.status, known().await), (204, (false, false)));
}

/// The path, with ids of what is not there.
fn filled(route: &Route) -> String {
    let parts = route.path.split('/').map(|part| if part.starts_with('{') { "none" } else { part });
    parts.collect::<Vec<_>>().join("/")
}
