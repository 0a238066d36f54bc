//! What calls use up: sums by the hour, written as calls end, and what is left of budgets.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Expr, Func, OnConflict, SimpleExpr};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, DbErr, EntityTrait as _, ExprTrait as _,
    FromQueryResult, IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use crate::house::budgets::{self, Period};
use crate::house::calls::Status;
use crate::report::Report;

use super::calls::{self, Spender};
use super::entity::usage_sums::{Column, Entity, Model};
use super::entity::{calls as rows, holds};
use super::{Store, StoreError, admit, lists, sql};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;
/// Rows of one answer.
pub const MAX_USAGE_ROWS: u64 = 1_000;

/// By what sums are taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageBy {
    /// One sum.
    All,
    /// By agent.
    Agent,
    /// By deployment.
    Deployment,
    /// By model.
    Model,
    /// By hour.
    Hour,
    /// By day, in UTC.
    Day,
}

/// Which sums are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageFilter {
    /// From the hour on in which this moment lies, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Up to the hour that begins with this moment or before it.
    pub until_ms: Option<i64>,
    /// Of no other agents than these.
    pub only_agents: Option<Vec<String>>,
    /// Of this agent.
    pub agent: Option<String>,
    /// Of this deployment.
    pub deployment: Option<String>,
}

/// What calls used up.
#[derive(Clone, Debug, Default, PartialEq, Eq, FromQueryResult)]
#[allow(missing_docs)] // as in the table
pub struct Usage {
    /// The name, or the moment in milliseconds since 1970, that the sum is for; empty for the sum of all.
    pub key: String,
    pub calls: i64,
    pub failed: i64,
    pub duration_ms: i64,
    pub model_ms: i64,
    pub turns: i64,
    pub interruptions: i64,
    pub transfers: i64,
    pub waits: i64,
    pub waited_ms: i64,
    pub input_tokens: i64,
    pub cached_tokens: i64,
    pub output_tokens: i64,
    pub cost_micros: i64,
    pub unpriced: i64,
}

impl Usage {
    /// Adds what further calls used up.
    pub fn add(&mut self, more: &Usage) {
        self.calls += more.calls;
        self.failed += more.failed;
        self.duration_ms += more.duration_ms;
        self.model_ms += more.model_ms;
        self.turns += more.turns;
        self.interruptions += more.interruptions;
        self.transfers += more.transfers;
        self.waits += more.waits;
        self.waited_ms += more.waited_ms;
        self.input_tokens += more.input_tokens;
        self.cached_tokens += more.cached_tokens;
        self.output_tokens += more.output_tokens;
        self.cost_micros += more.cost_micros;
        self.unpriced += more.unpriced;
    }
}

/// What is used of a budget: of a deployment's day, or of the organization's month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// What calls that are over have cost since the day or the month began (UTC).
    pub spent_micros: u64,
    /// What calls that go on may cost.
    pub reserved_micros: u64,
}

/// What is added up, in the order of the table.
const SUMS: [Column; 14] = [
    Column::Calls,
    Column::Failed,
    Column::DurationMs,
    Column::ModelMs,
    Column::Turns,
    Column::Interruptions,
    Column::Transfers,
    Column::Waits,
    Column::WaitedMs,
    Column::InputTokens,
    Column::CachedTokens,
    Column::OutputTokens,
    Column::CostMicros,
    Column::Unpriced,
];

impl Store {
    /// Sums of what calls used up, the largest cost first, or the newest time; no more than [`MAX_USAGE_ROWS`].
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn usage(&self, filter: &UsageFilter, by: UsageBy) -> Result<Vec<Usage>, StoreError> {
        let key = match by {
            UsageBy::All => Expr::val("").cast_as("text"),
            UsageBy::Agent => Expr::col(Column::Agent),
            UsageBy::Deployment => Expr::col(Column::Deployment),
            UsageBy::Model => Expr::col(Column::Model),
            UsageBy::Hour | UsageBy::Day => Expr::col(Column::BeginMs).cast_as("text"),
        };
        let mut sums = Entity::find().select_only().expr_as(key, "key");
        for column in SUMS {
            sums = sums.expr_as(sum(column), sea_orm::Iden::to_string(&column));
        }
        let width_ms = width(filter, by);
        let mut of = Condition::all()
            .add(Column::WidthMs.eq(width_ms))
            .add_option(filter.since_ms.map(|since| Column::BeginMs.gte(since - since.rem_euclid(width_ms))))
            .add_option(filter.until_ms.map(|until| Column::BeginMs.lt(until)))
            .add_option(filter.agent.as_ref().map(|agent| Column::Agent.eq(agent.as_str())))
            .add_option(filter.deployment.as_ref().map(|name| Column::Deployment.eq(name.as_str())));
        if let Some(only) = &filter.only_agents {
            of = of.add(Column::Agent.is_in(only.iter().map(String::as_str)));
        }
        sums = sums.filter(of);
        if by != UsageBy::All {
            sums = sums.group_by(Expr::cust("1"));
        }
        // By their places among what is selected: the key, and the cost.
        let order = match by {
            UsageBy::Hour | UsageBy::Day => Expr::cust("1"),
            _ => Expr::cust("14"),
        };
        let sums = sums.order_by_desc(order).limit(MAX_USAGE_ROWS).into_model::<Usage>();
        self.in_time(async { Ok(sums.all(self.db()).await?) }).await
    }

    /// What is used of the day of these deployments, by their names.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn spent_today(&self, deployments: &[String]) -> Result<BTreeMap<String, Spent>, StoreError> {
        self.in_time(async {
            let now_ms = sql::clock_ms(self.db()).await?;
            let midnight_ms = budgets::day(now_ms).begin_ms;
            let mut found = BTreeMap::new();
            for name in deployments {
                let spent_micros = calls::spent(self.db(), &Spender::Deployment(name.clone()), midnight_ms).await?;
                found.insert(name.clone(), Spent { spent_micros, reserved_micros: 0 });
            }
            let held = holds::Entity::find()
                .select_only()
                .column(holds::Column::Deployment)
                .expr(Expr::cust("CAST(coalesce(sum(reserved_micros), 0) AS BIGINT)"))
                .group_by(holds::Column::Deployment)
                .into_tuple::<(String, i64)>();
            for (name, reserved) in held.all(self.db()).await? {
                if let Some(spent) = found.get_mut(&name) {
                    spent.reserved_micros = u64::try_from(reserved).unwrap_or(0);
                }
            }
            Ok(found)
        })
        .await
    }
}

impl Store {
    /// What is used of this month (UTC) by all calls, and the month.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn spent_this_month(&self) -> Result<(Spent, Period), StoreError> {
        self.in_time(async {
            let month = budgets::month(sql::clock_ms(self.db()).await?);
            let spent_micros = spent_since(self.db(), month.begin_ms).await?;
            let reserved_micros = admit::reserved(self.db(), None).await?;
            Ok((Spent { spent_micros, reserved_micros }, month))
        })
        .await
    }
}

/// What calls have cost that ended on this day (UTC) or later, whether their rows are there or not.
pub(super) async fn spent_since<C: ConnectionTrait>(db: &C, midnight_ms: i64) -> Result<u64, DbErr> {
    let sums = Entity::find()
        .select_only()
        .expr(sum(Column::CostMicros))
        .filter(Column::WidthMs.eq(DAY_MS).and(Column::BeginMs.gte(midnight_ms)))
        .into_tuple::<i64>();
    Ok(u64::try_from(sums.one(db).await?.unwrap_or(0)).unwrap_or(0))
}

/// A call is over: adds what it used up. `was`: its row before, of which more was known already if it was lost.
pub(super) async fn ended<C: ConnectionTrait>(
    db: &C,
    row: &rows::Model,
    report: &Report,
    was: Option<&rows::Model>,
) -> Result<(), DbErr> {
    let failed = lists::status(report) == Status::Failed;
    let waited = report.turns.iter().filter_map(|turn| turn.latency.waited_ms);
    let unpriced = lists::known_cost(report).is_none();
    let mut sum = Model {
        model: report.model.clone().unwrap_or_default(),
        calls: 1,
        failed: failed.into(),
        duration_ms: signed(report.duration_ms),
        model_ms: signed(report.model_ms),
        turns: report.turns.len() as i64,
        interruptions: report.interruptions.len() as i64,
        transfers: (report.end.kind() == "transferred").into(),
        waits: waited.clone().count() as i64,
        waited_ms: signed(waited.sum()),
        input_tokens: signed(report.usage.input_tokens),
        cached_tokens: signed(report.usage.cached_tokens),
        output_tokens: signed(report.usage.output_tokens),
        cost_micros: row.cost_micros,
        unpriced: unpriced.into(),
        ..of_row(row)
    };
    if let Some(was) = was.filter(|was| was.state == rows::State::Lost) {
        sum.calls -= 1;
        sum.failed -= 1;
        sum.cost_micros -= was.cost_micros;
    }
    add(db, sum).await
}

/// Whether hours or days are added up: days, where nobody asks for less.
fn width(filter: &UsageFilter, by: UsageBy) -> i64 {
    let whole = |at: Option<i64>| at.is_none_or(|at| at.rem_euclid(DAY_MS) == 0);
    match by {
        UsageBy::Hour => HOUR_MS,
        UsageBy::Day => DAY_MS,
        _ if whole(filter.since_ms) && whole(filter.until_ms) => DAY_MS,
        _ => HOUR_MS,
    }
}

/// A call's server is gone: all that is known is what it said that it had cost.
pub(super) async fn lost<C: ConnectionTrait>(db: &C, row: &rows::Model, spent_micros: i64) -> Result<(), DbErr> {
    add(db, Model { calls: 1, failed: 1, cost_micros: spent_micros, ..of_row(row) }).await
}

async fn add<C: ConnectionTrait>(db: &C, sum: Model) -> Result<(), DbErr> {
    let known = SUMS.map(|column| {
        let more = Expr::col((Entity, column)).add(Expr::col(("excluded", column)));
        (column, more)
    });
    let key = [Column::WidthMs, Column::BeginMs, Column::Agent, Column::Deployment, Column::Model, Column::Direction];
    let known = OnConflict::columns(key).values(known).to_owned();
    for width_ms in [HOUR_MS, DAY_MS] {
        let begin_ms = sum.begin_ms - sum.begin_ms.rem_euclid(width_ms);
        let sum = Model { width_ms, begin_ms, ..sum.clone() };
        let adding = Entity::insert(sum.into_active_model().reset_all()).on_conflict(known.clone());
        adding.exec_without_returning(db).await?;
    }
    Ok(())
}

fn of_row(row: &rows::Model) -> Model {
    Model {
        begin_ms: row.ended_ms.unwrap_or(row.started_ms),
        agent: row.agent.clone(),
        deployment: row.deployment.clone(),
        direction: row.direction.name().to_owned(),
        ..Model::default()
    }
}

fn sum(column: Column) -> SimpleExpr {
    let sum = Func::coalesce([Expr::from(Func::sum(Expr::col(column))), Expr::val(0i64)]);
    Expr::from(sum).cast_as("bigint")
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
