//! A transcript that decides whether what was said over the agent interrupts.

use super::*;

impl CallEngine {
    /// The call is being ended: from here on nobody is interrupted, and no answer is begun.
    pub(in crate::engine) fn close_local(&mut self) {
        self.settle_verdict(false, "closing");
        if self.local.as_ref().is_some_and(Local::is_in_doubt) {
            self.speak_over(Over::Ignored { rule: "closing" });
            self.emit(CallEvent::InterruptionIgnored { rule: "closing".to_owned() });
        }
    }

    /// The model's session is gone: what it was to name or to write down will not come.
    pub(in crate::engine) fn forget_session_locally(&mut self, again: bool) {
        if let Some(rule) = self.floor.joined.take() {
            // What was joined to the turn that goes on waits with it.
            self.floor.commit_due.get_or_insert(rule);
        }
        if self.downlink.speaking() {
            self.settle_verdict(false, "model_lost");
        }
        self.forget_commits(again);
    }

    /// Too few words by the time they took, but their transcript may say otherwise.
    pub(super) fn ask_transcript(&mut self, min_words: u32) {
        self.emit(CallEvent::InterruptionIgnored { rule: "min_words_awaits_transcript".to_owned() });
        self.settle_verdict(false, "spoke_again");
        // It is no turn until then: nobody waits for an answer to it, and whoever waits for another still does.
        let (awaiting, before) = (self.reply.awaiting.take(), self.floor.committed_turn);
        if !self.send_commit("min_words") {
            return;
        }
        let turn = std::mem::replace(&mut self.floor.committed_turn, before);
        self.reply.awaiting = awaiting;
        match self.reply.awaiting {
            Some(_) => self.watch_dead_air(),
            None => self.timers.clear(Timer::ModelSilent),
        }
        if let Some(local) = &mut self.local {
            local.verdict = Some(Verdict { min_words, turn, item: None });
        }
        self.timers.set(Timer::Verdict, self.now.plus_ms(VERDICT_MS));
        self.pay_owed();
    }

    /// Words of a turn on whose number an interruption depends.
    pub(in crate::engine) fn weigh_words(&mut self, item: &str, text: &str, done: bool) {
        let Some(verdict) = self.local.as_ref().and_then(|l| l.verdict.as_ref()) else { return };
        if verdict.item.as_deref() != Some(item) {
            return;
        }
        let enough = text.split_whitespace().count() as u32 >= verdict.min_words;
        if enough {
            self.settle_verdict(true, "min_words");
        } else if done {
            self.settle_verdict(false, "fewer_than_min_words");
        }
    }

    /// No transcript came in time.
    pub(in crate::engine) fn on_verdict_due(&mut self) {
        self.settle_verdict(false, "no_transcript_in_time");
    }

    /// An agent who has finished meanwhile is not interrupted: what was said is a turn.
    pub(in crate::engine) fn settle_idle_verdict(&mut self) {
        if self.local.as_ref().is_some_and(|l| l.verdict.is_some()) && !self.agent_has_the_floor() {
            self.settle_verdict(true, "the_agent_is_done");
        }
    }

    pub(super) fn settle_verdict(&mut self, is_turn: bool, rule: &str) {
        let Some(verdict) = self.local.as_mut().and_then(|l| l.verdict.take()) else { return };
        self.timers.clear(Timer::Verdict);
        if is_turn {
            if self.agent_has_the_floor() {
                self.interrupt(rule);
            }
            self.floor.committed_turn = verdict.turn;
            self.caller_took_the_floor();
            // Whoever speaks on is answered when that is a turn.
            if !self.floor.is_speaking() {
                self.ask("turn_committed", None);
            }
            return;
        }
        self.stats.count("turns_dropped", 1);
        self.emit(CallEvent::TurnDropped { rule: rule.to_owned(), voiced_ms: 0 });
        if let Some(item) = verdict.item.or_else(|| self.commits.drop_turn(verdict.turn)) {
            self.delete_turn(item);
        }
    }
}
