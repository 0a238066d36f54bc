//! The connection to the voice model: dialled when the call is announced, dialled again when it is lost, renewed at a
//! turn's edge before the vendor's limit.
//!
//! ```text
//!             Ready                  lost, can be retried          backoff over
//!  Dialling ─────────► Ready ─────────────────────────► Waiting ───────────────► Dialling
//!     │ time is up       │ old, at a turn's edge           │ not back in time
//!     └──► Waiting       └──► Dialling                     └──► Off: the call falls back
//! ```
//!
//! A new session is a new conversation: it is given what was said so far as text.

use super::*;

/// The first wait before dialling again; it doubles up to the longest.
const FIRST_BACKOFF_MS: u64 = 250;
const LONGEST_BACKOFF_MS: u64 = 4_000;
/// A session that was lost sooner than this did not last ...
const LASTING_MS: u64 = 10_000;
/// ... and after so many in a row the model counts as unreachable.
const SHORT_SESSIONS_MAX: u32 = 5;
/// The caller hears nothing for this long before the hold sound begins.
const HOLD_AFTER_MS: u64 = 800;
/// Characters kept of a reason for the report.
const REASON_MAX: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Dialling,
    Ready,
    Waiting,
    Off,
}

/// The connection to the model.
#[derive(Debug)]
pub(super) struct Session {
    state: State,
    /// Dials since it was last ready.
    attempt: u32,
    dialled_at: CallTime,
    ready_at: CallTime,
    /// What it does about turns, where that is not what it was asked to do.
    turns: Option<Turns>,
    /// The turn detection of the settings, while the model's is followed instead.
    own_detection: Option<TurnDetection>,
    /// Sessions in a row that did not last.
    short: u32,
    /// Why it was lost, last.
    reason: String,
    /// Old enough to be renewed at the next turn's edge.
    pub(super) renew_due: bool,
    /// State of the jitter's generator.
    random: u64,
}

impl Session {
    pub(super) fn new(seed: u64) -> Self {
        Session {
            state: State::Off,
            attempt: 0,
            dialled_at: CallTime::ZERO,
            ready_at: CallTime::ZERO,
            turns: None,
            own_detection: None,
            short: 0,
            reason: String::new(),
            renew_due: false,
            random: seed | 1,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Whether it is ready or being dialled.
    pub(super) fn is_coming(&self) -> bool {
        matches!(self.state, State::Ready | State::Dialling)
    }

    /// How long to wait before the next dial: doubling, with jitter of a quarter, so that many calls that lost their
    /// model together do not come back together.
    fn backoff_ms(&mut self) -> u64 {
        self.jittered(FIRST_BACKOFF_MS << self.attempt.max(self.short).saturating_sub(1).min(8))
    }

    fn jittered(&mut self, full_ms: u64) -> u64 {
        let full = full_ms.min(LONGEST_BACKOFF_MS);
        // xorshift64: jitter needs no more.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        full * 3 / 4 + self.random % (full / 4 + 1)
    }
}

impl Session {
    /// How long to wait before a response is asked for again of which so many failed; see [`backoff_ms`](Self::backoff_ms).
    pub(super) fn backoff_after(&mut self, failures: u32) -> u64 {
        self.jittered(FIRST_BACKOFF_MS << failures.saturating_sub(1).min(8))
    }
}

impl CallEngine {
    pub(super) fn dial(&mut self) {
        self.session.attempt += 1;
        self.session.state = State::Dialling;
        self.session.dialled_at = self.now;
        self.session.renew_due = false;
        self.timers.clear(Timer::ModelRenew);
        self.timers.set(Timer::ModelDial, self.now.plus_ms(self.settings.dial_timeout_ms));
        if !self.timers.is_set(Timer::ModelRecovery) {
            self.timers.set(Timer::ModelRecovery, self.now.plus_ms(self.settings.limits.model_recovery_s * 1_000));
        }
        self.emit(CallEvent::ModelDialled { attempt: self.session.attempt });
        self.out.dial_model();
    }

    pub(super) fn on_ready(&mut self, turns: Option<Turns>) {
        if self.session.state != State::Dialling {
            return;
        }
        self.session.state = State::Ready;
        self.session.attempt = 0;
        self.session.ready_at = self.now;
        let took_ms = self.now.ms_since(self.session.dialled_at);
        self.emit(CallEvent::ModelReady { took_ms });
        self.stats.model_ready_at.get_or_insert(self.now);
        for timer in [Timer::ModelDial, Timer::ModelRecovery, Timer::ModelRedial, Timer::Hold] {
            self.timers.clear(timer);
        }
        if self.settings.max_session_min > 0 {
            self.timers.set(Timer::ModelRenew, self.now.plus_ms(self.settings.max_session_min * 60_000));
        }
        if self.downlink.only_sound() {
            self.clear_line(true);
        }
        self.follow_turns(turns);
        if self.line_over_at.is_some() {
            self.send_commits_again(None);
        } else {
            self.replay_conversation();
        }
        // Words first, then the audio that waited: it is what is said now.
        self.uplink.open(&mut self.out);
        if matches!(self.phase, Phase::Talking) {
            self.greet();
        }
        self.commit_what_is_due();
        if self.commits.has_vendors() {
            // It hears the turn anew; should it hear none, it is asked.
            self.await_reply();
        }
        self.pay_owed();
        self.model_opened();
    }

    /// Whether the model answers a turn that it detects without being asked.
    pub(super) fn model_answers(&self) -> bool {
        self.session.turns.is_none_or(|turns| turns.answers)
    }

    /// Two who detect turns would answer each of them twice: a model that detects them unasked, and cannot be made not to,
    /// is followed.
    fn follow_turns(&mut self, turns: Option<Turns>) {
        self.session.turns = turns;
        let detects = turns.filter(|turns| turns.detects);
        let asked = self.session.own_detection.as_ref().unwrap_or(&self.settings.turn_detection).clone();
        let wanted = match (&asked, detects) {
            (TurnDetection::Local(_) | TurnDetection::Disabled { .. }, Some(turns)) => TurnDetection::Provider {
                threshold: 0.5,
                prefix_padding_ms: turns.prefix_ms,
                silence_duration_ms: turns.silence_ms,
            },
            _ => asked.clone(),
        };
        let follows = matches!(wanted, TurnDetection::Provider { .. }) && wanted != asked;
        if follows == self.session.own_detection.is_some() {
            return;
        }
        self.stats.count("turn_detection_followed", u64::from(follows));
        if follows {
            // What was said before is the model's to hear and to answer, and is not asked for as well. Should it hear
            // nothing in it, the caller waits for no longer than for any answer.
            let due = [self.floor.commit_due.take(), self.floor.joined.take()];
            if due.iter().any(Option::is_some) {
                self.await_reply();
            }
        }
        self.release_agent("turn_detection_changed");
        // Whoever is speaking is heard by the one who decides from now on.
        self.floor.reset();
        self.timers.clear(Timer::Pad);
        self.session.own_detection = follows.then_some(asked);
        self.uplink.follow(Self::gate(&wanted, self.settings.format));
        Arc::make_mut(&mut self.settings).turn_detection = wanted;
        self.local = Self::own_ears(&self.settings);
    }

    pub(super) fn on_closed(&mut self, reason: &str, retry: bool) {
        if matches!(self.session.state, State::Off | State::Waiting) {
            return;
        }
        self.session.reason = reason[..reason.floor_char_boundary(REASON_MAX)].to_owned();
        self.emit(CallEvent::ModelLost { reason: self.session.reason.clone(), retry });
        self.stats.count("model_losses", 1);
        let was_ready = self.session.is_ready();
        self.session.state = State::Waiting;
        self.model_shut();
        self.timers.clear(Timer::ModelDial);
        self.timers.clear(Timer::ModelRenew);
        let again = was_ready && self.let_session_go();
        if was_ready {
            self.drop_session_state(again);
        }
        if !retry {
            let why = self.session.reason.clone();
            self.fail(EndReason::ModelUnavailable { why });
            return;
        }
        if matches!(self.phase, Phase::Closing(_) | Phase::Transcribing(_)) {
            self.reply.owed = None;
            // Nothing more is said; but what the caller said may still be written down by another.
            if !self.needs_words() {
                self.hang_up_model();
                return;
            }
        }
        if was_ready {
            let lasted = self.now.ms_since(self.session.ready_at) >= LASTING_MS;
            self.session.short = if lasted { 0 } else { self.session.short + 1 };
            if self.session.short > SHORT_SESSIONS_MAX {
                let why = self.session.reason.clone();
                self.fail(EndReason::ModelUnavailable { why });
                return;
            }
        }
        let backoff_ms = self.session.backoff_ms();
        // The first redial of a session that worked needs no wait: most losses are single.
        let wait_ms = if was_ready && self.session.short <= 1 { 0 } else { backoff_ms };
        self.timers.set(Timer::ModelRedial, self.now.plus_ms(wait_ms.max(1)));
        if !self.timers.is_set(Timer::ModelRecovery) {
            self.timers.set(Timer::ModelRecovery, self.now.plus_ms(self.settings.limits.model_recovery_s * 1_000));
        }
        // Counted from the loss, however many dials fail after it.
        if !self.timers.is_set(Timer::Hold) && self.line_over_at.is_none() {
            self.timers.set(Timer::Hold, self.now.plus_ms(HOLD_AFTER_MS));
        }
    }

    pub(super) fn on_dial_timeout(&mut self) {
        self.out.close_model();
        let reason = format!("no session within {} ms", self.settings.dial_timeout_ms);
        self.on_closed(&reason, true);
    }

    pub(super) fn on_recovery_timeout(&mut self) {
        let why = match self.session.reason.as_str() {
            "" => format!("no session within {} s", self.settings.limits.model_recovery_s),
            reason => reason.to_owned(),
        };
        self.fail(EndReason::ModelUnavailable { why });
    }

    /// The line is up; unless the model is too, the caller waits.
    pub(super) fn expect_model(&mut self) {
        if !self.session.is_ready() {
            self.timers.set(Timer::Hold, self.now.plus_ms(HOLD_AFTER_MS));
        }
    }

    /// The model is away: the caller hears that the line is not dead.
    pub(super) fn on_hold_due(&mut self) {
        if self.session.is_ready() || !matches!(self.phase, Phase::Talking) || self.answering.is_deaf() {
            return;
        }
        let Some(sound) = self.settings.hold_sound.clone() else { return };
        if self.downlink.is_drained() {
            self.play(ItemKind::Sound, &sound, "hold");
        }
        self.timers.set(Timer::Hold, self.now.plus_ms(HOLD_AFTER_MS / 4));
    }

    /// A session that is old is renewed when nobody is in the middle of anything.
    pub(super) fn renew_at_edge(&mut self) {
        let idle = self.session.renew_due
            && self.session.is_ready()
            && matches!(self.phase, Phase::Talking)
            && !self.floor.is_speaking()
            && !self.reply.is_running()
            && self.reply.awaiting.is_none()
            && self.reply.owed.is_none()
            // A new session would not know what the old one has called.
            && !self.tools.excuse_silence()
            // What the old one is writing down would be for the new one to do.
            && !self.commits.awaits_words(self.now)
            && self.downlink.is_drained();
        if idle {
            self.stats.count("sessions_renewed", 1);
            let again = self.let_session_go();
            self.drop_session_state(again);
            self.model_shut();
            self.session.attempt = 0;
            self.dial();
        }
    }

    /// Nothing more is expected of the model.
    pub(super) fn hang_up_model(&mut self) {
        if self.session.state != State::Off {
            self.model_shut();
            self.session.state = State::Off;
            self.out.close_model();
        }
        self.uplink.stop();
        self.reply.forget_session();
        self.reply.owed = None;
        for timer in [Timer::ModelDial, Timer::ModelRedial, Timer::ModelRecovery, Timer::ModelRenew, Timer::Hold] {
            self.timers.clear(timer);
        }
    }

    /// The model has nothing more to say; its session is kept as long as words of the caller may come of it.
    pub(super) fn let_model_go(&mut self) {
        if !self.needs_words() {
            self.hang_up_model();
            return;
        }
        self.cancel_running();
        self.reply.owed = None;
        for timer in [Timer::ModelRenew, Timer::Hold] {
            self.timers.clear(timer);
        }
    }

    /// The same, but one that is not there is not waited for.
    pub(super) fn let_failed_model_go(&mut self) {
        if self.session.is_ready() { self.let_model_go() } else { self.hang_up_model() }
    }

    /// Whether there is a session, or will be one.
    pub(super) fn is_hoped_for(&self) -> bool {
        self.session.state != State::Off
    }

    /// Replaces a line that the session knows as text by what was heard of it.
    pub(super) fn replace_in_session(&mut self, index: usize) {
        let line = self.conversation.line(index);
        if !std::mem::take(&mut line.ours) || !self.session.is_ready() {
            return;
        }
        self.out.model(OwnedCommand::Delete { item: line_id(index) });
        if let Some(text) = line.for_replay() {
            line.ours = true;
            let id = Some(line_id(index));
            self.out.model(OwnedCommand::Add { role: Role::Agent, text, id, first: index == 0 });
        }
    }

    /// A line that came about outside of the session is made known to it; a later one is told by replay.
    pub(super) fn tell_session(&mut self, index: usize) {
        if !self.session.is_ready() {
            return;
        }
        let line = self.conversation.line(index);
        if let Some(text) = line.for_replay() {
            line.ours = true;
            let (role, id) = (line.who, Some(line_id(index)));
            self.out.model(OwnedCommand::Add { role, text, id, first: false });
        }
    }

    /// The session takes no audio any more. Answers whether the next one, which detects turns itself, is given the last turn
    /// once more: nobody has answered it, and its words are not known.
    fn let_session_go(&mut self) -> bool {
        let unanswered = !self.reply.is_audible()
            && (self.reply.is_running() || self.reply.awaiting.is_some() || self.reply.owed.is_some());
        self.uplink.close(unanswered && self.commits.has_vendors())
    }

    /// What the lost session would have gone on with is owed by the next one. `again`: it will go on with it by itself.
    fn drop_session_state(&mut self, again: bool) {
        self.downlink.complete_last();
        self.downlink.forget_model();
        self.forget_session_locally(again);
        self.conversation.forget_session();
        self.open_vendors_turns();
        let owes = self.reply.is_running() || self.reply.awaiting.is_some() || self.reply.owed.is_some();
        self.reply.forget_session();
        let takes_the_floor = self.floor.is_speaking() && !self.local.as_ref().is_some_and(Local::is_in_doubt);
        if owes && !takes_the_floor && !again {
            self.owe("model_came_back", None);
        }
        self.timers.clear(Timer::ModelSilent);
        self.timers.clear(Timer::ModelRetry);
        // Our own ears go on hearing what is being said.
        if self.local.is_none() {
            self.floor.reset();
            self.timers.clear(Timer::Interrupt);
            self.timers.clear(Timer::Pad);
        }
    }

    pub(super) fn replay_conversation(&mut self) {
        if self.conversation.is_empty() {
            return;
        }
        let mut lines = 0;
        let mut commands = Vec::new();
        for (index, line, text) in self.conversation.replay() {
            lines += 1;
            if self.commits.is_due_again(index) {
                // Its words are not known, and what was said is.
                commands.push(Err(index));
                continue;
            }
            line.ours = true;
            let id = Some(line_id(index));
            commands.push(Ok(OwnedCommand::Add { role: line.who, text, id, first: false }));
        }
        for command in commands {
            match command {
                Ok(command) => self.out.model(command),
                Err(line) => self.send_commits_again(Some(line)),
            }
        }
        self.send_commits_again(None);
        self.emit(CallEvent::ConversationReplayed { lines });
    }
}

/// The id under which a line of the conversation is an item of our making.
fn line_id(index: usize) -> String {
    format!("line_{index}")
}
