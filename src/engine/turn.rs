//! The caller's turn, as the model's turn detection reports it or [our own](local) does, and what it does to an agent who
//! is speaking.
//!
//! ```text
//!            speech started             speech stopped          committed
//!   quiet ──────────────────► speaking ────────────────► ended ───────────► awaiting the reply
//!     ▲                          ▲  barge-in when the       │ speech started    │ first agent audio
//!     │                          │  agent is audible        ▼                   ▼
//!     └──────────────────────────┴────────────────────── speaking            quiet
//! ```

use super::*;
use crate::base::time::Samples;
use crate::config::Interruptions;
use crate::engine::report::Interruption;

/// Who has the floor.
#[derive(Debug, Default)]
pub(super) struct Floor {
    /// Since when the caller speaks.
    speaking_since: Option<CallTime>,
    /// The turn that is open (speech began, not yet committed); 0 for none.
    pub(super) open_turn: u32,
    /// The last turn that was committed; 0 for none.
    pub(super) committed_turn: u32,
    /// A turn that is a line of the conversation though it is not committed, and its line.
    pub(super) listed: Option<(u32, usize)>,
    /// A turn was ended while the model was away: by which rule.
    pub(super) commit_due: Option<&'static str>,
    /// A turn that was ended while the model was away reached it in one piece with the one that goes on: by which rule.
    pub(super) joined: Option<&'static str>,
    /// Since when the agent is held: stopped, and perhaps to go on.
    pub(super) held_at: Option<CallTime>,
}

impl Floor {
    pub(super) fn is_speaking(&self) -> bool {
        self.speaking_since.is_some()
    }

    /// What was being said is lost with the model's session.
    pub(super) fn reset(&mut self) {
        self.speaking_since = None;
    }
}

impl CallEngine {
    pub(super) fn on_speech_started(&mut self, item: &str, audio_start_ms: u64) {
        if self.local.is_some() {
            self.stats.count("model_turns_ignored", 1);
            return;
        }
        let lead_in = match self.settings.turn_detection {
            TurnDetection::Provider { prefix_padding_ms, .. } => u64::from(prefix_padding_ms),
            _ => 0,
        };
        // Speech right at the beginning has a shorter lead-in than is configured.
        let media_now = self.uplink.media_at(self.now);
        let media = self.uplink.media_of_appended_ms(audio_start_ms.saturating_add(lead_in)).min(media_now);
        self.speaks_again(item);
        let begun = self.speech_began(media);
        self.uplink.speech_began();
        let line = self.caller_line(item);
        self.conversation.line(line).begun = Some(begun);
        self.timers.set(Timer::Pad, self.now.plus_ms(self.uplink.pad_after_ms()));
        self.caller_took_the_floor();
        self.consider_interruption();
    }

    /// Speech is known to have begun at `media`. Answers when that was.
    pub(super) fn speech_began(&mut self, media: Samples) -> CallTime {
        let begun = self.uplink.call_time_of(media).min(self.now);
        let media_ms = media.as_ms(self.rate_hz());
        self.emit(CallEvent::SpeechStarted { rule: self.turn_rule().to_owned(), media_ms });
        self.floor.speaking_since = Some(self.now);
        self.end_waits(r#"{"ended":"the caller speaks"}"#);
        self.caller_is_there();
        if self.floor.open_turn == 0 {
            self.floor.open_turn = self.stats.open_turn();
        }
        if let Some(turn) = self.stats.turn(self.floor.open_turn) {
            turn.speech_start_at_ms.get_or_insert(begun.as_ms());
        }
        begun
    }

    pub(super) fn on_speech_stopped(&mut self, audio_end_ms: u64) {
        if self.local.is_some() {
            return;
        }
        let waited = match self.settings.turn_detection {
            TurnDetection::Provider { silence_duration_ms, .. } => u64::from(silence_duration_ms),
            _ => 0,
        };
        let media = self.uplink.media_of_appended_ms(audio_end_ms.saturating_sub(waited));
        self.speech_stopped(media, self.turn_rule());
        if self.timers.is_set(Timer::Interrupt) {
            self.timers.clear(Timer::Interrupt);
            self.emit(CallEvent::InterruptionIgnored { rule: "shorter_than_after_ms".to_owned() });
        }
        self.await_reply();
    }

    /// Speech is known to have ended at `media`.
    pub(super) fn speech_stopped(&mut self, media: Samples, rule: &str) {
        let ended = self.uplink.call_time_of(media).min(self.now);
        let media_ms = media.as_ms(self.rate_hz());
        self.emit(CallEvent::SpeechStopped { rule: rule.to_owned(), media_ms });
        self.floor.speaking_since = None;
        self.timers.clear(Timer::Pad);
        let now = self.now;
        if let Some(turn) = self.stats.turn(self.floor.open_turn) {
            // The padding that the start is corrected by may be more than there was before it.
            turn.speech_end_at_ms = Some(ended.as_ms().max(turn.speech_start_at_ms.unwrap_or(0)).min(now.as_ms()));
            turn.stop_decided_at_ms = Some(now.as_ms());
        }
    }

    pub(super) fn on_committed(&mut self, item: &str) {
        if self.local.is_some() {
            self.on_local_committed(item);
            return;
        }
        if matches!(self.settings.turn_detection, TurnDetection::Disabled { .. }) {
            self.name_commit(item);
            return;
        }
        self.speaks_again(item);
        let line = self.caller_line(item);
        let ended = self.stats.turn(self.floor.open_turn).and_then(|t| t.speech_end_at_ms).map(CallTime::from_ms);
        self.conversation.line(line).ended = ended.or(Some(self.now));
        self.turn_committed(self.turn_rule());
        let number = self.commits.number();
        self.note_commit(number, Vec::new(), Some(item));
        if self.model_answers() {
            self.owe_answer_if_busy();
        } else {
            self.ask("turn_committed", None);
        }
    }

    /// There will be no words of a turn.
    pub(super) fn on_transcript_failed(&mut self, item: &str) {
        self.name_by_words(item);
        self.stats.count("transcripts_failed", 1);
        self.words_are_there(item);
        self.weigh_unwritten(item);
    }

    pub(super) fn on_caller_words(&mut self, item: &str, text: &str, done: bool) {
        self.name_by_words(item);
        let line = self.caller_line(item);
        self.conversation.say(line, text, done);
        if done {
            self.words_are_there(item);
            self.stats.count("caller_transcripts", 1);
            self.emit(CallEvent::Said { who: Role::Caller, text: text.to_owned(), unheard: String::new() });
        }
        self.weigh_words(item, text, done);
    }

    /// The caller's turn ends because a key or an operator says so.
    pub(super) fn commit(&mut self, rule: &'static str) {
        if !matches!(self.phase, Phase::Talking) || self.answering.is_deaf() {
            self.stats.count("commits_ignored", 1);
            return;
        }
        if self.local.is_some() {
            self.end_turn_now(rule);
            return;
        }
        if self.agent_has_the_floor() {
            self.interrupt(rule);
        }
        if !self.session.is_ready() {
            // Its audio waits too.
            self.stats.count("commits_deferred", 1);
            self.floor.commit_due = Some(rule);
            return;
        }
        self.caller_took_the_floor();
        self.commit_audio(rule);
        self.ask("turn_committed", None);
    }

    /// Commits the turn that was ended while the model was away.
    pub(super) fn commit_what_is_due(&mut self) {
        match self.floor.commit_due.take() {
            Some(rule) if self.local.is_some() => self.commit_local_due(rule),
            Some(rule) => self.commit(rule),
            None => {}
        }
    }

    pub(super) fn on_interrupt_due(&mut self) {
        if self.floor.is_speaking() && self.agent_has_the_floor() && matches!(self.phase, Phase::Talking) {
            let by_words = matches!(self.settings.interruptions, Interruptions::MinWords(_));
            self.interrupt(if by_words { "min_words" } else { "after_ms" });
        }
    }

    /// Whether what the caller hears, or is about to hear, may not be interrupted.
    pub(super) fn is_protected(&self) -> bool {
        match self.downlink.heard_of_current(self.line_now()) {
            Some((item, _)) if self.downlink.speaking() => item.protected,
            _ => self.reply.is_protected(),
        }
    }

    /// Whether the caller hears the agent, or is about to.
    pub(super) fn agent_has_the_floor(&self) -> bool {
        self.downlink.speaking() || self.reply.is_running()
    }

    /// The caller stops the agent.
    pub(super) fn interrupt(&mut self, rule: &str) {
        let audible = self.downlink.speaking();
        // An agent who is held was stopped then.
        let stopped_at = self.floor.held_at.unwrap_or(self.now);
        let (item, heard_ms, unheard_ms) = self.heard_so_far();
        self.emit(CallEvent::BargeIn { rule: rule.to_owned(), heard_ms, unheard_ms });
        self.silence_agent();
        self.call_off_errand();
        if audible {
            let media_at_ms = self.uplink.media_at(stopped_at).as_ms(self.rate_hz());
            let at_ms = stopped_at.as_ms();
            self.stats.interrupted(Interruption { at_ms, media_at_ms, item, heard_ms, unheard_ms });
        }
    }

    /// The call's own rules stop the agent.
    pub(super) fn stop_agent(&mut self, rule: &str) {
        let (_, heard_ms, unheard_ms) = self.heard_so_far();
        self.emit(CallEvent::AgentStopped { rule: rule.to_owned(), heard_ms, unheard_ms });
        self.silence_agent();
    }

    /// The line first, since the caller hears it; then the model's response; then the model's memory.
    fn silence_agent(&mut self) {
        let cuts = self.clear_line(true);
        self.cancel_running();
        for cut in cuts {
            self.tell_model_of(cut);
        }
        self.reply.owed = None;
    }

    /// The item that is being heard, how much of it was heard, and how much of everything was not.
    pub(super) fn heard_so_far(&self) -> (String, u64, u64) {
        let rate_hz = self.rate_hz();
        let unheard_ms = self.downlink.unheard_at(self.line_now()).as_ms(rate_hz);
        let current = self.downlink.heard_of_current(self.line_now());
        let (item, heard_ms) = current.map_or_else(Default::default, |(i, h)| (i.name.clone(), h.as_ms(rate_hz)));
        (item, heard_ms, unheard_ms)
    }

    fn consider_interruption(&mut self) {
        if !self.agent_has_the_floor() {
            return;
        }
        if !matches!(self.phase, Phase::Talking) {
            self.emit(CallEvent::InterruptionIgnored { rule: "closing".to_owned() });
            return;
        }
        if self.is_protected() {
            self.emit(CallEvent::InterruptionIgnored { rule: "protected".to_owned() });
            return;
        }
        match self.settings.interruptions {
            Interruptions::On => self.interrupt(self.turn_rule()),
            Interruptions::Off => self.emit(CallEvent::InterruptionIgnored { rule: "off".to_owned() }),
            // Words are counted by their time: the model tells them only when the turn is over.
            Interruptions::MinWords(words) => {
                self.timers
                    .set(Timer::Interrupt, self.now.plus_ms(u64::from(words) * crate::ears::turn::shadow::WORD_MS));
            }
            Interruptions::AfterMs(ms) => self.timers.set(Timer::Interrupt, self.now.plus_ms(u64::from(ms))),
        }
    }

    /// The model remembers an item only as far as the caller heard it.
    pub(super) fn tell_model_of(&mut self, cut: downlink::Cut) {
        match cut.item.kind {
            ItemKind::Reply => {
                let made = cut.received + self.conversation.line(cut.item.line).refused;
                self.truncate(cut.item.line, cut.item.name, cut.heard, made);
            }
            ItemKind::Line if cut.heard < cut.received => self.replace_in_session(cut.item.line),
            ItemKind::Line | ItemKind::Sound => {}
        }
    }

    pub(super) fn turn_committed(&mut self, rule: &str) {
        let turn = match std::mem::take(&mut self.floor.open_turn) {
            // Not every vendor says when speech began.
            0 => self.stats.open_turn(),
            turn => turn,
        };
        self.floor.committed_turn = turn;
        self.caller_is_there();
        // Not every vendor says when it ended either.
        self.floor.speaking_since = None;
        self.timers.clear(Timer::Pad);
        self.timers.clear(Timer::Interrupt);
        let now = self.now;
        if let Some(entry) = self.stats.turn(turn) {
            entry.commit_at_ms.get_or_insert(now.as_ms());
        }
        self.uplink.committed(!self.settings.transcribed);
        self.emit(CallEvent::TurnCommitted { turn, rule: rule.to_owned() });
        self.await_reply();
    }

    /// What the agent owed to what was said before is moot: the caller goes on.
    pub(super) fn caller_took_the_floor(&mut self) {
        self.tools.caller_spoke();
        self.answered();
    }

    pub(super) fn caller_line(&mut self, item: &str) -> usize {
        self.conversation.find(Role::Caller, item).unwrap_or_else(|| self.conversation.begin(Role::Caller, item))
    }

    fn turn_rule(&self) -> &'static str {
        match self.settings.turn_detection {
            TurnDetection::Local(_) => "local_vad",
            TurnDetection::Provider { .. } => "server_vad",
            TurnDetection::Semantic { .. } => "semantic_vad",
            TurnDetection::Disabled { .. } => "disabled",
        }
    }
}
