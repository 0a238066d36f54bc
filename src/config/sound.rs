//! WAV files as the line plays them.

use std::sync::Arc;

use crate::base::audio::{g711, resample, wav};

/// Longest recording.
pub(super) const MAX_S: usize = 60;
/// Largest file: 60 s of stereo floats at 96 kHz, and room for chunks that are not audio.
pub(super) const MAX_BYTES: u64 = 48 * 1_024 * 1_024;
/// What a recording may be.
pub(super) const ALLOWED: &str =
    "a WAV file of at most 60 s at 8, 11.025, 12, 16, 22.05, 24, 32, 44.1, 48, 88.2, 96, 176.4 or 192 kHz";

/// The audio of a WAV file as G.711 μ-law at 8 kHz, made louder by so many dB.
pub(super) fn load(bytes: &[u8], volume_db: f32) -> Result<Arc<[u8]>, String> {
    let wav = wav::read(bytes).map_err(|e| e.to_string())?;
    // Any other rate shares so few factors with the line's that its filter would be larger than the recording.
    if !RATES_HZ.contains(&wav.rate_hz) {
        return Err(format!("is a WAV file at {} Hz", wav.rate_hz));
    }
    if wav.samples.len() > MAX_S * wav.rate_hz as usize {
        return Err(format!("is longer than {MAX_S} s"));
    }
    let mut samples = resample::convert(&wav.samples, wav.rate_hz, LINE_HZ);
    if volume_db != 0.0 {
        let gain = 10f32.powf(volume_db / 20.0);
        samples.iter_mut().for_each(|sample| *sample = (f32::from(*sample) * gain).round() as i16);
    }
    let mut audio = Vec::with_capacity(samples.len());
    g711::encode_ulaw(&samples, &mut audio);
    Ok(audio.into())
}

const LINE_HZ: u32 = 8_000;
const RATES_HZ: [u32; 13] =
    [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::audio::level::{dbfs, rms};

    #[test]
    fn a_recording_at_any_usual_rate_plays_as_loud_and_as_long_as_it_is() {
        for rate_hz in RATES_HZ {
            let tone =
                |n: u32| (8_000.0 * (f64::from(n) * 500.0 * std::f64::consts::TAU / f64::from(rate_hz)).sin()) as i16;
            let samples: Vec<i16> = (0..rate_hz / 2).map(tone).collect();
            let played = load(&wav::write(rate_hz, 1, &samples), 0.0).unwrap();
            assert_eq!(played.len(), 4_000, "{rate_hz} Hz");
            let linear: Vec<i16> = played.iter().map(|&code| g711::ulaw_to_linear(code)).collect();
            let off = dbfs(rms(&linear[400..3_600])) - dbfs(rms(&samples));
            assert!(off.abs() < 0.3, "{rate_hz} Hz is {off} dB off");
        }
        let odd = load(&wav::write(47_999, 1, &[1; 480]), 0.0).unwrap_err();
        assert!(odd.contains("47999 Hz"), "{odd}");
    }
}
