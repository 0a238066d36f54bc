//! The caller and the line: who speaks when, over whom, and what becomes of the line meanwhile.

use super::fault::Fault;
use crate::base::time::CallTime;
use crate::config::{CallSettings, TurnDetection};
use crate::engine::{Control, EndReason};
use crate::stage::load::random::Random;

/// How often a caller who listens asks himself what he hears.
const LISTEN_MS: u64 = 200;
/// A cough or an "uh-huh" is no longer than this.
const COUGH_MS: (u64, u64) = (40, 450);

/// What a caller or the line does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Deed {
    /// Goes on listening.
    Nothing,
    /// The media stream begins.
    Connect,
    /// Begins to speak.
    Speak,
    /// Falls silent, perhaps only for breath.
    Hush,
    /// Presses a key.
    Key(char),
    /// Hangs up.
    HangUp,
    /// What an operator asks for.
    Control(Control),
    /// Something goes wrong, for so long or so often.
    Trouble(Fault, u64),
}

/// One caller.
#[derive(Debug)]
pub(super) struct Caller {
    random: Random,
    state: State,
    at: CallTime,
    /// Turns until he has heard enough.
    turns: u64,
    /// How likely he speaks over the agent, and coughs, each time he listens, in per mille.
    barges: u64,
    coughs: u64,
    /// How long he waits for an answer, in ms.
    patience_ms: u64,
    /// What ends his turn when nobody hears it end.
    commits: Option<Deed>,
    /// What happens whatever he does, the last first.
    to_come: Vec<(CallTime, Deed)>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Ringing,
    /// Since when; whether the agent was heard, and since when not.
    Listening {
        since: CallTime,
        heard: bool,
        quiet_since: Option<CallTime>,
    },
    /// So many stretches of speech are to come after this.
    Speaking {
        more: u64,
    },
    Breathing {
        more: u64,
    },
    /// Has spoken, and says so.
    Committing,
    Gone,
}

impl Caller {
    /// Who calls with this number.
    pub(super) fn draw(mut random: Random, settings: &CallSettings) -> Self {
        let mut to_come = incidents(&mut random);
        let never = random.chance(15);
        let connects_ms = if never { settings.limits.media_start_s * 1_000 + 2_000 } else { random.skewed(60, 2_500) };
        if never {
            to_come.clear();
            to_come.push((CallTime::from_ms(10), Deed::Trouble(Fault::NeverConnects, 0)));
        }
        to_come.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let commits = match settings.turn_detection {
            TurnDetection::Disabled { commit_key: Some(key) } if random.chance(800) => Some(Deed::Key(key)),
            TurnDetection::Disabled { .. } => Some(Deed::Control(Control::CommitTurn)),
            _ => None,
        };
        Caller {
            state: State::Ringing,
            at: CallTime::from_ms(connects_ms),
            turns: random.skewed(2, 30),
            barges: if random.chance(500) { random.range(5, 60) } else { 0 },
            coughs: if random.chance(300) { random.range(5, 60) } else { 0 },
            patience_ms: random.range(3_000, 20_000),
            commits,
            to_come,
            random,
        }
    }

    /// When he does something next.
    pub(super) fn next(&self) -> Option<CallTime> {
        let own = (!matches!(self.state, State::Gone)).then_some(self.at);
        own.into_iter().chain(self.to_come.last().map(|(at, _)| *at)).min()
    }

    /// What he does now, who hears the agent or does not.
    pub(super) fn act(&mut self, now: CallTime, hears_agent: bool) -> Deed {
        if let Some((_, deed)) = self.to_come.pop_if(|(at, _)| *at <= now) {
            if matches!(deed, Deed::HangUp | Deed::Trouble(Fault::LineLost, _)) {
                self.leave();
            }
            return deed;
        }
        match self.state {
            State::Ringing => {
                self.listen(now, false);
                Deed::Connect
            }
            State::Listening { since, heard, quiet_since } => {
                self.listened(now, hears_agent, since, heard, quiet_since)
            }
            State::Speaking { more: 0 } if self.commits.is_some() => {
                self.state = State::Committing;
                self.at = now.plus_ms(self.random.range(20, 900));
                Deed::Hush
            }
            State::Speaking { more: 0 } => {
                self.listen(now, false);
                Deed::Hush
            }
            State::Speaking { more } => {
                self.state = State::Breathing { more: more - 1 };
                self.at = now.plus_ms(self.random.skewed(40, 1_200));
                Deed::Hush
            }
            State::Breathing { more } => {
                self.speak(now, more, (200, 4_000));
                Deed::Speak
            }
            State::Committing => {
                self.listen(now, false);
                self.commits.clone().unwrap_or(Deed::Nothing)
            }
            State::Gone => Deed::Nothing,
        }
    }

    fn listened(
        &mut self,
        now: CallTime,
        hears: bool,
        since: CallTime,
        heard: bool,
        quiet_since: Option<CallTime>,
    ) -> Deed {
        self.at = now.plus_ms(LISTEN_MS);
        if hears {
            self.state = State::Listening { since, heard: true, quiet_since: None };
            if self.random.chance(self.coughs) {
                self.speak(now, 0, COUGH_MS);
                return Deed::Speak;
            }
            if self.random.chance(self.barges) {
                let more = self.random.range(0, 1);
                self.speak(now, more, (300, 4_000));
                return Deed::Speak;
            }
            return Deed::Nothing;
        }
        let quiet_since = quiet_since.unwrap_or(now);
        self.state = State::Listening { since, heard, quiet_since: Some(quiet_since) };
        let thinks_ms = if heard { self.random.skewed(250, 9_000) } else { self.patience_ms };
        if now.ms_since(if heard { quiet_since } else { since }) < thinks_ms {
            return Deed::Nothing;
        }
        if self.turns == 0 || (!heard && self.random.chance(200)) {
            self.leave();
            return Deed::HangUp;
        }
        self.turns -= 1;
        let more = self.random.skewed(1, 5) - 1;
        self.speak(now, more, (250, 7_000));
        Deed::Speak
    }

    fn listen(&mut self, now: CallTime, heard: bool) {
        self.state = State::Listening { since: now, heard, quiet_since: None };
        self.at = now.plus_ms(LISTEN_MS);
    }

    fn speak(&mut self, now: CallTime, more: u64, (low, high): (u64, u64)) {
        self.state = State::Speaking { more };
        self.at = now.plus_ms(self.random.skewed(low, high));
    }

    fn leave(&mut self) {
        self.state = State::Gone;
        self.to_come.clear();
    }
}

/// What happens whatever the caller does: most calls have nothing of it.
fn incidents(random: &mut Random) -> Vec<(CallTime, Deed)> {
    let mut to_come = Vec::new();
    let mut may = |random: &mut Random, per_mille: u64, deed: fn(&mut Random) -> Deed| {
        if random.chance(per_mille) {
            // As likely while the line rings, in the greeting, or late.
            let at_ms = if random.chance(500) { random.skewed(20, 60_000) } else { random.range(0, 200_000) };
            to_come.push((CallTime::from_ms(at_ms), deed(random)));
        }
    };
    let trouble = |random: &mut Random, fault, low, high| Deed::Trouble(fault, random.skewed(low, high));
    may(random, 120, |_| Deed::HangUp);
    may(random, 20, |_| Deed::Trouble(Fault::LineLost, 0));
    may(random, 20, |_| Deed::Trouble(Fault::AudioStops, 0));
    may(random, 40, |random| Deed::Trouble(Fault::LineBreaks, random.skewed(50, 6_000)));
    may(random, 60, |random| Deed::Key(random.pick(&['1', '5', '0', '#', '*'])));
    may(random, 20, |_| Deed::Trouble(Fault::StartsTwice, 0));
    may(random, 15, |_| Deed::Control(Control::End(EndReason::Operator)));
    may(random, 10, |_| Deed::Control(Control::End(EndReason::Shutdown)));
    may(random, 5, |_| Deed::Control(Control::EndNow(EndReason::Shutdown)));
    may(random, 20, |_| Deed::Control(Control::CommitTurn));
    for _ in 0..random.range(0, 2) {
        may(random, 50, |_| Deed::Trouble(Fault::ClockRestarts, 0));
    }
    if random.chance(80) {
        // A number.
        let at_ms = random.range(0, 60_000);
        let keys = (0..random.range(2, 8)).map(|n| CallTime::from_ms(at_ms + n * random.range(100, 900)));
        to_come.extend(keys.map(|at| (at, Deed::Key('7'))));
    }
    if random.chance(250) {
        for _ in 0..random.range(1, 5) {
            let (fault, low, high) = random.pick(&[
                (Fault::FramesLost, 20, 6_000),
                (Fault::LineStalls, 50, 8_000),
                (Fault::MarksHeld, 50, 8_000),
                (Fault::MarksLost, 1, 30),
            ]);
            to_come.push((CallTime::from_ms(random.skewed(200, 150_000)), trouble(random, fault, low, high)));
        }
    }
    to_come
}
