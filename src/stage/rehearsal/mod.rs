//! The built-in realtime model: a WebSocket server that speaks the OpenAI Realtime dialect from a script.
//!
//! It is a stand-in for rehearsing calls without an account, **not an AI**: it hears only how loud the caller is, never
//! what is said. It says its lines in order, one per turn of the caller, and fails on purpose where the script says so.
//! What it promises is the wire: every event, order, check and error that a client of the real thing depends on.
//!
//! - [`Script`]: what to say on which turn, how fast, which tools to call, what to do wrong (TOML).
//! - `session`: one connection as a state machine without socket or clock; made of `settings` (the session object and
//!   its validation), `conversation` (the items), `response` (one answer as a stream of events) and `vad` (loudness).
//! - `completions`: the chat completions of a text model beside it, streamed or not, with failures of their own.
//! - [`Server`]: the sockets around it.
//!
//! A turn's number is the number of user items in the conversation. A client that reconnects and replays the
//! conversation as text items therefore goes on at the same turn, and calls do not disturb each other.
//!
//! What is left out: text understanding, MCP tools, idle timeouts, transcription-only sessions, item audio in
//! `conversation.item.retrieved`.

mod clips;
mod completions;
mod conversation;
mod leg;
mod outbox;
mod probe;
mod response;
mod script;
mod server;
mod session;
mod settings;
mod vad;

pub use completions::script::{Chat, Completion, CompletionFault, Vendor};
pub use probe::{Probe, Tap, Wire};
pub use script::{Faults, Line, Script, ScriptError, Tool, Turn, TurnFault};
pub use server::Server;
