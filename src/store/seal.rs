//! Secrets that are kept in rows, sealed with a key of the operator (`[store] seal_key`).
//!
//! AES-256-GCM with a new nonce for each; the key is made from the operator's text by HKDF-SHA256. What a secret belongs to is
//! part of the seal: one that was copied into another row does not open there.

use base64_simd::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::config::Secret;

/// Begins what is sealed this way.
pub(super) const VERSION: &str = "v1:";
/// What the key is for.
const INFO: &[&[u8]] = &[b"offhook store seal v1"];

/// `text`, which belongs to `whose`; `None`: the system has no randomness.
pub(super) fn seal(key: &Secret, whose: &str, text: &Secret) -> Option<String> {
    let mut nonce = [0u8; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).ok()?;
    let mut sealed = text.expose().as_bytes().to_vec();
    let aad = Aad::from(whose.as_bytes());
    let nonce_used = Nonce::assume_unique_for_key(nonce);
    made(key)?.seal_in_place_append_tag(nonce_used, aad, &mut sealed).ok()?;
    Some(format!("{VERSION}{}", STANDARD.encode_to_string([&nonce[..], &sealed].concat())))
}

/// What was sealed; `None`: with another key, for another, or it was changed.
pub(super) fn open(key: &Secret, whose: &str, sealed: &str) -> Option<Secret> {
    let mut bytes = STANDARD.decode_to_vec(sealed.strip_prefix(VERSION)?).ok()?;
    let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let text = made(key)?.open_in_place(nonce, Aad::from(whose.as_bytes()), text).ok()?;
    Some(Secret::new(std::str::from_utf8(text).ok()?))
}

/// Whether it was sealed, with whatever key.
pub(super) fn is_sealed(text: &str) -> bool {
    text.starts_with(VERSION)
}

fn made(key: &Secret) -> Option<LessSafeKey> {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]);
    let secret = salt.extract(key.expose().as_bytes());
    let key: UnboundKey = secret.expand(INFO, &AES_256_GCM).ok()?.into();
    Some(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_opens_with_its_key_for_its_owner_and_unchanged() {
        let (key, other) =
            (Secret::new("a key of the operator, long enough"), Secret::new("another key, also long enough.."));
        let secret = Secret::new("whsec_hush");
        let sealed = seal(&key, "hook_1", &secret).unwrap();
        assert!(!sealed.contains("hush") && sealed != seal(&key, "hook_1", &secret).unwrap(), "no two are alike");
        assert_eq!(open(&key, "hook_1", &sealed), Some(secret));
        assert_eq!(open(&other, "hook_1", &sealed), None);
        assert_eq!(open(&key, "hook_2", &sealed), None);
        let mut changed = sealed.clone().into_bytes();
        let last = changed.len() - 4;
        changed[last] = if changed[last] == b'A' { b'B' } else { b'A' };
        assert_eq!(open(&key, "hook_1", &String::from_utf8(changed).unwrap()), None);
        for bad in ["", "v1:", "v1:AAAA", "whsec_hush", "v2:AAAA"] {
            assert_eq!(open(&key, "hook_1", bad), None, "{bad}");
        }
    }
}
