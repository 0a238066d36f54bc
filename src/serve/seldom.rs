//! What others can make us say as often as they like: it is said seldom, and counted every time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Something that is said at most once in [`Seldom::PAUSE`].
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    const PAUSE: Duration = Duration::from_secs(5);

    /// Whether it is time to say it.
    pub(super) fn due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|at| at.elapsed() >= Self::PAUSE);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}
