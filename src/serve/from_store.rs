//! Documents that are the store's: what changes there is written into the working copy, which is looked at like a folder.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::config::Stored;
use crate::store::{Document, Revisions, StoreError};

use super::Shared;

/// How long a start waits for the store. After that it goes on with the documents that it had.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the store is asked what is new, where it tells of everything, and where it does not, or did not answer.
const ASKED: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(2)];
/// Documents that are read at once.
const ROWS: u64 = 16;
/// Looks after a change: what belongs together is waited for.
const LOOKS: u32 = 8;

/// Takes documents from the store.
pub(super) struct FromStore {
    shared: Arc<Shared>,
    revisions: Revisions,
    /// The newest revision that is in the working copy with all before it; `None`: that is not known.
    known: Option<i64>,
    /// Why documents are not taken, as it was said.
    said: Option<String>,
}

impl FromStore {
    pub(super) fn new(shared: &Arc<Shared>) -> FromStore {
        let revisions = shared.store.revisions();
        FromStore { shared: Arc::clone(shared), revisions, known: None, said: None }
    }

    /// Takes what is there, if the store answers in time.
    pub(super) async fn begin(&mut self) {
        if self.shared.source.is_stored() && timeout(PATIENCE, self.catch_up()).await.is_err() {
            self.failed(&StoreError::Slow.to_string());
        }
    }

    /// Takes what changes, for as long as the server runs.
    pub(super) async fn go_on(mut self) {
        if !self.shared.source.is_stored() {
            return;
        }
        let mut told = self.revisions.listen();
        loop {
            // One that did not answer may be there again at any moment.
            let every = if self.revisions.hears_others() && self.said.is_none() { ASKED[0] } else { ASKED[1] };
            tokio::select! {
                what = told.recv() => if what.is_none() { return },
                () = sleep(every) => {}
            }
            // One look does for all.
            while told.try_recv().is_ok() {}
            self.catch_up().await;
        }
    }

    async fn catch_up(&mut self) {
        match self.take().await {
            Ok(changed) => {
                if self.said.take().is_some() {
                    tracing::info!("documents are taken from the store again");
                }
                if changed {
                    self.look().await;
                }
            }
            Err(why) => self.failed(&why),
        }
    }

    /// Writes what is new into the working copy. Tells whether there was something.
    async fn take(&mut self) -> Result<bool, String> {
        let words = |error: StoreError| error.to_string();
        let newest = self.revisions.newest().await.map_err(words)?;
        if self.known == Some(newest) {
            return Ok(false);
        }
        if newest == 0 {
            // Nobody has pushed any yet, or this is another database: no reason to forget what there is.
            self.known = None;
            return Err("it never had any; push them with `offhook push`".to_owned());
        }
        // An older one than what is known: this is not the database that it was.
        let after = self.known.filter(|known| *known < newest);
        let mut seq = after.unwrap_or_default();
        let mut changed = Vec::new();
        loop {
            let some = self.revisions.since(seq, ROWS).await.map_err(words)?;
            let Some(last) = some.last() else { break };
            seq = last.seq;
            let whole = some.len() < ROWS as usize;
            changed.extend(some.into_iter().map(stored));
            if whole {
                break;
            }
        }
        let shared = Arc::clone(&self.shared);
        let write = move || shared.source.take_stored(&changed, after.is_none());
        match tokio::task::spawn_blocking(write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                return Err(format!("they cannot be written to from-store in the data directory: {error}"));
            }
            Err(error) => return Err(error.to_string()),
        }
        self.known = Some(seq);
        Ok(true)
    }

    async fn look(&self) {
        for _ in 0..LOOKS {
            let Some(again) = self.shared.look().await else { break };
            sleep(again).await;
        }
    }

    /// Says why, once.
    fn failed(&mut self, why: &str) {
        self.shared.metrics.documents_failed.add(1);
        if self.said.as_deref() != Some(why) {
            let numbers = self.shared.source.current().deployments.len();
            tracing::error!(why, numbers, "no documents come from the store; those from before stay in force");
            self.said = Some(why.to_owned());
        }
    }
}

fn stored(document: Document) -> Stored {
    let Document { kind, name, revision, text, .. } = document;
    Stored { kind, name, revision, text }
}
