//! WAV files as the line plays them.

use std::sync::Arc;

/// Longest recording.
pub(super) const MAX_S: usize = 60;
/// Largest file: 60 s of stereo floats at 48 kHz, and room for chunks that are not audio.
pub(super) const MAX_BYTES: u64 = 32 * 1_024 * 1_024;
/// What a recording may be.
pub(super) const ALLOWED: &str = "a WAV file of 16-bit mono at 8000 Hz, at most 60 s";

/// The audio of a WAV file as G.711 μ-law at 8 kHz.
pub(super) fn load(bytes: &[u8]) -> Result<Arc<[u8]>, String> {
    let mut wav = hound::WavReader::new(bytes).map_err(|e| format!("is not a usable WAV file ({e})"))?;
    let spec = wav.spec();
    if spec.channels != 1 || spec.sample_rate != 8_000 || spec.bits_per_sample != 16 {
        let hundred = (spec.bits_per_sample, spec.channels, spec.sample_rate);
        return Err(format!("is a WAV file of {} bits, {} channels, {} Hz", hundred.0, hundred.1, hundred.2));
    }
    let samples: Result<Vec<i16>, _> = wav.samples::<i16>().take(MAX_S * 8_000 + 1).collect();
    let samples = samples.map_err(|e| format!("is not a usable WAV file ({e})"))?;
    if samples.is_empty() {
        return Err("has no audio".to_owned());
    }
    if samples.len() > MAX_S * 8_000 {
        return Err(format!("is longer than {MAX_S} s"));
    }
    Ok(samples.into_iter().map(ulaw).collect())
}

/// G.711 μ-law.
fn ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(32_635) + 132;
    let exponent = (31 - (magnitude as u32).leading_zeros() as i32 - 7).max(0);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0F;
    !(sign | (exponent << 4) | mantissa) as u8
}
