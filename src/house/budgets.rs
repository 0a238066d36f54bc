//! Budgets that calls share: of what time they are, and from when on somebody should know (COST-03).

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// Of a budget, in percent, from which on it is warned.
pub const WARN_PERCENT: u64 = 80;
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// The time that a budget is for, in milliseconds since 1970, by UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its first moment.
    pub begin_ms: i64,
    /// The first that is not in it any more: then there is all of it again.
    pub until_ms: i64,
}

/// The day in which a moment lies.
pub fn day(now_ms: i64) -> Period {
    let begin_ms = now_ms - now_ms.rem_euclid(DAY_MS);
    Period { begin_ms, until_ms: begin_ms.saturating_add(DAY_MS) }
}

/// The month in which a moment lies. Beyond the calendar, which no clock shows, it is a day.
pub fn month(now_ms: i64) -> Period {
    let whole = || {
        let date = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(TimeZone::UTC).date().first_of_month();
        let begin = |date: jiff::civil::Date| Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond());
        Some(Period { begin_ms: begin(date)?, until_ms: begin(date.checked_add(1.month()).ok()?)? })
    };
    whole().unwrap_or_else(|| day(now_ms))
}

/// How much of a budget is used, in percent. Of a budget of nothing all is.
pub fn used_percent(used: u64, limit: u64) -> u64 {
    match limit {
        0 => 100,
        limit => u64::try_from(u128::from(used) * 100 / u128::from(limit)).unwrap_or(u64::MAX),
    }
}

/// Whether so much is used that somebody should know.
pub fn is_near(used: u64, limit: u64) -> bool {
    used_percent(used, limit) >= WARN_PERCENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_03_days_and_months_begin_at_midnight_in_utc() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        for (now, begin, until) in [
            ("2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2026-12-31T23:59:59.999Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            ("1969-12-31T23:00:00Z", "1969-12-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(month(at(now)), Period { begin_ms: at(begin), until_ms: at(until) }, "{now}");
        }
        let noon = day(at("2026-12-01T12:00:00Z"));
        assert_eq!((noon.begin_ms, noon.until_ms), (at("2026-12-01T00:00:00Z"), at("2026-12-02T00:00:00Z")));
        assert!(month(i64::MAX).begin_ms > 0, "no clock shows that");
    }

    #[test]
    fn cost_03_from_four_fifths_on_somebody_should_know() {
        for (used, limit, percent, near) in [
            (0, 100, 0, false),
            (79, 100, 79, false),
            (799_999, 1_000_000, 79, false),
            (80, 100, 80, true),
            (500, 100, 500, true),
            (0, 0, 100, true),
            (u64::MAX, 1, u64::MAX, true),
        ] {
            assert_eq!((used_percent(used, limit), is_near(used, limit)), (percent, near), "{used} of {limit}");
        }
    }
}
