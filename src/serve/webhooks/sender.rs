//! From the outbox to the endpoints.
//!
//! Each endpoint is served by itself, so one that is down holds up no other. Of each call only the first event that waits
//! is tried, so the next never overtakes it; other calls go on meanwhile. What is on its way is this process's own: of several
//! servers with one outbox one sends it. An event leaves the outbox once its delivery is noted there: of a process that is
//! killed in between the next one to come sends it again, with the same id.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{ClientBuilder, Url};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::config::{EventType, MAX_EVENTS_PER_SECOND, Webhook};
use crate::store::{Attempt, OutboxRow, Sample, Store, StoreError};

use super::pace::Pace;
use super::post::{self, Next, Ways};
use super::{Counters, schedule};

/// Events on their way to one endpoint at once.
const PER_ENDPOINT: usize = 8;
/// How often the outbox is looked at though nothing was heard of it: a command may have changed it.
const LOOK: Duration = Duration::from_secs(2);
/// The shortest pause between two looks at what failed.
const SHORTEST: Duration = Duration::from_millis(10);
/// How long a sample may take: somebody waits for what comes of it, in a request that has a bound of its own.
const TEST: Duration = Duration::from_secs(5);
/// How long what is due may take when the server ends; the rest waits for the next one.
const GRACE: Duration = Duration::from_secs(3);

/// The task that sends.
pub struct Sender {
    store: Store,
    ways: Arc<Ways>,
    stopping: watch::Sender<bool>,
    task: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Sender {
    /// Starts sending what is in the outbox of `store`. `way`: has the client go by a proxy, where there is one; `by_proxy`:
    /// whether there is one before a URL.
    ///
    /// # Errors
    /// There is no TLS for the client.
    pub fn start(
        store: Store,
        counters: Arc<Counters>,
        way: impl FnOnce(ClientBuilder) -> ClientBuilder,
        by_proxy: impl Fn(&Url) -> bool + Send + Sync + 'static,
    ) -> Result<Sender, reqwest::Error> {
        let stopping = watch::Sender::new(false);
        let ways = Arc::new(Ways::new(way, by_proxy)?);
        let work = Work {
            store: store.clone(),
            ways: Arc::clone(&ways),
            counters,
            on_the_way: HashMap::new(),
            paces: HashMap::new(),
            all: Pace::default(),
            failing: HashMap::new(),
            tasks: JoinSet::new(),
        };
        let task = tokio::spawn(work.run(stopping.subscribe()));
        Ok(Sender { store, ways, stopping, task: std::sync::Mutex::new(Some(task)) })
    }

    /// Sends a sample of each of these types, signed and marked `test`, once, all at the same time, whether the endpoint is
    /// on or off, and for no longer than [`TEST`]. Answers what came of each; that is in the log of attempts too.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn test(&self, hook: &Webhook, kinds: &[EventType]) -> Result<Vec<(Sample, Attempt)>, StoreError> {
        let hurried = Webhook { timeout_ms: hook.timeout_ms.min(TEST.as_millis() as u64), ..hook.clone() };
        let one = async |kind: &EventType| {
            let sample = Sample::new(*kind);
            let (attempt, _) = post::post(&self.ways, &hurried, &sample.id, &sample.body).await;
            (sample, attempt)
        };
        let tried = join_all(kinds.iter().map(one)).await;
        for (sample, attempt) in &tried {
            self.store.log_test(&hook.id, sample, attempt).await?;
        }
        Ok(tried)
    }

    /// Gives what is due a moment, and ends. What is left is sent by the next server.
    pub async fn stop(&self) {
        self.stopping.send_replace(true);
        let task = self.task.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(mut task) = task
            && tokio::time::timeout(2 * GRACE, &mut task).await.is_err()
        {
            task.abort();
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

struct Work {
    store: Store,
    ways: Arc<Ways>,
    counters: Arc<Counters>,
    /// By endpoint, the events that are on their way.
    on_the_way: HashMap<String, Vec<i64>>,
    /// By endpoint, how soon it may be sent more; and all of them together.
    paces: HashMap<String, Pace>,
    all: Pace,
    /// Endpoints that took nothing at the last attempt, and since when.
    failing: HashMap<String, Instant>,
    tasks: JoinSet<Done>,
}

/// An attempt that is over and noted.
struct Done {
    endpoint: String,
    seq: i64,
    delivered: bool,
}

impl Work {
    async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let mut until: Option<Instant> = None;
        loop {
            let next = match self.start_due().await {
                Ok(next) => next,
                // The store says so itself.
                Err(_) => LOOK,
            };
            if let Some(until) = until
                && (self.tasks.is_empty() || Instant::now() >= until)
            {
                return;
            }
            let next = until.map_or(next, |until| next.min(until.saturating_duration_since(Instant::now())));
            tokio::select! {
                Some(done) = self.tasks.join_next() => self.done(done.ok()),
                () = self.store.outbox_is_fresh() => {}
                () = sleep(next.max(SHORTEST)) => {}
                _ = stopping.wait_for(|stopping| *stopping), if until.is_none() => {
                    until = Some(Instant::now() + GRACE);
                }
            }
        }
    }

    /// Sends what is due and has room; gives how long nothing else will be.
    async fn start_due(&mut self) -> Result<Duration, StoreError> {
        let hooks = self.store.webhooks();
        // Servers that share the outbox share what may be sent.
        let servers = self.store.servers() as f64;
        let (mut all_waiting, mut next) = (0, LOOK);
        for (endpoint, waiting) in self.store.waiting().await? {
            all_waiting += waiting;
            match hooks.iter().find(|hook| hook.id == endpoint) {
                Some(hook) if hook.off.is_none() => {
                    next = next.min(self.start_due_of(hook, servers).await?);
                }
                Some(hook) => self.give_up(&endpoint, hook.off.as_deref().unwrap_or_default()).await?,
                None => {
                    // Another server may have made it just now.
                    self.store.look_at_endpoints().await?;
                    if self.store.webhooks().iter().any(|hook| hook.id == endpoint) {
                        next = SHORTEST;
                    } else {
                        self.give_up(&endpoint, "there is no such webhook any more").await?;
                    }
                }
            }
        }
        self.counters.waiting.store(all_waiting, Ordering::Relaxed);
        Ok(next)
    }

    /// The same of one endpoint.
    async fn start_due_of(&mut self, hook: &Arc<Webhook>, servers: f64) -> Result<Duration, StoreError> {
        let own = hook.per_second as f64 / servers;
        let everybodys = MAX_EVENTS_PER_SECOND as f64 / servers;
        let now = Instant::now();
        let on_the_way = self.on_the_way.entry(hook.id.clone()).or_default();
        let pace = self.paces.entry(hook.id.clone()).or_default();
        let free = PER_ENDPOINT.saturating_sub(on_the_way.len());
        let may = pace.room(now, own).min(self.all.room(now, everybodys));
        let mut sent = 0;
        if free > 0 && may > 0 {
            let rows = self.store.claim(&hook.id, free.min(may) as u64).await?;
            sent = rows.len();
            for row in rows {
                on_the_way.push(row.seq);
                let (store, ways, counters) = (self.store.clone(), Arc::clone(&self.ways), Arc::clone(&self.counters));
                self.tasks.spawn(attempt(store, ways, Arc::clone(hook), row, counters));
            }
            pace.take(now, sent, own);
            self.all.take(now, sent, everybodys);
        }
        if sent >= free {
            // Whoever comes back says so.
            return Ok(LOOK);
        }
        if sent >= may {
            return Ok(pace.wait(now, own).max(self.all.wait(now, everybodys)));
        }
        let due_ms = self.store.next_due_ms(&hook.id).await?.unwrap_or(i64::MAX);
        Ok(Duration::from_millis(u64::try_from(due_ms).unwrap_or(0)))
    }

    /// Gives up what waits for an endpoint that is sent nothing.
    async fn give_up(&self, endpoint: &str, why: &str) -> Result<(), StoreError> {
        let given_up = self.store.give_up(endpoint, why).await?;
        self.counters.dead.fetch_add(given_up, Ordering::Relaxed);
        tracing::warn!(endpoint, events = given_up, why, "events given up");
        Ok(())
    }

    fn done(&mut self, done: Option<Done>) {
        // A task that panicked keeps its place until the server is started again.
        let Some(done) = done else { return };
        if let Some(seqs) = self.on_the_way.get_mut(&done.endpoint) {
            seqs.retain(|seq| *seq != done.seq);
        }
        match (done.delivered, self.failing.contains_key(&done.endpoint)) {
            (true, true) => {
                let since = self.failing.remove(&done.endpoint);
                let for_s = since.map_or(0, |at| at.elapsed().as_secs());
                tracing::info!(endpoint = done.endpoint, for_s, "webhook takes events again");
            }
            (false, false) => {
                tracing::warn!(endpoint = done.endpoint, "webhook does not take events; they wait in the outbox");
                self.failing.insert(done.endpoint, Instant::now());
            }
            _ => {}
        }
    }
}

/// Tries once, and notes what came of it.
async fn attempt(store: Store, ways: Arc<Ways>, hook: Arc<Webhook>, row: OutboxRow, counters: Arc<Counters>) -> Done {
    let (tried, next) = post::post(&ways, &hook, &row.id, &row.body).await;
    let done = Done { endpoint: hook.id.clone(), seq: row.seq, delivered: next == Next::Nothing };
    let attempts = row.attempts.max(0) as u64 + 1;
    let pause_ms = match next {
        Next::Nothing => {
            noted(|| store.delivered(&row, &tried)).await;
            counters.delivered.fetch_add(1, Ordering::Relaxed);
            return done;
        }
        Next::Never => None,
        Next::Again { asked_s } => schedule::pause_ms(hook.retry_first_ms, attempts, asked_s, chance()),
    };
    let why = tried.error.as_deref().unwrap_or_default();
    let pause_ms = pause_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
    noted(|| store.failed(&row, &tried, pause_ms)).await;
    counters.failed.fetch_add(1, Ordering::Relaxed);
    tracing::debug!(endpoint = hook.id, event = row.id, kind = row.kind, attempts, why, "event not delivered");
    if pause_ms.is_none() {
        counters.dead.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            endpoint = hook.id,
            event = row.id,
            kind = row.kind,
            attempts,
            why,
            "event given up (`offhook webhooks dead`)"
        );
    }
    done
}

/// Notes something however long it takes: an event that is not noted as delivered must not be sent again meanwhile.
async fn noted<F: Future<Output = Result<(), StoreError>>>(note: impl Fn() -> F) {
    let mut pause = Duration::from_millis(100);
    while note().await.is_err() {
        sleep(pause).await;
        pause = (2 * pause).min(Duration::from_secs(10));
    }
}

/// 0–1, for the schedule.
fn chance() -> f64 {
    let mut bytes = [0u8; 4];
    // Without chance all pauses are of their middle length.
    if SystemRandom::new().fill(&mut bytes).is_err() {
        return 0.5;
    }
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
