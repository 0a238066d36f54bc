//! Ears that hear for themselves: echo guard, detection and noise reduction over the same audio.

use std::fmt;

use super::HearingSettings;
use crate::base::time::Samples;
use crate::config::VadEngine;
use crate::ears::denoise::Denoiser;
use crate::ears::echo::{self, EchoGuard};
use crate::ears::vad::{Probability, Step, Vad, from_log_odds, log_odds};

/// What the noise reduction thinks of speech weighs this much beside Silero, in log-odds; measured by
/// `cargo run --release --example hearing`.
const DENOISER_WEIGHT: f32 = 0.2;
/// Added to the sum, in log-odds: the noise reduction's network is the more doubtful of the two.
const DENOISER_BIAS: f32 = 0.6;
/// In the babble of other people its network hears speech where Silero is sure that the caller is silent. It has its full
/// say where its log-odds are at most the first there on average, and none where they are the second.
const DENOISER_TRUSTED: (f32, f32) = (-3.5, -2.0);
/// What that average is taken to be before it was heard, and how fast it is learned: parts per step.
const DENOISER_IN_SILENCE: (f32, f32) = (-3.0, 0.05);
/// Log-odds below which Silero is sure of silence.
const SILENT: f32 = -2.0;
/// Log-odds of the noise reduction's network over a step are believed up to this much.
const DENOISER_LIMIT: f32 = 4.6;

/// One call's own ears.
pub(super) struct Own {
    guard: Option<EchoGuard>,
    vad: Option<Vad>,
    denoiser: Denoiser,
    opinion: Option<Opinion>,
    /// Samples per frame of the noise reduction.
    frame: usize,
    /// Samples heard of the frame that is not complete.
    in_frame: usize,
}

/// What the noise reduction's network thought of its frames since the last step.
#[derive(Clone, Copy, Debug)]
struct Opinion {
    sum: f32,
    frames: u32,
    /// Of the last step, for one without a frame.
    last: f32,
    /// Its average where the caller is silent.
    in_silence: f32,
}

impl Own {
    pub(super) fn new(settings: HearingSettings, rate_hz: u32) -> Self {
        let guard = settings.echo_guard && settings.engine.is_some();
        let denoiser = Denoiser::new(settings.noise_reduction, rate_hz);
        let blends = settings.engine == Some(VadEngine::Silero) && !matches!(denoiser, Denoiser::Off);
        Own {
            guard: guard.then(|| EchoGuard::new(rate_hz)),
            vad: settings.engine.map(|engine| Vad::new(engine, rate_hz)),
            denoiser,
            opinion: blends.then(Opinion::new),
            frame: (rate_hz as usize / 100).max(1),
            in_frame: 0,
        }
    }

    /// The length of a step; `None`: nobody asks for any.
    pub(super) fn step_ms(&self) -> Option<u64> {
        self.vad.as_ref().map(Vad::step_ms)
    }

    /// Whether audio passes through untouched and nobody listens.
    pub(super) fn is_idle(&self) -> bool {
        self.vad.is_none() && !self.reduces_noise()
    }

    pub(super) fn reduces_noise(&self) -> bool {
        !matches!(self.denoiser, Denoiser::Off)
    }

    /// Hears `audio`, which belongs at media position `at`; `quieter` is the same audio, and has its noise reduced.
    /// The detection hears the audio as it came: with its noise reduced it is no better, and in loud noise worse.
    pub(super) fn take(&mut self, at: Samples, audio: &mut [i16], quieter: &mut [i16], mut on: impl FnMut(Step)) {
        let Own { guard, vad, denoiser, opinion, frame, in_frame } = self;
        let mut from = 0;
        // By the frames of the noise reduction, however the audio was cut: each step gets the same ones.
        while from < audio.len() {
            let len = (*frame - *in_frame).min(audio.len() - from);
            let block = &mut audio[from..from + len];
            if let Some(guard) = guard {
                guard.process(at + Samples(from as u64), block);
            }
            if let Some(vad) = vad {
                vad.process(block, |mut step| {
                    let mut p = step.probability.as_f32();
                    if let Some(opinion) = opinion {
                        p = opinion.blend(p);
                    }
                    if let Some(guard) = guard {
                        p = echo::discount(p, guard.echo_share());
                    }
                    step.probability = Probability::from_f32(p);
                    on(step);
                });
            }
            if let Some(block) = quieter.get_mut(from..from + len) {
                denoiser.process(block);
            }
            *in_frame = (*in_frame + len) % *frame;
            if *in_frame == 0
                && let (Some(opinion), Some(p)) = (opinion.as_mut(), denoiser.speech_probability())
            {
                opinion.take(p);
            }
            from += len;
        }
    }

    pub(super) fn guard(&mut self) -> Option<&mut EchoGuard> {
        self.guard.as_mut()
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").field("vad", &self.vad).field("denoiser", &self.denoiser).finish_non_exhaustive()
    }
}

impl Opinion {
    fn new() -> Self {
        Opinion { sum: 0.0, frames: 0, last: 0.0, in_silence: DENOISER_IN_SILENCE.0 }
    }

    fn take(&mut self, p: f32) {
        self.sum += log_odds(p);
        self.frames += 1;
    }

    fn blend(&mut self, p: f32) -> f32 {
        if self.frames > 0 {
            self.last = (self.sum / self.frames as f32).clamp(-DENOISER_LIMIT, DENOISER_LIMIT);
            (self.sum, self.frames) = (0.0, 0);
        }
        let heard = log_odds(p);
        let (all, none) = DENOISER_TRUSTED;
        let trust = ((none - self.in_silence) / (none - all)).clamp(0.0, 1.0);
        if heard < SILENT {
            self.in_silence += DENOISER_IN_SILENCE.1 * (self.last - self.in_silence);
        }
        let odds = heard + trust * (DENOISER_WEIGHT * (self.last - heard) + DENOISER_BIAS);
        from_log_odds(odds)
    }
}
