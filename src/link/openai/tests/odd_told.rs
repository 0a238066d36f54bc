//! What servers say of sessions, responses and refusals, in shapes of their own.

use super::odd::{created, told, updated};
use super::*;

#[test]
fn a_model_that_detects_no_turns_though_it_was_asked_to_is_refused() {
    for off in [json!(null), json!({ "type": "none" }), json!(false)] {
        let (_, lines) = updated(true, json!({ "audio": { "input": { "turn_detection": off } } }));
        assert_eq!(lines, ["closed the model detects no turns, though it was asked to retry=false"]);
    }
}

#[test]
fn an_update_that_leaves_a_format_out_leaves_it_as_it_is() {
    let linear = json!({ "type": "audio/pcm", "rate": 24000 });
    let (mut session, _) =
        updated(true, json!({ "audio": { "input": { "format": linear }, "output": { "format": linear } } }));
    let again = json!({ "type": "session.updated", "session": { "audio": { "output": { "format": linear } } } });
    assert_eq!(told(&mut session, &[again]), Vec::<String>::new());
    let event = encoded(&mut session, ModelCommand::AppendAudio(&[0xFF; 160]));
    assert_eq!(base64_simd::STANDARD.decode_to_vec(event["audio"].as_str().unwrap()).unwrap().len(), 960);
}

/// A tone at a third of full scale, as a codec has it.
fn tone(codec: Codec) -> Vec<u8> {
    let samples: Vec<i16> = (0..4_800).map(|n| ((f64::from(n) * 0.345).sin() * 10_000.0) as i16).collect();
    let mut bytes = Vec::new();
    codec.encode(&samples, &mut bytes);
    bytes
}

#[test]
fn narrow_audio_that_is_called_linear_is_what_was_asked_for() {
    let pcma = AudioFormat { codec: Codec::Pcma, rate_hz: 8_000 };
    let mut session = Session::new(&agent(pcma), "Be brief.", pcma);
    session.decode(CREATED);
    let linear = json!({ "type": "audio/pcm", "rate": 24000 });
    told(
        &mut session,
        &[json!({ "type": "session.updated", "session": { "audio": { "output": { "format": linear } } } })],
    );
    let audio = tone(Codec::Pcma);
    let message = audio_delta("r", "i", &audio);
    let Some(ModelEvent::Audio { payload, .. }) = session.decode(&message) else { panic!() };
    assert_eq!(payload, audio);
}

fn error(error: Value) -> String {
    json!({ "type": "error", "error": error }).to_string()
}

#[test]
fn a_refused_commit_is_known_by_its_words() {
    for complaint in [
        json!("Error committing input audio buffer: buffer too small. Expected at least 100ms of audio"),
        json!({ "message": "Error committing input audio buffer: expected more", "event_id": null }),
        json!({ "message": "buffer too small", "code": "invalid_value" }),
        json!({ "message": "no", "param": "input_audio_buffer" }),
        json!({ "message": "no", "code": "input_audio_buffer_commit_empty" }),
    ] {
        let text = error(complaint);
        let mut session = phone();
        let Some(ModelEvent::Error { about, .. }) = session.decode(&text) else { panic!("{text}") };
        assert_eq!(about, Some(CommandKind::CommitAudio), "{text}");
        // Nor does a name that comes later count as that of the refused one.
        encoded(&mut session, ModelCommand::CommitAudio { number: 1 });
        encoded(&mut session, ModelCommand::CommitAudio { number: 2 });
        session.decode(&text);
        let committed = |item: &str| json!({ "type": "input_audio_buffer.committed", "item_id": item });
        let words = json!({ "type": "conversation.item.input_audio_transcription.completed", "item_id": "b", "transcript": "B" });
        assert_eq!(told(&mut session, &[committed("a"), words]), ["turn a", "heard a \"B\" true"], "{text}");
    }
    for (complaint, about) in [
        (json!({ "message": "Buffer overrun while writing the response" }), None),
        (json!({ "message": "bad audio", "param": "input_audio_buffer.append.audio" }), None),
        (json!({ "message": "commit: buffer too small", "event_id": "cancel-3" }), Some(CommandKind::CancelResponse)),
    ] {
        let text = error(complaint);
        let mut session = phone();
        let Some(ModelEvent::Error { about: got, .. }) = session.decode(&text) else { panic!("{text}") };
        assert_eq!(got, about, "{text}");
    }
}

#[test]
fn busy_is_known_in_any_words_and_failing_is_not_busy() {
    for (message, expected) in [
        ("another response is being generated", true),
        ("response generation already in progress", true),
        ("A response is currently running.", true),
        ("The model is already generating a response", true),
        ("Cannot create response: response resp_1 is still generating", true),
        ("An error occurred while generating the response", false),
        ("Failed to generate response", false),
        ("Cancellation failed: no active response found", false),
        ("Cannot cancel: no response is running", false),
        ("The response was already completed", false),
        ("Connection is already in progress", false),
    ] {
        let text = error(json!(message));
        let mut session = phone();
        let Some(ModelEvent::Error { busy, .. }) = session.decode(&text) else { panic!("{text}") };
        assert_eq!(busy, expected, "{message}");
    }
}

#[test]
fn a_complaint_tells_whether_it_may_pass() {
    for (complaint, expected) in [
        (json!({ "type": "server_error", "message": "m" }), true),
        (json!({ "code": "rate_limit_exceeded", "message": "m" }), true),
        (json!("Rate limit reached"), true),
        (json!("The service is overloaded"), true),
        (json!({ "type": "invalid_request_error", "message": "m" }), false),
        (json!("There are 500 words too many"), false),
    ] {
        let text = error(complaint);
        let mut session = phone();
        let Some(ModelEvent::Error { passing, .. }) = session.decode(&text) else { panic!("{text}") };
        assert_eq!(passing, expected, "{text}");
    }
}

#[test]
fn why_a_response_came_to_nothing_is_read_from_wherever_it_stands() {
    use ResponseStatus::{Failed, Incomplete};
    for (fields, status, detail, fatal, wait) in [
        (
            json!({ "status": "failed", "status_details": "Rate limit, try again in 3.2s" }),
            Failed,
            "Rate limit, try again in 3.2s",
            false,
            Some(3_200),
        ),
        (
            json!({ "status": "failed", "status_details": { "type": "failed", "code": "insufficient_quota", "message": "No credit." } }),
            Failed,
            "insufficient_quota: No credit.",
            true,
            None,
        ),
        (
            json!({ "status": "failed", "status_details": { "reason": "insufficient_quota" } }),
            Failed,
            "insufficient_quota",
            true,
            None,
        ),
        (
            json!({ "status": "failed", "status_details": { "type": "failed", "error": null, "reason": "try again in 2s" } }),
            Failed,
            "try again in 2s",
            false,
            Some(2_000),
        ),
        (
            json!({ "status": "incomplete", "incomplete_details": { "reason": "content_filter" } }),
            Incomplete,
            "content_filter",
            false,
            None,
        ),
        (
            json!({ "status": "incomplete", "status_details": { "type": "incomplete", "reason": "max_output_tokens" } }),
            Incomplete,
            "max_output_tokens",
            false,
            None,
        ),
        (
            json!({ "status": "failed", "status_details": { "error": { "code": "x", "message": "m" } } }),
            Failed,
            "x: m",
            false,
            None,
        ),
        (json!({ "status": "failed", "error": "Broken." }), Failed, "Broken.", false, None),
    ] {
        let mut response = json!({ "id": "r" });
        response.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let text = json!({ "type": "response.done", "response": response }).to_string();
        let mut session = phone();
        told(&mut session, &[created(json!("r"))]);
        let Some(ModelEvent::ResponseDone { status: s, detail: d, fatal: f, retry_after_ms: w, .. }) =
            session.decode(&text)
        else {
            panic!("{text}")
        };
        assert_eq!((s, d.as_deref(), f, w), (status, Some(detail), fatal, wait), "{text}");
    }
    // Without any reason, and of one that did not come to nothing.
    for (response, detail) in [
        (json!({ "status": "failed", "status_details": { "type": "failed" } }), None),
        (
            json!({ "status": "cancelled", "status_details": { "type": "cancelled", "reason": "turn_detected" } }),
            Some("turn_detected"),
        ),
        (json!({ "status": "completed", "status_details": null }), None),
    ] {
        let text = json!({ "type": "response.done", "response": response }).to_string();
        let mut session = phone();
        let Some(ModelEvent::ResponseDone { detail: d, .. }) = session.decode(&text) else { panic!("{text}") };
        assert_eq!(d.as_deref(), detail, "{text}");
    }
}

#[test]
fn a_complaint_without_words_where_they_are_looked_for_is_told_as_it_stands() {
    for (event, words) in [
        (json!({ "type": "error", "errors": [{ "message": "no credit" }] }), "no credit"),
        (json!({ "type": "error", "error": { "reason": "no credit" } }), "no credit"),
        (json!({ "type": "error", "error": { "detail": [{ "msg": "bad voice" }] } }), "bad voice"),
        (json!({ "type": "error", "data": { "message": "no credit" } }), "no credit"),
        (json!({ "type": "error", "error": { "message": { "text": "no credit" } } }), "no credit"),
        (json!({ "type": "error", "error": { "type": "bad_request", "details": { "field": "voice" } } }), "voice"),
        (json!({ "type": "error", "error": { "info": "Bearer abcdef1234567890" } }), "[secret]"),
    ] {
        let text = event.to_string();
        let mut session = phone();
        let Some(ModelEvent::Error { message, .. }) = session.decode(&text) else { panic!("{text}") };
        assert!(message.contains(words) && !message.contains("abcdef"), "{message}");
        // At set-up the same.
        let mut session = Session::new(&agent(AudioFormat::PHONE), "Be brief.", AudioFormat::PHONE);
        session.decode(CREATED);
        let lines = told(&mut session, &[event]);
        assert!(lines[0].starts_with("closed session.update refused: ") && lines[0].contains(words), "{lines:?}");
    }
    // What has a kind, and nothing more to say, is not told twice.
    for (error, code, message) in [
        (json!({ "type": "server_error" }), "server_error", ""),
        (json!({ "type": "server_error", "message": null, "event_id": "x" }), "server_error", ""),
        (json!({ "code": "x", "message": { "text": "m" } }), "x", "{\"text\":\"m\"}"),
    ] {
        let text = json!({ "type": "error", "error": error }).to_string();
        let mut session = phone();
        let Some(ModelEvent::Error { code: c, message: m, .. }) = session.decode(&text) else { panic!("{text}") };
        assert_eq!((&*c, &*m), (code, message), "{text}");
    }
    for (body, words) in [
        (r#"{"errors":[{"message":"no credit"}]}"#, "no credit"),
        (r#"{"detail":[{"msg":"bad voice"}]}"#, "bad voice"),
        (r#"{"data":{"message":"no credit"}}"#, "no credit"),
        (r#"{"error":{"reason":"no credit"}}"#, "no credit"),
    ] {
        let ModelEvent::Closed { reason, .. } = refused(400, body) else { panic!() };
        assert!(reason.starts_with("HTTP 400: ") && reason.contains(words), "{reason}");
    }
}
