//! What a script says of chat completions.

use serde::Deserialize;

use super::super::script::Tool;

/// Chat completions, all of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Chat {
    /// Whose manners requests are held to.
    pub vendor: Vendor,
    /// Names of the models that there are; empty: every name is one.
    pub models: Vec<String>,
    /// Milliseconds from one token to the next, 0–60000.
    pub token_ms: u64,
}

/// Whose manners requests are held to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vendor {
    /// OpenAI's, for a model that does not reason.
    #[default]
    #[serde(rename = "openai")]
    OpenAi,
    /// OpenAI's, for one that does: no `max_tokens`, no `temperature` but 1.
    Reasoning,
    /// Those of a server that copies the API as it once was: `max_tokens`, role `system`, and nothing of what came later.
    Compatible,
}

/// One answer to a chat completion, or what goes wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Completion {
    /// What the answer says it comes from: `system_fingerprint` is `rehearsal_NAME`. Its number, from 1, by default.
    pub name: Option<String>,
    /// Only for requests of this model.
    pub model: Option<String>,
    /// For how many requests it is; absent: one. 0: all that there are.
    pub times: Option<u32>,
    /// What is answered, JSON or not; absent: JSON that fits what was asked for, or words that say what answers.
    pub content: Option<String>,
    /// The answer is what the user said last.
    pub echo: bool,
    /// Thought aloud before the answer, in `reasoning_content`.
    pub reasoning: Option<String>,
    /// Tools called in the answer. A tool that the request does not have is not called.
    pub tools: Vec<Tool>,
    /// Why the answer ends, in place of `stop`.
    pub finish: Option<String>,
    /// Milliseconds before the answer.
    pub think_ms: u64,
    /// Milliseconds from one token to the next, in place of the script's.
    pub token_ms: Option<u64>,
    /// The HTTP status (400–599) of a failure.
    pub status: Option<u16>,
    /// The failure's code.
    pub code: Option<String>,
    /// Its words.
    pub message: Option<String>,
    /// Seconds in its `Retry-After`.
    pub retry_after_s: Option<u64>,
    /// `Retry-After` is a date, so many seconds after `retry_after_s` would have been sent.
    pub retry_after_is_date: bool,
    /// The failure is told to people: a page, as gateways show them.
    pub page: bool,
    /// What goes wrong with the stream.
    pub fault: CompletionFault,
}

/// What goes wrong with an answer. Places are numbers of tokens that were sent before; 0: none.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompletionFault {
    /// The connection is reset in place of an answer.
    pub reset: bool,
    /// No answer comes, and the connection stays.
    pub never: bool,
    /// Nothing more comes, and the connection stays.
    pub stall_at: Option<usize>,
    /// The connection is cut.
    pub cut_at: Option<usize>,
    /// An error is told within the stream, with `code` and `message`, and it ends.
    pub error_at: Option<usize>,
    /// An event is half of one.
    pub malformed_at: Option<usize>,
    /// An event has a megabyte.
    pub huge_at: Option<usize>,
    /// The last event is missing.
    pub no_done: bool,
    /// The usage is missing, though it was asked for.
    pub no_usage: bool,
    /// Written as gateways do: comments in between, lines that end in CR and LF, no space after the colon.
    pub gateway: bool,
    /// Tools are called as some servers do: whole, with neither numbers nor ids, and the answer ends by `stop`.
    pub odd_calls: bool,
}

impl Completion {
    /// What it is called, being the one at `index` of its script.
    pub(super) fn name(&self, index: usize) -> String {
        self.name.clone().unwrap_or_else(|| (index + 1).to_string())
    }
}

/// What of the script is wrong, as a key and what is allowed.
pub(in super::super) fn check(chat: &Chat, completions: &[Completion]) -> Result<(), (&'static str, &'static str)> {
    let rules = [
        ("token_ms", "0 to 60000 is allowed", {
            chat.token_ms <= 60_000 && completions.iter().all(|one| one.token_ms.is_none_or(|ms| ms <= 60_000))
        }),
        ("status", "a status of 400 to 599 is allowed", {
            completions.iter().all(|one| one.status.is_none_or(|status| (400..=599).contains(&status)))
        }),
        ("completion", "at most 1000 completions are allowed", completions.len() <= 1_000),
        ("finish", "stop, length, tool_calls, content_filter and function_call are allowed", {
            let known = ["stop", "length", "tool_calls", "content_filter", "function_call"];
            completions.iter().all(|one| one.finish.as_deref().is_none_or(|finish| known.contains(&finish)))
        }),
        ("echo", "it says what is answered, and so does content", {
            completions.iter().all(|one| !(one.echo && one.content.is_some()))
        }),
    ];
    rules.into_iter().find(|(.., holds)| !holds).map_or(Ok(()), |(key, message, _)| Err((key, message)))
}

/// Which answers were given.
#[derive(Debug, Default)]
pub(in super::super) struct Given(Vec<u32>);

impl Given {
    /// The next answer for `model`, with its place in the script.
    pub(in super::super) fn next<'a>(&mut self, all: &'a [Completion], model: &str) -> Option<(usize, &'a Completion)> {
        self.0.resize(all.len(), 0);
        let fits = |(index, one): &(usize, &Completion)| {
            let times = one.times.unwrap_or(1);
            one.model.as_deref().is_none_or(|wanted| wanted == model) && (times == 0 || self.0[*index] < times)
        };
        let (index, one) = all.iter().enumerate().find(fits)?;
        self.0[index] += 1;
        Some((index, one))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_order_each_for_its_model() {
        let of =
            |model: Option<&str>, times| Completion { model: model.map(str::to_owned), times, ..Completion::default() };
        let all = [of(Some("a"), None), of(None, Some(2)), of(Some("b"), Some(0)), of(None, None)];
        let mut given = Given::default();
        let order: Vec<_> =
            ["b", "a", "c", "b", "b", "a", "a"].map(|model| given.next(&all, model).map(|(index, _)| index)).into();
        assert_eq!(order, [Some(1), Some(0), Some(1), Some(2), Some(2), Some(3), None]);
    }
}
