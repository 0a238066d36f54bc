//! What the model says, is asked to say, and owes.
//!
//! One response runs at a time. A response that is wanted while another runs is owed and asked for when that one is
//! done; what a cancelled response still sends is dropped.

mod audio;

use std::collections::VecDeque;

use super::waiting::Awaiting;
use super::*;
use crate::base::time::Samples;
use crate::config::Spoken;

/// Cancelled responses that are remembered, so that their late audio is known.
const CANCELLED_MAX: usize = 16;
/// Responses that fail while they are heard, in a row: then the caller has the floor, who has heard enough beginnings.
const BROKEN_MAX: u32 = 2;
/// A response that begins this soon after a tool's answer was sent may have begun without it.
const CROSSING_MS: u64 = 300;

/// Replies of the model.
#[derive(Debug, Default)]
pub(super) struct Reply {
    active: Option<Active>,
    /// A response was asked for and has not begun.
    asked: Option<Owed>,
    /// What was asked for may not be interrupted.
    asked_protected: bool,
    /// The model says that a response runs which it has not told to begin.
    unseen_runs: bool,
    /// A response that was asked for is cancelled as soon as it begins.
    cancel_next: bool,
    /// Wanted as soon as nothing runs.
    pub(super) owed: Option<Owed>,
    cancelled: VecDeque<Cancelled>,
    /// The caller waits for an answer.
    pub(super) awaiting: Option<Awaiting>,
    greeted: bool,
    disclaimed: bool,
    /// Responses in a row that failed in the middle of being heard.
    broken: u32,
    /// The item whose audio found no room, last.
    refused_item: String,
}

#[derive(Debug)]
struct Active {
    id: String,
    started_at: CallTime,
    turn: u32,
    /// Audio of it came, be it silence.
    begun: bool,
    /// Some of it can be heard.
    audible: bool,
    /// It was heard, and then said nothing for too long.
    silent: bool,
    tools: bool,
    /// The caller may not interrupt it.
    protected: bool,
    unheard: Unheard,
    /// What was asked for, if it is that: should the model refuse what was asked, this is another.
    answers: Option<Owed>,
}

/// Items of a response of which audio was not taken: when it is over the model is told how much of them was.
type Unheard = Vec<String>;

#[derive(Debug)]
struct Cancelled {
    id: String,
    late: Samples,
    /// The model has not said yet that it is over.
    running: bool,
    unheard: Unheard,
}

/// A response that is wanted.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    pub(super) why: &'static str,
    pub(super) instructions: Option<String>,
    /// Since when: a response that began later has heard of what it is for.
    pub(super) since: CallTime,
    /// Moot when the response that runs now says something.
    pub(super) unless_audible: bool,
    /// It tells what a tool answered: a response that began without that will not do.
    pub(super) of_tool: bool,
    /// The model refused it, so the response that runs began without it.
    pub(super) refused: bool,
}

impl Owed {
    /// Whether any response that says something will do: not for words of our own, nor for what a tool answered.
    fn is_any(&self) -> bool {
        self.instructions.is_none() && !self.of_tool
    }

    /// Whether a response that begins at `now`, and was not asked for, will do.
    fn is_met_by_one_begun(&self, now: CallTime) -> bool {
        self.is_any() || (self.instructions.is_none() && !self.refused && now.ms_since(self.since) > CROSSING_MS)
    }
}

/// How much a complaint weighs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weight {
    /// No response can succeed any more.
    pub(super) fatal: bool,
    /// Another response runs.
    pub(super) busy: bool,
    /// It may be over by the next try.
    pub(super) passing: bool,
    /// When to try again.
    pub(super) retry_after_ms: Option<u64>,
}

/// Why a response is wanted that tells what tools have answered.
pub(super) const TOOL_ANSWERED: &str = "tool_answered";

impl Reply {
    /// Whether a response runs, or was asked for, that is not cancelled.
    pub(super) fn is_running(&self) -> bool {
        self.active.is_some() || (self.asked.is_some() && !self.cancel_next)
    }

    /// Whether the response that runs, or was asked for, may not be interrupted.
    pub(super) fn is_protected(&self) -> bool {
        self.active.as_ref().map_or(self.asked.is_some() && self.asked_protected, |active| active.protected)
    }

    /// Whether the model would refuse another response.
    fn is_occupied(&self) -> bool {
        self.active.is_some() || self.asked.is_some() || self.runs_unheard()
    }

    /// Whether one runs that nobody is to hear.
    fn runs_unheard(&self) -> bool {
        self.unseen_runs || self.cancelled.iter().any(|c| c.running)
    }

    /// Whatever runs or was asked for is not waited for any more.
    pub(super) fn give_up(&mut self) {
        self.cancelled.iter_mut().for_each(|c| c.running = false);
        self.unseen_runs = false;
        self.asked = None;
        self.cancel_next = false;
    }

    /// Whether a response runs that has begun, so that the model may yet say something in it.
    pub(super) fn has_begun(&self) -> bool {
        self.active.is_some()
    }

    /// Whether the response that runs called a tool.
    pub(super) fn calls_tools(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.tools)
    }

    /// The response that runs has said nothing for too long. Answers whether that was so before.
    pub(super) fn falls_silent(&mut self) -> bool {
        self.active.as_mut().is_none_or(|active| std::mem::replace(&mut active.silent, true))
    }

    /// The response that runs called a tool: it need not say anything.
    pub(super) fn called_tool(&mut self) {
        if let Some(active) = &mut self.active {
            active.tools = true;
        }
    }

    /// Whether the response that runs was heard, or will be.
    pub(super) fn is_audible(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.audible)
    }

    /// Whether a response was cancelled that the model still sends.
    pub(super) fn is_being_cancelled(&self, response: &str) -> bool {
        self.cancelled.iter().any(|c| c.running && c.id == response)
    }

    /// A response that is owed for this reason is not wanted any more.
    pub(super) fn withdraw(&mut self, why: &str) {
        self.owed.take_if(|owed| owed.why == why);
    }

    /// Whether the caller was greeted, or need not be.
    pub(super) fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// The session is gone, and its responses with it.
    pub(super) fn forget_session(&mut self) {
        self.active = None;
        self.asked = None;
        self.unseen_runs = false;
        self.cancel_next = false;
        self.cancelled.clear();
        self.awaiting = None;
    }
}

impl CallEngine {
    /// Asks for a response, now or as soon as it can be had.
    pub(super) fn ask(&mut self, why: &'static str, instructions: Option<String>) {
        self.owe(why, instructions);
        self.pay_owed();
    }

    pub(super) fn owe(&mut self, why: &'static str, instructions: Option<String>) {
        let (since, of_tool) = (self.now, why == TOOL_ANSWERED);
        self.reply.owed = Some(Owed { why, instructions, since, unless_audible: false, of_tool, refused: false });
    }

    /// The caller's turn is over while a response to something earlier still runs, or its cancel is on the way: a model
    /// that is busy does not answer by itself.
    pub(super) fn owe_answer_if_busy(&mut self) {
        let busy = self.reply.active.is_some() || self.reply.cancelled.iter().any(|c| c.running);
        if busy && self.reply.owed.is_none() {
            self.owe("turn_ended_while_another_ran", None);
        }
    }

    /// Whether what the model says, or is asked to say, answers this turn.
    pub(super) fn answer_waits_on(&self, turn: u32) -> bool {
        let running = self
            .reply
            .active
            .as_ref()
            .map_or(self.reply.asked.is_some() && !self.reply.cancel_next, |a| a.turn == turn);
        matches!(self.phase, Phase::Talking)
            && turn == self.floor.committed_turn
            && (running || self.reply.owed.is_some())
    }

    /// What is asked or said does not answer what it should: it is asked for anew.
    pub(super) fn withdraw_answer(&mut self) {
        if self.reply.active.as_ref().is_some_and(|active| active.audible) {
            self.stop_agent("commit_refused");
        } else {
            self.cancel_running();
        }
        self.reply.owed = None;
    }

    /// What was asked for, or begins to be said, was to tell what a tool answered, and the model does not know that. Answers
    /// whether it is to be asked for anew: then what has not been heard is not worth hearing.
    pub(super) fn withdraw_tools_answer(&mut self) -> bool {
        let asked = self.reply.asked.as_ref().is_some_and(|asked| asked.of_tool) && !self.reply.cancel_next;
        let answers = |active: &Active| active.answers.as_ref().is_some_and(|answers| answers.of_tool);
        let active = self.reply.active.as_ref().is_some_and(answers);
        if (active && !self.reply.is_audible()) || (asked && self.reply.active.is_none()) {
            self.cancel_running();
        }
        (asked || active) && self.reply.owed.is_none()
    }

    pub(super) fn pay_owed(&mut self) {
        let nobody_hears = matches!(self.phase, Phase::Ringing { .. } | Phase::Transcribing(_));
        if !self.session.is_ready() || self.reply.is_occupied() || nobody_hears {
            return;
        }
        let Some(owed) = self.reply.owed.take() else { return };
        let owed = self.as_first_asked(owed);
        self.reply.asked_protected = owed.why == "greeting" && !self.settings.greeting_interruptible;
        self.emit(CallEvent::ResponseAsked { why: owed.why.to_owned() });
        self.out.model(OwnedCommand::Create { instructions: owed.instructions.clone() });
        self.await_reply();
        self.remember_asked(&owed);
        self.reply.asked = Some(owed);
    }

    /// Stops the running response, or the one that was asked for.
    pub(super) fn cancel_running(&mut self) {
        if let Some(active) = self.reply.active.take() {
            self.out.model(OwnedCommand::Cancel);
            self.remember_cancelled(active, true);
        } else if self.reply.asked.is_some() {
            self.reply.cancel_next = true;
        }
        self.downlink.complete_last();
    }

    pub(super) fn on_response_started(&mut self, response: &str) {
        let protected = self.reply.asked.is_some() && self.reply.asked_protected;
        let caller_speaks = self.floor.is_speaking()
            && !protected
            // It may turn out to be none that stops the agent.
            && !self.local.as_ref().is_some_and(Local::is_in_doubt)
            && !matches!(self.settings.interruptions, crate::config::Interruptions::Off)
            && matches!(self.phase, Phase::Talking);
        self.emit(CallEvent::ResponseStarted { response: response.to_owned() });
        let answers = self.reply.asked.take();
        let ours = answers.is_some();
        // One runs at a time: whatever ran before is over, said or not.
        self.reply.unseen_runs = false;
        self.reply.cancelled.iter_mut().for_each(|c| c.running = false);
        if let Some(before) = self.reply.active.take_if(|a| a.id != response) {
            self.downlink.complete_last();
            self.remember_cancelled(before, false);
        }
        // It answers all that was said before it, so what was withheld for that is moot if it says something.
        let now = self.now;
        if let Some(owed) = self.reply.owed.as_mut().filter(|o| !ours && o.is_met_by_one_begun(now)) {
            owed.unless_audible = true;
        }
        let turn = self.floor.committed_turn;
        self.reply.active = Some(Active {
            id: response.to_owned(),
            started_at: self.now,
            turn,
            begun: false,
            audible: false,
            silent: false,
            tools: false,
            protected,
            unheard: Unheard::new(),
            answers,
        });
        // A response that begins while the caller speaks answers what was said before: the caller goes on.
        if std::mem::take(&mut self.reply.cancel_next) || caller_speaks {
            self.stats.count("responses_overtaken", 1);
            self.cancel_running();
            if caller_speaks {
                // It may be what was to be said before the caller is put through.
                self.call_off_errand();
            }
            return;
        }
        // Nobody is there who could hear it.
        if !ours && self.answering.is_deaf() {
            self.stats.count("responses_to_nobody", 1);
            self.cancel_running();
            return;
        }
        // Nothing new is begun in a call that ends: the goodbye stays the last word.
        let ends = matches!(self.phase, Phase::Closing(_));
        if (!ours && ends) || matches!(self.phase, Phase::Transcribing(_)) {
            self.stats.count("responses_while_closing", 1);
            self.cancel_running();
            return;
        }
        if let Some(turn) = self.stats.turn(turn) {
            turn.response_at_ms.get_or_insert(now.as_ms());
        }
    }

    pub(super) fn on_response_done(
        &mut self,
        response: &str,
        status: ResponseStatus,
        detail: Option<&str>,
        usage: Usage,
        weight: Weight,
    ) {
        self.stats.usage.add(usage);
        self.watch_budget();
        let status_name = match status {
            ResponseStatus::Completed => "completed",
            ResponseStatus::Cancelled => "cancelled",
            ResponseStatus::Failed => "failed",
            ResponseStatus::Incomplete => "incomplete",
        };
        let status_text = detail.map_or(status_name.to_owned(), |d| format!("{status_name}: {d}"));
        self.emit(CallEvent::ResponseEnded { response: response.to_owned(), status: status_text.clone() });
        match status {
            ResponseStatus::Failed => self.stats.count("responses_failed", 1),
            ResponseStatus::Incomplete => self.stats.count("responses_incomplete", 1),
            ResponseStatus::Completed | ResponseStatus::Cancelled => {}
        }
        let went_wrong = matches!(status, ResponseStatus::Failed | ResponseStatus::Incomplete);
        if went_wrong {
            self.complain("response", &status_text);
        }
        if weight.fatal {
            self.fail(EndReason::ModelUnavailable { why: format!("response {status_text}") });
            return;
        }
        if let Some(cancelled) = self.reply.cancelled.iter_mut().find(|c| c.id == response) {
            cancelled.running = false;
            let (late, unheard) = (std::mem::take(&mut cancelled.late), std::mem::take(&mut cancelled.unheard));
            if late > Samples::ZERO {
                let ms = late.as_ms(self.rate_hz());
                self.emit(CallEvent::LateAudioDropped { response: response.to_owned(), ms });
            }
            self.tell_model_of_unheard(unheard);
            self.pay_owed();
            return;
        }
        let wanted = self.reply.asked.is_some() || (went_wrong && self.reply.awaiting.is_some());
        if self.reply.active.is_none() && wanted && !self.reply.runs_unheard() {
            // It was never told to begin, and can be no other.
            self.on_response_started(response);
        }
        let Some(mut active) = self.reply.active.take_if(|a| a.id == response) else {
            // One that we have not seen, and which was in the way.
            self.reply.unseen_runs = false;
            if !self.floor.is_speaking() {
                self.pay_owed();
            }
            return;
        };
        let (audible, tools) = (active.audible, active.tools);
        let unheard = std::mem::take(&mut active.unheard);
        // Audio of it that is still on its way comes too late.
        self.remember_cancelled(active, false);
        self.downlink.complete_last();
        self.tell_model_of_unheard(unheard);
        if audible {
            self.reply.owed.take_if(|owed| owed.unless_audible);
            if !self.settings.transcribed {
                self.commits.answered();
            }
        }
        self.stop_watching_reply();
        let said_all = audible && status != ResponseStatus::Failed;
        self.reply.broken = if audible && !said_all { self.reply.broken + 1 } else { 0 };
        if went_wrong && !said_all && !tools && self.reply.broken <= BROKEN_MAX {
            self.on_attempt_failed(status_text, audible, weight.retry_after_ms);
        } else if !audible && !tools && status == ResponseStatus::Completed {
            // Nothing was said: the time that the caller waits goes on.
            self.stats.count("responses_empty", 1);
        }
        if !self.floor.is_speaking() {
            self.pay_owed();
        }
    }

    pub(super) fn on_model_error(
        &mut self,
        code: &str,
        message: &str,
        about: Option<CommandKind>,
        number: Option<u32>,
        weight: Weight,
    ) {
        self.stats.count("model_errors", 1);
        let about_text = about.map_or(String::new(), |a| format!("{a:?}"));
        self.emit(CallEvent::ModelError { code: code.to_owned(), about: about_text });
        let words = [code, message].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
        self.complain("error", &words);
        if weight.fatal {
            self.fail(EndReason::ModelUnavailable { why: words });
            return;
        }
        if about == Some(CommandKind::CommitAudio) {
            self.on_commit_refused(number);
            return;
        }
        if about == Some(CommandKind::ToolOutput) {
            self.on_tool_output_refused(number, &words);
            return;
        }
        let of_create = about == Some(CommandKind::CreateResponse);
        // What is asked for and has not begun is what trouble that will pass, told of no command, is in the way of.
        let may_pass = weight.passing || weight.retry_after_ms.is_some();
        let waits = self.reply.awaiting.is_some() && self.reply.active.is_none();
        let in_the_way = about.is_none() && may_pass && waits;
        // Not every vendor says that another runs, nor which command it complains about.
        let runs = self.reply.active.is_some() || self.reply.runs_unheard();
        if weight.busy || (of_create && runs) {
            self.on_busy();
        } else if (of_create || in_the_way) && self.reply.asked.take().is_some() {
            if !std::mem::take(&mut self.reply.cancel_next) {
                self.on_attempt_failed(words, false, weight.retry_after_ms);
            } else if !self.floor.is_speaking() {
                // Nobody wanted it any more: what is wanted in its place need not wait for its end.
                self.pay_owed();
            }
        }
    }

    /// What was asked for last was refused since another response runs: it is asked for when that one is done.
    fn on_busy(&mut self) {
        let refused = match self.reply.asked.take() {
            Some(_) if std::mem::take(&mut self.reply.cancel_next) => return,
            Some(asked) => asked,
            // The response that has begun since is the other one.
            None => match self.reply.active.as_mut().and_then(|active| active.answers.take()) {
                Some(asked) => asked,
                None => return,
            },
        };
        self.stats.count("responses_refused_busy", 1);
        self.reply.unseen_runs = self.reply.active.is_none() && !self.reply.runs_unheard();
        if self.reply.owed.is_none() {
            // The model's own detection was first, with the same conversation before it: but for what it did not know.
            let unless_audible = refused.is_any();
            let why = "refused_while_another_ran";
            self.reply.owed = Some(Owed { why, unless_audible, refused: true, ..refused });
        }
    }

    /// What must be said is said before anything else, and to its end.
    pub(super) fn disclaim(&mut self) {
        let Some(sound) = self.settings.disclaimer.clone().filter(|_| !self.answering.is_deaf()) else { return };
        if std::mem::replace(&mut self.reply.disclaimed, true) {
            return;
        }
        self.play(ItemKind::Line, &sound, "disclaimer");
        self.downlink.protect_last();
        let told_with_the_greeting = matches!(self.settings.greeting, Spoken::Play(_));
        if self.session.is_ready() && !told_with_the_greeting {
            self.replay_conversation();
        }
    }

    /// The first words, once the line and, where they are the model's, the model are there.
    pub(super) fn greet(&mut self) {
        if self.reply.greeted || self.answering.is_deaf() {
            return;
        }
        match &self.settings.greeting {
            Spoken::None => self.reply.greeted = true,
            Spoken::Play(sound) => {
                let sound = sound.clone();
                self.reply.greeted = true;
                self.play(ItemKind::Line, &sound, "greeting");
                if !self.settings.greeting_interruptible {
                    self.downlink.protect_last();
                }
                if self.session.is_ready() {
                    self.replay_conversation();
                }
            }
            Spoken::Say(text) if self.session.is_ready() && !self.fetching => {
                let text = self.worded(text);
                let instructions = format!("Greet the caller. Say exactly this and nothing else: \"{text}\"");
                self.reply.greeted = true;
                self.ask("greeting", Some(instructions));
            }
            Spoken::Say(_) => {}
        }
    }

    fn remember_cancelled(&mut self, Active { id, unheard, .. }: Active, running: bool) {
        if id.is_empty() {
            // A vendor without ids: nothing tells the late audio of one from that of the next.
            return;
        }
        if self.reply.cancelled.len() == CANCELLED_MAX {
            self.reply.cancelled.pop_front();
        }
        self.reply.cancelled.push_back(Cancelled { id, late: Samples::ZERO, running, unheard });
    }
}
