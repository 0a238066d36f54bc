//! The other end of the control API, for commands that talk to a running server.

use std::fmt;
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::Value;

use crate::base::hex::hex;

/// Time for one request: the server itself waits up to eight seconds for the carrier.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The longest answer that is read.
const MAX_BYTES: usize = 4 << 20;

/// A user of a server's API.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    server: String,
    token: String,
}

/// What the server answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its JSON; null when there is none.
    pub body: Value,
    /// Seconds after which it wants to be asked again, if it said so (`Retry-After`).
    pub retry_after_s: Option<u64>,
}

/// The server did not answer. It may have been asked.
#[derive(Debug)]
pub struct Unreachable(String);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreachable {}

impl Client {
    /// Of the server at a URL, as the holder of its token.
    ///
    /// # Errors
    /// The system has no means for it.
    pub fn new(server: &str, token: &str) -> Result<Client, Unreachable> {
        super::tls::install_crypto();
        let own = ["http://127.", "http://localhost", "http://[::1]"].iter().any(|own| server.starts_with(own));
        let http = reqwest::Client::builder();
        // A proxy of the environment has no business with this machine, nor with the token.
        let http = if own { http.no_proxy() } else { http };
        let http = http
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!("offhook/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Unreachable(error.to_string()))?;
        Ok(Client { http, server: server.trim_end_matches('/').to_owned(), token: token.to_owned() })
    }

    /// # Errors
    /// There was no answer.
    pub async fn get(&self, path: &str) -> Result<Answer, Unreachable> {
        self.send(self.http.get(format!("{}{path}", self.server))).await
    }

    /// `key`: the request's `Idempotency-Key`.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn post(&self, path: &str, key: Option<&str>, body: &Value) -> Result<Answer, Unreachable> {
        let mut request = self.http.post(format!("{}{path}", self.server));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.send(request.header("content-type", "application/json").body(body.to_string())).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, Unreachable> {
        let no_answer = |error: reqwest::Error| {
            let mut words = format!("{} does not answer: {error}", self.server);
            let mut cause = std::error::Error::source(&error);
            while let Some(next) = cause {
                words += &format!(": {next}");
                cause = next.source();
            }
            Unreachable(words)
        };
        let mut answer = request.bearer_auth(&self.token).send().await.map_err(no_answer)?;
        let status = answer.status().as_u16();
        let after = answer.headers().get(reqwest::header::RETRY_AFTER);
        let retry_after_s = after.and_then(|after| after.to_str().ok()?.trim().parse().ok());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(no_answer)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BYTES {
                return Err(Unreachable(format!("{}: the answer is no offhook's", self.server)));
            }
        }
        Ok(Answer { status, body: serde_json::from_slice(&body).unwrap_or_default(), retry_after_s })
    }
}

/// A new idempotency key.
///
/// # Errors
/// The system gives no random numbers.
pub fn new_key() -> Result<String, Unreachable> {
    let mut bytes = [0u8; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Unreachable("the system gives no random numbers".to_owned()))?;
    Ok(hex(&bytes))
}
