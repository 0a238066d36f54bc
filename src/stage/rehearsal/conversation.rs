//! The items of a conversation.

use serde_json::{Value, json};

use super::outbox::{ApiError, Outbox};

/// Items in order, oldest first.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    items: Vec<Item>,
    /// User items ever added: the number of the turn.
    pub(super) user_items: usize,
}

#[derive(Debug)]
struct Item {
    id: String,
    value: Value,
    /// Audio of a spoken assistant item, as far as it was made.
    spoken_ms: Option<u64>,
    /// A client cut it: what is made of it afterwards does not count.
    truncated: bool,
}

/// More than any call has; one more is refused.
const MAX_ITEMS: usize = 10_000;

impl Conversation {
    /// Adds an item at the end and announces it.
    pub(super) fn begin(&mut self, value: Value, out: &mut Outbox) {
        let previous = self.items.last().map(|item| item.id.clone());
        out.event("conversation.item.added", json!({ "previous_item_id": previous, "item": value }));
        self.insert(self.items.len(), value);
    }

    /// Replaces an item by its final form and says so.
    pub(super) fn finish(&mut self, value: Value, spoken_ms: Option<u64>, out: &mut Outbox) {
        let at = self.position(value["id"].as_str().unwrap_or_default());
        let previous = at.and_then(|at| at.checked_sub(1)).map(|before| self.items[before].id.clone());
        out.event("conversation.item.done", json!({ "previous_item_id": previous, "item": value }));
        if let Some(at) = at
            && !self.items[at].truncated
        {
            self.items[at].spoken_ms = spoken_ms;
            self.items[at].value = value;
        }
    }

    /// Notes how much of a spoken item was made.
    pub(super) fn spoke(&mut self, id: &str, ms: u64) {
        if let Some(at) = self.position(id)
            && !self.items[at].truncated
        {
            self.items[at].spoken_ms = Some(ms);
        }
    }

    /// `conversation.item.create`: checks, adds and announces a client's item.
    pub(super) fn create(&mut self, event: &Value, out: &mut Outbox) -> Result<(), ApiError> {
        let mut item = event["item"].clone();
        let Some(fields) = item.as_object_mut() else { return Err(ApiError::missing("item")) };
        let kind = fields.get("type").and_then(Value::as_str).ok_or_else(|| ApiError::missing("item.type"))?.to_owned();
        match kind.as_str() {
            "message" => check_message(fields)?,
            "function_call" => check_strings(fields, &["name", "arguments"])?,
            "function_call_output" => {
                check_strings(fields, &["call_id", "output"])?;
                let call = fields["call_id"].as_str().unwrap_or_default();
                if !self.items.iter().any(|item| item.value["type"] == "function_call" && item.value["call_id"] == call)
                {
                    let message = format!("Tool call ID '{call}' not found in conversation.");
                    return Err(ApiError::of("invalid_tool_call_id", "item.call_id", message));
                }
            }
            _ => {
                return Err(ApiError::invalid(
                    "item.type",
                    "this server takes message, function_call and function_call_output",
                ));
            }
        }
        let id = match fields.get("id").and_then(Value::as_str) {
            Some(id) if self.position(id).is_some() => {
                let message = format!("Item with id '{id}' already exists in the conversation.");
                return Err(ApiError::of("item_create_duplicate_item_id", "item.id", message));
            }
            Some(id) => id.to_owned(),
            None => out.id("item"),
        };
        let at = match event["previous_item_id"].as_str() {
            None => self.items.len(),
            Some("root") => 0,
            Some(previous) => match self.position(previous) {
                Some(at) => at + 1,
                None => {
                    let message = format!("Previous item '{previous}' does not exist.");
                    return Err(ApiError::of("item_create_invalid_previous_item_id", "previous_item_id", message));
                }
            },
        };
        if self.items.len() >= MAX_ITEMS {
            return Err(ApiError::new("conversation_full", format!("A conversation holds at most {MAX_ITEMS} items.")));
        }
        fields.insert("id".into(), json!(id));
        fields.insert("object".into(), json!("realtime.item"));
        fields.insert("status".into(), json!("completed"));
        let previous = at.checked_sub(1).map(|before| self.items[before].id.clone());
        out.event("conversation.item.added", json!({ "previous_item_id": previous, "item": item }));
        out.event("conversation.item.done", json!({ "previous_item_id": previous, "item": item }));
        self.insert(at, item);
        Ok(())
    }

    /// `conversation.item.retrieve`.
    pub(super) fn retrieve(&self, event: &Value, out: &mut Outbox) -> Result<(), ApiError> {
        let at = self.find(event, "item_retrieve_invalid_item_id")?;
        out.event("conversation.item.retrieved", json!({ "item": self.items[at].value }));
        Ok(())
    }

    /// `conversation.item.delete`.
    pub(super) fn delete(&mut self, event: &Value, out: &mut Outbox) -> Result<(), ApiError> {
        let at = self.find(event, "item_delete_invalid_item_id")?;
        let item = self.items.remove(at);
        out.event("conversation.item.deleted", json!({ "item_id": item.id }));
        Ok(())
    }

    /// `conversation.item.truncate`: only spoken assistant items, and only to what was made of them.
    pub(super) fn truncate(&mut self, event: &Value, out: &mut Outbox) -> Result<(), ApiError> {
        let at = self.find(event, "item_truncate_invalid_item_id")?;
        let Some(spoken_ms) = self.items[at].spoken_ms else {
            return Err(ApiError::of("invalid_value", "item_id", "Only model output audio messages can be truncated."));
        };
        let Some(end_ms) = event["audio_end_ms"].as_u64() else {
            return Err(match event["audio_end_ms"] {
                Value::Null => ApiError::missing("audio_end_ms"),
                _ => ApiError::invalid("audio_end_ms", "a whole number of at least 0 is expected"),
            });
        };
        match event["content_index"].as_u64() {
            Some(0) => {}
            None if event["content_index"].is_null() => return Err(ApiError::missing("content_index")),
            _ => return Err(ApiError::invalid("content_index", "the item has one content part, 0")),
        }
        if end_ms > spoken_ms {
            let message = format!("Audio content of {spoken_ms}ms is already shorter than {end_ms}ms");
            return Err(ApiError::of("invalid_value", "audio_end_ms", message));
        }
        let item = &mut self.items[at];
        item.spoken_ms = Some(end_ms);
        // The transcript goes with the audio: where it was cut nobody knows.
        item.value["content"] = json!([{ "type": "output_audio", "transcript": "" }]);
        item.truncated = true;
        out.event(
            "conversation.item.truncated",
            json!({ "item_id": item.id, "content_index": 0, "audio_end_ms": end_ms }),
        );
        Ok(())
    }

    /// Characters of text in all items, for counting tokens.
    pub(super) fn chars(&self) -> u64 {
        let text = |item: &Item| {
            let content = item.value["content"].as_array();
            let parts = content.into_iter().flatten();
            let said: usize = parts
                .flat_map(|part| [&part["text"], &part["transcript"]])
                .filter_map(Value::as_str)
                .map(str::len)
                .sum();
            said + ["arguments", "output"]
                .iter()
                .filter_map(|key| item.value[key].as_str())
                .map(str::len)
                .sum::<usize>()
        };
        self.items.iter().map(text).sum::<usize>() as u64
    }

    pub(super) fn last_id(&self) -> Option<&str> {
        self.items.last().map(|item| item.id.as_str())
    }

    fn insert(&mut self, at: usize, value: Value) {
        if value["type"] == "message" && value["role"] == "user" {
            self.user_items += 1;
        }
        let id = value["id"].as_str().unwrap_or_default().to_owned();
        self.items.insert(at, Item { id, value, spoken_ms: None, truncated: false });
    }

    fn position(&self, id: &str) -> Option<usize> {
        // The newest items are the ones asked for.
        self.items.iter().rposition(|item| item.id == id)
    }

    fn find(&self, event: &Value, code: &'static str) -> Result<usize, ApiError> {
        let id = event["item_id"].as_str().ok_or_else(|| ApiError::missing("item_id"))?;
        self.position(id)
            .ok_or_else(|| ApiError::of(code, "item_id", format!("Item with item_id '{id}' does not exist.")))
    }
}

fn check_message(fields: &serde_json::Map<String, Value>) -> Result<(), ApiError> {
    let role = fields.get("role").and_then(Value::as_str).ok_or_else(|| ApiError::missing("item.role"))?;
    let allowed: &[&str] = match role {
        "system" => &["input_text"],
        "user" => &["input_text", "input_audio", "input_image"],
        // Audio of the assistant cannot be made by a client.
        "assistant" => &["output_text"],
        _ => return Err(ApiError::invalid("item.role", "system, user and assistant are supported")),
    };
    let content = fields.get("content").and_then(Value::as_array).ok_or_else(|| ApiError::missing("item.content"))?;
    for part in content {
        let kind = part["type"].as_str().unwrap_or_default();
        if !allowed.contains(&kind) {
            let supported = format!("supported for {role} messages: {}", allowed.join(", "));
            return Err(ApiError::invalid("item.content[0].type", &supported));
        }
        if kind.ends_with("_text") && !part["text"].is_string() {
            return Err(ApiError::missing("item.content[0].text"));
        }
    }
    Ok(())
}

fn check_strings(fields: &serde_json::Map<String, Value>, names: &[&str]) -> Result<(), ApiError> {
    match names.iter().find(|name| !fields.get(**name).is_some_and(Value::is_string)) {
        Some(name) => Err(ApiError::missing(&format!("item.{name}"))),
        None => Ok(()),
    }
}
