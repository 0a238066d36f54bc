//! What a run came to, as values and as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::memory::{Memory, Sample};
use super::shard::AGAIN_EVERY;
use super::tally::{Tally, VIOLATIONS_MAX, Violation};
use crate::lab::tune::table::{Align, Table};
use crate::stage::load::words::grouped;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The run's seed: the same seed, hours and peak are the same calls.
    pub seed: u64,
    /// Hours that were to be simulated.
    pub hours: f64,
    /// Calls at once that were to be reached.
    pub peak: u32,
    /// Threads that did the work.
    pub threads: usize,
    /// Calls that came to their end.
    pub calls: u64,
    /// Calls by how they ended (`kind` of the report's `end`); `not_at_all` for those with a broken promise.
    pub ended: BTreeMap<&'static str, u64>,
    /// What went wrong around the engine, by name, and how often.
    pub faults: BTreeMap<&'static str, u64>,
    /// Simulated seconds until the last call was over.
    pub simulated_s: f64,
    /// Simulated seconds of all calls together.
    pub calls_s: f64,
    /// Seconds that it took.
    pub real_s: f64,
    /// Seconds of processor time that the shards took, where the system tells; else the threads' time.
    pub cpu_s: f64,
    /// Simulated seconds per second.
    pub speed: f64,
    /// Inputs that engines handled.
    pub inputs: u64,
    /// Actions that they led to, but for what was heard in a step.
    pub actions: u64,
    /// Nanoseconds of processor time per input, with all that is simulated around the engine.
    pub ns_per_input: f64,
    /// Agents that were stopped by a caller.
    pub barge_ins: u64,
    /// Items that the model was told were not heard to their end.
    pub truncations: u64,
    /// Seconds of agent audio that lines played.
    pub heard_s: f64,
    /// Calls that were run a second time, alone, and from their journal.
    pub again: u64,
    /// Calls at once at the busiest sample.
    pub most_live: u64,
    /// Resident memory over the run.
    pub memory: Memory,
    /// Promises that were broken; a run stops at so many.
    pub violations: Vec<Violation>,
    /// Whether the run was stopped because of them.
    pub stopped: bool,
    /// With `only`: what happened in the call, one line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<String>,
}

/// How long a run took, and on what.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Took {
    pub(super) simulated_us: u64,
    pub(super) real_s: f64,
    pub(super) cpu_s: f64,
    pub(super) stopped: bool,
}

impl Outcome {
    pub(super) fn new(
        (seed, hours, peak, threads): (u64, f64, u32, usize),
        tally: Tally,
        memory: Memory,
        took: Took,
    ) -> Self {
        let simulated_s = took.simulated_us as f64 / 1e6;
        Outcome {
            seed,
            hours,
            peak,
            threads,
            calls: tally.calls,
            ended: tally.ended,
            faults: tally.faults.named().into_iter().collect(),
            simulated_s,
            calls_s: tally.call_ms as f64 / 1e3,
            real_s: took.real_s,
            cpu_s: took.cpu_s,
            speed: if took.real_s > 0.0 { simulated_s / took.real_s } else { 0.0 },
            inputs: tally.inputs,
            actions: tally.actions,
            ns_per_input: took.cpu_s * 1e9 / tally.inputs.max(1) as f64,
            barge_ins: tally.barge_ins,
            truncations: tally.truncations,
            heard_s: tally.heard_ms as f64 / 1e3,
            again: tally.again,
            most_live: memory.samples.iter().map(|sample| sample.live).max().unwrap_or_default(),
            memory,
            violations: tally.violations,
            stopped: took.stopped,
            trace: Vec::new(),
        }
    }

    /// Whether every promise was kept, and memory did not grow.
    pub fn is_sound(&self) -> bool {
        self.violations.is_empty() && self.memory.flat != Some(false)
    }

    /// All of it in aligned tables, the verdict last.
    pub fn text(&self) -> String {
        let mut out: String = self.trace.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        out += &counted(("calls that ended", "calls"), &self.ended);
        out += &counted(("\nfault", "times"), &self.faults);
        out.push('\n');
        out += &self.totals();
        if !self.memory.samples.is_empty() {
            out.push('\n');
            out += &self.memory_text();
        }
        out.push('\n');
        out += &self.verdict();
        out
    }

    fn totals(&self) -> String {
        let mut table = Table::new(&[("in all", Align::Left), ("", Align::Right)]);
        let mut row = |what: &str, value: String| table.row([what.to_owned(), value]);
        row("calls", grouped(self.calls));
        row("simulated", format!("{} s", grouped(self.simulated_s as u64)));
        row("simulated, all calls", format!("{} s", grouped(self.calls_s as u64)));
        row("took", format!("{:.1} s", self.real_s));
        row("speed", format!("{} x", grouped(self.speed as u64)));
        row("processor time", format!("{:.1} s", self.cpu_s));
        row("inputs", grouped(self.inputs));
        row("actions", grouped(self.actions));
        row("per input", format!("{:.0} ns", self.ns_per_input));
        row("barge-ins", grouped(self.barge_ins));
        row("truncations", grouped(self.truncations));
        row("agent heard", format!("{} s", grouped(self.heard_s as u64)));
        row(&format!("run again, 1 in {AGAIN_EVERY}"), grouped(self.again));
        row("calls at once, at most", grouped(self.most_live));
        table.text()
    }

    fn memory_text(&self) -> String {
        let memory = &self.memory;
        let columns =
            [("hour", Align::Right), ("live", Align::Right), ("resident", Align::Right), ("per call", Align::Right)];
        let mut table = Table::new(&columns);
        for Sample { hour, live, rss } in &memory.samples {
            let own = rss.saturating_sub(memory.base).checked_div(*live).filter(|_| *live > 0);
            let own = own.map_or_else(|| "–".to_owned(), |own| format!("{:.1} KiB", own as f64 / 1024.0));
            table.row([format!("{hour:.2}"), grouped(*live), mebibytes(*rss), own]);
        }
        let mut out = table.text();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "before the first call {}", mebibytes(memory.base));
        if let Some(bytes) = memory.bytes_per_call {
            let _ = writeln!(
                out,
                "per live call at the busiest sample {:.1} KiB, its surroundings included",
                bytes as f64 / 1024.0
            );
        }
        if let (Some(early), Some(late)) = (memory.early, memory.late) {
            let told = |s: Sample| format!("{} at {} calls in hour {:.2}", mebibytes(s.rss), grouped(s.live), s.hour);
            let _ = writeln!(out, "warm {}, late {}", told(early), told(late));
        }
        let judged = match memory.flat {
            Some(true) => "flat",
            Some(false) => "NOT flat",
            None => "not judged: too short, or too few calls",
        };
        let _ = writeln!(out, "memory is {judged} ({})", memory.rule);
        out
    }

    fn verdict(&self) -> String {
        let mut out = String::new();
        for Violation { seed, call, at_ms, what } in &self.violations {
            let at = crate::base::time::CallTime::from_ms(*at_ms);
            let _ = writeln!(out, "call {call} at {at}: {what}\n    again: --seed {seed} --only {call}");
        }
        if self.stopped {
            let _ = writeln!(out, "stopped at {VIOLATIONS_MAX} broken promises");
        }
        let _ = match self.violations.len() {
            0 => writeln!(out, "every promise was kept in {} calls", grouped(self.calls)),
            n => writeln!(out, "{n} promises were broken in {} calls", grouped(self.calls)),
        };
        out
    }
}

/// A count of each, the zeros too.
fn counted((what, times): (&str, &str), counts: &BTreeMap<&'static str, u64>) -> String {
    let mut table = Table::new(&[(what.trim_start(), Align::Left), (times, Align::Right)]);
    counts.iter().for_each(|(name, count)| table.row([(*name).to_owned(), grouped(*count)]));
    let space = if what.starts_with('\n') { "\n" } else { "" };
    format!("{space}{}", table.text())
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
