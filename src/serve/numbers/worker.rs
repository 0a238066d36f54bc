//! What nobody waits for: purchases whose outcome is not known, documents that were changed by hand, and the hourly look at the
//! carrier's list, as a job that one of several servers does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::config::Config;
use crate::serve::Shared;
use crate::store::{NewJob, StoreError};

use super::{buying, pool, sweep};

/// The kind of its jobs.
const KIND: &str = "numbers";
/// How often documents are looked at, and rows.
const LOOK: Duration = Duration::from_millis(500);
const ROWS: Duration = Duration::from_secs(5);
/// Purchases and releases that are looked up at once.
const MOST: usize = 8;
/// When an hourly look that failed is tried again.
const AGAIN: Duration = Duration::from_secs(600);
const HOUR_S: i64 = 3_600;

/// For as long as the server runs.
pub(in crate::serve) async fn work(shared: Arc<Shared>) {
    let mut tasks: JoinSet<()> = JoinSet::new();
    let mut seen: Option<Arc<Config>> = None;
    let mut rows: Option<Instant> = None;
    let mut hour = None;
    loop {
        let config = shared.config();
        if seen.as_ref().is_none_or(|seen| !Arc::ptr_eq(seen, &config)) {
            pool::catch_up(&shared).await;
            seen = Some(config);
        }
        if rows.is_none_or(|at| at.elapsed() >= ROWS) {
            rows = Some(Instant::now());
            pool::refresh(&shared).await;
            pick_up(&shared, &mut tasks).await;
            hourly(&shared, &mut hour, &mut tasks).await;
        }
        tokio::select! {
            () = shared.numbers.more.notified() => rows = None,
            Some(_) = tasks.join_next() => {}
            () = sleep(LOOK) => {}
        }
    }
}

/// Looks up what nobody is at any more.
async fn pick_up(shared: &Arc<Shared>, tasks: &mut JoinSet<()>) {
    let room = MOST.saturating_sub(tasks.len());
    if room == 0 {
        return;
    }
    // What cannot be read now the store says itself.
    let found = shared.store.claim_numbers(&shared.numbers.all_busy(), room as u64).await.unwrap_or_default();
    for row in found {
        if let Some(busy) = shared.numbers.begin(&row.id) {
            let shared = Arc::clone(shared);
            tasks.spawn(async move { buying::settle(&shared, row, busy).await });
        }
    }
}

/// Puts the hour's look in, once for all servers, and does it if it is ours.
async fn hourly(shared: &Arc<Shared>, done: &mut Option<i64>, tasks: &mut JoinSet<()>) {
    let twilio = &shared.config().server.twilio;
    let (Some(_), Some(_)) = (&twilio.account_sid, &twilio.auth_token) else { return };
    let hour = Timestamp::now().as_second() / HOUR_S;
    if *done != Some(hour) {
        let job = NewJob { kind: KIND.to_owned(), key: format!("hour-{hour}"), ..NewJob::default() };
        if shared.store.add_job(job).await.is_err() {
            return;
        }
        *done = Some(hour);
    }
    for job in shared.store.claim_jobs(KIND, 1).await.unwrap_or_default() {
        let shared = Arc::clone(shared);
        tasks.spawn(async move {
            let swept = sweep::run(&shared).await;
            let noted = match &swept {
                Ok(()) => shared.store.job_done(job.seq).await,
                Err(error) => {
                    tracing::warn!(%error, "the carrier's list of phone numbers could not be read");
                    later(&shared, job.seq, hour, &job.key).await
                }
            };
            if let Err(error) = noted {
                tracing::warn!(%error, "a look at the carrier's list is not noted; it is done again");
            }
        });
    }
}

/// A look of this hour is tried again; of one before, the next does as well.
async fn later(shared: &Shared, seq: i64, hour: i64, key: &str) -> Result<(), StoreError> {
    match key == format!("hour-{hour}") {
        true => shared.store.snooze_job(seq, "the carrier did not answer", AGAIN).await,
        false => shared.store.job_dead(seq, "the carrier did not answer").await,
    }
}
