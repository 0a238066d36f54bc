//! The bed: a sound that is looped while nobody has anything to say, and is no agent audio.
//!
//! It is made block by block, a short stretch ahead, and only while the ledger is drained: the two are never at the line
//! together. It has marks of its own, which prove nothing of what the agent said. Agent audio takes its place at once: what
//! is at the line of it is cleared, and the end of its fade lies under the agent's first samples, so that there is no click.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Downlink, Progress};
use crate::base::audio::AudioFormat;
use crate::base::time::{LineTime, Samples};
use crate::config::{Playout, ToolSound};
use crate::engine::io::MarkId;
use crate::engine::outbox::{Outbox, Piece};

/// The shortest stretch that is kept ahead at the line.
const SHORTEST_LEAD_MS: u64 = 40;
/// Under the agent's first samples a bed is gone after this long, whatever its own fade.
const TAIL_MS: u64 = 20;

/// The looped sound.
#[derive(Debug)]
pub(super) struct Bed {
    format: AudioFormat,
    sound: Arc<[u8]>,
    fade_in: Samples,
    fade_out: Samples,
    tail: Samples,
    lead_us: u64,
    block: Samples,
    on: bool,
    /// Fed since it began.
    fed: Samples,
    /// From where on it fades out.
    fades_from: Option<Samples>,
    /// When the line will have played what it was fed, by reckoning.
    end: LineTime,
    /// What is left of one that was cut off: from this position, after so much of its tail.
    cut: Option<(Samples, Samples)>,
    marks: VecDeque<Mark>,
    /// At the line without a mark that came back.
    unplayed: Samples,
    pub(super) fed_total: Samples,
    linear: Vec<i16>,
    under: Vec<i16>,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    id: MarkId,
    len: Samples,
    due: LineTime,
}

impl Bed {
    pub(super) fn new(sound: &ToolSound, format: AudioFormat, playout: &Playout) -> Option<Self> {
        let audio = sound.sound.audio.clone();
        if format.samples(audio.len()) == Samples::ZERO {
            return None;
        }
        let samples = |ms| Samples::from_ms(ms, format.rate_hz);
        // Two blocks make the lead.
        let lead_ms = (playout.lead_ms / 2).max(SHORTEST_LEAD_MS);
        Some(Bed {
            format,
            sound: audio,
            fade_in: samples(sound.fade_in_ms),
            fade_out: samples(sound.fade_out_ms),
            tail: samples(sound.fade_out_ms.min(TAIL_MS)),
            lead_us: lead_ms * 1_000,
            block: samples(lead_ms / 2),
            on: false,
            fed: Samples::ZERO,
            fades_from: None,
            end: LineTime::ZERO,
            cut: None,
            marks: VecDeque::new(),
            unplayed: Samples::ZERO,
            fed_total: Samples::ZERO,
            linear: Vec::new(),
            under: Vec::new(),
            bytes: Vec::new(),
        })
    }

    /// Whether it comes or is there, and does not yet go away.
    fn is_on(&self) -> bool {
        self.on && self.fades_from.is_none()
    }

    /// The loudness at a position, 0–1.
    fn gain(&self, at: Samples) -> f32 {
        let gone = match self.fades_from {
            Some(from) if at >= from => ramp(at - from, self.fade_out),
            _ => 0.0,
        };
        ramp(at, self.fade_in) * (1.0 - gone)
    }

    /// `len` samples of the loop from position `at`, as they are written, to the end of `to`.
    fn loop_from(&self, at: Samples, len: Samples, to: &mut Vec<u8>) {
        let whole = self.format.bytes(self.format.samples(self.sound.len()));
        let mut from = self.format.bytes(at) % whole;
        let mut left = self.format.bytes(len);
        while left > 0 {
            let take = left.min(whole - from);
            to.extend_from_slice(&self.sound[from..from + take]);
            left -= take;
            from = 0;
        }
    }

    /// The next `len` samples.
    fn render(&mut self, len: Samples, out: &mut Outbox) -> Piece {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        self.loop_from(self.fed, len, &mut bytes);
        if self.fed < self.fade_in || self.fades_from.is_some() {
            let mut linear = std::mem::take(&mut self.linear);
            linear.clear();
            self.format.codec.decode(&bytes, &mut linear);
            for (at, sample) in (self.fed.0..).zip(&mut linear) {
                *sample = scaled(*sample, self.gain(Samples(at)));
            }
            bytes.clear();
            self.format.codec.encode(&linear, &mut bytes);
            self.linear = linear;
        }
        let piece = out.keep(&bytes);
        self.bytes = bytes;
        piece
    }

    /// Lays the rest of a bed that was cut off under agent audio.
    fn lay_under(&mut self, audio: &mut [u8]) {
        let Some((from, done)) = self.cut else { return };
        let len = (self.tail - done).min(self.format.samples(audio.len()));
        let bytes = self.format.bytes(len);
        let (mut linear, mut under, mut encoded) =
            (std::mem::take(&mut self.linear), std::mem::take(&mut self.under), std::mem::take(&mut self.bytes));
        encoded.clear();
        self.loop_from(from + done, len, &mut encoded);
        under.clear();
        self.format.codec.decode(&encoded, &mut under);
        linear.clear();
        self.format.codec.decode(&audio[..bytes], &mut linear);
        for (n, (sample, under)) in (done.0..).zip(linear.iter_mut().zip(&under)) {
            let gain = self.gain(from + Samples(n)) * (1.0 - ramp(Samples(n), self.tail));
            *sample = sample.saturating_add(scaled(*under, gain));
        }
        encoded.clear();
        self.format.codec.encode(&linear, &mut encoded);
        audio[..bytes].copy_from_slice(&encoded);
        (self.linear, self.under, self.bytes) = (linear, under, encoded);
        self.cut = Some((from, done + len)).filter(|(_, done)| *done < self.tail);
    }
}

impl Downlink {
    /// Whether the bed comes or is there, and does not yet go away.
    pub(in crate::engine) fn bed_is_on(&self) -> bool {
        self.bed.as_ref().is_some_and(Bed::is_on)
    }

    /// Lets the bed begin. Answers whether it does: not while the last one is still at the line, or when there is no sound.
    pub(in crate::engine) fn begin_bed(&mut self, now: LineTime) -> bool {
        let Some(bed) = self.bed.as_mut().filter(|bed| !bed.on && bed.end <= now) else { return false };
        bed.on = true;
        bed.fed = Samples::ZERO;
        bed.fades_from = None;
        bed.cut = None;
        true
    }

    /// Lets the bed go away by itself.
    pub(in crate::engine) fn fade_bed(&mut self) {
        if let Some(bed) = self.bed.as_mut().filter(|bed| bed.is_on()) {
            bed.fades_from = Some(bed.fed);
        }
    }

    /// What was sent of the bed, in all.
    pub(in crate::engine) fn bed_sent(&self) -> Samples {
        self.bed.as_ref().map_or(Samples::ZERO, |bed| bed.fed_total)
    }

    /// Sends what is due of the bed. Returns when to come back.
    pub(super) fn feed_bed(
        &mut self,
        now: LineTime,
        out: &mut Outbox,
        on: &mut impl FnMut(Progress),
    ) -> Option<LineTime> {
        let rate_hz = self.format.rate_hz;
        let bed = self.bed.as_mut()?;
        while bed.on && bed.unplayed < self.stall_after {
            let at = bed.end.max(self.line_end).max(now);
            let left = bed.fades_from.map_or(bed.block, |from| (from + bed.fade_out).saturating_sub(bed.fed));
            // What was never there need not fade.
            if left == Samples::ZERO || (bed.fed == Samples::ZERO && bed.fades_from.is_some()) {
                bed.on = false;
                break;
            }
            let len = left.min(bed.block);
            let (ahead_us, len_us) = (at.as_us() - now.as_us(), len.as_us(rate_hz));
            if ahead_us > 0 && ahead_us + len_us > bed.lead_us {
                return Some(LineTime::from_us(now.as_us() + (ahead_us + len_us - bed.lead_us).max(1_000)));
            }
            let piece = bed.render(len, out);
            out.line_audio(piece.clone());
            bed.fed += len;
            bed.fed_total += len;
            bed.unplayed += len;
            bed.end = LineTime::from_us(at.as_us() + len_us);
            let id = MarkId { generation: self.generation, seq: self.next_seq };
            self.next_seq = self.next_seq.wrapping_add(1);
            bed.marks.push_back(Mark { id, len, due: bed.end });
            out.line_mark(id);
            on(Progress::Sent { at, piece });
        }
        None
    }

    /// Agent audio is there: the bed makes room for it, at once.
    pub(super) fn cut_bed(&mut self, now: LineTime, out: &mut Outbox, on: &mut impl FnMut(Progress)) {
        let Some(bed) = self.bed.as_mut().filter(|bed| bed.on || bed.end > now) else { return };
        let was_on = bed.is_on();
        if bed.end > now {
            let ahead = Samples::from_us(bed.end.as_us() - now.as_us(), self.format.rate_hz);
            bed.cut = Some((bed.fed.saturating_sub(ahead), Samples::ZERO)).filter(|_| bed.tail > Samples::ZERO);
            bed.marks.clear();
            bed.unplayed = Samples::ZERO;
            bed.end = now;
            out.line_clear();
            self.generation += 1;
            self.line_end = now;
        }
        bed.on = false;
        on(Progress::BedCut { was_on });
    }

    /// The rest of a bed that was cut off goes with agent audio that is about to be sent.
    pub(super) fn lay_bed_under(&mut self, piece: &Piece, out: &mut Outbox) {
        if let Some(bed) = self.bed.as_mut().filter(|bed| bed.cut.is_some()) {
            bed.lay_under(out.piece_mut(piece));
        }
    }

    /// The line's audio was cleared, or agent audio is not to follow: nothing is left of a bed that was cut off.
    pub(super) fn forget_cut_bed(&mut self) {
        if let Some(bed) = &mut self.bed {
            bed.cut = None;
        }
    }

    /// Whether a mark that came back is the bed's.
    pub(super) fn bed_mark_played(&mut self, now: LineTime, id: MarkId) -> bool {
        let Some(bed) = &mut self.bed else { return false };
        let Some(index) = bed.marks.iter().position(|mark| mark.id == id) else { return false };
        // A line that plays faster than its clock says has less left than is reckoned.
        let early_us = bed.marks[index].due.us_since(now);
        if early_us > 0 {
            bed.end = bed.end.minus_us(early_us);
            bed.marks.iter_mut().for_each(|mark| mark.due = mark.due.minus_us(early_us));
        }
        for mark in bed.marks.drain(..=index) {
            bed.unplayed = bed.unplayed.saturating_sub(mark.len);
        }
        true
    }

    /// When the bed's first mark that is out should be back, by reckoning.
    pub(super) fn bed_mark_due(&self) -> Option<LineTime> {
        Some(self.bed.as_ref()?.marks.front()?.due)
    }

    /// What is at the line of the bed is lost with its stream.
    pub(in crate::engine) fn bed_is_lost(&mut self, now: LineTime) {
        if let Some(bed) = &mut self.bed {
            bed.marks.clear();
            bed.unplayed = Samples::ZERO;
            bed.end = now;
            bed.cut = None;
        }
    }

    /// See [`Downlink::line_time_jumped`].
    pub(super) fn bed_line_time_jumped(&mut self, us: u64) {
        if let Some(bed) = &mut self.bed {
            bed.end = bed.end.plus_us(us);
            bed.marks.iter_mut().for_each(|mark| mark.due = mark.due.plus_us(us));
        }
    }

    /// The bed's marks count as lost. Answers how many.
    pub(super) fn give_up_bed_marks(&mut self) -> u64 {
        let Some(bed) = &mut self.bed else { return 0 };
        bed.unplayed = Samples::ZERO;
        bed.marks.drain(..).count() as u64
    }
}

/// From 0 to 1 over `of`, slow at both ends; without transcendental functions, which differ from machine to machine.
fn ramp(at: Samples, of: Samples) -> f32 {
    if at >= of {
        return 1.0;
    }
    let t = at.0 as f32 / of.0 as f32;
    t * t * (3.0 - 2.0 * t)
}

fn scaled(sample: i16, gain: f32) -> i16 {
    (f32::from(sample) * gain).round() as i16
}
