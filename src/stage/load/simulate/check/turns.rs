//! Whose words stand at which turn.

use std::collections::BTreeMap;

use super::*;
use crate::engine::Role;

/// The caller's turns, by what the model made of them.
#[derive(Debug, Default)]
pub(in crate::stage::load::simulate) struct Turns {
    /// Turns by the numbers of their commits.
    committed: BTreeMap<u32, u32>,
    /// Commits by the item that they became.
    items: BTreeMap<u32, u32>,
    last: u32,
    /// It is not known: the model detects turns itself, or something had no name that should have one.
    pub(in crate::stage::load::simulate) guessed: bool,
}

impl Turns {
    /// `known`: turns are committed by the engine, so that each has a number.
    pub(super) fn new(known: bool) -> Self {
        Turns { guessed: !known, ..Turns::default() }
    }

    /// The model made this item of that commit.
    pub(in crate::stage::load::simulate) fn took(&mut self, item: u32, number: u32) {
        self.items.insert(item, number);
    }

    pub(super) fn action(&mut self, action: &Action<'_>) {
        match action {
            Action::SendModel(ModelCommand::CommitAudio { number }) => self.last = *number,
            Action::Emit(CallEvent::TurnCommitted { turn, .. } | CallEvent::TurnSentAgain { turn, .. }) => {
                self.committed.insert(self.last, *turn);
            }
            _ => {}
        }
    }
}

impl Watch {
    /// What the words of a caller's item begin with.
    pub(in crate::stage::load::simulate) fn words_of(item: u32) -> String {
        format!("#{item}")
    }

    /// Words stand at the turn in which they were said.
    pub(super) fn compare_turns(&mut self, now: CallTime, report: &Report) {
        if self.turns.guessed {
            return;
        }
        for line in report.lines.iter().filter(|line| line.who == Role::Caller) {
            let item = line.text.strip_prefix('#').and_then(|text| text.split(' ').next()?.parse().ok());
            let number = item.and_then(|item: u32| self.turns.items.get(&item));
            let turn = number.and_then(|number| self.turns.committed.get(number));
            let turn = turn.and_then(|turn| report.turns.get((*turn as usize).checked_sub(1)?));
            if let Some(began_ms) = turn.and_then(|turn| turn.speech_start_at_ms)
                && began_ms != line.at_ms
            {
                let what = format!("{:?} stands at {} ms and was said at {began_ms}", line.text, line.at_ms);
                self.breaks(now, what);
            }
        }
    }
}
