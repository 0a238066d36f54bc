//! What agents may reach over HTTP: other servers, but neither this machine nor its neighbours, unless a document says so.
//!
//! A name is checked where it is resolved, and the connection goes to the very address that was checked: a name that
//! resolves differently a moment later gains nothing. Redirects are not followed and proxies of the environment not used,
//! since both would lead around the check.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, Url};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::base::address::is_public;

use super::tls;

/// The ways out: one with the check, one without.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    public: Client,
    private: Client,
}

/// Resolves a name; the permit is held for as long as that takes.
pub(super) type Lookup =
    Arc<dyn Fn(String, OwnedSemaphorePermit) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

impl Reach {
    pub(super) fn new() -> reqwest::Result<Reach> {
        Reach::with(system())
    }

    /// The same by other means of resolving names.
    pub(super) fn with(lookup: Lookup) -> reqwest::Result<Reach> {
        let client = |private: bool| {
            let resolver =
                Resolver { lookup: Arc::clone(&lookup), private, room: Arc::new(Semaphore::new(MAX_LOOKUPS)) };
            tls::http_client().no_proxy().dns_resolver(resolver).connect_timeout(CONNECT).build()
        };
        Ok(Reach { public: client(false)?, private: client(true)? })
    }

    /// Has a client of somebody else's go by the same check, and by no proxy.
    pub(super) fn guard(client: ClientBuilder) -> ClientBuilder {
        let room = Arc::new(Semaphore::new(MAX_LOOKUPS));
        client.no_proxy().dns_resolver(Resolver { lookup: system(), private: false, room })
    }

    /// Who may ask `url`. Addresses that stand in it are checked here, names when they are resolved.
    pub(super) fn client(&self, url: &Url, allow_private: bool) -> Result<&Client, Refused> {
        if allow_private {
            return Ok(&self.private);
        }
        let host = url.host_str().unwrap_or_default();
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) if !is_public(address) => Err(Refused),
            _ => Ok(&self.public),
        }
    }
}

/// The address may not be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

impl Refused {
    /// Whether `error` comes of it.
    pub(super) fn caused(error: &reqwest::Error) -> bool {
        let mut source: Option<&(dyn Error + 'static)> = error.source();
        while let Some(error) = source {
            if error.is::<Refused>() {
                return true;
            }
            source = error.source();
        }
        false
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host is on a private network or on this machine, which may not be asked (`allow_private`)")
    }
}

impl Error for Refused {}

struct Resolver {
    lookup: Lookup,
    private: bool,
    /// The system's lookups block a thread each.
    room: Arc<Semaphore>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, room, private) = (Arc::clone(&self.lookup), Arc::clone(&self.room), self.private);
        Box::pin(async move {
            let room = room.acquire_owned().await?;
            let found = lookup(name.as_str().to_owned(), room).await?;
            let allowed: Vec<SocketAddr> = found.iter().copied().filter(|at| private || is_public(at.ip())).collect();
            if allowed.is_empty() && !found.is_empty() {
                return Err(Refused.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn system() -> Lookup {
    Arc::new(|name, room| {
        Box::pin(async move {
            let look = move || {
                // Kept by the thread: whoever has stopped waiting does not stop it.
                let _room = room;
                // The port is the client's to choose.
                (name.as_str(), 0).to_socket_addrs().map(Iterator::collect)
            };
            tokio::task::spawn_blocking(look).await.map_err(std::io::Error::other)?
        })
    })
}

/// Lookups at once.
const MAX_LOOKUPS: usize = 64;
/// For a connection with its TLS; the request's own time limit comes on top.
const CONNECT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_checked_where_it_is_resolved() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        // An answer of both kinds is used as far as it is public; 203.0.113.0/24 is nobody's, and so private here.
        let lookup: Lookup = Arc::new(|name, _| {
            Box::pin(async move {
                let all: &[&str] = match name.as_str() {
                    "inside.example" => &["127.0.0.1:0", "[::1]:0", "10.0.0.1:0"],
                    "odd.example" => &["[::ffff:127.0.0.1]:0"],
                    _ => &[],
                };
                Ok(all.iter().map(|at| at.parse().expect("an address")).collect())
            })
        });
        let reach = Reach::with(lookup).expect("clients");
        for host in ["inside.example", "odd.example"] {
            let url = Url::parse(&format!("http://{host}:{port}/")).expect("a URL");
            let error = reach.client(&url, false).expect("a name").get(url.clone()).send().await.expect_err(host);
            assert!(Refused::caused(&error), "{host}: {error:?}");
        }
        for address in ["127.0.0.1", "[::1]", "2130706433", "0x7f.1", "0", "[::ffff:7f00:1]", "169.254.169.254"] {
            let url = Url::parse(&format!("http://{address}:{port}/")).expect("a URL");
            assert_eq!(reach.client(&url, false).map(drop), Err(Refused), "{address}");
        }
        let accepted = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
        assert!(accepted.is_err(), "nobody has connected");
        // Allowed, the same name is reached.
        let url = Url::parse(&format!("http://inside.example:{port}/")).expect("a URL");
        let asked = tokio::spawn(reach.client(&url, true).expect("allowed").get(url).send());
        listener.accept().await.expect("a connection");
        asked.abort();
    }
}
