//! The callers: so many at a time, each followed by another, on threads of their own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::stage::load::hostile;
use crate::stage::load::meter::{Books, CallMeter};
use crate::stage::load::plan::{Manners, Plan};
use crate::stage::load::random::Random;
use crate::stage::load::target::Way;
use crate::stage::phone::{EndedBy, Metronome, Outcome, PhoneReport, place_metered};

/// After a call that did not come about, nobody dials again at once.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Shorter than this is no call any more.
const SHORTEST: Duration = Duration::from_millis(1_500);
/// A caller who stays so long hears something.
const HEARS_WITHIN: Duration = Duration::from_secs(8);

/// Who calls when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) began: Instant,
    pub(crate) ramp: Duration,
    pub(crate) steady: Duration,
    pub(crate) down: Duration,
    /// Callers at once.
    pub(crate) callers: usize,
    /// The last so many of them do not keep to the protocol.
    pub(crate) bad: usize,
}

impl Schedule {
    /// When the `n`th caller begins, and when the last of its calls ends.
    fn of(&self, n: usize) -> (Instant, Instant) {
        let part = |whole: Duration| whole.mul_f64(n as f64 / self.callers.max(1) as f64);
        (self.began + part(self.ramp), self.steady_ends() + part(self.down))
    }

    pub(crate) fn steady_begins(&self) -> Instant {
        self.began + self.ramp
    }

    pub(crate) fn steady_ends(&self) -> Instant {
        self.steady_begins() + self.steady
    }

    pub(crate) fn ends(&self) -> Instant {
        self.steady_ends() + self.down
    }

    fn is_bad(&self, n: usize) -> bool {
        n >= self.callers.saturating_sub(self.bad)
    }
}

/// All that a caller needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    pub(crate) schedule: Schedule,
    pub(crate) manners: Arc<Manners>,
    pub(crate) way: Arc<Way>,
    pub(crate) books: Books,
    pub(crate) seed: u64,
    /// Set when everybody is to leave at once.
    pub(crate) stopped: watch::Receiver<bool>,
}

/// Lets the callers begin, on so many threads. Each thread ends when its callers are done.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn start(crowd: &Crowd, threads: usize) -> Result<Vec<JoinHandle<Result<(), String>>>, String> {
    let threads = threads.clamp(1, crowd.schedule.callers.max(1));
    let start = |thread: usize| {
        let crowd = crowd.clone();
        std::thread::Builder::new()
            .name(format!("callers-{thread}"))
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.map_err(|error| format!("no runtime for callers: {error}"))?;
                runtime.block_on(crowd.live(thread, threads))
            })
            .map_err(|error| format!("no thread for callers: {error}"))
    };
    (0..threads).map(start).collect()
}

impl Crowd {
    /// Every `threads`th caller from the `thread`th on.
    async fn live(self, thread: usize, threads: usize) -> Result<(), String> {
        let metronome = Metronome::start().map_err(|error| format!("the system gives no timer: {error}"))?;
        let client = crate::stage::phone::client_for_webhooks()?;
        let mut stopped = self.stopped.clone();
        let mut callers = JoinSet::new();
        for n in (thread..self.schedule.callers).step_by(threads) {
            let (crowd, metronome, client) = (self.clone(), metronome.clone(), client.clone());
            callers.spawn(async move { crowd.caller(n, &metronome, &client).await });
        }
        tokio::select! {
            () = async { while callers.join_next().await.is_some() {} } => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        Ok(())
    }

    /// One caller after the other, in one place of the crowd.
    async fn caller(&self, n: usize, metronome: &Metronome, client: &reqwest::Client) {
        let (begins, ends) = self.schedule.of(n);
        let mut random = Random::new(self.seed, n as u64);
        // Scattered over a slot: a crowd that speaks in the same millisecond would measure a queue that the tester made.
        let scatter = Duration::from_secs_f64(random.between([0.0, 0.02]));
        sleep_until((begins + scatter).into()).await;
        loop {
            let left = ends.saturating_duration_since(Instant::now());
            if left < SHORTEST {
                return;
            }
            if self.schedule.is_bad(n) {
                hostile::act(self, n, left, &mut random, client).await;
                continue;
            }
            let plan = self.manners.plan(&mut random, left);
            if !self.one(n, plan, metronome, client).await {
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }

    /// One call. Whether it came about.
    async fn one(&self, n: usize, plan: Plan, metronome: &Metronome, client: &reqwest::Client) -> bool {
        let mut options = self.way.call(n, &plan);
        options.metronome = Some(metronome.clone());
        options.client = Some(client.clone());
        let mut meter = CallMeter::new(&self.books);
        let tally = &self.books.tally;
        tally.placed.fetch_add(1, Ordering::Relaxed);
        let report = place_metered(options, &mut meter).await;
        let came_about = report.outcome == Outcome::Connected;
        if came_about {
            tally.connected.fetch_add(1, Ordering::Relaxed);
        }
        match judge(&report, &plan, &meter) {
            Verdict::Good => tally.completed.fetch_add(1, Ordering::Relaxed),
            Verdict::Refused => tally.refused.fetch_add(1, Ordering::Relaxed),
            Verdict::Failed(kind) => {
                tally.fail(&kind);
                tally.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
        // Told apart from failed calls: a voice that was not recognised is a matter of turn detection.
        (0..meter.unanswered).for_each(|_| tally.fail("turn without an answer"));
        (0..meter.uncleared).for_each(|_| tally.fail("barge-in without a clear"));
        came_about
    }
}

enum Verdict {
    Good,
    Refused,
    Failed(String),
}

fn judge(report: &PhoneReport, plan: &Plan, meter: &CallMeter) -> Verdict {
    let failed = |kind: &str| Verdict::Failed(kind.to_owned());
    match &report.outcome {
        Outcome::Refused { .. } => return Verdict::Refused,
        Outcome::NotAnswered => return failed("not answered"),
        Outcome::HttpError { status: 0, .. } => return failed("webhook: no answer"),
        Outcome::HttpError { status, .. } => return failed(&format!("webhook: HTTP {status}")),
        Outcome::BadTwiml { .. } => return failed("webhook: bad TwiML"),
        Outcome::StreamRefused { status, .. } => return failed(&format!("media socket refused: {status}")),
        Outcome::Connected => {}
    }
    match report.ended_by {
        EndedBy::TimeLimit | EndedBy::Caller => {}
        EndedBy::CallerDied if !plan.stays => {}
        EndedBy::Server { .. } => return failed("the server closed the stream"),
        EndedBy::ServerLost | EndedBy::Broken => return failed("the server's socket vanished"),
        EndedBy::Rest => return failed("the server ended the call"),
        EndedBy::Transferred => return failed("the server transferred the call"),
        EndedBy::CallerDied | EndedBy::NotConnected => return failed("no stream"),
    }
    if report.violation_count > 0 {
        return failed("messages that the carrier does not take");
    }
    if report.overflow_ms > 0 {
        return failed("more audio than a line holds");
    }
    if report.failed_callbacks > 0 {
        return failed("status callbacks not accepted");
    }
    if plan.stays && plan.lasts >= HEARS_WITHIN && !meter.heard {
        return failed("the agent was never heard");
    }
    Verdict::Good
}
