//! Dates of the wall clock, in UTC: written and read. Nothing here asks a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// RFC 3339 in UTC with milliseconds.
pub(crate) fn rfc3339(at: SystemTime) -> String {
    let t = Civil::from(at);
    format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", t.year, t.month, t.day, t.hour, t.minute, t.second, t.ms)
}

/// `20261120T231455`: sorts by time.
pub(crate) fn compact(at: SystemTime) -> String {
    let t = Civil::from(at);
    format!("{:04}{:02}{:02}T{:02}{:02}{:02}", t.year, t.month, t.day, t.hour, t.minute, t.second)
}

/// The moment that [`rfc3339`] or [`compact`] wrote, or a date alone: `2026-11-20`, with its time in full or not at all.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (whole, ms) = text.split_once('.').map_or((text, "0"), |(whole, ms)| (whole, ms));
    let (date, time) = whole.split_once('T').map_or((whole, "000000"), |(date, time)| (date, time));
    let (date, time) = (digits(date, '-', 8)?, digits(time, ':', 6)?);
    let days = days_since_1970(date / 10_000, date / 100 % 100, date % 100)?;
    let (hour, minute, second) = (time / 10_000, time / 100 % 100, time % 100);
    let ms = ms.parse::<u64>().ok().filter(|ms| *ms < 1_000)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(ms))
}

/// So many digits as one number, with `between` among them or not.
fn digits(text: &str, between: char, count: usize) -> Option<u64> {
    let text = text.replace(between, "");
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Days from 1 January 1970 to a date of the Gregorian calendar; `None`: there is no such date.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let index = usize::try_from(month).ok()?.checked_sub(1)?;
    if year < 1970 || !(1..=*lengths.get(index)?).contains(&day) {
        return None;
    }
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    Some((year - 1970) * 365 + leaps(year - 1) - leaps(1969) + lengths[..index].iter().sum::<u64>() + day - 1)
}

struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    ms: u64,
}

impl From<SystemTime> for Civil {
    /// A clock set before 1970 counts as 1970.
    fn from(at: SystemTime) -> Civil {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs();
        // Days since 1 March of year 0 in the proleptic Gregorian calendar: leap days then end a year.
        let days = seconds / 86_400 + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Civil {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: seconds / 3_600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            ms: u64::from(since.subsec_millis()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_gregorian() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_399, "2000-02-28T23:59:59.007Z"),
            (951_782_400, "2000-02-29T00:00:00.007Z"),
            (1_709_251_200, "2024-03-01T00:00:00.007Z"),
            (1_795_216_495, "2026-11-20T23:14:55.007Z"),
            (4_107_542_399, "2100-02-28T23:59:59.007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z"),
        ] {
            let at = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(7);
            assert_eq!((rfc3339(at).as_str(), parse(text)), (text, Some(at)));
            assert_eq!(parse(&compact(at)), Some(UNIX_EPOCH + Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn what_is_no_date_is_not_read_as_one() {
        assert_eq!(parse("2024-02-29"), parse("2024-02-29T00:00:00.000Z"));
        for text in
            ["", "2023-02-29", "2024-13-01", "2024-00-01", "2024-01-00", "1969-12-31", "2024-1-1", "2d", "x024-01-01"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!((parse("2024-01-01T24:00:00Z"), parse("2024-01-01T00:60:00Z")), (None, None));
    }
}
