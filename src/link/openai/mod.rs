//! The OpenAI Realtime API (GA dialect) as engine events and commands: one JSON event per WebSocket text message.
//!
//! ```text
//!   connect ──► session.created ──► session.update (ours) ──► session.updated = Ready ──► the conversation
//! ```
//!
//! [`Session`] is one connection's worth of state and holds no socket: feed it each text message with
//! [`decode`](Session::decode), send what [`poll_reply`](Session::poll_reply) hands out, and
//! [`encode`](Session::encode) what the engine asks for. A new connection takes a new `Session`: the far end remembers
//! nothing.
//!
//! What is taken from the API and what is left:
//!
//! - The engine interrupts, not the far end (`interrupt_response: false`): it clears the line, cancels and truncates
//!   itself, in that order, at what the caller has heard.
//! - Every server event of the API is listed in one table (`events.rs`), as mapped or as knowingly ignored. A type that
//!   is not listed is counted and ignored.
//! - A tool call is reported when its item is done, with status `completed`: before that its arguments may be cut short.
//!   Exactly one report per `call_id`.
//! - Audio in the line's own format is passed through untouched; otherwise it is converted here, at the edge.

mod convert;
mod decode;
mod encode;
mod events;
mod outcome;
mod request;
mod session;
mod update;

pub use events::{Kind, SERVER_EVENTS};
pub use outcome::{closed, refused};
pub use request::{Request, request};
pub use session::{Counters, Session};

#[cfg(test)]
mod tests;
