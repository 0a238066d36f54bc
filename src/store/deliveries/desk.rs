//! The log and replaying for commands, beside the servers: by the same statements as theirs.

use sea_orm::{DatabaseTransaction, EntityTrait as _, TransactionTrait as _};

use super::{Delivery, DeliveryFilter, Replayed, Window};
use crate::house::webhooks::{self as rules, may_replay};
use crate::store::entity::{endpoint_states, endpoints};
use crate::store::people::add_audit;
use crate::store::{Desk, StoreError, sql};

impl Desk {
    /// Attempts, the newest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn deliveries(&self, filter: &DeliveryFilter) -> Result<Vec<Delivery>, StoreError> {
        Ok(filter.find(&self.db).await?)
    }

    /// The endpoint that somebody means: its id, or the name of one that was made by the API. Those of `offhook.toml` are
    /// known by their names, and not here.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn endpoint_of(&self, named: &str) -> Result<String, StoreError> {
        let made = endpoints::Entity::find().all(&self.db).await?;
        let found = made.iter().find(|row| row.id == named || row.name == named);
        Ok(found.map_or_else(|| named.to_owned(), |row| row.id.clone()))
    }

    /// Has an event sent to an endpoint again, as [`Store::replay`](crate::store::Store::replay); noted as `who`'s.
    ///
    /// # Errors
    /// The endpoint is off, nobody knows any more what the event said, too much waits, or the database cannot be written.
    pub async fn replay(&self, endpoint: &str, event: &str, who: &str) -> Result<(), StoreError> {
        self.again(endpoint, who, async |txn| match super::replay(txn, endpoint, event).await? {
            true => Ok(()),
            false => Err(StoreError::Refused(rules::forgotten().message)),
        })
        .await
    }

    /// Has the events of a window sent again, as [`Store::replay_window`](crate::store::Store::replay_window).
    ///
    /// # Errors
    /// The endpoint is off, too much waits, or the database cannot be written.
    pub async fn replay_window(
        &self,
        endpoint: &str,
        since_ms: i64,
        until_ms: i64,
        only_dead: bool,
        who: &str,
    ) -> Result<Replayed, StoreError> {
        let window = Window { since_ms, until_ms, only_dead };
        self.again(endpoint, who, async |txn| super::replay_window(txn, endpoint, window).await).await
    }

    async fn again<T>(
        &self,
        endpoint: &str,
        who: &str,
        work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let txn = self.db.begin_with_options(sql::immediate()).await?;
        let state = endpoint_states::Entity::find_by_id(endpoint.to_owned()).one(&txn).await?;
        let is_on = state.is_none_or(|state| state.disabled_ms.is_none());
        may_replay(is_on).map_err(|no| StoreError::Refused(no.message))?;
        let done = work(&txn).await?;
        add_audit(&txn, who, "webhook.replay", endpoint, None).await?;
        txn.commit().await?;
        Ok(done)
    }
}
