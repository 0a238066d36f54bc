//! RNNoise around a line's frames.

use std::sync::LazyLock;

use nnnoiseless::{DenoiseState, RnnModel};

use super::gain::Gain;
use super::rate::{self, Down, Up};

/// RNNoise's rate and frame.
const RATE_HZ: u32 = 48_000;
const FRAME: usize = DenoiseState::FRAME_SIZE;

/// Lines that are a small factor slower.
const LINES_HZ: [u32; 4] = [8_000, 16_000, 24_000, 48_000];

/// A frame without a sample beyond this is idle: the smallest step of G.711, −72 dB of full scale.
const IDLE_PEAK: u16 = 8;

/// Idle frames after which every history here holds nothing else: RNNoise looks back 36 ms, the delayed original 14 ms.
const IDLE_FRAMES: u32 = 5;

/// How much of the original is left in the result, in amplitude: −14 dB for a near talker. Without it RNNoise swallows
/// soft speech in noise: at 5 dB a voice in noise is 0.73 intelligible (STOI), 0.69 after RNNoise alone and 0.73 with
/// this, and its quality (PESQ, narrow band) goes from 1.8 to 2.0 either way.
const NEAR_FLOOR: f32 = 0.2;

/// −18 dB: the gain may raise it again.
const FAR_FLOOR: f32 = 0.126;

/// On a line of 8 kHz, how much of its band is mirrored above it (see [`Up::new`]). RNNoise learnt from noise that fills
/// its whole band and takes voices in band-limited noise for noise: at 5 dB it costs them 3.7 dB without this and 1.7 dB
/// with it. The mirrored part does not come back.
const IMAGES: f32 = 0.2;

/// One set of weights (87 KB) for all calls.
static MODEL: LazyLock<RnnModel> = LazyLock::new(RnnModel::default);

/// See [`super::Denoiser`].
#[derive(Clone)]
pub struct Suppressor {
    network: Box<DenoiseState<'static>>,
    up: Up,
    down: Down,
    /// `None` for a near talker.
    gain: Option<Gain>,
    floor: f32,
    /// What came in since the last whole frame, and what goes out meanwhile.
    input: Vec<i16>,
    output: Vec<i16>,
    /// Samples of the frame so far.
    at: usize,
    /// The original, oldest first: a delay line of whole frames.
    original: Vec<f32>,
    /// Samples by which RNNoise and the filters delay.
    inner_delay: usize,
    /// One frame at the line's rate; two at RNNoise's.
    reduced: Vec<f32>,
    fast_in: Vec<f32>,
    fast_out: Vec<f32>,
    /// Idle frames in a row, up to now.
    idle: u32,
    /// All that is left inside is silence.
    asleep: bool,
    /// Of the latest frame and the one before.
    speech: [f32; 2],
    begun: bool,
    /// Frames that went through the network, for tests.
    #[cfg(test)]
    pub(super) computed: u64,
    /// Never sleeps, for tests.
    #[cfg(test)]
    pub(super) awake: bool,
}

impl Suppressor {
    /// `None` when `rate_hz` is none of `LINES_HZ`.
    pub(super) fn new(rate_hz: u32, far: bool) -> Option<Self> {
        Self::with_floor(rate_hz, far, if far { FAR_FLOOR } else { NEAR_FLOOR })
    }

    pub(super) fn with_floor(rate_hz: u32, far: bool, floor: f32) -> Option<Self> {
        if !LINES_HZ.contains(&rate_hz) {
            return None;
        }
        let factor = (RATE_HZ / rate_hz) as usize;
        let frame = FRAME / factor;
        let inner_delay = frame + if factor == 1 { 0 } else { 2 * rate::HALF };
        Some(Suppressor {
            network: DenoiseState::with_model(&MODEL),
            up: Up::new(factor, frame, if rate_hz == 8_000 { IMAGES } else { 0.0 }),
            down: Down::new(factor, frame),
            gain: far.then(Gain::new),
            floor,
            input: vec![0; frame],
            output: vec![0; frame],
            at: 0,
            original: vec![0.0; inner_delay.next_multiple_of(frame) + frame],
            inner_delay,
            reduced: vec![0.0; frame],
            fast_in: vec![0.0; FRAME],
            fast_out: vec![0.0; FRAME],
            idle: 0,
            asleep: true,
            speech: [0.0; 2],
            begun: false,
            #[cfg(test)]
            computed: 0,
            #[cfg(test)]
            awake: false,
        })
    }

    pub(super) fn process(&mut self, mut samples: &mut [i16]) {
        while !samples.is_empty() {
            let n = samples.len().min(self.input.len() - self.at);
            let (piece, rest) = samples.split_at_mut(n);
            self.input[self.at..self.at + n].copy_from_slice(piece);
            piece.copy_from_slice(&self.output[self.at..self.at + n]);
            self.at += n;
            if self.at == self.input.len() {
                self.at = 0;
                self.frame();
            }
            samples = rest;
        }
    }

    pub(super) fn delay(&self) -> usize {
        self.input.len() + self.inner_delay
    }

    pub(super) fn speech_probability(&self) -> Option<f32> {
        self.begun.then_some(self.speech[0])
    }

    fn frame(&mut self) {
        self.begun = true;
        let idle = self.input.iter().all(|s| s.unsigned_abs() <= IDLE_PEAK);
        self.idle = if idle { self.idle.saturating_add(1) } else { 0 };
        if idle && self.asleep {
            return;
        }
        self.asleep = false;
        self.remember(idle);
        self.reduce();
        self.give();
        self.asleep = self.idle >= IDLE_FRAMES && self.output.iter().all(|&s| s == 0) && self.faded();
        #[cfg(test)]
        {
            self.asleep &= !self.awake;
        }
        if self.asleep {
            self.down.reset();
            self.speech = [0.0; 2];
        }
    }

    /// Puts the frame behind the original's past; an idle one as zeros.
    fn remember(&mut self, idle: bool) {
        let frame = self.input.len();
        self.original.copy_within(frame.., 0);
        let newest = self.original.len() - frame;
        for (x, &s) in self.original[newest..].iter_mut().zip(&self.input) {
            *x = if idle { 0.0 } else { f32::from(s) };
        }
    }

    /// Leaves what RNNoise makes of the newest frame, 10 ms late and at the line's rate, in `reduced`.
    fn reduce(&mut self) {
        let newest = &self.original[self.original.len() - self.input.len()..];
        self.up.process(newest, &mut self.fast_in);
        self.speech[1] = self.speech[0];
        self.speech[0] = self.network.process_frame(&mut self.fast_out, &self.fast_in);
        self.down.process(&self.fast_out, &mut self.reduced);
        #[cfg(test)]
        {
            self.computed += 1;
        }
    }

    /// Mixes, sets the gain and rounds.
    fn give(&mut self) {
        let frame = self.input.len();
        let newest = self.original.len() - frame;
        let first = newest - self.inner_delay;
        for (x, original) in self.reduced.iter_mut().zip(&self.original[first..]) {
            *x += self.floor * (original - *x);
        }
        if let Some(gain) = &mut self.gain {
            // The original of the frame after this one is here already.
            let next = &self.original[first + frame..(first + 2 * frame)];
            let next_peak = next.iter().fold(0.0f32, |peak, x| peak.max(x.abs()));
            gain.process(&mut self.reduced, self.speech[0].max(self.speech[1]), next_peak);
        }
        for (to, x) in self.output.iter_mut().zip(&self.reduced) {
            // A cast from float saturates.
            *to = x.round() as i16;
        }
    }

    /// RNNoise's high-pass filter has rung out.
    fn faded(&self) -> bool {
        self.fast_out.iter().all(|x| x.abs() < 0.5)
    }
}
