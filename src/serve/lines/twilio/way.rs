//! A line that is away, lent to the carrier or broken off: how it finds back to its call.
//!
//! A stream in place has its way back prepared: a fresh token, which the carrier is given when it asks what to do now that the
//! stream is over. Once the call is being ended there is none, and the answer is to hang up.

use std::time::{Duration, Instant};

use axum::http::Uri;
use tokio::sync::oneshot;

use crate::config::Limits;
use crate::engine::Effect;
use crate::link::twilio::twiml;

use crate::serve::Shared;
use crate::serve::public::Public;
use crate::serve::ways_in::twilio::media::Claim;
use crate::serve::ways_in::twilio::webhook::TOKEN;

/// Beyond the time that the line may be away, for the carrier to open the stream again.
const RETURN: Duration = Duration::from_secs(60);

/// How long a token is good that nobody has been given yet: longer than any call.
const UNASKED: Duration = Duration::from_secs(7 * 24 * 3_600);

/// What a call's stream is connected by.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Way {
    public: Public,
    call: String,
    /// A stream that is over leads back to us.
    leads_back: bool,
}

impl Way {
    pub(in crate::serve) fn new(public: Public, call: String, limits: &Limits) -> Self {
        Way { public, call, leads_back: limits.line_back_s > 0 }
    }

    /// TwiML that connects the stream which presents `token`.
    pub(in crate::serve) fn connect(&self, token: &str) -> String {
        let media = self.public.media(&Uri::from_static("/twilio/media"));
        let status = self.public.url("/twilio/stream-status");
        let parameters = [(TOKEN, token)];
        match self.leads_back {
            true => {
                let ask = self.public.url("/twilio/stream-over");
                twiml::connect_or_ask(&media, &self.call, Some(&status), &parameters, &ask)
            }
            false => twiml::connect_stream(&media, &self.call, Some(&status), &parameters),
        }
    }

    /// TwiML that puts the caller through and asks `/twilio/transfer` when that is over.
    pub(in crate::serve) fn dial(&self, number: &str, ring_s: u64) -> String {
        let action = self.public.url("/twilio/transfer");
        twiml::dial_or_ask(number, ring_s, &action, &self.public.url("/twilio/transfer-answered"))
    }

    /// TwiML that presses keys and connects the stream which presents `token`.
    pub(in crate::serve) fn press(&self, digits: &str, token: &str) -> String {
        twiml::press_first(digits, &self.connect(token))
    }
}

/// An effect for which the line leaves its stream: the TwiML that it takes, and where the line comes back.
pub(in crate::serve) struct Lent {
    pub(in crate::serve) twiml: String,
    pub(in crate::serve) back: oneshot::Receiver<Claim>,
}

/// Prepares the line's return; `None` for an effect after which it does not come back.
pub(in crate::serve) fn lend(shared: &Shared, way: &Way, effect: &Effect) -> Option<Lent> {
    let away_s = match effect {
        Effect::Transfer { back_after_s: Some(ring_s), .. } => *ring_s,
        Effect::SendDtmf(_) => 0,
        _ => return None,
    };
    let expires = Instant::now() + Duration::from_secs(away_s) + RETURN;
    let (token, back) = renew(shared, way, expires)?;
    let twiml = match effect {
        Effect::Transfer { to, .. } => way.dial(to, away_s),
        Effect::SendDtmf(digits) => way.press(digits, &token),
        _ => return None,
    };
    Some(Lent { twiml, back })
}

/// Prepares the way back of a stream that is in place; `None`: it has none.
pub(in crate::serve) fn prepare(shared: &Shared, way: &Way) -> Option<oneshot::Receiver<Claim>> {
    if !way.leads_back {
        return None;
    }
    renew(shared, way, Instant::now() + UNASKED).map(|(_, back)| back)
}

/// A fresh token for the call's next stream, and where that stream comes.
fn renew(shared: &Shared, way: &Way, expires: Instant) -> Option<(String, oneshot::Receiver<Claim>)> {
    let token = crate::serve::wall::token(&shared.random).ok()?;
    let (line, back) = oneshot::channel();
    shared.registry.renew(&way.call, &token, expires, way.connect(&token), line).then_some((token, back))
}
