//! Keys and values laid into a document's text, with all comments, order and blank lines kept.

use serde_json::{Map, Value};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike};

/// What becomes of keys that are not named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    Stay,
    Go,
}

/// `text` with `changes` laid into it; why not, if they do not fit.
pub(super) fn patched(text: &str, changes: &Map<String, Value>, others: Others) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|_| {
        "the document is not TOML as it is written, so its keys cannot be changed one by one".to_owned()
    })?;
    merge(document.as_table_mut(), changes, others, "")?;
    Ok(document.to_string())
}

/// Whether keys can be laid into it.
pub(super) fn is_toml(text: &str) -> bool {
    text.parse::<DocumentMut>().is_ok()
}

/// Lays `changes` into a table; `path`: where it is, for messages.
fn merge(table: &mut dyn TableLike, changes: &Map<String, Value>, others: Others, path: &str) -> Result<(), String> {
    if others == Others::Go {
        let gone = table.iter().map(|(key, _)| key.to_owned()).filter(|key| !changes.contains_key(key));
        gone.collect::<Vec<_>>().iter().for_each(|key| drop(table.remove(key)));
    }
    for (key, value) in changes {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (value, table.get_mut(key)) {
            (Value::Null, _) => drop(table.remove(key)),
            (value, Some(item)) => change(item, value, others, &path)?,
            (value, None) => {
                let item = made(value, &path)?;
                table.insert(key, item);
            }
        }
    }
    Ok(())
}

/// Makes of `item` what `value` says, and leaves as much of it as it was as can be.
fn change(item: &mut Item, value: &Value, others: Others, path: &str) -> Result<(), String> {
    if let (Some(table), Value::Object(changes)) = (item.as_table_like_mut(), value) {
        return merge(table, changes, others, path);
    }
    if let (Some(tables), Value::Array(values)) = (item.as_array_of_tables_mut(), value)
        && values.iter().all(Value::is_object)
    {
        while tables.len() > values.len() {
            tables.remove(tables.len() - 1);
        }
        for (i, value) in values.iter().enumerate() {
            let Value::Object(wanted) = value else { continue };
            match tables.get_mut(i) {
                // The whole entry is given, so what it does not name is no more.
                Some(table) => merge(table, wanted, Others::Go, path)?,
                None => {
                    let mut table = Table::new();
                    merge(&mut table, wanted, Others::Go, path)?;
                    tables.push(table);
                }
            }
        }
        return Ok(());
    }
    let is_table = item.is_table() || item.is_array_of_tables();
    let mut new = if is_table { made(value, path)? } else { Item::Value(plain(value, path)?) };
    if let (Some(old), Some(new)) = (item.as_value(), new.as_value_mut()) {
        if is_same(old, new) {
            return Ok(());
        }
        // What stands around the value, such as a comment behind it, stays.
        *new.decor_mut() = old.decor().clone();
    }
    *item = new;
    Ok(())
}

/// A new entry: objects become tables with a header, lists of objects lists of them.
fn made(value: &Value, path: &str) -> Result<Item, String> {
    match value {
        Value::Object(changes) => {
            let mut table = Table::new();
            merge(&mut table, changes, Others::Stay, path)?;
            Ok(Item::Table(table))
        }
        value => Ok(Item::Value(plain(value, path)?)),
    }
}

/// A value on one line.
fn plain(value: &Value, path: &str) -> Result<toml_edit::Value, String> {
    let wrong = |why: &str| Err(format!("{path}: {why}"));
    Ok(match value {
        Value::Null => return wrong("a list cannot hold nothing"),
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(number)) if number.is_finite() => number.into(),
            _ => return wrong("this number is too large"),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(values) => {
            let mut array = Array::new();
            for value in values {
                array.push(plain(value, path)?);
            }
            array.into()
        }
        Value::Object(entries) => {
            let mut table = InlineTable::new();
            for (key, value) in entries.iter().filter(|(_, value)| !value.is_null()) {
                table.insert(key, plain(value, &format!("{path}.{key}"))?);
            }
            table.into()
        }
    })
}

/// Whether two values mean the same, however they are written.
fn is_same(a: &toml_edit::Value, b: &toml_edit::Value) -> bool {
    use toml_edit::Value as V;
    match (a, b) {
        (V::String(a), V::String(b)) => a.value() == b.value(),
        (V::Integer(a), V::Integer(b)) => a.value() == b.value(),
        (V::Float(a), V::Float(b)) => a.value() == b.value(),
        (V::Float(a), V::Integer(b)) => *a.value() == *b.value() as f64,
        (V::Boolean(a), V::Boolean(b)) => a.value() == b.value(),
        (V::Array(a), V::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
        _ => false,
    }
}
