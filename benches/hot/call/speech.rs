//! Speech without a pause, from the fixtures: a detector has its whole work with it, and a turn begun in it does not end.

use offhook::base::audio::wav;

const TRACK: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/audio/track-ben.wav"));
/// Where it lies in the track, at 8 kHz: 1.6 s, which are whole frames of 20 ms and whole steps of 32 ms.
const STRETCH: std::ops::Range<usize> = 11_200..24_000;

/// Linear, 8 kHz, 80 frames of 20 ms.
pub(crate) fn speech() -> Vec<i16> {
    let track = wav::read(TRACK).map(|wav| wav.samples).unwrap_or_default();
    let speech = track.get(STRETCH).unwrap_or_default();
    assert!(!speech.is_empty(), "fixtures/audio/track-ben.wav is not the recorded caller");
    speech.to_vec()
}
