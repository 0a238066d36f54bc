//! Calls that go well.

use offhook::stage::phone::{EndedBy, Outcome, Step};

use crate::house::{House, Plan, place};

/// A voice by its loudness: what the scripted model's ear goes by.
pub(crate) fn speech(ms: u64) -> Step {
    let samples: Vec<i16> = (0..ms * 8)
        .map(|i| ((i as f64 * 0.17).sin() * 9_000.0 * (0.6 + 0.4 * (i as f64 * 0.003).sin())) as i16)
        .collect();
    Step::Say(offhook::stage::phone::Clip::from_linear("speech", &samples))
}

#[tokio::test]
async fn phn_01_phn_10_a_caller_is_greeted_and_answered_and_all_of_it_is_kept() {
    let house = House::build(Plan::default()).await;
    let agent_done = Step::WaitAgentSilent { for_ms: 600, max_ms: 10_000 };
    let agent_speaks = Step::WaitAgentSpeaking { after_ms: 100, max_ms: 10_000 };
    let script = vec![agent_speaks.clone(), agent_done.clone(), speech(1_200), agent_speaks, agent_done, Step::HangUp];
    let heard = place(house.caller(script)).await;
    assert_eq!((heard.outcome, heard.ended_by), (Outcome::Connected, EndedBy::Caller));
    assert_eq!(heard.violations, []);
    assert!(heard.heard.len() >= 2, "greeting and answer: {:?}", heard.heard);

    let (report, folder) = house.report(0).await;
    assert_eq!(report.end.kind(), "caller_hung_up");
    assert_eq!(report.carrier_call, heard.call_sid);
    assert_eq!(report.turns.len(), 1, "{report:#?}");
    let texts: Vec<_> = report.lines.iter().map(|line| line.text.as_str()).collect();
    assert!(texts[0].contains("Greet.") && texts.contains(&"I see, thank you."), "{texts:?}");
    let kept: offhook::report::Report =
        serde_json::from_slice(&std::fs::read(folder.join("report.json")).expect("a report")).expect("its shape");
    assert_eq!(kept, report);
    let recording = report.recording.expect("a recording");
    assert_eq!((recording.missing_from_ms, recording.error), (None, None));
    let wav = hound::WavReader::open(folder.join("recording.wav")).expect("a WAV file");
    assert_eq!((u64::from(wav.duration()), wav.spec().channels), (recording.frames, 2));
    let journal = std::fs::read_to_string(folder.join("journal")).expect("a journal");
    assert!(journal.lines().count() > 100, "{} lines", journal.lines().count());

    let [caller_leg, model_leg] = house.running.legs();
    assert!(caller_leg.p50_us.is_some() && model_leg.p50_us.is_some(), "{caller_leg:?} {model_leg:?}");
    assert_eq!(house.metric("offhook_calls_ended_total{reason=\"caller_hung_up\"}"), 1);
    assert_eq!(house.metric("offhook_calls{phase=\"talking\"}"), 0);
    assert_eq!(house.metric("offhook_turn_seconds_count"), 1);
}

#[tokio::test]
async fn an_operator_ends_a_call_over_rest_or_without_it_by_closing_the_stream() {
    for (carrier, ended_by) in [(true, EndedBy::Rest), (false, EndedBy::Server { code: Some(1000) })] {
        let house = House::build(Plan { carrier, agent: String::new(), ..Plan::default() }).await;
        let call = tokio::spawn(place(house.caller(vec![Step::WaitEnd { max_ms: 30_000 }])));
        crate::house::until("the stream is up", || house.metric("offhook_calls{phase=\"talking\"}") == 1).await;
        let id = house.running.calls().remove(0);
        let end = offhook::engine::Control::End(offhook::engine::EndReason::Operator);
        assert!(house.running.control(&id, end.clone()));
        assert_eq!(call.await.expect("a call").ended_by, ended_by);
        assert_eq!(house.report(0).await.0.end.kind(), "operator");
        assert_eq!(house.metric("offhook_effects_total{result=\"done\"}"), 1);
        crate::house::until("the slot is free", || house.running.calls().is_empty()).await;
        assert!(!house.running.control(&id, end), "there is no such call any more");
    }
}
