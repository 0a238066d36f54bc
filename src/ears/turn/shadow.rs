//! Candidate settings tried silently beside the live ones: where would they have decided otherwise?
//!
//! A candidate has its own [`TurnDetector`] over the live detector's steps, and its own rule for interruptions. The two
//! are held against each other as long as the caller speaks by either; what that comes to is counted when a difference is
//! certain:
//!
//! ```text
//!  live       ┌───────────────────────┐        ┌──────────┐            ┌────────┐  ┌──────┐
//!  candidate  └──────┐      ┌──┐      ·        └──────────┴───┐        └────────┴──┴──────┴──┐
//!                 cut off    earlier                        later              kept as one turn
//! ```
//!
//! An end is a **cut-off** when more speech of the same live turn follows it, else it is earlier or later than the live
//! one, each counted from the step at which it was decided. Two live turns that the candidate **keeps as one** are what
//! the live settings may have cut.

use serde::{Deserialize, Serialize};

use crate::base::time::Samples;
use crate::config::{FalseInterruptions, Interruptions};
use crate::ears::turn::{TurnDetector, TurnEvent};
use crate::ears::vad::Step;

/// One word takes about this long: 200 words a minute.
pub(crate) const WORD_MS: u64 = 300;
/// Speech over the agent that is shorter is no word: a click, a cough.
pub(crate) const CLICK_MS: u64 = 100;

/// One candidate beside the live settings.
#[derive(Clone, Debug)]
pub struct Shadow {
    name: String,
    detector: TurnDetector,
    compare: Compare,
}

/// Something that the candidate decides otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The step at whose end it is certain, as [`Step::end`].
    pub at: Samples,
    /// What.
    pub what: Otherwise,
}

/// How a candidate decides otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// It ended the turn, by as much earlier.
    EndsEarlier {
        /// Until the live end.
        by: Samples,
    },
    /// It ended the turn, by as much later.
    EndsLater {
        /// Since the live end.
        by: Samples,
    },
    /// It ended a turn in which the caller went on.
    CutsOff,
    /// It took for one turn what the live settings took for two.
    KeepsAsOne,
    /// It heard a turn where the live settings heard none.
    StartsAlone,
    /// It heard no turn where the live settings heard one.
    MissesStart,
    /// It did not interrupt the agent when the live settings did.
    LosesInterruption,
    /// It interrupted the agent when the live settings did not.
    InterruptsAlone,
    /// One of the two left it to the words whether the agent is interrupted, and the other did not.
    LeftToWords,
}

/// How often a candidate decided otherwise, and how often alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowTally {
    /// The candidate's name.
    pub name: String,
    /// Turn ends at the same step.
    pub ends_same: u64,
    /// Turn ends that came earlier, with nothing more said in the turn.
    pub ends_earlier: u64,
    /// By how much in all, in ms.
    pub earlier_ms: u64,
    /// By how much at most, in ms.
    pub earlier_max_ms: u64,
    /// Turn ends that came later.
    pub ends_later: u64,
    /// By how much in all, in ms.
    pub later_ms: u64,
    /// By how much at most, in ms.
    pub later_max_ms: u64,
    /// Turn ends after which the caller went on in the same live turn.
    pub cut_offs: u64,
    /// Live turn ends that the candidate did not see, since its turn went on into the next live one.
    pub kept_as_one: u64,
    /// Turns that only the candidate heard.
    pub starts_alone: u64,
    /// Turns that only the live settings heard.
    pub starts_missed: u64,
    /// Interruptions by both.
    pub interruptions_kept: u64,
    /// Interruptions by the live settings only.
    pub interruptions_lost: u64,
    /// Interruptions by the candidate only.
    pub interruptions_alone: u64,
    /// Speech over the agent that one of the two left to its words, and the other did not: nobody knows what they would have
    /// said.
    #[serde(default)]
    pub interruptions_open: u64,
}

impl ShadowTally {
    /// What adds up over calls, by name.
    pub fn counts(&self) -> [(&'static str, u64); 13] {
        [
            ("ends_same", self.ends_same),
            ("ends_earlier", self.ends_earlier),
            ("earlier_ms", self.earlier_ms),
            ("ends_later", self.ends_later),
            ("later_ms", self.later_ms),
            ("cut_offs", self.cut_offs),
            ("kept_as_one", self.kept_as_one),
            ("starts_alone", self.starts_alone),
            ("starts_missed", self.starts_missed),
            ("interruptions_kept", self.interruptions_kept),
            ("interruptions_lost", self.interruptions_lost),
            ("interruptions_alone", self.interruptions_alone),
            ("interruptions_open", self.interruptions_open),
        ]
    }
}

impl Shadow {
    /// The candidate beside a live rule for interruptions, where the model sends transcripts or does not, for audio at
    /// `rate_hz`.
    pub fn new(candidate: &crate::config::Shadow, live: &Rule, transcribed: bool, rate_hz: u32) -> Self {
        let rule = Rule::new(candidate.interruptions, candidate.false_interruptions, transcribed, rate_hz);
        Shadow {
            name: candidate.name.clone(),
            detector: TurnDetector::new(&candidate.turn, rate_hz),
            compare: Compare::new(live.clone(), rule, rate_hz),
        }
    }

    /// Takes one step, what the live detector made of it, whether the agent has the floor: is heard, or is about to be (one
    /// who is held counts), and whether it may be interrupted: is not protected either. Answers with a difference that became certain; when two did with one step, with the first (both are counted).
    pub fn step(
        &mut self,
        step: Step,
        live: Option<TurnEvent>,
        agent_has_floor: bool,
        agent_audible: bool,
    ) -> Option<Difference> {
        let mut first = None;
        let mut on = |difference| {
            first.get_or_insert(difference);
        };
        // An agent whom the live settings silenced would have it yet.
        let mine = self.detector.step(step, agent_has_floor || self.compare.live.interrupted);
        self.compare.live(step.end, live, agent_audible, &mut on);
        self.compare.candidate(step.end, mine, agent_audible, &mut on);
        first
    }

    /// What was counted so far.
    pub fn tally(&self) -> ShadowTally {
        ShadowTally { name: self.name.clone(), ..self.compare.tally.clone() }
    }
}

/// When caller speech over the agent is an interruption: after so much of it, or by its words. What was said before does not
/// count here: whether it adds up depends on its words.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `None`: never.
    after: Option<u64>,
    /// Of speech that is over and this long the words decide. `None`: never.
    words_from: Option<u64>,
    turn: Option<Speech>,
    /// The speech that ended with the last step is left to its words.
    asks_words: bool,
}

/// A running turn, as its interruption rule sees it.
#[derive(Clone, Copy, Debug)]
struct Speech {
    voiced: u64,
    paused: bool,
    since: u64,
    over_agent: bool,
    interrupted: bool,
}

impl Rule {
    /// The rule of these settings, where the model sends transcripts or does not, for audio at `rate_hz`.
    pub fn new(interruptions: Interruptions, unless: FalseInterruptions, transcribed: bool, rate_hz: u32) -> Self {
        let by_words = matches!(interruptions, Interruptions::On | Interruptions::MinWords(_)) && transcribed;
        let after_ms = match interruptions {
            Interruptions::Off => None,
            // Without resuming there is no taking back.
            Interruptions::On if !unless.resume => Some(0),
            Interruptions::On if !transcribed => Some(u64::from(unless.shorter_than_ms.min(unless.untranscribed_ms))),
            Interruptions::On => Some(u64::from(unless.shorter_than_ms)),
            Interruptions::AfterMs(ms) => Some(u64::from(ms)),
            Interruptions::MinWords(words) => Some(u64::from(words) * WORD_MS),
        };
        let samples = |ms: u64| Samples::from_ms(ms, rate_hz).0;
        let words_from = by_words.then(|| samples(CLICK_MS));
        Rule { after: after_ms.map(samples), words_from, turn: None, asks_words: false }
    }

    /// Takes what became known at the end of a step. `audible`: the agent has the floor, or lost it by an interruption.
    pub(crate) fn step(&mut self, now: u64, event: Option<TurnEvent>, audible: bool) {
        match (event, &mut self.turn) {
            (Some(TurnEvent::Started { at }), turn) => {
                let voiced = now.saturating_sub(at.0);
                *turn = Some(Speech { voiced, paused: false, since: now, over_agent: audible, interrupted: false });
            }
            (event, Some(turn)) => {
                match event {
                    Some(TurnEvent::Paused { .. }) => turn.paused = true,
                    Some(TurnEvent::Resumed { .. }) => turn.paused = false,
                    _ => {}
                }
                if !turn.paused {
                    turn.voiced += now.saturating_sub(turn.since);
                }
                turn.since = now;
            }
            (_, None) => return,
        }
        let (after, words_from) = (self.after, self.words_from);
        self.asks_words = false;
        if let Some(turn) = &mut self.turn {
            // An agent who has finished by itself is not interrupted, nor one who answers what is still being said.
            turn.over_agent &= audible;
            turn.interrupted |= turn.over_agent && after.is_some_and(|after| turn.voiced >= after);
        }
        if matches!(event, Some(TurnEvent::Ended { .. }))
            && let Some(turn) = self.turn.take()
        {
            let undecided = turn.over_agent && !turn.interrupted;
            self.asks_words = undecided && words_from.is_some_and(|from| turn.voiced >= from);
        }
    }

    /// Whether the speech that ended with the last step is left to its words.
    pub(crate) fn asks_words(&self) -> bool {
        self.asks_words
    }

    /// Whether the running turn has interrupted the agent.
    pub(crate) fn has_interrupted(&self) -> bool {
        self.turn.is_some_and(|turn| turn.interrupted)
    }
}

/// Two courses of turns held against each other.
#[derive(Clone, Debug)]
struct Compare {
    rate_hz: u32,
    live: Side,
    mine: Side,
    /// The candidate's last end within the running live turn.
    early: Option<u64>,
    /// The live end within the candidate's running turn.
    over_since: Option<u64>,
    tally: ShadowTally,
}

/// One side, as long as either is in a turn.
#[derive(Clone, Debug)]
struct Side {
    rule: Rule,
    open: bool,
    turned: bool,
    interrupted: bool,
    asks_words: bool,
}

impl Side {
    fn step(&mut self, now: u64, event: Option<TurnEvent>, audible: bool) {
        self.rule.step(now, event, audible);
        self.interrupted |= self.rule.has_interrupted();
        self.asks_words |= self.rule.asks_words();
        match event {
            Some(TurnEvent::Started { .. }) => (self.open, self.turned) = (true, true),
            Some(TurnEvent::Ended { .. }) => self.open = false,
            _ => {}
        }
    }

    fn leaves_to_words(&self) -> bool {
        self.asks_words && !self.interrupted
    }

    fn settle(&mut self) {
        (self.turned, self.interrupted, self.asks_words) = (false, false, false);
    }
}

impl Compare {
    fn new(live: Rule, mine: Rule, rate_hz: u32) -> Self {
        let side = |rule| Side { rule, open: false, turned: false, interrupted: false, asks_words: false };
        Compare {
            rate_hz,
            live: side(live),
            mine: side(mine),
            early: None,
            over_since: None,
            tally: ShadowTally::default(),
        }
    }

    /// What the live settings made of a step that ends at `now`.
    fn live(&mut self, now: Samples, event: Option<TurnEvent>, agent_audible: bool, on: &mut impl FnMut(Difference)) {
        self.live.step(now.0, event, agent_audible);
        match event {
            Some(TurnEvent::Started { .. }) if self.over_since.take().is_some() => {
                self.differs(now, Otherwise::KeepsAsOne, on);
            }
            Some(TurnEvent::Ended { at, .. }) => {
                if let Some(early) = self.early.take() {
                    let what = if at.0 > early {
                        Otherwise::CutsOff
                    } else {
                        Otherwise::EndsEarlier { by: Samples(now.0.saturating_sub(early)) }
                    };
                    self.differs(now, what, on);
                }
                self.over_since = self.mine.open.then_some(now.0);
            }
            _ => {}
        }
    }

    /// What the candidate makes of a step that ends at `now`, after the live settings' step that ends there or before.
    fn candidate(
        &mut self,
        now: Samples,
        event: Option<TurnEvent>,
        agent_audible: bool,
        on: &mut impl FnMut(Difference),
    ) {
        // An agent whom the live settings silenced would be heard yet.
        self.mine.step(now.0, event, agent_audible || self.live.interrupted);
        if let Some(TurnEvent::Ended { .. }) = event {
            if let Some(since) = self.over_since.take() {
                match now.0.saturating_sub(since) {
                    0 => self.tally.ends_same += 1,
                    by => self.differs(now, Otherwise::EndsLater { by: Samples(by) }, on),
                }
            } else if self.live.open && self.early.replace(now.0).is_some() {
                // It had begun another turn since.
                self.differs(now, Otherwise::CutsOff, on);
            }
        }
        if !self.live.open && !self.mine.open && (self.live.turned || self.mine.turned) {
            self.settle(now, on);
        }
    }

    /// Nobody speaks by either any more.
    fn settle(&mut self, now: Samples, on: &mut impl FnMut(Difference)) {
        match (self.live.turned, self.mine.turned) {
            (true, false) => self.differs(now, Otherwise::MissesStart, on),
            (false, true) => self.differs(now, Otherwise::StartsAlone, on),
            _ => {}
        }
        match (self.live.interrupted, self.mine.interrupted) {
            (true, true) => self.tally.interruptions_kept += 1,
            _ if self.live.leaves_to_words() != self.mine.leaves_to_words() => {
                self.differs(now, Otherwise::LeftToWords, on);
            }
            (true, false) => self.differs(now, Otherwise::LosesInterruption, on),
            (false, true) => self.differs(now, Otherwise::InterruptsAlone, on),
            (false, false) => {}
        }
        self.live.settle();
        self.mine.settle();
        (self.early, self.over_since) = (None, None);
    }

    fn differs(&mut self, at: Samples, what: Otherwise, on: &mut impl FnMut(Difference)) {
        let tally = &mut self.tally;
        match what {
            Otherwise::EndsEarlier { by } => {
                let ms = by.as_ms(self.rate_hz);
                tally.ends_earlier += 1;
                tally.earlier_ms += ms;
                tally.earlier_max_ms = tally.earlier_max_ms.max(ms);
            }
            Otherwise::EndsLater { by } => {
                let ms = by.as_ms(self.rate_hz);
                tally.ends_later += 1;
                tally.later_ms += ms;
                tally.later_max_ms = tally.later_max_ms.max(ms);
            }
            Otherwise::CutsOff => tally.cut_offs += 1,
            Otherwise::KeepsAsOne => tally.kept_as_one += 1,
            Otherwise::StartsAlone => tally.starts_alone += 1,
            Otherwise::MissesStart => tally.starts_missed += 1,
            Otherwise::LosesInterruption => tally.interruptions_lost += 1,
            Otherwise::InterruptsAlone => tally.interruptions_alone += 1,
            Otherwise::LeftToWords => tally.interruptions_open += 1,
        }
        on(Difference { at, what });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TurnSettings;
    use crate::ears::vad::{Probability, step_samples};

    const RATE: u32 = 8_000;

    fn live() -> crate::config::Shadow {
        crate::config::Shadow {
            name: "live".into(),
            turn: TurnSettings::default(),
            interruptions: Interruptions::On,
            false_interruptions: FalseInterruptions::default(),
        }
    }

    /// Runs a candidate beside the default settings over stretches of ms, speech in per mille, and whether the agent is
    /// audible. Answers with the tally and what differed, in order.
    fn run(
        candidate: impl FnOnce(&mut crate::config::Shadow),
        script: &[(u64, u16, bool)],
    ) -> (ShadowTally, Vec<Otherwise>) {
        let mut settings = live();
        let mut detector = TurnDetector::new(&settings.turn, RATE);
        let rule = Rule::new(settings.interruptions, settings.false_interruptions, true, RATE);
        candidate(&mut settings);
        let mut shadow = Shadow::new(&settings, &rule, true, RATE);
        let length = step_samples(settings.turn.engine, RATE).0;
        let (mut end, mut until, mut found) = (0, 0, Vec::new());
        for &(ms, per_mille, audible) in script {
            until += Samples::from_ms(ms, RATE).0;
            while end + length <= until {
                end += length;
                let probability = Probability::from_per_mille(per_mille);
                let step = Step { end: Samples(end), probability, level_db: -30 };
                let event = detector.step(step, audible);
                found.extend(shadow.step(step, event, audible, audible).map(|d| d.what));
            }
        }
        (shadow.tally(), found)
    }

    /// Within a step of what is expected.
    fn near(ms: u64, expected: u64) -> bool {
        ms.abs_diff(expected) <= 40
    }

    #[test]
    fn the_live_settings_beside_themselves_never_differ() {
        let script = [(500, 0, false), (800, 900, false), (150, 100, false), (400, 800, true), (900, 0, true)];
        let (tally, found) = run(|_| {}, &[script, script].concat());
        assert_eq!(found, []);
        assert_eq!(tally, ShadowTally { name: "live".into(), ends_same: 2, ..ShadowTally::default() });
    }

    #[test]
    fn a_longer_silence_ends_later_and_keeps_as_one_what_was_two() {
        let patient = |s: &mut crate::config::Shadow| s.turn.silence_duration_ms = 500;
        let (tally, found) = run(patient, &[(500, 900, false), (1_000, 0, false)]);
        let [Otherwise::EndsLater { by }] = found[..] else { panic!("{found:?}") };
        assert!(near(by.as_ms(RATE), 300), "{by:?}");
        assert_eq!((tally.ends_later, tally.later_ms, tally.later_max_ms), (1, by.as_ms(RATE), by.as_ms(RATE)));
        let (tally, found) = run(patient, &[(500, 900, false), (350, 0, false), (500, 900, false), (1_000, 0, false)]);
        assert!(matches!(found[..], [Otherwise::KeepsAsOne, Otherwise::EndsLater { .. }]), "{found:?}");
        assert_eq!((tally.kept_as_one, tally.ends_later, tally.cut_offs, tally.ends_same), (1, 1, 0, 0));
    }

    #[test]
    fn a_shorter_silence_ends_earlier_or_cuts_off() {
        let hasty = |s: &mut crate::config::Shadow| s.turn.silence_duration_ms = 100;
        let (tally, found) = run(hasty, &[(500, 900, false), (1_000, 0, false)]);
        let [Otherwise::EndsEarlier { by }] = found[..] else { panic!("{found:?}") };
        assert!(near(by.as_ms(RATE), 100), "{by:?}");
        assert_eq!(tally.cut_offs, 0);
        // In the pause the live turn goes on; the candidate's ended.
        let (tally, _) = run(hasty, &[(500, 900, false), (150, 0, false), (500, 900, false), (1_000, 0, false)]);
        assert_eq!((tally.cut_offs, tally.ends_earlier, tally.kept_as_one, tally.starts_alone), (1, 1, 0, 0));
        // Said to the end by the candidate before the live turn ends, and not taken up again: cut off all the same.
        let long = |s: &mut crate::config::Shadow| (s.turn.silence_duration_ms, s.turn.min_speech_ms) = (100, 900);
        let pauses = [(1_200, 900, false), (150, 0, false), (300, 900, false), (1_000, 0, false)];
        let (tally, found) = run(long, &pauses);
        assert_eq!(found, [Otherwise::CutsOff]);
        assert_eq!(tally.ends_earlier, 0);
    }

    #[test]
    fn turns_that_only_one_hears_are_counted_once_each() {
        let strict = |s: &mut crate::config::Shadow| s.turn.threshold = 0.8;
        let faint = [(300, 600, false), (1_000, 0, false)];
        assert_eq!(run(strict, &faint).1, [Otherwise::MissesStart]);
        let keen = |s: &mut crate::config::Shadow| s.turn.threshold = 0.3;
        let fainter = [(300, 400, false), (1_000, 0, false)];
        let (tally, found) = run(keen, &[fainter, fainter].concat());
        assert_eq!(found, [Otherwise::StartsAlone; 2]);
        assert_eq!((tally.starts_alone, tally.starts_missed, tally.ends_same), (2, 0, 0));
    }

    #[test]
    fn interruptions_are_kept_lost_or_made_alone() {
        let short = [(300, 900, true), (1_000, 0, true)];
        let long = [(900, 900, true), (1_000, 0, false)];
        let counts =
            |t: &ShadowTally| (t.interruptions_kept, t.interruptions_lost, t.interruptions_alone, t.interruptions_open);
        let script = [short, long].concat();
        assert_eq!(counts(&run(|_| {}, &script).0), (1, 0, 0, 0), "of the short one the words decide for both");
        let at_once = |s: &mut crate::config::Shadow| s.false_interruptions.resume = false;
        assert_eq!(counts(&run(at_once, &script).0), (1, 0, 0, 1));
        let never = |s: &mut crate::config::Shadow| s.interruptions = Interruptions::Off;
        assert_eq!(counts(&run(never, &script).0), (0, 1, 0, 1));
        let words = |s: &mut crate::config::Shadow| s.interruptions = Interruptions::MinWords(4);
        assert_eq!(counts(&run(words, &script).0), (0, 0, 0, 1), "both leave the short one to its words");
        // A click is none by any of them, but for those whom all speech stops.
        let click = [(120, 900, true), (1_000, 0, true)];
        assert_eq!(counts(&run(|_| {}, &click).0), (0, 0, 0, 0));
        assert_eq!(counts(&run(at_once, &click).0), (0, 0, 1, 0));
        let sooner = |s: &mut crate::config::Shadow| s.false_interruptions.shorter_than_ms = 250;
        assert_eq!(counts(&run(sooner, &short).0), (0, 0, 0, 1));
        // Whom nobody hears nobody interrupts.
        let silent: Vec<_> = script.iter().map(|&(ms, p, _)| (ms, p, false)).collect();
        assert_eq!(counts(&run(at_once, &silent).0), (0, 0, 0, 0));
        // The live settings silence the agent before the candidate has heard enough: it would have been heard on.
        let later = |s: &mut crate::config::Shadow| s.false_interruptions.shorter_than_ms = 1_000;
        let silenced = [(750, 900, true), (600, 900, false), (1_000, 0, false)];
        assert_eq!(counts(&run(later, &silenced).0), (1, 0, 0, 0));
        // A pause is no speech.
        let broken = [(400, 900, true), (150, 0, true), (200, 900, true), (1_000, 0, true)];
        assert_eq!(counts(&run(at_once, &broken).0), (0, 0, 0, 1));
    }
}
