//! What goes wrong with models: what the caller hears, what the report says, and that no other call noticed.

use offhook::engine::EndReason;
use offhook::stage::phone::{CallOptions, EndedBy, Outcome, Step, What};
use tokio::sync::mpsc;

use crate::street::{Gate, Number, Street, WORDS, model, patient, polite, polite_for, sounds, wait_for, words};

const ANSWER: &str =
    "[[turn]]\nhears = \"Hello.\"\nclip = \"LINE\"\nsay = \"one two three four five six seven eight nine ten\"\n";

#[tokio::test]
async fn a_model_that_cannot_be_reached_is_apologised_for() {
    // Takes the connection and never says a word.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mute_url = format!("ws://{}/v1/realtime", mute.local_addr().expect("an address"));
    // Bound, so that no other test is given it, and not listened on.
    let nobody = tokio::net::TcpSocket::new_v4().expect("a socket");
    nobody.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let nobody_url = format!("ws://{}/v1/realtime", nobody.local_addr().expect("an address"));
    let number = |name, script| Number { name, script, limits: "model_recovery_s = 1", ..Number::default() };
    let street = Street::build(
        "",
        None,
        vec![
            Number { agent: "greeting = { play = \"GREETING\" }\n", ..number("locked", "[fault]\nrefuse = 401\n") },
            number("shut", "[fault]\nrefuse = 503\n"),
            number("unset", "[fault]\nstall = true\n"),
            Number { model_url: Some(mute_url), ..number("mute", "") },
            Number { model_url: Some(nobody_url), ..number("nobody", "") },
            Number {
                on_failure: "then = { transfer = \"+15550100777\" }\n",
                ..number("forwarded", "[fault]\nrefuse = 401\n")
            },
        ],
    )
    .await;
    let names = ["locked", "shut", "unset", "mute", "nobody", "forwarded"];
    let calls = street.live(names.map(|name| street.caller(name, patient())).into()).await;
    drop(nobody);
    let reasons = ["HTTP 401", "HTTP 503", "no session within", "no session within", "connect:", "HTTP 401"];
    for ((name, call), reason) in names.iter().zip(&calls).zip(reasons) {
        assert_eq!((&call.heard.outcome, call.heard.violations.len()), (&Outcome::Connected, 0), "{name}");
        assert_eq!(call.times_heard("fallback"), 1, "{name}: {:?}", call.heard.heard);
        let EndReason::ModelUnavailable { why } = &call.report.end else { panic!("{name}: {:?}", call.report.end) };
        assert!(why.contains(reason), "{name}: {why}");
        assert!(call.said().contains(&(words("fallback"), "")), "{name}: {:?}", call.said());
        assert!(call.counter("model_losses") >= 1 && call.report.turns.is_empty(), "{name}");
        let ended_by = if *name == "forwarded" { EndedBy::Transferred } else { EndedBy::Rest };
        assert_eq!(call.heard.ended_by, ended_by, "{name}");
    }
    assert!(!calls[0].hears("greeting"), "nobody is welcomed to a call that cannot be");
    assert_eq!(calls[5].heard.transferred_to.as_deref(), Some("+15550100777"));
    assert_eq!(calls[0].counter("model_losses"), 1, "a refusal for good is not tried again");
    assert!(calls[1].counter("model_losses") > 1, "one that may pass is");
}

#[tokio::test]
async fn a_model_that_refuses_at_first_is_asked_again_and_answers_what_was_said_meanwhile() {
    let script = "[fault]\nrefuse = 503\nrefuse_times = 3\n[[turn]]\nclip = \"LINE\"\n";
    let street = Street::build("", None, vec![Number { name: "busy", script, ..Number::default() }]).await;
    let calls = street.live(vec![street.caller("busy", polite())]).await;
    let call = &calls[0];
    assert_eq!((call.heard.ended_by, call.times_heard("line")), (EndedBy::Caller, 1));
    assert_eq!((call.report.end.kind(), call.report.turns.len()), ("caller_hung_up", 1));
    assert_eq!(call.counter("model_losses"), 3);
}

#[tokio::test]
async fn a_model_that_drops_in_mid_sentence_and_comes_back_says_it_again() {
    let dir = sounds();
    // Little faster than it is heard, so that the loss is in the middle of it.
    let behind = model(dir.path(), &format!("pace = 1.5\n{ANSWER}")).await;
    let gate = Gate::before(&behind).await;
    let street = Street::build(
        "",
        None,
        vec![
            Number {
                name: "blinking",
                script: concat!(
                    "pace = 2.0\n[[turn]]\nhears = \"Hello.\"\nclip = \"LINE\"\nsay = \"one two three four five six seven eight nine ten\"\n",
                    "fault = { drop_ms = 600, times = 1 }\n"
                ),
                ..Number::default()
            },
            // The key is for this test: it shall not stop the agent.
            Number {
                name: "away",
                model_url: Some(gate.url()),
                agent: "keys = \"off\"\n",
                ..Number::default()
            },
        ],
    )
    .await;
    let (events, mut happens) = mpsc::channel(64);
    let mut away = polite_for(1_500);
    // By then the model has said what it understood; without that the next session could not know.
    away.splice(2..2, [Step::WaitAgentSpeaking { after_ms: 500, max_ms: 5_000 }, Step::Press('1')]);
    let callers =
        vec![street.caller("blinking", polite()), CallOptions { events: Some(events), ..street.caller("away", away) }];
    let door = async {
        wait_for(&mut happens, &What::Pressed('1')).await;
        gate.set_open(false);
        // Until the caller is being held.
        wait_for(&mut happens, &What::AgentSilent).await;
        wait_for(&mut happens, &What::AgentSpeaks).await;
        gate.set_open(true);
        while happens.recv().await.is_some() {}
    };
    let (calls, ()) = tokio::join!(street.live(callers), door);
    for (name, call) in ["blinking", "away"].iter().zip(&calls) {
        assert_eq!((call.heard.ended_by, call.heard.violations.len()), (EndedBy::Caller, 0), "{name}");
        assert_eq!((call.report.end.kind(), call.report.turns.len()), ("caller_hung_up", 1), "{name}");
        // The hold sound is no line of the conversation.
        let said_ms = call.heard_ms().saturating_sub(call.times_heard("hold") as u64 * 300);
        assert!(said_ms.abs_diff(call.reported_ms()) < 350, "{name}: {said_ms} ms, {:?}", call.report.lines);
        assert!(call.said().contains(&(WORDS, "")), "{name}: {:?}", call.said());
    }
    let [blinking, away] = &calls[..] else { panic!("two calls") };
    assert_eq!(blinking.counter("model_losses"), 1);
    assert!(blinking.hears_first("line", 500) && blinking.hears("line") && !blinking.hears("hold"));
    assert!(
        away.counter("model_losses") > 1 && away.hears("line"),
        "{:?} {:?}",
        away.heard.heard,
        away.report.counters
    );
    assert!(away.hears_first("hold", 100), "the line does not go dead meanwhile: {:?}", away.heard.heard);
}

#[tokio::test]
async fn a_model_that_never_comes_back_is_apologised_for() {
    let script = "[fault]\nnever_back = true\n[[turn]]\nhears = \"Hello.\"\nclip = \"LINE\"\n\
                  say = \"one two three four five six seven eight nine ten\"\nfault = { drop_ms = 400 }\n";
    let number = |name| Number { name, script, limits: "model_recovery_s = 2", ..Number::default() };
    let street = Street::build(
        "",
        None,
        vec![number("gone"), Number { on_failure: "then = { transfer = \"+15550100777\" }\n", ..number("forwarded") }],
    )
    .await;
    let calls = street.live(["gone", "forwarded"].map(|name| street.caller(name, patient())).into()).await;
    for call in &calls {
        assert!(call.hears_first("line", 350) && call.hears_first("hold", 200), "{:?}", call.heard.heard);
        assert_eq!(call.times_heard("fallback"), 1, "{:?}", call.heard.heard);
        let EndReason::ModelUnavailable { why } = &call.report.end else { panic!("{:?}", call.report.end) };
        assert!(why.contains("HTTP 503"), "{why}");
        assert_eq!(call.report.turns.len(), 1);
        assert!(call.counter("model_losses") > 2, "{:?}", call.report.counters);
        assert!(call.said().contains(&(words("fallback"), "")), "{:?}", call.said());
        assert!(call.said().iter().all(|(heard, _)| !heard.contains("ten")), "never said: {:?}", call.said());
    }
    assert_eq!(calls[0].heard.ended_by, EndedBy::Rest);
    assert_eq!(calls[1].heard.transferred_to.as_deref(), Some("+15550100777"));
}

#[tokio::test]
async fn a_silent_model_is_filled_in_for_asked_once_more_and_then_apologised_for() {
    let number = |name, script| Number { name, script, limits: "model_silence_ms = 700", ..Number::default() };
    let street = Street::build(
        "",
        None,
        vec![
            number("silent", "[[turn]]\nhears = \"Hello.\"\nclip = \"LINE\"\nfault = { stall = true }\n"),
            number("slow", "[[turn]]\nhears = \"Hello.\"\nclip = \"LINE\"\nfault = { stall = true, times = 1 }\n"),
            number(
                "failing",
                "[[turn]]\nhears = \"Hello.\"\nclip = \"LINE\"\nfault = { fail = \"server_error\", times = 1 }\n",
            ),
        ],
    )
    .await;
    let wait = |name| street.caller(name, patient());
    let patiently = |name| street.caller(name, polite_for(1_500));
    let callers = vec![wait("silent"), patiently("slow"), patiently("failing")];
    let calls = street.live(callers).await;
    let [silent, slow, failing] = &calls[..] else { panic!("three calls") };
    assert_eq!((silent.times_heard("filler"), silent.times_heard("fallback")), (1, 1), "{:?}", silent.heard.heard);
    assert_eq!((&silent.report.end, silent.heard.ended_by), (&EndReason::ModelSilent, EndedBy::Rest));
    assert_eq!(silent.counter("model_slow"), 2);
    assert_eq!(silent.said(), [(words("filler"), ""), (words("fallback"), "")]);
    // What failed is asked for again sooner than anybody would call it silence.
    for (call, slow) in [(slow, 1), (failing, 0)] {
        assert_eq!((call.times_heard("filler"), call.times_heard("line")), (slow, 1), "{:?}", call.heard.heard);
        assert_eq!((call.report.end.kind(), call.heard.ended_by), ("caller_hung_up", EndedBy::Caller));
        assert_eq!((call.counter("model_slow"), call.report.turns.len()), (slow as u64, 1));
    }
    assert_eq!(failing.counter("responses_failed"), 1);
}

#[tokio::test]
async fn garbage_and_complaints_of_a_model_are_counted_and_only_its_account_ends_the_call() {
    let number = |name, script| Number { name, script, ..Number::default() };
    let street = Street::build(
        "",
        None,
        vec![
            number("garbled", "[fault]\nmalformed = true\n[[turn]]\nclip = \"LINE\"\nfault = { malformed = true }\n"),
            number("complaining", "[[turn]]\nclip = \"LINE\"\nfault = { error = \"server_error\" }\n"),
            number("broke", "[[turn]]\nclip = \"LINE\"\nfault = { error = \"insufficient_quota\" }\n"),
        ],
    )
    .await;
    let wait = |name| street.caller(name, polite());
    let callers = vec![wait("garbled"), wait("complaining"), street.caller("broke", patient())];
    let calls = street.live(callers).await;
    let [garbled, complaining, broke] = &calls[..] else { panic!("three calls") };
    for call in [garbled, complaining] {
        assert_eq!((call.times_heard("line"), call.heard.heard.len()), (1, 1), "{:?}", call.heard.heard);
        assert_eq!((call.report.end.kind(), call.counter("model_losses")), ("caller_hung_up", 0));
    }
    assert!(garbled.counter("model_garbage") >= 2, "{:?}", garbled.report.counters);
    assert_eq!(complaining.counter("model_errors"), 1);
    assert_eq!((broke.times_heard("fallback"), broke.heard.ended_by), (1, EndedBy::Rest));
    let EndReason::ModelUnavailable { why } = &broke.report.end else { panic!("{:?}", broke.report.end) };
    assert!(why.contains("insufficient_quota"), "{why}");
}

#[tokio::test]
async fn a_session_that_ends_between_turns_is_replaced_without_a_word() {
    let script = "[fault]\nsession_limit_s = 2.2\n[[turn]]\nhears = \"Hello.\"\nsay = \"Yes.\"\n\
                  [[turn]]\nhears = \"And?\"\nclip = \"LINE\"\n";
    let street = Street::build("", None, vec![Number { name: "short", script, ..Number::default() }]).await;
    let mut script = polite();
    script.pop();
    script.push(Step::Silence(1_000));
    script.extend(polite());
    let calls = street.live(vec![street.caller("short", script)]).await;
    let call = &calls[0];
    assert_eq!((call.times_heard("line"), call.hears_first("hold", 20)), (1, false), "{:?}", call.report);
    assert_eq!((call.report.end.kind(), call.report.turns.len()), ("caller_hung_up", 2));
    assert!(call.counter("model_losses") >= 1);
}
