//! Who asks: credentials of requests, held against what is known.
//!
//! A program shows `Authorization: Bearer oh_key_…`; the token of `[api]` is a key of role owner (C-24). A browser shows the
//! cookie of its session. A browser also sends cookies along with what other sites make it send, so a change that comes with
//! one has to come from our own pages.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use ring::hmac;

use super::Api;
use super::problem::Problem;
use crate::config::{Config, Role, Secret};
use crate::house::Refusal;
use crate::house::principal::{Principal, Scopes};
use crate::serve::{Peer, bearer};
use crate::store::people::{LoggedIn, NewSession, SecretKind};

/// The cookie of a session; browsers keep others from setting it, and send it by TLS alone.
const COOKIE: &str = "__Host-offhook";
/// The same on `http://localhost`, where there is no TLS.
const LOCAL_COOKIE: &str = "offhook_session";
/// What browsers say of who makes them ask.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who asks. Without any credential, and with the cookie of a session that is over, that is [`Principal::Nobody`].
///
/// # Errors
/// 401: there is a credential, and it is none that is good here; 403 `forged`: another site makes the browser ask; 503.
pub(super) async fn who(api: &Api, parts: &mut Parts) -> Result<Principal, Problem> {
    if let Some(given) = parts.headers.get(header::AUTHORIZATION) {
        return of_token(api, bearer(given).unwrap_or_default()).await;
    }
    let config = api.handle.config();
    let cookie = cookie(&parts.headers, &parts.uri).map(str::to_owned);
    if !parts.method.is_safe() && is_forged(&config, parts, cookie.is_some()) {
        let detail = "This request comes from another site. Open the console itself, and do it there.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forged", detail));
    }
    let Some(cookie) = cookie else { return Ok(Principal::Nobody) };
    let people = api.handle.store().people();
    let Some(LoggedIn { user, session }) = people.session(&cookie).await? else { return Ok(Principal::Nobody) };
    let lacks_factor = !user.has_factor && people.settings().await?.second_factor;
    Ok(Principal::User { id: user.id, email: user.email, role: user.role, session: session.id, lacks_factor })
}

/// What is shown to prove who asks, if anything is.
pub(super) fn shown(parts: &Parts) -> Option<&[u8]> {
    let said = parts.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    said.or_else(|| cookie(&parts.headers, &parts.uri).map(str::as_bytes))
}

async fn of_token(api: &Api, given: &str) -> Result<Principal, Problem> {
    let people = api.handle.store().people();
    match SecretKind::of(given) {
        Some(SecretKind::Key) => match people.key_of(given).await? {
            Some(key) => Ok(key.principal()),
            None => Err(Refusal::unauthenticated().into()),
        },
        Some(SecretKind::Access) => match people.access_of(given).await? {
            Some(token) => Ok(Principal::Access { id: token.id, agent: token.agent }),
            None => Err(Refusal::unauthenticated().into()),
        },
        _ => match &api.handle.config().server.api {
            Some(own) if is_same(&own.token, given) => Ok(Principal::Key {
                id: "api".to_owned(),
                name: "api".to_owned(),
                role: Role::Owner,
                scopes: Scopes::all(),
                agents: None,
            }),
            _ => Err(Refusal::unauthenticated().into()),
        },
    }
}

/// Whether a browser was made to ask by another site. Who is no browser says nothing of that, and has no cookie.
fn is_forged(config: &Config, parts: &Parts, has_cookie: bool) -> bool {
    let said = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = said(FETCH_SITE) {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = said(header::ORIGIN) else { return has_cookie };
    let Ok(origin) = origin.parse::<Uri>() else { return true };
    let Some(origin) = origin.authority() else { return true };
    let known = config.server.people_url().and_then(|url| url.parse::<Uri>().ok());
    let ours = [host(&parts.headers, &parts.uri), known.and_then(|url| url.authority().cloned())];
    !ours.iter().flatten().any(|ours| ours == origin)
}

/// What a request is addressed to.
fn host(headers: &HeaderMap, uri: &Uri) -> Option<Authority> {
    let said = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse().ok());
    said.or_else(|| uri.authority().cloned())
}

/// Whether a request is addressed to this machine by the name it has for itself.
fn is_local(headers: &HeaderMap, uri: &Uri) -> bool {
    let host = host(headers, uri);
    let host = host.as_ref().map(Authority::host).unwrap_or_default();
    host == "localhost"
        || host.trim_matches(|c| c == '[' || c == ']').parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What the cookie of the session says.
fn cookie<'h>(headers: &'h HeaderMap, uri: &Uri) -> Option<&'h str> {
    let named = |name: &str| {
        let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
    };
    // Elsewhere, another site of the same domain could have set that one.
    named(COOKIE).or_else(|| is_local(headers, uri).then(|| named(LOCAL_COOKIE))?)
}

/// Where somebody asks from and with what: for sessions and for attempts.
#[derive(Clone, Debug)]
pub(crate) struct From {
    /// An address; of IPv6 the network, which is a household's.
    pub(crate) address: String,
    /// As the browser calls itself.
    pub(crate) browser: String,
    local: bool,
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for From {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let browser = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Ok(From {
            address: address(parts).map(network).unwrap_or_default(),
            browser: browser.to_owned(),
            local: is_local(&parts.headers, &parts.uri),
        })
    }
}

/// The address that a request comes from. A proxy on this machine is believed about whom it speaks for.
pub(super) fn address(parts: &Parts) -> Option<IpAddr> {
    let peer = parts.extensions.get::<Peer>()?.0;
    let last = || {
        let said = parts.headers.get_all(FORWARDED_FOR).iter().next_back()?.to_str().ok()?;
        said.rsplit(',').next()?.trim().parse().ok()
    };
    Some(if peer.is_loopback() { last().unwrap_or(peer) } else { peer })
}

/// As it is counted: of IPv6 the network, which is a household's.
pub(super) fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::")
        }
    }
}

impl From {
    /// The cookie of a session that has just begun.
    pub(crate) fn cookie(&self, new: &NewSession) -> Option<HeaderValue> {
        let life_s = (new.session.ends_ms - new.session.made_ms) / 1_000;
        self.set_cookie(new.secret.expose(), life_s)
    }

    /// Takes the cookie of a session away.
    pub(crate) fn no_cookie(&self) -> Option<HeaderValue> {
        self.set_cookie("", 0)
    }

    fn set_cookie(&self, value: &str, life_s: i64) -> Option<HeaderValue> {
        let (name, secure) = if self.local { (LOCAL_COOKIE, "") } else { (COOKIE, "Secure; ") };
        let text = format!("{name}={value}; {secure}HttpOnly; SameSite=Lax; Path=/; Max-Age={life_s}");
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Api {
    /// Notes that somebody who is known was refused for their role or their key's scope: of each of them and each
    /// route once a minute.
    pub(super) async fn note_refusal(&self, who: &Principal, method: &str, path: &str, code: &str) {
        if *who == Principal::Nobody || !self.refusals.is_new(&format!("{} {method} {path}", who.name())) {
            return;
        }
        let detail = serde_json::json!({ "code": code });
        let object = format!("{method} {path}");
        if let Err(error) = self.handle.store().audit(&who.name(), "access.refused", &object, Some(detail)).await {
            tracing::warn!(%error, "a refusal is not in the audit log");
        }
    }
}

/// What was noted in this minute; of more than is remembered, the rest is not.
#[derive(Debug, Default)]
pub(crate) struct Noted(Mutex<(Option<Instant>, BTreeSet<String>)>);

impl Noted {
    const MOST: usize = 1_000;
    const PERIOD: Duration = Duration::from_secs(60);

    fn is_new(&self, what: &str) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if noted.0.is_none_or(|since| now - since >= Self::PERIOD) {
            *noted = (Some(now), BTreeSet::new());
        }
        noted.1.len() < Self::MOST && noted.1.insert(what.to_owned())
    }
}

/// Compares in a time that tells nothing of the token.
fn is_same(token: &Secret, given: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.expose().as_bytes());
    hmac::verify(&key, given.as_bytes(), hmac::sign(&key, token.expose().as_bytes()).as_ref()).is_ok()
}

/// What handlers of log-ins share: attempts of the last minutes.
pub(crate) type Attempts = Arc<Mutex<crate::house::attempts::Attempts>>;
