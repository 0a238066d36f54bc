//! One media stream's messages, both ways (Twilio's "Media Streams WebSocket messages").
//!
//! Everything that can arrive is survived: what is not understood is counted in [`Counters`] and answered by
//! [`Decoded::Nothing`]. Whether late or doubled audio is used is the engine's decision, by its media timestamp; a doubled
//! key press is dropped here, because nothing but its sequence number tells it from a second press.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use base64_simd::STANDARD;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::base::audio::{AudioFormat, Codec};
use crate::engine::{CallerCommand, CallerEvent, MarkId};

/// Longest message that is looked at, in bytes; Twilio's own are about 400.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Longest stream, call or account id.
const MAX_ID: usize = 64;

/// The messages of one media WebSocket.
#[derive(Debug)]
pub struct Stream {
    format: AudioFormat,
    phase: Phase,
    stream_sid: String,
    sequence: Sequence,
    counters: Counters,
    /// Decoded audio of the latest `media`; reused.
    audio: Vec<u8>,
}

/// `connected`, then `start`, then anything, then `stop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    BeforeStart,
    Started,
    Stopped,
}

/// What a message meant.
#[derive(Debug, PartialEq)]
pub enum Decoded<'a> {
    /// For the engine.
    Event(CallerEvent<'a>),
    /// The stream introduces itself. Whether it may speak for a call is the shell's to check before it tells the engine.
    Start(Box<Start>),
    /// The stream's audio is not of the line's format: the call cannot go on.
    Unsupported(MediaFormat),
    /// The socket's first message; carries nothing.
    Connected,
    /// Nothing to act on; the reason was counted.
    Nothing,
}

/// The `start` message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// `MZ…`.
    pub stream_sid: String,
    /// `AC…`.
    pub account_sid: String,
    /// `CA…`.
    pub call_sid: String,
    /// Tracks that will be sent, `inbound` for a two-way stream.
    pub tracks: Vec<String>,
    /// The TwiML's `<Parameter>`s by name.
    pub parameters: BTreeMap<String, String>,
    /// Format of the stream's audio, both ways.
    pub media_format: MediaFormat,
}

/// How a stream says its audio is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaFormat {
    /// `audio/x-mulaw`.
    pub encoding: String,
    /// 8000.
    pub sample_rate: u64,
    /// 1.
    pub channels: u64,
}

impl Stream {
    /// A socket that was just accepted. The line's format is the phone's, the only one that Twilio has.
    pub fn new() -> Self {
        Stream {
            format: AudioFormat::PHONE,
            phase: Phase::BeforeStart,
            stream_sid: String::new(),
            sequence: Sequence::default(),
            counters: Counters::default(),
            audio: Vec::new(),
        }
    }

    /// The format of audio in [`CallerEvent::Audio`] and [`CallerCommand::Audio`].
    pub fn format(&self) -> AudioFormat {
        self.format
    }

    /// `MZ…`, once the stream has started.
    pub fn stream_sid(&self) -> Option<&str> {
        (self.phase != Phase::BeforeStart).then_some(self.stream_sid.as_str())
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Counts a binary frame: the protocol has none.
    pub fn binary(&mut self) {
        self.counters.messages += 1;
        self.counters.binary += 1;
    }

    /// Reads one text message.
    pub fn decode<'a>(&'a mut self, text: &'a str) -> Decoded<'a> {
        self.counters.messages += 1;
        if text.len() > MAX_MESSAGE {
            self.counters.oversized += 1;
            return Decoded::Nothing;
        }
        let Ok(message) = serde_json::from_str::<Message<'a>>(text) else {
            self.counters.malformed += 1;
            return Decoded::Nothing;
        };
        match &*message.event.0 {
            "connected" => return Decoded::Connected,
            "start" => return self.start(message),
            "media" | "mark" | "dtmf" | "stop" => {}
            _ => {
                self.counters.unknown_events += 1;
                return Decoded::Nothing;
            }
        }
        match self.phase {
            Phase::Started => {}
            Phase::BeforeStart => {
                self.counters.before_start += 1;
                return Decoded::Nothing;
            }
            Phase::Stopped => {
                self.counters.after_stop += 1;
                return Decoded::Nothing;
            }
        }
        // A message without a stream id can only be of this socket's one stream.
        if message.stream_sid.as_ref().is_some_and(|sid| sid.0 != self.stream_sid) {
            self.counters.wrong_stream += 1;
            return Decoded::Nothing;
        }
        let arrival = self.sequence.note(message.sequence_number.and_then(|n| n.0), &mut self.counters);
        match &*message.event.0 {
            "media" => self.media(message.media),
            "mark" => match message.mark.as_ref().and_then(|mark| parse_mark(&mark.name.0)) {
                Some(mark) => Decoded::Event(CallerEvent::MarkPlayed(mark)),
                None => {
                    self.counters.foreign_marks += 1;
                    Decoded::Nothing
                }
            },
            "dtmf" => self.dtmf(message.dtmf, arrival),
            _ => {
                self.phase = Phase::Stopped;
                Decoded::Event(CallerEvent::StreamEnded)
            }
        }
    }

    /// Writes a command as one text message into `out`, whose former content is replaced. `out` stays empty, and
    /// [`Counters::unsent`] counts, while there is no stream to address. Audio should be at most a second per command:
    /// messages over 64 KiB are nowhere promised to arrive.
    pub fn encode(&mut self, command: &CallerCommand<'_>, out: &mut String) {
        out.clear();
        if self.phase != Phase::Started {
            self.counters.unsent += 1;
            return;
        }
        let event = match command {
            CallerCommand::Audio(_) => "media",
            CallerCommand::Mark(_) => "mark",
            CallerCommand::Clear => "clear",
        };
        // The id was checked at `start` to be of letters, digits, `-` and `_`: nothing to escape.
        out.push_str(r#"{"event":""#);
        out.push_str(event);
        out.push_str(r#"","streamSid":""#);
        out.push_str(&self.stream_sid);
        match command {
            CallerCommand::Audio(audio) => {
                out.push_str(r#"","media":{"payload":""#);
                STANDARD.encode_append(audio, out);
                out.push_str(r#""}}"#);
            }
            CallerCommand::Mark(MarkId { generation, seq }) => {
                // Writing to a string cannot fail.
                let _ = write!(out, r#"","mark":{{"name":"g{generation}-{seq}"}}}}"#);
            }
            CallerCommand::Clear => out.push_str(r#""}"#),
        }
    }

    fn start<'a>(&'a mut self, message: Message<'a>) -> Decoded<'a> {
        if self.phase != Phase::BeforeStart {
            self.counters.second_starts += 1;
            return Decoded::Nothing;
        }
        let outer = message.stream_sid.map(|sid| sid.0.into_owned());
        let Some(start) = message.start.and_then(|body| body.into_start(outer)) else {
            self.counters.malformed += 1;
            return Decoded::Nothing;
        };
        let format = &start.media_format;
        let codec = match format.encoding.as_str() {
            "audio/x-mulaw" => Some(Codec::Pcmu),
            _ => None,
        };
        if codec != Some(self.format.codec)
            || format.sample_rate != u64::from(self.format.rate_hz)
            || format.channels != 1
        {
            self.counters.unsupported += 1;
            return Decoded::Unsupported(start.media_format);
        }
        self.sequence.note(message.sequence_number.and_then(|n| n.0), &mut self.counters);
        self.stream_sid.push_str(&start.stream_sid);
        self.phase = Phase::Started;
        Decoded::Start(Box::new(start))
    }

    fn media(&mut self, media: Option<Media<'_>>) -> Decoded<'_> {
        let Some(media) = media else {
            self.counters.malformed += 1;
            return Decoded::Nothing;
        };
        if media.track.is_some_and(|track| track.0 != "inbound") {
            self.counters.other_track += 1;
            return Decoded::Nothing;
        }
        let Some(at_ms) = media.timestamp.0 else {
            self.counters.malformed += 1;
            return Decoded::Nothing;
        };
        self.audio.clear();
        if STANDARD.decode_append(media.payload.0.as_bytes(), &mut self.audio).is_err() {
            self.counters.bad_base64 += 1;
            return Decoded::Nothing;
        }
        if self.audio.is_empty() {
            self.counters.empty += 1;
            return Decoded::Nothing;
        }
        self.counters.media += 1;
        Decoded::Event(CallerEvent::Audio { at_ms, payload: &self.audio })
    }

    fn dtmf(&mut self, dtmf: Option<Dtmf<'_>>, arrival: Arrival) -> Decoded<'static> {
        let Some(dtmf) = dtmf else {
            self.counters.malformed += 1;
            return Decoded::Nothing;
        };
        if dtmf.track.is_some_and(|track| track.0 != "inbound_track" && track.0 != "inbound") {
            self.counters.other_track += 1;
            return Decoded::Nothing;
        }
        let mut chars = dtmf.digit.0.chars();
        match (chars.next(), chars.next()) {
            (Some(digit @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) => {
                if arrival == Arrival::Duplicate {
                    Decoded::Nothing
                } else {
                    Decoded::Event(CallerEvent::Dtmf(digit))
                }
            }
            _ => {
                self.counters.bad_digits += 1;
                Decoded::Nothing
            }
        }
    }
}

impl Default for Stream {
    fn default() -> Self {
        Stream::new()
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// What a stream's messages amounted to.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct Counters {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Every counter with its name, zeros included.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Messages that arrived, of any kind.
    messages,
    /// Audio messages that were passed on.
    media,
    /// Not JSON, truncated, or without what their event needs.
    malformed,
    /// Longer than [`MAX_MESSAGE`].
    oversized,
    /// Binary frames.
    binary,
    /// Events that this protocol version does not know.
    unknown_events,
    /// Media, marks, keys or a stop before the start.
    before_start,
    /// Anything after the stop.
    after_stop,
    /// Further `start` messages.
    second_starts,
    /// Starts whose audio format is not the line's.
    unsupported,
    /// Messages of another stream.
    wrong_stream,
    /// Media or keys of another track than the caller's.
    other_track,
    /// Audio that is not base64.
    bad_base64,
    /// Audio messages without audio.
    empty,
    /// Keys that no phone has.
    bad_digits,
    /// Marks with a name that is not ours.
    foreign_marks,
    /// Sequence numbers that were skipped (they may come later, as `late`).
    missing,
    /// Messages that came after a later one.
    late,
    /// Messages whose sequence number was there before.
    duplicates,
    /// Times that the sequence numbers leapt so far that counting began anew.
    sequence_leaps,
    /// Commands that were dropped because there was no stream to address.
    unsent,
}

/// Follows the per-socket sequence numbers.
#[derive(Debug, Default)]
struct Sequence {
    /// The highest number seen.
    last: Option<u64>,
    /// Bit i: number `last - i` was seen.
    seen: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    New,
    Duplicate,
}

impl Sequence {
    /// A minute of media: a leap beyond that says more about the counter than about lost messages.
    const LEAP: u64 = 3_000;

    fn note(&mut self, number: Option<u64>, counters: &mut Counters) -> Arrival {
        let Some(number) = number else { return Arrival::New };
        let Some(last) = self.last else {
            (self.last, self.seen) = (Some(number), 1);
            return Arrival::New;
        };
        if number.abs_diff(last) > Self::LEAP {
            counters.sequence_leaps += 1;
            (self.last, self.seen) = (Some(number), 1);
        } else if number > last {
            let ahead = number - last;
            counters.missing += ahead - 1;
            self.seen = if ahead < 64 { self.seen << ahead | 1 } else { 1 };
            self.last = Some(number);
        } else {
            let bit = 1u64.checked_shl((last - number) as u32).unwrap_or(0);
            if self.seen & bit != 0 {
                counters.duplicates += 1;
                return Arrival::Duplicate;
            }
            counters.late += 1;
            self.seen |= bit;
        }
        Arrival::New
    }
}

/// Our marks are named `g{generation}-{seq}`.
fn parse_mark(name: &str) -> Option<MarkId> {
    let (generation, seq) = name.strip_prefix('g')?.split_once('-')?;
    let number = |digits: &str| {
        // `parse` alone would take `+7` too.
        if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
    };
    Some(MarkId { generation: number(generation)?, seq: number(seq)? })
}

fn is_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Every message in one flat shape: an internally tagged enum would copy each message into a tree first.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(borrow)]
    stream_sid: Option<Text<'a>>,
    sequence_number: Option<Number>,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    #[serde(borrow)]
    mark: Option<Mark<'a>>,
    #[serde(borrow)]
    dtmf: Option<Dtmf<'a>>,
    start: Option<StartBody>,
}

#[derive(Deserialize)]
struct Media<'a> {
    #[serde(borrow)]
    track: Option<Text<'a>>,
    timestamp: Number,
    #[serde(borrow)]
    payload: Text<'a>,
}

#[derive(Deserialize)]
struct Mark<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize)]
struct Dtmf<'a> {
    #[serde(borrow)]
    track: Option<Text<'a>>,
    #[serde(borrow)]
    digit: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartBody {
    stream_sid: Option<String>,
    account_sid: String,
    call_sid: String,
    #[serde(default)]
    tracks: Vec<String>,
    #[serde(default)]
    custom_parameters: BTreeMap<String, String>,
    media_format: Option<FormatBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FormatBody {
    encoding: String,
    sample_rate: Number,
    channels: Number,
}

impl StartBody {
    /// `None` when an id is missing, unusable, or named twice and differently.
    fn into_start(self, outer_sid: Option<String>) -> Option<Start> {
        let stream_sid = match (self.stream_sid, outer_sid) {
            (Some(inner), Some(outer)) if inner != outer => return None,
            (Some(sid), _) | (None, Some(sid)) => sid,
            (None, None) => return None,
        };
        let media_format = match self.media_format {
            Some(format) => MediaFormat {
                encoding: format.encoding,
                sample_rate: format.sample_rate.0?,
                channels: format.channels.0?,
            },
            None => MediaFormat { encoding: "audio/x-mulaw".to_owned(), sample_rate: 8_000, channels: 1 },
        };
        [&stream_sid, &self.account_sid, &self.call_sid].iter().all(|id| is_id(id)).then_some(Start {
            stream_sid,
            account_sid: self.account_sid,
            call_sid: self.call_sid,
            tracks: self.tracks,
            parameters: self.custom_parameters,
            media_format,
        })
    }
}

/// A string that borrows unless it has escapes. (Serde lets a `Cow` borrow only as a field of its own.)
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A whole number, as a JSON number or a string of one; `None` for a string of anything else.
#[derive(Clone, Copy)]
struct Number(Option<u64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number or a string of one")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(Some(number)))
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Number, E> {
                Ok(Number(None))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Number, E> {
                let whole = number.fract() == 0.0 && (0.0..9e15).contains(&number);
                Ok(Number(whole.then_some(number as u64)))
            }

            fn visit_str<E: de::Error>(self, digits: &str) -> Result<Number, E> {
                Ok(Number(digits.parse().ok()))
            }
        }
        deserializer.deserialize_any(NumberVisitor)
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
