//! A configuration directory that is not on a disk.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use super::files::{Digest, Env, decode};
use super::problem::Problems;
use super::resolve::{Document, Documents, resolve};
use super::types::Config;
use super::world::World;

/// Reads a configuration from `files`, by their paths within the configuration directory (`agents/a.toml`,
/// `sounds/hold.wav`). For demonstrations and tests; a server has its files on a disk.
///
/// # Errors
/// Every problem of every document, warnings too, when there is an error among them.
pub fn from_memory(files: &BTreeMap<String, Vec<u8>>, env: Env<'_>) -> Result<Config, Problems> {
    let memory = Memory { files, env, digest: RefCell::new(Digest::new()) };
    let directory = |prefix: &str| {
        let inside = files.keys().filter(|path| path.starts_with(prefix) && path.ends_with(".toml"));
        inside.map(|path| memory.document(path)).collect()
    };
    let documents = Documents {
        server: memory.document("offhook.toml"),
        models: files.contains_key("models.toml").then(|| memory.document("models.toml")),
        agents: directory("agents/"),
        deployments: directory("deployments/"),
    };
    let resolved = resolve(documents, &memory);
    let mut config = resolved.config.ok_or(resolved.problems)?;
    config.revision = memory.digest.borrow().short();
    Ok(config)
}

struct Memory<'a> {
    files: &'a BTreeMap<String, Vec<u8>>,
    env: Env<'a>,
    digest: RefCell<Digest>,
}

impl Memory<'_> {
    fn document(&self, path: &str) -> Document {
        let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".toml").to_owned();
        let text = self.file(path, u64::MAX).and_then(decode);
        Document { file: path.to_owned(), name, text }
    }
}

impl World for Memory<'_> {
    fn env(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    fn file(&self, path: &str, _: u64) -> Result<Vec<u8>, String> {
        let bytes = self.files.get(path).ok_or_else(|| format!("{path}: there is no such file"))?;
        self.digest.borrow_mut().add(path, bytes);
        Ok(bytes.clone())
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn locate(&self, path: &str) -> PathBuf {
        path.into()
    }
}
