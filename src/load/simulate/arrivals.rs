//! When calls come: a random process along the curve of a day.

use std::f64::consts::E;

use super::random::Random;

/// How long a call lasts on average, in seconds; measured, so that the peak is about as high as asked for.
pub(super) const MEAN_CALL_S: f64 = 44.0;
/// The stream of the arrivals; calls have their numbers.
const STREAM: u64 = u64::MAX;
/// A day's hours.
const DAY_H: f64 = 24.0;

/// The numbers of the calls and when each comes, in µs since the run began; in order, up to its end.
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    random: Random,
    at_us: f64,
    end_us: f64,
    /// A shorter run is the same day, only quicker.
    day_us: f64,
    /// µs between two calls at the peak, on average.
    gap_us: f64,
    number: u64,
}

impl Arrivals {
    /// Calls over `hours`, of which about `peak` run at once when most do.
    pub(super) fn new(seed: u64, hours: f64, peak: u32) -> Self {
        Arrivals {
            random: Random::new(seed, STREAM),
            at_us: 0.0,
            end_us: hours * 3_600e6,
            day_us: hours.min(DAY_H) * 3_600e6,
            gap_us: MEAN_CALL_S * 1e6 / f64::from(peak.max(1)),
            number: 0,
        }
    }
}

impl Iterator for Arrivals {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        // Drawn as densely as at the peak, and thinned out to what the hour has.
        while self.at_us < self.end_us {
            self.at_us -= self.gap_us * (1.0 - self.random.fraction()).ln();
            let share = curve(self.at_us % self.day_us / self.day_us * DAY_H);
            if self.random.fraction() < share && self.at_us < self.end_us {
                self.number += 1;
                return Some((self.number, self.at_us as u64));
            }
        }
        None
    }
}

/// How much of the peak an hour of the day has, 0–1: a quiet night, and two peaks alike, so that the second can be held
/// against the first.
fn curve(hour: f64) -> f64 {
    let bump = |at: f64| E.powf(-((hour - at) / 2.2).powi(2));
    0.08 + 0.92 * bump(8.5).max(bump(15.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_two_peaks_alike_and_a_quiet_night() {
        let mut by_hour = [0u32; 24];
        for (_, at_us) in Arrivals::new(5, 24.0, 200) {
            by_hour[(at_us / 3_600_000_000) as usize] += 1;
        }
        let peak = |hours: std::ops::Range<usize>| hours.map(|h| by_hour[h]).max().unwrap();
        let (first, second) = (peak(6..12), peak(12..19));
        assert!(first.abs_diff(second) < first / 10, "{by_hour:?}");
        assert!(by_hour[1] * 5 < first && by_hour[22] * 5 < first, "{by_hour:?}");
    }

    #[test]
    fn calls_are_numbered_in_the_order_in_which_they_come() {
        let calls: Vec<_> = Arrivals::new(9, 0.5, 100).collect();
        assert!(calls.len() > 100 && calls.is_sorted_by_key(|(_, at)| *at));
        assert!(calls.iter().enumerate().all(|(i, (number, _))| *number == i as u64 + 1));
        assert!(calls.last().unwrap().1 < 1_800_000_000);
    }
}
