//! Labelled audio: clips of which it is known when someone speaks.
//!
//! A folder is read in one of two ways. With an `index.json` beside its audio, that file names the clips, their
//! conditions and truth (and, in `turns_file`, the turns of whole calls). Without one, every `NAME.wav` is a clip and
//! `NAME.toml` or `NAME.json` its labels: see [`Labels`]. What is wrong with one clip is a [`Problem`] that names the
//! file; the other clips are read all the same.

mod labels;
mod read;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

pub use labels::{Labels, SpeechLabel, parse_json, parse_labels, parse_toml};
pub use read::{Refusal, clip_from_bytes};

use crate::base::audio::clip::{Distractor, Span};

/// Clips and what was wrong with others.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    /// In the order of the index, or of the files' names.
    pub clips: Vec<LabelledClip>,
    /// What is wrong, in the order of reading. A clip with a [`Severity::Refused`] problem is not in `clips`.
    pub problems: Vec<Problem>,
}

/// Audio with what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledClip {
    /// The index's id, or the file's stem.
    pub name: String,
    /// The audio's file.
    pub path: PathBuf,
    /// What it is an example of.
    pub condition: Condition,
    /// The rate of `samples`: the one that was asked for.
    pub rate_hz: u32,
    /// The rate of the file.
    pub file_rate_hz: u32,
    /// Mono, converted without delay where the file has another rate.
    pub samples: Vec<i16>,
    /// Stretches of speech, in order, not touching.
    pub speech: Vec<Speech>,
    /// The caller's turns, in order; empty where only speech is labelled.
    pub turns: Vec<Turn>,
    /// Stretches where nobody can say whether there is speech: to be left out of a score.
    pub uncertain: Vec<Span>,
    /// Sounds that may be taken for speech and are none. There may be others.
    pub distractors: Vec<Distractor>,
    /// How exact the labels are; more than [`COARSE_MS`] means that inner pauses are not split.
    pub tolerance_ms: u64,
}

/// Labels less exact than this tell where speech is, but neither its pauses nor when it begins and ends.
pub const COARSE_MS: u64 = 100;

/// A stretch of speech.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speech {
    /// From the first energy of its first sound to the last of its last.
    pub span: Span,
    /// The part of it that stands above the background on the line; the same as `span` where it is not known. A final
    /// s may be silent on a phone.
    pub audible: Span,
}

/// What a caller says until it is the agent's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// From its first speech to the end of its last.
    pub span: Span,
    /// Where its last speech can be heard to end: delays are counted from here.
    pub audible_end_ms: u64,
}

/// What a clip is an example of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// A recording as a phone brings it.
    Recording,
    /// Speech with noise added, so many dB below it.
    Mix {
        /// Decibels of speech over noise.
        snr_db: i32,
    },
    /// A caller's track with turns and distractors.
    Call,
    /// Noise without speech.
    Noise,
    /// Any other clip, such as one of a plain folder.
    Other,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Recording => f.write_str("recordings"),
            Condition::Mix { snr_db } => write!(f, "mixes at {snr_db} dB"),
            Condition::Call => f.write_str("calls"),
            Condition::Noise => f.write_str("noise"),
            Condition::Other => f.write_str("clips"),
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The clip is left out.
    Refused,
    /// The clip is used, and this should be known of it.
    Warned,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file that is wrong.
    pub path: PathBuf,
    /// What is wrong with it, and what is allowed.
    pub what: String,
    /// Whether its clip is left out.
    pub severity: Severity,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = if self.severity == Severity::Warned { "; used all the same" } else { "" };
        write!(f, "{}: {}{used}", self.path.display(), self.what)
    }
}

impl std::error::Error for Problem {}

impl Corpus {
    /// Reads `folder`, every clip brought to `rate_hz`, the line's rate. Originals of an index, of which it also holds
    /// the phone's version, are left out.
    pub fn read(folder: &Path, rate_hz: u32) -> Corpus {
        read::read(folder, rate_hz)
    }

    /// Adds another's clips and problems to these.
    pub fn append(&mut self, mut other: Corpus) {
        self.clips.append(&mut other.clips);
        self.problems.append(&mut other.problems);
    }

    /// Whether any clip was left out: a tool's exit status says so.
    pub fn refused(&self) -> bool {
        self.problems.iter().any(|p| p.severity == Severity::Refused)
    }
}

impl LabelledClip {
    /// Its length, rounded up to whole milliseconds.
    pub fn duration_ms(&self) -> u64 {
        (self.samples.len() as u64 * 1_000).div_ceil(u64::from(self.rate_hz))
    }

    /// Whether its labels are too coarse for edges and pauses.
    pub fn coarse(&self) -> bool {
        self.tolerance_ms > COARSE_MS
    }
}
