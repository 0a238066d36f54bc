//! Recorded callers: what they say, and where in it speech begins and turns end.

use std::path::Path;
use std::sync::Arc;

use crate::base::audio::clip::Clip as Fixture;
use crate::lab::tune::corpus::{Corpus, LabelledClip, Severity, clip_from_bytes, parse_labels};
use crate::stage::phone::{Clip, Landmark};

/// The phone's rate.
const RATE_HZ: u32 = 8_000;
/// Longer recordings are left out: a caller of a load test speaks in turns.
const LONGEST_MS: u64 = 30_000;
/// The largest files that are read.
const MAX_BYTES: u64 = 64 << 20;

/// The recorded callers that the program brings along.
pub(crate) fn built_in() -> Result<Vec<Clip>, String> {
    macro_rules! fixtures {
        ($($name:literal),*) => {[$((
            $name,
            include_str!(concat!("../../../fixtures/audio/", $name, ".toml")),
            include_bytes!(concat!("../../../fixtures/audio/", $name, ".wav")).as_slice(),
        )),*]};
    }
    let fixtures = fixtures!["anna-name", "ben-hours", "carla-number", "ben-thanks"];
    let clip = |(name, labels, wav): (&str, &str, &[u8])| {
        let fixture = Fixture::parse(name, labels, wav).map_err(|e| format!("fixtures/audio/{name}: {e}"))?;
        let begins = fixture.speech().iter().map(|span| span.start_ms).take(1);
        Ok(clip(name, &fixture.wav.samples, begins, fixture.turn_ends_ms().iter().copied()))
    };
    fixtures.into_iter().map(clip).collect()
}

/// The labelled callers at `path`: a folder as `offhook tune` reads it, or one WAV file with labels beside it. What is
/// left out is told in the second list.
///
/// # Errors
/// None is left, or the file cannot be read: names the file and what is wrong with it.
pub(crate) fn read(path: &Path) -> Result<(Vec<Clip>, Vec<String>), String> {
    let mut told = Vec::new();
    let labelled = if path.is_dir() {
        let corpus = Corpus::read(path, RATE_HZ);
        told.extend(corpus.problems.iter().filter(|p| p.severity == Severity::Refused).map(|p| p.to_string()));
        corpus.clips
    } else {
        vec![one(path)?]
    };
    let mut clips = Vec::new();
    for labelled in labelled {
        // Noise alone is no caller.
        if labelled.speech.is_empty() {
            continue;
        }
        if labelled.duration_ms() > LONGEST_MS {
            told.push(format!("{}: longer than {} s, left out", labelled.path.display(), LONGEST_MS / 1_000));
            continue;
        }
        clips.push(of(&labelled));
    }
    if clips.is_empty() {
        let why = told.first().cloned().unwrap_or_else(|| "no labelled speech of 30 s or less is in it".to_owned());
        return Err(format!("{}: {why}", path.display()));
    }
    Ok((clips, told))
}

fn one(path: &Path) -> Result<LabelledClip, String> {
    let read = |path: &Path| {
        let size = std::fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?.len();
        if size > MAX_BYTES {
            return Err(format!("{}: larger than {} MiB", path.display(), MAX_BYTES >> 20));
        }
        std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
    };
    let beside = ["toml", "json"].map(|extension| (extension, path.with_extension(extension)));
    let (extension, labels) = beside
        .into_iter()
        .find(|(_, path)| path.is_file())
        .ok_or_else(|| format!("{} has no labels: write them beside it, as .toml or .json", path.display()))?;
    let text = String::from_utf8(read(&labels)?).map_err(|_| format!("{}: not UTF-8", labels.display()))?;
    let labels = parse_labels(extension, &text).map_err(|e| format!("{}: {e}", labels.display()))?;
    let (clip, _) = clip_from_bytes(path, &read(path)?, &labels, RATE_HZ)
        .map_err(|refusal| format!("{}: {}", path.display(), refusal.what))?;
    Ok(clip)
}

fn of(labelled: &LabelledClip) -> Clip {
    let begins: Vec<u64> = if labelled.turns.is_empty() {
        labelled.speech.iter().map(|s| s.audible.start_ms).take(1).collect()
    } else {
        labelled.turns.iter().map(|turn| turn.span.start_ms).collect()
    };
    let ends: Vec<u64> = if labelled.turns.is_empty() {
        labelled.speech.iter().map(|s| s.audible.end_ms).next_back().into_iter().collect()
    } else {
        labelled.turns.iter().map(|turn| turn.audible_end_ms).collect()
    };
    clip(&labelled.name, &labelled.samples, begins.into_iter(), ends.into_iter())
}

fn clip(name: &str, samples: &[i16], begins_ms: impl Iterator<Item = u64>, ends_ms: impl Iterator<Item = u64>) -> Clip {
    let at = |ms: u64| (ms * u64::from(RATE_HZ) / 1_000) as usize;
    let begins = begins_ms.map(|ms| (at(ms), Landmark::SpeechBegins));
    // The last sample, not the one after it: it may be the next frame's first.
    let ends = ends_ms.map(|ms| (at(ms).saturating_sub(1), Landmark::TurnEnds));
    let mut landmarks: Vec<(usize, Landmark)> = begins.chain(ends).collect();
    landmarks.sort_by_key(|(at, _)| *at);
    Clip { landmarks: Arc::from(landmarks), ..Clip::from_linear(name, samples) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_callers_have_turns_within_their_audio() {
        let clips = built_in().unwrap();
        assert_eq!(clips.len(), 4);
        for clip in clips {
            let marks: Vec<Landmark> = clip.landmarks.iter().map(|(_, mark)| *mark).collect();
            assert_eq!(marks.first(), Some(&Landmark::SpeechBegins), "{}", clip.label);
            assert_eq!(marks.last(), Some(&Landmark::TurnEnds), "{}", clip.label);
            assert!(clip.landmarks.iter().all(|(at, _)| *at < clip.audio.len()), "{}", clip.label);
        }
    }

    #[test]
    fn a_folder_and_a_file_are_read_and_what_is_wrong_is_named() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audio");
        let (clips, _) = read(&folder).unwrap();
        assert!(clips.iter().any(|clip| clip.label == "anna-book"));
        let (one, _) = read(&folder.join("anna-name.wav")).unwrap();
        assert_eq!((one.len(), one[0].label.as_str()), (1, "anna-name"));
        let error = read(&folder.join("none.wav")).unwrap_err();
        assert!(error.contains("none.wav") && error.contains("labels"), "{error}");
        assert!(read(Path::new("/nonexistent")).unwrap_err().contains("/nonexistent"));
    }
}
