//! Everything that is measured while calls run, shared by all of them: histograms and counters.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::stage::load::report::{AudioCounts, Latency};

/// What is measured, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Setup,
    CallerToModel,
    CallerToModelSent,
    ModelToCaller,
    SpeechToClear,
    TurnToAudio,
    TesterLate,
}

impl Key {
    pub(crate) const ALL: [Key; 7] = [
        Key::Setup,
        Key::CallerToModel,
        Key::CallerToModelSent,
        Key::ModelToCaller,
        Key::SpeechToClear,
        Key::TurnToAudio,
        Key::TesterLate,
    ];

    /// As in objectives and JSON.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Key::Setup => "setup",
            Key::CallerToModel => "caller_to_model",
            Key::CallerToModelSent => "caller_to_model_sent",
            Key::ModelToCaller => "model_to_caller",
            Key::SpeechToClear => "speech_to_clear",
            Key::TurnToAudio => "turn_to_audio",
            Key::TesterLate => "tester_late",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Key::Setup => "set-up -> first audio",
            Key::CallerToModel => "caller -> model",
            Key::CallerToModelSent => "  once it was sent",
            Key::ModelToCaller => "model -> caller",
            Key::SpeechToClear => "first speech -> clear",
            Key::TurnToAudio => "turn end -> agent audio",
            Key::TesterLate => "tester's own lateness",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Key::Setup => "From placing the call to the first agent audio at the caller.",
            Key::CallerToModel => {
                "From when a 20 ms frame of the caller was due, whether the tester was late with it or not, until the \
                 model has read it as it was. Audio that waits for a decision of the server's own ears does not count."
            }
            Key::CallerToModelSent => "The same from when the frame was handed to the caller's socket.",
            Key::ModelToCaller => {
                "From when the model hands a reply's first audio to its socket until the caller has read it. The rest of a \
                 reply is paced on purpose and does not count."
            }
            Key::SpeechToClear => {
                "From when the frame with the caller's first labelled speech over the agent was due until the line is \
                 told to drop what it has not played."
            }
            Key::TurnToAudio => {
                "From when the frame with a turn's last labelled speech was due until the answer's first audio: the \
                 silence that ends a turn and the model's thinking are in it."
            }
            Key::TesterLate => "From when a frame was due until the tester sends it: what it lacks in processor time.",
        }
    }
}

/// Counters at the media's two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    CallerFrames,
    CallerFramesRefused,
    ModelFrames,
    ModelFramesLost,
    AgentMessages,
    AgentLostMs,
    Gaps,
    GapMs,
}

const COUNTS: usize = 8;
/// Longer latencies are counted as this long: a minute.
const LONGEST_US: u64 = 60_000_000;
/// Kinds of failures told apart; the rest is `other`.
const MAX_KINDS: usize = 64;

/// The measurements of one run.
#[derive(Debug)]
pub(crate) struct Tally {
    latencies: [Mutex<Recorder>; Key::ALL.len()],
    counts: [AtomicU64; COUNTS],
    failures: Mutex<BTreeMap<String, u64>>,
    hostile: Mutex<BTreeMap<String, u64>>,
    pub(crate) placed: AtomicU64,
    pub(crate) connected: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) completed: AtomicU64,
    /// Calls whose stream is up.
    pub(crate) up: AtomicUsize,
}

#[derive(Debug)]
struct Recorder {
    second: Histogram<u64>,
    steady: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new() -> Result<Tally, String> {
        let histogram =
            || Histogram::new_with_bounds(1, LONGEST_US, 3).map_err(|error| format!("no histogram: {error}"));
        let mut latencies = Vec::new();
        for _ in Key::ALL {
            latencies.push(Mutex::new(Recorder { second: histogram()?, steady: histogram()? }));
        }
        let latencies = latencies.try_into().map_err(|_| "no histograms".to_owned())?;
        Ok(Tally {
            latencies,
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            failures: Mutex::default(),
            hostile: Mutex::default(),
            placed: AtomicU64::new(0),
            connected: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            up: AtomicUsize::new(0),
        })
    }

    pub(crate) fn record(&self, key: Key, took: Duration) {
        let us = (took.as_micros() as u64).clamp(1, LONGEST_US);
        lock(&self.latencies[key as usize]).second.saturating_record(us);
    }

    pub(crate) fn count(&self, count: Count, n: u64) {
        self.counts[count as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// Something went wrong with a call that should not have.
    pub(crate) fn fail(&self, kind: &str) {
        add(&self.failures, kind);
    }

    /// A bad caller did something.
    pub(crate) fn hostile(&self, what: &str) {
        add(&self.hostile, what);
    }

    /// Ends a second: its p50 and p99 in milliseconds by key. Its measurements count if it was of the steady state.
    pub(crate) fn end_second(&self, steady: bool) -> BTreeMap<&'static str, [f64; 2]> {
        let mut out = BTreeMap::new();
        for (key, recorder) in Key::ALL.iter().zip(&self.latencies) {
            let mut recorder = lock(recorder);
            let Recorder { second, steady: sum } = &mut *recorder;
            if second.is_empty() {
                continue;
            }
            out.insert(key.key(), [0.5, 0.99].map(|q| ms(second.value_at_quantile(q))));
            if steady {
                // Both have the same bounds, so everything fits.
                let _ = sum.add(&*second);
            }
            second.reset();
        }
        out
    }

    /// The steady state's distributions.
    pub(crate) fn latencies(&self) -> Vec<Latency> {
        Key::ALL.iter().zip(&self.latencies).map(|(key, recorder)| latency(*key, &lock(recorder).steady)).collect()
    }

    /// The counters so far.
    pub(crate) fn audio(&self) -> AudioCounts {
        let get = |count: Count| self.counts[count as usize].load(Ordering::Relaxed);
        AudioCounts {
            caller_frames: get(Count::CallerFrames),
            caller_frames_refused: get(Count::CallerFramesRefused),
            model_frames: get(Count::ModelFrames),
            model_frames_lost: get(Count::ModelFramesLost),
            agent_messages: get(Count::AgentMessages),
            agent_lost_ms: get(Count::AgentLostMs),
            gaps: get(Count::Gaps),
            gap_ms: get(Count::GapMs),
        }
    }

    pub(crate) fn failures(&self) -> BTreeMap<String, u64> {
        lock(&self.failures).clone()
    }

    pub(crate) fn hostilities(&self) -> BTreeMap<String, u64> {
        lock(&self.hostile).clone()
    }
}

fn latency(key: Key, steady: &Histogram<u64>) -> Latency {
    let at = |q: f64| (!steady.is_empty()).then(|| ms(steady.value_at_quantile(q)));
    let curve = if steady.is_empty() {
        Vec::new()
    } else {
        // Denser towards the end, which is what matters.
        steady.iter_quantiles(5).map(|v| (v.percentile(), ms(v.value_iterated_to()))).collect()
    };
    Latency {
        key: key.key(),
        name: key.name(),
        meaning: key.meaning(),
        count: steady.len(),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: (!steady.is_empty()).then(|| ms(steady.max())),
        curve,
    }
}

fn ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

fn add(kinds: &Mutex<BTreeMap<String, u64>>, kind: &str) {
    let mut kinds = lock(kinds);
    if let Some(n) = kinds.get_mut(kind) {
        *n += 1;
    } else if kinds.len() < MAX_KINDS {
        kinds.insert(kind.to_owned(), 1);
    } else {
        *kinds.entry("other".to_owned()).or_default() += 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_told_apart_and_only_steady_ones_are_summed() {
        let tally = Tally::new().unwrap();
        tally.record(Key::CallerToModel, Duration::from_millis(900));
        assert!((tally.end_second(false)["caller_to_model"][1] - 900.0).abs() < 1.0);
        for us in 1..=1_000 {
            tally.record(Key::CallerToModel, Duration::from_micros(us));
        }
        let second = tally.end_second(true);
        assert_eq!(second.len(), 1, "keys without a measurement are absent");
        let rows = tally.latencies();
        let leg = &rows[Key::CallerToModel as usize];
        assert_eq!(leg.count, 1_000);
        assert_eq!((leg.p50, leg.p99, leg.max), (Some(0.5), Some(0.99), Some(1.0)));
        assert!(leg.curve.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1), "{:?}", leg.curve);
        assert_eq!((rows[0].count, rows[0].p50), (0, None));
    }

    #[test]
    fn kinds_of_failures_are_bounded() {
        let tally = Tally::new().unwrap();
        (0..200).for_each(|n| tally.fail(&n.to_string()));
        let failures = tally.failures();
        assert_eq!((failures.len(), failures["other"]), (MAX_KINDS + 1, 200 - MAX_KINDS as u64));
    }
}
