//! Jobs: what is to be done once, by whichever server comes to it, however often one of them is killed.
//!
//! A job is put in under a key of its own, claimed by a server's process, and done, put off or given up by it. What a process
//! that is gone had claimed is free again. One that was done is remembered for a while, so that it is not put in twice.

use std::time::Duration;

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait as _, Condition, DatabaseConnection, EntityTrait as _, ExprTrait as _, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, TransactionTrait as _,
};

pub use super::entity::jobs::Model as Job;
use super::entity::jobs::{ActiveModel, Column, Entity, State};
use super::{Core, Store, StoreError, lease, sql};

/// Jobs of one kind that may wait.
const MAX_WAITING: u64 = 100_000;
/// How often a job is begun at most: one that ends the process that does it would otherwise do so for ever.
const MAX_ATTEMPTS: i64 = 5;
/// How long a job that was done or given up is remembered.
const KEPT_DAYS: i64 = 7;
const DAY_MS: i64 = 86_400_000;

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewJob {
    /// What it is.
    pub kind: String,
    /// Of one kind, each key is done once.
    pub key: String,
    /// The call it is about: it waits until that is over.
    pub call: Option<String>,
    /// The revision of the documents that it is done by.
    pub revision: Option<String>,
    /// What it needs, as JSON.
    pub payload: String,
    /// The higher, the sooner.
    pub priority: i64,
    /// How long it waits.
    pub delay: Duration,
}

/// Its call is over, or is none of ours.
const OVER: &str =
    "(call IS NULL OR NOT EXISTS (SELECT 1 FROM calls WHERE calls.id = jobs.call AND calls.state = 'running'))";

impl Store {
    /// Puts a job in, durably. `false`: it is there, or was done.
    ///
    /// # Errors
    /// The store cannot be written, or too many of the kind wait.
    pub async fn add_job(&self, job: NewJob) -> Result<bool, StoreError> {
        let core = &self.core;
        self.in_time(async {
            let waiting = Column::Kind.eq(job.kind.as_str()).and(Column::State.eq(State::Waiting));
            if Entity::find().filter(waiting).count(self.db()).await? >= MAX_WAITING {
                return Err(StoreError::Refused(format!("more than {MAX_WAITING} jobs of one kind wait")));
            }
            let _turn = core.turn.lock().await;
            let now_ms = sql::clock_ms(self.db()).await?;
            let row = ActiveModel {
                seq: NotSet,
                kind: Set(job.kind),
                key: Set(job.key),
                call: Set(job.call),
                revision: Set(job.revision),
                payload: Set(job.payload),
                priority: Set(job.priority),
                created_ms: Set(now_ms),
                due_ms: Set(now_ms + job.delay.as_millis() as i64),
                attempts: Set(0),
                state: Set(State::Waiting),
                owner: Set(None),
                last_error: Set(None),
            };
            let there = OnConflict::columns([Column::Kind, Column::Key]).do_nothing().to_owned();
            let is_new = Entity::insert(row).on_conflict(there).exec_without_returning(self.db()).await? > 0;
            core.work.notify_one();
            Ok(is_new)
        })
        .await
    }

    /// Waits until there may be a job to do that there was not before.
    pub async fn jobs_are_fresh(&self) {
        self.core.work.notified().await;
    }

    /// Jobs of a kind that are due, which are this server's from now on until it says what became of them, or is gone. The
    /// most urgent first, then those that wait for the longest.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn claim_jobs(&self, kind: &str, limit: u64) -> Result<Vec<Job>, StoreError> {
        let core = &self.core;
        self.in_time(async {
            let mut turn = core.turn.lock().await;
            let claimed = claim(core, &turn, kind, limit).await;
            if claimed.is_err() {
                core.renew(&mut turn).await;
            }
            claimed
        })
        .await
    }

    /// How many jobs of a kind wait or are being done by this server; those that wait for others' calls are not counted.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn waiting_jobs(&self, kind: &str) -> Result<u64, StoreError> {
        let ours = Condition::any()
            .add(Column::Owner.eq(self.core.me.id.as_str()))
            .add(Condition::all().add(lease::is_free(Column::Owner)).add(Expr::cust(OVER)));
        let waiting = Column::Kind.eq(kind).and(Column::State.eq(State::Waiting));
        self.in_time(async { Ok(Entity::find().filter(waiting).filter(ours).count(self.db()).await?) }).await
    }

    /// A job is done.
    ///
    /// # Errors
    /// The store cannot be written: it is this server's until it is said again.
    pub async fn job_done(&self, seq: i64) -> Result<(), StoreError> {
        self.change_job(seq, State::Done, None, None).await
    }

    /// A job is given up.
    ///
    /// # Errors
    /// The store cannot be written: it is this server's until it is said again.
    pub async fn job_dead(&self, seq: i64, why: &str) -> Result<(), StoreError> {
        self.change_job(seq, State::Dead, Some(why), None).await
    }

    /// A job cannot be done yet: it waits, and the attempt does not count.
    ///
    /// # Errors
    /// The store cannot be written: it is this server's until it is said again.
    pub async fn snooze_job(&self, seq: i64, why: &str, pause: Duration) -> Result<(), StoreError> {
        self.change_job(seq, State::Waiting, Some(why), Some(pause)).await
    }

    async fn change_job(
        &self,
        seq: i64,
        state: State,
        why: Option<&str>,
        pause: Option<Duration>,
    ) -> Result<(), StoreError> {
        let change = Entity::update_many()
            .col_expr(Column::State, Expr::value(state))
            .col_expr(Column::LastError, Expr::value(why))
            .col_expr(Column::Owner, Expr::value(None::<String>))
            // What was taken for gone and taken up by another is the other's.
            .filter(Column::Seq.eq(seq).and(Column::Owner.eq(self.core.me.id.as_str())));
        let change = match pause {
            Some(pause) => change
                .col_expr(Column::DueMs, sql::clock(self.db()).add(pause.as_millis() as i64))
                .col_expr(Column::Attempts, Expr::col(Column::Attempts).sub(1)),
            // Nobody needs it any more: it may hold somebody's words.
            None => change.col_expr(Column::Payload, Expr::value("")).col_expr(Column::DueMs, sql::clock(self.db())),
        };
        self.in_time(async {
            let _turn = self.core.turn.lock().await;
            Ok(change.exec(self.db()).await.map(drop)?)
        })
        .await
    }
}

async fn claim(core: &Core, db: &DatabaseConnection, kind: &str, limit: u64) -> Result<Vec<Job>, StoreError> {
    let txn = db.begin_with_options(sql::immediate()).await?;
    let clock = sql::clock_text(&txn);
    let due = Entity::find()
        .filter(Column::Kind.eq(kind))
        .filter(Column::State.eq(State::Waiting))
        .filter(lease::is_free(Column::Owner))
        .filter(Expr::cust(format!("due_ms <= {clock}")))
        .filter(Expr::cust(OVER))
        .order_by_desc(Column::Priority)
        .order_by_asc(Column::DueMs)
        .order_by_asc(Column::Seq)
        .limit(limit);
    let rows = sql::untaken(&txn, due).all(&txn).await?;
    let (spent, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.attempts >= MAX_ATTEMPTS);
    Entity::update_many()
        .col_expr(Column::State, Expr::value(State::Dead))
        .col_expr(Column::Payload, Expr::value(""))
        .col_expr(Column::LastError, Expr::value(format!("begun {MAX_ATTEMPTS} times, and never done")))
        .filter(Column::Seq.is_in(spent.iter().map(|row| row.seq)))
        .exec(&txn)
        .await?;
    Entity::update_many()
        .col_expr(Column::Owner, Expr::value(core.me.id.as_str()))
        .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
        .filter(Column::Seq.is_in(rows.iter().map(|row| row.seq)))
        .exec(&txn)
        .await?;
    txn.commit().await?;
    Ok(rows)
}

/// What was done or given up is remembered for a while, and not without end.
pub(super) async fn forget(core: &Core) -> Result<(), StoreError> {
    let clock = sql::clock_text(&core.db);
    let old = Entity::delete_many()
        .filter(Column::State.ne(State::Waiting))
        .filter(Expr::cust(format!("due_ms < {clock} - {}", KEPT_DAYS * DAY_MS)));
    let _turn = core.turn.lock().await;
    core.in_time(async { Ok(old.exec(&core.db).await?) }).await.map(drop)
}
