//! Turns that were committed and whose words are not there yet.
//!
//! ```text
//!            the model names its item         its words are there, or will never be
//!   sent ────────────────────────────► named ──────────────────────────────────────► forgotten
//!    │ ▲                                 │
//!    │ └─ sent again ◄── refused, or the session is lost, and its audio is kept
//!    └──► given up: the model is told that something was said
//! ```
//!
//! Commits of ours are named in the order in which they were sent, but for those that were refused: a refusal names the
//! commit by its number. What the caller said is kept until its words are there, so that a session that is lost with it,
//! or a model that refuses it, takes none of it away.

use std::collections::VecDeque;

use super::report::Turn;
use super::*;
use crate::base::time::Samples;

/// Turns whose words are awaited; of more the oldest are not any longer.
const COMMITS_MAX: usize = 16;
/// Audio that is kept of them, all together; beyond it the oldest is let go of.
const AUDIO_KEPT_MS: u64 = 15_000;
/// A model that names a turn does so within this time.
const NAMED_WITHIN_MS: u64 = 5_000;
/// Words that took longer than this do not come: the audio is let go of.
const WORDS_LATE_MS: u64 = 30_000;
/// A turn that the model refuses is sent so many times more.
const AGAIN_MAX: u8 = 2;

/// Turns whose words are awaited, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Commits {
    waiting: VecDeque<Commit>,
    /// The number of the last one.
    last: u32,
}

/// A turn that was committed.
#[derive(Debug)]
struct Commit {
    number: u32,
    turn: u32,
    /// Its line of the conversation.
    line: usize,
    /// When it was sent, last.
    at: CallTime,
    /// The model's name for it.
    item: Option<String>,
    /// The model's own detection ended it: its audio is not kept here.
    vendors: bool,
    /// What was said; empty when it is not kept (any more).
    audio: Vec<u8>,
    /// The session that is there has it, or will have: else the next one gets it.
    sent: bool,
    again: u8,
}

impl Commits {
    /// The number for the next commit.
    pub(super) fn number(&mut self) -> u32 {
        self.last += 1;
        self.last
    }

    /// The first one sent that the model has not named yet: one that is sent again is behind those sent meanwhile.
    fn unnamed(&mut self) -> Option<&mut Commit> {
        let unnamed = self.waiting.iter_mut().filter(|commit| commit.sent && commit.item.is_none());
        unnamed.min_by_key(|commit| commit.number)
    }

    /// Whether one is not named yet.
    pub(super) fn has_unnamed(&self) -> bool {
        self.waiting.iter().any(|commit| commit.sent && commit.item.is_none())
    }

    /// Whether words may still come: not of what has waited for them for so long that none do.
    pub(super) fn awaits_words(&self, now: CallTime) -> bool {
        self.waiting.iter().any(|commit| now.ms_since(commit.at) <= WORDS_LATE_MS)
    }

    /// How many turns have no words yet.
    pub(super) fn awaited(&self) -> u32 {
        self.waiting.len() as u32
    }

    /// The line of a turn that the next session gets as audio.
    pub(super) fn is_due_again(&self, line: usize) -> bool {
        self.waiting.iter().any(|commit| !commit.sent && !commit.vendors && commit.line == line)
    }

    /// Whether the next session is to hear, by its own detection, a turn once more; or this one has named one.
    pub(super) fn has_vendors(&self) -> bool {
        self.waiting.iter().any(|commit| commit.vendors)
    }

    /// There are, or will be, no more words of it.
    pub(super) fn worded(&mut self, item: &str) {
        self.waiting.retain(|commit| commit.item.as_deref() != Some(item));
    }

    /// Nobody writes down what is said, and what was said until now is answered.
    pub(super) fn answered(&mut self) {
        self.waiting.retain(|commit| commit.item.is_none());
    }

    /// The line of a turn, while its words are awaited.
    pub(super) fn line_of(&self, turn: u32) -> Option<usize> {
        self.waiting.iter().find(|commit| commit.turn == turn).map(|commit| commit.line)
    }

    fn trim(&mut self, now: CallTime, most: usize) {
        let mut kept = 0;
        for commit in self.waiting.iter_mut().rev() {
            kept += commit.audio.len();
            if kept > most || now.ms_since(commit.at) > WORDS_LATE_MS {
                commit.audio = Vec::new();
            }
        }
    }
}

impl CallEngine {
    /// Makes what was passed on to the model a turn of the conversation. The model must be there.
    pub(super) fn commit_audio(&mut self, rule: &str) {
        let number = self.commits.number();
        let audio = self.uplink.commit(number, &mut self.out);
        self.turn_committed(rule);
        self.note_commit(number, audio, None);
    }

    /// The last turn is one whose words are awaited. `item`: the model ended it itself, and has named it.
    pub(super) fn note_commit(&mut self, number: u32, mut audio: Vec<u8>, item: Option<&str>) {
        let turn = self.floor.committed_turn;
        // Of a longer turn the end is kept.
        audio.drain(..audio.len().saturating_sub(self.kept_bytes()));
        let line = match item {
            Some(item) => self.caller_line(item),
            None => match self.floor.listed.take_if(|(listed, _)| *listed == turn) {
                Some((_, line)) => line,
                None => self.conversation.begin(Role::Caller, ""),
            },
        };
        if item.is_none() {
            self.place_turn(line, Some(turn));
        }
        // A name takes no time: what has none by now gets none, and must not take the next one's.
        let now = self.now;
        let named =
            |commit: &Commit| commit.item.is_some() || !commit.sent || now.ms_since(commit.at) <= NAMED_WITHIN_MS;
        self.commits.waiting.retain(named);
        if self.commits.waiting.len() == COMMITS_MAX {
            self.commits.waiting.pop_front();
        }
        let (at, item) = (self.now, item.map(str::to_owned));
        let vendors = item.is_some();
        let commit = Commit { number, turn, line, at, item, vendors, audio, sent: true, again: 0 };
        self.commits.waiting.push_back(commit);
        self.trim_commits();
    }

    /// The model named the item of a turn that was committed by us. Answers which turn.
    pub(super) fn name_commit(&mut self, item: &str) -> Option<u32> {
        let known = self.conversation.find(Role::Caller, item).filter(|_| !item.is_empty());
        if known.is_some_and(|line| self.conversation.line(line).ended.is_some()) {
            // Said twice.
            return None;
        }
        let Some(commit) = self.commits.unnamed() else {
            let line = self.caller_line(item);
            self.place_turn(line, None);
            return None;
        };
        commit.item = Some(item.to_owned());
        let (turn, line) = (commit.turn, commit.line);
        self.conversation.bind(line, item);
        Some(turn)
    }

    /// The words of a turn that the model has not named as one that was committed: so this is its name.
    pub(super) fn name_by_words(&mut self, item: &str) {
        let ours = self.local.is_some() || matches!(self.settings.turn_detection, TurnDetection::Disabled { .. });
        if ours && self.commits.has_unnamed() && self.conversation.find(Role::Caller, item).is_none() {
            self.on_committed(item);
        }
    }

    /// The model did not take a commit. `number`: which, if it says so; else it is the oldest that has no name.
    pub(super) fn on_commit_refused(&mut self, number: Option<u32>) {
        let refused = |commit: &Commit| {
            commit.sent && commit.item.is_none() && number.is_none_or(|number| commit.number == number)
        };
        let waiting = self.commits.waiting.iter().enumerate().filter(|(_, commit)| refused(commit));
        let Some((index, _)) = waiting.min_by_key(|(_, commit)| commit.number) else { return };
        self.stats.count("commits_refused", 1);
        let Some(mut commit) = self.commits.waiting.remove(index) else { return };
        let turn = commit.turn;
        let answered = self.answer_waits_on(turn);
        if answered {
            self.withdraw_answer();
        }
        let can = commit.again < AGAIN_MAX && !commit.audio.is_empty() && self.session.is_ready();
        let number = self.commits.number();
        if can && self.uplink.commit_again(&commit.audio, number, &mut self.out) {
            (commit.number, commit.at) = (number, self.now);
            commit.again += 1;
            if answered {
                // The one that was refused stays one that nobody answered.
                commit.turn = self.stats.repeat_turn(turn, self.now);
                self.floor.committed_turn = commit.turn;
            }
            let turn = commit.turn;
            self.commits.waiting.insert(index, commit);
            self.emit(CallEvent::TurnSentAgain { turn, rule: "commit_refused".to_owned() });
        } else {
            self.stats.count("turns_untold", 1);
            self.uplink.clear_refused(&mut self.out);
            self.tell_session(commit.line);
        }
        if answered {
            self.ask("turn_sent_again", None);
        }
    }

    /// The words of an item are there, or will never be.
    pub(super) fn words_are_there(&mut self, item: &str) {
        self.commits.worded(item);
        if self.commits.waiting.is_empty() {
            self.uplink.let_settled_go();
        }
    }

    /// The model's session is gone: what it had not put into words is for the next one. `again`: that hears the turns of the
    /// model's own detection once more.
    pub(super) fn forget_commits(&mut self, again: bool) {
        for commit in self.commits.waiting.iter().filter(|commit| commit.vendors) {
            self.conversation.line(commit.line).ended.get_or_insert(self.now);
        }
        let last = self.floor.committed_turn;
        let is_kept = |commit: &Commit| match commit.vendors {
            true => again && commit.turn == last,
            false => !commit.audio.is_empty(),
        };
        self.commits.waiting.retain(is_kept);
        for commit in &mut self.commits.waiting {
            (commit.item, commit.sent) = (None, false);
        }
        self.trim_commits();
    }

    /// The lines of turns that the model's own detection hears once more are open until it does.
    pub(super) fn open_vendors_turns(&mut self) {
        for commit in self.commits.waiting.iter().filter(|commit| commit.vendors) {
            self.conversation.line(commit.line).ended = None;
        }
    }

    /// The model's own detection hears a turn, or has heard it: the one that it is given once more, if there is one.
    pub(super) fn speaks_again(&mut self, item: &str) {
        let Some(index) = self.commits.waiting.iter().position(|commit| commit.vendors && !commit.sent) else { return };
        if self.conversation.find(Role::Caller, item).is_some() {
            return;
        }
        let Some(commit) = self.commits.waiting.remove(index) else { return };
        self.conversation.bind(commit.line, item);
        // It begins and ends anew, and until it has ended nothing answers it. What was answered already stays a turn: the
        // answer that is still being played is none to what is heard now.
        let answered = |turn: &mut Turn| turn.response_at_ms.is_some() || turn.first_model_audio_at_ms.is_some();
        if self.floor.open_turn == 0 && !self.stats.turn(commit.turn).is_some_and(answered) {
            self.stats.close_turn(commit.turn);
        }
        if self.floor.committed_turn == commit.turn {
            self.floor.committed_turn = 0;
        }
        self.emit(CallEvent::TurnSentAgain { turn: commit.turn, rule: "model_came_back".to_owned() });
    }

    /// Gives a new session the audio of the turn that stands at this line; `None`: all that is left.
    pub(super) fn send_commits_again(&mut self, line: Option<usize>) {
        let mut waiting = std::mem::take(&mut self.commits.waiting);
        for commit in waiting
            .iter_mut()
            .filter(|commit| !commit.sent && !commit.vendors && line.is_none_or(|line| commit.line == line))
        {
            (commit.number, commit.at) = (self.commits.number(), self.now);
            commit.sent = true;
            self.uplink.commit_before(&commit.audio, commit.number, &mut self.out);
            self.emit(CallEvent::TurnSentAgain { turn: commit.turn, rule: "model_came_back".to_owned() });
        }
        self.commits.waiting = waiting;
    }

    /// When a turn's line was said.
    pub(super) fn place_turn(&mut self, line: usize, turn: Option<u32>) {
        let turn = turn.and_then(|turn| self.stats.turn(turn));
        let (begun, ended) = turn.map_or((None, None), |t| (t.speech_start_at_ms, t.speech_end_at_ms));
        let now = self.now;
        let line = self.conversation.line(line);
        line.begun = begun.map(CallTime::from_ms).or(line.begun);
        line.ended = Some(ended.map_or(now, CallTime::from_ms));
    }

    fn trim_commits(&mut self) {
        let most = self.kept_bytes();
        self.commits.trim(self.now, most);
    }

    fn kept_bytes(&self) -> usize {
        self.settings.format.bytes(Samples::from_ms(AUDIO_KEPT_MS, self.rate_hz()))
    }
}
