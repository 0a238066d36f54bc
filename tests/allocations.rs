//! Nothing is allocated per audio frame: counted, not claimed.
//!
//! A binary of its own, since a process has one allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;

use offhook::audio::{AudioFormat, Resampler, g711, level};
use offhook::engine::{Action, CallEngine, CallerCommand, CallerEvent, Input, MarkId, ModelCommand, ModelEvent};
use offhook::recording::RecordingFile;
use offhook::sim::scenario;
use offhook::time::{CallTime, Samples};

/// The system's allocator with a counter per thread, so that tests beside each other do not count for one another.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

#[allow(unsafe_code)] // counting needs an allocator; it only passes on to the system's
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|c| c.set(c.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|c| c.set(c.get() + 1));
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNT.with(Cell::get);
    work();
    COUNT.with(Cell::get) - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(9)))), 1);
}

#[test]
fn sample_arithmetic_allocates_nothing_per_frame() {
    let codes: Vec<u8> = (0..160).map(|n| (n * 7) as u8).collect();
    let mut linear = Vec::with_capacity(160);
    let mut back = Vec::with_capacity(160);
    for (from, to) in [(8_000, 24_000), (24_000, 8_000), (8_000, 16_000), (24_000, 16_000), (8_000, 48_000)] {
        let mut resampler = Resampler::new(from, to);
        let mut out = Vec::with_capacity(2_000);
        let input: Vec<i16> = vec![1_000; from as usize / 50];
        let mut frame = || {
            linear.clear();
            back.clear();
            out.clear();
            g711::decode_ulaw(&codes, &mut linear);
            g711::encode_alaw(&linear, &mut back);
            resampler.process(&input, &mut out);
            std::hint::black_box(level::rms(&linear));
        };
        (0..5).for_each(|_| frame());
        assert_eq!(allocations(|| (0..500).for_each(|_| frame())), 0, "{from} to {to} Hz");
    }
}

#[test]
fn recording_allocates_nothing_per_frame() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = RecordingFile::create(&folder.path().join("r.wav"), AudioFormat::PHONE).unwrap();
    let mut at = 0;
    let mut frame = || {
        file.write_caller(Samples(at), &[0x55; 160]).unwrap();
        if at >= 1_600 {
            file.write_agent(Samples(at - 1_600), &[0x66; 160]).unwrap();
        }
        at += 160;
        if at % 8_000 == 0 {
            file.flush().unwrap();
        }
    };
    (0..500).for_each(|_| frame());
    assert_eq!(allocations(|| (0..1_000).for_each(|_| frame())), 0);
}

/// An engine on a line that plays what it gets at its own pace and sends marks back.
struct Call {
    engine: CallEngine,
    now: CallTime,
    media_ms: u64,
    /// When the line will have played all it has.
    played_at: CallTime,
    marks: VecDeque<(CallTime, MarkId)>,
    sent: u64,
    appended: u64,
}

impl Call {
    /// Audio flows and the model is there.
    fn talking() -> Self {
        let mut call = Call {
            engine: CallEngine::new(Arc::new(scenario::settings())),
            now: CallTime::ZERO,
            media_ms: 0,
            played_at: CallTime::ZERO,
            marks: VecDeque::with_capacity(64),
            sent: 0,
            appended: 0,
        };
        call.drain();
        call.input(Input::Model(ModelEvent::Ready { session: "s".into() }));
        call.input(Input::Caller(CallerEvent::Started));
        call
    }

    fn input(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::SendCaller(CallerCommand::Audio(bytes)) => {
                    self.sent += bytes.len() as u64;
                    self.played_at = self.played_at.max(self.now).plus_ms(bytes.len() as u64 / 8);
                }
                Action::SendCaller(CallerCommand::Mark(mark)) => self.marks.push_back((self.played_at, mark)),
                Action::SendModel(ModelCommand::AppendAudio(bytes)) => {
                    self.appended += bytes.len() as u64;
                }
                _ => {}
            }
        }
    }

    /// 20 ms of the call: a frame from the caller, marks, deadlines, and agent audio when a response runs.
    fn slot(&mut self, agent: bool) {
        self.now = self.now.plus_ms(20);
        while let Some(&(_, mark)) = self.marks.front().filter(|(at, _)| *at <= self.now) {
            self.marks.pop_front();
            self.input(Input::Caller(CallerEvent::MarkPlayed(mark)));
        }
        if self.engine.next_deadline().is_some_and(|(at, _)| at <= self.now) {
            self.input(Input::Tick);
        }
        self.input(Input::Caller(CallerEvent::Audio { at_ms: self.media_ms, payload: &[0x55; 160] }));
        self.media_ms += 20;
        if agent {
            let audio = ModelEvent::Audio { response: "r".into(), item: "i".into(), payload: &[0x66; 160] };
            self.input(Input::Model(audio));
        }
    }
}

#[test]
fn a_listening_call_allocates_nothing_per_frame() {
    let mut call = Call::talking();
    (0..500).for_each(|_| call.slot(false));
    let before = call.appended;
    assert_eq!(allocations(|| (0..500).for_each(|_| call.slot(false))), 0);
    assert_eq!(call.appended - before, 500 * 160, "audio went to the model");
}

#[test]
fn a_speaking_call_allocates_nothing_per_frame() {
    let mut call = Call::talking();
    call.input(Input::Model(ModelEvent::ResponseStarted { response: "r".into() }));
    (0..500).for_each(|_| call.slot(true));
    let before = call.sent;
    let count = allocations(|| (0..500).for_each(|_| call.slot(true)));
    assert!(call.sent - before >= 490 * 160, "audio went to the caller: {}", call.sent - before);
    assert_eq!(count, 0);
}
