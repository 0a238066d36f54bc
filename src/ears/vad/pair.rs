//! The default engine: both of Silero's networks on the same 32 ms, and the level.
//!
//! The two were trained apart and err apart: their mean in log-odds starts on fewer clicks, keys and bursts of noise than
//! either alone, so that one step over the threshold is a start.
//!
//! Digital silence is heard like anything else: the networks' states go on moving for more than 45 s of it, so that leaving
//! steps out would change what is heard afterwards.

use super::doubler::Doubler;
use super::gate::Gate;
use super::silero::{Branch, Silero};
use super::{Level, from_log_odds, log_odds};
use crate::base::audio::Resampler;

/// The 8 kHz network's part of the mean. With 0.3 the F1 score rises by 0.001 to 0.003, and so do the starts on coughs, keys
/// and noise: these stop an agent, which so few frames do not.
const NARROW: f32 = 0.5;

pub(super) struct Pair {
    narrow: Silero,
    wide: Silero,
    other: Other,
    gate: Gate,
}

/// How the network of the other rate comes by its audio.
enum Other {
    /// Frames come at 8 kHz.
    Up(Doubler, Box<[i16]>),
    /// Frames come at 16 kHz.
    Down(Resampler, Vec<i16>),
}

impl Pair {
    /// For frames of 32 ms at `base_hz`, 8 000 or 16 000.
    pub(super) fn new(base_hz: u32) -> Self {
        let other = if base_hz == 8_000 {
            Other::Up(Doubler::default(), vec![0; Branch::Khz16.step()].into_boxed_slice())
        } else {
            Other::Down(Resampler::new(16_000, 8_000), Vec::with_capacity(Branch::Khz8.step() + 1))
        };
        Pair { narrow: Silero::new(Branch::Khz8), wide: Silero::new(Branch::Khz16), other, gate: Gate::default() }
    }

    pub(super) fn step(&mut self, frame: &[i16], level: Level) -> f32 {
        let (narrow, wide) = match &mut self.other {
            Other::Up(doubler, doubled) => {
                doubler.process(frame, doubled);
                (self.narrow.step(frame), self.wide.step(doubled))
            }
            Other::Down(resampler, halved) => {
                halved.clear();
                resampler.process(frame, halved);
                (self.narrow.step(halved), self.wide.step(frame))
            }
        };
        let log_odds = NARROW * log_odds(narrow) + (1.0 - NARROW) * log_odds(wide);
        from_log_odds(self.gate.apply(log_odds, level))
    }
}
