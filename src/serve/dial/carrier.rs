//! Asking the carrier for a call. What matters is not only whether it says yes, but whether it was asked at all.

use std::time::Duration;

use crate::config::Twilio;
use crate::link::twilio::rest::{self, Listed, NewCall, RestErrorKind, RestRequest};

/// The carrier's REST API.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Carrier {
    client: reqwest::Client,
    twilio: Twilio,
}

/// What came of asking for a call.
#[derive(Debug)]
pub(super) enum Asked {
    /// The carrier has it.
    Placed(Listed),
    /// There is certainly no call. `retry`: asking again can help. Two ways to say why: the second fit for logs.
    NotPlaced { why: String, brief: String, retry: bool },
    /// There may be one.
    Unknown { why: String },
}

/// An answer in more than one piece of news.
enum Answer {
    Here(u16, Vec<u8>),
    /// It did not reach the carrier.
    Unsent(String),
    /// It may have reached the carrier.
    Lost(String),
}

/// The longest answer that is read: fifty calls have a tenth.
const MAX_ANSWER_BYTES: usize = 1 << 20;

impl Carrier {
    pub(in crate::serve) fn new(client: reqwest::Client, twilio: Twilio) -> Self {
        Carrier { client, twilio }
    }

    pub(super) async fn create(&self, call: &NewCall) -> Asked {
        let answer = match self.account() {
            Ok(account) => self.send(&rest::create_call(account, call)).await,
            Err(why) => Answer::Unsent(why),
        };
        match answer {
            Answer::Unsent(why) => Asked::NotPlaced { brief: why.clone(), why, retry: true },
            Answer::Lost(why) => Asked::Unknown { why },
            Answer::Here(status, body) => match rest::created(status, &body) {
                Ok(call) => Asked::Placed(call),
                // It may have failed after the call was placed.
                Err(error) if error.kind == RestErrorKind::Carrier => Asked::Unknown { why: error.to_string() },
                Err(error) => Asked::NotPlaced {
                    why: error.to_string(),
                    brief: error.brief(),
                    retry: error.kind != RestErrorKind::Refused,
                },
            },
        }
    }

    /// Calls between these numbers that were made since then, the newest first.
    pub(super) async fn find(&self, call: &NewCall, since_s: u64) -> Result<Vec<Listed>, String> {
        match self.send(&rest::list_calls(self.account()?, &call.to, &call.from)).await {
            Answer::Here(status, body) => {
                let listed = rest::listed(status, &body).map_err(|error| error.brief())?;
                let recent = |call: &Listed| call.created_s.is_none_or(|at| at + CLOCKS_DIFFER_S >= since_s);
                Ok(listed.into_iter().filter(|call| recent(call) && call.direction != "inbound").collect())
            }
            Answer::Unsent(why) | Answer::Lost(why) => Err(why),
        }
    }

    /// How a call is.
    pub(super) async fn status(&self, sid: &str) -> Result<String, String> {
        match self.send(&rest::fetch_call(self.account()?, sid)).await {
            Answer::Here(status, body) => {
                rest::one_call(status, &body).map(|call| call.status).map_err(|error| error.brief())
            }
            Answer::Unsent(why) | Answer::Lost(why) => Err(why),
        }
    }

    /// Takes a call back; one that was answered meanwhile is ended.
    pub(super) async fn cancel(&self, sid: &str) -> Result<(), String> {
        let account = self.account()?;
        for request in [rest::cancel(account, sid), rest::hang_up(account, sid)] {
            match self.send(&request).await {
                // An answered call cannot be canceled, which the carrier may also say by leaving it as it is.
                Answer::Here(status, body) if (200..300).contains(&status) => {
                    if rest::one_call(status, &body).is_ok_and(|call| call.status == "in-progress") {
                        continue;
                    }
                    return Ok(());
                }
                Answer::Here(status, body) => {
                    if rest::outcome(status, &body).is_err() {
                        return Err(format!("HTTP {status}"));
                    }
                }
                Answer::Unsent(why) | Answer::Lost(why) => return Err(why),
            }
        }
        Ok(())
    }

    fn account(&self) -> Result<&str, String> {
        let unset = "twilio.account_sid and twilio.auth_token in offhook.toml are not both set";
        match (&self.twilio.account_sid, &self.twilio.auth_token) {
            (Some(account), Some(_)) => Ok(account),
            _ => Err(unset.to_owned()),
        }
    }

    async fn send(&self, request: &RestRequest) -> Answer {
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
        let words = |error: reqwest::Error| format!("the carrier cannot be reached: {}", error.without_url());
        let mut answer = match builder.send().await {
            Ok(answer) => answer,
            Err(error) if error.is_connect() || error.is_builder() => return Answer::Unsent(words(error)),
            Err(error) => return Answer::Lost(words(error)),
        };
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Answer::Here(status, body),
                Err(error) => return Answer::Lost(words(error)),
            }
            if body.len() > MAX_ANSWER_BYTES {
                return Answer::Lost(format!("the carrier's answer has more than {MAX_ANSWER_BYTES} bytes"));
            }
        }
    }
}

/// Our clock and the carrier's may disagree by this much.
const CLOCKS_DIFFER_S: u64 = 30;
