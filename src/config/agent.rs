//! `agents/*.toml`: who talks.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::after::{self, AfterDraft};
use super::http::Secrets;
use super::problem::{Place, Problem};
use super::reader::{Field, Table};
use super::scope::{Declared, Scope, Stage};
use super::tools;
use super::turns::{self, Turns};
use super::types::{
    AfterCall, AfterFailure, Agent, Model, NoiseEngine, NoiseReduction, OnFailure, Spoken, TextModel, Transcription,
};
use super::values::{self, MAX_LINE, MAX_NAME};
use super::world::World;
use super::{idle, keys};

/// An agent as written: its models are only names.
pub(super) struct AgentDraft {
    pub(super) model: Option<(String, Place)>,
    /// Where it names servers of tools, which only some models ask.
    pub(super) mcp: Option<Place>,
    /// What is wrong with its secrets, which matters when a number is answered with them.
    pub(super) missing: Vec<Problem>,
    after: AfterDraft,
    /// What is known while it talks.
    pub(super) scope: Scope,
    /// All that is told apart from the models.
    build: Box<dyn Fn(Arc<Model>, AfterCall) -> Agent + Send + Sync>,
}

impl AgentDraft {
    /// Names of the text models that it asks.
    pub(super) fn text_models(&self) -> impl Iterator<Item = &(String, Place)> {
        self.after.models()
    }

    /// The agent as meant. A draft can be resolved any number of times, as what it refers to changes.
    pub(super) fn resolve(&self, model: Arc<Model>, texts: &BTreeMap<String, Arc<TextModel>>) -> Agent {
        (self.build)(model, self.after.resolve(texts))
    }
}

/// Reads the document of the agent `name`.
pub(super) fn read(name: &str, mut table: Table<'_, '_>, world: &dyn World) -> AgentDraft {
    let name = name.to_owned();
    let model = table.need("model", "the name of a table in models.toml");
    let model = model.and_then(|field| Some((field.string(MAX_NAME)?, field.place())));
    let mut secrets = Secrets::new(world);
    let mut declared = Declared::read(table.table("variables"));
    let after = after::read(&mut table, &mut declared, &mut secrets);
    let fetch = after::fetch(table.table("fetch"), &declared, &mut secrets).map(Arc::new);
    let scope = declared.scope(Stage::Call);
    let instructions = table.need("instructions", "what the agent is told about itself and its work");
    let instructions = instructions.and_then(|f| scope.text(&f, MAX_INSTRUCTIONS)).unwrap_or_default();
    let voice = table.string("voice", 128);
    let speed = table.take("speed").and_then(|f| f.number(0.25..=1.5)).unwrap_or(1.0);
    let language = table.take("language").and_then(|field| {
        let iso = |text: &str| (2..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase());
        field.string_that(MAX_NAME, "an ISO 639-1 code such as \"en\" or \"pl\"", iso)
    });
    let transcription = transcription(&mut table);
    let max_output_tokens = table.take("max_output_tokens").and_then(|f| f.integer(1..=4_096)).map(|n| n as u32);
    let Turns { turn_detection, interruptions, false_interruptions, back_channels, echo_guard, shadows } =
        turns::read(&mut table, language.as_deref());
    let noise_reduction = table.choice(
        "noise_reduction",
        NoiseReduction::NearField,
        &[
            ("none", NoiseReduction::None),
            ("near_field", NoiseReduction::NearField),
            ("far_field", NoiseReduction::FarField),
        ],
    );
    let engines = [("local", NoiseEngine::Local), ("provider", NoiseEngine::Provider)];
    let noise_engine = table.choice("noise_reduction_engine", NoiseEngine::Provider, &engines);
    let disclaimer = table.take("disclaimer").and_then(|f| values::sound(f, world));
    let greeting = table.take("greeting").and_then(|f| spoken(f, world, &scope)).unwrap_or(Spoken::None);
    let greeting_interruptible = table.boolean("greeting_interruptible", true);
    let farewell = table.take("farewell").and_then(|f| spoken(f, world, &scope)).unwrap_or(Spoken::None);
    let tools = tools::read(&mut table, world, &scope, &mut secrets, spoken);
    let on_failure = on_failure(table.table("on_failure"), world);
    let hold_sound = table.take("hold_sound").and_then(|f| values::sound(f, world));
    let filler = table.take("filler").and_then(|f| values::sound(f, world));
    let keys = keys::read(&mut table, &turn_detection, &tools.destinations);
    let idle = idle::read(table.table("idle"), &turn_detection, world, &scope);
    table.finish();
    let Secrets { missing, .. } = secrets;
    let mcp = tools.mcp_place.clone();
    let back_channels = Arc::new(back_channels);
    let (tool_list, destinations) = (Arc::from(tools.tools), Arc::from(tools.destinations));
    let build = Box::new(move |model, after| Agent {
        name: name.clone(),
        instructions: instructions.clone(),
        model,
        voice: voice.clone(),
        speed,
        language: language.clone(),
        transcription: transcription.clone(),
        max_output_tokens,
        turn_detection: turn_detection.clone(),
        shadows: shadows.clone(),
        interruptions,
        false_interruptions,
        back_channels: back_channels.clone(),
        noise_reduction,
        noise_engine,
        echo_guard,
        disclaimer: disclaimer.clone(),
        greeting: greeting.clone(),
        greeting_interruptible,
        farewell: farewell.clone(),
        tools: Arc::clone(&tool_list),
        destinations: Arc::clone(&destinations),
        on_failure: on_failure.clone(),
        hold_sound: hold_sound.clone(),
        filler: filler.clone(),
        keys: keys.clone(),
        idle: idle.clone(),
        variables: declared.variables.clone(),
        http_tools: tools.http.clone(),
        mcp: tools.mcp.clone(),
        fetch: fetch.clone(),
        after: Arc::new(after),
    });
    AgentDraft { model, mcp, missing, after, scope, build }
}

/// `transcription = "off"`, or a table.
fn transcription(parent: &mut Table<'_, '_>) -> Option<Transcription> {
    let field = parent.take("transcription");
    if let Some(field) = field.as_ref().filter(|f| !f.is_table()) {
        field.choice(&[("off", ())]);
        return None;
    }
    let mut table = match field {
        Some(field) => field.table()?,
        None => parent.absent("transcription"),
    };
    let model = table.string("model", 128).unwrap_or_else(|| "gpt-transcribe".to_owned());
    let prompt = table.string("prompt", MAX_LINE);
    table.finish();
    Some(Transcription { model, prompt })
}

/// `"none"`, `{ say = … }` or `{ play = …, text = … }`.
pub(super) fn spoken(field: Field<'_, '_>, world: &dyn World, scope: &Scope) -> Option<Spoken> {
    if !field.is_table() {
        if field.as_str() == Some("none") {
            return Some(Spoken::None);
        }
        field.wrong_allowed("is of another shape", SPOKEN_SHAPES);
        return None;
    }
    said(field, world, scope, SPOKEN_SHAPES)
}

/// `{ say = … }` or `{ play = …, text = … }`; `shapes`: what else is allowed there.
pub(super) fn said(field: Field<'_, '_>, world: &dyn World, scope: &Scope, shapes: &str) -> Option<Spoken> {
    let place = field.place();
    let mut table = field.table()?;
    let say = table.take("say");
    let play = table.take("play");
    let text = table.take("text");
    let spoken = match (&say, &play) {
        (Some(say), None) => {
            if let Some(text) = &text {
                text.wrong("goes with play: what is said is already in say");
            }
            scope.text(say, MAX_LINE).map(Spoken::Say)
        }
        (None, Some(play)) => {
            let text = text.and_then(|f| f.string(MAX_LINE)).unwrap_or_default();
            values::play(play, text, world).map(Spoken::Play)
        }
        _ => {
            table.note(Problem::error(&place, "needs either say or play").allowed(shapes));
            None
        }
    };
    table.finish();
    spoken
}

fn on_failure(mut table: Table<'_, '_>, world: &dyn World) -> OnFailure {
    let play = table.take("play");
    let text = table.take("text");
    if let (Some(text), None) = (&text, &play) {
        text.wrong("says what is in a recording, and play names none");
    }
    let text = text.and_then(|f| f.string(MAX_LINE)).unwrap_or_default();
    let line = play.and_then(|f| values::play(&f, text, world));
    let then = table.take("then").and_then(|field| {
        if !field.is_table() {
            if field.as_str().is_none_or(|text| text != "hang_up") {
                field.wrong_allowed("is of another shape", "\"hang_up\", { transfer = \"+15550100100\" }");
            }
            return Some(AfterFailure::HangUp);
        }
        let mut table = field.table()?;
        let number = table.need("transfer", "the number to put the caller through to").and_then(|f| values::e164(&f));
        table.finish();
        number.map(AfterFailure::Transfer)
    });
    table.finish();
    OnFailure { line, then: then.unwrap_or(AfterFailure::HangUp) }
}

const MAX_INSTRUCTIONS: usize = 65_536;
const SPOKEN_SHAPES: &str = "\"none\", { say = \"…\" }, { play = \"sounds/….wav\", text = \"…\" }";
