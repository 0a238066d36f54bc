//! Short sounds over an agent who speaks: words that want it to stop, remarks of a listener, and noises.

use std::path::Path;
use std::process::Command;

use offhook::base::audio::{resample, wav};
use offhook::lab::tune::corpus::{Condition, Corpus};

use crate::RATE_HZ;

/// Voices and words per minute of the synthesised ones.
const VOICES: [(&str, &str); 4] = [("en-us", "165"), ("en-gb+f3", "150"), ("en-gb+m3", "180"), ("en-us+f2", "190")];
const COMMANDS: [&str; 24] = [
    "stop",
    "no",
    "wait",
    "hold on",
    "operator",
    "stop it",
    "hang on",
    "excuse me",
    "not that one",
    "hello?",
    "help",
    "no, wait",
    "goodbye",
    "be quiet",
    "wrong number",
    "no no",
    "stop, please",
    "two",
    "seven",
    "Tuesday",
    "cancel",
    "louder",
    "what?",
    "repeat that",
];
const REMARKS: [&str; 16] = [
    "mm-hmm",
    "uh-huh",
    "yeah",
    "okay",
    "right",
    "yes",
    "I see",
    "sure",
    "got it",
    "alright",
    "yep",
    "great",
    "yeah yeah",
    "oh, okay",
    "good",
    "exactly",
];
/// Quieter samples than this at a synthesised word's edges are no part of it.
const LOUD: u16 = 300;
/// Of a label's edges as much belongs to the sound.
const MARGIN_MS: u64 = 20;
/// Words cut out of recordings are this long at most: longer ones need no words to interrupt.
const WORD_MS: std::ops::RangeInclusive<u64> = 150..=750;
const NOISE_MS: std::ops::RangeInclusive<u64> = 40..=1_200;

/// What a sound is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Command,
    Remark,
    Noise,
}

/// One sound at the line's rate.
#[derive(Clone, Debug)]
pub(crate) struct Sound {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) real: bool,
    pub(crate) samples: Vec<i16>,
    /// What a transcript of it says.
    pub(crate) words: String,
}

/// Says `text`, or nothing where there is no espeak-ng.
pub(crate) fn spoken(text: &str, voice: &str, speed: &str) -> Option<Vec<i16>> {
    let said =
        Command::new("espeak-ng").args(["-v", voice, "-s", speed, "-a", "90", "--stdout", text]).output().ok()?;
    // Its header says nothing of the length when it writes to a pipe.
    let mut bytes = said.stdout;
    let data = bytes.len().checked_sub(wav::HEADER_BYTES).filter(|data| *data > 0)? as u32;
    bytes.get_mut(4..8)?.copy_from_slice(&(data + 36).to_le_bytes());
    bytes.get_mut(40..44)?.copy_from_slice(&data.to_le_bytes());
    let wav = wav::read(&bytes).ok()?;
    let samples = resample::convert(&wav.samples, wav.rate_hz, RATE_HZ);
    let from = samples.iter().position(|s| s.unsigned_abs() > LOUD)?.saturating_sub(80);
    let to = samples.iter().rposition(|s| s.unsigned_abs() > LOUD)? + 80;
    Some(samples[from..to.min(samples.len())].to_vec())
}

/// All that can be had, and what is missing.
pub(crate) fn all() -> (Vec<Sound>, Vec<String>) {
    let (mut sounds, mut missing) = (Vec::new(), Vec::new());
    for (kind, list) in [(Kind::Command, &COMMANDS[..]), (Kind::Remark, &REMARKS[..])] {
        for (text, (voice, speed)) in list.iter().flat_map(|text| VOICES.map(|voice| (*text, voice))) {
            let Some(samples) = spoken(text, voice, speed) else { continue };
            sounds.push(Sound {
                name: format!("{text} ({voice})"),
                kind,
                real: false,
                samples,
                words: text.to_owned(),
            });
        }
    }
    if sounds.is_empty() {
        missing.push("no espeak-ng: there are no synthesised words".to_owned());
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut corpus = Corpus::read(&here.join("fixtures/audio"), RATE_HZ);
    let shared = here.join("../shared/audio");
    if shared.is_dir() {
        corpus.append(Corpus::read(&shared, RATE_HZ));
    } else {
        missing.push(format!("no {}: there are no recorded words", shared.display()));
    }
    for clip in &corpus.clips {
        let cut = |from_ms: u64, to_ms: u64| {
            let at = |ms: u64| (ms as usize * RATE_HZ as usize / 1_000).min(clip.samples.len());
            clip.samples[at(from_ms.saturating_sub(MARGIN_MS))..at(to_ms + MARGIN_MS)].to_vec()
        };
        // At 8 kHz, and without noise added.
        if clip.file_rate_hz != RATE_HZ || matches!(clip.condition, Condition::Mix { .. } | Condition::Noise) {
            continue;
        }
        if clip.name == "uh-huh" {
            let (samples, words) = (clip.samples.clone(), "Uh-huh.".to_owned());
            sounds.push(Sound { name: clip.name.clone(), kind: Kind::Remark, real: true, samples, words });
            continue;
        }
        if !clip.coarse() {
            for span in clip.speech.iter().map(|speech| speech.span) {
                if WORD_MS.contains(&(span.end_ms - span.start_ms)) {
                    let (name, samples) = (format!("{}@{}", clip.name, span.start_ms), cut(span.start_ms, span.end_ms));
                    let words = "a word".to_owned();
                    sounds.push(Sound { name, kind: Kind::Command, real: true, samples, words });
                }
            }
        }
        for other in &clip.distractors {
            if NOISE_MS.contains(&(other.end_ms - other.start_ms)) {
                let name = format!("{} {}@{}", other.kind, clip.name, other.start_ms);
                let samples = cut(other.start_ms, other.end_ms);
                sounds.push(Sound { name, kind: Kind::Noise, real: true, samples, words: String::new() });
            }
        }
    }
    (sounds, missing)
}
