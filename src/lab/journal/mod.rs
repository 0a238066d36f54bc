//! A call's inputs and decisions as a file: enough to run the call again.
//!
//! # Format
//!
//! JSON Lines, UTF-8, in the order in which things happened. The first line names the version and the settings that
//! the call ran by; it holds no secret:
//!
//! ```json
//! {"offhook_journal":1,"settings":{"deployment":"front-desk","agent":"mia", …}}
//! ```
//!
//! Then one line for each input of the engine (`in`), one for each step that was heard in its audio (`hear`: the
//! probability of speech in per mille, 0–1000, and the level in dBFS, −128–0), one
//! for what it tells of who picked up (`found`) and one for each decision that came of it
//! (`out`); `at_us` is [`CallTime`](crate::base::time::CallTime) in microseconds. What follows an input came of it; the
//! decisions before the first input are a new engine's own.
//!
//! ```json
//! {"at_us":0,"out":"model dial"}
//! {"at_us":412000,"in":"started"}
//! {"at_us":432100,"in":{"audio":{"at_ms":20,"len":160}}}
//! {"at_us":432100,"hear":[412,-31]}
//! {"at_us":440100,"found":"beep"}
//! {"at_us":901000,"in":{"model":{"say":{"event":"audio","response":"r1","item":"i1"},"len":800}}}
//! {"at_us":901000,"out":"line audio bytes=800"}
//! {"at_us":1203000,"in":{"mark":{"generation":0,"seq":3}}}
//! {"at_us":1300000,"in":"tick"}
//! ```
//!
//! `len` counts bytes of audio in the line's format. With [`JournalKeep::Audio`](crate::config::JournalKeep) a `b64`
//! with the audio itself stands beside it; without, a replay puts silence of that length in its place. It decides alike
//! either way, and on any machine: turn detection rests on the steps alone, and a replay is told them. Audio appended for the model and audio of the recording are no lines:
//! they follow from the inputs, and so do their positions.
//!
//! # Size
//!
//! A minute of a phone call in which both sides talk all the time takes 0.33 MB without audio and 1.64 MB with it
//! (measured by `sizes_are_as_the_docs_say`); while the agent is silent, 0.19 MB and 0.86 MB. Where the server's own
//! ears hear the caller, the steps add 0.14 MB a minute (at 62.5 steps a second).
//!
//! # What is missing
//!
//! When the disk takes so little that lines are dropped, a line says so in their place: `{"at_us":12000000,"lost":412}` are
//! 412 lines, the first of which was made then. What follows does not come of what is there ([`lost`](Journal::lost)).
//!
//! # After a crash
//!
//! A file that ends in the middle of a line is read up to there and flagged [`torn`](Journal::torn).

mod file;
mod pen;
mod read;
pub mod trace;

pub use file::{CallFiles, LoadError};
pub use pen::{Pen, lost_line};
pub use read::{Entry, Journal, JournalError, Kind, Lost, OwnedInput};

/// The version that is written and read.
pub const VERSION: u32 = 1;
/// The name of the journal in a call's folder.
pub const FILE_NAME: &str = "journal";
/// The largest journal that is read: four days of talk without audio, twenty hours with it.
pub const MAX_BYTES: u64 = 2 << 30;
/// The longest line that is read. The first holds the settings with their sounds, the others at most one message.
pub const MAX_LINE_BYTES: usize = 32 << 20;
/// The most audio that one input carries: eight minutes of linear audio at 8 kHz.
pub const MAX_AUDIO_BYTES: usize = 8 << 20;

#[cfg(test)]
pub(crate) mod tests;
