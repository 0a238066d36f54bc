//! Every version of a document that came into force is a row in the store: who applied it, by which way, and when.
//!
//! Beside all calls, and after the fact: a version is in force whether it can be kept or not. What cannot be kept now waits,
//! and is kept in the order in which it came; what found no room is made up for by the versions in force.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::time::sleep;

use crate::config::{By, Change, DocId, InForce, Source};
use crate::store::{NewDocument, Store, StoreError};

/// Versions that may wait for the store.
const QUEUE: usize = 1_024;
/// The pause before another attempt, which is doubled from the first to the last.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// Who keeps versions.
#[derive(Debug)]
pub(super) struct Reviser {
    tell: mpsc::Sender<NewDocument>,
    told: Mutex<mpsc::Receiver<NewDocument>>,
    /// Something found no room.
    missed: AtomicBool,
}

impl Reviser {
    pub(super) fn new() -> Self {
        let (tell, told) = mpsc::channel(QUEUE);
        Reviser { tell, told: Mutex::new(told), missed: AtomicBool::new(false) }
    }

    /// These documents came into force just now. Never waits.
    pub(super) fn applied(&self, source: &Source, changes: &[Change]) {
        // What is the store's is there.
        let ours = |change: &&Change| change.doc == DocId::Server || !source.is_stored();
        for change in changes.iter().filter(|change| change.from != change.to).filter(ours) {
            let text = change.to.and_then(|_| source.text(&change.doc));
            if change.to.is_some() && text.is_none() {
                // Another change was faster, and is told of too.
                continue;
            }
            let revision = change.to.map_or_else(String::new, |to| to.to_string());
            let new = new(&change.doc, revision, text, change.who.as_deref(), change.by);
            if self.tell.try_send(new).is_err() {
                self.missed.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Keeps what is told, for as long as the server runs.
    pub(super) async fn work(&self, source: &Source, store: &Store) {
        let mut told = self.told.lock().await;
        // Documents may have changed while no server ran.
        self.again(source, store).await;
        while let Err(error) = store.tell_changes().await {
            tracing::debug!(%error, "the store does not take yet that changes are to be told");
            sleep(PAUSES[1]).await;
        }
        while let Some(new) = told.recv().await {
            self.keep(store, new).await;
            if told.is_empty() && self.missed.swap(false, Ordering::Relaxed) {
                self.again(source, store).await;
            }
        }
    }

    /// Keeps what is in force and is not the newest that the store has.
    async fn again(&self, source: &Source, store: &Store) {
        let documents = source.documents();
        // One that never changes has none.
        if documents.is_empty() || source.is_stored() {
            return;
        }
        let kept = loop {
            match store.revisions().in_force().await {
                Ok(kept) => break kept,
                Err(error) => {
                    tracing::warn!(%error, "which versions of documents the store has is not known; it is asked again");
                    sleep(PAUSES[1]).await;
                }
            }
        };
        let mut kept: BTreeMap<(String, String), String> =
            kept.into_iter().map(|document| ((document.kind, document.name), document.revision)).collect();
        for state in documents {
            let (kind, name) = (state.doc.kind(), state.doc.name());
            let before = kept.remove(&(kind.to_owned(), name.to_owned()));
            let Some(revision) = state.revision.filter(|_| state.in_force != InForce::Nothing) else { continue };
            let revision = revision.to_string();
            if before.as_ref() != Some(&revision)
                && let Some(text) = source.text(&state.doc)
            {
                self.keep(store, new(&state.doc, revision, Some(text), None, By::File)).await;
            }
        }
        // What is no document of this folder any more.
        for (kind, name) in kept.into_keys().filter(|(kind, name)| DocId::of_kind(kind, name).is_some()) {
            let gone = NewDocument {
                kind,
                name,
                revision: String::new(),
                text: None,
                applied_by: way(By::File).to_owned(),
                way: way(By::File).to_owned(),
            };
            self.keep(store, gone).await;
        }
    }

    /// Until it is kept, or never can be.
    async fn keep(&self, store: &Store, new: NewDocument) {
        let [mut pause, longest] = PAUSES;
        loop {
            match store.revisions().add(new.clone(), None).await {
                Ok(_) => return,
                Err(StoreError::Refused(why)) => {
                    tracing::warn!(kind = new.kind, name = new.name, why, "a version of a document is not kept");
                    return;
                }
                Err(error) if pause == PAUSES[0] => {
                    tracing::warn!(%error, "versions of documents wait for the store");
                }
                Err(_) => {}
            }
            sleep(pause).await;
            pause = (2 * pause).min(longest);
        }
    }
}

/// A version of a document, as the store keeps it. `who` is not known of files: it is the way, then.
pub(super) fn new(doc: &DocId, revision: String, text: Option<Arc<str>>, who: Option<&str>, by: By) -> NewDocument {
    let (kind, name) = (doc.kind(), doc.name());
    NewDocument {
        kind: kind.to_owned(),
        name: name.to_owned(),
        revision,
        text: text.map(|text| text.to_string()),
        applied_by: who.unwrap_or(way(by)).to_owned(),
        way: way(by).to_owned(),
    }
}

fn way(by: By) -> &'static str {
    match by {
        By::File => "folder",
        By::Api => "api",
        By::Console => "console",
        By::Restore => "restore",
        By::Store => "store",
    }
}
