//! `[outgoing]` of `offhook.toml`: by which proxy the server asks others, models, the carrier and webhooks alike.

use reqwest::Url;

use super::problem::Problem;
use super::reader::{Field, Table};
use super::types::{Outgoing, Proxies, Secret};
use super::values::{MAX_NAME, SecretRef};
use super::world::World;

/// What the proxy of the environment is called there, by what is asked; the first that is set counts, as with curl.
const HTTPS: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const HTTP: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
const NO: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// Set by web servers for the programs that they run: then `HTTP_PROXY` is a header of whoever asks.
const CGI: &str = "REQUEST_METHOD";

/// Hosts without a proxy.
const MAX_HOSTS: usize = 256;
/// What `proxy` may be.
pub(super) const SHAPES: &str = "\"environment\", \"none\", a URL such as \"http://proxy.internal:3128\", or { env = \"NAME\" }, \
                      { file = \"path\" } for one with a password";

enum Wanted {
    Environment,
    None,
    One(Secret),
}

/// Reads the table.
pub(super) fn read(mut table: Table<'_, '_>, world: &dyn World) -> Outgoing {
    let proxy = table.take("proxy");
    let hosts = table.take("no_proxy").map(hosts).unwrap_or_default();
    let wanted = match proxy {
        None => Wanted::Environment,
        Some(field) => written(field, &table, world).unwrap_or(Wanted::None),
    };
    let mut outgoing = Outgoing { proxies: Proxies::default(), no_proxy: hosts };
    match wanted {
        Wanted::None => {}
        Wanted::One(url) => outgoing.proxies = Proxies { http: Some(url.clone()), https: Some(url) },
        Wanted::Environment => {
            let of = |names: &[&'static str]| match environment(names, world) {
                Ok(found) => found,
                Err((name, why)) => {
                    let message = format!("environment variable {name} {why}: it is not used");
                    let allowed = "http:// or https://, host and port; [outgoing] proxy = \"none\" leaves it aside";
                    table.note(Problem::warning(&table.place(), message).allowed(allowed));
                    None
                }
            };
            let https = of(&HTTPS);
            let http = if world.env(CGI).is_some() { None } else { of(&HTTP) };
            outgoing.proxies = Proxies { http, https };
            let excluded = NO.iter().find_map(|name| world.env(name)).unwrap_or_default();
            let excluded = excluded.split(',').map(str::trim).filter(|host| !host.is_empty());
            outgoing.no_proxy.extend(excluded.map(str::to_owned));
        }
    }
    table.finish();
    outgoing
}

/// What the document says; `None`: nothing that is right.
fn written(field: Field<'_, '_>, table: &Table<'_, '_>, world: &dyn World) -> Option<Wanted> {
    if field.is_table() {
        let secret = SecretRef::read(field)?;
        return match secret.resolve_that(world, |secret| url(secret.expose()).map(drop)) {
            Ok(secret) => url(secret.expose()).ok().map(Wanted::One),
            Err(problem) => {
                table.note(*problem);
                None
            }
        };
    }
    let text = field.string(MAX_NAME)?;
    match text.as_str() {
        "environment" => return Some(Wanted::Environment),
        "none" => return Some(Wanted::None),
        _ => {}
    }
    if text.contains('@') {
        let hidden = field.place().hidden("proxy = (hidden)");
        field.note(Problem::error(&hidden, "has a user name or password").allowed(SHAPES));
        return None;
    }
    match url(&text) {
        Ok(url) => Some(Wanted::One(url)),
        Err(why) => {
            field.wrong_allowed(why, SHAPES);
            None
        }
    }
}

fn hosts(field: Field<'_, '_>) -> Vec<String> {
    let shape =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:/*[]_".contains(&b));
    let allowed =
        "a host such as \"model.internal\" (and all below it), an address, or a network such as \"10.0.0.0/8\"";
    field.list(MAX_HOSTS).iter().filter_map(|item| item.string_that(MAX_NAME, allowed, shape)).collect()
}

/// The first of these variables that is set and not empty; which one is wrong, and why, without what is in it.
fn environment(names: &[&'static str], world: &dyn World) -> Result<Option<Secret>, (&'static str, String)> {
    for name in names {
        let value = world.env(name).unwrap_or_default();
        if !value.trim().is_empty() {
            return url(value.trim()).map(Some).map_err(|why| (*name, why));
        }
    }
    Ok(None)
}

/// A proxy's URL as it is used. `http://` is meant when no scheme is written.
fn url(text: &str) -> Result<Secret, String> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&whole).map_err(|error| format!("is not a URL ({error})"))?;
    match url.scheme() {
        "http" | "https" if url.host_str().is_some_and(|host| !host.is_empty()) => {}
        "http" | "https" => return Err("has no host".to_owned()),
        other => return Err(format!("is a proxy of another kind ({other})")),
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err("has a path".to_owned());
    }
    Ok(Secret::new(url.as_str()))
}
