//! What a load test found: the schema of its `report.json`.
//!
//! All latencies are milliseconds on one clock. Distributions and sums are of the steady state alone; the series has the
//! whole run.

use std::collections::BTreeMap;

use serde::Serialize;

/// Version of this schema.
pub const SCHEMA: u32 = 1;

/// One load test.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LoadReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When it began: RFC 3339 in UTC.
    pub started: String,
    /// What was asked for, as words of a command line.
    pub command: String,
    /// Processors of the machine that the tester runs on; target and model share them when they are local.
    pub cores: usize,
    /// What was tested.
    pub target: TargetReport,
    /// What the callers did.
    pub load: LoadShape,
    /// Calls by how they went.
    pub calls: CallCounts,
    /// What was measured, in the order of the table.
    pub latencies: Vec<Latency>,
    /// Audio that did not arrive as it should.
    pub audio: AudioCounts,
    /// What went wrong in the steady state and outside it, by kind. Calls of bad callers are not in it.
    pub failures: BTreeMap<String, u64>,
    /// What bad callers met, by what they did: times done.
    pub hostile: BTreeMap<String, u64>,
    /// The target's process and its children; absent when its pid is not known.
    pub process: Option<ProcessReport>,
    /// The tester's own process: callers and model.
    pub tester: ProcessReport,
    /// What was demanded, and whether it held.
    pub objectives: Vec<Judged>,
    /// The same load against the minimal bridge, where asked for, and ratios to it.
    pub floor: Option<Floor>,
    /// One entry per second of the whole run.
    pub series: Vec<Second>,
}

/// What was tested.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TargetReport {
    /// `offhook`, `url`, `ws` or `floor`.
    pub kind: String,
    /// For people: what and how it was configured.
    pub name: String,
    /// Its process, when known.
    pub pid: Option<u32>,
}

/// What the callers were told to do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LoadShape {
    /// Calls at once in the steady state.
    pub calls: usize,
    /// Seconds from the first call to the steady state.
    pub ramp_s: f64,
    /// Seconds of steady state.
    pub steady_s: f64,
    /// Seconds from its end until the last caller has hung up.
    pub ramp_down_s: f64,
    /// Seconds a call lasts, drawn from this range; a call that is over is followed by another.
    pub call_s: [f64; 2],
    /// Seconds a caller thinks before each turn, drawn from this range.
    pub think_s: [f64; 2],
    /// Share of turns, in percent, in which the caller cuts in.
    pub barge_in_percent: u32,
    /// Share of calls, in percent, whose caller hangs up without having been answered to.
    pub hang_up_percent: u32,
    /// Share of callers, in percent, who do not keep to the protocol.
    pub bad_percent: u32,
    /// Names of the recorded callers.
    pub clips: Vec<String>,
    /// Milliseconds the built-in model thinks; part of the turn's latency.
    pub model_think_ms: u64,
    /// Seed of everything left to chance.
    pub seed: u64,
}

/// Calls of good callers.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct CallCounts {
    /// Placed.
    pub placed: u64,
    /// Whose media stream was opened.
    pub connected: u64,
    /// Answered by a spoken refusal.
    pub refused: u64,
    /// That failed in any way; refusals apart.
    pub failed: u64,
    /// That ended as they should.
    pub completed: u64,
    /// The most at once.
    pub peak: usize,
    /// Call-seconds in the steady state.
    pub call_seconds: f64,
}

/// One measured latency.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Latency {
    /// A short key: `setup`, `caller_to_model`, `caller_to_model_sent`, `model_to_caller`, `speech_to_clear`,
    /// `turn_to_audio`, `tester_late`.
    pub key: &'static str,
    /// For people, such as `caller -> model`.
    pub name: &'static str,
    /// From what to what, in one sentence.
    pub meaning: &'static str,
    /// Measurements; 0: the others are `None`.
    pub count: u64,
    /// Milliseconds.
    pub p50: Option<f64>,
    /// Milliseconds.
    pub p90: Option<f64>,
    /// Milliseconds.
    pub p99: Option<f64>,
    /// Milliseconds.
    pub p999: Option<f64>,
    /// Milliseconds.
    pub max: Option<f64>,
    /// Points of the cumulative distribution: percentile (0–100) and milliseconds, ascending.
    pub curve: Vec<(f64, f64)>,
}

/// Audio at both ends.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct AudioCounts {
    /// Caller frames sent.
    pub caller_frames: u64,
    /// Caller frames that the target's socket did not take in time.
    pub caller_frames_refused: u64,
    /// Caller frames known by their marks at the model.
    pub model_frames: u64,
    /// Caller frames missing at the model in the middle of a stretch that it was sent.
    pub model_frames_lost: u64,
    /// Agent audio messages that callers received.
    pub agent_messages: u64,
    /// Agent audio in milliseconds that is missing in the middle of a reply.
    pub agent_lost_ms: u64,
    /// Times a caller heard silence in the middle of a reply because audio came late.
    pub gaps: u64,
    /// Their sum in milliseconds.
    pub gap_ms: u64,
}

/// What the kernel says of a process and its children.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct ProcessReport {
    /// Processor time per call and second, in milliseconds.
    pub cpu_ms_per_call_second: f64,
    /// Processors in use, on average.
    pub cores: f64,
    /// Resident memory before the first call, in megabytes.
    pub idle_mb: f64,
    /// The most resident memory, in megabytes.
    pub peak_mb: f64,
    /// Memory per call beyond the idle process's, in kilobytes, at the steady state's end.
    pub kb_per_call: f64,
    /// Resident memory in the first and in the last fifth of the steady state, in megabytes: a leak would tell them apart.
    pub settled_mb: [f64; 2],
}

/// An objective and what became of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Judged {
    /// As written: `caller_to_model.p99 <= 20`.
    pub objective: String,
    /// What was measured; `None`: nothing was, which does not hold.
    pub value: Option<f64>,
    /// Whether it held.
    pub held: bool,
}

/// The minimal bridge under the same load.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Floor {
    /// Its own figures.
    pub latencies: Vec<Latency>,
    /// Its process.
    pub process: Option<ProcessReport>,
    /// The target's figures divided by the floor's: `cpu`, `memory`, and `KEY.p50`, `KEY.p99` for each leg.
    pub ratios: BTreeMap<String, f64>,
}

/// One second of the run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Second {
    /// Seconds since the run began.
    pub at_s: f64,
    /// `ramp`, `steady` or `down`.
    pub phase: &'static str,
    /// Calls up.
    pub calls: usize,
    /// p50 and p99 in milliseconds by latency key; keys without a measurement in this second are absent.
    pub latencies: BTreeMap<&'static str, [f64; 2]>,
    /// Failures so far.
    pub failures: u64,
    /// Processors the target used.
    pub target_cores: Option<f64>,
    /// Processors the tester used.
    pub tester_cores: f64,
    /// The target's resident memory in megabytes.
    pub target_mb: Option<f64>,
}

/// What a search for the highest number of calls found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CapacityReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Every number that was tried, in order.
    pub trials: Vec<Trial>,
    /// The highest number at which every objective held; 0: none.
    pub calls: usize,
    /// Divided by the machine's processors, which the tester and the model share.
    pub calls_per_core: f64,
    /// Divided by the processors that the target itself used at that number.
    pub calls_per_target_core: Option<f64>,
    /// The objective that did not hold at the next number tried; `None`: the search ended at its limit.
    pub limited_by: Option<String>,
}

/// One number of calls that was tried.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Trial {
    /// Calls at once.
    pub calls: usize,
    /// Whether every objective held.
    pub held: bool,
    /// The whole report of it.
    pub report: LoadReport,
}
