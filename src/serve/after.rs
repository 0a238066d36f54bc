//! What follows a call: its analysis, its quality control, and the push of what came of it.
//!
//! ```text
//!  a call is over ──► after/<call>.json ──► at most MAX_RUNNING at once ──► analysis.json, observers, push ──► removed
//!                      (the waiting line, on the disk: what a restart interrupts is begun again)
//! ```
//!
//! Nothing of it is on a call's path. A text model is asked once more at most, so what fails stays failed, with the reason
//! in `analysis.json`.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::base::template::{Values, Variables};
use crate::config::{Agent, Pinned, Push, Question};
use crate::engine::Role;
use crate::link::http::fill;
use crate::report::Report;

use super::keeper::REPORT;
use super::late::{Late, Then};
use super::metrics::Metrics;
use super::{Shared, request, text};

/// Calls that are worked on at once.
const MAX_RUNNING: usize = 4;
/// Calls that wait. Of one more nothing is found out.
const MAX_WAITING: usize = 10_000;
/// Its report is written only after this.
const PATIENCE: Duration = Duration::from_secs(10);
/// Ends the name of a file that is being written.
const UNFINISHED: &str = ".json.tmp";
/// One that has not grown for this long is nobody's any more.
const LONGEST_WRITE: Duration = Duration::from_secs(60);
/// The version of `analysis.json`.
const SCHEMA: u32 = 1;

/// The calls of which more is to be found out.
pub(super) struct AfterCalls {
    /// Where calls are kept.
    data: PathBuf,
    metrics: Arc<Metrics>,
    late: Arc<Late>,
    waiting: Arc<AtomicUsize>,
    more: Arc<Notify>,
    busy: watch::Sender<bool>,
    running: Mutex<BTreeSet<String>>,
    stopped: watch::Sender<bool>,
}

/// What is known of a call beside its report.
#[derive(Deserialize, Serialize)]
struct Job {
    call: String,
    agent: String,
    variables: Variables,
    /// What the call ran by: the agent may be deleted or renamed until it is the call's turn.
    #[serde(default)]
    pinned: Option<Pinned>,
}

impl AfterCalls {
    pub(super) fn new(data: PathBuf, metrics: Arc<Metrics>, late: Arc<Late>) -> AfterCalls {
        AfterCalls {
            data,
            metrics,
            late,
            waiting: Arc::default(),
            more: Arc::default(),
            busy: watch::Sender::new(false),
            running: Mutex::default(),
            stopped: watch::Sender::new(false),
        }
    }

    /// Reports were written: what waited for them can be done.
    pub(super) fn ready(&self) {
        self.more.notify_one();
    }

    /// A call is over. Returns when it is on the disk that there is more to do, once its [report is written](Self::ready).
    /// `pinned`: what the call ran by.
    pub(super) async fn add(&self, call: &str, agent: &Agent, pinned: Option<Pinned>, variables: &Variables) {
        if agent.after.is_empty() {
            return;
        }
        if self.waiting.load(Ordering::Relaxed) >= MAX_WAITING {
            self.metrics.after_dropped.add("too_many", 1);
            return;
        }
        let job = Job { call: call.to_owned(), agent: agent.name.clone(), variables: variables.clone(), pinned };
        let (path, late) = (self.path(call), Arc::clone(&self.late));
        let (waiting, more, busy) = (Arc::clone(&self.waiting), Arc::clone(&self.more), self.busy.clone());
        let then: Then = Box::new(move |late| {
            waiting.fetch_add(1, Ordering::Relaxed);
            busy.send_replace(true);
            if late {
                more.notify_one();
            }
        });
        let writing = tokio::task::spawn_blocking(move || late.write(path, serde_json::to_vec(&job)?, "after", then));
        let written = match timeout(PATIENCE, writing).await {
            Ok(written) => written.map_err(io::Error::other).and_then(|written| written),
            Err(_) => Err(io::Error::other("the disk is too slow")),
        };
        if let Err(error) = written {
            tracing::error!(%error, "more is found out about a call later: it cannot be kept yet that it waits");
        }
    }

    /// Resolves when nothing runs and nothing waits.
    pub(super) async fn idle(&self) {
        // The sender lives as long as we do.
        let _ = self.busy.subscribe().wait_for(|busy| !*busy).await;
    }

    /// Begins nothing more, and lets go of what runs.
    pub(super) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    fn path(&self, call: &str) -> PathBuf {
        self.data.join("after").join(format!("{call}.json"))
    }

    fn folder(&self, call: &str) -> PathBuf {
        self.data.join("calls").join(call)
    }

    fn running(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls that wait and do not run yet, the oldest first, as many as fit; and whether there is none at all.
    fn next(&self, room: usize) -> io::Result<(Vec<String>, usize)> {
        let mut all = BTreeSet::new();
        match std::fs::read_dir(self.data.join("after")) {
            Ok(entries) => {
                for entry in entries.take(2 * MAX_WAITING) {
                    let entry = entry?;
                    let name = entry.file_name().to_string_lossy().into_owned();
                    all.extend(name.strip_suffix(".json").map(str::to_owned));
                    if name.ends_with(UNFINISHED) {
                        sweep(&entry.path());
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let count = all.len();
        let running = self.running();
        // One whose report is late is looked at again once that is written.
        let is_late = |call: &str| self.late.is_waiting(&self.folder(call).join(REPORT));
        let next = all.into_iter().filter(|call| !running.contains(call) && !is_late(call)).take(room).collect();
        Ok((next, count))
    }
}

/// Deletes what a killed server left in the middle of writing; nobody reads it.
fn sweep(path: &Path) {
    let written = std::fs::metadata(path).and_then(|about| about.modified());
    let old = written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LONGEST_WRITE));
    // What cannot be deleted now is tried again with the next look.
    if old && let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "a file that was never finished cannot be deleted");
    }
}

/// Works off what waits, also from before the server was started, until it is stopped.
pub(super) async fn work(shared: Arc<Shared>) {
    let http = match text::http(&shared.outgoing) {
        Ok(http) => http,
        Err(error) => return tracing::error!(%error, "no HTTP client: nothing is found out about calls"),
    };
    let mut stopped = shared.after.stopped.subscribe();
    let mut tasks = JoinSet::new();
    loop {
        let looking = Arc::clone(&shared);
        let room = MAX_RUNNING.saturating_sub(tasks.len());
        let found = tokio::task::spawn_blocking(move || looking.after.next(room)).await;
        let (next, count) = match found.map_err(io::Error::other).and_then(|found| found) {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "what waits to be found out about calls cannot be read");
                (Vec::new(), 0)
            }
        };
        shared.after.waiting.store(count, Ordering::Relaxed);
        shared.after.metrics.after_waiting.set(count as u64);
        shared.after.busy.send_replace(count > 0);
        for call in next {
            shared.after.running().insert(call.clone());
            let (shared, http) = (Arc::clone(&shared), http.clone());
            tasks.spawn(async move {
                let done = find_out(&shared, &http, &call).await;
                let path = shared.after.path(&call);
                if done == Err(LATER) {
                    shared.after.running().remove(&call);
                    return;
                }
                if let Err(reason) = done {
                    shared.after.metrics.after_dropped.add(reason, 1);
                    tracing::warn!(call, reason, "nothing more is found out about a call");
                }
                // Left there, it would be done again.
                let removed = tokio::task::spawn_blocking(move || std::fs::remove_file(path)).await;
                if removed.map_err(io::Error::other).and_then(|removed| removed).is_ok() {
                    shared.after.running().remove(&call);
                }
            });
        }
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            Some(_) = tasks.join_next() => {}
            () = shared.after.more.notified() => {}
        }
    }
}

/// The report of a call that has just ended is not there yet, or there was no room for it.
const LATER: &str = "later";

/// All that is to be found out about one call; an error says why it is not begun.
async fn find_out(shared: &Arc<Shared>, http: &reqwest::Client, call: &str) -> Result<(), &'static str> {
    let (path, folder) = (shared.after.path(call), shared.after.folder(call));
    let read = tokio::task::spawn_blocking(move || {
        let job: Option<Job> = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let report: Option<Report> =
            std::fs::read(folder.join(REPORT)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        (job, report)
    });
    let (job, report) = read.await.map_err(|_| "disk")?;
    let (Some(job), Some(report)) = (job, report) else {
        let report = shared.after.folder(call).join(REPORT);
        return Err(if shared.registry.is_unfinished(call) || shared.late.is_waiting(&report) {
            LATER
        } else {
            "no_report"
        });
    };
    let agent = agent(shared, &job).await.ok_or("agent")?;
    let result = result(&report);
    let mut found = json!({ "schema": SCHEMA, "call": call, "analysis": null, "qc": null, "errors": {}, "usage": {} });
    let questions = [("analysis", &agent.after.analysis), ("qc", &agent.after.qc)];
    for (name, question) in questions {
        let Some(question) = question else { continue };
        if result["transcript"] == "" {
            shared.metrics.questions.add("nothing_said", 1);
            found["errors"][name] = "nothing was said".into();
            continue;
        }
        let analysis = found["analysis"].clone();
        let values = Values::new(&job.variables).with("result", &result).with("analysis", &analysis);
        let asked = ask(shared, http, question, name, &values).await;
        match asked {
            Ok(answer) => {
                found["usage"][name] =
                    json!({ "input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens });
                found[name] = answer.value;
            }
            Err(why) => found["errors"][name] = why.into(),
        }
    }
    keep(shared, call, &found).await;
    if let Some(push) = &agent.after.push {
        send(shared, push, &job, &result, &found).await;
    }
    Ok(())
}

/// The agent as it was when the call began; where that cannot be, as it is now. `None`: it leaves nothing to do.
async fn agent(shared: &Arc<Shared>, job: &Job) -> Option<Arc<Agent>> {
    let former = match job.pinned.clone() {
        None => None,
        Some(pinned) => {
            let shared = Arc::clone(shared);
            let resolved = tokio::task::spawn_blocking(move || shared.source.unpin(&pinned)).await;
            match resolved.unwrap_or_else(|_| Err("the server ends".to_owned())) {
                Ok(deployment) => Some(Arc::clone(&deployment.agent)),
                Err(why) => {
                    let why = why.lines().next().unwrap_or_default();
                    tracing::warn!(call = job.call, why, "what a call ran by cannot be had any more");
                    None
                }
            }
        }
    };
    let agent = former.or_else(|| shared.source.current().agents.get(&job.agent).cloned());
    agent.filter(|agent| !agent.after.is_empty())
}

async fn ask(
    shared: &Shared,
    http: &reqwest::Client,
    question: &Question,
    name: &str,
    values: &Values<'_>,
) -> Result<text::Answer, String> {
    let metrics = &shared.metrics;
    let began = Instant::now();
    let asked = text::ask(http, question, name, &question.prompt.fill(values)).await;
    metrics.question.observe(began.elapsed());
    match asked {
        Ok(answer) => {
            metrics.questions.add(if answer.repaired { "repaired" } else { "done" }, 1);
            Ok(answer)
        }
        Err((kind, words)) => {
            metrics.questions.add(kind, 1);
            tracing::warn!(
                model = question.model.name,
                question = name,
                why = kind,
                "a question about a call is not answered"
            );
            Err(words)
        }
    }
}

/// Writes `analysis.json` and tells who wants to know.
async fn keep(shared: &Shared, call: &str, found: &Value) {
    let folder = shared.after.folder(call);
    let mut bytes = serde_json::to_vec_pretty(found).unwrap_or_default();
    bytes.push(b'\n');
    let late = Arc::clone(&shared.late);
    let written = tokio::task::spawn_blocking(move || {
        // A folder that is gone was not to be kept.
        let none = !folder.exists();
        if none { Ok(()) } else { late.write(folder.join("analysis.json"), bytes, "analysis", Box::new(|_| {})) }
    });
    if let Err(error) = written.await.map_err(io::Error::other).and_then(|written| written) {
        tracing::error!(call, %error, "analysis.json could not be written; it is tried again");
    }
    shared.store.set_analysis(call, found.clone());
    if let Some(observer) = &shared.observer {
        observer.analysed(call, found);
    }
}

async fn send(shared: &Shared, push: &Push, job: &Job, result: &Value, found: &Value) {
    let values = Values::new(&job.variables).with("result", result);
    let values = values.with("analysis", &found["analysis"]).with("qc", &found["qc"]);
    let mut everything = namespaces(&job.variables);
    everything.insert("schema".to_owned(), SCHEMA.into());
    everything.insert("result".to_owned(), result.clone());
    for name in ["analysis", "qc", "errors"] {
        everything.insert(name.to_owned(), found[name].clone());
    }
    let sent = match fill(&push.request, &values, &Value::Object(everything).to_string()) {
        Ok(filled) => {
            let deadline = Instant::now() + Duration::from_millis(push.timeout_ms);
            request::send(&shared.reach, &push.request, &filled, deadline.into()).await.map(drop)
        }
        Err(why) => Err(request::Failure::new("request", why)),
    };
    shared.metrics.pushes.add(sent.as_ref().map_or_else(|failure| failure.kind, |()| "done"), 1);
    if let Err(failure) = sent {
        tracing::warn!(
            call = job.call,
            why = failure.kind,
            "what came of a call could not be sent (`push` of the agent)"
        );
        tracing::debug!(call = job.call, words = failure.words);
    }
}

/// Variables as one object per namespace.
fn namespaces(variables: &Variables) -> Map<String, Value> {
    let mut all = Map::new();
    for (name, value) in variables {
        if let Some((namespace, name)) = name.split_once('.') {
            let members = all.entry(namespace).or_insert_with(|| json!({}));
            members[name] = value.clone().into();
        }
    }
    all
}

/// `result.*`: what there is to say about a call that is over.
fn result(report: &Report) -> Value {
    let mut transcript = String::new();
    for line in &report.lines {
        let who = match line.who {
            Role::Caller => "Caller",
            Role::Agent => "Agent",
            Role::System => continue,
        };
        if !line.text.is_empty() {
            transcript.push_str(&format!("{who}: {}\n", line.text));
        }
    }
    let notes: Vec<_> = report.notes.iter().map(|note| note.text.as_str()).collect();
    let tools: Vec<_> = report.tools.iter().map(|tool| format!("{}: {}", tool.name, tool.output)).collect();
    json!({
        "transcript": transcript.trim_end(),
        "duration_s": report.duration_ms.div_ceil(1_000),
        "end": report.end.kind(),
        "notes": notes.join("\n"),
        "tools": tools.join("\n"),
        "turns": report.turns.len(),
        "interruptions": report.interruptions.len(),
        "report": report,
    })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_a_killed_server_left_half_written_is_swept_and_what_is_being_written_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let folder = dir.path().join("after");
        std::fs::create_dir_all(&folder).expect("a folder");
        for (name, age_s) in [("a.json", 600), ("b.json.tmp", 600), ("c.json.tmp", 0)] {
            let file = std::fs::File::create(folder.join(name)).expect("a file");
            file.set_modified(SystemTime::now() - Duration::from_secs(age_s)).expect("a time");
        }
        let metrics = Arc::new(Metrics::default());
        let late = Arc::new(Late::start(Arc::clone(&metrics)).expect("a thread"));
        let after = AfterCalls::new(dir.path().to_owned(), metrics, late);
        assert_eq!(after.next(9).expect("a look"), (vec!["a".to_owned()], 1));
        assert!(!folder.join("b.json.tmp").exists() && folder.join("c.json.tmp").exists());
    }
}
