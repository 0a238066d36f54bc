//! What an agent does beside talking, as the caller and the carrier see it: tools while the caller cuts in, transfers, keys,
//! the sound of waiting, silence, endings and budgets.

use std::collections::VecDeque;
use std::path::Path;

use offhook::base::audio::g711::ulaw_to_linear;
use offhook::report::Report;
use offhook::stage::phone::measure::{db, find, gains, largest_step};
use offhook::stage::phone::{CallOptions, EndedBy, Fault, Outcome, PutThrough, Step};

use crate::house::{House, NUMBER, Plan, Site, place, until, write};
use crate::talk::speech;
use crate::tools::{Other, answered, one_turn, outputs, tool};

const DESK: &str = "+15550100222";

/// An agent that may put callers through and press keys, whose model does so on the first turn.
fn plan(tools: &str, turn: &str) -> Plan {
    Plan {
        agent: format!(
            "greeting = {{ say = \"Greet.\" }}\ntools = [{tools}]\n\
             [[destination]]\nname = \"desk\"\nnumber = \"{DESK}\"\nring_s = 5\n"
        ),
        script: format!(
            "think_ms = 100\n[greeting]\nsay = \"Hello.\"\n[[turn]]\nhears = \"Please.\"\n{turn}\n\
             [otherwise]\nsay = \"Yes, of course.\"\n"
        ),
        ..Plan::default()
    }
}

const TRANSFER: &str = "say = \"I will put you through.\"\n\
    tools = [{ name = \"transfer\", arguments = { destination = \"desk\" } }]\nthen_say = \"Nobody is there. Can I help?\"";

fn transfer() -> Plan {
    plan("\"transfer\"", TRANSFER)
}

fn end() -> Vec<Step> {
    vec![Step::WaitEnd { max_ms: 30_000 }]
}

fn counter(report: &Report, name: &str) -> u64 {
    report.counters.get(name).copied().unwrap_or(0)
}

#[tokio::test]
async fn two_tools_run_at_once_and_a_caller_who_cuts_in_between_loses_neither() {
    let port = Other::default().listen().await;
    let url = |path: &str| format!("url = \"http://127.0.0.1:{port}/{path}\", allow_private = true");
    let agent = format!(
        "greeting = {{ say = \"Greet.\" }}\ntools = []\n{}{}",
        tool("first", 8_000, &url("wait/100")),
        tool("second", 8_000, &url("wait/3500"))
    );
    let script = "think_ms = 100\n[greeting]\nsay = \"Hello.\"\n[[turn]]\nhears = \"Please.\"\n\
        say = \"Let me look both of them up for you, one moment please, it will not take long at all, I promise.\"\n\
        tools = [{ name = \"first\" }, { name = \"second\" }]\nthen_say = \"That is all I found.\"\n\
        [otherwise]\nsay = \"Yes.\"\n";
    let house = House::build(Plan { agent, script: script.to_owned(), ..Plan::default() }).await;
    let cut_in = Step::WaitAgentSpeaking { after_ms: 2_500, max_ms: 10_000 };
    let mut steps = one_turn(vec![cut_in, speech(900)]);
    steps.extend([Step::Silence(3_500)]);
    steps.push(Step::WaitAgentSilent { for_ms: 900, max_ms: 10_000 });
    steps.push(Step::HangUp);
    let heard = place(house.caller(steps)).await;
    assert_eq!((heard.ended_by, heard.violations.len()), (EndedBy::Caller, 0));
    let (report, _) = house.report(0).await;
    assert!(!report.interruptions.is_empty(), "{report:#?}");
    let outputs = outputs(&report);
    assert_eq!((outputs["first"], outputs["second"]), (r#"{"waited_ms":100}"#, r#"{"waited_ms":3500}"#));
    let cut_in_at_ms = report.interruptions[0].at_ms;
    assert!(
        report.tools[0].at_ms < cut_in_at_ms && cut_in_at_ms < report.tools[1].at_ms,
        "one before, one after: {report:#?}"
    );
    // The model takes outputs only of calls that it made, and complains about others.
    assert_eq!(counter(&report, "model_errors"), 0, "{report:#?}");
}

#[tokio::test]
async fn a_caller_is_put_through_once_what_was_said_before_is_heard() {
    let house = House::build(transfer()).await;
    let heard = place(house.caller(one_turn(end()))).await;
    assert_eq!(heard.ended_by, EndedBy::Transferred);
    assert_eq!((heard.transferred_to.as_deref(), heard.violations.len()), (Some(DESK), 0));
    let (report, _) = house.report(0).await;
    assert_eq!(report.end.to_string(), "transferred (desk)");
    let said = report.lines.iter().find(|line| line.text == "I will put you through.").expect("the line before");
    assert_eq!(said.heard_ms, said.received_ms, "all of it was heard");
    assert_eq!(outputs(&report)["transfer"], r#"{"ok":true}"#);
    until("the slot is free", || house.running.calls().is_empty()).await;
    // The carrier asks what to do when the two have hung up.
    let over = [("CallSid", heard.call_sid.as_str()), ("CallStatus", "in-progress"), ("DialCallStatus", "completed")];
    let (status, twiml) = house.post("/twilio/transfer", &over, crate::house::TOKEN).await;
    assert!(status == 200 && twiml.contains("<Response><Hangup/></Response>"), "{twiml}");
}

#[tokio::test]
async fn phn_13_a_transfer_that_nobody_answers_gives_the_caller_back_to_the_agent() {
    for (status, why) in [("busy", "busy"), ("no-answer", "no answer"), ("failed", "failed")] {
        let house = House::build(transfer()).await;
        let put_through = VecDeque::from([PutThrough { rings_ms: 400, status, talks_ms: 0 }]);
        let after = [
            vec![Step::WaitAgentSpeaking { after_ms: 100, max_ms: 10_000 }],
            vec![Step::WaitAgentSilent { for_ms: 700, max_ms: 10_000 }, speech(900)],
            answered(),
        ];
        let scripts_after = VecDeque::from([after.concat()]);
        let heard = place(CallOptions { put_through, scripts_after, ..house.caller(one_turn(end())) }).await;
        assert_eq!((heard.ended_by, heard.violations.clone()), (EndedBy::Caller, vec![]), "{status}");
        assert_eq!(heard.transferred_to.as_deref(), Some(DESK));
        let (report, folder) = house.report(0).await;
        assert_eq!(report.end.kind(), "caller_hung_up", "{status}");
        let output = outputs(&report)["transfer"];
        assert!(output.contains("nobody took the call at desk") && output.contains(why), "{output}");
        let said: Vec<_> = report.lines.iter().map(|line| line.text.as_str()).collect();
        assert!(said.contains(&"Nobody is there. Can I help?") && said.contains(&"Yes, of course."), "{said:?}");
        assert_eq!((report.turns.len(), counter(&report, "transfers_not_answered")), (2, 1));
        verified(&folder);
    }
}

#[tokio::test]
async fn a_transfer_that_the_carrier_refuses_leaves_the_caller_where_they_are() {
    let house = House::build(transfer()).await;
    let carrier = house.site.carrier.clone().expect("a carrier");
    // It is asked twice.
    for _ in 0..2 {
        carrier.fail_next(Fault { delay_ms: 0, answer: Some((500, 20_500)) });
    }
    let mut steps = one_turn(vec![Step::WaitAgentSpeaking { after_ms: 100, max_ms: 10_000 }]);
    steps.extend([Step::WaitAgentSilent { for_ms: 3_000, max_ms: 15_000 }, Step::HangUp]);
    let heard = place(house.caller(steps)).await;
    assert_eq!((heard.ended_by, heard.transferred_to.clone()), (EndedBy::Caller, None));
    let (report, folder) = house.report(0).await;
    assert!(outputs(&report)["transfer"].contains("the caller is still with you"), "{report:#?}");
    assert!(report.lines.iter().any(|line| line.text == "Nobody is there. Can I help?"), "{report:#?}");
    assert_eq!(counter(&report, "errands_failed"), 1);
    verified(&folder);
}

#[tokio::test]
async fn a_caller_who_leaves_while_it_rings_ends_the_call() {
    let house = House::build(transfer()).await;
    let put_through = VecDeque::from([PutThrough { rings_ms: 500, status: "canceled", talks_ms: 0 }]);
    let heard = place(CallOptions { put_through, ..house.caller(one_turn(end())) }).await;
    assert_eq!(heard.ended_by, EndedBy::Caller);
    assert_eq!(house.report(0).await.0.end.kind(), "caller_hung_up");
    until("the slot is free", || house.running.calls().is_empty()).await;
}

#[tokio::test]
async fn keys_are_pressed_by_the_carrier_and_the_line_comes_back() {
    let turn = "tools = [{ name = \"send_dtmf\", arguments = { digits = \"1w2#\" } }]\nthen_say = \"It is done.\"";
    let house = House::build(plan("\"send_dtmf\"", turn)).await;
    let scripts_after = VecDeque::from([answered()]);
    let heard = place(CallOptions { scripts_after, ..house.caller(one_turn(end())) }).await;
    assert_eq!((heard.ended_by, heard.violations.len()), (EndedBy::Caller, 0));
    assert_eq!((heard.pressed.clone(), heard.earlier_audio.len()), (vec!["1w2#".to_owned()], 1));
    let (report, folder) = house.report(0).await;
    assert_eq!(outputs(&report)["send_dtmf"], r#"{"ok":true}"#);
    assert!(report.lines.iter().any(|line| line.text == "It is done." && line.heard_ms > 0), "{report:#?}");
    verified(&folder);
}

#[tokio::test]
async fn a_goodbye_by_tool_is_heard_to_its_end_and_then_the_line_really_ends() {
    let turn = "say = \"Thank you for calling, goodbye!\"\ntools = [{ name = \"hang_up\", arguments = { reason = \"done\" } }]";
    let house = House::build(plan("\"hang_up\"", turn)).await;
    let heard = place(house.caller(one_turn(end()))).await;
    // Not by closing the stream: the carrier was told to end the call.
    assert_eq!((heard.outcome.clone(), heard.ended_by), (Outcome::Connected, EndedBy::Rest));
    let carrier = house.site.carrier.clone().expect("a carrier");
    assert_eq!(carrier.live_calls(), 0);
    let (report, _) = house.report(0).await;
    assert_eq!(report.end.to_string(), "agent_hung_up (done)");
    let line = report.lines.last().expect("a goodbye");
    assert_eq!((line.text.as_str(), line.unheard.as_str()), ("Thank you for calling, goodbye!", ""));
    assert_eq!(line.heard_ms, line.received_ms);
}

#[tokio::test]
async fn a_key_puts_the_caller_through_and_digits_are_told_to_the_model() {
    let mut plan = transfer();
    plan.agent += "[keys]\nmeaning = \"the booking number\"\n[keys.actions]\n0 = { transfer = \"desk\" }\n";
    let house = House::build(plan).await;
    let speaks = Step::WaitAgentSpeaking { after_ms: 100, max_ms: 10_000 };
    let done = Step::WaitAgentSilent { for_ms: 700, max_ms: 10_000 };
    let pressed = ['4', '2', '#'].map(Step::Press);
    let steps =
        [vec![speaks.clone(), done.clone()], pressed.to_vec(), vec![speaks, done, Step::Press('0')], end()].concat();
    let heard = place(house.caller(steps)).await;
    assert_eq!((heard.ended_by, heard.transferred_to.as_deref()), (EndedBy::Transferred, Some(DESK)));
    let (report, _) = house.report(0).await;
    assert_eq!(report.end.kind(), "transferred");
    let told = "[The caller pressed on the keypad: 4 2 (the booking number)]";
    assert!(report.lines.iter().any(|line| line.text == told), "{:#?}", report.lines);
}

#[tokio::test]
async fn phn_11_a_caller_who_says_nothing_is_spoken_to_and_then_the_call_ends_politely() {
    let agent = "greeting = { say = \"Greet.\" }\nfarewell = { say = \"Goodbye then.\" }\n\
        [idle]\nafter_s = 2\ntimes = 1\nlines = [{ say = \"Are you there?\" }]\n";
    let house = House::build(Plan { agent: agent.to_owned(), ..Plan::default() }).await;
    let heard = place(house.caller(end())).await;
    assert_eq!(heard.ended_by, EndedBy::Rest);
    let (report, _) = house.report(0).await;
    assert_eq!((report.end.kind(), counter(&report, "idle_lines")), ("caller_silent", 1));
    let said: Vec<_> = report.lines.iter().map(|line| line.text.as_str()).collect();
    assert!(said[0].contains("Greet.") && said[1..] == ["Are you there?", "Goodbye then."], "{said:?}");
}

#[tokio::test]
async fn who_has_used_up_the_days_budget_hears_so_and_others_do_not() {
    let deployment = "[limits]\nmax_cost_per_number_and_day = 0.000001\n".to_owned();
    let house = House::build(Plan { deployment, ..Plan::default() }).await;
    let first =
        place(house.caller(vec![Step::WaitAgentSpeaking { after_ms: 300, max_ms: 10_000 }, Step::HangUp])).await;
    assert_eq!(first.outcome, Outcome::Connected);
    let cost = house.report(0).await.0.cost_micros;
    // The first answer may have come to its end after the caller's.
    if cost == 0 {
        let again = place(house.caller(end())).await;
        assert_eq!(again.outcome, Outcome::Connected);
        assert_eq!(house.report(1).await.0.end.to_string(), "cost_cap (number)");
    }
    let mut refused = None;
    // Calls count once the store has them.
    for _ in 0..100 {
        let heard = place(house.caller(vec![Step::HangUp])).await;
        if let Outcome::Refused { said } = heard.outcome {
            refused = Some(said);
            break;
        }
    }
    assert!(refused.is_some_and(|said| said.contains("busy")), "{}", house.running.metrics());
    assert!(house.metric("offhook_calls_refused_total{reason=\"number_budget\"}") > 0, "{}", house.running.metrics());
    let other = CallOptions { from: "+14155550199".to_owned(), ..house.caller(vec![Step::HangUp]) };
    assert_eq!(place(other).await.outcome, Outcome::Connected);
}

#[tokio::test]
async fn the_sound_of_waiting_is_as_loud_as_configured_fades_and_is_gone_when_the_agent_speaks() {
    let port = Other::default().listen().await;
    let http = format!("url = \"http://127.0.0.1:{port}/wait/2600\", allow_private = true");
    let agent = format!("greeting = {{ say = \"Greet.\" }}\ntools = []\n{}", tool("slow", 8_000, &http));
    let script = "think_ms = 100\n[greeting]\nsay = \"Hello.\"\n[[turn]]\nhears = \"Please.\"\ntools = [{ name = \"slow\" }]\n\
        then_say = \"That is all I found for you today.\"\n[otherwise]\nsay = \"Yes.\"\n";
    let deployment = "[keep]\nrecording = true\njournal = \"audio\"\n\
        [tool_sound]\nsound = \"tone\"\ngrace_ms = 300\nvolume_db = -6\nfade_in_ms = 400\n";
    let plan = Plan { agent, script: script.to_owned(), deployment: deployment.to_owned(), ..Plan::default() };
    let site = Site::build(&Plan { deployment: String::new(), ..plan_without_sound(&plan) }).await;
    let sounds = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/sounds/tone.wav");
    let tone = site.config().join("sounds/tone.wav");
    std::fs::create_dir_all(tone.parent().expect("a folder")).expect("a folder");
    std::fs::copy(sounds, &tone).expect("the project's tone");
    write(
        &site.config().join("deployments/desk.toml"),
        &format!("agent = \"mia\"\nnumber = \"{NUMBER}\"\n{deployment}"),
    );
    let house = House::open(site, None).await;
    let heard = place(house.caller(one_turn(answered_after_a_tool()))).await;
    assert_eq!((heard.ended_by, heard.violations.len()), (EndedBy::Caller, 0));
    let (report, folder) = house.report(0).await;
    assert_eq!((outputs(&report)["slow"], counter(&report, "tool_sounds")), (r#"{"waited_ms":2600}"#, 1));

    let loops: Vec<i16> = ulaw_of(&tone);
    let audio: Vec<i16> = heard.audio.iter().map(|&byte| ulaw_to_linear(byte)).collect();
    let begun = report.media_start_at_ms.expect("media");
    let answered_at = (report.tools[0].at_ms - begun) as usize * 8;
    // The last second before the tool's answer: the sound and nothing else, at its volume.
    let window = &audio[answered_at - 8_000..answered_at - 1_600];
    let found = find(&window[..1_600], &loops).expect("a sound");
    assert!(found.similarity > 0.95, "{found:?}");
    assert!((db(found.gain) + 6.0).abs() < 1.0, "{} dB", db(found.gain));
    // Its beginning: from silence up, monotone but for μ-law's steps, in the time that is configured.
    let phase = (found.phase + loops.len() - 12_000 % loops.len()) % loops.len();
    let before = &audio[answered_at - 20_000..answered_at - 8_000];
    let envelope: Vec<f32> = gains(before, &loops, phase, 400).into_iter().map(|g| g.unwrap_or(0.0)).collect();
    let falls = envelope.windows(2).filter(|w| w[1] < w[0] - 0.06).count();
    assert!(falls <= 1, "falls while it comes up: {envelope:?}");
    // In windows of 50 ms: from the first of it to nine tenths of its volume.
    let begun = envelope.iter().position(|gain| *gain > 0.02).expect("its beginning");
    let risen = envelope.iter().position(|gain| *gain > 0.9 * found.gain).expect("its volume");
    assert!(begun > 0 && (4..=9).contains(&(risen - begun)), "fades in within 400 ms: {envelope:?}");
    // No click: no step larger than the sound's own, at the seam or anywhere.
    let own = largest_step(&loops) as f32 * 0.6;
    assert!((largest_step(window) as f32) < own.max(600.0), "{} against {own}", largest_step(window));
    // Once the agent is heard, nothing of it is.
    let answer = report.lines.iter().find(|line| line.text.starts_with("That is all")).expect("an answer");
    let spoken = answer.media_at_ms as usize * 8;
    let under = find(&audio[spoken + 800..spoken + 4_000], &loops).expect("the agent");
    assert!(under.similarity < 0.3, "{under:?}");
    // And it is not the agent's: the recording's right side is silent meanwhile.
    let mut wav = hound::WavReader::open(folder.join("recording.wav")).expect("a recording");
    let samples: Vec<i16> = wav.samples::<i16>().map(|s| s.expect("a sample")).collect();
    let right = |at: usize| samples[2 * at + 1];
    assert!((answered_at - 8_000..answered_at - 1_600).all(|at| right(at) == 0), "the recording has it");
    verified(&folder);
}

fn answered_after_a_tool() -> Vec<Step> {
    vec![Step::Silence(3_500), Step::WaitAgentSilent { for_ms: 900, max_ms: 10_000 }, Step::HangUp]
}

fn plan_without_sound(plan: &Plan) -> Plan {
    Plan { agent: plan.agent.clone(), script: plan.script.clone(), ..Plan::default() }
}

/// A sound as the line plays it.
fn ulaw_of(path: &Path) -> Vec<i16> {
    let mut wav = hound::WavReader::open(path).expect("a WAV file");
    assert_eq!(wav.spec().sample_rate, 8_000);
    wav.samples::<i16>()
        .map(|s| ulaw_to_linear(offhook::base::audio::g711::linear_to_ulaw(s.expect("a sample"))))
        .collect()
}

/// Holds recording, journal and report of a call against each other.
fn verified(folder: &Path) {
    let run =
        std::process::Command::new(env!("CARGO_BIN_EXE_offhook")).arg("verify").arg(folder).output().expect("verify");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
}
