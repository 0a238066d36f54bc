//! `offhook.toml`: the server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;

use super::named;
use super::organization;
use super::outgoing;
use super::problem::{Place, Problem};
use super::reader::{Field, Table};
use super::tls;
use super::types::{Api, CarrierProfile, DocumentSource, Log, SecretBook, Server, Twilio};
use super::values::{self, MAX_LINE, MAX_NAME, SecretRef};
use super::webhooks;
use super::world::World;

/// Reads the document.
pub(super) fn read(mut table: Table<'_, '_>, world: &dyn World) -> Server {
    let listen = table.take("listen").and_then(|field| address(&field));
    let listen = listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080)));
    let public_url = table.take("public_url").and_then(|field| {
        origin(
            &field,
            "the carrier would tell of calls in the clear, and connects their audio by TLS only; use https://",
        )
    });
    let apart = table.take("listen_admin");
    let listen_admin = apart.as_ref().and_then(address);
    if let Some(field) = &apart {
        if listen_admin.is_some_and(|admin| admin == listen && admin.port() != 0) {
            field.wrong_allowed("is where `listen` is", "an address of its own, or none");
        }
        if public_url.is_none() {
            // Whoever asks here says another host than the one that the carrier is to call.
            field.wrong_allowed(
                "needs public_url",
                "public_url = \"https://calls.example.com\", where the carrier calls",
            );
        }
    }
    let admin_url = table.take("admin_url").and_then(|field| {
        if apart.is_none() {
            field.wrong_allowed("goes with listen_admin", "public_url, which is for all when there is one address");
        }
        origin(&field, "passwords and keys would go in the clear; use https://")
    });
    let known_as = public_url.as_ref().filter(|url| url.scheme() == "https");
    let host = known_as.and_then(|url| url.host_str()).map(|host| host.trim_matches(['[', ']']).to_owned());
    // As the carrier writes it: host in lower case and ASCII, no port that the scheme implies, no slash.
    let written = |url: reqwest::Url| url.origin().ascii_serialization();
    let (public_url, admin_url) = (public_url.map(written), admin_url.map(written));
    let mut config = table.table("config");
    let sources = [("files", DocumentSource::Files), ("store", DocumentSource::Store)];
    let source = config.choice("source", DocumentSource::Files, &sources);
    config.finish();
    let mut server = Server {
        listen,
        listen_admin,
        public_url,
        admin_url,
        data_dir: table.string("data_dir", MAX_NAME).map_or_else(default_data_dir, PathBuf::from),
        max_calls: table.integer("max_calls", 100, 1..=10_000) as usize,
        max_connections_per_address: table.integer("max_connections_per_address", 256, 16..=100_000) as usize,
        max_lag_ms: table.integer("max_lag_ms", 5, 0..=1_000),
        drain_s: table.integer("drain_s", 60, 0..=86_400),
        tls: tls::read(table.table("tls"), host.as_deref(), world),
        twilio: twilio(table.table("twilio"), world),
        api: api(table.table("api"), world),
        outgoing: outgoing::read(table.table("outgoing"), world),
        store: webhooks::store(table.table("store"), world),
        webhooks: webhooks::webhooks(table.take("webhooks"), world),
        deliveries: webhooks::deliveries(table.table("deliveries")),
        log: log(table.table("log")),
        source,
        organization: organization::organization(table.table("organization")),
        plan: organization::plan(table.table("plan")),
        residency: organization::residency(table.table("residency")),
        billing: organization::billing(table.table("billing")),
        budget: organization::budget(table.table("budget")),
        secrets: Arc::default(),
    };
    let named = named::read(table.table("secrets"), world);
    server.secrets = Arc::new(SecretBook { named, own: table.kept().into_iter().collect() });
    table.finish();
    server
}

fn address(field: &Field<'_, '_>) -> Option<SocketAddr> {
    let text = field.string(MAX_NAME)?;
    let address = text.parse::<SocketAddr>().ok();
    if address.is_none() {
        field.wrong_allowed("is not an address and port", "such as \"127.0.0.1:8080\" or \"[::]:8080\"");
    }
    address
}

/// How a server is reached: scheme, host and port. `in_the_clear`: what would be, by plain HTTP to another machine.
fn origin(field: &Field<'_, '_>, in_the_clear: &'static str) -> Option<reqwest::Url> {
    let mut url = values::url(field, &["http", "https"])?;
    // A host's name may end with the root's dot, which the carrier and certificates leave out.
    if let Some(name) = url.host_str().and_then(|host| host.strip_suffix('.')).map(str::to_owned)
        && (name.ends_with('.') || url.set_host(Some(&name)).is_err())
    {
        field.wrong_allowed("has no host", "scheme, host and port only, such as \"https://calls.example.com\"");
        return None;
    }
    if url.path() != "/" || url.query().is_some() {
        field.wrong_allowed("has a path", "scheme, host and port only, such as \"https://calls.example.com\"");
        return None;
    }
    if url.scheme() == "http" && !values::is_loopback(&url) {
        field.doubtful(in_the_clear);
    }
    Some(url)
}

/// Where calls are kept when the document does not say.
pub(super) fn default_data_dir() -> PathBuf {
    PathBuf::from("data")
}

fn twilio(mut table: Table<'_, '_>, world: &dyn World) -> Twilio {
    let profiles = [("twilio", CarrierProfile::Twilio), ("signalwire", CarrierProfile::SignalWire)];
    let profile = table.choice("profile", CarrierProfile::Twilio, &profiles);
    let account_sid = table.take("account_sid").and_then(|field| match profile {
        CarrierProfile::Twilio => {
            field.string_that(MAX_NAME, "AC and 32 hexadecimal digits, as the console shows it", |text| {
                text.strip_prefix("AC").is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
            })
        }
        CarrierProfile::SignalWire => {
            field.string_that(MAX_NAME, "the project's id, a UUID, as the dashboard shows it", is_uuid)
        }
    });
    let auth_token = table.take("auth_token").and_then(SecretRef::read);
    let signing_key = table.take("signing_key").and_then(SecretRef::read);
    let space = table.take("space").and_then(|field| {
        field.string_that(MAX_NAME, "what stands before .signalwire.com, such as \"example\"", |text| {
            (1..=63).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
    });
    let rest_url = table.take("rest_url").and_then(|field| {
        let url = values::base(&field)?;
        if url.scheme() == "http" && !values::is_loopback(&url) {
            field.wrong_allowed("would send the auth token in the clear", "https://, or http:// to this machine");
        }
        Some(url.as_str().trim_end_matches('/').to_owned())
    });
    let rest_url = rest_url.unwrap_or_else(|| match (profile, &space) {
        (CarrierProfile::Twilio, _) => "https://api.twilio.com".to_owned(),
        (CarrierProfile::SignalWire, Some(space)) => {
            format!("https://{}.signalwire.com/api/laml", space.to_ascii_lowercase())
        }
        (CarrierProfile::SignalWire, None) => {
            let missing =
                Problem::error(&table.place(), "twilio.space is missing: each space has a REST API of its own");
            table.note(missing.allowed("what stands before .signalwire.com, such as \"example\""));
            String::new()
        }
    });
    let fallback_url = table.take("fallback_url").and_then(|field| values::url(&field, &["https"]));
    let check_signatures = table.boolean("check_signatures", true);
    let known = |secret: Option<SecretRef>| match secret.map(|secret| secret.resolve(world)) {
        Some(Ok(secret)) => Some(secret),
        Some(Err(problem)) => {
            table.note(*problem);
            None
        }
        None => None,
    };
    let (auth_token, signing_key) = (known(auth_token), known(signing_key));
    let twilio = Twilio {
        profile,
        account_sid,
        auth_token,
        signing_key,
        space,
        rest_url,
        check_signatures,
        fallback_url: fallback_url.map(String::from),
        rest_timeout_ms: table.integer("rest_timeout_ms", 5_000, 500..=60_000),
        token_ttl_s: table.integer("token_ttl_s", 60, 5..=600),
        refuse_full: table.string("refuse_full", MAX_LINE).unwrap_or_else(|| {
            "All of our lines are busy at the moment. Please call again in a few minutes. Goodbye.".to_owned()
        }),
        refuse_inactive: table
            .string("refuse_inactive", MAX_LINE)
            .unwrap_or_else(|| "This number is not in service at the moment. Goodbye.".to_owned()),
    };
    table.finish();
    twilio
}

/// Whether it is a UUID as it is written: 8-4-4-4-12 hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn api(mut table: Table<'_, '_>, world: &dyn World) -> Option<Api> {
    let token = match table.is_present() {
        true => table.need("token", "what users of the API must present, { env = \"NAME\" } or { file = \"path\" }"),
        // Asked for all the same, so that the key is known.
        false => table.take("token"),
    };
    let token = match token.and_then(SecretRef::read).map(|secret| secret.resolve(world)) {
        Some(Ok(token)) if token.expose().len() < SHORTEST_TOKEN => {
            let allowed = format!("at least {SHORTEST_TOKEN} characters, such as the output of: openssl rand -hex 32");
            table.note(Problem::error(&table.place(), "api.token is too short").allowed(allowed));
            None
        }
        Some(Ok(token)) => Some(token),
        Some(Err(problem)) => {
            table.note(*problem);
            None
        }
        None => None,
    };
    table.finish();
    Some(Api { token: token? })
}

/// A token that is shorter can be guessed.
const SHORTEST_TOKEN: usize = 16;

fn log(mut table: Table<'_, '_>) -> Log {
    let json = table.choice("format", false, &[("text", false), ("json", true)]);
    let filter = table.take("filter").and_then(|field| {
        let text = field.string(MAX_NAME)?;
        if let Err(e) = EnvFilter::builder().parse(&text) {
            field.wrong_allowed(
                format!("is not a filter ({e})"),
                "a level (error, warn, info, debug, trace) or target=level, …",
            );
            return None;
        }
        Some(text)
    });
    table.finish();
    Log { json, filter: filter.unwrap_or_else(|| "info".to_owned()) }
}

/// What is doubtful about the server as a whole, said of `file`.
pub(super) fn doubts(server: &Server, file: &Place) -> Vec<Problem> {
    let mut doubts = Vec::new();
    let twilio = &server.twilio;
    if twilio.check_signatures && twilio.signs_with().is_none() {
        let key = twilio.signing_name();
        doubts.push(Problem::warning(
            file,
            format!("no calls will be accepted until twilio.{key} is set: signatures cannot be checked without it"),
        ));
    }
    let others = [("signing_key", twilio.signing_key.is_some()), ("space", twilio.space.is_some())];
    for (key, _) in others.iter().filter(|(_, is_set)| *is_set && twilio.profile == CarrierProfile::Twilio) {
        let doubt = format!("twilio.{key} is SignalWire's and is not used while profile is \"twilio\"");
        doubts.push(Problem::warning(file, doubt));
    }
    if !twilio.check_signatures && (!server.listen.ip().is_loopback() || server.public_url.is_some()) {
        doubts.push(Problem::warning(
            file,
            "twilio.check_signatures is off and the server can be reached from elsewhere: anyone can place calls",
        ));
    }
    if twilio.auth_token.is_some() && twilio.account_sid.is_none() {
        doubts.push(Problem::warning(
            file,
            "twilio.account_sid is not set: calls cannot be hung up or transferred over REST",
        ));
    }
    if twilio.signs_with().is_some() && twilio.check_signatures && server.public_url.is_none() {
        doubts.push(Problem::warning(
            file,
            "public_url is not set: signatures are checked against each request's own Host, which fails behind a proxy",
        ));
    }
    doubts
}
