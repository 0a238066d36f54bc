//! How a line carries audio.

use serde::{Deserialize, Serialize};

use crate::base::audio::g711;
use crate::base::time::Samples;

/// How samples are written on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// G.711 μ-law, one byte per sample.
    Pcmu,
    /// G.711 A-law, one byte per sample.
    Pcma,
    /// Linear, signed 16 bits, little endian.
    Linear16,
}

impl Codec {
    /// Appends the samples of `payload`, which is whole samples; an odd last byte of linear audio is left out.
    pub fn decode(self, payload: &[u8], out: &mut Vec<i16>) {
        match self {
            Codec::Pcmu => g711::decode_ulaw(payload, out),
            Codec::Pcma => g711::decode_alaw(payload, out),
            Codec::Linear16 => out.extend(payload.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair))),
        }
    }

    /// Appends `samples` as they are written.
    pub fn encode(self, samples: &[i16], out: &mut Vec<u8>) {
        match self {
            Codec::Pcmu => g711::encode_ulaw(samples, out),
            Codec::Pcma => g711::encode_alaw(samples, out),
            Codec::Linear16 => out.extend(samples.iter().flat_map(|sample| sample.to_le_bytes())),
        }
    }
}

/// The encoding and rate of one direction of audio, always mono.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AudioFormat {
    /// How samples are written.
    pub codec: Codec,
    /// Samples per second.
    pub rate_hz: u32,
}

impl AudioFormat {
    /// What phone lines carry: μ-law at 8 kHz.
    pub const PHONE: AudioFormat = AudioFormat { codec: Codec::Pcmu, rate_hz: 8_000 };
    /// What the OpenAI Realtime API calls `audio/pcm`: linear at 24 kHz.
    pub const PCM_24K: AudioFormat = AudioFormat { codec: Codec::Linear16, rate_hz: 24_000 };

    /// Bytes that one sample takes.
    pub const fn bytes_per_sample(self) -> usize {
        match self.codec {
            Codec::Pcmu | Codec::Pcma => 1,
            Codec::Linear16 => 2,
        }
    }

    /// Whole samples in `bytes` bytes.
    pub const fn samples(self, bytes: usize) -> Samples {
        Samples((bytes / self.bytes_per_sample()) as u64)
    }

    /// Bytes that `samples` take.
    pub const fn bytes(self, samples: Samples) -> usize {
        samples.0 as usize * self.bytes_per_sample()
    }

    /// The byte of which silence is made in this codec.
    pub const fn silence_byte(self) -> u8 {
        match self.codec {
            Codec::Pcmu => 0xFF,
            Codec::Pcma => 0xD5,
            Codec::Linear16 => 0x00,
        }
    }
}
