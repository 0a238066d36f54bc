//! The trace: what was decided, in words, with the reason.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::time::Samples;

/// Why a call ended. Says whose doing it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EndReason {
    /// The caller hung up.
    CallerHungUp,
    /// The line's socket died, or its audio stopped for longer than the limit.
    CallerGone,
    /// The caller said nothing for longer than the limit.
    CallerSilent,
    /// The carrier never opened the media stream.
    NeverConnected,
    /// A call that was placed was not answered.
    NotAnswered {
        /// How it came to nothing.
        how: NotAnswered,
        /// More about it; may be empty.
        why: String,
    },
    /// A machine answered a call that was placed, and was hung up on.
    AnsweringMachine,
    /// A machine answered a call that was placed, and was to be left a message.
    Voicemail {
        /// Whether all of the message was played to it.
        left: bool,
    },
    /// A fax answered a call that was placed.
    Fax,
    /// The agent ended the call with its `hang_up` tool.
    AgentHungUp {
        /// The model's words for it.
        why: String,
    },
    /// The caller was put through to this destination, and somebody answered there.
    Transferred {
        /// Its name in the agent's document.
        to: String,
    },
    /// The duration limit was reached.
    DurationCap,
    /// The model was in use for as long as it may be in one call.
    ModelTimeCap,
    /// The call has cost as much as it may.
    CostCap {
        /// Whose budget it was: `call`, `number` or `day`.
        of: String,
    },
    /// The model could not be reached at the start, refused us, or was lost and did not come back in time.
    ModelUnavailable {
        /// The last thing that was known.
        why: String,
    },
    /// The model did not answer in time, twice.
    ModelSilent,
    /// An operator ended the call.
    Operator,
    /// The server was shut down.
    Shutdown,
    /// The server failed.
    Internal {
        /// What failed.
        why: String,
    },
}

impl EndReason {
    /// A short stable name, the `kind` of the report and of metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            EndReason::CallerHungUp => "caller_hung_up",
            EndReason::CallerGone => "caller_gone",
            EndReason::CallerSilent => "caller_silent",
            EndReason::NeverConnected => "never_connected",
            EndReason::NotAnswered { .. } => "not_answered",
            EndReason::AnsweringMachine => "answering_machine",
            EndReason::Voicemail { .. } => "voicemail",
            EndReason::Fax => "fax",
            EndReason::AgentHungUp { .. } => "agent_hung_up",
            EndReason::Transferred { .. } => "transferred",
            EndReason::DurationCap => "duration_cap",
            EndReason::ModelTimeCap => "model_time_cap",
            EndReason::CostCap { .. } => "cost_cap",
            EndReason::ModelUnavailable { .. } => "model_unavailable",
            EndReason::ModelSilent => "model_silent",
            EndReason::Operator => "operator",
            EndReason::Shutdown => "shutdown",
            EndReason::Internal { .. } => "internal",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            EndReason::AgentHungUp { why }
            | EndReason::Transferred { to: why }
            | EndReason::CostCap { of: why }
            | EndReason::ModelUnavailable { why }
            | EndReason::Internal { why }
                if !why.is_empty() =>
            {
                write!(f, " ({why})")
            }
            EndReason::NotAnswered { how, why } if why.is_empty() => write!(f, " ({how})"),
            EndReason::NotAnswered { how, why } => write!(f, " ({how}: {why})"),
            EndReason::Voicemail { left: true } => f.write_str(" (left)"),
            EndReason::Voicemail { left: false } => f.write_str(" (not left)"),
            _ => Ok(()),
        }
    }
}

/// What became of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferOutcome {
    /// Somebody is talking to the caller.
    Answered,
    /// The line there is busy.
    Busy,
    /// It rang for as long as it may.
    NoAnswer,
    /// The number cannot be reached.
    Failed,
}

impl TransferOutcome {
    /// A short stable name.
    pub fn name(self) -> &'static str {
        match self {
            TransferOutcome::Answered => "answered",
            TransferOutcome::Busy => "busy",
            TransferOutcome::NoAnswer => "no_answer",
            TransferOutcome::Failed => "failed",
        }
    }
}

/// How a call that was placed came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotAnswered {
    /// The line was busy.
    Busy,
    /// It rang for as long as it may.
    NoAnswer,
    /// The carrier could not place it, or nobody knows what became of it.
    Failed,
    /// It was taken back before it was answered.
    Canceled,
}

impl NotAnswered {
    /// A short stable name, as in the report.
    pub const fn name(self) -> &'static str {
        match self {
            NotAnswered::Busy => "busy",
            NotAnswered::NoAnswer => "no_answer",
            NotAnswered::Failed => "failed",
            NotAnswered::Canceled => "canceled",
        }
    }
}

impl fmt::Display for NotAnswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who speaks in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The operator or the server.
    System,
    /// The person on the line.
    Caller,
    /// The voice model, or a recording that speaks for it.
    Agent,
}

/// How an effect ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectResult {
    /// It is done (a hang-up of a call that is already over counts as done).
    Done,
    /// It cannot be done; for the report.
    Failed(String),
    /// It was asked for, and nobody knows whether it is done; for the report.
    Unknown(String),
    /// What a tool answered: text or JSON for the model.
    Output(String),
    /// Variables by their full names, such as `crm.name`.
    Variables(BTreeMap<String, String>),
}

/// One decision or observation. `Display` is its line in the trace: `Name key=value …`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[allow(missing_docs)] // fields are what the line shows; units end their names
pub enum CallEvent {
    /// The carrier announced the call; what it runs by.
    Announced { deployment: String, agent: String, revision: String },
    /// The model is being dialled, for the first time or again.
    ModelDialled { attempt: u32 },
    /// The model's session is set up.
    ModelReady { took_ms: u64 },
    /// The connection to the model is gone or was never made.
    ModelLost { reason: String, retry: bool },
    /// The conversation so far was given to a new session.
    ConversationReplayed { lines: usize },
    /// The line's media stream began.
    MediaStarted,
    /// It is known, or taken to be so, who picked up a call that was placed, by the named rule.
    AnsweredBy { who: String, rule: String },
    /// The greeting of an answering machine is over, by the named rule: it records.
    MachineEnded { rule: String },
    /// Something is about to be said that the model did not think of: a greeting, a fallback line, a farewell.
    LineQueued { what: String, ms: u64 },
    /// The caller began to speak, by the named rule.
    SpeechStarted { rule: String, media_ms: u64 },
    /// The caller pauses; the turn goes on unless the pause becomes too long.
    SpeechPaused { media_ms: u64 },
    /// The caller goes on after a pause.
    SpeechResumed { media_ms: u64 },
    /// The caller stopped speaking, by the named rule.
    SpeechStopped { rule: String, media_ms: u64 },
    /// The caller's turn was committed, by the named rule.
    TurnCommitted { turn: u32, rule: String },
    /// A turn whose words are not there yet was given to the model again, for the named reason.
    TurnSentAgain { turn: u32, rule: String },
    /// What the caller said is not part of the conversation, by the named rule.
    TurnDropped { rule: String, voiced_ms: u64 },
    /// What the caller said over the agent is of the conversation and is not answered, by the named rule: the agent goes on.
    BackChannel { turn: u32, rule: String, voiced_ms: u64 },
    /// The agent is stopped, and may go on: it is not certain yet that the caller interrupts.
    AgentHeld { rule: String, heard_ms: u64, unheard_ms: u64 },
    /// The agent who was stopped goes on, at this position of its item, by the named rule.
    AgentResumed { rule: String, from_ms: u64 },
    /// The caller spoke over the agent and the agent goes on, by the named rule.
    InterruptionIgnored { rule: String },
    /// The caller's speech stops the agent.
    BargeIn { rule: String, heard_ms: u64, unheard_ms: u64 },
    /// The agent is stopped, not by the caller but by the named rule.
    AgentStopped { rule: String, heard_ms: u64, unheard_ms: u64 },
    /// The caller heard only the first part of an assistant item; the model is told.
    Truncated { item: String, heard_ms: u64, received_ms: u64 },
    /// The model began a response.
    ResponseStarted { response: String },
    /// The first audio of a response has arrived.
    FirstAudio { response: String, after_ms: u64 },
    /// The first audio of an item went to the line.
    AgentStarted { item: String },
    /// The caller has heard an item to its end.
    AgentHeard { item: String, ms: u64 },
    /// Agent audio that belongs to a cancelled response was dropped.
    LateAudioDropped { response: String, ms: u64 },
    /// A response ended.
    ResponseEnded { response: String, status: String },
    /// A response is asked for, for the named reason.
    ResponseAsked { why: String },
    /// Final words of a side. What the agent said and the caller did not hear is in `unheard`.
    Said { who: Role, text: String, unheard: String },
    /// The model calls a tool.
    ToolCalled { name: String, arguments: String },
    /// The tool's answer was given to the model.
    ToolAnswered { name: String, output: String },
    /// The caller is about to be put through to a destination, once they have heard what is said before.
    TransferBegun { to: String },
    /// The carrier has the line.
    LineLent,
    /// The media stream broke off, by the named rule: it may come back.
    LineBroken { rule: String },
    /// The line is ours again, or was never lent, by the named rule.
    LineBack { rule: String, after_ms: u64 },
    /// The sound that is heard while tools run begins.
    ToolSoundStarted,
    /// It ends, by the named rule.
    ToolSoundEnded { rule: String },
    /// The agent left a note.
    Noted { text: String },
    /// A key was pressed.
    Dtmf { digit: char },
    /// Digits are complete, by the named rule, and the model is told of them.
    KeysCollected { digits: String, rule: String },
    /// The caller has said nothing for too long, after so many lines about that, and what is done about it.
    CallerIdle { said: u32, then: String },
    /// A gap in the caller's audio was filled with silence for the model.
    GapFilled { at: Samples, ms: u64 },
    /// Caller audio that was there before, or came too late, was dropped.
    CallerAudioDropped { rule: String, ms: u64 },
    /// The line's clock jumped; positions are counted anew from here.
    MediaClockReset { from_ms: u64, to_ms: u64 },
    /// Agent audio was dropped, by the named rule: this item's from here on.
    AgentAudioDropped { rule: String, item: String },
    /// Marks did not come back; no more is sent until they do or the time is up.
    LineStalled { unplayed_ms: u64 },
    /// The line goes on.
    LineResumed { rule: String },
    /// The model complains; the call goes on.
    ModelError { code: String, about: String },
    /// The words of a complaint, told once each: of an error, a response that came to nothing, or a session that is not as it
    /// was asked to be.
    ModelComplained { about: String, text: String },
    /// A response failed; it is asked for again.
    ResponseRetry { attempt: u32, in_ms: u64 },
    /// The model did not answer in time, and what is done about it.
    ModelSlow { waited_ms: u64, then: String },
    /// The model was told that the call ends soon.
    EndAnnounced { left_s: u64 },
    /// Half of the call's share of a budget is used up, and more is asked for. Millionths of the price's currency.
    BudgetLow { cost_micros: u64 },
    /// The model was told to come to an end, since this is used up before long.
    WrapUpAsked { why: String },
    /// The call is being ended, politely.
    Closing { why: String },
    /// An effect was asked for.
    EffectRun { id: u32, what: String },
    /// An effect came to its end.
    EffectDone { id: u32, result: EffectResult },
    /// The line is over; so many turns of the caller have no words yet, and they are awaited.
    LineOver { reason: EndReason, turns: u32 },
    /// The call is over.
    Ended { reason: EndReason },
}

impl fmt::Display for CallEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallEvent::Announced { deployment, agent, revision } => {
                let (deployment, agent, revision) = (Quoted(deployment), Quoted(agent), Quoted(revision));
                write!(f, "Announced deployment={deployment} agent={agent} revision={revision}")
            }
            CallEvent::ModelDialled { attempt } => write!(f, "ModelDialled attempt={attempt}"),
            CallEvent::ModelReady { took_ms } => write!(f, "ModelReady took_ms={took_ms}"),
            CallEvent::ModelLost { reason, retry } => {
                write!(f, "ModelLost reason={} retry={retry}", Quoted(reason))
            }
            CallEvent::ConversationReplayed { lines } => {
                write!(f, "ConversationReplayed lines={lines}")
            }
            CallEvent::MediaStarted => f.write_str("MediaStarted"),
            CallEvent::AnsweredBy { who, rule } => write!(f, "AnsweredBy who={} rule={}", Quoted(who), Quoted(rule)),
            CallEvent::MachineEnded { rule } => write!(f, "MachineEnded rule={}", Quoted(rule)),
            CallEvent::LineQueued { what, ms } => {
                write!(f, "LineQueued what={} ms={ms}", Quoted(what))
            }
            CallEvent::SpeechStarted { rule, media_ms } => {
                write!(f, "SpeechStarted rule={} media_ms={media_ms}", Quoted(rule))
            }
            CallEvent::SpeechStopped { rule, media_ms } => {
                write!(f, "SpeechStopped rule={} media_ms={media_ms}", Quoted(rule))
            }
            CallEvent::SpeechPaused { media_ms } => write!(f, "SpeechPaused media_ms={media_ms}"),
            CallEvent::SpeechResumed { media_ms } => write!(f, "SpeechResumed media_ms={media_ms}"),
            CallEvent::TurnDropped { rule, voiced_ms } => {
                write!(f, "TurnDropped rule={} voiced_ms={voiced_ms}", Quoted(rule))
            }
            CallEvent::TurnSentAgain { turn, rule } => write!(f, "TurnSentAgain turn={turn} rule={}", Quoted(rule)),
            CallEvent::BackChannel { turn, rule, voiced_ms } => {
                write!(f, "BackChannel turn={turn} rule={} voiced_ms={voiced_ms}", Quoted(rule))
            }
            CallEvent::AgentHeld { rule, heard_ms, unheard_ms } => {
                write!(f, "AgentHeld rule={} heard_ms={heard_ms} unheard_ms={unheard_ms}", Quoted(rule))
            }
            CallEvent::AgentResumed { rule, from_ms } => {
                write!(f, "AgentResumed rule={} from_ms={from_ms}", Quoted(rule))
            }
            CallEvent::TurnCommitted { turn, rule } => {
                write!(f, "TurnCommitted turn={turn} rule={}", Quoted(rule))
            }
            CallEvent::InterruptionIgnored { rule } => {
                write!(f, "InterruptionIgnored rule={}", Quoted(rule))
            }
            CallEvent::BargeIn { rule, heard_ms, unheard_ms } => {
                write!(f, "BargeIn rule={} heard_ms={heard_ms} unheard_ms={unheard_ms}", Quoted(rule))
            }
            CallEvent::AgentStopped { rule, heard_ms, unheard_ms } => {
                write!(f, "AgentStopped rule={} heard_ms={heard_ms} unheard_ms={unheard_ms}", Quoted(rule))
            }
            CallEvent::Truncated { item, heard_ms, received_ms } => {
                write!(f, "Truncated item={} heard_ms={heard_ms} received_ms={received_ms}", Quoted(item))
            }
            CallEvent::ResponseStarted { response } => {
                write!(f, "ResponseStarted response={}", Quoted(response))
            }
            CallEvent::FirstAudio { response, after_ms } => {
                write!(f, "FirstAudio response={} after_ms={after_ms}", Quoted(response))
            }
            CallEvent::AgentStarted { item } => write!(f, "AgentStarted item={}", Quoted(item)),
            CallEvent::AgentHeard { item, ms } => {
                write!(f, "AgentHeard item={} ms={ms}", Quoted(item))
            }
            CallEvent::LateAudioDropped { response, ms } => {
                write!(f, "LateAudioDropped response={} ms={ms}", Quoted(response))
            }
            CallEvent::ResponseEnded { response, status } => {
                write!(f, "ResponseEnded response={} status={}", Quoted(response), Quoted(status))
            }
            CallEvent::ResponseAsked { why } => write!(f, "ResponseAsked why={}", Quoted(why)),
            CallEvent::Said { who, text, unheard } => {
                write!(f, "Said who={} text={} unheard={}", who, Quoted(text), Quoted(unheard))
            }
            CallEvent::ToolCalled { name, arguments } => {
                write!(f, "ToolCalled name={} arguments={}", Quoted(name), Quoted(arguments))
            }
            CallEvent::ToolAnswered { name, output } => {
                write!(f, "ToolAnswered name={} output={}", Quoted(name), Quoted(output))
            }
            CallEvent::TransferBegun { to } => write!(f, "TransferBegun to={}", Quoted(to)),
            CallEvent::LineLent => f.write_str("LineLent"),
            CallEvent::LineBroken { rule } => write!(f, "LineBroken rule={}", Quoted(rule)),
            CallEvent::LineBack { rule, after_ms } => {
                write!(f, "LineBack rule={} after_ms={after_ms}", Quoted(rule))
            }
            CallEvent::ToolSoundStarted => f.write_str("ToolSoundStarted"),
            CallEvent::ToolSoundEnded { rule } => write!(f, "ToolSoundEnded rule={}", Quoted(rule)),
            CallEvent::Noted { text } => write!(f, "Noted text={}", Quoted(text)),
            CallEvent::Dtmf { digit } => write!(f, "Dtmf digit={digit}"),
            CallEvent::KeysCollected { digits, rule } => {
                write!(f, "KeysCollected digits={} rule={}", Quoted(digits), Quoted(rule))
            }
            CallEvent::CallerIdle { said, then } => write!(f, "CallerIdle said={said} then={}", Quoted(then)),
            CallEvent::GapFilled { at, ms } => write!(f, "GapFilled at={} ms={ms}", at.0),
            CallEvent::CallerAudioDropped { rule, ms } => {
                write!(f, "CallerAudioDropped rule={} ms={ms}", Quoted(rule))
            }
            CallEvent::MediaClockReset { from_ms, to_ms } => {
                write!(f, "MediaClockReset from_ms={from_ms} to_ms={to_ms}")
            }
            CallEvent::AgentAudioDropped { rule, item } => {
                write!(f, "AgentAudioDropped rule={} item={}", Quoted(rule), Quoted(item))
            }

            CallEvent::LineStalled { unplayed_ms } => {
                write!(f, "LineStalled unplayed_ms={unplayed_ms}")
            }
            CallEvent::LineResumed { rule } => write!(f, "LineResumed rule={}", Quoted(rule)),
            CallEvent::ModelError { code, about } => {
                write!(f, "ModelError code={} about={}", Quoted(code), Quoted(about))
            }
            CallEvent::ModelComplained { about, text } => {
                write!(f, "ModelComplained about={} text={}", Quoted(about), Quoted(text))
            }
            CallEvent::ResponseRetry { attempt, in_ms } => write!(f, "ResponseRetry attempt={attempt} in_ms={in_ms}"),
            CallEvent::ModelSlow { waited_ms, then } => {
                write!(f, "ModelSlow waited_ms={waited_ms} then={}", Quoted(then))
            }
            CallEvent::EndAnnounced { left_s } => write!(f, "EndAnnounced left_s={left_s}"),
            CallEvent::BudgetLow { cost_micros } => write!(f, "BudgetLow cost_micros={cost_micros}"),
            CallEvent::WrapUpAsked { why } => write!(f, "WrapUpAsked why={}", Quoted(why)),
            CallEvent::Closing { why } => write!(f, "Closing why={}", Quoted(why)),
            CallEvent::EffectRun { id, what } => {
                write!(f, "EffectRun id={id} what={}", Quoted(what))
            }
            CallEvent::EffectDone { id, result } => {
                write!(f, "EffectDone id={id} result={}", result)
            }
            CallEvent::LineOver { reason, turns } => write!(f, "LineOver reason={reason} turns={turns}"),
            CallEvent::Ended { reason } => write!(f, "Ended reason={reason}"),
        }
    }
}

/// A word as it is, anything else in quotes with escapes, so that a line splits at its spaces.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = !self.0.is_empty() && self.0.chars().all(|c| c.is_ascii_alphanumeric() || "_-.+/:#*".contains(c));
        if plain { f.write_str(self.0) } else { write!(f, "{:?}", self.0) }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::System => "system",
            Role::Caller => "caller",
            Role::Agent => "agent",
        })
    }
}

impl fmt::Display for EffectResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EffectResult::Done => f.write_str("done"),
            EffectResult::Failed(why) => write!(f, "failed:{}", Quoted(why)),
            EffectResult::Unknown(why) => write!(f, "unknown:{}", Quoted(why)),
            EffectResult::Output(output) => write!(f, "output:{}", Quoted(output)),
            EffectResult::Variables(variables) => write!(f, "variables:{}", variables.len()),
        }
    }
}
