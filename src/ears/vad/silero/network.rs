//! One branch of the network: its weights, packed, and one step through it.

use std::fmt;

use super::{
    Branch, LoadError, State,
    layer::{Lanes, Layer, Pair, accumulate, finish, quantise, round},
    onnx::Tensor,
    spectrum::{FRAMES, Spectrum},
};

/// Units of the recurrent cell.
pub(super) const UNITS: usize = 128;

/// Bins of the longer window, rounded up to whole pairs.
const MAX_BINS: usize = 130;

/// Of four frames at the longer window.
const MAX_SAMPLES: usize = 640;

/// Channels of the four convolutions' outputs; each looks at three frames, and the second and third halve their number.
const CHANNELS: [usize; 4] = [128, 64, 64, 128];

/// Columns of a convolution's weights that belong to one of its three frames lie together, frames in order of time.
/// Padding is zeros: frames outside are left out, and where only one output frame is left, so are weights that only ever
/// meet padding.
pub(super) struct Network {
    branch: Branch,
    spectrum: Spectrum,
    first: Layer<2>,
    second: Layer<4>,
    third: Layer<4>,
    fourth: Layer<4>,
    biases: [Vec<f32>; 4],
    /// The cell's gates from its input and from its own last output: rows are input, forget, cell and output gates.
    input: Layer<4>,
    recurrent: Layer<4>,
    gate_biases: Vec<f32>,
    last: Vec<f32>,
    last_bias: f32,
}

impl Network {
    /// Packs the weights that belong to `branch`.
    pub(super) fn new(branch: Branch, tensors: &[Tensor<'_>]) -> Result<Self, LoadError> {
        let bins = branch.bins();
        let find = |name: &'static str, dims: &[usize]| {
            let whole = |tensor: &&Tensor<'_>| {
                tensor.name.strip_prefix(branch.graph()).is_some_and(|of_branch| of_branch == name)
                    && tensor.dims.iter().copied().eq(dims.iter().map(|&dim| dim as u64))
            };
            tensors.iter().find(whole).map(Tensor::values).ok_or(LoadError::Missing(name))
        };
        let [a, b, c, d] = CHANNELS;
        let first = find("encoder.0.reparam_conv.weight", &[a, bins, 3])?;
        let second = find("encoder.1.reparam_conv.weight", &[b, a, 3])?;
        let third = find("encoder.2.reparam_conv.weight", &[c, b, 3])?;
        let fourth = find("encoder.3.reparam_conv.weight", &[d, c, 3])?;
        let input = find("decoder.rnn.weight_ih", &[4 * UNITS, UNITS])?;
        let recurrent = find("decoder.rnn.weight_hh", &[4 * UNITS, UNITS])?;
        let input_bias = find("decoder.rnn.bias_ih", &[4 * UNITS])?;
        let recurrent_bias = find("decoder.rnn.bias_hh", &[4 * UNITS])?;
        let padded = bins.next_multiple_of(2);
        // Columns are (frame, channel).
        let at = |weights: &[f32], inputs: usize, row: usize, frame: usize, channel: usize| {
            weights[(row * inputs + channel) * 3 + frame]
        };
        Ok(Self {
            branch,
            spectrum: Spectrum::new(branch.window()),
            first: Layer::new(a, 3 * padded, |row, column| {
                let (frame, bin) = (column / padded, column % padded);
                if bin < bins { at(&first, bins, row, frame, bin) } else { 0.0 }
            }),
            second: Layer::new(b, 3 * a, |row, column| at(&second, a, row, column / a, column % a)),
            // Of two frames one is left: the first of its three is always padding.
            third: Layer::new(c, 2 * b, |row, column| at(&third, b, row, 1 + column / b, column % b)),
            // Of a single frame: the first and the last are always padding.
            fourth: Layer::new(d, c, |row, column| at(&fourth, c, row, 1, column)),
            biases: [
                find("encoder.0.reparam_conv.bias", &[a])?,
                find("encoder.1.reparam_conv.bias", &[b])?,
                find("encoder.2.reparam_conv.bias", &[c])?,
                find("encoder.3.reparam_conv.bias", &[d])?,
            ],
            input: Layer::new(4 * UNITS, UNITS, |row, column| input[row * UNITS + column]),
            recurrent: Layer::new(4 * UNITS, UNITS, |row, column| recurrent[row * UNITS + column]),
            gate_biases: input_bias.iter().zip(recurrent_bias).map(|(a, b)| a + b).collect(),
            last: find("decoder.decoder.2.weight", &[1, UNITS, 1])?,
            last_bias: find("decoder.decoder.2.bias", &[1])?[0],
        })
    }

    /// One step: `samples` follow those of the last step.
    #[inline(always)]
    pub(super) fn step<L: Lanes>(&self, lanes: L, state: &mut State, samples: &[i16]) -> f32 {
        let magnitudes = self.listen(state, samples);
        let encoded = self.encode(lanes, &magnitudes);
        self.remember(lanes, state, &encoded)
    }

    /// Magnitudes of the step's four frames, each `bins` rounded up to even long.
    #[inline(always)]
    fn listen(&self, state: &mut State, samples: &[i16]) -> [f32; FRAMES * MAX_BINS] {
        let (step, context) = (self.branch.step(), self.branch.context());
        let mut input = [0.0; MAX_SAMPLES];
        for (to, &sample) in input.iter_mut().zip(&state.context[..context]) {
            *to = f32::from(sample);
        }
        for (to, &sample) in input[context..].iter_mut().zip(&samples[..step]) {
            *to = f32::from(sample);
        }
        // Reflection about the last sample, which is not repeated.
        let end = context + step;
        for n in 0..context {
            input[end + n] = input[end - 2 - n];
        }
        state.context[..context].copy_from_slice(&samples[step - context..step]);

        let bins = self.branch.bins();
        let padded = bins.next_multiple_of(2);
        let mut magnitudes = [[0.0; FRAMES]; MAX_BINS];
        self.spectrum.magnitudes(&input[..end + context], &mut magnitudes[..bins]);
        let mut by_frame = [0.0; FRAMES * MAX_BINS];
        for (bin, magnitudes) in magnitudes[..bins].iter().enumerate() {
            for frame in 0..FRAMES {
                by_frame[frame * padded + bin] = magnitudes[frame];
            }
        }
        by_frame
    }

    /// The four convolutions: 4 frames of magnitudes to 4, 2, 1 and 1 frames of channels.
    #[inline(always)]
    fn encode<L: Lanes>(&self, lanes: L, magnitudes: &[f32; FRAMES * MAX_BINS]) -> [f32; UNITS] {
        const A: usize = CHANNELS[0];
        const B: usize = CHANNELS[1];
        let padded = self.branch.bins().next_multiple_of(2);
        let mut quantised = [0; FRAMES * MAX_BINS];
        let scale = quantise(&magnitudes[..FRAMES * padded], &mut quantised[..FRAMES * padded]);
        let mut frames = pairs(&quantised[..FRAMES * padded]).chunks_exact(padded / 2);
        let [a, b, c, d] = std::array::from_fn(|_| frames.next().unwrap_or(&[]));
        let mut hidden = [0.0; FRAMES * A];
        for (group, (blocks, scales)) in self.first.groups().enumerate() {
            let mut sums = [[lanes.zero(); 2]; FRAMES];
            let (before, blocks) = blocks.split_at(padded / 2);
            let (now, after) = blocks.split_at(padded / 2);
            let [_, sums_before @ ..] = &mut sums;
            accumulate(lanes, sums_before, before, [a, b, c]);
            accumulate(lanes, &mut sums, now, [a, b, c, d]);
            let [sums_after @ .., _] = &mut sums;
            accumulate(lanes, sums_after, after, [b, c, d]);
            let rows = 16 * group..16 * (group + 1);
            for (frame, sums) in sums.iter().enumerate() {
                let out = &mut hidden[frame * A..][rows.clone()];
                finish(lanes, sums, scales, scale, &self.biases[0][rows.clone()], out);
            }
        }

        let mut quantised = [0; FRAMES * A];
        let scale = rectify(&mut hidden, &mut quantised);
        let mut frames = pairs(&quantised).chunks_exact(A / 2);
        let [a, b, c, d] = std::array::from_fn(|_| frames.next().unwrap_or(&[]));
        let mut hidden = [0.0; 2 * B];
        for (group, (blocks, scales)) in self.second.groups().enumerate() {
            let mut sums = [[lanes.zero(); 4]; 2];
            let (before, blocks) = blocks.split_at(A / 2);
            let (now, after) = blocks.split_at(A / 2);
            let [_, sums_before @ ..] = &mut sums;
            accumulate(lanes, sums_before, before, [b]);
            accumulate(lanes, &mut sums, now, [a, c]);
            accumulate(lanes, &mut sums, after, [b, d]);
            let rows = 32 * group..32 * (group + 1);
            for (frame, sums) in sums.iter().enumerate() {
                let out = &mut hidden[frame * B..][rows.clone()];
                finish(lanes, sums, scales, scale, &self.biases[1][rows.clone()], out);
            }
        }

        let mut quantised = [0; 2 * B];
        let scale = rectify(&mut hidden, &mut quantised);
        let mut hidden = [0.0; CHANNELS[2]];
        self.third.apply(lanes, pairs(&quantised), scale, &self.biases[2], &mut hidden);

        let mut quantised = [0; CHANNELS[2]];
        let scale = rectify(&mut hidden, &mut quantised);
        let mut encoded = [0.0; UNITS];
        self.fourth.apply(lanes, pairs(&quantised), scale, &self.biases[3], &mut encoded);
        encoded
    }

    /// The recurrent cell and the verdict.
    #[inline(always)]
    fn remember<L: Lanes>(&self, lanes: L, state: &mut State, encoded: &[f32; UNITS]) -> f32 {
        let (mut input, mut hidden) = (*encoded, [0; UNITS]);
        let scale = rectify(&mut input, &mut hidden);
        let (mut from_input, mut gates) = ([0.0; 4 * UNITS], [0.0; 4 * UNITS]);
        self.input.apply(lanes, pairs(&hidden), scale, &self.gate_biases, &mut from_input);
        let scale = quantise(&state.hidden, &mut hidden);
        self.recurrent.apply(lanes, pairs(&hidden), scale, &from_input, &mut gates);

        let (let_in, gates) = gates.split_at(UNITS);
        let (keep, gates) = gates.split_at(UNITS);
        let (new, let_out) = gates.split_at(UNITS);
        let mut verdict = [0.0; 8];
        for n in 0..UNITS {
            let cell = sigmoid(keep[n]) * state.cell[n] + sigmoid(let_in[n]) * tanh(new[n]);
            state.cell[n] = cell;
            state.hidden[n] = sigmoid(let_out[n]) * tanh(cell);
        }
        let (hidden, _) = state.hidden.as_chunks::<8>();
        let (last, _) = self.last.as_chunks::<8>();
        for (hidden, last) in hidden.iter().zip(last) {
            for n in 0..8 {
                verdict[n] += positive(hidden[n]) * last[n];
            }
        }
        sigmoid(verdict.iter().sum::<f32>() + self.last_bias)
    }
}

impl fmt::Debug for Network {
    /// Without two hundred thousand weights.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("branch", &self.branch).finish_non_exhaustive()
    }
}

/// Takes negative values for zero, then rounds as [`quantise`] does.
#[inline(always)]
fn rectify(values: &mut [f32], out: &mut [i16]) -> f32 {
    for value in values.iter_mut() {
        *value = positive(*value);
    }
    quantise(values, out)
}

#[inline(always)]
fn positive(value: f32) -> f32 {
    if value > 0.0 { value } else { 0.0 }
}

#[inline(always)]
fn pairs(values: &[i16]) -> &[Pair] {
    values.as_chunks().0
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

/// Within 1.2e-6 of its value (relative) for magnitudes up to 20; held constant beyond 80.
///
/// Made of additions and multiplications only, so that it is the same on every processor.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let x = x.clamp(-80.0, 80.0) * std::f32::consts::LOG2_E;
    let whole = round(x);
    let part = x - (f32::from_bits(whole) - 12_582_912.0);
    // 2^part, |part| <= 1/2: Taylor's series in part * ln 2.
    let part = part * std::f32::consts::LN_2;
    let power = 1.0
        + part
            * (1.0
                + part * (1.0 / 2.0 + part * (1.0 / 6.0 + part * (1.0 / 24.0 + part * (1.0 / 120.0 + part / 720.0)))));
    power * f32::from_bits(whole.wrapping_add(127) << 23)
}
