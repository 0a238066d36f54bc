//! What it takes to keep a frame: in the journal, and in the recording.

#![allow(clippy::expect_used)] // a benchmark that cannot write its file measures nothing

use std::hint::black_box;
use std::path::Path;

use criterion::Criterion;
use offhook::base::audio::AudioFormat;
use offhook::base::time::{CallTime, Samples};
use offhook::config::JournalKeep;
use offhook::ears::vad::{Probability, Step};
use offhook::engine::{Action, CallerEvent, Input};
use offhook::lab::journal::Pen;
use offhook::lab::sim::scenario;
use offhook::serve::recording::RecordingFile;

const FRAME: [u8; 160] = [0x55; 160];
/// The shell hands over to the disk about this often, in frames.
const HANDED_OVER: u64 = 25;
const FLUSHED: u64 = 50;
/// The file begins anew after ten minutes of it, lest it fill the disk.
const FILE_FRAMES: u64 = 30_000;

pub(crate) fn journal(c: &mut Criterion) {
    let mut group = c.benchmark_group("journal");
    for (name, keep) in [("frame_decisions", JournalKeep::Decisions), ("frame_audio", JournalKeep::Audio)] {
        let mut pen = Pen::new(&scenario::settings(), keep);
        let mut n = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                let at = CallTime::from_ms(n * 20);
                pen.input(at, &Input::Caller(CallerEvent::Audio { at_ms: n * 20, payload: black_box(&FRAME) }));
                let step = Step { end: Samples(n * 160), probability: Probability::from_per_mille(731), level_db: -31 };
                pen.action(at, &Action::Heard(step));
                n += 1;
                if n.is_multiple_of(HANDED_OVER) {
                    black_box(pen.take());
                }
            });
        });
    }
    group.finish();
}

pub(crate) fn recording(c: &mut Criterion) {
    // The disk's own speed is no matter of ours: where there is a file system in memory it is taken.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let path = folder.as_ref().expect("a folder to write to").path().join("recording.wav");
    let create = || {
        let _ = std::fs::remove_file(&path);
        RecordingFile::create(&path, AudioFormat::PHONE).expect("a file to write to")
    };
    let mut file = create();
    let mut n = 0;
    c.bench_function("recording/frame", |b| {
        b.iter(|| {
            if n == FILE_FRAMES {
                (file, n) = (create(), 0);
            }
            let at = n * 160;
            file.write_caller(Samples(at), black_box(&FRAME)).expect("room for the caller's side");
            // The agent's side is written when it was heard.
            if let Some(heard) = at.checked_sub(1_600) {
                file.write_agent(Samples(heard), black_box(&FRAME)).expect("room for the agent's side");
            }
            n += 1;
            if n.is_multiple_of(FLUSHED) {
                file.flush().expect("room for the rest");
            }
        });
    });
}
