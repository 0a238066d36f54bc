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

use reqwest::{Client, ClientBuilder};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::config::Webhook;
use crate::store::{OutboxRow, Store, StoreError};

use super::post::{self, Outcome};
use super::{Counters, schedule};

/// Events on their way to one endpoint at once.
const PER_ENDPOINT: usize = 8;
/// How often the outbox is looked at though nothing was heard of it: a command may have changed it.
const LOOK: Duration = Duration::from_secs(2);
/// The shortest pause between two looks at what failed.
const SHORTEST: Duration = Duration::from_millis(10);
/// How long what is due may take when the server ends; the rest waits for the next one.
const GRACE: Duration = Duration::from_secs(3);

/// The task that sends.
pub struct Sender {
    stopping: watch::Sender<bool>,
    task: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Sender {
    /// Starts sending what is in the outbox of `store`. `way`: has the client go by a proxy, where there is one.
    ///
    /// # Errors
    /// There is no TLS for the client.
    pub fn start(
        store: Store,
        counters: Arc<Counters>,
        way: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Sender, reqwest::Error> {
        let stopping = watch::Sender::new(false);
        let work = Work {
            store,
            client: way(post::client()).build()?,
            counters,
            on_the_way: HashMap::new(),
            failing: HashMap::new(),
            tasks: JoinSet::new(),
        };
        let task = tokio::spawn(work.run(stopping.subscribe()));
        Ok(Sender { stopping, task: std::sync::Mutex::new(Some(task)) })
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
    client: Client,
    counters: Arc<Counters>,
    /// By endpoint, the events that are on their way.
    on_the_way: HashMap<String, Vec<i64>>,
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
        let (mut waiting, mut next_ms) = (0, i64::MAX);
        for (endpoint, count) in self.store.waiting().await? {
            waiting += count;
            let Some(hook) = hooks.iter().find(|hook| hook.name == endpoint) else {
                let given_up = self.store.give_up(&endpoint, "there is no such webhook in offhook.toml").await?;
                self.counters.dead.fetch_add(given_up, Ordering::Relaxed);
                tracing::warn!(
                    endpoint,
                    events = given_up,
                    "events given up: there is no such webhook in offhook.toml"
                );
                continue;
            };
            let on_the_way = self.on_the_way.entry(endpoint.clone()).or_default();
            let room = PER_ENDPOINT.saturating_sub(on_the_way.len());
            if room == 0 {
                continue;
            }
            let rows = self.store.claim(&endpoint, room as u64).await?;
            for row in rows {
                on_the_way.push(row.seq);
                self.tasks.spawn(attempt(
                    self.store.clone(),
                    self.client.clone(),
                    Arc::clone(hook),
                    row,
                    Arc::clone(&self.counters),
                ));
            }
            if let Some(ms) = self.store.next_due_ms(&endpoint).await? {
                next_ms = next_ms.min(ms);
            }
        }
        self.counters.waiting.store(waiting, Ordering::Relaxed);
        let pause = u64::try_from(next_ms).unwrap_or(0);
        Ok(Duration::from_millis(pause).min(LOOK))
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
async fn attempt(store: Store, client: Client, hook: Arc<Webhook>, row: OutboxRow, counters: Arc<Counters>) -> Done {
    let outcome = post::post(&client, &hook, &row).await;
    let done = Done { endpoint: hook.name.clone(), seq: row.seq, delivered: outcome == Outcome::Delivered };
    let attempts = row.attempts.max(0) as u64 + 1;
    let (why, pause_ms) = match outcome {
        Outcome::Delivered => {
            counters.delivered.fetch_add(1, Ordering::Relaxed);
            noted(|| store.delivered(row.seq)).await;
            return done;
        }
        Outcome::Refused { why } => (why, None),
        Outcome::Failed { why, asked_s } => (why, schedule::pause_ms(hook.retry_first_ms, attempts, asked_s, chance())),
    };
    counters.failed.fetch_add(1, Ordering::Relaxed);
    tracing::debug!(endpoint = hook.name, event = row.id, kind = row.kind, attempts, why, "event not delivered");
    if pause_ms.is_none() {
        counters.dead.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            endpoint = hook.name,
            event = row.id,
            kind = row.kind,
            attempts,
            why,
            "event given up (`offhook webhooks dead`)"
        );
    }
    let pause_ms = pause_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
    noted(|| store.failed(row.seq, &why, pause_ms)).await;
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
