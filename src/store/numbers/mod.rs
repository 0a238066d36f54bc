//! Phone numbers: those that are held, purchases under way, and where the carrier's list and ours differ.
//!
//! **A number is never bought twice.** Before the carrier is asked, the wish is a row, of which each number has one at most; it
//! counts for the quota from then on. What a process that is gone had begun is free for who looks it up (`claim_numbers`).

mod differences;
mod entity;

use std::time::Duration;

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, DatabaseConnection, EntityTrait as _,
    ExprTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, TransactionTrait as _,
};

use crate::config::Plan;
use crate::house::{self, Refusal};

use super::{Store, StoreError, id, lease, sql};
use entity::numbers::{ActiveModel, Column, Entity};

pub use differences::{Found, Sweep};
pub use entity::differences::{Kind as DifferenceKind, Model as Difference};
pub use entity::numbers::{Model as NumberRow, Origin as NumberOrigin, State as NumberState};

/// Numbers that one organization may hold: far beyond any that could be looked through by people.
pub const MOST_NUMBERS: u64 = 10_000;

/// A number that is to be held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewNumber {
    /// Tells a repetition of the same request; `None`: there is none.
    pub request: Option<String>,
    /// E.164.
    pub number: String,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// `local`, `mobile`, `toll-free`.
    pub kind: Option<String>,
    /// What people call it.
    pub title: Option<String>,
    /// The carrier's ids of papers.
    pub address: Option<String>,
    /// See `address`.
    pub bundle: Option<String>,
    /// A month, in millionths of the currency.
    pub price_micros: Option<i64>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// The carrier's id, of one that it has given us already.
    pub carrier_id: Option<String>,
    /// When it was bought, where that is known.
    pub bought_ms: Option<i64>,
}

/// What came of [`Store::reserve_number`] and [`Store::add_number`].
#[derive(Clone, Debug, PartialEq)]
pub enum Entered {
    /// It is in the list from now on.
    New(NumberRow),
    /// The same request was here before, and this is what it has come to.
    Same(NumberRow),
    /// It is not: `number_known`, `number_quota`.
    No(Refusal),
}

/// What became of a number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumberChange {
    /// Where it is; `None` leaves what there is, here and below.
    pub state: Option<NumberState>,
    /// The carrier's id.
    pub carrier_id: Option<String>,
    /// When it was bought, by the carrier's clock.
    pub bought_ms: Option<i64>,
    /// Why it was not bought; `Some(None)`: there is no reason any more.
    pub error: Option<Option<String>>,
    /// What people call it; `Some(None)`: nothing.
    pub title: Option<Option<String>>,
    /// Countries from which calls are taken; `Some(None)`: as by default.
    pub calls_from: Option<Option<String>>,
    /// Countries to which calls may go; `Some(None)`: as by default.
    pub calls_to: Option<Option<String>>,
}

impl Store {
    /// Writes down that a number is to be bought, durably, before the carrier is asked. It is this process's to buy.
    ///
    /// # Errors
    /// The store cannot be written: the carrier must not be asked then.
    pub async fn reserve_number(&self, new: NewNumber, plan: &Plan) -> Result<Entered, StoreError> {
        self.enter(new, NumberOrigin::Bought, plan).await
    }

    /// Takes a number in that is there: entered by hand, for which there is no quota, or found in the carrier's list.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn add_number(&self, new: NewNumber, origin: NumberOrigin, plan: &Plan) -> Result<Entered, StoreError> {
        self.enter(new, origin, plan).await
    }

    async fn enter(&self, new: NewNumber, origin: NumberOrigin, plan: &Plan) -> Result<Entered, StoreError> {
        let core = &self.core;
        self.in_time(async {
            let mut turn = core.turn.lock().await;
            let entered = enter(&turn, &core.me.id, new, origin, plan).await;
            if entered.is_err() {
                core.renew(&mut turn).await;
            }
            entered
        })
        .await
    }

    /// All numbers that are held or on their way, the newest first; those that were not bought are not among them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn numbers(&self) -> Result<Vec<NumberRow>, StoreError> {
        let all = Entity::find().filter(Column::State.ne(NumberState::Failed));
        let all = all.order_by_desc(Column::CreatedMs).order_by_desc(Column::Id).limit(MOST_NUMBERS);
        self.in_time(async { Ok(all.all(self.db()).await?) }).await
    }

    /// One of them by its id, also when it was not bought.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn number(&self, id: &str) -> Result<Option<NumberRow>, StoreError> {
        self.in_time(async { Ok(Entity::find_by_id(id).one(self.db()).await?) }).await
    }

    /// The same by E.164.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn number_called(&self, number: &str) -> Result<Option<NumberRow>, StoreError> {
        let found = Entity::find().filter(Column::Number.eq(number));
        self.in_time(async { Ok(found.one(self.db()).await?) }).await
    }

    /// What the request of that name has come to.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn number_of_request(&self, request: &str) -> Result<Option<NumberRow>, StoreError> {
        let found = Entity::find().filter(Column::Request.eq(request)).filter(Column::State.ne(NumberState::Failed));
        self.in_time(async { Ok(found.one(self.db()).await?) }).await
    }

    /// Calls from or to a number that go on, on all servers.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn calls_on(&self, number: &str) -> Result<usize, StoreError> {
        use super::entity::calls::{Column as Call, Entity as Calls, State as CallState};
        let on = Condition::any().add(Call::ToNumber.eq(number)).add(Call::FromNumber.eq(number));
        let on = Calls::find().filter(Call::State.eq(CallState::Running)).filter(on);
        self.in_time(async { Ok(on.count(self.db()).await? as usize) }).await
    }

    /// How many count for the quota: bought and taken over, assigned or not, and on their way.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn numbers_used(&self) -> Result<u32, StoreError> {
        self.in_time(async { used(self.db()).await }).await
    }

    /// Numbers that are being bought or given back by nobody who is alive, and by this process but for those in `busy`. They
    /// are this process's from now on.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn claim_numbers(&self, busy: &[String], limit: u64) -> Result<Vec<NumberRow>, StoreError> {
        let core = &self.core;
        self.in_time(async {
            let mut turn = core.turn.lock().await;
            let claimed = claim(&turn, &core.me.id, busy, limit).await;
            if claimed.is_err() {
                core.renew(&mut turn).await;
            }
            claimed
        })
        .await
    }

    /// Notes what became of a number that is in one of the states `from`. `None`: it is in none of them any more.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn change_number(
        &self,
        id: &str,
        from: &[NumberState],
        change: NumberChange,
    ) -> Result<Option<NumberRow>, StoreError> {
        let open = matches!(change.state, Some(NumberState::Buying | NumberState::Releasing));
        let owner = open.then(|| self.core.me.id.clone());
        let row = ActiveModel {
            carrier_id: change.carrier_id.map_or(NotSet, |id| Set(Some(id))),
            bought_ms: change.bought_ms.map_or(NotSet, |at| Set(Some(at))),
            error: change.error.map_or(NotSet, Set),
            title: change.title.map_or(NotSet, Set),
            calls_from: change.calls_from.map_or(NotSet, Set),
            calls_to: change.calls_to.map_or(NotSet, Set),
            owner: if change.state.is_some() { Set(owner) } else { NotSet },
            state: change.state.map_or(NotSet, Set),
            ..Default::default()
        };
        let (db, is) = (self.db(), Column::Id.eq(id).and(Column::State.is_in(from.iter().copied())));
        self.in_time(async {
            let _turn = self.core.turn.lock().await;
            let mut update = Entity::update_many().filter(is.clone());
            if row.is_changed() {
                update = update.set(row);
            }
            if open {
                update = update.col_expr(Column::AskedMs, sql::clock(db));
            }
            let changed = update.exec(db).await?.rows_affected > 0;
            if !changed {
                return Ok(None);
            }
            Ok(Entity::find_by_id(id).one(db).await?)
        })
        .await
    }

    /// Takes a number off, if it is in one of the states `from`. `false`: it is not, or is gone.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn remove_number(&self, id: &str, from: &[NumberState]) -> Result<bool, StoreError> {
        let is = Column::Id.eq(id).and(Column::State.is_in(from.iter().copied()));
        self.in_time(async {
            let _turn = self.core.turn.lock().await;
            Ok(Entity::delete_many().filter(is).exec(self.db()).await?.rows_affected > 0)
        })
        .await
    }

    /// Purchases that did not come to anything are remembered for a while, and not without end.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn forget_failed_numbers(&self, after: Duration) -> Result<(), StoreError> {
        let clock = sql::clock_text(self.db());
        let old = Entity::delete_many()
            .filter(Column::State.eq(NumberState::Failed))
            .filter(Expr::cust(format!("asked_ms < {clock} - {}", after.as_millis())));
        self.in_time(async {
            let _turn = self.core.turn.lock().await;
            Ok(old.exec(self.db()).await.map(drop)?)
        })
        .await
    }
}

/// Of two that ask for one number, or for the last of the quota, one is first.
async fn enter(
    db: &DatabaseConnection,
    me: &str,
    new: NewNumber,
    origin: NumberOrigin,
    plan: &Plan,
) -> Result<Entered, StoreError> {
    let txn = db.begin_with_options(sql::immediate()).await?;
    sql::numbers_alone(&txn).await?;
    if let Some(request) = &new.request {
        let same = Entity::find().filter(Column::Request.eq(request.as_str())).one(&txn).await?;
        // One that came to nothing may be tried again.
        let open = |row: &NumberRow| row.state != NumberState::Failed || row.number != new.number;
        if let Some(same) = same.filter(open) {
            return Ok(Entered::Same(same));
        }
    }
    let known = Entity::find().filter(Column::Number.eq(new.number.as_str())).one(&txn).await?;
    if known.as_ref().is_some_and(|known| known.state != NumberState::Failed) {
        return Ok(Entered::No(house::numbers::known()));
    }
    if origin != NumberOrigin::ByHand
        && let Err(full) = house::numbers::may_buy(used(&txn).await?, plan)
    {
        return Ok(Entered::No(full));
    }
    if Entity::find().count(&txn).await? >= MOST_NUMBERS {
        return Err(StoreError::Refused(format!("there are {MOST_NUMBERS} numbers")));
    }
    let now_ms = sql::clock_ms(&txn).await?;
    let buys = origin == NumberOrigin::Bought;
    // One that was not bought keeps its name at the carrier: were it bought after all, it is the same purchase.
    let (row_id, tag) = match known {
        Some(failed) => {
            Entity::delete_by_id(failed.id.as_str()).exec(&txn).await?;
            (failed.id, failed.tag)
        }
        None => (id::new_at_any_rate(id::Kind::Number), None),
    };
    let tag = tag.or_else(|| buys.then(|| tag_of(&row_id)));
    let row = NumberRow {
        tag,
        id: row_id,
        request: new.request,
        number: new.number,
        origin,
        state: if buys { NumberState::Buying } else { NumberState::Held },
        carrier_id: new.carrier_id,
        country: new.country,
        kind: new.kind,
        title: new.title,
        address: new.address,
        bundle: new.bundle,
        price_micros: new.price_micros,
        currency: new.currency,
        calls_from: None,
        calls_to: None,
        created_ms: now_ms,
        bought_ms: new.bought_ms,
        asked_ms: buys.then_some(now_ms),
        error: None,
        owner: buys.then(|| me.to_owned()),
    };
    let set: ActiveModel = row.clone().into();
    Entity::insert(set.reset_all()).exec_without_returning(&txn).await?;
    txn.commit().await?;
    Ok(Entered::New(row))
}

/// What the carrier calls a number of ours: the random end of its row's id.
fn tag_of(id: &str) -> String {
    format!("oh:{}", id.rsplit('-').next().unwrap_or(id))
}

async fn used<C: ConnectionTrait>(db: &C) -> Result<u32, StoreError> {
    let counts = Column::Origin.ne(NumberOrigin::ByHand).and(Column::State.ne(NumberState::Failed));
    let used = Entity::find().filter(counts).count(db).await?;
    Ok(u32::try_from(used).unwrap_or(u32::MAX))
}

async fn claim(db: &DatabaseConnection, me: &str, busy: &[String], limit: u64) -> Result<Vec<NumberRow>, StoreError> {
    let txn = db.begin_with_options(sql::immediate()).await?;
    let ours = Column::Owner.eq(me).and(Column::Id.is_not_in(busy.iter().map(String::as_str)));
    let free = Condition::any().add(ours).add(lease::is_free(Column::Owner));
    let open = Column::State.is_in([NumberState::Buying, NumberState::Releasing]);
    let found = Entity::find().filter(open).filter(free).order_by_asc(Column::CreatedMs).limit(limit);
    let found = sql::untaken(&txn, found).all(&txn).await?;
    Entity::update_many()
        .col_expr(Column::Owner, Expr::value(me))
        .filter(Column::Id.is_in(found.iter().map(|row| row.id.as_str())))
        .exec(&txn)
        .await?;
    txn.commit().await?;
    Ok(found)
}
