//! One answer as a stream of events.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

use crate::base::audio::AudioFormat;

use super::clips::Speech;
use super::conversation::Conversation;
use super::outbox::{ApiError, Outbox, Output};
use super::script::TurnFault;
use super::settings::Settings;

/// What a response is made of.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Speech(Speech),
    Call { name: String, arguments: String },
}

/// A response under way.
///
/// ```text
/// created ──think──► [part: item added ─► deltas, paced ─► dones]* ──► response.done
///                      any moment: end() ─► the open part's dones ─► response.done
/// ```
#[derive(Debug)]
pub(super) struct Response {
    pub(super) id: String,
    /// Whether it writes to the conversation (`conversation: "auto"`).
    pub(super) in_conversation: bool,
    /// When its next step is due.
    pub(super) due: Duration,
    head: Value,
    conversation_id: Option<String>,
    format: AudioFormat,
    speaks: bool,
    parts: VecDeque<Part>,
    open: Option<Open>,
    output: Vec<Value>,
    fault: TurnFault,
    pace: Pace,
    audio_ms: u64,
    chars: u64,
    input: InputTokens,
}

/// How fast audio goes out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) times: f64,
    pub(super) delta_ms: u64,
}

/// What a response cost on its way in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InputTokens {
    pub(super) text: u64,
    pub(super) audio: u64,
    pub(super) cached: u64,
}

/// What starts a response.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) parts: VecDeque<Part>,
    pub(super) fault: TurnFault,
    pub(super) pace: Pace,
    pub(super) start: Duration,
    pub(super) in_conversation: bool,
    pub(super) metadata: Value,
    pub(super) input: InputTokens,
}

/// The spoken item being sent.
#[derive(Debug)]
struct Open {
    item: String,
    speech: Speech,
    /// Bytes of audio sent.
    sent: usize,
    /// Bytes of text sent.
    written: usize,
}

/// Where a response stands after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Going,
    Done,
    Dropped,
}

/// Why a response ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Completed,
    /// `turn_detected` or `client_cancelled`.
    Cancelled(&'static str),
    Failed(String),
}

impl Response {
    /// Announces a response.
    pub(super) fn new(plan: Plan, settings: &Settings, conversation_id: &str, out: &mut Outbox) -> Self {
        let id = out.id("resp");
        let session = settings.value();
        let output = &session["audio"]["output"];
        let head = json!({
            "object": "realtime.response", "id": id,
            "output_modalities": session["output_modalities"], "max_output_tokens": session["max_output_tokens"],
            "audio": { "output": { "format": output["format"], "voice": output["voice"] } },
            "metadata": plan.metadata
        });
        let response = Response {
            id,
            in_conversation: plan.in_conversation,
            due: plan.start,
            head,
            conversation_id: plan.in_conversation.then(|| conversation_id.to_owned()),
            format: settings.output_format(),
            speaks: settings.speaks(),
            parts: plan.parts,
            open: None,
            output: Vec::new(),
            fault: plan.fault,
            pace: plan.pace,
            audio_ms: 0,
            chars: 0,
            input: plan.input,
        };
        out.event("response.created", json!({ "response": response.object("in_progress", Value::Null, Value::Null) }));
        response
    }

    /// Whether any audio of it went out.
    pub(super) fn audible(&self) -> bool {
        self.audio_ms > 0
    }

    /// The next step, which is due.
    pub(super) fn step(&mut self, now: Duration, conversation: &mut Conversation, out: &mut Outbox) -> Progress {
        // Who is late does not hurry afterwards.
        self.due = self.due.max(now);
        if std::mem::take(&mut self.fault.malformed) {
            out.malformed();
        }
        if let Some(code) = self.fault.error.take() {
            let kind = if code.contains("quota") { "insufficient_quota" } else { "server_error" };
            let text = json!({ "error": { "type": kind, "code": code, "message": "An error on purpose.", "param": null, "event_id": null } });
            out.event("error", text);
        }
        if let Some(code) = self.fault.fail.take() {
            self.end(&Ending::Failed(code), conversation, out);
            return Progress::Done;
        }
        if self.open.is_some() {
            return self.delta(conversation, out);
        }
        match self.parts.pop_front() {
            None => {
                self.end(&Ending::Completed, conversation, out);
                Progress::Done
            }
            Some(Part::Speech(speech)) => {
                self.begin_speech(speech, conversation, out);
                self.delta(conversation, out)
            }
            Some(Part::Call { name, arguments }) => {
                self.call(&name, &arguments, conversation, out);
                Progress::Going
            }
        }
    }

    /// Ends the response, with every `done` of what is open.
    pub(super) fn end(&mut self, ending: &Ending, conversation: &mut Conversation, out: &mut Outbox) {
        self.end_speech("incomplete", conversation, out);
        let (status, details) = match ending {
            Ending::Completed => ("completed", Value::Null),
            Ending::Cancelled(reason) => ("cancelled", json!({ "type": "cancelled", "reason": reason })),
            Ending::Failed(code) => {
                let error = json!({ "type": "server_error", "code": code, "message": "A failure on purpose." });
                ("failed", json!({ "type": "failed", "error": error }))
            }
        };
        out.event("response.done", json!({ "response": self.object(status, details, self.usage()) }));
        let left = 1_000_000u64.saturating_sub(self.input.text + self.input.audio);
        out.event(
            "rate_limits.updated",
            json!({ "rate_limits": [
                { "name": "requests", "limit": 1000, "remaining": 999, "reset_seconds": 60.0 },
                { "name": "tokens", "limit": 1_000_000, "remaining": left, "reset_seconds": 60.0 }
            ] }),
        );
    }

    fn begin_speech(&mut self, speech: Speech, conversation: &mut Conversation, out: &mut Outbox) {
        let item = out.id("item");
        let value = json!({ "id": item, "object": "realtime.item", "type": "message", "status": "in_progress",
            "role": "assistant", "content": [] });
        self.item("response.output_item.added", &value, out);
        if self.in_conversation {
            conversation.begin(value, out);
        }
        let part = if self.speaks {
            json!({ "type": "audio", "transcript": "" })
        } else {
            json!({ "type": "text", "text": "" })
        };
        self.about("response.content_part.added", &item, json!({ "part": part }), out);
        self.open = Some(Open { item, speech, sent: 0, written: 0 });
    }

    /// A piece of the open item: its words, then its audio.
    fn delta(&mut self, conversation: &mut Conversation, out: &mut Outbox) -> Progress {
        let Some(mut open) = self.open.take() else { return Progress::Going };
        let per_ms = self.format.rate_hz as usize / 1_000 * self.format.bytes_per_sample();
        let end = (open.sent + self.pace.delta_ms as usize * per_ms).min(open.speech.audio.len());
        // Words run as far ahead as the audio has come.
        let share = open.speech.text.len() * end / open.speech.audio.len().max(1);
        let upto = match end == open.speech.audio.len() {
            true => open.speech.text.len(),
            false => word_end(&open.speech.text, share.max(open.written)),
        };
        if upto > open.written {
            let kind =
                if self.speaks { "response.output_audio_transcript.delta" } else { "response.output_text.delta" };
            self.about(kind, &open.item, json!({ "delta": &open.speech.text[open.written..upto] }), out);
            open.written = upto;
        }
        let ms = ((end - open.sent) / per_ms) as u64;
        if self.speaks && end > open.sent {
            out.audio(&self.id, &open.item, self.output.len(), &open.speech.audio[open.sent..end], self.format);
            self.audio_ms += ms;
            conversation.spoke(&open.item, (end / per_ms) as u64);
        }
        open.sent = end;
        let whole = end == open.speech.audio.len();
        self.open = Some(open);
        if self.fault.drop_ms.is_some_and(|limit| self.audio_ms >= limit) {
            out.push(Output::Drop);
            return Progress::Dropped;
        }
        if whole {
            self.end_speech("completed", conversation, out);
        } else {
            self.due += Duration::from_secs_f64(ms as f64 / 1_000.0 / self.pace.times);
        }
        Progress::Going
    }

    fn end_speech(&mut self, status: &str, conversation: &mut Conversation, out: &mut Outbox) {
        let Some(open) = self.open.take() else { return };
        let text = &open.speech.text[..open.written];
        let (part, content) = match self.speaks {
            true => {
                self.about("response.output_audio.done", &open.item, json!({}), out);
                self.about("response.output_audio_transcript.done", &open.item, json!({ "transcript": text }), out);
                (json!({ "type": "audio", "transcript": text }), json!({ "type": "output_audio", "transcript": text }))
            }
            false => {
                self.about("response.output_text.done", &open.item, json!({ "text": text }), out);
                (json!({ "type": "text", "text": text }), json!({ "type": "output_text", "text": text }))
            }
        };
        self.about("response.content_part.done", &open.item, json!({ "part": part }), out);
        self.chars += text.len() as u64;
        let per_ms = self.format.rate_hz as usize / 1_000 * self.format.bytes_per_sample();
        let value = json!({ "id": open.item, "object": "realtime.item", "type": "message", "status": status,
            "role": "assistant", "content": [content] });
        self.finish_item(value, self.speaks.then_some((open.sent / per_ms) as u64), conversation, out);
    }

    /// A tool call, whole at once: models write arguments far faster than they speak.
    fn call(&mut self, name: &str, arguments: &str, conversation: &mut Conversation, out: &mut Outbox) {
        let (item, call) = (out.id("item"), out.id("call"));
        let value = |status: &str, arguments: &str| {
            json!({ "id": item, "object": "realtime.item", "type": "function_call", "status": status, "name": name,
                "call_id": call, "arguments": arguments })
        };
        self.item("response.output_item.added", &value("in_progress", ""), out);
        if self.in_conversation {
            conversation.begin(value("in_progress", ""), out);
        }
        let event = |field: &str, text: &str| json!({ "response_id": self.id, "item_id": item, "output_index": self.output.len(), "call_id": call, field: text });
        let mut rest = arguments;
        while !rest.is_empty() {
            let (piece, left) = rest.split_at(rest.floor_char_boundary(12).max(rest.ceil_char_boundary(1)));
            out.event("response.function_call_arguments.delta", event("delta", piece));
            rest = left;
        }
        let mut done = event("arguments", arguments);
        done["name"] = json!(name);
        out.event("response.function_call_arguments.done", done);
        self.chars += arguments.len() as u64;
        self.finish_item(value("completed", arguments), None, conversation, out);
    }

    fn finish_item(&mut self, value: Value, spoken_ms: Option<u64>, conversation: &mut Conversation, out: &mut Outbox) {
        self.item("response.output_item.done", &value, out);
        if self.in_conversation {
            conversation.finish(value.clone(), spoken_ms, out);
        }
        self.output.push(value);
    }

    fn item(&self, kind: &str, item: &Value, out: &mut Outbox) {
        out.event(kind, json!({ "response_id": self.id, "output_index": self.output.len(), "item": item }));
    }

    /// An event about the content of an item.
    fn about(&self, kind: &str, item: &str, mut fields: Value, out: &mut Outbox) {
        fields["response_id"] = json!(self.id);
        fields["item_id"] = json!(item);
        fields["output_index"] = json!(self.output.len());
        fields["content_index"] = json!(0);
        out.event(kind, fields);
    }

    fn object(&self, status: &str, details: Value, usage: Value) -> Value {
        let mut object = self.head.clone();
        object["status"] = json!(status);
        object["status_details"] = details;
        object["conversation_id"] = json!(self.conversation_id);
        object["output"] = json!(self.output);
        object["usage"] = usage;
        object
    }

    /// Plausible tokens: audio out one per 50 ms, text one per four letters.
    fn usage(&self) -> Value {
        let (text, audio) = (self.chars.div_ceil(4), self.audio_ms.div_ceil(50));
        let InputTokens { text: text_in, audio: audio_in, cached } = self.input;
        json!({
            "total_tokens": text + audio + text_in + audio_in, "input_tokens": text_in + audio_in,
            "output_tokens": text + audio,
            "input_token_details": { "text_tokens": text_in, "audio_tokens": audio_in, "image_tokens": 0,
                "cached_tokens": cached,
                "cached_tokens_details": { "text_tokens": cached, "audio_tokens": 0, "image_tokens": 0 } },
            "output_token_details": { "text_tokens": text, "audio_tokens": audio }
        })
    }
}

/// The end of the word that `at` is in, with the space behind it.
fn word_end(text: &str, at: usize) -> usize {
    let at = text.ceil_char_boundary(at.min(text.len()));
    text[at..].find(' ').map_or(text.len(), |space| at + space + 1)
}

/// The error of a request that needs a running response.
pub(super) fn not_active() -> ApiError {
    ApiError::new("response_cancel_not_active", "Cancellation failed: no active response found")
}
