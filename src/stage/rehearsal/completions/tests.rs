use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::super::outbox::ApiError;
use super::answer::{Answer, Step};
use super::request::{Request, read as read_for};
use super::script::{Chat, Completion, CompletionFault, Vendor};
use super::*;

fn read(body: &Value) -> Result<Request, ApiError> {
    read_for(body, &Chat::default())
}

fn request(schema: Value, strict: bool) -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }], "max_completion_tokens": 100,
        "response_format": { "type": "json_schema", "json_schema": { "name": "a", "schema": schema, "strict": strict } } })
}

/// A request with these fields beside a message.
fn with(fields: Value) -> Value {
    let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi there" }] });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

fn tool() -> Value {
    json!({ "type": "function", "function": { "name": "lookup", "parameters": { "type": "object", "properties": {} } } })
}

/// A turn with a call and these messages behind it.
fn after_call(messages: &[Value]) -> Value {
    let call = json!({ "id": "c1", "type": "function", "function": { "name": "lookup", "arguments": "{}" } });
    let mut all = vec![
        json!({ "role": "user", "content": "Hi" }),
        json!({ "role": "assistant", "content": null, "tool_calls": [call] }),
    ];
    all.extend_from_slice(messages);
    json!({ "model": "m", "messages": all })
}

#[test]
fn wrong_requests_are_refused_as_the_api_does() {
    let loose = json!({ "type": "object", "properties": { "a": {} } });
    let answer = json!({ "role": "tool", "tool_call_id": "c1", "content": "7" });
    for (body, param) in [
        (json!({}), "model"),
        (json!({ "model": "m" }), "messages"),
        (json!({ "model": "m", "messages": [] }), "messages"),
        (json!({ "model": "m", "messages": [{ "role": "caller", "content": "" }] }), "messages[0].role"),
        (json!({ "model": "m", "messages": [{ "role": "user", "content": null }] }), "messages[0].content"),
        (json!({ "model": "m", "messages": [{ "role": "user", "content": "", "id": 1 }] }), "messages[0].id"),
        (with(json!({ "max_tokens": 1, "max_completion_tokens": 1 })), "max_tokens"),
        (with(json!({ "max_completion_tokens": 0 })), "max_completion_tokens"),
        (with(json!({ "stream": 1 })), "stream"),
        (with(json!({ "stream_options": { "include_usage": true } })), "stream_options"),
        (with(json!({ "stream": true, "stream_options": { "usage": true } })), "stream_options.usage"),
        (with(json!({ "temperature": 2.1 })), "temperature"),
        (with(json!({ "n": 2 })), "n"),
        (with(json!({ "service_tier": "best" })), "service_tier"),
        (with(json!({ "stop": ["a", "b", "c", "d", "e"] })), "stop"),
        (with(json!({ "safety_identifier": "" })), "safety_identifier"),
        (with(json!({ "surprise": 1 })), "surprise"),
        (with(json!({ "tool_choice": "auto" })), "tool_choice"),
        (with(json!({ "tools": [] })), "tools"),
        (with(json!({ "tools": [{ "type": "function", "name": "lookup" }] })), "tools[0].function"),
        (
            with(json!({ "tools": [{ "type": "function", "function": { "name": "look up" } }] })),
            "tools[0].function.name",
        ),
        (with(json!({ "tools": [tool()], "tool_choice": { "function": { "name": "other" } } })), "tool_choice"),
        (after_call(&[]), "messages[2].role"),
        (after_call(&[json!({ "role": "user", "content": "Hi" })]), "messages[2].role"),
        (after_call(&[json!({ "role": "tool", "tool_call_id": "c2", "content": "7" })]), "messages[2].role"),
        (after_call(&[answer.clone(), answer.clone()]), "messages[3].role"),
        (request(loose.clone(), true), "response_format.json_schema.schema"),
    ] {
        assert_eq!(read(&body).unwrap_err().param.as_deref(), Some(param), "{body}");
    }
    for body in [
        request(loose, false),
        after_call(&[answer]),
        with(json!({ "tools": [tool()], "tool_choice": "required", "parallel_tool_calls": false })),
        with(json!({ "stream": true, "stream_options": { "include_usage": true, "include_obfuscation": false } })),
        with(json!({ "temperature": 0.7, "max_tokens": 5, "service_tier": "flex", "stop": "x", "store": false })),
        json!({ "model": "m", "messages": [{ "role": "user", "content": [{ "type": "text", "text": "Hi" }] }] }),
    ] {
        assert_eq!(read(&body).err(), None, "{body}");
    }
}

#[test]
fn vendors_take_what_is_theirs() {
    let fields = [
        json!({ "max_tokens": 5 }),
        json!({ "max_completion_tokens": 5 }),
        json!({ "temperature": 0.7 }),
        json!({ "temperature": 1 }),
        json!({ "safety_identifier": "v" }),
        json!({ "messages": [{ "role": "developer", "content": "x" }] }),
        json!({ "stream": true, "stream_options": { "include_obfuscation": false } }),
    ];
    for (vendor, refused) in
        [(Vendor::OpenAi, &[][..]), (Vendor::Reasoning, &[0, 2]), (Vendor::Compatible, &[1, 4, 5, 6])]
    {
        let chat = Chat { vendor, ..Chat::default() };
        let found: Vec<usize> =
            (0..fields.len()).filter(|index| read_for(&with(fields[*index].clone()), &chat).is_err()).collect();
        assert_eq!(found, refused, "{vendor:?}");
    }
    let chat = Chat { models: vec!["a".to_owned()], ..Chat::default() };
    let error = read_for(&with(json!({})), &chat).unwrap_err();
    assert_eq!((error.code, Refusal::of(&error).status), ("model_not_found", 404));
}

#[test]
fn an_answer_fits_what_was_asked_for() {
    let schema = json!({ "type": "object", "properties": {
        "mood": { "enum": ["good", "bad"] }, "points": { "type": "integer", "minimum": 1 },
        "tags": { "type": "array", "items": { "type": "string" }, "minItems": 1 }, "done": { "type": "boolean" }
    }, "required": ["mood", "points", "tags", "done"], "additionalProperties": false });
    let request = read(&request(schema, true)).unwrap();
    let (scripted, chat) = (Completion::default(), Chat::default());
    let whole = Answer::new(&request, ("1".to_owned(), &scripted), &chat, 1, 2).whole();
    let content = whole["choices"][0]["message"]["content"].as_str().unwrap();
    let value: Value = serde_json::from_str(content).unwrap();
    assert_eq!(value, json!({ "mood": "good", "points": 1, "tags": ["rehearsal"], "done": true }));
}

/// The events of an answer up to its end, `cut` and `stall` as such; without what goes around them.
fn events(body: Value, scripted: &Completion) -> Vec<String> {
    let request = read(&with(body)).unwrap();
    let chat = Chat { token_ms: 5, ..Chat::default() };
    let steps = Answer::new(&request, ("hello".to_owned(), scripted), &chat, 3, 4).stream();
    let told = steps.into_iter().filter_map(|step| match step {
        Step::Wait(time) => {
            assert_eq!(time, Duration::from_millis(5));
            None
        }
        Step::Cut => Some("cut".to_owned()),
        Step::Stall => Some("stall".to_owned()),
        Step::Send(text) if text == "data: [DONE]\n\n" => Some("done".to_owned()),
        Step::Send(text) => {
            let event = text.strip_prefix("data: ").and_then(|text| text.strip_suffix("\n\n")).expect("an event");
            let Ok(event) = serde_json::from_str::<Value>(event) else { return Some("nonsense".to_owned()) };
            if let Some(code) = event["error"]["code"].as_str() {
                return Some(code.to_owned());
            }
            assert_eq!((&event["id"], &event["system_fingerprint"]), (&json!("chatcmpl-3"), &json!("rehearsal_hello")));
            let choice = &event["choices"][0];
            match (&choice["delta"]["content"], &choice["finish_reason"], &event["usage"]) {
                (Value::String(text), ..) => Some(text.chars().take(8).collect()),
                (_, Value::String(reason), _) => Some(format!("({reason})")),
                (_, _, Value::Object(_)) => Some("usage".to_owned()),
                _ => Some(choice["delta"].to_string()),
            }
        }
    });
    told.collect()
}

#[test]
fn a_stream_says_its_script_and_breaks_where_it_says() {
    let says = |fault| Completion { content: Some("One two three.".to_owned()), fault, ..Completion::default() };
    let none = CompletionFault::default;
    let streamed = json!({ "stream": true });
    let usage = json!({ "stream": true, "stream_options": { "include_usage": true } });
    for (fault, expected) in [
        (none(), &["", "One ", "two ", "three.", "(stop)", "usage", "done"][..]),
        (CompletionFault { no_done: true, no_usage: true, ..none() }, &["", "One ", "two ", "three.", "(stop)"]),
        (CompletionFault { cut_at: Some(0), ..none() }, &["", "cut"]),
        (CompletionFault { cut_at: Some(2), ..none() }, &["", "One ", "two ", "cut"]),
        (CompletionFault { stall_at: Some(3), ..none() }, &["", "One ", "two ", "three.", "stall"]),
        (CompletionFault { error_at: Some(1), ..none() }, &["", "One ", "failed_on_purpose"]),
        (
            CompletionFault { malformed_at: Some(1), ..none() },
            &["", "One ", "nonsense", "two ", "three.", "(stop)", "usage", "done"],
        ),
        (
            CompletionFault { huge_at: Some(0), ..none() },
            &["", "xxxxxxxx", "One ", "two ", "three.", "(stop)", "usage", "done"],
        ),
    ] {
        assert_eq!(events(usage.clone(), &says(fault.clone())), expected, "{fault:?}");
    }
    // Not asked for, no usage; too few tokens; the user's own words.
    assert_eq!(events(streamed.clone(), &says(none())), ["", "One ", "two ", "three.", "(stop)", "done"]);
    let short = json!({ "stream": true, "max_completion_tokens": 2 });
    assert_eq!(events(short, &says(none())), ["", "One ", "two ", "(length)", "done"]);
    let echo = Completion { echo: true, ..Completion::default() };
    assert_eq!(events(streamed.clone(), &echo), ["", "Hi ", "there", "(stop)", "done"]);
    // A call in pieces, of a tool that there is.
    let tools = toml::from_str::<Completion>(
        "tools = [{ name = \"lookup\", arguments = { q = \"a\" } }, { name = \"other\" }]",
    )
    .unwrap();
    let called = events(json!({ "stream": true, "tools": [tool()] }), &tools);
    assert_eq!(
        called[1],
        r#"{"tool_calls":[{"function":{"arguments":"","name":"lookup"},"id":"call_3_0","index":0,"type":"function"}]}"#
    );
    assert_eq!(called[3..], [r#"{"tool_calls":[{"function":{"arguments":"}"},"index":0}]}"#, "(tool_calls)", "done"]);
    assert_eq!(
        events(streamed, &tools)[1..],
        ["This ", "is ", "the ", "built-in", "model; ", "it ", "understa", "nothing.", "(stop)", "done"]
    );
}

#[test]
fn failures_on_purpose_are_those_of_vendors_and_gateways() {
    let fail = |text: &str| {
        Refusal::on_purpose(&toml::from_str(text).unwrap(), UNIX_EPOCH + Duration::from_secs(1_795_216_690))
    };
    let plain =
        fail("status = 429\ncode = \"rate_limit_exceeded\"\nmessage = \"Slow down.\"\nretry_after_s = 7").unwrap();
    assert_eq!((plain.status, plain.retry_after.as_deref()), (429, Some("7")));
    assert_eq!(
        serde_json::from_str::<Value>(&plain.body).unwrap(),
        json!({ "error": { "message": "Slow down.", "type": "rate_limit_error", "param": null, "code": "rate_limit_exceeded" } })
    );
    let page = fail("status = 502\npage = true\nretry_after_s = 30\nretry_after_is_date = true").unwrap();
    assert!(page.page && page.body.contains("<title>502 on purpose"), "{page:?}");
    assert_eq!(page.retry_after.as_deref(), Some("Fri, 20 Nov 2026 23:18:40 GMT"));
    assert_eq!(fail("content = \"x\""), None);
}
