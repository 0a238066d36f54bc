//! Lists of calls: one narrow row for each, kept beside whatever else changes of it, in the same transaction.
//!
//! A page begins behind a place, and not after a number of rows, so that the last page takes as long as the first, and calls
//! that come in meanwhile move none.

use sea_orm::sea_query::{Expr, Func, OnConflict, SimpleExpr};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, DbErr, EntityTrait as _, ExprTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use crate::engine::EndReason;
use crate::house::calls::{CallResult, Status};
use crate::report::Report;

use super::calls::NewCall;
use super::entity::calls as rows;
use super::entity::dials;
pub use super::entity::listed::Model as Listed;
use super::entity::listed::{Column, Entity};
use super::retention::clear;
use super::{Core, Store, StoreError, lease, ms_of};

/// The most that one page has.
pub const MAX_PAGE: u64 = 100;

/// Which calls are wanted. What is empty or `None` asks for nothing; of several values one is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Began at this moment or later, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Began before it.
    pub until_ms: Option<i64>,
    /// From or to this number.
    pub number: Option<String>,
    /// Of no other agents than these, whatever else is asked for: what whoever asks may see.
    pub only_agents: Option<Vec<String>>,
    /// Of these agents.
    pub agents: Vec<String>,
    /// Of these deployments.
    pub deployments: Vec<String>,
    /// Who dialled.
    pub direction: Option<rows::Direction>,
    /// In one of these.
    pub statuses: Vec<Status>,
    /// Ended so.
    pub ends: Vec<String>,
    /// With such a result.
    pub results: Vec<CallResult>,
    /// At least so long, in milliseconds.
    pub min_duration_ms: Option<i64>,
    /// At most so long.
    pub max_duration_ms: Option<i64>,
    /// Known to have cost at least so much, in millionths of the currency's unit.
    pub min_cost_micros: Option<i64>,
    /// Known to have cost at most so much.
    pub max_cost_micros: Option<i64>,
}

/// A place in a list: that of the call that was last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPlace {
    /// When that began, in milliseconds since 1970.
    pub began_ms: i64,
    /// Its id.
    pub id: String,
}

/// A part of a list, the newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct ListPage {
    /// The calls.
    pub items: Vec<Listed>,
    /// Where the next part begins, if there is one.
    pub next: Option<ListPlace>,
}

impl Store {
    /// A part of the calls that are asked for: no more than `limit`, nor than [`MAX_PAGE`], behind `after`.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn list(
        &self,
        filter: &ListFilter,
        after: Option<&ListPlace>,
        limit: u64,
    ) -> Result<ListPage, StoreError> {
        self.in_time(async { Ok(page(self.db(), filter, after, limit.clamp(1, MAX_PAGE)).await?) }).await
    }

    /// A call as lists show it.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn listed(&self, call: &str) -> Result<Option<Listed>, StoreError> {
        self.in_time(async { Ok(by_id(call).one(self.db()).await?) }).await
    }

    /// All that is kept of a call that was answered or is over, its report among it.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn call(&self, id: &str) -> Result<Option<rows::Model>, StoreError> {
        self.in_time(async { Ok(rows::Entity::find_by_id(id.to_owned()).one(self.db()).await?) }).await
    }

    /// How many calls are in each status, in the order of [`Status::ALL`]. Of the filter only times, agents and deployments
    /// count.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn count_statuses(&self, filter: &ListFilter) -> Result<[(Status, u64); 10], StoreError> {
        let counted = Entity::find()
            .select_only()
            .column(Column::Status)
            .expr(Expr::cust("count(*)"))
            .filter(of_time(filter))
            .filter(of_whom(filter))
            .group_by(Column::Status)
            .into_tuple::<(String, i64)>();
        let counted = self.in_time(async { Ok(counted.all(self.db()).await?) }).await?;
        Ok(Status::ALL.map(|status| {
            let found = counted.iter().find(|(name, _)| name == status.name());
            (status, found.map_or(0, |(_, n)| u64::try_from(*n).unwrap_or(0)))
        }))
    }
}

impl Store {
    /// How many calls of each agent wait, ring or are up, by agent and status. Of the filter only agents and deployments count.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn count_live(&self, filter: &ListFilter) -> Result<Vec<(String, Status, u64)>, StoreError> {
        let live: Vec<_> = Status::ALL.into_iter().filter(|status| status.is_live()).collect();
        let counted = Entity::find()
            .select_only()
            .columns([Column::Agent, Column::Status])
            .expr(Expr::cust("count(*)"))
            .filter(Column::Status.is_in(live.iter().map(|status| status.name())))
            .filter(of_whom(filter))
            .group_by(Column::Agent)
            .group_by(Column::Status)
            .order_by_asc(Column::Agent)
            .into_tuple::<(String, String, i64)>();
        let counted = self.in_time(async { Ok(counted.all(self.db()).await?) }).await?;
        let counted = counted
            .into_iter()
            .filter_map(|(agent, status, n)| Some((agent, Status::from_name(&status)?, u64::try_from(n).unwrap_or(0))));
        Ok(counted.collect())
    }
}

async fn page<C: ConnectionTrait>(
    db: &C,
    filter: &ListFilter,
    after: Option<&ListPlace>,
    limit: u64,
) -> Result<ListPage, DbErr> {
    let behind = after.map(|place| {
        let key = Expr::tuple([Expr::col(Column::BeganMs), Expr::col(Column::Id)]);
        key.lt(Expr::tuple([Expr::val(place.began_ms), Expr::val(place.id.as_str())]))
    });
    let part = |of: SimpleExpr| {
        Entity::find()
            .filter(of_time(filter))
            .filter(of_whom(filter))
            .filter(of_what(filter))
            .filter(Condition::all().add(of).add_option(behind.clone()))
            .order_by_desc(Column::BeganMs)
            .order_by_desc(Column::Id)
            .limit(limit + 1)
            .all(db)
    };
    let mut items = Vec::new();
    for of in parts(filter) {
        items.extend(part(of).await?);
    }
    items.sort_unstable_by(|a: &Listed, b: &Listed| (b.began_ms, &b.id).cmp(&(a.began_ms, &a.id)));
    let more = items.len() as u64 > limit;
    items.truncate(limit as usize);
    let last = items.last().filter(|_| more);
    let next = last.map(|last| ListPlace { began_ms: last.began_ms, id: last.id.clone() });
    Ok(ListPage { items, next })
}

/// Questions that together find what is asked for, each of which an index answers in the list's order: asked as one, their calls
/// would be looked through as a whole.
fn parts(filter: &ListFilter) -> Vec<SimpleExpr> {
    let by_status = one_of(Column::Status, filter.statuses.iter().map(|status| status.name()));
    let alone = of_what(filter).is_empty() && of_whom(filter).is_empty() && by_status.is_none();
    match &filter.number {
        Some(number) if alone => {
            let is_from = Column::FromNumber.eq(number.as_str());
            let not_from = Column::FromNumber.is_null().or(Column::FromNumber.ne(number.as_str()));
            vec![is_from, Column::ToNumber.eq(number.as_str()).and(not_from)]
        }
        // Of a number that all calls have, few may be left by what else is asked: then no index is of use.
        Some(number) => {
            let is = |column| unindexed(column).eq(number.as_str());
            let of_number = is(Column::FromNumber).or(is(Column::ToNumber));
            vec![by_status.map_or(of_number.clone(), |by_status| of_number.and(by_status))]
        }
        None if by_status.is_none() => vec![Expr::cust("1 = 1")],
        None => filter.statuses.iter().map(|status| Column::Status.eq(status.name())).collect(),
    }
}

fn of_time(filter: &ListFilter) -> Condition {
    Condition::all()
        .add_option(filter.since_ms.map(|since| Column::BeganMs.gte(since)))
        .add_option(filter.until_ms.map(|until| Column::BeganMs.lt(until)))
}

fn of_whom(filter: &ListFilter) -> Condition {
    let mut all = Condition::all();
    if let Some(only) = &filter.only_agents {
        all = all.add(one_of(Column::Agent, only.iter().map(String::as_str)).unwrap_or_else(|| Expr::cust("1 = 0")));
    }
    all.add_option(one_of(Column::Agent, filter.agents.iter().map(String::as_str)))
        .add_option(one_of(Column::Deployment, filter.deployments.iter().map(String::as_str)))
}

fn of_what(filter: &ListFilter) -> Condition {
    Condition::all()
        .add_option(filter.direction.map(|direction| Column::Direction.eq(direction)))
        .add_option(one_of(Column::EndKind, filter.ends.iter().map(String::as_str)))
        .add_option(one_of(Column::Result, filter.results.iter().map(|result| result.name())))
        .add_option(filter.min_duration_ms.map(|ms| Column::DurationMs.gte(ms)))
        .add_option(filter.max_duration_ms.map(|ms| Column::DurationMs.lte(ms)))
        .add_option(filter.min_cost_micros.map(|micros| Column::CostMicros.gte(micros)))
        .add_option(filter.max_cost_micros.map(|micros| Column::CostMicros.lte(micros)))
}

/// `None`: any. Of several values the calls are looked through in the list's own order: an index of such a column has none
/// that goes over several of them.
fn one_of<'a>(column: Column, values: impl Iterator<Item = &'a str>) -> Option<SimpleExpr> {
    let values: Vec<&str> = values.collect();
    match values.as_slice() {
        [] => None,
        [one] => Some(column.eq(*one)),
        _ => Some(unindexed(column).is_in(values)),
    }
}

/// A column of text, as no index has it.
fn unindexed(column: Column) -> SimpleExpr {
    Expr::from(Func::coalesce([Expr::col(column), Expr::val("")]))
}

fn by_id(call: &str) -> sea_orm::Select<Entity> {
    Entity::find().filter(Column::Id.eq(call))
}

/// A call is being placed.
pub(super) async fn placed<C: ConnectionTrait>(db: &C, call: &NewCall) -> Result<(), DbErr> {
    let row = listed_as(call, Status::Dialing);
    let there = OnConflict::column(Column::Id).do_nothing().to_owned();
    Entity::insert(row.into_active_model().reset_all()).on_conflict(there).exec_without_returning(db).await.map(drop)
}

/// The rows of calls are new, or nobody knew of them.
pub(super) async fn begun<C: ConnectionTrait>(db: &C, calls: &[rows::Model]) -> Result<(), DbErr> {
    if calls.is_empty() {
        return Ok(());
    }
    let new = calls.iter().map(|row| listed(row, Status::InProgress).into_active_model().reset_all());
    // One that was placed is there since then.
    let known = OnConflict::column(Column::Id).update_columns([Column::Status, Column::EndKind]).to_owned();
    Entity::insert_many(new).on_conflict(known).exec_without_returning(db).await.map(drop)
}

/// A call is over: its row as it is now, and its report.
pub(super) async fn ended<C: ConnectionTrait>(db: &C, row: &rows::Model, report: &Report) -> Result<(), DbErr> {
    over(db, Listed { cost_micros: known_cost(report), ..listed(row, status(report)) }).await
}

/// Where a call is that left this report.
pub(super) fn status(report: &Report) -> Status {
    let how = match &report.end {
        EndReason::NotAnswered { how, .. } => Some(how.name()),
        _ => None,
    };
    Status::of_end(report.end.kind(), how)
}

/// A call's server is gone, or it was let in too late. `spent_micros`: what it said that it had cost.
pub(super) async fn failed<C: ConnectionTrait>(
    db: &C,
    row: &rows::Model,
    end_kind: &str,
    spent_micros: Option<i64>,
) -> Result<(), DbErr> {
    let row = listed(row, Status::Failed);
    over(db, Listed { end_kind: Some(end_kind.to_owned()), cost_micros: spent_micros.filter(|m| *m > 0), ..row }).await
}

async fn over<C: ConnectionTrait>(db: &C, row: Listed) -> Result<(), DbErr> {
    let kept = [
        Column::EndedMs,
        Column::Status,
        Column::EndKind,
        Column::DurationMs,
        Column::CostMicros,
        Column::Turns,
        Column::Interruptions,
        Column::Recording,
    ];
    let known = OnConflict::column(Column::Id).update_columns(kept).to_owned();
    Entity::insert(row.into_active_model().reset_all()).on_conflict(known).exec_without_returning(db).await.map(drop)
}

/// What the analysis says of the call's result.
pub(super) async fn analysed<C: ConnectionTrait>(
    db: &C,
    call: &str,
    analysis: &serde_json::Value,
) -> Result<(), DbErr> {
    let found = analysis.pointer("/result/status").and_then(|status| CallResult::from_name(status.as_str()?));
    let Some(result) = found else { return Ok(()) };
    let update = Entity::update_many().col_expr(Column::Result, Expr::value(result.name()));
    update.filter(Column::Id.eq(call)).exec(db).await.map(drop)
}

/// A call is deleted, or was never one.
pub(super) async fn gone<C: ConnectionTrait>(db: &C, call: &str) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::Id.eq(call)).exec(db).await.map(drop)
}

/// Placed calls that began before this and of which there is no row: nobody answered them, and they have no folder.
pub(super) async fn forget_unplaced(core: &Core, before_ms: i64) -> Result<u64, StoreError> {
    let old = Condition::all().add(Column::BeganMs.lt(before_ms)).add(has_no_row());
    clear::<Entity>(core, Column::Id, old).await
}

/// The state of a placed call has changed. Once it has a row that says more.
pub(super) async fn dialled<C: ConnectionTrait>(db: &C, key: &str, state: &str) -> Result<(), DbErr> {
    let Some(status) = Status::of_dial(state) else { return Ok(()) };
    let call = dials::Entity::find_by_id(key.to_owned()).select_only().column(dials::Column::Call);
    let Some(Some(call)) = call.into_tuple::<Option<String>>().one(db).await? else { return Ok(()) };
    let end = (!status.is_live()).then_some(state);
    Entity::update_many()
        .col_expr(Column::Status, Expr::value(status.name()))
        .col_expr(Column::EndKind, Expr::value(end))
        .filter(Column::Id.eq(call).and(has_no_row()))
        .exec(db)
        .await
        .map(drop)
}

/// Calls that servers which are gone were placing: what became of them nobody knows, until somebody looks.
pub(super) async fn lose_sight(core: &Core) -> Result<(), StoreError> {
    let open = dials::Entity::find()
        .select_only()
        .column(dials::Column::Call)
        .filter(dials::Column::State.is_in(["queued", "ringing", "answered"]))
        .filter(lease::is_free(dials::Column::Owner))
        .filter(dials::Column::Call.is_not_null())
        .into_tuple::<String>();
    let lost = core.in_time(async { Ok(open.all(&core.db).await?) }).await?;
    if lost.is_empty() {
        return Ok(());
    }
    let _turn = core.turn.lock().await;
    for some in lost.chunks(500) {
        let unseen = Entity::update_many()
            .col_expr(Column::Status, Expr::value(Status::Failed.name()))
            .col_expr(Column::EndKind, Expr::value("unknown"))
            .filter(Column::Id.is_in(some.iter().map(String::as_str)).and(has_no_row()));
        core.in_time(async { Ok(unseen.exec(&core.db).await?) }).await?;
    }
    Ok(())
}

fn has_no_row() -> SimpleExpr {
    Expr::cust("NOT EXISTS (SELECT 1 FROM calls WHERE calls.id = listed.id)")
}

fn listed(row: &rows::Model, status: Status) -> Listed {
    Listed {
        id: row.id.clone(),
        began_ms: row.started_ms,
        ended_ms: row.ended_ms,
        status: status.name().to_owned(),
        direction: row.direction,
        agent: row.agent.clone(),
        deployment: row.deployment.clone(),
        from_number: row.from_number.clone(),
        to_number: row.to_number.clone(),
        end_kind: row.end_kind.clone(),
        duration_ms: row.duration_ms,
        turns: row.turns,
        interruptions: row.interruptions,
        recording: row.recording,
        ..nothing()
    }
}

/// A call that begins, as lists show it.
pub fn listed_as(call: &NewCall, status: Status) -> Listed {
    Listed {
        id: call.id.clone(),
        began_ms: ms_of(call.started),
        status: status.name().to_owned(),
        direction: call.direction,
        agent: call.agent.clone(),
        deployment: call.deployment.clone(),
        from_number: call.from.clone(),
        to_number: call.to.clone(),
        ..nothing()
    }
}

/// A call that is over, as lists show it.
pub fn listed_of(report: &Report, ended: std::time::SystemTime) -> Listed {
    let ended_ms = ms_of(ended);
    let duration_ms = i64::try_from(report.duration_ms).unwrap_or(i64::MAX);
    Listed {
        id: report.call.clone(),
        began_ms: ended_ms.saturating_sub(duration_ms),
        ended_ms: Some(ended_ms),
        status: status(report).name().to_owned(),
        direction: match report.direction.as_deref() {
            Some("outbound") => rows::Direction::Outbound,
            _ => rows::Direction::Inbound,
        },
        agent: report.agent.clone(),
        deployment: report.deployment.clone(),
        from_number: report.from.clone(),
        to_number: report.to.clone(),
        end_kind: Some(report.end.kind().to_owned()),
        duration_ms: Some(duration_ms),
        cost_micros: known_cost(report),
        turns: Some(report.turns.len() as i64),
        interruptions: Some(report.interruptions.len() as i64),
        recording: report.recording.as_ref().is_some_and(|recording| recording.frames > 0),
        ..nothing()
    }
}

fn nothing() -> Listed {
    Listed {
        id: String::new(),
        began_ms: 0,
        ended_ms: None,
        status: String::new(),
        direction: rows::Direction::Outbound,
        agent: String::new(),
        deployment: String::new(),
        from_number: None,
        to_number: None,
        end_kind: None,
        result: CallResult::Unknown.name().to_owned(),
        duration_ms: None,
        cost_micros: None,
        turns: None,
        interruptions: None,
        recording: false,
    }
}

/// What a call cost. Without a price nobody knows, unless no model was asked.
pub(super) fn known_cost(report: &Report) -> Option<i64> {
    let known = report.cost.is_some() || report.cost_micros > 0 || report.is_without_model();
    known.then(|| i64::try_from(report.cost_micros).unwrap_or(i64::MAX))
}
