//! Requests to dial out, by their idempotency keys: a repeated key finds the first request.

use sea_orm::ActiveValue::{NotSet, Set, Unchanged};
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, QueryFilter as _, SqlErr};

pub use super::entity::dials::Model as Dial;
use super::entity::dials::{ActiveModel, Column, Entity};
use super::{Store, StoreError, now_ms};

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

    /// The request whose call the carrier names so.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn dial_of_carrier_call(&self, carrier_call: &str) -> Result<Option<Dial>, StoreError> {
        let found = Entity::find().filter(Column::CarrierCall.eq(carrier_call));
        self.in_time(async { Ok(found.one(self.db()).await?) }).await
    }

    /// Notes what has become of a request. `false`: there is none with this key.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn update_dial(&self, key: &str, change: DialChange) -> Result<bool, StoreError> {
        let some = |value: Option<String>| value.map_or(NotSet, |value| Set(Some(value)));
        let dial = ActiveModel {
            key: Unchanged(key.to_owned()),
            state: change.state.map_or(NotSet, Set),
            carrier_call: some(change.carrier_call),
            call: some(change.call),
            error: some(change.error),
            request_hash: NotSet,
            created_ms: NotSet,
        };
        if !dial.is_changed() {
            return Ok(self.dial(key).await?.is_some());
        }
        self.in_time(async {
            let _turn = self.core.turn.lock().await;
            let updated = Entity::update_many().set(dial).filter(Column::Key.eq(key)).exec(self.db()).await?;
            Ok(updated.rows_affected > 0)
        })
        .await
    }
}
