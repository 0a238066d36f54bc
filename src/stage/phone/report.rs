//! What a caller saw, live ([`PhoneEvent`]) and in the end ([`PhoneReport`]).

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use serde::Serialize;

use crate::base::time::Samples;
use crate::stage::phone::legs::Stamp;

/// Something that happened to the caller, as it happens.
#[derive(Clone, Debug, PartialEq)]
pub struct PhoneEvent {
    /// Since the call was placed.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The webhook is being asked.
    Ringing,
    /// The carrier speaks to the caller (a refusal, for instance).
    CarrierSays(String),
    /// The media stream is open.
    Connected,
    /// The caller begins to say the clip with this label.
    Says(String),
    /// The caller has finished it.
    Said(String),
    /// The agent becomes audible.
    AgentSpeaks,
    /// The agent falls silent.
    AgentSilent,
    /// The caller pressed a key.
    Pressed(char),
    /// The server dropped this much audio that the caller had not heard.
    Cleared {
        /// Milliseconds dropped.
        dropped_ms: u64,
    },
    /// A wait of the script ran into its limit.
    GaveUp(&'static str),
    /// The server sent what Twilio does not take.
    Violated(String),
    /// The caller was put through to this number.
    Transferred(String),
    /// The call is over.
    Ended(EndedBy),
}

/// How the call began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing has answered.
    #[default]
    NotAnswered,
    /// The media stream was opened.
    Connected,
    /// The call was answered without a stream, with these words.
    Refused {
        /// What the carrier was told to say.
        said: String,
    },
    /// The webhook did not answer 2xx (Twilio's 11200); 0: it did not answer at all.
    HttpError {
        /// HTTP status.
        status: u16,
        /// The body's beginning, or the transport's error.
        detail: String,
    },
    /// The webhook's answer is not TwiML that Twilio accepts (12100, 12200, 12300).
    BadTwiml {
        /// What is wrong.
        why: String,
    },
    /// The media socket was refused (31920, 31901, 31902, 31922).
    StreamRefused {
        /// HTTP status of the handshake; 0: there was none.
        status: u16,
        /// What went wrong.
        why: String,
    },
}

/// Who or what ended the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// It never began.
    #[default]
    NotConnected,
    /// The caller hung up.
    Caller,
    /// The caller's end of the socket vanished.
    CallerDied,
    /// The media socket broke off, and the carrier had nothing more to do.
    Broken,
    /// The server closed the media socket.
    Server {
        /// The close frame's code, if any.
        code: Option<u16>,
    },
    /// The server's end of the socket vanished without a close (31903).
    ServerLost,
    /// The server ended the call over REST.
    Rest,
    /// The server put the caller through to somebody else.
    Transferred,
    /// The longest time for a call was over.
    TimeLimit,
}

/// A span of audio that was heard without a gap, on the stream's media time line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// First sample.
    pub from: Samples,
    /// One past the last sample.
    pub to: Samples,
}

impl Heard {
    /// Milliseconds from the stream's beginning to the span's.
    pub fn from_ms(&self) -> u64 {
        self.from.as_ms(8_000)
    }

    /// Milliseconds from the stream's beginning to the span's end.
    pub fn to_ms(&self) -> u64 {
        self.to.as_ms(8_000)
    }
}

/// A mark that was sent back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MarkEcho {
    /// As the server named it.
    pub name: String,
    /// Position at which it was reached or cleared.
    pub at_ms: u64,
    /// Whether a `clear` returned it.
    pub cleared: bool,
}

/// A `clear`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Clear {
    /// When, on the media time line.
    pub at_ms: u64,
    /// Audio that the caller did not hear for it.
    pub dropped_ms: u64,
    /// Marks that it returned.
    pub marks: u32,
}

/// Something that Twilio would have warned about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// When, on the media time line (0 before the stream).
    pub at_ms: u64,
    /// Twilio's code.
    pub code: u16,
    /// What was wrong.
    pub what: String,
}

/// μ-law audio at 8 kHz, which is not printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Audio(pub Vec<u8>);

impl Deref for Audio {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Audio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

/// The call from the caller's end.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PhoneReport {
    /// `CA…`.
    pub call_sid: String,
    /// `MZ…`; empty: no stream was opened.
    pub stream_sid: String,
    /// The TwiML that began it, to be run again by [`CallOptions::twiml`](super::CallOptions::twiml).
    #[serde(skip)]
    pub twiml: String,
    /// How it began.
    pub outcome: Outcome,
    /// How it ended.
    pub ended_by: EndedBy,
    /// From the placing of the call to its end.
    pub duration_ms: u64,
    /// From the placing of the call to the stream's `start`: media time 0 is here.
    pub media_start_ms: Option<u64>,
    /// Position on the media time line at which the first audio that is not silence was heard.
    pub first_audio_ms: Option<u64>,
    /// What was heard, on the media time line.
    pub heard: Vec<Heard>,
    /// Marks that were sent back.
    pub marks: Vec<MarkEcho>,
    /// Clears.
    pub clears: Vec<Clear>,
    /// The first 100 things that Twilio would have warned about.
    pub violations: Vec<Violation>,
    /// All of them.
    pub violation_count: u64,
    /// What the carrier was told to say, in order.
    pub said: Vec<String>,
    /// Keys that the server pressed over the carrier.
    pub pressed: Vec<String>,
    /// What was heard of streams before the last one.
    #[serde(skip)]
    pub earlier_audio: Vec<Audio>,
    /// The number that the caller was put through to, whether anybody answered or not.
    pub transferred_to: Option<String>,
    /// Audio messages sent.
    pub frames_sent: u64,
    /// Audio messages that the server did not take in time (Twilio's 31930): they were dropped.
    pub frames_dropped: u64,
    /// Audio messages received.
    pub frames_received: u64,
    /// Audio received that did not fit the playout queue of 10 minutes.
    pub overflow_ms: u64,
    /// Status callbacks that were not answered 2xx.
    pub failed_callbacks: u64,
    /// Live events that nobody took in time.
    pub events_lost: u64,
    /// Heard audio from the stream's beginning, μ-law at 8 kHz, when kept.
    #[serde(skip)]
    pub audio: Audio,
    /// Audio sent, by message; empty unless probes are kept.
    #[serde(skip)]
    pub sent: Vec<Stamp>,
    /// Audio received, by message; empty unless probes are kept.
    #[serde(skip)]
    pub received: Vec<Stamp>,
}
