//! THE CHAT: every decision about one conversation in text, and no socket, clock, task or file.
//!
//! [`Conversation`] is to chat what [`CallEngine`](crate::engine::CallEngine) is to calls: inputs stamped with the time they
//! arrived go in, actions come out, and between them it says what it waits for. What conversations of a server share stands
//! beside them in one value ([`Commons`]): which models are left alone, who drills, how fast visitors write.
//!
//! It splits by the part that owns state: [`mod@conversation`] what visitors do and the loop, `answer` one answer and who is asked
//! for it, `tools` what the model calls, [`handoff`] who has the conversation, `prompt` what a model is sent, `history` and
//! [`log`] what is remembered. [`failover`] and [`breaker`] are the rules on failures, [`model`] the words exchanged
//! with whoever turns them into bytes.
//!
//! May use [`base`](crate::base) and [`config`](crate::config)'s types. Not here: bytes, vendors, the store, who may write at all.

mod answer;
pub mod breaker;
pub mod commons;
pub mod conversation;
pub mod failover;
pub mod handoff;
mod history;
pub mod io;
pub mod log;
pub mod model;
mod prompt;
pub mod row;
pub mod settings;
#[cfg(test)]
mod tests;
pub mod time;
pub mod timer;
mod tools;

pub use commons::Commons;
pub use conversation::Conversation;
pub use handoff::{Hand, Reason};
pub use io::*;
pub use log::{Resume, Snapshot};
pub use row::{Row, Why};
pub use settings::{TalkLimits, TalkSettings};
pub use time::TalkTime;
pub use timer::Timer;
