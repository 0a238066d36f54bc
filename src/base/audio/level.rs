//! How loud audio is.

use crate::base::audio::g711::{alaw_to_linear, ulaw_to_linear};
use crate::base::audio::{AudioFormat, Codec};
use crate::base::time::Samples;

/// Full scale: the largest magnitude a sample can have.
pub const FULL_SCALE: f32 = 32_768.0;

/// Root mean square of `samples`, 0–32 768; 0 for no samples.
pub fn rms(samples: &[i16]) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    // 2^30 per sample: a u64 holds the sum of 2^34 samples, days of audio.
    let sum: u64 = samples.iter().map(|&s| (s as i64 * s as i64) as u64).sum();
    (sum as f64 / samples.len() as f64).sqrt() as f32
}

/// The largest magnitude in `samples`, 0–32 768.
pub fn peak(samples: &[i16]) -> u16 {
    samples.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0)
}

/// A magnitude (as of [`rms`] or [`peak`]) in dB relative to full scale: 0 is the loudest, silence is −∞.
pub fn dbfs(magnitude: f32) -> f32 {
    20.0 * (magnitude / FULL_SCALE).log10()
}

/// The magnitude of a level in dB relative to full scale.
pub fn from_dbfs(db: f32) -> f32 {
    FULL_SCALE * 10f32.powf(db / 20.0)
}

/// Quieter than this, in dB relative to full scale, agent audio is silence to a caller's ear: below what phones add.
pub const AUDIBLE_DB: f32 = -55.0;
/// The magnitude of [`AUDIBLE_DB`], squared.
const AUDIBLE_SQUARED: u64 = 58 * 58;

/// Where what can be heard of a piece of audio ends: past its last 20 ms that are louder than [`AUDIBLE_DB`]; zero when none
/// are.
pub fn audible_end(format: AudioFormat, audio: &[u8]) -> Samples {
    let step = format.bytes(Samples(u64::from(format.rate_hz / 50)));
    let mut end = format.bytes(format.samples(audio.len()));
    while end > 0 {
        let from = end.saturating_sub(step);
        let piece = &audio[from..end];
        let square = |sample: i16| u64::from(sample.unsigned_abs()).pow(2);
        let sum: u64 = match format.codec {
            Codec::Pcmu => piece.iter().map(|b| square(ulaw_to_linear(*b))).sum(),
            Codec::Pcma => piece.iter().map(|b| square(alaw_to_linear(*b))).sum(),
            Codec::Linear16 => piece.chunks_exact(2).map(|b| square(i16::from_le_bytes([b[0], b[1]]))).sum(),
        };
        if sum > AUDIBLE_SQUARED * format.samples(piece.len()).0 {
            break;
        }
        end = from;
    }
    format.samples(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_wave_is_as_loud_as_its_peak() {
        let wave = [1_000, -1_000, 1_000, -1_000];
        assert_eq!(rms(&wave), 1_000.0);
        assert_eq!(peak(&wave), 1_000);
    }

    #[test]
    fn what_can_be_heard_ends_where_silence_begins() {
        let pcma = AudioFormat { codec: Codec::Pcma, rate_hz: 8_000 };
        for format in [AudioFormat::PHONE, pcma, AudioFormat::PCM_24K] {
            let encoded = |level: i16, samples: usize| {
                let wave: Vec<i16> = (0..samples).map(|n| if n % 8 < 4 { level } else { -level }).collect();
                let mut bytes = Vec::new();
                format.codec.encode(&wave, &mut bytes);
                bytes
            };
            let (loud, hiss) = (encoded(3_000, 800), encoded(30, 8_000));
            assert_eq!(audible_end(format, &hiss), Samples::ZERO);
            assert_eq!(audible_end(format, &[]), Samples::ZERO);
            assert_eq!(audible_end(format, &loud), Samples(800));
            let end = audible_end(format, &[&loud[..], &hiss[..]].concat()).0;
            assert!((800..800 + u64::from(format.rate_hz / 50)).contains(&end), "{end}");
            assert_eq!(audible_end(format, &[&hiss[..], &loud[..]].concat()), Samples(8_800));
        }
        assert!((20.0 * (58.0 / FULL_SCALE).log10() - AUDIBLE_DB).abs() < 0.1);
    }

    #[test]
    fn nothing_and_the_extremes_are_safe() {
        assert_eq!(rms(&[]), 0.0);
        assert_eq!(peak(&[]), 0);
        assert_eq!(peak(&[i16::MIN]), 32_768);
        assert_eq!(rms(&[i16::MIN; 9]), 32_768.0);
        assert_eq!(dbfs(0.0), f32::NEG_INFINITY);
    }

    #[test]
    fn decibels_go_both_ways() {
        assert!((dbfs(16_384.0) + 6.02).abs() < 0.01);
        assert!((from_dbfs(dbfs(1_234.0)) - 1_234.0).abs() < 0.1);
    }
}
