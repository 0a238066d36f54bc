//! OpenAI's chat completions, and those of all who copy them: requests out, streams of events in.
//!
//! Nothing here knows a socket. [`body`] writes a request as its vendor takes it; a [`Reader`] is fed the bytes of an
//! answer, cut anywhere, and tells what the model says; [`refused`] reads an answer that is none.
//!
//! What is taken from the API, and what compatible servers do otherwise:
//!
//! - A chunk without choices may bring the usage, or an error that a status can no longer tell: that is an error, and none of
//!   the answer's words. So is an event that is half of one: what was in it cannot be told.
//! - What an answer ends by: `[DONE]`, or its `finish_reason` and then the end of the stream. Without either it broke.
//! - Servers leave out the numbers of tool calls, or give all the same, or no ids, or write arguments as JSON instead of as
//!   text. Here each call has its number and its id (`calls.rs`).
//! - Thinking aloud (`reasoning`, `reasoning_content`) is a sign of life and no word of the answer.
//! - Comments and events of other shapes keep a connection open, and say nothing.
//! - Every field is read whatever it is written as, and one that is not used is not looked at.

mod calls;
mod embeddings;
mod reader;
mod refusal;
mod request;
mod sse;

pub use embeddings::Embeddings;
pub use reader::Reader;
pub use refusal::{Told, refused};
pub use request::{body, headers, max_tokens, url};

/// How much may come, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of one event.
    pub event_bytes: usize,
    /// Of the answer's text, and as many of its calls.
    pub answer_bytes: usize,
    /// Of all that is read.
    pub stream_bytes: usize,
}

impl Limits {
    /// For an answer of so many bytes, in events as vendors write them: some 300 bytes around each token.
    pub fn of_answer(answer_bytes: usize) -> Limits {
        Limits { event_bytes: 256 << 10, answer_bytes, stream_bytes: answer_bytes.saturating_mul(256).max(8 << 20) }
    }
}

#[cfg(test)]
mod tests;
