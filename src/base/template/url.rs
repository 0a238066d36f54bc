//! Templates of URLs: a value stays in the segment of the path, or in the value of the query, in which it is put.

use std::fmt::Write as _;

use super::{Part, Template, Values};

/// Where in a URL something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the path: scheme, host and port.
    Origin,
    /// In the path.
    Path,
    /// After the `?`.
    Query,
}

/// The text of a URL with `values` put in: percent-encoded in the path and in the query, as they are in the host.
///
/// # Errors
/// In words for whoever gave the values: what stands in the path is empty or would lead elsewhere (`..`), what stands in
/// the host is no name of one.
pub fn render(template: &Template, values: &Values<'_>) -> Result<String, String> {
    let mut out = String::new();
    for (part, place) in template.parts().iter().zip(places(template)) {
        let name = match part {
            Part::Text(text) => {
                out.push_str(text);
                continue;
            }
            Part::Variable { name, .. } => name,
        };
        let value = values.get(name).map(super::Filling::text).unwrap_or_default();
        match place {
            Place::Origin if !value.is_empty() && value.bytes().all(is_host) => out.push_str(&value),
            Place::Origin => return Err(format!("{name} is not the name of a host")),
            Place::Path if value.is_empty() => return Err(format!("{name} is empty, and stands in the address")),
            Place::Path | Place::Query => encode(&value, &mut out),
        }
    }
    let path = out.split('?').next().unwrap_or_default();
    if path.split('/').any(leads_elsewhere) {
        return Err("a value in the address is . or .., which would lead elsewhere".to_owned());
    }
    Ok(out)
}

/// Where each part of `template` begins.
pub fn places(template: &Template) -> Vec<Place> {
    let (mut place, mut slashes) = (Place::Origin, 0);
    let mut places = Vec::new();
    for part in template.parts() {
        places.push(place);
        let Part::Text(text) = part else { continue };
        for byte in text.bytes() {
            match byte {
                b'?' => place = Place::Query,
                b'/' => {
                    slashes += 1;
                    // Two of them belong to the scheme.
                    if slashes == 3 && place == Place::Origin {
                        place = Place::Path;
                    }
                }
                _ => {}
            }
        }
    }
    places
}

/// Whether a variable stands in the host.
pub fn has_open_host(template: &Template) -> bool {
    let parts = template.parts().iter().zip(places(template));
    parts.into_iter().any(|(part, place)| place == Place::Origin && matches!(part, Part::Variable { .. }))
}

/// Whether a URL's parser takes `segment` for a step to this or the upper level.
fn leads_elsewhere(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    plain == "." || plain == ".."
}

fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.'
}

/// Writes what is not plain in every part of a URL as `%XX`.
pub fn encode(value: &str, out: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::Url;
    use serde_json::json;

    use super::*;
    use crate::base::template::Variables;

    fn rendered(url: &str, a: &str) -> Result<String, String> {
        let (nothing, arguments) = (Variables::new(), json!({ "a": a }));
        render(&Template::parse(url).unwrap(), &Values::new(&nothing).with("args", &arguments))
    }

    #[test]
    fn values_are_encoded_by_their_place() {
        let url = "https://api.example/c/{{args.a}}/x?q={{args.a}}";
        assert_eq!(rendered(url, "a b/c").unwrap(), "https://api.example/c/a%20b%2Fc/x?q=a%20b%2Fc");
        assert_eq!(rendered("https://{{args.a}}.example/", "eu").unwrap(), "https://eu.example/");
        assert_eq!(
            rendered("https://api.example?q={{args.a}}", "a&b=/c").unwrap(),
            "https://api.example?q=a%26b%3D%2Fc"
        );
        for (url, a) in [
            (url, ""),
            (url, ".."),
            ("https://api.example/c/.{{args.a}}", "."),
            ("https://api.example/c/%2{{args.a}}", "e"),
            ("https://{{args.a}}.example/", "evil.org/"),
            ("https://{{args.a}}.example/", "me@evil"),
        ] {
            assert!(rendered(url, a).is_err(), "{url} {a}");
        }
        assert!(has_open_host(&Template::parse("https://x.{{args.a}}/y").unwrap()));
        assert!(has_open_host(&Template::parse("https://x:{{args.a}}?y").unwrap()));
        assert!(!has_open_host(&Template::parse("https://x?{{args.a}}").unwrap()));
        assert!(!has_open_host(&Template::parse("https://x/{{args.a}}").unwrap()));
    }

    proptest! {
        #[test]
        fn a_value_stays_in_its_segment_and_its_pair(a in "\\PC{1,12}|[./%2e\\\\?#&=@:;]{1,6}") {
            let Ok(text) = rendered("https://api.example/c/{{args.a}}/x?q={{args.a}}&r=1", &a) else { return Ok(()) };
            let url = Url::parse(&text).unwrap();
            prop_assert_eq!(url.host_str(), Some("api.example"));
            let segments: Vec<_> = url.path_segments().unwrap().collect();
            prop_assert_eq!((segments.len(), segments[0], segments[2]), (3, "c", "x"));
            let pairs: Vec<_> = url.query_pairs().into_owned().collect();
            prop_assert_eq!(pairs, vec![("q".to_owned(), a), ("r".to_owned(), "1".to_owned())]);
        }
    }
}
