//! How calls, and what is told of them, come in: a folder for each kind of line.
//!
//! What stands here turns a carrier's requests into calls, claims and commands, and answers in the carrier's words. It is
//! above calls, and used by nothing but the [routes](super::http).

pub(super) mod twilio;
