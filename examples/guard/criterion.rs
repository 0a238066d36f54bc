//! The times that Criterion has left behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Folders within one another that are looked through; a benchmark's name has at most three parts.
const DEPTH: usize = 6;

/// Each benchmark's time in nanoseconds: that of the least sample of all passes. What else runs on a machine makes a sample
/// slower and never faster; with two other builds running on two cores the medians of five passes were 8 to 90 % apart, and
/// the least samples under 5 % in all benchmarks but one.
pub(crate) fn best(passes: &[PathBuf]) -> Result<BTreeMap<String, f64>, String> {
    let mut best = BTreeMap::new();
    for pass in passes {
        let mut found = Vec::new();
        search(pass, DEPTH, &mut found)?;
        if found.is_empty() {
            return Err(format!("{} has no times of benchmarks; ./dev guard makes them", pass.display()));
        }
        for (name, ns) in found {
            let least = best.entry(name).or_insert(ns);
            *least = ns.min(*least);
        }
    }
    Ok(best)
}

/// Criterion keeps the latest run of each benchmark in a folder `new` of its own.
fn search(folder: &Path, depth: usize, found: &mut Vec<(String, f64)>) -> Result<(), String> {
    let error = |error| format!("cannot read {}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(error)? {
        let path = entry.map_err(error)?.path();
        if path.file_name().is_some_and(|name| name == "new") {
            let name = read(&path.join("benchmark.json"), &["full_id"])?;
            let sample = path.join("sample.json");
            let numbers = |key| Ok::<_, String>(read(&sample, &[key])?.as_array().cloned().unwrap_or_default());
            let (times, iterations) = (numbers("times")?, numbers("iters")?);
            let per_iteration = times.iter().zip(&iterations).filter_map(|(t, n)| Some(t.as_f64()? / n.as_f64()?));
            if let (Some(name), Some(ns)) = (name.as_str(), per_iteration.min_by(f64::total_cmp)) {
                found.push((name.to_owned(), ns));
            }
        } else if path.is_dir() && depth > 0 {
            search(&path, depth - 1, found)?;
        }
    }
    Ok(())
}

fn read(path: &Path, keys: &[&str]) -> Result<Value, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let found = keys.iter().try_fold(&value, |value, key| value.get(key));
    found.cloned().ok_or_else(|| format!("{} has no {}: is it of another Criterion?", path.display(), keys.join(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_passes_the_best_counts() {
        let folder = tempfile::tempdir().unwrap();
        let pass = |n: u32, ns: f64| {
            let pass = folder.path().join(n.to_string());
            let new = pass.join("twilio/parse_media_20ms/new");
            fs::create_dir_all(&new).unwrap();
            fs::create_dir_all(pass.join("report")).unwrap();
            fs::write(new.join("benchmark.json"), r#"{"full_id":"twilio/parse media","group_id":"twilio"}"#).unwrap();
            let samples =
                format!(r#"{{"sampling_mode":"Linear","iters":[2.0,4.0],"times":[{},{}]}}"#, ns * 3.0, ns * 4.0);
            fs::write(new.join("sample.json"), samples).unwrap();
            pass
        };
        let passes = [pass(1, 300.5), pass(2, 299.5), pass(3, 350.0)];
        assert_eq!(best(&passes).unwrap(), BTreeMap::from([("twilio/parse media".to_owned(), 299.5)]));
        let error = best(&[folder.path().join("1/report")]).unwrap_err();
        assert!(error.contains("./dev guard"), "{error}");
    }
}
