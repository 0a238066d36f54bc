//! What each caller does, drawn from a seed.

use std::time::Duration;

use crate::phone::{Clip, Step};

/// What all callers have in common.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    pub(crate) clips: Vec<Clip>,
    /// Seconds a call lasts, from and to.
    pub(crate) call_s: [f64; 2],
    /// Seconds a caller thinks before a turn, from and to.
    pub(crate) think_s: [f64; 2],
    /// Percent of turns in which the caller cuts in.
    pub(crate) barge_in_percent: u32,
    /// Percent of calls whose caller hangs up early.
    pub(crate) hang_up_percent: u32,
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) script: Vec<Step>,
    pub(crate) lasts: Duration,
    /// Whether an answer can be expected before the caller is gone.
    pub(crate) stays: bool,
    pub(crate) seed: u64,
}

/// Longest wait for an answer to a turn.
const ANSWER_MS: u64 = 6_000;
/// Longest answer that is heard out.
const LISTEN_MS: u64 = 20_000;

impl Manners {
    /// A call that lasts `longest` at most.
    pub(crate) fn plan(&self, dice: &mut Dice, longest: Duration) -> Plan {
        let lasts = Duration::from_secs_f64(dice.between(self.call_s)).min(longest);
        let seed = dice.next();
        if dice.percent(self.hang_up_percent) {
            return Plan { script: self.leaves(dice), lasts, stays: false, seed };
        }
        // Who greets is not interrupted at once.
        let mut script = vec![Step::WaitAgentSpeaking { after_ms: 0, max_ms: 2_000 }, listen()];
        let mut said = Duration::ZERO;
        while said < lasts && !self.clips.is_empty() {
            script.push(Step::Silence((dice.between(self.think_s) * 1_000.0) as u64));
            let clip = &self.clips[dice.below(self.clips.len())];
            // Silence and answers only make it last longer.
            said += Duration::from_millis(20 + clip.audio.len() as u64 / 8);
            script.push(Step::Say(clip.clone()));
            if dice.percent(self.barge_in_percent) {
                let after_ms = 400 + dice.below(1_200) as u64;
                script.push(Step::WaitAgentSpeaking { after_ms, max_ms: ANSWER_MS });
                script.push(Step::Say(self.clips[dice.below(self.clips.len())].clone()));
            }
            script.push(Step::WaitAgentSpeaking { after_ms: 0, max_ms: ANSWER_MS });
            script.push(listen());
        }
        script.push(Step::WaitEnd { max_ms: lasts.as_millis() as u64 });
        Plan { script, lasts, stays: true, seed }
    }

    /// A caller who does not stay: gone while greeted, in the middle of a word, or without a word.
    fn leaves(&self, dice: &mut Dice) -> Vec<Step> {
        let mut script = vec![Step::Silence(100 + dice.below(3_000) as u64)];
        if dice.percent(50)
            && let Some(clip) = self.clips.get(dice.below(self.clips.len()))
        {
            let some = dice.below(clip.audio.len()).max(160);
            let audio = &clip.audio[..some.min(clip.audio.len())];
            script.push(Step::Say(Clip::new(clip.label.clone(), audio)));
        }
        script.push(if dice.percent(30) { Step::Die } else { Step::HangUp });
        script
    }
}

fn listen() -> Step {
    Step::WaitAgentSilent { for_ms: 500, max_ms: LISTEN_MS }
}

/// Chance from a seed (splitmix64): the same everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// Less than `n`; 0 where that is impossible.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub(crate) fn between(&mut self, [from, to]: [f64; 2]) -> f64 {
        let part = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        from + (to - from).max(0.0) * part
    }

    pub(crate) fn percent(&mut self, percent: u32) -> bool {
        self.next() % 100 < u64::from(percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manners() -> Manners {
        Manners {
            clips: vec![Clip::new("a", vec![0x20; 8_000]), Clip::new("b", vec![0x20; 4_000])],
            call_s: [20.0, 40.0],
            think_s: [0.5, 1.5],
            barge_in_percent: 30,
            hang_up_percent: 20,
        }
    }

    #[test]
    fn shares_are_kept_and_a_seed_gives_the_same_callers() {
        let plans = |seed| {
            let mut dice = Dice::new(seed);
            (0..1_000).map(|_| manners().plan(&mut dice, Duration::from_secs(30))).collect::<Vec<_>>()
        };
        let (a, b) = (plans(1), plans(1));
        assert!(a.iter().zip(&b).all(|(a, b)| format!("{a:?}") == format!("{b:?}")));
        let left = a.iter().filter(|plan| !plan.stays).count();
        assert!((150..250).contains(&left), "{left}");
        assert!(a.iter().all(|plan| plan.lasts <= Duration::from_secs(30) && plan.lasts >= Duration::from_secs(20)));
        let steps = || a.iter().flat_map(|plan| &plan.script);
        let cuts = steps().filter(|s| matches!(s, Step::WaitAgentSpeaking { after_ms: 400.., .. })).count();
        let turns = steps().filter(|s| matches!(s, Step::WaitAgentSilent { .. })).count() - 1_000 + left;
        let share = cuts * 100 / turns;
        assert!((25..35).contains(&share), "{share} % of {turns}");
    }
}
