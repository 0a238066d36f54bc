//! The socket to the model: dialling it, and letting go of it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use crate::config::Model;
use crate::engine::ModelEvent;
use crate::link::openai;
use crate::serve::leg::{Leg, READ_BUFFER_BYTES};
use crate::serve::models::Way;
use crate::serve::outgoing;
use crate::serve::outlet::Kind;

/// A connection to a model.
pub(super) type Socket = WebSocketStream<MaybeTlsStream<outgoing::Stream>>;

/// A connection with what waits to be written to it.
pub(super) type ModelLeg = Leg<Socket, Message, Error>;

/// A connection in the making; an error is the event that tells the engine.
pub(super) type Dial = BoxFuture<'static, Result<Box<ModelLeg>, ModelEvent<'static>>>;

/// Audio to the model that may wait: half a minute of μ-law as base64, or a long conversation replayed.
const QUEUE_BYTES: usize = 1 << 20;
/// How long the model's socket may take nothing before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest message a model may send; big audio deltas are common.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// How long a connection that is no longer needed may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Connects and shakes hands, within the model's time for it.
pub(super) fn dial(model: Arc<Model>, way: Way) -> Dial {
    Box::pin(async move {
        let limit = Duration::from_millis(model.dial_timeout_ms);
        match timeout(limit, connect(&model, &way)).await {
            Ok(Ok(socket)) => Ok(Box::new(Leg::new(socket, QUEUE_BYTES, PATIENCE))),
            Ok(Err(event)) => Err(event),
            Err(_) => Err(closed(format!("no connection within {} ms", limit.as_millis()), true)),
        }
    })
}

async fn connect(model: &Model, way: &Way) -> Result<Socket, ModelEvent<'static>> {
    let wanted = openai::request(model);
    let mut request = wanted.url.as_str().into_client_request().map_err(|error| event(&error))?;
    for (name, value) in &wanted.headers {
        let name = HeaderName::try_from(name.as_str())
            .map_err(|_| closed("a header's name in models.toml is not one that HTTP allows".to_owned(), false))?;
        let mut value = HeaderValue::try_from(value.expose())
            .map_err(|_| closed(format!("the value of header {name} has characters that HTTP forbids"), false))?;
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    let stream = way.outgoing.connect(request.uri()).await.map_err(|failed| closed(failed.to_string(), true))?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(16 << 10)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let (socket, _) = client_async_tls_with_config(request, stream, Some(config), Some(way.tls.clone()))
        .await
        .map_err(|error| event(&error))?;
    Ok(socket)
}

/// Ends a connection without making anyone wait for it.
pub(super) fn let_go(mut leg: Box<ModelLeg>) {
    let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    leg.push(Kind::Other, 2, Message::Close(Some(goodbye)), None);
    tokio::spawn(timeout(GOODBYE, async move {
        let written = std::future::poll_fn(|cx| leg.poll_write(cx)).await;
        while written.is_ok() {
            match std::future::poll_fn(|cx| leg.poll_read(cx)).await {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            }
        }
    }));
}

/// What a message, an error or the end of the connection means for the call, when it means the connection is over.
pub(super) fn ending(read: &Option<Result<Message, Error>>) -> Option<ModelEvent<'static>> {
    match read {
        Some(Ok(Message::Close(Some(frame)))) => Some(openai::closed(Some(frame.code.into()), frame.reason.as_str())),
        Some(Ok(Message::Close(None))) => Some(openai::closed(Some(1005), "")),
        Some(Ok(_)) => None,
        Some(Err(error)) => Some(openai::closed(None, &error.to_string())),
        None => Some(openai::closed(None, "")),
    }
}

/// The connection is over for a reason of our own.
pub(super) fn closed(reason: String, retry: bool) -> ModelEvent<'static> {
    ModelEvent::Closed { reason: reason.into(), retry }
}

fn event(error: &Error) -> ModelEvent<'static> {
    match error {
        Error::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            openai::refused(response.status().as_u16(), &String::from_utf8_lossy(body))
        }
        Error::Url(error) => closed(format!("the model's url: {error}"), false),
        Error::HttpFormat(error) => closed(format!("the model's url: {error}"), false),
        Error::Tls(error) => closed(format!("TLS: {error}"), true),
        error => closed(format!("handshake: {error}"), true),
    }
}
