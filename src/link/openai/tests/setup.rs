//! How a session is set up: the request, the one update, the handshake.

use super::*;

#[test]
fn request_carries_the_key_and_never_the_beta_header() {
    let request = request(&agent(AudioFormat::PHONE).model);
    assert_eq!(request.url, "wss://model.example/v1/realtime?model=gpt-realtime-2.1");
    let headers: Vec<(&str, &str)> = request.headers.iter().map(|(n, v)| (n.as_str(), v.expose())).collect();
    assert_eq!(headers, [("authorization", "Bearer sk-test"), ("x-project", "p1")]);
    assert!(!format!("{request:?}").contains("sk-test"));
}

#[test]
fn update_says_everything_with_null_for_off() {
    assert_eq!(
        update_of(&agent(AudioFormat::PHONE)),
        json!({
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": "You answer the phone of a restaurant.",
            "audio": {
                "input": {
                    "format": { "type": "audio/pcmu" },
                    "noise_reduction": { "type": "near_field" },
                    "transcription": { "model": "gpt-transcribe", "language": "en" },
                    "turn_detection": {
                        "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 200,
                        "create_response": true, "interrupt_response": false
                    }
                },
                "output": { "format": { "type": "audio/pcmu" }, "voice": "marin" }
            },
            "tools": update_of(&agent(AudioFormat::PHONE))["tools"],
            "tool_choice": "auto"
        })
    );
    let base = agent(AudioFormat::PCM_24K);
    let manner = Manner {
        voice: Some("voice_abc".into()),
        speed: 1.2,
        language: None,
        transcription: None,
        max_output_tokens: Some(900),
        turn_detection: TurnDetection::Disabled { commit_key: Some('#') },
        noise_reduction: NoiseReduction::None,
        ..base.manner.clone()
    };
    let bare = Agent { manner, tools: Arc::default(), ..base };
    assert_eq!(
        update_of(&bare),
        json!({
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": "You answer the phone of a restaurant.",
            "audio": {
                "input": {
                    "format": { "type": "audio/pcm", "rate": 24000 },
                    "noise_reduction": null, "transcription": null, "turn_detection": null
                },
                "output": { "format": { "type": "audio/pcm", "rate": 24000 }, "voice": { "id": "voice_abc" }, "speed": 1.2 }
            },
            "max_output_tokens": 900
        })
    );
    let mut semantic = agent(AudioFormat::PHONE);
    semantic.manner.turn_detection = TurnDetection::Semantic { eagerness: Eagerness::Low };
    assert_eq!(
        update_of(&semantic)["audio"]["input"]["turn_detection"],
        json!({ "type": "semantic_vad", "eagerness": "low", "create_response": true, "interrupt_response": false })
    );
}

#[test]
fn servers_of_tools_are_handed_over_and_what_they_do_is_counted() {
    let server = McpServer {
        label: "stock".into(),
        description: Some("What is in stock.".into()),
        url: "https://mcp.example/sse".into(),
        authorization: Some(Secret::new("hush")),
        allowed_tools: vec!["look_up".into()],
    };
    let bare = McpServer { authorization: None, description: None, allowed_tools: vec![], ..server.clone() };
    let agent = Agent { tools: Arc::default(), mcp: vec![server, bare], ..agent(AudioFormat::PHONE) };
    assert!(!format!("{agent:?}").contains("hush"));
    let update = update_of(&agent);
    assert_eq!(
        update["tools"],
        json!([
            {
                "type": "mcp", "server_label": "stock", "server_url": "https://mcp.example/sse",
                "server_description": "What is in stock.", "authorization": "hush", "allowed_tools": ["look_up"],
                "require_approval": "never"
            },
            {
                "type": "mcp", "server_label": "stock", "server_url": "https://mcp.example/sse",
                "require_approval": "never"
            }
        ])
    );
    assert_eq!(update["tool_choice"], "auto");
    let mut session = ready(AudioFormat::PHONE, AudioFormat::PHONE);
    for (event, calls, failed) in [
        (r#"{"type":"mcp_list_tools.completed","item_id":"i"}"#, 0, 0),
        (r#"{"type":"response.mcp_call.completed","item_id":"i","output_index":0}"#, 1, 0),
        (r#"{"type":"response.mcp_call.failed","item_id":"i","output_index":0}"#, 1, 1),
        (r#"{"type":"mcp_list_tools.failed","item_id":"i"}"#, 1, 2),
    ] {
        assert_eq!(session.decode(event), None);
        assert_eq!((session.counters().mcp_calls, session.counters().mcp_failed), (calls, failed), "{event}");
    }
    assert_eq!((session.counters().unknown, session.counters().garbage), (0, 0));
}

#[test]
fn tools_are_flat_functions() {
    let tools = update_of(&agent(AudioFormat::PHONE))["tools"].clone();
    for (tool, name, parameter) in [(&tools[0], "note", "text"), (&tools[1], "hang_up", "reason")] {
        assert_eq!((tool["type"].as_str(), tool["name"].as_str()), (Some("function"), Some(name)));
        assert_eq!(tool["parameters"]["properties"][parameter]["type"], "string");
        assert!(tool["description"].as_str().is_some_and(|text| !text.is_empty()));
    }
}

#[test]
fn handshake_sends_one_update_whichever_way_the_far_end_greets() {
    let conversation = r#"{"type":"conversation.created","event_id":"e","conversation":{"id":"conv_1"}}"#;
    let mut session = Session::new(&agent(AudioFormat::PHONE), "Be brief.", AudioFormat::PHONE);
    assert_eq!(session.poll_reply(), None, "nothing before the greeting");
    // An update we did not ask for makes nothing ready.
    assert_eq!(session.decode(UPDATED), None);
    assert_eq!(session.decode(conversation), None);
    assert!(session.poll_reply().unwrap().starts_with(r#"{"type":"session.update","event_id":"configure-1""#));
    assert_eq!(session.decode(CREATED), None);
    assert_eq!(session.poll_reply(), None, "once only");
    assert!(!session.is_ready());
    assert_eq!(session.decode(UPDATED), Some(ModelEvent::Ready { session: "sess_1".into(), turns: None }));
    assert_eq!(session.decode(UPDATED), None, "ready once");
    assert!(session.is_ready());
}

#[test]
fn refused_update_closes_for_good() {
    for event_id in [json!("configure-1"), json!(null)] {
        let mut session = Session::new(&agent(AudioFormat::PHONE), "Be brief.", AudioFormat::PHONE);
        session.decode(CREATED);
        let error = json!({ "type": "error", "event_id": "event_3", "error": {
            "type": "invalid_request_error", "code": "invalid_value", "message": "Invalid voice.", "param": "session.audio",
            "event_id": event_id } })
        .to_string();
        let Some(ModelEvent::Closed { reason, retry: false }) = session.decode(&error) else { panic!("not closed") };
        assert!(reason.contains("invalid_value") && reason.contains("Invalid voice."), "{reason}");
    }
}
