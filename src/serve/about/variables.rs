//! What `{{call.*}}` and `{{system.*}}` stand for in one call.

use std::time::SystemTime;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::base::template::Variables;
use crate::base::time::date::rfc3339;
use crate::config::Deployment;
use crate::house::hours;

use super::About;

/// The variables of a call that came in at `started`, by full name: the agent's defaults, what is known of the call, and
/// the time where the deployment is.
pub(super) fn of_call(about: &About, id: &str, deployment: &Deployment, started: SystemTime) -> Variables {
    let agent = &deployment.agent;
    let mut variables = agent.variables.clone();
    // Only what the document declares; whoever places a call may say more than this agent wants to know.
    for (name, value) in &about.variables {
        variables.entry(format!("call.{name}")).and_modify(|known| known.clone_from(value));
    }
    let mut put = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
    put("call.id", id);
    put("call.from", about.from.as_deref().unwrap_or_default());
    put("call.to", about.to.as_deref().unwrap_or_default());
    put("call.direction", about.direction.name());
    put("call.deployment", &deployment.name);
    put("call.agent", &agent.name);
    put("call.started", &rfc3339(started));
    let now = at(started, &deployment.timezone);
    put("system.date", &now.strftime("%Y-%m-%d").to_string());
    put("system.time", &now.strftime("%H:%M").to_string());
    put("system.weekday", &now.strftime("%A").to_string());
    put("system.now", &now.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string());
    put("system.timezone", &deployment.timezone);
    let hours = deployment.standing.hours.as_ref();
    for (name, value) in hours::variables(hours, Timestamp::try_from(started).unwrap_or(Timestamp::UNIX_EPOCH)) {
        put(name, &value);
    }
    variables
}

/// A moment where `timezone` is. The configuration knows only zones that there are.
fn at(moment: SystemTime, timezone: &str) -> Zoned {
    let zone = TimeZone::get(timezone).unwrap_or(TimeZone::UTC);
    Timestamp::try_from(moment).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_time_is_that_of_the_place_in_summer_and_winter() {
        for (seconds, zone, now) in [
            (1_795_216_495, "Europe/Berlin", "2026-11-21T00:14:55+01:00"),
            (1_782_864_000, "Europe/Berlin", "2026-07-01T02:00:00+02:00"),
            (1_795_216_495, "America/St_Johns", "2026-11-20T19:44:55-03:30"),
            (1_795_216_495, "UTC", "2026-11-20T23:14:55+00:00"),
        ] {
            let at = at(UNIX_EPOCH + Duration::from_secs(seconds), zone);
            assert_eq!(at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(), now);
        }
    }
}
