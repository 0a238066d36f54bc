//! The clock map: the line's clock beside ours.
//!
//! Nobody tells how fast the line's clock runs; its audio does. A stretch of audio that ends at line time `x` and is here at
//! call time `t` proves that the line's clock has passed `x` by `t`, and it was never long on its way: `x - t` lies below a
//! straight line, and what came fastest lies on it. That upper envelope is the map. Delays, bursts and gaps only ever lie
//! below it, so they do not move it; its slope is the skew.
//!
//! ```text
//!   x - t │            .·····•····•  ◄─ the envelope: its slope is the skew
//!         │   •····•···  ·      ·
//!         │     ·    ·      ·            late audio lies below
//!         └──────────────────────────► t
//! ```
//!
//! The map never runs backwards and never waits behind audio that is here. Where the envelope turns out to lie elsewhere, the
//! map bends towards it within seconds; what it said of the past it goes on saying. All of it is whole numbers, decided by
//! what came and when: a replay of a call has the same map.

mod envelope;
mod pace;

use crate::base::time::{CallTime, LineTime};
use envelope::Envelope;
pub(super) use pace::Pace;

/// Clocks that run apart by more than this are not believed, in parts per 10⁹: ten times what the worst sound card does.
const MOST_SKEW_PPB: i64 = 30_000_000;
/// The map looks at the envelope again after this long.
const LOOK_AGAIN_US: u64 = 500_000;
/// It bends to the envelope within this long ...
const BEND_US: i64 = 2_000_000;
/// ... or by this much at most, in parts per 10⁹.
const BEND_PPB: i64 = 50_000_000;
/// Audio that is sooner here than ever by more than this shows a shorter way, not a faster clock.
const JUMP_US: u64 = 5_000;
/// Less than this is not worth bending for.
const STRAIGHT_US: i64 = 100;
/// Nor is a change of the skew below this.
const STEADY_PPB: i64 = 500;
/// Beyond its skew the line's clock may get ahead by this much: audio that was late at first, and then was not.
const AHEAD_US: u64 = 1_000_000;
/// A stream's beginning is read late by this much at most.
const ORIGIN_LATE_US: u64 = 500_000;
/// A stream that is younger than this by our clock may only seem so: with its beginning comes in one go what was said since ...
const YOUNG_US: u64 = 200_000;
/// ... and that is all true, up to this: no connection outlives a longer stall.
const YOUNG_AHEAD_US: u64 = 20_000_000;
/// Messages of audio that may still tell when the stream began: later ones would move what is recorded already.
const ORIGIN_FRAMES: u32 = 5;
/// Knots of the map; when there are more, every other one of the older half goes.
const KNOTS_MAX: usize = 256;
/// The skew is told once it was watched for this long.
const SKEW_KNOWN_US: u64 = 10_000_000;

/// From here on the line's clock runs by `skew_ppb` faster than ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Knot {
    call_us: u64,
    line_us: u64,
    skew_ppb: i64,
}

impl Knot {
    fn line_at(&self, call_us: u64) -> u64 {
        let since = i128::from(call_us) - i128::from(self.call_us);
        let line = i128::from(self.line_us) + since + since * i128::from(self.skew_ppb) / 1_000_000_000;
        line.clamp(0, i128::from(u64::MAX)) as u64
    }
}

/// Call time and line time of one call.
#[derive(Debug, Default)]
pub(super) struct ClockMap {
    /// In order of both clocks, some perhaps of the near future; empty before media began.
    knots: Vec<Knot>,
    envelope: Envelope,
    /// Where the present stream began.
    stream: (u64, u64),
    /// What it was ahead of that, by what came with its beginning.
    ahead_us: u64,
    frames: u32,
    /// When audio was heard last.
    heard_us: u64,
    look_at_us: u64,
    skew_ppb: i64,
}

impl ClockMap {
    /// Media begins, as far as is known: line time 0 is now.
    pub(super) fn start(&mut self, now: CallTime) {
        self.knots = vec![Knot { call_us: now.as_us(), line_us: 0, skew_ppb: 0 }];
        self.begin_stream(now.as_us(), 0);
    }

    /// Another stream goes on with the call: by the same kind of clock, for all we know, but nothing that was seen of the
    /// last one holds.
    pub(super) fn restart(&mut self, now: CallTime) {
        let line_us = self.line_at(now).as_us();
        self.begin_stream(now.as_us(), line_us);
        self.frames = ORIGIN_FRAMES;
    }

    fn begin_stream(&mut self, call_us: u64, line_us: u64) {
        (self.stream, self.ahead_us) = ((call_us, line_us), 0);
        self.envelope = Envelope::default();
        self.frames = 0;
        self.heard_us = call_us;
        self.look_at_us = call_us + LOOK_AGAIN_US;
    }

    /// When media began.
    pub(super) fn started_at(&self) -> Option<CallTime> {
        self.knots.first().map(|first| CallTime::from_us(first.call_us))
    }

    /// By how much the line's clock runs faster than ours, in parts per million; `None`: not watched for long enough.
    pub(super) fn skew_ppm(&self) -> Option<i64> {
        let known = self.envelope.span_us() >= SKEW_KNOWN_US;
        known.then(|| (self.skew_ppb + 500 * self.skew_ppb.signum()) / 1_000)
    }

    /// Line time at `now`; zero before media began.
    pub(super) fn line_at(&self, now: CallTime) -> LineTime {
        let now_us = now.as_us();
        let after = self.knots.partition_point(|knot| knot.call_us <= now_us);
        let line_us = match (after.checked_sub(1).and_then(|i| self.knots.get(i)), self.knots.get(after)) {
            (None, None) => 0,
            // Between two knots the map is a straight line, whatever it bent to within.
            (Some(from), Some(to)) => {
                let (of, whole) = (now_us - from.call_us, to.call_us - from.call_us);
                from.line_us + scale(of, to.line_us - from.line_us, whole)
            }
            (Some(knot), None) | (None, Some(knot)) => knot.line_at(now_us),
        };
        LineTime::from_us(line_us)
    }

    /// Call time of a line time: the first moment at which the line's clock has reached it.
    pub(super) fn call_at(&self, line: LineTime) -> CallTime {
        let line_us = line.as_us();
        let after = self.knots.partition_point(|knot| knot.line_us <= line_us);
        let call_us = match (after.checked_sub(1).and_then(|i| self.knots.get(i)), self.knots.get(after)) {
            (None, None) => line_us,
            // Where the map jumped the later of two knots is at the same call time.
            (Some(from), Some(to)) => {
                let (of, whole) = (line_us - from.line_us, to.line_us - from.line_us);
                from.call_us + scale_up(of, to.call_us - from.call_us, whole)
            }
            (Some(knot), None) => knot.call_us.saturating_add(scale_up(
                line_us - knot.line_us,
                1_000_000_000,
                (1_000_000_000 + knot.skew_ppb) as u64,
            )),
            (None, Some(knot)) => knot.call_us.saturating_sub(knot.line_us - line_us),
        };
        CallTime::from_us(call_us)
    }

    /// The latest line time that is believed at `now`: audio that claims to be of later is not where it says.
    pub(super) fn latest(&self, now: CallTime) -> LineTime {
        let (call_us, line_us) = self.stream;
        let since = now.as_us().saturating_sub(call_us);
        if since <= YOUNG_US {
            return LineTime::from_us(line_us + since + YOUNG_AHEAD_US);
        }
        let skew_us = scale(since, MOST_SKEW_PPB as u64, 1_000_000_000);
        LineTime::from_us(line_us + self.ahead_us + since + skew_us + AHEAD_US)
    }

    /// Audio that ends at `end` is here at `now`. Answers by how many microseconds line time jumped: it was later all along
    /// than was known, and what was reckoned by it moves along.
    pub(super) fn heard(&mut self, now: CallTime, end: LineTime) -> u64 {
        if self.knots.is_empty() || end > self.latest(now) {
            return 0;
        }
        let now_us = now.as_us();
        let line = self.line_at(now);
        let jumped_us = if end > line { self.advance(now_us, line.as_us(), end.as_us()) } else { 0 };
        self.frames = self.frames.saturating_add(1);
        self.heard_us = now_us;
        self.envelope.add(now_us, end.as_us() as i64 - now_us as i64, self.skew_ppb);
        if now_us >= self.look_at_us {
            self.look_at_us = now_us + LOOK_AGAIN_US;
            self.look(now_us);
        }
        jumped_us
    }

    /// The line's clock has passed `to`: it is no earlier.
    fn advance(&mut self, now_us: u64, line_us: u64, to_us: u64) -> u64 {
        let ahead_us = to_us - line_us;
        let young = now_us.saturating_sub(self.stream.0) <= YOUNG_US;
        if young {
            self.ahead_us += ahead_us;
        }
        // One that goes on with a call begins in the middle of it, and moves nothing that was before.
        let first_stream = self.stream.1 == 0;
        if first_stream
            && (young || self.frames < ORIGIN_FRAMES)
            && let [first] = self.knots.as_mut_slice()
            && let Some(begun_us) = first.call_us.checked_sub(ahead_us)
            && (young || self.stream.0 - begun_us <= ORIGIN_LATE_US)
        {
            // The stream's beginning was read late, because the server was busy.
            first.call_us = begun_us;
            self.envelope.raise(ahead_us, now_us, to_us as i64 - now_us as i64, self.skew_ppb);
            return ahead_us;
        }
        self.knots.retain(|knot| knot.call_us <= now_us);
        let skew_ppb = self.skew_ppb;
        // Audio that is suddenly sooner here than ever was longer on its way before: no skew explains that.
        let explained_us = JUMP_US + scale(now_us - self.heard_us.min(now_us), MOST_SKEW_PPB as u64, 1_000_000_000);
        let jumped = ahead_us > explained_us;
        if jumped {
            self.envelope.raise(ahead_us, now_us, to_us as i64 - now_us as i64, self.skew_ppb);
            if young
                && let [.., before, last] = self.knots.as_mut_slice()
                && before.call_us == last.call_us
                && before.call_us >= self.stream.0
            {
                // It is still the stream's beginning that was read late, after a break.
                last.line_us += ahead_us;
                return ahead_us;
            }
            self.knots.push(Knot { call_us: now_us, line_us, skew_ppb });
        }
        // A clock that is simply faster than was known advances with every message: no knot for each.
        match self.knots.as_mut_slice() {
            [.., before, last] if !jumped && now_us - before.call_us < LOOK_AGAIN_US / 2 => {
                *last = Knot { call_us: now_us, line_us: to_us, skew_ppb };
            }
            _ => self.knots.push(Knot { call_us: now_us, line_us: to_us, skew_ppb }),
        }
        self.thin();
        if jumped { ahead_us } else { 0 }
    }

    /// Bends the map towards the envelope.
    fn look(&mut self, now_us: u64) {
        let Some((ahead_us, skew_ppb)) = self.envelope.at(now_us, self.skew_ppb) else { return };
        let line_us = self.line_at(CallTime::from_us(now_us)).as_us();
        let off_us = now_us as i64 + ahead_us - line_us as i64;
        let bending = self.knots.last().is_some_and(|last| last.call_us > now_us);
        if !bending && off_us.abs() <= STRAIGHT_US && (skew_ppb - self.skew_ppb).abs() <= STEADY_PPB {
            return;
        }
        self.skew_ppb = skew_ppb;
        self.knots.retain(|knot| knot.call_us < now_us);
        let bend_us = BEND_US.max(off_us.abs().saturating_mul(1_000_000_000 / BEND_PPB));
        let bent_ppb = skew_ppb + off_us.saturating_mul(1_000_000_000) / bend_us;
        let knot = Knot { call_us: now_us, line_us, skew_ppb: bent_ppb };
        let straight_us = now_us + bend_us as u64;
        self.knots.push(knot);
        self.knots.push(Knot { call_us: straight_us, line_us: knot.line_at(straight_us), skew_ppb });
        self.thin();
    }

    fn thin(&mut self) {
        if self.knots.len() > KNOTS_MAX {
            let mut index = 0;
            self.knots.retain(|_| {
                index += 1;
                index == 1 || index > KNOTS_MAX / 2 || index % 2 == 0
            });
        }
    }
}

/// `value * by / whole`, rounded down.
fn scale(value: u64, by: u64, whole: u64) -> u64 {
    (u128::from(value) * u128::from(by) / u128::from(whole.max(1))) as u64
}

/// The same, rounded up.
fn scale_up(value: u64, by: u64, whole: u64) -> u64 {
    (u128::from(value) * u128::from(by)).div_ceil(u128::from(whole.max(1))).min(u128::from(u64::MAX)) as u64
}

#[cfg(test)]
mod tests;
