//! A call in virtual time that leaves a folder as the server does.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use offhook::base::time::{CallTime, Samples};
use offhook::config::{CallSettings, JournalKeep};
use offhook::engine::*;
use offhook::lab::journal::Pen;
use offhook::lab::sim::line::Line;
use offhook::lab::sim::scenario::settings;
use offhook::report::Recording;
use offhook::serve::recording::RecordingFile;

/// The media stream opens here.
pub(crate) const STARTED_MS: u64 = 500;
/// The caller speaks over the agent here, and is detected.
pub(crate) const BARGE_IN_MS: u64 = 2_600;
/// No caller audio comes between these, in media time.
pub(crate) const GAP_MS: (u64, u64) = (6_000, 6_500);
const END_MS: u64 = 9_000;

/// Something that is not silence, and not the same twice in a row.
pub(crate) fn tone(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| 0x10 + ((i * 7 + seed * 13) % 0x60) as u8).collect()
}

/// A call with a spoken greeting that the caller interrupts, a turn, a reply that is heard, and a gap, in `folder`.
pub(crate) fn record(folder: &Path, keep: JournalKeep) {
    let mut settings = settings();
    settings.greeting = offhook::config::Spoken::Say("Hello.".into());
    record_script(folder, keep, settings, &script());
}

/// Any call, given all that happens in order, in `folder`.
pub(crate) fn record_script(
    folder: &Path,
    keep: JournalKeep,
    settings: CallSettings,
    script: &[(CallTime, Input<'static>)],
) {
    let mut world = World {
        pen: Pen::new(&settings, keep),
        line: Line::new(settings.format, 20),
        file: RecordingFile::create(&folder.join("recording.wav"), settings.format).unwrap(),
        engine: CallEngine::new(Arc::new(settings)),
    };
    world.drain(CallTime::ZERO);
    for (at, input) in script {
        world.wait_until(*at);
        if !world.engine.is_over() {
            world.input(*at, input);
        }
    }
    assert!(world.engine.is_over());
    let World { engine, mut pen, file, .. } = world;
    fs::write(folder.join("journal"), pen.take()).unwrap();
    let mut report = engine.report();
    report.call = "a-call".into();
    let open_ms = report.media_ms.unwrap_or(0);
    let frames = file.finish(Samples::from_ms(open_ms, report.rate_hz)).unwrap();
    report.recording = Some(Recording { frames, missing_from_ms: None, error: None });
    fs::write(folder.join("report.json"), serde_json::to_vec(&report).unwrap()).unwrap();
}

/// A folder with such a call.
pub(crate) fn folder(keep: JournalKeep) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("a-call");
    fs::create_dir(&folder).unwrap();
    record(&folder, keep);
    (dir, folder)
}

struct World {
    engine: CallEngine,
    pen: Pen,
    line: Line,
    file: RecordingFile,
}

impl World {
    /// Marks and deadlines until then.
    fn wait_until(&mut self, until: CallTime) {
        loop {
            let mark = self.line.next().filter(|at| *at <= until);
            let deadline = self.engine.next_deadline().map(|(at, _)| at).filter(|at| *at <= until);
            match (mark, deadline) {
                (Some(mark), deadline) if deadline.is_none_or(|at| mark <= at) => {
                    if let Some(id) = self.line.poll(mark) {
                        self.input(mark, &Input::Caller(CallerEvent::MarkPlayed(id)));
                    }
                }
                (_, Some(deadline)) => self.input(deadline, &Input::Tick),
                _ => break,
            }
        }
    }

    fn input(&mut self, at: CallTime, input: &Input<'_>) {
        self.pen.input(at, input);
        self.engine.handle(at, input.clone());
        self.drain(at);
    }

    fn drain(&mut self, at: CallTime) {
        while let Some(action) = self.engine.poll_action() {
            self.pen.action(at, &action);
            match &action {
                Action::SendCaller(command) => self.line.take(at, command),
                Action::Record(Record::Caller { at, payload }) => self.file.write_caller(*at, payload).unwrap(),
                Action::Record(Record::Agent { at, payload }) => self.file.write_agent(*at, payload).unwrap(),
                _ => {}
            }
        }
    }
}

/// Everything that happens, in order.
pub(crate) fn script() -> Vec<(CallTime, Input<'static>)> {
    fn audio(len: usize, seed: usize) -> &'static [u8] {
        // For as long as the test runs.
        Box::leak(tone(len, seed).into_boxed_slice())
    }
    fn reply(out: &mut Vec<(u64, Input<'static>)>, at: u64, response: &'static str, item: &'static str, ms: u64) {
        out.push((at, Input::Model(ModelEvent::ResponseStarted { response: response.into() })));
        for i in 0..ms / 200 {
            let event =
                ModelEvent::Audio { response: response.into(), item: item.into(), payload: audio(1_600, i as usize) };
            out.push((at + 40 + i * 40, Input::Model(event)));
        }
        let words = ModelEvent::AgentTranscript {
            response: response.into(),
            item: item.into(),
            text: "Some words to hear.".into(),
            done: true,
        };
        let at = at + 50 + ms / 5;
        out.push((at, Input::Model(words)));
        let done = ModelEvent::ResponseDone {
            response: response.into(),
            status: ResponseStatus::Completed,
            detail: None,
            usage: Usage { input_tokens: 10, ..Usage::default() },
            fatal: false,
            retry_after_ms: None,
        };
        out.push((at, Input::Model(done)));
    }

    let mut script = vec![(300, Input::Model(ModelEvent::Ready { session: "s1".into(), turns: None }))];
    script.push((STARTED_MS, Input::Caller(CallerEvent::Started)));
    let mut media = 0;
    while STARTED_MS + media + 20 < END_MS {
        if !(GAP_MS.0..GAP_MS.1).contains(&media) {
            // The caller sends true silence while not speaking.
            let speaking = (1_900..3_000).contains(&media);
            let payload = if speaking { audio(160, media as usize) } else { &[0xFF; 160] };
            script.push((STARTED_MS + media + 20, Input::Caller(CallerEvent::Audio { at_ms: media, payload })));
        }
        media += 20;
    }
    reply(&mut script, 700, "r1", "a1", 4_000);
    let said = |event| Input::Model(event);
    script.push((BARGE_IN_MS, said(ModelEvent::SpeechStarted { item: "u1".into(), audio_start_ms: 1_600 })));
    script.push((3_750, said(ModelEvent::SpeechStopped { item: "u1".into(), audio_end_ms: 3_200 })));
    script.push((3_755, said(ModelEvent::Committed { item: "u1".into() })));
    let words = ModelEvent::CallerTranscript { item: "u1".into(), text: "Wait a moment.".into(), done: true };
    script.push((4_000, said(words)));
    reply(&mut script, 4_100, "r2", "a2", 1_400);
    script.push((END_MS, Input::Caller(CallerEvent::HungUp)));
    script.sort_by_key(|(at, _)| *at);
    script.into_iter().map(|(at, input)| (CallTime::from_ms(at), input)).collect()
}
