//! A document's keys as JSON, for who reads and changes them over the API: the other way round than `patch`.

use serde_json::{Map, Number, Value};

use super::patch::{Others, patched};

/// The keys of a document's text; moments are text as they are written. `None`: it is no TOML.
pub fn keys_of(text: &str) -> Option<Map<String, Value>> {
    let table: toml::Table = text.parse().ok()?;
    Some(map(table))
}

/// `text` with `keys` laid into it as a merge patch, all comments kept.
///
/// # Errors
/// In words: the text is no TOML, or a key does not fit.
pub fn with_keys(text: &str, keys: &Map<String, Value>) -> Result<String, String> {
    patched(text, keys, Others::Stay)
}

fn map(table: toml::Table) -> Map<String, Value> {
    table.into_iter().map(|(key, value)| (key, json(value))).collect()
}

fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
        toml::Value::Boolean(yes) => yes.into(),
        toml::Value::Datetime(moment) => Value::String(moment.to_string()),
        toml::Value::Array(items) => items.into_iter().map(json).collect(),
        toml::Value::Table(table) => Value::Object(map(table)),
    }
}
