//! Audio between the line's format and the model's.

use crate::audio::AudioFormat;

/// Both directions of one session.
#[derive(Debug)]
pub(super) enum Converter {
    /// The formats are equal: bytes pass untouched. A sample cut in two by the far end is put together again.
    Off {
        /// Bytes of a whole sample.
        sample: usize,
        /// The first half of a sample whose second half has not come yet.
        half: Option<u8>,
    },
}

impl Converter {
    pub(super) fn new(_line: AudioFormat, model: AudioFormat) -> Self {
        Converter::Off { sample: model.bytes_per_sample(), half: None }
    }

    /// A new item begins: nothing of the one before belongs to it.
    pub(super) fn restart(&mut self) {
        match self {
            Converter::Off { half, .. } => *half = None,
        }
    }

    /// The line's audio as the model takes it.
    pub(super) fn to_model<'a>(&'a mut self, payload: &'a [u8]) -> &'a [u8] {
        match self {
            Converter::Off { .. } => payload,
        }
    }

    /// The model's audio, decoded from base64 behind the `room` bytes at the front, as whole samples of the line.
    pub(super) fn to_line<'a>(&mut self, audio: &'a mut Vec<u8>) -> &'a [u8] {
        match self {
            Converter::Off { sample: 1, .. } => &audio[ROOM..],
            Converter::Off { half, .. } => {
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
        }
    }
}

/// Bytes left free in front of decoded audio, so that a carried half sample needs no move.
pub(super) const ROOM: usize = 1;
