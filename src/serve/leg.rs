//! One WebSocket of a call with what waits to be written to it.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::{Sink, Stream, StreamExt as _};

use super::outlet::{Kind, Outlet, Pushed};

/// What a socket reads at once. A frame of audio has half a kilobyte; larger messages take more reads. The library clears
/// this much before each read, so a large buffer costs more time than it saves, beside the memory.
pub(super) const READ_BUFFER_BYTES: usize = 4 << 10;

/// A socket and its outlet.
#[derive(Debug)]
pub(super) struct Leg<S, M, E> {
    socket: S,
    outlet: Outlet<M>,
    /// Why writing failed; told by reading.
    failed: Option<E>,
    patience: Duration,
    took: Option<Duration>,
    full: bool,
}

impl<S, M, E> Leg<S, M, E>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
{
    /// `limit`: bytes that may wait to be written; `patience`: how long the socket may take nothing.
    pub(super) fn new(socket: S, limit: usize, patience: Duration) -> Self {
        Leg { socket, outlet: Outlet::new(limit), failed: None, patience, took: None, full: false }
    }

    /// See [`Outlet::push`].
    pub(super) fn push(&mut self, kind: Kind, bytes: usize, message: M, read_at: Option<Instant>) -> Pushed {
        let pushed = self.outlet.push(kind, bytes, message, read_at);
        self.full |= pushed == Pushed::Full;
        pushed
    }

    /// Whether there was once no room for what must not be dropped: the socket should be given up.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// See [`Outlet::clear_audio`].
    pub(super) fn clear_audio(&mut self) {
        self.outlet.clear_audio();
    }

    /// Writes what the socket takes; an error is that of the socket, which is then done for.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.outlet.poll_drive(&mut self.socket, cx).map_ok(|took| self.took = self.took.max(took))
    }

    /// Writes what the socket takes; never waits. `false`: it failed, and reading tells why.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            self.failed = Some(error);
        }
        self.failed.is_none()
    }

    /// The next message; `None` when the far end is done. Writes nothing.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<M, E>>> {
        match self.failed.take() {
            Some(error) => Poll::Ready(Some(Err(error))),
            None => self.socket.poll_next_unpin(cx),
        }
    }

    /// When the socket counts as stalled unless it takes something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.outlet.deadline(self.patience)
    }

    /// How long the slowest message since the last time took from the other socket into this one.
    pub(super) fn take_latency(&mut self) -> Option<Duration> {
        self.took.take()
    }
}
