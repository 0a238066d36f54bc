//! The caller's audio on its way to the model.
//!
//! The line's media clock says where audio belongs ([`stamps`](super::stamps)): a gap becomes silence, what was there before
//! is dropped, a clock that begins anew is taken. When audio is here tells how that clock runs beside ours
//! ([`clock`](super::clock)). While the model is not there, audio waits (bounded, oldest dropped).
//!
//! What is passed on depends on who decides turns ([`Gate`]): the model gets everything, or, when our own ears decide,
//! only speech with its prefix.

mod turns;

use std::borrow::Cow;
use std::collections::VecDeque;

use crate::base::audio::AudioFormat;
use crate::base::time::{CallTime, LineTime, Samples};
use crate::config::TurnSettings;
use crate::ears::hearing::Hearing;
use crate::ears::turn::TurnDetector;
use crate::engine::clock::ClockMap;
use crate::engine::event::CallEvent;
use crate::engine::outbox::{Outbox, Piece};
use crate::engine::report::Gap;
use crate::engine::stamps::{Place, Stamps};

/// Clocks may disagree by this much with the audio that came before without there being a gap: half a frame.
const TOLERANCE_MS: u64 = 10;
/// A gap longer than this is not filled for the model to its whole length.
const LONGEST_FILL_MS: u64 = 10_000;
/// Speech that a lost session has not yet made a turn of, kept for the session after it.
const SPEECH_KEPT_MS: u64 = 15_000;
/// Of audio that is not known to be speech, this much is kept: detection comes after the first sound.
const LEAD_IN_KEPT_MS: u64 = 1_000;
/// Silence is padded in steps of this length ...
const PAD_STEP_MS: u64 = 100;
/// ... and no longer than this without any caller audio.
const LONGEST_PAD_MS: u64 = 3_000;
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
    /// Line time jumped by so many µs: see [`ClockMap::heard`].
    pub(super) jumped_us: u64,
}

/// The caller's direction.
#[derive(Debug)]
pub(super) struct Uplink {
    format: AudioFormat,
    /// The line's clock beside ours.
    pub(super) clock: ClockMap,
    stamps: Stamps,
    /// Messages that seem to have been there before, until it is known.
    late: Vec<u8>,
    /// Where the next audio belongs; `None` before the first.
    expected: Option<Samples>,
    /// The model's session takes audio.
    open: bool,
    /// Audio that waits for a session.
    early: VecDeque<u8>,
    early_cap: usize,
    /// The end of what was sent, in case the session is lost with it.
    recent: VecDeque<u8>,
    /// Whether `recent` is known to hold speech.
    speech: bool,
    /// So much of the beginning of `recent` is a turn already: kept until its words are there.
    settled: usize,
    gate: Gate,
    /// Of what waits, for a session or a commit, up to where it was heard: what follows it does not repeat it.
    waits_until: Samples,
    /// Samples of turns that the session has and that are not committed.
    uncommitted: Samples,
    /// Of these, what was said before the session was there.
    waited: VecDeque<u8>,
    /// Samples heard in the whole call.
    heard: Samples,
    /// Samples appended to this session; where turns are passed on, samples heard.
    appended: Samples,
    /// From the session's audio to media time, where the two part.
    map: VecDeque<(Samples, Samples)>,
    /// The next audio is of another stream than what came before.
    restarted: bool,
    /// The last audio left a gap behind it.
    after_gap: bool,
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
            clock: ClockMap::default(),
            stamps: Stamps::new(format.rate_hz),
            late: Vec::new(),
            expected: None,
            open: false,
            early: VecDeque::new(),
            early_cap: format.bytes(Samples::from_ms(early_audio_ms, format.rate_hz)),
            recent: VecDeque::new(),
            speech: false,
            settled: 0,
            gate,
            waits_until: Samples::ZERO,
            uncommitted: Samples::ZERO,
            waited: VecDeque::new(),
            heard: Samples::ZERO,
            appended: Samples::ZERO,
            map: VecDeque::new(),
            restarted: false,
            after_gap: false,
            padded: Samples::ZERO,
            muted: false,
            gaps: Vec::new(),
            frames: 0,
            gap_samples: Samples::ZERO,
        }
    }

    /// The media stream began.
    pub(super) fn start(&mut self, now: CallTime) {
        self.clock.start(now);
    }

    /// The media stream began again, with a clock of its own: what comes now is now.
    pub(super) fn restart(&mut self, now: CallTime) {
        self.restarted = true;
        self.stamps.restart();
        self.clock.restart(now);
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
        let payload = &payload[..whole];
        let len = self.format.samples(whole);
        if len == Samples::ZERO {
            return taken;
        }
        self.frames += 1;
        let line_now = self.media_at(now);
        // Of a stream that began again the first stamp is as good as the first of all.
        let expected = self.expected.filter(|_| !self.restarted);
        let (at, payload) = match self.stamps.place(line_now, expected, at_ms, len) {
            Place::At(at) => (at, Cow::Borrowed(payload)),
            Place::Anew(at) => {
                self.tell_anew(at_ms, out);
                (at, Cow::Borrowed(payload))
            }
            Place::Late(run) => {
                if run == 1 {
                    taken.dropped = self.drop_late();
                }
                self.late.extend_from_slice(payload);
                return taken;
            }
            Place::Again => {
                // They were not late: the clock began again with the first of them.
                let mut run = std::mem::take(&mut self.late);
                let before = self.format.samples(run.len());
                run.extend_from_slice(payload);
                let at = line_now.saturating_sub(before + len).max(self.expected.unwrap_or_default());
                self.stamps.begin_anew(at_ms, at + before);
                self.tell_anew(at_ms, out);
                (at, Cow::Owned(run))
            }
        };
        taken.dropped = self.drop_late();
        let at = self.lead_up_to(at, &mut taken, hearing, out);
        let end = at + self.format.samples(payload.len());
        self.expected = Some(end);
        self.padded = Samples::ZERO;
        taken.jumped_us = if self.after_gap { 0 } else { self.clock.heard(now, self.line_time(end)) };
        let piece = out.keep(&payload);
        out.record_caller(at, piece.clone());
        taken.overflowed += self.hear(at, piece, hearing, out);
        taken
    }

    /// Audio belongs at `at`: fills what is missing before it. Answers where it is put.
    fn lead_up_to(&mut self, at: Samples, taken: &mut Taken, hearing: &mut Hearing, out: &mut Outbox) -> Samples {
        self.after_gap = false;
        let Some(expected) = self.expected else { return at };
        if std::mem::take(&mut self.restarted) {
            // Nobody was there to be heard meanwhile: a gap, but none that the model is given silence for. Two clocks may
            // disagree by less than a frame or two; nothing is recorded twice for that.
            let at = at.max(expected);
            if at > expected {
                self.list_gap(expected, at - expected);
            }
            return at;
        }
        if at < expected + self.samples(TOLERANCE_MS) {
            return expected;
        }
        // A stamp that leaves a gap proves that audio is missing, not that its time has passed.
        self.after_gap = true;
        self.fill(expected, at - expected, taken, hearing, out);
        at
    }

    /// Messages that were late, and lost with that.
    fn drop_late(&mut self) -> Samples {
        let dropped = self.format.samples(self.late.len());
        self.late.clear();
        dropped
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
        self.waited.clear();
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
        if !counts_session {
            self.waited = early;
            return;
        }
        let end = self.expected.unwrap_or_default();
        let at = end.saturating_sub(self.format.samples(early.len()));
        self.note_appended(at, early.len());
        let (a, b) = early.as_slices();
        self.remember(a);
        self.remember(b);
    }

    /// No session will come: audio is only recorded from here.
    pub(super) fn stop(&mut self) {
        self.open = false;
        self.early_cap = 0;
        self.early = VecDeque::new();
        self.recent = VecDeque::new();
        self.settled = 0;
        self.waited = VecDeque::new();
    }

    /// The session is gone: audio waits, beginning with what the session had not yet made a turn of. `again`: where the
    /// model detects turns, the last ones are for the next session, too. Answers whether there are such.
    pub(super) fn close(&mut self, again: bool) -> bool {
        if !std::mem::take(&mut self.open) {
            return false;
        }
        let again = again && self.settled > 0;
        if !again {
            self.let_settled_go();
        }
        self.settled = 0;
        self.waits_until = self.appended;
        match self.gate {
            Gate::All | Gate::Untold => self.early = std::mem::take(&mut self.recent),
            Gate::Turns { .. } => {
                let lately = self.lately().min(self.recent.len());
                self.early = std::mem::take(&mut self.waited);
                self.early.extend(self.recent.range(self.recent.len() - lately..));
            }
        }
        again
    }

    /// The model heard speech begin: what is sent from now on matters until it is a turn.
    pub(super) fn speech_began(&mut self) {
        self.speech = true;
    }

    /// What was sent is a turn of the conversation now. `worded`: nothing more will come of it.
    pub(super) fn committed(&mut self, worded: bool) {
        self.speech = false;
        match self.gate {
            Gate::All if !worded => self.settled = self.recent.len(),
            Gate::All | Gate::Untold => {
                self.recent.clear();
                self.settled = 0;
            }
            Gate::Turns { .. } => {}
        }
    }

    /// All turns have their words.
    pub(super) fn let_settled_go(&mut self) {
        self.recent.drain(..std::mem::take(&mut self.settled));
        self.trim_recent();
    }

    /// Media time at `now`; zero before the stream began.
    pub(super) fn media_at(&self, now: CallTime) -> Samples {
        self.clock.line_at(now).position(self.format.rate_hz)
    }

    /// Call time of a media time.
    pub(super) fn call_time_of(&self, media: Samples) -> CallTime {
        self.clock.call_at(self.line_time(media))
    }

    fn line_time(&self, media: Samples) -> LineTime {
        LineTime::from_us(media.as_us(self.format.rate_hz))
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
        self.clock.started_at()
    }

    /// Whether the line's stamps make so little sense that they are not asked any more.
    pub(super) fn ignores_stamps(&self) -> bool {
        self.stamps.ignored
    }

    /// The line's clock begins anew with this stamp.
    fn tell_anew(&self, at_ms: u64, out: &mut Outbox) {
        let from = self.expected.unwrap_or_default();
        out.emit(CallEvent::MediaClockReset { from_ms: from.as_ms(self.format.rate_hz), to_ms: at_ms });
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
            Gate::All if !self.speech && self.settled == 0 => self.format.bytes(self.samples(LEAD_IN_KEPT_MS)),
            Gate::All | Gate::Untold => speech,
        };
        let over = self.recent.len().saturating_sub(keep);
        self.recent.drain(..over);
        self.settled = self.settled.saturating_sub(over);
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
