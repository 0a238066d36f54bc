//! One document: who it is, its text, what was read in it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use ring::digest;
use serde::{Serialize, Serializer};

use super::super::agent::{self, AgentDraft};
use super::super::deployment::{self, DeploymentDraft};
use super::super::model;
use super::super::problem::{Place, Problem};
use super::super::reader::{self, Table};
use super::super::server;
use super::super::types::Server;
use super::super::world::World;
use super::super::{NAME_SHAPE, is_name};
use super::models::ModelsDraft;

/// Which document. Displays as its path within the configuration directory, such as `agents/reception.toml`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocId {
    /// `offhook.toml`.
    Server,
    /// `models.toml`.
    Models,
    /// `agents/NAME.toml`.
    Agent(Arc<str>),
    /// `deployments/NAME.toml`.
    Deployment(Arc<str>),
}

impl DocId {
    /// The document at `path` within the configuration directory; `None`: that is none.
    pub fn from_path(path: &str) -> Option<DocId> {
        match path {
            "offhook.toml" => return Some(DocId::Server),
            "models.toml" => return Some(DocId::Models),
            _ => {}
        }
        let (folder, file) = path.split_once('/')?;
        let name = file.strip_suffix(".toml").filter(|name| !name.is_empty() && !name.contains('/'))?;
        DocId::named(folder, name)
    }

    /// The document `name` of the folder `agents` or `deployments`.
    pub(in crate::config) fn named(folder: &str, name: &str) -> Option<DocId> {
        match folder {
            "agents" => Some(DocId::Agent(name.into())),
            "deployments" => Some(DocId::Deployment(name.into())),
            _ => None,
        }
    }

    /// The document `name` of a [`kind`](Self::kind).
    pub fn of_kind(kind: &str, name: &str) -> Option<DocId> {
        match kind {
            "server" => Some(DocId::Server),
            "models" => Some(DocId::Models),
            "agent" => Some(DocId::Agent(name.into())),
            "deployment" => Some(DocId::Deployment(name.into())),
            _ => None,
        }
    }

    /// What it is: `server`, `models`, `agent` or `deployment`.
    pub fn kind(&self) -> &'static str {
        match self {
            DocId::Server => "server",
            DocId::Models => "models",
            DocId::Agent(_) => "agent",
            DocId::Deployment(_) => "deployment",
        }
    }

    /// What the document is called; the two that there is one of, by their file's stem.
    pub fn name(&self) -> &str {
        match self {
            DocId::Server => "offhook",
            DocId::Models => "models",
            DocId::Agent(name) | DocId::Deployment(name) => name,
        }
    }
}

impl fmt::Display for DocId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DocId::Server => f.write_str("offhook.toml"),
            DocId::Models => f.write_str("models.toml"),
            DocId::Agent(name) => write!(f, "agents/{name}.toml"),
            DocId::Deployment(name) => write!(f, "deployments/{name}.toml"),
        }
    }
}

impl Serialize for DocId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which version of a document, or of all of them: a short hash of its text and of the recordings that it names. Secrets
/// are no part of it. Displays as 12 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision([u8; BYTES]);

/// 48 bits: enough to tell the versions of one configuration apart.
const BYTES: usize = 6;

impl Revision {
    /// What [`Display`](fmt::Display) writes, read again.
    pub fn parse(text: &str) -> Option<Revision> {
        let mut bytes = [0; BYTES];
        if text.len() != 2 * BYTES || !text.is_ascii() {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Revision(bytes))
    }

    /// Of a text that names nothing.
    pub fn of(text: &str) -> Revision {
        Hasher::new().with(text.as_bytes()).finish()
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Revision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Makes a [`Revision`] of several parts.
#[derive(Clone)]
pub(in crate::config) struct Hasher(digest::Context);

impl Hasher {
    pub(in crate::config) fn new() -> Self {
        Hasher(digest::Context::new(&digest::SHA256))
    }

    pub(in crate::config) fn with(mut self, part: &[u8]) -> Self {
        self.add(part);
        self
    }

    pub(in crate::config) fn add(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    pub(in crate::config) fn finish(self) -> Revision {
        let digest = self.0.finish();
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(&digest.as_ref()[..BYTES]);
        Revision(bytes)
    }

    pub(super) fn revision(&mut self, revision: Revision) {
        self.0.update(&revision.0);
    }
}

/// A change of a document that is in force from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Which document.
    pub doc: DocId,
    /// What was in force; `None`: nothing.
    pub from: Option<Revision>,
    /// What is; `None`: the document was deleted.
    pub to: Option<Revision>,
    /// When.
    #[serde(skip)]
    pub when: SystemTime,
    /// Who changed it, when that is known.
    pub who: Option<String>,
    /// By which way.
    pub by: By,
}

/// By which way a document was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Its file.
    File,
    /// The API.
    Api,
    /// The console.
    Console,
    /// `offhook restore`, or what does the same.
    Restore,
    /// Another server, by the store.
    Store,
}

/// A version of a document as it was read.
pub(in crate::config) struct Read {
    pub(in crate::config) id: DocId,
    /// Its path, for people.
    pub(in crate::config) file: Arc<str>,
    /// Its text, or why there is none.
    pub(in crate::config) text: Result<Arc<str>, String>,
    pub(in crate::config) revision: Revision,
    /// What was understood, as far as that goes; it means something only when the document [is good](Self::is_good).
    pub(super) draft: Option<Arc<Draft>>,
    /// What is wrong with it, whatever other documents say.
    pub(in crate::config) problems: Vec<Problem>,
    /// Why rules over all documents refuse it, which is among its problems.
    pub(super) refused: Option<String>,
}

impl fmt::Debug for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.revision)
    }
}

/// What a document says.
pub(super) enum Draft {
    Server(Box<Server>),
    Models(ModelsDraft),
    Agent(Box<AgentDraft>),
    Deployment(Box<DeploymentDraft>),
}

impl Read {
    /// Reads a document. `named` tells the revisions of the recordings that reading it came by, once it is read.
    pub(in crate::config) fn new(
        id: DocId,
        file: &str,
        text: Result<Arc<str>, String>,
        world: &dyn World,
        named: impl FnOnce() -> Vec<Revision>,
    ) -> Read {
        let mut problems = Vec::new();
        if !is_name(id.name()) {
            problems.push(Problem::error(&Place::file(file), "the file's name is not a name").allowed(NAME_SHAPE));
        }
        let draft = match &text {
            Ok(text) => {
                let source = reader::Text { file: file.into(), source: Arc::clone(text) };
                let (draft, noted) = reader::read_text(&source, |_, table| draft(&id, table, world));
                problems.extend(noted.problems);
                draft.map(Arc::new)
            }
            Err(why) => {
                problems.push(Problem::error(&Place::file(file), why));
                None
            }
        };
        let mut hasher = Hasher::new().with(text.as_deref().unwrap_or_default().as_bytes());
        for revision in named() {
            hasher.revision(revision);
        }
        Read { id, file: file.into(), text, revision: hasher.finish(), draft, problems, refused: None }
    }

    /// The same document, as one that may not be in force: `why` in short, and what is wrong.
    pub(in crate::config) fn refused(&self, why: String, problems: impl IntoIterator<Item = Problem>) -> Read {
        Read {
            id: self.id.clone(),
            file: Arc::clone(&self.file),
            text: self.text.clone(),
            revision: self.revision,
            draft: self.draft.clone(),
            problems: self.problems.iter().cloned().chain(problems).collect(),
            refused: Some(why),
        }
    }

    /// Whether there is nothing wrong with it in itself.
    pub(in crate::config) fn is_good(&self) -> bool {
        self.draft.is_some() && self.refused.is_none() && !self.problems.iter().any(Problem::is_error)
    }

    /// Secrets of the server that an agent's document names by their place, and did not name as it was `before`.
    pub(in crate::config) fn named_anew(&self, before: Option<&Read>) -> Vec<Problem> {
        let Some(agent) = self.agent() else { return Vec::new() };
        agent.uses.direct_but(before.and_then(Read::agent).map(|agent| &agent.uses))
    }

    pub(super) fn server(&self) -> Option<&Server> {
        match self.draft.as_deref() {
            Some(Draft::Server(server)) => Some(server),
            _ => None,
        }
    }

    pub(super) fn models(&self) -> Option<&ModelsDraft> {
        match self.draft.as_deref() {
            Some(Draft::Models(models)) => Some(models),
            _ => None,
        }
    }

    pub(super) fn agent(&self) -> Option<&AgentDraft> {
        match self.draft.as_deref() {
            Some(Draft::Agent(agent)) => Some(agent),
            _ => None,
        }
    }

    pub(super) fn deployment(&self) -> Option<&DeploymentDraft> {
        match self.draft.as_deref() {
            Some(Draft::Deployment(deployment)) => Some(deployment),
            _ => None,
        }
    }
}

fn draft(id: &DocId, table: Table<'_, '_>, world: &dyn World) -> Draft {
    match id {
        DocId::Server => Draft::Server(Box::new(server::read(table, world))),
        DocId::Models => Draft::Models(ModelsDraft::of(model::read(table), world)),
        DocId::Agent(name) => Draft::Agent(Box::new(agent::read(name, table, world))),
        DocId::Deployment(_) => Draft::Deployment(Box::new(deployment::read(table, world))),
    }
}
