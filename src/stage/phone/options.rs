//! What a call of the caller's is like.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use crate::config::{CarrierProfile, Secret};
use crate::stage::phone::carrier::Carrier;
use crate::stage::phone::metronome::Metronome;
use crate::stage::phone::report::PhoneEvent;
use crate::stage::phone::script::Step;

/// A call to be placed.
#[derive(Clone, Debug)]
pub struct CallOptions {
    /// Where the server listens: `http://127.0.0.1:8080`.
    pub connect: String,
    /// How the world knows it, when a proxy stands before it: `https://host`. Signatures are made over this.
    pub public_url: Option<String>,
    /// The number's VoiceUrl, as path or URL.
    pub voice_url: String,
    /// The number's StatusCallback, as path or URL.
    pub status_callback: Option<String>,
    /// Which carrier it is: how it signs, what its ids look like, what its messages leave out.
    pub profile: CarrierProfile,
    /// `AC…`, or a project's UUID.
    pub account_sid: String,
    /// `CA…`; `None`: a new one.
    pub call_sid: Option<String>,
    /// Signs all requests; `None`: they are not signed.
    pub token: Option<Secret>,
    /// Signs the media upgrade instead of `token`.
    pub upgrade_token: Option<Secret>,
    /// The caller's number.
    pub from: String,
    /// The number called.
    pub to: String,
    /// What the caller does once the stream is open.
    pub script: Vec<Step>,
    /// The same when the stream is opened again, after the line was lent or broke off; without, the caller hangs up then.
    pub scripts_after: VecDeque<Vec<Step>>,
    /// What is keyed in each time that digits are asked for, in order; without, nothing is.
    pub keyed: VecDeque<String>,
    /// What the carrier says of the caller's number (`StirVerstat`); `None`: nothing.
    pub verstat: Option<String>,
    /// What becomes of numbers that the caller is put through to, in order; without, somebody answers and talks to the end.
    pub put_through: VecDeque<PutThrough>,
    /// Line noise where the caller is silent; `None`: digital silence.
    pub noise_dbfs: Option<f32>,
    /// Seed of the noise.
    pub seed: u64,
    /// Run this instead of what the webhook answers; the webhook is not asked.
    pub twiml: Option<String>,
    /// Text frames between `connected` and `start`, filled in like [`Step::Raw`].
    pub before_start: Vec<String>,
    /// Whom the server's REST requests reach.
    pub carrier: Option<Carrier>,
    /// Told what happens; what does not fit is counted.
    pub events: Option<mpsc::Sender<PhoneEvent>>,
    /// Whether [`PhoneReport::audio`](crate::stage::phone::report::PhoneReport::audio) is kept: 8 kB per second.
    pub keep_audio: bool,
    /// Whether [`PhoneReport::sent`](crate::stage::phone::report::PhoneReport::sent) and [`PhoneReport::received`](crate::stage::phone::report::PhoneReport::received) are kept.
    pub keep_probes: bool,
    /// Milliseconds that the stream lasts at most.
    pub max_ms: u64,
    /// By how much the line's clock runs faster than ours, in parts per million: it speaks and plays by it.
    pub clock_ppm: i32,
    /// Wakes the caller for each slot; `None`: the runtime's timers, which are up to a millisecond late.
    pub metronome: Option<Metronome>,
    /// Asks webhooks; `None`: a client of its own, which takes some milliseconds to make.
    pub client: Option<reqwest::Client>,
    /// The server placed it, and this is its callee.
    pub placed: bool,
}

/// What becomes of a number that a caller is put through to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutThrough {
    /// Milliseconds of ringing.
    pub rings_ms: u64,
    /// Twilio's `DialCallStatus`: `completed` after an answer, `busy`, `no-answer`, `failed`; `canceled`: the caller hangs
    /// up while it rings.
    pub status: &'static str,
    /// Milliseconds of talk, if somebody answers.
    pub talks_ms: u64,
}

impl CallOptions {
    /// A call to the server at `connect` (`http://127.0.0.1:8080`), without signatures, as another would place it.
    pub fn new(connect: impl Into<String>, to: impl Into<String>, script: Vec<Step>) -> Self {
        CallOptions {
            connect: connect.into(),
            public_url: None,
            voice_url: "/twilio/voice".to_owned(),
            status_callback: None,
            profile: CarrierProfile::Twilio,
            account_sid: format!("AC{}", "0".repeat(32)),
            call_sid: None,
            token: None,
            upgrade_token: None,
            from: "+14155550100".to_owned(),
            to: to.into(),
            script,
            scripts_after: VecDeque::new(),
            keyed: VecDeque::new(),
            verstat: Some("TN-Validation-Passed-A".to_owned()),
            put_through: VecDeque::new(),
            noise_dbfs: None,
            seed: 1,
            twiml: None,
            before_start: Vec::new(),
            carrier: None,
            events: None,
            keep_audio: true,
            keep_probes: false,
            max_ms: 600_000,
            clock_ppm: 0,
            metronome: None,
            client: None,
            placed: false,
        }
    }
}
