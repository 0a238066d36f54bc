//! Requests that Twilio makes to the server: form POSTs, signed over the URL as the world knows it.

use std::time::Duration;

use crate::config::{CarrierProfile, Secret};
use crate::link::twilio::{manner, signature};

/// Longest answer that is read.
const MAX_BODY: usize = 64 * 1024;
/// Twilio waits this long for a webhook.
const TIMEOUT: Duration = Duration::from_secs(15);

/// How to reach the server, and as whom.
#[derive(Clone)]
pub(crate) struct Server {
    client: reqwest::Client,
    connect: String,
    public: String,
    token: Option<Secret>,
    header: &'static str,
}

/// An answer to a webhook.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

impl Server {
    /// `connect` and `public` are `http(s)://host[:port]` without a slash at the end.
    pub(crate) fn new(
        connect: &str,
        public: Option<&str>,
        token: Option<Secret>,
        client: Option<reqwest::Client>,
    ) -> Result<Server, String> {
        let client = client.map_or_else(client_for_webhooks, Ok)?;
        let connect = connect.trim_end_matches('/').to_owned();
        let public = public.map_or_else(|| connect.clone(), |url| url.trim_end_matches('/').to_owned());
        Ok(Server { client, connect, public, token, header: signature::HEADER })
    }

    /// Signs as that carrier does.
    pub(crate) fn signing_as(self, profile: CarrierProfile) -> Server {
        let header = manner::of(profile).signature_headers.first().copied().unwrap_or(signature::HEADER);
        Server { header, ..self }
    }

    /// A URL as the world knows it, from a path or a URL.
    pub(crate) fn public(&self, path_or_url: &str) -> String {
        if path_or_url.starts_with('/') { format!("{}{path_or_url}", self.public) } else { path_or_url.to_owned() }
    }

    /// Whether the world reaches the server by plain HTTP, as only loopback may.
    pub(crate) fn is_plain(&self) -> bool {
        self.public.starts_with("http://")
    }

    /// Where to connect for a media stream at `url`, with plain `ws` where the server is reached by plain HTTP.
    pub(crate) fn reach_stream(&self, url: &str) -> String {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let host = self.public.split_once("://").map_or(self.public.as_str(), |(_, host)| host);
        match rest.strip_prefix(host) {
            Some(path) if path.is_empty() || path.starts_with('/') => {
                format!("{}{path}", self.connect.replacen("http", "ws", 1))
            }
            _ => url.to_owned(),
        }
    }

    /// Headers that a proxy adds, when there is one between the world and the server.
    pub(crate) fn forwarded(&self) -> Vec<(&'static str, String)> {
        match self.public.split_once("://") {
            Some((scheme, host)) if self.public != self.connect => {
                vec![("x-forwarded-proto", scheme.to_owned()), ("x-forwarded-host", host.to_owned())]
            }
            _ => Vec::new(),
        }
    }

    /// Posts a form to `url`, as the world knows it.
    pub(crate) async fn post(&self, url: &str, form: &[(String, String)]) -> Result<Answer, String> {
        let reached = match url.strip_prefix(&self.public) {
            Some(path) if path.is_empty() || path.starts_with(['/', '?']) => format!("{}{path}", self.connect),
            _ => url.to_owned(),
        };
        let mut request = self.client.post(reached).form(form);
        for (name, value) in self.forwarded() {
            request = request.header(name, value);
        }
        if let Some(token) = &self.token {
            request = request.header(self.header, signature::sign(token, url, form));
        }
        let mut response = request.send().await.map_err(|error| chain(&error))?;
        let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BODY {
                return Err(format!("the answer is longer than {MAX_BODY} bytes"));
            }
        }
        let body = String::from_utf8(body).map_err(|_| "the answer is not UTF-8".to_owned())?;
        Ok(Answer { status, content_type, body })
    }
}

/// Asks as Twilio does: directly, following nothing, for so long.
pub(crate) fn client_for_webhooks() -> Result<reqwest::Client, String> {
    crate::serve::http_client().no_proxy().timeout(TIMEOUT).build().map_err(|error| error.to_string())
}

/// An error with its causes: reqwest's own words alone name only the URL.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
