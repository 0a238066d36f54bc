//! Speech by level alone: cheap, and as easily taken in as that sounds.

use super::{Level, from_log_odds};

/// Steps per window of which the quietest is kept: 480 ms, longer than most of a syllable, and the windows that are
/// looked back on: 2 s. Speech has quieter moments than that.
const WINDOW: u32 = 30;
const WINDOWS: usize = 4;
/// How much the quietest step lies below the mean of noise, in dB.
const QUIETEST_BELOW_DB: f32 = 3.0;
/// Nothing quieter than this is speech, in dB relative to full scale.
const HEARING_DB: f32 = -52.0;
/// What stands this many dB above the noise is as likely speech as not.
const EVEN_DB: f32 = 8.0;
/// Log-odds per dB beyond that.
const PER_DB: f32 = 0.5;
/// The most by which log-odds fall per step: the gaps within words are bridged.
const FALL: f32 = 1.5;
/// Log-odds are kept within this.
const MOST: f32 = 7.0;

pub(super) struct Energy {
    /// The quietest step of each of the last windows, in dB, the one at hand first.
    quietest: [f32; WINDOWS],
    /// Steps of the window at hand.
    steps: u32,
    log_odds: f32,
}

impl Energy {
    pub(super) fn new() -> Self {
        Energy { quietest: [HEARING_DB; WINDOWS], steps: 0, log_odds: -MOST }
    }

    pub(super) fn step(&mut self, level: Level) -> f32 {
        let db = level.db();
        self.quietest[0] = self.quietest[0].min(db);
        self.steps += 1;
        if self.steps == WINDOW {
            self.quietest.rotate_right(1);
            self.quietest[0] = db;
            self.steps = 0;
        }
        let quietest = self.quietest.iter().fold(f32::INFINITY, |a, &b| a.min(b));
        let noise = (quietest + QUIETEST_BELOW_DB).max(HEARING_DB - EVEN_DB);
        let now = (PER_DB * (db - noise - EVEN_DB)).clamp(-MOST, MOST);
        self.log_odds = now.max(self.log_odds - FALL);
        from_log_odds(self.log_odds)
    }
}
