//! Whether a deployment on a phone is in force now: asks the house, for those who come and for calls that are placed.

use jiff::Timestamp;

use crate::config::{AgentStanding, Config, Deployment, Twilio};
use crate::house::callers::{self, Answer, Caller};
use crate::house::force::{self, Because, Told};

/// What a caller of `deployment` meets; `None`: nobody has looked who it is (ACC-07: it is decided before the model is
/// dialled).
pub(super) fn meets(config: &Config, deployment: &Deployment, caller: Option<Caller<'_>>, now: Timestamp) -> Answer {
    match agent(config, deployment) {
        Ok(agent) => callers::answer(agent, &deployment.standing, caller, now),
        Err(because) => Answer::Refuse(because),
    }
}

/// Whether calls may be placed from `deployment`.
///
/// # Errors
/// What says no.
pub(super) fn places(config: &Config, deployment: &Deployment, now: Timestamp) -> Result<(), Because> {
    force::places(agent(config, deployment)?, &deployment.standing, now)
}

/// One whose agent is gone has been taken out of the same revision.
fn agent<'a>(config: &'a Config, deployment: &Deployment) -> Result<&'a AgentStanding, Because> {
    config.personas.get(&deployment.standing.agent).map(|agent| &agent.standing).ok_or(Because::Agent)
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
