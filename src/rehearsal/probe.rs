//! A look at the wire from the model's side, for measuring in the same process.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::phone::Stamp;

/// When audio passed the built-in model's socket. Shared: clones look at the same account.
#[derive(Clone, Debug, Default)]
pub struct Probe(Arc<Mutex<Account>>);

#[derive(Debug, Default)]
struct Account {
    heard: Vec<Stamp>,
    sent: Vec<Stamp>,
}

/// Entries kept per direction: an hour and a half of 20 ms messages. Later ones are not noted.
const MAX_ENTRIES: usize = 1 << 18;

impl Probe {
    /// An empty account.
    pub fn new() -> Self {
        Self::default()
    }

    /// For each message of caller audio when it was read.
    pub fn heard(&self) -> Vec<Stamp> {
        self.lock().heard.clone()
    }

    /// For each message of agent audio when it was handed to the socket.
    pub fn sent(&self) -> Vec<Stamp> {
        self.lock().sent.clone()
    }

    pub(super) fn note_heard(&self, at: Instant, bytes: usize, digest: u64) {
        add(&mut self.lock().heard, at, bytes, digest);
    }

    pub(super) fn note_sent(&self, at: Instant, bytes: usize) {
        add(&mut self.lock().sent, at, bytes, 0);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Account> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(entries: &mut Vec<Stamp>, at: Instant, bytes: usize, digest: u64) {
    if entries.len() < MAX_ENTRIES {
        let total = entries.last().map_or(0, |last| last.bytes) + bytes as u64;
        entries.push(Stamp { at, bytes: total, digest });
    }
}
