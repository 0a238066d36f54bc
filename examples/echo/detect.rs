//! Who finds the starts of the caller's speech in a mix.

#![allow(dead_code, unreachable_pub, reason = "a module of two crates: the example, and the library's tests")]

use super::mixes::{Mix, RATE_HZ};
use super::{EchoGuard, Samples, discount};

/// A way to hear: caller's track and agent's audio in, starts out.
pub trait Hearing {
    /// Positions at which the caller was confirmed to speak, in the track of `mix` or, without the agent, in its clean one.
    fn starts(&mut self, mix: &Mix, clean: bool) -> Vec<usize>;
}

/// Takes all that is loud for speech: stricter on the guard than a real detector, which knows noise from words.
pub struct Loudness {
    /// Whether the guard is in front of it.
    pub guarded: bool,
}

impl Hearing for Loudness {
    fn starts(&mut self, mix: &Mix, clean: bool) -> Vec<usize> {
        let loud = 32_768.0 * 10f32.powf((mix.case.noise_dbfs as f32 + OVER_NOISE_DB) / 20.0);
        let track = if clean { &mix.clean } else { &mix.near };
        let (steps, shares) = if self.guarded && !clean { guard(mix) } else { (track.clone(), vec![0.0; track.len()]) };
        let speech = steps.chunks_exact(STEP).zip(shares).map(|(step, share)| {
            let power = step.iter().map(|&s| f32::from(s) * f32::from(s)).sum::<f32>() / STEP as f32;
            discount(if power > loud * loud { 1.0 } else { 0.0 }, share) >= 0.5
        });
        starts(speech)
    }
}

/// The caller's track of `mix` behind the guard, with the share of echo in each [`STEP`].
pub fn guard(mix: &Mix) -> (Vec<i16>, Vec<f32>) {
    let mut guard = EchoGuard::new(RATE_HZ as u32);
    let (mut near, mut shares, mut told) = (mix.near.clone(), Vec::new(), mix.far.iter().peekable());
    for (i, step) in near.chunks_mut(STEP).enumerate() {
        for (j, frame) in step.chunks_mut(FRAME).enumerate() {
            let now = i * STEP + j * FRAME;
            while let Some(told) = told.next_if(|told| told.when <= now) {
                guard.played(Samples(told.at as u64), &told.samples);
            }
            guard.process(Samples(now as u64), frame);
        }
        shares.push(guard.echo_share());
    }
    (near, shares)
}

/// Samples to a decision: 32 ms.
pub const STEP: usize = 256;

/// Samples handed on at once.
const FRAME: usize = 128;

/// Speech is this much above the noise.
const OVER_NOISE_DB: f32 = 9.0;

/// Steps of speech to a start (96 ms), and of silence to its end.
const CONFIRM: usize = 3;
const RELEASE: usize = 6;

/// The ends of the steps that confirm a start.
fn starts(speech: impl Iterator<Item = bool>) -> Vec<usize> {
    let (mut starts, mut run, mut quiet, mut speaking) = (Vec::new(), 0, 0, false);
    for (i, speech) in speech.enumerate() {
        run = if speech { run + 1 } else { 0 };
        quiet = if speech { 0 } else { quiet + 1 };
        if !speaking && run >= CONFIRM {
            starts.push((i + 1) * STEP);
            speaking = true;
        }
        speaking &= quiet < RELEASE;
    }
    starts
}
