//! What a server has at hand of phone numbers: who is at which purchase, what the pool looks like, what the carrier said of
//! prices and papers lately.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::house::Refusal;
use crate::house::numbers::reach::{self, Reach};
use crate::link::twilio::rest::numbers::{Kind, Price, Regulation};

/// How long what the carrier says of a country counts.
const DAY: Duration = Duration::from_secs(86_400);

/// What a server has at hand.
#[derive(Debug, Default)]
pub(in crate::serve) struct Desk {
    /// Purchases and releases that somebody here is at.
    busy: Mutex<BTreeSet<String>>,
    /// Assignments are changed one at a time.
    pub(super) changing: tokio::sync::Mutex<()>,
    /// The carrier's list is read by one at a time.
    pub(super) sweeping: tokio::sync::Mutex<()>,
    /// There may be something to look up.
    pub(super) more: Notify,
    pool: Mutex<Arc<Pool>>,
    known: Mutex<HashMap<&'static str, Known>>,
    /// Who has which number, as was last acted upon.
    pub(super) holders: Mutex<Option<BTreeMap<String, String>>>,
    /// Where this server listens, for stand-ins of the carrier on this machine.
    pub(in crate::serve) own: OnceLock<String>,
}

/// The numbers in the pool as calls need them: read without waiting.
#[derive(Clone, Debug, Default)]
pub(in crate::serve) struct Pool {
    /// With which countries each talks.
    pub(in crate::serve) reach: HashMap<String, Reach>,
    /// Countries of all of them.
    pub(in crate::serve) countries: BTreeSet<String>,
}

impl Pool {
    /// Whether a call from `from` is taken at the number `own` (BEYOND-31); numbers that are not in the pool take all.
    pub(in crate::serve) fn takes(&self, own: &str, from: &str) -> bool {
        self.reach.get(own).is_none_or(|reach| reach::takes(reach, own, &self.countries, from))
    }

    /// Whether a call may go from the number `own` to `to` (BEYOND-31).
    ///
    /// # Errors
    /// `country_closed`, `premium_number`.
    pub(in crate::serve) fn may_call(&self, own: &str, to: &str) -> Result<(), Refusal> {
        self.reach.get(own).map_or(Ok(()), |reach| reach::may_call(reach, own, &self.countries, to))
    }
}

/// What is known of a country.
#[derive(Clone, Debug)]
struct Known {
    since: Instant,
    types: Option<Vec<Kind>>,
    prices: HashMap<Kind, Option<Price>>,
    regulations: HashMap<Kind, Vec<Regulation>>,
}

/// Somebody here is at it until this is dropped.
pub(super) struct Busy {
    desk: Arc<Desk>,
    id: String,
}

impl Desk {
    /// Whoever else asks finds it busy from now on. `None`: somebody is at it.
    pub(super) fn begin(self: &Arc<Self>, id: &str) -> Option<Busy> {
        self.busy().insert(id.to_owned()).then(|| Busy { desk: Arc::clone(self), id: id.to_owned() })
    }

    /// What somebody here is at.
    pub(super) fn all_busy(&self) -> Vec<String> {
        self.busy().iter().cloned().collect()
    }

    /// The pool as it was last read.
    pub(in crate::serve) fn pool(&self) -> Arc<Pool> {
        Arc::clone(&self.pool.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_pool(&self, pool: Pool) {
        *self.pool.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(pool);
    }

    /// Types that a country has, if the carrier has said so within a day.
    pub(super) fn types(&self, country: &'static str) -> Option<Vec<Kind>> {
        self.of(country, |known| known.types.clone())
    }

    pub(super) fn set_types(&self, country: &'static str, types: Vec<Kind>) {
        self.set(country, |known| known.types = Some(types));
    }

    /// What a type costs; within: it has no price.
    pub(super) fn price(&self, country: &'static str, kind: Kind) -> Option<Option<Price>> {
        self.of(country, |known| known.prices.get(&kind).cloned())
    }

    pub(super) fn set_price(&self, country: &'static str, kind: Kind, price: Option<Price>) {
        self.set(country, |known| drop(known.prices.insert(kind, price)));
    }

    /// Which papers a type needs.
    pub(super) fn regulations(&self, country: &'static str, kind: Kind) -> Option<Vec<Regulation>> {
        self.of(country, |known| known.regulations.get(&kind).cloned())
    }

    pub(super) fn set_regulations(&self, country: &'static str, kind: Kind, all: Vec<Regulation>) {
        self.set(country, |known| drop(known.regulations.insert(kind, all)));
    }

    fn of<T>(&self, country: &str, read: impl Fn(&Known) -> Option<T>) -> Option<T> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(country).filter(|known| known.since.elapsed() < DAY).and_then(read)
    }

    fn set(&self, country: &'static str, write: impl FnOnce(&mut Known)) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh =
            || Known { since: Instant::now(), types: None, prices: HashMap::new(), regulations: HashMap::new() };
        let known = all.entry(country).or_insert_with(fresh);
        if known.since.elapsed() >= DAY {
            *known = fresh();
        }
        write(known);
    }

    fn busy(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.desk.busy().remove(&self.id);
        self.desk.more.notify_one();
    }
}
