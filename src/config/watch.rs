//! The configuration in force.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::files::{self, Seen};
use super::problem::{Problem, Problems};
use super::resolve::Resolved;
use super::types::Config;

/// Holds the configuration in force and keeps up with its files.
///
/// [`Source::current`] looks at the files each time, so a change applies to the next call, exactly. A bad change leaves
/// the last good configuration in force; its problems are logged once, as errors, and stay in [`Source::problems`]
/// until the files are right again.
#[derive(Debug)]
pub struct Source {
    state: Mutex<State>,
}

impl Source {
    /// Reads the directory `dir`; secrets come from the process's environment.
    ///
    /// # Errors
    /// Every problem of every document, when there is an error among them.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, Problems> {
        Source::open_with(dir, |name| std::env::var(name).ok(), |_| {})
    }

    /// Reads the directory `dir` with an environment of one's own; `adjust` is applied to every configuration that is
    /// read, as flags of the command line are.
    ///
    /// # Errors
    /// Every problem of every document, when there is an error among them.
    pub fn open_with(
        dir: impl Into<PathBuf>,
        env: impl Fn(&str) -> Option<String> + Send + 'static,
        adjust: impl Fn(&mut Config) + Send + 'static,
    ) -> Result<Self, Problems> {
        let mut files = Watched { dir: dir.into(), env: Box::new(env), adjust: Box::new(adjust), seen: None };
        let resolved = files.read();
        let config = resolved.config.ok_or_else(|| resolved.problems.clone())?;
        let state = State { current: Arc::new(config), problems: Arc::new(resolved.problems), files: Some(files) };
        Ok(Source { state: Mutex::new(state) })
    }

    /// A configuration that never changes.
    pub fn fixed(config: Config) -> Self {
        let state = State { current: Arc::new(config), problems: Arc::default(), files: None };
        Source { state: Mutex::new(state) }
    }

    /// The configuration in force now.
    ///
    /// Costs one `stat` per file and directory, and a reading of all documents after a change: some milliseconds at
    /// most for a configuration of ordinary size on a local disk. Meant for once per call and once a second.
    pub fn current(&self) -> Arc<Config> {
        let mut state = self.lock();
        state.refresh();
        state.current.clone()
    }

    /// Logs what is wrong with the files as they are. For the start of a server: the logs are set up by what
    /// [`Source::open`] has read, so it logs nothing itself.
    pub fn log_problems(&self) {
        log(&self.problems());
    }

    /// What is wrong with the files as they are; warnings too.
    pub fn problems(&self) -> Arc<Problems> {
        let mut state = self.lock();
        state.refresh();
        state.problems.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is replaced as a whole, so a panic elsewhere leaves nothing half-done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct State {
    current: Arc<Config>,
    problems: Arc<Problems>,
    files: Option<Watched>,
}

impl State {
    fn refresh(&mut self) {
        let Some(files) = &mut self.files else { return };
        if files.seen.as_ref().is_some_and(|seen| !seen.changed()) {
            return;
        }
        let resolved = files.read();
        if *self.problems != resolved.problems {
            if self.problems.has_errors() && !resolved.problems.has_errors() {
                tracing::info!("the configuration is right again");
            }
            log(&resolved.problems);
            self.problems = Arc::new(resolved.problems);
        }
        // The documents' revision says nothing of secrets, which may have been rotated: the new reading always counts.
        if let Some(config) = resolved.config {
            if config.revision != self.current.revision {
                tracing::info!(revision = %config.revision, "configuration applied to calls from now on");
            }
            self.current = Arc::new(config);
        }
    }
}

type OwnEnv = Box<dyn Fn(&str) -> Option<String> + Send>;
type Adjust = Box<dyn Fn(&mut Config) + Send>;

struct Watched {
    dir: PathBuf,
    env: OwnEnv,
    adjust: Adjust,
    seen: Option<Seen>,
}

impl Watched {
    fn read(&mut self) -> Resolved {
        let (mut resolved, seen) = files::load(&self.dir, &self.env);
        self.seen = Some(seen);
        if let Some(config) = &mut resolved.config {
            (self.adjust)(config);
        }
        resolved
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Says loudly what is wrong.
fn log(problems: &Problems) {
    if problems.has_errors() {
        tracing::error!(
            count = problems.iter().filter(|p| p.is_error()).count(),
            "the configuration's files have errors; the last good configuration stays in force"
        );
    }
    let first_line = |p: &Problem| p.to_string().lines().next().unwrap_or_default().to_owned();
    for problem in problems.iter().take(MAX_LOGGED) {
        if problem.is_error() {
            tracing::error!("{}", first_line(problem));
        } else {
            tracing::warn!("{}", first_line(problem));
        }
    }
}

/// The rest is told by `offhook check`.
const MAX_LOGGED: usize = 50;
