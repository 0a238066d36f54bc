//! Documents that the store has: what they are called there, what a folder has for it, and the working copy of them that a
//! server reads in place of a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::time::Instant;

use super::catalogue::{Catalogue, DocId};
use super::check::{CheckReport, report};
use super::files::{Env, Folder, Gathered, Settle, digest};
use super::is_name;
use super::last_good::replace;
use super::problem::{Place, Problem};
use super::resolve::strict;
use super::ruling::CatalogueRules;
use super::types::DocumentSource;

/// A document as the store has it, or a recording or picture that documents name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// [`DocId::kind`], or [`FILE`].
    pub kind: String,
    /// [`DocId::name`], or the file's path as documents name it.
    pub name: String,
    /// Which version it is.
    pub revision: String,
    /// What it says; of a file its bytes, as base64. `None`: it is taken away.
    pub text: Option<String>,
}

/// The kind of a recording or a picture.
pub const FILE: &str = "file";

impl Stored {
    /// Its path within a folder of documents; `None`: it can have none.
    pub fn path(&self) -> Option<String> {
        if self.kind == FILE {
            return file_name(Path::new(&self.name)).filter(|name| *name == self.name);
        }
        let doc =
            DocId::of_kind(&self.kind, &self.name).filter(|doc| is_name(&self.name) && doc.name() == self.name)?;
        Some(doc.to_string())
    }
}

/// What a folder has for the store, and what is wrong with it.
#[derive(Debug)]
pub struct Pushed {
    /// As `offhook check` tells it; of all documents but `offhook.toml` as they are in the folder.
    pub report: CheckReport,
    /// The documents but for `offhook.toml`, and the files that they name; those that can be read.
    pub documents: Vec<Stored>,
    /// Recordings and pictures that documents name by a path that begins at the root: each server has its own.
    pub elsewhere: BTreeSet<String>,
}

/// Reads what `folder` has for the store of the server whose `offhook.toml` is in `dir`. `rules` are asked of what can be
/// read, beside the documents' own.
pub fn for_store(dir: &Path, folder: &Path, env: Env<'_>, rules: &CatalogueRules) -> Pushed {
    let mut read = Folder::new(dir.to_owned(), env, Settle::AT_ONCE).documents(folder.to_owned());
    let look = read.look(Instant::now());
    let mut catalogue = Catalogue::default();
    catalogue.apply(look.changes, &read.world());
    let Gathered { documents, media } = read.gathered();
    let (mut stored, mut problems, mut elsewhere) = (Vec::new(), look.problems, BTreeSet::new());
    for (path, name) in media {
        if Path::new(&name).is_absolute() {
            elsewhere.insert(name);
            continue;
        }
        let Some(name) = file_name(Path::new(&name)) else {
            let place = Place::file(&path.display().to_string());
            let why = "cannot be in the store, since it is not within the folder, or is hidden";
            problems.push(Problem::error(&place, why));
            continue;
        };
        // That it cannot be read is told by the document that names it.
        let Ok(bytes) = fs::read(&path) else { continue };
        let text = base64_simd::STANDARD.encode_to_string(&bytes);
        let revision = digest(&Ok(bytes)).to_string();
        stored.push(Stored { kind: FILE.to_owned(), name, revision, text: Some(text) });
    }
    for read in documents {
        let Ok(text) = &read.text else { continue };
        let (kind, name) = (read.id.kind().to_owned(), read.id.name().to_owned());
        stored.push(Stored { kind, name, revision: read.revision.to_string(), text: Some(text.to_string()) });
    }
    let resolved = strict(&catalogue, problems);
    Pushed { report: report(folder, &catalogue, &catalogue, resolved, rules), documents: stored, elsewhere }
}

/// Writes documents into a directory that holds nothing else, each whole or not at all, and removes those that are taken
/// away. `whole`: there are no others, and whatever else is there is removed too. Returns what has no place there.
///
/// # Errors
/// Something cannot be written or removed; the rest is as it was, or as it is to be.
pub fn write_stored(dir: &Path, documents: &[Stored], whole: bool) -> io::Result<Vec<String>> {
    let (mut write, mut gone, mut odd) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
    // The server's own document is a file beside this directory.
    for stored in documents.iter().filter(|stored| stored.kind != DocId::Server.kind()) {
        let bytes = match &stored.text {
            Some(text) if stored.kind == FILE => base64_simd::STANDARD.decode_to_vec(text).ok().map(Some),
            Some(text) => Some(Some(text.as_bytes().to_vec())),
            None => Some(None),
        };
        match (stored.path(), bytes) {
            (Some(path), Some(Some(bytes))) => drop(write.insert(PathBuf::from(path), bytes)),
            (Some(path), Some(None)) => drop(gone.insert(PathBuf::from(path))),
            _ => odd.push(format!("{}/{}", stored.kind, stored.name)),
        }
    }
    if whole {
        let mut there = Vec::new();
        files(dir, Path::new(""), &mut there)?;
        gone.extend(there.into_iter().filter(|path| !write.contains_key(path)));
    }
    for path in gone {
        remove(dir, &path)?;
    }
    let each = write.len() <= MAX_SYNCED;
    for (path, bytes) in write {
        let path = dir.join(path);
        if fs::read(&path).is_ok_and(|there| there == bytes) {
            continue;
        }
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        replace(&path, &bytes, each, || Ok(()))?;
    }
    Ok(odd)
}

/// Who says what the documents are, by an `offhook.toml` that may be broken in any way; `None`: it cannot be told.
pub(super) fn source_of(text: &str) -> Option<DocumentSource> {
    let (tree, errors) = toml::de::DeTable::parse_recoverable(text);
    let said = tree.get_ref().get("config").and_then(|table| table.get_ref().as_table()?.get("source"));
    match said.and_then(|value| value.get_ref().as_str()) {
        Some("store") => Some(DocumentSource::Store),
        Some(_) => Some(DocumentSource::Files),
        None => errors.is_empty().then_some(DocumentSource::Files),
    }
}

/// A file's path within a folder, without anything that leads out of it or hides in it, or that a document has.
fn file_name(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_str().filter(|part| !part.starts_with('.'))?),
            _ => return None,
        }
    }
    let name = parts.join("/");
    let is_folder = parts.len() == 1 && ["agents", "deployments"].contains(&parts[0]);
    let fits = !name.is_empty() && name.len() <= MAX_NAME && !is_folder && !name.ends_with(".toml");
    fits.then_some(name)
}

/// All files of a directory and of those in it, by their paths; hidden ones too.
fn files(dir: &Path, within: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(dir.join(within)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = within.join(entry.file_name());
        // A link is a file: what it leads to is none of ours.
        if entry.file_type()?.is_dir() {
            files(dir, &path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// Removes a file, and the directories that are empty without it.
fn remove(dir: &Path, path: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join(path)) {
        Err(error) if ![ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => return Err(error),
        _ => {}
    }
    for above in path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
        if fs::remove_dir(dir.join(above)).is_err() {
            break;
        }
    }
    Ok(())
}

/// The longest path of a file; a component of a path may have 255 bytes.
const MAX_NAME: usize = 200;
/// More at once than a person changes: what a loss of power leaves torn of them is written again at the next start.
const MAX_SYNCED: usize = 64;
