//! A model that speaks the OpenAI Realtime API: a WebSocket, and the sessions on it one after the other.

mod socket;

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_util::future::{BoxFuture, join};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tracing::Span;

use crate::base::audio::AudioFormat;
use crate::config::Agent;
use crate::engine::{ModelCommand, ModelEvent};
use crate::link::openai;
use crate::serve::metrics::Metrics;
use crate::serve::outlet::{Kind, Pushed};

use super::{Came, Counters, Way};
use socket::{Dial, ModelLeg};

/// See [`super::Model`].
pub(in crate::serve) struct Model {
    agent: Arc<Agent>,
    line: AudioFormat,
    way: Way,
    state: State,
    session: openai::Session,
    /// What former sessions counted.
    counted: openai::Counters,
    /// The message that was read last, until all of it is told.
    text: Utf8Bytes,
    news: News,
    metrics: Arc<Metrics>,
    span: Span,
}

enum State {
    Off,
    Dialling(Dial),
    Up(Box<ModelLeg>),
}

/// What is to be told.
enum News {
    None,
    Connected,
    Over(ModelEvent<'static>),
    /// Of the message: nothing is told yet.
    Message,
    /// Of the message: its first event is told.
    Further,
}

impl Model {
    pub(super) fn new(agent: Arc<Agent>, line: AudioFormat, way: Way, metrics: Arc<Metrics>, span: Span) -> Model {
        Model {
            session: openai::Session::new(&agent, "", line),
            agent,
            line,
            way,
            state: State::Off,
            counted: openai::Counters::default(),
            text: Utf8Bytes::default(),
            news: News::None,
            metrics,
            span,
        }
    }

    pub(super) fn dial(&mut self, with: Option<BoxFuture<'static, ()>>) {
        let dial = socket::dial(Arc::clone(&self.agent.model), self.way.clone());
        let dial = match with {
            // Both are on their way at once.
            Some(with) => Box::pin(async move { join(dial, with).await.0 }),
            None => dial,
        };
        self.replace(State::Dialling(dial));
    }

    pub(super) fn begin(&mut self, instructions: &str) {
        self.counted = self.all_counted();
        self.session = openai::Session::new(&self.agent, instructions, self.line).after(&self.session);
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Off => return Poll::Pending,
            State::Dialling(dial) => match ready!(dial.as_mut().poll(cx)) {
                Ok(leg) => {
                    self.metrics.dials.add("connected", 1);
                    self.state = State::Up(leg);
                    self.news = News::Connected;
                }
                Err(event) => {
                    self.metrics.dials.add("failed", 1);
                    self.over(event);
                }
            },
            State::Up(leg) => {
                let read = ready!(leg.poll_read(cx));
                if let Some(event) = socket::ending(&read) {
                    self.over(event);
                } else if let Some(Ok(Message::Text(text))) = read {
                    tracing::trace!(parent: &self.span, bytes = text.len(), "from the model");
                    self.text = text;
                    self.news = News::Message;
                }
            }
        }
        Poll::Ready(())
    }

    pub(super) fn next(&mut self) -> Option<Came<'_>> {
        match std::mem::replace(&mut self.news, News::None) {
            News::None => None,
            News::Connected => Some(Came::Connected),
            News::Over(event) => Some(Came::Over(event)),
            News::Message => {
                self.news = News::Further;
                Some(match self.session.decode(self.text.as_str()) {
                    Some(event) => Came::Event(event),
                    None => Came::Nothing,
                })
            }
            News::Further => {
                if let Some(event) = self.session.poll_event() {
                    self.news = News::Further;
                    return Some(Came::Event(event));
                }
                self.told();
                None
            }
        }
    }

    /// All of the message is told: what it asks of the link itself is answered, and its room is free for the next.
    fn told(&mut self) {
        self.text = Utf8Bytes::default();
        let span = &self.span;
        while let Some(kind) = self.session.strangers().poll() {
            tracing::warn!(parent: span, kind, "the model sends an event of a type that is not known; it is ignored");
        }
        while let Some(reply) = self.session.poll_reply() {
            self.send(Kind::Other, reply, None);
        }
    }

    pub(super) fn push(&mut self, command: &ModelCommand<'_>, read_at: Option<Instant>) {
        if !matches!(self.state, State::Up(_)) {
            return;
        }
        let audio = matches!(command, ModelCommand::AppendAudio(_));
        let mut text = String::with_capacity(512);
        self.session.encode(command, &mut text);
        // Empty: of something that the far end has no name for.
        if !text.is_empty() {
            let (kind, read_at) = if audio { (Kind::Audio, read_at) } else { (Kind::Other, None) };
            self.send(kind, text, read_at);
        }
    }

    fn send(&mut self, kind: Kind, text: String, read_at: Option<Instant>) {
        let State::Up(leg) = &mut self.state else { return };
        let bytes = text.len();
        if let Pushed::Dropped(bytes) = leg.push(kind, bytes, Message::Text(text.into()), read_at) {
            self.metrics.model_dropped_bytes.add(bytes as u64);
        }
    }

    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        let State::Up(leg) = &mut self.state else { return true };
        let fine = leg.flush(cx);
        if let Some(took) = leg.take_latency() {
            self.metrics.caller_to_model.observe(took);
        }
        fine
    }

    pub(super) fn check(&mut self) -> bool {
        let full = matches!(&self.state, State::Up(leg) if leg.is_full());
        if full {
            self.stuck("the model's socket is too slow");
        }
        full
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        if let State::Up(leg) = &self.state { leg.deadline() } else { None }
    }

    pub(super) fn tick(&mut self, now: Instant) -> bool {
        let due = self.deadline().is_some_and(|at| at <= now);
        if due {
            self.stuck("the model's socket takes nothing");
        }
        due
    }

    fn stuck(&mut self, why: &str) {
        self.metrics.stalled.add("model", 1);
        self.over(socket::closed(why.to_owned(), true));
    }

    fn over(&mut self, event: ModelEvent<'static>) {
        self.state = State::Off;
        self.news = News::Over(event);
    }

    pub(super) fn close(&mut self) {
        self.replace(State::Off);
    }

    fn replace(&mut self, with: State) {
        if let State::Up(leg) = std::mem::replace(&mut self.state, with) {
            socket::let_go(leg);
        }
    }

    pub(super) fn counters(&self) -> Counters {
        let openai::Counters { unknown, mcp_calls, mcp_failed, .. } = self.all_counted();
        [("model_unknown_events", unknown), ("model_mcp_calls", mcp_calls), ("model_mcp_failed", mcp_failed)]
    }

    fn all_counted(&self) -> openai::Counters {
        let (former, now) = (self.counted, self.session.counters());
        openai::Counters {
            ignored: former.ignored + now.ignored,
            unknown: former.unknown + now.unknown,
            mcp_calls: former.mcp_calls + now.mcp_calls,
            mcp_failed: former.mcp_failed + now.mcp_failed,
            garbage: former.garbage + now.garbage,
        }
    }
}
