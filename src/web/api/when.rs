//! Moments in parameters: a day in the organization's zone, RFC 3339, or so long ago.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::house::zone;
use crate::web::Api;
use crate::web::problem::{Problem, Wrong};

/// How moments of one request are read.
#[derive(Clone, Debug)]
pub(super) struct When {
    zone: TimeZone,
    now: Timestamp,
}

impl When {
    /// In the organization's time zone.
    pub(super) fn of(api: &Api) -> When {
        When::at(api.handle.config().server.organization.zone())
    }

    /// In UTC, for what is kept by its days.
    pub(super) fn utc() -> When {
        When::at(TimeZone::UTC)
    }

    fn at(zone: TimeZone) -> When {
        When { zone, now: Timestamp::now() }
    }

    /// Milliseconds since 1970.
    pub(super) fn now_ms(&self) -> i64 {
        self.now.as_millisecond()
    }

    /// A moment in milliseconds since 1970: `2026-12-01`, `2026-12-01T09:30:00Z`, `-2d`, `-12h`, `-30m`, `-90s`.
    pub(super) fn moment(&self, name: &str, text: &str) -> Result<i64, Wrong> {
        self.read(text).ok_or_else(|| Wrong::parameter(name, "moment", MOMENT))
    }

    /// The same of a parameter that may be left out.
    pub(super) fn perhaps(&self, name: &str, text: Option<&str>) -> Result<Option<i64>, Problem> {
        text.map(|text| self.moment(name, text)).transpose().map_err(|wrong| Problem::wrong(vec![wrong]))
    }

    /// The same of a field.
    pub(super) fn field(&self, name: &str, text: &str) -> Result<i64, Problem> {
        self.read(text).ok_or_else(|| Problem::wrong(vec![Wrong::field(name, "moment", MOMENT)]))
    }

    fn read(&self, text: &str) -> Option<i64> {
        zone::moment(text, &self.zone, self.now).map(Timestamp::as_millisecond)
    }
}

const MOMENT: &str =
    "A moment is RFC 3339, such as 2026-12-01T09:30:00Z, a day, or so long ago, such as -2d, -3h or -30m.";
