//! `[outbound]` of a deployment: calls that are placed.

use super::reader::{Field, Table};
use super::scope::Scope;
use super::spoken;
use super::types::{Detect, OnMachine, Outbound, Spoken};
use super::world::World;

/// Reads the table.
pub(super) fn read(mut table: Table<'_, '_>, world: &dyn World, scope: &Scope) -> Outbound {
    let default = Outbound::default();
    let outbound = Outbound {
        ring_s: table.integer("ring_s", default.ring_s, 5..=600),
        detect: table.choice("detect", default.detect, &DETECT),
        wait_for_human: table.boolean("wait_for_human", default.wait_for_human),
        decide_within_ms: table.integer("decide_within_ms", default.decide_within_ms, 500..=30_000),
        monologue_ms: table.integer("monologue_ms", default.monologue_ms.into(), 2_000..=15_000) as u32,
        on_machine: table
            .take("on_machine")
            .and_then(|field| on_machine(field, world, scope))
            .unwrap_or(default.on_machine),
        beep_timeout_ms: table.integer("beep_timeout_ms", default.beep_timeout_ms, 1_000..=120_000),
    };
    table.finish();
    outbound
}

const DETECT: [(&str, Detect); 4] =
    [("off", Detect::Off), ("own", Detect::Own), ("carrier", Detect::Carrier), ("both", Detect::Both)];

fn on_machine(field: Field<'_, '_>, world: &dyn World, scope: &Scope) -> Option<OnMachine> {
    if field.is_table() {
        return match spoken::said(field, world, scope, SHAPES)? {
            Spoken::Say(text) => Some(OnMachine::Say(text)),
            Spoken::Play(sound) => Some(OnMachine::Play(sound)),
            Spoken::None => None,
        };
    }
    match field.as_str() {
        Some("hang_up") => Some(OnMachine::HangUp),
        Some("continue") => Some(OnMachine::Continue),
        _ => {
            field.wrong_allowed("is of another shape", SHAPES);
            None
        }
    }
}

const SHAPES: &str = "\"hang_up\", \"continue\", { say = \"…\" } or { play = \"….wav\", text = \"…\" } for a message";
