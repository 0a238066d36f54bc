//! Instructions per step, of what valgrind's callgrind has written.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Instructions by the function that they are of, callees not included.
pub(crate) type Functions = BTreeMap<String, i64>;

/// What one step more takes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cost {
    /// Of all steps that the longer run did more.
    more: Functions,
    steps: u32,
}

impl Cost {
    fn between(shorter: (u32, Functions), longer: (u32, Functions)) -> Cost {
        let mut more = longer.1;
        for (name, instructions) in shorter.1 {
            *more.entry(name).or_default() -= instructions;
        }
        Cost { more, steps: longer.0 - shorter.0 }
    }

    /// Instructions per step.
    pub(crate) fn total(&self) -> f64 {
        self.more.values().sum::<i64>() as f64 / f64::from(self.steps)
    }

    /// Instructions per step of each function, the most first.
    pub(crate) fn functions(&self) -> Vec<(&str, f64)> {
        let mut functions: Vec<_> = self.more.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        functions.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        functions.into_iter().map(|(name, n)| (name, n as f64 / f64::from(self.steps))).collect()
    }
}

/// Every step of which `folder` has two runs, `STEP.TIMES.out`: the difference is without start and warm-up.
pub(crate) fn per_step(folder: &Path) -> Result<BTreeMap<String, Cost>, String> {
    let error = |error| format!("cannot read {}: {error}; ./dev count makes it", folder.display());
    let mut runs: BTreeMap<String, BTreeMap<u32, Functions>> = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(error)? {
        let path = entry.map_err(error)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((step, times)) = name.strip_suffix(".out").and_then(|name| name.rsplit_once('.')) else { continue };
        let Ok(times) = times.parse() else { continue };
        let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let functions = functions(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        runs.entry(step.to_owned()).or_default().insert(times, functions);
    }
    let cost = |(step, mut runs): (String, BTreeMap<u32, Functions>)| match (runs.pop_first(), runs.pop_last()) {
        (Some(shorter), Some(longer)) => Ok((step, Cost::between(shorter, longer))),
        _ => Err(format!("'{step}' ran with one number of times only; two are needed")),
    };
    runs.into_iter().map(cost).collect()
}

/// The costs of a file that was written without compressed names and positions: a line `fn=NAME`, then lines
/// `LINE INSTRUCTIONS`. A line of calls is followed by one with what the callee took, which is counted there.
fn functions(text: &str) -> Result<Functions, String> {
    let mut functions = Functions::new();
    let mut function = None;
    let mut of_callee = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = Some(name);
        } else if line.starts_with("calls=") {
            of_callee = true;
        } else if line.starts_with(|c: char| c.is_ascii_digit()) && !std::mem::take(&mut of_callee) {
            // A line without a cost has none.
            let cost = line.split(' ').nth(1).map_or(Ok(0), str::parse::<i64>);
            let (Some(name), Ok(cost)) = (function, cost) else { return Err(format!("cannot read '{line}'")) };
            *functions.entry(name.to_owned()).or_default() += cost;
        }
    }
    if functions.values().sum::<i64>() == 0 {
        return Err("nothing was counted: was the function that is counted in renamed?".to_owned());
    }
    Ok(functions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(times: i64) -> String {
        format!(
            "# callgrind format\nevents: Ir\n\nob=/bin/steps\nfl=a.rs\nfn=steps::counted\n16 {}\nfi=b.rs\n20 {}\n\
             cfn=memcpy\ncalls={times} 0\n21 {}\n\nfn=memcpy\n5 {}\n6\n\ntotals: 1\n",
            100 + times,
            times,
            7 * times,
            7 * times + 3,
        )
    }

    #[test]
    fn two_runs_tell_the_cost_of_a_step() {
        let folder = tempfile::tempdir().unwrap();
        for times in [10, 30] {
            fs::write(folder.path().join(format!("frame.{times}.out")), run(times)).unwrap();
        }
        let steps = per_step(folder.path()).unwrap();
        assert_eq!(steps["frame"].total(), 9.0);
        assert_eq!(steps["frame"].functions(), [("memcpy", 7.0), ("steps::counted", 2.0)]);
    }

    #[test]
    fn what_cannot_be_told_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("frame.10.out"), run(10)).unwrap();
        assert!(per_step(folder.path()).unwrap_err().contains("'frame'"));
        fs::write(folder.path().join("frame.20.out"), "events: Ir\n").unwrap();
        assert!(per_step(folder.path()).unwrap_err().contains("nothing was counted"));
        assert!(per_step(&folder.path().join("none")).unwrap_err().contains("./dev count"));
    }
}
