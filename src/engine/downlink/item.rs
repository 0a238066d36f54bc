//! Stretches of agent audio, and what becomes of them.

use crate::base::time::{LineTime, Samples};
use crate::engine::outbox::Piece;

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum ItemKind {
    /// The model's own words: truncated at the model when interrupted.
    Reply,
    /// A recording that speaks for the agent: a greeting, a fallback, a farewell, a filler.
    Line,
    /// Not speech: a hold sound. Nobody interrupts it.
    Sound,
}

/// One stretch of agent audio.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Item {
    pub(in crate::engine) kind: ItemKind,
    /// The model's item id, or the name of a recording.
    pub(in crate::engine) name: String,
    /// The turn of the caller that it answers; 0 for none.
    pub(in crate::engine) turn: u32,
    /// Its line in the conversation.
    pub(in crate::engine) line: usize,
    /// Audio of the same item that came earlier, with another item's between.
    pub(super) earlier: Samples,
    pub(super) start: Samples,
    pub(super) end: Samples,
    /// Up to here it can be heard; what follows is silence.
    pub(super) audible: Samples,
    pub(super) complete: bool,
    /// The caller may not interrupt it.
    pub(in crate::engine) protected: bool,
    /// When its first sample is played, by reckoning, once it went to the line.
    pub(in crate::engine) begins_at: Option<LineTime>,
    /// When its last sample so far was played, by reckoning, once it was heard.
    pub(in crate::engine) ended_at: Option<LineTime>,
}

impl Item {
    /// Audio of it that has arrived, with this stretch.
    pub(in crate::engine) fn received(&self) -> Samples {
        self.earlier + (self.end - self.start)
    }

    /// Whether no audio of it came before this stretch.
    pub(in crate::engine) fn is_first(&self) -> bool {
        self.earlier == Samples::ZERO
    }

    /// Audio of it before `position`.
    pub(super) fn before(&self, position: Samples) -> Samples {
        self.earlier + position.min(self.end).saturating_sub(self.start)
    }
}

/// What was cut off by a clear.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Cut {
    pub(in crate::engine) item: Item,
    /// Of all of the item's audio, in however many stretches it came.
    pub(in crate::engine) heard: Samples,
    pub(in crate::engine) received: Samples,
}

/// What feeding or a mark brought about.
#[derive(Clone, Debug)]
pub(in crate::engine) enum Progress {
    /// The first audio of an item went to the line.
    Begun(Item),
    /// Audio went to the line, which plays it from `at` on.
    Sent { at: LineTime, piece: Piece },
    /// The first audio of an item was heard by now; by reckoning back from the mark it began to be audible then.
    FirstHeard { item: Item, audible_at: LineTime },
    /// An item was heard to its end.
    Heard(Item),
    /// No more is sent until marks come back.
    Stalled { unplayed: Samples },
    /// Marks came back.
    Resumed,
    /// The line had nothing left to play in the middle of an item.
    Underrun { ms: u64 },
    /// The bed was cleared to make room for agent audio; `was_on`: it was not on its way out.
    BedCut { was_on: bool },
}
