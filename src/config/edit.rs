//! Writing documents back: what the API and the console change is a change of the same files that people edit.
//!
//! An edit names the revision that it was made upon. It is laid into the text with all comments, order and blank lines
//! kept, held against the whole catalogue, and written whole or not at all. Between two writers the later one is told.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike};

use super::catalogue::{By, Change, DocId, InForce, Read, Revision};
use super::diff::diff;
use super::last_good::replace;
use super::problem::{Problem, Problems};
use super::types::Config;
use super::watch::{Source, State};

/// What is to become of a document.
#[derive(Clone, Debug)]
pub enum Edit<'a> {
    /// Its keys are changed: a JSON merge patch (RFC 7396). A value replaces, an object changes within, `null` removes; of a
    /// list of tables each is changed in its place.
    Patch(&'a Map<String, Value>),
    /// It becomes this text, or is made anew of it.
    Text(&'a str),
    /// It is deleted.
    Delete,
}

/// What else is asked of a configuration that is in force and of what an edit would make of it.
pub type Rules<'a> = dyn Fn(&Config, &Config) -> Vec<Problem> + 'a;

/// An edit that is written and in force.
#[derive(Clone, Debug)]
pub struct Edited {
    /// The document as it is now; `None`: it is deleted.
    pub text: Option<Arc<str>>,
    /// Its revision; that of the empty text when it is deleted.
    pub revision: Revision,
    /// What is in force because of it; other documents too, when they waited for it. Empty when nothing was different.
    pub changes: Vec<Change>,
}

/// Why nothing was written.
#[derive(Debug)]
pub enum EditError {
    /// Somebody else changed the document meanwhile.
    Changed {
        /// As it is now; `None`: it was deleted.
        text: Option<Arc<str>>,
        /// Its revision.
        revision: Option<Revision>,
        /// From what the edit was made upon, where that is still known, else from what it would have made of it.
        diff: String,
    },
    /// There is no such document, and a patch cannot make one.
    Absent,
    /// The document would be wrong, or not fit the others.
    Invalid(Problems),
    /// The patch does not fit the document: the key, and why.
    Patch(String),
    /// The file cannot be written; it is as it was.
    Io(PathBuf, io::Error),
    /// The configuration has no files.
    Fixed,
    /// The documents are the store's.
    Stored,
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EditError::Changed { text: None, .. } => f.write_str("the document was deleted meanwhile"),
            EditError::Changed { diff, .. } => write!(f, "somebody else changed the document meanwhile:\n{diff}"),
            EditError::Absent => f.write_str("there is no such document"),
            EditError::Invalid(problems) => problems.fmt(f),
            EditError::Patch(why) => f.write_str(why),
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
            EditError::Stored => f.write_str(
                "the documents are in the store ([config] source in offhook.toml): push them there with `offhook push`",
            ),
            EditError::Fixed => f.write_str("this configuration has no files"),
        }
    }
}

impl std::error::Error for EditError {}

impl Source {
    /// Changes a document, and applies the change to calls from now on. `expected`: the revision that the edit was made upon;
    /// `None`: there was no such document. `who` changed it, by the API or the console. `rules` that are no document's own
    /// are asked about what is in force and what would be, besides those that the source was [opened](super::Opening::rules) with;
    /// an error among what they say forbids it.
    ///
    /// Blocks: it is not for an async task.
    ///
    /// # Errors
    /// See [`EditError`]. Nothing is written then, and what was there is as it was.
    pub fn edit(
        &self,
        doc: &DocId,
        expected: Option<Revision>,
        edit: &Edit<'_>,
        who: Option<&str>,
        rules: &Rules<'_>,
    ) -> Result<Edited, EditError> {
        let mut state = self.lock();
        let state = state.as_mut().ok_or(EditError::Fixed)?;
        if state.stored.is_some() && *doc != DocId::Server {
            return Err(EditError::Stored);
        }
        let edited = state.edit(doc, expected, edit, who, rules)?;
        self.publish(state);
        state.keep(&edited.changes);
        Ok(edited)
    }

    /// A document as it is written, with the revision to name in an [edit](Source::edit); `None`: there is none, or it
    /// cannot be read.
    pub fn written(&self, doc: &DocId) -> Option<(Arc<str>, Revision)> {
        let state = self.lock();
        let read = state.as_ref()?.folder.read_now(doc)?;
        Some((read.text.clone().ok()?, read.revision))
    }
}

impl State {
    fn edit(
        &mut self,
        doc: &DocId,
        expected: Option<Revision>,
        edit: &Edit<'_>,
        who: Option<&str>,
        rules: &Rules<'_>,
    ) -> Result<Edited, EditError> {
        let now = self.folder.read_now(doc);
        let text = now.as_ref().and_then(|read| read.text.clone().ok());
        let wanted = match (edit, &text) {
            (Edit::Delete, _) => None,
            (Edit::Text(text), _) => Some((*text).to_owned()),
            (Edit::Patch(_), None) if expected.is_none() => return Err(EditError::Absent),
            // What it would have been is worth showing only if it can be told.
            (Edit::Patch(changes), Some(text)) => Some(patched(text, changes)?),
            (Edit::Patch(_), None) => None,
        };
        if now.as_ref().map(|read| read.revision) != expected {
            return Err(self.changed(doc, expected, now.as_deref(), wanted.as_deref()));
        }
        if now.is_none() && wanted.is_none() {
            return Err(EditError::Absent);
        }
        if wanted.as_deref() == text.as_deref() {
            let revision = now.map_or_else(|| Revision::of(""), |read| read.revision);
            return Ok(Edited { text, revision, changes: Vec::new() });
        }
        let read = wanted.as_ref().map(|wanted| self.folder.read_text(doc, wanted));
        self.validate(doc, read, rules)?;
        let path = self.folder.path(doc);
        // A link stays one: what it leads to is what is written.
        let path = fs::canonicalize(&path).unwrap_or(path);
        let mut raced = false;
        let unchanged = || match fs::read(&path) {
            Ok(bytes) => text.as_ref().is_some_and(|text| text.as_bytes() == bytes),
            Err(error) => error.kind() == ErrorKind::NotFound && text.is_none(),
        };
        let just_before = || {
            raced = !unchanged();
            if raced { Err(io::Error::other("changed meanwhile")) } else { Ok(()) }
        };
        let written = match &wanted {
            Some(wanted) => made_folder(&path).and_then(|()| replace(&path, wanted.as_bytes(), true, just_before)),
            None => remove(&path, just_before),
        };
        if raced {
            let now = self.folder.read_now(doc);
            return Err(self.changed(doc, expected, now.as_deref(), wanted.as_deref()));
        }
        written.map_err(|error| EditError::Io(path, error))?;
        let changes = self.folder.take_now(doc);
        let changes = self.apply(changes, who, By::Api);
        let read = self.catalogue.written(doc);
        let revision = read.map_or_else(|| Revision::of(""), |read| read.revision);
        Ok(Edited { text: read.and_then(|read| read.text.clone().ok()), revision, changes })
    }

    /// Whether the document would be in force as it would be written, and break nothing that is.
    fn validate(&self, doc: &DocId, read: Option<Arc<Read>>, rules: &Rules<'_>) -> Result<(), EditError> {
        let gone = read.is_none();
        let mut trial = self.catalogue.clone();
        let applied = trial.apply(vec![(doc.clone(), read)], &self.folder.world());
        let known = |problem: &&Problem| self.problems.iter().any(|known| known == *problem);
        let problems = trial.problems();
        let new = problems.iter().filter(|problem| problem.is_error() && !known(problem)).cloned().collect::<Vec<_>>();
        let state = trial.state(doc);
        let in_force = state.as_ref().is_none_or(|state| state.in_force == InForce::AsWritten);
        if new.is_empty() && in_force && (gone || state.is_some()) {
            let told = match (self.catalogue.config(), trial.config()) {
                (Some(before), Some(after)) => rules(before, after),
                _ => Vec::new(),
            };
            // It would be refused once it is written.
            let own = self.ruled.refusals(self.rules.as_deref(), (&self.catalogue, &trial), &applied, Timestamp::now());
            let told = Problems::distinct(told.into_iter().chain(own).collect());
            let forbidden = told.iter().any(Problem::is_error);
            return if forbidden { Err(EditError::Invalid(Problems::new(told))) } else { Ok(()) };
        }
        // What was wrong before is told again when it is what keeps this from being in force.
        let file = self.folder.path(doc).display().to_string();
        let own = problems.iter().filter(|problem| problem.is_error() && problem.file == file && known(problem));
        let mut told: Vec<Problem> = own.cloned().chain(new).collect();
        if told.is_empty() {
            let why = state.and_then(|state| state.why).unwrap_or_else(|| "it would not be in force".to_owned());
            told.push(Problem::error(&super::problem::Place::file(&file), why));
        }
        Err(EditError::Invalid(Problems::new(told)))
    }

    fn changed(&self, doc: &DocId, expected: Option<Revision>, now: Option<&Read>, wanted: Option<&str>) -> EditError {
        let text = now.and_then(|read| read.text.clone().ok());
        let known = [self.catalogue.written(doc), self.catalogue.last_good(doc)];
        let base = known.into_iter().flatten().find(|read| Some(read.revision) == expected);
        let base = base.and_then(|read| read.text.as_deref().ok()).or(wanted).unwrap_or_default();
        let diff = diff(base, text.as_deref().unwrap_or_default());
        EditError::Changed { text, revision: now.map(|read| read.revision), diff }
    }
}

fn made_folder(path: &std::path::Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

fn remove(path: &std::path::Path, just_before: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    just_before()?;
    fs::remove_file(path)?;
    path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
}

/// `text` with `changes` laid into it.
pub(super) fn patched(text: &str, changes: &Map<String, Value>) -> Result<String, EditError> {
    let mut document: DocumentMut = text.parse().map_err(|_| {
        EditError::Patch(
            "the document is not TOML as it is written, so its keys cannot be changed one by one".to_owned(),
        )
    })?;
    merge(document.as_table_mut(), changes, "")?;
    Ok(document.to_string())
}

/// Lays `changes` into a table; `path`: where it is, for messages.
fn merge(table: &mut dyn TableLike, changes: &Map<String, Value>, path: &str) -> Result<(), EditError> {
    for (key, value) in changes {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (value, table.get_mut(key)) {
            (Value::Null, _) => drop(table.remove(key)),
            (value, Some(item)) => change(item, value, &path)?,
            (value, None) => {
                let item = made(value, &path)?;
                table.insert(key, item);
            }
        }
    }
    Ok(())
}

/// Makes of `item` what `value` says, and leaves as much of it as it was as can be.
fn change(item: &mut Item, value: &Value, path: &str) -> Result<(), EditError> {
    if let (Some(table), Value::Object(changes)) = (item.as_table_like_mut(), value) {
        return merge(table, changes, path);
    }
    if let (Some(tables), Value::Array(values)) = (item.as_array_of_tables_mut(), value)
        && values.iter().all(Value::is_object)
    {
        while tables.len() > values.len() {
            tables.remove(tables.len() - 1);
        }
        for (i, value) in values.iter().enumerate() {
            let Value::Object(wanted) = value else { continue };
            match tables.get_mut(i) {
                // The whole entry is given, so what it does not name is no more.
                Some(table) => {
                    let gone: Vec<String> =
                        table.iter().map(|(key, _)| key.to_owned()).filter(|key| !wanted.contains_key(key)).collect();
                    gone.iter().for_each(|key| drop(table.remove(key)));
                    merge(table, wanted, path)?;
                }
                None => {
                    let mut table = Table::new();
                    merge(&mut table, wanted, path)?;
                    tables.push(table);
                }
            }
        }
        return Ok(());
    }
    let is_table = item.is_table() || item.is_array_of_tables();
    let mut new = if is_table { made(value, path)? } else { Item::Value(plain(value, path)?) };
    if let (Some(old), Some(new)) = (item.as_value(), new.as_value_mut()) {
        if is_same(old, new) {
            return Ok(());
        }
        // What stands around the value, such as a comment behind it, stays.
        *new.decor_mut() = old.decor().clone();
    }
    *item = new;
    Ok(())
}

/// A new entry: objects become tables with a header, lists of objects lists of them.
fn made(value: &Value, path: &str) -> Result<Item, EditError> {
    match value {
        Value::Object(changes) => {
            let mut table = Table::new();
            merge(&mut table, changes, path)?;
            Ok(Item::Table(table))
        }
        value => Ok(Item::Value(plain(value, path)?)),
    }
}

/// A value on one line.
fn plain(value: &Value, path: &str) -> Result<toml_edit::Value, EditError> {
    let wrong = |why: &str| Err(EditError::Patch(format!("{path}: {why}")));
    Ok(match value {
        Value::Null => return wrong("a list cannot hold nothing"),
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(number)) if number.is_finite() => number.into(),
            _ => return wrong("this number is too large"),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(values) => {
            let mut array = Array::new();
            for value in values {
                array.push(plain(value, path)?);
            }
            array.into()
        }
        Value::Object(entries) => {
            let mut table = InlineTable::new();
            for (key, value) in entries.iter().filter(|(_, value)| !value.is_null()) {
                table.insert(key, plain(value, &format!("{path}.{key}"))?);
            }
            table.into()
        }
    })
}

/// Whether two values mean the same, however they are written.
fn is_same(a: &toml_edit::Value, b: &toml_edit::Value) -> bool {
    use toml_edit::Value as V;
    match (a, b) {
        (V::String(a), V::String(b)) => a.value() == b.value(),
        (V::Integer(a), V::Integer(b)) => a.value() == b.value(),
        (V::Float(a), V::Float(b)) => a.value() == b.value(),
        (V::Float(a), V::Integer(b)) => *a.value() == *b.value() as f64,
        (V::Boolean(a), V::Boolean(b)) => a.value() == b.value(),
        (V::Array(a), V::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
        _ => false,
    }
}
