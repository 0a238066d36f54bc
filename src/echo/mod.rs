//! The agent's own voice coming back on the caller's track.

use crate::time::Samples;

/// Takes the agent's echo out of the caller's audio.
#[derive(Debug)]
pub struct EchoGuard {}

impl EchoGuard {
    /// For audio at `rate_hz`.
    pub fn new(_rate_hz: u32) -> Self {
        EchoGuard {}
    }

    /// Agent audio that is audible at the line from media position `at` on; told up to a second ahead, in order.
    pub fn played(&mut self, _at: Samples, _samples: &[i16]) {}

    /// What was told for `from` on is not played.
    pub fn cleared(&mut self, _from: Samples) {}

    /// Takes the echo out of caller audio at `at`, in place.
    pub fn process(&mut self, _at: Samples, _near: &mut [i16]) {}

    /// 0–1: how much of what came since this was last asked is the agent's own voice.
    pub fn echo_share(&mut self) -> f32 {
        0.0
    }
}
