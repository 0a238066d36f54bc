//! The caller waits for an answer: for how long in silence, and what is done when it does not come or comes to nothing.
//!
//! ```text
//!            audio that can be heard
//!  waiting ──────────────────────────► answered
//!     │  ▲
//!     │  │ nothing for `model_silence_ms`: filler, and asked again, once; then the call falls back
//!     │  │
//!     │  │ the response fails: asked again when the vendor says, or backing off; filler meanwhile; for as long as a
//!     └──┘ lost connection is waited for (`model_recovery_s`), then the call falls back
//! ```
//!
//! Silence is what the caller hears: what is still being played counts as no silence.

use super::reply::Owed;
use super::*;

/// A failed response is asked for again this much later than the vendor says: two clocks, and the way there.
const MARGIN_MS: u64 = 100;
/// A wait longer than this is worth a filler at once.
const FILLED_MS: u64 = 800;

/// The caller waits.
#[derive(Debug)]
pub(super) struct Awaiting {
    since: CallTime,
    /// It was slow once already.
    retried: bool,
    /// How the last attempt failed.
    failed: Option<String>,
    /// When the first attempt failed, and how many have.
    failing: Option<(CallTime, u32)>,
    /// What was asked for: an attempt after it asks for the same.
    asked: Option<Owed>,
}

impl CallEngine {
    /// The caller waits for an answer from here; the model's time runs.
    pub(super) fn await_reply(&mut self) {
        if !matches!(self.phase, Phase::Talking) || self.answering.is_deaf() {
            return;
        }
        let now = self.now;
        let awaiting = self.reply.awaiting.get_or_insert(Awaiting {
            since: now,
            retried: false,
            failed: None,
            failing: None,
            asked: None,
        });
        awaiting.since = now;
        // One more request is no news to the caller's ear.
        if !self.timers.is_set(Timer::ModelSilent) {
            self.watch_dead_air();
        }
    }

    /// Dead air is what the caller hears: the model's time runs from when everything so far was heard.
    pub(super) fn watch_dead_air(&mut self) {
        let wait_ms = self.audible_ms() + self.settings.limits.model_silence_ms;
        self.timers.set(Timer::ModelSilent, self.now.plus_ms(wait_ms));
    }

    /// How long the caller will still hear something.
    fn audible_ms(&self) -> u64 {
        let audible = if self.downlink.speaking() { self.downlink.audible_at(self.line_now()) } else { Samples::ZERO };
        audible.as_ms(self.rate_hz())
    }

    /// Something came that the caller will hear: a response that falls silent after it is not waited for any longer than one
    /// that does not begin.
    pub(super) fn hears_reply(&mut self) {
        self.answered();
        if matches!(self.phase, Phase::Talking) {
            self.watch_dead_air();
        }
    }

    /// Nobody waits any more: the model answers, the caller goes on, or somebody else's time runs.
    pub(super) fn answered(&mut self) {
        self.reply.awaiting = None;
        self.timers.clear(Timer::ModelSilent);
        self.timers.clear(Timer::ModelRetry);
    }

    /// The response that ran is over, well or not.
    pub(super) fn stop_watching_reply(&mut self) {
        if self.reply.awaiting.is_none() {
            self.timers.clear(Timer::ModelSilent);
        }
    }

    /// What an attempt asks for that has no words of its own: the same as the first.
    pub(super) fn as_first_asked(&self, owed: Owed) -> Owed {
        let again = matches!(owed.why, AGAIN | SILENT);
        let first = self.reply.awaiting.as_ref().and_then(|awaiting| awaiting.asked.as_ref()).filter(|_| again);
        match first {
            Some(first) => Owed { why: owed.why, ..first.clone() },
            None => owed,
        }
    }

    pub(super) fn remember_asked(&mut self, owed: &Owed) {
        if let Some(awaiting) = &mut self.reply.awaiting {
            awaiting.asked = Some(owed.clone());
        }
    }

    /// A response came to nothing, or was not begun. `heard`: the caller heard some of it.
    pub(super) fn on_attempt_failed(&mut self, why: String, heard: bool, retry_after_ms: Option<u64>) {
        let waits = self.reply.awaiting.is_some() || heard;
        if !waits || !matches!(self.phase, Phase::Talking) || self.floor.is_speaking() || self.reply.owed.is_some() {
            // Nobody waits for it, or something else is about to be asked for.
            return;
        }
        if self.reply.awaiting.is_none() {
            self.await_reply();
        }
        let (now, recovery_ms) = (self.now, self.settings.limits.model_recovery_s * 1_000);
        let Some(awaiting) = &mut self.reply.awaiting else { return };
        let (first, attempt) = awaiting.failing.map_or((now, 1), |(first, n)| (first, n + 1));
        awaiting.failing = Some((first, attempt));
        awaiting.failed = Some(why);
        let end = first.plus_ms(recovery_ms);
        if now >= end {
            self.give_up_on_replies();
            return;
        }
        let fits = retry_after_ms.map(|ms| now.plus_ms(ms + MARGIN_MS)).filter(|at| *at <= end);
        let backoff_ms = self.session.backoff_after(attempt);
        let at = fits.unwrap_or(now.plus_ms(backoff_ms)).min(end);
        let in_ms = at.ms_since(now);
        self.emit(CallEvent::ResponseRetry { attempt, in_ms });
        self.timers.set(Timer::ModelRetry, at);
        // After the first, silence alone brings the filler.
        let filled = attempt == 1 && in_ms > FILLED_MS;
        if filled {
            self.fill_silence();
        }
        if filled || !self.timers.is_set(Timer::ModelSilent) {
            self.watch_dead_air();
        }
    }

    /// A response that failed is asked for again.
    pub(super) fn on_retry_due(&mut self) {
        let waits = self.reply.awaiting.is_some() && matches!(self.phase, Phase::Talking);
        // Whoever speaks is answered when the turn is over; a session that is not there is owed the answer.
        if waits && self.session.is_ready() && !self.floor.is_speaking() && !self.reply.is_running() {
            self.ask(AGAIN, None);
        }
    }

    /// The caller has waited too long for the model.
    pub(super) fn on_model_silent(&mut self) {
        if self.floor.is_speaking() || !self.session.is_ready() || !matches!(self.phase, Phase::Talking) {
            return;
        }
        if self.reply.awaiting.is_none() && !self.reply.has_begun() {
            return;
        }
        if self.audible_ms() > 0 {
            self.watch_dead_air();
            return;
        }
        if self.reply.awaiting.is_none() && !self.on_reply_falls_silent() {
            return;
        }
        let Some(awaiting) = &mut self.reply.awaiting else { return };
        if self.timers.is_set(Timer::ModelRetry) {
            self.fill_silence();
            self.watch_dead_air();
            return;
        }
        let waited_ms = self.now.ms_since(awaiting.since);
        self.stats.count("model_slow", 1);
        if std::mem::replace(&mut awaiting.retried, true) {
            self.give_up_on_replies();
            return;
        }
        self.emit(CallEvent::ModelSlow { waited_ms, then: "filler_and_retry".to_owned() });
        self.drop_silence();
        self.fill_silence();
        self.cancel_running();
        // A model that does not answer does not say either that a response is over.
        self.reply.give_up();
        self.ask(SILENT, None);
    }

    /// A response that was heard says nothing more and does not end. It is given as long again, with something to hear;
    /// then it counts as one that never came. Answers whether it does.
    fn on_reply_falls_silent(&mut self) -> bool {
        if self.reply.calls_tools() || self.tools.excuse_silence() {
            // The tool's answer is what is waited for.
            return false;
        }
        if !self.reply.falls_silent() {
            self.stats.count("replies_fell_silent", 1);
            self.emit(CallEvent::ModelSlow {
                waited_ms: self.settings.limits.model_silence_ms,
                then: "filler".to_owned(),
            });
            self.drop_silence();
            self.fill_silence();
            self.watch_dead_air();
            return false;
        }
        self.await_reply();
        // What is heard now, the filler, is waited for first.
        self.timers.clear(Timer::ModelSilent);
        let silence_ms = self.settings.limits.model_silence_ms;
        if let Some(awaiting) = &mut self.reply.awaiting {
            awaiting.since = self.now.minus_ms(silence_ms);
        }
        true
    }

    /// Silence that was sent as audio is not worth hearing to its end.
    pub(super) fn drop_silence(&mut self) {
        if self.downlink.speaking() && self.audible_ms() == 0 {
            self.stats.count("silence_dropped", 1);
            for cut in self.clear_line(true) {
                self.tell_model_of(cut);
            }
        }
    }

    /// The caller has waited long enough: the call falls back.
    fn give_up_on_replies(&mut self) {
        let Some(awaiting) = &mut self.reply.awaiting else { return };
        let waited_ms = self.now.ms_since(awaiting.since);
        let failed = awaiting.failed.take();
        self.emit(CallEvent::ModelSlow { waited_ms, then: "fall_back".to_owned() });
        self.fail(match failed {
            Some(why) if why.starts_with("failed") || why.starts_with("incomplete") => {
                EndReason::ModelUnavailable { why: format!("response {why}") }
            }
            Some(why) => EndReason::ModelUnavailable { why },
            None => EndReason::ModelSilent,
        });
    }

    /// Something is heard instead of nothing.
    fn fill_silence(&mut self) {
        if self.audible_ms() > 0 {
            return;
        }
        if let Some(filler) = self.settings.filler.clone() {
            // Without words it may be a mere sound, such as that of a keyboard.
            let kind = if filler.text.is_empty() { ItemKind::Sound } else { ItemKind::Line };
            self.play(kind, &filler, FILLER);
        }
    }
}

/// What is heard while the model is waited for.
pub(super) const FILLER: &str = "filler";

/// Why a response is asked for again that failed ...
const AGAIN: &str = "response_failed";
/// ... and one that did not come.
const SILENT: &str = "model_silent";
