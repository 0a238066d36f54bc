//! Who is told of calls.

use super::Secret;

/// What can be told of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// It was answered.
    CallStarted,
    /// It is over.
    CallEnded,
    /// It is over because something failed: the model, the line's start, or the server.
    CallFailed,
    /// It was handed to a person.
    CallTransferred,
    /// Its recording is whole.
    RecordingReady,
    /// Its analysis is there.
    AnalysisReady,
}

impl EventType {
    /// All, in the order in which they may happen.
    pub const ALL: [EventType; 6] = [
        EventType::CallStarted,
        EventType::CallTransferred,
        EventType::CallEnded,
        EventType::CallFailed,
        EventType::RecordingReady,
        EventType::AnalysisReady,
    ];

    /// As it stands in bodies and documents.
    pub const fn name(self) -> &'static str {
        match self {
            EventType::CallStarted => "call.started",
            EventType::CallEnded => "call.ended",
            EventType::CallFailed => "call.failed",
            EventType::CallTransferred => "call.transferred",
            EventType::RecordingReady => "recording.ready",
            EventType::AnalysisReady => "analysis.ready",
        }
    }
}

/// What a secret in the form of the Standard Webhooks begins with; base64 follows.
pub const SECRET_PREFIX: &str = "whsec_";

/// An endpoint that is told of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its name: what waits for it is kept under it.
    pub name: String,
    /// Where events are posted.
    pub url: String,
    /// What they are signed with: `whsec_` and base64, or plain text.
    pub secret: Secret,
    /// What it is told.
    pub events: Vec<EventType>,
    /// Milliseconds for one attempt.
    pub timeout_ms: u64,
    /// Milliseconds before the second attempt; each further pause is three times as long, up to six hours.
    pub retry_first_ms: u64,
}

/// What is kept of calls, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Days after which a call's folder and row are deleted, 0-3650, where its agent says nothing else; 0: never.
    pub keep_days: u64,
    /// The same of recordings, and of journals with audio; 0: with their calls.
    pub keep_recordings_days: u64,
    /// Days for which any agent's calls are kept at most, 0-3650; 0: no bound.
    pub max_keep_days: u64,
    /// PostgreSQL's URL; `None`: SQLite in the data directory. A change needs a restart.
    pub url: Option<Secret>,
    /// Seconds without a sign of life, 2-300, after which other servers take this one for gone. A change needs a restart.
    pub lease_s: u64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        StoreSettings { keep_days: 0, keep_recordings_days: 0, max_keep_days: 0, url: None, lease_s: 15 }
    }
}
