use std::collections::BTreeMap;

use jiff::civil::{Date, Weekday, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;

use super::at;
use crate::config::{Hours, Outside, Span};
use crate::house::hours::*;

fn span(text: &str) -> Span {
    let minute = |text: &str| text[..2].parse::<u16>().unwrap() * 60 + text[3..].parse::<u16>().unwrap();
    let (from, to) = text.split_once('-').unwrap();
    Span { from_min: minute(from), to_min: minute(to) }
}

fn spans(text: &str) -> Vec<Span> {
    text.split_whitespace().map(span).collect()
}

fn week(zone: &str, days: &[(Weekday, &str)], exceptions: &[(Date, &str)]) -> Hours {
    Hours {
        timezone: TimeZone::get(zone).unwrap(),
        week: days.iter().map(|(day, text)| ((*day).into(), spans(text))).collect(),
        exceptions: exceptions.iter().map(|(date, text)| (*date, spans(text))).collect(),
        outside: Outside::default(),
    }
}

const DAYS: [Weekday; 7] = [
    Weekday::Monday,
    Weekday::Tuesday,
    Weekday::Wednesday,
    Weekday::Thursday,
    Weekday::Friday,
    Weekday::Saturday,
    Weekday::Sunday,
];

fn daily(zone: &str, text: &str) -> Hours {
    week(zone, &DAYS.map(|day| (day, text)), &[])
}

/// Weekdays from nine to noon and from one to five, Saturdays until midnight; Christmas closed, the day before shorter.
fn office() -> Hours {
    let mut days: Vec<_> = DAYS[..5].iter().map(|day| (*day, "09:00-12:00 13:00-17:00")).collect();
    days.push((Weekday::Saturday, "22:00-24:00"));
    let exceptions =
        [(date(2026, 12, 24), "09:00-11:00"), (date(2026, 12, 25), ""), (date(2026, 12, 27), "10:00-11:00")];
    week("Europe/Zurich", &days, &exceptions)
}

#[test]
fn hrs_01_it_is_open_by_the_clock_on_the_wall() {
    let office = office();
    for (now, open) in [
        ("2026-12-07T08:59:59+01:00", false),
        ("2026-12-07T09:00:00+01:00", true),
        ("2026-12-07T11:59:59+01:00", true),
        ("2026-12-07T12:00:00+01:00", false),
        ("2026-12-07T13:00:00+01:00", true),
        ("2026-12-07T17:00:00+01:00", false),
        ("2026-07-06T09:00:00+02:00", true),
        ("2026-07-06T09:00:00+01:00", true),
        ("2026-07-06T17:00:00+02:00", false),
        ("2026-12-05T21:59:59+01:00", false),
        ("2026-12-05T23:59:59+01:00", true),
        ("2026-12-06T00:00:00+01:00", false),
        // Exceptions.
        ("2026-12-24T10:59:59+01:00", true),
        ("2026-12-24T14:00:00+01:00", false),
        ("2026-12-25T10:00:00+01:00", false),
        ("2026-12-27T10:30:00+01:00", true),
        ("2027-12-24T14:00:00+01:00", true),
    ] {
        assert_eq!(is_open(&office, at(now)), open, "{now}");
    }
}

#[test]
fn hrs_01_spans_that_meet_at_midnight_are_one() {
    let night = daily("Europe/Zurich", "00:00-06:00 22:00-24:00");
    for now in ["2026-12-07T23:59:59.999+01:00", "2026-12-08T00:00:00+01:00", "2026-12-08T05:59:59+01:00"] {
        assert!(is_open(&night, at(now)), "{now}");
    }
    assert!(!is_open(&night, at("2026-12-08T06:00:00+01:00")));
    let always = daily("America/St_Johns", "00:00-24:00");
    assert!(is_open(&always, at("2026-11-01T05:30:00Z")));
}

#[test]
fn hrs_01_it_is_right_over_both_changes_of_the_clock() {
    // Put forward on 29 March 2026 at 2:00, back on 25 October at 3:00.
    let early = daily("Europe/Zurich", "02:30-03:30");
    for (now, open) in [
        ("2026-03-28T01:29:00Z", false),
        ("2026-03-28T01:30:00Z", true),
        ("2026-03-29T00:59:59Z", false),
        ("2026-03-29T01:00:00Z", true),
        ("2026-03-29T01:29:59Z", true),
        ("2026-03-29T01:30:00Z", false),
        ("2026-10-25T00:29:59Z", false),
        ("2026-10-25T00:30:00Z", true),
        ("2026-10-25T00:59:59Z", true),
        ("2026-10-25T01:00:00Z", false),
        ("2026-10-25T01:30:00Z", true),
        ("2026-10-25T02:29:59Z", true),
        ("2026-10-25T02:30:00Z", false),
    ] {
        assert_eq!(is_open(&early, at(now)), open, "{now}");
    }
    for (now, opens) in [
        ("2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"),
        ("2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
        ("2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
        ("2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"),
        ("2026-10-25T01:10:00Z", "2026-10-25T01:30:00Z"),
    ] {
        assert_eq!(opens_at(&early, at(now)), Some(at(opens)), "{now}");
    }
}

#[test]
fn hrs_01_a_span_that_the_clock_leaps_over_does_not_come_that_day() {
    let skipped = daily("Europe/Zurich", "02:00-02:30");
    assert_eq!(opens_at(&skipped, at("2026-03-28T23:30:00Z")), Some(at("2026-03-30T00:00:00Z")));
    // Midnight itself is leapt over in Cairo.
    let cairo = daily("Africa/Cairo", "00:00-08:00");
    assert_eq!(opens_at(&cairo, at("2026-04-23T12:00:00Z")), Some(at("2026-04-23T22:00:00Z")));
    // A day that was not at all.
    let apia = week("Pacific/Apia", &[(Weekday::Friday, "08:00-12:00")], &[]);
    assert_eq!(opens_at(&apia, at("2011-12-29T20:00:00Z")), Some(at("2012-01-05T18:00:00Z")));
}

#[test]
fn hrs_01_a_clock_that_is_put_back_over_midnight_leads_to_the_day_before() {
    // In St. John's on 7 November 2010 a minute past midnight, to 23:01.
    for (spans, now, opens) in [
        ("23:30-24:00", "2010-11-07T00:00:30-02:30", "2010-11-06T23:30:00-03:30"),
        ("00:00-00:01 23:40-23:45", "2010-11-06T23:50:00-02:30", "2010-11-07T00:00:00-02:30"),
        ("00:00-00:01 23:40-23:45", "2010-11-07T00:01:00-02:30", "2010-11-06T23:40:00-03:30"),
        ("00:00-00:01", "2010-11-06T23:01:00-03:30", "2010-11-07T00:00:00-03:30"),
    ] {
        assert_eq!(opens_at(&daily("America/St_Johns", spans), at(now)), Some(at(opens)), "{spans} {now}");
    }
}

#[test]
fn hrs_03_it_tells_when_it_opens() {
    let office = office();
    for (now, opens) in [
        ("2026-12-07T08:00:00+01:00", "2026-12-07T09:00:00+01:00"),
        ("2026-12-07T09:30:00+01:00", "2026-12-07T09:30:00+01:00"),
        ("2026-12-07T12:30:00+01:00", "2026-12-07T13:00:00+01:00"),
        ("2026-12-11T17:00:00+01:00", "2026-12-12T22:00:00+01:00"),
        ("2026-12-13T00:00:00+01:00", "2026-12-14T09:00:00+01:00"),
        ("2026-12-24T11:00:00+01:00", "2026-12-26T22:00:00+01:00"),
        ("2026-12-27T00:00:00+01:00", "2026-12-27T10:00:00+01:00"),
    ] {
        assert_eq!(opens_at(&office, at(now)), Some(at(opens)), "{now}");
    }
}

#[test]
fn hrs_03_long_holidays_and_days_that_never_come() {
    let now = at("2026-06-16T12:00:00Z");
    assert_eq!(opens_at(&week("UTC", &[], &[]), now), None);
    let once = week("UTC", &[], &[(date(2031, 5, 1), "09:00-10:00"), (date(2020, 5, 1), "09:00-10:00")]);
    assert_eq!(opens_at(&once, now), Some(at("2031-05-01T09:00:00Z")));
    let closed: Vec<_> = (0..300).map(|ahead| (date(2026, 6, 16) + ahead.days(), "")).collect();
    let season = week("UTC", &[(Weekday::Wednesday, "09:00-10:00")], &closed);
    assert_eq!(opens_at(&season, now), Some(at("2027-04-14T09:00:00Z")));
    assert_eq!(opens_at(&daily("UTC", "09:00-10:00"), Timestamp::MAX), None, "the end of time");
    assert!(opens_at(&daily("UTC", "09:00-10:00"), Timestamp::MIN).is_some());
}

#[test]
fn hrs_03_the_agent_knows_them() {
    let said = |hours: Option<&Hours>, now| {
        let [(open, is), (opens_at, when)] = variables(hours, at(now));
        assert_eq!((open, opens_at), ("system.open", "system.opens_at"));
        (is, when)
    };
    let office = office();
    let owned = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(said(Some(&office), "2026-12-12T23:00:00Z"), owned("false", "Monday 2026-12-14 09:00"));
    assert_eq!(said(Some(&office), "2026-12-14T10:00:00Z"), owned("true", ""));
    assert_eq!(said(Some(&week("UTC", &[], &[])), "2026-12-14T10:00:00Z"), owned("false", ""));
    assert_eq!(said(None, "2026-12-14T10:00:00Z"), owned("true", ""));
}

#[test]
fn hrs_01_overlapping_and_empty_spans_are_refused() {
    for good in ["", "09:00-12:00", "09:00-12:00 12:00-13:00", "00:00-24:00", "23:59-24:00"] {
        assert_eq!(check(&spans(good)), Ok(()), "{good}");
    }
    for (bad, part) in [
        ("09:00-09:00", "no span"),
        ("12:00-09:00", "no span"),
        ("23:00-24:01", "no span"),
        ("09:00-12:00 11:59-13:00", "begins before"),
        ("13:00-14:00 09:00-12:00", "begins before"),
    ] {
        let refusal = check(&spans(bad)).unwrap_err();
        assert_eq!((refusal.code, refusal.status, refusal.field), ("hours_span", 422, Some("hours")));
        assert!(refusal.message.contains(part), "{bad}: {refusal}");
    }
}

/// Zones whose clock changes between 2024 and 2030, each with those moments.
fn zones() -> Vec<(TimeZone, Vec<Timestamp>)> {
    let (from, to) = (at("2024-01-01T00:00:00Z"), at("2030-01-01T00:00:00Z"));
    let zones = jiff::tz::db().available().filter_map(|name| {
        let zone = TimeZone::get(name.as_str()).ok()?;
        let leaps: Vec<_> =
            zone.following(from).take(40).map(|leap| leap.timestamp()).take_while(|at| *at < to).collect();
        (!leaps.is_empty()).then_some((zone, leaps))
    });
    zones.collect()
}

fn day() -> impl Strategy<Value = Vec<Span>> {
    // Some around the hours in which clocks are changed, some wherever.
    let minute = || prop_oneof![0_u16..=240, 1_320_u16..=1_440, 0_u16..=1_440];
    proptest::collection::btree_set(minute(), 0..=6).prop_map(|minutes| {
        let minutes: Vec<_> = minutes.into_iter().collect();
        minutes.chunks_exact(2).map(|pair| Span { from_min: pair[0], to_min: pair[1] }).collect()
    })
}

/// Whether the wall shows an open minute, reckoned from the offset alone.
fn reference(hours: &Hours, now: Timestamp) -> bool {
    let wall = now.as_second() + i64::from(hours.timezone.to_offset(now).seconds());
    let (day, minute) = (wall.div_euclid(86_400), (wall.rem_euclid(86_400) / 60) as u16);
    let date = date(1970, 1, 1) + day.days();
    let spans = hours.exceptions.get(&date).or_else(|| hours.week.get(&DAYS[(day + 3).rem_euclid(7) as usize].into()));
    spans.is_some_and(|spans| spans.iter().any(|span| span.from_min <= minute && minute < span.to_min))
}

#[test]
fn hrs_01_there_are_zones_to_try_them_in() {
    assert!(zones().len() > 100, "{}", zones().len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// In every zone whose clock changes, minute by minute over three days around a change: open exactly when the wall
    /// says so, and what is told about the next opening comes true.
    #[test]
    fn hrs_01_hrs_03_open_exactly_by_the_wall_in_all_zones(
        zone in any::<proptest::sample::Index>(),
        leap in any::<proptest::sample::Index>(),
        days in proptest::collection::vec(day(), 7),
        exception in proptest::option::of((day(), -1_i64..=2)),
        ahead in -1_500_i64..=1_500,
    ) {
        thread_local! { static ZONES: Vec<(TimeZone, Vec<Timestamp>)> = zones(); }
        let (timezone, leap) = ZONES.with(|zones| {
            let (zone, leaps) = zone.get(zones);
            (zone.clone(), *leap.get(leaps))
        });
        let around = timezone.to_datetime(leap).date();
        let hours = Hours {
            timezone,
            week: DAYS.into_iter().zip(days).map(|(day, spans)| (day.into(), spans)).collect(),
            exceptions: exception.into_iter().map(|(spans, day)| (around + day.days(), spans)).collect(),
            outside: Outside::default(),
        };
        let start = leap + ahead.minutes();
        let minutes: Vec<_> = (0..4_320_i64).map(|minute| start + minute.minutes()).collect();
        let open: Vec<_> = minutes.iter().map(|now| is_open(&hours, *now)).collect();
        for (now, open) in minutes.iter().zip(&open) {
            prop_assert_eq!(*open, reference(&hours, *now), "{}", now);
        }
        let told = opens_at(&hours, start);
        match open.iter().position(|open| *open) {
            Some(first) => prop_assert_eq!(told, Some(minutes[first])),
            None => prop_assert!(told.is_none_or(|told| told > minutes[4_319])),
        }
    }
}

/// Keeps the map of a week honest: seven days, each found by its own key.
#[test]
fn hrs_01_every_day_of_the_week_has_its_own_spans() {
    for (i, day) in DAYS.into_iter().enumerate() {
        let hours = week("UTC", &[(day, "09:00-10:00")], &[]);
        let monday = at("2026-12-07T09:30:00Z");
        let open: Vec<_> = (0..7).map(|ahead| is_open(&hours, monday + (ahead * 24).hours())).collect();
        assert_eq!(open.iter().position(|open| *open), Some(i));
        assert_eq!(open.iter().filter(|open| **open).count(), 1);
    }
    assert_eq!(BTreeMap::from(DAYS.map(|day| (crate::config::WeekdayKey::from(day), ()))).len(), 7);
}
