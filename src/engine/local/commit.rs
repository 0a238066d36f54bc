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
        if matches!(self.phase, Phase::Closing(_) | Phase::Over(_)) {
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
        self.uplink.end_turn();
        if !self.session.is_ready() {
            self.stats.count("commits_deferred", 1);
            self.floor.commit_due = Some(rule);
            return false;
        }
        self.floor.joined = None;
        self.uplink.commit(&mut self.out);
        self.turn_committed(rule);
        let turn = self.floor.committed_turn;
        if let Some(local) = &mut self.local {
            if local.unnamed.len() == UNNAMED_MAX {
                local.unnamed.pop_front();
            }
            local.unnamed.push_back(Unnamed { turn, dropped: false });
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
        }
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
        let line = self.caller_line(item);
        if self.conversation.line(line).ended.is_some() {
            // Said twice.
            return;
        }
        let Some(local) = &mut self.local else { return };
        let unnamed = local.unnamed.pop_front();
        let turn = unnamed.as_ref().map(|unnamed| unnamed.turn);
        if let Some(verdict) = local.verdict.as_mut().filter(|verdict| Some(verdict.turn) == turn) {
            verdict.item = Some(item.to_owned());
        }
        self.place_turn(line, turn);
        if unnamed.is_some_and(|unnamed| unnamed.dropped) {
            self.delete_turn(item.to_owned());
        }
    }

    /// When a turn's line was said.
    pub(super) fn place_turn(&mut self, line: usize, turn: Option<u32>) {
        let turn = turn.and_then(|turn| self.stats.turn(turn));
        let (begun, ended) = turn.map_or((None, None), |t| (t.speech_start_at_ms, t.speech_end_at_ms));
        let now = self.now;
        let line = self.conversation.line(line);
        line.begun = begun.map(CallTime::from_ms).or(line.begun);
        line.ended = Some(ended.map_or(now, CallTime::from_ms));
    }

    /// A turn that the model has as an item is none of the conversation's.
    pub(super) fn delete_turn(&mut self, item: String) {
        let line = self.caller_line(&item);
        self.conversation.line(line).dropped = true;
        if self.session.is_ready() {
            self.out.model(OwnedCommand::Delete { item });
        }
    }
}
