//! Who loses what they had while something is open, and who guesses at what they never had.

use std::time::{Duration, Instant};

use offhook::config::{Role, Secret};
use offhook::house::people::KeyWish;
use offhook::house::principal::{Principal, Scopes};
use offhook::store::people::{OrgSettings, People};
use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::house::{House, Plan, SECRET};

const PASSWORD: &str = "correct horse battery";

async fn house() -> (House, People) {
    let twilio = "[api]\ntoken = { env = \"SECRET\" }\n".to_owned();
    let house = House::build(Plan { twilio, ..Plan::default() }).await;
    let people = house.running.store().people();
    (house, people)
}

async fn key(people: &People) -> (String, String) {
    let wish =
        KeyWish { name: "ci".into(), role: Role::Builder, scopes: Scopes::all(), agents: None, expires_ms: None };
    let (key, secret) = people.add_key(&Principal::Operator, wish).await.expect("a key");
    (key.id, secret.expose().to_owned())
}

/// Opens a stream of events.
async fn stream(house: &House, header: &str, value: &str) -> Response {
    let request = Client::new().get(house.url("/api/v1/events")).header(header, value);
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer
}

/// Waits until a stream is over, and tells how long that took.
async fn over(mut stream: Response) -> Duration {
    let began = Instant::now();
    let ended = async { while stream.chunk().await.is_ok_and(|piece| piece.is_some()) {} };
    tokio::time::timeout(Duration::from_secs(9), ended).await.expect("the stream ends");
    began.elapsed()
}

#[tokio::test]
async fn acc_05_open_streams_end_when_whoever_watches_may_not_any_more() {
    let (house, people) = house().await;
    let operator = Principal::Operator;
    let hash = people.hasher().hash(Secret::new(PASSWORD)).await.expect("a hash");
    let mut sessions = Vec::new();
    for name in ["removed", "lowered", "out", "changed", "lacks"] {
        let (email, hash) = (format!("{name}@example.com"), Some(hash.clone()));
        let user = people.add_user(&operator, &email, Role::Admin, hash).await.expect("a user");
        let session = people.log_in(&user.id, "", "").await.expect("a session");
        let cookie = format!("offhook_session={}", session.secret.expose());
        let stream = stream(&house, "cookie", &cookie).await;
        sessions.push((user.id, session.session.id, cookie, stream));
    }
    let mut sessions = sessions.into_iter();
    let mut next = || sessions.next().expect("one more");
    let status = async |header: &str, value: &str| {
        let request = Client::new().get(house.url("/api/v1/events")).header(header, value);
        request.send().await.expect("an answer").status().as_u16()
    };
    // Not on a call's way: what is told is heard at once, and a look may have to wait half a second.
    let soon = Duration::from_secs(4);

    let (user, _, cookie, stream_) = next();
    people.remove_user(&operator, &user).await.expect("room");
    assert!(over(stream_).await < soon);
    assert_eq!(status("cookie", &cookie).await, 401);
    let (user, _, _, stream_) = next();
    people.set_role(&operator, &user, Role::Member).await.expect("room");
    assert!(over(stream_).await < soon);
    let (user, session, _, stream_) = next();
    people.log_out("ann", &user, &session).await.expect("room");
    assert!(over(stream_).await < soon);
    let (user, _, _, stream_) = next();
    people.set_password("ann", &user, hash.clone()).await.expect("room");
    assert!(over(stream_).await < soon);
    let (id, secret) = key(&people).await;
    let bearer = format!("Bearer {secret}");
    let stream_ = stream(&house, "authorization", &bearer).await;
    people.remove_key(&operator, &id).await.expect("room");
    assert!(over(stream_).await < soon);
    assert_eq!(status("authorization", &bearer).await, 401);
    // Those of others go on, until a second factor is asked of them; the token of [api] has none.
    let own = stream(&house, "authorization", &format!("Bearer {SECRET}")).await;
    let (_, _, cookie, lacks) = next();
    assert_eq!(status("cookie", &cookie).await, 200);
    people.set_settings("ann", OrgSettings { second_factor: true }).await.expect("room");
    assert!(over(lacks).await < soon);
    assert_eq!(status("cookie", &cookie).await, 403);
    let mut own = own;
    let silent = tokio::time::timeout(Duration::from_secs(1), own.chunk()).await;
    assert!(silent.is_err(), "it is open: {silent:?}");
    // Without any notice, as where a command beside the server changes its rows, within seconds.
    let (_, secret) = key(&people).await;
    let stream_ = stream(&house, "authorization", &format!("Bearer {secret}")).await;
    let database = format!("sqlite://{}", house.site.data().join("offhook.db").display());
    let database = sea_orm::Database::connect(database).await.expect("a database");
    sea_orm::ConnectionTrait::execute_unprepared(&database, "DELETE FROM api_keys").await.expect("room");
    over(stream_).await;
}

#[tokio::test]
async fn role_07_ten_thousand_guesses_from_one_address_shut_nobody_else_out() {
    const GUESSES: usize = 10_000;
    const AT_ONCE: usize = 8;
    let (house, people) = house().await;
    let hash = people.hasher().hash(Secret::new(PASSWORD)).await.expect("a hash");
    people.add_user(&Principal::Operator, "ann@example.com", Role::Owner, Some(hash)).await.expect("a user");
    let (_, secret) = key(&people).await;
    let (good, here, there) = (format!("Bearer {secret}"), "198.51.100.7", "203.0.113.9");
    let client = Client::new();
    let session = house.url("/api/v1/session");
    let with_key = async |from: &str, bearer: &str| {
        let request = client.get(&session).header("authorization", bearer).header("x-forwarded-for", from);
        request.send().await.expect("an answer").status().as_u16()
    };
    let log_in = async |from: &str, email: &str, password: &str| {
        let body = json!({ "email": email, "password": password });
        let request = client.post(house.url("/api/v1/log-in")).header("x-forwarded-for", from).json(&body);
        request.send().await.expect("an answer").status().as_u16()
    };
    // It was used from there before somebody began to guess there.
    assert_eq!(with_key(here, &good).await, 200);
    let began = Instant::now();
    let guess = async |n: usize| {
        if n.is_multiple_of(2) {
            // As a key looks, with a checksum that fits none.
            return with_key(here, &format!("Bearer oh_key_{n:049}")).await;
        }
        log_in(here, "ann@example.com", &format!("guess {n}")).await
    };
    let guesses = async |first: usize| {
        let mut answers = Vec::new();
        for n in (first..GUESSES).step_by(AT_ONCE) {
            answers.push((n.is_multiple_of(2), guess(n).await));
        }
        answers
    };
    let probes = async {
        let mut longest = Duration::ZERO;
        for n in 0..40 {
            let asked = Instant::now();
            assert_eq!(with_key(there, &good).await, 200, "another address");
            assert_eq!(with_key(here, &good).await, 200, "a good key of the same address");
            longest = longest.max(asked.elapsed());
            if n % 10 == 0 {
                // A password takes its time, and on a machine that is busy longer than a request may.
                let mut said = 408;
                while matches!(said, 408 | 503) {
                    said = log_in(&format!("203.0.113.{}", 10 + n), "ann@example.com", PASSWORD).await;
                }
                assert_eq!(said, 200, "{n}");
            }
        }
        longest
    };
    let (answers, longest) = tokio::join!(futures_util::future::join_all((0..AT_ONCE).map(guesses)), probes);
    let took = began.elapsed();
    let count = |keys: bool, status: u16| answers.iter().flatten().filter(|answer| **answer == (keys, status)).count();
    assert_eq!(answers.iter().map(Vec::len).sum::<usize>(), GUESSES);
    assert_eq!(
        [(true, 401), (true, 429), (false, 401), (false, 408), (false, 429)]
            .map(|(keys, status)| count(keys, status))
            .iter()
            .sum::<usize>(),
        GUESSES,
        "nothing else"
    );
    // What the store was asked: fifty at once, and five a second.
    let most = 50 + 5 * (took.as_secs() as usize + 2);
    assert!(count(true, 401) >= 1 && count(true, 401) <= most, "{} of keys in {took:?}", count(true, 401));
    assert!(count(false, 401) <= 10, "{} passwords were looked at", count(false, 401));
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    println!("{GUESSES} guesses in {took:?}; others waited {longest:?} at most for two requests");
    // The one who guessed is heard again after a while.
    assert!(house.metric("offhook_api_limited_total{of=\"guesses 198.51.100.7\"}") > 1_000);
}

#[tokio::test]
async fn role_07_a_log_in_takes_as_long_for_nobody_as_for_somebody() {
    let (house, people) = house().await;
    let hash = people.hasher().hash(Secret::new(PASSWORD)).await.expect("a hash");
    people.add_user(&Principal::Operator, "ann@example.com", Role::Owner, Some(hash)).await.expect("a user");
    people.add_user(&Principal::Operator, "ben@example.com", Role::Member, None).await.expect("a user");
    let client = Client::new();
    let who = ["ann@example.com", "ben@example.com", "nobody@example.com"];
    let mut took = [const { Vec::new() }; 3];
    let mut said: Vec<Value> = Vec::new();
    for n in 0..9 {
        for (which, email) in who.iter().enumerate() {
            // Each from an address of its own: guesses of one are bounded.
            let from = format!("198.51.{which}.{n}");
            let body = json!({ "email": email, "password": "wrong and long enough" });
            let request = client.post(house.url("/api/v1/log-in")).header("x-forwarded-for", from).json(&body);
            let began = Instant::now();
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status(), 401);
            let body = answer.json().await.expect("a problem");
            took[which].push(began.elapsed());
            said.push(body);
        }
    }
    assert!(said.iter().all(|body| *body == said[0]), "all hear the same: {said:?}");
    let medians = took.map(|mut all| {
        all.sort();
        all[all.len() / 2]
    });
    println!("a known address, one without a password, an unknown one: {medians:?}");
    let (least, most) = (medians.iter().min().expect("three"), medians.iter().max().expect("three"));
    // Without the password that is looked at in vain it would be a hundredth.
    assert!(most.as_secs_f64() / least.as_secs_f64() < 2.0, "{medians:?}");
}
