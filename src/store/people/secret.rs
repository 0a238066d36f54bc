//! Secrets that this server makes: a prefix that says what it is, 32 random bytes in base 62, and four characters by which a
//! slip of the pen, or of a scanner, is seen. Only SHA-256 of one is kept: what is random needs no slow hash.

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::base::hex::hex;
use crate::store::StoreError;

/// What a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// An API key.
    Key,
    /// An access token of an internal agent.
    Access,
    /// A session: what a cookie says.
    Session,
    /// A one-time link.
    Link,
}

impl SecretKind {
    const ALL: [SecretKind; 4] = [SecretKind::Key, SecretKind::Access, SecretKind::Session, SecretKind::Link];

    const fn prefix(self) -> &'static str {
        match self {
            SecretKind::Key => "oh_key_",
            SecretKind::Access => "oh_tok_",
            SecretKind::Session => "oh_ses_",
            SecretKind::Link => "oh_link_",
        }
    }

    /// What a text is, if it can be one that this server made.
    pub fn of(text: &str) -> Option<SecretKind> {
        let kind = SecretKind::ALL.into_iter().find(|kind| text.starts_with(kind.prefix()))?;
        let body = text.strip_prefix(kind.prefix())?;
        let (body, check) = body.split_at_checked(BODY)?;
        (check.len() == CHECK && checksum(kind.prefix(), body) == check).then_some(kind)
    }
}

/// Characters of 32 bytes in base 62, and of the checksum.
const BODY: usize = 43;
const CHECK: usize = 4;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A new secret; it is shown once, and kept by its [`hash`].
///
/// # Errors
/// The system has no randomness.
pub(super) fn new(kind: SecretKind) -> Result<String, StoreError> {
    let mut bytes = [0u8; 32];
    random(&mut bytes)?;
    let body = base62(bytes);
    Ok(format!("{}{body}{}", kind.prefix(), checksum(kind.prefix(), &body)))
}

/// A new embed key, which is no secret: it stands in the deployment's document and in pages.
///
/// # Errors
/// The system has no randomness.
pub fn new_embed_key() -> Result<String, StoreError> {
    let mut bytes = [0u8; 32];
    random(&mut bytes)?;
    Ok(format!("oh_pub_{}", base62(bytes)))
}

/// As it is kept.
pub(super) fn hash(secret: &str) -> String {
    hex(digest(&SHA256, secret.as_bytes()).as_ref())
}

/// By which people tell one secret from another.
pub(super) fn hint(secret: &str) -> String {
    secret.chars().skip(secret.chars().count().saturating_sub(4)).collect()
}

pub(super) fn random(bytes: &mut [u8]) -> Result<(), StoreError> {
    SystemRandom::new().fill(bytes).map_err(|_| StoreError::Io("the system has no randomness".to_owned()))
}

/// The bytes as a number, most significant first, always [`BODY`] digits.
fn base62(mut bytes: [u8; 32]) -> String {
    let mut digits = [b'0'; BODY];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0u32;
        for byte in &mut bytes {
            let value = rest << 8 | u32::from(*byte);
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        *digit = DIGITS.get(rest as usize).copied().unwrap_or(b'0');
    }
    String::from_utf8_lossy(&digits).into_owned()
}

fn checksum(prefix: &str, body: &str) -> String {
    let sum = digest(&SHA256, format!("{prefix}{body}").as_bytes());
    let number = sum.as_ref().iter().take(4).fold(0u32, |number, byte| number << 8 | u32::from(*byte));
    (0..CHECK as u32)
        .map(|place| DIGITS.get((number / 62u32.pow(place) % 62) as usize).map_or('0', |digit| char::from(*digit)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_say_what_they_are_differ_and_slips_are_seen() {
        for kind in SecretKind::ALL {
            let (one, other) = (new(kind).unwrap(), new(kind).unwrap());
            assert_ne!(one, other);
            assert_eq!((SecretKind::of(&one), one.len()), (Some(kind), kind.prefix().len() + 47));
            assert_ne!(hash(&one), hash(&other));
            let mut slip = one.clone().into_bytes();
            slip[20] = if slip[20] == b'a' { b'b' } else { b'a' };
            assert_eq!(SecretKind::of(std::str::from_utf8(&slip).unwrap()), None);
            for wrong in [&one[..one.len() - 1], &format!("{one}0"), kind.prefix(), "", "oh_key_ä"] {
                assert_eq!(SecretKind::of(wrong), None, "{wrong}");
            }
            assert!(one.ends_with(&hint(&one)) && hint(&one).len() == 4);
        }
        // An access token's body does not pass for a key.
        let token = new(SecretKind::Access).unwrap();
        assert_eq!(SecretKind::of(&token.replace("oh_tok_", "oh_key_")), None);
        let key = new_embed_key().unwrap();
        assert!(key.len() == 50 && key[7..].bytes().all(|b| b.is_ascii_alphanumeric()));
    }

    #[test]
    fn numbers_in_base_62_keep_all_bits() {
        assert_eq!(base62([0; 32]), "0".repeat(43));
        let mut one = [0; 32];
        one[31] = 61;
        assert_eq!(base62(one), format!("{}z", "0".repeat(42)));
        one[31] = 62;
        assert_eq!(base62(one), format!("{}10", "0".repeat(41)));
        // 2^256 - 1, as a calculator has it.
        assert!(base62([255; 32]) > base62([254; 32]));
    }
}
