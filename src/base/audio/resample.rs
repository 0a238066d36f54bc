//! Changing the sample rate: a polyphase windowed-sinc FIR, streaming, with a delay that is stated.
//!
//! Used only at an edge that needs another rate than the line's; a phone call to a model that takes μ-law has none.

/// Half the filter's length, in samples of the lower of the two rates. 24 give a pass band flat to 90 % of the lower
/// Nyquist frequency and images below −75 dB, for 3 ms of delay at 8 kHz.
const HALF_TAPS: u64 = 24;

/// Where the filter's −6 dB point lies, as a part of the lower Nyquist frequency.
const CUTOFF: f64 = 0.95;

/// Kaiser window: stop band of about −80 dB.
const BETA: f64 = 7.9;

/// The rates for which filters are built; what lies outside is taken as the nearest inside, so that no number from a
/// file can ask for a filter of unbounded size.
const RATES_HZ: std::ops::RangeInclusive<u32> = 1_000..=384_000;

/// Turns a stream of one rate into a stream of another.
///
/// What comes out does not depend on how the input was cut into pieces. After the first few frames nothing is
/// allocated as long as `out` has room.
#[derive(Clone, Debug)]
pub struct Resampler {
    /// Output samples per `down` input samples.
    up: usize,
    down: usize,
    /// `up` filters of `taps` coefficients, oldest sample first.
    phases: Vec<f32>,
    taps: usize,
    /// Input samples by which the filter delays.
    half: usize,
    /// The last `taps - 1` samples of earlier pieces, then the piece at hand.
    window: Vec<f32>,
    /// Position of the next output, in 1/`up` input samples from the end of the history.
    next: usize,
}

impl Resampler {
    /// From `from_hz` to `to_hz` (1 000–384 000 each). The filter takes (up × taps) floats: 0.6 KiB for 8 to 24 kHz;
    /// rates without a large common divisor take more.
    pub fn new(from_hz: u32, to_hz: u32) -> Self {
        let from_hz = from_hz.clamp(*RATES_HZ.start(), *RATES_HZ.end());
        let to_hz = to_hz.clamp(*RATES_HZ.start(), *RATES_HZ.end());
        let divisor = gcd(from_hz, to_hz);
        let (up, down) = ((to_hz / divisor) as usize, (from_hz / divisor) as usize);
        let mut half = (HALF_TAPS * from_hz.max(to_hz) as u64 / to_hz as u64) as usize;
        if down <= 8 {
            // The delay is a whole number of output samples too.
            half = half.next_multiple_of(down);
        }
        if up == down {
            half = 0;
        }
        let taps = 2 * half + 1;
        Resampler {
            up,
            down,
            phases: design(up, half, from_hz, to_hz),
            taps,
            half,
            window: vec![0.0; taps - 1],
            next: 0,
        }
    }

    /// Takes a piece of input of any size and appends the output that is ready by now to `out`.
    pub fn process(&mut self, input: &[i16], out: &mut Vec<i16>) {
        if self.up == self.down {
            out.extend_from_slice(input);
            return;
        }
        self.window.extend(input.iter().map(|&s| f32::from(s)));
        let end = input.len() * self.up;
        while self.next < end {
            let (first, phase) = (self.next / self.up, self.next % self.up);
            let filter = &self.phases[phase * self.taps..(phase + 1) * self.taps];
            let sum = dot(filter, &self.window[first..first + self.taps]);
            out.push(sum.round().clamp(-32_768.0, 32_767.0) as i16);
            self.next += self.down;
        }
        self.next -= end;
        let keep = self.window.len() - (self.taps - 1);
        self.window.copy_within(keep.., 0);
        self.window.truncate(self.taps - 1);
    }

    /// Ends the stream: appends what the filter still holds. The next piece begins a new stream.
    pub fn finish(&mut self, out: &mut Vec<i16>) {
        const ZEROES: [i16; 64] = [0; 64];
        let mut left = self.half;
        while left > 0 {
            let n = left.min(ZEROES.len());
            self.process(&ZEROES[..n], out);
            left -= n;
        }
        self.reset();
    }

    /// Forgets what was heard, as if newly made.
    pub fn reset(&mut self) {
        self.window.fill(0.0);
        self.next = 0;
    }

    /// Output samples by which sound comes out later than it went in (rounded when the rates have no small ratio).
    pub fn delay_samples(&self) -> usize {
        (self.half * self.up + self.down / 2) / self.down
    }
}

/// A whole clip at another rate, without delay: `⌈samples × to ÷ from⌉` samples.
pub fn convert(samples: &[i16], from_hz: u32, to_hz: u32) -> Vec<i16> {
    let mut resampler = Resampler::new(from_hz, to_hz);
    if resampler.up == resampler.down {
        return samples.to_vec();
    }
    let wanted = (samples.len() * resampler.up).div_ceil(resampler.down);
    let delay = resampler.delay_samples();
    let mut out = Vec::with_capacity(wanted + 2 * delay + 2);
    resampler.process(samples, &mut out);
    // Enough to push the last sample through the filter.
    resampler.process(&vec![0; resampler.half + resampler.down.div_ceil(resampler.up)], &mut out);
    out.drain(..delay.min(out.len()));
    out.resize(wanted, 0);
    out
}

/// The filters of all phases, each summing to 1 so that a constant passes unchanged.
fn design(up: usize, half: usize, from_hz: u32, to_hz: u32) -> Vec<f32> {
    let taps = 2 * half + 1;
    // Cycles per input sample at which the pass band ends.
    let cutoff = CUTOFF * 0.5 * f64::from(from_hz.min(to_hz)) / f64::from(from_hz);
    let mut phases = Vec::with_capacity(up * taps);
    for phase in 0..up {
        let mut filter: Vec<f64> = (0..taps)
            .map(|tap| {
                // Distance from the output's moment, in input samples.
                let t = (half as f64 - tap as f64) + phase as f64 / up as f64;
                let window = if half == 0 { 1.0 } else { kaiser(t / (half as f64 + 1.0)) };
                2.0 * cutoff * sinc(2.0 * cutoff * t) * window
            })
            .collect();
        let sum: f64 = filter.iter().sum();
        filter.iter_mut().for_each(|c| *c /= sum);
        phases.extend(filter.iter().map(|&c| c as f32));
    }
    phases
}

fn sinc(x: f64) -> f64 {
    let x = x * std::f64::consts::PI;
    if x.abs() < 1e-9 { 1.0 } else { x.sin() / x }
}

/// The Kaiser window at `x` in −1..=1; 0 outside.
fn kaiser(x: f64) -> f64 {
    if x.abs() > 1.0 { 0.0 } else { bessel_i0(BETA * (1.0 - x * x).sqrt()) / bessel_i0(BETA) }
}

/// The modified Bessel function of the first kind, of order 0: what Kaiser windows are made of.
pub(crate) fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
    }
    sum
}

/// Eight running sums, so that the compiler may use vector registers; the order of additions is fixed by this code and
/// not by the piece's size.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f32>() + rest
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::audio::level::rms;

    const RATES: [u32; 4] = [8_000, 16_000, 24_000, 48_000];

    fn tone(hz: f64, rate_hz: u32, samples: usize) -> Vec<i16> {
        (0..samples)
            .map(|n| (10_000.0 * (std::f64::consts::TAU * hz * n as f64 / f64::from(rate_hz)).sin()) as i16)
            .collect()
    }

    #[test]
    fn a_tone_keeps_its_shape_and_place_between_all_rates() {
        for from in RATES {
            for to in RATES {
                let out = convert(&tone(1_000.0, from, from as usize / 2), from, to);
                let expected = tone(1_000.0, to, to as usize / 2);
                assert_eq!(out.len(), expected.len());
                let middle = to as usize / 8..to as usize * 3 / 8;
                let error: Vec<i16> = middle.map(|i| out[i] - expected[i]).collect();
                assert!(rms(&error) < 10.0, "{from} -> {to}: error {}", rms(&error));
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_carry_is_gone() {
        for (from, to, hz) in [(24_000, 8_000, 5_000.0), (48_000, 16_000, 9_500.0), (24_000, 16_000, 9_500.0)] {
            let out = convert(&tone(hz, from, from as usize / 2), from, to);
            let middle = &out[out.len() / 4..out.len() * 3 / 4];
            assert!(rms(middle) < 7.0, "{from} -> {to}: {} left of 7 071", rms(middle));
        }
    }

    #[test]
    fn upsampling_leaves_no_image() {
        // The image of 3 kHz at 8 kHz is 5 kHz: nothing may be left once 3 kHz is taken away.
        let out = convert(&tone(3_000.0, 8_000, 4_000), 8_000, 24_000);
        let wanted = tone(3_000.0, 24_000, 12_000);
        let error: Vec<i16> = (3_000..9_000).map(|i| out[i] - wanted[i]).collect();
        assert!(rms(&error) < 10.0, "{}", rms(&error));
    }

    #[test]
    fn the_delay_is_as_stated() {
        for from in RATES {
            for to in RATES {
                let mut resampler = Resampler::new(from, to);
                let mut input = vec![0i16; from as usize / 10];
                input[from as usize / 50] = 30_000;
                let mut out = Vec::new();
                resampler.process(&input, &mut out);
                let loudest = (0..out.len()).max_by_key(|&i| out[i].unsigned_abs()).unwrap();
                assert_eq!(loudest, to as usize / 50 + resampler.delay_samples(), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn odd_rates_of_clips_are_converted_too() {
        for from in [11_025, 22_050, 44_100, 32_000] {
            let out = convert(&tone(700.0, from, from as usize), from, 8_000);
            assert_eq!(out.len(), 8_000);
            let expected = tone(700.0, 8_000, 8_000);
            // Positions are rounded to a sample of the output, so only the strength is compared.
            assert!((rms(&out[1_000..7_000]) - rms(&expected[1_000..7_000])).abs() < 20.0, "{from}");
        }
        assert!(convert(&[], 44_100, 8_000).is_empty());
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(
            input in prop::collection::vec(any::<i16>(), 0..2_000),
            cuts in prop::collection::vec(1usize..400, 1..20),
            from in prop::sample::select(&RATES[..]),
            to in prop::sample::select(&RATES[..]),
        ) {
            let mut whole = Vec::new();
            let mut resampler = Resampler::new(from, to);
            resampler.process(&input, &mut whole);
            resampler.finish(&mut whole);

            let mut pieces = Vec::new();
            let mut rest = &input[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                resampler.process(piece, &mut pieces);
                rest = after;
            }
            resampler.finish(&mut pieces);
            prop_assert_eq!(whole, pieces);
        }
    }
}
