//! Calls that are placed: from the wish for one to its report.
//!
//! ```text
//!  POST /v1/calls ─► ledger (the key, durably) ─► slot ─► carrier asked ─► queued ─► ringing
//!                                                          │ refused                │      │ /twilio/voice?call=…
//!                                                          ▼                        ▼      ▼
//!                                                       failed     busy, no_answer, …    answered ─► task::answer
//! ```
//!
//! **A number never rings twice for one key.** The key is in the ledger before the carrier is asked. Whenever the
//! carrier's answer is not known, because it was lost or because this server was, the carrier's list of calls is looked
//! at before anything is asked again.
//!
//! The model is dialled when somebody picks up, not before: nothing is paid for calls that nobody answers, and it is
//! ready by the time at which the first words are due.
//!
//! **A call that is taken back stays taken back.** When the carrier cannot be asked, or has not said which call it is, the
//! wish is kept, in the ledger too: the call is looked for as long as it may ring and canceled once it is found, and
//! whoever picks up before is hung up on.
//!
//! [`book`] has the calls that are not over, [`ledger`] keeps the keys, [`ringing`] is a call's task until somebody picks up. [`unseen`]
//! takes back those that have no task any more.

mod book;
mod ledger;
mod ringing;
pub(super) mod unseen;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use crate::base::audio::AudioFormat;
use crate::config::{Budget, CallSettings, Config, Deployment};
use crate::store::Direction;

use super::about::About;
use super::knowledge::lookup;
use super::lines::twilio::Way;
use super::lines::twilio::placing::{Carrier, Order};
use super::lines::{Answer, Entry};
use super::public::Public;
use super::registry::{Admission, UNNAMED};
use super::{Shared, wall};

pub(super) use book::{Book, Placed, State, Told, View};
pub(super) use ledger::{Inserted, Ledger, Record};
use ringing::{First, Ringing};

/// Commands that may wait for one call.
const QUEUE_COMMANDS: usize = 16;
/// What the carrier tells of one call and may wait.
const QUEUE_REPORTS: usize = 32;
/// What the carrier allows for the hard limit beyond everything that a call may take here.
const SPARE_S: u64 = 120;

/// A call that is wanted.
pub(super) struct Wanted {
    pub(super) deployment: Arc<Deployment>,
    /// The deployment's number.
    pub(super) from: String,
    pub(super) to: String,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) budget: Option<Budget>,
    /// How the carrier reaches this server: scheme, host and port.
    pub(super) public: String,
}

impl Wanted {
    /// The call as the store is told of it before anybody has answered it.
    pub(super) fn new_call(&self, id: &str, revision: &str) -> crate::store::NewCall {
        let about = About {
            direction: Direction::Outbound,
            from: Some(self.from.clone()),
            to: Some(self.to.clone()),
            variables: BTreeMap::new(),
            budget: None,
        };
        let started = std::time::SystemTime::now();
        crate::store::NewCall { answered: false, ..about.new_call(id, "", &self.deployment, revision, started) }
    }
}

/// Why a call is not placed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Draining,
    NoRandomness,
}

/// Takes a slot and starts the call's task. `known`: from an earlier attempt, whose outcome must be looked up first.
/// For who holds [`Book::placing`].
pub(super) fn place(
    shared: &Arc<Shared>,
    config: &Arc<Config>,
    wanted: Wanted,
    record: &Record,
    call: &str,
    look: bool,
) -> Result<Arc<Placed>, Refused> {
    let Wanted { deployment, from, to, variables, budget, public } = wanted;
    let began = Instant::now();
    let started = std::time::SystemTime::now();
    let (token, seed) = wall::lot(&shared.random).map_err(|_| Refused::NoRandomness)?;
    let way = Way::new(Public::from_base(public), call.to_owned(), &deployment.limits, config.server.twilio.profile);
    let answer = Answer::Twilio(way.connect(&token));
    let (line, claimed) = oneshot::channel();
    let (commands, commanded) = mpsc::channel(QUEUE_COMMANDS);
    let entry = Entry {
        // Until the carrier has named it.
        carrier_call: format!("{UNNAMED}{call}"),
        token,
        expires: began,
        answer: answer.clone(),
        back: None,
        asked: 0,
        line: Some(line),
        commands,
    };
    let busy = shared.pressure.is_high(Duration::from_millis(config.server.max_lag_ms));
    let slot = match shared.registry.admit(call, if busy { 0 } else { config.server.max_calls }, entry) {
        Admission::New(slot) => slot,
        Admission::Again(_) | Admission::Over | Admission::Taken | Admission::Full => return Err(Refused::Full),
        Admission::Draining => return Err(Refused::Draining),
    };
    let mut settings = CallSettings::new(&deployment, &config.revision, AudioFormat::PHONE, seed);
    settings.outbound = Some(deployment.outbound.clone());
    let about =
        About { direction: Direction::Outbound, from: Some(from.clone()), to: Some(to.clone()), variables, budget };
    about.prepare(&mut settings, call, &deployment, started);
    lookup::give(&shared.known, &mut settings);
    let limits = &deployment.limits;
    let (ring_s, detects) = (deployment.outbound.ring_s, deployment.outbound.detect.carrier());
    let time_limit_s = (limits.max_duration_s > 0).then(|| limits.max_duration_s + limits.farewell_s + SPARE_S);
    let order = Order::new(&way, from, to.clone(), ring_s, time_limit_s, detects);
    // Taken back before this server was: the wish still holds.
    let unwanted = record.state == State::Canceling.name();
    let state = if unwanted { State::Canceling } else { State::Queued };
    let (view, seen) = watch::channel(View { state, carrier_call: record.carrier_call.clone(), why: None });
    let (told, reports) = mpsc::channel(QUEUE_REPORTS);
    let placed = Arc::new(Placed { view: seen, deployment: deployment.name.clone(), to: to.clone(), answer, told });
    shared.dials.lock().insert(call.to_owned(), Arc::clone(&placed));
    shared.feed.placed(&about.new_call(call, "", &deployment, &config.revision, started));
    shared.metrics.placed.add(1);
    tokio::spawn(
        Ringing {
            shared: Arc::clone(shared),
            key: record.key.clone(),
            since_s: (record.created_ms / 1_000).max(0) as u64,
            call: call.to_owned(),
            slot,
            order,
            carrier: Carrier::new(shared.client.clone(), config.server.twilio.clone()),
            twilio: config.server.twilio.clone(),
            about,
            deployment,
            settings: Arc::new(settings),
            way,
            began,
            started,
            view,
            reports,
            claimed,
            commanded,
            early: None,
            unwanted,
            hurried: false,
        }
        .run(if look { First::Look } else { First::Ask }),
    );
    Ok(placed)
}
