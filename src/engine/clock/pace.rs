//! Whether the line plays as fast as is reckoned. Marks tell: one comes back a constant time after what it follows was played
//! at the soonest, so when even the soonest ones drift, it is the playing that does.

use crate::base::time::LineTime;

/// Marks that are compared with those before: the soonest of them counts.
const MARKS: u32 = 8;
/// They span this long at least.
const SPAN_US: u64 = 2_000_000;
/// Less than this is the network's.
const LEAST_US: i64 = 10_000;

/// How late marks are, in blocks.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine) struct Pace {
    /// How late the soonest mark is while the reckoning is right.
    base_us: Option<u64>,
    soonest_us: u64,
    /// The same of the block before.
    before_us: Option<u64>,
    marks: u32,
    since: LineTime,
}

impl Pace {
    /// The line was dry, or its reckoning was set right: what is late from here on is learned anew.
    pub(in crate::engine) fn begin(&mut self) {
        *self = Pace::default();
    }

    /// A mark came back this late. Answers by how much later the line plays than is reckoned, once that is known; it has
    /// to be reckoned with then.
    pub(in crate::engine) fn mark(&mut self, now: LineTime, late_us: u64) -> Option<i64> {
        if self.marks == 0 {
            (self.since, self.soonest_us) = (now, late_us);
        }
        self.marks += 1;
        self.soonest_us = self.soonest_us.min(late_us);
        if self.marks < MARKS || now.us_since(self.since) < SPAN_US {
            return None;
        }
        self.marks = 0;
        let base_us = *self.base_us.get_or_insert(self.soonest_us);
        // One block may be late by chance, two are not. None is early by chance.
        let surely_us = self.soonest_us.min(self.before_us.replace(self.soonest_us).unwrap_or(base_us));
        let off_us = surely_us as i64 - base_us as i64;
        if off_us.abs() < LEAST_US {
            return None;
        }
        self.before_us = self.before_us.map(|before| before.saturating_add_signed(-off_us));
        Some(off_us)
    }
}
