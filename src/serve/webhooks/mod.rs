//! Webhooks: what happens in calls, told to other systems, at least once, signed, and in order within a call.
//!
//! Events come out of the store's outbox, which has them durably before the first attempt. `docs/webhooks.md` is the
//! receivers' side of it.
//!
//! - [`signature`] signs and verifies, as Standard Webhooks do; [`schedule`] says when to try again.
//! - `sender` takes from the outbox what is due, as fast as `pace` lets it; `post` is one attempt.

mod pace;
mod post;
pub mod schedule;
mod sender;
pub mod signature;

use std::sync::atomic::AtomicU64;

pub use sender::Sender;

/// What the sender counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Events that an endpoint took.
    pub delivered: AtomicU64,
    /// Attempts that failed.
    pub failed: AtomicU64,
    /// Events that were given up.
    pub dead: AtomicU64,
    /// Events that wait, as of the last look.
    pub waiting: AtomicU64,
}
