//! What was measured, as text and as JSON.

use serde_json::{Value, json};

use super::Target;
use super::calls::Measured;

/// One line as soon as a round is over.
pub(crate) fn progress(round: usize, result: &Measured) {
    eprintln!(
        "round {round}  {:<17}  {:.3} ms per call-second, {} replies, {} failures",
        result.target.name(),
        result.cpu_ms,
        result.model_to_caller.len(),
        result.failures
    );
}

/// A target's medians over the rounds.
struct Row {
    target: Target,
    cpu_ms: f64,
    /// To the floor of the same round.
    ratio: Option<f64>,
    /// p50 and p99 in milliseconds, caller to model and model to caller.
    legs: [f64; 4],
    kb_per_call: f64,
    idle_mb: f64,
    failures: usize,
    driver_cores: f64,
}

/// The table.
pub(crate) fn print(calls: usize, seconds: u64, results: &[Measured]) {
    println!("\n{calls} calls for {seconds} s; medians of the rounds. CPU in ms per call and second, legs in ms.");
    println!(
        "{:<17}  {:>6} {:>6}  {:>15}  {:>15}  {:>11} {:>8}  {:>8}  {:>6}",
        "", "", "ratio", "caller -> model", "model -> caller", "memory", "idle", "", "driver"
    );
    println!(
        "{:<17}  {:>6} {:>6}  {:>7} {:>7}  {:>7} {:>7}  {:>11} {:>8}  {:>8}  {:>6}",
        "target", "CPU", "floor", "p50", "p99", "p50", "p99", "kB per call", "MB", "failures", "cores"
    );
    for row in rows(results) {
        let ratio = row.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        let [a, b, c, d] = row.legs.map(|ms| format!("{ms:.2}"));
        println!(
            "{:<17}  {:>6.3} {ratio:>6}  {a:>7} {b:>7}  {c:>7} {d:>7}  {:>11.0} {:>8.1}  {:>8}  {:>6.2}",
            row.target.name(),
            row.cpu_ms,
            row.kb_per_call,
            row.idle_mb,
            row.failures,
            row.driver_cores
        );
    }
}

/// The same for machines.
pub(crate) fn json(calls: usize, seconds: u64, results: &[Measured]) -> Value {
    let rows: Vec<Value> = rows(results)
        .iter()
        .map(|row| {
            json!({ "target": row.target.name(), "cpu_ms_per_call_second": row.cpu_ms, "ratio_to_floor": row.ratio,
                "caller_to_model_ms": { "p50": row.legs[0], "p99": row.legs[1] },
                "model_to_caller_ms": { "p50": row.legs[2], "p99": row.legs[3] },
                "kb_per_call": row.kb_per_call, "idle_mb": row.idle_mb, "failures": row.failures,
                "driver_cores": row.driver_cores })
        })
        .collect();
    json!({ "calls": calls, "seconds": seconds, "targets": rows })
}

fn rows(results: &[Measured]) -> Vec<Row> {
    let of = |target| results.iter().filter(move |result| result.target == target);
    let some = |target: &Target| of(*target).next().is_some();
    let row = |target: Target| {
        let over = |value: &dyn Fn(&Measured) -> f64| median(of(target).map(value).collect()).unwrap_or(f64::NAN);
        let leg = |sorted: &[u64], percent| at(sorted, percent).map_or(f64::NAN, |us| us as f64 / 1_000.0);
        Row {
            target,
            cpu_ms: over(&|m| m.cpu_ms),
            ratio: median(of(target).zip(of(Target::Floor)).map(|(m, floor)| m.cpu_ms / floor.cpu_ms).collect()),
            legs: [
                over(&|m| leg(&m.caller_to_model, 50)),
                over(&|m| leg(&m.caller_to_model, 99)),
                over(&|m| leg(&m.model_to_caller, 50)),
                over(&|m| leg(&m.model_to_caller, 99)),
            ],
            kb_per_call: over(&|m| m.kb_per_call),
            idle_mb: over(&|m| m.idle_kb / 1_024.0),
            failures: of(target).map(|m| m.failures).sum(),
            driver_cores: over(&|m| m.driver_cores),
        }
    };
    Target::ALL.into_iter().filter(some).map(row).collect()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// A percentile of a sorted list, the nearest rank.
fn at(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}
