//! What a call ran by, kept beside what is still to be done about it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::catalogue::{Catalogue, DocId, Pin, Read};
use super::types::Deployment;
use super::world::World;

/// The texts of the documents that a deployment was made of. They hold no secret. What is to be done about a call once it
/// is over is done by them, whatever became of the documents, and after a restart too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// The deployment's name.
    deployment: String,
    /// By path within the configuration directory.
    texts: BTreeMap<String, String>,
}

impl Pinned {
    pub(super) fn new(deployment: &str, pin: &Pin) -> Self {
        let text = |read: &Arc<Read>| Some((read.id.to_string(), read.text.as_ref().ok()?.to_string()));
        Pinned { deployment: deployment.to_owned(), texts: pin.iter().filter_map(text).collect() }
    }

    /// The deployment as it was, with secrets as they are now. Its recordings are silent: nothing is said any more.
    ///
    /// # Errors
    /// Why there is none: a secret is gone, or the documents are not what this version reads.
    pub(super) fn resolve(&self, world: &dyn World) -> Result<Arc<Deployment>, String> {
        let mut catalogue = Catalogue::default();
        let read = |(path, text): (&String, &String)| {
            let id = DocId::from_path(path)?;
            Some((id.clone(), Some(Arc::new(Read::new(id, path, Ok(text.as_str().into()), &Silent(world), Vec::new)))))
        };
        catalogue.apply(self.texts.iter().filter_map(read).collect(), &Silent(world));
        let config = catalogue.config();
        let deployment = config.and_then(|config| config.deployments.get(&self.deployment)).cloned();
        deployment.ok_or_else(|| catalogue.problems().to_string())
    }
}

/// Another world, but for its recordings.
struct Silent<'a>(&'a dyn World);

impl World for Silent<'_> {
    fn env(&self, name: &str) -> Option<String> {
        self.0.env(name)
    }

    fn file(&self, path: &str, max: u64) -> Result<Vec<u8>, String> {
        self.0.file(path, max)
    }

    fn picture(&self, path: &str, max: u64) -> Result<Vec<u8>, String> {
        self.0.picture(path, max)
    }

    fn recording(&self, _: &str, _: f32) -> Result<Arc<[u8]>, String> {
        Ok(Arc::from([]))
    }

    fn now(&self) -> SystemTime {
        self.0.now()
    }

    fn locate(&self, path: &str) -> PathBuf {
        self.0.locate(path)
    }
}
