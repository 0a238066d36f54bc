//! Requests that came with an idempotency key: a repetition within a day is given the first answer (API-05).
//!
//! A key is known by what whoever asks has made of it and their credential, and answers come sealed: the rows tell nobody
//! what was asked or answered.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait as _, Condition, EntityTrait as _, ExprTrait as _, QueryFilter as _};

use super::retention::clear;
use super::{Core, Store, StoreError, lease, sql};
use entity::{ActiveModel, Column, Entity};

/// How long a key is kept.
pub const KEPT_MS: i64 = 24 * 3_600_000;

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyTaken {
    /// It is new, and taken: the request is to be carried out.
    New,
    /// The same request is being carried out.
    Running,
    /// The same request was answered so.
    Answered(String),
    /// It was used for another request.
    Other,
}

impl Store {
    /// Takes a key for a request, durably, before anything is done. Of two requests with one key only one finds it new. What a
    /// server that is gone had begun is begun anew.
    ///
    /// # Errors
    /// The store cannot be written: nothing is to be done then.
    pub async fn take_key(&self, id: &str, hash: &str) -> Result<KeyTaken, StoreError> {
        let (core, me) = (&self.core, self.core.me.id.as_str());
        self.in_time(async {
            let _turn = core.turn.lock().await;
            let now_ms = sql::clock_ms(self.db()).await?;
            let old = Column::Id.eq(id).and(Column::CreatedMs.lt(now_ms - KEPT_MS));
            Entity::delete_many().filter(old).exec(self.db()).await?;
            let row = ActiveModel {
                id: Set(id.to_owned()),
                hash: Set(hash.to_owned()),
                created_ms: Set(now_ms),
                owner: Set(Some(me.to_owned())),
                answer: Set(None),
            };
            let there = OnConflict::column(Column::Id).do_nothing().to_owned();
            if Entity::insert(row).on_conflict(there).exec_without_returning(self.db()).await? > 0 {
                core.in_hand.keys().insert(id.to_owned());
                return Ok(KeyTaken::New);
            }
            let known = Entity::find_by_id(id).one(self.db()).await?.ok_or(StoreError::Gone)?;
            if known.hash != hash {
                return Ok(KeyTaken::Other);
            }
            if let Some(answer) = known.answer {
                return Ok(KeyTaken::Answered(answer));
            }
            // One that carries our name though nobody here has it was taken without our hearing of it: nothing was done.
            let lost = (!core.in_hand.keys().contains(id)).then(|| Column::Owner.eq(me));
            let free = Condition::any().add(lease::is_free(Column::Owner)).add_option(lost);
            let left = Condition::all().add(Column::Id.eq(id)).add(Column::Answer.is_null()).add(free);
            let ours = Entity::update_many().col_expr(Column::Owner, Expr::value(me)).filter(left);
            if ours.exec(self.db()).await?.rows_affected == 0 {
                return Ok(KeyTaken::Running);
            }
            core.in_hand.keys().insert(id.to_owned());
            Ok(KeyTaken::New)
        })
        .await
    }

    /// What the request with a key was answered; `None`: it came to nothing, and may be made again with the same key.
    ///
    /// # Errors
    /// The store cannot be written: the key stays in use until it is said again.
    pub async fn answer_key(&self, id: &str, answer: Option<String>) -> Result<(), StoreError> {
        self.in_time(async {
            let _turn = self.core.turn.lock().await;
            match answer {
                None => Entity::delete_by_id(id).exec(self.db()).await.map(drop)?,
                Some(answer) => {
                    let said = Entity::update_many().col_expr(Column::Answer, Expr::value(answer));
                    said.filter(Column::Id.eq(id)).exec(self.db()).await.map(drop)?;
                }
            }
            self.core.in_hand.keys().remove(id);
            Ok(())
        })
        .await
    }
}

/// Forgets keys that are old. Answers how many.
pub(super) async fn forget(core: &Core) -> Result<u64, StoreError> {
    let old = Expr::cust(format!("created_ms < {} - {KEPT_MS}", sql::clock_text(&core.db)));
    clear::<Entity>(core, Column::Id, Condition::all().add(old)).await
}

mod entity {
    use sea_orm::entity::prelude::*;

    /// A request that came with a key.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "requests")]
    pub(super) struct Model {
        /// Of credential and key, neither of which can be told from it.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// Of what was asked.
        pub hash: String,
        /// Milliseconds since 1970, by the database's clock.
        pub created_ms: i64,
        /// The server's process that carries it out.
        pub owner: Option<String>,
        /// Sealed; none while it is carried out.
        #[sea_orm(column_type = "Text")]
        pub answer: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(super) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
