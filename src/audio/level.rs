//! How loud audio is.

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
