//! What locks documents (LOCK-02): the store has it for all servers, and this one keeps up with it. Files of documents that are
//! locked wait; what is asked of a document is held against the store itself, at that moment.

mod seen;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::house::locks::{Lock, locked};
use crate::store::{StoreError, Topic};

use super::Shared;

pub(super) use seen::Locks;

/// How long a start waits for the store; after that it goes on without, and holds what is locked once it is known.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the store is asked, where it tells of everything, and where it does not, or did not answer.
const ASKED: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(2)];

/// Takes what is locked, before documents that changed meanwhile are used, if the store answers in time.
pub(super) async fn begin(shared: &Arc<Shared>) {
    match timeout(PATIENCE, take(shared)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "what is locked by campaigns is not known yet"),
        Err(_) => tracing::warn!("what is locked by campaigns is not known yet"),
    }
}

/// Keeps up with it, for as long as the server runs.
pub(super) async fn go_on(shared: Arc<Shared>) {
    let mut told = shared.store.listen(Topic::Locks);
    let hears = shared.store.revisions().hears_others();
    let mut every = ASKED[1];
    loop {
        tokio::select! {
            what = told.next() => if what.is_none() { return },
            () = sleep(every) => {}
        }
        let done = take(&shared).await;
        every = if hears && done.is_ok() { ASKED[0] } else { ASKED[1] };
    }
}

/// What locks documents at this moment; where the store does not answer, as was last seen.
pub(super) async fn now(shared: &Arc<Shared>) -> Arc<[Lock]> {
    take(shared).await.unwrap_or_else(|_| shared.locks.seen())
}

/// What locks documents at this moment. Files are held and let go by it.
pub(super) async fn take(shared: &Arc<Shared>) -> Result<Arc<[Lock]>, StoreError> {
    let _looking = shared.locks.looking.lock().await;
    let now: Arc<[Lock]> = shared.store.locks().await?.into();
    if shared.locks.see(&now) {
        let (held, shared) = (locked(&now), Arc::clone(shared));
        let hold = move || {
            let changes = shared.source.hold(held);
            shared.reviser.applied(&shared.source, &changes);
        };
        if let Err(error) = tokio::task::spawn_blocking(hold).await {
            tracing::error!(%error, "what is locked cannot be held");
        }
    }
    Ok(now)
}
