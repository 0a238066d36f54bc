//! What is said without the model having thought of it: greetings, farewells, lines.

use super::problem::Problem;
use super::reader::Field;
use super::scope::Scope;
use super::types::Spoken;
use super::values::{self, MAX_LINE};
use super::world::World;

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

const SPOKEN_SHAPES: &str = "\"none\", { say = \"…\" }, { play = \"sounds/….wav\", text = \"…\" }";
