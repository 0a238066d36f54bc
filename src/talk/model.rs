//! What is asked of a text model, and what it answers, by whichever vendor: the types between a conversation and whoever
//! turns them into bytes.
//!
//! One [`Ask`] is one request. Its answer is a row of [`ModelEvent`]s that ends with [`ModelEvent::Done`] or with one
//! [`ModelError`], and nothing comes after either. Closing the connection cancels a request; nothing is answered then.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// All that the model is to know, oldest first.
    pub messages: Vec<Message>,
    /// What it may call; empty: nothing.
    pub tools: Arc<[ToolSpec]>,
    /// Whether it may call any of them this time. They are sent all the same: calls among the messages refer to them.
    pub may_call: bool,
    /// How it is to answer.
    pub options: Options,
}

/// One message, as it is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// From the operator: instructions, policy, who has the conversation. Role `developer` or `system`, as the vendor knows it.
    System(Arc<str>),
    /// From the visitor.
    User(Arc<str>),
    /// From the model itself, or from a person in its place.
    Assistant {
        /// Empty: nothing but calls.
        text: Arc<str>,
        /// Each is answered by one [`Message::Tool`] before the next message of another kind.
        calls: Vec<ToolCall>,
    },
    /// What a call came to.
    Tool {
        /// The call's [`id`](ToolCall::id).
        call: Arc<str>,
        /// In words or JSON.
        output: Arc<str>,
    },
}

/// A call of a tool by the model, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// The vendor's id; never empty.
    pub id: Arc<str>,
    /// As the model wrote it: maybe no tool's name.
    pub name: Arc<str>,
    /// As the model wrote them: maybe no JSON.
    pub arguments: Arc<str>,
}

/// A tool, as the model is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    /// Letters, digits, `_` and `-`, at most 64.
    pub name: Arc<str>,
    /// What it does and when to use it.
    pub description: Arc<str>,
    /// JSON Schema of its arguments, an object.
    pub parameters: Arc<Value>,
}

/// How a model is to answer, and how long it may take.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Tokens of the answer, at least 1; `None`: the vendor's limit.
    pub max_output_tokens: Option<u32>,
    /// 0–2; `None`: the vendor's, and nothing is sent.
    pub temperature: Option<f32>,
    /// Names the visitor to the vendor without saying who it is: at most 64 letters, digits and `-`. `None`: not sent.
    pub safety_identifier: Option<Arc<str>>,
    /// Milliseconds for name, connection and TLS together; whoever asks keeps them and reports [`Phase::Connect`]. All other
    /// waits are the conversation's own, which cancels the request when they are over.
    pub connect_timeout_ms: u64,
    /// Bytes of text, and as many of arguments, after which whoever asks stops reading and reports [`ModelError::TooLong`].
    pub max_answer_bytes: usize,
}

/// What the model says. Text is a piece of it, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelEvent {
    /// Text for the visitor.
    Delta(String),
    /// The model thinks: it is alive, and what it thinks is shown to nobody.
    Thinking,
    /// A piece of a call. Pieces of one `index` belong together; where a vendor leaves the index out, whoever reads counts.
    ToolCall {
        /// Which call of this answer.
        index: u32,
        /// In its first piece.
        id: Option<String>,
        /// In its first piece.
        name: Option<String>,
        /// To be appended; may be empty.
        arguments: String,
    },
    /// The model has ended; usage may follow.
    Finish(Finish),
    /// What it took. Missing where the vendor does not say.
    Usage(Usage),
    /// The answer is over: `[DONE]`, or the end of a stream that had its [`ModelEvent::Finish`].
    Done,
}

/// Why the model ended. Calls are known by their pieces: some vendors say `stop` beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// It had said all.
    Stop,
    /// It calls tools.
    ToolCalls,
    /// It had no tokens left.
    Length,
    /// The vendor held something back.
    ContentFilter,
    /// Whatever else the vendor says, at most 64 bytes of it.
    Other(String),
}

/// Tokens of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Read, cached ones among them.
    pub input_tokens: u64,
    /// Of those, read before.
    pub cached_tokens: u64,
    /// Written, hidden ones among them.
    pub output_tokens: u64,
}

/// Why there is no answer, or no more of it. Words of vendors are at most [`WORDS_MAX`] bytes; they are for operators, never
/// for visitors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelError {
    /// No connection: refused, reset, unreachable, no TLS.
    Connect {
        /// In the system's words.
        why: String,
    },
    /// The host's name stands for nothing.
    Dns {
        /// In the system's words.
        why: String,
    },
    /// The connection ended before the answer did, without a word: before its head, or in the middle of its stream.
    Broken {
        /// In the system's words.
        why: String,
    },
    /// Too slow.
    Timeout {
        /// What was awaited.
        phase: Phase,
    },
    /// An HTTP status other than 2xx.
    Status {
        /// 100–999.
        code: u16,
        /// What the body says.
        said: Said,
        /// Seconds of `Retry-After` (or of `retry-after-ms`, rounded up), where there is one.
        retry_after_s: Option<u64>,
    },
    /// An error in a stream that began with 200.
    InStream {
        /// What it says.
        said: Said,
    },
    /// An answer with a status of success that is no chat completion.
    Malformed {
        /// What is wrong with it.
        why: String,
    },
    /// An answer, or a line of it, without an end.
    TooLong {
        /// The bound it passed, in bytes.
        limit: usize,
    },
    /// Nothing was sent: the request cannot be made, or its address is not one that may be asked.
    Unsendable {
        /// Why.
        why: String,
    },
}

/// What a wait was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The connection.
    Connect,
    /// The first token.
    FirstToken,
    /// The next token, or the whole answer.
    Stall,
}

/// An error in a vendor's words: the members of `error`, any of which may be missing. What is no string is as in JSON:
/// `"code": 400` is `400`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// `code`.
    pub code: Option<String>,
    /// `type`.
    pub kind: Option<String>,
    /// `param`: the member of the request that is meant.
    pub param: Option<String>,
    /// `message`; or `error` or `detail` where they are text; or the body's beginning.
    pub message: String,
}

/// Names of errors about keys.
const OF_KEYS: [&str; 5] = ["invalid_api_key", "authentication_error", "permission_error", "401", "403"];

/// Bytes kept of a vendor's words, each.
pub const WORDS_MAX: usize = 500;

impl Finish {
    /// As the vendors write it.
    pub fn read(reason: &str) -> Finish {
        match reason {
            "stop" => Finish::Stop,
            "tool_calls" | "function_call" => Finish::ToolCalls,
            "length" => Finish::Length,
            "content_filter" => Finish::ContentFilter,
            other => Finish::Other(other[..other.floor_char_boundary(64)].to_owned()),
        }
    }
}

impl Phase {
    /// A short stable name.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Connect => "connect",
            Phase::FirstToken => "first_token",
            Phase::Stall => "stall",
        }
    }
}

impl fmt::Display for ModelError {
    /// For operators, on one line. Of 401 and 403 only the code is told: vendors put parts of the key into their words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModelError::Connect { why } => write!(f, "no connection: {why}"),
            ModelError::Dns { why } => write!(f, "no such host: {why}"),
            ModelError::Broken { why } => write!(f, "the connection broke: {why}"),
            ModelError::Timeout { phase: Phase::Connect } => f.write_str("no connection in time"),
            ModelError::Timeout { phase: Phase::FirstToken } => f.write_str("no first token in time"),
            ModelError::Timeout { phase: Phase::Stall } => f.write_str("no further token in time"),
            ModelError::Status { code, said, .. } if matches!(code, 401 | 403) => {
                write!(f, "HTTP {code}: {}", said.name().unwrap_or("no code"))
            }
            ModelError::Status { code, said, .. } => write!(f, "HTTP {code}: {said}"),
            ModelError::InStream { said } => write!(f, "an error in the stream: {said}"),
            ModelError::Malformed { why } => write!(f, "no chat completion: {why}"),
            ModelError::TooLong { limit } => write!(f, "longer than {limit} bytes"),
            ModelError::Unsendable { why } => write!(f, "cannot be asked: {why}"),
        }
    }
}

impl std::error::Error for ModelError {}

impl Said {
    /// The code, or the type where there is none.
    pub fn name(&self) -> Option<&str> {
        self.code.as_deref().or(self.kind.as_deref()).filter(|name| !name.is_empty())
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As of a status of 401 or 403: no words where there may be a key in them.
        let of_keys = self.name().is_some_and(|name| OF_KEYS.contains(&name));
        let words: Vec<&str> = self.message.split_whitespace().filter(|_| !of_keys).collect();
        match (self.name(), words.as_slice()) {
            (Some(name), []) => f.write_str(name),
            (Some(name), words) => write!(f, "{name}: {}", words.join(" ")),
            (None, []) => f.write_str("no words"),
            (None, words) => f.write_str(&words.join(" ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_on_one_line_and_without_keys() {
        let said = |code: &str, message: &str| Said {
            code: (!code.is_empty()).then(|| code.to_owned()),
            message: message.to_owned(),
            ..Said::default()
        };
        let status = |code, said| ModelError::Status { code, said, retry_after_s: None }.to_string();
        assert_eq!(status(500, said("overloaded", "Try\n  later.")), "HTTP 500: overloaded: Try later.");
        assert_eq!(status(500, said("", "Oops")), "HTTP 500: Oops");
        assert_eq!(status(500, said("", "")), "HTTP 500: no words");
        assert_eq!(status(401, said("invalid_api_key", "Incorrect key sk-12ab.")), "HTTP 401: invalid_api_key");
        assert_eq!(status(403, said("", "Key sk-12ab may not.")), "HTTP 403: no code");
        let in_stream = ModelError::InStream { said: said("invalid_api_key", "Incorrect key sk-12ab.") };
        assert_eq!(in_stream.to_string(), "an error in the stream: invalid_api_key");
        let kind = Said { kind: Some("requests".to_owned()), ..said("", "Slow down.") };
        assert_eq!(kind.to_string(), "requests: Slow down.");
    }

    #[test]
    fn reasons_are_read_as_vendors_write_them() {
        assert_eq!(Finish::read("function_call"), Finish::ToolCalls);
        assert_eq!(Finish::read(&"é".repeat(50)), Finish::Other("é".repeat(32)));
    }
}
