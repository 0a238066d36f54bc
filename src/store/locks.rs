//! What locks agents (LOCK-01 to LOCK-03), for all servers of a store.
//!
//! A lock has no owner and no lease: what locks an agent is a campaign, which outlives every server that works for it, and goes on
//! on another. Whatever ends it, or pauses it, [unlocks](Store::unlock) it.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _,
};

use super::notices::{self, Topic};
use super::whose::Whose;
use super::{Desk, Store, StoreError, sql};
use crate::config::DocId;
use crate::house::locks::{self as rules, Lock};

use entity::{ActiveModel, Column, Entity, Model};

/// Locks at once.
const MOST: u64 = 1_000;

impl Store {
    /// What locks agents now, what began first before what began later.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn locks(&self) -> Result<Vec<Lock>, StoreError> {
        self.in_time(async { Ok(all(self.db()).await?) }).await
    }

    /// Locks an agent, and the deployment that is called from, under an id of whatever does: a lock that has this id already is
    /// replaced. Documents that are applied by then were changed before, and none is after.
    ///
    /// # Errors
    /// There are too many, or the store cannot be written.
    pub async fn lock(&self, id: &str, lock: &Lock) -> Result<(), StoreError> {
        self.write_lock(async |txn| {
            let now_ms = sql::clock_ms(txn).await?;
            if Entity::find().filter(Column::Id.ne(id)).count(txn).await? >= MOST {
                return Err(StoreError::Refused(format!("{MOST} campaigns lock agents: that is as many as can")));
            }
            let row = ActiveModel {
                id: Set(id.to_owned()),
                held_by: Set(lock.by.clone()),
                agent: Set(lock.agent.clone()),
                deployment: Set(lock.deployment.clone()),
                since_ms: Set(now_ms),
            };
            let columns = [Column::HeldBy, Column::Agent, Column::Deployment];
            let there = OnConflict::column(Column::Id).update_columns(columns).to_owned();
            Entity::insert(row).on_conflict(there).exec_without_returning(txn).await?;
            Ok(())
        })
        .await
    }

    /// Lets go of what is locked under this id.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn unlock(&self, id: &str) -> Result<(), StoreError> {
        self.write_lock(async |txn| {
            Entity::delete_by_id(id).exec(txn).await?;
            Ok(())
        })
        .await
    }

    async fn write_lock(
        &self,
        work: impl AsyncFnOnce(&sea_orm::DatabaseTransaction) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let whose = Whose::Server(std::sync::Arc::clone(&self.core));
        self.in_time(async {
            let writing = whose.begin().await?;
            let done = async {
                sql::applies_alone(&writing.txn).await?;
                work(&writing.txn).await?;
                Ok(notices::notify(&writing.txn, Topic::Locks, "").await?)
            }
            .await;
            writing.end(done).await
        })
        .await?;
        self.core.tell(Topic::Locks, "");
        Ok(())
    }
}

impl Desk {
    /// What locks agents now.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn locks(&self) -> Result<Vec<Lock>, StoreError> {
        Ok(all(&self.db).await?)
    }
}

/// Whether documents may be changed, within the transaction that does.
///
/// # Errors
/// `locked`: one of them may not.
pub(super) async fn may_change<C: ConnectionTrait>(db: &C, docs: &[DocId]) -> Result<(), StoreError> {
    let locks = all(db).await?;
    for doc in docs {
        rules::may_change(doc, &locks)?;
    }
    Ok(())
}

async fn all<C: ConnectionTrait>(db: &C) -> Result<Vec<Lock>, DbErr> {
    let rows = Entity::find().order_by_asc(Column::SinceMs).order_by_asc(Column::Id).all(db).await?;
    Ok(rows
        .into_iter()
        .map(|Model { held_by, agent, deployment, .. }| Lock { by: held_by, agent, deployment })
        .collect())
}

mod entity {
    use sea_orm::entity::prelude::*;

    /// What locks an agent.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "locks")]
    pub(super) struct Model {
        /// Of whatever does.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// What people call it.
        pub held_by: String,
        pub agent: String,
        /// The one that is called from.
        pub deployment: Option<String>,
        /// Milliseconds since 1970, by the database's clock.
        pub since_ms: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(super) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
