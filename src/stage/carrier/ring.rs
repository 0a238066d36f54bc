//! A call that comes in: it goes where the number's configuration sends it at that moment.

use super::Exchange;
use crate::stage::phone::webhook::Server;

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rung {
    /// The account has no such number.
    NoNumber,
    /// An application or a trunk has it.
    Diverted,
    /// Nobody is asked.
    Nowhere,
    /// The carrier's own demonstration.
    Demo,
    /// What was asked in the end, and the document that it gave.
    Asked {
        /// The URL.
        url: String,
        /// Its document.
        twiml: String,
    },
    /// Nobody who was asked has answered.
    Failed,
}

impl Exchange {
    /// Somebody calls a number: its voice webhook is asked, its fallback when that fails, and told when it is over.
    pub async fn ring(&self, number: &str, from: &str) -> Rung {
        let found = {
            let shop = self.shop();
            let owned = shop.market.owned.iter().find(|owned| owned.number.number == number).cloned();
            owned.and_then(|owned| {
                let key = shop.signing.clone().or_else(|| shop.accounts.get(&owned.account).cloned());
                Some((key?, shop.profile, owned))
            })
        };
        let Some((token, profile, owned)) = found else { return Rung::NoNumber };
        if ["VoiceApplicationSid", "TrunkSid"].iter().any(|name| !owned.get(name).is_empty()) {
            return Rung::Diverted;
        }
        let voice = owned.get("VoiceUrl");
        if voice.is_empty() {
            return Rung::Nowhere;
        }
        if voice.starts_with("https://demo.twilio.com/") {
            return Rung::Demo;
        }
        let sid = crate::stage::phone::stamps::new_id(profile, "CA");
        let fields = |status: &str| -> Vec<(String, String)> {
            [
                ("CallSid", sid.as_str()),
                ("AccountSid", owned.account.as_str()),
                ("From", from),
                ("To", number),
                ("CallStatus", status),
                ("Direction", "inbound"),
                ("ApiVersion", "2010-04-01"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
        };
        let mut rung = Rung::Failed;
        for url in [voice, owned.get("VoiceFallbackUrl")].into_iter().filter(|url| !url.is_empty()) {
            let Ok(server) = Server::new("", None, Some(token.clone()), None) else { return Rung::Failed };
            match server.signing_as(profile).post(url, &fields("ringing")).await {
                Ok(answer) if (200..300).contains(&answer.status) => {
                    rung = Rung::Asked { url: url.to_owned(), twiml: answer.body };
                    break;
                }
                _ => {}
            }
        }
        let callback = owned.get("StatusCallback");
        if !callback.is_empty()
            && let Ok(server) = Server::new("", None, Some(token), None)
        {
            // It is told once, and nobody waits for what it says.
            let _ = server.signing_as(profile).post(callback, &fields("completed")).await;
        }
        rung
    }
}
