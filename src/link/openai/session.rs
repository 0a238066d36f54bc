//! One connection's state: decoding, encoding and the handshake.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::Write as _;

use base64_simd::STANDARD;

use crate::audio::AudioFormat;
use crate::config::Agent;
use crate::engine::{CommandKind, ModelCommand, ModelEvent};

use super::convert::{Converter, ROOM};
use super::decode::{
    ErrorBody, ErrorEvent, Item, ItemEvent, Piece, ResponseEvent, SessionEvent, count, or_empty, read,
};
use super::encode::{self, ClientEvent};
use super::events::{Kind, kind_of};
use super::outcome::FATAL_CODES;
use super::{decode, update};

/// One connection to a realtime model, without its socket.
///
/// [`decode`](Self::decode) in, [`poll_reply`](Self::poll_reply) and [`encode`](Self::encode) out. After each decoded
/// message poll until `None`.
#[derive(Debug)]
pub struct Session {
    phase: Phase,
    /// The `session.update`, made when the session is, sent when the far end greets.
    update: Option<String>,
    reply: Option<String>,
    /// The vendor's session id.
    id: String,
    converter: Converter,
    /// The item that audio was last received for.
    speaking: String,
    /// Decoded audio, used again for every event.
    audio: Vec<u8>,
    /// Numbers the commands.
    commands: u64,
    event_id: String,
    /// Tool calls whose item is not done yet, the oldest dropped beyond [`MAX_CALLS`].
    calls: VecDeque<Call>,
    /// Ids of tool calls already reported, the oldest forgotten beyond [`MAX_CALLS`].
    reported: VecDeque<String>,
    counters: Counters,
}

/// What became of messages that made no event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Known, and of no interest.
    pub ignored: u64,
    /// Of a type that the API does not have.
    pub unknown: u64,
    /// Tools that a server of tools did for the vendor.
    pub mcp_calls: u64,
    /// What a server of tools did not do, or that it could not be asked what it does.
    pub mcp_failed: u64,
    /// Not of the dialect: not JSON, no type, wrong shape, not base64. Also reported, as [`ModelEvent::Garbage`].
    pub garbage: u64,
}

/// ```text
/// Greeting ──session.created──► Configuring ──session.updated──► Ready
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waiting for the far end's first word.
    Greeting,
    /// The update is on its way.
    Configuring,
    /// The conversation runs.
    Ready,
}

/// What is known of a tool call before its item is done.
#[derive(Debug, Default)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

/// Far more tool calls than a response makes; bounds what a broken server can make us keep.
const MAX_CALLS: usize = 64;

impl Session {
    /// A session for `agent` on a line of format `line`, not yet greeted. `instructions` are the agent's with their
    /// variables filled in.
    pub fn new(agent: &Agent, instructions: &str, line: AudioFormat) -> Self {
        let mut session = Session {
            phase: Phase::Greeting,
            update: None,
            reply: None,
            id: String::new(),
            converter: Converter::new(line, agent.model.format),
            speaking: String::new(),
            audio: Vec::new(),
            commands: 0,
            event_id: String::new(),
            calls: VecDeque::new(),
            reported: VecDeque::new(),
            counters: Counters::default(),
        };
        session.name_command(CommandKind::Configure);
        let event =
            ClientEvent::SessionUpdate { event_id: &session.event_id, session: update::session(agent, instructions) };
        session.update = serde_json::to_string(&event).ok();
        session
    }

    /// Takes in one text message. `None`: nothing for the engine; the [`counters`](Self::counters) say why.
    pub fn decode<'a>(&'a mut self, text: &'a str) -> Option<ModelEvent<'a>> {
        let Some(name) = decode::type_of(text) else { return Some(self.garbage()) };
        let Some(kind) = kind_of(&name) else {
            self.counters.unknown += 1;
            return None;
        };
        // Looked at twice because a borrow that is returned on one path would last on all.
        if kind == Kind::AudioDelta {
            return Some(self.audio_delta(text));
        }
        match self.event(kind, text) {
            Taken::Event(event) => Some(event),
            Taken::Nothing => {
                self.counters.ignored += 1;
                None
            }
            Taken::Done => None,
            Taken::Garbage => Some(self.garbage()),
        }
    }

    /// What the link itself has to send, if anything: the `session.update`, once the far end has greeted.
    pub fn poll_reply(&mut self) -> Option<String> {
        self.reply.take()
    }

    /// Writes `command` into `out`, in place of what it held, as one text message. Audio takes no allocation once `out`
    /// has grown to the largest message.
    pub fn encode(&mut self, command: &ModelCommand<'_>, out: &mut String) {
        out.clear();
        if let ModelCommand::AppendAudio(payload) = command {
            out.push_str(encode::APPEND_HEAD);
            STANDARD.encode_append(self.converter.line_to_model(payload), out);
            out.push_str(encode::APPEND_TAIL);
            return;
        }
        self.name_command(command.kind());
        if let ModelCommand::CommitAudio { number } = command {
            self.name(CommandKind::CommitAudio, u64::from(*number));
        }
        if let Some(event) = ClientEvent::of(command, &self.event_id)
            && let Ok(text) = serde_json::to_string(&event)
        {
            out.push_str(&text);
        }
    }

    /// Whether [`ModelEvent::Ready`] was given out.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// What became of messages that made no event.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn event<'a>(&mut self, kind: Kind, text: &'a str) -> Taken<'a> {
        self.try_event(kind, text).unwrap_or(Taken::Garbage)
    }

    /// `None`: the message has not the shape of its type.
    fn try_event<'a>(&mut self, kind: Kind, text: &'a str) -> Option<Taken<'a>> {
        Some(match kind {
            Kind::Ignored | Kind::AudioDelta => Taken::Nothing,
            Kind::McpDone => {
                self.counters.mcp_calls += 1;
                Taken::Done
            }
            Kind::McpFailed => {
                self.counters.mcp_failed += 1;
                Taken::Done
            }
            Kind::AgentTranscriptDelta | Kind::AgentTranscriptDone => {
                let piece: Piece<'a> = read(text)?;
                let done = kind == Kind::AgentTranscriptDone;
                Taken::Event(ModelEvent::AgentTranscript {
                    response: or_empty(piece.response_id),
                    item: or_empty(piece.item_id),
                    text: or_empty(if done { piece.transcript } else { piece.delta }),
                    done,
                })
            }
            Kind::CallerTranscriptDelta | Kind::CallerTranscriptDone => {
                let piece: Piece<'a> = read(text)?;
                let done = kind == Kind::CallerTranscriptDone;
                Taken::Event(ModelEvent::CallerTranscript {
                    item: or_empty(piece.item_id),
                    text: or_empty(if done { piece.transcript } else { piece.delta }),
                    done,
                })
            }
            Kind::CallerTranscriptFailed => {
                let piece: Piece<'a> = read(text)?;
                Taken::Event(ModelEvent::TranscriptFailed { item: or_empty(piece.item_id) })
            }
            Kind::SpeechStarted => {
                let piece: Piece<'a> = read(text)?;
                Taken::Event(ModelEvent::SpeechStarted {
                    item: or_empty(piece.item_id),
                    audio_start_ms: count(piece.audio_start_ms),
                })
            }
            Kind::SpeechStopped => {
                let piece: Piece<'a> = read(text)?;
                Taken::Event(ModelEvent::SpeechStopped {
                    item: or_empty(piece.item_id),
                    audio_end_ms: count(piece.audio_end_ms),
                })
            }
            Kind::Committed => {
                let piece: Piece<'a> = read(text)?;
                Taken::Event(ModelEvent::Committed { item: or_empty(piece.item_id) })
            }
            Kind::ResponseCreated => {
                let event: ResponseEvent<'a> = read(text)?;
                Taken::Event(ModelEvent::ResponseStarted { response: or_empty(event.response.id) })
            }
            Kind::ResponseDone => {
                let event: ResponseEvent<'a> = read(text)?;
                self.calls.clear();
                let response = event.response;
                Taken::Event(ModelEvent::ResponseDone {
                    status: response.outcome(),
                    detail: response.detail(),
                    usage: response.usage(),
                    response: or_empty(response.id),
                })
            }
            Kind::ItemAdded => {
                let event: ItemEvent<'a> = read(text)?;
                self.note_call(event.item)
            }
            Kind::ArgumentsDone => {
                let item: Item<'a> = read(text)?;
                // The event's own `type` is not an item's.
                self.note_call(Item { kind: Some(decode::Text(Cow::Borrowed("function_call"))), ..item })
            }
            Kind::ItemDone => {
                let event: ItemEvent<'a> = read(text)?;
                self.finish_call(or_empty(event.response_id), event.item)
            }
            Kind::SessionCreated => {
                let event: SessionEvent<'a> = read(text)?;
                self.id = event.session.and_then(|session| session.id).map(|id| id.0.into_owned()).unwrap_or_default();
                self.greeted()
            }
            Kind::ConversationCreated => self.greeted(),
            Kind::SessionUpdated => {
                let event: SessionEvent<'a> = read(text)?;
                if self.phase != Phase::Configuring {
                    return Some(Taken::Nothing);
                }
                self.phase = Phase::Ready;
                let id = event.session.and_then(|session| session.id).map(|id| id.0).filter(|id| !id.is_empty());
                Taken::Event(ModelEvent::Ready { session: id.unwrap_or_else(|| Cow::Owned(self.id.clone())) })
            }
            Kind::Error => {
                let event: ErrorEvent<'a> = read(text)?;
                Taken::Event(self.error(event.error))
            }
        })
    }

    /// The far end has greeted, by either of the two events: it is told once who we want it to be.
    fn greeted<'a>(&mut self) -> Taken<'a> {
        match self.update.take() {
            Some(update) => {
                self.reply = Some(update);
                self.phase = Phase::Configuring;
                Taken::Done
            }
            None => Taken::Nothing,
        }
    }

    fn audio_delta<'a>(&'a mut self, text: &'a str) -> ModelEvent<'a> {
        let Some(piece) = read::<Piece<'a>>(text) else { return self.garbage() };
        let (item, delta) = (or_empty(piece.item_id), or_empty(piece.delta));
        if *item != self.speaking {
            self.speaking.clear();
            self.speaking.push_str(&item);
            self.converter.begin_item();
        }
        self.audio.clear();
        self.audio.resize(ROOM, 0);
        let decoded = STANDARD.decode_append(delta.as_bytes(), &mut self.audio).is_ok() || {
            // Some servers leave out the padding.
            self.audio.truncate(ROOM);
            base64_simd::forgiving_decode_to_vec(delta.as_bytes()).is_ok_and(|bytes| {
                self.audio.extend_from_slice(&bytes);
                true
            })
        };
        if !decoded {
            return self.garbage();
        }
        let payload = self.converter.model_to_line(&mut self.audio);
        ModelEvent::Audio { response: or_empty(piece.response_id), item, payload }
    }

    /// Keeps what is told of a tool call before it is done: some servers leave the name or the arguments blank later.
    fn note_call<'a>(&mut self, item: Item<'_>) -> Taken<'a> {
        let (Some("function_call"), Some(id)) = (item.kind.as_ref().map(|kind| &*kind.0), &item.call_id) else {
            return Taken::Nothing;
        };
        let at = match self.calls.iter().position(|call| *call.id == *id.0) {
            Some(at) => at,
            None => {
                if self.calls.len() == MAX_CALLS {
                    self.calls.pop_front();
                }
                self.calls.push_back(Call { id: id.0.to_string(), ..Call::default() });
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[at];
        for (known, told) in [(&mut call.name, item.name), (&mut call.arguments, item.arguments)] {
            if let Some(told) = told.filter(|told| !told.0.is_empty()) {
                *known = told.0.into_owned();
            }
        }
        Taken::Done
    }

    /// Reports a tool call whose item is done, once, and never one that was cut short.
    fn finish_call<'a>(&mut self, response: Cow<'a, str>, item: Item<'a>) -> Taken<'a> {
        if item.kind.as_ref().is_none_or(|kind| kind.0 != "function_call") {
            return Taken::Nothing;
        }
        let call = or_empty(item.call_id);
        let known = self.calls.iter().position(|known| *known.id == *call).and_then(|at| self.calls.remove(at));
        let known = known.unwrap_or_default();
        let choose = |told: Option<decode::Text<'a>>, known: String| match or_empty(told) {
            told if told.is_empty() => Cow::Owned(known),
            told => told,
        };
        let (name, arguments) = (choose(item.name, known.name), choose(item.arguments, known.arguments));
        let whole = match item.status {
            Some(status) => status.0 == "completed",
            // A server that leaves the status out: arguments that were cut short are not JSON.
            None => read::<serde::de::IgnoredAny>(&arguments).is_some(),
        };
        if !whole || call.is_empty() || self.reported.iter().any(|reported| *reported == *call) {
            return Taken::Nothing;
        }
        if self.reported.len() == MAX_CALLS {
            self.reported.pop_front();
        }
        self.reported.push_back(call.to_string());
        Taken::Event(ModelEvent::ToolCall { response, call, name, arguments })
    }

    fn error<'a>(&self, error: ErrorBody<'a>) -> ModelEvent<'a> {
        let named = error.event_id.as_ref().and_then(|id| encode::named_by(&id.0));
        let about = named.map(|(kind, _)| kind);
        // Commits are numbered by the engine, all others by us.
        let number = named.filter(|(kind, _)| *kind == CommandKind::CommitAudio).and_then(|(_, n)| n.try_into().ok());
        let anonymous = error.event_id.as_ref().is_none_or(|id| id.0.is_empty());
        let kind = or_empty(error.kind);
        let message = or_empty(error.message);
        let code = match or_empty(error.code) {
            code if code.is_empty() => kind.clone(),
            code => code,
        };
        let fatal = FATAL_CODES.contains(&&*code) || FATAL_CODES.contains(&&*kind);
        // Until the session is set up nothing else was asked, so a complaint that names no command is about that, unless
        // it is the server's own trouble.
        let unnamed = anonymous
            && self.phase == Phase::Configuring
            && kind == "invalid_request_error"
            && code != "session_expired";
        if !fatal && (about == Some(CommandKind::Configure) || unnamed) {
            let reason = Cow::Owned(format!("session.update refused: {code}: {message}"));
            return ModelEvent::Closed { reason, retry: false };
        }
        ModelEvent::Error { code, message, about, number, fatal }
    }

    fn garbage<'a>(&mut self) -> ModelEvent<'a> {
        self.counters.garbage += 1;
        ModelEvent::Garbage
    }

    fn name_command(&mut self, kind: CommandKind) {
        self.commands += 1;
        self.name(kind, self.commands);
    }

    fn name(&mut self, kind: CommandKind, number: u64) {
        self.event_id.clear();
        // Writing to a string cannot fail.
        let _ = write!(self.event_id, "{}-{number}", encode::word(kind));
    }
}

/// What a message came to.
enum Taken<'a> {
    Event(ModelEvent<'a>),
    /// Used, and nothing for the engine.
    Done,
    Nothing,
    Garbage,
}
