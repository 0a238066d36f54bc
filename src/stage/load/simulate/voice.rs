//! What a caller's frames hold, for ears that hear for themselves: μ-law that is loud as speech is, and a line's hiss.

use std::sync::Arc;

use crate::base::audio::g711;
use crate::stage::load::random::Random;

/// Samples of a 20 ms frame.
const FRAME: usize = 160;
/// Frames until speech repeats itself, a syllable and a gap many times over.
const FRAMES: usize = 48;
/// Frames from one syllable to the next, and how many of them are quiet.
const SYLLABLE: usize = 12;
const GAP: usize = 2;
/// Largest samples of speech and of a quiet line.
const LOUD: u64 = 9_000;
const HISS: u64 = 24;

/// Frames that all callers share.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    pub(super) speech: Arc<[u8]>,
    pub(super) quiet: Arc<[u8]>,
}

impl Voice {
    pub(super) fn new() -> Self {
        let mut random = Random::new(1, 1);
        let mut noise = |peak: u64| random.range(0, 2 * peak) as i16 - peak as i16;
        let speech: Vec<i16> = (0..FRAMES * FRAME)
            .map(|n| noise(if n / FRAME % SYLLABLE < SYLLABLE - GAP { LOUD } else { HISS }))
            .collect();
        let quiet: Vec<i16> = (0..FRAMES * FRAME).map(|_| noise(HISS)).collect();
        let frames = |samples: &[i16]| {
            let mut frames = Vec::with_capacity(samples.len());
            g711::encode_ulaw(samples, &mut frames);
            frames.into()
        };
        Voice { speech: frames(&speech), quiet: frames(&quiet) }
    }
}
