//! `X-Twilio-Signature`: who sent a webhook or opened a media stream (Twilio's "Webhooks security"). SignalWire signs forms
//! likewise, in a header and with a key of its own.
//!
//! The signature is `base64(HMAC-SHA1(token, S))`. `S` is the URL as Twilio knows it, which behind a proxy is not the URL
//! that the server sees, followed for a form POST by its sorted parameters. All comparisons take constant time.

use std::borrow::Cow;

use base64_simd::STANDARD;
use ring::{digest, hmac};

use crate::base::hex::hex;
use crate::config::Secret;

/// The header, in lower case.
pub const HEADER: &str = "x-twilio-signature";
/// The query parameter that carries the hash of a body that is not a form.
const BODY_HASH: &str = "bodySHA256";

/// The signature of a request to `url` with these form parameters (none for GET, a JSON body or a WebSocket upgrade).
pub fn sign(token: &Secret, url: &str, params: &[(String, String)]) -> String {
    let mut text = url.to_owned();
    text.push_str(&sorted(params));
    STANDARD.encode_to_string(hmac::sign(&key(token), text.as_bytes()))
}

/// Whether `signature` is that of a form POST (or, with no `params`, a GET) to `url`, which is the public URL with path
/// and query. Twilio's own helpers accept the URL with its port and without; so does this.
pub fn verify_form(token: &Secret, url: &str, params: &[(String, String)], signature: &str) -> bool {
    verify(token, &port_variants(url), &sorted(params), signature)
}

/// Whether `signature` is that of a request to `url` with a body that is not a form: the URL's `bodySHA256` must be the
/// hash of `body`.
pub fn verify_body(token: &Secret, url: &str, body: &[u8], signature: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let Some(given) = query.split('&').find_map(|pair| pair.strip_prefix(BODY_HASH)?.strip_prefix('=')) else {
        return false;
    };
    // What is compared is a hash of what the sender also knows: its timing tells nothing.
    given.eq_ignore_ascii_case(&body_hash(body)) && verify(token, &port_variants(url), "", signature)
}

/// Whether `signature` is that of a WebSocket upgrade to `wss_url`, which is the URL as written in the TwiML. The scheme
/// must be `wss` even where TLS ends at a proxy. A trailing slash more or less is forgiven.
pub fn verify_upgrade(token: &Secret, wss_url: &str, signature: &str) -> bool {
    let mut urls = port_variants(wss_url);
    for i in 0..urls.len() {
        urls.push(Cow::Owned(toggle_slash(&urls[i])));
    }
    verify(token, &urls, "", signature)
}

/// Lower-case hex of a body's SHA-256, as in `bodySHA256`.
pub fn body_hash(body: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, body).as_ref())
}

fn key(token: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.expose().as_bytes())
}

fn verify(token: &Secret, urls: &[Cow<'_, str>], params: &str, signature: &str) -> bool {
    // 20 bytes are 28 characters; anything else is not a signature.
    if signature.len() != 28 {
        return false;
    }
    let Ok(tag) = STANDARD.decode_to_vec(signature) else { return false };
    let key = key(token);
    urls.iter().any(|url| hmac::verify(&key, format!("{url}{params}").as_bytes(), &tag).is_ok())
}

/// Names with their values in byte order, without separators; a value that a name has twice counts once.
fn sorted(params: &[(String, String)]) -> String {
    let mut pairs: Vec<(&str, &str)> = params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs.into_iter().flat_map(|(name, value)| [name, value]).collect()
}

/// The URL as it is, and with its port taken away or the scheme's default port added.
fn port_variants(url: &str) -> Vec<Cow<'_, str>> {
    let mut urls = vec![Cow::Borrowed(url)];
    let Some((scheme, rest)) = url.split_once("://") else { return urls };
    let authority = rest.find(['/', '?', '#']).map_or(rest, |end| &rest[..end]);
    let after = &rest[authority.len()..];
    // The last colon is a port's unless it is inside an IPv6 address.
    let port = authority.rfind(':').filter(|&colon| !authority[colon..].contains(']'));
    urls.push(Cow::Owned(match port {
        Some(colon) => format!("{scheme}://{}{after}", &authority[..colon]),
        None => {
            let default = if matches!(scheme, "https" | "wss") { 443 } else { 80 };
            format!("{scheme}://{authority}:{default}{after}")
        }
    }));
    urls
}

/// The URL with a slash at its path's end taken away or added.
fn toggle_slash(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (path, after) = url.split_at(end);
    match path.strip_suffix('/') {
        Some(path) => format!("{path}{after}"),
        None => format!("{path}/{after}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Secret {
        Secret::new("12345")
    }

    fn params() -> Vec<(String, String)> {
        [
            ("To", "+18005551212"),
            ("From", "+14158675309"),
            ("Digits", "1234"),
            ("Caller", "+14158675309"),
            ("CallSid", "CA1234567890ABCDE"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
    const BODY: &[u8] = br#"{"property": "value", "boolean": true}"#;

    #[test]
    fn a_form_is_signed_by_url_and_sorted_parameters() {
        assert_eq!(sign(&token(), URL, &params()), "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
        assert!(verify_form(&token(), URL, &params(), "RSOYDt4T1cUTdK1PDd93/VVr8B8="));
    }

    /// As SignalWire's own validator has it.
    #[test]
    fn signalwire_signs_forms_likewise() {
        let params = [("CallSid", "c1"), ("From", "+1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert!(verify_form(&token(), "https://example.com/voice", &params, "Sql/A2WObXl63xCrvP4eRO9zscY="));
    }

    #[test]
    fn a_body_that_is_no_form_is_bound_by_its_hash() {
        let hash = body_hash(BODY);
        assert_eq!(hash, "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620");
        let url = format!("{URL}&bodySHA256={hash}");
        let signature = "a9nBmqA0ju/hNViExpshrM61xv4=";
        assert!(verify_body(&token(), &url, BODY, signature));
        assert!(!verify_body(&token(), &url, b"{}", signature), "another body");
        assert!(!verify_body(&token(), URL, BODY, &sign(&token(), URL, &[])), "no hash in the URL");
    }

    #[test]
    fn an_upgrade_is_signed_by_the_wss_url_alone() {
        let signature = "Ko8aymfVk0cCegaxVKH0ZCvSyf4=";
        for url in [
            "wss://example.com/twilio/media",
            "wss://example.com/twilio/media/",
            "wss://example.com:443/twilio/media",
            "wss://example.com:443/twilio/media/",
        ] {
            assert!(verify_upgrade(&token(), url, signature), "{url}");
        }
        assert!(!verify_upgrade(&token(), "https://example.com/twilio/media", signature));
        assert!(!verify_upgrade(&token(), "wss://example.com/twilio/media2", signature));
    }

    #[test]
    fn anything_changed_is_refused() {
        let signature = sign(&token(), URL, &params());
        let mut more = params();
        more.push(("Extra".to_owned(), String::new()));
        assert!(!verify_form(&token(), URL, &more, &signature), "a blank parameter counts");
        assert!(!verify_form(&token(), "https://mycompany.com/myapp.php?foo=1&bar=3", &params(), &signature));
        assert!(!verify_form(&Secret::new("12346"), URL, &params(), &signature));
        for bad in ["", "=", "RSOYDt4T1cUTdK1PDd93/VVr8B8", "RSOYDt4T1cUTdK1PDd93/VVr8B9=", "ä", &"A".repeat(100_000)]
        {
            assert!(!verify_form(&token(), URL, &params(), bad), "{bad:.40}");
        }
    }

    #[test]
    fn the_port_may_be_named_or_not() {
        let signature = sign(&token(), "https://h.example/voice?a=b", &[]);
        assert!(verify_form(&token(), "https://h.example:443/voice?a=b", &[], &signature));
        let signature = sign(&token(), "https://h.example:443/voice?a=b", &[]);
        assert!(verify_form(&token(), "https://h.example/voice?a=b", &[], &signature));
        let signature = sign(&token(), "http://[::1]:80/voice", &[]);
        assert!(verify_form(&token(), "http://[::1]/voice", &[], &signature));
    }

    #[test]
    fn a_name_may_repeat_in_any_order_and_equal_values_count_once() {
        let pairs = |values: &[&str]| values.iter().map(|v| ("D".to_owned(), (*v).to_owned())).collect::<Vec<_>>();
        let signature = sign(&token(), URL, &pairs(&["2", "1", "2"]));
        assert!(verify_form(&token(), URL, &pairs(&["1", "2"]), &signature));
        assert_eq!(sign(&token(), URL, &pairs(&["1", "2"])), sign(&token(), &format!("{URL}D1D2"), &[]));
    }
}
