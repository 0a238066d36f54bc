//! One call's loop: **handle, drain, wait**, around a [`CallEngine`] that decides everything.
//!
//! It is polled by hand: a wake-up asks each source until it has nothing more, and then writes once what came of it. To
//! ask a socket that has nothing costs as much as to read a frame, so each is asked as seldom as can be, which a
//! `select!` in a loop cannot do. Nothing here awaits a socket that is written to.

mod line;
mod world;

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Abortable, BoxFuture, Shared, join};
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Sleep, sleep_until};
use tokio_tungstenite::tungstenite::Message as ModelMessage;
use tracing::Span;

use crate::base::template::Variables;
use crate::base::time::CallTime;
use crate::config::{CallSettings, Deployment};
use crate::engine::{
    Action, CallEngine, CallEvent, CallerEvent, Control, EffectId, EffectResult, EndReason, Input, ModelCommand,
};
use crate::lab::journal::Pen;
use crate::link::{openai, twilio};
use crate::report::Report;

use super::Shared as Server;
use super::budget;
use super::effects::{Carrier, Outcome};
use super::ends::{Line, Model, Wake};
use super::keeper::Files;
use super::lend::{self, Way};
use super::media::{Claim, LineLeg};
use super::metrics::{Counter, Metrics};
use super::model;
use super::outlet::Kind;
use super::registry::{Command, Slot};
use super::tools::Hands;

/// Rounds through the sources, one message each, before the other calls of the thread have their turn.
const BURST: usize = 8;
/// How long our end of the stream waits for the carrier to close the other.
const GOODBYE: Duration = Duration::from_secs(2);

/// A running call.
pub(super) struct Call<'s> {
    /// The first to go: before the sockets, whose end leads the carrier back to us.
    _fails: Fails<'s>,
    shared: &'s Arc<Server>,
    id: &'s str,
    /// Named by whatever is logged; entered by nothing that happens for every frame, for that costs as much as the frame.
    span: &'s Span,
    began: Instant,
    deployment: &'s Deployment,
    settings: &'s CallSettings,
    slot: &'s Slot<Claim>,
    carrier: Carrier,
    hands: Hands,
    /// What `{{…}}` stands for: as the call began, and what was fetched since.
    variables: Arc<Variables>,
    fetch: Option<Fetching>,
    way: Way,
    /// Where the line comes back once its stream is over.
    back: Option<oneshot::Receiver<Claim>>,
    engine: CallEngine,
    pen: Pen,
    line: Line,
    stream: twilio::Stream,
    model: Model,
    session: openai::Session,
    /// What former sessions counted.
    counted: openai::Counters,
    effects: FuturesUnordered<Abortable<BoxFuture<'static, (EffectId, Outcome)>>>,
    /// What lets go of tools and fetches, of which the result may be of no use before it is there.
    handles: HashMap<EffectId, AbortHandle>,
    commanded: mpsc::Receiver<Command>,
    alarm: Pin<Box<Sleep>>,
    /// What the alarm is set to, if it is.
    alarm_at: Option<Instant>,
    asked: Asked,
    /// The stream is being closed by us, until then at the latest; the effect that asked for it, if one did.
    closing: Option<(Instant, Option<EffectId>)>,
    /// Nothing is read from the line any more, unless it is being closed.
    line_rests: bool,
    /// The socket of a stream that has stopped and may come back by another: whoever waits for its end learns from it that
    /// the other is there, or that the report is next.
    stopped: Option<Box<LineLeg>>,
    ended: Option<EndReason>,
    phase: PhaseGauge<'s>,
}

/// What is being fetched of the caller: whoever needs it polls it, and `None` means that the defaults stand.
type Fetching = Shared<BoxFuture<'static, Option<Arc<Variables>>>>;

/// Sources that have had nothing in this wake-up. They wake the task when they have something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Asked {
    line: bool,
    model: bool,
    effects: bool,
    commands: bool,
    alarm: bool,
}

/// When a call fails by a bug of ours, nothing is to be led back into it.
struct Fails<'s>(&'s Arc<Server>, &'s str);

impl Drop for Fails<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.registry.shut(self.1);
        }
    }
}

/// Where the input came from that is being answered, and when it was read: to tell how long it took through us.
#[derive(Clone, Copy)]
enum Origin {
    Line(Instant),
    Model(Instant),
    Other,
}

impl<'s> Call<'s> {
    #[allow(clippy::too_many_arguments)] // one place makes it, and every part is a different thing
    pub(super) fn new(
        shared: &'s Arc<Server>,
        id: &'s str,
        span: &'s Span,
        began: Instant,
        deployment: &'s Deployment,
        settings: &'s Arc<CallSettings>,
        slot: &'s Slot<Claim>,
        carrier: Carrier,
        way: Way,
        claimed: oneshot::Receiver<Claim>,
        commanded: mpsc::Receiver<Command>,
    ) -> Self {
        Call {
            _fails: Fails(shared, id),
            shared,
            id,
            span,
            began,
            deployment,
            settings,
            slot,
            carrier,
            hands: Hands::new(shared.reach.clone(), Arc::clone(&deployment.agent), Arc::clone(&shared.metrics)),
            variables: Arc::new(settings.variables.clone()),
            fetch: None,
            way,
            back: None,
            engine: CallEngine::new(Arc::clone(settings)),
            pen: Pen::new(settings, deployment.keep.journal),
            line: Line::Awaited(claimed),
            stream: twilio::Stream::new(),
            model: Model::Off,
            session: openai::Session::new(&deployment.agent, "", settings.format),
            counted: openai::Counters::default(),
            effects: FuturesUnordered::new(),
            handles: HashMap::new(),
            commanded,
            alarm: Box::pin(sleep_until(began.into())),
            alarm_at: None,
            asked: Asked::default(),
            closing: None,
            line_rests: false,
            stopped: None,
            ended: None,
            phase: PhaseGauge::waiting(&shared.metrics),
        }
    }

    /// Until the call is over: its report, the rest of its journal, and what its variables were in the end.
    pub(super) async fn run(mut self, files: &mut Files) -> (Report, Vec<u8>, Arc<Variables>) {
        self.carry_out(CallTime::ZERO, Origin::Other, files);
        poll_fn(|cx| self.poll(cx, files, |call| call.ended.is_some())).await;
        self.close(files).await;
        let mut report = self.engine.report();
        if let Some(end) = self.ended.take() {
            report.end = end;
        }
        let mut odd = Vec::new();
        for (name, n) in
            self.stream.counters().iter().filter(|(name, n)| *n > 0 && !matches!(*name, "messages" | "media"))
        {
            self.shared.metrics.line_ignored.add(name, n);
            *report.counters.entry(format!("line_{name}")).or_default() += n;
            odd.push(format!("{name} {n}"));
        }
        if !odd.is_empty() {
            tracing::warn!(parent: self.span, what = odd.join(", "), "messages of the line came to nothing, or in an odd way");
        }
        self.count_session();
        let openai::Counters { unknown, mcp_calls, mcp_failed, .. } = self.counted;
        report.counters.insert("model_unknown_events".to_owned(), unknown);
        report.counters.insert("model_mcp_calls".to_owned(), mcp_calls);
        report.counters.insert("model_mcp_failed".to_owned(), mcp_failed);
        report.counters.retain(|_, n| *n > 0);
        (report, self.pen.take(), self.variables)
    }

    /// One wake-up. Ready when it is `over`.
    fn poll(&mut self, cx: &mut Context<'_>, files: &mut Files, over: impl Fn(&Self) -> bool) -> Poll<()> {
        self.asked = Asked::default();
        for _ in 0..BURST {
            self.round(cx, files);
            if over(self) {
                return Poll::Ready(());
            }
            if self.asked == Asked::ALL {
                self.flush(cx);
                self.set_alarm();
                // Unless writing failed, which reading tells, or the alarm was moved.
                if self.asked == Asked::ALL {
                    files.tend(self.pen.len(), || self.pen.take(), Instant::now());
                    return Poll::Pending;
                }
            }
        }
        self.flush(cx);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// At most one message of each source, so that none waits for another.
    fn round(&mut self, cx: &mut Context<'_>, files: &mut Files) {
        if self.line_rests && self.closing.is_none() {
            self.asked.line = true;
        }
        if !self.asked.line {
            match self.line.poll_next(cx) {
                Poll::Ready(wake) => self.take(wake, Instant::now(), files),
                Poll::Pending => self.asked.line = true,
            }
        }
        if !self.asked.model {
            // Before: what follows may dial anew.
            self.asked.model = true;
            if let Poll::Ready(wake) = self.model.poll_next(cx) {
                self.asked.model = false;
                self.take(wake, Instant::now(), files);
            }
        }
        if !self.asked.effects {
            self.asked.effects = true;
            if let Poll::Ready(Some(ended)) = self.effects.poll_next_unpin(cx) {
                self.asked.effects = false;
                // One that was let go of has nothing to say.
                if let Ok((id, outcome)) = ended {
                    self.take(Wake::Effect(id, outcome), Instant::now(), files);
                }
            }
        }
        if !self.asked.commands {
            self.asked.commands = true;
            if let Poll::Ready(Some(command)) = self.commanded.poll_recv(cx) {
                self.asked.commands = false;
                self.take(Wake::Command(command), Instant::now(), files);
            }
        }
        if !self.asked.alarm {
            self.asked.alarm = true;
            if self.alarm_at.is_some() && self.alarm.as_mut().poll(cx).is_ready() {
                self.take(Wake::Alarm, Instant::now(), files);
            }
        }
        if matches!(&self.line, Line::Up(leg) if leg.is_full()) {
            self.shared.metrics.stalled.add("line", 1);
            self.line_is_gone(false, Instant::now(), files);
        }
        if matches!(&self.model, Model::Up(leg) if leg.is_full()) {
            self.model_is_stuck("the model's socket is too slow", Instant::now(), files);
        }
    }

    /// Turns what happened into the engine's input, and carries out what it answers.
    fn take(&mut self, wake: Wake, now: Instant, files: &mut Files) {
        match wake {
            Wake::Claimed(Some(Claim { leg, stream })) => {
                self.line = Line::Up(leg);
                self.stopped = None;
                self.stream = stream;
                self.back = lend::prepare(self.shared, &self.way);
                self.shared.metrics.started.add(1);
                self.phase.set(Phase::Talking);
                tracing::info!(parent: self.span, "media stream up");
                self.input(now, Input::Caller(CallerEvent::Started), Origin::Line(now), files);
            }
            // Only when the registry let go of the call, which it does after us.
            Wake::Claimed(None) => self.line = Line::Gone,
            Wake::Line(read) => self.take_line(read, now, files),
            Wake::Dialled(Ok(leg)) => {
                self.shared.metrics.dials.add("connected", 1);
                self.model = Model::Up(leg);
                self.begin_session();
            }
            Wake::Dialled(Err(event)) => {
                self.shared.metrics.dials.add("failed", 1);
                self.model = Model::Off;
                self.input(now, Input::Model(event), Origin::Other, files);
            }
            Wake::Model(read) => self.take_model(read, now, files),
            Wake::Effect(id, outcome) => self.take_effect(id, outcome, now, files),
            Wake::Command(Command::Control(control)) => {
                if control == Control::LineReturns && matches!(self.line, Line::Up(_)) && self.closing.is_none() {
                    // The carrier knows before us that its stream is over.
                    self.line_is_gone(false, now, files);
                }
                self.input(now, Input::Control(control), Origin::Other, files);
            }
            Wake::Command(Command::HungUp) => {
                self.input(now, Input::Caller(CallerEvent::HungUp), Origin::Other, files);
            }
            Wake::Command(Command::Kill) => {
                self.input(now, Input::Control(Control::EndNow(EndReason::Shutdown)), Origin::Other, files);
            }
            Wake::Alarm => self.take_alarm(now, files),
        }
    }

    fn take_model(
        &mut self,
        read: Option<Result<ModelMessage, tokio_tungstenite::tungstenite::Error>>,
        now: Instant,
        files: &mut Files,
    ) {
        if let Some(event) = model::ending(&read) {
            self.model = Model::Off;
            self.input(now, Input::Model(event), Origin::Other, files);
            return;
        }
        let Some(Ok(ModelMessage::Text(text))) = read else { return };
        tracing::trace!(parent: self.span, bytes = text.len(), "from the model");
        let at = call_time(self.began, now);
        if let Some(event) = self.session.decode(text.as_str()) {
            let input = Input::Model(event);
            self.pen.input(at, &input);
            self.engine.handle(at, input);
        }
        while let Some(event) = self.session.poll_event() {
            self.carry_out(at, Origin::Model(now), files);
            if self.ended.is_some() {
                break;
            }
            let input = Input::Model(event);
            self.pen.input(at, &input);
            self.engine.handle(at, input);
        }
        let span = self.span;
        while let Some(kind) = self.session.strangers().poll() {
            tracing::warn!(parent: span, kind, "the model sends an event of a type that is not known; it is ignored");
        }
        while let Some(reply) = self.session.poll_reply() {
            self.model.send(Kind::Other, reply, None, &self.shared.metrics);
        }
        self.carry_out(at, Origin::Model(now), files);
    }

    fn take_effect(&mut self, id: EffectId, outcome: Outcome, now: Instant, files: &mut Files) {
        let result = match outcome {
            Outcome::CloseInstead if self.hang_up_by_closing(Some(id), now) => return,
            // There is no stream to close: the carrier has gone on by itself, or is told to hang up when it asks.
            Outcome::CloseInstead => EffectResult::Done,
            Outcome::CallOver => {
                self.shared.metrics.effects.add("call_over", 1);
                self.input(now, Input::Caller(CallerEvent::HungUp), Origin::Other, files);
                return;
            }
            Outcome::Ended(result) => result,
        };
        self.handles.remove(&id);
        if let EffectResult::Variables(fetched) = &result {
            self.learn(fetched);
        }
        self.shared.metrics.effects.add(
            if matches!(result, EffectResult::Failed(_) | EffectResult::Unknown(_)) { "failed" } else { "done" },
            1,
        );
        self.input(now, Input::Effect(id, result), Origin::Other, files);
    }

    fn take_alarm(&mut self, now: Instant, files: &mut Files) {
        self.alarm_at = None;
        if self.closing.is_some_and(|(until, _)| until <= now) {
            self.line_is_gone(true, now, files);
        }
        if let Line::Up(leg) = &self.line
            && leg.deadline().is_some_and(|at| at <= now)
        {
            self.shared.metrics.stalled.add("line", 1);
            self.line_is_gone(false, now, files);
        }
        if let Model::Up(leg) = &self.model
            && (leg.deadline().is_some_and(|at| at <= now))
        {
            self.model_is_stuck("the model's socket takes nothing", now, files);
        }
        if self.engine.next_deadline().is_some_and(|(at, _)| at <= call_time(self.began, now)) {
            self.input(now, Input::Tick, Origin::Other, files);
        }
    }

    fn model_is_stuck(&mut self, why: &str, now: Instant, files: &mut Files) {
        self.shared.metrics.stalled.add("model", 1);
        self.model = Model::Off;
        self.input(now, Input::Model(model::closed(why.to_owned(), true)), Origin::Other, files);
    }

    /// One input that borrows nothing of ours.
    fn input(&mut self, now: Instant, input: Input<'_>, origin: Origin, files: &mut Files) {
        if self.ended.is_some() {
            return;
        }
        let at = call_time(self.began, now);
        self.pen.input(at, &input);
        self.engine.handle(at, input);
        self.carry_out(at, origin, files);
    }

    /// Drains the engine. Everything here is done at once or queued; results come back as inputs.
    fn carry_out(&mut self, at: CallTime, origin: Origin, files: &mut Files) {
        while let Some(action) = self.engine.poll_action() {
            self.pen.action(at, &action);
            match action {
                Action::SendCaller(command) => {
                    let read_at = if let Origin::Model(at) = origin { Some(at) } else { None };
                    self.line.send(&mut self.stream, &command, read_at, &self.shared.metrics);
                }
                Action::SendModel(command) => {
                    let audio = matches!(command, ModelCommand::AppendAudio(_));
                    let mut text = String::with_capacity(512);
                    self.session.encode(&command, &mut text);
                    if text.is_empty() {
                        // Of something that the far end has no name for.
                        continue;
                    }
                    let read_at = if let (true, Origin::Line(at)) = (audio, origin) { Some(at) } else { None };
                    self.model.send(if audio { Kind::Audio } else { Kind::Other }, text, read_at, &self.shared.metrics);
                }
                Action::DialModel => {
                    let dial = model::dial(Arc::clone(&self.deployment.agent.model), self.shared.model_way.clone());
                    let dial = match self.fetch.clone() {
                        // The session's instructions need what is fetched; both are on their way at once.
                        Some(fetch) => Box::pin(async move { join(dial, fetch).await.0 }),
                        None => dial,
                    };
                    self.model.replace(Model::Dialling(dial));
                    self.asked.model = false;
                }
                Action::CloseModel => self.model.replace(Model::Off),
                Action::Run(id, effect) => self.run_effect(id, effect),
                Action::Cancel(id) => {
                    if let Some(handle) = self.handles.remove(&id) {
                        self.shared.metrics.effects.add("cancelled", 1);
                        handle.abort();
                    }
                }
                // For the journal only.
                Action::Heard(_) | Action::Found(_) => {}
                Action::Record(record) => files.record(&record, Instant::now()),
                Action::Emit(event) => {
                    tracing::debug!(parent: self.span, %at, %event);
                    if let CallEvent::BudgetLow { cost_micros } = event {
                        budget::ask_for_more(self.shared, self.id, self.deployment, cost_micros);
                    }
                    if let CallEvent::ModelComplained { about, text } = &event {
                        tracing::warn!(parent: self.span, about, text, "the model complains");
                    }
                    if let Some(observer) = &self.shared.observer {
                        observer.event(self.id, at, &event);
                    }
                }
                Action::LineOver => self.line_over(),
                Action::End(reason) => {
                    self.shared.registry.shut(self.id);
                    self.ended = Some(reason);
                }
            }
        }
    }

    /// Writes what the sockets take now; never waits. After an error the socket is read again, which says what it was.
    fn flush(&mut self, cx: &mut Context<'_>) {
        if let Line::Up(leg) = &mut self.line
            && !(self.line_rests && self.closing.is_none())
        {
            self.asked.line &= leg.flush(cx);
            if let Some(took) = leg.take_latency() {
                self.shared.metrics.model_to_caller.observe(took);
            }
        }
        if let Model::Up(leg) = &mut self.model {
            self.asked.model &= leg.flush(cx);
            if let Some(took) = leg.take_latency() {
                self.shared.metrics.caller_to_model.observe(took);
            }
        }
    }

    /// Sets the alarm to what is due first. One that rings too early is cheaper than one that is moved for every frame.
    fn set_alarm(&mut self) {
        // A call that was ended at once has an engine that still waits for things; they are not its business any more.
        let engine = self.engine.next_deadline().filter(|_| self.ended.is_none());
        let engine = engine.map(|(at, _)| self.began + Duration::from_micros(at.as_us()));
        let line = if let Line::Up(leg) = &self.line { leg.deadline() } else { None };
        let model = if let Model::Up(leg) = &self.model { leg.deadline() } else { None };
        let closing = self.closing.map(|(until, _)| until);
        let Some(due) = [engine, line, model, closing].into_iter().flatten().min() else { return };
        if self.alarm_at.is_none_or(|at| due < at) {
            self.alarm.as_mut().reset(due.into());
            self.alarm_at = Some(due);
            self.asked.alarm = false;
        }
    }

    /// After the end: lets go of both sockets properly, and of effects that still run.
    async fn close(&mut self, files: &mut Files) {
        self.model.replace(Model::Off);
        self.commanded.close();
        for handle in std::mem::take(&mut self.handles).into_values() {
            handle.abort();
        }
        self.let_line_go();
        // Effects have time-outs of their own, the stream's end has one here.
        let over = |call: &Self| call.effects.is_empty() && !matches!(call.line, Line::Up(_));
        if !over(self) {
            poll_fn(|cx| self.poll(cx, files, over)).await;
        }
    }
}

impl Asked {
    const ALL: Asked = Asked { line: true, model: true, effects: true, commands: true, alarm: true };
}

/// How far a call has come, for the gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Talking,
    Closing,
}

/// Counts a call in the gauge of its phase for as long as it is there, however it ends.
struct PhaseGauge<'s> {
    metrics: &'s Metrics,
    phase: Phase,
}

impl<'s> PhaseGauge<'s> {
    fn waiting(metrics: &'s Metrics) -> Self {
        metrics.waiting.add(1);
        PhaseGauge { metrics, phase: Phase::Waiting }
    }

    /// A line that came back is no new call.
    fn set(&mut self, phase: Phase) {
        if self.phase != phase {
            self.gauge().take_back(1);
            self.phase = phase;
            self.gauge().add(1);
        }
    }

    fn gauge(&self) -> &'s Counter {
        match self.phase {
            Phase::Waiting => &self.metrics.waiting,
            Phase::Talking => &self.metrics.talking,
            Phase::Closing => &self.metrics.closing,
        }
    }
}

impl Drop for PhaseGauge<'_> {
    fn drop(&mut self) {
        self.gauge().take_back(1);
    }
}

fn call_time(began: Instant, now: Instant) -> CallTime {
    CallTime::from_us(now.duration_since(began).as_micros() as u64)
}
