//! How many calls a target holds: the highest number at which every objective does.

use tokio::sync::watch;

use crate::stage::load::report::{CapacityReport, LoadReport, LoadShape, SCHEMA, Second, Trial};
use crate::stage::load::run::{Conditions, Target, run};

/// Between which numbers to look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    /// The first number tried.
    pub(crate) from: usize,
    /// The last that is tried.
    pub(crate) to: usize,
    /// How exactly the number is wanted, in percent of itself.
    pub(crate) exact_percent: u32,
}

/// Fewest calls by which two numbers that are tried differ.
const LEAST_STEP: usize = 5;
/// A number that fails is tried once more before it counts: somebody else's work on the machine is no limit of the target.
const TRIES: usize = 2;

/// Doubles until it fails, then halves the distance until it is exact. `told` hears of every trial.
///
/// # Errors
/// As [`run`]: a trial that cannot be made, not one that fails its objectives.
pub(crate) async fn search(
    conditions: &Conditions,
    target: &Target,
    search: Search,
    stopped: &watch::Receiver<bool>,
    tell: &mut (dyn FnMut(&Second, &LoadShape) + Send),
    told: &mut (dyn FnMut(&Trial) + Send),
) -> Result<CapacityReport, String> {
    let mut steps = Steps::new(search);
    let mut report = CapacityReport { schema: SCHEMA, ..CapacityReport::default() };
    while let Some(calls) = steps.next() {
        let mut held = false;
        for _ in 0..TRIES {
            let result = run(conditions, target, calls, stopped, tell).await?;
            if *stopped.borrow() {
                return Ok(finish(report, &steps));
            }
            held = result.objectives.iter().all(|objective| objective.held);
            let trial = Trial { calls, held, report: result };
            told(&trial);
            report.trials.push(trial);
            if held {
                break;
            }
        }
        steps.tried(calls, held);
    }
    Ok(finish(report, &steps))
}

fn finish(mut report: CapacityReport, steps: &Steps) -> CapacityReport {
    report.calls = steps.good;
    let best = report.trials.iter().rev().find(|trial| trial.held && trial.calls == steps.good);
    let cores = best.map_or(1, |trial| trial.report.cores).max(1);
    report.calls_per_core = report.calls as f64 / cores as f64;
    let used = best.and_then(|trial| trial.report.process).map(|process| process.cores);
    report.calls_per_target_core = used.filter(|cores| *cores > 0.0).map(|cores| report.calls as f64 / cores);
    let failed = report.trials.iter().rev().find(|trial| !trial.held && Some(trial.calls) == steps.bad);
    report.limited_by = failed.and_then(|trial| limit(&trial.report));
    report
}

/// The objective that was missed by most.
fn limit(report: &LoadReport) -> Option<String> {
    let missed = report.objectives.iter().filter(|objective| !objective.held);
    let by = |objective: &crate::stage::load::report::Judged| {
        let limit = objective.objective.rsplit_once("<= ").and_then(|(_, limit)| limit.parse::<f64>().ok());
        match (objective.value, limit) {
            (Some(value), Some(limit)) => value / limit.max(0.001),
            _ => f64::INFINITY,
        }
    };
    let worst = missed.max_by(|a, b| by(a).total_cmp(&by(b)))?;
    let value = worst.value.map_or("not measured".to_owned(), |value| format!("{value:.2}"));
    Some(format!("{} (was {value})", worst.objective))
}

/// Which number is next.
#[derive(Debug)]
struct Steps {
    search: Search,
    good: usize,
    bad: Option<usize>,
}

impl Steps {
    fn new(search: Search) -> Steps {
        Steps { search, good: 0, bad: None }
    }

    fn next(&self) -> Option<usize> {
        match self.bad {
            None if self.good == 0 => Some(self.search.from.min(self.search.to)),
            None if self.good >= self.search.to => None,
            None => Some((self.good * 2).min(self.search.to)),
            Some(bad) => {
                let exact = (bad * self.search.exact_percent as usize / 100).max(LEAST_STEP);
                (bad - self.good > exact).then(|| self.good + (bad - self.good) / 2)
            }
        }
    }

    fn tried(&mut self, calls: usize, held: bool) {
        if held {
            self.good = self.good.max(calls);
        } else {
            self.bad = Some(self.bad.map_or(calls, |bad| bad.min(calls)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers tried, and the one found, when `limit` calls are held.
    fn find(limit: usize, from: usize, to: usize) -> (Vec<usize>, usize) {
        let mut steps = Steps::new(Search { from, to, exact_percent: 5 });
        let mut tried = Vec::new();
        while let Some(calls) = steps.next() {
            tried.push(calls);
            steps.tried(calls, calls <= limit);
            assert!(tried.len() < 50, "{tried:?}");
        }
        (tried, steps.good)
    }

    #[test]
    fn the_highest_number_is_found_to_a_few_percent() {
        for limit in [1, 7, 63, 100, 333, 799] {
            let (tried, found) = find(limit, 50, 10_000);
            assert!(found <= limit && limit - found <= (limit / 15).max(LEAST_STEP), "{limit}: {found} by {tried:?}");
            assert!(tried.len() <= 12, "{tried:?}");
        }
        assert_eq!(find(9_999, 50, 400), (vec![50, 100, 200, 400], 400), "the search ends where it is told to");
        assert_eq!(find(0, 50, 400).1, 0);
    }
}
