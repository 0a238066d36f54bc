//! The caller's audio on its way to the model.
//!
//! The line's media clock says where audio belongs: a gap becomes silence, what was there before is dropped, a clock
//! that jumps is anchored anew. While the model is not there, audio waits (bounded, oldest dropped).
//!
//! What is passed on depends on who decides turns ([`Gate`]): the model gets everything, or, when our own ears decide,
//! only speech with its prefix.

use std::collections::VecDeque;

use crate::audio::AudioFormat;
use crate::config::TurnSettings;
use crate::engine::event::CallEvent;
use crate::engine::outbox::{Outbox, OwnedCommand, Piece};
use crate::engine::report::Gap;
use crate::hearing::Hearing;
use crate::time::{CallTime, Samples};
use crate::turn::TurnDetector;

/// Clocks may disagree by this much with the audio that came before without there being a gap: half a frame.
const TOLERANCE_MS: u64 = 10;
/// A gap longer than this is not filled for the model to its whole length.
const LONGEST_FILL_MS: u64 = 10_000;
/// The line's clock may run ahead of ours by this much; beyond it is a clock that jumped.
const AHEAD_MS: u64 = 1_000;
/// Audio this far behind what came before is not late but a clock that began again.
const LONGEST_LATE_MS: u64 = 5_000;
/// Speech that a lost session has not yet made a turn of, kept for the session after it.
const SPEECH_KEPT_MS: u64 = 15_000;
/// Of audio that is not known to be speech, this much is kept: detection comes after the first sound.
const LEAD_IN_KEPT_MS: u64 = 1_000;
/// Silence is padded in steps of this length ...
const PAD_STEP_MS: u64 = 100;
/// ... and no longer than this without any caller audio.
const LONGEST_PAD_MS: u64 = 3_000;
/// Audio messages that may still tell when the stream began: later ones would move what is recorded already.
const ORIGIN_FRAMES: u64 = 5;
/// A stream's beginning is read late by this much at most, in µs.
const ORIGIN_LATE_US: u64 = 500_000;
/// A commit of less than this is refused (OpenAI: `input_audio_buffer_commit_empty`).
const SHORTEST_COMMIT_MS: u64 = 100;
/// Entries in the map from a session's audio to media time; the oldest are forgotten.
const MAP_LEN: usize = 64;
/// Gaps listed in the report; further ones are only counted.
const GAPS_LISTED: usize = 200;

/// What is heard is known this much later at most: a step, what resampling holds back, and one message of audio.
const LATEST_STEP_MS: u64 = 500;

/// What is passed on to the model.
#[derive(Debug)]
pub(super) enum Gate {
    /// Everything: the model tells when speech begins.
    All,
    /// Everything, and nobody tells when speech begins: turns are ended by key or operator.
    Untold,
    /// Turns, from [`Uplink::begin_turn`] to [`Uplink::end_turn`].
    Turns {
        /// Bytes kept from before a turn.
        lead_in: usize,
        /// Where the turn that is being passed on begins.
        turn: Option<Samples>,
    },
}

impl Gate {
    pub(super) fn turns(settings: &TurnSettings, format: AudioFormat) -> Self {
        let known_ms = u64::from(settings.prefix_padding_ms) + LATEST_STEP_MS;
        let lead_in =
            Samples::from_ms(known_ms, format.rate_hz) + TurnDetector::longest_start(settings, format.rate_hz);
        Gate::Turns { lead_in: format.bytes(lead_in), turn: None }
    }
}

/// What became of one message of caller audio.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Samples that were late or there before.
    pub(super) dropped: Samples,
    /// Samples of early audio that made room.
    pub(super) overflowed: Samples,
}

/// The caller's direction.
#[derive(Debug)]
pub(super) struct Uplink {
    format: AudioFormat,
    /// Call time of media time 0.
    origin: Option<CallTime>,
    /// Where the next audio belongs; `None` before the first.
    expected: Option<Samples>,
    /// Added to the line's clock since it was last anchored anew.
    shift: i64,
    /// The model's session takes audio.
    open: bool,
    /// Audio that waits for a session.
    early: VecDeque<u8>,
    early_cap: usize,
    /// The end of what was sent, in case the session is lost with it.
    recent: VecDeque<u8>,
    /// Whether `recent` is known to hold speech.
    speech: bool,
    gate: Gate,
    /// Of a turn that waits, up to where it was heard: what follows it does not repeat it.
    waits_until: Samples,
    /// Samples of turns that the session has and that are not committed.
    uncommitted: Samples,
    /// Samples heard in the whole call.
    heard: Samples,
    /// Samples appended to this session; where turns are passed on, samples heard.
    appended: Samples,
    /// From the session's audio to media time, where the two part.
    map: VecDeque<(Samples, Samples)>,
    /// The next audio is of another stream than what came before.
    restarted: bool,
    /// Silence sent since the last caller audio.
    padded: Samples,
    /// What is heard goes to nobody, and is not kept for anybody.
    pub(super) muted: bool,
    pub(super) gaps: Vec<Gap>,
    pub(super) frames: u64,
    pub(super) gap_samples: Samples,
}

impl Uplink {
    pub(super) fn new(format: AudioFormat, early_audio_ms: u64, gate: Gate) -> Self {
        Uplink {
            format,
            origin: None,
            expected: None,
            shift: 0,
            open: false,
            early: VecDeque::new(),
            early_cap: format.bytes(Samples::from_ms(early_audio_ms, format.rate_hz)),
            recent: VecDeque::new(),
            speech: false,
            gate,
            waits_until: Samples::ZERO,
            uncommitted: Samples::ZERO,
            heard: Samples::ZERO,
            appended: Samples::ZERO,
            map: VecDeque::new(),
            restarted: false,
            padded: Samples::ZERO,
            muted: false,
            gaps: Vec::new(),
            frames: 0,
            gap_samples: Samples::ZERO,
        }
    }

    /// The media stream began.
    pub(super) fn start(&mut self, now: CallTime) {
        self.origin = Some(now);
    }

    /// The media stream began again, with a clock of its own: what comes now is now.
    pub(super) fn restart(&mut self) {
        self.restarted = true;
    }

    /// Caller audio; `at_ms` by the line's clock.
    pub(super) fn take(
        &mut self,
        now: CallTime,
        at_ms: u64,
        payload: &[u8],
        hearing: &mut Hearing,
        out: &mut Outbox,
    ) -> Taken {
        let mut taken = Taken::default();
        let whole = payload.len() - payload.len() % self.format.bytes_per_sample();
        let mut payload = &payload[..whole];
        let len = self.format.samples(whole);
        if len == Samples::ZERO {
            return taken;
        }
        self.frames += 1;
        if self.frames <= ORIGIN_FRAMES {
            self.settle_origin(now, at_ms, len);
        }
        let mut at = self.place(now, at_ms, len, out);
        if std::mem::take(&mut self.restarted) {
            // Nobody was there to be heard meanwhile: a gap, but none that the model is given silence for.
            if let Some(gap) = self.expected.map(|expected| at.saturating_sub(expected)).filter(|gap| gap.0 > 0) {
                self.list_gap(at - gap, gap);
            }
            // Two clocks may disagree by less than a frame or two; nothing is recorded twice for that.
            at = self.expected.map_or(at, |expected| at.max(expected));
            self.expected = Some(at);
        }
        if let Some(expected) = self.expected {
            let tolerance = self.samples(TOLERANCE_MS);
            if at >= expected + tolerance {
                self.fill(expected, at - expected, &mut taken, hearing, out);
            } else if at + tolerance <= expected {
                let behind = expected - at;
                if behind >= len {
                    taken.dropped += len;
                    return taken;
                }
                taken.dropped += behind;
                payload = &payload[self.format.bytes(behind)..];
                at = expected;
            } else {
                at = expected;
            }
        }
        self.expected = Some(at + self.format.samples(payload.len()));
        self.padded = Samples::ZERO;
        let piece = out.keep(payload);
        out.record_caller(at, piece.clone());
        taken.overflowed += self.hear(at, piece, hearing, out);
        taken
    }

    /// Audio, or silence in its place, for our ears and for the model. Returns what made room while the model is away.
    fn hear(&mut self, at: Samples, piece: Piece, hearing: &mut Hearing, out: &mut Outbox) -> Samples {
        hearing.take(at, out.piece(&piece));
        let piece = hearing.cleaned().map_or(piece, |cleaned| out.keep(cleaned));
        let audio = out.piece(&piece);
        self.heard += self.format.samples(audio.len());
        let wanted = match self.gate {
            Gate::All | Gate::Untold => !self.muted,
            Gate::Turns { turn, .. } => {
                self.note_appended(at, audio.len());
                self.remember(audio);
                turn.is_some()
            }
        };
        match (wanted, self.open, &self.gate) {
            (false, ..) => return Samples::ZERO,
            (true, false, _) => return self.wait(audio),
            (true, true, Gate::Turns { .. }) => self.uncommitted += self.format.samples(audio.len()),
            (true, true, _) => {
                self.note_appended(at, audio.len());
                self.remember(audio);
            }
        }
        out.model_audio(piece);
        Samples::ZERO
    }

    /// Somebody else decides turns from here, before the session is given anything: a session that hears everything is
    /// given what our own ears kept, so that what is being said is not lost.
    pub(super) fn follow(&mut self, gate: Gate) {
        let kept = std::mem::take(&mut self.recent);
        if matches!(gate, Gate::All | Gate::Untold) && self.early.is_empty() {
            self.early = kept;
        }
        self.gate = gate;
        // Where turns are passed on, positions count what was heard.
        self.appended = self.heard;
        self.map.clear();
        (self.uncommitted, self.waits_until) = (Samples::ZERO, self.heard);
    }

    /// Our own ears heard a turn begin: from position `from` of what was heard, everything is passed on.
    pub(super) fn begin_turn(&mut self, from: Samples, out: &mut Outbox) {
        let Gate::Turns { turn, .. } = &mut self.gate else { return };
        let held = self.format.samples(self.recent.len());
        let waits_until = if self.early.is_empty() { Samples::ZERO } else { self.waits_until };
        let from = from.max(self.appended.saturating_sub(held)).max(waits_until);
        *turn = Some(from);
        let skip = self.recent.len() - self.format.bytes(self.appended.saturating_sub(from));
        if self.open {
            let piece = out.keep_parts(tail(&self.recent, skip));
            self.uncommitted += self.format.samples(self.recent.len() - skip);
            out.model_audio(piece);
        } else if self.early_cap > 0 {
            self.early.extend(self.recent.range(skip..));
            self.waits_until = self.appended;
            self.trim_early();
        }
    }

    /// What was passed on becomes a turn of the conversation. One so short that it would be refused ends in silence.
    pub(super) fn commit(&mut self, out: &mut Outbox) {
        let short = self.samples(SHORTEST_COMMIT_MS).saturating_sub(std::mem::take(&mut self.uncommitted));
        if short > Samples::ZERO {
            let piece = out.keep_silence(self.format.silence_byte(), self.format.bytes(short));
            out.model_audio(piece);
        }
        out.model(OwnedCommand::Commit);
    }

    /// The turn is over: nothing more is passed on until the next.
    pub(super) fn end_turn(&mut self) {
        if let Gate::Turns { turn, .. } = &mut self.gate {
            *turn = None;
        }
        self.trim_recent();
    }

    /// The same, and what was passed on of it is forgotten.
    pub(super) fn drop_turn(&mut self, out: &mut Outbox) {
        let Gate::Turns { turn, .. } = &mut self.gate else { return };
        let Some(from) = turn.take() else { return };
        if self.open {
            out.model(OwnedCommand::Clear);
            self.uncommitted = Samples::ZERO;
        } else {
            let of_turn = self.format.bytes(self.appended.saturating_sub(from));
            self.early.truncate(self.early.len().saturating_sub(of_turn));
        }
        self.trim_recent();
    }

    /// Silence for the model in place of audio that does not come, so that its VAD can end the turn. Returns whether
    /// more may follow.
    pub(super) fn pad(&mut self, hearing: &mut Hearing, out: &mut Outbox) -> bool {
        let passes = self.open || matches!(self.gate, Gate::Turns { .. });
        if !passes || self.padded >= self.samples(LONGEST_PAD_MS) {
            return false;
        }
        let step = self.samples(PAD_STEP_MS);
        let bytes = self.format.bytes(step);
        let piece = out.keep_silence(self.format.silence_byte(), bytes);
        let at = self.expected.unwrap_or_default() + self.padded;
        self.padded += step;
        self.hear(at, piece, hearing, out);
        true
    }

    /// How long after the last caller audio, or the last padding, padding is due.
    pub(super) const fn pad_after_ms(&self) -> u64 {
        if self.padded.0 == 0 { 300 } else { PAD_STEP_MS }
    }

    /// A new session takes audio from here: what waited goes first.
    pub(super) fn open(&mut self, out: &mut Outbox) {
        self.open = true;
        self.uncommitted = self.format.samples(self.early.len());
        let counts_session = !matches!(self.gate, Gate::Turns { .. });
        if counts_session {
            self.appended = Samples::ZERO;
            self.map.clear();
        }
        if self.early.is_empty() {
            return;
        }
        let early = std::mem::take(&mut self.early);
        let piece = out.keep_parts(early.as_slices());
        out.model_audio(piece);
        if counts_session {
            let end = self.expected.unwrap_or_default();
            let at = end.saturating_sub(self.format.samples(early.len()));
            self.note_appended(at, early.len());
            let (a, b) = early.as_slices();
            self.remember(a);
            self.remember(b);
        }
    }

    /// No session will come: audio is only recorded from here.
    pub(super) fn stop(&mut self) {
        self.open = false;
        self.early_cap = 0;
        self.early = VecDeque::new();
        self.recent = VecDeque::new();
    }

    /// The session is gone: audio waits, beginning with what the session had not yet made a turn of.
    pub(super) fn close(&mut self) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        self.waits_until = self.appended;
        match self.gate {
            Gate::All | Gate::Untold => self.early = std::mem::take(&mut self.recent),
            Gate::Turns { turn: Some(from), .. } => {
                let of_turn = self.format.bytes(self.appended.saturating_sub(from)).min(self.recent.len());
                self.early = self.recent.range(self.recent.len() - of_turn..).copied().collect();
            }
            Gate::Turns { turn: None, .. } => {}
        }
    }

    /// The model heard speech begin: what is sent from now on matters until it is a turn.
    pub(super) fn speech_began(&mut self) {
        self.speech = true;
    }

    /// What was sent is a turn of the conversation now.
    pub(super) fn committed(&mut self) {
        self.speech = false;
        if !matches!(self.gate, Gate::Turns { .. }) {
            self.recent.clear();
        }
    }

    /// Media time at `now`; zero before the stream began.
    pub(super) fn media_at(&self, now: CallTime) -> Samples {
        match self.origin {
            Some(origin) => Samples::from_us(now.since(origin).as_micros() as u64, self.format.rate_hz),
            None => Samples::ZERO,
        }
    }

    /// Call time of a media time.
    pub(super) fn call_time_of(&self, media: Samples) -> CallTime {
        let origin = self.origin.unwrap_or_default();
        CallTime::from_us(origin.as_us() + media.as_us(self.format.rate_hz))
    }

    /// Media time of an offset in the audio appended to this session.
    pub(super) fn media_of_appended_ms(&self, appended_ms: u64) -> Samples {
        self.media_of_appended(self.samples(appended_ms))
    }

    /// Media time of a position in the audio appended to this session, or heard.
    pub(super) fn media_of_appended(&self, appended: Samples) -> Samples {
        match self.map.iter().rev().find(|(from, _)| *from <= appended).or(self.map.front()) {
            Some((from, media)) => *media + appended.saturating_sub(*from),
            None => appended,
        }
    }

    /// How much was appended to this session, or heard.
    pub(super) fn appended(&self) -> Samples {
        self.appended
    }

    /// When media began.
    pub(super) fn started_at(&self) -> Option<CallTime> {
        self.origin
    }

    /// A stream's beginning that was read late, because the server was busy, is known from the audio read right after it:
    /// what has a length cannot be here before that length has passed.
    fn settle_origin(&mut self, now: CallTime, at_ms: u64, len: Samples) {
        let Some(origin) = self.origin else { return };
        let stamped_us = at_ms.saturating_mul(1_000).saturating_add(len.as_us(self.format.rate_hz));
        // A stamp from before the call began is a clock of its own.
        let Some(begun_us) = now.as_us().checked_sub(stamped_us) else { return };
        if begun_us < origin.as_us() && origin.as_us() - begun_us <= ORIGIN_LATE_US {
            self.origin = Some(CallTime::from_us(begun_us));
        }
    }

    /// Where audio of the line's time `at_ms` belongs, anchoring a clock that jumped anew.
    fn place(&mut self, now: CallTime, at_ms: u64, len: Samples, out: &mut Outbox) -> Samples {
        let Some(expected) = self.expected else {
            // A first stamp beyond what can have passed says nothing; then it is now.
            let media_now = self.media_at(now);
            let stamped = self.stamped(at_ms);
            let limit = media_now + self.samples(AHEAD_MS);
            if stamped <= limit {
                return stamped;
            }
            return self.anchor(at_ms, media_now.saturating_sub(len), out);
        };
        let stamped = self.stamped(at_ms);
        let media_now = self.media_at(now).max(expected);
        let too_far = stamped > media_now + self.samples(AHEAD_MS);
        let too_late = stamped + self.samples(LONGEST_LATE_MS) < expected;
        if too_far || too_late || self.restarted {
            self.anchor(at_ms, self.media_at(now).saturating_sub(len), out)
        } else {
            stamped
        }
    }

    fn stamped(&self, at_ms: u64) -> Samples {
        // A stamp so large that it overflows is a clock that jumped: the bound sends it there.
        let raw = at_ms.min(u64::from(u32::MAX)) * u64::from(self.format.rate_hz) / 1_000;
        Samples(raw.saturating_add_signed(self.shift))
    }

    fn anchor(&mut self, at_ms: u64, at: Samples, out: &mut Outbox) -> Samples {
        let from = self.expected.unwrap_or_default();
        self.shift = 0;
        self.shift = at.0 as i64 - self.stamped(at_ms).0 as i64;
        out.emit(CallEvent::MediaClockReset { from_ms: from.as_ms(self.format.rate_hz), to_ms: at_ms });
        at
    }

    fn fill(&mut self, at: Samples, gap: Samples, taken: &mut Taken, hearing: &mut Hearing, out: &mut Outbox) {
        self.list_gap(at, gap);
        out.emit(CallEvent::GapFilled { at, ms: gap.as_ms(self.format.rate_hz) });
        let padded = self.padded.min(gap);
        let fill = (gap - padded).min(self.samples(LONGEST_FILL_MS));
        if fill == Samples::ZERO {
            return;
        }
        let bytes = self.format.bytes(fill);
        let piece = out.keep_silence(self.format.silence_byte(), bytes);
        taken.overflowed += self.hear(at + padded, piece, hearing, out);
    }

    fn list_gap(&mut self, at: Samples, gap: Samples) {
        let rate = self.format.rate_hz;
        self.gap_samples += gap;
        if self.gaps.len() < GAPS_LISTED {
            self.gaps.push(Gap { media_at_ms: at.as_ms(rate), ms: gap.as_ms(rate) });
        }
    }

    fn wait(&mut self, payload: &[u8]) -> Samples {
        if self.early_cap == 0 {
            return Samples::ZERO;
        }
        self.early.extend(payload);
        self.waits_until = self.appended;
        self.trim_early()
    }

    fn trim_early(&mut self) -> Samples {
        let over = self.early.len().saturating_sub(self.early_cap);
        self.early.drain(..over);
        self.format.samples(over)
    }

    fn remember(&mut self, payload: &[u8]) {
        self.recent.extend(payload);
        self.trim_recent();
    }

    fn trim_recent(&mut self) {
        let speech = self.format.bytes(self.samples(SPEECH_KEPT_MS));
        let keep = match self.gate {
            Gate::Turns { lead_in, turn: None } => lead_in,
            Gate::Turns { lead_in, .. } => speech.max(lead_in),
            Gate::All if !self.speech => self.format.bytes(self.samples(LEAD_IN_KEPT_MS)),
            Gate::All | Gate::Untold => speech,
        };
        let over = self.recent.len().saturating_sub(keep);
        self.recent.drain(..over);
    }

    fn note_appended(&mut self, at: Samples, bytes: usize) {
        let contiguous = self.map.back().is_some_and(|(from, media)| *media + (self.appended - *from) == at);
        if !contiguous {
            if self.map.len() == MAP_LEN {
                self.map.pop_front();
            }
            self.map.push_back((self.appended, at));
        }
        self.appended += self.format.samples(bytes);
    }

    fn samples(&self, ms: u64) -> Samples {
        Samples::from_ms(ms, self.format.rate_hz)
    }
}

/// What a ring holds from byte `from` on.
fn tail(ring: &VecDeque<u8>, from: usize) -> (&[u8], &[u8]) {
    let (a, b) = ring.as_slices();
    match from.checked_sub(a.len()) {
        Some(from) => (&b[from.min(b.len())..], &[]),
        None => (&a[from..], b),
    }
}
