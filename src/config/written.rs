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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_were_read_are_laid_into_the_same_text_without_a_change() {
        let text = "a = 1 # one\nb = [1.5, true]\n[t]\nat = 2026-12-24T08:00:00+01:00\n[[l]]\nx = \"y\"\n";
        let keys = keys_of(text).unwrap();
        assert_eq!(keys["t"]["at"], "2026-12-24T08:00:00+01:00");
        assert_eq!((&keys["b"], &keys["l"]), (&serde_json::json!([1.5, true]), &serde_json::json!([{"x": "y"}])));
        let mut same = keys.clone();
        // A moment is text by now, which a document may say it as, too.
        same.remove("t");
        assert_eq!(with_keys(text, &same).unwrap(), text);
        assert!(keys_of("a = ").is_none() && with_keys("a = ", &same).is_err());
    }
}
