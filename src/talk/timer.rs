//! What a conversation may be waiting for: one small table, so that it can always be printed.

use super::time::TalkTime;

/// Names a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The model must have begun.
    FirstToken,
    /// The next token must be there.
    Stall,
    /// What the request took must be said.
    Usage,
    /// The answer must be over.
    Answer,
    /// A tool must have answered.
    Tools,
    /// A person must have taken the conversation.
    HandOff,
    /// Somebody must have written.
    Idle,
}

impl Timer {
    const ALL: [Timer; 7] =
        [Timer::FirstToken, Timer::Stall, Timer::Usage, Timer::Answer, Timer::Tools, Timer::HandOff, Timer::Idle];
}

/// The deadlines that are set.
#[derive(Debug, Default)]
pub(super) struct Timers {
    at: [Option<TalkTime>; Timer::ALL.len()],
}

impl Timers {
    /// Sets or moves a deadline.
    pub(super) fn set(&mut self, timer: Timer, at: TalkTime) {
        self.at[timer as usize] = Some(at);
    }

    /// Forgets a deadline.
    pub(super) fn clear(&mut self, timer: Timer) {
        self.at[timer as usize] = None;
    }

    /// Forgets all of them.
    pub(super) fn clear_all(&mut self) {
        *self = Timers::default();
    }

    /// The earliest deadline; of equals, the one that is named first.
    pub(super) fn next(&self) -> Option<(TalkTime, Timer)> {
        Timer::ALL.into_iter().filter_map(|timer| Some((self.at[timer as usize]?, timer))).min()
    }

    /// Takes one deadline that has passed by `now`, the earliest first.
    pub(super) fn pop_due(&mut self, now: TalkTime) -> Option<Timer> {
        let (_, timer) = self.next().filter(|(at, _)| *at <= now)?;
        self.clear(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_is_due_first_and_only_once() {
        for (i, timer) in Timer::ALL.iter().enumerate() {
            assert_eq!(*timer as usize, i, "every timer has a place of its own");
        }
        let mut timers = Timers::default();
        timers.set(Timer::Idle, TalkTime::from_ms(30));
        timers.set(Timer::Stall, TalkTime::from_ms(10));
        assert_eq!(timers.next(), Some((TalkTime::from_ms(10), Timer::Stall)));
        assert_eq!(timers.pop_due(TalkTime::from_ms(9)), None);
        assert_eq!(timers.pop_due(TalkTime::from_ms(40)), Some(Timer::Stall));
        assert_eq!(timers.pop_due(TalkTime::from_ms(40)), Some(Timer::Idle));
        assert_eq!(timers.pop_due(TalkTime::from_ms(40)), None);
    }
}
