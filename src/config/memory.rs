//! A configuration directory that is not on a disk.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::catalogue::{Catalogue, DocId, Read, Revision};
use super::files::{Env, decode, digest};
use super::problem::Problems;
use super::resolve::strict;
use super::types::Config;
use super::world::World;

/// Reads a configuration from `files`, by their paths within the configuration directory (`agents/a.toml`,
/// `sounds/hold.wav`). For demonstrations and tests; a server has its files on a disk.
///
/// # Errors
/// Every problem of every document, warnings too, when there is an error among them.
pub fn from_memory(files: &BTreeMap<String, Vec<u8>>, env: Env<'_>) -> Result<Config, Problems> {
    let mut catalogue = Catalogue::default();
    let ids = files.keys().filter_map(|path| DocId::from_path(path)).filter(|id| *id != DocId::Server);
    let read = |id: DocId| {
        let memory = Memory { files, env, recordings: RefCell::default() };
        let text = memory.bytes(&id.to_string()).and_then(decode).map(Arc::from);
        let read = Read::new(id.clone(), &id.to_string(), text, &memory, || memory.recordings.take());
        (id, Some(Arc::new(read)))
    };
    let memory = Memory { files, env, recordings: RefCell::default() };
    catalogue.apply([DocId::Server].into_iter().chain(ids).map(read).collect(), &memory);
    let resolved = strict(&catalogue, Vec::new());
    resolved.config.ok_or(resolved.problems)
}

struct Memory<'a> {
    files: &'a BTreeMap<String, Vec<u8>>,
    env: Env<'a>,
    recordings: RefCell<Vec<Revision>>,
}

impl Memory<'_> {
    fn bytes(&self, path: &str) -> Result<Vec<u8>, String> {
        self.files.get(path).cloned().ok_or_else(|| format!("{path}: there is no such file"))
    }
}

impl World for Memory<'_> {
    fn env(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    fn file(&self, path: &str, _: u64) -> Result<Vec<u8>, String> {
        let bytes = self.bytes(path);
        if path.ends_with(".wav") {
            self.recordings.borrow_mut().push(digest(&bytes));
        }
        bytes
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn locate(&self, path: &str) -> PathBuf {
        path.into()
    }
}
