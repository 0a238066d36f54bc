//! Who asks: credentials of requests, held against what is known.

use axum::http::header;
use axum::http::request::Parts;
use ring::hmac;

use super::Api;
use super::problem::Problem;
use crate::config::{Role, Secret};
use crate::house::Refusal;
use crate::house::principal::{Principal, Scopes};

/// Who asks. Without any credential that is [`Principal::Nobody`].
///
/// # Errors
/// 401: there is a credential, and it is none that is good here.
pub(super) async fn who(api: &Api, parts: &mut Parts) -> Result<Principal, Problem> {
    let Some(given) = parts.headers.get(header::AUTHORIZATION) else { return Ok(Principal::Nobody) };
    let given = given.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let config = api.handle.config();
    match &config.server.api {
        Some(own) if is_same(&own.token, given) => Ok(Principal::Key {
            id: "api".to_owned(),
            name: "api".to_owned(),
            role: Role::Owner,
            scopes: Scopes::all(),
            agents: None,
        }),
        _ => Err(Refusal::unauthenticated().into()),
    }
}

/// Compares in a time that tells nothing of the token.
fn is_same(token: &Secret, given: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.expose().as_bytes());
    hmac::verify(&key, given.as_bytes(), hmac::sign(&key, token.expose().as_bytes()).as_ref()).is_ok()
}
