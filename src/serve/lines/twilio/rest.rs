//! Asking the carrier's REST API. What matters is not only what it says, but whether it was asked at all.

use std::time::Duration;

use crate::config::Twilio;
use crate::link::twilio::rest::RestRequest;
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

    pub(in crate::serve) async fn send(&self, request: &RestRequest) -> Answer {
        let url = format!("{}{}", self.twilio.rest_url, request.path);
        let builder = match request.method {
            "GET" => self.client.get(url).query(&request.form),
            _ => self.client.post(url).form(&request.form),
        };
        let token = self.twilio.auth_token.as_ref().map(|token| token.expose());
        let builder = builder
            .basic_auth(self.twilio.account_sid.as_deref().unwrap_or_default(), token)
            .timeout(Duration::from_millis(self.twilio.rest_timeout_ms));
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
