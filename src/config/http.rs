//! Requests to other servers as documents write them: tools, the fetch before a call, the push after it.

use reqwest::Url;

use super::named::{self, Uses};
use super::problem::Problem;
use super::reader::{Field, Kept, Table};
use super::scope::Scope;
use super::types::{BodyKind, HeaderText, HttpRequest, Method, Secret, is_host_of};
use super::values::{self, MAX_NAME, SecretRef};
use super::world::World;
use crate::base::template::{self, Template, Values, Variables};

/// What a kind of request has of its own.
pub(super) struct Shape<'a> {
    pub(super) scope: &'a Scope,
    pub(super) methods: &'a [(&'static str, Method)],
    pub(super) method: Method,
    /// Further tries by default; `None`: it is not for the document to say.
    pub(super) retries: Option<u32>,
    /// Whether asking twice does no harm, whatever the method.
    pub(super) idempotent: bool,
}

/// Secrets of a document: what is missing is told only when a number is answered with them.
pub(super) struct Secrets<'w> {
    world: &'w dyn World,
    pub(super) missing: Vec<Problem>,
    pub(super) uses: Uses,
    /// What is doubtful about where they are kept.
    pub(super) doubts: Vec<Problem>,
}

impl<'w> Secrets<'w> {
    pub(super) fn new(world: &'w dyn World) -> Self {
        Secrets { world, missing: Vec::new(), uses: Uses::default(), doubts: Vec::new() }
    }

    /// The secret for `header`, or an empty one: one that is named is put in when the agent is resolved.
    pub(super) fn look_up(&mut self, secret: &SecretRef, header: &str, prefix: Option<&str>) -> Secret {
        if let Kept::Named(name) = secret.kept() {
            self.uses.note(header, prefix, name, secret.place().clone());
            return Secret::new("");
        }
        self.uses.note_direct(secret.kept().clone(), secret.place().clone());
        self.doubts.push(named::doubt(secret.place(), secret.kept()));
        match (secret.resolve(self.world), prefix) {
            (Ok(secret), Some(prefix)) => Secret::new(format!("{prefix}{}", secret.expose())),
            (Ok(secret), None) => secret,
            (Err(problem), _) => {
                self.missing.push(*problem);
                Secret::new("")
            }
        }
    }
}

/// Reads the keys of a request from `table`, and leaves the rest.
pub(super) fn request(table: &mut Table<'_, '_>, shape: &Shape<'_>, secrets: &mut Secrets<'_>) -> Option<HttpRequest> {
    let method = table.choice("method", shape.method, shape.methods);
    let url = table.need("url", "where it is asked: https://…");
    let headers = table.table("headers");
    let body = table.take("body");
    let retries = shape.retries.map(|default| (default, table.take("retries"), table.boolean("idempotent", false)));
    let max_response_bytes = table.integer("max_response_bytes", 65_536, 1..=1_048_576) as usize;
    let hosts = table.take("hosts").map(|field| values::hosts(&field)).unwrap_or_default();
    let allow_private = table.boolean("allow_private", false);

    let headers = read_headers(headers, shape.scope, secrets);
    let kind = body_kind(&headers);
    let body = body.and_then(|field| {
        let template = shape.scope.template(&field, MAX_BODY)?;
        if !method.has_body() {
            field.wrong_allowed(format!("{} has no body", method.name()), "POST, PUT, PATCH");
        } else if let (BodyKind::Json, Err(why)) = (kind, template::json::check(&template)) {
            let allowed = "JSON with {{…}} as or within values, or a Content-Type header that says what it is";
            field.wrong_allowed(format!("is not JSON ({why})"), allowed);
        }
        Some(template)
    });
    let retries = retries.map_or(0, |(default, field, idempotent)| {
        let field = field.as_ref();
        let wanted = field.and_then(|f| f.integer(0..=5)).map(|n| n as u32);
        let harmless = method.is_idempotent() || idempotent || shape.idempotent;
        if let Some(field) = field.filter(|_| wanted > Some(0) && !harmless) {
            let message = format!("{} may do its work twice when it is tried again", method.name());
            field.wrong_allowed(message, "0, or idempotent = true when the server sees to that");
        }
        wanted.unwrap_or(default)
    });
    let (url, host) = url.and_then(|field| read_url(&field, shape.scope, &hosts, allow_private))?;
    let hosts: Vec<String> = hosts.into_iter().map(|(name, _)| name).collect();
    // Redirects are not followed: a host that stands in the URL is the only one that is asked.
    secrets.uses.hosts(host.as_ref().map_or(&hosts[..], std::slice::from_ref));
    Some(HttpRequest { method, url, headers, body, body_kind: kind, hosts, allow_private, max_response_bytes, retries })
}

/// The URL, and its host when there is no gap in it.
fn read_url(
    field: &Field<'_, '_>,
    scope: &Scope,
    hosts: &[(String, Field<'_, '_>)],
    private: bool,
) -> Option<(Template, Option<String>)> {
    let template = scope.template(field, MAX_NAME)?;
    let example = "a URL such as https://api.example.com/customers/{{call.from}}";
    let text = field.as_str().unwrap_or_default();
    if !text.starts_with("https://") && !text.starts_with("http://") {
        field.wrong_allowed("does not begin with https:// or http://", example);
        return None;
    }
    if text.contains('#')
        || text.contains('\\')
        || text.chars().any(|c| c.is_control() || c.is_whitespace() && c != ' ')
    {
        field.wrong_allowed("has a fragment, a backslash or a line break", example);
        return None;
    }
    // Every gap with something harmless in it is a URL, or none is.
    let open = template::url::has_open_host(&template);
    let stand_in: Variables = template.variables().map(|(name, _)| (name.to_owned(), "x".to_owned())).collect();
    let arguments = serde_json::Value::Object(
        stand_in.iter().filter_map(|(k, v)| Some((k.strip_prefix("args.")?.to_owned(), v.clone().into()))).collect(),
    );
    let values = Values::new(&stand_in).with("args", &arguments);
    let url = template::url::render(&template, &values).and_then(|url| Url::parse(&url).map_err(|e| e.to_string()));
    let url = match url {
        Ok(url) if url.username().is_empty() && url.password().is_none() => url,
        Ok(_) => {
            let hidden = field.place().hidden("url = (hidden)");
            let allowed = "headers.Authorization = { secret = \"NAME\" }";
            field.note(Problem::error(&hidden, "has a user name or password").allowed(allowed));
            return None;
        }
        Err(why) => {
            field.wrong_allowed(format!("is not a URL ({why})"), example);
            return None;
        }
    };
    if open && hosts.is_empty() {
        field.wrong_allowed("leaves the host open", "hosts = [\"…\"] beside it, which says what hosts may be asked");
    }
    if !open {
        let host = url.host_str().unwrap_or_default();
        if let Some((_, listed)) = hosts.first().filter(|_| !hosts.iter().any(|(listed, _)| is_host_of(host, listed))) {
            listed.wrong(format!("hosts does not have {host}, which url names"));
        }
        if values::is_loopback(&url) && !private {
            field.wrong_allowed("is on this machine", "allow_private = true beside it lets it be asked");
        }
        if url.scheme() == "http" && !values::is_loopback(&url) {
            field.doubtful("what is sent and answered would travel in the clear; use https://");
        }
    }
    let host = (!open).then(|| url.host_str().unwrap_or_default().to_ascii_lowercase());
    Some((template, host))
}

fn read_headers(table: Table<'_, '_>, scope: &Scope, secrets: &mut Secrets<'_>) -> Vec<(String, HeaderText)> {
    let reserved = |name: &str| RESERVED.iter().any(|r| name.eq_ignore_ascii_case(r)).then_some("HTTP");
    values::headers(table, reserved, |name, field| {
        if field.is_table() {
            let (prefix, secret) = SecretRef::read_with_prefix(field)?;
            return Some(HeaderText::Secret(secrets.look_up(&secret, name, prefix.as_deref())));
        }
        if is_secret(name) && field.as_str().is_none_or(|text| !text.contains("{{")) {
            let hidden = field.key_place().hidden(&format!("{name} = (hidden)"));
            let message = "a secret is never written in a document";
            field.note(Problem::error(&hidden, message).allowed(HEADER_SHAPES));
            return None;
        }
        let template = scope.template(&field, MAX_NAME)?;
        if template.to_string().contains(['\r', '\n']) {
            field.wrong("has a line break");
        }
        Some(HeaderText::Text(template))
    })
}

/// Whether a header of this name says who asks.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "key", "token", "secret", "cookie", "passw"].iter().any(|word| name.contains(word))
        && name != "idempotency-key"
}

fn body_kind(headers: &[(String, HeaderText)]) -> BodyKind {
    let said = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let Some((_, HeaderText::Text(kind))) = said else { return BodyKind::Json };
    let kind = kind.to_string().to_ascii_lowercase();
    if kind.contains("json") {
        BodyKind::Json
    } else if kind.contains("x-www-form-urlencoded") {
        BodyKind::Form
    } else {
        BodyKind::Text
    }
}

const MAX_BODY: usize = 65_536;
const HEADER_SHAPES: &str = "{ secret = \"NAME\" }, { env = \"NAME\" }, { file = \"path\" }, with prefix = \"Bearer \" where the server wants one";
/// Set by whoever writes the request.
const RESERVED: [&str; 8] =
    ["host", "connection", "upgrade", "content-length", "transfer-encoding", "te", "trailer", "expect"];
