//! The way to others: whom a proxy stands before, and which of a host's addresses answers.
//!
//! One policy for models, the carrier, text models and webhooks. What agents ask of other servers goes without a proxy
//! ([`reach`](super::reach)): there the very address that was checked is asked.

mod eyeballs;

use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use reqwest::{ClientBuilder, Proxy, Url};
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::http::Uri;
use tower_service::Service;

use crate::config;

use super::tls;

/// A connection to a host or through a proxy's tunnel to it; TLS is the proxy's own.
pub(super) type Stream = MaybeTlsStream<TcpStream>;

/// Time for a connection of a client for HTTP, shared by the addresses of each family.
const CONNECT: Duration = Duration::from_secs(4);

/// The policy. Cheap to clone.
#[derive(Clone)]
pub(super) struct Outgoing {
    rules: Arc<Rules>,
    tls: Arc<rustls::ClientConfig>,
}

struct Rules {
    matcher: Matcher,
    settings: config::Outgoing,
}

/// Why there is no connection, in words that hold no secret.
#[derive(Debug)]
pub(super) struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Outgoing {
    pub(super) fn new(settings: config::Outgoing) -> Outgoing {
        Outgoing { rules: Arc::new(Rules::new(settings)), tls: Arc::new(tls::to_others()) }
    }

    /// A client for HTTP that asks by this policy.
    pub(super) fn client(&self) -> ClientBuilder {
        self.apply(tls::http_client()).connect_timeout(CONNECT)
    }

    /// Has a client ask by this policy.
    pub(super) fn apply(&self, client: ClientBuilder) -> ClientBuilder {
        let rules = Arc::clone(&self.rules);
        client.proxy(Proxy::custom(move |url: &Url| rules.proxy_for(&url.as_str().parse().ok()?)))
    }

    /// Whether a proxy stands before a URL.
    pub(super) fn is_by_proxy(&self, url: &Url) -> bool {
        url.as_str().parse().is_ok_and(|uri| self.rules.proxy_for(&uri).is_some())
    }

    /// Connects to the host of a URL.
    pub(super) async fn connect(&self, uri: &Uri) -> Result<Stream, Failed> {
        match self.rules.proxy_for(uri) {
            None => {
                let (host, port) = address(uri).ok_or_else(|| Failed("the url names no host".to_owned()))?;
                let stream = to(&host, port).await.map_err(|error| Failed(format!("connect: {error}")))?;
                Ok(MaybeTlsStream::Plain(stream))
            }
            Some(proxy) => self.through(&proxy, uri).await,
        }
    }

    /// The same by a proxy's tunnel.
    async fn through(&self, proxy: &Url, uri: &Uri) -> Result<Stream, Failed> {
        let by = |what: &str, error: &dyn fmt::Display| Failed(format!("{what}: {error}"));
        let unknown = || Failed("the proxy's url names no host".to_owned());
        let stands: Uri = bare(proxy).parse().map_err(|_| unknown())?;
        let (host, port) = address(&stands).ok_or_else(unknown)?;
        let stream = to(&host, port).await.map_err(|error| by("connect to the proxy", &error))?;
        let stream = if proxy.scheme() == "https" {
            let name = ServerName::try_from(host).map_err(|error| by("the proxy's name", &error))?;
            let connector = TlsConnector::from(Arc::clone(&self.tls));
            let stream = connector.connect(name, stream).await.map_err(|error| by("TLS to the proxy", &error))?;
            MaybeTlsStream::Rustls(stream)
        } else {
            MaybeTlsStream::Plain(stream)
        };
        let mut tunnel = Tunnel::new(stands, Connected(Some(stream)));
        if let Some(auth) = self.rules.auth(uri) {
            tunnel = tunnel.with_auth(auth);
        }
        // The tunnel's own default is the port of https.
        let (host, port) = address(uri).ok_or_else(|| Failed("the url names no host".to_owned()))?;
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let far: Uri = format!("https://{host}:{port}/").parse().map_err(|_| Failed("the url's host".to_owned()))?;
        let stream = tunnel.call(far).await.map_err(|error| by("the proxy", &error))?;
        Ok(stream.into_inner())
    }
}

impl Rules {
    fn new(settings: config::Outgoing) -> Rules {
        let text = |proxy: &Option<config::Secret>| proxy.as_ref().map_or("", config::Secret::expose).to_owned();
        let matcher = Matcher::builder()
            .http(text(&settings.proxies.http))
            .https(text(&settings.proxies.https))
            .no(settings.no_proxy.join(","))
            .build();
        Rules { matcher, settings }
    }

    /// The proxy that stands before a URL's host, with what it asks for of user name and password.
    fn proxy_for(&self, uri: &Uri) -> Option<Url> {
        self.intercept(uri)?;
        let proxies = &self.settings.proxies;
        let proxy = if is_tls(uri) { &proxies.https } else { &proxies.http };
        Url::parse(proxy.as_ref()?.expose()).ok()
    }

    fn auth(&self, uri: &Uri) -> Option<reqwest::header::HeaderValue> {
        self.intercept(uri)?.basic_auth().cloned()
    }

    fn intercept(&self, uri: &Uri) -> Option<hyper_util::client::proxy::matcher::Intercept> {
        // What is on this machine is nobody else's to pass on.
        if is_own(uri.host()?) {
            return None;
        }
        let mut parts = uri.clone().into_parts();
        let scheme = if is_tls(uri) { "https" } else { "http" };
        parts.scheme = scheme.parse().ok();
        self.matcher.intercept(&Uri::from_parts(parts).ok()?)
    }
}

fn is_tls(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("https" | "wss"))
}

/// A proxy's URL without what nobody is to read.
fn bare(proxy: &Url) -> String {
    let mut bare = proxy.clone();
    // Fails for URLs that have no host only.
    let _ = bare.set_username("").and_then(|()| bare.set_password(None));
    bare.into()
}

fn is_own(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    let named = host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost");
    named || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Where to connect; IPv6 addresses lose their brackets.
fn address(uri: &Uri) -> Option<(String, u16)> {
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(if is_tls(uri) { 443 } else { 80 });
    (!host.is_empty()).then_some((host, port))
}

/// Connects to the first of a host's addresses that answers.
async fn to(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses = eyeballs::order(lookup_host((host, port)).await?);
    let connect = |address| async move {
        let stream = TcpStream::connect(address).await?;
        // Fails only on a socket that is gone, which whoever uses it will find out.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    };
    eyeballs::race(addresses, eyeballs::DELAY, connect).await
}

/// A connection that is there already, where one is to be made.
struct Connected(Option<Stream>);

impl Service<Uri> for Connected {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<Stream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().map(TokioIo::new).ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(http: Option<&str>, https: Option<&str>, no: &[&str]) -> Rules {
        let secret = |url: Option<&str>| url.map(config::Secret::new);
        let proxies = config::Proxies { http: secret(http), https: secret(https) };
        Rules::new(config::Outgoing { proxies, no_proxy: no.iter().map(|host| (*host).to_owned()).collect() })
    }

    #[test]
    fn who_is_asked_by_a_proxy() {
        let both = rules(
            Some("http://plain.test:3128/"),
            Some("http://ann:s%40fe@tls.test:3129/"),
            &["inside.test", "10.0.0.0/8", "2001:db8::1"],
        );
        for (url, proxy) in [
            ("wss://api.test/v1/realtime", Some("tls.test")),
            ("https://api.test:8443/", Some("tls.test")),
            ("ws://api.test/", Some("plain.test")),
            ("http://api.test/", Some("plain.test")),
            ("wss://inside.test/", None),
            ("wss://model.inside.test/", None),
            ("wss://notinside.test/", Some("tls.test")),
            ("wss://10.1.2.3/", None),
            ("wss://11.1.2.3/", Some("tls.test")),
            ("wss://[2001:db8::1]/", None),
            // This machine never.
            ("ws://localhost:8080/", None),
            ("ws://127.0.0.1:8080/", None),
            ("wss://127.0.0.2/", None),
            ("ws://[::1]:8080/", None),
            ("ws://model.localhost/", None),
        ] {
            let found = both.proxy_for(&url.parse().expect("a URL"));
            assert_eq!(found.as_ref().and_then(Url::host_str), proxy, "{url}");
        }
        let uri: Uri = "wss://api.test/".parse().expect("a URL");
        assert_eq!(both.auth(&uri).expect("credentials"), "Basic YW5uOnNAZmU=");
        let everywhere = rules(Some("http://p.test"), Some("http://p.test"), &["*"]);
        assert_eq!(everywhere.proxy_for(&uri), None);
        assert_eq!(rules(Some("http://p.test"), None, &[]).proxy_for(&uri), None, "only what is not encrypted");
    }

    #[tokio::test]
    async fn a_first_address_that_takes_no_connection_holds_nothing_up() {
        // A listener whose queue is full answers nothing: a black hole.
        let hole = tokio::net::TcpSocket::new_v4().expect("a socket");
        hole.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let dead = hole.local_addr().expect("an address");
        let hole = hole.listen(0).expect("a listener");
        let mut filling = Vec::new();
        for _ in 0..4 {
            filling.push(tokio::spawn(TcpStream::connect(dead)));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let live = tokio::net::TcpListener::bind("127.0.0.2:0").await.expect("a port");
        let far = live.local_addr().expect("an address");
        let began = std::time::Instant::now();
        let stream = eyeballs::race(eyeballs::order([dead, far]), eyeballs::DELAY, TcpStream::connect)
            .await
            .expect("a connection");
        assert_eq!(stream.peer_addr().expect("an address"), far);
        assert!(began.elapsed() >= Duration::from_millis(240), "the first was tried first");
        filling.iter().for_each(tokio::task::JoinHandle::abort);
        drop(hole);
    }

    #[test]
    fn a_proxy_is_shown_without_its_password() {
        let url = Url::parse("http://ann:secret@p.test:3128/").expect("a URL");
        assert_eq!(bare(&url), "http://p.test:3128/");
    }
}
