//! The server and the organization, as meant.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::*;

/// `offhook.toml` as meant.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where to listen for the carrier's webhooks and media, and for everything else that has no address of its own.
    pub listen: SocketAddr,
    /// Where to listen for API, console and operations; `None`: at `listen`, too.
    pub listen_admin: Option<SocketAddr>,
    /// How the world reaches the server (`https://host[:port]`, no trailing slash). `None`: taken from each request's
    /// `Host` (fit for loopback only, since signatures are checked against it).
    pub public_url: Option<String>,
    /// How people reach `listen_admin`, likewise. `None`: taken from each request's `Host`.
    pub admin_url: Option<String>,
    /// Where calls' folders are kept.
    pub data_dir: PathBuf,
    /// Calls at once; one more is refused by a spoken line.
    pub max_calls: usize,
    /// Connections at once of one address that belong to no call.
    pub max_connections_per_address: usize,
    /// Milliseconds that the server's threads may be late, as the median of a second, before new calls are refused
    /// likewise; 0: never.
    pub max_lag_ms: u64,
    /// Seconds that running calls get after SIGTERM before they are ended politely.
    pub drain_s: u64,
    /// Certificate and key when the server does TLS itself.
    pub tls: Option<Tls>,
    /// The carrier's account.
    pub twilio: Twilio,
    /// The control API; `None`: there is none.
    pub api: Option<Api>,
    /// How others are asked.
    pub outgoing: Outgoing,
    /// How long calls are kept.
    pub store: StoreSettings,
    /// Who is told of calls.
    pub webhooks: Vec<Arc<Webhook>>,
    /// What goes for all who are told.
    pub deliveries: DeliverySettings,
    /// Who says what the agents, deployments and models are.
    pub source: DocumentSource,
    /// What goes for all that belongs to the organization.
    pub organization: Organization,
    /// What the organization may have.
    pub plan: Plan,
    /// Where data may go.
    pub residency: Residency,
    /// How cost is shown.
    pub billing: Billing,
    /// What all calls together may cost.
    pub budget: OrganizationBudget,
    /// Secrets that agents' documents may name.
    pub secrets: Arc<SecretBook>,
    /// Logs.
    pub log: Log,
}

impl Server {
    /// How people and programs reach API and console; `None`: each request's `Host` says it.
    pub fn people_url(&self) -> Option<&str> {
        match self.listen_admin {
            Some(_) => self.admin_url.as_deref(),
            None => self.public_url.as_deref(),
        }
    }
}

/// Who says what the agents, deployments and models are: `[config] source`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DocumentSource {
    /// The configuration directory.
    #[default]
    Files,
    /// The store, for several servers.
    Store,
}

/// TLS by files, read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM certificate chain, leaf first.
    pub cert: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
}

/// By which proxy other servers are asked.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// The proxies, by what is asked.
    pub proxies: Proxies,
    /// Hosts, with all below them, addresses and networks that are asked without one; `*`: all.
    pub no_proxy: Vec<String>,
}

/// Proxies as URLs, with what they ask for of user name and password.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// For `http://` and `ws://`.
    pub http: Option<Secret>,
    /// For `https://` and `wss://`.
    pub https: Option<Secret>,
}

/// Which of the carriers that speak as Twilio does it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // named as they are
pub enum CarrierProfile {
    #[default]
    Twilio,
    SignalWire,
}

impl CarrierProfile {
    /// As people know it.
    pub fn title(self) -> &'static str {
        match self {
            CarrierProfile::Twilio => "Twilio",
            CarrierProfile::SignalWire => "SignalWire",
        }
    }
}

/// The carrier's account and how its requests are trusted.
#[derive(Clone, Debug)]
pub struct Twilio {
    /// Whose account it is.
    pub profile: CarrierProfile,
    /// `AC…`, or a SignalWire project's id; needed for REST.
    pub account_sid: Option<String>,
    /// Authenticates REST; Twilio signs webhooks with it too.
    pub auth_token: Option<Secret>,
    /// What SignalWire signs webhooks with.
    pub signing_key: Option<Secret>,
    /// SignalWire's space: what stands before `.signalwire.com`.
    pub space: Option<String>,
    /// Base of the REST API, no trailing slash.
    pub rest_url: String,
    /// Whether the carrier's signature is demanded of webhooks, and of the media upgrade that or what takes its place.
    /// Off only for loopback trials.
    pub check_signatures: bool,
    /// Milliseconds for one REST request.
    pub rest_timeout_ms: u64,
    /// Seconds after the webhook in which the media stream must present its token.
    pub token_ttl_s: u64,
    /// Spoken by the carrier when the server is full.
    pub refuse_full: String,
    /// Asked by the carrier when this server is down (BEYOND-08): a document that the carrier itself serves.
    pub fallback_url: Option<String>,
    /// Spoken by the carrier when the number has no active deployment.
    pub refuse_inactive: String,
}

impl Twilio {
    /// What webhooks are signed with, as far as it is set.
    pub fn signs_with(&self) -> Option<&Secret> {
        match self.profile {
            CarrierProfile::Twilio => self.auth_token.as_ref(),
            CarrierProfile::SignalWire => self.signing_key.as_ref(),
        }
    }

    /// The key of `[twilio]` that holds it.
    pub fn signing_name(&self) -> &'static str {
        match self.profile {
            CarrierProfile::Twilio => "auth_token",
            CarrierProfile::SignalWire => "signing_key",
        }
    }
}

/// The control API.
#[derive(Clone, Debug)]
pub struct Api {
    /// What its users must present.
    pub token: Secret,
}

/// Logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `text` or `json`.
    pub json: bool,
    /// A tracing filter such as `info` or `offhook=debug`.
    pub filter: String,
}
