//! What is counted of calls that are over.

use std::collections::BTreeMap;

use serde::Serialize;

use super::call::Ended;
use super::fault::Faults;

/// Violations that are told; a run stops at so many.
pub const VIOLATIONS_MAX: usize = 10;

/// A promise that was broken in a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The run's seed.
    pub seed: u64,
    /// The call's number: with the seed, `--only` runs it again.
    pub call: u64,
    /// When, in milliseconds of the call's time.
    pub at_ms: u64,
    /// Which promise, and how it was broken.
    pub what: String,
}

/// Counts over many calls. What they are does not depend on the order in which calls end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) calls: u64,
    pub(super) ended: BTreeMap<&'static str, u64>,
    pub(super) faults: Faults,
    pub(super) inputs: u64,
    pub(super) actions: u64,
    pub(super) barge_ins: u64,
    pub(super) truncations: u64,
    pub(super) heard_ms: u64,
    pub(super) call_ms: u64,
    /// Calls that were run a second time, alone.
    pub(super) again: u64,
    pub(super) violations: Vec<Violation>,
}

impl Tally {
    /// One more call is over.
    pub(super) fn count(&mut self, seed: u64, number: u64, ended: &Ended) {
        self.calls += 1;
        let how = ended.reason.as_ref().map_or("not_at_all", |reason| reason.kind());
        *self.ended.entry(how).or_default() += 1;
        self.faults.add(&ended.faults);
        self.inputs += ended.inputs;
        self.actions += ended.actions;
        self.barge_ins += ended.barge_ins;
        self.truncations += ended.truncations;
        self.heard_ms += ended.heard_ms;
        self.call_ms += ended.lasted.as_ms();
        if let Some(broken) = &ended.broken {
            self.breaks(Violation { seed, call: number, at_ms: broken.at.as_ms(), what: broken.what.clone() });
        }
    }

    /// A promise was broken; beyond the most that are told they are only as many.
    pub(super) fn breaks(&mut self, violation: Violation) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(violation);
        }
    }

    /// Takes in what was counted elsewhere.
    pub(super) fn add(&mut self, other: &Tally) {
        self.calls += other.calls;
        other.ended.iter().for_each(|(how, calls)| *self.ended.entry(how).or_default() += calls);
        self.faults.add(&other.faults);
        self.inputs += other.inputs;
        self.actions += other.actions;
        self.barge_ins += other.barge_ins;
        self.truncations += other.truncations;
        self.heard_ms += other.heard_ms;
        self.call_ms += other.call_ms;
        self.again += other.again;
        other.violations.iter().for_each(|violation| self.breaks(violation.clone()));
        self.violations.sort_by_key(|violation| violation.call);
    }
}
