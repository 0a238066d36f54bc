//! Writing a journal: bytes into a buffer, which the shell takes and appends to the file off the call's path.

use std::io::Write;

use crate::base::audio::AudioFormat;
use crate::base::audio::level::audible_end;
use crate::base::time::CallTime;
use crate::config::{CallSettings, JournalKeep};
use crate::engine::{Action, CallerEvent, Input, ModelEvent};
use crate::lab::journal::read::Wire;
use crate::lab::journal::{VERSION, trace};

/// Writes a call's journal into a buffer. Nothing is allocated per input beyond the growth of the buffer.
///
/// The buffer has no bound of its own: [`take`](Self::take) it whenever [`len`](Self::len) is worth a write; whoever
/// holds the file decides what happens when it cannot keep up.
#[derive(Debug)]
pub struct Pen {
    keep: JournalKeep,
    format: AudioFormat,
    buffer: Vec<u8>,
    /// The words of one decision before they are escaped; kept for its room.
    line: String,
}

impl Pen {
    /// A journal that begins with the settings. With [`JournalKeep::Off`] nothing is ever written.
    pub fn new(settings: &CallSettings, keep: JournalKeep) -> Self {
        let mut pen = Pen { keep, format: settings.format, buffer: Vec::new(), line: String::new() };
        if keep != JournalKeep::Off {
            pen.put(|to| {
                write!(to, r#"{{"offhook_journal":{VERSION},"settings":"#)?;
                serde_json::to_writer(&mut *to, settings)?;
                to.write_all(b"}")
            });
        }
        pen
    }

    /// Keeps an input. Call it before the engine handles the input, with the same time.
    pub fn input(&mut self, at: CallTime, input: &Input<'_>) {
        let with_audio = match self.keep {
            JournalKeep::Off => return,
            JournalKeep::Decisions => false,
            JournalKeep::Audio => true,
        };
        let format = self.format;
        self.put(|to| {
            write!(to, r#"{{"at_us":{},"in":"#, at.as_us())?;
            match input {
                // The two that come many times a second.
                Input::Caller(CallerEvent::Audio { at_ms, payload }) => {
                    write!(to, r#"{{"audio":{{"at_ms":{at_ms}"#)?;
                    put_payload(to, payload, with_audio)?;
                    to.write_all(b"}}")?;
                }
                Input::Model(event) => {
                    to.write_all(br#"{"model":{"say":"#)?;
                    serde_json::to_writer(&mut *to, event)?;
                    if let ModelEvent::Audio { payload, .. } = event {
                        put_payload(to, payload, with_audio)?;
                        let audible = format.bytes(audible_end(format, payload));
                        // Without the audio nothing else tells what of it is silence.
                        if !with_audio && audible < payload.len() {
                            write!(to, r#","audible":{audible}"#)?;
                        }
                    }
                    to.write_all(b"}}")?;
                }
                Input::Caller(CallerEvent::Started) => serde_json::to_writer(&mut *to, &Wire::Started)?,
                Input::Caller(CallerEvent::Dtmf(digit)) => serde_json::to_writer(&mut *to, &Wire::Dtmf(*digit))?,
                Input::Caller(CallerEvent::MarkPlayed(mark)) => serde_json::to_writer(&mut *to, &Wire::Mark(*mark))?,
                Input::Caller(CallerEvent::StreamEnded) => serde_json::to_writer(&mut *to, &Wire::StreamEnded)?,
                Input::Caller(CallerEvent::HungUp) => serde_json::to_writer(&mut *to, &Wire::HungUp)?,
                Input::Caller(CallerEvent::Lost) => serde_json::to_writer(&mut *to, &Wire::Lost)?,
                Input::Effect(id, result) => {
                    write!(to, r#"{{"effect":{{"id":{},"result":"#, id.0)?;
                    serde_json::to_writer(&mut *to, result)?;
                    to.write_all(b"}}")?;
                }
                Input::Control(control) => {
                    to.write_all(br#"{"control":"#)?;
                    serde_json::to_writer(&mut *to, control)?;
                    to.write_all(b"}")?;
                }
                Input::Tick => serde_json::to_writer(&mut *to, &Wire::Tick)?,
            }
            to.write_all(b"}")
        });
    }

    /// Keeps a decision or what was heard, with the time of the input it came of. What has no line in the trace is left out.
    pub fn action(&mut self, at: CallTime, action: &Action<'_>) {
        if self.keep == JournalKeep::Off {
            return;
        }
        if let Action::Heard(step) = action {
            let (p, level) = (step.probability.per_mille(), step.level_db.min(0));
            self.put(|to| write!(to, r#"{{"at_us":{},"hear":[{p},{level}]}}"#, at.as_us()));
            return;
        }
        if let Action::Found(finding) = action {
            self.put(|to| write!(to, r#"{{"at_us":{},"found":"{}"}}"#, at.as_us(), finding.name()));
            return;
        }
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        if trace::write_action(action, &mut line) {
            self.put(|to| {
                write!(to, r#"{{"at_us":{},"out":"#, at.as_us())?;
                serde_json::to_writer(&mut *to, &line)?;
                to.write_all(b"}")
            });
        }
        self.line = line;
    }

    /// What was written since the last time, always whole lines; empty when nothing was.
    pub fn take(&mut self) -> Vec<u8> {
        let room = self.buffer.len();
        std::mem::replace(&mut self.buffer, Vec::with_capacity(room))
    }

    /// Bytes waiting to be taken.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether nothing waits to be taken.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    #[cfg(test)]
    pub(super) fn buffer_capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Appends one line, whole or not at all. Neither a `Vec` nor the types that are kept can fail to be written; if one
    /// ever does, the journal lacks a line and a replay says where.
    fn put(&mut self, write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) {
        let before = self.buffer.len();
        match write(&mut self.buffer) {
            Ok(()) => self.buffer.push(b'\n'),
            Err(_) => self.buffer.truncate(before),
        }
    }
}

/// The line that stands where `lines` lines are missing, the first of which was made at `from`.
pub fn lost_line(from: CallTime, lines: u64) -> String {
    format!("{{\"at_us\":{},\"lost\":{lines}}}\n", from.as_us())
}

fn put_payload(to: &mut Vec<u8>, payload: &[u8], with_audio: bool) -> std::io::Result<()> {
    write!(to, r#","len":{}"#, payload.len())?;
    if with_audio {
        to.extend_from_slice(br#","b64":""#);
        base64_simd::STANDARD.encode_append(payload, to);
        to.push(b'"');
    }
    Ok(())
}
