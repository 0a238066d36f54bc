//! A media stream that has shown its token: its messages, and what waits to be written.

use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use tracing::Span;

use crate::engine::{CallerCommand, CallerEvent};
use crate::link::twilio::{Decoded, Stream};
use crate::output::words;
use crate::serve::leg::Leg;
use crate::serve::lines::Read;
use crate::serve::outlet::{Kind, Pushed};

/// Agent audio that may wait: more than the 20 seconds that fit are a backlog that nobody wants to hear.
const QUEUE_BYTES: usize = 256 << 10;
/// How long the line's socket may take nothing before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// See [`super::super::Socket`].
pub(in crate::serve) struct Socket {
    leg: Leg<WebSocket, Message, axum::Error>,
    stream: Stream,
    /// The message that was read last, until it is forgotten.
    text: Utf8Bytes,
}

impl Socket {
    /// A socket whose stream has begun.
    pub(in crate::serve) fn new(socket: WebSocket, stream: Stream) -> Socket {
        Socket { leg: Leg::new(socket, QUEUE_BYTES, PATIENCE), stream, text: Utf8Bytes::default() }
    }

    pub(in crate::serve::lines) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        Poll::Ready(match ready!(self.leg.poll_read(cx)) {
            Some(Ok(Message::Text(text))) => {
                self.text = text;
                Read::Message
            }
            Some(Ok(Message::Binary(_))) => {
                self.stream.binary();
                Read::Nothing
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Read::Nothing,
            Some(Ok(Message::Close(_))) => Read::Closed,
            Some(Err(error)) => Read::Lost(Some(words::of(&error))),
            None => Read::Lost(None),
        })
    }

    pub(in crate::serve::lines) fn event(&mut self, span: &Span) -> Option<CallerEvent<'_>> {
        tracing::trace!(parent: span, bytes = self.text.as_str().len(), "from the line");
        match self.stream.decode(self.text.as_str()) {
            Decoded::Event(event) => Some(event),
            Decoded::Start(_) | Decoded::Unsupported(_) | Decoded::Connected | Decoded::Nothing => None,
        }
    }

    /// Makes room: the socket reads into the same memory again once nobody holds the message.
    pub(in crate::serve::lines) fn forget(&mut self) {
        self.text = Utf8Bytes::default();
    }

    pub(in crate::serve::lines) fn push(&mut self, command: &CallerCommand<'_>, read_at: Option<Instant>) -> usize {
        let kind = match command {
            CallerCommand::Audio(_) => Kind::Audio,
            CallerCommand::Mark(_) => Kind::Mark,
            CallerCommand::Clear => {
                // What the line does not have yet needs no clearing there.
                self.leg.clear_audio();
                Kind::Other
            }
        };
        let mut text = String::with_capacity(512);
        self.stream.encode(command, &mut text);
        if text.is_empty() {
            return 0;
        }
        let bytes = text.len();
        match self.leg.push(kind, bytes, Message::Text(text.into()), read_at) {
            Pushed::Dropped(bytes) => bytes,
            Pushed::Fits | Pushed::Full => 0,
        }
    }

    pub(in crate::serve::lines) fn close(&mut self) {
        let frame = CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::from_static("") };
        self.leg.push(Kind::Other, 2, Message::Close(Some(frame)), None);
    }

    pub(in crate::serve::lines) fn flush(&mut self, cx: &mut Context<'_>) -> (bool, Option<Duration>) {
        (self.leg.flush(cx), self.leg.take_latency())
    }

    pub(in crate::serve::lines) fn is_full(&self) -> bool {
        self.leg.is_full()
    }

    pub(in crate::serve::lines) fn deadline(&self) -> Option<Instant> {
        self.leg.deadline()
    }

    pub(in crate::serve::lines) fn counters(&self) -> Vec<(&'static str, u64)> {
        let odd = |(name, n): &(&str, u64)| *n > 0 && !matches!(*name, "messages" | "media");
        self.stream.counters().iter().filter(odd).collect()
    }
}
