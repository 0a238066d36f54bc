//! What was said over the agent and is too short to tell by its length: it is committed, and its words decide.

use super::*;
use crate::config::Remark;
use crate::ears::turn::shadow::CLICK_MS;

/// What is said over the agent within this belongs together.
pub(super) const TOGETHER_MS: u64 = 3_000;
/// An agent who is heard meanwhile can wait longer for the words.
const PATIENT_MS: u64 = 3_000;

/// Whether what was said over the agent interrupts: its transcript decides.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// One for each time that the caller spoke, the oldest first.
    pub(super) stretches: Vec<Stretch>,
}

/// One commit whose words decide.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) turn: u32,
    /// Once the model has named it.
    pub(super) item: Option<String>,
    voiced_ms: u64,
    said: Option<Said>,
}

/// What a transcript comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    BackChannel,
    /// It could not be written down, and is too short to interrupt by its length.
    Unwritten,
    /// Words, and too few to interrupt.
    Words,
}

impl Local {
    /// What was committed by this name and is not settled.
    fn stretch(&mut self, item: &str) -> Option<&mut Stretch> {
        let mut stretches = self.verdict.iter_mut().flat_map(|verdict| &mut verdict.stretches);
        stretches.find(|stretch| stretch.item.as_deref() == Some(item))
    }
}

impl CallEngine {
    /// The call is being ended: from here on nobody is interrupted, and no answer is begun.
    pub(in crate::engine) fn close_local(&mut self) {
        self.set_aside("closing");
        if self.local.as_ref().is_some_and(Local::is_in_doubt) {
            self.speak_over(Over::Ignored { rule: "closing" });
            self.emit(CallEvent::InterruptionIgnored { rule: "closing".to_owned() });
        }
    }

    /// The model's session is gone: what it was to name or to write down will not come.
    pub(in crate::engine) fn forget_session_locally(&mut self, again: bool) {
        if let Some(rule) = self.floor.joined.take() {
            // What was joined to the turn that goes on waits with it.
            self.floor.commit_due.get_or_insert(rule);
        }
        let Some(local) = &mut self.local else { return self.forget_commits(again) };
        local.click = None;
        if let Some(verdict) = &local.verdict {
            // Length decides: not sooner than all that is lost was let go, if it stops the agent.
            let voiced_ms: u64 = verdict.stretches.iter().map(|stretch| stretch.voiced_ms).sum();
            self.timers.set(Timer::Verdict, self.now);
            if voiced_ms < u64::from(self.settings.false_interruptions.untranscribed_ms) && self.downlink.speaking() {
                self.set_aside("model_lost");
            }
        }
        self.forget_commits(again);
    }

    /// Whether transcripts can be expected.
    pub(super) fn words_come(&self) -> bool {
        let come = |local: &Local| local.worded || local.wordless < WORDLESS_MAX;
        self.settings.transcribed && self.session.is_ready() && self.local.as_ref().is_some_and(come)
    }

    /// The caller has said something over the agent that is too short to be an interruption by its length.
    pub(super) fn weigh_short_speech(&mut self, rule: &'static str, voiced_ms: u64, tail: bool) {
        let now = self.now;
        let Some(local) = &mut self.local else { return };
        let together_ms = voiced_ms + local.lately_ms(now);
        let until = if together_ms > voiced_ms { local.lately.until } else { now.plus_ms(TOGETHER_MS) };
        local.lately = Lately { voiced_ms: together_ms, until };
        let click_ms = local.click.map_or(0, |click| click.voiced_ms) + voiced_ms;
        let untranscribed_ms = u64::from(self.settings.false_interruptions.untranscribed_ms);
        if let Some(joined) = self.floor.joined.take() {
            // The model has it in one piece with a turn that is one.
            self.release_agent("false_interruption");
            self.commit_local(joined);
        } else if tail {
            self.release_agent("spoke_at_its_end");
            self.ignore_interruption("spoke_at_its_end");
            self.join_verdict();
            self.commit_local(rule);
        } else if click_ms < CLICK_MS {
            self.keep_click(voiced_ms);
            self.release_if_settled("false_interruption");
        } else if self.words_come() {
            self.ask_words(voiced_ms);
        } else if voiced_ms < untranscribed_ms {
            self.commit_aside("untranscribed", voiced_ms);
        } else if matches!(self.settings.interruptions, Interruptions::On) {
            // The model was lost while it was said.
            self.give_way("untranscribed");
            self.join_verdict();
            self.commit_local(rule);
        } else {
            self.ignore_interruption(self.too_short());
            self.commit_local(rule);
        }
    }

    /// Why speech that is no interruption by its length, and no back-channel, is none.
    fn too_short(&self) -> &'static str {
        match self.settings.interruptions {
            Interruptions::MinWords(_) => "fewer_than_min_words",
            _ => "shorter_than_after_ms",
        }
    }

    fn ignore_interruption(&mut self, rule: &str) {
        self.emit(CallEvent::InterruptionIgnored { rule: rule.to_owned() });
    }

    /// Commits without asking for an answer: whoever waits for one to what was said before still does. Answers with the turn;
    /// `None`: the model is away, and it is committed, and answered, when it is back.
    fn commit_unasked(&mut self, rule: &'static str) -> Option<u32> {
        let (awaiting, before) = (self.reply.awaiting.take(), self.floor.committed_turn);
        let turn = self.send_commit(rule).then(|| std::mem::replace(&mut self.floor.committed_turn, before));
        self.reply.awaiting = awaiting;
        match self.reply.awaiting {
            Some(_) => self.watch_dead_air(),
            None => self.timers.clear(Timer::ModelSilent),
        }
        turn
    }

    /// Too short by the time it took, but its words may say otherwise.
    fn ask_words(&mut self, voiced_ms: u64) {
        let Some(turn) = self.commit_unasked("words_decide") else { return };
        let within_ms = match self.settings.interruptions {
            Interruptions::On => u64::from(self.settings.false_interruptions.verdict_ms),
            _ => PATIENT_MS,
        };
        let Some(local) = &mut self.local else { return };
        let verdict = local.verdict.get_or_insert_default();
        if verdict.stretches.is_empty() {
            self.timers.set(Timer::Verdict, self.now.plus_ms(within_ms));
        }
        verdict.stretches.push(Stretch { turn, item: None, voiced_ms, said: None });
        self.pay_owed();
    }

    /// No words will come, and it was short: it is of the conversation, and is not answered.
    fn commit_aside(&mut self, rule: &str, voiced_ms: u64) {
        match self.commit_unasked("set_aside") {
            Some(turn) => self.is_back_channel(&Stretch { turn, item: None, voiced_ms, said: None }, rule),
            None => self.ignore_interruption("model_away"),
        }
        self.release_if_settled("false_interruption");
        self.pay_owed();
    }

    /// A turn that is not answered.
    fn is_back_channel(&mut self, stretch: &Stretch, rule: &str) {
        let Stretch { turn, voiced_ms, .. } = *stretch;
        self.stats.count("back_channels", 1);
        self.emit(CallEvent::BackChannel { turn, rule: rule.to_owned(), voiced_ms });
        if let Some(turn) = self.stats.turn(turn) {
            turn.back_channel = true;
        }
        let named = stretch.item.as_deref().and_then(|item| self.conversation.find(Role::Caller, item));
        if let Some(line) = named.or_else(|| self.commits.line_of(turn)) {
            self.conversation.line(line).back_channel = true;
        }
    }

    /// The agent goes on, unless what is being said, or was said before, is not settled.
    fn release_if_settled(&mut self, rule: &str) {
        if self.local.as_ref().is_none_or(|local| local.verdict.is_none() && !local.is_in_doubt()) {
            self.release_agent(rule);
        }
    }

    /// Words of a turn on which an interruption depends.
    pub(in crate::engine) fn weigh_words(&mut self, item: &str, text: &str, done: bool) {
        let Some(local) = &mut self.local else { return };
        if done {
            (local.worded, local.wordless) = (true, 0);
        }
        if local.stretch(item).is_none() {
            return;
        }
        let list = &self.settings.back_channels;
        let remark = match (done, self.conversation.find(Role::Caller, item)) {
            (true, _) => list.judge(text),
            (false, Some(line)) => list.judge_so_far(&self.conversation.line(line).text),
            (false, None) => return,
        };
        self.weigh_remark(item, remark, done);
    }

    /// There will be no words of a turn on which an interruption depends, or no more: what was written down of it counts, and
    /// beyond that its length, as in a call without transcripts.
    pub(in crate::engine) fn weigh_unwritten(&mut self, item: &str) {
        let line = self.conversation.find(Role::Caller, item);
        let remark = line.map(|line| self.settings.back_channels.judge(&self.conversation.line(line).text));
        if let Some(words @ Remark::Words(_)) = remark {
            return self.weigh_remark(item, words, true);
        }
        let untranscribed_ms = u64::from(self.settings.false_interruptions.untranscribed_ms);
        let Some(stretch) = self.local.as_mut().and_then(|local| local.stretch(item)) else { return };
        let is_long = stretch.voiced_ms >= untranscribed_ms;
        stretch.said = Some(if is_long { Said::Words } else { Said::Unwritten });
        if is_long && matches!(self.settings.interruptions, Interruptions::On) {
            self.interrupt_by_verdict("untranscribed");
        } else {
            self.settle_verdict();
        }
    }

    /// What a transcript comes to; not `done`: as far as it goes.
    fn weigh_remark(&mut self, item: &str, remark: Remark, done: bool) {
        let Some(stretch) = self.local.as_mut().and_then(|local| local.stretch(item)) else { return };
        match (self.settings.interruptions, remark) {
            (Interruptions::On, Remark::Words(_)) => return self.interrupt_by_verdict("words"),
            (Interruptions::MinWords(min), Remark::Words(words)) if words >= min => {
                return self.interrupt_by_verdict("min_words");
            }
            _ if !done => return,
            (_, Remark::Words(_)) => stretch.said = Some(Said::Words),
            (_, Remark::BackChannel) => stretch.said = Some(Said::BackChannel),
            (_, Remark::Nothing) => stretch.said = Some(Said::Nothing),
        }
        self.settle_verdict();
    }

    /// Of each stretch it is known what it comes to, or will be.
    fn settle_verdict(&mut self) {
        let Some(local) = &self.local else { return };
        let said = local.verdict.iter().flat_map(|verdict| &verdict.stretches).map(|stretch| stretch.said);
        let said: Option<Vec<Said>> = said.collect();
        match said {
            None => {}
            Some(said) if said.contains(&Said::Words) => self.answer_later(self.too_short()),
            Some(said) if said.contains(&Said::BackChannel) => self.set_aside("back_channel"),
            Some(said) if said.contains(&Said::Unwritten) => self.set_unwritten_aside(),
            Some(_) => self.set_aside("no_words"),
        }
    }

    /// No transcript came in time, or none will.
    pub(in crate::engine) fn on_verdict_due(&mut self) {
        let Some(verdict) = self.local.as_ref().and_then(|local| local.verdict.as_ref()) else { return };
        match self.settings.interruptions {
            _ if verdict.stretches.is_empty() => {}
            Interruptions::On if !self.session.is_ready() => self.interrupt_by_verdict("model_lost"),
            Interruptions::On => self.interrupt_by_verdict("no_transcript_in_time"),
            _ => self.answer_later("no_transcript_in_time"),
        }
    }

    /// An agent who has finished meanwhile is not interrupted: what was said is a turn.
    pub(in crate::engine) fn settle_idle_verdict(&mut self) {
        if self.local.as_ref().is_some_and(|l| l.verdict.is_some()) && !self.agent_has_the_floor() {
            self.interrupt_by_verdict("the_agent_is_done");
        }
    }

    /// What was said before belongs to what is being said, or has just been: that is the turn.
    pub(super) fn join_verdict(&mut self) -> Option<Verdict> {
        self.timers.clear(Timer::Verdict);
        let local = self.local.as_mut()?;
        local.lately = Lately::default();
        local.verdict.take()
    }

    /// What was said stops the agent.
    fn interrupt_by_verdict(&mut self, rule: &str) {
        let Some(verdict) = self.join_verdict() else { return };
        self.give_way(rule);
        self.is_turn(&verdict);
        // Whoever speaks on is answered when that is a turn.
        if self.floor.is_speaking() {
            self.speak_over(Over::Nobody);
        } else {
            self.await_reply();
            self.ask("turn_committed", None);
        }
    }

    /// What was said stops nobody, and is answered when the agent is done.
    fn answer_later(&mut self, rule: &str) {
        let Some(verdict) = self.join_verdict() else { return };
        self.ignore_interruption(rule);
        self.release_if_settled("false_interruption");
        self.is_turn(&verdict);
        self.await_reply();
        self.ask("turn_committed", None);
    }

    fn is_turn(&mut self, verdict: &Verdict) {
        if let Some(last) = verdict.stretches.last() {
            self.floor.committed_turn = last.turn;
        }
        self.caller_took_the_floor();
    }

    /// Nobody knows what was said: said again, it adds up.
    fn set_unwritten_aside(&mut self) {
        let lately = self.local.as_ref().map(|local| local.lately);
        self.set_aside("untranscribed");
        if let (Some(local), Some(lately)) = (&mut self.local, lately) {
            local.lately = lately;
        }
    }

    /// What was said is of the conversation, and is not answered: the agent goes on.
    fn set_aside(&mut self, rule: &str) {
        let Some(verdict) = self.join_verdict() else { return };
        for stretch in &verdict.stretches {
            self.is_back_channel(stretch, rule);
        }
        let by_length = matches!(rule, "untranscribed" | "model_lost");
        self.release_if_settled(if by_length { "false_interruption" } else { "back_channel" });
    }
}
