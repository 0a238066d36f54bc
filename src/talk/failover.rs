//! Who is asked after a failure (FAIL-04 to FAIL-07, BEYOND-10, BEYOND-11): one table, and no state.
//!
//! A failure before the visitor was shown anything of the request's answer is looked up in [`TABLE`]; one after that cuts the
//! answer off, whatever it is. The primary is never asked twice for one answer, so nothing waits for a `Retry-After`.

use serde::{Deserialize, Serialize};

use super::model::{ModelError, Phase, Said};

/// What FAIL-05 says to visitors, to the letter.
pub const LINE: &str = "Something went wrong on our side. Please try again.";

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// No connection: refused, reset, unreachable, no TLS.
    Connection,
    /// The host's name stands for nothing.
    Dns,
    /// The connection ended before the answer did.
    Broken,
    /// No connection in time.
    ConnectTimeout,
    /// No first token in time.
    FirstTokenTimeout,
    /// No further token in time.
    Stall,
    /// A status of 500 to 599.
    ServerError,
    /// A status of 429: too many requests, or no quota; however long its `Retry-After`.
    RateLimit,
    /// A status of 400 or 404 that says that the model itself is gone or none ([`model_is_gone`]).
    ModelGone,
    /// An error in a stream that began with 200.
    InStream,
    /// Any other status.
    OtherStatus,
    /// A status of success, and no chat completion.
    Malformed,
    /// An answer without an end.
    TooLong,
    /// An answer with nothing in it.
    Empty,
    /// Nothing was sent.
    Unsendable,
}

/// Each kind of failure, its stable name, and whether the backup is asked.
pub const TABLE: [(Failure, &str, bool); 15] = [
    (Failure::Connection, "connection", true),
    (Failure::Dns, "dns", true),
    (Failure::Broken, "broken", true),
    (Failure::ConnectTimeout, "connect_timeout", true),
    (Failure::FirstTokenTimeout, "first_token_timeout", true),
    (Failure::Stall, "stall", true),
    (Failure::ServerError, "server_error", true),
    (Failure::RateLimit, "rate_limit", true),
    (Failure::ModelGone, "model_gone", true),
    (Failure::InStream, "in_stream", true),
    (Failure::OtherStatus, "other_status", false),
    (Failure::Malformed, "malformed", false),
    (Failure::TooLong, "too_long", false),
    (Failure::Empty, "empty", false),
    (Failure::Unsendable, "unsendable", false),
];

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The backup is asked the same, unseen by the visitor.
    Backup,
    /// The visitor is told [`LINE`] and may try again.
    Line,
    /// What was shown is kept and marked as cut off; the visitor may ask again.
    CutOff,
}

/// What follows `failure`. `shown`: the visitor saw something of this request's answer; `backup_left`: there is a backup, and
/// this was not it.
pub fn then(failure: Failure, shown: bool, backup_left: bool) -> Then {
    match (shown, failure.fails_over() && backup_left) {
        (true, _) => Then::CutOff,
        (false, true) => Then::Backup,
        (false, false) => Then::Line,
    }
}

impl Failure {
    /// What kind of failure an error is.
    pub fn of(error: &ModelError) -> Failure {
        match error {
            ModelError::Connect { .. } => Failure::Connection,
            ModelError::Dns { .. } => Failure::Dns,
            ModelError::Broken { .. } => Failure::Broken,
            ModelError::Timeout { phase: Phase::Connect } => Failure::ConnectTimeout,
            ModelError::Timeout { phase: Phase::FirstToken } => Failure::FirstTokenTimeout,
            ModelError::Timeout { phase: Phase::Stall } => Failure::Stall,
            ModelError::Status { code: 500..=599, .. } => Failure::ServerError,
            ModelError::Status { code: 429, .. } => Failure::RateLimit,
            ModelError::Status { code: 400 | 404, said, .. } if model_is_gone(said) => Failure::ModelGone,
            ModelError::Status { .. } => Failure::OtherStatus,
            ModelError::InStream { .. } => Failure::InStream,
            ModelError::Malformed { .. } => Failure::Malformed,
            ModelError::TooLong { .. } => Failure::TooLong,
            ModelError::Unsendable { .. } => Failure::Unsendable,
        }
    }

    /// Its stable name.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Whether the backup is asked where nothing was shown yet; and whether it is the model's fault, so that its breaker counts it.
    pub fn fails_over(self) -> bool {
        self.row().2
    }

    fn row(self) -> (Failure, &'static str, bool) {
        TABLE[self as usize]
    }
}

/// Whether a 400 or 404 says that the model itself is gone, was never there or is not ours to ask: by the vendor's code, by the
/// member of the request that is meant, or by its words. Words count only where they are about a model: an image, a file or a
/// tool may not exist either, and a parameter may be deprecated.
pub fn model_is_gone(said: &Said) -> bool {
    let is_code = |name: &Option<String>| {
        let plain = name.as_deref().unwrap_or_default().to_ascii_lowercase().replace('_', "");
        GONE_CODES.contains(&plain.as_str())
    };
    if is_code(&said.code) || is_code(&said.kind) {
        return true;
    }
    match said.param.as_deref().filter(|param| !param.is_empty()) {
        Some("model") => return true,
        Some(_) => return false,
        None => {}
    }
    let message = without_names(&said.message.to_ascii_lowercase());
    message.split(". ").any(|sentence| {
        let Some(subject) = SUBJECTS.iter().filter_map(|subject| sentence.find(subject)).min() else { return false };
        WHOLE_WORDS.iter().any(|words| sentence.contains(words))
            || GONE_WORDS.iter().any(|words| sentence[subject..].contains(words)) && !is_of_use(sentence)
    })
}

/// Words without what stands in quotation marks or backticks: a model may be called `gpt-image`.
fn without_names(words: &str) -> String {
    let mut open = None;
    let mut before = ' ';
    let mut plain = String::new();
    for c in words.chars() {
        let opens = matches!(c, '`' | '"') || c == '\'' && before == ' ';
        match open {
            Some(mark) if c == mark => open = None,
            Some(_) => {}
            None if opens => open = Some(c),
            None => plain.push(c),
        }
        before = c;
    }
    plain
}

/// Whether a sentence is about how a model is used, and not about whether it is there.
fn is_of_use(sentence: &str) -> bool {
    ["parameter", "tool", "function", "image", "file", "field", "message"].iter().any(|word| sentence.contains(word))
}

/// Codes and types without their underscores, in lower case.
const GONE_CODES: [&str; 8] = [
    "modelnotfound",
    "modeldecommissioned",
    "modeldeprecated",
    "modelnotavailable",
    "modelnotexist",
    "invalidmodel",
    "deploymentnotfound",
    "unknownmodel",
];

/// What must be spoken of.
const SUBJECTS: [&str; 2] = ["model", "deployment"];

/// What is said of it, behind it in the sentence.
const GONE_WORDS: [&str; 11] = [
    "decommissioned",
    "deprecated",
    "does not exist",
    "not exist",
    "has been shut down",
    "was shut down",
    "not found",
    "no longer available",
    "no longer supported",
    "has been retired",
    "end of life",
];

/// What says it by itself.
const WHOLE_WORDS: [&str; 6] =
    ["invalid model", "unknown model", "no such model", "not a valid model", "model is invalid", "unsupported model"];

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, said: Said) -> ModelError {
        ModelError::Status { code, said, retry_after_s: None }
    }

    fn plain(code: u16) -> ModelError {
        status(code, Said { message: "No.".to_owned(), ..Said::default() })
    }

    fn words(message: &str) -> Said {
        Said { message: message.to_owned(), ..Said::default() }
    }

    fn coded(code: &str) -> Said {
        Said { code: Some(code.to_owned()), message: "No.".to_owned(), ..Said::default() }
    }

    fn first(error: &ModelError) -> Then {
        then(Failure::of(error), false, true)
    }

    #[test]
    fn the_table_has_each_failure_at_its_place() {
        for (i, (failure, name, _)) in TABLE.iter().enumerate() {
            assert_eq!(*failure as usize, i);
            assert_eq!(failure.name(), *name);
            assert_eq!(serde_json::to_string(failure).unwrap(), format!("{name:?}"), "one name everywhere");
        }
    }

    #[test]
    fn fail_04_every_server_error_asks_the_backup() {
        for code in 500..=599 {
            assert_eq!(first(&plain(code)), Then::Backup, "{code}");
        }
    }

    #[test]
    fn fail_04_rate_and_quota_ask_the_backup() {
        for code in ["rate_limit_exceeded", "insufficient_quota", "billing_hard_limit_reached", ""] {
            assert_eq!(first(&status(429, coded(code))), Then::Backup, "{code}");
        }
    }

    #[test]
    fn fail_04_connection_failures_ask_the_backup() {
        let why = || "reset by peer".to_owned();
        let failures = [
            (ModelError::Connect { why: why() }, Failure::Connection),
            (ModelError::Dns { why: why() }, Failure::Dns),
            (ModelError::Broken { why: why() }, Failure::Broken),
            (ModelError::Timeout { phase: Phase::Connect }, Failure::ConnectTimeout),
            (ModelError::Timeout { phase: Phase::FirstToken }, Failure::FirstTokenTimeout),
            (ModelError::Timeout { phase: Phase::Stall }, Failure::Stall),
        ];
        for (error, failure) in failures {
            assert_eq!(Failure::of(&error), failure);
            assert_eq!(first(&error), Then::Backup, "{error}");
        }
    }

    #[test]
    fn fail_04_a_model_that_is_gone_asks_the_backup() {
        let gone = [
            words("The model `gpt-4` does not exist or you do not have access to it."),
            words("The model `gpt-image-1` does not exist."),
            words("That model does not exist"),
            words("The model 'llama-3.1-70b-versatile' has been decommissioned and is no longer supported."),
            words("The model `x` has been deprecated, learn more here"),
            words("The model has been shut down."),
            words("deepseek-r1t-chimera:free is not a valid model ID"),
            words("Invalid model: open-mixtral"),
            words("invalid model"),
            words("Model Not Exist"),
            words("model \"llama9\" not found, try pulling it first"),
            words("models/gemini-1.0-pro is not found for API version v1beta"),
            words("The API deployment for this resource does not exist. Try again later."),
            coded("model_not_found"),
            coded("model_decommissioned"),
            coded("DeploymentNotFound"),
            Said { kind: Some("invalid_model".to_owned()), ..words("No.") },
            Said { param: Some("model".to_owned()), ..words("This is not a chat model.") },
        ];
        for said in gone {
            for code in [400, 404] {
                assert_eq!(first(&status(code, said.clone())), Then::Backup, "{code} {said:?}");
            }
            // Exactly these two: of any other status the words mean nothing.
            for code in [401, 403, 409, 410, 422] {
                assert_eq!(first(&status(code, said.clone())), Then::Line, "{code} {said:?}");
            }
        }
    }

    #[test]
    fn fail_05_no_other_status_asks_the_backup() {
        for code in (100..=999).filter(|code| *code != 429 && !(500..=599).contains(code)) {
            assert_eq!(first(&plain(code)), Then::Line, "{code}");
        }
    }

    #[test]
    fn fail_05_words_about_something_else_than_the_model_do_not_ask_the_backup() {
        let param = |param: &str, message: &str| Said { param: Some(param.to_owned()), ..words(message) };
        let other = [
            words("This model's maximum context length is 8192 tokens."),
            words("The model does not support images."),
            words("The tool call_1 does not exist."),
            words("Invalid value for tool_choice: the tool does not exist for this model."),
            words("The parameter `functions` of this model is deprecated."),
            words("File not found."),
            words("Not found"),
            words(""),
            param("max_tokens", "Unsupported for this model: it is deprecated. Use max_completion_tokens."),
            param("messages", "The model does not exist in messages."),
            coded("context_length_exceeded"),
            coded("content_filter"),
            coded("unsupported_parameter"),
        ];
        for said in other {
            for code in [400, 404] {
                assert_eq!(first(&status(code, said.clone())), Then::Line, "{code} {said:?}");
            }
        }
    }

    #[test]
    fn fail_05_what_is_no_answer_does_not_ask_the_backup() {
        let why = || "no choices".to_owned();
        let errors = [
            ModelError::Malformed { why: why() },
            ModelError::TooLong { limit: 9 },
            ModelError::Unsendable { why: why() },
        ];
        for error in errors {
            assert_eq!(first(&error), Then::Line, "{error}");
        }
        assert_eq!(then(Failure::Empty, false, true), Then::Line);
    }

    #[test]
    fn fail_05_the_line_is_to_the_letter() {
        assert_eq!(LINE, "Something went wrong on our side. Please try again.");
    }

    #[test]
    fn fail_06_whatever_fails_once_something_was_shown_cuts_off() {
        for (failure, name, _) in TABLE {
            for backup_left in [true, false] {
                assert_eq!(then(failure, true, backup_left), Then::CutOff, "{name}");
            }
        }
    }

    #[test]
    fn fail_07_without_a_backup_that_is_left_there_is_the_line() {
        for (failure, name, _) in TABLE {
            assert_eq!(then(failure, false, false), Then::Line, "{name}");
        }
    }

    #[test]
    fn beyond_10_an_error_in_the_stream_counts_as_one_of_the_server() {
        for code in ["overloaded_error", "server_error", "invalid_request_error", ""] {
            assert_eq!(first(&ModelError::InStream { said: coded(code) }), Then::Backup, "{code}");
        }
        assert_eq!(then(Failure::InStream, true, true), Then::CutOff);
    }

    #[test]
    fn beyond_11_a_long_retry_after_changes_nothing() {
        for retry_after_s in [None, Some(0), Some(47), Some(86_400)] {
            let error = ModelError::Status { code: 429, said: words("Slow down."), retry_after_s };
            assert_eq!(first(&error), Then::Backup, "{retry_after_s:?}");
        }
    }
}
