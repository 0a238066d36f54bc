//! Whole calls: our own ears and the engine, with recorded callers, a line and an agent who speaks.

use std::borrow::Cow;

use offhook::base::audio::g711;
use offhook::base::time::{CallTime, Samples};
use offhook::config::{CallSettings, NoiseReduction, TurnDetection, TurnSettings};
use offhook::ears::turn::{EndRule, TurnEvent};
use offhook::engine::{CallEvent, CallerEvent, Input, ModelEvent, ResponseStatus, Usage};
use offhook::lab::sim::{Sim, scenario};
use offhook::lab::tune::corpus::LabelledClip;

use crate::RATE_HZ;

/// What a carrier sends at once.
pub(crate) const FRAME_MS: u64 = 20;
/// Samples of that.
pub(crate) const FRAME: usize = (FRAME_MS as usize * RATE_HZ as usize) / 1_000;
/// One way between server and line.
pub(crate) const LINE_MS: u64 = 20;
/// Samples in a millisecond.
const PER_MS: usize = RATE_HZ as usize / 1_000;
/// A greeting, and the time until it is over and a while longer.
const GREETING_MS: u64 = 4_000;
const GREETED_MS: u64 = 4_500;
/// The media stream begins.
const BEGUN: CallTime = CallTime::from_ms(200);

/// A call with the defaults of an agent, the model ready and the line silent.
pub(crate) struct Call {
    sim: Sim,
    frames: u64,
    replies: u32,
    /// Of what was emitted, this much was looked at.
    looked_at: usize,
    payload: Vec<u8>,
}

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial {
    pub noise_reduction: NoiseReduction,
    pub echo_guard: bool,
    /// The agent has greeted before, as it does in most calls.
    pub greeting: bool,
    /// `None`: by the default.
    pub level_margin_db: Option<u32>,
    pub as_json: bool,
}

/// By the defaults but for what is tried, with this silence at a turn's end.
pub(crate) fn settings(silence_duration_ms: u32, trial: Trial) -> CallSettings {
    let mut settings = scenario::settings();
    // Nobody writes down what is said here: length alone decides what interrupts.
    settings.transcribed = false;
    settings.false_interruptions.untranscribed_ms = settings.false_interruptions.shorter_than_ms;
    let default = TurnSettings::default();
    let level_margin_db = trial.level_margin_db.unwrap_or(default.level_margin_db);
    let turn = TurnSettings { silence_duration_ms, level_margin_db, ..default };
    settings.turn_detection = TurnDetection::Local(turn);
    settings.noise_reduction = trial.noise_reduction;
    settings.echo_guard = trial.echo_guard;
    // The model of these calls answers when it is told to, and not otherwise.
    settings.limits.model_silence_ms = 3_600_000;
    settings
}

impl Call {
    pub(crate) fn begin(settings: CallSettings) -> Call {
        let mut sim = Sim::hearing(settings, LINE_MS);
        sim.line().keep_audio();
        sim.run_until(CallTime::from_ms(100));
        sim.input(Input::Model(ModelEvent::Ready { session: "session".into(), turns: None }));
        sim.run_until(BEGUN);
        sim.input(Input::Caller(CallerEvent::Started));
        Call { sim, frames: 0, replies: 0, looked_at: 0, payload: Vec::with_capacity(FRAME) }
    }

    /// The same after a greeting, on a silent line, if there is one. Answers when what is tried begins.
    pub(crate) fn greeted(clips: &[LabelledClip], clip: &LabelledClip, trial: Trial) -> (Call, u64) {
        let mut call = Call::begin(settings(200, trial));
        if trial.greeting {
            call.agent_speaks(&agent_audio(clips, &clip.name, GREETING_MS));
            (0..GREETED_MS / FRAME_MS).for_each(|_| call.frame(&[0; FRAME]));
        }
        let begun = call.now_ms();
        (call, begun)
    }

    /// Media time: of all that the caller said.
    pub(crate) fn now_ms(&self) -> u64 {
        self.frames * FRAME_MS
    }

    /// A frame of the caller's track; it is there when it was spoken.
    pub(crate) fn frame(&mut self, frame: &[i16]) {
        self.payload.clear();
        g711::encode_ulaw(frame, &mut self.payload);
        let at_ms = self.now_ms();
        self.frames += 1;
        self.sim.run_until(BEGUN.plus_ms(self.now_ms()));
        self.sim.input(Input::Caller(CallerEvent::Audio { at_ms, payload: &self.payload }));
        let asked = |(_, event): &(CallTime, CallEvent)| matches!(event, CallEvent::ResponseAsked { .. });
        let emitted = &self.sim.seen.events;
        let answers = emitted[self.looked_at..].iter().filter(|e| asked(e)).count();
        self.looked_at = emitted.len();
        // A model that is asked says next to nothing: who speaks when is up to the test.
        (0..answers).for_each(|_| self.agent_speaks(&[0; FRAME]));
    }

    /// The model says this, all of it at once, and is done.
    pub(crate) fn agent_speaks(&mut self, audio: &[i16]) {
        self.replies += 1;
        let (response, item) = (format!("response{}", self.replies), format!("item{}", self.replies));
        let response = || Cow::Owned(response.clone());
        self.sim.input(Input::Model(ModelEvent::ResponseStarted { response: response() }));
        for piece in audio.chunks(10 * FRAME) {
            let mut payload = Vec::with_capacity(piece.len());
            g711::encode_ulaw(piece, &mut payload);
            let item = Cow::Borrowed(item.as_str());
            self.sim.input(Input::Model(ModelEvent::Audio { response: response(), item, payload: &payload }));
        }
        let (status, usage) = (ResponseStatus::Completed, Usage::default());
        self.sim.input(Input::Model(ModelEvent::ResponseDone {
            response: response(),
            status,
            detail: None,
            usage,
            fatal: false,
            retry_after_ms: None,
        }));
    }

    /// Whether the caller heard the agent at this media time.
    pub(crate) fn agent_is_heard(&mut self, at_ms: u64) -> bool {
        self.sim.line().is_playing(BEGUN.plus_ms(at_ms))
    }

    /// What the caller heard of the agent, from this media time on, as far as it is known.
    pub(crate) fn agent_audio(&mut self, from_ms: u64) -> &[u8] {
        let begin = (BEGUN.as_ms() + from_ms) as usize * PER_MS;
        self.sim.line().audio().get(begin..).unwrap_or_default()
    }

    /// When the line was cleared, in media time.
    pub(crate) fn clears_ms(&self) -> impl Iterator<Item = u64> + '_ {
        self.sim.seen.clears.iter().map(|at| at.ms_since(BEGUN))
    }

    /// What happened from this media time on.
    pub(crate) fn since(&self, from_ms: u64) -> Interruptions {
        let mut seen = Interruptions::default();
        let from = BEGUN.plus_ms(from_ms);
        for (_, event) in self.sim.seen.events.iter().filter(|(at, _)| *at >= from) {
            match event {
                CallEvent::AgentHeld { .. } => seen.holds += 1,
                CallEvent::BargeIn { .. } => seen.finals += 1,
                CallEvent::AgentResumed { .. } => seen.resumed += 1,
                _ => {}
            }
        }
        seen
    }

    /// The decisions on the caller's turns with the media time at which each was taken.
    pub(crate) fn turn_events(&self) -> Vec<(Samples, TurnEvent)> {
        let at = |ms: u64| Samples::from_ms(ms, RATE_HZ);
        let decisions = self.sim.seen.events.iter().filter_map(|(when, event)| {
            let event = match event {
                CallEvent::SpeechStarted { media_ms, .. } => TurnEvent::Started { at: at(*media_ms) },
                CallEvent::SpeechPaused { media_ms } => TurnEvent::Paused { at: at(*media_ms) },
                CallEvent::SpeechResumed { media_ms } => TurnEvent::Resumed { at: at(*media_ms) },
                CallEvent::SpeechStopped { media_ms, .. } => {
                    TurnEvent::Ended { at: at(*media_ms), rule: EndRule::Silence }
                }
                _ => return None,
            };
            Some((at(when.ms_since(BEGUN)), event))
        });
        decisions.collect()
    }

    /// Turns that were committed.
    pub(crate) fn commits(&self) -> usize {
        self.sim.seen.events.iter().filter(|(_, e)| matches!(e, CallEvent::TurnCommitted { .. })).count()
    }

    /// Whether a turn of the caller runs.
    pub(crate) fn caller_speaks(&self) -> bool {
        let last = self.sim.seen.events.iter().rev().find_map(|(_, event)| match event {
            CallEvent::SpeechStarted { .. } => Some(true),
            CallEvent::SpeechStopped { .. } => Some(false),
            _ => None,
        });
        last == Some(true)
    }
}

/// What became of the agent's speech.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Interruptions {
    /// The line was cleared, and the rest kept.
    pub holds: usize,
    /// The agent was stopped for good.
    pub finals: usize,
    /// It went on after a hold.
    pub resumed: usize,
}

/// The clip's audio after so much silence, with silence to the end of its last decision.
pub(crate) fn track(clip: &LabelledClip, lead_ms: u64, tail_ms: u64) -> Vec<i16> {
    let mut track = vec![0; lead_ms as usize * PER_MS];
    track.extend_from_slice(&clip.samples);
    track.resize(track.len() + tail_ms as usize * PER_MS, 0);
    track.resize(track.len().next_multiple_of(FRAME), 0);
    track
}

/// What the agent says: another speaker's recording without its silences, over and over.
pub(crate) fn agent_audio(clips: &[LabelledClip], beside: &str, ms: u64) -> Vec<i16> {
    let name = if beside.contains("carla") { "track-ben" } else { "track-carla" };
    let Some(clip) = clips.iter().find(|c| c.name == name) else { return Vec::new() };
    let sample = |ms: u64| (ms as usize * PER_MS).min(clip.samples.len());
    let speech = clip.speech.iter().flat_map(|s| &clip.samples[sample(s.span.start_ms)..sample(s.span.end_ms)]);
    let speech: Vec<i16> = speech.copied().collect();
    speech.into_iter().cycle().take(ms as usize * PER_MS).collect()
}
