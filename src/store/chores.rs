//! What is done again and again beside the writer: making up for what is missing, and deleting what is old. Each is a job in
//! the table of jobs, under a key of its own: what is in a data directory is for whoever has that, and of the rows that
//! servers share one takes care at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::jobs::{self, Fate, Job};
use super::people::People;
use super::{Core, LONGEST, StoreError, reconcile, retention};

/// Makes up for what is missing, by the folders of a data directory.
const RECONCILIATION: &str = "reconciliation";
/// Deletes what is old: calls by their folders, in a data directory, or rows.
const RETENTION: &str = "retention";
/// The key of the rows that servers share.
const ROWS: &str = "rows";

/// How often.
const EVERY: Duration = Duration::from_secs(3_600);
/// After something could not be written: the trouble may last, and a report may still be in the queue. It stays that short:
/// within 30 s of the trouble's end what is missing is made up for.
const AFTER_TROUBLE: Duration = Duration::from_secs(20);
/// How often it is looked for what is due.
const LOOK: Duration = Duration::from_secs(2);
/// As long as the process lives: a chore is never given up.
const FOR_EVER: i64 = i64::MAX;

/// For ever: at the start, every hour, and some time after something could not be written.
pub(super) async fn run(core: Arc<Core>) {
    while let Err(error) = begin(&core).await {
        core.trouble("could not be tidied", &error);
        sleep(LOOK).await;
    }
    let mut missing = false;
    let (people, mut sealed) = (People::of(&core), None);
    loop {
        // At the start, and when there is another key, or one at last.
        let key = core.settings.borrow().store.seal_key.clone();
        if sealed.as_ref() != Some(&key) {
            match people.seal_factors().await {
                Ok(()) => sealed = Some(key),
                Err(error) => core.trouble("could not seal second factors", &error),
            }
        }
        if missing && core.within(LONGEST, hasten(&core)).await.is_ok() {
            missing = false;
        }
        match core.within(LONGEST, jobs::claim(&core, &[RECONCILIATION, RETENTION], 1, FOR_EVER)).await {
            Ok(jobs) => {
                for job in &jobs {
                    Box::pin(one(&core, job)).await;
                }
                if !jobs.is_empty() {
                    continue;
                }
            }
            Err(error) => core.trouble("could not be tidied", &error),
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            () = core.missing.notified() => {
                sleep(AFTER_TROUBLE).await;
                missing = true;
            }
        }
    }
}

async fn begin(core: &Core) -> Result<(), StoreError> {
    let home = core.me.home.as_str();
    for (kind, key) in [(RECONCILIATION, home), (RETENTION, home), (RETENTION, ROWS)] {
        core.within(LONGEST, jobs::begin_again(core, kind, key)).await?;
    }
    Ok(())
}

async fn hasten(core: &Core) -> Result<(), StoreError> {
    let _turn = core.turn.lock().await;
    jobs::bring_forward(core, RECONCILIATION).await
}

/// Does a chore and notes when it comes again: unnoted it would be this process's for ever.
async fn one(core: &Core, job: &Job) {
    let done = match (job.kind.as_str(), job.key.as_str()) {
        (RECONCILIATION, _) => reconcile::folders(core).await,
        (_, ROWS) => retention::rows(core).await,
        _ => retention::folders(core).await,
    };
    let why = done.as_ref().err().map(StoreError::to_string);
    if let Err(error) = &done {
        core.trouble("could not be tidied", error);
    }
    let pause = pause(&job.kind, done.is_ok(), job.attempts);
    loop {
        let fate = why.as_deref().map_or(Fate::Again(pause), |why| Fate::Tried(why, pause));
        if core.within(LONGEST, jobs::change(core, job.seq, fate)).await.is_ok() {
            return;
        }
        sleep(LOOK).await;
    }
}

/// The pause before the next time. What is missing is made up for soon after the trouble; what is only to be deleted may wait,
/// longer after each of the `failures` before, since a folder that cannot be deleted now often never can.
fn pause(kind: &str, done: bool, failures: i64) -> Duration {
    match (done, kind) {
        (true, _) => EVERY,
        (false, RECONCILIATION) => AFTER_TROUBLE,
        (false, _) => AFTER_TROUBLE.saturating_mul(1 << failures.clamp(0, 16)).min(EVERY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_made_up_for_within_30_s_however_long_the_trouble_was() {
        for failures in 0..20 {
            assert!(pause(RECONCILIATION, false, failures) + 2 * LOOK <= Duration::from_secs(30));
        }
        let waits: Vec<_> = (0..10).map(|failures| pause(RETENTION, false, failures)).collect();
        assert_eq!((waits[0], waits[1], waits[9]), (AFTER_TROUBLE, 2 * AFTER_TROUBLE, EVERY));
        assert_eq!(pause(RETENTION, true, 9), EVERY);
    }
}
