//! What the caller hears while tools run.

use serde::{Deserialize, Serialize};

use super::Sound;

/// A sound that is played over and over while tools run and nobody speaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolSound {
    /// The loop, at its volume already.
    pub sound: Sound,
    /// −40–0: by how many dB it was made quieter than its file.
    pub volume_db: f32,
    /// 0–10000: silence in which the caller has waited before it begins.
    pub grace_ms: u64,
    /// 0–2000: how long it takes to come up.
    pub fade_in_ms: u64,
    /// 0–2000: how long it takes to go away when nobody speaks; an agent who does takes its place at once.
    pub fade_out_ms: u64,
}
