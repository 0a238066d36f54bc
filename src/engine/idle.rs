//! A caller who says nothing is spoken to, some times, and then the call ends politely.
//!
//! The gap counts while neither side says anything and nobody works on anything: not while tools run, digits are open or an
//! answer is due, and not before the greeting was heard. `limits.caller_silence_s` is a limit beside it.

use super::*;
use crate::config::Spoken;

/// What was done about the caller's silence.
#[derive(Debug, Default)]
pub(super) struct IdleState {
    /// Lines said since the caller last spoke or pressed a key.
    said: u32,
    /// The end of that was reached.
    over: bool,
}

impl CallEngine {
    /// The caller spoke or pressed a key.
    pub(super) fn caller_is_there(&mut self) {
        self.idle.said = 0;
        self.idle.over = false;
        self.timers.clear(Timer::Idle);
    }

    /// With every step: the gap runs, or does not.
    pub(super) fn watch_idle(&mut self) {
        let Some(idle) = &self.settings.idle else { return };
        let quiet = matches!(self.phase, Phase::Talking)
            && !self.idle.over
            && !self.answering.is_deaf()
            && self.reply.is_greeted()
            && !self.tools.excuse_silence()
            && !self.is_on_errand()
            && !self.keypad.is_open()
            && !self.floor.is_speaking()
            && !self.agent_has_the_floor()
            && self.reply.awaiting.is_none()
            && self.reply.owed.is_none()
            && self.session.is_ready();
        if !quiet {
            self.timers.clear(Timer::Idle);
        } else if !self.timers.is_set(Timer::Idle) {
            self.timers.set(Timer::Idle, self.now.plus_ms(idle.after_ms));
        }
    }

    pub(super) fn on_idle_due(&mut self) {
        let settings = self.settings.clone();
        let Some(idle) = &settings.idle else { return };
        let said = self.idle.said;
        let line = idle.lines.get(said as usize).or(idle.lines.last()).filter(|_| said < idle.times);
        let then = match line {
            Some(_) => "line",
            None if idle.end => "end",
            None => "nothing",
        };
        self.emit(CallEvent::CallerIdle { said, then: then.to_owned() });
        match line {
            None => {
                self.idle.over = true;
                if idle.end {
                    self.close_with_farewell(EndReason::CallerSilent);
                }
                return;
            }
            Some(Spoken::None) => {}
            Some(Spoken::Say(text)) => {
                let text = self.worded(text);
                let instructions =
                    format!("The caller has been silent for a while. Say exactly this and nothing else: \"{text}\"");
                self.ask("idle", Some(instructions));
            }
            Some(Spoken::Play(sound)) => {
                self.play(ItemKind::Line, sound, "idle");
                if let Some(line) = self.conversation.find(Role::Agent, "idle") {
                    self.tell_session(line);
                }
            }
        }
        self.stats.count("idle_lines", 1);
        self.idle.said += 1;
    }
}
