//! What is heard of the caller: audio of the line in, one [`Step`] per step of the detection out.
//!
//! ```text
//!  caller audio ─► linear ─► echo guard ─► voice activity detection ─► Step ─► (turn)
//!                               ▲    └───► noise reduction ─► what the model is sent
//!                     agent audio as the line plays it
//! ```
//!
//! All decisions rest on the steps and nothing else of this: a call that is run again from its journal is told them
//! ([`Hearing::told`]) and decides alike on any machine, with the audio or without.

mod own;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::base::audio::AudioFormat;
use crate::base::time::Samples;
use crate::config::{NoiseReduction, VadEngine};
use crate::ears::answering::{Detector, Finding};
use crate::ears::vad::{Probability, Step, delay_samples, step_samples};
use own::Own;

/// Steps that wait to be polled; the oldest are forgotten beyond that. One input holds far fewer.
const STEPS_MAX: usize = 4_096;

/// Of what tells who picked up.
const FOUND_MAX: usize = 64;

/// How a call is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HearingSettings {
    /// What tells speech from other sound; `None`: nobody asks.
    pub engine: Option<VadEngine>,
    /// Whether the agent's own voice is taken out of what the detection hears.
    pub echo_guard: bool,
    /// Applied to what the model is sent.
    pub noise_reduction: NoiseReduction,
}

/// One call's ears.
#[derive(Debug)]
pub struct Hearing {
    format: AudioFormat,
    ears: Ears,
    steps: VecDeque<Step>,
    /// Who picked up, of a call that was placed.
    answering: Option<Box<Detector>>,
    found: VecDeque<Finding>,
    linear: Vec<i16>,
    quieter: Vec<i16>,
    cleaned: Vec<u8>,
}

#[derive(Debug)]
enum Ears {
    Own(Box<Own>),
    Told(Told),
}

/// Ears that are told what they hear.
#[derive(Debug)]
struct Told {
    /// Length of a step; 0 when nobody asks.
    step: u64,
    /// By how much a step ends before the audio that completes it.
    delay: u64,
    taken: u64,
    given: u64,
    /// Steps that the next audio completes: whoever tells them knows when.
    queue: VecDeque<(Probability, i8)>,
    /// What the next audio tells of who picked up.
    found: VecDeque<Finding>,
    /// What each step is that nothing was told for.
    otherwise: Option<(Probability, i8)>,
}

impl Hearing {
    /// Hears for itself.
    pub fn new(settings: HearingSettings, format: AudioFormat) -> Self {
        Hearing::with(Ears::Own(Box::new(Own::new(settings, format.rate_hz))), format)
    }

    /// Hears what it is [told](Self::tell), and nothing in the sound itself.
    pub fn told(settings: HearingSettings, format: AudioFormat) -> Self {
        let step = settings.engine.map_or(0, |engine| step_samples(engine, format.rate_hz).0);
        let delay = settings.engine.map_or(0, |engine| delay_samples(engine, format.rate_hz).0);
        let told =
            Told { step, delay, taken: 0, given: 0, queue: VecDeque::new(), found: VecDeque::new(), otherwise: None };
        Hearing::with(Ears::Told(told), format)
    }

    fn with(ears: Ears, format: AudioFormat) -> Self {
        Hearing {
            format,
            ears,
            steps: VecDeque::new(),
            answering: None,
            found: VecDeque::new(),
            linear: Vec::new(),
            quieter: Vec::new(),
            cleaned: Vec::new(),
        }
    }

    /// One more step that the next audio completes. Without effect on ears that hear for themselves.
    pub fn tell(&mut self, probability: Probability, level_db: i8) {
        if let Ears::Told(told) = &mut self.ears
            && told.queue.len() < STEPS_MAX
        {
            told.queue.push_back((probability, level_db));
        }
    }

    /// From here on it is heard who picked up; see [`Detector::new`]. Without effect on ears that are told.
    pub fn listen_for_answer(&mut self, monologue_ms: u32) {
        if let Ears::Own(own) = &self.ears {
            self.answering = Some(Box::new(Detector::new(monologue_ms, own.step_ms().is_some(), self.format.rate_hz)));
        }
    }

    /// It is known who picked up.
    pub fn stop_listening_for_answer(&mut self) {
        self.answering = None;
    }

    /// What the next audio tells of who picked up. Without effect on ears that hear for themselves.
    pub fn tell_found(&mut self, finding: Finding) {
        if let Ears::Told(told) = &mut self.ears
            && told.found.len() < FOUND_MAX
        {
            told.found.push_back(finding);
        }
    }

    /// What every step is from now on, without being told one by one. Without effect on ears that hear for themselves.
    pub fn tell_from_now_on(&mut self, probability: Probability, level_db: i8) {
        if let Ears::Told(told) = &mut self.ears {
            told.otherwise = Some((probability, level_db));
        }
    }

    /// Takes caller audio in the line's format, whole samples, that belongs at media position `at`. Its steps are
    /// [polled](Self::poll).
    pub fn take(&mut self, at: Samples, payload: &[u8]) {
        match &mut self.ears {
            Ears::Told(told) => {
                told.taken += self.format.samples(payload.len()).0;
                while let Some((probability, level_db)) = told.next() {
                    told.given += told.step;
                    let end = Samples(told.given.saturating_sub(told.delay));
                    push(&mut self.steps, Step { end, probability, level_db });
                }
                self.found.append(&mut told.found);
            }
            Ears::Own(own) => {
                if own.is_idle() && self.answering.is_none() {
                    return;
                }
                self.linear.clear();
                self.format.codec.decode(payload, &mut self.linear);
                let (answering, found) = (&mut self.answering, &mut self.found);
                if let Some(detector) = answering {
                    detector.take(&self.linear, |finding| found.push_back(finding));
                }
                if own.is_idle() {
                    return;
                }
                self.quieter.clear();
                if own.reduces_noise() {
                    self.quieter.extend_from_slice(&self.linear);
                }
                let steps = &mut self.steps;
                let step_ms = own.step_ms().unwrap_or_default();
                own.take(at, &mut self.linear, &mut self.quieter, |step| {
                    found.extend(answering.as_mut().and_then(|detector| detector.step(step, step_ms)));
                    push(steps, step);
                });
                self.cleaned.clear();
                self.format.codec.encode(&self.quieter, &mut self.cleaned);
            }
        }
    }

    /// The next step, in order.
    pub fn poll(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// The next thing that tells who picked up, in order; after the steps of the same audio.
    pub fn poll_found(&mut self) -> Option<Finding> {
        self.found.pop_front()
    }

    /// What was taken last with its noise reduced: as long, in the line's format, and later by
    /// [`Denoiser::delay`](crate::ears::denoise::Denoiser::delay). `None`: the model shall have it as it came.
    pub fn cleaned(&self) -> Option<&[u8]> {
        (!self.cleaned.is_empty()).then_some(&self.cleaned)
    }

    /// Agent audio in the line's format that is audible at the line from media position `at` on.
    pub fn played(&mut self, at: Samples, payload: &[u8]) {
        if let Ears::Own(own) = &mut self.ears
            && let Some(guard) = own.guard()
        {
            self.linear.clear();
            self.format.codec.decode(payload, &mut self.linear);
            guard.played(at, &self.linear);
        }
    }

    /// Agent audio from media position `from` on is not played after all.
    pub fn cleared(&mut self, from: Samples) {
        if let Ears::Own(own) = &mut self.ears
            && let Some(guard) = own.guard()
        {
            guard.cleared(from);
        }
    }
}

impl Told {
    /// The step that is complete, if one is.
    fn next(&mut self) -> Option<(Probability, i8)> {
        let complete = self.step > 0 && self.given + self.step <= self.taken;
        self.queue.pop_front().or(self.otherwise.filter(|_| complete))
    }
}

fn push(steps: &mut VecDeque<Step>, step: Step) {
    if steps.len() == STEPS_MAX {
        steps.pop_front();
    }
    steps.push_back(step);
}
