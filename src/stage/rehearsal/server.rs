//! The sockets of the built-in model.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::sync::watch;

use super::clips::Clips;
use super::completions::script::Given;
use super::completions::serve as completions;
use super::leg::{Cut, Legs};
use super::outbox::{Output, audio_message};
use super::probe::{Probe, Wire};
use super::script::Script;
use super::session::{Session, Shared};

/// A running built-in model. It stops when dropped.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    host: Arc<Host>,
    stop: watch::Sender<bool>,
}

/// Sessions at once; one more is refused with 503.
const MAX_SESSIONS: usize = 1_000;
/// What is read at once: the library clears it before each read, so that its own 128 KiB cost more than the message.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// The largest message that is taken.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// A client that does not take a message for so long is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Types of client events that are kept, the oldest forgotten beyond.
const MAX_LOG: usize = 100_000;

/// Instructions and requests that are kept to be looked at.
const MAX_KEPT: usize = 1_000;

#[derive(Debug)]
pub(super) struct Host {
    pub(super) shared: Arc<Shared>,
    wire: Arc<dyn Wire>,
    started: Instant,
    /// Sessions opened, which numbers them.
    sessions: AtomicU64,
    open: AtomicUsize,
    refused: AtomicU32,
    dropped: AtomicBool,
    received: Mutex<VecDeque<Cow<'static, str>>>,
    /// Instructions of sessions as they were set up, the oldest forgotten beyond [`MAX_KEPT`].
    instructions: Mutex<VecDeque<String>>,
    /// Bodies of requests for chat completions, the oldest forgotten beyond [`MAX_KEPT`].
    pub(super) completions: Mutex<VecDeque<Value>>,
    /// Requests for chat completions so far.
    pub(super) asked: AtomicU64,
    /// Which of the script's answers were given.
    pub(super) given: Mutex<Given>,
    /// Chat completions whose client went away before their end.
    pub(super) cancelled: AtomicU64,
    stop: watch::Receiver<bool>,
}

impl Server {
    /// Listens on `addr` (port 0: any) and serves `script` on tasks of its own. Fails when the address is taken or a
    /// clip cannot be read. Must be called within a tokio runtime.
    pub async fn bind(addr: SocketAddr, script: Script) -> io::Result<Server> {
        Self::bind_with(addr, script, Arc::new(Probe::new())).await
    }

    /// The same, with somebody who sees audio pass.
    pub async fn bind_with(addr: SocketAddr, script: Script, wire: Arc<dyn Wire>) -> io::Result<Server> {
        let shared = Arc::new(Shared::new(script.clone(), Clips::load(&script)?));
        let listener = tokio::net::TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let host = Arc::new(Host {
            shared,
            wire,
            started: Instant::now(),
            sessions: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            refused: AtomicU32::new(0),
            dropped: AtomicBool::new(false),
            received: Mutex::default(),
            instructions: Mutex::default(),
            completions: Mutex::default(),
            asked: AtomicU64::new(0),
            given: Mutex::default(),
            cancelled: AtomicU64::new(0),
            stop: stopped.clone(),
        });
        let router = Router::new()
            .route("/v1/realtime", get(upgrade))
            .route("/v1/chat/completions", post(completions::complete))
            .route("/v1/models", get(completions::models))
            .route("/v1/models/{model}", get(completions::one_model))
            .route("/v1/embeddings", post(completions::embed))
            .layer(DefaultBodyLimit::max(MAX_MESSAGE_BYTES))
            .with_state(Arc::clone(&host));
        let router = router.into_make_service_with_connect_info::<Cut>();
        let serving = axum::serve(Legs(listener), router).with_graceful_shutdown(async move {
            let mut stopped = stopped;
            stopped_or_gone(&mut stopped).await;
        });
        tokio::spawn(async move { serving.await });
        Ok(Server { addr, host, stop })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What to dial.
    pub fn url(&self) -> String {
        format!("ws://{}/v1/realtime?model=rehearsal", self.addr)
    }

    /// The base of its chat completions.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// Instructions that sessions were set up with, oldest first.
    pub fn instructions(&self) -> Vec<String> {
        self.host.instructions.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Bodies of the requests for chat completions, oldest first.
    pub fn completions(&self) -> Vec<Value> {
        self.host.completions.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Chat completions whose client went away before their end.
    pub fn cancelled(&self) -> u64 {
        self.host.cancelled.load(Ordering::Relaxed)
    }

    /// Types of the client events received so far, over all sessions, oldest first; `invalid` for what was no event.
    pub fn received(&self) -> Vec<String> {
        self.host.log().iter().map(|kind| kind.to_string()).collect()
    }

    /// Sessions that are open now.
    pub fn sessions(&self) -> usize {
        self.host.open.load(Ordering::Relaxed)
    }

    /// Sessions that were ever opened.
    pub fn sessions_ever(&self) -> u64 {
        self.host.sessions.load(Ordering::Relaxed)
    }

    /// Closes the listener and every session.
    pub fn shutdown(&self) {
        let _ = self.stop.send(true);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Host {
    fn log(&self) -> std::sync::MutexGuard<'_, VecDeque<Cow<'static, str>>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a key is demanded that was not sent.
    pub(super) fn is_stranger(&self, headers: &HeaderMap) -> bool {
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let sent = sent.and_then(|value| value.strip_prefix("Bearer "));
        self.shared.script.api_key.as_deref().is_some_and(|key| sent != Some(key))
    }

    /// The HTTP answer that refuses an upgrade, if it is to be refused.
    fn refusal(&self, headers: &HeaderMap) -> Option<(u16, String)> {
        let faults = &self.shared.script.faults;
        let code = |otherwise: &str| faults.refuse_code.clone().unwrap_or_else(|| otherwise.to_owned());
        if self.is_stranger(headers) {
            return Some((401, "invalid_api_key".to_owned()));
        }
        if faults.never_back && self.dropped.load(Ordering::Relaxed) {
            return Some((503, code("server_unavailable")));
        }
        if let Some(status) = faults.refuse
            && faults.refuse_times.is_none_or(|times| self.refused.load(Ordering::Relaxed) < times)
        {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Some((status, code("refused_on_purpose")));
        }
        if self.open.load(Ordering::Relaxed) >= MAX_SESSIONS {
            return Some((503, "too_many_sessions".to_owned()));
        }
        None
    }
}

#[derive(serde::Deserialize)]
struct Wanted {
    model: Option<String>,
}

async fn upgrade(
    State(host): State<Arc<Host>>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if let Some((status, code)) = host.refusal(&headers) {
        let body = serde_json::json!({ "error": {
            "type": "invalid_request_error", "code": code, "message": "Refused by the built-in model.", "param": null
        } });
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        return (status, axum::Json(body)).into_response();
    }
    let beta = headers.contains_key("openai-beta");
    let model = wanted.model.unwrap_or_else(|| "rehearsal".to_owned());
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(MAX_MESSAGE_BYTES)
        .max_frame_size(MAX_MESSAGE_BYTES)
        .protocols(["realtime"]);
    upgrade.on_upgrade(move |socket| async move {
        host.open.fetch_add(1, Ordering::Relaxed);
        match beta {
            true => refuse_beta(socket).await,
            false => converse(socket, &host, &model).await,
        }
        host.open.fetch_sub(1, Ordering::Relaxed);
    })
}

pub(super) fn keep<T>(all: &Mutex<VecDeque<T>>, one: T) {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    if all.len() == MAX_KEPT {
        all.pop_front();
    }
    all.push_back(one);
}

/// One session, until either side ends it.
async fn converse(mut socket: WebSocket, host: &Host, model: &str) {
    let number = host.sessions.fetch_add(1, Ordering::Relaxed) + 1;
    let expires = SystemTime::now() + host.shared.limit();
    let expires_at = expires.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut session = Session::new(host.started.elapsed(), Arc::clone(&host.shared), number, model, expires_at);
    let mut stop = host.stop.clone();
    let mut tap = host.wire.open();
    loop {
        while let Some(output) = session.poll(host.started.elapsed()) {
            match output {
                Output::Text(text) => {
                    if !send(&mut socket, Message::Text(text.into())).await {
                        return;
                    }
                }
                Output::Audio { head, mut audio, format } => {
                    tap.speaks(format, &mut audio);
                    let text = audio_message(head, &audio);
                    tap.sent(Instant::now(), audio.len());
                    if !send(&mut socket, Message::Text(text.into())).await {
                        return;
                    }
                }
                Output::Close(code, reason) => return close(socket, code, reason).await,
                Output::Drop => {
                    host.dropped.store(true, Ordering::Relaxed);
                    return;
                }
            }
        }
        let due = session.due().map(|due| host.started + due);
        let message = tokio::select! {
            message = socket.recv() => message,
            () = until(due) => continue,
            () = stopped_or_gone(&mut stop) => return close(socket, 1001, "The server is shutting down.").await,
        };
        match message {
            Some(Ok(Message::Text(text))) => {
                let at = Instant::now();
                let kind = session.handle(host.started.elapsed(), &text);
                if kind == "session.update" {
                    keep(&host.instructions, session.instructions().to_owned());
                }
                if let Some(audio) = session.take_appended() {
                    tap.heard(at, audio);
                } else if matches!(&*kind, "input_audio_buffer.commit" | "input_audio_buffer.clear") {
                    tap.parted();
                }
                let mut log = host.log();
                if log.len() == MAX_LOG {
                    log.pop_front();
                }
                log.push_back(kind);
            }
            // Pings are answered by the library; binary messages are not of the dialect.
            Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return,
        }
    }
}

/// The answer to the header of the API's withdrawn beta.
async fn refuse_beta(mut socket: WebSocket) {
    let error = serde_json::json!({ "type": "error", "event_id": "event_beta", "error": {
        "type": "invalid_request_error", "code": "beta_api_shape_disabled", "param": null, "event_id": null,
        "message": "The beta API shape is no longer supported: leave out the OpenAI-Beta header." } });
    if send(&mut socket, Message::Text(error.to_string().into())).await {
        close(socket, 4000, "beta_api_shape_disabled").await;
    }
}

async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(tokio::time::timeout(SEND_TIMEOUT, socket.send(message)).await, Ok(Ok(())))
}

async fn close(mut socket: WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
    if send(&mut socket, Message::Close(Some(frame))).await {
        // The client's own close message, so that ours is not lost in a reset.
        let answered = async { while let Some(Ok(_)) = socket.recv().await {} };
        let _ = tokio::time::timeout(Duration::from_secs(1), answered).await;
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

async fn stopped_or_gone(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
