//! The value in force, and where it comes from (C-01): the agent has the defaults, a deployment may override each.

use serde::Serialize;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Origin {
    /// The deployment overrides it.
    #[serde(rename = "this deployment")]
    Deployment,
    /// The agent says so.
    #[serde(rename = "agent")]
    Agent,
    /// Nobody says anything.
    #[serde(rename = "default")]
    Default,
}

impl Origin {
    /// As pages show it.
    pub fn name(self) -> &'static str {
        match self {
            Origin::Deployment => "this deployment",
            Origin::Agent => "agent",
            Origin::Default => "default",
        }
    }
}

/// A value in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct InForce<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub from: Origin,
}

/// The value in force of what a deployment and its agent say.
pub fn in_force<T>(deployment: Option<T>, agent: Option<T>, default: T) -> InForce<T> {
    match (deployment, agent) {
        (Some(value), _) => InForce { value, from: Origin::Deployment },
        (None, Some(value)) => InForce { value, from: Origin::Agent },
        (None, None) => InForce { value: default, from: Origin::Default },
    }
}

/// Minutes that a call lasts at most where nobody says otherwise, whichever way the deployment was made (C-04, PHN-09);
/// 0: no limit.
pub const MAX_MINUTES: u32 = 10;
