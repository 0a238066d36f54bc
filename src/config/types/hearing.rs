//! How a caller is heard: whose turn detection, what interrupts, whose noise reduction.

use serde::{Deserialize, Serialize};

/// Who decides when the caller's turn begins and ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum TurnDetection {
    /// Our own voice activity detection.
    Local(TurnSettings),
    /// The model's server VAD.
    Provider {
        /// 0–1.
        threshold: f32,
        /// 0–1000.
        prefix_padding_ms: u32,
        /// 50–2000.
        silence_duration_ms: u32,
    },
    /// The model's semantic VAD.
    Semantic {
        /// How soon it takes the turn.
        eagerness: Eagerness,
    },
    /// Nobody: the turn is committed by a key or the control API.
    Disabled {
        /// The DTMF key that commits.
        commit_key: Option<char>,
    },
}

/// How local detection decides where a turn begins and ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TurnSettings {
    /// What tells speech from other sound.
    pub engine: VadEngine,
    /// 0–1: speech probability from which on a step counts as speech.
    pub threshold: f32,
    /// 0–0.5: running speech goes on down to the threshold less this.
    pub hysteresis: f32,
    /// 0–1000: audio before the detected start that belongs to the turn.
    pub prefix_padding_ms: u32,
    /// 50–2000: silence that ends a turn.
    pub silence_duration_ms: u32,
    /// 0–1000: speech that confirms a start; less is a click or a cough.
    pub min_speech_ms: u32,
    /// 5–600: a turn that lasts longer is ended; 0: never.
    pub max_turn_s: u32,
    /// 6–40: speech this many dB below the caller's own does not stop the agent; 0: all does.
    // Calls before there was this setting had none of it.
    #[serde(default)]
    pub level_margin_db: u32,
}

impl Default for TurnSettings {
    fn default() -> Self {
        TurnSettings {
            engine: VadEngine::Silero,
            threshold: 0.5,
            hysteresis: 0.15,
            prefix_padding_ms: 300,
            silence_duration_ms: 200,
            min_speech_ms: 32,
            max_turn_s: 60,
            level_margin_db: 15,
        }
    }
}

/// What tells speech from other sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VadEngine {
    /// Silero's network.
    #[default]
    Silero,
    /// The earshot network: cheaper, takes noise for speech more often.
    Earshot,
    /// Loudness over the background: next to no cost, for clean lines.
    Energy,
}

/// Settings that are tried silently beside the live ones: they share the live engine's probabilities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    /// What the report and metrics call it.
    pub name: String,
    /// Instead of the live settings; `engine` is the live one.
    pub turn: TurnSettings,
    /// Instead of the live rule.
    pub interruptions: Interruptions,
    /// Instead of the live rule.
    pub false_interruptions: FalseInterruptions,
}

/// Shadows at once.
pub const MAX_SHADOWS: usize = 3;

/// How soon semantic turn detection takes the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Eagerness {
    /// The vendor's choice (medium).
    Auto,
    /// Waits up to about 8 s.
    Low,
    /// Waits up to about 4 s.
    Medium,
    /// Waits up to about 2 s.
    High,
}

/// What caller speech does to an agent who is speaking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interruptions {
    /// It stops the agent at once.
    On,
    /// The agent finishes.
    Off,
    /// It stops the agent after this many milliseconds of speech (1–5000).
    AfterMs(u32),
    /// It stops the agent after this many words (1–20): an estimate from voiced time until there is a transcript.
    MinWords(u32),
}

/// Speech that stopped the agent and turns out to be none: a cough, a click, a bare "uh-huh". Local detection only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FalseInterruptions {
    /// Whether the agent goes on at the sample where it stopped.
    pub resume: bool,
    /// 0–5000: speech as long as this interrupts by its length; of shorter speech the words decide.
    pub shorter_than_ms: u32,
    /// 100–5000: without a transcript in this time it interrupts.
    pub verdict_ms: u32,
    /// 0–5000: the same as `shorter_than_ms` where no transcripts come: shorter speech does not interrupt.
    pub untranscribed_ms: u32,
}

impl Default for FalseInterruptions {
    fn default() -> Self {
        // A "mm-hm" takes half a second; docs/turns.md says where the last one is from.
        FalseInterruptions { resume: true, shorter_than_ms: 700, verdict_ms: 800, untranscribed_ms: 450 }
    }
}

/// Noise reduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseReduction {
    /// Off.
    None,
    /// For a handset or headset.
    NearField,
    /// For a speakerphone or a room.
    FarField,
}

/// Who reduces the noise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseEngine {
    /// This server, by RNNoise.
    Local,
    /// The model's vendor, who gets the audio as it came.
    #[default]
    Provider,
}
