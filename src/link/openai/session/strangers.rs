//! Events of types that the API does not have.

use crate::link::complaint::fit;

/// Types that the API does not have, remembered by name.
const STRANGERS_MAX: usize = 16;
/// Characters kept of such a name.
const STRANGER_MAX: usize = 64;

/// Types of events that the API does not have: each is worth one line of the log, however often it comes.
#[derive(Clone, Debug, Default)]
pub struct Strangers {
    known: Vec<String>,
    /// So many of them were named.
    named: usize,
}

impl Strangers {
    pub(super) fn met(&mut self, kind: &str) {
        let kind: String = fit(kind).chars().take(STRANGER_MAX).collect();
        if self.known.len() < STRANGERS_MAX && !self.known.contains(&kind) {
            self.known.push(kind);
        }
    }

    /// The next one that was not named yet.
    pub fn poll(&mut self) -> Option<&str> {
        let next = self.known.get(self.named)?;
        self.named += 1;
        Some(next)
    }
}
