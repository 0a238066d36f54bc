//! The one writer: what calls hand over, in the order in which they did, many in one transaction.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sea_orm::{DatabaseConnection, DbErr, RuntimeErr, TransactionTrait as _};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

use crate::config::EventType;

use super::calls::{self, Ended, EndedCall, NewCall};
use super::lock::Lock;
use super::{Core, StoreError, chores, immediate, reconcile, schema};

/// What is handed over.
#[derive(Debug)]
pub(super) enum Job {
    Begin(Box<NewCall>),
    End(Box<EndedCall>),
    Event {
        call: String,
        kind: EventType,
        data: Box<Value>,
    },
    Analysis {
        call: String,
        analysis: Box<Value>,
    },
    /// Answered when what was handed over before it is written.
    Flush(oneshot::Sender<()>),
}

/// A job as it is written.
enum Work {
    Begin(Box<NewCall>),
    End(Box<Ended>),
    Event { call: String, kind: EventType, data: Box<Value> },
    Analysis { call: String, analysis: Box<Value> },
}

/// Jobs in one transaction.
const BATCH: usize = 64;
/// Pauses after failures: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(10);

pub(super) struct Writer {
    core: Arc<Core>,
    jobs: mpsc::Receiver<Job>,
    stopping: watch::Receiver<bool>,
    lock: Option<Lock>,
    failures: u32,
}

impl Writer {
    pub(super) fn new(
        core: Arc<Core>,
        jobs: mpsc::Receiver<Job>,
        stopping: watch::Receiver<bool>,
        lock: Option<Lock>,
    ) -> Writer {
        Writer { core, jobs, stopping, lock, failures: 0 }
    }

    /// Until all who hand over are gone, or the store is stopped.
    pub(super) async fn run(mut self) {
        while let Err(error) = self.prepare().await {
            self.core.trouble("cannot be opened", &error);
            if self.pause().await {
                return;
            }
        }
        let chores = tokio::spawn(chores::run(Arc::clone(&self.core)));
        self.serve().await;
        chores.abort();
        // Its transaction, if any, is rolled back before the directory is let go of.
        let _ = chores.await;
    }

    async fn serve(&mut self) {
        let mut jobs = Vec::with_capacity(BATCH);
        loop {
            let stopped = tokio::select! {
                biased;
                n = self.jobs.recv_many(&mut jobs, BATCH) => n == 0,
                _ = self.stopping.wait_for(|stopping| *stopping) => {
                    // What is in the queue is still given out.
                    self.jobs.close();
                    false
                }
            };
            if stopped {
                return;
            }
            let (flushes, rest) = jobs.drain(..).partition::<Vec<_>, _>(|job| matches!(job, Job::Flush(_)));
            let mut works = shape(rest).await;
            while let Err(error) = self.write(&mut works).await {
                self.count_waiting(works.len());
                self.core.trouble("cannot be written", &error);
                if self.pause().await {
                    tracing::error!(%error, "the store did not take the last of what was handed over");
                    return;
                }
            }
            self.failures = 0;
            self.count_waiting(0);
            for job in flushes {
                if let Job::Flush(done) = job {
                    // Whoever waits may have given up.
                    let _ = done.send(());
                }
            }
        }
    }

    /// `beside`: what was taken from the queue already.
    fn count_waiting(&self, beside: usize) {
        self.core.counters.waiting.store((self.jobs.len() + beside) as u64, Ordering::Relaxed);
    }

    /// Takes the directory and makes the tables, and notes what became of the calls of a former process, before any call
    /// of this one is written.
    async fn prepare(&mut self) -> Result<(), StoreError> {
        if self.lock.is_none() {
            self.lock = Some(Lock::take(&self.core.data)?);
        }
        schema::migrate(&self.core.db).await?;
        reconcile::settle(&self.core).await
    }

    /// Writes all; what is done when something fails is taken out.
    async fn write(&self, works: &mut Vec<Work>) -> Result<(), StoreError> {
        if works.is_empty() {
            return Ok(());
        }
        match self.transact(works).await {
            Err(StoreError::Db(error)) if is_ours(&error) => {}
            done => return done,
        }
        // One of them is wrong, which must not hold up the rest.
        while let Some(work) = works.first() {
            match self.transact(std::slice::from_ref(work)).await {
                Err(StoreError::Db(error)) if is_ours(&error) => {
                    let error = StoreError::Db(error);
                    self.core.trouble("refuses a row; this is a bug of the server", &error);
                }
                done => done?,
            }
            works.remove(0);
        }
        Ok(())
    }

    async fn transact(&self, works: &[Work]) -> Result<(), StoreError> {
        let mut turn = self.core.turn.lock().await;
        let done = self.transact_by(&turn, works).await;
        if done.is_err() {
            self.core.renew(&mut turn).await;
        }
        done
    }

    async fn transact_by(&self, db: &DatabaseConnection, works: &[Work]) -> Result<(), StoreError> {
        let hooks = self.core.settings.borrow().webhooks.clone();
        let txn = db.begin_with_options(immediate()).await?;
        for work in works {
            match work {
                Work::Begin(call) => {
                    calls::begin(&txn, &hooks, call).await?;
                }
                Work::End(ended) => calls::end(&txn, &hooks, ended, false).await?,
                Work::Event { call, kind, data } => calls::note(&txn, &hooks, call, *kind, data).await?,
                Work::Analysis { call, analysis } => calls::analyse(&txn, &hooks, call, analysis).await?,
            }
        }
        txn.commit().await?;
        self.core.fresh.notify_one();
        Ok(())
    }

    /// Waits before the next attempt. `true`: there is to be none.
    async fn pause(&mut self) -> bool {
        if *self.stopping.borrow() {
            return true;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LAST_PAUSE);
        self.failures += 1;
        tokio::select! {
            () = sleep(pause) => false,
            // One more attempt, and no more.
            stopped = self.stopping.wait_for(|stopping| *stopping) => stopped.is_err(),
        }
    }
}

/// Writes reports as text, off the async threads: a long one takes milliseconds, which calls would feel.
async fn shape(jobs: Vec<Job>) -> Vec<Work> {
    let shape = move || jobs.into_iter().filter_map(work).collect();
    // Fails only when the runtime is shutting down.
    tokio::task::spawn_blocking(shape).await.unwrap_or_default()
}

fn work(job: Job) -> Option<Work> {
    Some(match job {
        Job::Begin(call) => Work::Begin(call),
        Job::End(call) => Work::End(Box::new(Ended::new(*call))),
        Job::Event { call, kind, data } => Work::Event { call, kind, data },
        Job::Analysis { call, analysis } => Work::Analysis { call, analysis },
        Job::Flush(_) => return None,
    })
}

/// Whether what was to be written is wrong, rather than the disk or the file: then it would fail for ever.
fn is_ours(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error else {
        return false;
    };
    let sea_orm::sqlx::Error::Database(error) = &**error else { return false };
    // SQLITE_ERROR, TOOBIG, CONSTRAINT, MISMATCH, MISUSE, RANGE; the lower byte is the primary code.
    let code = error.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or_default();
    matches!(code & 0xff, 1 | 18 | 19 | 20 | 21 | 25)
}
