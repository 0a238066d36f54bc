//! What goes into a conversation and what comes out.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::failover::Failure;
use super::handoff::{Holder, Reason};
use super::model::{Ask, ModelError, ModelEvent};
use super::row::{CutOff, From, GivenBy, Row, State};
use super::settings::TalkSettings;
use crate::config::{HttpTool, TextModel};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// From the visitor.
    Visitor(Visitor),
    /// From a model, on a request.
    Model(AskId, Result<ModelEvent, ModelError>),
    /// A tool that was run has come to its end.
    Tool(ToolId, ToolResult),
    /// From people of the team.
    Team(Team),
    /// It has to end.
    Close(EndWhy),
    /// A deadline has passed.
    Tick,
}

/// What a visitor does.
#[derive(Clone, Debug)]
pub enum Visitor {
    /// Says something.
    Message {
        /// The visitor's own id for it, 1–64 characters: sent again with the same id it is the same message.
        id: Arc<str>,
        /// 1–4,000 characters.
        text: Arc<str>,
        /// What is in force now.
        settings: Arc<TalkSettings>,
    },
    /// "Try again".
    Retry {
        /// The visitor's own id for this, as of a message.
        id: Arc<str>,
        /// The answer that failed or was cut off; or a message that has no answer.
        of: u64,
        /// What is in force now.
        settings: Arc<TalkSettings>,
    },
    /// "Stop": ends the answer that is being given.
    Stop,
    /// Asks for a person.
    AskPerson,
}

/// What people of the team do (BEYOND-22).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Team {
    /// Hands the conversation to the team; nobody has taken it by that.
    HandOff {
        /// Who does.
        name: Arc<str>,
        /// Why.
        reason: Reason,
    },
    /// Takes it; from another person, too.
    Take {
        /// Who does, as the visitor is told.
        name: Arc<str>,
    },
    /// Answers.
    Say {
        /// The person's own id for it, as of a visitor's message.
        id: Arc<str>,
        /// Who does: whoever has taken the conversation.
        name: Arc<str>,
        /// 1–4,000 characters.
        text: Arc<str>,
    },
    /// Gives it back to the agent.
    GiveBack,
}

/// Names one request. They grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u32);

/// Names one run of a tool. They grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolId(pub u32);

/// What a tool came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolResult {
    /// Its answer.
    Output {
        /// Text or JSON; what is too long is cut.
        text: String,
        /// Documents that it rests on (AGT-04).
        sources: Vec<Arc<str>>,
    },
    /// It failed, in words for the model.
    Failed(String),
}

/// Something to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Ask a model; its events come back with this id.
    Ask {
        /// The request.
        id: AskId,
        /// Whom.
        model: Arc<TextModel>,
        /// What.
        ask: Box<Ask>,
    },
    /// Close a request's connection: its answer is of no use any more.
    Cancel(AskId),
    /// Run a tool.
    RunTool {
        /// The run.
        id: ToolId,
        /// The tool.
        name: Arc<str>,
        /// Where it is asked; `None`: the name says.
        http: Option<Arc<HttpTool>>,
        /// JSON that meets the tool's schema.
        arguments: Arc<str>,
    },
    /// Let go of a tool that runs.
    CancelTool(ToolId),
    /// Write a row, before whatever follows.
    Persist(Box<Row>),
    /// Answer who sent a message or asked to try again.
    Reply(Reply),
    /// Show the visitor, wherever the conversation is open.
    Deliver(Event),
    /// Tell the operator's side: webhooks, numbers, the inbox.
    Tell(Notice),
    /// Nothing follows.
    End(EndWhy),
}

/// The answer to a message, to a person's answer or to "Try again".
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The sender's own id.
    pub client: Arc<str>,
    /// What became of it.
    pub outcome: Result<Accepted, Refused>,
}

/// It is part of the conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// Its place: of a message, or of the answer that is tried again.
    pub message: u64,
    /// It was known already: nothing was done.
    pub again: bool,
    /// What was answered to it already, if anything was.
    pub answer: Option<Box<Said>>,
}

/// It is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub code: RefusedCode,
    /// Whole seconds after which it may be sent again, where that helps.
    pub wait_s: Option<u64>,
}

/// Why something is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedCode {
    /// The id has no or too many characters.
    Id,
    /// The text has none or too many.
    Length,
    /// More in a minute than a visitor may send.
    TooQuick,
    /// As many messages as may wait for an answer do.
    Busy,
    /// There is no answer that could be asked for again.
    NothingToRetry,
    /// Who answers has not taken the conversation.
    NotTaken,
}

impl RefusedCode {
    /// Its stable name, as an HTTP status, and what people are told.
    pub fn words(self) -> (&'static str, u16, &'static str) {
        match self {
            RefusedCode::Id => ("message_id", 422, "A message's id has 1 to 64 characters."),
            RefusedCode::Length => ("message_length", 422, "A message has 1 to 4,000 characters."),
            RefusedCode::TooQuick => ("too_quick", 429, "You are sending messages too quickly."),
            RefusedCode::Busy => ("answer_running", 409, "Please wait for the answer."),
            RefusedCode::NothingToRetry => ("nothing_to_retry", 409, "There is nothing to try again."),
            RefusedCode::NotTaken => ("not_taken", 409, "Take the conversation before you answer."),
        }
    }
}

/// Something that the visitor is shown. Ids grow by one; who comes back says the last one seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Its id, from 1. A conversation that was restored goes on far above what it had given out.
    pub id: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What a visitor is shown. As JSON it has nothing that is for operators only.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// Somebody said something whole.
    Said(Said),
    /// An answer is under way.
    Began {
        /// Its place.
        message: u64,
        /// The last message that it answers.
        answers: u64,
        /// The answer in place of which it was asked for.
        again_of: Option<u64>,
    },
    /// More of it.
    Delta {
        /// Its place.
        message: u64,
        /// To be appended.
        text: Arc<str>,
    },
    /// The agent works on it with a tool, or does no more.
    Tool {
        /// Its place.
        message: u64,
        /// The tool; `None`: which it is stays unsaid (INT-03).
        tool: Option<Arc<str>>,
        /// Whether it begins; else it has ended.
        running: bool,
    },
    /// It is whole.
    Complete {
        /// Its place.
        message: u64,
        /// Documents that it rests on.
        sources: Vec<Arc<str>>,
        /// Who gave it: for operators only.
        #[serde(skip)]
        by: GivenBy,
    },
    /// The rest of it is missing.
    CutOff {
        /// Its place.
        message: u64,
        /// Why.
        why: CutOff,
        /// Whether it can be asked for again.
        again: bool,
    },
    /// Nothing came of it.
    Failed {
        /// Its place.
        message: u64,
        /// [`super::failover::LINE`].
        words: &'static str,
        /// Whether it can be asked for again.
        again: bool,
    },
    /// Who has the conversation.
    HandOff {
        /// Who.
        hand: Holder,
    },
    /// The conversation is over.
    Ended {
        /// Why.
        why: EndWhy,
    },
}

/// Something that was said, whole or as much of it as there is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Said {
    /// Its place.
    pub message: u64,
    /// Who said it.
    pub from: From,
    /// What.
    pub text: Arc<str>,
    /// Whether that is all.
    pub state: State,
    /// The sender's own id.
    pub client: Option<Arc<str>>,
    /// Documents that it rests on.
    pub sources: Vec<Arc<str>>,
}

/// Something for the operator's side.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A request failed. The words are the vendor's.
    ModelFailed {
        /// The answer's place.
        message: u64,
        /// The model's name.
        model: Arc<str>,
        /// What kind of failure.
        failure: Failure,
        /// On one line.
        words: String,
    },
    /// The backup is asked in place of the primary (`failover.happened`).
    Failover {
        /// The answer's place.
        message: u64,
        /// The primary.
        from: Arc<str>,
        /// The backup.
        to: Arc<str>,
        /// Why.
        why: super::row::Why,
    },
    /// A model is left alone from now on.
    BreakerOpened {
        /// The model's name.
        model: Arc<str>,
    },
    /// It is asked again.
    BreakerClosed {
        /// The model's name.
        model: Arc<str>,
    },
    /// The team is asked to take over (`handoff.requested`).
    HandOffRequested {
        /// Why.
        reason: Reason,
        /// Who asked: `visitor`, `agent` or a person's name.
        by: Arc<str>,
    },
    /// Nobody came; the agent goes on.
    HandOffExpired,
    /// The conversation is over (`conversation.ended`).
    Ended {
        /// Why.
        why: EndWhy,
    },
}

/// Why a conversation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndWhy {
    /// The visitor began another.
    Visitor,
    /// A person of the team ended it.
    Team,
    /// Nobody wrote for too long.
    Idle,
    /// Access was lost, or the key is another.
    Revoked,
    /// It is let go of and not over: the server ends, or its memory is needed. It goes on where it is restored.
    LetGo,
}

impl EndWhy {
    /// A short stable name.
    pub fn name(self) -> &'static str {
        match self {
            EndWhy::Visitor => "visitor",
            EndWhy::Team => "team",
            EndWhy::Idle => "idle",
            EndWhy::Revoked => "revoked",
            EndWhy::LetGo => "let_go",
        }
    }
}
