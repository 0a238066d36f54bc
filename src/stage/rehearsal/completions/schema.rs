//! The form that an answer is asked for in, and a value of that form.

use serde_json::{Map, Value, json};

use super::super::outbox::ApiError;

/// The schema of a `response_format`; `None`: any form will do.
pub(super) fn response_format(format: &Value) -> Result<Option<Value>, ApiError> {
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
    if !wanted.get("name").and_then(Value::as_str).is_some_and(is_name) {
        return Err(ApiError::invalid(&format!("{path}.name"), "1 to 64 letters, digits, - and _ are expected"));
    }
    let schema = wanted.get("schema").ok_or_else(|| ApiError::missing(&format!("{path}.schema")))?;
    if wanted.get("strict") == Some(&Value::Bool(true)) {
        strict(schema, &format!("{path}.schema"))?;
    }
    Ok(Some(schema.clone()))
}

/// Whether schemas and tools may be called so.
pub(super) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// What the API demands of a schema that it is to hold its model to.
pub(super) fn strict(schema: &Value, path: &str) -> Result<(), ApiError> {
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
pub(super) fn example(schema: &Value) -> Value {
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
