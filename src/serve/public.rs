//! How the world reaches the server, for one request.

use axum::http::{HeaderMap, HeaderValue, Uri, header};

use crate::config::Server;

/// Where that is.
#[derive(Clone, Debug)]
pub(super) struct Public {
    /// Scheme, host and port; no slash at the end.
    base: String,
}

impl Public {
    /// As configured, or from the request's `Host`.
    pub(super) fn of(server: &Server, headers: &HeaderMap) -> Public {
        match &server.public_url {
            Some(url) => Public { base: url.clone() },
            None => Public::asked(server, headers),
        }
    }

    /// As the request has it.
    fn asked(server: &Server, headers: &HeaderMap) -> Public {
        let scheme = if server.tls.is_some() { "https" } else { "http" };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        Public { base: format!("{scheme}://{host}") }
    }

    /// How people and programs reach API and console, as configured or from the request's `Host`.
    pub(super) fn of_people(server: &Server, headers: &HeaderMap) -> Public {
        match server.people_url() {
            Some(url) => Public { base: url.to_owned() },
            None => Public::asked(server, headers),
        }
    }

    /// Scheme, host and port; no slash at the end.
    pub(super) fn from_base(base: String) -> Public {
        Public { base }
    }

    /// The URL of one of our paths.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Scheme, host and port; no slash at the end.
    pub(super) fn into_base(self) -> String {
        self.base
    }

    /// The URL that the carrier called, as far as it is known here: what it has signed.
    pub(super) fn webhook(&self, uri: &Uri) -> String {
        format!("{}{}", self.base, uri.path_and_query().map_or("/", |path| path.as_str()))
    }

    /// The same, with the host as the request spells it: the carrier may sign what stands in its console, in capitals, with
    /// the port that the scheme implies, or with the root's dot.
    pub(super) fn webhook_as_asked(&self, uri: &Uri, headers: &HeaderMap) -> Option<String> {
        let (scheme, host) = self.base.split_once("://")?;
        let asked = headers.get(header::HOST)?.to_str().ok()?;
        let same = asked != host && plain(scheme, asked).eq_ignore_ascii_case(&plain(scheme, host));
        same.then(|| Public { base: format!("{scheme}://{asked}") }.webhook(uri))
    }

    /// The same for the media stream. The carrier knows only `wss`, also when TLS ends before us or is left out on loopback.
    pub(super) fn media(&self, uri: &Uri) -> String {
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

/// What stands behind `Bearer`, in whichever letters that is written (RFC 9110).
pub(crate) fn bearer(given: &HeaderValue) -> Option<&str> {
    let (scheme, given) = given.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| given.trim())
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
}
