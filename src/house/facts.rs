//! A catalogue as the rules see it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::models;
use crate::config::{
    Agent, AgentStanding, Channel, ChatDeployment, Config, Deployment, ModelCard, ModelKind, Persona, Plan, Question,
    Standing, StoreSettings, Tier, ValueOrigin,
};

/// A catalogue as the rules see it.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// Agents by name.
    pub agents: BTreeMap<&'a str, AgentFacts<'a>>,
    /// Deployments by name.
    pub deployments: BTreeMap<&'a str, DeploymentFacts<'a>>,
    /// Models by name.
    pub models: BTreeMap<&'a str, &'a ModelCard>,
    /// `[plan]`.
    pub plan: Plan,
    /// `[residency] tier`.
    pub tier: Tier,
    /// `[store]`: how long calls are kept.
    pub store: StoreSettings,
}

/// An agent as the rules see it.
#[derive(Clone, Debug)]
pub struct AgentFacts<'a> {
    /// What it is on every channel.
    pub standing: &'a AgentStanding,
    /// The model of its phones that name none.
    pub model: Option<&'a str>,
    /// The model of its chats that name none.
    pub text_model: Option<&'a str>,
    /// Models that it has for something else, by the key that names them: `analysis.model`, `qc.model` (RES-10).
    pub others: Vec<(&'static str, &'a str)>,
}

/// A deployment as the rules see it.
#[derive(Clone, Debug)]
pub struct DeploymentFacts<'a> {
    /// What it is whatever its channel.
    pub standing: &'a Standing,
    /// The model that its own document names; `None`: the agent's.
    pub model: Option<&'a str>,
    /// Its backup model.
    pub backup: Option<&'a str>,
    /// Its voice, its own or the agent's.
    pub voice: Option<&'a str>,
    /// Whether it has a number.
    pub has_number: bool,
}

impl<'a> Facts<'a> {
    /// Of documents that were read.
    pub fn of(config: &'a Config) -> Self {
        // There may be thousands of each, so none is searched for or looked into twice.
        let phones = config.deployments.iter().map(|(name, phone)| (name.as_str(), DeploymentFacts::of_phone(phone)));
        let phones: Vec<_> = phones.collect();
        let lends = config.deployments.values().zip(&phones).filter(|(phone, (_, facts))| {
            // One that names what its agent names, too, lends nothing.
            facts.model.is_some() && !phone.origins.agent_says("model")
        });
        let lent = lent(config, lends.map(|(phone, _)| phone));
        let mut alone = config.agents.iter().peekable();
        let agents = config.personas.iter().map(|(name, persona)| {
            while alone.next_if(|(known, _)| *known < name).is_some() {}
            let own = alone.next_if(|(known, _)| *known == name).map(|(_, agent)| agent);
            let own = own.filter(|_| lent.is_empty() || !lent.contains(name.as_str()));
            (name.as_str(), AgentFacts::of(persona, own))
        });
        let agents = agents.collect();
        let chats = config.chats.iter().map(|(name, chat)| (name.as_str(), DeploymentFacts::of_chat(chat)));
        Facts {
            agents,
            deployments: phones.into_iter().chain(chats).collect(),
            models: config.models.iter().map(|(name, card)| (name.as_str(), card.as_ref())).collect(),
            plan: config.server.plan,
            tier: config.server.residency.tier,
            store: config.server.store.clone(),
        }
    }
}

impl<'a> AgentFacts<'a> {
    /// `agent` is the same by itself, when it has a model of its own.
    fn of(persona: &'a Persona, agent: Option<&'a Arc<Agent>>) -> Self {
        let asked = |question: &'a Option<Question>| question.as_ref().map(|question| question.model.name.as_str());
        let others = [("analysis.model", asked(&persona.after.analysis)), ("qc.model", asked(&persona.after.qc))];
        AgentFacts {
            standing: &persona.standing,
            model: agent.map(|agent| agent.model.name.as_str()),
            text_model: persona.text_model.as_ref().map(|model| model.name.as_str()),
            others: others.into_iter().filter_map(|(key, name)| Some((key, name?))).collect(),
        }
    }

    /// All that names a model in its document, by key.
    pub(super) fn uses(&self) -> impl Iterator<Item = (&'static str, &'a str)> {
        let own = [("model", self.model), ("text_model", self.text_model)];
        own.into_iter().filter_map(|(key, name)| Some((key, name?))).chain(self.others.iter().copied())
    }

    /// The model of its deployments on such a channel that name none.
    pub(super) fn default(&self, channel: Channel) -> Option<&'a str> {
        match models::kind(channel) {
            ModelKind::Voice => self.model,
            ModelKind::Text => self.text_model,
        }
    }
}

/// Agents without a model of their own: each is there with that of its first deployment, which is one of those that have one,
/// as the very same value.
fn lent<'a>(config: &'a Config, phones: impl Iterator<Item = &'a Arc<Deployment>>) -> HashSet<&'a str> {
    let agents = phones.map(|phone| &phone.agent);
    let lent = agents.filter(|agent| config.agents.get(&agent.name).is_some_and(|alone| Arc::ptr_eq(alone, agent)));
    lent.map(|agent| agent.name.as_str()).collect()
}

impl<'a> DeploymentFacts<'a> {
    fn of_phone(phone: &'a Deployment) -> Self {
        let is_own = phone.origins.of("model") == ValueOrigin::Deployment;
        DeploymentFacts {
            standing: &phone.standing,
            model: is_own.then_some(phone.agent.model.name.as_str()),
            backup: None,
            voice: phone.agent.manner.voice.as_deref(),
            has_number: phone.number.is_some(),
        }
    }

    fn of_chat(chat: &'a ChatDeployment) -> Self {
        // Whoever names the agent's own model has chosen nothing else.
        let agents = chat.persona.text_model.as_ref().map(|model| model.name.as_str());
        DeploymentFacts {
            standing: &chat.standing,
            model: Some(chat.model.name.as_str()).filter(|name| Some(*name) != agents),
            backup: chat.backup.as_ref().map(|model| model.name.as_str()),
            voice: None,
            has_number: false,
        }
    }
}
