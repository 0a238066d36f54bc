//! The outline of a recording: the loudest sample per column.

use std::io::Read;

/// Columns per channel at most; longer recordings get wider columns.
const MAX_COLUMNS: u64 = 6_000;

/// A column is at least one frame of a call.
const MIN_COLUMN_MS: u64 = 20;

/// The outline of both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Peaks {
    /// Width of a column.
    pub column_ms: f64,
    /// Loudness per column of the caller, 0–1.
    pub caller: Vec<f32>,
    /// The same of the agent.
    pub agent: Vec<f32>,
    length_ms: u64,
}

impl Peaks {
    /// Reads a stereo WAV file of 16 bits, column by column. A file that ends early is drawn as far as it goes.
    pub fn read(file: impl Read) -> Result<Self, hound::Error> {
        let mut reader = hound::WavReader::new(file)?;
        let spec = reader.spec();
        if spec.channels != 2 || spec.bits_per_sample != 16 || spec.sample_rate == 0 {
            return Err(hound::Error::FormatError("a recording has two channels of 16 bits"));
        }
        let (rate, frames) = (u64::from(spec.sample_rate), u64::from(reader.duration()));
        let column = (rate * MIN_COLUMN_MS / 1_000).max(frames.div_ceil(MAX_COLUMNS)).max(1);
        let mut sides = [Vec::new(), Vec::new()];
        let mut loudest = [0u16; 2];
        let mut read = 0u64;
        let mut samples = reader.samples::<i16>();
        while let (Some(Ok(left)), Some(Ok(right))) = (samples.next(), samples.next()) {
            loudest = [loudest[0].max(left.unsigned_abs()), loudest[1].max(right.unsigned_abs())];
            read += 1;
            if read.is_multiple_of(column) {
                end_column(&mut sides, &mut loudest);
            }
        }
        if !read.is_multiple_of(column) {
            end_column(&mut sides, &mut loudest);
        }
        let [caller, agent] = sides;
        Ok(Peaks { column_ms: column as f64 * 1_000.0 / rate as f64, caller, agent, length_ms: read * 1_000 / rate })
    }

    /// Length of the recording.
    pub fn length_ms(&self) -> u64 {
        self.length_ms
    }
}

fn end_column(sides: &mut [Vec<f32>; 2], loudest: &mut [u16; 2]) {
    for (side, peak) in sides.iter_mut().zip(loudest) {
        side.push(f32::from(std::mem::take(peak)) / 32_768.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::audio::wav;

    #[test]
    fn each_column_is_as_high_as_its_loudest_sample() {
        let mut samples = vec![0i16; 8_000 * 2];
        samples[2 * 161] = -16_384;
        samples[2 * 319 + 1] = 8_192;
        let peaks = Peaks::read(&wav::write(8_000, 2, &samples)[..]).unwrap();
        assert_eq!((peaks.column_ms, peaks.length_ms(), peaks.caller.len()), (20.0, 1_000, 50));
        assert_eq!((peaks.caller[0], peaks.caller[1], peaks.caller[2]), (0.0, 0.5, 0.0));
        assert_eq!((peaks.agent[0], peaks.agent[1]), (0.0, 0.25));
    }

    #[test]
    fn long_recordings_have_wider_columns_not_more() {
        let peaks = Peaks::read(&wav::write(8_000, 2, &vec![1; 2 * 8_000 * 300])[..]).unwrap();
        assert!(peaks.caller.len() <= 6_000 && peaks.caller.len() > 5_000, "{}", peaks.caller.len());
        assert_eq!(peaks.length_ms(), 300_000);
    }

    #[test]
    fn a_cut_file_is_drawn_as_far_as_it_goes() {
        let whole = wav::write(8_000, 2, &[100; 2 * 800]);
        let peaks = Peaks::read(&whole[..whole.len() - 1_601]).unwrap();
        assert_eq!(peaks.length_ms(), 49);
        assert!(Peaks::read(&wav::write(8_000, 1, &[1])[..]).is_err());
    }
}
