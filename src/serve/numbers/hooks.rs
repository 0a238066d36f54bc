//! Where a number's calls go: to this server, with the carrier's own document for when it is down (NUM-07, BEYOND-08).

use crate::config::Config;
use crate::house::Refusal;
use crate::house::numbers::refused;
use crate::link::twilio::rest::numbers::{Hooks, Owned};

use super::carrier::{Carrier, Failed};

/// URLs to be copied into the console of a carrier that is not asked by this server (NUM-14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Urls {
    /// Asked what to do with a call.
    pub voice_url: String,
    /// Told when a call is over.
    pub status_callback: String,
    /// Asked when `voice_url` fails; `None`: nothing is set for that (`fallback_url` of `[twilio]`).
    pub fallback_url: Option<String>,
}

/// Where calls of our numbers go. `own`: where this server listens.
///
/// # Errors
/// `public_url`: the carrier could not reach it.
pub(super) fn urls(config: &Config, own: Option<&str>) -> Result<Urls, Refusal> {
    let rehearsal = ["http://127.", "http://localhost", "http://[::1]"];
    let rehearsal = rehearsal.iter().any(|own| config.server.twilio.rest_url.starts_with(own));
    let base = config.server.public_url.as_deref().or(own.filter(|_| rehearsal)).ok_or_else(|| {
        let message = "public_url in offhook.toml is needed: the carrier asks there what to do with calls.";
        refused("public_url", 409, message)
    })?;
    Ok(Urls {
        voice_url: format!("{base}/twilio/voice"),
        status_callback: format!("{base}/twilio/call-status"),
        fallback_url: config.server.twilio.fallback_url.clone(),
    })
}

impl Urls {
    pub(super) fn hooks(&self) -> Hooks {
        Hooks {
            voice_url: self.voice_url.clone(),
            fallback_url: self.fallback_url.clone().unwrap_or_default(),
            status_callback: self.status_callback.clone(),
        }
    }
}

/// Has a number's calls go here; `None`: nowhere.
///
/// # Errors
/// The carrier refuses, or has something before what was set.
pub(super) async fn set(carrier: &Carrier, sid: &str, urls: Option<&Urls>) -> Result<Owned, Failed> {
    let wanted = urls.map(Urls::hooks).unwrap_or_default();
    let owned = carrier.set_hooks(sid, &wanted).await?;
    match differs(&owned, urls, urls.is_some()) {
        None => Ok(owned),
        // Read back: what goes before it, or was never set, would take the calls.
        Some(why) => {
            let refusal = refused("carrier_refused", 409, format!("The carrier did not set the webhook: {why}."));
            Err(Failed { brief: refusal.message.clone(), refusal, unknown: false, absent: false })
        }
    }
}

/// How a number's webhooks are other than they should be, in words (NUM-13). `assigned`: a deployment has it; one in the pool may lead
/// here, where it hears that it is not in service, or nowhere.
pub(super) fn differs(owned: &Owned, urls: Option<&Urls>, assigned: bool) -> Option<String> {
    if !owned.diverted.is_empty() {
        return Some("an application or a trunk goes before its webhook".to_owned());
    }
    if !assigned {
        let ours = urls.is_some_and(|urls| same(&owned.voice_url, &urls.voice_url));
        let free = owned.voice_url.is_empty() || ours;
        return (!free).then(|| format!("nobody has it here, and its calls go to {}", owned.voice_url));
    }
    let urls = urls?;
    let expected = [
        ("calls", &owned.voice_url, urls.voice_url.as_str()),
        ("calls go, when that fails,", &owned.fallback_url, urls.fallback_url.as_deref().unwrap_or_default()),
        ("ends of calls are told", &owned.status_callback, urls.status_callback.as_str()),
    ];
    let (what, is, _) = expected.into_iter().find(|(_, is, wanted)| !same(is, wanted))?;
    let is = if is.is_empty() { "nobody" } else { is };
    Some(match what {
        "calls" => format!("its calls go to {is}"),
        what => format!("its {what} to {is}"),
    })
}

/// Whether two URLs are one: a host has no case.
fn same(a: &str, b: &str) -> bool {
    let parsed = |text: &str| reqwest::Url::parse(text).map(String::from).unwrap_or_else(|_| text.to_owned());
    a == b || parsed(a) == parsed(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls() -> Urls {
        Urls {
            voice_url: "https://h.example/twilio/voice".to_owned(),
            status_callback: "https://h.example/twilio/call-status".to_owned(),
            fallback_url: None,
        }
    }

    #[test]
    fn num_13_a_webhook_that_points_elsewhere_is_told_in_words() {
        let urls = urls();
        let set = Owned {
            voice_url: "https://H.example:443/twilio/voice".to_owned(),
            status_callback: urls.status_callback.clone(),
            ..Owned::default()
        };
        assert_eq!(differs(&set, Some(&urls), true), None);
        let elsewhere = Owned { voice_url: "https://other.example/".to_owned(), ..set.clone() };
        let told = differs(&elsewhere, Some(&urls), true);
        assert_eq!(told.as_deref(), Some("its calls go to https://other.example/"));
        let none = Owned { voice_url: String::new(), ..set.clone() };
        assert_eq!(differs(&none, Some(&urls), true).as_deref(), Some("its calls go to nobody"));
        let trunk = Owned { diverted: "TK1".to_owned(), ..set.clone() };
        assert!(differs(&trunk, Some(&urls), true).is_some_and(|why| why.contains("trunk")));
        let failing = Owned { fallback_url: "https://x.example/".to_owned(), ..set.clone() };
        assert!(differs(&failing, Some(&urls), true).is_some_and(|why| why.contains("when that fails")));
        // In the pool.
        assert_eq!((differs(&set, Some(&urls), false), differs(&none, Some(&urls), false)), (None, None));
        assert!(differs(&elsewhere, Some(&urls), false).is_some());
    }
}
