//! One call with all that is around it: an engine, its line, a caller, a model, a carrier, and the watch over them.

mod world;

use std::sync::Arc;

use super::caller::{Caller, Deed};
use super::carrier::{Answer, Carrier};
use super::check::{Broken, Watch};
use super::fault::{Fault, Faults};
use super::model::Model;
use super::settings::{self, Sounds};
use super::temper::Temper;
use super::voice::Voice;
use super::words::{Names, Say};
use crate::base::time::CallTime;
use crate::config::{CallSettings, JournalKeep, TurnDetection};
use crate::ears::vad::Probability;
use crate::engine::{CallerEvent, Control, EndReason, Input};
use crate::lab::journal::trace;
use crate::lab::sim::{Means, Sim};
use crate::stage::load::random::Random;
use world::World;

/// A call that takes longer than everything that its settings allow does not end.
const LATE_END_S: u64 = 45;

/// What all calls share: nothing that a call changes.
#[derive(Clone, Debug)]
pub(super) struct Stock {
    pub(super) seed: u64,
    pub(super) sounds: Sounds,
    pub(super) voice: Voice,
}

/// What is written down of a call beside its counts.
#[derive(Debug)]
pub(super) enum Diary {
    /// Nothing.
    Off,
    /// Its decisions, made into one number.
    Digest(u64),
    /// What happened and what was decided, one line each.
    Lines(Vec<String>),
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) sim: Sim,
    caller: Caller,
    world: World,
    own_ears: bool,
    voice: Voice,
    /// By then it is over.
    limit: CallTime,
    /// When a line that broke off comes back.
    line_back: Option<CallTime>,
    faults: Faults,
    names: Names,
}

/// What is known of a call that is over.
#[derive(Debug)]
pub(super) struct Ended {
    /// None: it did not end.
    pub(super) reason: Option<EndReason>,
    pub(super) lasted: CallTime,
    pub(super) inputs: u64,
    pub(super) actions: u64,
    pub(super) barge_ins: u64,
    pub(super) truncations: u64,
    pub(super) heard_ms: u64,
    pub(super) faults: Faults,
    pub(super) broken: Option<Broken>,
    pub(super) diary: Diary,
}

impl Call {
    /// The call with this number: always the same.
    pub(super) fn new(number: u64, stock: &Stock, diary: Diary, journal: JournalKeep) -> Self {
        let random = |part: u64| Random::new(stock.seed, number * 8 + part);
        let mut chance = random(0);
        let (mut settings, own_ears) = settings::draw(&mut chance, &stock.sounds);
        let mut world = World {
            model: Model::new(random(1), Temper::draw(&mut chance, &settings)),
            carrier: Carrier::new(random(2)),
            watch: Watch::new(&settings),
            diary,
        };
        let caller = Caller::draw(random(3), &settings);
        let limit = longest(&settings);
        let delay_ms = chance.skewed(3, 180);
        let late_us = if chance.chance(300) { chance.skewed(100, 8_000) } else { 0 };
        settings.limits.line_back_s = chance.range(0, 6);
        // Most clocks run alike, as far as a call can tell.
        let clock_ppm = if chance.chance(300) { chance.skewed(1, 5_000) as i64 } else { 0 };
        let clock_ppm = if chance.chance(500) { -clock_ppm } else { clock_ppm };
        world.watch.runs_by(clock_ppm);
        let means = Means { own_ears, lists: false, journal };
        let mut sim = Sim::with(Arc::new(settings), delay_ms, means, |line, at, action| world.sees(line, at, action));
        sim.notice_late(late_us);
        sim.line_clock(clock_ppm);
        sim.caller_sound(stock.voice.quiet.clone());
        let (voice, mut faults, names) = (stock.voice.clone(), Faults::default(), Names::default());
        if clock_ppm != 0 {
            faults.met(Fault::ClockDrifts);
        }
        Call { sim, caller, world, own_ears, voice, limit, line_back: None, faults, names }
    }

    /// When something happens next, in the call's time; none once it is over.
    pub(super) fn next(&self) -> Option<CallTime> {
        if self.is_over() {
            return None;
        }
        let around = [self.world.model.next(), self.caller.next(), self.world.carrier.next(), self.line_back];
        around.into_iter().chain([self.sim.next_at(), Some(self.limit)]).flatten().min()
    }

    /// Lets the next thing happen.
    pub(super) fn step(&mut self) {
        let Some(at) = self.next() else { return };
        self.sim.pass_to(at);
        let now = self.sim.now();
        let is_due = |next: Option<CallTime>| next.is_some_and(|next| next <= now);
        if now >= self.limit {
            self.world.watch.breaks(now, "it does not end".to_owned());
        } else if is_due(self.world.carrier.next()) {
            match self.world.carrier.poll(now) {
                Some(Answer::Result(id, result)) => self.input(Input::Effect(id, result)),
                Some(Answer::LineEnds) => self.input(Input::Caller(CallerEvent::HungUp)),
                None => {}
            }
        } else if is_due(self.line_back) {
            self.line_back = None;
            self.input(Input::Control(Control::LineReturns));
            self.input(Input::Caller(CallerEvent::Started));
            self.sim.caller_audio(true);
        } else if is_due(self.world.model.next()) {
            if let Some(say) = self.world.model.poll(now) {
                self.says(say);
            }
        } else if is_due(self.caller.next()) {
            let hears = self.sim.line_now().is_playing(now);
            let deed = self.caller.act(now, hears);
            self.does(now, deed);
        } else {
            let world = &mut self.world;
            self.sim.step(|line, at, action| world.sees(line, at, action));
            self.world.watch.settled(&self.sim);
        }
    }

    /// Whether it has ended, or is given up.
    pub(super) fn is_over(&self) -> bool {
        self.sim.seen.end.is_some() || self.world.watch.broken.is_some()
    }

    /// What is to be known of it, now that it is over; with the journal, where one was kept.
    pub(super) fn ended(mut self) -> (Ended, Vec<u8>) {
        let lasted = self.sim.now();
        let journal = self.sim.journal.as_mut().map(crate::lab::journal::Pen::take).unwrap_or_default();
        let (inputs, actions) = (self.sim.seen.inputs, self.sim.seen.actions);
        let reason = self.sim.seen.end.clone();
        if reason.is_some() {
            self.world.watch.ended(&mut self.sim);
        }
        let World { model, carrier, watch, diary } = self.world;
        self.faults.add(&model.faults);
        self.faults.add(&carrier.faults);
        let line = self.sim.line_now();
        let heard_ms = line.played(lasted).as_ms(crate::base::audio::AudioFormat::PHONE.rate_hz);
        let (barge_ins, truncations) = (watch.barge_ins, watch.truncations);
        let (faults, broken) = (self.faults, watch.broken);
        let ended = Ended { reason, lasted, inputs, actions, barge_ins, truncations, heard_ms, faults, broken, diary };
        (ended, journal)
    }

    fn does(&mut self, now: CallTime, deed: Deed) {
        match deed {
            Deed::Nothing => {}
            Deed::Connect => {
                self.input(Input::Caller(CallerEvent::Started));
                self.sim.caller_audio(true);
            }
            Deed::Speak => self.speaks(now, true),
            Deed::Hush => self.speaks(now, false),
            Deed::Key(key) => self.input(Input::Caller(CallerEvent::Dtmf(key))),
            Deed::Control(control) => self.input(Input::Control(control)),
            Deed::HangUp => {
                self.sim.caller_audio(false);
                self.input(Input::Caller(CallerEvent::HungUp));
            }
            Deed::Trouble(fault, size) => self.trouble(now, fault, size),
        }
    }

    fn speaks(&mut self, now: CallTime, speaks: bool) {
        if self.own_ears {
            self.sim.caller_sound(if speaks { self.voice.speech.clone() } else { self.voice.quiet.clone() });
        } else {
            let (per_mille, level_db) = if speaks { (930, -24) } else { (10, -60) };
            self.sim.hears(Probability::from_per_mille(per_mille), level_db);
        }
        self.world.model.caller_speaks(now, speaks);
    }

    fn trouble(&mut self, now: CallTime, fault: Fault, size: u64) {
        self.faults.met(fault);
        self.world.watch.line_is_troubled();
        match fault {
            Fault::LineLost => {
                self.sim.caller_audio(false);
                self.input(Input::Caller(CallerEvent::Lost));
            }
            Fault::LineBreaks => {
                self.sim.caller_audio(false);
                self.sim.line().break_off(now);
                self.input(Input::Caller(CallerEvent::Lost));
                self.line_back = Some(now.plus_ms(size));
            }
            Fault::AudioStops => self.sim.caller_audio(false),
            Fault::ClockRestarts => {
                self.sim.caller_audio(false);
                self.sim.caller_audio(true);
            }
            Fault::FramesLost => self.sim.lose_frames(size),
            Fault::LineStalls => self.sim.line().stall(now, size),
            Fault::MarksHeld => self.sim.line().hold_marks(now, size),
            Fault::MarksLost => self.sim.line().lose_marks(size as u32),
            Fault::StartsTwice => self.input(Input::Caller(CallerEvent::Started)),
            _ => {}
        }
    }

    fn says(&mut self, say: Say) {
        let mut names = std::mem::take(&mut self.names);
        if let Some(event) = names.event(say) {
            self.input(Input::Model(event));
        }
        self.names = names;
    }

    fn input(&mut self, input: Input<'_>) {
        let now = self.sim.now();
        self.world.watch.input(now, &input);
        if let Diary::Lines(lines) = &mut self.world.diary {
            let mut line = format!("{now}   < ");
            trace::write_input(&input, &mut line);
            lines.push(line);
        }
        let world = &mut self.world;
        self.sim.input_seen(input, |line, at, action| world.sees(line, at, action));
        self.world.watch.settled(&self.sim);
    }
}

/// By when a call must be over, whatever happens: every part of its way has a bound.
fn longest(settings: &CallSettings) -> CallTime {
    let limits = &settings.limits;
    let last_words_s = limits.farewell_s.max(settings.playout.max_queue_s);
    let turn_s = match &settings.turn_detection {
        TurnDetection::Local(turn) => u64::from(turn.max_turn_s),
        _ => 0,
    };
    let all_s = limits.media_start_s + limits.max_duration_s + last_words_s + turn_s + LATE_END_S;
    CallTime::from_ms(all_s * 1_000)
}
