//! What the built-in model says and does wrong, as a TOML document.

use std::fmt;

use serde::Deserialize;

use super::completions::script::{Chat, Completion, check};

/// A conversation to play, one turn of the caller after the other.
///
/// ```toml
/// think_ms = 350                  # from a turn's end to the first audio of its answer, 0–60000
/// transcript_ms = 120             # from a turn's end to its transcript, 0–60000
/// pace = 5.0                      # times real time at which audio is sent, 0.1–1000
/// delta_ms = 200                  # audio per message, 10–2000
/// api_key = "secret"              # demanded as a bearer token; absent: any or none
///
/// [greeting]                      # the answer to a response.create before the caller has said anything
/// clip = "greeting"
///
/// [[turn]]
/// hears = "A table, please."      # what the caller's transcript says
/// say = "For how many?"           # spoken as a murmur of fitting length, or
/// clip = "offer"                  # a built-in clip, or the path of a WAV file
/// tools = [{ name = "note", arguments = { text = "table" } }]
/// then_say = "Noted."             # or then_clip: the answer after the tools' outputs
/// think_ms = 900                  # for this turn
/// fault = { drop_ms = 800, times = 1 }
///
/// [otherwise]                     # every turn after the last
/// clip = "sorry"
///
/// [chat]                          # of /v1/chat/completions
/// vendor = "openai"               # whose manners requests are held to: openai, reasoning, compatible
/// models = ["main", "spare"]      # names of the models that there are; absent: every name is one
/// token_ms = 20                   # from one token to the next, 0–60000
///
/// [[completion]]                  # its answers, in order; after the last, JSON that fits or words that say who answers
/// name = "hello"                  # told in the answer's system_fingerprint
/// model = "main"                  # only for requests of this model
/// times = 2                       # for so many requests; 0: for all
/// content = "{}"
/// think_ms = 100
/// tools = [{ name = "lookup", arguments = { q = "x" } }]
///
/// [[completion]]
/// status = 429                    # or page = true, retry_after_s = 30, code = "…", message = "…"
/// fault = { cut_at = 3 }          # after so many tokens; see [`CompletionFault`](super::CompletionFault)
///
/// [fault]                         # of connections
/// refuse = 503
/// refuse_times = 2
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Milliseconds from a turn's end to the first audio of its answer.
    #[serde(default = "think_ms")]
    pub think_ms: u64,
    /// Milliseconds from a turn's end to the caller's transcript of it.
    #[serde(default = "transcript_ms")]
    pub transcript_ms: u64,
    /// How many times faster than real time audio is sent.
    #[serde(default = "pace")]
    pub pace: f64,
    /// Milliseconds of audio in one message.
    #[serde(default = "delta_ms")]
    pub delta_ms: u64,
    /// The bearer token that is demanded.
    pub api_key: Option<String>,
    /// The answer to a `response.create` before the caller has said anything.
    #[serde(default = "greeting")]
    pub greeting: Turn,
    /// The answers, in order.
    #[serde(default, rename = "turn")]
    pub turns: Vec<Turn>,
    /// The answer to every turn after the last.
    #[serde(default = "otherwise")]
    pub otherwise: Turn,
    /// What is so of all chat completions.
    #[serde(default)]
    pub chat: Chat,
    /// Answers to chat completions, in order. After the last: JSON that fits what was asked for.
    #[serde(default, rename = "completion")]
    pub completions: Vec<Completion>,
    /// What goes wrong with connections.
    #[serde(default, rename = "fault")]
    pub faults: Faults,
}

/// What is done when the caller's turn has ended.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Turn {
    /// The caller's transcript.
    pub hears: String,
    /// The words of the answer. With a built-in clip, its own words by default.
    pub say: Option<String>,
    /// The answer's audio: a built-in clip's name or the path of a WAV file. Without it a murmur as long as the words.
    pub clip: Option<String>,
    /// Tools called in the same response, after the words. A tool that the session does not have is not called.
    pub tools: Vec<Tool>,
    /// The words of the next response, after the tools' outputs.
    pub then_say: Option<String>,
    /// Their audio.
    pub then_clip: Option<String>,
    /// In place of the script's.
    pub think_ms: Option<u64>,
    /// What goes wrong.
    pub fault: TurnFault,
}

/// A tool call.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// The tool's name.
    pub name: String,
    /// Its arguments, sent as JSON.
    #[serde(default)]
    pub arguments: toml::Table,
}

/// What goes wrong with connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// The HTTP status that answers the upgrade (400–599).
    pub refuse: Option<u16>,
    /// The error code in the body of a refusal.
    pub refuse_code: Option<String>,
    /// How many connections are refused; absent: all.
    pub refuse_times: Option<u32>,
    /// Connections are accepted and never greeted.
    pub stall: bool,
    /// After a connection was dropped by a turn's fault every further one is refused.
    pub never_back: bool,
    /// Nonsense is sent after the greeting.
    pub malformed: bool,
    /// Seconds after which a session expires, with an error and close code 1001; absent: an hour, as with the real thing.
    pub session_limit_s: Option<f64>,
}

/// What goes wrong on a turn.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TurnFault {
    /// How many times this happens, over all connections; absent: always.
    pub times: Option<u32>,
    /// No response comes.
    pub stall: bool,
    /// The socket closes without a word after this much audio of the response, in milliseconds.
    pub drop_ms: Option<u64>,
    /// Nonsense is sent before the answer.
    pub malformed: bool,
    /// An `error` event with this code is sent before the answer.
    pub error: Option<String>,
    /// The response fails with this code and says nothing.
    pub fail: Option<String>,
}

/// Words and the clip that says them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The words, when given.
    pub say: Option<&'a str>,
    /// The clip, when given.
    pub clip: Option<&'a str>,
}

/// Where a script is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// Counts from 1.
    pub line: usize,
    /// In characters, counts from 1.
    pub column: usize,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl Script {
    /// Reads a script; every range is checked.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let script: Script = toml::from_str(text)
            .map_err(|error| ScriptError::at(text, error.span().map_or(0, |span| span.start), error.message()))?;
        script.check().map_err(|(key, message)| {
            let offset = text.find(key).unwrap_or(0);
            ScriptError::at(text, offset, &format!("{key}: {message}"))
        })?;
        Ok(script)
    }

    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let all = || self.turns.iter().chain([&self.greeting, &self.otherwise]);
        let seconds = self.faults.session_limit_s;
        let rules = [
            ("think_ms", "0 to 60000 is allowed", {
                self.think_ms <= 60_000 && all().all(|turn| turn.think_ms.is_none_or(|ms| ms <= 60_000))
            }),
            ("transcript_ms", "0 to 60000 is allowed", self.transcript_ms <= 60_000),
            ("pace", "0.1 to 1000 is allowed", (0.1..=1_000.0).contains(&self.pace)),
            ("delta_ms", "10 to 2000 is allowed", (10..=2_000).contains(&self.delta_ms)),
            ("refuse", "a status of 400 to 599 is allowed", {
                self.faults.refuse.is_none_or(|status| (400..=599).contains(&status))
            }),
            ("session_limit_s", "0 to 86400 is allowed", {
                seconds.is_none_or(|seconds| (0.0..=86_400.0).contains(&seconds))
            }),
            ("turn", "at most 1000 turns are allowed", self.turns.len() <= 1_000),
            ("then_", "it follows tools, and this turn calls none", {
                all().all(|turn| !turn.tools.is_empty() || (turn.then_say.is_none() && turn.then_clip.is_none()))
            }),
        ];
        rules.into_iter().find(|(_, _, holds)| !holds).map_or(Ok(()), |(key, message, _)| Err((key, message)))?;
        check(&self.chat, &self.completions)
    }

    /// The answer after so many user items, and its place among a script's turns (0: the greeting).
    pub(super) fn turn(&self, user_items: usize) -> (usize, &Turn) {
        match user_items.checked_sub(1) {
            None => (0, &self.greeting),
            Some(index) => match self.turns.get(index) {
                Some(turn) => (user_items, turn),
                None => (self.turns.len() + 1, &self.otherwise),
            },
        }
    }

    /// The clips that are named, for whoever loads them.
    pub(super) fn clips(&self) -> impl Iterator<Item = &str> {
        let all = self.turns.iter().chain([&self.greeting, &self.otherwise]);
        all.flat_map(|turn| [turn.clip.as_deref(), turn.then_clip.as_deref()]).flatten()
    }
}

impl Default for Script {
    /// The demo's conversation.
    fn default() -> Self {
        match Script::parse(include_str!("demo.toml")) {
            Ok(script) => script,
            Err(error) => unreachable!("the built-in script is tested: {error}"),
        }
    }
}

impl Turn {
    /// The first words.
    pub(super) fn first(&self) -> Option<Line<'_>> {
        Line::of(&self.say, &self.clip)
    }

    /// The words after the tools' outputs.
    pub(super) fn then(&self) -> Option<Line<'_>> {
        Line::of(&self.then_say, &self.then_clip)
    }

    fn clip(name: &str) -> Turn {
        Turn { clip: Some(name.to_owned()), ..Turn::default() }
    }
}

impl<'a> Line<'a> {
    fn of(say: &'a Option<String>, clip: &'a Option<String>) -> Option<Self> {
        let line = Line { say: say.as_deref(), clip: clip.as_deref() };
        (line.say.is_some() || line.clip.is_some()).then_some(line)
    }
}

impl ScriptError {
    fn at(text: &str, offset: usize, message: &str) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        ScriptError {
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            message: message.to_owned(),
        }
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ScriptError {}

fn think_ms() -> u64 {
    350
}

fn transcript_ms() -> u64 {
    120
}

fn pace() -> f64 {
    5.0
}

fn delta_ms() -> u64 {
    200
}

fn greeting() -> Turn {
    Turn::clip("greeting")
}

fn otherwise() -> Turn {
    Turn::clip("sorry")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_is_a_booking_in_three_turns_and_a_back_channel() {
        let script = Script::default();
        let names: Vec<&str> = script.turns.iter().flat_map(|turn| &turn.tools).map(|tool| &*tool.name).collect();
        assert_eq!((script.turns.len(), names), (4, vec!["note", "hang_up"]));
        assert_eq!(script.turn(0).1.clip.as_deref(), Some("greeting"));
        assert_eq!(script.turn(4).1.clip.as_deref(), Some("thanks"));
        assert_eq!(script.turn(5), (5, &script.otherwise));
    }

    #[test]
    fn mistakes_are_pointed_at() {
        for (text, line, column, part) in [
            ("think_ms = 1\npacee = 2", 2, 1, "pacee"),
            ("[[turn]]\nhears = 7", 2, 9, "string"),
            ("pace = 0", 1, 1, "0.1 to 1000"),
            ("[fault]\nrefuse = 200", 2, 1, "400 to 599"),
            ("[[turn]]\nthen_say = \"x\"", 2, 1, "calls none"),
            ("[[turn]\n", 1, 8, ""),
        ] {
            let error = Script::parse(text).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{text}: {error}");
            assert!(error.message.contains(part), "{error}");
        }
    }
}
