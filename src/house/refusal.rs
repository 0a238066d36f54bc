//! *No*, and *yes, but*: what a rule answers.

use std::fmt;

use serde::Serialize;

/// A rule says no: one code and one message, the same whichever way somebody came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Stable, in snake case; what programs go by.
    pub code: &'static str,
    /// The HTTP status that says the same: 401, 403, 404, 409, 422, 429 or 503.
    pub status: u16,
    /// The key of the document, or the field of the form, that is wrong; `None` when it is none in particular.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'static str>,
    /// What people get to read.
    pub message: String,
}

impl Refusal {
    /// A field is wrong.
    pub(super) fn wrong(code: &'static str, field: &'static str, message: impl Into<String>) -> Self {
        Refusal { code, status: 422, field: Some(field), message: message.into() }
    }

    /// What there is already forbids it: taken, locked, a limit reached.
    pub(super) fn state(code: &'static str, message: impl Into<String>) -> Self {
        Refusal { code, status: 409, field: None, message: message.into() }
    }

    /// Nobody knows who asks: no credential, or a dead one, which is told the same.
    pub fn unauthenticated() -> Self {
        let message = "Please log in, or send an API key that is in force.";
        Refusal { code: "unauthenticated", status: 401, field: None, message: message.to_owned() }
    }

    /// Who asks may not.
    pub(super) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Refusal { code, status: 403, field: None, message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// A rule says yes, and somebody should know: shown in amber, it stops nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flag {
    /// Stable, in snake case.
    pub code: &'static str,
    /// As of a [`Refusal`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'static str>,
    /// What people get to read.
    pub message: String,
}

impl Flag {
    pub(super) fn new(code: &'static str, field: Option<&'static str>, message: impl Into<String>) -> Self {
        Flag { code, field, message: message.into() }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
