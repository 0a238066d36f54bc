//! Keys that the caller presses.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What becomes of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// 1–32: digits that are complete without more.
    pub max_digits: u32,
    /// The key that ends the digits and is none of them.
    pub terminator: Option<char>,
    /// 500–30000: time after a key in which the next must follow.
    pub timeout_ms: u64,
    /// What the digits are, for the model.
    pub meaning: Option<String>,
    /// Whether a key stops an agent who is speaking.
    pub interrupt: bool,
    /// Keys that do something.
    pub actions: BTreeMap<char, KeyAction>,
}

impl Default for Keys {
    fn default() -> Self {
        Keys {
            max_digits: 20,
            terminator: Some('#'),
            timeout_ms: 3_000,
            meaning: None,
            interrupt: true,
            actions: BTreeMap::new(),
        }
    }
}

/// What a key does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyAction {
    /// Ends the call, with its farewell.
    HangUp,
    /// Ends the caller's turn, where nobody else does.
    Commit,
    /// The agent says again what it said last.
    Repeat,
    /// Nothing: it is in the report.
    Ignore,
    /// The caller is put through to the destination of this name, or to this number (E.164).
    Transfer(String),
}
