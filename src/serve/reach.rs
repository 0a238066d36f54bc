//! What agents may reach over HTTP: other servers, but neither this machine nor its neighbours, unless a document says so.
//!
//! A name is checked where it is resolved, and the connection goes to the very address that was checked: a name that
//! resolves differently a moment later gains nothing. Redirects are not followed and proxies of the environment not used,
//! since both would lead around the check.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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

/// Whether an address is anybody's on the internet: not of this machine, of a private or shared network, of a link, of
/// documentation, of many at once, nor one that stands for such an address.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    !matches!(
        (a, b, c, d),
        (0 | 10 | 127 | 224..=255, ..)
            | (100, 64..=127, ..)
            | (169, 254, ..)
            | (172, 16..=31, ..)
            | (192, 168, ..)
            | (192, 0, 0 | 2, _)
            | (192, 88, 99, _)
            | (198, 18 | 19, ..)
            | (198, 51, 100, _)
            | (203, 0, 113, _)
            // A cloud's metadata at an address that looks like any other.
            | (168, 63, 129, 16)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    let inner = |high: u16, low: u16| is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match s {
        // IPv4 in IPv6: mapped, and by way of NAT64. What else is below ::/8 is this machine or nobody.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => inner(high, low),
        // Tunnels of former days (Teredo, 6to4), benchmarks and documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // All that is given out so far.
        [0x2000..=0x3fff, ..] => true,
        _ => false,
    }
}

/// Lookups at once.
const MAX_LOOKUPS: usize = 64;
/// For a connection with its TLS; the request's own time limit comes on top.
const CONNECT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "168.63.129.15",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.112.255",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001:813::200e",
            "2001:200::1",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(is_public(public.parse().expect(public)), "{public}");
        }
        for private in [
            // This machine, this network.
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.255.254",
            "::",
            "::1",
            // Private, shared, link-local.
            "10.0.0.1",
            "10.255.255.255",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "192.168.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.0.1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            // Metadata of clouds.
            "169.254.169.254",
            "169.254.170.2",
            "168.63.129.16",
            "100.100.100.200",
            "fd00:ec2::254",
            "192.0.0.192",
            // Many at once, reserved, broadcast.
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "ff02::1",
            "ff0e::1",
            // Protocols, documentation, benchmarks, relays.
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "2001:db8::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2002:7f00:1::",
            "3fff::1",
            "100::1",
            "5f00::1",
            // IPv4 in IPv6.
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::8.8.8.8",
            "::ffff:0:127.0.0.1",
        ] {
            assert!(!is_public(private.parse().expect(private)), "{private}");
        }
    }

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
