//! Idempotency keys and what became of them, kept by the [store](crate::store).

use crate::store::{Dial, DialChange, DialInserted, NewCall, Store, StoreError};

use super::{State, View};

/// What is kept of a request.
pub(in crate::serve) type Record = Dial;
/// What came of a key.
pub(in crate::serve) type Inserted = DialInserted;

/// The keys.
#[derive(Clone)]
pub(in crate::serve) struct Ledger(Store);

impl Ledger {
    pub(in crate::serve) fn new(store: Store) -> Self {
        Ledger(store)
    }

    /// Takes a key, durably, before anything is asked of the carrier.
    pub(in crate::serve) async fn insert(&self, key: &str, hash: &str) -> Result<Inserted, StoreError> {
        self.0.insert_dial(key, hash, State::Queued.name()).await
    }

    /// The request for a call of ours.
    pub(in crate::serve) async fn of_call(&self, call: &str) -> Result<Option<Record>, StoreError> {
        self.0.dial_of_call(call).await
    }

    /// Requests that are in this state and that no other server has, no more than `limit`; now this one has them.
    pub(in crate::serve) async fn of_state(&self, state: State, limit: u64) -> Result<Vec<Record>, StoreError> {
        self.0.claim_dials(state.name(), limit).await
    }

    /// Whether a call of the carrier's belongs to another request.
    pub(in crate::serve) async fn is_taken(&self, carrier_call: &str, key: &str) -> Result<bool, StoreError> {
        Ok(self.0.dial_of_carrier_call(carrier_call).await?.is_some_and(|dial| dial.key != key))
    }

    /// Gives the request its call, before the carrier is asked.
    pub(in crate::serve) async fn name(&self, key: &str, call: &NewCall) -> Result<(), StoreError> {
        self.0.name_dial(key, call).await
    }

    /// Notes how it is; what cannot be kept now is kept once it can.
    pub(in crate::serve) async fn note(&self, key: &str, view: &View) -> Result<(), StoreError> {
        let change = DialChange {
            state: Some(view.state.name().to_owned()),
            carrier_call: view.carrier_call.clone(),
            call: None,
            // Empty takes away what stood there of an earlier state.
            error: Some(view.why.clone().unwrap_or_default()),
        };
        self.0.note_dial(key, change).await
    }
}
