//! Which endpoints may be told of calls (HOOK-01, HOOK-03, HOOK-06).

use std::net::IpAddr;

use base64_simd::STANDARD;
use reqwest::Url;

use super::refusal::Refusal;
use crate::base::address::is_public;
use crate::config::{EventType, MAX_EVENTS_PER_SECOND, MAX_WEBHOOKS, SECRET_PREFIX};

/// Characters of a name.
const MAX_NAME: usize = 64;
/// Characters of a reason.
const MAX_REASON: usize = 300;
/// Bytes of a URL.
const MAX_URL: usize = 1_024;
/// Agents that one endpoint is told of.
const MAX_AGENTS: usize = 1_000;
/// Bytes of a secret that nobody guesses, and more than anybody needs.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=1_024;
/// Milliseconds of one attempt, and before the second.
const TIMEOUT_MS: std::ops::RangeInclusive<u64> = 500..=60_000;
const RETRY_FIRST_MS: std::ops::RangeInclusive<u64> = 100..=600_000;

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// What people call it.
    pub name: String,
    /// Where events are to be posted.
    pub url: String,
    /// Names of types; `None`: all, also those to come.
    pub events: Option<Vec<String>>,
    /// Names of agents; empty: all, also those to come.
    pub agents: Vec<String>,
    /// Whether events carry the hex HMAC-SHA256 of their body too (C-19).
    pub plain_signature: bool,
    /// Events in a second.
    pub per_second: u64,
    /// Milliseconds for one attempt.
    pub timeout_ms: u64,
    /// Milliseconds before the second.
    pub retry_first_ms: u64,
}

/// What is known of the world.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// Names of the other endpoints.
    pub others: Vec<&'a str>,
    /// Names of agents.
    pub agents: Vec<&'a str>,
    /// Whether the operator lets endpoints be on private networks.
    pub allow_private: bool,
}

/// Whether one more may be made beside `others`, those of `offhook.toml` counted too.
///
/// # Errors
/// `too_many_webhooks`.
pub fn may_add(others: usize) -> Result<(), Refusal> {
    if others < MAX_WEBHOOKS {
        return Ok(());
    }
    let message = format!("There are {MAX_WEBHOOKS} webhooks already, and there can be no more.");
    Err(Refusal::state("too_many_webhooks", message))
}

/// Whether secrets can be kept that are given over the API (SEC-01).
///
/// # Errors
/// `no_seal_key`.
pub fn may_seal(has_key: bool) -> Result<(), Refusal> {
    let message = "Webhooks that are made here keep their secret in the store, sealed with a key of the operator: \
        [store] seal_key in offhook.toml is not set.";
    if has_key { Ok(()) } else { Err(Refusal::state("no_seal_key", message)) }
}

/// Whether an endpoint may be changed over the API. `made_here`: it was made there.
///
/// # Errors
/// `in_file`.
pub fn may_change(made_here: bool) -> Result<(), Refusal> {
    let message = "This webhook stands in offhook.toml. Please change it there.";
    if made_here { Ok(()) } else { Err(Refusal::state("in_file", message)) }
}

/// Whether events may be sent to an endpoint again (BEYOND-46).
///
/// # Errors
/// `webhook_off`.
pub fn may_replay(is_on: bool) -> Result<(), Refusal> {
    let message = "This webhook is switched off. Please switch it on first.";
    if is_on { Ok(()) } else { Err(Refusal::state("webhook_off", message)) }
}

/// What an event said is not kept any more.
pub fn forgotten() -> Refusal {
    Refusal::state("forgotten", "What this event said is not kept any more, so it cannot be sent again.")
}

/// Why somebody switches an endpoint off, as it is kept.
///
/// # Errors
/// `reason`.
pub fn reason(text: &str) -> Result<String, Refusal> {
    let sound: String = text.trim().chars().filter(|c| !c.is_control()).collect();
    if !sound.is_empty() && sound.chars().count() <= MAX_REASON {
        return Ok(sound);
    }
    Err(Refusal::wrong("reason", "reason", format!("1 to {MAX_REASON} characters.")))
}

/// Whether there may be such an endpoint. `was`: what it was before; agents that it had may be gone by now.
///
/// # Errors
/// Every field that is wrong.
pub fn endpoint(wish: &Wish, was: Option<&Wish>, facts: &Facts<'_>) -> Result<(), Vec<Refusal>> {
    let mut wrong = Vec::new();
    wrong.extend(name(&wish.name).err());
    if facts.others.iter().any(|other| *other == wish.name) {
        wrong.push(Refusal::state("name_taken", "Another webhook has this name."));
    }
    wrong.extend(url(&wish.url, facts.allow_private).err());
    wrong.extend(wish.events.as_ref().and_then(|names| events(names).err()));
    wrong.extend(agents(wish, was, facts).err());
    let mut within = |field: &'static str, value: u64, range: std::ops::RangeInclusive<u64>| {
        if !range.contains(&value) {
            let message = format!("From {} to {}.", range.start(), range.end());
            wrong.push(Refusal::wrong("out_of_range", field, message));
        }
    };
    within("per_second", wish.per_second, 1..=MAX_EVENTS_PER_SECOND);
    within("timeout_ms", wish.timeout_ms, TIMEOUT_MS);
    within("retry_first_ms", wish.retry_first_ms, RETRY_FIRST_MS);
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

fn name(name: &str) -> Result<(), Refusal> {
    let sound = !name.trim().is_empty() && name.trim() == name && !name.chars().any(char::is_control);
    if sound && name.chars().count() <= MAX_NAME {
        return Ok(());
    }
    Err(Refusal::wrong("name", "name", format!("1 to {MAX_NAME} characters, no spaces at its ends.")))
}

/// Whether events may be posted there: by TLS, but to this machine; not into private networks, unless the operator lets them.
/// A name is held against that once more whenever it is resolved.
///
/// # Errors
/// `url`, `needs_https` or `private_address`.
pub fn url(text: &str, allow_private: bool) -> Result<(), Refusal> {
    let shape = || {
        Refusal::wrong("url", "url", "A URL such as https://crm.example.com/hooks, without a password or a fragment.")
    };
    let url = Url::parse(text).map_err(|_| shape())?;
    let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    if text.len() > MAX_URL || host.is_empty() || !bare {
        return Err(shape());
    }
    let address = host.parse::<IpAddr>().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return if matches!(url.scheme(), "http" | "https") { Ok(()) } else { Err(shape()) };
    }
    if url.scheme() != "https" {
        return Err(Refusal::wrong("needs_https", "url", "Webhooks need https."));
    }
    if !allow_private && address.is_some_and(|address| !is_public(address)) {
        let message =
            "This address is on a private network, which the operator does not allow ([deliveries] allow_private).";
        return Err(Refusal::wrong("private_address", "url", message));
    }
    Ok(())
}

/// The types of these names.
///
/// # Errors
/// `event_type`, with the list.
pub fn events(names: &[String]) -> Result<Vec<EventType>, Refusal> {
    let known = || EventType::ALL.map(EventType::name).join(", ");
    if names.is_empty() {
        let message = format!("Name at least one type, or leave the list out for all. There are {}.", known());
        return Err(Refusal::wrong("event_type", "events", message));
    }
    let mut found = Vec::new();
    for name in names {
        let Some(kind) = EventType::named(name) else {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
            let message = format!("There is no type \"{shown}\". There are {}.", known());
            return Err(Refusal::wrong("event_type", "events", message));
        };
        found.push(kind);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn agents(wish: &Wish, was: Option<&Wish>, facts: &Facts<'_>) -> Result<(), Refusal> {
    if wish.agents.len() > MAX_AGENTS {
        return Err(Refusal::wrong("agents", "agents", format!("{MAX_AGENTS} at most; leave the list out for all.")));
    }
    let had = |name: &String| was.is_some_and(|was| was.agents.contains(name));
    let unknown = wish.agents.iter().find(|name| !had(name) && !facts.agents.contains(&name.as_str()));
    match unknown {
        Some(name) => {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
            Err(Refusal::wrong("agent_unknown", "agents", format!("There is no agent \"{shown}\".")))
        }
        None => Ok(()),
    }
}

/// Whether events can be signed with a secret: `whsec_` and base64, or plain text.
///
/// # Errors
/// `secret`.
pub fn secret(text: &str) -> Result<(), Refusal> {
    let printable = text.bytes().all(|b| (0x21..0x7f).contains(&b));
    let bytes = match text.strip_prefix(SECRET_PREFIX).map(|key| STANDARD.decode_to_vec(key)) {
        Some(Ok(key)) => key.len(),
        Some(Err(_)) => 0,
        None => text.len(),
    };
    if printable && SECRET_BYTES.contains(&bytes) {
        return Ok(());
    }
    let message = format!(
        "{SECRET_PREFIX} and base64 of at least {0} bytes, or a text of at least {0} bytes without spaces. Leave it out, and one is made.",
        SECRET_BYTES.start()
    );
    Err(Refusal::wrong("secret", "secret", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish() -> Wish {
        Wish {
            name: "The CRM".to_owned(),
            url: "https://crm.example.com/hooks".to_owned(),
            events: None,
            agents: Vec::new(),
            plain_signature: false,
            per_second: 10,
            timeout_ms: 10_000,
            retry_first_ms: 5_000,
        }
    }

    #[test]
    fn hook_01_webhooks_need_https_but_on_this_machine_and_stay_out_of_private_networks() {
        for good in [
            "https://crm.example.com/",
            "http://localhost:8788",
            "http://127.0.0.1/x?y=z",
            "http://[::1]:1/",
            "https://1.1.1.1/",
        ] {
            assert_eq!(url(good, false), Ok(()), "{good}");
        }
        for plain in
            ["http://crm.example.com/", "http://10.0.0.1/", "ftp://crm.example.com/", "http://localhost.example.com"]
        {
            let refused = url(plain, true).expect_err(plain);
            assert_eq!((refused.status, refused.message.as_str()), (422, "Webhooks need https."), "{plain}");
        }
        for private in [
            "https://10.1.2.3/",
            "https://192.168.0.9:8443/",
            "https://[fd00::1]/",
            "https://169.254.169.254/",
            "https://0x0a.1/",
        ] {
            assert_eq!(url(private, false).expect_err(private).code, "private_address", "{private}");
            assert_eq!(url(private, true), Ok(()), "{private}");
        }
        for odd in [
            "",
            "crm.example.com",
            "https://",
            "https://ann:pass@crm.example.com/",
            "https://crm.example.com/#x",
            "mailto:a@b.example",
        ] {
            assert!(matches!(url(odd, true).expect_err(odd).code, "url" | "needs_https"), "{odd}");
        }
    }

    #[test]
    fn hook_01_there_are_sixteen_and_no_two_of_one_name() {
        assert_eq!(may_add(15), Ok(()));
        assert_eq!(may_add(16).expect_err("full").status, 409);
        let facts = Facts { others: vec!["The CRM"], ..Facts::default() };
        let refused = endpoint(&wish(), None, &facts).expect_err("taken");
        assert_eq!(refused.iter().map(|r| r.code).collect::<Vec<_>>(), ["name_taken"]);
    }

    #[test]
    fn hook_03_an_unknown_type_is_refused_with_the_list() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(events(&names(&["call.ended", "call.started", "call.ended"])).expect("known").len(), 2);
        for bad in [&["call.endet"][..], &["call.ended", ""], &[]] {
            let refused = events(&names(bad)).expect_err("unknown");
            assert_eq!((refused.status, refused.field), (422, Some("events")));
            for kind in EventType::ALL {
                assert!(refused.message.contains(kind.name()), "{}", refused.message);
            }
        }
    }

    #[test]
    fn every_field_that_is_wrong_is_told_at_once() {
        let facts = Facts { agents: vec!["mia"], ..Facts::default() };
        assert_eq!(endpoint(&wish(), None, &facts), Ok(()));
        let bad = Wish {
            name: " x".to_owned(),
            url: "http://x.example".to_owned(),
            events: Some(vec!["call".to_owned()]),
            agents: vec!["mia".to_owned(), "max".to_owned()],
            per_second: 0,
            timeout_ms: 1,
            retry_first_ms: 600_001,
            ..wish()
        };
        let fields: Vec<_> = endpoint(&bad, None, &facts).expect_err("wrong").into_iter().map(|r| r.field).collect();
        let all = ["name", "url", "events", "agents", "per_second", "timeout_ms", "retry_first_ms"];
        assert_eq!(fields, all.map(Some));
        // An agent that is gone meanwhile stands in nobody's way.
        let was = Wish { agents: vec!["max".to_owned()], ..wish() };
        assert_eq!(endpoint(&was, Some(&was), &facts), Ok(()));
    }

    #[test]
    fn a_secret_is_long_enough_and_one_that_says_it_is_base64_is() {
        for good in ["whsec_b2ZmaG9vayB0ZXN0IHNlY3JldCAwMTIzNDU2Nzg5", "sixteen-bytes-at"] {
            assert_eq!(secret(good), Ok(()), "{good}");
        }
        for bad in ["", "short", "whsec_%%%%", "whsec_c2hvcnQ=", "a secret with spaces in it", "sixteen-bytes-ät"] {
            assert_eq!(secret(bad).expect_err(bad).field, Some("secret"), "{bad}");
        }
        assert!(secret(&"x".repeat(1_025)).is_err());
    }
}
