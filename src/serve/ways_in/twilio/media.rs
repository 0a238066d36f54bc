//! The media WebSocket until it is known whose it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::config::Server;
use crate::link::twilio::{self, Decoded, Stream, manner, signature};
use crate::output::words;
use crate::serve::doors::Ticket;
use crate::serve::leg::READ_BUFFER_BYTES;
use crate::serve::lines::twilio::TOKEN;
use crate::serve::public::{Public, bearer};
use crate::serve::{Shared, lines, registry};

/// How long a socket may take to introduce itself.
const INTRODUCTION: Duration = Duration::from_secs(10);
/// Messages in which it must have done so; the carrier needs two.
const INTRODUCTION_MESSAGES: usize = 64;
/// The largest message that is read at all. Messages beyond the link's own limit are counted there, so that one does not
/// cost the call.
const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// `GET /twilio/media`.
pub(in crate::serve) async fn upgrade(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    ticket: Option<Extension<Arc<Ticket>>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let config = shared.config();
    if config.server.twilio.check_signatures {
        let is_trusted = match manner::of(config.server.twilio.profile).signs_upgrades {
            true => signed(&config.server, &uri, &headers),
            false => {
                headers.get(header::AUTHORIZATION).and_then(bearer).is_some_and(|token| shared.registry.awaits(token))
            }
        };
        if !is_trusted {
            shared.metrics.media_rejected.add("signature", 1);
            if shared.strangers.due() {
                tracing::warn!("media upgrade refused: wrong signature or token (is public_url right?)");
            }
            return StatusCode::FORBIDDEN.into_response();
        }
    }
    let Ok(permit) = Arc::clone(&shared.unclaimed).try_acquire_owned() else {
        shared.metrics.media_rejected.add("too_many_unclaimed", 1);
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(16 << 10)
        .max_message_size(MAX_MESSAGE_BYTES)
        .max_frame_size(MAX_MESSAGE_BYTES)
        .protocols(["audio.twilio.com"])
        .on_upgrade(move |socket| introduce(shared, socket, permit, ticket.map(|Extension(ticket)| ticket)))
}

/// Whether the carrier has signed the upgrade.
fn signed(server: &Server, uri: &Uri, headers: &HeaderMap) -> bool {
    let url = Public::of(server, headers).media(uri);
    let given = headers.get(signature::HEADER).and_then(|value| value.to_str().ok()).unwrap_or("");
    server.twilio.signs_with().is_some_and(|token| signature::verify_upgrade(token, &url, given))
}

/// Reads up to the stream's `start`, and hands the socket to the call whose token it shows.
async fn introduce(
    shared: Arc<Shared>,
    mut socket: WebSocket,
    _permit: OwnedSemaphorePermit,
    ticket: Option<Arc<Ticket>>,
) {
    let mut stream = Stream::new();
    let mut more = String::new();
    let refused = match timeout(INTRODUCTION, start(&mut socket, &mut stream)).await {
        Ok(Ok(start)) => {
            let token = start.parameters.get(TOKEN).map_or("", String::as_str);
            match shared.registry.claim(token, &start.call_sid, Instant::now()) {
                Ok(line) => {
                    if let Some(ticket) = ticket {
                        ticket.keep();
                    }
                    let socket = Box::new(lines::twilio::Socket::new(socket, stream));
                    if line.send(lines::Socket::Twilio(socket)).is_err() {
                        // The call ended in this very moment; dropping the socket is what it would have done.
                        shared.metrics.media_rejected.add("call_over", 1);
                    }
                    return;
                }
                Err(refused) => registry::Refused::name(refused),
            }
        }
        Ok(Err((why, words))) => {
            more = words;
            why
        }
        Err(_) => "no_start",
    };
    shared.metrics.media_rejected.add(refused, 1);
    for (name, n) in stream.counters().iter().filter(|(name, n)| *n > 0 && *name != "messages") {
        shared.metrics.line_ignored.add(name, n);
    }
    if shared.strangers.due() {
        tracing::warn!(why = refused, words = more, "media stream refused");
    }
    let goodbye = CloseFrame { code: close_code::POLICY, reason: Utf8Bytes::from_static("not expected") };
    // The far end may be gone or take nothing: this is a courtesy.
    let _ = timeout(GOODBYE, async {
        socket.send(Message::Close(Some(goodbye))).await?;
        while let Some(Ok(_)) = socket.recv().await {}
        Ok::<(), axum::Error>(())
    })
    .await;
}

/// How long a socket that is turned away may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// The stream's start; else why there is none, as metrics name it and in words for the log.
async fn start(socket: &mut WebSocket, stream: &mut Stream) -> Result<twilio::Start, (&'static str, String)> {
    let none = |name| Err((name, String::new()));
    for _ in 0..INTRODUCTION_MESSAGES {
        match socket.recv().await {
            Some(Ok(Message::Text(text))) => match stream.decode(text.as_str()) {
                Decoded::Start(start) => return Ok(*start),
                Decoded::Unsupported(what) => {
                    return Err(("unsupported_format", words::said(&format!("{what:?}"))));
                }
                Decoded::Event(_) | Decoded::Connected | Decoded::Nothing => {}
            },
            Some(Ok(Message::Binary(_))) => stream.binary(),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_))) | None => return none("closed_before_start"),
            Some(Err(error)) => return Err(("broken_before_start", words::of(&error))),
        }
    }
    none("no_start")
}
