//! Asking the carrier for a call. What matters is not only whether it says yes, but whether it was asked at all.

use crate::config::Twilio;
use crate::link::twilio::rest::{self, Listed, NewCall, RestErrorKind};

use super::Way;
use super::rest::{Answer, Rest};

/// A call as the carrier is asked for it.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Order(NewCall);

impl Order {
    /// From a number of ours `to` another, as `way` leads to us: it rings for `ring_s` and is ended after `time_limit_s`
    /// (`None`: the carrier's own limit). `detects`: the carrier says who picks up.
    pub(in crate::serve) fn new(
        way: &Way,
        from: String,
        to: String,
        ring_s: u64,
        time_limit_s: Option<u64>,
        detects: bool,
    ) -> Self {
        Order(NewCall {
            to,
            from,
            url: way.of_call("voice"),
            status_callback: way.of_call("call-status"),
            ring_s,
            time_limit_s,
            answered_by_callback: detects.then(|| way.of_call("amd")),
        })
    }

    pub(in crate::serve) fn ring_s(&self) -> u64 {
        self.0.ring_s
    }
}

/// A call that the carrier has.
#[derive(Debug)]
pub(in crate::serve) struct Known {
    /// As the carrier names it.
    pub(in crate::serve) name: String,
    /// How it is, in the carrier's word.
    pub(in crate::serve) status: String,
}

impl From<Listed> for Known {
    fn from(call: Listed) -> Self {
        Known { name: call.sid, status: call.status }
    }
}

/// The carrier's REST API.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Carrier(Rest);

/// What came of asking for a call.
#[derive(Debug)]
pub(in crate::serve) enum Asked {
    /// The carrier has it.
    Placed(Known),
    /// There is certainly no call. `retry`: asking again can help. Two ways to say why: the second fit for logs.
    NotPlaced { why: String, brief: String, retry: bool },
    /// There may be one.
    Unknown { why: String },
}

impl Carrier {
    pub(in crate::serve) fn new(client: reqwest::Client, twilio: Twilio) -> Self {
        Carrier(Rest::new(client, twilio))
    }

    pub(in crate::serve) async fn create(&self, Order(call): &Order) -> Asked {
        let answer = match self.0.account() {
            Ok(account) => self.0.send(&rest::create_call(account, call)).await,
            Err(why) => Answer::Unsent(why),
        };
        match answer {
            Answer::Unsent(why) => Asked::NotPlaced { brief: why.clone(), why, retry: true },
            Answer::Lost(why) => Asked::Unknown { why },
            Answer::Here(status, body) => match rest::created(status, &body) {
                Ok(call) => Asked::Placed(call.into()),
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
    pub(in crate::serve) async fn find(&self, Order(call): &Order, since_s: u64) -> Result<Vec<Known>, String> {
        match self.0.send(&rest::list_calls(self.0.account()?, &call.to, &call.from)).await {
            Answer::Here(status, body) => {
                let listed = rest::listed(status, &body).map_err(|error| error.brief())?;
                let recent = |call: &Listed| call.created_s.is_none_or(|at| at + CLOCKS_DIFFER_S >= since_s);
                let ours = listed.into_iter().filter(|call| recent(call) && call.direction != "inbound");
                Ok(ours.map(Known::from).collect())
            }
            Answer::Unsent(why) | Answer::Lost(why) => Err(why),
        }
    }

    /// How a call is.
    pub(in crate::serve) async fn status(&self, sid: &str) -> Result<String, String> {
        match self.0.send(&rest::fetch_call(self.0.account()?, sid)).await {
            Answer::Here(status, body) => {
                rest::one_call(status, &body).map(|call| call.status).map_err(|error| error.brief())
            }
            Answer::Unsent(why) | Answer::Lost(why) => Err(why),
        }
    }

    /// Takes a call back; one that was answered meanwhile is ended.
    pub(in crate::serve) async fn cancel(&self, sid: &str) -> Result<(), String> {
        let account = self.0.account()?;
        for request in [rest::cancel(account, sid), rest::hang_up(account, sid)] {
            match self.0.send(&request).await {
                // An answered call cannot be canceled, which the carrier may also say by leaving it as it is.
                Answer::Here(status, body) if (200..300).contains(&status) => {
                    if rest::one_call(status, &body).is_ok_and(|call| call.status == "in-progress") {
                        continue;
                    }
                    return Ok(());
                }
                Answer::Here(status, body) => {
                    if rest::outcome_of(self.0.manner(), status, &body).is_err() {
                        return Err(format!("HTTP {status}"));
                    }
                }
                Answer::Unsent(why) | Answer::Lost(why) => return Err(why),
            }
        }
        Ok(())
    }
}

/// Our clock and the carrier's may disagree by this much.
const CLOCKS_DIFFER_S: u64 = 30;
