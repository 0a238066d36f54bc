//! WAV files, to and from memory.

use std::fmt;
use std::io::Cursor;

use crate::audio::g711;

/// Files larger than this are refused: an hour of stereo at 48 kHz fits.
pub const MAX_BYTES: usize = 1 << 30;

/// Rates that are accepted.
pub const RATES_HZ: std::ops::RangeInclusive<u32> = 4_000..=192_000;

/// Bytes of the header that [`header`] makes.
pub const HEADER_BYTES: usize = 44;

/// A mono clip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wav {
    /// Samples per second.
    pub rate_hz: u32,
    /// All channels mixed to one, 16 bits.
    pub samples: Vec<i16>,
}

/// Why a file cannot be used as a clip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WavError {
    /// It holds no samples.
    Empty,
    /// It ends before its header says.
    Truncated,
    /// It is larger than [`MAX_BYTES`].
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
    },
    /// It is something else than a WAV file, or a broken one.
    NotWav {
        /// What is wrong.
        why: String,
    },
    /// It is a WAV file of a kind that is not read.
    Unsupported {
        /// What it is and what is allowed.
        what: String,
    },
}

impl fmt::Display for WavError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WavError::Empty => f.write_str("the WAV file holds no samples"),
            WavError::Truncated => f.write_str("the WAV file ends before its header says; copy or make it again"),
            WavError::TooLarge { bytes } => {
                write!(f, "the WAV file has {bytes} bytes, more than the {MAX_BYTES} that are allowed")
            }
            WavError::NotWav { why } => write!(f, "not a WAV file: {why}"),
            WavError::Unsupported { what } => f.write_str(what),
        }
    }
}

impl std::error::Error for WavError {}

/// Reads a WAV file: PCM of 8, 16, 24 or 32 bits, float, μ-law or A-law; any number of channels, mixed to one.
pub fn read(bytes: &[u8]) -> Result<Wav, WavError> {
    if bytes.len() > MAX_BYTES {
        return Err(WavError::TooLarge { bytes: bytes.len() });
    }
    let (rate_hz, samples) = match Chunks::find(bytes)? {
        Chunks { tag: MULAW, channels, rate_hz, data, .. } => {
            (rate_hz, mix(data.iter().map(|&c| i32::from(g711::ulaw_to_linear(c))), channels))
        }
        Chunks { tag: ALAW, channels, rate_hz, data, .. } => {
            (rate_hz, mix(data.iter().map(|&c| i32::from(g711::alaw_to_linear(c))), channels))
        }
        _ => read_pcm(bytes)?,
    };
    if !RATES_HZ.contains(&rate_hz) {
        let what =
            format!("the WAV file's rate is {rate_hz} Hz; {} to {} are allowed", RATES_HZ.start(), RATES_HZ.end());
        return Err(WavError::Unsupported { what });
    }
    if samples.is_empty() {
        return Err(WavError::Empty);
    }
    Ok(Wav { rate_hz, samples })
}

/// What [`read`] hides: how the samples are kept in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Channels side by side.
    pub channels: u16,
    /// Bits of one sample in the file.
    pub bits: u16,
    /// The samples are linear and not G.711.
    pub linear: bool,
}

/// How a WAV file keeps its samples.
pub fn shape(bytes: &[u8]) -> Result<Shape, WavError> {
    let chunks = Chunks::find(bytes)?;
    Ok(Shape { channels: chunks.channels, bits: chunks.bits, linear: chunks.tag != MULAW && chunks.tag != ALAW })
}

/// A 16-bit PCM file of interleaved `samples`.
pub fn write(rate_hz: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
    let data_bytes = samples.len() * 2;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + data_bytes);
    bytes.extend_from_slice(&header(rate_hz, channels, data_bytes.min(u32::MAX as usize - 36) as u32));
    bytes.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
    bytes
}

/// The header of a 16-bit PCM file with `data_bytes` of samples (at most 2³² − 37).
pub fn header(rate_hz: u32, channels: u16, data_bytes: u32) -> [u8; HEADER_BYTES] {
    let frame = channels * 2;
    let mut h = [0; HEADER_BYTES];
    h[..4].copy_from_slice(b"RIFF");
    h[4..8].copy_from_slice(&data_bytes.saturating_add(36).to_le_bytes());
    h[8..16].copy_from_slice(b"WAVEfmt ");
    h[16..20].copy_from_slice(&16u32.to_le_bytes());
    h[20..22].copy_from_slice(&PCM.to_le_bytes());
    h[22..24].copy_from_slice(&channels.to_le_bytes());
    h[24..28].copy_from_slice(&rate_hz.to_le_bytes());
    h[28..32].copy_from_slice(&rate_hz.saturating_mul(u32::from(frame)).to_le_bytes());
    h[32..34].copy_from_slice(&frame.to_le_bytes());
    h[34..36].copy_from_slice(&16u16.to_le_bytes());
    h[36..40].copy_from_slice(b"data");
    h[40..].copy_from_slice(&data_bytes.to_le_bytes());
    h
}

const PCM: u16 = 1;
const ALAW: u16 = 6;
const MULAW: u16 = 7;

/// What of a RIFF file must be known to choose its reader.
struct Chunks<'a> {
    tag: u16,
    channels: u16,
    rate_hz: u32,
    bits: u16,
    data: &'a [u8],
}

impl<'a> Chunks<'a> {
    fn find(bytes: &'a [u8]) -> Result<Self, WavError> {
        let not = |why: &str| WavError::NotWav { why: why.to_owned() };
        if bytes.is_empty() {
            return Err(not("the file is empty"));
        }
        if bytes.len() < 12 || &bytes[..4] != b"RIFF" || &bytes[8..12] != b"WAVE" {
            return Err(not("it does not begin with RIFF and WAVE"));
        }
        let mut rest = &bytes[12..];
        let mut format = None;
        while let Some((head, body)) = rest.split_at_checked(8) {
            let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
            let chunk = body.get(..size);
            match &head[..4] {
                b"fmt " => {
                    let chunk = chunk.filter(|c| c.len() >= 16).ok_or(WavError::Truncated)?;
                    let u16_at = |i: usize| u16::from_le_bytes([chunk[i], chunk[i + 1]]);
                    let rate_hz = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
                    format = Some((u16_at(0), u16_at(2), rate_hz, u16_at(14)));
                }
                b"data" => {
                    let (tag, channels, rate_hz, bits) =
                        format.ok_or_else(|| not("its samples come before their format"))?;
                    if channels == 0 {
                        return Err(not("it has no channels"));
                    }
                    let data = chunk.ok_or(WavError::Truncated)?;
                    return Ok(Chunks { tag, channels, rate_hz, bits, data });
                }
                _ => {}
            }
            // Chunks begin at even places.
            rest = body.get(size.saturating_add(size & 1)..).unwrap_or_default();
        }
        Err(if format.is_some() { WavError::Truncated } else { not("it has no format and no samples") })
    }
}

fn read_pcm(bytes: &[u8]) -> Result<(u32, Vec<i16>), WavError> {
    let reader = hound::WavReader::new(Cursor::new(bytes)).map_err(from_hound)?;
    let spec = reader.spec();
    let bits = spec.bits_per_sample;
    let samples: Result<Vec<i32>, hound::Error> = match spec.sample_format {
        hound::SampleFormat::Float => {
            reader.into_samples::<f32>().map(|s| s.map(|s| (s.clamp(-1.0, 1.0) * 32_767.0).round() as i32)).collect()
        }
        hound::SampleFormat::Int => reader
            .into_samples::<i32>()
            .map(|s| s.map(|s| if bits <= 16 { s << (16 - bits) } else { s >> (bits - 16) }))
            .collect(),
    };
    Ok((spec.sample_rate, mix(samples.map_err(from_hound)?.into_iter(), spec.channels)))
}

/// The mean of the channels; an incomplete last frame is dropped.
fn mix(samples: impl ExactSizeIterator<Item = i32>, channels: u16) -> Vec<i16> {
    let channels = usize::from(channels);
    let mut mono = Vec::with_capacity(samples.len() / channels);
    let (mut sum, mut count) = (0i64, 0);
    for sample in samples {
        sum += i64::from(sample);
        count += 1;
        if count == channels {
            mono.push((sum / channels as i64).clamp(-32_768, 32_767) as i16);
            (sum, count) = (0, 0);
        }
    }
    mono
}

fn from_hound(error: hound::Error) -> WavError {
    match error {
        hound::Error::IoError(_) | hound::Error::UnfinishedSample => WavError::Truncated,
        hound::Error::FormatError(why) => WavError::NotWav { why: why.to_owned() },
        hound::Error::Unsupported | hound::Error::TooWide | hound::Error::InvalidSampleFormat => {
            WavError::Unsupported {
                what: "the WAV file's samples are of a kind that is not read: PCM of 8 to 32 bits, 32-bit float, \
                   μ-law and A-law are"
                    .to_owned(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_hound(bits: u16, format: hound::SampleFormat, channels: u16, samples: &[f32]) -> Vec<u8> {
        let spec = hound::WavSpec { channels, sample_rate: 8_000, bits_per_sample: bits, sample_format: format };
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        for s in samples {
            match format {
                hound::SampleFormat::Float => writer.write_sample(*s).unwrap(),
                hound::SampleFormat::Int => {
                    writer.write_sample((f64::from(*s) * 2f64.powi(i32::from(bits) - 1)) as i32).unwrap();
                }
            }
        }
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    fn with_tag(tag: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = header(8_000, 1, data.len() as u32).to_vec();
        bytes[20..22].copy_from_slice(&tag.to_le_bytes());
        bytes[34] = 8;
        bytes.extend_from_slice(data);
        bytes
    }

    #[test]
    fn all_sample_formats_read_alike() {
        let expected = [0, 16_384, -16_384, 8_192];
        for (bits, format) in [
            (8, hound::SampleFormat::Int),
            (16, hound::SampleFormat::Int),
            (24, hound::SampleFormat::Int),
            (32, hound::SampleFormat::Int),
            (32, hound::SampleFormat::Float),
        ] {
            let wav = read(&by_hound(bits, format, 1, &[0.0, 0.5, -0.5, 0.25])).unwrap();
            for (a, b) in wav.samples.iter().zip(expected) {
                assert!((i32::from(*a) - b).abs() <= 1, "{bits} bits: {:?}", wav.samples);
            }
        }
    }

    #[test]
    fn channels_are_mixed() {
        let wav = read(&by_hound(16, hound::SampleFormat::Int, 2, &[0.5, 0.25, -0.5, 0.5])).unwrap();
        assert_eq!(wav.samples, [12_288, 0]);
    }

    #[test]
    fn g711_files_are_read() {
        assert_eq!(read(&with_tag(MULAW, &[0xFF, 0x80, 0x00])).unwrap().samples, [0, 32_124, -32_124]);
        assert_eq!(read(&with_tag(ALAW, &[0xD5, 0xAA])).unwrap().samples, [8, 32_256]);
    }

    #[test]
    fn what_is_written_is_read_by_us_and_by_hound() {
        let samples = [1, -2, 32_767, -32_768];
        let bytes = write(24_000, 1, &samples);
        assert_eq!(read(&bytes), Ok(Wav { rate_hz: 24_000, samples: samples.to_vec() }));
        let reader = hound::WavReader::new(&bytes[..]).unwrap();
        assert_eq!(reader.into_samples::<i16>().map(Result::unwrap).collect::<Vec<_>>(), samples);
    }

    #[test]
    fn broken_files_are_told_apart() {
        assert!(matches!(read(b""), Err(WavError::NotWav { .. })));
        assert!(matches!(read(b"ID3 this is an mp3 file, really"), Err(WavError::NotWav { .. })));
        assert_eq!(read(&write(8_000, 1, &[])), Err(WavError::Empty));
        let whole = write(8_000, 1, &[1, 2, 3]);
        assert_eq!(read(&whole[..whole.len() - 1]), Err(WavError::Truncated));
        assert_eq!(read(&whole[..40]), Err(WavError::Truncated));
        let text = read(&write(100, 1, &[1])).unwrap_err().to_string();
        assert!(text.contains("100 Hz") && text.contains("4000"), "{text}");
    }

    #[test]
    fn no_prefix_of_a_file_panics() {
        for whole in [write(8_000, 2, &[7; 40]), with_tag(MULAW, &[1; 9])] {
            for n in 0..whole.len() {
                assert!(read(&whole[..n]).is_err(), "{n} bytes");
            }
            for i in 0..HEADER_BYTES {
                for value in [0, 1, 0x7F, 0xFF] {
                    let mut odd = whole.clone();
                    odd[i] = value;
                    let _ = read(&odd);
                }
            }
        }
    }
}
