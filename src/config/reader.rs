//! A reader over a document's spanned tree: typed takes that fill in defaults and note every problem.
//!
//! Nothing here stops at the first problem. A take that fails notes it and gives the default, so that reading goes on;
//! what was read is used only when no error was noted.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem, nearest};
use super::typed;

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

/// A key with its value.
pub(super) struct Field<'d, 'i> {
    doc: &'d Doc<'i>,
    path: String,
    key_span: Range<usize>,
    value: &'d Spanned<DeValue<'i>>,
    /// The same key of the document beneath.
    base: Option<Box<Field<'d, 'i>>>,
}

impl<'d, 'i> Field<'d, 'i> {
    /// Where the value stands.
    pub(super) fn place(&self) -> Place {
        let value = self.value.span();
        // `key = value` is quoted as a whole, unless they are apart, as a table's header and its content are.
        let shown = if self.key_span.end <= value.start && value.start - self.key_span.end <= MAX_APART {
            self.key_span.start..value.end
        } else {
            value.clone()
        };
        let place = Place::new(&self.doc.file, self.doc.source, value.clone(), shown.clone()).of(&self.path);
        if may_be_secret(self.doc.source, &shown) { place.hidden(&format!("{} = (hidden)", self.key())) } else { place }
    }

    /// Where the key stands.
    pub(super) fn key_place(&self) -> Place {
        Place::new(&self.doc.file, self.doc.source, self.key_span.clone(), self.key_span.clone()).of(&self.path)
    }

    /// Notes a problem that is put in its own words.
    pub(super) fn note(&self, problem: Problem) {
        self.doc.note(problem);
    }

    /// Notes a problem with the value.
    pub(super) fn wrong(&self, message: impl Into<String>) {
        self.doc.note(Problem::error(&self.place(), message));
    }

    /// Notes that the value contradicts that of another key.
    pub(super) fn clash(&self, message: impl Into<String>) {
        self.doc.note(Problem::error(&self.place(), message).relative());
    }

    /// Notes a problem with the value, and what is allowed.
    pub(super) fn wrong_allowed(&self, message: impl Into<String>, allowed: impl Into<String>) {
        self.doc.note(Problem::error(&self.place(), message).allowed(allowed));
    }

    /// Notes something doubtful about the value.
    pub(super) fn doubtful(&self, message: impl Into<String>) {
        self.doc.note(Problem::warning(&self.place(), message));
    }

    /// A table over the same of the document beneath: for tables of settings, each of which stands for itself.
    pub(super) fn layered(mut self) -> Option<Table<'d, 'i>> {
        let base = self.base.take().filter(|base| base.is_table()).and_then(|base| base.layered());
        let mut table = self.table()?;
        table.base = base.map(Box::new);
        Some(table)
    }

    /// A table.
    pub(super) fn table(self) -> Option<Table<'d, 'i>> {
        let Some(table) = self.value.get_ref().as_table() else {
            self.wrong_type("a table");
            return None;
        };
        let span = if self.value.span().is_empty() { self.key_span.clone() } else { self.value.span() };
        Some(Table::new(self.doc, format!("{}.", self.path), span, Some(table)))
    }

    /// Whether the value is a table, for keys that take several shapes.
    pub(super) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    /// Whether the value is a list, for keys that take several shapes.
    pub(super) fn is_list(&self) -> bool {
        self.value.get_ref().is_array()
    }

    /// Whether the value is a list of nothing.
    pub(super) fn is_empty_list(&self) -> bool {
        self.value.get_ref().as_array().is_some_and(|items| items.is_empty())
    }

    /// The text, for keys that take several shapes.
    pub(super) fn as_str(&self) -> Option<&'d str> {
        self.value.get_ref().as_str()
    }

    /// A whole number within `range`.
    pub(super) fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let allowed = || format!("{}-{}", range.start(), range.end());
        let Some(written) = self.value.get_ref().as_integer() else {
            self.wrong_type_allowed("a whole number", allowed());
            return None;
        };
        let value = u64::from_str_radix(written.as_str(), written.radix()).ok().filter(|v| range.contains(v));
        if value.is_none() {
            self.wrong_allowed("out of range", allowed());
        }
        value
    }

    /// A number within `range`, with or without a fraction.
    pub(super) fn number(&self, range: RangeInclusive<f32>) -> Option<f32> {
        let sign = if *range.start() < 0.0 { " to " } else { "-" };
        let allowed = || format!("{}{sign}{}", range.start(), range.end());
        let value = match self.value.get_ref() {
            DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix()).ok().map(|i| i as f32),
            DeValue::Float(f) => f.as_str().parse().ok(),
            _ => {
                self.wrong_type_allowed("a number", allowed());
                return None;
            }
        };
        let value = value.filter(|v| range.contains(v));
        if value.is_none() {
            self.wrong_allowed("out of range", allowed());
        }
        value
    }

    /// A switch.
    pub(super) fn boolean(&self) -> Option<bool> {
        let value = self.value.get_ref().as_bool();
        if value.is_none() {
            self.wrong_type_allowed("a boolean", "true, false".to_owned());
        }
        value
    }

    /// A moment with its offset from UTC, as TOML has it or as text (RFC 3339).
    pub(super) fn timestamp(&self) -> Option<jiff::Timestamp> {
        let text = match self.value.get_ref() {
            DeValue::Datetime(moment) => moment.to_string(),
            DeValue::String(text) => text.to_string(),
            _ => {
                self.wrong_type_allowed("a moment", MOMENT.to_owned());
                return None;
            }
        };
        let moment = text.parse().ok();
        if moment.is_none() {
            self.wrong_allowed("is not a moment with its offset from UTC", MOMENT);
        }
        moment
    }

    /// Text of 1 to `max` characters.
    pub(super) fn string(&self, max: usize) -> Option<String> {
        let Some(text) = self.value.get_ref().as_str() else {
            self.wrong_type("a string");
            return None;
        };
        if text.trim().is_empty() {
            self.wrong("is empty");
            return None;
        }
        if text.chars().count() > max {
            self.wrong_allowed("is too long", format!("at most {max} characters"));
            return None;
        }
        Some(text.to_owned())
    }

    /// Text of at most `max` characters, which may be empty.
    pub(super) fn text(&self, max: usize) -> Option<String> {
        match self.value.get_ref().as_str() {
            Some("") => Some(String::new()),
            _ => self.string(max),
        }
    }

    /// Where `at`, a range of bytes of this field's text, stands in the document.
    pub(super) fn place_of(&self, text: &str, at: Range<usize>) -> Place {
        let (value, source) = (self.value.span(), self.doc.source);
        let piece = text.get(at.clone()).unwrap_or_default();
        let before = text.get(..at.start).map_or(0, |before| before.matches(piece).count());
        // Escapes make text and source differ, so the piece is counted off rather than measured.
        let found = source.get(value.clone()).and_then(|source| source.match_indices(piece).nth(before));
        let place = match found.filter(|_| !piece.is_empty()) {
            Some((offset, _)) => {
                let start = value.start + offset;
                Place::new(&self.doc.file, source, start..start + piece.len(), start..start + piece.len()).of(&self.path)
            }
            None => return self.place(),
        };
        if may_be_secret(source, &value) { place.hidden(&format!("{} = (hidden)", self.key())) } else { place }
    }

    /// The value as JSON; dates have no place in it.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        let value = json(self.value.get_ref());
        if value.is_none() {
            self.wrong("holds a date or a number that JSON does not have");
        }
        value
    }

    /// Text that `check` takes; else `allowed` is said.
    pub(super) fn string_that(&self, max: usize, allowed: &str, check: impl Fn(&str) -> bool) -> Option<String> {
        let text = self.string(max)?;
        if check(&text) {
            return Some(text);
        }
        self.wrong_allowed("is not valid", allowed);
        None
    }

    /// One of `choices`.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let names = || choices.iter().map(|(name, _)| *name);
        let allowed = || names().collect::<Vec<_>>().join(", ");
        let Some(text) = self.value.get_ref().as_str() else {
            self.wrong_type_allowed("a string", allowed());
            return None;
        };
        let found = choices.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let message = match nearest(text, names()) {
                Some(meant) => format!("unknown value; did you mean {meant}?"),
                None => "unknown value".to_owned(),
            };
            self.wrong_allowed(message, allowed());
        }
        found.map(|(_, value)| *value)
    }

    /// The values of a list, each as a field of its own.
    pub(super) fn list(&self, max: usize) -> Vec<Field<'d, 'i>> {
        let Some(items) = self.value.get_ref().as_array() else {
            self.wrong_type("a list");
            return Vec::new();
        };
        if items.len() > max {
            self.wrong_allowed("is too long", format!("at most {max} values"));
        }
        let field = |value: &'d Spanned<DeValue<'i>>| Field {
            doc: self.doc,
            path: self.path.clone(),
            key_span: value.span(),
            value,
            base: None,
        };
        items.iter().take(max).map(field).collect()
    }

    /// Says that the value has another type than `wanted`.
    pub(super) fn wrong_type(&self, wanted: &str) {
        self.wrong(self.type_message(wanted));
    }

    fn wrong_type_allowed(&self, wanted: &str, allowed: String) {
        self.wrong_allowed(self.type_message(wanted), allowed);
    }

    fn type_message(&self, wanted: &str) -> String {
        let found = self.value.get_ref().type_str();
        let article = if found.starts_with(['a', 'i']) { "an" } else { "a" };
        format!("must be {wanted}, not {article} {found}")
    }

    /// The key's own name.
    pub(super) fn key(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }
}

/// Warns of texts that look like secrets (SEC-01), wherever they stand; never shows them.
fn typed_secrets(doc: &Doc<'_>, tree: &DeTable<'_>) {
    let mut left: Vec<(&str, Range<usize>, &Spanned<DeValue<'_>>)> = Vec::new();
    left.extend(tree.iter().map(|(k, v)| (k.get_ref().as_ref(), k.span(), v)));
    let mut found = 0;
    while let Some((key, key_span, value)) = left.pop() {
        match value.get_ref() {
            DeValue::Table(table) => left.extend(table.iter().map(|(k, v)| (k.get_ref().as_ref(), k.span(), v))),
            DeValue::Array(items) => left.extend(items.iter().map(|item| (key, key_span.clone(), item))),
            DeValue::String(text) => {
                let Some(kind) = typed::secret_in(key, text) else { continue };
                let place = Place::new(&doc.file, doc.source, value.span(), value.span());
                let place = place.hidden(&format!("{key} = (hidden)"));
                // Who was told already that no secret belongs there need not hear it twice.
                let told = doc.problems.borrow().iter().any(|p| p.line == place.line && p.is_error());
                if found < MAX_TYPED && !told {
                    found += 1;
                    let message =
                        format!("holds what looks like a secret ({kind}): anyone who reads the document has it");
                    doc.note(Problem::warning(&place, message).allowed(TYPED_ALLOWED));
                }
            }
            _ => {}
        }
    }
}

/// Warnings of one document: the first few say it all.
const MAX_TYPED: usize = 20;
const TYPED_ALLOWED: &str = "its name: { secret = \"NAME\" } in an agent, { env = \"NAME\" } or { file = \"path\" } in offhook.toml and models.toml";

fn json(value: &DeValue<'_>) -> Option<serde_json::Value> {
    use serde_json::Value;
    Some(match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(i) => Value::from(i64::from_str_radix(i.as_str(), i.radix()).ok()?),
        DeValue::Float(f) => Value::from(f.as_str().parse::<f64>().ok().filter(|f| f.is_finite())?),
        DeValue::Boolean(b) => Value::from(*b),
        DeValue::Array(items) => Value::Array(items.iter().map(|item| json(item.get_ref())).collect::<Option<_>>()?),
        DeValue::Table(table) => {
            let entries = table.iter().map(|(k, v)| Some((k.get_ref().to_string(), json(v.get_ref())?)));
            Value::Object(entries.collect::<Option<_>>()?)
        }
        DeValue::Datetime(_) => return None,
    })
}

const MOMENT: &str = "RFC 3339, such as 2026-12-24T18:00:00+01:00 or 2026-12-24T17:00:00Z";
/// More says nothing new about a document that is not TOML at all.
const MAX_SYNTAX_ERRORS: usize = 20;
/// Of one table: each costs a walk through the document.
const MAX_UNKNOWN: usize = 50;
/// Of one document: nobody reads more.
const MAX_PROBLEMS: usize = 200;
/// Between a key's end and its value's start, `key     = value` at most.
const MAX_APART: usize = 24;

/// Whether the lines of `span`, up to its end, hold something that looks like a secret or its key.
fn may_be_secret(source: &str, span: &Range<usize>) -> bool {
    let bytes = source.as_bytes();
    let end = span.end.min(bytes.len());
    let start = bytes[..span.start.min(end)].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let mut text = String::from_utf8_lossy(&bytes[start..end]).to_ascii_lowercase();
    // A table of an agent, and no key to anything.
    if let Some(rest) = text.trim_start().strip_prefix("[keys").or(text.trim_start().strip_prefix("keys =")) {
        text = rest.to_owned();
    }
    for harmless in ["max_output_tokens", "token_ttl_s", "commit_key"] {
        text = text.replace(harmless, "");
    }
    ["key", "token", "secret", "passw", "auth", "bearer", "sk-", "headers"].iter().any(|word| text.contains(word))
}
