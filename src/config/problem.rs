//! What is wrong with a document, where, and what is allowed instead.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;
use toml::de::DeTable;

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, and will probably not do what was wanted.
    Warning,
}

/// One thing that is wrong with a document.
///
/// It displays as `file:line:column: text: message; allowed: …`, followed by the source line and a caret. The value of
/// a secret is never part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether the configuration can be used all the same.
    pub severity: Severity,
    /// The document, as the path was given.
    pub file: String,
    /// Counts from 1; 0 when the problem is the file itself.
    pub line: usize,
    /// Characters from 1; 0 when the problem is the file itself.
    pub column: usize,
    /// The offending source text, shortened to one line; empty when something is missing or must not be shown.
    pub text: String,
    /// What is wrong.
    pub message: String,
    /// What is allowed, when that can be said in a few words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// The key that is wrong or missing, as a dotted path such as `turn_detection.threshold`; empty when it is none in
    /// particular.
    #[serde(skip)]
    pub key: String,
    /// The rule that says so, where it has a code: stable, in snake case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// The source line up to the offending text's end.
    #[serde(skip)]
    excerpt: Option<Excerpt>,
    /// Whether it is one only together with what another document says.
    #[serde(skip)]
    relative: bool,
}

impl Problem {
    pub(super) fn new(severity: Severity, place: &Place, message: impl Into<String>) -> Self {
        Problem {
            severity,
            file: place.file.to_string(),
            line: place.line,
            column: place.column,
            text: place.text.clone(),
            message: message.into(),
            allowed: None,
            key: place.key.clone(),
            code: None,
            excerpt: place.excerpt.clone(),
            relative: false,
        }
    }

    /// What is said of the key `key`, a dotted path such as `analysis.model`, of `source`, which is the text of `file`. Where
    /// it is not there it is said of the table that it belongs in, else of `agent`, which says what is not said there, else
    /// of the file itself. `source` must not have a secret in these places.
    pub(crate) fn of_key(severity: Severity, file: &str, source: &str, key: &str, message: impl Into<String>) -> Self {
        let table = key.split('.').next().unwrap_or_default();
        let at = [key, table, "agent"].into_iter().find_map(|key| locate(source, key));
        let place = at.map_or_else(|| Place::file(file), |at| Place::new(&file.into(), source, at.clone(), at));
        Problem::new(severity, &place.of(key), message)
    }

    pub(super) fn error(place: &Place, message: impl Into<String>) -> Self {
        Problem::new(Severity::Error, place, message)
    }

    pub(super) fn warning(place: &Place, message: impl Into<String>) -> Self {
        Problem::new(Severity::Warning, place, message)
    }

    pub(super) fn allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    /// The same, as a rule says it that has a code.
    pub(super) fn coded(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// The same, of keys that contradict each other, which another document may say otherwise.
    pub(super) fn relative(mut self) -> Self {
        self.relative = true;
        self
    }

    /// See [`Problem::relative`].
    pub(super) fn is_relative(&self) -> bool {
        self.relative
    }

    /// What is told of it in one line.
    pub(super) fn said(&self) -> (Severity, &str, usize, usize, &str, &str) {
        (self.severity, &self.file, self.line, self.column, &self.text, &self.message)
    }

    /// Whether the configuration cannot be used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(": ")?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.text.is_empty() {
            write!(f, "{}: ", self.text)?;
        }
        f.write_str(&self.message)?;
        if let Some(allowed) = &self.allowed {
            write!(f, "; allowed: {allowed}")?;
        }
        if let Some(e) = &self.excerpt {
            let gutter = self.line.to_string();
            write!(f, "\n  {gutter} | {}", e.line)?;
            write!(f, "\n  {:1$} | ", "", gutter.len())?;
            write!(f, "{:1$}{2}", "", e.before, "^".repeat(e.width))?;
        }
        Ok(())
    }
}

/// Everything that is wrong, in the order of files and lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(Problems::order);
        Problems(problems)
    }

    /// In order, each once.
    pub(super) fn distinct(mut problems: Vec<Problem>) -> Vec<Problem> {
        problems.sort_by(Problems::order);
        let mut distinct: Vec<Problem> = Vec::with_capacity(problems.len());
        for problem in problems {
            let here = |other: &&Problem| Problems::order(other, &problem).is_eq();
            if !distinct.iter().rev().take_while(here).any(|other| *other == problem) {
                distinct.push(problem);
            }
        }
        distinct
    }

    fn order(a: &Problem, b: &Problem) -> std::cmp::Ordering {
        (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column))
    }

    /// One by one.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// Nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the configuration cannot be used.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(Problem::is_error)
    }

    /// Problems of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|p| p.severity == severity).count()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A place in a document, kept until it is known whether what stands there is right.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) file: Arc<str>,
    pub(super) line: usize,
    pub(super) column: usize,
    text: String,
    /// See [`Problem::key`].
    key: String,
    excerpt: Option<Excerpt>,
}

impl Place {
    /// The file itself.
    pub(super) fn file(file: &str) -> Self {
        Place { file: file.into(), line: 0, column: 0, text: String::new(), key: String::new(), excerpt: None }
    }

    /// `at` in `source`; `shown` is the wider text that is quoted (a whole `key = value`).
    pub(super) fn new(file: &Arc<str>, source: &str, at: Range<usize>, shown: Range<usize>) -> Self {
        let start = floor(source, at.start);
        let end = floor(source, at.end).max(start);
        let line_start = source[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = source[start..].find('\n').map_or(source.len(), |i| start + i);
        // The excerpt ends with the offending text: what follows on the line is beside the point and might be secret.
        let shown_end = end.min(line_end);
        let line = source[line_start..shown_end].trim_end_matches('\r');
        let before = source[line_start..start].chars().count();
        let excerpt = (line.len() <= MAX_EXCERPT && !line.is_empty()).then(|| Excerpt {
            line: line.replace(|c: char| c.is_control(), " "),
            before,
            width: source[start..shown_end].chars().count().max(1),
        });
        Place {
            file: file.clone(),
            line: source[..start].matches('\n').count() + 1,
            column: before + 1,
            text: quote(&source[floor(source, shown.start)..floor(source, shown.end).max(floor(source, shown.start))]),
            key: String::new(),
            excerpt,
        }
    }

    /// The same, as the place of a key by its dotted path.
    pub(super) fn of(mut self, key: &str) -> Self {
        key.clone_into(&mut self.key);
        self
    }

    /// The same place with no source text, for what must not be shown or is not there.
    pub(super) fn hidden(mut self, text: &str) -> Self {
        text.clone_into(&mut self.text);
        self.excerpt = None;
        self
    }

    /// `file:line:column`, for messages that name a second place.
    pub(super) fn name(&self) -> String {
        if self.line == 0 { self.file.to_string() } else { format!("{}:{}:{}", self.file, self.line, self.column) }
    }
}

/// Where `key`, a dotted path such as `schedule.activate_at`, stands in a document with its value, in bytes. `None`: it is not
/// there, or the document is no TOML.
fn locate(source: &str, key: &str) -> Option<Range<usize>> {
    let mut path = key.split('.');
    let first = path.next()?;
    let tree = DeTable::parse(source).ok()?;
    let (mut name, mut value) = tree.get_ref().get_key_value(first)?;
    for step in path {
        (name, value) = value.get_ref().as_table()?.get_key_value(step)?;
    }
    // A table may begin far from what is in it.
    let end = if value.get_ref().is_table() { name.span().end } else { value.span().end };
    Some(name.span().start..end.max(name.span().end))
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Excerpt {
    line: String,
    /// Characters before the offending text.
    before: usize,
    /// Characters of it on this line.
    width: usize,
}

const MAX_EXCERPT: usize = 160;
const MAX_QUOTE: usize = 80;

/// The first line of `text`, shortened.
fn quote(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default().trim();
    let mut out: String = first.chars().take(MAX_QUOTE).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if out.len() < text.trim_end().len() {
        out.push('…');
    }
    out
}

/// The nearest character boundary at or below `i`.
fn floor(source: &str, i: usize) -> usize {
    let mut i = i.min(source.len());
    while !source.is_char_boundary(i) {
        i -= 1;
    }
    i
}

/// What was probably meant by `word`.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|k| (distance(word, k), k))
        .filter(|(d, k)| *d <= (k.chars().count().max(3)) / 3)
        .min()
        .map(|(_, k)| k)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).map(|c| c.to_ascii_lowercase()).collect();
    let b: Vec<char> = b.chars().take(64).map(|c| c.to_ascii_lowercase()).collect();
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}
