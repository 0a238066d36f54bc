//! Requests as vendors take them, and refusals as they give them.

use super::*;

#[test]
fn refusals_are_read_in_every_shape() {
    let now = UNIX_EPOCH + Duration::from_secs(1_795_216_690);
    let read = |status, body: &str| match refused(status, &Told::default(), body, now) {
        ModelError::Status { code, said, retry_after_s: None } if code == status => said,
        other => panic!("{other:?}"),
    };
    let said = |code: Option<&str>, kind: Option<&str>, param: Option<&str>, message: &str| {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Said { code: text(code), kind: text(kind), param: text(param), message: message.to_owned() }
    };
    for (status, body, expected) in [
        (
            404,
            r#"{"error":{"message":"The model `gpt-4` does not exist","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#,
            said(Some("model_not_found"), Some("invalid_request_error"), None, "The model `gpt-4` does not exist"),
        ),
        (
            400,
            r#"{"error":{"message":"no","param":"messages[0]","code":400}}"#,
            said(Some("400"), None, Some("messages[0]"), "no"),
        ),
        (429, r#"{"error":"slow down"}"#, said(None, None, None, "slow down")),
        (
            422,
            r#"{"detail":[{"loc":["body"],"msg":"extra"}]}"#,
            said(None, None, None, r#"[{"loc":["body"],"msg":"extra"}]"#),
        ),
        (
            400,
            r#"{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500"}"#,
            said(Some("1500"), Some("invalid_model"), None, "Invalid model: x"),
        ),
        (
            400,
            r#"[{"error":{"code":400,"message":"not valid","status":"INVALID_ARGUMENT"}}]"#,
            said(Some("400"), None, None, "not valid"),
        ),
        (
            502,
            "<html>\n<head><title>502 Bad Gateway</title></head><body>nginx",
            said(None, None, None, "502 Bad Gateway"),
        ),
        (503, "upstream connect error", said(None, None, None, "upstream connect error")),
        (500, "", said(None, None, None, "")),
        (
            401,
            r#"{"error":{"message":"Incorrect API key provided: sk-abcdef1234567890"}}"#,
            said(None, None, None, "Incorrect API key provided: [secret]"),
        ),
    ] {
        assert_eq!(read(status, body), expected, "{body}");
    }
    let long = read(500, &"é".repeat(1_000));
    assert!(long.message.len() <= 500 && long.message.ends_with('…'), "{long}");
}

#[test]
fn retry_after_is_seconds_milliseconds_or_a_date() {
    let now = UNIX_EPOCH + Duration::from_secs(1_795_216_690);
    let wait = |told: Told<'_>, body: &str| match refused(429, &told, body, now) {
        ModelError::Status { retry_after_s, .. } => retry_after_s,
        other => panic!("{other:?}"),
    };
    let after = |retry_after| Told { retry_after: Some(retry_after), ..Told::default() };
    for (told, seconds) in [
        (after("20"), Some(20)),
        (after(" 1.2 "), Some(2)),
        (after("0"), Some(0)),
        (after("-1"), None),
        (after("inf"), None),
        (after("soon"), None),
        (after("99999999999"), Some(86_400)),
        (after("Fri, 20 Nov 2026 23:18:40 GMT"), Some(30)),
        (after("Fri, 20 Nov 2026 23:18:00 GMT"), Some(0)),
        // By the vendor's clock, where it is told.
        (Told { date: Some("Fri, 20 Nov 2026 23:18:30 GMT"), ..after("Fri, 20 Nov 2026 23:18:40 GMT") }, Some(10)),
        (Told { retry_after_ms: Some("1200"), ..after("20") }, Some(2)),
        (Told { retry_after_ms: Some("x"), ..after("20") }, Some(20)),
        (Told::default(), None),
    ] {
        assert_eq!(wait(told, ""), seconds, "{told:?}");
    }
    let words = r#"{"error":{"message":"Rate limit reached. Please try again in 1m3.2s."}}"#;
    assert_eq!((wait(Told::default(), words), wait(after("5"), words)), (Some(64), Some(5)));
}

fn model(dialect: TextDialect) -> TextModel {
    TextModel {
        name: "writer".to_owned(),
        base_url: "https://api.test/v1".to_owned(),
        model: "gpt-6-luna".to_owned(),
        api_key: Some(Secret::new("key")),
        headers: vec![
            ("Api-Key".to_owned(), Secret::new("other")),
            ("Authorization".to_owned(), Secret::new("Basic x")),
        ],
        price: None,
        dialect,
    }
}

fn ask() -> Ask {
    let call = ToolCall { id: "call_1".into(), name: "lookup".into(), arguments: "{}".into() };
    Ask {
        messages: vec![
            Message::System("Be brief.".into()),
            Message::User("Hi".into()),
            Message::Assistant { text: "".into(), calls: vec![call] },
            Message::Tool { call: "call_1".into(), output: "7".into() },
            Message::Assistant { text: "It is 7.".into(), calls: vec![] },
        ],
        tools: Arc::new([ToolSpec {
            name: "lookup".into(),
            description: "Looks up.".into(),
            parameters: Arc::new(json!({ "type": "object", "properties": {} })),
        }]),
        may_call: true,
        options: Options {
            max_output_tokens: Some(300),
            temperature: Some(0.7),
            safety_identifier: Some("visitor-1".into()),
            connect_timeout_ms: 5_000,
            max_answer_bytes: 1_000,
        },
    }
}

#[test]
fn requests_are_written_as_each_vendor_takes_them() {
    let write = |dialect, ask: &Ask| serde_json::from_str::<Value>(&body(&model(dialect), ask)).unwrap();
    let tools = json!([{ "type": "function", "function": {
        "name": "lookup", "description": "Looks up.", "parameters": { "type": "object", "properties": {} } } }]);
    let made =
        |id: &str| json!([{ "id": id, "type": "function", "function": { "name": "lookup", "arguments": "{}" } }]);
    let own = json!({
        "model": "gpt-6-luna", "stream": true, "stream_options": { "include_usage": true, "include_obfuscation": false },
        "messages": [
            { "role": "developer", "content": "Be brief." },
            { "role": "user", "content": "Hi" },
            { "role": "assistant", "tool_calls": made("call_1") },
            { "role": "tool", "tool_call_id": "call_1", "content": "7" },
            { "role": "assistant", "content": "It is 7." }
        ],
        "tools": tools, "max_completion_tokens": 300, "temperature": 0.7, "safety_identifier": "visitor-1"
    });
    assert_eq!(write(TextDialect::OpenAi, &ask()), own);
    let mut other = own.clone();
    let fields = other.as_object_mut().unwrap();
    fields.remove("max_completion_tokens");
    fields.remove("safety_identifier");
    fields.insert("max_tokens".to_owned(), json!(300));
    fields.insert("stream_options".to_owned(), json!({ "include_usage": true }));
    other["messages"][0]["role"] = json!("system");
    assert_eq!(write(TextDialect::Compatible, &ask()), other);
    other.as_object_mut().unwrap().remove("stream_options");
    let id = write(TextDialect::Mistral, &ask())["messages"][3]["tool_call_id"].as_str().unwrap().to_owned();
    assert!(id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric()), "{id}");
    other["messages"][2]["tool_calls"] = made(&id);
    other["messages"][3]["tool_call_id"] = json!(id);
    other["messages"][3]["name"] = json!("lookup");
    assert_eq!(write(TextDialect::Mistral, &ask()), other);

    // What was not said is not sent; a choice that is none is said.
    let mut bare = ask();
    bare.options = Options { max_output_tokens: None, temperature: None, safety_identifier: None, ..bare.options };
    bare.may_call = false;
    let written = write(TextDialect::OpenAi, &bare);
    assert_eq!(written["tool_choice"], "none");
    for field in ["max_completion_tokens", "max_tokens", "temperature", "safety_identifier"] {
        assert_eq!(written.get(field), None, "{field}");
    }
    bare.tools = Arc::new([]);
    let written = write(TextDialect::OpenAi, &bare);
    assert_eq!((written.get("tools"), written.get("tool_choice")), (None, None));
}

#[test]
fn ids_of_another_vendor_are_made_to_fit() {
    let long = "x".repeat(41);
    let mut ask = ask();
    ask.messages[2] = Message::Assistant {
        text: "".into(),
        calls: vec![ToolCall { id: long.as_str().into(), name: "lookup".into(), arguments: "{}".into() }],
    };
    ask.messages[3] = Message::Tool { call: long.as_str().into(), output: "7".into() };
    for dialect in [TextDialect::OpenAi, TextDialect::Compatible, TextDialect::Mistral] {
        let written: Value = serde_json::from_str(&body(&model(dialect), &ask)).unwrap();
        let made = written["messages"][2]["tool_calls"][0]["id"].as_str().unwrap();
        assert_eq!(made.len(), 9, "{dialect:?}");
        assert_eq!(written["messages"][3]["tool_call_id"], made, "{dialect:?}");
    }
}

#[test]
fn the_types_of_async_openai_take_what_is_written() {
    // Whoever made them reads the API's own document: a second opinion on names and shapes.
    let written = body(&model(TextDialect::OpenAi), &ask());
    let read: async_openai::types::chat::CreateChatCompletionRequest = serde_json::from_str(&written).unwrap();
    assert_eq!((read.messages.len(), read.stream, read.max_completion_tokens), (5, Some(true), Some(300)));
    assert_eq!(read.tools.map(|tools| tools.len()), Some(1));
    assert_eq!(read.stream_options.and_then(|options| options.include_usage), Some(true));
}

#[test]
fn a_models_own_headers_take_the_place_of_ours() {
    let model = model(TextDialect::OpenAi);
    let headers: Vec<_> = headers(&model).into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect();
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        headers,
        [
            header("accept", "text/event-stream"),
            header("content-type", "application/json"),
            header("api-key", "other"),
            header("authorization", "Basic x"),
        ]
    );
    assert_eq!(url(&model), "https://api.test/v1/chat/completions");
}

#[test]
fn embeddings_are_asked_for_and_read_in_their_order() {
    let texts = ["one".to_owned(), "two".to_owned()];
    let written: Value = serde_json::from_str(&Embeddings::body(&model(TextDialect::Compatible), &texts)).unwrap();
    assert_eq!(written, json!({ "model": "gpt-6-luna", "input": ["one", "two"], "encoding_format": "float" }));
    assert_eq!(Embeddings::url(&model(TextDialect::OpenAi)), "https://api.test/v1/embeddings");
    let read = |body: Value| Embeddings::read(&body.to_string(), 2);
    let one = |index: Value, vector: Value| json!({ "object": "embedding", "index": index, "embedding": vector });
    let found = read(
        json!({ "data": [one(json!(1), json!([0, 1])), one(json!(0), json!([0.5, -1e-3]))], "usage": { "prompt_tokens": 4, "total_tokens": 4 } }),
    );
    assert_eq!(found, Ok(Embeddings { vectors: vec![vec![0.5, -0.001], vec![0.0, 1.0]], input_tokens: Some(4) }));
    // Without numbers they are in order.
    let found = read(json!({ "data": [one(json!(null), json!([1])), one(json!(null), json!([2]))] }));
    assert_eq!(found, Ok(Embeddings { vectors: vec![vec![1.0], vec![2.0]], input_tokens: None }));
    for data in [
        json!([]),
        json!([one(json!(0), json!([1]))]),
        json!([one(json!(0), json!([1])), one(json!(0), json!([1]))]),
        json!([one(json!(0), json!([1])), one(json!(2), json!([1]))]),
        json!([one(json!(0), json!([1])), one(json!(1), json!([1, 2]))]),
        json!([one(json!(0), json!([])), one(json!(1), json!([]))]),
        json!([one(json!(0), json!(["a"])), one(json!(1), json!([1]))]),
    ] {
        assert!(matches!(read(json!({ "data": data })), Err(ModelError::Malformed { .. })), "{data}");
    }
    let error = read(json!({ "error": { "message": "busy" } }));
    assert!(matches!(error, Err(ModelError::InStream { said }) if said.message == "busy"));
}
