//! `agents/*.toml`: who talks.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::problem::{Place, Problem};
use super::reader::{Field, Table};
use super::types::{
    AfterFailure, Agent, BuiltInTool, Eagerness, FalseInterruptions, Farewell, Greeting, Interruptions, MAX_SHADOWS,
    Model, NoiseEngine, NoiseReduction, OnFailure, Shadow, Sound, Transcription, TurnDetection, TurnSettings,
    VadEngine,
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
    let turn_detection = turn_detection(table.table("turn_detection"), &TurnSettings::default());
    let interruptions = table.take("interruptions").and_then(interruptions).unwrap_or(Interruptions::On);
    let false_interruptions = false_interruptions(&mut table, FalseInterruptions::default());
    let shadows = shadows(&mut table, &turn_detection, interruptions, false_interruptions);
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
    let echo_guard = table.boolean("echo_guard", true);
    let disclaimer = table.take("disclaimer").and_then(|f| values::sound(f, world));
    let greeting = match table.take("greeting").and_then(|f| spoken(f, world)) {
        None | Some(Spoken::None) => Greeting::None,
        Some(Spoken::Say(text)) => Greeting::Say(text),
        Some(Spoken::Play(sound)) => Greeting::Play(sound),
    };
    let greeting_interruptible = table.boolean("greeting_interruptible", true);
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
        shadows,
        interruptions,
        false_interruptions,
        noise_reduction,
        noise_engine,
        echo_guard,
        disclaimer,
        greeting,
        greeting_interruptible,
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

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Mode::Local => "local",
            Mode::Provider => "provider",
            Mode::Semantic => "semantic",
            Mode::Disabled => "disabled",
        }
    }
}

/// What is not written is as in `default`.
pub(super) fn turn_detection(mut table: Table<'_, '_>, default: &TurnSettings) -> TurnDetection {
    let modes = [Mode::Local, Mode::Provider, Mode::Semantic, Mode::Disabled].map(|mode| (mode.name(), mode));
    let mode = table.choice("mode", Mode::Local, &modes);
    // A setting of another mode is legal, so that one can go back and forth, and has no effect.
    let mut of = |key: &'static str, modes: &[Mode]| {
        let field = table.take(key);
        if let Some(field) = field.as_ref().filter(|_| !modes.contains(&mode)) {
            let names: Vec<_> = modes.iter().map(|mode| format!("{:?}", mode.name())).collect();
            field.doubtful(format!("has no effect: it belongs to mode = {}", names.join(" or ")));
        }
        field
    };
    const OURS: &[Mode] = &[Mode::Local];
    const VADS: &[Mode] = &[Mode::Local, Mode::Provider];
    let settings = TurnSettings {
        engine: of("engine", OURS).and_then(|f| f.choice(&ENGINES)).unwrap_or(default.engine),
        threshold: of("threshold", VADS).and_then(|f| f.number(THRESHOLD)).unwrap_or(default.threshold),
        hysteresis: of("hysteresis", OURS).and_then(|f| f.number(HYSTERESIS)).unwrap_or(default.hysteresis),
        prefix_padding_ms: ms(of("prefix_padding_ms", VADS), PREFIX_PADDING_MS, default.prefix_padding_ms),
        silence_duration_ms: ms(of("silence_duration_ms", VADS), SILENCE_DURATION_MS, default.silence_duration_ms),
        min_speech_ms: ms(of("min_speech_ms", OURS), MIN_SPEECH_MS, default.min_speech_ms),
        max_turn_s: max_turn(of("max_turn_s", OURS), default.max_turn_s),
    };
    let eagerness = of("eagerness", &[Mode::Semantic]);
    let choices =
        [("auto", Eagerness::Auto), ("low", Eagerness::Low), ("medium", Eagerness::Medium), ("high", Eagerness::High)];
    let eagerness = eagerness.and_then(|f| f.choice(&choices)).unwrap_or(Eagerness::Auto);
    let commit_key = of("commit_key", &[Mode::Disabled]).and_then(|field| {
        let key = |text: &str| text.len() == 1 && text.bytes().all(|b| b"0123456789*#ABCD".contains(&b));
        field.string_that(16, "one key: 0-9, *, #, A-D", key)?.chars().next()
    });
    table.finish();
    let TurnSettings { threshold, prefix_padding_ms, silence_duration_ms, .. } = settings;
    match mode {
        Mode::Local => TurnDetection::Local(settings),
        Mode::Provider => TurnDetection::Provider { threshold, prefix_padding_ms, silence_duration_ms },
        Mode::Semantic => TurnDetection::Semantic { eagerness },
        Mode::Disabled => TurnDetection::Disabled { commit_key },
    }
}

/// `[[shadow]]`: keys that are not written are the live ones.
fn shadows(
    parent: &mut Table<'_, '_>,
    live: &TurnDetection,
    interruptions: Interruptions,
    false_interruptions: FalseInterruptions,
) -> Vec<Shadow> {
    let Some(field) = parent.take("shadow") else { return Vec::new() };
    let TurnDetection::Local(live) = live else {
        field.doubtful("has no effect: candidates are tried beside turn_detection.mode = \"local\"");
        field.list(MAX_SHADOWS).into_iter().for_each(|f| drop(f.table().map(|mut t| t.rest())));
        return Vec::new();
    };
    let mut shadows: Vec<Shadow> = Vec::new();
    for field in field.list(MAX_SHADOWS) {
        let place = field.place();
        let Some(mut table) = field.table() else { continue };
        let name = table.need("name", "what the report calls this candidate");
        let word = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let name = name.and_then(|f| f.string_that(32, "letters, digits, - and _", word));
        let mut turn = live.clone();
        turn.threshold = table.take("threshold").and_then(|f| f.number(THRESHOLD)).unwrap_or(live.threshold);
        turn.hysteresis = table.take("hysteresis").and_then(|f| f.number(HYSTERESIS)).unwrap_or(live.hysteresis);
        turn.silence_duration_ms = ms(table.take("silence_duration_ms"), SILENCE_DURATION_MS, live.silence_duration_ms);
        turn.min_speech_ms = ms(table.take("min_speech_ms"), MIN_SPEECH_MS, live.min_speech_ms);
        turn.max_turn_s = max_turn(table.take("max_turn_s"), live.max_turn_s);
        let interruptions = table.take("interruptions").and_then(self::interruptions).unwrap_or(interruptions);
        let false_interruptions = self::false_interruptions(&mut table, false_interruptions);
        table.finish();
        let Some(name) = name else { continue };
        if shadows.iter().any(|s| s.name == name) {
            parent.note(Problem::error(&place, format!("the name {name:?} is given twice")));
            continue;
        }
        shadows.push(Shadow { name, turn, interruptions, false_interruptions });
    }
    shadows
}

fn false_interruptions(table: &mut Table<'_, '_>, default: FalseInterruptions) -> FalseInterruptions {
    FalseInterruptions {
        resume: table.boolean("resume_false_interruption", default.resume),
        shorter_than_ms: ms(table.take("min_interruption_ms"), 0..=5_000, default.shorter_than_ms),
    }
}

fn ms(field: Option<Field<'_, '_>>, range: RangeInclusive<u64>, default: u32) -> u32 {
    field.and_then(|f| f.integer(range)).map_or(default, |n| n as u32)
}

/// 0, or a length that leaves room for a sentence.
fn max_turn(field: Option<Field<'_, '_>>, default: u32) -> u32 {
    let Some(field) = field else { return default };
    match field.integer(0..=600) {
        Some(n @ 1..=4) => {
            field.wrong_allowed(format!("{n} is too short for a turn"), "5-600, or 0 for no limit");
            default
        }
        Some(n) => n as u32,
        None => default,
    }
}

/// `"on"`, `"off"`, `{ after_ms = N }` or `{ min_words = N }`.
fn interruptions(field: Field<'_, '_>) -> Option<Interruptions> {
    if !field.is_table() {
        if field.as_str().is_none() {
            field.wrong_allowed("is of the wrong type", INTERRUPTIONS_SHAPES);
            return None;
        }
        return field.choice(&[("on", Interruptions::On), ("off", Interruptions::Off)]);
    }
    let place = field.place();
    let mut table = field.table()?;
    let after = table.take("after_ms");
    let words = table.take("min_words");
    let interruptions = match (after, words) {
        (Some(after), None) => after.integer(1..=5_000).map(|n| Interruptions::AfterMs(n as u32)),
        (None, Some(words)) => words.integer(1..=20).map(|n| Interruptions::MinWords(n as u32)),
        _ => {
            table.note(Problem::error(&place, "needs either after_ms or min_words").allowed(INTERRUPTIONS_SHAPES));
            None
        }
    };
    table.finish();
    interruptions
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

pub(super) const ENGINES: [(&str, VadEngine); 3] =
    [("silero", VadEngine::Silero), ("earshot", VadEngine::Earshot), ("energy", VadEngine::Energy)];
pub(super) const THRESHOLD: RangeInclusive<f32> = 0.0..=1.0;
pub(super) const HYSTERESIS: RangeInclusive<f32> = 0.0..=0.5;
pub(super) const PREFIX_PADDING_MS: RangeInclusive<u64> = 0..=1_000;
pub(super) const SILENCE_DURATION_MS: RangeInclusive<u64> = 50..=2_000;
pub(super) const MIN_SPEECH_MS: RangeInclusive<u64> = 0..=1_000;
const INTERRUPTIONS_SHAPES: &str = "\"on\", \"off\", { after_ms = 1-5000 }, { min_words = 1-20 }";
const MAX_INSTRUCTIONS: usize = 65_536;
const MAX_TOOLS: usize = 64;
const SPOKEN_SHAPES: &str = "\"none\", { say = \"…\" }, { play = \"sounds/….wav\", text = \"…\" }";
