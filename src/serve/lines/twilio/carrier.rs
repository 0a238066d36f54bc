//! What only the carrier can do with a call: end it, or take its line.

use std::time::Duration;

use crate::config::Twilio;
use crate::engine::EffectResult;
use crate::link::twilio::rest::{self, RestRequest};

use crate::serve::lines::twilio::rest::{Answer, Rest};

/// The carrier asks for a pause when it is busy; the caller waits in silence meanwhile.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The carrier's REST API as one call uses it.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Carrier {
    rest: Rest,
    carrier_call: String,
}

/// How an effect came out.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::serve) enum Outcome {
    /// For the engine.
    Ended(EffectResult),
    /// The carrier could not be asked; closing our socket ends the call too, since the carrier then asks us and is told to hang up.
    CloseInstead,
    /// The carrier says that there is no such call any more.
    CallOver,
}

impl Carrier {
    pub(in crate::serve) fn new(client: reqwest::Client, twilio: Twilio, carrier_call: String) -> Self {
        Carrier { rest: Rest::new(client, twilio), carrier_call }
    }

    /// Ends the call. To end it twice is to end it, so it is asked again also when nobody knows whether it did.
    pub(in crate::serve) async fn hang_up(self) -> Outcome {
        match self.ask(|account| rest::hang_up(account, &self.carrier_call), true).await {
            Ok(_) => Outcome::Ended(EffectResult::Done),
            Err(Failed { brief, .. }) => {
                tracing::debug!(why = brief, "hanging up by closing the stream");
                Outcome::CloseInstead
            }
        }
    }

    /// Takes the line from its stream and runs `twiml`. Never done twice: keys that are pressed twice are other keys.
    pub(in crate::serve) async fn take_line(self, twiml: String) -> Outcome {
        match self.ask(|account| rest::transfer(account, &self.carrier_call, twiml.clone()), false).await {
            Ok(Said::Done) => Outcome::Ended(EffectResult::Done),
            Ok(Said::CallOver) => Outcome::CallOver,
            Err(Failed { why, brief, perhaps_done, .. }) => {
                tracing::warn!(why = brief, "the carrier did not take the line, or does not say so");
                let result = if perhaps_done { EffectResult::Unknown(why) } else { EffectResult::Failed(why) };
                Outcome::Ended(result)
            }
        }
    }

    /// Asks, and once more if that can help. `twice`: it may be done twice.
    async fn ask(&self, request: impl Fn(&str) -> RestRequest, twice: bool) -> Result<Said, Failed> {
        let request = request(self.rest.account().map_err(|why| Failed::ours(why, false))?);
        let mut again = true;
        loop {
            let failed = match self.once(&request).await {
                Ok(said) => return Ok(said),
                Err(failed) => failed,
            };
            if !(again && failed.retry && (twice || !failed.perhaps_done)) {
                return Err(failed);
            }
            again = false;
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    async fn once(&self, request: &RestRequest) -> Result<Said, Failed> {
        let (status, body) = match self.rest.send(request).await {
            Answer::Here(status, body) => (status, body),
            Answer::Unsent(why) => return Err(Failed::ours(why, false)),
            Answer::Lost(why) => return Err(Failed::ours(why, true)),
        };
        rest::outcome(status, &body).map_err(|error| Failed {
            why: error.to_string(),
            brief: error.brief(),
            retry: error.retry(),
            perhaps_done: status >= 500,
        })?;
        Ok(if (200..300).contains(&status) { Said::Done } else { Said::CallOver })
    }
}

/// What the carrier said.
enum Said {
    Done,
    /// There was no such call, or it was over already.
    CallOver,
}

struct Failed {
    /// For the report.
    why: String,
    /// For the log: without the carrier's own words.
    brief: String,
    retry: bool,
    perhaps_done: bool,
}

impl Failed {
    /// Words of our own, which asking again does not change.
    fn ours(why: String, perhaps_done: bool) -> Failed {
        Failed { brief: why.clone(), why, retry: false, perhaps_done }
    }
}
