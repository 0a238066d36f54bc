//! A call's pure path, from a message's text to the texts that come of it: the engine and both links, joined as the shell
//! joins them, without its sockets and files. The benchmarks time it, and `examples/steps` counts its instructions.

pub(crate) mod frames;
pub(crate) mod speech;

use std::collections::VecDeque;
use std::hint::black_box;
use std::path::Path;

use offhook::base::audio::AudioFormat;
use offhook::base::time::CallTime;
use offhook::config::{self, CallSettings, TurnDetection, TurnSettings};
use offhook::engine::{Action, CallEngine, CallerCommand, CallerEvent, Input, MarkId, ModelCommand};
use offhook::lab::sim::scenario;
use offhook::link::openai::Session;
use offhook::link::twilio::{Decoded, Stream};

use frames::{Frames, STREAM};

/// What the shell reserves for a message.
const MESSAGE_BYTES: usize = 512;
/// Longer than any benchmark's call, in milliseconds.
const FOR_EVER_MS: u64 = 1_000_000_000_000;

/// A call that is up, with its line and its model played by us.
pub(crate) struct Call {
    engine: CallEngine,
    stream: Stream,
    session: Session,
    frames: Frames,
    delta: String,
    at: CallTime,
    /// When the line will have played what it was sent.
    played: CallTime,
    /// Marks on the line, and when they are played.
    marks: VecDeque<(CallTime, MarkId)>,
    sent: Sent,
}

/// The model's message with 200 ms of the agent.
pub(crate) fn delta() -> String {
    let audio: Vec<u8> = (0..1_600).map(|i| (i * 7) as u8).collect();
    let audio = base64_simd::STANDARD.encode_to_string(&audio);
    format!(
        r#"{{"type":"response.output_audio.delta","event_id":"event_1","response_id":"resp_1","item_id":"item_1","output_index":0,"content_index":0,"delta":"{audio}"}}"#
    )
}

/// What has left the call so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) to_line: u64,
    pub(crate) to_model: u64,
    pub(crate) clears: u64,
}

impl Call {
    /// The model finds the turns; nobody here listens.
    pub(crate) fn provider() -> Call {
        Call::up(scenario::settings())
    }

    /// Turns are ours: the default detector and the echo guard listen. The caller's first turn lasts for ever.
    pub(crate) fn local() -> Call {
        let mut settings = scenario::settings();
        settings.turn_detection = TurnDetection::Local(TurnSettings { max_turn_s: 0, ..TurnSettings::default() });
        // The caller speaks all the time, and the agent is to be heard all the same.
        settings.interruptions = config::Interruptions::Off;
        Call::up(settings)
    }

    /// The agent has been speaking for half a second.
    pub(crate) fn speaking(mut self) -> Call {
        self.model(r#"{"type":"response.created","event_id":"event_3","response":{"id":"resp_1"}}"#);
        for _ in 0..25 {
            self.delta();
        }
        for _ in 0..25 {
            self.frame();
        }
        self
    }

    fn up(mut settings: CallSettings) -> Call {
        settings.limits.max_duration_s = 0;
        settings.limits.model_silence_ms = FOR_EVER_MS;
        settings.limits.caller_gone_s = FOR_EVER_MS / 1_000;
        let config = config::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config"))
            .unwrap_or_else(|problems| unreachable!("the shipped configuration does not load: {problems:?}"));
        let Some(agent) = config.agents.values().next() else { unreachable!("the shipped configuration has an agent") };
        let mut call = Call {
            engine: CallEngine::new(settings.into()),
            stream: Stream::new(),
            session: Session::new(agent, &agent.instructions, AudioFormat::PHONE),
            frames: Frames::new(),
            delta: delta(),
            at: CallTime::ZERO,
            played: CallTime::ZERO,
            marks: VecDeque::new(),
            sent: Sent::default(),
        };
        call.drain();
        call.model(r#"{"type":"session.created","event_id":"event_1","session":{"id":"sess_1"}}"#);
        call.model(r#"{"type":"session.updated","event_id":"event_2","session":{"id":"sess_1"}}"#);
        call.line(&format!(
            r#"{{"event":"start","sequenceNumber":"1","streamSid":"{STREAM}","start":{{"streamSid":"{STREAM}","accountSid":"AC1","callSid":"CA1"}}}}"#
        ));
        call
    }

    /// 20 ms of the caller, and what is due by then.
    pub(crate) fn frame(&mut self) {
        self.pass(20);
        let mut frames = std::mem::replace(&mut self.frames, Frames::none());
        self.line(frames.next());
        self.frames = frames;
    }

    /// 200 ms of the agent from the model, all at once.
    pub(crate) fn delta(&mut self) {
        let delta = std::mem::take(&mut self.delta);
        self.model(&delta);
        self.delta = delta;
    }

    /// 200 ms of the agent, until the line has played as much.
    pub(crate) fn delta_to_mark(&mut self) {
        self.delta();
        self.pass(200);
    }

    /// A second in which the agent speaks and the caller's audio comes too.
    pub(crate) fn second(&mut self) {
        for _ in 0..5 {
            self.delta();
            for _ in 0..10 {
                self.frame();
            }
        }
    }

    /// What has left the call so far.
    pub(crate) fn sent(&self) -> Sent {
        self.sent
    }

    fn line(&mut self, text: &str) {
        let input = match self.stream.decode(text) {
            Decoded::Event(event) => Input::Caller(event),
            Decoded::Start(_) => Input::Caller(CallerEvent::Started),
            _ => return,
        };
        self.engine.handle(self.at, input);
        self.drain();
    }

    /// One message of the model.
    pub(crate) fn model(&mut self, text: &str) {
        if let Some(event) = self.session.decode(text) {
            self.engine.handle(self.at, Input::Model(event));
        }
        while let Some(reply) = self.session.poll_reply() {
            black_box(reply);
        }
        self.drain();
    }

    /// Lets so much time pass: marks and deadlines, in order.
    fn pass(&mut self, ms: u64) {
        let until = self.at.plus_ms(ms);
        loop {
            let mark = self.marks.front().map(|(at, _)| *at).filter(|at| *at <= until);
            let deadline = self.engine.next_deadline().map(|(at, _)| at).filter(|at| *at <= until);
            match (mark, deadline) {
                (None, None) => break,
                (Some(at), deadline) if deadline.is_none_or(|deadline| at <= deadline) => {
                    self.at = self.at.max(at);
                    self.return_mark();
                }
                (_, deadline) => {
                    self.at = self.at.max(deadline.unwrap_or(until));
                    self.engine.handle(self.at, Input::Tick);
                    self.drain();
                }
            }
        }
        self.at = until;
    }

    fn return_mark(&mut self) {
        let Some((_, MarkId { generation, seq })) = self.marks.pop_front() else { return };
        self.line(&format!(r#"{{"event":"mark","streamSid":"{STREAM}","mark":{{"name":"g{generation}-{seq}"}}}}"#));
    }

    /// Writes what the engine asks for, each message into a text of its own, as the shell does.
    fn drain(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::SendCaller(command) => {
                    match command {
                        CallerCommand::Audio(audio) => {
                            self.played = self.played.max(self.at).plus_ms(audio.len() as u64 / 8);
                        }
                        CallerCommand::Mark(mark) => self.marks.push_back((self.played, mark)),
                        CallerCommand::Clear => {
                            self.marks.clear();
                            self.sent.clears += 1;
                        }
                    }
                    let mut text = String::with_capacity(MESSAGE_BYTES);
                    self.stream.encode(&command, &mut text);
                    self.sent.to_line += u64::from(matches!(command, CallerCommand::Audio(_)));
                    black_box(text);
                }
                Action::SendModel(command) => {
                    let mut text = String::with_capacity(MESSAGE_BYTES);
                    self.session.encode(&command, &mut text);
                    self.sent.to_model += u64::from(matches!(command, ModelCommand::AppendAudio(_)));
                    black_box(text);
                }
                other => {
                    black_box(&other);
                }
            }
        }
    }
}
