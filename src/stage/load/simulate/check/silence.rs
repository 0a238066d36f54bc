//! For how long a caller who waits for an answer hears nothing.

use crate::base::time::CallTime;
use crate::config::CallSettings;
use crate::engine::CallEvent;

/// Beyond the limit: a message on its way, and the end of what was played.
const SLACK_MS: u64 = 1_000;

/// What the caller hears, and whether there is something to wait for.
#[derive(Debug, Default)]
pub(super) struct Silence {
    limit_ms: u64,
    /// The last sound ends here.
    until: CallTime,
    waits: bool,
    speaks: bool,
    /// The goodbye has a limit of its own.
    closing: bool,
}

impl Silence {
    pub(super) fn new(settings: &CallSettings) -> Self {
        let limits = &settings.limits;
        // Without a filler there is nothing to be heard until the call falls back.
        let limit_ms = match settings.filler {
            Some(_) => limits.model_silence_ms,
            None => 3 * limits.model_silence_ms + limits.model_recovery_s * 1_000,
        };
        Silence { limit_ms: limit_ms + SLACK_MS, ..Silence::default() }
    }

    /// Something is sent that can be heard.
    pub(super) fn sounds(&mut self, at: CallTime, ms: u64) {
        self.until = self.until.max(at).plus_ms(ms);
    }

    /// What was sent is not heard.
    pub(super) fn cleared(&mut self, at: CallTime) {
        self.until = self.until.min(at);
    }

    pub(super) fn event(&mut self, at: CallTime, event: &CallEvent) {
        match event {
            CallEvent::ResponseAsked { .. } if self.closing => {}
            CallEvent::ResponseAsked { .. } if std::mem::replace(&mut self.waits, true) => {}
            CallEvent::ResponseAsked { .. } => self.until = self.until.max(at),
            CallEvent::SpeechStarted { .. } => (self.speaks, self.waits) = (true, false),
            CallEvent::SpeechStopped { .. } => (self.speaks, self.until) = (false, self.until.max(at)),
            // Whoever ends a turn by a key or by the API has just spoken, too.
            CallEvent::TurnCommitted { .. } => self.until = self.until.max(at),
            // One that failed is asked for again, or the caller has heard enough beginnings.
            CallEvent::ResponseEnded { .. } => self.waits = false,
            CallEvent::ResponseRetry { .. } => self.waits = true,
            CallEvent::Closing { .. } => (self.closing, self.waits) = (true, false),
            // Another waits now, or nobody: on a line that broke off nobody hears.
            CallEvent::ToolCalled { .. }
            | CallEvent::ModelLost { .. }
            | CallEvent::BargeIn { .. }
            | CallEvent::AgentStopped { .. }
            | CallEvent::AgentHeld { .. }
            | CallEvent::AnsweredBy { .. }
            | CallEvent::TransferBegun { .. }
            | CallEvent::LineBroken { .. }
            | CallEvent::LineLent => self.waits = false,
            _ => {}
        }
    }

    /// For how long nothing was heard, if that is longer than it may be.
    pub(super) fn too_long(&self, now: CallTime) -> Option<u64> {
        let quiet_ms = now.ms_since(self.until);
        (self.waits && !self.speaks && quiet_ms > self.limit_ms).then_some(quiet_ms)
    }
}
