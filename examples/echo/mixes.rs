//! Calls in which the agent's voice comes back on the caller's track.

#![allow(dead_code, unreachable_pub, reason = "a module of two crates: the example, and the library's tests")]

use super::g711;

/// Samples per second of every mix.
pub const RATE_HZ: usize = 8_000;

/// Speech to mix from.
#[derive(Clone, Debug)]
pub struct Clip {
    /// At [`RATE_HZ`].
    pub samples: Vec<i16>,
}

/// How the agent's voice comes back and who else speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case {
    /// The echo against the agent; `None`: no echo.
    pub level_db: Option<i32>,
    /// How late the echo is against the line's reckoning.
    pub delay_ms: usize,
    /// The caller against the echo; `None`: nobody speaks.
    pub caller_db: Option<i32>,
    /// How long the echo rings on.
    pub tail_ms: usize,
    /// RMS of the line's noise.
    pub noise_dbfs: i32,
    /// How far the reckoning is corrected in mid-speech.
    pub jump_ms: i64,
    /// The caller cuts into the greeting's first words.
    pub early: bool,
}

/// One call of some ten seconds: the agent speaks twice; the caller, if any, cuts into both.
#[derive(Clone, Debug)]
pub struct Mix {
    /// What it is.
    pub case: Case,
    /// The caller's track.
    pub near: Vec<i16>,
    /// The same without the agent: what a detector would hear on a line without echo.
    pub clean: Vec<i16>,
    /// What is told of the agent, in order.
    pub far: Vec<Told>,
    /// Where the caller speaks.
    pub callers: Vec<std::ops::Range<usize>>,
}

/// Agent audio as the call path tells it.
#[derive(Clone, Debug)]
pub struct Told {
    /// It is told when the caller's track has come this far.
    pub when: usize,
    /// It is reckoned to be audible from here on.
    pub at: usize,
    /// The audio.
    pub samples: Vec<i16>,
}

/// Makes the call of `case` with `agent` and `caller`; the same seed gives the same call.
pub fn mix(case: Case, agent: &Clip, caller: &Clip, seed: u64) -> Mix {
    let first = if case.early { EARLY_MS } else { CALLER_MS[0] };
    mix_at(case, agent, caller, [first, CALLER_MS[1]], seed)
}

/// The same with a caller who begins at `callers_ms`.
pub fn mix_at(case: Case, agent: &Clip, caller: &Clip, callers_ms: [usize; 2], seed: u64) -> Mix {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let length = END_MS * RATE_HZ / 1_000;
    let mut heard = vec![0.0f32; length + RATE_HZ];
    let mut far = Vec::new();
    let spoken = levelled(&agent.samples, AGENT_DBFS);
    for (i, utterance) in UTTERANCES_MS.iter().enumerate() {
        let begin = utterance.start * RATE_HZ / 1_000;
        let wanted = utterance.len() * RATE_HZ / 1_000;
        let from = (i * wanted) % spoken.len();
        for piece in 0..wanted / PIECE {
            let samples: Vec<i16> =
                (0..PIECE).map(|k| to_ulaw(spoken[(from + piece * PIECE + k) % spoken.len()])).collect();
            let at = begin + piece * PIECE;
            samples.iter().enumerate().for_each(|(k, &s)| heard[at + k] = f32::from(s));
            let off = if i == 0 && piece * PIECE < wanted / 2 { 0 } else { case.jump_ms * RATE_HZ as i64 / 1_000 };
            let at = (at as i64 - off) as usize;
            far.push(Told { when: (begin + piece * PIECE).saturating_sub(LEAD_MS * RATE_HZ / 1_000), at, samples });
        }
    }
    let mut near = vec![0.0f32; length];
    let echo_dbfs = AGENT_DBFS + case.level_db.unwrap_or(-6) as f32;
    if let Some(level_db) = case.level_db {
        let response = response(case.tail_ms, &mut random);
        let delay = case.delay_ms * RATE_HZ / 1_000;
        let gain = 10f32.powf(level_db as f32 / 20.0);
        for (i, near) in near.iter_mut().enumerate().skip(delay) {
            let taps = response.iter().take(i - delay + 1);
            *near += gain * taps.enumerate().map(|(k, h)| h * heard[i - delay - k]).sum::<f32>();
        }
    }
    let mut clean = vec![0.0f32; length];
    let mut callers = Vec::new();
    if let Some(caller_db) = case.caller_db {
        let said = levelled(speech_of(&caller.samples), (echo_dbfs + caller_db as f32).max(WEAKEST_DBFS));
        for begin in callers_ms {
            let begin = begin * RATE_HZ / 1_000;
            let end = (begin + said.len().min(LONGEST_MS * RATE_HZ / 1_000)).min(length);
            clean[begin..end].copy_from_slice(&said[..end - begin]);
            callers.push(begin..end);
        }
    }
    let noise = 32_768.0 * 10f32.powf(case.noise_dbfs as f32 / 20.0);
    for (near, clean) in near.iter_mut().zip(&mut clean) {
        *clean += noise * random.normal();
        *near += *clean;
    }
    let line = |track: Vec<f32>| track.into_iter().map(to_ulaw).collect();
    Mix { case, near: line(near), clean: line(clean), far, callers }
}

/// When the agent speaks.
pub const UTTERANCES_MS: [std::ops::Range<usize>; 2] = [500..5_000, 6_300..10_300];

/// When the caller cuts in.
const CALLER_MS: [usize; 2] = [2_100, 7_100];

/// When a caller does who cannot wait.
const EARLY_MS: usize = 800;

const LONGEST_MS: usize = 1_800;
const END_MS: usize = 11_200;
const AGENT_DBFS: f32 = -20.0;

/// No caller is weaker than this.
const WEAKEST_DBFS: f32 = -45.0;

/// Samples in a message to the line, and how far ahead of its playing it is told.
const PIECE: usize = 160;
const LEAD_MS: usize = 200;

/// A handset or room: the direct sound and a tail that has decayed by 60 dB after `tail_ms`; unit energy.
fn response(tail_ms: usize, random: &mut Random) -> Vec<f32> {
    let taps = tail_ms * RATE_HZ / 1_000;
    let mut response: Vec<f32> =
        (0..=taps).map(|k| 0.35 * random.normal() * (-6.9 * k as f32 / taps.max(1) as f32).exp()).collect();
    response[0] = 1.0;
    let energy: f32 = response.iter().map(|h| h * h).sum();
    response.iter_mut().for_each(|h| *h /= energy.sqrt());
    response
}

/// The clip from where it becomes loud.
pub fn speech_of(samples: &[i16]) -> &[i16] {
    let loudest = samples.chunks(80).map(mean_square).fold(0.0, f32::max);
    let first = samples.chunks(80).position(|chunk| mean_square(chunk) > loudest / 1_000.0).unwrap_or(0);
    &samples[first * 80..]
}

/// At `dbfs` where there is speech: frames within 25 dB of the loudest.
fn levelled(samples: &[i16], dbfs: f32) -> Vec<f32> {
    let powers: Vec<f32> = samples.chunks(160).map(mean_square).collect();
    let loudest = powers.iter().copied().fold(0.0, f32::max);
    let speech: Vec<f32> = powers.into_iter().filter(|&power| power > loudest / 316.0).collect();
    let rms = (speech.iter().sum::<f32>() / speech.len().max(1) as f32).sqrt().max(1.0);
    let gain = 32_768.0 * 10f32.powf(dbfs / 20.0) / rms;
    samples.iter().map(|&s| gain * f32::from(s)).collect()
}

fn mean_square(samples: &[i16]) -> f32 {
    samples.iter().map(|&s| f32::from(s) * f32::from(s)).sum::<f32>() / samples.len().max(1) as f32
}

fn to_ulaw(sample: f32) -> i16 {
    g711::ulaw_to_linear(g711::linear_to_ulaw(sample.round() as i16))
}

/// xorshift64*: enough for noise, and the same everywhere.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1 << 24) as f32
    }

    /// Mean 0, variance 1.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }
}
