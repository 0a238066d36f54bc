//! A model that fails: what the caller hears, and what the report says.

use offhook::report::Report;
use offhook::stage::phone::{EndedBy, PhoneReport, Step};

use crate::house::{House, Plan, place};
use crate::talk::speech;

/// Two turns of the caller, then a wait for whoever ends the call.
fn two_turns() -> Vec<Step> {
    let answered = [
        Step::WaitAgentSpeaking { after_ms: 100, max_ms: 8_000 },
        Step::WaitAgentSilent { for_ms: 900, max_ms: 10_000 },
    ];
    let mut script = answered.to_vec();
    for _ in 0..2 {
        script.push(speech(1_000));
        script.extend(answered.clone());
    }
    script.push(Step::HangUp);
    script
}

/// One call to an agent whose failure line lasts 400 ms, by a model with this script and these other parts.
async fn call(agent: &str, deployment: &str, script: &str, caller: Vec<Step>) -> (House, PhoneReport, Report) {
    let plan = Plan {
        agent: format!("greeting = {{ say = \"Greet.\" }}\n{agent}"),
        deployment: deployment.to_owned(),
        script: format!("think_ms = 100\n{script}"),
        ..Plan::default()
    };
    let house = House::build(plan).await;
    let heard = place(house.caller(caller)).await;
    let report = house.report(0).await.0;
    (house, heard, report)
}

fn wait() -> Vec<Step> {
    vec![Step::WaitEnd { max_ms: 40_000 }]
}

#[tokio::test]
async fn a_model_that_refuses_for_good_is_not_asked_again_and_the_caller_is_put_through() {
    let agent = "[on_failure]\nthen = { transfer = \"+15550100198\" }\n";
    let (house, heard, report) =
        call(agent, "", "[fault]\nrefuse = 401\nrefuse_code = \"invalid_api_key\"\n", wait()).await;
    assert_eq!(heard.ended_by, EndedBy::Transferred);
    assert_eq!(heard.transferred_to.as_deref(), Some("+15550100198"));
    assert_eq!(report.end.kind(), "model_unavailable");
    assert!(report.end.to_string().contains("401"), "{}", report.end);
    assert_eq!(house.metric("offhook_model_dials_total{result=\"failed\"}"), 1);
    assert_eq!(house.metric("offhook_effects_total{result=\"done\"}"), 1);
}

#[tokio::test]
async fn a_model_that_refuses_at_first_is_asked_again_and_the_call_goes_well() {
    let script = "[greeting]\nsay = \"Hello.\"\n[fault]\nrefuse = 503\nrefuse_times = 2\n";
    let (house, heard, report) = call("", "", script, two_turns()).await;
    assert_eq!(heard.ended_by, EndedBy::Caller);
    assert_eq!(report.turns.len(), 2, "{:#?}", report.turns);
    assert_eq!(house.metric("offhook_model_dials_total{result=\"failed\"}"), 2);
    assert_eq!(house.metric("offhook_model_dials_total{result=\"connected\"}"), 1);
}

#[tokio::test]
async fn a_model_that_drops_in_mid_sentence_is_dialled_again_and_the_conversation_goes_on() {
    let script = "[greeting]\nsay = \"Hello.\"\n[[turn]]\nhears = \"One.\"\nsay = \"This is a sentence that is never heard to its end.\"\n\
                  fault = { drop_ms = 600, times = 1 }\n[otherwise]\nhears = \"Two.\"\nsay = \"Here again.\"\n";
    let (house, heard, report) = call("", "", script, two_turns()).await;
    assert_eq!(heard.ended_by, EndedBy::Caller);
    assert_eq!(house.metric("offhook_model_dials_total{result=\"connected\"}"), 2);
    assert!(report.lines.iter().any(|line| line.text.contains("Here again")), "{:#?}", report.lines);
}

#[tokio::test]
async fn a_model_that_never_comes_back_ends_the_call_with_the_reason() {
    let script = "[greeting]\nsay = \"Hello.\"\n[otherwise]\nsay = \"This is a sentence.\"\nfault = { drop_ms = 300 }\n\
                  [fault]\nnever_back = true\n";
    let mut caller = two_turns();
    caller.truncate(3);
    caller.extend(wait());
    let (_, heard, report) = call("", "[limits]\nmodel_recovery_s = 2\n", script, caller).await;
    assert_eq!(heard.ended_by, EndedBy::Rest);
    assert_eq!(report.end.kind(), "model_unavailable");
}

#[tokio::test]
async fn a_model_that_sends_nonsense_is_survived_and_counted() {
    let script = "[greeting]\nsay = \"Hello.\"\n[fault]\nmalformed = true\n";
    let (_, heard, report) = call("", "", script, two_turns()).await;
    assert_eq!(heard.ended_by, EndedBy::Caller);
    assert_eq!(report.turns.len(), 2);
    assert!(report.counters.get("model_garbage").is_some_and(|n| *n > 0), "{:?}", report.counters);
}

#[tokio::test]
async fn a_model_that_is_not_there_at_all_ends_the_call_after_its_time() {
    let house =
        House::build(Plan { deployment: "[limits]\nmodel_recovery_s = 1\n".to_owned(), ..Plan::default() }).await;
    house.site.model.shutdown();
    crate::house::until("nobody listens", || std::net::TcpStream::connect(house.site.model.addr()).is_err()).await;
    let heard = place(house.caller(wait())).await;
    assert_eq!(heard.ended_by, EndedBy::Rest);
    let report = house.report(0).await.0;
    assert!(report.end.to_string().contains("refused"), "{}", report.end);
}
