//! The log, written off every other thread's path.
//!
//! ```text
//!  whoever logs ──► queue, bounded ──► the thread `log` ──► standard error
//!                     full: the line is dropped and counted
//! ```
//!
//! A reader of standard error that is gone or takes nothing costs lines, never a call: whoever logs only ever puts a
//! line into the queue, if there is room. What was lost is counted, and said once somebody reads again.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;

use crate::config::Log;

/// Lines that may wait: some seconds of a busy server at the level `debug`.
const MAX_LINES: usize = 16_384;
/// Bytes that may wait.
const MAX_BYTES: usize = 8 << 20;
/// How long the process waits at its end for what is still to be written.
const FLUSH: Duration = Duration::from_secs(1);
/// How often lost lines are said, once somebody reads again.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// The pause before a file that takes nothing at the moment, and says so instead of waiting, is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// The process's one log, once it was started.
static LOG: OnceLock<Queue> = OnceLock::new();

/// Logs to standard error from now on, by `log`; panics too.
///
/// # Errors
/// It was started before, or the system gives no thread; in words.
pub fn start(log: &Log) -> Result<(), String> {
    let cannot = |why: &dyn std::fmt::Display| format!("logs cannot be started: {why}");
    let filter =
        filter(&log.filter).map_err(|error| format!("log.filter {:?} is not a tracing filter: {error}", log.filter))?;
    // A descriptor of our own: who waits for a reader while it holds the lock of `std::io::stderr` would make others wait.
    let stderr = io::stderr().as_fd().try_clone_to_owned().map_err(|error| cannot(&error))?;
    let said = |lines| tracing::warn!(lines, "lines of the log were lost: nobody read them, or not fast enough");
    let queue = Queue::start(File::from(stderr), said).map_err(|error| cannot(&error))?;
    let writer = queue.clone();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || writer.clone())
        .log_internal_errors(false);
    let started = if log.json { logs.json().try_init() } else { logs.with_ansi(io::stderr().is_terminal()).try_init() };
    started.map_err(|error| cannot(&error))?;
    // `try_init` lets one through.
    let _ = LOG.set(queue);
    std::panic::set_hook(Box::new(panicked));
    Ok(())
}

/// What is logged. The database's driver says of each connection that it is broken; the store says it once a minute.
fn filter(wanted: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    // What comes later wins: who names it hears it.
    EnvFilter::try_new(format!("sqlx=error,sqlx_core=error,{wanted}"))
}

/// Waits until what was logged is written, for a second at most. Called as the process ends.
pub fn flush() {
    if let Some(log) = LOG.get() {
        log.flush(FLUSH);
    }
}

/// Lines that were lost so far.
pub fn dropped() -> u64 {
    LOG.get().map_or(0, Queue::dropped)
}

/// Says a panic in the log: what the standard library does instead writes to standard error, which may take nothing.
fn panicked(info: &PanicHookInfo<'_>) {
    let why = info.payload_as_str().unwrap_or("no words");
    let at = info.location().map(ToString::to_string).unwrap_or_default();
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        tracing::error!(why, at, %trace, "panic");
    } else {
        tracing::error!(why, at, "panic");
    }
}

/// Lines on their way to the thread that writes them. Cheap to clone.
#[derive(Clone, Debug)]
struct Queue {
    jobs: SyncSender<Job>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    dropped: AtomicU64,
    /// Bytes that wait.
    bytes: AtomicUsize,
}

enum Job {
    Line(Vec<u8>),
    /// Answered when what came before it is written.
    Flush(SyncSender<()>),
}

impl Queue {
    /// Starts the thread. `said` is told, by that thread, how many lines were lost, once one was written after that.
    fn start(to: impl Write + Send + 'static, said: impl Fn(u64) + Send + 'static) -> io::Result<Queue> {
        let (jobs, waiting) = sync_channel(MAX_LINES);
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        thread::Builder::new().name("log".to_owned()).spawn(move || work(to, &waiting, &shared, said))?;
        Ok(Queue { jobs, counts })
    }

    /// Hands a line over, or drops it. Never waits.
    fn push(&self, line: &[u8]) {
        let waiting = self.counts.bytes.fetch_add(line.len(), Ordering::Relaxed);
        let room = waiting.saturating_add(line.len()) <= MAX_BYTES;
        if !room || self.jobs.try_send(Job::Line(line.to_vec())).is_err() {
            self.counts.bytes.fetch_sub(line.len(), Ordering::Relaxed);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Waits until what was handed over is written, for `limit` at most. `false`: it was not.
    fn flush(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let (done, written) = sync_channel(1);
        let mut job = Job::Flush(done);
        loop {
            match self.jobs.try_send(job) {
                Ok(()) => return written.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok(),
                Err(TrySendError::Full(back)) if Instant::now() < until => job = back,
                Err(_) => return false,
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Write for Queue {
    /// One call is one line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn work(mut to: impl Write, waiting: &Receiver<Job>, counts: &Counts, said: impl Fn(u64)) {
    let (mut told, mut told_at) = (0, None::<Instant>);
    while let Ok(job) = waiting.recv() {
        let line = match job {
            Job::Line(line) => line,
            Job::Flush(done) => {
                // Whoever waits may have given up.
                let _ = done.try_send(());
                continue;
            }
        };
        let written = put(&mut to, &line);
        counts.bytes.fetch_sub(line.len(), Ordering::Relaxed);
        if written.is_err() {
            counts.dropped.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let dropped = counts.dropped.load(Ordering::Relaxed);
        if dropped > told && told_at.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            said(dropped - told);
            (told, told_at) = (dropped, Some(Instant::now()));
        }
    }
}

/// Writes all of a line. A file that was set not to wait is waited for here.
fn put(to: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match to.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => line = &line[n.min(line.len())..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A reader that takes so many writes as it is allowed, and waits for more.
    struct Reader {
        allowed: Receiver<io::Result<()>>,
        read: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Nobody who allows anything any more: everything is.
            self.allowed.recv().unwrap_or(Ok(()))?;
            self.read.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Allow = SyncSender<io::Result<()>>;
    type Kept<T> = Arc<Mutex<Vec<T>>>;

    /// A queue, what lets its reader read on, what was read, and what was said to be lost.
    fn queue() -> (Queue, Allow, Kept<u8>, Kept<u64>) {
        let (allow, allowed) = sync_channel(1_000);
        let (read, said) = (Kept::default(), Kept::default());
        let note = Arc::clone(&said);
        let reader = Reader { allowed, read: Arc::clone(&read) };
        (Queue::start(reader, move |n| note.lock().unwrap().push(n)).unwrap(), allow, read, said)
    }

    #[test]
    fn what_the_databases_driver_says_of_a_broken_connection_is_left_out_unless_it_is_asked_for() {
        for (wanted, heard) in [("info", 1), ("info,sqlx=info,sqlx_core=info", 3)] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let logs = tracing_subscriber::fmt().with_env_filter(filter(wanted).unwrap());
            let logs = logs.with_writer(Mutex::new(file.reopen().unwrap())).finish();
            tracing::subscriber::with_default(logs, || {
                tracing::info!(target: "sqlx_core::pool::inner", "ping on idle connection returned error");
                tracing::warn!(target: "sqlx::pool::acquire", "acquired connection, but time to acquire was long");
                tracing::info!("our own");
            });
            assert_eq!(std::fs::read_to_string(file.path()).unwrap().lines().count(), heard, "{wanted}");
        }
    }

    #[test]
    fn a_reader_that_takes_nothing_costs_lines_and_nobody_waits() {
        let (queue, allow, read, said) = queue();
        for n in 0..MAX_LINES + 100 {
            queue.push(format!("{n}\n").as_bytes());
        }
        // One line may be in the thread's hand, beside those that wait.
        assert!((99..=100).contains(&queue.dropped()), "{}", queue.dropped());
        assert!(!queue.flush(Duration::from_millis(30)), "nothing was read");
        let lost = queue.dropped();
        drop(allow);
        assert!(queue.flush(Duration::from_secs(20)));
        assert_eq!(said.lock().unwrap().as_slice(), [lost], "what was lost is said when somebody reads again");
        let read = String::from_utf8(read.lock().unwrap().clone()).unwrap();
        assert!(read.starts_with("0\n1\n2\n"));
        assert_eq!(read.lines().count() as u64, (MAX_LINES + 100) as u64 - lost);
        assert_eq!(queue.counts.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn long_lines_are_bounded_by_their_bytes() {
        let (queue, allow, _, _) = queue();
        let line = vec![b'x'; 1 << 20];
        for _ in 0..12 {
            queue.push(&line);
        }
        assert_eq!(queue.dropped(), 4);
        queue.push(b"short\n");
        assert_eq!(queue.dropped(), 5, "bytes that wait are all that count");
        drop(allow);
        assert!(queue.flush(Duration::from_secs(20)));
    }

    #[test]
    fn a_reader_that_is_gone_costs_lines_and_one_that_comes_back_is_told() {
        let (queue, allow, read, said) = queue();
        for answer in [Ok(()), Err(ErrorKind::BrokenPipe.into()), Err(ErrorKind::WouldBlock.into()), Ok(()), Ok(())] {
            allow.send(answer).unwrap();
        }
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            queue.push(line.as_bytes());
        }
        assert!(queue.flush(Duration::from_secs(20)));
        assert_eq!(read.lock().unwrap().as_slice(), b"one\nthree\nfour\n");
        assert_eq!((queue.dropped(), said.lock().unwrap().as_slice()), (1, &[1][..]));
    }
}
