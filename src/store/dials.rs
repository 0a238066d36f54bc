//! Requests to dial out, by their idempotency keys: a repeated key finds the first request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sea_orm::ActiveValue::{NotSet, Set, Unchanged};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, Condition, DatabaseConnection, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, SqlErr, TransactionTrait as _,
};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::calls::NewCall;
pub use super::entity::dials::Model as Dial;
use super::entity::dials::{ActiveModel, Column, Entity};
use super::{Core, Store, StoreError, lease, lists, now_ms, sql};

/// What of a dial has changed; `None` leaves what there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialChange {
    /// Where it is.
    pub state: Option<String>,
    /// The carrier's id.
    pub carrier_call: Option<String>,
    /// Our id.
    pub call: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
}

/// What came of [`Store::insert_dial`].
#[derive(Clone, Debug, PartialEq)]
pub enum DialInserted {
    /// The key is new, and is now taken: the request may be carried out.
    New(Dial),
    /// The key was taken before, by this.
    Known(Dial),
}

impl Store {
    /// Takes an idempotency key, durably, before anything is dialled. Of two requests with one key only one finds it new.
    ///
    /// # Errors
    /// The store cannot be written: nothing must be dialled then, since a retry could ring twice.
    pub async fn insert_dial(&self, key: &str, request_hash: &str, state: &str) -> Result<DialInserted, StoreError> {
        self.in_time(async {
            let _turn = self.core.turn.lock().await;
            let dial = ActiveModel {
                key: Set(key.to_owned()),
                request_hash: Set(request_hash.to_owned()),
                created_ms: Set(now_ms()),
                state: Set(state.to_owned()),
                carrier_call: NotSet,
                call: NotSet,
                error: NotSet,
                owner: Set(Some(self.core.me.id.clone())),
            };
            match Entity::insert(dial).exec_without_returning(self.db()).await {
                Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
                    let known = Entity::find_by_id(key).one(self.db()).await?;
                    Ok(DialInserted::Known(known.ok_or(StoreError::Gone)?))
                }
                Err(error) => Err(error.into()),
                Ok(_) => {
                    let dial = Entity::find_by_id(key).one(self.db()).await?;
                    Ok(DialInserted::New(dial.ok_or(StoreError::Gone)?))
                }
            }
        })
        .await
    }

    /// The request that took `key`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn dial(&self, key: &str) -> Result<Option<Dial>, StoreError> {
        self.in_time(async { Ok(Entity::find_by_id(key).one(self.db()).await?) }).await
    }

    /// The request for a call of ours.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn dial_of_call(&self, call: &str) -> Result<Option<Dial>, StoreError> {
        let found = Entity::find().filter(Column::Call.eq(call));
        self.in_time(async { Ok(found.one(self.db()).await?) }).await
    }

    /// Requests that are in this state and that no other server has, the newest first; no more than `limit`. They are this
    /// server's from now on.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn claim_dials(&self, state: &str, limit: u64) -> Result<Vec<Dial>, StoreError> {
        let core = &self.core;
        self.in_time(async {
            let mut turn = core.turn.lock().await;
            let claimed = claim(core, &turn, state, limit).await;
            if claimed.is_err() {
                core.renew(&mut turn).await;
            }
            claimed
        })
        .await
    }

    /// The request whose call the carrier names so.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn dial_of_carrier_call(&self, carrier_call: &str) -> Result<Option<Dial>, StoreError> {
        let found = Entity::find().filter(Column::CarrierCall.eq(carrier_call));
        self.in_time(async { Ok(found.one(self.db()).await?) }).await
    }

    /// Notes what has become of a request, in the end: what cannot be written now is written once it can, the newest state
    /// over those before it.
    ///
    /// # Errors
    /// It is not written yet.
    pub async fn note_dial(&self, key: &str, change: DialChange) -> Result<(), StoreError> {
        self.core.unwritten.put(key, change)?;
        // A statement that is let go of may still be carried out later, over a newer one: it keeps its turn to its end.
        let (core, name) = (Arc::clone(&self.core), key.to_owned());
        let writing = tokio::spawn(async move { write(&core, &name).await });
        let written = self.in_time(async { writing.await.unwrap_or(Err(StoreError::Slow)) }).await;
        if written.is_err() {
            self.core.unwritten.more.notify_one();
        }
        written
    }

    /// Gives a request its call, durably, before anything is dialled: from now on it is listed.
    ///
    /// # Errors
    /// The store cannot be written: nothing must be dialled then.
    pub async fn name_dial(&self, key: &str, call: &NewCall) -> Result<(), StoreError> {
        let change = DialChange { call: Some(call.id.clone()), ..DialChange::default() };
        self.in_time(update(&self.core, key, change, Some(call))).await.map(drop)
    }

    /// Notes what has become of a request. `false`: there is none with this key.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn update_dial(&self, key: &str, change: DialChange) -> Result<bool, StoreError> {
        if change == DialChange::default() {
            return Ok(self.dial(key).await?.is_some());
        }
        self.in_time(update(&self.core, key, change, None)).await
    }
}

async fn claim(core: &Core, db: &DatabaseConnection, state: &str, limit: u64) -> Result<Vec<Dial>, StoreError> {
    let txn = db.begin_with_options(sql::immediate()).await?;
    let ours = Column::Owner.eq(core.me.id.as_str());
    let free = Condition::any().add(ours).add(lease::is_free(Column::Owner));
    let found = Entity::find().filter(Column::State.eq(state)).filter(free);
    let found = found.order_by_desc(Column::CreatedMs).limit(limit);
    let found = sql::untaken(&txn, found).all(&txn).await?;
    Entity::update_many()
        .col_expr(Column::Owner, Expr::value(core.me.id.as_str()))
        .filter(Column::Key.is_in(found.iter().map(|dial| dial.key.as_str())))
        .exec(&txn)
        .await?;
    txn.commit().await?;
    Ok(found)
}

/// What became of requests and is not written yet.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    changes: Mutex<HashMap<String, DialChange>>,
    more: Notify,
}

/// Requests of which something may be unwritten at once.
const MAX_UNWRITTEN: usize = 10_000;
/// The pause before another attempt.
const AGAIN: Duration = Duration::from_secs(5);

impl Unwritten {
    fn changes(&self) -> MutexGuard<'_, HashMap<String, DialChange>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, key: &str, change: DialChange) -> Result<(), StoreError> {
        let mut changes = self.changes();
        if changes.len() >= MAX_UNWRITTEN && !changes.contains_key(key) {
            return Err(StoreError::Io(format!("the states of {MAX_UNWRITTEN} placed calls are unwritten")));
        }
        let earlier = changes.entry(key.to_owned()).or_default();
        *earlier = DialChange {
            state: change.state.or(earlier.state.take()),
            carrier_call: change.carrier_call.or(earlier.carrier_call.take()),
            call: change.call.or(earlier.call.take()),
            error: change.error.or(earlier.error.take()),
        };
        Ok(())
    }
}

/// Until the store is stopped: writes what could not be written.
pub(super) async fn write_later(core: Arc<Core>, mut stopping: watch::Receiver<bool>) {
    loop {
        let over = tokio::select! {
            () = core.unwritten.more.notified() => tokio::select! {
                () = sleep(AGAIN) => false,
                () = stopped(&mut stopping) => true,
            },
            () = stopped(&mut stopping) => true,
        };
        let keys: Vec<String> = core.unwritten.changes().keys().cloned().collect();
        for key in keys {
            if let Err(error) = write(&core, &key).await {
                core.trouble("cannot be written", &error);
                core.unwritten.more.notify_one();
                break;
            }
        }
        if over {
            return;
        }
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error is that nobody is left who could stop it.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Writes what is unwritten of a request.
async fn write(core: &Core, key: &str) -> Result<(), StoreError> {
    let mut turn = core.turn.lock().await;
    let Some(change) = core.unwritten.changes().get(key).cloned() else { return Ok(()) };
    let updated = update_by(core, &turn, key, change.clone(), None).await;
    if updated.is_err() {
        core.renew(&mut turn).await;
    }
    updated?;
    let mut changes = core.unwritten.changes();
    // A newer one may have come meanwhile, whose turn is next.
    if changes.get(key) == Some(&change) {
        changes.remove(key);
    }
    Ok(())
}

/// In its turn.
async fn update(core: &Core, key: &str, change: DialChange, placed: Option<&NewCall>) -> Result<bool, StoreError> {
    let mut turn = core.turn.lock().await;
    let updated = update_by(core, &turn, key, change, placed).await;
    if updated.is_err() {
        core.renew(&mut turn).await;
    }
    updated
}

/// Writes of a request and of its call in lists together: of a server that is killed in between, nobody would ever say how a
/// call is that is listed. `placed`: the call is listed from now on. `false`: there is no such request.
async fn update_by(
    core: &Core,
    db: &DatabaseConnection,
    key: &str,
    change: DialChange,
    placed: Option<&NewCall>,
) -> Result<bool, StoreError> {
    let state = change.state.clone();
    let some = |value: Option<String>| value.map_or(NotSet, |value| Set(Some(value)));
    let dial = ActiveModel {
        key: Unchanged(key.to_owned()),
        state: change.state.map_or(NotSet, Set),
        carrier_call: some(change.carrier_call),
        call: some(change.call),
        error: some(change.error),
        request_hash: NotSet,
        created_ms: NotSet,
        owner: Set(Some(core.me.id.clone())),
    };
    let txn = db.begin_with_options(sql::immediate()).await?;
    let updated = Entity::update_many().set(dial).filter(Column::Key.eq(key)).exec(&txn).await?;
    if let Some(call) = placed {
        lists::placed(&txn, call).await?;
    }
    if let Some(state) = state {
        lists::dialled(&txn, key, &state).await?;
    }
    txn.commit().await?;
    Ok(updated.rows_affected > 0)
}
