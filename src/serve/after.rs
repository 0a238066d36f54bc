//! What follows a call: its analysis, its quality control, and the push of what came of it.
//!
//! ```text
//!  a call is over ──► a job in the store ──► at most MAX_RUNNING at once ──► analysis.json, observers, push ──► done
//!                      (what a server that is gone had begun is begun again, by whichever comes to it)
//! ```
//!
//! Nothing of it is on a call's path. While the store cannot be written a job waits as a file in `after/`, as all did in
//! earlier versions. A text model is asked once more at most, so what fails stays failed, with the reason in `analysis.json`.
//!
//! A job is done by the agent as it was when the call ended, as long as this process lives; after that by the agent of the same
//! name, or by the one that the deployment has by then.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::base::template::{Values, Variables};
use crate::config::{Agent, Deployment, Pinned, Push, Question};
use crate::engine::Role;
use crate::link::http::fill;
use crate::report::Report;
use crate::store::{self, NewJob, Store, StoreError};

use super::keeper::REPORT;
use super::late::Late;
use super::metrics::Metrics;
use super::{Shared, request, text};

/// Calls that are worked on at once.
const MAX_RUNNING: usize = 4;
/// Agents that are remembered as they were when their calls ended.
const MAX_PINNED: usize = 10_000;
/// Files of jobs that are taken over in one go.
const MAX_FILES: usize = 1_000;
/// Its report is written only after this.
const PATIENCE: Duration = Duration::from_secs(10);
/// The kind of the store's jobs.
const KIND: &str = "after_call";
/// How often it is looked for jobs though nothing was heard of any: another server may be gone.
const LOOK: Duration = Duration::from_secs(2);
/// The pause before a job is looked at again whose call has no report yet.
const AGAIN: Duration = Duration::from_secs(5);
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
    more: Arc<Notify>,
    busy: watch::Sender<bool>,
    /// Agents as they were, by their calls.
    pinned: Mutex<HashMap<String, Arc<Agent>>>,
    stopped: watch::Sender<bool>,
}

/// What is known of a call beside its report.
#[derive(Deserialize, Serialize)]
struct Job {
    call: String,
    agent: String,
    #[serde(default)]
    deployment: String,
    #[serde(default)]
    revision: String,
    variables: Variables,
    /// What the call ran by: the agent may be deleted or renamed until it is the call's turn.
    #[serde(default)]
    pinned: Option<Pinned>,
}

impl Job {
    fn into_new(self) -> io::Result<NewJob> {
        Ok(NewJob {
            kind: KIND.to_owned(),
            key: self.call.clone(),
            call: Some(self.call.clone()),
            revision: Some(self.revision.clone()).filter(|revision| !revision.is_empty()),
            payload: serde_json::to_string(&self)?,
            ..NewJob::default()
        })
    }
}

impl AfterCalls {
    pub(super) fn new(data: PathBuf, metrics: Arc<Metrics>, late: Arc<Late>) -> AfterCalls {
        AfterCalls {
            data,
            metrics,
            late,
            more: Arc::default(),
            busy: watch::Sender::new(false),
            pinned: Mutex::default(),
            stopped: watch::Sender::new(false),
        }
    }

    /// Reports were written: what waited for them can be done.
    pub(super) fn ready(&self) {
        self.more.notify_one();
    }

    /// A call is over. Returns when it is kept that there is more to do, once its [report is written](Self::ready).
    /// `pinned`: what the call ran by.
    pub(super) async fn add(
        &self,
        store: &Store,
        call: &str,
        deployment: &Deployment,
        revision: &str,
        pinned: Option<Pinned>,
        variables: &Variables,
    ) {
        let agent = &deployment.agent;
        if agent.after.is_empty() {
            return;
        }
        let job = Job {
            call: call.to_owned(),
            agent: agent.name.clone(),
            deployment: deployment.name.clone(),
            revision: revision.to_owned(),
            variables: variables.clone(),
            pinned,
        };
        let Ok(bytes) = serde_json::to_vec(&job) else { return };
        let Ok(new) = job.into_new() else { return };
        {
            let mut pinned = self.pinned();
            if pinned.len() < MAX_PINNED {
                pinned.insert(call.to_owned(), Arc::clone(agent));
            }
        }
        self.busy.send_replace(true);
        match store.add_job(new).await {
            Ok(_) => {}
            Err(StoreError::Refused(_)) => self.metrics.after_dropped.add("too_many", 1),
            Err(_) => self.set_aside(call, bytes).await,
        }
    }

    /// Keeps a job as a file until the store can be written.
    async fn set_aside(&self, call: &str, bytes: Vec<u8>) {
        let (path, late, more) = (self.path(call), Arc::clone(&self.late), Arc::clone(&self.more));
        let writing =
            tokio::task::spawn_blocking(move || late.write(path, bytes, "after", Box::new(move |_| more.notify_one())));
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
        self.data.join("calls").join(store::folder_name(call))
    }

    fn pinned(&self) -> MutexGuard<'_, HashMap<String, Arc<Agent>>> {
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Jobs that wait as files, the oldest first.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut all = Vec::new();
        match std::fs::read_dir(self.data.join("after")) {
            Ok(entries) => {
                for entry in entries.take(MAX_FILES) {
                    let path = entry?.path();
                    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    if name.ends_with(".json") {
                        all.push(path);
                    } else if name.ends_with(UNFINISHED) {
                        sweep(&path);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        all.sort_unstable();
        Ok(all)
    }

    /// Puts jobs that wait as files into the store. Answers how many are left.
    async fn take_over(self: &Arc<Self>, store: &Store) -> Result<usize, String> {
        let after = Arc::clone(self);
        let found = tokio::task::spawn_blocking(move || after.files()).await;
        let found = found.map_err(io::Error::other).and_then(|found| found).map_err(|error| error.to_string())?;
        let all = found.len();
        for (n, path) in found.into_iter().enumerate() {
            let from = path.clone();
            let read = tokio::task::spawn_blocking(move || std::fs::read(from)).await;
            let bytes = read.map_err(io::Error::other).and_then(|read| read).map_err(|error| error.to_string())?;
            let new = serde_json::from_slice(&bytes).map_err(io::Error::from).and_then(Job::into_new);
            match new {
                Ok(new) => match store.add_job(new).await {
                    Ok(_) | Err(StoreError::Refused(_)) => {}
                    // The store says so itself.
                    Err(_) => return Ok(all - n),
                },
                Err(error) => {
                    self.metrics.after_dropped.add("disk", 1);
                    tracing::warn!(path = %path.display(), %error, "nothing more is found out about a call");
                }
            }
            let removed = tokio::task::spawn_blocking(move || std::fs::remove_file(path)).await;
            removed.map_err(io::Error::other).and_then(|removed| removed).map_err(|error| error.to_string())?;
        }
        Ok(0)
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
    let (mut stopped, mut fresh) = (shared.after.stopped.subscribe(), shared.store.fresh_jobs());
    let mut tasks = JoinSet::new();
    loop {
        let files = match shared.after.take_over(&shared.store).await {
            Ok(files) => files,
            Err(error) => {
                tracing::error!(error, "what waits to be found out about calls cannot be read");
                0
            }
        };
        let room = MAX_RUNNING.saturating_sub(tasks.len());
        // What cannot be read now the store says itself.
        let next =
            if room > 0 { shared.store.claim_jobs(KIND, room as u64).await.unwrap_or_default() } else { Vec::new() };
        for job in next {
            let (shared, http) = (Arc::clone(&shared), http.clone());
            tasks.spawn(async move { one(&shared, &http, job).await });
        }
        if let Ok(waiting) = shared.store.waiting_jobs(KIND).await {
            let waiting = waiting + files as u64;
            shared.metrics.after_waiting.set(waiting);
            shared.after.busy.send_replace(waiting > 0 || !tasks.is_empty());
        }
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            Some(_) = tasks.join_next() => {}
            () = shared.after.more.notified() => {}
            () = fresh.wait() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Does a job and notes what became of it: unnoted it would be done again.
async fn one(shared: &Arc<Shared>, http: &reqwest::Client, row: store::Job) {
    let call = row.key.clone();
    let done = find_out(shared, http, &row).await;
    match done {
        Err(LATER) => noted(|| shared.store.snooze_job(row.seq, LATER, AGAIN)).await,
        Err(reason) => {
            shared.metrics.after_dropped.add(reason, 1);
            tracing::warn!(call, reason, "nothing more is found out about a call");
            noted(|| shared.store.job_dead(row.seq, reason)).await;
        }
        Ok(()) => noted(|| shared.store.job_done(row.seq)).await,
    }
    if done != Err(LATER) {
        shared.after.pinned().remove(&call);
    }
}

/// Notes something however long it takes.
pub(super) async fn noted<F: Future<Output = Result<(), StoreError>>>(note: impl Fn() -> F) {
    let mut pause = Duration::from_millis(100);
    while note().await.is_err() {
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(Duration::from_secs(10));
    }
}

/// The report of a call that has just ended is not there yet, or there was no room for it.
const LATER: &str = "later";

/// A call's report, from its folder or from the store.
async fn report(shared: &Arc<Shared>, call: &str) -> Result<Report, &'static str> {
    let path = shared.after.folder(call).join(REPORT);
    let from = path.clone();
    let read = tokio::task::spawn_blocking(move || {
        std::fs::read(from).ok().and_then(|bytes| serde_json::from_slice::<Report>(&bytes).ok())
    });
    if let Some(report) = read.await.map_err(|_| "disk")? {
        return Ok(report);
    }
    // Its folder is another server's, or it has none.
    match shared.store.report(call).await {
        Ok(Some(report)) => Ok(report),
        Ok(None) if shared.registry.is_unfinished(call) || shared.late.is_waiting(&path) => Err(LATER),
        Ok(None) => Err("no_report"),
        Err(_) => Err(LATER),
    }
}

/// All that is to be found out about one call; an error says why it is not begun.
async fn find_out(shared: &Arc<Shared>, http: &reqwest::Client, row: &store::Job) -> Result<(), &'static str> {
    let call = row.key.as_str();
    let job: Job = serde_json::from_str(&row.payload).map_err(|_| "payload")?;
    let report = report(shared, call).await?;
    let pinned = shared.after.pinned().get(call).cloned();
    let agent = match pinned {
        Some(agent) => agent,
        None => agent(shared, &job).await.ok_or("agent")?,
    };
    let result = result(&report);
    let mut found = json!({
        "schema": SCHEMA, "call": call, "result": { "status": "unknown" }, "analysis": null, "qc": null, "errors": {},
        "usage": {},
    });
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
    let criterion = agent.after.analysis.as_ref().and_then(|question| question.success.as_deref());
    if let Some(served) = criterion.and_then(|name| found["analysis"][name].as_bool()) {
        found["result"]["status"] = if served { "success" } else { "failure" }.into();
    }
    keep(shared, call, &job.agent, &found).await;
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
    let config = shared.source.current();
    let named = || config.agents.get(&job.agent).cloned();
    // It may have another name by now.
    let renamed = || Some(Arc::clone(&config.deployments.get(&job.deployment)?.agent));
    let agent = former.or_else(named).or_else(renamed);
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
async fn keep(shared: &Shared, call: &str, agent: &str, found: &Value) {
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
    shared.feed.analysed(call, agent);
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
        assert_eq!(after.files().expect("a look"), [folder.join("a.json")]);
        assert!(!folder.join("b.json.tmp").exists() && folder.join("c.json.tmp").exists());
    }
    #[tokio::test]
    async fn jobs_that_an_earlier_version_left_as_files_are_taken_over_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let folder = dir.path().join("after");
        std::fs::create_dir_all(&folder).expect("a folder");
        let call = "20261120T231455-1f00ca93b40d2e67";
        let left = json!({ "call": call, "agent": "mia", "variables": { "call.id": call } }).to_string();
        for (name, text) in [(format!("{call}.json"), left.as_str()), ("b.json".to_owned(), "{\"call\": ")] {
            std::fs::write(folder.join(name), text).expect("a file");
        }
        let options = store::StoreOptions {
            data: dir.path().to_owned(),
            url: None,
            address: String::new(),
            lease: Duration::from_secs(15),
        };
        let settings = store::Settings {
            store: Default::default(),
            keep: Default::default(),
            webhooks: Vec::new(),
            allow_private: false,
        };
        let store = Store::start(options, settings, Arc::default()).await.expect("a store");
        let metrics = Arc::new(Metrics::default());
        let late = Arc::new(Late::start(Arc::clone(&metrics)).expect("a thread"));
        let after = Arc::new(AfterCalls::new(dir.path().to_owned(), metrics, late));
        assert_eq!(after.take_over(&store).await, Ok(0));
        assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0, "also what nobody can read");
        let jobs = store.claim_jobs(KIND, 9).await.expect("jobs");
        assert_eq!((jobs.len(), jobs[0].key.as_str()), (1, call));
        let job: Job = serde_json::from_str(&jobs[0].payload).expect("a job");
        assert_eq!((job.agent.as_str(), job.deployment.as_str(), job.variables.len()), ("mia", "", 1));
        // A file whose deletion a killed server did not come to.
        store.job_done(jobs[0].seq).await.expect("noted");
        std::fs::write(folder.join(format!("{call}.json")), &left).expect("a file");
        assert_eq!(after.take_over(&store).await, Ok(0));
        assert!(store.claim_jobs(KIND, 9).await.expect("jobs").is_empty());
        store.stop().await;
    }
}
