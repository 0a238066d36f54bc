//! One attempt to deliver an event.

use std::error::Error as _;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, StatusCode, Url};

use crate::base::address::is_public;
use crate::config::Webhook;
use crate::output::words;
use crate::store::{ANSWER_BYTES, Attempt};

use super::super::reach::{Reach, Refused};
use super::signature;

/// Time to connect, within that of the attempt.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read, so that its connection can be used again; the first of them are kept.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// Connections that are kept for the next event.
const IDLE_CONNECTIONS: usize = 2;

/// What is to become of an event after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It was delivered.
    Nothing,
    /// It is tried again, after so many seconds at least.
    Again { asked_s: Option<u64> },
    /// It is never tried again.
    Never,
}

/// The ways to endpoints.
pub(super) struct Ways {
    /// Anywhere.
    open: Client,
    /// To the internet only: a name is checked where it is resolved.
    guarded: Client,
    /// Whether a proxy stands before a URL: then it is the proxy that resolves names, and says where they may lead.
    by_proxy: Box<dyn Fn(&Url) -> bool + Send + Sync>,
}

impl Ways {
    /// `way`: has a client go by a proxy, where there is one; `by_proxy`: whether there is one before a URL.
    pub(super) fn new(
        way: impl FnOnce(ClientBuilder) -> ClientBuilder,
        by_proxy: impl Fn(&Url) -> bool + Send + Sync + 'static,
    ) -> reqwest::Result<Ways> {
        Ok(Ways {
            open: way(client()).build()?,
            guarded: Reach::guard(client()).build()?,
            by_proxy: Box::new(by_proxy),
        })
    }

    /// By which an endpoint is reached.
    fn to(&self, hook: &Webhook) -> Result<&Client, Refused> {
        let Some(url) = Url::parse(&hook.url).ok().filter(|_| !hook.allow_private) else { return Ok(&self.open) };
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        match host.parse::<IpAddr>() {
            // This machine always may.
            Ok(address) if address.is_loopback() => Ok(&self.open),
            Err(_) if host == "localhost" => Ok(&self.open),
            Ok(address) if !is_public(address) => Err(Refused),
            _ if (self.by_proxy)(&url) => Ok(&self.open),
            _ => Ok(&self.guarded),
        }
    }
}

/// A client that goes where it was told and nowhere else.
fn client() -> ClientBuilder {
    Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .user_agent(concat!("offhook/", env!("CARGO_PKG_VERSION")))
}

/// Posts an event.
pub(super) async fn post(ways: &Ways, hook: &Webhook, id: &str, body: &str) -> (Attempt, Next) {
    let began = Instant::now();
    let mut attempt = Attempt::default();
    let next = match try_once(ways, hook, id, body, &mut attempt).await {
        Ok(next) => next,
        Err(why) => {
            attempt.error = Some(why);
            Next::Again { asked_s: None }
        }
    };
    attempt.took_ms = began.elapsed().as_millis() as u64;
    (attempt, next)
}

/// Fails when there is no answer.
async fn try_once(ways: &Ways, hook: &Webhook, id: &str, body: &str, attempt: &mut Attempt) -> Result<Next, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    if hook.secret.expose().is_empty() {
        return Err("its secret cannot be read".to_owned());
    }
    let signed = signature::sign_by_all(hook, now_ms, id, now.as_secs(), body.as_bytes());
    let signed = signed.map_err(|_| "the secret is not base64".to_owned())?;
    let client = ways.to(hook).map_err(|refused| refused.to_string())?;
    let mut request = client
        .post(&hook.url)
        .timeout(Duration::from_millis(hook.timeout_ms))
        .header(CONTENT_TYPE, "application/json")
        .header(signature::ID, id)
        .header(signature::TIMESTAMP, now.as_secs())
        .header(signature::SIGNATURE, signed);
    if hook.plain_signature {
        let plain =
            signature::plain(&hook.secret, body.as_bytes()).map_err(|_| "the secret is not base64".to_owned())?;
        request = request.header(signature::PLAIN, plain);
    }
    let mut answer = request.body(body.to_owned()).send().await.map_err(in_words)?;
    let status = answer.status();
    attempt.status = Some(status.as_u16());
    let asked_s = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok())
        }
        _ => None,
    };
    let (mut read, mut first) = (0, Vec::new());
    // The status is the answer; what follows is read for people, and for the connection's sake.
    while let Ok(Some(chunk)) = answer.chunk().await {
        let room = ANSWER_BYTES - first.len();
        first.extend_from_slice(&chunk[..chunk.len().min(room)]);
        read += chunk.len();
        if read > MAX_ANSWER_BYTES {
            break;
        }
    }
    attempt.answer = String::from_utf8_lossy(&first).into_owned();
    attempt.error = match status {
        status if status.is_success() => return Ok(Next::Nothing),
        status if status.is_redirection() => Some(format!("{status}: redirects are not followed")),
        status => Some(status.to_string()),
    };
    Ok(if status == StatusCode::GONE { Next::Never } else { Next::Again { asked_s } })
}

/// The error with its causes, without the URL, which may have a key in it.
fn in_words(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    if Refused::caused(&error) || error.source().is_some_and(|source| source.is::<Refused>()) {
        return Refused.to_string();
    }
    words::of(&error.without_url()).chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn hook_01_this_machine_always_may_and_private_networks_only_if_the_operator_lets_them() {
        super::super::super::tls::install_crypto();
        let ways = Ways::new(|client| client, |url| url.host_str() == Some("by-proxy.example")).expect("clients");
        let way = |url: &str, allow_private: bool| {
            let hook = Webhook::new("crm".to_owned(), url.to_owned(), Secret::new("sixteen-bytes-at"));
            match ways.to(&Webhook { allow_private, ..hook }) {
                Ok(client) if std::ptr::eq(client, &ways.open) => "open",
                Ok(_) => "guarded",
                Err(Refused) => "refused",
            }
        };
        for (url, expected) in [
            ("http://127.0.0.1:8788/", "open"),
            ("http://[::1]/", "open"),
            ("http://localhost/", "open"),
            ("https://1.1.1.1/", "guarded"),
            // Names are held against it where they are resolved; before a proxy, it resolves them.
            ("https://crm.example.com/", "guarded"),
            ("https://localhost.example.com/", "guarded"),
            ("https://localhost./", "guarded"),
            ("https://by-proxy.example/", "open"),
            ("https://10.0.0.1/", "refused"),
            ("https://192.168.0.1:8443/", "refused"),
            ("https://169.254.169.254/", "refused"),
            ("https://[::ffff:127.0.0.1]/", "refused"),
            ("https://[fd00::1]/", "refused"),
            ("https://0.0.0.0/", "refused"),
        ] {
            assert_eq!((way(url, false), way(url, true)), (expected, "open"), "{url}");
        }
    }
}
