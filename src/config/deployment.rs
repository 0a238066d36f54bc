//! `deployments/*.toml`: where an agent is met, and what it has otherwise there.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::hours::{self, HoursDraft};
use super::problem::{Place, Problem};
use super::reader::{Table, Text};
use super::scope::Scope;
use super::types::{Access, Channel, ChatSettings, Schedule};
use super::world::World;
use super::{look, manner, standing, terms, tool_sound, values};

/// A deployment as written: its agent and models are only names. It can be linked any number of times, as what it refers
/// to changes; see [`super::link`].
#[derive(Debug)]
pub(super) struct DeploymentDraft {
    pub(super) channel: Channel,
    pub(super) agent: Option<(String, Place)>,
    pub(super) model: Option<(String, Place)>,
    pub(super) backup: Option<(String, Place)>,
    pub(super) number: Option<(String, Place)>,
    pub(super) key: Option<(String, Place)>,
    pub(super) title: Option<String>,
    pub(super) active: bool,
    pub(super) schedule: Schedule,
    /// `None`: the agent's; `Some(None)`: always.
    pub(super) hours: Option<Option<HoursDraft>>,
    pub(super) access: Option<Access>,
    pub(super) timezone: String,
    pub(super) welcome: Option<String>,
    /// On channels of text.
    pub(super) settings: Option<ChatSettings>,
    /// Whether it says anything of how the agent talks, of terms, and of the tools' sound: what it does not is the agent's
    /// as it is.
    pub(super) says: Says,
    /// Keys that it says, by dotted path.
    pub(super) said: Arc<BTreeSet<String>>,
    pub(super) text: Text,
    /// What was noted of it when it was read.
    pub(super) told: Vec<Problem>,
}

/// What a deployment says of an agent's defaults.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Says {
    pub(super) manner: bool,
    pub(super) terms: bool,
    pub(super) tool_sound: bool,
}

/// Reads the document of the deployment `name`.
pub(super) fn read(mut table: Table<'_, '_>, world: &dyn World) -> DeploymentDraft {
    if !table.says(&["channel"]) {
        let message = "names no channel, and is taken for a phone's";
        table.note(
            Problem::warning(&table.place(), message).allowed("channel = \"phone\"; `offhook migrate` writes it"),
        );
    }
    let channel = table.choice("channel", Channel::Phone, &Channel::ALL);
    let agent = table.need("agent", "the name of a document in agents/");
    let agent = agent.and_then(|field| Some((field.string(values::MAX_NAME)?, field.place())));
    let model = table.take("model");
    let model = model.and_then(|field| Some((field.string(values::MAX_NAME)?, field.place())));
    let title = standing::title(&mut table);
    let active = table.boolean("active", true);
    let schedule = standing::schedule(table.table("schedule"));
    let hours = table.take("hours").map(hours::read);
    let access = standing::access(&mut table, channel);
    let key = standing::key(&mut table);
    let timezone = table.take("timezone").and_then(hours::timezone).unwrap_or_else(|| "UTC".to_owned());
    let mut draft = DeploymentDraft {
        channel,
        agent,
        model,
        backup: None,
        number: None,
        key,
        title,
        active,
        schedule,
        hours,
        access,
        timezone,
        welcome: None,
        settings: None,
        says: Says::default(),
        said: Arc::default(),
        text: table.text(),
        told: Vec::new(),
    };
    let foreign = |channels: &str| format!("has no place here: it belongs to {channels}");
    match channel {
        Channel::Phone => {
            table.misplaced(&["backup_model"], "Phone deployments cannot have a backup model.");
            table.misplaced(&["welcome"], &foreign("channels of text; what callers hear first is the greeting"));
            table.misplaced(&look::WEBSITE, &foreign("channel = \"website\""));
            table.misplaced(&look::INTERNAL, &foreign("channel = \"internal\""));
            phone(&mut draft, &mut table, world);
        }
        Channel::Website | Channel::Internal => {
            for keys in [&["number"][..], &manner::KEYS, &terms::KEYS, &["tool_sound"]] {
                table.misplaced(keys, &foreign("channel = \"phone\""));
            }
            let backup = table.take("backup_model");
            draft.backup = backup.and_then(|field| Some((field.string(values::MAX_NAME)?, field.place())));
            draft.welcome = look::welcome(&mut table);
            draft.settings = Some(if channel == Channel::Website {
                table.misplaced(&look::INTERNAL, &foreign("channel = \"internal\""));
                ChatSettings::Website(Box::new(look::website(&mut table, world)))
            } else {
                table.misplaced(&look::WEBSITE, &foreign("channel = \"website\""));
                ChatSettings::Internal(look::internal(&mut table, world))
            });
        }
    }
    draft.said = table.found().into();
    draft.told = table.noted();
    table.finish();
    draft
}

/// Reads what only a phone has. What it has of the agent's defaults is checked by itself here, and read again over the
/// agent's document when it is linked: only then is it known what goes with what.
fn phone(draft: &mut DeploymentDraft, table: &mut Table<'_, '_>, world: &dyn World) {
    let number = table.take("number");
    draft.number = number.and_then(|field| Some((values::e164(&field)?, field.place())));
    draft.says = Says {
        manner: table.says(&manner::KEYS),
        terms: table.says(&terms::KEYS),
        tool_sound: table.says(&["tool_sound"]),
    };
    let Says { manner, terms, tool_sound } = draft.says;
    let before = table.noted().len();
    let scope = Scope::unknown();
    match manner {
        true => drop(manner::read(table, &scope, &[], world)),
        false => table.skip(&manner::KEYS),
    }
    match terms {
        true => drop(terms::read(table, &scope, world)),
        false => table.skip(&terms::KEYS),
    }
    match tool_sound {
        true => drop(tool_sound::read(table.table("tool_sound"), world)),
        false => table.skip(&["tool_sound"]),
    }
    table.retain_noted(before, |problem| problem.is_error() && !problem.is_relative());
}
