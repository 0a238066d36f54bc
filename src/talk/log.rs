//! The latest events, for who comes back and says the last one seen (WEB-05).

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Serialize;

use super::handoff::Holder;
use super::io::{Event, Said, What};

/// Events kept; an answer streamed in pieces of a few letters has some hundreds.
const EVENTS_MAX: usize = 512;
/// Bytes of text in them.
const BYTES_MAX: usize = 128 * 1024;
/// A restored conversation goes on at the next multiple of this: more than it can have given out since its last row was
/// written, for an answer has no more pieces than bytes.
const STRIDE: u64 = 1 << 20;

/// What who comes back has missed.
#[derive(Clone, Debug, PartialEq)]
pub enum Resume {
    /// These events, oldest first; maybe none.
    Events(Vec<Event>),
    /// More than is remembered: everything anew, in place of all that was shown.
    Anew(Snapshot),
}

/// A conversation as it is to be shown now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// The id of the last event that it holds: what follows has greater ones.
    pub id: u64,
    /// What was said, oldest first; an answer under way has what there is of it and comes last.
    pub said: Vec<Said>,
    /// The answer that is under way.
    pub running: Option<u64>,
    /// Who has the conversation.
    pub hand: Holder,
    /// Whether there is more before it in the store.
    pub earlier: bool,
}

/// The latest events.
#[derive(Debug)]
pub(super) struct Log {
    events: VecDeque<Event>,
    bytes: usize,
    /// The last id that was given out.
    last: u64,
}

impl Log {
    /// Of a new conversation.
    pub(super) fn new() -> Log {
        Log { events: VecDeque::new(), bytes: 0, last: 0 }
    }

    /// Of one that is restored; the ids that it gave out and that are known go up to `last`.
    pub(super) fn after(last: u64) -> Log {
        Log { last: (last / STRIDE + 1) * STRIDE, ..Log::new() }
    }

    /// The last id that was given out.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Gives an event its id, and keeps it.
    pub(super) fn push(&mut self, what: What) -> Event {
        self.last += 1;
        let event = Event { id: self.last, what };
        self.bytes += weight(&event);
        self.events.push_back(event.clone());
        while self.events.len() > EVENTS_MAX || self.bytes > BYTES_MAX {
            let Some(gone) = self.events.pop_front() else { break };
            self.bytes -= weight(&gone);
        }
        event
    }

    /// The events after `id`; `None`: not all of them are known, or `id` was never given out.
    pub(super) fn since(&self, id: u64) -> Option<Vec<Event>> {
        let first = self.last + 1 - self.events.len() as u64;
        if id > self.last || id + 1 < first {
            return None;
        }
        Some(self.events.iter().skip((id + 1 - first) as usize).cloned().collect())
    }
}

fn weight(event: &Event) -> usize {
    let text: &Arc<str> = match &event.what {
        What::Delta { text, .. } | What::Said(Said { text, .. }) => text,
        _ => return 64,
    };
    text.len() + 64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(text: &str) -> What {
        What::Delta { message: 1, text: text.into() }
    }

    #[test]
    fn web_05_who_comes_back_gets_what_was_missed_or_everything() {
        let mut log = Log::new();
        assert_eq!(log.since(0), Some(vec![]));
        let events: Vec<Event> = ["a", "b", "c"].map(|text| log.push(delta(text))).into();
        assert_eq!(log.since(0), Some(events.clone()));
        assert_eq!(log.since(2), Some(events[2..].to_vec()));
        assert_eq!(log.since(3), Some(vec![]));
        assert_eq!(log.since(4), None, "never given out");
        for _ in 0..EVENTS_MAX {
            log.push(delta("x"));
        }
        assert_eq!(log.since(2), None, "forgotten");
        assert_eq!(log.since(3).map(|events| events.len()), Some(EVENTS_MAX));
    }

    #[test]
    fn web_05_ids_of_a_restored_conversation_are_above_all_it_gave_out() {
        let mut log = Log::after(7);
        assert_eq!(log.since(8), None, "given out and lost");
        assert_eq!(log.push(delta("a")).id, STRIDE + 1);
        assert_eq!(log.since(STRIDE).map(|events| events.len()), Some(1));
        assert_eq!((Log::after(0).last(), Log::after(STRIDE).last()), (STRIDE, 2 * STRIDE));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut log = Log::new();
        for _ in 0..10 {
            log.push(delta(&"x".repeat(BYTES_MAX / 2)));
        }
        assert_eq!((log.events.len(), log.bytes <= BYTES_MAX), (1, true));
    }
}
