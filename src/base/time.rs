//! The two clocks of a call, which are never mixed.
//!
//! Waiting is counted in [`CallTime`]: how long ago the call began. Audio is counted in [`Samples`] of the call's
//! line. "300 ms of silence" is media, "no answer for 4 s" is call time. Where both meet, when audio is played and where it
//! is recorded, moments are [`LineTime`]: the engine's clock map says which moment of the call that is.

pub(crate) mod date;

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Time since the call began (the voice webhook arrived), in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallTime(u64);

impl CallTime {
    /// The moment the call began.
    pub const ZERO: CallTime = CallTime(0);

    /// From microseconds since the call began.
    pub const fn from_us(us: u64) -> Self {
        CallTime(us)
    }

    /// From milliseconds since the call began.
    pub const fn from_ms(ms: u64) -> Self {
        CallTime(ms * 1_000)
    }

    /// Microseconds since the call began.
    pub const fn as_us(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the call began, rounded down.
    pub const fn as_ms(self) -> u64 {
        self.0 / 1_000
    }

    /// Time from `earlier` to here; zero when `earlier` is later.
    pub const fn since(self, earlier: CallTime) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Milliseconds from `earlier` to here; zero when `earlier` is later.
    pub const fn ms_since(self, earlier: CallTime) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000
    }

    /// Later by `ms` milliseconds.
    pub const fn plus_ms(self, ms: u64) -> Self {
        CallTime(self.0.saturating_add(ms.saturating_mul(1_000)))
    }

    /// Earlier by `ms` milliseconds, at the earliest the call's beginning.
    pub const fn minus_ms(self, ms: u64) -> Self {
        CallTime(self.0.saturating_sub(ms.saturating_mul(1_000)))
    }
}

impl Add<Duration> for CallTime {
    type Output = CallTime;
    fn add(self, d: Duration) -> CallTime {
        CallTime(self.0.saturating_add(d.as_micros() as u64))
    }
}

impl fmt::Display for CallTime {
    /// `mm:ss.mmm`, minutes growing as needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.as_ms();
        write!(f, "{:02}:{:02}.{:03}", ms / 60_000, ms / 1_000 % 60, ms % 1_000)
    }
}

/// A moment by the clock of the line: microseconds since its media began, as the line counts them. It runs a little faster or
/// slower than ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineTime(u64);

impl LineTime {
    /// The moment media began.
    pub const ZERO: LineTime = LineTime(0);

    /// From microseconds since media began.
    pub const fn from_us(us: u64) -> Self {
        LineTime(us)
    }

    /// Microseconds since media began.
    pub const fn as_us(self) -> u64 {
        self.0
    }

    /// The position in the line's audio that is due now, at `rate_hz`, rounded down.
    pub const fn position(self, rate_hz: u32) -> Samples {
        Samples::from_us(self.0, rate_hz)
    }

    /// Microseconds from `earlier` to here; zero when `earlier` is later.
    pub const fn us_since(self, earlier: LineTime) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Later by `us` microseconds.
    pub const fn plus_us(self, us: u64) -> Self {
        LineTime(self.0.saturating_add(us))
    }

    /// Earlier by `us` microseconds, at the earliest where media began.
    pub const fn minus_us(self, us: u64) -> Self {
        LineTime(self.0.saturating_sub(us))
    }

    /// Moved by `us`, at the earliest to where media began.
    pub const fn moved_us(self, us: i64) -> Self {
        LineTime(self.0.saturating_add_signed(us))
    }
}

/// A position in, or an amount of, audio: samples at the line's rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Samples(pub u64);

impl Samples {
    /// No audio.
    pub const ZERO: Samples = Samples(0);

    /// The samples in `ms` milliseconds at `rate_hz`.
    pub const fn from_ms(ms: u64, rate_hz: u32) -> Self {
        Samples(ms * rate_hz as u64 / 1_000)
    }

    /// The samples in `us` microseconds at `rate_hz`, rounded down.
    pub const fn from_us(us: u64, rate_hz: u32) -> Self {
        Samples(us * rate_hz as u64 / 1_000_000)
    }

    /// Whole milliseconds at `rate_hz`, rounded down.
    pub const fn as_ms(self, rate_hz: u32) -> u64 {
        self.0 * 1_000 / rate_hz as u64
    }

    /// Microseconds at `rate_hz`, rounded down.
    pub const fn as_us(self, rate_hz: u32) -> u64 {
        self.0 * 1_000_000 / rate_hz as u64
    }

    /// What is left after taking `other` away; zero when `other` is more.
    pub const fn saturating_sub(self, other: Samples) -> Samples {
        Samples(self.0.saturating_sub(other.0))
    }
}

impl Add for Samples {
    type Output = Samples;
    fn add(self, other: Samples) -> Samples {
        Samples(self.0 + other.0)
    }
}

impl AddAssign for Samples {
    fn add_assign(&mut self, other: Samples) {
        self.0 += other.0;
    }
}

impl Sub for Samples {
    type Output = Samples;
    /// Panics when `other` is more: a position behind its own beginning is a bug of ours.
    fn sub(self, other: Samples) -> Samples {
        Samples(self.0 - other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_time_reads_as_minutes_seconds_and_milliseconds() {
        assert_eq!(CallTime::from_us(3_240_999).to_string(), "00:03.240");
        assert_eq!(CallTime::from_ms(61 * 60_000 + 5).to_string(), "61:00.005");
    }

    #[test]
    fn time_never_runs_below_the_beginning() {
        assert_eq!(CallTime::from_ms(5).minus_ms(9), CallTime::ZERO);
        assert_eq!(CallTime::from_ms(5).ms_since(CallTime::from_ms(9)), 0);
    }

    #[test]
    fn samples_and_milliseconds_convert_at_the_rate() {
        assert_eq!(Samples::from_ms(20, 8_000), Samples(160));
        assert_eq!(Samples(161).as_ms(8_000), 20);
        assert_eq!(Samples::from_us(20_000, 24_000), Samples(480));
        assert_eq!(Samples(160).as_us(8_000), 20_000);
    }
}
