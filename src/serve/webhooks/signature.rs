//! How an event is signed: the Standard Webhooks' way.
//!
//! `webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`, with the id and the timestamp
//! (seconds since 1970) of the headers beside it. The key is what follows `whsec_` in the secret, decoded from base64; a
//! secret without that prefix is the key itself. While a secret is being changed there are two signatures, parted by a space.
//! An endpoint may ask for `x-offhook-signature` too: the same key's HMAC-SHA256 over the body alone, as hexadecimal digits.
//! Comparisons take constant time.

use base64_simd::STANDARD;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::base::hex::hex;
use crate::config::{SECRET_PREFIX, Secret, Webhook};

/// The header with the event's id, the same at every attempt.
pub const ID: &str = "webhook-id";
/// The header with the attempt's moment, in seconds since 1970.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header with the signatures.
pub const SIGNATURE: &str = "webhook-signature";
/// The header with the plain signature.
pub const PLAIN: &str = "x-offhook-signature";

/// How far a timestamp may be off, in seconds, either way.
pub const TOLERANCE_S: u64 = 300;

const VERSION: &str = "v1,";
/// More signatures in one header are not looked at.
const MAX_SIGNATURES: usize = 16;

/// Why a signature is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// None of the signatures fits.
    Signature,
    /// The timestamp is no number, or is further from now than [`TOLERANCE_S`].
    Timestamp,
    /// What follows `whsec_` is not base64.
    Secret,
}

/// The signature of an event.
///
/// # Errors
/// [`Refusal::Secret`].
pub fn sign(secret: &Secret, id: &str, timestamp_s: u64, body: &[u8]) -> Result<String, Refusal> {
    let tag = hmac::sign(&key(secret)?, &signed(id, &timestamp_s.to_string(), body));
    Ok(format!("{VERSION}{}", STANDARD.encode_to_string(tag)))
}

/// The signatures of an event for an endpoint at `now_ms`: by its secret, and by the former one for as long as that counts.
///
/// # Errors
/// [`Refusal::Secret`].
pub fn sign_by_all(hook: &Webhook, now_ms: i64, id: &str, timestamp_s: u64, body: &[u8]) -> Result<String, Refusal> {
    let mut all = sign(&hook.secret, id, timestamp_s, body)?;
    if let Some(previous) = hook.previous_at(now_ms) {
        all.push(' ');
        all.push_str(&sign(previous, id, timestamp_s, body)?);
    }
    Ok(all)
}

/// The signature of a body alone, as hexadecimal digits. Nothing in it keeps a body from being sent twice.
///
/// # Errors
/// [`Refusal::Secret`].
pub fn plain(secret: &Secret, body: &[u8]) -> Result<String, Refusal> {
    Ok(hex(hmac::sign(&key(secret)?, body).as_ref()))
}

/// Whether one of the signatures in `given`, which spaces part, is that of the event, and it was signed about `now_s`.
///
/// # Errors
/// It is not, or not lately.
pub fn verify(secret: &Secret, id: &str, timestamp: &str, body: &[u8], given: &str, now_s: u64) -> Result<(), Refusal> {
    let key = key(secret)?;
    let signed_s = timestamp.parse::<u64>().map_err(|_| Refusal::Timestamp)?;
    if signed_s.abs_diff(now_s) > TOLERANCE_S {
        return Err(Refusal::Timestamp);
    }
    let text = signed(id, timestamp, body);
    let fits = |given: &str| {
        let tag = given.strip_prefix(VERSION).and_then(|tag| STANDARD.decode_to_vec(tag).ok());
        tag.is_some_and(|tag| hmac::verify(&key, &text, &tag).is_ok())
    };
    if given.split(' ').take(MAX_SIGNATURES).any(fits) { Ok(()) } else { Err(Refusal::Signature) }
}

/// A secret that nobody has; `None`: the system has no randomness.
pub fn new_secret() -> Option<String> {
    let mut key = [0u8; 32];
    SystemRandom::new().fill(&mut key).ok()?;
    Some(format!("{SECRET_PREFIX}{}", STANDARD.encode_to_string(key)))
}

fn key(secret: &Secret) -> Result<hmac::Key, Refusal> {
    let key = match secret.expose().strip_prefix(SECRET_PREFIX) {
        Some(encoded) => STANDARD.decode_to_vec(encoded).map_err(|_| Refusal::Secret)?,
        None => secret.expose().as_bytes().to_vec(),
    };
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &key))
}

fn signed(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    let mut text = format!("{id}.{timestamp}.").into_bytes();
    text.extend_from_slice(body);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "{\"version\":1,\"type\":\"call.ended\",\"text\":\"grüß\"}";
    const AT: u64 = 1_795_216_495;

    /// By Python's hmac module.
    const CASES: [(&str, &str); 2] = [
        ("whsec_b2ZmaG9vayB0ZXN0IHNlY3JldCAwMTIzNDU2Nzg5", "v1,GB4mp1zEfOltzwT5S03DbNYauQu+k4OtchlU/x7HaQY="),
        ("a plain secret of some length", "v1,GNKzMLqc5QwiQp8PuFItZITYmQhJVbWOe6mqtc4NzjU="),
    ];

    fn check(secret: &str, id: &str, at: &str, body: &str, given: &str) -> Result<(), Refusal> {
        verify(&Secret::new(secret), id, at, body.as_bytes(), given, AT)
    }

    #[test]
    fn signatures_are_those_of_the_standard() {
        for (secret, signature) in CASES {
            assert_eq!(sign(&Secret::new(secret), "evt_0001", AT, BODY.as_bytes()).unwrap(), signature);
            assert_eq!(check(secret, "evt_0001", "1795216495", BODY, signature), Ok(()));
            let several = format!("v1a,xyz v1,AAAA {signature}");
            assert_eq!(check(secret, "evt_0001", "1795216495", BODY, &several), Ok(()));
        }
    }

    #[test]
    fn c_19_a_plain_signature_is_the_hex_hmac_of_the_body() {
        // By Python's hmac module.
        let secret = Secret::new("a plain secret of some length");
        let plain = plain(&secret, b"{\"a\":1}").unwrap();
        assert_eq!(plain, "af684de0562f876a5025f13add2c5b37ed69eeb429d171b4123d58ffc5de9fa4");
    }

    #[test]
    fn beyond_47_while_a_secret_is_changed_either_one_verifies() {
        let [(now, _), (before, _)] = CASES;
        let hook = Webhook {
            previous: Some(Secret::new(before)),
            previous_until_ms: Some(AT as i64 * 1_000 + 1),
            ..Webhook::new("crm", "", Secret::new(now))
        };
        let both = sign_by_all(&hook, AT as i64 * 1_000, "evt_0001", AT, BODY.as_bytes()).unwrap();
        assert_eq!(both, format!("{} {}", CASES[0].1, CASES[1].1));
        for secret in [now, before] {
            assert_eq!(check(secret, "evt_0001", "1795216495", BODY, &both), Ok(()));
        }
        let one = sign_by_all(&hook, AT as i64 * 1_000 + 1, "evt_0001", AT, BODY.as_bytes()).unwrap();
        assert_eq!(one, CASES[0].1);
    }

    #[test]
    fn anything_changed_or_old_is_refused() {
        let (secret, signature) = CASES[0];
        let refused = Err(Refusal::Signature);
        assert_eq!(check(secret, "evt_0002", "1795216495", BODY, signature), refused);
        assert_eq!(check(secret, "evt_0001", "1795216496", BODY, signature), refused);
        assert_eq!(check(secret, "evt_0001", "1795216495", "{}", signature), refused);
        assert_eq!(check(CASES[1].0, "evt_0001", "1795216495", BODY, signature), refused);
        for bad in
            ["", "v1,", "v1", signature.trim_start_matches("v1,"), "v2,GB4mp1zEfOltzwT5S03DbNYauQu+k4OtchlU/x7HaQY="]
        {
            assert_eq!(check(secret, "evt_0001", "1795216495", BODY, bad), refused, "{bad}");
        }
        for at in ["1795216194", "1795216796", "", "-1", "now"] {
            assert_eq!(check(secret, "evt_0001", at, BODY, signature), Err(Refusal::Timestamp), "{at}");
        }
        // At the edge it is the signature again that is wrong.
        assert_eq!(check(secret, "evt_0001", "1795216195", BODY, signature), refused);
        assert_eq!(check("whsec_%", "evt_0001", "1795216495", BODY, signature), Err(Refusal::Secret));
    }
}
