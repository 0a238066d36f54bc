//! Writing documents back: what the API and the console change is a change of the same documents that people edit.
//!
//! An edit names the revision that it was made upon. It is laid into the text with all comments, order and blank lines
//! kept, held against the whole catalogue, and written whole or not at all. Between two writers the later one is told.
//! Several edits are one: all of them or none.
//!
//! Files are written by [`Source::edit`]. What is the store's is written there by whoever has one, between
//! [`Source::prepare`], which says what to write, and [`Source::take_edited`].

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::catalogue::{Applied, By, Change, DocId, InForce, Read, Revision};
use super::diff::diff;
use super::files::MAX_DOCUMENT_BYTES;
use super::last_good::replace;
use super::patch::{Others, is_toml, patched};
use super::problem::{Place, Problem, Problems};
use super::types::Config;
use super::watch::{Source, State, change_of};

/// A change of one document that somebody asks for.
#[derive(Clone, Debug)]
pub struct Edit {
    /// Which document.
    pub doc: DocId,
    /// The revision that was read, and that this was made upon; `None`: there was no such document.
    pub upon: Option<Revision>,
    /// What is to become of it.
    pub to: Wanted,
}

/// What is to become of a document.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Its keys are changed: a JSON merge patch (RFC 7396). A value replaces, an object changes within, `null` removes; of a
    /// list of tables each is changed in its place.
    Patched(Map<String, Value>),
    /// It has these keys and no others, or is made anew of them. What stays as it was keeps its comments.
    Keys(Map<String, Value>),
    /// It becomes this text, or is made anew of it.
    Text(String),
    /// It is deleted.
    Gone,
}

/// What else is asked of a configuration that is in force and of what an edit would make of it.
pub type Rules<'a> = dyn Fn(&Config, &Config) -> Vec<Problem> + 'a;

/// Edits that are written and in force, or would be.
#[derive(Clone, Debug)]
pub struct Edited {
    /// The documents as they are now, in the order of the edits.
    pub documents: Vec<Written>,
    /// What is in force because of it; other documents too, when they waited for it. Empty when nothing was different.
    pub changes: Vec<Change>,
}

/// A document after an edit.
#[derive(Clone, Debug)]
pub struct Written {
    /// Which.
    pub doc: DocId,
    /// What it was; `None`: there was none.
    pub from: Option<Revision>,
    /// Its revision; `None`: it is deleted.
    pub revision: Option<Revision>,
    /// What it says; `None`: it is deleted.
    pub text: Option<Arc<str>>,
}

impl Written {
    /// Whether it says something else than before.
    pub fn is_different(&self) -> bool {
        self.from != self.revision
    }
}

/// Why nothing was written.
#[derive(Debug)]
pub enum EditError {
    /// Somebody else changed a document meanwhile.
    Changed {
        /// Which.
        doc: DocId,
        /// As it is now; `None`: it was deleted.
        text: Option<Arc<str>>,
        /// Its revision.
        revision: Option<Revision>,
        /// From what the edit was made upon, where that is still known, else from what it would have made of it.
        diff: String,
    },
    /// There is no such document, and so nothing to patch or delete.
    Absent(DocId),
    /// A document would be wrong, or not fit the others.
    Invalid(Problems),
    /// The keys do not fit the document: which, and why.
    Patch(String),
    /// The file cannot be written; all are as they were.
    Io(PathBuf, io::Error),
    /// The configuration has no files.
    Fixed,
    /// The documents are the store's, and here is none.
    Stored,
    /// A document is locked, in the house's words.
    Locked(String),
    /// Some of the documents are files and some the store's, which are not written together.
    Mixed,
    /// The store does not answer, and why. What was asked for may be written all the same, and shows when it is read again.
    Unavailable(String),
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EditError::Changed { text: None, .. } => f.write_str("the document was deleted meanwhile"),
            EditError::Changed { diff, .. } => write!(f, "somebody else changed the document meanwhile:\n{diff}"),
            EditError::Absent(_) => f.write_str("there is no such document"),
            EditError::Invalid(problems) => problems.fmt(f),
            EditError::Patch(why) | EditError::Locked(why) => f.write_str(why),
            EditError::Io(path, error) => {
                let why = match error.kind() {
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "the disk is full".to_owned(),
                    ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                        "the user the server runs as may not write there".to_owned()
                    }
                    _ => error.to_string(),
                };
                write!(f, "{}: cannot be written: {why}; it is as it was", path.display())
            }
            EditError::Stored => f.write_str("the documents are in the store ([config] source in offhook.toml)"),
            EditError::Mixed => f.write_str(
                "offhook.toml is a file and the other documents are in the store: change one, then the other",
            ),
            EditError::Unavailable(why) => write!(f, "documents cannot be changed now: {why}"),
            EditError::Fixed => f.write_str("this configuration has no files"),
        }
    }
}

impl std::error::Error for EditError {}

impl Source {
    /// Changes documents that are files, and applies the change to calls from now on: all of `edits` or none. `who` changed
    /// them, `by` which way. `rules` that are no document's own are asked about what is in force and what would be, besides
    /// those that the source was [opened](super::Opening::rules) with; an error among what they say forbids it.
    ///
    /// Blocks: it is not for an async task.
    ///
    /// # Errors
    /// See [`EditError`]. Nothing is written then, and what was there is as it was.
    pub fn edit(&self, edits: &[Edit], who: Option<&str>, by: By, rules: &Rules<'_>) -> Result<Edited, EditError> {
        let mut state = self.lock();
        let state = state.as_mut().ok_or(EditError::Fixed)?;
        if self.is_stored() && edits.iter().any(|edit| edit.doc != DocId::Server) {
            return Err(EditError::Stored);
        }
        let plans = state.plan(edits, by)?;
        state.validate(&plans, rules)?;
        state.write(&plans)?;
        let changes = state.taken(plans.iter().map(|plan| &plan.doc), who, by);
        let documents = plans.iter().map(Plan::written).collect();
        self.publish(state);
        state.keep(&changes);
        Ok(Edited { documents, changes })
    }

    /// Says what `edits` would make of the documents as they are known by now, and writes nothing: as if `who` had done it
    /// `by` this way. For what is asked only, and for documents that are the store's: see [`Source::take_edited`].
    ///
    /// Blocks: it is not for an async task.
    ///
    /// # Errors
    /// As [`Source::edit`], whoever has the documents.
    pub fn prepare(&self, edits: &[Edit], who: Option<&str>, by: By, rules: &Rules<'_>) -> Result<Edited, EditError> {
        let state = self.lock();
        let state = state.as_ref().ok_or(EditError::Fixed)?;
        let plans = state.plan(edits, by)?;
        let applied = state.validate(&plans, rules)?;
        let when = SystemTime::now();
        let changes = applied.into_iter().map(|applied| change_of(applied, who, by, when)).collect();
        Ok(Edited { documents: plans.iter().map(Plan::written).collect(), changes })
    }

    /// Takes what was [prepared](Source::prepare) and is in the store by now, and applies it to calls from now on. Nothing
    /// else may have been taken from the store in between.
    ///
    /// Blocks: it is not for an async task.
    ///
    /// # Errors
    /// It cannot be written into the working copy: it is applied once it is [taken](Source::take_stored) from the store.
    pub fn take_edited(&self, prepared: Edited, who: Option<&str>, by: By) -> io::Result<Edited> {
        let mut state = self.lock();
        let Some(state) = state.as_mut().filter(|_| self.is_stored()) else { return Ok(prepared) };
        for written in prepared.documents.iter().filter(|written| written.is_different()) {
            let path = state.folder.path(&written.doc);
            let text = written.text.as_deref();
            put(&path, text, || Ok(())).or_else(|error| match error.kind() {
                ErrorKind::NotFound if text.is_none() => Ok(()),
                _ => Err(error),
            })?;
        }
        let changes = state.taken(prepared.documents.iter().map(|written| &written.doc), who, by);
        self.publish(state);
        state.keep(&changes);
        Ok(Edited { changes, ..prepared })
    }

    /// The revision of a document as it is written, to name in an [edit](Edit::upon), and why it cannot be read if it cannot;
    /// `None`: there is none.
    pub fn written_as(&self, doc: &DocId) -> Option<(Revision, Option<String>)> {
        let state = self.lock();
        let read = state.as_ref()?.folder.read_now(doc)?;
        Some((read.revision, read.text.as_ref().err().cloned()))
    }

    /// A document as it is written, with its revision; `None`: there is none, or it cannot
    /// be read. Of one that is the store's, as it is known by now.
    pub fn written(&self, doc: &DocId) -> Option<(Arc<str>, Revision)> {
        let state = self.lock();
        let read = state.as_ref()?.folder.read_now(doc)?;
        Some((read.text.clone().ok()?, read.revision))
    }
}

/// An edit that was made upon what is there.
struct Plan {
    doc: DocId,
    /// `None`: there is none.
    now: Option<Arc<Read>>,
    /// `None`: it is deleted.
    new: Option<Arc<Read>>,
}

impl Plan {
    fn text(read: Option<&Arc<Read>>) -> Option<Arc<str>> {
        read?.text.clone().ok()
    }

    fn is_different(&self) -> bool {
        self.now.is_some() != self.new.is_some() || Plan::text(self.now.as_ref()) != Plan::text(self.new.as_ref())
    }

    fn written(&self) -> Written {
        let revision = |read: &Arc<Read>| read.revision;
        let (from, text) = (self.now.as_ref().map(revision), Plan::text(self.new.as_ref()));
        Written { doc: self.doc.clone(), from, revision: self.new.as_ref().map(revision), text }
    }
}

impl State {
    /// What `edits` would make of the documents, each by itself.
    fn plan(&self, edits: &[Edit], by: By) -> Result<Vec<Plan>, EditError> {
        let mut docs = BTreeSet::new();
        if let Some(twice) = edits.iter().find(|edit| !docs.insert(&edit.doc)) {
            return Err(EditError::Patch(format!("{} is to be changed twice at once", twice.doc)));
        }
        edits.iter().map(|edit| self.plan_one(edit, by)).collect()
    }

    fn plan_one(&self, Edit { doc, upon, to }: &Edit, by: By) -> Result<Plan, EditError> {
        let now = self.folder.read_now(doc);
        let text = Plan::text(now.as_ref());
        let lay = |text: &str, keys, others| patched(text, keys, others).map_err(EditError::Patch);
        let wanted = match (to, &text) {
            (Wanted::Gone | Wanted::Patched(_), None) if upon.is_none() && now.is_none() => {
                return Err(EditError::Absent(doc.clone()));
            }
            // What it would have been is worth showing only if it can be told.
            (Wanted::Gone, _) | (Wanted::Patched(_), None) => None,
            (Wanted::Text(text), _) => Some(text.clone()),
            (Wanted::Patched(keys), Some(text)) => Some(lay(text, keys, Others::Stay)?),
            (Wanted::Keys(keys), text) => {
                // All keys are given, so one that nobody can read is none to keep anything of.
                let text = text.as_deref().filter(|text| is_toml(text)).unwrap_or_default();
                Some(lay(text, keys, Others::Go)?)
            }
        };
        if now.as_ref().map(|read| read.revision) != *upon {
            return Err(self.changed(doc, *upon, now.as_deref(), wanted.as_deref()));
        }
        if matches!((to, &text), (Wanted::Patched(_), None)) {
            let why = "the document cannot be read as it is written, so its keys cannot be changed one by one";
            return Err(EditError::Patch(why.to_owned()));
        }
        if wanted.as_ref().is_some_and(|text| text.len() as u64 > MAX_DOCUMENT_BYTES) {
            let place = Place::file(&self.folder.path(doc).display().to_string());
            let why = format!("is longer than {} KiB", MAX_DOCUMENT_BYTES / 1_024);
            return Err(EditError::Invalid(Problems::new(vec![Problem::error(&place, why)])));
        }
        let new = match (&wanted, &now) {
            // The same text is the same document.
            (Some(wanted), Some(now)) if now.text.as_deref() == Ok(wanted) => Some(Arc::clone(now)),
            (Some(wanted), now) if is_from_afar(to, by) => {
                let new = self.folder.read_within(doc, wanted);
                named_anew(now.as_deref(), &new)?;
                Some(new)
            }
            (Some(wanted), _) => Some(self.folder.read_text(doc, wanted)),
            (None, _) => None,
        };
        Ok(Plan { doc: doc.clone(), now, new })
    }

    /// What would be in force, if the documents would be as they would be written, and break nothing that is.
    fn validate(&self, plans: &[Plan], rules: &Rules<'_>) -> Result<Vec<Applied>, EditError> {
        let plans: Vec<&Plan> = plans.iter().filter(|plan| plan.is_different()).collect();
        if plans.is_empty() {
            return Ok(Vec::new());
        }
        let mut trial = self.catalogue.clone();
        let changes = plans.iter().map(|plan| (plan.doc.clone(), plan.new.clone())).collect();
        let applied = trial.apply(changes, &self.folder.world());
        let known = |problem: &&Problem| self.problems.iter().any(|known| known == *problem);
        let problems = trial.problems();
        let mut told: Vec<Problem> =
            problems.iter().filter(|problem| problem.is_error() && !known(problem)).cloned().collect();
        for plan in &plans {
            let state = trial.state(&plan.doc);
            let is_in_force = match &state {
                Some(state) => state.in_force == InForce::AsWritten,
                None => plan.new.is_none(),
            };
            if is_in_force {
                continue;
            }
            // What was wrong before is told again when it is what keeps this from being in force.
            let file = self.folder.path(&plan.doc).display().to_string();
            let own = |problem: &&Problem| problem.is_error() && problem.file == file;
            told.extend(problems.iter().filter(|problem| own(problem) && known(problem)).cloned());
            if !told.iter().any(|problem| own(&problem)) {
                let why = state.and_then(|state| state.why).unwrap_or_else(|| "it would not be in force".to_owned());
                told.push(Problem::error(&Place::file(&file), why));
            }
        }
        if told.is_empty() {
            if let (Some(before), Some(after)) = (self.catalogue.config(), trial.config()) {
                told.extend(rules(before, after));
            }
            // It would be refused once it is written.
            told.extend(self.ruled.refusals(
                self.rules.as_deref(),
                (&self.catalogue, &trial),
                &applied,
                Timestamp::now(),
            ));
        }
        if told.iter().any(Problem::is_error) {
            return Err(EditError::Invalid(Problems::new(Problems::distinct(told))));
        }
        Ok(applied)
    }

    /// Writes the files, or leaves all as they were.
    fn write(&self, plans: &[Plan]) -> Result<(), EditError> {
        let mut order: Vec<&Plan> = plans.iter().filter(|plan| plan.is_different()).collect();
        // What others name is there before them, and goes after them.
        order.sort_by(|a, b| match (&a.new, &b.new) {
            (None, None) => b.doc.cmp(&a.doc),
            (a_new, b_new) => a_new.is_none().cmp(&b_new.is_none()).then_with(|| a.doc.cmp(&b.doc)),
        });
        for (done, plan) in order.iter().enumerate() {
            let Err(error) = self.write_one(plan) else { continue };
            for plan in order[..done].iter().rev() {
                let old = Plan::text(plan.now.as_ref());
                if let Err(error) = put(&self.file(&plan.doc), old.as_deref(), || Ok(())) {
                    tracing::error!(document = %plan.doc, %error, "a document cannot be written as it was");
                }
            }
            return Err(error);
        }
        Ok(())
    }

    fn write_one(&self, plan: &Plan) -> Result<(), EditError> {
        let path = self.file(&plan.doc);
        let (old, new) = (Plan::text(plan.now.as_ref()), Plan::text(plan.new.as_ref()));
        let unchanged = || match fs::read(&path) {
            Ok(bytes) => old.as_ref().map_or(plan.now.is_some(), |old| old.as_bytes() == bytes),
            Err(error) => error.kind() == ErrorKind::NotFound && plan.now.is_none(),
        };
        let mut raced = false;
        let written = put(&path, new.as_deref(), || {
            raced = !unchanged();
            if raced { Err(io::Error::other("changed meanwhile")) } else { Ok(()) }
        });
        if raced {
            let (now, upon) = (self.folder.read_now(&plan.doc), plan.now.as_ref().map(|read| read.revision));
            return Err(self.changed(&plan.doc, upon, now.as_deref(), new.as_deref()));
        }
        written.map_err(|error| EditError::Io(path, error))
    }

    /// A link stays one: what it leads to is what is written.
    fn file(&self, doc: &DocId) -> PathBuf {
        let path = self.folder.path(doc);
        fs::canonicalize(&path).unwrap_or(path)
    }

    /// Applies documents that we wrote ourselves.
    fn taken<'a>(&mut self, docs: impl Iterator<Item = &'a DocId>, who: Option<&str>, by: By) -> Vec<Change> {
        let changes: Vec<_> = docs.flat_map(|doc| self.folder.take_now(doc)).collect();
        changes.iter().for_each(|(doc, _)| self.waiting.forget(doc));
        if changes.is_empty() { Vec::new() } else { self.apply(changes, who, by) }
    }

    fn changed(&self, doc: &DocId, upon: Option<Revision>, now: Option<&Read>, wanted: Option<&str>) -> EditError {
        let text = now.and_then(|read| read.text.clone().ok());
        let known = [self.catalogue.written(doc), self.catalogue.last_good(doc)];
        let base = known.into_iter().flatten().find(|read| Some(read.revision) == upon);
        let base = base.and_then(|read| read.text.as_deref().ok()).or(wanted).unwrap_or_default();
        let diff = diff(base, text.as_deref().unwrap_or_default());
        EditError::Changed { doc: doc.clone(), text, revision: now.map(|read| read.revision), diff }
    }
}

/// Whether the keys are somebody's who writes documents and has nothing else of this machine. A whole text is one that was in
/// force already: a copy, an old version.
fn is_from_afar(to: &Wanted, by: By) -> bool {
    matches!(by, By::Api | By::Console) && matches!(to, Wanted::Patched(_) | Wanted::Keys(_))
}

/// Variables and files of the server that a document did not name before.
fn named_anew(now: Option<&Read>, new: &Read) -> Result<(), EditError> {
    let problems = new.named_anew(now);
    if problems.is_empty() { Ok(()) } else { Err(EditError::Invalid(Problems::new(problems))) }
}

/// Writes a document's file, or removes it. `just_before` it may still object.
fn put(path: &Path, text: Option<&str>, just_before: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let dir = path.parent();
    if let Some(text) = text {
        dir.map_or(Ok(()), fs::create_dir_all)?;
        return replace(path, text.as_bytes(), true, just_before);
    }
    just_before()?;
    fs::remove_file(path)?;
    dir.map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
}
