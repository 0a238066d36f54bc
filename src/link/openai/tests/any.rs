//! Whatever is sent, or was never a message.

use proptest::prelude::*;

use super::*;

/// Fields that events have, some of them in places where they do not belong.
const FIELDS: [&str; 17] = [
    "item_id",
    "response_id",
    "delta",
    "transcript",
    "audio_start_ms",
    "audio_end_ms",
    "item",
    "response",
    "session",
    "error",
    "call_id",
    "name",
    "arguments",
    "status",
    "code",
    "message",
    "id",
];

/// JSON of any shape, with the keys that are looked for.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "completed",
            "function_call",
            "message",
            "{}",
            "sk-1",
            "audio/pcm",
            "é😀",
            "try again in 1m",
            "```"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop::sample::select(vec![
            "id",
            "type",
            "status",
            "status_details",
            "error",
            "output",
            "usage",
            "content",
            "transcript",
            "arguments",
            "call_id",
            "name",
            "audio",
            "input",
            "format",
            "rate",
            "turn_detection",
            "code",
            "message",
            "input_tokens",
            "retry_after",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_message_panics(text in ".{0,200}") {
        phone().decode(&text);
    }

    #[test]
    fn no_mutation_panics(event in 0..SERVER_EVENTS.len(), at in 0usize..400, byte in 0x20u8..0x7F, cut in 0usize..400, linear in any::<bool>()) {
        let message = json!({
            "type": SERVER_EVENTS[event].0, "item_id": "item_1", "response_id": "resp_1", "delta": "AAAA/w==",
            "audio_start_ms": 1e30, "audio_end_ms": -2, "transcript": "\u{1F600}\"\\", "session": { "id": "s" },
            "error": { "type": "t", "message": "m", "event_id": "create-1" },
            "item": { "type": "function_call", "call_id": "c", "name": "n", "arguments": "{}", "status": "completed" },
            "response": { "id": "resp_1", "status": "completed", "usage": { "input_tokens": -1.5 } },
            "call_id": "c", "name": "n", "arguments": "{}"
        });
        let mut bytes = message.to_string().into_bytes();
        let at = at % bytes.len();
        if bytes[at].is_ascii() {
            bytes[at] = byte;
        }
        bytes.truncate(cut.max(1));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let format = if linear { AudioFormat::PCM_24K } else { AudioFormat::PHONE };
        let mut session = ready(format, format);
        session.decode(&text);
        session.decode(&text);
    }

    #[test]
    fn any_json_of_any_type_is_taken(kind in 0..SERVER_EVENTS.len(), fields in prop::collection::vec((0..FIELDS.len(), any_json()), 0..8), ready in any::<bool>()) {
        let mut message = json!({ "type": SERVER_EVENTS[kind].0 });
        for (field, value) in fields {
            message[FIELDS[field]] = value;
        }
        let mut session = if ready { phone() } else { Session::new(&agent(AudioFormat::PHONE), "", AudioFormat::PHONE) };
        for _ in 0..2 {
            let text = message.to_string();
            let garbage = session.decode(&text) == Some(ModelEvent::Garbage);
            prop_assert!(!garbage || SERVER_EVENTS[kind].1 == Kind::AudioDelta, "{message}");
            while session.poll_event().is_some() {}
        }
    }

    #[test]
    fn audio_survives_the_way_out_and_back(payload in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let mut session = phone();
        let event = encoded(&mut session, ModelCommand::AppendAudio(&payload));
        let message = json!({ "type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": event["audio"] }).to_string();
        let Some(ModelEvent::Audio { payload: back, .. }) = session.decode(&message) else { panic!() };
        prop_assert_eq!(back, &payload[..]);
    }

    #[test]
    fn any_text_survives_the_way_out(text in any::<String>()) {
        let mut session = phone();
        let event = encoded(&mut session, ModelCommand::ToolOutput { number: 1, call: &text, output: &text });
        prop_assert_eq!(event["item"]["output"].as_str(), Some(text.as_str()));
        let event = encoded(&mut session, ModelCommand::AddMessage { role: Role::Caller, text: &text, id: None, first: false });
        prop_assert_eq!(event["item"]["content"][0]["text"].as_str(), Some(text.as_str()));
    }
}
