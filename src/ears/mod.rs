//! What a call hears with: the noise and the echo taken out, speech found, turns made of it.
//!
//! May use [`base`](crate::base) and the types of [`config`](crate::config). Not here: what follows from a turn, which is
//! for the [`engine`](crate::engine) to decide.

pub mod answering;
pub mod denoise;
pub mod echo;
pub mod hearing;
pub mod turn;
pub mod vad;
