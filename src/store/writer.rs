//! The one writer: what calls hand over, in the order in which they did, many in one transaction.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sea_orm::{DatabaseConnection, TransactionTrait as _};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

use crate::config::EventType;

use super::calls::{self, Ended, EndedCall, NewCall};
use super::lock::Lock;
use super::{Core, LONGEST, StoreError, admit, chores, endpoints, id, lease, persons, reconcile, schema, sql};

/// What is handed over.
#[derive(Debug)]
pub(super) enum Work {
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
    /// The call's line is over.
    HangUp(String),
    /// It comes to nothing.
    Release(String),
    /// They were let in too late.
    TakeBack(Vec<NewCall>),
    /// Answered when what was handed over before it is written.
    Flush(oneshot::Sender<()>),
}

/// The same as it is written.
enum Shaped {
    Begin(Box<NewCall>),
    End(Box<Ended>),
    /// With the id of the event, so that what is written again after an answer that was lost is the same.
    Event {
        call: String,
        kind: EventType,
        data: Box<Value>,
        id: String,
    },
    Analysis {
        call: String,
        analysis: Box<Value>,
        id: String,
    },
    HangUp(String),
    Release(String),
    TakeBack(Vec<NewCall>),
}

/// Jobs in one transaction.
const BATCH: usize = 64;
/// Pauses after failures: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(10);

pub(super) struct Writer {
    core: Arc<Core>,
    jobs: mpsc::Receiver<Work>,
    stopping: watch::Receiver<bool>,
    lock: Option<Lock>,
    failures: u32,
}

impl Writer {
    pub(super) fn new(
        core: Arc<Core>,
        jobs: mpsc::Receiver<Work>,
        stopping: watch::Receiver<bool>,
        lock: Option<Lock>,
    ) -> Writer {
        Writer { core, jobs, stopping, lock, failures: 0 }
    }

    /// Until all who hand over are gone, or the store is stopped.
    pub(super) async fn run(mut self) {
        while let Err(error) = self.prepare().await {
            self.core.feels(Some(&error));
            self.core.tried.send_replace(true);
            self.core.trouble("cannot be opened", &error);
            if self.pause().await {
                return;
            }
        }
        self.core.ready.store(true, Ordering::Release);
        self.core.feels(None);
        self.core.tried.send_replace(true);
        let chores = tokio::spawn(chores::run(Arc::clone(&self.core)));
        let lease = tokio::spawn(lease::keep(Arc::clone(&self.core), self.stopping.clone()));
        let erasing = tokio::spawn(persons::erase::keep(Arc::clone(&self.core)));
        self.serve().await;
        for task in [chores, lease, erasing] {
            task.abort();
            // Its transaction, if any, is rolled back before the directory is let go of.
            let _ = task.await;
        }
        // What this process still has is for others now, at once.
        if let Err(error) = self.core.in_time(lease::resign(&self.core)).await {
            tracing::warn!(%error, "this server's rows are others' once its lease is over");
        }
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
            let (flushes, rest) = jobs.drain(..).partition::<Vec<_>, _>(|job| matches!(job, Work::Flush(_)));
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
                if let Work::Flush(done) = job {
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
        self.core.within(schema::LONGEST, schema::migrate(&self.core.db)).await?;
        self.core.in_time(lease::dismiss_former(&self.core)).await?;
        self.core.in_time(async { Ok(lease::register(&self.core.db, &self.core.me).await?) }).await?;
        self.core.in_time(endpoints::refresh(&self.core)).await?;
        reconcile::settle(&self.core).await
    }

    /// Writes all; what is done when something fails is taken out.
    async fn write(&self, works: &mut Vec<Shaped>) -> Result<(), StoreError> {
        if works.is_empty() {
            return Ok(());
        }
        match self.transact(works).await {
            Err(StoreError::Db(error)) if sql::is_ours(&error) => {}
            done => return done,
        }
        // One of them is wrong, which must not hold up the rest.
        while let Some(work) = works.first() {
            match self.transact(std::slice::from_ref(work)).await {
                Err(StoreError::Db(error)) if sql::is_ours(&error) => {
                    let error = StoreError::Db(error);
                    self.core.trouble("refuses a row; this is a bug of the server", &error);
                }
                done => done?,
            }
            works.remove(0);
        }
        Ok(())
    }

    async fn transact(&self, works: &[Shaped]) -> Result<(), StoreError> {
        let mut turn = self.core.turn.lock().await;
        // One that takes longer is begun again by another connection: the other end is gone.
        let done = self.core.within(LONGEST, self.transact_by(&turn, works)).await;
        if done.is_err() {
            self.core.renew(&mut turn).await;
        }
        done
    }

    async fn transact_by(&self, db: &DatabaseConnection, works: &[Shaped]) -> Result<(), StoreError> {
        let hooks = self.core.hooks();
        let txn = db.begin_with_options(sql::immediate()).await?;
        for work in works {
            match work {
                Shaped::Begin(call) => {
                    calls::begin(&txn, &self.core, &hooks, call).await?;
                }
                Shaped::End(ended) => calls::end(&txn, &self.core, &hooks, ended, false).await?,
                Shaped::Event { call, kind, data, id } => {
                    calls::note(&txn, &hooks, call, *kind, data, Some(id)).await?;
                }
                Shaped::Analysis { call, analysis, id } => {
                    calls::analyse(&txn, &hooks, call, analysis, id).await?;
                }
                Shaped::HangUp(call) => admit::hang_up(&txn, call).await?,
                Shaped::Release(call) => admit::forget(&txn, call).await?,
                Shaped::TakeBack(calls) => {
                    for call in calls {
                        admit::take_back(&txn, &hooks, call).await?;
                    }
                }
            }
        }
        txn.commit().await?;
        self.core.fresh.notify_one();
        if works.iter().any(|work| matches!(work, Shaped::End(_))) {
            self.core.work.send_replace(());
        }
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
async fn shape(jobs: Vec<Work>) -> Vec<Shaped> {
    let shape = move || jobs.into_iter().filter_map(shaped).collect();
    // Fails only when the runtime is shutting down.
    tokio::task::spawn_blocking(shape).await.unwrap_or_default()
}

fn shaped(work: Work) -> Option<Shaped> {
    let id = || id::new_at_any_rate(id::Kind::Event);
    Some(match work {
        Work::Begin(call) => Shaped::Begin(call),
        Work::End(call) => Shaped::End(Box::new(Ended::new(*call))),
        Work::Event { call, kind, data } => Shaped::Event { call, kind, data, id: id() },
        Work::Analysis { call, analysis } => Shaped::Analysis { call, analysis, id: id() },
        Work::HangUp(call) => Shaped::HangUp(call),
        Work::Release(call) => Shaped::Release(call),
        Work::TakeBack(calls) => Shaped::TakeBack(calls),
        Work::Flush(_) => return None,
    })
}
