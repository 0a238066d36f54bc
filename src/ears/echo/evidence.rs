//! What speaks for echo, and what for the caller.

use super::filter::{BANDS, Filter};
use super::search::Found;

/// Judges blocks of 16 ms.
pub(super) struct Evidence {
    /// Mean power of the block, and of the line's noise.
    power: f32,
    scale: f32,
    noise: Floor,
    /// Blocks since the caller's track became louder than its noise; blocks of quiet since.
    active: u32,
    quiet: u32,
    /// Blocks since a search, and searches in vain since then.
    since_search: u32,
    since_found: u32,
    vain: u32,
    pending: Option<Found>,
    /// Clarity of what withholds a sound until the next search.
    hint: f32,
    /// Searches in vain while nothing was heard: the line has no echo.
    clean: u32,
    /// Power before and behind the filter where echo is expected, and how often it proved good.
    before: f32,
    behind: f32,
    predicted: f32,
    leak: f32,
    /// Blocks of echo that the filter has learnt from.
    learnt: u32,
    gain_of: (f32, f32, f32),
    proven: bool,
    /// By band: the noise of the residual, and whether the filter is any good.
    band_noise: [Floor; BANDS],
    proofs: [Proof; BANDS],
    /// Of this block: what is the caller's and what the agent's, smoothed.
    caller: f32,
    echo: f32,
    unexplained: u32,
    doubtful: u32,
    /// The block is louder than an echo can be; so was one of this stretch of sound; blocks since.
    louder: bool,
    freed: bool,
    since_louder: u32,
    /// Blocks of this stretch of sound that were withheld because it might be echo.
    withheld: u32,
    /// Blocks of echo by which a path that was begun on such sound has to prove itself.
    trial: u32,
    share: f32,
}

impl Evidence {
    pub(super) fn new() -> Evidence {
        Evidence {
            power: 0.0,
            scale: 0.0,
            noise: Floor::default(),
            active: 0,
            quiet: 0,
            since_search: 0,
            since_found: u32::MAX,
            vain: 0,
            pending: None,
            hint: 0.0,
            clean: 0,
            before: 0.0,
            behind: 0.0,
            predicted: 0.0,
            leak: 1.0,
            learnt: 0,
            gain_of: (0.0, 0.0, 0.0),
            proven: false,
            band_noise: [Floor::default(); BANDS],
            proofs: [Proof::default(); BANDS],
            caller: 0.0,
            echo: 0.0,
            unexplained: 0,
            doubtful: 0,
            louder: false,
            freed: false,
            since_louder: u32::MAX,
            withheld: 0,
            trial: 0,
            share: 0.0,
        }
    }

    pub(super) fn break_off(&mut self) {
        self.silent();
    }

    /// The agent can no longer be heard.
    pub(super) fn silent(&mut self) {
        self.active = 0;
        self.vain = 0;
        self.pending = None;
        self.hint = 0.0;
        self.caller = 0.0;
        self.echo = 0.0;
        self.unexplained = 0;
        self.freed = false;
        self.share = 0.0;
    }

    /// A sound goes on that began before the agent could be heard: it is none of its echo.
    pub(super) fn goes_on(&mut self) {
        (self.active, self.quiet) = (1, 0);
        self.freed = true;
    }

    /// A block of the caller's track as it came.
    pub(super) fn hear(&mut self, near: &[f32]) {
        self.power = mean_square(near);
        // The power of a block's whole spectrum: half the transform's length times the sum of the squares.
        self.scale = (near.len() * near.len()) as f32;
        let noise = self.noise.track(self.power);
        self.since_search += 1;
        self.since_found = self.since_found.saturating_add(1);
        if self.power > ACTIVE * noise.max(LEAST_NOISE) {
            self.active += 1;
            self.quiet = 0;
        } else {
            self.quiet += 1;
            if self.quiet > 6 {
                self.active = 0;
                self.freed = false;
            }
        }
    }

    /// Mean power of the block.
    pub(super) fn power(&self) -> f32 {
        self.power
    }

    /// Whether nothing is heard above the line's noise.
    pub(super) fn is_quiet(&self) -> bool {
        self.active == 0
    }

    /// Whether the block is louder than an echo can be.
    pub(super) fn compare(&mut self, louder: bool) {
        self.louder = louder && self.quiet == 0;
        self.freed |= self.louder;
        self.since_louder = if self.louder { 0 } else { self.since_louder.saturating_add(1) };
    }

    /// A rehearsal round begins.
    pub(super) fn rehearse(&mut self) {
        self.before = 0.0;
        self.behind = 0.0;
        self.predicted = 0.0;
        self.leak = 1.0;
        self.learnt = 0;
        self.gain_of = (0.0, 0.0, 0.0);
        self.proven = false;
        self.caller = 0.0;
        self.echo = 0.0;
        self.unexplained = 0;
    }

    /// The filter was made for the blocks that it was rehearsed on: they prove nothing.
    pub(super) fn await_proof(&mut self) {
        self.leak = 1.0;
        self.learnt = 0;
        self.proofs = [Proof::default(); BANDS];
    }

    /// A path was found; on sound that is louder than an echo can be it has to foretell what comes before it is believed.
    pub(super) fn begin_trial(&mut self) {
        self.trial = if self.freed { TRIAL } else { 0 };
        if self.trial > 0 {
            self.proven = false;
            (self.before, self.behind) = (0.0, 0.0);
        }
    }

    /// Whether the path foretold nothing.
    pub(super) fn trial_failed(&mut self) -> bool {
        if self.trial == 0 || self.learnt < self.trial {
            return false;
        }
        self.trial = 0;
        !self.filter_explains()
    }

    /// There is no path any more.
    pub(super) fn forget_path(&mut self) {
        self.trial = 0;
        self.caller = 0.0;
        self.echo = 0.0;
        self.unexplained = 0;
        self.doubtful = 0;
        self.since_found = u32::MAX;
    }

    /// A block that cannot hold an echo: what is in it above the noise is the caller's.
    pub(super) fn pause(&mut self) {
        let noise = NOISE_MEAN * self.noise.value().max(LEAST_NOISE);
        let caller = if self.power > 2.0 * noise { self.power * self.scale } else { 0.0 };
        self.caller = SMOOTH * self.caller + (1.0 - SMOOTH) * caller;
        self.echo *= ECHO_KEPT;
        self.unexplained = self.unexplained.saturating_sub(1);
    }

    /// Compares a block before and behind the filter.
    pub(super) fn weigh(&mut self, filter: &mut Filter, near: &[f32], echo: &[f32], residual: &[f32]) {
        let (near_power, echo_power, residual_power) = (mean_square(near), mean_square(echo), mean_square(residual));
        let noise = self.noise.value().max(LEAST_NOISE);
        if echo_power > noise {
            self.before = 0.93 * self.before + near_power;
            self.behind = 0.93 * self.behind + residual_power;
            self.predicted = 0.93 * self.predicted + echo_power;
            if self.behind < 0.5 * self.before {
                self.proven = true;
            }
            let ratio = LEAK_MARGIN * self.behind / self.predicted;
            self.learnt = self.learnt.saturating_add(1);
            let least = LEAK.max(LEAK_YOUNG / (1.0 + self.learnt as f32 / 16.0));
            self.leak = if ratio < self.leak { 0.9 * self.leak + 0.1 * ratio } else { self.leak * LEAK_UP };
            self.leak = self.leak.clamp(least, 1.0);
        }
        let (residual, left, far) = filter.residual_bands();
        let (predicted, heard) = filter.echo_bands(echo);
        let (mut caller, mut agent) = (0.0, 0.0);
        let least = LEAST_NOISE * (near.len() * near.len() / BANDS) as f32;
        let (predicted_sum, far_sum) = (predicted.iter().sum::<f32>(), far.iter().sum::<f32>());
        self.gain_of.0 = 0.97 * self.gain_of.0 + predicted_sum;
        self.gain_of.1 = 0.97 * self.gain_of.1 + far_sum;
        self.gain_of.2 = 0.97 * self.gain_of.2 + heard.iter().sum::<f32>();
        let gain = self.gain_of.0 / self.gain_of.1.max(1.0);
        let most = self.gain_of.2 / self.gain_of.1.max(1.0);
        for b in 0..BANDS {
            let noise = self.band_noise[b].track(residual[b]).max(least);
            let expected = predicted[b].max(gain * far[b]);
            let proof = &mut self.proofs[b];
            if !proof.given && expected > ACTIVE * noise {
                proof.weigh(residual[b], heard[b]);
            }
            let leak = 2.0 * left[b]
                + if proof.given && self.learnt >= YOUNG {
                    self.leak * expected
                } else {
                    UNPROVEN * expected.max(most * far[b])
                };
            caller += (residual[b].min(heard[b]) - leak - NOISE * noise).max(0.0);
            agent += predicted[b] + left[b].min(residual[b]);
        }
        // A detector remembers the echo's end for a while: so does the echo's weight.
        if residual_power < 2.0 * NOISE_MEAN * noise {
            caller = 0.0;
        }
        self.caller = SMOOTH * self.caller + (1.0 - SMOOTH) * caller;
        self.echo = (ECHO_KEPT * self.echo).max(SMOOTH * self.echo + (1.0 - SMOOTH) * agent);
        if residual_power > 0.5 * near_power && self.power > ACTIVE * noise {
            self.unexplained = (self.unexplained + 1).min(8);
        } else {
            self.unexplained = self.unexplained.saturating_sub(1);
        }
    }

    /// Whether the filter learns from the block: from all while it is young or poor, then from every second.
    pub(super) fn may_learn(&self) -> bool {
        self.learnt < SETTLED || self.filter_is_poor() || self.learnt.is_multiple_of(2)
    }

    /// Whether what the filter predicts may be subtracted.
    pub(super) fn trusts_filter(&self) -> bool {
        self.trial == 0 && self.behind < if self.proven { 1.05 } else { 0.8 } * self.before
    }

    pub(super) fn filter_is_lost(&mut self) -> bool {
        let lost = !self.behind.is_finite() || self.behind > 1.5 * self.before;
        if lost {
            self.before = 0.0;
            self.behind = 0.0;
            self.proven = false;
        }
        lost
    }

    /// Whether the reckoning has just jumped.
    pub(super) fn awaits_jump(&self) -> bool {
        self.doubtful > 0
    }

    /// Whether the filter explains something, after a rehearsal.
    pub(super) fn filter_explains(&self) -> bool {
        self.behind < 0.8 * self.before
    }

    /// Whether the filter leaves most of the echo.
    pub(super) fn filter_is_poor(&self) -> bool {
        self.behind > 0.7 * self.before
    }

    /// The power from which on a sound stands out of the line's noise.
    pub(super) fn heard_from(&self) -> f32 {
        ACTIVE * self.noise.value().max(LEAST_NOISE)
    }

    /// Whether to look for an echo; one that `drowns` in the line's noise is looked for in passing.
    pub(super) fn wants_search(&mut self, known: bool, drowns: bool) -> bool {
        if known && self.unexplained < 4 {
            return false;
        }
        let wait = match (self.active >= 4, self.vain) {
            (true, _) if self.freed => 96,
            (false, _) if known => return false,
            (false, _) if self.clean < CLEAN && !drowns => 8,
            (false, _) => 128,
            // What is withheld for a hint is not withheld for long.
            (true, _) if self.is_hinted() => 3,
            (true, 2..) if self.clean >= CLEAN => 32,
            (true, 0..6) => 3,
            (true, 6..12) => 8,
            (true, _) => 32,
        };
        let due = self.since_search >= wait;
        if due {
            self.since_search = 0;
        }
        due
    }

    /// The delay to believe in, from a search. What is `ruled_out` is louder than an echo that comes by the found delay.
    pub(super) fn judge(&mut self, found: Option<Found>, ruled_out: bool, long_heard: bool) -> Option<i64> {
        let found = found.filter(|found| found.clarity >= LIKELY);
        self.vain += u32::from(self.active >= 4);
        if let Some(found) = found {
            let again = self.pending.is_some_and(|before| (before.lag - found.lag).abs() <= 8);
            let clear = found.clarity >= CLEAR;
            // Of a sound that no echo can be, a find is chance, unless the path has changed.
            let believed = if self.freed || ruled_out { clear && again } else { clear || again };
            if believed {
                self.pending = None;
                self.hint = 0.0;
                self.clean = 0;
                self.since_found = 0;
                return Some(found.lag);
            }
        }
        self.pending = found;
        self.hint = found.filter(|_| !ruled_out).map_or(0.0, |found| found.clarity);
        if self.active < 4 && found.is_none() && long_heard {
            self.clean += 1;
        }
        None
    }

    /// The block's share is settled.
    pub(super) fn conclude(&mut self, known: bool, jumped: bool) {
        if jumped {
            self.doubtful = JUMP;
            self.vain = 0;
        } else if self.power > ACTIVE * self.noise.value().max(LEAST_NOISE) {
            self.doubtful = self.doubtful.saturating_sub(1);
        }
        let undecided = match known {
            true => (self.doubtful > 0 && self.unexplained > 0) || (self.since_found < 5 && !self.trusts_filter()),
            false => (self.active < UNDECIDED && self.clean < CLEAN) || self.doubtful > 0 || self.is_hinted(),
        };
        // What a filter explains it explains; else what is louder than an echo can be is the caller's.
        let freed = match known && self.trial == 0 {
            true => !self.proven && self.doubtful == 0 && self.since_louder < 4,
            false => self.freed,
        };
        self.withheld = if self.active == 0 || known { 0 } else { self.withheld + u32::from(undecided) };
        self.share = if freed || self.withheld > UNDECIDED {
            0.0
        } else if undecided {
            1.0
        } else if known && self.echo > 0.0 {
            self.echo / (self.echo + self.caller)
        } else {
            0.0
        };
    }

    /// Whether the last search saw something like an echo.
    fn is_hinted(&self) -> bool {
        self.hint >= if self.clean < CLEAN { LIKELY } else { HINT }
    }

    pub(super) fn share(&mut self) -> f32 {
        self.share
    }
}

/// Where the sound began that is on the caller's track while the agent cannot be heard.
#[derive(Default)]
pub(super) struct Onset {
    /// Sum of the squares of the block so far, and its samples.
    sum: f32,
    samples: usize,
    noise: Floor,
    began: Option<u64>,
    quiet: u32,
}

impl Onset {
    /// Caller audio at `position` that lies in one block of `block` samples.
    pub(super) fn hear(&mut self, position: u64, near: &[i16], block: usize) {
        self.sum += near.iter().map(|&s| f32::from(s) * f32::from(s)).sum::<f32>();
        self.samples += near.len();
        let end = position.saturating_add(near.len() as u64);
        if !end.is_multiple_of(block as u64) {
            return;
        }
        let power = std::mem::take(&mut self.sum) / std::mem::take(&mut self.samples).max(1) as f32;
        if power > ACTIVE * self.noise.track(power).max(LEAST_NOISE) {
            self.began.get_or_insert(end - block as u64);
            self.quiet = 0;
        } else {
            self.quiet += 1;
            if self.quiet > 6 {
                self.began = None;
            }
        }
    }

    /// The next sample does not follow the last.
    pub(super) fn break_off(&mut self) {
        *self = Onset::default();
    }

    /// Since when there is sound.
    pub(super) fn began(&self) -> Option<u64> {
        self.began
    }
}

/// Whether the filter has been seen to take the echo out of a band.
#[derive(Clone, Copy, Default)]
struct Proof {
    heard: f32,
    left: f32,
    given: bool,
}

impl Proof {
    fn weigh(&mut self, left: f32, heard: f32) {
        self.heard = PROOF_KEPT * self.heard + heard;
        self.left = PROOF_KEPT * self.left + left;
        self.given |= self.left < PROVEN * self.heard;
    }
}

/// The least of a value within the last seconds; 0, as on a line of digital silence, is one like any other.
#[derive(Clone, Copy, Default)]
struct Floor {
    count: u32,
    now: f32,
    before: Option<f32>,
}

impl Floor {
    fn track(&mut self, value: f32) -> f32 {
        if self.count == 0 {
            let first = self.before.is_none();
            self.before = Some(if first { value } else { self.now });
            self.now = value;
        }
        self.now = self.now.min(value);
        self.count = (self.count + 1) % 64;
        self.value()
    }

    /// The least is below the mean: about twice, for noise in blocks.
    fn value(&self) -> f32 {
        self.now.min(self.before.unwrap_or(self.now))
    }
}

/// Mean power.
pub(super) fn mean_square(samples: &[f32]) -> f32 {
    samples.iter().map(|s| s * s).sum::<f32>() / samples.len().max(1) as f32
}

/// Louder than the noise: 6 dB over its least.
const ACTIVE: f32 = 4.0;
/// The least noise of a line that sends digital silence: -78 dBFS.
const LEAST_NOISE: f32 = 16.0;
/// The mean of noise over the least of its blocks; the same in a band, which varies more.
const NOISE_MEAN: f32 = 1.4;
const NOISE: f32 = 6.0;
/// The share of the predicted echo that may be left: at least, when the filter is new, over what was measured, and how
/// fast it rises when more is left.
const LEAK: f32 = 0.03;
const LEAK_YOUNG: f32 = 0.7;
const LEAK_MARGIN: f32 = 2.0;
const LEAK_UP: f32 = 1.01;
/// The same of a band before the filter has been seen to take half of the echo out of it: the echo may be louder there
/// than elsewhere.
const UNPROVEN: f32 = 3.0;
/// Blocks of echo before which no band is believed: a voice has to have moved through its pitches.
const YOUNG: u32 = 40;
/// Blocks of echo that a doubtful path has to foretell.
const TRIAL: u32 = 6;
/// Blocks of echo after which the path is known as well as it gets.
const SETTLED: u32 = 96;
const PROVEN: f32 = 0.35;
const PROOF_KEPT: f32 = 0.8;
/// What of the echo's weight, and of both weights' average, is kept a block later.
const ECHO_KEPT: f32 = 0.85;
const SMOOTH: f32 = 0.6;
/// Clarity that is worth another look, that counts for echo on a line that had none, and that is believed at once.
const LIKELY: f32 = 5.5;
const HINT: f32 = 6.5;
const CLEAR: f32 = 7.5;
/// Searches in vain of a quiet track, 128 ms each, while the agent is heard: the line has no echo.
const CLEAN: u32 = 8;
/// Blocks of one stretch of sound that are withheld at most while no path is known: a short word is longer.
const UNDECIDED: u32 = 9;
/// Blocks of sound after a correction of the reckoning within which it is found.
const JUMP: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digital_silence_stays_the_least_of_the_last_second_whenever_a_sound_begins() {
        for silent in 60..70 {
            let mut floor = Floor::default();
            for _ in 0..silent {
                floor.track(0.0);
            }
            for loud in 0..60 {
                assert_eq!(floor.track(1e6), 0.0, "{silent} blocks of silence, {loud} of sound");
            }
        }
    }
}
