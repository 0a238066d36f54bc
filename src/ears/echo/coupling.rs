//! How loud the agent can come back at most: what the caller's quiet under its words allows.
//!
//! An echo is never louder than the agent times the path. Where the caller's track is quiet while the agent, some delay
//! ago, was loud, that bounds the path at that delay, whatever its shape. Once every delay is bounded, sound that is
//! louder than any of them explains is the caller's at once: no search has to find that there is no echo.

/// Bounds of the path's gain by delay, in blocks of 16 ms.
pub(super) struct Coupling {
    /// Power of the agent's blocks: `far[d]` is what would be heard now by way of delay `d`.
    far: [f32; DELAYS],
    /// The most that comes back of it, in power.
    most: [f32; DELAYS],
    /// Power of the caller's last block.
    before: f32,
    /// The loudest echo that the block just heard can hold.
    echo: f32,
}

impl Coupling {
    pub(super) fn new() -> Coupling {
        Coupling { far: [0.0; DELAYS], most: [LOUDEST; DELAYS], before: f32::MAX, echo: 0.0 }
    }

    /// A block of the caller's track of mean power `near`, while the agent's block of the earliest delay had `far`. The
    /// agent's blocks of the first `reckoned` delays are where they are by the reckoning of now.
    pub(super) fn hear(&mut self, near: f32, far: f32, reckoned: usize) {
        self.far.copy_within(..DELAYS - 1, 1);
        self.far[0] = far;
        self.weigh(near, reckoned);
    }

    /// The same after the reckoning has changed: all of the agent's blocks are read anew.
    pub(super) fn hear_anew(&mut self, near: f32, mut far: impl FnMut(usize) -> f32, reckoned: usize) {
        for (d, power) in self.far.iter_mut().enumerate() {
            *power = far(d);
        }
        // The delays are of another reckoning now: each may be what one nearby was.
        let most = self.most;
        for (d, bound) in self.most.iter_mut().enumerate() {
            let near_by = &most[d.saturating_sub(REACH)..(d + REACH + 1).min(DELAYS)];
            *bound = near_by.iter().copied().fold(0.0, f32::max);
        }
        self.weigh(near, reckoned);
    }

    /// What came before says nothing of the next block.
    pub(super) fn break_off(&mut self) {
        self.before = f32::MAX;
        self.echo = f32::MAX;
    }

    /// Whether a block of mean power `near` is louder than an echo can be.
    pub(super) fn exceeded_by(&self, near: f32) -> bool {
        near > MARGIN * self.echo
    }

    /// Whether no echo of what the agent says now can be louder than `noise`.
    pub(super) fn drowns_in(&self, noise: f32) -> bool {
        self.echo < noise
    }

    /// Whether a block of mean power `near` is louder than an echo that comes by about `delay`.
    pub(super) fn rules_out(&self, delay: usize, near: f32) -> bool {
        let around = delay.saturating_sub(1)..(delay + 2).min(DELAYS);
        near > MARGIN * around.map(|d| self.most[d] * self.far[d]).fold(0.0, f32::max)
    }

    /// How loud the agent was that can be heard now by way of `delay`.
    pub(super) fn agent_at(&self, delay: usize) -> f32 {
        self.far[delay]
    }

    fn weigh(&mut self, near: f32, reckoned: usize) {
        // An echo begins within a block and rings on into the next: two blocks that answer to two.
        let heard = near.max(self.before);
        self.before = near;
        let mut echo = 0.0f32;
        for d in 0..DELAYS {
            let said = self.far[d].min(self.far[(d + 1).min(DELAYS - 1)]);
            let most = &mut self.most[d];
            // Before it is learnt from, so that a block does not bound itself.
            echo = echo.max(*most * self.far[d].max(self.far[(d + 1).min(DELAYS - 1)]));
            if said > AUDIBLE && d + 1 < reckoned {
                *most = (*most * LOOSER).min(LOUDEST).min(heard / said);
            }
        }
        self.echo = echo;
    }
}

/// Delays from 96 ms before the reckoning to 720 ms after it.
pub(super) const DELAYS: usize = 51;

/// Blocks by which the agent may be heard before the reckoning.
pub(super) const AHEAD: usize = 6;

/// The loudest path: as loud as the agent.
const LOUDEST: f32 = 1.0;

/// How much louder than its bound an echo is at worst: speech that the path favours.
const MARGIN: f32 = 16.0;

/// How fast a bound is forgotten, by blocks of audible agent: 0.5 dB in a second.
const LOOSER: f32 = 1.002;

/// Blocks by which a correction of the reckoning may move a delay.
const REACH: usize = 6;

/// The agent's blocks that bound anything: -50 dBFS.
const AUDIBLE: f32 = 1e4;

#[cfg(test)]
mod tests {
    use super::*;

    const LOUD: f32 = 1e7;
    const QUIET: f32 = 1e2;

    /// The agent speaks in blocks of `LOUD`, some of them softer, and comes back `delay` blocks late with `gain`.
    fn call(gain: f32, delay: usize, blocks: usize) -> Coupling {
        let mut coupling = Coupling::new();
        let far = |at: usize| if at % 13 < 3 { LOUD / 100.0 } else { LOUD };
        for at in 0..blocks {
            coupling.hear(QUIET + at.checked_sub(delay).map_or(0.0, |at| gain * far(at)), far(at), usize::MAX);
        }
        coupling
    }

    #[test]
    fn before_the_agent_was_answered_by_quiet_anything_may_be_its_echo() {
        let mut coupling = Coupling::new();
        for _ in 0..5 {
            coupling.hear(QUIET, LOUD, usize::MAX);
        }
        assert!(!coupling.exceeded_by(LOUD), "its first word may come back now");
    }

    #[test]
    fn a_line_that_stays_quiet_leaves_no_room_for_an_echo() {
        let coupling = call(0.0, 0, DELAYS + 10);
        assert!(coupling.exceeded_by(LOUD / 1e3), "30 dB below the agent");
        assert!(!coupling.exceeded_by(2.0 * QUIET), "the line's own noise");
    }

    #[test]
    fn an_echo_never_exceeds_its_own_bound() {
        for (gain, delay) in [(0.25, 7), (0.01, 44), (0.001, 16)] {
            let mut coupling = call(gain, delay, 200);
            let far = |at: usize| if at % 13 < 3 { LOUD / 100.0 } else { LOUD };
            for at in 200..400 {
                let near = QUIET + gain * far(at - delay);
                coupling.hear(near, far(at), usize::MAX);
                assert!(!coupling.exceeded_by(near), "{gain} at {delay}, block {at}");
            }
            assert!(coupling.exceeded_by(50.0 * gain * LOUD), "a caller over it: {gain} at {delay}");
        }
    }

    #[test]
    fn a_corrected_reckoning_takes_the_echo_along() {
        let (gain, delay) = (0.01, 20);
        for moved in [-6i64, 4] {
            let mut coupling = call(gain, delay, 200);
            let delay = (delay as i64 + moved) as usize;
            let far = |at: usize| if at % 13 < 3 { LOUD / 100.0 } else { LOUD };
            let before = (delay as i64 - moved) as usize;
            // What was said before is still heard by the old reckoning.
            let near = |at: usize| {
                let said = if at - delay < 200 { at - before } else { at - delay };
                QUIET + gain * far(said)
            };
            coupling.hear_anew(near(200), |d| far(200 - d), 1);
            for at in 201..300 {
                coupling.hear(near(at), far(at), at - 199);
                assert!(!coupling.exceeded_by(near(at)), "{moved}: block {at}");
            }
        }
    }

    #[test]
    fn after_a_gap_no_block_is_compared() {
        let mut coupling = call(0.0, 0, 200);
        coupling.break_off();
        assert!(!coupling.exceeded_by(LOUD));
    }
}
