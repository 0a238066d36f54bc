//! Pictures of calls that are over, `call.svg` and `call.html`: jobs of the store, one a call, put in with the end of its row.
//!
//! One is drawn at a time, off the async threads, by whichever process has the call's folder: what was killed in the middle
//! is drawn again from the beginning. What cannot be drawn now, on a full disk, is tried again after pauses that grow; what
//! never can, without a report, is given up.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::lab::picture::{self, PictureError};
use crate::store::{self, Job, PICTURES};

use super::Shared;
use super::after::noted;
use super::keeper::REPORT;

/// Jobs that are claimed at once, and drawn one after the other.
const AT_ONCE: u64 = 4;
/// How often it is looked for jobs though nothing was heard of any.
const LOOK: Duration = Duration::from_secs(2);
/// The pause before a call is looked at again whose report waits for room on the disk.
const AGAIN: Duration = Duration::from_secs(5);

/// Who draws.
#[derive(Debug)]
pub(super) struct Pictures {
    stopped: watch::Sender<bool>,
    over: watch::Receiver<bool>,
}

/// What a job says.
#[derive(Debug, Deserialize)]
struct Wanted {
    /// Draw only if this deployment's calls have pictures: whether this call's was to have one is not known.
    deployment: Option<String>,
}

/// Why a call is not drawn.
#[derive(Debug)]
enum Failure {
    /// It may be drawn later; the attempt does not count.
    Early,
    /// Another attempt may do.
    Now(String),
    /// No attempt ever will.
    Never(String),
}

impl Pictures {
    /// Draws what waits, also from before the server was started.
    pub(super) fn start(shared: Arc<Shared>) -> (Pictures, JoinHandle<()>) {
        let (stopped, over) = (watch::Sender::new(false), watch::Sender::new(false));
        let (mut stop, done) = (stopped.subscribe(), over.subscribe());
        let work = async move {
            let mut fresh = shared.store.fresh_jobs();
            loop {
                // Why it cannot be read the store says itself.
                let jobs = shared.store.claim_jobs(PICTURES, AT_ONCE).await.unwrap_or_default();
                for job in &jobs {
                    one(&shared, job).await;
                }
                if !jobs.is_empty() {
                    continue;
                }
                if *stop.borrow() {
                    over.send_replace(true);
                    return;
                }
                tokio::select! {
                    gone = stop.changed() => if gone.is_err() { return },
                    () = fresh.wait() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        };
        (Pictures { stopped, over: done }, tokio::spawn(work))
    }

    /// Draws what is due, and then nothing more. It may take long: what is left is drawn after the next start.
    pub(super) async fn finish(&self) {
        self.stopped.send_replace(true);
        // An error is that the task is gone, and draws nothing.
        let _ = self.over.clone().wait_for(|over| *over).await;
    }
}

/// Draws a call and notes what became of it: unnoted it would be drawn again.
async fn one(shared: &Arc<Shared>, job: &Job) {
    match draw(shared, job).await {
        Ok(()) => noted(|| shared.store.job_done(job.seq)).await,
        Err(Failure::Early) => noted(|| shared.store.snooze_job(job.seq, "its report is late", AGAIN)).await,
        Err(Failure::Now(why)) => {
            failed(shared, job, &why);
            noted(|| async { shared.store.job_failed(job, &why).await.map(drop) }).await;
        }
        Err(Failure::Never(why)) => {
            failed(shared, job, &why);
            noted(|| shared.store.job_dead(job.seq, &why)).await;
        }
    }
}

fn failed(shared: &Shared, job: &Job, why: &str) {
    shared.metrics.files_failed.add("pictures", 1);
    tracing::warn!(call = job.key, why, "pictures could not be drawn");
}

async fn draw(shared: &Arc<Shared>, job: &Job) -> Result<(), Failure> {
    let wanted = serde_json::from_str::<Wanted>(&job.payload).map_err(|error| Failure::Never(error.to_string()))?;
    let folder = shared.data.join("calls").join(store::folder_name(&job.key));
    let is_kept = |name: &String| shared.config().deployments.get(name).is_some_and(|of| of.keep.pictures);
    if wanted.deployment.is_some_and(|name| !is_kept(&name)) {
        return Ok(());
    }
    if shared.late.is_waiting(&folder.join(REPORT)) {
        return Err(Failure::Early);
    }
    let drawn = tokio::task::spawn_blocking(move || picture::draw(&folder)).await;
    drawn.map_err(|panic| Failure::Now(panic.to_string()))?.map_err(|error| sort(&error))
}

fn sort(error: &PictureError) -> Failure {
    let why = error.to_string();
    match error {
        // A report that is gone does not come back: the call was deleted, or the disk never had room for it.
        PictureError::Io { doing: "read", error, .. } if error.kind() == io::ErrorKind::NotFound => Failure::Never(why),
        PictureError::Io { .. } => Failure::Now(why),
        PictureError::Report { .. } | PictureError::Recording { .. } => Failure::Never(why),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_full_disk_is_tried_again_and_a_report_that_is_gone_is_not() {
        let io = |doing, kind| PictureError::Io { doing, path: PathBuf::new(), error: io::Error::from(kind) };
        assert!(matches!(sort(&io("write", io::ErrorKind::StorageFull)), Failure::Now(_)));
        assert!(matches!(sort(&io("write", io::ErrorKind::NotFound)), Failure::Now(_)));
        assert!(matches!(sort(&io("read", io::ErrorKind::NotFound)), Failure::Never(_)));
        let broken = PictureError::Recording { path: PathBuf::new(), why: String::new() };
        assert!(matches!(sort(&broken), Failure::Never(_)));
    }
}
