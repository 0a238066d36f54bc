//! A look at the wire from the model's side, for measuring in the same process.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::base::audio::AudioFormat;
use crate::stage::phone::Stamp;
use crate::stage::phone::legs::digest;

/// Sees the audio of the built-in model's sessions pass.
pub trait Wire: fmt::Debug + Send + Sync {
    /// A session begins. Its tap is told of it from the session's own task.
    fn open(&self) -> Box<dyn Tap>;
}

/// Sees the audio of one session pass. Nothing here may block.
pub trait Tap: Send {
    /// Caller audio was read.
    fn heard(&mut self, at: Instant, audio: &[u8]);

    /// The client committed or cleared what it had appended: what comes next need not join on.
    fn parted(&mut self) {}

    /// Agent audio is about to be written; it may be marked.
    fn speaks(&mut self, format: AudioFormat, audio: &mut [u8]) {
        let _ = (format, audio);
    }

    /// Agent audio is handed to the socket.
    fn sent(&mut self, at: Instant, bytes: usize);
}

/// When audio passed the built-in model's socket, all sessions together. Shared: clones look at the same account.
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

    fn lock(&self) -> std::sync::MutexGuard<'_, Account> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wire for Probe {
    fn open(&self) -> Box<dyn Tap> {
        Box::new(self.clone())
    }
}

impl Tap for Probe {
    fn heard(&mut self, at: Instant, audio: &[u8]) {
        add(&mut self.lock().heard, at, audio.len(), digest(audio));
    }

    fn sent(&mut self, at: Instant, bytes: usize) {
        add(&mut self.lock().sent, at, bytes, 0);
    }
}

fn add(entries: &mut Vec<Stamp>, at: Instant, bytes: usize, digest: u64) {
    if entries.len() < MAX_ENTRIES {
        let total = entries.last().map_or(0, |last| last.bytes) + bytes as u64;
        entries.push(Stamp { at, bytes: total, digest });
    }
}
