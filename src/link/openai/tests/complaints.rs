//! What far ends complain of, in any shape, and what comes of it.

use super::odd::told;
use super::*;

#[test]
fn complaints_are_read_in_any_shape() {
    for (error, code, message, fatal, busy, wait) in [
        (json!("It broke."), "", "It broke.", false, false, None),
        (
            json!({ "code": 429, "message": "Slow down. Try again in 20s" }),
            "429",
            "Slow down. Try again in 20s",
            false,
            false,
            Some(20_000),
        ),
        (json!({ "code": "401", "message": "no" }), "401", "no", true, false, None),
        (
            json!({ "message": "Rate limit. Please try again in 3.2s." }),
            "",
            "Rate limit. Please try again in 3.2s.",
            false,
            false,
            Some(3_200),
        ),
        (json!({ "message": "Please retry after 1m30s" }), "", "Please retry after 1m30s", false, false, Some(90_000)),
        (json!({ "message": "try again in 250ms" }), "", "try again in 250ms", false, false, Some(250)),
        (json!({ "message": "try again in 2 minutes" }), "", "try again in 2 minutes", false, false, Some(120_000)),
        (json!({ "message": "try again in a while" }), "", "try again in a while", false, false, None),
        (
            json!({ "type": "t", "code": null, "message": "Conversation already has an active response" }),
            "t",
            "Conversation already has an active response",
            false,
            true,
            None,
        ),
        (
            json!("conversation already has an active response in progress: resp_B"),
            "",
            "conversation already has an active response in progress: resp_B",
            false,
            true,
            None,
        ),
        (
            json!({ "code": "invalid_value", "message": "A response is already in progress" }),
            "invalid_value",
            "A response is already in progress",
            false,
            true,
            None,
        ),
        (
            json!({ "message": "Cancellation failed: no active response found" }),
            "",
            "Cancellation failed: no active response found",
            false,
            false,
            None,
        ),
        (
            json!({ "message": "You exceeded your current quota, please check your plan." }),
            "",
            "You exceeded your current quota, please check your plan.",
            true,
            false,
            None,
        ),
        (
            json!({ "error": { "code": "overloaded", "message": "m", "retry_after": 2 } }),
            "overloaded",
            "m",
            false,
            false,
            Some(2_000),
        ),
        (json!({ "detail": "bad\nvoice" }), "", "bad voice", false, false, None),
        (json!(17), "", "17", false, false, None),
        (json!([1, 2]), "", "[1,2]", false, false, None),
    ] {
        let event = json!({ "type": "error", "event_id": "e", "error": error }).to_string();
        let mut session = phone();
        let Some(ModelEvent::Error { code: c, message: m, fatal: f, busy: b, retry_after_ms: w, .. }) =
            session.decode(&event)
        else {
            panic!("{event}")
        };
        assert_eq!((&*c, &*m, f, b, w), (code, message, fatal, busy, wait), "{event}");
    }
    // The event is all that there is of it.
    let mut session = phone();
    let Some(ModelEvent::Error { code, message, .. }) =
        session.decode(r#"{"type":"error","event_id":"create-2","code":"x","message":"m"}"#)
    else {
        panic!()
    };
    assert_eq!((&*code, &*message), ("x", "m"));
    for (error, about) in [
        (json!({ "param": "response.instructions", "message": "m" }), Some(CommandKind::CreateResponse)),
        (
            json!({ "code": "invalid_value", "message": "Invalid value: 'response.create'" }),
            Some(CommandKind::CreateResponse),
        ),
        (json!({ "message": "m", "event_id": "truncate-9" }), Some(CommandKind::Truncate)),
        (
            json!({ "code": "invalid_tool_call_id", "message": "Tool call ID 'c' not found" }),
            Some(CommandKind::ToolOutput),
        ),
        (json!({ "message": "m" }), None),
    ] {
        let text = json!({ "type": "error", "error": error }).to_string();
        let Some(ModelEvent::Error { about: got, .. }) = session.decode(&text) else { panic!("{text}") };
        assert_eq!(got, about, "{text}");
    }
}

#[test]
fn secrets_are_struck_out_of_a_vendors_words() {
    for (text, kept) in [
        ("Incorrect API key provided: sk-proj-12*****45. You can", "Incorrect API key provided: [secret]. You can"),
        ("bad header: Bearer abc123def456", "bad header: Bearer [secret]"),
        ("url ?api_key=hunter2hunter2 failed", "url ?api_key=[secret] failed"),
        ("token eyJhbGciOi.eyJzdWIi.SflKx", "token [secret]"),
        ("request req_0123456789abcdef0123456789abcdef failed", "request req_0123456789abcdef0123456789abcdef failed"),
        ("Limit 40000, Used 39880, tokens per min", "Limit 40000, Used 39880, tokens per min"),
        ("é0123456789abcdef0123456789abcdef!", "é[secret]!"),
    ] {
        let event = json!({ "type": "error", "error": { "message": text } }).to_string();
        let mut session = phone();
        let Some(ModelEvent::Error { message, .. }) = session.decode(&event) else { panic!() };
        assert_eq!(message, kept);
    }
    let long = json!({ "type": "error", "error": "word ".repeat(500) }).to_string();
    let mut session = phone();
    let Some(ModelEvent::Error { message, .. }) = session.decode(&long) else { panic!() };
    assert_eq!(message.chars().count(), 201);
}

#[test]
fn a_complaint_while_the_session_is_set_up_ends_it_in_the_vendors_words() {
    for (greeted, error, expected) in [
        (true, json!("Unknown voice"), "closed session.update refused: Unknown voice retry=false"),
        (true, json!({ "code": 400, "message": "bad" }), "closed session.update refused: 400: bad retry=false"),
        (
            false,
            json!({ "code": "model_not_found", "message": "no such model" }),
            "closed session refused: model_not_found: no such model retry=false",
        ),
        (
            true,
            json!({ "type": "server_error", "message": "m" }),
            "closed session.update refused: server_error: m retry=true",
        ),
        (
            true,
            json!({ "code": "rate_limit_exceeded", "message": "m" }),
            "closed session.update refused: rate_limit_exceeded: m retry=true",
        ),
    ] {
        let mut session = Session::new(&agent(AudioFormat::PHONE), "Be brief.", AudioFormat::PHONE);
        if greeted {
            session.decode(CREATED);
        }
        let message = json!({ "type": "error", "error": error });
        assert_eq!(told(&mut session, &[message]), [expected]);
        assert_eq!(session.decode(UPDATED), None, "nothing comes of it any more");
    }
    let ModelEvent::Closed { reason, .. } = refused(400, "{\"detail\":\"no\"}") else { panic!() };
    assert_eq!(reason, "HTTP 400: no");
    let ModelEvent::Closed { reason, .. } = refused(401, "{\"error\":\"Incorrect API key provided: sk-12*45\"}") else {
        panic!()
    };
    assert_eq!(reason, "HTTP 401: Incorrect API key provided: [secret]");
    let ModelEvent::Closed { reason, .. } = refused(502, "<html><body>Bad gateway") else { panic!() };
    assert_eq!(reason, "HTTP 502");
}
