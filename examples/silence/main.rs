//! Whether a silence that adapts to the caller ends turns better than a fixed one.
//!
//! `cargo run --release --example silence [FOLDER]`, where FOLDER holds labelled speech with an `index.json`; without one,
//! `$OFFHOOK_SPEECH` or `../shared/audio`. The project's own fixtures are always taken.
//!
//! For every fixed silence it prints what the detector does, and what is left of its cut-offs when the silence follows
//! the caller instead. A candidate's settings are chosen on the other callers: the fewest cut-offs at no more delay, median
//! and mean, than the fixed silence. A candidate that is worth having has fewer cut-offs in every row.

#![allow(clippy::print_stderr, clippy::print_stdout)] // at a terminal, by hand

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use offhook::base::audio::clip::{Clip, Span};
use offhook::base::audio::wav;
use offhook::base::time::Samples;
use offhook::config::TurnSettings;
use offhook::ears::turn::score::{Spoken, Summary, TrueTurn, Truth, percentile, score};
use offhook::ears::turn::{TurnDetector, TurnEvent};
use offhook::ears::vad::{Step, Vad};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const RATE_HZ: u32 = 8_000;

/// Longer than any silence that is looked at.
const FOR_EVER_MS: u64 = 2_400;

/// How a turn ended is known this long after its last sound.
const HINDSIGHT_MS: u64 = 192;

struct Labelled {
    caller: String,
    truth: Truth,
    steps: Vec<Step>,
}

/// The caller is silent: for so long, or until somebody answers.
struct Pause {
    clip: usize,
    /// What a silence has to outlast; `None` at a turn's end.
    length_ms: Option<u64>,
    /// From the last sound until the detector was sure of the pause.
    noticed_ms: u64,
    /// How long the turn had lasted.
    turn_s: f64,
    /// Per mille, [`HINDSIGHT_MS`] after the last sound.
    later: u16,
}

/// What a silence leads to, per pause: cut off or not, or the delay.
struct Outcome {
    cut: Vec<bool>,
    delay_ms: Vec<Option<i64>>,
}

fn main() -> Result<()> {
    let clips = clips()?;
    let pauses: Vec<Pause> = clips.iter().enumerate().flat_map(|(n, clip)| pauses(n, clip)).collect();
    let ends = pauses.iter().filter(|p| p.length_ms.is_none()).count();
    println!("{} clips, {} pauses within turns, {ends} ends\n", clips.len(), pauses.len() - ends);
    let families = families(&pauses);
    print!("silence | detector: cut-offs, missed, delay p50, p90 | pauses cut, delay p50, mean");
    families.iter().for_each(|(name, _)| print!(" | {name}"));
    println!();
    let mut beaten = vec![0; families.len()];
    let rows: Vec<u64> = (50..=1_000).step_by(50).chain([1_200, 1_400, 1_600, 1_800, 2_000]).collect();
    for &ms in &rows {
        let found: Summary =
            clips.iter().map(|c| score(&c.truth, &events(c, ms), RATE_HZ)).collect::<Vec<_>>().iter().sum();
        let [p50, p90] = [50.0, 90.0].map(|p| percentile(&found.end_delays_ms, p).unwrap_or(0));
        let fixed = outcome(&pauses, |_, _| ms);
        let all = |_: usize| true;
        let (cut, median, mean) = sums(&pauses, &fixed, all);
        print!("{ms:5} | {:3} {:3} {p50:5} {p90:5} | {cut:3} {median:5} {mean:5.0}", found.cut_offs, found.missed);
        for (n, (_, candidates)) in families.iter().enumerate() {
            let chosen = held_out(&clips, &pauses, &fixed, candidates);
            let (c, m, a) = sums(&pauses, &chosen, all);
            let better = c < cut && m <= median && a <= mean + 0.5;
            beaten[n] += usize::from(better);
            print!(" | {c:3} {m:5} {a:5.0}{}", if better { " *" } else { "  " });
        }
        println!();
    }
    println!();
    for ((name, _), beaten) in families.iter().zip(beaten) {
        println!("{name}: better than {beaten} of {} fixed silences", rows.len());
    }
    Ok(())
}

/// What may be better, each with its settings to choose from.
fn families(pauses: &[Pause]) -> Vec<(&'static str, Vec<Outcome>)> {
    let (mut learned, mut long, mut sure) = (Vec::new(), Vec::new(), Vec::new());
    for low in (100..=800).step_by(100) {
        for high in (low + 100..=1_500).step_by(200) {
            for quantile in [0.7, 0.8, 0.9, 1.0] {
                for margin in [0, 75, 150] {
                    learned.push(outcome(pauses, |_, known| (at_quantile(known, quantile) + margin).clamp(low, high)));
                }
            }
            for turn_s in [0.5, 1.0, 2.0, 4.0] {
                let short = move |p: &Pause| ((high - low) as f64 * (-p.turn_s / turn_s).exp()) as u64;
                long.push(outcome(pauses, |p, _| low + short(p)));
                long.push(outcome(pauses, |p, _| high - short(p)));
            }
            for below in [20, 50, 100, 200] {
                // Nothing can be known of the end before it is past.
                let least = low.max(HINDSIGHT_MS);
                sure.push(outcome(pauses, |p, _| if p.later < below { least } else { high.max(least) }));
            }
        }
    }
    vec![("caller's own pauses", learned), ("length of the turn", long), ("how it ended", sure)]
}

/// Of the caller's pauses so far, with four to begin with.
fn at_quantile(known: &[u64], quantile: f64) -> u64 {
    let mut all = [known, &[150, 250, 350, 450]].concat();
    all.sort_unstable();
    all[(quantile * (all.len() - 1) as f64).round() as usize]
}

fn outcome(pauses: &[Pause], silence_ms: impl Fn(&Pause, &[u64]) -> u64) -> Outcome {
    let mut outcome = Outcome { cut: Vec::new(), delay_ms: Vec::new() };
    let (mut clip, mut known) = (usize::MAX, Vec::new());
    for pause in pauses {
        if pause.clip != clip {
            clip = pause.clip;
            known.clear();
        }
        let waited = silence_ms(pause, &known).max(pause.noticed_ms);
        outcome.cut.push(pause.length_ms.is_some_and(|length| length > waited));
        outcome.delay_ms.push(pause.length_ms.is_none().then_some(waited as i64));
        // A caller who was cut off goes on: that pause is known as well.
        known.extend(pause.length_ms.map(|length| length.min(1_500)));
    }
    outcome
}

/// For each caller what was best for all others.
fn held_out(clips: &[Labelled], pauses: &[Pause], fixed: &Outcome, candidates: &[Outcome]) -> Outcome {
    let mut chosen = Outcome { cut: fixed.cut.clone(), delay_ms: fixed.delay_ms.clone() };
    let mut callers: Vec<&str> = clips.iter().map(|clip| clip.caller.as_str()).collect();
    callers.sort_unstable();
    callers.dedup();
    for caller in callers {
        let is_caller = |n: usize| clips[pauses[n].clip].caller == caller;
        let (_, median, mean) = sums(pauses, fixed, |n| !is_caller(n));
        let allowed = candidates.iter().filter_map(|candidate| {
            let (cut, m, a) = sums(pauses, candidate, |n| !is_caller(n));
            (m <= median && a <= mean + 0.5).then_some((cut, a, candidate))
        });
        let Some((.., best)) =
            allowed.min_by(|a, b| (a.0, a.1).partial_cmp(&(b.0, b.1)).unwrap_or(std::cmp::Ordering::Equal))
        else {
            continue;
        };
        for n in (0..pauses.len()).filter(|&n| is_caller(n)) {
            chosen.cut[n] = best.cut[n];
            chosen.delay_ms[n] = best.delay_ms[n];
        }
    }
    chosen
}

/// Cut-offs, and the median and mean delay.
fn sums(pauses: &[Pause], outcome: &Outcome, which: impl Fn(usize) -> bool) -> (usize, i64, f64) {
    let which: Vec<usize> = (0..pauses.len()).filter(|&n| which(n)).collect();
    let delays: Vec<i64> = which.iter().filter_map(|&n| outcome.delay_ms[n]).collect();
    let mean = delays.iter().sum::<i64>() as f64 / delays.len().max(1) as f64;
    (which.iter().filter(|&&n| outcome.cut[n]).count(), percentile(&delays, 50.0).unwrap_or(0), mean)
}

fn events(clip: &Labelled, silence_ms: u64) -> Vec<(Samples, TurnEvent)> {
    let settings = TurnSettings { silence_duration_ms: silence_ms as u32, ..TurnSettings::default() };
    let mut detector = TurnDetector::new(&settings, RATE_HZ);
    clip.steps.iter().filter_map(|step| Some((step.end, detector.step(*step, false)?))).collect()
}

/// Every pause that the detector finds in a clip, with what is true of it.
fn pauses(clip: usize, labelled: &Labelled) -> Vec<Pause> {
    let mut found = Vec::new();
    let (mut since, mut paused) = (0, None);
    for (decided, event) in events(labelled, FOR_EVER_MS) {
        let decided = decided.as_ms(RATE_HZ);
        let (stopped, resumed) = match event {
            TurnEvent::Started { at } => {
                since = at.as_ms(RATE_HZ);
                continue;
            }
            TurnEvent::Paused { at } => {
                paused = Some((at.as_ms(RATE_HZ), decided));
                continue;
            }
            TurnEvent::Resumed { .. } => (paused.take(), Some(decided)),
            TurnEvent::Ended { .. } => (paused.take(), None),
        };
        let Some((stopped, noticed)) = stopped else { continue };
        let Some(turn) = labelled.truth.turns.iter().rfind(|turn| turn.span.start_ms <= stopped + 100) else {
            continue;
        };
        let over = stopped + 150 >= turn.audible_end_ms;
        let later = labelled.steps.iter().find(|step| step.end.as_ms(RATE_HZ) >= stopped + HINDSIGHT_MS);
        found.push(Pause {
            clip,
            length_ms: (!over).then(|| resumed.map_or(FOR_EVER_MS, |resumed| resumed - stopped)),
            noticed_ms: noticed - stopped,
            turn_s: stopped.saturating_sub(since.max(turn.span.start_ms)) as f64 / 1_000.0,
            later: later.map_or(0, |step| step.probability.per_mille()),
        });
    }
    found
}

fn clips() -> Result<Vec<Labelled>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut clips = Vec::new();
    let mut names: Vec<PathBuf> =
        fs::read_dir(root.join("fixtures/audio"))?.flatten().map(|entry| entry.path()).collect();
    names.sort();
    for path in names.iter().filter(|path| path.extension().is_some_and(|e| e == "wav")) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let clip = Clip::parse(&name, &fs::read_to_string(path.with_extension("toml"))?, &fs::read(path)?)?;
        let mut truth = Truth {
            speech: clip.labels.speech.iter().map(|&span| Spoken { span, audible: span }).collect(),
            ..Truth::default()
        };
        truth.turns = turns(&truth.speech, &clip.labels.turn_ends_ms);
        clips.push(labelled(clip.labels.voice.clone(), truth, clip.wav.samples));
    }
    let folder = env::args().nth(1).or_else(|| env::var("OFFHOOK_SPEECH").ok()).map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| root.join("../shared/audio"));
    if !folder.join("index.json").is_file() {
        println!("no index.json in {}: fixtures only", folder.display());
        return Ok(clips);
    }
    let index: Vec<serde_json::Value> = serde_json::from_slice(&fs::read(folder.join("index.json"))?)?;
    for entry in index {
        let text = |key: &str| entry[key].as_str().unwrap_or_default();
        if !matches!(text("kind"), "recording-8k-g711" | "synthetic-call") || entry["tolerance_ms"].as_u64() > Some(100)
        {
            continue;
        }
        let ms = |value: &serde_json::Value, key: &str| value[key].as_u64();
        let speech: Vec<Spoken> = entry["segments"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|s| {
                let span = Span { start_ms: ms(s, "start_ms")?, end_ms: ms(s, "end_ms")? };
                let start_ms = ms(s, "audible_start_ms").unwrap_or(span.start_ms);
                let end_ms = ms(s, "audible_end_ms").unwrap_or(span.end_ms);
                Some(Spoken { span, audible: Span { start_ms, end_ms } })
            })
            .collect();
        // A recording is somebody who reads or counts: one turn, however long the pauses.
        let mut ends: Vec<u64> = speech.last().map(|s| s.span.end_ms).into_iter().collect();
        if !text("turns_file").is_empty() {
            let file: serde_json::Value = serde_json::from_slice(&fs::read(folder.join(text("turns_file")))?)?;
            ends = file["turns"].as_array().into_iter().flatten().filter_map(|turn| ms(turn, "end_ms")).collect();
        }
        let truth = Truth { turns: turns(&speech, &ends), speech, ..Truth::default() };
        let caller = if text("speakers").is_empty() { text("id") } else { text("speakers") };
        let wav = wav::read(&fs::read(folder.join(text("file")))?)?;
        clips.push(labelled(caller.to_owned(), truth, wav.samples));
    }
    Ok(clips)
}

/// From the ends of turns: each from the first speech after the one before.
fn turns(speech: &[Spoken], ends_ms: &[u64]) -> Vec<TrueTurn> {
    let mut after = 0;
    let mut turns = Vec::new();
    for &end_ms in ends_ms {
        let mut parts = speech.iter().filter(|s| s.span.start_ms >= after && s.span.end_ms <= end_ms);
        if let Some(first) = parts.next() {
            let last = parts.next_back().unwrap_or(first);
            let span = Span { start_ms: first.span.start_ms, end_ms };
            turns.push(TrueTurn { span, audible_end_ms: last.audible.end_ms });
        }
        after = end_ms;
    }
    turns
}

/// With the caller silent after the clip until any turn is over.
fn labelled(caller: String, truth: Truth, mut samples: Vec<i16>) -> Labelled {
    // The last bit of a line's noise: digital silence would tell that the line is dead.
    samples.extend((0..Samples::from_ms(FOR_EVER_MS + 600, RATE_HZ).0).map(|n| if n % 3 == 0 { 8 } else { -8 }));
    let mut steps = Vec::new();
    Vad::new(TurnSettings::default().engine, RATE_HZ).process(&samples, |step| steps.push(step));
    Labelled { caller, truth, steps }
}
