//! A clip with labels: a recorded caller and what is known of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::audio::wav::{self, Wav, WavError};

/// A stretch of audio, in milliseconds from the clip's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Where it begins.
    pub start_ms: u64,
    /// Where it ends; the first millisecond after it.
    pub end_ms: u64,
}

/// Sound that is not speech and may be taken for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distractor {
    /// What it is, such as `cough`.
    pub kind: String,
    /// Where it begins.
    pub start_ms: u64,
    /// Where it ends.
    pub end_ms: u64,
}

/// A clip's labels, as written beside it in `NAME.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    /// What is said; empty for a mere sound.
    pub text: String,
    /// Whose voice it is, for people.
    pub voice: String,
    /// What the line adds, for people.
    pub noise: String,
    /// How it was made, for people.
    pub made_by: String,
    /// Where each turn truly ends: the end of the last speech in it, in milliseconds.
    pub turn_ends_ms: Vec<u64>,
    /// What is said in each turn, one text per entry of `turn_ends_ms`.
    pub turns: Vec<String>,
    /// Stretches of speech, in order, not touching.
    #[serde(default)]
    pub speech: Vec<Span>,
    /// Sounds that are no speech.
    #[serde(default)]
    pub distractors: Vec<Distractor>,
}

/// Audio with its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clip {
    /// The file's stem.
    pub name: String,
    /// What is known of it.
    pub labels: Labels,
    /// Its audio.
    pub wav: Wav,
}

impl Clip {
    /// From the text of `NAME.toml` and the bytes of `NAME.wav`. Labels must lie within the audio and be in order.
    pub fn parse(name: &str, labels: &str, audio: &[u8]) -> Result<Self, ClipError> {
        let error = |problem| ClipError { clip: name.to_owned(), problem };
        let labels: Labels = toml::from_str(labels).map_err(|e| error(Problem::Labels(e.to_string())))?;
        let wav = wav::read(audio).map_err(|e| error(Problem::Audio(e)))?;
        let clip = Clip { name: name.to_owned(), labels, wav };
        clip.check().map_err(|why| error(Problem::Labels(why)))?;
        Ok(clip)
    }

    /// What is said.
    pub fn text(&self) -> &str {
        &self.labels.text
    }

    /// Stretches of speech.
    pub fn speech(&self) -> &[Span] {
        &self.labels.speech
    }

    /// Where each turn truly ends.
    pub fn turn_ends_ms(&self) -> &[u64] {
        &self.labels.turn_ends_ms
    }

    /// Its length, rounded up to whole milliseconds.
    pub fn duration_ms(&self) -> u64 {
        (self.wav.samples.len() as u64 * 1_000).div_ceil(u64::from(self.wav.rate_hz))
    }

    /// The samples of a stretch, cut at the clip's end.
    pub fn samples(&self, span: Span) -> &[i16] {
        let at = |ms: u64| (ms * u64::from(self.wav.rate_hz) / 1_000).min(self.wav.samples.len() as u64) as usize;
        self.wav.samples.get(at(span.start_ms)..at(span.end_ms)).unwrap_or_default()
    }

    fn check(&self) -> Result<(), String> {
        let length = self.duration_ms();
        let others = self.labels.distractors.iter().map(|d| (d.start_ms, d.end_ms));
        for (start, end) in self.labels.speech.iter().map(|s| (s.start_ms, s.end_ms)).chain(others) {
            if start >= end || end > length {
                return Err(format!("the stretch {start}–{end} ms does not lie within the clip's {length} ms"));
            }
        }
        if let Some(pair) = self.labels.speech.windows(2).find(|p| p[0].end_ms >= p[1].start_ms) {
            return Err(format!("speech at {} ms begins before the one before it ends", pair[1].start_ms));
        }
        if self.labels.turns.len() != self.labels.turn_ends_ms.len() {
            return Err("turns and turn_ends_ms must have as many entries".to_owned());
        }
        match self.labels.turn_ends_ms.iter().find(|&&end| !self.labels.speech.iter().any(|s| s.end_ms == end)) {
            Some(end) => Err(format!("the turn's end at {end} ms is not the end of speech")),
            None => Ok(()),
        }
    }
}

/// Why a clip cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipError {
    clip: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Audio(WavError),
    Labels(String),
}

impl fmt::Display for ClipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::Audio(error) => write!(f, "{}.wav: {error}", self.clip),
            Problem::Labels(why) => write!(f, "{}.toml: {why}", self.clip),
        }
    }
}

impl std::error::Error for ClipError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::audio::level::{dbfs, rms};

    const LABELS: &str = r#"
        text = "Hello. Bye."
        voice = "v"
        noise = "none"
        made_by = "hand"
        turns = ["Hello. Bye."]
        turn_ends_ms = [90]
        speech = [{ start_ms = 10, end_ms = 40 }, { start_ms = 60, end_ms = 90 }]
    "#;

    fn parse(labels: &str) -> Result<Clip, String> {
        Clip::parse("c", labels, &wav::write(8_000, 1, &[1; 800])).map_err(|e| e.to_string())
    }

    #[test]
    fn a_clip_knows_its_speech() {
        let clip = parse(LABELS).unwrap();
        assert_eq!(clip.duration_ms(), 100);
        assert_eq!(clip.samples(clip.speech()[0]).len(), 240);
        assert_eq!(clip.turn_ends_ms(), [90]);
    }

    #[test]
    fn labels_that_cannot_be_are_refused() {
        for (from, to, expected) in [
            ("end_ms = 90", "end_ms = 101", "60–101 ms does not lie within"),
            ("start_ms = 60", "start_ms = 40", "speech at 40 ms begins before"),
            ("[90]", "[80]", "80 ms is not the end of speech"),
            ("[90]", "[40, 90]", "as many entries"),
            ("voice", "vioce", "vioce"),
        ] {
            let error = parse(&LABELS.replace(from, to)).unwrap_err();
            assert!(error.starts_with("c.toml: ") && error.contains(expected), "{error}");
        }
        assert_eq!(Clip::parse("c", LABELS, b"").unwrap_err().to_string(), "c.wav: not a WAV file: the file is empty");
    }

    fn fixtures() -> Vec<Clip> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audio");
        let mut names: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == "wav"))
            .map(|p| p.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        let read = |name: &str, ext: &str| std::fs::read(folder.join(format!("{name}.{ext}"))).unwrap();
        let clip = |n: &String| {
            Clip::parse(n, std::str::from_utf8(&read(n, "toml")).unwrap(), &read(n, "wav"))
                .unwrap_or_else(|e| panic!("{e}"))
        };
        names.iter().map(clip).collect()
    }

    #[test]
    fn committed_labels_agree_with_their_audio() {
        let clips = fixtures();
        assert!(clips.len() >= 12, "{} clips", clips.len());
        for clip in &clips {
            assert_eq!(clip.wav.rate_hz, 8_000, "{}", clip.name);
            let level = |start_ms, end_ms| dbfs(rms(clip.samples(Span { start_ms, end_ms })));
            // Every clip begins with the line alone.
            let floor = level(0, 150);
            assert!((-65.0..-40.0).contains(&floor), "{}: floor {floor}", clip.name);
            for span in clip.speech() {
                let speech = level(span.start_ms, span.end_ms);
                assert!(speech > floor + 12.0 && speech > -32.0, "{}: {span:?} at {speech}", clip.name);
            }
            for cough in &clip.labels.distractors {
                assert!(level(cough.start_ms, cough.end_ms) > -32.0, "{}: {cough:?}", clip.name);
            }
            let mut sounds: Vec<(u64, u64)> = clip.speech().iter().map(|s| (s.start_ms, s.end_ms)).collect();
            sounds.extend(clip.labels.distractors.iter().map(|d| (d.start_ms - d.start_ms % 10, d.end_ms + 20)));
            sounds.sort_unstable();
            let mut from = 0;
            for (start, end) in sounds.into_iter().chain([(clip.duration_ms(), 0)]) {
                let silence = level(from, start);
                assert!(silence < floor.max(-44.0) + 3.0, "{}: {from}–{start} ms at {silence}", clip.name);
                from = end;
            }
            assert_eq!(clip.text(), clip.labels.turns.join(" "), "{}", clip.name);
        }
        let speechless: Vec<&str> = clips.iter().filter(|c| c.speech().is_empty()).map(|c| c.name.as_str()).collect();
        assert_eq!(speechless, ["cough"]);
    }
}
