//! What is in force made of the versions that were chosen. What is made of the same again is the same value.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use super::super::agent::AgentDraft;
use super::super::deployment::DeploymentDraft;
use super::super::link::{self, Known, Linked as Made, Over};
use super::super::types::{Agent, ChatDeployment, Config, Deployment, Persona, SecretBook};
use super::super::world::World;
use super::docs::Doc;
use super::links::{Checks, is_same_book, known, models_of_agent, models_of_deployment};
use super::models::{Models, ModelsDraft, Used};
use super::{Catalogue, DocId, Hasher, Pin, Read};

/// What is in force of a document, and what it was made of.
#[derive(Clone, Default)]
pub(super) enum Linked {
    #[default]
    Nothing,
    /// By itself, if it can be, and on every channel.
    Agent(Option<Arc<Agent>>, Arc<Persona>, MadeOf),
    Phone(Arc<Deployment>, MadeOf),
    Chat(Arc<ChatDeployment>, MadeOf),
}

/// What a value was made of: with the same again it is the same value.
#[derive(Clone)]
pub(super) struct MadeOf {
    /// The document, and the agent's.
    reads: Vec<Arc<Read>>,
    models: Vec<Used>,
    secrets: Arc<SecretBook>,
    /// `offhook.toml` and `models.toml` as they were then. They may change without any difference to the value.
    around: Pin,
}

/// What agents and deployments are made with.
struct Making<'a> {
    models: &'a Models,
    secrets: &'a Arc<SecretBook>,
    known: Known<'a>,
    around: Pin,
    /// `models.toml` and `offhook.toml`.
    reads: [Option<&'a Arc<Read>>; 2],
    checks: &'a Checks,
    world: &'a dyn World,
}

impl Catalogue {
    /// Makes what is in force of what was chosen.
    pub(super) fn link(&mut self, touched: &BTreeSet<DocId>, world: &dyn World, checks: &Checks) {
        let Some(server) = self.docs.server.good.as_ref().and_then(|read| read.server()).cloned() else { return };
        let first = self.config.is_none();
        let mut config = self.config.take().unwrap_or_else(|| Config::new(server.clone()));
        if !is_same_book(&self.secrets, &server.secrets) {
            self.secrets = Arc::clone(&server.secrets);
        }
        config.server = server;
        let none = ModelsDraft::default();
        let models_read = self.docs.models.good.clone();
        let draft = models_read.as_ref().and_then(|read| read.models()).unwrap_or(&none);
        if first || touched.contains(&DocId::Models) {
            self.models = Arc::new(Models::of(draft, &self.models));
            config.models = draft.cards();
        }
        let (models, secrets) = (Arc::clone(&self.models), Arc::clone(&self.secrets));
        let server_read = self.docs.server.good.clone();
        let making = Making {
            models: &models,
            secrets: &secrets,
            known: known(Some(&draft.drafts), &models, draft, &secrets),
            around: server_read.iter().chain(&models_read).cloned().collect(),
            reads: [models_read.as_ref(), server_read.as_ref()],
            checks,
            world,
        };
        let all = first.then(|| self.docs.iter().map(|(id, _)| id).collect::<Vec<_>>());
        let some = touched.iter().filter(|_| !first).cloned();
        // Agents come before the deployments that refer to them.
        for id in all.into_iter().flatten().chain(some) {
            match &id {
                DocId::Agent(name) => {
                    let doc = self.docs.agents.get_mut(name);
                    let made = doc.and_then(|doc| doc.link_agent(&making));
                    match made {
                        Some((alone, persona)) => {
                            match alone {
                                Some(alone) => config.agents.insert(name.to_string(), alone),
                                None => config.agents.remove(&**name),
                            };
                            config.personas.insert(name.to_string(), persona);
                        }
                        None => {
                            config.agents.remove(&**name);
                            config.personas.remove(&**name);
                        }
                    }
                }
                DocId::Deployment(name) => {
                    let Some(doc) = self.docs.deployments.get_mut(name) else {
                        config.remove_deployment(name);
                        continue;
                    };
                    self.former.extend(doc.former());
                    match doc.link_deployment(name, &self.docs.agents, &making) {
                        Some(Made::Phone(deployment)) => config.set_deployment(name, deployment),
                        Some(Made::Chat(chat)) => config.set_chat(name, chat),
                        None => config.remove_deployment(name),
                    }
                }
                DocId::Server | DocId::Models => {}
            }
        }
        // One without a model of its own talks as it does on its first phone.
        let mut on_phones: BTreeMap<&str, &Arc<Agent>> = BTreeMap::new();
        let some = self.docs.agents.values().any(|doc| matches!(doc.linked, Linked::Agent(None, ..)));
        for deployment in config.deployments.values().filter(|_| some) {
            on_phones.entry(&deployment.agent.name).or_insert(&deployment.agent);
        }
        for (name, doc) in &self.docs.agents {
            if let Linked::Agent(None, ..) = doc.linked {
                match on_phones.get(&**name) {
                    Some(agent) => config.agents.insert(name.to_string(), Arc::clone(agent)),
                    None => config.agents.remove(&**name),
                };
            }
        }
        let mut hasher = Hasher::new();
        for (id, read) in self.all_in_force() {
            hasher.add(match id {
                DocId::Agent(_) => b"a",
                DocId::Deployment(_) => b"d",
                DocId::Server | DocId::Models => b"",
            });
            hasher.add(id.name().as_bytes());
            hasher.revision(read.revision);
        }
        config.revision = hasher.finish().to_string();
        // One that is still in force is not former, nor is one that nobody has.
        let docs = &self.docs;
        self.former.retain(|(former, _)| former.strong_count() > 0 && !docs.is_linked(former));
        self.config = Some(config);
    }
}

impl Doc {
    /// The deployment that is in force, and the documents that it was made of.
    pub(super) fn former(&self) -> Option<(Weak<Deployment>, Pin)> {
        match &self.linked {
            Linked::Phone(deployment, made_of) => Some((Arc::downgrade(deployment), made_of.pin())),
            _ => None,
        }
    }

    fn link_agent(&mut self, making: &Making<'_>) -> Option<(Option<Arc<Agent>>, Arc<Persona>)> {
        let before = std::mem::take(&mut self.linked);
        let read = self.good.as_ref().filter(|_| self.out.is_none())?;
        let draft = read.agent()?;
        let made_of = MadeOf {
            reads: vec![Arc::clone(read)],
            models: making.models.used(models_of_agent(draft)),
            secrets: Arc::clone(making.secrets),
            around: Arc::from([]),
        };
        let (alone, persona) = match before {
            Linked::Agent(alone, persona, of) if of.is(&made_of) => (alone, persona),
            _ => (link::agent(draft, &making.known), link::persona(draft, &making.known)),
        };
        self.linked = Linked::Agent(alone.clone(), Arc::clone(&persona), made_of);
        Some((alone, persona))
    }

    fn link_deployment(&mut self, name: &str, agents: &BTreeMap<Arc<str>, Doc>, making: &Making<'_>) -> Option<Made> {
        let before = std::mem::take(&mut self.linked);
        let read = self.good.as_ref().filter(|_| self.out.is_none())?;
        let draft = read.deployment()?;
        let agent = agents.get(draft.agent.as_ref()?.0.as_str())?;
        let Linked::Agent(alone, persona, _) = &agent.linked else { return None };
        let agent = agent.good.as_ref()?;
        let agent_draft = agent.agent()?;
        let made_of = MadeOf {
            reads: vec![Arc::clone(read), Arc::clone(agent)],
            models: making.models.used(models_of_deployment(draft).chain(models_of_agent(agent_draft))),
            secrets: Arc::clone(making.secrets),
            around: Arc::clone(&making.around),
        };
        let (made, made_of) = match before {
            Linked::Phone(deployment, of) if of.is(&made_of) => (Made::Phone(deployment), of),
            Linked::Chat(chat, of) if of.is(&made_of) => (Made::Chat(chat), of),
            _ => {
                let over = making.over(read, draft, agent, agent_draft);
                (link::deployment(name, draft, over, agent_draft, alone.as_ref(), persona, &making.known)?, made_of)
            }
        };
        self.linked = match made.clone() {
            Made::Phone(deployment) => Linked::Phone(deployment, made_of),
            Made::Chat(chat) => Linked::Chat(chat, made_of),
        };
        Some(made)
    }
}

impl Making<'_> {
    /// What a deployment has otherwise than its agent.
    fn over(&self, read: &Read, draft: &DeploymentDraft, agent: &Arc<Read>, agent_draft: &AgentDraft) -> Over {
        let [models, server] = self.reads;
        let found = self.checks.over(read, agent, models, server);
        found.unwrap_or_else(|| link::check_deployment(draft, agent_draft, &self.known, self.world).0)
    }
}

impl MadeOf {
    fn pin(&self) -> Pin {
        self.around.iter().chain(&self.reads).cloned().collect()
    }

    fn is(&self, other: &MadeOf) -> bool {
        let reads = self.reads.len() == other.reads.len()
            && self.reads.iter().zip(&other.reads).all(|(a, b)| Arc::ptr_eq(a, b));
        let models =
            self.models.len() == other.models.len() && self.models.iter().zip(&other.models).all(|(a, b)| a.is(b));
        reads && models && Arc::ptr_eq(&self.secrets, &other.secrets)
    }
}
