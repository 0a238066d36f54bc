//! Scenarios of whole calls, as data: each `NAME.scene` has the trace it must lead to beside it, in `NAME.trace`.
//!
//! `UPDATE_TRACES=1 cargo test --test scenarios` writes the traces anew; review them as text.

#![allow(clippy::unwrap_used)] // a panic is the failure report, in helpers too

mod audio;
mod clocks;
mod commits;
mod echo;
mod properties;

use std::fs;
use std::path::Path;

use offhook::lab::sim::scenario::Scenario;

#[test]
fn every_scenario_leads_to_its_trace() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let update = std::env::var_os("UPDATE_TRACES").is_some();
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "scene"))
        .collect();
    names.sort();
    assert!(names.len() > 10, "the scenarios are missing");
    let mut wrong = Vec::new();
    for scene in names {
        let name = scene.file_stem().unwrap().to_string_lossy().into_owned();
        let scenario = Scenario::parse(&fs::read_to_string(&scene).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (trace, _) = scenario.run();
        let expected = scene.with_extension("trace");
        if update {
            fs::write(&expected, &trace).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != trace {
            wrong.push(format!("{name}: the trace differs; it is now:\n{trace}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
