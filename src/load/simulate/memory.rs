//! Whether memory stays as it is: at the same load late in a run as early.

use serde::Serialize;

/// The rule by which memory is judged.
pub const RULE: &str = "flat: at the busiest sample of the second half at most 5 % and 4 MiB more than at the busiest of \
                        the first half, where more calls are live in proportion";
/// What may be more, beside a proportion of this.
const SLACK: f64 = 1.05;
const SLACK_BYTES: f64 = (4 << 20) as f64;
/// In a shorter run not everything is warm by the first peak; with fewer live calls chance decides.
const HOURS_MIN: f64 = 6.0;
const LIVE_MIN: u64 = 50;

/// Memory at one moment of the simulated time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Hours since the run began, simulated.
    pub hour: f64,
    /// Calls that ran.
    pub live: u64,
    /// Resident memory of the process in bytes; 0: unknown on this system.
    pub rss: u64,
}

/// Memory over a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Memory {
    /// Resident before the first call, in bytes.
    pub base: u64,
    /// In order, the last when all calls were over.
    pub samples: Vec<Sample>,
    /// Bytes per live call when most were live, with all that is simulated around it.
    pub bytes_per_call: Option<u64>,
    /// The busiest sample of the first half of the run, after which everything is warm.
    pub early: Option<Sample>,
    /// The busiest of the second half.
    pub late: Option<Sample>,
    /// Whether memory stayed flat; `None`: the run is too short, or too small, to tell.
    pub flat: Option<bool>,
    /// The rule for that.
    pub rule: &'static str,
}

impl Memory {
    /// Judges the samples of a run.
    pub(super) fn new(base: u64, samples: Vec<Sample>) -> Self {
        let busiest = |samples: &[Sample]| samples.iter().copied().rev().max_by_key(|sample| sample.live);
        let (first, second) = samples.split_at(samples.len() / 2);
        let (early, late) = (busiest(first), busiest(second));
        let bytes_per_call = busiest(&samples).filter(|sample| sample.live > 0 && sample.rss > 0);
        let bytes_per_call = bytes_per_call.map(|sample| sample.rss.saturating_sub(base) / sample.live);
        let flat = match (early, late) {
            (Some(early), Some(late))
                if second.last().is_some_and(|s| s.hour >= HOURS_MIN) && early.live.min(late.live) >= LIVE_MIN =>
            {
                let more = (late.live as f64 / early.live as f64).max(1.0);
                let own = early.rss.saturating_sub(base) as f64 * more;
                (early.rss > 0).then_some(late.rss as f64 <= (base as f64 + own) * SLACK + SLACK_BYTES)
            }
            _ => None,
        };
        Memory { base, samples, bytes_per_call, early, late, flat, rule: RULE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(rss_mb: [u64; 8], live: u64) -> Option<bool> {
        let sample =
            |(hour, mb): (usize, u64)| Sample { hour: hour as f64, live: live + (hour % 4) as u64, rss: mb << 20 };
        Memory::new(10 << 20, rss_mb.into_iter().enumerate().map(sample).collect()).flat
    }

    #[test]
    fn memory_that_grows_at_the_same_load_is_not_flat() {
        assert_eq!(judged([20, 80, 90, 100, 100, 101, 103, 104], 500), Some(true));
        assert_eq!(judged([20, 80, 90, 100, 110, 120, 130, 140], 500), Some(false));
        assert_eq!(judged([20, 80, 90, 100, 110, 120, 130, 140], 5), None);
    }
}
