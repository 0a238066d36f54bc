//! Reading a journal. Pure: bytes in, entries out.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::base::time::CallTime;
use crate::config::CallSettings;
use crate::ears::answering::Finding;
use crate::ears::vad::Probability;
use crate::engine::{CallerEvent, Control, EffectId, EffectResult, Input, MarkId, ModelEvent};
use crate::lab::journal::{MAX_AUDIO_BYTES, MAX_BYTES, MAX_LINE_BYTES, VERSION};

/// A journal that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Journal {
    /// What the call ran by.
    pub settings: CallSettings,
    /// Inputs and decisions in the order in which they were written.
    pub entries: Vec<Entry>,
    /// The file ends in the middle of a line: the server was killed while it wrote. That line is left out.
    pub torn: bool,
    /// Lines that found no room on the disk's way, in order. What follows does not come of what is there.
    pub lost: Vec<Lost>,
    /// As much silence as the longest audio that was not kept.
    silence: Vec<u8>,
}

/// Lines that are missing from a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// When the first of them was made.
    pub from: CallTime,
    /// How many.
    pub lines: u64,
}

/// One line of a journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When.
    pub at: CallTime,
    /// What.
    pub kind: Kind,
}

/// What a line of a journal keeps.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// The engine was given this.
    In(OwnedInput),
    /// The engine's own ears heard this in one step of the last input's audio: all that turn detection rests on. Where the
    /// step ends follows from the audio's lengths.
    Heard {
        /// How likely the caller spoke.
        probability: Probability,
        /// RMS level in dBFS, −128–0.
        level_db: i8,
    },
    /// The engine's own ears found this out about who picked up.
    Found(Finding),
    /// The engine decided this; the words of [`trace::write_action`](crate::lab::journal::trace::write_action).
    Out(String),
}

/// An [`Input`] that owns what it carries.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedInput {
    /// The input without its audio.
    input: Input<'static>,
    payload: Payload,
}

/// The audio of an input, in the line's format.
#[derive(Clone, Debug, PartialEq)]
enum Payload {
    None,
    /// Bytes it had, and up to where they could be heard.
    Length(usize, usize),
    Kept(Box<[u8]>),
}

/// A journal that cannot be read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalError {
    /// Counts from 1.
    pub line: usize,
    /// What is wrong, for people.
    pub message: String,
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for JournalError {}

impl Journal {
    /// Reads a whole journal. A torn last line is tolerated and flagged; anything else that is not of the format is an
    /// error, and so is a file over [`MAX_BYTES`] or a line over [`MAX_LINE_BYTES`].
    pub fn parse(bytes: &[u8]) -> Result<Journal, JournalError> {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(error(1, format!("the journal has {} bytes; at most {MAX_BYTES} are read", bytes.len())));
        }
        let (head, mut rest) = match bytes.iter().position(|&b| b == b'\n') {
            Some(end) => (&bytes[..end], &bytes[end + 1..]),
            None => (bytes, &[][..]),
        };
        let settings = parse_head(head)?;
        let mut journal = Journal { settings, entries: Vec::new(), torn: false, lost: Vec::new(), silence: Vec::new() };
        let mut longest = 0;
        let mut line = 1;
        while !rest.is_empty() {
            line += 1;
            let (text, whole) = match rest.iter().position(|&b| b == b'\n') {
                Some(end) => {
                    let text = &rest[..end];
                    rest = &rest[end + 1..];
                    (text, true)
                }
                None => (std::mem::take(&mut rest), false),
            };
            match parse_entry(text) {
                Ok(Line::Lost(lost)) => journal.lost.push(lost),
                Ok(Line::Entry(entry)) => {
                    if let Kind::In(OwnedInput { payload: Payload::Length(bytes, _), .. }) = &entry.kind {
                        longest = longest.max(*bytes);
                    }
                    journal.entries.push(entry);
                }
                Err(_) if !whole => journal.torn = true,
                Err(message) => return Err(error(line, message)),
            }
        }
        // A sound as long as the longest piece of audio, and silence after it: any piece is cut from there.
        let format = journal.settings.format;
        journal.silence.reserve_exact(2 * longest);
        format.codec.encode(&vec![SOUND; longest / format.bytes_per_sample()], &mut journal.silence);
        journal.silence.resize(2 * longest, format.silence_byte());
        Ok(journal)
    }

    /// The input of an entry as the engine takes it; audio that was not kept is silence of the same length. `None` for a
    /// decision.
    pub fn input<'a>(&'a self, entry: &'a Entry) -> Option<Input<'a>> {
        match &entry.kind {
            Kind::In(input) => Some(input.with_stand_in(&self.silence)),
            Kind::Heard { .. } | Kind::Found(_) | Kind::Out(_) => None,
        }
    }

    /// Whether the call's end is in the journal. When it is not, the server was killed during the call.
    pub fn is_finished(&self) -> bool {
        let end = |e: &Entry| matches!(&e.kind, Kind::Out(line) if line.starts_with("End "));
        self.entries.iter().rev().any(end)
    }

    /// What was heard of the audio of the input that is entry `index`, step by step.
    pub fn heard_of(&self, index: usize) -> impl Iterator<Item = (Probability, i8)> + '_ {
        self.came_of(index).filter_map(|entry| match entry.kind {
            Kind::Heard { probability, level_db } => Some((probability, level_db)),
            _ => None,
        })
    }

    /// What was found out about who picked up in the audio of the input that is entry `index`.
    pub fn found_of(&self, index: usize) -> impl Iterator<Item = Finding> + '_ {
        self.came_of(index).filter_map(|entry| match entry.kind {
            Kind::Found(finding) => Some(finding),
            _ => None,
        })
    }

    fn came_of(&self, index: usize) -> impl Iterator<Item = &Entry> {
        let rest = self.entries.get(index + 1..).unwrap_or_default();
        rest.iter().take_while(|entry| !matches!(entry.kind, Kind::In(_)))
    }

    /// Whether the audio itself was kept, and not only its lengths. True for a journal without any audio.
    pub fn has_audio(&self) -> bool {
        let missing = |e: &Entry| matches!(&e.kind, Kind::In(OwnedInput { payload: Payload::Length(1.., _), .. }));
        !self.entries.iter().any(missing)
    }

    /// The time of the last entry: how long the call lasted, as far as the journal knows.
    pub fn length(&self) -> CallTime {
        self.entries.iter().map(|e| e.at).max().unwrap_or_default()
    }
}

/// A sample of what stands for audio that could be heard and was not kept.
const SOUND: i16 = 4_000;

impl OwnedInput {
    /// The input as the engine takes it. Audio that was not kept is cut from `stand_in`, whose first half is a sound and the
    /// rest silence: as long as it was, and to be heard as far as it was.
    pub fn with_stand_in<'a>(&'a self, stand_in: &'a [u8]) -> Input<'a> {
        let middle = stand_in.len() / 2;
        let audio = match &self.payload {
            Payload::None => &[],
            Payload::Length(bytes, audible) => {
                let from = middle.saturating_sub(*audible);
                &stand_in[from..stand_in.len().min(from + bytes)]
            }
            Payload::Kept(bytes) => &bytes[..],
        };
        match &self.input {
            Input::Caller(CallerEvent::Audio { at_ms, .. }) => {
                Input::Caller(CallerEvent::Audio { at_ms: *at_ms, payload: audio })
            }
            Input::Model(ModelEvent::Audio { response, item, .. }) => Input::Model(ModelEvent::Audio {
                response: Cow::Borrowed(response),
                item: Cow::Borrowed(item),
                payload: audio,
            }),
            other => other.clone(),
        }
    }
}

/// An input on the wire of the journal. The audio is written by hand (`Pen::input`) and read from here.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Wire<'a> {
    Started,
    Audio {
        at_ms: u64,
        len: usize,
        #[serde(borrow)]
        b64: Option<Cow<'a, str>>,
    },
    Dtmf(char),
    Mark(MarkId),
    StreamEnded,
    HungUp,
    Lost,
    Model {
        #[serde(borrow)]
        say: ModelEvent<'a>,
        len: Option<usize>,
        #[serde(borrow)]
        b64: Option<Cow<'a, str>>,
        /// Bytes up to the last that can be heard, where that is not all of them.
        audible: Option<usize>,
    },
    Effect {
        id: EffectId,
        result: EffectResult,
    },
    Control(Control),
    Tick,
}

#[derive(Deserialize)]
struct Head<'a> {
    offhook_journal: u32,
    #[serde(borrow)]
    settings: &'a RawValue,
}

/// A line that was read.
enum Line {
    Entry(Entry),
    Lost(Lost),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wired<'a> {
    at_us: u64,
    #[serde(borrow, rename = "in")]
    input: Option<Wire<'a>>,
    #[serde(rename = "out")]
    output: Option<String>,
    hear: Option<(u16, i16)>,
    found: Option<Finding>,
    lost: Option<u64>,
}

fn parse_head(head: &[u8]) -> Result<CallSettings, JournalError> {
    if head.len() > MAX_LINE_BYTES {
        return Err(error(1, format!("longer than {MAX_LINE_BYTES} bytes")));
    }
    let head: Head<'_> = serde_json::from_slice(head).map_err(|e| {
        error(1, format!("not an offhook journal: it must begin with {{\"offhook_journal\":{VERSION},…}} ({e})"))
    })?;
    if head.offhook_journal != VERSION {
        let found = head.offhook_journal;
        return Err(error(1, format!("a journal of version {found}; this offhook reads version {VERSION}")));
    }
    serde_json::from_str(head.settings.get()).map_err(|e| error(1, format!("the settings cannot be read: {e}")))
}

fn parse_entry(line: &[u8]) -> Result<Line, String> {
    if line.len() > MAX_LINE_BYTES {
        return Err(format!("longer than {MAX_LINE_BYTES} bytes"));
    }
    let line: Wired<'_> = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    let at = CallTime::from_us(line.at_us);
    if let Wired { lost: Some(lines), input: None, output: None, hear: None, found: None, .. } = line {
        return Ok(Line::Lost(Lost { from: at, lines }));
    }
    let kind = match (line.input, line.output, line.hear, line.found) {
        (Some(wire), None, None, None) => Kind::In(owned(wire)?),
        (None, Some(text), None, None) => Kind::Out(text),
        (None, None, None, Some(finding)) => Kind::Found(finding),
        (None, None, Some((per_mille @ 0..=1_000, level @ -128..=0)), None) => {
            Kind::Heard { probability: Probability::from_per_mille(per_mille), level_db: level as i8 }
        }
        (None, None, Some((per_mille, level)), None) => {
            return Err(format!("\"hear\" is [{per_mille},{level}]; allowed: [0 to 1000, -128 to 0]"));
        }
        _ => return Err("expected one of \"in\", \"hear\", \"found\", \"out\" and \"lost\"".to_owned()),
    };
    Ok(Line::Entry(Entry { at, kind }))
}

fn owned(wire: Wire<'_>) -> Result<OwnedInput, String> {
    let mut payload = Payload::None;
    let input = match wire {
        Wire::Started => Input::Caller(CallerEvent::Started),
        Wire::Audio { at_ms, len, b64 } => {
            payload = read_payload(len, b64, Some(0))?;
            Input::Caller(CallerEvent::Audio { at_ms, payload: &[] })
        }
        Wire::Dtmf(digit) => Input::Caller(CallerEvent::Dtmf(digit)),
        Wire::Mark(mark) => Input::Caller(CallerEvent::MarkPlayed(mark)),
        Wire::StreamEnded => Input::Caller(CallerEvent::StreamEnded),
        Wire::HungUp => Input::Caller(CallerEvent::HungUp),
        Wire::Lost => Input::Caller(CallerEvent::Lost),
        Wire::Model { say, len, b64, audible } => {
            match (&say, len) {
                (ModelEvent::Audio { .. }, Some(len)) => payload = read_payload(len, b64, audible)?,
                (ModelEvent::Audio { .. }, None) => return Err("model audio without \"len\"".to_owned()),
                (_, None) if b64.is_none() => {}
                _ => return Err("audio beside a model event that carries none".to_owned()),
            }
            Input::Model(into_owned(say))
        }
        Wire::Effect { id, result } => Input::Effect(id, result),
        Wire::Control(control) => Input::Control(control),
        Wire::Tick => Input::Tick,
    };
    Ok(OwnedInput { input, payload })
}

fn read_payload(len: usize, b64: Option<Cow<'_, str>>, audible: Option<usize>) -> Result<Payload, String> {
    if len > MAX_AUDIO_BYTES {
        return Err(format!("{len} bytes of audio in one input; at most {MAX_AUDIO_BYTES} are read"));
    }
    let Some(text) = b64 else { return Ok(Payload::Length(len, audible.unwrap_or(len).min(len))) };
    let bytes = base64_simd::STANDARD.decode_to_vec(text.as_bytes()).map_err(|_| "\"b64\" is not base64".to_owned())?;
    if bytes.len() != len {
        return Err(format!("\"b64\" holds {} bytes, \"len\" says {len}", bytes.len()));
    }
    Ok(Payload::Kept(bytes.into()))
}

fn into_owned(event: ModelEvent<'_>) -> ModelEvent<'static> {
    fn own(text: Cow<'_, str>) -> Cow<'static, str> {
        Cow::Owned(text.into_owned())
    }
    match event {
        ModelEvent::Ready { session, turns } => ModelEvent::Ready { session: own(session), turns },
        ModelEvent::NotAsAsked { what } => ModelEvent::NotAsAsked { what: own(what) },
        ModelEvent::Closed { reason, retry } => ModelEvent::Closed { reason: own(reason), retry },
        ModelEvent::SpeechStarted { item, audio_start_ms } => {
            ModelEvent::SpeechStarted { item: own(item), audio_start_ms }
        }
        ModelEvent::SpeechStopped { item, audio_end_ms } => ModelEvent::SpeechStopped { item: own(item), audio_end_ms },
        ModelEvent::Committed { item } => ModelEvent::Committed { item: own(item) },
        ModelEvent::CallerTranscript { item, text, done } => {
            ModelEvent::CallerTranscript { item: own(item), text: own(text), done }
        }
        ModelEvent::TranscriptFailed { item } => ModelEvent::TranscriptFailed { item: own(item) },
        ModelEvent::ResponseStarted { response } => ModelEvent::ResponseStarted { response: own(response) },
        ModelEvent::Audio { response, item, .. } => {
            ModelEvent::Audio { response: own(response), item: own(item), payload: &[] }
        }
        ModelEvent::AgentTranscript { response, item, text, done } => {
            ModelEvent::AgentTranscript { response: own(response), item: own(item), text: own(text), done }
        }
        ModelEvent::ToolCall { response, call, name, arguments } => ModelEvent::ToolCall {
            response: own(response),
            call: own(call),
            name: own(name),
            arguments: own(arguments),
        },
        ModelEvent::ResponseDone { response, status, detail, usage, fatal, retry_after_ms } => {
            let (response, detail) = (own(response), detail.map(own));
            ModelEvent::ResponseDone { response, status, detail, usage, fatal, retry_after_ms }
        }
        ModelEvent::Error { code, message, about, number, fatal, busy, passing, retry_after_ms } => {
            let (code, message) = (own(code), own(message));
            ModelEvent::Error { code, message, about, number, fatal, busy, passing, retry_after_ms }
        }
        ModelEvent::Garbage => ModelEvent::Garbage,
    }
}

fn error(line: usize, message: String) -> JournalError {
    JournalError { line, message }
}
