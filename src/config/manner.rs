//! How an agent talks and listens: what its document has as defaults, and a phone deployment may have otherwise.

use super::problem::Place;
use super::reader::Table;
use super::scope::Scope;
use super::spoken::spoken;
use super::turns::{self, Turns};
use super::types::{AfterFailure, Destination, Manner, NoiseEngine, NoiseReduction, OnFailure, Spoken, Transcription};
use super::values::{self, MAX_LINE, MAX_NAME};
use super::world::World;
use super::{idle, keys};

/// The keys of a document that are read here.
pub(super) const KEYS: [&str; 25] = [
    "voice",
    "speed",
    "language",
    "transcription",
    "max_output_tokens",
    "turn_detection",
    "interruptions",
    "resume_false_interruption",
    "min_interruption_ms",
    "verdict_ms",
    "untranscribed_interruption_ms",
    "back_channels",
    "echo_guard",
    "shadow",
    "noise_reduction",
    "noise_reduction_engine",
    "disclaimer",
    "greeting",
    "greeting_interruptible",
    "farewell",
    "on_failure",
    "hold_sound",
    "filler",
    "keys",
    "idle",
];

/// What a document says of it.
#[derive(Clone, Debug)]
pub(super) struct MannerDraft {
    pub(super) manner: Manner,
    /// Where the voice is named.
    pub(super) voice_at: Option<Place>,
}

impl MannerDraft {
    /// The voice that it names, and where.
    pub(super) fn voice(&self) -> Option<(&str, &Place)> {
        self.manner.voice.as_deref().zip(self.voice_at.as_ref())
    }
}

/// Reads the keys from a document whose texts know `scope`.
pub(super) fn read(
    table: &mut Table<'_, '_>,
    scope: &Scope,
    destinations: &[Destination],
    world: &dyn World,
) -> MannerDraft {
    let voice = table.take("voice").and_then(|field| Some((field.string(128)?, field.place())));
    let (voice, voice_at) = voice.unzip();
    let speed = table.take("speed").and_then(|f| f.number(0.25..=1.5)).unwrap_or(1.0);
    let language = table.take("language").and_then(|field| {
        let iso = |text: &str| (2..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase());
        field.string_that(MAX_NAME, "an ISO 639-1 code such as \"en\" or \"pl\"", iso)
    });
    let transcription = transcription(table);
    let max_output_tokens = table.take("max_output_tokens").and_then(|f| f.integer(1..=4_096)).map(|n| n as u32);
    let Turns { turn_detection, interruptions, false_interruptions, back_channels, echo_guard, shadows } =
        turns::read(table, language.as_deref());
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
    let greeting = table.take("greeting").and_then(|f| spoken(f, world, scope)).unwrap_or(Spoken::None);
    let greeting_interruptible = table.boolean("greeting_interruptible", true);
    let farewell = table.take("farewell").and_then(|f| spoken(f, world, scope)).unwrap_or(Spoken::None);
    let on_failure = on_failure(table.whole("on_failure"), world);
    let hold_sound = table.take("hold_sound").and_then(|f| values::sound(f, world));
    let filler = table.take("filler").and_then(|f| values::sound(f, world));
    let keys = keys::read(table, &turn_detection, destinations);
    let idle = idle::read(table.table("idle"), &turn_detection, world, scope);
    let manner = Manner {
        voice,
        speed,
        language,
        transcription,
        max_output_tokens,
        turn_detection,
        shadows,
        interruptions,
        false_interruptions,
        back_channels: back_channels.into(),
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
    };
    MannerDraft { manner, voice_at }
}

/// `transcription = "off"`, or a table.
fn transcription(parent: &mut Table<'_, '_>) -> Option<Transcription> {
    let field = parent.take("transcription");
    if let Some(field) = field.as_ref().filter(|f| !f.is_table()) {
        field.choice(&[("off", ())]);
        return None;
    }
    let mut table = match field {
        Some(field) => field.layered()?,
        None => parent.absent("transcription"),
    };
    let model = table.take("model").and_then(|field| {
        let model = field.string(128)?;
        if let Some((_, until)) = ENDING.iter().find(|(ending, _)| *ending == model) {
            field.doubtful(format!("its vendor ends it on {until}; use {TRANSCRIPTION:?}"));
        }
        Some(model)
    });
    let model = model.unwrap_or_else(|| TRANSCRIPTION.to_owned());
    let prompt = table.string("prompt", MAX_LINE);
    table.finish();
    Some(Transcription { model, prompt })
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

/// The vendor's current model for transcription.
const TRANSCRIPTION: &str = "gpt-transcribe";
/// Models whose end is announced, and when it is (C-05).
const ENDING: [(&str, &str); 1] = [("whisper-1", "2027-02-26")];
