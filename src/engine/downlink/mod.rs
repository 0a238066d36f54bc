//! The one ledger of agent audio: received, sent, heard.
//!
//! ```text
//!   model ──push──► received ──feed──► sent ──mark──► heard
//!                   |<---- unsent ---->|<-- at the line -->|
//! ```
//!
//! Positions are samples since the call began, in the order in which they are played, over all items. Audio stays in
//! the queue until it was heard, so that a barge-in can say exactly what was not and the recording holds exactly what
//! was. Whoever must know what the caller heard asks here.
//!
//! The line plays by its own clock, so all times here are [`LineTime`]: what is played from one moment on is heard, and
//! recorded, as long as it is. The line is fed a short lead ahead, each message followed by a mark. Two clocks tell what was
//! heard: marks that came back prove it; between them a reckoning by line time, held back by how late marks arrive and never
//! past a mark that is still out, estimates it. When marks come later than reckoned, either the line played later (then
//! they come back at the pace of the audio, and the reckoning is moved, and the recording with it) or only the marks were
//! held up (then they come all at once, and nothing is moved): the mark after a late one tells which. A line that plays a
//! little faster or slower than its clock says is found out by its marks, too ([`Pace`]).

mod bed;
mod item;
mod reckoning;

use std::collections::VecDeque;

use crate::base::audio::AudioFormat;
use crate::base::audio::level::audible_end;
use crate::base::time::{LineTime, Samples};
use crate::config::{Playout, ToolSound};
use crate::engine::clock::Pace;
use crate::engine::io::MarkId;
use crate::engine::outbox::{Outbox, Piece};
use bed::Bed;
pub(super) use item::{Cut, Item, ItemKind, Progress};
use reckoning::{Late, Run};

/// Unplayed audio beyond the lead at which no more is sent until marks come back.
const STALL_AFTER_MS: u64 = 1_000;
/// A message shorter than this is not worth its overhead while the line has something to play.
const TINY_MS: u64 = 20;
/// Items in the ledger at once; audio for more is refused.
const ITEMS_MAX: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Mark {
    id: MarkId,
    position: Samples,
}

/// The ledger.
#[derive(Debug)]
pub(super) struct Downlink {
    format: AudioFormat,
    lead_us: u64,
    batch: Samples,
    tiny: Samples,
    stall_after: Samples,
    queue_max: Samples,
    items: VecDeque<Item>,
    /// Bytes from `written` to `received`.
    queue: VecDeque<u8>,
    received: Samples,
    /// Up to here what was received can be heard; what follows is silence.
    audible: Samples,
    sent: Samples,
    heard: Samples,
    /// Up to here the recording has what was heard.
    written: Samples,
    late: Option<Late>,
    runs: VecDeque<Run>,
    marks: VecDeque<Mark>,
    generation: u32,
    next_seq: u32,
    /// When the line will have played everything that was sent, by reckoning.
    line_end: LineTime,
    /// How long after its reckoned time a mark arrives, in µs.
    lag_us: u64,
    lag_known: bool,
    pace: Pace,
    stalled: bool,
    /// Nothing is sent: the agent was stopped, and may go on.
    held: bool,
    /// What is heard while the ledger is drained; `None`: nothing ever.
    bed: Option<Bed>,
    /// Media position up to which the recording was written.
    recorded: Samples,
    /// The audio that ends there.
    recorded_to: Samples,
    pub(super) marks_cleared: u64,
    pub(super) marks_unknown: u64,
    pub(super) sent_total: Samples,
}

impl Downlink {
    pub(super) fn new(format: AudioFormat, playout: &Playout, tool_sound: Option<&ToolSound>) -> Self {
        let samples = |ms| Samples::from_ms(ms, format.rate_hz);
        // Two messages make the lead at least: one that is longer than what is left of it would go out when the line is dry,
        // or, as it waits for room that there never is, after that.
        let batch_ms = playout.batch_ms.min(playout.lead_ms / 2);
        Downlink {
            format,
            lead_us: playout.lead_ms * 1_000,
            batch: samples(batch_ms),
            tiny: samples(TINY_MS.min(batch_ms)),
            stall_after: samples(playout.lead_ms + STALL_AFTER_MS),
            queue_max: samples(playout.max_queue_s * 1_000),
            items: VecDeque::new(),
            queue: VecDeque::new(),
            received: Samples::ZERO,
            audible: Samples::ZERO,
            sent: Samples::ZERO,
            heard: Samples::ZERO,
            written: Samples::ZERO,
            late: None,
            runs: VecDeque::new(),
            marks: VecDeque::new(),
            generation: 0,
            next_seq: 0,
            line_end: LineTime::ZERO,
            lag_us: 0,
            lag_known: false,
            pace: Pace::default(),
            stalled: false,
            held: false,
            bed: tool_sound.and_then(|sound| Bed::new(sound, format, playout)),
            recorded: Samples::ZERO,
            recorded_to: Samples::ZERO,
            marks_cleared: 0,
            marks_unknown: 0,
            sent_total: Samples::ZERO,
        }
    }

    /// Begins an item behind all others. An unfinished one before it is complete with this. Refuses when too many wait.
    /// `earlier`: audio of the same item that is not in the ledger any more.
    pub(super) fn begin(&mut self, kind: ItemKind, name: &str, turn: u32, line: usize, earlier: Samples) -> bool {
        self.complete_last();
        let same = |i: &&Item| i.kind == kind && i.line == line && i.name == name;
        let earlier = self.items.iter().rev().find(same).map_or(earlier, Item::received);
        if self.items.len() == ITEMS_MAX {
            return false;
        }
        self.items.push_back(Item {
            kind,
            name: name.to_owned(),
            turn,
            line,
            earlier,
            start: self.received,
            end: self.received,
            audible: self.received,
            complete: false,
            protected: false,
            begins_at: None,
            ended_at: None,
        });
        true
    }

    /// Audio of an item of the model's that has arrived, while some of it is still to be heard.
    pub(super) fn received_of(&self, name: &str) -> Option<Samples> {
        let item = self.items.iter().rfind(|i| i.kind == ItemKind::Reply && i.name == name)?;
        Some(item.received())
    }

    /// Whether audio of this item goes on where the last audio ended.
    pub(super) fn continues(&self, name: &str) -> bool {
        self.items.back().is_some_and(|i| !i.complete && i.name == name)
    }

    /// More audio of the last item. Returns what did not fit and was dropped.
    pub(super) fn push(&mut self, audio: &[u8]) -> Samples {
        let room = self.queue_max.saturating_sub(self.received - self.heard);
        let whole = self.format.samples(audio.len());
        let take = whole.min(room);
        let Some(item) = self.items.back_mut().filter(|i| !i.complete) else { return whole };
        item.end += take;
        let audible = audible_end(self.format, &audio[..self.format.bytes(take)]);
        if audible > Samples::ZERO {
            self.audible = self.received + audible;
            item.audible = self.audible;
        }
        self.received += take;
        self.queue.extend(&audio[..self.format.bytes(take)]);
        whole - take
    }

    /// The last item gets no more audio.
    pub(super) fn complete_last(&mut self) {
        if let Some(last) = self.items.back_mut() {
            last.complete = true;
        }
    }

    /// Items that ended without any audio, or were heard before they were known to be complete.
    pub(super) fn settle(&mut self, mut on: impl FnMut(Progress)) {
        while let Some(first) = self.items.front() {
            if !first.complete || first.end > self.heard {
                break;
            }
            if let Some(item) = self.items.pop_front()
                && item.end > item.start
            {
                on(Progress::Heard(item));
            }
        }
    }

    /// Whether the caller hears, or will hear, speech of the agent.
    pub(super) fn speaking(&self) -> bool {
        self.items.iter().any(|i| i.kind != ItemKind::Sound && i.end > self.heard)
    }

    /// Whether nothing is left to be heard.
    pub(super) fn is_drained(&self) -> bool {
        self.heard == self.received
    }

    /// Whether all that waits is mere sound, and there is some.
    pub(super) fn only_sound(&self) -> bool {
        !self.is_drained() && !self.speaking()
    }

    /// Sends what is due at the line. Returns when to come back.
    pub(super) fn feed(&mut self, now: LineTime, out: &mut Outbox, mut on: impl FnMut(Progress)) -> Option<LineTime> {
        loop {
            let unsent = self.received - self.sent;
            if unsent == Samples::ZERO || self.held {
                return self.feed_bed(now, out, &mut on);
            }
            if self.sent - self.heard >= self.stall_after {
                if !self.stalled {
                    self.stalled = true;
                    on(Progress::Stalled { unplayed: self.sent - self.heard });
                }
                return None;
            }
            self.cut_bed(now, out, &mut on);
            let ahead_us = self.line_end.as_us().saturating_sub(now.as_us());
            let room = Samples::from_us(self.lead_us.saturating_sub(ahead_us), self.format.rate_hz);
            let index = self.items.iter().position(|i| i.end > self.sent)?;
            let item = &mut self.items[index];
            let item_unsent = item.end - self.sent;
            let chunk = item_unsent.min(self.batch);
            // A short piece goes out when nothing more is coming, or when the line would soon run dry waiting for more; a
            // tiny one only when the line is dry.
            let tiny = chunk < self.tiny;
            let soon_dry = ahead_us * 2 <= self.lead_us;
            let ripe = chunk == self.batch || item.complete || (soon_dry && !tiny) || ahead_us == 0;
            if room < chunk && ahead_us > 0 {
                let over_us = (chunk - room).as_us(self.format.rate_hz).max(1_000);
                return Some(LineTime::from_us(now.as_us() + over_us));
            }
            if !ripe {
                let back_us = if tiny { 0 } else { self.lead_us / 2 };
                return Some(LineTime::from_us(self.line_end.as_us() - back_us));
            }
            let first = item.begins_at.is_none();
            item.begins_at.get_or_insert(self.line_end.max(now));
            let begun = first.then(|| item.clone());
            let dry = !first && self.line_end < now;
            if let Some(item) = begun {
                on(Progress::Begun(item));
            }
            if dry {
                on(Progress::Underrun { ms: now.us_since(self.line_end) / 1_000 });
            }
            let (at, piece) = self.send(now, chunk, out);
            on(Progress::Sent { at, piece });
        }
    }

    /// Stops the agent so that it can go on: the line is emptied, and what the caller has not heard stays in the queue.
    pub(super) fn hold(&mut self, now: LineTime, out: &mut Outbox, mut on: impl FnMut(Progress)) {
        self.held = true;
        self.forget_cut_bed();
        let at_line = self.sent > self.heard || !self.marks.is_empty();
        self.explain_late(now, None, out);
        let heard = self.heard_at(now);
        self.hear(now, heard, &mut on);
        self.write(now, heard, out);
        // What the reckoning puts beyond now is heard, but has no place in the recording any more.
        self.queue.drain(..self.format.bytes(self.heard.saturating_sub(self.written)));
        self.written = self.heard;
        self.sent = self.heard;
        self.runs.clear();
        self.marks.clear();
        self.line_end = now;
        if std::mem::take(&mut self.stalled) {
            on(Progress::Resumed);
        }
        for item in self.items.iter_mut().filter(|item| item.start >= heard) {
            item.begins_at = None;
        }
        if at_line {
            out.line_clear();
            self.generation += 1;
        }
    }

    /// The agent goes on where it was stopped.
    pub(super) fn release(&mut self, now: LineTime) {
        self.held = false;
        self.line_end = now;
    }

    /// Whether the agent is stopped and may go on.
    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// The caller may not interrupt the last item.
    pub(super) fn protect_last(&mut self) {
        if let Some(last) = self.items.back_mut() {
            last.protected = true;
        }
    }

    /// A mark came back. Returns whether it was one of ours that was still out.
    pub(super) fn mark_played(
        &mut self,
        now: LineTime,
        id: MarkId,
        out: &mut Outbox,
        mut on: impl FnMut(Progress),
    ) -> bool {
        if id.generation < self.generation {
            self.marks_cleared += 1;
            return false;
        }
        if self.bed_mark_played(now, id) {
            return true;
        }
        // Marks come back in order: one that is back vouches for those before it.
        let Some(index) = self.marks.iter().position(|m| m.id == id) else {
            self.marks_unknown += 1;
            return false;
        };
        let mark = self.marks[index];
        self.marks.drain(..=index);
        let held_up = self.explain_late(now, Some(mark.position), out);
        self.hear(now, mark.position, &mut on);
        if !self.reckon(now, mark.position, held_up) {
            self.write(now, mark.position, out);
        }
        if self.stalled {
            self.stalled = false;
            on(Progress::Resumed);
        }
        true
    }

    /// Marks that are overdue count as lost: what was sent counts as heard, and sending goes on.
    pub(super) fn give_up_marks(&mut self, now: LineTime, out: &mut Outbox, mut on: impl FnMut(Progress)) -> u64 {
        let lost = self.marks.len() as u64 + self.give_up_bed_marks();
        self.marks.clear();
        self.explain_late(now, None, out);
        self.hear(now, self.sent, &mut on);
        self.write(now, self.sent, out);
        if std::mem::take(&mut self.stalled) {
            on(Progress::Resumed);
        }
        lost
    }

    /// Whether nothing is sent until marks come back.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// When the first mark that is out should be back, by reckoning; `None` when none is, or when the line has stalled and
    /// its time runs already.
    pub(super) fn mark_due(&self) -> Option<LineTime> {
        let due = match self.marks.front() {
            Some(mark) => Some(self.played_at(mark.position)).filter(|_| !self.stalled),
            None => self.bed_mark_due(),
        };
        due.map(|due| due.plus_us(self.lag_us))
    }

    /// What the model said is no longer an item of its session.
    pub(super) fn forget_model(&mut self) {
        for item in &mut self.items {
            if item.kind == ItemKind::Reply {
                item.kind = ItemKind::Line;
            }
        }
    }

    /// Empties the line (told so unless it is gone) and the queue. What was heard until now is kept; the items are
    /// returned in order with what was heard of each.
    pub(super) fn clear(
        &mut self,
        now: LineTime,
        tell_line: bool,
        out: &mut Outbox,
        mut on: impl FnMut(Progress),
    ) -> Vec<Cut> {
        self.forget_cut_bed();
        let at_line = self.sent > self.heard || !self.marks.is_empty();
        // A line that plays later than reckoned has played less by now.
        self.explain_late(now, None, out);
        let heard = self.heard_at(now);
        self.hear(now, heard, &mut on);
        self.write(now, heard, out);
        if at_line && tell_line {
            out.line_clear();
            self.generation += 1;
        }
        let mut cuts: Vec<Cut> = Vec::with_capacity(self.items.len());
        for item in self.items.drain(..) {
            let (heard, received) = (item.before(heard), item.received());
            let same = |c: &&mut Cut| c.item.kind == item.kind && c.item.line == item.line && c.item.name == item.name;
            match cuts.iter_mut().find(same) {
                Some(cut) => {
                    if cut.heard == cut.received {
                        cut.heard = heard;
                    }
                    cut.received = received;
                }
                None => cuts.push(Cut { item, heard, received }),
            }
        }
        self.queue.clear();
        self.runs.clear();
        self.marks.clear();
        self.sent = self.received;
        self.heard = self.received;
        self.written = self.received;
        self.line_end = now;
        self.stalled = false;
        self.held = false;
        cuts
    }

    /// Line time jumped: it was later by `us` all along, for what is at the line as well.
    pub(super) fn line_time_jumped(&mut self, us: u64) {
        let later = |at: &mut LineTime| *at = at.plus_us(us);
        self.runs.iter_mut().for_each(|run| later(&mut run.at));
        self.late.iter_mut().for_each(|late| later(&mut late.at));
        for item in &mut self.items {
            item.begins_at.iter_mut().chain(&mut item.ended_at).for_each(later);
        }
        later(&mut self.line_end);
        self.bed_line_time_jumped(us);
    }

    /// What is at the line or waiting, in samples.
    pub(super) fn unheard_at(&self, now: LineTime) -> Samples {
        self.received - self.heard_at(now)
    }

    /// What is at the line or waiting, up to the last of it that is not silence.
    pub(super) fn audible_at(&self, now: LineTime) -> Samples {
        self.audible.saturating_sub(self.heard_at(now))
    }

    /// Items of which something can still be heard that is not silence.
    pub(super) fn audible_items(&self, now: LineTime) -> impl Iterator<Item = &Item> {
        let heard = self.heard_at(now);
        self.items.iter().filter(move |item| item.audible > heard)
    }

    /// Heard audio of the item that is being heard at `now`.
    pub(super) fn heard_of_current(&self, now: LineTime) -> Option<(&Item, Samples)> {
        let heard = self.heard_at(now);
        let item = self.items.iter().find(|i| i.end > heard).or(self.items.back())?;
        Some((item, item.before(heard)))
    }

    /// Items that were not yet heard to their end, each with what was heard of it.
    pub(super) fn playing(&self, now: LineTime) -> impl Iterator<Item = (&Item, Samples)> {
        let heard = self.heard_at(now);
        self.items.iter().map(move |item| (item, item.before(heard)))
    }

    /// Moves what was heard forward to `position` and retires what is finished.
    fn hear(&mut self, now: LineTime, position: Samples, on: &mut impl FnMut(Progress)) {
        let before = self.heard;
        if position > before {
            for index in 0..self.items.len() {
                let (start, end) = (self.items[index].start, self.items[index].end);
                if start >= before && start < position && end > start {
                    let item = self.items[index].clone();
                    let ago_us = (position - start).as_us(self.format.rate_hz);
                    let reckoned = now.minus_us(ago_us);
                    // Not before it could be, which marks that are late or given up would make it.
                    let audible_at = item.begins_at.map_or(reckoned, |at| at.max(reckoned)).min(now);
                    on(Progress::FirstHeard { item, audible_at });
                }
                if end > before && end <= position {
                    self.items[index].ended_at = Some(self.played_at(end).min(now));
                }
            }
            self.heard = position;
        }
        self.settle(on);
    }

    fn send(&mut self, now: LineTime, chunk: Samples, out: &mut Outbox) -> (LineTime, Piece) {
        let offset = self.format.bytes(self.sent - self.written);
        let bytes = self.format.bytes(chunk);
        let piece = out.keep_parts(slice(&self.queue, offset, bytes));
        self.lay_bed_under(&piece, out);
        out.line_audio(piece.clone());
        let start = self.sent;
        self.sent += chunk;
        self.sent_total += chunk;
        let at = self.line_end.max(now);
        let rate_hz = self.format.rate_hz;
        let goes_on = |run: &&mut Run| {
            let end_us = run.at.as_us() + (run.end - run.start).as_us(rate_hz);
            run.end == start && end_us.abs_diff(at.as_us()) < 1_000
        };
        match self.runs.back_mut().filter(goes_on) {
            Some(run) => run.end = self.sent,
            None => {
                self.runs.push_back(Run { start, end: self.sent, at });
                self.pace.begin();
            }
        }
        self.line_end = LineTime::from_us(at.as_us() + chunk.as_us(self.format.rate_hz));
        let id = MarkId { generation: self.generation, seq: self.next_seq };
        self.next_seq = self.next_seq.wrapping_add(1);
        self.marks.push_back(Mark { id, position: self.sent });
        out.line_mark(id);
        (at, piece)
    }
}

/// `len` bytes of a ring from `offset`.
fn slice(ring: &VecDeque<u8>, offset: usize, len: usize) -> (&[u8], &[u8]) {
    let (a, b) = ring.as_slices();
    if offset >= a.len() {
        let from = offset - a.len();
        (&b[from..from + len], &[])
    } else if offset + len <= a.len() {
        (&a[offset..offset + len], &[])
    } else {
        (&a[offset..], &b[..offset + len - a.len()])
    }
}
