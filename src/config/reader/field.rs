//! A key with its value, taken as what it is meant to be.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::DeValue;

use super::secrets::may_be_secret;
use super::{Doc, Table};
use crate::config::problem::{Place, Problem, nearest};

/// A key with its value.
pub(in crate::config) struct Field<'d, 'i> {
    pub(super) doc: &'d Doc<'i>,
    pub(super) path: String,
    pub(super) key_span: Range<usize>,
    pub(super) value: &'d Spanned<DeValue<'i>>,
    /// The same key of the document beneath.
    pub(super) base: Option<Box<Field<'d, 'i>>>,
}

impl<'d, 'i> Field<'d, 'i> {
    /// Where the value stands.
    pub(in crate::config) fn place(&self) -> Place {
        let value = self.value.span();
        // `key = value` is quoted as a whole, unless they are apart, as a table's header and its content are.
        let shown = if self.key_span.end <= value.start && value.start - self.key_span.end <= MAX_APART {
            self.key_span.start..value.end
        } else {
            value.clone()
        };
        let place = Place::new(&self.doc.file, self.doc.source, value.clone(), shown.clone()).of(&self.path);
        if may_be_secret(self.doc.source, &shown) { place.hidden(&format!("{} = (hidden)", self.key())) } else { place }
    }

    /// Where the key stands.
    pub(in crate::config) fn key_place(&self) -> Place {
        Place::new(&self.doc.file, self.doc.source, self.key_span.clone(), self.key_span.clone()).of(&self.path)
    }

    /// Notes a problem that is put in its own words.
    pub(in crate::config) fn note(&self, problem: Problem) {
        self.doc.note(problem);
    }

    /// Notes a problem with the value.
    pub(in crate::config) fn wrong(&self, message: impl Into<String>) {
        self.doc.note(Problem::error(&self.place(), message));
    }

    /// Notes that the value contradicts that of another key.
    pub(in crate::config) fn clash(&self, message: impl Into<String>) {
        self.doc.note(Problem::error(&self.place(), message).relative());
    }

    /// Notes a problem with the value, and what is allowed.
    pub(in crate::config) fn wrong_allowed(&self, message: impl Into<String>, allowed: impl Into<String>) {
        self.doc.note(Problem::error(&self.place(), message).allowed(allowed));
    }

    /// Notes something doubtful about the value.
    pub(in crate::config) fn doubtful(&self, message: impl Into<String>) {
        self.doc.note(Problem::warning(&self.place(), message));
    }

    /// A table over the same of the document beneath: for tables of settings, each of which stands for itself.
    pub(in crate::config) fn layered(mut self) -> Option<Table<'d, 'i>> {
        let base = self.base.take().filter(|base| base.is_table()).and_then(|base| base.layered());
        let mut table = self.table()?;
        table.base = base.map(Box::new);
        Some(table)
    }

    /// A table.
    pub(in crate::config) fn table(self) -> Option<Table<'d, 'i>> {
        let Some(table) = self.value.get_ref().as_table() else {
            self.wrong_type("a table");
            return None;
        };
        let span = if self.value.span().is_empty() { self.key_span.clone() } else { self.value.span() };
        Some(Table::new(self.doc, format!("{}.", self.path), span, Some(table)))
    }

    /// Whether the value is a table, for keys that take several shapes.
    pub(in crate::config) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    /// Whether the value is a list, for keys that take several shapes.
    pub(in crate::config) fn is_list(&self) -> bool {
        self.value.get_ref().is_array()
    }

    /// Whether the value is a list of nothing.
    pub(in crate::config) fn is_empty_list(&self) -> bool {
        self.value.get_ref().as_array().is_some_and(|items| items.is_empty())
    }

    /// The text, for keys that take several shapes.
    pub(in crate::config) fn as_str(&self) -> Option<&'d str> {
        self.value.get_ref().as_str()
    }

    /// A whole number within `range`.
    pub(in crate::config) fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let allowed = || format!("{}-{}", range.start(), range.end());
        let Some(written) = self.value.get_ref().as_integer() else {
            self.wrong_type_allowed("a whole number", allowed());
            return None;
        };
        let value = u64::from_str_radix(written.as_str(), written.radix()).ok().filter(|v| range.contains(v));
        if value.is_none() {
            self.wrong_allowed("out of range", allowed());
        }
        value
    }

    /// A number within `range`, with or without a fraction.
    pub(in crate::config) fn number(&self, range: RangeInclusive<f32>) -> Option<f32> {
        let sign = if *range.start() < 0.0 { " to " } else { "-" };
        let allowed = || format!("{}{sign}{}", range.start(), range.end());
        let value = match self.value.get_ref() {
            DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix()).ok().map(|i| i as f32),
            DeValue::Float(f) => f.as_str().parse().ok(),
            _ => {
                self.wrong_type_allowed("a number", allowed());
                return None;
            }
        };
        let value = value.filter(|v| range.contains(v));
        if value.is_none() {
            self.wrong_allowed("out of range", allowed());
        }
        value
    }

    /// A switch.
    pub(in crate::config) fn boolean(&self) -> Option<bool> {
        let value = self.value.get_ref().as_bool();
        if value.is_none() {
            self.wrong_type_allowed("a boolean", "true, false".to_owned());
        }
        value
    }

    /// A moment with its offset from UTC, as TOML has it or as text (RFC 3339).
    pub(in crate::config) fn timestamp(&self) -> Option<jiff::Timestamp> {
        let text = match self.value.get_ref() {
            DeValue::Datetime(moment) => moment.to_string(),
            DeValue::String(text) => text.to_string(),
            _ => {
                self.wrong_type_allowed("a moment", MOMENT.to_owned());
                return None;
            }
        };
        let moment = text.parse().ok();
        if moment.is_none() {
            self.wrong_allowed("is not a moment with its offset from UTC", MOMENT);
        }
        moment
    }

    /// Text of 1 to `max` characters.
    pub(in crate::config) fn string(&self, max: usize) -> Option<String> {
        let Some(text) = self.value.get_ref().as_str() else {
            self.wrong_type("a string");
            return None;
        };
        if text.trim().is_empty() {
            self.wrong("is empty");
            return None;
        }
        if text.chars().count() > max {
            self.wrong_allowed("is too long", format!("at most {max} characters"));
            return None;
        }
        Some(text.to_owned())
    }

    /// Text of at most `max` characters, which may be empty.
    pub(in crate::config) fn text(&self, max: usize) -> Option<String> {
        match self.value.get_ref().as_str() {
            Some("") => Some(String::new()),
            _ => self.string(max),
        }
    }

    /// Where `at`, a range of bytes of this field's text, stands in the document.
    pub(in crate::config) fn place_of(&self, text: &str, at: Range<usize>) -> Place {
        let (value, source) = (self.value.span(), self.doc.source);
        let piece = text.get(at.clone()).unwrap_or_default();
        let before = text.get(..at.start).map_or(0, |before| before.matches(piece).count());
        // Escapes make text and source differ, so the piece is counted off rather than measured.
        let found = source.get(value.clone()).and_then(|source| source.match_indices(piece).nth(before));
        let place = match found.filter(|_| !piece.is_empty()) {
            Some((offset, _)) => {
                let start = value.start + offset;
                Place::new(&self.doc.file, source, start..start + piece.len(), start..start + piece.len())
                    .of(&self.path)
            }
            None => return self.place(),
        };
        if may_be_secret(source, &value) { place.hidden(&format!("{} = (hidden)", self.key())) } else { place }
    }

    /// The value as JSON; dates have no place in it.
    pub(in crate::config) fn json(&self) -> Option<serde_json::Value> {
        let value = json(self.value.get_ref());
        if value.is_none() {
            self.wrong("holds a date or a number that JSON does not have");
        }
        value
    }

    /// Text that `check` takes; else `allowed` is said.
    pub(in crate::config) fn string_that(
        &self,
        max: usize,
        allowed: &str,
        check: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let text = self.string(max)?;
        if check(&text) {
            return Some(text);
        }
        self.wrong_allowed("is not valid", allowed);
        None
    }

    /// One of `choices`.
    pub(in crate::config) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let names = || choices.iter().map(|(name, _)| *name);
        let allowed = || names().collect::<Vec<_>>().join(", ");
        let Some(text) = self.value.get_ref().as_str() else {
            self.wrong_type_allowed("a string", allowed());
            return None;
        };
        let found = choices.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let message = match nearest(text, names()) {
                Some(meant) => format!("unknown value; did you mean {meant}?"),
                None => "unknown value".to_owned(),
            };
            self.wrong_allowed(message, allowed());
        }
        found.map(|(_, value)| *value)
    }

    /// The values of a list, each as a field of its own.
    pub(in crate::config) fn list(&self, max: usize) -> Vec<Field<'d, 'i>> {
        let Some(items) = self.value.get_ref().as_array() else {
            self.wrong_type("a list");
            return Vec::new();
        };
        if items.len() > max {
            self.wrong_allowed("is too long", format!("at most {max} values"));
        }
        let field = |value: &'d Spanned<DeValue<'i>>| Field {
            doc: self.doc,
            path: self.path.clone(),
            key_span: value.span(),
            value,
            base: None,
        };
        items.iter().take(max).map(field).collect()
    }

    /// Says that the value has another type than `wanted`.
    pub(in crate::config) fn wrong_type(&self, wanted: &str) {
        self.wrong(self.type_message(wanted));
    }

    fn wrong_type_allowed(&self, wanted: &str, allowed: String) {
        self.wrong_allowed(self.type_message(wanted), allowed);
    }

    fn type_message(&self, wanted: &str) -> String {
        let found = self.value.get_ref().type_str();
        let article = if found.starts_with(['a', 'i']) { "an" } else { "a" };
        format!("must be {wanted}, not {article} {found}")
    }

    /// The key's own name.
    pub(in crate::config) fn key(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }
}

fn json(value: &DeValue<'_>) -> Option<serde_json::Value> {
    use serde_json::Value;
    Some(match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(i) => Value::from(i64::from_str_radix(i.as_str(), i.radix()).ok()?),
        DeValue::Float(f) => Value::from(f.as_str().parse::<f64>().ok().filter(|f| f.is_finite())?),
        DeValue::Boolean(b) => Value::from(*b),
        DeValue::Array(items) => Value::Array(items.iter().map(|item| json(item.get_ref())).collect::<Option<_>>()?),
        DeValue::Table(table) => {
            let entries = table.iter().map(|(k, v)| Some((k.get_ref().to_string(), json(v.get_ref())?)));
            Value::Object(entries.collect::<Option<_>>()?)
        }
        DeValue::Datetime(_) => return None,
    })
}

const MOMENT: &str = "RFC 3339, such as 2026-12-24T18:00:00+01:00 or 2026-12-24T17:00:00Z";
/// Between a key's end and its value's start, `key     = value` at most.
const MAX_APART: usize = 24;
