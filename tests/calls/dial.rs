//! Calls that are placed: over the API and by the command, at numbers where somebody, nobody or a machine is.

use std::process::{Command, Output};
use std::time::Duration;

use offhook::engine::{EndReason, NotAnswered};
use offhook::serve::client::{Answer, Client};
use offhook::stage::phone::{Callee, Clip, Dialled, EndedBy, Fault, Step, Then};
use serde_json::{Value, json};

use crate::house::{House, NUMBER, Plan, Site, until, write};
use crate::street::{agree, sound_named, sounds};
use crate::survival::{serve_at, signal};
use crate::talk::speech;

/// Who is called.
const ANN: &str = "+15550100900";
const API_TOKEN: &str = "not-to-be-guessed-0123456789";

/// A house with an API, whose deployment places calls as `outbound` says.
async fn site(outbound: &str) -> Site {
    let plan = Plan {
        twilio: "rest_timeout_ms = 2000\n[api]\ntoken = { file = \"api-token\" }\n".to_owned(),
        deployment: format!("[keep]\nrecording = true\njournal = \"audio\"\n[outbound]\n{outbound}\n"),
        agent: format!("{}[variables.call]\nname = \"\"\n", Plan::default().agent),
        ..Plan::default()
    };
    let site = Site::build(&plan).await;
    write(&site.config().join("api-token"), API_TOKEN);
    site
}

async fn house(outbound: &str) -> House {
    House::open(site(outbound).await, None).await
}

fn api(url: &str) -> Client {
    Client::new(url, API_TOKEN).expect("a client")
}

async fn post(url: &str, key: &str, body: &Value) -> Answer {
    api(url).post("/v1/calls", Some(key), body).await.expect("an answer")
}

/// Places a call to Ann that must be taken on.
async fn place(house: &House, key: &str) -> Value {
    let answer = post(&house.url(""), key, &json!({ "deployment": "desk", "to": ANN })).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.body
}

async fn get(url: &str, call: &Value) -> Value {
    let path = format!("/v1/calls/{}", call["call"].as_str().expect("an id"));
    api(url).get(&path).await.expect("an answer").body
}

/// Waits until the call is in this state.
async fn reaches(url: &str, call: &Value, state: &str) -> Value {
    let mut now = Value::Null;
    for _ in 0..1_200 {
        now = get(url, call).await;
        if now["state"] == state {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never {state}: {now}");
}

fn picks_up(script: Vec<Step>) -> Callee {
    Callee { ring_ms: 300, then: Then::Answer(script), answered_by: None }
}

/// The only call that was placed, once it is over at the carrier.
async fn over(house: &House) -> Dialled {
    let carrier = house.site.carrier.clone().expect("a carrier");
    until("the call is over at the carrier", || carrier.dialled().iter().all(Dialled::is_over)).await;
    let mut dialled = carrier.dialled();
    assert_eq!((dialled.len(), carrier.live_calls()), (1, 0));
    let call = dialled.remove(0);
    assert_eq!(call.failed_callbacks, 0);
    call
}

#[tokio::test]
async fn a_person_is_greeted_after_the_first_word_and_variables_arrive() {
    let house = house("").await;
    let carrier = house.site.carrier.clone().expect("a carrier");
    let hears_out = Step::WaitAgentSilent { for_ms: 700, max_ms: 10_000 };
    let greeted = Step::WaitAgentSpeaking { after_ms: 20, max_ms: 10_000 };
    carrier.expect(ANN, picks_up(vec![Step::Silence(400), speech(600), greeted, hears_out, Step::HangUp]));
    let body = json!({ "deployment": "desk", "to": ANN, "variables": { "name": "Ann" } });
    let url = house.url("");
    let (one, other) = tokio::join!(post(&url, "key-1", &body), post(&url, "key-1", &body));
    assert_eq!((one.status, other.status), (201, 201), "{one:?} {other:?}");
    assert_eq!(one.body["call"], other.body["call"], "two requests with one key are one call");
    let (call, id) = (one.body.clone(), one.body["call"].as_str().expect("an id").to_owned());
    let ended = reaches(&house.url(""), &call, "completed").await;
    assert_eq!(ended["why"], "caller_hung_up");

    let dialled = over(&house).await;
    assert_eq!((dialled.get("From"), dialled.get("To")), (Some(NUMBER), Some(ANN)));
    assert_eq!((dialled.get("Timeout"), dialled.get("TimeLimit")), (Some("40"), Some("730")));
    assert_eq!(dialled.get("MachineDetection"), None);
    assert_eq!(ended["carrier_call"], dialled.sid.as_str());
    let heard = dialled.report.expect("a callee");
    assert_eq!((heard.ended_by, heard.violations.as_slice()), (EndedBy::Caller, [].as_slice()));
    let first = heard.heard.first().expect("a greeting").from_ms();
    assert!((1_600..4_000).contains(&first), "after the word and a pause: {first}");
    let (report, folder) = house.report(0).await;
    assert_eq!((report.call.as_str(), report.end.kind()), (id.as_str(), "caller_hung_up"));
    let answered = report.answered_by.expect("an answer");
    assert_eq!((answered.who.as_str(), answered.rule.as_str()), ("human", "short_utterance"));
    assert_eq!(report.turns.len(), 0, "what was said before is no turn");
    agree(&folder);
    let begun = house.reports.begun.lock().expect("calls")[0].clone();
    assert_eq!((begun.0, begun.1.to.as_deref()), (id, Some(ANN)));
    assert_eq!(begun.1.variables["name"], "Ann");

    // Afterwards too the key stands for this call and no other.
    let again = post(&house.url(""), "key-1", &body).await;
    assert_eq!((again.status, &again.body["call"], &again.body["state"]), (201, &call["call"], &json!("completed")));
    let another = post(&house.url(""), "key-1", &json!({ "deployment": "desk", "to": ANN })).await;
    assert_eq!((another.status, &another.body["error"]["code"]), (409, &json!("key_reused")));
    assert_eq!(carrier.rang(ANN), 1);
}

#[tokio::test]
async fn busy_no_answer_failed_and_canceled_are_told_apart() {
    let house = house("ring_s = 5").await;
    let (carrier, url) = (house.site.carrier.clone().expect("a carrier"), house.url(""));
    let ends = [
        ("busy", Then::Busy, NotAnswered::Busy),
        ("no_answer", Then::Ring, NotAnswered::NoAnswer),
        ("failed", Then::Fail, NotAnswered::Failed),
        ("canceled", Then::Ring, NotAnswered::Canceled),
    ];
    let mut calls = Vec::new();
    for (n, (name, then, _)) in ends.iter().enumerate() {
        let to = format!("+1555010090{}", n + 1);
        carrier.expect(&to, Callee { ring_ms: 200, then: then.clone(), answered_by: None });
        let answer = post(&url, name, &json!({ "deployment": "desk", "to": to })).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        calls.push(answer.body);
    }
    reaches(&url, &calls[3], "ringing").await;
    let cancel = format!("/v1/calls/{}/cancel", calls[3]["call"].as_str().expect("an id"));
    assert_eq!(api(&url).post(&cancel, None, &Value::Null).await.expect("an answer").status, 202);
    for (call, (name, ..)) in calls.iter().zip(&ends) {
        reaches(&url, call, name).await;
    }
    for (call, (name, _, wanted)) in calls.iter().zip(&ends) {
        let folder =
            house.site.data().join("calls").join(offhook::store::folder_name(call["call"].as_str().expect("an id")));
        let text = std::fs::read(folder.join("report.json")).expect("a report");
        let report: offhook::report::Report = serde_json::from_slice(&text).expect("its shape");
        let EndReason::NotAnswered { how, why } = report.end else { panic!("{name}: {:?}", report.end) };
        assert_eq!(how, *wanted);
        assert_eq!(why, if *name == "failed" { "SIP 404" } else { "" });
        assert_eq!(house.metric(&format!("offhook_calls_not_answered_total{{how=\"{name}\"}}")), 1);
    }
    assert!(carrier.dialled().iter().all(|call| call.is_over() && call.failed_callbacks == 0));
    assert_eq!(house.metric("offhook_model_dials_total{result=\"connected\"}"), 0, "nothing is paid for nobody");
    until("all slots are free", || house.running.calls().is_empty()).await;
    let late = api(&url).post(&cancel, None, &Value::Null).await.expect("an answer");
    assert_eq!(late.status, 404);
}

#[tokio::test]
async fn a_lost_answer_rings_once_and_a_refusal_can_be_tried_again() {
    let house = house("ring_s = 5").await;
    let (carrier, url) = (house.site.carrier.clone().expect("a carrier"), house.url(""));
    carrier.expect(ANN, Callee { ring_ms: 60_000, then: Then::Ring, answered_by: None });
    // Certainly not placed: the same key may ask again.
    carrier.fail_next(Fault { delay_ms: 0, answer: Some((429, 20_429)) });
    let body = json!({ "deployment": "desk", "to": ANN });
    let refused = post(&url, "key-1", &body).await;
    assert_eq!((refused.status, &refused.body["error"]["code"]), (502, &json!("not_placed")));
    assert_eq!(carrier.rang(ANN), 0);
    // Placed, and nobody here knows.
    carrier.lose_answers(1);
    let unknown = post(&url, "key-1", &body).await;
    assert_eq!((unknown.status, &unknown.body["call"]), (201, &refused.body["call"]));
    let again = post(&url, "key-1", &body).await;
    assert_eq!((again.status, &again.body["call"]), (201, &unknown.body["call"]));
    let found = reaches(&url, &unknown.body, "ringing").await;
    assert_eq!(found["carrier_call"], carrier.dialled()[0].sid.as_str());
    reaches(&url, &unknown.body, "no_answer").await;
    assert_eq!(post(&url, "key-1", &body).await.body["state"], "no_answer");
    // Another key is another call; one that the carrier refuses for good is not tried again.
    let wrong = post(&url, "key-2", &json!({ "deployment": "desk", "to": "+1555010" })).await;
    assert_eq!(wrong.status, 201, "{wrong:?}");
    let wrong = reaches(&url, &wrong.body, "failed").await;
    assert!(wrong["why"].as_str().expect("why").contains("21211"), "{wrong}");
    assert_eq!(carrier.rang(ANN), 1);
}

#[tokio::test]
async fn a_server_that_is_killed_while_it_asks_does_not_ring_twice() {
    let site = site("").await;
    let carrier = site.carrier.clone().expect("a carrier");
    let bye = Step::WaitAgentSpeaking { after_ms: 20, max_ms: 10_000 };
    let callee = picks_up(vec![speech(600), bye, Step::HangUp]);
    carrier.expect(ANN, Callee { ring_ms: 6_000, ..callee });
    let (mut server, url) = serve_at(&site, "127.0.0.1:0");
    carrier.lose_answers(1);
    let body = json!({ "deployment": "desk", "to": ANN });
    let (asked, wanted) = (url.clone(), body.clone());
    let asking = tokio::spawn(async move { api(&asked).post("/v1/calls", Some("key-1"), &wanted).await });
    until("the carrier has it", || carrier.rang(ANN) == 1).await;
    signal(&server, "KILL");
    server.wait().expect("an end");
    asking.await.expect("a request").ok();
    // The same address: the carrier was told it.
    let (mut server, again) = serve_at(&site, url.trim_start_matches("http://"));
    assert_eq!(again, url);
    let call = post(&url, "key-1", &body).await;
    assert_eq!(call.status, 201, "{call:?}");
    let ended = reaches(&url, &call.body, "completed").await;
    assert_eq!((&ended["why"], &ended["carrier_call"]), (&json!("caller_hung_up"), &json!(carrier.dialled()[0].sid)));
    assert_eq!(carrier.rang(ANN), 1);
    signal(&server, "TERM");
    server.wait().expect("an end");
}

/// A greeting that goes on, a pause, and a beep; and where the beep ends, in ms.
fn machine() -> (Vec<Step>, u64) {
    let beep: Vec<i16> =
        (0..400 * 8).map(|n| (f64::from(n) * std::f64::consts::FRAC_PI_4).sin() * 9_000.0).map(|s| s as i16).collect();
    let greeting =
        vec![Step::Silence(500), speech(6_000), Step::Silence(300), Step::Say(Clip::from_linear("beep", &beep))];
    let records = Step::WaitEnd { max_ms: 30_000 };
    ([greeting, vec![records]].concat(), 500 + 6_000 + 300 + 400)
}

#[tokio::test]
async fn a_machine_is_left_the_whole_message_after_its_beep() {
    let sounds = sounds();
    let message = sounds.path().join("farewell.wav");
    let on_machine = format!("on_machine = {{ play = \"{}\", text = \"Call us.\" }}", message.display());
    let house = house(&on_machine).await;
    let (script, beep_ends_ms) = machine();
    house.site.carrier.as_ref().expect("a carrier").expect(ANN, picks_up(script));
    let call = place(&house, "key-1").await;
    let ended = reaches(&house.url(""), &call, "completed").await;
    assert_eq!(ended["why"], "voicemail");
    let dialled = over(&house).await;
    let recorded = dialled.report.expect("a machine");
    assert_eq!(recorded.ended_by, EndedBy::Rest, "the line really ends");
    let message = sound_named("farewell");
    let at = recorded.audio.windows(message.len()).position(|part| part == message).expect("the whole message");
    let at_ms = at as u64 / 8;
    assert!((beep_ends_ms..beep_ends_ms + 600).contains(&at_ms), "beep until {beep_ends_ms}, message from {at_ms}");
    assert_eq!(recorded.heard.len(), 1, "and nothing else: {:?}", recorded.heard);
    let (report, folder) = house.report(0).await;
    assert_eq!(report.end, EndReason::Voicemail { left: true });
    assert_eq!(report.answered_by.map(|answered| answered.who), Some("machine".to_owned()));
    agree(&folder);
}

#[tokio::test]
async fn a_machine_is_hung_up_on_unless_it_shall_be_left_a_message() {
    let house = house("").await;
    house.site.carrier.as_ref().expect("a carrier").expect(ANN, picks_up(machine().0));
    let call = place(&house, "key-1").await;
    assert_eq!(reaches(&house.url(""), &call, "completed").await["why"], "answering_machine");
    let dialled = over(&house).await;
    let recorded = dialled.report.expect("a machine");
    assert_eq!((recorded.ended_by, recorded.heard.as_slice()), (EndedBy::Rest, [].as_slice()));
    assert!(recorded.duration_ms < 7_000, "before its beep: {}", recorded.duration_ms);
    assert_eq!(house.report(0).await.0.end, EndReason::AnsweringMachine);
}

#[tokio::test]
async fn the_carriers_detection_is_asked_for_and_believed() {
    let house = house("detect = \"carrier\"\non_machine = { say = \"Call us.\" }").await;
    let carrier = house.site.carrier.clone().expect("a carrier");
    let silent = vec![Step::WaitEnd { max_ms: 30_000 }];
    carrier.expect(ANN, Callee { answered_by: Some((1_500, "machine_end_beep")), ..picks_up(silent) });
    let call = place(&house, "key-1").await;
    assert_eq!(reaches(&house.url(""), &call, "completed").await["why"], "voicemail");
    let dialled = over(&house).await;
    assert_eq!((dialled.get("MachineDetection"), dialled.get("AsyncAmd")), (Some("DetectMessageEnd"), Some("true")));
    let recorded = dialled.report.expect("a machine");
    assert!(recorded.heard.first().expect("a message").from_ms() >= 1_450, "{:?}", recorded.heard);
    let (report, folder) = house.report(0).await;
    assert_eq!(report.answered_by.map(|answered| answered.rule), Some("machine_end_beep".to_owned()));
    assert_eq!(house.metric("offhook_answered_by_total{who=\"machine_end_beep\"}"), 1);
    agree(&folder);
}

#[tokio::test]
async fn c_23_the_api_is_for_who_holds_the_token_and_says_what_is_wrong() {
    let closed = House::build(Plan::default()).await;
    let nobody = api(&closed.url("")).get("/v1/calls").await.expect("an answer");
    assert_eq!((nobody.status, &nobody.body["error"]["code"]), (404, &json!("no_api")));
    let house = house("").await;
    let url = house.url("");
    for token in ["", "not-to-be-guessed-012345678", "not-to-be-guessed-01234567890"] {
        let answer = Client::new(&url, token).expect("a client").get("/v1/calls").await.expect("an answer");
        assert_eq!((answer.status, &answer.body["error"]["code"]), (401, &json!("token")));
    }
    let right = json!({ "deployment": "desk", "to": ANN });
    let keyless = api(&url).post("/v1/calls", None, &right).await.expect("an answer");
    assert_eq!((keyless.status, &keyless.body["error"]["code"]), (400, &json!("key")));
    let many: serde_json::Map<_, _> = (0..33).map(|n| (format!("v{n}"), json!("x"))).collect();
    for (body, status, code) in [
        (json!({ "deployment": "desk" }), 400, "body"),
        (json!({ "deployment": "desk", "to": ANN, "from": NUMBER }), 400, "body"),
        (json!({ "deployment": "disk", "to": ANN }), 422, "deployment"),
        (json!({ "deployment": "closed", "to": ANN }), 422, "deployment"),
        (json!({ "deployment": "desk", "to": "0155" }), 422, "to"),
        (json!({ "deployment": "desk", "to": ANN, "variables": { "Name": "x" } }), 422, "variables"),
        (json!({ "deployment": "desk", "to": ANN, "variables": { "name": "x".repeat(1_001) } }), 422, "variables"),
        (json!({ "deployment": "desk", "to": ANN, "variables": many }), 422, "variables"),
    ] {
        let answer = post(&url, "key", &body).await;
        assert_eq!((answer.status, &answer.body["error"]["code"]), (status, &json!(code)), "{body}");
        assert!(answer.body["error"]["message"].as_str().is_some_and(|message| message.len() > 20), "{answer:?}");
    }
    let large = post(&url, "key", &json!({ "deployment": "x".repeat(70_000), "to": ANN })).await;
    assert_eq!(large.status, 413);
    assert_eq!(house.site.carrier.as_ref().expect("a carrier").dialled().len(), 0);
    let forged = house.post("/twilio/amd?call=x", &[("AnsweredBy", "human")], "another").await;
    assert_eq!(forged.0, 403);
    let unknown = house.post("/twilio/voice?call=x", &[("CallSid", "CA1"), ("To", ANN)], crate::house::TOKEN).await;
    assert!(unknown.1.ends_with("<Response><Hangup/></Response>"), "{unknown:?}");
}

#[tokio::test]
async fn the_command_says_how_it_goes_and_ends_accordingly() {
    let house = house("ring_s = 5").await;
    let carrier = house.site.carrier.clone().expect("a carrier");
    carrier.expect(ANN, Callee { ring_ms: 200, then: Then::Busy, answered_by: None });
    carrier.lose_answers(1);
    let dial = |url: String, key: &'static str| {
        let config = house.site.config();
        tokio::task::spawn_blocking(move || -> Output {
            let offhook = env!("CARGO_BIN_EXE_offhook");
            let args = ["dial", ANN, "--deployment", "desk", "--var", "name=Ann", "--wait", "--key", key, "--server"];
            let mut command = Command::new(offhook);
            command.args(args).arg(url).arg("--config").arg(config).env("TOKEN", crate::house::TOKEN);
            command.output().expect("a command that runs")
        })
    };
    let said = dial(house.url(""), "key-1").await.expect("a command");
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert_eq!(said.status.code(), Some(3), "{out}{err}");
    assert!(out.trim_end().ends_with("busy"), "{out}");
    let again = dial(house.url(""), "key-1").await.expect("a command");
    assert_eq!((again.status.code(), carrier.rang(ANN)), (Some(3), 1));
    carrier.expect(ANN, picks_up(vec![speech(500), Step::Silence(1_000), Step::HangUp]));
    let said = dial(house.url(""), "key-2").await.expect("a command");
    let out = String::from_utf8_lossy(&said.stdout);
    assert_eq!(said.status.code(), Some(0), "{out}");
    let states: Vec<_> = out.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert_eq!((states.first(), states.last()), (Some(&"queued"), Some(&"completed")), "{out}");
}

#[tokio::test]
async fn a_call_that_a_killed_server_had_placed_can_be_canceled_by_the_next_one() {
    let site = site("").await;
    let carrier = site.carrier.clone().expect("a carrier");
    carrier.expect(ANN, Callee { ring_ms: 120_000, then: Then::Ring, answered_by: None });
    let (mut server, url) = serve_at(&site, "127.0.0.1:0");
    let address = url.trim_start_matches("http://").to_owned();
    let call = post(&url, "key-1", &json!({ "deployment": "desk", "to": ANN })).await;
    assert_eq!(call.status, 201, "{call:?}");
    reaches(&url, &call.body, "ringing").await;
    signal(&server, "KILL");
    server.wait().expect("an end");
    let (mut server, _) = serve_at(&site, &address);
    // The carrier fails, and the server is killed once more before it has answered.
    (0..2).for_each(|_| carrier.fail_next(Fault { delay_ms: 0, answer: Some((500, 20_500)) }));
    let cancel = format!("/v1/calls/{}/cancel", call.body["call"].as_str().expect("an id"));
    let canceled = api(&url).post(&cancel, None, &Value::Null).await.expect("an answer");
    assert_eq!(canceled.status, 202, "{canceled:?}");
    until("the carrier was asked", || !carrier.requests().is_empty()).await;
    assert_eq!(get(&url, &call.body).await["state"], "canceling");
    signal(&server, "KILL");
    server.wait().expect("an end");
    assert_eq!(carrier.dialled()[0].status, "ringing");
    // The next one needs no further word.
    let (mut server, _) = serve_at(&site, &address);
    reaches(&url, &call.body, "canceled").await;
    assert_eq!(carrier.dialled()[0].status, "canceled");
    // And another call of its kind is canceled at once.
    let call = post(&url, "key-2", &json!({ "deployment": "desk", "to": ANN })).await;
    reaches(&url, &call.body, "ringing").await;
    signal(&server, "KILL");
    server.wait().expect("an end");
    let (mut server, _) = serve_at(&site, &address);
    let cancel = format!("/v1/calls/{}/cancel", call.body["call"].as_str().expect("an id"));
    assert_eq!(api(&url).post(&cancel, None, &Value::Null).await.expect("an answer").status, 202);
    reaches(&url, &call.body, "canceled").await;
    assert_eq!((carrier.dialled()[1].status, carrier.rang(ANN)), ("canceled", 2));
    signal(&server, "TERM");
    server.wait().expect("an end");
}
