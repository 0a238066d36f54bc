//! Moments in parameters: a day, RFC 3339, or so long ago.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::store;
use crate::web::problem::Wrong;

/// Milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

/// A moment in milliseconds since 1970: `2026-12-01`, `2026-12-01T09:30:00Z`, `-2d`, `-12h`, `-30m`, `-90s`.
pub(super) fn moment(name: &str, text: &str, now_ms: i64) -> Result<i64, Wrong> {
    let found = match text.strip_prefix('-') {
        Some(ago) => length_ms(ago).map(|ms| now_ms.saturating_sub(ms)),
        None => store::read(text),
    };
    found.ok_or_else(|| {
        let message = "A moment is RFC 3339 in UTC, such as 2026-12-01T09:30:00Z, a day, or so long ago, such as -2d.";
        Wrong::parameter(name, "moment", message)
    })
}

fn length_ms(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let unit_ms = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return None,
    };
    let number =
        text.strip_suffix(unit).filter(|digits| digits.len() <= 6 && digits.bytes().all(|b| b.is_ascii_digit()));
    number?.parse::<i64>().ok()?.checked_mul(unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_days_times_and_lengths() {
        let now = 1_000_000_000_000;
        let read = |text: &str| moment("since", text, now).ok();
        assert_eq!(read("-2d"), Some(now - 172_800_000));
        assert_eq!(read("-90s"), Some(now - 90_000));
        assert_eq!(read("1970-01-02"), Some(86_400_000));
        assert_eq!(read("1970-01-01T00:00:01Z"), Some(1_000));
        for wrong in ["", "-", "-2", "-d", "-1234567d", "--2d", "2d", "yesterday", "-2w", "-é"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
