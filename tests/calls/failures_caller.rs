//! What goes wrong on the caller's side: what the caller hears, what the report says, and that no other call noticed.

use offhook::config::Secret;
use offhook::stage::phone::{CallOptions, EndedBy, Fault, Outcome, Step};

use crate::house::{NUMBER, TOKEN, place};
use crate::street::{Number, Street, WORDS, empty, polite, words};
use crate::talk::speech;

const ANSWER: &str =
    "[[turn]]\nhears = \"Hello.\"\nclip = \"LINE\"\nsay = \"one two three four five six seven eight nine ten\"\n";
/// An answer of 3.1 s and one of its own after it.
const LONG: &str = "[[turn]]\nhears = \"Hello.\"\nsay = \"one two three four five six seven eight nine ten\"\n\
                    [[turn]]\nhears = \"Stop.\"\nclip = \"LINE\"\n";

fn speaking(after_ms: u64) -> Step {
    Step::WaitAgentSpeaking { after_ms, max_ms: 15_000 }
}

#[tokio::test]
async fn a_caller_who_leaves_in_mid_sentence_has_heard_what_the_report_says() {
    let number = |name| Number { name, script: LONG, ..Number::default() };
    let street = Street::build("", None, vec![number("leaving"), number("dying"), number("reported")]).await;
    let talk = |then| vec![speech(500), speaking(1_000), then];
    let sid = "CA00000000000000000000000000000077";
    let reported = CallOptions {
        call_sid: Some(sid.to_owned()),
        ..street.caller("reported", talk(Step::WaitEnd { max_ms: 20_000 }))
    };
    let callers = vec![street.caller("leaving", talk(Step::HangUp)), street.caller("dying", talk(Step::Die)), reported];
    let carrier = async {
        // The carrier's word comes while the agent speaks.
        let said = || street.house.metric("offhook_calls_ended_total{reason=\"caller_hung_up\"}") >= 1;
        crate::house::until("another call is over", said).await;
        street.house.post("/twilio/call-status", &[("CallSid", sid), ("CallStatus", "completed")], TOKEN).await;
    };
    let (calls, ()) = tokio::join!(street.live(callers), carrier);
    let ends = [
        (EndedBy::Caller, "caller_hung_up"),
        (EndedBy::CallerDied, "caller_hung_up"),
        (EndedBy::Server { code: Some(1000) }, "caller_hung_up"),
    ];
    for (call, (ended_by, kind)) in calls.iter().zip(ends) {
        assert_eq!((call.heard.ended_by, call.report.end.kind()), (ended_by, kind));
        assert_eq!((call.heard.heard.len(), call.heard.violations.len()), (1, 0));
        assert!(call.heard_ms().abs_diff(call.reported_ms()) <= 500, "{} {:?}", call.heard_ms(), call.report.lines);
        let [(heard, unheard)] = call.said()[..] else { panic!("{:?}", call.said()) };
        assert!(!heard.is_empty() && unheard.ends_with("ten"), "{heard:?} {unheard:?}");
        assert_eq!(format!("{heard}{unheard}").replace(' ', ""), WORDS.replace(' ', ""));
        assert!(call.report.interruptions.is_empty(), "leaving is not interrupting");
    }
    empty(&street.house).await;
}

#[tokio::test]
async fn a_media_socket_that_breaks_is_no_hang_up() {
    let street = Street::build("", None, vec![Number { name: "shaky", script: LONG, ..Number::default() }]).await;
    let silent = Step::WaitAgentSilent { for_ms: 900, max_ms: 12_000 };
    let breaks = || vec![speaking(700), Step::Break];
    let caller = CallOptions {
        scripts_after: [breaks(), vec![speaking(300), silent, Step::HangUp]].into(),
        ..street.caller("shaky", [vec![speech(500)], breaks()].concat())
    };
    let call = street.live(vec![caller]).await.remove(0);
    assert_eq!((call.heard.ended_by, call.report.end.kind()), (EndedBy::Caller, "caller_hung_up"));
    // One conversation, whose agent went on at the sample.
    assert_eq!((call.counter("line_breaks"), call.report.turns.len()), (2, 1), "{:?}", call.report.counters);
    assert_eq!(call.said(), [(WORDS, "")]);
    assert_eq!(call.report.lines.last().map(|line| line.heard_ms), Some(WORDS.len() as u64 * 65));
    assert_eq!(call.report.gaps.len(), 2, "{:?}", call.report.gaps);
    assert_eq!(call.heard.violations.len(), 0, "{:?}", call.heard.violations);
    empty(&street.house).await;
}

#[tokio::test]
async fn a_line_whose_clock_runs_apart_keeps_its_tracks_together() {
    let number = |name| Number { name, script: LONG, ..Number::default() };
    let street = Street::build("", None, vec![number("fast"), number("slow")]).await;
    let silent = Step::WaitAgentSilent { for_ms: 900, max_ms: 12_000 };
    let script = || vec![Step::Silence(9_000), speech(500), speaking(700), silent.clone(), Step::HangUp];
    let callers = [("fast", 5_000), ("slow", -5_000)]
        .map(|(name, clock_ppm)| CallOptions { clock_ppm, ..street.caller(name, script()) });
    // That recordings agree with journal and report is held for every call.
    for (call, clock_ppm) in street.live(callers.into()).await.iter().zip([5_000, -5_000]) {
        let told = call.report.line_clock_ppm.expect("a call of more than ten seconds");
        assert!(i64::abs_diff(told, clock_ppm) <= 1_000, "{told}");
        assert_eq!((call.said(), call.counter("underruns")), (vec![(WORDS, "")], 0));
        assert!(call.report.gaps.is_empty(), "{:?}", call.report.gaps);
    }
}

#[tokio::test]
async fn a_caller_whose_socket_stalls_for_ten_seconds_hears_the_rest_after_it() {
    let number = |name, playout| Number { name, script: LONG, playout, ..Number::default() };
    let street = Street::build(
        "",
        None,
        vec![
            number("patient", "playout.lead_ms = 200"),
            number("forgetful", "playout = { lead_ms = 200, mark_timeout_ms = 2000 }"),
            number("stopped", "playout.lead_ms = 200"),
        ],
    )
    .await;
    let stall = Step::StopReading(10_000);
    let silent = Step::WaitAgentSilent { for_ms: 900, max_ms: 12_000 };
    let waits = vec![speech(500), speaking(700), stall.clone(), Step::Silence(10_300), silent.clone(), Step::HangUp];
    let stops = vec![speech(500), speaking(700), stall, speech(600), Step::Silence(9_700), silent, Step::HangUp];
    let callers = vec![
        street.caller("patient", waits.clone()),
        street.caller("forgetful", waits),
        street.caller("stopped", stops),
    ];
    let calls = street.live(callers).await;
    for call in &calls {
        assert_eq!((call.heard.ended_by, call.report.end.kind()), (EndedBy::Caller, "caller_hung_up"));
        assert_eq!((call.heard.violations.len(), call.heard.overflow_ms), (0, 0));
        assert!(call.counter("line_stalls") >= 1, "{:?}", call.report.counters);
        let off = call.heard_ms().abs_diff(call.reported_ms());
        assert!(off <= 500, "{} heard, {} by the report: {:?}", call.heard_ms(), call.reported_ms(), call.report.lines);
    }
    let [patient, forgetful, stopped] = &calls[..] else { panic!("three calls") };
    assert_eq!((patient.said(), patient.counter("marks_lost")), (vec![(WORDS, "")], 0));
    assert_eq!(patient.report.lines.last().map(|line| line.heard_ms), Some(WORDS.len() as u64 * 65));
    assert_eq!(forgetful.said(), [(WORDS, "")]);
    assert!(forgetful.counter("marks_lost") > 0);
    assert_eq!((stopped.report.interruptions.len(), stopped.times_heard("line")), (1, 1), "{:?}", stopped.report);
    assert!(stopped.said()[0].1.ends_with("ten"), "{:?}", stopped.said());
    // What waits for a stalled line is what the lead and the stall's limit let through, not the whole answer.
    assert_eq!(street.house.metric("offhook_line_dropped_bytes_total"), 0);
}

#[tokio::test]
async fn nonsense_on_the_media_socket_is_counted_and_the_call_goes_on() {
    let number = |name| Number { name, script: ANSWER, ..Number::default() };
    let street = Street::build("", None, vec![number("early"), number("odd"), number("huge")]).await;
    let media =
        r#"{"event":"media","streamSid":"{streamSid}","media":{"track":"inbound","timestamp":"0","payload":"//8="}}"#;
    let early = CallOptions {
        before_start: vec![media.to_owned(), media.to_owned(), "hello".to_owned()],
        ..street.caller("early", polite())
    };
    let raw = |text: &str| Step::Raw(text.to_owned());
    let mut odd = vec![
        Step::StartAgain,
        Step::RawBinary(vec![0; 300]),
        raw("not JSON"),
        raw(r#"{"event":"media","streamSid":"{streamSid}","media":{"track":"inbound","timesta"#),
        raw(
            r#"{"event":"media","streamSid":"{streamSid}","media":{"track":"inbound","timestamp":"0","payload":"%%%"}}"#,
        ),
        raw(r#"{"event":"media","streamSid":"MZother","media":{"track":"inbound","timestamp":"0","payload":"//8="}}"#),
        raw(r#"{"event":"mark","streamSid":"{streamSid}","mark":{"name":"somebody else's"}}"#),
        raw(r#"{"event":"never heard of"}"#),
        raw(&format!(r#"{{"event":"media","filler":"{}"}}"#, "x".repeat(70_000))),
        Step::Duplicate(5),
        Step::Silence(300),
        Step::Reorder(5),
        Step::Silence(300),
        Step::SkipMedia(400),
    ];
    odd.extend(polite());
    let huge = vec![speech(500), speaking(500), raw(&"x".repeat(1_100_000)), Step::WaitEnd { max_ms: 10_000 }];
    let calls = street.live(vec![early, street.caller("odd", odd), street.caller("huge", huge)]).await;
    let [early, odd, huge] = &calls[..] else { panic!("three calls") };
    for call in [early, odd] {
        assert_eq!((call.heard.ended_by, call.report.end.kind()), (EndedBy::Caller, "caller_hung_up"));
        assert_eq!((call.times_heard("line"), call.heard.heard.len()), (1, 1), "{:?}", call.heard.heard);
        assert_eq!((call.said(), call.heard.violations.len()), (vec![(WORDS, "")], 0));
    }
    assert_eq!((early.counter("line_before_start"), early.counter("line_malformed")), (2, 1), "{:?}", early.report);
    for (name, n) in [
        ("line_second_starts", 1),
        ("line_binary", 1),
        ("line_malformed", 2),
        ("line_bad_base64", 1),
        ("line_wrong_stream", 1),
        ("line_foreign_marks", 1),
        ("line_unknown_events", 1),
        ("line_oversized", 1),
    ] {
        assert_eq!(odd.counter(name), n, "{name}: {:?}", odd.report.counters);
    }
    assert!(odd.counter("caller_gap_ms") >= 400 && !odd.report.gaps.is_empty(), "{:?}", odd.report.counters);
    // A message beyond all reason costs the stream that sent it, and only that: the caller comes back, and hangs up.
    assert_eq!((huge.report.end.kind(), huge.said().len()), ("caller_hung_up", 1), "{:?}", huge.heard.ended_by);
    assert_eq!((huge.heard.ended_by, huge.counter("line_breaks")), (EndedBy::Caller, 1), "{:?}", huge.report.counters);
    empty(&street.house).await;
}

#[tokio::test]
async fn who_has_no_right_to_a_call_gets_none_and_disturbs_nobody() {
    let number = Number { name: "answered", script: ANSWER, limits: "media_start_s = 1", ..Number::default() };
    let street = Street::build("", None, vec![number]).await;
    let first = street.live(vec![street.caller("answered", polite())]).await.remove(0);
    assert_eq!((first.times_heard("line"), first.report.end.kind()), (1, "caller_hung_up"));
    let unsigned = CallOptions { token: None, ..street.caller("answered", polite()) };
    let forger = CallOptions { token: Some(Secret::new("54321")), ..street.caller("answered", polite()) };
    let hijacker = CallOptions { upgrade_token: Some(Secret::new("54321")), ..street.caller("answered", polite()) };
    // The token of a call that is over, by the same call and by another.
    let replayed = CallOptions { twiml: Some(first.heard.twiml.clone()), ..street.caller("answered", polite()) };
    let again = CallOptions { call_sid: Some(first.heard.call_sid.clone()), ..replayed.clone() };
    let trouble = async {
        let calls = [unsigned, forger, hijacker, replayed, again].map(|caller| tokio::spawn(place(caller)));
        let mut heard = Vec::new();
        for call in calls {
            heard.push(call.await.expect("a call"));
        }
        let hijacked = street.lived(heard.remove(2)).await;
        (heard, hijacked)
    };
    let (heard, hijacked) = street.beside_the_neighbour(trouble).await;
    for call in &heard[..2] {
        assert!(matches!(&call.outcome, Outcome::HttpError { status: 403, .. }), "{:?}", call.outcome);
    }
    for call in &heard[2..] {
        assert_eq!((&call.outcome, call.ended_by), (&Outcome::Connected, EndedBy::Server { code: Some(1008) }));
    }
    for call in heard.iter().chain([&hijacked.heard]) {
        assert!(call.heard.is_empty(), "not a sound for them");
    }
    assert!(matches!(hijacked.heard.outcome, Outcome::StreamRefused { status: 403, .. }));
    assert_eq!((hijacked.report.end.kind(), hijacked.report.media_start_at_ms), ("never_connected", None));
    assert!(hijacked.report.lines.is_empty() && !street.house.running.metrics().contains("54321"));
    assert_eq!(street.house.metric("offhook_media_rejected_total{reason=\"unknown_token\"}"), 2);
    // With the neighbour's two, these are all: nobody without a right was given a call.
    assert_eq!(street.house.metric("offhook_calls_ended_total{reason=\"caller_hung_up\"}"), 3);
    empty(&street.house).await;
}

#[tokio::test]
async fn a_carrier_that_cannot_hang_up_is_hung_up_on() {
    let script = "[[turn]]\nhears = \"Hello.\"\nclip = \"LINE\"\ntools = [{ name = \"hang_up\" }]\n";
    let street = Street::build(
        "",
        None,
        vec![Number { name: "ending", script, agent: "tools = [\"hang_up\"]\n", ..Number::default() }],
    )
    .await;
    let carrier = street.house.site.carrier.clone().expect("a carrier");
    for (fault, asked) in [
        (Fault { delay_ms: 0, answer: Some((500, 20_500)) }, 2),
        (Fault { delay_ms: 1_000, answer: Some((500, 20_500)) }, 1),
    ] {
        (0..asked).for_each(|_| carrier.fail_next(fault));
        let script = vec![speech(500), Step::WaitEnd { max_ms: 20_000 }];
        let call = street.live(vec![street.caller("ending", script)]).await.remove(0);
        assert_eq!(call.heard.ended_by, EndedBy::Server { code: Some(1000) }, "{fault:?}");
        assert_eq!((call.report.end.kind(), call.times_heard("line")), ("agent_hung_up", 1), "{fault:?}");
    }
}

#[tokio::test]
async fn a_line_that_goes_dead_ends_the_call() {
    let number = Number { name: "dead", script: ANSWER, limits: "caller_gone_s = 5", ..Number::default() };
    let street = Street::build("", None, vec![number]).await;
    let script = vec![speech(500), speaking(20), Step::SkipMedia(20_000), Step::HangUp];
    let call = street.live(vec![street.caller("dead", script)]).await.remove(0);
    assert_eq!((call.report.end.kind(), call.times_heard("line")), ("caller_gone", 1));
    assert_eq!(call.heard.ended_by, EndedBy::Server { code: Some(1000) });
    assert!(!call.said().contains(&(words("fallback"), "")) && street.house.running.calls().is_empty());
}

#[tokio::test]
async fn webhooks_that_make_no_sense_are_refused_and_disturb_nobody() {
    let street = Street::build("", None, vec![]).await;
    let trouble = async {
        let url = street.house.url("/twilio/voice");
        let client = reqwest::Client::new();
        for (content_type, body, status) in [
            ("application/x-www-form-urlencoded", "%%%=&&&\u{0}", 403),
            ("application/json", "{\"CallSid\": 1}", 415),
            ("text/plain", "", 415),
        ] {
            let request = client.post(&url).header("content-type", content_type).body(body);
            assert_eq!(request.send().await.expect("an answer").status(), status, "{content_type}");
        }
        assert_eq!(street.house.post("/twilio/voice", &[("To", NUMBER)], TOKEN).await.0, 400, "no call is named");
        let long = "C".repeat(65);
        assert_eq!(street.house.post("/twilio/voice", &[("CallSid", &long), ("To", NUMBER)], TOKEN).await.0, 400);
        let strange = street.house.post("/twilio/voice", &[("CallSid", "CA1"), ("To", "sip:somebody")], TOKEN).await;
        assert!(strange.0 == 200 && strange.1.contains("<Say"), "{strange:?}");
        assert_eq!(street.house.running.calls().len(), 1, "the neighbour's");
    };
    street.beside_the_neighbour(trouble).await;
}
