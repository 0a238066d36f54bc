//! Automatic gain for a far talker: slow, bounded, led by speech alone, and limited so that nothing clips.

use crate::base::audio::level;

/// Level of speech to be reached, RMS of its frames.
const TARGET_DBFS: f32 = -23.0;

/// The most by which speech is raised.
pub(super) const MAX_GAIN_DB: f32 = 15.0;

/// Speech probability from which a frame is believed to be speech…
const SPEECH: f32 = 0.8;

/// …when this many in a row are: a knock or a burst of noise is believed for less.
const SPEECH_FRAMES: u32 = 5;

/// Quieter than this is taken for noise, whatever its probability.
const QUIETEST_DBFS: f32 = -55.0;

/// How far the reckoned level moves to that of a frame: about one second of speech.
const SMOOTHING: f32 = 0.01;

/// Per frame of 10 ms: up by 6 dB, down by 20 dB in a second of speech.
const UP_DB: f32 = 0.06;
const DOWN_DB: f32 = 0.2;

/// Peaks are held under this: −1 dB of full scale.
pub(super) const CEILING: f32 = 29_200.0;

/// The gain and what it follows.
#[derive(Clone)]
pub(super) struct Gain {
    /// Mean square of recent speech.
    energy: f32,
    /// Frames of speech in a row.
    run: u32,
    /// Slow gain.
    wanted_db: f32,
    /// Gain at the end of the last frame, after limiting.
    last: f32,
}

impl Gain {
    pub(super) fn new() -> Self {
        Gain { energy: level::from_dbfs(TARGET_DBFS).powi(2), run: 0, wanted_db: 0.0, last: 1.0 }
    }

    /// Applies the gain to `frame`. `speech` is the probability that it is speech; `next_peak` the largest magnitude
    /// that the next frame may have.
    pub(super) fn process(&mut self, frame: &mut [f32], speech: f32, next_peak: f32) {
        self.follow(frame, speech);
        let peak = frame.iter().fold(0.0f32, |peak, x| peak.max(x.abs()));
        // Where the next frame begins the gain has to suit both.
        let allowed = CEILING / peak.max(next_peak).max(1.0);
        let end = 10f32.powf(self.wanted_db / 20.0).min(allowed);
        let step = (end - self.last) / frame.len() as f32;
        let mut gain = self.last;
        for x in frame {
            gain += step;
            *x = (*x * gain).clamp(-CEILING, CEILING);
        }
        self.last = end;
    }

    fn follow(&mut self, frame: &[f32], speech: f32) {
        let energy = frame.iter().map(|x| x * x).sum::<f32>() / frame.len() as f32;
        if speech < SPEECH || energy < level::from_dbfs(QUIETEST_DBFS).powi(2) {
            self.run = 0;
            return;
        }
        self.run += 1;
        if self.run < SPEECH_FRAMES {
            return;
        }
        self.energy += SMOOTHING * (energy - self.energy);
        let wanted = (TARGET_DBFS - level::dbfs(self.energy.sqrt())).clamp(0.0, MAX_GAIN_DB);
        self.wanted_db += (wanted - self.wanted_db).clamp(-DOWN_DB, UP_DB);
    }
}
