//! `agents/*.toml`: who talks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::after::{self, AfterDraft};
use super::hours::{self, HoursDraft};
use super::http::Secrets;
use super::manner::{self, Manner};
use super::named::Uses;
use super::problem::{Place, Problem};
use super::reader::{Table, Text};
use super::scope::{Declared, Scope, Stage};
use super::spoken::spoken;
use super::standing;
use super::terms::{self, Terms};
use super::tool_sound;
use super::tools::{self, Tools};
use super::types::{Agent, AgentStanding, Fetch, Model, Persona, SecretBook, TextModel, ToolSound, Visibility};
use super::values::MAX_NAME;
use super::world::World;

/// An agent as written: its models and its named secrets are only names. It can be resolved any number of times, as what
/// it refers to changes.
#[derive(Debug)]
pub(super) struct AgentDraft {
    /// The default of its phone deployments.
    pub(super) model: Option<(String, Place)>,
    /// The default of its chats.
    pub(super) text_model: Option<(String, Place)>,
    /// Where it names servers of tools, which only some models ask.
    pub(super) mcp: Option<Place>,
    /// What is wrong with its secrets, which matters when it is met anywhere.
    pub(super) missing: Vec<Problem>,
    /// Secrets that it names, and those of the server that it asks for itself.
    pub(super) uses: Uses,
    /// What is known while it talks.
    pub(super) scope: Scope,
    pub(super) standing: AgentStanding,
    pub(super) manner: Manner,
    pub(super) terms: Terms,
    pub(super) tool_sound: Option<ToolSound>,
    pub(super) hours: Option<HoursDraft>,
    pub(super) tools: Tools,
    /// Keys that it says, by dotted path.
    pub(super) said: Arc<BTreeSet<String>>,
    pub(super) text: Text,
    /// What was noted of it when it was read.
    pub(super) told: Vec<Problem>,
    instructions: String,
    declared: Declared,
    fetch: Option<Arc<Fetch>>,
    after: AfterDraft,
}

impl AgentDraft {
    /// Names of the text models that it asks once a call is over.
    pub(super) fn text_models(&self) -> impl Iterator<Item = &(String, Place)> {
        self.after.models()
    }

    /// The agent as meant, as it talks by itself.
    pub(super) fn resolve(
        &self,
        model: Arc<Model>,
        texts: &BTreeMap<String, Arc<TextModel>>,
        secrets: &SecretBook,
    ) -> Agent {
        self.resolve_as(&self.manner, model, texts, secrets)
    }

    /// The same with the manner of a deployment.
    pub(super) fn resolve_as(
        &self,
        manner: &Manner,
        model: Arc<Model>,
        texts: &BTreeMap<String, Arc<TextModel>>,
        secrets: &SecretBook,
    ) -> Agent {
        let Persona { standing, instructions, variables, tools, destinations, http_tools, fetch, after, .. } =
            self.persona(texts, secrets);
        let Manner {
            voice,
            speed,
            language,
            transcription,
            max_output_tokens,
            turn_detection,
            shadows,
            interruptions,
            false_interruptions,
            back_channels,
            noise_reduction,
            noise_engine,
            echo_guard,
            disclaimer,
            greeting,
            greeting_interruptible,
            farewell,
            on_failure,
            hold_sound,
            filler,
            keys,
            idle,
        } = manner.clone();
        Agent {
            name: standing.name,
            instructions,
            model,
            voice: voice.map(|(voice, _)| voice),
            speed,
            language,
            transcription,
            max_output_tokens,
            turn_detection,
            shadows,
            interruptions,
            false_interruptions,
            back_channels,
            noise_reduction,
            noise_engine,
            echo_guard,
            disclaimer,
            greeting,
            greeting_interruptible,
            farewell,
            tools,
            destinations,
            on_failure,
            hold_sound,
            filler,
            keys,
            idle,
            variables,
            http_tools,
            mcp: self.uses.mcp(&self.tools.mcp, secrets),
            fetch,
            after,
        }
    }

    /// What it is on every channel.
    pub(super) fn persona(&self, texts: &BTreeMap<String, Arc<TextModel>>, secrets: &SecretBook) -> Persona {
        let mut after = self.after.resolve(texts);
        self.uses.push(&mut after, secrets);
        Persona {
            standing: self.standing.clone(),
            instructions: self.instructions.clone(),
            language: self.manner.language.clone(),
            text_model: self.text_model.as_ref().and_then(|(name, _)| texts.get(name).cloned()),
            variables: self.declared.variables.clone(),
            tools: Arc::clone(&self.tools.tools),
            destinations: Arc::clone(&self.tools.destinations),
            http_tools: self.uses.tools(&self.tools.http, secrets),
            fetch: self.uses.fetch(self.fetch.as_ref(), secrets),
            after: Arc::new(after),
        }
    }
}

/// Reads the document of the agent `name`.
pub(super) fn read(name: &str, mut table: Table<'_, '_>, world: &dyn World) -> AgentDraft {
    let named = |table: &mut Table<'_, '_>, key: &'static str| {
        let field = table.take(key)?;
        Some((field.string(MAX_NAME)?, field.place()))
    };
    let model = named(&mut table, "model");
    let text_model = named(&mut table, "text_model");
    let title = standing::title(&mut table).unwrap_or_else(|| name.to_owned());
    let active = table.boolean("active", true);
    let visibilities = [("public", Visibility::Public), ("internal", Visibility::Internal)];
    let visibility = table.choice("visibility", Visibility::Public, &visibilities);
    let schedule = standing::schedule(table.table("schedule"));
    let max_calls = table.take("max_calls").and_then(|f| f.integer(1..=10_000)).map(|n| n as u32);
    let standing = AgentStanding { name: name.to_owned(), title, active, schedule, visibility, max_calls };
    let hours = table.take("hours").and_then(|field| hours::read(field));
    let mut secrets = Secrets::new(world);
    let mut declared = Declared::read(table.table("variables"));
    let after = after::read(&mut table, &mut declared, &mut secrets);
    let fetch = after::fetch(table.table("fetch"), &declared, &mut secrets).map(Arc::new);
    let scope = declared.scope(Stage::Call);
    let instructions = table.need("instructions", "what the agent is told about itself and its work");
    let instructions = instructions.and_then(|f| scope.text(&f, MAX_INSTRUCTIONS)).unwrap_or_default();
    let tools = tools::read(&mut table, world, &scope, &mut secrets, spoken);
    let manner = manner::read(&mut table, &scope, &tools.destinations, world);
    let terms = terms::read(&mut table, &scope, world);
    let tool_sound = tool_sound::read(table.table("tool_sound"), world);
    let (said, text) = (table.found().into(), table.text());
    let Secrets { missing, uses, doubts, .. } = secrets;
    doubts.into_iter().for_each(|doubt| table.note(doubt));
    let told = table.noted();
    table.finish();
    AgentDraft {
        model,
        text_model,
        mcp: tools.mcp_place.clone(),
        missing,
        uses,
        scope,
        standing,
        manner,
        terms,
        tool_sound,
        hours,
        tools,
        said,
        text,
        told,
        instructions,
        declared,
        fetch,
        after,
    }
}

const MAX_INSTRUCTIONS: usize = 65_536;
