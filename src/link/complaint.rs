//! Complaints of the far end, in whatever shape: what they say, how much they weigh, and when to try again.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::lenient::{Text, or_empty, read};
use crate::engine::CommandKind;

/// Characters kept of a vendor's words: what fits a line of the report and of the log.
const WORDS_MAX: usize = 200;
/// The longest wait that is read out of a complaint, in ms: an hour.
const LONGEST_WAIT_MS: u64 = 3_600_000;

/// Codes about quota, key, account and billing: no further session can work until a person has acted.
const FATAL_CODES: [&str; 12] = [
    "insufficient_quota",
    "invalid_api_key",
    "account_deactivated",
    "billing_hard_limit_reached",
    "billing_not_active",
    "organization_deactivated",
    "access_terminated",
    "authentication_error",
    "permission_denied",
    // Of those that write the HTTP status there.
    "401",
    "402",
    "403",
];

/// The same in the words of those that have no codes. A quota per minute is none of these.
const FATAL_WORDS: [&str; 9] = [
    "exceeded your current quota",
    "billing hard limit",
    "insufficient_quota",
    "insufficient balance",
    "insufficient credit",
    "payment required",
    "incorrect api key",
    "invalid api key",
    "account has been deactivated",
];

/// How vendors say of a response that it runs. That one failed while it was generated is none of these.
const RUNS_WORDS: [&str; 12] = [
    "active response",
    "already active",
    "in progress",
    "being generated",
    "already generating",
    "currently generating",
    "still generating",
    "is generating",
    "generation already",
    "already running",
    "is running",
    "currently running",
];

/// The same where the word for what it does is left to be guessed ...
const ALREADY: &str = "response is already";
/// ... but not of one that is over.
const OVER_WORDS: [&str; 4] = ["complete", "finished", "ended", "done"];

/// Trouble of the far end's own, which may be over by the next try.
const PASSING: [&str; 12] = [
    "server_error",
    "internal_error",
    "internal_server_error",
    "session_expired",
    "rate_limit",
    "overloaded",
    "unavailable",
    "timeout",
    "429",
    "500",
    "502",
    "503",
];

/// The same in the words of those that have no codes.
const PASSING_WORDS: [&str; 8] = [
    "rate limit",
    "too many requests",
    "overloaded",
    "temporarily unavailable",
    "service unavailable",
    "internal server error",
    "server had an error",
    "timed out",
];

/// An error as the far end wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Complaint<'a> {
    pub(super) kind: Cow<'a, str>,
    pub(super) code: Cow<'a, str>,
    pub(super) message: Cow<'a, str>,
    pub(super) param: Cow<'a, str>,
    /// The client event that it is about, if it says so.
    pub(super) event_id: Cow<'a, str>,
    wait: Option<u64>,
}

impl<'a> Complaint<'a> {
    /// Reads the value of `error`, or the message of an event that has none: an object, a text, a number, or anything.
    pub(super) fn read(raw: &'a str) -> Self {
        #[derive(Default, Deserialize)]
        struct Body<'a> {
            #[serde(borrow, rename = "type")]
            kind: Option<Text<'a>>,
            #[serde(borrow)]
            code: Option<Text<'a>>,
            #[serde(borrow)]
            status: Option<Text<'a>>,
            #[serde(borrow)]
            message: Option<&'a RawValue>,
            #[serde(borrow)]
            msg: Option<&'a RawValue>,
            #[serde(borrow)]
            detail: Option<&'a RawValue>,
            #[serde(borrow)]
            description: Option<&'a RawValue>,
            #[serde(borrow)]
            reason: Option<&'a RawValue>,
            #[serde(borrow)]
            param: Option<Text<'a>>,
            #[serde(borrow)]
            event_id: Option<Text<'a>>,
            #[serde(borrow)]
            retry_after: Option<Text<'a>>,
            #[serde(borrow)]
            retry_after_ms: Option<Text<'a>>,
            /// Wrapped once more by some gateways.
            #[serde(borrow)]
            error: Option<&'a RawValue>,
        }
        let Some(body) = Some(raw).filter(|raw| raw.trim_start().starts_with('{')).and_then(read::<Body<'a>>) else {
            // Text, or whatever it is, as it stands.
            let message = read::<Text<'a>>(raw).map(|text| text.0).filter(|text| !text.is_empty());
            return Complaint { message: message.unwrap_or(Cow::Borrowed(raw)), ..Complaint::default() };
        };
        let told = |text: Option<Text<'a>>| or_empty(text);
        let first = |a: Cow<'a, str>, b: Cow<'a, str>| if a.is_empty() { b } else { a };
        let seconds = |text: &Text<'_>| text.0.parse::<f64>().ok().map(|s| (s * 1_000.0) as u64);
        let wait = body.retry_after_ms.as_ref().and_then(|ms| ms.0.parse().ok());
        let wait = wait.or_else(|| body.retry_after.as_ref().and_then(seconds));
        let message = [body.message, body.msg, body.detail, body.description, body.reason]
            .into_iter()
            .fold(Cow::Borrowed(""), |a, b| first(a, words_of(b)));
        let mut complaint = Complaint {
            kind: told(body.kind),
            code: first(told(body.code), told(body.status)),
            message,
            param: told(body.param),
            event_id: told(body.event_id),
            wait,
        };
        if let Some(inner) = body.error
            && inner.get() != "null"
        {
            let inner = Complaint::read_inner(inner.get());
            complaint.kind = first(inner.kind, complaint.kind);
            complaint.code = first(inner.code, complaint.code);
            complaint.message = first(inner.message, complaint.message);
            complaint.param = first(inner.param, complaint.param);
            complaint.event_id = first(inner.event_id, complaint.event_id);
            complaint.wait = inner.wait.or(complaint.wait);
        }
        if complaint.message.is_empty() && complaint.code.is_empty() && says_more_than_kind(raw) {
            // Wherever its words stand, they are in there.
            complaint.message = Cow::Borrowed(raw);
        }
        complaint
    }

    /// One level deep: what is wrapped more often than that is told as it stands.
    fn read_inner(raw: &'a str) -> Self {
        #[derive(Default, Deserialize)]
        struct Wrapped<'a> {
            #[serde(borrow)]
            error: Option<&'a RawValue>,
        }
        let wrapped: Wrapped<'a> = read(raw).unwrap_or_default();
        match wrapped.error {
            Some(_) => Complaint { message: Cow::Borrowed(raw), ..Complaint::default() },
            None => Complaint::read(raw),
        }
    }

    /// An `error` event: the error stands in a field of that name, or is all that there is.
    pub(super) fn of_event(text: &'a str) -> Self {
        #[derive(Default, Deserialize)]
        struct Event<'a> {
            #[serde(borrow)]
            error: Option<&'a RawValue>,
        }
        let event: Event<'a> = read(text).unwrap_or_default();
        match event.error.filter(|raw| raw.get() != "null") {
            Some(raw) => Complaint::read(raw.get()),
            None => {
                // The event's own type and id are not the error's.
                let own = Complaint::read(text);
                Complaint { kind: Cow::Borrowed(""), event_id: Cow::Borrowed(""), ..own }
            }
        }
    }

    /// What came of a response that failed or was left incomplete, whose details are an object or a text.
    pub(super) fn of_details(raw: &'a str) -> Self {
        // Their type is the response's status.
        Complaint { kind: Cow::Borrowed(""), ..Complaint::read(raw) }
    }

    /// Whether it says anything.
    pub(super) fn is_empty(&self) -> bool {
        self.code.is_empty() && self.message.is_empty()
    }

    /// The command that it is about, by what it says, where it names none.
    pub(super) fn about(&self) -> Option<CommandKind> {
        let message = self.message.to_ascii_lowercase();
        let of_buffer = self.param.starts_with("input_audio_buffer") && !self.param.contains("append");
        let of_commit = self.code() == "input_audio_buffer_commit_empty"
            || message.contains("buffer too small")
            || (message.contains("commit") && message.contains("buffer"));
        if of_buffer || of_commit {
            return Some(CommandKind::CommitAudio);
        }
        if self.code() == "invalid_tool_call_id" {
            return Some(CommandKind::ToolOutput);
        }
        let of_create = self.param.starts_with("response") || message.contains("response.create");
        of_create.then_some(CommandKind::CreateResponse)
    }

    /// The code, or the type where there is no code.
    pub(super) fn code(&self) -> &str {
        if self.code.is_empty() { &self.kind } else { &self.code }
    }

    /// About quota, key, account or billing.
    pub(super) fn is_fatal(&self) -> bool {
        FATAL_CODES.iter().any(|code| *code == self.code || *code == self.kind) || says_fatal(&self.message)
    }

    /// The far end says that another response runs.
    pub(super) fn is_busy(&self) -> bool {
        self.code == "conversation_already_has_active_response" || {
            let message = self.message.to_ascii_lowercase();
            // "no active response found" answers a cancel.
            !message.contains("no active response")
                && !message.contains("cancel")
                && message.contains("response")
                && (RUNS_WORDS.iter().any(|words| message.contains(words))
                    || (message.contains(ALREADY) && !OVER_WORDS.iter().any(|words| message.contains(words))))
        }
    }

    /// Trouble of the far end's own rather than of what it was asked.
    pub(super) fn is_passing(&self) -> bool {
        let named = |name: &str| PASSING.iter().any(|passing| name.contains(passing));
        let message = self.message.to_ascii_lowercase();
        named(&self.code) || named(&self.kind) || PASSING_WORDS.iter().any(|words| message.contains(words))
    }

    /// After how long it says to try again, in ms.
    pub(super) fn retry_after_ms(&self) -> Option<u64> {
        self.wait.or_else(|| wait_in(&self.message)).map(|ms| ms.min(LONGEST_WAIT_MS))
    }

    /// Code and words in one, fit to be kept.
    pub(super) fn words(&self) -> String {
        match (self.code(), &*self.message) {
            ("", message) => fit(message),
            (code, "") => fit(code),
            (code, message) => fit(&format!("{code}: {message}")),
        }
    }
}

/// The text of a field; a list or an object as it stands.
fn words_of(raw: Option<&RawValue>) -> Cow<'_, str> {
    let Some(raw) = raw.map(RawValue::get) else { return Cow::Borrowed("") };
    let text = read::<Text<'_>>(raw).map_or(Cow::Borrowed(""), |text| text.0);
    let empty = matches!(raw, "[]" | "{}");
    if text.is_empty() && !empty && raw.starts_with(['{', '[']) { Cow::Borrowed(raw) } else { text }
}

/// Whether an error object holds anything beside its type and what it is about.
fn says_more_than_kind(raw: &str) -> bool {
    let fields: serde_json::Map<String, serde_json::Value> = read(raw).unwrap_or_default();
    let plain = ["type", "event_id", "param", "code"];
    fields.iter().any(|(name, value)| {
        let empty = value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty);
        !empty && !plain.contains(&name.as_str())
    })
}

/// Whether a text, such as the body of a refusal, is about quota, key, account or billing.
pub(super) fn says_fatal(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let named = FATAL_CODES.iter().filter(|code| !code.starts_with('4')).any(|code| text.contains(code));
    named || FATAL_WORDS.iter().any(|words| text.contains(words))
}

/// Foreign words fit for report and log: on one line, short, and without what looks like a secret.
pub(super) fn fit(text: &str) -> String {
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(4 * WORDS_MAX).collect();
    let mut struck = strike(&one_line);
    if let Some((end, _)) = struck.char_indices().nth(WORDS_MAX) {
        struck.truncate(end);
        struck.push('…');
    }
    struck
}

/// The same for words of at most `max_bytes`.
pub(super) fn fit_to(text: &str, max_bytes: usize) -> String {
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(2 * max_bytes).collect();
    let mut struck = strike(&one_line);
    if struck.len() > max_bytes {
        struck.truncate(struck.floor_char_boundary(max_bytes.saturating_sub('…'.len_utf8())));
        struck.push('…');
    }
    struck
}

/// What stands for a secret.
const STRUCK: &str = "[secret]";

/// Strikes out keys and tokens: by how they begin, by what stands before them, and by what they look like.
fn strike(text: &str) -> String {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "-_.*+/=~".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // The last word, in lower case: what follows "Bearer" is a token.
    let mut before = String::new();
    while let Some(first) = rest.chars().next() {
        if !is_token(first) {
            out.push(first);
            if !matches!(first, ' ' | ':' | '"' | '\'') {
                before.clear();
            }
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let end = rest.find(|c| !is_token(c)).unwrap_or(rest.len());
        let word = &rest[..end];
        let body = word.trim_end_matches(['.', '/', '=', '-']);
        let (named, value) = word.split_once('=').unwrap_or(("", ""));
        if names_secret(named) && value.len() > 3 {
            out.push_str(named);
            out.push('=');
            out.push_str(STRUCK);
        } else if is_secret(body)
            || (names_secret(&before) && body.len() >= 8 && body.chars().any(|c| c.is_ascii_digit() || c == '*'))
        {
            out.push_str(STRUCK);
            out.push_str(&word[body.len()..]);
        } else {
            out.push_str(word);
        }
        before = body.to_ascii_lowercase();
        rest = &rest[end..];
    }
    out
}

/// Whether what follows this word, or is set equal to it, is a secret.
fn names_secret(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    ["bearer", "token", "key", "secret", "password", "authorization", "basic", "signature"]
        .iter()
        .any(|name| word.ends_with(name))
}

/// Whether a word is a key or a token by itself.
fn is_secret(word: &str) -> bool {
    let begins = ["sk-", "ek_", "pk-", "rk-", "key-", "xai-", "gsk_", "AIza", "eyJ", "whsec_"];
    if begins.iter().any(|begin| word.starts_with(begin)) && word.len() > 5 {
        return true;
    }
    // Ids by which the vendor finds a request again are worth keeping.
    let is_id = ["req_", "resp_", "item_", "event_", "sess_", "call_", "conv_", "org-", "proj_", "http"];
    let mixed = word.chars().any(|c| c.is_ascii_digit()) && word.chars().any(|c| c.is_ascii_alphabetic());
    word.len() >= 32 && mixed && !is_id.iter().any(|begin| word.starts_with(begin))
}

/// "… try again in 1m3.2s": how long that is, in ms.
fn wait_in(message: &str) -> Option<u64> {
    let message = message.to_ascii_lowercase();
    let after = ["try again in ", "try again after ", "retry after ", "retry in ", "retry again in "];
    let from = after.iter().find_map(|words| message.find(words).map(|at| at + words.len()))?;
    let mut rest = message[from..].trim_start();
    let mut total_ms = 0.0;
    let mut any = false;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        // A full stop at the sentence's end is none of the number's.
        let Ok(number) = rest[..digits].trim_end_matches('.').parse::<f64>() else { break };
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit_ms = match &rest[..letters] {
            "ms" | "msec" | "millisecond" | "milliseconds" => 1.0,
            "s" | "sec" | "secs" | "second" | "seconds" | "" => 1_000.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60_000.0,
            "h" | "hour" | "hours" => 3_600_000.0,
            _ => break,
        };
        total_ms += number * unit_ms;
        any = true;
        rest = &rest[letters..];
        rest = rest.trim_start().strip_prefix("and ").unwrap_or(rest);
    }
    any.then_some(total_ms as u64)
}

/// The error in the body of an HTTP answer: JSON of any shape, or its first words.
pub(super) fn of_body(body: &str) -> Complaint<'_> {
    let body = body.trim();
    if !body.starts_with(['{', '"']) {
        // A page is for people with a browser.
        let words = if body.starts_with('<') { "" } else { body };
        return Complaint { message: Cow::Borrowed(words), ..Complaint::default() };
    }
    #[derive(Default, Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }
    let read_body: Body<'_> = read(body).unwrap_or_default();
    match read_body.error {
        Some(raw) => Complaint::read(raw.get()),
        None => Complaint::read(body),
    }
}
