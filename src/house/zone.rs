//! The organization's time zone: what is kept is UTC; days and hours that people read are its own.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::refusal::Refusal;

/// The zone of this IANA name.
///
/// # Errors
/// `timezone`.
pub fn zone(name: &str) -> Result<TimeZone, Refusal> {
    TimeZone::get(name).map_err(|_| {
        let message = "There is no such time zone. Names are such as Europe/Zurich, America/New_York or UTC.";
        Refusal::wrong("timezone", "timezone", message)
    })
}

/// The day that it is at `now`.
pub fn today(zone: &TimeZone, now: Timestamp) -> Date {
    zone.to_datetime(now).date()
}

/// When a day begins: at its first moment, also where a change of the clock takes its midnight away.
pub fn begin(zone: &TimeZone, day: Date) -> Option<Timestamp> {
    day.to_zoned(zone.clone()).ok().map(|begin| begin.timestamp())
}

/// A moment as people read it, with its zone: not before the minute that is shown.
pub fn shown(at: Timestamp, zone: &TimeZone) -> String {
    let up = if at.as_millisecond().rem_euclid(60_000) == 0 { 0 } else { 60 };
    let at = at.checked_add(SignedDuration::from_secs(up)).unwrap_or(at).to_zoned(zone.clone());
    let name = zone.iana_name().unwrap_or("UTC");
    format!("{} {name}", at.strftime("%Y-%m-%d %H:%M"))
}

/// The moment that somebody means: a day (`2026-12-01`, its beginning in the zone), RFC 3339, or so long ago: `-2d`, `-3h`,
/// `-30m`, `-90s`.
pub fn moment(text: &str, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    if let Some(ago) = text.strip_prefix('-') {
        return now.checked_sub(length(ago)?).ok();
    }
    let is_day = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    match is_day {
        true => text.parse().ok().and_then(|day| begin(zone, day)),
        false => text.parse().ok(),
    }
}

fn length(text: &str) -> Option<SignedDuration> {
    let unit = text.chars().last()?;
    let unit_s = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number = text.strip_suffix(unit)?;
    let is_number = number.len() <= 6 && number.bytes().all(|b| b.is_ascii_digit());
    Some(SignedDuration::from_secs(number.parse::<i64>().ok().filter(|_| is_number)? * unit_s))
}
