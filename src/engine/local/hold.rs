//! The agent who is stopped, and may go on at the sample.

use super::*;

/// An agent is silent for this long at most while it is not known whether that is an interruption.
const HELD_MAX_MS: u64 = 1_000;

impl CallEngine {
    /// The line is emptied at once; what the caller has not heard is kept until it is certain that this is an
    /// interruption. An agent who is held stays so; one who had to go on before it was certain is not held again for it.
    pub(super) fn hold_agent(&mut self) {
        if self.downlink.is_held() || self.local.as_ref().is_some_and(|local| local.verdict.is_some()) {
            return;
        }
        self.timers.set(Timer::Held, self.now.plus_ms(HELD_MAX_MS));
        self.with_downlink(|downlink, now, out, progress| {
            downlink.hold(now, out, |p| progress.push(p));
        });
        self.hearing.cleared(self.uplink.media_at(self.now));
        self.timers.clear(Timer::MarkOverdue);
        if self.downlink.speaking() {
            let (_, heard_ms, unheard_ms) = self.heard_so_far();
            self.floor.held_at = Some(self.now);
            self.emit(CallEvent::AgentHeld { rule: "local_vad".to_owned(), heard_ms, unheard_ms });
        }
    }

    /// The agent goes on at the sample where it was stopped.
    pub(in crate::engine) fn release_agent(&mut self, rule: &str) {
        let went_on = self.local.as_mut().is_some_and(|local| std::mem::take(&mut local.went_on));
        if self.resume_agent(rule) || went_on {
            self.stats.count("false_interruptions", 1);
        }
    }

    /// It is not known yet, and the caller waits no longer: the agent goes on meanwhile.
    pub(in crate::engine) fn on_held_due(&mut self) {
        let went_on = self.resume_agent("undecided");
        if let Some(local) = &mut self.local {
            local.went_on = went_on;
        }
    }

    /// Answers whether he was stopped.
    fn resume_agent(&mut self, rule: &str) -> bool {
        if !self.downlink.is_held() {
            return false;
        }
        let (_, from_ms, _) = self.heard_so_far();
        self.downlink.release(self.line_now());
        self.timers.clear(Timer::Held);
        let was_held = self.floor.held_at.take().is_some();
        if was_held {
            self.emit(CallEvent::AgentResumed { rule: rule.to_owned(), from_ms });
        }
        was_held
    }

    /// An agent who was stopped and has nothing to go on with is stopped no more.
    pub(super) fn let_agent_go(&mut self) {
        if let Some(local) = &mut self.local {
            local.went_on = false;
        }
        if self.downlink.is_held() {
            self.downlink.release(self.line_now());
            self.floor.held_at = None;
            self.timers.clear(Timer::Held);
        }
    }
}
