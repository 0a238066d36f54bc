//! What goes wrong on purpose.

use serde_json::{Value, json};

use super::answers::{Said, Sent};

/// A trouble that meets one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// HTTP method; empty: any.
    pub method: &'static str,
    /// Part of the path.
    pub path: &'static str,
    /// What goes wrong.
    pub what: What,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It is carried out, only late.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// It is carried out at once, and answered late.
    SlowAnswer {
        /// Milliseconds.
        ms: u64,
    },
    /// It is carried out, and the connection is dropped.
    Unanswered,
    /// The connection is dropped, and nothing is done.
    Lost,
    /// It is carried out, and answered by this status all the same.
    DoneAnd {
        /// HTTP status.
        status: u16,
    },
    /// It is not carried out.
    Refused {
        /// HTTP status.
        status: u16,
        /// Twilio's code.
        code: u32,
    },
    /// It is carried out, and the answer is cut in the middle.
    Cut,
    /// It is not carried out; a page for people is the answer.
    Page {
        /// HTTP status.
        status: u16,
    },
    /// Lists have each row twice, and fields that nobody has heard of.
    Twice,
    /// Every field that may be null is.
    Nulls,
}

impl Trouble {
    /// That a purchase meets.
    pub fn buying(what: What) -> Trouble {
        Trouble { method: "POST", path: "/IncomingPhoneNumbers.json", what }
    }

    pub(super) fn meets(&self, method: &str, path: &str) -> bool {
        (self.method.is_empty() || self.method == method) && path.contains(self.path)
    }
}

impl What {
    /// What becomes of an answer.
    pub(super) fn spoil(self, said: Said) -> Said {
        match self {
            What::Unanswered => Said { sent: Sent::Dropped, ..said },
            What::DoneAnd { status } => Said { status, sent: Sent::Json(super::answers::error(status, 20_500)) },
            What::Cut => Said { sent: Sent::Cut(said.text()), ..said },
            What::Twice => said.changed(twice),
            What::Nulls => said.changed(nulls),
            What::Slow { .. } | What::SlowAnswer { .. } | What::Lost | What::Refused { .. } | What::Page { .. } => said,
        }
    }
}

fn twice(body: &mut Value) {
    let Some(fields) = body.as_object_mut() else { return };
    for (_, rows) in fields.iter_mut().filter(|(_, value)| value.is_array()) {
        let Some(list) = rows.as_array_mut() else { continue };
        let again: Vec<Value> = list.iter().flat_map(|row| [row.clone(), row.clone()]).collect();
        *list = again;
        list.iter_mut()
            .filter_map(Value::as_object_mut)
            .for_each(|row| drop(row.insert("new_field".to_owned(), json!({"a": 1}))));
    }
}

/// What may be null: everything but what names the thing.
fn nulls(body: &mut Value) {
    const KEPT: [&str; 4] = ["sid", "phone_number", "account_sid", "capabilities"];
    let Some(fields) = body.as_object_mut() else { return };
    for (name, value) in fields {
        match value {
            Value::Array(rows) => rows.iter_mut().for_each(nulls),
            Value::Null | Value::Object(_) => {}
            value if !KEPT.contains(&name.as_str()) => *value = Value::Null,
            _ => {}
        }
    }
}
