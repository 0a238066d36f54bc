//! What only the carrier can do: end a call, or put it through to somebody else.

use std::time::Duration;

use crate::config::Twilio;
use crate::engine::{Effect, EffectResult};
use crate::link::twilio::rest::{self, RestRequest};
use crate::link::twilio::twiml;

/// The carrier's REST API as one call uses it.
#[derive(Clone, Debug)]
pub(super) struct Carrier {
    client: reqwest::Client,
    twilio: Twilio,
    carrier_call: String,
}

/// How an effect came out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// For the engine.
    Ended(EffectResult),
    /// The carrier could not be asked; closing our socket ends the call too, since the TwiML then hangs up.
    CloseInstead,
    /// The carrier says that there is no such call any more.
    CallOver,
}

impl Carrier {
    pub(super) fn new(client: reqwest::Client, twilio: Twilio, carrier_call: String) -> Self {
        Carrier { client, twilio, carrier_call }
    }

    /// Carries out an effect; `lent` is the TwiML for one after which the line comes back. Within the time for one request and its one repetition.
    pub(super) async fn run(self, effect: Effect, lent: Option<String>) -> Outcome {
        match &effect {
            Effect::HangUp => match self.ask(|account| rest::hang_up(account, &self.carrier_call)).await {
                Ok(_) => Outcome::Ended(EffectResult::Done),
                Err(Failed { brief, .. }) => {
                    tracing::debug!(why = brief, "hanging up by closing the stream");
                    Outcome::CloseInstead
                }
            },
            // Other servers are asked by others.
            Effect::Tool { .. } | Effect::Fetch => Outcome::Ended(EffectResult::Failed("not there yet".to_owned())),
            Effect::Transfer { .. } | Effect::SendDtmf(_) => {
                let twiml = match (lent, &effect) {
                    (Some(twiml), _) => twiml,
                    (None, Effect::Transfer { to, .. }) => twiml::dial(to),
                    // The call is being let go of.
                    (None, _) => return Outcome::Ended(EffectResult::Failed("the line cannot come back".to_owned())),
                };
                match self.ask(|account| rest::transfer(account, &self.carrier_call, twiml.clone())).await {
                    Ok(Said::Done) => Outcome::Ended(EffectResult::Done),
                    Ok(Said::CallOver) => Outcome::CallOver,
                    Err(Failed { why, brief, done, .. }) => {
                        tracing::warn!(why = brief, "the carrier did not take the line, or does not say so");
                        Outcome::Ended(match done {
                            Done::No => EffectResult::Failed(why),
                            Done::Perhaps => EffectResult::Unknown(why),
                        })
                    }
                }
            }
        }
    }

    /// Asks, and once more if that can help and does nothing twice.
    async fn ask(&self, request: impl Fn(&str) -> RestRequest) -> Result<Said, Failed> {
        let (Some(account), Some(token)) = (&self.twilio.account_sid, &self.twilio.auth_token) else {
            return Err(Failed::ours("twilio.account_sid and twilio.auth_token are not both set".to_owned()));
        };
        let request = request(account);
        let mut again = true;
        loop {
            let failed = match self.once(account, token.expose(), &request).await {
                Ok(said) => return Ok(said),
                Err(failed) => failed,
            };
            // Ending a call twice is ending it; keys that are pressed twice are other keys.
            let harmless = failed.done == Done::No || request.form.iter().any(|(name, _)| *name == "Status");
            if !(again && failed.retry && harmless) {
                return Err(failed);
            }
            again = false;
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    async fn once(&self, account: &str, token: &str, request: &RestRequest) -> Result<Said, Failed> {
        let url = format!("{}{}", self.twilio.rest_url, request.path);
        let url = reqwest::Url::parse_with_params(&url, std::iter::empty::<(&str, &str)>())
            .map_err(|error| Failed::ours(format!("twilio.rest_url: {error}")))?;
        let method = reqwest::Method::from_bytes(request.method.as_bytes()).unwrap_or(reqwest::Method::POST);
        let mut answer = self
            .client
            .request(method, url)
            .basic_auth(account, Some(token))
            .timeout(Duration::from_millis(self.twilio.rest_timeout_ms))
            .form(&request.form)
            .send()
            .await
            .map_err(Failed::transport)?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(Failed::transport)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER_BYTES {
                break;
            }
        }
        rest::outcome(status, &body).map_err(|error| Failed {
            why: error.to_string(),
            brief: error.brief(),
            retry: error.retry(),
            done: if status >= 500 { Done::Perhaps } else { Done::No },
        })?;
        Ok(if (200..300).contains(&status) { Said::Done } else { Said::CallOver })
    }
}

/// What the carrier said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Done,
    /// There was no such call, or it was over already.
    CallOver,
}

/// Whether what failed may have been done all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    No,
    Perhaps,
}

/// The answer's code is near its beginning; the rest of a long page is of no interest.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// The carrier asks for a pause when it is busy; the caller waits in silence meanwhile.
const RETRY_AFTER: Duration = Duration::from_millis(500);

struct Failed {
    /// For the report.
    why: String,
    /// For the log: without the carrier's own words.
    brief: String,
    retry: bool,
    done: Done,
}

impl Failed {
    fn transport(error: reqwest::Error) -> Failed {
        // The URL holds the account; it adds nothing to the reason.
        let done = if error.is_connect() || error.is_builder() { Done::No } else { Done::Perhaps };
        Failed { done, ..Failed::ours(format!("the carrier cannot be reached: {}", error.without_url())) }
    }

    /// Words of our own, which asking again does not change.
    fn ours(why: String) -> Failed {
        Failed { brief: why.clone(), why, retry: false, done: Done::No }
    }
}

/// The HTTP client for all calls of a server.
pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    super::tls::http_client().build()
}
