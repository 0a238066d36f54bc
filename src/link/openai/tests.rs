//! The dialect, held against messages as the far end writes them.

mod any;
mod complaints;
mod formats;
mod odd;
mod odd_ids;
mod odd_told;
mod setup;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::base::audio::{AudioFormat, Codec};
use crate::config::*;
use crate::engine::{CommandKind, ModelCommand, ModelEvent, ResponseStatus, Role, Usage};

fn agent(format: AudioFormat) -> Agent {
    Agent {
        name: "host".into(),
        instructions: "You answer the phone of a restaurant.".into(),
        model: Arc::new(Model {
            name: "realtime".into(),
            url: "wss://model.example/v1/realtime?model=gpt-realtime-2.1".into(),
            api_key: Some(Secret::new("sk-test")),
            headers: vec![("OpenAI-Beta".into(), Secret::new("realtime=v1")), ("X-Project".into(), Secret::new("p1"))],
            format,
            dial_timeout_ms: 5_000,
            price: None,
            max_session_min: 55,
            mcp: false,
        }),
        voice: Some("marin".into()),
        speed: 1.0,
        language: Some("en".into()),
        transcription: Some(Transcription { model: "gpt-transcribe".into(), prompt: None }),
        max_output_tokens: None,
        turn_detection: TurnDetection::Provider { threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 200 },
        shadows: Vec::new(),
        interruptions: Interruptions::On,
        false_interruptions: Default::default(),
        back_channels: Default::default(),
        noise_engine: Default::default(),
        echo_guard: true,
        disclaimer: None,
        greeting_interruptible: true,
        noise_reduction: NoiseReduction::NearField,
        greeting: Spoken::None,
        farewell: Spoken::None,
        tools: Tool::built_ins(&[ToolKind::Note, ToolKind::HangUp]),
        destinations: Default::default(),
        on_failure: OnFailure { line: None, then: AfterFailure::HangUp },
        hold_sound: None,
        filler: None,
        keys: None,
        idle: None,
        variables: Default::default(),
        http_tools: Default::default(),
        mcp: Vec::new(),
        fetch: None,
        after: Default::default(),
    }
}

const CREATED: &str = r#"{"type":"session.created","event_id":"event_1","session":{"type":"realtime","id":"sess_1"}}"#;
const UPDATED: &str = r#"{"type":"session.updated","event_id":"event_2","session":{"type":"realtime","id":"sess_1"}}"#;

fn phone() -> Session {
    ready(AudioFormat::PHONE, AudioFormat::PHONE)
}

fn ready(line: AudioFormat, model: AudioFormat) -> Session {
    let mut session = Session::new(&agent(model), "Be brief.", line);
    assert_eq!(session.decode(CREATED), None);
    assert!(session.poll_reply().is_some());
    assert_eq!(session.decode(UPDATED), Some(ModelEvent::Ready { session: "sess_1".into(), turns: None }));
    session
}

fn update_of(agent: &Agent) -> Value {
    let mut session = Session::new(agent, &agent.instructions, AudioFormat::PHONE);
    session.decode(CREATED);
    let update: Value = serde_json::from_str(&session.poll_reply().unwrap()).unwrap();
    update["session"].clone()
}

fn encoded(session: &mut Session, command: ModelCommand<'_>) -> Value {
    let mut out = "left over from before".to_owned();
    session.encode(&command, &mut out);
    serde_json::from_str(&out).unwrap()
}

fn audio_delta(response: &str, item: &str, payload: &[u8]) -> String {
    let delta = base64_simd::STANDARD.encode_to_string(payload);
    format!(
        r#"{{"type":"response.output_audio.delta","event_id":"event_9","response_id":"{response}","item_id":"{item}","output_index":0,"content_index":0,"delta":"{delta}"}}"#
    )
}

fn announced(response: &str, item: &str) -> String {
    let item = json!({ "id": item, "type": "message", "role": "assistant", "content": [] });
    json!({ "type": "response.output_item.added", "response_id": response, "output_index": 0, "item": item })
        .to_string()
}

#[test]
fn every_server_event_is_known() {
    let names = "conversation.created · conversation.item.added · conversation.item.created · conversation.item.deleted · conversation.item.done · conversation.item.input_audio_transcription.completed · conversation.item.input_audio_transcription.delta · conversation.item.input_audio_transcription.failed · conversation.item.input_audio_transcription.segment · conversation.item.retrieved · conversation.item.truncated · error · input_audio_buffer.cleared · input_audio_buffer.committed · input_audio_buffer.dtmf_event_received · input_audio_buffer.speech_started · input_audio_buffer.speech_stopped · input_audio_buffer.timeout_triggered · mcp_list_tools.completed · mcp_list_tools.failed · mcp_list_tools.in_progress · output_audio_buffer.cleared · output_audio_buffer.started · output_audio_buffer.stopped · rate_limits.updated · response.content_part.added · response.content_part.done · response.created · response.done · response.function_call_arguments.delta · response.function_call_arguments.done · response.mcp_call.completed · response.mcp_call.failed · response.mcp_call.in_progress · response.mcp_call_arguments.delta · response.mcp_call_arguments.done · response.output_audio.delta · response.output_audio.done · response.output_audio_transcript.delta · response.output_audio_transcript.done · response.output_item.added · response.output_item.done · response.output_text.delta · response.output_text.done · session.created · session.updated";
    let names: Vec<&str> = names.split(" · ").collect();
    assert_eq!(names.len(), 46);
    let mut session = phone();
    for name in &names {
        assert!(SERVER_EVENTS.iter().any(|(known, _)| known == name), "{name} is not listed");
        let message = json!({
            "type": name, "event_id": "e", "item_id": "item_1", "response_id": "resp_1", "delta": "AAAA",
            "audio_start_ms": 1, "audio_end_ms": 2, "transcript": "x", "session": { "id": "s" },
            "error": { "type": "t", "message": "m" }, "item": { "type": "message", "id": "item_1" },
            "response": { "id": "resp_1", "status": "completed" }, "call_id": "c", "name": "n", "arguments": "{}"
        });
        assert_ne!(session.decode(&message.to_string()), Some(ModelEvent::Garbage), "{name}");
    }
    assert_eq!((session.counters().unknown, session.counters().garbage), (0, 0));
    assert_eq!(session.decode(r#"{"type":"ping","event_id":"e"}"#), None);
    assert_eq!(session.counters().unknown, 0);
    for _ in 0..2 {
        assert_eq!(session.decode(r#"{"type":"sparkle","event_id":"e"}"#), None);
    }
    assert_eq!((session.counters().unknown, session.strangers().poll()), (2, Some("sparkle")));
    assert_eq!(session.strangers().poll(), None, "named once");
}

#[test]
fn spoken_turn_maps_to_events() {
    let mut session = phone();
    let mut check = |message: &str, expected: ModelEvent<'_>| assert_eq!(session.decode(message), Some(expected));
    check(
        r#"{"type":"input_audio_buffer.speech_started","event_id":"e","audio_start_ms":1000,"item_id":"item_1"}"#,
        ModelEvent::SpeechStarted { item: "item_1".into(), audio_start_ms: 1000 },
    );
    check(
        r#"{"type":"input_audio_buffer.speech_stopped","event_id":"e","audio_end_ms":2000,"item_id":"item_1"}"#,
        ModelEvent::SpeechStopped { item: "item_1".into(), audio_end_ms: 2000 },
    );
    check(
        r#"{"type":"input_audio_buffer.committed","event_id":"e","previous_item_id":null,"item_id":"item_1"}"#,
        ModelEvent::Committed { item: "item_1".into() },
    );
    check(
        r#"{"type":"response.created","event_id":"e","response":{"object":"realtime.response","id":"resp_1","status":"in_progress","status_details":null,"output":[],"usage":null}}"#,
        ModelEvent::ResponseStarted { response: "resp_1".into() },
    );
    check(
        r#"{"type":"conversation.item.input_audio_transcription.delta","event_id":"e","item_id":"item_1","content_index":0,"delta":"Hey","logprobs":null}"#,
        ModelEvent::CallerTranscript { item: "item_1".into(), text: "Hey".into(), done: false },
    );
    check(
        r#"{"type":"response.output_audio_transcript.delta","event_id":"e","response_id":"resp_1","item_id":"item_2","output_index":0,"content_index":0,"delta":"Say \"hi\"","obfuscation":"xx"}"#,
        ModelEvent::AgentTranscript {
            response: "resp_1".into(),
            item: "item_2".into(),
            text: "Say \"hi\"".into(),
            done: false,
        },
    );
    check(
        r#"{"type":"conversation.item.input_audio_transcription.completed","event_id":"e","item_id":"item_1","content_index":0,"transcript":"Hey, can you hear me?","usage":{"type":"duration","seconds":1.2}}"#,
        ModelEvent::CallerTranscript { item: "item_1".into(), text: "Hey, can you hear me?".into(), done: true },
    );
    check(
        &audio_delta("resp_1", "item_2", &[1, 2, 3]),
        ModelEvent::Audio { response: "resp_1".into(), item: "item_2".into(), payload: &[1, 2, 3] },
    );
    check(
        r#"{"type":"response.output_audio_transcript.done","event_id":"e","response_id":"resp_1","item_id":"item_2","output_index":0,"content_index":0,"transcript":"Say."}"#,
        ModelEvent::AgentTranscript {
            response: "resp_1".into(),
            item: "item_2".into(),
            text: "Say.".into(),
            done: true,
        },
    );
    check(
        r#"{"type":"response.done","event_id":"e","response":{"object":"realtime.response","id":"resp_1","status":"completed","status_details":null,"conversation_id":"conv_1","output":[],"usage":{"total_tokens":253,"input_tokens":132,"output_tokens":121,"input_token_details":{"text_tokens":119,"audio_tokens":13,"image_tokens":0,"cached_tokens":64,"cached_tokens_details":{"text_tokens":64,"audio_tokens":0,"image_tokens":0}},"output_token_details":{"text_tokens":30,"audio_tokens":91}},"metadata":null}}"#,
        ModelEvent::ResponseDone {
            response: "resp_1".into(),
            status: ResponseStatus::Completed,
            detail: None,
            usage: Usage {
                input_tokens: 132,
                input_audio_tokens: 13,
                cached_tokens: 64,
                output_tokens: 121,
                output_audio_tokens: 91,
            },
            fatal: false,
            retry_after_ms: None,
        },
    );
}

#[test]
fn response_done_says_how_it_ended_even_when_oddly_written() {
    let mut session = phone();
    for (response, status, detail) in [
        (
            json!({ "status": "cancelled", "status_details": { "type": "cancelled", "reason": "turn_detected" } }),
            ResponseStatus::Cancelled,
            Some("turn_detected"),
        ),
        (
            json!({ "status": "failed", "status_details": { "type": "failed",
                "error": { "type": "server_error", "code": "inference_rate_limit_exceeded", "message": "m" } } }),
            ResponseStatus::Failed,
            Some("inference_rate_limit_exceeded: m"),
        ),
        (
            json!({ "status": "incomplete", "status_details": { "reason": "max_output_tokens" } }),
            ResponseStatus::Incomplete,
            Some("max_output_tokens"),
        ),
        (json!({ "status": "completed", "usage": "free", "status_details": 3 }), ResponseStatus::Completed, None),
        (json!({ "status": "exploded" }), ResponseStatus::Failed, None),
        (json!({ "status": "failed", "error": "no luck" }), ResponseStatus::Failed, Some("no luck")),
        (json!({ "status_details": { "error": { "code": 429 } } }), ResponseStatus::Failed, Some("429")),
        (json!({}), ResponseStatus::Completed, None),
        (json!([]), ResponseStatus::Completed, None),
    ] {
        let message = json!({ "type": "response.done", "response": response }).to_string();
        let Some(ModelEvent::ResponseDone { status: got, detail: why, usage, .. }) = session.decode(&message) else {
            panic!("{message}")
        };
        assert_eq!((got, why.as_deref(), usage), (status, detail, Usage::default()), "{message}");
    }
}

#[test]
fn audio_passes_untouched_into_one_reused_buffer() {
    let mut session = phone();
    let all: Vec<u8> = (0..=255).collect();
    let (long, short) = (audio_delta("r", "i", &all), audio_delta("r", "i", &all[..160]));
    let ModelEvent::Audio { payload, .. } = session.decode(&long).unwrap() else { panic!() };
    assert_eq!(payload, all);
    let address = payload.as_ptr();
    let ModelEvent::Audio { payload, .. } = session.decode(&short).unwrap() else { panic!() };
    assert_eq!((payload, payload.as_ptr()), (&all[..160], address));
    // Without padding, with an escaped slash, and not base64 at all.
    for (delta, expected) in [("/////w", Some(&[255u8; 4][..])), (r"\/\/\/\/", Some(&[255; 3])), ("!!", None)] {
        let message = audio_delta("r", "i", &[]).replace(r#""delta":"""#, &format!(r#""delta":"{delta}""#));
        match (session.decode(&message), expected) {
            (Some(ModelEvent::Audio { payload, .. }), Some(expected)) => assert_eq!(payload, expected),
            (Some(ModelEvent::Garbage), None) => {}
            other => panic!("{delta}: {other:?}"),
        }
    }
}

#[test]
fn halves_of_a_sample_are_put_together_within_an_item() {
    let mut session = ready(AudioFormat::PCM_24K, AudioFormat::PCM_24K);
    for (item, sent, expected) in [
        ("a", &[1, 2, 3][..], &[1, 2][..]),
        ("a", &[4], &[3, 4]),
        ("a", &[5], &[]),
        ("a", &[6, 7, 8], &[5, 6, 7, 8]),
        ("a", &[9], &[]),
        ("b", &[10, 11], &[10, 11]),
    ] {
        session.decode(&announced("r", item));
        let message = audio_delta("r", item, sent);
        let Some(ModelEvent::Audio { payload, .. }) = session.decode(&message) else { panic!() };
        assert_eq!(payload, expected, "{item} {sent:?}");
    }
}

fn item(kind: &str, fields: Value) -> String {
    let mut item = json!({ "id": "item_7", "object": "realtime.item", "type": "function_call" });
    item.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({ "type": kind, "event_id": "e", "response_id": "resp_1", "output_index": 1, "item": item }).to_string()
}

#[test]
fn tool_call_is_reported_once_and_only_when_whole() {
    let mut session = phone();
    let added = item(
        "response.output_item.added",
        json!({ "call_id": "call_1", "name": "note", "arguments": "", "status": "in_progress" }),
    );
    let arguments = r#"{"type":"response.function_call_arguments.done","event_id":"e","response_id":"resp_1","item_id":"item_7","output_index":1,"call_id":"call_1","name":"note","arguments":"{\"text\":\"four\"}"}"#;
    let done = item(
        "response.output_item.done",
        json!({ "call_id": "call_1", "name": "", "arguments": "", "status": "completed" }),
    );
    assert_eq!(session.decode(&added), None);
    assert_eq!(session.decode(arguments), None);
    let expected = ModelEvent::ToolCall {
        response: "resp_1".into(),
        call: "call_1".into(),
        name: "note".into(),
        arguments: r#"{"text":"four"}"#.into(),
    };
    assert_eq!(session.decode(&done), Some(expected), "blanks are filled in from what came before");
    assert_eq!(session.decode(&done), None, "once");
    for (fields, reported) in [
        (json!({ "call_id": "c2", "name": "note", "arguments": "{\"te", "status": "incomplete" }), false),
        (json!({ "call_id": "c3", "name": "note", "arguments": "{\"te" }), false),
        (json!({ "call_id": "c4", "name": "note", "arguments": "{}" }), true),
        (json!({ "id": "item_8", "name": "note", "arguments": "{}", "status": "completed" }), true),
        (json!({ "type": "message", "call_id": "c5", "status": "completed" }), false),
    ] {
        let message = item("response.output_item.done", fields.clone());
        let got = session.decode(&message);
        assert_eq!(matches!(got, Some(ModelEvent::ToolCall { .. })), reported, "{fields}");
    }
}

#[test]
fn only_quota_key_account_and_billing_are_fatal() {
    let mut session = phone();
    for (kind, code, event_id, about, fatal) in [
        ("invalid_request_error", "input_audio_buffer_commit_empty", "commit-3", Some(CommandKind::CommitAudio), false),
        ("invalid_request_error", "invalid_tool_call_id", "output-3", Some(CommandKind::ToolOutput), false),
        ("invalid_request_error", "response_cancel_not_active", "cancel-13", Some(CommandKind::CancelResponse), false),
        (
            "invalid_request_error",
            "conversation_already_has_active_response",
            "create-2",
            Some(CommandKind::CreateResponse),
            false,
        ),
        ("invalid_request_error", "session_expired", "", None, false),
        ("server_error", "", "somebody-else", None, false),
        ("invalid_request_error", "invalid_value", "create-x", None, false),
        ("insufficient_quota", "insufficient_quota", "", None, true),
        ("invalid_request_error", "invalid_api_key", "", None, true),
        ("billing_hard_limit_reached", "", "", None, true),
    ] {
        let message =
            json!({ "type": "error", "error": { "type": kind, "code": code, "message": "m", "event_id": event_id } });
        let expected = ModelEvent::Error {
            code: Cow::Borrowed(if code.is_empty() { kind } else { code }),
            message: "m".into(),
            about,
            number: event_id.ends_with("-3").then_some(3),
            fatal,
            busy: code.contains("active_response"),
            passing: [kind, code].iter().any(|name| matches!(*name, "server_error" | "session_expired")),
            retry_after_ms: None,
        };
        assert_eq!(session.decode(&message.to_string()), Some(expected));
    }
}

#[test]
fn commands_are_client_events() {
    let mut session = phone();
    for (command, expected) in [
        (ModelCommand::AppendAudio(&[0xFF, 0x7F]), json!({ "type": "input_audio_buffer.append", "audio": "/38=" })),
        (
            ModelCommand::CommitAudio { number: 7 },
            json!({ "type": "input_audio_buffer.commit", "event_id": "commit-7" }),
        ),
        (ModelCommand::ClearAudio, json!({ "type": "input_audio_buffer.clear", "event_id": "clear-3" })),
        (
            ModelCommand::CreateResponse { instructions: None },
            json!({ "type": "response.create", "event_id": "create-4" }),
        ),
        (
            ModelCommand::CreateResponse { instructions: Some("Say \"hi\".") },
            json!({ "type": "response.create", "event_id": "create-5", "response": { "instructions": "Say \"hi\"." } }),
        ),
        (ModelCommand::CancelResponse, json!({ "type": "response.cancel", "event_id": "cancel-6" })),
        (
            ModelCommand::Truncate { item: "item_2", audio_end_ms: 1_500 },
            json!({ "type": "conversation.item.truncate", "event_id": "truncate-7", "item_id": "item_2",
                "content_index": 0, "audio_end_ms": 1500 }),
        ),
        (
            ModelCommand::AddMessage { role: Role::System, text: "s", id: Some("note_1"), first: true },
            json!({ "type": "conversation.item.create", "event_id": "message-8", "previous_item_id": "root",
                "item": { "type": "message", "id": "note_1", "role": "system",
                    "content": [{ "type": "input_text", "text": "s" }] } }),
        ),
        (
            ModelCommand::AddMessage { role: Role::Caller, text: "c", id: None, first: false },
            json!({ "type": "conversation.item.create", "event_id": "message-9",
                "item": { "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "c" }] } }),
        ),
        (
            ModelCommand::AddMessage { role: Role::Agent, text: "a", id: None, first: false },
            json!({ "type": "conversation.item.create", "event_id": "message-10",
                "item": { "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "a" }] } }),
        ),
        (
            ModelCommand::DeleteItem { item: "note_1" },
            json!({ "type": "conversation.item.delete", "event_id": "delete-11", "item_id": "note_1" }),
        ),
        (
            ModelCommand::ToolOutput { number: 3, call: "call_1", output: "{\"ok\":true}" },
            json!({ "type": "conversation.item.create", "event_id": "output-3",
                "item": { "type": "function_call_output", "call_id": "call_1", "output": "{\"ok\":true}" } }),
        ),
    ] {
        assert_eq!(encoded(&mut session, command), expected);
    }
}

#[test]
fn ends_and_refusals_say_whether_to_try_again() {
    for (code, reason, retry) in [
        (None, "", true),
        (Some(1000), "", true),
        (Some(1001), "Your session hit the maximum duration of 60 minutes.", true),
        (Some(1006), "", true),
        (Some(1011), "insufficient_quota", false),
        (Some(1008), "policy", false),
        (Some(3000), "invalid_request_error.invalid_api_key", false),
        (Some(4000), "beta_api_shape_disabled", false),
    ] {
        let ModelEvent::Closed { retry: got, reason: text } = closed(code, reason) else { panic!() };
        assert_eq!(got, retry, "{code:?} {reason}");
        assert!(text.contains(reason));
    }
    let quota = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#;
    let key = r#"{"error":{"message":"Incorrect API key provided: sk-12*45","code":"invalid_api_key"}}"#;
    let slow = r#"{"error":{"message":"Slow down","code":"rate_limit_exceeded"}}"#;
    for (status, body, retry) in [
        (400, "", false),
        (401, key, false),
        (403, "<html>", false),
        (404, "", false),
        (429, quota, false),
        (429, slow, true),
        (500, "", true),
        (503, "not json", true),
    ] {
        let ModelEvent::Closed { retry: got, reason } = refused(status, body) else { panic!() };
        assert_eq!(got, retry, "{status} {body}");
        assert!(reason.starts_with(&format!("HTTP {status}")) && !reason.contains("sk-"), "{reason}");
    }
    let ModelEvent::Closed { reason, .. } = refused(429, slow) else { panic!() };
    assert_eq!(reason, "HTTP 429: rate_limit_exceeded: Slow down");
}

#[test]
fn what_is_not_of_the_dialect_is_garbage() {
    let mut session = phone();
    let nonsense = [
        "",
        "{",
        "null",
        "[]",
        "{}",
        r#"{"type":7}"#,
        r#"{"type":"response.output_audio.delta","delta":"!!"}"#,
        r#"{"type":"response.done"#,
    ];
    for message in nonsense {
        assert_eq!(session.decode(message), Some(ModelEvent::Garbage), "{message}");
    }
    assert_eq!(session.counters().garbage, nonsense.len() as u64);
}
