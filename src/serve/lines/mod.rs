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
//! **way back** prepared: a fresh token, known to the [`registry`](super::registry), which the carrier is given when it asks
//! what to do now. Once the call is being ended there is none, and the answer is to hang up.
//!
//! Which kinds there are is known to [`Socket`], [`Carrier`] and [`Answer`], and by nobody above: each has a folder below,
//! with its socket and what its carrier can be asked, and its words in [`link`](crate::link). How a kind of line comes to
//! us, by HTTP or otherwise, stands above calls, in [`ways_in`](super::ways_in).
//!
//! Enums and not objects with a table of functions: which kind it is never changes in a call, and frames come fifty times a
//! second.

pub(super) mod twilio;

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use ring::rand::SystemRandom;
use tokio::sync::oneshot;
use tracing::Span;

use crate::engine::{CallerCommand, CallerEvent, Effect, EffectId, EffectResult};

use super::metrics::Metrics;
use super::{registry, wall};

/// How long our end of the stream waits for the carrier to close the other.
const GOODBYE: Duration = Duration::from_secs(2);
/// Beyond the time that the line may be away, for the carrier to open the stream again.
const RETURN: Duration = Duration::from_secs(60);
/// How long a token is good that nobody has been given yet: longer than any call.
const UNASKED: Duration = Duration::from_secs(7 * 24 * 3_600);

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

/// A call's line, in whatever state its stream is.
pub(super) struct Line {
    call: String,
    state: State,
    carrier: Carrier,
    /// Where the line comes back once its stream is over.
    back: Option<oneshot::Receiver<Socket>>,
    /// The stream is being closed by us, until then at the latest; the effect that asked for it, if one did.
    closing: Option<(Instant, Option<EffectId>)>,
    /// Nothing is read any more, unless the stream is being closed.
    rests: bool,
    /// A stream that has stopped and may come back by another: whoever waits for its end learns from it that the other is
    /// there, or that the report is next.
    stopped: Option<Socket>,
    /// What the stream counted that was there last.
    counted: Vec<(&'static str, u64)>,
    news: News,
    registry: Arc<Registry>,
    random: SystemRandom,
    metrics: Arc<Metrics>,
    span: Span,
}

enum State {
    /// The carrier has not connected yet.
    Awaited(oneshot::Receiver<Socket>),
    Up(Socket),
    Gone,
}

/// What is to be told.
#[derive(Clone, Copy)]
enum News {
    None,
    Began,
    /// A message, of which nothing is told yet.
    Message,
    /// Its event is told; `stop`: it was the stream's last.
    Told {
        stop: bool,
    },
    /// The stream is done for. `closed`: by the rules, rather than without a word.
    Over {
        closed: bool,
    },
    /// That is told.
    Left,
}

impl Line {
    /// The line of `call` that is awaited at `claimed`.
    pub(super) fn new(
        call: &str,
        carrier: Carrier,
        claimed: oneshot::Receiver<Socket>,
        registry: Arc<Registry>,
        random: SystemRandom,
        metrics: Arc<Metrics>,
        span: Span,
    ) -> Line {
        Line {
            call: call.to_owned(),
            state: State::Awaited(claimed),
            carrier,
            back: None,
            closing: None,
            rests: false,
            stopped: None,
            counted: Vec::new(),
            news: News::None,
            registry,
            random,
            metrics,
            span,
        }
    }

    /// Ready when something came, of which [`next`](Self::next) is to be asked until it has nothing more.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_resting() {
            return Poll::Pending;
        }
        match &mut self.state {
            State::Awaited(claimed) => match ready!(Pin::new(claimed).poll(cx)) {
                Ok(socket) => {
                    self.stopped = None;
                    self.state = State::Up(socket);
                    self.prepare();
                    self.news = News::Began;
                }
                // Only when the registry let go of the call, which it does after us.
                Err(_) => self.state = State::Gone,
            },
            State::Up(socket) => match ready!(socket.poll(cx)) {
                Read::Message => self.news = News::Message,
                Read::Nothing => {}
                Read::Closed => self.news = News::Over { closed: true },
                Read::Lost(why) => {
                    if let (Some(why), None) = (why, self.closing) {
                        tracing::warn!(parent: &self.span, why, "the media stream's socket has failed");
                    }
                    self.news = News::Over { closed: false };
                }
            },
            State::Gone => return Poll::Pending,
        }
        Poll::Ready(())
    }

    /// What came, one after the other; each is for the engine before the next is asked for. `ended`: the call has, so that
    /// its line does not come back.
    pub(super) fn next(&mut self, ended: bool) -> Option<Came<'_>> {
        match std::mem::replace(&mut self.news, News::None) {
            News::None => None,
            News::Began => Some(Came::Began),
            News::Message => {
                self.news = News::Told { stop: false };
                let State::Up(socket) = &mut self.state else { return Some(Came::Nothing) };
                Some(match socket.event(&self.span) {
                    Some(event) => {
                        self.news = News::Told { stop: event == CallerEvent::StreamEnded };
                        Came::Event(event)
                    }
                    None => Came::Nothing,
                })
            }
            News::Told { stop } => {
                if let State::Up(socket) = &mut self.state {
                    socket.forget();
                }
                if !stop || self.back.is_none() || ended {
                    return None;
                }
                // The stream that comes back must not wait for this socket to be closed at its other end.
                self.stopped = self.leave();
                Some(self.over(true))
            }
            News::Over { closed } => {
                self.leave();
                Some(self.over(closed))
            }
            News::Left => {
                if let Some(back) = self.back.take().filter(|_| !ended) {
                    self.state = State::Awaited(back);
                }
                None
            }
        }
    }

    /// Takes out the stream that there may be.
    fn leave(&mut self) -> Option<Socket> {
        let State::Up(socket) = std::mem::replace(&mut self.state, State::Gone) else { return None };
        self.counted = socket.counters();
        Some(socket)
    }

    fn over(&mut self, closed: bool) -> Came<'static> {
        self.news = News::Left;
        match self.closing.take() {
            Some((_, Some(effect))) => Came::Closed(effect),
            Some((_, None)) => Came::Nothing,
            None => Came::Over(if closed { CallerEvent::StreamEnded } else { CallerEvent::Lost }),
        }
    }

    /// Queues a command; without a stream it is dropped. `read_at`: when the audio in it was read from the model.
    pub(super) fn push(&mut self, command: &CallerCommand<'_>, read_at: Option<Instant>) {
        let State::Up(socket) = &mut self.state else { return };
        let dropped = socket.push(command, read_at);
        if dropped > 0 {
            self.metrics.line_dropped_bytes.add(dropped as u64);
        }
    }

    /// Writes what the stream takes now; never waits. `false`: it failed, and polling tells why.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_resting() {
            return true;
        }
        let State::Up(socket) = &mut self.state else { return true };
        let (fine, took) = socket.flush(cx);
        if let Some(took) = took {
            self.metrics.model_to_caller.observe(took);
        }
        fine
    }

    /// Gives the stream up if more waits for it than may. Whether [`next`](Self::next) has something to tell.
    pub(super) fn check(&mut self) -> bool {
        let full = matches!(&self.state, State::Up(socket) if socket.is_full());
        if full {
            self.stalled();
        }
        full
    }

    /// When [`tick`](Self::tick) is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let stalled = if let State::Up(socket) = &self.state { socket.deadline() } else { None };
        let closing = self.closing.map(|(until, _)| until);
        [stalled, closing].into_iter().flatten().min()
    }

    /// Gives the stream up if it took nothing for too long, or is not closed in time. Whether [`next`](Self::next) has
    /// something to tell.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        if self.closing.is_some_and(|(until, _)| until <= now) {
            self.news = News::Over { closed: true };
            return true;
        }
        let State::Up(socket) = &self.state else { return false };
        let due = socket.deadline().is_some_and(|at| at <= now);
        if due {
            self.stalled();
        }
        due
    }

    fn stalled(&mut self) {
        self.metrics.stalled.add("line", 1);
        self.news = News::Over { closed: false };
    }

    /// The carrier knows before us that its stream is over. Whether [`next`](Self::next) has something to tell.
    pub(super) fn broke_off(&mut self) -> bool {
        let up = self.is_up() && self.closing.is_none();
        if up {
            self.news = News::Over { closed: false };
        }
        up
    }

    /// Whether there is a stream.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    fn is_resting(&self) -> bool {
        self.rests && self.closing.is_none()
    }

    /// Closes the stream once everything before is written, for an effect that is told once it is. `false`: there is none.
    pub(super) fn close(&mut self, effect: Option<EffectId>, now: Instant) -> bool {
        let State::Up(socket) = &mut self.state else { return false };
        if self.closing.is_none() {
            socket.close();
            self.registry.stream_closed();
        }
        self.closing = Some((now + GOODBYE, effect));
        true
    }

    /// The line is done with, though the call is not. A stream that we do not close yet rests: whoever sees its end knows
    /// that the report is next.
    pub(super) fn rest(&mut self) {
        self.rests = true;
        self.come_back_no_more();
    }

    /// The call is over: the stream is closed, unless it is being already.
    pub(super) fn end(&mut self, now: Instant) {
        if self.closing.is_none() {
            self.close(None, now);
        }
        self.come_back_no_more();
    }

    fn come_back_no_more(&mut self) {
        self.back = None;
        if let State::Awaited(claimed) = &mut self.state {
            claimed.close();
            self.state = State::Gone;
        }
    }

    /// Begins an errand. `None`: there is no way back from it, for the call is being let go of, or it is none of a line's.
    pub(super) fn run(&mut self, effect: &Effect) -> Option<Errand> {
        let away_s = match effect {
            Effect::HangUp => {
                self.registry.shut(&self.call);
                return Some(self.carrier.hang_up());
            }
            Effect::Transfer { to, back_after_s: None } => return Some(self.carrier.put_through(to, None)),
            Effect::Transfer { back_after_s: Some(ring_s), .. } => *ring_s,
            Effect::SendDtmf(_) => 0,
            Effect::Tool { .. } | Effect::Fetch => return None,
        };
        let token = self.renew(Instant::now() + Duration::from_secs(away_s) + RETURN)?;
        match effect {
            Effect::Transfer { to, .. } => Some(self.carrier.put_through(to, Some(away_s))),
            Effect::SendDtmf(digits) => Some(self.carrier.press(digits, &token)),
            _ => None,
        }
    }

    /// Prepares the way back of a stream that is in place.
    fn prepare(&mut self) {
        self.back = None;
        if self.carrier.leads_back() {
            self.renew(Instant::now() + UNASKED);
        }
    }

    /// A fresh token for the call's next stream, which is awaited from now on.
    fn renew(&mut self, expires: Instant) -> Option<String> {
        let token = wall::token(&self.random).ok()?;
        let (line, back) = oneshot::channel();
        let answer = self.carrier.connect(&token);
        if !self.registry.renew(&self.call, &token, expires, answer, line) {
            return None;
        }
        self.back = Some(back);
        Some(token)
    }

    /// What the stream counted, there now or last: messages that came to nothing, or in an odd way.
    pub(super) fn counters(&self) -> Vec<(&'static str, u64)> {
        match &self.state {
            State::Up(socket) => socket.counters(),
            State::Awaited(_) | State::Gone => self.counted.clone(),
        }
    }
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
