//! The one place that reads configuration files, and remembers what it looked at.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ring::digest;

use super::resolve::{Document, Documents, Resolved, resolve};
use super::world::World;

/// Looks up environment variables.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads the documents under `dir` and all that they name, and tells what was looked at.
pub(super) fn load(dir: &Path, env: Env<'_>) -> (Resolved, Seen) {
    let files = Files { dir, env, seen: RefCell::new(Seen::new()), digest: RefCell::new(Digest::new()) };
    let documents = files.documents();
    let mut resolved = resolve(documents, &files);
    if let Some(config) = &mut resolved.config {
        // Recordings are part of what a call does; secrets are kept out of the digest.
        config.revision = files.digest.borrow().short();
    }
    (resolved, files.seen.into_inner())
}

/// What documents in `dir` may refer to, for who reads a part of one alone.
pub(super) fn with_world<T>(dir: &Path, env: Env<'_>, read: impl FnOnce(&dyn World) -> T) -> T {
    read(&Files { dir, env, seen: RefCell::new(Seen::new()), digest: RefCell::new(Digest::new()) })
}

/// What was looked at, and how it was then.
#[derive(Debug)]
pub(super) struct Seen {
    at: SystemTime,
    stamps: BTreeMap<PathBuf, Stamp>,
}

impl Seen {
    fn new() -> Self {
        Seen { at: SystemTime::now(), stamps: BTreeMap::new() }
    }

    /// Whether anything may be different now. Costs one `stat` per file and directory.
    pub(super) fn changed(&self) -> bool {
        self.stamps.iter().any(|(path, stamp)| stamp.is_young(self.at) || Stamp::of(path) != *stamp)
    }

    fn note(&mut self, path: &Path) {
        self.stamps.entry(path.to_owned()).or_insert_with(|| Stamp::of(path));
    }
}

/// How a file or directory was. A directory's own times tell of files that came, went or were renamed.
#[derive(Debug, PartialEq, Eq)]
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

    /// A file that changed just before it was read may change again within the same tick of the file system's clock,
    /// unseen; it is read once more.
    fn is_young(&self, read_at: SystemTime) -> bool {
        let Stamp::Present { changed: (s, ns), .. } = self else { return false };
        let changed = SystemTime::UNIX_EPOCH + Duration::new((*s).max(0) as u64, (*ns).clamp(0, 999_999_999) as u32);
        changed + TICK > read_at
    }
}

/// The text of a document.
pub(super) fn decode(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|e| {
        let valid = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|b| **b == b'\n').count() + 1;
        format!("is not UTF-8 (line {line})")
    })
}

struct Files<'a> {
    dir: &'a Path,
    env: Env<'a>,
    seen: RefCell<Seen>,
    digest: RefCell<Digest>,
}

impl Files<'_> {
    fn documents(&self) -> Documents {
        let optional = self.dir.join("models.toml");
        self.seen.borrow_mut().note(&optional);
        let mut server = self.document(self.dir.join("offhook.toml"));
        if !self.dir.join("offhook.toml").exists() {
            server.text =
                server.text.map_err(|why| format!("{why}; is {} the configuration directory?", show(self.dir)));
        }
        Documents {
            server,
            models: optional.exists().then(|| self.document(optional)),
            agents: self.directory("agents"),
            deployments: self.directory("deployments"),
        }
    }

    /// All `*.toml` of a directory, by name; no directory, no documents.
    fn directory(&self, name: &str) -> Vec<Document> {
        let path = self.dir.join(name);
        self.seen.borrow_mut().note(&path);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Vec::new(),
            Err(e) => return vec![Document { file: show(&path), name: name.to_owned(), text: Err(why(&e)) }],
        };
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "toml"))
            // Editors keep their half-written copies in hidden files.
            .filter(|path| path.file_name().is_some_and(|n| !n.to_string_lossy().starts_with('.')))
            .take(MAX_DOCUMENTS + 1)
            .collect();
        paths.sort();
        if paths.len() > MAX_DOCUMENTS {
            let text = Err(format!("has more than {MAX_DOCUMENTS} documents"));
            return vec![Document { file: show(&path), name: name.to_owned(), text }];
        }
        paths.into_iter().map(|path| self.document(path)).collect()
    }

    fn document(&self, path: PathBuf) -> Document {
        let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let text = self.read(&path, MAX_DOCUMENT_BYTES).and_then(|bytes| {
            let inside = path.strip_prefix(self.dir).unwrap_or(&path);
            self.digest.borrow_mut().add(&inside.to_string_lossy(), &bytes);
            decode(bytes)
        });
        Document { file: show(&path), name, text }
    }

    fn read(&self, path: &Path, max: u64) -> Result<Vec<u8>, String> {
        // Noted before it is read: a change in between is then seen as one.
        self.seen.borrow_mut().note(path);
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
}

impl World for Files<'_> {
    fn env(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    fn file(&self, path: &str, max: u64) -> Result<Vec<u8>, String> {
        let located = self.locate(path);
        let bytes = self.read(&located, max).map_err(|why| format!("{}: {why}", show(&located)))?;
        if path.ends_with(".wav") {
            self.digest.borrow_mut().add(path, &bytes);
        }
        Ok(bytes)
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn locate(&self, path: &str) -> PathBuf {
        self.dir.join(path)
    }
}

/// Tells configurations apart.
pub(super) struct Digest(digest::Context);

impl Digest {
    pub(super) fn new() -> Self {
        Digest(digest::Context::new(&digest::SHA256))
    }

    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) {
        for part in [name.as_bytes(), bytes] {
            self.0.update(&(part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }

    /// 48 bits: enough to tell revisions of one configuration apart.
    pub(super) fn short(&self) -> String {
        let digest = self.0.clone().finish();
        digest.as_ref().iter().take(6).map(|b| format!("{b:02x}")).collect()
    }
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
const MAX_DOCUMENT_BYTES: u64 = 1_024 * 1_024;
const MAX_DOCUMENTS: usize = 10_000;
/// Coarser than the clock of any file system in use but FAT.
const TICK: Duration = Duration::from_millis(50);
