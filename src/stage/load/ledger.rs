//! Who sent which frame when: written by one end of a call, asked by the other, without a lock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::stage::load::mark::Mark;

/// Frames remembered per source: five seconds of 20 ms frames, longer than audio that is handed on at all takes.
const FRAMES: usize = 256;
/// Bits of an entry that hold the frame's number; the rest are microseconds, for 12 days.
const SEQ_BITS: u32 = 24;

/// When frames were due and sent, by source.
#[derive(Debug)]
pub(crate) struct Ledger {
    began: Instant,
    sources: Box<[Source]>,
    /// Sources nobody has, and the number of the next frame of each.
    free: Mutex<VecDeque<(u16, u32)>>,
}

#[derive(Debug)]
struct Source {
    due: [AtomicU64; FRAMES],
    sent: [AtomicU64; FRAMES],
}

/// When a frame was due and when it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) due: Instant,
    pub(crate) at: Instant,
}

impl Ledger {
    /// For so many sources at a time, at most 65,536.
    pub(crate) fn new(sources: usize) -> Ledger {
        let sources = sources.min(1 << 16);
        let row = || std::array::from_fn(|_| AtomicU64::new(0));
        Ledger {
            began: Instant::now(),
            sources: (0..sources).map(|_| Source { due: row(), sent: row() }).collect(),
            free: Mutex::new((0..sources).map(|n| (n as u16, 0)).collect()),
        }
    }

    /// The name of the next frame of a source of one's own; `None`: all are taken.
    pub(crate) fn take(&self) -> Option<Mark> {
        let (source, seq) = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop_front()?;
        Some(Mark { source, seq })
    }

    /// Gives a source back. Whoever has it next goes on with the frame after its last.
    pub(crate) fn give_back(&self, next: Mark) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push_back((next.source, next.seq));
    }

    /// Notes a frame that is about to be sent.
    pub(crate) fn note(&self, mark: Mark, sent: Sent) {
        let Some(source) = self.sources.get(usize::from(mark.source)) else { return };
        let place = mark.seq as usize % FRAMES;
        // The time of sending first: whoever finds the due time finds both.
        source.sent[place].store(self.entry(mark.seq, sent.at), Ordering::Relaxed);
        source.due[place].store(self.entry(mark.seq, sent.due), Ordering::Release);
    }

    /// When a frame was sent; `None`: nothing is known of it any more, or it never was.
    pub(crate) fn find(&self, mark: Mark) -> Option<Sent> {
        let source = self.sources.get(usize::from(mark.source))?;
        let place = mark.seq as usize % FRAMES;
        let due = self.instant(mark.seq, source.due[place].load(Ordering::Acquire))?;
        let at = self.instant(mark.seq, source.sent[place].load(Ordering::Relaxed))?;
        Some(Sent { due, at })
    }

    fn entry(&self, seq: u32, at: Instant) -> u64 {
        // One more: an entry of 0 is none.
        let us = at.saturating_duration_since(self.began).as_micros() as u64 + 1;
        us << SEQ_BITS | u64::from(seq) & ((1 << SEQ_BITS) - 1)
    }

    fn instant(&self, seq: u32, entry: u64) -> Option<Instant> {
        let same = entry & ((1 << SEQ_BITS) - 1) == u64::from(seq) & ((1 << SEQ_BITS) - 1);
        (same && entry != 0).then(|| self.began + Duration::from_micros((entry >> SEQ_BITS).saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_until_another_takes_its_place() {
        let ledger = Ledger::new(2);
        let (a, b) = (ledger.take().unwrap().source, ledger.take().unwrap().source);
        assert_eq!((a != b, ledger.take()), (true, None));
        let due = ledger.began + Duration::from_millis(5);
        let sent = Sent { due, at: due + Duration::from_micros(40) };
        let mark = Mark { source: a, seq: 3 };
        assert_eq!(ledger.find(mark), None);
        ledger.note(mark, sent);
        assert_eq!(ledger.find(mark), Some(sent));
        assert_eq!(ledger.find(Mark { source: b, seq: 3 }), None);
        assert_eq!(ledger.find(Mark { source: 99, seq: 3 }), None);
        ledger.note(Mark { source: a, seq: 3 + FRAMES as u32 }, sent);
        assert_eq!(ledger.find(mark), None);
        ledger.give_back(Mark { source: a, seq: 9 });
        assert_eq!(ledger.take(), Some(Mark { source: a, seq: 9 }));
    }

    #[test]
    fn the_first_frame_of_all_is_found() {
        let ledger = Ledger::new(1);
        let mark = Mark { source: 0, seq: 0 };
        ledger.note(mark, Sent { due: ledger.began, at: ledger.began });
        assert!(ledger.find(mark).is_some());
    }
}
