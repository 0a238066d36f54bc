//! Ids that name several things, or nothing: for as long as a call lasts.

use super::odd::{check, created, delta, done, told, transcript, turn, words};
use super::*;
use crate::base::time::CallTime;
use crate::engine::{CallerEvent, Input};
use crate::lab::sim::{Sim, scenario};

/// More than a session remembers of anything.
const ROUNDS: u32 = 40;

#[test]
fn no_name_is_given_twice_in_a_session_however_often_an_id_comes() {
    let mut session = phone();
    let mut names = std::collections::BTreeSet::new();
    let of = json!({ "response_id": "r", "item_id": "item_0" });
    for round in 1..=ROUNDS {
        encoded(&mut session, ModelCommand::CommitAudio { number: round });
        let messages = [
            turn("committed", json!("u")),
            transcript(json!("u"), "Yes."),
            created(json!("r")),
            delta(of.clone()),
            words(of.clone(), "Yes."),
            done(json!("r")),
        ];
        let lines = told(&mut session, &messages);
        assert_eq!(lines.len(), messages.len(), "{lines:?}");
        let named = |line: usize, word: usize| lines[line].split(' ').nth(word).unwrap().to_owned();
        assert_eq!((named(0, 1), named(2, 1), named(3, 2)), (named(1, 1), named(5, 1), named(4, 1)));
        for name in [named(0, 1), named(2, 1), named(3, 2)] {
            assert!(names.insert(name), "round {round}: {lines:?}");
        }
    }
}

#[test]
fn a_model_that_calls_all_its_replies_the_same_is_heard_to_the_end_of_the_call() {
    let mut session = phone();
    let mut sim = Sim::new(scenario::settings(), 30);
    sim.input(Input::Caller(CallerEvent::Started));
    sim.caller_audio(true);
    sim.input(Input::Model(ModelEvent::Ready { session: "s".into(), turns: None }));
    let audio: Value = serde_json::from_str(&audio_delta("r", "item_0", &[0x55; 1_600])).unwrap();
    let of = json!({ "response_id": "r", "item_id": "item_0" });
    for round in 1..=ROUNDS {
        let messages = [created(json!("r")), audio.clone(), words(of.clone(), "Yes."), done(json!("r"))];
        for message in messages {
            let text = message.to_string();
            if let Some(event) = session.decode(&text) {
                sim.input(Input::Model(event));
            }
            while let Some(event) = session.poll_event() {
                sim.input(Input::Model(event));
            }
        }
        sim.run_until(CallTime::from_ms(u64::from(round) * 1_000));
    }
    let report = sim.engine().report();
    let heard: Vec<_> = report.lines.iter().map(|line| (line.text.as_str(), line.heard_ms)).collect();
    assert_eq!(heard, vec![("Yes.", 200); ROUNDS as usize]);
}

#[test]
fn words_of_an_item_whose_audio_is_over_are_its_own_whatever_they_are_called() {
    let of = |n: u32| json!({ "response_id": "r1", "item_id": format!("p{n}") });
    let audio_done =
        |n: u32| json!({ "type": "response.output_audio.done", "response_id": "r1", "item_id": format!("p{n}") });
    let messages = [
        created(json!("r1")),
        delta(of(1)),
        audio_done(2),
        words(of(3), "One."),
        delta(of(4)),
        audio_done(5),
        done(json!("r1")),
        words(of(6), "Two."),
    ];
    check(
        &messages,
        &[
            "begin r1",
            "audio r1 p1 3",
            "says p1 \"One.\" true",
            "audio r1 p4 3",
            "end r1 Completed",
            "says p4 \"Two.\" true",
        ],
    );
}

#[test]
fn an_item_is_truncated_by_the_first_id_that_is_told_of_it() {
    let added = json!({ "type": "response.output_item.added", "response_id": "r", "item": { "type": "message" } });
    let nameless = delta(json!({ "response_id": "r" }));
    for first in [added, nameless] {
        let mut session = phone();
        told(&mut session, &[created(json!("r")), first]);
        let lines = told(&mut session, &[delta(json!({ "response_id": "r", "item_id": "a" }))]);
        assert_eq!(lines, ["audio r item~1 3"]);
        let truncate = encoded(&mut session, ModelCommand::Truncate { item: "item~1", audio_end_ms: 3 });
        assert_eq!(truncate["item_id"], "a");
    }
}

/// A tool call, as an item.
fn call(fields: Value) -> Value {
    let mut call = json!({ "type": "function_call", "status": "completed", "name": "note", "arguments": "{\"a\":1}" });
    call.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    call
}

fn arguments_done(fields: Value) -> Value {
    let mut message =
        json!({ "type": "response.function_call_arguments.done", "name": "note", "arguments": "{\"a\":1}" });
    message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    message
}

fn item_done(item: Value) -> Value {
    json!({ "type": "response.output_item.done", "item": item })
}

fn done_with(id: Value, output: Value) -> Value {
    json!({ "type": "response.done", "response": { "id": id, "status": "completed", "output": output } })
}

#[test]
fn a_call_is_run_once_in_whatever_order_and_by_whatever_id_it_is_told() {
    let listed = call(json!({ "id": "i", "call_id": "c" }));
    let ended = [created(json!("r1")), done_with(json!("r1"), json!([listed]))];
    for trailing in [
        arguments_done(json!({ "item_id": "i", "call_id": "c" })),
        arguments_done(json!({ "item_id": "i" })),
        item_done(listed.clone()),
    ] {
        let mut session = phone();
        let lines = told(&mut session, &[&ended[..], &[trailing]].concat());
        assert_eq!(lines, ["begin r1", "tool r1 c note {\"a\":1}", "end r1 Completed"]);
        // Nor does that begin a response of which nobody knows.
        assert_eq!(told(&mut session, &[created(json!("r2"))]), ["begin r2"]);
    }
    // The id by which it is answered is told with its end.
    let late_id = [
        created(json!("r1")),
        arguments_done(json!({ "response_id": "r1", "item_id": "i" })),
        item_done(listed.clone()),
        done_with(json!("r1"), json!([listed])),
    ];
    check(&late_id, &["begin r1", "tool r1 c note {\"a\":1}", "end r1 Completed"]);
    // Never told: the item's own.
    let no_id =
        [created(json!("r1")), arguments_done(json!({ "response_id": "r1", "item_id": "i" })), done(json!("r1"))];
    check(&no_id, &["begin r1", "tool r1 i note {\"a\":1}", "end r1 Completed"]);
}

#[test]
fn ends_alone_are_ends_of_different_responses() {
    let end = done_with(Value::Null, json!([call(json!({ "call_id": "call_1" }))]));
    let lines = told(&mut phone(), &[end.clone(), end.clone()]);
    let named = |line: &str| line.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].starts_with("tool ") && lines[2].starts_with("tool "), "{lines:?}");
    assert_eq!((named(&lines[0]), named(&lines[2])), (named(&lines[1]), named(&lines[3])));
    assert_ne!(named(&lines[0]), named(&lines[2]));
    // With the item before it.
    let round = [item_done(call(json!({ "call_id": "call_1" }))), end];
    let lines = told(&mut phone(), &round);
    assert_eq!(lines.iter().filter(|line| line.starts_with("tool")).count(), 1, "{lines:?}");
}

#[test]
fn a_call_without_any_id_is_run_once() {
    let bare = call(json!({}));
    let end = done_with(json!("r1"), json!([bare]));
    for told_by in [
        vec![item_done(bare.clone()), done(json!("r1"))],
        vec![end.clone()],
        vec![arguments_done(json!({})), item_done(bare.clone()), end.clone()],
        vec![item_done(call(json!({ "call_id": "call~1" }))), end],
    ] {
        let lines = told(&mut phone(), &[&[created(json!("r1"))], &told_by[..]].concat());
        assert_eq!(lines, ["begin r1", "tool r1 call~1 note {\"a\":1}", "end r1 Completed"], "{told_by:#?}");
    }
    // Another call is another one.
    let other = call(json!({ "arguments": "{\"a\":2}" }));
    let lines = told(&mut phone(), &[created(json!("r1")), item_done(bare), item_done(other)]);
    assert_eq!(lines, ["begin r1", "tool r1 call~1 note {\"a\":1}", "tool r1 call~2 note {\"a\":2}"]);
}

#[test]
fn an_answer_to_a_call_without_an_id_is_told_as_text() {
    let mut session = phone();
    told(&mut session, &[created(json!("r1")), item_done(call(json!({})))]);
    let answer = encoded(&mut session, ModelCommand::ToolOutput { number: 1, call: "call~1", output: "{\"ok\":true}" });
    assert_eq!(answer["item"]["type"], "message");
    assert_eq!(answer["item"]["role"], "system");
    let text = answer["item"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("{\"ok\":true}"), "{text}");
}
