//! `[idle]` of an agent: what is said to a caller who says nothing.

use super::reader::{Field, Table};
use super::scope::Scope;
use super::spoken;
use super::types::{Idle, Spoken, TurnDetection};
use super::world::World;

/// Reads the table; `None`: nobody speaks to a caller who says nothing.
pub(super) fn read(mut table: Table<'_, '_>, turns: &TurnDetection, world: &dyn World, scope: &Scope) -> Option<Idle> {
    let after = table.take("after_s");
    let after_s = match after.as_ref().and_then(|f| f.integer(0..=600)) {
        Some(1) => {
            after.iter().for_each(|f| f.wrong_allowed("is too short for an answer", "2-600, or 0 for never"));
            0
        }
        n => n.unwrap_or(0),
    };
    if let (Some(field), TurnDetection::Disabled { .. }, 1..) = (&after, turns, after_s) {
        field.doubtful("may cut in: in turn_detection.mode = \"disabled\" nobody hears whether the caller speaks");
    }
    let lines = table.take("lines");
    let mut lines: Vec<Spoken> = lines
        .map(|field| {
            let items = field.list(MAX_LINES);
            if field.is_list() && items.is_empty() {
                field.wrong_allowed("is empty", format!("1 to {MAX_LINES} of {SHAPES}"));
            }
            items.into_iter().filter_map(|item| line(item, world, scope)).collect()
        })
        .unwrap_or_default();
    if lines.is_empty() {
        lines.push(Spoken::Say("Are you still there?".to_owned()));
    }
    let times = table.integer("times", 2, 1..=20) as u32;
    let end = table.boolean("end", true);
    table.finish();
    (after_s > 0).then_some(Idle { after_ms: after_s * 1_000, lines, times, end })
}

/// `{ say = … }` or `{ play = …, text = … }`.
fn line(field: Field<'_, '_>, world: &dyn World, scope: &Scope) -> Option<Spoken> {
    if !field.is_table() {
        field.wrong_allowed("is of another shape", SHAPES);
        return None;
    }
    spoken::said(field, world, scope, SHAPES)
}

const MAX_LINES: usize = 20;
const SHAPES: &str = "{ say = \"…\" }, { play = \"sounds/….wav\", text = \"…\" }";
