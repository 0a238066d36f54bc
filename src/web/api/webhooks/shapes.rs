//! What requests and answers about webhooks look like.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::config::{EventType, MAX_EVENTS_PER_SECOND, Webhook};
use crate::house::webhooks::Wish;
use crate::store::{Attempt, Endpoint, OFF_DAYS, Sample, written};

/// An endpoint, and how it fares.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct WebhookItem {
    /// Of one in `offhook.toml` its name.
    id: String,
    /// What people call it.
    name: String,
    /// Where events are posted.
    url: String,
    /// `api`: made here; `file`: in `offhook.toml`, and changed there.
    source: &'static str,
    /// The types that it is told; `null`: all.
    events: Option<Vec<&'static str>>,
    /// Of whose calls and deployments; `null`: of all agents'.
    agents: Option<Vec<String>>,
    /// Whether events carry `x-offhook-signature` too: the hex HMAC-SHA256 of the body.
    plain_signature: bool,
    /// Events in a second, at most; more wait, in order.
    per_second: u64,
    /// Milliseconds for one attempt.
    timeout_ms: u64,
    /// Milliseconds before the second attempt; further pauses are three times as long each, up to six hours.
    retry_first_ms: u64,
    /// Until when events carry the former secret's signature too; `null`: they do not, or for as long as it stands in the file.
    previous_secret_until: Option<String>,
    /// Whether it is told.
    enabled: bool,
    /// Why it is not.
    disabled_reason: Option<String>,
    /// Since when it is not, by somebody.
    disabled: Option<String>,
    /// Who switched it off; `offhook`: it took nothing for days.
    disabled_by: Option<String>,
    /// Since when no attempt succeeded; `null`: the last one did.
    failing_since: Option<String>,
    /// When the last attempt failed.
    last_failed: Option<String>,
    /// Why it did.
    last_error: Option<String>,
    /// When it is switched off, if it goes on to fail.
    off_at: Option<String>,
    /// Events that wait for it.
    waiting: u64,
    /// Events that were given up and can be sent again.
    dead: u64,
    /// When it was made here.
    created: Option<String>,
    /// When it was changed last.
    changed: Option<String>,
    /// By whom.
    changed_by: Option<String>,
    #[serde(skip)]
    version: i64,
}

impl WebhookItem {
    pub(super) fn of(endpoint: &Endpoint) -> WebhookItem {
        let Endpoint { hook, row, state, waiting, dead } = endpoint;
        let at = |ms: Option<i64>| ms.map(written);
        let fails = state.as_ref().and_then(|state| state.failing_since_ms);
        let off = hook.off.is_some();
        WebhookItem {
            id: hook.id.clone(),
            name: hook.name.clone(),
            url: hook.url.clone(),
            source: if row.is_some() { "api" } else { "file" },
            events: (!is_of_all(endpoint)).then(|| hook.events.iter().map(|kind| kind.name()).collect()),
            agents: Some(hook.agents.clone()).filter(|agents| !agents.is_empty()),
            plain_signature: hook.plain_signature,
            per_second: hook.per_second,
            timeout_ms: hook.timeout_ms,
            retry_first_ms: hook.retry_first_ms,
            previous_secret_until: at(hook.previous_until_ms.filter(|_| hook.previous.is_some())),
            enabled: !off,
            disabled_reason: hook.off.clone(),
            disabled: at(state.as_ref().and_then(|state| state.disabled_ms)),
            disabled_by: state.as_ref().and_then(|state| state.disabled_by.clone()),
            failing_since: at(fails),
            last_failed: at(state.as_ref().and_then(|state| state.last_failed_ms)),
            last_error: state.as_ref().and_then(|state| state.last_error.clone()),
            off_at: at(fails.filter(|_| !off).map(|since| since + OFF_DAYS * DAY_MS)),
            waiting: *waiting,
            dead: *dead,
            created: at(row.as_ref().map(|row| row.created_ms)),
            changed: at(row.as_ref().map(|row| row.changed_ms)),
            changed_by: row.as_ref().map(|row| row.changed_by.clone()),
            version: row.as_ref().map_or(0, |row| row.version),
        }
    }

    /// Counts its changes.
    pub(super) fn version(&self) -> i64 {
        self.version
    }
}

const DAY_MS: i64 = 86_400_000;

/// Whether it is told of everything, also what is to come.
fn is_of_all(endpoint: &Endpoint) -> bool {
    endpoint.row.as_ref().map_or(endpoint.hook.events.len() == EventType::ALL.len(), |row| row.all_events)
}

/// An endpoint as somebody would ask for it.
pub(super) fn wish(endpoint: &Endpoint) -> Wish {
    let hook: &Webhook = &endpoint.hook;
    let names = || hook.events.iter().map(|kind| kind.name().to_owned()).collect();
    Wish {
        name: hook.name.clone(),
        url: hook.url.clone(),
        events: (!is_of_all(endpoint)).then(names),
        agents: hook.agents.clone(),
        plain_signature: hook.plain_signature,
        per_second: hook.per_second,
        timeout_ms: hook.timeout_ms,
        retry_first_ms: hook.retry_first_ms,
    }
}

/// Endpoints.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct WebhookPage {
    pub(super) items: Vec<WebhookItem>,
    /// The cursor of the next page; `null`: this is the last.
    pub(super) next: Option<String>,
    /// From where this server asks, as its operator declares it: addresses, or networks. Empty: not declared.
    pub(super) addresses: Vec<String>,
    /// All types that there are.
    pub(super) types: Vec<&'static str>,
}

/// An endpoint that is to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewWebhook {
    /// What people call it, 1-64 characters; no two have one.
    name: String,
    /// Where events are posted: `https://`, or `http://` on the server's own machine.
    url: String,
    /// Types that it is told; left out: all, also those to come.
    #[serde(default)]
    events: Option<Vec<String>>,
    /// Of whose calls and deployments; left out: of all agents'.
    #[serde(default)]
    agents: Option<Vec<String>>,
    /// What events are signed with: `whsec_` and base64, or a text of at least 16 bytes; left out: one is made.
    #[serde(default)]
    pub(super) secret: Option<String>,
    /// Whether events carry `x-offhook-signature` too: the hex HMAC-SHA256 of the body. `false` if it is left out.
    #[serde(default)]
    plain_signature: bool,
    /// Events in a second, 1-1000; 1000 if it is left out.
    #[serde(default = "most")]
    #[schema(minimum = 1, maximum = 1000)]
    per_second: u64,
    /// Milliseconds for one attempt, 500-60000; 10000 if it is left out.
    #[serde(default = "timeout")]
    #[schema(minimum = 500, maximum = 60000)]
    timeout_ms: u64,
    /// Milliseconds before the second attempt, 100-600000; 5000 if it is left out.
    #[serde(default = "first")]
    #[schema(minimum = 100, maximum = 600000)]
    retry_first_ms: u64,
}

fn most() -> u64 {
    MAX_EVENTS_PER_SECOND
}

fn timeout() -> u64 {
    10_000
}

fn first() -> u64 {
    5_000
}

impl NewWebhook {
    pub(super) fn into_wish(self) -> Wish {
        Wish {
            name: self.name,
            url: self.url,
            events: self.events,
            agents: self.agents.unwrap_or_default(),
            plain_signature: self.plain_signature,
            per_second: self.per_second,
            timeout_ms: self.timeout_ms,
            retry_first_ms: self.retry_first_ms,
        }
    }
}

/// What is to be different.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// 1-64 characters.
    #[serde(default)]
    name: Option<String>,
    /// Where events are posted.
    #[serde(default)]
    url: Option<String>,
    /// Types that it is told; `null`: all.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<Vec<String>>)]
    events: Option<Option<Vec<String>>>,
    /// Of whose calls and deployments; `null`: of all agents'.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<Vec<String>>)]
    agents: Option<Option<Vec<String>>>,
    /// Whether events carry `x-offhook-signature` too.
    #[serde(default)]
    plain_signature: Option<bool>,
    /// Events in a second, 1-1000.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000)]
    per_second: Option<u64>,
    /// Milliseconds for one attempt, 500-60000.
    #[serde(default)]
    #[schema(minimum = 500, maximum = 60000)]
    timeout_ms: Option<u64>,
    /// Milliseconds before the second attempt, 100-600000.
    #[serde(default)]
    #[schema(minimum = 100, maximum = 600000)]
    retry_first_ms: Option<u64>,
}

/// Tells `null` from what was left out.
fn said<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(value).map(Some)
}

impl Change {
    pub(super) fn over(self, was: Wish) -> Wish {
        Wish {
            name: self.name.unwrap_or(was.name),
            url: self.url.unwrap_or(was.url),
            events: self.events.unwrap_or(was.events),
            agents: self.agents.map_or(was.agents, Option::unwrap_or_default),
            plain_signature: self.plain_signature.unwrap_or(was.plain_signature),
            per_second: self.per_second.unwrap_or(was.per_second),
            timeout_ms: self.timeout_ms.unwrap_or(was.timeout_ms),
            retry_first_ms: self.retry_first_ms.unwrap_or(was.retry_first_ms),
        }
    }
}

/// An endpoint that was made, with its secret, which is told this once.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Made {
    /// What it is.
    #[serde(flatten)]
    pub(super) webhook: WebhookItem,
    /// What its events are signed with.
    pub(super) secret: String,
}

/// A secret that somebody has chosen.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSecret {
    /// `whsec_` and base64, or a text of at least 16 bytes; left out: one is made.
    #[serde(default)]
    pub(super) secret: Option<String>,
}

/// A secret that is in force, told this once.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Rotated {
    /// What events are signed with.
    pub(super) secret: String,
    /// Until when they carry the former one's signature too.
    pub(super) previous_until: String,
}

/// Why it is to be off.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Off {
    /// In words, up to 300 characters.
    #[serde(default)]
    pub(super) reason: Option<String>,
}

/// Which samples are to be sent.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TestWish {
    /// Types; left out: all that it is told.
    #[serde(default)]
    pub(super) types: Option<Vec<String>>,
}

/// What came of samples.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Tested {
    /// One for each type.
    results: Vec<TestedOne>,
}

/// What came of a sample.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct TestedOne {
    /// Its type.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Its id.
    event: String,
    /// Whether it was taken.
    ok: bool,
    /// The answer's status; `null`: there was none.
    status: Option<u16>,
    /// How long that took.
    took_ms: u64,
    /// The first 2 kB of the answer.
    answer: String,
    /// Why it was not taken, in words.
    error: Option<String>,
}

impl Tested {
    pub(super) fn of(tried: Vec<(Sample, Attempt)>) -> Tested {
        let one = |(sample, attempt): (Sample, Attempt)| TestedOne {
            kind: sample.kind.name(),
            event: sample.id,
            ok: attempt.error.is_none(),
            status: attempt.status,
            took_ms: attempt.took_ms,
            answer: attempt.answer,
            error: attempt.error,
        };
        Tested { results: tried.into_iter().map(one).collect() }
    }
}
