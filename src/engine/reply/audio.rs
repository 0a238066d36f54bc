//! What the model says, on its way to the line: what finds room is heard, and of what does not the model is told.

use super::*;
use crate::base::audio::level::audible_end;

/// Items of one response of which the model is told that they were not heard.
const UNHEARD_MAX: usize = 16;

impl CallEngine {
    pub(in crate::engine) fn on_agent_audio(&mut self, response: &str, item: &str, payload: &[u8]) {
        let samples = self.settings.format.samples(payload.len());
        if let Some(cancelled) = self.reply.cancelled.iter_mut().find(|c| c.id == response) {
            cancelled.late += samples;
            note_unheard(&mut cancelled.unheard, item);
            // Of one that is over nothing else will come by which the model could be told.
            let unheard = if cancelled.running { Unheard::new() } else { std::mem::take(&mut cancelled.unheard) };
            self.stats.count("late_audio_samples", samples.0);
            // Its words tell of it too.
            let line = self.agent_line(item);
            let line = self.conversation.line(line);
            line.refused += samples;
            line.cut = true;
            self.tell_model_of_unheard(unheard);
            return;
        }
        if matches!(self.phase, Phase::Ringing { .. }) {
            self.stats.count("audio_before_media", 1);
            self.leave_unheard(item, samples);
            return;
        }
        if self.reply.active.as_ref().is_none_or(|a| a.id != response) {
            // Some vendors leave out the beginning of a response.
            self.on_response_started(response);
        }
        let now = self.now;
        let Some(active) = &mut self.reply.active else { return };
        let (turn, protected) = (active.turn, active.protected);
        let audible = audible_end(self.settings.format, payload) > Samples::ZERO;
        active.audible |= audible;
        active.silent &= !audible;
        if !std::mem::replace(&mut active.begun, true) {
            let after_ms = now.ms_since(active.started_at);
            if let Some(turn) = self.stats.turn(turn) {
                turn.first_model_audio_at_ms.get_or_insert(now.as_ms());
            }
            self.emit(CallEvent::FirstAudio { response: response.to_owned(), after_ms });
            // What is answered is not for another session to hear.
            self.uplink.let_settled_go();
        }
        if audible {
            self.answered();
        }
        if self.reply.refused_item == item {
            self.refuse_audio(item, samples);
            return;
        }
        if !self.downlink.continues(item) {
            let line = self.agent_line(item);
            let earlier = self.conversation.line(line).received;
            if !self.downlink.begin(ItemKind::Reply, item, turn, line, earlier) {
                self.refuse_audio(item, samples);
                return;
            }
            if protected {
                self.downlink.protect_last();
            }
            let line = self.conversation.line(line);
            line.voiced = true;
            line.ended = None;
        }
        let dropped = self.downlink.push(payload);
        if dropped > Samples::ZERO {
            self.downlink.complete_last();
            self.refuse_audio(item, dropped);
        }
        if audible {
            self.hears_reply();
            self.goodbye_was_said();
        }
    }

    /// There is no room: the rest of the item is dropped, since audio with holes in it helps nobody.
    fn refuse_audio(&mut self, item: &str, samples: Samples) {
        self.stats.count("agent_audio_dropped_samples", samples.0);
        self.leave_unheard(item, samples);
        if self.reply.refused_item != item {
            self.reply.refused_item = item.to_owned();
            self.emit(CallEvent::AgentAudioDropped { rule: "playout_queue_full".to_owned(), item: item.to_owned() });
        }
    }

    /// Audio that nobody will hear.
    fn leave_unheard(&mut self, item: &str, samples: Samples) {
        if let Some(active) = &mut self.reply.active {
            note_unheard(&mut active.unheard, item);
        }
        let line = self.agent_line(item);
        let line = self.conversation.line(line);
        line.refused += samples;
        line.cut = true;
    }

    /// The response is over: the model is told how much was taken of items that were not taken whole. What is yet to be
    /// played of them counts as heard until it is cut off.
    pub(super) fn tell_model_of_unheard(&mut self, items: Unheard) {
        for item in items {
            let Some(index) = self.conversation.find(Role::Agent, &item) else { continue };
            let taken = self.downlink.received_of(&item);
            let line = self.conversation.line(index);
            let (taken, made) = match taken {
                Some(received) => (received, received + line.refused),
                None => (line.heard, line.received + line.refused),
            };
            self.truncate(index, item, taken, made);
        }
    }

    /// The model remembers an item only as far as it was heard. Told once, unless it is less by now.
    pub(in crate::engine) fn truncate(&mut self, line: usize, item: String, heard: Samples, made: Samples) {
        let known = self.conversation.line(line);
        let moot = self.line_over_at.is_some() || known.told.is_some_and(|told| told <= heard);
        if moot || heard >= made {
            return;
        }
        known.told = Some(heard);
        let (heard_ms, received_ms) = (heard.as_ms(self.rate_hz()), made.as_ms(self.rate_hz()));
        self.out.model(OwnedCommand::Truncate { item: item.clone(), audio_end_ms: heard_ms });
        self.emit(CallEvent::Truncated { item, heard_ms, received_ms });
    }

    pub(in crate::engine) fn on_agent_words(&mut self, item: &str, text: &str, done: bool) {
        let line = self.agent_line(item);
        self.conversation.say(line, text, done);
        self.trace_said(line);
    }

    fn agent_line(&mut self, item: &str) -> usize {
        if let Some(line) = self.conversation.find(Role::Agent, item) {
            return line;
        }
        let index = self.conversation.begin(Role::Agent, item);
        // Where the line stands unless it becomes audible.
        self.conversation.line(index).ended = Some(self.now);
        index
    }
}

fn note_unheard(unheard: &mut Unheard, item: &str) {
    if unheard.len() < UNHEARD_MAX && !unheard.iter().any(|known| known == item) {
        unheard.push(item.to_owned());
    }
}
