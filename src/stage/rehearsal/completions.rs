//! `POST /v1/chat/completions` of the built-in model: every field is checked, and the answer is JSON that fits the schema
//! that was asked for, or what the script says.

use serde_json::{Map, Value, json};

use super::outbox::ApiError;
use super::script::Completion;

/// A request that was understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    model: String,
    /// Characters of all messages.
    characters: usize,
    schema: Option<Value>,
}

/// Reads a request's body.
pub(super) fn read(body: &Value) -> Result<Request, ApiError> {
    let fields = body.as_object().ok_or_else(|| ApiError::invalid("body", "an object is expected"))?;
    for key in fields.keys() {
        if !KNOWN.contains(&key.as_str()) {
            return Err(ApiError::unknown(key));
        }
    }
    let model = fields.get("model").ok_or_else(|| ApiError::missing("model"))?;
    let model = model
        .as_str()
        .filter(|model| !model.is_empty())
        .ok_or_else(|| ApiError::invalid("model", "a name is expected"))?;
    let messages = fields.get("messages").ok_or_else(|| ApiError::missing("messages"))?;
    let messages = messages.as_array().filter(|messages| !messages.is_empty());
    let messages =
        messages.ok_or_else(|| ApiError::invalid("messages", "a list of at least one message is expected"))?;
    let mut characters = 0;
    for (index, message) in messages.iter().enumerate() {
        let path = format!("messages[{index}]");
        let fields = message.as_object().ok_or_else(|| ApiError::invalid(&path, "an object is expected"))?;
        if let Some(key) = fields.keys().find(|key| !["role", "content", "name"].contains(&key.as_str())) {
            return Err(ApiError::unknown(&format!("{path}.{key}")));
        }
        if !matches!(message["role"].as_str(), Some("system" | "developer" | "user" | "assistant")) {
            return Err(ApiError::invalid(
                &format!("{path}.role"),
                "system, developer, user and assistant are supported",
            ));
        }
        let content = message["content"].as_str();
        characters +=
            content.ok_or_else(|| ApiError::invalid(&format!("{path}.content"), "a string is expected"))?.len();
    }
    match fields.get("max_completion_tokens").map(Value::as_u64) {
        None | Some(Some(1..)) => {}
        Some(_) => return Err(ApiError::invalid("max_completion_tokens", "a whole number from 1 is expected")),
    }
    if fields.get("stream").is_some_and(|stream| *stream != false) {
        return Err(ApiError::invalid("stream", "false is supported"));
    }
    let schema = fields.get("response_format").map(response_format).transpose()?.flatten();
    Ok(Request { model: model.to_owned(), characters, schema })
}

impl Request {
    /// The content of the answer, when the script does not say what it is.
    pub(super) fn content(&self) -> String {
        match &self.schema {
            Some(schema) => example(schema).to_string(),
            None => "This is the built-in model; it understands nothing.".to_owned(),
        }
    }

    /// A completion with this content.
    pub(super) fn answer(&self, number: u64, created: u64, content: &str) -> Value {
        // About four characters to a token, as models count.
        let (prompt, completion) = (self.characters.div_ceil(4), content.len().div_ceil(4));
        json!({
            "id": format!("chatcmpl-{number}"), "object": "chat.completion", "created": created, "model": self.model,
            "choices": [{
                "index": 0, "finish_reason": "stop", "logprobs": null,
                "message": { "role": "assistant", "content": content, "refusal": null, "annotations": [] }
            }],
            "usage": {
                "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
                "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 },
                "completion_tokens_details": { "reasoning_tokens": 0, "audio_tokens": 0 }
            },
            "service_tier": "default", "system_fingerprint": null
        })
    }
}

/// The status and body of a failure on purpose, if `completion` is one.
pub(super) fn failure(completion: &Completion) -> Option<(u16, Value)> {
    let status = completion.status?;
    let code = completion.code.as_deref().unwrap_or("failed_on_purpose");
    Some((status, error(&ApiError::new("", "A failure on purpose."), code)))
}

/// An error's body.
pub(super) fn error(error: &ApiError, code: &str) -> Value {
    let code = if error.code.is_empty() { code } else { error.code };
    json!({ "error": { "message": error.message, "type": "invalid_request_error", "param": error.param, "code": code } })
}

fn response_format(format: &Value) -> Result<Option<Value>, ApiError> {
    match format["type"].as_str() {
        Some("text" | "json_object") => return Ok(None),
        Some("json_schema") => {}
        _ => return Err(ApiError::invalid("response_format.type", "text, json_object and json_schema are supported")),
    }
    let path = "response_format.json_schema";
    let wanted = format["json_schema"].as_object().ok_or_else(|| ApiError::missing(path))?;
    if let Some(key) = wanted.keys().find(|key| !["name", "schema", "strict", "description"].contains(&key.as_str())) {
        return Err(ApiError::unknown(&format!("{path}.{key}")));
    }
    let is_name = |name: &str| {
        (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    if !wanted.get("name").and_then(Value::as_str).is_some_and(is_name) {
        return Err(ApiError::invalid(&format!("{path}.name"), "1 to 64 letters, digits, - and _ are expected"));
    }
    let schema = wanted.get("schema").ok_or_else(|| ApiError::missing(&format!("{path}.schema")))?;
    if wanted.get("strict") == Some(&Value::Bool(true)) {
        strict(schema, &format!("{path}.schema"))?;
    }
    Ok(Some(schema.clone()))
}

/// What the API demands of a schema that it is to hold its model to.
fn strict(schema: &Value, path: &str) -> Result<(), ApiError> {
    let Some(fields) = schema.as_object() else { return Ok(()) };
    if fields.get("type") == Some(&json!("object")) {
        let empty = Map::new();
        let properties = fields.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        if fields.get("additionalProperties") != Some(&Value::Bool(false)) {
            return Err(ApiError::invalid(path, "'additionalProperties' is required to be supplied and to be false"));
        }
        let required = fields.get("required").and_then(Value::as_array).map(Vec::len).unwrap_or(0);
        if required != properties.len() {
            return Err(ApiError::invalid(path, "'required' has to name every key in properties"));
        }
    }
    for (key, value) in fields {
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| strict(item, path))?,
            value => strict(value, &format!("{path}.{key}"))?,
        }
    }
    Ok(())
}

/// A value that fits the plainer kinds of schemas.
fn example(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].get(0).or_else(|| schema.get("const")) {
        return first.clone();
    }
    if let Some(first) = schema["anyOf"].get(0).or_else(|| schema["oneOf"].get(0)) {
        return example(first);
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind {
        Some("object") => {
            let properties = schema["properties"].as_object();
            Value::Object(
                properties.into_iter().flatten().map(|(name, schema)| (name.clone(), example(schema))).collect(),
            )
        }
        Some("array") => {
            let least = schema["minItems"].as_u64().unwrap_or(0).min(100);
            Value::Array((0..least).map(|_| example(&schema["items"])).collect())
        }
        Some("string") => json!("rehearsal"),
        Some("integer") => json!(schema["minimum"].as_i64().unwrap_or(0)),
        Some("number") => json!(schema["minimum"].as_f64().unwrap_or(0.0)),
        Some("boolean") => json!(true),
        _ => Value::Null,
    }
}

const KNOWN: [&str; 8] = [
    "model",
    "messages",
    "max_completion_tokens",
    "response_format",
    "stream",
    "temperature",
    "top_p",
    "reasoning_effort",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn request(schema: Value, strict: bool) -> Value {
        json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }], "max_completion_tokens": 10,
            "response_format": { "type": "json_schema", "json_schema": { "name": "a", "schema": schema, "strict": strict } } })
    }

    #[test]
    fn wrong_requests_are_refused_as_the_api_does() {
        let loose = json!({ "type": "object", "properties": { "a": {} } });
        for (body, param) in [
            (json!({}), "model"),
            (json!({ "model": "m" }), "messages"),
            (json!({ "model": "m", "messages": [] }), "messages"),
            (json!({ "model": "m", "messages": [{ "role": "caller", "content": "" }] }), "messages[0].role"),
            (json!({ "model": "m", "messages": [{ "role": "user", "content": null }] }), "messages[0].content"),
            (json!({ "model": "m", "messages": [{ "role": "user", "content": "" }], "max_tokens": 1 }), "max_tokens"),
            (json!({ "model": "m", "messages": [{ "role": "user", "content": "" }], "stream": true }), "stream"),
            (request(loose.clone(), true), "response_format.json_schema.schema"),
        ] {
            assert_eq!(read(&body).unwrap_err().param.as_deref(), Some(param), "{body}");
        }
        assert!(read(&request(loose, false)).is_ok());
    }

    #[test]
    fn an_answer_fits_what_was_asked_for() {
        let schema = json!({ "type": "object", "properties": {
            "mood": { "enum": ["good", "bad"] }, "points": { "type": "integer", "minimum": 1 },
            "tags": { "type": "array", "items": { "type": "string" }, "minItems": 1 }, "done": { "type": "boolean" }
        }, "required": ["mood", "points", "tags", "done"], "additionalProperties": false });
        let content = read(&request(schema, true)).unwrap().content();
        let value: Value = serde_json::from_str(&content).unwrap();
        assert_eq!(value, json!({ "mood": "good", "points": 1, "tags": ["rehearsal"], "done": true }));
    }
}
