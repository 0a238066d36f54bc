//! What a call may be waiting for: one small table, so that it can always be printed.

use crate::base::time::CallTime;

/// Names a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The media stream must start.
    MediaStart,
    /// The next agent audio is due at the line.
    Feed,
    /// A mark is so late that it counts as lost.
    MarkOverdue,
    /// Silence is due to the model in place of missing caller audio.
    Pad,
    /// The line is dead: no caller audio for too long.
    CallerGone,
    /// The caller has said nothing for too long.
    CallerSilent,
    /// The caller has spoken long enough to interrupt.
    Interrupt,
    /// The transcript that decides on an interruption must be there.
    Verdict,
    /// The agent who is held goes on.
    Held,
    /// The model's session must be set up.
    ModelDial,
    /// A lost model is dialled again.
    ModelRedial,
    /// A lost model must be back.
    ModelRecovery,
    /// The model must have answered.
    ModelSilent,
    /// A response that failed is asked for again.
    ModelRetry,
    /// The model's session is so old that it is renewed at the next turn's edge.
    ModelRenew,
    /// The hold sound is due.
    Hold,
    /// The sound that is heard while tools run is due.
    ToolSound,
    /// The next key must have followed.
    Keys,
    /// The caller is spoken to, who has said nothing.
    Idle,
    /// It must be known who picked up, or the machine must have come to its end.
    Answering,
    /// The model is told that the call will end.
    CapWarning,
    /// The call has reached its longest duration.
    Cap,
    /// The farewell has had its time.
    Farewell,
    /// A tool must have answered.
    Tools,
    /// The carrier must have answered, or the line be back.
    Away,
    /// What the call may use up is looked at.
    Budget,
    /// The carrier has had its time to end the call.
    HangUp,
    /// The caller's last words must be there.
    Words,
}

impl Timer {
    const COUNT: usize = Timer::Words as usize + 1;

    const fn bit(self) -> u32 {
        1 << self as u32
    }

    const ALL: [Timer; Timer::COUNT] = [
        Timer::MediaStart,
        Timer::Feed,
        Timer::MarkOverdue,
        Timer::Pad,
        Timer::CallerGone,
        Timer::CallerSilent,
        Timer::Interrupt,
        Timer::Verdict,
        Timer::Held,
        Timer::ModelDial,
        Timer::ModelRedial,
        Timer::ModelRecovery,
        Timer::ModelSilent,
        Timer::ModelRetry,
        Timer::ModelRenew,
        Timer::Hold,
        Timer::ToolSound,
        Timer::Keys,
        Timer::Idle,
        Timer::Answering,
        Timer::CapWarning,
        Timer::Cap,
        Timer::Farewell,
        Timer::Tools,
        Timer::Away,
        Timer::Budget,
        Timer::HangUp,
        Timer::Words,
    ];
}

/// The deadlines that are set.
#[derive(Debug, Default)]
pub(super) struct Timers {
    at: [CallTime; Timer::COUNT],
    /// Which of them are set, as bits: few are at a time, and the rest costs nothing.
    set: u32,
    /// The earliest of them: asked several times per frame, changed now and then.
    next: Option<(CallTime, Timer)>,
}

impl Timers {
    /// Sets or moves a deadline.
    pub(super) fn set(&mut self, timer: Timer, at: CallTime) {
        self.at[timer as usize] = at;
        self.set |= timer.bit();
        match self.next {
            Some((_, next)) if next == timer => self.find_next(),
            Some(next) if next < (at, timer) => {}
            _ => self.next = Some((at, timer)),
        }
    }

    /// Forgets a deadline.
    pub(super) fn clear(&mut self, timer: Timer) {
        self.set &= !timer.bit();
        if self.next.is_some_and(|(_, next)| next == timer) {
            self.find_next();
        }
    }

    /// Forgets all of them.
    pub(super) fn clear_all(&mut self) {
        *self = Timers::default();
    }

    /// Whether the deadline is set.
    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.set & timer.bit() != 0
    }

    /// The earliest deadline; of equals, the one that is named first.
    pub(super) fn next(&self) -> Option<(CallTime, Timer)> {
        self.next
    }

    /// Takes one deadline that has passed by `now`, the earliest first.
    pub(super) fn pop_due(&mut self, now: CallTime) -> Option<Timer> {
        let (at, timer) = self.next()?;
        if at > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }

    fn find_next(&mut self) {
        let (mut left, mut next) = (self.set, None);
        while left != 0 {
            let index = left.trailing_zeros() as usize;
            left &= left - 1;
            let this = (self.at[index], Timer::ALL[index]);
            next = next.map_or(Some(this), |next: (CallTime, Timer)| Some(next.min(this)));
        }
        self.next = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_timer_has_a_place_of_its_own() {
        for (i, t) in Timer::ALL.iter().enumerate() {
            assert_eq!(*t as usize, i);
        }
    }

    #[test]
    fn the_earliest_is_known_however_deadlines_move() {
        let mut timers = Timers::default();
        let mut random = 7u64;
        for _ in 0..5_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let timer = Timer::ALL[(random >> 33) as usize % Timer::COUNT];
            if random >> 60 < 4 {
                timers.clear(timer);
            } else {
                timers.set(timer, CallTime::from_ms(random >> 40 & 0xF));
            }
            let set = Timer::ALL.iter().filter(|t| timers.is_set(**t));
            assert_eq!(timers.next(), set.map(|t| (timers.at[*t as usize], *t)).min());
        }
    }

    #[test]
    fn the_earliest_is_due_first_and_only_once() {
        let mut timers = Timers::default();
        timers.set(Timer::Cap, CallTime::from_ms(30));
        timers.set(Timer::Feed, CallTime::from_ms(10));
        assert_eq!(timers.next(), Some((CallTime::from_ms(10), Timer::Feed)));
        assert_eq!(timers.pop_due(CallTime::from_ms(9)), None);
        assert_eq!(timers.pop_due(CallTime::from_ms(40)), Some(Timer::Feed));
        assert_eq!(timers.pop_due(CallTime::from_ms(40)), Some(Timer::Cap));
        assert_eq!(timers.pop_due(CallTime::from_ms(40)), None);
    }
}
