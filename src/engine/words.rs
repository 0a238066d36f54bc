//! The caller's last words: the line is over, and what was said last is still being written down.
//!
//! ```text
//!  the line is over ──► the turn that is open is committed ──► words are awaited ──► Over
//!                                                                 all are there, or the time is up
//! ```
//!
//! Nobody is answered any more. The report, and what is asked about the call after it, wait for this; the line, and the
//! call's place, do not.

use super::*;

/// The rule by which a turn ends with the line.
const LINE_OVER: &str = "line_over";

impl CallEngine {
    /// Whether words of the caller may come that are worth a wait.
    pub(super) fn needs_words(&self) -> bool {
        let open = self.floor.open_turn != 0;
        self.is_written_down() && (open || self.commits.awaits_words(self.now))
    }

    /// Whether words of the caller come at all, and are waited for.
    pub(super) fn is_written_down(&self) -> bool {
        self.settings.transcribed && self.settings.limits.transcript_wait_ms > 0
    }

    pub(super) fn awaits_words(&self) -> bool {
        self.uplink.started_at().is_some() && self.is_hoped_for() && self.needs_words()
    }

    /// What the caller was saying when the line was over is a turn, too.
    pub(super) fn end_open_turn(&mut self) {
        let speaks = self.local.as_mut().is_some_and(local::Local::stop_listening);
        let vendor_hears = self.local.is_none() && self.floor.is_speaking();
        if speaks || vendor_hears {
            let heard = self.uplink.appended();
            self.speech_stopped(self.uplink.media_of_appended(heard), LINE_OVER);
        }
        let ready = self.session.is_ready();
        if ready && self.is_written_down() && speaks {
            self.commit_audio(LINE_OVER);
        } else if ready && self.is_written_down() && vendor_hears {
            // It names what comes of it as if its own detection had ended it.
            let number = self.commits.number();
            self.uplink.commit(number, &mut self.out);
        } else if speaks && self.is_hoped_for() {
            self.floor.commit_due.get_or_insert(LINE_OVER);
        }
        self.uplink.end_turn();
        self.list_open_turn();
    }

    /// A turn that was not committed is in the report all the same.
    pub(super) fn list_open_turn(&mut self) {
        let turn = self.floor.open_turn;
        // The model's own detection has named it already.
        if turn != 0 && self.local.is_some() && self.floor.listed.is_none() {
            let line = self.conversation.begin(Role::Caller, "");
            self.place_turn(line, Some(turn));
            self.floor.listed = Some((turn, line));
        }
    }

    pub(super) fn await_words(&mut self, reason: EndReason) {
        self.cancel_running();
        (self.reply.owed, self.reply.awaiting) = (None, None);
        (self.away, self.doubt) = (None, None);
        self.timers.clear_all();
        self.timers.set(Timer::Words, self.now.plus_ms(self.settings.limits.transcript_wait_ms));
        let turns = self.commits.awaited() + u32::from(self.floor.open_turn != 0);
        self.emit(CallEvent::LineOver { reason: reason.clone(), turns });
        self.out.line_over();
        self.line_over_at = Some(self.now);
        self.phase = Phase::Transcribing(reason);
        if !self.session.is_coming() {
            self.dial();
        }
    }

    /// With everything that happens while words are awaited.
    pub(super) fn end_when_worded(&mut self) {
        if !(self.is_hoped_for() && self.needs_words()) {
            self.on_words_due();
        }
    }

    pub(super) fn on_words_due(&mut self) {
        if let Phase::Transcribing(reason) = &self.phase {
            let reason = reason.clone();
            let late = self.commits.awaited();
            self.stats.count("turns_without_words", u64::from(late));
            self.end(reason);
        }
    }
}
