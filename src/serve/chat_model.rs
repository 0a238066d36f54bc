//! Text models over HTTP: a conversation's requests sent, and what is answered as events.
//!
//! Nothing is tried twice here: a failure is the conversation's to hear of, and another model's to answer. A connection
//! is kept for the next request. Of waits, that for the connection is kept here; the others are the conversation's, which
//! lets go of an [`Answer`] when they are over: that closes the connection, and the vendor stops writing.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::{BoxFuture, FutureExt as _};
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response};
use tokio::time::timeout;

use crate::config::{self, TextModel};
use crate::link::completions::{self, Embeddings, Limits, Reader, Told};
use crate::talk::model::{Ask, ModelError, ModelEvent, Phase};

use super::outgoing::Outgoing;

/// The way to text models. Cheap to clone.
#[derive(Clone)]
pub struct ChatModels {
    outgoing: Outgoing,
    /// Clients by their time for a connection, in ms: it is a client's and no request's.
    clients: Arc<Mutex<Vec<(u64, Client)>>>,
}

impl ChatModels {
    /// A way by the proxies of `settings`.
    pub fn new(settings: config::Outgoing) -> ChatModels {
        ChatModels { outgoing: Outgoing::new(settings), clients: Arc::default() }
    }

    /// Asks `model`. Nothing is sent before the answer is polled.
    pub fn ask(&self, model: &TextModel, ask: &Ask) -> Answer {
        let limits = Limits::of_answer(ask.options.max_answer_bytes);
        let (url, body) = (completions::url(model), completions::body(model, ask));
        let request = self.request(model, ask.options.connect_timeout_ms, url, body);
        let opening = request.map(|request| open(request, limits));
        let way = match opening {
            Ok(opening) => Way::Opening(Box::pin(opening)),
            Err(error) => Way::Over(Some(error)),
        };
        Answer { way, came: VecDeque::new(), began: false }
    }

    /// Asks `model` for a vector for each of `texts`, all within `limit`.
    ///
    /// # Errors
    /// Those of an answer.
    pub async fn embed(&self, model: &TextModel, texts: &[String], limit: Duration) -> Result<Embeddings, ModelError> {
        let (url, body) = (Embeddings::url(model), Embeddings::body(model, texts));
        let connect_ms = CONNECT.min(limit).as_millis() as u64;
        let request = self.request(model, connect_ms, url, body)?;
        let asking = async {
            let mut response = accepted(request).await?;
            let mut body = Vec::new();
            match read(&mut response, EMBEDDINGS_BYTES, &mut body).await {
                Ok(true) => Embeddings::read(&String::from_utf8_lossy(&body), texts.len()),
                Ok(false) => Err(ModelError::TooLong { limit: EMBEDDINGS_BYTES }),
                Err(error) => Err(ModelError::Broken { why: words(&error) }),
            }
        };
        timeout(limit, asking).await.unwrap_or(Err(ModelError::Timeout { phase: Phase::Stall }))
    }

    fn request(
        &self,
        model: &TextModel,
        connect_ms: u64,
        url: String,
        body: String,
    ) -> Result<reqwest::RequestBuilder, ModelError> {
        let client = self.client(connect_ms)?;
        let mut headers = HeaderMap::new();
        for (name, value) in completions::headers(model) {
            let forbidden =
                || ModelError::Unsendable { why: format!("header {name} has characters that HTTP forbids") };
            let mut value = HeaderValue::try_from(value.expose()).map_err(|_| forbidden())?;
            value.set_sensitive(true);
            headers.insert(HeaderName::try_from(name.as_str()).map_err(|_| forbidden())?, value);
        }
        Ok(client.post(url).headers(headers).body(body))
    }

    fn client(&self, connect_ms: u64) -> Result<Client, ModelError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(ms, _)| *ms == connect_ms) {
            return Ok(client.clone());
        }
        let client = self.outgoing.client().connect_timeout(Duration::from_millis(connect_ms));
        let client = client
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(MAX_IDLE)
            .pool_idle_timeout(IDLE_CONNECTION)
            .build()
            .map_err(|error| ModelError::Unsendable { why: words(&error) })?;
        // Documents say one time or two; whoever says more makes connections anew.
        if clients.len() == MAX_CLIENTS {
            clients.remove(0);
        }
        clients.push((connect_ms, client.clone()));
        Ok(client)
    }
}

/// An answer that comes in. Whoever drops it cancels the request.
pub struct Answer {
    way: Way,
    /// What came and was not yet handed out.
    came: VecDeque<ModelEvent>,
    /// Whether a token has come.
    began: bool,
}

enum Way {
    Opening(BoxFuture<'static, Result<Opened, ModelError>>),
    Open(Response, Box<Reader>),
    /// What is still to be told.
    Over(Option<ModelError>),
}

enum Opened {
    Stream(Response, Box<Reader>),
    Whole(VecDeque<ModelEvent>),
}

impl Answer {
    /// What comes next; after an error or [`ModelEvent::Done`] there is nothing more. May be dropped and called again.
    pub async fn next(&mut self) -> Option<Result<ModelEvent, ModelError>> {
        loop {
            if let Some(event) = self.came.pop_front() {
                self.began = true;
                return Some(Ok(event));
            }
            match &mut self.way {
                Way::Over(error) => return error.take().map(Err),
                Way::Opening(opening) => match opening.await {
                    Ok(Opened::Stream(response, reader)) => self.way = Way::Open(response, reader),
                    Ok(Opened::Whole(came)) => {
                        self.came = came;
                        self.way = Way::Over(None);
                    }
                    Err(error) => self.way = Way::Over(Some(error)),
                },
                Way::Open(response, reader) => {
                    let read = if reader.is_over() {
                        // What is left is the end of the body, which frees the connection for the next request.
                        let _ = timeout(LAST_BYTES, response.chunk()).await;
                        Err(None)
                    } else {
                        match timeout(SILENCE, response.chunk()).await {
                            Ok(Ok(Some(bytes))) => {
                                let fed = reader.feed(&bytes, &mut self.came).map_err(Some);
                                // The end of the body mostly comes with the end of the answer.
                                match reader.is_over() && response.chunk().now_or_never().is_some() {
                                    true => Err(None),
                                    false => fed,
                                }
                            }
                            Ok(Ok(None)) => Err(reader.end(None, &mut self.came).err()),
                            Ok(Err(error)) => Err(reader.end(Some(&words(&error)), &mut self.came).err()),
                            Err(_) => {
                                let phase = if self.began { Phase::Stall } else { Phase::FirstToken };
                                Err(Some(ModelError::Timeout { phase }))
                            }
                        }
                    };
                    if let Err(over) = read {
                        self.way = Way::Over(over);
                    }
                }
            }
        }
    }
}

/// Sends a request and reads the head of its answer; of one that is no stream, all of it.
async fn open(request: reqwest::RequestBuilder, limits: Limits) -> Result<Opened, ModelError> {
    let mut response = accepted(request).await?;
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "text/html" {
        return Err(ModelError::Malformed { why: "the answer is a page for people (text/html)".to_owned() });
    }
    let mut reader = Box::new(Reader::new(limits));
    if kind != "application/json" {
        return Ok(Opened::Stream(response, reader));
    }
    // Some do not stream though they are asked to.
    let (mut body, mut came) = (Vec::new(), VecDeque::new());
    let limit = limits.answer_bytes.saturating_mul(ESCAPED).saturating_add(limits.event_bytes);
    let silent = |_| ModelError::Timeout { phase: Phase::FirstToken };
    match timeout(SILENCE, read(&mut response, limit, &mut body)).await.map_err(silent)? {
        Ok(true) => reader.whole(&String::from_utf8_lossy(&body), &mut came).map(|()| Opened::Whole(came)),
        Ok(false) => Err(ModelError::TooLong { limit }),
        Err(error) => Err(ModelError::Broken { why: words(&error) }),
    }
}

/// Sends a request. The head of its answer says that there is one.
async fn accepted(request: reqwest::RequestBuilder) -> Result<Response, ModelError> {
    let silent = |_| ModelError::Timeout { phase: Phase::FirstToken };
    let mut response = timeout(SILENCE, request.send()).await.map_err(silent)?.map_err(|error| unsent(&error))?;
    let status = response.status().as_u16();
    if (200..300).contains(&status) {
        return Ok(response);
    }
    let mut body = Vec::new();
    // A refusal whose words are slow is told without them.
    let _ = timeout(LAST_WORDS, read(&mut response, ERROR_BYTES, &mut body)).await;
    let header = |name: &HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
    let told = Told {
        retry_after: header(&RETRY_AFTER),
        retry_after_ms: header(&HeaderName::from_static("retry-after-ms")),
        date: header(&DATE),
    };
    Err(completions::refused(status, &told, &String::from_utf8_lossy(&body), SystemTime::now()))
}

/// Reads a body as far as `max`, and tells whether that was all.
async fn read(response: &mut Response, max: usize, into: &mut Vec<u8>) -> reqwest::Result<bool> {
    while let Some(chunk) = response.chunk().await? {
        let room = max - into.len();
        into.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Why a request brought no answer.
fn unsent(error: &reqwest::Error) -> ModelError {
    let why = words(error);
    if error.is_builder() {
        ModelError::Unsendable { why }
    } else if !error.is_connect() {
        ModelError::Broken { why }
    } else if error.is_timeout() {
        ModelError::Timeout { phase: Phase::Connect }
    } else if causes(error).any(|cause| cause.to_string() == "dns error") {
        ModelError::Dns { why }
    } else {
        ModelError::Connect { why }
    }
}

/// The last cause, which says most. The address is none of it: it may hold what is nobody else's business.
fn words(error: &reqwest::Error) -> String {
    let last = causes(error).last().map(ToString::to_string);
    let words = last.unwrap_or_else(|| "the request failed".to_owned());
    words.chars().take(MAX_WORDS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// For the connection of a request that says nothing of it.
const CONNECT: Duration = Duration::from_secs(5);
/// Of vectors: 256 of 3,072 numbers, in twelve characters each.
const EMBEDDINGS_BYTES: usize = 16 << 20;
/// Times for a connection that are in use at once.
const MAX_CLIENTS: usize = 8;
/// Connections that are kept for one host.
const MAX_IDLE: usize = 32;
/// For how long they are: vendors close theirs after a minute and more, and a request must not meet that.
const IDLE_CONNECTION: Duration = Duration::from_secs(50);
/// Without a byte, whatever the conversation waits for.
const SILENCE: Duration = Duration::from_secs(300);
/// For the words of a refusal.
const LAST_WORDS: Duration = Duration::from_secs(2);
const ERROR_BYTES: usize = 64 << 10;
/// For what follows the end of an answer.
const LAST_BYTES: Duration = Duration::from_millis(100);
/// Bytes of JSON to a byte of text, at worst.
const ESCAPED: usize = 6;
const MAX_WORDS: usize = 200;
