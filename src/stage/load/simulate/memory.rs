//! Whether memory stays as it is: at the same load late in a run as early.
//!
//! glibc keeps more of what was freed the larger the pieces that it has seen, so a sample may be a third above the next at
//! the same load. `MALLOC_MMAP_THRESHOLD_=131072 MALLOC_TRIM_THRESHOLD_=131072` in the environment stops that: then they
//! differ by a few percent.

use serde::Serialize;

/// The rule by which memory is judged.
pub const RULE: &str = "flat: of the samples with at least 4/5 of the most live calls the first quarter is warm-up; of \
                        the rest the least memory in the later half is at most 5 % and 4 MiB more than in the earlier half";
/// What may be more, beside a proportion of this.
const SLACK: f64 = 1.05;
const SLACK_BYTES: f64 = (4 << 20) as f64;
/// A shorter run is not a day; with fewer live calls chance decides.
const HOURS_MIN: f64 = 6.0;
const LIVE_MIN: u64 = 50;
/// Samples to judge by, after the warm-up.
const SAMPLES_MIN: usize = 4;

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
    /// The sample with the least memory early on the plateau, when everything is warm.
    pub early: Option<Sample>,
    /// The one late on it.
    pub late: Option<Sample>,
    /// Whether memory stayed flat; `None`: the run is too short, or too small, to tell.
    pub flat: Option<bool>,
    /// The rule for that.
    pub rule: &'static str,
}

impl Memory {
    /// Judges the samples of a run.
    pub(super) fn new(base: u64, samples: Vec<Sample>) -> Self {
        let busiest = samples.iter().copied().rev().max_by_key(|sample| sample.live);
        let bytes_per_call = busiest.filter(|sample| sample.live > 0 && sample.rss > 0);
        let bytes_per_call = bytes_per_call.map(|sample| sample.rss.saturating_sub(base) / sample.live);
        // Like is held against like: an allocator keeps what a busier hour had, so memory does not follow the live calls
        // down, and it takes a while at the plateau until their places are all made. What it keeps for a while, of calls
        // that were run again too, only adds; what is lost for good is in the least sample as well.
        let most = busiest.map_or(0, |sample| sample.live);
        let plateau: Vec<Sample> = samples.iter().copied().filter(|sample| sample.live * 5 >= most * 4).collect();
        let warm = plateau.get(plateau.len().div_ceil(4)..).unwrap_or_default();
        let least = |samples: &[Sample]| samples.iter().copied().min_by_key(|sample| sample.rss);
        let (first, second) = warm.split_at(warm.len() / 2);
        let (early, late) = (least(first), least(second));
        let enough = samples.last().is_some_and(|sample| sample.hour >= HOURS_MIN)
            && most >= LIVE_MIN
            && warm.len() >= SAMPLES_MIN;
        let flat = match (early, late) {
            (Some(early), Some(late)) if enough && early.rss > 0 => {
                Some(late.rss as f64 <= early.rss as f64 * SLACK + SLACK_BYTES)
            }
            _ => None,
        };
        Memory { base, samples, bytes_per_call, early, late, flat, rule: RULE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quiet night, this on the plateau, and a quiet evening in which the allocator keeps what it has.
    fn judged(rss_mb: [u64; 9], live: u64) -> Option<bool> {
        let sample = |(hour, (live, mb)): (usize, (u64, u64))| Sample { hour: hour as f64, live, rss: mb << 20 };
        let busy = rss_mb.into_iter().enumerate().map(|(n, mb)| (live + n as u64 % 4, mb));
        let all = [(live / 10, 20), (live / 2, 60)].into_iter().chain(busy).chain([(live / 10, 200)]);
        Memory::new(10 << 20, all.enumerate().map(sample).collect()).flat
    }

    #[test]
    fn memory_that_grows_at_the_same_load_is_not_flat() {
        assert_eq!(judged([80, 95, 100, 103, 108, 101, 103, 104, 119], 500), Some(true));
        assert_eq!(judged([80, 90, 100, 101, 104, 108, 112, 116, 120], 500), Some(false));
        assert_eq!(judged([80, 90, 100, 101, 104, 108, 112, 116, 120], 5), None);
    }

    #[test]
    fn too_few_samples_at_the_same_load_say_nothing() {
        let sample = |hour: u64| Sample { hour: hour as f64, live: 100 * hour, rss: hour << 20 };
        assert_eq!(Memory::new(0, (0..12).map(sample).collect()).flat, None);
    }
}
