//! The life of a line: a stream comes, goes and comes back, and errands in between.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ring::rand::SystemRandom;
use tokio::sync::oneshot;
use tracing::Span;

use crate::engine::{CallerCommand, CallerEvent, Effect, EffectId};
use crate::serve::metrics::Metrics;
use crate::serve::wall;

use super::{Came, Carrier, Errand, Read, Registry, Socket};

/// How long our end of the stream waits for the carrier to close the other.
const GOODBYE: Duration = Duration::from_secs(2);
/// Beyond the time that the line may be away, for the carrier to open the stream again.
const RETURN: Duration = Duration::from_secs(60);
/// How long a token is good that nobody has been given yet: longer than any call.
const UNASKED: Duration = Duration::from_secs(7 * 24 * 3_600);

/// A call's line, in whatever state its stream is.
pub(in crate::serve) struct Line {
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
    pub(in crate::serve) fn new(
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
    pub(in crate::serve) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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
    pub(in crate::serve) fn next(&mut self, ended: bool) -> Option<Came<'_>> {
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
    pub(in crate::serve) fn push(&mut self, command: &CallerCommand<'_>, read_at: Option<Instant>) {
        let State::Up(socket) = &mut self.state else { return };
        let dropped = socket.push(command, read_at);
        if dropped > 0 {
            self.metrics.line_dropped_bytes.add(dropped as u64);
        }
    }

    /// Writes what the stream takes now; never waits. `false`: it failed, and polling tells why.
    pub(in crate::serve) fn flush(&mut self, cx: &mut Context<'_>) -> bool {
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
    pub(in crate::serve) fn check(&mut self) -> bool {
        let full = matches!(&self.state, State::Up(socket) if socket.is_full());
        if full {
            self.stalled();
        }
        full
    }

    /// When [`tick`](Self::tick) is due.
    pub(in crate::serve) fn deadline(&self) -> Option<Instant> {
        let stalled = if let State::Up(socket) = &self.state { socket.deadline() } else { None };
        let closing = self.closing.map(|(until, _)| until);
        [stalled, closing].into_iter().flatten().min()
    }

    /// Gives the stream up if it took nothing for too long, or is not closed in time. Whether [`next`](Self::next) has
    /// something to tell.
    pub(in crate::serve) fn tick(&mut self, now: Instant) -> bool {
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
    pub(in crate::serve) fn broke_off(&mut self) -> bool {
        let up = self.is_up() && self.closing.is_none();
        if up {
            self.news = News::Over { closed: false };
        }
        up
    }

    /// Whether there is a stream.
    pub(in crate::serve) fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    fn is_resting(&self) -> bool {
        self.rests && self.closing.is_none()
    }

    /// Closes the stream once everything before is written, for an effect that is told once it is. `false`: there is none.
    pub(in crate::serve) fn close(&mut self, effect: Option<EffectId>, now: Instant) -> bool {
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
    pub(in crate::serve) fn rest(&mut self) {
        self.rests = true;
        self.come_back_no_more();
    }

    /// The call is over: the stream is closed, unless it is being already.
    pub(in crate::serve) fn end(&mut self, now: Instant) {
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
    pub(in crate::serve) fn run(&mut self, effect: &Effect) -> Option<Errand> {
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
    pub(in crate::serve) fn counters(&self) -> Vec<(&'static str, u64)> {
        match &self.state {
            State::Up(socket) => socket.counters(),
            State::Awaited(_) | State::Gone => self.counted.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use crate::config::{CarrierProfile, Limits, Twilio};
    use crate::serve::lines::{Answer, Entry, Slot, twilio};
    use crate::serve::public::Public;
    use crate::serve::registry::{Admission, Known, Next};

    use super::*;

    /// A call that is up and whose stream has not come yet.
    fn line() -> (Line, Arc<Registry>, Slot) {
        let registry = Arc::new(Registry::new());
        let public = Public::from_base("https://h".to_owned());
        let way = twilio::Way::new(public, "id".to_owned(), &limits(), CarrierProfile::Twilio);
        let (line, claimed) = oneshot::channel();
        let admitted = registry.admit(
            "id",
            1,
            Entry {
                carrier_call: "CA1".to_owned(),
                token: "first".to_owned(),
                expires: Instant::now() + Duration::from_secs(60),
                answer: Answer::Twilio(way.connect("first")),
                back: None,
                asked: 0,
                line: Some(line),
                commands: mpsc::channel(1).0,
            },
        );
        let Admission::New(slot) = admitted else { panic!("no slot") };
        let client = crate::serve::http_client().build().expect("a client");
        let carrier = twilio::Carrier::new(
            way,
            client,
            account(),
            "CA1".to_owned(),
            twilio::documents::Documents::new(Arc::default()),
        );
        let (random, metrics) = (SystemRandom::new(), Arc::default());
        let carrier = Carrier::Twilio(Box::new(carrier));
        let line = Line::new("id", carrier, claimed, Arc::clone(&registry), random, metrics, Span::none());
        (line, registry, slot)
    }

    fn limits() -> Limits {
        Limits {
            max_duration_s: 0,
            max_model_s: 0,
            warn_before_s: 0,
            farewell_s: 0,
            caller_silence_s: 0,
            caller_gone_s: 0,
            line_back_s: 10,
            model_silence_ms: 0,
            model_recovery_s: 0,
            transcript_wait_ms: 0,
            media_start_s: 0,
            early_audio_ms: 0,
        }
    }

    fn account() -> Twilio {
        Twilio {
            profile: CarrierProfile::Twilio,
            signing_key: None,
            space: None,
            account_sid: None,
            auth_token: None,
            rest_url: String::new(),
            check_signatures: false,
            rest_timeout_ms: 1_000,
            token_ttl_s: 60,
            refuse_full: String::new(),
            fallback_url: None,
            refuse_inactive: String::new(),
        }
    }

    #[tokio::test]
    async fn an_errand_has_its_way_back_until_the_call_is_ended() {
        let (mut line, registry, slot) = line();
        let transfer = |back_after_s| Effect::Transfer { to: "+14155550100".to_owned(), back_after_s };
        assert!(line.run(&Effect::SendDtmf("1".to_owned())).is_some());
        let soon = Instant::now() + Duration::from_secs(1);
        let Next::Connect(Answer::Twilio(back)) = registry.ask_again("CA1", soon) else { panic!("no way back") };
        assert!(!back.0.contains("first"), "the token is a fresh one");
        assert!(registry.claim("first", "CA1", soon).is_err());
        // Hanging up ends the call: its stream begins no more.
        assert!(line.run(&Effect::HangUp).is_some());
        assert_eq!(registry.ask_again("CA1", soon), Next::Over);
        drop(slot);
        assert_eq!(registry.known("CA1"), Known::Over);
        assert!(line.run(&Effect::SendDtmf("1".to_owned())).is_none());
        assert!(line.run(&transfer(Some(20))).is_none());
        assert!(line.run(&transfer(None)).is_some(), "it needs no way back");
        assert!(line.run(&Effect::Fetch).is_none(), "that is no errand of a line's");
    }

    #[tokio::test]
    async fn a_line_that_rests_is_not_waited_for() {
        let (mut line, registry, _slot) = line();
        line.rest();
        let sender = registry.claim("first", "CA1", Instant::now()).expect("let in");
        assert!(sender.is_closed(), "whoever comes now is turned away");
        assert!(!line.close(None, Instant::now()) && !line.broke_off(), "there is no stream");
        assert_eq!(line.deadline(), None);
    }
}
