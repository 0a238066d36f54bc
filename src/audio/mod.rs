//! Pure sample arithmetic: nothing here allocates per frame, reads a clock or touches a file handle that it was not given.

pub mod format;

pub use format::{AudioFormat, Codec};
