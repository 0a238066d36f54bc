//! A reader over a document's spanned tree: typed takes that fill in defaults and note every problem.
//!
//! Nothing here stops at the first problem. A take that fails notes it and gives the default, so that reading goes on;
//! what was read is used only when no error was noted.

mod field;
mod secrets;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem, nearest};
pub(super) use field::Field;
use secrets::{may_be_secret, typed_secrets};

/// One document while it is read.
pub(super) struct Doc<'i> {
    file: Arc<str>,
    source: &'i str,
    /// The same, where it can be kept without a copy.
    shared: Option<&'i Arc<str>>,
    problems: RefCell<Vec<Problem>>,
    /// Errors beyond [`MAX_PROBLEMS`].
    more: Cell<usize>,
    /// Dotted paths of all keys that were asked for.
    known: RefCell<BTreeSet<String>>,
    /// Dotted paths of those that were there.
    found: RefCell<BTreeSet<String>>,
    /// Where secrets are kept that the document names.
    kept: RefCell<Vec<Kept>>,
}

/// Where a secret is kept that a document names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kept {
    Env(String),
    /// As written, relative to the configuration directory.
    File(String),
    /// By a name that `offhook.toml` declares.
    Named(String),
}

/// What reading a document left behind.
pub(super) struct Noted {
    pub(super) problems: Vec<Problem>,
    /// Dotted paths of all keys that can stand in such a document.
    #[cfg_attr(not(test), allow(dead_code, reason = "tests hold the shipped documents against it"))]
    pub(super) known: BTreeSet<String>,
}

/// Reads `source` with `read`. A document with syntax errors gives only those and no value: what a broken document
/// means is anyone's guess.
pub(super) fn read<T>(file: &str, source: &str, read: impl FnOnce(&Doc<'_>, Table<'_, '_>) -> T) -> (Option<T>, Noted) {
    read_doc(Doc::new(file, source), read)
}

/// The same of a text that is kept anyway: drafts keep it too, without a copy.
pub(super) fn read_text<T>(text: &Text, read: impl FnOnce(&Doc<'_>, Table<'_, '_>) -> T) -> (Option<T>, Noted) {
    read_doc(Doc { shared: Some(&text.source), ..Doc::new(&text.file, &text.source) }, read)
}

fn read_doc<T>(doc: Doc<'_>, read: impl FnOnce(&Doc<'_>, Table<'_, '_>) -> T) -> (Option<T>, Noted) {
    let source = doc.source;
    let (tree, errors) = DeTable::parse_recoverable(source);
    let mut value = None;
    if errors.is_empty() {
        let root = Table::new(&doc, String::new(), 0..0, Some(tree.get_ref()));
        value = Some(read(&doc, root));
        typed_secrets(&doc, tree.get_ref());
    }
    for error in errors.iter().take(MAX_SYNTAX_ERRORS) {
        let span = error.span().unwrap_or(0..0);
        let mut place = Place::new(&doc.file, source, span.clone(), span.clone());
        if may_be_secret(source, &span) {
            place = place.hidden("");
        }
        doc.note(Problem::error(&place, error.message().replace('\n', ", ")));
    }
    (value, doc.finish())
}

/// Reads `top` with `read`, over `base`: what the one does not say, the other does, key by key, also within tables
/// (see [`Field::layered`]). What was noted comes apart by document. Both have been read by themselves before; `None`
/// when one is no TOML.
pub(super) fn read_over<T>(
    top: &Text,
    base: &Text,
    read: impl FnOnce(Table<'_, '_>) -> T,
) -> Option<(T, Vec<Problem>, Vec<Problem>)> {
    let (top_doc, base_doc) = (Doc::new(&top.file, &top.source), Doc::new(&base.file, &base.source));
    let (top_tree, base_tree) = (DeTable::parse(&top.source).ok()?, DeTable::parse(&base.source).ok()?);
    let mut root = Table::new(&top_doc, String::new(), 0..0, Some(top_tree.get_ref()));
    root.base = Some(Box::new(Table::new(&base_doc, String::new(), 0..0, Some(base_tree.get_ref()))));
    let value = read(root);
    Some((value, top_doc.finish().problems, base_doc.finish().problems))
}

/// A document's text, kept to be read again.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) file: Arc<str>,
    pub(super) source: Arc<str>,
}

impl Text {
    /// Where the value of the key at the dotted `path` stands (`hours.mon`); the file itself when it does not say the key.
    #[cfg_attr(not(test), allow(dead_code, reason = "rules that are told by a field's path are pointed at it"))]
    pub(super) fn place_of(&self, path: &str) -> Place {
        let doc = Doc::new(&self.file, &self.source);
        let (tree, _) = DeTable::parse_recoverable(&self.source);
        let mut table = Some(tree.get_ref());
        let mut found = None;
        for name in path.split('.') {
            let Some((key, value)) = table.and_then(|table| table.iter().find(|(key, _)| key.get_ref() == name)) else {
                return Place::file(&self.file);
            };
            found = Some(Field { doc: &doc, path: path.to_owned(), key_span: key.span(), value, base: None });
            table = value.get_ref().as_table();
        }
        found.map_or_else(|| Place::file(&self.file), |field| field.place())
    }
}

impl<'i> Doc<'i> {
    fn new(file: &str, source: &'i str) -> Self {
        Doc {
            file: file.into(),
            source,
            shared: None,
            problems: RefCell::default(),
            more: Cell::new(0),
            known: RefCell::default(),
            found: RefCell::default(),
            kept: RefCell::default(),
        }
    }

    fn finish(self) -> Noted {
        let mut problems = self.problems.into_inner();
        if self.more.get() > 0 {
            problems.push(Problem::error(&Place::file(&self.file), format!("has {} more errors", self.more.get())));
        }
        Noted { problems, known: self.known.into_inner() }
    }

    /// Notes a problem.
    pub(super) fn note(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < MAX_PROBLEMS {
            problems.push(problem);
        } else if problem.is_error() {
            self.more.set(self.more.get() + 1);
        }
    }

    /// Notes that there are more errors, which nobody would read.
    fn note_more(&self, errors: usize) {
        self.more.set(self.more.get() + errors);
    }
}

/// A table of a document; it may be absent, and then gives defaults only.
pub(super) struct Table<'d, 'i> {
    doc: &'d Doc<'i>,
    /// Dotted path with a trailing dot; empty for the document itself.
    path: String,
    span: Range<usize>,
    entries: BTreeMap<&'d str, (Range<usize>, &'d Spanned<DeValue<'i>>)>,
    known: Vec<&'static str>,
    present: bool,
    /// What says what this one does not.
    base: Option<Box<Table<'d, 'i>>>,
}

impl<'d, 'i> Table<'d, 'i> {
    fn new(doc: &'d Doc<'i>, path: String, span: Range<usize>, table: Option<&'d DeTable<'i>>) -> Self {
        let entries = table.into_iter().flat_map(|t| t.iter());
        Table {
            doc,
            path,
            span,
            entries: entries.map(|(k, v)| (k.get_ref().as_ref(), (k.span(), v))).collect(),
            known: Vec::new(),
            present: table.is_some(),
            base: None,
        }
    }

    /// Whether the document has this table at all.
    pub(super) fn is_present(&self) -> bool {
        self.present || self.base.as_ref().is_some_and(|base| base.is_present())
    }

    /// Whether the document itself says one of `keys`, with something in it.
    pub(super) fn says(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| match self.entries.get(*key) {
            Some((_, value)) => value.get_ref().as_table().is_none_or(|table| !table.is_empty()),
            None => false,
        })
    }

    /// The document's text, to be read again.
    pub(super) fn text(&self) -> Text {
        Text { file: self.doc.file.clone(), source: self.doc.shared.map_or_else(|| self.doc.source.into(), Arc::clone) }
    }

    /// What was noted of the document until now.
    pub(super) fn noted(&self) -> Vec<Problem> {
        self.doc.problems.borrow().clone()
    }

    /// Leaves away what was noted since there were `from` problems, but for what `keep` says.
    pub(super) fn retain_noted(&self, from: usize, keep: impl Fn(&Problem) -> bool) {
        let mut problems = self.doc.problems.borrow_mut();
        let from = from.min(problems.len());
        let late = problems.split_off(from);
        problems.extend(late.into_iter().filter(keep));
    }

    /// Dotted paths of all keys that were taken and were there.
    pub(super) fn found(&self) -> BTreeSet<String> {
        self.doc.found.borrow().clone()
    }

    /// Notes where a secret is kept.
    pub(super) fn note_kept(&self, kept: Kept) {
        self.doc.kept.borrow_mut().push(kept);
    }

    /// Where all secrets are kept that were named until now.
    pub(super) fn kept(&self) -> Vec<Kept> {
        self.doc.kept.borrow().clone()
    }

    /// The table's header, or the file when the table is the document.
    pub(super) fn place(&self) -> Place {
        if self.path.is_empty() {
            Place::file(&self.doc.file)
        } else {
            let place = Place::new(&self.doc.file, self.doc.source, self.span.clone(), self.span.clone());
            place.hidden("").of(self.path.trim_end_matches('.'))
        }
    }

    /// Notes a problem.
    pub(super) fn note(&self, problem: Problem) {
        self.doc.note(problem);
    }

    /// The table `key` as it is when the document does not have it.
    pub(super) fn absent(&self, key: &str) -> Table<'d, 'i> {
        Table::new(self.doc, format!("{}{key}.", self.path), 0..0, None)
    }

    /// Takes `key`, whatever it is.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Field<'d, 'i>> {
        self.known.push(key);
        let path = format!("{}{key}", self.path);
        self.doc.known.borrow_mut().insert(path.clone());
        let base = self.base.as_mut().and_then(|base| base.take(key)).map(Box::new);
        match self.entries.remove(key) {
            Some((key_span, value)) => {
                self.doc.found.borrow_mut().insert(path.clone());
                Some(Field { doc: self.doc, path, key_span, value, base })
            }
            None => base.map(|base| *base),
        }
    }

    /// Takes `key`, which must be there.
    pub(super) fn need(&mut self, key: &'static str, what: &str) -> Option<Field<'d, 'i>> {
        let field = self.take(key);
        if field.is_none() {
            let message = format!("{}{key} is missing: {what}", self.path);
            self.doc.note(Problem::error(&self.place().of(&format!("{}{key}", self.path)), message).coded("missing"));
        }
        field
    }

    /// Takes `key` as a table; absent, it is read as if it were empty.
    pub(super) fn table(&mut self, key: &'static str) -> Table<'d, 'i> {
        self.take(key).and_then(Field::layered).unwrap_or_else(|| self.absent(key))
    }

    /// The same of a table whose keys belong together: it is all of one document.
    pub(super) fn whole(&mut self, key: &'static str) -> Table<'d, 'i> {
        self.take(key).and_then(Field::table).unwrap_or_else(|| self.absent(key))
    }

    /// Takes `key` as a whole number within `range`.
    pub(super) fn integer(&mut self, key: &'static str, default: u64, range: RangeInclusive<u64>) -> u64 {
        self.take(key).and_then(|f| f.integer(range)).unwrap_or(default)
    }

    /// Takes `key` as a switch.
    pub(super) fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        self.take(key).and_then(|f| f.boolean()).unwrap_or(default)
    }

    /// Takes `key` as text of 1 to `max` characters.
    pub(super) fn string(&mut self, key: &'static str, max: usize) -> Option<String> {
        self.take(key).and_then(|f| f.string(max))
    }

    /// Takes `key` as one of `choices`.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, default: T, choices: &[(&'static str, T)]) -> T {
        self.take(key).and_then(|f| f.choice(choices)).unwrap_or(default)
    }

    /// Takes all that is left, for tables whose keys are names.
    pub(super) fn rest(&mut self) -> Vec<(&'d str, Field<'d, 'i>)> {
        let entries = std::mem::take(&mut self.entries);
        let field = |(name, (key_span, value)): (&'d str, _)| {
            (name, Field { doc: self.doc, path: format!("{}{name}", self.path), key_span, value, base: None })
        };
        entries.into_iter().map(field).collect()
    }

    /// Takes `keys`, of which the document says nothing or has empty tables, without a look at them.
    pub(super) fn skip(&mut self, keys: &[&'static str]) {
        for key in keys {
            self.known.push(key);
            self.entries.remove(key);
        }
    }

    /// Takes those of `keys` that are there and have no place in such a document, and says `why`.
    pub(super) fn misplaced(&mut self, keys: &[&str], why: &str) {
        for key in keys {
            if let Some((span, _)) = self.entries.remove(*key) {
                let place = Place::new(&self.doc.file, self.doc.source, span.clone(), span);
                self.doc.note(Problem::error(&place.of(&format!("{}{key}", self.path)), why));
            }
        }
    }

    /// Notes every key that nobody asked for.
    pub(super) fn finish(self) {
        self.doc.note_more(self.entries.len().saturating_sub(MAX_UNKNOWN));
        for (key, (span, _)) in self.entries.iter().take(MAX_UNKNOWN) {
            let place = Place::new(&self.doc.file, self.doc.source, span.clone(), span.clone());
            let place = place.of(&format!("{}{key}", self.path));
            let message = match nearest(key, self.known.iter().copied()) {
                Some(meant) => format!("unknown key; did you mean {meant}?"),
                None => "unknown key".to_owned(),
            };
            self.doc.note(Problem::error(&place, message).allowed(self.known.join(", ")).coded("unknown_key"));
        }
    }
}

/// More says nothing new about a document that is not TOML at all.
const MAX_SYNTAX_ERRORS: usize = 20;
/// Of one table: each costs a walk through the document.
const MAX_UNKNOWN: usize = 50;
/// Of one document: nobody reads more.
const MAX_PROBLEMS: usize = 200;
