//! What only the carrier can do with a call: end it, take its line, connect its streams to us.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Twilio;
use crate::engine::EffectResult;
use crate::link::twilio::rest::{self, RestRequest};
use crate::link::twilio::twiml;
use crate::serve::lines::{Errand, Outcome};

use super::documents::Documents;
use super::rest::{Answer, Rest};
use super::{Twiml, Way};

/// The carrier asks for a pause when it is busy; the caller waits in silence meanwhile.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// See [`super::super::Carrier`].
pub(in crate::serve) struct Carrier {
    way: Way,
    asker: Asker,
}

/// The carrier's REST API as one call uses it.
#[derive(Clone, Debug)]
struct Asker {
    rest: Rest,
    carrier_call: String,
    /// For carriers that take no document itself, and where those ask.
    documents: Arc<Documents>,
    place: String,
}

impl Carrier {
    /// The carrier of a call, and the way by which its streams come to us.
    pub(in crate::serve) fn new(
        way: Way,
        client: reqwest::Client,
        twilio: Twilio,
        carrier_call: String,
        documents: Arc<Documents>,
    ) -> Self {
        let place = way.document();
        Carrier { way, asker: Asker { rest: Rest::new(client, twilio), carrier_call, documents, place } }
    }

    pub(in crate::serve::lines) fn leads_back(&self) -> bool {
        self.way.leads_back()
    }

    pub(in crate::serve::lines) fn connect(&self, token: &str) -> Twiml {
        self.way.connect(token)
    }

    pub(in crate::serve::lines) fn hang_up(&self) -> Errand {
        Box::pin(self.asker.clone().hang_up())
    }

    pub(in crate::serve::lines) fn put_through(&self, to: &str, back_after_s: Option<u64>) -> Errand {
        let twiml = match back_after_s {
            Some(ring_s) => self.way.dial(to, ring_s),
            None => twiml::dial(to),
        };
        Box::pin(self.asker.clone().take_line(twiml))
    }

    pub(in crate::serve::lines) fn press(&self, digits: &str, token: &str) -> Errand {
        Box::pin(self.asker.clone().take_line(self.way.press(digits, token)))
    }
}

impl Asker {
    /// Ends the call. To end it twice is to end it, so it is asked again also when nobody knows whether it did.
    async fn hang_up(self) -> Outcome {
        match self.ask(|account| rest::hang_up(account, &self.carrier_call), true).await {
            Ok(_) => Outcome::Ended(EffectResult::Done),
            Err(Failed { brief, .. }) => {
                tracing::debug!(why = brief, "hanging up by closing the stream");
                Outcome::CloseInstead
            }
        }
    }

    /// Takes the line from its stream and runs `twiml`. Never done twice: keys that are pressed twice are other keys.
    async fn take_line(self, twiml: String) -> Outcome {
        let itself = self.rest.manner().takes_documents;
        if !itself {
            self.documents.put(&self.carrier_call, twiml.clone(), Instant::now());
        }
        let request = |account: &str| match itself {
            true => rest::transfer(account, &self.carrier_call, twiml.clone()),
            false => rest::transfer_by_url(account, &self.carrier_call, self.place.clone()),
        };
        match self.ask(request, false).await {
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
        rest::outcome_of(self.rest.manner(), status, &body).map_err(|error| Failed {
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
