//! How well a call is heard: accuracy, delays and cost on labelled audio.
//!
//! `cargo run --release --example hearing` reads `fixtures/audio` and, where it is, `../shared/audio` (or the folders in
//! `OFFHOOK_SPEECH`, separated by `:`). `--json` prints the figures as JSON. Parts can be named; all of them by default:
//!
//! | part | what |
//! |---|---|
//! | `engines` | each engine, frame by frame, beside other judges |
//! | `noise` | the same of a call's whole ears, by noise reduction |
//! | `calls` | whole calls: barge-in, turn ends, false interruptions; `--near-field`: under that noise reduction; `--no-guard`: without the echo guard; `--no-greeting`: the agent has not spoken before |
//! | `television` | whole calls with other speech behind the caller; `--margin N`: with that `level_margin_db` |
//! | `echo` | whole calls with the agent's echo |
//! | `cost` | what the parts of hearing cost |
//!
//! `--alone PART SECONDS` runs one row of the cost and nothing else, to count its instructions.
//!
//! A 10 ms frame has the probability of the step that its middle lies in, and is speech when the truth says so there.
//! Uncertain stretches, clips with coarse labels and noise beds made of speech (babble) are left out.
//!
//! Other judges are read from `target/judges.csv`, which `examples/hearing/judges.py` writes; it says how.

#![allow(clippy::print_stderr, clippy::print_stdout)] // at a terminal, by hand

mod calls;
mod cost;
mod echoes;
mod engines;
mod latency;
mod live;
mod score;
mod table;
mod television;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use calls::Trial;
use engines::{Heard, Judge};
use offhook::config::NoiseReduction;
use offhook::lab::tune::corpus::{Condition, Corpus, LabelledClip};
use serde_json::json;

/// The rate of a phone line.
const RATE_HZ: u32 = 8_000;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let as_json = words.iter().any(|w| w == "--json");
    let (clips, fine) = clips();
    if let Some(at) = words.iter().position(|w| w == "--alone") {
        let number = |n: usize| words.get(at + n).and_then(|w| w.parse().ok()).unwrap_or(0);
        let ran = cost::alone(&clips, number(1), number(2));
        println!("{}", ran.unwrap_or("no such part"));
        return if ran.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let margin_at = words.iter().position(|w| w == "--margin").map(|at| at + 1);
    let level_margin_db = margin_at.and_then(|at| words.get(at)).and_then(|w| w.parse().ok());
    let named = words.iter().enumerate().filter(|(at, word)| !word.starts_with("--") && Some(*at) != margin_at);
    let parts: Vec<&str> = named.map(|(_, word)| word.as_str()).collect();
    let wants = |part: &str| parts.is_empty() || parts.contains(&part);
    let given = |flag: &str| words.iter().any(|w| w == flag);
    let noise_reduction = if given("--near-field") { NoiseReduction::NearField } else { NoiseReduction::None };
    let (echo_guard, greeting) = (!given("--no-guard"), !given("--no-greeting"));
    let trial = Trial { noise_reduction, echo_guard, greeting, level_margin_db, as_json };
    let mut out = serde_json::Map::new();
    let rows = rows(&clips);
    let mut judged = |part: &str, title: &str, judges: Vec<Judge>| {
        if as_json {
            out.insert(part.to_owned(), json(&clips, &judges, &rows));
        } else {
            println!("{title}\n");
            table::print(&clips, &judges, &rows);
            println!();
        }
    };
    if wants("engines") {
        let others = engines::others(&Path::new(env!("CARGO_MANIFEST_DIR")).join("target/judges.csv"), &clips);
        if others.is_empty() {
            eprintln!("no other judges: python3 examples/hearing/judges.py writes them to target/judges.csv\n");
        }
        judged("engines", "ENGINES", engines::ours(&clips).into_iter().chain(others).collect());
    }
    if wants("noise") {
        judged("noise", "A CALL'S EARS, BY NOISE REDUCTION", cost::ears(&clips));
    }
    if wants("calls") {
        live::say(as_json, "WHOLE CALLS");
        out.insert("barge_in".to_owned(), live::barge_in(&clips, trial));
        out.insert("turn_ends".to_owned(), live::turn_ends(&clips, trial));
        out.insert("false_interruptions".to_owned(), live::false_interruptions(&clips, trial));
    }
    if wants("echo") {
        out.insert("echo".to_owned(), echoes::echo(&clips, trial));
    }
    if wants("television") {
        out.insert("television".to_owned(), television::television(&clips, trial));
    }
    if wants("cost") {
        out.insert("cost".to_owned(), cost::cost(&clips, as_json));
    }
    if as_json {
        println!("{}", serde_json::Value::Object(out));
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All clips, and whether none had to be left out.
fn clips() -> (Vec<LabelledClip>, bool) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders: Vec<PathBuf> = match std::env::var_os("OFFHOOK_SPEECH") {
        Some(folders) => std::env::split_paths(&folders).collect(),
        None => vec![here.join("../shared/audio")],
    };
    let mut corpus = Corpus::default();
    for folder in folders {
        if folder.is_dir() {
            corpus.append(Corpus::read(&folder, RATE_HZ));
        } else {
            eprintln!("no {}: its rows are left out", folder.display());
        }
    }
    corpus.append(Corpus::read(&here.join("fixtures/audio"), RATE_HZ));
    for problem in &corpus.problems {
        eprintln!("{problem}");
    }
    let fine = !corpus.refused();
    (corpus.clips, fine)
}

/// Which clips a row is about.
struct Row {
    name: String,
    of: Box<dyn Fn(&LabelledClip) -> bool>,
}

/// The rows of the accuracy table for which there are clips.
fn rows(clips: &[LabelledClip]) -> Vec<Row> {
    let row = |name: &str, of: Box<dyn Fn(&LabelledClip) -> bool>| Row { name: name.to_owned(), of };
    let scored = |c: &LabelledClip| !c.coarse() && c.condition != Condition::Noise;
    let mut rows = vec![row(
        "all but fixtures",
        Box::new(move |c| !c.coarse() && !babble_bed(c) && c.condition != Condition::Other),
    )];
    let mut conditions: Vec<Condition> = clips.iter().filter(|c| scored(c)).map(|c| c.condition).collect();
    conditions.sort_by_key(|c| match c {
        Condition::Mix { snr_db } => (1, -snr_db),
        Condition::Recording => (0, 0),
        Condition::Call => (2, 0),
        _ => (3, 0),
    });
    conditions.dedup();
    for condition in conditions {
        let name = if condition == Condition::Other { "fixtures".to_owned() } else { condition.to_string() };
        rows.push(row(&name, Box::new(move |c| scored(c) && c.condition == condition)));
    }
    rows.retain(|r| clips.iter().any(|c| (r.of)(c)));
    rows
}

/// Noise that is made of voices: whether there is speech in it is a matter of taste.
fn babble_bed(clip: &LabelledClip) -> bool {
    clip.condition == Condition::Noise && clip.name.contains("babble")
}

fn json(clips: &[LabelledClip], judges: &[Judge], rows: &[Row]) -> serde_json::Value {
    let judged = judges.iter().map(|judge| {
        let accuracy: BTreeMap<&str, _> = rows
            .iter()
            .map(|row| {
                let score = score::Frames::of(clips, judge, &row.of);
                (row.name.as_str(), json!({ "f1": score.f1(), "auc": score.auc() }))
            })
            .collect();
        let delays = latency::Delays::of(clips, judge, |_| true);
        let body = json!({
            "accuracy": accuracy,
            "noise_false_alarms": score::false_alarms(clips, judge),
            "speech_in_long_gaps": score::in_long_gaps(clips, judge),
            "onset_ms": { "median": delays.onset(50), "p90": delays.onset(90), "p99": delays.onset(99) },
            "onsets": delays.onsets.len(), "onsets_missed": delays.missed,
            "offset_ms": { "median": delays.offset(50), "p90": delays.offset(90) },
            "starts_on_distractors": delays.on_distractors, "starts_elsewhere": delays.elsewhere,
            "cpu_ms_per_s": judge.cpu_ms_per_s,
        });
        (judge.name.clone(), body)
    });
    serde_json::Value::Object(judged.collect())
}

/// The steps of a judge on a clip, by the clip's name.
type Steps = BTreeMap<String, Vec<Heard>>;
