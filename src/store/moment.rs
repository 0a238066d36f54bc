//! Moments as the store counts them: milliseconds since 1970.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::time::date;

/// Now.
pub fn now_ms() -> i64 {
    ms_of(SystemTime::now())
}

/// As RFC 3339 in UTC.
pub fn written(ms: i64) -> String {
    date::rfc3339(time_of(ms))
}

/// From a date or RFC 3339 in UTC.
pub fn read(text: &str) -> Option<i64> {
    date::parse(text).map(ms_of)
}

pub(super) fn ms_of(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

pub(super) fn time_of(ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms.max(0) as u64)
}
