//! Where values in force come from.

use std::collections::BTreeSet;
use std::sync::Arc;

/// Where a value in force comes from (C-01).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueOrigin {
    /// The deployment's document says it.
    Deployment,
    /// The agent's does.
    Agent,
    /// Neither does.
    Default,
}

impl ValueOrigin {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            ValueOrigin::Deployment => "this deployment",
            ValueOrigin::Agent => "agent",
            ValueOrigin::Default => "default",
        }
    }
}

/// Which keys a deployment and its agent say, by dotted path (`turn_detection.threshold`).
#[derive(Clone, Debug, Default)]
pub struct Origins {
    pub(in crate::config) deployment: Arc<BTreeSet<String>>,
    pub(in crate::config) agent: Arc<BTreeSet<String>>,
    /// Tables that the deployment has as a whole, so that nothing of the agent's holds in them.
    pub(in crate::config) whole: &'static [&'static str],
}

impl Origins {
    /// Where the value of `key` comes from that is in force.
    pub fn of(&self, key: &str) -> ValueOrigin {
        let table = key.split('.').next().unwrap_or_default();
        if self.deployment.contains(key) {
            ValueOrigin::Deployment
        } else if self.whole.contains(&table) && table != key && self.deployment.contains(table) {
            ValueOrigin::Default
        } else if self.agent.contains(key) {
            ValueOrigin::Agent
        } else {
            ValueOrigin::Default
        }
    }
}
