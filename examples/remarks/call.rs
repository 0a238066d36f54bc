//! A call in virtual time: our own ears, the engine, a line, and a model whose transcripts take their time.

use std::borrow::Cow;
use std::sync::Arc;

use offhook::base::audio::g711;
use offhook::base::time::CallTime;
use offhook::config::{CallSettings, TurnDetection, TurnSettings};
use offhook::engine::{Action, CallEvent, CallerEvent, Input, ModelCommand, ModelEvent, ResponseStatus, Usage};
use offhook::lab::sim::line::Line;
use offhook::lab::sim::{Means, Sim, scenario};

use crate::RATE_HZ;

const FRAME_MS: u64 = 20;
const FRAME: usize = FRAME_MS as usize * RATE_HZ as usize / 1_000;
const LINE_MS: u64 = 20;
const BEGUN: CallTime = CallTime::from_ms(200);
/// A model names a commit after this long.
const NAMES_MS: u64 = 60;

/// How the model behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    /// From a commit to its transcript; `None`: there is none.
    pub(crate) words_ms: Option<u64>,
    /// From a request to the answer's audio, all at once, and its length.
    pub(crate) answers_ms: u64,
    pub(crate) answer_ms: u64,
}

/// What the model was sent and has not answered.
#[derive(Debug, Default)]
struct Sent {
    buffer: Vec<u8>,
    /// Audio of each commit.
    commits: Vec<Vec<u8>>,
    cleared: Vec<Vec<u8>>,
    asked: u32,
}

impl Sent {
    fn take(&mut self, action: &Action<'_>) {
        match action {
            Action::SendModel(ModelCommand::AppendAudio(audio)) => self.buffer.extend_from_slice(audio),
            Action::SendModel(ModelCommand::CommitAudio { .. }) => self.commits.push(std::mem::take(&mut self.buffer)),
            Action::SendModel(ModelCommand::ClearAudio) => self.cleared.push(std::mem::take(&mut self.buffer)),
            Action::SendModel(ModelCommand::CreateResponse { .. }) => self.asked += 1,
            _ => {}
        }
    }
}

/// One call.
pub(crate) struct Call {
    sim: Sim,
    model: Model,
    sent: Sent,
    named: usize,
    replies: u32,
    asked: u32,
    frames: u64,
    /// What the model says, and when.
    to_come: Vec<(CallTime, Say)>,
    words: String,
}

#[derive(Clone, Debug)]
enum Say {
    Named(usize),
    Words(usize),
    Answer(u64),
}

/// By the defaults, with this silence at a turn's end.
pub(crate) fn settings(silence_duration_ms: u32) -> CallSettings {
    let mut settings = scenario::settings();
    settings.turn_detection = TurnDetection::Local(TurnSettings { silence_duration_ms, ..TurnSettings::default() });
    settings
}

impl Call {
    pub(crate) fn new(settings: CallSettings, model: Model) -> Call {
        let means = Means { own_ears: true, lists: true, journal: offhook::config::JournalKeep::Off };
        let sim = Sim::with(Arc::new(settings), LINE_MS, means, |_, _, _| {});
        let mut call = Call {
            sim,
            model,
            sent: Sent::default(),
            named: 0,
            replies: 0,
            asked: 0,
            frames: 0,
            to_come: Vec::new(),
            words: String::new(),
        };
        call.sim.run_until(CallTime::from_ms(100));
        call.input(Input::Model(ModelEvent::Ready { session: "session".into(), turns: None }));
        call.sim.run_until(BEGUN);
        call.input(Input::Caller(CallerEvent::Started));
        call
    }

    /// What the transcripts of what is said from now on say.
    pub(crate) fn words(&mut self, words: &str) {
        self.words = words.to_owned();
    }

    /// The caller's track goes on with these samples.
    pub(crate) fn hear(&mut self, samples: &[i16]) {
        for piece in samples.chunks(FRAME) {
            let mut payload = Vec::with_capacity(FRAME);
            g711::encode_ulaw(piece, &mut payload);
            payload.resize(FRAME, 0xFF);
            let at_ms = self.frames * FRAME_MS;
            self.frames += 1;
            self.pass(BEGUN.plus_ms(self.frames * FRAME_MS));
            self.input(Input::Caller(CallerEvent::Audio { at_ms, payload: &payload }));
        }
    }

    pub(crate) fn silence(&mut self, ms: u64) {
        self.hear(&vec![0; ms as usize * RATE_HZ as usize / 1_000]);
    }

    /// The agent speaks for so long from now.
    pub(crate) fn agent_speaks(&mut self, ms: u64) {
        let id = self.replies;
        self.replies += 1;
        let (response, item) = (format!("r{id}"), format!("a{id}"));
        let response = || Cow::Owned(response.clone());
        self.input(Input::Model(ModelEvent::ResponseStarted { response: response() }));
        let audio: Vec<u8> = (0..ms as usize * 8).map(|i| [0x20, 0xA0][i / 13 % 2]).collect();
        for payload in audio.chunks(1_600) {
            self.input(Input::Model(ModelEvent::Audio { response: response(), item: item.as_str().into(), payload }));
        }
        let (status, usage, fatal) = (ResponseStatus::Completed, Usage::default(), false);
        let done =
            ModelEvent::ResponseDone { response: response(), status, detail: None, usage, fatal, retry_after_ms: None };
        self.input(Input::Model(done));
    }

    /// What was decided from this place in the list on, and when.
    pub(crate) fn events(&self, from: usize) -> &[(CallTime, CallEvent)] {
        &self.sim.seen.events[from..]
    }

    /// Whether this audio was committed, to the byte.
    pub(crate) fn committed(&self, audio: &[u8]) -> bool {
        let within = |turn: &Vec<u8>| turn.windows(audio.len()).any(|window| window == audio);
        self.sent.commits.iter().any(within)
    }

    /// How much was cleared, in ms.
    pub(crate) fn cleared_ms(&self) -> usize {
        self.sent.cleared.iter().map(Vec::len).sum::<usize>() / 8
    }

    /// What is to be heard at the line at this time.
    pub(crate) fn is_heard(&self) -> bool {
        self.sim.line_now().is_playing(self.sim.now())
    }

    fn input(&mut self, input: Input<'_>) {
        let sent = &mut self.sent;
        self.sim.input_seen(input, |_: &Line, _, action| sent.take(action));
        self.plan();
    }

    /// Lets time pass, with what the model says in it.
    fn pass(&mut self, until: CallTime) {
        loop {
            let next = self.to_come.iter().map(|(at, _)| *at).min().filter(|at| *at <= until);
            let own = self.sim.next_at().filter(|at| *at <= until);
            match (next, own) {
                (Some(next), own) if own.is_none_or(|own| next < own) => {
                    self.sim.pass_to(next);
                    let index = self.to_come.iter().position(|(at, _)| *at == next).unwrap_or_default();
                    let (_, say) = self.to_come.remove(index);
                    self.says(&say);
                }
                (_, Some(_)) => {
                    let sent = &mut self.sent;
                    self.sim.step(|_: &Line, _, action| sent.take(action));
                    self.plan();
                }
                _ => break,
            }
        }
        self.sim.pass_to(until);
    }

    /// What follows from what the model was sent.
    fn plan(&mut self) {
        let now = self.sim.now();
        while self.named < self.sent.commits.len() {
            self.to_come.push((now.plus_ms(NAMES_MS), Say::Named(self.named)));
            if let Some(words_ms) = self.model.words_ms {
                self.to_come.push((now.plus_ms(words_ms.max(NAMES_MS + 1)), Say::Words(self.named)));
            }
            self.named += 1;
        }
        while self.asked < self.sent.asked {
            self.asked += 1;
            if self.model.answer_ms > 0 {
                self.to_come.push((now.plus_ms(self.model.answers_ms), Say::Answer(self.model.answer_ms)));
            }
        }
    }

    fn says(&mut self, say: &Say) {
        match say {
            Say::Named(n) => self.input(Input::Model(ModelEvent::Committed { item: format!("u{n}").into() })),
            Say::Words(n) => {
                let (item, text) = (format!("u{n}").into(), self.words.clone().into());
                self.input(Input::Model(ModelEvent::CallerTranscript { item, text, done: true }));
            }
            Say::Answer(ms) => self.agent_speaks(*ms),
        }
    }
}
