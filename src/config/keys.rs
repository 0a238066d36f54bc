//! `[keys]` of an agent: what becomes of the keys that the caller presses.

use std::collections::BTreeMap;

use super::problem::Problem;
use super::reader::{Field, Table};
use super::types::{Destination, KeyAction, Keys, TurnDetection};
use super::values::{self, MAX_LINE};

/// Reads `keys = "off"`, or the table; `None`: keys are only kept in the report.
pub(super) fn read(parent: &mut Table<'_, '_>, turns: &TurnDetection, destinations: &[Destination]) -> Option<Keys> {
    let field = parent.take("keys");
    if let Some(field) = field.as_ref().filter(|f| !f.is_table()) {
        field.choice(&[("off", ())]);
        return None;
    }
    let mut table = match field {
        Some(field) => field.layered()?,
        None => parent.absent("keys"),
    };
    let commit_key = match turns {
        TurnDetection::Disabled { commit_key } => *commit_key,
        _ => None,
    };
    let default = Keys::default();
    let max_digits = table.integer("max_digits", u64::from(default.max_digits), 1..=32) as u32;
    let written = table.take("terminator");
    let timeout_ms = table.integer("timeout_ms", default.timeout_ms, 500..=30_000);
    let meaning = table.string("meaning", MAX_LINE);
    let interrupt = table.boolean("interrupt", default.interrupt);
    let actions = table
        .take("actions")
        .and_then(Field::table)
        .map(|table| actions(table, turns, destinations))
        .unwrap_or_default();
    table.finish();
    let terminator = match written {
        // The default gives way to what is written.
        None => default.terminator.filter(|key| Some(*key) != commit_key && !actions.contains_key(key)),
        Some(field) if field.as_str() == Some("none") => None,
        Some(field) => {
            let key = field.string_that(16, TERMINATORS, |text| is_key(text).is_some()).and_then(|text| is_key(&text));
            match key {
                Some(key) if Some(key) == commit_key => field.clash("is turn_detection.commit_key, which ends turns"),
                Some(key) if actions.contains_key(&key) => field.clash("has an action too: see keys.actions"),
                _ => {}
            }
            key
        }
    };
    Some(Keys { max_digits, terminator, timeout_ms, meaning, interrupt, actions })
}

fn actions(mut table: Table<'_, '_>, turns: &TurnDetection, destinations: &[Destination]) -> BTreeMap<char, KeyAction> {
    let mut actions = BTreeMap::new();
    for (name, field) in table.rest() {
        let Some(key) = is_key(name) else {
            field.note(Problem::error(&field.key_place(), "is no key").allowed(KEYS));
            continue;
        };
        match turns {
            TurnDetection::Disabled { commit_key } if *commit_key == Some(key) => {
                field.note(
                    Problem::error(&field.key_place(), "is turn_detection.commit_key, which ends turns").relative(),
                );
            }
            _ => {}
        }
        let action = match field.as_str() {
            _ if field.is_table() => transfer(field, destinations),
            Some("hang_up") => Some(KeyAction::HangUp),
            Some("repeat") => Some(KeyAction::Repeat),
            Some("ignore") => Some(KeyAction::Ignore),
            Some("commit") => {
                if !matches!(turns, TurnDetection::Disabled { .. }) {
                    field.clash("belongs to turn_detection.mode = \"disabled\": in any other, speech ends turns");
                }
                Some(KeyAction::Commit)
            }
            _ => {
                field.wrong_allowed("is not what a key can do", ACTIONS);
                None
            }
        };
        actions.extend(action.map(|action| (key, action)));
    }
    actions
}

fn transfer(field: Field<'_, '_>, destinations: &[Destination]) -> Option<KeyAction> {
    let mut table = field.table()?;
    let to = table.need("transfer", "the destination or the number to put the caller through to");
    let to = to.and_then(|field| match field.as_str() {
        Some(name) if destinations.iter().any(|known| known.name == name) => Some(name.to_owned()),
        Some(text) if !text.starts_with('+') => {
            let names: Vec<_> = destinations.iter().map(|known| known.name.as_str()).collect();
            let names = if names.is_empty() { "there is none".to_owned() } else { names.join(", ") };
            let allowed = format!("a number in E.164, or the name of a [[destination]]: {names}");
            let problem = Problem::error(&field.place(), "is neither a number nor a destination");
            field.note(problem.allowed(allowed).relative());
            None
        }
        _ => values::e164(&field),
    });
    table.finish();
    to.map(KeyAction::Transfer)
}

fn is_key(text: &str) -> Option<char> {
    let mut chars = text.chars();
    let key = chars.next().filter(|c| "0123456789*#ABCD".contains(*c))?;
    chars.next().is_none().then_some(key)
}

const KEYS: &str = "one key: 0-9, *, #, A-D";
const TERMINATORS: &str = "\"none\", or one key: 0-9, *, #, A-D";
const ACTIONS: &str = "\"hang_up\", \"repeat\", \"commit\", \"ignore\", { transfer = \"+15550100100\" }";
