//! Turns from speech probabilities: when the caller began to speak, paused, went on, and was done.
//!
//! ```text
//!            p >= threshold                   min_speech_ms of it
//!   Quiet ──────────────────► Maybe ──────────────────────────► Speaking ◄─────────────┐
//!     ▲                         │      Started { where the        │   ▲               │
//!     │   p < threshold for     │      sound began }              │   │ p >= threshold│
//!     │   longer than a dip ◄───┘                  p < threshold  │   │ and sound:    │ silence_duration_ms
//!     │                                            - hysteresis:  ▼   │ Resumed       │ not yet over
//!     │                                            Paused       Pausing ──────────────┘
//!     │                                                           │
//!     └───────────────────────────────────────────────────────────┘
//!        Ended { where the sound ended } after silence_duration_ms of silence, or from either at max_turn_s; then
//!        first Spent, until there was such a silence, a louder voice, or the whole answer: a radio that never pauses
//!        must not stop the answer to it
//! ```
//!
//! A network that tells speech looks back: its probability stays high for about a tenth of a second after the last
//! sound. That something begins or ends is decided by the probability; *where* is read from the level, on lines where
//! the caller stands out from the background. Silence is counted from there, so that a turn ends when the silence that
//! was asked for has passed since the last sound, and not a lag later. Where levels tell nothing, silence is counted
//! from the step in which the probability fell.
//!
//! A sound that is loud for long, unlike speech, and turns into something like speech only as it fades is a cough or a
//! bang and its echo: it has to last until it is no such thing, or to grow loud again.
//!
//! While the agent has the floor, speech far below the caller's level is none: see [`near`].
//!
//! Decisions rest on steps and on whether the agent has the floor, and durations are counted in steps: where audio went missing and was filled in,
//! positions may jump.

mod level;
mod near;
pub mod score;
#[cfg(test)]
mod tests;

pub mod shadow;

use crate::base::time::Samples;
use crate::config::TurnSettings;
use crate::ears::vad::Step;
use level::{Levels, Sound};
use near::Voices;

/// What became known at the end of a step. Positions count what was heard ([`Step::end`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnEvent {
    /// Speech is confirmed; it began at `at`.
    Started {
        /// Where the first sound is thought to be.
        at: Samples,
    },
    /// Silence since `at`, shorter so far than what ends a turn.
    Paused {
        /// Where speech stopped.
        at: Samples,
    },
    /// Speech goes on at `at` after a pause.
    Resumed {
        /// Where it goes on.
        at: Samples,
    },
    /// The turn is over; the last speech ended at `at`. No pause needs to come before it: a short silence may have passed
    /// by the time that the network notices, and a turn may have lasted long enough.
    Ended {
        /// Where speech stopped.
        at: Samples,
        /// Why.
        rule: EndRule,
    },
}

/// Why a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndRule {
    /// The silence that ends a turn has passed.
    Silence,
    /// It lasted as long as a turn may.
    MaxTurn,
}

/// A start may be interrupted by as much doubt: a probability between the two thresholds.
const DIP_MS: u64 = 32;

/// Sound before the start is taken to belong to it up to this much.
const LEAD_MS: u64 = 160;

/// The probability's lag behind the last sound is believed up to this much; silence for longer, and mere doubt is no
/// speech.
const LAG_MS: u64 = 256;

/// Sound right after speech that is not like it belongs to its last word up to this much: a final s.
const TAIL_MS: u64 = 96;

/// Sound that is unlike speech for this long is no consonant.
const BURST_MS: u64 = 192;

/// Sound of a probability below this, in per mille, or below what ends speech, is unlike it.
const UNLIKE_BELOW: u16 = 250;

/// What follows such sound, softer by at least [`FADED_DB`], is believed after this much; coughs are over by then.
const AFTERSOUND_MS: u64 = 350;

/// See [`AFTERSOUND_MS`].
const FADED_DB: i8 = 6;

/// A turn does not end on a step whose probability rises: the network is slow to say that a word begins. It is waited
/// for this much longer at most. Fewer turns are cut off by it at every length of silence, and next to none end later.
const RISE_MS: u64 = 96;

/// A silence this long, or as long as what ends a turn if that is shorter, is over which something new is said after a turn
/// that was ended for its length.
const SPENT_MS: u64 = 500;

/// Decides turns, step by step.
#[derive(Clone, Debug)]
pub struct TurnDetector {
    rules: Rules,
    state: State,
    levels: Levels,
    voices: Voices,
    /// The agent was silent at some time in the running turn: it is the caller's, however far its voice.
    taken: bool,
    run: SoundRun,
    /// The probabilities of the last two steps, the older first.
    recent: [u16; 2],
    /// Where the last turn ended: the next begins no earlier.
    ended: u64,
    /// Steps of speech in the running turn, or the last.
    voiced: u64,
    /// Steps of speech that was too far to stop the agent.
    far: u64,
    step_ms: u64,
}

/// The settings, in steps.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// Samples.
    step: u64,
    /// Per mille, from which on a step is speech.
    start_at: u16,
    /// Per mille, below which running speech is over.
    stop_below: u16,
    /// Per mille, below which sound is unlike speech.
    unlike_below: u16,
    min_speech: u64,
    /// In samples, because it is compared at half a step.
    silence: u64,
    /// In samples: ends [`State::Spent`].
    spent: u64,
    max_turn: u64,
    dip: u64,
    lead: u64,
    lag: u64,
    tail: u64,
    burst: u64,
    aftersound: u64,
    rise: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nobody speaks.
    Quiet,
    /// Speech, not confirmed.
    Maybe(Maybe),
    /// A turn runs.
    Speaking(Turn),
    /// A turn runs, and the caller is silent.
    Pausing(Turn),
    /// A turn was ended for its length, and what goes on is not another.
    Spent(Spent),
}

#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    /// Steps of no speech.
    quiet: u64,
    /// The agent had the floor since: it is answered.
    answered: bool,
}

#[derive(Clone, Copy, Debug)]
struct Maybe {
    since: u64,
    /// Steps of speech.
    run: u64,
    /// Steps of doubt since the last of them.
    dip: u64,
    loudest_db: i8,
    /// The loudest of a burst right before it.
    burst_db: Option<i8>,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    /// Its length in steps, pauses included.
    steps: u64,
    /// Where the last sound ended.
    stopped: u64,
    /// Steps since.
    quiet: u64,
    /// Steps of sound unlike speech that were counted to the last word.
    tail: u64,
}

/// A step, and what is known with it.
#[derive(Clone, Copy, Debug)]
struct Heard {
    begin: u64,
    end: u64,
    p: u16,
    level_db: i8,
    sound: Sound,
    /// The sound that goes on up to it.
    before: SoundRun,
    /// It is more like speech than what came before.
    rises: bool,
}

/// Steps of sound without a break, up to now.
#[derive(Clone, Copy, Debug, Default)]
struct SoundRun {
    steps: u64,
    /// How many of the last were unlike speech.
    unlike: u64,
    /// The loudest of those.
    unlike_db: i8,
}

impl TurnDetector {
    /// By these settings, for audio at `rate_hz`.
    pub fn new(settings: &TurnSettings, rate_hz: u32) -> Self {
        Self::with_step(settings, crate::ears::vad::step_samples(settings.engine, rate_hz), rate_hz)
    }

    fn with_step(settings: &TurnSettings, step: Samples, rate_hz: u32) -> Self {
        TurnDetector {
            rules: Rules::new(settings, step.0.max(1), rate_hz),
            state: State::Quiet,
            levels: Levels::new(step.as_ms(rate_hz)),
            voices: Voices::new(settings.level_margin_db, step.as_ms(rate_hz)),
            taken: false,
            run: SoundRun::default(),
            recent: [0; 2],
            ended: 0,
            voiced: 0,
            far: 0,
            step_ms: step.as_ms(rate_hz),
        }
    }

    /// How much earlier than it is known speech begins at most.
    pub fn longest_start(settings: &TurnSettings, rate_hz: u32) -> Samples {
        let step = crate::ears::vad::step_samples(settings.engine, rate_hz).0.max(1);
        let rules = Rules::new(settings, step, rate_hz);
        // Each step of speech may come after as much doubt as a start may have.
        Samples((rules.min_speech.max(rules.aftersound) * (1 + rules.dip) + rules.lead) * step)
    }

    /// Takes one step; at most one thing becomes known with it. `agent_has_floor`: the agent is heard or about to be, and
    /// what is far from the phone does not stop it.
    pub fn step(&mut self, step: Step, agent_has_floor: bool) -> Option<TurnEvent> {
        let end = step.end.0;
        let p = step.probability.per_mille();
        let speech = p >= self.rules.start_at;
        let mut heard = Heard {
            begin: end.saturating_sub(self.rules.step),
            end,
            p,
            level_db: step.level_db,
            sound: self.levels.judge(step.level_db),
            before: self.run,
            rises: self.rules.rises(self.recent[0], p),
        };
        self.recent = [self.recent[1], p];
        self.ended = self.ended.min(end);
        self.run.take(step.level_db, heard.sound.above, p < self.rules.unlike_below);
        self.levels.learn(step.level_db, speech, p < self.rules.stop_below);
        self.voices.take(step.level_db, speech);
        self.taken |= !agent_has_floor;
        if agent_has_floor && p >= self.rules.stop_below && !(self.taken && self.is_speaking()) && self.voices.is_far()
        {
            // Silence, for all that it is to the agent.
            self.far += 1;
            (heard.p, heard.rises) = (0, false);
        }
        let (state, event) = match self.state {
            State::Quiet if heard.p < self.rules.start_at => (State::Quiet, None),
            State::Quiet => self.confirm(Maybe::new(&heard, self.ended, &self.rules), &heard),
            State::Maybe(maybe) => self.confirm(maybe, &heard),
            State::Speaking(turn) => self.speak(turn.longer(), &heard),
            State::Pausing(turn) => self.pause(turn.longer(), &heard),
            State::Spent(spent) => self.wait(spent, &heard, agent_has_floor),
        };
        self.state = state;
        match event {
            Some(TurnEvent::Started { .. }) => {
                self.taken = !agent_has_floor;
                self.voices.begin(heard.level_db);
            }
            Some(TurnEvent::Ended { at, rule }) => {
                self.ended = at.0;
                self.voices.end(self.voiced * self.step_ms, !agent_has_floor);
                if rule == EndRule::MaxTurn {
                    self.voices.spend();
                }
            }
            _ => {}
        }
        event
    }

    /// After a turn that was ended for its length.
    fn wait(&mut self, mut spent: Spent, heard: &Heard, agent_has_floor: bool) -> (State, Option<TurnEvent>) {
        let speech = heard.p >= self.rules.start_at;
        if self.voices.outdoes_spent(heard.level_db, speech) {
            return self.confirm(Maybe::new(heard, self.ended, &self.rules), heard);
        }
        spent.quiet = if speech { 0 } else { spent.quiet + 1 };
        let over = spent.quiet * self.rules.step >= self.rules.spent || spent.answered && !agent_has_floor;
        spent.answered |= agent_has_floor;
        (if over { State::Quiet } else { State::Spent(spent) }, None)
    }

    /// Forgets what was heard: as if nobody had spoken.
    pub fn reset(&mut self) {
        self.state = State::Quiet;
    }

    /// Whether a turn runs, its pauses included.
    pub fn is_speaking(&self) -> bool {
        matches!(self.state, State::Speaking(_) | State::Pausing(_))
    }

    /// Speech so far that stopped no agent because it was far below the caller's level.
    pub fn far(&self) -> Samples {
        Samples(self.far * self.rules.step)
    }

    /// Speech in the running turn, or in the last one; pauses are not counted.
    pub fn voiced(&self) -> Samples {
        Samples(self.voiced * self.rules.step)
    }

    fn confirm(&mut self, mut maybe: Maybe, heard: &Heard) -> (State, Option<TurnEvent>) {
        let rules = &self.rules;
        if heard.p < rules.start_at {
            maybe.dip += 1;
            let doubt = heard.p >= rules.stop_below && maybe.dip <= rules.dip;
            return (if doubt { State::Maybe(maybe) } else { State::Quiet }, None);
        }
        maybe.run += 1;
        maybe.dip = 0;
        maybe.loudest_db = maybe.loudest_db.max(heard.level_db);
        if maybe.run < rules.min_speech || maybe.is_aftersound() && maybe.run < rules.aftersound {
            return (State::Maybe(maybe), None);
        }
        self.voiced = maybe.run;
        let turn = Turn { steps: maybe.run, stopped: heard.end, quiet: 0, tail: 0 };
        (State::Speaking(turn), Some(TurnEvent::Started { at: Samples(maybe.since) }))
    }

    fn speak(&mut self, mut turn: Turn, heard: &Heard) -> (State, Option<TurnEvent>) {
        let rules = &self.rules;
        if turn.steps >= rules.max_turn {
            return (
                State::Spent(Spent::default()),
                Some(TurnEvent::Ended { at: Samples(heard.end), rule: EndRule::MaxTurn }),
            );
        }
        let speech = heard.p >= rules.stop_below;
        let Sound { above, telling } = heard.sound;
        if speech && (above || !telling) {
            self.voiced += 1;
            turn = turn.sounds_until(heard.end);
        } else if !speech && above && telling && turn.quiet == 0 && turn.tail < rules.tail {
            turn = Turn { stopped: heard.end, tail: turn.tail + 1, ..turn };
        } else {
            turn.quiet += 1;
        }
        let lagged = turn.quiet > rules.lag;
        if lagged {
            turn.quiet = rules.lag;
            turn.stopped = heard.end.saturating_sub(rules.lag * rules.step);
        }
        let goes_on = speech && !(lagged && heard.p < rules.start_at);
        if goes_on || turn.quiet == 0 {
            (State::Speaking(turn), None)
        } else if rules.is_over(turn) {
            turn.end()
        } else {
            (State::Pausing(turn), Some(TurnEvent::Paused { at: Samples(turn.stopped) }))
        }
    }

    fn pause(&mut self, mut turn: Turn, heard: &Heard) -> (State, Option<TurnEvent>) {
        let rules = &self.rules;
        if turn.steps >= rules.max_turn {
            return (
                State::Spent(Spent::default()),
                Some(TurnEvent::Ended { at: Samples(turn.stopped), rule: EndRule::MaxTurn }),
            );
        }
        if heard.p >= rules.start_at && (heard.sound.above || !heard.sound.telling) {
            self.voiced += 1;
            let at = Samples(heard.sounds_since(turn.stopped, rules));
            return (State::Speaking(turn.sounds_until(heard.end)), Some(TurnEvent::Resumed { at }));
        }
        turn.quiet += 1;
        let waits = heard.rises && turn.quiet * rules.step < rules.silence + rules.rise * rules.step;
        if rules.is_over(turn) && !waits { turn.end() } else { (State::Pausing(turn), None) }
    }
}

impl Rules {
    fn new(settings: &TurnSettings, step: u64, rate_hz: u32) -> Self {
        let samples = |ms: u64| Samples::from_ms(ms, rate_hz).0;
        let within = |ms: u64| samples(ms) / step;
        let per_mille = |p: f32| (p.clamp(0.0, 1.0) * 1_000.0).round() as u16;
        let start_at = per_mille(settings.threshold);
        // A probability is hardly ever 0: a hysteresis as large as the threshold must not keep a turn from ending.
        let stop_below = per_mille(settings.threshold - settings.hysteresis).max(start_at.min(10));
        Rules {
            step,
            start_at,
            stop_below,
            unlike_below: stop_below.max(UNLIKE_BELOW).min(start_at),
            min_speech: samples(u64::from(settings.min_speech_ms)).div_ceil(step).max(1),
            silence: samples(u64::from(settings.silence_duration_ms)),
            spent: samples(u64::from(settings.silence_duration_ms).min(SPENT_MS)),
            max_turn: match settings.max_turn_s {
                0 => u64::MAX,
                s => samples(u64::from(s) * 1_000).div_ceil(step),
            },
            dip: within(DIP_MS).max(1),
            lead: within(LEAD_MS),
            lag: within(LAG_MS),
            tail: within(TAIL_MS),
            burst: within(BURST_MS).max(1),
            aftersound: within(AFTERSOUND_MS),
            rise: within(RISE_MS),
        }
    }

    /// Whether speech may be about to begin: from a fifth of what a start takes, and up by a sixteenth of it.
    fn rises(&self, before: u16, p: u16) -> bool {
        p >= self.start_at / 5 && p >= before + self.start_at / 16
    }

    /// Whether the silence that ends a turn has passed. The last step with sound is half silent on average.
    fn is_over(&self, turn: Turn) -> bool {
        turn.quiet * self.step + self.step / 2 >= self.silence
    }
}

impl Heard {
    /// Where the sound began that goes on in this step, no earlier than `not_before`.
    fn sounds_since(&self, not_before: u64, rules: &Rules) -> u64 {
        let lead = self.before.steps.min(rules.lead) * rules.step;
        self.begin.saturating_sub(lead).max(not_before.min(self.begin))
    }
}

impl Maybe {
    /// Before its first step is counted.
    fn new(heard: &Heard, not_before: u64, rules: &Rules) -> Self {
        let burst = heard.before.unlike >= rules.burst;
        Maybe {
            since: heard.sounds_since(not_before, rules),
            run: 0,
            dip: 0,
            loudest_db: i8::MIN,
            burst_db: burst.then_some(heard.before.unlike_db),
        }
    }

    fn is_aftersound(&self) -> bool {
        self.burst_db.is_some_and(|burst| self.loudest_db <= burst.saturating_sub(FADED_DB))
    }
}

impl Turn {
    fn sounds_until(self, stopped: u64) -> Self {
        Turn { stopped, quiet: 0, tail: 0, ..self }
    }

    fn longer(self) -> Self {
        Turn { steps: self.steps.saturating_add(1), ..self }
    }

    fn end(self) -> (State, Option<TurnEvent>) {
        (State::Quiet, Some(TurnEvent::Ended { at: Samples(self.stopped), rule: EndRule::Silence }))
    }
}

impl SoundRun {
    fn take(&mut self, level_db: i8, sound: bool, unlike_speech: bool) {
        if !sound {
            *self = SoundRun::default();
            return;
        }
        self.steps += 1;
        if unlike_speech {
            self.unlike_db = if self.unlike == 0 { level_db } else { level_db.max(self.unlike_db) };
            self.unlike += 1;
        } else {
            self.unlike = 0;
        }
    }
}
