//! What goes into the engine and what comes out.
//!
//! Inputs borrow what they carry; actions borrow from the engine until the next is polled, so that audio is never
//! copied into a message of its own.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::base::time::Samples;
use crate::config::Budget;
use crate::ears::answering::{AnsweredBy, Finding};
use crate::ears::vad::Step;
use crate::engine::event::{CallEvent, EffectResult, EndReason, Role, TransferOutcome};

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input<'a> {
    /// From the line.
    Caller(CallerEvent<'a>),
    /// From the voice model.
    Model(ModelEvent<'a>),
    /// An effect that was asked for has come to its end.
    Effect(EffectId, EffectResult),
    /// From the operator.
    Control(Control),
    /// A deadline has passed.
    Tick,
}

/// What the line reports.
#[derive(Clone, Debug, PartialEq)]
pub enum CallerEvent<'a> {
    /// The media stream has begun; audio may flow both ways.
    Started,
    /// Caller audio in the line's format.
    Audio {
        /// The line's own clock: milliseconds of media since the stream began.
        at_ms: u64,
        /// Whole samples, any amount.
        payload: &'a [u8],
    },
    /// A key was pressed: `0`–`9`, `*`, `#`, `A`–`D`.
    Dtmf(char),
    /// A mark came back: everything before it was played, or was cleared.
    MarkPlayed(MarkId),
    /// The stream ended: the caller hung up, unless the line is lent to the carrier.
    StreamEnded,
    /// The carrier says that the call is over: the caller hung up.
    HungUp,
    /// The line's socket died without a word.
    Lost,
}

/// What the voice model reports, in the terms of the OpenAI Realtime API, by whichever vendor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ModelEvent<'a> {
    /// The session is set up; the conversation may go on.
    Ready {
        /// The vendor's session id.
        #[serde(borrow)]
        session: Cow<'a, str>,
        /// Who detects turns and answers them, where that is not as it was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        turns: Option<Turns>,
    },
    /// The far end is not as it was asked to be; the call goes on.
    NotAsAsked {
        /// What it is or does instead, and what is made of that.
        #[serde(borrow)]
        what: Cow<'a, str>,
    },
    /// The connection could not be made, or has ended.
    Closed {
        /// For the report: the close code, HTTP status or error text.
        #[serde(borrow)]
        reason: Cow<'a, str>,
        /// Whether trying again can help (false for a wrong key, no quota, an unknown model).
        retry: bool,
    },
    /// The vendor's VAD heard speech begin.
    SpeechStarted {
        /// The user item that will come of it.
        #[serde(borrow)]
        item: Cow<'a, str>,
        /// Offset in the audio appended to this session, prefix padding included.
        audio_start_ms: u64,
    },
    /// The vendor's VAD heard speech end.
    SpeechStopped {
        /// The user item that will come of it.
        #[serde(borrow)]
        item: Cow<'a, str>,
        /// Offset in the audio appended to this session, the silence that ended it included.
        audio_end_ms: u64,
    },
    /// The caller's turn is in the conversation.
    Committed {
        /// The user item.
        #[serde(borrow)]
        item: Cow<'a, str>,
    },
    /// Words of the caller.
    CallerTranscript {
        /// The user item.
        #[serde(borrow)]
        item: Cow<'a, str>,
        /// A further piece when not `done`, else the whole.
        #[serde(borrow)]
        text: Cow<'a, str>,
        /// Whether this is the final transcript of the item.
        done: bool,
    },
    /// There will be no words of a turn of the caller: they could not be written down.
    TranscriptFailed {
        /// The user item.
        #[serde(borrow)]
        item: Cow<'a, str>,
    },
    /// A response has begun.
    ResponseStarted {
        /// The response.
        #[serde(borrow)]
        response: Cow<'a, str>,
    },
    /// Agent audio, in the line's format.
    Audio {
        /// The response it belongs to.
        #[serde(borrow)]
        response: Cow<'a, str>,
        /// The assistant item it belongs to.
        #[serde(borrow)]
        item: Cow<'a, str>,
        /// Whole samples, any amount. Kept by the journal in a form of its own.
        #[serde(skip)]
        payload: &'a [u8],
    },
    /// Words of the agent, in step with its audio.
    AgentTranscript {
        /// The response it belongs to.
        #[serde(borrow)]
        response: Cow<'a, str>,
        /// The assistant item.
        #[serde(borrow)]
        item: Cow<'a, str>,
        /// A further piece when not `done`, else the whole.
        #[serde(borrow)]
        text: Cow<'a, str>,
        /// Whether this is the final transcript of the item.
        done: bool,
    },
    /// The model calls a tool; its arguments are complete.
    ToolCall {
        /// The response it belongs to.
        #[serde(borrow)]
        response: Cow<'a, str>,
        /// Names the call in the answer.
        #[serde(borrow)]
        call: Cow<'a, str>,
        /// The tool's name.
        #[serde(borrow)]
        name: Cow<'a, str>,
        /// JSON, as the model wrote it.
        #[serde(borrow)]
        arguments: Cow<'a, str>,
    },
    /// A response has ended, one way or another.
    ResponseDone {
        /// The response.
        #[serde(borrow)]
        response: Cow<'a, str>,
        /// How it ended.
        status: ResponseStatus,
        /// The vendor's reason or error, if any.
        #[serde(borrow)]
        detail: Option<Cow<'a, str>>,
        /// What it cost.
        usage: Usage,
        /// It failed for want of quota, key, account or billing: no other can succeed.
        #[serde(default, skip_serializing_if = "is_false")]
        fatal: bool,
        /// After how long the vendor says to try again, if it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// The vendor complains; most complaints leave the session usable.
    Error {
        /// The vendor's code, or its error type when there is no code.
        #[serde(borrow)]
        code: Cow<'a, str>,
        /// The vendor's words.
        #[serde(borrow)]
        message: Cow<'a, str>,
        /// Which of our commands it is about, when known.
        about: Option<CommandKind>,
        /// Which of that kind, where they are numbered ([`ModelCommand::CommitAudio`], [`ModelCommand::ToolOutput`]) and the
        /// vendor says so.
        #[serde(default)]
        number: Option<u32>,
        /// Whether it is about quota, key, account or billing, and so ends the session for good.
        fatal: bool,
        /// Whether it says that another response runs.
        #[serde(default, skip_serializing_if = "is_false")]
        busy: bool,
        /// Trouble of the far end's own, which may be over by the next try.
        #[serde(default, skip_serializing_if = "is_false")]
        passing: bool,
        /// After how long the vendor says to try again, if it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// A message that is not of the dialect (not JSON, no type, wrong shape).
    Garbage,
}

/// Turn detection at the model, as it is rather than as it was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turns {
    /// It tells when the caller begins and stops speaking.
    pub detects: bool,
    /// It answers a turn without being asked.
    pub answers: bool,
    /// Audio before the detected start that belongs to a turn, in ms.
    pub prefix_ms: u32,
    /// Silence that ends a turn, in ms.
    pub silence_ms: u32,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// How a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseStatus {
    /// Said all it had to say.
    Completed,
    /// Stopped by the caller or by us.
    Cancelled,
    /// The vendor failed.
    Failed,
    /// Ran into a limit or a filter.
    Incomplete,
}

/// Tokens of one response, or of a whole call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All input tokens, the cached ones included.
    pub input_tokens: u64,
    /// Of the input tokens, those that were audio.
    pub input_audio_tokens: u64,
    /// Of the input tokens, those that were cached.
    pub cached_tokens: u64,
    /// All output tokens.
    pub output_tokens: u64,
    /// Of the output tokens, those that were audio.
    pub output_audio_tokens: u64,
}

impl Usage {
    /// Adds what a further response cost.
    pub fn add(&mut self, other: Usage) {
        self.input_tokens += other.input_tokens;
        self.input_audio_tokens += other.input_audio_tokens;
        self.cached_tokens += other.cached_tokens;
        self.output_tokens += other.output_tokens;
        self.output_audio_tokens += other.output_audio_tokens;
    }
}

/// Names an effect, so that its result finds its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EffectId(pub u32);

/// What an operator may ask of a running call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// Commit the caller's turn (the `disabled` mode).
    CommitTurn,
    /// The carrier tells what became of a transfer.
    Transfer(TransferOutcome),
    /// The carrier says who picked up a call that was placed.
    AnsweredBy(AnsweredBy),
    /// The carrier asks what to do now that the stream is gone, and is told to open it again.
    LineReturns,
    /// What the model may cost from now on: the answer to [`BudgetLow`](crate::engine::CallEvent::BudgetLow).
    Budget(Budget),
    /// The agent is to say this, in these words, once it has said what it is saying.
    Say(String),
    /// The caller is to be put through to this destination of the agent's, by its name, once they have heard what is said before.
    PutThrough(String),
    /// End the call politely; for whom is kept in the report.
    End(EndReason),
    /// End the call at once: no last words, and no effect, so that the line is closed by whoever holds it.
    EndNow(EndReason),
}

/// A mark: names a position in what was sent to the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MarkId {
    /// Counts the clears: marks of an earlier generation were dropped, not played.
    pub generation: u32,
    /// Counts the marks of the call.
    pub seq: u32,
}

/// What the engine asks of the world. Borrowed from the engine until the next action is polled.
#[derive(Clone, Debug, PartialEq)]
pub enum Action<'a> {
    /// To the line.
    SendCaller(CallerCommand<'a>),
    /// To the voice model.
    SendModel(ModelCommand<'a>),
    /// Open a connection to the model, dropping the one there may be. Answered by `Ready` or `Closed`.
    DialModel,
    /// Close the connection to the model; nothing more is expected of it.
    CloseModel,
    /// Carry out an effect and report its result.
    Run(EffectId, Effect),
    /// Let go of an effect that still runs: its result is of no use any more, and none is waited for.
    Cancel(EffectId),
    /// Audio for the recording, positioned on the call's media time line.
    Record(Record<'a>),
    /// What our own ears heard in one step: everything that turn detection rests on. For the journal.
    Heard(Step),
    /// What they heard of who picked up. For the journal, too.
    Found(Finding),
    /// A line of the trace. Owned and small; most subscribers only print it.
    Emit(CallEvent),
    /// The line is done with: nothing more is sent to it, and what still comes from it is of no use. What the caller said
    /// last is still being written down; [`Action::End`] follows. Left out where nothing is awaited.
    LineOver,
    /// The call is over: nothing follows.
    End(EndReason),
}

/// What is sent to the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerCommand<'a> {
    /// Agent audio in the line's format.
    Audio(&'a [u8]),
    /// Come back when everything before this was played.
    Mark(MarkId),
    /// Drop what was sent and not yet played; pending marks come back at once.
    Clear,
}

/// What is sent to the voice model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelCommand<'a> {
    /// Caller audio in the line's format.
    AppendAudio(&'a [u8]),
    /// The appended audio is a turn.
    CommitAudio {
        /// Counts the commits of the call, so that an error tells which of them it is about.
        number: u32,
    },
    /// Forget the appended audio.
    ClearAudio,
    /// Respond now.
    CreateResponse {
        /// For this response only, instead of the session's instructions.
        instructions: Option<&'a str>,
    },
    /// Stop the running response.
    CancelResponse,
    /// The caller heard only this much of an assistant item.
    Truncate {
        /// The assistant item.
        item: &'a str,
        /// Heard audio of that item.
        audio_end_ms: u64,
    },
    /// Put text into the conversation.
    AddMessage {
        /// Who says it.
        role: Role,
        /// The words.
        text: &'a str,
        /// An id of our choice, so that the item can be deleted.
        id: Option<&'a str>,
        /// At the conversation's start rather than its end.
        first: bool,
    },
    /// Take an item out of the conversation.
    DeleteItem {
        /// The item.
        item: &'a str,
    },
    /// The answer to a tool call. Does not ask for a response by itself.
    ToolOutput {
        /// Counts the answers of the call, so that an error tells which of them it is about.
        number: u32,
        /// [`ModelEvent::ToolCall`]'s `call`.
        call: &'a str,
        /// Text or JSON.
        output: &'a str,
    },
}

impl ModelCommand<'_> {
    /// The kind, by which errors are told apart.
    pub fn kind(&self) -> CommandKind {
        match self {
            ModelCommand::AppendAudio(_) => CommandKind::AppendAudio,
            ModelCommand::CommitAudio { .. } => CommandKind::CommitAudio,
            ModelCommand::ClearAudio => CommandKind::ClearAudio,
            ModelCommand::CreateResponse { .. } => CommandKind::CreateResponse,
            ModelCommand::CancelResponse => CommandKind::CancelResponse,
            ModelCommand::Truncate { .. } => CommandKind::Truncate,
            ModelCommand::AddMessage { .. } => CommandKind::AddMessage,
            ModelCommand::DeleteItem { .. } => CommandKind::DeleteItem,
            ModelCommand::ToolOutput { .. } => CommandKind::ToolOutput,
        }
    }
}

/// The kind of a [`ModelCommand`]; `Configure` is the link's own session set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // named as the commands
pub enum CommandKind {
    Configure,
    AppendAudio,
    CommitAudio,
    ClearAudio,
    CreateResponse,
    CancelResponse,
    Truncate,
    AddMessage,
    DeleteItem,
    ToolOutput,
}

/// Something that only the world can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// End the call at the carrier.
    HangUp,
    /// Put the caller through.
    Transfer {
        /// E.164.
        to: String,
        /// The line comes back when nobody has answered for so many seconds; `None`: it does not.
        back_after_s: Option<u64>,
    },
    /// Press keys for the far end: `0`–`9`, `*`, `#`, `w` half a second, `W` a whole one.
    SendDtmf(String),
    /// Ask the server that stands behind a tool.
    Tool {
        /// [`Tool::name`](crate::config::Tool::name).
        name: String,
        /// JSON that meets the tool's schema.
        arguments: String,
    },
    /// Fetch what is known of the caller: answered by [`EffectResult::Variables`].
    Fetch,
}

impl Effect {
    /// A short stable name.
    pub fn name(&self) -> &'static str {
        match self {
            Effect::HangUp => "hang_up",
            Effect::Transfer { .. } => "transfer",
            Effect::SendDtmf(_) => "send_dtmf",
            Effect::Tool { .. } => "tool",
            Effect::Fetch => "fetch",
        }
    }
}

/// Audio for the recording. Positions are on the line's media time line: samples since its stream began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// What the caller said, placed by the line's media clock.
    Caller {
        /// Position of the first sample.
        at: Samples,
        /// Audio in the line's format.
        payload: &'a [u8],
    },
    /// What the caller heard of the agent, placed by when it was heard. Arrives after the fact, in order, never overlapping.
    Agent {
        /// Position of the first sample.
        at: Samples,
        /// Audio in the line's format.
        payload: &'a [u8],
    },
}
