//! Which agents have something to look up. A call begins with what is at hand: it does not wait for the store.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

#[derive(Debug, Default)]
pub(in crate::serve) struct Known(RwLock<Arc<BTreeSet<String>>>);

impl Known {
    pub(in crate::serve) fn set(&self, agents: BTreeSet<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(agents);
    }

    pub(in crate::serve) fn has(&self, agent: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(agent)
    }
}
