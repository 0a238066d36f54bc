//! Calls that were placed and are not over.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use crate::engine::NotAnswered;
use crate::serve::lines::Answer;

/// Calls that are taken back at once; what is beyond waits for the next request or start.
pub(super) const MOST: usize = 500;

/// Where a call that was placed is. Names are those of the API and the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve) enum State {
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
    pub(in crate::serve) const fn name(self) -> &'static str {
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
    pub(in crate::serve) const fn is_final(self) -> bool {
        matches!(self, State::Completed | State::NotAnswered(_) | State::NotPlaced)
    }
}

/// What is known of a call that was placed.
#[derive(Clone, Debug)]
pub(in crate::serve) struct View {
    pub(in crate::serve) state: State,
    pub(in crate::serve) carrier_call: Option<String>,
    /// The end's `kind`, or why it failed.
    pub(in crate::serve) why: Option<String>,
}

/// What the carrier tells.
pub(in crate::serve) enum Told {
    /// A status callback: the status, and what else it says of a failure.
    Status { sid: String, status: String, detail: String },
    /// The voice webhook: somebody picked up.
    Answered { sid: String, at: Instant },
}

/// A call that was placed and is not over.
#[derive(Debug)]
pub(in crate::serve) struct Placed {
    pub(in crate::serve) view: watch::Receiver<View>,
    pub(in crate::serve) deployment: String,
    pub(in crate::serve) to: String,
    /// What the carrier is answered once somebody picks up.
    pub(super) answer: Answer,
    pub(super) told: mpsc::Sender<Told>,
}

/// All of them.
#[derive(Debug, Default)]
pub(in crate::serve) struct Book {
    placed: Mutex<HashMap<String, Arc<Placed>>>,
    /// Held from the look at the ledger until a call is in the book: of two requests with one key, only one places it.
    pub(in crate::serve) placing: tokio::sync::Mutex<()>,
    /// Those that are in no task's sight and are being taken back.
    pub(super) unseen: Unseen,
}

impl Book {
    pub(in crate::serve) fn get(&self, call: &str) -> Option<Arc<Placed>> {
        self.lock().get(call).cloned()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Placed>>> {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Placed {
    /// Passes on what the carrier tells. `false`: so much waits already that it is lost.
    pub(in crate::serve) fn tell(&self, told: Told) -> bool {
        self.told.try_send(told).is_ok()
    }

    /// Whether somebody picked up.
    pub(in crate::serve) fn is_answered(&self) -> bool {
        matches!(self.view.borrow().state, State::Answered | State::Completed)
    }

    /// Somebody picked up: the answer for the carrier, if it is this one.
    pub(in crate::serve) fn answer(&self, sid: &str, at: Instant) -> Option<Answer> {
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
        told.then(|| self.answer.clone())
    }
}

/// The calls that are being taken back, by our ids.
#[derive(Debug, Default)]
pub(in crate::serve) struct Unseen(Mutex<HashSet<String>>);

impl Unseen {
    /// `false`: it is being taken back already, or too many are.
    pub(super) fn begin(&self, call: &str) -> bool {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.len() < MOST && calls.insert(call.to_owned())
    }

    pub(super) fn end(&self, call: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(call);
    }
}
