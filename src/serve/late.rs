//! Files for which there is no room on the disk at the moment: kept in memory, and tried again until there is.
//!
//! A report is the truth about its call and is written once. A disk that is full for some seconds must not cost it.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::metrics::Metrics;

/// Files that may wait; of one more the call is said to have none.
const MAX_FILES: usize = 4_096;
/// Bytes of them that may wait: some thousand reports.
const MAX_BYTES: usize = 64 << 20;
/// The pause between two attempts.
const AGAIN: Duration = Duration::from_secs(5);

/// Failures after which an attempt is over: there is no room for the rest either.
const MAX_FAILURES: usize = 8;

/// What is done once a file is written; it is told whether that was late.
pub(super) type Then = Box<dyn FnOnce(bool) + Send>;

/// The thread that tries again.
pub(super) struct Late {
    jobs: SyncSender<Job>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
    waiting: Arc<Mutex<Waiting>>,
    metrics: Arc<Metrics>,
}

/// What waits, by path, and how much that is.
#[derive(Default)]
struct Waiting {
    paths: HashSet<PathBuf>,
    bytes: usize,
}

enum Job {
    Write(LateFile),
    Stop,
}

struct LateFile {
    path: PathBuf,
    bytes: Vec<u8>,
    then: Then,
}

impl Late {
    /// Starts the thread.
    pub(super) fn start(metrics: Arc<Metrics>) -> io::Result<Late> {
        Self::every(AGAIN, metrics)
    }

    fn every(again: Duration, metrics: Arc<Metrics>) -> io::Result<Late> {
        let (jobs, handed_over) = sync_channel(MAX_FILES);
        let waiting = Arc::default();
        let worker = Worker {
            files: VecDeque::new(),
            waiting: Arc::clone(&waiting),
            tried: None,
            again,
            metrics: Arc::clone(&metrics),
        };
        let thread = thread::Builder::new().name("files-late".to_owned()).spawn(move || worker.run(&handed_over))?;
        Ok(Late { jobs, thread: Mutex::new(Some(thread)), waiting, metrics })
    }

    /// Writes a file, later if it must be; `then` follows when it is written. `what` it is: as metrics name it. The error
    /// is why it is late. Blocks, so it is not for an async task.
    pub(super) fn write(&self, path: PathBuf, bytes: Vec<u8>, what: &'static str, then: Then) -> io::Result<()> {
        match write_whole(&path, &bytes) {
            Ok(()) => {
                then(false);
                Ok(())
            }
            Err(error) => {
                self.put_off(path, bytes, what, then);
                Err(error)
            }
        }
    }

    /// Whether a file still waits.
    pub(super) fn is_waiting(&self, path: &Path) -> bool {
        lock(&self.waiting).paths.contains(path)
    }

    /// Tries once more, and says what is lost. Blocks, so it is not for an async task.
    pub(super) fn stop(&self) {
        // A thread that is gone already has nothing to finish.
        let _ = self.jobs.send(Job::Stop);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }

    /// Lets a file wait, which could not be written now. Never waits itself.
    pub(super) fn put_off(&self, path: PathBuf, bytes: Vec<u8>, what: &'static str, then: Then) {
        self.metrics.files_failed.add(what, 1);
        let file = LateFile { path: path.clone(), bytes, then };
        let bytes = file.bytes.len();
        let mut waiting = lock(&self.waiting);
        let room = waiting.paths.len() < MAX_FILES && waiting.bytes + bytes <= MAX_BYTES;
        if room && self.jobs.try_send(Job::Write(file)).is_ok() {
            waiting.bytes += bytes;
            waiting.paths.insert(path);
            self.metrics.files_late_waiting.set(waiting.paths.len() as u64);
        } else {
            tracing::error!(path = %path.display(), "too many files wait for room on the disk: this one is lost");
        }
    }
}

struct Worker {
    files: VecDeque<LateFile>,
    waiting: Arc<Mutex<Waiting>>,
    tried: Option<Instant>,
    again: Duration,
    metrics: Arc<Metrics>,
}

impl Worker {
    fn run(mut self, handed_over: &Receiver<Job>) {
        loop {
            let job = if self.files.is_empty() {
                handed_over.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                let pause = self.tried.map_or(Duration::ZERO, |at| self.again.saturating_sub(at.elapsed()));
                handed_over.recv_timeout(pause)
            };
            match job {
                Ok(Job::Write(file)) => {
                    if self.files.is_empty() {
                        // It was tried this instant.
                        self.tried = Some(Instant::now());
                    }
                    self.files.push_back(file);
                }
                Err(RecvTimeoutError::Timeout) => self.try_again(),
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.try_again();
        for file in self.files {
            tracing::error!(path = %file.path.display(), "there is still no room on the disk: this file is lost");
        }
    }

    /// Writes what can be written. Those that cannot go to the end, so that they hold up no other for ever.
    fn try_again(&mut self) {
        self.tried = Some(Instant::now());
        let mut failures = 0;
        for _ in 0..self.files.len() {
            let Some(file) = self.files.pop_front() else { break };
            if write_whole(&file.path, &file.bytes).is_err() {
                self.files.push_back(file);
                failures += 1;
                if failures == MAX_FAILURES {
                    return;
                }
                continue;
            }
            {
                let mut waiting = lock(&self.waiting);
                waiting.bytes -= file.bytes.len();
                waiting.paths.remove(&file.path);
                self.metrics.files_late_waiting.set(waiting.paths.len() as u64);
            }
            self.metrics.files_late.add(1);
            tracing::info!(path = %file.path.display(), "written late: there was no room on the disk before");
            (file.then)(true);
        }
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a file, and its folder if there is none, so that it is there whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let unfinished = path.with_file_name(name);
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(unfinished, path)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// A folder that cannot be made, as on a full disk: there is a file in its place.
    fn full(dir: &Path) -> PathBuf {
        fs::write(dir.join("calls"), "").expect("a file");
        dir.join("calls/c1/report.json")
    }

    #[test]
    fn a_file_without_room_is_written_once_there_is_some_and_what_follows_it_then() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = full(dir.path());
        let metrics = Arc::new(Metrics::default());
        let late = Late::every(Duration::from_millis(5), Arc::clone(&metrics)).expect("a thread");
        let (done, written) = channel();
        let then: Then = Box::new(move |late| done.send(late).expect("who waits"));
        assert!(late.write(path.clone(), b"whole".to_vec(), "report", then).is_err());
        assert!(late.is_waiting(&path));
        assert!(written.recv_timeout(Duration::from_millis(30)).is_err());
        assert_eq!(metrics.files_late_waiting.get(), 1);
        fs::remove_file(dir.path().join("calls")).expect("room");
        assert!(written.recv_timeout(Duration::from_secs(20)).expect("it is written"));
        assert_eq!(fs::read(&path).expect("a file"), b"whole");
        assert!(!late.is_waiting(&path));
        assert_eq!((metrics.files_late_waiting.get(), metrics.files_late.get()), (0, 1));
        late.stop();
        assert_eq!(metrics.files_failed.get("report"), 1);
    }

    #[test]
    fn what_waits_is_bounded_and_what_is_lost_is_counted() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = full(dir.path());
        let metrics = Arc::new(Metrics::default());
        let late = Late::start(Arc::clone(&metrics)).expect("a thread");
        for n in 0..5 {
            let path = path.with_file_name(format!("{n}.json"));
            assert!(late.write(path, vec![0; 16 << 20], "report", Box::new(|_| {})).is_err());
        }
        assert_eq!((metrics.files_late_waiting.get(), metrics.files_failed.get("report")), (4, 5));
        late.stop();
        assert_eq!((metrics.files_late.get(), metrics.files_failed.get("report")), (0, 5));
    }
}
