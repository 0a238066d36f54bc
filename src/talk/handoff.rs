//! Who has the conversation: the agent, nobody yet, or a person (BEYOND-22).
//!
//! ```text
//!          visitor, agent or operator asks                a person takes it
//!  Agent ─────────────────────────────────► Waiting ────────────────────────► Person
//!    ▲                                         │                                │  ▲
//!    │         nobody came in time             │                                │  │ another
//!    ├─────────────────────────────────────────┘                                └──┘ takes it
//!    └───────────────────────── a person gives it back ─────────────────────────┘
//! ```
//!
//! A person may take it from the agent directly. While it is not the agent's no model is asked for a new answer; an answer under
//! way goes on while somebody is awaited, and is cut off when somebody comes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::commons::Commons;
use super::conversation::Conversation;
use super::history::Sender;
use super::io::{Accepted, Action, Notice, Refused, RefusedCode, Reply, Team, What};
use super::row::{CutOff, From, Row, State};
use super::timer::Timer;

/// Who has a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Hand {
    /// *AI*.
    #[default]
    Agent,
    /// *Waiting for human*.
    Waiting {
        /// Why.
        reason: Reason,
    },
    /// A person, by name.
    Person {
        /// As visitors are told.
        name: Arc<str>,
    },
}

/// The same, as visitors see it: why somebody is awaited is not theirs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Holder {
    /// The agent.
    Agent,
    /// Nobody yet.
    Waiting,
    /// A person.
    Person {
        /// By name.
        name: Arc<str>,
    },
}

impl Holder {
    pub(super) fn of(hand: &Hand) -> Holder {
        match hand {
            Hand::Agent => Holder::Agent,
            Hand::Waiting { .. } => Holder::Waiting,
            Hand::Person { name } => Holder::Person { name: Arc::clone(name) },
        }
    }
}

/// Why a conversation is handed to the team: a fixed list, so that reasons can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The visitor wants a person.
    Asked,
    /// The agent does not know.
    Unknown,
    /// The agent may not.
    NotAllowed,
    /// A tool did not do what was needed.
    ToolFailed,
    /// The visitor complains.
    Complaint,
    /// It cannot wait.
    Urgent,
    /// It has to be found out who the visitor is.
    Identity,
    /// It is about money.
    Payment,
    /// Somebody wants to buy.
    Sales,
    /// Anything else.
    Other,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 10] = [
        Reason::Asked,
        Reason::Unknown,
        Reason::NotAllowed,
        Reason::ToolFailed,
        Reason::Complaint,
        Reason::Urgent,
        Reason::Identity,
        Reason::Payment,
        Reason::Sales,
        Reason::Other,
    ];

    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Asked => "asked",
            Reason::Unknown => "unknown",
            Reason::NotAllowed => "not_allowed",
            Reason::ToolFailed => "tool_failed",
            Reason::Complaint => "complaint",
            Reason::Urgent => "urgent",
            Reason::Identity => "identity",
            Reason::Payment => "payment",
            Reason::Sales => "sales",
            Reason::Other => "other",
        }
    }

    /// The reason of a name; what is none of the list is another.
    pub fn named(name: &str) -> Reason {
        Reason::ALL.into_iter().find(|reason| reason.name() == name).unwrap_or(Reason::Other)
    }
}

impl Conversation {
    pub(super) fn on_team(&mut self, team: Team, commons: &mut Commons) {
        match team {
            Team::HandOff { name, reason } => self.ask_for_person(reason, &name),
            Team::Take { name } => self.take(name, commons),
            Team::Say { id, name, text } => self.person_says(&id, name, &text),
            Team::GiveBack if self.hand == Hand::Agent => self.count("hand_offs_of_no_use"),
            Team::GiveBack => self.give_back(commons),
        }
    }

    /// Asks the team to take over; `by`: who does.
    pub(super) fn ask_for_person(&mut self, reason: Reason, by: &str) {
        if self.hand != Hand::Agent {
            return self.count("hand_offs_of_no_use");
        }
        self.change_hands(Hand::Waiting { reason });
        self.out.push_back(Action::Tell(Notice::HandOffRequested { reason, by: by.into() }));
        self.await_person();
    }

    /// Somebody must come in time.
    pub(super) fn await_person(&mut self) {
        match self.settings.limits.hand_off_s {
            0 => self.rest(),
            wait_s => {
                self.timers.clear(Timer::Idle);
                self.timers.set(Timer::HandOff, self.now.plus_ms(wait_s * 1_000));
            }
        }
    }

    pub(super) fn on_nobody_came(&mut self, commons: &mut Commons) {
        self.out.push_back(Action::Tell(Notice::HandOffExpired));
        self.give_back(commons);
    }

    fn take(&mut self, name: Arc<str>, commons: &mut Commons) {
        let hand = Hand::Person { name };
        if self.hand == hand {
            return self.count("hand_offs_of_no_use");
        }
        self.timers.clear(Timer::HandOff);
        // Before the answer ends, so that none follows it.
        self.hand = hand.clone();
        self.cut_off(CutOff::Taken, commons);
        self.change_hands(hand);
        self.rest();
    }

    fn person_says(&mut self, id: &Arc<str>, name: Arc<str>, text: &str) {
        let refuse = match self.known_or_wrong(Sender::Team, id, text, self.settings.limits.message_chars) {
            Err(outcome) => return self.reply(id, outcome),
            Ok(()) => self.hand != Hand::Person { name: Arc::clone(&name) },
        };
        if refuse {
            return self.refuse(id, RefusedCode::NotTaken, None);
        }
        let seq = self.history.place();
        self.history.know(Sender::Team, id, seq);
        self.waiting = 0;
        self.put_said(seq, From::Person(name), text, Some(id));
        self.reply(id, Ok(Accepted { message: seq, again: false, answer: None }));
        self.rest();
    }

    fn give_back(&mut self, commons: &mut Commons) {
        self.timers.clear(Timer::HandOff);
        self.change_hands(Hand::Agent);
        self.next_answer(commons);
    }

    fn change_hands(&mut self, hand: Hand) {
        self.hand = hand.clone();
        let event = self.log.push(What::HandOff { hand: Holder::of(&hand) });
        let (seq, from) = (self.history.place(), From::HandOff(hand));
        let row = Row { seq, event: event.id, from, text: "".into(), client: None, state: State::Whole, answer: None };
        self.put(row);
        self.out.push_back(Action::Deliver(event));
    }

    /// Answers who sent something that it is not taken in.
    pub(super) fn refuse(&mut self, id: &Arc<str>, code: RefusedCode, wait_s: Option<u64>) {
        self.count("messages_refused");
        self.reply(id, Err(Refused { code, wait_s }));
    }

    pub(super) fn reply(&mut self, id: &Arc<str>, outcome: Result<Accepted, Refused>) {
        self.out.push_back(Action::Reply(Reply { client: Arc::clone(id), outcome }));
    }
}
