//! One attempt to deliver an event.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, StatusCode};

use crate::config::Webhook;
use crate::output::words;
use crate::store::OutboxRow;

use super::signature;

/// Time to connect, within that of the attempt.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read, so that its connection can be used again; nobody looks at them.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// Connections that are kept for the next event.
const IDLE_CONNECTIONS: usize = 2;

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered,
    /// To be tried again, after so many seconds at least.
    Failed {
        why: String,
        asked_s: Option<u64>,
    },
    /// Never to be tried again.
    Refused {
        why: String,
    },
}

/// A client that goes where it was told and nowhere else.
pub(super) fn client() -> ClientBuilder {
    Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .user_agent(concat!("offhook/", env!("CARGO_PKG_VERSION")))
}

/// Posts an event.
pub(super) async fn post(client: &Client, hook: &Webhook, row: &OutboxRow) -> Outcome {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let Ok(signed) = signature::sign(&hook.secret, &row.id, now_s, row.body.as_bytes()) else {
        return Outcome::Failed { why: "the secret is not base64".to_owned(), asked_s: None };
    };
    let request = client
        .post(&hook.url)
        .timeout(Duration::from_millis(hook.timeout_ms))
        .header(CONTENT_TYPE, "application/json")
        .header(signature::ID, &row.id)
        .header(signature::TIMESTAMP, now_s)
        .header(signature::SIGNATURE, signed)
        .body(row.body.clone());
    let mut answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => return Outcome::Failed { why: in_words(error), asked_s: None },
    };
    let status = answer.status();
    let asked_s = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok())
        }
        _ => None,
    };
    let mut read = 0;
    // The status is the answer; what follows is read for the connection's sake.
    while let Ok(Some(chunk)) = answer.chunk().await {
        read += chunk.len();
        if read > MAX_ANSWER_BYTES {
            break;
        }
    }
    match status {
        status if status.is_success() => Outcome::Delivered,
        StatusCode::GONE => Outcome::Refused { why: "410 Gone".to_owned() },
        status if status.is_redirection() => {
            Outcome::Failed { why: format!("{status}: redirects are not followed"), asked_s }
        }
        status => Outcome::Failed { why: status.to_string(), asked_s },
    }
}

/// The error with its causes, without the URL, which may have a key in it.
fn in_words(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    words::of(&error.without_url()).chars().take(300).collect()
}
