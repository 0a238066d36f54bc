//! Who picked up a call that was placed, and what follows from it.
//!
//! ```text
//!              a short utterance, the carrier's word, nobody can tell
//!  Undecided ──────────────────────────────────────────────────────────► Person ──► Settled
//!     │ a monologue, a beep, the carrier's word                            │ a beep, the carrier's word
//!     ▼                                                                    │
//!  on_machine: the call ends, or goes on as with a person, or   ◄──────────┘
//!     ▼
//!  Machine ── its greeting is over, or the time for it ──► Leaving: the message, then the way out
//! ```
//!
//! While undecided the agent is silent and **deaf** (unless it need not wait): what is said goes to nobody, since a
//! machine's greeting is no turn and a person's "hello?" is answered by the agent's greeting. It is deaf to a machine
//! too: nothing interrupts the message.

use super::*;
use crate::config::{AfterFailure, OnMachine, Outbound, Spoken};
use crate::ears::answering::{AnsweredBy, Finding};
use crate::engine::report::Answered;

/// Somebody speaks when the time to decide is up: the ears know more within this, after a monologue's length.
const SPEAKS_MS: u64 = 2_500;
/// From the beginning of media; a machine that was taken for a person can be told by its beep until then.
const LATE_MS: u64 = 60_000;
/// How long the model may take over the message.
const MESSAGE_MS: u64 = 90_000;

/// What is known of who picked up.
#[derive(Debug, Default)]
pub(super) struct Answering {
    stage: Stage,
    /// The agent is silent until it is known.
    waits: bool,
    /// The carrier was quicker than the line.
    early: Option<AnsweredBy>,
    since: CallTime,
    /// The message is what the agent said from this line of the conversation on.
    message_from: usize,
    pub(super) answered: Option<Answered>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nobody asks.
    #[default]
    Off,
    Undecided,
    /// A person, as far as can be told.
    Person,
    /// A machine whose greeting is waited out.
    Machine,
    Leaving,
    /// Nothing that is heard changes it any more.
    Settled,
}

impl Answering {
    /// Whether the agent hears nothing, and says nothing but a message.
    pub(super) fn is_deaf(&self) -> bool {
        match self.stage {
            Stage::Undecided => self.waits,
            Stage::Machine | Stage::Leaving => true,
            Stage::Off | Stage::Person | Stage::Settled => false,
        }
    }
}

impl CallEngine {
    /// Tells ears that do not hear for themselves what the next audio tells of who picked up; see [`CallEngine::told`].
    pub fn tell_found(&mut self, finding: Finding) {
        self.hearing.tell_found(finding);
    }

    /// Somebody picked up.
    pub(super) fn await_answer(&mut self) {
        let Some(outbound) = &self.settings.outbound else { return };
        if outbound.detect == crate::config::Detect::Off {
            return;
        }
        let wait_ms = outbound.decide_within_ms;
        self.answering.waits = outbound.wait_for_human;
        self.answering.stage = Stage::Undecided;
        self.answering.since = self.now;
        self.timers.set(Timer::Answering, self.now.plus_ms(wait_ms));
        self.set_deaf(self.answering.waits);
        if let Some(by) = self.answering.early.take() {
            self.on_answered_by(by);
        }
    }

    pub(super) fn on_found(&mut self, finding: Finding) {
        if !matches!(self.phase, Phase::Talking) {
            return;
        }
        match (finding, self.answering.stage) {
            (Finding::Speaks, Stage::Undecided) => {
                let monologue_ms = self.settings.outbound.as_ref().map_or(0, |outbound| outbound.monologue_ms.into());
                self.timers.set(Timer::Answering, self.now.plus_ms(monologue_ms + SPEAKS_MS));
            }
            (Finding::Human, Stage::Undecided) => self.on_person("human", "short_utterance"),
            (Finding::Machine, Stage::Undecided) => self.on_machine("monologue"),
            (Finding::Beep, Stage::Undecided | Stage::Person) => {
                self.on_machine("beep");
                self.on_machine_ended("beep");
            }
            (Finding::Beep, Stage::Machine) => self.on_machine_ended("beep"),
            (Finding::Quiet, Stage::Machine) => self.on_machine_ended("quiet"),
            _ => {}
        }
    }

    pub(super) fn on_answered_by(&mut self, by: AnsweredBy) {
        match (by, self.answering.stage) {
            _ if matches!(self.phase, Phase::Ringing { .. }) => self.answering.early = Some(by),
            _ if !matches!(self.phase, Phase::Talking) => self.stats.count("answered_by_ignored", 1),
            (AnsweredBy::Human, Stage::Undecided) => self.on_person("human", by.name()),
            (AnsweredBy::Unknown, Stage::Undecided) => self.on_person("unknown", by.name()),
            (AnsweredBy::Fax, Stage::Undecided | Stage::Person | Stage::Machine) => {
                self.note_answer("fax", by.name());
                self.give_up_on_answer(EndReason::Fax);
            }
            (AnsweredBy::MachineStart, Stage::Undecided | Stage::Person) => self.on_machine(by.name()),
            (
                AnsweredBy::MachineEndBeep | AnsweredBy::MachineEndSilence | AnsweredBy::MachineEndOther,
                Stage::Undecided | Stage::Person | Stage::Machine,
            ) => {
                if self.answering.stage != Stage::Machine {
                    self.on_machine(by.name());
                }
                self.on_machine_ended(by.name());
            }
            _ => self.stats.count("answered_by_ignored", 1),
        }
    }

    pub(super) fn on_answering_due(&mut self) {
        match self.answering.stage {
            Stage::Undecided => self.on_person("unknown", "decide_within_ms"),
            Stage::Machine => self.on_machine_ended("beep_timeout_ms"),
            Stage::Person => self.settle_answer(),
            Stage::Off | Stage::Leaving | Stage::Settled => {}
        }
    }

    /// The last words were a message: whether all of it was heard is known now.
    pub(super) fn with_message(&self, reason: EndReason) -> EndReason {
        if !matches!(reason, EndReason::Voicemail { .. }) {
            return reason;
        }
        EndReason::Voicemail { left: self.conversation.is_heard_from(self.answering.message_from) }
    }

    /// The conversation begins.
    fn on_person(&mut self, who: &str, rule: &str) {
        self.note_answer(who, rule);
        self.answering.stage = Stage::Person;
        let until = self.answering.since.plus_ms(LATE_MS);
        self.timers.set(Timer::Answering, until.max(self.now.plus_ms(1)));
        self.converse();
    }

    fn on_machine(&mut self, rule: &str) {
        self.note_answer("machine", rule);
        match self.settings.outbound.as_ref().map(|outbound| &outbound.on_machine) {
            None | Some(OnMachine::HangUp) => self.give_up_on_answer(EndReason::AnsweringMachine),
            Some(OnMachine::Continue) => {
                self.settle_answer();
                self.converse();
            }
            Some(OnMachine::Say(_) | OnMachine::Play(_)) => {
                self.answering.stage = Stage::Machine;
                self.fall_silent();
                let beep_timeout_ms = self.settings.outbound.as_ref().map_or(0, |outbound| outbound.beep_timeout_ms);
                self.timers.set(Timer::Answering, self.now.plus_ms(beep_timeout_ms));
            }
        }
    }

    /// The machine records from here.
    fn on_machine_ended(&mut self, rule: &str) {
        if self.answering.stage != Stage::Machine || !matches!(self.phase, Phase::Talking) {
            return;
        }
        self.emit(CallEvent::MachineEnded { rule: rule.to_owned() });
        let message = self.settings.outbound.as_ref().map(|outbound: &Outbound| outbound.on_machine.clone());
        self.settle_answer();
        self.answering.stage = Stage::Leaving;
        self.answering.message_from = self.conversation.len();
        self.close(EndReason::Voicemail { left: false }, AfterFailure::HangUp);
        match message {
            // A model that is away would say it too late, and silence is what the machine would record.
            Some(OnMachine::Say(_)) if !self.session.is_coming() => self.leave(),
            Some(OnMachine::Say(text)) => {
                let text = self.worded(&text);
                let instructions =
                    format!("An answering machine records now. Say exactly this and nothing else: \"{text}\"");
                self.timers.set(Timer::Farewell, self.now.plus_ms(MESSAGE_MS));
                self.ask("message", Some(instructions));
            }
            Some(OnMachine::Play(sound)) => {
                self.play(ItemKind::Line, &sound, "message");
                self.give_time_for_what_waits();
            }
            _ => {}
        }
    }

    fn note_answer(&mut self, who: &str, rule: &str) {
        self.emit(CallEvent::AnsweredBy { who: who.to_owned(), rule: rule.to_owned() });
        let at_ms = self.now.as_ms();
        self.answering.answered = Some(Answered { at_ms, who: who.to_owned(), rule: rule.to_owned() });
    }

    /// Nobody is there to talk to.
    fn give_up_on_answer(&mut self, reason: EndReason) {
        self.settle_answer();
        self.answering.stage = Stage::Leaving;
        self.fall_silent();
        self.close(reason, AfterFailure::HangUp);
    }

    fn settle_answer(&mut self) {
        self.answering.stage = Stage::Settled;
        self.timers.clear(Timer::Answering);
        self.hearing.stop_listening_for_answer();
    }

    /// The agent stops whatever it was about to say, and hears nothing.
    fn fall_silent(&mut self) {
        self.call_off_errand();
        if self.agent_has_the_floor() {
            self.stop_agent("answering_machine");
        } else if !self.downlink.is_drained() {
            self.clear_line(true);
        }
        self.reply.owed = None;
        self.caller_took_the_floor();
        self.forget_open_turn("answering_machine");
        self.set_deaf(true);
    }

    fn converse(&mut self) {
        if !self.answering.waits {
            return;
        }
        self.answering.waits = false;
        self.set_deaf(false);
        self.forget_open_turn("answered");
        self.expect_model();
        self.disclaim();
        self.greet();
        if matches!(self.settings.greeting, Spoken::None) && self.settings.disclaimer.is_none() {
            // Who picks up waits for whoever has called.
            self.ask("answered", None);
        }
    }

    fn set_deaf(&mut self, deaf: bool) {
        self.uplink.muted = deaf;
    }
}
