//! The agent who is stopped, and may go on at the sample.

use super::*;

impl CallEngine {
    /// The line is emptied at once; what the caller has not heard is kept until it is certain that this is an
    /// interruption.
    pub(super) fn hold_agent(&mut self) {
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
        if !self.downlink.is_held() {
            return;
        }
        let (_, from_ms, _) = self.heard_so_far();
        self.downlink.release(self.line_now());
        if self.floor.held_at.take().is_some() {
            self.stats.count("false_interruptions", 1);
            self.emit(CallEvent::AgentResumed { rule: rule.to_owned(), from_ms });
        }
    }

    /// An agent who was stopped and has nothing to go on with is stopped no more.
    pub(super) fn let_agent_go(&mut self) {
        if self.downlink.is_held() {
            self.downlink.release(self.line_now());
            self.floor.held_at = None;
        }
    }
}
