//! Whether somebody is still who they were when they were let in: for what stays open long after that (ACC-05).

use sea_orm::{DatabaseTransaction, EntityTrait as _, QueryFilter as _};

use super::entity::api_keys;
use super::entity::users as table;
use super::keys::ApiKey;
use super::{People, in_force, sessions, settings};
use crate::house::principal::Principal;
use crate::store::StoreError;
use crate::store::notices::{self, Topic};
use crate::store::whose::Whose;

impl People {
    /// Who somebody is by now who was let in as `was`, as a request of theirs would find it. `None`: their session is over, their
    /// key was ended, or they are of another role. Costs a look or two at rows by their keys.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn again(&self, was: &Principal) -> Result<Option<Principal>, StoreError> {
        let db = self.0.db();
        self.0
            .in_time(async {
                match was {
                    Principal::User { session, .. } => {
                        let Some((session, user)) = sessions::of_id(db, session).await? else { return Ok(None) };
                        let lacks_factor = user.factor.is_none() && settings(db).await?.second_factor;
                        let table::Model { id, email, role, .. } = user;
                        let role = super::role_of(&role);
                        Ok(Some(Principal::User { id, email, role, session, lacks_factor }))
                    }
                    Principal::Key { id, .. } => {
                        let key = api_keys::Entity::find_by_id(id.as_str()).filter(in_force(db)).one(db).await?;
                        Ok(key.map(|key| ApiKey::from(key).principal()))
                    }
                    // Nothing stays open for these.
                    Principal::Access { .. } | Principal::Embed { .. } | Principal::Nobody => Ok(None),
                    Principal::Operator => Ok(Some(Principal::Operator)),
                }
            })
            .await
    }

    /// Changes what somebody may do: whoever has something open for them is told, on all servers.
    pub(super) async fn change_standing<T>(
        &self,
        work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let done = self.change(async |txn| {
            let done = work(txn).await?;
            notices::notify(txn, Topic::People, "").await?;
            Ok(done)
        });
        let done = done.await?;
        self.told();
        Ok(done)
    }

    /// The same where nobody else writes.
    pub(super) fn told(&self) {
        if let Whose::Server(core) = &self.0 {
            core.tell(Topic::People, "");
        }
    }
}
