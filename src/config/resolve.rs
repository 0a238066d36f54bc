//! From documents to the configuration as meant: every document read, every reference followed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::agent::{self, AgentDraft};
use super::deployment::{self, DeploymentDraft};
use super::link::{self, Known, Linked, Over};
use super::model::{self, Meant, ModelDraft};
use super::problem::{Place, Problem, Problems};
use super::reader::{self, Table};
use super::types::{Config, ModelCard};
use super::world::World;
use super::{server, types};

/// All documents of a configuration.
#[derive(Debug)]
pub(super) struct Documents {
    /// `offhook.toml`.
    pub(super) server: Document,
    /// `models.toml`; absent, there are no models.
    pub(super) models: Option<Document>,
    pub(super) agents: Vec<Document>,
    pub(super) deployments: Vec<Document>,
}

/// One document.
#[derive(Debug)]
pub(super) struct Document {
    /// Its path, for people.
    pub(super) file: String,
    /// The file's stem.
    pub(super) name: String,
    /// Its text, or why there is none.
    pub(super) text: Result<String, String>,
}

/// What came of the documents.
#[derive(Debug)]
pub(super) struct Resolved {
    /// `None` when there are errors.
    pub(super) config: Option<Config>,
    /// Errors and warnings.
    pub(super) problems: Problems,
    /// Name and endpoint of every model that could be read.
    pub(super) models: Vec<(String, String)>,
}

/// Reads all documents. The configuration's revision is left empty: only the caller knows all that was read.
pub(super) fn resolve(documents: Documents, world: &dyn World) -> Resolved {
    let mut problems = Vec::new();
    let server = open(&documents.server, &mut problems, |table| server::read(table, world));
    let models = documents.models.as_ref().and_then(|d| open(d, &mut problems, model::read));
    // Without the catalogue nobody can say that a model is unknown.
    let models_known = documents.models.is_none() || models.is_some();
    let models: BTreeMap<String, Option<ModelDraft>> = models.into_iter().flatten().collect();

    let mut missing = BTreeMap::new();
    let mut meant_models = Models::default();
    for (name, draft) in &models {
        let Some(draft) = draft else { continue };
        let meant = draft.with_secrets(world).unwrap_or_else(|problems| {
            missing.insert(name.clone(), problems);
            draft.without_secrets()
        });
        match meant {
            Meant::Realtime(model) => drop(meant_models.realtime.insert(name.clone(), model)),
            Meant::Text(model) => drop(meant_models.text.insert(name.clone(), model)),
        }
    }
    let secrets = server.as_ref().map(|server| Arc::clone(&server.secrets)).unwrap_or_default();
    let known = Known {
        models: models_known.then_some(&models),
        realtime: &meant_models.realtime,
        texts: &meant_models.text,
        missing: &missing,
        secrets: &secrets,
    };

    let mut agents: BTreeMap<String, Option<AgentDraft>> = BTreeMap::new();
    for document in &documents.agents {
        check_name(document, &mut problems);
        let draft = open(document, &mut problems, |table| agent::read(&document.name, table, world));
        if let Some(draft) = &draft {
            // Secrets of a server that cannot be read are as unknown as models are.
            let checked = link::check_agent(draft, &known, server.is_some(), world);
            problems.extend(checked);
        }
        agents.insert(document.name.clone(), draft);
    }

    let mut deployments: Vec<(String, DeploymentDraft, Over)> = Vec::new();
    let (mut numbers, mut keys) = (BTreeMap::new(), BTreeMap::new());
    for document in &documents.deployments {
        check_name(document, &mut problems);
        let Some(draft) = open(document, &mut problems, |table| deployment::read(table, world)) else { continue };
        if let Some((name, place)) = draft.agent.as_ref().filter(|(name, _)| !agents.contains_key(name)) {
            problems.push(link::unknown("agent", name, place, agents.keys().map(String::as_str), "agents/"));
        }
        problems.extend(taken(&mut numbers, draft.number.as_ref(), "answers this number", "one deployment per number"));
        problems.extend(taken(&mut keys, draft.key.as_ref(), "has this key", "one key per deployment"));
        let mut over = Over::default();
        if let Some(Some(agent)) = draft.agent.as_ref().and_then(|(name, _)| agents.get(name)).map(Option::as_ref) {
            let (read, wrong) = link::check_deployment(&draft, agent, &known, world);
            over = read;
            for problem in wrong {
                // Two deployments may have one agent, and what it lacks.
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
        }
        deployments.push((document.name.clone(), draft, over));
    }

    if let Some(server) = server.as_ref().filter(|_| !problems.iter().any(Problem::is_error)) {
        let place = Place::file(&documents.server.file);
        problems.extend(server::doubts(server, &place));
        if deployments.is_empty() {
            problems.push(Problem::warning(&place, "there is no document in deployments/: no number will be answered"));
        }
    }

    let problems = Problems::new(problems);
    let config = match server {
        Some(server) if !problems.has_errors() => {
            let mut config = Config {
                server,
                deployments: BTreeMap::new(),
                chats: BTreeMap::new(),
                agents: BTreeMap::new(),
                personas: BTreeMap::new(),
                models: cards(&models),
                revision: String::new(),
            };
            let drafts = |name: &str| agents.get(name).and_then(Option::as_ref);
            for (name, draft) in agents.iter().filter_map(|(name, draft)| Some((name, draft.as_ref()?))) {
                config.personas.insert(name.clone(), link::persona(draft, &known));
                config.agents.extend(link::agent(draft, &known).map(|agent| (name.clone(), agent)));
            }
            for (name, draft, over) in deployments {
                let Some((of, draft_of)) = draft.agent.as_ref().and_then(|(of, _)| Some((of, drafts(of)?))) else {
                    continue;
                };
                let Some(persona) = config.personas.get(of) else { continue };
                let alone = config.agents.get(of);
                match link::deployment(&name, &draft, over, draft_of, alone, persona, &known) {
                    Some(Linked::Phone(deployment)) => {
                        config.agents.entry(of.clone()).or_insert_with(|| Arc::clone(&deployment.agent));
                        config.deployments.insert(name, deployment);
                    }
                    Some(Linked::Chat(chat)) => drop(config.chats.insert(name, chat)),
                    None => {}
                }
            }
            Some(config)
        }
        _ => None,
    };
    let models = models.values().flatten().map(|m| (m.name().to_owned(), m.endpoint().to_owned())).collect();
    Resolved { config, problems, models }
}

/// Models as meant.
#[derive(Default)]
struct Models {
    realtime: BTreeMap<String, Arc<types::Model>>,
    text: BTreeMap<String, Arc<types::TextModel>>,
}

fn cards(models: &BTreeMap<String, Option<ModelDraft>>) -> BTreeMap<String, Arc<ModelCard>> {
    let known = models.iter().filter_map(|(name, draft)| Some((name, draft.as_ref()?)));
    known.map(|(name, draft)| (name.clone(), Arc::clone(draft.card()))).collect()
}

/// Says that another deployment has the same `value`, of which there is to be one.
fn taken(
    all: &mut BTreeMap<String, String>,
    value: Option<&(String, Place)>,
    does: &str,
    allowed: &str,
) -> Option<Problem> {
    let (value, place) = value?;
    if let Some(other) = all.get(value) {
        return Some(Problem::error(place, format!("another deployment {does} too: {other}")).allowed(allowed));
    }
    all.insert(value.clone(), place.name());
    None
}

/// Reads one document; its problems go to `problems`.
fn open<T>(document: &Document, problems: &mut Vec<Problem>, read: impl FnOnce(Table<'_, '_>) -> T) -> Option<T> {
    match &document.text {
        Ok(text) => {
            let text = reader::Text { file: document.file.as_str().into(), source: text.as_str().into() };
            let (value, noted) = reader::read_text(&text, |_, table| read(table));
            problems.extend(noted.problems);
            value
        }
        Err(why) => {
            problems.push(Problem::error(&Place::file(&document.file), why));
            None
        }
    }
}

fn check_name(document: &Document, problems: &mut Vec<Problem>) {
    if !super::is_name(&document.name) {
        let place = Place::file(&document.file);
        problems.push(Problem::error(&place, "the file's name is not a name").allowed(super::NAME_SHAPE));
    }
}
