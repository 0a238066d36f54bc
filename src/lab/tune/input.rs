//! Audio files as the command line names them.

use std::fs;
use std::path::{Path, PathBuf};

use super::corpus::{Corpus, Labels, Problem, Severity, clip_from_bytes, parse_labels};
use super::run::LINE;
use crate::base::audio::wav;

/// A file's audio at the line's rate, ready to be heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// At the line's rate.
    pub samples: Vec<i16>,
    /// What should be known of it: what was converted, and what is wrong but can be used.
    pub notes: Vec<String>,
}

/// The clips of folders and of single WAV files with their labels beside them.
pub fn corpus(paths: &[PathBuf]) -> Corpus {
    let mut all = Corpus::default();
    for path in paths {
        if path.is_file() { one(&mut all, path) } else { all.append(Corpus::read(path, LINE.rate_hz)) }
    }
    all
}

fn one(corpus: &mut Corpus, path: &Path) {
    let mut note = |path: &Path, what: String, severity| {
        corpus.problems.push(Problem { path: path.to_owned(), what, severity });
    };
    let Some(beside) = ["toml", "json"].iter().map(|e| path.with_extension(e)).find(|p| p.is_file()) else {
        return note(path, "has no labels: write them beside it, as .toml or .json".to_owned(), Severity::Refused);
    };
    let extension = beside.extension().unwrap_or_default().to_string_lossy().into_owned();
    let text = bytes(&beside).and_then(|b| String::from_utf8(b).map_err(|_| "is not UTF-8 text".to_owned()));
    let labels = match text.and_then(|text| parse_labels(&extension, &text)) {
        Ok(labels) => labels,
        Err(what) => return note(&beside, what, Severity::Refused),
    };
    match bytes(path) {
        Err(what) => note(path, what, Severity::Refused),
        Ok(audio) => match clip_from_bytes(path, &audio, &labels, LINE.rate_hz) {
            Ok((clip, warnings)) => {
                warnings.into_iter().for_each(|what| note(path, what, Severity::Warned));
                corpus.clips.push(clip);
            }
            Err(refusal) => note(if refusal.of_audio { path } else { &beside }, refusal.what, Severity::Refused),
        },
    }
}

/// Reads a WAV file to hear it. Of two channels the left one is taken, which is the caller's in a recording of ours.
///
/// # Errors
/// What is wrong with the file, without its name.
pub fn sound(path: &Path) -> Result<Sound, String> {
    let audio = bytes(path)?;
    let mut notes = Vec::new();
    let shape = wav::shape(&audio).map_err(|e| e.to_string())?;
    let mono = match shape.channels {
        1 => audio,
        2 => {
            notes.push("two channels: the left one is heard, the caller's in a recording of ours".to_owned());
            left(&audio)?
        }
        channels => {
            return Err(format!("the WAV file has {channels} channels; keep the caller's alone, as a mono file"));
        }
    };
    let clip = clip_from_bytes(path, &mono, &Labels::default(), LINE.rate_hz);
    let (clip, warnings) = clip.map_err(|refusal| refusal.what)?;
    if clip.file_rate_hz != LINE.rate_hz {
        notes.push(format!("{} Hz, heard as a phone brings it: at {} Hz", clip.file_rate_hz, LINE.rate_hz));
    }
    notes.extend(warnings);
    Ok(Sound { samples: clip.samples, notes })
}

/// The left channel of a file, as a mono file.
fn left(audio: &[u8]) -> Result<Vec<u8>, String> {
    let wav = wav::read_channel(audio, 0).map_err(|e| e.to_string())?;
    Ok(wav::write(wav.rate_hz, 1, &wav.samples))
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let fail = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => format!("cannot be read: {e}"),
    };
    let meta = fs::metadata(path).map_err(fail)?;
    if !meta.is_file() {
        return Err("is not a file".to_owned());
    }
    if meta.len() > wav::MAX_BYTES as u64 {
        return Err(format!("has {} bytes, more than the {} that are allowed", meta.len(), wav::MAX_BYTES));
    }
    fs::read(path).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Sound, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        fs::write(&path, bytes).unwrap();
        sound(&path)
    }

    #[test]
    fn a_calls_recording_is_heard_on_the_callers_side() {
        let frames: Vec<i16> = (0..1_600).map(|i| if i % 2 == 0 { 1_000 } else { -3_000 }).collect();
        let heard = read(&wav::write(8_000, 2, &frames)).unwrap();
        assert_eq!(heard.samples, vec![1_000; 800]);
        assert!(heard.notes[0].contains("the left one"), "{:?}", heard.notes);
        assert!(read(&wav::write(8_000, 3, &frames)).unwrap_err().contains("3 channels"));
    }

    #[test]
    fn other_rates_are_heard_at_the_lines_rate_and_said() {
        for (rate, length) in [(16_000, 400), (24_000, 267), (48_000, 134), (8_000, 800)] {
            let heard = read(&wav::write(rate, 1, &[500; 800])).unwrap();
            assert_eq!(heard.samples.len(), length, "{rate}");
            let said = heard.notes.iter().any(|n| n.starts_with(&format!("{rate} Hz")));
            assert_eq!(said, rate != 8_000, "{:?}", heard.notes);
        }
    }

    #[test]
    fn what_cannot_be_heard_is_refused_in_words() {
        let good = wav::write(8_000, 1, &[500; 800]);
        assert_eq!(read(b"").unwrap_err(), "not a WAV file: the file is empty");
        assert!(read(&good[..100]).unwrap_err().contains("ends before its header says"));
        assert!(read(&wav::write(8_000, 1, &[])).unwrap_err().contains("no samples"));
        assert!(read(&wav::write(8_000, 2, &[1, 2])[..46]).unwrap_err().contains("ends before"));
        assert_eq!(read(&wav::write(8_000, 1, &[7])).unwrap().samples, [7]);
        assert_eq!(sound(Path::new("/nowhere.wav")).unwrap_err(), "there is no such file");
        assert_eq!(sound(Path::new("/")).unwrap_err(), "is not a file");
    }
}
