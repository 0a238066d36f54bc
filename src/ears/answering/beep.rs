//! The tone that an answering machine ends its greeting with.
//!
//! Every 20 ms the last 40 ms are taken apart into frequencies. A frame is a **tone** when nearly all of its energy lies
//! within a band of 125 Hz, between 350 and 2600 Hz, and its loudness is even: two tones that are close together beat,
//! those that are not share the energy, and voices do both and waver besides. Tones of the same pitch in a row are a
//! **run**; one of the right length after which the line falls silent is a beep.
//!
//! Not beeps: tones that follow each other, as in special information tones and melodies, and those that come again in
//! the band of single call progress tones (425 Hz in much of the world), for which the end is waited out; long ones there
//! are ringback tones.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

/// What the audio's rate must be.
pub(super) const RATE_HZ: u32 = 8_000;
/// A frame comes every 20 ms ...
const HOP: usize = 160;
/// ... and looks at 40 ms.
const WINDOW: usize = 2 * HOP;
/// Hz from one bin to the next.
const BIN_HZ: f32 = RATE_HZ as f32 / WINDOW as f32;
/// Bins of the tones that count, 350–2600 Hz.
const BINS: std::ops::RangeInclusive<usize> = 14..=104;
/// Hum below this bin is nobody's.
const FIRST_BIN: usize = 4;
/// Bins to either side that belong to a tone: the width of the window's main lobe.
const LOBE: usize = 2;
/// Share of the energy that a tone has: 0.97 in noise 15 dB below it; a hummed vowel has up to 0.94.
const SHARE_MIN: f32 = 0.95;
/// Loudest to quietest 5 ms of a frame, as energies.
const EVEN_MAX: f32 = 2.2;
/// Samples of 5 ms.
const BLOCK: usize = 40;
/// Mean square of the quietest tone: −45 dBFS.
const LEVEL_MIN: f32 = 32_768.0 * 32_768.0 * 3.2e-5;
/// A run's pitch stays within this, relative and in Hz, whichever is more.
const STEADY: (f32, f32) = (0.01, 10.0);
/// Frames of a run: 120 ms have 5 whole ones at least 4 of which are clean, 1.5 s have 74.
const RUN: std::ops::RangeInclusive<u32> = 4..=74;
/// Frames within which the level falls after the last one ...
const DROP_WITHIN: u32 = 4;
/// ... to this share, as energies: 10 dB.
const DROP_TO: f32 = 0.1;
/// A tone within so many frames of another is part of a sequence.
const APART: u64 = 15;
/// Single call progress tones, in Hz.
const PROGRESS_HZ: std::ops::RangeInclusive<f32> = 395.0..=465.0;
/// Frames of the longest that is no ringback tone: 600 ms.
const PROGRESS_MAX: u32 = 29;
/// Frames for which one of these must not come again: 700 ms, longer than the pauses of busy and congestion tones.
const PROGRESS_WAIT: u32 = 35;
/// A pitch that came again is deaf ears' for so many frames: 8 s, longer than the pauses of ringback tones.
const REPEATED: u64 = 400;

/// Listens for beeps.
pub(super) struct Beeps {
    fft: Arc<dyn RealToComplex<f32>>,
    taper: Box<[f32]>,
    /// The last 40 ms; the newest last.
    heard: Box<[f32]>,
    /// Samples of the next hop that are there.
    filled: usize,
    time: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
    frame: u64,
    state: State,
    /// Where the last run ended.
    last_end: Option<u64>,
    /// A pitch that came again, and until when it does not count.
    repeated: Option<(f32, u64)>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Nothing,
    Tone(Run),
    /// The tone is over; silence must follow.
    Falling {
        run: Run,
        frames: u32,
    },
    /// It must not come again.
    Waiting {
        run: Run,
        frames: u32,
    },
}

#[derive(Clone, Copy, Debug)]
struct Run {
    /// The mean so far.
    hz: f32,
    frames: u32,
    /// Mean square of its frames.
    level: f32,
    /// Another was just before it.
    follows: bool,
}

/// A frame that is a tone.
#[derive(Clone, Copy, Debug)]
struct Tone {
    hz: f32,
    level: f32,
}

impl Beeps {
    pub(super) fn new() -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(WINDOW);
        let hann = |n: usize| 0.5 - 0.5 * (std::f32::consts::TAU * n as f32 / WINDOW as f32).cos();
        Beeps {
            taper: (0..WINDOW).map(hann).collect(),
            heard: vec![0.0; WINDOW].into(),
            filled: 0,
            time: fft.make_input_vec(),
            spectrum: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            fft,
            frame: 0,
            state: State::Nothing,
            last_end: None,
            repeated: None,
        }
    }

    /// Takes audio at [`RATE_HZ`]; `on` is called for each beep.
    pub(super) fn take(&mut self, samples: &[i16], mut on: impl FnMut()) {
        for &sample in samples {
            self.heard[HOP + self.filled] = f32::from(sample);
            self.filled += 1;
            if self.filled == HOP {
                if self.on_frame() {
                    on();
                }
                self.heard.copy_within(HOP.., 0);
                self.filled = 0;
            }
        }
    }

    /// Whether a beep was found.
    fn on_frame(&mut self) -> bool {
        self.frame += 1;
        let level = power(&self.heard[HOP..]);
        let tone = self.tone(level);
        let (state, found) = match (self.state, tone) {
            (State::Nothing, Some(tone)) => (self.begin(tone), false),
            (State::Nothing, None) => (State::Nothing, false),
            (State::Tone(run), Some(tone)) if run.is_like(tone) => (State::Tone(run.with(tone)), false),
            (State::Tone(run), other) => {
                self.last_end = Some(self.frame);
                match other {
                    Some(tone) => (self.begin(tone), false),
                    None if run.is_beep() => self.fall(run, 0, level),
                    None => (State::Nothing, false),
                }
            }
            (State::Falling { .. }, Some(tone)) => (self.begin(tone), false),
            (State::Falling { run, frames }, None) => self.fall(run, frames, level),
            (State::Waiting { run, .. }, Some(tone)) => {
                if run.is_like(tone) {
                    self.repeated = Some((run.hz, self.frame + REPEATED));
                }
                (self.begin(tone), false)
            }
            (State::Waiting { run, frames }, None) if frames < PROGRESS_WAIT => {
                (State::Waiting { run, frames: frames + 1 }, false)
            }
            (State::Waiting { .. }, None) => (State::Nothing, true),
        };
        self.state = state;
        found
    }

    fn begin(&mut self, Tone { hz, level }: Tone) -> State {
        let follows = self.last_end.is_some_and(|end| self.frame - end <= APART);
        State::Tone(Run { hz, frames: 1, level, follows })
    }

    fn fall(&mut self, run: Run, frames: u32, level: f32) -> (State, bool) {
        if level > run.level * DROP_TO {
            let goes_on = frames + 1 < DROP_WITHIN;
            return (if goes_on { State::Falling { run, frames: frames + 1 } } else { State::Nothing }, false);
        }
        if let Some((hz, until)) = self.repeated
            && self.frame < until
            && run.is_like(Tone { hz, level })
        {
            self.repeated = Some((hz, self.frame + REPEATED));
            return (State::Nothing, false);
        }
        match PROGRESS_HZ.contains(&run.hz) {
            true => (State::Waiting { run, frames: 0 }, false),
            false => (State::Nothing, true),
        }
    }

    /// Whether the last 40 ms are one tone.
    fn tone(&mut self, level: f32) -> Option<Tone> {
        if level < LEVEL_MIN {
            return None;
        }
        let (mut least, mut most) = (f32::MAX, 0f32);
        for block in self.heard.chunks_exact(BLOCK) {
            let power = power(block);
            (least, most) = (least.min(power), most.max(power));
        }
        if most > least * EVEN_MAX {
            return None;
        }
        for ((to, from), taper) in self.time.iter_mut().zip(&self.heard).zip(&self.taper) {
            *to = from * taper;
        }
        // Fails only on lengths other than its own.
        self.fft.process_with_scratch(&mut self.time, &mut self.spectrum, &mut self.scratch).ok()?;
        let energy = |bin: usize| self.spectrum[bin].norm_sqr();
        let peak = BINS.max_by(|a, b| energy(*a).total_cmp(&energy(*b)))?;
        let total: f32 = (FIRST_BIN..self.spectrum.len()).map(energy).sum();
        let of_tone: f32 = (peak - LOBE..=peak + LOBE).map(energy).sum();
        if of_tone < SHARE_MIN * total {
            return None;
        }
        // Between the bins: with this window the two strongest tell exactly where.
        let (below, above) = (energy(peak - 1).sqrt(), energy(peak + 1).sqrt());
        let side = if above >= below { 1.0 } else { -1.0 };
        let ratio = above.max(below) / energy(peak).sqrt().max(f32::MIN_POSITIVE);
        let offset = side * (2.0 * ratio - 1.0) / (ratio + 1.0);
        Some(Tone { hz: (peak as f32 + offset) * BIN_HZ, level })
    }
}

impl Run {
    fn is_like(&self, tone: Tone) -> bool {
        (tone.hz - self.hz).abs() <= (self.hz * STEADY.0).max(STEADY.1)
    }

    fn with(self, tone: Tone) -> Run {
        let n = self.frames as f32;
        let mean = |a: f32, b: f32| (a * n + b) / (n + 1.0);
        Run { hz: mean(self.hz, tone.hz), level: mean(self.level, tone.level), frames: self.frames + 1, ..self }
    }

    fn is_beep(&self) -> bool {
        let rings = PROGRESS_HZ.contains(&self.hz) && self.frames > PROGRESS_MAX;
        !self.follows && !rings && RUN.contains(&self.frames)
    }
}

/// Mean square.
fn power(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32
}
