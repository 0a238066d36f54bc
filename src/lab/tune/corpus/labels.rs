//! Labels as text: TOML or JSON, of a plain folder's clip.

use serde::Deserialize;

use crate::base::audio::clip::{Distractor, Span};

/// What `NAME.toml` or `NAME.json` says of `NAME.wav`. Nothing is required; times are in milliseconds from the clip's
/// beginning. A JSON file may also be a bare list of speech: `[{"start_ms": 100, "end_ms": 900}]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Labels {
    /// Stretches of speech, in order, not touching: `[{ start_ms = 100, end_ms = 900 }]`.
    pub speech: Vec<SpeechLabel>,
    /// Where each turn truly ends, each the end of a stretch of speech.
    pub turn_ends_ms: Vec<u64>,
    /// What is said in each turn; for people.
    pub turns: Vec<String>,
    /// Sounds that are no speech and may be taken for it.
    pub distractors: Vec<Distractor>,
    /// Stretches to leave out of a score.
    pub uncertain: Vec<Span>,
    /// How exact the labels are.
    pub tolerance_ms: Option<u64>,
    /// Decibels of speech over the noise that was added to it.
    pub snr_db: Option<i32>,
    /// What is said; for people.
    pub text: Option<String>,
    /// Whose voice it is; for people.
    pub voice: Option<String>,
    /// What the line adds; for people.
    pub noise: Option<String>,
    /// How it was made; for people.
    pub made_by: Option<String>,
}

/// A stretch of speech as labelled.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpeechLabel {
    /// Where it begins.
    pub start_ms: u64,
    /// Where it ends.
    pub end_ms: u64,
    /// Where it can first be heard on the line.
    #[serde(default)]
    pub audible_start_ms: Option<u64>,
    /// Where it can last be heard on the line.
    #[serde(default)]
    pub audible_end_ms: Option<u64>,
    /// Who speaks; for people.
    #[serde(default)]
    pub spk: Option<String>,
}

/// Labels by the file's extension: `toml` or `json`.
pub fn parse_labels(extension: &str, text: &str) -> Result<Labels, String> {
    if extension.eq_ignore_ascii_case("json") { parse_json(text) } else { parse_toml(text) }
}

/// Labels from TOML.
pub fn parse_toml(text: &str) -> Result<Labels, String> {
    toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())
}

/// Labels from JSON: an object with [`Labels`]' keys, or a list of speech.
pub fn parse_json(text: &str) -> Result<Labels, String> {
    if text.trim_start().starts_with('[') {
        let speech = serde_json::from_str(text).map_err(|e| e.to_string())?;
        return Ok(Labels { speech, ..Labels::default() });
    }
    serde_json::from_str(text).map_err(|e| e.to_string())
}
