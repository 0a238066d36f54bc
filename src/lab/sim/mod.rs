//! The engine with time in our hand: a line, a clock and a script, no socket and no waiting.
//!
//! [`Sim`] drives one engine and keeps what it decides, or only counts it where thousands run at once
//! ([`Means::lists`]); [`scenario`] reads a script of what happens and writes the trace of what was decided.

pub mod line;
pub mod scenario;

use std::sync::Arc;

use crate::base::time::{CallTime, Samples};
use crate::config::{CallSettings, JournalKeep};
use crate::ears::answering::Finding;
use crate::ears::vad::Probability;
use crate::engine::{
    Action, CallEngine, CallEvent, CallerCommand, CallerEvent, EffectId, EndReason, Input, ModelCommand, Record,
};
use crate::lab::journal;
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
    /// Frames since then.
    frames: u64,
    /// By how much the line's clock runs faster than ours, in parts per million.
    clock_ppm: i64,
    /// The caller's next stamps are from here on.
    first_stamp_ms: u64,
    /// Frames of caller audio are lost on their way until then.
    frames_lost_until: CallTime,
    /// What the caller's frames hold, over and over, and how far it is.
    sound: Arc<[u8]>,
    sound_at: usize,
    frame_bytes: usize,
    /// Deadlines are noticed this much later, as on a busy server.
    late_us: u64,
    /// Whether there are lists of what was seen.
    lists: bool,
    /// What was decided, one line each; nothing without [`Means::lists`].
    pub trace: Vec<String>,
    /// Everything that was counted on the way.
    pub seen: Seen,
    /// The call's journal, when one is kept.
    pub journal: Option<journal::Pen>,
}

/// How a simulated call hears, and what is kept of it.
#[derive(Clone, Copy, Debug)]
pub struct Means {
    /// Its ears hear for themselves; else they are told ([`Sim::hears`]).
    pub own_ears: bool,
    /// The trace and the lists of [`Seen`] are kept; else only what is counted there.
    pub lists: bool,
    /// The journal.
    pub journal: JournalKeep,
}

/// What the world around the engine saw of it. Lists are empty without [`Means::lists`].
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
    /// Inputs handled.
    pub inputs: u64,
    /// Actions polled but for what was heard in a step.
    pub actions: u64,
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
        let means = Means { own_ears: false, lists: true, journal: JournalKeep::Off };
        Self::with(Arc::new(settings), delay_ms, means, |_, _, _| {})
    }

    /// The same, but its ears hear for themselves: what the caller says is given by [`Sim::input`], frame by frame.
    pub fn hearing(settings: CallSettings, delay_ms: u64) -> Self {
        let means = Means { own_ears: true, lists: true, journal: JournalKeep::Off };
        Self::with(Arc::new(settings), delay_ms, means, |_, _, _| {})
    }

    /// The same, with a journal.
    pub fn with_journal(settings: CallSettings, delay_ms: u64, journal: JournalKeep) -> Self {
        let means = Means { own_ears: false, lists: true, journal };
        Self::with(Arc::new(settings), delay_ms, means, |_, _, _| {})
    }

    /// A call by these means; `see` is shown what a new engine does first.
    pub fn with(
        settings: Arc<CallSettings>,
        delay_ms: u64,
        means: Means,
        see: impl FnMut(&Line, CallTime, &Action<'_>),
    ) -> Self {
        let format = settings.format;
        let journal = (means.journal != JournalKeep::Off).then(|| journal::Pen::new(&settings, means.journal));
        let frame_bytes = format.bytes(Samples::from_ms(FRAME_MS, format.rate_hz));
        let mut sim = Sim {
            engine: if means.own_ears { CallEngine::new(settings) } else { CallEngine::told(settings) },
            line: Line::new(format, delay_ms),
            now: CallTime::ZERO,
            caller_since: None,
            next_frame: CallTime::ZERO,
            frames: 0,
            clock_ppm: 0,
            first_stamp_ms: 0,
            frames_lost_until: CallTime::ZERO,
            sound: vec![format.silence_byte(); frame_bytes].into(),
            sound_at: 0,
            frame_bytes,
            late_us: 0,
            lists: means.lists,
            trace: Vec::new(),
            seen: Seen::default(),
            journal,
        };
        // A quiet line, until it is told otherwise.
        sim.engine.tell_from_now_on(Probability::ZERO, QUIET_DB);
        sim.drain(see);
        sim
    }

    /// The engine, to be asked.
    pub fn engine(&self) -> &CallEngine {
        &self.engine
    }

    /// The engine, for tests within it.
    #[cfg(test)]
    pub(crate) fn engine_mut(&mut self) -> &mut CallEngine {
        &mut self.engine
    }

    /// The line, to be asked or stalled.
    pub fn line(&mut self) -> &mut Line {
        &mut self.line
    }

    /// The line, only to be asked.
    pub fn line_now(&self) -> &Line {
        &self.line
    }

    /// The time.
    pub fn now(&self) -> CallTime {
        self.now
    }

    /// What the engine's ears hear in every step from now on.
    pub fn hears(&mut self, probability: Probability, level_db: i8) {
        self.engine.tell_from_now_on(probability, level_db);
    }

    /// What the engine's ears find out about who picked up with the caller's next audio.
    pub fn finds(&mut self, finding: Finding) {
        self.engine.tell_found(finding);
    }

    /// Lets caller audio flow from now on, or stops it.
    pub fn caller_audio(&mut self, on: bool) {
        if on && self.caller_since.is_none() {
            self.caller_since = Some(self.now);
            self.frames = 0;
            self.next_frame = self.frame_due(self.now, 1);
        } else if !on {
            self.caller_since = None;
        }
    }

    /// The line speaks and plays by a clock that runs faster than ours by so much, in parts per million, or slower: from the
    /// call's beginning.
    pub fn line_clock(&mut self, ppm: i64) {
        self.clock_ppm = ppm.clamp(-500_000, 500_000);
        self.line.set_clock(ppm);
    }

    /// Stamps of caller audio that begins to flow after this begin here.
    pub fn first_stamp(&mut self, ms: u64) {
        self.first_stamp_ms = ms;
    }

    /// When the line's clock has counted so many frames since `since`.
    fn frame_due(&self, since: CallTime, frames: u64) -> CallTime {
        let line_us = u128::from(frames * FRAME_MS * 1_000);
        CallTime::from_us(since.as_us() + (line_us * 1_000_000 / (1_000_000 + self.clock_ppm) as u128) as u64)
    }

    /// What the caller's frames hold from now on, over and over: one frame at least, and whole ones. Own ears hear it.
    pub fn caller_sound(&mut self, sound: Arc<[u8]>) {
        if sound.len() >= self.frame_bytes && sound.len().is_multiple_of(self.frame_bytes) {
            self.sound = sound;
            self.sound_at = 0;
        }
    }

    /// Loses the caller's frames for a while; the line's clock goes on.
    pub fn lose_frames(&mut self, ms: u64) {
        self.frames_lost_until = self.now.plus_ms(ms);
    }

    /// Deadlines are noticed so many µs late from now on.
    pub fn notice_late(&mut self, late_us: u64) {
        self.late_us = late_us;
    }

    /// Lets time pass until `until`: audio, marks and deadlines, in order.
    pub fn run_until(&mut self, until: CallTime) {
        for _ in 0..STEPS_MAX {
            if self.next_at().is_none_or(|at| at > until) {
                break;
            }
            self.step(|_, _, _| {});
        }
        self.pass_to(until);
    }

    /// When something happens next by itself: audio, a mark, a deadline.
    pub fn next_at(&self) -> Option<CallTime> {
        let frame = self.caller_since.map(|_| self.next_frame);
        [self.line.next(), frame, self.deadline()].into_iter().flatten().min()
    }

    /// Lets the next thing happen. `see` is shown what comes of it, before the line takes it.
    pub fn step(&mut self, see: impl FnMut(&Line, CallTime, &Action<'_>)) {
        let Some(at) = self.next_at() else { return };
        self.pass_to(at);
        let frame_due = self.caller_since.is_some() && self.next_frame <= self.now;
        if self.line.next().is_some_and(|t| t <= self.now)
            && let Some(mark) = self.line.poll(self.now)
        {
            self.input_seen(Input::Caller(CallerEvent::MarkPlayed(mark)), see);
        } else if frame_due {
            self.send_frame(see);
        } else {
            self.input_seen(Input::Tick, see);
        }
    }

    /// It is this late now, or later already.
    pub fn pass_to(&mut self, at: CallTime) {
        self.now = self.now.max(at);
    }

    /// Something happens now.
    pub fn input(&mut self, input: Input<'_>) {
        self.input_seen(input, |_, _, _| {});
    }

    /// Something happens now; `see` is shown what comes of it, before the line takes it.
    pub fn input_seen(&mut self, input: Input<'_>, see: impl FnMut(&Line, CallTime, &Action<'_>)) {
        self.seen.inputs += 1;
        if let Some(pen) = &mut self.journal {
            pen.input(self.now, &input);
        }
        self.engine.handle(self.now, input);
        self.drain(see);
    }

    fn deadline(&self) -> Option<CallTime> {
        self.engine.next_deadline().map(|(at, _)| CallTime::from_us(at.as_us() + self.late_us))
    }

    fn send_frame(&mut self, see: impl FnMut(&Line, CallTime, &Action<'_>)) {
        let Some(since) = self.caller_since else { return };
        let at_ms = self.first_stamp_ms.wrapping_add(self.frames * FRAME_MS);
        self.frames += 1;
        self.next_frame = self.frame_due(since, self.frames + 1);
        let sound = self.sound.clone();
        let frame = &sound[self.sound_at..self.sound_at + self.frame_bytes];
        self.sound_at = (self.sound_at + self.frame_bytes) % sound.len();
        if self.now >= self.frames_lost_until {
            self.input_seen(Input::Caller(CallerEvent::Audio { at_ms, payload: frame }), see);
        }
    }

    fn drain(&mut self, mut see: impl FnMut(&Line, CallTime, &Action<'_>)) {
        let mut actions = 0;
        while let Some(action) = self.engine.poll_action() {
            // Steps are as many as there is audio.
            actions += u64::from(!matches!(action, Action::Heard(_) | Action::Found(_)));
            if let Some(pen) = &mut self.journal {
                pen.action(self.now, &action);
            }
            if self.seen.end.is_some() {
                self.seen.after_end += 1;
            }
            if self.lists
                && let Some(line) = journal::trace::line(self.now, &action)
            {
                self.trace.push(line);
            }
            see(&self.line, self.now, &action);
            let lists = self.lists;
            match &action {
                Action::SendCaller(command) => {
                    match command {
                        CallerCommand::Audio(bytes) => self.seen.sent += bytes.len() as u64,
                        CallerCommand::Clear if lists => self.seen.clears.push(self.now),
                        CallerCommand::Clear | CallerCommand::Mark(_) => {}
                    }
                    self.line.take(self.now, command);
                }
                Action::Emit(event) if lists => self.seen.events.push((self.now, event.clone())),
                Action::SendModel(ModelCommand::AppendAudio(bytes)) => self.seen.appended += bytes.len() as u64,
                Action::SendModel(ModelCommand::Truncate { item, audio_end_ms }) if lists => {
                    self.seen.truncated.push(((*item).to_owned(), *audio_end_ms));
                }
                Action::Record(Record::Agent { at, payload }) => {
                    self.seen.record_overlap |= at.0 < self.seen.record_end;
                    self.seen.record_end = at.0 + payload.len() as u64;
                    self.seen.recorded += payload.len() as u64;
                }
                Action::DialModel if lists => self.seen.dials.push(self.now),
                Action::Run(id, _) if lists => self.seen.effects.push(*id),
                Action::End(reason) => self.seen.end = Some(reason.clone()),
                _ => {}
            }
        }
        self.seen.actions += actions;
        self.seen.most_actions = self.seen.most_actions.max(actions);
    }
}
