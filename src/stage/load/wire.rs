//! The model's end of the measurements.

use std::time::{Duration, Instant};

use crate::base::audio::{AudioFormat, Codec};
use crate::stage::load::ledger::Sent;
use crate::stage::load::mark::Mark;
use crate::stage::load::meter::Books;
use crate::stage::load::tally::{Count, Key};
use crate::stage::phone::script::SLOT_BYTES;
use crate::stage::rehearsal::{Tap, Wire};

/// A pause in the model's sending after which its next audio begins a reply.
const REPLY_GAP: Duration = Duration::from_millis(300);

/// Measures all sessions of a built-in model.
#[derive(Debug)]
pub(crate) struct Ends(pub(crate) Books);

impl Wire for Ends {
    fn open(&self) -> Box<dyn Tap> {
        let next = self.0.models.take();
        Box::new(End { books: self.0.clone(), next, first: None, last_heard: None, last_sent: None })
    }
}

/// One session's end.
struct End {
    books: Books,
    /// The next frame of agent audio.
    next: Option<Mark>,
    /// The first frame of the audio that is about to be sent.
    first: Option<Mark>,
    /// The caller's frame that was heard last, if the next should join on.
    last_heard: Option<Mark>,
    last_sent: Option<Instant>,
}

impl Tap for End {
    fn heard(&mut self, at: Instant, audio: &[u8]) {
        let tally = &self.books.tally;
        if audio.len() != SLOT_BYTES {
            // Audio that waited for a decision, in one piece: it has passed, but not as it came.
            self.last_heard = audio.len().checked_sub(SLOT_BYTES).and_then(|from| Mark::read(&audio[from..]));
            return;
        }
        let Some(mark) = Mark::read(audio) else {
            self.last_heard = None;
            return;
        };
        if let Some(sent) = self.books.callers.find(mark) {
            tally.count(Count::ModelFrames, 1);
            tally.record(Key::CallerToModel, at.saturating_duration_since(sent.due));
            tally.record(Key::CallerToModelSent, at.saturating_duration_since(sent.at));
        }
        if let Some(last) = self.last_heard.filter(|last| last.source == mark.source) {
            let missing = mark.seq.wrapping_sub(last.seq).wrapping_sub(1);
            // A number that runs backwards is a frame that came twice or out of order, not one that is missing.
            if missing < u32::MAX / 2 {
                tally.count(Count::ModelFramesLost, u64::from(missing));
            }
        }
        self.last_heard = Some(mark);
    }

    fn parted(&mut self) {
        self.last_heard = None;
    }

    fn speaks(&mut self, format: AudioFormat, audio: &mut [u8]) {
        self.first = None;
        if format.codec != Codec::Pcmu {
            return;
        }
        if let Some(next) = &mut self.next {
            self.first = Some(*next);
            let frames = Mark::write_frames(next.source, next.seq, audio);
            // A piece of a frame at a reply's end takes a number too, so that the next reply joins on nowhere.
            next.seq = next.seq.wrapping_add(frames + u32::from(!audio.len().is_multiple_of(SLOT_BYTES)));
        }
    }

    fn sent(&mut self, at: Instant, _bytes: usize) {
        let begins = self.last_sent.is_none_or(|last| at.saturating_duration_since(last) > REPLY_GAP);
        self.last_sent = Some(at);
        if let (true, Some(first)) = (begins, self.first.take()) {
            self.books.models.note(first, Sent { due: at, at });
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(next) = self.next {
            self.books.models.give_back(next);
        }
    }
}
