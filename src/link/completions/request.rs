//! A request, as its vendor takes it.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

use crate::config::{Secret, TextDialect, TextModel};
use crate::talk::model::{Ask, Message, ToolCall};

/// Where `model` is asked.
pub fn url(model: &TextModel) -> String {
    format!("{}/chat/completions", model.base_url)
}

/// The request's headers, names in lower case. One that the document gives takes the place of our own.
pub fn headers(model: &TextModel) -> Vec<(String, Secret)> {
    let mut headers = vec![
        ("accept".to_owned(), Secret::new("text/event-stream")),
        ("content-type".to_owned(), Secret::new("application/json")),
    ];
    if let Some(key) = &model.api_key {
        headers.push(("authorization".to_owned(), Secret::new(format!("Bearer {}", key.expose()))));
    }
    for (name, value) in &model.headers {
        let name = name.to_ascii_lowercase();
        headers.retain(|(known, _)| *known != name);
        headers.push((name, value.clone()));
    }
    headers
}

/// The request's body: `ask` of `model`, to be answered as a stream.
pub fn body(model: &TextModel, ask: &Ask) -> String {
    let dialect = model.dialect;
    let own = dialect == TextDialect::OpenAi;
    let tools: Vec<Value> = ask.tools.iter().map(|tool| {
        let (name, description, parameters) = (&*tool.name, &*tool.description, &*tool.parameters);
        json!({ "type": "function", "function": { "name": name, "description": description, "parameters": parameters } })
    }).collect();
    let max_tokens = ask.options.max_output_tokens;
    let body = Body {
        model: &model.model,
        stream: true,
        stream_options: match dialect {
            TextDialect::OpenAi => Some(json!({ "include_usage": true, "include_obfuscation": false })),
            TextDialect::Compatible => Some(json!({ "include_usage": true })),
            // It tells without being asked, and knows no such field.
            TextDialect::Mistral => None,
        },
        messages: messages(dialect, &ask.messages),
        // Without tools there is no choice.
        tool_choice: (!tools.is_empty() && !ask.may_call).then_some("none"),
        tools,
        max_completion_tokens: max_tokens.filter(|_| own),
        max_tokens: max_tokens.filter(|_| !own),
        // Through f64 it would be written with the digits that f32 lacks.
        temperature: ask.options.temperature.and_then(|n| n.to_string().parse().ok()),
        safety_identifier: ask.options.safety_identifier.as_deref().filter(|_| own),
    };
    // Nothing in it can fail to be written.
    serde_json::to_string(&body).unwrap_or_default()
}

/// What a request calls the number of tokens that its answer may have.
pub fn max_tokens(dialect: TextDialect) -> &'static str {
    match dialect {
        TextDialect::OpenAi => "max_completion_tokens",
        TextDialect::Compatible | TextDialect::Mistral => "max_tokens",
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Line<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_identifier: Option<&'a str>,
}

#[derive(Default, Serialize)]
struct Line<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

fn messages(dialect: TextDialect, messages: &[Message]) -> Vec<Line<'_>> {
    // The calls of the last message that made any: the answers that follow are theirs.
    let mut open: &[ToolCall] = &[];
    let lines = messages.iter().map(|message| match message {
        Message::System(text) => {
            let role = if dialect == TextDialect::OpenAi { "developer" } else { "system" };
            Line { role, content: Some(text), ..Line::default() }
        }
        Message::User(text) => Line { role: "user", content: Some(text), ..Line::default() },
        Message::Assistant { text, calls } => {
            open = calls;
            let content = Some(&**text).filter(|text| !text.is_empty() || calls.is_empty());
            let tool_calls = calls.iter().map(|call| {
                let function = json!({ "name": &*call.name, "arguments": &*call.arguments });
                json!({ "id": call_id(dialect, &call.id), "type": "function", "function": function })
            });
            Line { role: "assistant", content, tool_calls: tool_calls.collect(), ..Line::default() }
        }
        Message::Tool { call, output } => {
            let named = open.iter().find(|made| made.id == *call).map(|made| &*made.name);
            Line {
                role: "tool",
                content: Some(output),
                tool_call_id: Some(call_id(dialect, call)),
                name: named.filter(|_| dialect == TextDialect::Mistral),
                ..Line::default()
            }
        }
    });
    lines.collect()
}

/// The id of a call as the vendor takes it: it may be another vendor's, from before a failover.
fn call_id(dialect: TextDialect, id: &str) -> Cow<'_, str> {
    let plain = id.bytes().all(|b| b.is_ascii_alphanumeric());
    let fits = match dialect {
        TextDialect::Mistral => id.len() == MISTRALS_ID && plain,
        TextDialect::OpenAi | TextDialect::Compatible => (1..=LONGEST_ID).contains(&id.len()),
    };
    if fits {
        return Cow::Borrowed(id);
    }
    // FNV-1a: the same id is always made the same, and two of one conversation hardly ever.
    let mut hash =
        id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let letter = || {
        let letter = LETTERS[(hash % LETTERS.len() as u64) as usize];
        hash /= LETTERS.len() as u64;
        char::from(letter)
    };
    Cow::Owned(std::iter::repeat_with(letter).take(MISTRALS_ID).collect())
}

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const MISTRALS_ID: usize = 9;
const LONGEST_ID: usize = 40;
