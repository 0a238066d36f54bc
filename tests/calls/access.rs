//! Who is known on the phone: by an attested number, or by number and PIN, before any model is asked; and who is not.

use std::collections::VecDeque;
use std::path::Path;

use offhook::config::{Role, Secret};
use offhook::house::callers::{AGAIN, ASK};
use offhook::house::principal::Principal;
use offhook::stage::phone::{CallOptions, Outcome, Step};
use offhook::store::{Desk, Store};

use crate::house::{House, Plan, Site, TOKEN, place, until, write};
use crate::tools::Logs;

/// Twilio's word for a number that nobody vouches for fully.
const PARTLY: &str = "TN-Validation-Passed-B";
const REFUSED: &str = "I am sorry, this line is for members only. Goodbye.";
const PIN: &str = "73910486";
const ANN: &str = "+15550107001";
const BOB: &str = "+15550107002";
/// Anyone of the organization; builders and above; Bob alone; an internal agent that says public.
const TEAM: &str = "+15550107101";
const BUILDERS: &str = "+15550107102";
const BOBS: &str = "+15550107103";
const SECRET: &str = "+15550107104";

/// A server with deployments that are not for everybody, and two members: Ann, who has a PIN, and Bob, an admin who has none.
async fn house() -> (House, Desk) {
    let site = Site::build(&Plan::default()).await;
    let agent = "model = \"scripted\"\ninstructions = \"Be kind.\"\nvisibility = \"internal\"\n";
    write(&site.config().join("agents/secret.toml"), agent);
    for (name, number, agent, access) in [
        ("team", TEAM, "mia", "\"organization\""),
        ("builders", BUILDERS, "mia", "{ role = \"builder\" }"),
        ("bobs", BOBS, "mia", "{ members = [\"bob@example.test\"] }"),
        ("secret", SECRET, "secret", "\"public\""),
    ] {
        let text = format!("agent = \"{agent}\"\nnumber = \"{number}\"\naccess = {access}\n");
        write(&site.config().join(format!("deployments/{name}.toml")), &text);
    }
    let house = House::open(site, None).await;
    let desk = Store::open(&house.site.data(), None).await.expect("the store");
    for (email, role, number) in [("ann@example.test", Role::Member, ANN), ("bob@example.test", Role::Admin, BOB)] {
        desk.people().add_user(&Principal::Operator, email, role, None).await.expect("a user");
        desk.callers().add("terminal", email, number).await.expect("a number");
    }
    desk.callers().set_pin("terminal", "ann@example.test", Secret::new(PIN)).await.expect("a PIN");
    (house, desk)
}

fn caller(house: &House, from: &str, to: &str, verstat: &str, keyed: &[&str]) -> CallOptions {
    CallOptions {
        from: from.to_owned(),
        to: to.to_owned(),
        verstat: Some(verstat.to_owned()),
        keyed: keyed.iter().map(|keys| (*keys).to_owned()).collect::<VecDeque<_>>(),
        ..house.caller(vec![Step::HangUp])
    }
}

/// Whether they got in, what the carrier said, and whether a model was asked for it.
async fn met(house: &House, call: CallOptions) -> (bool, Vec<String>, bool) {
    let before = house.site.model.sessions_ever();
    let heard = place(call).await;
    let is_in = heard.outcome == Outcome::Connected;
    assert!(is_in || matches!(heard.outcome, Outcome::Refused { .. }), "{:?}", heard.outcome);
    if is_in {
        // It is dialled when the call is let in, and the caller hangs up at once.
        until("the model is asked", || house.site.model.sessions_ever() > before).await;
    }
    (is_in, heard.said, house.site.model.sessions_ever() > before)
}

#[tokio::test]
async fn acc_06_acc_07_who_is_known_gets_in_and_who_is_not_costs_nothing() {
    let (house, desk) = house().await;
    let full = "TN-Validation-Passed-A";
    let refused = |said: &[&str]| (false, said.iter().map(|said| (*said).to_owned()).collect::<Vec<_>>(), false);
    let in_after = |said: &[&str]| (true, said.iter().map(|said| (*said).to_owned()).collect::<Vec<_>>(), true);
    let keyed = format!("{PIN}#");
    for (what, call, expected) in [
        ("nobody knows them", caller(&house, "+15550107999", TEAM, full, &[]), refused(&[REFUSED])),
        ("they hide their number", caller(&house, "anonymous", TEAM, full, &[]), refused(&[REFUSED])),
        ("attested", caller(&house, ANN, TEAM, full, &[]), in_after(&[])),
        ("by PIN", caller(&house, ANN, TEAM, PARTLY, &[&keyed]), in_after(&[ASK])),
        ("by PIN without a key to end it", caller(&house, ANN, SECRET, PARTLY, &[PIN]), in_after(&[ASK])),
        ("at the second try", caller(&house, ANN, TEAM, "", &["1#", &keyed]), in_after(&[ASK, AGAIN])),
        (
            "attested by one that was diverted",
            caller(&house, BOB, TEAM, "TN-Validation-Passed-A-Diverted", &[]),
            refused(&[REFUSED]),
        ),
        ("no PIN and not attested", caller(&house, BOB, TEAM, PARTLY, &[]), refused(&[REFUSED])),
        ("below the least role", caller(&house, ANN, BUILDERS, full, &[]), refused(&[REFUSED])),
        ("below it, no PIN is asked for", caller(&house, ANN, BUILDERS, PARTLY, &[&keyed]), refused(&[REFUSED])),
        ("an admin", caller(&house, BOB, BUILDERS, full, &[]), in_after(&[])),
        ("off the list", caller(&house, ANN, BOBS, full, &[]), refused(&[REFUSED])),
        ("on the list", caller(&house, BOB, BOBS, full, &[]), in_after(&[])),
        (
            "vis_03: an internal agent that is public",
            caller(&house, "+15550107999", SECRET, full, &[]),
            refused(&[REFUSED]),
        ),
        ("nothing is keyed in", caller(&house, ANN, TEAM, PARTLY, &[]), refused(&[ASK, AGAIN, AGAIN, REFUSED])),
        (
            "three wrong ones",
            caller(&house, ANN, TEAM, PARTLY, &["90417#", "90418#", "90419#"]),
            refused(&[ASK, AGAIN, AGAIN, REFUSED]),
        ),
        // Now no PIN of hers is looked at, not even the right one; and she gets in all the same.
        ("while it is paused", caller(&house, ANN, TEAM, PARTLY, &[&keyed]), refused(&[REFUSED])),
        ("attested while it is paused", caller(&house, ANN, TEAM, full, &[]), in_after(&[])),
    ] {
        assert_eq!(met(&house, call).await, expected, "{what}");
    }
    assert_eq!(house.metric("offhook_callers_total{how=\"right\"}"), 3);
    assert_eq!(house.metric("offhook_callers_total{how=\"paused\"}"), 1);
    // A new PIN has new tries; who leaves the organization has none.
    desk.callers().set_pin("terminal", "ann@example.test", Secret::new("19283746")).await.expect("a PIN");
    assert_eq!(met(&house, caller(&house, ANN, TEAM, PARTLY, &["19283746#"])).await, in_after(&[ASK]));
}

#[tokio::test]
async fn acc_05_who_is_removed_or_loses_the_role_is_refused_at_the_next_call() {
    let (house, desk) = house().await;
    let full = "TN-Validation-Passed-A";
    let people = desk.people();
    let of = async |email: &str| people.user_of(email).await.expect("a store").expect("a user").id;
    let is_in = async |from: &str, to: &str| met(&house, caller(&house, from, to, full, &[])).await.0;
    assert!(is_in(BOB, BUILDERS).await && is_in(ANN, TEAM).await);
    people.set_role(&Principal::Operator, &of("bob@example.test").await, Role::Member).await.expect("a role");
    assert!(!is_in(BOB, BUILDERS).await, "he is no builder any more");
    assert!(is_in(BOB, TEAM).await, "and a member still");
    // A call that is up goes on; the next is refused.
    let talking = tokio::spawn(place(CallOptions {
        from: ANN.to_owned(),
        to: TEAM.to_owned(),
        ..house.caller(vec![Step::Silence(1_500), Step::HangUp])
    }));
    until("she talks", || !house.running.calls().is_empty()).await;
    people.remove_user(&Principal::Operator, &of("ann@example.test").await).await.expect("no user");
    let (is_in, said, asked) = met(&house, caller(&house, ANN, TEAM, full, &[])).await;
    assert_eq!((is_in, said, asked), (false, vec![REFUSED.to_owned()], false));
    assert_eq!(talking.await.expect("a call").outcome, Outcome::Connected);
}

#[tokio::test]
async fn acc_07_a_caller_who_is_refused_makes_no_connection_at_the_model_and_leaves_no_call() {
    let (house, _desk) = house().await;
    for (from, to, keyed) in [("+15550107999", TEAM, &[][..]), (ANN, BOBS, &[]), (ANN, TEAM, &["1#", "2#", "3#"])] {
        let heard = place(caller(&house, from, to, PARTLY, keyed)).await;
        assert!(matches!(heard.outcome, Outcome::Refused { .. }), "{:?}", heard.outcome);
    }
    assert_eq!((house.site.model.sessions_ever(), house.running.calls().len()), (0, 0));
    let calls = house.site.data().join("calls");
    let left = std::fs::read_dir(&calls).map(|all| all.count()).unwrap_or_default();
    assert_eq!(left, 0, "no folder of a call");
}

#[tokio::test]
async fn acc_04_an_admin_who_is_not_on_the_list_is_refused_puts_themselves_on_it_and_that_is_logged() {
    let (house, desk) = house().await;
    const ANNS: &str = "+15550107105";
    let text = format!("agent = \"mia\"\nnumber = \"{ANNS}\"\naccess = {{ members = [\"ann@example.test\"] }}\n");
    write(&house.site.config().join("deployments/anns.toml"), &text);
    house.running.look().await;
    let full = "TN-Validation-Passed-A";
    let (is_in, said, asked) = met(&house, caller(&house, BOB, ANNS, full, &[])).await;
    assert_eq!((is_in, said, asked), (false, vec![REFUSED.to_owned()], false), "an admin is not above the list");
    let bob = desk.people().user_of("bob@example.test").await.expect("a store").expect("a user");
    let session = desk.people().log_in(&bob.id, "", "").await.expect("a session");
    let client = reqwest::Client::new();
    let ask = async |request: reqwest::RequestBuilder| {
        let request = request.header("cookie", format!("offhook_session={}", session.secret.expose()));
        let answer = request.header("sec-fetch-site", "same-origin").send().await.expect("an answer");
        let (status, etag) = (answer.status().as_u16(), answer.headers().get("etag").cloned());
        (status, etag, answer.json::<serde_json::Value>().await.unwrap_or_default())
    };
    let url = house.url("/api/v1/deployments/anns");
    let (status, etag, read) = ask(client.get(&url)).await;
    assert_eq!((status, &read["access"]["members"][0]), (200, &"ann@example.test".into()), "{read}");
    let body = serde_json::json!({ "access": { "members": ["ann@example.test", "bob@example.test"] } }).to_string();
    let change = client.patch(&url).header("if-match", etag.expect("an ETag"));
    let (status, _, changed) = ask(change.header("content-type", "application/json").body(body)).await;
    assert_eq!(status, 200, "{changed}");
    assert!(met(&house, caller(&house, BOB, ANNS, full, &[])).await.0);
    let (_, _, log) = ask(client.get(house.url("/api/v1/audit?action=deployment.change"))).await;
    assert_eq!(log["items"][0]["who"], "user bob@example.test", "{log}");
    assert_eq!(log["items"][0]["object"], "deployments/anns.toml", "{log}");
}

#[tokio::test]
async fn acc_06_the_pin_is_in_no_file_and_no_log() {
    let logs = Logs::default();
    let _guard = logs.record();
    let (house, _desk) = house().await;
    let wrong = "4071958263";
    let keyed = [wrong, PIN].map(|keys| format!("{keys}#"));
    let heard = place(caller(&house, ANN, TEAM, PARTLY, &[&keyed[0], &keyed[1]])).await;
    assert_eq!(heard.outcome, Outcome::Connected);
    let (_, folder) = house.report(0).await;
    assert!(folder.join("report.json").exists());
    house.running.shutdown().await;
    let mut files = 0;
    let mut look = |path: &Path, bytes: &[u8]| {
        files += 1;
        for secret in [PIN, &wrong[..9]] {
            let there = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!there, "{} has {secret}", path.display());
        }
    };
    walk(&house.site.data(), &mut look);
    look(Path::new("the log"), logs.text().as_bytes());
    assert!(files > 4, "{files} files");
    assert!(!logs.text().is_empty(), "nothing was logged");
}

#[tokio::test]
async fn acc_06_only_the_carrier_says_who_calls_and_what_was_keyed_in() {
    let (house, _desk) = house().await;
    let fields = [("CallSid", "CA1"), ("To", TEAM), ("From", ANN), ("Digits", PIN)];
    assert_eq!(house.post("/twilio/access?try=1", &fields, "54321").await.0, 403, "signed by another");
    let unsigned = reqwest::Client::new().post(house.url("/twilio/access?try=1")).form(&fields);
    assert_eq!(unsigned.send().await.expect("an answer").status(), 403);
    let read = reqwest::Client::new().get(house.url("/twilio/access?try=1"));
    assert_eq!(read.send().await.expect("an answer").status(), 405, "a PIN in a URL would be in others' logs");
    for tries in ["", "?try=0", "?try=4", "?try=x"] {
        assert_eq!(house.post(&format!("/twilio/access{tries}"), &fields, TOKEN).await.0, 400, "{tries}");
    }
    // Whoever is asked and calls another number meanwhile is asked by that one's rules.
    let others = [("CallSid", "CA1"), ("To", BOBS), ("From", ANN), ("Digits", PIN)];
    let (status, told) = house.post("/twilio/access?try=1", &others, TOKEN).await;
    assert!(status == 200 && told.contains(REFUSED), "{told}");
    let (status, told) = house.post("/twilio/access?try=1", &fields, TOKEN).await;
    assert!(status == 200 && told.contains("<Stream"), "{told}");
    // The carrier asks once more, since the answer was lost: the same, and nothing is asked anew.
    assert_eq!(house.post("/twilio/access?try=1", &fields, TOKEN).await.1, told);
    assert_eq!(house.post("/twilio/voice", &fields, TOKEN).await.1, told);
    assert_eq!(house.running.calls().len(), 1);
}

#[tokio::test]
async fn acc_06_a_word_that_nobody_signed_attests_nothing() {
    let plan = Plan { twilio: "check_signatures = false\n".to_owned(), ..Plan::default() };
    let site = Site::build(&plan).await;
    let text = format!("agent = \"mia\"\nnumber = \"{TEAM}\"\naccess = \"organization\"\n");
    write(&site.config().join("deployments/team.toml"), &text);
    let house = House::open(site, None).await;
    let desk = Store::open(&house.site.data(), None).await.expect("the store");
    desk.people().add_user(&Principal::Operator, "ann@example.test", Role::Member, None).await.expect("a user");
    desk.callers().add("terminal", "ann@example.test", ANN).await.expect("a number");
    let (is_in, said, _) = met(&house, caller(&house, ANN, TEAM, "TN-Validation-Passed-A", &[])).await;
    assert_eq!((is_in, said), (false, vec![REFUSED.to_owned()]));
}

fn walk(folder: &Path, look: &mut impl FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, look);
        } else {
            look(&path, &std::fs::read(&path).expect("a file"));
        }
    }
}
