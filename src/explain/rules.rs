//! Which setting governs a decision: the engine's rules by name, what each means, and the keys behind it.

use serde::Serialize;

use super::governing::{Governing, governing};
use crate::config::CallSettings;
use crate::engine::Timer;

/// A rule that decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// The decision's name, such as `BargeIn`.
    pub decision: String,
    /// The rule's name as the decision shows it; empty for decisions that follow one rule only.
    pub rule: String,
    /// What it says.
    pub meaning: &'static str,
    /// The settings that govern it; none for what no setting changes.
    pub settings: Vec<Governing>,
}

/// The rule behind a line of the trace; `None` for observations and for plain commands.
pub fn rule_of(line: &str, settings: &CallSettings) -> Option<Rule> {
    let (decision, rest) = line.split_once(' ').unwrap_or((line, ""));
    let name = match decision {
        // An end shows its kind first.
        "End" => rest.split(' ').next(),
        "LineQueued" => field(rest, "what"),
        // The words behind it are another server's.
        "EffectDone" => None,
        _ => ["rule", "why", "then"].iter().find_map(|key| field(rest, key)),
    };
    // The words after a kind are the model's or the vendor's.
    let name = name.and_then(|name| name.split(' ').next()).unwrap_or("");
    let known = TABLE.iter().find(|row| row.0 == decision && (row.1 == name || row.1.is_empty()));
    let (meaning, keys) = match known {
        Some((_, _, meaning, keys)) => (*meaning, *keys),
        None if name.is_empty() => return None,
        None => ("a rule that this version of explain does not know; the line above is all there is", &[][..]),
    };
    let settings = keys.iter().filter_map(|key| governing(key, settings)).collect();
    Some(Rule { decision: decision.to_owned(), rule: name.to_owned(), meaning, settings })
}

/// A deadline in words, with the key that sets it where there is one.
pub(super) fn deadline(timer: Timer) -> String {
    let (words, key) = match timer {
        Timer::MediaStart => ("the media stream must have started", "limits.media_start_s"),
        Timer::Feed => ("the next agent audio is due at the line", "playout.lead_ms"),
        Timer::MarkOverdue => ("marks count as lost", "playout.mark_timeout_ms"),
        Timer::Pad => ("silence for the model in place of missing caller audio", ""),
        Timer::CallerGone => ("no caller audio for too long", "limits.caller_gone_s"),
        Timer::CallerSilent => ("the caller has said nothing for too long", "limits.caller_silence_s"),
        Timer::Interrupt => ("the caller has spoken long enough to interrupt", "interruptions"),
        Timer::Verdict => ("the transcript that decides on an interruption must be there", "verdict_ms"),
        Timer::Held => ("the agent who is held goes on, though it is not known yet what was said", ""),
        Timer::ModelDial => ("the model's session must be set up", "dial_timeout_ms"),
        Timer::ModelRedial => ("a lost model is dialled again", ""),
        Timer::ModelRecovery => ("a lost model must be back", "limits.model_recovery_s"),
        Timer::ModelSilent => ("the model must have answered", "limits.model_silence_ms"),
        Timer::ModelRetry => ("a response that failed is asked for again", "limits.model_recovery_s"),
        Timer::ModelRenew => ("the model's session is to be renewed", "max_session_min"),
        Timer::Hold => ("the hold sound is due", "hold_sound"),
        Timer::ToolSound => ("the sound that is heard while tools run is due", "tool_sound.grace_ms"),
        Timer::Keys => ("the next key must have followed", "keys.timeout_ms"),
        Timer::Idle => ("the caller has said nothing for a while", "idle.after_s"),
        Timer::Answering => ("it must be known who picked up, or the greeting be over", "outbound.decide_within_ms"),
        Timer::CapWarning => ("the model is told that the call will end", "limits.warn_before_s"),
        Timer::Cap => ("the call's longest duration", "limits.max_minutes"),
        Timer::Farewell => ("the farewell has had its time", "limits.farewell_s"),
        Timer::Tools => ("a tool must have answered", "tools"),
        Timer::Away => ("the carrier must have answered, or the line be back", "limits.line_back_s"),
        Timer::Budget => ("what the call may use up is looked at", "limits.max_model_minutes"),
        Timer::HangUp => ("the carrier has had its time to end the call", ""),
        Timer::Words => ("the caller's last words must be there", "limits.transcript_wait_ms"),
    };
    if key.is_empty() { format!("{timer:?}: {words}") } else { format!("{timer:?}: {words} ({key})") }
}

/// Decision, rule (empty: any), meaning, keys. The first that fits counts.
type Row = (&'static str, &'static str, &'static str, &'static [&'static str]);

const VAD: &[&str] = &["turn_detection.mode", "turn_detection.threshold", "turn_detection.prefix_padding_ms"];
const VAD_END: &[&str] = &["turn_detection.mode", "turn_detection.silence_duration_ms", "turn_detection.threshold"];
const OURS: &[&str] = &[
    "turn_detection.threshold",
    "turn_detection.min_speech_ms",
    "turn_detection.engine",
    "turn_detection.level_margin_db",
    "echo_guard",
];
const OURS_END: &[&str] =
    &["turn_detection.silence_duration_ms", "turn_detection.threshold", "turn_detection.hysteresis"];
const FALSE: &[&str] = &["min_interruption_ms", "resume_false_interruption", "interruptions"];
const WORDS: &[&str] = &["min_interruption_ms", "verdict_ms", "back_channels", "transcription", "interruptions"];
const UNTRANSCRIBED: &[&str] = &["untranscribed_interruption_ms", "transcription", "interruptions"];
const MAX_TURN: &[&str] = &["turn_detection.max_turn_s"];
const SEMANTIC: &[&str] = &["turn_detection.mode", "turn_detection.eagerness"];
const LINE_BACK: &[&str] = &["limits.line_back_s"];
const LOST: &[&str] = &["limits.model_recovery_s", "on_failure.then", "on_failure.play"];
const FAILED: &[&str] = &["limits.model_recovery_s", "filler", "on_failure.then", "on_failure.play"];
const SILENT: &[&str] = &["limits.model_silence_ms", "filler", "on_failure.then", "on_failure.play"];
const TOOL_FADE: &[&str] = &["tool_sound.fade_out_ms"];
const IDLE: &[&str] = &["idle.after_s", "idle.times", "idle.end"];
const BUDGET: &[&str] = &["limits.max_cost", "limits.max_cost_per_number_and_day", "limits.max_cost_per_day"];
const MODEL_TIME: &[&str] = &["limits.max_model_minutes", "limits.warn_before_s"];
const BY_AGENT: &str =
    "the agent called its hang_up tool and what it said is heard out, or the caller pressed the key for that";
const BY_OPERATOR: &str = "an operator asked for it";
const NO_MODEL: &str = "the model refused, or was not back in time";
const MODEL_SILENT: &str = "the model did not answer in time, twice";
const QUIET: &str = "neither side said anything for too long";
const CAP: &str = "the call reached its longest duration";
const MODEL_TIME_CAP: &str = "sessions with the model were open for as long as they may be";
const COST_CAP: &str = "the model has cost as much as it may";
const GONE: &str = "the line's socket died, or no caller audio came for too long";

const DECIDE: &[&str] = &["outbound.detect", "outbound.wait_for_human", "outbound.decide_within_ms"];
const MACHINE: &[&str] = &["outbound.detect", "outbound.on_machine", "outbound.monologue_ms"];
const MESSAGE: &[&str] = &["outbound.on_machine", "outbound.beep_timeout_ms"];
const BY_CARRIER: &str = "the carrier's own detection says so";

const TABLE: &[Row] = &[
    ("SpeechStarted", "server_vad", "the model's VAD found speech above the threshold", VAD),
    ("SpeechStarted", "local_vad", "our own ears heard speech for long enough, the agent's echo taken out", OURS),
    ("SpeechStarted", "semantic_vad", "the model's semantic VAD found speech", SEMANTIC),
    ("SpeechStopped", "server_vad", "the model's VAD heard this much silence after speech", VAD_END),
    ("SpeechStopped", "local_vad", "our own ears heard this much silence after speech", OURS_END),
    ("SpeechStopped", "max_turn", "a turn may not last longer, though the caller still spoke", MAX_TURN),
    (
        "SpeechPaused",
        "",
        "the probability fell below the threshold less the hysteresis; the turn goes on unless the silence lasts",
        OURS_END,
    ),
    ("SpeechResumed", "", "speech again before the silence that ends a turn had passed", OURS_END),
    ("SpeechStopped", "semantic_vad", "the model's semantic VAD takes the caller to have finished", SEMANTIC),
    ("TurnCommitted", "server_vad", "the model commits a turn when its VAD hears speech end", VAD_END),
    ("TurnCommitted", "semantic_vad", "the model commits a turn when its semantic VAD takes it as finished", SEMANTIC),
    ("TurnCommitted", "local_vad", "we commit a turn when the silence that ends it has passed", OURS_END),
    ("TurnCommitted", "max_turn", "we commit a turn that lasted as long as one may", MAX_TURN),
    (
        "TurnCommitted",
        "words_decide",
        "short speech over the agent is given to the model for its transcript, which decides whether it interrupts",
        WORDS,
    ),
    (
        "TurnCommitted",
        "set_aside",
        "speech over the agent that is too short to interrupt is of the conversation, and not answered",
        UNTRANSCRIBED,
    ),
    ("BackChannel", "back_channel", "all that was said over the agent is that somebody listens: it goes on", WORDS),
    ("BackChannel", "no_words", "the transcript of what was heard over the agent has no words: it goes on", WORDS),
    (
        "BackChannel",
        "untranscribed",
        "no transcripts come in this call, or none of this, and for an interruption by its length alone it is too short",
        UNTRANSCRIBED,
    ),
    (
        "BackChannel",
        "model_lost",
        "the model was lost before the words came, and for an interruption by its length alone it is too short",
        UNTRANSCRIBED,
    ),
    ("BackChannel", "closing", "said over the last words while the call was ending", &["limits.farewell_s"]),
    (
        "TurnDropped",
        "shorter_than_a_word",
        "a sound over the agent of less than 200 ms is a click or a cough, and nothing followed it within 3 s",
        &["interruptions"],
    ),
    ("TurnCommitted", "line_over", "what the caller was saying when the line was over", &["limits.transcript_wait_ms"]),
    ("TurnSentAgain", "commit_refused", "the model refused the turn, so its audio is sent again", &[]),
    ("TurnSentAgain", "model_came_back", "the session was lost before the turn's words were there", &[]),
    ("SpeechStopped", "line_over", "the line was over while the caller spoke", &[]),
    (
        "LineOver",
        "",
        "the line is over; the caller's last words are awaited",
        &["limits.transcript_wait_ms", "transcription"],
    ),
    ("TurnDropped", "closing", "said while the call was ending", &["limits.farewell_s"]),
    (
        "AgentHeld",
        "local_vad",
        "the caller began to speak: the line is emptied at once, and what was not heard is kept until it is certain",
        FALSE,
    ),
    (
        "AgentResumed",
        "false_interruption",
        "the speech was too short to interrupt: the agent goes on at the sample where it stopped",
        FALSE,
    ),
    (
        "AgentResumed",
        "back_channel",
        "what was said is no interruption by its words: the agent goes on at the sample where it stopped",
        WORDS,
    ),
    (
        "AgentResumed",
        "undecided",
        "it is not known yet whether that was an interruption, and the agent has been silent for a second: it goes on meanwhile",
        WORDS,
    ),
    (
        "AgentResumed",
        "spoke_at_its_end",
        "short speech in the last second of what the agent says: it finishes, and answers then",
        FALSE,
    ),
    (
        "AgentResumed",
        "turn_detection_changed",
        "the model detects turns although it was not asked to, and is followed",
        &["turn_detection.mode"],
    ),
    ("AgentResumed", "closing", "the call is ending: the last words are said to their end", &["limits.farewell_s"]),
    ("BargeIn", "local_vad", "the caller spoke over the agent for long enough", FALSE),
    ("BargeIn", "min_words", "the caller spoke over the agent for as long as so many words take", &["interruptions"]),
    ("BargeIn", "words", "what the caller said over the agent is more than a back-channel", WORDS),
    ("BargeIn", "no_transcript_in_time", "no transcript came in time that could have said otherwise", WORDS),
    (
        "BargeIn",
        "said_again",
        "what the caller said over the agent within 3 s is together long enough to interrupt",
        FALSE,
    ),
    (
        "BargeIn",
        "untranscribed",
        "no transcripts come in this call, or none of this, and it was long enough to interrupt the agent without",
        UNTRANSCRIBED,
    ),
    (
        "BargeIn",
        "model_lost",
        "the model was lost before the words came, and the speech over the agent was long enough to interrupt without",
        UNTRANSCRIBED,
    ),
    ("BargeIn", "the_agent_is_done", "the agent has finished: what was said over it is a turn", &["interruptions"]),
    ("TurnCommitted", "key", "the caller pressed the key that commits", &["turn_detection.commit_key"]),
    ("TurnCommitted", "operator", BY_OPERATOR, &["turn_detection.mode"]),
    ("BargeIn", "server_vad", "caller speech stops the agent at once", &["interruptions", "turn_detection.threshold"]),
    (
        "BargeIn",
        "semantic_vad",
        "caller speech stops the agent at once",
        &["interruptions", "turn_detection.eagerness"],
    ),
    ("BargeIn", "after_ms", "the caller spoke over the agent for this long", &["interruptions"]),
    ("BargeIn", "key", "the key that commits stops the agent too", &["turn_detection.commit_key"]),
    ("BargeIn", "operator", BY_OPERATOR, &[]),
    ("AgentStopped", "closing", "the farewell takes the agent's place", &["farewell"]),
    ("InterruptionIgnored", "off", "the agent finishes what it says", &["interruptions"]),
    (
        "InterruptionIgnored",
        "protected",
        "what the agent says here may not be interrupted",
        &["greeting_interruptible", "disclaimer"],
    ),
    (
        "InterruptionIgnored",
        "fewer_than_min_words",
        "what the caller said has too few words to stop the agent; it is answered when the agent is done",
        &["interruptions", "transcription"],
    ),
    (
        "InterruptionIgnored",
        "shorter_than_after_ms",
        "the caller's speech was too short to stop the agent",
        &["interruptions"],
    ),
    (
        "InterruptionIgnored",
        "shorter_than_a_word",
        "less than 200 ms is a click or a cough; it goes to the model with what is said within 3 s",
        &["interruptions"],
    ),
    (
        "InterruptionIgnored",
        "spoke_at_its_end",
        "short speech in the last second of what the agent says answers it: the agent finishes first",
        FALSE,
    ),
    (
        "InterruptionIgnored",
        "no_transcript_in_time",
        "no transcript came that could have said how many words it was; it is answered when the agent is done",
        &["interruptions", "transcription"],
    ),
    (
        "InterruptionIgnored",
        "model_away",
        "too short to interrupt by its length, and no words come from a model that is away; it is answered when it is back",
        UNTRANSCRIBED,
    ),
    (
        "InterruptionIgnored",
        "closing",
        "the call is ending: the last words are said to their end",
        &["limits.farewell_s"],
    ),
    (
        "Truncated",
        "",
        "the model remembers an item only as far as the caller heard it, by the marks that came back",
        &["playout.lead_ms"],
    ),
    ("CallerAudioDropped", "late_or_duplicate", "audio for a place on the time line that was filled already", &[]),
    ("AgentAudioDropped", "playout_queue_full", "more agent audio than may wait", &["playout.max_queue_s"]),
    ("LateAudioDropped", "", "audio of a response that was cancelled is not played", &[]),
    ("GapFilled", "", "the line's clock jumped over audio that never came; the model is given silence", &[]),
    ("MediaClockReset", "", "the line's clock jumped further than audio can be missing", &[]),
    (
        "LineStalled",
        "",
        "marks did not come back; no more is sent until they do",
        &["playout.mark_timeout_ms", "playout.lead_ms"],
    ),
    ("LineResumed", "marks_back", "the marks came back", &["playout.mark_timeout_ms"]),
    (
        "LineResumed",
        "marks_lost",
        "the marks were overdue for too long and count as lost",
        &["playout.mark_timeout_ms"],
    ),
    (
        "ModelSlow",
        "filler_and_retry",
        "no agent audio in time: the filler is played and a response asked for again",
        SILENT,
    ),
    ("ModelSlow", "filler", "a reply that had begun said nothing more: the filler is played, and it may go on", SILENT),
    ("ModelSlow", "fall_back", "no agent audio in time for the second time", SILENT),
    (
        "ModelDialled",
        "",
        "a session is set up when the call is announced, and again when it was lost",
        &["dial_timeout_ms", "limits.model_recovery_s"],
    ),
    ("ModelLost", "", "the connection ended; it is dialled again where that can help", LOST),
    ("ConversationReplayed", "", "a new session is given what was said as text", &["max_session_min"]),
    ("AnsweredBy", "short_utterance", "a word and then silence: somebody waits for an answer", DECIDE),
    ("AnsweredBy", "decide_within_ms", "nobody said anything that could tell; it is taken to be a person", DECIDE),
    ("AnsweredBy", "monologue", "speech that goes on for longer than people talk when they pick up", MACHINE),
    ("AnsweredBy", "beep", "a tone such as machines end their greeting with", MACHINE),
    ("AnsweredBy", "", BY_CARRIER, MACHINE),
    ("MachineEnded", "beep", "a tone, and then silence: it records", MESSAGE),
    ("MachineEnded", "quiet", "it has been silent for a while without a beep", MESSAGE),
    ("MachineEnded", "beep_timeout_ms", "its greeting has had its time", MESSAGE),
    ("MachineEnded", "", BY_CARRIER, MESSAGE),
    ("TurnDropped", "answering_machine", "said by a machine, not to the agent", MACHINE),
    ("TurnDropped", "answered", "said before it was known who is there", DECIDE),
    ("AgentStopped", "commit_refused", "what was said answers a turn that the model did not take", &[]),
    ("AgentStopped", "answering_machine", "a machine has no use for what was said", MACHINE),
    ("ResponseAsked", "answered", "who picks up waits for whoever has called", &["greeting"]),
    ("ResponseAsked", "message", "the message for a machine", MESSAGE),
    ("LineQueued", "message", "the message for a machine", MESSAGE),
    ("ResponseAsked", "greeting", "the agent speaks first", &["greeting"]),
    ("ResponseAsked", "farewell", "the agent says goodbye", &["farewell"]),
    ("ResponseAsked", "turn_committed", "nobody but us asks for a response in this mode", &["turn_detection.mode"]),
    (
        "ResponseAsked",
        "turn_ended_while_another_ran",
        "the caller's turn ended while an earlier response ran, which the model does not answer by itself",
        &["turn_detection.mode"],
    ),
    ("ResponseAsked", "tool_answered", "the agent goes on with what its tools answered", &["tools"]),
    ("ResponseAsked", "transfer", "the agent says what is said before a transfer", &["tools", "keys.actions"]),
    ("ResponseAsked", "line_back", "the caller, who pressed a key for a transfer, is back", &["keys.actions"]),
    ("ResponseAsked", "turn_sent_again", "the model had refused the turn that is to be answered", &[]),
    ("ResponseAsked", "model_silent", "the model was asked once more, since it had not answered in time", SILENT),
    ("ResponseAsked", "response_failed", "a response that failed is asked for again", FAILED),
    ("ResponseAsked", "model_came_back", "the answer that the lost session owed", LOST),
    ("ResponseAsked", "refused_while_another_ran", "the model's own response was first; this one follows it", &[]),
    ("LineQueued", "disclaimer", "said before anything else, and to its end", &["disclaimer"]),
    ("LineQueued", "transfer", "a recording before a transfer", &["tools", "keys.actions"]),
    ("LineQueued", "greeting", "a recording greets the caller", &["greeting"]),
    ("LineQueued", "farewell", "a recording says goodbye", &["farewell"]),
    ("LineQueued", "fallback", "the line for when the model cannot go on", &["on_failure.play", "on_failure.then"]),
    (
        "LineQueued",
        "filler",
        "played when the model is slow, or a response failed and the next try is a while away",
        &["filler", "limits.model_silence_ms"],
    ),
    ("LineQueued", "hold", "played while the model is dialled again", &["hold_sound"]),
    ("KeysCollected", "terminator", "the key that ends the digits was pressed", &["keys.terminator"]),
    ("KeysCollected", "length", "as many digits as there may be", &["keys.max_digits"]),
    ("KeysCollected", "timeout", "no further key came in time", &["keys.timeout_ms"]),
    ("KeysCollected", "action", "a key that does something was pressed", &["keys.actions"]),
    ("KeysCollected", "call_ends", "the call ends with digits that were not complete", &["keys.timeout_ms"]),
    ("ResponseAsked", "keys", "the agent goes on with what the caller pressed", &["keys.meaning"]),
    ("ResponseAsked", "key_repeat", "the caller pressed the key for hearing it again", &["keys.actions"]),
    ("BargeIn", "keys", "a key stops the agent", &["keys.interrupt"]),
    ("CallerIdle", "line", "neither side said anything for too long: the caller is spoken to", IDLE),
    ("CallerIdle", "end", "the caller was spoken to often enough, and said nothing", IDLE),
    ("CallerIdle", "nothing", "the caller was spoken to often enough, and the call may go on", IDLE),
    ("ResponseAsked", "idle", "the agent speaks to a caller who says nothing", IDLE),
    ("LineQueued", "idle", "a recording speaks to a caller who says nothing", IDLE),
    (
        "ToolSoundStarted",
        "",
        "a tool runs, and the caller has waited for so long in silence",
        &["tool_sound.grace_ms", "tool_sound.sound"],
    ),
    ("ToolSoundEnded", "agent_speaks", "the agent's voice takes its place at once", &["tool_sound.sound"]),
    ("ToolSoundEnded", "agent_held", "the agent has something to say, as soon as the caller lets it", TOOL_FADE),
    ("ToolSoundEnded", "tools_done", "no tool runs, and no answer to one is due", TOOL_FADE),
    ("ToolSoundEnded", "line_lent", "the carrier has the line", TOOL_FADE),
    ("ToolSoundEnded", "closing", "the call is ending", TOOL_FADE),
    (
        "ToolAnswered",
        "",
        "the model is given the answer, whoever speaks; it goes on once no tool of the same response runs",
        &["tools", "tool.timeout_ms"],
    ),
    (
        "TransferBegun",
        "",
        "the agent's tool or a key of the caller's; the carrier is asked once all that is said before was heard",
        &["tools", "keys.actions"],
    ),
    ("LineLent", "", "the carrier has the line: its stream ends, the call does not", &[]),
    ("LineBroken", "stopped", "the stream was stopped: a hang-up, unless the carrier asks for it anew", LINE_BACK),
    ("LineBroken", "lost", "the stream's socket died; the carrier is led back to this call", LINE_BACK),
    ("LineBack", "line_broken", "the stream broke off before the carrier was asked", &[]),
    ("LineBack", "called_off", "the caller cut in before the carrier was asked", &["interruptions"]),
    ("LineBack", "failed", "the carrier refused, or could not reach the number", &[]),
    ("LineBack", "timeout", "the carrier did not answer within 15 s; the caller has been here all the time", &[]),
    (
        "LineBack",
        "back",
        "the stream began again: keys were pressed, a transfer came to nothing, or it had broken off",
        &[],
    ),
    ("LineBack", "busy", "the number's line was busy", &[]),
    ("LineBack", "no_answer", "it rang there for as long as it may", &["destination.ring_s"]),
    (
        "WrapUpAsked",
        "budget",
        "four fifths of what the model may cost are used up: it is told to come to an end",
        BUDGET,
    ),
    ("WrapUpAsked", "model_time", "the model's time is over before long: it is told to come to an end", MODEL_TIME),
    (
        "EndAnnounced",
        "",
        "the model is told some time before the longest duration",
        &["limits.warn_before_s", "limits.max_minutes"],
    ),
    ("ToolCalled", "", "the agent may use the tools of its document", &["tools"]),
    ("Closing", "agent_hung_up", BY_AGENT, &["tools", "keys.actions", "limits.farewell_s"]),
    ("Closing", "answering_machine", "a machine picked up, and is hung up on", MACHINE),
    ("Closing", "voicemail", "the message is the last that is said", MESSAGE),
    ("Closing", "fax", "a fax picked up", MACHINE),
    ("Closing", "caller_silent", QUIET, &["limits.caller_silence_s", "idle.after_s", "idle.times", "farewell"]),
    ("Closing", "duration_cap", CAP, &["limits.max_minutes", "farewell", "limits.farewell_s"]),
    ("Closing", "model_time_cap", MODEL_TIME_CAP, &["limits.max_model_minutes", "farewell", "limits.farewell_s"]),
    ("Closing", "cost_cap", COST_CAP, BUDGET),
    ("Closing", "model_unavailable", NO_MODEL, LOST),
    ("Closing", "model_silent", MODEL_SILENT, SILENT),
    ("Closing", "operator", BY_OPERATOR, &["farewell"]),
    ("Closing", "shutdown", "the server is being shut down", &["farewell", "limits.farewell_s"]),
    ("End", "agent_hung_up", BY_AGENT, &["tools", "keys.actions"]),
    ("End", "transferred", "somebody answered there, or nobody said that they did not", &["tools", "keys.actions"]),
    ("End", "caller_hung_up", "the carrier said that the caller hung up", &[]),
    ("End", "caller_gone", GONE, &["limits.caller_gone_s"]),
    ("End", "answering_machine", "a machine picked up, and was hung up on", MACHINE),
    ("End", "voicemail", "a machine picked up, and was to be left a message", MESSAGE),
    ("End", "fax", "a fax picked up", MACHINE),
    ("End", "not_answered", "nobody picked up", &["outbound.ring_s"]),
    ("End", "caller_silent", QUIET, &["limits.caller_silence_s", "idle.after_s", "idle.times"]),
    ("End", "never_connected", "the carrier did not open the media stream in time", &["limits.media_start_s"]),
    ("End", "duration_cap", CAP, &["limits.max_minutes", "limits.farewell_s"]),
    ("End", "model_time_cap", MODEL_TIME_CAP, &["limits.max_model_minutes"]),
    ("End", "cost_cap", COST_CAP, BUDGET),
    ("End", "model_unavailable", NO_MODEL, LOST),
    ("End", "model_silent", MODEL_SILENT, SILENT),
    ("End", "operator", BY_OPERATOR, &[]),
    ("End", "shutdown", "the server was shut down", &[]),
    ("End", "internal", "the server failed; its log says more", &[]),
];

/// The value of `key=value` in a line of the trace, without its quotes.
pub(super) fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let mut rest = line;
    while let Some((name, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let end = closing_quote(quoted)?;
                (&quoted[..end], &quoted[end + 1..])
            }
            None => after.split_at(after.find(' ').unwrap_or(after.len())),
        };
        if name == key {
            return Some(value);
        }
        rest = next.trim_start();
    }
    None
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|b| {
        let end = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        end
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{Budget, Destination, Eagerness, Tool, ToolKind, TurnDetection};
    use crate::journal::tests::settings;

    #[test]
    fn a_rule_names_the_settings_that_govern_it() {
        let rule = rule_of("BargeIn rule=server_vad heard_ms=1200 unheard_ms=3400", &settings()).unwrap();
        assert_eq!((rule.decision.as_str(), rule.rule.as_str()), ("BargeIn", "server_vad"));
        let shown: Vec<_> = rule.settings.iter().map(|s| (s.key, s.value.as_str(), s.file.as_str())).collect();
        assert_eq!(
            shown,
            [("interruptions", "\"on\"", "agents/mia.toml"), ("turn_detection.threshold", "0.5", "agents/mia.toml")]
        );
        let rule = rule_of("End duration_cap", &settings()).unwrap();
        assert_eq!(rule.settings[0].key, "limits.max_minutes");
        assert_eq!(
            (rule.settings[0].value.as_str(), rule.settings[0].file.as_str()),
            ("10", "deployments/front-desk.toml")
        );
    }

    #[test]
    fn reasons_with_words_behind_them_are_found() {
        let line = r#"Closing why="agent_hung_up (done \"for now\", rule=x)""#;
        assert_eq!(rule_of(line, &settings()).unwrap().meaning, BY_AGENT);
        let line = r#"ModelSlow waited_ms=4000 then=fall_back"#;
        assert_eq!(rule_of(line, &settings()).unwrap().rule, "fall_back");
        let line = r#"End agent_hung_up (bye)"#;
        assert_eq!(rule_of(line, &settings()).unwrap().meaning, BY_AGENT);
    }

    #[test]
    fn an_unknown_rule_is_shown_as_such_and_an_observation_is_none() {
        let rule = rule_of("TurnCommitted turn=1 rule=phase_of_the_moon", &settings()).unwrap();
        assert_eq!(rule.rule, "phase_of_the_moon");
        assert!(rule.meaning.contains("does not know") && rule.settings.is_empty());
        assert_eq!(rule_of("MediaStarted", &settings()), None);
        assert_eq!(rule_of("EffectRun id=1 what=hang_up", &settings()), None);
        assert_eq!(rule_of("line clear", &settings()), None);
        assert_eq!(rule_of("ResponseEnded response=r1 status=completed", &settings()), None);
        assert_eq!(rule_of(r#"EffectDone id=1 result=output:"a rule=b""#, &settings()), None);
        // What somebody said is not a rule, whatever it says.
        assert_eq!(rule_of(r#"Said who=caller text="rule=off why=x" unheard="""#, &settings()), None);
    }

    #[test]
    fn every_rule_of_local_detection_is_known() {
        let source = sources("engine/local").concat();
        let mut found = 0;
        for (call, decision) in [
            ("drop_turn(", "TurnDropped"),
            ("release_agent(", "AgentResumed"),
            ("release_if_settled(", "AgentResumed"),
            ("resume_agent(", "AgentResumed"),
            ("self.interrupt(", "BargeIn"),
            ("give_way(", "BargeIn"),
            ("is_interruption(", "BargeIn"),
            ("interrupt_by_verdict(", "BargeIn"),
            ("Over::Agent { until_ms: min_ms, rule: ", "BargeIn"),
            ("Over::Agent { until_ms: untranscribed_ms, rule: ", "BargeIn"),
            ("Over::Ignored { rule: ", "InterruptionIgnored"),
            ("InterruptionIgnored { rule: ", "InterruptionIgnored"),
            ("ignore_interruption(", "InterruptionIgnored"),
            ("answer_later(", "InterruptionIgnored"),
            ("Interruptions::MinWords(_) => ", "InterruptionIgnored"),
            ("set_aside(", "BackChannel"),
            ("commit_aside(", "BackChannel"),
            ("commit_unasked(", "TurnCommitted"),
        ] {
            for rest in source.split(call).skip(1) {
                let Some(rule) = rest.strip_prefix('"').and_then(|rest| rest.split('"').next()) else { continue };
                let rule = rule_of(&format!("{decision} rule={rule}"), &settings()).unwrap();
                assert!(!rule.meaning.contains("does not know"), "{rule:?}");
                found += 1;
            }
        }
        assert!(found > 25, "{found}");
    }

    /// The texts of a folder of the code, and of those in it.
    fn sources(folder: &str) -> Vec<String> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
        let mut texts = Vec::new();
        for file in std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap()) {
            if file.file_type().unwrap().is_dir() {
                texts.extend(sources(&format!("{folder}/{}", file.file_name().to_string_lossy())));
            } else {
                texts.push(std::fs::read_to_string(file.path()).unwrap());
            }
        }
        texts
    }

    /// What stands in quotes right behind `before`, wherever that is in the engine.
    fn named_in_the_engine(before: &str) -> Vec<String> {
        let mut names = Vec::new();
        for text in sources("engine") {
            let named = text.split(before).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
            names.extend(named.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
        }
        names
    }

    #[test]
    fn every_reason_for_a_response_a_recording_and_an_end_is_known() {
        let decisions: [(&str, &str, &[&str]); 7] = [
            ("ResponseAsked why=", "", &["self.ask(", "self.owe("]),
            ("LineQueued what=", "", &["&sound,", "(ItemKind::Line, sound,", "&line,", "&filler,"]),
            ("KeysCollected digits=1 rule=", "", &["note_digits(", "collected("]),
            ("LineBack rule=", " after_ms=1", &["end_errand(", "TransferOutcome::Busy => ", "map_or("]),
            ("AgentStopped rule=", "", &["stop_agent("]),
            ("ToolSoundEnded rule=", "", &["ToolSoundEnded { rule: "]),
            ("WrapUpAsked why=", "", &["if dear {"]),
        ];
        for (decision, rest, calls) in decisions {
            let names: Vec<_> = calls.iter().flat_map(|call| named_in_the_engine(call)).collect();
            assert!(!names.is_empty(), "{decision}");
            for name in names {
                let rule = rule_of(&format!("{decision}{name}{rest}"), &settings()).unwrap();
                assert!(!rule.meaning.contains("does not know"), "{rule:?}");
            }
        }
        let text = include_str!("../engine/event.rs");
        let kinds = text.split_once("pub fn kind(").unwrap().1.split_once("\n    }\n").unwrap().0;
        let kinds: Vec<_> = kinds.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(kinds.len() > 15);
        for kind in kinds {
            assert!(!rule_of(&format!("End {kind}"), &settings()).unwrap().meaning.contains("does not know"), "{kind}");
        }
    }

    #[test]
    fn a_days_budget_is_told_by_what_was_left_of_it() {
        let of = |of: &str| {
            let budget = Some(Budget { micros: 250_000, of: of.into() });
            let rule = rule_of(&format!("End cost_cap ({of})"), &CallSettings { budget, ..settings() }).unwrap();
            rule.settings.into_iter().map(|s| (s.key, s.value)).collect::<Vec<_>>()
        };
        assert_eq!(of("call"), [("limits.max_cost", "0.25".to_owned())]);
        let left = "more by 0.25 than was spent when the call began".to_owned();
        assert_eq!(of("day"), [("limits.max_cost_per_day", left)]);
    }

    #[test]
    fn every_key_of_the_table_has_a_value_in_some_mode() {
        let modes = [
            settings().turn_detection,
            TurnDetection::Semantic { eagerness: Eagerness::Auto },
            TurnDetection::Disabled { commit_key: Some('#') },
            TurnDetection::Local(Default::default()),
        ];
        let tool = Tool { does: ToolKind::Http, ..Tool::built_in(ToolKind::Note, &[]).unwrap() };
        let full = |mode: &TurnDetection, of: &str| CallSettings {
            turn_detection: mode.clone(),
            outbound: Some(Default::default()),
            budget: Some(Budget { micros: 1, of: of.into() }),
            tools: Arc::from([tool.clone()]),
            destinations: Arc::from([Destination::number("+15550100199")]),
            ..settings()
        };
        for key in TABLE.iter().flat_map(|row| row.3) {
            let mut all = modes.iter().flat_map(|mode| ["call", "number", "day"].map(|of| full(mode, of)));
            let known = all.any(|settings| governing(key, &settings).is_some());
            assert!(known, "{key}");
        }
    }
}
