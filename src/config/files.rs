//! The one place that reads configuration files, and remembers what it looked at.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use super::catalogue::{Catalogue, DocId, Hasher, Read, Revision};
use super::problem::{Place, Problem};
use super::resolve::{Resolved, strict};
use super::sound;
use super::world::World;

/// Looks up environment variables.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What a folder has for the store: its documents but for the server's, and the recordings and pictures that they name.
pub(super) struct Gathered {
    /// Each document as it was read.
    pub(super) documents: Vec<Arc<Read>>,
    /// Those files by their path, with the name by which documents have them.
    pub(super) media: BTreeMap<PathBuf, String>,
}

/// Reads the documents under `dir` and all that they name.
pub(super) fn load(dir: &Path, env: Env<'_>) -> Resolved {
    let mut folder = Folder::new(dir.to_owned(), env, Settle::AT_ONCE);
    let look = folder.look(Instant::now());
    let mut catalogue = Catalogue::default();
    catalogue.apply(look.changes, &folder.world());
    strict(&catalogue, look.problems)
}

/// What documents in `dir` may refer to, for who reads a part of one alone.
pub(super) fn with_world<T>(dir: &Path, env: Env<'_>, read: impl FnOnce(&dyn World) -> T) -> T {
    read(&Folder::new(dir.to_owned(), env, Settle::AT_ONCE).world())
}

/// For how long a file must have been left alone before it counts. A writer may be in the middle of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settle {
    /// One that is right.
    pub(super) quiet: Duration,
    /// One that is wrong, or ends in the middle of a line: more is probably on its way.
    pub(super) doubt: Duration,
    /// Changes that are made together wait for the last of them, up to this long.
    pub(super) together: Duration,
}

impl Settle {
    /// As files are.
    pub(super) const AT_ONCE: Settle =
        Settle { quiet: Duration::ZERO, doubt: Duration::ZERO, together: Duration::ZERO };
    /// For a directory that people and programs write to.
    pub(super) const WATCHED: Settle = Settle {
        quiet: Duration::from_millis(40),
        doubt: Duration::from_millis(1_000),
        together: Duration::from_millis(1_000),
    };
}

/// What a look at the directory found.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Documents that are different, each as it is now; `None`: it is gone.
    pub(super) changes: Vec<(DocId, Option<Arc<Read>>)>,
    /// What is wrong with the directories themselves.
    pub(super) problems: Vec<Problem>,
    /// Something is being written: it is worth another look after this long.
    pub(super) again: Option<Duration>,
}

/// A configuration directory, and how it was when it was looked at.
pub(super) struct Folder<E> {
    dir: PathBuf,
    /// Where all documents but `offhook.toml` are, with the recordings and pictures that they name.
    documents: PathBuf,
    env: E,
    settle: Settle,
    /// Those that there are.
    present: BTreeSet<DocId>,
    docs: BTreeMap<DocId, Looked>,
    /// What documents name, by path.
    named: BTreeMap<PathBuf, Named>,
    /// `agents/` and `deployments/`.
    folders: [Listed; 2],
    /// Paths that are different since when, and how.
    moving: BTreeMap<PathBuf, (Stamp, Instant)>,
    sounds: RefCell<Sounds>,
}

struct Looked {
    path: PathBuf,
    stamp: Stamp,
    read_at: SystemTime,
    read: Arc<Read>,
    named: Vec<PathBuf>,
}

struct Named {
    stamp: Stamp,
    read_at: SystemTime,
    content: Revision,
    /// How a document names it, if it is a recording or a picture.
    media: Option<String>,
    by: BTreeSet<DocId>,
}

#[derive(Default)]
struct Listed {
    seen: Option<(Stamp, SystemTime)>,
    ids: Vec<DocId>,
    problem: Option<Problem>,
}

/// Recordings that are in use, by path and volume: thousands of documents may name the same.
type Sounds = HashMap<(PathBuf, u32), (Stamp, Revision, Weak<[u8]>)>;

const FOLDERS: [&str; 2] = ["agents", "deployments"];

impl<E: Fn(&str) -> Option<String>> Folder<E> {
    pub(super) fn new(dir: PathBuf, env: E, settle: Settle) -> Self {
        let (present, docs, named, folders, moving, sounds) = Default::default();
        let documents = dir.clone();
        Folder { dir, documents, env, settle, present, docs, named, folders, moving, sounds }
    }

    /// With all documents but `offhook.toml` in another directory, and what they show and play too. Secrets stay where they
    /// are.
    pub(super) fn documents(self, documents: PathBuf) -> Self {
        Folder { documents, ..self }
    }

    pub(super) fn path(&self, id: &DocId) -> PathBuf {
        let dir = if *id == DocId::Server { &self.dir } else { &self.documents };
        dir.join(id.to_string())
    }

    /// What the last look has read, for the store.
    pub(super) fn gathered(&self) -> Gathered {
        let documents = self.docs.values().map(|known| &known.read).filter(|read| read.id != DocId::Server);
        let media = self.named.iter().filter_map(|(path, named)| Some((path.clone(), named.media.clone()?)));
        Gathered { documents: documents.cloned().collect(), media: media.collect() }
    }

    /// Finds what is different since the last look. Costs one `stat` per file and directory, and a reading of what changed.
    pub(super) fn look(&mut self, now: Instant) -> Look {
        let mut look = Look::default();
        self.list(&mut look.problems);
        let mut moving = BTreeMap::new();
        let mut wait: Option<Duration> = None;
        let mut different = Vec::new();
        for (id, known) in self.docs.iter().filter(|(id, _)| self.present.contains(id)) {
            let stamp = Stamp::of(&known.path);
            if known.stamp != stamp {
                let since = self.moves(known.path.clone(), stamp, now, &mut moving, &mut wait);
                different.push((id.clone(), since));
            } else if stamp.is_young(known.read_at) {
                // It may have changed again within one tick of the clock, unseen.
                different.push((id.clone(), now));
            }
        }
        for id in self.present.iter().filter(|id| !self.docs.contains_key(id)) {
            let path = self.path(id);
            let stamp = Stamp::of(&path);
            different.push((id.clone(), self.moves(path, stamp, now, &mut moving, &mut wait)));
        }
        let gone: Vec<DocId> = self.docs.keys().filter(|id| !self.present.contains(id)).cloned().collect();
        for id in &gone {
            self.moves(self.path(id), Stamp::Absent, now, &mut moving, &mut wait);
        }
        let mut renamed = BTreeMap::new();
        for (path, known) in &self.named {
            let stamp = Stamp::of(path);
            let mut since = now;
            if known.stamp != stamp {
                since = self.moves(path.clone(), stamp, now, &mut moving, &mut wait);
            } else if !stamp.is_young(known.read_at) || content(path) == known.content {
                continue;
            }
            renamed.extend(known.by.iter().map(|id| (id.clone(), since)));
        }
        let oldest = moving.values().map(|(_, since)| now.saturating_duration_since(*since)).max();
        self.moving = moving;
        if wait.is_some() && oldest.is_some_and(|oldest| oldest < self.settle.together) {
            look.again = wait;
            return look;
        }
        for id in gone {
            self.forget(&id);
            look.changes.push((id, None));
        }
        let whole: BTreeMap<DocId, Instant> = different.into_iter().collect();
        let ids: BTreeSet<DocId> = whole.keys().chain(renamed.keys()).cloned().collect();
        for id in ids {
            let since = renamed.get(&id).or(whole.get(&id)).copied().unwrap_or(now);
            match self.read(&id, renamed.contains_key(&id), now.saturating_duration_since(since)) {
                Ok(Some(read)) => look.changes.push((id, Some(read))),
                Ok(None) => {}
                Err(again) => look.again = Some(look.again.map_or(again, |other| other.min(again))),
            }
        }
        look
    }

    /// Reads `text` as the document `id`, as if it were written.
    pub(super) fn read_text(&self, id: &DocId, text: &str) -> Arc<Read> {
        self.read_as(id, text, self.reading())
    }

    /// The same of a text by somebody who may not look around on this machine: recordings and pictures are those beside the
    /// documents, and those that the document names already.
    pub(super) fn read_within(&self, id: &DocId, text: &str) -> Arc<Read> {
        let before = self.reading();
        if let Ok(now) = self.text(id, &self.path(id)) {
            Read::new(id.clone(), "", Ok(now), &before, Vec::new);
        }
        let known = before.named.into_inner().into_iter().map(|noted| noted.path).collect();
        self.read_as(id, text, Reading { fence: Some(known), ..self.reading() })
    }

    fn read_as(&self, id: &DocId, text: &str, reading: Reading<'_, E>) -> Arc<Read> {
        let file = show(&self.path(id));
        Arc::new(Read::new(id.clone(), &file, Ok(text.into()), &reading, || reading.recordings()))
    }

    /// A document as it is at this moment, which need not have settled; `None`: there is no such file.
    pub(super) fn read_now(&self, id: &DocId) -> Option<Arc<Read>> {
        let path = self.path(id);
        if !path.exists() {
            return None;
        }
        let reading = self.reading();
        let text = self.text(id, &path);
        Some(Arc::new(Read::new(id.clone(), &show(&path), text, &reading, || reading.recordings())))
    }

    /// Takes a document that we wrote ourselves.
    pub(super) fn take_now(&mut self, id: &DocId) -> Vec<(DocId, Option<Arc<Read>>)> {
        if !self.path(id).exists() {
            self.forget(id);
            return vec![(id.clone(), None)];
        }
        match self.read(id, false, Duration::MAX) {
            Ok(Some(read)) => vec![(id.clone(), Some(read))],
            Ok(None) | Err(_) => Vec::new(),
        }
    }

    /// The directory and the environment as documents see them.
    pub(super) fn world(&self) -> impl World {
        self.reading()
    }

    /// Reads a document that may be different. `Err`: it may be in the middle of being written, for so much longer.
    fn read(&mut self, id: &DocId, names_changed: bool, left_alone: Duration) -> Result<Option<Arc<Read>>, Duration> {
        let path = self.path(id);
        let read_at = SystemTime::now();
        // Taken before it is read: a change in between is then seen as one.
        let stamp = Stamp::of(&path);
        let text = self.text(id, &path);
        if let Some(known) = self.docs.get_mut(id).filter(|known| known.read.text == text && !names_changed) {
            (known.stamp, known.read_at) = (stamp, read_at);
            self.moving.remove(&path);
            return Ok(None);
        }
        let reading = self.reading();
        let read = Read::new(id.clone(), &show(&path), text, &reading, || reading.recordings());
        let named = reading.named.into_inner();
        let whole = read.is_good() && read.text.as_ref().is_ok_and(|text| text.is_empty() || text.ends_with('\n'));
        let age = if names_changed { left_alone } else { stamp.age(read_at).unwrap_or_default().max(left_alone) };
        if !whole && age < self.settle.doubt {
            return Err(self.settle.doubt - age);
        }
        self.moving.remove(&path);
        self.forget(id);
        let read = Arc::new(read);
        let paths = named.iter().map(|noted| noted.path.clone()).collect();
        for Noted { path, stamp, content, media } in named {
            self.moving.remove(&path);
            let new = Named { stamp, read_at, content, media: None, by: BTreeSet::new() };
            let known = self.named.entry(path).or_insert(new);
            (known.stamp, known.read_at, known.content) = (stamp, read_at, content);
            known.media = media.or(known.media.take());
            known.by.insert(id.clone());
        }
        let known = Looked { path, stamp, read_at, read: Arc::clone(&read), named: paths };
        self.docs.insert(id.clone(), known);
        Ok(Some(read))
    }

    fn text(&self, id: &DocId, path: &Path) -> Result<Arc<str>, String> {
        let text = read(path, MAX_DOCUMENT_BYTES).and_then(decode).map(Arc::from);
        match (id, text) {
            (DocId::Server, Err(why)) if !path.exists() => {
                Err(format!("{why}; is {} the configuration directory?", show(&self.dir)))
            }
            (_, text) => text,
        }
    }

    fn forget(&mut self, id: &DocId) {
        self.moving.remove(&self.path(id));
        for path in self.docs.remove(id).into_iter().flat_map(|known| known.named) {
            if let Some(named) = self.named.get_mut(&path) {
                named.by.remove(id);
                if named.by.is_empty() {
                    self.named.remove(&path);
                }
            }
        }
    }

    /// Since when `path` is different in this way; `wait` becomes for how long it must be left alone still.
    fn moves(
        &self,
        path: PathBuf,
        stamp: Stamp,
        now: Instant,
        moving: &mut BTreeMap<PathBuf, (Stamp, Instant)>,
        wait: &mut Option<Duration>,
    ) -> Instant {
        let known = self.moving.get(&path).filter(|(before, _)| *before == stamp);
        let since = known.map_or(now, |(_, since)| *since);
        let seen = now.saturating_duration_since(since);
        let age = stamp.age(SystemTime::now()).unwrap_or_default().max(seen);
        if age < self.settle.quiet {
            let left = self.settle.quiet - age;
            *wait = Some(wait.map_or(left, |wait| wait.max(left)));
        }
        moving.insert(path, (stamp, since));
        since
    }

    /// Looks which documents there are.
    fn list(&mut self, problems: &mut Vec<Problem>) {
        let models = self.documents.join("models.toml").exists();
        let mut changed = models != self.present.contains(&DocId::Models) || self.present.is_empty();
        for (folder, listed) in FOLDERS.into_iter().zip(&mut self.folders) {
            changed |= listed.refresh(&self.documents.join(folder), folder);
            problems.extend(listed.problem.clone());
        }
        if changed {
            let ones = [DocId::Server].into_iter().chain(models.then_some(DocId::Models));
            self.present = ones.chain(self.folders.iter().flat_map(|listed| &listed.ids).cloned()).collect();
        }
    }

    fn reading(&self) -> Reading<'_, E> {
        let (dir, documents) = (&self.dir, &self.documents);
        Reading { dir, documents, env: &self.env, sounds: &self.sounds, named: RefCell::default(), fence: None }
    }
}

impl Listed {
    /// All `*.toml` of a directory; no directory, no documents. One that cannot be read is as it was. Tells whether it was
    /// looked at again.
    fn refresh(&mut self, path: &Path, folder: &str) -> bool {
        let (stamp, at) = (Stamp::of(path), SystemTime::now());
        // A directory's own times tell of files that came, went or were renamed.
        if self.seen.as_ref().is_some_and(|(seen, at)| *seen == stamp && !stamp.is_young(*at)) {
            return false;
        }
        self.seen = Some((stamp, at));
        self.problem = None;
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => {
                if error.kind() == ErrorKind::NotFound {
                    self.ids.clear();
                } else {
                    self.problem = Some(Problem::error(&Place::file(&show(path)), why(&error)));
                }
                return true;
            }
        };
        let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
        // Editors keep their half-written copies in hidden files.
        let names = names.filter(|name| !name.starts_with('.'));
        let ids = names.filter_map(|name| DocId::named(folder, name.strip_suffix(".toml")?));
        let ids: Vec<DocId> = ids.take(MAX_DOCUMENTS + 1).collect();
        if ids.len() > MAX_DOCUMENTS {
            let message = format!("has more than {MAX_DOCUMENTS} documents");
            self.problem = Some(Problem::error(&Place::file(&show(path)), message));
        } else {
            self.ids = ids;
        }
        true
    }
}

/// The environment and the files as one document sees them.
struct Reading<'a, E> {
    dir: &'a Path,
    documents: &'a Path,
    env: &'a E,
    sounds: &'a RefCell<Sounds>,
    named: RefCell<Vec<Noted>>,
    /// Of recordings and pictures elsewhere than beside the documents, the only ones that may be named; `None`: all.
    fence: Option<BTreeSet<PathBuf>>,
}

/// A file that a document names, as it was read.
struct Noted {
    path: PathBuf,
    stamp: Stamp,
    content: Revision,
    /// As it is written, if it is a recording or a picture.
    media: Option<String>,
}

impl<E> Reading<'_, E> {
    /// Recordings and pictures are part of what a document means. Secrets are kept out of revisions.
    fn recordings(&self) -> Vec<Revision> {
        let named = self.named.borrow();
        named.iter().filter(|noted| noted.media.is_some()).map(|noted| noted.content).collect()
    }

    fn read(&self, path: PathBuf, max: u64, media: Option<&str>) -> Result<Vec<u8>, String> {
        let stamp = Stamp::of(&path);
        let bytes = read(&path, max);
        self.note(path.clone(), stamp, digest(&bytes), media);
        bytes.map_err(|why| format!("{}: {why}", show(&path)))
    }

    /// Where a recording or a picture is. What is refused is not looked at: it tells nothing of what there is.
    fn media(&self, path: &str) -> Result<PathBuf, String> {
        let whole = self.documents.join(path);
        let is_beside =
            || Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        match &self.fence {
            Some(known) if !known.contains(&whole) && !is_beside() => {
                Err("is not in the directory of the documents: who writes there may name it".to_owned())
            }
            _ => Ok(whole),
        }
    }

    fn note(&self, path: PathBuf, stamp: Stamp, content: Revision, media: Option<&str>) {
        self.named.borrow_mut().push(Noted { path, stamp, content, media: media.map(str::to_owned) });
    }
}

impl<E: Fn(&str) -> Option<String>> World for Reading<'_, E> {
    fn env(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    fn file(&self, path: &str, max: u64) -> Result<Vec<u8>, String> {
        self.read(self.locate(path), max, None)
    }

    fn picture(&self, path: &str, max: u64) -> Result<Vec<u8>, String> {
        self.read(self.media(path)?, max, Some(path))
    }

    fn recording(&self, path: &str, volume_db: f32) -> Result<Arc<[u8]>, String> {
        let key = (self.media(path)?, volume_db.to_bits());
        let stamp = Stamp::of(&key.0);
        if let Some((known, content, sound)) = self.sounds.borrow().get(&key)
            && *known == stamp
            && !stamp.is_young(SystemTime::now())
            && let Some(sound) = sound.upgrade()
        {
            self.note(key.0.clone(), stamp, *content, Some(path));
            return Ok(sound);
        }
        let bytes = self.read(key.0.clone(), sound::MAX_BYTES, Some(path))?;
        let sound = sound::load(&bytes, volume_db)?;
        let mut sounds = self.sounds.borrow_mut();
        if sounds.len() >= MAX_SOUNDS {
            sounds.retain(|_, (.., sound)| sound.strong_count() > 0);
        }
        sounds.insert(key, (stamp, digest(&Ok(bytes)), Arc::downgrade(&sound)));
        Ok(sound)
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn locate(&self, path: &str) -> PathBuf {
        self.dir.join(path)
    }
}

/// How a file or directory was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamp {
    Absent,
    Present { size: u64, inode: u64, modified: (i64, i64), changed: (i64, i64) },
}

impl Stamp {
    fn of(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(m) => Stamp::Present {
                size: m.size(),
                inode: m.ino(),
                modified: (m.mtime(), m.mtime_nsec()),
                changed: (m.ctime(), m.ctime_nsec()),
            },
            Err(_) => Stamp::Absent,
        }
    }

    /// When it changed, by the file system's clock.
    fn at(&self) -> Option<SystemTime> {
        let Stamp::Present { changed: (s, ns), .. } = self else { return None };
        Some(SystemTime::UNIX_EPOCH + Duration::new((*s).max(0) as u64, (*ns).clamp(0, 999_999_999) as u32))
    }

    /// For how long it has been so; `None`: it cannot be told.
    fn age(&self, now: SystemTime) -> Option<Duration> {
        now.duration_since(self.at()?).ok()
    }

    /// A file that changed just before it was read may change again within the same tick of the file system's clock,
    /// unseen; it is read once more.
    fn is_young(&self, read_at: SystemTime) -> bool {
        self.at().is_some_and(|changed| changed + TICK > read_at)
    }
}

fn read(path: &Path, max: u64) -> Result<Vec<u8>, String> {
    // A pipe or a device would block, or never end.
    match fs::metadata(path) {
        Ok(m) if m.is_file() => {}
        Ok(_) => return Err("is not a file".to_owned()),
        Err(e) => return Err(why(&e)),
    }
    let file = fs::File::open(path).map_err(|e| why(&e))?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(|e| why(&e))?;
    if bytes.len() as u64 > max {
        return Err(format!("is larger than {} KiB", max / 1_024));
    }
    Ok(bytes)
}

/// The text of a document.
pub(super) fn decode(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|e| {
        let valid = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|b| **b == b'\n').count() + 1;
        format!("is not UTF-8 (line {line})")
    })
}

/// Tells the contents of files apart.
pub(super) fn digest(content: &Result<Vec<u8>, String>) -> Revision {
    match content {
        Ok(bytes) => Hasher::new().with(b"file").with(bytes).finish(),
        Err(why) => Hasher::new().with(b"none").with(why.as_bytes()).finish(),
    }
}

fn content(path: &Path) -> Revision {
    digest(&read(path, sound::MAX_BYTES))
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

fn why(e: &std::io::Error) -> String {
    match e.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "may not be read by the user the server runs as".to_owned(),
        _ => format!("cannot be read ({e})"),
    }
}

/// More is not a document that a person wrote.
pub(super) const MAX_DOCUMENT_BYTES: u64 = 1_024 * 1_024;
/// Of one kind.
const MAX_DOCUMENTS: usize = 20_000;
/// Recordings in use of which it is known that they are; more are read more often.
const MAX_SOUNDS: usize = 1_024;
/// Coarser than the clock of any file system in use but FAT.
const TICK: Duration = Duration::from_millis(50);
