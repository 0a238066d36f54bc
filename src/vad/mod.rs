//! Voice activity: is the caller speaking?

pub mod silero;
