//! What agents know: documents are read by jobs of the store, each in a process of its own, and pages are fetched before.
//!
//! A job that is killed in the middle is begun again by whoever is there; until it is done, what was read before is found.

pub(in crate::serve) mod child;
pub(in crate::serve) mod known;
pub(in crate::serve) mod lookup;
mod page;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::store::{Job, KNOWLEDGE, KnowledgeRow, StoreError};

use super::Shared;
use super::after::noted;
use child::Failure;
use page::{Came, Version};

pub use child::read_document;
pub use lookup::{source, told};

/// How often it is looked for jobs, and who has documents, though nothing was heard of any.
const LOOK: Duration = Duration::from_secs(2);
/// How often it is looked for pages that are old, and for what is left behind.
const SWEEP: Duration = Duration::from_secs(600);

/// Reads what waits, one document at a time: who reads ten shall not be on the way of calls more than who reads one.
pub(super) async fn work(shared: Arc<Shared>) {
    let mut fresh = shared.store.fresh_jobs();
    let mut swept: Option<Instant> = None;
    loop {
        // Why it cannot be read the store says itself.
        if let Ok(agents) = shared.store.knowledge().agents().await {
            shared.known.set(agents);
        }
        let jobs = shared.store.claim_jobs(KNOWLEDGE, 1).await.unwrap_or_default();
        for job in &jobs {
            one(&shared, job).await;
        }
        if !jobs.is_empty() {
            continue;
        }
        if swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            swept = Some(Instant::now());
            if let Err(error) = sweep(&shared).await {
                tracing::debug!(%error, "what agents know is swept another time");
            }
        }
        tokio::select! {
            () = fresh.wait() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn sweep(shared: &Shared) -> Result<(), StoreError> {
    let knowledge = shared.store.knowledge();
    knowledge.sweep().await?;
    knowledge.ask_for_old_pages().await.map(drop)
}

/// Does a job and notes what became of it: unnoted it would be done again.
async fn one(shared: &Shared, job: &Job) {
    match read(shared, job).await {
        Ok(outcome) => {
            shared.metrics.readings.add(outcome, 1);
            noted(|| shared.store.job_done(job.seq)).await;
        }
        Err(why) => {
            shared.metrics.readings.add("again", 1);
            tracing::warn!(job = job.key, why, "a document could not be read yet");
            noted(|| async { shared.store.job_failed(job, &why).await.map(drop) }).await;
        }
    }
}

/// What came of it; why it has to be done again.
async fn read(shared: &Shared, job: &Job) -> Result<&'static str, String> {
    let (knowledge, again) = (shared.store.knowledge(), |error: StoreError| error.to_string());
    let Some((id, reading)) = job.reading() else { return Ok("gone") };
    let Some((document, bytes)) = knowledge.begin(id, reading).await.map_err(again)? else { return Ok("gone") };
    let (mut document, mut bytes) = (document, bytes);
    if let Some(url) = document.url.clone() {
        match page::fetch(&shared.reach, &url, version(&document), false).await {
            Ok(Came::Page(fetched)) if is_same(&document, &bytes, &fetched.bytes) => {
                knowledge.unchanged(&document).await.map_err(again)?;
                return Ok("unchanged");
            }
            Ok(Came::Page(fetched)) => {
                knowledge.fetched(&document.id, &fetched).await.map_err(again)?;
                (document.declared, bytes) = (fetched.declared, fetched.bytes);
            }
            Ok(Came::Same) => {
                knowledge.unchanged(&document).await.map_err(again)?;
                return Ok("unchanged");
            }
            Err(words) => {
                knowledge.failed(&document, &format!("The page was not fetched: {words}.")).await.map_err(again)?;
                return Ok("unreachable");
            }
        }
    }
    let declared = document.declared.clone();
    let read = tokio::task::spawn_blocking(move || child::read(bytes, &declared)).await;
    match read.map_err(|panic| panic.to_string())? {
        Ok(reading) => {
            knowledge.finish(&document, &reading).await.map_err(again)?;
            Ok("ready")
        }
        Err(Failure::Document(words)) => {
            knowledge.failed(&document, &words).await.map_err(again)?;
            Ok("failed")
        }
        Err(Failure::Ours(why)) => Err(why),
    }
}

/// Of a page whose last reading came to nothing no version is known: it is read again as it is.
fn version(document: &KnowledgeRow) -> Version<'_> {
    Version { etag: document.etag.as_deref(), modified: document.modified.as_deref() }
}

/// Whether a page that does not tell its version was read as it is.
fn is_same(document: &KnowledgeRow, before: &[u8], now: &[u8]) -> bool {
    document.reading > 0 && document.words.is_none() && before == now
}
