//! Calls whose files the threads could not finish in time: what the report says of them, and how they are closed all the same.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::config::JournalKeep;
use crate::report::{Recording, Report};

use super::{Dropped, Folder, Job, TOO_SLOW};

/// A disk that takes nothing for longer than this leaves the files open until the server ends.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// What the report says of files of which only is known what never reached the threads. The rest may be there or not.
pub(super) fn account(report: &mut Report, folder: &Folder, dropped: Dropped) {
    let slow = || Some(TOO_SLOW.to_owned());
    if folder.keep.journal != JournalKeep::Off {
        let mut kept = dropped.journal.account(None);
        kept.error = kept.error.or_else(slow);
        report.journal = Some(kept);
    }
    if folder.keep.recording {
        let missing_from_ms = dropped.audio.map(|missing| missing.from.as_ms(folder.format.rate_hz));
        report.recording = Some(Recording { missing_from_ms, error: slow(), ..Recording::default() });
    }
}

/// Hands a call's last job over once there is room, whoever has given up waiting: its files stay open until then.
pub(super) fn close_later(jobs: mpsc::Sender<Job>, job: Job) {
    tokio::spawn(async move {
        if let Ok(Ok(room)) = timeout(PATIENCE, jobs.reserve()).await {
            room.send(job);
        }
    });
}
