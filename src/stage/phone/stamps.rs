//! Ids and moments, as the carrier writes them.

use std::time::{SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};

use crate::base::hex::hex;
use crate::config::CarrierProfile;

/// Two letters and 32 hexadecimal digits.
pub(in crate::stage) fn new_sid(prefix: &str) -> String {
    let mut bytes = [0u8; 16];
    // Without randomness the clock tells calls apart, which is all that is needed here.
    if SystemRandom::new().fill(&mut bytes).is_err() {
        bytes = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_le_bytes();
    }
    format!("{prefix}{}", hex(&bytes))
}

/// An id as that carrier makes them: a UUID, or as [`new_sid`] says.
pub(in crate::stage) fn new_id(profile: CarrierProfile, prefix: &str) -> String {
    let sid = new_sid(prefix);
    match profile {
        CarrierProfile::Twilio => sid,
        CarrierProfile::SignalWire => uuid(&sid[prefix.len()..]),
    }
}

/// 32 hexadecimal digits as a UUID is written.
pub(in crate::stage) fn uuid(hex: &str) -> String {
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

/// As in Twilio's resources.
pub(in crate::stage) fn rfc_2822(at: SystemTime) -> String {
    Timestamp { seconds: at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() }.rfc_2822()
}

/// A moment in UTC, taken apart.
#[derive(Clone, Copy)]
pub(super) struct Timestamp {
    seconds: u64,
}

/// Now.
pub(super) fn timestamp() -> Timestamp {
    Timestamp { seconds: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() }
}

impl Timestamp {
    /// Year, month and day in the Gregorian calendar, counted in 400-year cycles from 1 March of year 0.
    fn date(self) -> (u64, usize, u64) {
        let days = self.seconds / 86_400 + 719_468;
        let (cycle, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        (cycle * 400 + year + u64::from(month <= 2), month as usize, day)
    }

    fn clock(self) -> String {
        let s = self.seconds % 86_400;
        format!("{:02}:{:02}:{:02}", s / 3_600, s / 60 % 60, s % 60)
    }

    /// `2026-11-20T23:18:10Z`.
    pub(super) fn iso_8601(self) -> String {
        let (year, month, day) = self.date();
        format!("{year}-{month:02}-{day:02}T{}Z", self.clock())
    }

    /// `Fri, 20 Nov 2026 23:18:10 +0000`.
    pub(super) fn rfc_2822(self) -> String {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        let (year, month, day) = self.date();
        let weekday = DAYS[(self.seconds / 86_400 % 7) as usize];
        format!("{weekday}, {day:02} {} {year} {} +0000", MONTHS[month - 1], self.clock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_twilio_writes_them() {
        let at = Timestamp { seconds: 1_795_216_690 };
        assert_eq!(at.rfc_2822(), "Fri, 20 Nov 2026 23:18:10 +0000");
        assert_eq!(at.iso_8601(), "2026-11-20T23:18:10Z");
        assert_eq!(Timestamp { seconds: 951_782_400 }.iso_8601(), "2000-02-29T00:00:00Z");
        assert_eq!(Timestamp { seconds: 0 }.rfc_2822(), "Thu, 01 Jan 1970 00:00:00 +0000");
    }

    #[test]
    fn ids_are_of_the_carriers_shape_and_new() {
        let sid = new_sid("CA");
        assert!(sid.len() == 34 && sid.starts_with("CA") && sid != new_sid("CA"), "{sid}");
    }
}
