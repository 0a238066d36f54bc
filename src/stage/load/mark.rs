//! Names in audio: which caller's which frame this is, so that it is known again at the far end of any server that hands
//! on μ-law as it comes. A mark is in the lowest bits of 64 samples, where it is some 30 dB below speech.

use crate::stage::phone::script::SLOT_BYTES;

/// Samples that carry a mark.
pub(crate) const SAMPLES: usize = 64;

/// A frame's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Who sent it.
    pub(crate) source: u16,
    /// Which of the source's frames it is.
    pub(crate) seq: u32,
}

impl Mark {
    /// Writes it into the first samples of `audio`; shorter audio is left as it is.
    pub(crate) fn write(self, audio: &mut [u8]) {
        let bits = self.bits();
        for (n, sample) in audio.iter_mut().take(SAMPLES).enumerate() {
            *sample = *sample & 0xFE | (bits >> n & 1) as u8;
        }
    }

    /// The mark at the beginning of `audio`. One in 65,536 pieces of other audio seems to have one: who looks a mark up
    /// finds that its source sent no such frame lately.
    pub(crate) fn read(audio: &[u8]) -> Option<Mark> {
        let samples = audio.get(..SAMPLES)?;
        let bits = samples.iter().enumerate().fold(0u64, |bits, (n, sample)| bits | u64::from(sample & 1) << n);
        let mark = Mark { source: (bits >> 32) as u16, seq: bits as u32 };
        (mark.bits() == bits).then_some(mark)
    }

    /// Writes a source's frames into a stretch of audio, from `seq` on; gives the number of whole frames.
    pub(crate) fn write_frames(source: u16, seq: u32, audio: &mut [u8]) -> u32 {
        let frames = audio.chunks_exact_mut(SLOT_BYTES);
        let count = frames.len() as u32;
        for (n, frame) in frames.enumerate() {
            Mark { source, seq: seq.wrapping_add(n as u32) }.write(frame);
        }
        count
    }

    fn bits(self) -> u64 {
        let named = u64::from(self.source) << 32 | u64::from(self.seq);
        // Multiplied by a large odd number (2^64 over the golden ratio), the upper bits depend on all below.
        let check = (named ^ 0x5AA5_0FF0_3CC3).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
        check << 48 | named
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(source in any::<u16>(), seq in any::<u32>(), audio in prop::collection::vec(any::<u8>(), 64..200)) {
            let mut marked = audio.clone();
            Mark { source, seq }.write(&mut marked);
            prop_assert_eq!(Mark::read(&marked), Some(Mark { source, seq }));
            prop_assert!(marked.iter().zip(&audio).all(|(a, b)| a & 0xFE == b & 0xFE));
            prop_assert_eq!(&marked[64..], &audio[64..]);
            prop_assert_eq!(Mark::read(&marked[..63]), None);
        }
    }

    #[test]
    fn other_audio_has_none_and_frames_are_counted() {
        assert_eq!(Mark::read(&[0xFF; 160]), None, "silence");
        assert_eq!(Mark::read(&[0; 160]), None);
        let mut audio = vec![0x55; 400];
        assert_eq!(Mark::write_frames(7, u32::MAX, &mut audio), 2);
        assert_eq!(Mark::read(&audio), Some(Mark { source: 7, seq: u32::MAX }));
        assert_eq!(Mark::read(&audio[160..]), Some(Mark { source: 7, seq: 0 }));
        assert_eq!(Mark::read(&audio[320..]), None);
    }
}
