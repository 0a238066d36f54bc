//! Who did what to which object and when.

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::{Expr, Func};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, ExprTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use serde_json::Value;

use super::People;
pub use super::entity::audit::Model as AuditRow;
use super::entity::audit::{ActiveModel, Column, Entity};
use crate::store::retention::clear;
use crate::store::{Core, StoreError, sql};

/// How long it is remembered.
const KEPT_DAYS: i64 = 400;
/// Bytes of a detail; what is longer is left out.
const MAX_DETAIL: usize = 8_000;
/// Characters of a name.
const MAX_NAME: usize = 300;

/// Which entries are meant; all that are named must be true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Done to this, or to one of these; none: to anything.
    pub objects: Vec<String>,
    /// Done by them.
    pub who: Option<String>,
    /// Of this kind: `user.add`; or all of `user`.
    pub action: Option<String>,
    /// Not before, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Before.
    pub until_ms: Option<i64>,
}

impl People {
    /// As [`Store::audit`](crate::store::Store::audit).
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn audit(&self, who: &str, action: &str, object: &str, detail: Option<Value>) -> Result<(), StoreError> {
        self.0
            .in_time(async {
                let writing = self.0.begin().await?;
                let done = add(&writing.txn, who, action, object, detail).await;
                writing.end(done).await
            })
            .await
    }

    /// The same for what is done once for each object, and may be said again: only the first is noted.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn audit_once(
        &self,
        who: &str,
        action: &str,
        object: &str,
        detail: Option<Value>,
    ) -> Result<(), StoreError> {
        self.change(async |txn| {
            let same = Column::Object.eq(object).and(Column::Action.eq(action));
            let known = Entity::find().select_only().column(Column::Seq).filter(same).limit(1);
            match known.into_tuple::<i64>().one(txn).await? {
                Some(_) => Ok(()),
                None => add(txn, who, action, object, detail).await,
            }
        })
        .await
    }

    /// Entries, the newest first, those before `before` ([`AuditRow::seq`]), no more than `limit`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn audited(
        &self,
        filter: &AuditFilter,
        before: Option<i64>,
        limit: u64,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let mut all = Entity::find().order_by_desc(Column::Seq).limit(limit);
        if !filter.objects.is_empty() {
            all = all.filter(Column::Object.is_in(filter.objects.iter().map(String::as_str)));
        }
        if let Some(who) = &filter.who {
            all = all.filter(Column::Who.eq(who.as_str()));
        }
        if let Some(action) = &filter.action {
            // Letter by letter: by LIKE one database asks for no case, and signs of the action stand for others.
            let begin = format!("{action}.");
            let length = i32::try_from(begin.chars().count()).unwrap_or(i32::MAX);
            let first = Func::cust("substr").args([Expr::col(Column::Action), Expr::val(1), Expr::val(length)]);
            all = all.filter(Column::Action.eq(action.as_str()).or(Expr::from(first).eq(begin)));
        }
        if let Some(since) = filter.since_ms {
            all = all.filter(Column::AtMs.gte(since));
        }
        if let Some(until) = filter.until_ms {
            all = all.filter(Column::AtMs.lt(until));
        }
        if let Some(before) = before {
            all = all.filter(Column::Seq.lt(before));
        }
        self.0.in_time(async { Ok(all.all(self.0.db()).await?) }).await
    }
}

/// In the transaction of what it tells about.
pub(in crate::store) async fn add<C: ConnectionTrait>(
    db: &C,
    who: &str,
    action: &str,
    object: &str,
    detail: Option<Value>,
) -> Result<(), StoreError> {
    let short = |text: &str| text.chars().take(MAX_NAME).collect::<String>();
    let row = ActiveModel {
        seq: NotSet,
        at_ms: Set(sql::clock_ms(db).await?),
        who: Set(short(who)),
        action: Set(short(action)),
        object: Set(short(object)),
        detail: Set(detail.map(|detail| detail.to_string()).filter(|text| text.len() <= MAX_DETAIL)),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// What is remembered for long enough goes, as do links and sessions that are over.
pub(in crate::store) async fn forget(core: &Core) -> Result<(), StoreError> {
    use super::entity::{links, sessions};
    let clock = sql::clock_text(&core.db);
    let before =
        |column: &str, days: i64| Condition::all().add(Expr::cust(format!("{column} < {clock} - {}", days * DAY_MS)));
    clear::<Entity>(core, Column::Seq, before("at_ms", KEPT_DAYS)).await?;
    // Who comes with a link of last month is told that its time is over; later it is not known any more.
    clear::<links::Entity>(core, links::Column::Id, before("expires_ms", 30)).await?;
    clear::<sessions::Entity>(core, sessions::Column::Id, before("ends_ms", 0)).await?;
    Ok(())
}

const DAY_MS: i64 = 86_400_000;
