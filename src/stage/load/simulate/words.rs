//! What a model says, and the words for it.

use std::fmt::Write as _;

use super::check::{SILENCE, Watch};
use crate::engine::{CommandKind, ModelEvent, ResponseStatus, Usage};

/// Something the model says, by number: the names are made of these.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Say {
    Ready,
    Closed {
        reason: &'static str,
        retry: bool,
    },
    SpeechStarted {
        item: u32,
        ms: u64,
    },
    SpeechStopped {
        item: u32,
        ms: u64,
    },
    Committed {
        item: u32,
    },
    CallerWords {
        item: u32,
        words: u64,
    },
    Started {
        response: u32,
    },
    Audio {
        response: u32,
        item: u32,
        bytes: u64,
        /// None of it can be heard.
        silent: bool,
    },
    Words {
        response: u32,
        item: u32,
        words: u64,
        done: bool,
    },
    Tool {
        response: u32,
        name: &'static str,
    },
    Done {
        response: u32,
        status: ResponseStatus,
        retry_after_ms: Option<u64>,
    },
    Error {
        code: &'static str,
        about: Option<CommandKind>,
        number: Option<u32>,
        fatal: bool,
        busy: bool,
    },
    Garbage,
    /// Begins a response that nobody asked for; nothing is said by that.
    Unasked,
    /// The caller is heard, or not any more; what is said of it follows from what was appended by then.
    Hears(bool),
}

/// Room for what is said, used again.
#[derive(Debug, Default)]
pub(super) struct Names {
    response: String,
    item: String,
    audio: Vec<u8>,
}

impl Names {
    /// What is said, in the model's words.
    pub(super) fn event(&mut self, say: Say) -> Option<ModelEvent<'_>> {
        let Names { response: of, item: named, audio } = self;
        let mut name = |to: &'static str, number: u32| {
            let text = if to == "resp_" { &mut *of } else { &mut *named };
            text.clear();
            // Writing to a String cannot fail.
            let _ = write!(text, "{to}{number}");
        };
        match say {
            Say::Started { response } | Say::Done { response, .. } | Say::Tool { response, .. } => {
                name("resp_", response)
            }
            Say::Audio { response, item, .. } | Say::Words { response, item, .. } => {
                name("resp_", response);
                name("item_", item);
            }
            Say::SpeechStarted { item, .. }
            | Say::SpeechStopped { item, .. }
            | Say::Committed { item }
            | Say::CallerWords { item, .. } => name("item_", item),
            _ => {}
        }
        let (response, named) = (of.as_str().into(), named.as_str().into());
        Some(match say {
            Say::Ready => ModelEvent::Ready { session: "sess".into(), turns: None },
            Say::Closed { reason, retry } => ModelEvent::Closed { reason: reason.into(), retry },
            Say::SpeechStarted { ms, .. } => ModelEvent::SpeechStarted { item: named, audio_start_ms: ms },
            Say::SpeechStopped { ms, .. } => ModelEvent::SpeechStopped { item: named, audio_end_ms: ms },
            Say::Committed { .. } => ModelEvent::Committed { item: named },
            Say::CallerWords { item, words } => {
                // They tell in which turn they were said.
                let text = format!("{} {}", Watch::words_of(item), said(words));
                ModelEvent::CallerTranscript { item: named, text: text.into(), done: true }
            }
            Say::Started { .. } => ModelEvent::ResponseStarted { response },
            Say::Audio { item, bytes, silent, .. } => {
                audio.clear();
                audio.resize(bytes as usize, if silent { SILENCE } else { Watch::byte_of(item) });
                ModelEvent::Audio { response, item: named, payload: audio }
            }
            Say::Words { words, done, .. } => {
                ModelEvent::AgentTranscript { response, item: named, text: said(words).into(), done }
            }
            Say::Tool { name, .. } => {
                let arguments =
                    if name == "note" { r#"{"text":"noted"}"# } else { r#"{"reason":"all is said"}"# }.into();
                ModelEvent::ToolCall { response, call: "call_1".into(), name: name.into(), arguments }
            }
            Say::Done { status, retry_after_ms, .. } => {
                let usage = Usage { input_tokens: 10, output_tokens: 20, ..Usage::default() };
                ModelEvent::ResponseDone { response, status, detail: None, usage, fatal: false, retry_after_ms }
            }
            Say::Error { code, about, number, fatal, busy } => ModelEvent::Error {
                code: code.into(),
                message: "it said so".into(),
                about,
                number,
                fatal,
                busy,
                passing: code == "server_error",
                retry_after_ms: None,
            },
            Say::Garbage => ModelEvent::Garbage,
            Say::Unasked | Say::Hears(_) => return None,
        })
    }
}

/// So many words.
fn said(words: u64) -> &'static str {
    const WORDS: &str =
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen";
    let end = WORDS.match_indices(' ').nth(words.max(1) as usize - 1).map_or(WORDS.len(), |(at, _)| at);
    &WORDS[..end]
}
