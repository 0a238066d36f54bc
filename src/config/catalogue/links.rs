//! What documents say of each other: every reference followed, over one choice of versions.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use super::super::agent::AgentDraft;
use super::super::deployment::DeploymentDraft;
use super::super::link::{self, Known, Over};
use super::super::model::ModelDraft;
use super::super::problem::{Place, Problem};
use super::super::types::{NamedSecret, SecretBook};
use super::super::world::World;
use super::docs::{Doc, Docs};
use super::document::{DocId, Read};
use super::models::{Models, ModelsDraft};

/// One version of every document, as `pick` chooses it.
pub(super) struct View<'a, P> {
    docs: &'a Docs,
    pick: P,
    world: &'a dyn World,
    checks: &'a Checks,
}

/// What was found out between deployments and their agents while one change is applied. The same versions are looked at
/// several times: as they are chosen, as they are written, and as they are linked.
#[derive(Default)]
pub(super) struct Checks(RefCell<HashMap<Versions, Checked>>);

/// Of the deployment, its agent, `models.toml` and `offhook.toml`, each by its address: all of them are kept meanwhile.
type Versions = [Option<*const Read>; 4];

struct Checked {
    /// Until it is used.
    over: Option<Over>,
    problems: Vec<Problem>,
}

/// What is wrong between documents, and because of which others.
pub(super) struct Fault {
    pub(super) problems: Vec<Problem>,
    /// Those by which it may have come, the likeliest first.
    pub(super) by: Vec<DocId>,
}

/// What only one deployment can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Claim<'a> {
    Number(&'a str),
    Key(&'a str),
}

static NO_MODELS: LazyLock<ModelsDraft> = LazyLock::new(ModelsDraft::default);
static NO_SECRETS: LazyLock<SecretBook> = LazyLock::new(SecretBook::default);

impl<'a, P: Fn(&'a Doc) -> Option<&'a Arc<Read>>> View<'a, P> {
    pub(super) fn new(docs: &'a Docs, world: &'a dyn World, checks: &'a Checks, pick: P) -> Self {
        View { docs, pick, world, checks }
    }

    /// What agents and deployments can refer to.
    fn known(&self) -> Known<'a> {
        let read = (self.pick)(&self.docs.models);
        let models = read.and_then(|read| read.models());
        // Without the catalogue of models nobody can say that one is unknown.
        let drafts: Option<&BTreeMap<String, Option<ModelDraft>>> = match (read, models) {
            (Some(_), None) => None,
            _ => Some(&models.unwrap_or(&NO_MODELS).drafts),
        };
        let models = models.unwrap_or(&NO_MODELS);
        let server = (self.pick)(&self.docs.server).and_then(|read| read.server());
        let secrets = server.map_or(&*NO_SECRETS, |server| &server.secrets);
        known(drafts, &models.meant, models, secrets)
    }

    /// The agent `name`; `None`: there is no such document. The inner one: there is, and nothing in it is understood.
    fn agent(&self, name: &str) -> Option<Option<&'a AgentDraft>> {
        let doc = self.docs.agents.get(name)?;
        Some((self.pick)(doc).and_then(|read| read.agent()))
    }

    /// What is wrong with what an agent refers to.
    pub(super) fn of_agent(&self, agent: &AgentDraft) -> Vec<Problem> {
        // Secrets of a server that cannot be read are as unknown as models are.
        let secrets = (self.pick)(&self.docs.server).is_some_and(|read| read.server().is_some());
        link::check_agent(agent, &self.known(), secrets, self.world)
    }

    /// What is wrong between a deployment and its agent.
    pub(super) fn of_deployment(&self, read: &Read) -> Vec<Problem> {
        let Some(deployment) = read.deployment() else { return Vec::new() };
        let Some((name, place)) = &deployment.agent else { return Vec::new() };
        match self.agent(name) {
            None => {
                let agents = self.docs.agents.iter().filter(|(_, doc)| (self.pick)(doc).is_some());
                vec![link::unknown("agent", name, place, agents.map(|(name, _)| &**name), "agents/")]
            }
            Some(None) => Vec::new(),
            Some(Some(draft)) => {
                let of = [self.docs.agents.get(name.as_str()), Some(&self.docs.models), Some(&self.docs.server)];
                let [agent, models, server] = of.map(|doc| doc.and_then(&self.pick));
                let versions = versions(read, agent, models, server);
                let mut checks = self.checks.0.borrow_mut();
                let checked = checks.entry(versions).or_insert_with(|| {
                    let (over, problems) = link::check_deployment(deployment, draft, &self.known(), self.world);
                    Checked { over: Some(over), problems }
                });
                checked.problems.clone()
            }
        }
    }

    /// Whether `read`, in itself good, can be in force with the rest of the view. `is_out`: who of the view is not.
    pub(super) fn fault(&self, read: &Read, is_out: impl Fn(&DocId) -> bool) -> Option<Fault> {
        let models_out = (self.pick)(&self.docs.models).is_none() && self.docs.models.written.is_some();
        let needs_models = |place: &Place| {
            let problems = vec![Problem::error(place, "this model is in models.toml, which is not in force")];
            Some(Fault { problems, by: vec![DocId::Models] })
        };
        let mut by = vec![DocId::Models, DocId::Server];
        let mut problems = if let Some(agent) = read.agent() {
            let named = agent.model.iter().chain(&agent.text_model).chain(agent.text_models()).next();
            if let Some((_, place)) = named.filter(|_| models_out) {
                return needs_models(place);
            }
            self.of_agent(agent)
        } else {
            let deployment = read.deployment()?;
            let (name, place) = deployment.agent.as_ref()?;
            let agent = DocId::Agent(name.as_str().into());
            if let Some((_, place)) = deployment.model.iter().chain(&deployment.backup).next().filter(|_| models_out) {
                return needs_models(place);
            }
            let known = self.agent(name);
            by.insert(0, agent.clone());
            if known.is_some_and(|draft| draft.is_none() || is_out(&agent)) {
                return Some(Fault { problems: vec![Problem::error(place, "this agent is not in force")], by });
            }
            self.of_deployment(read)
        };
        problems.retain(Problem::is_error);
        (!problems.is_empty()).then_some(Fault { problems, by })
    }

    /// Deployments by what only one of them can have, in order of their names.
    pub(super) fn claims(&self) -> impl Iterator<Item = (Claim<'a>, Vec<&'a Arc<str>>)> {
        let mut claims: HashMap<Claim<'_>, Vec<&Arc<str>>> = HashMap::with_capacity(self.docs.deployments.len());
        for (name, doc) in &self.docs.deployments {
            let Some(deployment) = (self.pick)(doc).and_then(|read| read.deployment()) else { continue };
            if let Some((number, _)) = &deployment.number {
                claims.entry(Claim::Number(number)).or_default().push(name);
            }
            if let Some((key, _)) = &deployment.key {
                claims.entry(Claim::Key(key)).or_default().push(name);
            }
        }
        claims.into_iter().filter(|(_, names)| names.len() > 1)
    }
}

impl Checks {
    /// What a deployment has otherwise than its agent, if it was found out already.
    pub(super) fn over(
        &self,
        read: &Read,
        agent: &Arc<Read>,
        models: Option<&Arc<Read>>,
        server: Option<&Arc<Read>>,
    ) -> Option<Over> {
        self.0.borrow_mut().get_mut(&versions(read, Some(agent), models, server))?.over.take()
    }
}

fn versions(
    read: &Read,
    agent: Option<&Arc<Read>>,
    models: Option<&Arc<Read>>,
    server: Option<&Arc<Read>>,
) -> Versions {
    [Some(std::ptr::from_ref(read)), agent.map(Arc::as_ptr), models.map(Arc::as_ptr), server.map(Arc::as_ptr)]
}

impl Claim<'_> {
    /// What another does who has it.
    pub(super) fn had(self) -> &'static str {
        match self {
            Claim::Number(_) => "answers this number",
            Claim::Key(_) => "has this key",
        }
    }

    /// Said of the one of two deployments, `read`, that claims what the other has.
    pub(super) fn taken(self, read: &Read, other: &Read) -> Option<Problem> {
        let place = |read: &Read| {
            let deployment = read.deployment()?;
            let claimed = match self {
                Claim::Number(_) => deployment.number.as_ref(),
                Claim::Key(_) => deployment.key.as_ref(),
            };
            claimed.map(|(_, place)| place.clone())
        };
        let allowed = match self {
            Claim::Number(_) => "one deployment per number",
            Claim::Key(_) => "one key per deployment",
        };
        let message = format!("another deployment {} too: {}", self.had(), place(other)?.name());
        Some(Problem::error(&place(read)?, message).allowed(allowed))
    }
}

/// What agents and deployments refer to; `meant`: the models of `models` as they are used.
pub(super) fn known<'a>(
    drafts: Option<&'a BTreeMap<String, Option<ModelDraft>>>,
    meant: &'a Models,
    models: &'a ModelsDraft,
    secrets: &'a SecretBook,
) -> Known<'a> {
    Known { models: drafts, realtime: &meant.realtime, texts: &meant.text, missing: &models.missing, secrets }
}

/// Whether agents can do the same with both.
pub(super) fn is_same_book(a: &SecretBook, b: &SecretBook) -> bool {
    let same = |((name, a), (of, b)): ((_, &NamedSecret), (_, &NamedSecret))| {
        name == of && a.value == b.value && a.hosts == b.hosts
    };
    a.own == b.own && a.named.len() == b.named.len() && a.named.iter().zip(&b.named).all(same)
}

/// All models that an agent names.
pub(super) fn models_of_agent(agent: &AgentDraft) -> impl Iterator<Item = &str> {
    agent.model.iter().chain(&agent.text_model).chain(agent.text_models()).map(|(name, _)| name.as_str())
}

/// All models that a deployment names.
pub(super) fn models_of_deployment(deployment: &DeploymentDraft) -> impl Iterator<Item = &str> {
    deployment.model.iter().chain(&deployment.backup).map(|(name, _)| name.as_str())
}
