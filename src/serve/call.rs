//! One call's loop: **handle, drain, wait**, around a [`CallEngine`] that decides everything.
//!
//! It is polled by hand: a wake-up asks each source until it has nothing more, and then writes once what came of it. To
//! ask a socket that has nothing costs as much as to read a frame, so each is asked as seldom as can be, which a
//! `select!` in a loop cannot do. Nothing here awaits a socket that is written to.

mod effects;

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::{AbortHandle, Abortable, BoxFuture, Shared};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Sleep, sleep_until};
use tracing::Span;

use crate::base::template::Variables;
use crate::base::time::CallTime;
use crate::config::{CallSettings, Deployment};
use crate::engine::{Action, CallEngine, CallEvent, CallerEvent, Control, EffectId, EffectResult, EndReason, Input};
use crate::lab::journal::Pen;
use crate::report::Report;

use super::Shared as Server;
use super::budget;
use super::keeper::Files;
use super::lines::{self, Carrier, Line, Outcome, Slot, Socket};
use super::metrics::{Counter, Metrics};
use super::models::{self, Model};
use super::registry::Command;
use super::tools::Hands;

/// Rounds through the sources, one message each, before the other calls of the thread have their turn.
const BURST: usize = 8;

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
    slot: &'s Slot,
    hands: Hands,
    /// What `{{…}}` stands for: as the call began, and what was fetched since.
    variables: Arc<Variables>,
    fetch: Option<Fetching>,
    engine: CallEngine,
    pen: Pen,
    line: Line,
    model: Model,
    effects: FuturesUnordered<Abortable<BoxFuture<'static, (EffectId, Outcome)>>>,
    /// What lets go of tools and fetches, of which the result may be of no use before it is there.
    handles: HashMap<EffectId, AbortHandle>,
    commanded: mpsc::Receiver<Command>,
    alarm: Pin<Box<Sleep>>,
    /// What the alarm is set to, if it is.
    alarm_at: Option<Instant>,
    asked: Asked,
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
        slot: &'s Slot,
        carrier: Carrier,
        claimed: oneshot::Receiver<Socket>,
        commanded: mpsc::Receiver<Command>,
    ) -> Self {
        let (registry, metrics) = (&shared.registry, &shared.metrics);
        let line = Line::new(
            id,
            carrier,
            claimed,
            Arc::clone(registry),
            shared.random.clone(),
            Arc::clone(metrics),
            span.clone(),
        );
        let (agent, way) = (Arc::clone(&deployment.agent), shared.model_way.clone());
        let model = Model::new(agent, settings.format, way, Arc::clone(metrics), span.clone());
        Call {
            _fails: Fails(shared, id),
            shared,
            id,
            span,
            began,
            deployment,
            slot,
            hands: Hands::new(
                shared.reach.clone(),
                Arc::clone(&deployment.agent),
                shared.store.knowledge(),
                Arc::clone(&shared.metrics),
            ),
            variables: Arc::new(settings.variables.clone()),
            fetch: None,
            engine: CallEngine::new(Arc::clone(settings)),
            pen: Pen::new(settings, deployment.keep.journal),
            line,
            model,
            effects: FuturesUnordered::new(),
            handles: HashMap::new(),
            commanded,
            alarm: Box::pin(sleep_until(began.into())),
            alarm_at: None,
            asked: Asked::default(),
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
        for (name, n) in self.line.counters() {
            self.shared.metrics.line_ignored.add(name, n);
            *report.counters.entry(format!("line_{name}")).or_default() += n;
            odd.push(format!("{name} {n}"));
        }
        if !odd.is_empty() {
            tracing::warn!(parent: self.span, what = odd.join(", "), "messages of the line came to nothing, or in an odd way");
        }
        report.counters.extend(self.model.counters().map(|(name, n)| (name.to_owned(), n)));
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
        if !self.asked.line {
            match self.line.poll(cx) {
                Poll::Ready(()) => self.take_line(Instant::now(), files),
                Poll::Pending => self.asked.line = true,
            }
        }
        if !self.asked.model {
            // Before: what follows may dial anew.
            self.asked.model = true;
            if self.model.poll(cx).is_ready() {
                self.asked.model = false;
                self.take_model(Instant::now(), files);
            }
        }
        if !self.asked.effects {
            self.asked.effects = true;
            if let Poll::Ready(Some(ended)) = self.effects.poll_next_unpin(cx) {
                self.asked.effects = false;
                // One that was let go of has nothing to say.
                if let Ok((id, outcome)) = ended {
                    self.take_effect(id, outcome, Instant::now(), files);
                }
            }
        }
        if !self.asked.commands {
            self.asked.commands = true;
            if let Poll::Ready(Some(command)) = self.commanded.poll_recv(cx) {
                self.asked.commands = false;
                self.take_command(command, Instant::now(), files);
            }
        }
        if !self.asked.alarm {
            self.asked.alarm = true;
            if self.alarm_at.is_some() && self.alarm.as_mut().poll(cx).is_ready() {
                self.take_alarm(Instant::now(), files);
            }
        }
        if self.line.check() {
            self.take_line(Instant::now(), files);
        }
        if self.model.check() {
            self.take_model(Instant::now(), files);
        }
    }

    /// Tells the engine what came of the line, and carries out what it answers.
    fn take_line(&mut self, now: Instant, files: &mut Files) {
        // It may come back, and is then to be asked at once.
        self.asked.line = false;
        let at = call_time(self.began, now);
        while let Some(came) = self.line.next(self.ended.is_some()) {
            let (event, origin) = match came {
                lines::Came::Began => {
                    self.shared.metrics.started.add(1);
                    self.phase.set(Phase::Talking);
                    tracing::info!(parent: self.span, "media stream up");
                    (CallerEvent::Started, Origin::Line(now))
                }
                lines::Came::Event(event) => (event, Origin::Line(now)),
                lines::Came::Over(event) => (event, Origin::Other),
                lines::Came::Closed(effect) => {
                    self.shared.metrics.effects.add("done", 1);
                    self.input(now, Input::Effect(effect, EffectResult::Done), Origin::Other, files);
                    continue;
                }
                lines::Came::Nothing => continue,
            };
            if self.ended.is_none() {
                let input = Input::Caller(event);
                self.pen.input(at, &input);
                self.engine.handle(at, input);
                self.carry_out(at, origin, files);
            }
        }
    }

    /// Tells the engine what came of the model, and carries out what it answers.
    fn take_model(&mut self, now: Instant, files: &mut Files) {
        let at = call_time(self.began, now);
        while let Some(came) = self.model.next() {
            let (event, origin) = match came {
                models::Came::Connected => {
                    self.begin_session();
                    continue;
                }
                models::Came::Event(event) => (event, Origin::Model(now)),
                models::Came::Over(event) => (event, Origin::Other),
                models::Came::Nothing => continue,
            };
            if self.ended.is_none() {
                let input = Input::Model(event);
                self.pen.input(at, &input);
                self.engine.handle(at, input);
                self.carry_out(at, origin, files);
            }
        }
    }

    fn take_command(&mut self, command: Command, now: Instant, files: &mut Files) {
        let input = match command {
            Command::Control(control) => {
                if control == Control::LineReturns && self.line.broke_off() {
                    self.take_line(now, files);
                }
                Input::Control(control)
            }
            Command::HungUp => Input::Caller(CallerEvent::HungUp),
            Command::Kill => Input::Control(Control::EndNow(EndReason::Shutdown)),
        };
        self.input(now, input, Origin::Other, files);
    }

    fn take_effect(&mut self, id: EffectId, outcome: Outcome, now: Instant, files: &mut Files) {
        let result = match outcome {
            Outcome::CloseInstead if self.line.close(Some(id), now) => return,
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
        if self.line.tick(now) {
            self.take_line(now, files);
        }
        if self.model.tick(now) {
            self.take_model(now, files);
        }
        if self.engine.next_deadline().is_some_and(|(at, _)| at <= call_time(self.began, now)) {
            self.input(now, Input::Tick, Origin::Other, files);
        }
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
                    self.line.push(&command, read_at);
                }
                Action::SendModel(command) => {
                    let read_at = if let Origin::Line(at) = origin { Some(at) } else { None };
                    self.model.push(&command, read_at);
                }
                Action::DialModel => {
                    // The session's instructions need what is fetched.
                    let fetched = self.fetch.clone().map(|fetch| fetch.map(drop).boxed());
                    self.model.dial(fetched);
                    self.asked.model = false;
                }
                Action::CloseModel => self.model.close(),
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
                    self.shared.feed.happened(self.id, &self.deployment.agent.name, at, &event);
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
        self.asked.line &= self.line.flush(cx);
        self.asked.model &= self.model.flush(cx);
    }

    /// Sets the alarm to what is due first. One that rings too early is cheaper than one that is moved for every frame.
    fn set_alarm(&mut self) {
        // A call that was ended at once has an engine that still waits for things; they are not its business any more.
        let engine = self.engine.next_deadline().filter(|_| self.ended.is_none());
        let engine = engine.map(|(at, _)| self.began + Duration::from_micros(at.as_us()));
        let due = [engine, self.line.deadline(), self.model.deadline()];
        let Some(due) = due.into_iter().flatten().min() else { return };
        if self.alarm_at.is_none_or(|at| due < at) {
            self.alarm.as_mut().reset(due.into());
            self.alarm_at = Some(due);
            self.asked.alarm = false;
        }
    }

    /// The line is done with, and the call's place is free; the model's session goes on.
    fn line_over(&mut self) {
        self.shared.registry.shut(self.id);
        self.slot.end();
        self.shared.store.hang_up(self.id);
        self.phase.set(Phase::Closing);
        self.line.rest();
    }

    /// After the end: lets go of both sockets properly, and of effects that still run.
    async fn close(&mut self, files: &mut Files) {
        self.model.close();
        self.commanded.close();
        for handle in std::mem::take(&mut self.handles).into_values() {
            handle.abort();
        }
        self.line.end(Instant::now());
        // Effects have time-outs of their own, the stream's end has one here.
        let over = |call: &Self| call.effects.is_empty() && !call.line.is_up();
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
