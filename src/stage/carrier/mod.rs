//! A strict stand-in for Twilio's resources of phone numbers: what is for sale, what accounts own, papers, prices; or for
//! SignalWire's, with what those have otherwise or not at all.
//!
//! It says no wherever Twilio does, and fails in every way that a carrier can be told to fail in: carried out and not answered,
//! answered and not carried out, late, broken, too much at once. What a purchase costs stands in a ledger, by which tests judge
//! whether a number was bought twice. A call that comes in goes where the number's configuration sends it at that moment.
//!
//! [`market`] has the numbers, [`trouble`] what goes wrong on purpose, [`answers`] the shapes, [`resources`] the requests, [`papers`]
//! bundles and addresses, [`ring`] calls that come in.

mod answers;
mod market;
mod papers;
mod resources;
mod ring;
mod trouble;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::Response;
use base64_simd::STANDARD;

use crate::config::{CarrierProfile, Secret};

pub use market::{ForSale, Kind, Owned};
pub use papers::{Address, Bundle};
pub use ring::Rung;
pub use trouble::{Trouble, What};

use answers::Said;

/// Requests that are remembered.
const MAX_REQUESTS: usize = 10_000;
/// The largest form.
const MAX_FORM: usize = 64 << 10;

/// The stand-in; clones share what it has.
#[derive(Clone, Debug)]
pub struct Exchange(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<Shop>,
}

/// What it has.
#[derive(Debug, Default)]
pub(in crate::stage::carrier) struct Shop {
    /// Whose resources they are, with what those have otherwise.
    pub(in crate::stage::carrier) profile: CarrierProfile,
    /// What webhooks are signed with, where that is not the account's token.
    pub(in crate::stage::carrier) signing: Option<Secret>,
    pub(in crate::stage::carrier) accounts: BTreeMap<String, Secret>,
    pub(in crate::stage::carrier) market: market::Market,
    pub(in crate::stage::carrier) papers: papers::File,
    troubles: VecDeque<Trouble>,
    requests: VecDeque<Asked>,
    running: usize,
    most_at_once: Option<usize>,
    /// Seconds that its clock is ahead of ours.
    pub(in crate::stage::carrier) ahead_s: i64,
}

/// A request as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// HTTP method.
    pub method: String,
    /// Path, without its query.
    pub path: String,
    /// Its form, or its query.
    pub form: Vec<(String, String)>,
    /// The status that it was answered with; 0: with nothing.
    pub status: u16,
}

impl Asked {
    /// The first value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

impl Exchange {
    /// With one account (`AC…`), and nothing for sale.
    pub fn new(account: impl Into<String>, token: Secret) -> Exchange {
        Exchange::of(CarrierProfile::Twilio, account.into(), token.clone(), token)
    }

    /// The same of another carrier: a project's id, its token for the API, and the key that webhooks are signed with.
    pub fn of(profile: CarrierProfile, account: String, token: Secret, signing: Secret) -> Exchange {
        let signing = (profile != CarrierProfile::Twilio).then_some(signing);
        let market = market::Market { uuids: profile == CarrierProfile::SignalWire, ..market::Market::default() };
        let shop = Shop { accounts: BTreeMap::from([(account, token)]), market, profile, signing, ..Shop::default() };
        Exchange(Arc::new(Inner { state: Mutex::new(shop) }))
    }

    /// Another account, with what it has of its own.
    pub fn add_account(&self, account: impl Into<String>, token: Secret) {
        self.shop().accounts.insert(account.into(), token);
    }

    /// Another token from now on, as after a rotation.
    pub fn rotate(&self, account: &str, token: Secret) {
        self.shop().accounts.insert(account.to_owned(), token);
    }

    /// The next requests that this is about go wrong, each trouble once, in their order.
    pub fn trouble(&self, trouble: Trouble) {
        self.shop().troubles.push_back(trouble);
    }

    /// More than so many requests at once are refused (429); `None`: as many as come.
    pub fn at_most_at_once(&self, most: Option<usize>) {
        self.shop().most_at_once = most;
    }

    /// Its clock goes on by this much.
    pub fn pass_s(&self, seconds: i64) {
        self.shop().ahead_s += seconds;
    }

    /// The latest 10,000 requests.
    pub fn requests(&self) -> Vec<Asked> {
        self.shop().requests.iter().cloned().collect()
    }

    /// The routes, to be served beside others.
    pub fn router(&self) -> Router {
        Router::new().fallback(serve).with_state(self.clone())
    }

    fn shop(&self) -> MutexGuard<'_, Shop> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every request: who asks, what goes wrong, what it does, what is answered.
async fn serve(State(exchange): State<Exchange>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_FORM).await else { return answers::json(400, &answers::error(400, 20_001)) };
    let form = form(&parts.method, &parts.uri, &parts.headers, &body);
    let path = parts.uri.path().to_owned();
    let (trouble, crowded) = {
        let mut shop = exchange.shop();
        let at = shop.troubles.iter().position(|trouble| trouble.meets(parts.method.as_str(), &path));
        let trouble = at.and_then(|at| shop.troubles.remove(at));
        shop.running += 1;
        (trouble, shop.most_at_once.is_some_and(|most| shop.running > most))
    };
    let _running = Running(exchange.clone());
    if let Some(Trouble { what: What::Slow { ms }, .. }) = trouble {
        tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
    }
    let what = trouble.map(|trouble| trouble.what);
    let said = match (crowded, &what) {
        (true, _) => Said::error(429, 20_429),
        (_, Some(What::Lost)) => Said::nothing(),
        (_, Some(What::Refused { status, code })) => Said::error(*status, *code),
        (_, Some(What::Page { status })) => Said::page(*status),
        _ => match &form {
            Err(said) => said.clone(),
            Ok(form) => {
                let who = who(&exchange, &parts.headers);
                let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
                let asked = resources::Asked { method: &parts.method, path: &path, form, who: &who, host };
                resources::answer(&mut exchange.shop(), &asked)
            }
        },
    };
    if let Some(What::SlowAnswer { ms }) = what {
        tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
    }
    let said = match what {
        Some(what) => what.spoil(said),
        None => said,
    };
    let mut shop = exchange.shop();
    if shop.requests.len() >= MAX_REQUESTS {
        shop.requests.pop_front();
    }
    shop.requests.push_back(Asked {
        method: parts.method.to_string(),
        path,
        form: form.unwrap_or_default(),
        status: said.status,
    });
    drop(shop);
    said.into_response()
}

/// Counts requests at once, also those that are given up.
struct Running(Exchange);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.shop().running -= 1;
    }
}

/// A body is a form and nothing else; a GET has its query.
fn form(method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Result<Vec<(String, String)>, Said> {
    let text = if *method == Method::GET { uri.query().unwrap_or_default().as_bytes() } else { body.as_ref() };
    if *method == Method::POST {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("application/x-www-form-urlencoded") {
            return Err(Said::error(400, 20_001));
        }
    }
    reqwest::Url::parse(&format!("http://here/?{}", String::from_utf8_lossy(text)))
        .map(|url| url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
        .map_err(|_| Said::error(400, 20_001))
}

/// The account whose credentials the request shows.
fn who(exchange: &Exchange, headers: &HeaderMap) -> Option<String> {
    let basic = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let shown = String::from_utf8(STANDARD.decode_to_vec(basic).ok()?).ok()?;
    let (account, token) = shown.split_once(':')?;
    let shop = exchange.shop();
    let known = shop.accounts.get(account).is_some_and(|known| known.expose() == token);
    known.then(|| account.to_owned())
}

/// An answer without a body.
fn empty(status: u16) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}
