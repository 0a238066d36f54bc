//! Wall-clock names: a call's id and the moment it began.

use std::time::{SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom as _, SystemRandom};

/// What a new call is given: its id, its stream's token, and the seed of what it leaves to chance.
pub(super) fn names(at: SystemTime, random: &SystemRandom) -> Result<(String, String, u64), ring::error::Unspecified> {
    let mut seed = [0u8; 8];
    random.fill(&mut seed)?;
    Ok((call_id(at, random)?, token(random)?, u64::from_le_bytes(seed)))
}

/// `20261120T231455-1f00ca`: sorts by time, unique by its random end; also the name of the call's folder.
fn call_id(at: SystemTime, random: &SystemRandom) -> Result<String, ring::error::Unspecified> {
    let mut bytes = [0u8; 3];
    random.fill(&mut bytes)?;
    let t = Civil::from(at);
    Ok(format!("{:04}{:02}{:02}T{:02}{:02}{:02}-{}", t.year, t.month, t.day, t.hour, t.minute, t.second, hex(&bytes)))
}

/// 256 random bits as hex: what a media stream must present.
pub(super) fn token(random: &SystemRandom) -> Result<String, ring::error::Unspecified> {
    let mut bytes = [0u8; 32];
    random.fill(&mut bytes)?;
    Ok(hex(&bytes))
}

/// RFC 3339 in UTC with milliseconds.
pub(crate) fn rfc3339(at: SystemTime) -> String {
    let t = Civil::from(at);
    format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", t.year, t.month, t.day, t.hour, t.minute, t.second, t.ms)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
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
    use std::time::Duration;

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
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(7)), text);
        }
    }

    #[test]
    fn ids_sort_by_time_and_differ() {
        let random = SystemRandom::new();
        let at = UNIX_EPOCH + Duration::from_secs(1_795_216_495);
        let a = call_id(at, &random).expect("random");
        let b = call_id(at, &random).expect("random");
        assert!(a.starts_with("20261120T231455-") && a.len() == 22, "{a}");
        assert_ne!(a, b);
        assert_eq!(token(&random).expect("random").len(), 64);
    }
}
