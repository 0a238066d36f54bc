//! Whether this server keeps up: how late its own threads come to what is due. `max_calls` is an operator's guess; this is
//! the machine's own word, also when something else on it takes the processors.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(50);
/// Looks that are judged together: a second of them, so that a moment's hiccup refuses nobody.
const LOOKS: usize = 20;

/// How late the server's threads were in the last second.
#[derive(Debug, Default)]
pub(super) struct Pressure(AtomicU64);

impl Pressure {
    /// The median of the last second.
    pub(super) fn late(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    /// Whether new calls would make it worse for those that are up. A limit of zero is none.
    pub(super) fn is_high(&self, limit: Duration) -> bool {
        !limit.is_zero() && self.late() > limit
    }

    /// Looks for ever.
    pub(super) async fn watch(&self) {
        let mut recent = Recent::default();
        loop {
            let due = Instant::now() + EVERY;
            sleep_until(due.into()).await;
            let median = recent.note(due.elapsed());
            self.0.store(median.as_micros() as u64, Ordering::Relaxed);
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
        let pressure = Pressure(AtomicU64::new(late.as_micros() as u64));
        assert!(pressure.is_high(Duration::from_millis(5)) && !pressure.is_high(late));
        assert!(!pressure.is_high(Duration::ZERO), "zero switches it off");
    }
}
