//! `report.json`: what happened in a call, for people and programs.
//!
//! The schema is stable: `schema` counts its breaking changes, keys are only ever added within one. Times are
//! milliseconds since the call began (`…_at_ms`) unless the name says otherwise; `media_…_ms` are on the line's media
//! time line, the one of the recording. `docs/report.md` tells every key and counter; a test holds it against this.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ears::turn::shadow::ShadowTally;
use crate::engine::event::{EndReason, Role};
use crate::engine::io::Usage;

/// The version of the schema that this server writes.
pub const SCHEMA: u32 = 1;

/// The whole report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this schema.
    pub schema: u32,
    /// The call's id, also its folder's name.
    pub call: String,
    /// The carrier's id of the call.
    pub carrier_call: String,
    /// Wall clock of the call's beginning, RFC 3339 in UTC.
    pub started: String,
    /// Who dialled, `inbound` (the caller) or `outbound` (we); `None` in reports of earlier versions.
    #[serde(default)]
    pub direction: Option<String>,
    /// Who called, E.164, or the carrier's word for a number that is withheld.
    #[serde(default)]
    pub from: Option<String>,
    /// The number called, E.164.
    #[serde(default)]
    pub to: Option<String>,
    /// The deployment that answered.
    pub deployment: String,
    /// The agent that answered.
    pub agent: String,
    /// The configuration's revision.
    pub revision: String,
    /// The model's name in models.toml; `None` in reports of earlier versions, and when none was asked.
    #[serde(default)]
    pub model: Option<String>,
    /// Samples per second of the line and the recording.
    pub rate_hz: u32,
    /// From the webhook to the end.
    pub duration_ms: u64,
    /// From the webhook to the start of media; `None`: it never started. Media time 0 is here.
    pub media_start_at_ms: Option<u64>,
    /// How far the line's clock had come at the end: the length of the media time line. Other than the time between start and
    /// end where that clock runs faster or slower than ours; `None`: it never started, or nobody wrote it down.
    #[serde(default)]
    pub media_ms: Option<u64>,
    /// By how much the line's clock ran faster than ours, in parts per million; slower where negative. `None`: not known, as
    /// in a call of a few seconds.
    #[serde(default)]
    pub line_clock_ppm: Option<i64>,
    /// From the webhook to the model's session being ready for the first time.
    pub model_ready_at_ms: Option<u64>,
    /// Why it ended.
    pub end: EndReason,
    /// The conversation, in the order in which it was begun.
    pub lines: Vec<Line>,
    /// One entry per turn of the caller, in order.
    pub turns: Vec<Turn>,
    /// Every time the caller stopped the agent.
    pub interruptions: Vec<Interruption>,
    /// What candidates that ran beside the live settings would have decided otherwise, one entry each.
    #[serde(default)]
    pub shadows: Vec<ShadowTally>,
    /// Notes that the agent left.
    pub notes: Vec<Note>,
    /// Who picked up a call that was placed, as far as it was asked; `None`: it was not, or nobody picked up.
    #[serde(default)]
    pub answered_by: Option<Answered>,
    /// Keys that were pressed.
    pub keys: Vec<Key>,
    /// Tools that were called.
    pub tools: Vec<ToolUse>,
    /// What the model complained of, in its own words: what it refused, what failed, and where it is not as it was asked to be.
    #[serde(default)]
    pub complaints: Vec<Complaint>,
    /// Gaps in the caller's audio; the recording has silence there.
    pub gaps: Vec<Gap>,
    /// Counters by name; a name is missing while it is zero.
    pub counters: BTreeMap<String, u64>,
    /// Tokens, as the model counted them.
    pub usage: Usage,
    /// How long sessions with the model were open.
    #[serde(default)]
    pub model_ms: u64,
    /// What the model cost by the price in models.toml, in millionths of its currency; 0 without a price.
    #[serde(default)]
    pub cost_micros: u64,
    /// The same by what it was for; `None` without a price, and in reports of earlier versions.
    #[serde(default)]
    pub cost: Option<Cost>,
    /// The recording, when there is one.
    pub recording: Option<Recording>,
    /// The journal, when one is kept.
    #[serde(default)]
    pub journal: Option<JournalKept>,
}

impl Report {
    /// Whether no model was ever asked: then it has cost nothing, whatever its price.
    pub fn is_without_model(&self) -> bool {
        self.model_ms == 0 && self.usage == Usage::default()
    }

    /// How long the media time line is.
    pub fn media_length_ms(&self) -> u64 {
        self.media_ms.unwrap_or_else(|| self.open_ms())
    }

    /// Where a moment of the call lies on the media time line, the recording's. Between its ends the line's clock is taken to
    /// run evenly.
    pub fn media_of_ms(&self, at_ms: u64) -> u64 {
        let since_ms = at_ms.saturating_sub(self.media_start_at_ms.unwrap_or(0));
        match (self.media_ms, self.open_ms()) {
            (Some(media_ms), open_ms) if open_ms > 0 => {
                (u128::from(since_ms) * u128::from(media_ms) / u128::from(open_ms)).min(u128::from(u64::MAX)) as u64
            }
            _ => since_ms,
        }
    }

    /// How long there was a line, by our clock.
    fn open_ms(&self) -> u64 {
        self.media_start_at_ms.map_or(0, |start| self.duration_ms.saturating_sub(start))
    }
}

/// What a model's usage cost, in millionths of its currency. The parts add up to the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// What it read, without what was cached.
    pub input_micros: u64,
    /// What it read again.
    pub cached_micros: u64,
    /// What it said and wrote.
    pub output_micros: u64,
    /// The minutes for which sessions were open.
    pub time_micros: u64,
}

/// Something said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Who.
    pub who: Role,
    /// When it began to be audible.
    pub at_ms: u64,
    /// When it ended, was cut off, or the call ended.
    pub end_at_ms: u64,
    /// The same on the media time line.
    pub media_at_ms: u64,
    /// The same on the media time line.
    pub media_end_ms: u64,
    /// What was said and heard.
    pub text: String,
    /// What the agent went on to say and the caller did not hear.
    pub unheard: String,
    /// Agent only: audio of this line that the caller heard.
    pub heard_ms: u64,
    /// Agent only: audio of this line that the model made.
    pub received_ms: u64,
    /// Caller only: said over the agent, who went on. It is of the conversation and was not answered.
    #[serde(default)]
    pub back_channel: bool,
}

/// A turn of the caller and how soon it was answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Counts from 1.
    pub turn: u32,
    /// First speech, by whoever detects turns.
    pub speech_start_at_ms: Option<u64>,
    /// Last speech: the detected end less the silence that was waited for.
    pub speech_end_at_ms: Option<u64>,
    /// When the end was decided.
    pub stop_decided_at_ms: Option<u64>,
    /// When the turn was committed.
    pub commit_at_ms: Option<u64>,
    /// When the response to it began.
    pub response_at_ms: Option<u64>,
    /// First audio from the model.
    pub first_model_audio_at_ms: Option<u64>,
    /// First audio sent to the line.
    pub first_audio_sent_at_ms: Option<u64>,
    /// When it began to be audible: the first mark of it that came back played, less the audio before that mark.
    #[serde(default)]
    pub first_audible_at_ms: Option<u64>,
    /// First mark that came back played: the caller has heard the beginning by then.
    pub first_heard_at_ms: Option<u64>,
    /// It was said over the agent, who went on, and was not answered.
    #[serde(default)]
    pub back_channel: bool,
    /// What the caller waited, and for what.
    #[serde(default)]
    pub latency: Latency,
}

/// How long a caller waited for an answer, and the parts of that in the order in which they pass. A part is `None` when one
/// of its two moments is not known; where all are, they add up to the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// From the caller's last speech until the answer was audible.
    pub waited_ms: Option<u64>,
    /// Until the turn's end was decided: the silence that ends a turn, and what hearing it took.
    pub silence_ms: Option<u64>,
    /// Until the turn was committed.
    pub decision_ms: Option<u64>,
    /// Until the response to it began.
    pub response_ms: Option<u64>,
    /// Until the model's first audio.
    pub model_audio_ms: Option<u64>,
    /// Until that was sent to the line: what was still being said before it.
    pub queue_ms: Option<u64>,
    /// Until it was audible there, as the line's marks tell.
    pub line_ms: Option<u64>,
}

impl Latency {
    /// The parts by name, in their order.
    pub fn parts(&self) -> [(&'static str, Option<u64>); 6] {
        [
            ("silence", self.silence_ms),
            ("decision", self.decision_ms),
            ("response", self.response_ms),
            ("model audio", self.model_audio_ms),
            ("queue", self.queue_ms),
            ("line", self.line_ms),
        ]
    }
}

impl Turn {
    /// The turn with its latency, as its moments tell it.
    #[must_use]
    pub fn with_latency(mut self) -> Turn {
        let between = |from: Option<u64>, to: Option<u64>| Some(to?.saturating_sub(from?));
        self.latency = Latency {
            waited_ms: between(self.speech_end_at_ms, self.first_audible_at_ms),
            silence_ms: between(self.speech_end_at_ms, self.stop_decided_at_ms),
            decision_ms: between(self.stop_decided_at_ms, self.commit_at_ms),
            response_ms: between(self.commit_at_ms, self.response_at_ms),
            model_audio_ms: between(self.response_at_ms, self.first_model_audio_at_ms),
            queue_ms: between(self.first_model_audio_at_ms, self.first_audio_sent_at_ms),
            line_ms: between(self.first_audio_sent_at_ms, self.first_audible_at_ms),
        };
        self
    }
}

/// The caller stopped the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interruption {
    /// When.
    pub at_ms: u64,
    /// The same on the media time line.
    pub media_at_ms: u64,
    /// The item that was being heard.
    pub item: String,
    /// Heard of it.
    pub heard_ms: u64,
    /// Made by the model and not heard, of it and what was queued behind it.
    pub unheard_ms: u64,
}

/// A note that the agent left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// When.
    pub at_ms: u64,
    /// Its words.
    pub text: String,
}

/// Who picked up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// When it was known, or taken to be so.
    pub at_ms: u64,
    /// `human`, `machine`, `fax`, or `unknown`: taken for a person.
    pub who: String,
    /// By which rule; the carrier's own word where it was the carrier's.
    pub rule: String,
}

/// A key that was pressed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// When.
    pub at_ms: u64,
    /// `0`–`9`, `*`, `#`, `A`–`D`.
    pub digit: char,
}

/// A tool that was called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolUse {
    /// When it was answered.
    pub at_ms: u64,
    /// Its name.
    pub name: String,
    /// What the model was told, its first 4096 bytes.
    pub output: String,
    /// From the model's call to that.
    #[serde(default)]
    pub took_ms: u64,
}

/// Something the model complained of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Complaint {
    /// When it did so first.
    pub at_ms: u64,
    /// `error`, `response` or `session`.
    pub about: String,
    /// Its words, at most 200 characters of them, without what looks like a secret.
    pub text: String,
    /// How often it said so.
    pub times: u64,
}

/// A gap in the caller's audio.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// Where it begins on the media time line.
    pub media_at_ms: u64,
    /// How long it is.
    pub ms: u64,
}

/// The recording's own account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// Frames (one sample per channel) in the file.
    pub frames: u64,
    /// From where audio is missing, when the disk was full or too slow.
    pub missing_from_ms: Option<u64>,
    /// Why it is missing.
    pub error: Option<String>,
}

/// The journal's own account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalKept {
    /// From when lines are missing, when the disk was full or too slow.
    pub missing_from_ms: Option<u64>,
    /// How many.
    pub lines_lost: u64,
    /// Why.
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    const PAGE: &str = include_str!("../../docs/report.md");

    /// The names in the first column of the tables under a heading, up to the next heading of its level.
    fn first_column(heading: &str) -> BTreeSet<String> {
        let section = PAGE.split_once(&format!("\n## {heading}\n")).expect("the heading").1;
        let section = section.split("\n## ").next().unwrap();
        let names = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        names.map(str::to_owned).collect()
    }

    fn same(heading: &str, known: &BTreeSet<String>) {
        let named = first_column(heading);
        let missing: Vec<_> = known.difference(&named).collect();
        let stale: Vec<_> = named.difference(known).collect();
        assert!(
            missing.is_empty() && stale.is_empty(),
            "docs/report.md, {heading}: a row is missing for {missing:?}; no such thing as {stale:?}"
        );
    }

    fn example() -> Value {
        let text = PAGE.split_once("```json\n").unwrap().1.split_once("```").unwrap().0;
        serde_json::from_str(text).unwrap()
    }

    /// The sources in a folder, as one text each.
    fn sources(folder: &str) -> Vec<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
        let mut texts = Vec::new();
        for path in fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                texts.extend(sources(&format!("{folder}/{}", path.file_name().unwrap().to_string_lossy())));
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("report.rs") {
                // This file only talks of counters.
                texts.push(fs::read_to_string(path).unwrap());
            }
        }
        assert!(!texts.is_empty());
        texts
    }

    /// What stands in quotes right behind each `before`, white space aside.
    fn quoted_after(text: &str, before: &str, names: &mut BTreeSet<String>) {
        for rest in text.split(before).skip(1) {
            if let Some((name, _)) = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                names.insert(name.to_owned());
            }
        }
    }

    fn keys(at: &str, value: &Value, keys_found: &mut BTreeSet<String>) {
        match value {
            // These are named in a table of their own.
            Value::Object(_) if at == "counters" => {}
            Value::Object(entries) => {
                for (key, value) in entries {
                    let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                    // `end` is told by its two keys.
                    if path != "end" {
                        keys_found.insert(path.clone());
                    }
                    keys(&path, value, keys_found);
                }
            }
            Value::Array(entries) => {
                assert!(!entries.is_empty(), "the example has no entry in {at}");
                entries.iter().for_each(|entry| keys(&format!("{at}[]"), entry, keys_found));
            }
            Value::Null => panic!("the example has nothing in {at}"),
            _ => {}
        }
    }

    #[test]
    fn the_page_names_every_key_and_its_example_is_a_report() {
        let report: Report = serde_json::from_value(example()).unwrap();
        assert_eq!(report.schema, SCHEMA);
        let written = serde_json::to_value(&report).unwrap();
        assert_eq!(written, example(), "the example must be all of a report and no more");
        let mut known = BTreeSet::new();
        keys("", &written, &mut known);
        same("Keys", &known);
    }

    #[test]
    fn the_parts_of_a_latency_add_up_and_are_missing_where_a_moment_is() {
        let turn: Turn = serde_json::from_value(example()["turns"][0].clone()).unwrap();
        let again = Turn { latency: Latency::default(), ..turn.clone() }.with_latency();
        assert_eq!(again, turn, "the example's latency is that of its moments");
        let parts = turn.latency.parts();
        assert_eq!(parts.iter().map(|(_, ms)| ms.unwrap()).sum::<u64>(), turn.latency.waited_ms.unwrap());
        let unanswered = Turn { response_at_ms: None, first_audible_at_ms: None, ..turn }.with_latency().latency;
        let known: Vec<_> = unanswered.parts().iter().filter(|(_, ms)| ms.is_some()).map(|(name, _)| *name).collect();
        assert_eq!((unanswered.waited_ms, known), (None, vec!["silence", "decision", "queue"]));
        let old: Turn = serde_json::from_value(serde_json::json!({ "turn": 1 })).unwrap();
        assert_eq!(old.with_latency().latency, Latency::default());
    }

    #[test]
    fn the_page_names_every_counter() {
        let mut known = BTreeSet::new();
        for text in sources("engine") {
            quoted_after(&text, ".count(", &mut known);
            // Those that are read off the parts at the end: `("name", self.part.field)`.
            if let Some((_, list)) = text.split_once("let more = [") {
                quoted_after(list.split("];").next().unwrap(), "(", &mut known);
            }
        }
        assert!(known.len() > 30 && known.contains("marks_unknown"), "{known:?}");
        for text in sources("serve") {
            quoted_after(&text, "report.counters.insert(", &mut known);
            quoted_after(&text, "report.counters.entry(", &mut known);
            // Those of a link to a model: `("name", number)`.
            if let Some((_, list)) = text.split_once("fn counters(&self) -> Counters {") {
                quoted_after(list.split('}').nth(1).unwrap_or_default(), "(", &mut known);
            }
        }
        // The server prefixes the line's and leaves out the two that count what is as it should be.
        let line = crate::link::twilio::Counters::default();
        let odd = line.iter().map(|(name, _)| name).filter(|name| !matches!(*name, "messages" | "media"));
        known.extend(odd.map(|name| format!("line_{name}")));
        same("Counters", &known);
    }

    #[test]
    fn the_page_names_every_end() {
        let text = include_str!("event.rs");
        let kinds = text.split_once("pub fn kind(").unwrap().1.split_once("\n    }\n").unwrap().0;
        let mut known = BTreeSet::new();
        quoted_after(kinds, "=>", &mut known);
        assert!(known.len() > 8);
        same("Ends", &known);
    }
}
