//! Where values in force come from.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::{manner, terms};

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
    /// Keys that stand in the other document of the two than they usually do: those of the agent's that the deployment says,
    /// and those of the deployment's tables that only the agent says.
    pub fn elsewhere(&self) -> Vec<String> {
        let top = |key: &str| key.split('.').next().unwrap_or_default().to_owned();
        let whole = |key: &String| self.whole.contains(&top(key).as_str());
        let here = self.deployment.iter().filter(|key| manner::KEYS.contains(&top(key).as_str()) && !whole(key));
        let terms = |key: &String| terms::KEYS.contains(&top(key).as_str()) || top(key) == "tool_sound";
        let there = self.agent.iter().filter(|key| terms(key) && !self.deployment.contains(*key));
        let tables = self.whole.iter().filter(|table| self.deployment.contains(**table));
        here.chain(there).cloned().chain(tables.map(|table| (*table).to_owned())).collect()
    }

    /// Whether the agent's document says `key`, in force here or not.
    pub fn agent_says(&self, key: &str) -> bool {
        self.agent.contains(key)
    }

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
