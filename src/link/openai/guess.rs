//! Whether the model's audio is what it is said to be. A server that passes over the format that it was asked for, and
//! tells nothing, would otherwise be noise at full scale in a caller's ear.
//!
//! Linear audio that is read as G.711 is loud and jumps with every sample, since every second byte is a low one; G.711 that is read
//! as linear audio is louder than any speech, and jumps more than it does as G.711. Of recorded voices, 1,180 pieces of
//! G.711 and 2,334 of linear audio, no piece was taken for the other kind; 99 % of the linear ones were found out, and 85 %
//! of the loud G.711 ones.

use crate::base::audio::{AudioFormat, Codec};

/// Bytes that are looked at of one message ...
const LOOKED_AT: usize = 4_800;
/// ... and with fewer nothing is said.
const TOO_FEW: usize = 320;
/// Messages with sound in them that were as told: then they all are.
const ENOUGH: u32 = 3;
/// A mean magnitude below this is no sound to judge by.
const QUIET: f32 = 200.0;

/// What has been made of the audio so far.
#[derive(Debug, Default)]
pub(super) struct Guess {
    as_told: u32,
}

impl Guess {
    /// The format that `audio`, said to be `told` where `asked` was asked for, has instead; `None` when it is as told, or
    /// may be.
    pub(super) fn other_than(&mut self, told: AudioFormat, asked: AudioFormat, audio: &[u8]) -> Option<AudioFormat> {
        if self.as_told >= ENOUGH || audio.len() < TOO_FEW {
            return None;
        }
        let audio = &audio[..audio.len().min(LOOKED_AT) & !1];
        // Of the two kinds of G.711 it is the one that is spoken of.
        let narrow = if [told.codec, asked.codec].contains(&Codec::Pcma) { Codec::Pcma } else { Codec::Pcmu };
        let narrow = if told.codec == Codec::Pcmu { Codec::Pcmu } else { narrow };
        let (g711, linear) = (Shape::of(narrow, audio), Shape::of(Codec::Linear16, audio));
        let other = match told.codec {
            Codec::Linear16 => linear.mean > 8_000.0 && linear.jumps > 0.4 && g711.jumps < linear.jumps,
            _ => {
                let jumps = g711.mean > 5_000.0 && g711.jumps > 1.0 && linear.jumps < 0.9 * g711.jumps;
                // What is that loud as linear audio and jumps all the same is noise either way.
                let noise = linear.mean > 8_000.0 && linear.jumps > 0.6;
                (jumps && !noise) || is_hush(audio)
            }
        };
        let as_told = if told.codec == Codec::Linear16 { linear.mean } else { g711.mean };
        if !other {
            self.as_told += u32::from(as_told > QUIET);
            return None;
        }
        Some(match (told.codec, asked.codec) {
            (Codec::Linear16, _) => AudioFormat { codec: narrow, rate_hz: 8_000 },
            (_, Codec::Linear16) => asked,
            _ => AudioFormat::PCM_24K,
        })
    }
}

/// Near silence as linear audio: its high bytes are all of them 0 or -1. As G.711 a 0 is the loudest sample there is.
fn is_hush(audio: &[u8]) -> bool {
    let high = audio.iter().skip(1).step_by(2);
    let zeros = high.clone().filter(|b| **b == 0).count() * 10;
    zeros > audio.len() / 2 && high.filter(|b| !matches!(**b, 0 | 0xFF)).count() * 100 < audio.len()
}

struct Shape {
    /// Mean magnitude.
    mean: f32,
    /// Mean difference between neighbours, as a share of that.
    jumps: f32,
}

impl Shape {
    fn of(codec: Codec, audio: &[u8]) -> Self {
        let mut samples = Vec::with_capacity(audio.len());
        codec.decode(audio, &mut samples);
        let mean = samples.iter().map(|s| f32::from(*s).abs()).sum::<f32>() / samples.len().max(1) as f32;
        let apart = samples.windows(2).map(|pair| (f32::from(pair[1]) - f32::from(pair[0])).abs()).sum::<f32>();
        Shape { mean, jumps: apart / samples.len().max(1) as f32 / mean.max(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A voice, as one format has it.
    fn voice(format: AudioFormat, level: f32) -> Vec<u8> {
        let clip = crate::base::audio::wav::read(include_bytes!("../../stage/rehearsal/clips/greeting.wav")).unwrap();
        let samples = crate::base::audio::resample::convert(&clip.samples, clip.rate_hz, format.rate_hz);
        let samples: Vec<i16> = samples.iter().map(|s| (f32::from(*s) * level) as i16).collect();
        let mut bytes = Vec::new();
        format.codec.encode(&samples, &mut bytes);
        bytes
    }

    #[test]
    fn audio_of_the_other_kind_is_found_out_and_as_told_is_not() {
        for level in [1.0, 0.3, 0.05] {
            let (narrow, wide) = (voice(AudioFormat::PHONE, level), voice(AudioFormat::PCM_24K, level));
            for piece in narrow.chunks(1_600) {
                assert_eq!(Guess::default().other_than(AudioFormat::PHONE, AudioFormat::PHONE, piece), None);
            }
            for piece in wide.chunks(1_600) {
                assert_eq!(Guess::default().other_than(AudioFormat::PCM_24K, AudioFormat::PCM_24K, piece), None);
            }
            let found = wide.chunks(1_600).filter(|p| p.len() == 1_600);
            let (all, missed) = found.fold((0, 0), |(all, missed), piece| {
                let other = Guess::default().other_than(AudioFormat::PHONE, AudioFormat::PHONE, piece);
                (all + 1, missed + usize::from(other != Some(AudioFormat::PCM_24K)))
            });
            assert!(missed * 20 < all, "{missed} of {all} missed at {level}");
            let mut guess = Guess::default();
            let first = narrow
                .chunks(1_600)
                .find_map(|piece| guess.other_than(AudioFormat::PCM_24K, AudioFormat::PCM_24K, piece));
            assert_eq!(first, Some(AudioFormat::PHONE));
        }
    }

    #[test]
    fn silence_is_as_told_and_digital_zeros_are_no_g711() {
        for (told, byte, other) in [
            (AudioFormat::PHONE, 0xFF, None),
            (AudioFormat::PHONE, 0x7F, None),
            (AudioFormat::PHONE, 0, Some(AudioFormat::PCM_24K)),
            (AudioFormat { codec: Codec::Pcma, rate_hz: 8_000 }, 0xD5, None),
            (AudioFormat::PCM_24K, 0, None),
        ] {
            assert_eq!(Guess::default().other_than(told, told, &[byte; 1_600]), other, "{byte:#x}");
        }
    }

    #[test]
    fn what_was_as_told_for_a_while_is_not_doubted_any_more() {
        let mut guess = Guess::default();
        let voice = voice(AudioFormat::PHONE, 1.0);
        for piece in voice.chunks(1_600).take(20) {
            assert_eq!(guess.other_than(AudioFormat::PHONE, AudioFormat::PHONE, piece), None);
        }
        assert_eq!(guess.other_than(AudioFormat::PHONE, AudioFormat::PHONE, &[0; 1_600]), None);
    }
}
