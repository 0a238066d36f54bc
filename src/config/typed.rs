//! What looks like a secret that somebody typed into a document (SEC-01).

/// What kind of secret `text`, the value of `key`, seems to hold.
pub(super) fn secret_in(key: &str, text: &str) -> Option<&'static str> {
    words(text).find_map(by_shape).or_else(|| bearer(text)).or_else(|| named(key, text))
}

/// Runs of characters that keys are made of.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.+".contains(c))).filter(|word| word.len() >= SHORTEST)
}

/// By how the vendor marks its keys.
fn by_shape(word: &str) -> Option<&'static str> {
    let of = |prefix: &str, least: usize| {
        let rest = word.strip_prefix(prefix)?;
        (rest.len() >= least && is_random(rest)).then_some(())
    };
    for (prefix, least, kind) in PREFIXES {
        if of(prefix, least).is_some() {
            return Some(kind);
        }
    }
    let upper = |text: &str| text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if word.len() == 20 && (word.starts_with("AKIA") || word.starts_with("ASIA")) && upper(word) {
        return Some("a key of AWS");
    }
    // A token of three parts, the first of which is JSON in base64.
    let jwt = word.starts_with("eyJ") && word.split('.').count() == 3 && word.len() >= 60;
    jwt.then_some("a token (JWT)")
}

/// `Bearer` or `Basic` with a long token behind it.
fn bearer(text: &str) -> Option<&'static str> {
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        if (word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic"))
            && words.clone().next().is_some_and(|token| token.len() >= SHORTEST && is_random(token))
        {
            return Some("a token behind Bearer or Basic");
        }
    }
    None
}

/// Hexadecimal digits beside words that speak of secrets, or all of a value whose key does.
fn named(key: &str, text: &str) -> Option<&'static str> {
    let hex = |word: &str| word.len() >= 32 && word.bytes().all(|b| b.is_ascii_hexdigit()) && is_random(word);
    let found = words(text).find(|word| hex(word.trim_matches(|c: char| !c.is_ascii_alphanumeric())))?;
    let around = text.split(found).next().unwrap_or_default().to_ascii_lowercase();
    let near: String = around.chars().rev().take(NEAR).collect::<Vec<_>>().into_iter().rev().collect();
    let speaks = |text: &str| SECRET_WORDS.iter().any(|word| text.contains(word));
    (speaks(&near) || speaks(&key.to_ascii_lowercase())).then_some("32 or more hexadecimal digits")
}

/// Neither a word that people write nor a stand-in such as `sk-xxxxxxxxxxxxxxxx`.
fn is_random(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut seen = [false; 256];
    bytes.iter().for_each(|b| seen[usize::from(*b)] = true);
    let different = seen.iter().filter(|seen| **seen).count();
    different >= 8 && bytes.iter().any(u8::is_ascii_digit) && bytes.iter().any(u8::is_ascii_alphabetic)
}

/// Shorter text is a word.
const SHORTEST: usize = 16;
/// Characters before a number that may say what it is.
const NEAR: usize = 40;
const SECRET_WORDS: [&str; 6] = ["key", "token", "secret", "passw", "auth", "credential"];
/// How keys begin, how much follows at least, and what they are.
const PREFIXES: [(&str, usize, &str); 13] = [
    ("sk-", 16, "a key of a model's vendor"),
    ("whsec_", 16, "a webhook's secret"),
    ("oh_key_", 12, "a key of this server's API"),
    ("oh_tok_", 12, "an access token of this server"),
    ("ghp_", 20, "a token of GitHub"),
    ("github_pat_", 20, "a token of GitHub"),
    ("glpat-", 16, "a token of GitLab"),
    ("xoxb-", 16, "a token of Slack"),
    ("xoxp-", 16, "a token of Slack"),
    ("sk_live_", 16, "a key of Stripe"),
    ("rk_live_", 16, "a key of Stripe"),
    ("SG.", 30, "a key of SendGrid"),
    ("AIza", 30, "a key of Google"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_01_what_looks_like_a_secret_is_told_from_what_people_write() {
        for (key, text) in [
            ("instructions", "Use the key sk-proj-A8f3kLm29xQz71Vb when you ask."),
            ("url", "https://a.example/?token=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            ("text", "oh_key_4f9aB27cD810"),
            ("text", "AKIAIOSFODNN7EXAMPLE"),
            ("X-Custom", "Bearer 9f8e7d6c5b4a39281706"),
            ("token", "0123456789abcdef0123456789abcdef"),
            ("instructions", "the password is 0123456789abcdef0123456789abcdef"),
            ("text", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"),
        ] {
            assert!(secret_in(key, text).is_some(), "{key} = {text}");
        }
        for (key, text) in [
            ("instructions", "Ask for the sk-number on the badge, and never say the word secret."),
            ("instructions", "Never read a key such as sk-xxxxxxxxxxxxxxxxxxxxxxxx aloud."),
            ("account_sid", "AC00000000000000000000000000000000"),
            ("url", "https://api.example.com/0123456789abcdef0123456789abcdef/calls"),
            ("key", "oh_pub_4f9aB27cD8104f9aB27cD810"),
            ("text", "Our bearer brings internationalisation2 to you."),
            ("env", "A_VERY_LONG_NAME_OF_A_VARIABLE_1"),
        ] {
            assert_eq!(secret_in(key, text), None, "{key} = {text}");
        }
    }
}
