//! How well each engine hears: accuracy, delays and cost on labelled audio.
//!
//! `cargo run --release --example hearing` reads `fixtures/audio` and, where it is, `../shared/audio` (or the folders in
//! `OFFHOOK_SPEECH`, separated by `:`). `--json` prints the figures as JSON.
//!
//! A 10 ms frame has the probability of the step that its middle lies in, and is speech when the truth says so there.
//! Uncertain stretches, clips with coarse labels and noise beds made of speech (babble) are left out.
//!
//! Other judges are read from `target/judges.csv`, which `examples/hearing/judges.py` writes; it says how.

mod engines;
mod latency;
mod score;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use engines::{Heard, Judge};
use offhook::tune::corpus::{Condition, Corpus, LabelledClip};
use serde_json::json;

/// The rate of a phone line.
const RATE_HZ: u32 = 8_000;

fn main() -> ExitCode {
    let as_json = std::env::args().any(|a| a == "--json");
    let (clips, fine) = clips();
    let others = engines::others(&Path::new(env!("CARGO_MANIFEST_DIR")).join("target/judges.csv"), &clips);
    if others.is_empty() {
        eprintln!("no other judges: python3 examples/hearing/judges.py writes them to target/judges.csv\n");
    }
    let mut judges: Vec<Judge> = engines::ours(&clips);
    judges.extend(others);
    let rows = rows(&clips);
    if as_json {
        println!("{}", json(&clips, &judges, &rows));
    } else {
        table::print(&clips, &judges, &rows);
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
