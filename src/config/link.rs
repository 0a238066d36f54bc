//! From drafts to documents as meant: what a document refers to is looked up, and what is wrong with that is told at the
//! document which refers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::agent::AgentDraft;
use super::deployment::DeploymentDraft;
use super::manner::{self, Manner};
use super::model::ModelDraft;
use super::problem::{Place, Problem, nearest};
use super::reader::{self, Kept};
use super::terms::{self, Terms};
use super::types::{
    Agent, Channel, ChatDeployment, Deployment, Model, Origins, Persona, SecretBook, Standing, TextModel, ToolSound,
};
use super::world::World;
use super::{tool_sound, tools};

/// What agents and deployments refer to.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// `None`: `models.toml` is no TOML, and nobody can say that a model is unknown. `None` within: the model is there and
    /// wrong.
    pub(super) models: Option<&'a BTreeMap<String, Option<ModelDraft>>>,
    /// The models as meant, with their secrets as far as they are there.
    pub(super) realtime: &'a BTreeMap<String, Arc<Model>>,
    pub(super) texts: &'a BTreeMap<String, Arc<TextModel>>,
    /// What is wrong with a model's secrets, which matters when it is used.
    pub(super) missing: &'a BTreeMap<String, Vec<Problem>>,
    /// Of `offhook.toml`.
    pub(super) secrets: &'a SecretBook,
}

impl Known<'_> {
    /// Says that there is no model of this name, or one of another kind. `wrong`: what is said of the other kind.
    fn check(&self, (name, place): &(String, Place), realtime: bool, wrong: &str) -> Option<Problem> {
        let models = self.models?;
        let fits = |draft: &Option<ModelDraft>| draft.as_ref().is_none_or(|model| model.is_realtime() == realtime);
        let fitting = models.iter().filter(|(_, draft)| fits(draft)).map(|(name, _)| name.as_str());
        match models.get(name) {
            None => Some(unknown("model", name, place, fitting, "models.toml")),
            Some(draft) if !fits(draft) => {
                let names: Vec<_> = fitting.take(MAX_LISTED).collect();
                Some(Problem::error(place, wrong).allowed(names.join(", ")))
            }
            Some(_) => None,
        }
    }

    /// Says that `voice` is none of the model's.
    fn check_voice(&self, model: &str, voice: Option<&(String, Place)>) -> Option<Problem> {
        let (voice, place) = voice?;
        let facts = &self.draft(model)?.card().facts;
        if facts.has_voice(voice) {
            return None;
        }
        let message = match nearest(voice, facts.voices.iter().map(String::as_str)) {
            Some(meant) => format!("the model {model:?} has no such voice; did you mean {meant:?}?"),
            None => format!("the model {model:?} has no such voice"),
        };
        Some(Problem::error(place, message).allowed(facts.voices.join(", ")))
    }

    fn draft(&self, model: &str) -> Option<&ModelDraft> {
        self.models?.get(model)?.as_ref()
    }

    /// Where `models.toml` keeps its secrets.
    fn kept(&self) -> BTreeSet<Kept> {
        self.models
            .into_iter()
            .flatten()
            .filter_map(|(_, draft)| draft.as_ref())
            .flat_map(ModelDraft::kept)
            .cloned()
            .collect()
    }
}

/// What is wrong with what an agent refers to, whether it is met anywhere or not. `secrets`: whether it is known which are
/// declared.
pub(super) fn check_agent(agent: &AgentDraft, known: &Known<'_>, secrets: bool, world: &dyn World) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(model) = &agent.model {
        problems.extend(known.check(model, true, "is a text model, and a call needs one that speaks"));
        problems.extend(known.check_voice(&model.0, agent.manner.voice.as_ref()));
        problems.extend(check_mcp(agent, &model.0, known));
    }
    let text = "is a model for calls, and this needs one with kind = \"text\"";
    for model in agent.text_model.iter().chain(agent.text_models()) {
        problems.extend(known.check(model, false, text));
    }
    if secrets {
        problems.extend(agent.uses.check(known.secrets, &known.kept(), world));
    }
    problems
}

/// Says that a model's vendor asks no servers of tools, though the agent has some.
fn check_mcp(agent: &AgentDraft, model: &str, known: &Known<'_>) -> Option<Problem> {
    let draft = known.draft(model).filter(|draft| draft.is_realtime() && !draft.takes_mcp())?;
    agent.mcp.as_ref().map(|place| tools::no_mcp(draft.name(), place))
}

/// What an agent is by itself. `None`: it has no model that is known.
pub(super) fn agent(agent: &AgentDraft, known: &Known<'_>) -> Option<Arc<Agent>> {
    let model = known.realtime.get(&agent.model.as_ref()?.0)?;
    Some(Arc::new(agent.resolve(Arc::clone(model), known.texts, known.secrets)))
}

/// What an agent is on every channel.
pub(super) fn persona(agent: &AgentDraft, known: &Known<'_>) -> Arc<Persona> {
    Arc::new(agent.persona(known.texts, known.secrets))
}

/// What is wrong between a deployment and its agent, which was checked by itself; and what the deployment has otherwise,
/// for [`deployment()`].
pub(super) fn check_deployment(
    draft: &DeploymentDraft,
    agent: &AgentDraft,
    known: &Known<'_>,
    world: &dyn World,
) -> (Over, Vec<Problem>) {
    let mut problems = agent.missing.clone();
    problems.extend(agent.uses.missing(known.secrets));
    let mut asked: Vec<&str> = agent.text_models().map(|(model, _)| model.as_str()).collect();
    let phone = draft.channel == Channel::Phone;
    let over = if phone { read_over(draft, agent, world, &mut problems) } else { Over::default() };
    match model_of(draft, agent) {
        // What is wrong with the agent is told there; its model may be among it.
        None if agent.told.iter().any(Problem::is_error) => {}
        None => {
            let place = draft.agent.as_ref().map_or_else(|| Place::file(&draft.text.file), |(_, place)| place.clone());
            let allowed = match phone {
                true => "model = \"…\" here, or in the agent's document",
                false => "model = \"…\" here, or text_model = \"…\" in the agent's document",
            };
            problems.push(Problem::error(&place.of("model"), "Choose a model.").allowed(allowed));
        }
        Some((model, _)) => {
            asked.push(model);
            if phone {
                check_phone(draft, agent, model, &over, known, &mut problems);
            }
        }
    }
    if !phone {
        let voice = "Voice models can only be used for phone deployments";
        problems.extend(draft.model.as_ref().and_then(|model| known.check(model, false, voice)));
        let backup = draft.backup.as_ref();
        problems.extend(backup.and_then(|model| known.check(model, false, "The backup must be a text model.")));
        asked.extend(backup.map(|(model, _)| model.as_str()));
    }
    for model in asked {
        problems.extend(known.missing.get(model).into_iter().flatten().cloned());
    }
    (over, problems)
}

fn check_phone(
    draft: &DeploymentDraft,
    agent: &AgentDraft,
    model: &str,
    over: &Over,
    known: &Known<'_>,
    problems: &mut Vec<Problem>,
) {
    let own = draft.model.as_ref();
    if let Some(own) = own {
        problems.extend(known.check(own, true, "Phone deployments require a voice model"));
        problems.extend(check_mcp(agent, model, known));
    }
    let terms = over.terms.as_ref().unwrap_or(&agent.terms);
    if let Some(place) = &terms.budget_place
        && known.draft(model).is_some_and(|model| !model.has_price())
    {
        let message = format!("means nothing: the model {model:?} has no price");
        problems.push(Problem::error(place, message).allowed(format!("a table [{model}.price] in models.toml")));
    }
    // What the agent says by itself is told of the agent.
    if own.is_none() && over.manner.is_none() {
        return;
    }
    let voice = over.manner.as_ref().unwrap_or(&agent.manner).voice.as_ref();
    let Some(wrong) = known.check_voice(model, voice) else { return };
    problems.push(match (own, voice) {
        // A voice of the agent's that the deployment's model lacks is the deployment's to change.
        (Some((_, place)), Some((voice, at))) if at.file == agent.text.file => {
            let told = Problem::error(place, format!("the agent's voice is {voice:?}, and this model has it not"));
            told.allowed(format!("voice = one of {} here", wrong.allowed.unwrap_or_default()))
        }
        _ => wrong,
    });
}

/// The model that a deployment runs by: its own, or the agent's for such a channel.
fn model_of<'a>(draft: &'a DeploymentDraft, agent: &'a AgentDraft) -> Option<&'a (String, Place)> {
    let default = if draft.channel == Channel::Phone { &agent.model } else { &agent.text_model };
    draft.model.as_ref().or(default.as_ref())
}

/// A deployment as meant.
#[derive(Clone, Debug)]
pub(super) enum Linked {
    Phone(Arc<Deployment>),
    Chat(Arc<ChatDeployment>),
}

/// The deployment `name`, in which [`check_deployment`] found no error. `alone`: its agent by itself, if it can be;
/// `persona`: the same on every channel. `None`: a model is not known.
pub(super) fn deployment(
    name: &str,
    draft: &DeploymentDraft,
    over: Over,
    agent: &AgentDraft,
    alone: Option<&Arc<Agent>>,
    persona: &Arc<Persona>,
    known: &Known<'_>,
) -> Option<Linked> {
    let (model, _) = model_of(draft, agent)?;
    let standing = standing(name, draft, agent);
    if draft.channel != Channel::Phone {
        return Some(Linked::Chat(Arc::new(ChatDeployment {
            standing,
            persona: Arc::clone(persona),
            model: Arc::clone(known.texts.get(model)?),
            backup: match &draft.backup {
                Some((model, _)) => Some(Arc::clone(known.texts.get(model)?)),
                None => None,
            },
            welcome: draft.welcome.clone(),
            settings: draft.settings.clone()?,
        })));
    }
    let model = known.realtime.get(model)?;
    let with = match (&over.manner, alone) {
        // The very same, so that a thousand numbers of one agent hold it once.
        (None, Some(alone)) if Arc::ptr_eq(&alone.model, model) => Arc::clone(alone),
        (manner, _) => {
            let manner = manner.as_ref().unwrap_or(&agent.manner);
            Arc::new(agent.resolve_as(manner, Arc::clone(model), known.texts, known.secrets))
        }
    };
    let Terms { limits, budgets, playout, outbound, keep, .. } = over.terms.unwrap_or_else(|| agent.terms.clone());
    Some(Linked::Phone(Arc::new(Deployment {
        name: name.to_owned(),
        standing,
        number: draft.number.as_ref().map(|(number, _)| number.clone()),
        agent: with,
        origins: Origins {
            deployment: Arc::clone(&draft.said),
            agent: Arc::clone(&agent.said),
            whole: &["on_failure"],
        },
        timezone: draft.timezone.clone(),
        limits,
        budgets,
        playout,
        tool_sound: over.tool_sound.unwrap_or_else(|| agent.tool_sound.clone()),
        outbound,
        keep,
    })))
}

/// What a deployment has otherwise than its agent.
#[derive(Debug, Default)]
pub(super) struct Over {
    manner: Option<Manner>,
    terms: Option<Terms>,
    tool_sound: Option<Option<ToolSound>>,
}

/// Reads the deployment's document over the agent's, as far as it says anything.
fn read_over(draft: &DeploymentDraft, agent: &AgentDraft, world: &dyn World, problems: &mut Vec<Problem>) -> Over {
    let says = draft.says;
    if !says.manner && !says.terms && !says.tool_sound {
        return Over::default();
    }
    let read = reader::read_over(&draft.text, &agent.text, |mut table| Over {
        manner: says.manner.then(|| manner::read(&mut table, &agent.scope, &agent.tools.destinations, world)),
        terms: says.terms.then(|| terms::read(&mut table, &agent.scope, world)),
        tool_sound: says.tool_sound.then(|| tool_sound::read(table.table("tool_sound"), world)),
    });
    let Some((over, here, there)) = read else { return Over::default() };
    problems.extend(here.into_iter().filter(|problem| !draft.told.contains(problem)));
    // What is wrong with the agent's document only here is wrong with this one.
    let file = Place::file(&draft.text.file);
    for problem in there.into_iter().filter(|problem| problem.is_error() && !agent.told.contains(problem)) {
        let message = format!("goes not with line {} of the agent: {}", problem.line, problem.message);
        let told = Problem::error(&file, message);
        problems.push(match problem.allowed {
            Some(allowed) => told.allowed(allowed),
            None => told,
        });
    }
    over
}

fn standing(name: &str, draft: &DeploymentDraft, agent: &AgentDraft) -> Standing {
    let hours = draft.hours.as_ref().unwrap_or(&agent.hours).as_ref();
    Standing {
        name: name.to_owned(),
        title: draft.title.clone().unwrap_or_else(|| name.to_owned()),
        channel: draft.channel,
        agent: agent.standing.name.clone(),
        active: draft.active,
        schedule: draft.schedule,
        hours: hours.map(|hours| hours.meant(&draft.timezone)),
        access: draft.access.clone(),
        key: draft.key.as_ref().map(|(key, _)| key.clone()),
    }
}

/// Says that there is no `what` of this name.
pub(super) fn unknown<'a>(
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
