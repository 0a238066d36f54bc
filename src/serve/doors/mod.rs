//! The front door: who gets in, and how long one may stand there in silence.
//!
//! ```text
//!  accept ─► first byte in time ─► (TLS ─► first byte in time) ─► head in time ─► request ─► … ─► media socket of a call
//!    └ waits: makes room when a bound is reached ──────────────────────────────┘  works       └ kept: counted by max_calls
//! ```
//!
//! [`guests`] has the rules, [`watched`] the socket that is watched.

mod guests;
mod watched;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{AddExtension, Next};
use axum::response::Response;
use axum_server::accept::Accept;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream;
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tower_layer::Layer as _;

use super::Seldom;
use super::metrics::Metrics;

use guests::{Bound, Bounds, Guests};
pub(super) use watched::Watched;

/// Time for a connection's first byte, and again for the first within TLS. The carrier's comes with the connection.
const FIRST_BYTE: Duration = Duration::from_secs(5);
/// Connections at once beyond one for each call: webhooks, operations, strangers.
const SPARE: usize = 1_024;

/// Everybody who is connected and belongs to no call.
#[derive(Debug)]
pub(super) struct Doors {
    state: Mutex<State>,
    metrics: Arc<Metrics>,
    crowded: Seldom,
}

#[derive(Debug)]
struct State {
    bounds: Bounds,
    guests: Guests,
    tickets: HashMap<u64, Weak<Ticket>>,
}

/// A connection as the doors see it.
#[derive(Debug)]
pub(super) struct Ticket {
    guest: u64,
    from: IpAddr,
    doors: Weak<Doors>,
    /// It belongs to a call.
    kept: AtomicBool,
    /// It has to make room.
    shown_out: AtomicBool,
    waker: AtomicWaker,
}

impl Doors {
    pub(super) fn new(metrics: Arc<Metrics>) -> Arc<Doors> {
        let state = State { bounds: bounds(0, usize::MAX, None), guests: Guests::default(), tickets: HashMap::new() };
        Arc::new(Doors { state: Mutex::new(state), metrics, crowded: Seldom::default() })
    }

    /// The configuration's bounds. `files`: how many files and sockets the process may have open.
    pub(super) fn set(&self, max_calls: usize, per_address: usize, files: Option<usize>) {
        self.lock().bounds = bounds(max_calls, per_address, files);
    }

    /// Lets a connection in, or says which bound it would exceed.
    fn enter(self: &Arc<Self>, from: IpAddr) -> Result<Arc<Ticket>, Bound> {
        let mut state = self.lock();
        let bounds = state.bounds;
        let entered = state.guests.enter(from, bounds).inspect_err(|bound| self.full(*bound, from, false))?;
        let ticket = Arc::new(Ticket {
            guest: entered.guest,
            from,
            doors: Arc::downgrade(self),
            kept: AtomicBool::new(false),
            shown_out: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        state.tickets.insert(entered.guest, Arc::downgrade(&ticket));
        let longest = entered.instead_of.and_then(|(guest, bound)| Some((state.tickets.remove(&guest)?, bound)));
        self.metrics.connections.set(state.guests.len() as u64);
        drop(state);
        if let Some((longest, bound)) = longest {
            self.full(bound, from, true);
            if let Some(longest) = longest.upgrade() {
                longest.show_out();
            }
        }
        Ok(ticket)
    }

    /// Counts and says that a bound is reached.
    fn full(&self, bound: Bound, from: IpAddr, made_room: bool) {
        let label = match (bound, made_room) {
            (Bound::Address, true) => "made_room_address",
            (Bound::All, true) => "made_room_all",
            (Bound::Address, false) => "too_many_address",
            (Bound::All, false) => "too_many_all",
        };
        self.metrics.connections_closed.add(label, 1);
        if self.crowded.due() {
            let of = match bound {
                Bound::Address => "of one address (`max_connections_per_address` in offhook.toml)",
                Bound::All => "altogether",
            };
            let what = if made_room { "the one that was silent longest makes room" } else { "new ones are refused" };
            tracing::warn!(address = %from, "too many connections {of}: {what}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bounds(max_calls: usize, per_address: usize, files: Option<usize>) -> Bounds {
    // Half of what may be open stays for calls: each has two sockets and some files.
    let room = files.map_or(usize::MAX, |files| (files / 2).max(FEWEST));
    Bounds { per_address, all: (max_calls + SPARE).min(room) }
}

/// What is let in however few files may be open.
const FEWEST: usize = 64;

impl Ticket {
    /// Its request is there with all that belongs to it.
    fn works(&self) {
        self.tell(Guests::works);
    }

    /// Its request is answered.
    fn waits(&self) {
        self.tell(Guests::waits);
    }

    /// It belongs to a call now: nothing is watched any more, and it is counted there.
    pub(super) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
        self.tell(Guests::leave);
    }

    fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// Whether it has to go; otherwise whoever asks is woken when it has.
    fn is_shown_out(&self, cx: &Context<'_>) -> bool {
        self.waker.register(cx.waker());
        self.shown_out.load(Ordering::Acquire)
    }

    fn show_out(&self) {
        self.shown_out.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Its first byte did not come.
    fn was_silent(&self) {
        if let Some(doors) = self.doors.upgrade() {
            doors.metrics.connections_closed.add("silent", 1);
        }
    }

    fn tell(&self, what: impl FnOnce(&mut Guests, u64)) {
        if let Some(doors) = self.doors.upgrade() {
            let mut state = doors.lock();
            what(&mut state.guests, self.guest);
            doors.metrics.connections.set(state.guests.len() as u64);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(doors) = self.doors.upgrade() {
            let mut state = doors.lock();
            state.guests.leave(self.guest);
            state.tickets.remove(&self.guest);
            doors.metrics.connections.set(state.guests.len() as u64);
        }
    }
}

/// Accepts from the socket: without delay on small packets, as far as there is room.
#[derive(Clone, Debug)]
pub(super) struct Outer(pub(super) Arc<Doors>);

impl<S> Accept<TcpStream, S> for Outer {
    type Stream = Watched<TcpStream>;
    type Service = AddExtension<S, Arc<Ticket>>;
    type Future = std::future::Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let accepted = stream.peer_addr().and_then(|peer: SocketAddr| {
            let ticket = self.0.enter(peer.ip()).map_err(|_| io::Error::other("too many connections"))?;
            stream.set_nodelay(true)?;
            let service = Extension(Arc::clone(&ticket)).layer(service);
            Ok((Watched::new(stream, ticket, FIRST_BYTE), service))
        });
        std::future::ready(accepted)
    }
}

/// What is watched again within TLS: a handshake is soon made, and says nothing yet.
pub(super) trait Inside: AsyncRead + AsyncWrite + Unpin {
    /// The connection's.
    fn ticket(&self) -> &Arc<Ticket>;
}

impl Inside for tokio_rustls::server::TlsStream<Watched<TcpStream>> {
    fn ticket(&self) -> &Arc<Ticket> {
        self.get_ref().0.ticket()
    }
}

/// Accepts what another acceptor has made of a connection, and watches that too.
#[derive(Clone, Debug)]
pub(super) struct Inner<A>(pub(super) A);

impl<A, S> Accept<TcpStream, S> for Inner<A>
where
    A: Accept<TcpStream, S>,
    A::Stream: Inside,
    A::Future: Send + 'static,
{
    type Stream = Watched<A::Stream>;
    type Service = A::Service;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let accepting = self.0.accept(stream, service);
        Box::pin(async move {
            let (stream, service) = accepting.await?;
            let ticket = Arc::clone(stream.ticket());
            Ok((Watched::new(stream, ticket, FIRST_BYTE), service))
        })
    }
}

/// The address that a request comes from: of whoever is connected, which may be a proxy. An extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Tells a connection's ticket when a request is whole and when it is answered.
pub(super) async fn attend(mut request: Request, next: Next) -> Response {
    let Some(ticket) = request.extensions().get::<Arc<Ticket>>().cloned() else { return next.run(request).await };
    request.extensions_mut().insert(Peer(ticket.from));
    let request = if request.body().is_end_stream() {
        ticket.works();
        request
    } else {
        // Its last piece is followed by one that is none, and tells.
        let ticket = Arc::clone(&ticket);
        let whole = stream::poll_fn(move |_| {
            ticket.works();
            Poll::Ready(None)
        });
        request.map(|body| Body::from_stream(body.into_data_stream().chain(whole)))
    };
    let response = next.run(request).await;
    // A media socket is no request any more, and waits for nothing but its call.
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        ticket.waits();
    }
    response
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// In place of [`FIRST_BYTE`].
    const SOON: Duration = Duration::from_millis(50);

    fn doors(per_address: usize) -> Arc<Doors> {
        let doors = Doors::new(Arc::new(Metrics::default()));
        doors.set(10, per_address, None);
        doors
    }

    /// A connection from one address; its far end.
    fn connect(doors: &Arc<Doors>) -> (Watched<DuplexStream>, Arc<Ticket>, DuplexStream) {
        let ticket = doors.enter(IpAddr::from([192, 0, 2, 1])).expect("room");
        let (near, far) = duplex(64);
        (Watched::new(near, Arc::clone(&ticket), SOON), ticket, far)
    }

    #[tokio::test]
    async fn one_that_says_nothing_is_gone_in_time() {
        let doors = doors(16);
        let (mut silent, _ticket, _far) = connect(&doors);
        let began = Instant::now();
        let error = silent.read_u8().await.expect_err("silence");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= SOON);
        assert_eq!(doors.metrics.connections_closed.get("silent"), 1);
        // One byte is enough for this deadline; the head has one of its own.
        let (mut slow, _ticket, mut far) = connect(&doors);
        far.write_u8(b'G').await.expect("room");
        assert_eq!(slow.read_u8().await.expect("a byte"), b'G');
        let more = tokio::time::timeout(5 * SOON, slow.read_u8()).await;
        assert!(more.is_err(), "it is still waited for");
    }

    #[tokio::test]
    async fn one_that_must_make_room_is_woken_and_one_that_belongs_to_a_call_never_is() {
        let doors = doors(2);
        let (mut first, _first, _far1) = connect(&doors);
        let waiting = tokio::spawn(async move { first.read_u8().await.expect_err("shown out").kind() });
        tokio::task::yield_now().await;
        let (mut call, ticket, mut far) = connect(&doors);
        ticket.keep();
        assert_eq!(doors.metrics.connections.get(), 1, "it is counted elsewhere");
        let (_second, second, _far2) = connect(&doors);
        let (_third, third, _far3) = connect(&doors);
        assert_eq!(waiting.await.expect("a task"), io::ErrorKind::ConnectionAborted);
        assert_eq!(doors.metrics.connections_closed.get("made_room_address"), 1);
        // Longer than any deadline, and with everybody else at work.
        third.works();
        second.works();
        assert_eq!(doors.enter(IpAddr::from([192, 0, 2, 1])).err(), Some(Bound::Address));
        assert_eq!(doors.metrics.connections_closed.get("too_many_address"), 1);
        assert!(tokio::time::timeout(5 * SOON, call.read_u8()).await.is_err());
        far.write_u8(7).await.expect("room");
        assert_eq!(call.read_u8().await.expect("a byte"), 7);
    }

    #[test]
    fn whoever_goes_is_not_counted_any_more() {
        let doors = doors(4);
        let tickets: Vec<_> = (0..4).map(|_| doors.enter(IpAddr::from([192, 0, 2, 1])).expect("room")).collect();
        assert_eq!(doors.metrics.connections.get(), 4);
        drop(tickets);
        assert_eq!(doors.metrics.connections.get(), 0);
        assert!(doors.lock().tickets.is_empty());
    }

    #[test]
    fn files_that_may_be_open_bound_connections_too() {
        assert_eq!(bounds(100, 256, None).all, 1_124);
        assert_eq!(bounds(100, 256, Some(1_024)).all, 512);
        assert_eq!(bounds(100, 256, Some(10)).all, FEWEST);
        assert_eq!(bounds(100, 256, Some(1 << 20)).all, 1_124);
    }
}
