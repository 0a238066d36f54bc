//! Which deployments an agent may have, what they are called, and why one cannot work (DEP).

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::civil::Date;

use super::refusal::{Flag, Refusal};
use super::{models, residency, switches};
use crate::config::{AgentStanding, Channel, Plan, Role, Standing};

/// Where an agent may be met one day, and not yet (DEP-06): what a picker shows greyed out.
pub const COMING_SOON: [&str; 3] = ["Telegram", "WhatsApp", "Email"];

/// The channel of this name.
///
/// # Errors
/// `channel_not_available` for those of [`COMING_SOON`] (DEP-06), `channel_unknown` for all others.
pub fn channel(name: &str) -> Result<Channel, Refusal> {
    if let Some((_, channel)) = Channel::ALL.iter().find(|(known, _)| *known == name) {
        return Ok(*channel);
    }
    if let Some(soon) = COMING_SOON.iter().find(|soon| soon.eq_ignore_ascii_case(name)) {
        let message = format!("{soon} is not available yet.");
        return Err(Refusal::wrong("channel_not_available", "channel", message));
    }
    let known = Channel::ALL.map(|(name, _)| name).join(", ");
    Err(Refusal::wrong("channel_unknown", "channel", format!("There is no such channel. There are {known}.")))
}

/// What there is before a deployment is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Have {
    /// Deployments of all agents together, inactive ones too.
    pub deployments: u32,
    /// Whether this agent has an internal chat.
    pub internal_chat: bool,
    /// Numbers of the organization that count for its quota, assigned or not.
    pub numbers: u32,
    /// Numbers in the pool that no deployment has, whether they count or not.
    pub spare_numbers: u32,
}

/// Whether one more deployment of this channel may be made. Several of one channel are allowed, but for internal chats
/// (DEP-02).
///
/// # Errors
/// `already_configured` (DEP-08), `no_number_quota` (DEP-07), `deployment_limit` (DEP-09).
pub fn may_create(channel: Channel, have: &Have, plan: &Plan) -> Result<(), Refusal> {
    match channel {
        Channel::Internal if have.internal_chat => return Err(second_internal_chat()),
        Channel::Phone if !has_number_quota(have, plan) => {
            let message = "There is neither a number left in your plan nor a spare one in the pool.";
            return Err(Refusal::state("no_number_quota", message));
        }
        _ => {}
    }
    within_limit(have.deployments, plan)
}

/// What a tile of the channel picker says on its badge while it is disabled; `None`: it is enabled. The limit of the plan
/// disables no tile; it is told when one is picked (DEP-09).
pub fn badge(channel: Channel, have: &Have, plan: &Plan) -> Option<&'static str> {
    match channel {
        Channel::Phone => (!has_number_quota(have, plan)).then_some("No quota"),
        Channel::Internal => have.internal_chat.then_some("already configured"),
        Channel::Website => None,
    }
}

/// Whether there is room for one more beside `deployments` of all agents (DEP-09).
///
/// # Errors
/// `deployment_limit`.
pub fn within_limit(deployments: u32, plan: &Plan) -> Result<(), Refusal> {
    match plan.deployments {
        Some(limit) if deployments >= limit => {
            let message = format!("You have reached the limit of {limit} deployments. Upgrade your plan to add more.");
            Err(Refusal::state("deployment_limit", message))
        }
        _ => Ok(()),
    }
}

pub(super) fn second_internal_chat() -> Refusal {
    Refusal::state("already_configured", "This agent already has an internal chat.")
}

/// Without a limit there is always a number to be had; with one, when it is not used up or a number is spare (DEP-07).
fn has_number_quota(have: &Have, plan: &Plan) -> bool {
    have.spare_numbers > 0 || plan.numbers.is_none_or(|limit| have.numbers < limit)
}

/// The name of a new deployment, made on `today` in the organization's time zone (DEP-10, Q-01): not yet
/// [unique](unique_title).
pub fn default_title(channel: Channel, today: Date) -> String {
    match channel {
        Channel::Website => format!("Website {today}"),
        Channel::Phone => format!("Phone {today}"),
        Channel::Internal => INTERNAL_TITLE.to_owned(),
    }
}

/// `title`, or with ` (2)`, ` (3)` … behind it, whichever the agent has not yet; at most [`MAX_TITLE`] characters.
pub fn unique_title(title: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut unique = title.to_owned();
    let mut count = 2_u64;
    // Ends: each turn asks for another title, and an agent has finitely many.
    while is_taken(&unique) {
        let suffix = format!(" ({count})");
        let kept: String = title.chars().take(MAX_TITLE - suffix.len()).collect();
        unique = format!("{kept}{suffix}");
        count += 1;
    }
    unique
}

/// Whether a deployment may be called so (DEP-10). `was` is what it is called already.
///
/// # Errors
/// `title_fixed` for internal chats, `title_length`, `title_taken`.
pub fn may_be_called(
    channel: Channel,
    was: Option<&str>,
    title: &str,
    is_taken: impl Fn(&str) -> bool,
) -> Result<(), Refusal> {
    if was == Some(title) {
        return Ok(());
    }
    let wrong = |code, message: String| Err(Refusal::wrong(code, TITLE, message));
    if channel == Channel::Internal && title != INTERNAL_TITLE {
        return wrong("title_fixed", format!("The name of an internal chat is {INTERNAL_TITLE}."));
    }
    let blank = title.trim().is_empty() || title.chars().any(char::is_control);
    if blank || title.chars().count() > MAX_TITLE {
        return wrong("title_length", format!("A name has 1 to {MAX_TITLE} characters."));
    }
    if is_taken(title) {
        return Err(title_taken(title));
    }
    Ok(())
}

pub(super) fn title_taken(title: &str) -> Refusal {
    Refusal::wrong("title_taken", TITLE, format!("This agent already has a deployment named “{title}”."))
}

/// The embed keys that more than one deployment has, as pairs of the deployment that comes first and one that has the same
/// (DEP-14). The key itself is not told.
pub fn shared_keys<'a>(keys: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
    let mut first = HashMap::new();
    let mut shared = Vec::new();
    for (deployment, key) in keys {
        match first.get(key) {
            Some(owner) => shared.push((*owner, deployment)),
            None => {
                first.insert(key, deployment);
            }
        }
    }
    shared
}

pub(super) fn shared_key(owner: &str) -> Refusal {
    Refusal {
        field: Some("key"),
        ..Refusal::state("key_taken", format!("The deployment {owner} has the same key. Each needs its own."))
    }
}

/// What is known of a deployment's parts, for [`cannot_work`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Whether it has a number; only asked of phones.
    pub has_number: bool,
    /// Its model, and whether the catalogue has it.
    pub model: Option<(&'a str, bool)>,
    /// Names of secrets that it needs and that are not there.
    pub missing_secrets: Vec<&'a str>,
    /// Whether anybody at all gets past visibility and access; see [`force::Visitor::Somebody`](super::force::Visitor).
    pub nobody_may: bool,
}

/// Why a deployment cannot work, all reasons, as its card says (DEP-15). That it is switched off itself is no reason: its
/// switch says so.
pub fn cannot_work(agent: &AgentStanding, deployment: &Standing, parts: &Parts<'_>, now: Timestamp) -> Vec<Flag> {
    let mut flags = Vec::new();
    let mut flag = |code, field, message: String| flags.push(Flag::new(code, field, message));
    if deployment.channel == Channel::Phone && !parts.has_number {
        flag("no_number", Some("number"), "No number".to_owned());
    }
    match parts.model {
        Some((_, true)) => {}
        Some((name, false)) => {
            let gone = models::gone("model", name);
            flag(gone.code, gone.field, gone.message);
        }
        None => flag("model_required", Some("model"), "Choose a model.".to_owned()),
    }
    for name in &parts.missing_secrets {
        flag("secret_missing", None, format!("The secret {name} is missing."));
    }
    for (whose, schedule) in [("agent", &agent.schedule), ("deployment", &deployment.schedule)] {
        if switches::is_over(schedule, now) {
            flag("schedule_over", Some("schedule"), format!("The {whose}'s schedule is over."));
        }
    }
    if !agent.active {
        flag("agent_inactive", None, format!("The agent {} is inactive.", agent.name));
    }
    if parts.nobody_may {
        let message = "Nobody may use it: the agent is internal, or nobody has access.";
        flag("nobody_may", Some("access"), message.to_owned());
    }
    flags
}

/// Whether somebody of this role may make, edit or delete deployments and their keys (ROLE-03).
///
/// # Errors
/// `role`.
pub fn may_change(role: Role) -> Result<(), Refusal> {
    residency::may_change(role)
}

/// Characters of a name, at most.
pub const MAX_TITLE: usize = 80;

const TITLE: &str = "title";

/// What every internal chat is called.
pub const INTERNAL_TITLE: &str = "Chat Internal";
