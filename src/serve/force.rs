//! Whether a deployment on a phone is in force now: asks the house, for those who come and for calls that are placed.

use jiff::Timestamp;

use crate::config::{Config, Deployment, Twilio};
use crate::house::force::{self, Because, Effective, Told, Visitor};

/// Whether `deployment` answers a caller of whom nothing is proven (ACC-07: it is decided before the model is dialled).
///
/// # Errors
/// What says no.
pub(super) fn takes(config: &Config, deployment: &Deployment, now: Timestamp) -> Result<(), Because> {
    effective(config, deployment, now).because.map_or(Ok(()), Err)
}

/// Whether calls may be placed from `deployment`: hours and access are for those who come.
///
/// # Errors
/// What says no.
pub(super) fn places(config: &Config, deployment: &Deployment, now: Timestamp) -> Result<(), Because> {
    match effective(config, deployment, now).because {
        Some(because @ (Because::Agent | Because::Deployment | Because::Schedule { .. })) => Err(because),
        Some(Because::Hours { .. } | Because::Visibility | Because::Access) | None => Ok(()),
    }
}

fn effective(config: &Config, deployment: &Deployment, now: Timestamp) -> Effective {
    match config.personas.get(&deployment.standing.agent) {
        Some(agent) => force::in_force(&agent.standing, &deployment.standing, Visitor::Unknown, now),
        // Its agent is gone, and this is the last moment of its revision.
        None => Effective { live: false, because: Some(Because::Agent) },
    }
}

/// The label of the refusal in metrics and logs.
pub(super) fn reason(because: Because) -> &'static str {
    match because {
        Because::Agent | Because::Deployment => "inactive",
        Because::Schedule { .. } => "schedule",
        Because::Hours { .. } => "hours",
        Because::Visibility | Because::Access => "access",
    }
}

/// What the caller hears.
pub(super) fn line<'a>(because: Because, deployment: &'a Deployment, twilio: &'a Twilio) -> &'a str {
    match force::told(because, &deployment.standing) {
        Told::Line(line) => line,
        Told::RefuseInactive | Told::Nothing | Told::Credentials => &twilio.refuse_inactive,
    }
}
