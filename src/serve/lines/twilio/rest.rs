//! Asking the carrier's REST API. What matters is not only what it says, but whether it was asked at all.

use std::time::Duration;

use crate::config::{CarrierProfile, Twilio};
use crate::link::twilio::manner::{self, Manner};
use crate::link::twilio::rest::{Host, RestRequest};
use crate::output::words;

/// The longest answer that is read: fifty calls have a tenth.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// The API, with the account's credentials.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Rest {
    client: reqwest::Client,
    twilio: Twilio,
}

/// What came of a request.
pub(in crate::serve) enum Answer {
    /// HTTP status and body.
    Here(u16, Vec<u8>),
    /// It did not reach the carrier.
    Unsent(String),
    /// It may have reached the carrier.
    Lost(String),
}

impl Rest {
    pub(in crate::serve) fn new(client: reqwest::Client, twilio: Twilio) -> Self {
        Rest { client, twilio }
    }

    /// The account, if it and its token are known.
    pub(in crate::serve) fn account(&self) -> Result<&str, String> {
        let unset = "twilio.account_sid and twilio.auth_token in offhook.toml are not both set";
        match (&self.twilio.account_sid, &self.twilio.auth_token) {
            (Some(account), Some(_)) => Ok(account),
            _ => Err(unset.to_owned()),
        }
    }

    /// Whose it is.
    pub(in crate::serve) fn profile(&self) -> CarrierProfile {
        self.twilio.profile
    }

    /// What it has otherwise than Twilio.
    pub(in crate::serve) fn manner(&self) -> &'static Manner {
        manner::of(self.twilio.profile)
    }

    /// How long a request may take that is not given more.
    pub(in crate::serve) fn limit(&self) -> Duration {
        Duration::from_millis(self.twilio.rest_timeout_ms)
    }

    pub(in crate::serve) async fn send(&self, request: &RestRequest) -> Answer {
        self.send_within(request, self.limit()).await
    }

    /// The same for what the carrier may take longer for.
    pub(in crate::serve) async fn send_within(&self, request: &RestRequest, limit: Duration) -> Answer {
        let url = format!("{}{}", base(&self.twilio.rest_url, request.host), request.path);
        let builder = match request.method {
            "GET" if request.form.is_empty() => self.client.get(url),
            "GET" => self.client.get(url).query(&request.form),
            "DELETE" => self.client.delete(url),
            _ => self.client.post(url).form(&request.form),
        };
        let token = self.twilio.auth_token.as_ref().map(|token| token.expose());
        let builder = builder.basic_auth(self.twilio.account_sid.as_deref().unwrap_or_default(), token).timeout(limit);
        // The URL holds the account; it adds nothing to the reason.
        let why = |error: reqwest::Error| format!("the carrier cannot be reached: {}", words::of(&error.without_url()));
        let mut answer = match builder.send().await {
            Ok(answer) => answer,
            Err(error) if error.is_connect() || error.is_builder() => return Answer::Unsent(why(error)),
            Err(error) => return Answer::Lost(why(error)),
        };
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Answer::Here(status, body),
                Err(error) => return Answer::Lost(why(error)),
            }
            if body.len() > MAX_ANSWER_BYTES {
                return Answer::Lost(format!("the carrier's answer has more than {MAX_ANSWER_BYTES} bytes"));
            }
        }
    }
}

/// Where a host is, by where the API is: beside it at the carrier, and at the same place wherever else that is.
fn base(api: &str, host: Host) -> String {
    let name = match host {
        Host::Api => return api.to_owned(),
        Host::Numbers => "numbers",
        Host::Pricing => "pricing",
    };
    match api.strip_prefix("https://api.") {
        Some(rest) if rest == "twilio.com" || rest.ends_with(".twilio.com") => format!("https://{name}.twilio.com"),
        _ => api.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_carriers_other_hosts_stand_beside_its_api_and_a_stand_in_is_all_of_them() {
        for (api, host, wanted) in [
            ("https://api.twilio.com", Host::Api, "https://api.twilio.com"),
            ("https://api.twilio.com", Host::Numbers, "https://numbers.twilio.com"),
            ("https://api.dublin.ie1.twilio.com", Host::Pricing, "https://pricing.twilio.com"),
            ("http://127.0.0.1:9", Host::Numbers, "http://127.0.0.1:9"),
            ("https://api.twilio.com.evil.test", Host::Numbers, "https://api.twilio.com.evil.test"),
        ] {
            assert_eq!(base(api, host), wanted);
        }
    }
}
