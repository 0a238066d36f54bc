//! What reacts to an engine, and what is written down of it.

use super::{Carrier, Diary, Model, Watch};
use crate::base::time::CallTime;
use crate::engine::Action;
use crate::lab::journal::trace;
use crate::lab::sim::line::Line;

/// What reacts to the engine.
#[derive(Debug)]
pub(super) struct World {
    pub(super) model: Model,
    pub(super) carrier: Carrier,
    pub(super) watch: Watch,
    pub(super) diary: Diary,
}

impl World {
    /// Takes in what the engine does, before the line has taken it.
    pub(super) fn sees(&mut self, line: &Line, at: CallTime, action: &Action<'_>) {
        match &mut self.diary {
            Diary::Off => {}
            Diary::Digest(digest) => {
                if let Some(line) = trace::line(at, action) {
                    *digest = line.bytes().fold(*digest, |d, b| (d ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3));
                }
            }
            Diary::Lines(lines) => lines.extend(trace::line(at, action)),
        }
        self.watch.action(line, at, action);
        match action {
            Action::SendModel(command) => {
                if let Err(what) = self.model.command(at, command) {
                    self.watch.breaks(at, what);
                }
                if let Some((item, number)) = self.model.took.take() {
                    self.watch.turns.took(item, number);
                }
                self.watch.turns.guessed |= self.model.unnamed;
            }
            Action::DialModel => self.model.dial(at),
            Action::CloseModel => self.model.close(),
            Action::Run(id, _) => self.carrier.run(at, *id),
            _ => {}
        }
    }
}
