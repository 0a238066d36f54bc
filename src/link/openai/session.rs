//! One connection's state: decoding and encoding.

mod handshake;
mod strangers;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::Write as _;

use base64_simd::STANDARD;

use crate::base::audio::AudioFormat;
use crate::config::{Agent, TurnDetection};
use crate::engine::{CommandKind, ModelCommand, ModelEvent, Role};

use super::calls::{Calls, Whole};
use super::convert::{Converter, ROOM};
use super::decode::{Item, ItemEvent, Piece, Response, ResponseEvent, count, or_empty, read, read_or_default};
use super::encode::{self, ClientEvent};
use super::events::{Kind, kind_of};
use super::guess::Guess;
use super::names::{Responses, Tells, Turns};
use super::{decode, told, update};
use crate::engine::ResponseStatus;
use crate::link::complaint::{Complaint, fit};
use serde_json::Value;

pub use strangers::Strangers;

/// One connection to a realtime model, without its socket.
///
/// [`decode`](Self::decode) in, [`poll_event`](Self::poll_event), [`poll_reply`](Self::poll_reply) and
/// [`encode`](Self::encode) out. After each decoded message poll both until `None`.
#[derive(Debug)]
pub struct Session {
    phase: Phase,
    /// The `session.update`, made when the session is, sent when the far end greets.
    update: Option<String>,
    reply: Option<String>,
    /// What else the message meant, beyond its first event.
    further: VecDeque<ModelEvent<'static>>,
    /// The vendor's session id.
    id: String,
    /// The format that was asked for, both ways.
    asked: AudioFormat,
    /// Whether the far end was asked to detect turns.
    detects: bool,
    converter: Converter,
    guess: Guess,
    responses: Responses,
    turns: Turns,
    calls: Calls,
    /// The item that audio was last received for, by our name.
    speaking: String,
    /// Decoded audio, used again for every event.
    audio: Vec<u8>,
    /// Of a transcript that is told anew as it grows: the turn, and what was passed on.
    growing: (String, String),
    /// Numbers the commands.
    commands: u64,
    event_id: String,
    strangers: Strangers,
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
///     └──────────────error──────────────┴────────error──────────► Over
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waiting for the far end's first word.
    Greeting,
    /// The update is on its way.
    Configuring,
    /// The conversation runs.
    Ready,
    /// The far end refused; nothing that it still says is of a session.
    Over,
}

impl Session {
    /// A session for `agent` on a line of format `line`, not yet greeted. `instructions` are the agent's with their
    /// variables filled in.
    pub fn new(agent: &Agent, instructions: &str, line: AudioFormat) -> Self {
        let asked = agent.model.format;
        let mut session = Session {
            phase: Phase::Greeting,
            update: None,
            reply: None,
            further: VecDeque::new(),
            id: String::new(),
            asked,
            detects: matches!(
                agent.manner.turn_detection,
                TurnDetection::Provider { .. } | TurnDetection::Semantic { .. }
            ),
            converter: Converter::new(line, asked, asked),
            guess: Guess::default(),
            responses: Responses::default(),
            turns: Turns::default(),
            calls: Calls::default(),
            speaking: String::new(),
            audio: Vec::new(),
            growing: Default::default(),
            commands: 0,
            event_id: String::new(),
            strangers: Strangers::default(),
            counters: Counters::default(),
        };
        session.name_command(CommandKind::Configure);
        let event =
            ClientEvent::SessionUpdate { event_id: &session.event_id, session: update::session(agent, instructions) };
        session.update = serde_json::to_string(&event).ok();
        session
    }

    /// The same, in a call that had a session before: what was named then is not named again.
    pub fn after(self, before: &Session) -> Self {
        Session { strangers: before.strangers.clone(), ..self }
    }

    /// Takes in one text message. `None`: nothing for the engine; the [`counters`](Self::counters) say why.
    pub fn decode<'a>(&'a mut self, text: &'a str) -> Option<ModelEvent<'a>> {
        let Some(name) = decode::type_of(text) else { return Some(self.garbage()) };
        let Some(kind) = kind_of(&name) else {
            self.counters.unknown += 1;
            self.strangers.met(&name);
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
            Taken::Further => self.further.pop_front(),
            Taken::Garbage => Some(self.garbage()),
        }
    }

    /// What the last message meant besides, in order.
    pub fn poll_event(&mut self) -> Option<ModelEvent<'static>> {
        self.further.pop_front()
    }

    /// The types that the API does not have, as far as they were met.
    pub fn strangers(&mut self) -> &mut Strangers {
        &mut self.strangers
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
        if let ModelCommand::CommitAudio { number } | ModelCommand::ToolOutput { number, .. } = command {
            self.name(command.kind(), u64::from(*number));
        }
        let id = match command {
            ModelCommand::Truncate { item, .. } | ModelCommand::DeleteItem { item } => self.id_of(item),
            _ => Some(String::new()),
        };
        // What has no id at the far end cannot be spoken of.
        let Some(id) = id else { return };
        // Nor can an answer name a call that has none.
        let answer = match command {
            ModelCommand::ToolOutput { call, output, .. } => self
                .calls
                .nameless(call)
                .map(|tool| format!("The tool {tool}, which you called, has answered: {output}")),
            _ => None,
        };
        let command = match *command {
            ModelCommand::ToolOutput { number, call, output } => match &answer {
                Some(text) => ModelCommand::AddMessage { role: Role::System, text, id: None, first: false },
                None => ModelCommand::ToolOutput { number, call, output },
            },
            ModelCommand::Truncate { audio_end_ms, .. } => ModelCommand::Truncate { item: &id, audio_end_ms },
            ModelCommand::DeleteItem { .. } => ModelCommand::DeleteItem { item: &id },
            ref other => other.clone(),
        };
        if let Some(event) = ClientEvent::of(&command, &self.event_id)
            && let Ok(text) = serde_json::to_string(&event)
        {
            out.push_str(&text);
        }
        match command {
            ModelCommand::CommitAudio { .. } => self.turns.commit_sent(),
            ModelCommand::CancelResponse => self.responses.cancel(),
            _ => {}
        }
    }

    /// The far end's id of what we have this name for; `None` where it has told none.
    fn id_of(&self, ours: &str) -> Option<String> {
        let id = self.responses.id_of(ours).or_else(|| self.turns.id_of(ours)).unwrap_or(ours);
        (!id.is_empty()).then(|| id.to_owned())
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
                let words = or_empty(if done { piece.transcript.or(piece.delta) } else { piece.delta });
                self.agent_words(&or_empty(piece.response_id), &or_empty(piece.item_id), words, done)
            }
            Kind::CallerTranscriptDelta | Kind::CallerTranscriptDone | Kind::CallerTranscriptSoFar => {
                let piece: Piece<'a> = read(text)?;
                let done = kind == Kind::CallerTranscriptDone;
                let words = or_empty(match kind {
                    Kind::CallerTranscriptDelta => piece.delta,
                    _ => piece.transcript.or(piece.delta),
                });
                let (item, news) = self.turns.words(or_empty(piece.item_id), done);
                let words = match kind {
                    Kind::CallerTranscriptSoFar => match self.grown(&item, &words) {
                        Some(more) => Cow::Owned(more),
                        None => return Some(Taken::Nothing),
                    },
                    _ => words,
                };
                if news {
                    // Nothing else will tell that the turn is an item.
                    let item: Cow<'static, str> = Cow::Owned(item.into_owned());
                    self.further.push_back(ModelEvent::Committed { item: item.clone() });
                    let text = Cow::Owned(words.into_owned());
                    self.further.push_back(ModelEvent::CallerTranscript { item, text, done });
                    return Some(Taken::Further);
                }
                Taken::Event(ModelEvent::CallerTranscript { item, text: words, done })
            }
            Kind::CallerTranscriptFailed => {
                let piece: Piece<'a> = read(text)?;
                let item = self.turns.wordless(&or_empty(piece.item_id));
                Taken::Event(ModelEvent::TranscriptFailed { item: Cow::Owned(item) })
            }
            Kind::SpeechStarted => {
                let piece: Piece<'a> = read(text)?;
                Taken::Event(ModelEvent::SpeechStarted {
                    item: self.turns.started(or_empty(piece.item_id)),
                    audio_start_ms: count(piece.audio_start_ms),
                })
            }
            Kind::SpeechStopped => {
                let piece: Piece<'a> = read(text)?;
                Taken::Event(ModelEvent::SpeechStopped {
                    item: self.turns.stopped(or_empty(piece.item_id)),
                    audio_end_ms: count(piece.audio_end_ms),
                })
            }
            Kind::Committed => {
                let piece: Piece<'a> = read(text)?;
                match self.turns.committed(or_empty(piece.item_id)) {
                    Some(item) => Taken::Event(ModelEvent::Committed { item }),
                    None => Taken::Nothing,
                }
            }
            Kind::ResponseCreated => {
                let event: ResponseEvent<'a> = read(text)?;
                let response: Response<'a> = read_or_default(event.response);
                match self.responses.begin(or_empty(response.id.or(event.response_id))) {
                    Some(response) => Taken::Event(ModelEvent::ResponseStarted { response }),
                    None => Taken::Nothing,
                }
            }
            Kind::ResponseDone | Kind::ResponseCancelled => {
                let event: ResponseEvent<'a> = read(text)?;
                let cancelled = kind == Kind::ResponseCancelled;
                self.response_done(read_or_default(event.response), event.response_id, cancelled)
            }
            Kind::ItemAdded => {
                let event: ItemEvent<'a> = read(text)?;
                let item: Item<'a> = read_or_default(event.item);
                let told = or_empty(event.response_id);
                if item.is_call() {
                    let of = self.response_of_call(&told, &item);
                    self.calls.note(self.responses.response_name(of), item, true);
                } else {
                    let of = self.responses.of(&told, "", Tells::Other);
                    if item.is_message() {
                        self.responses.add_item(of, &or_empty(item.id));
                    }
                }
                Taken::Done
            }
            Kind::ArgumentsDelta | Kind::ArgumentsDone => {
                let item: Item<'a> = read(text)?;
                // The event's own id is none of the item's.
                let item = Item { id: None, ..item };
                let of = self.response_of_call(&or_empty(item.response_id.clone()), &item);
                let response = self.responses.response_name(of);
                match kind {
                    Kind::ArgumentsDone => self.calls.arguments_done(response, Item { delta: None, ..item }).into(),
                    _ => {
                        self.calls.note(response, item, false);
                        Taken::Done
                    }
                }
            }
            Kind::ItemDone => {
                let event: ItemEvent<'a> = read(text)?;
                let item: Item<'a> = read_or_default(event.item);
                let told = or_empty(event.response_id);
                if item.is_call() {
                    let of = self.response_of_call(&told, &item);
                    return Some(self.calls.item_done(self.responses.response_name(of), item).into());
                }
                if !item.is_message() {
                    return Some(Taken::Nothing);
                }
                let words = self.words_of_item(&told, &item);
                self.responses.close_item(&told, &or_empty(item.id));
                words.map_or(Taken::Nothing, Taken::Event)
            }
            Kind::AudioDone => {
                let piece: Piece<'a> = read(text)?;
                self.responses.close_item(&or_empty(piece.response_id), &or_empty(piece.item_id));
                Taken::Nothing
            }
            Kind::SessionCreated => {
                let told: Value = serde_json::from_str(text).ok()?;
                self.id = told["session"]["id"].as_str().unwrap_or_default().to_owned();
                self.greeted()
            }
            Kind::ConversationCreated => self.greeted(),
            Kind::SessionUpdated => self.session_updated(text),
            Kind::Error => Taken::Event(self.error(Complaint::of_event(text))),
        })
    }

    fn response_done<'a>(
        &mut self,
        response: Response<'a>,
        beside: Option<decode::Text<'a>>,
        cancelled: bool,
    ) -> Taken<'a> {
        let told = or_empty(response.id.clone().or(beside));
        let of = self.responses.of_ended(&told);
        let Some(named) = self.responses.end(told) else { return Taken::Nothing };
        let status = if cancelled { ResponseStatus::Cancelled } else { response.outcome() };
        let items = response.items();
        if let Some(of) = of {
            for item in items.iter().filter(|item| item.is_message()) {
                if let Some(event) = self.words_of(of, item) {
                    self.further.push_back(event);
                }
            }
        }
        for whole in self.calls.response_done(&named, status, items) {
            self.further.push_back(tool_call(whole));
        }
        let went_wrong = matches!(status, ResponseStatus::Failed | ResponseStatus::Incomplete);
        let complaint = if went_wrong { response.why() } else { response.complaint() };
        let words = complaint.as_ref().map(Complaint::words);
        let detail = words.or_else(|| response.reason().map(|reason| fit(&reason))).map(Cow::Owned);
        let fatal = went_wrong && complaint.as_ref().is_some_and(Complaint::is_fatal);
        let retry_after_ms = complaint.as_ref().and_then(Complaint::retry_after_ms);
        self.further.push_back(ModelEvent::ResponseDone {
            response: Cow::Owned(named.into_owned()),
            status,
            detail,
            usage: response.usage(),
            fatal,
            retry_after_ms,
        });
        Taken::Further
    }

    /// The response that a tool call belongs to; begun by it if need be. What is told of a call once more when its response
    /// is over begins none.
    fn response_of_call(&mut self, told: &str, item: &Item<'_>) -> usize {
        let last = self.responses.last_ended().filter(|_| told.is_empty());
        match last.filter(|last| self.calls.knows(self.responses.response_name(*last), item)) {
            Some(last) => last,
            None => self.responses.of(told, "", Tells::Other),
        }
    }

    /// The words of an item that has come to its end, if they were not told before.
    fn words_of_item(&mut self, told: &str, item: &Item<'_>) -> Option<ModelEvent<'static>> {
        if item.words().is_empty() {
            return None;
        }
        let of = self.responses.of(told, item.id.as_ref().map_or("", |id| &id.0), Tells::Other);
        self.words_of(of, item)
    }

    fn words_of(&mut self, of: usize, item: &Item<'_>) -> Option<ModelEvent<'static>> {
        let words = Some(item.words()).filter(|words| !words.is_empty())?;
        let at = self.responses.item(of, item.id.as_ref().map_or("", |id| &id.0), Tells::Other);
        if self.responses.words_done(at) {
            return None;
        }
        Some(ModelEvent::AgentTranscript {
            response: Cow::Owned(self.responses.response_name(of).to_owned()),
            item: Cow::Owned(self.responses.item_name(at).to_owned()),
            text: Cow::Owned(words),
            done: true,
        })
    }

    fn agent_words<'a>(&mut self, response: &str, item: &str, text: Cow<'a, str>, done: bool) -> Taken<'a> {
        let of = self.responses.of(response, item, Tells::Other);
        let at = self.responses.item(of, item, Tells::Other);
        if done {
            self.responses.words_done(at);
        }
        Taken::Event(ModelEvent::AgentTranscript {
            response: Cow::Owned(self.responses.response_name(of).to_owned()),
            item: Cow::Owned(self.responses.item_name(at).to_owned()),
            text,
            done,
        })
    }

    /// What is new in a transcript that is told anew as it grows; `None` when nothing is, or when it was changed.
    fn grown(&mut self, item: &str, so_far: &str) -> Option<String> {
        let (of, known) = &mut self.growing;
        if of != item {
            item.clone_into(of);
            known.clear();
        }
        let more = so_far.strip_prefix(known.as_str()).filter(|more| !more.is_empty())?.to_owned();
        so_far.clone_into(known);
        Some(more)
    }

    fn audio_delta<'a>(&'a mut self, text: &'a str) -> ModelEvent<'a> {
        let Some(piece) = read::<Piece<'a>>(text) else { return self.garbage() };
        let delta = or_empty(piece.delta);
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
        let (response, item) = (or_empty(piece.response_id), or_empty(piece.item_id));
        let of = self.responses.of(&response, &item, Tells::Audio);
        let at = self.responses.item(of, &item, Tells::Audio);
        if self.responses.item_name(at) != self.speaking {
            self.speaking.clear();
            self.speaking.push_str(self.responses.item_name(at));
            self.converter.begin_item();
        }
        if let Some(other) = self.guess.other_than(self.converter.from(), self.asked, &self.audio[ROOM..]) {
            // Who passes over the format of one direction passes over both.
            let told = told::name(self.converter.from());
            self.odd(format!("sends {} and calls it {told}: taken to be that, both ways", told::name(other)));
            self.converter.follow(other, other);
            self.guess = Guess::default();
        }
        let payload = self.converter.model_to_line(&mut self.audio);
        ModelEvent::Audio {
            response: Cow::Borrowed(self.responses.response_name(of)),
            item: Cow::Borrowed(self.responses.item_name(at)),
            payload,
        }
    }

    fn error<'a>(&mut self, complaint: Complaint<'a>) -> ModelEvent<'a> {
        let named = encode::named_by(&complaint.event_id);
        let mut about = named.map(|(kind, _)| kind);
        // These are numbered by the engine, all others by us.
        let numbered = |kind| matches!(kind, CommandKind::CommitAudio | CommandKind::ToolOutput);
        let number = named.filter(|(kind, _)| numbered(*kind)).and_then(|(_, n)| n.try_into().ok());
        if about.is_none() {
            about = complaint.about();
        }
        if about == Some(CommandKind::CommitAudio) {
            self.turns.commit_refused();
        }
        let fatal = complaint.is_fatal();
        // Until the session is set up nothing else was asked for, so what it complains of is that; there is no waiting for
        // a session that does not come.
        if !fatal && self.phase != Phase::Ready {
            let what = if self.phase == Phase::Greeting { "session refused" } else { "session.update refused" };
            return self.refuse(format!("{what}: {}", complaint.words()), complaint.is_passing());
        }
        ModelEvent::Error {
            code: Cow::Owned(fit(complaint.code())),
            message: Cow::Owned(fit(&complaint.message)),
            about,
            number,
            fatal,
            busy: complaint.is_busy(),
            passing: complaint.is_passing(),
            retry_after_ms: complaint.retry_after_ms(),
        }
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
    /// Several events, or none, that stand in line.
    Further,
    /// Used, and nothing for the engine.
    Done,
    Nothing,
    Garbage,
}

impl From<Option<Whole>> for Taken<'_> {
    fn from(whole: Option<Whole>) -> Self {
        whole.map_or(Taken::Done, |whole| Taken::Event(tool_call(whole)))
    }
}

fn tool_call(whole: Whole) -> ModelEvent<'static> {
    let Whole { response, call, name, arguments } = whole;
    ModelEvent::ToolCall {
        response: Cow::Owned(response),
        call: Cow::Owned(call),
        name: Cow::Owned(name),
        arguments: Cow::Owned(arguments),
    }
}
