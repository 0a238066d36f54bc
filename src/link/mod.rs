//! Bytes from and to the far ends, as engine types. No sockets, no decisions.

mod complaint;
pub mod completions;
pub mod http;
mod lenient;
pub mod openai;
pub mod twilio;
