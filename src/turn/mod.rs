//! Turns from speech probabilities: when the caller began to speak, paused, went on, and was done.

pub mod score;
pub mod shadow;

use crate::config::TurnSettings;
use crate::time::Samples;
use crate::vad::Step;

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
    /// The turn is over; the last speech ended at `at`.
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

/// Decides turns, step by step.
#[derive(Clone, Debug)]
pub struct TurnDetector {
    start_at: f32,
    stop_below: f32,
    min_speech: u64,
    silence: u64,
    max_turn: u64,
    step: u64,
    state: State,
    /// Speech in the running turn.
    voiced: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Quiet,
    /// Speech, not confirmed: since where, and how much.
    Maybe {
        since: u64,
        run: u64,
    },
    Speaking {
        since: u64,
    },
    Pausing {
        since: u64,
        stopped: u64,
    },
}

impl TurnDetector {
    /// By these settings, for audio at `rate_hz`.
    pub fn new(settings: &TurnSettings, rate_hz: u32) -> Self {
        let samples = |ms: u64| Samples::from_ms(ms, rate_hz).0;
        TurnDetector {
            start_at: settings.threshold,
            stop_below: (settings.threshold - settings.hysteresis).max(0.0),
            min_speech: samples(u64::from(settings.min_speech_ms)),
            silence: samples(u64::from(settings.silence_duration_ms)),
            max_turn: samples(u64::from(settings.max_turn_s) * 1_000),
            step: crate::vad::step_samples(settings.engine, rate_hz).0,
            state: State::Quiet,
            voiced: 0,
        }
    }

    /// Takes one step; at most one thing becomes known with it.
    pub fn step(&mut self, step: Step) -> Option<TurnEvent> {
        let end = step.end.0;
        let begin = end.saturating_sub(self.step);
        let p = step.probability.as_f32();
        match self.state {
            State::Quiet | State::Maybe { .. } if p < self.start_at => {
                self.state = State::Quiet;
                None
            }
            State::Quiet | State::Maybe { .. } => {
                let (since, run) = match self.state {
                    State::Maybe { since, run } => (since, run + self.step),
                    _ => (begin, self.step),
                };
                if run < self.min_speech {
                    self.state = State::Maybe { since, run };
                    return None;
                }
                self.voiced = run;
                self.state = State::Speaking { since };
                Some(TurnEvent::Started { at: Samples(since) })
            }
            State::Speaking { since } => {
                if self.max_turn > 0 && end.saturating_sub(since) >= self.max_turn {
                    self.state = State::Quiet;
                    return Some(TurnEvent::Ended { at: step.end, rule: EndRule::MaxTurn });
                }
                if p < self.stop_below {
                    self.state = State::Pausing { since, stopped: begin };
                    return Some(TurnEvent::Paused { at: Samples(begin) });
                }
                self.voiced += self.step;
                None
            }
            State::Pausing { since, stopped } => {
                if p >= self.start_at {
                    self.voiced += self.step;
                    self.state = State::Speaking { since };
                    return Some(TurnEvent::Resumed { at: Samples(begin) });
                }
                if end.saturating_sub(stopped) < self.silence {
                    return None;
                }
                self.state = State::Quiet;
                Some(TurnEvent::Ended { at: Samples(stopped), rule: EndRule::Silence })
            }
        }
    }

    /// Forgets what was heard: as if nobody had spoken.
    pub fn reset(&mut self) {
        self.state = State::Quiet;
    }

    /// Whether a turn runs, its pauses included.
    pub fn is_speaking(&self) -> bool {
        matches!(self.state, State::Speaking { .. } | State::Pausing { .. })
    }

    /// Speech in the running turn, or in the last one; pauses are not counted.
    pub fn voiced(&self) -> Samples {
        Samples(self.voiced)
    }
}
