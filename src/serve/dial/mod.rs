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
//! [`ledger`] keeps the keys, [`carrier`] asks the carrier, [`ringing`] is a call's task until somebody picks up. [`unseen`]
//! takes back those that have no task any more.

pub(super) mod carrier;
mod ledger;
mod ringing;
pub(super) mod unseen;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use crate::base::audio::AudioFormat;
use crate::config::{Budget, CallSettings, Config, Deployment};
use crate::engine::NotAnswered;
use crate::link::twilio::rest::NewCall;

use crate::store::Direction;

use super::lend::Way;
use super::registry::{Admission, Entry, UNNAMED};
use super::task::About;
use super::trust::Public;
use super::{Shared, wall};

pub(super) use ledger::{Inserted, Ledger, Record};
use ringing::{First, Ringing};

/// Commands that may wait for one call.
const QUEUE_COMMANDS: usize = 16;
/// What the carrier tells of one call and may wait.
const QUEUE_REPORTS: usize = 32;
/// What the carrier allows for the hard limit beyond everything that a call may take here.
const SPARE_S: u64 = 120;

/// Where a call that was placed is. Names are those of the API and the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The carrier is being asked, or has it and does not ring yet.
    Queued,
    /// It rings.
    Ringing,
    /// Somebody picked up.
    Answered,
    /// It is over.
    Completed,
    /// Nobody picked up.
    NotAnswered(NotAnswered),
    /// The carrier certainly did not place it; the same key may be tried again.
    NotPlaced,
    /// Nobody knows whether the carrier placed it.
    Unknown,
    /// It is to be taken back, which the carrier has not confirmed, or could not be asked yet.
    Canceling,
}

impl State {
    pub(super) const fn name(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Ringing => "ringing",
            State::Answered => "answered",
            State::Completed => "completed",
            State::NotAnswered(how) => how.name(),
            State::NotPlaced => "not_placed",
            State::Unknown => "unknown",
            State::Canceling => "canceling",
        }
    }

    /// Whether nothing more becomes of it.
    pub(super) const fn is_final(self) -> bool {
        matches!(self, State::Completed | State::NotAnswered(_) | State::NotPlaced)
    }
}

/// What is known of a call that was placed.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) state: State,
    pub(super) carrier_call: Option<String>,
    /// The end's `kind`, or why it failed.
    pub(super) why: Option<String>,
}

/// What the carrier tells.
pub(super) enum Told {
    /// A status callback: the status, and what else it says of a failure.
    Status { sid: String, status: String, detail: String },
    /// The voice webhook: somebody picked up.
    Answered { sid: String, at: Instant },
}

/// A call that was placed and is not over.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) view: watch::Receiver<View>,
    pub(super) deployment: String,
    pub(super) to: String,
    /// What the voice webhook is answered.
    twiml: String,
    told: mpsc::Sender<Told>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Book {
    placed: Mutex<HashMap<String, Arc<Placed>>>,
    /// Held from the look at the ledger until a call is in the book: of two requests with one key, only one places it.
    pub(super) placing: tokio::sync::Mutex<()>,
    /// Those that are in no task's sight and are being taken back.
    unseen: unseen::Unseen,
}

impl Book {
    pub(super) fn get(&self, call: &str) -> Option<Arc<Placed>> {
        self.lock().get(call).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Placed>>> {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Placed {
    /// Passes on what the carrier tells. `false`: so much waits already that it is lost.
    pub(super) fn tell(&self, told: Told) -> bool {
        self.told.try_send(told).is_ok()
    }

    /// Somebody picked up: the TwiML for the call, if it is this one.
    pub(super) fn answer(&self, sid: &str, at: Instant) -> Option<String> {
        let view = self.view.borrow().clone();
        if view.state.is_final() || view.carrier_call.as_deref().is_some_and(|known| known != sid) {
            return None;
        }
        if view.state == State::Canceling {
            // It is hung up on; now it is known which call it is. One that is lost is found by a look.
            self.tell(Told::Answered { sid: sid.to_owned(), at });
            return None;
        }
        // A carrier that asks again is answered again.
        let told = view.state == State::Answered || self.tell(Told::Answered { sid: sid.to_owned(), at });
        told.then(|| self.twiml.clone())
    }
}

/// A call that is wanted.
pub(super) struct Wanted {
    pub(super) deployment: Arc<Deployment>,
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
            from: Some(self.deployment.number.clone()),
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
    let Wanted { deployment, to, variables, budget, public } = wanted;
    let began = Instant::now();
    let started = std::time::SystemTime::now();
    let (token, seed) = wall::lot(&shared.random).map_err(|_| Refused::NoRandomness)?;
    let way = Way::new(Public::from_base(public.clone()), call.to_owned(), &deployment.limits);
    let twiml = way.connect(&token);
    let (line, claimed) = oneshot::channel();
    let (commands, commanded) = mpsc::channel(QUEUE_COMMANDS);
    let entry = Entry {
        // Until the carrier has named it.
        carrier_call: format!("{UNNAMED}{call}"),
        token,
        expires: began,
        twiml: twiml.clone(),
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
    let about = About {
        direction: Direction::Outbound,
        from: Some(deployment.number.clone()),
        to: Some(to.clone()),
        variables,
        budget,
    };
    about.prepare(&mut settings, call, &deployment, started);
    let limits = &deployment.limits;
    let new = NewCall {
        to: to.clone(),
        from: deployment.number.clone(),
        url: format!("{public}/twilio/voice?call={call}"),
        status_callback: format!("{public}/twilio/call-status?call={call}"),
        ring_s: deployment.outbound.ring_s,
        time_limit_s: (limits.max_duration_s > 0).then(|| limits.max_duration_s + limits.farewell_s + SPARE_S),
        answered_by_callback: deployment.outbound.detect.carrier().then(|| format!("{public}/twilio/amd?call={call}")),
    };
    // Taken back before this server was: the wish still holds.
    let unwanted = record.state == State::Canceling.name();
    let state = if unwanted { State::Canceling } else { State::Queued };
    let (view, seen) = watch::channel(View { state, carrier_call: record.carrier_call.clone(), why: None });
    let (told, reports) = mpsc::channel(QUEUE_REPORTS);
    let placed = Arc::new(Placed { view: seen, deployment: deployment.name.clone(), to: to.clone(), twiml, told });
    shared.dials.lock().insert(call.to_owned(), Arc::clone(&placed));
    shared.metrics.placed.add(1);
    tokio::spawn(
        Ringing {
            shared: Arc::clone(shared),
            key: record.key.clone(),
            since_s: (record.created_ms / 1_000).max(0) as u64,
            call: call.to_owned(),
            slot,
            new,
            carrier: carrier::Carrier::new(shared.client.clone(), config.server.twilio.clone()),
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
