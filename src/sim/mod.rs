//! The engine with time in our hand: a line, a clock and a script, no socket and no waiting.
//!
//! [`Sim`] drives one engine; [`scenario`] reads a script of what happens and writes the trace of what was decided.

pub mod line;
pub mod scenario;

use std::sync::Arc;

use crate::config::{CallSettings, JournalKeep};
use crate::engine::{
    Action, CallEngine, CallEvent, CallerCommand, CallerEvent, EffectId, EndReason, Input, ModelCommand, Record,
};
use crate::journal;
use crate::time::{CallTime, Samples};
use crate::vad::Probability;
use line::Line;

/// Caller audio comes in frames of this length.
const FRAME_MS: u64 = 20;
/// The level of a quiet line, in dBFS.
const QUIET_DB: i8 = -60;
/// Inputs and deadlines handled in one run: a call that needs more is one that loops.
const STEPS_MAX: u64 = 10_000_000;

/// One engine, its line and its clock.
#[derive(Debug)]
pub struct Sim {
    engine: CallEngine,
    line: Line,
    now: CallTime,
    /// Caller audio flows, from this time on.
    caller_since: Option<CallTime>,
    next_frame: CallTime,
    frame: Vec<u8>,
    /// What was decided, one line each.
    pub trace: Vec<String>,
    /// Everything that was counted on the way.
    pub seen: Seen,
    /// The call's journal, when one is kept.
    pub journal: Option<journal::Pen>,
}

/// What the world around the engine saw of it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Why it ended.
    pub end: Option<EndReason>,
    /// Actions polled after the end: always 0.
    pub after_end: u64,
    /// Agent audio sent to the line, in samples; what was sent again after a hold counts again.
    pub sent: u64,
    /// Agent audio written to the recording, in samples.
    pub recorded: u64,
    /// Where the last agent audio in the recording ended.
    pub record_end: u64,
    /// Whether agent audio in the recording overlapped or ran backwards.
    pub record_overlap: bool,
    /// Caller audio given to the model, in samples.
    pub appended: u64,
    /// What was emitted, and when.
    pub events: Vec<(CallTime, CallEvent)>,
    /// When the line was told to drop what it had not played.
    pub clears: Vec<CallTime>,
    /// Truncations: item and heard milliseconds.
    pub truncated: Vec<(String, u64)>,
    /// The most actions that one input brought about.
    pub most_actions: u64,
    /// Effects that ask for an answer.
    pub effects: Vec<EffectId>,
    /// Times at which the model was dialled.
    pub dials: Vec<CallTime>,
}

impl Sim {
    /// A call that was just announced, on a line with this one-way delay.
    pub fn new(settings: CallSettings, delay_ms: u64) -> Self {
        Self::start(CallEngine::told(Arc::new(settings.clone())), settings, delay_ms, None)
    }

    /// The same, but its ears hear for themselves: what the caller says is given by [`Sim::input`], frame by frame.
    pub fn hearing(settings: CallSettings, delay_ms: u64) -> Self {
        Self::start(CallEngine::new(Arc::new(settings.clone())), settings, delay_ms, None)
    }

    /// The same, with a journal.
    pub fn with_journal(settings: CallSettings, delay_ms: u64, keep: JournalKeep) -> Self {
        let pen = journal::Pen::new(&settings, keep);
        Self::start(CallEngine::told(Arc::new(settings.clone())), settings, delay_ms, Some(pen))
    }

    fn start(engine: CallEngine, settings: CallSettings, delay_ms: u64, journal: Option<journal::Pen>) -> Self {
        let format = settings.format;
        let mut sim = Sim {
            engine,
            line: Line::new(format, delay_ms),
            now: CallTime::ZERO,
            caller_since: None,
            next_frame: CallTime::ZERO,
            frame: vec![format.silence_byte(); format.bytes(Samples::from_ms(FRAME_MS, format.rate_hz))],
            trace: Vec::new(),
            seen: Seen::default(),
            journal,
        };
        // A quiet line, until it is told otherwise.
        sim.engine.tell_from_now_on(Probability::ZERO, QUIET_DB);
        sim.drain();
        sim
    }

    /// The engine, to be asked.
    pub fn engine(&self) -> &CallEngine {
        &self.engine
    }

    /// The line, to be asked or stalled.
    pub fn line(&mut self) -> &mut Line {
        &mut self.line
    }

    /// The time.
    pub fn now(&self) -> CallTime {
        self.now
    }

    /// What the engine's ears hear in every step from now on.
    pub fn hears(&mut self, probability: Probability, level_db: i8) {
        self.engine.tell_from_now_on(probability, level_db);
    }

    /// Lets caller audio flow from now on, or stops it.
    pub fn caller_audio(&mut self, on: bool) {
        if on && self.caller_since.is_none() {
            self.caller_since = Some(self.now);
            self.next_frame = self.now.plus_ms(FRAME_MS);
        } else if !on {
            self.caller_since = None;
        }
    }

    /// Lets time pass until `until`: audio, marks and deadlines, in order.
    pub fn run_until(&mut self, until: CallTime) {
        for _ in 0..STEPS_MAX {
            let frame = self.caller_since.map(|_| self.next_frame);
            let deadline = self.engine.next_deadline().map(|(at, _)| at);
            let Some(at) = [self.line.next(), frame, deadline].into_iter().flatten().min() else { break };
            if at > until {
                break;
            }
            self.now = self.now.max(at);
            if self.line.next().is_some_and(|t| t <= self.now)
                && let Some(mark) = self.line.poll(self.now)
            {
                self.input(Input::Caller(CallerEvent::MarkPlayed(mark)));
            } else if frame.is_some_and(|t| t <= self.now) {
                self.send_frame();
            } else {
                self.input(Input::Tick);
            }
        }
        self.now = self.now.max(until);
    }

    /// Something happens now.
    pub fn input(&mut self, input: Input<'_>) {
        if let Some(pen) = &mut self.journal {
            pen.input(self.now, &input);
        }
        self.engine.handle(self.now, input);
        self.drain();
    }

    fn send_frame(&mut self) {
        let Some(since) = self.caller_since else { return };
        let at_ms = self.next_frame.ms_since(since) - FRAME_MS;
        self.next_frame = self.next_frame.plus_ms(FRAME_MS);
        let frame = std::mem::take(&mut self.frame);
        self.input(Input::Caller(CallerEvent::Audio { at_ms, payload: &frame }));
        self.frame = frame;
    }

    fn drain(&mut self) {
        let mut actions = 0;
        while let Some(action) = self.engine.poll_action() {
            // Steps are as many as there is audio.
            actions += u64::from(!matches!(action, Action::Heard(_)));
            if let Some(pen) = &mut self.journal {
                pen.action(self.now, &action);
            }
            if self.seen.end.is_some() {
                self.seen.after_end += 1;
            }
            if let Some(line) = journal::trace::line(self.now, &action) {
                self.trace.push(line);
            }
            match &action {
                Action::SendCaller(command) => {
                    match command {
                        CallerCommand::Audio(bytes) => self.seen.sent += bytes.len() as u64,
                        CallerCommand::Clear => self.seen.clears.push(self.now),
                        CallerCommand::Mark(_) => {}
                    }
                    self.line.take(self.now, command);
                }
                Action::Emit(event) => self.seen.events.push((self.now, event.clone())),
                Action::SendModel(ModelCommand::AppendAudio(bytes)) => self.seen.appended += bytes.len() as u64,
                Action::SendModel(ModelCommand::Truncate { item, audio_end_ms }) => {
                    self.seen.truncated.push(((*item).to_owned(), *audio_end_ms));
                }
                Action::Record(Record::Agent { at, payload }) => {
                    self.seen.record_overlap |= at.0 < self.seen.record_end;
                    self.seen.record_end = at.0 + payload.len() as u64;
                    self.seen.recorded += payload.len() as u64;
                }
                Action::DialModel => self.seen.dials.push(self.now),
                Action::Run(id, _) => self.seen.effects.push(*id),
                Action::End(reason) => self.seen.end = Some(reason.clone()),
                _ => {}
            }
        }
        self.seen.most_actions = self.seen.most_actions.max(actions);
    }
}
