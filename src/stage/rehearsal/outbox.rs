//! What a session has to say, in order.

use std::collections::VecDeque;

use serde_json::Value;

use crate::base::audio::AudioFormat;

/// What the socket is to do next.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Output {
    /// Send a text message.
    Text(String),
    /// Send audio: the message up to the audio's base64, and the audio.
    Audio { head: String, audio: Vec<u8>, format: AudioFormat },
    /// Close with this code and reason.
    Close(u16, &'static str),
    /// Cut the connection without a word.
    Drop,
}

/// The message of [`Output::Audio`], whole.
pub(super) fn audio_message(mut head: String, audio: &[u8]) -> String {
    base64_simd::STANDARD.encode_append(audio, &mut head);
    head.push_str("\"}");
    head
}

/// A request that the API refuses; the session goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) param: Option<String>,
}

impl ApiError {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        ApiError { code, message: message.into(), param: None }
    }

    pub(super) fn of(code: &'static str, param: impl Into<String>, message: impl Into<String>) -> Self {
        ApiError { code, message: message.into(), param: Some(param.into()) }
    }

    pub(super) fn missing(param: &str) -> Self {
        ApiError::of("missing_required_parameter", param, format!("Missing required parameter: '{param}'."))
    }

    pub(super) fn unknown(param: &str) -> Self {
        ApiError::of("unknown_parameter", param, format!("Unknown parameter: '{param}'."))
    }

    pub(super) fn invalid(param: &str, allowed: &str) -> Self {
        ApiError::of("invalid_value", param, format!("Invalid value for '{param}': {allowed}."))
    }
}

/// Messages waiting for the socket, and the ids that name things.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: VecDeque<Output>,
    session: u64,
    ids: u64,
}

impl Outbox {
    /// Ids carry the session's number, so that those of two sessions never meet.
    pub(super) fn new(session: u64) -> Self {
        Outbox { queue: VecDeque::new(), session, ids: 0 }
    }

    pub(super) fn id(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}_{:04x}{:06x}", self.session, self.ids)
    }

    /// A server event. `type` and `event_id` come first, as the API writes them.
    pub(super) fn event(&mut self, kind: &str, fields: Value) {
        let event_id = self.id("event");
        let fields = fields.to_string();
        let rest = fields.strip_prefix('{').unwrap_or("}");
        let comma = if rest == "}" { "" } else { "," };
        self.text(format!(r#"{{"type":"{kind}","event_id":"{event_id}"{comma}{rest}"#));
    }

    /// An `error` event about the client event `about`.
    pub(super) fn error(&mut self, error: &ApiError, about: Option<&str>) {
        self.error_of("invalid_request_error", error, about);
    }

    pub(super) fn error_of(&mut self, kind: &str, error: &ApiError, about: Option<&str>) {
        self.event(
            "error",
            serde_json::json!({ "error": {
                "type": kind, "code": error.code, "message": error.message, "param": error.param, "event_id": about
            } }),
        );
    }

    /// A delta of audio; its path is short because it is the frequent one.
    pub(super) fn audio(&mut self, response: &str, item: &str, output_index: usize, audio: &[u8], format: AudioFormat) {
        let event_id = self.id("event");
        let head = format!(
            r#"{{"type":"response.output_audio.delta","event_id":"{event_id}","response_id":"{response}","item_id":"{item}","output_index":{output_index},"content_index":0,"delta":""#
        );
        self.queue.push_back(Output::Audio { head, audio: audio.to_vec(), format });
    }

    pub(super) fn text(&mut self, text: String) {
        self.queue.push_back(Output::Text(text));
    }

    pub(super) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    /// Nonsense of every kind that a client must survive.
    pub(super) fn malformed(&mut self) {
        self.text("this is not JSON".to_owned());
        self.text(r#"{"type":"response.output_audio.delta","event_id":"event_x","delta":"AAAA"#.to_owned());
        self.text(r#"{"type":"response.output_audio.delta","event_id":"event_x","response_id":"r","item_id":"i","output_index":0,"content_index":0,"delta":"not base64!"}"#.to_owned());
        self.text(r#"{"type":"response.surprise.delta","event_id":"event_x","delta":{"a":[1,2]}}"#.to_owned());
        self.text("[]".to_owned());
        self.text(format!(r#"{{"type":"huge.event","event_id":"event_x","padding":"{}"}}"#, "x".repeat(2 << 20)));
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
