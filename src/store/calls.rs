//! Rows of calls: begun, ended, asked for.

use std::sync::Arc;
use std::time::SystemTime;

use sea_orm::ActiveValue::{NotSet, Set, Unchanged};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, DbErr, EntityTrait as _, ExprTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde_json::Value;

use crate::config::{EventType, Webhook};
use crate::engine::EndReason;
use crate::report::Report;

use super::entity::calls::{ActiveModel, Column, Direction, Entity, Model, State};
use super::entity::holds;
use super::jobs::{self, NewJob, PICTURES};
use super::{Core, Desk, Store, StoreError, admit, event, id, lists, ms_of, outbox, usage};

/// A call that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCall {
    /// Our id, and the name of its folder.
    pub id: String,
    /// The carrier's id.
    pub carrier_call: String,
    /// Who dialled.
    pub direction: Direction,
    /// Its deployment's name.
    pub deployment: String,
    /// Its agent's name.
    pub agent: String,
    /// The configuration's revision.
    pub revision: String,
    /// Who calls, E.164; the carrier's word when it is withheld.
    pub from: Option<String>,
    /// Who is called, E.164.
    pub to: Option<String>,
    /// When it began.
    pub started: SystemTime,
    /// Whether somebody picked up. Of a call that was placed and was not answered, no start is told.
    pub answered: bool,
}

/// A call that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedCall {
    /// Its report, as it was written into its folder.
    pub report: Box<Report>,
    /// When it ended.
    pub ended: SystemTime,
    /// Whether its pictures are to be drawn.
    pub pictures: bool,
}

/// Whose calls are added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spender {
    /// Of a deployment, by name.
    Deployment(String),
    /// With a person's number (E.164): who called us, or whom we called.
    Number(String),
}

/// Which calls are asked for. The default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// Began at this moment or later, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Began before this moment.
    pub until_ms: Option<i64>,
    /// Of this deployment.
    pub deployment: Option<String>,
    /// Ended so: the `end.kind` of the report.
    pub end: Option<String>,
    /// From or to this number.
    pub number: Option<String>,
    /// In this state.
    pub state: Option<State>,
    /// No more than so many, the newest.
    pub limit: u64,
}

/// Adds the row, unless it is there, or notes that a call that was placed is answered. `true`: it was not so before.
pub(super) async fn begin<C: ConnectionTrait>(
    db: &C,
    core: &Core,
    hooks: &[Arc<Webhook>],
    call: &NewCall,
) -> Result<bool, DbErr> {
    let row = new_row(core, call);
    let none_yet = OnConflict::column(Column::Id).do_nothing().to_owned();
    let new = row.clone().into_active_model().reset_all();
    if Entity::insert(new).on_conflict(none_yet).exec_without_returning(db).await? == 0 {
        if !call.answered {
            return Ok(false);
        }
        let answered = Entity::update_many()
            .col_expr(Column::CarrierCall, Expr::value(row.carrier_call.as_str()))
            .col_expr(Column::StartedMs, Expr::value(row.started_ms))
            .filter(unanswered(&call.id));
        // Written once more after an answer that was lost, it is noted, and told, already.
        if answered.exec(db).await?.rows_affected == 0 {
            return Ok(false);
        }
    }
    if call.answered {
        lists::begun(db, std::slice::from_ref(&row)).await?;
        outbox::add(db, hooks, &row, EventType::CallStarted, &Value::Object(Default::default()), None).await?;
    }
    Ok(true)
}

/// Adds the rows of calls that are new for certain, and tells that they have started.
pub(super) async fn begin_all<C: ConnectionTrait>(
    db: &C,
    core: &Core,
    hooks: &[Arc<Webhook>],
    calls: &[&NewCall],
) -> Result<(), DbErr> {
    if calls.is_empty() {
        return Ok(());
    }
    let all: Vec<Model> = calls.iter().map(|call| new_row(core, call)).collect();
    let none_yet = OnConflict::column(Column::Id).do_nothing().to_owned();
    let new = all.iter().map(|row| row.clone().into_active_model().reset_all());
    Entity::insert_many(new).on_conflict(none_yet).exec_without_returning(db).await?;
    lists::begun(db, &all).await?;
    let nothing = Value::Object(Default::default());
    outbox::add_all(db, hooks, all.iter().map(|row| (row, EventType::CallStarted, &nothing, None))).await
}

/// Adds the rows of calls that are placed, of which nobody is told yet. One that was lost, which was told, and is found again
/// at the carrier stays so until its report is there.
pub(super) async fn place_all<C: ConnectionTrait>(db: &C, core: &Core, calls: &[&NewCall]) -> Result<(), DbErr> {
    if calls.is_empty() {
        return Ok(());
    }
    let new = calls.iter().map(|call| new_row(core, call).into_active_model().reset_all());
    let none_yet = OnConflict::column(Column::Id).do_nothing().to_owned();
    Entity::insert_many(new).on_conflict(none_yet).exec_without_returning(db).await.map(drop)
}

/// A call that was placed and is not answered yet: the carrier's name for it is noted then.
pub(super) fn unanswered(call: &str) -> Condition {
    Condition::all()
        .add(Column::Id.eq(call))
        .add(Column::State.eq(State::Running))
        .add(Column::Direction.eq(Direction::Outbound))
        .add(Column::CarrierCall.eq(""))
}

fn new_row(core: &Core, call: &NewCall) -> Model {
    Model {
        carrier_call: sound(&call.carrier_call),
        direction: call.direction,
        deployment: call.deployment.clone(),
        agent: call.agent.clone(),
        revision: call.revision.clone(),
        from_number: call.from.as_deref().map(sound),
        to_number: call.to.as_deref().map(sound),
        started_ms: ms_of(call.started),
        owner: Some(core.me.id.clone()),
        home: Some(core.me.home.clone()),
        ..unknown(&call.id)
    }
}

/// What comes from outside, as every database takes it.
pub(super) fn sound(text: &str) -> String {
    text.replace('\0', "")
}

/// A report with its text, made off the async threads.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) report: Box<Report>,
    pub(super) text: String,
    pub(super) ended_ms: i64,
    /// Whether its pictures are to be drawn; `None`: by what its deployment says, which only others know.
    pub(super) pictures: Option<bool>,
}

/// Notes the end in the row, which is made if there is none, with its events. A call that has ended already is left
/// alone. `quiet`: without events.
pub(super) async fn end<C: ConnectionTrait>(
    db: &C,
    core: &Core,
    hooks: &[Arc<Webhook>],
    ended: &Ended,
    quiet: bool,
) -> Result<(), DbErr> {
    let report = &ended.report;
    let found = Entity::find_by_id(report.call.clone()).one(db).await?;
    let state = found.as_ref().map(|row| row.state);
    let answered = !matches!(report.end, EndReason::NotAnswered { .. });
    admit::release(db, &report.call).await?;
    if state == Some(State::Ended) {
        return Ok(());
    }
    let row = ActiveModel {
        id: Set(report.call.clone()),
        carrier_call: Set(report.carrier_call.clone()),
        direction: if found.is_some() { NotSet } else { Set(direction(report, answered)) },
        deployment: Set(report.deployment.clone()),
        agent: Set(report.agent.clone()),
        revision: Set(report.revision.clone()),
        from_number: if found.is_some() { NotSet } else { Set(report.from.as_deref().map(sound)) },
        to_number: if found.is_some() { NotSet } else { Set(report.to.as_deref().map(sound)) },
        started_ms: if found.is_some() { NotSet } else { Set(ended.ended_ms - report.duration_ms as i64) },
        ended_ms: Set(Some(ended.ended_ms)),
        state: Set(State::Ended),
        end_kind: Set(Some(report.end.kind().to_owned())),
        duration_ms: Set(Some(report.duration_ms as i64)),
        turns: Set(Some(report.turns.len() as i64)),
        interruptions: Set(Some(report.interruptions.len() as i64)),
        cost_micros: Set(i64::try_from(report.cost_micros).unwrap_or(i64::MAX)),
        report: Set(Some(ended.text.clone())),
        analysis: NotSet,
        recording: Set(report.recording.as_ref().is_some_and(|r| r.frames > 0)),
        owner: Set(None),
        home: if found.is_some() { NotSet } else { Set(Some(core.me.home.clone())) },
    };
    if found.is_some() {
        Entity::update_many().set(row).filter(Column::Id.eq(report.call.as_str())).exec(db).await?;
    } else {
        Entity::insert(row).exec_without_returning(db).await?;
    }
    let Some(row) = Entity::find_by_id(report.call.clone()).one(db).await? else { return Ok(()) };
    lists::ended(db, &row, report).await?;
    usage::ended(db, &row, report, found.as_ref()).await?;
    if !quiet && answered && ended.pictures != Some(false) {
        let deployment = ended.pictures.is_none().then_some(report.deployment.as_str());
        let draw = NewJob {
            kind: PICTURES.to_owned(),
            key: report.call.clone(),
            payload: serde_json::json!({ "deployment": deployment }).to_string(),
            here: true,
            ..NewJob::default()
        };
        jobs::add(db, core, draw).await?;
    }
    // Of a lost call its loss was told already.
    if quiet || state == Some(State::Lost) {
        return Ok(());
    }
    let told = found.is_some_and(|row| row.direction == Direction::Inbound || !row.carrier_call.is_empty());
    if answered && !told {
        outbox::add(db, hooks, &row, EventType::CallStarted, &Value::Object(Default::default()), None).await?;
    }
    for (kind, data) in event::of_end(&row, report) {
        outbox::add(db, hooks, &row, kind, &data, None).await?;
    }
    Ok(())
}

/// Who dialled. Reports of earlier versions do not say so; but what nobody answered we had placed.
fn direction(report: &Report, answered: bool) -> Direction {
    match report.direction.as_deref() {
        Some("inbound") => Direction::Inbound,
        Some("outbound") => Direction::Outbound,
        _ if answered => Direction::Inbound,
        _ => Direction::Outbound,
    }
}

/// Notes that a call's server was gone before it ended.
pub(super) async fn lose<C: ConnectionTrait>(db: &C, hooks: &[Arc<Webhook>], row: &Model) -> Result<(), DbErr> {
    let spent = holds::Entity::find_by_id(row.id.clone()).one(db).await?;
    let lost = ActiveModel {
        id: Unchanged(row.id.clone()),
        state: Set(State::Lost),
        end_kind: Set(Some(event::LOST.to_owned())),
        owner: Set(None),
        // What it said that it had cost, and else nobody knows.
        cost_micros: spent.as_ref().map_or(NotSet, |hold| Set(hold.spent_micros)),
        ..Default::default()
    };
    let running = Column::Id.eq(row.id.as_str()).and(Column::State.eq(State::Running));
    if Entity::update_many().set(lost).filter(running).exec(db).await?.rows_affected > 0 {
        let spent = spent.map(|hold| hold.spent_micros);
        lists::failed(db, row, event::LOST, spent).await?;
        usage::lost(db, row, spent.unwrap_or(0)).await?;
        let (kind, data) = event::of_loss();
        outbox::add(db, hooks, row, kind, &data, None).await?;
    }
    admit::release(db, &row.id).await
}

/// Tells of something that happened in a call; one that has no row is told by its id alone.
pub(super) async fn note<C: ConnectionTrait>(
    db: &C,
    hooks: &[Arc<Webhook>],
    call: &str,
    kind: EventType,
    data: &Value,
    id: Option<&str>,
) -> Result<(), DbErr> {
    let row = Entity::find_by_id(call.to_owned()).one(db).await?.unwrap_or_else(|| unknown(call));
    outbox::add(db, hooks, &row, kind, data, id).await
}

/// Keeps what the analysis of a call found.
pub(super) async fn analyse<C: ConnectionTrait>(
    db: &C,
    hooks: &[Arc<Webhook>],
    call: &str,
    analysis: &Value,
    id: &str,
) -> Result<(), DbErr> {
    let found = ActiveModel { analysis: Set(Some(analysis.to_string())), ..Default::default() };
    Entity::update_many().set(found).filter(Column::Id.eq(call)).exec(db).await?;
    lists::analysed(db, call, analysis).await?;
    note(db, hooks, call, EventType::AnalysisReady, &event::of_analysis(analysis), Some(id)).await
}

/// A call of which only the id is known, which has its beginning in it.
pub(super) fn unknown(call: &str) -> Model {
    Model {
        id: call.to_owned(),
        carrier_call: String::new(),
        direction: Direction::Inbound,
        deployment: String::new(),
        agent: String::new(),
        revision: String::new(),
        from_number: None,
        to_number: None,
        started_ms: id::began(call).map(|(ms, _)| ms).unwrap_or_default(),
        ended_ms: None,
        state: State::Running,
        end_kind: None,
        duration_ms: None,
        turns: None,
        interruptions: None,
        cost_micros: 0,
        report: None,
        analysis: None,
        recording: false,
        owner: None,
        home: None,
    }
}

impl Store {
    /// Ids of the calls of an agent that this server has, as far as they are not over; those that ring too.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn running_calls_of(&self, agent: &str) -> Result<Vec<String>, StoreError> {
        let me = self.core.me.id.as_str();
        let running = Column::State.eq(State::Running).and(Column::Owner.eq(me)).and(Column::Agent.eq(agent));
        let running = Entity::find().select_only().column(Column::Id).filter(running).into_tuple::<String>();
        let held = holds::Column::Owner.eq(me).and(holds::Column::Agent.eq(agent));
        let held = holds::Entity::find().select_only().column(holds::Column::Call).filter(held).into_tuple::<String>();
        self.in_time(async {
            let mut calls = running.all(self.db()).await?;
            calls.extend(held.all(self.db()).await?);
            calls.sort_unstable();
            calls.dedup();
            Ok(calls)
        })
        .await
    }

    /// What calls that began at `since_ms` (milliseconds since 1970) or later have cost, in millionths of the currency's
    /// unit. Calls that are up count with nothing, since their cost is noted at their end.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn spent_micros_since(&self, of: &Spender, since_ms: i64) -> Result<u64, StoreError> {
        self.in_time(async { Ok(spent(self.db(), of, since_ms).await?) }).await
    }
}

/// What calls that began then or later have cost.
pub(super) async fn spent<C: ConnectionTrait>(db: &C, of: &Spender, since_ms: i64) -> Result<u64, DbErr> {
    let whose = match of {
        Spender::Deployment(name) => Condition::all().add(Column::Deployment.eq(name.as_str())),
        Spender::Number(number) => Condition::any()
            .add(Column::Direction.eq(Direction::Inbound).and(Column::FromNumber.eq(number.as_str())))
            .add(Column::Direction.eq(Direction::Outbound).and(Column::ToNumber.eq(number.as_str()))),
    };
    let sum = Entity::find()
        .select_only()
        .expr(Expr::cust("CAST(coalesce(sum(cost_micros), 0) AS BIGINT)"))
        .filter(Column::StartedMs.gte(since_ms))
        .filter(whose)
        .into_tuple::<i64>();
    Ok(u64::try_from(sum.one(db).await?.unwrap_or(0)).unwrap_or(0))
}

impl Store {
    /// A call's report, if it is over and has one.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn report(&self, call: &str) -> Result<Option<Report>, StoreError> {
        let row = self.in_time(async { Ok(Entity::find_by_id(call.to_owned()).one(self.db()).await?) }).await?;
        Ok(row.and_then(|row| serde_json::from_str(&row.report?).ok()))
    }

    /// The carrier's ids of the latest calls of former servers, no more than `limit`, the oldest first: those that have
    /// ended, and those that were up when their server was lost and began before `lost_before_ms` (milliseconds since
    /// 1970).
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn former_carrier_calls(&self, lost_before_ms: i64, limit: u64) -> Result<Vec<String>, StoreError> {
        // Whether it is noted by now that they are lost makes no difference.
        let theirs = Column::StartedMs.lt(lost_before_ms);
        let latest = Entity::find()
            .select_only()
            .column(Column::CarrierCall)
            .filter(Column::State.eq(State::Ended).or(theirs))
            .filter(Column::CarrierCall.ne(""))
            .order_by_desc(Column::StartedMs)
            .limit(limit)
            .into_tuple::<String>();
        let mut found = self.in_time(async { Ok(latest.all(self.db()).await?) }).await?;
        found.reverse();
        Ok(found)
    }
}

impl Desk {
    /// Calls without their reports, the newest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn calls(&self, filter: &CallFilter) -> Result<Vec<Model>, StoreError> {
        let mut all = Condition::all();
        if let Some(since) = filter.since_ms {
            all = all.add(Column::StartedMs.gte(since));
        }
        if let Some(until) = filter.until_ms {
            all = all.add(Column::StartedMs.lt(until));
        }
        if let Some(deployment) = &filter.deployment {
            all = all.add(Column::Deployment.eq(deployment.as_str()));
        }
        if let Some(end) = &filter.end {
            all = all.add(Column::EndKind.eq(end.as_str()));
        }
        if let Some(number) = &filter.number {
            all = all.add(Column::FromNumber.eq(number.as_str()).or(Column::ToNumber.eq(number.as_str())));
        }
        if let Some(state) = filter.state {
            all = all.add(Column::State.eq(state));
        }
        let rows = Entity::find()
            .select_only()
            .columns([
                Column::Id,
                Column::CarrierCall,
                Column::Direction,
                Column::Deployment,
                Column::Agent,
                Column::Revision,
                Column::FromNumber,
                Column::ToNumber,
                Column::StartedMs,
                Column::EndedMs,
                Column::State,
                Column::EndKind,
                Column::DurationMs,
                Column::Turns,
                Column::Interruptions,
                Column::CostMicros,
                Column::Recording,
                Column::Owner,
                Column::Home,
            ])
            .expr_as(Expr::cust("NULL"), "report")
            .expr_as(Expr::cust("NULL"), "analysis")
            .filter(all)
            .order_by_desc(Column::StartedMs)
            .order_by_desc(Column::Id)
            .limit(filter.limit);
        Ok(rows.all(&self.db).await?)
    }

    /// Calls whose id is `id`, or begins or ends with it; no more than `limit`, the newest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn find(&self, id: &str, limit: u64) -> Result<Vec<Model>, StoreError> {
        if !id::may_be_part(id) {
            return Ok(Vec::new());
        }
        if let Some(row) = Entity::find_by_id(id).one(&self.db).await? {
            return Ok(vec![row]);
        }
        // In ids of ours `_` stands for itself alone: there it matches what it is.
        let like = Column::Id.starts_with(id).or(Column::Id.ends_with(id));
        Ok(Entity::find().filter(like).order_by_desc(Column::StartedMs).limit(limit).all(&self.db).await?)
    }
}

impl Ended {
    /// Writes the report as text: not for an async thread.
    pub(super) fn new(call: EndedCall) -> Ended {
        // Strings, numbers and lists only: it cannot fail.
        let text = serde_json::to_string(&call.report).unwrap_or_default();
        Ended { report: call.report, text, ended_ms: ms_of(call.ended), pictures: Some(call.pictures) }
    }
}
