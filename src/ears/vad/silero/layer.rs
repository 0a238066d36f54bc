//! Matrix times vectors in whole numbers.
//!
//! Weights are kept as 16-bit numbers with one scale per row, and inputs are rounded to 16 bits with one scale per vector.
//! Products of two columns are added, shifted down and summed in 32 bits, which a row's scale keeps from overflowing
//! whatever the input. So sums are exact in any order, the same on every processor, and compared to floats there are
//! two products per lane and half the memory: the weights of a branch do not fit into the first cache, and streaming
//! them is a good part of a step. Eight bits would halve it again, but are not enough: probabilities are then off by up
//! to 0.3.

/// Inputs are rounded to whole numbers up to this.
const INPUT_MAX: f32 = 32_767.0;

/// Bits that each pair of products is shifted down: room for sixteen times as much before a sum overflows.
const SHIFT: i32 = 4;

/// Two inputs that lie beside each other: what one instruction multiplies and adds.
pub(super) type Pair = [i16; 2];

/// Weights of eight rows for one [`Pair`].
type Block = [i16; 16];

/// A matrix, its rows in groups of `8 * V`, and within a group its columns in pairs: read once, from front to back.
pub(super) struct Layer<const V: usize> {
    blocks: Vec<[Block; V]>,
    pairs: usize,
    /// Per row, by which a sum is multiplied, with the input's own scale, to get the product.
    scales: Vec<f32>,
}

impl<const V: usize> Layer<V> {
    /// `weight(row, column)` in two dimensions; rows a multiple of `8 * V`, columns even.
    pub(super) fn new(rows: usize, columns: usize, weight: impl Fn(usize, usize) -> f32) -> Self {
        let mut quantised = vec![0_i16; rows * columns];
        let scales = quantised
            .chunks_exact_mut(columns)
            .enumerate()
            .map(|(row, quantised)| {
                let of_row = || (0..columns).map(|column| weight(row, column).abs());
                let largest = of_row().fold(0.0, f32::max);
                if largest == 0.0 {
                    return 0.0;
                }
                // Rounding may add a half to each weight, and shifting less than another.
                let bound = i32::MAX as f32 / INPUT_MAX * (1 << SHIFT) as f32 - columns as f32;
                let up = (i16::MAX as f32 / largest).min(bound / of_row().sum::<f32>());
                for (column, quantised) in quantised.iter_mut().enumerate() {
                    *quantised = (weight(row, column) * up).round() as i16;
                }
                (1 << SHIFT) as f32 / up
            })
            .collect();
        let pairs = columns / 2;
        let blocks = (0..rows / (8 * V) * pairs)
            .map(|n| {
                let (group, pair) = (n / pairs, n % pairs);
                std::array::from_fn(|v| {
                    std::array::from_fn(|n| quantised[((group * V + v) * 8 + n / 2) * columns + 2 * pair + n % 2])
                })
            })
            .collect();
        Self { blocks, pairs, scales }
    }

    /// For each group of rows: its blocks and its rows' scales.
    #[inline(always)]
    pub(super) fn groups(&self) -> impl Iterator<Item = (&[[Block; V]], &[f32])> {
        self.blocks.chunks_exact(self.pairs).zip(self.scales.chunks_exact(8 * V))
    }

    /// `out[row] = bias[row] + matrix * input`.
    #[inline(always)]
    pub(super) fn apply<L: Lanes>(&self, lanes: L, input: &[Pair], scale: f32, bias: &[f32], out: &mut [f32]) {
        let outs = out.chunks_exact_mut(8 * V).zip(bias.chunks_exact(8 * V));
        for ((blocks, scales), (out, bias)) in self.groups().zip(outs) {
            let mut sums = [[lanes.zero(); V]];
            accumulate(lanes, &mut sums, blocks, [input]);
            finish(lanes, &sums[0], scales, scale, bias, out);
        }
    }
}

/// Adds the products of a group's rows with each of `F` inputs.
#[inline(always)]
pub(super) fn accumulate<L: Lanes, const F: usize, const V: usize>(
    lanes: L,
    sums: &mut [[L::Sums; V]; F],
    blocks: &[[Block; V]],
    inputs: [&[Pair]; F],
) {
    let inputs = inputs.map(|input| &input[..blocks.len()]);
    for (n, blocks) in blocks.iter().enumerate() {
        let inputs: [_; F] = std::array::from_fn(|f| lanes.spread(inputs[f][n]));
        for v in 0..V {
            let weights = lanes.load(&blocks[v]);
            for f in 0..F {
                sums[f][v] = lanes.multiply_add(sums[f][v], weights, inputs[f]);
            }
        }
    }
}

/// Sums to floats.
#[inline(always)]
pub(super) fn finish<L: Lanes, const V: usize>(
    lanes: L,
    sums: &[L::Sums; V],
    scales: &[f32],
    scale: f32,
    bias: &[f32],
    out: &mut [f32],
) {
    for v in 0..V {
        let sums = lanes.store(sums[v]);
        let (scales, bias, out) = (&scales[8 * v..][..8], &bias[8 * v..][..8], &mut out[8 * v..][..8]);
        for n in 0..8 {
            out[n] = sums[n] as f32 * (scales[n] * scale) + bias[n];
        }
    }
}

/// Rounds to whole numbers of at most [`INPUT_MAX`]; returns what one of them is worth.
#[inline(always)]
pub(super) fn quantise(input: &[f32], out: &mut [i16]) -> f32 {
    let mut largest = [0.0_f32; 16];
    let (chunks, rest) = input.as_chunks::<16>();
    for chunk in chunks {
        for n in 0..16 {
            largest[n] = if chunk[n].abs() > largest[n] { chunk[n].abs() } else { largest[n] };
        }
    }
    let largest = largest.iter().chain(rest).fold(0.0_f32, |largest, value| largest.max(value.abs()));
    if largest == 0.0 {
        out.fill(0);
        return 0.0;
    }
    let up = INPUT_MAX / largest;
    for (value, out) in input.iter().zip(out) {
        *out = round(value * up) as i16;
    }
    largest / INPUT_MAX
}

/// To the nearest whole number, in the low bits, for magnitudes below 2^22.
///
/// Adding 1.5 * 2^23 leaves no bits for a fraction: the processor rounds, and the sum's mantissa is the number. Unlike
/// `as` it is one addition on every lane.
#[inline(always)]
pub(super) fn round(value: f32) -> u32 {
    (value + 12_582_912.0).to_bits()
}

/// Eight sums at a time.
pub(super) trait Lanes: Copy {
    type Weights: Copy;
    type Input: Copy;
    type Sums: Copy;

    fn zero(self) -> Self::Sums;
    fn load(self, weights: &Block) -> Self::Weights;
    fn spread(self, input: Pair) -> Self::Input;
    /// Adds the two products of each row.
    fn multiply_add(self, sums: Self::Sums, weights: Self::Weights, input: Self::Input) -> Self::Sums;
    fn store(self, sums: Self::Sums) -> [i32; 8];
}

/// For every processor: what the compiler makes of it.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl Lanes for Plain {
    type Weights = Block;
    type Input = Pair;
    type Sums = [i32; 8];

    #[inline(always)]
    fn zero(self) -> [i32; 8] {
        [0; 8]
    }

    #[inline(always)]
    fn load(self, weights: &Block) -> Block {
        *weights
    }

    #[inline(always)]
    fn spread(self, input: Pair) -> Pair {
        input
    }

    #[inline(always)]
    fn multiply_add(self, mut sums: [i32; 8], weights: Block, [a, b]: Pair) -> [i32; 8] {
        for n in 0..8 {
            sums[n] +=
                (i32::from(weights[2 * n]) * i32::from(a) + i32::from(weights[2 * n + 1]) * i32::from(b)) >> SHIFT;
        }
        sums
    }

    #[inline(always)]
    fn store(self, sums: [i32; 8]) -> [i32; 8] {
        sums
    }
}

/// For every x86-64 processor.
#[cfg(target_arch = "x86_64")]
impl Lanes for pulp::x86::V1 {
    type Weights = [std::arch::x86_64::__m128i; 2];
    type Input = std::arch::x86_64::__m128i;
    type Sums = [std::arch::x86_64::__m128i; 2];

    #[inline(always)]
    fn zero(self) -> Self::Sums {
        [self.sse2._mm_setzero_si128(); 2]
    }

    #[inline(always)]
    fn load(self, weights: &Block) -> Self::Weights {
        pulp::cast(*weights)
    }

    #[inline(always)]
    fn spread(self, input: Pair) -> Self::Input {
        self.sse2._mm_set1_epi32(pulp::cast(input))
    }

    #[inline(always)]
    fn multiply_add(self, [low, high]: Self::Sums, weights: Self::Weights, input: Self::Input) -> Self::Sums {
        let [of_low, of_high] =
            weights.map(|weights| self.sse2._mm_srai_epi32::<SHIFT>(self.sse2._mm_madd_epi16(weights, input)));
        [self.sse2._mm_add_epi32(low, of_low), self.sse2._mm_add_epi32(high, of_high)]
    }

    #[inline(always)]
    fn store(self, sums: Self::Sums) -> [i32; 8] {
        pulp::cast(sums)
    }
}

/// For those since 2013: AVX2.
#[cfg(target_arch = "x86_64")]
impl Lanes for pulp::x86::V3 {
    type Weights = std::arch::x86_64::__m256i;
    type Input = std::arch::x86_64::__m256i;
    type Sums = std::arch::x86_64::__m256i;

    #[inline(always)]
    fn zero(self) -> Self::Sums {
        self.avx._mm256_setzero_si256()
    }

    #[inline(always)]
    fn load(self, weights: &Block) -> Self::Weights {
        pulp::cast(*weights)
    }

    #[inline(always)]
    fn spread(self, input: Pair) -> Self::Input {
        self.avx._mm256_set1_epi32(pulp::cast(input))
    }

    #[inline(always)]
    fn multiply_add(self, sums: Self::Sums, weights: Self::Weights, input: Self::Input) -> Self::Sums {
        let products = self.avx2._mm256_madd_epi16(weights, input);
        self.avx2._mm256_add_epi32(sums, self.avx2._mm256_srai_epi32::<SHIFT>(products))
    }

    #[inline(always)]
    fn store(self, sums: Self::Sums) -> [i32; 8] {
        pulp::cast(sums)
    }
}
