//! `agents/*.toml`: who talks.

use std::sync::Arc;

use super::problem::{Place, Problem};
use super::reader::{Field, Table};
use super::types::{
    AfterFailure, Agent, BuiltInTool, Eagerness, Farewell, Greeting, Interruptions, Model, NoiseReduction, OnFailure,
    Sound, Transcription, TurnDetection,
};
use super::values::{self, MAX_LINE, MAX_NAME};
use super::world::World;

/// An agent as written: its model is only a name.
pub(super) struct AgentDraft {
    pub(super) model: Option<(String, Place)>,
    build: Box<dyn FnOnce(Arc<Model>) -> Agent>,
}

impl AgentDraft {
    /// The agent as meant.
    pub(super) fn resolve(self, model: Arc<Model>) -> Agent {
        (self.build)(model)
    }
}

/// Reads the document of the agent `name`.
pub(super) fn read(name: &str, mut table: Table<'_, '_>, world: &dyn World) -> AgentDraft {
    let name = name.to_owned();
    let model = table.need("model", "the name of a table in models.toml");
    let model = model.and_then(|field| Some((field.string(MAX_NAME)?, field.place())));
    let instructions = table.need("instructions", "what the agent is told about itself and its work");
    let instructions = instructions.and_then(|f| f.string(MAX_INSTRUCTIONS)).unwrap_or_default();
    let voice = table.string("voice", 128);
    let speed = table.take("speed").and_then(|f| f.number(0.25..=1.5)).unwrap_or(1.0);
    let language = table.take("language").and_then(|field| {
        let iso = |text: &str| (2..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase());
        field.string_that(MAX_NAME, "an ISO 639-1 code such as \"en\" or \"pl\"", iso)
    });
    let transcription = transcription(&mut table);
    let max_output_tokens = table.take("max_output_tokens").and_then(|f| f.integer(1..=4_096)).map(|n| n as u32);
    let turn_detection = turn_detection(table.table("turn_detection"));
    let interruptions = table.take("interruptions").and_then(interruptions).unwrap_or(Interruptions::On);
    let noise_reduction = table.choice(
        "noise_reduction",
        NoiseReduction::NearField,
        &[
            ("none", NoiseReduction::None),
            ("near_field", NoiseReduction::NearField),
            ("far_field", NoiseReduction::FarField),
        ],
    );
    let greeting = match table.take("greeting").and_then(|f| spoken(f, world)) {
        None | Some(Spoken::None) => Greeting::None,
        Some(Spoken::Say(text)) => Greeting::Say(text),
        Some(Spoken::Play(sound)) => Greeting::Play(sound),
    };
    let farewell = match table.take("farewell").and_then(|f| spoken(f, world)) {
        None | Some(Spoken::None) => Farewell::None,
        Some(Spoken::Say(text)) => Farewell::Say(text),
        Some(Spoken::Play(sound)) => Farewell::Play(sound),
    };
    let tools = table.take("tools").map(tools).unwrap_or_default();
    let on_failure = on_failure(table.table("on_failure"), world);
    let hold_sound = table.take("hold_sound").and_then(|f| values::sound(f, world));
    let filler = table.take("filler").and_then(|f| values::sound(f, world));
    table.finish();
    let build = Box::new(move |model| Agent {
        name,
        instructions,
        model,
        voice,
        speed,
        language,
        transcription,
        max_output_tokens,
        turn_detection,
        interruptions,
        noise_reduction,
        greeting,
        farewell,
        tools,
        on_failure,
        hold_sound,
        filler,
    });
    AgentDraft { model, build }
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

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Local,
    Provider,
    Semantic,
    Disabled,
}

fn turn_detection(mut table: Table<'_, '_>) -> TurnDetection {
    let field = table.take("mode");
    let mode = field.as_ref().and_then(|field| {
        let mode = field.choice(&[
            ("provider", Mode::Provider),
            ("semantic", Mode::Semantic),
            ("disabled", Mode::Disabled),
            ("local", Mode::Local),
        ])?;
        if mode == Mode::Local {
            field.wrong("local turn detection is not there yet; use provider, semantic or disabled");
        }
        Some(mode)
    });
    let mode = mode.unwrap_or(Mode::Provider);
    // A setting of another mode is legal, so that one can go back and forth, and has no effect.
    let fits = |field: &Option<Field<'_, '_>>, only: Mode, name: &str| {
        if let Some(field) = field.as_ref().filter(|_| mode != only && mode != Mode::Local) {
            field.doubtful(format!("has no effect: it belongs to mode = \"{name}\""));
        }
    };
    let threshold = table.take("threshold");
    fits(&threshold, Mode::Provider, "provider");
    let threshold = threshold.and_then(|f| f.number(0.0..=1.0)).unwrap_or(0.5);
    let prefix = table.take("prefix_padding_ms");
    fits(&prefix, Mode::Provider, "provider");
    let prefix_padding_ms = prefix.and_then(|f| f.integer(0..=1_000)).unwrap_or(300) as u32;
    let silence = table.take("silence_duration_ms");
    fits(&silence, Mode::Provider, "provider");
    let silence_duration_ms = silence.and_then(|f| f.integer(50..=2_000)).unwrap_or(200) as u32;
    let eagerness = table.take("eagerness");
    fits(&eagerness, Mode::Semantic, "semantic");
    let choices =
        [("auto", Eagerness::Auto), ("low", Eagerness::Low), ("medium", Eagerness::Medium), ("high", Eagerness::High)];
    let eagerness = eagerness.and_then(|f| f.choice(&choices)).unwrap_or(Eagerness::Auto);
    let commit_key = table.take("commit_key");
    fits(&commit_key, Mode::Disabled, "disabled");
    let commit_key = commit_key.and_then(|field| {
        let key = |text: &str| text.len() == 1 && text.bytes().all(|b| b"0123456789*#ABCD".contains(&b));
        field.string_that(16, "one key: 0-9, *, #, A-D", key)?.chars().next()
    });
    table.finish();
    match mode {
        Mode::Local | Mode::Provider => TurnDetection::Provider { threshold, prefix_padding_ms, silence_duration_ms },
        Mode::Semantic => TurnDetection::Semantic { eagerness },
        Mode::Disabled => TurnDetection::Disabled { commit_key },
    }
}

/// `"on"`, `"off"` or `{ after_ms = N }`.
fn interruptions(field: Field<'_, '_>) -> Option<Interruptions> {
    if !field.is_table() {
        if field.as_str().is_none() {
            field.wrong_allowed("is of the wrong type", "\"on\", \"off\", { after_ms = 1-5000 }");
            return None;
        }
        return field.choice(&[("on", Interruptions::On), ("off", Interruptions::Off)]);
    }
    let mut table = field.table()?;
    let after = table.need("after_ms", "milliseconds of speech that interrupt").and_then(|f| f.integer(1..=5_000));
    table.finish();
    Some(Interruptions::AfterMs(after? as u32))
}

enum Spoken {
    None,
    Say(String),
    Play(Sound),
}

/// `"none"`, `{ say = … }` or `{ play = …, text = … }`.
fn spoken(field: Field<'_, '_>, world: &dyn World) -> Option<Spoken> {
    if !field.is_table() {
        if field.as_str() == Some("none") {
            return Some(Spoken::None);
        }
        field.wrong_allowed("is of another shape", SPOKEN_SHAPES);
        return None;
    }
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
            say.string(MAX_LINE).map(Spoken::Say)
        }
        (None, Some(play)) => {
            let text = text.and_then(|f| f.string(MAX_LINE)).unwrap_or_default();
            values::play(play, text, world).map(Spoken::Play)
        }
        _ => {
            table.note(Problem::error(&place, "needs either say or play").allowed(SPOKEN_SHAPES));
            None
        }
    };
    table.finish();
    spoken
}

fn tools(field: Field<'_, '_>) -> Vec<BuiltInTool> {
    let mut tools = Vec::new();
    for item in field.list(MAX_TOOLS) {
        let choices = [BuiltInTool::Note, BuiltInTool::HangUp].map(|tool| (tool.name(), tool));
        match item.choice(&choices) {
            Some(tool) if tools.contains(&tool) => item.wrong("is named twice"),
            Some(tool) => tools.push(tool),
            None => {}
        }
    }
    tools
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
const MAX_TOOLS: usize = 64;
const SPOKEN_SHAPES: &str = "\"none\", { say = \"…\" }, { play = \"sounds/….wav\", text = \"…\" }";
