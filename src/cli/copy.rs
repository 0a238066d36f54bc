//! What the store has of documents, in a directory of its own for as long as a command needs it: so it is read as a server reads
//! its working copy.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use offhook::config::{self, DocId, Stored};
use offhook::store::{Document, Revisions};

use super::Failure;

/// Documents that are read at once.
const ROWS: u64 = 16;

/// Documents by kind and name.
pub(super) type All = BTreeMap<(String, String), Document>;

/// What is in force in the store, but for the servers' own documents.
pub(super) async fn in_store(store: &Revisions) -> Result<All, Failure> {
    let (mut all, mut seq) = (BTreeMap::new(), 0);
    loop {
        let some = store.since(seq, ROWS).await.map_err(|error| error.to_string())?;
        let Some(last) = some.last() else { return Ok(all) };
        seq = last.seq;
        let there = some.into_iter().filter(|row| row.text.is_some() && row.kind != DocId::Server.kind());
        all.extend(there.map(|row| ((row.kind.clone(), row.name.clone()), row)));
    }
}

/// A directory that is gone with this.
pub(super) struct WorkingCopy(PathBuf);

impl WorkingCopy {
    /// With `documents` in it, for the command `of`.
    pub(super) fn new(of: &str, documents: &[Stored]) -> Result<WorkingCopy, Failure> {
        let place = std::env::temp_dir().join(format!("offhook-{of}-{}", std::process::id()));
        let failed = |error: io::Error| format!("{}: {error}", place.display());
        // Not one that somebody else has laid there.
        fs::create_dir(&place).map_err(failed)?;
        let copy = WorkingCopy(place.clone());
        config::write_stored(&copy.0, documents, true).map_err(failed)?;
        Ok(copy)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// What is said of documents in it, as of documents in the store.
    pub(super) fn said(&self, what: impl ToString) -> String {
        what.to_string().replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for WorkingCopy {
    fn drop(&mut self) {
        // What stays is in nobody's way.
        let _ = fs::remove_dir_all(&self.0);
    }
}
