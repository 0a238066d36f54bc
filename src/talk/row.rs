//! What was said, as it is kept: rows of the store, and the conversation's own memory.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::failover::Failure;
use super::handoff::Hand;
use super::io::EndWhy;
use super::model::{ToolCall, Usage};
use crate::config::Price;

/// One line of a conversation. It is written once, when it is whole; an answer twice: when it begins, as [`CutOff::Lost`], and
/// when it ends. A row with the same `seq` replaces the one before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its place, from 1, growing; answers keep the place at which they began.
    pub seq: u64,
    /// The id of the latest event when it was written.
    pub event: u64,
    /// Who said it.
    pub from: From,
    /// What. Empty where nothing was said: a change of hands, an answer that failed.
    pub text: Arc<str>,
    /// The sender's own id for it: of a message, or of the request to try again.
    pub client: Option<Arc<str>>,
    /// Whether it is whole.
    pub state: State,
    /// Of an answer of the agent: how it came about.
    pub answer: Option<Box<Answered>>,
}

/// Who said something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// Who came.
    Visitor,
    /// The agent; without [`Row::answer`] its welcome.
    Agent,
    /// A person of the team, by name.
    Person(Arc<str>),
    /// Nobody: the conversation changed hands.
    HandOff(Hand),
    /// Nobody: the conversation ended.
    Ended(EndWhy),
    /// The agent, for people who read the conversation, and not for the visitor.
    Note,
}

/// Whether something that was said is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is.
    Whole,
    /// The rest is missing.
    CutOff(CutOff),
    /// Nothing came.
    Failed,
}

/// What cut an answer off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutOff {
    /// The visitor.
    Stopped,
    /// The model failed after it had begun (FAIL-06).
    Failed,
    /// The model had no tokens left.
    Length,
    /// The vendor held the rest back.
    Filtered,
    /// It was longer than an answer may be.
    TooLong,
    /// It took longer than an answer may take.
    TooSlow,
    /// A person took over.
    Taken,
    /// The conversation ended.
    Ended,
    /// Its server ended before it did.
    Lost,
}

/// How an answer came about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// The last message that it answers.
    pub answers: u64,
    /// The answer that it was asked for in place of.
    pub again_of: Option<u64>,
    /// Who gave it; `None`: nobody did.
    pub by: Option<GivenBy>,
    /// The documents that it went by.
    pub revision: Arc<str>,
    /// What went wrong, in order: of the primary, then of the backup.
    pub troubles: Vec<Trouble>,
    /// The tools that were called, by request.
    pub steps: Vec<Step>,
    /// Documents that tools say they took their answers from (AGT-04), each once.
    pub sources: Vec<Arc<str>>,
    /// What it took, by request.
    pub spent: Vec<Spent>,
    /// Milliseconds from the first request to the first token that was shown; `None`: none was.
    pub first_token_ms: Option<u64>,
    /// Milliseconds from the first request to the end.
    pub took_ms: u64,
}

/// Who gave an answer, and why that one (FAIL-08). For operators: visitors do not see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenBy {
    /// The model's name in `models.toml`.
    pub model: Arc<str>,
    /// Why it was asked.
    pub why: Why,
}

/// Why a model was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It is the primary.
    Primary,
    /// It is the backup, and the primary failed like this.
    Failover(Failure),
    /// It is the backup, and the primary is left alone.
    Breaker,
    /// It is the backup, and the primary is held to be down.
    Drill,
}

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The model's name.
    pub model: Arc<str>,
    /// What kind of failure.
    pub failure: Failure,
    /// In the vendor's words, where it said something; no more of them than [`super::model::WORDS_MAX`].
    pub words: String,
}

/// Tools that one request called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Bytes of the answer's text that were said before.
    pub until: usize,
    /// In the model's order.
    pub calls: Vec<Called>,
}

/// A tool that was called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// The vendor's id.
    pub id: Arc<str>,
    /// As the model wrote it.
    pub name: Arc<str>,
    /// As the model wrote them, bounded.
    pub arguments: Arc<str>,
    /// What the model was told.
    pub output: Arc<str>,
    /// Whether the tool did what it was called for.
    pub ok: bool,
    /// Milliseconds it took.
    pub ms: u64,
}

/// What one request took (COST-01).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The model's name.
    pub model: Arc<str>,
    /// Tokens read, cached ones among them.
    pub input_tokens: u64,
    /// Of those, read before.
    pub cached_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// The vendor did not say: reckoned from the text.
    pub estimated: bool,
    /// Millionths of the price's currency; `None`: the price is not known.
    pub micros: Option<u64>,
}

impl Spent {
    /// What a request took, at the model's price.
    pub(super) fn new(model: Arc<str>, usage: Usage, estimated: bool, price: Option<&Price>) -> Spent {
        let Usage { input_tokens, cached_tokens, output_tokens } = usage;
        let cached_tokens = cached_tokens.min(input_tokens);
        let micros = price.map(|price| {
            // Prices are per million tokens.
            let all = u128::from(input_tokens - cached_tokens) * u128::from(price.text_in_micros)
                + u128::from(cached_tokens) * u128::from(price.cached_micros)
                + u128::from(output_tokens) * u128::from(price.text_out_micros);
            u64::try_from(all / 1_000_000).unwrap_or(u64::MAX)
        });
        Spent { model, input_tokens, cached_tokens, output_tokens, estimated, micros }
    }
}

impl Row {
    /// About how much memory it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        let answer = self.answer.as_ref().map_or(0, |answer| {
            let calls = answer.steps.iter().flat_map(|step| &step.calls);
            let calls: usize = calls.map(|call| call.arguments.len() + call.output.len() + 128).sum();
            calls + answer.troubles.iter().map(|trouble| trouble.words.len()).sum::<usize>() + 256
        });
        self.text.len() + answer + 128
    }

    /// Whether the visitor sees it where it stands; an answer of which nothing came, too.
    pub(super) fn is_shown(&self) -> bool {
        !matches!(self.from, From::Note | From::HandOff(_) | From::Ended(_))
    }
}

impl Called {
    /// The call, as a vendor takes it back: one that is written wrong would be refused with every request to come.
    pub(super) fn call(&self) -> ToolCall {
        let is_object = self.arguments.trim_start().starts_with('{')
            && serde_json::from_str::<serde::de::IgnoredAny>(&self.arguments).is_ok();
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let name: String = self.name.chars().take(64).map(|c| if is_name(c) { c } else { '_' }).collect();
        ToolCall {
            id: Arc::clone(&self.id),
            name: if name.is_empty() { "unknown".into() } else { name.into() },
            arguments: if is_object { Arc::clone(&self.arguments) } else { "{}".into() },
        }
    }
}

impl CutOff {
    /// A short stable name.
    pub fn name(self) -> &'static str {
        match self {
            CutOff::Stopped => "stopped",
            CutOff::Failed => "failed",
            CutOff::Length => "length",
            CutOff::Filtered => "filtered",
            CutOff::TooLong => "too_long",
            CutOff::TooSlow => "too_slow",
            CutOff::Taken => "taken",
            CutOff::Ended => "ended",
            CutOff::Lost => "lost",
        }
    }
}
