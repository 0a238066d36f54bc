//! What was in force last, so that a start finds it again: one file per document in a folder of the data directory.
//!
//! A file is a copy of the document below one line of comment with its hash. It is written beside itself and renamed, so it
//! is whole or not there; one that is torn all the same (a machine that lost its power, a person's hand) shows by the hash
//! and is passed over.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest;

use super::catalogue::{Change, DocId};
use crate::base::hex::hex;

/// Where each document's last good version is kept. A folder, as long as the store does not do it.
pub trait LastGood: Send {
    /// The text of each document that was in force last.
    ///
    /// # Errors
    /// Nothing can be read. What cannot be read of some documents is left out.
    fn load(&self) -> io::Result<BTreeMap<DocId, String>>;

    /// Keeps what is in force from now on, each document whole or not at all. What is kept already may be kept again.
    ///
    /// # Errors
    /// Something could not be kept: all of it is given again with the next change, or the next look.
    fn keep(&mut self, changes: &[Kept]) -> io::Result<()>;
}

/// A change that is to be kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// What changed.
    pub change: Change,
    /// The document as it is now; `None`: it was deleted.
    pub text: Option<Arc<str>>,
}

/// Last good versions in a folder.
#[derive(Debug)]
pub struct LastGoodFolder {
    dir: PathBuf,
    /// Whether what a killed server left half-written is gone. Only who writes may say that nobody else does.
    swept: bool,
}

impl LastGoodFolder {
    /// In the data directory `data`. Nothing is made before there is something to keep.
    pub fn new(data: &Path) -> Self {
        LastGoodFolder { dir: data.join("documents"), swept: false }
    }

    fn read(&self, folder: &str, all: &mut BTreeMap<DocId, String>) -> io::Result<()> {
        let entries = match fs::read_dir(self.dir.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            // What is being written, or was when a server was killed.
            if name.starts_with('.') {
                continue;
            }
            let id =
                if folder.is_empty() { DocId::from_path(name) } else { DocId::from_path(&format!("{folder}/{name}")) };
            if let Some(id) = id
                && let Some(text) = fs::read_to_string(&path).ok().and_then(|text| opened(&text))
            {
                all.insert(id, text);
            }
        }
        Ok(())
    }
}

impl LastGood for LastGoodFolder {
    fn load(&self) -> io::Result<BTreeMap<DocId, String>> {
        let mut all = BTreeMap::new();
        for folder in ["", "agents", "deployments"] {
            self.read(folder, &mut all)?;
        }
        Ok(all)
    }

    fn keep(&mut self, changes: &[Kept]) -> io::Result<()> {
        for folder in ["agents", "deployments"] {
            fs::create_dir_all(self.dir.join(folder))?;
        }
        if !self.swept {
            for folder in ["", "agents", "deployments"] {
                sweep(&self.dir.join(folder))?;
            }
            self.swept = true;
        }
        // The hash tells of what a loss of power left torn, so a first start with thousands need not wait for each of them.
        let each = changes.len() <= MAX_SYNCED;
        for kept in changes {
            let path = self.dir.join(kept.change.doc.to_string());
            match &kept.text {
                Some(text) => replace(&path, sealed(text).as_bytes(), each, || Ok(()))?,
                None => match fs::remove_file(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                },
            }
        }
        Ok(())
    }
}

fn sweep(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with('.') && name.to_string_lossy().ends_with(".tmp") {
            // If it stays, it does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// More changes at once than a person makes.
const MAX_SYNCED: usize = 64;

/// Puts `bytes` in the place of the file at `path`, whole or not at all. `sync`: they are on the disk when this returns.
/// `just_before` the file is replaced it may still object.
pub(super) fn replace(
    path: &Path,
    bytes: &[u8],
    sync: bool,
    just_before: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(ErrorKind::InvalidInput, "this is no file"));
    };
    // Hidden, so that nobody takes it for a document.
    let beside = dir.join(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    let write = || {
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        if let Ok(old) = fs::metadata(path) {
            file.set_permissions(old.permissions())?;
        }
        if sync {
            file.sync_all()?;
        }
        just_before()?;
        fs::rename(&beside, path)?;
        if sync { File::open(dir)?.sync_all() } else { Ok(()) }
    };
    let written = write();
    if written.is_err() {
        // It may not even be there.
        let _ = fs::remove_file(&beside);
    }
    written
}

const HEAD: &str = "# The last version of this document that was in force, kept by offhook. sha256 ";

/// `text` with its hash above it.
fn sealed(text: &str) -> String {
    format!("{HEAD}{}\n{text}", hash(text))
}

/// The text of what [`sealed`] wrote; `None`: it is torn, or not ours.
fn opened(sealed: &str) -> Option<String> {
    let (head, text) = sealed.split_once('\n')?;
    (head.strip_prefix(HEAD)? == hash(text)).then(|| text.to_owned())
}

fn hash(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}
