//! Documents that are the store's: what changes there is written into the working copy, which is looked at like a folder.

mod known;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::config::Stored;
use crate::store::{Document, StoreError};

use super::Shared;

pub(super) use known::Known;

/// How long a start waits for the store. After that it goes on with the documents that it had.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the store is asked what is new, where it tells of everything, and where it does not, or did not answer.
const ASKED: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(2)];
/// Documents that are read at once.
const ROWS: u64 = 16;
/// Looks after a change: what belongs together is waited for.
const LOOKS: u32 = 8;

/// Takes what is there, if the store answers in time.
pub(super) async fn begin(shared: &Arc<Shared>) {
    if !shared.source.is_stored() {
        return;
    }
    let mut known = shared.stored.lock().await;
    let began = timeout(PATIENCE, catch_up(shared, &mut known)).await;
    if began.is_err() {
        failed(shared, &mut known, &StoreError::Slow.to_string());
    }
}

/// Takes what changes, for as long as the server runs.
pub(super) async fn go_on(shared: Arc<Shared>) {
    if !shared.source.is_stored() {
        return;
    }
    let revisions = shared.store.revisions();
    let mut told = revisions.listen();
    let mut every = ASKED[1];
    loop {
        tokio::select! {
            what = told.recv() => if what.is_none() { return },
            () = sleep(every) => {}
        }
        // One look does for all.
        while told.try_recv().is_ok() {}
        let mut known = shared.stored.lock().await;
        let done = catch_up(&shared, &mut known).await;
        // One that did not answer may be there again at any moment.
        every = if revisions.hears_others() && done.is_ok() { ASKED[0] } else { ASKED[1] };
    }
}

/// Takes what is new, for what is done next to rest on all that there is; why that cannot be, said once.
pub(super) async fn catch_up(shared: &Arc<Shared>, known: &mut Known) -> Result<(), String> {
    match take(shared, known).await {
        Ok(changed) => {
            if known.said.take().is_some() {
                tracing::info!("documents are taken from the store again");
            }
            if changed {
                look(shared).await;
            }
            Ok(())
        }
        Err(why) => {
            failed(shared, known, &why);
            Err(why)
        }
    }
}

/// Writes what is new into the working copy. Tells whether there was something.
async fn take(shared: &Arc<Shared>, known: &mut Known) -> Result<bool, String> {
    let words = |error: StoreError| error.to_string();
    let revisions = shared.store.revisions();
    let newest = revisions.newest().await.map_err(words)?;
    if known.seq == Some(newest) {
        return Ok(false);
    }
    if newest == 0 {
        // Nobody has pushed any yet, or this is another database: no reason to forget what there is.
        known.seq = None;
        return Err("it never had any; push them with `offhook push`".to_owned());
    }
    // An older one than what is known: this is not the database that it was.
    let after = known.seq.filter(|known| *known < newest);
    let mut seq = after.unwrap_or_default();
    let mut changed = Vec::new();
    loop {
        let some = revisions.since(seq, ROWS).await.map_err(words)?;
        let Some(last) = some.last() else { break };
        seq = last.seq;
        let whole = some.len() < ROWS as usize;
        changed.extend(some.into_iter().map(stored));
        if whole {
            break;
        }
    }
    let source = Arc::clone(shared);
    let write = move || source.source.take_stored(&changed, after.is_none());
    match tokio::task::spawn_blocking(write).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            return Err(format!("they cannot be written to from-store in the data directory: {error}"));
        }
        Err(error) => return Err(error.to_string()),
    }
    known.seq = Some(seq);
    Ok(true)
}

async fn look(shared: &Arc<Shared>) {
    for _ in 0..LOOKS {
        let Some(again) = shared.look().await else { break };
        sleep(again).await;
    }
}

/// Says why, once.
fn failed(shared: &Shared, known: &mut Known, why: &str) {
    shared.metrics.documents_failed.add(1);
    if known.said.as_deref() != Some(why) {
        let numbers = shared.source.current().deployments.len();
        tracing::error!(why, numbers, "no documents come from the store; those from before stay in force");
        known.said = Some(why.to_owned());
    }
}

fn stored(document: Document) -> Stored {
    let Document { kind, name, revision, text, .. } = document;
    Stored { kind, name, revision, text }
}
