//! Who is told of calls.

use std::net::IpAddr;

use super::Secret;

/// What can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// A call was answered.
    CallStarted,
    /// It is over.
    CallEnded,
    /// It is over because something failed: the model, the line's start, or the server.
    CallFailed,
    /// It was handed to a person.
    CallTransferred,
    /// Its recording is whole.
    RecordingReady,
    /// Its analysis is there.
    AnalysisReady,
    /// A deployment was made, changed or taken away.
    DeploymentChanged,
    /// Something is wrong that somebody should look at.
    AlertFired,
    /// It is not any more.
    AlertResolved,
}

impl EventType {
    /// All: those of calls in the order in which they may happen, then the others.
    pub const ALL: [EventType; 9] = [
        EventType::CallStarted,
        EventType::CallTransferred,
        EventType::CallEnded,
        EventType::CallFailed,
        EventType::RecordingReady,
        EventType::AnalysisReady,
        EventType::DeploymentChanged,
        EventType::AlertFired,
        EventType::AlertResolved,
    ];

    /// As it stands in bodies and documents.
    pub const fn name(self) -> &'static str {
        match self {
            EventType::CallStarted => "call.started",
            EventType::CallEnded => "call.ended",
            EventType::CallFailed => "call.failed",
            EventType::CallTransferred => "call.transferred",
            EventType::RecordingReady => "recording.ready",
            EventType::AnalysisReady => "analysis.ready",
            EventType::DeploymentChanged => "deployment.changed",
            EventType::AlertFired => "alert.fired",
            EventType::AlertResolved => "alert.resolved",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<EventType> {
        EventType::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether it is about a call.
    pub const fn is_of_call(self) -> bool {
        !matches!(self, EventType::DeploymentChanged | EventType::AlertFired | EventType::AlertResolved)
    }
}

/// What a secret in the form of the Standard Webhooks begins with; base64 follows.
pub const SECRET_PREFIX: &str = "whsec_";

/// Endpoints of one organization.
pub const MAX_WEBHOOKS: usize = 16;

/// Events in a second to all endpoints together, and the most that one may have.
pub const MAX_EVENTS_PER_SECOND: u64 = 1_000;

/// An endpoint that is told of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// What waits for it is kept under this: the name of one in `offhook.toml`, an id of its own for one that was made by the
    /// API.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where events are posted.
    pub url: String,
    /// What they are signed with: `whsec_` and base64, or plain text.
    pub secret: Secret,
    /// What they were signed with before: they carry both signatures.
    pub previous: Option<Secret>,
    /// Until when they do, in milliseconds since 1970; `None`: for as long as there is a former secret.
    pub previous_until_ms: Option<i64>,
    /// What it is told.
    pub events: Vec<EventType>,
    /// Of the calls and deployments of these agents only; empty: of all.
    pub agents: Vec<String>,
    /// Whether events carry the hex HMAC-SHA256 of their body too.
    pub plain_signature: bool,
    /// Events in a second, 1-1000.
    pub per_second: u64,
    /// Milliseconds for one attempt.
    pub timeout_ms: u64,
    /// Milliseconds before the second attempt; each further pause is three times as long, up to six hours.
    pub retry_first_ms: u64,
    /// Whether it may be on a private network.
    pub allow_private: bool,
    /// Why it is sent nothing now: it was switched off, or its secret cannot be read. What happens meanwhile is kept like
    /// what was given up.
    pub off: Option<String>,
}

impl Webhook {
    /// One that is told of everything, with the settings that it has where nothing else is said.
    pub fn new(id: impl Into<String>, url: impl Into<String>, secret: Secret) -> Webhook {
        let id = id.into();
        Webhook {
            name: id.clone(),
            id,
            url: url.into(),
            secret,
            previous: None,
            previous_until_ms: None,
            events: EventType::ALL.to_vec(),
            agents: Vec::new(),
            plain_signature: false,
            per_second: MAX_EVENTS_PER_SECOND,
            timeout_ms: 10_000,
            retry_first_ms: 5_000,
            allow_private: true,
            off: None,
        }
    }

    /// Whether it is told of `kind`. `agent`: whose; `None`: nobody's in particular.
    pub fn wants(&self, kind: EventType, agent: Option<&str>) -> bool {
        let whose = self.agents.is_empty() || agent.is_none_or(|agent| self.agents.iter().any(|own| own == agent));
        whose && self.events.contains(&kind)
    }

    /// The secret that its events were signed with before, if they still carry that signature.
    pub fn previous_at(&self, now_ms: i64) -> Option<&Secret> {
        self.previous.as_ref().filter(|_| self.previous_until_ms.is_none_or(|until| now_ms < until))
    }
}

/// What goes for all endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliverySettings {
    /// Whether endpoints that are made by the API may be on private networks.
    pub allow_private: bool,
    /// From where this server asks others, as the operator declares it.
    pub addresses: Vec<Network>,
}

/// An address, or all addresses that begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The address, or the first of the network.
    pub address: IpAddr,
    /// How many bits they have in common; `None`: it is one address.
    pub bits: Option<u8>,
}

impl Network {
    /// From `203.0.113.7` or `203.0.113.0/24`; `None`: it is neither, or has bits beyond those in common.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) if bits.bytes().all(|b| b.is_ascii_digit()) => (address, Some(bits.parse().ok()?)),
            Some(_) => return None,
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (all, value) = match address {
            IpAddr::V4(v4) => (32, u128::from(v4.to_bits()) << 96),
            IpAddr::V6(v6) => (128, v6.to_bits()),
        };
        let fits = bits.is_none_or(|bits: u8| {
            bits <= all && (bits == 128 || value.checked_shl(u32::from(bits)).unwrap_or_default() == 0)
        });
        fits.then_some(Network { address, bits })
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.bits {
            Some(bits) => write!(f, "{}/{bits}", self.address),
            None => self.address.fmt(f),
        }
    }
}

/// What is kept of calls, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Days after which a call's folder and row are deleted, 0-3650, where its agent says nothing else; 0: never.
    pub keep_days: u64,
    /// The same of recordings, and of journals with audio; 0: with their calls.
    pub keep_recordings_days: u64,
    /// Days for which any agent's calls are kept at most, 0-3650; 0: no bound.
    pub max_keep_days: u64,
    /// PostgreSQL's URL; `None`: SQLite in the data directory. A change needs a restart.
    pub url: Option<Secret>,
    /// Seconds without a sign of life, 2-300, after which other servers take this one for gone. A change needs a restart.
    pub lease_s: u64,
    /// What secrets are sealed with that are kept in the store; `None`: none are.
    pub seal_key: Option<Secret>,
}

impl Default for StoreSettings {
    fn default() -> Self {
        StoreSettings {
            keep_days: 0,
            keep_recordings_days: 0,
            max_keep_days: 0,
            url: None,
            lease_s: 15,
            seal_key: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_addresses_with_the_bits_that_they_share() {
        for text in ["203.0.113.7", "203.0.113.0/24", "203.0.113.7/32", "0.0.0.0/0", "2001:db8::1", "2001:db8::/32"] {
            assert_eq!(Network::parse(text).expect(text).to_string(), text);
        }
        for text in
            ["", "203.0.113", "203.0.113.7/24", "203.0.113.0/33", "2001:db8::1/32", "::/129", "::/+8", "a.example"]
        {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_endpoint_is_told_of_its_agents_and_of_what_is_nobodys() {
        let all = Webhook::new("crm", "", Secret::new(""));
        let one = Webhook {
            agents: vec!["mia".to_owned()],
            events: vec![EventType::CallEnded, EventType::AlertFired],
            ..all.clone()
        };
        assert!(all.wants(EventType::CallStarted, Some("max")) && all.wants(EventType::AlertFired, None));
        assert!(one.wants(EventType::CallEnded, Some("mia")) && one.wants(EventType::AlertFired, None));
        assert!(!one.wants(EventType::CallEnded, Some("max")) && !one.wants(EventType::CallStarted, Some("mia")));
    }

    #[test]
    fn a_former_secret_signs_until_its_time() {
        let mut hook = Webhook { previous: Some(Secret::new("before")), ..Webhook::new("crm", "", Secret::new("now")) };
        assert!(hook.previous_at(i64::MAX).is_some());
        hook.previous_until_ms = Some(1_000);
        assert!(hook.previous_at(999).is_some() && hook.previous_at(1_000).is_none());
    }
}
