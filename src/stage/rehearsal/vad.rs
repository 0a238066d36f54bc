//! Whether the caller speaks, by loudness alone.

use crate::base::audio::{AudioFormat, Codec, g711};

/// How a turn is told from the audio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rules {
    /// 0–1: how loud counts as speech, from −50 to −30 dBFS.
    pub(super) threshold: f64,
    /// Audio before the detected start that belongs to the turn.
    pub(super) prefix_padding_ms: u64,
    /// Silence that ends a turn.
    pub(super) silence_duration_ms: u64,
}

/// What was found, as offsets in the audio appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Speech began, prefix padding included.
    Started { audio_start_ms: u64 },
    /// Speech ended, the silence that ended it included.
    Stopped { audio_end_ms: u64 },
}

/// Counts audio and finds speech in it. What it finds does not depend on how the audio was cut into messages.
#[derive(Debug)]
pub(super) struct Vad {
    format: AudioFormat,
    /// The first half of a sample whose second half has not come yet.
    half: Option<u8>,
    /// Sum of squares and number of samples of the frame at hand.
    frame: (f64, u64),
    /// Whole frames since the session began.
    frames: u64,
    /// Where the turn at hand may begin at the earliest: the end of the one before.
    floor_ms: u64,
    /// Loudness of the background.
    noise: f64,
    speaking: bool,
    /// Frames in a row that speak against the present state.
    run: u64,
}

const FRAME_MS: u64 = 20;
/// Frames of loudness that begin speech: a click is shorter.
const START_FRAMES: u64 = 3;
/// Speech is this many times louder than the background.
const ABOVE_NOISE: f64 = 3.0;

impl Vad {
    pub(super) fn new(format: AudioFormat) -> Self {
        Vad { format, half: None, frame: (0.0, 0), frames: 0, floor_ms: 0, noise: 100.0, speaking: false, run: 0 }
    }

    /// Takes in audio; with `rules` looks for speech in it. At most one finding per 20 ms.
    pub(super) fn append(&mut self, audio: &[u8], rules: Option<Rules>, mut found: impl FnMut(Found)) {
        match self.format.codec {
            Codec::Pcmu => audio.iter().for_each(|&b| self.sample(g711::ulaw_to_linear(b), rules, &mut found)),
            Codec::Pcma => audio.iter().for_each(|&b| self.sample(g711::alaw_to_linear(b), rules, &mut found)),
            Codec::Linear16 => {
                for &byte in audio {
                    match self.half.take() {
                        None => self.half = Some(byte),
                        Some(low) => self.sample(i16::from_le_bytes([low, byte]), rules, &mut found),
                    }
                }
            }
        }
    }

    /// Audio appended so far.
    pub(super) fn appended_ms(&self) -> u64 {
        self.frames * FRAME_MS + self.frame.1 * 1_000 / u64::from(self.format.rate_hz)
    }

    /// The turn at hand was committed or cleared: the next begins here.
    pub(super) fn restart(&mut self) {
        self.speaking = false;
        self.run = 0;
        self.floor_ms = self.appended_ms();
    }

    /// The audio comes in `format` from now on; offsets go on.
    pub(super) fn set_format(&mut self, format: AudioFormat) {
        if format != self.format {
            self.format = format;
            self.half = None;
            self.frame = (0.0, 0);
        }
    }

    fn sample(&mut self, sample: i16, rules: Option<Rules>, found: &mut impl FnMut(Found)) {
        self.frame.0 += f64::from(sample).powi(2);
        self.frame.1 += 1;
        if self.frame.1 == u64::from(self.format.rate_hz) * FRAME_MS / 1_000 {
            let loudness = (self.frame.0 / self.frame.1 as f64).sqrt();
            self.frame = (0.0, 0);
            self.frames += 1;
            if let Some(rules) = rules {
                self.decide(loudness, rules, found);
            }
        }
    }

    fn decide(&mut self, loudness: f64, rules: Rules, found: &mut impl FnMut(Found)) {
        // The background follows quiet at once and loud slowly.
        self.noise = if loudness < self.noise { loudness.max(1.0) } else { (self.noise * 1.004).min(2_000.0) };
        let least = 32_768.0 * 10f64.powf((rules.threshold * 20.0 - 50.0) / 20.0);
        let limit = least.max(self.noise * ABOVE_NOISE);
        // Hysteresis: speech goes on somewhat below what began it.
        let loud = loudness > if self.speaking { limit * 0.5 } else { limit };
        self.run = if loud == self.speaking { 0 } else { self.run + 1 };
        let now_ms = self.frames * FRAME_MS;
        if !self.speaking && self.run >= START_FRAMES {
            let start_ms = now_ms - START_FRAMES * FRAME_MS;
            self.speaking = true;
            self.run = 0;
            let audio_start_ms = start_ms.saturating_sub(rules.prefix_padding_ms).max(self.floor_ms).min(start_ms);
            found(Found::Started { audio_start_ms });
        } else if self.speaking && self.run * FRAME_MS >= rules.silence_duration_ms {
            self.restart();
            found(Found::Stopped { audio_end_ms: now_ms });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::audio::{resample, wav};

    const RULES: Rules = Rules { threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 500 };

    fn caller(name: &str) -> Vec<i16> {
        let path = format!("{}/fixtures/audio/{name}.wav", env!("CARGO_MANIFEST_DIR"));
        let mut samples = vec![0; 8_000];
        samples.extend(wav::read(&std::fs::read(path).unwrap()).unwrap().samples);
        samples.extend([0; 8_000]);
        samples
    }

    fn turns(vad: &mut Vad, audio: &[u8], piece: usize) -> Vec<Found> {
        let mut all = Vec::new();
        audio.chunks(piece).for_each(|part| vad.append(part, Some(RULES), |found| all.push(found)));
        all
    }

    #[test]
    fn recorded_turns_are_found_in_every_format_and_chunking() {
        for name in ["anna-book", "anna-change", "anna-name"] {
            let samples = caller(name);
            let ulaw: Vec<u8> = samples.iter().map(|&s| g711::linear_to_ulaw(s)).collect();
            let found = turns(&mut Vad::new(AudioFormat::PHONE), &ulaw, 160);
            let [Found::Started { audio_start_ms }, Found::Stopped { audio_end_ms }] = found[..] else {
                panic!("{name}: {found:?}")
            };
            assert!((500..2_000).contains(&audio_start_ms) && audio_end_ms > 1_500, "{name}: {found:?}");
            assert_eq!(turns(&mut Vad::new(AudioFormat::PHONE), &ulaw, 77), found);
            let wide = resample::convert(&samples, 8_000, 24_000);
            let wide: Vec<u8> = wide.iter().flat_map(|s| s.to_le_bytes()).collect();
            assert_eq!(turns(&mut Vad::new(AudioFormat::PCM_24K), &wide, 961).len(), 2, "{name}");
        }
    }

    #[test]
    fn silence_and_clicks_are_no_speech() {
        let mut audio = vec![0xFF; 16_000];
        audio[8_000..8_200].fill(0x80);
        let mut vad = Vad::new(AudioFormat::PHONE);
        assert_eq!(turns(&mut vad, &audio, 160), []);
        assert_eq!(vad.appended_ms(), 2_000);
    }
}
