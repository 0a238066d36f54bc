//! What one server asks of another: an order for a call that is up there, and the answer.
//!
//! An order is a row. The server that it is for claims it, once, carries it out and writes the answer; who asked waits for that no
//! longer than said. **It is never asked twice**: one that nobody claimed in time is taken back and was certainly not carried out,
//! and of one that was claimed and not answered nobody knows.

use std::time::Duration;

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, ExprTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use tokio::time::{Instant, timeout_at};

use super::entity::{dials, holds, servers};
use super::notices::{self, Topic};
use super::{IdKind, Store, StoreError, id, sql};

use entity::{ActiveModel, Column, Entity};

/// Orders that may wait for one server.
const MOST: u64 = 256;
/// Orders that are claimed in one go.
const SOME: u64 = 16;
/// The longest order.
const MAX_BYTES: usize = 16 << 10;
/// How often it is looked for the answer, where no notice comes.
const LOOK: Duration = Duration::from_millis(200);
/// How long rows stay that nobody has taken away.
const KEPT_MS: i64 = 60_000;

/// An order for this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// To [answer](Store::answer) it.
    pub id: String,
    /// What is asked, as the server said it that asked.
    pub order: String,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The other server's answer.
    Answer(String),
    /// The other server is gone.
    Gone,
    /// It did not take the order in time: it was not carried out, and will not be.
    Untaken,
    /// It took the order and has not answered in time: nobody knows.
    Unknown,
}

impl Store {
    /// The server that has a call which is up or rings; `None`: none has.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn server_of(&self, call: &str) -> Result<Option<String>, StoreError> {
        self.in_time(async {
            let held = holds::Entity::find_by_id(call).one(self.db()).await?;
            if let Some(held) = held {
                return Ok(Some(held.owner));
            }
            let dial = dials::Entity::find().filter(dials::Column::Call.eq(call)).one(self.db()).await?;
            Ok(dial.and_then(|dial| dial.owner))
        })
        .await
    }

    /// The other servers of this store that were not taken for gone.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn other_servers(&self) -> Result<Vec<String>, StoreError> {
        if self.core.place.is_own() {
            return Ok(Vec::new());
        }
        let others = servers::Entity::find().select_only().column(servers::Column::Id);
        let others = others.filter(servers::Column::Id.ne(self.core.me.id.as_str())).order_by_asc(servers::Column::Id);
        self.in_time(async { Ok(others.into_tuple::<String>().all(self.db()).await?) }).await
    }

    /// Asks something of another server, and waits for its answer, but no longer than `patience`.
    ///
    /// # Errors
    /// The store cannot be written, or not in time, or too much waits for that server.
    pub async fn ask(&self, server: &str, order: &str, patience: Duration) -> Result<Reply, StoreError> {
        if order.len() > MAX_BYTES {
            return Err(StoreError::Refused(format!("an order has no more than {MAX_BYTES} bytes")));
        }
        // Before it is asked, so that no answer is missed.
        let mut told = self.core.listen(Topic::Commands);
        let until = Instant::now() + patience;
        let id = id::new_at_any_rate(IdKind::Command);
        if !self.write_order(&id, server, order, patience).await? {
            return Ok(Reply::Gone);
        }
        loop {
            // The order is there: a store that does not answer any more tells nothing of what became of it.
            let answered = self.in_time(async { Ok(Entity::find_by_id(id.as_str()).one(self.db()).await?) }).await;
            if let Some(answer) = answered.ok().flatten().and_then(|row| row.answer) {
                // A row that stays is old in a minute, and goes then.
                let _ = self.drop_order(&id, false).await;
                return Ok(Reply::Answer(answer));
            }
            if Instant::now() >= until {
                break;
            }
            let next = until.min(Instant::now() + LOOK);
            // Other orders' notices are few, and looked at like ours.
            let _ = timeout_at(next, told.next()).await;
        }
        let taken_back = self.drop_order(&id, true).await.unwrap_or(false);
        Ok(if taken_back { Reply::Untaken } else { Reply::Unknown })
    }

    /// `false`: there is no such server any more.
    async fn write_order(&self, id: &str, server: &str, order: &str, patience: Duration) -> Result<bool, StoreError> {
        self.in_time(async {
            let _turn = self.core.turn.lock().await;
            if servers::Entity::find_by_id(server).one(self.db()).await?.is_none() {
                return Ok(false);
            }
            let waiting = Entity::find().filter(Column::Server.eq(server)).filter(Column::Taken.eq(false));
            if waiting.count(self.db()).await? >= MOST {
                return Err(StoreError::Refused("too much waits for the server that has the call".to_owned()));
            }
            let row = ActiveModel {
                id: Set(id.to_owned()),
                server: Set(server.to_owned()),
                command: Set(order.to_owned()),
                due_ms: Set(sql::clock_ms(self.db()).await? + patience.as_millis() as i64),
                taken: Set(false),
                answer: Set(None),
            };
            Entity::insert(row).exec_without_returning(self.db()).await?;
            notices::notify(self.db(), Topic::Commands, server).await?;
            Ok(true)
        })
        .await
    }

    /// Takes an order's row away. `untaken`: only if nobody has claimed it. Tells whether it did.
    async fn drop_order(&self, id: &str, untaken: bool) -> Result<bool, StoreError> {
        self.in_time(async {
            let _turn = self.core.turn.lock().await;
            let mut this = Entity::delete_many().filter(Column::Id.eq(id));
            if untaken {
                this = this.filter(Column::Taken.eq(false));
            }
            Ok(this.exec(self.db()).await?.rows_affected > 0)
        })
        .await
    }

    /// Claims what is asked of this server and is not too late, what was asked first before the rest: each once. Old rows go.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn asked(&self) -> Result<Vec<Asked>, StoreError> {
        self.in_time(async {
            let now = Expr::cust(sql::clock_text(self.db()));
            let mine = Column::Server.eq(self.core.me.id.as_str()).and(Column::Taken.eq(false));
            let waiting = Entity::find().filter(mine).filter(Expr::col(Column::DueMs).gt(now));
            let waiting = waiting.order_by_asc(Column::Id).limit(SOME).all(self.db()).await?;
            let _turn = self.core.turn.lock().await;
            let mut claimed = Vec::with_capacity(waiting.len());
            for row in waiting {
                let this = Column::Id.eq(row.id.as_str()).and(Column::Taken.eq(false));
                let claim = Entity::update_many().col_expr(Column::Taken, Expr::value(true)).filter(this);
                if claim.exec(self.db()).await?.rows_affected > 0 {
                    claimed.push(Asked { id: row.id, order: row.command });
                }
            }
            if claimed.is_empty() {
                let old = format!("due_ms < {} - {KEPT_MS}", sql::clock_text(self.db()));
                Entity::delete_many().filter(Expr::cust(old)).exec(self.db()).await?;
            }
            Ok(claimed)
        })
        .await
    }

    /// What came of an order that this server has claimed.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn answer(&self, id: &str, answer: &str) -> Result<(), StoreError> {
        self.in_time(async {
            let _turn = self.core.turn.lock().await;
            let said = Entity::update_many().col_expr(Column::Answer, Expr::value(answer)).filter(Column::Id.eq(id));
            said.exec(self.db()).await?;
            Ok(notices::notify(self.db(), Topic::Commands, id).await?)
        })
        .await
    }
}

mod entity {
    use sea_orm::entity::prelude::*;

    /// Something that one server asks of another.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "commands")]
    pub(super) struct Model {
        /// Sorts by when it was asked.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// The server's process that is asked.
        pub server: String,
        /// JSON.
        #[sea_orm(column_type = "Text")]
        pub command: String,
        /// Nobody begins with it later than that: milliseconds since 1970, by the database's clock.
        pub due_ms: i64,
        /// The server has begun with it.
        pub taken: bool,
        /// JSON; none until it is done.
        #[sea_orm(column_type = "Text")]
        pub answer: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(super) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
