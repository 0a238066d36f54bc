//! A phone line in virtual time: it buffers, plays, returns marks and clears as a carrier does, after a delay each way.

use std::collections::VecDeque;

use crate::base::audio::AudioFormat;
use crate::base::time::{CallTime, Samples};
use crate::engine::{CallerCommand, MarkId};

/// The far end of a line.
#[derive(Debug)]
pub struct Line {
    format: AudioFormat,
    /// One-way delay of the network.
    delay_ms: u64,
    /// By how much it plays faster than our clock says, in parts per million.
    clock_ppm: i64,
    /// When the buffer will have been played.
    buffer_end: CallTime,
    /// Marks and when they are back at the server.
    marks: VecDeque<(CallTime, MarkId)>,
    /// Stretches that were or will be played, in order.
    played: Vec<Stretch>,
    /// The line takes nothing in and gives nothing back until then.
    stalled_until: CallTime,
    /// Marks are held up until then; audio is played all the same.
    marks_held_until: CallTime,
    held: VecDeque<Held>,
    /// So many marks to come never come back.
    marks_to_lose: u32,
    /// What was or will be played, from the beginning of time on; none unless it is kept. Of no use where clocks run apart.
    tape: Option<Vec<u8>>,
}

/// Audio that is played without a break.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    from: CallTime,
    to: CallTime,
    /// Its first byte, by which those who make the audio know it again.
    first: u8,
}

#[derive(Debug)]
enum Held {
    /// Its length and its first byte; all of it only where it is kept.
    Audio(Samples, u8, Vec<u8>),
    Mark(MarkId),
    Clear,
}

impl Line {
    /// A line that is idle.
    pub fn new(format: AudioFormat, delay_ms: u64) -> Self {
        Line {
            format,
            delay_ms,
            clock_ppm: 0,
            buffer_end: CallTime::ZERO,
            marks: VecDeque::new(),
            played: Vec::new(),
            stalled_until: CallTime::ZERO,
            marks_held_until: CallTime::ZERO,
            held: VecDeque::new(),
            marks_to_lose: 0,
            tape: None,
        }
    }

    /// Plays by a clock that runs faster than ours by so much, in parts per million, or slower.
    pub fn set_clock(&mut self, ppm: i64) {
        self.clock_ppm = ppm.clamp(-500_000, 500_000);
    }

    /// How long this much audio is played, in µs of our clock.
    fn lasts_us(&self, samples: Samples) -> u64 {
        let line_us = u128::from(samples.as_us(self.format.rate_hz));
        (line_us * 1_000_000 / (1_000_000 + self.clock_ppm) as u128) as u64
    }

    /// Its stream breaks off: what is buffered is not heard any more, and no mark comes back.
    pub fn break_off(&mut self, now: CallTime) {
        self.held.clear();
        self.marks.clear();
        self.stop_playing(now);
    }

    fn stop_playing(&mut self, at: CallTime) {
        self.buffer_end = self.buffer_end.min(at);
        for stretch in &mut self.played {
            stretch.to = stretch.to.min(at).max(stretch.from);
        }
        self.played.retain(|s| s.from < s.to && s.from < at);
    }

    /// Whether nothing was played for so long that nothing of it is under way any more.
    pub fn is_at_rest(&self, now: CallTime) -> bool {
        self.held.is_empty() && self.marks.is_empty() && self.buffer_end.plus_ms(2 * self.delay_ms + 500) < now
    }

    /// Stalls the line for a while.
    pub fn stall(&mut self, now: CallTime, ms: u64) {
        self.stalled_until = now.plus_ms(ms);
    }

    /// Holds up marks for a while; audio is played all the same.
    pub fn hold_marks(&mut self, now: CallTime, ms: u64) {
        self.marks_held_until = now.plus_ms(ms);
    }

    /// Of the marks that are sent from now on, the first `count` never come back; what they stand for is played.
    pub fn lose_marks(&mut self, count: u32) {
        self.marks_to_lose = count;
    }

    /// One-way delay of the network, in ms.
    pub fn delay_ms(&self) -> u64 {
        self.delay_ms
    }

    /// Takes what the server sends at `now`.
    pub fn take(&mut self, now: CallTime, command: &CallerCommand<'_>) {
        let held = match command {
            CallerCommand::Audio(bytes) => {
                let kept = if self.tape.is_some() { bytes.to_vec() } else { Vec::new() };
                Held::Audio(self.format.samples(bytes.len()), bytes.first().copied().unwrap_or_default(), kept)
            }
            CallerCommand::Mark(id) => Held::Mark(*id),
            CallerCommand::Clear => Held::Clear,
        };
        self.held.push_back(held);
        self.deliver(now);
    }

    /// When something comes back next, or a stall ends.
    pub fn next(&self) -> Option<CallTime> {
        if !self.held.is_empty() {
            return Some(self.stalled_until);
        }
        self.marks.front().map(|(at, _)| (*at).max(self.stalled_until).max(self.marks_held_until))
    }

    /// A mark that is back by `now`.
    pub fn poll(&mut self, now: CallTime) -> Option<MarkId> {
        self.deliver(now);
        let (at, id) = *self.marks.front()?;
        if at.max(self.stalled_until).max(self.marks_held_until) > now {
            return None;
        }
        self.marks.pop_front();
        Some(id)
    }

    /// What the caller has heard by `now`, in all.
    pub fn played(&self, now: CallTime) -> Samples {
        self.sum(now, |_| true)
    }

    /// What the caller has heard by `now` of audio whose messages began with this byte.
    pub fn played_of(&self, first: u8, now: CallTime) -> Samples {
        self.sum(now, |stretch| stretch.first == first)
    }

    fn sum(&self, now: CallTime, of: impl Fn(&Stretch) -> bool) -> Samples {
        let us = |s: &Stretch| s.to.as_us().min(now.as_us()).saturating_sub(s.from.as_us());
        let ours_us: u64 = self.played.iter().filter(|s| of(s)).map(us).sum();
        let line_us = u128::from(ours_us) * (1_000_000 + self.clock_ppm) as u128 / 1_000_000;
        Samples::from_us(line_us as u64, self.format.rate_hz)
    }

    /// Whether the caller hears something at `at`: for good once it is past.
    pub fn is_playing(&self, at: CallTime) -> bool {
        self.played.iter().rev().any(|s| s.from <= at && at < s.to)
    }

    /// Keeps what is played from now on.
    pub fn keep_audio(&mut self) {
        self.tape.get_or_insert_default();
    }

    /// What the caller hears, in the line's format, from the beginning of time on, where it is [kept](Self::keep_audio);
    /// for good up to now, and silence after its end.
    pub fn audio(&self) -> &[u8] {
        self.tape.as_deref().unwrap_or_default()
    }

    fn byte_at(&self, at: CallTime) -> usize {
        self.format.bytes(Samples::from_us(at.as_us(), self.format.rate_hz))
    }

    fn deliver(&mut self, now: CallTime) {
        if now < self.stalled_until {
            return;
        }
        let arrival = now.plus_ms(self.delay_ms);
        while let Some(held) = self.held.pop_front() {
            match held {
                Held::Audio(samples, first, bytes) => {
                    let from = self.buffer_end.max(arrival);
                    self.buffer_end = CallTime::from_us(from.as_us() + self.lasts_us(samples));
                    match self.played.last_mut().filter(|s| s.to == from && s.first == first) {
                        Some(stretch) => stretch.to = self.buffer_end,
                        None => self.played.push(Stretch { from, to: self.buffer_end, first }),
                    }
                    let at = self.byte_at(from);
                    if let Some(tape) = &mut self.tape {
                        tape.resize(at, self.format.silence_byte());
                        tape.extend_from_slice(&bytes);
                    }
                }
                Held::Mark(_) if self.marks_to_lose > 0 => self.marks_to_lose -= 1,
                Held::Mark(id) => self.marks.push_back((self.buffer_end.max(arrival).plus_ms(self.delay_ms), id)),
                Held::Clear => {
                    let at = self.byte_at(arrival);
                    if let Some(tape) = &mut self.tape {
                        tape.truncate(at);
                    }
                    self.stop_playing(arrival);
                    for (at, _) in &mut self.marks {
                        *at = (*at).min(arrival.plus_ms(self.delay_ms));
                    }
                }
            }
        }
    }
}
