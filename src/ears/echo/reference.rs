//! What the agent says, by the position at which the line plays it.

use crate::base::audio::g711;
use crate::base::time::Samples;

/// The agent's audio around the present: long enough to find an echo 700 ms late, and a second ahead.
pub(super) struct Reference {
    /// Sample `p` is at `p % ring.len()`, as μ-law: what a telephone plays to the last bit in half the memory, and to 38 dB
    /// elsewhere. Positions never told hold silence. Empty until the agent is first audible.
    ring: Vec<u8>,
    /// One past the last position told.
    end: u64,
    /// The stretch in which the agent can be heard, pauses shorter than [`Reference::tail`] included.
    audible: std::ops::Range<u64>,
    /// Where what was told last did not follow what was told before.
    jumped_at: Option<u64>,
    /// Mean power of the agent's loudest pieces of late.
    loudness: f32,
    rate_hz: u32,
}

impl Reference {
    pub(super) fn new(rate_hz: u32) -> Reference {
        Reference { ring: Vec::new(), end: 0, audible: 0..0, jumped_at: None, loudness: 0.0, rate_hz }
    }

    /// Keeps `samples`, audible from `at` on. What lies more than [`AHEAD_MS`] after `now` has no room and is dropped.
    /// True when the agent is heard anew: the reckoning of `at` may be another than before.
    pub(super) fn tell(&mut self, at: u64, samples: &[i16], now: Option<u64>) -> bool {
        let limit = now.unwrap_or(at).saturating_add(self.ms(AHEAD_MS));
        let room = usize::try_from(limit.saturating_sub(at)).unwrap_or(usize::MAX);
        let samples = &samples[..samples.len().min(room)];
        let end = at.saturating_add(samples.len() as u64);
        if samples.is_empty() || end - at < samples.len() as u64 {
            return false;
        }
        if let Some(first) = samples.iter().position(|s| s.unsigned_abs() > AUDIBLE) {
            let first = at + first as u64;
            if first > self.audible.end.saturating_add(self.tail()) || first < self.audible.start {
                self.audible.start = first;
            }
            self.audible.end = end;
            let power = samples.iter().map(|&s| f32::from(s) * f32::from(s)).sum::<f32>() / samples.len() as f32;
            self.loudness = power.max(0.95 * self.loudness);
            if self.ring.is_empty() {
                self.ring = vec![SILENCE; self.ms(AHEAD_MS + BACK_MS) as usize];
            }
        } else if self.ring.is_empty() {
            return false;
        }
        let anew = at != self.end;
        if anew {
            self.jumped_at = Some(at.min(self.end));
        }
        // What was not told is silence; a reckoning that went back overrules what was told after it.
        let gap = at.saturating_sub(self.end).min(self.ring.len() as u64);
        self.fill(at - gap, gap);
        self.forget_from(at);
        let len = self.ring.len();
        let kept = &samples[samples.len().saturating_sub(len)..];
        let begin = ((end - kept.len() as u64) % len as u64) as usize;
        let head = kept.len().min(len - begin);
        let (first, second) = kept.split_at(head);
        self.ring[begin..].iter_mut().zip(first).for_each(|(to, &s)| *to = g711::linear_to_ulaw(s));
        self.ring.iter_mut().zip(second).for_each(|(to, &s)| *to = g711::linear_to_ulaw(s));
        self.end = end;
        anew
    }

    /// Silence from `from` on.
    pub(super) fn forget_from(&mut self, from: u64) {
        if from < self.end && !self.ring.is_empty() {
            let stale = (self.end - from).min(self.ring.len() as u64);
            self.fill(self.end - stale, stale);
            self.end = from;
            self.audible.end = self.audible.end.min(from).max(self.audible.start);
        }
    }

    /// Whether the agent's voice can come back at `position`.
    pub(super) fn can_be_heard(&self, position: u64) -> bool {
        !self.ring.is_empty()
            && position.saturating_add(self.ms(EARLY_MS)) >= self.audible.start
            && position < self.audible.end.saturating_add(self.tail())
    }

    /// Since when the agent is heard.
    pub(super) fn audible_since(&self) -> Option<u64> {
        (!self.ring.is_empty()).then_some(self.audible.start)
    }

    /// Mean power of the agent where it is loud.
    pub(super) fn loudness(&self) -> f32 {
        self.loudness
    }

    /// Where the reckoning last jumped, or the agent began anew.
    pub(super) fn jumped_at(&self) -> Option<u64> {
        self.jumped_at
    }

    /// The samples from `from` on, which may lie before the call's beginning; silence where nothing is known.
    pub(super) fn read(&self, from: i64, out: &mut [f32]) {
        let len = self.ring.len() as i64;
        let end = self.end.min(i64::MAX as u64) as i64;
        let known = from.max(end - len).max(0)..(from.saturating_add(out.len() as i64)).min(end);
        if known.is_empty() {
            return out.fill(0.0);
        }
        let (before, rest) = out.split_at_mut((known.start - from) as usize);
        let (inside, after) = rest.split_at_mut((known.end - known.start) as usize);
        before.fill(0.0);
        after.fill(0.0);
        let begin = (known.start % len) as usize;
        let head = inside.len().min(self.ring.len() - begin);
        let (first, second) = inside.split_at_mut(head);
        first.iter_mut().zip(&self.ring[begin..]).for_each(|(to, &s)| *to = f32::from(g711::ulaw_to_linear(s)));
        second.iter_mut().zip(&self.ring).for_each(|(to, &s)| *to = f32::from(g711::ulaw_to_linear(s)));
    }

    /// How long after its last word the agent may still be heard.
    fn tail(&self) -> u64 {
        self.ms(1_000)
    }

    fn fill(&mut self, from: u64, count: u64) {
        let len = self.ring.len() as u64;
        for position in from..from + count {
            self.ring[(position % len) as usize] = SILENCE;
        }
    }

    fn ms(&self, ms: u64) -> u64 {
        Samples::from_ms(ms, self.rate_hz).0
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.ring.capacity()
    }
}

/// A sample of 0.
const SILENCE: u8 = g711::linear_to_ulaw(0);

/// Agent audio is told at most a second ahead; the rest is leeway.
const AHEAD_MS: u64 = 1_050;

/// Looking back: the latest echo, the filter behind it and what it takes to learn it from.
const BACK_MS: u64 = 1_250;

/// How much earlier than reckoned the agent may be heard.
const EARLY_MS: u64 = 100;

/// Quieter agent audio than this (-60 dBFS) is taken for silence: no echo of it can be heard.
const AUDIBLE: u16 = 32;
