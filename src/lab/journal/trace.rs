//! Actions and inputs in words: the lines of the trace, which the journal keeps, `replay` compares and people read.

use std::fmt::{self, Write};

use crate::base::time::CallTime;
use crate::engine::{Action, CallerCommand, CallerEvent, Control, Effect, Input, ModelCommand, ModelEvent};

/// Appends the line of `action` without its time, such as `TurnCommitted turn=1 rule=server_vad`. Answers `false` and
/// appends nothing for what has no line: audio for the recording and caller audio for the model, which come 50 times a
/// second and follow from the inputs, and what was heard, which the journal keeps in a form of its own.
pub fn write_action(action: &Action<'_>, out: &mut String) -> bool {
    // Writing to a String cannot fail.
    let _ = match action {
        Action::Record(_) | Action::Heard(_) | Action::Found(_) | Action::SendModel(ModelCommand::AppendAudio(_)) => {
            return false;
        }
        Action::SendCaller(CallerCommand::Audio(payload)) => write!(out, "line audio bytes={}", payload.len()),
        Action::SendCaller(CallerCommand::Mark(mark)) => write!(out, "line mark g{}-{}", mark.generation, mark.seq),
        Action::SendCaller(CallerCommand::Clear) => out.write_str("line clear"),
        Action::SendModel(command) => write_command(command, out),
        Action::DialModel => out.write_str("model dial"),
        Action::CloseModel => out.write_str("model close"),
        Action::Run(id, Effect::HangUp) => write!(out, "run {} hang_up", id.0),
        Action::Run(id, Effect::Transfer { to, back_after_s }) => {
            let _ = write!(out, "run {} transfer to={}", id.0, Word(to));
            back_after_s.map_or(Ok(()), |s| write!(out, " back_after_s={s}"))
        }
        Action::Run(id, Effect::SendDtmf(digits)) => write!(out, "run {} send_dtmf digits={}", id.0, Word(digits)),
        Action::Run(id, Effect::Tool { name, arguments }) => {
            write!(out, "run {} tool name={} arguments={}", id.0, Word(name), Word(arguments))
        }
        Action::Run(id, Effect::Fetch) => write!(out, "run {} fetch", id.0),
        Action::Cancel(id) => write!(out, "cancel {}", id.0),
        Action::Emit(event) => write!(out, "{event}"),
        Action::LineOver => out.write_str("line over"),
        Action::End(reason) => write!(out, "End {reason}"),
    };
    true
}

/// The line of `action` with its time, such as `00:03.240 TurnCommitted turn=1 rule=server_vad`; `None` for what has no
/// line (see [`write_action`]).
pub fn line(at: CallTime, action: &Action<'_>) -> Option<String> {
    let mut out = format!("{at} ");
    write_action(action, &mut out).then_some(out)
}

/// Appends an input in words, such as `caller audio at_ms=20 bytes=160`. Not kept anywhere: for people only.
pub fn write_input(input: &Input<'_>, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = match input {
        Input::Caller(CallerEvent::Started) => out.write_str("caller started"),
        Input::Caller(CallerEvent::Audio { at_ms, payload }) => {
            write!(out, "caller audio at_ms={at_ms} bytes={}", payload.len())
        }
        Input::Caller(CallerEvent::Dtmf(digit)) => write!(out, "caller dtmf {digit}"),
        Input::Caller(CallerEvent::MarkPlayed(mark)) => write!(out, "caller mark g{}-{}", mark.generation, mark.seq),
        Input::Caller(CallerEvent::StreamEnded) => out.write_str("caller stream_ended"),
        Input::Caller(CallerEvent::HungUp) => out.write_str("caller hung_up"),
        Input::Caller(CallerEvent::Lost) => out.write_str("caller lost"),
        Input::Model(event) => write_model_event(event, out),
        Input::Effect(id, result) => write!(out, "effect {} {result}", id.0),
        Input::Control(Control::CommitTurn) => out.write_str("control commit_turn"),
        Input::Control(Control::Transfer(outcome)) => write!(out, "control transfer {}", outcome.name()),
        Input::Control(Control::Budget(budget)) => {
            write!(out, "control budget of={} micros={}", Word(&budget.of), budget.micros)
        }
        Input::Control(Control::Say(text)) => write!(out, "control say {}", Word(text)),
        Input::Control(Control::PutThrough(to)) => write!(out, "control put_through {}", Word(to)),
        Input::Control(Control::LineReturns) => out.write_str("control line_returns"),
        Input::Control(Control::AnsweredBy(by)) => write!(out, "control answered_by {}", by.name()),
        Input::Control(Control::End(reason)) => write!(out, "control end {reason}"),
        Input::Control(Control::EndNow(reason)) => write!(out, "control end_now {reason}"),
        Input::Tick => out.write_str("tick"),
    };
}

fn write_command(command: &ModelCommand<'_>, out: &mut String) -> fmt::Result {
    match command {
        ModelCommand::AppendAudio(payload) => write!(out, "model append bytes={}", payload.len()),
        ModelCommand::CommitAudio { .. } => out.write_str("model commit"),
        ModelCommand::ClearAudio => out.write_str("model clear_audio"),
        ModelCommand::CreateResponse { instructions: None } => out.write_str("model respond"),
        ModelCommand::CreateResponse { instructions: Some(text) } => {
            write!(out, "model respond instructions={}", Word(text))
        }
        ModelCommand::CancelResponse => out.write_str("model cancel"),
        ModelCommand::Truncate { item, audio_end_ms } => {
            write!(out, "model truncate item={} audio_end_ms={audio_end_ms}", Word(item))
        }
        ModelCommand::AddMessage { role, text, id, first } => {
            write!(out, "model add_message role={role} text={}", Word(text))?;
            if let Some(id) = id {
                write!(out, " id={}", Word(id))?;
            }
            if *first { out.write_str(" first=true") } else { Ok(()) }
        }
        ModelCommand::DeleteItem { item } => write!(out, "model delete item={}", Word(item)),
        ModelCommand::ToolOutput { call, output, .. } => {
            write!(out, "model tool_output call={} output={}", Word(call), Word(output))
        }
    }
}

fn write_model_event(event: &ModelEvent<'_>, out: &mut String) -> fmt::Result {
    match event {
        ModelEvent::Ready { session, turns } => {
            write!(out, "model ready session={}", Word(session))?;
            match turns {
                Some(turns) => write!(out, " detects={} answers={}", turns.detects, turns.answers),
                None => Ok(()),
            }
        }
        ModelEvent::NotAsAsked { what } => write!(out, "model not_as_asked what={}", Word(what)),
        ModelEvent::Closed { reason, retry } => write!(out, "model closed reason={} retry={retry}", Word(reason)),
        ModelEvent::SpeechStarted { item, audio_start_ms } => {
            write!(out, "model speech_started item={} audio_start_ms={audio_start_ms}", Word(item))
        }
        ModelEvent::SpeechStopped { item, audio_end_ms } => {
            write!(out, "model speech_stopped item={} audio_end_ms={audio_end_ms}", Word(item))
        }
        ModelEvent::Committed { item } => write!(out, "model committed item={}", Word(item)),
        ModelEvent::CallerTranscript { item, text, done } => {
            write!(out, "model caller_transcript item={} text={} done={done}", Word(item), Word(text))
        }
        ModelEvent::ResponseStarted { response } => write!(out, "model response_started response={}", Word(response)),
        ModelEvent::Audio { response, item, payload } => {
            write!(out, "model audio response={} item={} bytes={}", Word(response), Word(item), payload.len())
        }
        ModelEvent::AgentTranscript { item, text, done, .. } => {
            write!(out, "model agent_transcript item={} text={} done={done}", Word(item), Word(text))
        }
        ModelEvent::ToolCall { call, name, arguments, .. } => {
            write!(out, "model tool_call call={} name={} arguments={}", Word(call), Word(name), Word(arguments))
        }
        ModelEvent::ResponseDone { response, status, detail, .. } => {
            write!(out, "model response_done response={} status={status:?}", Word(response))?;
            match detail {
                Some(detail) => write!(out, " detail={}", Word(detail)),
                None => Ok(()),
            }
        }
        ModelEvent::Error { code, message, fatal, .. } => {
            write!(out, "model error code={} message={} fatal={fatal}", Word(code), Word(message))
        }
        ModelEvent::TranscriptFailed { item } => write!(out, "model transcript_failed item={}", Word(item)),
        ModelEvent::Garbage => out.write_str("model garbage"),
    }
}

/// A word as it is, anything else in quotes with escapes, as in the lines of [`CallEvent`](crate::engine::CallEvent).
struct Word<'a>(&'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = !self.0.is_empty() && self.0.chars().all(|c| c.is_ascii_alphanumeric() || "_-.+/:#*".contains(c));
        if plain { f.write_str(self.0) } else { write!(f, "{:?}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Samples;
    use crate::engine::{CallEvent, EffectId, EndReason, MarkId, Record, Role};

    fn text(action: Action<'_>) -> String {
        line(CallTime::from_ms(3_240), &action).unwrap_or_default()
    }

    #[test]
    fn decisions_read_as_lines_with_their_time() {
        let turn = CallEvent::TurnCommitted { turn: 1, rule: "server_vad".into() };
        assert_eq!(text(Action::Emit(turn)), "00:03.240 TurnCommitted turn=1 rule=server_vad");
        assert_eq!(text(Action::SendCaller(CallerCommand::Audio(&[0; 800]))), "00:03.240 line audio bytes=800");
        let mark = MarkId { generation: 0, seq: 3 };
        assert_eq!(text(Action::SendCaller(CallerCommand::Mark(mark))), "00:03.240 line mark g0-3");
        let truncate = ModelCommand::Truncate { item: "item_1", audio_end_ms: 320 };
        assert_eq!(text(Action::SendModel(truncate)), "00:03.240 model truncate item=item_1 audio_end_ms=320");
        let message = ModelCommand::AddMessage { role: Role::Caller, text: "hi\nyou", id: Some("a b"), first: true };
        assert_eq!(
            text(Action::SendModel(message)),
            r#"00:03.240 model add_message role=caller text="hi\nyou" id="a b" first=true"#
        );
        assert_eq!(text(Action::Run(EffectId(7), Effect::HangUp)), "00:03.240 run 7 hang_up");
        assert_eq!(text(Action::End(EndReason::CallerHungUp)), "00:03.240 End caller_hung_up");
    }

    #[test]
    fn audio_for_the_model_and_the_recording_has_no_line() {
        let mut out = String::from("before");
        assert!(!write_action(&Action::SendModel(ModelCommand::AppendAudio(&[0; 160])), &mut out));
        assert!(!write_action(&Action::Record(Record::Agent { at: Samples(0), payload: &[0; 160] }), &mut out));
        assert_eq!(out, "before");
    }

    #[test]
    fn an_input_reads_as_one_line_whatever_it_carries() {
        let mut out = String::new();
        let event = ModelEvent::Error {
            code: "".into(),
            message: "a\nb \"c\"".into(),
            about: None,
            number: None,
            fatal: false,
            busy: false,
            passing: false,
            retry_after_ms: None,
        };
        write_input(&Input::Model(event), &mut out);
        assert_eq!(out, r#"model error code="" message="a\nb \"c\"" fatal=false"#);
    }
}
