//! The configuration in force.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use tokio::sync::watch;

use super::catalogue::{Applied, By, Catalogue, Change, DocId, DocState, InForce, Revision};
use super::files::{Folder, Look, Settle};
use super::last_good::{Kept, LastGood};
use super::pinned::Pinned;
use super::problem::{Problem, Problems};
use super::ruling::{CatalogueRules, Changes, Ruled, Ruling};
use super::stored::{Stored, source_of, write_stored};
use super::types::{Config, Deployment, DocumentSource};
use super::waiting::Waiting;

/// Holds the configuration in force and keeps up with its files.
///
/// [`Source::current`] is a look at one pointer. [`Source::refresh`] looks at the files and applies what changed, each
/// document by itself: a bad one leaves its own last good version in force and holds up no other. What is wrong is logged
/// once, as errors, and stays in [`Source::problems`] until it is right again.
pub struct Source {
    now: watch::Sender<Arc<Config>>,
    /// Documents are the store's.
    stored: bool,
    /// `None`: it never changes.
    state: Mutex<Option<State>>,
}

/// How a [`Source`] is opened.
pub struct Opening {
    dir: PathBuf,
    env: OwnEnv,
    adjust: Adjust,
    last_good: Option<Box<dyn LastGood>>,
    rules: Option<Box<CatalogueRules>>,
    settle: Settle,
    stored: Option<PathBuf>,
}

/// What a look at the files has led to.
#[derive(Clone, Debug, Default)]
pub struct Refreshed {
    /// What is in force from now on.
    pub changes: Vec<Change>,
    /// Something is being written: it is worth another look after this long.
    pub again: Option<Duration>,
}

type OwnEnv = Box<dyn Fn(&str) -> Option<String> + Send>;
type Adjust = Box<dyn Fn(&mut Config) + Send>;

impl Opening {
    /// The directory `dir`. Secrets come from the process's environment, files are taken as they are.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Opening {
            dir: dir.into(),
            env: Box::new(|name| std::env::var(name).ok()),
            adjust: Box::new(|_| {}),
            last_good: None,
            rules: None,
            settle: Settle::AT_ONCE,
            stored: None,
        }
    }

    /// With an environment of one's own.
    #[must_use]
    pub fn env(self, env: impl Fn(&str) -> Option<String> + Send + 'static) -> Self {
        Opening { env: Box::new(env), ..self }
    }

    /// `adjust` is applied to every configuration that is read, as flags of the command line are.
    #[must_use]
    pub fn adjust(self, adjust: impl Fn(&mut Config) + Send + 'static) -> Self {
        Opening { adjust: Box::new(adjust), ..self }
    }

    /// Begins with what was in force last, where what is written cannot be, and keeps it up once
    /// [`Source::keep_last_good`] says so.
    #[must_use]
    pub fn last_good(self, kept: impl LastGood + 'static) -> Self {
        Opening { last_good: Some(Box::new(kept)), ..self }
    }

    /// Holds what is written to `rules` over all documents at once: one that is new or changed and that they refuse keeps its
    /// last good version. See [`CatalogueRules`].
    #[must_use]
    pub fn rules(
        self,
        rules: impl Fn(Option<(&Config, Timestamp)>, &Config, Timestamp) -> Vec<Ruling> + Send + 'static,
    ) -> Self {
        Opening { rules: Some(Box::new(rules)), ..self }
    }

    /// Waits for files that are being written: a change counts once the file was left alone for 40 ms; one that is wrong,
    /// or ends within a line, for a second. Changes that are made together are applied together.
    #[must_use]
    pub fn watched(self) -> Self {
        Opening { settle: Settle::WATCHED, ..self }
    }

    /// When `[config] source` is the store, all documents but `offhook.toml` are in `copy`, which is kept up by
    /// [`Source::take_stored`].
    #[must_use]
    pub fn stored(self, copy: impl Into<PathBuf>) -> Self {
        Opening { stored: Some(copy.into()), ..self }
    }

    /// Reads the directory.
    ///
    /// # Errors
    /// Every problem of every document, when there is no `offhook.toml` that a server can run by, or when there are errors
    /// and no number could be answered; but not for what is the store's, which may be better in a moment.
    pub fn open(self) -> Result<Source, Problems> {
        let Opening { dir, env, adjust, last_good, rules, settle, stored } = self;
        let stored = stored.filter(|_| is_stored(&dir, last_good.as_deref()));
        let mut folder = Folder::new(dir, env, settle);
        if let Some(copy) = &stored {
            folder = folder.documents(copy.clone());
        }
        let mut look = folder.look(Instant::now());
        for _ in 0..MAX_LOOKS {
            let Some(again) = look.again else { break };
            thread::sleep(again);
            let next = folder.look(Instant::now());
            look.changes.extend(next.changes);
            (look.problems, look.again) = (next.problems, next.again);
        }
        let mut state = State {
            folder,
            catalogue: Catalogue::default(),
            rules,
            ruled: Ruled::default(),
            more: Vec::new(),
            problems: Arc::default(),
            told: BTreeMap::new(),
            adjust,
            published: 0,
            last_good,
            keeping: false,
            unkept: BTreeSet::new(),
            unkept_said: false,
            stored,
            waiting: Waiting::default(),
        };
        state.begin(look);
        let problems = Arc::clone(&state.problems);
        let may = |config: &Config| state.stored.is_some() || !problems.has_errors() || !config.deployments.is_empty();
        let config = state.config().filter(may);
        let config = config.ok_or_else(|| Problems::clone(&problems))?;
        state.published = state.catalogue.generation();
        let stored = state.stored.is_some();
        Ok(Source { now: watch::Sender::new(Arc::new(config)), stored, state: Mutex::new(Some(state)) })
    }
}

impl Source {
    /// Reads the directory `dir`; secrets come from the process's environment.
    ///
    /// # Errors
    /// See [`Opening::open`].
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, Problems> {
        Opening::new(dir).open()
    }

    /// Reads the directory `dir` with an environment of one's own; `adjust` is applied to every configuration that is
    /// read, as flags of the command line are.
    ///
    /// # Errors
    /// See [`Opening::open`].
    pub fn open_with(
        dir: impl Into<PathBuf>,
        env: impl Fn(&str) -> Option<String> + Send + 'static,
        adjust: impl Fn(&mut Config) + Send + 'static,
    ) -> Result<Self, Problems> {
        Opening::new(dir).env(env).adjust(adjust).open()
    }

    /// A configuration that never changes.
    pub fn fixed(config: Config) -> Self {
        Source { now: watch::Sender::new(Arc::new(config)), stored: false, state: Mutex::new(None) }
    }

    /// The configuration in force. Reads no file, and waits for nobody who does.
    pub fn current(&self) -> Arc<Config> {
        Arc::clone(&self.now.borrow())
    }

    /// Tells of every configuration that comes into force.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Config>> {
        self.now.subscribe()
    }

    /// Looks at the files, and applies what changed to calls from now on.
    ///
    /// Costs one `stat` per file and directory, and a reading of the documents that changed. Blocks: it is not for an
    /// async task.
    pub fn refresh(&self) -> Refreshed {
        let mut state = self.lock();
        let Some(state) = state.as_mut() else { return Refreshed::default() };
        let look = state.folder.look(Instant::now());
        let (again, now) = (look.again, Timestamp::now());
        let by = if state.stored.is_some() { By::Store } else { By::File };
        let changes = state.take(look, now, by);
        if again.is_none() {
            state.ruled.seen_at = now;
        }
        self.publish(state);
        let more = state.keep(&changes);
        Refreshed { changes, again: again.or(more.then_some(Duration::ZERO)) }
    }

    /// Whether documents are the store's, and are to be [taken](Self::take_stored) from there.
    pub fn is_stored(&self) -> bool {
        self.stored
    }

    /// Takes documents that are in force in the store from now on, for the next look; those without a text are taken away.
    /// `whole`: there are no others. Blocks: it is not for an async task.
    ///
    /// # Errors
    /// They cannot be written: all of them are to be given again.
    pub fn take_stored(&self, documents: &[Stored], whole: bool) -> io::Result<()> {
        // No look happens meanwhile, so what belongs together is seen together.
        let state = self.lock();
        let Some(copy) = state.as_ref().and_then(|state| state.stored.as_ref()) else { return Ok(()) };
        for odd in write_stored(copy, documents, whole)? {
            tracing::error!(document = odd, "the store has a document that cannot be one; it is left out");
        }
        Ok(())
    }

    /// From now on what is in force is kept where [`Opening::last_good`] says; what is not kept yet, now and, if that is much,
    /// with the next looks. For a server whose data directory is its own by now.
    pub fn keep_last_good(&self) {
        if let Some(state) = self.lock().as_mut() {
            state.keeping = true;
            state.keep(&[]);
        }
    }

    /// Logs what is wrong with the files as they are. For the start of a server: the logs are set up by what
    /// [`Opening::open`] has read, so it logs nothing itself.
    pub fn log_problems(&self) {
        if let Some(state) = self.lock().as_ref() {
            log(state.problems.iter());
            state.told.iter().for_each(|(id, how)| say(id, how));
        }
    }

    /// What is wrong with the files as of the last look; warnings too.
    pub fn problems(&self) -> Arc<Problems> {
        self.lock().as_ref().map(|state| Arc::clone(&state.problems)).unwrap_or_default()
    }

    /// How it is with each document as of the last look.
    pub fn documents(&self) -> Vec<DocState> {
        self.lock().as_ref().map(|state| state.catalogue.states()).unwrap_or_default()
    }

    /// What is flagged of the documents in force as of the last look, by document: a model that does not fit the tier any
    /// more, a schedule that waits for nothing. What was refused is among the [problems](Source::problems).
    pub fn findings(&self) -> BTreeMap<DocId, Vec<Ruling>> {
        let mut findings: BTreeMap<DocId, Vec<Ruling>> = BTreeMap::new();
        for ruling in self.lock().iter().flat_map(|state| state.ruled.flags()) {
            findings.entry(ruling.doc.clone()).or_default().push(ruling.clone());
        }
        findings
    }

    /// The text of a document in force.
    pub fn text(&self, doc: &DocId) -> Option<Arc<str>> {
        let state = self.lock();
        state.as_ref()?.catalogue.in_force(doc)?.text.clone().ok()
    }

    /// What `deployment` was made of, so that what follows a call can be done by it whatever becomes of the documents.
    /// `None`: it is none of this source's, or the source never changes.
    pub fn pin(&self, deployment: &Arc<Deployment>) -> Option<Pinned> {
        let pin = self.lock().as_ref()?.catalogue.pin(deployment)?;
        Some(Pinned::new(&deployment.name, &pin))
    }

    /// The deployment that was pinned, with secrets as they are now. Reads files where secrets are in some.
    ///
    /// # Errors
    /// Why there is none: a secret is gone, or the documents are not what this version reads.
    pub fn unpin(&self, pinned: &Pinned) -> Result<Arc<Deployment>, String> {
        match self.lock().as_ref() {
            Some(state) => pinned.resolve(&state.folder.world()),
            None => Err("this configuration has no documents".to_owned()),
        }
    }

    /// Takes what the state has come to for the configuration in force.
    pub(super) fn publish(&self, state: &mut State) {
        // A revision says nothing of secrets, which may have been rotated: every change counts.
        if state.published == state.catalogue.generation() {
            return;
        }
        let Some(config) = state.config() else { return };
        state.published = state.catalogue.generation();
        if config.revision != self.current().revision {
            tracing::info!(revision = %config.revision, "configuration applied to calls from now on");
        }
        self.now.send_replace(Arc::new(config));
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Option<State>> {
        // A panic in the middle of a change leaves documents as they were or as they are, each whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("revision", &self.current().revision).finish_non_exhaustive()
    }
}

/// What keeps up with the files.
pub(super) struct State {
    pub(super) folder: Folder<OwnEnv>,
    pub(super) catalogue: Catalogue,
    pub(super) rules: Option<Box<CatalogueRules>>,
    pub(super) ruled: Ruled,
    /// What is wrong with the directories.
    more: Vec<Problem>,
    pub(super) problems: Arc<Problems>,
    /// Documents that are not in force as they are written, as was said of each.
    told: BTreeMap<DocId, DocState>,
    adjust: Adjust,
    /// Which state of the catalogue is the one in force.
    published: u64,
    last_good: Option<Box<dyn LastGood>>,
    keeping: bool,
    /// What is in force and not kept yet.
    unkept: BTreeSet<DocId>,
    unkept_said: bool,
    /// Where what the store has is kept, if documents are the store's.
    pub(super) stored: Option<PathBuf>,
    /// Changes of documents that are locked.
    pub(super) waiting: Waiting,
}

impl State {
    /// Takes what was in force last, then what is written.
    fn begin(&mut self, look: Look) {
        let loaded = self.last_good.as_ref().map(|kept| kept.load());
        let kept = match loaded {
            Some(Err(error)) => {
                let at = super::problem::Place::file("documents");
                let message = format!("what was in force last cannot be read ({error})");
                self.more.push(Problem::warning(&at, message));
                BTreeMap::new()
            }
            loaded => loaded.and_then(Result::ok).unwrap_or_default(),
        };
        let now = Timestamp::now();
        (self.catalogue, self.ruled) = begun(&self.folder, look.changes, &kept, self.rules.as_deref(), now);
        self.ruled.seen_at = now;
        self.more.extend(look.problems);
        self.problems = Arc::new(self.all_problems());
        self.told = self.exceptions();
        let same = |id: &DocId, text: &str| kept.get(id).is_some_and(|kept| kept == text);
        let new =
            self.catalogue.all_in_force().filter(|(id, read)| !read.text.as_ref().is_ok_and(|text| same(id, text)));
        self.unkept = new.map(|(id, _)| id).collect();
        let gone =
            kept.keys().filter(|id| self.catalogue.written(id).is_none() && self.catalogue.last_good(id).is_none());
        self.unkept.extend(gone.cloned());
        self.waiting.begin(kept, &self.catalogue);
    }

    /// Takes what a look has found.
    fn take(&mut self, look: Look, now: Timestamp, by: By) -> Vec<Change> {
        let is_same = look.changes.is_empty() && look.problems == self.more;
        self.more = look.problems;
        if !is_same {
            let changes = self.waiting.hold_back(look.changes, &self.catalogue);
            return self.apply(changes, None, by);
        }
        if self.ruled.is_due(now) {
            self.ruled.review(self.rules.as_deref(), &self.catalogue, now);
            self.tell();
        }
        Vec::new()
    }

    /// Applies documents as they are written now, and says what came of it.
    pub(super) fn apply(&mut self, changes: Changes, who: Option<&str>, by: By) -> Vec<Change> {
        let (rules, world) = (self.rules.as_deref(), self.folder.world());
        let applied = self.ruled.apply(rules, &mut self.catalogue, changes, &world, Timestamp::now());
        drop(world);
        let when = SystemTime::now();
        let changes: Vec<Change> = applied.into_iter().map(|applied| change_of(applied, who, by, when)).collect();
        self.unkept.extend(changes.iter().map(|change| change.doc.clone()));
        for change in changes.iter().filter(|change| change.from != change.to) {
            let shown = |revision: Option<Revision>| revision.map_or_else(|| "none".to_owned(), |r| r.to_string());
            let (from, to) = (shown(change.from), shown(change.to));
            tracing::info!(document = %change.doc, from, to, "document applied to calls from now on");
        }
        self.tell();
        changes
    }

    /// Says what is wrong as of now and was not said yet.
    fn tell(&mut self) {
        let problems = self.all_problems();
        if *self.problems != problems {
            // Of thousands of documents there may be as many.
            let known: HashSet<_> = self.problems.iter().map(Problem::said).collect();
            log(problems.iter().filter(|problem| !known.contains(&problem.said())));
            if self.problems.has_errors() && !problems.has_errors() {
                tracing::info!("the configuration is right again");
            }
            self.problems = Arc::new(problems);
        }
        let told = self.exceptions();
        for (id, how) in told.iter().filter(|(id, how)| self.told.get(id) != Some(how)) {
            say(id, how);
        }
        self.told = told;
    }

    /// Keeps what is in force and not kept yet, and tells whether there is more of it.
    pub(super) fn keep(&mut self, changes: &[Change]) -> bool {
        let due = self.keeping && !self.unkept.is_empty();
        let Some(last_good) = self.last_good.as_mut().filter(|_| due) else { return false };
        let kept: Vec<Kept> = self
            .unkept
            .iter()
            .take(MAX_KEPT)
            .map(|doc| {
                let read = self.catalogue.last_good(doc);
                let known = changes.iter().find(|change| change.doc == *doc).cloned();
                let to = read.map(|read| read.revision);
                let unknown =
                    || Change { doc: doc.clone(), from: None, to, when: SystemTime::now(), who: None, by: By::File };
                Kept { change: known.unwrap_or_else(unknown), text: read.and_then(|read| read.text.clone().ok()) }
            })
            .collect();
        match last_good.keep(&kept) {
            Ok(()) => {
                for kept in &kept {
                    self.unkept.remove(&kept.change.doc);
                }
                self.unkept_said = false;
                return !self.unkept.is_empty();
            }
            Err(error) if !self.unkept_said => {
                self.unkept_said = true;
                tracing::error!(%error, "what is in force cannot be kept for the next start; it is tried again");
            }
            Err(_) => {}
        }
        false
    }

    fn all_problems(&self) -> Problems {
        let waiting = self.waiting.problems(&self.catalogue);
        let all = self.catalogue.problems();
        let all = all.iter().chain(&self.more).chain(self.ruled.problems()).chain(&waiting);
        Problems::new(all.cloned().collect())
    }

    fn exceptions(&self) -> BTreeMap<DocId, DocState> {
        let states = self.catalogue.exceptions();
        states.into_iter().map(|state| (state.doc.clone(), state)).collect()
    }

    fn config(&self) -> Option<Config> {
        let mut config = self.catalogue.config()?.clone();
        (self.adjust)(&mut config);
        Some(config)
    }
}

/// What is in force, as it is told.
pub(super) fn change_of(Applied { doc, from, to }: Applied, who: Option<&str>, by: By, when: SystemTime) -> Change {
    let to = to.map(|read| read.revision);
    // The server's own is a file, whoever has the others.
    let by = if by == By::Store && doc == DocId::Server { By::File } else { by };
    Change { doc, from, to, when, who: who.map(str::to_owned), by }
}

/// Whether documents are the store's, by what `offhook.toml` says, or, where that cannot be told, by what it said last.
fn is_stored(dir: &Path, last_good: Option<&dyn LastGood>) -> bool {
    let written = std::fs::read(dir.join("offhook.toml")).ok();
    let said = written.and_then(|text| source_of(&String::from_utf8_lossy(&text)));
    let last = || source_of(last_good?.load().ok()?.get(&DocId::Server)?);
    said.or_else(last) == Some(DocumentSource::Store)
}

/// What was in force last, and then what is written, as far as `rules` let it be.
pub(super) fn begun<E: Fn(&str) -> Option<String>>(
    folder: &Folder<E>,
    written: Changes,
    kept: &BTreeMap<DocId, String>,
    rules: Option<&CatalogueRules>,
    now: Timestamp,
) -> (Catalogue, Ruled) {
    let mut catalogue = Catalogue::default();
    let known: BTreeMap<&DocId, _> = written.iter().map(|(id, read)| (id, read)).collect();
    let last = kept.iter().map(|(id, text)| {
        // The same text is the same document.
        let same = known.get(id).and_then(|read| read.as_ref()).filter(|read| read.text.as_deref() == Ok(text));
        (id.clone(), Some(same.cloned().unwrap_or_else(|| folder.read_text(id, text))))
    });
    let last: Vec<_> = last.collect();
    let gone: Vec<_> = kept.keys().filter(|id| !known.contains_key(id)).map(|id| (id.clone(), None)).collect();
    let world = folder.world();
    catalogue.apply(last, &world);
    let mut ruled = Ruled::default();
    ruled.apply(rules, &mut catalogue, written.into_iter().chain(gone).collect(), &world, now);
    (catalogue, ruled)
}

/// Says which version of a document is in force, and why not another.
fn say(id: &DocId, how: &DocState) {
    let why = how.why.as_deref().unwrap_or("it does not fit the others");
    match (how.in_force, how.revision) {
        (InForce::LastGood, Some(revision)) => {
            tracing::error!(document = %id, %revision, "the last good version of a document stays in force: {why}");
        }
        _ => tracing::error!(document = %id, "a document is not in force: {why}"),
    }
}

/// Says loudly what is wrong.
fn log<'a>(problems: impl Iterator<Item = &'a Problem>) {
    let first_line = |p: &Problem| p.to_string().lines().next().unwrap_or_default().to_owned();
    for problem in problems.take(MAX_LOGGED) {
        if problem.is_error() {
            tracing::error!("{}", first_line(problem));
        } else {
            tracing::warn!("{}", first_line(problem));
        }
    }
}

/// Documents that are kept in one go: of thousands the rest waits for the next look, and nobody waits for all of them.
const MAX_KEPT: usize = 256;
/// The rest is told by `offhook check`.
const MAX_LOGGED: usize = 50;
/// Looks at files that are being written when a server starts.
const MAX_LOOKS: usize = 32;
