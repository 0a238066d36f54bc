//! The value in force, and where it comes from (C-01): the agent has the defaults, a deployment may override each.

use serde::{Serialize, Serializer};

use crate::config::ValueOrigin;

/// A value in force. It serializes as `{"value": …, "from": "this deployment" | "agent" | "default"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct InForce<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    #[serde(serialize_with = "by_name")]
    pub from: ValueOrigin,
}

/// The value in force of what a deployment and its agent say. Of what documents have said it is known already: see
/// [`Origins`](crate::config::Origins).
pub fn in_force<T>(deployment: Option<T>, agent: Option<T>, default: T) -> InForce<T> {
    match (deployment, agent) {
        (Some(value), _) => InForce { value, from: ValueOrigin::Deployment },
        (None, Some(value)) => InForce { value, from: ValueOrigin::Agent },
        (None, None) => InForce { value: default, from: ValueOrigin::Default },
    }
}

/// Minutes that a call lasts at most where nobody says otherwise, whichever way the deployment was made (C-04, PHN-09);
/// 0: no limit.
pub const MAX_MINUTES: u32 = 10;

fn by_name<S: Serializer>(origin: &ValueOrigin, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(origin.name())
}
