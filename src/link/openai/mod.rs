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
//! - A tool call is reported once, in whichever way it is told: when its item is done, with status `completed`, since before
//!   that its arguments may be cut short; when its arguments are and nothing told it to begin; or out of the output of a
//!   response that is over. Names are per response: a later one may use a `call_id` again.
//! - Ids are names that the engine can rely on (`names.rs`): one that is missing is made up, one that comes again for
//!   something else is made another, and one per piece is the thing's first.
//! - The session is what `session.updated` says it is (`told.rs`): its formats are converted to and from, or refused with
//!   the reason, and a turn detection that was not asked for is told to the engine. Audio that is not what it is said to be
//!   is found out by its shape (`guess.rs`).
//! - Complaints are read in any shape (`link::complaint`), and their words kept, short and without secrets.
//! - Audio in the line's own format is passed through untouched; otherwise it is converted here, at the edge.

mod calls;
mod convert;
mod decode;
mod encode;
mod events;
mod guess;
mod names;
mod outcome;
mod request;
mod session;
mod told;
mod update;

pub use events::{Kind, SERVER_EVENTS};
pub use outcome::{closed, refused};
pub use request::{Request, request};
pub use session::{Counters, Session, Strangers};

#[cfg(test)]
mod tests;
