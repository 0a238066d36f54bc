//! Changes of documents that are locked: they wait, each whole, until their document is free (LOCK-02).
//!
//! Which documents are locked, and why, is said by whoever runs a [`Source`]. A change of such a document in the folder is told
//! and not applied: its last good version stays in force. Documents that are the store's are held where they are written, so
//! that whatever is there is in force on every server.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalogue::{By, Catalogue, Change, DocId, Read};
use super::files::Folder;
use super::problem::{Place, Problem};
use super::ruling::Changes;
use super::watch::{Source, State};

/// What is locked, and what waits for it.
#[derive(Default)]
pub(super) struct Waiting {
    /// What is said of a change of each document that is locked.
    locked: BTreeMap<DocId, String>,
    /// How they are written by now, where that is not what is in force; `None`: the file is gone.
    changes: BTreeMap<DocId, Option<Arc<Read>>>,
    /// What was in force when the last server ended and is not any more: until it is known what is locked.
    former: BTreeMap<DocId, String>,
}

impl Source {
    /// These documents are locked from now on, and no others, each with what is said of a change of it. What waits for one that
    /// is free again is applied. Told for the first time, a change that was made while no server ran is taken back until its
    /// document is free.
    ///
    /// Blocks: it is not for an async task.
    pub fn hold(&self, locked: BTreeMap<DocId, String>) -> Vec<Change> {
        let mut state = self.lock();
        let Some(state) = state.as_mut().filter(|_| !self.is_stored()) else { return Vec::new() };
        let changes = state.hold(locked);
        self.publish(state);
        state.keep(&changes);
        changes
    }
}

impl State {
    fn hold(&mut self, locked: BTreeMap<DocId, String>) -> Vec<Change> {
        let former = std::mem::take(&mut self.waiting.former);
        let before = std::mem::replace(&mut self.waiting.locked, locked);
        if before == self.waiting.locked {
            return Vec::new();
        }
        let is_free = |id: &DocId| !self.waiting.locked.contains_key(id);
        let freed: Vec<DocId> = self.waiting.changes.keys().filter(|id| is_free(id)).cloned().collect();
        let mut first: Changes = freed.into_iter().filter_map(|id| self.waiting.changes.remove_entry(&id)).collect();
        let new: Vec<DocId> = self.waiting.locked.keys().filter(|id| !before.contains_key(id)).cloned().collect();
        for id in new {
            // One that the rules refuse, or that does not fit the others, must not come into force by another's change.
            let written = self.ruled.part(&id).or_else(|| self.catalogue.written(&id).cloned());
            if let Some(text) = former.get(&id) {
                first.push((id.clone(), Some(self.folder.read_text(&id, text))));
                self.waiting.changes.insert(id, written);
            } else if let (Some(written), Some(good)) = (written, self.catalogue.last_good(&id))
                && written.revision != good.revision
            {
                self.waiting.changes.insert(id, Some(written));
            }
        }
        let mut changes = if first.is_empty() { Vec::new() } else { self.apply(first, None, By::File) };
        // The words may be others by now.
        let held: Changes = self.waiting.barred().collect();
        changes.extend(self.apply(held, None, By::File));
        changes
    }
}

impl Waiting {
    /// For a start: what was in force last, and is not now.
    pub(super) fn begin(&mut self, kept: BTreeMap<DocId, String>, catalogue: &Catalogue) {
        let can_be_locked = |id: &DocId| matches!(id, DocId::Agent(_) | DocId::Deployment(_));
        let is_same = |id: &DocId, text: &str| {
            catalogue.in_force(id).is_some_and(|read| read.text.as_deref().is_ok_and(|now| now == text))
        };
        self.former = kept.into_iter().filter(|(id, text)| can_be_locked(id) && !is_same(id, text)).collect();
    }

    /// Of what was found in the folder, what is to be applied now.
    pub(super) fn hold_back(&mut self, found: Changes, catalogue: &Catalogue) -> Changes {
        let mut now = Vec::with_capacity(found.len());
        for (id, read) in found {
            self.changes.remove(&id);
            let good = catalogue.last_good(&id);
            let (Some(why), Some(good)) = (self.locked.get(&id), good) else {
                now.push((id, read));
                continue;
            };
            match read {
                // As it is in force; what it names may be different.
                Some(read) if read.revision == good.revision => now.push((id, Some(read))),
                Some(read) => {
                    now.push((id.clone(), Some(Arc::new(barred(&read, why)))));
                    self.changes.insert(id, Some(read));
                }
                None => drop(self.changes.insert(id, None)),
            }
        }
        now
    }

    /// A document that is applied, locked or not.
    pub(super) fn forget(&mut self, id: &DocId) {
        self.changes.remove(id);
    }

    /// What is to be told of files that are gone; of the others their documents tell.
    pub(super) fn problems(&self, catalogue: &Catalogue) -> Vec<Problem> {
        let gone = self.changes.iter().filter(|(_, read)| read.is_none());
        let told = gone.filter_map(|(id, _)| Some(stays(&catalogue.written(id)?.file, self.locked.get(id)?)));
        told.collect()
    }

    /// What waits, as it is in the catalogue until then.
    fn barred(&self) -> impl Iterator<Item = (DocId, Option<Arc<Read>>)> {
        let some = self.changes.iter().filter_map(|(id, read)| Some((id, read.as_ref()?, self.locked.get(id)?)));
        some.map(|(id, read, why)| (id.clone(), Some(Arc::new(barred(read, why)))))
    }
}

/// What a start finds, with what waits of it, and what is told of that. `kept`: what was in force last.
pub(super) fn found<E: Fn(&str) -> Option<String>>(
    folder: &Folder<E>,
    found: Changes,
    kept: &BTreeMap<DocId, String>,
    locked: &BTreeMap<DocId, String>,
) -> (Changes, Vec<Problem>) {
    let (mut now, mut told) = (found, Vec::new());
    for (id, why) in locked {
        let Some(text) = kept.get(id) else { continue };
        let was = folder.read_text(id, text);
        match now.iter_mut().find(|(known, _)| known == id) {
            Some((_, Some(read))) if read.text.as_deref().is_ok_and(|now| now == text) => {}
            Some((_, Some(read))) => {
                *read = Arc::new(barred(read, why));
                told.push(waits(&read.file, why));
            }
            _ => {
                told.push(stays(&was.file, why));
                now.push((id.clone(), Some(was)));
            }
        }
    }
    (now, told)
}

fn barred(read: &Read, why: &str) -> Read {
    let problem = waits(&read.file, why);
    read.refused(problem.message.clone(), [problem])
}

fn waits(file: &str, why: &str) -> Problem {
    Problem::warning(&Place::file(file), format!("{why} Until then this change waits."))
}

fn stays(file: &str, why: &str) -> Problem {
    Problem::warning(&Place::file(file), format!("{why} Until then the document stays, though its file is gone."))
}
