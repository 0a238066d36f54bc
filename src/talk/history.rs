//! What a conversation remembers of what was said: all rows, up to a bound; the store has the rest.

use std::collections::VecDeque;
use std::sync::Arc;

use super::row::{From, Row};

/// Rows in memory.
const ROWS_MAX: usize = 1_000;
/// Bytes of them, about; the latest rows of a turn are kept all the same.
const BYTES_MAX: usize = 512 * 1024;
/// Ids of senders that are known again.
const KNOWN_MAX: usize = 256;

/// Who gave an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Visitor,
    Team,
}

/// Rows by their place, oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    rows: VecDeque<Row>,
    bytes: usize,
    known: VecDeque<(Sender, Arc<str>, u64)>,
    /// Rows that the store has and this has not any more.
    let_go: u64,
    last_seq: u64,
}

impl History {
    /// A place for what comes next.
    pub(super) fn place(&mut self) -> u64 {
        self.last_seq += 1;
        self.last_seq
    }

    /// Puts a row where its place is; one that is there is replaced. Answers how many were let go of for it.
    pub(super) fn put(&mut self, row: Row) -> u64 {
        self.last_seq = self.last_seq.max(row.seq);
        self.bytes += row.weight();
        let at = self.rows.partition_point(|other| other.seq < row.seq);
        match self.rows.get_mut(at).filter(|other| other.seq == row.seq) {
            Some(other) => self.bytes -= std::mem::replace(other, row).weight(),
            None => self.rows.insert(at, row),
        }
        let before = self.let_go;
        while self.rows.len() > ROWS_MAX || self.bytes > BYTES_MAX && self.rows.len() > 1 {
            let Some(gone) = self.rows.pop_front() else { break };
            self.bytes -= gone.weight();
            self.let_go += 1;
        }
        self.let_go - before
    }

    /// Remembers a sender's id.
    pub(super) fn know(&mut self, sender: Sender, id: &Arc<str>, seq: u64) {
        if self.known.len() == KNOWN_MAX {
            self.known.pop_front();
        }
        self.known.push_back((sender, Arc::clone(id), seq));
    }

    /// The place of what has this id.
    pub(super) fn known(&self, sender: Sender, id: &str) -> Option<u64> {
        self.known.iter().rev().find(|(by, known, _)| *by == sender && **known == *id).map(|(_, _, seq)| *seq)
    }

    /// All rows, oldest first.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> + Clone {
        self.rows.iter()
    }

    /// Whether rows are in the store only: let go of, or never given.
    pub(super) fn has_earlier(&self) -> bool {
        self.rows.front().is_some_and(|row| row.seq > 1)
    }

    /// The row at a place.
    pub(super) fn at(&self, seq: u64) -> Option<&Row> {
        self.rows.binary_search_by_key(&seq, |row| row.seq).ok().and_then(|at| self.rows.get(at))
    }

    /// The last that anybody said, or an answer of which nothing came.
    pub(super) fn last_said(&self) -> Option<&Row> {
        self.rows.iter().rev().find(|row| row.is_shown())
    }

    /// The visitor's last message.
    pub(super) fn last_of_visitor(&self) -> Option<u64> {
        self.rows.iter().rev().find(|row| row.from == From::Visitor).map(|row| row.seq)
    }

    /// What was answered to the message or by the answer at a place: the latest that answers it first.
    pub(super) fn answer_to(&self, seq: u64) -> Option<&Row> {
        let answers = |row: &Row| row.answer.as_ref().map_or(0, |answer| answer.answers);
        match self.at(seq)?.from {
            From::Visitor => {
                let first = self.rows.iter().map(answers).filter(|answers| *answers >= seq).min()?;
                self.rows.iter().rev().find(|row| answers(row) == first)
            }
            _ => self.at(seq),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::talk::row::State;

    fn row(seq: u64, bytes: usize) -> Row {
        let text = "x".repeat(bytes).into();
        Row { seq, event: 0, from: From::Visitor, text, client: None, state: State::Whole, answer: None }
    }

    #[test]
    fn rows_lie_by_their_place_and_memory_is_bounded() {
        let mut history = History::default();
        for seq in [1, 3, 2] {
            history.put(row(seq, 10));
        }
        assert_eq!(history.rows().map(|row| row.seq).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(history.put(row(2, 20)), 0);
        assert_eq!((history.at(2).map(|row| row.text.len()), history.rows().count()), (Some(20), 3));
        assert_eq!(history.put(row(4, BYTES_MAX)), 3, "the last one is kept, however large");
        assert!(history.has_earlier());
        for seq in 5..2_000 {
            history.put(row(seq, 1));
        }
        assert!(history.rows().count() <= ROWS_MAX && history.bytes <= BYTES_MAX);
        assert_eq!(history.bytes, history.rows().map(Row::weight).sum::<usize>());
    }

    #[test]
    fn ids_are_known_by_sender_and_bounded() {
        let mut history = History::default();
        for seq in 0..KNOWN_MAX as u64 + 1 {
            history.know(Sender::Visitor, &format!("m{seq}").into(), seq);
        }
        assert_eq!(history.known(Sender::Visitor, "m0"), None);
        assert_eq!(history.known(Sender::Visitor, "m1"), Some(1));
        assert_eq!(history.known(Sender::Team, "m1"), None);
    }
}
