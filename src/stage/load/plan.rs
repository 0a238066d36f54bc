//! What each caller does, drawn from a seed.

use std::time::Duration;

use crate::stage::load::random::Random;
use crate::stage::phone::{Clip, Step};

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
    pub(crate) fn plan(&self, random: &mut Random, longest: Duration) -> Plan {
        let lasts = Duration::from_secs_f64(random.between(self.call_s)).min(longest);
        let seed = random.next();
        if random.percent(self.hang_up_percent) {
            return Plan { script: self.leaves(random), lasts, stays: false, seed };
        }
        // Who greets is not interrupted at once.
        let mut script = vec![Step::WaitAgentSpeaking { after_ms: 0, max_ms: 2_000 }, listen()];
        let mut said = Duration::ZERO;
        while said < lasts && !self.clips.is_empty() {
            script.push(Step::Silence((random.between(self.think_s) * 1_000.0) as u64));
            let clip = &self.clips[random.below(self.clips.len())];
            // Silence and answers only make it last longer.
            said += Duration::from_millis(20 + clip.audio.len() as u64 / 8);
            script.push(Step::Say(clip.clone()));
            if random.percent(self.barge_in_percent) {
                let after_ms = 400 + random.below(1_200) as u64;
                script.push(Step::WaitAgentSpeaking { after_ms, max_ms: ANSWER_MS });
                script.push(Step::Say(self.clips[random.below(self.clips.len())].clone()));
            }
            script.push(Step::WaitAgentSpeaking { after_ms: 0, max_ms: ANSWER_MS });
            script.push(listen());
        }
        script.push(Step::WaitEnd { max_ms: lasts.as_millis() as u64 });
        Plan { script, lasts, stays: true, seed }
    }

    /// A caller who does not stay: gone while greeted, in the middle of a word, or without a word.
    fn leaves(&self, random: &mut Random) -> Vec<Step> {
        let mut script = vec![Step::Silence(100 + random.below(3_000) as u64)];
        if random.percent(50)
            && let Some(clip) = self.clips.get(random.below(self.clips.len()))
        {
            let some = random.below(clip.audio.len()).max(160);
            let audio = &clip.audio[..some.min(clip.audio.len())];
            script.push(Step::Say(Clip::new(clip.label.clone(), audio)));
        }
        script.push(if random.percent(30) { Step::Die } else { Step::HangUp });
        script
    }
}

fn listen() -> Step {
    Step::WaitAgentSilent { for_ms: 500, max_ms: LISTEN_MS }
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
            let mut random = Random::new(seed, 0);
            (0..1_000).map(|_| manners().plan(&mut random, Duration::from_secs(30))).collect::<Vec<_>>()
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
