//! The level's say: what is much quieter than the caller's voice is hardly the caller's voice.
//!
//! Silero goes on for some 90 ms after speech has ended. The level does not: this brings the end of speech forward where
//! there is room between the voice and the background, and does nothing where there is none.

use super::Level;

/// The part of the range from background to voice below which a step is doubted.
const DOUBTED: f32 = 0.2;
/// Doubt per dB below it, in log-odds.
const DOUBT_PER_DB: f32 = 0.3;
/// The most doubt, in log-odds: a network that is sure is not overruled.
const MOST_DOUBT: f32 = 3.0;
/// Log-odds beyond which a step tells what the background or the voice is like.
const SURE: f32 = 2.0;
/// How fast the background is learned when it rises and when it falls, and the voice: parts per step.
const RISE: f32 = 0.05;
const FALL: f32 = 0.3;
const VOICE: f32 = 0.1;
/// A voice stands above the background by this many dB at least.
const VOICE_ABOVE_DB: f32 = 3.0;
/// What a line is taken to be like before it was heard: the background at most this loud, the voice so far above it.
const BACKGROUND_AT_MOST_DB: f32 = -55.0;
const RANGE_DB: f32 = 25.0;

/// Follows background and voice of one call.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    /// Background and voice in dB; none before the first step.
    learned: Option<(f32, f32)>,
}

impl Gate {
    /// The log-odds of speech at this level, from those of the networks.
    pub(super) fn apply(&mut self, log_odds: f32, level: Level) -> f32 {
        let db = level.db();
        let digital = level.rms == 0.0;
        let (mut background, mut voice) = self.learned.unwrap_or_else(|| {
            let background = if digital { BACKGROUND_AT_MOST_DB } else { db.min(BACKGROUND_AT_MOST_DB) };
            (background, background + RANGE_DB)
        });
        let doubted_below = background + DOUBTED * (voice - background).max(0.0);
        let doubt = (DOUBT_PER_DB * (doubted_below - db)).clamp(0.0, MOST_DOUBT);
        if digital {
            // Nothing was sent, or a gate was shut: that says nothing of what the line is like.
            return log_odds - doubt;
        }
        if db < background {
            background += FALL * (db - background);
        } else if log_odds < -SURE {
            background += RISE * (db - background);
        }
        if log_odds > SURE && db > background + VOICE_ABOVE_DB {
            voice += VOICE * (db - voice);
        }
        self.learned = Some((background, voice));
        log_odds - doubt
    }
}
