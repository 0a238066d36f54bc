//! Jobs: what is to be done once, by whichever server comes to it, however often one of them is killed.
//!
//! A job is put in under a key of its own, claimed by a server's process, and done, put off or given up by it. What a process
//! that is gone had claimed is free again. One that was done is remembered for a while, so that it is not put in twice. What
//! the store does itself now and then, `chores`, are jobs that are never over.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait as _, ExprTrait as _,
    PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Select, TransactionTrait as _,
};
use tokio::sync::watch;

pub use super::entity::jobs::Model as Job;
use super::entity::jobs::{ActiveModel, Column, Entity, State};
use super::{Core, Store, StoreError, lease, retention, sql};

/// The kind of the jobs that draw a call's pictures. They are put in as calls end, each by its call's id.
pub const PICTURES: &str = "pictures";
/// The kind of the jobs that read agents' documents, each by the document's id and the number of the reading.
pub const KNOWLEDGE: &str = "knowledge";

/// Jobs of one kind that may wait.
const MAX_WAITING: u64 = 100_000;
/// How often a job is begun at most: one that ends the process that does it would otherwise do so for ever.
const MAX_ATTEMPTS: i64 = 5;
/// The pause after an attempt that failed, and by how much each further one is longer.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGER: u32 = 6;
/// How long a job that was done or given up is remembered.
const KEPT_DAYS: i64 = 7;
/// How long one waits for whoever has its data directory.
const AWAY_DAYS: i64 = 30;
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
    /// Whether it needs this server's data directory: nobody does it who has another.
    pub here: bool,
}

/// Its call is over, or is none of ours.
const OVER: &str =
    "(call IS NULL OR NOT EXISTS (SELECT 1 FROM calls WHERE calls.id = jobs.call AND calls.state = 'running'))";

/// Tells of jobs that may be there to do.
pub struct FreshJobs(watch::Receiver<()>);

impl FreshJobs {
    /// Waits until there may be a job to do that there was not before.
    pub async fn wait(&mut self) {
        if self.0.changed().await.is_err() {
            // The store is gone, and with it whoever could tell.
            std::future::pending::<()>().await;
        }
    }
}

impl Store {
    /// Puts a job in, durably. `false`: it is there, or was done.
    ///
    /// # Errors
    /// The store cannot be written, or too many of the kind wait.
    pub async fn add_job(&self, job: NewJob) -> Result<bool, StoreError> {
        let core = &self.core;
        self.in_time(async {
            if is_full(self.db(), &job.kind).await? {
                return Err(StoreError::Refused(format!("more than {MAX_WAITING} jobs of one kind wait")));
            }
            let _turn = core.turn.lock().await;
            let is_new = insert(self.db(), core, job).await?;
            core.work.send_replace(());
            Ok(is_new)
        })
        .await
    }

    /// Tells whoever waits for jobs that one may be there.
    pub fn tell_of_jobs(&self) {
        self.core.work.send_replace(());
    }

    /// What tells of jobs that may be there to do.
    pub fn fresh_jobs(&self) -> FreshJobs {
        FreshJobs(self.core.work.subscribe())
    }

    /// Jobs of a kind that are due, which are this server's from now on until it says what became of them, or is gone. The
    /// most urgent first, then those that wait for the longest.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn claim_jobs(&self, kind: &str, limit: u64) -> Result<Vec<Job>, StoreError> {
        self.in_time(claim(&self.core, &[kind], limit, MAX_ATTEMPTS)).await
    }

    /// How many jobs of a kind wait or are being done by this server; those that wait for others' calls are not counted.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn waiting_jobs(&self, kind: &str) -> Result<u64, StoreError> {
        let ours = Condition::any()
            .add(Column::Owner.eq(self.core.me.id.as_str()))
            .add(Condition::all().add(lease::is_free(Column::Owner)).add(Expr::cust(OVER)));
        let waiting = Column::Kind.eq(kind).and(Column::State.eq(State::Waiting)).and(is_here(&self.core));
        self.in_time(async { Ok(Entity::find().filter(waiting).filter(ours).count(self.db()).await?) }).await
    }

    /// A job is done.
    ///
    /// # Errors
    /// The store cannot be written: it is this server's until it is said again.
    pub async fn job_done(&self, seq: i64) -> Result<(), StoreError> {
        self.in_time(change(&self.core, seq, Fate::Over(State::Done, None))).await
    }

    /// A job is given up.
    ///
    /// # Errors
    /// The store cannot be written: it is this server's until it is said again.
    pub async fn job_dead(&self, seq: i64, why: &str) -> Result<(), StoreError> {
        self.in_time(change(&self.core, seq, Fate::Over(State::Dead, Some(why)))).await
    }

    /// An attempt at a job has failed: it waits, longer each time, or is given up after the last. Tells which: `true`: it is
    /// tried again.
    ///
    /// # Errors
    /// The store cannot be written: it is this server's until it is said again.
    pub async fn job_failed(&self, job: &Job, why: &str) -> Result<bool, StoreError> {
        let fate = pause(job.attempts + 1).map_or(Fate::Over(State::Dead, Some(why)), |pause| Fate::Tried(why, pause));
        let again = matches!(fate, Fate::Tried(..));
        self.in_time(change(&self.core, job.seq, fate)).await.map(|()| again)
    }

    /// A job cannot be done yet: it waits, and the attempt does not count.
    ///
    /// # Errors
    /// The store cannot be written: it is this server's until it is said again.
    pub async fn snooze_job(&self, seq: i64, why: &str, pause: Duration) -> Result<(), StoreError> {
        self.in_time(change(&self.core, seq, Fate::Waits(why, pause))).await
    }
}

/// The pause before a job is begun again that was begun so often; `None`: never.
fn pause(begun: i64) -> Option<Duration> {
    let before = u32::try_from(begun - 1).ok().filter(|_| begun < MAX_ATTEMPTS)?;
    Some(FIRST_PAUSE * LONGER.saturating_pow(before))
}

/// What becomes of a job.
pub(super) enum Fate<'a> {
    /// Nobody comes to it again.
    Over(State, Option<&'a str>),
    /// It waits as if it had not been begun.
    Waits(&'a str, Duration),
    /// It waits, begun once more in vain.
    Tried(&'a str, Duration),
    /// It was done, and comes again.
    Again(Duration),
}

/// Notes what becomes of a job, which is nobody's then.
pub(super) async fn change(core: &Core, seq: i64, fate: Fate<'_>) -> Result<(), StoreError> {
    let (state, why, pause) = match &fate {
        Fate::Over(state, why) => (*state, *why, None),
        Fate::Waits(why, pause) | Fate::Tried(why, pause) => (State::Waiting, Some(*why), Some(*pause)),
        Fate::Again(pause) => (State::Waiting, None, Some(*pause)),
    };
    let due = sql::clock(&core.db).add(pause.unwrap_or_default().as_millis() as i64);
    let change = Entity::update_many()
        .col_expr(Column::State, Expr::value(state))
        .col_expr(Column::LastError, Expr::value(why.map(|why| why.replace('\0', ""))))
        .col_expr(Column::Owner, Expr::value(None::<String>))
        .col_expr(Column::DueMs, due)
        // What was taken for gone and taken up by another is the other's.
        .filter(Column::Seq.eq(seq).and(Column::Owner.eq(core.me.id.as_str())));
    let change = match fate {
        // Nobody needs it any more: it may hold somebody's words.
        Fate::Over(..) => change.col_expr(Column::Payload, Expr::value("")),
        Fate::Waits(..) => change.col_expr(Column::Attempts, Expr::col(Column::Attempts).sub(1)),
        Fate::Tried(..) => change,
        Fate::Again(..) => change.col_expr(Column::Attempts, Expr::value(0)),
    };
    let _turn = core.turn.lock().await;
    change.exec(&core.db).await?;
    core.in_hand.jobs.let_go(seq);
    Ok(())
}

/// What this process has claimed and not said the end of. A claim may be written without our hearing of it, when the
/// database is frozen or the way to it is cut: what carries our name and is not in here is nobody's.
#[derive(Debug, Default)]
pub(super) struct InHand(Mutex<HashSet<i64>>);

impl InHand {
    fn all(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For who has the turn in which they were claimed, or another claim would come in between.
    pub(super) fn take(&self, seqs: impl Iterator<Item = i64>) {
        self.all().extend(seqs);
    }

    pub(super) fn let_go(&self, seq: i64) {
        self.all().remove(&seq);
    }

    /// Rows that nobody has, or that carry our name though we do not have them.
    pub(super) fn free<C: sea_orm::ColumnTrait>(&self, core: &Core, owner: C, seq: C) -> Condition {
        let ours = self.all().iter().copied().collect::<Vec<_>>();
        let lost = owner.eq(core.me.id.as_str()).and(seq.is_not_in(ours));
        Condition::any().add(lease::is_free(owner)).add(lost)
    }
}

/// Whether it can be done by whoever has this data directory.
fn is_here(core: &Core) -> Expr {
    Column::Home.is_null().or(Column::Home.eq(core.me.home.as_str()))
}

async fn is_full<C: ConnectionTrait>(db: &C, kind: &str) -> Result<bool, DbErr> {
    let waiting = Column::Kind.eq(kind).and(Column::State.eq(State::Waiting));
    Ok(Entity::find().filter(waiting).count(db).await? >= MAX_WAITING)
}

/// Puts a job in, in whoever's transaction. Beyond the bound it is dropped, and counted.
pub(super) async fn add<C: ConnectionTrait>(db: &C, core: &Core, job: NewJob) -> Result<(), DbErr> {
    if is_full(db, &job.kind).await? {
        core.counters.jobs_dropped.fetch_add(1, Ordering::Relaxed);
        return Ok(());
    }
    insert(db, core, job).await.map(drop)
}

/// `false`: it is there, or was done.
async fn insert<C: ConnectionTrait>(db: &C, core: &Core, job: NewJob) -> Result<bool, DbErr> {
    let home = job.here.then(|| core.me.home.clone());
    insert_at(db, home, job).await
}

/// The same for who has no data directory, and for jobs that need none.
pub(super) async fn insert_at<C: ConnectionTrait>(db: &C, home: Option<String>, job: NewJob) -> Result<bool, DbErr> {
    let now_ms = sql::clock_ms(db).await?;
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
        home: Set(home),
    };
    let there = OnConflict::columns([Column::Kind, Column::Key]).do_nothing().to_owned();
    Ok(Entity::insert(row).on_conflict(there).exec_without_returning(db).await? > 0)
}

/// Puts in a job that comes again and again. One of this data directory is due at once.
pub(super) async fn begin_again(core: &Core, kind: &str, key: &str) -> Result<(), StoreError> {
    let here = key == core.me.home;
    let job = NewJob { kind: kind.to_owned(), key: key.to_owned(), here, ..NewJob::default() };
    let _turn = core.turn.lock().await;
    if !insert(&core.db, core, job).await? && here {
        bring_forward(core, kind).await?;
    }
    Ok(())
}

/// Makes the job of this data directory due now, for who has the turn.
pub(super) async fn bring_forward(core: &Core, kind: &str) -> Result<(), StoreError> {
    let due = Entity::update_many()
        .col_expr(Column::DueMs, sql::clock(&core.db))
        .col_expr(Column::State, Expr::value(State::Waiting))
        .filter(Column::Kind.eq(kind).and(Column::Key.eq(core.me.home.as_str())));
    Ok(due.exec(&core.db).await.map(drop)?)
}

/// What is due of these kinds, as it can be claimed.
fn due<C: ConnectionTrait>(core: &Core, db: &C, kinds: &[&str]) -> Select<Entity> {
    let clock = sql::clock_text(db);
    Entity::find()
        .filter(Column::Kind.is_in(kinds.iter().copied()))
        .filter(Column::State.eq(State::Waiting))
        .filter(is_here(core))
        .filter(core.in_hand.jobs.free(core, Column::Owner, Column::Seq))
        .filter(Expr::cust(format!("due_ms <= {clock}")))
        .filter(Expr::cust(OVER))
}

/// Claims what is due of these kinds. What was begun `most` times is given up.
pub(super) async fn claim(core: &Core, kinds: &[&str], limit: u64, most: i64) -> Result<Vec<Job>, StoreError> {
    // Most looks find nothing, and shall take nobody's turn.
    let first = due(core, &core.db, kinds).select_only().column(Column::Seq).limit(1).into_tuple::<i64>();
    if first.one(&core.db).await?.is_none() {
        return Ok(Vec::new());
    }
    let mut turn = core.turn.lock().await;
    let claimed = claim_by(core, &turn, kinds, limit, most).await;
    match &claimed {
        Ok(jobs) => core.in_hand.jobs.take(jobs.iter().map(|job| job.seq)),
        Err(_) => core.renew(&mut turn).await,
    }
    claimed
}

async fn claim_by(
    core: &Core,
    db: &DatabaseConnection,
    kinds: &[&str],
    limit: u64,
    most: i64,
) -> Result<Vec<Job>, StoreError> {
    let txn = db.begin_with_options(sql::immediate()).await?;
    let due = due(core, &txn, kinds)
        .order_by_desc(Column::Priority)
        .order_by_asc(Column::DueMs)
        .order_by_asc(Column::Seq)
        .limit(limit);
    let rows = sql::untaken(&txn, due).all(&txn).await?;
    let (spent, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.attempts >= most);
    Entity::update_many()
        .col_expr(Column::State, Expr::value(State::Dead))
        .col_expr(Column::Payload, Expr::value(""))
        .col_expr(Column::DueMs, sql::clock(&txn))
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

/// What was done or given up is remembered for a while, and not without end; what waits for a data directory that nobody has
/// any more neither. Answers how many that were.
pub(super) async fn forget(core: &Core) -> Result<u64, StoreError> {
    let clock = sql::clock_text(&core.db);
    let over = Column::State.ne(State::Waiting).and(Expr::cust(format!("due_ms < {clock} - {}", KEPT_DAYS * DAY_MS)));
    let away = Column::Home.is_not_null().and(lease::is_free(Column::Owner));
    let away = away.and(Expr::cust(format!("due_ms < {clock} - {}", AWAY_DAYS * DAY_MS)));
    retention::clear::<Entity>(core, Column::Seq, Condition::any().add(over).add(away)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_there_is_a_last_attempt() {
        let pauses: Vec<_> = (1..=5).map(|begun| pause(begun).map(|pause| pause.as_secs())).collect();
        assert_eq!(pauses, [Some(10), Some(60), Some(360), Some(2_160), None]);
    }
}
