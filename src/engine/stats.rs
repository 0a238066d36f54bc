//! What a call leaves behind in numbers: turns, interruptions and counters.

use std::collections::BTreeMap;

use crate::base::time::CallTime;
use crate::engine::io::Usage;
use crate::engine::report::{Complaint, Interruption, Key, Note, ToolUse, Turn};

/// Entries of each list in the report; beyond that they are only counted.
const LIST_MAX: usize = 1_000;
/// Different complaints of the model that the report keeps; further ones are only counted.
const COMPLAINTS_MAX: usize = 50;
/// Bytes of a tool's answer that the report keeps.
const OUTPUT_KEPT: usize = 4_096;

/// The call's statistics.
#[derive(Debug, Default)]
pub(super) struct Stats {
    pub(super) turns: Vec<Turn>,
    pub(super) interruptions: Vec<Interruption>,
    pub(super) notes: Vec<Note>,
    pub(super) keys: Vec<Key>,
    pub(super) tools: Vec<ToolUse>,
    pub(super) complaints: Vec<Complaint>,
    pub(super) usage: Usage,
    pub(super) model_ready_at: Option<CallTime>,
    counters: BTreeMap<&'static str, u64>,
}

impl Stats {
    /// Adds to a counter.
    pub(super) fn count(&mut self, name: &'static str, by: u64) {
        if by > 0 {
            *self.counters.entry(name).or_default() += by;
        }
    }

    pub(super) fn counters(&self) -> BTreeMap<String, u64> {
        self.counters.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
    }

    /// Opens the next turn and answers its number, which counts from 1.
    pub(super) fn open_turn(&mut self) -> u32 {
        if self.turns.len() < LIST_MAX {
            let turn = self.turns.len() as u32 + 1;
            self.turns.push(Turn { turn, ..Turn::default() });
        } else {
            self.count("turns_unlisted", 1);
        }
        self.turns.len() as u32
    }

    /// A turn that is sent again because the model refused it: said as it was, and committed now. Answers its number.
    pub(super) fn repeat_turn(&mut self, turn: u32, now: CallTime) -> u32 {
        let room = self.turns.len() < LIST_MAX;
        let Some(said) = self.turn(turn).filter(|_| room).cloned() else { return turn };
        let number = self.open_turn();
        if let Some(again) = self.turn(number) {
            again.speech_start_at_ms = said.speech_start_at_ms;
            again.speech_end_at_ms = said.speech_end_at_ms;
            again.stop_decided_at_ms = said.stop_decided_at_ms;
            again.commit_at_ms = Some(now.as_ms());
        }
        number
    }

    /// Takes back a turn that turned out to be none, if it is the last one.
    pub(super) fn close_turn(&mut self, turn: u32) {
        if turn > 0 && turn as usize == self.turns.len() {
            self.turns.pop();
        }
    }

    /// A turn by its number.
    pub(super) fn turn(&mut self, turn: u32) -> Option<&mut Turn> {
        self.turns.get_mut((turn as usize).checked_sub(1)?)
    }

    pub(super) fn interrupted(&mut self, interruption: Interruption) {
        self.count("barge_ins", 1);
        keep(&mut self.interruptions, interruption);
    }

    pub(super) fn noted(&mut self, at: CallTime, text: &str) {
        keep(&mut self.notes, Note { at_ms: at.as_ms(), text: text.to_owned() });
    }

    /// The model complains. Answers whether it has not said the same before.
    pub(super) fn complained(&mut self, at: CallTime, about: &'static str, text: &str) -> bool {
        if let Some(known) = self.complaints.iter_mut().find(|c| c.about == about && c.text == text) {
            known.times += 1;
            return false;
        }
        let listed = self.complaints.len() < COMPLAINTS_MAX;
        if listed {
            let (at_ms, about, text) = (at.as_ms(), about.to_owned(), text.to_owned());
            self.complaints.push(Complaint { at_ms, about, text, times: 1 });
        } else {
            self.count("complaints_unlisted", 1);
        }
        listed
    }

    pub(super) fn pressed(&mut self, at: CallTime, digit: char) {
        self.count("keys", 1);
        keep(&mut self.keys, Key { at_ms: at.as_ms(), digit });
    }

    pub(super) fn used(&mut self, at: CallTime, name: &str, output: &str, took_ms: u64) {
        self.count("tool_calls", 1);
        let output = output[..output.floor_char_boundary(OUTPUT_KEPT)].to_owned();
        keep(&mut self.tools, ToolUse { at_ms: at.as_ms(), name: name.to_owned(), output, took_ms });
    }
}

fn keep<T>(list: &mut Vec<T>, entry: T) {
    if list.len() < LIST_MAX {
        list.push(entry);
    }
}
