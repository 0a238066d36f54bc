//! What came of holding the carrier's list against ours.

use std::collections::HashMap;

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseConnection, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, TransactionTrait as _,
};

use crate::store::{Store, StoreError, sql};

use super::MOST_NUMBERS;
use super::entity::differences::{ActiveModel, Column, Entity, Kind, Model};
use super::entity::sweeps;

/// Rows in one statement.
const AT_ONCE: usize = 500;

/// A difference as it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// E.164.
    pub number: String,
    /// What differs.
    pub kind: Kind,
    /// The carrier's id of it.
    pub carrier_id: Option<String>,
    /// In words.
    pub detail: String,
}

/// The last look at the carrier's list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// When the whole list was last read, in milliseconds since 1970; `None`: never.
    pub at_ms: Option<i64>,
    /// When it was last tried.
    pub tried_ms: Option<i64>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

impl Store {
    /// The carrier's whole list was held against ours: these are all differences there are.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn set_differences(&self, account: &str, found: Vec<Found>) -> Result<(), StoreError> {
        let core = &self.core;
        self.in_time(async {
            let mut turn = core.turn.lock().await;
            let set = set(&turn, account, found).await;
            if set.is_err() {
                core.renew(&mut turn).await;
            }
            set
        })
        .await
    }

    /// The list could not be read: what is known stays.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn sweep_failed(&self, account: &str, why: &str) -> Result<(), StoreError> {
        self.in_time(async {
            let _turn = self.core.turn.lock().await;
            let now_ms = sql::clock_ms(self.db()).await?;
            let row = sweeps::ActiveModel {
                account: Set(account.to_owned()),
                at_ms: Set(0),
                tried_ms: Set(now_ms),
                error: Set(Some(why.to_owned())),
            };
            let known = OnConflict::column(sweeps::Column::Account)
                .update_columns([sweeps::Column::TriedMs, sweeps::Column::Error])
                .to_owned();
            Ok(sweeps::Entity::insert(row).on_conflict(known).exec_without_returning(self.db()).await.map(drop)?)
        })
        .await
    }

    /// All differences that the last look found, and that look.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn differences(&self, account: &str) -> Result<(Vec<Model>, Sweep), StoreError> {
        self.in_time(async {
            let all = Entity::find().order_by_asc(Column::Number).limit(MOST_NUMBERS).all(self.db()).await?;
            let sweep = sweeps::Entity::find_by_id(account).one(self.db()).await?;
            let sweep = sweep.map_or_else(Sweep::default, |sweep| Sweep {
                at_ms: Some(sweep.at_ms).filter(|at| *at > 0),
                tried_ms: Some(sweep.tried_ms),
                error: sweep.error,
            });
            Ok((all, sweep))
        })
        .await
    }

    /// A difference was settled.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn difference_settled(&self, number: &str) -> Result<(), StoreError> {
        self.in_time(async {
            let _turn = self.core.turn.lock().await;
            Ok(Entity::delete_by_id(number).exec(self.db()).await.map(drop)?)
        })
        .await
    }
}

async fn set(db: &DatabaseConnection, account: &str, found: Vec<Found>) -> Result<(), StoreError> {
    let txn = db.begin_with_options(sql::immediate()).await?;
    sql::numbers_alone(&txn).await?;
    let now_ms = sql::clock_ms(&txn).await?;
    let known = Entity::find().all(&txn).await?;
    let known: HashMap<String, (Kind, i64)> =
        known.into_iter().map(|known| (known.number, (known.kind, known.found_ms))).collect();
    Entity::delete_many().exec(&txn).await?;
    let rows = found.into_iter().take(MOST_NUMBERS as usize).map(|found| {
        let since = known.get(&found.number).filter(|(kind, _)| *kind == found.kind).map_or(now_ms, |(_, at)| *at);
        let row = Model {
            number: found.number,
            kind: found.kind,
            carrier_id: found.carrier_id,
            detail: found.detail,
            found_ms: since,
        };
        ActiveModel::from(row).reset_all()
    });
    let rows: Vec<ActiveModel> = rows.collect();
    for some in rows.chunks(AT_ONCE) {
        Entity::insert_many(some.iter().cloned()).exec_without_returning(&txn).await?;
    }
    let row = sweeps::ActiveModel {
        account: Set(account.to_owned()),
        at_ms: Set(now_ms),
        tried_ms: Set(now_ms),
        error: Set(None),
    };
    let columns = [sweeps::Column::AtMs, sweeps::Column::TriedMs, sweeps::Column::Error];
    let again = OnConflict::column(sweeps::Column::Account).update_columns(columns).to_owned();
    sweeps::Entity::insert(row).on_conflict(again).exec_without_returning(&txn).await?;
    // Of another account nothing is known any more.
    sweeps::Entity::update_many()
        .col_expr(sweeps::Column::AtMs, Expr::value(0_i64))
        .filter(sweeps::Column::Account.ne(account))
        .exec(&txn)
        .await?;
    txn.commit().await?;
    Ok(())
}
