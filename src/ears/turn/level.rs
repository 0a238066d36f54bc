//! How loud the caller and what is behind them are: what tells, more exactly than a network that looks back over a
//! tenth of a second, where sound began and ended.

use crate::ears::vad::DIGITAL_SILENCE_DB;

/// In sixteenths of a dB: levels come in whole ones, and a background moves by less per step.
pub(super) const FINE: i32 = 16;

/// Quieter than a phone line's last bit is taken for that.
const QUIETEST_DB: i32 = -75;

/// The background is followed down within about this.
const FALL_MS: i32 = 128;

/// The background is followed up by this per second, and only where nobody speaks: a cough or a door is over before
/// it counts.
const RISE_DB_PER_S: i32 = 20;

/// How fast an earlier loud word is forgotten while the caller speaks.
const SPEECH_FALL_DB_PER_S: i32 = 6;

/// Less than this between speech and background, and levels tell nothing: then only probabilities count.
const TELLING_DB: i32 = 14;

/// What stands this much above the background is sound: a quarter of what speech does, within these.
const MARGIN_DB: (i32, i32) = (5, 8);

/// Levels of one call, so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Levels {
    step_ms: i32,
    background: Option<i32>,
    speech: Option<i32>,
}

/// What a step's level says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sound {
    /// It stands above the background.
    pub(super) above: bool,
    /// Whether that can be relied upon: the caller's speech stands out clearly on this line.
    pub(super) telling: bool,
}

impl Levels {
    pub(super) fn new(step_ms: u64) -> Self {
        Levels { step_ms: step_ms.clamp(1, 1_000) as i32, background: None, speech: None }
    }

    /// What `level_db` says after all that came before it.
    pub(super) fn judge(&self, level_db: i8) -> Sound {
        let contrast = match (self.background, self.speech) {
            (Some(background), Some(speech)) => (speech - background) / FINE,
            _ => 0,
        };
        let margin = (contrast / 4).clamp(MARGIN_DB.0, MARGIN_DB.1);
        let above = self.background.is_some_and(|b| i32::from(level_db) * FINE >= b + margin * FINE);
        Sound { above, telling: contrast >= TELLING_DB }
    }

    /// Learns from a step: speech, silence, or neither for sure.
    pub(super) fn learn(&mut self, level_db: i8, speech: bool, silence: bool) {
        if level_db == DIGITAL_SILENCE_DB {
            // It says nothing of the background, which is there again with the next word.
            return;
        }
        let level = i32::from(level_db).max(QUIETEST_DB) * FINE;
        let background = self.background.get_or_insert(level);
        let step = level - *background;
        if step < 0 {
            *background += step * self.step_ms.min(FALL_MS) / FALL_MS;
        } else if silence {
            *background +=
                (step * self.step_ms.min(FALL_MS) / FALL_MS).min(RISE_DB_PER_S * FINE * self.step_ms / 1_000);
        }
        if speech {
            let forgotten = SPEECH_FALL_DB_PER_S * FINE * self.step_ms / 1_000;
            self.speech = Some(self.speech.map_or(level, |s| level.max(s - forgotten)));
        }
    }
}
