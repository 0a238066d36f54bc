//! Every server event of the API and what becomes of it.

/// What becomes of a server event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Agent audio.
    AudioDelta,
    /// A piece of the agent's words.
    AgentTranscriptDelta,
    /// All of the agent's words.
    AgentTranscriptDone,
    /// A piece of the caller's words.
    CallerTranscriptDelta,
    /// All of the caller's words.
    CallerTranscriptDone,
    /// The caller's words so far, told anew as they grow.
    CallerTranscriptSoFar,
    /// There will be no words of the caller's turn.
    CallerTranscriptFailed,
    /// The far end's VAD heard speech begin.
    SpeechStarted,
    /// The far end's VAD heard speech end.
    SpeechStopped,
    /// The caller's turn is an item now.
    Committed,
    /// A response began.
    ResponseCreated,
    /// A response ended.
    ResponseDone,
    /// How some servers tell that one was stopped.
    ResponseCancelled,
    /// An item's audio is complete.
    AudioDone,
    /// A piece of a tool call's arguments.
    ArgumentsDelta,
    /// A response's item began: the name of a tool call is kept.
    ItemAdded,
    /// A tool call's arguments are complete: name and arguments are kept.
    ArgumentsDone,
    /// A response's item ended: a tool call is complete.
    ItemDone,
    /// The far end greets.
    SessionCreated,
    /// How some compatible servers greet.
    ConversationCreated,
    /// The session is as we asked.
    SessionUpdated,
    /// A server of tools did what the vendor asked.
    McpDone,
    /// A server of tools failed, or cannot say what it does; the vendor tells the model. Counted.
    McpFailed,
    /// A complaint.
    Error,
    /// Known, and nothing to do.
    Ignored,
}

/// Server events by name, the frequent ones first.
pub const SERVER_EVENTS: [(&str, Kind); 46] = [
    ("response.output_audio.delta", Kind::AudioDelta),
    ("response.output_audio_transcript.delta", Kind::AgentTranscriptDelta),
    ("conversation.item.input_audio_transcription.delta", Kind::CallerTranscriptDelta),
    ("input_audio_buffer.speech_started", Kind::SpeechStarted),
    ("input_audio_buffer.speech_stopped", Kind::SpeechStopped),
    ("input_audio_buffer.committed", Kind::Committed),
    ("conversation.item.input_audio_transcription.completed", Kind::CallerTranscriptDone),
    ("response.created", Kind::ResponseCreated),
    ("response.output_item.added", Kind::ItemAdded),
    ("response.output_item.done", Kind::ItemDone),
    ("response.output_audio_transcript.done", Kind::AgentTranscriptDone),
    ("response.function_call_arguments.done", Kind::ArgumentsDone),
    ("response.done", Kind::ResponseDone),
    ("session.created", Kind::SessionCreated),
    ("session.updated", Kind::SessionUpdated),
    ("conversation.created", Kind::ConversationCreated),
    ("error", Kind::Error),
    // Items are followed by way of the responses and turns that make them.
    ("conversation.item.added", Kind::Ignored),
    ("conversation.item.done", Kind::Ignored),
    ("conversation.item.created", Kind::Ignored),
    ("conversation.item.deleted", Kind::Ignored),
    ("conversation.item.retrieved", Kind::Ignored),
    ("conversation.item.truncated", Kind::Ignored),
    // The caller's words are a side channel: a turn without them is still a turn.
    ("conversation.item.input_audio_transcription.failed", Kind::CallerTranscriptFailed),
    ("conversation.item.input_audio_transcription.segment", Kind::Ignored),
    ("input_audio_buffer.cleared", Kind::Ignored),
    // An idle timeout is never asked for; keys come over SIP sessions only, playback events over WebRTC and SIP.
    ("input_audio_buffer.timeout_triggered", Kind::Ignored),
    ("input_audio_buffer.dtmf_event_received", Kind::Ignored),
    ("output_audio_buffer.cleared", Kind::Ignored),
    ("output_audio_buffer.started", Kind::Ignored),
    ("output_audio_buffer.stopped", Kind::Ignored),
    // The pieces and frames of what is taken as a whole.
    ("response.content_part.added", Kind::Ignored),
    ("response.content_part.done", Kind::Ignored),
    ("response.function_call_arguments.delta", Kind::ArgumentsDelta),
    ("response.output_audio.done", Kind::AudioDone),
    ("response.output_text.delta", Kind::Ignored),
    ("response.output_text.done", Kind::Ignored),
    ("rate_limits.updated", Kind::Ignored),
    // MCP tools run at the far end, which tells the model; here they are only counted.
    ("mcp_list_tools.completed", Kind::Ignored),
    ("mcp_list_tools.failed", Kind::McpFailed),
    ("mcp_list_tools.in_progress", Kind::Ignored),
    ("response.mcp_call.completed", Kind::McpDone),
    ("response.mcp_call.failed", Kind::McpFailed),
    ("response.mcp_call.in_progress", Kind::Ignored),
    ("response.mcp_call_arguments.delta", Kind::Ignored),
    ("response.mcp_call_arguments.done", Kind::Ignored),
];

/// What servers that speak nearly the same have beyond that: the names of the API's beta, and some of their own.
const DIALECTS: [(&str, Kind); 15] = [
    ("response.audio.delta", Kind::AudioDelta),
    ("response.audio.done", Kind::AudioDone),
    ("response.audio_transcript.delta", Kind::AgentTranscriptDelta),
    ("response.audio_transcript.done", Kind::AgentTranscriptDone),
    ("response.text.delta", Kind::Ignored),
    ("response.text.done", Kind::Ignored),
    ("response.cancelled", Kind::ResponseCancelled),
    ("conversation.item.input_audio_transcription.updated", Kind::CallerTranscriptSoFar),
    // A sign of life, a session's state, and what a vendor thinks aloud.
    ("ping", Kind::Ignored),
    ("pong", Kind::Ignored),
    ("session.ping", Kind::Ignored),
    ("keepalive", Kind::Ignored),
    ("response.in_progress", Kind::Ignored),
    ("response.reasoning.delta", Kind::Ignored),
    ("response.reasoning.done", Kind::Ignored),
];

/// What becomes of a server event of this `type`; `None` when nobody is known to have it.
pub(super) fn kind_of(name: &str) -> Option<Kind> {
    SERVER_EVENTS.iter().chain(&DIALECTS).find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}
