//! Counters and histograms of one server, rendered in the Prometheus text format.
//!
//! Kept per server, not per process: several servers run side by side in one process in tests and in the demo. The
//! registry crates keep one recorder per process, and a lookup by name for every frame; these are plain atomics.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::ears::turn::shadow::ShadowTally;
use crate::serve::webhooks;
use crate::{output, store};

use super::pressure::Pressure;

/// Everything that `/metrics` shows.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    /// Calls answered with a media stream.
    pub(super) started: Counter,
    /// Calls that are over, by reason.
    pub(super) ended: Family,
    /// Calls whose media stream has not begun.
    pub(super) waiting: Counter,
    /// Calls whose media stream runs.
    pub(super) talking: Counter,
    /// Calls without a line, of which the caller's last words are awaited.
    pub(super) closing: Counter,
    /// Calls that were placed.
    pub(super) placed: Counter,
    /// Calls that were placed and came to nothing, by how.
    pub(super) not_answered: Family,
    /// What the carrier said of who picked up.
    pub(super) answered_by: Family,
    /// Requests to the API, by what they were answered.
    pub(super) api: Family,
    /// Those that came too soon, by class and whose they were.
    pub(super) api_limited: Family,
    /// Watchers of calls' events that were let go, by why.
    pub(super) watchers: Family,
    /// Orders that other servers were given, by what came of them, and those of others that were carried out.
    pub(super) orders: Family,
    /// What became of phone numbers.
    pub(super) numbers: Family,
    /// Where the carrier's list of them and ours differ.
    pub(super) number_differences: Counter,
    /// States of placed calls that could not be kept.
    pub(super) ledger_failed: Counter,
    /// Webhooks answered by a spoken refusal, by reason.
    pub(super) refused: Family,
    /// Callers of deployments that are not for everybody, by what became of them.
    pub(super) callers: Family,
    /// Connections that belong to no call.
    pub(super) connections: Counter,
    /// Connections that were refused or sent away, by why.
    pub(super) connections_closed: Family,
    /// Requests turned away, by what was wrong.
    pub(super) rejected: Family,
    /// Media sockets turned away, by what was wrong.
    pub(super) media_rejected: Family,
    /// What the carrier reported of a stream or call after the fact, by kind.
    pub(super) carrier_reports: Family,
    /// Messages of the line that were ignored, by kind.
    pub(super) line_ignored: Family,
    /// Connections to models, by result.
    pub(super) dials: Family,
    /// Bytes of agent audio messages dropped because the line's socket was too slow.
    pub(super) line_dropped_bytes: Counter,
    /// Bytes of caller audio messages dropped because the model's socket was too slow.
    pub(super) model_dropped_bytes: Counter,
    /// Sockets given up because they took nothing for too long, by leg.
    pub(super) stalled: Family,
    /// Effects by result.
    pub(super) effects: Family,
    /// Tools that other servers were asked for, by how it came out.
    pub(super) tools: Family,
    /// How long they took.
    pub(super) tool: Histogram,
    /// Fetches of what is known of callers, by how they came out.
    pub(super) fetches: Family,
    /// From the webhook until such a fetch was over.
    pub(super) fetch: Histogram,
    /// Questions about calls that are over, by how they came out.
    pub(super) questions: Family,
    /// How long an answer took.
    pub(super) question: Histogram,
    /// Results sent to other servers, by how it came out.
    pub(super) pushes: Family,
    /// Calls of which more was to be found out and is not, by why.
    pub(super) after_dropped: Family,
    /// Calls of which more is to be found out.
    pub(super) after_waiting: Counter,
    /// Batches for files that were dropped because the disk was too slow.
    pub(super) files_dropped: Counter,
    /// Files that could not be written, by what.
    pub(super) files_failed: Family,
    /// Readings of documents, by what came of them.
    pub(super) readings: Family,
    /// Files among them that were written later, and those that still wait.
    pub(super) files_late: Counter,
    pub(super) files_late_waiting: Counter,
    /// What calls counted, summed when each ends.
    pub(super) call_counters: Family,
    /// What candidates decided otherwise, summed when each call ends.
    pub(super) shadows: Shadows,
    /// Attempts to take documents from the store that failed.
    pub(super) documents_failed: Counter,
    /// Tasks that panicked.
    pub(super) panics: Counter,
    /// What the store counts.
    pub(super) store: Arc<store::Counters>,
    /// What the sender of webhooks counts.
    pub(super) webhooks: Arc<webhooks::Counters>,
    /// Read from the line's socket until written to the model's.
    pub(super) caller_to_model: Histogram,
    /// Read from the model's socket until written to the line's.
    pub(super) model_to_caller: Histogram,
    /// End of the caller's turn until the first agent audio was sent.
    pub(super) turn: Histogram,
}

impl Metrics {
    /// The Prometheus text exposition format, version 0.0.4. `pressure`: how late the server's threads are.
    pub(super) fn render(&self, pressure: &Pressure) -> String {
        let mut page = Page(String::with_capacity(8 * 1024));
        page.counter("calls_started_total", "Calls answered with a media stream.", &self.started);
        page.family("calls_ended_total", "Calls that are over.", "reason", &self.ended);
        page.head("calls", "gauge", "Calls by phase; in `closing` the line is over and the last words are awaited.");
        page.sample("calls", "phase", "waiting", self.waiting.get());
        page.sample("calls", "phase", "talking", self.talking.get());
        page.sample("calls", "phase", "closing", self.closing.get());
        page.counter("calls_placed_total", "Calls that were placed.", &self.placed);
        page.family("calls_not_answered_total", "Calls that were placed in vain.", "how", &self.not_answered);
        page.family("answered_by_total", "What the carrier said of who picked up.", "who", &self.answered_by);
        page.family("api_requests_total", "Requests to the API.", "answer", &self.api);
        page.family("numbers_total", "What became of phone numbers.", "what", &self.numbers);
        page.head("number_differences", "gauge", "Where the carrier's list of phone numbers and ours differ.");
        page.bare("number_differences", self.number_differences.get());
        page.family("api_limited_total", "Requests to the API that came too soon.", "of", &self.api_limited);
        page.family("orders_total", "Orders for calls between servers.", "outcome", &self.orders);
        page.family("watchers_ended_total", "Watchers of calls that were let go.", "why", &self.watchers);
        page.counter(
            "dial_states_lost_total",
            "States of placed calls that were not kept at once.",
            &self.ledger_failed,
        );
        page.family("calls_refused_total", "Calls answered by a spoken refusal.", "reason", &self.refused);
        page.family(
            "callers_total",
            "Callers of deployments that are not for everybody: attested, asked for a PIN, and whether that was right.",
            "how",
            &self.callers,
        );
        page.head("connections", "gauge", "Connections that belong to no call.");
        page.bare("connections", self.connections.get());
        page.family(
            "connections_closed_total",
            "Connections refused, or closed for their silence.",
            "reason",
            &self.connections_closed,
        );
        page.family("requests_rejected_total", "Requests turned away.", "reason", &self.rejected);
        page.family("media_rejected_total", "Media sockets turned away.", "reason", &self.media_rejected);
        page.family("carrier_reports_total", "Status callbacks of the carrier.", "event", &self.carrier_reports);
        page.family("line_ignored_total", "Messages of the line that were ignored.", "kind", &self.line_ignored);
        page.family("model_dials_total", "Connections to models.", "result", &self.dials);
        page.head("audio_dropped_bytes_total", "counter", "Audio messages dropped because a socket was too slow.");
        page.sample("audio_dropped_bytes_total", "leg", "line", self.line_dropped_bytes.get());
        page.sample("audio_dropped_bytes_total", "leg", "model", self.model_dropped_bytes.get());
        page.family("sockets_stalled_total", "Sockets given up because they took nothing.", "leg", &self.stalled);
        page.family("effects_total", "What calls asked of the world.", "result", &self.effects);
        page.family(
            "knowledge_readings_total",
            "Documents of agents that were read, by what came of it.",
            "outcome",
            &self.readings,
        );
        page.family("tools_total", "Tools that other servers were asked for.", "outcome", &self.tools);
        page.head("tool_seconds", "histogram", "How long a tool took, its tries included.");
        page.histogram("tool_seconds", "", &self.tool);
        page.family("fetches_total", "Fetches of what is known of callers.", "outcome", &self.fetches);
        page.head("fetch_seconds", "histogram", "From the webhook until the fetch was over.");
        page.histogram("fetch_seconds", "", &self.fetch);
        page.family("questions_total", "Questions about calls that are over.", "outcome", &self.questions);
        page.head("question_seconds", "histogram", "How long an answer took.");
        page.histogram("question_seconds", "", &self.question);
        page.family("pushes_total", "Results of calls that were sent to other servers.", "outcome", &self.pushes);
        page.family("after_dropped_total", "Calls of which no more is found out.", "reason", &self.after_dropped);
        page.head("after_waiting", "gauge", "Calls of which more is to be found out.");
        page.bare("after_waiting", self.after_waiting.get());
        page.counter("file_batches_dropped_total", "Batches dropped by a slow disk.", &self.files_dropped);
        page.family(
            "files_failed_total",
            "Files that could not be written at once, or at all.",
            "file",
            &self.files_failed,
        );
        page.counter("files_late_total", "Files that were written once the disk had room.", &self.files_late);
        page.head("files_late_waiting", "gauge", "Files that wait for room on the disk.");
        page.bare("files_late_waiting", self.files_late_waiting.get());
        page.family("call_counters_total", "What calls counted, summed as they end.", "name", &self.call_counters);
        page.shadows(&self.shadows);
        page.counter(
            "documents_from_store_failed_total",
            "Attempts to take documents from the store that failed.",
            &self.documents_failed,
        );
        page.counter("panics_total", "Calls ended by a failure of the server.", &self.panics);
        let (store, hooks) = (&self.store, &self.webhooks);
        page.number("store_waiting", "gauge", "Rows and events that wait to be written.", &store.waiting);
        page.number("store_dropped_total", "counter", "Rows that found no room in the store's queue.", &store.dropped);
        page.number("store_failed_total", "counter", "Attempts to write the store that failed.", &store.failed);
        page.number("store_repaired_total", "counter", "Rows of calls made from their folders.", &store.repaired);
        page.number("store_lost_total", "counter", "Calls whose server was gone before they ended.", &store.lost);
        page.number(
            "store_not_admitted_total",
            "counter",
            "Calls that could not be kept in time, and were refused.",
            &store.not_admitted,
        );
        page.number(
            "store_jobs_dropped_total",
            "counter",
            "Jobs that were not put in, because too many of their kind wait.",
            &store.jobs_dropped,
        );
        page.number("store_lapsed_total", "counter", "How often another server took this one for gone.", &store.lapsed);
        page.number("store_deleted_total", "counter", "Calls deleted for their age.", &store.deleted);
        page.number(
            "store_events_deleted_total",
            "counter",
            "Events deleted for their age that nobody had taken.",
            &store.events_deleted,
        );
        page.number(
            "passwords_busy_total",
            "counter",
            "Passwords that found no room to be looked at.",
            &store.passwords_busy,
        );
        page.number(
            "attempts_refused_total",
            "counter",
            "Attempts to log in that were not heard, after too many that were wrong.",
            &store.attempts_refused,
        );
        page.number("webhooks_delivered_total", "counter", "Events that an endpoint took.", &hooks.delivered);
        page.number("webhooks_failed_total", "counter", "Attempts to deliver an event that failed.", &hooks.failed);
        page.number("webhooks_dead_total", "counter", "Events that were given up.", &hooks.dead);
        let off = "Webhooks that were switched off because they took nothing for days.";
        page.number("webhooks_switched_off_total", "counter", off, &store.endpoints_off);
        page.number("webhooks_waiting", "gauge", "Events that wait for an endpoint.", &hooks.waiting);
        page.head("log_lines_dropped_total", "counter", "Lines of the log that nobody read, or not fast enough.");
        page.bare("log_lines_dropped_total", output::log::dropped());
        page.head("lag_microseconds", "gauge", "How late the server's threads are: the median of a second.");
        page.sample("lag_microseconds", "second", "last", pressure.late().as_micros() as u64);
        page.sample("lag_microseconds", "second", "worst_of_5", pressure.worst().as_micros() as u64);
        page.head("leg_seconds", "histogram", "Read from one socket until written to the other.");
        page.histogram("leg_seconds", "leg=\"caller_to_model\"", &self.caller_to_model);
        page.histogram("leg_seconds", "leg=\"model_to_caller\"", &self.model_to_caller);
        page.head("turn_seconds", "histogram", "End of the caller's speech until the first agent audio was sent.");
        page.histogram("turn_seconds", "", &self.turn);
        page.0
    }
}

/// A number that goes up; a gauge when it is also taken back.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn take_back(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    pub(super) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters by one label, for what happens rarely. Its values are names of our own, never anything from outside, so
/// their number is bounded; the bound is enforced all the same.
#[derive(Debug, Default)]
pub(super) struct Family(Mutex<BTreeMap<String, u64>>);

/// More label values than any family has; what exceeds it is counted as `other`.
const FAMILY_MAX: usize = 128;

impl Family {
    pub(super) fn add(&self, label: &str, n: u64) {
        let mut map = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(value) = map.get_mut(label) {
            *value += n;
        } else if map.len() < FAMILY_MAX {
            map.insert(label.to_owned(), n);
        } else {
            *map.entry("other".to_owned()).or_default() += n;
        }
    }

    #[cfg(test)]
    pub(super) fn get(&self, label: &str) -> u64 {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(label).copied().unwrap_or(0)
    }
}

/// Where candidates decided otherwise than the live settings, by deployment, candidate and what. The names are of the
/// configuration, of which there may be many versions in a server's life, so their number is bounded.
#[derive(Debug, Default)]
pub(super) struct Shadows(Mutex<BTreeMap<Candidate, Sums>>);

/// Deployment and name.
type Candidate = (String, String);
type Sums = [(&'static str, u64); 13];

/// More candidates than this are not counted.
const SHADOWS_MAX: usize = 128;

impl Shadows {
    pub(super) fn add(&self, deployment: &str, tally: &ShadowTally) {
        let mut map = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let key = (deployment.to_owned(), tally.name.clone());
        if let Some(sums) = map.get_mut(&key) {
            for ((_, sum), (_, n)) in sums.iter_mut().zip(tally.counts()) {
                *sum += n;
            }
        } else if map.len() < SHADOWS_MAX {
            map.insert(key, tally.counts());
        }
    }
}

/// Upper bounds of the buckets in microseconds: fine where the budgets are (0.2 ms, 1 ms, 20 ms), up to a slow turn.
const BUCKETS_US: [u64; 18] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 1_500_000,
    2_000_000, 4_000_000, 8_000_000,
];

/// Durations in fixed buckets.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    pub(super) fn observe(&self, took: Duration) {
        let us = took.as_micros() as u64;
        let bucket = BUCKETS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// The smallest bucket bound under which `share` (0–1) of the observations lie, in µs; `None` while there are none
    /// or when it lies beyond the last bound.
    pub(super) fn quantile_us(&self, share: f64) -> Option<u64> {
        let counts: Vec<u64> = self.buckets.iter().map(|b| b.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let wanted = (total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bound, count) in BUCKETS_US.iter().zip(&counts) {
            seen += count;
            if seen >= wanted {
                return Some(*bound);
            }
        }
        None
    }
}

/// The page as it grows.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP offhook_{name} {help}\n# TYPE offhook_{name} {kind}");
    }

    fn counter(&mut self, name: &str, help: &str, counter: &Counter) {
        self.head(name, "counter", help);
        self.bare(name, counter.get());
    }

    fn bare(&mut self, name: &str, value: u64) {
        let _ = writeln!(self.0, "offhook_{name} {value}");
    }

    fn number(&mut self, name: &str, kind: &str, help: &str, number: &AtomicU64) {
        self.head(name, kind, help);
        let _ = writeln!(self.0, "offhook_{name} {}", number.load(Ordering::Relaxed));
    }

    fn family(&mut self, name: &str, help: &str, label: &str, family: &Family) {
        self.head(name, "counter", help);
        let map = family.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for (value, count) in map.iter() {
            self.sample(name, label, value, *count);
        }
    }

    fn shadows(&mut self, shadows: &Shadows) {
        let map = shadows.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        self.head("shadow_total", "counter", "What candidate turn settings decided beside the live ones.");
        for ((deployment, shadow), sums) in map.iter() {
            for (what, n) in sums {
                let labels = format!("deployment=\"{deployment}\",shadow=\"{shadow}\",what=\"{what}\"");
                // Writing to a string cannot fail. Names of documents and candidates need no escapes.
                let _ = writeln!(self.0, "offhook_shadow_total{{{labels}}} {n}");
            }
        }
    }

    fn sample(&mut self, name: &str, label: &str, value: &str, count: u64) {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = writeln!(self.0, "offhook_{name}{{{label}=\"{value}\"}} {count}");
    }

    /// `label` is empty or `name="value"`.
    fn histogram(&mut self, name: &str, label: &str, histogram: &Histogram) {
        let comma = if label.is_empty() { "" } else { "," };
        let braces = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
        let mut seen = 0;
        for (bucket, bound) in histogram.buckets.iter().zip(BUCKETS_US) {
            seen += bucket.load(Ordering::Relaxed);
            let _ = writeln!(self.0, "offhook_{name}_bucket{{{label}{comma}le=\"{}\"}} {seen}", bound as f64 / 1e6);
        }
        seen += histogram.buckets[BUCKETS_US.len()].load(Ordering::Relaxed);
        let sum = histogram.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(self.0, "offhook_{name}_bucket{{{label}{comma}le=\"+Inf\"}} {seen}");
        let _ = writeln!(self.0, "offhook_{name}_sum{braces} {sum}\noffhook_{name}_count{braces} {seen}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_at_its_bounds_and_beyond_the_last() {
        let metrics = Metrics::default();
        metrics.caller_to_model.observe(Duration::from_micros(200));
        metrics.caller_to_model.observe(Duration::from_micros(201));
        metrics.caller_to_model.observe(Duration::from_secs(60));
        let page = metrics.render(&Pressure::default());
        let leg = "offhook_leg_seconds_bucket{leg=\"caller_to_model\",le=";
        assert!(page.contains(&format!("{leg}\"0.0001\"}} 0\n")));
        assert!(page.contains(&format!("{leg}\"0.0002\"}} 1\n")));
        assert!(page.contains(&format!("{leg}\"0.0005\"}} 2\n")));
        assert!(page.contains(&format!("{leg}\"8\"}} 2\n")));
        assert!(page.contains(&format!("{leg}\"+Inf\"}} 3\n")));
        assert!(page.contains("offhook_leg_seconds_count{leg=\"caller_to_model\"} 3\n"));
        assert!(page.contains("offhook_turn_seconds_count 0\n"));
        assert_eq!(metrics.caller_to_model.quantile_us(0.5), Some(500));
        assert_eq!(metrics.caller_to_model.quantile_us(1.0), None);
        assert_eq!(metrics.turn.quantile_us(0.5), None);
    }

    #[test]
    fn labels_are_escaped_and_bounded() {
        let metrics = Metrics::default();
        metrics.ended.add("a\"b\\c\nd", 2);
        assert!(
            metrics.render(&Pressure::default()).contains("offhook_calls_ended_total{reason=\"a\\\"b\\\\c\\nd\"} 2\n")
        );
        for i in 0..300 {
            metrics.refused.add(&i.to_string(), 1);
        }
        assert_eq!(metrics.refused.get("other"), 300 - FAMILY_MAX as u64);
    }

    #[test]
    fn candidates_are_summed_by_deployment_and_name() {
        let metrics = Metrics::default();
        let tally = ShadowTally { name: "patient".into(), cut_offs: 2, later_max_ms: 9, ..ShadowTally::default() };
        metrics.shadows.add("main", &tally);
        metrics.shadows.add("main", &tally);
        metrics.shadows.add("other", &tally);
        let page = metrics.render(&Pressure::default());
        let labels = "deployment=\"main\",shadow=\"patient\",what=\"cut_offs\"";
        assert!(page.contains(&format!("offhook_shadow_total{{{labels}}} 4\n")), "{page}");
        assert!(page.contains("deployment=\"other\",shadow=\"patient\",what=\"cut_offs\"} 2\n"));
        assert!(!page.contains("later_max_ms"));
        for i in 0..300 {
            metrics.shadows.add(&i.to_string(), &tally);
        }
        assert!(metrics.render(&Pressure::default()).matches("what=\"cut_offs\"").count() <= SHADOWS_MAX);
    }

    #[test]
    fn every_sample_has_a_head_of_its_own() {
        let metrics = Metrics::default();
        metrics.ended.add("operator", 1);
        metrics.shadows.add("main", &ShadowTally::default());
        let page = metrics.render(&Pressure::default());
        let mut names = std::collections::BTreeSet::new();
        for line in page.lines().filter(|l| l.starts_with("# TYPE")) {
            assert!(names.insert(line.split(' ').nth(2).expect("a name").to_owned()), "{line} twice");
        }
        for line in page.lines().filter(|l| !l.starts_with('#')) {
            let name = line.split(['{', ' ']).next().expect("a name");
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s)).unwrap_or(name);
            assert!(names.contains(name) || names.contains(base), "{line} has no head");
        }
    }
}
