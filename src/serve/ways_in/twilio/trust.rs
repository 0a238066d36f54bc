//! Who may tell us of calls: the carrier, by its signature. A handler that takes a [`Signed`] cannot forget to look.

use std::sync::Arc;
use std::time::Instant;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};

use crate::config::{Config, Server};
use crate::link::twilio::signature;

use crate::serve::Shared;

/// Longest id or number that is looked at.
pub(in crate::serve) const MAX_FIELD: usize = 64;

/// A webhook whose sender is the carrier.
pub(in crate::serve) struct Signed {
    pub(in crate::serve) form: Trusted,
    /// What it was held against.
    pub(in crate::serve) config: Arc<Config>,
    pub(in crate::serve) uri: Uri,
    pub(in crate::serve) headers: HeaderMap,
    /// When it arrived.
    pub(in crate::serve) at: Instant,
}

impl FromRequest<Arc<Shared>> for Signed {
    type Rejection = Response;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Response> {
        let at = Instant::now();
        let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
        let form = Form::from_request(request, shared).await;
        let config = shared.config().await;
        let form = trusted(shared, &config, &method, &uri, &headers, form).map_err(|refusal| *refusal)?;
        Ok(Signed { form, config, uri, headers, at })
    }
}

/// How the world reaches the server, for one request.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Public {
    /// Scheme, host and port; no slash at the end.
    base: String,
}

impl Public {
    /// As configured, or from the request's `Host`.
    pub(in crate::serve) fn of(server: &Server, headers: &HeaderMap) -> Public {
        if let Some(url) = &server.public_url {
            return Public { base: url.clone() };
        }
        let scheme = if server.tls.is_some() { "https" } else { "http" };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        Public { base: format!("{scheme}://{host}") }
    }

    /// Scheme, host and port; no slash at the end.
    pub(in crate::serve) fn from_base(base: String) -> Public {
        Public { base }
    }

    /// The URL of one of our paths.
    pub(in crate::serve) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Scheme, host and port; no slash at the end.
    pub(in crate::serve) fn into_base(self) -> String {
        self.base
    }

    /// The URL that the carrier called, as far as it is known here: what it has signed.
    fn webhook(&self, uri: &Uri) -> String {
        format!("{}{}", self.base, uri.path_and_query().map_or("/", |path| path.as_str()))
    }

    /// The same, with the host as the request spells it: the carrier may sign what stands in its console, in capitals, with
    /// the port that the scheme implies, or with the root's dot.
    fn webhook_as_asked(&self, uri: &Uri, headers: &HeaderMap) -> Option<String> {
        let (scheme, host) = self.base.split_once("://")?;
        let asked = headers.get(header::HOST)?.to_str().ok()?;
        let same = asked != host && plain(scheme, asked).eq_ignore_ascii_case(&plain(scheme, host));
        same.then(|| Public { base: format!("{scheme}://{asked}") }.webhook(uri))
    }

    /// The same for the media stream. The carrier knows only `wss`, also when TLS ends before us or is left out on loopback.
    pub(in crate::serve) fn media(&self, uri: &Uri) -> String {
        let url = self.webhook(uri);
        let after = url.split_once("://").map_or(url.as_str(), |(_, after)| after);
        format!("wss://{after}")
    }
}

/// A host without what it means anyway: the port of its scheme, and the root's dot.
fn plain(scheme: &str, host: &str) -> String {
    let implied = if scheme == "https" { "443" } else { "80" };
    match host.rsplit_once(':') {
        Some((name, port)) if port == implied => name.strip_suffix('.').unwrap_or(name).to_owned(),
        // The colon may be an IPv6 address's own.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            format!("{}:{port}", name.strip_suffix('.').unwrap_or(name))
        }
        _ => host.strip_suffix('.').unwrap_or(host).to_owned(),
    }
}

/// A form whose sender is the carrier.
pub(in crate::serve) struct Trusted(Vec<(String, String)>);

impl Trusted {
    /// The first value of a field, if it is of a length that ids and numbers have.
    pub(in crate::serve) fn get(&self, name: &str) -> Option<&str> {
        self.text(name).filter(|value| value.len() <= MAX_FIELD)
    }

    /// The first value of a field that holds words, of whatever length: the form's own bound is the only one.
    pub(in crate::serve) fn text(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())?;
        (!value.is_empty()).then_some(value)
    }
}

fn trusted(
    shared: &Shared,
    config: &Config,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Result<Trusted, Box<Response>> {
    let Form(fields) = form.map_err(|rejection| {
        shared.metrics.rejected.add("form", 1);
        Box::new(rejection.into_response())
    })?;
    if config.server.twilio.check_signatures {
        let public = Public::of(&config.server, headers);
        let urls = [Some(public.webhook(uri)), public.webhook_as_asked(uri, headers)];
        let given = headers.get(signature::HEADER).and_then(|value| value.to_str().ok()).unwrap_or("");
        // A GET is signed by its URL, which has the fields already.
        let signed: &[_] = if *method == Method::GET { &[] } else { &fields };
        let token = config.server.twilio.auth_token.as_ref();
        let right = |token| urls.iter().flatten().any(|url| signature::verify_form(token, url, signed, given));
        if !token.is_some_and(right) {
            shared.metrics.rejected.add("signature", 1);
            if shared.strangers.due() {
                let why = match token {
                    None => "there is no twilio.auth_token to check its signature with",
                    Some(_) => "wrong signature (is public_url in offhook.toml what the carrier calls?)",
                };
                tracing::warn!("webhook refused: {why}");
            }
            return Err(Box::new(StatusCode::FORBIDDEN.into_response()));
        }
    }
    Ok(Trusted(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_may_be_asked_for_in_any_spelling_of_the_same() {
        let uri = Uri::from_static("/twilio/voice?a=b");
        let asked = |base: &str, host: &str| {
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().expect("a header"))]);
            Public::from_base(base.to_owned()).webhook_as_asked(&uri, &headers)
        };
        for (base, host) in [
            ("https://calls.example.com", "Calls.Example.com"),
            ("https://calls.example.com", "calls.example.com."),
            ("https://calls.example.com", "CALLS.example.com.:443"),
            ("https://calls.example.com:8443", "calls.example.com.:8443"),
            ("http://127.0.0.1", "127.0.0.1:80"),
            ("https://[2001:db8::1]", "[2001:DB8::1]:443"),
        ] {
            let scheme = base.split_once("://").expect("a scheme").0;
            assert_eq!(asked(base, host), Some(format!("{scheme}://{host}/twilio/voice?a=b")), "{base} {host}");
        }
        for (base, host) in [
            // Spelled alike: the first attempt has it.
            ("https://calls.example.com", "calls.example.com"),
            ("https://calls.example.com", "calls.example.com:80"),
            ("https://calls.example.com", "calls.example.com.evil.test"),
            ("https://calls.example.com", "calls.example.com.."),
            ("https://calls.example.com:8443", "calls.example.com"),
            ("https://[2001:db8::1]", "[2001:db8::443]"),
        ] {
            assert_eq!(asked(base, host), None, "{base} {host}");
        }
    }

    #[test]
    fn ids_are_short_and_words_are_not() {
        let long = "x".repeat(1_500);
        let fields = [("CallSid", "CA1"), ("StreamError", &long), ("To", &long), ("From", "")];
        let form = Trusted(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
        assert_eq!((form.get("CallSid"), form.get("To"), form.get("From")), (Some("CA1"), None, None));
        assert_eq!((form.text("StreamError"), form.text("From")), (Some(long.as_str()), None));
    }
}
