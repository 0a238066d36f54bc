//! Business hours (HRS-01, HRS-03): by the clock on the wall, over its changes too.
//!
//! When the clock is put back, an hour of the wall comes twice and is open both times; when it is put forward, an hour
//! does not come, and a span that begins in it opens at the moment of the change.

use jiff::civil::{Date, DateTime, Time};
use jiff::{Span as Duration, Timestamp, ToSpan};

use super::refusal::Refusal;
use crate::config::{Hours, Span};

/// Whether it is open at `now`.
pub fn is_open(hours: &Hours, now: Timestamp) -> bool {
    let wall = hours.timezone.to_datetime(now);
    let minute = minute(wall);
    of(hours, wall.date()).iter().any(|span| (span.from_min..span.to_min).contains(&minute))
}

/// When it is open next: `now` when it is open, `None` when it is not within [`HORIZON_DAYS`] days, nor at an exception
/// after them.
pub fn opens_at(hours: &Hours, now: Timestamp) -> Option<Timestamp> {
    if is_open(hours, now) {
        return Some(now);
    }
    let today = hours.timezone.to_datetime(now).date();
    // Yesterday: at midnight the clock may be put back.
    let first = today.checked_sub(1.day()).ok()?;
    let near = days(first, HORIZON_DAYS);
    let far = hours.exceptions.keys().copied().filter(|date| near.last().is_none_or(|last| date > last));
    let mut opens: Option<Timestamp> = None;
    for date in near.iter().copied().chain(far) {
        // A clock that is put back may bring a day's beginning before the end of the day before it, and by no more.
        let is_later = |at: Timestamp| hours.timezone.to_datetime(at).date().saturating_add(1.day()) < date;
        if opens.is_some_and(is_later) {
            break;
        }
        let begins = of(hours, date).iter().flat_map(|span| instants(hours, date, span.from_min));
        let next = begins.filter(|at| *at > now && is_open(hours, *at)).min();
        opens = opens.into_iter().chain(next).min();
    }
    // A span whose beginning the clock leaps over opens with the leap.
    let last = opens.or_else(|| now.checked_add(HORIZON_DAYS.saturating_mul(24).hours()).ok())?;
    let leaps = hours.timezone.following(now).take(MAX_LEAPS).map(|leap| leap.timestamp());
    leaps.take_while(|at| *at < last).find(|at| is_open(hours, *at)).or(opens)
}

/// What the agent knows of them, by the names of variables (HRS-03): `system.open` is `true` or `false`,
/// `system.opens_at` the time on the wall of [`opens_at`], such as `Monday 2026-12-07 09:00`; empty when it is open, and
/// when it does not open any more. Without hours it is always open.
pub fn variables(hours: Option<&Hours>, now: Timestamp) -> [(&'static str, String); 2] {
    let open = hours.is_none_or(|hours| is_open(hours, now));
    let opens = hours.filter(|_| !open).and_then(|hours| {
        let at = opens_at(hours, now)?.to_zoned(hours.timezone.clone());
        Some(at.strftime("%A %Y-%m-%d %H:%M").to_string())
    });
    [("system.open", open.to_string()), ("system.opens_at", opens.unwrap_or_default())]
}

/// Whether a day's spans are in order, without overlap, and each holds a minute at least (HRS-01). One may begin where
/// another ends.
///
/// # Errors
/// `hours_span`.
pub fn check(spans: &[Span]) -> Result<(), Refusal> {
    let wrong = |message: String| Err(Refusal::wrong("hours_span", "hours", message));
    let mut end = 0;
    for span in spans {
        if span.to_min > END_OF_DAY || span.from_min >= span.to_min {
            return wrong(format!(
                "{} is no span: it must end later than it begins, at 24:00 at the latest.",
                name(*span)
            ));
        }
        if span.from_min < end {
            return wrong(format!("{} begins before the span before it ends.", name(*span)));
        }
        end = span.to_min;
    }
    Ok(())
}

/// How far ahead the week is looked through: longer than any holiday.
pub const HORIZON_DAYS: i32 = 400;

/// The spans of a day.
fn of(hours: &Hours, date: Date) -> &[Span] {
    let exception = hours.exceptions.get(&date);
    exception.or_else(|| hours.week.get(&date.weekday().into())).map_or(&[], Vec::as_slice)
}

fn days(first: Date, count: i32) -> Vec<Date> {
    (0..count).map_while(|ahead| first.checked_add(Duration::new().days(ahead)).ok()).collect()
}

/// When the wall shows this minute of this day: twice, when the clock is put back in between; when it leaps over the
/// minute, before and after the leap, at neither of which the wall shows it.
fn instants(hours: &Hours, date: Date, minute: u16) -> impl Iterator<Item = Timestamp> {
    let time = Time::new((minute / 60) as i8, (minute % 60) as i8, 0, 0).unwrap_or(Time::midnight());
    let shown = hours.timezone.to_ambiguous_timestamp(date.to_datetime(time));
    [shown.earlier().ok(), shown.later().ok()].into_iter().flatten()
}

fn minute(wall: DateTime) -> u16 {
    u16::from(wall.hour().unsigned_abs()) * 60 + u16::from(wall.minute().unsigned_abs())
}

fn name(span: Span) -> String {
    let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    format!("{}-{}", time(span.from_min), time(span.to_min))
}

/// Changes of the clock that are looked at; four a year in the zones that have most.
const MAX_LEAPS: usize = 64;
const END_OF_DAY: u16 = 1_440;
