//! The clock of conversations.

use std::fmt;

/// Time since the server began to count, in microseconds: one clock for all its conversations, since they share what is known of
/// models and visitors ([`Commons`](super::Commons)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TalkTime(u64);

impl TalkTime {
    /// When the server began to count.
    pub const ZERO: TalkTime = TalkTime(0);

    /// From microseconds since then.
    pub const fn from_us(us: u64) -> Self {
        TalkTime(us)
    }

    /// From milliseconds since then.
    pub const fn from_ms(ms: u64) -> Self {
        TalkTime(ms.saturating_mul(1_000))
    }

    /// Microseconds since then.
    pub const fn as_us(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since then, rounded down.
    pub const fn as_ms(self) -> u64 {
        self.0 / 1_000
    }

    /// Milliseconds from `earlier` to here, rounded down; zero when `earlier` is later.
    pub const fn ms_since(self, earlier: TalkTime) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000
    }

    /// Later by `ms` milliseconds.
    pub const fn plus_ms(self, ms: u64) -> Self {
        TalkTime(self.0.saturating_add(ms.saturating_mul(1_000)))
    }
}

impl fmt::Display for TalkTime {
    /// `mm:ss.mmm`, minutes growing as needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.as_ms();
        write!(f, "{:02}:{:02}.{:03}", ms / 60_000, ms / 1_000 % 60, ms % 1_000)
    }
}
