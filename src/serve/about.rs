//! What is known of a call before it begins.

mod variables;

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::config::{Budget, CallSettings, Deployment};
use crate::store::Direction;

/// What a call is about. Numbers and variables go into the store and to webhooks, never into logs.
#[derive(Clone, Debug)]
pub struct About {
    /// Who dialled.
    pub direction: Direction,
    /// E.164, or the carrier's word for a number that is withheld.
    pub from: Option<String>,
    /// The number called.
    pub to: Option<String>,
    /// What whoever placed the call gave it.
    pub variables: BTreeMap<String, String>,
    /// What the model may cost.
    pub budget: Option<Budget>,
}

impl About {
    /// Puts what is known of the call `id` into what it runs by.
    pub(super) fn prepare(&self, settings: &mut CallSettings, id: &str, deployment: &Deployment, started: SystemTime) {
        settings.variables = variables::of_call(self, id, deployment, started);
        settings.fetches = deployment.agent.fetch.is_some();
        settings.budget.clone_from(&self.budget);
    }
}
