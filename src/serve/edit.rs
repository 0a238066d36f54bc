//! Changes documents for the API and the console, whoever has them: in their files, or in the store.
//!
//! ```text
//!   files    plan ─► hold against all others ─► write ─► apply
//!   store    take what is new ─► plan ─► hold against all others ─► a revision, if nothing came between ─► apply
//!                 ▲                                                      │
//!                 └───────────────── something did ◄─────────────────────┘
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::config::{By, Change, DocId, Edit, EditError, Edited, Written};
use crate::house::locks::may_change;
use crate::store::{Locked, NewDocument, StoreError};

use super::from_store::{self, Known};
use super::{Shared, locks, revise};

/// How long one who changes what the store has waits for another who does.
const PATIENCE: Duration = Duration::from_secs(5);
/// Changes of others that may come in between.
const TRIES: u32 = 8;

/// Changes documents, all of them or none: see [`Running::edit`](super::Running::edit).
pub(super) async fn edit(
    shared: &Arc<Shared>,
    edits: Vec<Edit>,
    who: &str,
    by: By,
    locked: Locked,
    dry_run: bool,
) -> Result<Edited, EditError> {
    let desk = Desk { shared, edits: edits.into(), who: who.into(), by, locked };
    desk.may_change().await?;
    let in_store = shared.source.is_stored();
    match desk.edits.iter().filter(|edit| edit.doc == DocId::Server).count() {
        0 if in_store => {
            let known = timeout(PATIENCE, shared.stored.lock()).await;
            let mut known = known.map_err(|_| unavailable("others are changing some"))?;
            desk.in_store(&mut known, dry_run).await
        }
        files if in_store && files < desk.edits.len() => Err(EditError::Mixed),
        _ if dry_run => desk.prepare().await,
        _ => desk.in_files().await,
    }
}

/// Who changes what.
struct Desk<'a> {
    shared: &'a Arc<Shared>,
    edits: Arc<[Edit]>,
    who: Arc<str>,
    by: By,
    locked: Locked,
}

impl Desk<'_> {
    /// Whether nothing locks the documents.
    async fn may_change(&self) -> Result<(), EditError> {
        if self.locked == Locked::Passed {
            return Ok(());
        }
        let locks = locks::now(self.shared).await;
        let refused = self.edits.iter().find_map(|edit| may_change(&edit.doc, &*locks).err());
        refused.map_or(Ok(()), |refusal| Err(EditError::Locked(refusal.message)))
    }

    async fn in_files(&self) -> Result<Edited, EditError> {
        let edits = Arc::clone(&self.edits);
        self.blocking(move |shared, who, by| {
            let edited = shared.source.edit(&edits, Some(who), by, &|_, _| Vec::new())?;
            shared.reviser.applied(&shared.source, &edited.changes);
            Ok(edited)
        })
        .await
    }

    async fn prepare(&self) -> Result<Edited, EditError> {
        let edits = Arc::clone(&self.edits);
        self.blocking(move |shared, who, by| shared.source.prepare(&edits, Some(who), by, &|_, _| Vec::new())).await
    }

    async fn in_store(&self, known: &mut Known, dry_run: bool) -> Result<Edited, EditError> {
        for _ in 0..TRIES {
            from_store::catch_up(self.shared, known).await.map_err(EditError::Unavailable)?;
            let prepared = self.prepare().await?;
            if dry_run {
                return Ok(prepared);
            }
            let different = prepared.documents.iter().filter(|written| written.is_different());
            let rows: Vec<NewDocument> = different.map(|written| self.row(written)).collect();
            if rows.is_empty() {
                return Ok(prepared);
            }
            match self.shared.store.revisions().apply_upon(known.seq.unwrap_or_default(), &rows, self.locked).await {
                Ok(_) => return self.take(prepared).await,
                Err(StoreError::Stale) => {}
                Err(StoreError::Rule(refusal)) => return Err(EditError::Locked(refusal.message)),
                Err(error) => return Err(unavailable(&error.to_string())),
            }
        }
        Err(unavailable("others keep changing some"))
    }

    /// Applies what is in the store by now.
    async fn take(&self, prepared: Edited) -> Result<Edited, EditError> {
        self.blocking(move |shared, who, by| {
            let documents = prepared.documents.clone();
            shared.source.take_edited(prepared, Some(who), by).or_else(|error| {
                // It is taken with the next that changes, or when the store is asked again.
                tracing::error!(%error, "what was changed in the store cannot be applied yet");
                let changes: Vec<Change> = Vec::new();
                Ok(Edited { documents, changes })
            })
        })
        .await
    }

    fn row(&self, written: &Written) -> NewDocument {
        let revision = written.revision.map_or_else(String::new, |revision| revision.to_string());
        revise::new(&written.doc, revision, written.text.clone(), Some(&self.who), self.by)
    }

    /// Does what reads and writes files off the async threads, to its end also when nobody waits for it any more.
    async fn blocking(
        &self,
        work: impl FnOnce(&Shared, &str, By) -> Result<Edited, EditError> + Send + 'static,
    ) -> Result<Edited, EditError> {
        let (shared, who, by) = (Arc::clone(self.shared), Arc::clone(&self.who), self.by);
        let done = tokio::task::spawn_blocking(move || work(&shared, &who, by)).await;
        done.unwrap_or_else(|error| Err(unavailable(&error.to_string())))
    }
}

fn unavailable(why: &str) -> EditError {
    EditError::Unavailable(why.to_owned())
}
