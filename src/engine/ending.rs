//! Limits, failures and the way out: the last words are heard before the line is cut, but only for so long.

use super::*;
use crate::base::time::Samples;
use crate::config::{AfterFailure, Spoken};

/// How long the carrier may take to end or transfer a call.
const HANG_UP_TIMEOUT_MS: u64 = 10_000;
/// Beyond its own length, a fallback line may take this long to be heard.
const LINE_MARGIN_MS: u64 = 3_000;

/// A call on its way out.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) reason: EndReason,
    then: AfterFailure,
    /// The effect that ends the call, once it runs.
    pub(super) effect: Option<EffectId>,
    /// The model hangs up by this tool call, of this session, and nothing was said yet by which the caller could tell.
    wordless: Option<(u32, String)>,
}

impl CallEngine {
    pub(super) fn arm_limits(&mut self) {
        let limits = &self.settings.limits;
        self.timers.set(Timer::CallerGone, self.now.plus_ms(limits.caller_gone_s * 1_000));
        if limits.max_duration_s > 0 {
            let end = self.now.plus_ms(limits.max_duration_s * 1_000);
            self.timers.set(Timer::Cap, end);
            if limits.warn_before_s > 0 && limits.warn_before_s < limits.max_duration_s {
                self.timers.set(Timer::CapWarning, end.minus_ms(limits.warn_before_s * 1_000));
            }
        }
        self.watch_budget();
    }

    pub(super) fn on_cap_warning(&mut self) {
        let left_s = self.settings.limits.warn_before_s;
        self.emit(CallEvent::EndAnnounced { left_s });
        if self.session.is_ready() {
            let text = format!("This call ends in {left_s} seconds. Come to an end and say goodbye before that.");
            self.out.model(OwnedCommand::Add { role: Role::System, text, id: None, first: false });
        }
    }

    /// The caller's silence counts while nobody has anything to say.
    pub(super) fn watch_caller_silence(&mut self) {
        let limit_ms = self.settings.limits.caller_silence_s * 1_000;
        let quiet = matches!(self.phase, Phase::Talking)
            && limit_ms > 0
            && !self.answering.is_deaf()
            && !self.floor.is_speaking()
            && !self.agent_has_the_floor()
            && self.reply.awaiting.is_none()
            && !self.tools.excuse_silence()
            && !self.is_on_errand()
            && self.session.is_ready();
        if !quiet {
            self.timers.clear(Timer::CallerSilent);
        } else if !self.timers.is_set(Timer::CallerSilent) {
            self.timers.set(Timer::CallerSilent, self.now.plus_ms(limit_ms));
        }
    }

    pub(super) fn on_control(&mut self, control: Control) {
        match control {
            Control::CommitTurn => self.commit("operator"),
            Control::Transfer(outcome) => self.on_transfer_outcome(outcome),
            Control::AnsweredBy(by) => self.on_answered_by(by),
            Control::LineReturns => self.line_returns(),
            Control::Say(text) => self.on_say(&text),
            Control::PutThrough(to) => self.on_put_through(&to),
            Control::Budget(budget) => self.on_budget(budget),
            Control::End(reason) if matches!(self.phase, Phase::Ringing { .. }) => self.finish(reason),
            Control::End(_) if self.nobody_asks() => self.give_up_line(),
            Control::End(reason) => self.close_with_farewell(reason),
            Control::EndNow(reason) => {
                // A call that is ending already keeps its own reason.
                let reason = match &self.phase {
                    Phase::Closing(closing) => closing.reason.clone(),
                    Phase::Transcribing(reason) => reason.clone(),
                    _ if self.nobody_asks() => self.hung_up_when_broken(),
                    _ => reason,
                };
                self.end_now(reason);
            }
        }
    }

    /// An operator has something to say. The model says it, since it has the agent's voice; what is owed already is not forgotten
    /// over it.
    fn on_say(&mut self, text: &str) {
        let talks = matches!(self.phase, Phase::Talking) && self.session.is_ready();
        if !talks || self.answering.is_deaf() || self.is_lending() {
            self.stats.count("operator_lines_dropped", 1);
            return;
        }
        // What stands between quotes is one sentence, whatever it says.
        let text = text.replace('"', "'");
        if self.reply.owed.is_some() {
            self.tell_model(format!("Begin your next answer with exactly this: \"{text}\""));
        } else {
            self.ask("operator", Some(format!("Say exactly this and nothing else: \"{text}\"")));
        }
    }

    /// An operator puts the caller through.
    fn on_put_through(&mut self, to: &str) {
        let known = self.settings.destinations.iter().find(|destination| destination.name == to).cloned();
        match known {
            Some(destination) if self.can_be_put_through() => self.begin_transfer(destination, None),
            _ => self.stats.count("operator_transfers_dropped", 1),
        }
    }

    fn can_be_put_through(&self) -> bool {
        matches!(self.phase, Phase::Talking) && !self.is_on_errand() && !self.answering.is_deaf()
    }

    /// The model cannot go on: the caller hears why, and what was configured follows.
    pub(super) fn fail(&mut self, reason: EndReason) {
        if matches!(self.phase, Phase::Talking) && self.fails_later(&reason) {
            self.hang_up_model();
            return;
        }
        match &mut self.phase {
            Phase::Ringing { failed } => {
                *failed = Some(reason);
                self.hang_up_model();
                return;
            }
            Phase::Talking => {}
            // It is ending already.
            Phase::Closing(_) | Phase::Transcribing(_) | Phase::Over(_) => {
                self.let_failed_model_go();
                return;
            }
        }
        self.let_failed_model_go();
        let silence_waits = !self.downlink.is_drained() && self.downlink.audible_at(self.line_now()) == Samples::ZERO;
        if self.downlink.only_sound() || silence_waits {
            self.clear_line(true);
        }
        let on_failure = self.settings.on_failure.clone();
        self.close(reason, on_failure.then);
        if let Some(line) = on_failure.line {
            self.play(ItemKind::Line, &line, "fallback");
        }
        self.give_time_for_what_waits();
    }

    /// A limit was reached: the agent is stopped, says goodbye, and the call ends.
    pub(super) fn close_with_farewell(&mut self, reason: EndReason) {
        if !matches!(self.phase, Phase::Talking) {
            return;
        }
        if self.line_is_lent() {
            // Nobody would hear it.
            self.close(reason, AfterFailure::HangUp);
            self.leave();
            return;
        }
        match self.settings.farewell.clone() {
            Spoken::None => self.close(reason, AfterFailure::HangUp),
            Spoken::Play(sound) => {
                self.make_room_for_farewell();
                self.close(reason, AfterFailure::HangUp);
                self.play(ItemKind::Line, &sound, "farewell");
            }
            Spoken::Say(text) => {
                self.make_room_for_farewell();
                self.close(reason, AfterFailure::HangUp);
                if self.session.is_ready() {
                    let instructions = say_goodbye_by(&self.worded(&text));
                    self.ask("farewell", Some(instructions));
                }
            }
        }
    }

    /// Nothing new is begun; what is being said may still be heard.
    pub(super) fn close(&mut self, reason: EndReason, then: AfterFailure) {
        if !matches!(self.phase, Phase::Talking) {
            return;
        }
        self.close_keys();
        self.emit(CallEvent::Closing { why: reason.to_string() });
        self.phase = Phase::Closing(Closing { reason, then, effect: None, wordless: None });
        self.close_local();
        self.reply.owed = None;
        self.reply.awaiting = None;
        for timer in [
            Timer::CallerSilent,
            Timer::Idle,
            Timer::Interrupt,
            Timer::Away,
            Timer::ModelSilent,
            Timer::ModelRetry,
            Timer::CapWarning,
            Timer::Cap,
            Timer::Budget,
            Timer::Hold,
            Timer::ModelRecovery,
            Timer::ModelRedial,
            Timer::Answering,
        ] {
            self.timers.clear(timer);
        }
        self.timers.set(Timer::Farewell, self.now.plus_ms(self.settings.limits.farewell_s * 1_000));
        self.give_time_for_what_waits();
    }

    /// Once everything was heard, the way out.
    pub(super) fn leave_when_heard(&mut self) {
        let Phase::Closing(Closing { effect: None, .. }) = self.phase else { return };
        if self.line_is_lent() || self.reply.is_running() || self.reply.owed.is_some() {
            return;
        }
        if self.is_wordless() {
            // Nobody waits for the end of silence to be told goodbye.
            self.drop_silence();
        }
        if self.downlink.is_drained() && !self.says_goodbye() {
            self.leave();
        }
    }

    /// The time for the last words is over.
    pub(super) fn on_farewell_due(&mut self) {
        if self.is_wordless() {
            // A response that does not end is no reason to hang up in silence.
            self.cancel_running();
            self.reply.give_up();
            self.drop_silence();
            if self.says_goodbye() {
                return;
            }
        }
        self.leave();
    }

    /// Whether the model hangs up, and nothing was said yet by which the caller could tell.
    fn is_wordless(&self) -> bool {
        matches!(&self.phase, Phase::Closing(Closing { effect: None, wordless: Some(_), .. }))
    }

    /// Whether the caller hears words that may be a goodbye, or will. The filler's are none.
    fn says_words(&self) -> bool {
        self.downlink.audible_items(self.line_now()).any(|item| match item.kind {
            ItemKind::Reply => true,
            ItemKind::Line => item.name != waiting::FILLER,
            ItemKind::Sound => false,
        })
    }

    /// The model hangs up by this tool call. Unless it says something with it, there is a goodbye first.
    pub(super) fn hang_up_by_tool(&mut self, call: &str, why: String) {
        if !matches!(self.phase, Phase::Talking) {
            return;
        }
        let wordless = !self.says_words() && !self.reply.is_audible() && !self.answering.is_deaf();
        let session = self.conversation.session();
        self.close(EndReason::AgentHungUp { why }, AfterFailure::HangUp);
        if let Phase::Closing(closing) = &mut self.phase {
            closing.wordless = wordless.then(|| (session, call.to_owned()));
        }
    }

    /// The agent says something while the call is being ended.
    pub(super) fn goodbye_was_said(&mut self) {
        if let Phase::Closing(closing) = &mut self.phase {
            closing.wordless = None;
        }
    }

    /// Nobody is hung up on in silence: the farewell is said, or, where there is none, the model is asked for a goodbye.
    fn says_goodbye(&mut self) -> bool {
        let Phase::Closing(closing) = &mut self.phase else { return false };
        let Some((session, call)) = closing.wordless.take() else { return false };
        let instructions = match self.settings.farewell.clone() {
            Spoken::Play(sound) => {
                self.play(ItemKind::Line, &sound, "farewell");
                self.give_time_for_what_waits();
                self.feed();
                return true;
            }
            Spoken::Say(text) => say_goodbye_by(&self.worded(&text)),
            Spoken::None => "The call ends now. Say goodbye to the caller in one short sentence.".to_owned(),
        };
        if !self.session.is_ready() {
            return false;
        }
        if session == self.conversation.session() {
            let number = self.tools.number();
            self.out.model(OwnedCommand::ToolOutput { number, call, output: r#"{"ok":true}"#.to_owned() });
        }
        self.ask("farewell", Some(instructions));
        self.give_time_for_what_waits();
        true
    }

    /// The way out, heard or not: the carrier is asked to end or to transfer the call.
    pub(super) fn leave(&mut self) {
        let Phase::Closing(closing) = &self.phase else { return };
        if closing.effect.is_some() {
            return;
        }
        let effect = match &closing.then {
            AfterFailure::HangUp => Effect::HangUp,
            AfterFailure::Transfer(number) => Effect::Transfer { to: number.clone(), back_after_s: None },
        };
        self.clear_line(true);
        self.let_model_go();
        self.timers.clear(Timer::Farewell);
        self.run(effect);
    }

    /// Nobody is on the line as far as is known. Answers whether the call goes on all the same: a transfer that was promised
    /// needs the carrier alone, which knows whether the caller is there.
    pub(super) fn leaves_without_line(&mut self) -> bool {
        let promised =
            matches!(self.phase, Phase::Closing(Closing { effect: None, then: AfterFailure::Transfer(_), .. }));
        if promised {
            self.leave();
        }
        promised
    }

    pub(super) fn on_effect(&mut self, id: EffectId, result: EffectResult) {
        self.emit(CallEvent::EffectDone { id: id.0, result: result.clone() });
        if self.on_tool_effect(id, &result) || self.on_errand_effect(id, &result) || self.on_fetched(id, &result) {
            return;
        }
        let Phase::Closing(closing) = &mut self.phase else { return };
        if closing.effect != Some(id) {
            return;
        }
        if let EffectResult::Failed(_) | EffectResult::Unknown(_) = result {
            self.stats.count("effects_failed", 1);
            // A transfer that fails must not leave the caller in silence.
            if let AfterFailure::Transfer(_) = std::mem::replace(&mut closing.then, AfterFailure::HangUp) {
                self.run(Effect::HangUp);
                return;
            }
        }
        let reason = closing.reason.clone();
        self.finish(reason);
    }

    pub(super) fn on_hang_up_timeout(&mut self) {
        let Phase::Closing(closing) = &self.phase else { return };
        self.stats.count("hang_up_timeouts", 1);
        let reason = closing.reason.clone();
        self.finish(reason);
    }

    /// The line is over. What was heard until now is settled; only the caller's last words may still be awaited.
    pub(super) fn finish(&mut self, reason: EndReason) {
        let reason = self.settle_line(reason);
        self.end_open_turn();
        if self.awaits_words() {
            self.await_words(reason);
        } else {
            self.end(reason);
        }
    }

    /// The end, whatever is awaited.
    fn end_now(&mut self, reason: EndReason) {
        let reason = if self.line_over_at.is_none() { self.settle_line(reason) } else { reason };
        self.list_open_turn();
        self.end(reason);
    }

    fn settle_line(&mut self, reason: EndReason) -> EndReason {
        self.close_keys();
        self.cancel_line_at_end();
        self.cancel_tools();
        self.with_message(reason)
    }

    /// Nothing follows.
    pub(super) fn end(&mut self, reason: EndReason) {
        self.hang_up_model();
        self.timers.clear_all();
        self.emit(CallEvent::Ended { reason: reason.clone() });
        self.out.end(reason.clone());
        self.phase = Phase::Over(reason);
    }

    fn cancel_line_at_end(&mut self) {
        if self.uplink.started_at().is_some() {
            self.clear_line(false);
        }
    }

    fn make_room_for_farewell(&mut self) {
        if self.agent_has_the_floor() {
            self.stop_agent("closing");
        } else if !self.downlink.is_drained() {
            self.clear_line(true);
        }
    }

    /// What is queued is heard even when it is longer than the farewell's time, up to its own length.
    pub(super) fn give_time_for_what_waits(&mut self) {
        let waiting_ms = self.downlink.unheard_at(self.line_now()).as_ms(self.rate_hz());
        let farewell_ms = self.settings.limits.farewell_s * 1_000;
        self.timers.set(Timer::Farewell, self.now.plus_ms(farewell_ms.max(waiting_ms + LINE_MARGIN_MS)));
    }

    /// Asks the world for something.
    pub(super) fn begin_effect(&mut self, effect: Effect) -> EffectId {
        let id = EffectId(self.effects);
        self.effects += 1;
        self.emit(CallEvent::EffectRun { id: id.0, what: effect.name().to_owned() });
        self.out.run(id, effect);
        id
    }

    fn run(&mut self, effect: Effect) {
        let id = self.begin_effect(effect);
        if let Phase::Closing(closing) = &mut self.phase {
            closing.effect = Some(id);
        }
        self.timers.set(Timer::HangUp, self.now.plus_ms(HANG_UP_TIMEOUT_MS));
    }
}

fn say_goodbye_by(text: &str) -> String {
    format!("Say goodbye now. Say exactly this and nothing else: \"{text}\"")
}
