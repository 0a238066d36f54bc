//! The realtime model of a call, whoever makes it.
//!
//! A call sees one [`Model`] and of it only what every kind has: it is **dialled** and let go of; **polled**, after which
//! [`next`](Model::next) tells what came, as inputs of the engine that borrow from what was read; **pushed** the engine's
//! commands; and it names the **deadline** after which it counts as stuck. Which kinds there are is known here, and by
//! nobody above: each has a folder below, with its socket, and its words in [`link`](crate::link).
//!
//! An enum and not an object with a table of functions: which kind it is changes once in a call, and frames come fifty
//! times a second.

mod openai;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::future::BoxFuture;
use tokio_tungstenite::Connector;
use tracing::Span;

use crate::base::audio::AudioFormat;
use crate::config::Agent;
use crate::engine::{ModelCommand, ModelEvent};

use super::metrics::Metrics;
use super::outgoing::Outgoing;
use super::tls;

/// How models are reached.
#[derive(Clone)]
pub(super) struct Way {
    outgoing: Outgoing,
    /// The public roots, one configuration for all so that sessions are resumed.
    tls: Connector,
}

impl Way {
    pub(super) fn new(outgoing: Outgoing) -> Way {
        Way { outgoing, tls: Connector::Rustls(Arc::new(tls::to_others())) }
    }
}

/// A call's model, connected or not.
pub(super) enum Model {
    OpenAi(Box<openai::Model>),
}

/// What came of the model.
#[derive(Debug)]
pub(super) enum Came<'m> {
    /// The connection is there: the session [begins](Model::begin).
    Connected,
    /// For the engine.
    Event(ModelEvent<'m>),
    /// For the engine: the connection is over, or did not come about.
    Over(ModelEvent<'static>),
    /// Nothing for the engine.
    Nothing,
}

/// What a call's model counts, by the report's names.
pub(super) type Counters = [(&'static str, u64); 3];

impl Model {
    /// The model of `agent` for a line of this format; it is not dialled yet.
    pub(super) fn new(agent: Arc<Agent>, line: AudioFormat, way: Way, metrics: Arc<Metrics>, span: Span) -> Model {
        Model::OpenAi(Box::new(openai::Model::new(agent, line, way, metrics, span)))
    }

    /// Connects anew; a connection that there is, is let go of. `with`: what must be over before the session can begin.
    pub(super) fn dial(&mut self, with: Option<BoxFuture<'static, ()>>) {
        let Model::OpenAi(model) = self;
        model.dial(with);
    }

    /// Begins the session on a connection that is there.
    pub(super) fn begin(&mut self, instructions: &str) {
        let Model::OpenAi(model) = self;
        model.begin(instructions);
    }

    /// Ready when something came, of which [`next`](Self::next) is to be asked until it has nothing more.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Model::OpenAi(model) = self;
        model.poll(cx)
    }

    /// What came, one after the other; each is for the engine before the next is asked for.
    pub(super) fn next(&mut self) -> Option<Came<'_>> {
        let Model::OpenAi(model) = self;
        model.next()
    }

    /// Queues a command; without a connection it is dropped. `read_at`: when the audio in it was read from the line.
    pub(super) fn push(&mut self, command: &ModelCommand<'_>, read_at: Option<Instant>) {
        let Model::OpenAi(model) = self;
        model.push(command, read_at);
    }

    /// Writes what the connection takes now; never waits. `false`: it failed, and polling tells why.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        let Model::OpenAi(model) = self;
        model.flush(cx)
    }

    /// Gives the connection up if more waits for it than may. Whether [`next`](Self::next) has something to tell.
    pub(super) fn check(&mut self) -> bool {
        let Model::OpenAi(model) = self;
        model.check()
    }

    /// When [`tick`](Self::tick) is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let Model::OpenAi(model) = self;
        model.deadline()
    }

    /// Gives the connection up if it took nothing for too long. Whether [`next`](Self::next) has something to tell.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        let Model::OpenAi(model) = self;
        model.tick(now)
    }

    /// Lets go of the connection, politely, without making anyone wait.
    pub(super) fn close(&mut self) {
        let Model::OpenAi(model) = self;
        model.close();
    }

    /// Of all sessions of the call.
    pub(super) fn counters(&self) -> Counters {
        let Model::OpenAi(model) = self;
        model.counters()
    }
}
