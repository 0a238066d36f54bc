//! A phone line in virtual time: it buffers, plays, returns marks and clears as a carrier does, after a delay each way.

use std::collections::VecDeque;

use crate::audio::AudioFormat;
use crate::engine::{CallerCommand, MarkId};
use crate::time::{CallTime, Samples};

/// The far end of a line.
#[derive(Debug)]
pub struct Line {
    format: AudioFormat,
    /// One-way delay of the network.
    delay_ms: u64,
    /// When the buffer will have been played.
    buffer_end: CallTime,
    /// Marks and when they are back at the server.
    marks: VecDeque<(CallTime, MarkId)>,
    /// Stretches that were or will be played: from, to.
    played: Vec<(CallTime, CallTime)>,
    /// The line takes nothing in and gives nothing back until then.
    stalled_until: CallTime,
    /// Marks are held up until then; audio is played all the same.
    marks_held_until: CallTime,
    held: VecDeque<Held>,
    /// What was or will be played, from the beginning of time on; none unless it is kept.
    tape: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Held {
    /// The bytes only where they are kept.
    Audio(Samples, Vec<u8>),
    Mark(MarkId),
    Clear,
}

impl Line {
    /// A line that is idle.
    pub fn new(format: AudioFormat, delay_ms: u64) -> Self {
        Line {
            format,
            delay_ms,
            buffer_end: CallTime::ZERO,
            marks: VecDeque::new(),
            played: Vec::new(),
            stalled_until: CallTime::ZERO,
            marks_held_until: CallTime::ZERO,
            held: VecDeque::new(),
            tape: None,
        }
    }

    /// Stalls the line for a while.
    pub fn stall(&mut self, now: CallTime, ms: u64) {
        self.stalled_until = now.plus_ms(ms);
    }

    /// Holds up marks for a while; audio is played all the same.
    pub fn hold_marks(&mut self, now: CallTime, ms: u64) {
        self.marks_held_until = now.plus_ms(ms);
    }

    /// Takes what the server sends at `now`.
    pub fn take(&mut self, now: CallTime, command: &CallerCommand<'_>) {
        let held = match command {
            CallerCommand::Audio(bytes) => {
                let kept = if self.tape.is_some() { bytes.to_vec() } else { Vec::new() };
                Held::Audio(self.format.samples(bytes.len()), kept)
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
        let us: u64 =
            self.played.iter().map(|(from, to)| to.as_us().min(now.as_us()).saturating_sub(from.as_us())).sum();
        Samples::from_us(us, self.format.rate_hz)
    }

    /// Whether the caller hears something at `at`: for good once it is past.
    pub fn is_playing(&self, at: CallTime) -> bool {
        self.played.iter().rev().any(|(from, to)| *from <= at && at < *to)
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
                Held::Audio(samples, bytes) => {
                    let from = self.buffer_end.max(arrival);
                    self.buffer_end = CallTime::from_us(from.as_us() + samples.as_us(self.format.rate_hz));
                    self.played.push((from, self.buffer_end));
                    let at = self.byte_at(from);
                    if let Some(tape) = &mut self.tape {
                        tape.resize(at, self.format.silence_byte());
                        tape.extend_from_slice(&bytes);
                    }
                }
                Held::Mark(id) => self.marks.push_back((self.buffer_end.max(arrival).plus_ms(self.delay_ms), id)),
                Held::Clear => {
                    let at = self.byte_at(arrival);
                    if let Some(tape) = &mut self.tape {
                        tape.truncate(at);
                    }
                    self.buffer_end = self.buffer_end.min(arrival);
                    for (from, to) in &mut self.played {
                        *to = (*to).min(arrival).max(*from);
                    }
                    self.played.retain(|(from, to)| from < to && *from < arrival);
                    for (at, _) in &mut self.marks {
                        *at = (*at).min(arrival.plus_ms(self.delay_ms));
                    }
                }
            }
        }
    }
}
