//! The second factor: codes of six digits that change every 30 seconds (RFC 6238), and recovery codes for a lost telephone.

use ring::hmac;

use crate::config::Secret;
use crate::store::StoreError;

use super::secret;

/// Seconds of a step.
const STEP_S: u64 = 30;
/// Steps that a clock may be off.
const OFF: u64 = 1;
/// Recovery codes that are given.
const RECOVERY: usize = 8;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A new secret of 20 bytes, in base 32.
pub(super) fn new() -> Result<String, StoreError> {
    let mut bytes = [0u8; 20];
    secret::random(&mut bytes)?;
    Ok(base32(&bytes))
}

/// The address that telephones read from a picture.
pub fn address(secret: &Secret, email: &str, issuer: &str) -> Secret {
    let quoted = |text: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect::<String>()
    };
    let (issuer, email) = (quoted(issuer), quoted(email));
    Secret::new(format!("otpauth://totp/{issuer}:{email}?secret={}&issuer={issuer}", secret.expose()))
}

/// The step whose code this is at `now_s` seconds since 1970, later than the last one that was used.
pub(super) fn step(secret: &str, code: &str, now_s: u64, last: u64) -> Option<u64> {
    let code = code.trim();
    let now = now_s / STEP_S;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes(secret)?);
    // All three are looked at, whichever it is.
    let found = (now.saturating_sub(OFF)..=now + OFF).filter(|step| is_same(&at(&key, *step), code));
    found.filter(|step| *step > last).fold(None, |_, step| Some(step))
}

/// The code of a moment: what a telephone shows.
///
/// # Errors
/// It is no secret in base 32.
pub fn code(secret: &Secret, now_s: u64) -> Result<String, StoreError> {
    let bytes = bytes(secret.expose()).ok_or_else(|| StoreError::Refused("this is no secret in base 32".to_owned()))?;
    Ok(at(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes), now_s / STEP_S))
}

/// Codes that are good once each.
pub(super) fn recovery() -> Result<Vec<String>, StoreError> {
    (0..RECOVERY)
        .map(|_| {
            let mut bytes = [0u8; 10];
            secret::random(&mut bytes)?;
            let code = base32(&bytes).to_lowercase();
            let groups: Vec<_> = code.as_bytes().chunks(4).map(String::from_utf8_lossy).collect();
            Ok(groups.join("-"))
        })
        .collect()
}

/// A recovery code as it is kept, however it was typed.
pub(super) fn recovery_hash(code: &str) -> String {
    secret::hash(&code.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase())
}

/// RFC 4226, section 5.3.
fn at(key: &hmac::Key, step: u64) -> String {
    let tag = hmac::sign(key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag.last().copied().unwrap_or_default() & 0xf);
    let word = tag.iter().skip(offset).take(4).fold(0u32, |word, byte| word << 8 | u32::from(*byte));
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

fn base32(bytes: &[u8]) -> String {
    let (mut text, mut held, mut bits) = (String::new(), 0u32, 0);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(BASE32.get((held >> bits & 31) as usize).map_or('A', |digit| char::from(*digit)));
        }
    }
    if bits > 0 {
        text.push(BASE32.get((held << (5 - bits) & 31) as usize).map_or('A', |digit| char::from(*digit)));
    }
    text
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0u32, 0);
    for digit in text.bytes() {
        let value = BASE32.iter().position(|known| *known == digit.to_ascii_uppercase())?;
        held = held << 5 | value as u32;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, for SHA-1; the last six of its eight digits.
    #[test]
    fn role_07_codes_are_those_of_the_rfc() {
        let secret = Secret::new(base32(b"12345678901234567890"));
        assert_eq!(secret.expose(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        for (now_s, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(&secret, now_s).unwrap(), expected);
        }
    }

    #[test]
    fn role_07_a_code_is_good_once_and_for_a_clock_that_is_half_a_minute_off() {
        let secret = new().unwrap();
        let code = |now_s| code(&Secret::new(secret.clone()), now_s).unwrap();
        let now_s = 1_800_000_000;
        let now = now_s / STEP_S;
        assert_eq!(step(&secret, &code(now_s), now_s, 0), Some(now));
        assert_eq!(step(&secret, &code(now_s - 30), now_s, 0), Some(now - 1));
        assert_eq!(step(&secret, &code(now_s + 30), now_s, 0), Some(now + 1));
        assert_eq!(step(&secret, &code(now_s), now_s, now), None, "used");
        assert_eq!(step(&secret, &code(now_s - 30), now_s, now), None, "older than one that was used");
        for wrong in ["", "1", "abcdef", "1234567", "００００００"] {
            assert_eq!(step(&secret, wrong, now_s, 0), None, "{wrong}");
        }
        assert_eq!(step(&secret, &code(now_s - 3_000), now_s, 0), None);
        assert_eq!(step("no base 32!", "000000", now_s, 0), None);
    }

    #[test]
    fn base_32_goes_there_and_back() {
        for (plain, text) in [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foobar", "MZXW6YTBOI")] {
            assert_eq!(base32(plain.as_bytes()), text);
            assert_eq!(bytes(text).as_deref(), Some(plain.as_bytes()));
        }
        let codes = recovery().unwrap();
        assert!(codes.len() == RECOVERY && codes[0].len() == 19, "{codes:?}");
        assert_eq!(recovery_hash(&codes[0]), recovery_hash(&format!(" {}", codes[0].to_uppercase().replace('-', " "))));
    }

    #[test]
    fn the_address_is_quoted() {
        let address = address(&Secret::new("ABC"), "ann+x@example.com", "off hook");
        let expected = "otpauth://totp/off%20hook:ann%2Bx%40example.com?secret=ABC&issuer=off%20hook";
        assert_eq!(address.expose(), expected);
    }
}
