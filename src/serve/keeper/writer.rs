//! What a thread does with what is handed over to it: the files of many calls, open until each is over.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::sync::Arc;

use super::gaps::{self, Lost};
use super::{Batch, Folder, Job, Missing, REPORT, Side, text};
use crate::base::time::Samples;
use crate::config::JournalKeep;
use crate::report::{Recording, Report};
use crate::serve::late::{Late, Then};
use crate::serve::metrics::Metrics;
use crate::serve::recording::RecordingFile;

/// One thread's work.
pub(super) struct Writer {
    pub(super) open: HashMap<String, Open>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) late: Arc<Late>,
    /// Told of reports that are written later than they should be.
    pub(super) written: Arc<dyn Fn() + Send + Sync>,
}

/// The open files of a call.
pub(super) struct Open {
    journal: Option<File>,
    /// Lines for which there was no file; `None` as long as it takes all.
    lost: Option<Lost>,
    /// Why the journal is no longer written, or never was.
    why: String,
    recording: Option<RecordingFile>,
    /// Why and from where the recording is not whole; it is then no longer written, but still finished.
    missing: Option<Missing>,
}

impl Writer {
    /// `false`: that was the last.
    pub(super) fn work(&mut self, job: Job) -> bool {
        match job {
            Job::Stop => return false,
            Job::Close(folder, before, total) => self.close(&folder, before, total),
            Job::Batch(folder, batch) => {
                if !self.open.contains_key(&folder.call) {
                    let open = self.open(&folder);
                    self.open.insert(folder.call.clone(), open);
                }
                let Some(mut open) = self.open.remove(&folder.call) else { return true };
                self.write(&folder, &mut open, &batch);
                self.open.insert(folder.call.clone(), open);
            }
            Job::Finish(folder, mut report, dropped, done) => {
                let mut open = self.open.remove(&folder.call);
                if folder.keep.journal != JournalKeep::Off {
                    if let Some(open) = &mut open {
                        let batch = Batch { before: dropped.journal.before(), ..Batch::default() };
                        self.write(&folder, open, &batch);
                    }
                    report.journal = Some(dropped.journal.account(open.as_mut().and_then(|open| open.lost.take())));
                }
                if folder.keep.recording {
                    let total = report.media_length_ms();
                    let rate_hz = folder.format.rate_hz;
                    report.recording = Some(recording(open, dropped.audio, Samples::from_ms(total, rate_hz), rate_hz));
                }
                self.write_report(&folder, &report);
                // Whoever waits may have given up.
                let _ = done.send(report);
            }
        }
        true
    }

    /// Finishes the files of a call whose report is written elsewhere.
    fn close(&mut self, folder: &Folder, before: Vec<u8>, total: Samples) {
        let Some(mut open) = self.open.remove(&folder.call) else { return };
        self.write(folder, &mut open, &Batch { before, ..Batch::default() });
        recording(Some(open), None, total, folder.format.rate_hz);
    }

    fn write(&self, folder: &Folder, open: &mut Open, batch: &Batch) {
        for (file, error) in open.write(batch) {
            self.metrics.files_failed.add(file, 1);
            tracing::warn!(call = folder.call, file, %error, "file given up; the call goes on");
        }
    }

    /// Writes `report.json`, later if there is no room now.
    fn write_report(&self, folder: &Folder, report: &Report) {
        let Some(text) = text(report) else { return };
        let written = Arc::clone(&self.written);
        let then: Then = Box::new(move |late| {
            if late {
                written();
            }
        });
        if let Err(error) = self.late.write(folder.path.join(REPORT), text, "report", then) {
            tracing::error!(call = folder.call, %error, "the report could not be written; it is tried again");
        }
    }

    fn open(&self, folder: &Folder) -> Open {
        let failed = |file: &str, error: io::Error| {
            self.metrics.files_failed.add(file, 1);
            tracing::warn!(call = folder.call, file, %error, "file could not be made; the call goes on");
            error.to_string()
        };
        let mut open = Open { journal: None, lost: None, why: String::new(), recording: None, missing: None };
        let made = fs::create_dir_all(&folder.path);
        if let Err(error) = made {
            open.why = failed("folder", error);
            open.missing = Some(Missing { from: Samples::ZERO, why: open.why.clone() });
            return open;
        }
        // The pen writes nothing when no journal is kept, so an empty file is not left behind.
        if folder.keep.journal != JournalKeep::Off {
            match OpenOptions::new().create(true).append(true).open(folder.path.join("journal")) {
                Ok(file) => open.journal = Some(file),
                Err(error) => open.why = failed("journal", error),
            }
        }
        if folder.keep.recording {
            match RecordingFile::create(&folder.path.join("recording.wav"), folder.format) {
                Ok(file) => open.recording = Some(file),
                Err(error) => {
                    let why = failed("recording", error);
                    open.missing = Some(Missing { from: Samples::ZERO, why });
                }
            }
        }
        open
    }
}

impl Open {
    /// Writes a batch; a file that fails is given up, and its name and error returned.
    fn write(&mut self, batch: &Batch) -> Vec<(&'static str, io::Error)> {
        let mut errors = Vec::new();
        if let Some(file) = &mut self.journal
            && let Err(error) = file.write_all(&batch.before).and_then(|()| file.write_all(&batch.journal))
        {
            self.journal = None;
            self.why = error.to_string();
            errors.push(("journal", error));
        }
        if self.journal.is_none()
            && let Some(lost) = Lost::of(&batch.journal, &self.why)
        {
            gaps::add(&mut self.lost, lost);
        }
        if let (Some(file), None) = (&mut self.recording, &self.missing)
            && let Err(error) = batch.write_audio(file)
        {
            let first = batch.chunks.iter().map(|(_, at, _)| *at).min().unwrap_or_default();
            let from = file.missing_from().unwrap_or(first);
            self.missing = Some(Missing { from, why: error.to_string() });
            errors.push(("recording", error));
        }
        errors
    }
}

impl Batch {
    fn write_audio(&self, file: &mut RecordingFile) -> io::Result<()> {
        let mut rest = self.audio.as_slice();
        for (side, at, len) in &self.chunks {
            let (payload, after) = rest.split_at((*len).min(rest.len()));
            rest = after;
            match side {
                Side::Caller => file.write_caller(*at, payload)?,
                Side::Agent => file.write_agent(*at, payload)?,
            }
        }
        // A batch is a second: that much is lost at most when the process is killed.
        file.flush()
    }
}

/// The recording's account at the end of a call.
fn recording(open: Option<Open>, dropped: Option<Missing>, total: Samples, rate_hz: u32) -> Recording {
    let mut account = Recording::default();
    let mut missing = dropped;
    if let Some(open) = open {
        if let Some(other) = open.missing
            && missing.as_ref().is_none_or(|m| other.from < m.from)
        {
            missing = Some(other);
        }
        match open.recording.map(|file| file.finish(total)) {
            Some(Ok(frames)) => account.frames = frames,
            Some(Err(error)) => account.error = Some(error.to_string()),
            None => {}
        }
    }
    if let Some(missing) = missing {
        account.missing_from_ms = Some(missing.from.as_ms(rate_hz));
        account.error = Some(missing.why);
    }
    account
}
