//! How a call's streams come to us, in the carrier's words.

use axum::http::Uri;

use crate::config::{CarrierProfile, Limits};
use crate::link::twilio::{manner, twiml};
use crate::serve::public::Public;

use super::{TOKEN, Twiml};

/// What a call's stream is connected by.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Way {
    public: Public,
    call: String,
    /// A stream that is over leads back to us.
    leads_back: bool,
    /// Whose streams they are.
    profile: CarrierProfile,
}

impl Way {
    pub(in crate::serve) fn new(public: Public, call: String, limits: &Limits, profile: CarrierProfile) -> Self {
        Way { public, call, leads_back: limits.line_back_s > 0, profile }
    }

    pub(super) fn leads_back(&self) -> bool {
        self.leads_back
    }

    /// Where the carrier tells and asks of a call that we place.
    pub(super) fn of_call(&self, what: &str) -> String {
        self.public.url(&format!("/twilio/{what}?call={}", self.call))
    }

    /// TwiML that connects the stream which presents `token`.
    pub(in crate::serve) fn connect(&self, token: &str) -> Twiml {
        let media = self.public.media(&Uri::from_static("/twilio/media"));
        let status = self.public.url("/twilio/stream-status");
        let parameters = [(TOKEN, token)];
        let document = match self.leads_back {
            true => {
                let ask = self.public.url("/twilio/stream-over");
                twiml::connect_or_ask(&media, &self.call, Some(&status), &parameters, &ask)
            }
            false => twiml::connect_stream(&media, &self.call, Some(&status), &parameters),
        };
        Twiml(match manner::of(self.profile).signs_upgrades {
            true => document,
            false => twiml::with_bearer(&document, token),
        })
    }

    /// Where the carrier asks for what it was not told itself.
    pub(super) fn document(&self) -> String {
        self.public.url(super::documents::PATH)
    }

    /// TwiML that puts the caller through and asks `/twilio/transfer` when that is over.
    pub(super) fn dial(&self, number: &str, ring_s: u64) -> String {
        let action = self.public.url("/twilio/transfer");
        twiml::dial_or_ask(number, ring_s, &action, &self.public.url("/twilio/transfer-answered"))
    }

    /// TwiML that presses keys and connects the stream which presents `token`.
    pub(super) fn press(&self, digits: &str, token: &str) -> String {
        twiml::press_first(digits, &self.connect(token).0)
    }
}
