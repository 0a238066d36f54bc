//! What waits to be written to a socket: a queue with a bound in bytes, driven from the call's own loop.
//!
//! The loop never awaits a socket. It pushes here, and [`Outlet::poll_drive`] writes as much as the socket takes.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::{Sink, SinkExt as _};

/// What a queued message is, as far as dropping goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Audio: the oldest goes first when there is no room.
    Audio,
    /// A mark: never dropped for room, but moot once the audio before it is cleared.
    Mark,
    /// Never dropped.
    Other,
}

/// What a push did to the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// All of it fits.
    Fits,
    /// So many bytes of older audio were dropped for it.
    Dropped(usize),
    /// There is no audio left to drop: the far end takes nothing, and the socket should be given up.
    Full,
}

/// A bounded queue before a sink.
#[derive(Debug)]
pub(super) struct Outlet<M> {
    queue: VecDeque<Queued<M>>,
    bytes: usize,
    limit: usize,
    unflushed: bool,
    /// When the socket last took something while something was waiting.
    waiting_since: Option<Instant>,
    /// The earliest arrival among what was passed on and is not yet flushed.
    oldest: Option<Instant>,
}

#[derive(Debug)]
struct Queued<M> {
    kind: Kind,
    bytes: usize,
    read_at: Option<Instant>,
    message: M,
}

impl<M> Outlet<M> {
    /// An empty queue that holds `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Outlet { queue: VecDeque::new(), bytes: 0, limit, unflushed: false, waiting_since: None, oldest: None }
    }

    /// Queues a message of `bytes`. `read_at`: when what it carries was read from the other socket, to be told how long it took.
    pub(super) fn push(&mut self, kind: Kind, bytes: usize, message: M, read_at: Option<Instant>) -> Pushed {
        self.queue.push_back(Queued { kind, bytes, read_at, message });
        self.bytes += bytes;
        let mut dropped = 0;
        while self.bytes > self.limit {
            let Some(at) = self.queue.iter().position(|q| q.kind == Kind::Audio) else {
                return Pushed::Full;
            };
            dropped += self.remove(at);
        }
        if dropped == 0 { Pushed::Fits } else { Pushed::Dropped(dropped) }
    }

    /// Takes out audio that is moot, and the marks that would have come back for it.
    pub(super) fn clear_audio(&mut self) {
        self.queue.retain(|q| q.kind == Kind::Other);
        self.bytes = self.queue.iter().map(|q| q.bytes).sum();
    }

    /// Writes what the socket takes. `Ready` when nothing is left: with the time it took since the earliest arrival.
    pub(super) fn poll_drive<S>(
        &mut self,
        sink: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Duration>, S::Error>>
    where
        S: Sink<M> + Unpin,
    {
        if self.is_idle() {
            return Poll::Ready(Ok(None));
        }
        self.waiting_since.get_or_insert_with(Instant::now);
        // What is in the sink can no longer be cleared: nothing more goes in before it is through.
        if self.unflushed && self.queue.is_empty() {
            return self.poll_flush(sink, cx);
        }
        if self.unflushed {
            ready!(sink.poll_flush_unpin(cx))?;
            self.progress();
        }
        while !self.queue.is_empty() {
            ready!(sink.poll_ready_unpin(cx))?;
            let Some(next) = self.queue.pop_front() else { break };
            self.bytes -= next.bytes;
            self.oldest = earlier(self.oldest, next.read_at);
            sink.start_send_unpin(next.message)?;
            self.unflushed = true;
            self.progress();
        }
        self.poll_flush(sink, cx)
    }

    /// When the socket must have taken something, if it may take `patience` over it; `None` while nothing waits.
    pub(super) fn deadline(&self, patience: Duration) -> Option<Instant> {
        self.waiting_since.map(|since| since + patience)
    }

    /// Whether everything was written.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && !self.unflushed
    }

    fn poll_flush<S>(&mut self, sink: &mut S, cx: &mut Context<'_>) -> Poll<Result<Option<Duration>, S::Error>>
    where
        S: Sink<M> + Unpin,
    {
        ready!(sink.poll_flush_unpin(cx))?;
        self.unflushed = false;
        self.waiting_since = None;
        Poll::Ready(Ok(self.oldest.take().map(|at| at.elapsed())))
    }

    /// The socket took something: its patience begins anew.
    fn progress(&mut self) {
        if let Some(since) = &mut self.waiting_since {
            *since = Instant::now();
        }
    }

    fn remove(&mut self, at: usize) -> usize {
        let bytes = self.queue.remove(at).map_or(0, |q| q.bytes);
        self.bytes -= bytes;
        bytes
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;

    use super::*;

    /// Takes `room` messages, then nothing.
    struct Slow {
        room: usize,
        taken: Vec<u32>,
    }

    impl Sink<u32> for Slow {
        type Error = Infallible;
        fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            if self.taken.len() < self.room { Poll::Ready(Ok(())) } else { Poll::Pending }
        }
        fn start_send(mut self: Pin<&mut Self>, item: u32) -> Result<(), Infallible> {
            self.taken.push(item);
            Ok(())
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            if self.taken.len() < self.room { Poll::Ready(Ok(())) } else { Poll::Pending }
        }
        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }
    }

    fn drive(outlet: &mut Outlet<u32>, sink: &mut Slow) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        outlet.poll_drive(sink, &mut cx).is_ready()
    }

    #[test]
    fn at_the_bound_the_oldest_audio_goes_and_marks_stay() {
        let mut outlet = Outlet::new(10);
        assert_eq!(outlet.push(Kind::Audio, 4, 1, None), Pushed::Fits);
        assert_eq!(outlet.push(Kind::Mark, 4, 2, None), Pushed::Fits);
        assert_eq!(outlet.push(Kind::Audio, 4, 3, None), Pushed::Dropped(4));
        assert_eq!(outlet.push(Kind::Other, 6, 4, None), Pushed::Dropped(4));
        assert_eq!(outlet.push(Kind::Other, 1, 5, None), Pushed::Full);
        let mut sink = Slow { room: 9, taken: vec![] };
        assert!(drive(&mut outlet, &mut sink));
        assert_eq!(sink.taken, [2, 4, 5]);
    }

    #[test]
    fn a_clear_takes_out_audio_and_marks_that_were_not_written() {
        let mut outlet = Outlet::new(100);
        outlet.push(Kind::Audio, 1, 1, None);
        outlet.push(Kind::Mark, 1, 2, None);
        outlet.push(Kind::Other, 1, 3, None);
        outlet.clear_audio();
        outlet.push(Kind::Other, 1, 4, None);
        let mut sink = Slow { room: 9, taken: vec![] };
        assert!(drive(&mut outlet, &mut sink));
        assert_eq!(sink.taken, [3, 4]);
        assert!(outlet.is_idle());
    }

    #[test]
    fn what_the_socket_does_not_take_stays_clearable_and_has_a_deadline() {
        let mut outlet = Outlet::new(100);
        let mut sink = Slow { room: 1, taken: vec![] };
        outlet.push(Kind::Audio, 1, 1, Some(Instant::now()));
        assert_eq!(outlet.deadline(Duration::ZERO), None);
        assert!(!drive(&mut outlet, &mut sink));
        outlet.push(Kind::Audio, 1, 2, None);
        assert!(!drive(&mut outlet, &mut sink));
        assert_eq!(sink.taken, [1]);
        assert!(outlet.deadline(Duration::ZERO).expect("waiting") <= Instant::now());
        outlet.clear_audio();
        sink.room = 9;
        assert!(drive(&mut outlet, &mut sink));
        assert_eq!(sink.taken, [1]);
        assert_eq!(outlet.deadline(Duration::ZERO), None);
    }
}
