//! What an agent asks of other servers, and of text models once a call is over.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Price, Schema, Secret};
use crate::base::template::Template;

/// A request with gaps that are filled in when it is made.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// How it is asked.
    pub method: Method,
    /// `http://` or `https://`.
    pub url: Template,
    /// In the document's order.
    pub headers: Vec<(String, HeaderText)>,
    /// `None`: whatever there is to say, as JSON, where the method has a body at all.
    pub body: Option<Template>,
    /// Whether the body is JSON, unless a header says that it is something else.
    pub body_kind: BodyKind,
    /// The only hosts that are asked, when there are any: names, or `*.` and a domain. Never empty when the URL's host has
    /// a gap.
    pub hosts: Vec<String>,
    /// Whether addresses of this machine and of private networks may be asked.
    pub allow_private: bool,
    /// An answer that is longer is not read to its end.
    pub max_response_bytes: usize,
    /// Further tries when the server is not there or too busy, within the request's time.
    pub retries: u32,
}

impl HttpRequest {
    /// Whether `host` is one of [`HttpRequest::hosts`], or there are none.
    pub fn may_ask(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|listed| is_host_of(host, listed))
    }
}

/// Whether `host` is what `listed` says: the same name, or below the domain of `*.domain`.
pub(crate) fn is_host_of(host: &str, listed: &str) -> bool {
    let host = host.to_ascii_lowercase();
    match listed.strip_prefix("*.") {
        Some(domain) => host.strip_suffix(domain).is_some_and(|below| below.len() > 1 && below.ends_with('.')),
        None => host == listed,
    }
}

/// Methods of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // named as they are
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// All of them by name.
    pub const ALL: [(&'static str, Method); 6] = [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::Post),
        ("PUT", Method::Put),
        ("PATCH", Method::Patch),
        ("DELETE", Method::Delete),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Method::ALL.iter().find(|(_, method)| *method == self).map_or("GET", |(name, _)| name)
    }

    /// Whether asking twice does no more than asking once.
    pub fn is_idempotent(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Put | Method::Delete)
    }

    /// Whether a request of this kind carries a body.
    pub fn has_body(self) -> bool {
        matches!(self, Method::Post | Method::Put | Method::Patch)
    }
}

/// How values are put into a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// As JSON.
    Json,
    /// Percent-encoded, as in `application/x-www-form-urlencoded`.
    Form,
    /// As they are.
    Text,
}

/// The value of a header.
#[derive(Clone, Debug)]
pub enum HeaderText {
    /// Sent, and never shown. A prefix such as `Bearer ` is part of it.
    Secret(Secret),
    /// With gaps.
    Text(Template),
}

/// A tool's request.
#[derive(Clone, Debug)]
pub struct HttpTool {
    /// Filled in with the arguments and the call's variables.
    pub request: HttpRequest,
    /// Milliseconds for all of it, retries included.
    pub timeout_ms: u64,
}

/// What is fetched of a caller while the call begins.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Filled in with the call's own variables.
    pub request: HttpRequest,
    /// Milliseconds from the webhook until the call goes on with the defaults.
    pub deadline_ms: u64,
    /// Variables by full name, and where in the answer they are (JSON Pointers).
    pub map: BTreeMap<String, String>,
}

/// A server of tools that the model's vendor asks by itself.
#[derive(Clone, PartialEq, Eq)]
pub struct McpServer {
    /// What the model calls it by.
    pub label: String,
    /// For the model: what is there.
    pub description: Option<String>,
    /// `https://`.
    pub url: String,
    /// Handed to the vendor, who sends it along.
    pub authorization: Option<Secret>,
    /// Tools that may be used; empty: all.
    pub allowed_tools: Vec<String>,
}

impl fmt::Debug for McpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "McpServer({}, {})", self.label, self.url)
    }
}

/// A text model's endpoint, from `models.toml`.
#[derive(Clone, Debug)]
pub struct TextModel {
    /// Its name in `models.toml`.
    pub name: String,
    /// Base of the API, no trailing slash: `https://api.openai.com/v1`.
    pub base_url: String,
    /// What the vendor calls the model.
    pub model: String,
    /// Sent as `Authorization: Bearer …` when present.
    pub api_key: Option<Secret>,
    /// Further request headers.
    pub headers: Vec<(String, Secret)>,
    /// What it costs; only text counts. `None`: unknown.
    pub price: Option<Price>,
    /// How its API differs from the one that all copy.
    pub dialect: TextDialect,
}

/// Whose chat completions they are: the shapes are the same, the names of some fields are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextDialect {
    /// OpenAI's own, and Azure's: `max_completion_tokens`, role `developer`, what came later.
    OpenAi,
    /// Those of all who copy it: `max_tokens`, role `system`, and nothing that is OpenAI's alone.
    Compatible,
    /// Mistral's: likewise, with ids of calls as it wants them.
    Mistral,
}

impl TextDialect {
    /// That of a host, by its name.
    pub fn of_host(host: &str) -> TextDialect {
        let host = host.to_ascii_lowercase();
        let is = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        if is("api.openai.com") || is("openai.azure.com") {
            TextDialect::OpenAi
        } else if is("mistral.ai") {
            TextDialect::Mistral
        } else {
            TextDialect::Compatible
        }
    }
}

/// What is done once a call is over, in this order.
#[derive(Clone, Debug, Default)]
pub struct AfterCall {
    /// What the call was about.
    pub analysis: Option<Question>,
    /// How well it went.
    pub qc: Option<Question>,
    /// Who is told of it.
    pub push: Option<Push>,
}

impl AfterCall {
    /// Whether there is anything to do.
    pub fn is_empty(&self) -> bool {
        self.analysis.is_none() && self.qc.is_none() && self.push.is_none()
    }
}

/// A question about a call to a text model.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who is asked.
    pub model: Arc<TextModel>,
    /// What is asked.
    pub prompt: Template,
    /// What the answer must be.
    pub schema: Schema,
    /// Which of its properties, a boolean, says whether the call served its purpose.
    pub success: Option<String>,
    /// Milliseconds for one answer.
    pub timeout_ms: u64,
    /// Tokens of one answer.
    pub max_tokens: u32,
}

/// What is sent when everything is known about a call.
#[derive(Clone, Debug)]
pub struct Push {
    /// Filled in with everything.
    pub request: HttpRequest,
    /// Milliseconds for all tries together.
    pub timeout_ms: u64,
}
