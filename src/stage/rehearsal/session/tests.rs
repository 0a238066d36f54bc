//! The built-in model's session, with time in our hand.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::super::outbox::audio_message;
use super::*;

struct Rig {
    session: Session,
    now: Duration,
    audio_bytes: usize,
    /// Whether the session cut or closed the connection.
    ended: Option<Output>,
}

impl Rig {
    fn new(script: &str) -> Self {
        Rig::of(&shared(script))
    }

    /// Greeted and set up as a phone call is.
    fn of(shared: &Arc<Shared>) -> Self {
        let session = Session::new(Duration::ZERO, Arc::clone(shared), 1, "rehearsal", 0);
        let mut rig = Rig { session, now: Duration::ZERO, audio_bytes: 0, ended: None };
        assert_eq!(types(&rig.drain()), ["session.created", "conversation.created"]);
        let updated = rig.send(json!({ "type": "session.update", "session": {
            "type": "realtime", "audio": {
                "input": { "format": { "type": "audio/pcmu" }, "transcription": { "model": "gpt-transcribe" },
                    "turn_detection": { "silence_duration_ms": 500 } },
                "output": { "format": { "type": "audio/pcmu" } } },
            "tools": [{ "type": "function", "name": "note" }, { "type": "function", "name": "hang_up" }] } }));
        assert_eq!(types(&updated), ["session.updated"]);
        rig
    }

    fn send(&mut self, event: Value) -> Vec<Value> {
        self.session.handle(self.now, &event.to_string());
        self.drain()
    }

    fn manual(mut self) -> Self {
        let off = json!({ "type": "realtime", "audio": { "input": { "turn_detection": null } } });
        self.send(json!({ "type": "session.update", "session": off }));
        self
    }

    fn append(&mut self, byte: u8, ms: usize) -> Vec<Value> {
        let mut all = Vec::new();
        for _ in 0..ms / 20 {
            // A square wave when it is loud.
            let frame: Vec<u8> = (0..160).map(|n| if n / 20 % 2 == 0 { byte } else { byte | 0x80 }).collect();
            let audio = base64_simd::STANDARD.encode_to_string(frame);
            self.session.handle(self.now, &format!(r#"{{"type":"input_audio_buffer.append","audio":"{audio}"}}"#));
            all.extend(self.wait(20));
        }
        all
    }

    fn turn(&mut self) -> Vec<Value> {
        self.append(0xFF, 400).into_iter().chain(self.append(0x10, 800)).chain(self.append(0xFF, 520)).collect()
    }

    fn wait(&mut self, ms: u64) -> Vec<Value> {
        let end = self.now + Duration::from_millis(ms);
        let mut all = self.drain();
        while let Some(due) = self.session.due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            all.extend(self.drain());
        }
        self.now = end;
        all
    }

    fn drain(&mut self) -> Vec<Value> {
        let mut all = Vec::new();
        while let Some(output) = self.session.poll(self.now) {
            match output {
                output @ (Output::Text(_) | Output::Audio { .. }) => {
                    let text = match output {
                        Output::Audio { head, audio, .. } => {
                            self.audio_bytes += audio.len();
                            audio_message(head, &audio)
                        }
                        Output::Text(text) => text,
                        _ => unreachable!(),
                    };
                    all.push(serde_json::from_str(&text).unwrap_or(Value::String(text)));
                }
                end => self.ended = Some(end),
            }
        }
        all
    }
}

fn shared(script: &str) -> Arc<Shared> {
    let script = if script.is_empty() { Script::default() } else { Script::parse(script).unwrap() };
    let clips = Clips::load(&script).unwrap();
    Arc::new(Shared::new(script, clips))
}

/// Types in order, a run of deltas of one kind or pair written once.
fn types(events: &[Value]) -> Vec<&str> {
    let mut all: Vec<&str> = Vec::new();
    for event in events {
        let kind = event["type"].as_str().unwrap_or("?");
        if !(kind.ends_with(".delta") && all.iter().rev().take(2).any(|known| *known == kind)) {
            all.push(kind);
        }
    }
    all
}

fn find<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    events.iter().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("no {kind} in {:?}", types(events)))
}

fn code(events: &[Value]) -> (&str, &Value) {
    let error = &find(events, "error")["error"];
    (error["code"].as_str().unwrap(), &error["event_id"])
}

const TURN: &str = "[[turn]]\nhears = \"One two.\"\nsay = \"Three four five six seven eight.\"\n";

#[test]
fn spoken_turn_comes_in_the_documented_order() {
    let mut rig = Rig::new(TURN);
    let mut events = rig.turn();
    events.extend(rig.wait(5_000));
    assert_eq!(
        types(&events),
        [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
            "conversation.item.input_audio_transcription.delta",
            "conversation.item.input_audio_transcription.completed",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_audio_transcript.delta",
            "response.output_audio.delta",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "conversation.item.done",
            "response.done",
            "rate_limits.updated",
        ]
    );
    // Loud from 400 to 1200 ms: found with its padding, ended by 500 ms of silence.
    assert_eq!(find(&events, "input_audio_buffer.speech_started")["audio_start_ms"], 100);
    assert_eq!(find(&events, "input_audio_buffer.speech_stopped")["audio_end_ms"], 1_700);
    let words: String = events
        .iter()
        .filter(|event| event["type"] == "response.output_audio_transcript.delta")
        .map(|event| event["delta"].as_str().unwrap())
        .collect();
    assert_eq!(words, "Three four five six seven eight.");
    let done = &find(&events, "response.done")["response"];
    assert_eq!((&done["status"], &done["output"][0]["status"]), (&json!("completed"), &json!("completed")));
    // 31 characters of murmur, at 65 ms and 8 bytes each.
    assert_eq!(rig.audio_bytes, 32 * 65 * 8);
    assert_eq!(done["usage"]["output_token_details"]["audio_tokens"], (32 * 65u64).div_ceil(50));
    assert_eq!(done["usage"]["input_token_details"]["audio_tokens"], 16);
}

#[test]
fn audio_goes_out_at_the_scripted_pace_after_the_thinking_time() {
    let mut rig = Rig::new(&format!("think_ms = 300\npace = 4\ndelta_ms = 100\n{TURN}"));
    rig.turn();
    // The turn ended with the last frame but one, 40 ms ago.
    rig.wait(255);
    assert_eq!(rig.audio_bytes, 0);
    rig.wait(10);
    assert_eq!(rig.audio_bytes, 800);
    rig.wait(100);
    assert_eq!(rig.audio_bytes, 800 * 5);
}

#[test]
fn cancel_ends_a_response_with_all_its_dones() {
    let mut rig = Rig::new(TURN);
    rig.turn();
    rig.wait(400);
    let cancelled = rig.send(json!({ "type": "response.cancel", "event_id": "cancel-1" }));
    assert_eq!(
        types(&cancelled),
        [
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "conversation.item.done",
            "response.done",
            "rate_limits.updated",
        ]
    );
    let done = &find(&cancelled, "response.done")["response"];
    assert_eq!(done["status_details"], json!({ "type": "cancelled", "reason": "client_cancelled" }));
    assert_eq!(done["output"][0]["status"], "incomplete");
    assert_eq!(rig.wait(5_000), Vec::<Value>::new(), "no audio follows");
    let again = rig.send(json!({ "type": "response.cancel", "event_id": "cancel-2" }));
    assert_eq!(code(&again), ("response_cancel_not_active", &json!("cancel-2")));
}

#[test]
fn speech_interrupts_only_when_it_may() {
    for (may, expected) in [(true, true), (false, false)] {
        let mut rig = Rig::new(&TURN.replace("seven", &"very ".repeat(40)));
        let flag =
            json!({ "type": "realtime", "audio": { "input": { "turn_detection": { "interrupt_response": may } } } });
        rig.send(json!({ "type": "session.update", "session": flag }));
        rig.turn();
        rig.wait(500);
        let events = rig.append(0x10, 200);
        let reason = events.iter().find(|event| event["type"] == "response.done");
        let reason = reason.map(|done| done["response"]["status_details"]["reason"].clone());
        assert_eq!(reason, expected.then(|| json!("turn_detected")));
        // A turn that ends while a response still runs cannot have one of its own.
        let refused = rig.append(0xFF, 520).iter().any(|event| event["type"] == "error");
        assert_eq!(refused, !may);
    }
}

#[test]
fn truncation_is_held_against_what_was_made() {
    let mut rig = Rig::new(TURN);
    let mut events = rig.turn();
    events.extend(rig.wait(5_000));
    let item = find(&events, "response.output_item.added")["item"]["id"].clone();
    let user = find(&events, "input_audio_buffer.committed")["item_id"].clone();
    let truncate = |item: &Value, ms: i64| json!({ "type": "conversation.item.truncate", "event_id": "t", "item_id": item, "content_index": 0, "audio_end_ms": ms });
    let past = rig.send(truncate(&item, 2_081));
    assert_eq!(find(&past, "error")["error"]["message"], "Audio content of 2080ms is already shorter than 2081ms");
    let cut = rig.send(truncate(&item, 1_500));
    assert_eq!(find(&cut, "conversation.item.truncated")["audio_end_ms"], 1_500);
    let past = rig.send(truncate(&item, 1_501));
    assert_eq!(find(&past, "error")["error"]["message"], "Audio content of 1500ms is already shorter than 1501ms");
    let back = rig.send(json!({ "type": "conversation.item.retrieve", "item_id": item }));
    assert_eq!(find(&back, "conversation.item.retrieved")["item"]["content"][0]["transcript"], "");
    for (event, expected) in [
        (truncate(&user, 0), "invalid_value"),
        (truncate(&json!("nobody"), 0), "item_truncate_invalid_item_id"),
        (truncate(&item, -1), "invalid_value"),
    ] {
        assert_eq!(code(&rig.send(event)).0, expected);
    }
}

#[test]
fn mistakes_are_refused_by_code_and_name_the_event() {
    let mut rig = Rig::new(TURN).manual();
    rig.append(0x10, 60);
    for (event, expected) in [
        (json!({ "type": "input_audio_buffer.commit" }), "input_audio_buffer_commit_empty"),
        (json!({ "type": "input_audio_buffer.append", "audio": "!" }), "invalid_value"),
        (json!({ "type": "input_audio_buffer.append" }), "missing_required_parameter"),
        (json!({ "type": "input_audio_buffer.append", "audio": 7 }), "missing_required_parameter"),
        (json!({ "type": "session.begin" }), "invalid_event"),
        (json!({ "type": "response.cancel" }), "response_cancel_not_active"),
        (json!({ "type": "response.create", "response": { "temperature": 1 } }), "unknown_parameter"),
        (json!({ "type": "conversation.item.retrieve", "item_id": "x" }), "item_retrieve_invalid_item_id"),
        (json!({ "type": "conversation.item.delete", "item_id": "x" }), "item_delete_invalid_item_id"),
        (json!({ "type": "output_audio_buffer.clear" }), "invalid_event"),
        (
            json!({ "type": "conversation.item.create", "item": { "type": "function_call_output", "call_id": "x", "output": "" } }),
            "invalid_tool_call_id",
        ),
        (
            json!({ "type": "conversation.item.create", "item": { "type": "message", "role": "assistant",
                "content": [{ "type": "output_audio", "audio": "" }] } }),
            "invalid_value",
        ),
    ] {
        let mut named = event.clone();
        named["event_id"] = json!("mine-7");
        assert_eq!(code(&rig.send(named)), (expected, &json!("mine-7")), "{event}");
    }
    rig.session.handle(rig.now, r#"{"type":"input_audio_buffer.append","event_id":"a1","audio":"!"}"#);
    assert_eq!(code(&rig.drain()), ("invalid_value", &json!("a1")));
    rig.session.handle(rig.now, "{ not JSON");
    assert_eq!(code(&rig.drain()), ("invalid_event", &Value::Null));
    // The session still works.
    rig.append(0x10, 100);
    assert!(types(&rig.send(json!({ "type": "input_audio_buffer.commit" }))).contains(&"input_audio_buffer.committed"));
    rig.send(json!({ "type": "response.create" }));
    assert_eq!(code(&rig.send(json!({ "type": "response.create" }))).0, "conversation_already_has_active_response");
}

#[test]
fn tools_are_called_and_their_outputs_answered() {
    let mut rig = Rig::new("");
    rig.turn();
    rig.wait(60_000);
    let mut events = rig.turn();
    events.extend(rig.wait(5_000));
    let arguments = find(&events, "response.function_call_arguments.done");
    assert_eq!(arguments["name"], "note");
    let said: Value = serde_json::from_str(arguments["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(said, json!({ "text": "Table for four on Friday." }));
    let pieces = events.iter().filter(|event| event["type"] == "response.function_call_arguments.delta");
    let pieces: String = pieces.map(|event| event["delta"].as_str().unwrap()).collect();
    assert_eq!(arguments["arguments"], pieces);
    assert_eq!(find(&events, "response.done")["response"]["output"][0]["status"], "completed");
    let output = json!({ "type": "function_call_output", "call_id": arguments["call_id"], "output": "{}" });
    let made = rig.send(json!({ "type": "conversation.item.create", "item": output }));
    assert_eq!(types(&made), ["conversation.item.added", "conversation.item.done"]);
    rig.send(json!({ "type": "response.create" }));
    let answer = rig.wait(30_000);
    let text = find(&answer, "response.output_audio_transcript.done")["transcript"].as_str().unwrap();
    assert!(text.starts_with("No problem, a table for four."), "{text}");
}

#[test]
fn the_demo_matches_its_recorded_caller() {
    use crate::base::audio::{g711, wav};
    let mut rig = Rig::new("");
    for (name, hears, says, calls) in [
        ("anna-book", "Hello, I would like to book", "Of course. For Friday", None),
        ("anna-change", "Sorry, actually, we will be four", "No problem, a table for four.", Some("note")),
        ("anna-name", "Yes, it is Anna.", "Thank you, Anna.", Some("hang_up")),
    ] {
        if name == "anna-name" {
            // What is said over the agent in between.
            let message =
                json!({ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "Yes." }] });
            rig.send(json!({ "type": "conversation.item.create", "item": message }));
        }
        let path = format!("{}/fixtures/audio/{name}.wav", env!("CARGO_MANIFEST_DIR"));
        let mut samples = wav::read(&std::fs::read(path).unwrap()).unwrap().samples;
        samples.extend([0; 8_000]);
        let mut events = Vec::new();
        for frame in samples.chunks(160) {
            let frame: Vec<u8> = frame.iter().map(|&sample| g711::linear_to_ulaw(sample)).collect();
            let audio = base64_simd::STANDARD.encode_to_string(frame);
            events.extend(rig.send(json!({ "type": "input_audio_buffer.append", "audio": audio })));
            events.extend(rig.wait(20));
        }
        events.extend(rig.wait(20_000));
        let heard = find(&events, "conversation.item.input_audio_transcription.completed")["transcript"].as_str();
        assert!(heard.unwrap().starts_with(hears), "{heard:?}");
        if let Some(tool) = calls {
            let call = find(&events, "response.function_call_arguments.done").clone();
            assert_eq!(call["name"], tool);
            let output = json!({ "type": "function_call_output", "call_id": call["call_id"], "output": "{}" });
            rig.send(json!({ "type": "conversation.item.create", "item": output }));
            events.extend(rig.send(json!({ "type": "response.create" })));
            events.extend(rig.wait(20_000));
        }
        let said = find(&events, "response.output_audio_transcript.done")["transcript"].as_str();
        assert!(said.unwrap().starts_with(says), "{said:?}");
    }
}

#[test]
fn replayed_conversation_goes_on_at_its_turn() {
    let mut rig = Rig::new("");
    for _ in 0..3 {
        let message = json!({ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "…" }] });
        rig.send(json!({ "type": "conversation.item.create", "item": message }));
    }
    let mut events = rig.turn();
    events.extend(rig.wait(30_000));
    let text = find(&events, "response.output_audio_transcript.done")["transcript"].as_str().unwrap();
    assert!(text.starts_with("Thank you, Anna."), "{text}");
    assert_eq!(find(&events, "response.function_call_arguments.done")["name"], "hang_up");
}

#[test]
fn instructions_are_said_and_the_greeting_needs_none() {
    let mut rig = Rig::new("");
    for (response, expected) in [
        (json!(null), "Good afternoon, Harbour Restaurant. How can I help you?"),
        (json!({ "instructions": "Say this: \"We close in a minute.\"" }), "We close in a minute."),
        (json!({ "instructions": "Whisper.", "conversation": "none", "metadata": { "a": "b" } }), "Whisper."),
    ] {
        let mut events = rig.send(json!({ "type": "response.create", "response": response }));
        events.extend(rig.wait(20_000));
        assert_eq!(find(&events, "response.output_audio_transcript.done")["transcript"], expected);
        let beside = response["conversation"] == "none";
        assert_eq!(events.iter().any(|event| event["type"] == "conversation.item.added"), !beside);
        assert_eq!(find(&events, "response.done")["response"]["conversation_id"].is_null(), beside);
    }
    let text = json!({ "instructions": "Say \"a b\".", "output_modalities": ["text"] });
    rig.send(json!({ "type": "response.create", "response": text }));
    assert_eq!(find(&rig.wait(5_000), "response.output_text.done")["text"], "a b");
}

#[test]
fn faults_happen_as_often_as_the_script_says() {
    let turn = |fault: &str| shared(&format!("{TURN}fault = {{ {fault}, times = 1 }}"));
    let create = json!({ "type": "response.create" });
    let user = json!({ "type": "conversation.item.create", "item": { "type": "message", "role": "user",
        "content": [{ "type": "input_text", "text": "x" }] } });
    for (fault, check) in [
        ("stall = true", (|events, _| events.is_empty()) as fn(&[Value], &Rig) -> bool),
        ("drop_ms = 500", |_, rig| rig.ended == Some(Output::Drop) && rig.audio_bytes == 600 * 8),
        ("malformed = true", |events, _| events.iter().filter(|event| !event.is_object()).count() == 3),
        ("error = \"rate_limit_exceeded\"", |events, _| code(events).0 == "rate_limit_exceeded"),
        ("fail = \"inference_rate_limit_exceeded\"", |events, _| {
            let details = &find(events, "response.done")["response"]["status_details"];
            details["error"]["code"] == "inference_rate_limit_exceeded"
        }),
    ] {
        let shared = turn(fault);
        for again in [false, true] {
            let mut rig = Rig::of(&shared);
            rig.send(user.clone());
            let mut events = rig.send(create.clone());
            events.extend(rig.wait(10_000));
            if again {
                assert_eq!(find(&events, "response.done")["response"]["status"], "completed", "{fault}");
                assert_eq!(rig.ended, None);
            } else {
                assert!(check(&events, &rig), "{fault}: {:?}", types(&events));
            }
        }
    }
}

#[test]
fn session_expires_with_an_error_and_a_close() {
    let mut rig = Rig::new("[fault]\nsession_limit_s = 2");
    assert_eq!(rig.wait(1_999), Vec::<Value>::new());
    assert_eq!(code(&rig.wait(1)).0, "session_expired");
    assert!(matches!(rig.ended, Some(Output::Close(1001, _))));
    assert_eq!((rig.send(json!({ "type": "response.create" })), rig.session.due()), (vec![], None));
}

static FAST: LazyLock<Arc<Shared>> = LazyLock::new(|| shared("pace = 1000\n[[turn]]\nsay = \"é é é\""));

proptest! {
    #[test]
    fn no_client_event_panics(
        kind in 0usize..12,
        item in 0usize..6,
        number in prop_oneof![Just(-1i64), Just(0), Just(i64::MAX), any::<i64>()],
        text in "[ -~\u{e9}\u{1F600}]{0,12}",
        at in 0usize..400,
        byte in 0x20u8..0x7F,
    ) {
        let kinds = ["session.update", "input_audio_buffer.append", "input_audio_buffer.commit", "input_audio_buffer.clear",
            "conversation.item.create", "conversation.item.retrieve", "conversation.item.truncate",
            "conversation.item.delete", "response.create", "response.cancel", "output_audio_buffer.clear", "?"];
        let items = ["message", "function_call", "function_call_output", "mcp_call", "", "?"];
        let event = json!({
            "type": kinds[kind], "event_id": text, "item_id": text, "audio": "AAAA", "audio_end_ms": number,
            "content_index": 0, "previous_item_id": if item == 0 { json!("root") } else { Value::Null },
            "session": { "type": "realtime", "instructions": text, "max_output_tokens": number, "audio": { "input": {
                "turn_detection": { "type": "server_vad", "silence_duration_ms": number, "threshold": number } } } },
            "response": { "instructions": text, "metadata": {} },
            "item": { "type": items[item], "role": "user", "content": [{ "type": "input_text", "text": text }],
                "call_id": text, "name": text, "arguments": text, "output": text },
        });
        let mut mutated = event.to_string().into_bytes();
        let at = at % mutated.len();
        if mutated[at].is_ascii() {
            mutated[at] = byte;
        }
        let mut rig = Rig::of(&FAST);
        for message in [&event.to_string(), &*String::from_utf8_lossy(&mutated), &text] {
            rig.session.handle(rig.now, message);
            rig.wait(700);
        }
    }
}
