//! Who may meet an agent without showing who they are (VIS-01), and what speaks against that (VIS-02).

use serde_json::{Map, Value};

use super::refusal::Flag;

/// What speaks against making an agent public, by the keys of its document: it stops nothing, and somebody should know.
pub fn against_public(keys: &Map<String, Value>) -> Vec<Flag> {
    let mut flags = Vec::new();
    for tool in several(keys, "tool").filter(|tool| tool.get("http").is_some_and(names_a_secret)) {
        let message =
            format!("Anyone may have the tool {} used, which shows a secret to its server.", text(tool, "name"));
        flags.push(Flag::new("public_secret", Some("tool"), message));
    }
    for server in several(keys, "mcp").filter(|server| names_a_secret(server)) {
        let message = format!("Anyone may have the tools of {} used, which is shown a secret.", text(server, "label"));
        flags.push(Flag::new("public_secret", Some("mcp"), message));
    }
    if keys.contains_key("fetch") {
        let message = "What is known of whoever calls is fetched for it, and anyone may hear it.";
        flags.push(Flag::new("public_fetch", Some("fetch"), message));
    }
    flags
}

/// Whether a change makes an internal agent public.
pub fn becomes_public(before: &Map<String, Value>, after: &Map<String, Value>) -> bool {
    let is_internal = |keys: &Map<String, Value>| keys.get("visibility").and_then(Value::as_str) == Some("internal");
    is_internal(before) && !is_internal(after)
}

fn several<'a>(keys: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = &'a Value> {
    keys.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Whether there is one anywhere in it, as documents name them.
fn names_a_secret(value: &Value) -> bool {
    match value {
        Value::Object(keys) => {
            let is_one = ["secret", "env", "file"].iter().any(|key| keys.get(*key).is_some_and(Value::is_string));
            is_one || keys.values().any(names_a_secret)
        }
        Value::Array(items) => items.iter().any(names_a_secret),
        _ => false,
    }
}
