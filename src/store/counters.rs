//! What the store counts of itself.

use std::sync::atomic::AtomicU64;

/// What the store counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// What was handed over and is not written yet, when the writer last looked.
    pub waiting: AtomicU64,
    /// What was handed over and found no room.
    pub dropped: AtomicU64,
    /// Attempts to write that failed.
    pub failed: AtomicU64,
    /// Calls whose rows were made from their folders.
    pub repaired: AtomicU64,
    /// Calls whose server was gone before they ended.
    pub lost: AtomicU64,
    /// Calls that could not be let in, or not in time.
    pub not_admitted: AtomicU64,
    /// Jobs that were not put in, because too many of their kind wait.
    pub jobs_dropped: AtomicU64,
    /// How often another server took this one for gone.
    pub lapsed: AtomicU64,
    /// Calls that were deleted for their age.
    pub deleted: AtomicU64,
    /// Events that were deleted with them, or for their own age, before anybody took them.
    pub events_deleted: AtomicU64,
    /// Passwords that found no room to be looked at.
    pub passwords_busy: AtomicU64,
    /// Attempts to log in that were not heard, after too many that were wrong.
    pub attempts_refused: AtomicU64,
    /// Webhooks that were switched off because they took nothing for days.
    pub endpoints_off: AtomicU64,
}
