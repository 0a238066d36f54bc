//! The sound that the caller hears while tools run.
//!
//! ```text
//!             tools run, nobody speaks, for grace_ms        the agent speaks: in that slot
//!   silence ───────────────────────────────────────► sound ────────────────────────────────► silence
//!                                                       │ tools are done and no answer is due, or the call ends: fades
//! ```
//!
//! It goes on from a tool's end until the agent speaks of it: a sound that stops without words after it sounds like a
//! failure. The caller's speech does not stop it, as it does not stop the tools, but it begins only in silence.

#[cfg(test)]
mod tests;

use super::*;

impl CallEngine {
    /// With every step: what the state means for the sound.
    pub(super) fn settle_tool_sound(&mut self) {
        let Some(sound) = &self.settings.tool_sound else { return };
        let talking = matches!(self.phase, Phase::Talking) && !self.line_is_lent();
        if self.downlink.bed_is_on() {
            // The agent has something to say, and is heard: feeding the line cuts the sound off.
            if !self.downlink.is_drained() && !self.downlink.is_held() {
                return;
            }
            let rule = if self.line_is_lent() {
                "line_lent"
            } else if !talking {
                "closing"
            } else if !self.tools_running && !self.answer_is_due() {
                "tools_done"
            } else if !self.downlink.is_drained() {
                "agent_held"
            } else {
                return;
            };
            self.downlink.fade_bed();
            self.emit(CallEvent::ToolSoundEnded { rule: rule.to_owned() });
        } else if !(talking && self.tools_running && self.downlink.is_drained() && !self.floor.is_speaking()) {
            self.timers.clear(Timer::ToolSound);
        } else if !self.timers.is_set(Timer::ToolSound) {
            self.timers.set(Timer::ToolSound, self.now.plus_ms(sound.grace_ms));
        }
    }

    pub(super) fn on_tool_sound_due(&mut self) {
        let quiet = matches!(self.phase, Phase::Talking) && self.downlink.is_drained();
        if quiet && self.tools_running && self.downlink.begin_bed(self.line_now()) {
            self.stats.count("tool_sounds", 1);
            self.emit(CallEvent::ToolSoundStarted);
        }
    }

    /// Whether the caller waits for what the agent makes of a tool's answer: bounded by the model's time to speak. Who speaks
    /// does not wait.
    fn answer_is_due(&self) -> bool {
        !self.floor.is_speaking() && (self.reply.awaiting.is_some() || self.reply.owed.is_some())
    }
}
