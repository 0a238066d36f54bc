//! One caller's measurements, from what its phone sees.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::stage::load::ledger::{Ledger, Sent};
use crate::stage::load::mark::Mark;
use crate::stage::load::tally::{Count, Key, Tally};
use crate::stage::phone::Meter;
use crate::stage::phone::script::SLOT_BYTES;

/// What callers and models know of each other.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    /// Frames that callers sent.
    pub(crate) callers: Arc<Ledger>,
    /// First frames of replies that models sent.
    pub(crate) models: Arc<Ledger>,
    pub(crate) tally: Arc<Tally>,
}

impl Books {
    /// For so many calls at a time.
    pub(crate) fn new(calls: usize) -> Result<Books, String> {
        // Models may be dialled again before the former session is closed.
        Ok(Books {
            callers: Arc::new(Ledger::new(calls + 16)),
            models: Arc::new(Ledger::new(2 * calls + 64)),
            tally: Arc::new(Tally::new()?),
        })
    }
}

/// Later than this after the caller began to speak, a clear is no answer to it.
const LATE_CLEAR: Duration = Duration::from_secs(5);
/// Who begins this late in what the agent says need not stop it.
const LAST_WORD: Duration = Duration::from_millis(150);
/// More missing frames than these are no loss but another place in the reply: where an agent goes on that was held.
const MOST_LOST: u32 = 250;
/// Less than this late is the tester's own exactness, not a gap that anybody hears.
const GAP: Duration = Duration::from_millis(5);

/// A caller's meter. While it lives, it owns a source of marks.
#[derive(Debug)]
pub(crate) struct CallMeter {
    books: Books,
    next: Option<Mark>,
    placed: Option<Instant>,
    /// Set while the stream is up.
    started: bool,
    /// The caller speaks over the agent since then, who was not cleared yet.
    speaks_over: Option<Instant>,
    /// A turn that was not answered yet ended then.
    turn_ended: Option<Instant>,
    /// The frame that would continue the reply.
    expected: Option<Mark>,
    /// What was received plays until then.
    plays_until: Option<Instant>,
    /// Turns that got no answer, and barge-ins that got no clear.
    pub(crate) unanswered: u64,
    pub(crate) uncleared: u64,
    /// Whether any agent audio came.
    pub(crate) heard: bool,
}

impl CallMeter {
    pub(crate) fn new(books: &Books) -> CallMeter {
        CallMeter {
            next: books.callers.take(),
            books: books.clone(),
            placed: None,
            started: false,
            speaks_over: None,
            turn_ended: None,
            expected: None,
            plays_until: None,
            unanswered: 0,
            uncleared: 0,
            heard: false,
        }
    }

    /// What the beginning of a message says of its place in the reply.
    fn follow(&mut self, at: Instant, audio: &[u8]) {
        let tally = &self.books.tally;
        let frames = audio.len().div_ceil(SLOT_BYTES) as u32;
        let mark = Mark::read(audio);
        let begun = mark.and_then(|mark| self.books.models.find(mark));
        if let Some(sent) = begun {
            tally.record(Key::ModelToCaller, at.saturating_duration_since(sent.at));
        } else if let (Some(mark), Some(expected)) = (mark, self.expected)
            && mark.source == expected.source
        {
            let missing = mark.seq.wrapping_sub(expected.seq);
            if (1..MOST_LOST).contains(&missing) {
                tally.count(Count::AgentLostMs, u64::from(missing) * 20);
            }
            let late = self.plays_until.map_or(Duration::ZERO, |until| at.saturating_duration_since(until));
            if missing < MOST_LOST && late > GAP {
                tally.count(Count::Gaps, 1);
                tally.count(Count::GapMs, late.as_millis() as u64);
            }
        }
        self.expected = mark.map(|mark| Mark { seq: mark.seq.wrapping_add(frames), ..mark });
    }
}

impl Meter for CallMeter {
    fn placed(&mut self, at: Instant) {
        self.placed = Some(at);
    }

    fn started(&mut self, _at: Instant) {
        self.started = true;
        self.books.tally.up.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    fn sends(&mut self, due: Instant, at: Instant, audio: &mut [u8; SLOT_BYTES]) {
        let tally = &self.books.tally;
        tally.count(Count::CallerFrames, 1);
        tally.record(Key::TesterLate, at.saturating_duration_since(due));
        if let Some(mark) = self.next {
            mark.write(audio);
            self.books.callers.note(mark, Sent { due, at });
            self.next = Some(Mark { seq: mark.seq.wrapping_add(1), ..mark });
        }
    }

    fn refused(&mut self) {
        self.books.tally.count(Count::CallerFramesRefused, 1);
    }

    fn speech_begins(&mut self, due: Instant) {
        // Before the shortest barge-in is heard, the agent's last word is over: there is nothing to clear.
        if self.plays_until.is_some_and(|until| until > due + LAST_WORD) {
            self.speaks_over.get_or_insert(due);
        }
    }

    fn turn_ends(&mut self, due: Instant) {
        self.uncleared += u64::from(self.speaks_over.take().is_some());
        self.unanswered += u64::from(self.turn_ended.take().is_some());
        // While the agent still speaks nobody can tell what its next audio answers.
        if self.plays_until.is_none_or(|until| until <= due) {
            self.turn_ended = Some(due);
        }
    }

    fn receives(&mut self, at: Instant, audio: &[u8]) {
        let tally = Arc::clone(&self.books.tally);
        tally.count(Count::AgentMessages, 1);
        self.heard = true;
        if let Some(placed) = self.placed.take() {
            tally.record(Key::Setup, at.saturating_duration_since(placed));
        }
        if let Some(ended) = self.turn_ended.take() {
            tally.record(Key::TurnToAudio, at.saturating_duration_since(ended));
        }
        self.follow(at, audio);
        let from = self.plays_until.map_or(at, |until| until.max(at));
        self.plays_until = Some(from + Duration::from_micros(audio.len() as u64 * 125));
    }

    fn cleared(&mut self, at: Instant) {
        if let Some(spoke) = self.speaks_over.take() {
            let took = at.saturating_duration_since(spoke);
            if took <= LATE_CLEAR {
                self.books.tally.record(Key::SpeechToClear, took);
            } else {
                self.uncleared += 1;
            }
        }
        self.plays_until = Some(at);
        self.expected = None;
    }
}

impl Drop for CallMeter {
    fn drop(&mut self) {
        if self.started {
            self.books.tally.up.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        }
        if let Some(mark) = self.next {
            self.books.callers.give_back(mark);
        }
    }
}
