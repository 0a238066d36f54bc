//! WAV files, to and from memory.

use std::fmt;

use crate::base::audio::g711;

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

/// Reads a WAV file: PCM of 8 to 32 bits, float of 32 or 64, μ-law or A-law; any number of channels, mixed to one.
///
/// Whoever makes a file while it is sent does not know its length, and puts a placeholder into its header: then the
/// samples go on to the end of the file.
pub fn read(bytes: &[u8]) -> Result<Wav, WavError> {
    read_as(bytes, mix)
}

/// Reads one channel of a WAV file, which counts from 0; one that there is not is silent.
pub fn read_channel(bytes: &[u8], channel: u16) -> Result<Wav, WavError> {
    read_as(bytes, |samples, channels| {
        let frames = samples.chunks_exact(usize::from(channels));
        frames.map(|frame| frame.get(usize::from(channel)).copied().unwrap_or_default()).collect()
    })
}

fn read_as(bytes: &[u8], mono: impl FnOnce(Vec<i16>, u16) -> Vec<i16>) -> Result<Wav, WavError> {
    if bytes.len() > MAX_BYTES {
        return Err(WavError::TooLarge { bytes: bytes.len() });
    }
    let chunks = Chunks::find(bytes)?;
    let samples = mono(chunks.samples()?, chunks.channels);
    let rate_hz = chunks.rate_hz;
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
const FLOAT: u16 = 3;
const ALAW: u16 = 6;
const MULAW: u16 = 7;
/// The format stands behind the fields that all formats have.
const EXTENSIBLE: u16 = 0xFFFE;

/// A size of this or more is no file's that is read ([`MAX_BYTES`] is four times as much): it stands for one that nobody
/// knew. Encoders use 2³² − 1, 2³¹ − 1, 2 × 10⁹ and numbers near them.
const PLACEHOLDER_BYTES: usize = 1 << 28;

/// What of a RIFF file must be known to read it.
struct Chunks<'a> {
    tag: u16,
    channels: u16,
    rate_hz: u32,
    /// Bits that a sample has, and bytes that it takes.
    bits: u16,
    bytes: usize,
    data: &'a [u8],
}

impl<'a> Chunks<'a> {
    fn find(bytes: &'a [u8]) -> Result<Self, WavError> {
        let not = |why: &str| WavError::NotWav { why: why.to_owned() };
        if bytes.is_empty() {
            return Err(not("the file is empty"));
        }
        // RF64, and BW64 after it, are RIFF for files of more than 4 GiB, and what some encoders write in case it becomes one.
        let riff = matches!(bytes.get(..4), Some(b"RIFF" | b"RF64" | b"BW64"));
        if bytes.len() < 12 || !riff || &bytes[8..12] != b"WAVE" {
            return Err(not("it does not begin with RIFF and WAVE"));
        }
        let mut rest = &bytes[12..];
        let mut format = None;
        // How long the samples are where 32 bits do not say.
        let mut long: Option<usize> = None;
        while let Some((head, body)) = rest.split_at_checked(8) {
            let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
            let chunk = body.get(..size);
            match &head[..4] {
                b"fmt " => {
                    let chunk = chunk.filter(|c| c.len() >= 16).ok_or(WavError::Truncated)?;
                    let u16_at = |i: usize| u16::from_le_bytes([chunk[i], chunk[i + 1]]);
                    let rate_hz = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
                    let tag = match u16_at(0) {
                        EXTENSIBLE if chunk.len() >= 26 => u16_at(24),
                        tag => tag,
                    };
                    format = Some((tag, u16_at(2), rate_hz, u16_at(12), u16_at(14)));
                }
                b"ds64" => {
                    let size = chunk.and_then(|chunk| chunk.get(8..16)?.try_into().ok()).map_or(0, u64::from_le_bytes);
                    long = usize::try_from(size).ok().filter(|&size| size > 0);
                }
                b"data" => {
                    let (tag, channels, rate_hz, frame_bytes, bits) =
                        format.ok_or_else(|| not("its samples come before their format"))?;
                    if channels == 0 {
                        return Err(not("it has no channels"));
                    }
                    let data = match chunk {
                        // An open file: nobody has come back to write its size.
                        Some([]) if !is_chunks(body) => body,
                        Some(data) => data,
                        None if size >= PLACEHOLDER_BYTES => long.and_then(|size| body.get(..size)).unwrap_or(body),
                        None => return Err(WavError::Truncated),
                    };
                    // What is said of frames is often wrong; it is needed where 24 bits may take three bytes or four.
                    let bytes = match bits {
                        24 if Some(frame_bytes) == channels.checked_mul(4) => 4,
                        bits => usize::from(bits.div_ceil(8)),
                    };
                    return Ok(Chunks { tag, channels, rate_hz, bits, bytes, data });
                }
                _ => {}
            }
            // Chunks begin at even places.
            rest = body.get(size.saturating_add(size & 1)..).unwrap_or_default();
        }
        Err(if format.is_some() { WavError::Truncated } else { not("it has no format and no samples") })
    }

    /// All samples of all channels as 16 bits; what is left of an incomplete one is dropped.
    fn samples(&self) -> Result<Vec<i16>, WavError> {
        let float = |value: f64| (value.clamp(-1.0, 1.0) * 32_767.0).round() as i16;
        Ok(match (self.tag, self.bytes, self.bits) {
            (MULAW, ..) => self.data.iter().map(|&code| g711::ulaw_to_linear(code)).collect(),
            (ALAW, ..) => self.data.iter().map(|&code| g711::alaw_to_linear(code)).collect(),
            (PCM, 1, 1..=8) => self.data.iter().map(|&byte| (i16::from(byte) - 128) << 8).collect(),
            (PCM, 2, 9..=16) => self.each(i16::from_le_bytes),
            (PCM, 3, 17..=24) => self.each(|[_, low, high]| i16::from_le_bytes([low, high])),
            // 24 bits in the lower part of 32, as they are written where the format does not say how many are valid.
            (PCM, 4, 24) => self.each(|[_, low, high, _]| i16::from_le_bytes([low, high])),
            (PCM, 4, 25..=32) => self.each(|[_, _, low, high]| i16::from_le_bytes([low, high])),
            (FLOAT, 4, 32) => self.each(|bytes| float(f32::from_le_bytes(bytes).into())),
            (FLOAT, 8, 64) => self.each(|bytes| float(f64::from_le_bytes(bytes))),
            _ => {
                let what = "the WAV file's samples are of a kind that is not read: PCM of 8 to 32 bits, float of 32 or \
                            64, μ-law and A-law are";
                return Err(WavError::Unsupported { what: what.to_owned() });
            }
        })
    }

    fn each<const N: usize>(&self, read: impl Fn([u8; N]) -> i16) -> Vec<i16> {
        self.data.as_chunks::<N>().0.iter().map(|bytes| read(*bytes)).collect()
    }
}

/// Whether what follows is chunks up to the file's end, or nothing.
fn is_chunks(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some((head, body)) = rest.split_at_checked(8) else { return false };
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if size > body.len() || !head[..4].iter().all(|byte| (b' '..=b'~').contains(byte)) {
            return false;
        }
        // The last one may lack the byte that makes it even.
        rest = body.get(size + (size & 1)..).unwrap_or_default();
    }
    true
}

/// The mean of the channels; an incomplete last frame is dropped.
fn mix(samples: Vec<i16>, channels: u16) -> Vec<i16> {
    if channels == 1 {
        return samples;
    }
    let mean = |frame: &[i16]| (frame.iter().map(|&s| i64::from(s)).sum::<i64>() / i64::from(channels)) as i16;
    samples.chunks_exact(usize::from(channels)).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

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

    /// A file as it is made while it is sent: with chunks before the samples, and sizes that nobody knew.
    fn streamed(id: &[u8; 4], riff: u32, data: u32, before: &[u8], samples: &[i16]) -> Vec<u8> {
        let whole = write(24_000, 1, samples);
        let mut bytes = [id, &riff.to_le_bytes()[..], &whole[8..36], before, b"data", &data.to_le_bytes()].concat();
        bytes.extend_from_slice(&whole[HEADER_BYTES..]);
        bytes
    }

    #[test]
    fn sizes_that_stand_for_an_unknown_one_mean_the_end_of_the_file() {
        let samples: Vec<i16> = (0..500).map(|n| n * 30).collect();
        let list = b"LIST\x0a\0\0\0INFOISFT\0\0";
        for (riff, data) in [
            (u32::MAX, u32::MAX),
            (0x7FFF_FFFF, 0x7FFF_FFFF),
            (0x7FFF_F024, 0x7FFF_F000),
            (2_000_000_036, 2_000_000_000),
            (u32::MAX, u32::MAX - 36),
            (0, 0),
            (36, 0),
            (u32::MAX, 0),
        ] {
            for before in [&b""[..], list] {
                for id in [b"RIFF", b"RF64"] {
                    let wav =
                        read(&streamed(id, riff, data, before, &samples)).unwrap_or_else(|e| panic!("{data}: {e}"));
                    assert_eq!((wav.rate_hz, wav.samples.len()), (24_000, 500), "{riff:x} {data:x}");
                    assert_eq!(wav.samples, samples);
                }
            }
            // The stream was cut within a sample.
            let cut = streamed(b"RIFF", riff, data, b"", &samples);
            assert_eq!(read(&cut[..cut.len() - 1]).unwrap().samples, samples[..499]);
        }
        // A file that is honestly empty, and has something else behind.
        let mut empty = write(24_000, 1, &[]);
        empty.extend_from_slice(list);
        assert_eq!(read(&empty), Err(WavError::Empty));
        assert_eq!(read(&streamed(b"RIFF", u32::MAX, u32::MAX, b"", &[])), Err(WavError::Empty));
    }

    #[test]
    fn a_size_of_64_bits_counts_where_it_is_honest() {
        let samples: Vec<i16> = (0..500).map(|n| n * 30).collect();
        let list = b"LIST\x0a\0\0\0INFOISFT\0\0";
        let ds64 = |data: u64| {
            let size = [28u32.to_le_bytes(), [0; 4], [0; 4]].concat();
            [b"ds64", &size[..], &data.to_le_bytes(), &(data / 2).to_le_bytes(), &[0; 4]].concat()
        };
        for id in [b"RF64", b"BW64"] {
            let with = |data: u64, behind: &[u8]| {
                let before = ds64(data);
                let mut bytes = streamed(id, u32::MAX, u32::MAX, b"", &samples);
                bytes.splice(12..12, before);
                bytes.extend_from_slice(behind);
                read(&bytes).unwrap_or_else(|e| panic!("{data}: {e}")).samples
            };
            assert_eq!(with(1_000, list), samples, "what is behind the samples is none");
            // Nobody came back to write it, or the file was cut: the samples go on to its end.
            for data in [0, 1_002, u64::MAX] {
                assert_eq!(with(data, b""), samples, "{data}");
            }
        }
    }

    #[test]
    fn formats_that_say_more_than_they_need_are_read() {
        let extensible = |tag: u16, bits: u16, bytes: u16, data: &[u8]| {
            let mut fmt = Vec::new();
            for field in [EXTENSIBLE, 2] {
                fmt.extend_from_slice(&field.to_le_bytes());
            }
            fmt.extend_from_slice(&48_000u32.to_le_bytes());
            fmt.extend_from_slice(&(48_000 * 2 * u32::from(bytes)).to_le_bytes());
            for field in [2 * bytes, 8 * bytes, 22, bits, 3, 0, tag, 0] {
                fmt.extend_from_slice(&field.to_le_bytes());
            }
            fmt.extend_from_slice(&[0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71][..]);
            let size = |bytes: &[u8]| (bytes.len() as u32).to_le_bytes();
            [b"RIFF\0\0\0\0WAVEodd \x03\0\0\0abc\0fmt ", &size(&fmt)[..], &fmt, b"data", &size(data), data].concat()
        };
        let ints: Vec<u8> = [1 << 30, 1 << 29, -(1 << 30), 0].iter().flat_map(|v: &i32| v.to_le_bytes()).collect();
        assert_eq!(read(&extensible(PCM, 24, 4, &ints)).unwrap().samples, [12_288, -8_192]);
        let three: Vec<u8> = ints.chunks(4).flat_map(|v| v[1..].to_vec()).collect();
        assert_eq!(read(&extensible(PCM, 24, 3, &three)).unwrap().samples, [12_288, -8_192]);
        let floats: Vec<u8> = [0.5f64, 0.5, f64::NAN, -9.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(read(&extensible(FLOAT, 64, 8, &floats)).unwrap().samples, [16_384, -16_383]);
        assert_eq!(read_channel(&extensible(PCM, 16, 2, &[1, 0, 2, 0, 3, 0, 4, 0, 5]), 0).unwrap().samples, [1, 3]);
        for (tag, bytes) in [(2, 1), (PCM, 5), (FLOAT, 2), (0x55, 2)] {
            let refused = read(&extensible(tag, 8 * bytes, bytes, &[0; 80]));
            assert!(matches!(refused, Err(WavError::Unsupported { .. })), "{tag} {bytes}: {refused:?}");
        }
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
