//! Keys that the caller presses: digits are collected and told to the model, and some keys do something at once.
//!
//! ```text
//!           a digit                  the terminator, the last digit, or no key in time
//!   none ──────────────► digits open ─────────────────────────────────────────────────► told, answered
//!      (each stops the agent)
//! ```
//!
//! What was pressed is a line of the caller's: in the report's conversation it stands where it was pressed, and a new
//! session of the model is told of it as of everything else.

use super::*;
use crate::config::{Destination, KeyAction};

/// Digits that are open.
#[derive(Debug, Default)]
pub(super) struct Keypad {
    digits: String,
}

impl Keypad {
    /// Whether digits wait for more.
    pub(super) fn is_open(&self) -> bool {
        !self.digits.is_empty()
    }
}

impl CallEngine {
    pub(super) fn on_key(&mut self, digit: char) {
        self.stats.pressed(self.now, digit);
        self.emit(CallEvent::Dtmf { digit });
        // Whoever presses keys is not silent.
        self.timers.clear(Timer::CallerSilent);
        self.caller_is_there();
        if self.tool_takes_key(digit) || self.answering.is_deaf() {
            return;
        }
        if let TurnDetection::Disabled { commit_key: Some(key) } = self.settings.turn_detection
            && key == digit
        {
            self.commit("key");
            return;
        }
        let settings = self.settings.clone();
        let Some(keys) = settings.keys.as_ref().filter(|_| matches!(self.phase, Phase::Talking)) else { return };
        // Within a number a digit is a digit.
        let acts = !self.keypad.is_open() || !digit.is_ascii_alphanumeric();
        if let Some(action) = keys.actions.get(&digit).filter(|_| acts) {
            self.on_key_action(digit, action);
            return;
        }
        self.take_the_floor_by_key();
        if keys.terminator == Some(digit) {
            // Alone it is an answer too: "press # to go on".
            if !self.keypad.is_open() {
                self.keypad.digits.push(digit);
            }
            self.collected("terminator");
            return;
        }
        self.keypad.digits.push(digit);
        if self.keypad.digits.len() >= keys.max_digits as usize {
            self.collected("length");
        } else {
            self.timers.set(Timer::Keys, self.now.plus_ms(keys.timeout_ms));
        }
    }

    pub(super) fn on_keys_due(&mut self) {
        self.collected("timeout");
    }

    /// A key that does something.
    pub(super) fn on_key_action(&mut self, digit: char, action: &KeyAction) {
        if !matches!(action, KeyAction::Ignore | KeyAction::Commit) {
            self.note_digits("action");
            self.take_the_floor_by_key();
        }
        match action {
            KeyAction::Ignore => {}
            KeyAction::Commit => self.commit("key"),
            KeyAction::Repeat => {
                let text = "The caller asks to hear it again. Say again what you said last, in the same words.";
                self.ask("key_repeat", Some(text.to_owned()));
            }
            KeyAction::HangUp => {
                self.close_with_farewell(EndReason::AgentHungUp { why: format!("the caller pressed {digit}") });
            }
            KeyAction::Transfer(to) => {
                let known = self.settings.destinations.iter().find(|d| d.name == *to).cloned();
                self.begin_transfer(known.unwrap_or_else(|| Destination::number(to)), None);
            }
        }
    }

    /// The call ends: digits that are open are in its conversation.
    pub(super) fn close_keys(&mut self) {
        self.note_digits("call_ends");
    }

    /// The digits are complete: the model is told, and answers.
    fn collected(&mut self, rule: &str) {
        self.note_digits(rule);
        // Whoever speaks is answered when that is a turn, and the keys with it.
        if !self.floor.is_speaking() {
            self.ask("keys", None);
        } else if self.local.is_some() && self.reply.owed.is_none() {
            self.owe("keys", None);
        }
    }

    fn note_digits(&mut self, rule: &str) {
        self.timers.clear(Timer::Keys);
        let digits = std::mem::take(&mut self.keypad.digits);
        if digits.is_empty() {
            return;
        }
        self.emit(CallEvent::KeysCollected { digits: digits.clone(), rule: rule.to_owned() });
        // Spelled out: a model reads "1234" as a number and says it as one.
        let mut text = "[The caller pressed on the keypad:".to_owned();
        digits.chars().for_each(|digit| text.extend([' ', digit]));
        let keys = self.settings.keys.as_ref();
        // The terminator alone is none of what is meant.
        let meant = keys.filter(|keys| !digits.starts_with(|digit| keys.terminator == Some(digit)));
        if let Some(meaning) = meant.and_then(|keys| keys.meaning.as_deref()) {
            text.push_str(" (");
            text.push_str(meaning);
            text.push(')');
        }
        text.push(']');
        let line = self.conversation.begin(Role::Caller, "keys");
        self.conversation.say(line, &text, true);
        let now = self.now;
        let entry = self.conversation.line(line);
        (entry.begun, entry.ended) = (Some(now), Some(now));
        if rule != "call_ends" {
            self.tell_session(line);
        }
    }

    /// A key is deliberate: an agent who may be interrupted is.
    fn take_the_floor_by_key(&mut self) {
        if self.settings.keys.as_ref().is_some_and(|keys| !keys.interrupt) {
            return;
        }
        if !self.agent_has_the_floor() {
            self.caller_took_the_floor();
            return;
        }
        if self.is_protected() {
            self.emit(CallEvent::InterruptionIgnored { rule: "protected".to_owned() });
            return;
        }
        self.interrupt("keys");
        self.caller_took_the_floor();
    }
}
