use jiff::Timestamp;

use super::super::zone::{begin, moment, shown, today, zone};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn x_09_a_zone_is_known_by_its_name_and_another_is_refused_with_examples() {
    assert_eq!(zone("Europe/Zurich").unwrap().iana_name(), Some("Europe/Zurich"));
    for wrong in ["Europe/Zuerich", "", "+01:00", "CEST", "../etc/passwd"] {
        let no = zone(wrong).unwrap_err();
        assert_eq!((no.code, no.status, no.field), ("timezone", 422, Some("timezone")), "{wrong}");
        assert!(no.message.contains("Europe/Zurich"), "{no:?}");
    }
}

#[test]
fn x_09_a_moment_is_shown_with_its_zone_and_not_before_the_minute_that_is_shown() {
    let (zurich, utc) = (zone("Europe/Zurich").unwrap(), zone("UTC").unwrap());
    assert_eq!(shown(at("2026-07-16T12:00:00Z"), &utc), "2026-07-16 12:00 UTC");
    assert_eq!(shown(at("2026-07-16T12:00:00.001Z"), &utc), "2026-07-16 12:01 UTC");
    // A schedule of nine o'clock, in summer and in winter.
    assert_eq!(shown(at("2026-07-16T07:00:00Z"), &zurich), "2026-07-16 09:00 Europe/Zurich");
    assert_eq!(shown(at("2026-12-16T08:00:00Z"), &zurich), "2026-12-16 09:00 Europe/Zurich");
}

#[test]
fn x_09_days_are_the_zones_and_moments_are_kept_in_utc() {
    let (zurich, utc) = (zone("Europe/Zurich").unwrap(), zone("UTC").unwrap());
    let late = at("2026-06-30T22:30:00Z");
    assert_eq!(
        (today(&zurich, late).to_string(), today(&utc, late).to_string()),
        ("2026-07-01".into(), "2026-06-30".into())
    );
    for (text, expected) in [
        ("2026-07-01", "2026-06-30T22:00:00Z"),
        ("2026-12-01", "2026-11-30T23:00:00Z"),
        ("2026-12-01T09:30:00Z", "2026-12-01T09:30:00Z"),
        ("2026-12-01T09:30:00.250+01:00", "2026-12-01T08:30:00.25Z"),
        ("-2d", "2026-06-28T22:30:00Z"),
        ("-3h", "2026-06-30T19:30:00Z"),
        ("-30m", "2026-06-30T22:00:00Z"),
        ("-90s", "2026-06-30T22:28:30Z"),
    ] {
        assert_eq!(moment(text, &zurich, late), Some(at(expected)), "{text}");
    }
    for wrong in [
        "",
        "-",
        "-2",
        "-d",
        "-1234567d",
        "--2d",
        "2d",
        "yesterday",
        "-2w",
        "-é",
        "2026-13-01",
        "20261201",
        "2026-12-01T09:30",
    ] {
        assert_eq!(moment(wrong, &zurich, late), None, "{wrong:?}");
    }
    // Where midnight does not come, the day begins with the first moment that does.
    let beirut = zone("Asia/Beirut").unwrap();
    assert_eq!(begin(&beirut, "2022-03-27".parse().unwrap()), Some(at("2022-03-26T22:00:00Z")));
}
