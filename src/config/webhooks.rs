//! `[[webhooks]]`, `[deliveries]` and `[store]` of `offhook.toml`: who is told of calls, and how long calls are kept.

use std::sync::Arc;

use base64_simd::STANDARD;

use super::reader::{Field, Table};
use super::types::{
    DeliverySettings, EventType, MAX_EVENTS_PER_SECOND, MAX_WEBHOOKS, Network, SECRET_PREFIX, Secret, StoreSettings,
    Webhook,
};
use super::values::{self, SecretRef};
use super::world::World;

/// Days that calls can be kept without being kept for ever.
pub(super) const MAX_KEEP_DAYS: u64 = 3_650;
/// Agents that one endpoint names.
const MAX_AGENTS: usize = 1_000;
/// Addresses that an operator declares.
const MAX_ADDRESSES: usize = 64;
/// Shortest key that secrets are sealed with.
const MIN_SEAL_KEY_BYTES: usize = 32;
/// Shortest secret that nobody guesses.
const MIN_SECRET_BYTES: usize = 16;

/// Reads `[store]`.
pub(super) fn store(mut table: Table<'_, '_>, world: &dyn World) -> StoreSettings {
    let url = table.take("url").and_then(|field| kept(field, &table, world, is_postgres));
    let mut days = |key: &'static str| table.integer(key, 0, 0..=MAX_KEEP_DAYS);
    let (keep_days, keep_recordings_days) = (days("keep_days"), days("keep_recordings_days"));
    let max_keep_days = days("max_keep_days");
    let lease_s = table.integer("lease_s", StoreSettings::default().lease_s, 2..=300);
    let long = |key: &Secret| {
        let short = key.expose().len() < MIN_SEAL_KEY_BYTES;
        if short {
            Err(format!(
                "the key is too short: {MIN_SEAL_KEY_BYTES} bytes at least, such as the output of `openssl rand -base64 32`"
            ))
        } else {
            Ok(())
        }
    };
    let seal_key = table.take("seal_key").and_then(|field| kept(field, &table, world, long));
    table.finish();
    StoreSettings { keep_days, keep_recordings_days, max_keep_days, url, lease_s, seal_key }
}

/// Reads `[deliveries]`.
pub(super) fn deliveries(mut table: Table<'_, '_>) -> DeliverySettings {
    let address = |field: &Field<'_, '_>| {
        let text = field.string(values::MAX_NAME)?;
        let network = Network::parse(&text);
        if network.is_none() {
            field.wrong_allowed("is no address", "such as \"203.0.113.7\", or \"203.0.113.0/24\" for all of a network");
        }
        network
    };
    let settings = DeliverySettings {
        allow_private: table.boolean("allow_private", false),
        addresses: table
            .take("addresses")
            .map(|field| field.list(MAX_ADDRESSES).iter().filter_map(address).collect())
            .unwrap_or_default(),
    };
    table.finish();
    settings
}

/// Says nothing of the URL itself, which may have a password in it.
fn is_postgres(url: &Secret) -> Result<(), String> {
    let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| url.expose().strip_prefix(scheme));
    match rest.map(|rest| rest.split(['?', '#']).next().unwrap_or_default().split_once('/')) {
        Some(Some((_, database))) if !database.is_empty() => Ok(()),
        _ => Err("the URL is none of PostgreSQL's: postgres://USER:PASSWORD@HOST/DATABASE".to_owned()),
    }
}

/// Reads all `[[webhooks]]`.
pub(super) fn webhooks(field: Option<Field<'_, '_>>, world: &dyn World) -> Vec<Arc<Webhook>> {
    let mut all: Vec<Arc<Webhook>> = Vec::new();
    for field in field.iter().flat_map(|field| field.list(MAX_WEBHOOKS)) {
        let Some(mut table) = field.table() else { continue };
        let name = table.need("name", "what its events are kept under").and_then(|field| {
            let name = field.string_that(64, super::NAME_SHAPE, super::is_name)?;
            if all.iter().any(|other| other.name == name) {
                field.wrong("another webhook has this name");
            }
            Some(name)
        });
        let url = table.need("url", "where events are posted").and_then(|field| {
            let url = values::url(&field, &["http", "https"])?;
            if url.scheme() == "http" && !values::is_loopback(&url) {
                field.doubtful("sends phone numbers and transcripts in the clear: use https:// beyond this machine");
            }
            Some(url.to_string())
        });
        let field = table.need("secret", "what events are signed with, { env = \"NAME\" } or { file = \"path\" }");
        let secret = field.and_then(|field| kept(field, &table, world, sound));
        let previous = table.take("previous_secret").and_then(|field| kept(field, &table, world, sound));
        let events = table.take("events").and_then(|field| events(&field)).unwrap_or(EventType::ALL.to_vec());
        let agents = table.take("agents").map(|field| agents(&field)).unwrap_or_default();
        let plain_signature = table.boolean("plain_signature", false);
        let per_second = table.integer("per_second", MAX_EVENTS_PER_SECOND, 1..=MAX_EVENTS_PER_SECOND);
        let timeout_ms = table.integer("timeout_ms", 10_000, 500..=60_000);
        let retry_first_ms = table.integer("retry_first_ms", 5_000, 100..=600_000);
        table.finish();
        if let (Some(name), Some(url), Some(secret)) = (name, url, secret) {
            let hook = Webhook::new(name, url, secret);
            let hook = Webhook { previous, events, agents, plain_signature, per_second, ..hook };
            all.push(Arc::new(Webhook { timeout_ms, retry_first_ms, ..hook }));
        }
    }
    all
}

/// The secret that a field names, if `sound` has nothing against it.
fn kept(
    field: Field<'_, '_>,
    table: &Table<'_, '_>,
    world: &dyn World,
    sound: impl FnOnce(&Secret) -> Result<(), String>,
) -> Option<Secret> {
    match SecretRef::read(field)?.resolve_that(world, sound) {
        Ok(secret) => Some(secret),
        Err(problem) => {
            table.note(*problem);
            None
        }
    }
}

/// Whether events can be signed with a secret.
fn sound(secret: &Secret) -> Result<(), String> {
    match secret.expose().strip_prefix(SECRET_PREFIX).map(|key| STANDARD.decode_to_vec(key)) {
        Some(Err(_)) => Err(format!("what follows {SECRET_PREFIX} is not base64")),
        Some(Ok(key)) if key.len() < MIN_SECRET_BYTES => Err(too_short()),
        None if secret.expose().len() < MIN_SECRET_BYTES => Err(too_short()),
        _ => Ok(()),
    }
}

fn too_short() -> String {
    format!("the secret is too short: {MIN_SECRET_BYTES} bytes at least, such as whsec_ and `openssl rand -base64 32`")
}

/// Names of agents; whether they are there is not asked, for they come and go.
fn agents(field: &Field<'_, '_>) -> Vec<String> {
    let items = field.list(MAX_AGENTS);
    if items.is_empty() {
        field.wrong_allowed("names no agent", "a list of agents' names; left out, all agents'");
    }
    items.iter().filter_map(|field| field.string_that(64, super::NAME_SHAPE, super::is_name)).collect()
}

/// `"all"`, or a list of names.
fn events(field: &Field<'_, '_>) -> Option<Vec<EventType>> {
    if !field.is_list() {
        return field.choice(&[("all", ())]).map(|()| EventType::ALL.to_vec());
    }
    let names = EventType::ALL.map(|kind| (kind.name(), kind));
    let items = field.list(names.len());
    if items.is_empty() {
        field.wrong_allowed("names no event", "\"all\", or a list of names");
        return None;
    }
    let mut events: Vec<EventType> = items.iter().filter_map(|field| field.choice(&names)).collect();
    events.sort_unstable();
    events.dedup();
    Some(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_postgresql_names_a_database_and_is_never_repeated() {
        for good in
            ["postgres://ann:pass@db.example.com:5432/offhook?sslmode=require", "postgresql:///offhook?host=/run"]
        {
            assert_eq!(is_postgres(&Secret::new(good)), Ok(()), "{good}");
        }
        for bad in ["mysql://ann:pass@db/offhook", "postgres://ann:pass@db", "postgres://ann:pass@db/", "offhook", ""] {
            let said = is_postgres(&Secret::new(bad)).expect_err("no such URL");
            assert!(said.contains("postgres://USER") && !said.contains("pass@"), "{said}");
        }
    }
}
