//! What becomes of every sample of a call that our own ears decide: on its way to the model, and to the caller.

use std::collections::VecDeque;

use offhook::base::audio::{AudioFormat, Codec};
use offhook::base::time::{CallTime, Samples};
use offhook::config::{FalseInterruptions, Interruptions, TurnDetection, TurnSettings, VadEngine};
use offhook::ears::vad::Probability;
use offhook::engine::{
    Action, CallEngine, CallEvent, CallerCommand, CallerEvent, Control, Input, MarkId, ModelCommand, ModelEvent,
    Record, ResponseStatus, Usage,
};
use offhook::lab::sim::scenario;
use proptest::prelude::*;

const FRAME_MS: u64 = 20;
const REPLY_MS: usize = 2_100;
/// What the caller may hear twice at a hold: the line's marks are that late here, and a message is half played.
const TWICE_MAX_MS: usize = 140;

/// A byte that tells where it belongs.
fn pattern(seed: u32, position: usize) -> u8 {
    let mixed = (position as u32 ^ seed).wrapping_mul(2_654_435_761);
    ((mixed ^ mixed >> 15).wrapping_mul(0x2C1B_3C6D) >> 24) as u8
}

#[derive(Clone, Debug)]
enum Happening {
    Voice(bool),
    Lose,
    Ready,
    Gap(u64),
    Commit,
    /// How the model answers from now on.
    Answers(Answer),
    /// What transcripts say from now on, if they come.
    Words(Option<&'static str>),
}

/// How the model answers: how many frames after it was asked it begins, then speaks, then is done.
#[derive(Clone, Copy, Debug)]
struct Answer {
    how: How,
    frames: [u32; 3],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Speaks,
    /// Says something and calls a tool, whose answer is to be spoken of.
    CallsTool,
    SaysNothing,
    Fails,
}

/// A commit is named, and written down, after so many frames.
const NAMED_FRAMES: u32 = 3;
const WRITTEN_FRAMES: u32 = 18;
/// Sounds of less than this over the agent are no words, and may be forgotten.
const CLICK_MS: u64 = 200;
/// The agent is held for no longer, and what is due is done within a millisecond here.
const HELD_MAX_MS: u64 = 1_001;

const AT_ONCE: Answer = Answer { how: How::Speaks, frames: [0, 0, 0] };

/// A response on its way.
#[derive(Debug)]
struct Running {
    id: String,
    answer: Answer,
    cancelled: bool,
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::*;
    let how = prop_oneof![
        3 => Just(How::Speaks), 2 => Just(How::CallsTool), 1 => Just(How::SaysNothing), 1 => Just(How::Fails)
    ];
    prop_oneof![
        12 => any::<bool>().prop_map(Voice),
        1 => Just(Lose),
        2 => Just(Ready),
        1 => (0u64..250).prop_map(Gap),
        1 => Just(Commit),
        2 => prop_oneof![Just(None), Just(Some("Mm-hm.")), Just(Some("Stop!")), Just(Some(""))].prop_map(Words),
        2 => (how, [0u32..40, 0u32..20, 0u32..40]).prop_map(|(how, frames)| Answers(Answer { how, frames })),
    ]
}

/// A call, and an account of every sample of it that is kept without asking the engine.
struct Call {
    engine: CallEngine,
    /// Bytes per ms.
    ms: usize,
    silence: u8,
    now_ms: u64,
    prefix: usize,
    /// The caller's audio by position, gaps as silence.
    caller: Vec<u8>,
    /// Turns that are not committed: from, to.
    turns: Vec<(usize, Option<usize>)>,
    /// What the model's session has and did not commit.
    buffer: Vec<u8>,
    /// What was committed, in order.
    committed: Vec<Vec<u8>>,
    dialled: bool,
    ready: bool,
    responses: u32,
    asked: bool,
    answer: Answer,
    running: Option<Running>,
    /// A tool has answered, and no response was asked for since.
    tool_due: bool,
    /// Agent audio in the order in which the model made it; where it was cut off, the next follows at once.
    made: usize,
    /// At the line: bytes not played, and marks by the bytes before them.
    line: VecDeque<u8>,
    marks: VecDeque<(usize, MarkId)>,
    sent: usize,
    played: usize,
    /// What the caller heard, and what the recording holds.
    heard: Vec<u8>,
    recorded: Vec<u8>,
    commits: usize,
    /// The reply that was cancelled while it ran, last; counts from 1.
    cancelled: u32,
    /// Commits that are not named, and those that are not written down: since how many frames.
    unnamed: VecDeque<(u32, usize)>,
    unwritten: VecDeque<(u32, usize)>,
    words: Option<&'static str>,
    held_since_ms: Option<u64>,
    faults: Vec<String>,
}

impl Call {
    fn new(
        format: AudioFormat,
        turn: TurnSettings,
        false_interruptions: FalseInterruptions,
        interruptions: Interruptions,
    ) -> Call {
        let mut settings = scenario::settings();
        let ms = format.bytes(Samples::from_ms(1, format.rate_hz));
        let prefix = turn.prefix_padding_ms as usize * ms;
        settings.format = format;
        settings.turn_detection = TurnDetection::Local(turn);
        settings.false_interruptions = false_interruptions;
        settings.interruptions = interruptions;
        settings.limits.early_audio_ms = 60_000;
        settings.limits.model_silence_ms = 2_000;
        settings.limits.model_recovery_s = 600;
        settings.dial_timeout_ms = 600_000;
        let mut engine = CallEngine::told(settings.into());
        engine.tell_from_now_on(Probability::ZERO, -60);
        let mut call = Call {
            engine,
            ms,
            silence: format.silence_byte(),
            now_ms: 0,
            prefix,
            caller: Vec::new(),
            turns: Vec::new(),
            buffer: Vec::new(),
            committed: Vec::new(),
            dialled: false,
            ready: false,
            responses: 0,
            asked: false,
            answer: AT_ONCE,
            running: None,
            tool_due: false,
            made: 0,
            line: VecDeque::new(),
            marks: VecDeque::new(),
            sent: 0,
            played: 0,
            heard: Vec::new(),
            recorded: Vec::new(),
            commits: 0,
            cancelled: 0,
            unnamed: VecDeque::new(),
            unwritten: VecDeque::new(),
            words: None,
            held_since_ms: None,
            faults: Vec::new(),
        };
        call.drain();
        call.ready();
        call.input(Input::Caller(CallerEvent::Started));
        call
    }

    fn input(&mut self, input: Input<'_>) {
        self.engine.handle(CallTime::from_ms(self.now_ms), input);
        self.drain();
    }

    fn ready(&mut self) {
        if std::mem::take(&mut self.dialled) {
            self.ready = true;
            self.input(Input::Model(ModelEvent::Ready { session: "s".into(), turns: None }));
        }
    }

    fn apply(&mut self, what: &Happening) {
        match what {
            Happening::Voice(true) => self.engine.tell_from_now_on(Probability::from_per_mille(900), -20),
            Happening::Voice(false) => self.engine.tell_from_now_on(Probability::ZERO, -60),
            Happening::Lose if self.ready => {
                self.ready = false;
                self.asked = false;
                self.running = None;
                self.tool_due = false;
                self.buffer.clear();
                self.unnamed.clear();
                self.unwritten.clear();
                self.input(Input::Model(ModelEvent::Closed { reason: "gone".into(), retry: true }));
            }
            Happening::Lose => {}
            Happening::Ready => self.ready(),
            Happening::Gap(ms) => {
                let ms = ms / FRAME_MS * FRAME_MS;
                self.pass(ms);
                self.caller.resize(self.caller.len() + ms as usize * self.ms, self.silence);
            }
            Happening::Answers(answer) => self.answer = *answer,
            Happening::Words(words) => self.words = *words,
            Happening::Commit => self.input(Input::Control(Control::CommitTurn)),
        }
    }

    /// Lets time pass, in frames of caller audio.
    fn speak(&mut self, ms: u64) {
        for _ in 0..ms / FRAME_MS {
            self.pass(FRAME_MS);
            let at = self.caller.len();
            let frame: Vec<u8> = (at..at + FRAME_MS as usize * self.ms).map(|i| pattern(1, i)).collect();
            self.caller.extend(&frame);
            self.input(Input::Caller(CallerEvent::Audio { at_ms: (at / self.ms) as u64, payload: &frame }));
            self.go_on();
        }
    }

    /// The model goes on with its answer, if it has one to give.
    fn go_on(&mut self) {
        self.unnamed.iter_mut().chain(&mut self.unwritten).for_each(|(frames, _)| *frames += 1);
        while let Some((_, n)) = self.unnamed.pop_front_if(|(frames, _)| *frames >= NAMED_FRAMES) {
            self.input(Input::Model(ModelEvent::Committed { item: format!("u{n}").into() }));
        }
        while let Some((_, n)) = self.unwritten.pop_front_if(|(frames, _)| *frames >= WRITTEN_FRAMES) {
            if let Some(words) = self.words {
                let item = format!("u{n}").into();
                self.input(Input::Model(ModelEvent::CallerTranscript { item, text: words.into(), done: true }));
            }
        }
        if std::mem::take(&mut self.asked) {
            let id = format!("r{}", self.responses);
            self.running = Some(Running { id, answer: self.answer, cancelled: false });
        }
        let Some(mut running) = self.running.take() else { return };
        let id = running.id.clone();
        let response = std::borrow::Cow::Borrowed(id.as_str());
        if running.answer.frames[0] != u32::MAX {
            if let Some(left) = running.answer.frames[0].checked_sub(1) {
                running.answer.frames[0] = left;
                self.running = Some(running);
                return;
            }
            running.answer.frames[0] = u32::MAX;
            self.responses += 1;
            self.running = Some(running);
            self.input(Input::Model(ModelEvent::ResponseStarted { response: response.clone() }));
            let Some(still) = self.running.take() else { return };
            running = still;
        }
        let how = running.answer.how;
        if !running.cancelled && running.answer.frames[1] != u32::MAX {
            if let Some(left) = running.answer.frames[1].checked_sub(1) {
                running.answer.frames[1] = left;
                self.running = Some(running);
                return;
            }
            running.answer.frames[1] = u32::MAX;
            self.running = Some(running);
            if matches!(how, How::Speaks | How::CallsTool) {
                let item = format!("a{}", self.responses - 1);
                let audio: Vec<u8> = (self.made..self.made + REPLY_MS * self.ms).map(|i| pattern(2, i)).collect();
                self.made += audio.len();
                let event = ModelEvent::Audio { response: response.clone(), item: item.into(), payload: &audio };
                self.input(Input::Model(event));
            }
            if how == How::CallsTool {
                // Once only.
                self.answer.how = How::Speaks;
                self.input(Input::Model(ModelEvent::ToolCall {
                    response: response.clone(),
                    call: "c".into(),
                    name: "note".into(),
                    arguments: r#"{"text":"x"}"#.into(),
                }));
            }
            let Some(still) = self.running.take() else { return };
            running = still;
        }
        if !running.cancelled
            && let Some(left) = running.answer.frames[2].checked_sub(1)
        {
            running.answer.frames[2] = left;
            self.running = Some(running);
            return;
        }
        let status = match how {
            _ if running.cancelled => ResponseStatus::Cancelled,
            How::Fails => ResponseStatus::Failed,
            _ => ResponseStatus::Completed,
        };
        self.input(Input::Model(ModelEvent::ResponseDone {
            response,
            status,
            detail: None,
            usage: Usage::default(),
            fatal: false,
            retry_after_ms: None,
        }));
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now_ms += 1;
            for _ in 0..self.ms {
                if let Some(byte) = self.line.pop_front() {
                    self.heard.push(byte);
                    self.played += 1;
                }
            }
            while let Some((_, id)) = self.marks.pop_front_if(|(after, _)| *after <= self.played) {
                self.input(Input::Caller(CallerEvent::MarkPlayed(id)));
            }
            if self.engine.next_deadline().is_some_and(|(at, _)| at <= CallTime::from_ms(self.now_ms)) {
                self.input(Input::Tick);
            }
        }
    }

    fn drain(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::DialModel => self.dialled = true,
                Action::SendModel(ModelCommand::AppendAudio(audio)) => self.buffer.extend(audio),
                Action::SendModel(ModelCommand::ClearAudio) => self.buffer.clear(),
                Action::SendModel(ModelCommand::CancelResponse) => {
                    self.cancelled = self.responses;
                    self.running.iter_mut().for_each(|running| running.cancelled = true);
                }
                Action::SendModel(ModelCommand::CreateResponse { .. }) => {
                    self.asked = true;
                    self.tool_due = false;
                }
                Action::SendModel(ModelCommand::ToolOutput { .. }) => self.tool_due = true,
                Action::SendModel(ModelCommand::CommitAudio { .. }) => {
                    self.unnamed.push_back((0, self.commits));
                    self.unwritten.push_back((0, self.commits));
                    self.commits += 1;
                    self.committed.push(std::mem::take(&mut self.buffer));
                }
                // What had no words yet when the model was lost: as it was.
                Action::Emit(CallEvent::TurnSentAgain { .. }) => {
                    let again = self.committed.pop().unwrap_or_default();
                    // Of a long one the end is kept.
                    if !self.committed.iter().any(|committed| committed.ends_with(&again)) {
                        self.faults.push(format!("{} ms: {} bytes were sent again", self.now_ms, again.len()));
                    }
                }
                Action::Emit(CallEvent::TurnCommitted { .. }) => {
                    let end = self.caller.len();
                    let turns = self.turns.drain(..);
                    let mut expected: Vec<u8> =
                        turns.flat_map(|(from, to)| self.caller[from..to.unwrap_or(end)].iter().copied()).collect();
                    expected.resize(expected.len().max(100 * self.ms), self.silence);
                    let buffer = self.committed.last().cloned().unwrap_or_default();
                    if buffer != expected {
                        let same = buffer.iter().zip(&expected).take_while(|(a, b)| a == b).count();
                        let (is, was) = (buffer.len(), expected.len());
                        self.faults.push(format!("{} ms: committed {is} for {was}, same {same}", self.now_ms));
                    }
                }
                Action::Emit(CallEvent::SpeechStarted { media_ms, .. }) => {
                    let from = (media_ms as usize * self.ms).saturating_sub(self.prefix);
                    let waits = self.turns.last().and_then(|(_, to)| *to).unwrap_or(0);
                    self.turns.push((from.max(waits), None));
                }
                Action::Emit(CallEvent::SpeechStopped { .. }) => {
                    let end = self.caller.len();
                    self.turns.last_mut().into_iter().for_each(|turn| turn.1 = Some(end));
                }
                Action::Emit(CallEvent::TurnDropped { rule, voiced_ms }) => {
                    // At the end nobody writes down what is said, with the settings of these calls.
                    let click = rule == "shorter_than_a_word" && voiced_ms < CLICK_MS;
                    if !click && rule != "closing" {
                        self.faults.push(format!("{} ms: {voiced_ms} ms are erased, {rule}", self.now_ms));
                    }
                    // All that waits for what is said next, and nothing did.
                    self.turns.clear();
                }
                Action::Emit(CallEvent::AgentHeld { .. }) => self.held_since_ms = Some(self.now_ms),
                Action::Emit(
                    CallEvent::AgentResumed { .. } | CallEvent::BargeIn { .. } | CallEvent::AgentStopped { .. },
                ) => {
                    let held_ms = self.held_since_ms.take().map_or(0, |since| self.now_ms - since);
                    if held_ms > HELD_MAX_MS {
                        self.faults.push(format!("{} ms: the agent was held for {held_ms} ms", self.now_ms));
                    }
                }
                Action::SendCaller(CallerCommand::Audio(audio)) => {
                    self.line.extend(audio);
                    self.sent += audio.len();
                }
                Action::SendCaller(CallerCommand::Mark(id)) => self.marks.push_back((self.sent, id)),
                Action::SendCaller(CallerCommand::Clear) => {
                    self.sent = self.played;
                    self.line.clear();
                    self.marks.iter_mut().for_each(|(after, _)| *after = 0);
                }
                Action::Record(Record::Agent { payload, .. }) => self.recorded.extend(payload),
                _ => {}
            }
        }
    }
}

/// Checks that audio goes on at its own next sample, but for samples that come twice (up to `twice_ms` in a row) and replies
/// that were cut off, which go on with the next.
fn goes_on(audio: &[u8], ms: usize, twice_ms: usize) -> Result<(), String> {
    let reply = REPLY_MS * ms;
    let twice = twice_ms * ms;
    let mut next = 0;
    let mut at = 0;
    while at < audio.len() {
        if audio[at] == pattern(2, next) {
            (at, next) = (at + 1, next + 1);
            continue;
        }
        // A sample or two may be what was expected by chance.
        let found = (0..4.min(at + 1)).find_map(|back| {
            let here = &audio[at - back..audio.len().min(at + 64)];
            let is_at = |from: usize| here.iter().enumerate().all(|(i, byte)| *byte == pattern(2, from + i));
            let again = (next.saturating_sub(twice)..next).find(|from| is_at(*from));
            let later = (1..80).map(|n| (next / reply + n) * reply).find(|from| is_at(*from));
            again.or(later).map(|from| (at - back, from))
        });
        (at, next) = found.ok_or(format!("sample {at} of {}: after {next} comes neither", audio.len()))?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn every_sample_is_where_it_belongs(
        (silence_duration_ms, prefix_padding_ms, min_speech_ms) in (50u32..500, prop_oneof![Just(0u32), 0u32..900], prop_oneof![Just(0u32), 0u32..300]),
        shorter_than_ms in 0u32..1_000,
        interruptions in prop_oneof![4 => Just(Interruptions::On), 1 => Just(Interruptions::Off), 1 => Just(Interruptions::AfterMs(400)), 1 => Just(Interruptions::MinWords(2))],
        (engine, format) in prop_oneof![
            Just((VadEngine::Earshot, AudioFormat::PHONE)),
            Just((VadEngine::Silero, AudioFormat { codec: Codec::Pcma, rate_hz: 8_000 })),
            Just((VadEngine::Energy, AudioFormat::PCM_24K)),
        ],
        script in prop::collection::vec((happening(), prop_oneof![20u64..300, 20u64..1_500]), 5..50),
    ) {
        let turn =
            TurnSettings { engine, silence_duration_ms, prefix_padding_ms, min_speech_ms, ..TurnSettings::default() };
        let mut call = Call::new(format, turn, FalseInterruptions { shorter_than_ms, ..FalseInterruptions::default() }, interruptions);
        call.speak(400);
        for (what, ms) in &script {
            call.apply(what);
            call.speak(*ms);
        }
        call.apply(&Happening::Voice(false));
        call.apply(&Happening::Answers(AT_ONCE));
        // The longest wait before a model is dialled again.
        call.apply(&Happening::Ready);
        call.speak(4_100);
        call.apply(&Happening::Ready);
        call.speak(12_000);
        prop_assert!(call.faults.is_empty(), "{:?}", call.faults);
        if let Err(why) = goes_on(&call.heard, call.ms, TWICE_MAX_MS) {
            prop_assert!(false, "heard: {why}");
        }
        if let Err(why) = goes_on(&call.recorded, call.ms, 0) {
            prop_assert!(false, "recorded: {why}");
        }
        let report = call.engine.report();
        let heard: u64 = report.lines.iter().map(|line| line.heard_ms).sum();
        prop_assert!(call.recorded.len().abs_diff(heard as usize * call.ms) <= 1_000 * call.ms, "{heard}");
        // Whoever was silent for so long has heard all there is to hear, and waits for nothing.
        if call.engine.phase() == "talking" {
            let last = report.turns.iter().rfind(|turn| !turn.back_channel);
            let answered = last.is_none_or(|turn| turn.response_at_ms.is_some());
            prop_assert!(answered, "nobody answers {last:?}");
            prop_assert!(!call.tool_due, "what the tool answered is not spoken of");
            let last = format!("a{}", call.responses.saturating_sub(1));
            let cut = call.cancelled == call.responses || report.interruptions.iter().any(|i| i.item == last);
            let end: Vec<u8> = (call.made.saturating_sub(64)..call.made).map(|i| pattern(2, i)).collect();
            prop_assert!(cut || call.heard.ends_with(&end), "{last} was not heard to its end");
        }
    }
}
