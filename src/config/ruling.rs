//! Rules that are no document's own, over all that would be in force at once.
//!
//! They are handed in, as pure functions of what was in force and what would be. A document that is new or changed and that
//! they refuse keeps its last good version, as one that is wrong in itself does; what they say of the others is told.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::catalogue::{Applied, Catalogue, DocId, Read, Revision};
use super::problem::{Problem, Severity};
use super::types::{Config, Schedule};
use super::world::World;

/// What a rule says of a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Ruling {
    /// Which document.
    pub doc: DocId,
    /// An error: it may not come into force. A warning: it is flagged, and goes on.
    pub severity: Severity,
    /// Stable, in snake case.
    pub code: &'static str,
    /// The key in it, such as `backup_model` or `analysis.model`, which need not be there; empty: the document itself.
    pub key: &'static str,
    /// What people get to read.
    pub message: String,
    /// Of an error: what others have to do with it. 0: nothing. Higher ones rest on what other documents claim, so that what
    /// has an error of a lower one, and does not come into force, is left out first.
    #[serde(skip)]
    pub round: u8,
}

/// Rules over a whole catalogue. They are asked with what was in force before (`None`: nothing ever was) and when that was
/// last seen to be so, with what would be in force from now on, and what time it is. When they refuse something they are
/// asked again about what is left without it.
pub type CatalogueRules = dyn Fn(Option<(&Config, Timestamp)>, &Config, Timestamp) -> Vec<Ruling> + Send;

impl Ruling {
    /// As it is told, at its place in the document, whose path for people is `file`, and whose text is `source`.
    pub fn problem(&self, file: &str, source: &str) -> Problem {
        Problem::of_key(self.severity, file, source, self.key, self.message.as_str()).coded(self.code)
    }
}

/// Documents as they are written now; `None`: it is not there.
pub(super) type Changes = Vec<(DocId, Option<Arc<Read>>)>;

/// What came of the rules so far.
pub(super) struct Ruled {
    /// When the documents were last seen as they were known.
    pub(super) seen_at: Timestamp,
    /// Versions that were refused, as they are in themselves: another change may make them right.
    refused: BTreeMap<DocId, Arc<Read>>,
    /// What is flagged of what is in force.
    flags: BTreeMap<Ruling, Placed>,
    /// When a schedule changes next, and with it what is to be flagged.
    due: Option<Timestamp>,
}

/// Where a flag is told, in which version of the document; `None`: what is in force is not what is written.
struct Placed {
    revision: Option<Revision>,
    problem: Problem,
}

/// What the rules say of a change.
#[derive(Default)]
struct Judged {
    /// By the document that is at fault.
    refused: BTreeMap<DocId, Vec<Ruling>>,
    flags: Vec<Ruling>,
}

impl Default for Ruled {
    /// Nothing that came due while nobody looked is refused for being past.
    fn default() -> Self {
        Ruled { seen_at: Timestamp::UNIX_EPOCH, refused: BTreeMap::new(), flags: BTreeMap::new(), due: None }
    }
}

impl Ruled {
    /// Applies `changes` to `catalogue` as far as `rules` let them come into force.
    pub(super) fn apply(
        &mut self,
        rules: Option<&CatalogueRules>,
        catalogue: &mut Catalogue,
        changes: Changes,
        world: &dyn World,
        now: Timestamp,
    ) -> Vec<Applied> {
        let Some(rules) = rules else { return catalogue.apply(changes, world) };
        // What was refused may be right now, if it is still written.
        let refused = std::mem::take(&mut self.refused).into_iter().map(|(id, read)| (id, Some(read)));
        let mut changes: BTreeMap<_, _> = refused.chain(changes).collect();
        let apply = |catalogue: &mut Catalogue, changes: &BTreeMap<DocId, Option<Arc<Read>>>| {
            catalogue.apply(changes.clone().into_iter().collect(), world)
        };
        let was = catalogue.clone();
        let mut applied = apply(catalogue, &changes);
        if applied.is_empty() {
            let flags = self.flags.keys().cloned().collect();
            self.flag(catalogue, flags, now);
            return applied;
        }
        // Each round refuses one document more at least.
        loop {
            let judged = judge(rules, (&was, self.seen_at), catalogue, &applied, now);
            if judged.refused.is_empty() {
                self.flag(catalogue, judged.flags, now);
                return applied;
            }
            for (id, rulings) in judged.refused {
                let Some(read) = catalogue.written(&id).cloned() else { continue };
                changes.insert(id.clone(), Some(Arc::new(barred(&read, &rulings, catalogue))));
                self.refused.insert(id, read);
            }
            catalogue.clone_from(&was);
            applied = apply(catalogue, &changes);
        }
    }

    /// Why `trial`, which is `catalogue` with `applied`, may not be.
    pub(super) fn refusals(
        &self,
        rules: Option<&CatalogueRules>,
        (catalogue, trial): (&Catalogue, &Catalogue),
        applied: &[Applied],
        now: Timestamp,
    ) -> Vec<Problem> {
        let judged = rules.map(|rules| judge(rules, (catalogue, self.seen_at), trial, applied, now));
        let refused = judged.into_iter().flat_map(|judged| judged.refused.into_values().flatten());
        refused.map(|ruling| placed(&ruling, trial)).collect()
    }

    /// A version that was refused, which is not tried again from now on.
    pub(super) fn part(&mut self, id: &DocId) -> Option<Arc<Read>> {
        self.refused.remove(id)
    }

    /// Whether what is flagged may have changed by time alone.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Asks the rules again about what is in force.
    pub(super) fn review(&mut self, rules: Option<&CatalogueRules>, catalogue: &Catalogue, now: Timestamp) {
        if let Some(rules) = rules {
            let judged = judge(rules, (catalogue, now), catalogue, &[], now);
            self.flag(catalogue, judged.flags, now);
        }
    }

    /// What is flagged of what is in force.
    pub(super) fn flags(&self) -> impl Iterator<Item = &Ruling> {
        self.flags.keys()
    }

    /// The same, as it is told.
    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.flags.values().map(|placed| &placed.problem)
    }

    /// Takes what is flagged now. Thousands of documents may be, so each is looked for in its text once.
    fn flag(&mut self, catalogue: &Catalogue, flags: Vec<Ruling>, now: Timestamp) {
        let mut known = std::mem::take(&mut self.flags);
        for ruling in flags {
            let (revision, file, source) = shown(catalogue, &ruling.doc);
            let same = known.remove(&ruling).filter(|placed| placed.revision == revision);
            let placed = same.unwrap_or_else(|| Placed { revision, problem: ruling.problem(&file, source) });
            self.flags.insert(ruling, placed);
        }
        self.due = catalogue.config().and_then(|config| next_change(config, now));
    }
}

/// What `rules` say of `after`, which is in force because of `applied`, in place of `before`.
fn judge(
    rules: &CatalogueRules,
    (was, seen_at): (&Catalogue, Timestamp),
    is: &Catalogue,
    applied: &[Applied],
    now: Timestamp,
) -> Judged {
    let Some(after) = is.config() else { return Judged::default() };
    let differs = |of: &&Applied| of.to.as_ref().is_some_and(|to| of.from != Some(to.revision));
    let new: HashSet<&DocId> = applied.iter().filter(differs).map(|of| &of.doc).collect();
    let at_fault = |doc: &DocId| {
        if new.contains(doc) {
            return Some(doc.clone());
        }
        // What was in force stays as it is: then it is its agent that changed.
        was.in_force(doc)?;
        is.agent_of(doc).filter(|agent| new.contains(agent))
    };
    let (mut refused, mut flags) = (Vec::new(), Vec::new());
    for ruling in rules(was.config().map(|config| (config, seen_at)), after, now) {
        match at_fault(&ruling.doc).filter(|_| ruling.severity == Severity::Error) {
            Some(id) => refused.push((id, ruling)),
            // Who changed nothing is refused nothing.
            None => flags.push(Ruling { severity: Severity::Warning, ..ruling }),
        }
    }
    let round = refused.iter().map(|(_, ruling)| ruling.round).min();
    let mut judged = Judged { refused: BTreeMap::new(), flags };
    for (id, ruling) in refused.into_iter().filter(|(_, ruling)| Some(ruling.round) == round) {
        judged.refused.entry(id).or_default().push(ruling);
    }
    judged
}

/// A version that was refused, with what is wrong at its place.
fn barred(read: &Read, rulings: &[Ruling], catalogue: &Catalogue) -> Read {
    let problems: Vec<Problem> = rulings.iter().map(|ruling| placed(ruling, catalogue)).collect();
    let why = problems.first().map(|problem| problem.to_string().lines().next().unwrap_or_default().to_owned());
    let why = why.unwrap_or_default();
    let others = rulings.first().map(|ruling| &ruling.doc).filter(|doc| **doc != read.id);
    let why = others.map_or(why.clone(), |doc| format!("{doc} relies on what it was: {why}"));
    read.refused(why, problems)
}

fn placed(ruling: &Ruling, catalogue: &Catalogue) -> Problem {
    let (_, file, source) = shown(catalogue, &ruling.doc);
    ruling.problem(&file, source)
}

/// A document in force: its revision, its path for people, and its text. Without the text and the revision when something
/// else is written, since nobody finds a place of the one in the other.
fn shown<'a>(catalogue: &'a Catalogue, doc: &DocId) -> (Option<Revision>, Arc<str>, &'a str) {
    let Some(read) = catalogue.in_force(doc) else { return (None, doc.to_string().into(), "") };
    let is_written = catalogue.written(doc).is_some_and(|written| Arc::ptr_eq(written, read));
    let source = read.text.as_deref().ok().filter(|_| is_written).unwrap_or_default();
    (is_written.then_some(read.revision), Arc::clone(&read.file), source)
}

/// When the next schedule does something.
fn next_change(config: &Config, now: Timestamp) -> Option<Timestamp> {
    let agents = config.personas.values().map(|persona| &persona.standing.schedule);
    let phones = config.deployments.values().map(|phone| &phone.standing.schedule);
    let chats = config.chats.values().map(|chat| &chat.standing.schedule);
    let times = |schedule: &Schedule| [schedule.activate_at, schedule.deactivate_at];
    agents.chain(phones).chain(chats).flat_map(times).flatten().filter(|at| *at > now).min()
}
