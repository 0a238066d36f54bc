//! Audio between the line's format and the model's.

use crate::audio::{AudioFormat, Codec, Resampler};

/// Both directions of one session.
#[derive(Debug)]
pub(super) enum Converter {
    /// The formats are equal: bytes pass untouched. A sample cut in two by the far end is put together again.
    Off {
        /// Bytes of a whole sample.
        sample: usize,
        half: Half,
    },
    /// Codec, rate or both differ.
    On(Box<Conversion>),
}

/// The first half of a sample whose second half has not come yet.
type Half = Option<u8>;

/// Codecs and resamplers, with buffers that are used again for every message.
///
/// Each direction delays by its resampler's filter, 3 ms between 8 and 24 kHz and nothing at equal rates; what the filter
/// holds back at an item's end is dropped.
#[derive(Debug)]
pub(super) struct Conversion {
    line: Codec,
    model: Codec,
    to_model: Resampler,
    to_line: Resampler,
    half: Half,
    /// Linear samples before the rate changes.
    before: Vec<i16>,
    /// And after.
    after: Vec<i16>,
    /// The converted bytes.
    bytes: Vec<u8>,
}

/// Bytes left free in front of decoded audio, so that a carried half sample needs no move.
pub(super) const ROOM: usize = 1;

impl Converter {
    pub(super) fn new(line: AudioFormat, model: AudioFormat) -> Self {
        if line == model {
            return Converter::Off { sample: model.bytes_per_sample(), half: None };
        }
        Converter::On(Box::new(Conversion {
            line: line.codec,
            model: model.codec,
            to_model: Resampler::new(line.rate_hz, model.rate_hz),
            to_line: Resampler::new(model.rate_hz, line.rate_hz),
            half: None,
            before: Vec::new(),
            after: Vec::new(),
            bytes: Vec::new(),
        }))
    }

    /// A new item begins: nothing of the one before belongs to it.
    pub(super) fn begin_item(&mut self) {
        match self {
            Converter::Off { half, .. } => *half = None,
            Converter::On(conversion) => {
                conversion.half = None;
                conversion.to_line.reset();
            }
        }
    }

    /// The line's audio as the model takes it.
    pub(super) fn line_to_model<'a>(&'a mut self, payload: &'a [u8]) -> &'a [u8] {
        match self {
            Converter::Off { .. } => payload,
            Converter::On(conversion) => {
                let Conversion { line, model, to_model, before, after, bytes, .. } = &mut **conversion;
                convert(payload, *line, to_model, *model, before, after, bytes)
            }
        }
    }

    /// The model's audio as the line takes it, in whole samples. `audio` holds it behind [`ROOM`] bytes.
    pub(super) fn model_to_line<'a>(&'a mut self, audio: &'a mut Vec<u8>) -> &'a [u8] {
        match self {
            Converter::Off { sample: 1, .. } => &audio[ROOM..],
            Converter::Off { half, .. } => whole_samples(half, audio),
            Converter::On(conversion) => {
                let Conversion { line, model, to_line, half, before, after, bytes, .. } = &mut **conversion;
                let audio = match model {
                    Codec::Linear16 => whole_samples(half, audio),
                    Codec::Pcmu | Codec::Pcma => &audio[ROOM..],
                };
                convert(audio, *model, to_line, *line, before, after, bytes)
            }
        }
    }
}

/// The 16-bit samples in `audio`, the carried half in front; a half at the end is carried on.
fn whole_samples<'a>(half: &mut Half, audio: &'a mut Vec<u8>) -> &'a [u8] {
    let mut from = ROOM;
    if let Some(first) = half.take() {
        from -= 1;
        audio[from] = first;
    }
    if (audio.len() - from) % 2 == 1 {
        *half = audio.pop();
    }
    &audio[from..]
}

fn convert<'a>(
    audio: &[u8],
    from: Codec,
    resampler: &mut Resampler,
    to: Codec,
    before: &mut Vec<i16>,
    after: &mut Vec<i16>,
    bytes: &'a mut Vec<u8>,
) -> &'a [u8] {
    before.clear();
    from.decode(audio, before);
    after.clear();
    resampler.process(before, after);
    bytes.clear();
    to.encode(after, bytes);
    bytes
}
