//! What stands before every route: the table of routes, who asks, whether they may, and how often.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::limit::Taken;
use super::problem::{Problem, Wrong};
use super::{Api, Who, who};
use crate::house::principal::Principal;
use crate::house::routes::{self, Class, ROUTES, Route};

/// On every answer (web pages say more where they need to).
const HEADERS: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
];

pub(super) async fn gate(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let (response, taken) = match enter(&api, &mut request).await {
        Ok(taken) => (next.run(request).await, taken),
        Err((problem, taken)) => (problem.into_response(), taken),
    };
    api.handle.count_answer(match response.status().as_u16() {
        401 => "token",
        404 => "not_found",
        429 => "too_many",
        402..=499 | 400 => "refused",
        500.. => "failed",
        _ => "ok",
    });
    let mut response = response;
    let headers = response.headers_mut();
    if let Some(taken) = taken {
        taken.tell(headers);
    }
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Lets a request in, with who asks; or says why not.
async fn enter(api: &Api, request: &mut Request) -> Result<Option<Taken>, (Problem, Option<Taken>)> {
    let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    // Nothing is there, which is said behind us.
    let Some(path) = matched else { return Ok(None) };
    let Some(route) = routes::find(request.method().as_str(), &path) else {
        // What the table does not have does not exist, whatever the router has.
        return match ROUTES.iter().any(|route| route.path == path) {
            true if request.method() == Method::OPTIONS => Ok(None),
            true => Err((not_allowed(&path), None)),
            false => Err((no_such_thing(), None)),
        };
    };
    let (mut parts, body) = std::mem::replace(request, Request::new(axum::body::Body::empty())).into_parts();
    let address = who::address(&parts);
    let who = known(api, &mut parts, address).await;
    *request = Request::from_parts(parts, body);
    let who = who?;
    let stranger = Principal::Nobody;
    let credential = credential(who.as_ref().unwrap_or(&stranger), address);
    let class = if who.is_ok() { route.class } else { Class::Other };
    let taken = api.limits.take(&credential, class, 1, Instant::now());
    if let Some(problem) = taken.refused() {
        api.handle.count_refused(&credential, taken.quota.name);
        return Err((problem, Some(taken)));
    }
    let who = who.map_err(|problem| (problem, Some(taken)))?;
    if let Err(problem) = may(&who, route) {
        api.note_refusal(&who, route.method, route.path, &problem.code).await;
        return Err((problem, Some(taken)));
    }
    // What is asked for by a parameter that nobody reads, such as to change nothing, must not be passed over (API-04, API-09).
    if let Some(name) = parameter(request.uri()).filter(|_| api.bare.contains(&(route.method, route.path))) {
        let message = "This request has no parameters.";
        return Err((Problem::wrong(vec![Wrong::parameter(&name, "parameter", message)]), Some(taken)));
    }
    request.extensions_mut().insert(Who(Arc::new(who)));
    Ok(Some(taken))
}

/// Who asks, if that is looked at: `Err` outside: too many credentials that nobody knows came from there.
async fn known(
    api: &Api,
    parts: &mut Parts,
    address: Option<IpAddr>,
) -> Result<Result<Principal, Problem>, (Problem, Option<Taken>)> {
    let Some(shown) = who::shown(parts).map(<[u8]>::to_vec) else { return Ok(who::who(api, parts).await) };
    let place = credential(&Principal::Nobody, address);
    let guess = match api.guesses.begin(&shown, &place, Instant::now()) {
        Ok(guess) => guess,
        Err(taken) => {
            api.handle.count_refused(&place, taken.quota.name);
            let problem = taken.refused().unwrap_or_else(|| Problem::internal(&"a refusal without a wait"));
            return Err((problem, Some(taken)));
        }
    };
    let who = who::who(api, parts).await;
    guess.over(
        match &who {
            Ok(Principal::Nobody) => Some(false),
            Ok(_) => Some(true),
            Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => Some(false),
            // Nobody was asked, or nobody has answered.
            Err(_) => None,
        },
        Instant::now(),
    );
    Ok(who)
}

/// The first parameter behind `?`.
fn parameter(uri: &Uri) -> Option<String> {
    let first = uri.query()?.split('&').find(|pair| !pair.is_empty())?;
    Some(first.split('=').next().unwrap_or_default().to_owned())
}

fn may(who: &Principal, route: &Route) -> Result<(), Problem> {
    routes::may(who, route).map_err(Problem::from)
}

/// Whose bucket it is. Strangers are told apart by their address, as far as it is known.
fn credential(who: &Principal, address: Option<IpAddr>) -> String {
    match who {
        Principal::User { id, .. } | Principal::Key { id, .. } => id.clone(),
        Principal::Access { id, agent } => format!("{agent}/{id}"),
        Principal::Embed { deployment, .. } => format!("widget/{deployment}"),
        Principal::Operator => "operator".to_owned(),
        Principal::Nobody => match address {
            Some(address) => who::network(address),
            None => "stranger".to_owned(),
        },
    }
}

/// A path that is there, without the method.
pub(super) async fn no_method(method: Method, matched: Option<MatchedPath>) -> Response {
    let path = matched.map(|path| path.as_str().to_owned()).unwrap_or_default();
    if method == Method::OPTIONS {
        return (StatusCode::NO_CONTENT, [(header::ALLOW, allow(&path))]).into_response();
    }
    not_allowed(&path).into_response()
}

/// A path that is not there.
pub(super) async fn nothing(uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        return no_such_thing().into_response();
    }
    StatusCode::NOT_FOUND.into_response()
}

fn no_such_thing() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at this address; /docs/api lists what there is.")
}

fn not_allowed(path: &str) -> Problem {
    let allowed = allow(path);
    let detail = format!("This address answers {allowed}.");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail).header(header::ALLOW, allowed)
}

/// The methods of a path.
fn allow(path: &str) -> String {
    let methods = ROUTES.iter().filter(|route| route.path == path).map(|route| route.method);
    let methods = methods.flat_map(|method| if method == "GET" { vec!["GET", "HEAD"] } else { vec![method] });
    methods.chain(["OPTIONS"]).collect::<Vec<_>>().join(", ")
}
