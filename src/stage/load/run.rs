//! One run: the model, the target, the callers, and a look at all of them once a second.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use crate::stage::load::callers::{self, Crowd, Schedule};
use crate::stage::load::meter::Books;
use crate::stage::load::objective::Objective;
use crate::stage::load::plan::Manners;
use crate::stage::load::process::{self, Usage};
use crate::stage::load::report::{
    AudioCounts, CallCounts, LoadReport, LoadShape, ProcessReport, SCHEMA, Second, TargetReport,
};
use crate::stage::load::target::{Profile, Started, Way};
use crate::stage::load::wire::Ends;
use crate::stage::rehearsal::{self, Script};

/// What is called.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Our own server, in a process that is started for the run.
    Own(Profile),
    /// The minimal bridge, likewise.
    Floor,
    /// A server that runs already; its process, if it is known.
    Running(Way, Option<u32>),
}

/// What a run is made of, apart from its target and its number of calls.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    pub(crate) manners: Arc<Manners>,
    pub(crate) ramp: Duration,
    pub(crate) steady: Duration,
    pub(crate) down: Duration,
    pub(crate) bad_percent: u32,
    /// Of our own server; `None`: as many as there are callers, and some to spare.
    pub(crate) max_calls: Option<usize>,
    /// Of our own server: beyond it new calls are refused; 0: never.
    pub(crate) max_lag_ms: u64,
    pub(crate) model_listen: SocketAddr,
    pub(crate) model: Script,
    pub(crate) objectives: Vec<Objective>,
    pub(crate) threads: usize,
    pub(crate) seed: u64,
    pub(crate) work: PathBuf,
    /// As it was typed.
    pub(crate) command: String,
}

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// A fresh process settles so long before its memory is taken for an idle one's.
const SETTLE: Duration = Duration::from_millis(700);
/// Callers who should be done get so long more: closing a socket takes two seconds at most.
const GRACE: Duration = Duration::from_secs(20);
/// Folders of finished calls are removed this often, in looks.
const TIDY_EVERY: u64 = 10;

/// Runs `calls` at once against the target. `tell` is called once a second.
///
/// # Errors
/// In words for the person who called it: no sockets, no threads, or a target that does not start or ends by itself.
pub(crate) async fn run(
    conditions: &Conditions,
    target: &Target,
    calls: usize,
    stopped: &watch::Receiver<bool>,
    tell: &mut (dyn FnMut(&Second, &LoadShape) + Send),
) -> Result<LoadReport, String> {
    let started_at = SystemTime::now();
    let books = Books::new(calls)?;
    let model = ModelThread::start(conditions, &books)?;
    let (mut started, way, pid, told) = match target {
        Target::Own(profile) => {
            let max_calls = conditions.max_calls.unwrap_or(calls + calls / 10 + 20);
            let (started, way) =
                Started::server(&conditions.work, *profile, &model.url, max_calls, conditions.max_lag_ms)?;
            let pid = started.pid();
            (Some(started), way, Some(pid), ("offhook", format!("offhook, {}", profile.told())))
        }
        Target::Floor => {
            let (started, way) = Started::floor(&conditions.work, &model.url)?;
            let pid = started.pid();
            (Some(started), way, Some(pid), ("floor", "the minimal bridge".to_owned()))
        }
        Target::Running(way, pid) => {
            let (kind, at) = match way {
                Way::Webhook { connect, .. } => ("url", connect.clone()),
                Way::Stream { url, .. } => ("ws", url.clone()),
            };
            (None, way.clone(), *pid, (kind, at))
        }
    };
    tokio::time::sleep(SETTLE).await;
    let mut watch = Watch::new(pid, started.as_ref().map(Started::pid), conditions.ramp.is_zero());
    let schedule = Schedule {
        began: Instant::now(),
        ramp: conditions.ramp,
        steady: conditions.steady,
        down: conditions.down,
        callers: calls,
        bad: calls * conditions.bad_percent as usize / 100,
    };
    let shape = shape(conditions, calls);
    let crowd = Crowd {
        schedule,
        manners: Arc::clone(&conditions.manners),
        way: Arc::new(way),
        books: books.clone(),
        seed: conditions.seed,
        stopped: stopped.clone(),
    };
    let threads = callers::start(&crowd, conditions.threads)?;
    let mut stopped = stopped.clone();
    let mut looks = 0u64;
    loop {
        looks += 1;
        let next = schedule.began + LOOK * looks as u32;
        tokio::select! {
            () = tokio::time::sleep_until(next.into()) => {}
            _ = stopped.wait_for(|stopped| *stopped) => break,
        }
        let second = watch.look(&schedule, &books);
        tell(&second, &shape);
        watch.series.push(second);
        if let Some(why) = started.as_mut().and_then(Started::ended) {
            return Err(why);
        }
        if let (0, Some(started)) = (looks % TIDY_EVERY, &started) {
            started.tidy();
        }
        let now = Instant::now();
        if threads.iter().all(JoinHandle::is_finished) || now > schedule.ends() + GRACE {
            break;
        }
    }
    if let Some(why) = finished(threads) {
        return Err(why);
    }
    drop(started);
    model.stop();
    let mut report = watch.report(&books);
    report.started = crate::serve::rfc3339(started_at);
    report.command.clone_from(&conditions.command);
    report.load = shape;
    report.target = TargetReport { kind: told.0.to_owned(), name: told.1, pid };
    report.objectives = conditions.objectives.iter().filter_map(|objective| objective.judge(&report)).collect();
    Ok(report)
}

/// Why a thread failed, if one did; threads that still run are left to their end.
fn finished(threads: Vec<JoinHandle<Result<(), String>>>) -> Option<String> {
    let done = threads.into_iter().filter(JoinHandle::is_finished);
    done.map(|thread| {
        thread.join().unwrap_or_else(|_| Err("a thread of callers failed: a bug of the tester".to_owned()))
    })
    .find_map(Result::err)
}

fn shape(conditions: &Conditions, calls: usize) -> LoadShape {
    let Manners { clips, call_s, think_s, barge_in_percent, hang_up_percent } = &*conditions.manners;
    LoadShape {
        calls,
        ramp_s: conditions.ramp.as_secs_f64(),
        steady_s: conditions.steady.as_secs_f64(),
        ramp_down_s: conditions.down.as_secs_f64(),
        call_s: *call_s,
        think_s: *think_s,
        barge_in_percent: *barge_in_percent,
        hang_up_percent: *hang_up_percent,
        bad_percent: conditions.bad_percent,
        clips: clips.iter().map(|clip| clip.label.clone()).collect(),
        model_think_ms: conditions.model.think_ms,
        seed: conditions.seed,
    }
}

/// What is seen from second to second.
struct Watch {
    target: Option<u32>,
    /// Our own child, which is not the tester.
    child: Option<u32>,
    idle: [Option<Usage>; 2],
    last: (Instant, [Option<Usage>; 2]),
    /// At the beginning and the end of the steady state.
    steady: Option<Snapshot>,
    ended: Option<Snapshot>,
    /// Calls up, summed over the seconds of the steady state.
    call_seconds: f64,
    peak: usize,
    series: Vec<Second>,
}

#[derive(Clone, Copy)]
struct Snapshot {
    at: Instant,
    usage: [Option<Usage>; 2],
    audio: AudioCounts,
    up: usize,
}

impl Watch {
    /// `steady`: from the beginning.
    fn new(target: Option<u32>, child: Option<u32>, steady: bool) -> Watch {
        let mut watch = Watch {
            target,
            child,
            idle: [None; 2],
            last: (Instant::now(), [None; 2]),
            steady: None,
            ended: None,
            call_seconds: 0.0,
            peak: 0,
            series: Vec::new(),
        };
        watch.idle = watch.usage();
        watch.last = (Instant::now(), watch.idle);
        let snapshot = Snapshot { at: watch.last.0, usage: watch.idle, audio: AudioCounts::default(), up: 0 };
        watch.steady = steady.then_some(snapshot);
        watch
    }

    /// The target's and the tester's.
    fn usage(&self) -> [Option<Usage>; 2] {
        let target = self.target.and_then(|pid| process::usage(pid, None));
        [target, process::usage(std::process::id(), self.child)]
    }

    fn look(&mut self, schedule: &Schedule, books: &Books) -> Second {
        let now = Instant::now();
        let usage = self.usage();
        let up = books.tally.up.load(Ordering::Relaxed);
        let since = now.saturating_duration_since(self.last.0).as_secs_f64();
        // A second that began in the ramp is not of the steady state.
        let phase = if now < schedule.steady_begins() + Duration::from_millis(500) {
            "ramp"
        } else if now <= schedule.steady_ends() + Duration::from_millis(500) {
            "steady"
        } else {
            "down"
        };
        let snapshot = Snapshot { at: now, usage, audio: books.tally.audio(), up };
        let steady = self.steady.is_some() && phase == "steady";
        if steady {
            self.call_seconds += up as f64 * since;
            self.ended = Some(snapshot);
        }
        if self.steady.is_none() && now >= schedule.steady_begins() {
            self.steady = Some(snapshot);
        }
        self.peak = self.peak.max(up);
        let cores = |n: usize| Some((usage[n]?.cpu_ms - self.last.1[n]?.cpu_ms) / 1_000.0 / since);
        let second = Second {
            at_s: now.saturating_duration_since(schedule.began).as_secs_f64(),
            phase: if steady || phase != "steady" { phase } else { "ramp" },
            calls: up,
            latencies: books.tally.end_second(steady),
            failures: books.tally.failures().values().sum(),
            target_cores: cores(0),
            tester_cores: cores(1).unwrap_or_default(),
            target_mb: usage[0].map(|usage| usage.mb),
        };
        self.last = (now, usage);
        second
    }

    fn report(self, books: &Books) -> LoadReport {
        let tally = &books.tally;
        let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let process = |n: usize| {
            let (from, to) = (self.steady?, self.ended?);
            let (before, after, idle) = (from.usage[n]?, to.usage[n]?, self.idle[n]?);
            let cpu_ms = after.cpu_ms - before.cpu_ms;
            let mb: Vec<f64> = match n {
                0 => self.series.iter().filter(|s| s.phase == "steady").filter_map(|s| s.target_mb).collect(),
                _ => Vec::new(),
            };
            let fifth = (mb.len() / 5).max(1);
            let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
            Some(ProcessReport {
                cpu_ms_per_call_second: cpu_ms / self.call_seconds.max(1.0),
                cores: cpu_ms / 1_000.0 / to.at.saturating_duration_since(from.at).as_secs_f64().max(0.001),
                idle_mb: idle.mb,
                peak_mb: mb.iter().copied().fold(after.mb, f64::max),
                kb_per_call: (after.mb - idle.mb) * 1_024.0 / to.up.max(1) as f64,
                settled_mb: if mb.is_empty() {
                    [after.mb; 2]
                } else {
                    [mean(&mb[..fifth.min(mb.len())]), mean(&mb[mb.len() - fifth.min(mb.len())..])]
                },
            })
        };
        let audio = match (self.steady, self.ended) {
            (Some(from), Some(to)) => difference(from.audio, to.audio),
            _ => AudioCounts::default(),
        };
        LoadReport {
            schema: SCHEMA,
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            calls: CallCounts {
                placed: get(&tally.placed),
                connected: get(&tally.connected),
                refused: get(&tally.refused),
                failed: get(&tally.failed),
                completed: get(&tally.completed),
                peak: self.peak,
                call_seconds: self.call_seconds,
            },
            latencies: tally.latencies(),
            audio,
            failures: tally.failures(),
            hostile: tally.hostilities(),
            process: process(0),
            tester: process(1).unwrap_or_default(),
            series: self.series,
            ..LoadReport::default()
        }
    }
}

fn difference(from: AudioCounts, to: AudioCounts) -> AudioCounts {
    AudioCounts {
        caller_frames: to.caller_frames - from.caller_frames,
        caller_frames_refused: to.caller_frames_refused - from.caller_frames_refused,
        model_frames: to.model_frames - from.model_frames,
        model_frames_lost: to.model_frames_lost - from.model_frames_lost,
        agent_messages: to.agent_messages - from.agent_messages,
        agent_lost_ms: to.agent_lost_ms - from.agent_lost_ms,
        gaps: to.gaps - from.gaps,
        gap_ms: to.gap_ms - from.gap_ms,
    }
}

/// The built-in model on a thread of its own, so that it and the callers do not wait for each other.
struct ModelThread {
    url: String,
    /// Dropped to end it.
    stop: tokio::sync::oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl ModelThread {
    fn start(conditions: &Conditions, books: &Books) -> Result<ModelThread, String> {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let (listen, script, ends) = (conditions.model_listen, conditions.model.clone(), Arc::new(Ends(books.clone())));
        let work = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(error))),
            };
            runtime.block_on(async {
                match rehearsal::Server::bind_with(listen, script, ends).await {
                    Ok(server) => {
                        let _ = tell.send(Ok(server.url()));
                        let _ = stopped.await;
                        server.shutdown();
                    }
                    Err(error) => drop(tell.send(Err(error))),
                }
            });
        };
        let thread = std::thread::Builder::new().name("model".to_owned()).spawn(work);
        let thread = thread.map_err(|error| format!("no thread for the built-in model: {error}"))?;
        match told.recv() {
            Ok(Ok(url)) => Ok(ModelThread { url, stop, thread }),
            Ok(Err(error)) => Err(format!("the built-in model cannot listen on {listen} (--model-listen): {error}")),
            Err(_) => Err("the built-in model failed to start: a bug of the tester".to_owned()),
        }
    }

    fn stop(self) {
        drop(self.stop);
        // A thread that panicked has said so already.
        let _ = self.thread.join();
    }
}
