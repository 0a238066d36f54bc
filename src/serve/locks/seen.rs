//! What locks documents, as this server has seen it last.

use std::sync::{Arc, Mutex, PoisonError};

use crate::house::locks::Lock;

/// Locks of all servers.
#[derive(Debug, Default)]
pub(in crate::serve) struct Locks {
    /// `None`: nothing was seen yet.
    seen: Mutex<Option<Arc<[Lock]>>>,
    /// Held by who looks: what was seen later is not overwritten by what was seen before.
    pub(super) looking: tokio::sync::Mutex<()>,
}

impl Locks {
    /// As last seen.
    pub(in crate::serve) fn seen(&self) -> Arc<[Lock]> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }

    /// Takes what is seen now. Tells whether it is different.
    pub(super) fn see(&self, now: &Arc<[Lock]>) -> bool {
        let before = self.seen.lock().unwrap_or_else(PoisonError::into_inner).replace(Arc::clone(now));
        before.as_ref() != Some(now)
    }
}
