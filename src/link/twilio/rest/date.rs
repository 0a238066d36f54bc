//! The dates of Twilio's resources (RFC 2822, always in UTC).

/// Seconds since 1970 of `Fri, 20 Nov 2026 23:18:10 +0000`; `None`: it is something else.
pub(super) fn seconds(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split(' ').skip(1);
    let day: u64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year: u64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u64>().ok());
    let (h, m, s) = (clock.next()??, clock.next()??, clock.next()??);
    if words.next() != Some("+0000") || !(1..=31).contains(&day) || !(1970..=9999).contains(&year) {
        return None;
    }
    // Days since 1 March of year 0: leap days then end a year.
    let (y, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (month * 153 + 2) / 5 + day - 1;
    Some((days.checked_sub(719_468)? * 24 + h) * 3_600 + m * 60 + s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_written() {
        assert_eq!(seconds("Fri, 20 Nov 2026 23:18:10 +0000"), Some(1_795_216_690));
        assert_eq!(seconds("Tue, 29 Feb 2000 00:00:00 +0000"), Some(951_782_400));
        assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 +0000"), Some(0));
        for other in
            ["", "null", "2026-11-20T23:18:10Z", "Fri, 20 Nov 2026 23:18:10 +0100", "Fri, 20 Foo 2026 1:1:1 +0000"]
        {
            assert_eq!(seconds(other), None, "{other}");
        }
    }
}
