//! A connection that is watched until it belongs to a call.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::Ticket;

/// Ends with an error when its first byte does not come in time, or when it has to make room.
#[derive(Debug)]
pub(in crate::serve) struct Watched<IO> {
    inner: IO,
    ticket: Arc<Ticket>,
    /// Until the first byte.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<IO> Watched<IO> {
    pub(super) fn new(inner: IO, ticket: Arc<Ticket>, first_byte: Duration) -> Self {
        Watched { inner, ticket, deadline: Some(Box::pin(sleep(first_byte))) }
    }

    pub(super) fn ticket(&self) -> &Arc<Ticket> {
        &self.ticket
    }

    /// Why it is over, if it is. Otherwise whoever polls is woken when that changes.
    fn over(&mut self, cx: &mut Context<'_>) -> Option<io::Error> {
        if self.ticket.is_kept() {
            return None;
        }
        if self.ticket.is_shown_out(cx) {
            return Some(io::Error::new(io::ErrorKind::ConnectionAborted, "it made room for another"));
        }
        let deadline = self.deadline.as_mut()?;
        if deadline.as_mut().poll(cx).is_ready() {
            self.deadline = None;
            self.ticket.was_silent();
            return Some(io::Error::new(io::ErrorKind::TimedOut, "nothing was said"));
        }
        None
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            this.deadline = None;
        }
        match read {
            Poll::Pending => this.over(cx).map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
            ready => ready,
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_write(cx, bytes) {
            // One that takes nothing makes room like one that says nothing.
            Poll::Pending => this.over(cx).map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
            ready => ready,
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_write_vectored(cx, bytes) {
            Poll::Pending => this.over(cx).map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
            ready => ready,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
