//! Pure sample arithmetic: nothing here allocates per frame, reads a clock or touches a file handle that it was not given.

pub mod clip;
pub mod format;
pub mod g711;
pub mod level;
pub mod resample;
pub mod wav;

pub use clip::Clip;
pub use format::{AudioFormat, Codec};
pub use resample::Resampler;
pub use wav::{Wav, WavError};
