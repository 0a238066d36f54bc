//! From documents to the configuration as meant: every document read, every reference followed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::agent::{self, AgentDraft};
use super::deployment::{self, DeploymentDraft};
use super::model::{self, Meant, ModelDraft};
use super::problem::{Place, Problem, Problems, nearest};
use super::reader::{self, Table};
use super::types::{Agent, Config, Deployment};
use super::world::World;
use super::{server, tools, types};

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

    let mut agents: BTreeMap<String, Option<AgentDraft>> = BTreeMap::new();
    for document in &documents.agents {
        check_name(document, &mut problems);
        let draft = open(document, &mut problems, |table| agent::read(&document.name, table, world));
        if let Some(draft) = draft.as_ref().filter(|_| models_known) {
            check_models(draft, &models, &mut problems);
        }
        agents.insert(document.name.clone(), draft);
    }

    let mut deployments: Vec<(String, DeploymentDraft)> = Vec::new();
    let mut numbers: BTreeMap<String, String> = BTreeMap::new();
    for document in &documents.deployments {
        check_name(document, &mut problems);
        let Some(draft) = open(document, &mut problems, |table| deployment::read(table, world)) else { continue };
        if let Some((name, place)) = draft.agent.as_ref().filter(|(name, _)| !agents.contains_key(name)) {
            problems.push(unknown("agent", name, place, agents.keys(), "agents/"));
        }
        if let Some((number, place)) = &draft.number {
            match numbers.get(number) {
                Some(other) => {
                    let message = format!("another deployment answers this number too: {other}");
                    problems.push(Problem::error(place, message).allowed("one deployment per number"));
                }
                None => {
                    numbers.insert(number.clone(), place.name());
                }
            }
        }
        if let Some(Some(agent)) = draft.agent.as_ref().map(|(name, _)| agents.get(name))
            && let Some(agent) = agent
        {
            problems.extend(draft.variables.iter().filter_map(|(name, place)| agent.scope.problem(name, place)));
        }
        if let Some(place) = draft.needs_price()
            && let Some(Some(agent)) = draft.agent.as_ref().map(|(name, _)| agents.get(name))
            && let Some((model, _)) = agent.as_ref().and_then(|agent| agent.model.as_ref())
            && models.get(model).is_some_and(|m| m.as_ref().is_some_and(|m| !m.has_price()))
        {
            let message = format!("means nothing: the model {model:?} has no price");
            problems.push(Problem::error(place, message).allowed(format!("a table [{model}.price] in models.toml")));
        }
        deployments.push((document.name.clone(), draft));
    }

    // Secrets are demanded of models that calls will use, and looked up once each.
    let used_agents: Vec<&str> =
        deployments.iter().filter_map(|(_, d)| d.agent.as_ref()).map(|(name, _)| name.as_str()).collect();
    let used_agents: Vec<&AgentDraft> = used_agents.iter().filter_map(|name| agents.get(*name)?.as_ref()).collect();
    let used: Vec<&str> = used_agents
        .iter()
        .flat_map(|agent| agent.model.iter().chain(agent.text_models()))
        .map(|(name, _)| name.as_str())
        .collect();
    let mut told = Vec::new();
    for agent in used_agents {
        for missing in &agent.missing {
            // Two numbers may have one agent.
            if !told.contains(missing) {
                told.push(missing.clone());
            }
        }
    }
    problems.extend(told);
    let mut meant_models = Models::default();
    for (name, draft) in &models {
        let Some(draft) = draft else { continue };
        let meant = draft.with_secrets(world).unwrap_or_else(|missing| {
            if used.contains(&name.as_str()) {
                problems.extend(missing);
            }
            draft.without_secrets()
        });
        match meant {
            Meant::Realtime(model) => drop(meant_models.realtime.insert(name.clone(), model)),
            Meant::Text(model) => drop(meant_models.text.insert(name.clone(), model)),
        }
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
            let agents = meant_agents(&agents, &meant_models);
            let deployments = meant_deployments(&deployments, &agents);
            Some(Config { server, deployments, agents, revision: String::new() })
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

/// Whether the models that an agent names are there, and of the kind that is needed.
fn check_models(agent: &AgentDraft, models: &BTreeMap<String, Option<ModelDraft>>, problems: &mut Vec<Problem>) {
    let mut check = |(name, place): &(String, Place), realtime: bool| {
        let fits = |draft: &Option<ModelDraft>| draft.as_ref().is_none_or(|model| model.is_realtime() == realtime);
        let fitting = models.iter().filter(|(_, draft)| fits(draft)).map(|(name, _)| name);
        match models.get(name) {
            None => problems.push(unknown("model", name, place, fitting, "models.toml")),
            Some(draft) if !fits(draft) => {
                let message = match realtime {
                    true => "is a text model, and a call needs one that speaks",
                    false => "is a model for calls, and this needs one with kind = \"text\"",
                };
                let names: Vec<_> = fitting.map(String::as_str).take(MAX_LISTED).collect();
                problems.push(Problem::error(place, message).allowed(names.join(", ")));
            }
            Some(Some(model)) if realtime && !model.takes_mcp() => {
                problems.extend(agent.mcp.as_ref().map(|place| tools::no_mcp(name, place)));
            }
            Some(_) => {}
        }
    };
    if let Some(model) = &agent.model {
        check(model, true);
    }
    for model in agent.text_models() {
        check(model, false);
    }
}

/// Reads one document; its problems go to `problems`.
fn open<T>(document: &Document, problems: &mut Vec<Problem>, read: impl FnOnce(Table<'_, '_>) -> T) -> Option<T> {
    match &document.text {
        Ok(text) => {
            let (value, noted) = reader::read(&document.file, text, |_, table| read(table));
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

fn unknown<'a>(
    what: &str,
    name: &str,
    place: &Place,
    known: impl Iterator<Item = &'a String> + Clone,
    home: &str,
) -> Problem {
    let message = match nearest(name, known.clone().map(String::as_str)) {
        Some(meant) => format!("there is no {what} {name:?}; did you mean {meant:?}?"),
        None => format!("there is no {what} {name:?}"),
    };
    let mut names: Vec<&str> = known.map(String::as_str).take(MAX_LISTED + 1).collect();
    if names.len() > MAX_LISTED {
        names[MAX_LISTED] = "…";
    }
    let allowed = if names.is_empty() { format!("none: {home} has none") } else { names.join(", ") };
    Problem::error(place, message).allowed(allowed)
}

fn meant_agents(drafts: &BTreeMap<String, Option<AgentDraft>>, models: &Models) -> BTreeMap<String, Arc<Agent>> {
    let meant = |(name, draft): (&String, &Option<AgentDraft>)| {
        let draft = draft.as_ref()?;
        let model = models.realtime.get(&draft.model.as_ref()?.0)?.clone();
        Some((name.clone(), Arc::new(draft.resolve(model, &models.text))))
    };
    drafts.iter().filter_map(meant).collect()
}

fn meant_deployments(
    drafts: &[(String, DeploymentDraft)],
    agents: &BTreeMap<String, Arc<Agent>>,
) -> BTreeMap<String, Arc<Deployment>> {
    let meant = |(name, draft): &(String, DeploymentDraft)| {
        let agent = agents.get(&draft.agent.as_ref()?.0)?.clone();
        let deployment = draft.resolve(name, agent)?;
        Some((name.clone(), Arc::new(deployment)))
    };
    drafts.iter().filter_map(meant).collect()
}

/// Names in one message.
const MAX_LISTED: usize = 20;
