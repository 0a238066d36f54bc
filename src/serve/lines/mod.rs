//! The line of a call: the way to the caller's phone, whoever carries it.
//!
//! ```text
//!  way in ── claims its token ──► Awaited ─► Up ─► Gone ─► the call's report
//!                                    ▲             │
//!                                    └─ way back ──┘   lent for an errand, or broken off
//! ```
//!
//! A call sees one [`Line`] and of it only what every kind has: it is **polled**, after which [`next`](Line::next) tells what
//! came, as inputs of the engine that borrow from what was read; **pushed** the engine's commands; it names the **deadline**
//! after which it counts as lost; it runs **errands**, to which "cannot" is an answer; and a stream that is over has its
//! **way back** prepared: a fresh token, known to the [`registry`], which the carrier is given when it asks
//! what to do now. Once the call is being ended there is none, and the answer is to hang up.
//!
//! Which kinds there are is known to [`Socket`], [`Carrier`] and [`Answer`], and by nobody above: each has a folder below,
//! with its socket and what its carrier can be asked, and its words in [`link`](crate::link). How a kind of line comes to
//! us, by HTTP or otherwise, stands above calls, in [`ways_in`](super::ways_in).
//!
//! Enums and not objects with a table of functions: which kind it is never changes in a call, and frames come fifty times a
//! second.

mod line;
pub(super) mod twilio;

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tracing::Span;

use crate::engine::{CallerCommand, CallerEvent, EffectId, EffectResult};

use super::registry;

pub(super) use line::Line;

/// The calls of a server, by what a line hands to its call and what is answered to its carrier.
pub(super) type Registry = registry::Registry<Socket, Answer>;
/// A call's place among them.
pub(super) type Slot = registry::Slot<Socket, Answer>;
/// A call as it is entered.
pub(super) type Entry = registry::Entry<Socket, Answer>;

/// What the registry keeps for a carrier that asks how to connect a call, be it again: whoever made it reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Twilio(twilio::Twiml),
}

/// A stream that has shown its token, on its way to the call or with it.
pub(super) enum Socket {
    Twilio(Box<twilio::Socket>),
}

/// Who has the far end of a line: how it connects a stream to us, and what it can be asked.
pub(super) enum Carrier {
    Twilio(Box<twilio::Carrier>),
}

/// An errand on its way.
pub(super) type Errand = BoxFuture<'static, Outcome>;

/// How an effect came out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// For the engine.
    Ended(EffectResult),
    /// The carrier could not be asked; [closing](Line::close) the stream ends the call too, since the carrier then asks us
    /// and is told to hang up.
    CloseInstead,
    /// The carrier says that there is no such call any more.
    CallOver,
}

/// What came of the line.
#[derive(Debug)]
pub(super) enum Came<'l> {
    /// The stream is there, for the first time or once more.
    Began,
    /// For the engine.
    Event(CallerEvent<'l>),
    /// For the engine: the stream is over.
    Over(CallerEvent<'static>),
    /// The stream that was closed for this effect is over.
    Closed(EffectId),
    /// Nothing for the engine.
    Nothing,
}

/// What a stream's socket had.
enum Read {
    /// Something to look at.
    Message,
    /// Something that needs no looking at.
    Nothing,
    /// Its end, by the rules.
    Closed,
    /// Its end without a word, or with this one.
    Lost(Option<String>),
}

impl Socket {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        let Socket::Twilio(socket) = self;
        socket.poll(cx)
    }

    /// What the message means that was read last; it is kept until [`forget`](Self::forget).
    fn event(&mut self, span: &Span) -> Option<CallerEvent<'_>> {
        let Socket::Twilio(socket) = self;
        socket.event(span)
    }

    fn forget(&mut self) {
        let Socket::Twilio(socket) = self;
        socket.forget();
    }

    /// How many bytes of older audio were dropped for it.
    fn push(&mut self, command: &CallerCommand<'_>, read_at: Option<Instant>) -> usize {
        let Socket::Twilio(socket) = self;
        socket.push(command, read_at)
    }

    fn close(&mut self) {
        let Socket::Twilio(socket) = self;
        socket.close();
    }

    /// Whether it is fine, and how long the slowest message took from the model's connection into it.
    fn flush(&mut self, cx: &mut Context<'_>) -> (bool, Option<Duration>) {
        let Socket::Twilio(socket) = self;
        socket.flush(cx)
    }

    fn is_full(&self) -> bool {
        let Socket::Twilio(socket) = self;
        socket.is_full()
    }

    fn deadline(&self) -> Option<Instant> {
        let Socket::Twilio(socket) = self;
        socket.deadline()
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let Socket::Twilio(socket) = self;
        socket.counters()
    }
}

impl Carrier {
    /// Whether a stream that is over leads back to us.
    fn leads_back(&self) -> bool {
        let Carrier::Twilio(carrier) = self;
        carrier.leads_back()
    }

    /// What connects the stream that presents `token`.
    fn connect(&self, token: &str) -> Answer {
        let Carrier::Twilio(carrier) = self;
        Answer::Twilio(carrier.connect(token))
    }

    /// Ends the call.
    fn hang_up(&self) -> Errand {
        let Carrier::Twilio(carrier) = self;
        carrier.hang_up()
    }

    /// Puts the caller through. `back_after_s`: the line comes back when nobody has answered for so long.
    fn put_through(&self, to: &str, back_after_s: Option<u64>) -> Errand {
        let Carrier::Twilio(carrier) = self;
        carrier.put_through(to, back_after_s)
    }

    /// Presses keys for the far end, then connects the stream that presents `token`.
    fn press(&self, digits: &str, token: &str) -> Errand {
        let Carrier::Twilio(carrier) = self;
        carrier.press(digits, token)
    }
}
