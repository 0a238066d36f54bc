//! What our own ears heard becomes a turn of the conversation, or none.

use super::*;

impl CallEngine {
    /// Commits the turn that ended while the model was away; with one that goes on it is committed at that one's end.
    pub(in crate::engine) fn commit_local_due(&mut self, rule: &'static str) {
        if self.local.as_ref().is_some_and(|local| local.detector.is_speaking()) {
            self.floor.joined = Some(rule);
        } else {
            self.commit_local(rule);
        }
    }

    pub(super) fn commit_local(&mut self, rule: &'static str) {
        if !matches!(self.phase, Phase::Talking | Phase::Ringing { .. }) {
            if self.is_written_down() && self.session.is_ready() {
                // Nobody answers, and it was said.
                self.send_commit(rule);
                return;
            }
            let rate_hz = self.rate_hz();
            let voiced_ms = self.local.as_ref().map_or(0, |local| local.voiced_ms(rate_hz));
            self.drop_turn("closing", voiced_ms);
            return;
        }
        self.caller_took_the_floor();
        if !self.send_commit(rule) {
            return;
        }
        self.ask("turn_committed", None);
    }

    /// Makes the audio of the turn one of the conversation; answers whether the model is there to take it.
    pub(super) fn send_commit(&mut self, rule: &'static str) -> bool {
        if !self.session.is_ready() {
            self.uplink.end_turn();
            self.stats.count("commits_deferred", 1);
            self.floor.commit_due = Some(rule);
            return false;
        }
        self.floor.joined = None;
        self.commit_audio(rule);
        self.uplink.end_turn();
        if let Some(local) = &mut self.local {
            local.wordless = local.wordless.saturating_add(1);
            local.click = None;
        }
        true
    }

    /// Whatever is being said is none of the conversation's; the next speech begins anew.
    pub(in crate::engine) fn forget_open_turn(&mut self, rule: &'static str) {
        let rate_hz = self.rate_hz();
        let voiced_ms = self.local.as_ref().map_or(0, |local| local.voiced_ms(rate_hz));
        let speaks = self.floor.is_speaking();
        if let Some(local) = &mut self.local {
            local.detector.reset();
            local.over = Over::Nobody;
            local.verdict = None;
        }
        self.timers.clear(Timer::Verdict);
        if speaks {
            let heard = self.uplink.appended();
            self.speech_stopped(self.uplink.media_of_appended(heard), rule);
            if self.local.is_some() {
                self.drop_turn(rule, voiced_ms);
            }
        }
    }

    /// What was said is none of the conversation's.
    pub(super) fn drop_turn(&mut self, rule: &str, voiced_ms: u64) {
        if matches!(self.phase, Phase::Talking)
            && let Some(rule) = self.floor.joined.take()
        {
            // The model has it in one piece with a turn that is one.
            self.commit_local(rule);
            return;
        }
        self.stats.count("turns_dropped", 1);
        self.emit(CallEvent::TurnDropped { rule: rule.to_owned(), voiced_ms });
        self.uplink.drop_turn(&mut self.out);
        if self.floor.commit_due.is_none() {
            self.stats.close_turn(std::mem::take(&mut self.floor.open_turn));
        }
        // The model's time does not run out while the caller speaks.
        if self.reply.awaiting.is_some() {
            self.watch_dead_air();
        }
        // Nothing is asked for either.
        self.pay_owed();
    }

    /// The model named the item of a turn that our own ears ended.
    pub(in crate::engine) fn on_local_committed(&mut self, item: &str) {
        let turn = self.name_commit(item);
        let stretches = self.local.iter_mut().flat_map(|local| &mut local.verdict).flat_map(|v| &mut v.stretches);
        for stretch in stretches.filter(|stretch| Some(stretch.turn) == turn) {
            stretch.item = Some(item.to_owned());
        }
    }

    /// Too short for a word: it stays where it is, and goes along with what is said next.
    pub(super) fn keep_click(&mut self, voiced_ms: u64) {
        self.stats.count("clicks", 1);
        self.emit(CallEvent::InterruptionIgnored { rule: "shorter_than_a_word".to_owned() });
        self.uplink.keep_turn();
        let until = self.now.plus_ms(TOGETHER_MS);
        if let Some(local) = &mut self.local {
            let before_ms = local.click.map_or(0, |click| click.voiced_ms);
            local.click = Some(Lately { voiced_ms: before_ms + voiced_ms, until });
        }
        if self.floor.commit_due.is_none() {
            self.stats.close_turn(std::mem::take(&mut self.floor.open_turn));
        }
        // The model's time does not run out while the caller speaks.
        if self.reply.awaiting.is_some() {
            self.watch_dead_air();
        }
        self.pay_owed();
    }

    /// A click that nothing followed for long is none of the conversation's.
    pub(super) fn forget_old_click(&mut self) {
        let Some(local) = &mut self.local else { return };
        let Some(click) = local.click.filter(|click| self.now > click.until) else { return };
        local.click = None;
        if !self.session.is_ready() || self.floor.commit_due.is_some() || self.floor.joined.is_some() {
            return;
        }
        self.stats.count("turns_dropped", 1);
        let rule = "shorter_than_a_word".to_owned();
        self.emit(CallEvent::TurnDropped { rule, voiced_ms: click.voiced_ms });
        self.uplink.forget_kept(&mut self.out);
    }
}
