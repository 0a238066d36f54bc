//! What conversations of one server share: how models are, who drills, and how fast visitors write.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::breaker::{Breaker, BreakerSettings, Change, Gate};
use super::time::TalkTime;

/// Visitors' minutes are counted over this long.
const MINUTE_MS: u64 = 60_000;
/// Models of which something is remembered. A catalogue has at most 200; more are names of the past.
const BREAKERS_MAX: usize = 1_000;
/// Visitors who wrote within the last minute.
const VISITORS_MAX: usize = 50_000;

/// Values beside the conversations, one for a whole server. Each holds a lock of it for as long as it handles one input.
#[derive(Debug, Default)]
pub struct Commons {
    breakers: BTreeMap<Arc<str>, Breaker>,
    /// By deployment: until when its primary is held to be down.
    drills: BTreeMap<Arc<str>, TalkTime>,
    /// By visitor: when they wrote, oldest first.
    paces: BTreeMap<Arc<str>, VecDeque<TalkTime>>,
    /// Breakers and paces that were forgotten since there were too many.
    forgotten: u64,
}

impl Commons {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Commons::default()
    }

    /// From `at` on the primary of `deployment` is held to be down for so long (BEYOND-13): its messages go straight to the
    /// backup. Where there is no backup nothing happens, so that a drill costs no visitor an answer.
    pub fn drill(&mut self, at: TalkTime, deployment: &str, for_ms: u64) {
        self.drills.retain(|_, until| at < *until);
        self.drills.insert(deployment.into(), at.plus_ms(for_ms));
    }

    /// Ends a drill before its time.
    pub fn end_drill(&mut self, deployment: &str) {
        self.drills.remove(deployment);
    }

    /// Until when a drill goes on.
    pub fn drilled_until(&self, at: TalkTime, deployment: &str) -> Option<TalkTime> {
        self.drills.get(deployment).copied().filter(|until| at < *until)
    }

    /// Whether `model` is left alone but for probes.
    pub fn is_open(&self, model: &str) -> bool {
        self.breakers.get(model).is_some_and(Breaker::is_open)
    }

    /// Breakers and paces that were forgotten since there were too many.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(super) fn gate(&mut self, at: TalkTime, model: &str, settings: &BreakerSettings) -> Gate {
        self.breakers.get_mut(model).map_or(Gate::Ask, |breaker| breaker.gate(at, settings))
    }

    pub(super) fn succeeded(&mut self, model: &str, probe: Option<u32>) -> Change {
        self.breakers.get_mut(model).map_or(Change::None, |breaker| breaker.succeeded(probe))
    }

    pub(super) fn failed(
        &mut self,
        at: TalkTime,
        model: &str,
        probe: Option<u32>,
        settings: &BreakerSettings,
    ) -> Change {
        if !self.breakers.contains_key(model) {
            if self.breakers.len() >= BREAKERS_MAX {
                self.breakers.retain(|_, breaker| !breaker.is_idle(at, settings));
            }
            if self.breakers.len() >= BREAKERS_MAX {
                self.forgotten += 1;
                self.breakers.pop_first();
            }
            self.breakers.insert(model.into(), Breaker::default());
        }
        self.breakers.get_mut(model).map_or(Change::None, |breaker| breaker.failed(at, probe, settings))
    }

    pub(super) fn let_go(&mut self, at: TalkTime, model: &str, probe: u32) {
        if let Some(breaker) = self.breakers.get_mut(model) {
            breaker.let_go(at, probe);
        }
    }

    /// Counts a message of `visitor`, who may send `per_minute` in any minute.
    ///
    /// # Errors
    /// Whole seconds, at least 1, until the next one is let in: this one is not, and does not count.
    pub(super) fn admit(&mut self, at: TalkTime, visitor: &Arc<str>, per_minute: u32) -> Result<(), u64> {
        if !self.paces.contains_key(visitor) && self.paces.len() >= VISITORS_MAX {
            self.paces.retain(|_, wrote| wrote.back().is_some_and(|last| at.ms_since(*last) < MINUTE_MS));
            if self.paces.len() >= VISITORS_MAX {
                self.forgotten += 1;
                self.paces.pop_first();
            }
        }
        let wrote = self.paces.entry(Arc::clone(visitor)).or_default();
        while wrote.front().is_some_and(|first| at.ms_since(*first) >= MINUTE_MS) {
            wrote.pop_front();
        }
        match wrote.front() {
            Some(first) if wrote.len() >= per_minute.max(1) as usize => {
                // What stands before the bound that it must get below, which may have been lowered since.
                let leaves = wrote.get(wrote.len() - per_minute.max(1) as usize).unwrap_or(first);
                Err(leaves.plus_ms(MINUTE_MS).ms_since(at).div_ceil(1_000).max(1))
            }
            _ => {
                wrote.push_back(at);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> TalkTime {
        TalkTime::from_ms(ms)
    }

    #[test]
    fn web_07_twenty_in_any_minute_and_the_next_with_its_seconds() {
        let mut commons = Commons::new();
        let (visitor, other): (Arc<str>, Arc<str>) = ("v".into(), "w".into());
        for i in 0..20 {
            assert_eq!(commons.admit(at(i * 1_000), &visitor, 20), Ok(()));
        }
        assert_eq!(commons.admit(at(19_500), &visitor, 20), Err(41), "60 s after the first, rounded up");
        assert_eq!(commons.admit(at(19_500), &other, 20), Ok(()));
        assert_eq!(commons.admit(at(59_999), &visitor, 20), Err(1));
        assert_eq!(commons.admit(at(60_000), &visitor, 20), Ok(()));
        assert_eq!(commons.admit(at(60_000), &visitor, 20), Err(1), "the next place is free a second later");
        assert_eq!(commons.admit(at(60_000), &visitor, 10), Err(11), "as a lower bound has it");
    }

    #[test]
    fn web_07_visitors_who_are_remembered_are_bounded() {
        let mut commons = Commons::new();
        for i in 0..VISITORS_MAX + 10 {
            let visitor: Arc<str> = format!("v{i}").into();
            assert_eq!(commons.admit(at(0), &visitor, 20), Ok(()));
        }
        assert_eq!((commons.paces.len(), commons.forgotten()), (VISITORS_MAX, 10));
        assert_eq!(commons.admit(at(MINUTE_MS), &"late".into(), 20), Ok(()));
        assert_eq!(commons.paces.len(), 1, "who has not written for a minute needs no memory");
    }

    #[test]
    fn beyond_12_models_that_are_remembered_are_bounded() {
        let settings = BreakerSettings::default();
        let mut commons = Commons::new();
        for i in 0..BREAKERS_MAX + 5 {
            commons.failed(at(0), &format!("m{i}"), None, &settings);
        }
        assert_eq!((commons.breakers.len(), commons.forgotten()), (BREAKERS_MAX, 5));
        commons.failed(at(settings.window_ms + 1), "another", None, &settings);
        assert_eq!(commons.breakers.len(), 1);
    }

    #[test]
    fn beyond_13_a_drill_ends_by_itself_or_sooner() {
        let mut commons = Commons::new();
        commons.drill(at(0), "web", 300_000);
        assert_eq!(commons.drilled_until(at(299_999), "web"), Some(at(300_000)));
        assert_eq!(commons.drilled_until(at(300_000), "web"), None);
        assert_eq!(commons.drilled_until(at(0), "other"), None);
        commons.end_drill("web");
        assert_eq!(commons.drilled_until(at(1), "web"), None);
    }
}
