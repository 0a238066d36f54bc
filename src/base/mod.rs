//! What every room stands on: time, samples, text.
//!
//! May use nothing of ours. Not here: anything that knows what a call, a document or a person is.

pub mod address;
pub mod audio;
pub mod hex;
pub mod template;
pub mod time;
