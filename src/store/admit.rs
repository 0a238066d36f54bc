//! Admission: a call's row, `call.started`, and what it takes of caps and budgets are there before anybody is told that the call
//! goes on. One transaction for all that wait, so that some hundred a second find their turn.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict, SimpleExpr};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait as _, ExprTrait as _,
    QueryFilter as _, QuerySelect as _, TransactionTrait as _,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use crate::config::{Budget, EventType, Webhook};
use crate::house::budgets;

use super::calls::{self, NewCall};
use super::entity::{calls as rows, holds, outbox as events};
use super::share::{self, Limits, Pot};
use super::{Core, Direction, Spender, Store, StoreError, event, lists, near, outbox, sql, usage};

/// How long the caller waits for it, all in all; then he hears the refusal.
pub const LONGEST: Duration = Duration::from_millis(500);
/// Calls that may wait for it.
pub(super) const QUEUE: usize = 1_024;
/// Calls in one transaction.
const BATCH: usize = 64;

/// A call that wants to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The call. One that was placed and nobody has answered yet is not told of.
    pub call: NewCall,
    /// How many calls of the agent may be up at once, ringing ones included, on all servers.
    pub agent_max: Option<u64>,
    /// What it may cost.
    pub limits: Limits,
}

/// Why a call is not let in.
#[derive(Debug)]
pub enum Denied {
    /// Its agent has as many calls as it may have.
    AgentFull,
    /// What calls of the deployment may cost in a day is spent, or held by calls that are up.
    DayBudget,
    /// What all calls may cost in a month.
    MonthBudget,
    /// The same of the person's number.
    NumberBudget,
    /// The carrier's call was here before, and is over.
    Over,
    /// It cannot be kept, or not in time.
    Store(StoreError),
}

/// A wish with the way back to who waits.
#[derive(Debug)]
pub(super) struct Waiting {
    wish: Wish,
    until: Instant,
    answer: oneshot::Sender<Answer>,
}

type Answer = Result<Option<Budget>, Denied>;

impl Store {
    /// Lets a call in: what its model may cost, if there is a limit. It has its place until its end is handed over, or it is
    /// let go of. After [`LONGEST`] at most.
    ///
    /// # Errors
    /// It is not let in, and nothing is left of it.
    pub async fn admit(&self, wish: Wish) -> Answer {
        let (answer, answered) = oneshot::channel();
        let until = Instant::now() + LONGEST;
        let slow = |counters: &super::Counters| {
            counters.not_admitted.fetch_add(1, Ordering::Relaxed);
            Err(Denied::Store(StoreError::Slow))
        };
        if self.wishes.try_send(Waiting { wish, until, answer }).is_err() {
            return slow(&self.core.counters);
        }
        match timeout_at(until, answered).await {
            Ok(Ok(Err(Denied::Store(error)))) => {
                self.core.counters.not_admitted.fetch_add(1, Ordering::Relaxed);
                Err(Denied::Store(error))
            }
            Ok(Ok(answer)) => answer,
            // What is written all the same is taken back by whoever wrote it.
            Ok(Err(_)) | Err(_) => slow(&self.core.counters),
        }
    }

    /// A running call has cost so much: what it may cost from now on, which is never less than before.
    ///
    /// # Errors
    /// The store cannot be asked: what the call has stays.
    pub async fn raise(&self, call: &str, spent_micros: u64, limits: &Limits) -> Result<Option<Budget>, StoreError> {
        self.in_time(async {
            let mut door = self.core.door().await;
            let done = raise(&self.core, &door, call, spent_micros, limits).await;
            if done.is_err() {
                self.core.renew(&mut door).await;
            }
            done
        })
        .await
    }
}

/// Until the store is stopped: lets in who waits.
pub(super) async fn run(core: Arc<Core>, mut wishes: mpsc::Receiver<Waiting>, mut stopping: watch::Receiver<bool>) {
    let mut waiting = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            n = wishes.recv_many(&mut waiting, BATCH) => if n == 0 { return },
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        waiting.retain(|wish| !wish.answer.is_closed());
        let Some(until) = waiting.iter().map(|wish| wish.until).max() else { continue };
        let mut unsure = false;
        let done = if core.is_ready() {
            transact(&core, &waiting, until, &mut unsure).await
        } else {
            Err(StoreError::Unready)
        };
        if !matches!(done, Err(StoreError::Unready)) {
            core.feels(done.as_ref().err());
        }
        match done {
            Ok(answers) => {
                core.fresh.notify_one();
                answer(&core, std::mem::take(&mut waiting), answers);
            }
            Err(error) => {
                core.trouble("does not let calls in", &error);
                // Whoever asks is refused; were it written all the same, what is written is taken back.
                let calls = waiting.drain(..).map(|waiting| {
                    // Who waited may have given up.
                    let _ = waiting.answer.send(Err(Denied::Store(StoreError::Slow)));
                    waiting.wish.call
                });
                let calls: Vec<NewCall> = calls.collect();
                if unsure {
                    core.take_back(calls);
                }
            }
        }
    }
}

/// Tells everybody; of whom nobody waits for any more, what was written is taken back.
fn answer(core: &Core, waiting: Vec<Waiting>, answers: Vec<Answer>) {
    let mut late = Vec::new();
    for (waiting, answer) in waiting.into_iter().zip(answers) {
        let is_in = answer.is_ok();
        if waiting.answer.send(answer).is_err() && is_in {
            late.push(waiting.wish.call);
        }
    }
    core.take_back(late);
}

/// `unsure`: whether it was written is not known.
async fn transact(
    core: &Core,
    waiting: &[Waiting],
    until: Instant,
    unsure: &mut bool,
) -> Result<Vec<Answer>, StoreError> {
    let Ok(mut door) = timeout_at(until, core.door()).await else { return Err(StoreError::Slow) };
    let done = timeout_at(until, transact_by(core, &door, waiting, unsure)).await;
    let done = done.unwrap_or(Err(StoreError::Slow));
    if done.is_err() {
        core.renew(&mut door).await;
    }
    done
}

async fn transact_by(
    core: &Core,
    db: &DatabaseConnection,
    waiting: &[Waiting],
    unsure: &mut bool,
) -> Result<Vec<Answer>, StoreError> {
    let hooks = core.hooks();
    let txn = db.begin_with_options(sql::immediate()).await?;
    sql::admits_alone(&txn).await?;
    let mut found = Found::ask(&txn, waiting).await?;
    let mut answers = Vec::with_capacity(waiting.len());
    let (mut begun, mut placed) = (Vec::new(), Vec::new());
    for Waiting { wish, .. } in waiting {
        let answer = found.decide(&txn, core, wish).await?;
        if answer.is_ok() {
            if wish.call.answered { &mut begun } else { &mut placed }.push(&wish.call);
        }
        answers.push(answer);
    }
    if !found.taken.is_empty() {
        let again = OnConflict::column(holds::Column::Call).do_nothing().to_owned();
        let taken = holds::Entity::insert_many(std::mem::take(&mut found.taken)).on_conflict(again);
        taken.exec_without_returning(&txn).await?;
    }
    calls::begin_all(&txn, core, &hooks, &begun).await?;
    calls::place_all(&txn, core, &placed).await?;
    for (whose, pot) in &found.pots {
        near::tell(&txn, &hooks, pot, &whose.1, found.now_ms).await?;
    }
    *unsure = true;
    txn.commit().await?;
    Ok(answers)
}

/// What is to be known of those who wait, asked once for all of them, and what is taken meanwhile: so that a transaction takes
/// some questions, however many wait.
struct Found {
    now_ms: i64,
    /// Calls of the carrier's that were here and are over: what comes is a repetition from another day.
    over: HashSet<String>,
    /// Calls that are up, by agent.
    up: HashMap<String, u64>,
    /// Budgets that calls share, by whose they are.
    pots: HashMap<(&'static str, String), Pot>,
    taken: Vec<holds::ActiveModel>,
}

impl Found {
    async fn ask<C: ConnectionTrait>(db: &C, waiting: &[Waiting]) -> Result<Found, DbErr> {
        let wishes = || waiting.iter().map(|waiting| &waiting.wish);
        let mut found = Found {
            now_ms: sql::clock_ms(db).await?,
            over: HashSet::new(),
            up: HashMap::new(),
            pots: HashMap::new(),
            taken: Vec::new(),
        };
        let named: BTreeSet<&str> = wishes().filter(|wish| wish.call.answered).map(|w| &*w.call.carrier_call).collect();
        let named: Vec<&str> = named.into_iter().filter(|name| !name.is_empty()).collect();
        if !named.is_empty() {
            let over = rows::Entity::find().select_only().column(rows::Column::CarrierCall);
            let over = over.filter(rows::Column::CarrierCall.is_in(named));
            let over = over.filter(rows::Column::State.eq(rows::State::Ended)).into_tuple::<String>();
            found.over = over.all(db).await?.into_iter().collect();
        }
        let capped: BTreeSet<&str> = wishes().filter(|wish| wish.agent_max.is_some()).map(|w| &*w.call.agent).collect();
        if !capped.is_empty() {
            let up = holds::Entity::find()
                .select_only()
                .column(holds::Column::Agent)
                .expr(Expr::cust("count(*)"))
                .filter(holds::Column::Agent.is_in(capped).and(holds::Column::Counts.eq(1)))
                .group_by(holds::Column::Agent)
                .into_tuple::<(String, i64)>();
            let up = up.all(db).await?;
            found.up = up.into_iter().map(|(agent, n)| (agent, u64::try_from(n).unwrap_or(0))).collect();
        }
        Ok(found)
    }

    /// Whether a call is let in, and if so takes what it takes.
    async fn decide<C: ConnectionTrait>(&mut self, db: &C, core: &Core, wish: &Wish) -> Result<Answer, DbErr> {
        let call = &wish.call;
        if call.answered && self.over.contains(&call.carrier_call) {
            return Ok(Err(Denied::Over));
        }
        let up = self.up.get(&call.agent).copied().unwrap_or(0);
        if wish.agent_max.is_some_and(|most| up >= most) {
            return Ok(Err(Denied::AgentFull));
        }
        let (limits, number) = (&wish.limits, call.person());
        let shared = shared(limits, &call.deployment, number);
        let mut pots = Vec::new();
        for (of, whose, limit) in &shared {
            let key = (*of, (*whose).to_owned());
            let pot = match self.pots.get(&key) {
                Some(pot) => Pot { limit: *limit, ..*pot },
                None => pot(db, of, whose, *limit, self.now_ms).await?,
            };
            self.pots.insert(key, pot);
            pots.push(pot);
        }
        let (budget, reserved) = match share::first(limits, &pots) {
            Ok(share) => share,
            Err("month") => return Ok(Err(Denied::MonthBudget)),
            Err("day") => return Ok(Err(Denied::DayBudget)),
            Err(_) => return Ok(Err(Denied::NumberBudget)),
        };
        *self.up.entry(call.agent.clone()).or_default() += 1;
        // A call without limits of its own takes nothing that is counted.
        for pot in self.pots.iter_mut().filter(|(key, _)| shared.iter().any(|s| (s.0, s.1) == (key.0, &*key.1))) {
            pot.1.reserved = pot.1.reserved.saturating_add(reserved);
        }
        self.taken.push(holds::ActiveModel {
            call: Set(call.id.clone()),
            owner: Set(core.me.id.clone()),
            deployment: Set(call.deployment.clone()),
            agent: Set(call.agent.clone()),
            number: Set(number.map(calls::sound)),
            since_ms: Set(self.now_ms),
            counts: Set(1),
            reserved_micros: Set(signed(reserved)),
            spent_micros: Set(0),
        });
        Ok(Ok(budget))
    }
}

/// The budgets that a call shares: how they are named, whose they are, and their limits.
fn shared<'a>(limits: &Limits, deployment: &'a str, number: Option<&'a str>) -> Vec<(&'static str, &'a str, u64)> {
    if limits.minute_micros == 0 {
        return Vec::new();
    }
    let day = limits.day_micros.map(|limit| ("day", deployment, limit));
    let number = limits.number_day_micros.and_then(|limit| Some(("number", number?, limit)));
    let month = limits.month_micros.map(|limit| ("month", "", limit));
    day.into_iter().chain(number).chain(month).collect()
}

/// What is left of a budget.
async fn pot<C: ConnectionTrait>(db: &C, of: &'static str, whose: &str, limit: u64, now_ms: i64) -> Result<Pot, DbErr> {
    let midnight_ms = budgets::day(now_ms).begin_ms;
    let (spent, held) = match of {
        "month" => (usage::spent_since(db, budgets::month(now_ms).begin_ms).await?, None),
        "day" => {
            let spender = Spender::Deployment(whose.to_owned());
            (calls::spent(db, &spender, midnight_ms).await?, Some(holds::Column::Deployment))
        }
        _ => {
            let spender = Spender::Number(whose.to_owned());
            (calls::spent(db, &spender, midnight_ms).await?, Some(holds::Column::Number))
        }
    };
    let reserved = reserved(db, held.map(|held| held.eq(whose))).await?;
    Ok(Pot { of, limit, spent, reserved })
}

/// What calls that go on may cost: all of them, or those that are meant.
pub(super) async fn reserved<C: ConnectionTrait>(db: &C, which: Option<SimpleExpr>) -> Result<u64, DbErr> {
    let sum = holds::Entity::find()
        .select_only()
        .expr(Expr::cust("CAST(coalesce(sum(reserved_micros), 0) AS BIGINT)"))
        .filter(Condition::all().add_option(which))
        .into_tuple::<i64>();
    Ok(u64::try_from(sum.one(db).await?.unwrap_or(0)).unwrap_or(0))
}

async fn raise(
    core: &Core,
    db: &DatabaseConnection,
    call: &str,
    spent_micros: u64,
    limits: &Limits,
) -> Result<Option<Budget>, StoreError> {
    let txn = db.begin_with_options(sql::immediate()).await?;
    sql::admits_alone(&txn).await?;
    let Some(hold) = holds::Entity::find_by_id(call.to_owned()).one(&txn).await? else {
        txn.rollback().await?;
        return Ok(None);
    };
    let now_ms = sql::clock_ms(&txn).await?;
    let mut pots = Vec::new();
    for (of, whose, limit) in shared(limits, &hold.deployment, hold.number.as_deref()) {
        pots.push(pot(&txn, of, whose, limit, now_ms).await?);
    }
    let had = u64::try_from(hold.reserved_micros).unwrap_or(0);
    let (budget, reserved) = share::more(limits, &pots, spent_micros, had).unwrap_or((None, had));
    for pot in &pots {
        let used = Pot { reserved: pot.reserved.saturating_add(reserved.saturating_sub(had)), ..*pot };
        let whose = if pot.of == "day" { hold.deployment.as_str() } else { "" };
        near::tell(&txn, &core.hooks(), &used, whose, now_ms).await?;
    }
    holds::Entity::update_many()
        .col_expr(holds::Column::ReservedMicros, Expr::value(signed(reserved)))
        .col_expr(holds::Column::SpentMicros, Expr::value(signed(spent_micros)))
        .filter(holds::Column::Call.eq(call))
        .exec(&txn)
        .await?;
    txn.commit().await?;
    Ok(budget)
}

/// A call has its place no more.
pub(super) async fn release<C: ConnectionTrait>(db: &C, call: &str) -> Result<(), DbErr> {
    holds::Entity::delete_by_id(call.to_owned()).exec(db).await.map(drop)
}

/// A call that was placed comes to nothing, and leaves no row.
pub(super) async fn forget<C: ConnectionTrait>(db: &C, call: &str) -> Result<(), DbErr> {
    release(db, call).await?;
    rows::Entity::delete_many().filter(calls::unanswered(call)).exec(db).await.map(drop)
}

/// Its line is over: it counts for no cap any more, and what it may still cost stays reserved until its report is there.
pub(super) async fn hang_up<C: ConnectionTrait>(db: &C, call: &str) -> Result<(), DbErr> {
    let counts = holds::Entity::update_many().col_expr(holds::Column::Counts, Expr::value(0));
    counts.filter(holds::Column::Call.eq(call)).exec(db).await.map(drop)
}

/// What was written of a call whose caller has heard the refusal meanwhile: it goes, unless somebody was told of it already.
pub(super) async fn take_back<C: ConnectionTrait>(db: &C, hooks: &[Arc<Webhook>], call: &NewCall) -> Result<(), DbErr> {
    if !call.answered {
        return forget(db, &call.id).await;
    }
    release(db, &call.id).await?;
    let Some(row) = rows::Entity::find_by_id(call.id.clone()).one(db).await? else { return Ok(()) };
    if row.state != rows::State::Running {
        return Ok(());
    }
    let wanted = hooks.iter().filter(|hook| hook.wants(EventType::CallStarted, Some(&call.agent))).count() as u64;
    let untold = events::Column::Call.eq(call.id.as_str()).and(events::Column::Owner.is_null());
    let untold = untold.and(events::Column::Attempts.eq(0));
    let unsaid = events::Entity::delete_many().filter(untold).exec(db).await?.rows_affected;
    if unsaid >= wanted {
        lists::gone(db, &call.id).await?;
        return rows::Entity::delete_by_id(call.id.clone()).exec(db).await.map(drop);
    }
    let over = rows::Entity::update_many()
        .col_expr(rows::Column::State, Expr::value(rows::State::Ended))
        .col_expr(rows::Column::EndKind, Expr::value(event::NOT_ADMITTED))
        .col_expr(rows::Column::EndedMs, Expr::col(rows::Column::StartedMs))
        .filter(rows::Column::Id.eq(call.id.as_str()));
    over.exec(db).await?;
    lists::failed(db, &row, event::NOT_ADMITTED, None).await?;
    let (kind, data) = event::of_refusal();
    outbox::add(db, hooks, &row, kind, &data, None).await
}

fn signed(micros: u64) -> i64 {
    i64::try_from(micros).unwrap_or(i64::MAX)
}

impl NewCall {
    /// The other party's number.
    pub(super) fn person(&self) -> Option<&str> {
        match self.direction {
            Direction::Inbound => self.from.as_deref(),
            Direction::Outbound => self.to.as_deref(),
        }
    }
}

impl Core {
    /// The connection that calls are let in by. SQLite has one writer: there it is everybody's turn.
    async fn door(&self) -> tokio::sync::MutexGuard<'_, DatabaseConnection> {
        if self.place.is_own() { self.turn.lock().await } else { self.door.lock().await }
    }
}
