//! Files of calls, written off the call path.
//!
//! A call collects journal bytes and audio in a [`Files`] and hands them over about once a second, without ever
//! waiting. A few threads write them. When the disk is too slow, batches are dropped and counted, and the report says
//! from when audio or lines of the journal are missing; when it fails, the call goes on all the same, and the report is
//! written once there is room ([`late`](super::late)).

mod gaps;
mod unfinished;
mod writer;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::base::audio::AudioFormat;
use crate::base::time::Samples;
use crate::config::Keep;
use crate::engine::Record;
use crate::report::Report;

use super::late::Late;
use super::metrics::Metrics;

use gaps::Gaps;
use writer::Writer;

/// Batches that may wait for one thread; at 16 KiB each that is 16 MiB.
const QUEUE_JOBS: usize = 1_024;
/// Threads that write.
const WRITERS: usize = 2;
/// A batch is handed over when it is this old or this big. A hand-over wakes a thread and writes two files, so there are
/// few of them.
const BATCH_AGE: Duration = Duration::from_millis(1_000);
const BATCH_BYTES: usize = 16 << 10;
/// How long the end of a call waits for its files.
const FINISH: Duration = Duration::from_secs(10);

/// The threads.
pub(super) struct Keeper {
    writers: Vec<mpsc::Sender<Job>>,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
    late: Arc<Late>,
    metrics: Arc<Metrics>,
}

/// Where a call is kept, and what of it.
#[derive(Debug)]
pub(super) struct Folder {
    /// The call's id.
    pub(super) call: String,
    /// The call's folder; made when the first file is written.
    pub(super) path: PathBuf,
    /// The line's format.
    pub(super) format: AudioFormat,
    /// What is kept.
    pub(super) keep: Keep,
}

enum Job {
    Batch(Arc<Folder>, Batch),
    Finish(Arc<Folder>, Box<Report>, Dropped, oneshot::Sender<Box<Report>>),
    /// The report is written elsewhere: what of the journal is missing, and the recording's length.
    Close(Arc<Folder>, Vec<u8>, Samples),
    Stop,
}

/// What of a call found no room on its way to the threads.
#[derive(Debug, Default)]
struct Dropped {
    audio: Option<Missing>,
    journal: Gaps,
    said: bool,
}

/// What a call made since the last hand-over.
#[derive(Debug, Default)]
struct Batch {
    /// Lines that stand before those of `journal`: what was lost, and the first if it was.
    before: Vec<u8>,
    journal: Vec<u8>,
    audio: Vec<u8>,
    chunks: Vec<(Side, Samples, usize)>,
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Caller,
    Agent,
}

/// From when audio is missing, and why.
#[derive(Clone, Debug)]
struct Missing {
    from: Samples,
    why: String,
}

/// The report's name in a call's folder.
pub(super) const REPORT: &str = "report.json";
/// Why something found no room.
const TOO_SLOW: &str = "the disk is too slow";

impl Keeper {
    /// Starts the threads. `late` takes reports for which there is no room; `written` is told of those that were, later.
    pub(super) fn start(
        metrics: Arc<Metrics>,
        late: Arc<Late>,
        written: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Keeper> {
        let written: Arc<dyn Fn() + Send + Sync> = Arc::new(written);
        let (mut writers, mut threads) = (Vec::new(), Vec::new());
        for n in 0..WRITERS {
            let (jobs, mut handed_over) = mpsc::channel(QUEUE_JOBS);
            let mut writer = Writer {
                open: HashMap::new(),
                metrics: Arc::clone(&metrics),
                late: Arc::clone(&late),
                written: Arc::clone(&written),
            };
            let work = move || while handed_over.blocking_recv().is_some_and(|job| writer.work(job)) {};
            threads.push(thread::Builder::new().name(format!("files-{n}")).spawn(work)?);
            writers.push(jobs);
        }
        Ok(Keeper { writers, threads: Mutex::new(threads), late, metrics })
    }

    /// The files of a new call.
    pub(super) fn files(&self, folder: Folder) -> Files {
        let shard = folder.call.bytes().fold(0usize, |sum, byte| sum.wrapping_add(usize::from(byte)));
        Files {
            folder: Arc::new(folder),
            jobs: self.writers[shard % self.writers.len()].clone(),
            batch: Batch::default(),
            since: None,
            dropped: Dropped::default(),
            late: Arc::clone(&self.late),
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// Lets the threads finish what was handed over. Blocks, so it is not for an async task; all calls must be over.
    pub(super) fn stop(&self) {
        for jobs in &self.writers {
            // A thread that is gone already has nothing to finish.
            let _ = jobs.blocking_send(Job::Stop);
        }
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        // A thread that panicked has said so already.
        threads.drain(..).for_each(|thread| drop(thread.join()));
        self.late.stop();
    }
}

/// The files of one call, as the call sees them.
pub(super) struct Files {
    folder: Arc<Folder>,
    jobs: mpsc::Sender<Job>,
    batch: Batch,
    since: Option<Instant>,
    dropped: Dropped,
    late: Arc<Late>,
    metrics: Arc<Metrics>,
}

impl Files {
    /// Where the call is kept.
    pub(super) fn path(&self) -> &Path {
        &self.folder.path
    }

    /// Adds audio to the recording, if there is to be one.
    pub(super) fn record(&mut self, record: &Record<'_>, now: Instant) {
        if !self.folder.keep.recording {
            return;
        }
        let (side, at, payload) = match record {
            Record::Caller { at, payload } => (Side::Caller, *at, payload),
            Record::Agent { at, payload } => (Side::Agent, *at, payload),
        };
        self.batch.audio.extend_from_slice(payload);
        self.batch.chunks.push((side, at, payload.len()));
        self.since.get_or_insert(now);
    }

    /// Hands over what there is when it is time. `journal` gives what was written since it was last asked, and `waiting` says
    /// how much that would be.
    pub(super) fn tend(&mut self, waiting: usize, journal: impl FnOnce() -> Vec<u8>, now: Instant) {
        if waiting > 0 {
            self.since.get_or_insert(now);
        }
        let due = self.since.is_some_and(|since| now.duration_since(since) >= BATCH_AGE);
        if due || waiting + self.batch.audio.len() >= BATCH_BYTES {
            self.batch.journal = journal();
            self.hand_over();
        }
    }

    /// The call is over: writes the rest and the report, and waits for it, but not for ever. Returns the report with the
    /// recording's own account.
    pub(super) async fn finish(self, journal: Vec<u8>, report: Report) -> Box<Report> {
        self.finish_within(FINISH, journal, report).await
    }

    async fn finish_within(mut self, limit: Duration, journal: Vec<u8>, report: Report) -> Box<Report> {
        self.batch.journal = journal;
        self.hand_over();
        let (done, finished) = oneshot::channel();
        let mut report = Box::new(report);
        let mut dropped = Some(std::mem::take(&mut self.dropped));
        let wait = async {
            let room = self.jobs.reserve().await.ok()?;
            let dropped = dropped.take().unwrap_or_default();
            room.send(Job::Finish(Arc::clone(&self.folder), report.clone(), dropped, done));
            finished.await.ok()
        };
        let waited = tokio::time::timeout(limit, wait).await;
        if let Ok(Some(report)) = waited {
            return report;
        }
        tracing::error!(folder = %self.folder.path.display(), "the disk is too slow: the report is late");
        let Some(dropped) = dropped else {
            self.metrics.files_failed.add("report", 1);
            return report;
        };
        // The threads do not even take it.
        let total = Samples::from_ms(report.media_length_ms(), self.folder.format.rate_hz);
        unfinished::close_later(self.jobs, Job::Close(Arc::clone(&self.folder), dropped.journal.before(), total));
        unfinished::account(&mut report, &self.folder, dropped);
        if let Some(text) = text(&report) {
            self.late.put_off(self.folder.path.join(REPORT), text, "report", Box::new(|_| {}));
        }
        report
    }

    fn hand_over(&mut self) {
        self.since = None;
        if self.batch.journal.is_empty() && self.batch.chunks.is_empty() {
            return;
        }
        let (bytes, chunks) = (self.batch.audio.len(), self.batch.chunks.len());
        let room = Batch { audio: Vec::with_capacity(bytes), chunks: Vec::with_capacity(chunks), ..Batch::default() };
        let mut batch = std::mem::replace(&mut self.batch, room);
        batch.before = self.dropped.journal.before();
        let Ok(room) = self.jobs.try_reserve() else { return self.drop_batch(&batch) };
        self.dropped.journal.handed_over(&batch.journal);
        room.send(Job::Batch(Arc::clone(&self.folder), batch));
    }

    fn drop_batch(&mut self, batch: &Batch) {
        self.metrics.files_dropped.add(1);
        if let (None, Some(from)) = (&self.dropped.audio, batch.chunks.iter().map(|(_, at, _)| *at).min()) {
            self.dropped.audio = Some(Missing { from, why: TOO_SLOW.to_owned() });
        }
        self.dropped.journal.lose(&batch.journal, TOO_SLOW);
        // Once a call: the report has the rest.
        if !std::mem::replace(&mut self.dropped.said, true) {
            tracing::warn!(call = self.folder.call, "the disk is too slow: audio or lines of the journal are missing");
        }
    }
}

/// A report as it is written: strings, numbers and lists only, so there is one.
fn text(report: &Report) -> Option<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(report).ok()?;
    text.push(b'\n');
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::JournalKeep;
    use crate::engine::EndReason;
    use crate::report::Recording;

    fn folder(path: &Path) -> Folder {
        let keep = Keep { recording: true, journal: JournalKeep::Decisions, pictures: false };
        Folder { call: "c1".to_owned(), path: path.join("c1"), format: AudioFormat::PHONE, keep }
    }

    fn report() -> Report {
        serde_json::from_value(serde_json::json!({
            "schema": 1, "call": "c1", "carrier_call": "CA1", "started": "", "deployment": "", "agent": "", "revision": "",
            "rate_hz": 8000, "duration_ms": 1_500, "media_start_at_ms": 500, "model_ready_at_ms": null,
            "end": EndReason::CallerHungUp, "lines": [], "turns": [], "interruptions": [], "notes": [], "keys": [],
            "tools": [], "gaps": [], "counters": {}, "usage": crate::engine::Usage::default(), "recording": null,
        }))
        .expect("a report")
    }

    fn keeper() -> Keeper {
        let metrics = Arc::default();
        let late = Arc::new(Late::start(Arc::clone(&metrics)).expect("a thread"));
        Keeper::start(metrics, late, || {}).expect("threads")
    }

    /// A call's files before a thread that works when it is told to, and has room for so many batches.
    fn before_a_thread(dir: &Path, batches: usize) -> (Files, Writer, mpsc::Receiver<Job>) {
        let metrics = Arc::new(Metrics::default());
        let late = Arc::new(Late::start(Arc::clone(&metrics)).expect("a thread"));
        let (jobs, handed_over) = mpsc::channel(batches);
        let files = Files {
            folder: Arc::new(folder(dir)),
            jobs,
            batch: Batch::default(),
            since: None,
            dropped: Dropped::default(),
            late: Arc::clone(&late),
            metrics: Arc::clone(&metrics),
        };
        (files, Writer { open: HashMap::new(), metrics, late, written: Arc::new(|| {}) }, handed_over)
    }

    /// Half a second of the caller, handed over at once.
    fn half_second(files: &mut Files, from_ms: u64) {
        let payload = vec![0x80; 4_000];
        files.record(&Record::Caller { at: Samples::from_ms(from_ms, 8_000), payload: &payload }, Instant::now());
        files.hand_over();
    }

    #[tokio::test]
    async fn what_is_handed_over_is_in_the_files_when_the_call_is_finished() {
        let dir = tempfile::tempdir().expect("a directory");
        let keeper = keeper();
        let mut files = keeper.files(folder(dir.path()));
        half_second(&mut files, 0);
        let now = Instant::now();
        files.tend(4, || unreachable!("it is not time"), now);
        files.tend(4, || b"one\n".to_vec(), now + BATCH_AGE);
        let report = files.finish(b"two\n".to_vec(), report()).await;
        // 1.5 s of call less 0.5 s before the media began, though only half of it was spoken.
        assert_eq!(report.recording, Some(Recording { frames: 8_000, missing_from_ms: None, error: None }));
        let path = dir.path().join("c1");
        assert_eq!(fs::read(path.join("journal")).expect("a journal"), b"one\ntwo\n");
        let kept: Report = serde_json::from_slice(&fs::read(path.join("report.json")).expect("a file")).expect("JSON");
        assert_eq!(kept, *report);
        assert!(!path.join("report.json.tmp").exists());
        tokio::task::spawn_blocking(move || keeper.stop()).await.expect("an end");
    }

    #[tokio::test]
    async fn a_disk_that_is_too_slow_costs_audio_from_there_on_and_never_waits() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut files, mut writer, mut handed_over) = before_a_thread(dir.path(), 1);
        half_second(&mut files, 0);
        half_second(&mut files, 500);
        half_second(&mut files, 1_000);
        assert_eq!(writer.metrics.files_dropped.get(), 2);
        let slow = thread::spawn(move || while handed_over.blocking_recv().is_some_and(|job| writer.work(job)) {});
        let report = files.finish(Vec::new(), report()).await;
        slow.join().expect("an end");
        let account = report.recording.expect("an account");
        assert_eq!((account.frames, account.missing_from_ms), (8_000, Some(500)));
        assert_eq!(account.error.as_deref(), Some("the disk is too slow"));
    }

    #[tokio::test]
    async fn lines_of_the_journal_that_found_no_room_are_said_in_it_and_in_the_report() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut files, mut writer, mut handed_over) = before_a_thread(dir.path(), 1);
        let line = |ms: u64| format!("{{\"at_us\":{},\"in\":\"tick\"}}\n", ms * 1_000);
        let settings = crate::lab::sim::scenario::settings();
        let head = crate::lab::journal::Pen::new(&settings, JournalKeep::Decisions).take();
        let hand_over = |files: &mut Files, lines: Vec<u8>| {
            files.batch.journal = lines;
            files.hand_over();
        };
        // The first batch has room, but is not worked on before the next two.
        half_second(&mut files, 0);
        hand_over(&mut files, [head.as_slice(), line(1_000).as_bytes()].concat());
        hand_over(&mut files, line(2_000).into_bytes());
        let first = handed_over.recv().await.expect("a batch");
        assert!(writer.work(first));
        hand_over(&mut files, line(3_000).into_bytes());
        hand_over(&mut files, [line(4_000), line(4_001)].concat().into_bytes());
        let slow = thread::spawn(move || while handed_over.blocking_recv().is_some_and(|job| writer.work(job)) {});
        let report = files.finish(Vec::new(), report()).await;
        slow.join().expect("an end");
        let journal = fs::read(dir.path().join("c1/journal")).expect("a journal");
        let journal = crate::lab::journal::Journal::parse(&journal).expect("it can be read");
        let lost = |ms, lines| crate::lab::journal::Lost { from: crate::base::time::CallTime::from_ms(ms), lines };
        assert_eq!(journal.lost, [lost(1_000, 2), lost(4_000, 2)]);
        assert_eq!(journal.entries.len(), 1);
        let account = report.journal.expect("an account");
        assert_eq!((account.missing_from_ms, account.lines_lost), (Some(1_000), 4));
        assert_eq!(account.error.as_deref(), Some(TOO_SLOW));
    }

    #[tokio::test]
    async fn a_report_that_the_threads_do_not_take_is_late_and_not_lost() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut files, writer, _handed_over) = before_a_thread(dir.path(), 1);
        half_second(&mut files, 0);
        let path = files.path().join(REPORT);
        let report = files.finish_within(Duration::from_millis(20), Vec::new(), report()).await;
        assert!(writer.late.is_waiting(&path));
        let late = Arc::clone(&writer.late);
        tokio::task::spawn_blocking(move || late.stop()).await.expect("an end");
        let kept: Report = serde_json::from_slice(&fs::read(&path).expect("a file")).expect("JSON");
        assert_eq!(kept, *report);
    }

    #[tokio::test]
    async fn a_report_that_the_threads_do_not_take_says_what_is_missing_and_the_files_are_closed_later() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut files, mut writer, mut handed_over) = before_a_thread(dir.path(), 1);
        let settings = crate::lab::sim::scenario::settings();
        files.batch.journal = crate::lab::journal::Pen::new(&settings, JournalKeep::Decisions).take();
        half_second(&mut files, 0);
        half_second(&mut files, 500);
        let path = files.path().to_owned();
        let last = b"{\"at_us\":900000,\"in\":\"tick\"}\n".to_vec();
        let report = files.finish_within(Duration::from_millis(20), last, report()).await;
        let journal = report.journal.as_ref().expect("an account");
        assert_eq!((journal.missing_from_ms, journal.lines_lost), (Some(900), 1));
        assert_eq!(journal.error.as_deref(), Some(TOO_SLOW));
        let account = report.recording.as_ref().expect("an account");
        assert_eq!((account.missing_from_ms, account.error.as_deref()), (Some(500), Some(TOO_SLOW)));
        // The disk is back.
        while let Some(job) = handed_over.recv().await {
            assert!(writer.work(job));
        }
        assert!(writer.open.is_empty(), "nothing is left open");
        let wav = hound::WavReader::open(path.join("recording.wav")).expect("a WAV file");
        assert_eq!(wav.duration(), 8_000, "as long as the call");
        let journal = crate::lab::journal::Journal::parse(&fs::read(path.join("journal")).expect("a journal"));
        assert_eq!(journal.expect("it can be read").lost.len(), 1);
    }

    #[tokio::test]
    async fn a_report_and_a_journal_that_find_the_disk_full_are_late_and_said_to_be_short() {
        let dir = tempfile::tempdir().expect("a directory");
        // A file where the folder should be, as if there were no room for it.
        fs::write(dir.path().join("c1"), "").expect("a file");
        let (late, mut heard) = (Arc::new(Late::start(Arc::default()).expect("a thread")), mpsc::channel(1));
        let told = heard.0.clone();
        let keeper = Keeper::start(Arc::default(), Arc::clone(&late), move || told.try_send(()).expect("room"));
        let mut files = keeper.expect("threads").files(folder(dir.path()));
        half_second(&mut files, 0);
        let report = files.finish(b"{}\n{\"at_us\":7000,\"in\":\"tick\"}\n".to_vec(), report()).await;
        assert_eq!(report.journal.as_ref().map(|kept| kept.lines_lost), Some(2));
        assert_eq!(report.recording.as_ref().expect("an account").missing_from_ms, Some(0));
        let path = dir.path().join("c1").join(REPORT);
        assert!(late.is_waiting(&path));
        fs::remove_file(dir.path().join("c1")).expect("room");
        tokio::task::spawn_blocking(move || late.stop()).await.expect("an end");
        heard.1.recv().await.expect("what waits for it is told");
        let kept: Report = serde_json::from_slice(&fs::read(&path).expect("a file")).expect("JSON");
        assert_eq!(kept, *report);
    }

    #[tokio::test]
    async fn a_recording_that_is_there_already_is_not_overwritten() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("c1/recording.wav");
        fs::create_dir_all(dir.path().join("c1")).expect("a folder");
        fs::write(&path, "another's").expect("a file");
        let keeper = keeper();
        let mut files = keeper.files(folder(dir.path()));
        half_second(&mut files, 0);
        let report = files.finish(Vec::new(), report()).await;
        assert_eq!(report.recording.expect("an account").missing_from_ms, Some(0));
        assert_eq!(fs::read(&path).expect("a file"), b"another's");
        tokio::task::spawn_blocking(move || keeper.stop()).await.expect("an end");
    }
}
