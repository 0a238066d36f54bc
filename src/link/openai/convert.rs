//! Audio between the line's format and the model's.

use crate::base::audio::{AudioFormat, Codec, Resampler};

/// Both directions of one session.
#[derive(Debug)]
pub(super) struct Converter {
    line: AudioFormat,
    up: Option<Box<Conversion>>,
    down: Option<Box<Conversion>>,
    to: AudioFormat,
    from: AudioFormat,
    /// The first half of a sample of which the far end has not sent the second yet.
    half: Option<u8>,
}

/// Codecs and a resampler, with buffers that are used again for every message.
///
/// It delays by its resampler's filter, 3 ms between 8 and 24 kHz and nothing at equal rates; what the filter holds back at
/// an item's end is dropped.
#[derive(Debug)]
struct Conversion {
    from: Codec,
    to: Codec,
    resampler: Resampler,
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
    /// Between a line and a model that takes `to` and sends `from`. Where formats are equal, bytes pass untouched.
    pub(super) fn new(line: AudioFormat, to: AudioFormat, from: AudioFormat) -> Self {
        Converter { line, up: Conversion::new(line, to), down: Conversion::new(from, line), to, from, half: None }
    }

    /// What the model takes, and what it sends, from now on.
    pub(super) fn follow(&mut self, to: AudioFormat, from: AudioFormat) {
        *self = Converter::new(self.line, to, from);
    }

    /// What comes from the model.
    pub(super) fn from(&self) -> AudioFormat {
        self.from
    }

    /// What the model takes, and what it sends.
    pub(super) fn formats(&self) -> (AudioFormat, AudioFormat) {
        (self.to, self.from)
    }

    /// A new item begins: nothing of the one before belongs to it.
    pub(super) fn begin_item(&mut self) {
        self.half = None;
        if let Some(conversion) = &mut self.down {
            conversion.resampler.reset();
        }
    }

    /// The line's audio as the model takes it.
    pub(super) fn line_to_model<'a>(&'a mut self, payload: &'a [u8]) -> &'a [u8] {
        match &mut self.up {
            None => payload,
            Some(conversion) => conversion.convert(payload),
        }
    }

    /// The model's audio as the line takes it, in whole samples. `audio` holds it behind [`ROOM`] bytes.
    pub(super) fn model_to_line<'a>(&'a mut self, audio: &'a mut Vec<u8>) -> &'a [u8] {
        let audio = match self.from.codec {
            Codec::Linear16 => whole_samples(&mut self.half, audio),
            Codec::Pcmu | Codec::Pcma => &audio[ROOM..],
        };
        match &mut self.down {
            None => audio,
            Some(conversion) => conversion.convert(audio),
        }
    }
}

impl Conversion {
    /// `None` between equal formats.
    fn new(from: AudioFormat, to: AudioFormat) -> Option<Box<Self>> {
        (from != to).then(|| {
            Box::new(Conversion {
                from: from.codec,
                to: to.codec,
                resampler: Resampler::new(from.rate_hz, to.rate_hz),
                before: Vec::new(),
                after: Vec::new(),
                bytes: Vec::new(),
            })
        })
    }

    fn convert(&mut self, audio: &[u8]) -> &[u8] {
        self.before.clear();
        self.from.decode(audio, &mut self.before);
        self.after.clear();
        self.resampler.process(&self.before, &mut self.after);
        self.bytes.clear();
        self.to.encode(&self.after, &mut self.bytes);
        &self.bytes
    }
}

/// The 16-bit samples in `audio`, the carried half in front; a half at the end is carried on.
fn whole_samples<'a>(half: &mut Option<u8>, audio: &'a mut Vec<u8>) -> &'a [u8] {
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
