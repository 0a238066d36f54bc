//! The part that is not pure: threads, their clock, the process's memory, and how far it is.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::memory::Sample;
use super::outcome::Took;
use super::shard::Shard;
use super::tally::VIOLATIONS_MAX;

/// Memory is looked at so often in a day, or in all of a shorter run.
const SAMPLES: f64 = 24.0;
/// Between two plain lines.
const EVERY: Duration = Duration::from_secs(10);

/// Runs all shards through these hours, each in a thread of its own, and lets what still runs then come to its end.
pub(super) fn run(shards: &mut [Shard], hours: f64, quiet: bool) -> (Vec<Sample>, Took) {
    let begun = Instant::now();
    let told = Told::new(hours, shards.len(), quiet);
    let (stop, broken, cpu_ns) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicU64::new(0));
    let every_h = (hours / SAMPLES).min(1.0);
    let mut stops: Vec<f64> = (1..).map(|n| f64::from(n) * every_h).take_while(|h| *h < hours - 1e-9).collect();
    stops.push(hours);
    let mut samples = Vec::with_capacity(stops.len() + 1);
    let last_us = AtomicU64::new(0);
    let hourly = stops.into_iter().map(|h| (h, Some((h * 3_600e6) as u64)));
    for (hour, until_us) in hourly.chain([(hours, None)]) {
        // Of the broken promises those are counted that this shard had not told yet.
        let count = |known: &AtomicUsize, violations: usize| {
            let new = violations - known.swap(violations, Ordering::Relaxed);
            if broken.fetch_add(new, Ordering::Relaxed) + new >= VIOLATIONS_MAX {
                stop.store(true, Ordering::Relaxed);
            }
            !stop.load(Ordering::Relaxed)
        };
        // All stop at each sample, so that memory and calls are of the same moment.
        each(shards, &cpu_ns, &|shard| {
            let known = AtomicUsize::new(shard.tally.violations.len());
            shard.run_until(until_us, &|now_us, violations| {
                last_us.fetch_max(now_us, Ordering::Relaxed);
                told.minute(now_us);
                count(&known, violations)
            });
        });
        let live = shards.iter().map(Shard::live).sum();
        samples.push(Sample { hour, live, rss: rss() });
        each(shards, &cpu_ns, &|shard| {
            let known = AtomicUsize::new(shard.tally.violations.len());
            shard.run_again(&|| !stop.load(Ordering::Relaxed));
            count(&known, shard.tally.violations.len());
        });
        last_us.fetch_max(until_us.unwrap_or_default(), Ordering::Relaxed);
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    told.done();
    let took = Took {
        simulated_us: last_us.load(Ordering::Relaxed),
        real_s: begun.elapsed().as_secs_f64(),
        cpu_s: cpu_ns.load(Ordering::Relaxed) as f64 / 1e9,
        stopped: stop.load(Ordering::Relaxed),
    };
    (samples, took)
}

/// Lets each shard do its work in a thread of its own, and waits for all.
fn each(shards: &mut [Shard], cpu_ns: &AtomicU64, work: &(dyn Fn(&mut Shard) + Sync)) {
    thread::scope(|scope| {
        for shard in shards {
            scope.spawn(|| {
                let before = Clock::now();
                work(shard);
                cpu_ns.fetch_add(before.elapsed_ns(), Ordering::Relaxed);
            });
        }
    });
}

/// Resident memory of this process in bytes; 0 where the system does not tell it so.
pub(super) fn rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default()
        * 1024
}

/// As many threads as the machine has cores.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// A thread's processor time, or, where the system does not tell it, time.
struct Clock {
    begun: Instant,
    cpu_ns: Option<u64>,
}

impl Clock {
    fn now() -> Self {
        Clock { begun: Instant::now(), cpu_ns: thread_cpu_ns() }
    }

    fn elapsed_ns(&self) -> u64 {
        match (self.cpu_ns, thread_cpu_ns()) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            _ => self.begun.elapsed().as_nanos() as u64,
        }
    }
}

fn thread_cpu_ns() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split_whitespace().next()?.parse().ok()
}

/// Tells on standard error how far it is: a bar at a terminal, plain lines elsewhere.
struct Told {
    bar: Option<ProgressBar>,
    last: Option<Mutex<Instant>>,
    minutes: AtomicU64,
    all: u64,
}

impl Told {
    fn new(hours: f64, shards: usize, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let all = (hours * 60.0).ceil() as u64 * shards as u64;
        let bar = (terminal && !quiet).then(|| {
            let style = ProgressStyle::with_template("simulated {msg} {wide_bar} {percent}% {elapsed} left {eta}");
            ProgressBar::new(all).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        let last = (!terminal && !quiet).then(|| Mutex::new(Instant::now()));
        Told { bar, last, minutes: AtomicU64::new(0), all }
    }

    /// A shard has got a minute further.
    fn minute(&self, now_us: u64) {
        let minutes = self.minutes.fetch_add(1, Ordering::Relaxed) + 1;
        let clock = || format!("{:02}:{:02}", now_us / 3_600_000_000, now_us / 60_000_000 % 60);
        if let Some(bar) = &self.bar {
            bar.set_message(clock());
            bar.set_position(minutes.min(self.all));
        }
        if let Some(last) = &self.last {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.elapsed() >= EVERY {
                *last = Instant::now();
                crate::output::remark(format_args!(
                    "simulated {}, {} %",
                    clock(),
                    (minutes * 100 / self.all.max(1)).min(100)
                ));
            }
        }
    }

    fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
