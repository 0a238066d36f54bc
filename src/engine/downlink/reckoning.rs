//! When what was sent is played: the reckoning between two marks, what late marks teach it, and the recording that is
//! written by it.

use super::{Downlink, slice};
use crate::base::time::{LineTime, Samples};
use crate::engine::outbox::Outbox;

/// A mark this much later than the line's usual lag is more than jitter.
const LATE_US: u64 = 60_000;
/// A mark that is out for this much longer than reckoned: the reckoning is not believed.
const OVERDUE_US: u64 = 250_000;
/// Audio is recorded as following what came before when its reckoning was moved by less than this.
const GOES_ON_MS: u64 = 10;
/// The lag that is believed at most: beyond it a line is not lagging but stalled.
const LONGEST_LAG_US: u64 = 1_000_000;

/// Audio at the line and when it is played, by reckoning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) start: Samples,
    pub(super) end: Samples,
    /// When its first sample is played.
    pub(super) at: LineTime,
}

/// A mark that came back late; what it vouches for is not in the recording yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Late {
    pub(super) at: LineTime,
    pub(super) position: Samples,
    /// What was at the line by then; later audio has a reckoning of its own.
    pub(super) sent: Samples,
    /// It came at once with one that was held up.
    pub(super) held_up: bool,
    /// By so much the reckoning moves if the line played late: just enough that the mark would have been in time.
    pub(super) by_us: u64,
}

impl Downlink {
    /// The position that the caller has heard by `now`: proven by marks, else reckoned.
    pub(super) fn heard_at(&self, now: LineTime) -> Samples {
        let limit = self.marks.front().map_or(self.sent, |m| m.position);
        let due_us = self.played_at(limit).as_us() + self.lag_us;
        if !self.marks.is_empty() && now.as_us() > due_us + OVERDUE_US {
            // The line does not play as reckoned: nothing counts that is not proven.
            return self.heard;
        }
        let then_us = now.as_us().saturating_sub(self.lag_us);
        let mut heard = self.heard;
        for run in &self.runs {
            if run.at.as_us() > then_us {
                break;
            }
            let played = Samples::from_us(then_us - run.at.as_us(), self.format.rate_hz);
            heard = heard.max((run.start + played).min(run.end));
        }
        heard.min(limit).max(self.heard)
    }

    /// When `position` is played, by reckoning.
    pub(super) fn played_at(&self, position: Samples) -> LineTime {
        match self.runs.iter().find(|r| position <= r.end) {
            Some(run) => {
                LineTime::from_us(run.at.as_us() + position.saturating_sub(run.start).as_us(self.format.rate_hz))
            }
            None => self.line_end,
        }
    }

    /// Learns from a mark that came back at `now` how late marks are. Answers whether it was too late to believe the
    /// reckoning; then the next mark explains why.
    pub(super) fn reckon(&mut self, now: LineTime, position: Samples, held_up: bool) -> bool {
        let expected = self.played_at(position);
        if now < expected {
            // What is heard already was played by now.
            self.move_reckoning(-(expected.us_since(now) as i64));
        }
        let late_us = now.us_since(expected);
        if !std::mem::replace(&mut self.lag_known, true) || late_us < self.lag_us {
            self.lag_us = late_us.min(LONGEST_LAG_US);
        } else if late_us > self.lag_us + LATE_US {
            let by_us = late_us - self.lag_us - LATE_US;
            self.late = Some(Late { at: now, position, sent: self.sent, held_up, by_us });
            // Whichever it was, the line holds no more than this now.
            let held_us = (self.sent - position).as_us(self.format.rate_hz);
            self.line_end = now.plus_us(held_us);
            self.pace.begin();
            return true;
        } else {
            self.lag_us += (late_us - self.lag_us) / 16;
        }
        if let Some(later_us) = self.pace.mark(now, late_us) {
            self.move_reckoning(later_us);
            self.lag_us = self.lag_us.saturating_add_signed(-later_us).min(LONGEST_LAG_US);
        }
        false
    }

    /// The line plays so much later, or earlier, than was reckoned.
    fn move_reckoning(&mut self, later_us: i64) {
        self.runs.iter_mut().for_each(|run| run.at = run.at.moved_us(later_us));
        self.line_end = self.line_end.moved_us(later_us);
    }

    /// Decides why a mark was late, by the position that was confirmed after it, and writes what it vouched for. Answers
    /// whether that position came at once with it.
    pub(super) fn explain_late(&mut self, now: LineTime, next: Option<Samples>, out: &mut Outbox) -> bool {
        let Some(late) = self.late.take() else { return false };
        // Audio between two marks that come back faster than it can be played was not played just now.
        let at_once = next.is_some_and(|next| {
            let audio_us = next.saturating_sub(late.position).as_us(self.format.rate_hz);
            now.us_since(late.at) + LATE_US / 2 < audio_us
        });
        let held_up = at_once || late.held_up;
        if !held_up {
            for run in self.runs.iter_mut().filter(|run| run.start < late.sent) {
                run.at = LineTime::from_us(run.at.as_us() + late.by_us);
            }
        }
        self.write(now, late.position, out);
        at_once
    }

    /// Writes what was heard up to `position` to the recording, where it was heard: never before what is there already,
    /// and not after now. What a wrong reckoning puts beyond now waits for the next time.
    pub(super) fn write(&mut self, now: LineTime, position: Samples, out: &mut Outbox) {
        let rate_hz = self.format.rate_hz;
        let media_now = now.position(rate_hz);
        while let Some(run) = self.runs.front().copied() {
            let from = run.start.max(self.written);
            let to = run.end.min(position);
            if from < to {
                let latest = media_now.saturating_sub(to - from);
                let reckoned = run.at.position(rate_hz) + (from - run.start);
                // Audio that goes on is not parted by a reckoning that was moved by little.
                let goes_on =
                    from == self.recorded_to && reckoned <= self.recorded + Samples::from_ms(GOES_ON_MS, rate_hz);
                let at = if goes_on { self.recorded } else { reckoned.min(latest).max(self.recorded) };
                let fits = (to - from).min(media_now.saturating_sub(at));
                let bytes = self.format.bytes(fits);
                let piece = out.keep_parts(slice(&self.queue, 0, bytes));
                self.queue.drain(..bytes);
                self.recorded = at + fits;
                self.recorded_to = from + fits;
                self.written = from + fits;
                if bytes > 0 {
                    out.record_agent(at, piece);
                }
                if self.written < to {
                    break;
                }
            }
            if run.end > position {
                break;
            }
            self.runs.pop_front();
        }
    }
}
