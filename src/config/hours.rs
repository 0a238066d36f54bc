//! `[hours]`: when somebody is there (HRS-01).

use std::collections::BTreeMap;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

use super::problem::{Problem, nearest};
use super::reader::Field;
use super::types::{Hours, Outside, Span, WeekdayKey};
use super::values::{MAX_LINE, MAX_NAME};

/// Business hours as written: without a time zone of their own they go by the deployment's.
#[derive(Clone, Debug)]
pub(super) struct HoursDraft {
    timezone: Option<TimeZone>,
    week: BTreeMap<WeekdayKey, Vec<Span>>,
    exceptions: BTreeMap<Date, Vec<Span>>,
    outside: Outside,
}

impl HoursDraft {
    /// As meant, at a place whose time zone is `timezone`.
    pub(super) fn meant(&self, timezone: &str) -> Hours {
        let place = || TimeZone::get(timezone).unwrap_or(TimeZone::UTC);
        Hours {
            timezone: self.timezone.clone().unwrap_or_else(place),
            week: self.week.clone(),
            exceptions: self.exceptions.clone(),
            outside: self.outside.clone(),
        }
    }
}

/// Reads `hours = "always"`, or the table; `None`: always.
pub(super) fn read(field: Field<'_, '_>) -> Option<HoursDraft> {
    if !field.is_table() {
        field.choice(&[("always", ())]);
        return None;
    }
    let place = field.key_place();
    let mut table = field.table()?;
    let timezone = table.take("timezone").and_then(timezone).and_then(|name| TimeZone::get(&name).ok());
    let mut week = BTreeMap::new();
    for (key, day) in DAYS {
        if let Some(field) = table.take(key) {
            week.insert(day.into(), spans(&field, key));
        }
    }
    let mut exceptions = BTreeMap::new();
    for (name, field) in table.whole("exceptions").rest() {
        match name.parse::<Date>() {
            Ok(_) if exceptions.len() >= MAX_EXCEPTIONS => {
                let allowed = format!("at most {MAX_EXCEPTIONS}");
                field.note(Problem::error(&field.key_place(), "is one exception too many").allowed(allowed));
                break;
            }
            Ok(date) => drop(exceptions.insert(date, spans(&field, name))),
            Err(_) => field.note(Problem::error(&field.key_place(), "is no date").allowed("such as \"2026-12-24\"")),
        }
    }
    let refuse = table.choice("outside", false, &[("answer", false), ("refuse", true)]);
    let line = table.take("line");
    if let Some(line) = line.as_ref().filter(|_| !refuse) {
        line.doubtful("has no effect: it belongs to outside = \"refuse\"");
    }
    let line = line.and_then(|field| field.string(MAX_LINE));
    if week.values().chain(exceptions.values()).all(Vec::is_empty) {
        table.note(Problem::warning(&place, "is closed on every day").allowed("days such as mon = [\"09:00-17:00\"]"));
    }
    table.finish();
    let outside = if refuse { Outside::Refuse(line) } else { Outside::Answer };
    Some(HoursDraft { timezone, week, exceptions, outside })
}

/// Reads the name of a time zone.
pub(super) fn timezone(field: Field<'_, '_>) -> Option<String> {
    let name = field.string(MAX_NAME)?;
    if TimeZone::get(&name).is_ok() {
        return Some(name);
    }
    let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    let message = match nearest(&name, known.iter().map(String::as_str)) {
        Some(meant) => format!("there is no such time zone; did you mean {meant}?"),
        None => "there is no such time zone".to_owned(),
    };
    field.wrong_allowed(message, "names such as \"Europe/Berlin\", \"America/New_York\", \"UTC\"");
    None
}

/// Reads the spans of `day`, puts them in order and tells of those that overlap.
fn spans(field: &Field<'_, '_>, day: &str) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for item in field.list(MAX_SPANS) {
        let Some(text) = item.string(MAX_NAME) else { continue };
        let Some((from_min, to_min)) = text.split_once('-').and_then(|(a, b)| Some((minutes(a)?, minutes(b)?))) else {
            item.wrong_allowed(format!("is no span of {day}"), SPAN);
            continue;
        };
        let span = Span { from_min, to_min };
        if from_min >= to_min {
            item.wrong_allowed(format!("is empty: it ends on {day} before it has begun"), SPAN);
        } else if let Some(other) = spans.iter().find(|o| o.from_min < to_min && from_min < o.to_min) {
            item.wrong_allowed(format!("overlaps {} on {day}", shown(other)), "spans of one day that do not overlap");
        } else {
            spans.push(span);
        }
    }
    spans.sort_unstable();
    spans
}

/// `09:30` as minutes from midnight; `24:00` is the day's end.
fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let two =
        |text: &str| (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u16>().ok());
    let (hour, minute) = (two(hour)??, two(minute)??);
    (minute < 60 && (hour < 24 || (hour, minute) == (24, 0))).then_some(hour * 60 + minute)
}

fn shown(span: &Span) -> String {
    let time = |min: u16| format!("{:02}:{:02}", min / 60, min % 60);
    format!("{}-{}", time(span.from_min), time(span.to_min))
}

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];
const SPAN: &str = "such as \"09:00-12:30\", within 00:00-24:00";
const MAX_SPANS: usize = 24;
const MAX_EXCEPTIONS: usize = 400;
