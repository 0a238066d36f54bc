//! How many events may be sent in a second.

use std::time::{Duration, Instant};

/// Of a second's events so much may go at once: at ten a second one, at a thousand a hundred.
const AT_ONCE: f64 = 0.1;

/// When the next event may be sent, at a rate that may change at any time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Until when what was sent has used the rate up.
    used: Option<Instant>,
}

impl Pace {
    /// How many may be sent now at `per_second`.
    pub(super) fn room(self, now: Instant, per_second: f64) -> usize {
        let behind = self.used.map_or(0.0, |used| used.saturating_duration_since(now).as_secs_f64());
        // A hair more, lest rounding keep the last one back.
        (burst(per_second) - behind * per_second + 1e-6).max(0.0) as usize
    }

    /// So many are sent now.
    pub(super) fn take(&mut self, now: Instant, count: usize, per_second: f64) {
        let from = self.used.map_or(now, |used| used.max(now));
        self.used = Some(from + Duration::from_secs_f64(count as f64 / per_second));
    }

    /// How long until one may be sent.
    pub(super) fn wait(self, now: Instant, per_second: f64) -> Duration {
        let behind = self.used.map_or(0.0, |used| used.saturating_duration_since(now).as_secs_f64());
        Duration::from_secs_f64((behind - (burst(per_second) - 1.0) / per_second).max(0.0))
    }
}

fn burst(per_second: f64) -> f64 {
    (per_second * AT_ONCE).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many go in each of so many seconds, looked at every millisecond.
    fn sent(per_second: f64, seconds: usize) -> Vec<usize> {
        let (began, mut pace) = (Instant::now(), Pace::default());
        let mut sent = vec![0; seconds];
        for ms in 0..seconds * 1_000 {
            let now = began + Duration::from_millis(ms as u64);
            let room = pace.room(now, per_second);
            pace.take(now, room, per_second);
            sent[ms / 1_000] += room;
        }
        sent
    }

    #[test]
    fn hook_06_ten_a_second_are_ten_in_every_second() {
        assert_eq!(sent(10.0, 3), [10, 10, 10]);
        assert_eq!(sent(1.0, 3), [1, 1, 1]);
        assert_eq!(sent(0.5, 4), [1, 0, 1, 0]);
        let many = sent(1_000.0, 3);
        assert!(many.iter().all(|count| (1_000..=1_100).contains(count)), "{many:?}");
    }

    #[test]
    fn who_waits_is_told_for_how_long() {
        let (now, mut pace) = (Instant::now(), Pace::default());
        assert_eq!(pace.wait(now, 10.0), Duration::ZERO);
        pace.take(now, pace.room(now, 10.0), 10.0);
        let wait = pace.wait(now, 10.0);
        assert_eq!((pace.room(now, 10.0), wait.as_millis()), (0, 100));
        assert_eq!(pace.room(now + wait, 10.0), 1);
        // A rate that is raised counts at once.
        assert!(pace.wait(now, 1_000.0) < Duration::from_millis(2));
    }
}
