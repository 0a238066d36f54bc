//! What the built-in model sounds like.

use std::collections::HashMap;
use std::f32::consts::TAU;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::audio::{AudioFormat, resample, wav};

use super::script::{Line, Script};

/// All sounds of one server, encoded once per format.
#[derive(Debug)]
pub(super) struct Clips {
    clips: Vec<Clip>,
    encoded: Mutex<HashMap<Encoding, Arc<[u8]>>>,
}

/// What of, and in which format.
type Encoding = (Sound, AudioFormat);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sound {
    /// A clip by its place.
    Clip(usize),
    /// A murmur of so many milliseconds.
    Murmur(usize),
}

/// Encoded sounds that are kept. A murmur takes milliseconds to make, in which no other session would be heard.
const MAX_ENCODED: usize = 128;

#[derive(Debug)]
struct Clip {
    name: String,
    text: String,
    rate_hz: u32,
    samples: Vec<i16>,
}

/// Something to say: the words and their audio in the session's output format.
#[derive(Clone, Debug)]
pub(super) struct Speech {
    pub(super) text: String,
    pub(super) audio: Arc<[u8]>,
}

/// Name, words and WAV file of each built-in clip.
const BUILT_IN: [(&str, &str, &[u8]); 5] = [
    ("greeting", "Good afternoon, Harbour Restaurant. How can I help you?", include_bytes!("clips/greeting.wav")),
    (
        "offer",
        "Of course. For Friday I have a table by the window at seven, or one on the terrace at half past eight. The \
         terrace is heated, and there is live music from nine o'clock. Which one would you like?",
        include_bytes!("clips/offer.wav"),
    ),
    (
        "changed",
        "No problem, a table for four. I have noted that. May I have your name, please?",
        include_bytes!("clips/changed.wav"),
    ),
    (
        "thanks",
        "Thank you, Anna. Your table for four is booked for Friday at seven. Goodbye!",
        include_bytes!("clips/thanks.wav"),
    ),
    ("sorry", "Sorry, could you say that again?", include_bytes!("clips/sorry.wav")),
];

impl Clips {
    /// The built-in clips and those that `script` names by path. An unreadable file is an error that names it.
    pub(super) fn load(script: &Script) -> io::Result<Self> {
        let mut clips = Vec::new();
        for (name, text, bytes) in BUILT_IN {
            clips.push(Clip::read(name, text, bytes)?);
        }
        for path in script.clips() {
            if clips.iter().all(|clip| clip.name != path) {
                let bytes = std::fs::read(path).map_err(|error| {
                    let names: Vec<&str> = BUILT_IN.iter().map(|(name, ..)| *name).collect();
                    let hint = format!("clip {path:?}: {error} (built-in clips are {})", names.join(", "));
                    io::Error::new(error.kind(), hint)
                })?;
                clips.push(Clip::read(path, "", &bytes)?);
            }
        }
        Ok(Clips { clips, encoded: Mutex::default() })
    }

    /// A script's line: its clip, or a murmur as long as its words.
    pub(super) fn line(&self, line: Line<'_>, format: AudioFormat) -> Speech {
        let index = line.clip.and_then(|name| self.clips.iter().position(|clip| clip.name == name));
        match index {
            Some(index) => Speech {
                text: line.say.unwrap_or(&self.clips[index].text).to_owned(),
                audio: self.encoded(Sound::Clip(index), format),
            },
            None => self.text(line.say.unwrap_or_default(), format),
        }
    }

    /// Words for which there may be a clip.
    pub(super) fn text(&self, text: &str, format: AudioFormat) -> Speech {
        let wanted = letters(text);
        let index = self.clips.iter().position(|clip| !clip.text.is_empty() && letters(&clip.text) == wanted);
        let sound = index.map_or_else(|| Sound::Murmur(murmur_ms(text)), Sound::Clip);
        Speech { text: text.to_owned(), audio: self.encoded(sound, format) }
    }

    /// What `instructions` ask to be said: the longest text in quotes, else the words of a clip that they hold, else
    /// all of them.
    pub(super) fn instructed(&self, instructions: &str, format: AudioFormat) -> Speech {
        let quoted = quoted(instructions);
        let wanted = letters(instructions);
        let held = self.clips.iter().find(|clip| !clip.text.is_empty() && wanted.contains(&letters(&clip.text)));
        let text = quoted.or(held.map(|clip| &*clip.text)).unwrap_or(instructions);
        self.text(text, format)
    }

    fn encoded(&self, sound: Sound, format: AudioFormat) -> Arc<[u8]> {
        let mut kept = self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(audio) = kept.get(&(sound, format)) {
            return Arc::clone(audio);
        }
        let audio = match sound {
            Sound::Clip(place) => encode(&self.clips[place].samples, self.clips[place].rate_hz, format),
            Sound::Murmur(ms) => encode(&murmur(ms, format.rate_hz), format.rate_hz, format),
        };
        if kept.len() < MAX_ENCODED {
            kept.insert((sound, format), Arc::clone(&audio));
        }
        audio
    }
}

impl Clip {
    fn read(name: &str, text: &str, bytes: &[u8]) -> io::Result<Self> {
        let wav = wav::read(bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("clip {name:?}: {error}")))?;
        Ok(Clip { name: name.to_owned(), text: text.to_owned(), rate_hz: wav.rate_hz, samples: wav.samples })
    }
}

/// The longest text between quotes, straight or curly, when it is more than a word.
fn quoted(text: &str) -> Option<&str> {
    let curly = text.split('“').skip(1).filter_map(|part| part.split_once('”')).map(|(inside, _)| inside);
    let straight = text.split('"').skip(1).step_by(2);
    curly.chain(straight).map(str::trim).filter(|inside| inside.contains(' ')).max_by_key(|inside| inside.len())
}

/// Lower-case letters and digits only: what makes two texts the same line.
fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn encode(samples: &[i16], rate_hz: u32, format: AudioFormat) -> Arc<[u8]> {
    let samples = resample::convert(samples, rate_hz, format.rate_hz);
    let mut audio = Vec::with_capacity(samples.len() * format.bytes_per_sample());
    format.codec.encode(&samples, &mut audio);
    audio.into()
}

/// About as long as the words take to say: 65 ms per character, at most a minute.
fn murmur_ms(text: &str) -> usize {
    const MS_PER_CHAR: usize = 65;
    const MAX_MS: usize = 60_000;
    (text.chars().count() * MS_PER_CHAR).clamp(MS_PER_CHAR, MAX_MS)
}

/// A voiced buzz in syllables.
fn murmur(ms: usize, rate_hz: u32) -> Vec<i16> {
    (0..ms * rate_hz as usize / 1_000)
        .map(|n| {
            let t = n as f32 / rate_hz as f32;
            let buzz: f32 = (1..=4).map(|k| (TAU * 115.0 * k as f32 * t).sin() / k as f32).sum();
            // Four and a half syllables a second, each rising and falling.
            let envelope = (TAU * 2.25 * t).sin().abs();
            (buzz * envelope * 5_000.0) as i16
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_find_their_clip() {
        let clips = Clips::load(&Script::default()).unwrap();
        let greeting = clips.line(Line { say: None, clip: Some("greeting") }, AudioFormat::PHONE);
        assert!(greeting.text.starts_with("Good afternoon") && greeting.audio.len() > 8_000);
        let asked = "Greet the caller. Say exactly: \"Good afternoon, Harbour Restaurant. How can I help you?\"";
        let instructed = clips.instructed(asked, AudioFormat::PHONE);
        assert_eq!((&instructed.text, &instructed.audio), (&greeting.text, &greeting.audio));
        let wide = clips.instructed(asked, AudioFormat::PCM_24K);
        assert_eq!(wide.audio.len(), greeting.audio.len() * 6);
        let own = clips.instructed("Say goodbye.", AudioFormat::PHONE);
        assert_eq!((own.text.as_str(), own.audio.len()), ("Say goodbye.", 12 * 65 * 8));
    }

    #[test]
    fn missing_file_is_named() {
        let script = Script::parse("[[turn]]\nclip = \"no/such.wav\"").unwrap();
        assert!(Clips::load(&script).unwrap_err().to_string().contains("no/such.wav"));
    }
}
