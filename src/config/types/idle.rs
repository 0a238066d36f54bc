//! What is said to a caller who says nothing.

use serde::{Deserialize, Serialize};

use super::Spoken;

/// How a caller who says nothing is spoken to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Idle {
    /// 2000–600000: time in which neither side says anything.
    pub after_ms: u64,
    /// What is said, in turn; the last again and again. Never empty.
    pub lines: Vec<Spoken>,
    /// 1–20: how often before the caller speaks or presses a key.
    pub times: u32,
    /// Whether the call ends, with its farewell, when that did not help.
    pub end: bool,
}
