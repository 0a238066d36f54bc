//! A request, held to what its vendor takes.

use serde_json::{Map, Value};

use super::super::outbox::ApiError;
use super::schema::{is_name, response_format, strict};
use super::script::{Chat, Vendor};

/// A request that was understood.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct Request {
    pub(in super::super) model: String,
    /// Characters of all messages.
    pub(super) characters: usize,
    /// What the user said last.
    pub(super) said: String,
    pub(super) schema: Option<Value>,
    /// Names of the tools that may be called.
    pub(super) tools: Vec<String>,
    pub(super) max_tokens: Option<u64>,
    pub(in super::super) stream: bool,
    pub(super) usage: bool,
    /// Chunks are padded, so that their lengths say nothing.
    pub(super) padded: bool,
}

type Fields = Map<String, Value>;

/// Reads a request's body.
pub(in super::super) fn read(body: &Value, chat: &Chat) -> Result<Request, ApiError> {
    let fields = body.as_object().ok_or_else(|| ApiError::invalid("body", "an object is expected"))?;
    let compatible = chat.vendor == Vendor::Compatible;
    for key in fields.keys() {
        let later = compatible && LATER.contains(&key.as_str());
        if later || !KNOWN.contains(&key.as_str()) {
            return Err(ApiError::unknown(key));
        }
    }
    let mut request = Request { model: model(fields, chat)?, ..Request::default() };
    messages(fields, compatible, &mut request)?;
    tools(fields, &mut request)?;
    stream(fields, compatible, &mut request)?;
    tokens(fields, chat.vendor, &mut request)?;
    numbers(fields, chat.vendor)?;
    words(fields)?;
    request.schema = fields.get("response_format").map(response_format).transpose()?.flatten();
    Ok(request)
}

fn model(fields: &Fields, chat: &Chat) -> Result<String, ApiError> {
    let model = fields.get("model").ok_or_else(|| ApiError::missing("model"))?;
    let model = model.as_str().filter(|model| !model.is_empty());
    let model = model.ok_or_else(|| ApiError::invalid("model", "a name is expected"))?;
    known(model, chat)?;
    Ok(model.to_owned())
}

/// Whether there is a model of this name.
pub(super) fn known(model: &str, chat: &Chat) -> Result<(), ApiError> {
    if chat.models.is_empty() || chat.models.iter().any(|known| known == model) {
        return Ok(());
    }
    let words = format!("The model `{model}` does not exist or you do not have access to it.");
    Err(ApiError::new("model_not_found", words))
}

fn messages(fields: &Fields, compatible: bool, request: &mut Request) -> Result<(), ApiError> {
    let messages = fields.get("messages").ok_or_else(|| ApiError::missing("messages"))?;
    let messages = messages.as_array().filter(|messages| !messages.is_empty());
    let messages =
        messages.ok_or_else(|| ApiError::invalid("messages", "a list of at least one message is expected"))?;
    // Calls that the last message of the assistant made and no tool has answered.
    let mut open: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let path = format!("messages[{index}]");
        let fields = message.as_object().ok_or_else(|| ApiError::invalid(&path, "an object is expected"))?;
        let role = fields.get("role").and_then(Value::as_str).unwrap_or_default();
        let known: &[&str] = match role {
            "developer" if compatible => &[],
            "system" | "developer" | "user" => &["role", "content", "name"],
            "assistant" => &["role", "content", "name", "refusal", "tool_calls"],
            "tool" => &["role", "content", "tool_call_id"],
            _ => &[],
        };
        if known.is_empty() {
            let allowed = "system, developer, user, assistant and tool are supported";
            return Err(ApiError::invalid(&format!("{path}.role"), allowed));
        }
        if let Some(key) = fields.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(ApiError::unknown(&format!("{path}.{key}")));
        }
        if role == "tool" {
            let id = fields.get("tool_call_id").and_then(Value::as_str);
            let id = id.ok_or_else(|| ApiError::missing(&format!("{path}.tool_call_id")))?;
            let Some(place) = open.iter().position(|call| *call == id) else {
                let words = "messages with role 'tool' must be a response to a preceding message with 'tool_calls'.";
                return Err(ApiError::of("invalid_value", format!("{path}.role"), words));
            };
            open.remove(place);
        } else {
            all_answered(&open, &path)?;
        }
        let calls = fields.get("tool_calls").map(|calls| tool_calls(calls, &path)).transpose()?;
        open = if role == "assistant" { calls.unwrap_or_default() } else { open };
        let content = match fields.get("content") {
            None | Some(Value::Null) if !open.is_empty() => String::new(),
            Some(content) => text(content, &format!("{path}.content"))?,
            None => return Err(ApiError::missing(&format!("{path}.content"))),
        };
        request.characters += content.len();
        if role == "user" {
            request.said = content;
        }
    }
    all_answered(&open, &format!("messages[{}]", messages.len()))
}

/// Every call is to be answered before anything else is said.
fn all_answered(open: &[&str], path: &str) -> Result<(), ApiError> {
    if open.is_empty() {
        return Ok(());
    }
    let words = format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. \
         The following tool_call_ids did not have response messages: {}",
        open.join(", ")
    );
    Err(ApiError::of("invalid_value", format!("{path}.role"), words))
}

/// The ids of calls that the assistant made.
fn tool_calls<'a>(calls: &'a Value, path: &str) -> Result<Vec<&'a str>, ApiError> {
    let path = format!("{path}.tool_calls");
    let calls = calls.as_array().filter(|calls| !calls.is_empty());
    let calls = calls.ok_or_else(|| ApiError::invalid(&path, "a list of at least one call is expected"))?;
    let mut ids = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let id = call["id"].as_str().filter(|id| (1..=40).contains(&id.len()));
        ids.push(id.ok_or_else(|| ApiError::invalid(&format!("{path}.id"), "1 to 40 characters are expected"))?);
        if call["type"] != "function" {
            return Err(ApiError::invalid(&format!("{path}.type"), "function is supported"));
        }
        for field in ["name", "arguments"] {
            if !call["function"][field].is_string() {
                return Err(ApiError::missing(&format!("{path}.function.{field}")));
            }
        }
    }
    Ok(ids)
}

/// What a message says: a string, or a list of parts.
fn text(content: &Value, path: &str) -> Result<String, ApiError> {
    if let Some(text) = content.as_str() {
        return Ok(text.to_owned());
    }
    let parts = content.as_array().filter(|parts| !parts.is_empty());
    let parts = parts.ok_or_else(|| ApiError::invalid(path, "a string or a list of parts is expected"))?;
    let mut all = String::new();
    for (index, part) in parts.iter().enumerate() {
        match (part["type"].as_str(), &part["text"], &part["image_url"]["url"]) {
            (Some("text"), Value::String(text), _) => all += text,
            (Some("image_url"), _, Value::String(_)) => {}
            _ => return Err(ApiError::invalid(&format!("{path}[{index}]"), "text and image_url are supported")),
        }
    }
    Ok(all)
}

fn tools(fields: &Fields, request: &mut Request) -> Result<(), ApiError> {
    let Some(tools) = fields.get("tools") else {
        for key in ["tool_choice", "parallel_tool_calls"] {
            if fields.contains_key(key) {
                return Err(ApiError::of(
                    "invalid_value",
                    key,
                    format!("'{key}' is only allowed when 'tools' are specified."),
                ));
            }
        }
        return Ok(());
    };
    let tools = tools.as_array().filter(|tools| (1..=128).contains(&tools.len()));
    let tools = tools.ok_or_else(|| ApiError::invalid("tools", "a list of 1 to 128 tools is expected"))?;
    for (index, tool) in tools.iter().enumerate() {
        let path = format!("tools[{index}]");
        if tool["type"] != "function" {
            return Err(ApiError::invalid(&format!("{path}.type"), "function is supported"));
        }
        // The flat form is that of another API.
        let function = tool["function"].as_object();
        let function = function.ok_or_else(|| ApiError::missing(&format!("{path}.function")))?;
        let path = format!("{path}.function");
        if let Some(key) =
            function.keys().find(|key| !["name", "description", "parameters", "strict"].contains(&key.as_str()))
        {
            return Err(ApiError::unknown(&format!("{path}.{key}")));
        }
        let name = function.get("name").and_then(Value::as_str).filter(|name| is_name(name));
        let name = name.ok_or_else(|| {
            ApiError::invalid(&format!("{path}.name"), "1 to 64 letters, digits, - and _ are expected")
        })?;
        if function.get("parameters").is_some_and(|parameters| parameters["type"] != "object") {
            let allowed = "a schema of type object is expected";
            return Err(ApiError::invalid(&format!("{path}.parameters"), allowed));
        }
        if function.get("strict") == Some(&Value::Bool(true)) {
            strict(&tool["function"]["parameters"], &format!("{path}.parameters"))?;
        }
        request.tools.push(name.to_owned());
    }
    match fields.get("tool_choice") {
        None => {}
        Some(Value::String(choice)) if choice == "none" => request.tools.clear(),
        Some(Value::String(choice)) if choice == "auto" || choice == "required" => {}
        Some(choice) => match choice["function"]["name"].as_str() {
            Some(name) if request.tools.iter().any(|known| known == name) => request.tools = vec![name.to_owned()],
            _ => return Err(ApiError::invalid("tool_choice", "none, auto, required or a tool of 'tools' is expected")),
        },
    }
    Ok(())
}

fn stream(fields: &Fields, compatible: bool, request: &mut Request) -> Result<(), ApiError> {
    let boolean =
        |value: &Value, path: &str| value.as_bool().ok_or_else(|| ApiError::invalid(path, "a boolean is expected"));
    if let Some(stream) = fields.get("stream").filter(|stream| !stream.is_null()) {
        request.stream = boolean(stream, "stream")?;
    }
    request.padded = request.stream && !compatible;
    let Some(options) = fields.get("stream_options").filter(|options| !options.is_null()) else { return Ok(()) };
    if !request.stream {
        let words = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(ApiError::of("invalid_value", "stream_options", words));
    }
    let options = options.as_object().ok_or_else(|| ApiError::invalid("stream_options", "an object is expected"))?;
    for (key, value) in options {
        let path = format!("stream_options.{key}");
        match key.as_str() {
            "include_usage" => request.usage = boolean(value, &path)?,
            "include_obfuscation" if !compatible => request.padded = boolean(value, &path)?,
            _ => return Err(ApiError::unknown(&path)),
        }
    }
    Ok(())
}

fn tokens(fields: &Fields, vendor: Vendor, request: &mut Request) -> Result<(), ApiError> {
    let (new, old) = ("max_completion_tokens", "max_tokens");
    if fields.contains_key(new) && fields.contains_key(old) {
        let words = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.";
        return Err(ApiError::of("invalid_parameter_combination", old, words));
    }
    if vendor == Vendor::Reasoning && fields.contains_key(old) {
        let words = "Unsupported parameter: 'max_tokens' is not supported with this model. \
                     Use 'max_completion_tokens' instead.";
        return Err(ApiError::of("unsupported_parameter", old, words));
    }
    for key in [new, old] {
        match fields.get(key).map(Value::as_u64) {
            None => {}
            Some(Some(tokens @ 1..)) => request.max_tokens = Some(tokens),
            Some(_) => return Err(ApiError::invalid(key, "a whole number from 1 is expected")),
        }
    }
    Ok(())
}

fn numbers(fields: &Fields, vendor: Vendor) -> Result<(), ApiError> {
    for (key, least, most) in [
        ("temperature", 0.0, 2.0),
        ("top_p", 0.0, 1.0),
        ("presence_penalty", -2.0, 2.0),
        ("frequency_penalty", -2.0, 2.0),
        ("n", 1.0, 1.0),
    ] {
        let Some(value) = fields.get(key) else { continue };
        let Some(number) = value.as_f64().filter(|number| (least..=most).contains(number)) else {
            return Err(ApiError::invalid(key, &format!("a number from {least} to {most} is expected")));
        };
        if vendor == Vendor::Reasoning
            && key != "n"
            && (number - if key.ends_with("penalty") { 0.0 } else { 1.0 }).abs() > 0.0
        {
            let words = format!(
                "Unsupported value: '{key}' does not support {value} with this model. Only the default value is supported."
            );
            return Err(ApiError::of("unsupported_value", key, words));
        }
    }
    Ok(())
}

fn words(fields: &Fields) -> Result<(), ApiError> {
    for (key, allowed) in [
        ("reasoning_effort", &["none", "minimal", "low", "medium", "high", "xhigh", "max"][..]),
        ("service_tier", &["auto", "default", "flex", "scale", "priority", "fast"][..]),
        ("verbosity", &["low", "medium", "high"][..]),
    ] {
        let said = fields.get(key);
        if said.is_some_and(|said| !said.as_str().is_some_and(|said| allowed.contains(&said))) {
            return Err(ApiError::invalid(key, &format!("one of {} is expected", allowed.join(", "))));
        }
    }
    for key in ["user", "safety_identifier", "prompt_cache_key"] {
        if fields.get(key).is_some_and(|said| !said.as_str().is_some_and(|said| (1..=512).contains(&said.len()))) {
            return Err(ApiError::invalid(key, "a text is expected"));
        }
    }
    let stop = fields.get("stop").filter(|stop| !stop.is_null());
    let is_stop = |stop: &Value| stop.is_string() || stop.as_array().is_some_and(|all| (1..=4).contains(&all.len()));
    if stop.is_some_and(|stop| !is_stop(stop)) {
        return Err(ApiError::invalid("stop", "a text or a list of up to 4 is expected"));
    }
    Ok(())
}

const KNOWN: [&str; 26] = [
    "model",
    "messages",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "max_completion_tokens",
    "max_tokens",
    "response_format",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "n",
    "stop",
    "seed",
    "reasoning_effort",
    "service_tier",
    "verbosity",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "store",
    "metadata",
    "logit_bias",
];

/// What only the API's own vendor takes.
const LATER: [&str; 8] = [
    "max_completion_tokens",
    "reasoning_effort",
    "service_tier",
    "verbosity",
    "safety_identifier",
    "prompt_cache_key",
    "store",
    "metadata",
];
