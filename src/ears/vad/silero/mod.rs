//! Silero VAD, version 6: the network run by ourselves.
//!
//! The network is small: the magnitudes of four overlapping frames, four convolutions, a recurrent cell (LSTM) of 128
//! units, a weighted sum. It has two branches with weights of their own, one for 8 kHz and one for 16 kHz; both take
//! steps of 32 ms and look 4 ms (one eighth of a step) back. Weights: <https://github.com/snakers4/silero-vad>, MIT.
//!
//! Sums are whole numbers (see `layer`), and what is not is made of single additions, multiplications and square roots in
//! a fixed order: a processor with wider registers gives the same probabilities.

mod layer;
mod network;
mod onnx;
mod spectrum;
#[cfg(test)]
mod tests;

use std::{fmt, sync::LazyLock};

use network::{Network, UNITS};

/// Which of the network's two halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Branch {
    /// For audio at 8 kHz.
    Khz8,
    /// For audio at 16 kHz.
    Khz16,
}

impl Branch {
    /// Samples per step: 32 ms.
    pub const fn step(self) -> usize {
        match self {
            Self::Khz8 => 256,
            Self::Khz16 => 512,
        }
    }

    /// Samples of the last step that are heard again before those of the next, and as many mirrored at its end.
    const fn context(self) -> usize {
        self.step() / 8
    }

    /// Samples per frame.
    const fn window(self) -> usize {
        self.step() / 2
    }

    /// Magnitudes per frame.
    const fn bins(self) -> usize {
        self.window() / 2 + 1
    }

    /// What the names of the branch's tensors begin with.
    const fn graph(self) -> &'static str {
        match self {
            Self::Khz8 => "If_0_else_branch__Inline_0__",
            Self::Khz16 => "If_0_then_branch__Inline_0__",
        }
    }
}

/// The detector of one call: what it remembers of the audio so far.
///
/// ```
/// use offhook::ears::vad::silero::{Branch, Silero};
///
/// let mut silero = Silero::new(Branch::Khz8);
/// assert!(silero.step(&[0; 256]) < 0.1);
/// ```
#[derive(Debug, Clone)]
pub struct Silero {
    network: &'static Network,
    branch: Branch,
    state: State,
}

impl Silero {
    /// At the beginning of a stream. The weights are unpacked at the first call in a process, which takes about ten
    /// milliseconds: [`load`] does it ahead, and says what is wrong with them, which here would be a panic.
    pub fn new(branch: Branch) -> Self {
        let Ok(model) = &*MODEL else { unreachable!("the weights are part of the program, and a test loads them") };
        let network = match branch {
            Branch::Khz8 => &model.khz8,
            Branch::Khz16 => &model.khz16,
        };
        Self { network, branch, state: State::NEW }
    }

    /// The probability, 0 to 1, that there is speech in `samples`, which follow those of the last step: exactly
    /// [`Branch::step`] of them. Allocates nothing.
    ///
    /// # Panics
    ///
    /// With any other number of samples.
    pub fn step(&mut self, samples: &[i16]) -> f32 {
        assert_eq!(samples.len(), self.branch.step(), "a step has a fixed number of samples");
        dispatch(self.network, &mut self.state, samples)
    }

    /// Forgets the audio so far.
    pub fn reset(&mut self) {
        self.state = State::NEW;
    }
}

/// Unpacks the weights, once per process.
///
/// # Errors
///
/// The weights in this program are not those it was written for.
pub fn load() -> Result<(), LoadError> {
    MODEL.as_ref().map(drop).map_err(Clone::clone)
}

/// Why the weights in a program cannot be used. Such a program was packaged wrongly; no setting helps.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError {
    /// The model is another one, or damaged: its SHA-256 differs.
    Hash,
    /// The model cannot be read.
    Format(&'static str),
    /// No tensor of this name, in the shape that it must have.
    Missing(&'static str),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the speech detector's weights in this program are unusable: ")?;
        match self {
            Self::Hash => f.write_str("their SHA-256 is not the expected one"),
            Self::Format(what) => f.write_str(what),
            Self::Missing(name) => write!(f, "there is no tensor {name} of the expected shape"),
        }
    }
}

impl std::error::Error for LoadError {}

/// What one call keeps from step to step.
#[derive(Debug, Clone)]
struct State {
    /// The last samples of the last step; half of them unused at 8 kHz.
    context: [i16; Branch::Khz16.context()],
    /// The recurrent cell's output and memory.
    hidden: [f32; UNITS],
    cell: [f32; UNITS],
}

impl State {
    const NEW: Self = Self { context: [0; _], hidden: [0.0; _], cell: [0.0; _] };
}

#[derive(Debug)]
struct Model {
    khz8: Network,
    khz16: Network,
}

impl Model {
    fn load(bytes: &[u8]) -> Result<Self, LoadError> {
        if ring::digest::digest(&ring::digest::SHA256, bytes).as_ref() != SHA256 {
            return Err(LoadError::Hash);
        }
        Self::read(bytes)
    }

    fn read(bytes: &[u8]) -> Result<Self, LoadError> {
        let tensors = onnx::tensors(bytes).map_err(|error| LoadError::Format(error.reason()))?;
        Ok(Self { khz8: Network::new(Branch::Khz8, &tensors)?, khz16: Network::new(Branch::Khz16, &tensors)? })
    }
}

static MODEL: LazyLock<Result<Model, LoadError>> = LazyLock::new(|| Model::load(silero::BUNDLED_MODEL));

/// Of `silero_vad.onnx` as version 6.2 publishes it.
const SHA256: [u8; 32] = [
    0x1a, 0x15, 0x3a, 0x22, 0xf4, 0x50, 0x9e, 0x29, 0x2a, 0x94, 0xe6, 0x7d, 0x6f, 0x9b, 0x85, 0xe8, //
    0xde, 0xb2, 0x5b, 0x49, 0x88, 0x68, 0x2b, 0x7e, 0x17, 0x4c, 0x65, 0x27, 0x9d, 0x87, 0x88, 0xe3,
];

/// Runs a step on the widest registers this processor has.
#[cfg(target_arch = "x86_64")]
fn dispatch(network: &Network, state: &mut State, samples: &[i16]) -> f32 {
    use pulp::x86::{V1, V3};

    /// A closure cannot ask to be inlined, and what is not inlined does not get the registers.
    struct Step<'a, L>(L, &'a Network, &'a mut State, &'a [i16]);

    impl<L: layer::Lanes> pulp::NullaryFnOnce for Step<'_, L> {
        type Output = f32;

        #[inline(always)]
        fn call(self) -> f32 {
            let Self(lanes, network, state, samples) = self;
            network.step(lanes, state, samples)
        }
    }

    if let Some(lanes) = V3::try_new() {
        lanes.vectorize(Step(lanes, network, state, samples))
    } else if let Some(lanes) = V1::try_new() {
        lanes.vectorize(Step(lanes, network, state, samples))
    } else {
        network.step(layer::Plain, state, samples)
    }
}

/// Runs a step.
#[cfg(not(target_arch = "x86_64"))]
fn dispatch(network: &Network, state: &mut State, samples: &[i16]) -> f32 {
    network.step(layer::Plain, state, samples)
}
