//! What documents say of each other: every reference followed, over one choice of versions.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::agent::AgentDraft;
use super::super::deployment::DeploymentDraft;
use super::super::model::ModelDraft;
use super::super::problem::{Place, Problem, nearest};
use super::super::tools;
use super::document::{DocId, Read};
use super::models::ModelsDraft;
use super::{Doc, Docs};

/// One version of every document, as `pick` chooses it.
pub(super) struct View<'a, P> {
    docs: &'a Docs,
    pick: P,
}

/// What is wrong between documents, and because of which others.
pub(super) struct Fault {
    pub(super) problems: Vec<Problem>,
    /// Those by which it may have come.
    pub(super) by: Vec<DocId>,
}

impl<'a, P: Fn(&'a Doc) -> Option<&'a Arc<Read>>> View<'a, P> {
    pub(super) fn new(docs: &'a Docs, pick: P) -> Self {
        View { docs, pick }
    }

    pub(super) fn models(&self) -> Option<&'a ModelsDraft> {
        (self.pick)(&self.docs.models)?.models()
    }

    /// The agent `name`; `None`: there is no such document. The inner one: there is, and nothing in it is understood.
    fn agent(&self, name: &str) -> Option<Option<&'a AgentDraft>> {
        let doc = self.docs.agents.get(name)?;
        Some((self.pick)(doc).and_then(|read| read.agent()))
    }

    /// What is wrong with the models that an agent names.
    pub(super) fn of_agent(&self, agent: &AgentDraft) -> Vec<Problem> {
        let mut problems = Vec::new();
        // Without the catalogue nobody can say that a model is unknown.
        let models = match ((self.pick)(&self.docs.models), self.models()) {
            (Some(_), None) => return problems,
            (_, models) => models,
        };
        let mut check = |(name, place): &(String, Place), realtime: bool| {
            let fits = |draft: &Option<ModelDraft>| draft.as_ref().is_none_or(|model| model.is_realtime() == realtime);
            let all = models.iter().flat_map(|models| &models.drafts);
            let fitting = all.filter(|(_, draft)| fits(draft)).map(|(name, _)| name.as_str());
            match models.and_then(|models| models.drafts.get(name)) {
                None => problems.push(unknown("model", name, place, fitting, "models.toml")),
                Some(draft) if !fits(draft) => {
                    let message = match realtime {
                        true => "is a text model, and a call needs one that speaks",
                        false => "is a model for calls, and this needs one with kind = \"text\"",
                    };
                    let names: Vec<_> = fitting.take(MAX_LISTED).collect();
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
        problems
    }

    /// What is wrong between a deployment and its agent, as said of the deployment.
    pub(super) fn of_deployment(&self, deployment: &DeploymentDraft) -> Vec<Problem> {
        let mut problems = Vec::new();
        let Some((name, place)) = &deployment.agent else { return problems };
        let Some(agent) = self.agent(name) else {
            let known = self.docs.agents.iter().filter(|(_, doc)| (self.pick)(doc).is_some()).map(|(name, _)| &**name);
            return vec![unknown("agent", name, place, known, "agents/")];
        };
        let Some(agent) = agent else { return problems };
        problems.extend(deployment.variables.iter().filter_map(|(name, place)| agent.scope.problem(name, place)));
        if let Some(place) = deployment.needs_price()
            && let Some((model, _)) = &agent.model
            && let Some(Some(draft)) = self.models().and_then(|models| models.drafts.get(model))
            && !draft.has_price()
        {
            let message = format!("means nothing: the model {model:?} has no price");
            problems.push(Problem::error(place, message).allowed(format!("a table [{model}.price] in models.toml")));
        }
        problems
    }

    /// Whether `read`, in itself good, can be in force with the rest of the view. `is_out`: who of the view is not.
    pub(super) fn fault(&self, read: &Read, is_out: impl Fn(&DocId) -> bool) -> Option<Fault> {
        if let Some(agent) = read.agent() {
            let problems = match self.models() {
                None => vec![Problem::error(&Place::file(&read.file), "needs models.toml, which is not in force")],
                Some(_) => self.of_agent(agent),
            };
            return (!problems.is_empty()).then(|| Fault { problems, by: vec![DocId::Models] });
        }
        let deployment = read.deployment()?;
        let (name, place) = deployment.agent.as_ref()?;
        let id = DocId::Agent(name.as_str().into());
        let agent = self.agent(name).flatten().filter(|_| !is_out(&id));
        let Some(agent) = agent else {
            let problems = match self.docs.agents.contains_key(name.as_str()) {
                false => self.of_deployment(deployment),
                true => vec![Problem::error(place, "this agent is not in force")],
            };
            return Some(Fault { problems, by: vec![id] });
        };
        let mut problems = self.of_deployment(deployment);
        problems.extend(agent.missing.iter().cloned());
        if let Some(models) = self.models() {
            problems.extend(names_of_models(agent).filter_map(|name| models.missing.get(name)).flatten().cloned());
        }
        (!problems.is_empty()).then(|| Fault { problems, by: vec![id, DocId::Models] })
    }

    /// Deployments by what only one of them can have, in order of their names.
    pub(super) fn claims(&self) -> HashMap<&'a str, Vec<&'a Arc<str>>> {
        let mut claims: HashMap<&str, Vec<&Arc<str>>> = HashMap::with_capacity(self.docs.deployments.len());
        for (name, doc) in &self.docs.deployments {
            if let Some(number) = (self.pick)(doc).and_then(|read| claim(read)) {
                claims.entry(number).or_default().push(name);
            }
        }
        claims
    }
}

/// What nobody else may answer: a deployment's number.
pub(super) fn claim(read: &Read) -> Option<&str> {
    read.deployment()?.number.as_ref().map(|(number, _)| number.as_str())
}

/// Said of the one of two deployments, `read`, that has the other's number.
pub(super) fn taken(read: &Read, other: &Read) -> Option<Problem> {
    let place = |read: &Read| Some(read.deployment()?.number.as_ref()?.1.clone());
    let message = format!("another deployment answers this number too: {}", place(other)?.name());
    Some(Problem::error(&place(read)?, message).allowed("one deployment per number"))
}

/// All models that an agent needs.
pub(super) fn names_of_models(agent: &AgentDraft) -> impl Iterator<Item = &str> {
    agent.model.iter().chain(agent.text_models()).map(|(name, _)| name.as_str())
}

fn unknown<'a>(
    what: &str,
    name: &str,
    place: &Place,
    known: impl Iterator<Item = &'a str> + Clone,
    home: &str,
) -> Problem {
    let message = match nearest(name, known.clone()) {
        Some(meant) => format!("there is no {what} {name:?}; did you mean {meant:?}?"),
        None => format!("there is no {what} {name:?}"),
    };
    let mut names: Vec<&str> = known.take(MAX_LISTED + 1).collect();
    if names.len() > MAX_LISTED {
        names[MAX_LISTED] = "…";
    }
    let allowed = if names.is_empty() { format!("none: {home} has none") } else { names.join(", ") };
    Problem::error(place, message).allowed(allowed)
}

/// Names in one message.
const MAX_LISTED: usize = 20;
