//! Servers that speak nearly the same: what each of their oddities comes to, as recorded or as reported of them.

use super::*;

/// All that messages mean to the engine, one line each, with audio as its length.
pub(super) fn told(session: &mut Session, messages: &[Value]) -> Vec<String> {
    let mut lines = Vec::new();
    for message in messages {
        let text = message.to_string();
        lines.extend(session.decode(&text).map(|event| line(&event)));
        while let Some(event) = session.poll_event() {
            lines.push(line(&event));
        }
    }
    lines
}

fn line(event: &ModelEvent<'_>) -> String {
    match event {
        ModelEvent::ResponseStarted { response } => format!("begin {response}"),
        ModelEvent::ResponseDone { response, status, .. } => format!("end {response} {status:?}"),
        ModelEvent::Audio { response, item, payload, .. } => format!("audio {response} {item} {}", payload.len()),
        ModelEvent::AgentTranscript { item, text, done, .. } => format!("says {item} {text:?} {done}"),
        ModelEvent::CallerTranscript { item, text, done } => format!("heard {item} {text:?} {done}"),
        ModelEvent::SpeechStarted { item, .. } => format!("speaks {item}"),
        ModelEvent::SpeechStopped { item, .. } => format!("hushes {item}"),
        ModelEvent::Committed { item } => format!("turn {item}"),
        ModelEvent::ToolCall { response, call, name, arguments } => {
            format!("tool {response} {call} {name} {arguments}")
        }
        ModelEvent::Closed { reason, retry } => format!("closed {reason} retry={retry}"),
        ModelEvent::NotAsAsked { what } => format!("odd {what}"),
        ModelEvent::Ready { turns, .. } => format!("ready {turns:?}"),
        other => format!("{other:?}"),
    }
}

pub(super) fn created(id: Value) -> Value {
    json!({ "type": "response.created", "response": { "id": id, "status": "in_progress" } })
}

pub(super) fn done(id: Value) -> Value {
    json!({ "type": "response.done", "response": { "id": id, "status": "completed", "output": [] } })
}

pub(super) fn delta(fields: Value) -> Value {
    let mut message = json!({ "type": "response.output_audio.delta", "delta": "////" });
    message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    message
}

pub(super) fn words(fields: Value, text: &str) -> Value {
    let mut message = json!({ "type": "response.output_audio_transcript.done", "transcript": text });
    message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    message
}

pub(super) fn check(messages: &[Value], expected: &[&str]) {
    assert_eq!(told(&mut phone(), messages), expected, "{messages:#?}");
}

#[test]
fn responses_without_ids_are_told_apart() {
    let none = json!({});
    let once = [created(json!(null)), delta(none.clone()), words(none.clone(), "One."), done(json!(null))];
    check(
        &[once.clone(), once].concat(),
        &[
            "begin response~1",
            "audio response~1 item~2 3",
            "says item~2 \"One.\" true",
            "end response~1 Completed",
            "begin response~3",
            "audio response~3 item~4 3",
            "says item~4 \"One.\" true",
            "end response~3 Completed",
        ],
    );
}

#[test]
fn an_end_without_an_id_ends_what_runs() {
    let messages = [
        created(json!("r1")),
        delta(json!({ "response_id": "r1", "item_id": "a" })),
        done(json!(null)),
        created(json!("r2")),
    ];
    check(&messages, &["begin r1", "audio r1 a 3", "end r1 Completed", "begin r2"]);
    // Neither is one that is told twice ended twice, nor is the next one ended by it.
    let messages =
        [created(json!("r1")), done(json!("r1")), created(json!("r2")), done(json!("r1")), done(json!("r2"))];
    check(&messages, &["begin r1", "end r1 Completed", "begin r2", "end r2 Completed"]);
    // One that was never seen has ended all the same.
    check(&[done(json!("other"))], &["end other Completed"]);
}

#[test]
fn ids_that_come_again_name_something_new() {
    let of = |n: u32| json!({ "response_id": format!("r{n}"), "item_id": "item_0" });
    let once =
        |n: u32| [created(json!(format!("r{n}"))), delta(of(n)), words(of(n), "Yes."), done(json!(format!("r{n}")))];
    check(
        &[once(1), once(2)].concat(),
        &[
            "begin r1",
            "audio r1 item_0 3",
            "says item_0 \"Yes.\" true",
            "end r1 Completed",
            "begin r2",
            "audio r2 item_0~1 3",
            "says item_0~1 \"Yes.\" true",
            "end r2 Completed",
        ],
    );
    check(
        &[once(1), once(1)].concat(),
        &[
            "begin r1",
            "audio r1 item_0 3",
            "says item_0 \"Yes.\" true",
            "end r1 Completed",
            "begin r1~1",
            "audio r1~1 item_0~2 3",
            "says item_0~2 \"Yes.\" true",
            "end r1~1 Completed",
        ],
    );
}

#[test]
fn what_was_cancelled_and_comes_late_is_known() {
    let of = |r: &str| json!({ "response_id": r, "item_id": format!("of_{r}") });
    let mut session = phone();
    told(&mut session, &[created(json!("r1")), delta(of("r1"))]);
    encoded(&mut session, ModelCommand::CancelResponse);
    let late =
        [delta(of("r1")), done(json!("r1")), delta(of("r1")), created(json!("r2")), delta(of("r1")), delta(of("r2"))];
    assert_eq!(
        told(&mut session, &late),
        [
            "audio r1 of_r1 3",
            "end r1 Completed",
            "audio r1 of_r1 3",
            "begin r2",
            "audio r1 of_r1 3",
            "audio r2 of_r2 3"
        ]
    );
}

#[test]
fn an_id_for_each_piece_makes_one_item() {
    let of = |n: u32| json!({ "response_id": "r1", "item_id": format!("piece_{n}") });
    let pieces = [delta(of(1)), delta(of(2)), words(of(3), "One."), delta(of(4)), words(of(5), "Two.")];
    let expected = [
        "begin r1",
        "audio r1 piece_1 3",
        "audio r1 piece_1 3",
        "says piece_1 \"One.\" true",
        "audio r1 piece_1 3",
        "says piece_1 \"Two.\" true",
    ];
    check(&[&[created(json!("r1"))][..], &pieces].concat(), &expected);
    // Where items are told to begin, each is one of its own.
    let added = |id: &str| serde_json::from_str(&announced("r1", id)).unwrap();
    let of = |id: &str| json!({ "response_id": "r1", "item_id": id });
    let messages = [created(json!("r1")), added("a"), delta(of("a")), added("b"), delta(of("b")), words(of("a"), "A.")];
    check(&messages, &["begin r1", "audio r1 a 3", "audio r1 b 3", "says a \"A.\" true"]);
    // An id of the response for each piece, too.
    let of = |n: u32| json!({ "response_id": format!("x{n}"), "item_id": format!("y{n}") });
    check(
        &[delta(of(1)), delta(of(2)), done(json!("x3")), delta(of(4))],
        &["audio x1 y1 3", "audio x1 y1 3", "end x1 Completed", "audio x4 y4 3"],
    );
}

#[test]
fn words_are_taken_from_wherever_they_stand() {
    let item = json!({ "id": "a", "type": "message", "status": "completed", "content": [{ "type": "output_audio", "transcript": "Hi." }] });
    let item_done = json!({ "type": "response.output_item.done", "response_id": "r1", "item": item });
    let in_end =
        json!({ "type": "response.done", "response": { "id": "r1", "status": "completed", "output": [item] } });
    let of = json!({ "response_id": "r1", "item_id": "a" });
    let says = "says a \"Hi.\" true";
    let begun = [created(json!("r1")), delta(of.clone())];
    for (last, expected) in [
        (vec![item_done.clone(), done(json!("r1"))], vec![says, "end r1 Completed"]),
        (vec![in_end.clone()], vec![says, "end r1 Completed"]),
        (vec![words(of, "Hi."), item_done, in_end], vec![says, "end r1 Completed"]),
    ] {
        let messages = [&begun[..], &last].concat();
        check(&messages, &[&["begin r1", "audio r1 a 3"][..], &expected].concat());
    }
}

#[test]
fn beta_names_are_understood() {
    check(
        &[
            json!({ "type": "response.audio.delta", "response_id": "r", "item_id": "i", "delta": "////" }),
            json!({ "type": "response.audio_transcript.delta", "response_id": "r", "item_id": "i", "delta": "Hel" }),
            json!({ "type": "response.cancelled", "response": { "id": "r" } }),
        ],
        &["audio r i 3", "says i \"Hel\" false", "end r Cancelled"],
    );
}

pub(super) fn turn(kind: &str, item: Value) -> Value {
    json!({ "type": format!("input_audio_buffer.{kind}"), "item_id": item })
}

pub(super) fn transcript(item: Value, text: &str) -> Value {
    json!({ "type": "conversation.item.input_audio_transcription.completed", "item_id": item, "transcript": text })
}

#[test]
fn turns_without_ids_keep_their_own_words() {
    let none = Value::Null;
    check(
        &[
            turn("speech_started", none.clone()),
            turn("speech_stopped", none.clone()),
            turn("committed", none.clone()),
            turn("speech_started", none.clone()),
            transcript(none.clone(), "One."),
            turn("speech_stopped", none.clone()),
            turn("committed", none.clone()),
            transcript(none.clone(), "Two."),
            transcript(none, "And more."),
        ],
        &[
            "speaks turn~1",
            "hushes turn~1",
            "turn turn~1",
            "speaks turn~2",
            "heard turn~1 \"One.\" true",
            "hushes turn~2",
            "turn turn~2",
            "heard turn~2 \"Two.\" true",
            "heard turn~2 \"And more.\" true",
        ],
    );
    // Words that will not come are nobody else's.
    let failed = json!({ "type": "conversation.item.input_audio_transcription.failed", "error": {} });
    check(
        &[turn("committed", json!("u1")), turn("committed", json!("u2")), failed, transcript(Value::Null, "Two.")],
        &["turn u1", "turn u2", "TranscriptFailed { item: \"u1\" }", "heard u2 \"Two.\" true"],
    );
}

#[test]
fn ids_of_turns_that_differ_or_come_again_are_sorted_out() {
    // One id for the speech, another for the item, a third for each piece of its words.
    check(
        &[
            turn("speech_started", json!("s1")),
            turn("committed", json!("c1")),
            transcript(json!("t1"), "One"),
            transcript(json!("t2"), "piece."),
            transcript(json!("s1"), "More."),
        ],
        &["speaks s1", "turn s1", "heard s1 \"One\" true", "heard s1 \"piece.\" true", "heard s1 \"More.\" true"],
    );
    // Each turn is called the same; and one is told twice.
    let mut session = phone();
    encoded(&mut session, ModelCommand::CommitAudio { number: 1 });
    let once = [turn("committed", json!("u")), turn("committed", json!("u")), transcript(json!("u"), "One.")];
    assert_eq!(told(&mut session, &once), ["turn u", "heard u \"One.\" true"]);
    encoded(&mut session, ModelCommand::CommitAudio { number: 2 });
    assert_eq!(told(&mut session, &once), ["turn u~1", "heard u~1 \"One.\" true"]);
    // A turn that nothing but its words tell of.
    encoded(&mut session, ModelCommand::CommitAudio { number: 3 });
    assert_eq!(told(&mut session, &[transcript(json!("v"), "Three.")]), ["turn v", "heard v \"Three.\" true"]);
    assert_eq!(encoded(&mut session, ModelCommand::DeleteItem { item: "u~1" })["item_id"], "u");
}

#[test]
fn a_transcript_that_is_told_anew_as_it_grows_is_passed_on_as_pieces() {
    let so_far = |text: &str| json!({ "type": "conversation.item.input_audio_transcription.updated", "item_id": "u", "transcript": text });
    check(
        &[
            turn("committed", json!("u")),
            so_far("One"),
            so_far("One two"),
            so_far("Won two"),
            transcript(json!("u"), "One two."),
        ],
        &["turn u", "heard u \"One\" false", "heard u \" two\" false", "heard u \"One two.\" true"],
    );
}

#[test]
fn what_has_no_id_there_is_not_spoken_of() {
    let mut session = phone();
    told(&mut session, &[created(json!("r")), delta(json!({}))]);
    let mut out = String::new();
    session.encode(&ModelCommand::Truncate { item: "item~1", audio_end_ms: 3 }, &mut out);
    assert_eq!(out, "");
    told(
        &mut session,
        &[
            done(json!("r")),
            created(json!("r")),
            delta(json!({ "item_id": "a" })),
            done(json!("r")),
            created(json!("r")),
            delta(json!({ "item_id": "a" })),
        ],
    );
    let truncate = encoded(&mut session, ModelCommand::Truncate { item: "a~4", audio_end_ms: 3 });
    assert_eq!(truncate["item_id"], "a", "the far end knows it by its own name");
}

#[test]
fn tool_calls_are_told_in_any_way_and_once() {
    let arguments = json!({ "type": "response.function_call_arguments.done", "response_id": "r1", "item_id": "i", "call_id": "c", "name": "note", "arguments": "{\"a\":1}" });
    let call = json!({ "id": "i", "type": "function_call", "status": "completed", "call_id": "c", "name": "note", "arguments": "{\"a\":1}" });
    let item_done = json!({ "type": "response.output_item.done", "response_id": "r1", "item": call });
    let added = json!({ "type": "response.output_item.added", "response_id": "r1", "item": { "id": "i", "type": "function_call", "call_id": "c", "name": "note", "arguments": "" } });
    let piece = |text: &str| json!({ "type": "response.function_call_arguments.delta", "response_id": "r1", "item_id": "i", "call_id": "c", "delta": text });
    let end = |output: Value, status: &str| json!({ "type": "response.done", "response": { "id": "r1", "status": status, "output": output } });
    let listed = json!([call]);
    let nothing = json!([]);
    let tool = "tool r1 c note {\"a\":1}";
    for (name, messages, expected) in [
        (
            "as the API does",
            vec![added.clone(), arguments.clone(), item_done.clone(), end(listed.clone(), "completed")],
            vec![tool, "end r1 Completed"],
        ),
        ("arguments alone", vec![arguments.clone(), end(nothing.clone(), "completed")], vec![tool, "end r1 Completed"]),
        (
            "arguments of an item whose end is not told",
            vec![added.clone(), arguments.clone(), end(nothing.clone(), "completed")],
            vec![tool, "end r1 Completed"],
        ),
        ("the output alone", vec![end(listed.clone(), "completed")], vec![tool, "end r1 Completed"]),
        ("the item alone", vec![item_done.clone(), end(listed.clone(), "completed")], vec![tool, "end r1 Completed"]),
        (
            "pieces alone",
            vec![added.clone(), piece("{\"a\""), piece(":1}"), end(nothing.clone(), "completed")],
            vec![tool, "end r1 Completed"],
        ),
        (
            "cut short",
            vec![added.clone(), piece("{\"a\""), end(nothing.clone(), "cancelled")],
            vec!["end r1 Cancelled"],
        ),
        (
            "cut short and called whole",
            vec![added.clone(), piece("{\"a\""), end(nothing, "completed")],
            vec!["end r1 Completed"],
        ),
        (
            "finished before the response was cancelled",
            vec![added, end(listed, "cancelled")],
            vec![tool, "end r1 Cancelled"],
        ),
        (
            "told again after the end",
            vec![item_done.clone(), end(json!([]), "completed"), item_done, arguments],
            vec![tool, "end r1 Completed"],
        ),
    ] {
        let mut session = phone();
        told(&mut session, &[created(json!("r1"))]);
        assert_eq!(told(&mut session, &messages), expected, "{name}");
    }
}

#[test]
fn arguments_are_read_however_they_are_written() {
    for (arguments, read) in [
        (json!("{\"a\":1}"), "{\"a\":1}"),
        (json!({ "a": 1 }), "{\"a\":1}"),
        (json!(""), ""),
        (json!(null), ""),
        (json!("null"), ""),
        (json!("\"\""), ""),
        (json!("\"{\\\"a\\\":1}\""), "{\"a\":1}"),
        (json!("```json\n{\"a\":1}\n```"), "{\"a\":1}"),
        (json!("```\n{\"a\":1}\n```"), "{\"a\":1}"),
        (json!("[1]"), "[1]"),
    ] {
        let item =
            json!({ "id": "i", "type": "function_call", "call_id": "c", "name": "note", "arguments": arguments });
        let message = json!({ "type": "response.output_item.done", "response_id": "r1", "item": item });
        check(&[created(json!("r1")), message], &["begin r1", &format!("tool r1 c note {read}")]);
    }
}

#[test]
fn a_later_response_may_use_a_calls_id_again() {
    let call = |r: &str| json!({ "type": "response.output_item.done", "response_id": r, "item": { "type": "function_call", "status": "completed", "call_id": "call_1", "name": "note", "arguments": "{}" } });
    check(
        &[
            created(json!("r1")),
            call("r1"),
            done(json!("r1")),
            created(json!("r2")),
            call("r2"),
            call("r2"),
            done(json!("r2")),
        ],
        &[
            "begin r1",
            "tool r1 call_1 note {}",
            "end r1 Completed",
            "begin r2",
            "tool r2 call_1 note {}",
            "end r2 Completed",
        ],
    );
    // Also where both responses are called the same, or nothing.
    for id in [json!("r"), json!(null)] {
        let call = call(id.as_str().unwrap_or_default());
        let once = [created(id.clone()), call, done(id.clone())];
        let lines = told(&mut phone(), &[once.clone(), once].concat());
        assert_eq!(lines.iter().filter(|line| line.starts_with("tool")).count(), 2, "{lines:?}");
    }
}

/// What a `session.updated` with this session is answered by, for an agent that detects turns, or does not.
pub(super) fn updated(detects: bool, told_session: Value) -> (Session, Vec<String>) {
    let turn_detection = if detects {
        agent(AudioFormat::PHONE).manner.turn_detection
    } else {
        TurnDetection::Disabled { commit_key: None }
    };
    let mut agent = agent(AudioFormat::PHONE);
    agent.manner.turn_detection = turn_detection;
    let mut session = Session::new(&agent, "Be brief.", AudioFormat::PHONE);
    session.decode(CREATED);
    let lines = told(&mut session, &[json!({ "type": "session.updated", "session": told_session })]);
    (session, lines)
}

#[test]
fn a_format_that_was_not_asked_for_is_converted_both_ways_or_refused() {
    let linear = json!({ "type": "audio/pcm", "rate": 24000 });
    let (mut session, lines) =
        updated(true, json!({ "audio": { "input": { "format": linear }, "output": { "format": linear } } }));
    assert_eq!(lines[0], "ready None");
    assert_eq!(
        lines[1],
        "odd takes audio/pcm at 24000 Hz and sends audio/pcm at 24000 Hz, where audio/pcmu was asked for: converted"
    );
    let event = encoded(&mut session, ModelCommand::AppendAudio(&[0xFF; 160]));
    assert_eq!(base64_simd::STANDARD.decode_to_vec(event["audio"].as_str().unwrap()).unwrap().len(), 960);
    let message = audio_delta("r", "i", &[0; 960]);
    let Some(ModelEvent::Audio { payload, .. }) = session.decode(&message) else { panic!() };
    assert_eq!(payload, [0xFF; 160]);
    // One way only.
    let (mut session, _) = updated(true, json!({ "audio": { "output": { "format": linear } } }));
    assert_eq!(encoded(&mut session, ModelCommand::AppendAudio(&[0xFF; 3]))["audio"], "////");
    // As asked, or not told: nothing to say.
    for session in
        [json!({ "audio": { "input": { "format": { "type": "audio/pcmu" } } } }), json!({ "id": "s" }), json!(null)]
    {
        assert_eq!(updated(true, session).1, ["ready None"]);
    }
    let (_, lines) = updated(true, json!({ "audio": { "output": { "format": { "type": "audio/opus" } } } }));
    assert_eq!(lines, ["closed the model's audio is audio/opus, and audio/pcmu was asked for retry=false"]);
}

#[test]
fn audio_that_is_not_what_it_is_said_to_be_is_converted_from_its_first_message_on() {
    let mut session = phone();
    let tone: Vec<u8> =
        (0..2_400).flat_map(|n| (((f64::from(n) * 0.1152).sin() * 6_000.0) as i16).to_le_bytes()).collect();
    let message = audio_delta("r", "i", &tone);
    let Some(ModelEvent::Audio { payload, .. }) = session.decode(&message) else { panic!() };
    assert_eq!(payload.len(), 800);
    assert!(matches!(session.poll_event(), Some(ModelEvent::NotAsAsked { .. })));
    let event = encoded(&mut session, ModelCommand::AppendAudio(&[0xFF; 160]));
    assert_eq!(base64_simd::STANDARD.decode_to_vec(event["audio"].as_str().unwrap()).unwrap().len(), 960);
}

#[test]
fn turn_detection_that_was_not_asked_for_is_told() {
    let vad =
        json!({ "audio": { "input": { "turn_detection": { "type": "server_vad", "silence_duration_ms": 500 } } } });
    let (_, lines) = updated(false, vad.clone());
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("detects: true, answers: true, prefix_ms: 300, silence_ms: 500"), "{lines:?}");
    assert!(lines[1].starts_with("odd detects turns and answers them (server_vad)"), "{lines:?}");
    assert_eq!(updated(true, vad).1, ["ready None"]);
    let silent = json!({ "turn_detection": { "type": "server_vad", "create_response": false } });
    assert!(updated(true, silent).1[0].contains("answers: false"));
    assert_eq!(updated(false, json!({ "audio": { "input": { "turn_detection": null } } })).1, ["ready None"]);
}
