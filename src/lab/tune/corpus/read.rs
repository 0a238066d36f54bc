//! From files to clips.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::labels::{Labels, SpeechLabel, parse_labels};
use super::{Condition, Corpus, LabelledClip, Problem, Severity, Speech, Turn};
use crate::base::audio::clip::{Distractor, Span};
use crate::base::audio::level::{dbfs, peak, rms};
use crate::base::audio::resample;
use crate::base::audio::wav::{self, Shape};

/// The file that describes a folder's clips.
const INDEX: &str = "index.json";

/// Labels and indexes larger than this are refused.
const MAX_LABEL_BYTES: u64 = 16 << 20;

/// A clip whose samples reach full scale this often, per thousand, was recorded too loud.
const CLIPPED_PER_MILLE: usize = 2;

/// A mean beyond this part of full scale is an offset, not sound.
const OFFSET: f64 = 0.01;

/// Labels may pass the audio's end by this much: files are cut to whole frames.
const END_SLACK_MS: u64 = 10;

pub(super) fn read(folder: &Path, rate_hz: u32) -> Corpus {
    if folder.join(INDEX).is_file() { read_indexed(folder, rate_hz) } else { read_plain(folder, rate_hz) }
}

/// A clip from the bytes of a WAV file and its labels, brought to `rate_hz`; with what should be known of it.
///
/// `path` is only asked for its name.
pub fn clip_from_bytes(
    path: &Path,
    bytes: &[u8],
    labels: &Labels,
    rate_hz: u32,
) -> Result<(LabelledClip, Vec<String>), Refusal> {
    let audio = |what: String| Refusal { of_audio: true, what };
    let wav = wav::read(bytes).map_err(|e| audio(e.to_string()))?;
    let shape = wav::shape(bytes).map_err(|e| audio(e.to_string()))?;
    if shape.channels != 1 {
        let channels = shape.channels;
        return Err(audio(format!("the WAV file has {channels} channels; keep the caller's alone, as a mono file")));
    }
    let warnings = warnings(&wav.samples, shape);
    let duration_ms = (wav.samples.len() as u64 * 1_000).div_ceil(u64::from(wav.rate_hz));
    let label = |what| Refusal { of_audio: false, what };
    let speech = speech(&labels.speech, duration_ms).map_err(label)?;
    let turns = turns(&labels.turn_ends_ms, &speech).map_err(label)?;
    let marks = labels.uncertain.iter().copied();
    for span in marks.chain(labels.distractors.iter().map(|d| Span { start_ms: d.start_ms, end_ms: d.end_ms })) {
        within(span, duration_ms).map_err(label)?;
    }
    let clip = LabelledClip {
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        path: path.to_owned(),
        condition: labels.snr_db.map_or(Condition::Other, |snr_db| Condition::Mix { snr_db }),
        rate_hz,
        file_rate_hz: wav.rate_hz,
        samples: if wav.rate_hz == rate_hz {
            wav.samples
        } else {
            resample::convert(&wav.samples, wav.rate_hz, rate_hz)
        },
        speech,
        turns,
        uncertain: labels.uncertain.clone(),
        distractors: labels.distractors.clone(),
        tolerance_ms: labels.tolerance_ms.unwrap_or(0),
    };
    Ok((clip, warnings))
}

/// Why a clip is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The audio is wrong, not its labels.
    pub of_audio: bool,
    /// What is wrong.
    pub what: String,
}

fn read_plain(folder: &Path, rate_hz: u32) -> Corpus {
    let mut corpus = Corpus::default();
    let mut files: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(entries) => entries.filter_map(|e| e.ok().map(|e| e.path())).collect(),
        Err(error) => {
            corpus.refuse(folder, format!("cannot be read: {error}"));
            return corpus;
        }
    };
    files.retain(|p| p.extension().is_some_and(|e| e.eq_ignore_ascii_case("wav")));
    files.sort();
    if files.is_empty() {
        corpus.refuse(folder, "holds neither WAV files nor an index.json".to_owned());
    }
    for path in files {
        let Some(beside) = ["toml", "json"].iter().map(|e| path.with_extension(e)).find(|p| p.is_file()) else {
            corpus.refuse(&path, "has no labels: write them beside it, as .toml or .json".to_owned());
            continue;
        };
        let extension = beside.extension().unwrap_or_default().to_string_lossy().into_owned();
        match text(&beside).and_then(|t| parse_labels(&extension, &t)) {
            Ok(labels) => {
                if let Some(clip) = corpus.clip(&path, &beside, &labels, rate_hz) {
                    corpus.clips.push(clip);
                }
            }
            Err(what) => corpus.refuse(&beside, what),
        }
    }
    corpus
}

fn read_indexed(folder: &Path, rate_hz: u32) -> Corpus {
    let mut corpus = Corpus::default();
    let path = folder.join(INDEX);
    let entries: Vec<serde_json::Value> =
        match text(&path).and_then(|t| serde_json::from_str(&t).map_err(|e| e.to_string())) {
            Ok(entries) => entries,
            Err(what) => {
                corpus.refuse(&path, what);
                return corpus;
            }
        };
    let mut parsed = Vec::new();
    for (n, entry) in entries.into_iter().enumerate() {
        match serde_json::from_value::<Entry>(entry) {
            Ok(entry) => parsed.push(entry),
            Err(error) => corpus.refuse(&path, format!("entry {}: {error}", n + 1)),
        }
    }
    let phone = parsed.iter().filter(|e| e.kind == PHONE);
    let originals: HashSet<String> =
        phone.filter_map(|e| e.derived_from.as_ref()?.as_str().map(str::to_owned)).collect();
    for entry in parsed.iter().filter(|e| !originals.contains(&e.file)) {
        match entry.labels(folder) {
            Ok((labels, labels_path)) => {
                let audio = folder.join(&entry.file);
                if let Some(mut clip) = corpus.clip(&audio, &labels_path, &labels, rate_hz) {
                    clip.name = entry.id.clone();
                    clip.condition = entry.condition();
                    corpus.clips.push(clip);
                }
            }
            Err((path, what)) => corpus.refuse(&path, what),
        }
    }
    corpus
}

impl Corpus {
    fn refuse(&mut self, path: &Path, what: String) {
        self.problems.push(Problem { path: path.to_owned(), what, severity: Severity::Refused });
    }

    fn clip(&mut self, audio: &Path, beside: &Path, labels: &Labels, rate_hz: u32) -> Option<LabelledClip> {
        let bytes = match bytes(audio, wav::MAX_BYTES as u64) {
            Ok(bytes) => bytes,
            Err(what) => {
                self.refuse(audio, what);
                return None;
            }
        };
        match clip_from_bytes(audio, &bytes, labels, rate_hz) {
            Ok((clip, warnings)) => {
                let warned = |what| Problem { path: audio.to_owned(), what, severity: Severity::Warned };
                self.problems.extend(warnings.into_iter().map(warned));
                Some(clip)
            }
            Err(refusal) => {
                self.refuse(if refusal.of_audio { audio } else { beside }, refusal.what);
                None
            }
        }
    }
}

/// The kind of an entry whose audio is a recording as the phone brings it.
const PHONE: &str = "recording-8k-g711";

/// One clip of an `index.json`, as far as it is used.
#[derive(Debug, Deserialize)]
struct Entry {
    file: String,
    id: String,
    kind: String,
    #[serde(default)]
    segments: Vec<SpeechLabel>,
    #[serde(default)]
    uncertain: Vec<Span>,
    #[serde(default)]
    nonspeech_events: Vec<Distractor>,
    #[serde(default)]
    distractors: Vec<Distractor>,
    #[serde(default)]
    tolerance_ms: u64,
    #[serde(default)]
    snr_db: Option<i32>,
    /// One file's name, or a list of several.
    #[serde(default)]
    derived_from: Option<serde_json::Value>,
    #[serde(default)]
    turns_file: Option<String>,
}

/// A call's turns, as far as they are used.
#[derive(Debug, Deserialize)]
struct TurnsFile {
    turns: Vec<TurnEntry>,
}

#[derive(Debug, Deserialize)]
struct TurnEntry {
    end_ms: u64,
}

impl Entry {
    fn condition(&self) -> Condition {
        match (self.kind.as_str(), self.snr_db) {
            (_, Some(snr_db)) => Condition::Mix { snr_db },
            ("recording" | PHONE, _) => Condition::Recording,
            ("synthetic-call", _) => Condition::Call,
            ("noise-bed", _) => Condition::Noise,
            _ => Condition::Other,
        }
    }

    /// Its labels and the file that is to blame for them.
    fn labels(&self, folder: &Path) -> Result<(Labels, PathBuf), (PathBuf, String)> {
        let mut labels = Labels {
            speech: self.segments.clone(),
            uncertain: self.uncertain.clone(),
            distractors: self.nonspeech_events.iter().chain(&self.distractors).cloned().collect(),
            tolerance_ms: Some(self.tolerance_ms),
            ..Labels::default()
        };
        let Some(file) = &self.turns_file else { return Ok((labels, folder.join(INDEX))) };
        let path = folder.join(file);
        let turns: TurnsFile = text(&path)
            .and_then(|t| serde_json::from_str(&t).map_err(|e| e.to_string()))
            .map_err(|what| (path.clone(), what))?;
        labels.turn_ends_ms = turns.turns.iter().map(|t| t.end_ms).collect();
        Ok((labels, path))
    }
}

fn speech(labels: &[SpeechLabel], duration_ms: u64) -> Result<Vec<Speech>, String> {
    let mut speech: Vec<Speech> = Vec::with_capacity(labels.len());
    for label in labels {
        let span = Span { start_ms: label.start_ms, end_ms: label.end_ms };
        within(span, duration_ms)?;
        if let Some(before) = speech.last().filter(|before| before.span.end_ms >= span.start_ms) {
            return Err(format!(
                "speech at {} ms begins before the one before it ends at {} ms; list it in order, without overlap",
                span.start_ms, before.span.end_ms
            ));
        }
        let audible = Span {
            start_ms: label.audible_start_ms.unwrap_or(span.start_ms),
            end_ms: label.audible_end_ms.unwrap_or(span.end_ms),
        };
        if audible.start_ms < span.start_ms || audible.end_ms > span.end_ms || audible.start_ms >= audible.end_ms {
            return Err(format!("the audible part of the speech at {} ms does not lie within it", span.start_ms));
        }
        speech.push(Speech { span, audible });
    }
    Ok(speech)
}

fn turns(ends_ms: &[u64], speech: &[Speech]) -> Result<Vec<Turn>, String> {
    let mut turns: Vec<Turn> = Vec::with_capacity(ends_ms.len());
    for &end_ms in ends_ms {
        let after = turns.last().map_or(0, |t| t.span.end_ms);
        let first = speech.iter().find(|s| s.span.start_ms >= after);
        let last = speech.iter().find(|s| s.span.end_ms == end_ms);
        let (Some(first), Some(last)) = (first, last.filter(|_| end_ms > after)) else {
            return Err(format!("the turn's end at {end_ms} ms is not the end of speech, or not in order"));
        };
        turns.push(Turn { span: Span { start_ms: first.span.start_ms, end_ms }, audible_end_ms: last.audible.end_ms });
    }
    Ok(turns)
}

fn within(span: Span, duration_ms: u64) -> Result<(), String> {
    let Span { start_ms, end_ms } = span;
    if start_ms >= end_ms {
        return Err(format!("the stretch {start_ms}–{end_ms} ms ends before it begins"));
    }
    if end_ms > duration_ms + END_SLACK_MS {
        return Err(format!("the stretch {start_ms}–{end_ms} ms does not lie within the clip's {duration_ms} ms"));
    }
    Ok(())
}

/// What does not forbid using a clip but explains odd results.
fn warnings(samples: &[i16], shape: Shape) -> Vec<String> {
    let mut warnings = Vec::new();
    if shape.linear && shape.bits == 8 {
        warnings.push("the samples are linear 8 bits: quiet speech drowns in their noise; save it with 16".to_owned());
    }
    if peak(samples) == 0 {
        warnings.push("the audio is digital silence".to_owned());
        return warnings;
    }
    let extreme = samples.iter().filter(|s| s.unsigned_abs() >= 32_767).count();
    if extreme * 1_000 > samples.len() * CLIPPED_PER_MILLE {
        let percent = extreme as f64 * 100.0 / samples.len() as f64;
        warnings.push(format!("{percent:.1} % of the samples are clipped; record it at a lower level"));
    }
    let mean = samples.iter().map(|&s| f64::from(s)).sum::<f64>() / samples.len() as f64;
    if mean.abs() > OFFSET * 32_768.0 {
        let level = dbfs(rms(samples));
        warnings.push(format!("the samples have an offset of {mean:.0} (level {level:.0} dBFS); remove it"));
    }
    warnings
}

fn text(path: &Path) -> Result<String, String> {
    String::from_utf8(bytes(path, MAX_LABEL_BYTES)?).map_err(|_| "is not UTF-8 text".to_owned())
}

fn bytes(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let fail = |e: io::Error| format!("cannot be read: {e}");
    let size = fs::metadata(path).map_err(fail)?.len();
    if size > most {
        return Err(format!("has {size} bytes, more than the {most} that are allowed"));
    }
    fs::read(path).map_err(fail)
}
