//! `[tool_sound]` of a deployment: what the caller hears while tools run.

use super::reader::Table;
use super::sound;
use super::types::{Sound, ToolSound};
use super::values::MAX_NAME;
use super::world::World;

/// Reads the table; `None`: silence.
pub(super) fn read(mut table: Table<'_, '_>, world: &dyn World) -> Option<ToolSound> {
    let field = table.take("sound");
    let grace_ms = table.integer("grace_ms", 700, 0..=10_000);
    let volume_db = table.take("volume_db").and_then(|f| f.number(-40.0..=0.0)).unwrap_or(-12.0);
    let fade_in_ms = table.integer("fade_in_ms", 150, 0..=2_000);
    let fade_out_ms = table.integer("fade_out_ms", 80, 0..=2_000);
    table.finish();
    let load = |path: &str| {
        let audio = world.recording(path, volume_db)?;
        Ok(Sound { name: path.to_owned(), text: String::new(), audio })
    };
    let sound = match field {
        // A directory from before there were tool sounds is as good as ever.
        None => load(TYPING).ok(),
        Some(field) => match field.string(MAX_NAME)?.as_str() {
            "none" => None,
            name => {
                let path = match name {
                    "typing" => TYPING,
                    "tone" => TONE,
                    path => path,
                };
                let sound: Result<Sound, String> = load(path);
                sound.map_err(|why| field.wrong_allowed(why, format!("none, typing, tone, or {}", sound::ALLOWED))).ok()
            }
        },
    };
    Some(ToolSound { sound: sound?, volume_db, grace_ms, fade_in_ms, fade_out_ms })
}

const TYPING: &str = "sounds/typing.wav";
const TONE: &str = "sounds/tone.wav";
