//! The part of an agent that says how its caller is heard: turn detection, interruptions, candidates beside them.

use std::fmt;
use std::ops::RangeInclusive;

use super::back_channels::{BackChannels, LISTS_MAX, PHRASE_MAX, PHRASES_MAX};
use super::problem::{Problem, Problems};
use super::reader::{self, Field, Table};
use super::types::{
    Eagerness, FalseInterruptions, Interruptions, MAX_SHADOWS, Shadow, TurnDetection, TurnSettings, VadEngine,
};

/// What an agent's document says of turns.
pub(super) struct Turns {
    pub(super) turn_detection: TurnDetection,
    pub(super) interruptions: Interruptions,
    pub(super) false_interruptions: FalseInterruptions,
    pub(super) back_channels: BackChannels,
    pub(super) echo_guard: bool,
    pub(super) shadows: Vec<Shadow>,
}

/// Reads the keys of turns from the document of an agent who talks in `language`.
pub(super) fn read(table: &mut Table<'_, '_>, language: Option<&str>) -> Turns {
    let turn_detection = turn_detection(table.table("turn_detection"));
    let interruptions = table.take("interruptions").and_then(interruptions).unwrap_or(Interruptions::On);
    // What needs our own detection is legal without it, so that one can go back and forth, and has no effect.
    let local = matches!(turn_detection, TurnDetection::Local(_));
    let mut ours = |key: &'static str| {
        let field = table.take(key);
        if let Some(field) = field.as_ref().filter(|_| !local) {
            field.doubtful("has no effect: it needs turn_detection.mode = \"local\"");
        }
        field
    };
    let default = FalseInterruptions::default();
    let false_interruptions = FalseInterruptions {
        resume: ours("resume_false_interruption").and_then(|f| f.boolean()).unwrap_or(default.resume),
        shorter_than_ms: ms(ours("min_interruption_ms"), MIN_INTERRUPTION_MS, default.shorter_than_ms),
        verdict_ms: ms(ours("verdict_ms"), VERDICT_MS, default.verdict_ms),
        untranscribed_ms: ms(ours(UNTRANSCRIBED), MIN_INTERRUPTION_MS, default.untranscribed_ms),
    };
    let own = ours("back_channels").map(back_channels).unwrap_or_default();
    let back_channels = BackChannels::of(language, &own);
    let echo_guard = ours("echo_guard").and_then(|f| f.boolean()).unwrap_or(true);
    let shadows = ours("shadow").map(|field| shadows(field, &turn_detection, interruptions, false_interruptions));
    let shadows = shadows.unwrap_or_default();
    Turns { turn_detection, interruptions, false_interruptions, back_channels, echo_guard, shadows }
}

/// The candidate that differs from `live` by what `text` says: lines such as `threshold = 0.6`, of the keys that a
/// `[[shadow]]` takes and of `engine` and `prefix_padding_ms`. `source` is what messages call the text.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn candidate(source: &str, text: &str, live: &Shadow) -> Result<Shadow, Problems> {
    let (candidate, noted) = reader::read(source, text, |_, mut table| {
        let engine = table.take("engine").and_then(|f| f.choice(&ENGINES)).unwrap_or(live.turn.engine);
        let padding = ms(table.take("prefix_padding_ms"), PREFIX_PADDING_MS, live.turn.prefix_padding_ms);
        let mut candidate = overlay(&mut table, live);
        candidate.turn.engine = engine;
        candidate.turn.prefix_padding_ms = padding;
        table.finish();
        candidate
    });
    let problems = Problems::new(noted.problems);
    candidate.filter(|_| !problems.has_errors()).ok_or(problems)
}

impl TurnDetection {
    /// The mode as documents name it.
    pub const fn mode(&self) -> &'static str {
        match self {
            TurnDetection::Local(_) => Mode::Local.name(),
            TurnDetection::Provider { .. } => Mode::Provider.name(),
            TurnDetection::Semantic { .. } => Mode::Semantic.name(),
            TurnDetection::Disabled { .. } => Mode::Disabled.name(),
        }
    }
}

/// As documents write it.
impl fmt::Display for Interruptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Interruptions::On => f.write_str("\"on\""),
            Interruptions::Off => f.write_str("\"off\""),
            Interruptions::AfterMs(ms) => write!(f, "{{ after_ms = {ms} }}"),
            Interruptions::MinWords(words) => write!(f, "{{ min_words = {words} }}"),
        }
    }
}

impl VadEngine {
    /// The engine as documents name it.
    pub const fn name(self) -> &'static str {
        match self {
            VadEngine::Silero => "silero",
            VadEngine::Earshot => "earshot",
            VadEngine::Energy => "energy",
        }
    }
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

fn turn_detection(mut table: Table<'_, '_>) -> TurnDetection {
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
    let default = TurnSettings::default();
    let settings = TurnSettings {
        engine: of("engine", OURS).and_then(|f| f.choice(&ENGINES)).unwrap_or(default.engine),
        threshold: of("threshold", VADS).and_then(|f| f.number(THRESHOLD)).unwrap_or(default.threshold),
        hysteresis: of("hysteresis", OURS).and_then(|f| f.number(HYSTERESIS)).unwrap_or(default.hysteresis),
        prefix_padding_ms: ms(of("prefix_padding_ms", VADS), PREFIX_PADDING_MS, default.prefix_padding_ms),
        silence_duration_ms: ms(of("silence_duration_ms", VADS), SILENCE_DURATION_MS, default.silence_duration_ms),
        min_speech_ms: ms(of("min_speech_ms", OURS), MIN_SPEECH_MS, default.min_speech_ms),
        max_turn_s: max_turn(of("max_turn_s", OURS), default.max_turn_s),
        level_margin_db: level_margin(of("level_margin_db", OURS), default.level_margin_db),
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
    field: Field<'_, '_>,
    live: &TurnDetection,
    interruptions: Interruptions,
    false_interruptions: FalseInterruptions,
) -> Vec<Shadow> {
    // In another mode they have no effect, and are checked all the same.
    let turn = match live {
        TurnDetection::Local(settings) => Some(settings),
        _ => None,
    };
    let live =
        Shadow { name: String::new(), turn: turn.cloned().unwrap_or_default(), interruptions, false_interruptions };
    let mut shadows: Vec<Shadow> = Vec::new();
    for field in field.list(MAX_SHADOWS) {
        let Some(mut table) = field.table() else { continue };
        let name = table.need("name", "what the report calls this candidate").and_then(|field| {
            let word = |t: &str| t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            let name = field.string_that(32, "1 to 32 letters, digits, - and _", word)?;
            if shadows.iter().any(|s| s.name == name) {
                field.wrong("another candidate has this name");
            }
            Some(name)
        });
        let candidate = overlay(&mut table, &live);
        table.finish();
        shadows.extend(name.map(|name| Shadow { name, ..candidate }));
    }
    if turn.is_none() {
        shadows.clear();
    }
    shadows
}

/// `live` with what the table says instead.
fn overlay(table: &mut Table<'_, '_>, live: &Shadow) -> Shadow {
    let Shadow { turn, interruptions, false_interruptions, .. } = live;
    Shadow {
        name: live.name.clone(),
        turn: TurnSettings {
            engine: turn.engine,
            threshold: table.take("threshold").and_then(|f| f.number(THRESHOLD)).unwrap_or(turn.threshold),
            hysteresis: table.take("hysteresis").and_then(|f| f.number(HYSTERESIS)).unwrap_or(turn.hysteresis),
            prefix_padding_ms: turn.prefix_padding_ms,
            silence_duration_ms: ms(table.take("silence_duration_ms"), SILENCE_DURATION_MS, turn.silence_duration_ms),
            min_speech_ms: ms(table.take("min_speech_ms"), MIN_SPEECH_MS, turn.min_speech_ms),
            max_turn_s: max_turn(table.take("max_turn_s"), turn.max_turn_s),
            level_margin_db: level_margin(table.take("level_margin_db"), turn.level_margin_db),
        },
        interruptions: table.take("interruptions").and_then(self::interruptions).unwrap_or(*interruptions),
        false_interruptions: FalseInterruptions {
            resume: table.boolean("resume_false_interruption", false_interruptions.resume),
            shorter_than_ms: ms(
                table.take("min_interruption_ms"),
                MIN_INTERRUPTION_MS,
                false_interruptions.shorter_than_ms,
            ),
            // What is not known of a candidate's words is not known sooner either.
            verdict_ms: false_interruptions.verdict_ms,
            untranscribed_ms: ms(table.take(UNTRANSCRIBED), MIN_INTERRUPTION_MS, false_interruptions.untranscribed_ms),
        },
    }
}

/// `{ en = ["mm-hm", …] }`: lists by language.
fn back_channels(field: Field<'_, '_>) -> Vec<(String, Vec<String>)> {
    let Some(mut table) = field.table() else { return Vec::new() };
    let mut lists = Vec::new();
    for (language, field) in table.rest() {
        if !(2..=3).contains(&language.len()) || !language.bytes().all(|b| b.is_ascii_lowercase()) {
            field.wrong_allowed("is no language", "ISO 639-1 codes such as en or pl");
        } else if lists.len() == LISTS_MAX {
            field.wrong_allowed("is one language too many", format!("at most {LISTS_MAX}"));
        } else {
            let phrases = field.list(PHRASES_MAX).into_iter().filter_map(|phrase| phrase.string(PHRASE_MAX));
            lists.push((language.to_owned(), phrases.collect()));
        }
    }
    lists
}

fn ms(field: Option<Field<'_, '_>>, range: RangeInclusive<u64>, default: u32) -> u32 {
    field.and_then(|f| f.integer(range)).map_or(default, |n| n as u32)
}

/// 0, or a length that leaves room for a sentence.
fn max_turn(field: Option<Field<'_, '_>>, default: u32) -> u32 {
    let Some(field) = field else { return default };
    match field.integer(0..=600) {
        Some(1..=4) => {
            field.wrong_allowed("is too short for a turn", "5-600, or 0 for no limit");
            default
        }
        Some(n) => n as u32,
        None => default,
    }
}

/// 0, or so much that the caller's own softer words are within it.
fn level_margin(field: Option<Field<'_, '_>>, default: u32) -> u32 {
    field.and_then(|field| level_margin_db(&field)).unwrap_or(default)
}

/// The same, of one value.
pub(super) fn level_margin_db(field: &Field<'_, '_>) -> Option<u32> {
    match field.integer(0..=40) {
        Some(1..=5) => {
            field.wrong_allowed("is less than a voice varies by itself", "6-40, or 0 for none");
            None
        }
        margin => margin.map(|n| n as u32),
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

pub(super) const ENGINES: [(&str, VadEngine); 3] = [
    (VadEngine::Silero.name(), VadEngine::Silero),
    (VadEngine::Earshot.name(), VadEngine::Earshot),
    (VadEngine::Energy.name(), VadEngine::Energy),
];
pub(super) const THRESHOLD: RangeInclusive<f32> = 0.0..=1.0;
pub(super) const HYSTERESIS: RangeInclusive<f32> = 0.0..=0.5;
const PREFIX_PADDING_MS: RangeInclusive<u64> = 0..=1_000;
pub(super) const SILENCE_DURATION_MS: RangeInclusive<u64> = 50..=2_000;
pub(super) const MIN_SPEECH_MS: RangeInclusive<u64> = 0..=1_000;
const MIN_INTERRUPTION_MS: RangeInclusive<u64> = 0..=5_000;
const VERDICT_MS: RangeInclusive<u64> = 100..=5_000;
const UNTRANSCRIBED: &str = "untranscribed_interruption_ms";
const INTERRUPTIONS_SHAPES: &str = "\"on\", \"off\", { after_ms = 1-5000 }, { min_words = 1-20 }";
