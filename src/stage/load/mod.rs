//! The load tester: many callers over real sockets in real time, and what they met.
//!
//! Callers are [`phone`](crate::stage::phone)s that replay recorded voices through the voice webhook or straight to a media
//! WebSocket; at the far end is the built-in model, in the same process, so that both ends of a call are measured on one
//! clock. Frames are known again by marks in their lowest bits ([`mark`]), so any server can be tested that hands on μ-law
//! as it comes.
//!
//! Nothing that the target does slows the measuring down: frames are due by the clock, and a latency counts from when a
//! frame was due, whether the tester was late with it or not (no coordinated omission). What the tester itself was late
//! is told beside it.
//!
//! - [`run`]: one run; [`capacity`]: the search for the highest number; [`floor`]: the least that a bridge can cost.
//! - [`simulate`]: the same for engines alone, in virtual time.
//! - [`callers`], [`plan`], [`voices`], [`hostile`]: who calls and what they do. [`target`]: whom.
//! - [`meter`], [`wire`], [`ledger`], [`tally`], [`process`]: what is measured. [`objective`]: what is demanded.
//! - [`report`]: the result; [`table`] and [`page`]: the result for people.

pub mod args;
mod callers;
mod capacity;
pub mod floor;
mod hostile;
mod ledger;
mod mark;
mod meter;
pub mod objective;
pub mod page;
mod plan;
mod process;
mod random;
pub mod report;
mod run;
#[cfg(test)]
mod sample;
pub mod simulate;
pub mod table;
mod tally;
pub mod target;
mod voices;
mod wire;
mod words;
