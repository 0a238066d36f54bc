//! When calls come: a random process along the curve of a day.

use std::f64::consts::E;

use crate::stage::load::random::Random;

/// How long a call lasts on average, in seconds; measured, so that the peak is about as high as asked for.
pub(super) const MEAN_CALL_S: f64 = 44.0;
/// The stream of the arrivals; calls have their numbers.
const STREAM: u64 = u64::MAX;
/// From when to when in the day as many calls come as at the peak, and how long that takes to come and to go.
const BUSY_H: (f64, f64) = (8.5, 16.5);
const SHOULDER_H: f64 = 1.5;
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

/// How much of the peak an hour of the day has, 0–1: a quiet night, and between two shoulders a busy day that stays as it
/// is, so that its end can be held against its beginning.
fn curve(hour: f64) -> f64 {
    let outside = (BUSY_H.0 - hour).max(hour - BUSY_H.1).max(0.0);
    0.08 + 0.92 * E.powf(-(outside / SHOULDER_H).powi(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_a_quiet_night_and_a_plateau() {
        let mut by_hour = [0u32; 24];
        for (_, at_us) in Arrivals::new(5, 24.0, 200) {
            by_hour[(at_us / 3_600_000_000) as usize] += 1;
        }
        let plateau = &by_hour[9..16];
        let (least, most) = (plateau.iter().min().unwrap(), plateau.iter().max().unwrap());
        assert!(most - least < most / 10 && by_hour.iter().max().unwrap() - least < most / 10, "{by_hour:?}");
        assert!(by_hour[1] * 5 < *most && by_hour[22] * 5 < *most, "{by_hour:?}");
    }

    #[test]
    fn calls_are_numbered_in_the_order_in_which_they_come() {
        let calls: Vec<_> = Arrivals::new(9, 0.5, 100).collect();
        assert!(calls.len() > 100 && calls.is_sorted_by_key(|(_, at)| *at));
        assert!(calls.iter().enumerate().all(|(i, (number, _))| *number == i as u64 + 1));
        assert!(calls.last().unwrap().1 < 1_800_000_000);
    }
}
