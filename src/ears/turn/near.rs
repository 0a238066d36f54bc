//! Whose voice it is, as far as its level tells: this caller's, or one from further away, such as a television's.
//!
//! How loud the caller is, is learned from the turns that are taken while the agent is silent. Speech a margin below that
//! is **far**: it takes no floor from the agent. Where a far voice goes on, its louder syllables come nearer than the
//! margin, so that the caller has to stand above them too; on a line without one the margin alone counts, and no word of
//! the caller waits for it.
//!
//! Nobody is shut out for long. In the agent's silence far speech is heard like any other, and after [`FAR_TURNS`] turns in
//! a row that were far, theirs is the caller's level: somebody has moved away from the phone, or handed it over.

use super::level::FINE;

/// How soon louder speech is believed: a syllable, not a click.
const UP_MS: i32 = 128;

/// How slowly it is forgotten: over the weaker syllables of a word or two.
const DOWN_MS: i32 = 2_048;

/// Speech is loud enough once it was so for this much: dB above what it has to reach, times milliseconds.
const NEEDED: i32 = 2 * 32;

/// It counts as loud enough for this much longer when it falls below that by [`BELOW_MOST_DB`] or more.
const KEPT: i32 = BELOW_MOST_DB * 192;

/// A step counts for no more than this, below what it has to reach and above it.
const BELOW_MOST_DB: i32 = 6;
const ABOVE_MOST_DB: i32 = 36;

/// Where a far voice goes on, speech has to stand above it by this, as long as that is below the caller by the least margin.
const ABOVE_FAR_DB: i32 = 6;
const LEAST_MARGIN_DB: i32 = 6;

/// A far voice goes on when it has spoken for this much: less may be the caller's own, who begins softly.
const FAR_KNOWN_MS: i32 = 512;

/// No more of its speech is counted, and silence takes this fraction of its length from that: after 4 s it is forgotten.
const FAR_COUNTED_MS: i32 = 1_536;
const FAR_PAUSES: i32 = 4;

/// So many far turns in a row are the caller's.
const FAR_TURNS: u8 = 3;

/// A louder turn raises what is known of two turns or more by this at most, unless it has as much speech as that in it: one
/// shout does not make the caller far.
const RISE_MOST_DB: i32 = 6;
const SHOUT_MS: u64 = 1_000;

/// A turn with less speech than this tells nothing of how loud the caller is, in milliseconds.
const TELLING_MS: u64 = 200;

/// What follows a turn that was ended for its length is another voice when it is louder by this.
const LOUDER_DB: i32 = 6;

/// How loud speech is: about its louder syllables.
#[derive(Clone, Copy, Debug)]
struct Loudness {
    /// Of late.
    now: i32,
    /// At most since the turn began.
    most: i32,
}

/// Whether speech reaches a level, from more than one step.
#[derive(Clone, Copy, Debug, Default)]
struct Reach {
    /// dB·ms, in [`FINE`].
    sum: i32,
    reached: bool,
}

/// A voice further away.
#[derive(Clone, Copy, Debug, Default)]
struct Far {
    level: i32,
    /// How much it has spoken, as far as that is not forgotten.
    spoken_ms: i32,
}

/// The voices of one call, so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Voices {
    step_ms: i32,
    /// `None`: every voice is the caller's.
    margin: Option<i32>,
    /// How loud the caller is; in [`FINE`] dB, like all levels here.
    caller: Option<i32>,
    /// Whether that is known from one turn only, which may have been the television's.
    unsure: bool,
    far_turns: u8,
    running: Option<Loudness>,
    near: Reach,
    /// The voice that is not near enough.
    far: Far,
    /// The voice that went on for too long: how loud it is.
    spent: i32,
    /// Whether another is louder.
    louder: Reach,
}

impl Voices {
    pub(super) fn new(margin_db: u32, step_ms: u64) -> Self {
        let margin = (margin_db > 0).then(|| margin_db.min(96) as i32 * FINE);
        Voices {
            step_ms: step_ms.clamp(1, 1_000) as i32,
            margin,
            caller: None,
            unsure: true,
            far_turns: 0,
            running: None,
            near: Reach::default(),
            far: Far::default(),
            spent: 0,
            louder: Reach::default(),
        }
    }

    /// Takes a step: speech, or not.
    pub(super) fn take(&mut self, level_db: i8, speech: bool) {
        let level = i32::from(level_db) * FINE;
        let heard = speech.then_some(level);
        if let (Some(margin), Some(caller)) = (self.margin, self.caller) {
            let least = margin.min(LEAST_MARGIN_DB * FINE);
            self.near.take(heard, self.far.above().clamp(caller - margin, caller - least), self.step_ms);
            if !self.near.reached {
                self.far.take(heard, self.step_ms);
            }
        }
        if let (Some(level), Some(running)) = (heard, &mut self.running) {
            running.take(level, self.step_ms);
        }
    }

    /// Whether speech in the step that was taken is from further away than the caller.
    pub(super) fn is_far(&self) -> bool {
        self.margin.is_some() && self.caller.is_some() && !self.near.reached
    }

    /// A turn begins with a step of this level.
    pub(super) fn begin(&mut self, level_db: i8) {
        let level = i32::from(level_db) * FINE;
        self.running = Some(Loudness { now: level, most: level });
    }

    /// The turn is over, with so much speech in it. One that was `taken` while the agent was silent tells of the caller.
    pub(super) fn end(&mut self, voiced_ms: u64, taken: bool) {
        let Some(running) = self.running.filter(|_| taken && voiced_ms >= TELLING_MS) else { return };
        let Some(caller) = &mut self.caller else {
            self.caller = Some(running.most);
            return;
        };
        let louder = running.most - *caller;
        let far = self.margin.is_some_and(|margin| louder < -margin);
        self.far_turns = if far { self.far_turns + 1 } else { 0 };
        if far && self.far_turns < FAR_TURNS {
            return;
        }
        *caller += match louder {
            0.. if self.unsure || voiced_ms >= SHOUT_MS => louder * 3 / 4,
            0.. => (louder * 3 / 4).min(RISE_MOST_DB * FINE),
            _ if far => louder,
            _ => louder / 4,
        };
        self.unsure = far;
        self.far_turns = 0;
    }

    /// A turn was ended for its length: what goes on in it is known.
    pub(super) fn spend(&mut self) {
        self.spent = self.running.map_or(0, |running| running.now);
        self.louder = Reach::default();
    }

    /// After that: whether there is a louder voice than what goes on, with this step, speech or not.
    pub(super) fn outdoes_spent(&mut self, level_db: i8, speech: bool) -> bool {
        let heard = speech.then(|| i32::from(level_db) * FINE);
        self.louder.take(heard, self.spent + LOUDER_DB * FINE, self.step_ms);
        if let (Some(level), false) = (heard, self.louder.reached) {
            self.spent = followed(self.spent, level, self.step_ms);
        }
        self.louder.reached
    }
}

impl Far {
    /// Takes a step that is not near enough: speech of this level, or none.
    fn take(&mut self, heard: Option<i32>, step_ms: i32) {
        match heard {
            Some(level) if self.spoken_ms == 0 => (self.level, self.spoken_ms) = (level, step_ms),
            Some(level) => {
                self.level = followed(self.level, level, step_ms);
                self.spoken_ms = (self.spoken_ms + step_ms).min(FAR_COUNTED_MS);
            }
            None => self.spoken_ms = (self.spoken_ms - step_ms / FAR_PAUSES).max(0),
        }
    }

    /// What the caller has to reach beside it.
    fn above(&self) -> i32 {
        if self.spoken_ms >= FAR_KNOWN_MS { self.level + ABOVE_FAR_DB * FINE } else { i32::MIN }
    }
}

/// How loud a voice is with this step, after what it was.
fn followed(now: i32, level: i32, step_ms: i32) -> i32 {
    let step = level - now;
    let within = if step > 0 { UP_MS } else { DOWN_MS };
    now + step * step_ms.min(within) / within
}

impl Loudness {
    fn take(&mut self, level: i32, step_ms: i32) {
        self.now = followed(self.now, level, step_ms);
        self.most = self.most.max(self.now);
    }
}

impl Reach {
    /// Takes a step of speech of this level, or of none.
    fn take(&mut self, level: Option<i32>, wanted: i32, step_ms: i32) {
        let most = BELOW_MOST_DB * FINE;
        let over = level.map_or(-most, |level| (level - wanted).clamp(-most, ABOVE_MOST_DB * FINE));
        self.sum = (self.sum + over * step_ms).clamp(0, KEPT * FINE);
        self.reached = self.sum >= NEEDED * FINE || self.reached && self.sum > 0;
    }
}
