//! The second factor's secret as it is kept: sealed with the operator's key (SEC-01), for its user alone.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
    QuerySelect as _,
};

use super::People;
use super::entity::users::{Column, Entity};
use crate::config::Secret;
use crate::house::people as rules;
use crate::store::{StoreError, seal};

/// Rows that are sealed in one transaction: others write in between.
const AT_ONCE: u64 = 100;

/// What is kept of `secret`.
///
/// # Errors
/// `no_seal_key`: nothing is kept as it is.
pub(super) fn close(key: Option<&Secret>, user: &str, secret: &str) -> Result<String, StoreError> {
    rules::may_seal_factor(key.is_some())?;
    let sealed = key.and_then(|key| seal::seal(key, &whose(user), &Secret::new(secret)));
    sealed.ok_or_else(|| StoreError::Io("the system has no randomness".to_owned()))
}

/// The secret that is kept so; `None`: it was sealed with another key. What was kept before there was one is as it is.
pub(super) fn open(key: Option<&Secret>, user: &str, kept: &str) -> Option<Secret> {
    match seal::is_sealed(kept) {
        true => key.and_then(|key| seal::open(key, &whose(user), kept)),
        false => Some(Secret::new(kept)),
    }
}

fn whose(user: &str) -> String {
    format!("second factor of {user}")
}

impl People {
    /// Seals what was kept before there was a key, and says so; without one, how many are not sealed.
    pub(in crate::store) async fn seal_factors(&self) -> Result<(), StoreError> {
        let Some(key) = self.0.seal_key() else {
            let plain = self.0.in_time(async { Ok(plain().count(self.0.db()).await?) }).await?;
            if plain > 0 {
                tracing::warn!(
                    users = plain,
                    "secrets of second factors are in the store as they are; [store] seal_key in offhook.toml seals them"
                );
            }
            return Ok(());
        };
        let mut sealed = 0;
        loop {
            match self.change(async |txn| some(txn, &key).await).await? {
                0 => break,
                done => sealed += done,
            }
        }
        if sealed > 0 {
            tracing::info!(users = sealed, "secrets of second factors are sealed from now on");
        }
        Ok(())
    }
}

/// Users whose secret is kept as it is.
fn plain() -> sea_orm::Select<Entity> {
    // Of what there is not, SQL says neither yes nor no.
    let is_plain = |column: Column| column.not_like(format!("{}%", seal::VERSION));
    Entity::find().filter(Condition::any().add(is_plain(Column::Factor)).add(is_plain(Column::FactorPending)))
}

async fn some<C: ConnectionTrait>(db: &C, key: &Secret) -> Result<usize, StoreError> {
    let rows = plain().limit(AT_ONCE).all(db).await?;
    for row in &rows {
        for (column, kept) in [(Column::Factor, &row.factor), (Column::FactorPending, &row.factor_pending)] {
            if let Some(secret) = kept.as_deref().filter(|kept| !seal::is_sealed(kept)) {
                let kept = close(Some(key), &row.id, secret)?;
                let change = Entity::update_many().col_expr(column, Expr::value(kept));
                change.filter(Column::Id.eq(row.id.as_str())).exec(db).await?;
            }
        }
    }
    Ok(rows.len())
}

#[cfg(test)]
impl People {
    /// All secrets as they are kept.
    pub(in crate::store) async fn kept_factors(&self) -> Result<Vec<String>, StoreError> {
        let rows = Entity::find().all(self.0.db()).await?;
        Ok(rows.into_iter().flat_map(|row| [row.factor, row.factor_pending]).flatten().collect())
    }
}
