//! One connection as a state machine: client events and time in, server events out.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::clips::Clips;
use super::conversation::Conversation;
use super::outbox::{ApiError, Outbox, Output};
use super::response::{Ending, InputTokens, Pace, Part, Plan, Progress, Response, not_active};
use super::script::{Line, Script, TurnFault};
use super::settings::{Detection, Settings};
use super::vad::{Found, Vad};

/// One session. Contract of its loop: handle, drain with [`poll`](Self::poll), wait until [`due`](Self::due).
///
/// Times are durations since any fixed moment and never run backwards.
#[derive(Debug)]
pub(super) struct Session {
    shared: Arc<Shared>,
    out: Outbox,
    settings: Settings,
    conversation: Conversation,
    conversation_id: String,
    vad: Vad,
    /// What the settings say about turns.
    detection: Option<Detection>,
    /// Decoded audio, used again for every message.
    audio: Vec<u8>,
    /// Where the audio begins that was not committed or cleared yet.
    buffer_from_ms: u64,
    /// The user item that the speech at hand will become.
    speech_item: Option<String>,
    responses: Vec<Response>,
    /// Transcription events to come.
    transcripts: VecDeque<(Duration, &'static str, Value)>,
    /// The script's turn whose tools were called, until its answer is asked for.
    then: Option<usize>,
    /// Audio committed so far.
    committed_ms: u64,
    /// Input tokens of the response before, which the next finds cached.
    cached: u64,
    /// When the session expires; one that was never greeted does not.
    limit: Option<Duration>,
    /// Audio bytes appended since last asked.
    appended_bytes: usize,
    closed: bool,
}

/// What all connections to one server have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) script: Script,
    pub(super) clips: Clips,
    /// How often each turn's fault has happened, by its place among the turns (0: the greeting).
    faults: Mutex<Vec<u32>>,
}

/// The frequent client event.
const APPEND: &str = "input_audio_buffer.append";
/// How clients write it.
const APPEND_HEAD: &str = r#"{"type":"input_audio_buffer.append""#;

#[derive(Deserialize)]
struct Append<'a> {
    #[serde(borrow)]
    audio: Cow<'a, str>,
    event_id: Option<String>,
}

/// As long as the real thing's.
const SESSION_LIMIT: Duration = Duration::from_secs(3_600);
/// Less is refused as empty.
const MIN_COMMIT_MS: u64 = 100;
/// Responses beside the conversation at a time.
const MAX_RESPONSES: usize = 8;

impl Shared {
    pub(super) fn new(script: Script, clips: Clips) -> Self {
        let faults = Mutex::new(vec![0; script.turns.len() + 2]);
        Shared { script, clips, faults }
    }

    /// How long a session lasts.
    pub(super) fn limit(&self) -> Duration {
        self.script.faults.session_limit_s.map_or(SESSION_LIMIT, Duration::from_secs_f64)
    }

    /// The fault of a turn, if it is to happen this time.
    fn fault(&self, place: usize, fault: &TurnFault) -> TurnFault {
        let mut counts = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = counts.get_mut(place) else { return TurnFault::default() };
        if fault.times.is_some_and(|times| *count >= times) || *fault == TurnFault::default() {
            return TurnFault::default();
        }
        *count += 1;
        fault.clone()
    }
}

impl Session {
    /// A session that greets at once. `number` is in its ids; `expires_at` is for its clients (Unix seconds).
    pub(super) fn new(now: Duration, shared: Arc<Shared>, number: u64, model: &str, expires_at: u64) -> Self {
        let mut out = Outbox::new(number);
        let settings = Settings::new(&out.id("sess"), model, expires_at);
        let conversation_id = out.id("conv");
        let faults = &shared.script.faults;
        let limit = (!faults.stall).then(|| now + shared.limit());
        if !faults.stall {
            out.event("session.created", json!({ "session": settings.value() }));
            out.event(
                "conversation.created",
                json!({ "conversation": { "id": conversation_id, "object": "realtime.conversation" } }),
            );
            if faults.malformed {
                out.malformed();
            }
        }
        Session {
            vad: Vad::new(settings.input_format()),
            detection: settings.detection(),
            audio: Vec::new(),
            shared,
            out,
            settings,
            conversation: Conversation::default(),
            conversation_id,
            buffer_from_ms: 0,
            speech_item: None,
            responses: Vec::new(),
            transcripts: VecDeque::new(),
            then: None,
            committed_ms: 0,
            cached: 0,
            limit,
            appended_bytes: 0,
            closed: false,
        }
    }

    /// Takes in a text message. Answers the client event's type, for the log of what was received.
    pub(super) fn handle(&mut self, now: Duration, text: &str) -> Cow<'static, str> {
        // Audio has a short path: beside the server under test this one should cost little.
        if text.starts_with(APPEND_HEAD)
            && !self.is_mute()
            && let Ok(append) = serde_json::from_str::<Append<'_>>(text)
        {
            if let Err(error) = self.append(now, &append.audio) {
                self.refuse(&error, append.event_id.as_deref());
            }
            return Cow::Borrowed(APPEND);
        }
        let event: Value = match serde_json::from_str(text) {
            Ok(event @ Value::Object(_)) => event,
            _ => {
                self.refuse(&ApiError::new("invalid_event", "The message is not a JSON object."), None);
                return Cow::Borrowed("invalid");
            }
        };
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        if self.is_mute() {
            return Cow::Owned(kind);
        }
        let about = event["event_id"].as_str().map(str::to_owned);
        if let Err(error) = self.client_event(now, &kind, &event) {
            self.refuse(&error, about.as_deref());
        }
        Cow::Owned(kind)
    }

    /// What is to be done now, if anything.
    pub(super) fn poll(&mut self, now: Duration) -> Option<Output> {
        loop {
            if let Some(output) = self.out.pop() {
                self.closed |= matches!(output, Output::Close(..) | Output::Drop);
                return Some(output);
            }
            if self.closed || self.due().is_none_or(|due| due > now) {
                return None;
            }
            self.advance(now);
        }
    }

    /// When [`poll`](Self::poll) will have something; `None`: not before the next client event.
    pub(super) fn due(&self) -> Option<Duration> {
        if self.closed {
            return None;
        }
        if !self.out.is_empty() {
            return Some(Duration::ZERO);
        }
        let responses = self.responses.iter().map(|response| response.due);
        let transcripts = self.transcripts.front().map(|(due, ..)| *due);
        responses.chain(transcripts).chain(self.limit).min()
    }

    /// What the model is told about itself.
    pub(super) fn instructions(&self) -> &str {
        self.settings.instructions()
    }

    /// The audio that the message just handled appended; told once.
    pub(super) fn take_appended(&mut self) -> Option<&[u8]> {
        (std::mem::take(&mut self.appended_bytes) > 0).then_some(&self.audio)
    }

    /// Whether nothing is answered any more, or ever.
    fn is_mute(&self) -> bool {
        self.closed || self.shared.script.faults.stall
    }

    fn advance(&mut self, now: Duration) {
        if self.limit.is_some_and(|limit| limit <= now) {
            self.limit = None;
            self.refuse(&ApiError::new("session_expired", "Your session hit the maximum duration."), None);
            self.out.push(Output::Close(1001, "Your session hit the maximum duration."));
            return;
        }
        if self.transcripts.front().is_some_and(|(due, ..)| *due <= now)
            && let Some((_, kind, fields)) = self.transcripts.pop_front()
        {
            self.out.event(kind, fields);
            return;
        }
        let Some(at) = self.responses.iter().position(|response| response.due <= now) else { return };
        let progress = self.responses[at].step(now, &mut self.conversation, &mut self.out);
        self.settings.voice_locked |= self.responses[at].audible();
        if progress == Progress::Done {
            self.responses.remove(at);
        }
    }

    fn client_event(&mut self, now: Duration, kind: &str, event: &Value) -> Result<(), ApiError> {
        match kind {
            APPEND => self.append(now, event["audio"].as_str().ok_or_else(|| ApiError::missing("audio"))?),
            "input_audio_buffer.commit" => self.commit_by_client(now),
            "input_audio_buffer.clear" => {
                self.vad.restart();
                self.buffer_from_ms = self.vad.appended_ms();
                self.speech_item = None;
                self.out.event("input_audio_buffer.cleared", json!({}));
                Ok(())
            }
            "session.update" => {
                let Some(update) = event.get("session") else { return Err(ApiError::missing("session")) };
                self.settings.update(update)?;
                self.detection = self.settings.detection();
                self.vad.set_format(self.settings.input_format());
                self.out.event("session.updated", json!({ "session": self.settings.value() }));
                Ok(())
            }
            "conversation.item.create" => {
                let before = self.conversation.user_items;
                self.conversation.create(event, &mut self.out)?;
                if self.conversation.user_items > before {
                    self.then = None;
                }
                Ok(())
            }
            "conversation.item.retrieve" => self.conversation.retrieve(event, &mut self.out),
            "conversation.item.delete" => self.conversation.delete(event, &mut self.out),
            "conversation.item.truncate" => self.conversation.truncate(event, &mut self.out),
            "response.create" => self.create_response(now, event.get("response")),
            "response.cancel" => self.cancel(event["response_id"].as_str()),
            "output_audio_buffer.clear" => {
                Err(ApiError::new("invalid_event", "output_audio_buffer.clear is for WebRTC and SIP sessions only."))
            }
            "" => Err(ApiError::missing("type")),
            _ => {
                let message = format!("Invalid event type '{}'.", kind.chars().take(100).collect::<String>());
                Err(ApiError::of("invalid_event", "type", message))
            }
        }
    }

    fn append(&mut self, now: Duration, audio: &str) -> Result<(), ApiError> {
        self.audio.clear();
        base64_simd::STANDARD
            .decode_append(audio.as_bytes(), &mut self.audio)
            .map_err(|_| ApiError::invalid("audio", "base64 is expected"))?;
        self.appended_bytes += self.audio.len();
        let rules = self.detection.map(|detection| detection.rules);
        let mut found = Vec::new();
        self.vad.append(&self.audio, rules, |event| found.push(event));
        for event in found {
            self.found(now, event);
        }
        Ok(())
    }

    fn found(&mut self, now: Duration, found: Found) {
        let Some(detection) = self.detection else { return };
        match found {
            Found::Started { audio_start_ms } => {
                let item = self.out.id("item");
                self.out.event(
                    "input_audio_buffer.speech_started",
                    json!({ "audio_start_ms": audio_start_ms, "item_id": item }),
                );
                self.buffer_from_ms = audio_start_ms;
                self.speech_item = Some(item);
                if detection.interrupt_response {
                    self.end_conversation_response("turn_detected");
                }
            }
            Found::Stopped { audio_end_ms } => {
                let item = self.speech_item.take().unwrap_or_else(|| self.out.id("item"));
                self.out.event(
                    "input_audio_buffer.speech_stopped",
                    json!({ "audio_end_ms": audio_end_ms, "item_id": item }),
                );
                self.commit(now, item, audio_end_ms);
                if detection.create_response
                    && let Err(error) = self.create_response(now, None)
                {
                    self.refuse(&error, None);
                }
            }
        }
    }

    fn commit_by_client(&mut self, now: Duration) -> Result<(), ApiError> {
        let end_ms = self.vad.appended_ms();
        let has_ms = end_ms.saturating_sub(self.buffer_from_ms);
        if has_ms < MIN_COMMIT_MS {
            let message = format!(
                "Error committing input audio buffer: buffer too small. Expected at least {MIN_COMMIT_MS}ms of audio, \
                 but buffer only has {has_ms}ms of audio."
            );
            return Err(ApiError::new("input_audio_buffer_commit_empty", message));
        }
        self.vad.restart();
        let item = self.speech_item.take().unwrap_or_else(|| self.out.id("item"));
        self.commit(now, item, end_ms);
        Ok(())
    }

    /// The buffer becomes the user item `item`.
    fn commit(&mut self, now: Duration, item: String, end_ms: u64) {
        let ms = end_ms.saturating_sub(self.buffer_from_ms);
        self.buffer_from_ms = end_ms;
        self.committed_ms += ms;
        let previous = self.conversation.last_id();
        self.out.event("input_audio_buffer.committed", json!({ "previous_item_id": previous, "item_id": item }));
        let value = |transcript: Option<&str>| {
            json!({ "id": item, "object": "realtime.item", "type": "message", "status": "completed", "role": "user",
                "content": [{ "type": "input_audio", "transcript": transcript }] })
        };
        self.conversation.begin(value(None), &mut self.out);
        self.conversation.finish(value(None), None, &mut self.out);
        self.then = None;
        if !self.settings.transcribes() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let hears = &shared.script.turn(self.conversation.user_items).1.hears;
        let at = now + Duration::from_millis(shared.script.transcript_ms);
        if !hears.is_empty() {
            self.transcripts.push_back((
                at,
                "conversation.item.input_audio_transcription.delta",
                json!({ "item_id": item, "content_index": 0, "delta": hears }),
            ));
        }
        let (audio, text) = (ms.div_ceil(100), (hears.len() as u64).div_ceil(4));
        self.transcripts.push_back((
            at,
            "conversation.item.input_audio_transcription.completed",
            json!({ "item_id": item, "content_index": 0, "transcript": hears, "usage": {
                "type": "tokens", "total_tokens": audio + text, "input_tokens": audio, "output_tokens": text,
                "input_token_details": { "text_tokens": 0, "audio_tokens": audio } } }),
        ));
    }

    fn create_response(&mut self, now: Duration, params: Option<&Value>) -> Result<(), ApiError> {
        let none = Map::new();
        let params = match params {
            None | Some(Value::Null) => &none,
            Some(Value::Object(params)) => params,
            Some(_) => return Err(ApiError::invalid("response", "an object is expected")),
        };
        let settings = self.settings.for_response(params)?;
        let in_conversation = params.get("conversation").is_none_or(|value| value != "none");
        if in_conversation && let Some(active) = self.responses.iter().find(|response| response.in_conversation) {
            let message = format!(
                "Conversation already has an active response in progress: {}. Wait until the response is finished \
                 before creating a new one.",
                active.id
            );
            return Err(ApiError::new("conversation_already_has_active_response", message));
        }
        if self.responses.len() >= MAX_RESPONSES {
            return Err(ApiError::new("too_many_responses", format!("At most {MAX_RESPONSES} responses may run.")));
        }
        let shared = Arc::clone(&self.shared);
        let instructions = params.get("instructions").and_then(Value::as_str);
        let Some((parts, fault, think_ms)) = self.decide(&shared, &settings, instructions, in_conversation) else {
            return Ok(());
        };
        let input = InputTokens {
            text: (self.conversation.chars() + settings.instructions().len() as u64).div_ceil(4),
            audio: self.committed_ms.div_ceil(100),
            cached: 0,
        };
        let input = InputTokens { cached: self.cached.min(input.text), ..input };
        self.cached = input.text;
        let plan = Plan {
            parts,
            fault,
            pace: Pace { times: shared.script.pace, delta_ms: shared.script.delta_ms },
            start: now + Duration::from_millis(think_ms),
            in_conversation,
            metadata: params.get("metadata").cloned().unwrap_or(Value::Null),
            input,
        };
        self.responses.push(Response::new(plan, &settings, &self.conversation_id, &mut self.out));
        Ok(())
    }

    /// What to say now: as instructed, else what follows the tools, else the turn's own. `None`: nothing comes, on
    /// purpose.
    fn decide(
        &mut self,
        shared: &Shared,
        settings: &Settings,
        instructions: Option<&str>,
        in_conversation: bool,
    ) -> Option<(VecDeque<Part>, TurnFault, u64)> {
        let Shared { script, clips, .. } = shared;
        let format = settings.output_format();
        let line = |line: Option<Line<'_>>| line.map(|line| Part::Speech(clips.line(line, format)));
        if let Some(instructions) = instructions {
            let speech = Part::Speech(clips.instructed(instructions, format));
            return Some((VecDeque::from([speech]), TurnFault::default(), script.think_ms));
        }
        let (place, turn) = script.turn(self.conversation.user_items);
        let think_ms = turn.think_ms.unwrap_or(script.think_ms);
        if self.then == Some(place) {
            return Some((line(turn.then()).into_iter().collect(), TurnFault::default(), think_ms));
        }
        let fault = shared.fault(place, &turn.fault);
        if fault.stall {
            return None;
        }
        let mut parts: VecDeque<Part> = line(turn.first()).into_iter().collect();
        let calls = turn.tools.iter().filter(|tool| settings.has_tool(&tool.name)).map(|tool| Part::Call {
            name: tool.name.clone(),
            arguments: serde_json::to_string(&tool.arguments).unwrap_or_default(),
        });
        let before = parts.len();
        parts.extend(calls);
        if parts.len() > before {
            // A response beside the conversation leaves no call to answer.
            self.then = in_conversation.then_some(place);
        } else {
            parts.extend(line(turn.then()));
        }
        Some((parts, fault, think_ms))
    }

    fn cancel(&mut self, id: Option<&str>) -> Result<(), ApiError> {
        let wanted = |response: &Response| match id {
            Some(id) => response.id == id,
            None => response.in_conversation,
        };
        let at = self.responses.iter().position(wanted).ok_or_else(not_active)?;
        let mut response = self.responses.remove(at);
        response.end(&Ending::Cancelled("client_cancelled"), &mut self.conversation, &mut self.out);
        Ok(())
    }

    fn end_conversation_response(&mut self, reason: &'static str) {
        if let Some(at) = self.responses.iter().position(|response| response.in_conversation) {
            let mut response = self.responses.remove(at);
            response.end(&Ending::Cancelled(reason), &mut self.conversation, &mut self.out);
        }
    }

    fn refuse(&mut self, error: &ApiError, about: Option<&str>) {
        self.out.error(error, about);
    }
}

#[cfg(test)]
mod tests;
