//! Whether this server keeps up: how late its own threads come to what is due. `max_calls` is an operator's guess; this is
//! the machine's own word, also when something else on it takes the processors.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(50);
/// Looks that are judged together: a second of them, so that a moment's hiccup refuses nobody.
const LOOKS: usize = 20;
/// Medians that count: whoever was late a moment ago is not let to a crowd again at once.
const MEDIANS: usize = 5 * LOOKS;

/// How late the server's threads are, in microseconds.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    /// The median of the last second.
    late_us: AtomicU64,
    /// The worst of these in the last five seconds.
    worst_us: AtomicU64,
}

impl Pressure {
    /// The median of the last second.
    pub(super) fn late(&self) -> Duration {
        Duration::from_micros(self.late_us.load(Ordering::Relaxed))
    }

    /// The median of the worst second among the last five.
    pub(super) fn worst(&self) -> Duration {
        Duration::from_micros(self.worst_us.load(Ordering::Relaxed))
    }

    /// Whether new calls would make it worse for those that are up. A limit of zero is none.
    pub(super) fn is_high(&self, limit: Duration) -> bool {
        !limit.is_zero() && self.worst() > limit
    }

    /// Looks for ever.
    pub(super) async fn watch(&self) {
        let mut recent = Recent::default();
        let (mut medians, mut next) = ([0u64; MEDIANS], 0);
        loop {
            let due = Instant::now() + EVERY;
            sleep_until(due.into()).await;
            // To the end of the queue: who is woken by a timer is run before those that wait already.
            tokio::task::yield_now().await;
            let median = recent.note(due.elapsed()).as_micros() as u64;
            medians[next] = median;
            next = (next + 1) % MEDIANS;
            self.late_us.store(median, Ordering::Relaxed);
            self.worst_us.store(medians.iter().copied().max().unwrap_or(0), Ordering::Relaxed);
        }
    }
}

/// The last looks.
#[derive(Debug, Default)]
struct Recent {
    looks: [Duration; LOOKS],
    next: usize,
}

impl Recent {
    /// Notes one, and gives the median; looks that were not taken yet count as punctual.
    fn note(&mut self, late: Duration) -> Duration {
        self.looks[self.next] = late;
        self.next = (self.next + 1) % LOOKS;
        let mut sorted = self.looks;
        sorted.sort_unstable();
        sorted[LOOKS / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_second_of_lateness_counts_and_a_hiccup_does_not() {
        let (punctual, late) = (Duration::from_micros(700), Duration::from_millis(30));
        let mut recent = Recent::default();
        for _ in 0..LOOKS {
            recent.note(punctual);
        }
        for n in 1..=LOOKS {
            let median = recent.note(late);
            assert_eq!(median == late, n >= LOOKS / 2, "{n} late looks of {LOOKS}");
        }
        let pressure = Pressure { worst_us: AtomicU64::new(late.as_micros() as u64), ..Pressure::default() };
        assert!(pressure.is_high(Duration::from_millis(5)) && !pressure.is_high(late));
        assert!(!pressure.is_high(Duration::ZERO), "zero switches it off");
    }
}
