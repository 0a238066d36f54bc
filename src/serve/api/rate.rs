//! How often the API may be asked.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Requests in a second, of all users together.
pub(super) const MAX_PER_SECOND: u32 = 50;

/// Bounds what all users ask in a second.
#[derive(Debug, Default)]
pub(in crate::serve) struct Rate(Mutex<Option<(Instant, u32)>>);

impl Rate {
    /// Whether one more may be answered now.
    pub(super) fn take(&self, now: Instant) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, n) =
            window.filter(|(since, _)| now.duration_since(*since) < Duration::from_secs(1)).unwrap_or((now, 0));
        *window = Some((since, n.saturating_add(1)));
        n < MAX_PER_SECOND
    }
}
